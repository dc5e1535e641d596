/* SPDX-License-Identifier: Apache-2.0 */
/* A head is read alike however its bytes were cut, and an accepted one, written
 * again from what was understood, is understood alike. */
#include "fuzz.h"

#include <stdlib.h>

#include "http/http.h"

static const struct http_limits limits = { .line = 256, .header = 256, .head = 1024, .count = 20 };

/* From its parts, so that nothing hides between them. */
static str write_again(struct arena *a, const struct http_request *r)
{
	str s = str_fmt(a, STRF " " STRF " HTTP/1.%d\r\n", STRV(r->method_name), STRV(r->target),
			r->minor);

	for (unsigned i = 0; i < r->headers.n; i++)
		s = str_fmt(a, STRF STRF ":" STRF "\r\n", STRV(s), STRV(r->headers.v[i].name),
			    STRV(r->headers.v[i].value));
	return str_cat(a, s, STR("\r\n"));
}

static void check_accepted(struct arena *a, const struct http_request *r)
{
	str text = write_again(a, r);
	struct http_request again;
	size_t scanned = 0;
	char *p = arena_copy(a, text.s, text.n);

	if (http_parse_request(a, p, text.n, &scanned, &limits, &again) != (ssize_t)text.n)
		abort();
	if (again.body != r->body || again.length != r->length || again.headers.n != r->headers.n ||
	    again.keep_alive != r->keep_alive || !str_eq(again.path, r->path) ||
	    !str_eq(again.host, r->host))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	char *p = arena_copy(a, data, n);
	size_t scanned = 0, cut = n ? 1 + data[n - 1] % 40 : 1, seen = 0;
	struct http_request whole = { 0 }, pieces = { 0 };
	ssize_t want = http_parse_request(a, p, n, &scanned, &limits, &whole), got = HTTP_MORE;

	scanned = 0;
	while (got == HTTP_MORE && seen < n) {
		seen = seen + cut < n ? seen + cut : n;
		got = http_parse_request(a, p, seen, &scanned, &limits, &pieces);
	}
	if (got != want)
		abort();
	if (want > 0)
		check_accepted(a, &whole);
	else if (http_get_str(&whole.headers, STR("accept")) &&
		 n == 0) /* what a page is chosen by */
		abort();
	return 0;
}
