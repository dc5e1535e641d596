/* SPDX-License-Identifier: Apache-2.0 */
/* The router by examples: each field's rules, both orders, captures, streams, and what a
 * configuration is refused for. */
#include "route/route.h"

#include "base/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define LIST(...)                                                                                  \
	{                                                                                          \
		(str[]){ __VA_ARGS__ }, COUNT(((str[]){ __VA_ARGS__ }))                            \
	}

struct fixture {
	struct arena *a;
	const struct route *routes[32];
	size_t n;
};

static void fixture_done(struct fixture *f)
{
	arena_drop(&f->a);
}

#define FIXTURE                                                                                    \
	CLEANUP(fixture_done) struct fixture f = { .a = arena_new() };                             \
	(void)state

/* Adds a route; created_at and id follow the order of adding unless given. */
static void add(struct fixture *f, struct route r)
{
	struct route *copy = arena_copy(f->a, &r, sizeof(r));

	if (!copy->created_at)
		copy->created_at = (int64_t)f->n + 1;
	if (uuid_is_none(copy->id))
		copy->id.b[15] = (uint8_t)(f->n + 1);
	f->routes[f->n++] = copy;
}

#define ADD(...) add(&f, (struct route){ __VA_ARGS__ })

static const struct value *json(struct fixture *f, const char *text)
{
	struct value *v;

	assert_null(json_parse(f->a, str_of(text), &v));
	return v;
}

static struct router *build(struct fixture *f, enum router_flavor flavor)
{
	struct router *r;

	assert_null(router_new(f->a, flavor, f->routes, f->n, &r));
	return r;
}

/* The name of the route that answers, "" when none does. */
static const char *ask(struct fixture *f, enum router_flavor flavor, struct route_query q)
{
	struct route_match m;

	if (!q.method.n)
		q.method = STR("GET");
	if (!q.path.n)
		q.path = STR("/");
	if (!router_find(build(f, flavor), &q, f->a, &m))
		return "";
	return str_z(f->a, m.route->name);
}

#define ASK(flavor, ...) ask(&f, ROUTER_##flavor, (struct route_query){ __VA_ARGS__ })

/* In both flavours. */
#define EXPECT(name, ...)                                                                          \
	do {                                                                                       \
		assert_string_equal(ASK(TRADITIONAL_COMPATIBLE, __VA_ARGS__), name);               \
		assert_string_equal(ASK(TRADITIONAL, __VA_ARGS__), name);                          \
	} while (0)

static struct http_headers *headers(struct fixture *f, const char *const (*lines)[2], unsigned n)
{
	struct http_headers *h = NEW(f->a, struct http_headers);

	h->v = NEWS(f->a, struct http_header, n);
	h->n = n;
	for (unsigned i = 0; i < n; i++)
		h->v[i] = (struct http_header){ .name = str_of(lines[i][0]),
						.value = str_of(lines[i][1]) };
	return h;
}

#define HEADERS(...)                                                                               \
	headers(&f, (const char *const[][2]){ __VA_ARGS__ },                                       \
		COUNT(((const char *const[][2]){ __VA_ARGS__ })))

static void hosts_are_compared_without_case_and_port(void **state)
{
	FIXTURE;
	ADD(.name = STR("a"), .hosts = LIST(STR("a.test"), STR("Other.Test")));
	ADD(.name = STR("port"), .hosts = LIST(STR("b.test:8080")));
	ADD(.name = STR("v6"), .hosts = LIST(STR("[::1]:80")));
	EXPECT("a", .host = STR("a.test"));
	EXPECT("a", .host = STR("A.TEST:1234"));
	EXPECT("a", .host = STR("other.test"));
	EXPECT("", .host = STR("a.test."));
	EXPECT("", .host = STR("b.test"));
	EXPECT("", .host = STR("b.test:8081"));
	EXPECT("port", .host = STR("b.test:8080"));
	EXPECT("v6", .host = STR("[::1]:80"));
	EXPECT("", .host = STR(""));
	EXPECT("", .host = STR_NONE);
}

static void a_missing_port_is_the_schemes_in_traditional_alone(void **state)
{
	FIXTURE;
	ADD(.name = STR("http"), .hosts = LIST(STR("a.test:80")));
	ADD(.name = STR("https"), .hosts = LIST(STR("*.test:443")));
	assert_string_equal(ASK(TRADITIONAL, .host = STR("a.test")), "http");
	assert_string_equal(ASK(TRADITIONAL, .host = STR("a.test"), .is_tls = true), "https");
	assert_string_equal(ASK(TRADITIONAL_COMPATIBLE, .host = STR("a.test")), "");
	EXPECT("http", .host = STR("a.test:80"));
}

