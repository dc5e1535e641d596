/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP and UDP sessions share: session.c. */
#pragma once

#include "net/client_hello.h"
#include "serve/phases.h"
#include "serve/tracing.h"
#include "stream/stream.h"

struct session {
	struct req r; /* of its arena, as this is */
	struct stream_facts facts;
	char sni[CLIENT_HELLO_NAME + 1]; /* that was only looked at */
};

/* A step's outcome: 0, or the status that the session ends with. */
enum { STEP_ON = 0, STATUS_OVER = 200 };

/* For c, in an arena of about that size (0: the usual one); holds the snapshot. */
struct session *session_new(struct client *c, size_t arena_size);

/* Once the client's address is told: who it is, and where it came to. */
void session_know(struct session *s);

int session_route(struct session *s);
/* Plugins' preread; an answer is in r.run->answer when it ends.  Then: is there a service? */
int session_preread(struct session *s) SUSPENDS;
int session_pick(struct session *s) SUSPENDS;
void session_failed(struct session *s, enum try_outcome how, const char *why); /* the try did */
void session_connected(struct session *s); /* the target is there */

/* The log line and plugins' log; lets go of the snapshot.  The client and the arena are the
 * caller's to end. */
void session_end(struct session *s, int status) SUSPENDS;

/* From here on nothing of the configuration is needed, if that is so: a session that lasts
 * for days must not keep it. */
void session_let_go(struct session *s);
