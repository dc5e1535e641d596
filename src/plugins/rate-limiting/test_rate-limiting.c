/* SPDX-License-Identifier: Apache-2.0 */
/* rate-limiting: how many pass, what has a count of its own, what replies say, what a
 * configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_rate_limiting;

static struct req *sent_with(const char *target, const char *headers, const char *conf)
{
	struct req *r = test_request("GET", target, headers);

	test_run(&plugin_rate_limiting, PHASE_ACCESS, r, conf);
	return r;
}

static const char *answer_to(const char *target, const char *headers, const char *conf)
{
	return test_answer(sent_with(target, headers, conf));
}

#define REFUSED "429 API rate limit exceeded"

/* Counters of each test are its own. */
static int begin(void **state)
{
	(void)state;
	test_begin();
	usage_stop();
	usage_start(&test.settings);
	return 0;
}

static void as_many_pass_as_the_limit_says(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_string_equal(answer_to("/", "", "{\"year\":3}"), "");
	assert_string_equal(answer_to("/", "", "{\"year\":3}"), REFUSED);
	assert_string_equal(answer_to("/", "", "{\"year\":3}"), REFUSED);
}

static void a_refusal_costs_nothing_in_other_windows(void **state)
{
	struct req *r;

	(void)state;
	sent_with("/", "", "{\"month\":1,\"year\":3}");
	for (int i = 0; i < 5; i++)
		sent_with("/", "", "{\"month\":1,\"year\":3}");
	r = sent_with("/", "", "{\"year\":3}");
	assert_string_equal(test_answer(r), "");
	assert_string_equal(test_reply(r, "x-ratelimit-remaining-year"), "1");
}

static void replies_tell_what_is_left(void **state)
{
	struct req *r = sent_with("/", "", "{\"month\":2,\"year\":2}");

	(void)state;
	assert_string_equal(test_reply(r, "x-ratelimit-limit-month"), "2");
	assert_string_equal(test_reply(r, "x-ratelimit-remaining-month"), "1");
	assert_string_equal(test_reply(r, "x-ratelimit-limit-year"), "2");
	assert_string_equal(test_reply(r, "x-ratelimit-remaining-year"), "1");
	assert_string_equal(test_reply(r, "ratelimit-limit"), "2");
	assert_string_equal(test_reply(r, "ratelimit-remaining"), "1");
	assert_string_equal(test_reply(r, "retry-after"), "");
	assert_string_equal(test_reply(r, "x-ratelimit-limit-hour"), "");
	sent_with("/", "", "{\"month\":2,\"year\":2}");
	r = sent_with("/", "", "{\"month\":2,\"year\":2}");
	assert_string_equal(test_answer(r), REFUSED);
	assert_string_equal(test_reply(r, "ratelimit-remaining"), "0");
	assert_string_equal(test_reply(r, "retry-after"), test_reply(r, "ratelimit-reset"));
	r = sent_with("/", "", "{\"month\":2,\"year\":2,\"hide_client_headers\":true}");
	assert_string_equal(test_answer(r), REFUSED);
	assert_int_equal(reply_headers(r)->n, 0);
}

/* The reset is that of the tightest window, and of the longest when they are alike. */
static void the_tightest_window_is_the_one_that_is_told(void **state)
{
	struct req *r = sent_with("/", "", "{\"second\":3,\"minute\":3,\"hour\":30}");
	int64_t reset;

	(void)state;
	assert_string_equal(test_reply(r, "ratelimit-limit"), "3");
	assert_true(str_to_int(str_of(test_reply(r, "ratelimit-reset")), &reset));
	assert_in_range(reset, 60 - clock_wall_s() % 60, 60);
}

static void a_limit_may_be_a_fraction(void **state)
{
	struct req *r = sent_with("/", "", "{\"year\":1.5}");

	(void)state;
	assert_string_equal(test_reply(r, "x-ratelimit-limit-year"), "1.5");
	assert_string_equal(test_reply(r, "x-ratelimit-remaining-year"), "0.5");
	assert_string_equal(answer_to("/", "", "{\"year\":1.5}"), "");
	assert_string_equal(answer_to("/", "", "{\"year\":1.5}"), REFUSED);
	assert_string_equal(answer_to("/", "", "{\"year\":1e300}"), "");
}

