/* SPDX-License-Identifier: Apache-2.0 */
/* client - a connection from a client, from accept to close.
 *
 *	accept ─► [handshake] ─► reading a head ─► serving ─┬─► reading the next head
 *	               ▲                                    ├─► lingering ─► closed
 *	     readable  │                                    └─► closed
 *	               └───────────── parked ◄── nothing to read yet
 *
 * A parked connection has no fiber, no stack and no buffer: this struct is all
 * that it costs. */
#pragma once

#include "net/proxy_protocol.h"
#include "serve/proxy.h"

struct client {
	struct sock sock;
	struct proxy *proxy;
	const struct listener *listener;
	struct list link;    /* in proxy->clients, or proxy->idle while parked */
	struct timer timer;  /* while parked: keep-alive or first-byte timeout */
	struct address peer; /* of TCP */
	struct address local;
	struct proxy_protocol
		*told;       /* on listeners with proxy_protocol: what was said; else NULL */
	struct block *block; /* what was read: [begin, end) is not used yet */
	uint32_t begin, end;
	uint64_t serial;
	unsigned requests;
	deadline keep_until;   /* life of the connection at most */
	struct tunnel *tunnel; /* that has taken the connection over, or NULL */
	struct fiber *watched; /* to be cancelled when the client hangs up, or NULL */
	bool is_trusted;       /* peer is one of trusted_ips */
	bool is_greeted;       /* PROXY header and handshake are behind it */
	bool is_tls;
	bool likes_blocks; /* its last head came with more behind it, or was long */
	bool is_parked;
};

/* Takes over an accepted, non-blocking descriptor. */
void client_accept(struct proxy *p, const struct listener *l, int fd, const struct address *peer);
void client_close(struct client *c);
void client_hurry(struct client *c); /* parked: little time is left for its next request */

/* While the running fiber waits for something else than the client: when that hangs up, the
 * fiber is cancelled.  A client that goes on speaking in between is not watched any more. */
void client_watch(struct client *c);
void client_unwatch(struct client *c);
