/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of responses (RFC 9112 §4, §6.3): an upstream that is unclear about where
 * its message ends is not relayed, it is answered for with 502. */
#include "http/priv.h"

/* "HTTP/1.x NNN reason"; the space behind the number may be missing, for many
 * servers leave it out with the reason. */
static bool parse_status_line(str line, struct http_response *r)
{
	const char *p = line.s;

	if (line.n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || !ascii_is_digit(p[7]) || p[8] != ' ')
		return false;
	for (int i = 9; i < 12; i++)
		if (!ascii_is_digit(p[i]))
			return false;
	if (line.n > 12 && p[12] != ' ')
		return false;
	r->minor = p[7] != '0';
	r->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
	r->reason = str_from(line, 13);
	return r->status >= 100;
}

static bool has_no_body(enum http_method method, int status)
{
	return method == HTTP_HEAD || status < 200 || status == 204 || status == 304;
}

static bool frame_response(const struct framing *f, enum http_method method,
			   struct http_response *r)
{
	r->length = 0;
	if (f->encodings && (f->lengths || r->minor == 0 || f->is_bad_encoding))
		return false;
	if (f->is_unknown_encoding)
		return false;
	if (f->lengths && !http_parse_length(f, &r->length))
		return false;
	if (has_no_body(method, r->status))
		r->body = HTTP_BODY_NONE;
	else if (f->encodings)
		r->body = HTTP_BODY_CHUNKED;
	else if (f->lengths)
		r->body = HTTP_BODY_LENGTH;
	else
		r->body = HTTP_BODY_TO_CLOSE;
	r->keep_alive = http_keeps_alive(f, r->minor) && r->body != HTTP_BODY_TO_CLOSE;
	return true;
}

ssize_t http_parse_response(struct arena *a, char *p, size_t n, size_t *scanned,
			    const struct http_limits *limits, enum http_method method,
			    struct http_response *ret)
{
	struct scan scan = http_scan_head(p, n, *scanned, limits);
	struct framing framing;
	size_t first = scan.first;
	unsigned lines = first ? scan.lines - 1 : 0;

	*scanned = n;
	if (scan.end == SCAN_MORE)
		return first && !parse_status_line(str_at(p, first - 2), ret) ? -502 : HTTP_MORE;
	if (scan.end != SCAN_END)
		return -502;
	if (first == 0) /* found by an earlier call */
		first = (size_t)((char *)memchr(p, '\n', scan.size) - p) + 1;
	if (!parse_status_line(str_at(p, first - 2), ret))
		return -502;
	if (http_parse_lines(a, p + first, p + scan.size - 2, lines, limits, &ret->headers,
			     &framing) ||
	    !frame_response(&framing, method, ret))
		return -502;
	return (ssize_t)scan.size;
}
