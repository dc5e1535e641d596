/* SPDX-License-Identifier: Apache-2.0 */
/* syslog: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_syslog;

int main(void)
{
	static const struct test_refusal cases[] = {
		{ "{\"facility\":\"local3\"}", "" },
		{ "{\"facility\":\"local3\",\"custom_fields_by_lua\":{\"a\":\"return "
		  "nil\",\"b.c\":\"return 'x'\",\"d\":\"return 1.5;\"}}",
		  "" },
		{ "{\"facility\":\"local3\",\"custom_fields_by_lua\":{\"a\":\"return (\"}}",
		  "Error parsing function: lua:1: " },
		{ "{\"facility\":\"x\"}", "facility" },
		{ "{\"log_level\":\"error\"}", "log_level" },
	};

	return test_rows(&plugin_syslog, cases, COUNT(cases));
}
