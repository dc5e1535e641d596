/* SPDX-License-Identifier: Apache-2.0 */
/* One fiber per connection, from accept to close:
 *
 *	(handshake) -> [ head -> body -> handler -> reply ]* -> close
 *
 * Idle is a connection that waits for the first byte of a request: those are
 * what a stop may cancel at once.  Whatever is refused before its body was read
 * ends with a half-close and a short look at what the client still sends, so
 * that it sees the reply and no reset. */
#include "admin/server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/log.h"

#define READ_PIECE      ((size_t)16 * 1024)
#define WRITE_PIECE     ((size_t)256 * 1024)
#define ACCEPTS_A_TURN  64
#define ACCEPT_PAUSE_MS 500 /* when the process is out of descriptors */
#define LAST_MS         500
#define LINGER_MS       2000
#define LINGER_BYTES    ((size_t)1024 * 1024)
#define TLS_TIMEOUT_MS  60000
#define MAX_CONNECTIONS 1000

struct api_listener {
	struct api_listener *next;
	struct io io;
	struct timer retry;
	struct api_server *server;
	bool is_ssl;
};

struct api_server {
	struct api_server_options o;
	struct arena *arena;
	struct http_limits limits;
	struct api_listener *listeners;
	struct list conns;
	struct gate gone; /* woken when a connection has ended */
	bool is_stopping;
	uint64_t serial;
	struct api_server_counts counts;
};

struct conn {
	struct list link;
	struct api_server *server;
	struct fiber *fiber;
	struct arena *arena; /* of the request that is read or served */
	struct buf in;       /* what came and was not used yet */
	struct buf out;      /* the head of a reply */
	str behind;          /* bytes of the next request that came with a chunked body */
	struct sock sock;
	struct address client;
	uint64_t serial, requests;
	int64_t started_wall_ms;
	bool is_ssl, is_idle;
};

/* ---- making, listening, stopping ---------------------------------------------------- */

struct api_server *api_server_new(const struct api_server_options *o)
{
	struct arena *a = arena_new();
	struct api_server *s = NEW(a, struct api_server);
	const struct http_tuning *t = o->tuning;
	size_t line = t->large_header_buffer > 0 ? (size_t)t->large_header_buffer : 8192;
	size_t lines = t->large_header_buffers > 0 ? (size_t)t->large_header_buffers : 4;

	s->arena = a;
	s->o = *o;
	if (s->o.tls)
		s->o.tls = tls_context_hold(s->o.tls);
	if (s->o.max_connections <= 0)
		s->o.max_connections = MAX_CONNECTIONS;
	s->limits.line = line < LIMIT_HTTP_TARGET ? line : LIMIT_HTTP_TARGET;
	s->limits.header = line < LIMIT_HTTP_HEAD ? line : LIMIT_HTTP_HEAD;
	s->limits.head = line * lines < LIMIT_HTTP_HEAD ? line * lines : LIMIT_HTTP_HEAD;
	s->limits.count = LIMIT_HTTP_HEADERS;
	list_init(&s->conns);
	gate_init(&s->gone);
	return s;
}

void api_server_set_tls(struct api_server *s, struct tls_context *tls)
{
	tls_context_drop(&s->o.tls);
	s->o.tls = tls ? tls_context_hold(tls) : NULL;
}

static void conn_run(void *arg) SUSPENDS;

