/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/client.h"

#include "base/log.h"
#include "base/mem.h"
#include "http/h2.h"
#include "serve/phases.h"
#include "serve/tunnel.h"

/* Most heads fit in here, and are read straight into the request's arena: while the
 * upstream is waited for, each page that a request holds costs the others cache. */
#define SHORT_HEAD 2048

/* What follows a request, or a read that found nothing. */
enum turn { TURN_AGAIN, TURN_PARK, TURN_CLOSE, TURN_LINGER, TURN_TUNNEL };

static void run(void *arg);

/* ---- life -------------------------------------------------------------------- */

static void put_block(struct client *c)
{
	block_put(&c->block);
	c->begin = c->end = 0;
}

void client_close(struct client *c)
{
	struct proxy *p = c->proxy;

	timer_clear(&c->timer);
	if (c->is_parked) {
		io_unpark(&c->sock.io);
		counters_add(p->shared->counters, p->index, COUNTER_WAITING, -1);
	}
	h2_drop(&c->h2);
	sock_close(&c->sock);
	tls_cert_drop(&c->cert);
	put_block(c);
	list_remove(&c->link);
	counters_add(p->shared->counters, p->index, COUNTER_ACTIVE, -1);
	mem_free(c->told);
	mem_free(c);
	if (--p->client_count == 0 && p->on_drained) {
		void (*done)(void *) = p->on_drained;

		p->on_drained = NULL;
		done(p->on_drained_arg);
	}
}

static void resume(struct client *c)
{
	c->is_parked = false;
	counters_add(c->proxy->shared->counters, c->proxy->index, COUNTER_WAITING, -1);
	timer_clear(&c->timer);
	list_remove(&c->link);
	list_add(&c->proxy->clients, &c->link);
	fiber_start_now("request", run, c);
}

static void on_readable(struct io *io)
{
	resume(CONTAINER(CONTAINER(io, struct sock, io), struct client, sock));
}

/* HTTP/2 says goodbye before it goes. */
static void leave_h2(struct client *c)
{
	h2_leave(c->h2);
	if (!c->is_parked)
		return;
	io_unpark(&c->sock.io);
	resume(c);
}

static void on_timer(struct timer *t)
{
	struct client *c = CONTAINER(t, struct client, timer);

	if (c->h2 && !h2_is_leaving(c->h2))
		leave_h2(c);
	else
		client_close(c);
}

/* While it drains, a client that was promised keep-alive gets the time to come with
 * its next request, whose reply says close: it may have sent it already.  One that has
 * connected and not asked yet is about to, and gets more of it. */
#define LEAVE_MS       500
#define LEAVE_FRESH_MS 5000

static int64_t leave_ms(const struct client *c)
{
	return c->requests ? LEAVE_MS : LEAVE_FRESH_MS;
}

/* Idle: until the next byte, or the timeout.  Nothing but the struct stays. */
static void park(struct client *c)
{
	const struct http_tuning *t = &c->proxy->shared->settings->proxy_http;
	int64_t wait_ms = c->requests ? t->keepalive_timeout : t->client_header_timeout;

	if (c->proxy->is_draining && wait_ms > leave_ms(c))
		wait_ms = leave_ms(c);
	put_block(c);
	if (c->sock.tls)
		tls_release_buffers(c->sock.tls);
	c->is_parked = true;
	counters_add(c->proxy->shared->counters, c->proxy->index, COUNTER_WAITING, 1);
	list_remove(&c->link);
	if (c->requests)
		list_add(&c->proxy->idle, &c->link);
	else
		list_add_front(&c->proxy->idle, &c->link);
	if (!c->h2 || c->requests != c->idle_requests || !c->idle_until)
		c->idle_until = deadline_in(wait_ms);
	c->idle_requests = c->requests;
	timer_set(&c->timer, c->idle_until);
	if (c->requests)
		sock_keep(&c->sock);
	io_park(&c->sock.io, on_readable);
}

void client_drain(struct client *c)
{
	if (c->h2)
		leave_h2(c);
	else if (c->is_parked)
		timer_set(&c->timer, deadline_in(leave_ms(c)));
}

