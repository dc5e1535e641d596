/* SPDX-License-Identifier: Apache-2.0 */
/* The radix tree against a list of its keys. */
#include "route/tree.h"

#include "base/vec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void every_prefix_is_met_the_shortest_first(void **state)
{
	static const char *const keys[] = { "/api", "/", "/apps", "", "/api/v1", "/b", "/ap" };
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct tree t = { 0 };
	struct tree_walk w;

	(void)state;
	w = tree_walk(&t, STR("/x"));
	assert_null(tree_walk_next(&w));
	for (size_t i = 0; i < COUNT(keys); i++)
		*tree_put(a, &t, str_of(keys[i])) = (void *)(uintptr_t)keys[i];
	w = tree_walk(&t, STR("/api/v12"));
	assert_string_equal(tree_walk_next(&w), "");
	assert_string_equal(tree_walk_next(&w), "/");
	assert_string_equal(tree_walk_next(&w), "/ap");
	assert_string_equal(tree_walk_next(&w), "/api");
	assert_string_equal(tree_walk_next(&w), "/api/v1");
	assert_null(tree_walk_next(&w));
	assert_null(tree_walk_next(&w));
	assert_ptr_equal(*tree_put(a, &t, STR("/apps")), keys[2]);
}

static str random_key(struct arena *a, unsigned *seed)
{
	size_t n = (size_t)rand_r(seed) % 7;
	char *p = arena_bytes(a, n);

	for (size_t i = 0; i < n; i++)
		p[i] = "ab\xff"[rand_r(seed) % 3];
	return str_at(p, n);
}

static void random_trees_agree_with_a_list(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		CLEANUP(arena_drop) struct arena *a = arena_new();
		struct tree t = { 0 };
		struct {
			str *v;
			size_t n, cap;
		} keys = { 0 };

		for (int i = 0; i < 60; i++) {
			str key = random_key(a, &seed);
			void **value = tree_put(a, &t, key);

			if (!*value)
				*vec_add(a, &keys) = key;
			else
				assert_true(str_eq(*(str *)*value, key));
			*value = arena_copy(a, &key, sizeof(key));
		}
		for (int i = 0; i < 60; i++) {
			str text = random_key(a, &seed), last = STR_NONE;
			struct tree_walk w = tree_walk(&t, text);
			size_t want = 0, got = 0;

			vec_for_each (&keys, str, key)
				want += str_starts(text, *key);
			for (str *key = tree_walk_next(&w); key; key = tree_walk_next(&w)) {
				assert_true(str_starts(text, *key));
				assert_true(got == 0 || key->n > last.n);
				last = *key;
				got++;
			}
			assert_int_equal(got, want);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_prefix_is_met_the_shortest_first),
		cmocka_unit_test(random_trees_agree_with_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
