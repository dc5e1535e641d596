/* SPDX-License-Identifier: Apache-2.0 */
/* Which poller loops get. */
#include "fiber/poll.h"

#include "base/log.h"
#include <stdatomic.h>
#include <sys/epoll.h>

static _Atomic enum loop_backend chosen = LOOP_EPOLL;

struct err *loop_choose(enum loop_backend b)
{
	struct poller *trial CLEANUP(poll_drop) = NULL;
	struct err *e = b == LOOP_EPOLL ? NULL : poll_uring_new(&trial);

	if (e && b == LOOP_URING)
		return e;
	atomic_store(&chosen, trial ? LOOP_URING : LOOP_EPOLL);
	return NULL;
}

const char *loop_backend_name(void)
{
	return atomic_load(&chosen) == LOOP_URING ? "io_uring" : "epoll";
}

struct err *poll_new(struct poller **ret)
{
	return atomic_load(&chosen) == LOOP_URING ? poll_uring_new(ret) : poll_epoll_new(ret);
}

void poll_drop(struct poller **ref)
{
	struct poller *p = TAKE(*ref);

	if (p)
		p->kind->drop(p);
}

int poll_ready_bits(uint32_t events)
{
	int ready = 0;

	if (events & EPOLLIN)
		ready |= IO_READ;
	if (events & EPOLLOUT)
		ready |= IO_WRITE;
	if (events & EPOLLRDHUP)
		ready |= IO_READ | IO_HUP;
	if (events & (EPOLLHUP | EPOLLERR))
		ready |= IO_READ | IO_WRITE | IO_HUP;
	return ready;
}
