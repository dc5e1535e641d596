/* SPDX-License-Identifier: Apache-2.0 */
/* fiber - straight-line code on event loops.
 *
 * A loop is one thread with a poller (epoll or io_uring), a clock and timers.  It runs
 * stackful fibers: a fiber calls something that must wait, is suspended, and
 * goes on below when it may.  What holds always:
 *
 *  1. A fiber lives and dies on one loop, hence on one thread.
 *  2. A fiber ends only by returning.  fiber_cancel() sets a flag and wakes it;
 *     the call it waits in answers WAIT_CANCELLED and it unwinds by itself.
 *  3. Every wait has a deadline; DEADLINE_NEVER must be written out.
 *  4. Across a suspension hold nothing borrowed from the thread: no mutex, no
 *     errno, no OpenSSL error queue.
 *
 * Calls marked SUSPENDS may suspend; all others never do.  Unless a call says
 * "any thread", it is for the loop's own thread.  Stacks are 256 KiB of address
 * space with a guard page, pooled per loop, touched lazily. */
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include <sys/types.h>

struct loop;
struct asked;
struct fiber;
struct iovec;
struct slot;

enum wait {
	WAIT_OK,
	WAIT_TIMEOUT,
	WAIT_CANCELLED,
};

/* ---- loops ------------------------------------------------------------------ */

/* What loops made from now on stand on.  LOOP_AUTO is io_uring where the kernel has
 * what we use of it (Linux 6.1) and no policy forbids it, else epoll, which loops
 * use when nothing is chosen.  An error: LOOP_URING cannot be had. */
enum loop_backend { LOOP_AUTO, LOOP_EPOLL, LOOP_URING };
MUST_CHECK struct err *loop_choose(enum loop_backend b);
const char *loop_backend_name(void);

/* A loop for the calling thread to run later, or for another: it belongs to
 * the thread that calls loop_run().  `name` is borrowed and shows in logs. */
MUST_CHECK struct err *loop_new(const char *name, int index, struct loop **ret);
void loop_drop(struct loop **l); /* after loop_run() returned */

/* Runs until loop_stop(); then cancels what still runs, waits for it to
 * unwind, and returns. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread */

/* Runs h->fn on the loop's thread when it is asked to stop, before the fibers
 * are cancelled; the last added first.  For owners of what no fiber unwinds:
 * parked descriptors, listeners, timers.  To be added on the loop's thread or
 * before it runs; list_remove(&h->link) takes it back. */
struct loop_hook {
	struct list link;
	void (*fn)(struct loop_hook *);
};
void loop_at_stop(struct loop *l, struct loop_hook *h, void (*fn)(struct loop_hook *));

struct loop *loop_self(void); /* the loop this thread runs, or NULL */
int loop_index(const struct loop *l);

/* The loop's clock, read once per turn. */
int64_t loop_now_ms(void);

static inline deadline deadline_in(int64_t ms) /* of the running loop's clock */
{
	return loop_now_ms() + ms;
}

/* Runs fn(arg) on that loop, soon, outside of any fiber; it must not suspend.
 * Any thread.  Calls from one thread run in order.  Once loop_run() returned,
 * what is posted is dropped. */
void loop_post(struct loop *l, void (*fn)(void *), void *arg);

struct loop_stats {
	uint64_t turns, switches, slow_turns; /* slow: over 10 ms */
	uint32_t fibers, stacks_pooled;
	uint32_t stack_high_bytes; /* the deepest a finished fiber's stack went */
};
struct loop_stats loop_stats(const struct loop *l);

/* ---- fibers ----------------------------------------------------------------- */

/* Starts fn(arg) as a fiber of the running loop; it first runs at the next
 * turn.  The handle is valid until the fiber returned; `name` is borrowed. */
struct fiber *fiber_start(const char *name, void (*fn)(void *), void *arg);

/* The same, and switches to it at once (from the loop or a fiber). */
struct fiber *fiber_start_now(const char *name, void (*fn)(void *), void *arg);

/* Starts it on another loop; any thread.  False: that one has ended. */
bool fiber_start_on(struct loop *l, const char *name, void (*fn)(void *), void *arg);

struct fiber *fiber_self(void); /* NULL outside of a fiber */
void fiber_cancel(struct fiber *f);
bool fiber_is_cancelled(void); /* the running one */

/* Where the running fiber, and whom it asks by fiber_ask(), notes what it asks others
 * (base/asked.h); NULL, as for fibers that begin: nowhere. */
struct asked *fiber_asked(void); /* NULL outside of a fiber */
void fiber_set_asked(struct asked *to);

enum wait fiber_sleep(deadline until) SUSPENDS; /* WAIT_TIMEOUT when it slept */
void fiber_yield(void) SUSPENDS;                /* lets others run; goes on in the next turn */

/* A place to wait in until somebody says go.  Loop's own. */
struct gate {
	struct list waiters;
};
void gate_init(struct gate *g);
enum wait gate_wait(struct gate *g, deadline until) SUSPENDS;
void gate_wake_one(struct gate *g);
void gate_wake_all(struct gate *g);

