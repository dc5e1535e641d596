/* SPDX-License-Identifier: Apache-2.0 */
/* The request's way to a target.
 *
 * With request_buffering the body is taken in first: a small one stays in the
 * block that its head came in, a larger one is spooled; either can be sent again,
 * and its length is known.  Without, it is streamed as it comes.  A target may
 * answer before it has taken everything: then nothing more is sent. */
#include "serve/forward.h"

#include "base/log.h"
#include "http/h2.h"

static int64_t body_timeout(const struct req *r)
{
	return r->proxy->shared->settings->proxy_http.client_body_timeout;
}

enum outcome client_failed(struct trial *t, ssize_t end)
{
	struct req *r = t->r;

	r->keep_alive = false;
	if (end == BODY_BAD || end == BODY_TOO_LARGE || end == NET_TIMEOUT) {
		r->must_linger = true;
		t->is_body_taken = true;
		return trial_failed(t,
				    end == BODY_BAD         ? 400
				    : end == BODY_TOO_LARGE ? 413
							    : 408,
				    TRY_ANSWERED, "the request's body ended badly");
	}
	return OUTCOME_GONE;
}

/* ---- taking the body in ------------------------------------------------------------ */

static void invite_stream(struct req *r)
{
	struct http_headers fields = { 0 };

	http_add(r->arena, &fields, STR(":status"), STR("100"));
	h2_answer(&r->client->sock, &fields, false);
}

bool body_invite(struct req *r)
{
	struct iovec iov = { (char *)(uintptr_t) "HTTP/1.1 100 Continue\r\n\r\n", 25 };

	if (!r->in.expects_continue || r->body.is_done || r->body.at != r->body.end)
		return true;
	r->in.expects_continue = false;
	if (r->in.is_h2) {
		invite_stream(r);
		return true;
	}
	return send_all(&r->client->sock, &iov, 1,
			r->proxy->shared->settings->proxy_http.send_timeout, NULL) == 1;
}

static enum outcome spool_body(struct trial *t)
{
	struct req *r = t->r;
	struct proxy_shared *shared = r->proxy->shared;
	char *piece;
	ssize_t n;

	spool_init(&t->spool, shared->body_folder,
		   (size_t)shared->settings->proxy_http.client_body_buffer, 0);
	t->is_spooled = true;
	while ((n = body_next(&r->body, body_timeout(r), NULL, &piece)) > 0) {
		struct err *e = spool_add(&t->spool, piece, (size_t)n);

		if (e) {
			log_err(LOG_CRIT_, e, "request of client " STRF, STRV(r->client_ip));
			r->keep_alive = false;
			r->must_linger = true;
			return trial_failed(t, 500, TRY_ANSWERED, "the body cannot be kept");
		}
	}
	return n < 0 ? client_failed(t, n) : OUTCOME_OK;
}

/* A stream has no block that its head came in. */
static void give_block(struct req *r)
{
	struct body *b = &r->body;

	if (b->head || b->at != b->end)
		return;
	b->head = r->client->block = block_get(BLOCK_SMALL);
	b->at = b->end = b->head->data;
}

static enum outcome buffer_body(struct trial *t)
{
	ssize_t end = 0;

	give_block(t->r);
	if (t->r->body.head)
		t->is_gathered = body_gather(&t->r->body, body_timeout(t->r), &t->gathered, &end);
	if (end != 0)
		return client_failed(t, end);
	return t->is_gathered ? OUTCOME_OK : spool_body(t);
}

bool take_body(struct trial *t)
{
	struct req *r = t->r;
	enum outcome end = OUTCOME_OK;

	if (r->has_body_sent) {
		t->is_gathered = true;
		t->gathered = r->body_sent;
		return true;
	}
	if (r->body.kind == HTTP_BODY_NONE)
		return true;
	if (!body_invite(r))
		end = OUTCOME_GONE;
	else if (r->route->route->request_buffering && !r->service->is_grpc)
		end = buffer_body(t);
	if (end == OUTCOME_FAILED) {
		reply_failure(r, t->status);
	} else if (end == OUTCOME_GONE) {
		r->is_client_gone = true;
		r->status = 499;
	}
	return end == OUTCOME_OK;
}

/* ---- sending ------------------------------------------------------------------------- */

static size_t chunk_line(char line[20], size_t n)
{
	static const char hex[] = "0123456789abcdef";
	char digits[16];
	size_t k = 0, at = 0;

	do
		digits[k++] = hex[n & 15];
	while (n >>= 4);
	while (k)
		line[at++] = digits[--k];
	line[at++] = '\r';
	line[at++] = '\n';
	return at;
}

static struct iovec iov_of(str s)
{
	return (struct iovec){ (char *)(uintptr_t)s.s, s.n };
}

