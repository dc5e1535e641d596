/* SPDX-License-Identifier: Apache-2.0 */
/* link - a connection to a target, new or taken from the pool.
 *
 * Each loop has its own pools of idle links; a pool is known by everything that
 * makes two connections different: address, and for TLS the server name and
 * the identity of the settings (client certificate, verification, trust).
 * An idle link is parked: no fiber, no buffer; when the other side closes it or
 * says anything unasked, it is dropped, and so it is after its idle time.
 *
 * Where a target speaks HTTP/2, a link is a stream of a connection that several share
 * (shared.c): link_join() instead of link_open(), then link_begin() with the request's
 * head.  Its sock is the stream's (http/h2.h). */
#pragma once

#include "http/http.h"
#include "net/tls.h"

struct links;
struct shared;

struct links_options {
	unsigned pool_size;    /* idle links per pool; 0: none are kept */
	unsigned max_requests; /* per link; 0: no limit */
	int64_t idle_ms;       /* 0: no limit */
};

/* A loop's pools; to be made and dropped on the loop. */
struct links *links_new(const struct links_options *o);
void links_drop(struct links **l);      /* closes the idle ones; none may be in use */
void links_close_idle(struct links *l); /* when the loop drains */

/* What is said in clear on a new connection, so that the other side is ready for TLS. */
typedef struct err *link_before_tls_fn(struct sock *s, deadline until) SUSPENDS;

/* Where to, and how. */
struct link_target {
	const struct address *address;
	struct tls_context *tls; /* NULL: plain */
	uint64_t
		tls_identity; /* of the settings behind tls, the same over snapshots while they are */
	str server_name;      /* SNI; its host part is verified when verify_name */
	bool verify_name;
	link_before_tls_fn *before_tls; /* NULL: the handshake comes first */
	str preface;                    /* sent before anything else, a TLS handshake included */
	bool is_single;                 /* a connection of its own: never one from the pool */
};

struct link {
	struct sock sock;
	struct links *home;
	struct pool *pool;    /* it came from and may go back to */
	struct list in_pool;  /* while idle: newest first */
	struct list in_order; /* while idle: all of the loop, those that end first in front */
	deadline idle_until;
	unsigned requests;     /* sent over it so far */
	void *user;            /* its user's own, while in use */
	struct shared *shared; /* it is, or will be, a stream of that; else NULL */
	bool is_reused;        /* this time it came from the pool */
};

enum link_end { LINK_OK, LINK_REFUSED, LINK_TIMEOUT, LINK_CANCELLED, LINK_TLS_FAILED };

/* An idle link, when there is a good one. */
bool link_take(struct links *l, const struct link_target *t, struct link **ret);

/* An idle link when there is a good one, else a new connection (TLS handshake
 * included). `why` gets the failure's words, in the error arena or static. */
enum link_end link_open(struct links *l, const struct link_target *t, deadline until,
			struct link **ret, const char **why) SUSPENDS;

void link_keep(struct link **l); /* back to the pool, or closed when it may not */
void link_keep_for(struct link **l, int64_t idle_ms); /* with an idle time of its own */
void link_close(struct link **l);                     /* takes NULL; leaves NULL */

/* ---- streams of shared connections ------------------------------------------------- */

/* A place on a connection of HTTP/2: on one that stands when that has room, else on a new
 * one, which all that wait for it share.  With TLS the other side must agree to speak it.
 * `why` is borrowed, until the next call. */
enum link_end link_join(struct links *l, const struct link_target *t, deadline until,
			struct link **ret, const char **why) SUSPENDS;

/* Begins the request, at once after link_join(): its head, pseudo-fields first; what is
 * written to the sock follows.  False: the connection takes none any more. */
bool link_begin(struct link *k, const struct http_headers *fields, bool has_body);

/* The target has ended the stream without having looked at the request: it may be sent again,
 * whatever it was. */
bool link_is_refused(const struct link *k);
