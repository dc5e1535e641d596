/* SPDX-License-Identifier: Apache-2.0 */
/* proxy-cache: keys, what is stored and for whom, and for how long. */
#include "plugins/proxy-cache/cache.h"
#include "plugins/testing.h"

extern const struct plugin plugin_proxy_cache;

#define MEMORY  "\"strategy\":\"memory\""
#define CONTROL MEMORY ",\"cache_control\":true"

static int begin(void **state)
{
	static struct setting_zone zones[] = {
		{ STR_INIT("kong_db_cache"), 1 << 20 },
		{ STR_INIT("small"), 8192 },
	};

	(void)state;
	test.settings.zones = (struct setting_zones){ zones, COUNT(zones) };
	test_begin();
	return 0;
}

static int forget(void **state)
{
	(void)state;
	plugin_proxy_cache.stop();
	return 0;
}

/* ---- an exchange ---------------------------------------------------------------------------- */

/* The service answers 200 with that body and these fields ("Name: value\r\n" each). */
static struct req *exchange(const char *conf_text, const char *method, const char *target,
			    const char *headers, const char *fields, const char *body)
{
	const struct plugin *p = &plugin_proxy_cache;
	void *conf = test_conf(p, conf_text);
	struct req *r = test_request(method, target, headers);
	str rest = str_of(fields), line;

	if (p->on[PHASE_ACCESS](r, conf) == DONE)
		return r;
	r->run->has_reply = true;
	r->status = 200;
	for (unsigned i = 0; i < r->run->early.n; i++)
		http_set_str(req_arena(r), reply_headers(r), r->run->early.v[i].name,
			     r->run->early.v[i].value);
	while (str_next(&rest, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':', 0);

		if (colon > 0)
			http_add(req_arena(r), reply_headers(r), str_part(line, 0, (size_t)colon),
				 str_trim(str_from(line, (size_t)colon + 1)));
	}
	p->on[PHASE_HEADER_FILTER](r, conf);
	r->run->piece = str_of(body);
	r->run->is_last_piece = true;
	if (strcmp(method, "HEAD") != 0)
		p->on[PHASE_BODY_FILTER](r, conf);
	return r;
}

static const char *status_of(const struct req *r)
{
	return test_reply(r, "X-Cache-Status");
}

static const char *ask(const char *conf, const char *target, const char *headers,
		       const char *fields)
{
	return status_of(
		exchange(str_fmt(test.a, "{%s}", conf).s, "GET", target, headers, fields, "body"));
}

#define TEXT "Content-Type: text/plain\n"

/* ---- keys -------------------------------------------------------------------------------------- */

