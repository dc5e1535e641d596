/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding: the request to a target of its service, what comes back to the client.
 *
 *	pick ─► connect ─► send ─► receive head ─► relay ─► done
 *	  ▲        │         │          │            └─ broken: the client's connection ends too
 *	  └────────┴─────────┴──────────┘ another try, while the request may be repeated
 *
 * A request may be repeated while the client has seen nothing, its body can be
 * sent again, and it either did not reach the target or is idempotent. */
#include "serve/req.h"

#include "base/log.h"

#define MAX_INTERIM 16 /* 1xx answers in front of the real one */

/* How a try ended. */
enum attempt {
	ATTEMPT_DONE,   /* answered, one way or the other */
	ATTEMPT_FAILED, /* no answer: .status says what the client would get */
	ATTEMPT_GONE,   /* the client went away */
};

struct
try {
	struct req *r;
	struct link *link;
	str gathered; /* the request's body, when all of it is at hand */
	bool is_gathered;
	bool is_sent;         /* bytes of the request may have reached the target */
	bool is_body_taken;   /* body bytes that cannot be had again were used */
	bool is_request_over; /* the request was sent to its end */
	int status;           /* of ATTEMPT_FAILED */
	enum try_outcome how;
	const char *why;
	struct block *block; /* the response's head */
	uint32_t begin, end;
	struct http_response response;
};

static int64_t timeout_of(int64_t configured)
{
	return configured > 0 ? configured : 60000;
}

static enum attempt fail(struct try *t, int status, enum try_outcome how, const char *why)
{
	t->status = status;
	t->how = how;
	t->why = why;
	return ATTEMPT_FAILED;
}

/* An end of the upstream's connection as a failure. */
static enum attempt fail_by_end(struct try *t, ssize_t end, const char *doing)
{
	if (end == NET_CANCELLED)
		return ATTEMPT_GONE;
	if (end == NET_TIMEOUT)
		return fail(t, 504, TRY_TIMED_OUT, "timed out");
	return fail(t, 502, TRY_BROKEN, end == NET_EOF ? "closed the connection" : doing);
}

/* ---- connecting ------------------------------------------------------------------ */

/* SNI and the name to verify: the Host that is sent, without its port; never an IP as SNI. */
static str server_name(const struct req *r)
{
	str host = host_for_upstream(r);
	ptrdiff_t colon = str_find_last(host, ':');
	ptrdiff_t bracket = str_find_last(host, ']');

	if (colon > bracket && (bracket >= 0 || str_find(host, ':', 0) == colon))
		host = str_part(host, 0, (size_t)colon);
	return host;
}

static enum attempt connect_to(struct try *t)
{
	struct req *r = t->r;
	const struct service_plan *s = r->service;
	struct link_target target = {
		.address = &r->pick.address,
		.tls = s->tls,
		.tls_identity = s->tls_identity,
		.verify_name = s->verify_name,
	};
	int64_t start = loop_now_ms();
	const char *why = "";
	enum link_end end;

	if (s->tls)
		target.server_name = server_name(r);
	end = link_open(r->proxy->links, &target,
			deadline_in(timeout_of(s->service->connect_timeout)), &t->link, &why);
	r->connect_ms = loop_now_ms() - start;
	if (end == LINK_OK) {
		t->link->requests++;
		return ATTEMPT_DONE;
	}
	if (end == LINK_CANCELLED)
		return ATTEMPT_GONE;
	if (end == LINK_TIMEOUT)
		return fail(t, 504, TRY_TIMED_OUT, "timed out while connecting");
	return fail(t, 502, TRY_CONNECT_FAILED, why);
}

/* ---- the request's way ------------------------------------------------------------- */

/* What ended the client's side while its body was being read. */
static enum attempt fail_of_client(struct try *t, ssize_t end)
{
	struct req *r = t->r;

	r->keep_alive = false;
	if (end == BODY_BAD || end == BODY_TOO_LARGE || end == NET_TIMEOUT) {
		r->must_linger = true;
		t->is_body_taken = true;
		return fail(t,
			    end == BODY_BAD         ? 400
			    : end == BODY_TOO_LARGE ? 413
						    : 408,
			    TRY_ANSWERED, "the request's body ended badly");
	}
	return ATTEMPT_GONE;
}

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

