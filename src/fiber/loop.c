/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: turns of poll, timers, posts, callbacks, fibers.
 *
 * Events only set bits and queue who is concerned; code that may close and free
 * things runs afterwards.  A fiber made ready during a turn runs in the next
 * one, so no chain of wakings keeps the others waiting. */
#include "fiber/priv.h"

#include "base/log.h"
#include <assert.h>
#include <stdlib.h>
#include <time.h>

#define SLOW_TURN_MS 10
#define QUIET_MS     10000 /* between two notices about slow turns */

static __thread struct loop *running;

struct loop *loop_self(void)
{
	return running;
}

struct loop *loop_get(void)
{
	assert(running);
	return running;
}

int loop_index(const struct loop *l)
{
	return l->index;
}

int64_t loop_now_ms(void)
{
	return running ? running->now : clock_mono_ms();
}

struct err *loop_new(const char *name, int index, struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct err *e;

	if (!l)
		die("out of memory for a loop");
	e = poll_new(&l->poller);
	if (e) {
		free(l);
		return e;
	}
	l->name = name;
	l->index = index;
	l->now = clock_mono_ms();
	list_init(&l->ready);
	list_init(&l->batch);
	list_init(&l->ready_ios);
	list_init(&l->fibers);
	list_init(&l->hooks);
	wheel_init(&l->wheel, l->now);
	fiber_pool_init(l);
	pthread_mutex_init(&l->lock, NULL);
	*ret = l;
	return NULL;
}

void loop_drop(struct loop **ref)
{
	struct loop *l = TAKE(*ref);

	if (!l)
		return;
	assert(l != running && list_is_empty(&l->fibers));
	pthread_mutex_lock(&l->lock); /* the last poster has let go of it */
	l->is_closed = true;
	pthread_mutex_unlock(&l->lock);
	fiber_pool_done(l);
	wheel_done(&l->wheel);
	poll_drop(&l->poller);
	pthread_mutex_destroy(&l->lock);
	free(l->posts.v);
	free(l->taken.v);
	free(l);
}

/* ---- posts -------------------------------------------------------------------------- */

bool loop_try_post(struct loop *l, void (*fn)(void *), void *arg)
{
	struct posts *q = &l->posts;
	bool is_open;

	pthread_mutex_lock(&l->lock);
	is_open = !l->is_closed;
	if (is_open && q->n == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 64;
		q->v = reallocarray(q->v, q->cap, sizeof(*q->v));
		if (!q->v)
			die("out of memory for %zu posts", q->cap);
	}
	if (is_open) {
		q->v[q->n++] = (struct post){ fn, arg };
		/* The loop first says that it sleeps, then looks for posts; we
		 * do it the other way round.  One of us sees the other, and a
		 * loop that is awake costs no system call. */
		atomic_store(&l->has_posts, true);
		if (atomic_exchange(&l->is_asleep, false))
			l->poller->kind->wake(l->poller);
	}
	pthread_mutex_unlock(&l->lock);
	return is_open;
}

void loop_post(struct loop *l, void (*fn)(void *), void *arg)
{
	loop_try_post(l, fn, arg);
}

static void run_posts(struct loop *l)
{
	struct posts swap;

	if (!atomic_load_explicit(&l->has_posts, memory_order_acquire))
		return;
	pthread_mutex_lock(&l->lock);
	atomic_store(&l->has_posts, false);
	swap = l->posts;
	l->posts = l->taken;
	l->taken = swap;
	pthread_mutex_unlock(&l->lock);

	for (size_t i = 0; i < l->taken.n; i++)
		l->taken.v[i].fn(l->taken.v[i].arg);
	l->taken.n = 0;
}

/* ---- descriptors that became ready -------------------------------------------------- */

void io_happened(struct io *io, int ready)
{
	struct loop *l = io->loop;
	struct waiter *w;

	io->ready |= (uint8_t)ready;
	for (w = io->waiter; w; w = w->next)
		if (io->ready & w->what)
			fiber_wake(w->fiber, WAIT_OK);
	if (io->on_ready && (io->ready & IO_READ) && list_is_empty(&io->link))
		list_add(&l->ready_ios, &io->link);
}

