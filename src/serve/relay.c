/* SPDX-License-Identifier: Apache-2.0 */
/* The answer's way to the client.
 *
 * With response_buffering a client that reads slowly does not hold the target:
 * what it has not taken yet is spooled, and the target's connection is free as
 * soon as the answer is whole.  Without, the target is read as fast as the client
 * takes.  An answer that breaks off ends the client's connection, so that it
 * cannot be taken for whole. */
#include "serve/forward.h"

#include "base/limits.h"
#include "base/log.h"
#include "http/h2.h"
#include "serve/phases.h"

#define MAX_INTERIM 16                     /* 1xx answers in front of the real one */
#define FILE_MAX    ((uint64_t)1024 << 20) /* of a spooled answer: nginx's proxy_max_temp_file_size */
#define JOIN_MOST   4096
#define SOON_MS     20
#define DROP_MOST   (64 * 1024) /* of a body that is dropped, to keep the connection */
#define DRAIN_PIECE ((size_t)256 * 1024)

/* ---- the head -------------------------------------------------------------------------- */

/* A client that has not been registered with the poller yet is left alone for the first
 * moments, in which most answers come: a system call less. */
ssize_t await_answer(struct trial *t, deadline until)
{
	struct io *client = &t->r->client->sock.io, *target = &t->link->sock.io;
	struct io_want want[2] = { { target, IO_READ }, { client, IO_HUP } };
	deadline soon = deadline_in(SOON_MS);
	enum wait w = WAIT_TIMEOUT;
	int which = 0;

	if (!client->is_registered)
		w = io_wait(target, IO_READ, soon < until ? soon : until);
	if (w == WAIT_TIMEOUT)
		w = io_wait_any(want, 2, until, &which);
	if (w == WAIT_OK)
		return which == 1 ? BODY_WATCHED : 1;
	return w == WAIT_TIMEOUT ? NET_TIMEOUT : NET_CANCELLED;
}

/* Some bytes of the answer.  Who waits for the first ones holds no block. */
static ssize_t read_answer(struct trial *t)
{
	struct sock *s = &t->link->sock;
	deadline until = deadline_in(timeout_of(t->r->service->service->read_timeout));

	for (;;) {
		ssize_t n = NET_AGAIN;

		if (t->block || sock_has_pending(s)) {
			if (!block_make_room(&t->block, &t->begin, &t->end))
				return BODY_TOO_LARGE;
			n = sock_try_read(s, t->block->data + t->end, t->block->size - t->end);
		}
		if (n != NET_AGAIN)
			return n;
		n = await_answer(t, until);
		if (n != 1)
			return n;
		if (!t->block)
			t->block = block_get(BLOCK_SMALL);
	}
}

/* Reads heads until one that is no interim answer. */
enum outcome receive_head(struct trial *t)
{
	struct req *r = t->r;
	size_t scanned = 0;
	int interim = 0;

	if (t->link->shared)
		return receive_stream_head(t);
	t->begin = t->end = 0;
	for (;;) {
		ssize_t n = HTTP_MORE;

		if (t->end > t->begin)
			n = http_parse_response(
				r->arena, t->block->data + t->begin, t->end - t->begin, &scanned,
				&r->proxy->shared->limits, method_for_upstream(r), &t->response);
		if (n < 0)
			return trial_failed(t, 502, TRY_BROKEN, "sent an invalid head");
		if (n > 0) {
			t->begin += (uint32_t)n;
			if (t->response.status >= 200 || t->response.status == 101)
				return OUTCOME_OK;
			if (++interim > MAX_INTERIM)
				return trial_failed(t, 502, TRY_BROKEN,
						    "sent too many interim answers");
			scanned = 0;
			continue;
		}
		n = read_answer(t);
		if (n == BODY_TOO_LARGE)
			return trial_failed(t, 502, TRY_BROKEN, "sent too big a head");
		if (n == BODY_WATCHED)
			return OUTCOME_GONE;
		if (n <= 0)
			return trial_ended(t, n, sock_error(&t->link->sock));
		t->end += (uint32_t)n;
	}
}