static void wildcards_stand_for_something(void **state)
{
	FIXTURE;
	ADD(.name = STR("suffix"), .hosts = LIST(STR("*.example.com")));
	ADD(.name = STR("prefix"), .hosts = LIST(STR("example.*")));
	EXPECT("suffix", .host = STR("a.example.com"));
	EXPECT("suffix", .host = STR("a.b.example.com:99"));
	EXPECT("", .host = STR(".example.com"));
	EXPECT("prefix", .host = STR("example.org"));
	EXPECT("prefix", .host = STR("example.co.uk:80"));
	EXPECT("", .host = STR("example."));
	EXPECT("", .host = STR("xexample.org"));
}

static void plain_hosts_win_over_wildcards(void **state)
{
	FIXTURE;
	ADD(.name = STR("wild"), .hosts = LIST(STR("*.test")));
	ADD(.name = STR("mixed"), .hosts = LIST(STR("a.test"), STR("b.*")));
	ADD(.name = STR("plain"), .hosts = LIST(STR("a.test")));
	EXPECT("plain", .host = STR("a.test"));
	EXPECT("wild", .host = STR("c.test"));
}

static void longer_paths_win(void **state)
{
	FIXTURE;
	ADD(.name = STR("root"), .paths = LIST(STR("/")));
	ADD(.name = STR("a"), .paths = LIST(STR("/a")));
	ADD(.name = STR("ab"), .paths = LIST(STR("/a/b"), STR("/zzzzzzz")));
	EXPECT("ab", .path = STR("/a/b/c"));
	EXPECT("a", .path = STR("/a/c"));
	EXPECT("a", .path = STR("/abc"));
	EXPECT("root", .path = STR("/b"));
}

static void expressions_win_over_plain_paths(void **state)
{
	FIXTURE;
	ADD(.name = STR("plain"), .paths = LIST(STR("/users/42/long")));
	ADD(.name = STR("regex"), .paths = LIST(STR("~/users/\\d+")));
	ADD(.name = STR("first"), .paths = LIST(STR("~/users/\\d")), .regex_priority = 1);
	EXPECT("first", .path = STR("/users/42/long"));
	EXPECT("", .path = STR("/x/users/42"));
	EXPECT("", .path = STR("/users/x"));
}

static void alternatives_are_all_anchored(void **state)
{
	FIXTURE;
	ADD(.name = STR("or"), .paths = LIST(STR("~/a|/b")));
	EXPECT("or", .path = STR("/a1"));
	EXPECT("or", .path = STR("/b1"));
	EXPECT("", .path = STR("/x/b"));
}

static void a_newline_is_no_end(void **state)
{
	FIXTURE;
	ADD(.name = STR("end"), .paths = LIST(STR("~/a$")));
	EXPECT("end", .path = STR("/a"));
	EXPECT("", .path = STR("/a\n"));
}

static void methods_are_exact(void **state)
{
	FIXTURE;
	ADD(.name = STR("post"), .methods = LIST(STR("POST"), STR("purge")));
	EXPECT("post", .method = STR("POST"));
	EXPECT("post", .method = STR("PURGE"));
	EXPECT("", .method = STR("post"));
	EXPECT("", .method = STR("GET"));
}

static void headers_want_one_value_of_each_name(void **state)
{
	FIXTURE;
	ADD(.name = STR("two"), .headers = json(&f, "{\"X-A\":[\"1\",\"Two\"],\"x-b\":[\"3\"]}"));
	ADD(.name = STR("one"), .headers = json(&f, "{\"x-a\":[\"1\"]}"));
	ADD(.name = STR("regex"), .headers = json(&f, "{\"x-c\":[\"~*^V\\\\S+$\"]}"));
	EXPECT("two", .headers = HEADERS({ "x-a", "TWO" }, { "X-B", "3" }));
	EXPECT("two", .headers = HEADERS({ "X-A", "9" }, { "X-A", "1" }, { "X-B", "3" }));
	EXPECT("one", .headers = HEADERS({ "X-A", "1" }, { "X-B", "4" }));
	EXPECT("", .headers = HEADERS({ "X-A", "1, Two" }, { "X-B", "3" }));
	EXPECT("regex", .headers = HEADERS({ "X-C", "v12" }));
	EXPECT("", .headers = HEADERS({ "X-C", "v 12" }));
	EXPECT("", .headers = NULL);
}

