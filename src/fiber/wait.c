/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for descriptors and at gates.
 *
 * Edges are remembered as ready bits.  No edge can be missed: they are gathered
 * only by this thread's own poll, so between the call that would have blocked
 * and the wait that follows the kernel keeps them. */
#include "fiber/priv.h"

#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void io_init(struct io *io, int fd)
{
	*io = (struct io){ .fd = fd };
	list_init(&io->link);
}

void io_init_told(struct io *io)
{
	io_init(io, -1);
	io->loop = loop_get();
	io->is_registered = true;
}

void io_tell(struct io *io, int ready)
{
	io_happened(io, ready);
}

void io_done(struct io *io)
{
	if (io->is_registered && io->fd >= 0)
		io->loop->poller->kind->remove(io->loop->poller, io, io->is_listener);
	for (struct waiter *w = io->waiter; w; w = w->next) {
		w->io = NULL;
		fiber_wake(w->fiber, WAIT_CANCELLED);
	}
	io->waiter = NULL;
	io->on_ready = NULL;
	io->is_registered = io->is_listener = io->is_kept = false;
	io->ready = 0;
	list_remove(&io->link);
}

/* When the kernel refuses, the socket is shut down and everything ready: the
 * call that is tried next will tell its caller to give up. */
static void io_register(struct io *io, bool is_listener)
{
	struct loop *l = loop_get();

	io->loop = l;
	io->is_listener = is_listener;
	io->is_registered = true;
	if (l->poller->kind->add(l->poller, io, is_listener))
		return;
	if (errno != EPERM) { /* that is a regular file, and always ready */
		log_error("cannot watch descriptor %d: %s", io->fd, strerror(errno));
		shutdown(io->fd, SHUT_RDWR);
	}
	io_happened(io, IO_READ | IO_WRITE | IO_HUP);
}

static void waiter_add(struct waiter *w, struct fiber *f, const struct io_want *want)
{
	*w = (struct waiter){ want->io->waiter, f, want->io, want->what };
	want->io->waiter = w;
}

static void waiter_remove(struct waiter *w)
{
	struct waiter **at;

	if (!w->io) /* it was forgotten meanwhile, and may be gone */
		return;
	for (at = &w->io->waiter; *at != w; at = &(*at)->next)
		;
	*at = w->next;
}

static inline bool io_is_ready(struct io *io, int what)
{
	if (unlikely(!io->is_registered))
		io_register(io, false);
	if (unlikely(io->is_kept && what == IO_WRITE && !(io->ready & IO_WRITE)))
		io->loop->poller->kind->want_write(io->loop->poller, io);
	return io->ready & what;
}

enum wait io_wait(struct io *io, int what, deadline until)
{
	struct fiber *f = fiber_self();
	struct waiter w;
	enum wait result;

	assert(f);
	if (f->is_cancelled)
		return WAIT_CANCELLED;
	if (io_is_ready(io, what))
		return WAIT_OK;
	if (until <= f->loop->now)
		return WAIT_TIMEOUT;
	waiter_add(&w, f, &(struct io_want){ io, what });
	result = fiber_suspend(f, until);
	waiter_remove(&w);
	return w.io ? result : WAIT_CANCELLED;
}

static bool any_ready(const struct io_want *want, int n, int *ret_index)
{
	for (int i = 0; i < n; i++)
		if (io_is_ready(want[i].io, want[i].what)) {
			*ret_index = i;
			return true;
		}
	return false;
}

enum wait io_wait_any(const struct io_want *want, int n, deadline until, int *ret_index)
{
	struct fiber *f = fiber_self();
	struct waiter w[IO_WANTS_MAX];
	enum wait result;
	bool is_whole = true;

	assert(f && n > 0 && n <= IO_WANTS_MAX);
	if (f->is_cancelled)
		return WAIT_CANCELLED;
	if (any_ready(want, n, ret_index))
		return WAIT_OK;
	if (until <= f->loop->now)
		return WAIT_TIMEOUT;
	for (int i = 0; i < n; i++)
		waiter_add(&w[i], f, &want[i]);
	result = fiber_suspend(f, until);
	for (int i = n - 1; i >= 0; i--) {
		is_whole &= w[i].io != NULL;
		waiter_remove(&w[i]);
	}
	if (!is_whole)
		return WAIT_CANCELLED;
	if (result == WAIT_OK && !any_ready(want, n, ret_index))
		*ret_index = 0; /* somebody else took it: trying will tell */
	return result;
}

/* ---- parking and listening ------------------------------------------------------------ */

void io_park(struct io *io, void (*on_ready)(struct io *))
{
	if (!io->is_registered)
		io_register(io, false);
	io->on_ready = on_ready;
	if ((io->ready & IO_READ) && list_is_empty(&io->link))
		list_add(&io->loop->ready_ios, &io->link);
}

void io_park_again(struct io *io, void (*on_ready)(struct io *))
{
	io->on_ready = on_ready;
}

void io_unpark(struct io *io)
{
	io->on_ready = NULL;
	list_remove(&io->link);
}

void io_listen(struct io *io, void (*on_ready)(struct io *))
{
	io->on_ready = on_ready;
	io_register(io, true);
}

/* ---- kept ones ------------------------------------------------------------------------- */

void io_keep(struct io *io)
{
	struct poller *p;

	if (io->is_kept)
		return;
	p = loop_get()->poller;
	if (!p->kind->keep)
		return;
	if (!io->is_registered)
		io_register(io, false);
	p->kind->keep(p, io);
}

ssize_t io_take(struct io *io, void *p, size_t n)
{
	return io->loop->poller->kind->take(io->loop->poller, io, p, n);
}

ssize_t io_send(struct io *io, struct iovec *iov, int n, deadline until)
{
	return io->loop->poller->kind->send(io->loop->poller, io, iov, n, until);
}

/* ---- gates ------------------------------------------------------------------------------ */

struct gate_waiter {
	struct list link;
	struct fiber *fiber;
};

void gate_init(struct gate *g)
{
	list_init(&g->waiters);
}

enum wait gate_wait(struct gate *g, deadline until)
{
	struct fiber *f = fiber_self();
	struct gate_waiter w = { .fiber = f };
	enum wait result;

	assert(f);
	if (f->is_cancelled)
		return WAIT_CANCELLED;
	if (until <= f->loop->now)
		return WAIT_TIMEOUT;
	list_add(&g->waiters, &w.link);
	result = fiber_suspend(f, until);
	list_remove(&w.link);
	return result;
}

/* One whose wait has ended already - by cancelling, by time - does not count. */
void gate_wake_one(struct gate *g)
{
	while (!list_is_empty(&g->waiters)) {
		struct gate_waiter *w = CONTAINER(g->waiters.next, struct gate_waiter, link);
		bool was_waiting = w->fiber->is_waiting;

		list_remove(&w->link);
		fiber_wake(w->fiber, WAIT_OK);
		if (was_waiting)
			return;
	}
}

void gate_wake_all(struct gate *g)
{
	while (!list_is_empty(&g->waiters)) {
		struct gate_waiter *w = CONTAINER(g->waiters.next, struct gate_waiter, link);

		list_remove(&w->link);
		fiber_wake(w->fiber, WAIT_OK);
	}
}
