/* SPDX-License-Identifier: Apache-2.0 */
/* tcp-log: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_tcp_log;

int main(void)
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

	return test_rows(&plugin_tcp_log, cases, COUNT(cases));
}
