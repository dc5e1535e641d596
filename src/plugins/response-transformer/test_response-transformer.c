/* SPDX-License-Identifier: Apache-2.0 */
/* response-transformer: what becomes of fields and of members. */
#include "plugins/testing.h"

extern const struct plugin plugin_response_transformer;

static struct req *reply_with(const char *type)
{
	struct req *r;

	test_begin();
	r = test_request("GET", "/", "");
	r->run->has_reply = true;
	reply_add_header(r, STR("Content-Type"), str_of(type));
	http_add(req_arena(r), reply_headers(r), STR("Content-Length"), STR("99"));
	reply_add_header(r, STR("X-A"), STR("1"));
	reply_add_header(r, STR("X-A"), STR("2"));
	reply_add_header(r, STR("X-B"), STR("3"));
	return r;
}

/* All values of a field: "1|2". */
static const char *all_of(struct req *r, const char *name)
{
	str ret = STR("");

	for (unsigned i = 0; i < r->reply.n; i++) {
		if (!str_eq_ci(r->reply.v[i].name, str_of(name)))
			continue;
		ret = str_fmt(test.a, STRF "%s" STRF, STRV(ret), ret.n ? "|" : "",
			      STRV(r->reply.v[i].value));
	}
	return str_z(test.a, ret);
}

/* clang-format off */
static const struct {
	const char *conf, *name, *want;
} fields[] = {
	{ "{}", "X-A", "1|2" },
	{ "{\"remove\":{\"headers\":[\"x-a\"]}}", "X-A", "" },
	{ "{\"remove\":{\"headers\":[\"x-a:1\"]}}", "X-A", "" },
	{ "{\"rename\":{\"headers\":[\"x-a:x-c\"]}}", "X-A", "" },
	{ "{\"rename\":{\"headers\":[\"x-a:x-c\"]}}", "X-C", "1|2" },
	{ "{\"rename\":{\"headers\":[\"x-a:x-b\"]}}", "X-B", "1|2" },
	{ "{\"rename\":{\"headers\":[\"x-z:x-b\"]}}", "X-B", "3" },
	{ "{\"replace\":{\"headers\":[\"x-a:9\"]}}", "X-A", "9" },
	{ "{\"replace\":{\"headers\":[\"x-z:9\"]}}", "X-Z", "" },
	{ "{\"replace\":{\"headers\":[\"x-a:\"]}}", "X-A", "1|2" },
	{ "{\"replace\":{\"headers\":[\"x-a:http://b:1\"]}}", "X-A", "http://b:1" },
	{ "{\"add\":{\"headers\":[\"x-a:9\"]}}", "X-A", "1|2" },
	{ "{\"add\":{\"headers\":[\"x-z:9\"]}}", "X-Z", "9" },
	{ "{\"append\":{\"headers\":[\"x-a:9\"]}}", "X-A", "1|2|9" },
	{ "{\"append\":{\"headers\":[\"x-z:8\",\"x-z:9\"]}}", "X-Z", "8|9" },
	/* it is the reply as it came that is asked */
	{ "{\"remove\":{\"headers\":[\"x-b\"]},\"add\":{\"headers\":[\"x-b:9\"]}}", "X-B", "" },
	{ "{\"remove\":{\"headers\":[\"x-b\"]},\"replace\":{\"headers\":[\"x-b:9\"]}}", "X-B", "9" },
	/* nobody changes how long the body is */
	{ "{\"replace\":{\"headers\":[\"content-length:5\"]}}", "Content-Length", "99" },
	{ "{\"append\":{\"headers\":[\"content-length:5\"]}}", "Content-Length", "99" },
	{ "{\"rename\":{\"headers\":[\"x-b:content-length\"]}}", "Content-Length", "99" },
	{ "{\"add\":{\"json\":[\"a:1\"]}}", "Content-Length", "" },
};

