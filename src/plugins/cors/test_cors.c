/* SPDX-License-Identifier: Apache-2.0 */
/* cors: which origin gets which fields. */
#include "plugins/testing.h"

extern const struct plugin plugin_cors;

/* clang-format off */
static const struct {
	const char *conf, *origin;
	const char *allowed, *credentials, *vary;
} cases[] = {
	{ "{}", "https://x.test", "*", "", "" },
	{ "{}", NULL, "*", "", "" },
	{ "{\"origins\":[\"*\"]}", "https://x.test", "*", "", "" },
	{ "{\"credentials\":true}", "https://x.test", "https://x.test", "true", "Origin" },
	{ "{\"credentials\":true}", NULL, "*", "", "" },
	/* one plain origin is sent to everybody */
	{ "{\"origins\":[\"https://a.test\"]}", "https://x.test", "https://a.test", "", "Origin" },
	{ "{\"origins\":[\"https://a.test\"],\"credentials\":true}", NULL, "https://a.test", "true", "Origin" },
	/* ports that go without saying do not count */
	{ "{\"origins\":[\"https://a.test:443\",\"b.test\"]}", "https://a.test", "https://a.test", "", "Origin" },
	{ "{\"origins\":[\"https://a.test\",\"b.test\"]}", "https://a.test:443", "https://a.test", "", "Origin" },
	{ "{\"origins\":[\"https://a.test\",\"b.test\"]}", "https://a.test:8443", "", "", "Origin" },
	/* patterns are anchored; without ":" they are of hosts */
	{ "{\"origins\":[\"https://.*\\\\.b\\\\.test\"]}", "https://x.b.test", "https://x.b.test", "", "Origin" },
	{ "{\"origins\":[\"https://.*\\\\.b\\\\.test\"]}", "https://x.b.test.evil", "", "", "Origin" },
	{ "{\"origins\":[\"(.*\\\\.)?c\\\\.test\"]}", "http://x.c.test:99", "http://x.c.test:99", "", "Origin" },
	{ "{\"origins\":[\"(.*\\\\.)?c\\\\.test\"]}", "http://evilc.test", "", "", "Origin" },
	{ "{\"origins\":[\"^https://d\\\\.test$\"]}", "https://d.test", "https://d.test", "", "Origin" },
};
/* clang-format on */

static void origins_are_allowed_by_the_list(void **state)
{
	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *origin = cases[i].origin;
		struct req *r = test_request(
			"GET", "/", origin ? str_fmt(test.a, "Origin: %s\r\n", origin).s : "");

		r->run->has_reply = true;
		reply_set_header(r, STR("Access-Control-Allow-Origin"), STR("https://upstream"));
		test_run(&plugin_cors, PHASE_HEADER_FILTER, r, cases[i].conf);
		assert_string_equal(test_reply(r, "access-control-allow-origin"), cases[i].allowed);
		assert_string_equal(test_reply(r, "access-control-allow-credentials"),
				    cases[i].credentials);
		assert_string_equal(test_reply(r, "vary"), cases[i].vary);
	}
}

static void preflights_are_answered_once(void **state)
{
	struct req *r = test_request("OPTIONS", "/",
				     "Origin: https://x.test\r\n"
				     "Access-Control-Request-Method: PUT\r\n"
				     "Access-Control-Request-Headers: X-A\r\n");

	(void)state;
	assert_int_equal(test_run(&plugin_cors, PHASE_ACCESS, r, "{\"max_age\":1.5}"), DONE);
	assert_int_equal(r->run->answer.status, 200);
	assert_int_equal(r->run->answer.body.n, 0);
	assert_string_equal(test_reply(r, "access-control-allow-headers"), "X-A");
	assert_string_equal(test_reply(r, "access-control-max-age"), "1.5");
	test_run(&plugin_cors, PHASE_HEADER_FILTER, r, "{\"exposed_headers\":[\"X-B\"]}");
	assert_string_equal(test_reply(r, "access-control-expose-headers"), "");
}

/* An empty list allows none beyond those that need no leave; null allows all. */
static void methods_are_those_of_the_list(void **state)
{
	static const struct {
		const char *conf, *methods;
	} lists[] = {
		{ "{}", "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT" },
		{ "{\"methods\":null}", "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT" },
		{ "{\"methods\":[]}", "" },
		{ "{\"methods\":[\"PUT\",\"GET\"]}", "PUT,GET" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lists); i++) {
		struct req *r = test_request("OPTIONS", "/",
					     "Origin: https://x.test\r\n"
					     "Access-Control-Request-Method: PUT\r\n");

		test_run(&plugin_cors, PHASE_ACCESS, r, lists[i].conf);
		assert_string_equal(test_reply(r, "access-control-allow-methods"),
				    lists[i].methods);
	}
}

static void other_requests_are_no_preflights(void **state)
{
	static const struct {
		const char *method, *headers;
	} others[] = {
		{ "OPTIONS", "Origin: https://x.test\r\n" },
		{ "OPTIONS", "Access-Control-Request-Method: PUT\r\n" },
		{ "GET", "Origin: https://x.test\r\nAccess-Control-Request-Method: PUT\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(others); i++) {
		struct req *r = test_request(others[i].method, "/", others[i].headers);

		assert_int_equal(test_run(&plugin_cors, PHASE_ACCESS, r, "{}"), NEXT);
	}
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_cors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(origins_are_allowed_by_the_list),
		cmocka_unit_test(preflights_are_answered_once),
		cmocka_unit_test(methods_are_those_of_the_list),
		cmocka_unit_test(other_requests_are_no_preflights),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
