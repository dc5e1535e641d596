/* SPDX-License-Identifier: Apache-2.0 */
/* Heads, first half: where one ends, and its lines.
 *
 * Two passes.  The scan takes 32 bytes at a step and knows three masks of them:
 * LF, CR, and control bytes that no head may have.  It finds the end, holds
 * every line to its ceiling, and refuses bare CR and LF wherever the bytes were
 * cut on their way here.  The second pass runs once, over a head that is whole,
 * and need not fear any of that again. */
#include "http/priv.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* ---- the scan ------------------------------------------------------------------ */

#define STEP 32

struct marks {
	uint32_t lf, cr, control; /* control: but for CR, LF and tab */
};

#ifdef __SSE2__

static inline struct marks mark_16(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i lf = _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'));
	__m128i cr = _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'));
	__m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
	__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
	__m128i fine = _mm_or_si128(_mm_or_si128(lf, cr), tab);
	__m128i control = _mm_or_si128(_mm_andnot_si128(fine, low), del);

	return (struct marks){
		.lf = (uint32_t)_mm_movemask_epi8(lf),
		.cr = (uint32_t)_mm_movemask_epi8(cr),
		.control = (uint32_t)_mm_movemask_epi8(control),
	};
}

static inline struct marks mark(const char *p)
{
	struct marks x = mark_16(p), y = mark_16(p + 16);

	x.lf |= y.lf << 16;
	x.cr |= y.cr << 16;
	x.control |= y.control << 16;
	return x;
}

#else

static inline struct marks mark(const char *p)
{
	struct marks m = { 0 };

	for (int i = 0; i < STEP; i++) {
		unsigned char c = (unsigned char)p[i];
		uint32_t bit = (uint32_t)1 << i;

		if (c == '\n')
			m.lf |= bit;
		else if (c == '\r')
			m.cr |= bit;
		else if ((c < 0x20 && c != '\t') || c == 0x7f)
			m.control |= bit;
	}
	return m;
}

#endif

/* The last bytes, fewer than a step. */
static struct marks mark_rest(const char *p, size_t n)
{
	char step[STEP];

	memset(step, ' ', sizeof(step));
	memcpy(step, p, n);
	return mark(step);
}

/* Where the line stands that the scan is in. */
struct line {
	size_t start;
	size_t last; /* the last byte of the line may come here, not behind */
	bool is_first;
};

static inline void line_start(struct line *l, size_t at, const struct http_limits *limits)
{
	size_t ceiling = l->is_first ? limits->line : limits->header;

	l->start = at;
	l->last = at + ceiling + 1; /* CR and LF are not counted */
	if (l->last >= limits->head)
		l->last = limits->head - 1;
}

static enum scan_end too_long(const struct line *l, const struct http_limits *limits)
{
	return l->is_first && l->start + limits->line + 1 < limits->head ? SCAN_LONG_LINE
									 : SCAN_LONG_HEAD;
}

struct scan http_scan_head(const char *p, size_t n, size_t from, const struct http_limits *limits)
{
	const char *lf = from ? memrchr(p, '\n', from) : NULL;
	struct line line = { .is_first = !lf };
	struct scan ret = { .end = SCAN_MORE };
	uint32_t carry = from && p[from - 1] == '\r';

	line_start(&line, lf ? (size_t)(lf - p) + 1 : 0, limits);
	for (size_t at = from; at < n; at += STEP) {
		bool is_whole = n - at >= STEP;
		struct marks m = is_whole ? mark(p + at) : mark_rest(p + at, n - at);
		uint32_t behind_cr = m.cr << 1 | carry; /* there an LF is due, and only there */
		uint32_t bad = m.control | (m.lf ^ behind_cr);
		unsigned first_bad;

		carry = m.cr >> (STEP - 1);
		if (!is_whole)
			bad &= ((uint32_t)1 << (n - at)) - 1;
		first_bad = bad ? (unsigned)__builtin_ctz(bad) : STEP;
		for (; m.lf; m.lf &= m.lf - 1) {
			unsigned bit = (unsigned)__builtin_ctz(m.lf);
			size_t i = at + bit;

			if (bit >= first_bad)
				break;
			if (i > line.last) {
				ret.end = too_long(&line, limits);
				return ret;
			}
			if (i == line.start + 1) {
				ret.end = SCAN_END;
				ret.size = i + 1;
				return ret;
			}
			ret.lines++;
			if (line.is_first)
				ret.first = i + 1;
			line.is_first = false;
			line_start(&line, i + 1, limits);
		}
		if (first_bad < STEP) {
			ret.end = at + first_bad > line.last ? too_long(&line, limits) : SCAN_BAD;
			return ret;
		}
	}
	if (n > line.last)
		ret.end = too_long(&line, limits);
	return ret;
}

