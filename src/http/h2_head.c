/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of HTTP/2 as those of HTTP/1.1 (RFC 9113 §8).
 *
 * What came is written down as the text of HTTP/1.1 that says the same, and read by
 * the one reader of heads.  nghttp2 has refused upper case, fields of the connection,
 * pseudo-fields in the wrong place and bytes that end a line before this is reached;
 * nothing here relies on it. */
#include "http/h2_priv.h"

/* Fields of a head are counted with what they cost the other side (RFC 9113 §6.5.2). */
#define FIELD_COST 32

static bool is_line(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.s[i] == '\r' || s.s[i] == '\n' || s.s[i] == '\0')
			return false;
	return true;
}

static void keep(str *to, struct arena *a, str value)
{
	if (!to->s)
		*to = str_copy(a, value);
}

static bool take_pseudo(struct h2_head *h, struct arena *a, str name, str value)
{
	if (str_is(name, ":method"))
		keep(&h->method, a, value);
	else if (str_is(name, ":path"))
		keep(&h->path, a, value);
	else if (str_is(name, ":authority"))
		keep(&h->authority, a, value);
	else if (str_is(name, ":status"))
		keep(&h->status, a, value);
	else
		return str_is(name, ":scheme");
	return true;
}

bool h2_head_add(struct h2_head *h, struct arena *a, str name, str value,
		 const struct http_limits *limits)
{
	h->size += name.n + value.n + FIELD_COST;
	h->is_too_big |= h->size > limits->head + FIELD_COST * limits->count ||
			 name.n + value.n > limits->header || ++h->count > limits->count;
	if (h->is_too_big)
		return true;
	if (!name.n || !is_line(name) || !is_line(value))
		return false;
	if (name.s[0] == ':')
		return take_pseudo(h, a, name, value);
	if (str_is(name, "host") && !h->host.s) {
		keep(&h->host, a, value);
		return true;
	}
	if (str_is(name, "cookie")) { /* RFC 9113 §8.2.3: crumbs of one field */
		if (h->cookies.n)
			buf_add_str(&h->cookies, STR("; "));
		buf_add_str(&h->cookies, value);
		return true;
	}
	buf_add_str(&h->lines, name);
	buf_add_str(&h->lines, STR(": "));
	buf_add_str(&h->lines, value);
	buf_add_str(&h->lines, STR("\r\n"));
	return true;
}

void h2_head_done(struct h2_head *h)
{
	buf_done(&h->lines);
	buf_done(&h->cookies);
}

/* The text, in a; `version` is where its version begins. */
static str request_text(struct arena *a, const struct h2_head *h, str host, size_t *ret_version)
{
	struct buf b CLEANUP(buf_done);

	buf_init(&b, 0);
	buf_add_str(&b, h->method);
	buf_add_char(&b, ' ');
	buf_add_str(&b, h->path);
	buf_add_char(&b, ' ');
	*ret_version = b.n;
	buf_addf(&b, "HTTP/1.1\r\nhost: " STRF "\r\n", STRV(host));
	buf_add_str(&b, buf_str(&h->lines));
	if (h->cookies.n)
		buf_addf(&b, "cookie: " STRF "\r\n", STRV(buf_str(&h->cookies)));
	buf_add_str(&b, STR("\r\n"));
	return str_copy(a, buf_str(&b));
}

ssize_t h2_head_request(const struct h2_head *h, struct arena *a, bool has_body,
			const struct http_limits *limits, struct http_request *ret)
{
	str host = h->authority.n ? h->authority : h->host, text;
	size_t scanned = 0, version;
	ssize_t n;

	*ret = (struct http_request){ .minor = 1, .is_h2 = true };
	if (h->is_too_big)
		return -494;
	if (!h->method.n || !h->path.n || (h->path.s[0] != '/' && !str_is(h->path, "*")) ||
	    (h->authority.n && h->host.n && !str_eq_ci(h->authority, h->host)))
		return -400;
	text = request_text(a, h, host, &version);
	n = http_parse_request(a, (char *)(uintptr_t)text.s, text.n, &scanned, limits, ret);
	if (n <= 0)
		return n == HTTP_MORE ? -400 : n;
	if ((size_t)n != text.n || ret->body == HTTP_BODY_CHUNKED)
		return -400;
	memcpy((char *)(uintptr_t)text.s + version, "HTTP/2.0", 8); /* as it is logged */
	if (!has_body)
		ret->body = HTTP_BODY_NONE;
	else if (ret->body == HTTP_BODY_NONE)
		ret->body = HTTP_BODY_TO_CLOSE;
	ret->keep_alive = true;
	ret->wants_upgrade = false;
	return (ssize_t)h->size;
}

ssize_t h2_head_response(const struct h2_head *h, struct arena *a, bool has_body,
			 const struct http_limits *limits, enum http_method method,
			 struct http_response *ret)
{
	size_t scanned = 0;
	str text;
	ssize_t n;

	if (h->is_too_big || h->status.n != 3)
		return -502;
	text = str_fmt(a, "HTTP/1.1 " STRF " \r\n" STRF "\r\n", STRV(h->status),
		       STRV(buf_str(&h->lines)));
	n = http_parse_response(a, (char *)(uintptr_t)text.s, text.n, &scanned, limits, method,
				ret);
	if (n <= 0 || (size_t)n != text.n || ret->body == HTTP_BODY_CHUNKED || ret->status == 101)
		return -502;
	if (!has_body)
		ret->body = HTTP_BODY_NONE;
	ret->keep_alive = true;
	ret->reason = http_reason(ret->status);
	return (ssize_t)h->size;
}
