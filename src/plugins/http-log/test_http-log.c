/* SPDX-License-Identifier: Apache-2.0 */
/* http-log: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_http_log;

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_http_log);
}

static void bad_configurations_are_refused(void **state)
{
	static const struct test_refusal cases[] = {
		{ "{\"http_endpoint\":\"http://a:b@h/x\"}", "" },
		{ "{\"http_endpoint\":\"http://a:b@h/x\",\"custom_fields_by_lua\":{\"a\":\"return "
		  "nil\",\"b.c\":\"return 'x'\",\"d\":\"return 1.5;\"}}",
		  "" },
		{ "{\"http_endpoint\":\"http://a:b@h/x\",\"custom_fields_by_lua\":{\"a\":\"return "
		  "kong.x\"}}",
		  "Error parsing function: lua:1: " },
		{ "{}", "required field missing" },
		{ "{\"http_endpoint\":\"nonsense\"}", "http_endpoint" },
		{ "{\"http_endpoint\":\"ftp://h/\"}", "scheme" },
		{ "{\"http_endpoint\":\"http://h\",\"headers\":{\"host\":\"x\"}}",
		  "cannot contain 'Host' header" },
		{ "{\"http_endpoint\":\"http://h\",\"headers\":{\"Content-Type\":\"x\"}}",
		  "cannot contain 'Content-Type' header" },
		{ "{\"http_endpoint\":\"http://a:b@h\",\"headers\":{\"AUTHORIZATION\":\"x\"}}",
		  "specifying both an 'Authorization' header and user info in 'http_endpoint' is "
		  "not allowed" },
		{ "{\"http_endpoint\":\"http://h\",\"method\":\"GET\"}", "method" },
	};

	(void)state;
	test_refusals(&plugin_http_log, cases, COUNT(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(bad_configurations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
