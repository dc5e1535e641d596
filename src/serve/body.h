/* SPDX-License-Identifier: Apache-2.0 */
/* body - a message's body as it comes off a connection, piece by piece.
 *
 * It starts with the bytes that came behind the head, in the head's block, and
 * reads on into a block of its own: the head's text stays as it was.  Pieces
 * are decoded; the framing of one side never reaches the other.  What is behind
 * the body (the next request of a pipeline) is the rest. */
#pragma once

#include "base/buf.h"
#include "http/http.h"
#include "net/block.h"
#include "net/net.h"

struct body {
	struct sock *sock;
	char *at, *end;     /* bytes that came and are not used yet */
	struct block *head; /* the head's block: borrowed */
	struct block *own;  /* or NULL */
	enum http_body kind;
	int64_t left; /* of HTTP_BODY_LENGTH */
	struct http_chunked chunked;
	char *ready; /* decoded, for the next body_next(): gathered or not */
	size_t ready_n;
	uint64_t received;    /* decoded bytes so far */
	uint64_t max;         /* ceiling, when it has_max */
	struct buf *trailers; /* NULL: they are of no interest */
	bool has_max;
	bool is_done; /* everything was received (a ready piece may be left) */
};

enum {
	BODY_BAD = -10,     /* chunked coding is broken */
	BODY_WATCHED = -11, /* the watched one had something to say first */
	BODY_TOO_LARGE = -12,
};

void body_init(struct body *b, struct sock *s, struct block *head, char *at, char *end,
	       enum http_body kind, int64_t length);
void body_done(struct body *b); /* puts its own block back */

/* The next piece: its size, 0 when the body is through, or an end (net_end or
 * BODY_*; NET_EOF cannot be told from 0, so an early end is NET_RESET).  The
 * piece is valid until the next call.  With `watch`, BODY_WATCHED when that is
 * ready while there is nothing to read. */
ssize_t body_next(struct body *b, int64_t timeout_ms, const struct io_want *watch, char **ret)
	SUSPENDS;

/* Tries to have the whole body in the head's block, so that it can be sent again: true and
 * the body's bytes in *ret.  False when it does not fit (body_next goes on from there), with
 * *ret_end 0, or when the connection ended (*ret_end < 0). */
bool body_gather(struct body *b, int64_t timeout_ms, str *ret, ssize_t *ret_end) SUSPENDS;

/* Reads on and throws away, at most so many bytes; true when the body is through then. */
bool body_discard(struct body *b, uint64_t most, int64_t timeout_ms) SUSPENDS;

/* Writes all of it, giving up when nothing could be written for timeout_ms: 1, or an
 * end.  With `watch`, BODY_WATCHED when that is ready while writing has to wait. iov is changed. */
ssize_t send_all(struct sock *s, struct iovec *iov, int n, int64_t timeout_ms,
		 const struct io_want *watch) SUSPENDS;