/* One piece as a chunk (with the last one behind it when is_last), or as it is. */
static int piece_iov(struct iovec *iov, bool is_chunked, char line[20], char *p, size_t n,
		     bool is_last)
{
	int k = 0;

	if (!is_chunked) {
		iov[k++] = (struct iovec){ p, n };
		return k;
	}
	if (n) {
		iov[k++] = (struct iovec){ line, chunk_line(line, n) };
		iov[k++] = (struct iovec){ p, n };
		iov[k++] = is_last ? (struct iovec){ (char *)(uintptr_t) "\r\n0\r\n\r\n", 7 }
				   : (struct iovec){ (char *)(uintptr_t) "\r\n", 2 };
	} else if (is_last) {
		iov[k++] = (struct iovec){ (char *)(uintptr_t) "0\r\n\r\n", 5 };
	}
	return k;
}

/* Writes to the target; ATTEMPT_DONE also when it answers before it has taken all. */
static enum attempt send_up(struct try *t, struct iovec *iov, int n, bool *ret_early)
{
	struct io_want answer = { &t->link->sock.io, IO_READ };
	int64_t timeout_ms = timeout_of(t->r->service->service->write_timeout);
	ssize_t end = send_all(&t->link->sock, iov, n, timeout_ms, &answer);

	*ret_early = end == BODY_WATCHED || end == NET_RESET; /* it may have said why it closed */
	t->is_sent = true;
	if (end == 1 || *ret_early)
		return ATTEMPT_DONE;
	return fail_by_end(t, end, sock_error(&t->link->sock));
}

/* The rest of a body that is not gathered, as it comes. */
static enum attempt stream_body(struct try *t, struct iovec *iov, int n)
{
	struct req *r = t->r;
	struct io_want answer = { &t->link->sock.io, IO_READ };
	int64_t timeout_ms = r->proxy->shared->settings->proxy_http.client_body_timeout;
	bool is_chunked = r->body.kind == HTTP_BODY_CHUNKED;
	bool is_early = false;

	t->is_body_taken = true;
	for (;;) {
		char line[20], *piece = NULL;
		ssize_t got = 0;
		enum attempt a;

		if (!(n && r->body.at == r->body.end && !r->body.ready_n && !r->body.is_done)) {
			got = body_next(&r->body, timeout_ms, &answer, &piece);
			if (got == BODY_WATCHED)
				return ATTEMPT_DONE; /* an early answer */
			if (got < 0)
				return fail_of_client(t, got);
			n += piece_iov(iov + n, is_chunked, line, piece, (size_t)got,
				       r->body.is_done);
		}
		a = send_up(t, iov, n, &is_early);
		if (a != ATTEMPT_DONE || is_early)
			return a;
		if (r->body.is_done && !r->body.ready_n) {
			t->is_request_over = true;
			return ATTEMPT_DONE;
		}
		n = 0;
	}
}

static enum attempt send_request(struct try *t)
{
	struct req *r = t->r;
	struct block *head;
	struct iovec iov[4];
	enum attempt a;
	bool is_early;
	uint32_t n;
	int64_t length = LENGTH_NONE;

	if (t->is_gathered)
		length = (int64_t)t->gathered.n;
	else if (r->body.kind == HTTP_BODY_LENGTH)
		length = r->in.length;
	else if (r->body.kind == HTTP_BODY_CHUNKED)
		length = LENGTH_CHUNKED;
	head = head_for_upstream(r, length, &n);
	if (!head)
		return fail(t, 500, TRY_ANSWERED, "the head is too large");
	iov[0] = (struct iovec){ head->data, n };
	if (t->is_gathered || r->body.kind == HTTP_BODY_NONE) {
		iov[1] = (struct iovec){ (char *)(uintptr_t)t->gathered.s, t->gathered.n };
		a = send_up(t, iov, 2, &is_early);
		t->is_request_over = a == ATTEMPT_DONE && !is_early;
	} else {
		a = stream_body(t, iov, 1);
	}
	block_put(&head);
	return a;
}

/* ---- the answer's way -------------------------------------------------------------- */

static bool response_room(struct try *t)
{
	struct block *larger;

	if (t->end < t->block->size)
		return true;
	if (t->begin) {
		memmove(t->block->data, t->block->data + t->begin, t->end - t->begin);
		t->end -= t->begin;
		t->begin = 0;
		return true;
	}
	if (t->block->is_large)
		return false;
	larger = block_get(BLOCK_LARGE);
	memcpy(larger->data, t->block->data, t->end);
	block_put(&t->block);
	t->block = larger;
	return true;
}