/* clang-format off */
static const struct {
	const char *limit_by; /* a second request after a first, at a limit of one */
	const char *first_target, *first_headers, *target, *headers;
	bool has_same_count;
} counts_of[] = {
	{ "\"ip\"", "/a", "", "/b", "", true },
	{ "\"consumer\"", "/a", "", "/b", "", true },
	{ "\"credential\"", "/a", "", "/b", "", true },
	{ "\"service\"", "/a", "", "/b", "", true },
	{ "\"header\",\"header_name\":\"x\"", "/", "X: a\r\n", "/", "x: a\r\n", true },
	{ "\"header\",\"header_name\":\"x\"", "/", "X: a\r\n", "/", "x: b\r\n", false },
	{ "\"header\",\"header_name\":\"x\"", "/", "X: a\r\n", "/", "", false },
	{ "\"header\",\"header_name\":\"x\"", "/", "", "/", "y: b\r\n", true },
	{ "\"path\",\"path\":\"/p\"", "/p", "", "/p?q", "", true },
	{ "\"path\",\"path\":\"/p\"", "/p", "", "/p/q", "", false },
	{ "\"path\",\"path\":\"/p\"", "/a", "", "/b", "", true },
};
/* clang-format on */

static void who_has_a_count_is_chosen(void **state)
{
	for (size_t i = 0; i < COUNT(counts_of); i++) {
		const char *conf =
			str_fmt(test.a, "{\"year\":1,\"limit_by\":%s}", counts_of[i].limit_by).s;

		begin(state);
		assert_string_equal(
			answer_to(counts_of[i].first_target, counts_of[i].first_headers, conf), "");
		assert_string_equal(answer_to(counts_of[i].target, counts_of[i].headers, conf),
				    counts_of[i].has_same_count ? REFUSED : "");
	}
}

static void long_headers_are_told_apart(void **state)
{
	static const char conf[] = "{\"year\":1,\"limit_by\":\"header\",\"header_name\":\"x\"}";
	char *name = arena_zalloc(test.a, 3001);
	const char *a, *b;

	(void)state;
	memset(name, 'n', 3000);
	a = str_fmt(test.a, "X: %sa\r\n", name).s;
	b = str_fmt(test.a, "X: %sb\r\n", name).s;
	assert_string_equal(answer_to("/", a, conf), "");
	assert_string_equal(answer_to("/", b, conf), "");
	assert_string_equal(answer_to("/", a, conf), REFUSED);
}

static void consumers_have_counts_of_their_own(void **state)
{
	struct consumer jo = { .id.b = { 1 } }, al = { .id.b = { 2 } };
	struct consumer *who[] = { &jo, &al, &jo, &al };

	(void)state;
	for (size_t i = 0; i < COUNT(who); i++) {
		struct req *r = test_request("GET", "/", "");

		req_authenticate(r, who[i], NULL);
		test_run(&plugin_rate_limiting, PHASE_ACCESS, r, "{\"year\":1}");
		assert_string_equal(test_answer(r), i < 2 ? "" : REFUSED);
	}
}

/* A plugin on a route counts that route's requests, one for everybody all of them. */
static void a_count_belongs_to_the_plugin_s_scope(void **state)
{
	struct plugin_config everybody = { 0 }, a = { .route.b = { 1 } }, b = { .route.b = { 2 } };
	const struct plugin_config *of[] = { &everybody, &a, &b, &everybody, &a, &b };

	(void)state;
	for (size_t i = 0; i < COUNT(of); i++) {
		struct req *r = test_request("GET", "/", "");

		r->run->running = of[i];
		test_run(&plugin_rate_limiting, PHASE_ACCESS, r, "{\"year\":1}");
		assert_string_equal(test_answer(r), i < 3 ? "" : REFUSED);
	}
}

/* clang-format off */
static const struct {
	const char *conf, *answer;
} errors_said[] = {
	{ "{\"year\":1,\"error_code\":403,\"error_message\":\"50% \\\"off\\\"\"}", "403 50% \"off\"" },
	{ "{\"year\":1,\"error_code\":503}", "503 API rate limit exceeded" },
	{ "{\"year\":1,\"error_code\":200}", "500 An unexpected error occurred" },
	{ "{\"year\":1,\"error_code\":1e9}", "500 An unexpected error occurred" },
	{ "{\"year\":1,\"error_code\":1e300}", "500 An unexpected error occurred" },
	{ "{\"year\":1,\"error_code\":null}", "500 An unexpected error occurred" },
	{ "{\"year\":1,\"error_message\":null}", "429 Too many requests" },
};

