/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/http_client.h"

#include "base/asked.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/uri.h"
#include "clients/peer.h"
#include "net/tls.h"

#define USER_AGENT   "gibbon/" GIBBON_VERSION
#define READ_PIECE   16384
#define INTERIM_MOST 16 /* 1xx answers in front of the real one */

/* A call in hand. */
struct asking {
	struct arena *a;
	const struct http_call *call;
	struct peer peer;
	str method, path, userinfo;
	struct link *link;
	struct http_response head;

	char *in; /* what was read and not used yet: [begin, end) */
	size_t begin, end, size;
	bool has_answered; /* a byte has come */
};

/* ---- what is asked ----------------------------------------------------------------------- */

static struct err *take_url(struct asking *q, str url)
{
	struct uri u;

	if (!uri_parse(url, &u) || !u.has_authority || !u.host.n)
		return FAIL(ERR_INVALID, "the URL is none");
	if (!str_is_ci(u.scheme, "http") && !str_is_ci(u.scheme, "https"))
		return FAIL(ERR_INVALID, "the URL's scheme is neither http nor https");
	q->peer.tls = str_is_ci(u.scheme, "https");
	q->peer.host = u.host;
	q->peer.port = u.port;
	q->path = u.path.n ? u.path : STR("/");
	if (u.query.s)
		q->path = str_fmt(q->a, STRF "?" STRF, STRV(q->path), STRV(u.query));
	q->userinfo = u.userinfo;
	return NULL;
}

static struct err *prepare(struct asking *q)
{
	const struct http_call *c = q->call;

	q->method = c->method.n ? c->method : STR("GET");
	q->peer = (struct peer){
		.host = c->host,
		.port = c->port,
		.tls = c->tls,
		.verify = c->verify,
		.server_name = c->server_name,
		.connect_ms = c->connect_ms,
		.send_ms = c->send_ms,
		.read_ms = c->read_ms,
		.keep_ms = c->keep_ms,
	};
	q->path = c->path.n ? c->path : STR("/");
	if (c->url.s)
		PASS(take_url(q, c->url));
	if (!q->peer.port)
		q->peer.port = q->peer.tls ? 443 : 80;
	q->path = uri_escape(q->a, q->path);
	if (!q->peer.host.n || !http_is_token(q->method) || !http_is_value(q->peer.host) ||
	    q->path.s[0] != '/')
		return FAIL(ERR_INVALID, "the request is none: host, method, or path");
	for (unsigned i = 0; i < c->headers.n; i++) {
		if (!http_is_token(c->headers.v[i].name) || !http_is_value(c->headers.v[i].value))
			return FAIL(ERR_INVALID, "header " STRF " is none",
				    STRV(c->headers.v[i].name));
	}
	return NULL;
}

static bool has_header(const struct asking *q, const char *name)
{
	return http_get_str(&q->call->headers, str_of(name)) != NULL;
}

static void add_host(struct buf *b, const struct asking *q)
{
	bool is_v6 = str_find(q->peer.host, ':', 0) >= 0;

	buf_addf(b, "Host: %s" STRF "%s", is_v6 ? "[" : "", STRV(q->peer.host), is_v6 ? "]" : "");
	if (q->peer.port != (q->peer.tls ? 443 : 80))
		buf_addf(b, ":%u", q->peer.port);
	buf_addf(b, "\r\n");
}

static void write_head(struct buf *b, const struct asking *q)
{
	const struct http_headers *h = &q->call->headers;
	bool has_body = q->call->body.n || str_is(q->method, "POST") || str_is(q->method, "PUT") ||
			str_is(q->method, "PATCH");

	buf_addf(b, STRF " " STRF " HTTP/1.1\r\n", STRV(q->method), STRV(q->path));
	if (!has_header(q, "host"))
		add_host(b, q);
	for (unsigned i = 0; i < h->n; i++)
		buf_addf(b, STRF ": " STRF "\r\n", STRV(h->v[i].name), STRV(h->v[i].value));
	if (q->userinfo.n && !has_header(q, "authorization")) {
		str user = base64_encode(q->a, uri_unescape(q->a, q->userinfo, false));

		buf_addf(b, "Authorization: Basic " STRF "\r\n", STRV(user));
	}
	if (!has_header(q, "user-agent"))
		buf_addf(b, "User-Agent: " USER_AGENT "\r\n");
	if (has_body && !has_header(q, "content-length"))
		buf_addf(b, "Content-Length: %zu\r\n", q->call->body.n);
	if (q->call->keep_ms <= 0 && !has_header(q, "connection"))
		buf_addf(b, "Connection: close\r\n");
	buf_addf(b, "\r\n");
}

