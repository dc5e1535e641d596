/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter for jansson, and our own writer.
 *
 * jansson decides what is JSON.  Before it, the text is scanned once for the two
 * things it does not do our way: nesting is refused from LIMIT_JSON_DEPTH on, so
 * that a small stack suffices, and integers that do not fit int64 become reals. */
#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/limits.h"
#include "base/vec.h"

/* What jansson allocates while a text is parsed comes from an arena, so that its tree
 * costs neither a malloc nor a free for each node.  It asks through process-wide hooks,
 * and nobody but this file calls it. */
static __thread struct arena *parsing;
static pthread_once_t hooks_once = PTHREAD_ONCE_INIT;

static void *take(size_t n)
{
	return arena_alloc(parsing, n);
}

static void give(void *p)
{
	(void)p;
}

static void set_hooks(void)
{
	json_set_alloc_funcs(take, give);
}

static struct err *fail_at(str text, size_t at, const char *what)
{
	size_t line = 1, from = 0;

	for (size_t i = 0; i < at && i < text.n; i++) {
		if (text.s[i] == '\n') {
			line++;
			from = i + 1;
		}
	}
	return FAIL(ERR_INVALID, "line %zu, column %zu: %s", line, at - from + 1, what);
}

/* The end of the string that opens at i; stops at the end of the text. */
static size_t skip_string(str text, size_t i)
{
	for (i++; i < text.n && text.s[i] != '"'; i++)
		i += text.s[i] == '\\';
	return i < text.n ? i + 1 : text.n;
}

/* The end of the number that begins at i; *ret_is_big when it is an integer that
 * int64 cannot hold. */
static size_t skip_number(str text, size_t i, bool *ret_is_big)
{
	size_t from = i;
	int64_t x;

	while (i < text.n && (ascii_is_digit(text.s[i]) || memchr("+-.eE", text.s[i], 5)))
		i++;
	*ret_is_big = false;
	if (i - from >= 19) {
		str number = str_part(text, from, i);
		size_t minus = number.s[0] == '-', digits = minus;

		while (digits < number.n && ascii_is_digit(number.s[digits]))
			digits++;
		/* a leading zero stays for jansson to refuse */
		*ret_is_big =
			digits == number.n && number.s[minus] != '0' && !str_to_int(number, &x);
	}
	return i;
}

/* Checks the depth and gives the text to parse: itself, or with ".0" behind every
 * integer that is too big for one. */
static struct err *prepare(struct arena *a, str text, str *ret)
{
	struct {
		size_t *v;
		size_t n, cap;
	} big = { 0 };
	size_t depth = 0, i = 0, from = 0;
	char *out, *at;

	while (i < text.n) {
		char c = text.s[i];
		bool is_big;

		if (c == '"') {
			i = skip_string(text, i);
		} else if (ascii_is_digit(c) || c == '-') {
			i = skip_number(text, i, &is_big);
			if (is_big)
				*vec_add(a, &big) = i;
		} else {
			if ((c == '[' || c == '{') && ++depth > LIMIT_JSON_DEPTH)
				return fail_at(text, i, "nested too deeply");
			if ((c == ']' || c == '}') && depth)
				depth--;
			i++;
		}
	}
	if (big.n == 0) {
		*ret = text;
		return NULL;
	}
	out = at = arena_bytes(a, text.n + 2 * big.n);
	vec_for_each (&big, size_t, end) {
		at = mempcpy(at, text.s + from, *end - from);
		at = mempcpy(at, ".0", 2);
		from = *end;
	}
	at = mempcpy(at, text.s + from, text.n - from);
	*ret = str_at(out, (size_t)(at - out));
	return NULL;
}

static struct value *convert(struct arena *a, json_t *j)
{
	struct value *v;

