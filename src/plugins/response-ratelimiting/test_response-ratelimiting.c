/* SPDX-License-Identifier: Apache-2.0 */
/* response-ratelimiting: what upstreams and clients are told, what answers cost, what a
 * configuration may not say. */
#include "plugins/testing.h"

extern const struct plugin plugin_response_ratelimiting;

/* Counters of each test are its own. */
static int begin(void **state)
{
	(void)state;
	test_begin();
	usage_stop();
	usage_start(&test.settings);
	return 0;
}

/* A request on its way, and the upstream's answer with that header (NULL: none). */
static struct req *exchange(const char *conf, const char *cost)
{
	struct req *r = test_request("GET", "/", "");

	if (test_run(&plugin_response_ratelimiting, PHASE_ACCESS, r, conf) == DONE)
		return r;
	r->upstream_code = r->status = 200;
	r->run->has_reply = true;
	if (cost)
		reply_add_header(r, STR("X-Kong-Limit"), str_of(cost));
	test_run(&plugin_response_ratelimiting, PHASE_HEADER_FILTER, r, conf);
	return r;
}

#define VIDEOS "{\"limits\":{\"video\":{\"year\":6}}}"

static void answers_cost_what_they_say(void **state)
{
	struct req *r = exchange(VIDEOS, "video=2");

	(void)state;
	assert_string_equal(test_sent(r, "X-RateLimit-Remaining-video"), "6");
	assert_string_equal(test_reply(r, "X-RateLimit-Limit-video-year"), "6");
	assert_string_equal(test_reply(r, "X-RateLimit-Remaining-video-year"), "4");
	assert_string_equal(test_reply(r, "X-Kong-Limit"), "");
	r = exchange(VIDEOS, NULL);
	assert_string_equal(test_sent(r, "X-RateLimit-Remaining-video"), "4");
	assert_string_equal(test_reply(r, "X-RateLimit-Remaining-video-year"), "4");
	exchange(VIDEOS, "video=3");
	r = exchange(VIDEOS, "video=5"); /* the last may go too far */
	assert_int_equal(r->status, 200);
	assert_string_equal(test_reply(r, "X-RateLimit-Remaining-video-year"), "0");
	r = exchange(VIDEOS, "video=1");
	assert_int_equal(r->status, 429);
	assert_true(r->run->drops_body);
	assert_string_equal(test_sent(r, "X-RateLimit-Remaining-video"), "-4");
	assert_string_equal(test_reply(r, "X-RateLimit-Remaining-video-year"), "0");
	assert_int_equal(exchange(VIDEOS, NULL)->status, 200); /* it costs nothing */
}

/* clang-format off */
static const struct {
	const char *cost, *left; /* of 100, with image=50 left beside it */
} costs[] = {
	{ "video=1", "99" },
	{ " video = 1 , image=3", "99" },
	{ "image=3,video=1", "99" },
	{ "video=1,video=7", "93" },
	{ "Video=1", "100" },
	{ "video", "100" },
	{ "video=", "100" },
	{ "video=x", "100" },
	{ "video=1=2", "100" },
	{ "video=0", "100" },
	{ "video=1e1", "90" },
	{ "video=1e300", "0" },
	{ "other=5", "100" },
	{ ",,=,video=1,", "99" },
	{ "", "100" },
};
/* clang-format on */

static void costs_are_read_as_they_are_written(void **state)
{
	for (size_t i = 0; i < COUNT(costs); i++) {
		struct req *r;

		begin(state);
		r = exchange("{\"limits\":{\"video\":{\"year\":100},\"image\":{\"year\":50}}}",
			     costs[i].cost);
		assert_string_equal(test_reply(r, "X-RateLimit-Remaining-video-year"),
				    costs[i].left);
	}
}

static void what_was_used_may_be_given_back(void **state)
{
	(void)state;
	exchange(VIDEOS, "video=6");
	assert_int_equal(exchange(VIDEOS, "video=1")->status, 429);
	assert_string_equal(
		test_reply(exchange(VIDEOS, "video=-2"), "X-RateLimit-Remaining-video-year"), "2");
	assert_int_equal(exchange(VIDEOS, "video=1")->status, 200);
}

