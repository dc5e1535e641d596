/* SPDX-License-Identifier: Apache-2.0 */
/* ldap - is this the password of that entry?  A simple bind to an LDAP server (RFC 4511),
 * in clear, over TLS, or after StartTLS.
 *
 * Connections are kept for the next bind to the same server in the same way, on the same
 * loop; TLS that was verified and TLS that was not are never taken for one another.  One
 * that the server has closed meanwhile is tried again with another.
 *
 * Messages are read strictly and have a ceiling (base/limits.h); whatever a server says that
 * is no answer to what it was asked ends its connection. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "fiber/fiber.h"

enum ldap_security { LDAP_PLAIN, LDAP_START_TLS, LDAP_TLS };

struct ldap_server {
	str host;
	uint16_t port;
	enum ldap_security security;
	bool verify;        /* the chain, and the host; whom the node trusts */
	int64_t timeout_ms; /* of each wait; 0: PEER_TIMEOUT_MS */
	int64_t keep_ms;    /* idle time of a kept connection; 0: not kept */
};

/* Result codes that are asked about (RFC 4511 §A.1). */
enum ldap_code {
	LDAP_SUCCESS = 0,
	LDAP_NO_SUCH_OBJECT = 32,
	LDAP_INVALID_DN = 34,
	LDAP_INAPPROPRIATE_AUTHENTICATION = 48,
	LDAP_INVALID_CREDENTIALS = 49,
	LDAP_INSUFFICIENT_ACCESS = 50,
	LDAP_UNWILLING = 53,
};

struct ldap_result {
	int64_t code;
	str diagnostic; /* the server's words */
};

/* What the server answers; an error: it did not.  The password has bytes: without one a
 * server lets everybody in (RFC 4513 §5.1.2). */
MUST_CHECK struct err *ldap_bind(struct arena *a, const struct ldap_server *s, str dn, str password,
				 struct ldap_result *ret) SUSPENDS;

/* A text as the value of an attribute in a DN (RFC 4514 §2.4): no byte of it means more. */
str ldap_escape(struct arena *a, str value);

/* ---- messages ------------------------------------------------------------------------------ */

enum { LDAP_BIND_RESPONSE = 0x61, LDAP_EXTENDED_RESPONSE = 0x78 }; /* tags of op */

struct ldap_message {
	int64_t id; /* 0: nobody asked for it */
	uint8_t op;
	/* Of the two above: */
	struct ldap_result result;
	str name; /* OID of an extended response, or STR_NONE */
};

/* Reads a message at the front of bytes: its length; 0: there is more to come; -1: it is
 * none, or too long.  Texts are borrowed. */
ssize_t ldap_message_read(str bytes, struct ldap_message *ret);
