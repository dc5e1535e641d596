/* SPDX-License-Identifier: Apache-2.0 */
/* Frames through a server of HTTP/2 (http/h2.h), in pieces whose sizes the first byte
 * gives.  What is taken for a request is a message that HTTP/1.1 would accept too. */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "http/h2.h"

/* A connection that brings the input and swallows what is written. */
struct wire {
	const uint8_t *p;
	size_t n, piece;
};

static ssize_t wire_read(struct sock *s, void *p, size_t n)
{
	struct wire *w = s->stream;

	if (w->n == 0)
		return NET_EOF;
	n = n < w->piece ? n : w->piece;
	n = n < w->n ? n : w->n;
	memcpy(p, w->p, n);
	w->p += n;
	w->n -= n;
	return (ssize_t)n;
}

static ssize_t wire_write(struct sock *s, struct iovec *iov, int n)
{
	ssize_t all = 0;

	(void)s;
	for (int i = 0; i < n; i++)
		all += (ssize_t)iov[i].iov_len;
	return all;
}

static enum net_end wire_end(struct sock *s)
{
	(void)s;
	return NET_OK;
}

static void wire_close(struct sock *s, bool is_reset)
{
	(void)s, (void)is_reset;
}

static const struct sock_kind wire_kind = { wire_read, wire_write, wire_end, wire_close };

static void serve_stream(void *arg)
{
	struct sock *s = arg;
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_request in;
	struct http_headers out = { 0 };
	char body[4096];
	ssize_t n = h2_take_request(s, a, &in);

	if (n > 0) {
		assert(in.is_h2 && in.path.n && http_is_token(in.method_name));
		for (unsigned i = 0; i < in.headers.n; i++)
			assert(http_is_token(in.headers.v[i].name) &&
			       http_is_value(in.headers.v[i].value));
		while (sock_read(s, body, sizeof(body), DEADLINE_NEVER) > 0)
			;
		http_add(a, &out, STR(":status"), STR("200"));
		h2_answer(s, &out, in.method == HTTP_HEAD);
		if (in.method != HTTP_HEAD)
			sock_write(s, body, sizeof(body) / 2, deadline_in(1000));
		h2_set_trailers(s, h2_trailers(s));
		sock_shutdown_write(s);
	}
	if (n == -400)
		sock_reset(s);
	else
		sock_close(s);
	free(s);
}

static void on_request(void *arg, struct h2_stream *stream)
{
	struct sock *s = malloc(sizeof(*s));

	(void)arg;
	assert(s);
	h2_accept(stream, s);
	fiber_start_now("stream", serve_stream, s);
}

static void serve(void *arg)
{
	struct wire *w = arg;
	struct sock s;
	struct h2 *h CLEANUP(h2_drop) = NULL;
	struct h2_options o = {
		.is_server = true,
		.max_streams = 4,
		.limits = { .line = 1000, .header = 1000, .head = 4000, .count = 50 },
		.send_ms = 1000,
		.head_ms = 1000,
		.on_request = on_request,
	};

	sock_init_stream(&s, &wire_kind, w);
	io_tell(&s.io, IO_READ | IO_WRITE);
	h = h2_new(&s, &o);
	assert(h2_run(h, STR(H2_PREFACE)) == H2_OVER);
	assert(h2_is_leaving(h));
	h2_drop(&h);
	sock_close(&s);
	loop_stop(loop_self());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct wire w = { .p = data + 1, .n = n - 1, .piece = (n ? data[0] : 0) + 1u };
	struct loop *loop;

	if (n == 0)
		return 0;
	assert(!loop_new("fuzz", 0, &loop));
	assert(fiber_start_on(loop, "connection", serve, &w));
	loop_run(loop);
	loop_drop(&loop);
	return 0;
}
