/* SPDX-License-Identifier: Apache-2.0 */
/* h2 - HTTP/2 connections and their streams, of either side (RFC 9113).
 *
 * One fiber runs a connection: h2_run() reads, has nghttp2 take the frames apart, and
 * writes what the streams have to say, that of one turn together.  Streams are used by
 * fibers of their own on the same loop.  A stream is a sock whose bytes are the body's:
 * every wait and call of net/net.h works on it, and what its user does not read is not
 * granted to the other side again (flow control).  The head in front of the body and the
 * trailers behind it are calls.
 *
 * A head is handed over as the text of HTTP/1.1 that says the same, so that one strict
 * reader (http.h) decides what is accepted, whatever the version.
 *
 * A connection may end while its streams are in use: their users are told by IO_HUP, and
 * every call on the stream's sock answers NET_RESET from then on. */
#pragma once

#include "http/http.h"
#include "net/net.h"

struct h2;
struct h2_stream;

struct h2_options {
	bool is_server;
	unsigned max_streams;      /* open at a time; of a client: those that it opens itself */
	struct http_limits limits; /* of a head that comes */
	int64_t send_ms; /* when the other side takes nothing for so long, it is given up */
	int64_t head_ms; /* server: a head that begins must be whole after it */
	/* Server: a request's head is here.  Called on h2_run()'s fiber; has to h2_accept() the
	 * stream, may start fibers, must not suspend. */
	void (*on_request)(void *arg, struct h2_stream *s);
	/* Client: the other side has introduced itself, so h2_most() is known.  Called once. */
	void (*on_greeted)(void *arg);
	void *arg;
};

/* ---- connections ----------------------------------------------------------------- */

/* Over a connected sock, which is borrowed. */
struct h2 *h2_new(struct sock *s, const struct h2_options *o);
void h2_drop(struct h2 **h); /* streams that are in use are told */

enum h2_end {
	H2_IDLE, /* no stream is open and nothing is to be read: to be parked and run again */
	H2_OVER, /* one of both sides has ended it, or it is broken */
};

/* Runs it, on one fiber at a time.  `came`: bytes that were read before. */
enum h2_end h2_run(struct h2 *h, str came) SUSPENDS;

/* Says GOAWAY: the streams that are open go on, new ones are still taken for a moment (they
 * may be on their way), and then the connection is over (RFC 9113 §6.8). */
void h2_leave(struct h2 *h);

/* The other side is leaving, or we are: no stream can be opened any more. */
bool h2_is_leaving(const struct h2 *h);
unsigned h2_count(const struct h2 *h); /* of open streams */

/* ---- streams of a server ------------------------------------------------------------ */

/* Takes the stream: s is its sock from now on, until sock_close(). */
void h2_accept(struct h2_stream *stream, struct sock *s);

/* The request of an accepted stream, read into *ret as http_parse_request() does: its
 * size as it came, or minus a status.  ret->is_h2 is set; a body without a length is
 * HTTP_BODY_TO_CLOSE. */
ssize_t h2_take_request(struct sock *s, struct arena *a, struct http_request *ret);

/* ---- streams of a client ------------------------------------------------------------ */

/* Opens a stream whose request has this head: pseudo-fields first, names in any case.  False:
 * the connection takes none now (it is leaving, or has as many as the other side allows). */
bool h2_open(struct h2 *h, const struct http_headers *fields, bool has_body, struct sock *ret);

/* The answer's head, once it came: its size, or HTTP_MORE (wait for IO_READ), -502 for a
 * bad one, NET_RESET.  Interim answers are left out. */
ssize_t h2_take_response(struct sock *s, struct arena *a, enum http_method method,
			 struct http_response *ret);

/* The streams that may be open, by what the other side allows. */
unsigned h2_most(const struct h2 *h);

/* ---- streams of both ------------------------------------------------------------------ */

/* Of a server: the answer's head, with :status first.  is_end: there is no body and there
 * are no trailers.  An interim one (1xx) may come before. */
void h2_answer(struct sock *s, const struct http_headers *fields, bool is_end);

/* Before sock_shutdown_write(): what follows the body, as lines "Name: value" CRLF. */
void h2_set_trailers(struct sock *s, str lines);

/* What came behind the body, as such lines, once the body was read to its end; borrowed. */
str h2_trailers(const struct sock *s);

/* Why a stream was reset, as RFC 9113 §7 names it; "NO_ERROR" when it was not. */
const char *h2_reset_reason(const struct sock *s);

/* Was it reset before the other side did anything for it?  Then it may be sent again
 * (RFC 9113 §8.7). */
bool h2_is_refused(const struct sock *s);

/* The first bytes of a connection that speaks HTTP/2 (RFC 9113 §3.4). */
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
