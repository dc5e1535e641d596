/* SPDX-License-Identifier: Apache-2.0 */
/* http_client - one request of the gateway's own, and its answer: HTTP/1.1 over a kept or a
 * new connection (clients/peer.h).
 *
 *	struct http_call call = { .method = STR("POST"), .url = conf->endpoint, .body = text,
 *	                          .read_ms = conf->timeout };
 *	struct http_answer answer;
 *
 *	TRY(http_ask(req_arena(r), &call, &answer), "cannot ask the service");
 *
 * Redirects are not followed.  A request that is known to be idempotent is sent once more
 * when a kept connection turns out to have ended; others are not. */
#pragma once

#include "fiber/fiber.h"
#include "http/http.h"

struct http_call {
	str method; /* empty: GET */

	/* http[s]://[user:password@]host[:port][/path][?query], or its parts. */
	str url;
	bool tls;
	str host;
	uint16_t port; /* 0: 80, or 443 */
	str path;      /* with its query; empty: "/" */

	/* Host, Content-Length and Connection are written when they are not here; so is
	 * Authorization, when the URL has a user. */
	struct http_headers headers;
	str body;

	bool verify;     /* the certificate's chain and name */
	str server_name; /* other than the host's */

	int64_t connect_ms, send_ms, read_ms; /* 0: a minute; read_ms is of silence */
	int64_t keep_ms; /* idle time of the connection afterwards; 0: it is not kept */

	size_t body_max;    /* bytes of the answer's; 0: HTTP_CALL_BODY */
	bool may_cut;       /* of a longer one give the front, else it is an error */
	bool is_idempotent; /* whatever the method */
};

#define HTTP_CALL_BODY ((size_t)1 << 20)
#define HTTP_CALL_HEAD ((size_t)64 << 10)

struct http_answer {
	int status;
	struct http_headers headers;
	str body;
	bool is_cut;
};

/* What comes back lives in a.  ERR_TIMEOUT; ERR_NOT_FOUND: the name is not known;
 * ERR_REFUSED: nobody there, or TLS refused; ERR_INVALID: the call or the answer is none;
 * ERR_SYSTEM: the connection broke; ERR_CANCELLED. */
MUST_CHECK struct err *http_ask(struct arena *a, const struct http_call *call,
				struct http_answer *ret) SUSPENDS;
