/* SPDX-License-Identifier: Apache-2.0 */
/* The ground: each module of base keeps what its header promises. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/uuid.h"
#include "base/value.h"
#include "base/vec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void arena_gives_aligned_memory_of_any_size(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)state;
	for (size_t n = 0; n < 100000; n = n * 2 + 1) {
		char *p = arena_alloc(a, n);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		memset(p, 0x5a, n);
	}
	for (int i = 0; i < 10000; i++)
		memset(arena_alloc(a, 1 + (size_t)rand() % 300), i, 1);
}

static void note_order(void *p)
{
	int **at = p;

	*(*at)++ = 1;
}

static void arena_runs_endings_in_reverse(void **state)
{
	struct arena *a = arena_new();
	int marks[3] = { 0 }, *at = marks;

	(void)state;
	arena_on_end(a, note_order, &at);
	arena_on_end(a, note_order, &at);
	arena_drop(&a);
	assert_null(a);
	assert_ptr_equal(at, marks + 2);
}

static void arena_is_empty_after_reset(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	size_t before = arena_size(a);

	(void)state;
	for (int i = 0; i < 1000; i++)
		arena_alloc(a, 1000);
	assert_true(arena_size(a) > 1000 * 1000);
	arena_reset(a);
	assert_int_equal(arena_size(a), before);
}

static void str_splits_and_trims(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	strs list = str_split(a, STR(" a, b ,,c "), ',');

	(void)state;
	assert_int_equal(list.n, 3);
	assert_true(str_is(list.v[1], "b"));
	assert_true(str_is(str_join(a, list, STR("+")), "a+b+c"));
}

static void str_numbers_are_strict(void **state)
{
	static const char *const bad[] = { "", "-", "1x", " 1", "9223372036854775808", "0x10" };
	int64_t i;
	double x;

	(void)state;
	assert_true(str_to_int(STR("-9223372036854775808"), &i));
	assert_true(i == INT64_MIN);
	for (size_t k = 0; k < COUNT(bad); k++)
		assert_false(str_to_int(str_of(bad[k]), &i));
	assert_true(str_to_num(STR("1.5e3"), &x) && x == 1500);
	assert_false(str_to_num(STR("nan"), &x));
	assert_false(str_to_num(STR("0x1p3"), &x));
}

static void numbers_are_written_as_lua_does(void **state)
{
	static const struct {
		double number;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ -0.0, "-0" },
		{ 7, "7" },
		{ 1000000000, "1000000000" },
		{ 99999999999999, "99999999999999" },
		{ 100000000000000, "1e+14" },
		{ 1.5, "1.5" },
		{ -3, "-3" },
		{ 0.1 + 0.2, "0.3" },
		{ 1e300, "1e+300" },
	};
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)state;
	for (size_t k = 0; k < COUNT(cases); k++)
		assert_string_equal(str_z(a, str_num(a, cases[k].number)), cases[k].text);
}

static void secrets_compare_whole(void **state)
{
	(void)state;
	assert_true(str_eq_secret(STR("abc"), STR("abc")));
	assert_false(str_eq_secret(STR("abc"), STR("abd")));
	assert_false(str_eq_secret(STR("abcabc"), STR("abc")));
	assert_false(str_eq_secret(STR("abc"), STR("")));
	assert_true(str_eq_secret(STR(""), STR("")));
}

static void buf_stops_at_its_ceiling(void **state)
{
	struct buf b CLEANUP(buf_done);

	(void)state;
	buf_init(&b, 10);
	buf_add_str(&b, STR("0123456789"));
	assert_false(b.is_full);
	buf_add_char(&b, 'x');
	assert_true(b.is_full);
	assert_int_equal(b.n, 10);
}

static void map_finds_what_was_put(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct map m = { 0 };

	(void)state;
	for (uintptr_t i = 1; i <= 5000; i++)
		*map_put(a, &m, str_fmt(a, "key %zu", (size_t)i)) = (void *)i;
	assert_int_equal(m.n, 5000);
	for (uintptr_t i = 1; i <= 5000; i++)
		assert_ptr_equal(map_find(&m, str_fmt(a, "key %zu", (size_t)i)), (void *)i);
	assert_null(map_find(&m, STR("key 0")));
	*map_put(a, &m, STR("")) = a;
	assert_ptr_equal(map_find(&m, STR("")), a);
}

static struct err *inner(void)
{
	return FAIL(ERR_INVALID, "not a PEM block");
}

static struct err *outer(void)
{
	TRY(inner(), "certificate %d", 7);
	return NULL;
}

static void errors_tell_their_story(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct err *e = outer();

	(void)state;
	assert_true(str_is(err_line(a, e), "certificate 7: not a PEM block"));
	assert_int_equal(e->code, ERR_INVALID);
	e = err_keep(a, e);
	err_forget();
	assert_string_equal(err_root(e)->text, "not a PEM block");
}

static void uuids_survive_text(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	uuid u = uuid_random(), v;

	(void)state;
	assert_true(uuid_parse(uuid_str(a, u), &v));
	assert_true(uuid_eq(u, v));
	assert_true(uuid_parse(STR("01234567-89AB-cdef-fedc-ba9876543210"), &v));
	assert_string_equal(str_z(a, uuid_str(a, v)), "01234567-89ab-cdef-fedc-ba9876543210");
	assert_false(uuid_parse(STR("1234"), &v));
	assert_false(uuid_parse(STR("zf6a7e0c-0000-4000-8000-000000000000"), &v));
}

static void values_compare_by_content(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct value *x = value_object(a), *y = value_object(a);

	(void)state;
	value_set(a, x, STR("a"), value_int(a, 1));
	value_set(a, x, STR("b"), value_text(a, "t"));
	value_set(a, y, STR("b"), value_text(a, "t"));
	value_set(a, y, STR("a"), value_real(a, 1.0));
	assert_true(value_eq(x, y));
	assert_true(value_eq(x, value_copy(a, x)));
	value_unset(y, STR("a"));
	assert_false(value_eq(x, y));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_gives_aligned_memory_of_any_size),
		cmocka_unit_test(arena_runs_endings_in_reverse),
		cmocka_unit_test(arena_is_empty_after_reset),
		cmocka_unit_test(str_splits_and_trims),
		cmocka_unit_test(str_numbers_are_strict),
		cmocka_unit_test(numbers_are_written_as_lua_does),
		cmocka_unit_test(secrets_compare_whole),
		cmocka_unit_test(buf_stops_at_its_ceiling),
		cmocka_unit_test(map_finds_what_was_put),
		cmocka_unit_test(errors_tell_their_story),
		cmocka_unit_test(uuids_survive_text),
		cmocka_unit_test(values_compare_by_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