static void repeated_headers_do_not_join(void **state)
{
	FIXTURE;
	ADD(.name = STR("joined"), .headers = json(&f, "{\"x-h\":[\"alpha\"]}"));
	EXPECT("joined", .headers = HEADERS({ "X-H", "gamma" }, { "X-H", "alpha" }));
	EXPECT("", .headers = HEADERS({ "X-H", "alpha, gamma" }));
}

static void host_is_no_header_to_match(void **state)
{
	FIXTURE;
	ADD(.name = STR("h"), .headers = json(&f, "{\"Host\":[\"x\"],\"x-a\":[\"1\"]}"));
	EXPECT("h", .host = STR("y"), .headers = HEADERS({ "X-A", "1" }));
}

static void snis_count_over_tls_only(void **state)
{
	FIXTURE;
	ADD(.name = STR("sni"), .hosts = LIST(STR("a")), .snis = LIST(STR("S.test.")));
	EXPECT("sni", .host = STR("a"), .is_tls = true, .sni = STR("s.test"));
	EXPECT("", .host = STR("a"), .is_tls = true, .sni = STR("t.test"));
	EXPECT("", .host = STR("a"), .is_tls = true);
	EXPECT("sni", .host = STR("a"));
}

static void traditional_passes_over_snis_in_clear_when_there_is_less(void **state)
{
	FIXTURE;
	ADD(.name = STR("sni"), .hosts = LIST(STR("a")), .snis = LIST(STR("s")));
	ADD(.name = STR("plain"), .hosts = LIST(STR("a")));
	assert_string_equal(ASK(TRADITIONAL, .host = STR("a")), "plain");
	assert_string_equal(ASK(TRADITIONAL_COMPATIBLE, .host = STR("a")), "sni");
}

static void more_kinds_of_criteria_win(void **state)
{
	FIXTURE;
	ADD(.name = STR("host"), .hosts = LIST(STR("a")));
	ADD(.name = STR("method"), .hosts = LIST(STR("a")), .methods = LIST(STR("GET")));
	ADD(.name = STR("path"), .paths = LIST(STR("/long/path")));
	EXPECT("method", .host = STR("a"), .path = STR("/long/path"));
	EXPECT("host", .host = STR("a"), .path = STR("/long/path"), .method = STR("PUT"));
	EXPECT("path", .host = STR("b"), .path = STR("/long/path"));
}

static void traditional_ranks_kinds_among_equals(void **state)
{
	FIXTURE;
	ADD(.name = STR("method"), .methods = LIST(STR("GET")));
	ADD(.name = STR("path"), .paths = LIST(STR("/")));
	ADD(.name = STR("header"), .headers = json(&f, "{\"x\":[\"1\"]}"));
	ADD(.name = STR("host"), .hosts = LIST(STR("a")));
	assert_string_equal(ASK(TRADITIONAL, .host = STR("a"), .headers = HEADERS({ "x", "1" })),
			    "host");
	assert_string_equal(ASK(TRADITIONAL, .host = STR("b"), .headers = HEADERS({ "x", "1" })),
			    "header");
	assert_string_equal(ASK(TRADITIONAL, .host = STR("b")), "path");
}

static void the_flavours_weigh_headers_and_expressions_differently(void **state)
{
	FIXTURE;
	ADD(.name = STR("regex"), .paths = LIST(STR("~/a")),
	    .headers = json(&f, "{\"x\":[\"1\"]}"));
	ADD(.name = STR("headers"), .paths = LIST(STR("/a")),
	    .headers = json(&f, "{\"x\":[\"1\"],\"y\":[\"1\"]}"));
	assert_string_equal(
		ASK(TRADITIONAL, .path = STR("/a"), .headers = HEADERS({ "x", "1" }, { "y", "1" })),
		"regex");
	assert_string_equal(ASK(TRADITIONAL_COMPATIBLE, .path = STR("/a"),
				.headers = HEADERS({ "x", "1" }, { "y", "1" })),
			    "headers");
}

static void older_routes_win_at_the_end(void **state)
{
	FIXTURE;
	ADD(.name = STR("young"), .paths = LIST(STR("/a")), .created_at = 9);
	ADD(.name = STR("old"), .paths = LIST(STR("/a")), .created_at = 3);
	ADD(.name = STR("middle"), .paths = LIST(STR("/a")), .created_at = 5);
	EXPECT("old", .path = STR("/a"));
}

