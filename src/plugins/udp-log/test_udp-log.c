/* SPDX-License-Identifier: Apache-2.0 */
/* udp-log: its rows, and what a configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_udp_log;

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_udp_log);
}

static void bad_configurations_are_refused(void **state)
{
	static const struct {
		const char *conf, *errors;
	} cases[] = {
		{ "{\"host\":\"h\",\"port\":1}", "" },
		{ "{\"host\":\"h\",\"port\":1,\"custom_fields_by_lua\":{\"a\":\"return "
		  "nil\",\"b.c\":\"return 'x'\",\"d\":\"return 1.5;\"}}",
		  "" },
		{ "{\"host\":\"h\",\"port\":1,\"custom_fields_by_lua\":{\"a\":\"return kong.x\"}}",
		  "only Lua that returns a constant" },
		{ "{\"port\":1}", "required field missing" },
		{ "{\"host\":\"h:1\",\"port\":6}", "host" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct value *doc;
		str errors = test_check(&plugin_udp_log, cases[i].conf, &doc);

		if (str_find_str(errors, str_of(cases[i].errors)) < 0 ||
		    (!*cases[i].errors && errors.n))
			fail_msg("%s: " STRF, cases[i].conf, STRV(errors));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(bad_configurations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
