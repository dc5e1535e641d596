/* SPDX-License-Identifier: Apache-2.0 */
/* The expression language: what reads, what it means, and that the index never hides a
 * route whose expression holds. */
#include "route/route.h"

#include "base/vec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct http_header lines[] = {
	{ .name = STR_INIT("X-A"), .value = STR_INIT("One") },
	{ .name = STR_INIT("x-a"), .value = STR_INIT("two") },
	{ .name = STR_INIT("X_B"), .value = STR_INIT("b") },
};

static const struct http_headers headers = { .v = lines, .n = COUNT(lines) };

static const struct route_query query = {
	.method = STR_INIT("GET"),
	.host = STR_INIT("Api.test:8443"),
	.path = STR_INIT("/v1/Users/42"),
	.sni = STR_INIT("api.test"),
	.is_tls = true,
	.headers = &headers,
};

static struct router *build(struct arena *a, const struct route *routes, size_t n)
{
	const struct route **list = NEWS(a, const struct route *, n);
	struct router *r;

	for (size_t i = 0; i < n; i++)
		list[i] = &routes[i];
	assert_null(router_new(a, ROUTER_EXPRESSIONS, list, n, &r));
	return r;
}

static void expressions_hold_or_not(void **state)
{
	/* clang-format off */
	static const struct { const char *text; bool holds; } rows[] = {
		{ "http.method == \"GET\"", true },
		{ "http.method != \"GET\"", false },
		{ "http.method == \"get\"", false },
		{ "lower(http.method) == \"get\"", true },
		{ "net.protocol == \"https\"", true },
		{ "net.port == 8443", true }, { "net.port == 0x20FB", true }, { "net.port == 020373", true },
		{ "net.port > 8442 && net.port >= 8443 && net.port < 8444 && net.port <= 8443", true },
		{ "net.port != 8443", false },
		{ "tls.sni == \"API.test\"", true },
		{ "http.host == \"api.TEST\"", true }, { "http.host =^ \".test\"", true },
		{ "http.host ^= \"api.\"", true }, { "http.host ~ \"^api\\\\.\"", true },
		{ "http.path ^= \"/v1\"", true }, { "http.path ^= \"/v2\"", false },
		{ "http.path == \"/v1\"", false }, { "http.path =^ \"/42\"", true },
		{ "http.path ~ \"/\\\\d+$\"", true }, { "http.path ~ \"^/users\"", false },
		{ "lower(http.path) ^= \"/v1/users\"", true }, { "http.path ^= \"/v1/users\"", false },
		{ "http.headers.x_a == \"one\"", false }, /* all must */
		{ "any(http.headers.x_a) == \"one\"", true },
		{ "any(lower(http.headers.x_a)) == \"two\"", true },
		{ "lower(any(http.headers.x_a)) == \"three\"", false },
		{ "http.headers.x_a ~ \"o\"", true },
		{ "http.headers.x_b == \"b\"", true },
		{ "http.headers.x_c != \"c\"", false }, /* absent */
		{ "http.raw_path ^= \"/\"", false },
		{ "http.method == \"PUT\" || http.path ^= \"/v1\"", true },
		{ "http.method == \"PUT\" && http.path ^= \"/v2\" || net.port == 8443", true },
		{ "net.port == 8443 || http.method == \"GET\" && http.path ^= \"/v2\"", false }, /* left to right */
		{ "net.port == 8443 || (http.method == \"GET\" && http.path ^= \"/v2\")", true },
		{ "((http.host == \"x\" || http.host == \"api.test\")&&(http.path^=\"/v2\"||http.path^=\"/v1\"))", true },
		{ "http.path == \"\\\"\\\\\\n\\r\\t\"", false },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		CLEANUP(arena_drop) struct arena *a = arena_new();
		struct route route = { .expression = str_of(rows[i].text) };
		struct route_match m;

		if (router_find(build(a, &route, 1), &query, a, &m) != rows[i].holds)
			fail_msg("%s", rows[i].text);
	}
}

static void what_cannot_be_read_is_refused(void **state)
{
	/* clang-format off */
	static const struct { const char *text, *words; } rows[] = {
		{ "", "column 1: a field is missing" },
		{ "http.nothing == \"x\"", "column 1: there is no such field" },
		{ "http.headers. == \"x\"", "there is no such field" },
		{ "http.path", "an operator is missing" },
		{ "http.path ==", "a text in double quotes" },
		{ "http.path == x", "a text in double quotes" },
		{ "http.path == \"x", "a '\"' is missing" },
		{ "http.path == \"\\x\"", "there is no such escape" },
		{ "http.path > 3", "the operator is not for this field" },
		{ "net.port ~ \"3\"", "the operator is not for this field" },
		{ "net.port == \"3\"", "an integer is wanted" },
		{ "net.port == 09", "not an integer" },
		{ "net.port == 99999999999999999999", "not an integer" },
		{ "lower(net.port) == 3", "lower() wants a text" },
		{ "upper(http.path) == \"x\"", "there is no such function" },
		{ "any(http.path == \"x\"", "a ')' is missing" },
		{ "(http.path == \"x\"", "a ')' is missing" },
		{ "http.path == \"x\" http.path == \"y\"", "&& or || is wanted" },
		{ "http.path == \"x\" &&", "a field is missing" },
		{ "http.path ~ \"(\"", "column 13: regular expression" },
		{ "http.path in 10.0.0.0/8", "'in' is for addresses" },
		{ "((((((((((((((((((((((((((((((((((http.path", "nested too deeply" },
	};
	/* clang-format on */
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err *e = route_check_expression(str_of(rows[i].text));

		if (!e || str_find_str(err_line(a, e), str_of(rows[i].words)) < 0)
			fail_msg("%s: %s", rows[i].text, e ? e->text : "was taken");
	}
	assert_null(route_check_expression(STR("http.path ^= \"/\"")));
	err_forget();
}

