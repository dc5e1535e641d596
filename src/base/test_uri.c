/* SPDX-License-Identifier: Apache-2.0 */
/* Paths, queries and URIs in tables; the resolver by the examples of RFC 3986. */
#include "base/uri.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void paths_are_normalised(void **state)
{
	/* clang-format off */
	static const struct { const char *in, *out; } rows[] = { /* out: NULL is refused */
		{ "/", "/" }, { "", "" }, { "/a/b", "/a/b" }, { "/a/", "/a/" }, { "*", "*" },
		{ "/%41", "/A" }, { "/%2f", "/%2F" }, { "/%2F", "/%2F" }, { "/%3f%23%25", "/%3F%23%25" },
		{ "/%20", "/ " }, { "/%c3%a9", "/\xc3\xa9" }, { "/%7E~", "/~~" }, { "/%21%5b", "/%21%5B" },
		{ "/%2541", "/%2541" }, { "//a///b//", "/a/b/" }, { "/a/./b", "/a/b" }, { "/a/../b", "/b" },
		{ "/a/b/..", "/a/" }, { "/a/.", "/a/" }, { "/a/..", "/" }, { "/./", "/" }, { "/.", "/" },
		{ "/a/%2e%2E/b", "/b" }, { "/a/.b", "/a/.b" }, { "/a/..b", "/a/..b" }, { "/a/...", "/a/..." },
		{ "/a//../b", "/b" }, { "/%2e", "/" }, { "/a%2f../b", "/a%2F../b" }, { "/a;x=1/b", "/a;x=1/b" },
		{ "/%22%3c%3e", "/\"<>" },
		{ "/..", NULL }, { "/../..", NULL }, { "/a/../..", NULL }, { "//..", NULL }, { "/%2e%2e/x", NULL },
		{ "/%", NULL }, { "/%4", NULL }, { "/%zz", NULL }, { "/%00", NULL },
	};
	/* clang-format on */
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		str out;
		bool ok = uri_normalise(a, str_of(rows[i].in), &out);

		if (ok != !!rows[i].out || (ok && !str_is(out, rows[i].out)))
			fail_msg("%s: %.*s", rows[i].in, ok ? (int)out.n : 3, ok ? out.s : "400");
	}
	assert_false(uri_normalise(a, str_at("/a\0b", 4), &(str){ 0 }));
}

static void a_query_begins_after_the_first_character(void **state)
{
	str query;

	(void)state;
	assert_true(str_is(uri_cut_query(STR("/a?b?c"), &query), "/a") && str_is(query, "b?c"));
	assert_true(str_is(uri_cut_query(STR("/a"), &query), "/a") && !query.s);
	assert_true(str_is(uri_cut_query(STR("/a?"), &query), "/a") && query.s && query.n == 0);
	assert_true(str_is(uri_cut_query(STR("?a"), &query), "?a") && !query.s);
}

static void escaping_keeps_what_may_stand(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	assert_true(str_is(uri_escape(a, STR("/a b\"\xc3\xa9%2F!$&'()*+,;=:@[]?#~")),
			   "/a%20b%22%C3%A9%2F!$&'()*+,;=:@[]?#~"));
	assert_true(str_is(uri_escape_component(a, STR("a/b c~%")), "a%2Fb%20c~%25"));
	assert_true(str_is(uri_unescape(a, STR("a%2fb+%zz%"), false), "a/b+%zz%"));
	assert_true(str_is(uri_unescape(a, STR("a+b%2B"), true), "a b+"));
}

static void arguments_come_apart(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct uri_args args = uri_args(a, STR("a=1&b&=x&&c=&a=%26+2&d=e=f"), 0);

	(void)state;
	assert_int_equal(args.n, 5);
	assert_true(str_is(uri_arg_find(&args, STR("a"))->value, "1"));
	assert_null(uri_arg_find(&args, STR("b"))->value.s);
	assert_true(uri_arg_find(&args, STR("c"))->value.s &&
		    uri_arg_find(&args, STR("c"))->value.n == 0);
	assert_true(str_is(args.v[3].value, "& 2"));
	assert_true(str_is(uri_arg_find(&args, STR("d"))->value, "e=f"));
	assert_null(uri_arg_find(&args, STR("z")));
	assert_true(str_is(uri_args_join(a, &args), "a=1&b&c=&a=%26%202&d=e%3Df"));
	assert_false(args.is_cut);
	args = uri_args(a, STR("a&b&c"), 2);
	assert_true(args.n == 2 && args.is_cut);
	assert_int_equal(uri_args(a, STR_NONE, 0).n, 0);
}

