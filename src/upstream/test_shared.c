/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that requests share, to a target of HTTP/2 on the same loop. */
#include "upstream/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#include "fiber/testing.h"
#include "http/h2.h"

/* Each test runs as a fiber beside a target, which answers at once unless it is told not to. */
struct scene {
	void (*fn)(struct scene *);
	struct loop *loop;
	struct links_options options;
	struct links *links;
	struct address address;
	struct fiber *target;
	int fd;
	unsigned streams_most; /* of one connection */
	unsigned connections, requests;
	bool is_silent; /* requests are not answered */
	bool is_mute;   /* nor is anything said at all */
};

struct side {
	struct scene *scene;
	struct sock sock;
};

static void answer_one(void *arg)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct side *side = arg;
	struct http_headers fields = { 0 };
	struct http_request request;

	assert_true(h2_take_request(&side->sock, a, &request) > 0);
	side->scene->requests++;
	if (side->scene->is_silent) {
		io_wait(&side->sock.io, IO_HUP, deadline_in(5000));
	} else {
		http_add(a, &fields, STR(":status"), STR("200"));
		h2_answer(&side->sock, &fields, true);
	}
	sock_close(&side->sock);
	free(side);
}

static void on_request(void *arg, struct h2_stream *stream)
{
	struct side *side = calloc(1, sizeof(*side));

	side->scene = arg;
	h2_accept(stream, &side->sock);
	fiber_start("stream", answer_one, side);
}

static void run_connection(void *arg)
{
	struct side *side = arg;
	struct h2_options o = {
		.is_server = true,
		.max_streams = side->scene->streams_most ? side->scene->streams_most : 100,
		.limits = { .line = 8192, .header = 8192, .head = 8192, .count = 100 },
		.send_ms = 1000,
		.head_ms = 1000,
		.on_request = on_request,
		.arg = side->scene,
	};
	struct h2 *h = h2_new(&side->sock, &o);

	while (h2_run(h, STR_NONE) == H2_IDLE &&
	       io_wait(&side->sock.io, IO_READ, DEADLINE_NEVER) == WAIT_OK)
		;
	h2_drop(&h);
	sock_close(&side->sock);
	free(side);
}

static void run_target(void *arg)
{
	struct scene *s = arg;
	struct io io;

	io_init(&io, s->fd);
	while (io_wait(&io, IO_READ, DEADLINE_NEVER) == WAIT_OK) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct side *side;

		if (fd < 0) {
			io_clear(&io, IO_READ);
			continue;
		}
		side = calloc(1, sizeof(*side));
		side->scene = s;
		s->connections++;
		sock_init(&side->sock, fd);
		if (s->is_mute) {
			sock_close(&side->sock);
			free(side);
		} else {
			fiber_start("connection", run_connection, side);
		}
	}
	io_done(&io);
	s->target = NULL;
}

static void enter(void *p)
{
	struct scene *s = p;
	struct listen_options o = { .backlog = 16 };

	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &s->address));
	assert_null(net_listen(&s->address, &o, &s->fd));
	s->address.size = sizeof(s->address.local);
	assert_int_equal(getsockname(s->fd, &s->address.any, &s->address.size), 0);
	s->target = fiber_start("target", run_target, s);
	s->links = links_new(&s->options);
	s->fn(s);
	fiber_cancel(s->target);
	while (s->target)
		fiber_yield();
	links_drop(&s->links);
	close(s->fd);
	loop_stop(s->loop);
}

static void start(void *p)
{
	fiber_start("test", enter, p);
}

static void run(struct scene s)
{
	assert_null(loop_new("test", 0, &s.loop));
	loop_post(s.loop, start, &s);
	loop_run(s.loop);
	loop_drop(&s.loop);
}

/* ---- asking ------------------------------------------------------------------------- */

static enum link_end join(struct scene *s, struct link **ret)
{
	struct link_target t = { .address = &s->address };
	const char *why;

