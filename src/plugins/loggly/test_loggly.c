/* SPDX-License-Identifier: Apache-2.0 */
/* loggly: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_loggly;

int main(void)
{
	static const struct test_refusal cases[] = {
		{ "{\"key\":\"k\"}", "" },
		{ "{\"key\":\"k\",\"custom_fields_by_lua\":{\"a\":\"return nil\",\"b.c\":\"return "
		  "'x'\",\"d\":\"return 1.5;\"}}",
		  "" },
		{ "{\"key\":\"k\",\"custom_fields_by_lua\":{\"a\":\"return (\"}}",
		  "Error parsing function: lua:1: " },
		{ "{}", "required field missing" },
		{ "{\"key\":\"k\",\"log_level\":\"error\"}", "log_level" },
	};

	return test_rows(&plugin_loggly, cases, COUNT(cases));
}
