/* SPDX-License-Identifier: Apache-2.0 */
/* What yaml.h promises: YAML 1.1's types, aliases and merges, errors with their place. */
#include "base/json.h"
#include "base/yaml.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void scalars_get_their_types(void **state)
{
	/* clang-format off */
	static const struct { const char *in, *out; } rows[] = {
		{ "", "null" }, { "~", "null" }, { "Null", "null" }, { "nULL", "\"nULL\"" },
		{ "true", "true" }, { "Yes", "true" }, { "on", "true" }, { "OFF", "false" },
		{ "no", "false" }, { "n", "\"n\"" }, { "oN", "\"oN\"" },
		{ "0", "0" }, { "-12", "-12" }, { "+12", "12" }, { "1_000", "1000" },
		{ "017", "15" }, { "-017", "-15" }, { "08", "8" }, { "0o17", "\"0o17\"" },
		{ "0x1F", "31" }, { "0b101", "5" }, { "190:20:30", "685230" }, { "12:30", "750" },
		{ "12:60", "\"12:60\"" }, { "1::2", "\"1::2\"" }, { "-1:30", "-90" },
		{ "1.5", "1.5" }, { "1e3", "1000" }, { "1.", "1" }, { ".5", "0.5" },
		{ "1:30.5", "90.5" }, { "1_0.5", "10.5" }, { "3.0", "3" },
		{ ".", "\".\"" }, { "-", "[null]" }, { "1.2.3", "\"1.2.3\"" },
		{ "10.0.0.0/8", "\"10.0.0.0/8\"" }, { "1-2", "\"1-2\"" },
		{ "99999999999999999999", "1e+20" }, { "9223372036854775807", "9223372036854775807" },
		{ ".inf", "null" }, { "-.inf", "null" }, { ".nan", "null" },
		{ "\"1\"", "\"1\"" }, { "'yes'", "\"yes\"" }, { "!!str 12", "\"12\"" },
		{ "!!int \"12\"", "12" }, { "!!float 1", "1" }, { "!!bool y", "true" },
		{ "!!null x", "null" }, { "!own x", "\"x\"" }, { "e5", "\"e5\"" },
		{ "12:30:00 am", "\"12:30:00 am\"" }, { "0x", "\"0x\"" }, { "_", "\"_\"" },
	};
	/* clang-format on */
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct value *v;

		assert_null(yaml_parse(a, str_of(rows[i].in), &v));
		assert_string_equal(str_z(a, json_text(a, v, JSON_COMPACT)), rows[i].out);
	}
}

static void documents_become_values(void **state)
{
	/* clang-format off */
	static const struct { const char *in, *out; } rows[] = {
		{ "a: 1\nb: [x, {c: d}]\n", "{\"a\":1,\"b\":[\"x\",{\"c\":\"d\"}]}" },
		{ "a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}" },
		{ "1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"}" },
		{ "a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}" },
		{ "base: &x {b: 1, c: 2}\nd:\n  c: 3\n  <<: *x\n  e: 4\n",
		  "{\"base\":{\"b\":1,\"c\":2},\"d\":{\"c\":3,\"e\":4,\"b\":1}}" },
		{ "d:\n  <<: [{a: 1}, {a: 2, b: 3}]\n", "{\"d\":{\"a\":1,\"b\":3}}" },
		{ "\"<<\": 1\n", "{\"<<\":1}" },
		{ "---\na: 1\n---\nb: 2\n", "{\"a\":1}" },
		{ "# nothing\n", "null" },
		{ "&k a: 1\nb: *k\n", "{\"a\":1,\"b\":\"a\"}" },
		{ "{\"a\": [1, 2.5, null]}", "{\"a\":[1,2.5,null]}" },
	};
	/* clang-format on */
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct value *v;

		assert_null(yaml_parse(a, str_of(rows[i].in), &v));
		assert_string_equal(str_z(a, json_text(a, v, JSON_COMPACT)), rows[i].out);
	}
}

