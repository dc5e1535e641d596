/* SPDX-License-Identifier: Apache-2.0 */
/* ip-restriction: which address passes which lists. */
#include "plugins/testing.h"

extern const struct plugin plugin_ip_restriction;

/* clang-format off */
static const struct {
	const char *conf, *ip, *answer;
} cases[] = {
	{ "{\"deny\":[\"10.1.2.3\"]}", "10.1.2.3", "403 Your IP address is not allowed" },
	{ "{\"deny\":[\"10.1.2.3\"]}", "10.1.2.4", "" },
	{ "{\"deny\":[\"10.0.0.0/8\"]}", "10.255.1.1", "403 Your IP address is not allowed" },
	{ "{\"allow\":[\"10.0.0.0/8\"]}", "10.255.1.1", "" },
	{ "{\"allow\":[\"10.0.0.0/8\"]}", "11.0.0.1", "403 Your IP address is not allowed" },
	{ "{\"allow\":[\"10.0.0.0/8\"],\"deny\":[\"10.1.0.0/16\"]}", "10.1.0.1", "403 Your IP address is not allowed" },
	{ "{\"allow\":[\"10.0.0.0/8\"],\"deny\":[\"10.1.0.0/16\"]}", "10.2.0.1", "" },
	{ "{\"allow\":[\"fe80::/16\"]}", "fe80::1", "" },
	{ "{\"allow\":[\"fe80::/16\"]}", "10.1.2.3", "403 Your IP address is not allowed" },
	{ "{\"deny\":[\"10.1.2.3\"],\"status\":405,\"message\":\"go away\"}", "10.1.2.3", "405 go away" },
	{ "{\"deny\":[\"0.0.0.0/0\"],\"status\":200}", "10.1.2.3", "500 An unexpected error occurred" },
	{ "{\"deny\":[\"0.0.0.0/0\"],\"status\":-1e99}", "10.1.2.3", "500 An unexpected error occurred" },
	{ "{\"deny\":[\"0.0.0.0/0\"]}", "::1", "" },
	{ "{\"deny\":[\"::/0\"]}", "::1", "403 Your IP address is not allowed" },
	{ "{\"allow\":[],\"deny\":[\"::/0\"]}", "10.1.2.3", "" },
};
/* clang-format on */

static void addresses_decide(void **state)
{
	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = test_request("GET", "/", "");

		address_parse_ip(str_of(cases[i].ip), 1, &r->client_address);
		test_run(&plugin_ip_restriction, PHASE_ACCESS, r, cases[i].conf);
		assert_string_equal(test_answer(r), cases[i].answer);
	}
}

static void who_has_no_address_does_not_pass(void **state)
{
	struct req *r = test_request("GET", "/", "");

	(void)state;
	address_of_unix("/x", &r->client_address);
	test_run(&plugin_ip_restriction, PHASE_ACCESS, r, "{\"deny\":[\"1.1.1.1\"]}");
	assert_true(strstr(test_answer(r), "403 Cannot identify the client IP address"));
}

static void lists_hold_addresses(void **state)
{
	struct value *doc;

	(void)state;
	assert_true(test_check(&plugin_ip_restriction, "{}", &doc).n);
	assert_string_equal(
		str_z(test.a, test_check(&plugin_ip_restriction, "{\"allow\":[\"hello\"]}", &doc)),
		"{\"config\":{\"allow\":[\"invalid ip or cidr range: 'hello'\"]}}");
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_ip_restriction);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(addresses_decide),
		cmocka_unit_test(who_has_no_address_does_not_pass),
		cmocka_unit_test(lists_hold_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
