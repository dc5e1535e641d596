/* SPDX-License-Identifier: Apache-2.0 */
/* file-log: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_file_log;

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_file_log);
}

static void bad_configurations_are_refused(void **state)
{
	static const struct test_refusal cases[] = {
		{ "{\"path\":\"/tmp/x\"}", "" },
		{ "{\"path\":\"/tmp/x\",\"custom_fields_by_lua\":{\"a\":\"return "
		  "nil\",\"b.c\":\"return 'x'\",\"d\":\"return 1.5;\"}}",
		  "" },
		{ "{\"path\":\"/tmp/x\",\"custom_fields_by_lua\":{\"a\":\"return (\"}}",
		  "Error parsing function: lua:1: " },
		{ "{}", "required field missing" },
		{ "{\"path\":\"a*b\"}", "not a valid filename" },
	};

	(void)state;
	test_refusals(&plugin_file_log, cases, COUNT(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(bad_configurations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
