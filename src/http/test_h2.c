/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2: heads as HTTP/1.1 says them, and a client and a server of ours over a socket pair. */
#include "http/h2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those above first */
#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "fiber/testing.h"
#include "http/h2_priv.h"

static const struct http_limits limits = { .line = 1000, .header = 500, .head = 4000, .count = 20 };

/* ---- heads ------------------------------------------------------------------------------ */

struct field {
	const char *name, *value;
};

#define GET_ROOT                                                                                   \
	{ ":method", "GET" }, { ":path", "/" },                                                    \
	{                                                                                          \
		":scheme", "http"                                                                  \
	}

static ssize_t read_fields(struct arena *a, const struct field *f, bool has_body,
			   struct http_request *ret)
{
	struct h2_head h = { 0 };
	ssize_t n = -400;
	bool ok = true;

	for (; f->name && ok; f++)
		ok = h2_head_add(&h, a, str_of(f->name), str_of(f->value), &limits);
	if (ok)
		n = h2_head_request(&h, a, has_body, &limits, ret);
	h2_head_done(&h);
	return n;
}

static void a_head_is_read_as_a_message(void **state)
{
	static const struct field fields[] = {
		{ ":method", "POST" },
		{ ":scheme", "https" },
		{ ":path", "/a%20b?c=d" },
		{ ":authority", "x.test:1" },
		{ "x-one", "1" },
		{ "cookie", "a=1" },
		{ "x-two", "" },
		{ "cookie", "b=2" },
		{ "x-one", "again" },
		{ "content-length", "7" },
		{ 0 },
	};
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_request in;

	(void)state;
	assert_true(read_fields(a, fields, true, &in) > 0);
	assert_true(in.is_h2 && in.keep_alive && !in.wants_upgrade);
	assert_int_equal(in.method, HTTP_POST);
	assert_true(str_is(in.path, "/a%20b") && str_is(in.query, "c=d"));
	assert_true(str_is(in.host, "x.test:1"));
	assert_int_equal(in.body, HTTP_BODY_LENGTH);
	assert_int_equal(in.length, 7);
	assert_true(str_is(http_get(&in.headers, HTTP_COOKIE)->value, "a=1; b=2"));
	assert_true(str_is(http_get_str(&in.headers, STR("x-one"))->value, "1"));
	/* as the access log writes it: one text */
	assert_memory_equal(in.method_name.s, "POST /a%20b?c=d HTTP/2.0\r\n", 26);
	assert_true(str_is(http_version(&in), "HTTP/2.0"));
}

static void a_body_without_length_goes_to_the_end(void **state)
{
	static const struct field fields[] = { GET_ROOT, { ":authority", "x" }, { 0 } };
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_request in;

	(void)state;
	assert_true(read_fields(a, fields, true, &in) > 0);
	assert_int_equal(in.body, HTTP_BODY_TO_CLOSE);
	assert_true(read_fields(a, fields, false, &in) > 0);
	assert_int_equal(in.body, HTTP_BODY_NONE);
}

static void what_could_be_read_differently_is_refused(void **state)
{
	static const struct field cases[][6] = {
		{ { ":method", "GET" }, { ":scheme", "http" }, { ":authority", "x" } },
		{ { ":path", "/" }, { ":scheme", "http" }, { ":authority", "x" } },
		{ GET_ROOT },
		{ GET_ROOT, { ":authority", "x" }, { "host", "y" } },
		{ GET_ROOT, { ":authority", "u@x" } },
		{ GET_ROOT, { ":authority", "x" }, { "a b", "1" } },
		{ GET_ROOT, { ":authority", "x" }, { "a", "1\r\nb: 2" } },
		{ GET_ROOT, { ":authority", "x" }, { "a\nb", "1" } },
		{ GET_ROOT, { ":authority", "x" }, { "a", "1\n" } },
		{ GET_ROOT, { ":authority", "x" }, { "transfer-encoding", "chunked" } },
		{ GET_ROOT, { ":authority", "x" }, { "content-length", "1, 1" } },
		{ GET_ROOT, { ":authority", "x" }, { ":protocol", "websocket" } },
		{ { ":method", "GET /x" }, { ":path", "/" }, { ":authority", "x" } },
		{ { ":method", "GET" }, { ":path", "/ HTTP/1.1" }, { ":authority", "x" } },
		{ { ":method", "GET" }, { ":path", "http://y/" }, { ":authority", "x" } },
		{ { ":method", "GET" }, { ":path", "/a b" }, { ":authority", "x" } },
	};
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_request in;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(read_fields(a, cases[i], false, &in), -400);
}

