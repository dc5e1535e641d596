/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a fiber: start, suspend, wake, cancel, end; and the pool of
 * stacks that ended fibers leave behind. */
#include "fiber/priv.h"

#include "base/log.h"
#include <assert.h>
#include <stdlib.h>

#define POOL_KEEP    64 /* stacks at rest that trimming leaves alone */
#define TRIM_MS      1000
#define MEASURE_MASK 63 /* every 64th end measures its stack */

/* ---- the pool --------------------------------------------------------------------- */

static void on_wait_timer(struct timer *t)
{
	struct fiber *f = CONTAINER(t, struct fiber, timer);

	if (!f->is_waiting || f->until == DEADLINE_NEVER)
		return;
	if (f->until > f->loop->now)
		timer_set(t, f->until);
	else
		fiber_wake(f, WAIT_TIMEOUT);
}

/* Stacks are a power of two apart.  Were all of them used from the very top, the
 * hot frames of all fibers would fall on the same few sets of every cache. */
static size_t next_colour(void)
{
	static __thread size_t n;

	return n++ * 1600 % 16384;
}

/* A fiber on a fresh stack, its record at the top. */
static struct fiber *fiber_make(struct loop *l)
{
	char *bottom = stack_map();
	uintptr_t top = (uintptr_t)bottom + stack_usable() - sizeof(struct fiber) - next_colour();
	struct fiber *f = (struct fiber *)(top & ~(uintptr_t)63);

	*f = (struct fiber){ .loop = l };
	context_init(&f->context, bottom, f);
	list_init(&f->link);
	list_init(&f->all);
	timer_init(&f->timer, on_wait_timer);
	return f;
}

static void measure(struct loop *l, struct fiber *f)
{
	size_t depth = stack_depth(f->context.bottom);

	f->is_unmeasured = false;
	if (depth > l->stats.stack_high_bytes)
		l->stats.stack_high_bytes = (uint32_t)depth;
}

/* Unmaps the coldest stacks. */
static void pool_trim(struct loop *l, uint32_t keep)
{
	while (l->stats.stacks_pooled > keep) {
		struct fiber *f = CONTAINER(l->pool.prev, struct fiber, link);
		uintptr_t bottom = (uintptr_t)f->context.bottom;

		list_remove(&f->link);
		l->stats.stacks_pooled--;
		if (f->is_unmeasured)
			measure(l, f);
		context_done(&f->context);
		stack_unmap((void *)bottom);
	}
}

/* Once a second: half of the stacks that nobody took in that second. */
static void on_trim(struct timer *t)
{
	struct loop *l = CONTAINER(t, struct loop, trim);
	uint32_t keep = l->stats.stacks_pooled - l->pool_low / 2;

	pool_trim(l, keep > POOL_KEEP ? keep : POOL_KEEP);
	l->pool_low = l->stats.stacks_pooled;
	if (l->stats.stacks_pooled > POOL_KEEP)
		timer_set(t, l->now + TRIM_MS);
}

void fiber_pool_init(struct loop *l)
{
	list_init(&l->pool);
	timer_init(&l->trim, on_trim);
}

void fiber_pool_done(struct loop *l)
{
	pool_trim(l, 0);
}

static struct fiber *pool_take(struct loop *l)
{
	struct fiber *f;

	if (list_is_empty(&l->pool))
		return fiber_make(l);
	f = CONTAINER(l->pool.next, struct fiber, link);
	list_remove(&f->link);
	if (--l->stats.stacks_pooled < l->pool_low)
		l->pool_low = l->stats.stacks_pooled;
	return f;
}

/* The caller still stands on f's stack. */
static void pool_give(struct loop *l, struct fiber *f)
{
	list_add_front(&l->pool, &f->link);
	f->is_unmeasured = true;
	if (++l->stats.stacks_pooled > POOL_KEEP && list_is_empty(&l->trim.link))
		timer_set(&l->trim, l->now + TRIM_MS);
}

/* ---- start and end ------------------------------------------------------------------ */

static struct fiber *fiber_prepare(const char *name, void (*fn)(void *), void *arg)
{
	struct loop *l = loop_get();
	struct fiber *f = pool_take(l);

	f->name = name;
	f->fn = fn;
	f->arg = arg;
	f->is_waiting = f->is_stubborn = false;
	f->is_cancelled = l->is_stopping;
	list_add(&l->fibers, &f->all);
	l->stats.fibers++;
	return f;
}