static void uris_come_apart(void **state)
{
	/* clang-format off */
	static const struct { const char *in, *scheme, *host; int port; const char *path, *query; } rows[] = {
		{ "http://a.test", "http", "a.test", 0, NULL, NULL },
		{ "https://a.test:8443/x/y?q=1#f", "https", "a.test", 8443, "/x/y", "q=1" },
		{ "http://[::1]:80/", "http", "::1", 80, "/", NULL },
		{ "http://[::1]", "http", "::1", 0, NULL, NULL },
		{ "http://u:p@h/", "http", "h", 0, "/", NULL },
		{ "http://h:/x", "http", "h", 0, "/x", NULL },
		{ "/only/path", NULL, NULL, 0, "/only/path", NULL },
		{ "mailto:a@b", "mailto", NULL, 0, "a@b", NULL },
		{ "http://h?q", "http", "h", 0, NULL, "q" },
		{ "//h/x", NULL, "h", 0, "/x", NULL },
	};
	/* clang-format on */
	static const char *const bad[] = { "http://h:99999/", "http://h:8x/",  "http://[::1/",
					   "http://a b/",     "http://a:1:2/", "http://[::1]x/" };
	struct uri u;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(uri_parse(str_of(rows[i].in), &u));
		assert_true(str_eq(u.scheme, str_of(rows[i].scheme)) &&
			    !u.scheme.s == !rows[i].scheme);
		assert_true(str_eq(u.host, str_of(rows[i].host)));
		assert_int_equal(u.port, rows[i].port);
		assert_true(str_eq(u.path, str_of(rows[i].path)));
		assert_true(str_eq(u.query, str_of(rows[i].query)));
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(uri_parse(str_of(bad[i]), &u));
}

/* The examples of RFC 3986 §5.4. */
static void references_resolve(void **state)
{
	/* clang-format off */
	static const struct { const char *reference, *out; } rows[] = {
		{ "g:h", "g:h" }, { "g", "http://a/b/c/g" }, { "./g", "http://a/b/c/g" },
		{ "g/", "http://a/b/c/g/" }, { "/g", "http://a/g" }, { "//g", "http://g" },
		{ "?y", "http://a/b/c/d;p?y" }, { "g?y", "http://a/b/c/g?y" }, { "#s", "http://a/b/c/d;p?q#s" },
		{ "", "http://a/b/c/d;p?q" }, { ".", "http://a/b/c/" }, { "..", "http://a/b/" },
		{ "../g", "http://a/b/g" }, { "../..", "http://a/" }, { "../../../g", "http://a/g" },
		{ "/./g", "http://a/g" }, { "g;x=1/../y", "http://a/b/c/y" }, { "http://[::1]:8/x", "http://[::1]:8/x" },
	};
	/* clang-format on */
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		str out;

		assert_true(
			uri_resolve(a, STR("http://a/b/c/d;p?q"), str_of(rows[i].reference), &out));
		assert_string_equal(str_z(a, out), rows[i].out);
	}
	assert_false(uri_resolve(a, STR("/no/base"), STR("x"), &(str){ 0 }));
}

static void hosts_split_from_ports(void **state)
{
	/* clang-format off */
	static const struct { const char *in, *host; int port; } rows[] = { /* host NULL: refused */
		{ "a.test", "a.test", 0 }, { "a.test:80", "a.test", 80 }, { "[::1]:80", "::1", 80 },
		{ "[::1]", "::1", 0 }, { "::1", "::1", 0 }, { "a:", "a", 0 }, { "", "", 0 },
		{ "a:x", NULL, 0 }, { "a:65536", NULL, 0 }, { "[::1", NULL, 0 }, { "[::1]8", NULL, 0 },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint16_t port = 0;
		str host;

		assert_int_equal(uri_split_host(str_of(rows[i].in), &host, &port), !!rows[i].host);
		if (rows[i].host)
			assert_true(str_is(host, rows[i].host) && port == rows[i].port);
	}
	assert_int_equal(uri_default_port(STR("HTTPS")), 443);
	assert_int_equal(uri_default_port(STR("grpc")), 80);
	assert_int_equal(uri_default_port(STR("tcp")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_normalised),
		cmocka_unit_test(a_query_begins_after_the_first_character),
		cmocka_unit_test(escaping_keeps_what_may_stand),
		cmocka_unit_test(arguments_come_apart),
		cmocka_unit_test(uris_come_apart),
		cmocka_unit_test(references_resolve),
		cmocka_unit_test(hosts_split_from_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
