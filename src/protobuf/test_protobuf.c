/* SPDX-License-Identifier: Apache-2.0 */
/* .proto files, documents as messages and back, path templates. */
#include "protobuf/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#include "base/json.h"

static struct arena *a;

static int set_up(void **state)
{
	(void)state;
	a = arena_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	err_forget();
	arena_drop(&a);
	return 0;
}

static const struct proto_set *load(const char *text)
{
	const struct proto_set *s = NULL;
	struct err *e = proto_load_text(a, str_of(text), &s);

	if (e)
		fail_msg(STRF, STRV(err_line(a, e)));
	return s;
}

/* One of everything. */
static const char all[] =
	"syntax = \"proto3\";\n"
	"package a.b; // a comment\n"
	"import \"google/protobuf/timestamp.proto\";\n"
	"import \"google/protobuf/wrappers.proto\";\n"
	"import 'google/protobuf/struct.proto';\n"
	"import \"google/api/annotations.proto\";\n"
	"option go_package = \"x;y\";\n"
	"enum Color { option allow_alias = true; RED = 0; BLUE = 1; NAVY = 1 [deprecated = true];\n"
	" BELOW = -2; reserved 7; }\n"
	"message All {\n"
	" double d = 1; float f = 2; int64 i64 = 3; uint64 u64 = 4; int32 i32 = 5;\n"
	" fixed64 f64 = 6; fixed32 f32 = 7; bool b = 8; string s = 9; bytes y = 10;\n"
	" uint32 u32 = 11; Color e = 12; sfixed32 sf32 = 13; sfixed64 sf64 = 14;\n"
	" sint32 s32 = 15; sint64 s64 = 16;\n"
	" message In { string x = 1; In again = 2; /* nested */ }\n"
	" In in = 20; repeated int32 many = 21; repeated In ins = 22;\n"
	" repeated int32 loose = 23 [packed = false, (a.b.c) = { x: [1] }];\n"
	" map<string, int32> counts = 24; map<int32, In> by_number = 25;\n"
	" oneof one { string left = 26; int32 right = 27; }\n"
	" optional int32 maybe = 28; google.protobuf.Timestamp at = 29;\n"
	" google.protobuf.StringValue wrapped = 30; google.protobuf.Struct doc = 31;\n"
	" reserved 100 to max; reserved \"old\"; .a.b.Color other = 32; repeated string words = "
	"33;\n"
	"}\n"
	"service S {\n"
	" rpc Get(All) returns (All.In) { option (google.api.http) = { get: \"/v1/{s}\"\n"
	"  additional_bindings { post: '/v1' body: \"*\" }\n"
	"  additional_bindings { custom: { kind: \"HEAD\", path: \"/v1/{in.x=a/**}:go\" } } }; };\n"
	" rpc Talk(stream All) returns (stream .a.b.All);\n"
	"}\n";

static const struct proto_message *message(void)
{
	return proto_method_of(load(all), STR("/a.b.S/Get"))->input;
}

static str hex(str bytes)
{
	char *out = arena_bytes(a, 2 * bytes.n + 1);

	for (size_t i = 0; i < bytes.n; i++)
		snprintf(out + 2 * i, 3, "%02x", (unsigned char)bytes.s[i]);
	return str_at(out, 2 * bytes.n);
}

static struct value *json(const char *text)
{
	struct value *v;

	assert_null(json_parse(a, str_of(text), &v));
	return v;
}

static str encoded(const char *text)
{
	struct buf out CLEANUP(buf_done);
	struct err *e;

	buf_init(&out, 0);
	e = proto_encode(message(), json(text), &out);
	if (e)
		fail_msg("%s: " STRF, text, STRV(err_line(a, e)));
	return str_copy(a, buf_str(&out));
}

static void a_file_gives_methods_and_their_bindings(void **state)
{
	const struct proto_set *s = load(all);
	const struct proto_method *m = proto_method_of(s, STR("/a.b.S/Get"));

	(void)state;
	assert_int_equal(s->methods.n, 2);
	assert_non_null(m);
	assert_true(str_is(m->output->name, "a.b.All.In"));
	assert_int_equal(m->rules.n, 3);
	assert_true(str_is(m->rules.v[0].method, "GET") && str_is(m->rules.v[0].path, "/v1/{s}"));
	assert_true(str_is(m->rules.v[1].method, "POST") && str_is(m->rules.v[1].body, "*"));
	assert_true(str_is(m->rules.v[2].method, "HEAD"));
	assert_null(proto_method_of(s, STR("/a.b.S/None")));
}

