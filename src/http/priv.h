/* SPDX-License-Identifier: Apache-2.0 */
/* What the parsers of heads share: classes of bytes, the scan for a head's end,
 * header lines, and what framing needs to know of them. */
#pragma once

#include "http/http.h"

/* ---- bytes ------------------------------------------------------------------- */

enum { HTTP_CHAR_TOKEN = 1, HTTP_CHAR_TARGET = 2, HTTP_CHAR_HOST = 4 };
extern const uint8_t http_chars[256];

static inline bool http_char_is(char c, int kind)
{
	return (http_chars[(unsigned char)c] & kind) != 0;
}

/* host[:port] without user information (RFC 9110 §7.2); never empty. */
bool http_is_host(str s);

/* ---- the scan ------------------------------------------------------------------ */

enum scan_end {
	SCAN_MORE,
	SCAN_END,
	SCAN_BAD,       /* a control byte, a bare CR or a bare LF */
	SCAN_LONG_LINE, /* the first line passes its ceiling */
	SCAN_LONG_HEAD, /* another line does, or all together */
};

struct scan {
	enum scan_end end;
	size_t first;   /* bytes of the first line with its CRLF, when this scan found its end */
	size_t size;    /* SCAN_END: bytes of the head, empty line included */
	unsigned lines; /* ends of lines that this scan passed, the empty one not counted */
};

/* Looks through p[from..n) for the end of the head that starts at p; p[0..from)
 * was looked through before.  What it passed has CR and LF in pairs only, and
 * of the other control bytes nothing but tabs. */
struct scan http_scan_head(const char *p, size_t n, size_t from, const struct http_limits *limits);

/* ---- header lines ---------------------------------------------------------------- */

/* What the framing of a message hangs on. */
struct framing {
	str host, length, encoding; /* the first of each */
	unsigned hosts, lengths, encodings;
	bool is_bad_encoding, is_unknown_encoding;
	bool closes, keeps, upgrades; /* members of Connection */
	bool has_upgrade, expects_continue;
};

/* Reads the lines of [p, end), each of which ends in CRLF; n says how many they
 * are, or 0 when that is not known.  HTTP_MORE when all is well, -400 for a line
 * that is none, -494 when there are more than limits say. */
int http_parse_lines(struct arena *a, const char *p, const char *end, unsigned n,
		     const struct http_limits *limits, struct http_headers *ret,
		     struct framing *ret_framing);

/* Content-Length: digits and nothing else, once; false also on overflow. */
bool http_parse_length(const struct framing *f, int64_t *ret);

static inline bool http_keeps_alive(const struct framing *f, int minor)
{
	return !f->closes && (minor == 1 || f->keeps);
}