static void keys_are_kong_s(void **state)
{
	/* clang-format off */
	static const struct {
		const char *conf, *target, *headers, *want;
	} cases[] = {
		{ "", "/get", "", "default|GET|GET /get HTTP/1.1||" },
		{ "", "/get?", "", "default|GET|GET /get||" },
		{ "", "/get?b=2&a=1", "", "default|GET|GET /get|a=1:b=2|" },
		{ "", "/get?a=2&b&a=1&c=", "", "default|GET|GET /get|a=1,2:b:c=|" },
		{ "", "/get?a=%20x", "", "default|GET|GET /get|a= x|" },
		{ ",\"vary_query_params\":[\"b\",\"a\",\"z\"]", "/get?b=2&a=1&c=3", "", "default|GET|GET /get|b=2:a=1|" },
		{ ",\"vary_headers\":[\"x-b\",\"X-A\",\"x-z\"]", "/get", "X-A: 2\r\nX-B: 3\r\nx-a: 1\r\n", "default|GET|GET /get HTTP/1.1||x-b=3:X-A=1,2" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = exchange(str_fmt(test.a, "{" MEMORY "%s}", cases[i].conf).s, "GET",
					 cases[i].target, cases[i].headers, "", "");
		uint8_t digest[32];

		digest_sha256(str_of(cases[i].want), digest);
		assert_string_equal(test_reply(r, "X-Cache-Key"),
				    str_z(test.a, hex_encode(test.a, str_at((char *)digest, 32))));
	}
}

/* ---- what is stored --------------------------------------------------------------------------------- */

static void an_answer_is_given_again(void **state)
{
	struct req *r;

	(void)state;
	assert_string_equal(ask(MEMORY, "/a", "", TEXT), "Miss");
	r = exchange("{" MEMORY "}", "GET", "/a", "", TEXT, "other");
	assert_string_equal(status_of(r), "Hit");
	assert_string_equal(test_answer(r), "200 body");
	assert_string_equal(test_reply(r, "Content-Type"), "text/plain");
	assert_string_equal(test_reply(r, "Age"), "0");
	assert_true(r->is_proxied);
	assert_string_equal(ask(MEMORY, "/b", "", TEXT), "Miss");
}

static void fields_of_one_connection_or_request_are_not_given_again(void **state)
{
	struct req *r;

	(void)state;
	ask(MEMORY, "/a", "",
	    TEXT
	    "Connection: X-Hop, close\nX-Hop: 1\nKeep-Alive: 5\nX-RateLimit-Remaining-Minute: 3\n"
	    "X-RateLimit-Limit-Minute: 5\nSet-Cookie: a\nSet-Cookie: b\nContent-Length: 4\nVia: "
	    "x\n");
	r = exchange("{" MEMORY "}", "GET", "/a", "", "", "");
	assert_string_equal(status_of(r), "Hit");
	assert_string_equal(test_reply(r, "X-Hop"), "");
	assert_string_equal(test_reply(r, "Keep-Alive"), "");
	assert_string_equal(test_reply(r, "Content-Length"), "");
	assert_string_equal(test_reply(r, "X-RateLimit-Remaining-Minute"), "");
	assert_string_equal(test_reply(r, "X-RateLimit-Limit-Minute"), "5");
	assert_string_equal(test_reply(r, "Via"), "x");
	assert_int_equal(values_of(test.a, reply_headers(r), STR("set-cookie")).n, 2);
}

static void a_head_is_stored_with_the_length_that_it_says(void **state)
{
	struct req *r;

	(void)state;
	exchange("{" MEMORY "}", "HEAD", "/a", "", TEXT "Content-Length: 4\n", "");
	r = exchange("{" MEMORY "}", "HEAD", "/a", "", "", "");
	assert_string_equal(status_of(r), "Hit");
	assert_string_equal(test_reply(r, "Content-Length"), "4");
	assert_string_equal(ask(MEMORY, "/a", "", TEXT), "Miss"); /* a GET is something else */
}

/* clang-format off */
static const struct {
	const char *conf, *headers, *fields, *first, *second;
} cases[] = {
	{ MEMORY, "", TEXT, "Miss", "Hit" },
	{ MEMORY, "", "", "Bypass", "Bypass" },
	{ MEMORY, "", "Content-Type: text/plain; charset=utf-8\n", "Bypass", "Bypass" },
	{ MEMORY ",\"content_type\":[\"text/plain; charset=utf-8\"]", "", "Content-Type: text/plain; charset=utf-8\n", "Miss", "Hit" },
	{ MEMORY ",\"response_code\":[301]", "", TEXT, "Bypass", "Bypass" },
	{ MEMORY ",\"request_method\":[\"HEAD\"]", "", TEXT, "Bypass", "Bypass" },
	{ MEMORY, "Cache-Control: no-store\r\n", TEXT "Cache-Control: private\n", "Miss", "Hit" },
	{ MEMORY, "Authorization: x\r\n", TEXT, "Miss", "Hit" },
	{ MEMORY, "", TEXT "Vary: *\n", "Miss", "Hit" },
	{ MEMORY ",\"storage_ttl\":-1", "", TEXT, "Miss", "Miss" },
	{ MEMORY ",\"storage_ttl\":-9000000000000000000", "", TEXT, "Miss", "Miss" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=9223372036854775807\n", "Miss", "Hit" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=99999999999999999999\n", "Bypass", "Bypass" },
	{ MEMORY ",\"storage_ttl\":0", "", TEXT, "Miss", "Hit" },
	{ CONTROL, "", TEXT, "Bypass", "Bypass" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=5\n", "Miss", "Hit" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=\"5\"\n", "Miss", "Hit" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=0, s-maxage=5\n", "Miss", "Hit" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=5, s-maxage=0\n", "Bypass", "Bypass" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=x\n", "Bypass", "Bypass" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=5\nCache-Control: Private\n", "Bypass", "Bypass" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=5 , no-store\n", "Bypass", "Bypass" },
	{ CONTROL, "", TEXT "Cache-Control: no-cache=\"a\", max-age=5\n", "Bypass", "Bypass" },
	{ CONTROL, "", TEXT "Expires: Fri, 31 Dec 2100 23:59:59 GMT\n", "Miss", "Hit" },
	{ CONTROL, "", TEXT "Expires: Fri, 31 Dec 1999 23:59:59 GMT\n", "Bypass", "Bypass" },
	{ CONTROL, "", TEXT "Expires: 0\n", "Bypass", "Bypass" },
	{ CONTROL, "Authorization: x\r\n", TEXT "Cache-Control: max-age=5\n", "Bypass", "Bypass" },
	{ CONTROL, "Cache-Control: No-Cache\r\n", TEXT "Cache-Control: max-age=5\n", "Bypass", "Bypass" },
	{ CONTROL, "Cache-Control: no-store\r\n", TEXT "Cache-Control: max-age=5\n", "Bypass", "Bypass" },
	{ CONTROL, "Cache-Control: min-fresh=6\r\n", TEXT "Cache-Control: max-age=5\n", "Miss", "Refresh" },
	{ CONTROL, "Cache-Control: min-fresh=4\r\n", TEXT "Cache-Control: max-age=5\n", "Miss", "Hit" },
	{ CONTROL, "Cache-Control: max-age=1\r\n", TEXT "Cache-Control: max-age=5\n", "Miss", "Hit" },
	{ CONTROL, "", TEXT "Cache-Control: max-age=5\nVary: *\n", "Bypass", "Bypass" },
	{ CONTROL, "X-A: 1\r\n", TEXT "Cache-Control: max-age=5\nVary: X-A\n", "Miss", "Hit" },
};
/* clang-format on */

static void configuration_and_directives_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *first, *second;

		forget(NULL);
		first = ask(cases[i].conf, "/a", cases[i].headers, cases[i].fields);
		second = ask(cases[i].conf, "/a", cases[i].headers, cases[i].fields);
		if (strcmp(first, cases[i].first) != 0 || strcmp(second, cases[i].second) != 0)
			fail_msg("%s %s %s: %s, %s", cases[i].conf, cases[i].headers,
				 cases[i].fields, first, second);
	}
}

