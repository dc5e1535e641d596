/* SPDX-License-Identifier: Apache-2.0 */
/* datadog: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_datadog;

int main(void)
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

	return test_rows(&plugin_datadog, cases, COUNT(cases));
}
