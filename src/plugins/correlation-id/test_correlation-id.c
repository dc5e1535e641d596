/* SPDX-License-Identifier: Apache-2.0 */
/* correlation-id: made once, kept when it came, told when asked. */
#include "plugins/testing.h"

extern const struct plugin plugin_correlation_id;

static void an_id_is_made_when_none_came(void **state)
{
	struct req *r = test_request("GET", "/", "Kong-Request-ID: \r\n");

	(void)state;
	plugin_correlation_id.start(NULL);
	test_run(&plugin_correlation_id, PHASE_ACCESS, r, "{}");
	assert_int_equal(strlen(test_sent(r, "kong-request-id")), 38);
	assert_string_equal(test_sent(r, "kong-request-id") + 36, "#1");
	r = test_request("GET", "/", "Kong-Request-ID: mine\r\n");
	test_run(&plugin_correlation_id, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_sent(r, "kong-request-id"), "mine");
	r = test_request("GET", "/", "");
	test_run(&plugin_correlation_id, PHASE_ACCESS, r,
		 "{\"generator\":\"uuid\",\"header_name\":\"X-Id\"}");
	assert_int_equal(strlen(test_sent(r, "x-id")), 36);
}

static void replies_have_it_when_asked(void **state)
{
	static const char conf[] = "{\"echo_downstream\":true}";
	struct req *r = test_request("GET", "/", "");

	(void)state;
	test_run(&plugin_correlation_id, PHASE_ACCESS, r, conf);
	r->run->has_reply = true;
	test_run(&plugin_correlation_id, PHASE_HEADER_FILTER, r, conf);
	assert_string_equal(test_reply(r, "kong-request-id"), test_sent(r, "kong-request-id"));
	r = test_request("GET", "/", "");
	r->run->has_reply = true;
	test_run(&plugin_correlation_id, PHASE_HEADER_FILTER, r, "{}");
	assert_string_equal(test_reply(r, "kong-request-id"), "");
	test_run(&plugin_correlation_id, PHASE_HEADER_FILTER, r, conf); /* access never ran */
	assert_int_not_equal(strlen(test_reply(r, "kong-request-id")), 0);
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_correlation_id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(an_id_is_made_when_none_came),
		cmocka_unit_test(replies_have_it_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
