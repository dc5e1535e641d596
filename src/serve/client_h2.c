/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that speak HTTP/2.
 *
 * The connection's client runs the connection (http/h2.h); each stream is a client of
 * its own, on its own fiber, whose sock is the stream.  So a request goes the same road
 * whatever it came by.  What a stream needs to know of the connection - TLS, addresses,
 * the PROXY header - it asks its `connection`, which stays until the last one has gone. */
#include "base/log.h"
#include "base/mem.h"
#include "http/h2.h"
#include "serve/client.h"
#include "serve/req.h"

#define PREFACE_N (sizeof(H2_PREFACE) - 1)

/* ---- streams ------------------------------------------------------------------------- */

static void stream_done(struct client *c)
{
	struct client *connection = c->connection;

	sock_close(&c->sock);
	block_put(&c->block);
	mem_free(c);
	if (--connection->streams == 0 && connection->is_over)
		client_close(connection);
}

static void end_answer(struct req *r)
{
	struct sock *s = &r->client->sock;

	if (r->is_client_gone || fiber_is_cancelled())
		return;
	if (r->trailers.n)
		h2_set_trailers(s, r->trailers);
	sock_shutdown_write(s);
}

static void run_stream(void *arg)
{
	struct client *c = arg;
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct req *r = req_new(c, a);
	ssize_t n = h2_take_request(&c->sock, a, &r->in);

	if (n > 0 || n <= -100) {
		client_serve(r, n);
		end_answer(r);
		body_done(&r->body);
	}
	err_forget();
	stream_done(c);
}

static void on_request(void *arg, struct h2_stream *stream)
{
	struct client *connection = arg, *c = MEM_NEW(struct client);
	const struct http_tuning *t = &connection->proxy->shared->settings->proxy_http;

	h2_accept(stream, &c->sock);
	c->connection = connection;
	c->proxy = connection->proxy;
	c->listener = connection->listener;
	c->peer = connection->peer;
	c->told = connection->told;
	c->serial = connection->serial;
	c->keep_until = DEADLINE_NEVER;
	c->is_trusted = connection->is_trusted;
	c->is_greeted = true;
	c->is_tls = connection->is_tls;
	list_init(&c->link);
	connection->streams++;
	c->requests = ++connection->requests;
	if ((t->keepalive_requests && connection->requests >= t->keepalive_requests) ||
	    loop_now_ms() >= connection->keep_until)
		h2_leave(connection->h2);
	fiber_start_now("request", run_stream, c);
}

/* ---- connections ------------------------------------------------------------------------ */

/* Reads on until it is clear whether a connection in clear begins as HTTP/2 does: 1 or 0,
 * or NET_AGAIN when nothing came yet. */
static ssize_t sees_preface(struct client *c)
{
	deadline until = deadline_in(c->proxy->shared->settings->proxy_http.client_header_timeout);

	for (;;) {
		size_t n = c->end - c->begin;
		size_t seen = n < PREFACE_N ? n : PREFACE_N;
		ssize_t got;

		if (n && memcmp(c->block->data + c->begin, H2_PREFACE, seen) != 0)
			return 0;
		if (n >= PREFACE_N)
			return 1;
		if (!c->block)
			c->block = block_get(BLOCK_SMALL);
		got = n ? sock_read(&c->sock, c->block->data + c->end, c->block->size - c->end,
				    until)
			: sock_try_read(&c->sock, c->block->data, c->block->size);
		if (got == NET_AGAIN)
			return NET_AGAIN;
		if (got <= 0)
			return NET_RESET;
		c->end += (uint32_t)got;
	}
}

static void start(struct client *c)
{
	const struct proxy_shared *shared = c->proxy->shared;
	struct h2_options o = {
		.is_server = true,
		.max_streams = (unsigned)shared->settings->proxy_http.http2_max_concurrent_streams,
		.limits = shared->limits,
		.send_ms = shared->settings->proxy_http.send_timeout,
		.head_ms = shared->settings->proxy_http.client_header_timeout,
		.on_request = on_request,
		.arg = c,
	};

	c->h2 = h2_new(&c->sock, &o);
	if (c->proxy->is_draining)
		h2_leave(c->h2);
}

ssize_t client_speaks_h2(struct client *c)
{
	ssize_t seen;

	if (c->h2)
		return 1;
	if (!c->listener->http2 || c->requests)
		return 0;
	seen = c->is_tls ? str_is(tls_alpn(c->sock.tls), "h2") : sees_preface(c);
	if (seen == 1)
		start(c);
	return seen;
}

bool client_run_h2(struct client *c)
{
	str came = c->block ? str_at(c->block->data + c->begin, c->end - c->begin) : STR_NONE;
	enum h2_end end;

	c->begin = c->end;
	end = h2_run(c->h2, came);
	if (end == H2_OVER)
		h2_drop(&c->h2);
	return end == H2_IDLE;
}
