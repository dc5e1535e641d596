/* SPDX-License-Identifier: Apache-2.0 */
/* Groups, flags, limits and threads of regex.h. */
#include "base/regex.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct regex *compile(struct arena *a, const char *pattern, unsigned flags)
{
	struct regex *re = NULL;

	assert_null(regex_new(a, str_of(pattern), flags, &re));
	return re;
}

static void groups_have_numbers_and_names(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct regex *re = compile(a, "/(?<user>\\w+)/(x)?/(?P<item>\\d+)", 0);
	struct regex_span spans[5];
	str subject = STR("-/bob//42-");

	(void)state;
	assert_int_equal(regex_groups(re), 3);
	assert_true(str_is(regex_group_name(re, 1), "user"));
	assert_null(regex_group_name(re, 2).s);
	assert_true(str_is(regex_group_name(re, 3), "item"));
	assert_null(regex_group_name(re, 4).s);
	assert_true(regex_match(re, subject, spans, 5));
	assert_true(str_is(regex_part(subject, spans[0]), "/bob//42"));
	assert_true(str_is(regex_part(subject, spans[1]), "bob"));
	assert_null(regex_part(subject, spans[2]).s);
	assert_true(str_is(regex_part(subject, spans[3]), "42"));
	assert_null(regex_part(subject, spans[4]).s);
}

static void flags_mean_what_they_say(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	assert_false(regex_match(compile(a, "b", REGEX_ANCHORED), STR("ab"), NULL, 0));
	assert_true(regex_match(compile(a, "b", 0), STR("ab"), NULL, 0));
	assert_true(regex_match(compile(a, "B", REGEX_CASELESS), STR("ab"), NULL, 0));
	assert_false(regex_match(compile(a, "a$", 0), STR("a\n"), NULL, 0));
	assert_false(regex_match(compile(a, "a.b", 0), STR("a\nb"), NULL, 0));
	assert_true(regex_match(compile(a, "a.b", REGEX_DOT_ALL), STR("a\nb"), NULL, 0));
	assert_true(regex_match(compile(a, "^.$", REGEX_UTF), STR("\xc3\xa9"), NULL, 0));
	assert_false(regex_match(compile(a, "^.$", 0), STR("\xc3\xa9"), NULL, 0));
	assert_false(regex_match(compile(a, "^.$", REGEX_UTF), STR("\xc3"), NULL, 0));
	assert_true(regex_match(compile(a, "^b$", REGEX_MULTILINE), STR("a\nb\nc"), NULL, 0));
	assert_true(regex_match(compile(a, "b", REGEX_NO_JIT), STR("ab"), NULL, 0));
	assert_true(regex_match(compile(a, "(?=a)", 0), STR("ba"), NULL, 0));
	assert_true(regex_match(compile(a, "", 0), STR_NONE, NULL, 0));
}

static void bad_patterns_are_told_with_their_offset(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct regex *re = NULL;
	struct err *e = regex_new(a, STR("a(b"), 0, &re);

	(void)state;
	assert_null(re);
	assert_string_equal(e->text, "missing closing parenthesis at offset 3");
	err_forget();
}

static void catastrophes_end_at_the_limit(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	char subject[4000];

	(void)state;
	memset(subject, 'a', sizeof(subject));
	assert_false(regex_match(compile(a, "^(a+)+$b", 0), str_at(subject, 40), NULL, 0));
	assert_false(
		regex_match(compile(a, "^(a+)+[bc]", REGEX_NO_JIT), str_at(subject, 40), NULL, 0));
	assert_false(regex_match(compile(a, "^(a|aa)+[bc]$", 0), str_at(subject, sizeof(subject)),
				 NULL, 0));
}

static void long_texts_match_with_jit_and_without(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	char subject[8000];

	(void)state;
	memset(subject, 'a', sizeof(subject));
	for (unsigned flags = 0; flags <= REGEX_NO_JIT; flags += REGEX_NO_JIT)
		assert_true(regex_match(compile(a, "^(?:(a)|b)*$", flags), str_at(subject, 8000),
					NULL, 0));
}

static void many_groups_fit(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct regex_span spans[101];
	char pattern[400];

	(void)state;
	for (size_t i = 0; i < 100; i++)
		memcpy(pattern + 3 * i, "(.)", 4);
	memset(pattern + 300, 'x', 99);
	pattern[399] = '\0';
	pattern[300] = '\0';
	assert_true(regex_match(compile(a, pattern, 0), str_at(pattern, 300), spans, 101));
	assert_int_equal(spans[100].from, 99);
}

static void *match_a_lot(void *re)
{
	for (int i = 0; i < 2000; i++) {
		struct regex_span spans[2];

		if (!regex_match(re, STR("/v12/x"), spans, 2) || spans[1].from != 2)
			return re;
	}
	return NULL;
}

static void threads_share_one(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct regex *re = compile(a, "/v(\\d+)/", 0);
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, match_a_lot, re), 0);
	for (size_t i = 0; i < COUNT(threads); i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_have_numbers_and_names),
		cmocka_unit_test(flags_mean_what_they_say),
		cmocka_unit_test(bad_patterns_are_told_with_their_offset),
		cmocka_unit_test(catastrophes_end_at_the_limit),
		cmocka_unit_test(long_texts_match_with_jit_and_without),
		cmocka_unit_test(many_groups_fit),
		cmocka_unit_test(threads_share_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