static void errors_name_line_and_column(void **state)
{
	/* clang-format off */
	static const struct { const char *in, *words; } rows[] = {
		{ "a: [1\nb: 2", "line 2, column" },
		{ "a: 1\na: 2", "line 2, column 1: key 'a' is there twice" },
		{ "a: *x", "line 1, column 4: an alias to an anchor" },
		{ "a: &x [*x]", "an alias inside its own anchor" },
		{ "[a]: 1", "a key must be a scalar" },
		{ "<<: 1", "<< wants" },
		{ "<<: [1]", "<< wants" },
		{ "a: !!int x", "does not fit its tag" },
		{ "\ta: 1", "line 1" },
		{ "a: \xff", "byte 3" },
		{ "a: 'x", "line" },
	};
	/* clang-format on */
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct value *v;
		struct err *e = yaml_parse(a, str_of(rows[i].in), &v);

		assert_non_null(e);
		assert_non_null(strstr(e->text, rows[i].words));
	}
	err_forget();
}

static void an_alias_bomb_is_refused(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str text = STR("a: &x0 [1,2,3,4,5,6,7,8,9,10]\n");
	struct value *v;

	(void)state;
	for (int i = 1; i < 12; i++)
		text = str_fmt(a, STRF "x%d: &x%d [*x%d,*x%d,*x%d,*x%d,*x%d,*x%d]\n", STRV(text), i,
			       i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	assert_non_null(strstr(yaml_parse(a, text, &v)->text, "aliases repeat too much"));
	err_forget();
}

static void nesting_has_a_ceiling(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	char text[500];
	struct value *v;

	(void)state;
	memset(text, '[', sizeof(text));
	assert_non_null(strstr(yaml_parse(a, str_at(text, sizeof(text)), &v)->text, "too deeply"));
	err_forget();
}

static void many_keys_are_found_twice(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str text = STR("");
	struct value *v;

	(void)state;
	for (int i = 0; i < 100; i++)
		text = str_fmt(a, STRF "k%d: %d\n", STRV(text), i, i);
	assert_null(yaml_parse(a, text, &v));
	assert_int_equal(v->n, 100);
	text = str_cat(a, text, STR("k50: x\n"));
	assert_non_null(yaml_parse(a, text, &v));
	err_forget();
}

static void an_alias_is_a_copy(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct value *v;

	(void)state;
	assert_null(yaml_parse(a, STR("a: &x {b: 1}\nc: *x\n"), &v));
	value_set(a, value_get(v, "c"), STR("b"), value_int(a, 2));
	assert_int_equal(value_get(value_get(v, "a"), "b")->i, 1);
}

static void what_is_written_reads_back(void **state)
{
	static const char text[] =
		"{\"a\":[],\"b\":{},\"c\":[1,2.5,true,null,\"\",\"yes\",\"12\",\"x: y\","
		"\"- a\",\"line\\nline\\n\",\"#\",\" x \",\"\\u0001\",\"~\",\"<<\",\"1:30\"],"
		"\"<<\":{\"a\":[[1]]},\"no\":\"\xc3\xa9\"}";
	CLEANUP(arena_drop) struct arena *a = arena_new();
	CLEANUP(buf_done) struct buf out;
	struct value *v, *again;

	(void)state;
	buf_init(&out, 0);
	assert_null(json_parse(a, str_of(text), &v));
	yaml_write(&out, v);
	assert_false(out.is_full);
	assert_null(yaml_parse(a, buf_str(&out), &again));
	assert_string_equal(str_z(a, json_text(a, again, 0)), text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_get_their_types),
		cmocka_unit_test(documents_become_values),
		cmocka_unit_test(errors_name_line_and_column),
		cmocka_unit_test(an_alias_bomb_is_refused),
		cmocka_unit_test(nesting_has_a_ceiling),
		cmocka_unit_test(many_keys_are_found_twice),
		cmocka_unit_test(an_alias_is_a_copy),
		cmocka_unit_test(what_is_written_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
