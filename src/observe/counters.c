/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/counters.h"

#include "base/mem.h"

#define LINE 64 /* bytes of a cache line */

struct line {
	int64_t v[COUNTERS_];
	char fill[LINE - COUNTERS_ * sizeof(int64_t)];
};

struct counters {
	int loops;
	struct line *lines;
};

struct counters *counters_new(int loops)
{
	struct counters *c = MEM_NEW(struct counters);

	c->loops = loops;
	c->lines = mem_alloc((size_t)loops * sizeof(*c->lines));
	return c;
}

void counters_drop(struct counters **ref)
{
	struct counters *c = *ref;

	if (!c)
		return;
	*ref = NULL;
	mem_free(c->lines);
	mem_free(c);
}

int64_t *counters_at_(struct counters *c, int loop, enum counter which)
{
	return &c->lines[loop].v[which];
}

int64_t counters_sum(struct counters *c, enum counter which)
{
	int64_t sum = 0;

	for (int i = 0; i < c->loops; i++)
		sum += __atomic_load_n(&c->lines[i].v[which], __ATOMIC_RELAXED);
	return sum;
}