/* How the body is framed for this client. */
static enum http_body framing_for_client(const struct trial *t)
{
	const struct http_response *response = &t->response;
	struct req *r = t->r;
	bool is_stream = t->link->shared != NULL; /* trailers may follow an empty body */

	if (r->in.method == HTTP_HEAD || r->status == 204 || r->status == 304)
		return HTTP_BODY_NONE;
	if (response->body == HTTP_BODY_LENGTH && !plugins_change_body(r) &&
	    (!is_stream || response->length))
		return HTTP_BODY_LENGTH;
	if (response->body == HTTP_BODY_NONE && !(is_stream && plugins_change_body(r)))
		return HTTP_BODY_NONE;
	if (r->in.is_h2)
		return HTTP_BODY_TO_CLOSE;
	if (r->in.minor >= 1)
		return HTTP_BODY_CHUNKED;
	r->keep_alive = false;
	return HTTP_BODY_TO_CLOSE;
}

static void take_response(struct trial *t)
{
	struct req *r = t->r;

	r->status = t->response.status;
	r->reason = t->response.reason;
	r->reply = t->response.headers;
	r->upstream_code = r->tried_status = t->response.status;
	r->answered_ms = loop_now_ms();
	r->header_ms = r->answered_ms - r->balanced_ms;
	if (r->pick.set_cookie.n)
		http_add_id(r->arena, &r->reply, HTTP_SET_COOKIE, r->pick.set_cookie);
	if (!t->is_request_over) {
		r->keep_alive = false;
		r->must_linger = true;
	}
}

/* ---- the body --------------------------------------------------------------------------- */

/* What flows to the client. */
struct outflow {
	struct req *r;
	const struct trial *t;
	bool is_buffered;
	bool is_behind; /* the spool holds what the client has not taken */
	struct spool spool;
	int64_t send_ms;
	deadline stuck; /* behind, and no byte was taken until then */
};

static bool gone(struct outflow *o)
{
	o->r->is_client_gone = true;
	return false;
}

/* As much of the spool as the client takes without waiting; false when it is gone. */
static bool drain_some(struct outflow *o)
{
	struct sock *client = &o->r->client->sock;
	ssize_t n;
	char *p;

	while ((n = spool_next(&o->spool, DRAIN_PIECE, &p)) > 0) {
		ssize_t sent = sock_try_write(client, p, (size_t)n);

		if (sent == NET_AGAIN) {
			spool_rest(&o->spool);
			return loop_now_ms() < o->stuck ? true : gone(o);
		}
		if (sent <= 0)
			return gone(o);
		spool_took(&o->spool, (size_t)sent);
		o->stuck = deadline_in(o->send_ms);
	}
	if (n < 0) {
		log_crit("a spooled answer cannot be read back");
		return false;
	}
	spool_done(&o->spool);
	o->is_behind = false;
	return true;
}

static bool drain_all(struct outflow *o)
{
	while (o->is_behind) {
		if (!drain_some(o))
			return false;
		if (o->is_behind && io_wait(&o->r->client->sock.io, IO_WRITE, o->stuck) != WAIT_OK)
			return gone(o);
	}
	return true;
}

/* Keeps what could not be sent; when the file is full, the target has to wait after all. */
static bool keep(struct outflow *o, const struct iovec *iov, int n)
{
	if (!o->is_behind) {
		spool_init(&o->spool, o->r->proxy->shared->body_folder, BLOCK_SMALL, FILE_MAX);
		o->stuck = deadline_in(o->send_ms);
		o->is_behind = true;
	}
	for (int i = 0; i < n; i++) {
		struct err *e = spool_add(&o->spool, iov[i].iov_base, iov[i].iov_len);
		struct iovec rest = iov[i];

		if (!e)
			continue;
		if (e->code != ERR_REFUSED)
			log_err(LOG_CRIT_, e, "answer to client " STRF, STRV(o->r->client_ip));
		err_forget();
		if (!drain_all(o) || send_all(&o->r->client->sock, &rest, 1, o->send_ms, NULL) != 1)
			return gone(o);
		return n - i == 1 || keep(o, iov + i + 1, n - i - 1);
	}
	return true;
}

