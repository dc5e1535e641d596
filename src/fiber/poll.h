/* SPDX-License-Identifier: Apache-2.0 */
/* The poller, inner door: what a loop needs of the kernel, so that epoll can be
 * exchanged for something else.  One per loop. */
#pragma once

#include "fiber/fiber.h"

struct poller;

MUST_CHECK struct err *poll_new(struct poller **ret);
void poll_drop(struct poller **p);

/* Watches io->fd from now on: both directions, edges only, what is already
 * there included; or, for a listener, readable, level-triggered, one loop at a
 * time.  False when the kernel refuses (errno). */
bool poll_add(struct poller *p, struct io *io, bool is_listener);

/* Forgets io; must_tell: even if fd stays open. */
void poll_remove(struct poller *p, struct io *io, bool must_tell);

/* Waits for events, -1: for ever; calls io_happened() for each. */
void poll_wait(struct poller *p, int64_t timeout_ms);

/* Ends a poll_wait() under way, or the next one; any thread. */
void poll_wake(struct poller *p);

/* Implemented by the loop: io has these ready bits now.  Runs no foreign code. */
void io_happened(struct io *io, int ready);
