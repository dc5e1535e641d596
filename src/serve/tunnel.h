/* SPDX-License-Identifier: Apache-2.0 */
/* tunnel - after 101: bytes both ways until both sides have ended.
 *
 * The end of one direction is passed on (half-close).  A tunnel outlives its
 * request's stages: it takes over the connection, the link, and the arena with what the log
 * line needs, and lets go of the snapshot.  While both sides are silent it is
 * parked: no fiber, no buffers. */
#pragma once

#include "serve/req.h"

struct tunnel;

/* Takes the link (NULL behind it) and hooks a tunnel into r->client. early: what the
 * upstream sent behind its head. */
void tunnel_open(struct req *r, struct link **link, str early, int64_t timeout_ms);

/* Moves bytes, until it is parked or has ended (and with it the client).  On a fiber. */
void tunnel_run(struct tunnel *t) SUSPENDS;

/* Ends a tunnel, the client with it; from outside of its fiber only while it is parked. */
void tunnel_end(struct tunnel *t);
bool tunnel_is_parked(const struct tunnel *t);
