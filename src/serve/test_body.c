/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies over a socket pair: pieces, gathering, ends and what is behind them. */
#include "serve/body.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#include "fiber/testing.h"

/* Each test runs as a fiber over a socket pair. */
struct scene {
	void (*fn)(struct scene *);
	struct loop *loop;
	struct sock near, far;
	struct block *head;
};

static void enter(void *p)
{
	struct scene *s = p;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	sock_init(&s->near, fds[0]);
	sock_init(&s->far, fds[1]);
	s->head = block_get(BLOCK_SMALL);
	s->fn(s);
	block_put(&s->head);
	sock_close(&s->near);
	sock_close(&s->far);
	loop_stop(s->loop);
}

static void start(void *p)
{
	fiber_start("test", enter, p);
}

static void run(void (*fn)(struct scene *))
{
	struct scene s = { .fn = fn };

	assert_null(loop_new("test", 0, &s.loop));
	loop_post(s.loop, start, &s);
	loop_run(s.loop);
	loop_drop(&s.loop);
	block_trim();
}

static void say(struct scene *s, str text)
{
	assert_int_equal(sock_write(&s->far, text.s, text.n, deadline_in(1000)), (ssize_t)text.n);
}

/* The rest of the body as text. */
static str read_all(struct arena *a, struct body *b, ssize_t *ret_end)
{
	str all = STR("");
	char *piece;
	ssize_t n;

	while ((n = body_next(b, 1000, NULL, &piece)) > 0)
		all = str_cat(a, all, str_at(piece, (size_t)n));
	*ret_end = n;
	return all;
}

static void body_of(struct scene *s, struct body *b, str first, enum http_body kind, int64_t length)
{
	memcpy(s->head->data, first.s, first.n);
	body_init(b, &s->near, s->head, s->head->data, s->head->data + first.n, kind, length);
}

static const char coded[] = "5\r\nhello\r\n1;x=y\r\n \r\n6\r\nworld!\r\n0\r\nT: v\r\n\r\nNEXT";

static void chunks_in_every_split(struct scene *s)
{
	for (size_t cut = 0; cut <= sizeof(coded) - 5; cut++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct body b CLEANUP(body_done);
		str whole = STR("5\r\nhello\r\n1;x=y\r\n \r\n6\r\nworld!\r\n0\r\nT: v\r\n\r\n");
		ssize_t end;
		str got;

		body_of(s, &b, str_part(whole, 0, cut), HTTP_BODY_CHUNKED, 0);
		if (cut < whole.n)
			say(s, str_from(whole, cut));
		got = read_all(a, &b, &end);
		assert_int_equal(end, 0);
		assert_true(str_is(got, "hello world!"));
		assert_int_equal(b.received, 12);
		assert_ptr_equal(b.at, b.end);
	}
}

static void a_chunked_body_is_the_same_in_every_split(void **state)
{
	(void)state;
	run(chunks_in_every_split);
}

static void leaves_pipeline(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct body b CLEANUP(body_done);
	ssize_t end;

	body_of(s, &b, str_of(coded), HTTP_BODY_CHUNKED, 0);
	assert_true(str_is(read_all(a, &b, &end), "hello world!"));
	assert_true(str_is(str_at(b.at, (size_t)(b.end - b.at)), "NEXT"));

	body_of(s, &b, STR("abcdefGET"), HTTP_BODY_LENGTH, 6);
	assert_true(str_is(read_all(a, &b, &end), "abcdef"));
	assert_true(str_is(str_at(b.at, (size_t)(b.end - b.at)), "GET"));
}

static void what_is_behind_a_body_stays(void **state)
{
	(void)state;
	run(leaves_pipeline);
}