static const struct {
	const char *conf, *errors;
} bad[] = {
	{ "{}", "{\"@entity\":[\"at least one of these fields must be non-empty: 'config.second', 'config.minute', "
		"'config.hour', 'config.day', 'config.month', 'config.year'\"]}" },
	{ "{\"second\":0}", "{\"config\":{\"second\":\"value must be greater than 0\"}}" },
	{ "{\"second\":20,\"minute\":10}", "{\"config\":\"The limit for minute(10.0) cannot be lower than the limit for second(20.0)\"}" },
	{ "{\"second\":2,\"year\":1.5}", "{\"config\":\"The limit for year(1.5) cannot be lower than the limit for second(2.0)\"}" },
	{ "{\"hour\":1,\"limit_by\":\"header\"}", "{\"@entity\":[\"failed conditional validation given value of field 'config.limit_by'\"],"
		"\"config\":{\"header_name\":\"required field missing\"}}" },
	{ "{\"hour\":1,\"limit_by\":\"path\"}", "{\"@entity\":[\"failed conditional validation given value of field 'config.limit_by'\"],"
		"\"config\":{\"path\":\"required field missing\"}}" },
	{ "{\"hour\":1,\"path\":\"x\"}", "{\"config\":{\"path\":\"should start with: /\"}}" },
	{ "{\"hour\":1,\"policy\":\"cluster\"}", "{\"config\":{\"policy\":\"expected one of: local, redis\"}}" }, /* there is no database */
	{ "{\"hour\":1,\"policy\":\"redis\",\"redis_host\":\"r\"}", "" },
	{ "{\"hour\":1,\"policy\":\"redis\"}", "{\"@entity\":[\"failed conditional validation given value of field 'config.policy'\"],"
		"\"config\":{\"redis_host\":\"required field missing\"}}" },
	{ "{\"hour\":1,\"policy\":\"redis\",\"redis_host\":\"r\",\"redis_port\":65536}", "{\"@entity\":[\"failed conditional validation given value of field 'config.policy'\"],"
		"\"config\":{\"redis_port\":\"value should be between 0 and 65535\"}}" },
	{ "{\"hour\":1,\"policy\":\"redis\",\"redis_host\":\"r:1/\"}", "{\"@entity\":[\"failed conditional validation given value of field 'config.policy'\"],"
		"\"config\":{\"redis_host\":\"invalid value: r:1/\"}}" },
	{ "{\"hour\":1,\"policy\":\"magic\"}", "{\"config\":{\"policy\":\"expected one of: local, cluster, redis\"}}" },
};
/* clang-format on */

static void status_and_message_are_configured(void **state)
{
	for (size_t i = 0; i < COUNT(errors_said); i++) {
		begin(state);
		sent_with("/", "", errors_said[i].conf);
		assert_string_equal(answer_to("/", "", errors_said[i].conf), errors_said[i].answer);
	}
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct value *doc;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_string_equal(
			str_z(test.a, test_check(&plugin_rate_limiting, bad[i].conf, &doc)),
			bad[i].errors);
	assert_string_equal(
		str_z(test.a, test_check(&plugin_rate_limiting,
					 "{\"second\":2,\"minute\":2,\"year\":3}", &doc)),
		"");
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_rate_limiting);
}

static int end(void **state)
{
	usage_stop();
	return test_end(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test_setup(as_many_pass_as_the_limit_says, begin),
		cmocka_unit_test_setup(a_refusal_costs_nothing_in_other_windows, begin),
		cmocka_unit_test_setup(replies_tell_what_is_left, begin),
		cmocka_unit_test_setup(the_tightest_window_is_the_one_that_is_told, begin),
		cmocka_unit_test_setup(a_limit_may_be_a_fraction, begin),
		cmocka_unit_test_setup(who_has_a_count_is_chosen, begin),
		cmocka_unit_test_setup(long_headers_are_told_apart, begin),
		cmocka_unit_test_setup(consumers_have_counts_of_their_own, begin),
		cmocka_unit_test_setup(a_count_belongs_to_the_plugin_s_scope, begin),
		cmocka_unit_test_setup(status_and_message_are_configured, begin),
		cmocka_unit_test_setup(what_makes_no_sense_is_refused, begin),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