static void each_type_has_its_bytes(void **state)
{
	static const struct {
		const char *json, *hex;
	} rows[] = {
		{ "{}", "" },
		{ "{\"nobody\":1,\"s\":null}", "" },
		{ "{\"d\":1.5}", "09000000000000f83f" },
		{ "{\"d\":\"NaN\"}", "09000000000000f87f" },
		{ "{\"f\":-2}", "15000000c0" },
		{ "{\"i64\":-1}", "18ffffffffffffffffff01" },
		{ "{\"i64\":\"150\"}", "189601" },
		{ "{\"u64\":\"18446744073709551615\"}", "20ffffffffffffffffff01" },
		{ "{\"i32\":-1}", "28ffffffffffffffffff01" },
		{ "{\"f64\":1}", "310100000000000000" },
		{ "{\"f32\":1}", "3d01000000" },
		{ "{\"b\":true}", "4001" },
		{ "{\"b\":\"false\"}", "4000" },
		{ "{\"b\":\"0\"}", "4000" },
		{ "{\"b\":\"\"}", "4001" },
		{ "{\"s\":\"ab\"}", "4a026162" },
		{ "{\"y\":\"ab\"}", "52026162" },
		{ "{\"u32\":4294967295}", "58ffffffff0f" },
		{ "{\"e\":\"NAVY\"}", "6001" },
		{ "{\"e\":\"BELOW\"}", "60feffffffffffffffff01" },
		{ "{\"e\":9}", "6009" },
		{ "{\"sf32\":-1}", "6dffffffff" },
		{ "{\"sf64\":-1}", "71ffffffffffffffff" },
		{ "{\"s32\":-1}", "7801" },
		{ "{\"s64\":-2}", "800103" },
		{ "{\"in\":{\"x\":\"a\"}}", "a201030a0161" },
		{ "{\"many\":[1,2,300]}", "aa01040102ac02" },
		{ "{\"many\":[]}", "" },
		{ "{\"many\":\"7\"}", "a80107" },
		{ "{\"ins\":[{},{\"x\":\"a\"}]}", "b20100b201030a0161" },
		{ "{\"loose\":[1,2]}", "b80101b80102" },
		{ "{\"counts\":{\"a\":1}}", "c201050a01611001" },
		{ "{\"by_number\":{\"3\":{}}}", "ca010408031200" },
		{ "{\"at\":\"1970-01-01T00:00:01.5Z\"}", "ea010808011080cab5ee01" },
		{ "{\"at\":\"1970-01-01T01:00:01+01:00\"}", "ea01020801" },
		{ "{\"wrapped\":{\"value\":\"x\"}}", "f201030a0178" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		str got = hex(encoded(rows[i].json));

		if (!str_is(got, rows[i].hex))
			fail_msg("%s: " STRF " instead of %s", rows[i].json, STRV(got),
				 rows[i].hex);
	}
}

static void what_does_not_fit_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *json, *why;
	} rows[] = {
		{ "[]", "expected an object" },
		{ "{\"i32\":\"x\"}", "i32: expected a number" },
		{ "{\"i32\":1.5}", "i32: expected a whole number" },
		{ "{\"i32\":2147483648}", "i32: expected a number within its bounds" },
		{ "{\"u32\":-1}", "u32: expected a number within its bounds" },
		{ "{\"u64\":\"18446744073709551616\"}", "u64: expected a whole number" },
		{ "{\"s\":1}", "s: expected a text" },
		{ "{\"in\":{\"again\":{\"x\":{}}}}", "in: again: x: expected a text" },
		{ "{\"many\":[1,{}]}", "many: [1]: expected a number" },
		{ "{\"counts\":[]}", "counts: expected an object" },
		{ "{\"by_number\":{\"x\":{}}}", "by_number: key x: expected a number" },
		{ "{\"e\":\"GREEN\"}", "e: enum a.b.Color: expected a number" },
		{ "{\"at\":\"yesterday\"}", "at: expected a time as RFC 3339 has it" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out CLEANUP(buf_done);
		struct err *e;

		buf_init(&out, 0);
		e = proto_encode(message(), json(rows[i].json), &out);
		assert_non_null(e);
		assert_string_equal(str_z(a, err_line(a, e)), rows[i].why);
	}
}