static void ceilings_hold(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_request in;
	struct field fields[30] = { GET_ROOT, { ":authority", "x" } };
	char text[600];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	fields[4] = (struct field){ "a", text };
	assert_int_equal(read_fields(a, fields, false, &in), -494);
	assert_true(in.is_h2);
	text[400] = '\0';
	for (int i = 4; i < 16; i++)
		fields[i] = (struct field){ "a", text };
	assert_int_equal(read_fields(a, fields, false, &in), -494);
	for (int i = 4; i < 29; i++)
		fields[i] = (struct field){ "a", "b" };
	assert_int_equal(read_fields(a, fields, false, &in), -494);
}

/* ---- both sides --------------------------------------------------------------------------- */

#define BODY_N 300000 /* several windows of a stream */

/* A connection with a side at each end, each run by a fiber. */
struct scene {
	void (*fn)(struct scene *);
	struct loop *loop;
	struct sock client_sock, server_sock;
	struct h2 *client, *server;
	int running; /* sides */
	int served;
};

/* Answers with the request's body, and with its trailers behind it. */
static void serve_stream(void *arg)
{
	struct sock *s = arg;
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_request in;
	struct http_headers out = { 0 };
	char piece[5000];
	ssize_t n;

	assert_true(h2_take_request(s, a, &in) > 0);
	http_add(a, &out, STR(":status"), STR("200"));
	http_add(a, &out, STR("X-Path"), in.path);
	h2_answer(s, &out, in.body == HTTP_BODY_NONE);
	while (in.body != HTTP_BODY_NONE &&
	       (n = sock_read(s, piece, sizeof(piece), deadline_in(5000))) > 0)
		if (sock_write(s, piece, (size_t)n, deadline_in(5000)) != n)
			break;
	h2_set_trailers(s, h2_trailers(s));
	sock_shutdown_write(s);
	sock_close(s);
	mem_free(s);
}

static void on_request(void *arg, struct h2_stream *stream)
{
	struct scene *scene = arg;
	struct sock *s = MEM_NEW(struct sock);

	scene->served++;
	h2_accept(stream, s);
	fiber_start_now("stream", serve_stream, s);
}

static void run_side(struct scene *s, struct h2 *h)
{
	struct sock *k = h == s->client ? &s->client_sock : &s->server_sock;

	while (h2_run(h, STR_NONE) == H2_IDLE) {
		if (io_wait(&k->io, IO_READ, deadline_in(50)) == WAIT_TIMEOUT && !s->fn)
			break;
	}
	s->running--;
}

static void run_client(void *arg)
{
	run_side(arg, ((struct scene *)arg)->client);
}

static void run_server(void *arg)
{
	run_side(arg, ((struct scene *)arg)->server);
}

static void enter(void *p)
{
	struct scene *s = p;
	struct h2_options o = {
		.max_streams = 10,
		.limits = limits,
		.send_ms = 5000,
		.head_ms = 5000,
		.on_request = on_request,
		.arg = s,
	};
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	sock_init(&s->client_sock, fds[0]);
	sock_init(&s->server_sock, fds[1]);
	s->client = h2_new(&s->client_sock, &o);
	o.is_server = true;
	s->server = h2_new(&s->server_sock, &o);
	s->running = 2;
	fiber_start_now("server", run_server, s);
	s->fn(s);
	s->fn = NULL;
	while (s->running)
		fiber_sleep(deadline_in(5));
	h2_drop(&s->client);
	h2_drop(&s->server);
	sock_close(&s->client_sock);
	sock_close(&s->server_sock);
	loop_stop(s->loop);
}

static void play(void (*fn)(struct scene *))
{
	struct scene s = { .fn = fn };

	assert_null(loop_new("test", 0, &s.loop));
	assert_true(fiber_start_on(s.loop, "scene", enter, &s));
	loop_run(s.loop);
	loop_drop(&s.loop);
}

static bool open_stream(struct scene *s, struct arena *a, const char *path, bool has_body,
			struct sock *ret)
{
	struct http_headers f = { 0 };

	http_add(a, &f, STR(":method"), has_body ? STR("POST") : STR("GET"));
	http_add(a, &f, STR(":scheme"), STR("http"));
	http_add(a, &f, STR(":path"), str_of(path));
	http_add(a, &f, STR(":authority"), STR("x"));
	return h2_open(s->client, &f, has_body, ret);
}

static ssize_t await_head(struct sock *s, struct arena *a, struct http_response *ret)
{
	ssize_t n;

	while ((n = h2_take_response(s, a, HTTP_POST, ret)) == HTTP_MORE)
		assert_int_equal(io_wait(&s->io, IO_READ, deadline_in(5000)), WAIT_OK);
	return n;
}