static void what_vary_names_must_be_the_same(void **state)
{
	static const char fields[] = TEXT "Cache-Control: max-age=5\nVary: X-A, X-B\n";

	(void)state;
	assert_string_equal(ask(CONTROL, "/a", "X-A: 1\r\n", fields), "Miss");
	assert_string_equal(ask(CONTROL, "/a", "X-A: 1\r\n", fields), "Hit");
	assert_string_equal(ask(CONTROL, "/a", "X-A: 1\r\nX-B: 1\r\n", fields), "Refresh");
	assert_string_equal(ask(CONTROL, "/a", "X-B: 1\r\nX-A: 1\r\n", fields), "Hit");
	assert_string_equal(ask(CONTROL, "/a", "X-C: 1\r\n", fields), "Refresh");
}

/* Puts an answer there that is so old. */
static void put(const char *target, int64_t age_s, int64_t ttl_s)
{
	struct http_headers fields = { 0 };
	struct stored head = { .at_s = clock_wall_s() - age_s, .ttl_s = ttl_s, .status = 200 };
	struct req *r = test_request("GET", target, "");
	struct parcel *p;

	http_add(test.a, &fields, STR("Content-Type"), STR("text/plain"));
	p = stored_new(cache_key(r, (strs){ 0 }, (strs){ 0 }), &head, &fields, 0);
	parcel_add(&p, STR("old"));
	assert_true(shelf_put(zone_find(STR("kong_db_cache"))->shelf, &p, INT64_MAX));
}

