/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments in, documents out, compared as JSON. */
#include "admin/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/json.h"

/* clang-format off */
static const struct {
	const char *form, *json;
} cases[] = {
	{ "a=1&b=x",                         "{\"a\":\"1\",\"b\":\"x\"}" },
	{ "a=%20x+y%26",                     "{\"a\":\" x y&\"}" },
	{ "a",                               "{\"a\":true}" },
	{ "a=",                              "{\"a\":\"\"}" },
	{ "a.b=1&a.c=2",                     "{\"a\":{\"b\":\"1\",\"c\":\"2\"}}" },
	{ "a.b.c=1",                         "{\"a\":{\"b\":{\"c\":\"1\"}}}" },
	{ "a=1&a=2&a=3",                     "{\"a\":[\"1\",\"2\",\"3\"]}" },
	{ "a[]=1&a[]=2",                     "{\"a\":[\"1\",\"2\"]}" },
	{ "a[]=1",                           "{\"a\":[\"1\"]}" },
	{ "a[2]=y&a[1]=x",                   "{\"a\":[\"x\",\"y\"]}" },
	{ "a[7]=x",                          "{\"a\":[\"x\"]}" },
	{ "a[1].b=1&a[1].c=2&a[2].b=3",      "{\"a\":[{\"b\":\"1\",\"c\":\"2\"},{\"b\":\"3\"}]}" },
	{ "a[].b=1&a[].c=2&a[].b=3",         "{\"a\":[{\"b\":\"1\",\"c\":\"2\"},{\"b\":\"3\"}]}" },
	{ "config.redis.host=h&config.x[]=1", "{\"config\":{\"redis\":{\"host\":\"h\"},\"x\":[\"1\"]}}" },
	{ "a[][1]=x",                        "{\"a\":[[\"x\"]]}" },
	{ ".a=1&b.=2&.=3",                   "{\".a\":\"1\",\"b.\":\"2\",\".\":\"3\"}" },
	{ "a..b=1",                          "{\"a\":{\"b\":\"1\"}}" },
	{ "[]=1",                            "{\"[]\":\"1\"}" },
	{ "a[x]=1",                          "{\"a[x]\":\"1\"}" },
	{ "a[0]=1",                          "{\"a[0]\":\"1\"}" },
	{ "a[999999999]=1",                  "{\"a[999999999]\":\"1\"}" },
	{ "a=1&a.b=2",                       "{\"a\":{\"b\":\"2\"}}" },
	{ "",                                "{}" },
};
/* clang-format on */

static void names_say_where_values_go(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct form_args args = form_urlencoded(a, str_of(cases[i].form));
		str got = json_text(a, form_document(a, &args), JSON_COMPACT);

		if (!str_is(got, cases[i].json))
			fail_msg("%s: " STRF, cases[i].form, STRV(got));
	}
}

static void deep_names_are_taken_as_they_are(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str name = STR("a");
	struct form_args args;
	struct value *v;

	(void)state;
	for (int i = 0; i < 200; i++)
		name = str_cat(a, name, STR(".a"));
	args = form_urlencoded(a, str_cat(a, name, STR("=1")));
	v = form_document(a, &args);
	assert_int_equal(v->n, 1);
	assert_true(str_eq(v->members[0].key, name));
}

static void too_many_arguments_are_noticed(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char text[2 * (FORM_MAX_ARGS + 1)];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i += 2)
		memcpy(text + i, "a&", 2);
	assert_false(form_urlencoded(a, str_at(text, 2 * FORM_MAX_ARGS - 1)).is_cut);
	assert_true(form_urlencoded(a, str_at(text, sizeof(text) - 1)).is_cut);
}

/* ---- kinds -------------------------------------------------------------------------------- */

struct inner {
	int64_t n;
};

struct thing {
	str s;
	int64_t i;
	double d;
	bool b;
	strs list;
	struct ints numbers;
	struct inner record;
	const struct value *map;
	uuid other;
};

/* clang-format off */
static const struct field inner_rows[] = {
	F_INT(struct inner, n, .help = "A number."),
	F_END
};

