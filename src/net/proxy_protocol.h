/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_protocol - the line or header in which a balancer before us tells whose
 * connection it passes on (HAProxy's PROXY protocol, versions 1 and 2). */
#pragma once

#include "net/net.h"

enum { PROXY_PROTOCOL_MAX = 16 + 65535, PROXY_PROTOCOL_V1_MAX = 107 };

struct proxy_protocol {
	bool is_local; /* LOCAL or UNKNOWN: the connection's own addresses hold */
	struct address source, destination;
};

/* Parses the front of p[0..n): its length in bytes, 0 when more is needed, -1 when it
 * is no such header. */
ssize_t proxy_protocol_parse(const char *p, size_t n, struct proxy_protocol *ret);

/* Reads it off a connection, and not a byte more. */
enum net_end proxy_protocol_read(struct sock *s, struct proxy_protocol *ret, deadline until)
	SUSPENDS;
