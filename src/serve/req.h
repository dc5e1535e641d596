/* SPDX-License-Identifier: Apache-2.0 */
/* req - one request on its way: what the stages of serve.c hand on.
 *
 * It lives in its arena, on the connection's fiber, from the parsed head to
 * the logged line. */
#pragma once

#include "serve/body.h"
#include "serve/client.h"
#include <gibbon/plugin.h>

struct plugin_run;
struct tracing;

struct req {
	struct client *client;
	struct proxy *proxy;
	struct arena *arena;
	struct snapshot *snap; /* NULL before the first configuration */

	/* What came. */
	struct http_request in;
	size_t head_size; /* bytes of its head, at the front of the client's block */
	struct body body; /* of the request, as it comes from the client */
	str path;         /* normalised */
	str host;         /* lower case, without port: nginx's $host */
	str client_ip;    /* after real-IP processing */
	str peer_ip;
	struct address client_address;
	int64_t start_ms; /* first byte, by the loop's clock */

	/* Where it goes. */
	const struct route_plan *route;
	const struct service_plan *service;
	struct route_match match;
	str upstream_path;    /* as sent; up to access without the query */
	str forwarded_prefix; /* what strip_path took away */
	struct pick pick;
	int64_t balanced_ms;                /* end of the last choice of a target; 0: none */
	str upstream_addr, upstream_status; /* "a, b" over the tries, for the log */
	int64_t connect_ms, header_ms;      /* of the last try; -1: none */

	/* What plugins did to it. */
	struct plugin_run *run;     /* NULL: they have nothing to do with it */
	struct tracing *tracing;    /* NULL: nobody will ask */
	str method_sent, host_sent; /* instead of the client's, the service's; or unset */
	str query_sent, body_sent;  /* when has_... */
	bool has_query_sent, has_body_sent;
	int too_large_status; /* of a body over body.max; 0: 413 by a page */
	const char *too_large_message;

	/* What is answered. */
	int status;
	str reason;
	struct http_headers
		reply; /* fields of the reply; framing and connection are left out when written */
	int upstream_code; /* status of the upstream's answer; 0: none */
	int tried_status;  /* of the last try: the answer's, or 502 or 504 */
	str trailers;      /* lines that follow the body, once it was read to its end */
	uint64_t bytes_sent, body_bytes_sent;
	uint64_t bytes_tunnelled; /* from the client, behind a 101 */
	int64_t answered_ms;      /* the reply's head was ready; 0: there was none */
	int64_t received_ms;      /* the upstream's body was there to its end; 0: it never was */
	bool is_proxied;          /* carries the latencies of a proxied reply, not of an own one */
	bool keep_alive;          /* may the connection go on? */
	bool must_linger;         /* the client may still be sending */
	bool is_client_gone;
	struct sent_head {
		bool is_there, keeps_alive;
		enum http_body framing;
		int64_t length; /* of HTTP_BODY_LENGTH */
	} sent;                 /* the reply's head, as it was written */

	const struct stream_facts *stream; /* NULL: it is an HTTP request */
};

/* What a TCP, TLS or UDP session has instead of a message.  To plugins it is a request that
 * has no head and no reply. */
struct stream_facts {
	bool is_udp;
	uint16_t port;              /* that the client asked for: port_maps */
	uint64_t received;          /* of the client; what it was sent is in bytes_sent */
	uint64_t upstream_received; /* of the upstream */
	uint64_t upstream_sent;
};

/* A timeout in ms, or the default of services. */
static inline int64_t timeout_of(int64_t configured)
{
	return configured > 0 ? configured : 60000;
}

/* serve.c: the whole road; of a request that became a tunnel, all but its end. */
void serve(struct req *r) SUSPENDS;
void serve_end(struct req *r) SUSPENDS; /* logs it, and lets go of its configuration */
void serve_bad_head(struct req *r, int status) SUSPENDS; /* the head could not be read */
void log_request(struct req *r);
struct access_record access_record_of(struct req *r); /* borrows from it */

/* forward.c: sends the request to a target and relays what comes back. */
void forward(struct req *r) SUSPENDS;
void note_upstream(struct req *r); /* the target at hand, for the access log */

/* heads.c: heads as bytes in a block of their own; NULL when too large. */
enum { LENGTH_NONE = -1, LENGTH_CHUNKED = -2 }; /* instead of a Content-Length */
struct block *head_for_upstream(const struct req *r, int64_t length, uint32_t *ret_n);
/* The same head as fields of HTTP/2; length may be LENGTH_NONE. */
void fields_for_upstream(const struct req *r, int64_t length, struct http_headers *ret);
struct block *head_for_client(struct req *r, enum http_body framing, int64_t length,
			      uint32_t *ret_n);
/* The fields that the client was sent, for logs; but the Date of the gateway itself. */
void fields_sent(const struct req *r, struct http_headers *ret);
str host_for_upstream(const struct req *r);                   /* the Host of the current pick */
str host_with_port(struct arena *a, str host, uint16_t port); /* IPv6 addresses in brackets */
enum http_method method_for_upstream(const struct req *r);
bool wants_trailers(const struct req *r); /* did the client say TE: trailers? */

/* reply.c: answers of the gateway itself. */
void reply_message(struct req *r, int status, const char *message) SUSPENDS; /* in JSON */
void reply_grpc(struct req *r, int status, int grpc_status, str message) SUSPENDS;
void reply_answer(struct req *r, int status, str type, str body) SUSPENDS; /* of a plugin */
void reply_page(struct req *r, int status) SUSPENDS;    /* error page, its type by Accept */
void reply_failure(struct req *r, int status) SUSPENDS; /* a page, or what a plugin wants */
void reply_whole(struct req *r, str body) SUSPENDS;     /* the upstream's answer in one piece */
void reply_redirect(struct req *r, int status, str location) SUSPENDS;
void reply_upgrade(struct req *r, const char *protocols, const char *message) SUSPENDS; /* 426 */

/* send.c: says "100 Continue" to who waits for it; false: the client is gone. */
bool body_invite(struct req *r) SUSPENDS;

/* upgrade.c: what is needed of both heads when a tunnel ends; then the connection becomes one
 * over the link, which is NULL then.  early: what the upstream sent behind its head. */
void tunnel_keep_head(struct req *r); /* in the connection's block until now */
void tunnel_keep_reply(struct req *r);
void tunnel_of_request(struct req *r, struct link **link, str early, int64_t timeout_ms);

/* real_ip.c: whom the request comes from. */
void real_ip(struct req *r);
