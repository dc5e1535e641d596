/* SPDX-License-Identifier: Apache-2.0 */
/* server - a small HTTP/1.1 server for the gateway's own interfaces.
 *
 * Runs on one loop (control's), a fiber per connection, requests one after the
 * other: the head is read, then the whole body up to a ceiling, then the handler is
 * called and its reply written.  Slow and silent clients run into the timeouts
 * of the tuning; beyond max_connections new ones are closed at once.  What the
 * server itself refuses is answered with {"message": ...} and the connection ends.
 *
 * Not for the proxy's road: everything is held in memory, nothing is relayed. */
#pragma once

#include "http/http.h"
#include "net/net.h"
#include "net/tls.h"
#include "settings/settings.h"

/* ---- one exchange --------------------------------------------------------------- */

/* Everything is valid until the handler returns (and in the log hook). */
struct api_request {
	struct arena *arena; /* of this request */
	const struct http_request *head;
	str body; /* whole; empty when there is none */
	const struct address *client;
	const struct tls *tls; /* NULL: plain */
	int64_t started_ms;    /* monotonic, when the head was complete */
	uint64_t connection;   /* serial number */
};

/* Zeroed for the handler.  Date, Content-Length and Connection are the server's. */
struct api_reply {
	int status;
	str content_type; /* empty: no such header */
	str body;         /* must live in the request's arena; not sent for HEAD, 204 and 304 */
	struct http_headers headers;
	bool closes; /* end the connection behind this reply */
};

/* What went out, for the log. */
struct api_sent {
	uint64_t head_bytes, body_bytes, request_bytes;
	int64_t started_wall_ms, took_ms;
	uint64_t connection_requests;
};

/* ---- the server ------------------------------------------------------------------ */

struct api_server;

struct api_server_options {
	const char *name; /* "admin", "status": of the fibers, and in the log */
	const struct http_tuning *tuning;
	int64_t max_connections; /* 0: 1000 */
	struct tls_context *tls; /* for listeners that say ssl; held */
	/* May suspend, and not fail: what goes wrong is a status too. */
	void (*handle)(void *arg, struct api_request *, struct api_reply *) SUSPENDS;
	/* After each reply, refusals included (their request's head is NULL when it
	 * could not be read); may be NULL.  Must not suspend. */
	void (*log)(void *arg, const struct api_request *, const struct api_reply *,
		    const struct api_sent *);
	void *arg;
};

/* On the loop that runs. */
struct api_server *api_server_new(const struct api_server_options *o);

/* Serves a listening, non-blocking socket, which stays its owner's: it is not closed. */
void api_server_listen(struct api_server *s, int fd, bool is_ssl);

/* Another certificate from now on; for handshakes to come.  tls is held. */
void api_server_set_tls(struct api_server *s, struct tls_context *tls);

/* Accepts no more, ends idle connections, lets busy ones finish their request
 * until the deadline, then cancels them.  From a fiber. */
void api_server_stop(struct api_server *s, deadline until) SUSPENDS;
void api_server_drop(struct api_server **s); /* after api_server_stop() */

struct api_server_counts {
	uint64_t accepted, refused, requests;
	int64_t connections, busy; /* now */
};
struct api_server_counts api_server_counts(const struct api_server *s);
