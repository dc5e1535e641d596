/* SPDX-License-Identifier: Apache-2.0 */
/* tunnel - after 101: bytes both ways until both sides have ended.
 *
 * The end of one direction is passed on (half-close).  A tunnel outlives its
 * request's stages: it takes over the connection, the link, and the request in its arena,
 * which is logged when the tunnel ends.  While both sides are silent it is parked: no fiber,
 * no buffers.  That is why the heads of a request for one, and of its answer, are moved
 * from the blocks they came in to the arena, before anybody looks at them. */
#pragma once

#include "serve/req.h"

struct tunnel;

/* The request's head, in the connection's block until now. */
void tunnel_keep_head(struct req *r);
void tunnel_keep_reply(struct req *r);

/* Takes the link (NULL behind it) and hooks a tunnel into r->client. early: what the
 * upstream sent behind its head. */
void tunnel_open(struct req *r, struct link **link, str early, int64_t timeout_ms);

/* Moves bytes, until it is parked or has ended (and with it the client).  On a fiber. */
void tunnel_run(struct tunnel *t) SUSPENDS;

/* Ends a parked tunnel, and the client with it. */
void tunnel_end(struct tunnel *t);
bool tunnel_is_parked(const struct tunnel *t);