struct client *client_new(struct proxy *p, const struct listener *l, int fd,
			  const struct address *peer)
{
	const struct settings *s = p->shared->settings;
	struct client *c = MEM_NEW(struct client);

	sock_init(&c->sock, fd);
	c->proxy = p;
	c->listener = l;
	c->peer = *peer;
	c->serial = __atomic_add_fetch(&p->shared->serial, 1, __ATOMIC_RELAXED);
	c->keep_until = s->proxy_http.keepalive_time ? deadline_in(s->proxy_http.keepalive_time)
						     : DEADLINE_NEVER;
	for (size_t i = 0; i < s->trusted.n && !c->is_trusted; i++)
		c->is_trusted = cidr_has(&s->trusted.v[i], peer);
	timer_init(&c->timer, on_timer);
	list_init(&c->link);
	list_add(&p->clients, &c->link);
	p->client_count++;
	counters_add(p->shared->counters, p->index, COUNTER_ACCEPTED, 1);
	counters_add(p->shared->counters, p->index, COUNTER_HANDLED, 1);
	counters_add(p->shared->counters, p->index, COUNTER_ACTIVE, 1);
	return c;
}

void client_accept(struct proxy *p, const struct listener *l, int fd, const struct address *peer)
{
	fiber_start_now("client", run, client_new(p, l, fd, peer));
}

/* Asked for once. */
const struct address *client_local(struct client *c)
{
	c = client_connection(c);
	if (c->local.size)
		return &c->local;
	c->local.size = sizeof(c->local.local);
	if (getsockname(c->sock.io.fd, &c->local.any, &c->local.size) < 0)
		c->local.size = 0;
	return &c->local;
}

static void on_hangup(struct io *io)
{
	struct client *c = CONTAINER(CONTAINER(io, struct sock, io), struct client, sock);

	if (io->ready & IO_HUP)
		fiber_cancel(c->watched);
	else
		io_park_again(io, on_hangup); /* it has only said more, which may wait */
}

void client_watch(struct client *c)
{
	c->watched = fiber_self();
	io_park(&c->sock.io, on_hangup);
}

void client_unwatch(struct client *c)
{
	io_unpark(&c->sock.io);
	c->watched = NULL;
}

/* ---- heads ------------------------------------------------------------------- */

static ssize_t parse_head(struct req *r, char *p, size_t n, size_t *scanned)
{
	return http_parse_request(r->arena, p, n, scanned, &r->proxy->shared->limits, &r->in);
}

/* A short head with nothing behind it: as read_head(), or HTTP_LONG, and then what came
 * is in the connection's block. */
enum { HTTP_LONG = -99 };

static ssize_t read_short_head(struct req *r)
{
	struct client *c = r->client;
	char *p = arena_bytes(r->arena, SHORT_HEAD);
	ssize_t n = sock_try_read(&c->sock, p, SHORT_HEAD);
	size_t scanned = 0;

	r->start_ms = loop_now_ms();
	if (n <= 0)
		return n == NET_AGAIN ? 0 : n == NET_EOF ? NET_RESET : n;
	if (parse_head(r, p, (size_t)n, &scanned) == n && r->in.body == HTTP_BODY_NONE)
		return n;
	c->likes_blocks = true;
	c->block = block_get(BLOCK_SMALL);
	memcpy(c->block->data, p, (size_t)n);
	c->begin = 0;
	c->end = (uint32_t)n;
	return HTTP_LONG;
}

/* Reads and parses a head.  Its length, 0 when the client has nothing to say
 * (park), a net_end below 0, or minus an HTTP status (-400 and below). */
static ssize_t read_head(struct req *r)
{
	struct client *c = r->client;
	const struct settings *settings = r->proxy->shared->settings;
	size_t scanned = 0;
	deadline until = deadline_in(settings->proxy_http.client_header_timeout);

	for (;;) {
		ssize_t n;

		if (c->end > c->begin) {
			n = parse_head(r, c->block->data + c->begin, c->end - c->begin, &scanned);
			if (n != HTTP_MORE)
				return n;
		}
		if (!block_make_room(&c->block, &c->begin, &c->end))
			return -494;
		if (c->end == c->begin) {
			n = sock_try_read(&c->sock, c->block->data + c->end,
					  c->block->size - c->end);
			r->start_ms = loop_now_ms();
			if (n == NET_AGAIN)
				return 0;
		} else {
			n = sock_read(&c->sock, c->block->data + c->end, c->block->size - c->end,
				      until);
		}
		if (n <= 0)
			return n == NET_EOF ? NET_RESET : n;
		c->end += (uint32_t)n;
	}
}

