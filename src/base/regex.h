/* SPDX-License-Identifier: Apache-2.0 */
/* regex - regular expressions.  The only file that knows PCRE2 is regex.c.
 *
 * Compiled once (with JIT where the machine has it), immutable afterwards and
 * usable from many threads at once: what a match writes to belongs to the
 * thread.  Every match runs under the limits of base/limits.h; one that reaches
 * them counts as no match.  Subjects are bytes unless REGEX_UTF is given.
 * `$` means the very end, never "before a last newline". */
#pragma once

#include "base/err.h"

struct regex;

enum regex_flag {
	REGEX_ANCHORED = 1, /* matches only where the search begins */
	REGEX_CASELESS = 2,
	REGEX_DOT_ALL = 4,    /* `.` takes newlines too */
	REGEX_UTF = 8,        /* pattern and subject are UTF-8; others never match */
	REGEX_NO_JIT = 16,    /* for patterns that will be used rarely */
	REGEX_MULTILINE = 32, /* `^` and `$` at lines */
};

/* Where a group matched; from is SIZE_MAX when it took no part. */
struct regex_span {
	size_t from, to;
};

/* Compiles; freed when the arena ends.  The error gives PCRE2's words and the
 * offset.  Both `(?<name>` and `(?P<name>` name a group. */
MUST_CHECK struct err *regex_new(struct arena *a, str pattern, unsigned flags, struct regex **ret);

/* Searches; fills ret[0] with the whole and ret[1...] with the groups, as many as
 * cap allows (0 and NULL are fine). */
bool regex_match(const struct regex *re, str subject, struct regex_span *ret, size_t cap);

/* The same from an offset on, for those who look for all matches. */
bool regex_match_from(const struct regex *re, str subject, size_t from, struct regex_span *ret,
		      size_t cap);

/* Number of groups, the whole not counted. */
size_t regex_groups(const struct regex *re);

/* The name of group i (from 1), or STR_NONE; lives as long as the regex. */
str regex_group_name(const struct regex *re, size_t i);

/* The part of the subject that a span names, or STR_NONE. */
static inline str regex_part(str subject, struct regex_span span)
{
	return span.from == SIZE_MAX ? STR_NONE : str_part(subject, span.from, span.to);
}