/* Some bytes of the answer, unless the client hangs up first (BODY_WATCHED). */
static ssize_t read_answer(struct try *t)
{
	struct sock *s = &t->link->sock, *client = &t->r->client->sock;
	deadline until = deadline_in(timeout_of(t->r->service->service->read_timeout));

	for (;;) {
		struct io_want want[2] = { { &s->io, IO_READ }, { &client->io, IO_HUP } };
		ssize_t n = sock_try_read(s, t->block->data + t->end, t->block->size - t->end);
		enum wait w;
		int which;

		if (n != NET_AGAIN)
			return n;
		w = io_wait_any(want, 2, until, &which);
		if (w == WAIT_TIMEOUT)
			return NET_TIMEOUT;
		if (w == WAIT_CANCELLED || which == 1)
			return w == WAIT_CANCELLED ? NET_CANCELLED : BODY_WATCHED;
	}
}

/* Reads heads until one that is no interim answer. */
static enum attempt receive_head(struct try *t)
{
	struct req *r = t->r;
	size_t scanned = 0;
	int interim = 0;

	if (!t->block)
		t->block = block_get(BLOCK_SMALL);
	t->begin = t->end = 0;
	for (;;) {
		ssize_t n = HTTP_MORE;

		if (t->end > t->begin)
			n = http_parse_response(
				r->arena, t->block->data + t->begin, t->end - t->begin, &scanned,
				&r->proxy->shared->limits, r->in.method, &t->response);
		if (n < 0)
			return fail(t, 502, TRY_BROKEN, "sent an invalid head");
		if (n > 0) {
			t->begin += (uint32_t)n;
			if (t->response.status >= 200 || t->response.status == 101)
				return ATTEMPT_DONE;
			if (++interim > MAX_INTERIM)
				return fail(t, 502, TRY_BROKEN, "sent too many interim answers");
			scanned = 0;
			continue;
		}
		if (!response_room(t))
			return fail(t, 502, TRY_BROKEN, "sent too big a head");
		n = read_answer(t);
		if (n == BODY_WATCHED)
			return ATTEMPT_GONE;
		if (n <= 0)
			return fail_by_end(t, n, sock_error(&t->link->sock));
		t->end += (uint32_t)n;
	}
}

/* How the body is framed for this client. */
static enum http_body framing_for_client(struct req *r, const struct http_response *response)
{
	if (r->in.method == HTTP_HEAD || response->status == 204 || response->status == 304)
		return HTTP_BODY_NONE;
	if (response->body == HTTP_BODY_LENGTH)
		return HTTP_BODY_LENGTH;
	if (response->body == HTTP_BODY_NONE)
		return HTTP_BODY_NONE;
	if (r->in.minor >= 1)
		return HTTP_BODY_CHUNKED;
	r->keep_alive = false;
	return HTTP_BODY_TO_CLOSE;
}

/* The body, after the head in iov[0].  True when all of it went through. */
static bool relay_body(struct try *t, struct iovec *iov, enum http_body framing, struct body *b)
{
	struct req *r = t->r;
	int64_t read_ms = timeout_of(r->service->service->read_timeout);
	int64_t send_ms = r->proxy->shared->settings->proxy_http.send_timeout;
	int n = 1;

	for (;;) {
		char line[20], *piece = NULL;
		ssize_t got = 0;

		/* The head does not wait for a body that is still to come. */
		if (n == 0 || b->at < b->end || b->is_done) {
			got = body_next(b, read_ms, NULL, &piece);
			if (got < 0) {
				log_error("upstream " STRF " broke off in the middle of a body",
					  STRV(r->upstream_addr));
				return false;
			}
			n += piece_iov(iov + n, framing == HTTP_BODY_CHUNKED, line, piece,
				       (size_t)got, b->is_done);
		}
		for (int i = 0; i < n; i++)
			r->bytes_sent += iov[i].iov_len;
		r->body_bytes_sent += (uint64_t)got;
		if (n && send_all(&r->client->sock, iov, n, send_ms, NULL) != 1) {
			r->is_client_gone = true;
			return false;
		}
		if (b->is_done)
			return true;
		n = 0;
	}
}

