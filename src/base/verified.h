/* SPDX-License-Identifier: Apache-2.0 */
/* verified - remembers texts that were found to be good, without keeping them.
 *
 * Of each text stays a MAC under a random key of its own, so whoever reads this memory and
 * not the key learns nothing.  That something is not here says nothing: of so many places,
 * what was not asked for the longest time makes room.  Nobody is told from how long an
 * answer takes how much of a MAC is right.
 *
 * What makes a text good must be part of it: a text is never forgotten on demand.
 * One thread's own. */
#pragma once

#include "base/str.h"

struct verified;

struct verified *verified_new(size_t places); /* a power of two, 4 at least; 16 bytes each */
void verified_drop(struct verified **v);

bool verified_has(struct verified *v, str text);
void verified_add(struct verified *v, str text);
