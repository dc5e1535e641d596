/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of forwarding share: forward.c (tries), send.c (the request's
 * way), relay.c (the answer's way). */
#pragma once

#include "serve/req.h"
#include "serve/spool.h"

/* How a step of a try ended. */
enum outcome {
	OUTCOME_OK,
	OUTCOME_FAILED, /* no answer from there: .status says what the client would get */
	OUTCOME_GONE,   /* the client went away */
};

/* The tries of one request, one after the other. */
struct trial {
	struct req *r;
	struct link *link;

	/* The request's body: none, gathered in the head's block, spooled, or to be streamed. */
	str gathered;
	bool is_gathered, is_spooled;
	struct spool spool;

	/* Where the target speaks HTTP/2, the body has a fiber of its own. */
	struct sender *sender;
	struct buf kept; /* of the body, what was streamed so far, while it is little */

	bool is_sent;         /* bytes of the request may have reached the target */
	bool is_body_taken;   /* body bytes that cannot be had again were used */
	bool is_request_over; /* the request was sent to its end */

	/* Of OUTCOME_FAILED. */
	int status;
	enum try_outcome how;
	const char *why;

	struct block *block; /* the answer's head, and what came with it: [begin, end) */
	uint32_t begin, end;
	struct http_response response;
};

enum outcome trial_failed(struct trial *t, int status, enum try_outcome how, const char *why);
enum outcome trial_ended(struct trial *t, ssize_t end,
			 const char *doing); /* the upstream's connection did */

/* One piece as it is, or as a chunk, with the last one and the trailers behind it when
 * is_last: at most PIECE_IOVS, using `line`. */
enum { PIECE_IOVS = 5 };
int piece_iov(struct iovec *iov, bool is_chunked, char line[20], str piece, bool is_last,
	      str trailers);

/* send.c: takes the body in, as far as request_buffering says; false when the request
 * was answered (or its client went away) here. */
bool take_body(struct trial *t) SUSPENDS;
enum outcome send_request(struct trial *t) SUSPENDS;

/* An answer's body has begun to reach the client: what ends the request's now ends all. */
void sender_commit(struct trial *t);
/* It ends, wherever it is; before the link does. */
void sender_stop(struct trial *t) SUSPENDS;
int64_t sender_moved_ms(const struct trial *t); /* when it last moved a byte; 0: it has ended */

/* stream.c: the same to a target that speaks HTTP/2. */
enum outcome send_stream(struct trial *t) SUSPENDS;
enum outcome receive_stream_head(struct trial *t) SUSPENDS;

/* send.c: what ended the client's side while its body was being read. */
enum outcome client_failed(struct trial *t, ssize_t end);

/* relay.c */
enum outcome receive_head(struct trial *t) SUSPENDS;
/* Until the target says something: 1, or an end; BODY_WATCHED when the client hangs up
 * first. */
ssize_t await_answer(struct trial *t, deadline until) SUSPENDS;
enum outcome relay(struct trial *t) SUSPENDS;
