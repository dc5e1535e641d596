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

/* Python's hashlib.pbkdf2_hmac("sha512", b"secret", bytes(range(16)), 10000, 32) */
#define COSTLY                                                                                     \
	"$pbkdf2-sha512$i=10000,l=32$AAECAwQFBgcICQoLDA0ODw$"                                      \
	"s1qOkFay1DbcR0sablkjBgtOqf1IcoQVkkK1uzR9LdU"

/* clang-format off */
static const struct {
	const char *written, *kept, *error;
} written[] = {
	{ "pass", HASH_OF_PASS, "" },
	{ COSTLY, COSTLY, "" },
	{ "$pbkdf2-sha512$", "", "{\"password\":\"not a hash as it begins to be: $pbkdf2-sha512$i=ROUNDS,l=LENGTH$SALT$HASH\"}" },
	{ "$pbkdf2-sha512$i=1000001,l=32$AAECAwQFBgcICQoLDA0ODw$s1qOkFay1DbcR0sablkjBgtOqf1IcoQVkkK1uzR9LdU", "",
	  "{\"password\":\"not a hash as it begins to be: $pbkdf2-sha512$i=ROUNDS,l=LENGTH$SALT$HASH\"}" },
};
/* clang-format on */

static void a_costly_hash_is_kept_as_it_is(void **state)
{
	const struct entity *e = entity_find(STR("basicauth_credentials"));

	(void)state;
	for (size_t i = 0; i < COUNT(written); i++) {
		struct schema_options o = { .op = SCHEMA_INSERT, .now_ms = 1700000000000 };
		struct value *doc =
			test_json("{\"username\":\"x\",\"consumer\":{\"id\":\"" JO "\"}}");
		struct value *errors;

		value_set(test.a, doc, STR("password"), value_text(test.a, written[i].written));
		errors = entity_process(test.a, e, doc, &o);
		assert_string_equal(errors ? str_z(test.a, json_text(test.a, errors, JSON_COMPACT))
					   : "",
				    written[i].error);
		if (!errors)
			assert_string_equal(str_z(test.a, value_get(doc, "password")->s),
					    written[i].kept);
	}
}

static const char *answer_to(const char *pair)
{
	str basic = base64_encode(test.a, str_of(pair));
	struct req *r = test_request(
		"GET", "/", str_fmt(test.a, "Authorization: Basic " STRF "\r\n", STRV(basic)).s);

	test_run(&plugin_basic_auth, PHASE_ACCESS, r, "{}");
	return test_answer(r);
}

/* The same name comes with other passwords, for another consumer: nothing that was good before
 * is good for what is there now. */
static void what_was_good_is_good_for_nothing_else(void **state)
{
	static const char form[] =
		"{\"_format_version\":\"3.0\",\"_transform\":%s,\"consumers\":[{\"id\":\"%s\","
		"\"username\":"
		"\"jo\",\"basicauth_credentials\":[{\"username\":\"jo\",\"password\":\"%s\"}]}]}";
	static const char other[] = "bf2b0e2b-3d0c-4d4e-8c46-0fe8a1a7c6a2";
	static const char wrong[] = "401 Invalid authentication credentials";

	(void)state;
	test_config(str_fmt(test.a, form, "true", JO, "pass").s);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(answer_to("jo:pass"), "");
		assert_string_equal(answer_to("jo:secret"), wrong);
	}
	test_config(str_fmt(test.a, form, "true", JO, "secret").s);
	assert_string_equal(answer_to("jo:pass"), wrong);
	assert_string_equal(answer_to("jo:secret"), "");
	test_config(str_fmt(test.a, form, "false", other, HASH_OF_PASS).s);
	assert_string_equal(answer_to("jo:pass"), wrong);
	for (int i = 0; i < 2; i++) {
		test_config(str_fmt(test.a, form, i ? "true" : "false", JO, COSTLY).s);
		assert_string_equal(answer_to("jo:secret"), "");
		assert_string_equal(answer_to("jo:secret"), "");
		assert_string_equal(answer_to("jo:pass"), wrong);
		assert_string_equal(answer_to("jo:" COSTLY), wrong);
	}
	test_config(str_fmt(test.a, form, "false", JO, "$pbkdf2-sha512$").s);
	assert_string_equal(answer_to("jo:secret"), wrong);
}

static int begin(void **state)
{
	static const struct plugin_node node = { .loops = 1 };

	(void)state;
	plugin_basic_auth.start(&node);
	return 0;
}

static int end(void **state)
{
	plugin_basic_auth.stop();
	return test_end(state);
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
		cmocka_unit_test(a_costly_hash_is_kept_as_it_is),
		cmocka_unit_test(what_was_good_is_good_for_nothing_else),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
