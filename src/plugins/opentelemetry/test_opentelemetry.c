/* SPDX-License-Identifier: Apache-2.0 */
/* opentelemetry: what goes on to the service.  What is exported is promised in
 * tests/plugins/test_tracing.py. */
#include "plugins/testing.h"

extern const struct plugin plugin_opentelemetry;

#define T32  "80f198ee56343ba864fe8b2a57d3eff7"
#define T16  "64fe8b2a57d3eff7"
#define S    "e457b5a2e4d86bd1"
#define CONF "{\"endpoint\":\"http://127.0.0.1:1/v1/traces\"}"

static struct req *sent(const char *headers)
{
	struct req *r = test_request("GET", "/x", headers);

	assert_int_equal(test_run(&plugin_opentelemetry, PHASE_ACCESS, r, CONF), NEXT);
	return r;
}

static void a_new_trace_begins_in_w3c_s_form(void **state)
{
	struct req *r = sent("");
	const char *got = test_sent(r, "traceparent");

	(void)state;
	assert_int_equal(strlen(got), 55);
	assert_string_equal(got + 53, "01");
	assert_string_equal(test_sent(r, "x-b3-traceid"), "");
}

static void the_trace_that_came_goes_on_in_its_form(void **state)
{
	struct req *r = sent("traceparent: 00-" T32 "-" S "-01\r\n");

	(void)state;
	assert_memory_equal(test_sent(r, "traceparent"), "00-" T32 "-", 36);
	assert_null(strstr(test_sent(r, "traceparent"), S));
	r = sent("x-b3-traceid: " T16 "\r\nx-b3-spanid: " S "\r\nx-b3-sampled: 1\r\n");
	assert_string_equal(test_sent(r, "x-b3-traceid"), "0000000000000000" T16);
	assert_string_equal(test_sent(r, "x-b3-parentspanid"), S);
	assert_string_equal(test_sent(r, "traceparent"), "");
	r = sent("uber-trace-id: " T32 ":" S ":0:0\r\n");
	assert_memory_equal(test_sent(r, "uber-trace-id"), T32 ":", 33);
	assert_non_null(strstr(test_sent(r, "uber-trace-id"), ":" S ":00"));
}

static void the_span_sent_on_is_the_root(void **state)
{
	struct req *r = test_request("GET", "/x", "");
	struct trace *t = req_trace(r);
	uint8_t id[SPAN_ID] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	t->root = span_begin(t, STR("root"), 2, trace_now(t));
	memcpy(t->root->id, id, sizeof(id));
	test_run(&plugin_opentelemetry, PHASE_ACCESS, r, CONF);
	assert_memory_equal(test_sent(r, "traceparent") + 36, "0102030405060708-01", 19);
}

static void the_rows_are_kong_s(void **state)
{
	struct value *doc;

	(void)state;
	test_schema_of(&plugin_opentelemetry);
	assert_true(test_check(&plugin_opentelemetry, "{}", &doc).n > 0);
	assert_true(test_check(&plugin_opentelemetry, "{\"endpoint\":\"nowhere\"}", &doc).n > 0);
	assert_true(test_check(&plugin_opentelemetry,
			       "{\"endpoint\":\"http://a/\",\"headers\":{\"a b\":\"c\"}}", &doc)
			    .n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(a_new_trace_begins_in_w3c_s_form),
		cmocka_unit_test(the_trace_that_came_goes_on_in_its_form),
		cmocka_unit_test(the_span_sent_on_is_the_root),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
