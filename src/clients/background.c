/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/background.h"

#include "base/mem.h"
#include "clients/peer.h"
#include "clients/priv.h"
#include "clients/redis.h"
#include "net/block.h"
#include <pthread.h>
#include <stdatomic.h>

#define LOOK_MS 10 /* between two looks at queues that are to become empty */

static struct {
	_Atomic(struct loop *) loop;
	pthread_t thread;
	void (*leave)(void);
} background;

struct loop *background_loop(void)
{
	return atomic_load(&background.loop);
}

static void *run(void *p)
{
	loop_run(p);
	if (background.leave)
		background.leave();
	redis_leave();
	peers_leave();
	block_trim();
	err_forget();
	return NULL;
}

struct err *background_start(void (*leave)(void))
{
	struct loop *l;
	int no;

	background.leave = leave;
	PASS(loop_new("background", 0, &l));
	no = pthread_create(&background.thread, NULL, run, l);
	if (no) {
		loop_drop(&l);
		return FAIL(ERR_SYSTEM, "cannot start a thread: %s", strerrordesc_np(no));
	}
	atomic_store(&background.loop, l);
	return NULL;
}

/* ---- stopping ------------------------------------------------------------------------------ */

struct stopping {
	struct loop *loop;
	int64_t flush_ms;
};

static void flush(void *p)
{
	struct stopping *s = p;
	deadline until = deadline_in(s->flush_ms);

	queues_flush();
	while (!queues_are_empty() && loop_now_ms() < until)
		if (fiber_sleep(deadline_in(LOOK_MS)) == WAIT_CANCELLED)
			break;
	loop_stop(s->loop);
}

void background_stop(int64_t flush_ms)
{
	struct stopping s = { background_loop(), flush_ms };

	if (!s.loop)
		return;
	fiber_start_on(s.loop, "flush", flush, &s);
	pthread_join(background.thread, NULL);
	atomic_store(&background.loop, NULL);
	loop_drop(&s.loop);
	queues_tell_lost();
}

/* ---- timers --------------------------------------------------------------------------------- */

struct periodic {
	int64_t ms;
	void (*fn)(void *arg);
	void *arg;
};

static void repeat(void *p)
{
	struct periodic *t = p;

	while (fiber_sleep(deadline_in(t->ms)) == WAIT_TIMEOUT) {
		t->fn(t->arg);
		err_forget();
	}
	mem_free(t);
}

void timer_every(const char *name, int64_t ms, void (*fn)(void *arg), void *arg)
{
	struct loop *l = background_loop();
	struct periodic *t;

	if (!l)
		return;
	t = MEM_NEW(struct periodic);
	*t = (struct periodic){ ms > 0 ? ms : 1, fn, arg };
	fiber_start_on(l, name, repeat, t);
}
