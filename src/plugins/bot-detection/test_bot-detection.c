/* SPDX-License-Identifier: Apache-2.0 */
/* bot-detection: who is taken for a robot. */
#include "plugins/testing.h"

extern const struct plugin plugin_bot_detection;

/* clang-format off */
static const struct {
	const char *conf, *agent, *answer;
} cases[] = {
	{ "{}", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_2) AppleWebKit/537.36 Chrome/36.0 Safari/537.36", "" },
	{ "{}", "Mozilla/5.0 (Windows NT 6.1; Win64; x64; rv:25.0) Gecko/20100101 Firefox/25.0", "" },
	{ "{}", "curl/8.0", "" },
	{ "{}", "Mozilla/5.0 (Linux; Android 4.4; CUBOT_NOTE_S) Chrome/65.0", "" },
	{ "{}", "Googlebot/2.1 (+http://www.google.com/bot.html)", "403 Forbidden" },
	{ "{}", "Mozilla/5.0 (compatible; bingbot/2.0)", "403 Forbidden" },
	{ "{}", "Mozilla/5.0 (compatible; YandexBot/3.0)", "403 Forbidden" },
	{ "{}", "Mozilla/5.0 (compatible; Yahoo! Slurp)", "403 Forbidden" },
	{ "{}", "facebookexternalhit/1.1", "403 Forbidden" },
	{ "{}", "Twitterbot/1.0", "403 Forbidden" },
	{ "{}", "aws-cli/1.2.3", "403 Forbidden" },
	{ "{}", "okhttp/3.9", "403 Forbidden" },
	{ "{}", "MyOwnSpider 3", "403 Forbidden" },
	{ "{}", "MyBot/1", "403 Forbidden" },
	{ "{}", "MyBot-1", "" },
	{ "{}", "x/MyBot-1", "403 Forbidden" },
	{ "{}", "MyBot", "" },
	{ "{}", "aws-cli/1", "" },
	{ "{}", "Yandex", "" },
	{ "{}", "Zao/0.2", "403 Forbidden" },
	{ "{}", "a Zao", "" },
	{ "{}", "Steeler/3.5", "403 Forbidden" },
	{ "{}", "a Steeler", "" },
	{ "{}", "x (Comodo-Webinspector-Crawler 2.1)", "403 Forbidden" },
	{ "{}", "IP2MapBot/4", "403 Forbidden" },
	{ "{}", "Mozilla/5.0 PTST/190304.173047", "403 Forbidden" },
	{ "{}", "", "" },
	{ "{\"deny\":[\"^$\"]}", "  ", "403 Forbidden" },
	{ "{\"allow\":null,\"deny\":null}", "curl/8.0", "" },
	{ "{\"allow\":[\"Twitterbot/1\"]}", "Twitterbot/1.0", "" },
	{ "{\"deny\":[\"^curl\"]}", "curl/8.0", "403 Forbidden" },
	{ "{\"allow\":[\"8\\\\.0\"],\"deny\":[\"^curl\"]}", "curl/8.0", "" },
};
/* clang-format on */

static int begin(void **state)
{
	(void)state;
	test_begin();
	plugin_bot_detection.start(NULL);
	return 0;
}

static int end(void **state)
{
	plugin_bot_detection.stop();
	return test_end(state);
}

static void robots_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = test_request(
			"GET", "/", str_fmt(test.a, "User-Agent: %s\r\n", cases[i].agent).s);

		test_run(&plugin_bot_detection, PHASE_ACCESS, r, cases[i].conf);
		if (strcmp(test_answer(r), cases[i].answer) != 0)
			fail_msg("%s: '%s'", cases[i].agent, test_answer(r));
	}
}

static void one_name_is_enough(void **state)
{
	struct req *r = test_request("GET", "/", "User-Agent: a\r\nUser-Agent: b\r\n");

	(void)state;
	test_run(&plugin_bot_detection, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_answer(r), "400 Only one User-Agent header allowed");
	r = test_request("GET", "/", "");
	assert_int_equal(test_run(&plugin_bot_detection, PHASE_ACCESS, r, "{}"), NEXT);
}

static void the_rows_are_kong_s(void **state)
{
	struct value *doc;

	(void)state;
	test_schema_of(&plugin_bot_detection);
	assert_int_not_equal(test_check(&plugin_bot_detection, "{\"deny\":[\"[\"]}", &doc).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(robots_are_refused),
		cmocka_unit_test(one_name_is_enough),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
