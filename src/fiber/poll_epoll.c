/* SPDX-License-Identifier: Apache-2.0 */
/* The poller over epoll.
 *
 * Events carry the descriptor, and a table leads from there to the io.  So
 * forgetting an io is no system call, and an event that comes late - a copy of
 * the descriptor lives on in a forked child - finds nobody or, when the number
 * was given out again, wakes its new owner in vain, which ready bits allow. */
#include "fiber/poll.h"

#include "base/log.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS 256 /* taken per call */

struct epoll_poller {
	struct poller common;
	int fd, wake_fd;
	int n_ios;
	struct io **ios; /* by descriptor; NULL: not watched */
	struct epoll_event events[EVENTS];
};

static struct epoll_poller *own(struct poller *p)
{
	return CONTAINER(p, struct epoll_poller, common);
}

static void epoll_drop(struct poller *common)
{
	struct epoll_poller *p = own(common);

	if (p->fd >= 0)
		close(p->fd);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	free(p->ios);
	free(p);
}

static void grow_table(struct epoll_poller *p, int fd)
{
	int n = p->n_ios ? p->n_ios : 64;

	while (n <= fd)
		n = n > INT_MAX / 2 ? INT_MAX : n * 2;
	p->ios = reallocarray(p->ios, (size_t)n, sizeof(*p->ios));
	if (!p->ios)
		die("out of memory for %d descriptors", n);
	memset(p->ios + p->n_ios, 0, (size_t)(n - p->n_ios) * sizeof(*p->ios));
	p->n_ios = n;
}

static bool epoll_add(struct poller *common, struct io *io, bool is_listener)
{
	struct epoll_poller *p = own(common);
	struct epoll_event ev = {
		.events = is_listener ? EPOLLIN | EPOLLEXCLUSIVE
				      : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.fd = io->fd,
	};

	if (io->fd < 0) {
		errno = EBADF;
		return false;
	}
	if (epoll_ctl(p->fd, EPOLL_CTL_ADD, io->fd, &ev) < 0) {
		/* Forgotten without a word and now back: MOD tells its state anew. */
		if (errno != EEXIST || is_listener ||
		    epoll_ctl(p->fd, EPOLL_CTL_MOD, io->fd, &ev) < 0)
			return false;
	}
	if (io->fd >= p->n_ios)
		grow_table(p, io->fd);
	p->ios[io->fd] = io;
	return true;
}

static void epoll_remove(struct poller *common, struct io *io, bool must_tell)
{
	struct epoll_poller *p = own(common);

	if (io->fd < 0 || io->fd >= p->n_ios || p->ios[io->fd] != io)
		return;
	p->ios[io->fd] = NULL;
	if (must_tell)
		epoll_ctl(p->fd, EPOLL_CTL_DEL, io->fd, NULL);
}

static void epoll_wait_for(struct poller *common, int64_t timeout_ms)
{
	struct epoll_poller *p = own(common);
	int timeout = timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
	int n = epoll_wait(p->fd, p->events, EVENTS, timeout);

	if (n < 0 && errno != EINTR)
		die("epoll_wait: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		int fd = p->events[i].data.fd;

		/* The eventfd needs no reading: each write is an edge of its own. */
		if (fd != p->wake_fd && fd < p->n_ios && p->ios[fd])
			io_happened(p->ios[fd], poll_ready_bits(p->events[i].events));
	}
}

static void epoll_wake(struct poller *common)
{
	static const uint64_t one = 1;
	struct epoll_poller *p = own(common);

	/* Fails only when the counter is full, and then the edge is there. */
	if (write(p->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("cannot wake a loop: %s", strerror(errno));
}

static const struct poller_kind kind = {
	.name = "epoll",
	.drop = epoll_drop,
	.add = epoll_add,
	.remove = epoll_remove,
	.wait = epoll_wait_for,
	.wake = epoll_wake,
};

struct err *poll_epoll_new(struct poller **ret)
{
	struct epoll_poller *p = calloc(1, sizeof(*p));
	struct poller *made CLEANUP(poll_drop) = p ? &p->common : NULL;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	if (!p)
		die("out of memory for a poller");
	p->common.kind = &kind;
	p->fd = epoll_create1(EPOLL_CLOEXEC);
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->fd < 0 || p->wake_fd < 0)
		return FAIL_ERRNO("cannot make an event loop's descriptors");
	ev.data.fd = p->wake_fd;
	if (epoll_ctl(p->fd, EPOLL_CTL_ADD, p->wake_fd, &ev) < 0)
		return FAIL_ERRNO("cannot watch an eventfd");
	*ret = TAKE(made);
	return NULL;
}