static void gathers(struct scene *s)
{
	struct body b CLEANUP(body_done);
	ssize_t end;
	char *piece;
	str all;

	body_of(s, &b, STR("3\r\nab"), HTTP_BODY_CHUNKED, 0);
	say(s, STR("c\r\n2\r\nde\r\n0\r\n\r\n"));
	assert_true(body_gather(&b, 1000, &all, &end));
	assert_true(str_is(all, "abcde"));
	assert_true(b.is_done);
	assert_int_equal(body_next(&b, 1000, NULL, &piece), 5);
	assert_memory_equal(piece, "abcde", 5);
	assert_int_equal(body_next(&b, 1000, NULL, &piece), 0);
}

static void a_small_body_is_gathered_whole(void **state)
{
	(void)state;
	run(gathers);
}

static void gathers_too_much(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct body b CLEANUP(body_done);
	static char data[BLOCK_SMALL * 3];
	str rest = str_at(data, sizeof(data)), all;
	ssize_t end;

	memset(data, 'x', sizeof(data));
	body_of(s, &b, STR("c000\r\n"), HTTP_BODY_CHUNKED, 0);
	say(s, rest);
	say(s, STR("\r\n0\r\n\r\n"));
	assert_false(body_gather(&b, 1000, &all, &end));
	assert_int_equal(end, 0);
	assert_int_equal(read_all(a, &b, &end).n, sizeof(data));
	assert_int_equal(end, 0);
}

static void a_large_body_goes_on_where_gathering_stopped(void **state)
{
	(void)state;
	run(gathers_too_much);
}

static void ends_early(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct body b CLEANUP(body_done);
	ssize_t end;

	body_of(s, &b, STR("abc"), HTTP_BODY_LENGTH, 10);
	sock_close(&s->far);
	read_all(a, &b, &end);
	assert_int_equal(end, NET_RESET);
}

static void an_early_end_is_a_reset(void **state)
{
	(void)state;
	run(ends_early);
}

static void is_bad(struct scene *s)
{
	static const char *const bad[] = { "x\r\n", "5\r\nhelloX\r\n", "-1\r\n", "5\nhello\r\n",
					   "fffffffffffffffff\r\n" };
	struct arena *a CLEANUP(arena_drop) = arena_new();
	ssize_t end;

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct body b CLEANUP(body_done);

		body_of(s, &b, str_of(bad[i]), HTTP_BODY_CHUNKED, 0);
		read_all(a, &b, &end);
		assert_int_equal(end, BODY_BAD);
	}
}

static void broken_chunks_are_told(void **state)
{
	(void)state;
	run(is_bad);
}

static void watches(struct scene *s)
{
	struct body b CLEANUP(body_done);
	struct io_want watch;
	struct sock other;
	int fds[2];
	char *piece;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	sock_init(&other, fds[0]);
	watch = (struct io_want){ &other.io, IO_READ };
	body_of(s, &b, STR(""), HTTP_BODY_LENGTH, 10);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(body_next(&b, 1000, &watch, &piece), BODY_WATCHED);
	sock_close(&other);
	close(fds[1]);
}

static void the_watched_one_may_speak_first(void **state)
{
	(void)state;
	run(watches);
}

static void has_a_ceiling(struct scene *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct body b CLEANUP(body_done);
	ssize_t end;

	body_of(s, &b, STR("5\r\nhello\r\n0\r\n\r\n"), HTTP_BODY_CHUNKED, 0);
	b.has_max = true;
	b.max = 4;
	read_all(a, &b, &end);
	assert_int_equal(end, BODY_TOO_LARGE);
}

static void a_body_beyond_its_ceiling_is_refused(void **state)
{
	(void)state;
	run(has_a_ceiling);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chunked_body_is_the_same_in_every_split),
		cmocka_unit_test(what_is_behind_a_body_stays),
		cmocka_unit_test(a_small_body_is_gathered_whole),
		cmocka_unit_test(a_large_body_goes_on_where_gathering_stopped),
		cmocka_unit_test(an_early_end_is_a_reset),
		cmocka_unit_test(broken_chunks_are_told),
		cmocka_unit_test(the_watched_one_may_speak_first),
		cmocka_unit_test(a_body_beyond_its_ceiling_is_refused),
	};

	choose_loops();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
