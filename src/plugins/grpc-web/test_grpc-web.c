/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-web: what is asked, refused and answered.  Whole calls are in tests/plugins/. */
#include "plugins/testing.h"

extern const struct plugin plugin_grpc_web;

#define PROTO "{\"proto\":\"" SOURCE_ROOT "/tests/harness/shop.proto\"}"

static void the_schema_is_kongs(void **state)
{
	(void)state;
	test_schema_of(&plugin_grpc_web);
}

static struct req *call(const char *method, const char *type, const char *body)
{
	struct req *r = test_request(method, "/shop.Shop/Buy",
				     str_z(test.a, str_fmt(test.a, "Content-Type: %s\r\n", type)));

	req_set_body(r, str_of(body));
	return r;
}

static void a_preflight_is_answered(void **state)
{
	struct req *r = call("OPTIONS", "x", "");

	(void)state;
	assert_int_equal(test_run(&plugin_grpc_web, PHASE_ACCESS, r,
				  "{\"allow_origin_header\":\"http://a\"}"),
			 DONE);
	assert_string_equal(test_answer(r), "200 OK");
	assert_true(str_is(r->run->answer.type, "application/grpc-web-text+proto"));
	assert_string_equal(test_reply(r, "Access-Control-Allow-Origin"), "http://a");
	assert_string_equal(test_reply(r, "Access-Control-Allow-Methods"), "POST");
	assert_string_equal(test_reply(r, "Access-Control-Allow-Headers"),
			    "content-type,x-grpc-web,x-user-agent");
}

static void frames_go_on_as_they_are_or_decoded(void **state)
{
	struct req *r = call("POST", "application/grpc-web+proto", "abc");

	(void)state;
	assert_int_equal(test_run(&plugin_grpc_web, PHASE_ACCESS, r, "{}"), NEXT);
	assert_true(str_is(r->body_sent, "abc"));
	assert_string_equal(test_sent(r, "Content-Type"), "application/grpc");
	assert_string_equal(test_sent(r, "TE"), "trailers");
	r = call("POST", "application/grpc-web-text", "YWJj");
	assert_int_equal(test_run(&plugin_grpc_web, PHASE_ACCESS, r, "{}"), NEXT);
	assert_true(str_is(r->body_sent, "abc"));
}

static void json_becomes_a_message(void **state)
{
	struct req *r = call("POST", "application/json", "{\"item\":\"pen\"}");

	(void)state;
	assert_int_equal(test_run(&plugin_grpc_web, PHASE_ACCESS, r, PROTO), NEXT);
	assert_int_equal(r->body_sent.n, 10);
	assert_memory_equal(r->body_sent.s, "\0\0\0\0\5\x0a\3pen", 10);
	r = test_request("POST", "/shop.Shop/Buy", "Content-Type: application/grpc-web+json\r\n");
	req_set_body(r, str_at("\0\0\0\0\2{}\0\0\0\0\2{}", 14));
	assert_int_equal(test_run(&plugin_grpc_web, PHASE_ACCESS, r, PROTO), NEXT);
	assert_int_equal(r->body_sent.n, 10);
}

static void what_cannot_be_translated_is_refused(void **state)
{
	static const struct {
		const char *conf, *type, *body, *answer;
	} rows[] = {
		{ "{}", "application/json", "{}",
		  "400 transcoding requests require a .proto file defining the service" },
		{ "{}", "text/plain", "",
		  "400 transcoding requests require a .proto file defining the service" },
		{ "{\"proto\":\"/none.proto\"}", "application/json", "{}",
		  "500 An unexpected error occurred" },
		{ PROTO, "application/json", "{", "400 " },
		{ PROTO, "application/json", "{\"count\":\"x\"}", "400 count: expected a number" },
		{ PROTO, "text/plain", "{}", "400 unknown Content-Type" },
		{ "{}", "application/grpc-web-text", "!", "400 the body is no base64" },
	};
	struct req *r;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		r = call("POST", rows[i].type, rows[i].body);
		assert_int_equal(test_run(&plugin_grpc_web, PHASE_ACCESS, r, rows[i].conf), DONE);
		if (strncmp(test_answer(r), rows[i].answer, strlen(rows[i].answer)) != 0)
			fail_msg("%s", test_answer(r));
	}
	r = test_request("POST", "/shop.Shop/None", "Content-Type: application/json\r\n");
	assert_int_equal(test_run(&plugin_grpc_web, PHASE_ACCESS, r, PROTO), DONE);
	assert_string_equal(test_answer(r), "400 Unkown path \"/shop.Shop/None\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_schema_is_kongs),
		cmocka_unit_test(a_preflight_is_answered),
		cmocka_unit_test(frames_go_on_as_they_are_or_decoded),
		cmocka_unit_test(json_becomes_a_message),
		cmocka_unit_test(what_cannot_be_translated_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