#define T struct thing
static const struct field rows[] = {
	F_STR(T,    s,       .help = "A text."),
	F_INT(T,    i,       .help = "A number."),
	F_NUM(T,    d,       .help = "A real number."),
	F_BOOL(T,   b,       .help = "Yes or no."),
	F_STRS(T,   list,    .elements = FIELD(FIELD_STRING), .help = "Texts."),
	F_INTS(T,   numbers, .elements = FIELD(FIELD_INTEGER), .help = "Numbers."),
	F_RECORD(T, record,  .fields = inner_rows, .help = "A record."),
	F_MAP(T,    map,     .keys = FIELD(FIELD_STRING), .values = FIELD(FIELD_INTEGER), .help = "Numbers by name."),
	F_REF(T,    other, "things", .help = "Another one."),
	F_END
};
#undef T

static const struct {
	const char *form, *json;
} kinds[] = {
	{ "i=12",              "{\"i\":12}" },
	{ "i=1.5",             "{\"i\":1.5}" },
	{ "i=x",               "{\"i\":\"x\"}" },
	{ "d=2",               "{\"d\":2}" },
	{ "b=true",            "{\"b\":true}" },
	{ "b=yes",             "{\"b\":\"yes\"}" },
	{ "s=1",               "{\"s\":\"1\"}" },
	{ "s=",                "{\"s\":null}" },
	{ "list=a",            "{\"list\":[\"a\"]}" },
	{ "list=a,b",          "{\"list\":[\"a,b\"]}" },
	{ "list=",             "{\"list\":null}" },
	{ "numbers[]=1&numbers[]=2", "{\"numbers\":[1,2]}" },
	{ "record.n=5",        "{\"record\":{\"n\":5}}" },
	{ "map.x=5",           "{\"map\":{\"x\":5}}" },
	{ "other.id=7",        "{\"other\":{\"id\":\"7\"}}" },
	{ "other=",            "{\"other\":null}" },
	{ "unknown=5",         "{\"unknown\":\"5\"}" },
};
/* clang-format on */

static void rows_say_what_texts_are(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct schema *s = schema_new(a, "things", rows, NULL, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct form_args args = form_urlencoded(a, str_of(kinds[i].form));
		struct value *v = form_document(a, &args);
		str got;

		form_infer(a, s, NULL, v);
		got = json_text(a, v, JSON_COMPACT);
		if (!str_is(got, kinds[i].json))
			fail_msg("%s: " STRF, kinds[i].form, STRV(got));
	}
}

/* ---- multipart ------------------------------------------------------------------------------ */

static void multipart_parts_are_values(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct form_args args;
	str body = STR(
		"preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"a.b\"\r\n\r\n"
		"one\r\ntwo\r\n--XX  \r\ncontent-disposition: form-data; filename=\"f\"; name=c\r\n"
		"Content-Type: application/json\r\n\r\n{\"d\":[1]}\r\n"
		"--XX\r\nContent-Disposition: form-data; name=\"x\"; "
		"name*=utf-8''%C3%A9\r\n\r\n\r\n"
		"--XX\r\nContent-Disposition: form-data\r\n\r\nnameless\r\n--XX--\r\nepilogue");

	(void)state;
	assert_true(form_multipart(a, STR("multipart/form-data; boundary=\"XX\""), body, &args));
	assert_int_equal(args.n, 3);
	assert_true(str_is(json_text(a, form_document(a, &args), JSON_COMPACT),
			   "{\"a\":{\"b\":\"one\\r\\ntwo\"},\"c\":{\"d\":[1]},\"\xc3\xa9\":\"\"}"));
}

static void malformed_multipart_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"--XX",
		"--XX\r\n",
		"--XX\r\nname\r\n--XX--",
		"--XXjunk\r\n\r\na\r\n--XX--",
		"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nunfinished",
	};
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct form_args args;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (form_multipart(a, STR("multipart/form-data; boundary=XX"), str_of(bad[i]),
				   &args))
			fail_msg("%s", bad[i]);
	assert_false(form_multipart(a, STR("multipart/form-data"), STR("--\r\n"), &args));
	assert_true(
		form_multipart(a, STR("multipart/form-data; boundary=XX"), STR("--XX--"), &args));
	assert_int_equal(args.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_say_where_values_go),
		cmocka_unit_test(deep_names_are_taken_as_they_are),
		cmocka_unit_test(too_many_arguments_are_noticed),
		cmocka_unit_test(rows_say_what_texts_are),
		cmocka_unit_test(multipart_parts_are_values),
		cmocka_unit_test(malformed_multipart_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