static struct err *send_request(struct asking *q)
{
	struct buf b CLEANUP(buf_done) = { 0 };
	struct iovec iov[2];
	ssize_t n;

	buf_init(&b, LIMIT_HTTP_HEAD);
	write_head(&b, q);
	if (b.is_full)
		return FAIL(ERR_INVALID, "the request's head is too large");
	iov[0] = (struct iovec){ b.data, b.n };
	iov[1] = (struct iovec){ (void *)(uintptr_t)q->call->body.s, q->call->body.n };
	q->link->requests++;
	n = sock_writev(&q->link->sock, iov, 2, peer_deadline(q->call->send_ms));
	return n < 0 ? peer_failed(&q->peer, q->link, n, "send a request to") : NULL;
}

/* ---- the answer's head ------------------------------------------------------------------- */

/* Some more bytes behind those that are there. */
static struct err *read_more(struct asking *q, ssize_t *ret_n)
{
	ssize_t n;

	if (q->end == q->size) {
		size_t size = q->size ? q->size * 2 : READ_PIECE;
		char *bigger = arena_bytes(q->a, size);

		if (q->end > q->begin) /* texts of a head that was parsed stay where they are */
			memcpy(bigger, q->in + q->begin, q->end - q->begin);
		q->end -= q->begin;
		q->begin = 0;
		q->in = bigger;
		q->size = size;
	}
	n = sock_read(&q->link->sock, q->in + q->end, q->size - q->end,
		      peer_deadline(q->call->read_ms));
	*ret_n = n;
	if (n < 0)
		return peer_failed(&q->peer, q->link, n, "receive from");
	q->has_answered |= n > 0;
	q->end += (size_t)n;
	return NULL;
}

static struct err *receive_head(struct asking *q)
{
	static const struct http_limits limits = { HTTP_CALL_HEAD, HTTP_CALL_HEAD, HTTP_CALL_HEAD,
						   LIMIT_HTTP_HEADERS };
	enum http_method method = str_is(q->method, "HEAD") ? HTTP_HEAD : HTTP_METHOD_OTHER;
	size_t scanned = 0;
	int interim = 0;

	for (;;) {
		ssize_t n = HTTP_MORE;

		if (q->end > q->begin)
			n = http_parse_response(q->a, q->in + q->begin, q->end - q->begin, &scanned,
						&limits, method, &q->head);
		if (n < 0 || interim > INTERIM_MOST || q->end - q->begin > HTTP_CALL_HEAD * 2)
			return FAIL(ERR_INVALID, STRF ":%u sent an invalid head",
				    STRV(q->peer.host), q->peer.port);
		if (n > 0) {
			q->begin += (size_t)n;
			if (q->head.status >= 200)
				return NULL;
			scanned = 0;
			interim++;
			continue;
		}
		PASS(read_more(q, &n));
		if (n == 0)
			return peer_failed(&q->peer, q->link, NET_EOF, "receive from");
	}
}

/* ---- the answer's body ------------------------------------------------------------------- */

static size_t most(const struct asking *q)
{
	return q->call->body_max ? q->call->body_max : HTTP_CALL_BODY;
}

/* Adds a piece; false when there is no room for all of it. */
static bool take_piece(const struct asking *q, struct buf *body, str piece)
{
	size_t room = most(q) - body->n;

	buf_add(body, piece.s, piece.n < room ? piece.n : room);
	return piece.n <= room;
}

enum piece { PIECE_MORE, PIECE_LAST, PIECE_TOO_MUCH, PIECE_BAD };

/* What was read, as far as it belongs to the body. */
static enum piece take_read(struct asking *q, struct http_chunked *chunks, struct buf *body)
{
	while (q->begin < q->end) {
		str rest = str_at(q->in + q->begin, q->end - q->begin);
		enum http_chunk kind;
		size_t used;
		str data;

		if (q->head.body == HTTP_BODY_TO_CLOSE) {
			q->begin = q->end;
			return take_piece(q, body, rest) ? PIECE_MORE : PIECE_TOO_MUCH;
		}
		if (q->head.body == HTTP_BODY_LENGTH) {
			size_t left = (size_t)q->head.length - body->n;

			rest.n = rest.n < left ? rest.n : left;
			q->begin += rest.n;
			if (!take_piece(q, body, rest))
				return PIECE_TOO_MUCH;
			return body->n == (size_t)q->head.length ? PIECE_LAST : PIECE_MORE;
		}
		kind = http_chunked_next(chunks, rest.s, rest.n, &used, &data);
		q->begin += used;
		if (kind == HTTP_CHUNK_END)
			return PIECE_LAST;
		if (kind == HTTP_CHUNK_BAD)
			return PIECE_BAD;
		if (kind == HTTP_CHUNK_DATA && !take_piece(q, body, data))
			return PIECE_TOO_MUCH;
		if (kind == HTTP_CHUNK_MORE)
			break;
	}
	return PIECE_MORE;
}