static void echo(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	static char sent[BODY_N], got[BODY_N + 1];
	struct http_response head;
	struct sock k;
	size_t n = 0, all = 0;
	ssize_t part;

	for (size_t i = 0; i < BODY_N; i++)
		sent[i] = (char)(i * 7 + i / 251);
	assert_true(open_stream(s, a, "/echo", true, &k));
	fiber_start_now("client", run_client, s);
	while (all < BODY_N) { /* what is sent comes back: neither window may be left to fill up */
		part = n < BODY_N ? sock_try_write(&k, sent + n, BODY_N - n) : NET_AGAIN;
		if (part > 0)
			n += (size_t)part;
		if (n == BODY_N && part > 0) {
			h2_set_trailers(&k, STR("X-Sum: 1\r\nx-more: \r\n"));
			assert_int_equal(sock_shutdown_write(&k), NET_OK);
		}
		if (h2_take_response(&k, a, HTTP_POST, &head) > 0) {
			part = sock_try_read(&k, got + all, sizeof(got) - all);
			all += part > 0 ? (size_t)part : 0;
		}
		fiber_yield();
	}
	assert_int_equal(sock_read(&k, got + all, 1, deadline_in(5000)), NET_EOF);
	assert_memory_equal(sent, got, BODY_N);
	assert_true(str_is(h2_trailers(&k), "x-sum: 1\r\nx-more: \r\n"));
	assert_int_equal(head.status, 200);
	assert_true(str_is(http_get_str(&head.headers, STR("x-path"))->value, "/echo"));
	sock_close(&k);
}

static void bodies_come_back_whole_with_their_trailers(void **state)
{
	(void)state;
	play(echo);
}

static void many(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_response head;
	struct sock k[11];

	for (int i = 0; i < 10; i++)
		assert_true(open_stream(s, a, "/", false, &k[i]));
	assert_false(open_stream(s, a, "/", false, &k[10])); /* that is as many as it may have */
	assert_int_equal(h2_count(s->client), 10);
	fiber_start_now("client", run_client, s);
	for (int i = 9; i >= 0; i--) {
		char c;

		assert_true(await_head(&k[i], a, &head) > 0);
		assert_int_equal(head.body, HTTP_BODY_NONE);
		assert_int_equal(sock_read(&k[i], &c, 1, deadline_in(5000)), NET_EOF);
		sock_close(&k[i]);
	}
	assert_int_equal(h2_count(s->client), 0);
	assert_int_equal(s->served, 10);
	assert_true(open_stream(s, a, "/", false, &k[10]));
	assert_true(await_head(&k[10], a, &head) > 0);
	sock_close(&k[10]);
}

static void streams_are_independent_and_counted(void **state)
{
	(void)state;
	play(many);
}

static void leave(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_response head;
	struct sock k, late;

	assert_true(open_stream(s, a, "/", true, &k));
	fiber_start_now("client", run_client, s);
	assert_true(await_head(&k, a, &head) > 0);
	h2_leave(s->server);
	while (!h2_is_leaving(s->client))
		fiber_yield();
	assert_false(open_stream(s, a, "/", false, &late));
	assert_int_equal(sock_shutdown_write(&k), NET_OK); /* the open one goes on */
	assert_int_equal(sock_read(&k, &(char){ 0 }, 1, deadline_in(5000)), NET_EOF);
	sock_close(&k);
}

static void who_leaves_ends_its_streams_in_order(void **state)
{
	(void)state;
	play(leave);
}

static void die(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_response head;
	struct sock k;

	assert_true(open_stream(s, a, "/", true, &k));
	fiber_start_now("client", run_client, s);
	assert_true(await_head(&k, a, &head) > 0);
	shutdown(s->server_sock.io.fd, SHUT_RDWR);
	assert_int_equal(io_wait(&k.io, IO_HUP, deadline_in(5000)), WAIT_OK);
	assert_int_equal(sock_try_read(&k, &(char){ 0 }, 1), NET_RESET);
	assert_int_equal(sock_try_write(&k, "x", 1), NET_RESET);
	assert_int_equal(sock_shutdown_write(&k), NET_RESET);
	sock_close(&k);
	sock_close(&k);
}

static void a_broken_connection_is_told_to_its_streams(void **state)
{
	(void)state;
	play(die);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_read_as_a_message),
		cmocka_unit_test(a_body_without_length_goes_to_the_end),
		cmocka_unit_test(what_could_be_read_differently_is_refused),
		cmocka_unit_test(ceilings_hold),
		cmocka_unit_test(bodies_come_back_whole_with_their_trailers),
		cmocka_unit_test(streams_are_independent_and_counted),
		cmocka_unit_test(who_leaves_ends_its_streams_in_order),
		cmocka_unit_test(a_broken_connection_is_told_to_its_streams),
	};

	choose_loops();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