static void run_ready_ios(struct loop *l)
{
	struct list now;

	list_init(&now);
	list_add_all(&now, &l->ready_ios);
	while (!list_is_empty(&now)) {
		struct io *io = CONTAINER(now.next, struct io, link);
		void (*fn)(struct io *) = io->on_ready;

		list_remove(&io->link);
		if (!io->is_listener)
			io->on_ready = NULL;
		fn(io);
	}
}

/* ---- the turn ----------------------------------------------------------------------- */

/* A few nanoseconds, a few milliseconds exact. */
static int64_t coarse_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void tell_slow_turn(struct loop *l, int64_t took, int64_t slowest, const char *name)
{
	l->stats.slow_turns++;
	if (l->now < l->quiet_until)
		return;
	l->quiet_until = l->now + QUIET_MS;
	log_notice("%s %d: a turn took %d ms; longest was %s with %d ms (%llu slow turns so far)",
		   l->name, l->index, (int)took, name, (int)slowest,
		   (unsigned long long)l->stats.slow_turns);
}

/* Runs what is ready now; what becomes so meanwhile waits for the next turn. */
static void run_fibers(struct loop *l, int64_t began)
{
	int64_t at = coarse_ms(), slowest = at - began;
	const char *name = "the callbacks";

	list_add_all(&l->batch, &l->ready);
	while (!list_is_empty(&l->batch)) {
		struct fiber *f = CONTAINER(l->batch.next, struct fiber, link);
		int64_t before = at;
		const char *its_name = f->name;

		list_remove(&f->link);
		fiber_resume(f);
		at = coarse_ms();
		if (at - before > slowest) {
			slowest = at - before;
			name = its_name;
		}
	}
	l->turn_ms = at - began;
	if (l->turn_ms > SLOW_TURN_MS)
		tell_slow_turn(l, l->turn_ms, slowest, name);
}

static int64_t poll_timeout(struct loop *l)
{
	deadline next;
	int64_t left;

	if (!list_is_empty(&l->ready) || !list_is_empty(&l->ready_ios))
		return 0;
	next = wheel_next(&l->wheel);
	if (next == DEADLINE_NEVER)
		return -1;
	left = next - l->now - l->turn_ms;
	return left > 0 ? left : 0;
}

static void loop_turn(struct loop *l)
{
	int64_t timeout = poll_timeout(l), began;

	if (timeout != 0) {
		atomic_store(&l->is_asleep, true);
		if (atomic_load(&l->has_posts))
			timeout = 0;
		l->poller->kind->wait(l->poller, timeout);
		atomic_store(&l->is_asleep, false);
	} else {
		l->poller->kind->wait(l->poller, 0);
	}
	l->now = clock_mono_ms();
	l->stats.turns++;
	began = coarse_ms();
	wheel_advance(&l->wheel, l->now);
	run_posts(l);
	run_ready_ios(l);
	run_fibers(l, began);
}

/* ---- running and stopping ----------------------------------------------------------- */

static void stop_posted(void *p)
{
	struct loop *l = p;

	if (l->is_stopping)
		return;
	l->is_stopping = true;
	while (!list_is_empty(&l->hooks)) {
		struct loop_hook *h = CONTAINER(l->hooks.next, struct loop_hook, link);

		list_remove(&h->link);
		h->fn(h);
	}
	list_for_each (&l->fibers, struct fiber, all, f)
		fiber_cancel(f);
}

void loop_stop(struct loop *l)
{
	loop_post(l, stop_posted, l);
}

void loop_at_stop(struct loop *l, struct loop_hook *h, void (*fn)(struct loop_hook *))
{
	h->fn = fn;
	list_add_front(&l->hooks, &h->link);
}

/* From here on nothing can be posted; false when something still is. */
static bool close_posts(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->is_closed = l->posts.n == 0;
	pthread_mutex_unlock(&l->lock);
	return l->is_closed;
}

void loop_run(struct loop *l)
{
	assert(!running);
	running = l;
	context_of_thread(&l->context);
	while (!(l->is_stopping && list_is_empty(&l->fibers) && close_posts(l)))
		loop_turn(l);
	if (l->poller->kind->end)
		l->poller->kind->end(l->poller);
	running = NULL;
}

struct loop_stats loop_stats(const struct loop *l)
{
	return l->stats;
}