#define JSON(...) #__VA_ARGS__
static const struct {
	const char *conf, *body, *want;
} members[] = {
	{ JSON({"remove":{"json":["a","z"]}}), JSON({"a":1,"b":2}), JSON({"b":2}) },
	{ JSON({"replace":{"json":["a:x","z:y"]}}), JSON({"a":1}), JSON({"a":"x"}) },
	{ JSON({"replace":{"json":["a:x"]}}), JSON({"a":null}), JSON({"a":"x"}) },
	{ JSON({"replace":{"json":["a:x"]}}), JSON({"a":false}), JSON({"a":false}) },
	{ JSON({"add":{"json":["a:x"]}}), JSON({"a":false}), JSON({"a":"x"}) },
	{ JSON({"add":{"json":["a:x","b:y:z"]}}), JSON({"a":1}), JSON({"a":1,"b":"y:z"}) },
	{ JSON({"add":{"json":["a:"]}}), JSON({}), JSON({"a":"null"}) },
	{ JSON({"add":{"json":["a:1","b:2.5","c:true","d:no","e:7"],"json_types":["number","number","boolean","boolean"]}}),
	  JSON({}), JSON({"a":1,"b":2.5,"c":true,"d":false,"e":"7"}) },
	{ JSON({"add":{"json":["a:one"],"json_types":["number"]}}), JSON({}), JSON({}) },
	{ JSON({"append":{"json":["a:x"]}}), JSON({}), JSON({"a":["x"]}) },
	{ JSON({"append":{"json":["a:x","a:y"]}}), JSON({"a":"w"}), JSON({"a":["w","x","y"]}) },
	{ JSON({"append":{"json":["a:x"]}}), JSON({"a":5}), JSON({"a":["x"]}) },
	{ JSON({"append":{"json":["a:x"]}}), JSON({"a":{"b":1}}), JSON({"a":{"b":1,"1":"x"}}) },
	{ JSON({"append":{"json":["a:4"],"json_types":["number"]}}), JSON({"a":[]}), JSON({"a":[4]}) },
	{ JSON({"add":{"json":["a:x"]}}), "[1, 2]", "[1, 2]" },
	{ JSON({"add":{"json":["a:x"]}}), "{\"a\":", "{\"a\":" },
	{ JSON({"add":{"json":["a:x"]}}), "", "" },
	{ JSON({"remove":{"json":["a"]}}), JSON({"a":1,"b":[],"c":{}}), JSON({"b":[],"c":{}}) },
};
/* clang-format on */

static void fields_are_changed_as_they_came(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(fields); i++) {
		struct req *r = reply_with("application/json");

		test_run(&plugin_response_transformer, PHASE_HEADER_FILTER, r, fields[i].conf);
		if (strcmp(all_of(r, fields[i].name), fields[i].want) != 0)
			fail_msg("%s: %s is %s", fields[i].conf, fields[i].name,
				 all_of(r, fields[i].name));
	}
}

/* The body in two pieces. */
static const char *through(struct req *r, const char *conf_text, const char *body)
{
	const struct plugin *p = &plugin_response_transformer;
	void *conf = test_conf(p, conf_text);
	str whole = str_of(body), first, last;

	p->on[PHASE_HEADER_FILTER](r, conf);
	r->run->piece = str_part(whole, 0, whole.n / 2);
	r->run->is_last_piece = false;
	p->on[PHASE_BODY_FILTER](r, conf);
	first = r->run->piece;
	r->run->piece = str_from(whole, whole.n / 2);
	r->run->is_last_piece = true;
	p->on[PHASE_BODY_FILTER](r, conf);
	last = r->run->piece;
	return str_z(test.a, str_cat(test.a, first, last));
}

static void members_are_changed_in_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(members); i++) {
		struct req *r = reply_with("Application/JSON; charset=utf-8");
		const char *got = through(r, members[i].conf, members[i].body);

		if (strcmp(got, members[i].want) != 0)
			fail_msg("%s of %s: %s", members[i].conf, members[i].body, got);
	}
}

static void other_bodies_go_through_untouched(void **state)
{
	struct req *r = reply_with("text/plain");

	(void)state;
	assert_string_equal(through(r, "{\"add\":{\"json\":[\"a:1\"]}}", "{}"), "{}");
	assert_string_equal(test_reply(r, "content-length"), "99");
}

static void wrong_pairs_are_refused(void **state)
{
	struct value *doc;
	str errors;

	(void)state;
	errors = test_check(&plugin_response_transformer, "{\"rename\":{\"headers\":[\"a:b c\"]}}",
			    &doc);
	assert_true(str_find_str(errors, STR("'b c' is not a valid header")) > 0);
	errors = test_check(&plugin_response_transformer, "{\"rename\":{\"headers\":[\"a:\"]}}",
			    &doc);
	assert_true(str_find_str(errors, STR("'' is not a valid header")) > 0);
	errors = test_check(&plugin_response_transformer, "{\"add\":{\"headers\":[\"ab\"]}}", &doc);
	assert_true(str_find_str(errors, STR("invalid value: ab")) > 0);
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_response_transformer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(fields_are_changed_as_they_came),
		cmocka_unit_test(members_are_changed_in_order),
		cmocka_unit_test(other_bodies_go_through_untouched),
		cmocka_unit_test(wrong_pairs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
