/* SPDX-License-Identifier: Apache-2.0 */
/* The timer wheel, inner door: what a loop does with its timers.
 *
 * A radix wheel over absolute milliseconds.  A timer sits at the level of the
 * highest base-64 digit in which its time differs from now, in the slot of that
 * digit; when now reaches the slot, its timers sink to lower levels.  So every
 * timer of a level comes before every timer of the level above, nothing wraps,
 * and the next due time is one bit search.  Each timer sinks at most once per
 * level. */
#pragma once

#include "fiber/fiber.h"

#define WHEEL_BITS   6
#define WHEEL_SLOTS  (1 << WHEEL_BITS)
#define WHEEL_LEVELS 8 /* 2^48 ms: later times are held there */

struct wheel {
	deadline now;
	uint64_t used[WHEEL_LEVELS]; /* a bit per slot that may hold timers */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
	struct list due; /* taken out of their slot, about to run */
};

void wheel_init(struct wheel *w, deadline now);
void wheel_done(struct wheel *w); /* unsets every timer */
void wheel_set(struct wheel *w, struct timer *t, deadline at);
void wheel_clear(struct wheel *w, struct timer *t); /* w may be NULL */

/* Not later than the next timer; DEADLINE_NEVER when there is none. */
deadline wheel_next(const struct wheel *w);

/* Moves the clock to now and runs what is due, in order of time. */
void wheel_advance(struct wheel *w, deadline now);
