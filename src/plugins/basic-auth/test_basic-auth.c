/* SPDX-License-Identifier: Apache-2.0 */
/* basic-auth: hashes as Kong's, which header decides, what is answered. */
#include "plugins/testing.h"

extern const struct plugin plugin_basic_auth;

/* clang-format off */
#define HASH_OF_PASS "bd1a289503eaee427b5d687eb7f91dec7a1695b6"
#define JO "bf2b0e2b-3d0c-4d4e-8c46-0fe8a1a7c6a1"
static const char consumers[] =
	"{\"_format_version\":\"3.0\",\"consumers\":["
	"{\"id\":\"" JO "\",\"username\":\"jo\",\"basicauth_credentials\":["
	"{\"username\":\"jo\",\"password\":\"pass\"},{\"username\":\"colon\",\"password\":\"a:b\"}]},"
	"{\"username\":\"guest\"}]}";

static const struct {
	const char *conf, *headers, *answer, *consumer;
} cases[] = {
	{ "{}", "", "401 Unauthorized", NULL },
	{ "{}", "Authorization: Basic am86cGFzcw==\r\n", "", "jo" },
	{ "{}", "Authorization: basic am86cGFzcw==\r\n", "", "jo" },
	{ "{}", "Authorization: Basic Y29sb246YTpi\r\n", "", "jo" },
	{ "{}", "Authorization: Basic am86d3Jvbmc=\r\n", "401 Invalid authentication credentials", NULL },
	{ "{}", "Authorization: Basic bm9ib2R5OnBhc3M=\r\n", "401 Invalid authentication credentials", NULL },
	{ "{}", "Authorization: Basic !!\r\n", "401 Invalid authentication credentials", NULL },
	{ "{}", "Authorization: Basic am8=\r\n", "401 Invalid authentication credentials", NULL },
	{ "{}", "Authorization: Bearer am86cGFzcw==\r\n", "401 Invalid authentication credentials", NULL },
	{ "{}", "Proxy-Authorization: Basic am86cGFzcw==\r\n", "", "jo" },
	/* a known name with a wrong password decides; an unknown one does not */
	{ "{}", "Proxy-Authorization: Basic am86d3Jvbmc=\r\nAuthorization: Basic am86cGFzcw==\r\n",
	  "401 Invalid authentication credentials", NULL },
	{ "{}", "Proxy-Authorization: Basic bm9ib2R5OnBhc3M=\r\nAuthorization: Basic am86cGFzcw==\r\n", "", "jo" },
	{ "{\"anonymous\":\"guest\"}", "Authorization: Basic am86d3Jvbmc=\r\n", "", "guest" },
	{ "{\"anonymous\":\"nobody\"}", "", "500 An unexpected error occurred", NULL },
};
/* clang-format on */

static void names_and_passwords_are_checked(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = test_request("GET", "/", cases[i].headers);

		test_run(&plugin_basic_auth, PHASE_ACCESS, r, cases[i].conf);
		assert_string_equal(test_answer(r), cases[i].answer);
		assert_string_equal(req_consumer(r) ? str_z(test.a, req_consumer(r)->username)
						    : "-",
				    cases[i].consumer ? cases[i].consumer : "-");
	}
}

static void headers_tell_who_it_is_and_hide_how(void **state)
{
	struct req *r = test_request("GET", "/", "Authorization: Basic am86cGFzcw==\r\n");

	(void)state;
	test_config(consumers);
	test_run(&plugin_basic_auth, PHASE_ACCESS, r, "{\"hide_credentials\":true}");
	assert_string_equal(test_sent(r, "authorization"), "");
	assert_string_equal(test_sent(r, "x-credential-identifier"), "jo");
	assert_string_equal(test_sent(r, "x-consumer-id"), JO);
	r = test_request("GET", "/", "");
	test_run(&plugin_basic_auth, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_reply(r, "www-authenticate"), "Basic realm=\"kong\"");
}

/* printf 'pass'JO | sha1sum */
static void passwords_are_kept_as_kong_keeps_them(void **state)
{
	struct schema_options o = { .op = SCHEMA_INSERT, .now_ms = 1700000000000 };
	struct value *doc = test_json("{\"username\":\"x\",\"password\":\"pass\","
				      "\"consumer\":{\"id\":\"" JO "\"}}");
	const struct entity *e = entity_find(STR("basicauth_credentials"));

	(void)state;
	assert_null(entity_process(test.a, e, doc, &o));
	assert_string_equal(str_z(test.a, value_get(doc, "password")->s), HASH_OF_PASS);
	o.is_transformed = true;
	value_set(test.a, doc, STR("password"), value_text(test.a, HASH_OF_PASS));
	assert_null(entity_process(test.a, e, doc, &o));
	assert_string_equal(str_z(test.a, value_get(doc, "password")->s), HASH_OF_PASS);
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_basic_auth);
	test_schema("basicauth_credentials",
		    entity_schema(entity_find(STR("basicauth_credentials"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(passwords_are_kept_as_kong_keeps_them),
		cmocka_unit_test(names_and_passwords_are_checked),
		cmocka_unit_test(headers_tell_who_it_is_and_hide_how),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
