/* SPDX-License-Identifier: Apache-2.0 */
/* http-log: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_http_log;

int main(void)
{
	static const struct test_refusal cases[] = {
		{ "{\"http_endpoint\":\"http://a:b@h/x\"}", "" },
		{ "{\"http_endpoint\":\"http://a:b@h/x\",\"custom_fields_by_lua\":{\"a\":\"return "
		  "nil\",\"b.c\":\"return 'x'\",\"d\":\"return 1.5;\"}}",
		  "" },
		{ "{\"http_endpoint\":\"http://a:b@h/x\",\"custom_fields_by_lua\":{\"a\":\"return "
		  "(\"}}",
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

	return test_rows(&plugin_http_log, cases, COUNT(cases));
}