	switch (json_typeof(j)) {
	case JSON_OBJECT:
		v = value_object(a);
		v->n = v->cap = (uint32_t)json_object_size(j);
		v->members = NEWS(a, struct member, v->n);
		v->n = 0;
		for (void *it = json_object_iter(j); it; it = json_object_iter_next(j, it)) {
			v->members[v->n].key = str_copy(a, str_of(json_object_iter_key(it)));
			v->members[v->n++].value = convert(a, json_object_iter_value(it));
		}
		return v;
	case JSON_ARRAY:
		v = value_array(a);
		v->n = v->cap = (uint32_t)json_array_size(j);
		v->items = NEWS(a, struct value *, v->n);
		for (uint32_t i = 0; i < v->n; i++)
			v->items[i] = convert(a, json_array_get(j, i));
		return v;
	case JSON_STRING:
		return value_str(a,
				 str_copy(a, str_at(json_string_value(j), json_string_length(j))));
	case JSON_INTEGER:
		return value_int(a, json_integer_value(j));
	case JSON_REAL:
		return value_real(a, json_real_value(j));
	case JSON_TRUE:
	case JSON_FALSE:
		return value_bool(a, json_is_true(j));
	case JSON_NULL:
		break;
	}
	return value_null(a);
}

static struct err *parse(struct arena *a, str text, size_t flags, struct value **ret)
{
	CLEANUP(arena_drop) struct arena *local = arena_new();
	json_error_t e;
	str prepared;
	json_t *j; /* ends with the arena */

	pthread_once(&hooks_once, set_hooks);
	PASS(prepare(local, text, &prepared));
	parsing = local;
	j = json_loadb(prepared.n ? prepared.s : "", prepared.n,
		       flags | JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
	parsing = NULL;
	if (!j)
		return FAIL(ERR_INVALID, "line %d, column %d: %s", e.line > 0 ? e.line : 1,
			    e.column > 0 ? e.column : 1, e.text);
	*ret = convert(a, j);
	return NULL;
}

struct err *json_parse(struct arena *a, str text, struct value **ret)
{
	return parse(a, text, JSON_REJECT_DUPLICATES, ret);
}

struct err *json_parse_passing(struct arena *a, str text, struct value **ret)
{
	return parse(a, text, 0, ret);
}

/* -- the writer -- */

static void write_escape(struct buf *out, unsigned char c)
{
	static const char short_form[32] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'
	};

	if (c == '"' || c == '\\')
		buf_addf(out, "\\%c", c);
	else if (c < 32 && short_form[c])
		buf_addf(out, "\\%c", short_form[c]);
	else
		buf_addf(out, "\\u%04x", c);
}

static inline bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Bytes in front that need no second look. */
static size_t plain_size(str s)
{
	size_t n = 0;

#ifdef __SSE2__
	for (; n + 16 <= s.n; n += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s.s + n));
		__m128i odd = _mm_or_si128(
			_mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)), /* and 0x80 on */
				     _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f))),
			_mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
				     _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'))));
		int mask = _mm_movemask_epi8(odd);

		if (mask)
			return n + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	while (n < s.n && is_plain((unsigned char)s.s[n]))
		n++;
	return n;
}

static void write_plain(struct buf *out, str s)
{
	char *to = buf_room(out, s.n + 2);

	if (!to)
		return;
	*to++ = '"';
	if (s.n)
		to = mempcpy(to, s.s, s.n);
	*to = '"';
	out->n += s.n + 2;
}

/* What is no UTF-8 goes out as U+FFFD, because the reader refuses it otherwise. */
void json_write_str(struct buf *out, str s)
{
	const unsigned char *p = (const unsigned char *)s.s;
	size_t from = 0, i = plain_size(s);

	if (i == s.n) {
		write_plain(out, s);
		return;
	}
	buf_add_char(out, '"');
	while (i < s.n) {
		unsigned char c = p[i];
		size_t len;

		if (likely(is_plain(c))) {
			i++;
			continue;
		}
		len = c >= 0x80 ? utf8_length(s.s + i, s.n - i) : 0;
		if (len) {
			i += len;
			continue;
		}
		buf_add(out, p + from, i - from);
		if (c >= 0x80)
			buf_add_str(out, STR("\xef\xbf\xbd"));
		else
			write_escape(out, c);
		from = ++i;
	}
	if (i > from)
		buf_add(out, p + from, i - from);
	buf_add_char(out, '"');
}

