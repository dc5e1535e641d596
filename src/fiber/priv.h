/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of fiber/ share.
 *
 *	fiber_start ─► ready ─► running ─┬─ suspend ─► waiting ─┬─ fiber_wake ─► ready
 *	                                 │                      └─ (io, timer, gate, cancel)
 *	                                 └─ returned ─► pooled, on its stack
 *
 * A fiber's record lies at the top of its stack, and the pool keeps both: the
 * fiber that ended waits in fiber_main() for its next task, so that a start is
 * a few pointers. */
#pragma once

#include "fiber/fiber.h"
#include "fiber/poll.h"
#include "fiber/timer.h"
#include <pthread.h>
#include <stdatomic.h>

/* ---- switch.c ------------------------------------------------------------------ */

/* One side of a switch: a fiber, or the thread's own stack under the loop. */
struct context {
	void *at;           /* fcontext_t while it does not run */
	struct arena *errs; /* its error arena while it does not run */
	const void *bottom; /* lowest address of the stack, for the sanitizers */
	size_t size;
	void *fake_stack, *tsan;
};

void context_of_thread(struct context *c);
void context_init(struct context *c, void *bottom, void *top); /* will run fiber_main() */
void context_done(struct context *c);
void context_switch(struct context *from, struct context *to);

/* ---- stack.c ------------------------------------------------------------------- */

#define STACK_SIZE ((size_t)256 * 1024) /* guard page included */

void *stack_map(void); /* its lowest usable address */
void stack_unmap(void *bottom);
size_t stack_usable(void);
size_t stack_depth(const void *bottom); /* the deepest page ever touched, in bytes */

/* ---- fiber.c ------------------------------------------------------------------- */

struct fiber {
	struct context context;
	struct loop *loop;
	const char *name;
	void (*fn)(void *);
	void *arg;
	struct list link;   /* in loop's ready, or pool */
	struct list all;    /* in loop's fibers */
	struct timer timer; /* set to `until` or earlier: see fiber_suspend() */
	deadline until;
	enum wait result;
	struct asked *asked; /* where it notes what it asks, or NULL */
	bool is_waiting, is_cancelled;
	bool is_stubborn;   /* this wait does not end by cancelling */
	bool is_unmeasured; /* ran since its stack was measured */
};

/* Suspends the running fiber until somebody wakes it or the deadline passes. */
enum wait fiber_suspend(struct fiber *f, deadline until);

/* Ends its wait with this result; does nothing when it is not waiting. */
void fiber_wake(struct fiber *f, enum wait result);

NORETURN void fiber_main(void);
void fiber_resume(struct fiber *f); /* the loop runs it until it suspends or ends */
void fiber_pool_init(struct loop *l);
void fiber_pool_done(struct loop *l);

/* ---- loop.c -------------------------------------------------------------------- */

struct post {
	void (*fn)(void *);
	void *arg;
};

struct posts {
	struct post *v;
	size_t n, cap;
};

struct loop {
	struct context context; /* the thread's stack, while a fiber runs */
	struct fiber *current;
	struct list ready;     /* fibers to resume in the next turn */
	struct list batch;     /* fibers to resume in this turn */
	struct list ready_ios; /* whose on_ready is to be called */
	deadline now;
	struct poller *poller;
	struct wheel wheel;
	struct list fibers; /* all that have not returned */
	struct list pool;   /* stacks at rest, the warmest first */
	uint32_t pool_low;  /* the fewest at rest since the last trim */
	struct timer trim;
	uint64_t ended; /* fibers */
	struct list hooks;
	struct loop_stats stats;
	int64_t turn_ms; /* what the turn took, roughly */
	deadline quiet_until;
	const char *name;
	int index;
	bool is_stopping;

	atomic_bool has_posts, is_asleep; /* each side sets its own, then reads the other's */
	pthread_mutex_t lock;             /* over what follows */
	struct posts posts;
	bool is_closed;     /* nothing posted runs any more */
	struct posts taken; /* loop's own: the posts being run */
};

struct loop *loop_get(void); /* the running loop; there must be one */

/* loop_post(), or false when the loop has ended. */
bool loop_try_post(struct loop *l, void (*fn)(void *), void *arg);

/* ---- wait.c -------------------------------------------------------------------- */

struct waiter {
	struct waiter *next; /* another one at the same io */
	struct fiber *fiber;
	struct io *io;
	int what;
};
