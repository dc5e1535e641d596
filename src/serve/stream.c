/* SPDX-License-Identifier: Apache-2.0 */
/* The request's way to a target that speaks HTTP/2, and the head of its answer.
 *
 * Both directions flow at once: the body is sent by a fiber of its own (the sender) while
 * the request's fiber waits for the answer and relays it.  Nothing is buffered but what
 * makes it possible to send a short body once more.  As long as one direction moves, the
 * other may be silent. */
#include "serve/forward.h"

#include "http/h2.h"

#define KEPT_MOST  ((size_t)64 * 1024)
#define NO_TIMEOUT INT32_MAX /* in ms: silence of the client alone ends nothing */

struct sender {
	struct trial *t;
	struct fiber *asker; /* the request's fiber */
	struct fiber *fiber; /* NULL: it has ended */
	int64_t moved_ms;    /* when something was last taken from the client, or sent */
	ssize_t failure;     /* how the client's side ended; 0: well */
	bool is_stuck;       /* the target took nothing for too long */
	bool is_committed;
};

/* ---- the sender ----------------------------------------------------------------------- */

static bool send_piece(struct sender *s, str piece)
{
	struct iovec iov = { (char *)(uintptr_t)piece.s, piece.n };
	int64_t timeout_ms = timeout_of(s->t->r->service->service->write_timeout);
	ssize_t end = piece.n ? send_all(&s->t->link->sock, &iov, 1, timeout_ms, NULL) : 1;

	s->moved_ms = loop_now_ms();
	s->is_stuck = end == NET_TIMEOUT;
	return end == 1; /* else the answer tells why */
}

/* So that another target can have it too. */
static void keep(struct trial *t, str piece)
{
	if (t->is_body_taken)
		return;
	buf_add_str(&t->kept, piece);
	if (t->kept.is_full) {
		t->is_body_taken = true;
		buf_done(&t->kept);
	}
}

static bool stream_body(struct sender *s)
{
	struct trial *t = s->t;
	struct body *b = &t->r->body;

	while (!b->is_done || b->ready_n) {
		char *p;
		ssize_t n = body_next(b, NO_TIMEOUT, NULL, &p);

		s->moved_ms = loop_now_ms();
		if (n < 0) {
			s->failure = n;
			return false;
		}
		keep(t, str_at(p, (size_t)n));
		if (!send_piece(s, str_at(p, (size_t)n)))
			return false;
	}
	return true;
}

static void run(void *arg)
{
	struct sender *s = arg;
	struct trial *t = s->t;
	bool is_whole;

	s->fiber = fiber_self();
	if (t->is_gathered)
		is_whole = send_piece(s, t->gathered);
	else
		is_whole = send_piece(s, buf_str(&t->kept)) && stream_body(s);
	if (is_whole) {
		t->is_request_over = true;
		sock_shutdown_write(&t->link->sock);
	}
	s->fiber = NULL;
	if (is_whole || fiber_is_cancelled() || (!s->failure && !s->is_stuck))
		return;
	if (s->is_committed)
		fiber_cancel(s->asker);
	else
		io_tell(&t->link->sock.io, IO_READ);
}

static void start_sender(struct trial *t)
{
	struct sender *s = NEW(t->r->arena, struct sender);

	s->t = t;
	s->asker = fiber_self();
	s->moved_ms = loop_now_ms();
	t->sender = s;
	if (!t->kept.max)
		buf_init(&t->kept, KEPT_MOST);
	fiber_start_now("request's body", run, s);
}

void sender_stop(struct trial *t)
{
	struct sender *s = t->sender;

	if (!s)
		return;
	if (s->fiber)
		fiber_cancel(s->fiber);
	while (s->fiber) /* it unwinds; we may be cancelled ourselves, so nothing else waits */
		fiber_yield();
	t->sender = NULL;
}

void sender_commit(struct trial *t)
{
	struct sender *s = t->sender;

	if (!s)
		return;
	s->is_committed = true;
	if (s->failure || s->is_stuck)
		fiber_cancel(s->asker);
}

int64_t sender_moved_ms(const struct trial *t)
{
	return t->sender && t->sender->fiber ? t->sender->moved_ms : 0;
}

/* ---- the request ------------------------------------------------------------------------ */

enum outcome send_stream(struct trial *t)
{
	struct req *r = t->r;
	struct http_headers fields = { 0 };
	int64_t length = r->body.kind == HTTP_BODY_LENGTH ? r->in.length : LENGTH_NONE;
	bool has_body = t->is_gathered ? t->gathered.n > 0 : r->body.kind != HTTP_BODY_NONE;

	if (t->is_gathered)
		length = (int64_t)t->gathered.n;
	fields_for_upstream(r, length, &fields);
	if (!link_begin(t->link, &fields, has_body))
		return trial_failed(t, 502, TRY_BROKEN, "takes no more requests");
	t->is_sent = true;
	t->is_request_over = !has_body;
	if (has_body)
		start_sender(t);
	return OUTCOME_OK;
}

/* What the sender has to tell before there is an answer. */
static enum outcome sender_outcome(struct trial *t)
{
	const struct sender *s = t->sender;

	if (s && s->failure)
		return client_failed(t, s->failure);
	if (s && s->is_stuck)
		return trial_failed(t, 504, TRY_TIMED_OUT, "timed out");
	return OUTCOME_OK;
}

static enum outcome stream_ended(struct trial *t, ssize_t end)
{
	if (end == BODY_WATCHED)
		return OUTCOME_GONE;
	if (end == NET_RESET && link_is_refused(t->link)) {
		t->is_sent = false;
		return trial_failed(t, 502, TRY_BROKEN, "refused the request");
	}
	if (end == NET_RESET)
		return trial_failed(t, 502, TRY_BROKEN, "reset the stream");
	if (end < NET_AGAIN)
		return trial_failed(t, 502, TRY_BROKEN, "sent an invalid head");
	return trial_ended(t, end, sock_error(&t->link->sock));
}

enum outcome receive_stream_head(struct trial *t)
{
	struct req *r = t->r;
	int64_t read_ms = timeout_of(r->service->service->read_timeout);
	deadline until = deadline_in(read_ms);

	block_put(&t->block);
	t->begin = t->end = 0;
	for (;;) {
		ssize_t n = h2_take_response(&t->link->sock, r->arena, method_for_upstream(r),
					     &t->response);
		enum outcome end;

		if (n > 0)
			return OUTCOME_OK;
		if (n < 0)
			return stream_ended(t, n);
		end = sender_outcome(t);
		if (end != OUTCOME_OK)
			return end;
		n = await_answer(t, until);
		if (n == NET_TIMEOUT && sender_moved_ms(t) + read_ms > loop_now_ms())
			until = sender_moved_ms(t) + read_ms;
		else if (n != 1)
			return stream_ended(t, n);
	}
}
