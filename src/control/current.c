/* SPDX-License-Identifier: Apache-2.0 */
#include "control/current.h"

#include "base/mem.h"

/* Loop's own, a cache line each. */
struct cell {
	struct snapshot *now;
	struct loop *loop;
	char fill[48];
};

struct snapshot_holds {
	uint64_t n;
	char fill[56];
};

struct current {
	struct cell *cells;
	int n;
};

/* One publication: freed by the loop that answers last. */
struct publication {
	struct current *home;
	struct snapshot *snap;
	struct loop *publisher;
	struct gate done;
	int left; /* publisher's own */
};

struct delivery {
	struct publication *publication;
	int index;
};

struct current *current_new(struct loop *const *loops, int n)
{
	struct current *c = MEM_NEW(struct current);

	c->cells = mem_alloc((size_t)n * sizeof(*c->cells));
	c->n = n;
	for (int i = 0; i < n; i++)
		c->cells[i].loop = loops[i];
	return c;
}

static void free_snapshot(void *p)
{
	struct snapshot *s = p;

	snapshot_drop(&s);
}

/* A loop has no more use for a replaced snapshot. */
static void loop_let_go(struct snapshot *s)
{
	if (__atomic_sub_fetch(&s->loops_left, 1, __ATOMIC_ACQ_REL) == 0)
		offload_long_detached(free_snapshot, s);
}

static void acknowledge(void *p)
{
	struct publication *pub = p;

	if (--pub->left == 0)
		gate_wake_all(&pub->done);
}

/* On the data loop. */
static void deliver(void *p)
{
	struct delivery *d = p;
	struct publication *pub = d->publication;
	struct cell *cell = &pub->home->cells[d->index];
	struct snapshot *old = cell->now;

	cell->now = pub->snap;
	if (old && old->holds[d->index].n == 0)
		loop_let_go(old);
	mem_free(d);
	loop_post(pub->publisher, acknowledge, pub);
}

void current_publish(struct current *c, struct snapshot *s)
{
	struct publication pub = { .home = c, .snap = s, .publisher = loop_self(), .left = c->n };

	s->holds = arena_zalloc(s->arena, (size_t)c->n * sizeof(*s->holds));
	s->loops_left = c->n;
	s->home = c;
	gate_init(&pub.done);
	for (int i = 0; i < c->n; i++) {
		struct delivery *d = MEM_NEW(struct delivery);

		*d = (struct delivery){ &pub, i };
		loop_post(c->cells[i].loop, deliver, d);
	}
	while (pub.left) /* a cancelled fiber waits as well: pub is on its stack */
		if (gate_wait(&pub.done, DEADLINE_NEVER) == WAIT_CANCELLED)
			fiber_yield();
}

struct snapshot *current_hold(struct current *c, int i)
{
	struct snapshot *s = c->cells[i].now;

	if (s)
		s->holds[i].n++;
	return s;
}

void current_release(struct snapshot *s, int i)
{
	if (--s->holds[i].n == 0 && s->home->cells[i].now != s)
		loop_let_go(s);
}

struct snapshot *current_peek(const struct current *c, int i)
{
	return c->cells[i].now;
}

void current_drop(struct current **ref)
{
	struct current *c = *ref;

	if (!c)
		return;
	*ref = NULL;
	for (int i = 0; i < c->n; i++) {
		struct snapshot *s = c->cells[i].now;

		if (s && __atomic_sub_fetch(&s->loops_left, 1, __ATOMIC_ACQ_REL) == 0)
			snapshot_drop(&s);
	}
	mem_free(c->cells);
	mem_free(c);
}