static void negative_priorities_come_last(void **state)
{
	FIXTURE;
	ADD(.name = STR("minus"), .paths = LIST(STR("~/a")), .regex_priority = -1);
	ADD(.name = STR("zero"), .paths = LIST(STR("~/a")));
	ADD(.name = STR("unset"), .paths = LIST(STR("~/b")), .regex_priority = FIELD_UNSET_INT);
	EXPECT("zero", .path = STR("/a"));
	EXPECT("unset", .path = STR("/b"));
}

static void routes_without_criteria_match_nothing(void **state)
{
	FIXTURE;
	ADD(.name = STR("none"));
	EXPECT("", .host = STR("a"));
	f.n = 0;
	EXPECT("", .host = STR("a"));
}

static struct route_match match(struct fixture *f, enum router_flavor flavor, const char *path)
{
	struct route_query q = { .method = STR("GET"), .path = str_of(path) };
	struct route_match m;

	assert_true(router_find(build(f, flavor), &q, f->a, &m));
	return m;
}

static void captures_have_numbers_and_names(void **state)
{
	struct route_match m;

	FIXTURE;
	ADD(.paths = LIST(STR("~/v(?<version>\\d+)/(x)?(?P<rest>.*)")));
	for (int flavor = 0; flavor < 2; flavor++) {
		m = match(&f, (enum router_flavor)flavor, "/v12/abc");
		assert_int_equal(m.captures_n, 4);
		assert_true(str_is(m.captures[0].value, "/v12/abc"));
		assert_true(str_is(m.captures[1].name, "version") &&
			    str_is(m.captures[1].value, "12"));
		assert_null(m.captures[2].name.s);
		assert_null(m.captures[2].value.s);
		assert_true(str_is(m.captures[3].name, "rest") &&
			    str_is(m.captures[3].value, "abc"));
		assert_int_equal(m.prefix, 8);
	}
}

static void the_path_that_counts_is_told(void **state)
{
	struct route_match m;

	FIXTURE;
	ADD(.paths = LIST(STR("/cut"), STR("/cut2"), STR("~/x/\\d+")));
	for (int flavor = 0; flavor < 2; flavor++) {
		m = match(&f, (enum router_flavor)flavor, "/cut2/y");
		assert_true(m.has_path && m.prefix == 5 && str_is(m.path, "/cut2"));
		assert_null(m.captures);
		m = match(&f, (enum router_flavor)flavor, "/x/12/y");
		assert_true(m.has_path && m.prefix == 5 && str_is(m.path, "~/x/\\d+"));
	}
}

static void a_match_without_path_has_no_prefix(void **state)
{
	struct route_match m;

	FIXTURE;
	ADD(.methods = LIST(STR("GET")));
	m = match(&f, ROUTER_TRADITIONAL_COMPATIBLE, "/x");
	assert_true(!m.has_path && m.prefix == 0 && !m.path.s);
}

static void look_around_works_in_both(void **state)
{
	FIXTURE;
	ADD(.name = STR("not"), .paths = LIST(STR("~/(?!admin)\\w+$")));
	EXPECT("not", .path = STR("/user"));
	EXPECT("", .path = STR("/admin"));
}

static void many_hosts_times_many_paths_are_no_flood(void **state)
{
	strs hosts, paths;

	FIXTURE;
	hosts.v = NEWS(f.a, str, 200);
	paths.v = NEWS(f.a, str, 200);
	hosts.n = paths.n = 200;
	for (int i = 0; i < 200; i++) {
		hosts.v[i] = str_fmt(f.a, "h%d.test", i);
		paths.v[i] = str_fmt(f.a, "/p%d", i);
	}
	ADD(.name = STR("many"), .hosts = hosts, .paths = paths);
	EXPECT("many", .host = STR("h199.test"), .path = STR("/p150/x"));
	EXPECT("", .host = STR("h199.test"), .path = STR("/q"));
	EXPECT("", .host = STR("x.test"), .path = STR("/p150"));
}

static void long_hosts_are_compared_too(void **state)
{
	char host[1000];

	FIXTURE;
	memset(host, 'A', sizeof(host));
	ADD(.name = STR("long"), .hosts = { (str[]){ str_at(host, 1000) }, 1 });
	ADD(.name = STR("wild"), .hosts = LIST(STR("*a")));
	EXPECT("long", .host = str_at(host, 1000));
	EXPECT("wild", .host = str_at(host, 999));
}

