/* SPDX-License-Identifier: Apache-2.0 */
/* key-auth: which key counts, what is hidden, what is answered. */
#include "plugins/testing.h"

extern const struct plugin plugin_key_auth;

/* clang-format off */
static const char consumers[] =
	"{\"_format_version\":\"3.0\",\"consumers\":["
	"{\"username\":\"jo\",\"custom_id\":\"c1\",\"keyauth_credentials\":[{\"key\":\"good\"}]},"
	"{\"username\":\"guest\"},"
	"{\"username\":\"old\",\"keyauth_credentials\":[{\"key\":\"stale\",\"ttl\":1,\"created_at\":1500000000}]}]}";

static const struct {
	const char *conf, *method, *target, *headers; /* what comes */
	const char *answer, *consumer;                /* what comes of it */
} cases[] = {
	{ "{}", "GET", "/", "", "401 No API key found in request", NULL },
	{ "{}", "GET", "/", "apikey: \r\n", "401 No API key found in request", NULL },
	{ "{}", "GET", "/", "apikey: bad\r\n", "401 Invalid authentication credentials", NULL },
	{ "{}", "GET", "/", "ApiKey: good\r\n", "", "jo" },
	{ "{}", "GET", "/?apikey=good", "", "", "jo" },
	{ "{}", "GET", "/?apikey=stale", "", "401 Invalid authentication credentials", NULL },
	{ "{}", "GET", "/?apikey=good&apikey=good", "", "401 Duplicate API key found", NULL },
	{ "{}", "GET", "/", "apikey: good\r\napikey: good\r\n", "401 Duplicate API key found", NULL },
	{ "{}", "GET", "/?apikey=good", "apikey: bad\r\n", "401 Invalid authentication credentials", NULL },
	{ "{\"key_in_header\":false}", "GET", "/?apikey=good", "apikey: bad\r\n", "", "jo" },
	{ "{\"key_in_query\":false}", "GET", "/?apikey=good", "", "401 No API key found in request", NULL },
	{ "{\"key_names\":[\"a\",\"b\"]}", "GET", "/?b=bad", "a: good\r\n", "", "jo" },
	{ "{\"key_names\":[\"a\",\"b\"]}", "GET", "/?a&b=good", "", "", "jo" },
	{ "{\"key_names\":[\"a\",\"b\"]}", "GET", "/?a=&b=good", "", "401 No API key found in request", NULL },
	{ "{\"key_names\":[\"a\",\"b\"]}", "GET", "/?b=good", "a:\r\n", "401 No API key found in request", NULL },
	{ "{}", "GET", "/?apikey&apikey=good", "", "401 Duplicate API key found", NULL },
	{ "{\"key_names\":[\"api_key\"]}", "GET", "/", "api_key: good\r\n", "", "jo" },
	{ "{\"key_names\":[\"Api_Key\"]}", "GET", "/", "api-key: good\r\n", "", "jo" },
	{ "{\"key_names\":[\"api_key\"]}", "GET", "/", "api-key: good\r\nApi_Key: bad\r\n", "401 Invalid authentication credentials", NULL },
	{ "{\"key_names\":[\"api_key\"]}", "GET", "/", "api-key: good\r\nApi-Key: good\r\n", "401 Duplicate API key found", NULL },
	{ "{\"key_names\":[\"api-key\"]}", "GET", "/", "api_key: good\r\n", "401 No API key found in request", NULL },
	{ "{\"run_on_preflight\":false}", "OPTIONS", "/", "", "", NULL },
	{ "{}", "OPTIONS", "/", "", "401 No API key found in request", NULL },
	{ "{\"anonymous\":\"guest\"}", "GET", "/", "", "", "guest" },
	{ "{\"anonymous\":\"guest\"}", "GET", "/?apikey=good", "", "", "jo" },
	{ "{\"anonymous\":\"nobody\"}", "GET", "/", "", "500 An unexpected error occurred", NULL },
};
/* clang-format on */

