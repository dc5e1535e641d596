/* SPDX-License-Identifier: Apache-2.0 */
/* ldap-auth: rows, what is no claim, and what is remembered.  What a server says is in
 * tests/plugins/test_ldap_auth.py. */
#include "plugins/ldap-auth/verdicts.h"
#include "plugins/testing.h"

extern const struct plugin plugin_ldap_auth;

#define CONF                                                                                       \
	"{\"ldap_host\":\"127.0.0.1\",\"ldap_port\":1,\"base_dn\":\"dc=x\",\"attribute\":\"cn\""

static void rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_ldap_auth);
}

static void configurations_are_checked(void **state)
{
	/* clang-format off */
	static const struct test_refusal cases[] = {
		{ CONF "}", "" },
		{ CONF ",\"ldaps\":true,\"start_tls\":false}", "" },
		{ CONF ",\"ldaps\":true,\"start_tls\":true}", "'ldaps' and 'start_tls' cannot be enabled simultaneously" },
		{ "{\"ldap_host\":\"ldap:389\",\"base_dn\":\"dc=x\",\"attribute\":\"cn\"}", "must not have a port" },
		{ "{}", "\"base_dn\":\"required field missing\"" },
	};
	/* clang-format on */

	(void)state;
	test_refusals(&plugin_ldap_auth, cases, COUNT(cases));
}

static const char *answer(const char *conf, const char *headers)
{
	struct req *r = test_request("GET", "/", headers);

	assert_int_equal(test_run(&plugin_ldap_auth, PHASE_ACCESS, r, conf), DONE);
	return str_fmt(test.a, "%s %s", test_answer(r), test_reply(r, "WWW-Authenticate")).s;
}

static void without_a_claim_nobody_is_asked(void **state)
{
	/* clang-format off */
	static const char *const headers[] = {
		"Authorization: x\r\n",
		"Authorization: ldap\r\n",
		"Authorization: ldapx am86cHc=\r\n",
		"Authorization: ldapam86cHc=\r\n",
		"Authorization: Basic am86cHc=\r\n",
		"Authorization: ldap !!!\r\n",
		"Authorization: ldap am8=\r\n",         /* jo */
		"Authorization: ldap am86\r\n",         /* jo: */
		"Authorization: ldap OnB3\r\n",         /* :pw */
		"Authorization: ldap ag1vOnB3\r\n",     /* j<CR>o:pw */
		"Proxy-Authorization: ldap am8=\r\n",
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++)
		assert_string_equal(answer(CONF "}", headers[i]),
				    "401 Invalid authentication credentials ");
	assert_string_equal(answer(CONF "}", ""), "401 Unauthorized LDAP realm=\"kong\"");
	assert_string_equal(answer(CONF ",\"header_type\":\"basic\"}", ""),
			    "401 Unauthorized basic realm=\"kong\"");
}

static void who_is_there_already_may_stay(void **state)
{
	struct req *r = test_request("GET", "/", "");
	struct credential by = { .id = STR("x") };

	(void)state;
	test_config("{\"_format_version\":\"3.0\",\"consumers\":[{\"username\":\"guest\"}]}");
	req_authenticate(r, NULL, &by);
	assert_int_equal(
		test_run(&plugin_ldap_auth, PHASE_ACCESS, r, CONF ",\"anonymous\":\"guest\"}"),
		NEXT);
	assert_true(req_credential(r) == &by);
	r = test_request("GET", "/", "Authorization: x\r\n");
	assert_int_equal(
		test_run(&plugin_ldap_auth, PHASE_ACCESS, r, CONF ",\"anonymous\":\"guest\"}"),
		NEXT);
	assert_string_equal(test_sent(r, "X-Consumer-Username"), "guest");
	assert_string_equal(test_sent(r, "X-Anonymous-Consumer"), "true");
}

/* ---- what is remembered ---------------------------------------------------------------------- */

static const uint8_t *key(unsigned n)
{
	static uint8_t k[VERDICT_KEY];

	memset(k, 0, sizeof(k)); /* the first two bytes: all in one place */
	memcpy(k + 8, &n, sizeof(n));
	return k;
}

static void an_answer_is_remembered_until_its_end(void **state)
{
	(void)state;
	assert_int_equal(verdict_find(key(1), 0), SAID_NOTHING);
	verdict_keep(key(1), true, 0, 100);
	verdict_keep(key(2), false, 0, 200);
	verdict_keep(key(3), true, 0, 0);
	assert_int_equal(verdict_find(key(1), 99), SAID_YES);
	assert_int_equal(verdict_find(key(2), 99), SAID_NO);
	assert_int_equal(verdict_find(key(3), 0), SAID_NOTHING);
	assert_int_equal(verdict_find(key(1), 100), SAID_NOTHING);
	verdict_keep(key(2), true, 100, 300);
	assert_int_equal(verdict_find(key(2), 250), SAID_YES);
}

static void what_ends_first_makes_room(void **state)
{
	unsigned known = 0;

	(void)state;
	for (unsigned i = 10; i < 60; i++)
		verdict_keep(key(i), true, 0, 1000 + i);
	for (unsigned i = 10; i < 60; i++)
		known += verdict_find(key(i), 500) == SAID_YES;
	assert_int_equal(known, 8);
	assert_int_equal(verdict_find(key(59), 500), SAID_YES);
	assert_int_equal(verdict_find(key(10), 500), SAID_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_kong_s),
		cmocka_unit_test(configurations_are_checked),
		cmocka_unit_test(without_a_claim_nobody_is_asked),
		cmocka_unit_test(who_is_there_already_may_stay),
		cmocka_unit_test(an_answer_is_remembered_until_its_end),
		cmocka_unit_test(what_ends_first_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