/* ---- requests ---------------------------------------------------------------- */

/* After the request: what the connection is good for. */
static enum turn next_turn(struct req *r)
{
	struct client *c = r->client;
	struct body *b = &r->body;

	if (c->tunnel)
		return TURN_TUNNEL;
	if (r->is_client_gone || fiber_is_cancelled())
		return TURN_CLOSE;
	if (!r->keep_alive)
		return r->must_linger ? TURN_LINGER : TURN_CLOSE;
	/* The rest of what was read is the next request of a pipeline. */
	if (b->own && b->at < b->end) {
		c->begin = (uint32_t)(b->at - b->own->data);
		c->end = (uint32_t)(b->end - b->own->data);
		block_put(&c->block);
		c->block = TAKE(b->own);
		return TURN_AGAIN;
	}
	if (b->own)
		put_block(c);
	else if (c->block)
		c->begin = (uint32_t)(b->at - c->block->data);
	return c->begin < c->end || sock_has_pending(&c->sock) ? TURN_AGAIN : TURN_PARK;
}

/* The body behind the head, and what came of it. */
static void start_body(struct req *r)
{
	struct client *c = r->client;
	size_t n = r->head_size;
	char *front, *end;

	if (c->connection) { /* nothing came ahead, and who needs a block gets one */
		body_init(&r->body, &c->sock, NULL, NULL, NULL, r->in.body, r->in.length);
		return;
	}
	if (!c->block) {
		body_init(&r->body, &c->sock, NULL, NULL, NULL, HTTP_BODY_NONE, 0);
		return;
	}
	front = c->block->data + c->begin + n;
	end = c->block->data + c->end;
	body_init(&r->body, &c->sock, c->block, front, end, r->in.body, r->in.length);
	if (front == end && r->in.body == HTTP_BODY_NONE && n < SHORT_HEAD)
		c->likes_blocks = false;
}

struct req *req_new(struct client *c, struct arena *a)
{
	struct req *r = NEW(a, struct req);

	r->client = c;
	r->proxy = c->proxy;
	r->arena = a;
	r->start_ms = loop_now_ms();
	r->connect_ms = r->header_ms = -1;
	return r;
}

void client_serve(struct req *r, ssize_t n)
{
	struct counters *counters = r->proxy->shared->counters;
	int index = r->proxy->index;

	counters_add(counters, index, COUNTER_REQUESTS, 1);
	counters_add(counters, index, COUNTER_WRITING, 1);
	if (n < 0) {
		serve_bad_head(r, (int)-n);
	} else {
		r->head_size = (size_t)n;
		if (r->in.wants_upgrade && r->client->block)
			tunnel_keep_head(r);
		start_body(r);
		serve(r);
	}
	counters_add(counters, index, COUNTER_WRITING, -1);
}

static enum turn serve_one(struct client *c)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct req *r = req_new(c, a);
	enum turn turn;
	ssize_t n;

	n = c->block || c->likes_blocks ? HTTP_LONG : read_short_head(r);
	if (n == HTTP_LONG)
		n = read_head(r);
	if (n == 0)
		return TURN_PARK;
	if (n < 0 && n > -100) {
		char ip[ADDRESS_TEXT];

		address_ip(&c->peer, ip);
		if (n == NET_TIMEOUT)
			log_info("client %s timed out while sending a head", ip);
		return TURN_CLOSE;
	}
	c->requests++;
	client_serve(r, n);
	turn = next_turn(r);
	body_done(&r->body);
	err_forget();
	if (turn == TURN_TUNNEL) /* which has the arena now */
		a = NULL;
	return turn;
}

/* The client may still be sending: a close now would reset the connection and
 * could take our answer with it (RFC 9112 §9.6). */
