/* SPDX-License-Identifier: Apache-2.0 */
/* tcp-log: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_tcp_log;

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_tcp_log);
}

static void bad_configurations_are_refused(void **state)
{
	static const struct test_refusal cases[] = {
		{ "{\"host\":\"h\",\"port\":1}", "" },
		{ "{\"host\":\"h\",\"port\":1,\"custom_fields_by_lua\":{\"a\":\"return "
		  "nil\",\"b.c\":\"return 'x'\",\"d\":\"return 1.5;\"}}",
		  "" },
		{ "{\"host\":\"h\",\"port\":1,\"custom_fields_by_lua\":{\"a\":\"return (\"}}",
		  "Error parsing function: lua:1: " },
		{ "{\"port\":1}", "required field missing" },
		{ "{\"host\":\"h\",\"port\":65536}", "port" },
	};

	(void)state;
	test_refusals(&plugin_tcp_log, cases, COUNT(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(bad_configurations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