static void an_answer_counts_in_all_its_limits_or_in_none(void **state)
{
	const char *conf = "{\"limits\":{\"a\":{\"year\":1},\"b\":{\"month\":5,\"year\":5}}}";
	struct req *r;

	(void)state;
	assert_int_equal(exchange(conf, "a=1,b=1")->status, 200);
	assert_int_equal(exchange(conf, "a=1,b=1")->status, 429);
	r = exchange(conf, "b=1");
	assert_int_equal(r->status, 200);
	assert_string_equal(test_reply(r, "X-RateLimit-Remaining-b-year"), "3");
	assert_string_equal(test_reply(r, "X-RateLimit-Remaining-a-year"), "0");
}

static void a_first_violation_may_stop_requests(void **state)
{
	const char *conf =
		"{\"limits\":{\"video\":{\"year\":1}},\"block_on_first_violation\":true}";

	(void)state;
	exchange(conf, "video=3");
	assert_string_equal(test_answer(exchange(conf, "video=1")),
			    "429 API rate limit exceeded for 'video'");
}

static void clients_need_not_be_told(void **state)
{
	struct req *r = exchange(
		"{\"limits\":{\"video\":{\"year\":1}},\"hide_client_headers\":true}", "video=1");

	(void)state;
	assert_int_equal(reply_headers(r)->n, 0);
	assert_string_equal(test_sent(r, "X-RateLimit-Remaining-video"), "1");
}

static void the_header_may_have_another_name(void **state)
{
	const char *conf = "{\"limits\":{\"video\":{\"year\":9}},\"header_name\":\"X-Cost\"}";
	struct req *r = exchange(conf, "video=1");

	(void)state;
	assert_string_equal(test_reply(r, "X-Kong-Limit"), "video=1");
	assert_string_equal(test_reply(r, "X-RateLimit-Remaining-video-year"), "9");
}

/* clang-format off */
static const struct {
	const char *conf, *errors;
} bad[] = {
	{ "{}", "{\"config\":{\"limits\":\"required field missing\"}}" },
	{ "{\"limits\":{}}", "{\"config\":{\"limits\":\"length must be at least 1\"}}" },
	{ "{\"limits\":{\"v\":{}}}", "{\"config\":{\"limits\":{\"@entity\":[\"at least one of these fields must be non-empty: 'second', 'minute', 'hour', 'day', 'month', 'year'\"]}}}" },
	{ "{\"limits\":{\"v\":{\"minute\":5,\"second\":10}}}", "{\"config\":{\"limits\":\"the limit for minute(5.0) cannot be lower than the limit for second(10.0)\"}}" },
	{ "{\"limits\":{\"v\":{\"minute\":0}}}", "{\"config\":{\"limits\":{\"minute\":\"value must be greater than 0\"}}}" },
	{ "{\"limits\":{\"v\":{\"minute\":1}},\"policy\":\"cluster\"}", "{\"config\":{\"policy\":\"expected one of: local, redis\"}}" },
	{ "{\"limits\":{\"v\":{\"minute\":1}},\"policy\":\"redis\"}", "{\"@entity\":[\"failed conditional validation given value of field 'config.policy'\"],"
		"\"config\":{\"redis_host\":\"required field missing\"}}" },
	{ "{\"limits\":{\"v\":{\"minute\":1}},\"limit_by\":\"path\"}", "{\"config\":{\"limit_by\":\"expected one of: consumer, credential, ip\"}}" },
	{ "{\"limits\":{\"v\":{\"minute\":1,\"year\":1}}}", "" },
};
/* clang-format on */

static void what_makes_no_sense_is_refused(void **state)
{
	struct value *doc;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_string_equal(
			str_z(test.a, test_check(&plugin_response_ratelimiting, bad[i].conf, &doc)),
			bad[i].errors);
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_response_ratelimiting);
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
		cmocka_unit_test_setup(answers_cost_what_they_say, begin),
		cmocka_unit_test_setup(costs_are_read_as_they_are_written, begin),
		cmocka_unit_test_setup(what_was_used_may_be_given_back, begin),
		cmocka_unit_test_setup(an_answer_counts_in_all_its_limits_or_in_none, begin),
		cmocka_unit_test_setup(a_first_violation_may_stop_requests, begin),
		cmocka_unit_test_setup(clients_need_not_be_told, begin),
		cmocka_unit_test_setup(the_header_may_have_another_name, begin),
		cmocka_unit_test_setup(what_makes_no_sense_is_refused, begin),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