static void the_first_key_found_decides(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = test_request(cases[i].method, cases[i].target, cases[i].headers);
		enum verdict v = test_run(&plugin_key_auth, PHASE_ACCESS, r, cases[i].conf);
		const struct consumer *c = req_consumer(r);

		assert_string_equal(test_answer(r), cases[i].answer);
		assert_int_equal(v, cases[i].answer[0] ? DONE : NEXT);
		assert_string_equal(c ? str_z(test.a, c->username) : "-",
				    cases[i].consumer ? cases[i].consumer : "-");
	}
}

static void the_upstream_is_told_who_it_is(void **state)
{
	struct req *r = test_request("GET", "/",
				     "apikey: good\r\nX-Consumer-Username: root\r\n"
				     "X-Anonymous-Consumer: true\r\n");

	(void)state;
	test_config(consumers);
	r->snap = &test.snap;
	test_run(&plugin_key_auth, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_sent(r, "x-consumer-username"), "jo");
	assert_string_equal(test_sent(r, "x-consumer-custom-id"), "c1");
	assert_string_equal(test_sent(r, "x-anonymous-consumer"), "");
	assert_int_equal(strlen(test_sent(r, "x-credential-identifier")), 36);
	assert_string_equal(test_sent(r, "apikey"), "good");
	r = test_request("GET", "/", "X-Credential-Identifier: mine\r\n");
	test_run(&plugin_key_auth, PHASE_ACCESS, r, "{\"anonymous\":\"guest\"}");
	assert_string_equal(test_sent(r, "x-anonymous-consumer"), "true");
	assert_string_equal(test_sent(r, "x-credential-identifier"), "");
	assert_string_equal(test_reply(r, "www-authenticate"), "");
}

static void hidden_keys_do_not_go_on(void **state)
{
	struct req *r = test_request("GET", "/?a=1&apikey=good&b", "apikey: good\r\n");

	(void)state;
	test_config(consumers);
	test_run(&plugin_key_auth, PHASE_ACCESS, r, "{\"hide_credentials\":true}");
	assert_string_equal(test_sent(r, "apikey"), "");
	assert_string_equal(str_z(test.a, req_query(r)), "a=1&b");
}

/* clang-format off */
static const struct {
	const char *type, *body, *answer, *goes_on;
} bodies[] = {
	{ "application/json", "{\"apikey\":\"good\",\"x\":1}", "", "{\"x\":1}" },
	{ "application/json", "{\"x\":1}", "401 No API key found in request", NULL },
	{ "application/json", "no json", "401 No API key found in request", NULL },
	{ "application/x-www-form-urlencoded", "x=1&apikey=good", "", "x=1" },
	{ "application/x-www-form-urlencoded", "apikey=good&apikey=bad", "401 Duplicate API key found", NULL },
	{ "multipart/form-data; boundary=B",
	  "--B\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\ngood\r\n"
	  "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\nX: y\r\n\r\n\x01\r\n--B--\r\n", "",
	  "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\nX: y\r\n\r\n\x01\r\n--B--\r\n" },
	{ "text/plain", "apikey=good", "401 No API key found in request", NULL },
};
/* clang-format on */

static void bodies_are_searched_when_asked(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		struct req *r = test_request(
			"POST", "/", str_fmt(test.a, "Content-Type: %s\r\n", bodies[i].type).s);

		req_set_body(r, str_of(bodies[i].body));
		test_run(&plugin_key_auth, PHASE_ACCESS, r,
			 "{\"key_in_body\":true,\"hide_credentials\":true}");
		assert_string_equal(test_answer(r), bodies[i].answer);
		if (bodies[i].goes_on)
			assert_string_equal(str_z(test.a, r->body_sent), bodies[i].goes_on);
	}
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_key_auth);
	test_schema("keyauth_credentials", entity_schema(entity_find(STR("keyauth_credentials"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(the_first_key_found_decides),
		cmocka_unit_test(the_upstream_is_told_who_it_is),
		cmocka_unit_test(hidden_keys_do_not_go_on),
		cmocka_unit_test(bodies_are_searched_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