struct fiber *fiber_start(const char *name, void (*fn)(void *), void *arg)
{
	struct fiber *f = fiber_prepare(name, fn, arg);

	list_add(&f->loop->ready, &f->link);
	return f;
}

struct fiber *fiber_start_now(const char *name, void (*fn)(void *), void *arg)
{
	struct fiber *f = fiber_prepare(name, fn, arg);
	struct loop *l = f->loop;
	struct fiber *starter = l->current;

	if (!starter) {
		fiber_resume(f);
		return f;
	}
	/* The starter goes on as soon as f suspends or ends. */
	list_add_front(&l->batch, &starter->link);
	l->current = f;
	l->stats.switches++;
	context_switch(&starter->context, &f->context);
	return f;
}

struct start {
	const char *name;
	void (*fn)(void *);
	void *arg;
};

static void start_posted(void *p)
{
	struct start s = *(struct start *)p;

	free(p);
	fiber_start(s.name, s.fn, s.arg);
}

bool fiber_start_on(struct loop *l, const char *name, void (*fn)(void *), void *arg)
{
	struct start *s = malloc(sizeof(*s));
	bool is_posted;

	if (!s)
		die("out of memory for a fiber");
	*s = (struct start){ name, fn, arg };
	is_posted = loop_try_post(l, start_posted, s);
	if (!is_posted)
		free(s);
	return is_posted;
}

static void fiber_end(struct fiber *f)
{
	struct loop *l = f->loop;

	err_forget();
	timer_clear(&f->timer);
	f->asked = NULL;
	list_remove(&f->all);
	l->stats.fibers--;
	l->current = NULL;
	pool_give(l, f);
	if (!(l->ended++ & MEASURE_MASK))
		measure(l, f);
	context_switch(&f->context, &l->context);
}

/* The bottom frame of every fiber: one task after the other. */
NORETURN void fiber_main(void)
{
	for (;;) {
		struct fiber *f = loop_get()->current;

		f->fn(f->arg);
		fiber_end(f);
	}
}

void fiber_resume(struct fiber *f)
{
	struct loop *l = f->loop;

	l->current = f;
	l->stats.switches++;
	context_switch(&l->context, &f->context);
	l->current = NULL;
}

struct fiber *fiber_self(void)
{
	struct loop *l = loop_self();

	return l ? l->current : NULL;
}

struct asked *fiber_asked(void)
{
	struct fiber *f = fiber_self();

	return f ? f->asked : NULL;
}

void fiber_set_asked(struct asked *to)
{
	fiber_self()->asked = to;
}

/* ---- suspending --------------------------------------------------------------------- */

/* The timer is not touched by every wait: it is set when none is, or when it
 * would come too late; coming too early, it sets itself anew. */
enum wait fiber_suspend(struct fiber *f, deadline until)
{
	struct loop *l = f->loop;

	assert(l->current == f);
	f->until = until;
	f->is_waiting = true;
	if (until != DEADLINE_NEVER && (list_is_empty(&f->timer.link) || f->timer.at > until))
		timer_set(&f->timer, until);
	l->current = NULL;
	context_switch(&f->context, &l->context);
	return f->result;
}

void fiber_wake(struct fiber *f, enum wait result)
{
	if (!f->is_waiting)
		return;
	f->is_waiting = false;
	f->result = result;
	list_add(&f->loop->ready, &f->link);
}

void fiber_cancel(struct fiber *f)
{
	f->is_cancelled = true;
	if (!f->is_stubborn)
		fiber_wake(f, WAIT_CANCELLED);
}

bool fiber_is_cancelled(void)
{
	struct fiber *f = fiber_self();

	return f && f->is_cancelled;
}

void fiber_yield(void)
{
	struct fiber *f = fiber_self();

	assert(f);
	list_add(&f->loop->ready, &f->link);
	f->loop->current = NULL;
	context_switch(&f->context, &f->loop->context);
}

enum wait fiber_sleep(deadline until)
{
	struct fiber *f = fiber_self();

	assert(f);
	if (f->is_cancelled)
		return WAIT_CANCELLED;
	if (until > f->loop->now)
		return fiber_suspend(f, until);
	fiber_yield();
	return f->is_cancelled ? WAIT_CANCELLED : WAIT_TIMEOUT;
}