static void a_message_comes_back_as_it_went(void **state)
{
	const char *text =
		"{\"d\":1.5,\"f\":-2,\"i64\":-1,\"u64\":7,\"i32\":-5,\"f64\":1,\"f32\":2,"
		"\"b\":true,\"s\":\"ab\",\"y\":\"cd\",\"u32\":4294967295,\"e\":\"BLUE\","
		"\"sf32\":-1,\"sf64\":-2,\"s32\":-3,\"s64\":-4,\"in\":{\"x\":\"q\","
		"\"again\":{\"x\":\"\"}},\"many\":[1,2,300],\"ins\":[{\"x\":\"\"},"
		"{\"x\":\"w\"}],\"loose\":[1,2],\"counts\":{\"a\":1,\"b\":2},"
		"\"by_number\":{\"3\":{\"x\":\"t\"}},\"right\":0,\"maybe\":0,"
		"\"at\":\"2026-11-24T10:20:30\",\"wrapped\":{\"value\":\"v\"},"
		"\"doc\":{\"fields\":{\"k\":{\"bool_value\":true}}},\"other\":\"RED\","
		"\"words\":[\"a\",\"\"]}";
	struct value *v;

	(void)state;
	assert_null(proto_decode(a, message(), encoded(text), &v));
	if (!value_eq(v, json(text)))
		fail_msg(STRF, STRV(json_text(a, v, JSON_COMPACT)));
}

static void absent_scalars_have_their_defaults(void **state)
{
	struct value *v;

	(void)state;
	assert_null(proto_decode(a, message(), STR(""), &v));
	assert_true(value_eq(v, json("{\"d\":0,\"f\":0,\"i64\":0,\"u64\":0,\"i32\":0,\"f64\":0,"
				     "\"f32\":0,\"b\":false,\"s\":\"\",\"y\":\"\",\"u32\":0,"
				     "\"e\":\"RED\",\"sf32\":0,\"sf64\":0,\"s32\":0,\"s64\":0,"
				     "\"other\":\"RED\"}")));
}

static void bytes_that_are_no_message_are_refused(void **state)
{
	static const char *const rows[] = {
		"\x08",     /* no value, and not of its kind */
		"\x09\x01", /* cut */
		"\x4a\x05"
		"ab",                                               /* longer than what is there */
		"\x4b",                                             /* a group */
		"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", /* eleven bytes */
		"\x18",
		"\xa2\x01\x02\x0a\x05", /* within a message */
		"\x1d\x01\x02\x03\x04", /* another kind */
	};
	struct buf deep CLEANUP(buf_done) = { 0 };
	struct value *v;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!proto_decode(a, message(), str_of(rows[i]), &v))
			fail_msg("row %zu is taken", i);
	}
	buf_init(&deep, 0);
	for (size_t i = 0; i < 200; i++) { /* a message in a message in ... */
		struct buf outer = { 0 };

		buf_add_char(&outer, 0x12);
		for (size_t n = deep.n;; n >>= 7) {
			buf_add_char(&outer, (char)(n >= 0x80 ? n | 0x80 : n));
			if (n < 0x80)
				break;
		}
		buf_add_str(&outer, buf_str(&deep));
		buf_done(&deep);
		deep = outer;
	}
	assert_non_null(proto_decode(a, proto_method_of(load(all), STR("/a.b.S/Get"))->output,
				     buf_str(&deep), &v));
}

static void a_bad_file_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "message M {", "line 1: expected a name, not the end" },
		{ "syntax = \"proto4\";", "line 1: syntax proto4 is not known" },
		{ "\nmessage M { string s = 0; }", "line 2: 0 is no number for a field" },
		{ "message M { optional string s = 1; optional int32 t = 1; }",
		  "line 1: two fields of M have the number 1" },
		{ "message M { optional Other o = 1; }", "M.o: there is no type Other" },
		{ "message M {} message M {}", "M is there twice" },
		{ "message M { map<float, M> m = 1; }", "line 1: float is no type for keys" },
		{ "enum E {}", "line 1: enum E has no values" },
		{ "import \"none.proto\";", "import none.proto: there is no such file" },
		{ "message M {} service S { rpc R(M) returns (N); }", "/S/R: there is no type N" },
		{ "/* open", "line 1: a comment does not end" },
		{ "option x = \"open\n\";", "line 1: a text does not end" },
		{ "message M {} service S { rpc R(M) returns (M) { option (google.api.http) = "
		  "{ get: \"no\" }; } }",
		  "line 1: no is no path template" },
		{ "what is this", "line 1: what is not understood" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct proto_set *s;
		struct err *e = proto_load_text(a, str_of(rows[i].text), &s);

		assert_non_null(e);
		assert_string_equal(str_z(a, err_line(a, e)), rows[i].why);
	}
}

