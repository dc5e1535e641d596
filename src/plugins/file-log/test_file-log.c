/* SPDX-License-Identifier: Apache-2.0 */
/* file-log: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_file_log;

int main(void)
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

	return test_rows(&plugin_file_log, cases, COUNT(cases));
}