/* ---- descriptors ------------------------------------------------------------ */

/* A descriptor on a loop.  Registered once, edge-triggered, for both
 * directions, at its first wait; the ready bits remember what the edges said
 * until a call that would block clears them. */
enum { IO_READ = 1, IO_WRITE = 2, IO_HUP = 4 /* peer closed or error: reading will tell */ };

struct io {
	int fd; /* -1: closed, or told */
	uint8_t ready;
	bool is_registered, is_listener, is_kept;
	struct loop *loop;
	struct slot *slot;             /* the poller's own */
	struct waiter *waiter;         /* those who wait in io_wait*, or NULL */
	void (*on_ready)(struct io *); /* parked: called once, outside of any fiber */
	struct list link;              /* while on_ready is about to be called */
};

void io_init(struct io *io, int fd); /* fd must be non-blocking; borrowed */
void io_done(struct io *io); /* forget it; call before close(fd); waits on it end as cancelled */

/* An io without a descriptor, of the running loop: what it is ready for its owner tells,
 * for a stream of a connection that several share.  All of the waits below work on it. */
void io_init_told(struct io *io);
void io_tell(struct io *io, int ready);

static inline void io_clear(struct io *io, int what) /* EAGAIN or a short read came back */
{
	io->ready &= (uint8_t)~what;
}

/* Until fd is ready for what (IO_READ or IO_WRITE).  One fiber may wait for
 * each direction. */
enum wait io_wait(struct io *io, int what, deadline until) SUSPENDS;

/* Until one of them is; `index` says which (the first found ready).  At most
 * IO_WANTS_MAX. */
#define IO_WANTS_MAX 16
struct io_want {
	struct io *io;
	int what;
};
enum wait io_wait_any(const struct io_want *want, int n, deadline until, int *ret_index) SUSPENDS;

/* Parks: no fiber waits; on_ready is called when it becomes readable or hangs
 * up (at once, in the next turn, when it is already).  io_unpark takes it back. */
void io_park(struct io *io, void (*on_ready)(struct io *));
void io_unpark(struct io *io);

/* Within on_ready: goes on waiting, for what happens from now on. */
void io_park_again(struct io *io, void (*on_ready)(struct io *));

/* io is a connected stream socket that will be used again and again, by no means but
 * these.  The loop may now receive for it ahead (is_kept), until it finds that too
 * much comes for that: then io is as before, and recv() gets what follows. */
void io_keep(struct io *io);

/* Of a kept io: bytes that were received; 0 at the end, -EAGAIN, -errno. */
ssize_t io_take(struct io *io, void *p, size_t n);

/* Of a kept io: sends all of iov, together with what other fibers send in this turn.
 * How much was sent, or, when that is nothing, -errno (-ETIMEDOUT, -ECANCELED). */
ssize_t io_send(struct io *io, struct iovec *iov, int n, deadline until) SUSPENDS;

/* For listeners: level-triggered readable, EPOLLEXCLUSIVE, until io_done. */
void io_listen(struct io *io, void (*on_ready)(struct io *));

/* ---- timers ----------------------------------------------------------------- */

/* A timer of the loop: embedded, O(1) to set and to clear, resolution about a
 * millisecond.  fn runs outside of any fiber and must not suspend. */
struct timer {
	struct list link;
	deadline at;
	void (*fn)(struct timer *);
};
void timer_init(struct timer *t, void (*fn)(struct timer *));
void timer_set(struct timer *t, deadline at); /* also when it was set already */
void timer_clear(struct timer *t);

/* ---- channels --------------------------------------------------------------- */

/* Pointers from any thread (fiber or not) to fibers of one loop, in order. */
struct chan;
struct chan *chan_new(struct loop *to, size_t cap);
void chan_drop(struct chan **c);
bool chan_try_send(struct chan *c, void *p); /* any thread; false when full */
enum wait chan_receive(struct chan *c, void **ret, deadline until) SUSPENDS; /* on `to` */

/* ---- offload ---------------------------------------------------------------- */

/* Threads for what must block.  Started once per process. */
MUST_CHECK struct err *offload_start(int threads);
void offload_stop(void); /* after the loops ended; waits for running jobs */

/* Runs fn(arg) there; the fiber waits until it is done (it cannot be cancelled,
 * for the job uses the fiber's memory). */
void offload(void (*fn)(void *), void *arg) SUSPENDS;

/* Runs fn(arg) there, nobody waits; any thread. */
void offload_detached(void (*fn)(void *), void *arg);

/* The same for what takes the processor for long and no client waits for: one after the
 * other, on a thread that gives way to all others. */
void offload_long(void (*fn)(void *), void *arg) SUSPENDS;
void offload_long_detached(void (*fn)(void *), void *arg);

/* Runs fn(arg) as a fiber of another loop, while this one waits; like offload(), it cannot be
 * cancelled.  False, and nothing ran: that loop has ended.  It must outlive those of who asks. */
bool fiber_ask(struct loop *l, const char *name, void (*fn)(void *), void *arg) SUSPENDS;