static void refusals_name_route_and_field(void **state)
{
	const struct {
		struct route route;
		const char *field, *words;
	} rows[] = {
		{ { .name = STR("r"), .paths = LIST(STR("/ok"), STR("~/a(")) },
		  "paths[1]",
		  "route r: paths[1] \"~/a(\": missing closing parenthesis at offset 3" },
		{ { .hosts = LIST(STR("a.*.test")) },
		  "hosts[0]",
		  "route 00000000-0000-0000-0000-000000000000: hosts[0] \"a.*.test\": a wildcard "
		  "must" },
	};
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct route *routes[] = { &rows[i].route };
		struct router *r = NULL;
		struct err *e = router_new(a, ROUTER_TRADITIONAL, routes, 1, &r);

		assert_non_null(e);
		assert_null(r);
		assert_string_equal(e->field, rows[i].field);
		assert_true(str_starts(err_line(a, e), str_of(rows[i].words)));
	}
	err_forget();
}

static void a_bad_header_expression_is_refused(void **state)
{
	struct router *r = NULL;
	struct err *e;

	FIXTURE;
	ADD(.name = STR("r"), .headers = json(&f, "{\"x-a\":[\"~*(\"]}"));
	e = router_new(f.a, ROUTER_TRADITIONAL_COMPATIBLE, f.routes, 1, &r);
	assert_non_null(e);
	assert_string_equal(e->field, "headers.x-a[0]");
	err_forget();
}

/* ---- streams ------------------------------------------------------------------------- */

static struct records ends(struct fixture *f, const char *ip, int64_t port)
{
	struct route_address e = { str_of(ip), port };

	return (struct records){ arena_copy(f->a, &e, sizeof(e)), 1 };
}

static const char *ask_stream(struct fixture *f, struct route_stream_query q)
{
	const struct route *r = router_find_stream(build(f, ROUTER_TRADITIONAL_COMPATIBLE), &q);

	return r ? str_z(f->a, r->name) : "";
}

#define ASK_STREAM(...) ask_stream(&f, (struct route_stream_query){ __VA_ARGS__ })
#define ANY_PORT        FIELD_UNSET_INT

static void streams_match_by_both_ends(void **state)
{
	FIXTURE;
	ADD(.name = STR("net"), .protocols = LIST(STR("tcp")),
	    .sources = ends(&f, "10.0.0.0/9", ANY_PORT));
	ADD(.name = STR("port"), .protocols = LIST(STR("tcp")),
	    .destinations = ends(&f, NULL, 5432));
	ADD(.name = STR("both"), .protocols = LIST(STR("tcp")),
	    .sources = ends(&f, "10.1.2.3", ANY_PORT), .destinations = ends(&f, "10.9.9.9", 5432));
	ADD(.name = STR("v6"), .protocols = LIST(STR("tcp")),
	    .sources = ends(&f, "2001:db8::/33", ANY_PORT));
	ADD(.name = STR("http"), .protocols = LIST(STR("http")), .paths = LIST(STR("/")));
	assert_string_equal(ASK_STREAM(.source = { STR("10.1.2.3"), 1 }), "net");
	assert_string_equal(ASK_STREAM(.source = { STR("10.128.0.1"), 1 }), "");
	assert_string_equal(
		ASK_STREAM(.source = { STR("10.128.0.1"), 1 }, .destination = { STR("::1"), 5432 }),
		"port");
	assert_string_equal(ASK_STREAM(.source = { STR("10.1.2.3"), 1 },
				       .destination = { STR("10.9.9.9"), 5432 }),
			    "both");
	assert_string_equal(ASK_STREAM(.source = { STR("2001:db8:7fff::1"), 1 }), "v6");
	assert_string_equal(ASK_STREAM(.source = { STR("2001:db8:8000::1"), 1 }), "");
	assert_string_equal(ASK_STREAM(.source = { STR("::ffff:10.1.2.3"), 1 }), "net");
	assert_string_equal(ASK_STREAM(.source = { STR("unix:"), 0 }), "");
}