static void take_response(struct try *t)
{
	struct req *r = t->r;

	r->status = t->response.status;
	r->reason = t->response.reason;
	r->reply = t->response.headers;
	r->upstream_code = t->response.status;
	r->answered_ms = loop_now_ms();
	r->header_ms = r->answered_ms - r->balanced_ms;
	if (r->pick.set_cookie.n)
		http_add_id(r->arena, &r->reply, HTTP_SET_COOKIE, r->pick.set_cookie);
	if (!t->is_request_over) {
		r->keep_alive = false;
		r->must_linger = true;
	}
}

/* Passes the answer on; the link goes back to its pool when all is well. */
static enum attempt relay(struct try *t)
{
	struct req *r = t->r;
	enum http_body framing = framing_for_client(r, &t->response);
	struct block *head;
	struct body b;
	struct iovec iov[4];
	bool is_whole;
	uint32_t n;

	head = head_for_client(r, framing, t->response.length, &n);
	if (!head)
		return fail(t, 502, TRY_BROKEN, "sent too big a head");
	iov[0] = (struct iovec){ head->data, n };
	body_init(&b, &t->link->sock, t->block, t->block->data + t->begin, t->block->data + t->end,
		  framing == HTTP_BODY_NONE ? HTTP_BODY_NONE : t->response.body,
		  t->response.length);
	is_whole = relay_body(t, iov, framing, &b);
	block_put(&head);
	if (is_whole && t->response.keep_alive && t->is_request_over && b.at == b.end)
		link_keep(&t->link);
	else
		link_close(&t->link);
	if (!is_whole && !r->is_client_gone)
		sock_reset(
			&r->client
				 ->sock); /* or a body that ends with the connection would look whole */
	r->is_client_gone |= !is_whole;
	body_done(&b);
	return ATTEMPT_DONE;
}

/* 101: only when it was asked for. */
static enum attempt upgrade(struct try *t)
{
	struct req *r = t->r;
	const struct http_header *to = http_get(&t->response.headers, HTTP_UPGRADE);
	struct block *head;
	struct iovec iov;
	uint32_t n;

	if (!r->in.wants_upgrade || !to || !str_is_ci(to->value, "websocket"))
		return fail(t, 502, TRY_BROKEN, "switched protocols without being asked");
	r->keep_alive = false;
	head = head_for_client(r, HTTP_BODY_NONE, 0, &n);
	if (!head)
		return fail(t, 502, TRY_BROKEN, "sent too big a head");
	iov = (struct iovec){ head->data, n };
	r->bytes_sent = n;
	if (send_all(&r->client->sock, &iov, 1, r->proxy->shared->settings->proxy_http.send_timeout,
		     NULL) == 1)
		tunnel(r, &t->link->sock, str_at(t->block->data + t->begin, t->end - t->begin),
		       timeout_of(r->service->service->read_timeout));
	block_put(&head);
	link_close(&t->link);
	r->is_client_gone = true;
	return ATTEMPT_DONE;
}

/* ---- tries --------------------------------------------------------------------------- */

static enum attempt attempt(struct try *t)
{
	enum attempt a = connect_to(t);

	if (a == ATTEMPT_DONE)
		a = send_request(t);
	if (a == ATTEMPT_DONE)
		a = receive_head(t);
	if (a != ATTEMPT_DONE)
		return a;
	balance_report(t->r->service->balancer, &t->r->pick, TRY_ANSWERED, t->response.status);
	take_response(t);
	return t->response.status == 101 ? upgrade(t) : relay(t);
}

/* RFC 9110 §9.2.2; nginx leaves POST, LOCK and PATCH out. */
static bool is_idempotent(const struct req *r)
{
	return r->in.method != HTTP_POST && r->in.method != HTTP_PATCH &&
	       !str_is(r->in.method_name, "LOCK");
}

static bool may_repeat(const struct try *t)
{
	if (t->r->upstream_code || t->is_body_taken || t->how == TRY_ANSWERED)
		return false;
	return !t->is_sent || is_idempotent(t->r);
}

static void note_upstream(struct req *r)
{
	char ip[ADDRESS_TEXT];
	size_t n;
	bool is_v6 = r->pick.address.any.sa_family == AF_INET6;

	if (!r->proxy->shared->access_log)
		return;
	n = address_ip(&r->pick.address, ip);
	r->upstream_addr = str_fmt(r->arena, STRF "%s%s%.*s%s:%u", STRV(r->upstream_addr),
				   r->upstream_addr.n ? ", " : "", is_v6 ? "[" : "", (int)n, ip,
				   is_v6 ? "]" : "", address_port(&r->pick.address));
}