/* ---- header lines ---------------------------------------------------------------- */

/* Transfer-Encoding is "chunked" or nothing we do: malformed or unknown. */
static void note_encoding(struct framing *f, str value)
{
	str rest = value, member;
	bool is_empty = true;

	if (f->encodings++ == 0) {
		f->encoding = value;
		if (str_eq_ci(value, STR("chunked")))
			return;
	}
	while (str_next(&rest, ',', &member)) {
		member = str_trim(member);
		is_empty = false;
		if (!http_is_token(member))
			f->is_bad_encoding = true;
		else if (!str_eq_ci(member, STR("chunked")))
			f->is_unknown_encoding = true;
	}
	if (is_empty || !f->is_unknown_encoding)
		f->is_bad_encoding = true; /* nothing, or chunked twice */
}

static void note_connection(struct framing *f, str value)
{
	str member;

	while (http_list_next(&value, &member)) {
		if (str_eq_ci(member, STR("close")))
			f->closes = true;
		else if (str_eq_ci(member, STR("keep-alive")))
			f->keeps = true;
		else if (str_eq_ci(member, STR("upgrade")))
			f->upgrades = true;
	}
}

static inline void note(struct framing *f, enum http_name id, str value)
{
	switch (id) {
	case HTTP_HOST:
		if (f->hosts++ == 0)
			f->host = value;
		break;
	case HTTP_CONTENT_LENGTH:
		if (f->lengths++ == 0)
			f->length = value;
		break;
	case HTTP_TRANSFER_ENCODING:
		note_encoding(f, value);
		break;
	case HTTP_CONNECTION:
		note_connection(f, value);
		break;
	case HTTP_UPGRADE:
		f->has_upgrade = true;
		break;
	case HTTP_EXPECT:
		if (str_eq_ci(value, STR("100-continue")))
			f->expects_continue = true;
		break;
	default:
		break;
	}
}

static unsigned count_lines(const char *p, const char *end)
{
	unsigned n = 0;

	for (; p < end; p = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1)
		n++;
	return n;
}

static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

int http_parse_lines(struct arena *a, const char *p, const char *end, unsigned n,
		     const struct http_limits *limits, struct http_headers *ret,
		     struct framing *ret_framing)
{
	struct http_header *h;

	*ret_framing = (struct framing){ 0 };
	*ret = (struct http_headers){ 0 };
	if (n == 0)
		n = count_lines(p, end);
	if (n > limits->count)
		return -494;
	if (n == 0)
		return HTTP_MORE;
	h = arena_alloc(a, n * sizeof(*h));
	*ret = (struct http_headers){ .v = h, .n = n, .cap = n };
	for (; p < end; h++) {
		const char *colon = p, *lf, *value, *value_end;

		while (http_char_is(*colon, HTTP_CHAR_TOKEN))
			colon++;
		/* No name, white space in or behind it, a folded line: RFC 9112 §5.1, §5.2. */
		if (colon == p || *colon != ':') {
			ret->n = (unsigned)(h - ret->v);
			return -400;
		}
		lf = memchr(colon, '\n', (size_t)(end - colon));
		value = colon + 1;
		value_end = lf - 1;
		while (value < value_end && is_blank(*value))
			value++;
		while (value_end > value && is_blank(value_end[-1]))
			value_end--;
		h->name = str_at(p, (size_t)(colon - p));
		h->value = str_at(value, (size_t)(value_end - value));
		h->id = http_name_of(h->name);
		note(ret_framing, h->id, h->value);
		p = lf + 1;
	}
	return HTTP_MORE;
}

bool http_parse_length(const struct framing *f, int64_t *ret)
{
	if (f->lengths != 1 || f->length.n == 0 || !ascii_is_digit(f->length.s[0]))
		return false;
	return str_to_int(f->length, ret);
}
