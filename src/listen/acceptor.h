/* SPDX-License-Identifier: Apache-2.0 */
/* acceptor - takes connections off one listening socket of one loop.
 *
 * It accepts in runs while there are any.  When descriptors run out, or the
 * loop holds as many connections as it may, idle connections are closed to make
 * room, and failing that accepting pauses for a moment: what waits in the kernel's queue is not lost. */
#pragma once

#include "serve/proxy.h"

struct acceptor;

/* Takes over an accepted descriptor. */
typedef void accept_fn(struct proxy *p, const struct listener *l, int fd,
		       const struct address *peer);

struct acceptor *acceptor_new(struct proxy *p, const struct listener *l, int fd,
			      accept_fn *take); /* on the loop */
void acceptor_drop(struct acceptor **a);   /* stops accepting; the descriptor is the caller's */
void acceptor_finish(struct acceptor **a); /* the same, after a last turn: what waits is accepted */