static void write_file(const char *folder, const char *name, const char *text)
{
	FILE *f = fopen(str_z(a, str_fmt(a, "%s/%s", folder, name)), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void files_import_each_other(void **state)
{
	char folder[] = "/tmp/protobuf.XXXXXX";
	const struct proto_set *s;
	struct err *e;

	(void)state;
	assert_non_null(mkdtemp(folder));
	write_file(folder, "one.proto",
		   "package p; import public 'two.proto'; import 'three.proto';"
		   "message M { optional q.N n = 1; } service A { rpc R(M) returns (q.N); }");
	write_file(
		folder, "two.proto",
		"package q; import 'one.proto'; message N {} service B { rpc R(N) returns (N); }");
	write_file(folder, "three.proto",
		   "package t; message N {} service C { rpc R(N) returns (N); }");
	e = proto_load(a, str_fmt(a, "%s/one.proto", folder), &s);
	if (e)
		fail_msg(STRF, STRV(err_line(a, e)));
	assert_non_null(proto_method_of(s, STR("/p.A/R")));
	assert_non_null(proto_method_of(s, STR("/q.B/R")));
	assert_null(proto_method_of(s, STR("/t.C/R")));
	unlink(str_z(a, str_fmt(a, "%s/one.proto", folder)));
	assert_non_null(proto_load(a, str_fmt(a, "%s/one.proto", folder), &s));
	unlink(str_z(a, str_fmt(a, "%s/two.proto", folder)));
	unlink(str_z(a, str_fmt(a, "%s/three.proto", folder)));
	rmdir(folder);
}

static void templates_take_paths_apart(void **state)
{
	static const struct {
		const char *template, *path, *bound; /* NULL: no match */
	} rows[] = {
		{ "/v1/x", "/v1/x", "" },
		{ "/v1/x", "/v1/xy", NULL },
		{ "/v1/{name}", "/v1/ann", "name=ann;" },
		{ "/v1/{name}", "/v1/", NULL },
		{ "/v1/{name}", "/v1/a/b", NULL },
		{ "/v1/{name=*}", "/v1/ann", "name=ann;" },
		{ "/v1/{name=a/*}/b", "/v1/a/c/b", "name=a/c;" },
		{ "/v1/{name=**}", "/v1/a/b/c", "name=a/b/c;" },
		{ "/v1/{a}/{b.c}", "/v1/x/y", "a=x;b.c=y;" },
		{ "/v1/{name=a/**}:go", "/v1/a/b/c:go", "name=a/b/c;" },
		{ "/v1/{name}:go", "/v1/ann:go", "name=ann;" },
		{ "/v1/{name}:go", "/v1/ann", NULL },
		{ "/v1/*/x", "/v1/any/x", "" },
		{ "/v1/**", "/v1/any/x", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct proto_bindings found = { 0 };
		str got = STR("");
		bool is_match;

		assert_true(proto_template_is_good(str_of(rows[i].template)));
		is_match = proto_template_match(a, str_of(rows[i].template), str_of(rows[i].path),
						&found);
		for (size_t k = 0; k < found.n; k++)
			got = str_fmt(a, STRF STRF "=" STRF ";", STRV(got), STRV(found.v[k].field),
				      STRV(found.v[k].value));
		if (is_match != (rows[i].bound != NULL) ||
		    (is_match && !str_is(got, rows[i].bound)))
			fail_msg("%s on %s: " STRF, rows[i].template, rows[i].path, STRV(got));
	}
}

static void bad_templates_are_known(void **state)
{
	static const char *const rows[] = { "",         "v1",    "/v1/{", "/v1/{}",
					    "/{a={b}}", "/a//b", "/a:",   "/a b" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (proto_template_is_good(str_of(rows[i])))
			fail_msg("%s is taken", rows[i]);
	}
}

static void frames_are_taken_one_by_one(void **state)
{
	struct buf out CLEANUP(buf_done);
	unsigned flags;
	str rest, m;

	(void)state;
	buf_init(&out, 0);
	grpc_frame(&out, 0, STR("one"));
	grpc_frame(&out, GRPC_WEB_TRAILERS, STR(""));
	rest = buf_str(&out);
	assert_true(grpc_unframe(&rest, &flags, &m));
	assert_true(flags == 0 && str_is(m, "one"));
	assert_false(grpc_unframe(&(str){ rest.s, rest.n - 1 }, &flags, &m));
	assert_true(grpc_unframe(&rest, &flags, &m));
	assert_true(flags == GRPC_WEB_TRAILERS && m.n == 0 && rest.n == 0);
	assert_false(grpc_unframe(&rest, &flags, &m));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_gives_methods_and_their_bindings),
		TEST(each_type_has_its_bytes),
		TEST(what_does_not_fit_is_refused_with_its_place),
		TEST(a_message_comes_back_as_it_went),
		TEST(absent_scalars_have_their_defaults),
		TEST(bytes_that_are_no_message_are_refused),
		TEST(a_bad_file_is_refused_with_its_line),
		TEST(files_import_each_other),
		TEST(templates_take_paths_apart),
		TEST(bad_templates_are_known),
		TEST(frames_are_taken_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
