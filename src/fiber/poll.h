/* SPDX-License-Identifier: Apache-2.0 */
/* The poller, inner door: what a loop needs of the kernel.  One per loop, of one
 * of two kinds: epoll, or io_uring where the kernel has it and lets us.
 *
 * Both tell of readiness.  io_uring can moreover receive ahead for a descriptor
 * that is kept, and send for a fiber that sleeps meanwhile; to epoll nothing is
 * ever kept, so nobody asks it for that. */
#pragma once

#include "fiber/fiber.h"

struct poller {
	const struct poller_kind *kind;
};

struct poller_kind {
	const char *name;

	void (*drop)(struct poller *p);

	/* Watches io->fd from now on: both directions, edges only, what is already
	 * there included; or, for a listener, readable, level-triggered, one loop at a
	 * time.  False when the kernel refuses (errno). */
	bool (*add)(struct poller *p, struct io *io, bool is_listener);

	/* Forgets io; must_tell: even if fd stays open. */
	void (*remove)(struct poller *p, struct io *io, bool must_tell);

	/* Waits for events, -1: for ever; calls io_happened() for each. */
	void (*wait)(struct poller *p, int64_t timeout_ms);

	/* Ends a wait under way, or the next one; any thread. */
	void (*wake)(struct poller *p);

	/* The loop has ended: what was queued for the kernel goes there.  May be NULL,
	 * as all below: then nothing is kept. */
	void (*end)(struct poller *p);

	/* io_keep(), io_take(), io_send(), of an io that is registered. */
	void (*keep)(struct poller *p, struct io *io);
	ssize_t (*take)(struct poller *p, struct io *io, void *bytes, size_t n);
	ssize_t (*send)(struct poller *p, struct io *io, struct iovec *iov, int n, deadline until)
		SUSPENDS;

	/* Tells, once, when a kept io can be written. */
	void (*want_write)(struct poller *p, struct io *io);
};

MUST_CHECK struct err *poll_new(struct poller **ret); /* of the kind that was chosen */
void poll_drop(struct poller **p);

MUST_CHECK struct err *poll_epoll_new(struct poller **ret);
MUST_CHECK struct err *poll_uring_new(struct poller **ret);

/* Implemented by the loop: io has these ready bits now.  Runs no foreign code. */
void io_happened(struct io *io, int ready);

/* What the events of poll(2) and epoll mean in ready bits. */
int poll_ready_bits(uint32_t events);
