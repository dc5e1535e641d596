/* SPDX-License-Identifier: Apache-2.0 */
/* request-size-limiting: declared lengths, units, and limits of what is to come. */
#include "plugins/testing.h"

extern const struct plugin plugin_request_size_limiting;

/* clang-format off */
static const struct {
	const char *conf, *headers, *answer;
	int64_t max; /* for the body that comes; -1: none */
} cases[] = {
	{ "{}", "", "", -1 },
	{ "{}", "Content-Length: 134217728\r\n", "", -1 },
	{ "{}", "Content-Length: 134217729\r\n", "413 Request size limit exceeded", -1 },
	{ "{\"size_unit\":\"kilobytes\",\"allowed_payload_size\":1}", "Content-Length: 1024\r\n", "", -1 },
	{ "{\"size_unit\":\"kilobytes\",\"allowed_payload_size\":1}", "Content-Length: 1025\r\n", "413 Request size limit exceeded", -1 },
	{ "{\"size_unit\":\"bytes\",\"allowed_payload_size\":5}", "Content-Length: 6\r\n", "413 Request size limit exceeded", -1 },
	{ "{\"size_unit\":\"bytes\",\"allowed_payload_size\":5}", "Content-Length: 6\r\nExpect: 100-Continue\r\n", "417 Request size limit exceeded", -1 },
	{ "{\"size_unit\":\"bytes\",\"allowed_payload_size\":5}", "Transfer-Encoding: chunked\r\n", "", 5 },
	{ "{\"allowed_payload_size\":0}", "Transfer-Encoding: chunked\r\n", "", 0 },
	{ "{\"allowed_payload_size\":0}", "Content-Length: 1\r\n", "413 Request size limit exceeded", -1 },
	{ "{\"require_content_length\":true}", "", "411 A valid Content-Length header is required", -1 },
	{ "{\"require_content_length\":true}", "Transfer-Encoding: chunked\r\n", "", 128 << 20 },
	{ "{\"require_content_length\":true}", "Content-Length: 0\r\n", "", -1 },
};
/* clang-format on */

static void lengths_decide(void **state)
{
	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = test_request("POST", "/", cases[i].headers);

		test_run(&plugin_request_size_limiting, PHASE_ACCESS, r, cases[i].conf);
		assert_string_equal(test_answer(r), cases[i].answer);
		assert_int_equal(r->body.has_max ? (int64_t)r->body.max : -1, cases[i].max);
	}
}

static void the_lower_limit_stays(void **state)
{
	struct req *r = test_request("POST", "/", "Transfer-Encoding: chunked\r\n");

	(void)state;
	r->body.max = 3;
	r->body.has_max = true;
	test_run(&plugin_request_size_limiting, PHASE_ACCESS, r, "{}");
	assert_int_equal(r->body.max, 3);
	assert_int_equal(r->too_large_status, 0);
}

/* Another plugin wanted to see it before. */
static void a_body_that_was_read_is_measured_too(void **state)
{
	static const char conf[] = "{\"size_unit\":\"bytes\",\"allowed_payload_size\":3}";
	struct req *r = test_request("POST", "/", "Transfer-Encoding: chunked\r\n");

	(void)state;
	req_set_body(r, STR("abc"));
	assert_int_equal(test_run(&plugin_request_size_limiting, PHASE_ACCESS, r, conf), NEXT);
	req_set_body(r, STR("abcd"));
	test_run(&plugin_request_size_limiting, PHASE_ACCESS, r, conf);
	assert_string_equal(test_answer(r), "413 Request size limit exceeded");
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_request_size_limiting);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(lengths_decide),
		cmocka_unit_test(the_lower_limit_stays),
		cmocka_unit_test(a_body_that_was_read_is_measured_too),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
