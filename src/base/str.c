/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "base/vec.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool str_eq_ci(str a, str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (ascii_lower(a.s[i]) != ascii_lower(b.s[i]))
			return false;
	}
	return true;
}

bool str_is_ci(str a, const char *z)
{
	return str_eq_ci(a, str_of(z));
}

int str_cmp(str a, str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.s, b.s, n) : 0;

	if (c != 0)
		return c;
	return (a.n > b.n) - (a.n < b.n);
}

bool str_starts(str s, str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.s, prefix.s, prefix.n) == 0);
}

bool str_ends(str s, str suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.s + s.n - suffix.n, suffix.s, suffix.n) == 0);
}

bool str_starts_ci(str s, str prefix)
{
	return s.n >= prefix.n && str_eq_ci(str_part(s, 0, prefix.n), prefix);
}

ptrdiff_t str_find(str s, char c, size_t from)
{
	const char *p = from < s.n ? memchr(s.s + from, c, s.n - from) : NULL;

	return p ? p - s.s : -1;
}

ptrdiff_t str_find_last(str s, char c)
{
	const char *p = s.n ? memrchr(s.s, c, s.n) : NULL;

	return p ? p - s.s : -1;
}

ptrdiff_t str_find_str(str s, str needle)
{
	const char *p;

	if (needle.n == 0)
		return 0;
	p = s.n ? memmem(s.s, s.n, needle.s, needle.n) : NULL;
	return p ? p - s.s : -1;
}

str str_part(str s, size_t from, size_t to)
{
	if (to > s.n)
		to = s.n;
	if (from > to)
		from = to;
	return (str){ s.s ? s.s + from : NULL, to - from };
}