/* The shortest text that reads back as the same number; JSON has no infinity. */
static void write_real(struct buf *out, double x)
{
	char text[40];

	if (!isfinite(x)) {
		buf_add_str(out, STR("null"));
		return;
	}
	if (x == 0 && signbit(x)) {
		buf_add_str(out, STR("-0.0")); /* "-0" would be an integer */
		return;
	}
	if (x == trunc(x) && fabs(x) < 9007199254740992.0) {
		buf_addf(out, "%.0f", x);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, x);
		if (strtod(text, NULL) == x)
			break;
	}
	buf_add_str(out, str_of(text));
}

static void new_line(struct buf *out, unsigned style, int depth)
{
	if (!(style & JSON_PRETTY))
		return;
	buf_add_char(out, '\n');
	for (int i = 0; i < depth; i++)
		buf_add_str(out, STR("  "));
}

static int by_key(const void *x, const void *y)
{
	const struct member *a = x, *b = y;

	return str_cmp(a->key, b->key);
}

static void write_value(struct buf *out, const struct value *v, unsigned style, int depth);

static void write_members(struct buf *out, const struct member *m, size_t n, unsigned style,
			  int depth)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_char(out, ',');
		new_line(out, style, depth + 1);
		json_write_str(out, m[i].key);
		buf_add_str(out, style & JSON_PRETTY ? STR(": ") : STR(":"));
		write_value(out, m[i].value, style, depth + 1);
	}
}

static void write_object(struct buf *out, const struct value *v, unsigned style, int depth)
{
	buf_add_char(out, '{');
	if (style & JSON_SORTED && v->n > 1) {
		CLEANUP(arena_drop) struct arena *a = arena_new();
		struct member *sorted = arena_copy(a, v->members, v->n * sizeof(*sorted));

		qsort(sorted, v->n, sizeof(*sorted), by_key);
		write_members(out, sorted, v->n, style, depth);
	} else {
		write_members(out, v->members, v->n, style, depth);
	}
	if (v->n)
		new_line(out, style, depth);
	buf_add_char(out, '}');
}

static void write_array(struct buf *out, const struct value *v, unsigned style, int depth)
{
	buf_add_char(out, '[');
	for (uint32_t i = 0; i < v->n; i++) {
		if (i)
			buf_add_char(out, ',');
		new_line(out, style, depth + 1);
		write_value(out, v->items[i], style, depth + 1);
	}
	if (v->n)
		new_line(out, style, depth);
	buf_add_char(out, ']');
}

static void write_value(struct buf *out, const struct value *v, unsigned style, int depth)
{
	if (!v) {
		buf_add_str(out, STR("null"));
		return;
	}
	switch (v->kind) {
	case VALUE_NULL:
		buf_add_str(out, STR("null"));
		break;
	case VALUE_BOOL:
		buf_add_str(out, v->b ? STR("true") : STR("false"));
		break;
	case VALUE_INT:
		buf_add_int(out, v->i);
		break;
	case VALUE_REAL:
		write_real(out, v->real);
		break;
	case VALUE_STRING:
		json_write_str(out, v->s);
		break;
	case VALUE_ARRAY:
		write_array(out, v, style, depth);
		break;
	case VALUE_OBJECT:
		write_object(out, v, style, depth);
		break;
	}
}

void json_write(struct buf *out, const struct value *v, unsigned style)
{
	write_value(out, v, style, 0);
}

str json_text(struct arena *a, const struct value *v, unsigned style)
{
	CLEANUP(buf_done) struct buf out;

	buf_init(&out, 0);
	json_write(&out, v, style);
	return str_copy(a, buf_str(&out));
}
