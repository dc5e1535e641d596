/* SPDX-License-Identifier: Apache-2.0 */
/* What json.h promises: normal forms, refusals with their place, ceilings. */
#include "base/json.h"
#include "base/limits.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void text_comes_back_in_normal_form(void **state)
{
	/* clang-format off */
	static const struct { const char *in, *out; } rows[] = {
		{ "null", "null" },
		{ " [ 1 , 2 ] ", "[1,2]" },
		{ "{\"b\":1,\"a\":{}}", "{\"b\":1,\"a\":{}}" },
		{ "-0", "0" },
		{ "-0.0", "-0.0" },
		{ "1.0", "1" },
		{ "1e3", "1000" },
		{ "0.1", "0.1" },
		{ "1.5", "1.5" },
		{ "1e300", "1e+300" },
		{ "0.30000000000000004", "0.30000000000000004" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "-9223372036854775808", "-9223372036854775808" },
		{ "9223372036854775808", "9.223372036854776e+18" },
		{ "[18446744073709551616, 1, -99999999999999999999]",
		  "[1.8446744073709552e+19,1,-1e+20]" },
		{ "\"a\\u0000b\"", "\"a\\u0000b\"" },
		{ "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"" },
		{ "\"/\\/\\b\\t\\n\\f\\r\\\"\\\\\\u001f\\u007f\"", "\"//\\b\\t\\n\\f\\r\\\"\\\\\\u001f\\u007f\"" },
		{ "\"12345678901234567890\"", "\"12345678901234567890\"" },
		{ "\"[[[\\\"[\"", "\"[[[\\\"[\"" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		CLEANUP(arena_drop) struct arena *a = arena_new();
		struct value *v;

		assert_null(json_parse(a, str_of(rows[i].in), &v));
		assert_string_equal(str_z(a, json_text(a, v, JSON_COMPACT)), rows[i].out);
	}
}

static void broken_text_is_refused_with_its_place(void **state)
{
	/* clang-format off */
	static const struct { const char *in, *where; } rows[] = {
		{ "", "line 1" },
		{ "[1,]", "line 1, column 4" },
		{ "{\"a\":1,\n\"a\":2}", "line 2" },
		{ "[1] x", "line 1" },
		{ "{'a':1}", "line 1" },
		{ "[01]", "line 1" },
		{ "[00000000000000000000001]", "line 1" },
		{ "1e999", "line 1" },
		{ "NaN", "line 1" },
		{ "\"\xff\"", "line 1" },
		{ "\"\\ud800\"", "line 1" },
		{ "{\"a\\u0000\":1}", "line 1" },
		{ "\"a\nb\"", "line 1" },
		{ "\"open", "line 1" },
		{ "\"open\\", "line 1" },
	};
	/* clang-format on */
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct value *v = NULL;
		struct err *e = json_parse(a, str_of(rows[i].in), &v);

		assert_non_null(e);
		assert_int_equal(e->code, ERR_INVALID);
		assert_non_null(strstr(e->text, rows[i].where));
		assert_null(v);
	}
	err_forget();
}

static void nesting_has_a_ceiling(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	char text[2 * LIMIT_JSON_DEPTH + 2];
	struct value *v;

	(void)state;
	memset(text, '[', LIMIT_JSON_DEPTH);
	memset(text + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
	assert_null(json_parse(a, str_at(text, 2 * LIMIT_JSON_DEPTH), &v));
	memset(text, '[', LIMIT_JSON_DEPTH + 1);
	memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
	assert_non_null(json_parse(a, str_at(text, sizeof(text)), &v));
	err_forget();
}

static void keys_sort_and_lines_indent(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct value *v;

	(void)state;
	assert_null(json_parse(a, STR("{\"b\":[1,{}],\"a\":[]}"), &v));
	assert_string_equal(str_z(a, json_text(a, v, JSON_SORTED)), "{\"a\":[],\"b\":[1,{}]}");
	assert_string_equal(str_z(a, json_text(a, v, JSON_PRETTY)),
			    "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": []\n}");
}

static void what_is_no_utf8_is_replaced(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct value *v = value_str(a, STR("a\xff\xc3\xa9\xe0\x80\x80z\xc3"));

	(void)state;
	assert_string_equal(
		str_z(a, json_text(a, v, 0)),
		"\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\"");
}

static void reals_that_are_no_numbers_are_null(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	assert_true(str_is(json_text(a, value_real(a, (double)INFINITY), 0), "null"));
	assert_true(str_is(json_text(a, value_real(a, (double)NAN), 0), "null"));
	assert_true(str_is(json_text(a, NULL, 0), "null"));
}

static void texts_survive_wherever_they_need_care(void **state)
{
	static const char *const odd[] = { "\"", "\\", "\x01", "\x7f", "\n", "\xc3\xa9", "" };
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)state;
	for (size_t n = 0; n <= 40; n++) {
		for (size_t at = 0; at <= n; at++) {
			for (size_t k = 0; k < COUNT(odd); k++) {
				str x = str_at("0123456789012345678901234567890123456789", n);
				str s = str_fmt(a, STRF "%s" STRF, STRV(str_part(x, 0, at)), odd[k],
						STRV(str_from(x, at)));
				struct value *back;

				assert_null(json_parse(
					a, json_text(a, value_str(a, s), JSON_COMPACT), &back));
				assert_true(back->kind == VALUE_STRING && str_eq(back->s, s));
			}
		}
	}
}

static void of_a_key_that_comes_twice_the_last_counts_in_what_passes(void **state)
{
	struct arena *a = arena_new();
	str text = STR("{\"a\":1,\"b\":2,\"a\":{\"c\":3,\"c\":4}}");
	struct value *v = NULL;

	(void)state;
	assert_non_null(json_parse(a, text, &v));
	assert_null(json_parse_passing(a, text, &v));
	assert_true(str_is(json_text(a, v, JSON_SORTED), "{\"a\":{\"c\":4},\"b\":2}"));
	assert_non_null(json_parse_passing(a, STR("{\"a\":1"), &v));
	arena_drop(&a);
	err_forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_key_that_comes_twice_the_last_counts_in_what_passes),
		cmocka_unit_test(texts_survive_wherever_they_need_care),
		cmocka_unit_test(text_comes_back_in_normal_form),
		cmocka_unit_test(broken_text_is_refused_with_its_place),
		cmocka_unit_test(nesting_has_a_ceiling),
		cmocka_unit_test(keys_sort_and_lines_indent),
		cmocka_unit_test(what_is_no_utf8_is_replaced),
		cmocka_unit_test(reals_that_are_no_numbers_are_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