str str_from(str s, size_t from)
{
	return str_part(s, from, s.n);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

str str_trim(str s)
{
	while (s.n && is_space(s.s[0])) {
		s.s++;
		s.n--;
	}
	while (s.n && is_space(s.s[s.n - 1]))
		s.n--;
	return s;
}

bool str_next(str *rest, char c, str *ret_piece)
{
	ptrdiff_t at;

	if (!rest->s)
		return false;
	at = str_find(*rest, c, 0);
	if (at < 0) {
		*ret_piece = *rest;
		*rest = STR_NONE;
		return true;
	}
	*ret_piece = str_part(*rest, 0, (size_t)at);
	*rest = str_from(*rest, (size_t)at + 1);
	return true;
}

strs str_split(struct arena *a, str s, char c)
{
	struct {
		str *v;
		size_t n, cap;
	} list = { 0 };
	str rest = s.s ? s : STR_NONE, piece;

	while (str_next(&rest, c, &piece)) {
		piece = str_trim(piece);
		if (piece.n)
			*vec_add(a, &list) = piece;
	}
	return (strs){ list.v, list.n };
}

str str_copy(struct arena *a, str s)
{
	char *p;

	if (!s.s)
		return s;
	p = arena_bytes(a, s.n);
	if (s.n)
		memcpy(p, s.s, s.n);
	return (str){ p, s.n };
}

char *str_z(struct arena *a, str s)
{
	char *p = arena_bytes(a, s.n + 1);

	if (s.n)
		memcpy(p, s.s, s.n);
	p[s.n] = '\0';
	return p;
}

str str_vfmt(struct arena *a, const char *format, va_list args)
{
	char local[256];
	va_list again;
	char *p;
	int n;

	va_copy(again, args);
	n = vsnprintf(local, sizeof(local), format, args);
	if (n < 0)
		n = 0;
	p = arena_bytes(a, (size_t)n + 1);
	if ((size_t)n < sizeof(local))
		memcpy(p, local, (size_t)n + 1);
	else
		vsnprintf(p, (size_t)n + 1, format, again);
	va_end(again);
	return (str){ p, (size_t)n };
}

str str_fmt(struct arena *a, const char *format, ...)
{
	va_list args;
	str s;

	va_start(args, format);
	s = str_vfmt(a, format, args);
	va_end(args);
	return s;
}

str str_join(struct arena *a, strs list, str between)
{
	size_t n = 0;
	char *p, *at;

	for (size_t i = 0; i < list.n; i++)
		n += list.v[i].n + (i ? between.n : 0);
	p = at = arena_bytes(a, n);
	for (size_t i = 0; i < list.n; i++) {
		if (i && between.n)
			at = mempcpy(at, between.s, between.n);
		if (list.v[i].n)
			at = mempcpy(at, list.v[i].s, list.v[i].n);
	}
	return (str){ p, n };
}

str str_lower(struct arena *a, str s)
{
	char *p = arena_bytes(a, s.n);

	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(s.s[i]);
	return (str){ p, s.n };
}

str str_upper(struct arena *a, str s)
{
	char *p = arena_bytes(a, s.n);

	for (size_t i = 0; i < s.n; i++)
		p[i] = s.s[i] >= 'a' && s.s[i] <= 'z' ? (char)(s.s[i] & ~0x20) : s.s[i];
	return (str){ p, s.n };
}

str str_num(struct arena *a, double d)
{
	char digits[16], *at = digits + sizeof(digits);
	uint64_t whole;

	if (!(d >= 0 && d < 1e14 && d == (double)(uint64_t)d) || signbit(d))
		return str_fmt(a, "%.14g", d);
	whole = (uint64_t)d;
	do {
		*--at = (char)('0' + whole % 10);
		whole /= 10;
	} while (whole);
	return str_copy(a, str_at(at, (size_t)(digits + sizeof(digits) - at)));
}

bool str_to_int(str s, int64_t *ret)
{
	bool minus = s.n && s.s[0] == '-';
	size_t i = s.n && (s.s[0] == '-' || s.s[0] == '+');
	int64_t x = 0;

	if (i == s.n)
		return false;
	for (; i < s.n; i++) {
		int digit = s.s[i] - '0';

		if (!ascii_is_digit(s.s[i]) || __builtin_mul_overflow(x, 10, &x) ||
		    __builtin_add_overflow(x, minus ? -digit : digit, &x))
			return false;
	}
	*ret = x;
	return true;
}

bool str_to_num(str s, double *ret)
{
	char z[64], *end;
	double x;

	if (s.n == 0 || s.n >= sizeof(z))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.s[i]) && !strchr("+-.eE", s.s[i]))
			return false;
	}
	memcpy(z, s.s, s.n);
	z[s.n] = '\0';
	x = strtod(z, &end);
	if (*end || !isfinite(x))
		return false;
	*ret = x;
	return true;
}

int ascii_hex(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int ascii_base64(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool str_to_hex(str s, uint64_t *ret)
{
	uint64_t x = 0;

	if (s.n == 0 || s.n > 16)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int digit = ascii_hex(s.s[i]);

		if (digit < 0)
			return false;
		x = x << 4 | (uint64_t)digit;
	}
	*ret = x;
	return true;
}

bool str_eq_secret(str a, str b)
{
	volatile unsigned char differs = a.n != b.n;

	for (size_t i = 0; i < a.n; i++)
		differs |= (unsigned char)(a.s[i] ^ (b.n ? b.s[i % b.n] : 0));
	return !differs;
}

size_t utf8_length(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return len;
}

str str_to_utf8(struct arena *a, str s)
{
	size_t bad = 0, n = 0, len;
	char *p;

	for (size_t i = 0; i < s.n; i += len ? len : 1) {
		len = utf8_length(s.s + i, s.n - i);
		bad += len == 0;
	}
	if (bad == 0)
		return s;
	p = arena_bytes(a, s.n + 2 * bad);
	for (size_t i = 0; i < s.n; i += len ? len : 1) {
		len = utf8_length(s.s + i, s.n - i);
		memcpy(p + n, len ? s.s + i : "\xef\xbf\xbd", len ? len : 3);
		n += len ? len : 3;
	}
	return str_at(p, n);
}
