/* SPDX-License-Identifier: Apache-2.0 */
/* stream - TCP, TLS and UDP sessions between clients and services, for stream_listen.
 *
 *	accept ─► [PROXY] ─► [look at the ClientHello] ─► route ─┬─► [handshake] ─► preread
 *	                                                         └─► no route: closed   │
 *	closed, logged ◄── bytes both ways, parked while silent ◄── connect ◄── pick ◄──┘
 *
 * To plugins a session is a struct req without a head (req.stream); it is counted and
 * drained as connections of HTTP are.  A TCP session is a fiber up to the tunnel
 * (serve/tunnel.h).
 *
 * On a listener with ssl the route says what becomes of TLS: it ends here (protocols has tls),
 * or its bytes go on as they are (tls_passthrough).
 *
 * A UDP session is what one client says to one address: it has a socket of its own towards
 * the target, and a fiber only while it begins and while it is logged.  It ends when nothing
 * was said for the service's read_timeout. */
#pragma once

#include "serve/proxy.h"

/* Takes over an accepted descriptor; the accept_fn of stream listeners. */
void stream_accept(struct proxy *p, const struct listener *l, int fd, const struct address *peer);

/* One socket for datagrams of one loop, with its sessions. */
struct udp_port;

/* On the loop, which reads from fd until udp_port_finish(). `at` is what it is bound to. */
struct udp_port *udp_port_new(struct proxy *p, const struct listener *l, const struct address *at,
			      int fd);
void udp_port_finish(struct udp_port *port); /* no new sessions; the others go on */
void udp_port_stop(struct udp_port *port);   /* and these end, each on a fiber */
void udp_port_drop(struct udp_port **port);  /* after all of them have ended */