static void what_is_stale_is_for_those_who_take_it(void **state)
{
	/* clang-format off */
	static const struct {
		const char *conf, *headers, *want;
	} stale[] = {
		{ MEMORY ",\"cache_ttl\":11", "", "Hit" },
		{ MEMORY ",\"cache_ttl\":8", "", "Refresh" },
		{ CONTROL, "", "Refresh" },
		{ CONTROL, "Cache-Control: max-stale\r\n", "Hit" },
		{ CONTROL, "Cache-Control: max-stale=6\r\n", "Hit" },
		{ CONTROL, "Cache-Control: max-stale=2\r\n", "Refresh" },
		{ CONTROL, "Cache-Control: max-stale=100, max-age=5\r\n", "Refresh" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(stale); i++) {
		put("/old", 9, 5);
		assert_string_equal(ask(stale[i].conf, "/old", stale[i].headers,
					TEXT "Cache-Control: max-age=5\n"),
				    stale[i].want);
	}
	put("/old", 7, 5);
	exchange("{" MEMORY "}", "GET", "/old", "", "", "");
	assert_string_equal(test_reply(exchange("{" MEMORY "}", "GET", "/old", "", "", ""), "Age"),
			    "7");
}

static void only_if_cached_is_told_when_it_is_not(void **state)
{
	struct req *r =
		exchange("{" CONTROL "}", "GET", "/a", "Cache-Control: only-if-cached\r\n", "", "");

	(void)state;
	assert_true(r->run->answer.is_given && r->run->answer.status == 504);
	assert_int_equal(r->run->answer.body.n, 0);
}

static void what_does_not_fit_is_not_stored(void **state)
{
	static const char small[] = "{" MEMORY ",\"memory\":{\"dictionary_name\":\"small\"}}";
	char *body = arena_bytes(test.a, 4001);
	struct req *r;

	(void)state;
	memset(body, 'x', 4000);
	body[4000] = '\0';
	r = exchange(small, "GET", "/a", "", TEXT "Content-Length: 4000\n", body);
	assert_string_equal(status_of(r), "Bypass");
	r = exchange(small, "GET", "/a", "", TEXT, body);
	assert_string_equal(status_of(r), "Miss"); /* nobody said how long it is */
	r = exchange(small, "GET", "/a", "", TEXT, "short");
	assert_string_equal(status_of(r), "Miss");
	r = exchange(small, "GET", "/a", "", TEXT, "short");
	assert_string_equal(status_of(r), "Hit");
	assert_int_equal(zone_find(STR("small"))->coming, 0);
}

static void an_answer_that_breaks_off_is_not_stored(void **state)
{
	const struct plugin *p = &plugin_proxy_cache;
	void *conf = test_conf(p, "{" MEMORY "}");
	struct arena *a = arena_new();
	struct req *r = test_request("GET", "/a", "");

	(void)state;
	r->arena = a;
	p->on[PHASE_ACCESS](r, conf);
	r->run->has_reply = true;
	r->status = 200;
	reply_add_header(r, STR("Content-Type"), STR("text/plain"));
	p->on[PHASE_HEADER_FILTER](r, conf);
	r->run->piece = STR("half");
	p->on[PHASE_BODY_FILTER](r, conf);
	assert_int_equal(zone_find(STR("kong_db_cache"))->coming > 4, 1);
	arena_drop(&a);
	assert_int_equal(zone_find(STR("kong_db_cache"))->coming, 0);
	assert_int_equal(shelf_bytes(zone_find(STR("kong_db_cache"))->shelf), 0);
}

static void configurations_are_checked(void **state)
{
	/* clang-format off */
	static const struct test_refusal refusals[] = {
		{ "{" MEMORY "}", "" },
		{ "{}", "\"strategy\":\"required field missing\"" },
		{ "{\"strategy\":\"redis\"}", "expected one of: memory" },
		{ "{" MEMORY ",\"memory\":{\"dictionary_name\":\"small\"}}", "" },
		{ "{" MEMORY ",\"memory\":{\"dictionary_name\":\"none\"}}", "\"@entity\":[\"missing shared dict 'none'\"]" },
		{ "{" MEMORY ",\"response_code\":[99]}", "value should be between 100 and 900" },
		{ "{" MEMORY ",\"response_code\":[]}", "length must be at least 1" },
		{ "{" MEMORY ",\"cache_ttl\":0}", "value must be greater than 0" },
		{ "{" MEMORY ",\"request_method\":[\"DELETE\"]}", "expected one of: HEAD, GET, POST, PATCH, PUT" },
	};
	/* clang-format on */

	(void)state;
	test_refusals(&plugin_proxy_cache, refusals, COUNT(refusals));
}

/* ---- pages -------------------------------------------------------------------------------------------- */

#define ID "8b1dbb54-7ea4-4f5a-9b61-0c6e4a6f0b01"

static str told;

static struct value *plugins(void *arg, struct arena *a, const char *name)
{
	(void)arg;
	(void)a;
	assert_string_equal(name, "proxy-cache");
	return test_json("[{\"id\":\"" ID "\",\"config\":{\"memory\":{\"dictionary_name\":"
			 "\"kong_db_cache\"}},\"enabled\":true}]");
}

static struct err *tell(void *arg, const char *channel, str data)
{
	(void)arg;
	assert_string_equal(channel, "proxy-cache:purge");
	told = str_copy(test.a, data);
	return NULL;
}

static const struct plugin_node_hooks hooks = { .plugins = plugins, .tell = tell };

static struct page_call call(size_t page, enum http_method m, str first, str second)
{
	struct page_call c = { .a = test.a, .method = m, .captures = { first, second } };

	told = STR("");
	plugins_ask(&hooks);
	plugin_proxy_cache.pages[page].on[m](&c);
	plugins_ask(NULL);
	return c;
}

static str stored_under(const char *target)
{
	return str_of(test_reply(
		exchange("{" MEMORY "}", "GET", target, "", TEXT "X-A: 1\nX-A: 2\n", "the body"),
		"X-Cache-Key"));
}

static void what_is_stored_is_shown_and_purged(void **state)
{
	str key = stored_under("/a"), none = STR("none");
	struct page_call c = call(1, HTTP_GET, key, none);

	(void)state;
	assert_int_equal(c.status, 200);
	assert_true(str_find_str(c.body, STR("\"status\":200")) > 0);
	assert_true(str_find_str(c.body, STR("\"body\":\"the body\",\"body_len\":8")) > 0);
	assert_true(str_find_str(c.body, STR("\"X-A\":[\"1\",\"2\"]")) > 0);
	assert_int_equal(call(1, HTTP_GET, none, none).status, 404);
	assert_int_equal(call(2, HTTP_GET, STR(ID), key).status, 200);
	assert_int_equal(call(2, HTTP_GET, none, key).status, 404);
	assert_int_equal(call(2, HTTP_DELETE, none, key).status, 404);
	assert_int_equal(call(1, HTTP_DELETE, key, none).status, 204);
	assert_true(str_eq(told, str_fmt(test.a, ID ":" STRF, STRV(key))));
	assert_int_equal(call(1, HTTP_DELETE, key, none).status, 404);
	assert_int_equal(told.n, 0);
	stored_under("/a");
	assert_int_equal(call(2, HTTP_DELETE, STR(ID), key).status, 204);
	stored_under("/a");
	assert_int_equal(call(0, HTTP_DELETE, none, none).status, 204);
	assert_true(str_is(told, ID ":nil"));
	assert_string_equal(ask(MEMORY, "/a", "", TEXT), "Miss");
}

static void other_nodes_purge(void **state)
{
	str key = stored_under("/a"), other = stored_under("/b");

	(void)state;
	plugins_ask(&hooks);
	plugins_hear(STR("proxy-cache:purge"), STR("none:nil"));
	plugins_hear(STR("proxy-cache:purge"), STR("nonsense"));
	plugins_hear(STR("proxy-cache:purge"), str_fmt(test.a, ID ":" STRF, STRV(other)));
	plugins_ask(NULL);
	assert_int_equal(call(1, HTTP_GET, other, other).status, 404);
	assert_int_equal(call(1, HTTP_GET, key, key).status, 200);
	plugins_ask(&hooks);
	plugins_hear(STR("proxy-cache:purge"), STR(ID ":nil"));
	plugins_ask(NULL);
	assert_int_equal(call(1, HTTP_GET, key, key).status, 404);
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_proxy_cache);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, forget)
	const struct CMUnitTest tests[] = {
		TEST(the_rows_are_kong_s),
		TEST(configurations_are_checked),
		TEST(keys_are_kong_s),
		TEST(an_answer_is_given_again),
		TEST(fields_of_one_connection_or_request_are_not_given_again),
		TEST(a_head_is_stored_with_the_length_that_it_says),
		TEST(configuration_and_directives_decide),
		TEST(what_vary_names_must_be_the_same),
		TEST(what_is_stale_is_for_those_who_take_it),
		TEST(only_if_cached_is_told_when_it_is_not),
		TEST(what_does_not_fit_is_not_stored),
		TEST(an_answer_that_breaks_off_is_not_stored),
		TEST(what_is_stored_is_shown_and_purged),
		TEST(other_nodes_purge),
	};

	return cmocka_run_group_tests(tests, begin, test_end);
}