static void linger(struct client *c)
{
	const struct http_tuning *t = &c->proxy->shared->settings->proxy_http;
	deadline end = deadline_in(t->lingering_time);
	struct block *b;

	if (t->lingering_close == LINGERING_OFF || sock_shutdown_write(&c->sock) != NET_EOF)
		return;
	b = block_get(BLOCK_SMALL);
	while (loop_now_ms() < end) {
		deadline until = deadline_in(t->lingering_timeout);

		if (sock_read(&c->sock, b->data, b->size, until < end ? until : end) <= 0)
			break;
	}
	block_put(&b);
}

static deadline greeting_deadline(const struct client *c)
{
	return deadline_in(c->proxy->shared->settings->proxy_http.client_header_timeout);
}

enum net_end client_hear_proxy(struct client *c, deadline until)
{
	enum net_end end;
	char ip[ADDRESS_TEXT];

	c->told = MEM_NEW(struct proxy_protocol);
	end = proxy_protocol_read(&c->sock, c->told, until);
	if (end == NET_OK)
		return end;
	address_ip(&c->peer, ip);
	if (end == NET_FAILED)
		log_error("client %s sent no PROXY header on " STRF, ip, STRV(c->listener->text));
	return end;
}

static const struct plan *plan_of(const struct client *c, const struct snapshot *s)
{
	return c->is_session ? s->stream_plan : s->plan;
}

int client_certs(void *p, str sni, struct tls_cert *ret[2])
{
	struct client *c = p;
	struct snapshot *s = current_peek(c->proxy->shared->current, c->proxy->index);

	ret[0] = c->cert;
	if (c->cert)
		return 1;
	if (s && !c->is_asked && plan_has(plan_of(c, s), PHASE_CERTIFICATE))
		return TLS_PICK_ASK;
	return s ? snapshot_certs(s, sni, ret) : 0;
}

void client_ask(void *p)
{
	static const struct stream_facts none;
	struct client *c = p;
	struct arena *a = arena_new();
	struct req *r = req_new(c, a);

	c->is_asked = true;
	r->stream = c->is_session ? &none : NULL;
	real_ip(r);
	r->snap = current_hold(c->proxy->shared->current, c->proxy->index);
	plugins_certificate(r);
	if (r->snap)
		current_release(r->snap, c->proxy->index);
	arena_drop(&a);
}

bool client_handshake(struct client *c, struct tls_context *tls, deadline until)
{
	struct err *e = tls_accept(&c->sock, tls, c, until);
	char ip[ADDRESS_TEXT];

	if (!e) {
		c->is_tls = true;
		return true;
	}
	address_ip(&c->peer, ip);
	log_err(LOG_INFO_, e, "TLS handshake with client %s failed", ip);
	err_forget();
	return false;
}

/* What comes before the first request, by the listener's flags. */
static bool greet(struct client *c)
{
	const struct proxy_shared *shared = c->proxy->shared;

	c->is_greeted = true;
	if (c->listener->proxy_protocol && client_hear_proxy(c, greeting_deadline(c)) != NET_OK)
		return false;
	return !c->listener->ssl ||
	       client_handshake(c, c->listener->http2 ? shared->tls_h2 : shared->tls,
				greeting_deadline(c));
}

/* By the protocol that the client has chosen. */
static enum turn serve_protocol(struct client *c)
{
	switch (client_speaks_h2(c)) {
	case 0:
		return serve_one(c);
	case 1:
		return client_run_h2(c) ? TURN_PARK : TURN_CLOSE;
	case NET_AGAIN:
		return TURN_PARK;
	default:
		return TURN_CLOSE;
	}
}

static void run(void *arg)
{
	struct client *c = arg;
	enum turn turn = TURN_AGAIN;

	if (!c->is_greeted && !greet(c))
		turn = TURN_CLOSE;
	while (turn == TURN_AGAIN)
		turn = unlikely(c->listener->http2) ? serve_protocol(c) : serve_one(c);
	if (turn == TURN_TUNNEL) {
		tunnel_run(c->tunnel);
		return;
	}
	if (turn == TURN_LINGER)
		linger(c);
	if (turn == TURN_PARK && !c->proxy->is_stopped) {
		park(c);
		return;
	}
	c->is_over = true;
	if (!c->streams)
		client_close(c);
}
