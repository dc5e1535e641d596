/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of requests (RFC 9112 §3, §6.3).
 *
 * The request line is looked at as soon as it is whole, so that a client that
 * speaks something else hears so at once.  Statuses are nginx's: 414 and 494
 * for ceilings, 505 for another major version, 501 for an unknown coding, 405
 * for CONNECT, 400 for the rest. */
#include "http/priv.h"

#define EMPTY_LINES 4 /* before the request line; RFC 9112 §2.2 */

/* clang-format off */
static const str method_names[HTTP_METHOD_OTHER] = {
	[HTTP_GET]     = STR_INIT("GET"),
	[HTTP_HEAD]    = STR_INIT("HEAD"),
	[HTTP_POST]    = STR_INIT("POST"),
	[HTTP_PUT]     = STR_INIT("PUT"),
	[HTTP_DELETE]  = STR_INIT("DELETE"),
	[HTTP_PATCH]   = STR_INIT("PATCH"),
	[HTTP_OPTIONS] = STR_INIT("OPTIONS"),
	[HTTP_CONNECT] = STR_INIT("CONNECT"),
	[HTTP_TRACE]   = STR_INIT("TRACE"),
};
/* clang-format on */

enum http_method http_method_of(str name)
{
	for (int m = 0; m < HTTP_METHOD_OTHER; m++)
		if (method_names[m].n == name.n && method_names[m].s[0] == name.s[0] &&
		    memcmp(method_names[m].s, name.s, name.n) == 0)
			return (enum http_method)m;
	return HTTP_METHOD_OTHER;
}

/* "HTTP/1.x"; *ret_minor is 0 or 1, for a higher minor version speaks 1.1 too. */
static int parse_version(str s, int *ret_minor)
{
	if (s.n != 8 || memcmp(s.s, "HTTP/", 5) != 0 || !ascii_is_digit(s.s[5]) || s.s[6] != '.' ||
	    !ascii_is_digit(s.s[7]))
		return -400;
	if (s.s[5] != '1')
		return -505;
	*ret_minor = s.s[7] != '0';
	return 0;
}

static void split_query(str path, struct http_request *r)
{
	const char *mark = path.n ? memchr(path.s, '?', path.n) : NULL;

	r->path = path;
	r->query = STR_NONE;
	r->has_query = mark != NULL;
	if (mark) {
		r->path.n = (size_t)(mark - path.s);
		r->query = str_at(mark + 1, path.n - r->path.n - 1);
	}
}

/* http://authority/path?query, the form proxies are asked with (RFC 9112 §3.2.2). */
static int parse_absolute(struct http_request *r)
{
	size_t scheme = str_starts_ci(r->target, STR("http://"))    ? 7
			: str_starts_ci(r->target, STR("https://")) ? 8
								    : 0;
	str rest = str_from(r->target, scheme);
	size_t n = 0;

	if (scheme == 0)
		return -400;
	while (n < rest.n && rest.s[n] != '/' && rest.s[n] != '?')
		n++;
	r->authority = str_part(rest, 0, n);
	r->is_absolute = true;
	if (!http_is_host(r->authority))
		return -400;
	split_query(str_from(rest, n), r);
	if (r->path.n == 0)
		r->path = STR("/");
	return 0;
}

/* The four forms of RFC 9112 §3.2. */
static int parse_target(struct http_request *r)
{
	r->authority = STR_NONE;
	r->is_absolute = false;
	if (r->method == HTTP_CONNECT) {
		r->authority = r->target;
		split_query(STR_NONE, r);
		return http_is_host(r->target) && str_find(r->target, ':', 0) > 0 ? 0 : -400;
	}
	if (r->target.s[0] == '/') {
		split_query(r->target, r);
		return 0;
	}
	if (r->method == HTTP_OPTIONS && str_eq(r->target, STR("*"))) {
		split_query(r->target, r);
		return 0;
	}
	return parse_absolute(r);
}

