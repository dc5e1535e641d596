/* SPDX-License-Identifier: Apache-2.0 */
/* client - a connection from a client, from accept to close.
 *
 *	accept ─► [handshake] ─► reading a head ─► serving ─┬─► reading the next head
 *	               ▲                                    ├─► lingering ─► closed
 *	     readable  │                                    └─► closed
 *	               └───────────── parked ◄── nothing to read yet
 *
 * A parked connection has no fiber, no stack and no buffer: this struct is all
 * that it costs.  One that speaks HTTP/2 serves streams instead of heads, and each
 * stream is a client too (client_h2.c). */
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
	deadline keep_until;       /* life of the connection at most */
	struct tunnel *tunnel;     /* that has taken the connection over, or NULL */
	struct fiber *watched;     /* to be cancelled when the client hangs up, or NULL */
	struct h2 *h2;             /* the connection speaks HTTP/2; else NULL */
	struct client *connection; /* of a stream, which is all it is; else NULL */
	unsigned streams;          /* of a connection: that have not gone yet */
	unsigned idle_requests;    /* when it was parked; what is no request does not ... */
	deadline idle_until;       /* ... put this off */
	bool is_trusted;           /* peer is one of trusted_ips */
	bool is_greeted;           /* PROXY header and handshake are behind it */
	bool is_tls;
	bool is_session;       /* of TCP or TLS, not of HTTP */
	bool is_asked;         /* plugins were, which certificate it gets ... */
	struct tls_cert *cert; /* ... and said this one; or NULL */
	bool likes_blocks;     /* its last head came with more behind it, or was long */
	bool is_parked;
	bool is_over; /* the last of its streams closes it */
};

/* A connection that has been accepted: takes over the descriptor, which is -1 where datagrams
 * of one client are a connection.  What is to become of it is the caller's to say. */
struct client *client_new(struct proxy *p, const struct listener *l, int fd,
			  const struct address *peer);

/* What may come before all else; false: the client is to be closed, and the log knows why. */
enum net_end client_hear_proxy(struct client *c, deadline until) SUSPENDS;
bool client_handshake(struct client *c, struct tls_context *tls, deadline until) SUSPENDS;

/* Which certificates it is shown; to be asked anew after client_ask() with TLS_PICK_ASK. */
tls_pick_fn client_certs;
void client_ask(void *client) SUSPENDS;

const struct address *client_local(struct client *c); /* the address that it came to */

/* The same for HTTP: it is served from now on. */
void client_accept(struct proxy *p, const struct listener *l, int fd, const struct address *peer);
void client_close(struct client *c);
void client_drain(struct client *c); /* little time is left for its next request */

/* The connection below a stream, else the client itself. */
static inline struct client *client_connection(struct client *c)
{
	return c->connection ? c->connection : c;
}

/* NULL: in clear. */
static inline const struct tls *client_tls(const struct client *c)
{
	return c->connection ? c->connection->sock.tls : c->sock.tls;
}

/* A request whose head has n bytes, or is answered with the status -n: from there to its
 * log line. */
struct req *req_new(struct client *c, struct arena *a);
void client_serve(struct req *r, ssize_t n) SUSPENDS;

/* Does the connection speak HTTP/2?  1, 0, NET_AGAIN: nothing came yet, or NET_RESET. */
ssize_t client_speaks_h2(struct client *c) SUSPENDS;

/* Serves its streams; true: it is idle, to be parked, false: it is over. */
bool client_run_h2(struct client *c) SUSPENDS;

/* While the running fiber waits for something else than the client: when that hangs up, the
 * fiber is cancelled.  A client that goes on speaking in between is not watched any more. */
void client_watch(struct client *c);
void client_unwatch(struct client *c);
