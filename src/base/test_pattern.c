/* SPDX-License-Identifier: Apache-2.0 */
/* Lua's patterns, checked against what string.match of Lua 5.1 gives. */
#include "base/pattern.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void patterns_match_as_in_lua(void **state)
{
	/* clang-format off */
	static const struct { const char *pattern, *subject, *first; } rows[] = { /* first: NULL is no match */
		{ "", "abc", "" }, { "b", "abc", "b" }, { "^b", "abc", NULL }, { "c$", "abc", "c" },
		{ "^$", "", "" }, { "$", "a", "" }, { "a$b", "a$b", "a$b" }, { "a^b", "a^b", "a^b" },
		{ "%d+", "ab12c", "12" }, { "%D+", "12ab3", "ab" }, { "%a", "1b", "b" },
		{ "^%u%l+$", "Abc", "Abc" }, { "^%u%l+$", "ABc", NULL }, { "%x+", "xyz1fG", "1f" },
		{ "%p", "a!b", "!" }, { "%s", "a\tb", "\t" }, { "%w+", "--a1_", "a1" },
		{ "%c", "a\x01", "\x01" }, { "[abc]+", "xxcabz", "cab" }, { "[^abc]+", "abxyc", "xy" },
		{ "[a-c]+", "zzabcd", "abc" }, { "[]]", "a]", "]" }, { "[^]]", "]a", "a" },
		{ "[a-]+", "b-a", "-a" }, { "[%a-]+", "1a-b", "a-b" }, { "[%]]", "]", "]" },
		{ "a*", "aaab", "aaa" }, { "a+b", "aaab", "aaab" }, { "a-b", "aaab", "aaab" },
		{ "a.-c", "abcbc", "abc" }, { "ab?c", "ac", "ac" }, { "ab?c", "abc", "abc" },
		{ "ab?bc", "abc", "abc" }, { "%.", "a.b", "." }, { "a%-b", "a-b", "a-b" },
		{ "(%a+)=(%d+)", "x k=12", "k" }, { "((a)b)", "ab", "ab" }, { "()b", "ab", "" },
		{ "%b()", "x(a(b)c)d)", "(a(b)c)" }, { "%b()", "x(a(b", NULL }, { "%bxx", "axbxc", "xbx" },
		{ "%f[%w]%w+", "  the", "the" }, { "%f[%z]", "ab", "" }, { "(.)%1", "abccd", "c" },
		{ "(a*)%1", "aaaa", "aa" }, { ".", "\xff", "\xff" },
		{ "^[%w%.%-%_~]*$", "name-1.x_y~", "name-1.x_y~" }, { "^[%w%.%-%_~]*$", "a/b", NULL },
		/* malformed */
		{ "(", "a", NULL }, { ")", "a", NULL }, { "[a", "a", NULL }, { "%", "a", NULL },
		{ "%1", "a", NULL }, { "(%1)", "a", NULL }, { "%b", "a", NULL }, { "%bx", "a", NULL },
		{ "%fa", "a", NULL }, { "[%", "a", NULL }, { "[", "a", NULL }, { "[]", "]", NULL },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		str first;
		size_t n;
		bool found = pattern_find(str_of(rows[i].pattern), str_of(rows[i].subject), &first,
					  1, &n);

		if (found != !!rows[i].first)
			fail_msg("%s on %s", rows[i].pattern, rows[i].subject);
		if (found && !str_is(first, rows[i].first))
			fail_msg("%s on %s: %.*s", rows[i].pattern, rows[i].subject, STRV(first));
		assert_int_equal(pattern_match(str_of(rows[i].pattern), str_of(rows[i].subject)),
				 found);
	}
}

static void all_captures_are_given(void **state)
{
	str got[4];
	size_t n;

	(void)state;
	assert_true(pattern_find(STR("^(%a+)()(%d*)$"), STR("ab12"), got, 4, &n));
	assert_int_equal(n, 3);
	assert_true(str_is(got[0], "ab"));
	assert_int_equal(got[1].n, 0);
	assert_true(str_is(got[2], "12"));
}

static void endless_matches_are_given_up(void **state)
{
	char subject[3000];

	(void)state;
	memset(subject, 'a', sizeof(subject));
	assert_false(pattern_match(STR("a-a-a-a-a-a-b"), str_at(subject, sizeof(subject))));
	assert_false(pattern_match(STR("^a*a*a*a*a*a*b"), str_at(subject, sizeof(subject))));
	assert_true(pattern_match(STR("^a*$"), str_at(subject, sizeof(subject))));
}

static void deep_patterns_are_given_up(void **state)
{
	char pattern[4000];

	(void)state;
	for (size_t i = 0; i < sizeof(pattern); i += 2)
		memcpy(pattern + i, "a?", 2);
	pattern_match(str_at(pattern, sizeof(pattern)),
		      STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	memset(pattern, '(', sizeof(pattern));
	assert_false(pattern_match(str_at(pattern, sizeof(pattern)), STR("a")));
}

static void malformed_patterns_are_told_apart(void **state)
{
	static const char *const good[] = { "",    "^$", "(a)(%1)", "%b()", "%f[%w]",
					    "[]]", "()", "%%",      "a-" };
	static const char *const bad[] = { "(",    ")",   "[",  "[]",  "%", "%1",
					   "(%1)", "%b(", "%f", "%fa", "[%" };

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(pattern_is_valid(str_of(good[i])));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(pattern_is_valid(str_of(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_as_in_lua),
		cmocka_unit_test(all_captures_are_given),
		cmocka_unit_test(endless_matches_are_given_up),
		cmocka_unit_test(deep_patterns_are_given_up),
		cmocka_unit_test(malformed_patterns_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