/* What the first line begins with; true when a target may follow. */
static bool parse_method(const char *p, size_t n, struct http_request *r)
{
	size_t i = 0;

	while (i < n && http_char_is(p[i], HTTP_CHAR_TOKEN))
		i++;
	if (i == 0 || i == n || p[i] != ' ')
		return false;
	r->method_name = str_at(p, i);
	r->method = http_method_of(r->method_name);
	return true;
}

/* The first line, whole and without its CRLF; 0 or minus a status. */
static int parse_request_line(const char *p, size_t n, struct http_request *r)
{
	const char *at = p, *end = p + n, *target;
	int status;

	if (!parse_method(p, n, r))
		return -400;
	target = at = p + r->method_name.n + 1;
	while (at < end && http_char_is(*at, HTTP_CHAR_TARGET))
		at++;
	if (at == target || at == end || *at != ' ')
		return -400;
	r->target = str_at(target, (size_t)(at - target));
	status = parse_version(str_at(at + 1, (size_t)(end - at - 1)), &r->minor);
	return status ? status : parse_target(r);
}

/* How the body ends (RFC 9112 §6.3), the strict way: whatever two readers could
 * read in two ways is refused. */
static int frame_request(const struct framing *f, struct http_request *r)
{
	r->body = HTTP_BODY_NONE;
	r->length = 0;
	if (f->encodings) {
		if (f->lengths || r->minor == 0 || f->is_bad_encoding)
			return -400;
		if (f->is_unknown_encoding)
			return -501;
		r->body = HTTP_BODY_CHUNKED;
	} else if (f->lengths) {
		if (!http_parse_length(f, &r->length))
			return -400;
		r->body = HTTP_BODY_LENGTH;
	}
	return 0;
}

static int finish_request(const struct framing *f, struct http_request *r)
{
	int status;

	/* RFC 9112 §3.2: exactly one Host; HTTP/1.0 may do without. */
	if (f->hosts > 1 || (f->hosts == 0 && r->minor == 1))
		return -400;
	if (f->hosts && !http_is_host(f->host))
		return -400;
	status = frame_request(f, r);
	if (status)
		return status;
	if (r->method == HTTP_CONNECT)
		return -405;
	r->host = f->host;
	r->keep_alive = http_keeps_alive(f, r->minor);
	r->expects_continue = f->expects_continue && r->minor == 1;
	r->wants_upgrade = f->upgrades && f->has_upgrade && r->minor == 1;
	return 0;
}

static ssize_t refuse(enum scan_end end)
{
	switch (end) {
	case SCAN_LONG_LINE:
		return -414;
	case SCAN_LONG_HEAD:
		return -494;
	case SCAN_BAD:
		return -400;
	default:
		return HTTP_MORE;
	}
}

static size_t skip_empty_lines(const char *p, size_t n)
{
	size_t at = 0;

	while (at < (size_t)EMPTY_LINES * 2 && at + 1 < n && p[at] == '\r' && p[at + 1] == '\n')
		at += 2;
	return at;
}

ssize_t http_parse_request(struct arena *a, char *p, size_t n, size_t *scanned,
			   const struct http_limits *limits, struct http_request *ret)
{
	size_t skipped = skip_empty_lines(p, n);
	size_t from = *scanned > skipped ? *scanned - skipped : 0;
	const char *head = p + skipped, *lf;
	struct scan scan = http_scan_head(head, n - skipped, from, limits);
	struct framing framing;
	size_t first = scan.first;
	unsigned lines = first ? scan.lines - 1 : 0;
	int status;

	*scanned = n;
	if (scan.end != SCAN_END) {
		if (scan.end == SCAN_LONG_LINE)
			parse_method(head, n - skipped, ret);
		status = first ? parse_request_line(head, first - 2, ret) : 0;
		return status ? status : refuse(scan.end);
	}
	if (first == 0) { /* found by an earlier call */
		lf = memchr(head, '\n', scan.size);
		first = (size_t)(lf - head) + 1;
	}
	status = parse_request_line(head, first - 2, ret);
	if (status)
		return status;
	status = http_parse_lines(a, head + first, head + scan.size - 2, lines, limits,
				  &ret->headers, &framing);
	if (status)
		return status;
	status = finish_request(&framing, ret);
	return status ? status : (ssize_t)(skipped + scan.size);
}