static struct err *receive_body(struct asking *q, struct buf *body, bool *ret_is_whole)
{
	struct http_chunked chunks = { 0 };
	bool is_nothing = q->head.body == HTTP_BODY_NONE ||
			  (q->head.body == HTTP_BODY_LENGTH && q->head.length == 0);

	*ret_is_whole = is_nothing;
	while (!is_nothing) {
		enum piece p = take_read(q, &chunks, body);
		ssize_t n;

		if (p == PIECE_BAD)
			return FAIL(ERR_INVALID, STRF ":%u sent an invalid body",
				    STRV(q->peer.host), q->peer.port);
		if (p == PIECE_TOO_MUCH && !q->call->may_cut)
			return FAIL(ERR_INVALID, STRF ":%u sent more than %zu bytes",
				    STRV(q->peer.host), q->peer.port, most(q));
		*ret_is_whole = p == PIECE_LAST;
		if (p == PIECE_LAST || p == PIECE_TOO_MUCH)
			return NULL;
		q->begin = q->end = 0; /* all of it is used */
		q->in = NULL;
		q->size = 0;
		PASS(read_more(q, &n));
		if (n == 0) {
			*ret_is_whole = q->head.body == HTTP_BODY_TO_CLOSE;
			return *ret_is_whole ? NULL
					     : peer_failed(&q->peer, q->link, NET_EOF,
							   "receive a body from");
		}
	}
	return NULL;
}

/* ---- the door ----------------------------------------------------------------------------- */

static struct err *ask_once(struct asking *q, struct http_answer *ret)
{
	struct buf body CLEANUP(buf_done) = { 0 };
	bool is_whole;

	buf_init(&body, most(q));
	q->begin = q->end = q->size = 0;
	q->has_answered = false;
	PASS(peer_open(&q->peer, &q->link));
	PASS(send_request(q));
	PASS(receive_head(q));
	PASS(receive_body(q, &body, &is_whole));
	if (is_whole && q->head.keep_alive && q->begin == q->end &&
	    q->head.body != HTTP_BODY_TO_CLOSE)
		peer_keep(&q->peer, &q->link);
	*ret = (struct http_answer){
		.status = q->head.status,
		.headers = q->head.headers,
		.body = str_copy(q->a, buf_str(&body)),
		.is_cut = !is_whole,
	};
	return NULL;
}

/* RFC 9110 §9.2.2 */
static bool is_idempotent(const struct asking *q)
{
	static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE" };

	for (size_t i = 0; i < COUNT(methods); i++) {
		if (str_is(q->method, methods[i]))
			return true;
	}
	return q->call->is_idempotent;
}

static void note(const struct asking *q, int64_t began_us, const struct err *e,
		 const struct http_answer *answer)
{
	struct asked *to = fiber_asked();
	const struct http_header *agent = http_get_str(&q->call->headers, STR("User-Agent"));
	str port = q->peer.port == (q->peer.tls ? 443 : 80) ? STR("")
							    : str_fmt(to->a, ":%u", q->peer.port);
	str url = str_fmt(to->a, "http%s://" STRF STRF STRF, q->peer.tls ? "s" : "",
			  STRV(q->peer.host), STRV(port), STRV(q->path));

	asked_http(to, q->method, url, agent ? agent->value : STR(USER_AGENT), began_us,
		   e ? 0 : answer->status);
}

static struct err *ask(struct asking *q, struct http_answer *ret) SUSPENDS;

static struct err *ask(struct asking *q, struct http_answer *ret)
{
	for (;;) {
		struct err *e = ask_once(q, ret);
		bool was_stale = e && e->code == ERR_SYSTEM && q->link && q->link->is_reused &&
				 !q->has_answered;

		link_close(&q->link);
		if (!was_stale || !is_idempotent(q))
			return e;
	}
}

struct err *http_ask(struct arena *a, const struct http_call *call, struct http_answer *ret)
{
	struct asking q = { .a = a, .call = call };
	int64_t began_us = asked_begin(fiber_asked());
	struct err *e;

	PASS(prepare(&q));
	e = ask(&q, ret);
	if (fiber_asked())
		note(&q, began_us, e, ret);
	return e;
}