static bool flow(struct outflow *o, struct iovec *iov, int n)
{
	struct sock *client = &o->r->client->sock;
	ssize_t sent = 1;

	if (!o->is_buffered)
		return send_all(client, iov, n, o->send_ms, NULL) == 1 ? true : gone(o);
	iov_advance(&iov, &n, 0); /* the head of a stream went ahead */
	while (!o->is_behind && n) {
		sent = sock_try_writev(client, iov, n);
		if (sent == NET_AGAIN)
			break;
		if (sent <= 0)
			return gone(o);
		iov_advance(&iov, &n, (size_t)sent);
	}
	if (n && !keep(o, iov, n))
		return false;
	return !o->is_behind || drain_some(o);
}

/* The next piece of the answer; meanwhile the client takes what is spooled for it,
 * and the wait ends when it hangs up. */
static ssize_t next_piece(struct outflow *o, struct body *b, int64_t read_ms, char **ret)
{
	struct io *client = &o->r->client->sock.io;

	for (;;) {
		struct io_want watch = { client, o->is_behind ? IO_WRITE : IO_HUP };
		ssize_t n = body_next(b, read_ms, &watch, ret);

		if (n == NET_TIMEOUT && sender_moved_ms(o->t) + read_ms > loop_now_ms())
			continue;
		if (n != BODY_WATCHED)
			return n;
		if (!o->is_behind || !drain_some(o)) {
			gone(o);
			return NET_RESET;
		}
	}
}

/* A small piece goes behind the head in the head's own block: one buffer is cheaper to
 * send than several. */
