/* SPDX-License-Identifier: Apache-2.0 */
/* request-termination: what is answered, and what may not go together. */
#include "plugins/testing.h"

extern const struct plugin plugin_request_termination;

/* clang-format off */
static const struct {
	const char *conf, *target, *headers, *answer;
} cases[] = {
	{ "{}", "/", "", "503 Service unavailable" },
	{ "{\"status_code\":404}", "/", "", "404 Not found" },
	{ "{\"status_code\":502}", "/", "", "502 Bad Gateway" },
	{ "{\"status_code\":418}", "/", "", "418 " },
	{ "{\"message\":\"gone\"}", "/", "", "503 gone" },
	{ "{\"body\":\"<x>\",\"content_type\":\"text/x\"}", "/", "", "503 <x>" },
	{ "{\"trigger\":\"stop\"}", "/", "", "" },
	{ "{\"trigger\":\"stop\"}", "/?stop", "", "503 Service unavailable" },
	{ "{\"trigger\":\"stop\"}", "/", "STOP: 1\r\n", "503 Service unavailable" },
};

static const struct {
	const char *conf, *errors;
} checks[] = {
	{ "{\"message\":\"a\",\"body\":\"b\"}", "{\"config\":\"message cannot be used with content_type or body\"}" },
	{ "{\"message\":\"a\",\"content_type\":\"b\"}", "{\"config\":\"message cannot be used with content_type or body\"}" },
	{ "{\"content_type\":\"b\"}", "{\"config\":\"content_type requires a body\"}" },
	{ "{\"echo\":true,\"body\":\"b\"}", "{\"config\":\"echo cannot be used with content_type and body\"}" },
	{ "{\"status_code\":600}", "{\"config\":{\"status_code\":\"value should be between 100 and 599\"}}" },
	{ "{\"echo\":true,\"message\":\"a\"}", "" },
};
/* clang-format on */

static void requests_are_answered(void **state)
{
	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = test_request("GET", cases[i].target, cases[i].headers);

		test_run(&plugin_request_termination, PHASE_ACCESS, r, cases[i].conf);
		assert_string_equal(test_answer(r), cases[i].answer);
	}
}

static void what_excludes_each_other_is_refused(void **state)
{
	struct value *doc;

	(void)state;
	for (size_t i = 0; i < COUNT(checks); i++)
		assert_string_equal(str_z(test.a, test_check(&plugin_request_termination,
							     checks[i].conf, &doc)),
				    checks[i].errors);
}

static void an_echo_says_what_came(void **state)
{
	struct req *r = test_request("POST", "/p?a=1&b&a=2", "X-A: 1\r\nX-A: 2\r\n");
	struct value *v;

	(void)state;
	req_set_body(r, STR("text"));
	test_run(&plugin_request_termination, PHASE_ACCESS, r, "{\"echo\":true}");
	v = test_json(str_z(test.a, r->run->answer.body));
	assert_string_equal(
		str_z(test.a, json_text(test.a, value_get(value_get(v, "request"), "query"), 0)),
		"{\"a\":[\"1\",\"2\"],\"b\":true}");
	assert_string_equal(str_z(test.a, value_get(value_get(v, "request"), "raw_body")->s),
			    "text");
	assert_int_equal(value_get(value_get(value_get(v, "request"), "headers"), "x-a")->n, 2);
}

/* clang-format off */
static const struct {
	const char *type, *raw, *body; /* NULL: nothing is said of it */
} bodies[] = {
	{ "application/json", "{\"a\":[1,null]}", "{\"a\":[1,null]}" },
	{ "application/json; charset=utf-8", "[1,{}]", "[1,{}]" },
	{ "application/json", "1", NULL },
	{ "application/json", "", NULL },
	{ "application/json", "{", NULL },
	{ "application/x-www-form-urlencoded", "a=1&b&a=%20", "{\"a\":[\"1\",\" \"],\"b\":true}" },
	{ "text/plain", "[1]", NULL },
};
/* clang-format on */

static void an_echo_reads_the_body(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		struct req *r = test_request(
			"POST", "/", str_fmt(test.a, "Content-Type: %s\r\n", bodies[i].type).s);
		const struct value *request, *body;

		req_set_body(r, str_of(bodies[i].raw));
		test_run(&plugin_request_termination, PHASE_ACCESS, r, "{\"echo\":true}");
		request = value_get(test_json(str_z(test.a, r->run->answer.body)), "request");
		assert_string_equal(str_z(test.a, value_get(request, "raw_body")->s),
				    bodies[i].raw);
		body = value_get(request, "body");
		assert_int_equal(!body, !bodies[i].body);
		if (body)
			assert_string_equal(str_z(test.a, json_text(test.a, body, JSON_COMPACT)),
					    bodies[i].body);
	}
}

static void bytes_that_are_no_text_are_replaced(void **state)
{
	struct req *r = test_request("GET", "/?a=%ff", "X-A: \xfe\r\n");
	const struct value *request;

	(void)state;
	req_set_body(r, STR("\xfd"));
	test_run(&plugin_request_termination, PHASE_ACCESS, r, "{\"echo\":true}");
	request = value_get(test_json(str_z(test.a, r->run->answer.body)), "request");
	assert_string_equal(str_z(test.a, value_get(value_get(request, "query"), "a")->s),
			    "\xef\xbf\xbd");
	assert_string_equal(str_z(test.a, value_get(value_get(request, "headers"), "x-a")->s),
			    "\xef\xbf\xbd");
	assert_string_equal(str_z(test.a, value_get(request, "raw_body")->s), "\xef\xbf\xbd");
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_request_termination);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(requests_are_answered),
		cmocka_unit_test(what_excludes_each_other_is_refused),
		cmocka_unit_test(an_echo_says_what_came),
		cmocka_unit_test(an_echo_reads_the_body),
		cmocka_unit_test(bytes_that_are_no_text_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
