/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of the parsers is a row here; each row is read whole and in all pieces. */
#include "http/http.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static const struct http_limits limits = {
	.line = 8192, .header = 8192, .head = 32768, .count = 100
};

/* Copies into memory of its own, so that a look past the end is seen by ASan. */
static ssize_t parse_request(struct arena *a, str text, const struct http_limits *l,
			     struct http_request *r)
{
	char *p = malloc(text.n + 1);
	size_t scanned = 0;
	ssize_t ret;

	memcpy(p, text.s, text.n);
	ret = http_parse_request(a, p, text.n, &scanned, l, r);
	arena_on_end(a, free, p);
	return ret;
}

/* The same, as the bytes come: piece by piece of that size. */
static ssize_t parse_in_pieces(struct arena *a, str text, size_t piece, size_t *ret_seen,
			       struct http_request *r)
{
	char *p = arena_copy(a, text.s, text.n);
	size_t scanned = 0, n = 0;
	ssize_t ret = HTTP_MORE;

	while (ret == HTTP_MORE && n < text.n) {
		n = n + piece < text.n ? n + piece : text.n;
		ret = http_parse_request(a, p, n, &scanned, &limits, r);
	}
	*ret_seen = n;
	return ret;
}

/* ---- requests -------------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *why, *text;
	int status; /* 0: accepted */
} request_cases[] = {
	{ "plain",                   "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "1.0 without Host",        "GET / HTTP/1.0\r\n\r\n", 0 },
	{ "1.2 is 1.1",              "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 0 },
	{ "empty lines in front",    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "too many of them",        "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "empty line, bare LF",     "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "bare LF at the line",     "GET / HTTP/1.1\nHost: a\r\n\r\n", 400 },
	{ "bare LF at a header",     "GET / HTTP/1.1\r\nHost: a\n\r\n", 400 },
	{ "bare LF at the end",      "GET / HTTP/1.1\r\nHost: a\r\n\n", 400 },
	{ "bare CR in a value",      "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400 },
	{ "bare CR in the target",   "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "two CRs",                 "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400 },
	{ "obs-fold, space",         "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400 },
	{ "obs-fold, tab",           "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", 400 },
	{ "fold at the first",       "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
	{ "space before colon",      "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
	{ "tab before colon",        "GET / HTTP/1.1\r\nHost: a\r\nX\t: a\r\n\r\n", 400 },
	{ "no colon",                "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400 },
	{ "no name",                 "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400 },
	{ "bad name",                "GET / HTTP/1.1\r\nHost: a\r\nX(: x\r\n\r\n", 400 },
	{ "control in a value",      "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400 },
	{ "DEL in a value",          "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400 },
	{ "tab in a value",          "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", 0 },
	{ "underscore in a name",    "GET / HTTP/1.1\r\nHost: a\r\nx_y: a\r\n\r\n", 0 },
	{ "high bytes in a value",   "GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\r\n\r\n", 0 },
	{ "high bytes in a name",    "GET / HTTP/1.1\r\nHost: a\r\n\xc3: x\r\n\r\n", 400 },
	{ "empty value",             "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", 0 },
	{ "other method",            "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "method with a bad byte",  "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "no method",               " / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "two spaces",              "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "space at the end",        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400 },
	{ "tab between",             "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "space in the target",     "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "fragment",                "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "UTF-8 in the target",     "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "browser's liberties",     "GET /?a={|}^`\"<>[]\\ HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "relative target",         "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "HTTP/0.9",                "GET /\r\n\r\n", 400 },
	{ "HTTP/2.0",                "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
	{ "HTTP/2 preface",          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
	{ "HTTP/0.9 spelled out",    "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505 },
	{ "version too long",        "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400 },
	{ "version in lower case",   "GET / http/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "other protocol",          "GET / ICAP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "TLS hello",               "\x16\x03\x01\x02", 400 },
	{ "no Host",                 "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "two Hosts",               "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 },
	{ "two Hosts in 1.0",        "GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", 400 },
	{ "empty Host",              "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400 },
	{ "Host with a port",        "GET / HTTP/1.1\r\nHost: a:8000\r\n\r\n", 0 },
	{ "Host with a bad port",    "GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n", 400 },
	{ "Host with a high port",   "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400 },
	{ "Host with a path",        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
	{ "Host with a user",        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400 },
	{ "Host with a list",        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
	{ "Host, IPv6",              "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0 },
	{ "Host, IPv6 unclosed",     "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400 },
	{ "absolute",                "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "absolute, other scheme",  "GET ftp://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "absolute, no authority",  "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "absolute with a user",    "GET http://u:p@b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "asterisk",                "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
	{ "asterisk with GET",       "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "CONNECT",                 "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405 },
	{ "CONNECT to a path",       "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "authority without it",    "GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "length",                  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0 },
	{ "length, most",            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n", 0 },
	{ "length overflows",        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", 400 },
	{ "length negative",         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400 },
	{ "length with a plus",      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400 },
	{ "length in hex",           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400 },
	{ "length empty",            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400 },
	{ "length, a list",          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", 400 },
	{ "length with space",       "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n", 400 },
	{ "two lengths alike",       "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
	{ "two lengths",             "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400 },
	{ "both lengths",            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "both lengths, turned",    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400 },
	{ "chunked",                 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
	{ "chunked in capitals",     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t CHUNKED \r\n\r\n", 0 },
	{ "chunked in 1.0",          "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "chunked twice",           "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400 },
	{ "chunked in two lines",    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "gzip behind chunked",     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n", 501 },
	{ "gzip, chunked",           "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501 },
	{ "identity",                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501 },
	{ "xchunked",                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501 },
	{ "encoding empty",          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400 },
	{ "encoding with a comma",   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n", 400 },
	{ "encoding quoted",         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 400 },
	{ "encoding with a parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", 400 },
	{ "encoding with VT",        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n", 400 },
	{ "encoding, space before colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400 },
};
/* clang-format on */

static void each_rule_of_requests_holds(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(request_cases); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		str text = str_of(request_cases[i].text);
		int status = request_cases[i].status;
		struct http_request r;
		ssize_t got = parse_request(a, text, &limits, &r);
		ssize_t want = status ? -status : (ssize_t)text.n;

		if (got != want)
			fail_msg("%s: %zd instead of %zd", request_cases[i].why, got, want);
	}
}

static void it_does_not_matter_how_the_bytes_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(request_cases); i++) {
		str text = str_of(request_cases[i].text);

		for (size_t piece = 1; piece <= text.n; piece++) {
			struct arena *a CLEANUP(arena_drop) = arena_new();
			struct http_request whole, cut;
			ssize_t want = parse_request(a, text, &limits, &whole);
			size_t seen;
			ssize_t got = parse_in_pieces(a, text, piece, &seen, &cut);

			if (got != want)
				fail_msg("%s by %zu: %zd instead of %zd", request_cases[i].why,
					 piece, got, want);
			if (want <= 0)
				continue;
			assert_int_equal(seen, text.n); /* all before was HTTP_MORE */
			assert_true(str_eq(whole.path, cut.path) && whole.body == cut.body);
			assert_int_equal(whole.headers.n, cut.headers.n);
			for (unsigned k = 0; k < whole.headers.n; k++)
				assert_true(
					str_eq(whole.headers.v[k].value, cut.headers.v[k].value));
		}
	}
}

static void a_refused_head_shows_only_what_was_read(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_request r = { 0 };

	(void)state;
	assert_int_equal(
		parse_request(a, STR("GET / HTTP/1.1\r\n Host: x\r\nA: b\r\n\r\n"), &limits, &r),
		-400);
	assert_int_equal(r.headers.n, 0);
	assert_int_equal(parse_request(a, STR("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC : d\r\n\r\n"),
				       &limits, &r),
			 -400);
	assert_int_equal(r.headers.n, 2);
	assert_true(str_is(r.headers.v[1].value, "b"));
}

static void nul_is_refused_everywhere(void **state)
{
	static const char good[] = "GET /abc HTTP/1.1\r\nHost: abc\r\nX: abc\r\n\r\n";

	(void)state;
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		char text[sizeof(good)];
		struct http_request r;

		memcpy(text, good, sizeof(good));
		text[i] = '\0';
		assert_int_equal(parse_request(a, str_at(text, sizeof(good) - 1), &limits, &r),
				 -400);
	}
}

static void a_request_says_what_was_sent(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_request r;
	str text = STR("PATCH /a/b?x=1?y HTTP/1.1\r\nhOST: Example.com:80\r\nX-One:  a b \t\r\n"
		       "x-one:c\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n"
		       "Expect: 100-Continue\r\nContent-Length: 007\r\n\r\nbody");

	(void)state;
	assert_int_equal(parse_request(a, text, &limits, &r), text.n - 4);
	assert_int_equal(r.method, HTTP_PATCH);
	assert_true(str_is(r.method_name, "PATCH") && str_is(r.target, "/a/b?x=1?y"));
	assert_true(str_is(r.path, "/a/b") && str_is(r.query, "x=1?y") && r.has_query);
	assert_true(str_is(r.host, "Example.com:80") && r.minor == 1);
	assert_int_equal(r.headers.n, 7);
	assert_true(str_is(r.headers.v[0].name, "hOST") && r.headers.v[0].id == HTTP_HOST);
	assert_true(str_is(r.headers.v[1].value, "a b") && r.headers.v[1].id == HTTP_OTHER);
	assert_true(str_is(http_get_str(&r.headers, STR("X-ONE"))->value, "a b"));
	assert_true(r.body == HTTP_BODY_LENGTH && r.length == 7);
	assert_true(!r.keep_alive && r.expects_continue && r.wants_upgrade);
}

static void targets_are_taken_apart(void **state)
{
	/* clang-format off */
	static const struct {
		const char *target, *path, *query, *authority;
		bool has_query;
	} cases[] = {
		{ "/",                 "/",   "",    "",      false },
		{ "/a?",               "/a",  "",    "",      true },
		{ "//a//b?c",          "//a//b", "c", "",     true },
		{ "http://b",          "/",   "",    "b",     false },
		{ "HTTPS://b:1?x",     "/",   "x",   "b:1",   true },
		{ "http://[::1]/p?q",  "/p",  "q",   "[::1]", true },
	};
	/* clang-format on */
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct http_request r;
		str text = str_fmt(a, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].target);

		assert_int_equal(parse_request(a, text, &limits, &r), text.n);
		assert_true(str_is(r.path, cases[i].path));
		assert_true(str_is(r.query, cases[i].query));
		assert_true(str_is(r.authority, cases[i].authority));
		assert_int_equal(r.has_query, cases[i].has_query);
		assert_int_equal(r.is_absolute, cases[i].authority[0] != '\0');
	}
}

static void keep_alive_follows_version_and_connection(void **state)
{
	/* clang-format off */
	static const struct {
		const char *version, *connection;
		bool keeps;
	} cases[] = {
		{ "1.1", "x",                 true },
		{ "1.1", "close",             false },
		{ "1.1", "keep-alive, Close", false },
		{ "1.0", "x",                 false },
		{ "1.0", "Keep-Alive",        true },
		{ "1.0", "keep-alive, close", false },
	};
	/* clang-format on */
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct http_request r;
		str text = str_fmt(a, "GET / HTTP/%s\r\nHost: a\r\nConnection: %s\r\n\r\n",
				   cases[i].version, cases[i].connection);

		assert_int_equal(parse_request(a, text, &limits, &r), text.n);
		assert_int_equal(r.keep_alive, cases[i].keeps);
	}
}

/* A head whose request line, header line and number of lines are of those sizes. */
static str sized_head(struct arena *a, size_t line, size_t header, unsigned count)
{
	str s = str_fmt(a, "GET /%0*d HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n", (int)line - 14, 0,
			(int)header - 3, 0);

	for (unsigned i = 2; i < count; i++)
		s = str_cat(a, s, STR("Y: z\r\n"));
	return str_cat(a, s, STR("\r\n"));
}

static void ceilings_hold_to_the_byte(void **state)
{
	static const struct http_limits small = {
		.line = 40, .header = 50, .head = 140, .count = 4
	};
	/* clang-format off */
	static const struct {
		size_t line, header;
		unsigned count;
		int status;
	} cases[] = {
		{ 40, 50, 4, 0 },
		{ 41, 50, 4, 414 },
		{ 40, 51, 4, 494 },
		{ 40, 50, 5, 494 },
		{ 4000, 50, 2, 414 },
		{ 40, 4000, 2, 494 },
	};
	/* clang-format on */
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct http_request r;
		str text = sized_head(a, cases[i].line, cases[i].header, cases[i].count);
		ssize_t want = cases[i].status ? -cases[i].status : (ssize_t)text.n;

		assert_int_equal(parse_request(a, text, &small, &r), want);
		for (size_t n = 0, scanned = 0; n <= text.n; n++) {
			ssize_t got = http_parse_request(a, (char *)(uintptr_t)text.s, n, &scanned,
							 &small, &r);

			if (got == HTTP_MORE && n < text.n)
				continue;
			assert_int_equal(got, want);
			break;
		}
	}
}

static void a_head_that_never_ends_is_refused_at_its_ceiling(void **state)
{
	static const struct http_limits small = {
		.line = 100, .header = 100, .head = 200, .count = 90
	};
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char text[400] = "GET / HTTP/1.1\r\n";
	struct http_request r;
	size_t scanned = 0;
	ssize_t got = HTTP_MORE;
	size_t n = 0;

	(void)state;
	for (size_t i = 16; i + 4 <= sizeof(text); i += 4)
		memcpy(text + i, "a:\r\n", 4);
	while (got == HTTP_MORE && n < sizeof(text))
		got = http_parse_request(a, text, ++n, &scanned, &small, &r);
	assert_int_equal(got, -494);
	assert_int_equal(n, 200);
	memcpy(text + 16, "Host: abcdef\r\n", 14); /* a whole head of exactly 200 bytes is fine */
	memcpy(text + 30, "b:bb\r\n", 6);
	memcpy(text + 192, "a:aa\r\n\r\n", 8);
	scanned = 0;
	assert_int_equal(http_parse_request(a, text, sizeof(text), &scanned, &small, &r), 200);
}

/* ---- responses ------------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *why, *text;
	enum http_method method;
	bool is_good;
	int status;
	enum http_body body;
	bool keeps;
} response_cases[] = {
	{ "length",             "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",                HTTP_GET,  true, 200, HTTP_BODY_LENGTH, true },
	{ "chunked",            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",       HTTP_GET,  true, 200, HTTP_BODY_CHUNKED, true },
	{ "to close",           "HTTP/1.1 200 OK\r\n\r\n",                                     HTTP_GET,  true, 200, HTTP_BODY_TO_CLOSE, false },
	{ "to close, 1.0",      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",           HTTP_GET,  true, 200, HTTP_BODY_TO_CLOSE, false },
	{ "kept in 1.0",        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", HTTP_GET, true, 200, HTTP_BODY_LENGTH, true },
	{ "closed",             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", HTTP_GET, true, 200, HTTP_BODY_LENGTH, false },
	{ "HEAD",               "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",                HTTP_HEAD, true, 200, HTTP_BODY_NONE, true },
	{ "204",                "HTTP/1.1 204 No Content\r\n\r\n",                             HTTP_GET,  true, 204, HTTP_BODY_NONE, true },
	{ "304 with a length",  "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",      HTTP_GET,  true, 304, HTTP_BODY_NONE, true },
	{ "100",                "HTTP/1.1 100 Continue\r\n\r\n",                               HTTP_POST, true, 100, HTTP_BODY_NONE, true },
	{ "101",                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",      HTTP_GET,  true, 101, HTTP_BODY_NONE, true },
	{ "no reason",          "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",                  HTTP_GET,  true, 200, HTTP_BODY_LENGTH, true },
	{ "no space",           "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",                   HTTP_GET,  true, 200, HTTP_BODY_LENGTH, true },
	{ "999",                "HTTP/1.1 999 Request Denied\r\nContent-Length: 0\r\n\r\n",    HTTP_GET,  true, 999, HTTP_BODY_LENGTH, true },
	{ "two digits",         "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",                 HTTP_GET,  false },
	{ "four digits",        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",               HTTP_GET,  false },
	{ "below 100",          "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",                HTTP_GET,  false },
	{ "HTTP/2",             "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",                HTTP_GET,  false },
	{ "no HTTP",            "ICY 200 OK\r\nContent-Length: 0\r\n\r\n",                     HTTP_GET,  false },
	{ "empty line",         "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",            HTTP_GET,  false },
	{ "bare LF",            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",                      HTTP_GET,  false },
	{ "no colon",           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nfoo\r\n\r\n",         HTTP_GET,  false },
	{ "obs-fold",           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\r\n b\r\n\r\n",  HTTP_GET,  false },
	{ "both lengths",       "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, false },
	{ "negative length",    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",               HTTP_GET,  false },
	{ "two lengths",        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HTTP_GET, false },
	{ "length with a word", "HTTP/1.1 200 OK\r\nContent-Length: 1k\r\n\r\n",               HTTP_GET,  false },
	{ "bad length of 304",  "HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n",      HTTP_GET,  false },
	{ "unknown coding",     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP_GET,  false },
	{ "chunked in 1.0",     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",       HTTP_GET,  false },
	{ "control byte",       "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \x02\r\n\r\n",     HTTP_GET,  false },
};
/* clang-format on */

static void each_rule_of_responses_holds(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(response_cases); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		size_t n = strlen(response_cases[i].text), scanned = 0;
		char *p = arena_copy(a, response_cases[i].text, n);
		struct http_response r;
		ssize_t want = response_cases[i].is_good ? (ssize_t)n : -502, got;

		got = http_parse_response(a, p, n, &scanned, &limits, response_cases[i].method, &r);
		if (got != want)
			fail_msg("%s: %zd instead of %zd", response_cases[i].why, got, want);
		if (want > 0 &&
		    (r.status != response_cases[i].status || r.body != response_cases[i].body ||
		     r.keep_alive != response_cases[i].keeps))
			fail_msg("%s: status %d body %d keep %d", response_cases[i].why, r.status,
				 (int)r.body, r.keep_alive);
		got = HTTP_MORE;
		scanned = 0;
		for (size_t k = 1; k <= n && got == HTTP_MORE; k++) {
			got = http_parse_response(a, p, k, &scanned, &limits,
						  response_cases[i].method, &r);
			if (want > 0 && k < n)
				assert_int_equal(got, HTTP_MORE);
		}
		assert_int_equal(got, want);
	}
}

/* ---- chunked bodies ---------------------------------------------------------------- */

/* Decodes, given in two pieces cut at `cut`; what was not eaten is *ret_left. */
static enum http_chunk decode(struct arena *a, str text, size_t cut, str *ret_body,
			      size_t *ret_left)
{
	struct http_chunked c = { 0 };
	enum http_chunk got = HTTP_CHUNK_MORE;
	size_t at = 0, end = cut;

	*ret_body = STR("");
	for (;;) {
		size_t used;
		str piece;

		got = http_chunked_next(&c, text.s + at, end - at, &used, &piece);
		assert_true(used <= end - at);
		at += used;
		if (got == HTTP_CHUNK_DATA) {
			assert_true(piece.n > 0);
			*ret_body = str_cat(a, *ret_body, piece);
		} else if (got == HTTP_CHUNK_MORE && end < text.n) {
			assert_int_equal(at, end);
			end = text.n;
		} else {
			*ret_left = text.n - at;
			return got;
		}
	}
}

/* clang-format off */
static const struct {
	const char *why, *text;
	enum http_chunk end;
	const char *body;
	size_t left;
} chunk_cases[] = {
	{ "empty",                   "0\r\n\r\n",                              HTTP_CHUNK_END,  "", 0 },
	{ "two chunks",              "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", HTTP_CHUNK_END,  "abc0123456789", 0 },
	{ "leading zeros",           "0003\r\nabc\r\n000\r\n\r\n",             HTTP_CHUNK_END,  "abc", 0 },
	{ "next request behind",     "1\r\na\r\n0\r\n\r\nGET",                 HTTP_CHUNK_END,  "a", 3 },
	{ "extension",               "1;a=b;c=\"d\"\r\na\r\n0;x\r\n\r\n",      HTTP_CHUNK_END,  "a", 0 },
	{ "space before extension",  "1 ;a\r\na\r\n0\r\n\r\n",                 HTTP_CHUNK_END,  "a", 0 },
	{ "space behind size",       "1 \r\na\r\n0\r\n\r\n",                   HTTP_CHUNK_BAD,  "", 0 },
	{ "space before size",       " 1\r\na\r\n0\r\n\r\n",                   HTTP_CHUNK_BAD,  "", 0 },
	{ "trailers",                "1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n",      HTTP_CHUNK_END,  "a", 0 },
	{ "trailer folded",          "0\r\nX: y\r\n z\r\n\r\n",                HTTP_CHUNK_BAD,  "", 0 },
	{ "trailer without colon",   "0\r\nX\r\n\r\n",                         HTTP_CHUNK_BAD,  "", 0 },
	{ "trailer, space at colon", "0\r\nX : y\r\n\r\n",                     HTTP_CHUNK_BAD,  "", 0 },
	{ "trailer, framing",        "0\r\ncontent-Length: 3\r\n\r\n",        HTTP_CHUNK_BAD,  "", 0 },
	{ "trailer, coding",         "0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_CHUNK_BAD, "", 0 },
	{ "trailer, like framing",   "0\r\nContent-Lengths: 3\r\n\r\n",       HTTP_CHUNK_END,  "", 0 },
	{ "trailer, bare LF",        "0\r\nX: y\n\r\n",                        HTTP_CHUNK_BAD,  "", 0 },
	{ "trailer, control",        "0\r\nX: \x01\r\n\r\n",                   HTTP_CHUNK_BAD,  "", 0 },
	{ "no size",                 "\r\na\r\n",                              HTTP_CHUNK_BAD,  "", 0 },
	{ "hex prefix",              "0x1\r\na\r\n0\r\n\r\n",                  HTTP_CHUNK_BAD,  "", 0 },
	{ "negative",                "-1\r\na\r\n0\r\n\r\n",                   HTTP_CHUNK_BAD,  "", 0 },
	{ "no hex",                  "g\r\na\r\n0\r\n\r\n",                    HTTP_CHUNK_BAD,  "", 0 },
	{ "overflow",                "10000000000000001\r\na\r\n0\r\n\r\n",    HTTP_CHUNK_BAD,  "", 0 },
	{ "bare LF",                 "1\na\r\n0\r\n\r\n",                      HTTP_CHUNK_BAD,  "", 0 },
	{ "bare CR",                 "1\ra\r\n0\r\n\r\n",                      HTTP_CHUNK_BAD,  "", 0 },
	{ "LF in an extension",      "1;a\nb\r\na\r\n0\r\n\r\n",               HTTP_CHUNK_BAD,  "", 0 },
	{ "no CRLF behind data",     "1\r\nab\r\n0\r\n\r\n",                   HTTP_CHUNK_BAD,  "a", 0 },
	{ "LF alone behind data",    "1\r\na\n0\r\n\r\n",                      HTTP_CHUNK_BAD,  "a", 0 },
	{ "last line, bare LF",      "0\r\n\n",                                HTTP_CHUNK_BAD,  "", 0 },
	{ "unfinished",              "1\r\na\r\n0\r\n",                        HTTP_CHUNK_MORE, "a", 0 },
};
/* clang-format on */

static void chunked_bodies_decode_alike_for_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(chunk_cases); i++) {
		str text = str_of(chunk_cases[i].text);

		for (size_t cut = 0; cut <= text.n; cut++) {
			struct arena *a CLEANUP(arena_drop) = arena_new();
			size_t left;
			str body;
			enum http_chunk got = decode(a, text, cut, &body, &left);

			if (got != chunk_cases[i].end || !str_is(body, chunk_cases[i].body) ||
			    (got == HTTP_CHUNK_END && left != chunk_cases[i].left))
				fail_msg("%s at %zu: %d, %zu left, \"" STRF "\"",
					 chunk_cases[i].why, cut, (int)got, left, STRV(body));
		}
	}
}

static void trailers_are_handed_over_when_they_came_whole(void **state)
{
	struct http_chunked c = { 0 };
	str text = STR("0\r\nX: y\r\nZ: 1\r\n\r\n"), trailers;
	size_t used;

	(void)state;
	assert_int_equal(http_chunked_next(&c, text.s, text.n, &used, &trailers), HTTP_CHUNK_END);
	assert_true(str_is(trailers, "X: y\r\nZ: 1\r\n"));
	assert_int_equal(used, text.n);
	c = (struct http_chunked){ 0 };
	assert_int_equal(http_chunked_next(&c, text.s, 5, &used, &trailers), HTTP_CHUNK_MORE);
	assert_true(str_is(trailers, "X:"));
	assert_int_equal(http_chunked_next(&c, text.s + 5, text.n - 5, &used, &trailers),
			 HTTP_CHUNK_END);
	assert_true(str_is(trailers, " y\r\nZ: 1\r\n"));
}

static void trailers_cut_anywhere_are_the_same_lines(void **state)
{
	str text = STR("1\r\na\r\n0\r\nX: y\r\nZ: 1\r\n\r\n");

	(void)state;
	for (size_t step = 1; step < text.n; step++) {
		struct http_chunked c = { 0 };
		enum http_chunk got = HTTP_CHUNK_MORE;
		struct buf all CLEANUP(buf_done);
		size_t at = 0, end = step;

		buf_init(&all, 0);
		while (got != HTTP_CHUNK_END) {
			size_t used;
			str data;

			got = http_chunked_next(&c, text.s + at, end - at, &used, &data);
			assert_int_not_equal(got, HTTP_CHUNK_BAD);
			at += used;
			if (got != HTTP_CHUNK_DATA)
				buf_add_str(&all, data);
			if (got == HTTP_CHUNK_MORE)
				end = end + step < text.n ? end + step : text.n;
		}
		assert_true(str_is(buf_str(&all), "X: y\r\nZ: 1\r\n"));
	}
}

static void extensions_and_trailers_have_ceilings(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str long_text = str_fmt(a, "%08192d", 0), body;
	size_t left;

	(void)state;
	assert_int_equal(
		decode(a, str_fmt(a, "1;%.300s\r\na\r\n0\r\n\r\n", long_text.s), 0, &body, &left),
		HTTP_CHUNK_BAD);
	assert_int_equal(decode(a, str_fmt(a, "%.300s\r\n\r\n", long_text.s), 0, &body, &left),
			 HTTP_CHUNK_BAD);
	assert_int_equal(
		decode(a, str_fmt(a, "0\r\nX: " STRF "\r\n\r\n", STRV(long_text)), 0, &body, &left),
		HTTP_CHUNK_BAD);
}

/* ---- names, lists, words --------------------------------------------------------- */

static void every_known_name_is_found_in_any_case(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)state;
	for (int id = 1; id < HTTP_NAMES_COUNT; id++) {
		str text = http_name_text((enum http_name)id);

		assert_int_equal(http_name_of(text), id);
		assert_int_equal(http_name_of(str_lower(a, text)), id);
		assert_int_equal(http_name_of(str_upper(a, text)), id);
		assert_int_equal(http_name_of(str_cat(a, text, STR("x"))), HTTP_OTHER);
	}
	assert_int_equal(http_name_of(STR("")), HTTP_OTHER);
	assert_int_equal(http_name_of(STR("X-Real\rIP")), HTTP_OTHER);
}

static void header_lists_keep_order_and_duplicates(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_headers h = { 0 };

	(void)state;
	for (int i = 0; i < 40; i++)
		http_add(a, &h, STR("X-A"), str_fmt(a, "%d", i));
	http_add_id(a, &h, HTTP_VIA, STR("one"));
	http_add(a, &h, STR("via"), STR("two"));
	assert_true(str_is(http_get_str(&h, STR("x-a"))->value, "0"));
	http_set(a, &h, HTTP_VIA, STR("three"));
	assert_int_equal(h.n, 41);
	assert_true(str_is(http_get(&h, HTTP_VIA)->value, "three"));
	http_set(a, &h, HTTP_HOST, STR("h"));
	http_remove_str(&h, STR("x-a"));
	assert_int_equal(h.n, 2);
	http_remove(&h, HTTP_VIA);
	assert_null(http_get(&h, HTTP_VIA));
	assert_true(str_is(h.v[0].name, "Host"));
}

static void list_members_respect_quotes(void **state)
{
	str rest = STR(" a , ,\"b,\\\"c\" ,d;e=\"f,g\","), member;

	(void)state;
	assert_true(http_list_next(&rest, &member) && str_is(member, "a"));
	assert_true(http_list_next(&rest, &member) && str_is(member, "\"b,\\\"c\""));
	assert_true(http_list_next(&rest, &member) && str_is(member, "d;e=\"f,g\""));
	assert_false(http_list_next(&rest, &member));
	assert_true(http_list_has(STR("x, Gzip"), STR("gzip")));
	assert_false(http_list_has(STR("xgzip"), STR("gzip")));
}

static void dates_are_as_the_rfc_wants_them(void **state)
{
	char out[30];

	(void)state;
	assert_string_equal(http_date(784111777, out), "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_string_equal(http_date(0, out), "Thu, 01 Jan 1970 00:00:00 GMT");
	assert_string_equal(http_date(951782400, out), "Tue, 29 Feb 2000 00:00:00 GMT");
	assert_string_equal(http_date(4102444799, out), "Thu, 31 Dec 2099 23:59:59 GMT");
}

static void words_are_checked(void **state)
{
	(void)state;
	assert_true(http_is_token(STR("x-Y_9!")));
	assert_false(http_is_token(STR("")));
	assert_false(http_is_token(STR("a b")));
	assert_true(http_is_value(STR("a\tb")));
	assert_false(http_is_value(STR("a\r\nX: y")));
	assert_true(str_is(http_reason(404), "Not Found"));
	assert_int_equal(http_reason(299).n, 0);
}

static void no_name_or_value_is_more_than_one_line(void **state)
{
	static const struct {
		const char *given, *name, *value;
	} rows[] = {
		{ "X-Good_1", "X-Good_1", "X-Good_1" },
		{ "a b:c", "a%20b%3Ac", "a b:c" },
		{ "a\r\nb: c", "a%0D%0Ab%3A%20c", "a%0D%0Ab: c" },
		{ "\x7f\t\xe9", "%7F%09%E9", "%7F\t\xe9" },
		{ "", "", "" },
	};
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		str given = str_of(rows[i].given);

		assert_true(str_is(http_escape_name(a, given), rows[i].name));
		assert_true(str_is(http_escape_value(a, given), rows[i].value));
	}
	arena_drop(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_name_or_value_is_more_than_one_line),
		cmocka_unit_test(each_rule_of_requests_holds),
		cmocka_unit_test(it_does_not_matter_how_the_bytes_are_cut),
		cmocka_unit_test(a_refused_head_shows_only_what_was_read),
		cmocka_unit_test(nul_is_refused_everywhere),
		cmocka_unit_test(a_request_says_what_was_sent),
		cmocka_unit_test(targets_are_taken_apart),
		cmocka_unit_test(keep_alive_follows_version_and_connection),
		cmocka_unit_test(ceilings_hold_to_the_byte),
		cmocka_unit_test(a_head_that_never_ends_is_refused_at_its_ceiling),
		cmocka_unit_test(each_rule_of_responses_holds),
		cmocka_unit_test(chunked_bodies_decode_alike_for_every_cut),
		cmocka_unit_test(trailers_are_handed_over_when_they_came_whole),
		cmocka_unit_test(trailers_cut_anywhere_are_the_same_lines),
		cmocka_unit_test(extensions_and_trailers_have_ceilings),
		cmocka_unit_test(every_known_name_is_found_in_any_case),
		cmocka_unit_test(header_lists_keep_order_and_duplicates),
		cmocka_unit_test(list_members_respect_quotes),
		cmocka_unit_test(dates_are_as_the_rfc_wants_them),
		cmocka_unit_test(words_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
