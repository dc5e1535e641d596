/* SPDX-License-Identifier: Apache-2.0 */
/* tunnel - bytes both ways between a client and a link until both sides have ended.
 *
 * The end of one direction is passed on (half-close).  A tunnel takes over the client,
 * the link, and the arena that it lives in.  While both sides are silent it is parked: no
 * fiber, no buffers.  What its owner has to say of it at the end is said on a fiber. */
#pragma once

#include "serve/client.h"

struct tunnel;

/* Bytes of each side that were read. */
struct tunnel_bytes {
	uint64_t up, down;
};

struct tunnel_plan {
	struct arena *arena; /* ends with the tunnel */
	str up, down;        /* what the client said already, and the upstream; may be empty */
	int64_t timeout_ms;  /* of silence */
	/* Before the client is closed and the arena ends. */
	void (*ended)(void *arg, const struct tunnel_bytes *passed) SUSPENDS;
	void *arg;
};

/* Takes the link (NULL behind it) and hooks a tunnel into the client. */
void tunnel_open(struct client *c, struct link **link, const struct tunnel_plan *plan);

/* Moves bytes, until it is parked or has ended (and with it the client).  On a fiber. */
void tunnel_run(struct tunnel *t) SUSPENDS;

/* Ends a parked tunnel, the client with it, on a fiber of its own; nothing happens to one
 * that is not parked. */
void tunnel_stop(struct tunnel *t);
