/* SPDX-License-Identifier: Apache-2.0 */
/* str - text as pointer and length, passed by value.
 *
 * Never assumed to end in '\0'; C strings appear only at the border, through
 * str_z().  A str borrows its bytes: it is valid as long as their owner.  The
 * empty str is {NULL, 0} or any pointer with length 0; "unset" is s == NULL. */
#pragma once

#include "base/arena.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct str {
	const char *s;
	size_t n;
} str;

/* A list of them; v is NULL when n is 0. */
typedef struct strs {
	str *v;
	size_t n;
} strs;

#define STR(literal) ((str){ ("" literal), sizeof(literal) - 1 })
#define STR_INIT(literal)                                                                          \
	{                                                                                          \
		("" literal), sizeof(literal) - 1                                                  \
	} /* for static tables */
#define STR_NONE ((str){ NULL, 0 })
#define STRF     "%.*s"
#define STRV(x)  (int)(x).n, (x).n ? (x).s : ""

static inline str str_of(const char *z) /* borrows a C string; NULL gives STR_NONE */
{
	return (str){ z, z ? strlen(z) : 0 };
}

static inline str str_at(const char *s, size_t n)
{
	return (str){ s, n };
}

static inline bool str_eq(str a, str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0);
}

static inline bool str_is(str a, const char *z)
{
	return a.n == strlen(z) && memcmp(a.s ? a.s : "", z, a.n) == 0;
}

bool str_eq_ci(str a, str b); /* ASCII case ignored */
bool str_is_ci(str a, const char *z);
int str_cmp(str a, str b); /* bytes, the shorter first: <0, 0, >0 */
bool str_starts(str s, str prefix);
bool str_ends(str s, str suffix);
bool str_starts_ci(str s, str prefix);

/* Position of c (from `from` on) or of needle; -1 when absent. */
ptrdiff_t str_find(str s, char c, size_t from);
ptrdiff_t str_find_last(str s, char c);
ptrdiff_t str_find_str(str s, str needle);

/* Part from..to (exclusive), cut to what is there. */
str str_part(str s, size_t from, size_t to);
str str_from(str s, size_t from);

/* Without white space (space, tab, CR, LF) at both ends. */
str str_trim(str s);

/* Takes the piece before the first c off *rest; false when *rest is used up.
 * "a,,b" gives "a", "", "b"; "" gives one "". Start with str rest = s. */
bool str_next(str *rest, char c, str *ret_piece);

/* Pieces between commas, trimmed, empty ones left out. */
strs str_split(struct arena *a, str s, char c);

/* In a: copies, C strings, formatted text, joined lists, lower and upper case. */
str str_copy(struct arena *a, str s);
char *str_z(struct arena *a, str s);
str str_fmt(struct arena *a, const char *format, ...) PRINTF(2, 3) __attribute__((nonnull(2)));
str str_vfmt(struct arena *a, const char *format, va_list args) __attribute__((nonnull(2)));
str str_join(struct arena *a, strs list, str between);
/* One behind the other; for what each request does, where str_fmt() costs too much. */
#define str_cat(a, ...)                                                                            \
	str_join((a), (strs){ (str[]){ __VA_ARGS__ }, COUNT(((const str[]){ __VA_ARGS__ })) },     \
		 STR_NONE)

str str_lower(struct arena *a, str s);
str str_upper(struct arena *a, str s);

/* A number as text, as Lua writes it: whole ones below 1e14 without a point, else up to 14
 * digits. */
str str_num(struct arena *a, double d);

/* Whole text as a number; false on anything else, overflow included. */
bool str_to_int(str s, int64_t *ret);  /* decimal, optional sign */
bool str_to_num(str s, double *ret);   /* decimal or exponent; no hex, inf or nan */
bool str_to_hex(str s, uint64_t *ret); /* hex digits only */

/* Same bytes, in time that depends on the lengths alone (secrets). */
bool str_eq_secret(str a, str b);

/* Length of the well-formed UTF-8 sequence at p (n bytes are there, at least one),
 * or 0: not overlong, no surrogate, at most U+10FFFF. */
size_t utf8_length(const char *p, size_t n);

/* s with U+FFFD for each byte that is no UTF-8; s itself when all is well. */
str str_to_utf8(struct arena *a, str s);

/* ASCII only, whatever the locale. */
static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_alpha(char c)
{
	return (unsigned char)((c | 0x20) - 'a') < 26;
}

static inline bool ascii_is_alnum(char c)
{
	return ascii_is_digit(c) || ascii_is_alpha(c);
}

/* 0..15, or -1. */
int ascii_hex(char c);

/* 0..63 of a digit in base 64 (RFC 4648 §4), or -1. */
int ascii_base64(char c);
