/* SPDX-License-Identifier: Apache-2.0 */
/* pattern - Lua's patterns, as Kong's schemas use them.
 *
 * All of Lua 5.1's syntax: classes %a %c %d %l %p %s %u %w %x %z and their
 * complements, sets, * + - ?, %b, %f, anchors, captures, back-references.  A
 * match that would take more than LIMIT_PATTERN_STEPS steps is no match, as is
 * one whose pattern is malformed. */
#pragma once

#include "base/str.h"

/* string.match(subject, pattern) ~= nil */
bool pattern_match(str pattern, str subject);

/* The same, with what string.match returns: the captures, or the whole match
 * when there are none; at most cap of them, their number in *ret_n.  A position
 * capture "()" gives an empty part at its place. */
bool pattern_find(str pattern, str subject, str *ret, size_t cap, size_t *ret_n);

/* What is found where: the whole, and the captures; a position capture has no bytes. */
#define PATTERN_CAPTURES 32
struct pattern_found {
	size_t from, to;
	size_t n;
	struct {
		size_t from, to;
		bool is_position;
	} captures[PATTERN_CAPTURES];
};
enum pattern_outcome {
	PATTERN_NONE,
	PATTERN_FOUND,
	PATTERN_BROKEN, /* malformed, or more steps than there were */
};

/* The first from an offset on, for those who look for all; an anchored pattern matches there or
 * not at all.  *steps is what it may take, and what is left. */
enum pattern_outcome pattern_search(str pattern, str subject, size_t from, size_t *steps,
				    struct pattern_found *ret);

/* Whether the pattern is well formed. */
bool pattern_is_valid(str pattern);