int piece_iov(struct iovec *iov, bool is_chunked, char line[20], str piece, bool is_last,
	      str trailers)
{
	bool is_plain_end = is_last && trailers.n == 0;
	int k = 0;

	if (!is_chunked) {
		iov[k++] = iov_of(piece);
		return k;
	}
	if (piece.n) {
		iov[k++] = (struct iovec){ line, chunk_line(line, piece.n) };
		iov[k++] = iov_of(piece);
		iov[k++] = iov_of(is_plain_end ? STR("\r\n0\r\n\r\n")
				  : is_last    ? STR("\r\n0\r\n")
					       : STR("\r\n"));
	} else if (is_last) {
		iov[k++] = iov_of(is_plain_end ? STR("0\r\n\r\n") : STR("0\r\n"));
	}
	if (is_last && !is_plain_end) {
		iov[k++] = iov_of(trailers);
		iov[k++] = iov_of(STR("\r\n"));
	}
	return k;
}

/* Writes to the target; OK also when it answers before it has taken all (*ret_early). */
static enum outcome send_up(struct trial *t, struct iovec *iov, int n, bool *ret_early)
{
	struct io_want answer = { &t->link->sock.io, IO_READ };
	int64_t timeout_ms = timeout_of(t->r->service->service->write_timeout);
	ssize_t end = send_all(&t->link->sock, iov, n, timeout_ms, &answer);

	*ret_early = end == BODY_WATCHED || end == NET_RESET; /* it may have said why it closed */
	t->is_sent = true;
	if (end == 1 || *ret_early)
		return OUTCOME_OK;
	return trial_ended(t, end, sock_error(&t->link->sock));
}

/* Nothing of the body is here yet: the head goes ahead alone. */
static bool is_body_to_come(const struct body *b)
{
	return b->at == b->end && !b->ready_n && !b->is_done;
}

/* The body as it comes, behind what iov holds already (the head). */
static enum outcome stream_body(struct trial *t, struct iovec *iov, int n)
{
	struct req *r = t->r;
	struct io_want answer = { &t->link->sock.io, IO_READ };
	bool is_chunked = r->body.kind != HTTP_BODY_LENGTH, is_early = false;

	t->is_body_taken = true;
	for (;;) {
		char line[20], *piece = NULL;
		enum outcome end;

		if (n == 0 || !is_body_to_come(&r->body)) {
			ssize_t got = body_next(&r->body, body_timeout(r), &answer, &piece);

			if (got == BODY_WATCHED)
				return OUTCOME_OK; /* an early answer */
			if (got < 0)
				return client_failed(t, got);
			n += piece_iov(iov + n, is_chunked, line, str_at(piece, (size_t)got),
				       r->body.is_done, STR_NONE);
		}
		client_watch(r->client);
		end = send_up(t, iov, n, &is_early);
		client_unwatch(r->client);
		if (end != OUTCOME_OK || is_early)
			return end;
		t->is_request_over = r->body.is_done && !r->body.ready_n;
		if (t->is_request_over)
			return OUTCOME_OK;
		n = 0;
	}
}

/* A spooled body, behind what iov holds already. */
static enum outcome send_spool(struct trial *t, struct iovec *iov, int n)
{
	spool_rewind(&t->spool);
	for (;;) {
		bool is_early;
		char *piece;
		ssize_t got = spool_next(&t->spool, SIZE_MAX, &piece);
		enum outcome end;

		if (got < 0)
			return trial_failed(t, 500, TRY_ANSWERED,
					    "the spooled body cannot be read");
		if (got == 0 && n == 0) {
			t->is_request_over = true;
			return OUTCOME_OK;
		}
		iov[n++] = (struct iovec){ piece, (size_t)got };
		end = send_up(t, iov, n, &is_early);
		if (end != OUTCOME_OK || is_early)
			return end;
		spool_took(&t->spool, (size_t)got);
		n = 0;
	}
}

static int64_t length_to_send(const struct trial *t)
{
	const struct req *r = t->r;

	if (t->is_gathered)
		return (int64_t)t->gathered.n;
	if (t->is_spooled)
		return (int64_t)spool_size(&t->spool);
	if (r->body.kind == HTTP_BODY_LENGTH)
		return r->in.length;
	return r->body.kind == HTTP_BODY_NONE ? LENGTH_NONE : LENGTH_CHUNKED;
}

enum outcome send_request(struct trial *t)
{
	struct block *head;
	struct iovec iov[1 + PIECE_IOVS];
	enum outcome end;
	bool is_early;
	uint32_t n;

	if (t->link->shared)
		return send_stream(t);
	head = head_for_upstream(t->r, length_to_send(t), &n);
	if (!head)
		return trial_failed(t, 500, TRY_ANSWERED, "the head is too large");
	iov[0] = (struct iovec){ head->data, n };
	if (t->is_spooled) {
		client_watch(t->r->client);
		end = send_spool(t, iov, 1);
		client_unwatch(t->r->client);
	} else if (t->is_gathered || t->r->body.kind == HTTP_BODY_NONE) {
		iov[1] = (struct iovec){ (char *)(uintptr_t)t->gathered.s, t->gathered.n };
		end = send_up(t, iov, 2, &is_early);
		t->is_request_over = end == OUTCOME_OK && !is_early;
	} else {
		end = stream_body(t, iov, 1);
	}
	block_put(&head);
	return end;
}