static void a_bad_expression_fails_the_build_with_its_field(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct route route = { .name = STR("r"), .expression = STR("x") };
	const struct route *list[] = { &route };
	struct router *r;
	struct err *e = router_new(a, ROUTER_EXPRESSIONS, list, 1, &r);

	(void)state;
	assert_non_null(e);
	assert_string_equal(e->field, "expression");
	err_forget();
}

static void the_greater_priority_wins_then_the_older(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	static const struct route routes[] = {
		{ .expression = STR_INIT("http.path ^= \"/v1/Users/4\""),
		  .priority = 1,
		  .created_at = 1 },
		{ .expression = STR_INIT("http.path ^= \"/\""), .priority = 7, .created_at = 3 },
		{ .expression = STR_INIT("http.host == \"api.test\""),
		  .priority = 7,
		  .created_at = 2 },
		{ .expression = STR_INIT("http.path ^= \"/x\""), .priority = 9 },
	};
	struct route_match m;

	(void)state;
	assert_true(router_find(build(a, routes, COUNT(routes)), &query, a, &m));
	assert_ptr_equal(m.route, &routes[2]);
	assert_false(m.has_path);
}

static void the_path_and_its_captures_are_told(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct route route = { .expression = STR("http.path ~ \"^/v(?<v>\\\\d)\"") };
	struct route_match m;

	(void)state;
	assert_true(router_find(build(a, &route, 1), &query, a, &m));
	assert_true(m.has_path && m.prefix == 3);
	assert_int_equal(m.captures_n, 2);
	assert_true(str_is(m.captures[1].name, "v") && str_is(m.captures[1].value, "1"));
	route.expression = STR("http.method == \"GET\" && http.path ^= \"/v1/U\"");
	assert_true(router_find(build(a, &route, 1), &query, a, &m));
	assert_true(m.has_path && m.prefix == 5 && !m.captures);
}

/* A random expression over tests that hold now and then. */
static str random_expression(struct arena *a, unsigned *seed, int depth)
{
	static const char *const tests[] = {
		"http.path ^= \"/a\"",    "http.path ^= \"/a/b\"",      "http.path == \"/a\"",
		"http.path ~ \"^/a|b\"",  "http.path ~ \"^/a/(b|c)\"",  "http.path ~ \"b\"",
		"http.host == \"a\"",     "http.host == \"B\"",         "http.host ^= \"a\"",
		"http.method == \"GET\"", "lower(http.path) ^= \"/a\"", "lower(http.host) == \"a\"",
	};
	str text = STR("");

	for (int i = rand_r(seed) % 3; i >= 0; i--) {
		str term = str_of(tests[(size_t)rand_r(seed) % COUNT(tests)]);

		if (depth < 3 && rand_r(seed) % 4 == 0) {
			str inner = random_expression(a, seed, depth + 1);

			term = str_fmt(a, "(" STRF ")", STRV(inner));
		}
		text = str_fmt(a, STRF STRF "%s", STRV(text), STRV(term),
			       i == 0             ? ""
			       : rand_r(seed) % 2 ? " && "
						  : " || ");
	}
	return text;
}

/* The bare one begins with a test that needs no host and no path, so that the index leads
 * nowhere and only the expression speaks. */
static void the_index_hides_nothing(void **state)
{
	static const char *const paths[] = { "/", "/a", "/a/b", "/a/c/d", "/A/b", "/b" };
	static const char *const hosts[] = { "", "a", "b", "ab", "A:1" };
	static const char *const methods[] = { "GET", "PUT" };
	unsigned seed = 7;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		CLEANUP(arena_drop) struct arena *a = arena_new();
		str text = random_expression(a, &seed, 0);
		struct route indexed = { .expression = text };
		struct route bare = { .expression = str_fmt(a, "net.port == 77777 || (" STRF ")",
							    STRV(text)) };
		struct router *r = build(a, &indexed, 1), *naive = build(a, &bare, 1);

		for (int k = 0; k < 10; k++) {
			struct route_query q = {
				.path = str_of(paths[(size_t)rand_r(&seed) % COUNT(paths)]),
				.host = str_of(hosts[(size_t)rand_r(&seed) % COUNT(hosts)]),
				.method = str_of(methods[(size_t)rand_r(&seed) % COUNT(methods)]),
			};
			struct route_match m;

			if (router_find(r, &q, a, &m) != router_find(naive, &q, a, &m))
				fail_msg("%.*s on %s%s", STRV(text), q.host.s, q.path.s);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expressions_hold_or_not),
		cmocka_unit_test(what_cannot_be_read_is_refused),
		cmocka_unit_test(a_bad_expression_fails_the_build_with_its_field),
		cmocka_unit_test(the_greater_priority_wins_then_the_older),
		cmocka_unit_test(the_path_and_its_captures_are_told),
		cmocka_unit_test(the_index_hides_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