static void note_status(struct req *r, int status)
{
	if (!r->proxy->shared->access_log)
		return;
	r->upstream_status = str_fmt(r->arena, STRF "%s%d", STRV(r->upstream_status),
				     r->upstream_status.n ? ", " : "", status);
}

static enum pick_result pick(struct req *r)
{
	struct balance_input in = {
		.request = &r->in,
		.path = r->path,
		.client_ip = r->client_ip,
	};
	enum pick_result p = balance_pick(
		r->service->balancer, r->arena, &in,
		deadline_in(timeout_of(r->service->service->connect_timeout)), &r->pick);

	if (p == PICK_OK)
		r->balanced_ms = loop_now_ms();
	return p;
}

static void reply_no_pick(struct req *r, enum pick_result p)
{
	log_error("no target for service " STRF ": %s", STRV(r->service->service->host),
		  r->pick.why ? r->pick.why : "none is available");
	if (p == PICK_NO_PEER)
		reply_message(r, 503, "failure to get a peer from the ring-balancer");
	else if (p == PICK_NOT_FOUND)
		reply_message(r, 503, "name resolution failed");
	else
		reply_message(r, 500, "An unexpected error occurred");
}

static void client_is_gone(struct req *r)
{
	r->is_client_gone = true;
	r->status = 499;
}

static void told_of_failure(const struct try *t)
{
	const struct req *r = t->r;
	char ip[ADDRESS_TEXT];

	address_ip(&r->pick.address, ip);
	log_error("upstream %s:%u: %s, client: " STRF ", request: \"" STRF " " STRF
		  "\", host: \"" STRF "\"",
		  ip, address_port(&r->pick.address), t->why, STRV(r->client_ip),
		  STRV(r->in.method_name), STRV(r->in.target), STRV(r->in.host));
}

static void try_targets(struct try *t)
{
	struct req *r = t->r;

	for (unsigned tries = 0;; tries++) {
		enum pick_result p = pick(r);
		enum attempt a;
		bool is_stale;

		if (p == PICK_CANCELLED) {
			client_is_gone(r);
			return;
		}
		if (p != PICK_OK) {
			reply_no_pick(r, p);
			return;
		}
		r->is_proxied = true;
		note_upstream(r);
		a = attempt(t);
		is_stale = t->link && t->link->is_reused && t->how == TRY_BROKEN;
		link_close(&t->link);
		note_status(r, a == ATTEMPT_FAILED ? t->status : r->upstream_code);
		if (a == ATTEMPT_DONE)
			return;
		if (a == ATTEMPT_GONE) {
			client_is_gone(r);
			return;
		}
		told_of_failure(t);
		if (!is_stale)
			balance_report(r->service->balancer, &r->pick, t->how, 0);
		if (!may_repeat(t) || (!is_stale && tries >= r->service->retries)) {
			reply_page(r, t->status);
			return;
		}
		if (is_stale) /* an old connection that had ended unseen is nobody's failure */
			tries--;
		t->is_sent = false;
	}
}

/* Takes the body in, if it is small; false when the request ended here. */
static bool gather(struct try *t)
{
	struct req *r = t->r;
	const struct http_tuning *h = &r->proxy->shared->settings->proxy_http;
	ssize_t end = 0;

	if (r->in.expects_continue && !r->body.is_done && r->body.at == r->body.end) {
		struct iovec iov = { (char *)(uintptr_t) "HTTP/1.1 100 Continue\r\n\r\n", 25 };

		if (send_all(&r->client->sock, &iov, 1, h->send_timeout, NULL) != 1) {
			client_is_gone(r);
			return false;
		}
		r->in.expects_continue = false;
	}
	if (r->body.kind == HTTP_BODY_NONE || !r->route->route->request_buffering)
		return true;
	t->is_gathered = body_gather(&r->body, h->client_body_timeout, &t->gathered, &end);
	if (end == 0)
		return true;
	if (fail_of_client(t, end) == ATTEMPT_GONE)
		client_is_gone(r);
	else
		reply_page(r, t->status);
	return false;
}

void forward(struct req *r)
{
	struct try t = { .r = r };

	if (gather(&t))
		try_targets(&t);
	balance_done(r->service->balancer, &r->pick);
	block_put(&t.block);
}
