/* SPDX-License-Identifier: Apache-2.0 */
/* datadog: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_datadog;

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_datadog);
}

static void bad_configurations_are_refused(void **state)
{
	static const struct test_refusal cases[] = {
		{ "{}", "" },
		{ "{\"host\":\"h:1\"}", "host" },
		{ "{\"metrics\":[{\"name\":\"latency\",\"stat_type\":\"counter\"}]}",
		  "sample_rate" },
		{ "{\"metrics\":[{\"name\":\"x\",\"stat_type\":\"timer\"}]}", "name" },
		{ "{\"metrics\":[{\"name\":\"latency\",\"stat_type\":\"timer\",\"tags\":[\"a:\"]}]"
		  "}",
		  "tags" },
	};

	(void)state;
	test_refusals(&plugin_datadog, cases, COUNT(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(bad_configurations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
