/* SPDX-License-Identifier: Apache-2.0 */
/* client_hello - the name that a TLS client asks for, looked at without taking a byte.
 *
 * What is read is strict (RFC 8446 §4.1.2, RFC 6066 §3): lengths that fit in each other to the
 * byte, one server name in letters, digits, '-', '.' and '_'.  Whatever is not so has no
 * name; a handshake may still refuse it, or it is passed on as it is. */
#pragma once

#include "net/net.h"

enum {
	CLIENT_HELLO_MAX = 16 * 1024, /* bytes that are looked at, records' heads included */
	CLIENT_HELLO_NAME = 255,
};

enum client_hello {
	HELLO_MORE,  /* more bytes are needed */
	HELLO_READ,  /* it is there; the name is in lower case, and may be empty */
	HELLO_OTHER, /* this is no such message, or a broken or too long one */
};

/* The front of p[0..n).  name gets a '\0' behind it. */
enum client_hello client_hello_parse(const char *p, size_t n, char name[CLIENT_HELLO_NAME + 1]);

/* Waits until it is there.  NET_OK also when something else is there, then without a name;
 * NET_EOF: the client has ended and said nothing. */
enum net_end client_hello_peek(struct sock *s, char name[CLIENT_HELLO_NAME + 1], deadline until,
			       bool *ret_is_tls) SUSPENDS;