static void take(struct api_listener *l, int fd, const struct address *client)
{
	struct api_server *s = l->server;
	struct arena *a;
	struct conn *c;
	int on = 1;

	s->counts.accepted++;
	if (s->counts.connections >= s->o.max_connections) {
		s->counts.refused++;
		log_warn("%s: %lld connections are enough, closing a new one", s->o.name,
			 (long long)s->o.max_connections);
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	a = arena_new();
	c = NEW(a, struct conn);
	c->arena = a;
	c->server = s;
	c->client = *client;
	c->is_ssl = l->is_ssl;
	c->serial = ++s->serial;
	sock_init(&c->sock, fd);
	list_add(&s->conns, &c->link);
	s->counts.connections++;
	c->fiber = fiber_start(s->o.name, conn_run, c);
}

static void on_connection(struct io *io)
{
	struct api_listener *l = CONTAINER(io, struct api_listener, io);

	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct address client = { .size = sizeof(client) - offsetof(struct address, any) };
		int fd = accept4(io->fd, &client.any, &client.size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			take(l, fd, &client);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_crit("%s: cannot accept: %s", l->server->o.name,
				 strerrordesc_np(errno));
			io_done(&l->io);
			timer_set(&l->retry, deadline_in(ACCEPT_PAUSE_MS));
			return;
		}
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static void on_retry(struct timer *t)
{
	struct api_listener *l = CONTAINER(t, struct api_listener, retry);

	io_listen(&l->io, on_connection);
}

void api_server_listen(struct api_server *s, int fd, bool is_ssl)
{
	struct api_listener *l = NEW(s->arena, struct api_listener);

	l->server = s;
	l->is_ssl = is_ssl;
	io_init(&l->io, fd);
	timer_init(&l->retry, on_retry);
	l->next = s->listeners;
	s->listeners = l;
	io_listen(&l->io, on_connection);
}

static void cancel_connections(struct api_server *s, bool idle_only)
{
	list_for_each (&s->conns, struct conn, link, c)
		if (c->is_idle || !idle_only)
			fiber_cancel(c->fiber);
}

void api_server_stop(struct api_server *s, deadline until)
{
	s->is_stopping = true;
	cancel_connections(s, true);
	for (struct api_listener *l = s->listeners; l; l = l->next) {
		/* What the kernel woke us for would wake nobody else on this socket. */
		if (l->io.is_registered)
			on_connection(&l->io);
		timer_clear(&l->retry);
		io_done(&l->io);
	}
	s->listeners = NULL;
	while (s->counts.connections && gate_wait(&s->gone, until) == WAIT_OK)
		;
	if (s->counts.connections == 0 || fiber_is_cancelled())
		return; /* cancelled: the loop itself ends, and all its fibers with it */
	cancel_connections(s, false);
	while (s->counts.connections && gate_wait(&s->gone, DEADLINE_NEVER) == WAIT_OK)
		;
}

void api_server_drop(struct api_server **ref)
{
	struct api_server *s = *ref;

	if (!s)
		return;
	*ref = NULL;
	tls_context_drop(&s->o.tls);
	arena_drop(&s->arena);
}

struct api_server_counts api_server_counts(const struct api_server *s)
{
	return s->counts;
}

/* ---- reading --------------------------------------------------------------------------- */

/* What became of waiting for a request. */
enum got {
	GOT_REQUEST,
	GOT_REFUSED, /* *status says how */
	GOT_END,     /* nothing to answer to */
};

/* More bytes for the head. */
static ssize_t read_more(struct conn *c, deadline until)
{
	char *room = buf_room(&c->in, READ_PIECE);
	ssize_t n;

	if (!room)
		return NET_FAILED; /* cannot be: the head has a lower ceiling */
	n = sock_read(&c->sock, room, READ_PIECE, until);
	if (n > 0)
		c->in.n += (size_t)n;
	return n;
}

static enum got wait_for_first_byte(struct conn *c)
{
	const struct http_tuning *t = c->server->o.tuning;
	int64_t ms = c->requests ? t->keepalive_timeout : t->client_header_timeout;
	ssize_t n;

	if (c->in.n)
		return GOT_REQUEST;
	if (c->server->is_stopping && c->requests)
		return GOT_END;
	if (c->server->is_stopping) /* accepted at the last moment, perhaps with a request */
		ms = LAST_MS;
	if (c->sock.tls)
		tls_release_buffers(c->sock.tls);
	c->is_idle = true;
	n = read_more(c, deadline_in(ms));
	c->is_idle = false;
	return n > 0 ? GOT_REQUEST : GOT_END;
}

static enum got read_head(struct conn *c, struct http_request *head, size_t *ret_size,
			  int *ret_status)
{
	deadline until = deadline_in(c->server->o.tuning->client_header_timeout);
	size_t scanned = 0;

	for (;;) {
		ssize_t n = http_parse_request(c->arena, c->in.data, c->in.n, &scanned,
					       &c->server->limits, head);

		if (n > 0) {
			*ret_size = (size_t)n;
			return GOT_REQUEST;
		}
		*ret_status = n < 0 ? (int)-n : 408;
		if (n < 0)
			return GOT_REFUSED;
		n = read_more(c, until);
		if (n == NET_TIMEOUT)
			return GOT_REFUSED;
		if (n <= 0)
			return GOT_END;
	}
}

static size_t max_body(const struct conn *c)
{
	int64_t max = c->server->o.tuning->client_max_body;

	return max > 0 && max < LIMIT_ADMIN_BODY ? (size_t)max : LIMIT_ADMIN_BODY;
}

static deadline body_deadline(const struct conn *c)
{
	return deadline_in(c->server->o.tuning->client_body_timeout);
}

static enum got ended(ssize_t n, int *ret_status)
{
	*ret_status = 408;
	return n == NET_TIMEOUT ? GOT_REFUSED : GOT_END;
}

/* A body of known length: what is in c->in behind the head, then the rest straight in place. */
static enum got read_length(struct conn *c, size_t head_size, int64_t length, str *ret_body,
			    size_t *ret_used, int *ret_status)
{
	size_t want = (size_t)length, have = c->in.n - head_size;
	char *body;

	*ret_status = 413;
	if (length > (int64_t)max_body(c))
		return GOT_REFUSED;
	if (have > want)
		have = want;
	body = arena_bytes(c->arena, want);
	memcpy(body, c->in.data + head_size, have);
	*ret_used = have;
	while (have < want) {
		ssize_t n = sock_read(&c->sock, body + have, want - have, body_deadline(c));

		if (n <= 0)
			return ended(n, ret_status);
		have += (size_t)n;
	}
	*ret_body = str_at(body, want);
	return GOT_REQUEST;
}

/* Feeds the decoder; GOT_END means: more, please. */
static enum got decode(struct conn *c, struct http_chunked *chunked, str bytes, struct buf *body,
		       size_t *ret_used, int *ret_status)
{
	size_t at = 0, used;
	str data;

	for (;;) {
		enum http_chunk got =
			http_chunked_next(chunked, bytes.s + at, bytes.n - at, &used, &data);

		at += used;
		*ret_used = at;
		if (got == HTTP_CHUNK_END)
			return GOT_REQUEST;
		if (got == HTTP_CHUNK_MORE)
			return GOT_END;
		*ret_status = got == HTTP_CHUNK_BAD ? 400 : 413;
		if (got == HTTP_CHUNK_BAD || body->n + data.n > max_body(c))
			return GOT_REFUSED;
		buf_add_str(body, data);
	}
}

static enum got read_chunked(struct conn *c, size_t head_size, str *ret_body, size_t *ret_used,
			     int *ret_status)
{
	CLEANUP(buf_done) struct buf body = { 0 };
	struct http_chunked chunked = { 0 };
	str bytes = str_at(c->in.data + head_size, c->in.n - head_size);
	char *piece = NULL;
	size_t used;
	enum got got;

	buf_init(&body, max_body(c) + 1);
	got = decode(c, &chunked, bytes, &body, ret_used, ret_status);
	while (got == GOT_END) {
		ssize_t n;

		if (!piece)
			piece = arena_bytes(c->arena, READ_PIECE);
		n = sock_read(&c->sock, piece, READ_PIECE, body_deadline(c));
		if (n <= 0)
			return ended(n, ret_status);
		got = decode(c, &chunked, str_at(piece, (size_t)n), &body, &used, ret_status);
		c->behind = str_at(piece + used, (size_t)n - used);
	}
	*ret_body = str_copy(c->arena, buf_str(&body));
	return got;
}

static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

/* ret_used: bytes of c->in that the request took, its head included. */
static enum got read_body(struct conn *c, const struct http_request *head, size_t head_size,
			  str *ret_body, size_t *ret_used, int *ret_status)
{
	enum got got = GOT_REQUEST;
	size_t used = 0;

	*ret_body = STR("");
	*ret_used = head_size;
	if (head->body == HTTP_BODY_NONE || (head->body == HTTP_BODY_LENGTH && head->length == 0))
		return GOT_REQUEST;
	*ret_status = 413;
	if (head->body == HTTP_BODY_LENGTH && head->length > (int64_t)max_body(c))
		return GOT_REFUSED;
	if (head->expects_continue && c->in.n == head_size &&
	    sock_write(&c->sock, go_on, sizeof(go_on) - 1, body_deadline(c)) <= 0)
		return GOT_END;
	if (head->body == HTTP_BODY_LENGTH)
		got = read_length(c, head_size, head->length, ret_body, &used, ret_status);
	else
		got = read_chunked(c, head_size, ret_body, &used, ret_status);
	*ret_used += used;
	return got;
}

/* ---- writing ----------------------------------------------------------------------------- */

static bool may_have_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

static void add_header(struct buf *out, str name, str value)
{
	buf_add_str(out, name);
	buf_add_str(out, STR(": "));
	buf_add_str(out, value);
	buf_add_str(out, STR("\r\n"));
}

static void write_head(struct buf *out, const struct api_reply *reply, bool keeps)
{
	char date[30];

	buf_clear(out);
	buf_addf(out, "HTTP/1.1 %d " STRF "\r\n", reply->status, STRV(http_reason(reply->status)));
	add_header(out, STR("Date"), str_of(http_date(clock_wall_s(), date)));
	if (reply->content_type.n)
		add_header(out, STR("Content-Type"), reply->content_type);
	if (may_have_body(reply->status))
		buf_addf(out, "Content-Length: %zu\r\n", reply->body.n);
	add_header(out, STR("Connection"), keeps ? STR("keep-alive") : STR("close"));
	for (unsigned i = 0; i < reply->headers.n; i++)
		add_header(out, reply->headers.v[i].name, reply->headers.v[i].value);
	buf_add_str(out, STR("\r\n"));
}

/* In pieces, each with the whole send timeout: a slow reader is not a dead one. */
static bool send_reply(struct conn *c, str body)
{
	int64_t ms = c->server->o.tuning->send_timeout;
	size_t first = body.n < WRITE_PIECE ? body.n : WRITE_PIECE;
	struct iovec iov[2] = {
		{ .iov_base = c->out.data, .iov_len = c->out.n },
		{ .iov_base = (char *)(uintptr_t)body.s, .iov_len = first },
	};

	if (sock_writev(&c->sock, iov, first ? 2 : 1, deadline_in(ms)) <= 0)
		return false;
	for (size_t at = first, n; at < body.n; at += n) {
		n = body.n - at < WRITE_PIECE ? body.n - at : WRITE_PIECE;
		if (sock_write(&c->sock, body.s + at, n, deadline_in(ms)) <= 0)
			return false;
	}
	return true;
}

static bool keeps_on(const struct conn *c, const struct api_request *r,
		     const struct api_reply *reply)
{
	const struct http_tuning *t = c->server->o.tuning;

	return r->head && r->head->keep_alive && !reply->closes && !c->server->is_stopping &&
	       t->keepalive_timeout > 0 &&
	       (t->keepalive_requests <= 0 || (int64_t)c->requests < t->keepalive_requests);
}

/* Writes and logs; false when the connection is of no more use. */
static bool answer(struct conn *c, const struct api_request *r, const struct api_reply *reply,
		   size_t request_bytes)
{
	bool keeps = keeps_on(c, r, reply), is_head = r->head && r->head->method == HTTP_HEAD;
	str body = is_head || !may_have_body(reply->status) ? STR("") : reply->body;
	bool is_sent;

	write_head(&c->out, reply, keeps);
	is_sent = send_reply(c, body);
	if (c->server->o.log) {
		struct api_sent sent = {
			.head_bytes = c->out.n,
			.body_bytes = is_sent ? body.n : 0,
			.request_bytes = request_bytes,
			.started_wall_ms = c->started_wall_ms,
			.took_ms = clock_mono_ms() - r->started_ms,
			.connection_requests = c->requests,
		};

		c->server->o.log(c->server->o.arg, r, reply, &sent);
	}
	return is_sent && keeps;
}

/* ---- a connection -------------------------------------------------------------------------- */

/* Ends our direction and reads on for a moment, for a close with bytes unread is a reset. */
static void linger(struct conn *c)
{
	deadline until = deadline_in(LINGER_MS);
	char *piece = arena_bytes(c->arena, READ_PIECE);
	size_t seen = 0;

	if (sock_shutdown_write(&c->sock) != NET_OK)
		return;
	while (seen < LINGER_BYTES) {
		ssize_t n = sock_read(&c->sock, piece, READ_PIECE, until);

		if (n <= 0)
			return;
		seen += (size_t)n;
	}
}

static void refuse(struct conn *c, struct api_request *r, int status)
{
	str reason =
		status == 494 ? STR("Request Header Or Cookie Too Large") : http_reason(status);
	struct api_reply reply = {
		.status = status == 494 ? 400 : status, /* as nginx: 494 is for the inside */
		.content_type = STR("application/json; charset=utf-8"),
		.body = str_fmt(c->arena, "{\"message\":\"" STRF "\"}", STRV(reason)),
		.closes = true,
	};

	if (r->started_ms == 0)
		r->started_ms = clock_mono_ms();
	answer(c, r, &reply, c->in.n);
	linger(c);
}

/* One request and its reply; false when the connection has come to its end. */
static bool exchange(struct conn *c)
{
	struct api_server *s = c->server;
	struct http_request head;
	struct api_request r = { .arena = c->arena, .client = &c->client, .tls = c->sock.tls };
	struct api_reply reply = { 0 };
	size_t head_size, used;
	int status = 0;
	enum got got = read_head(c, &head, &head_size, &status);

	c->requests++;
	c->behind = STR_NONE;
	s->counts.requests++;
	r.connection = c->serial;
	c->started_wall_ms = clock_wall_ms();
	if (got == GOT_REQUEST) {
		r.head = &head;
		r.started_ms = clock_mono_ms();
		got = read_body(c, &head, head_size, &r.body, &used, &status);
	}
	if (got == GOT_REFUSED)
		refuse(c, &r, status);
	if (got != GOT_REQUEST)
		return false;
	s->o.handle(s->o.arg, &r, &reply);
	if (!answer(c, &r, &reply, used + r.body.n)) {
		linger(c);
		return false;
	}
	buf_cut_front(&c->in, used);
	buf_add_str(&c->in, c->behind);
	return true;
}

static void serve(struct conn *c)
{
	struct api_server *s = c->server;

	if (c->is_ssl) {
		struct err *e =
			s->o.tls ? tls_accept(&c->sock, s->o.tls, NULL, deadline_in(TLS_TIMEOUT_MS))
				 : FAIL(ERR_INTERNAL, "there is no certificate");

		if (e) {
			log_err(LOG_INFO_, e, "%s: handshake", s->o.name);
			return;
		}
	}
	for (bool goes_on = true; goes_on && wait_for_first_byte(c) == GOT_REQUEST;) {
		/* The connection's own struct lives in another arena. */
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct arena *outer = c->arena;

		c->arena = a;
		s->counts.busy++;
		goes_on = exchange(c);
		s->counts.busy--;
		c->arena = outer;
		err_forget();
	}
}

static void conn_run(void *arg)
{
	struct conn *c = arg;
	struct api_server *s = c->server;
	struct arena *a = c->arena;

	buf_init(&c->in, s->limits.head + 2 * READ_PIECE);
	buf_init(&c->out, 0);
	serve(c);
	err_forget();
	sock_close(&c->sock);
	buf_done(&c->in);
	buf_done(&c->out);
	list_remove(&c->link);
	s->counts.connections--;
	gate_wake_all(&s->gone);
	arena_drop(&a);
}