static int join_small(struct block *head, struct iovec *iov, int n)
{
	size_t at = iov[0].iov_len, size = 0;

	for (int i = 1; i < n; i++)
		size += iov[i].iov_len;
	if (size > JOIN_MOST || size > head->size - at)
		return n;
	for (int i = 1; i < n; i++) {
		if (iov[i].iov_len)
			memcpy(head->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	iov[0].iov_len = at;
	return 1;
}

static void count(struct req *r, const struct iovec *iov, int n, ssize_t body_bytes)
{
	for (int i = 0; i < n; i++)
		r->bytes_sent += iov[i].iov_len;
	r->body_bytes_sent += (uint64_t)body_bytes;
}

/* Behind a body of HTTP/2: for a client that speaks it too, for plugins, and for others who
 * want them. */
static void take_trailers(struct outflow *o, struct body *b)
{
	o->r->trailers = str_copy(o->r->arena, h2_trailers(&o->t->link->sock));
	if (b->trailers)
		buf_add_str(b->trailers, o->r->trailers);
}

/* The body, behind the head.  True when all of it was received and sent or kept. */
static bool relay_body(struct outflow *o, struct block *head, uint32_t head_n,
		       enum http_body framing, struct body *b)
{
	struct req *r = o->r;
	struct iovec iov[1 + PIECE_IOVS] = { { head->data, head_n } };
	bool is_first = true;
	int64_t read_ms = timeout_of(r->service->service->read_timeout);
	int n = 1;

	for (;;) {
		char line[20], *piece = NULL;
		ssize_t got = 0;

		/* The head does not wait for a body that is still to come. */
		if (n == 0 || b->at < b->end || b->is_done) {
			got = next_piece(o, b, read_ms, &piece);
			if (got < 0) {
				if (!r->is_client_gone)
					log_error("upstream " STRF
						  " broke off in the middle of a body",
						  STRV(r->upstream_addr));
				return false;
			}
			if (b->is_done)
				r->received_ms = loop_now_ms();
			if (b->is_done && o->t->link->shared)
				take_trailers(o, b);
			if (r->run && framing != HTTP_BODY_NONE) {
				str sent = plugins_body_filter(r, str_at(piece, (size_t)got),
							       b->is_done);

				piece = (char *)(uintptr_t)sent.s;
				got = (ssize_t)sent.n;
			}
			n += piece_iov(iov + n, framing == HTTP_BODY_CHUNKED, line,
				       str_at(piece, (size_t)got), b->is_done,
				       b->trailers ? buf_str(b->trailers) : STR_NONE);
		}
		if (is_first)
			n = join_small(head, iov, n);
		is_first = false;
		count(r, iov, n, got);
		if (!flow(o, iov, n))
			return false;
		if (b->is_done)
			return true;
		n = 0;
	}
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* The answer's body as it comes, behind what came with its head.  That of a stream ends with
 * the stream, for trailers may follow. */
static void start_body(struct trial *t, struct body *b, bool is_none)
{
	char *p = t->block ? t->block->data : NULL;
	enum http_body kind = is_none ? HTTP_BODY_NONE : t->response.body;

	if (t->link->shared && kind != HTTP_BODY_NONE)
		kind = HTTP_BODY_TO_CLOSE;
	body_init(b, &t->link->sock, t->block, p ? p + t->begin : NULL, p ? p + t->end : NULL, kind,
		  t->response.length);
}

/* The target's connection is free: back to the pool when all is well with it. */
static void end_link(struct trial *t, bool is_whole, const struct body *b)
{
	sender_stop(t);
	if (is_whole && t->response.keep_alive && t->is_request_over && b->at == b->end)
		link_keep(&t->link);
	else
		link_close(&t->link);
}

/* Is everything read that the target sends?  Not when a plugin has made a GET of a HEAD: its
 * body would be the next answer. */
static bool takes_all(const struct trial *t, enum http_body framing)
{
	return framing != HTTP_BODY_NONE || t->response.body == HTTP_BODY_NONE;
}

/* A plugin makes an answer of HTTP/1.1 of one of gRPC, trailers included: what it said of TE
 * was for the target. */
static bool is_translated(const struct trial *t)
{
	return t->link->shared && !t->r->in.is_h2 && plugins_change_body(t->r);
}

static enum outcome relay_answer(struct trial *t)
{
	struct req *r = t->r;
	enum http_body framing = framing_for_client(t);
	struct outflow o = {
		.r = r,
		.t = t,
		.is_buffered = r->route->route->response_buffering && !t->link->shared,
		.send_ms = r->proxy->shared->settings->proxy_http.send_timeout,
	};
	struct block *head;
	struct buf trailers CLEANUP(buf_done);
	struct body b;
	bool is_whole;
	uint32_t n;

	head = head_for_client(r, framing, t->response.length, &n);
	if (!head)
		return trial_failed(t, 502, TRY_BROKEN, "sent too big a head");
	sender_commit(t);
	start_body(t, &b, framing == HTTP_BODY_NONE);
	buf_init(&trailers, 0);
	if (wants_trailers(r) && !is_translated(t))
		b.trailers = &trailers;
	is_whole = relay_body(&o, head, n, framing, &b);
	block_put(&head);
	end_link(t, is_whole && takes_all(t, framing), &b);
	body_done(&b);
	is_whole = is_whole && drain_all(&o);
	if (trailers.n)
		r->trailers = str_copy(r->arena, buf_str(&trailers));
	if (o.is_behind)
		spool_done(&o.spool);
	if (!is_whole &&
	    !r->is_client_gone) /* or a body that ends with the connection would look whole */
		sock_reset(&r->client->sock);
	r->is_client_gone |= !is_whole;
	return OUTCOME_OK;
}

/* The head alone, for plugins that let nothing else through: what of the target's body is
 * soon there is read, so that its connection can be kept. */
static enum outcome relay_head(struct trial *t)
{
	struct req *r = t->r;
	bool is_tunnel = t->response.status == 101;
	struct body b;

	start_body(t, &b, false);
	end_link(t, !is_tunnel && body_discard(&b, DROP_MOST, SOON_MS), &b);
	body_done(&b);
	reply_whole(r, STR(""));
	return OUTCOME_OK;
}

/* For plugins that want to see the whole answer first. */
static enum outcome relay_gathered(struct trial *t)
{
	struct req *r = t->r;
	int64_t read_ms = timeout_of(r->service->service->read_timeout);
	enum http_body framing = framing_for_client(t);
	struct buf all CLEANUP(buf_done);
	struct body b;
	char *piece;
	ssize_t n;

	buf_init(&all, LIMIT_PLUGIN_BODY);
	start_body(t, &b, framing == HTTP_BODY_NONE);
	while ((n = body_next(&b, read_ms, NULL, &piece)) > 0)
		buf_add(&all, piece, (size_t)n);
	end_link(t, n == 0 && takes_all(t, framing), &b);
	body_done(&b);
	if (n < 0 || all.is_full)
		return trial_failed(t, 502, TRY_BROKEN,
				    n < 0 ? "broke off in the middle of a body"
					  : "sent a body that is too large for plugins");
	r->run->whole = str_copy(r->arena, buf_str(&all));
	if (plugins_response(r) == DONE)
		reply_answer(r, r->run->answer.status, r->run->answer.type, r->run->answer.body);
	else
		reply_whole(r, r->run->whole);
	return OUTCOME_OK;
}

/* A plugin has made a HEAD of another method: the length that it answers is that of no body. */
static bool is_head_alone(const struct trial *t)
{
	return method_for_upstream(t->r) == HTTP_HEAD && t->r->in.method != HTTP_HEAD &&
	       t->response.status != 101;
}

static bool is_websocket(const struct http_headers *h)
{
	const struct http_header *to = http_get(h, HTTP_UPGRADE);

	return to && str_is_ci(to->value, "websocket");
}

/* 101: only when it was asked for. */
static enum outcome upgrade(struct trial *t)
{
	struct req *r = t->r;
	struct block *head;
	struct iovec iov;
	bool is_sent;
	uint32_t n;

	if (!r->in.wants_upgrade || !is_websocket(&r->in.headers) ||
	    !is_websocket(&t->response.headers))
		return trial_failed(t, 502, TRY_BROKEN, "switched protocols without being asked");
	if (!t->is_request_over) /* the rest of the body would be the protocol's first bytes */
		return trial_failed(t, 502, TRY_BROKEN, "switched protocols within the request");
	r->keep_alive = false;
	head = head_for_client(r, HTTP_BODY_NONE, 0, &n);
	if (!head)
		return trial_failed(t, 502, TRY_BROKEN, "sent too big a head");
	iov = (struct iovec){ head->data, n };
	r->bytes_sent = n;
	is_sent = send_all(&r->client->sock, &iov, 1,
			   r->proxy->shared->settings->proxy_http.send_timeout, NULL) == 1;
	block_put(&head);
	if (is_sent)
		tunnel_of_request(r, &t->link, str_at(t->block->data + t->begin, t->end - t->begin),
				  timeout_of(r->service->service->read_timeout));
	else
		r->is_client_gone = true;
	return OUTCOME_OK;
}

enum outcome relay(struct trial *t)
{
	take_response(t);
	if (t->response.status == 101)
		tunnel_keep_reply(t->r);
	if (plugins_want_whole(t->r) && !t->link->shared)
		return relay_gathered(t);
	plugins_header_filter(t->r);
	if (plugins_drop_body(t->r) || is_head_alone(t))
		return relay_head(t);
	return t->response.status == 101 ? upgrade(t) : relay_answer(t);
}
