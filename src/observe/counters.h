/* SPDX-License-Identifier: Apache-2.0 */
/* counters - what the data plane counts, a cache line of its own per loop.
 *
 * Only a loop's own thread writes its line, with plain relaxed stores; anybody
 * may sum. */
#pragma once

#include "base/compiler.h"
#include <stdint.h>

enum counter {
	COUNTER_ACCEPTED, /* connections, since the start */
	COUNTER_HANDLED,
	COUNTER_ACTIVE,   /* connections now */
	COUNTER_WRITING,  /* requests being served */
	COUNTER_WAITING,  /* idle connections */
	COUNTER_REQUESTS, /* since the start */
	COUNTERS_
};

struct counters;

struct counters *counters_new(int loops);
void counters_drop(struct counters **c);

int64_t *counters_at_(struct counters *c, int loop, enum counter which);

static inline void counters_add(struct counters *c, int loop, enum counter which, int64_t by)
{
	int64_t *at = counters_at_(c, loop, which);

	__atomic_store_n(at, *at + by, __ATOMIC_RELAXED);
}

int64_t counters_sum(struct counters *c, enum counter which); /* any thread */