static void sources_weigh_more_than_destinations(void **state)
{
	FIXTURE;
	ADD(.name = STR("to"), .protocols = LIST(STR("tcp")), .destinations = ends(&f, NULL, 1));
	ADD(.name = STR("from"), .protocols = LIST(STR("tcp")),
	    .sources = ends(&f, "::1", ANY_PORT));
	ADD(.name = STR("exact"), .protocols = LIST(STR("tcp")), .sources = ends(&f, "::1", 7));
	assert_string_equal(
		ASK_STREAM(.source = { STR("::1"), 1 }, .destination = { STR("::1"), 1 }), "from");
	assert_string_equal(
		ASK_STREAM(.source = { STR("::1"), 7 }, .destination = { STR("::1"), 1 }), "exact");
}

static void names_lead_to_tls_routes(void **state)
{
	FIXTURE;
	ADD(.name = STR("any"), .protocols = LIST(STR("tls")), .destinations = ends(&f, NULL, 443));
	ADD(.name = STR("named"), .protocols = LIST(STR("tls"), STR("tls_passthrough")),
	    .snis = LIST(STR("Db.test.")));
	assert_string_equal(ASK_STREAM(.sni = STR("db.TEST"), .destination = { STR("::1"), 443 }),
			    "named");
	assert_string_equal(ASK_STREAM(.sni = STR("x.test"), .destination = { STR("::1"), 443 }),
			    "any");
	assert_string_equal(ASK_STREAM(.destination = { STR("::1"), 443 }), "any");
}

static void datagrams_go_to_udp_routes(void **state)
{
	FIXTURE;
	ADD(.name = STR("tcp"), .protocols = LIST(STR("tcp")), .destinations = ends(&f, NULL, 53));
	ADD(.name = STR("udp"), .protocols = LIST(STR("udp")), .destinations = ends(&f, NULL, 53));
	assert_string_equal(ASK_STREAM(.destination = { STR("::1"), 53 }, .is_udp = true), "udp");
	assert_string_equal(ASK_STREAM(.destination = { STR("::1"), 53 }), "tcp");
}

static void bad_addresses_are_refused(void **state)
{
	struct router *r;
	struct err *e;

	FIXTURE;
	ADD(.name = STR("s"), .protocols = LIST(STR("tcp")),
	    .sources = ends(&f, "10.0.0.0/33", ANY_PORT));
	e = router_new(f.a, ROUTER_TRADITIONAL_COMPATIBLE, f.routes, 1, &r);
	assert_non_null(e);
	assert_string_equal(e->field, "sources[0].ip");
	err_forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_are_compared_without_case_and_port),
		cmocka_unit_test(a_missing_port_is_the_schemes_in_traditional_alone),
		cmocka_unit_test(wildcards_stand_for_something),
		cmocka_unit_test(plain_hosts_win_over_wildcards),
		cmocka_unit_test(longer_paths_win),
		cmocka_unit_test(expressions_win_over_plain_paths),
		cmocka_unit_test(alternatives_are_all_anchored),
		cmocka_unit_test(a_newline_is_no_end),
		cmocka_unit_test(methods_are_exact),
		cmocka_unit_test(headers_want_one_value_of_each_name),
		cmocka_unit_test(repeated_headers_do_not_join),
		cmocka_unit_test(host_is_no_header_to_match),
		cmocka_unit_test(snis_count_over_tls_only),
		cmocka_unit_test(traditional_passes_over_snis_in_clear_when_there_is_less),
		cmocka_unit_test(more_kinds_of_criteria_win),
		cmocka_unit_test(traditional_ranks_kinds_among_equals),
		cmocka_unit_test(the_flavours_weigh_headers_and_expressions_differently),
		cmocka_unit_test(older_routes_win_at_the_end),
		cmocka_unit_test(negative_priorities_come_last),
		cmocka_unit_test(routes_without_criteria_match_nothing),
		cmocka_unit_test(captures_have_numbers_and_names),
		cmocka_unit_test(the_path_that_counts_is_told),
		cmocka_unit_test(a_match_without_path_has_no_prefix),
		cmocka_unit_test(look_around_works_in_both),
		cmocka_unit_test(many_hosts_times_many_paths_are_no_flood),
		cmocka_unit_test(long_hosts_are_compared_too),
		cmocka_unit_test(refusals_name_route_and_field),
		cmocka_unit_test(a_bad_header_expression_is_refused),
		cmocka_unit_test(streams_match_by_both_ends),
		cmocka_unit_test(sources_weigh_more_than_destinations),
		cmocka_unit_test(names_lead_to_tls_routes),
		cmocka_unit_test(datagrams_go_to_udp_routes),
		cmocka_unit_test(bad_addresses_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