	return link_join(s->links, &t, deadline_in(2000), ret, &why);
}

static struct link *begin(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_headers fields = { 0 };
	struct link *k = NULL;

	assert_int_equal(join(s, &k), LINK_OK);
	http_add(a, &fields, STR(":method"), STR("GET"));
	http_add(a, &fields, STR(":scheme"), STR("http"));
	http_add(a, &fields, STR(":authority"), STR("here"));
	http_add(a, &fields, STR(":path"), STR("/"));
	assert_true(link_begin(k, &fields, false));
	return k;
}

static void finish(struct link *k)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct http_response response;
	ssize_t n;

	while ((n = h2_take_response(&k->sock, a, HTTP_GET, &response)) == HTTP_MORE)
		assert_int_equal(io_wait(&k->sock.io, IO_READ, deadline_in(2000)), WAIT_OK);
	assert_true(n > 0);
	assert_int_equal(response.status, 200);
	link_keep(&k);
	assert_null(k);
}

#define MANY(...) ((struct scene){ .options = { .pool_size = 10 }, __VA_ARGS__ })

static void shares(struct scene *s)
{
	struct link *a = begin(s), *b = begin(s), *c = begin(s);

	assert_false(a->is_reused);
	assert_true(b->is_reused && c->is_reused);
	finish(a);
	finish(c);
	finish(b);
	assert_int_equal(s->connections, 1);
	assert_int_equal(s->requests, 3);
}

static void requests_share_a_connection(void **state)
{
	(void)state;
	run(MANY(.fn = shares));
}

static void needs_more(struct scene *s)
{
	struct link *k[5];

	for (size_t i = 0; i < COUNT(k); i++)
		k[i] = begin(s);
	assert_int_equal(s->connections, 3);
	for (size_t i = 0; i < COUNT(k); i++)
		link_close(&k[i]);
}

static void a_full_connection_is_followed_by_another(void **state)
{
	(void)state;
	run(MANY(.fn = needs_more, .streams_most = 2, .is_silent = true));
}

static void retires(struct scene *s)
{
	for (int i = 0; i < 5; i++)
		finish(begin(s));
	assert_int_equal(s->connections, 3);
}

static void a_connection_has_only_so_many_requests(void **state)
{
	(void)state;
	run(MANY(.fn = retires, .options = { .pool_size = 10, .max_requests = 2 }));
}

static void keeps_none(struct scene *s)
{
	finish(begin(s));
	fiber_sleep(deadline_in(20));
	finish(begin(s));
	assert_int_equal(s->connections, 2);
}

static void without_a_pool_none_is_kept(void **state)
{
	(void)state;
	run(MANY(.fn = keeps_none, .options = { 0 }));
}

static void fails(struct scene *s)
{
	struct link *k = NULL;

	assert_int_equal(join(s, &k), LINK_REFUSED);
	assert_null(k);
	assert_int_equal(s->connections, 1);
}

static void a_target_that_says_nothing_is_refused(void **state)
{
	(void)state;
	run(MANY(.fn = fails, .is_mute = true));
}

static void join_and_finish(void *arg)
{
	struct scene *s = arg;

	finish(begin(s));
}

static void waits(struct scene *s)
{
	for (int i = 0; i < 20; i++)
		fiber_start("request", join_and_finish, s);
	while (s->requests < 20)
		fiber_sleep(deadline_in(1));
	fiber_sleep(deadline_in(10));
	assert_int_equal(s->connections, 1);
}

static void who_comes_while_it_connects_waits_for_it(void **state)
{
	(void)state;
	run(MANY(.fn = waits));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_share_a_connection),
		cmocka_unit_test(a_full_connection_is_followed_by_another),
		cmocka_unit_test(a_connection_has_only_so_many_requests),
		cmocka_unit_test(without_a_pool_none_is_kept),
		cmocka_unit_test(a_target_that_says_nothing_is_refused),
		cmocka_unit_test(who_comes_while_it_connects_waits_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
