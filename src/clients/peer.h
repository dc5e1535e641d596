/* SPDX-License-Identifier: Apache-2.0 */
/* peer - connections that the gateway opens for itself: to log servers, authentication
 * services and the like, over TCP (with TLS) and UDP.
 *
 * Names are looked up as those of upstreams are.  Each loop keeps idle connections for
 * whoever wants the same place in the same way next; one that the other side closes, or
 * on which it says anything unasked, is gone at once.  TLS trusts whom the node trusts
 * (clients/trust.h). */
#pragma once

#include "upstream/link.h"

#define PEER_TIMEOUT_MS 60000 /* where none is given */

struct peer {
	str host; /* a name, an address (IPv6 without brackets), or unix:/path */
	uint16_t port;
	bool tls, verify;                     /* verify: the chain, and server_name */
	str server_name;                      /* to ask for; empty: the host */
	link_before_tls_fn *before_tls;       /* with tls: StartTLS and the like; or NULL */
	int64_t connect_ms, send_ms, read_ms; /* 0: PEER_TIMEOUT_MS */
	int64_t keep_ms;                      /* idle time of a kept connection; 0: not kept */
};

/* A kept connection (link->is_reused), or a new one.  To be used as link->sock, and then
 * given to peer_keep(), or to link_close() when it is broken or in the midst of something. */
MUST_CHECK struct err *peer_open(const struct peer *p, struct link **ret) SUSPENDS;
void peer_keep(const struct peer *p, struct link **k);

/* Opens, sends all of it, keeps. */
MUST_CHECK struct err *peer_send(const struct peer *p, str data) SUSPENDS;

/* Each as a datagram; ret_lost, if not NULL, counts those that are too long for one, and with an
 * error those that did not arrive, as far as that is known.  What could not be sent for long, or
 * to nobody, is ERR_INVALID: a queue does not send it again. */
MUST_CHECK struct err *peer_send_datagrams(const struct peer *p, const str *v, size_t n,
					   size_t *ret_lost) SUSPENDS;

/* How a call on its sock ended, in words: "failed to send data to host:port: timeout". */
struct err *peer_failed(const struct peer *p, const struct link *k, ssize_t end, const char *doing);

static inline deadline peer_deadline(int64_t ms)
{
	return deadline_in(ms > 0 ? ms : PEER_TIMEOUT_MS);
}

/* The loop of this thread has ended, its fibers too: lets go of what was kept.  A thread
 * that ends must have called it. */
void peers_leave(void);
