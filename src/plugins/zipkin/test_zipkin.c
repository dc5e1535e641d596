/* SPDX-License-Identifier: Apache-2.0 */
/* zipkin: which trace a request belongs to, and what goes on to the service.  What is
 * reported is promised in tests/plugins/test_tracing.py. */
#include "plugins/testing.h"

extern const struct plugin plugin_zipkin;

#define T32 "80f198ee56343ba864fe8b2a57d3eff7"
#define S   "e457b5a2e4d86bd1"
#define P   "05e3ac9a4f6e3b90"

static struct req *sent(const char *headers, const char *conf)
{
	struct req *r = test_request("GET", "/x", headers);

	assert_int_equal(test_run(&plugin_zipkin, PHASE_ACCESS, r, conf), NEXT);
	return r;
}

static void a_new_trace_begins_in_the_default_form(void **state)
{
	struct req *r = sent("", "{\"sample_ratio\":0}");

	(void)state;
	assert_int_equal(strlen(test_sent(r, "x-b3-traceid")), 32);
	assert_int_equal(strlen(test_sent(r, "x-b3-spanid")), 16);
	assert_int_equal(strlen(test_sent(r, "x-b3-parentspanid")), 16);
	assert_string_equal(test_sent(r, "x-b3-sampled"), "0");
	r = sent("", "{\"sample_ratio\":1,\"traceid_byte_count\":8}");
	assert_int_equal(strlen(test_sent(r, "x-b3-traceid")), 16);
	assert_string_equal(test_sent(r, "x-b3-sampled"), "1");
	r = sent("",
		 "{\"sample_ratio\":1,\"traceid_byte_count\":8,\"default_header_type\":\"w3c\"}");
	assert_string_equal(test_sent(r, "x-b3-traceid"), "");
	assert_memory_equal(test_sent(r, "traceparent"), "00-0000000000000000", 19);
	assert_int_equal(strlen(test_sent(r, "traceparent")), 55);
}

static void the_trace_that_came_goes_on_in_its_form(void **state)
{
	static const struct {
		const char *headers, *name, *begins;
	} rows[] = {
		{ "X-B3-TraceId: " T32 "\r\nX-B3-SpanId: " S "\r\n", "x-b3-traceid", T32 },
		{ "X-B3-TraceId: " T32 "\r\nX-B3-SpanId: " S "\r\n", "x-b3-parentspanid", S },
		{ "b3: " T32 "-" S "-1-" P "\r\n", "b3", T32 "-" },
		{ "traceparent: 00-" T32 "-" S "-01\r\n", "traceparent", "00-" T32 "-" },
		{ "uber-trace-id: " T32 ":" S ":0:1\r\n", "uber-trace-id", T32 ":" },
		{ "ot-tracer-traceid: " T32 "\r\not-tracer-spanid: " S "\r\n", "ot-tracer-traceid",
		  T32 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct req *r = sent(rows[i].headers, "{\"sample_ratio\":1}");
		const char *got = test_sent(r, rows[i].name);

		if (strncmp(got, rows[i].begins, strlen(rows[i].begins)) != 0)
			fail_msg("%s: %s is %s", rows[i].headers, rows[i].name, got);
		if (i >= 2)
			assert_string_equal(test_sent(r, "x-b3-traceid"), "");
	}
}

static void what_callers_decided_stands(void **state)
{
	struct req *r = sent("traceparent: 00-" T32 "-" S "-00\r\n", "{\"sample_ratio\":1}");

	(void)state;
	assert_string_equal(test_sent(r, "traceparent") + 53, "00");
	r = sent("traceparent: 00-" T32 "-" S "-01\r\n", "{\"sample_ratio\":0}");
	assert_string_equal(test_sent(r, "traceparent") + 53, "01");
	r = sent("x-b3-sampled: 1\r\n", "{\"sample_ratio\":0}");
	assert_string_equal(test_sent(r, "x-b3-sampled"), "1");
	assert_int_equal(strlen(test_sent(r, "x-b3-traceid")), 32);
	r = sent("x-b3-flags: 1\r\n", "{\"sample_ratio\":0}");
	assert_string_equal(test_sent(r, "x-b3-flags"), "1");
}

static void a_form_of_its_own_is_sent_beside_the_one_that_came(void **state)
{
	struct req *r =
		sent("traceparent: 00-" T32 "-" S "-01\r\n", "{\"header_type\":\"jaeger\"}");

	(void)state;
	assert_memory_equal(test_sent(r, "uber-trace-id"), T32 ":", 33);
	assert_memory_equal(test_sent(r, "traceparent"), "00-" T32 "-", 36);
	assert_string_not_equal(test_sent(r, "traceparent"), "00-" T32 "-" S "-01");
	r = sent("traceparent: 00-" T32 "-" S "-01\r\n",
		 "{\"header_type\":\"ignore\",\"default_header_type\":\"w3c\",\"sample_ratio\":0}");
	assert_null(strstr(test_sent(r, "traceparent"), T32));
	assert_string_equal(test_sent(r, "traceparent") + 53, "00");
}

static void malformed_headers_begin_a_new_trace_in_their_form(void **state)
{
	struct req *r = sent("traceparent: 00-" T32 "-" S "-zz\r\n", "{\"sample_ratio\":1}");

	(void)state;
	assert_null(strstr(test_sent(r, "traceparent"), T32));
	assert_int_equal(strlen(test_sent(r, "traceparent")), 55);
	assert_string_equal(test_sent(r, "x-b3-traceid"), "");
}

static void replies_have_the_id_when_asked(void **state)
{
	static const char conf[] = "{\"http_response_header_for_traceid\":\"X-Trace\"}";
	struct req *r = sent("traceparent: 00-" T32 "-" S "-01\r\n", conf);

	(void)state;
	r->run->has_reply = true;
	test_run(&plugin_zipkin, PHASE_HEADER_FILTER, r, conf);
	assert_string_equal(test_reply(r, "x-trace"), T32);
}

static void nobody_is_told_without_an_endpoint(void **state)
{
	struct req *r = sent("", "{\"sample_ratio\":1}");

	(void)state;
	assert_int_equal(test_run(&plugin_zipkin, PHASE_LOG, r, "{\"sample_ratio\":1}"), NEXT);
}

static void tags_may_not_be_given_twice(void **state)
{
	struct value *doc;
	str errors = test_check(&plugin_zipkin,
				"{\"static_tags\":[{\"name\":\"a\",\"value\":\"1\"},"
				"{\"name\":\"a\",\"value\":\"2\"}]}",
				&doc);

	(void)state;
	assert_string_equal(str_z(test.a, errors),
			    "{\"config\":{\"static_tags\":\"repeated tags are not allowed: a\"}}");
	assert_true(test_check(&plugin_zipkin,
			       "{\"static_tags\":[{\"name\":\"lc\",\"value\":\"1\"}]}", &doc)
			    .n > 0);
	assert_true(test_check(&plugin_zipkin, "{\"http_endpoint\":\"no url\"}", &doc).n > 0);
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_zipkin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(a_new_trace_begins_in_the_default_form),
		cmocka_unit_test(the_trace_that_came_goes_on_in_its_form),
		cmocka_unit_test(what_callers_decided_stands),
		cmocka_unit_test(a_form_of_its_own_is_sent_beside_the_one_that_came),
		cmocka_unit_test(malformed_headers_begin_a_new_trace_in_their_form),
		cmocka_unit_test(replies_have_the_id_when_asked),
		cmocka_unit_test(nobody_is_told_without_an_endpoint),
		cmocka_unit_test(tags_may_not_be_given_twice),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
