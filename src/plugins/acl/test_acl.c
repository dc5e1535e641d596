/* SPDX-License-Identifier: Apache-2.0 */
/* acl: whose groups count, and what lists of groups do. */
#include "plugins/testing.h"

extern const struct plugin plugin_acl;

/* clang-format off */
static const char consumers[] =
	"{\"_format_version\":\"3.0\",\"consumers\":["
	"{\"username\":\"jo\",\"acls\":[{\"group\":\"a\"},{\"group\":\"b\"}]},"
	"{\"username\":\"alone\"}]}";

static const struct {
	const char *conf, *consumer;
	bool has_credential;
	const char *authenticated, *answer, *own_groups, *other_groups;
} cases[] = {
	{ "{\"allow\":[\"a\"]}", NULL, false, NULL, "401 Unauthorized", "", "" },
	{ "{\"allow\":[\"a\"]}", NULL, true, NULL, "403 You cannot consume this service", "", "" },
	{ "{\"allow\":[\"a\"]}", "jo", true, NULL, "", "a, b", "" },
	{ "{\"allow\":[\"x\",\"b\"]}", "jo", true, NULL, "", "a, b", "" },
	{ "{\"allow\":[\"x\"]}", "jo", true, NULL, "403 You cannot consume this service", "", "" },
	{ "{\"deny\":[\"b\"]}", "jo", true, NULL, "403 You cannot consume this service", "", "" },
	{ "{\"deny\":[\"x\"]}", "jo", true, NULL, "", "a, b", "" },
	{ "{\"deny\":[\"x\"]}", "alone", true, NULL, "", "", "" },
	{ "{\"allow\":[\"x\"]}", "alone", true, NULL, "403 You cannot consume this service", "", "" },
	{ "{\"allow\":[\"x\"]}", "alone", false, NULL, "401 Unauthorized", "", "" },
	{ "{\"allow\":[\"z\"]}", NULL, false, "z", "", "", "z" },
	{ "{\"allow\":[\"z\"]}", "jo", false, "z", "", "", "z" }, /* anonymous: they count first */
	{ "{\"allow\":[\"z\"]}", "jo", true, "z", "403 You cannot consume this service", "", "" },
	{ "{\"allow\":[\"a\"],\"hide_groups_header\":true}", "jo", true, NULL, "", "", "" },
};
/* clang-format on */

static void groups_decide(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = test_request("GET", "/", "");
		struct credential by = { .id = STR("x") };
		str group = str_of(cases[i].authenticated);

		if (cases[i].consumer)
			r->run->consumer = directory_consumer_called(test.snap.directory,
								     str_of(cases[i].consumer));
		r->run->credential = cases[i].has_credential ? &by : NULL;
		req_set_groups(r, (strs){ &group, group.s != NULL });
		test_run(&plugin_acl, PHASE_ACCESS, r, cases[i].conf);
		assert_string_equal(test_answer(r), cases[i].answer);
		assert_string_equal(test_sent(r, "x-consumer-groups"), cases[i].own_groups);
		assert_string_equal(test_sent(r, "x-authenticated-groups"), cases[i].other_groups);
	}
}

static void exactly_one_list_is_wanted(void **state)
{
	struct value *doc;

	(void)state;
	assert_true(test_check(&plugin_acl, "{}", &doc).n);
	assert_true(test_check(&plugin_acl, "{\"allow\":[\"a\"],\"deny\":[\"b\"]}", &doc).n);
	assert_int_equal(test_check(&plugin_acl, "{\"deny\":[\"b\"]}", &doc).n, 0);
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_acl);
	test_schema("acls", entity_schema(entity_find(STR("acls"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(groups_decide),
		cmocka_unit_test(exactly_one_list_is_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
