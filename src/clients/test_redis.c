/* SPDX-License-Identifier: Apache-2.0 */
/* Redis by a scripted server on loopback: what is sent, what replies become, which
 * connections are used again, what an outage costs. */
#include "clients/redis.h"

#include "base/buf.h"
#include "base/limits.h"
#include "net/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

/* Each test runs as a fiber beside a server that answers each thing it reads with the
 * next of `says`; NULL: it closes the connection. */
struct scene {
	void (*fn)(struct scene *);
	const char *const *says; /* up to one that is "" : nothing more is said */
	struct loop *loop;
	struct arena *a;
	struct address address;
	int fd;
	struct redis_server server;
	struct buf heard;
	unsigned accepted;
	struct fiber *acceptor;
};

struct talk {
	struct scene *scene;
	int fd;
};

static void converse(void *p)
{
	struct talk t = *(struct talk *)p;
	struct sock sock;
	char chunk[4096];
	ssize_t n;

	sock_init(&sock, t.fd);
	while ((n = sock_read(&sock, chunk, sizeof(chunk), deadline_in(5000))) > 0) {
		const char *said = *t.scene->says;

		buf_add(&t.scene->heard, chunk, (size_t)n);
		if (!said)
			break;
		if (!*said)
			continue;
		t.scene->says++;
		assert_int_equal(sock_write(&sock, said, strlen(said), deadline_in(5000)),
				 (ssize_t)strlen(said));
	}
	if (n > 0)
		t.scene->says++;
	sock_close(&sock);
}

static void serve_all(void *p)
{
	struct scene *s = p;
	struct io io;

	io_init(&io, s->fd);
	while (io_wait(&io, IO_READ, DEADLINE_NEVER) == WAIT_OK) {
		struct talk t = { s, accept4(s->fd, NULL, NULL, SOCK_NONBLOCK) };

		if (t.fd < 0) {
			io_clear(&io, IO_READ);
			continue;
		}
		s->accepted++;
		fiber_start_now("talk", converse, &t);
	}
	io_done(&io);
}

static void enter(void *p)
{
	struct scene *s = p;
	struct listen_options o = { .backlog = 16 };

	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &s->address));
	assert_null(net_listen(&s->address, &o, &s->fd));
	s->address.size = sizeof(s->address.local);
	assert_int_equal(getsockname(s->fd, &s->address.any, &s->address.size), 0);
	s->server = (struct redis_server){ .host = STR("127.0.0.1"),
					   .port = address_port(&s->address),
					   .timeout_ms = 3000 };
	s->acceptor = fiber_start("server", serve_all, s);
	s->fn(s);
	loop_stop(s->loop);
}

static void start(void *p)
{
	fiber_start("test", enter, p);
}

static void run(void (*fn)(struct scene *), const char *const *says)
{
	struct scene s = { .fn = fn, .says = says, .a = arena_new() };

	assert_null(loop_new("test", 0, &s.loop));
	loop_post(s.loop, start, &s);
	loop_run(s.loop);
	redis_leave();
	loop_drop(&s.loop);
	close(s.fd);
	buf_done(&s.heard);
	arena_drop(&s.a);
	err_forget();
}

static struct err *ask(struct scene *s, struct redis_reply *ret)
{
	return redis_ask(s->a, &s->server, REDIS_WORDS(STR("GET"), STR("k")), ret);
}

static void assert_heard(struct scene *s, const char *want)
{
	assert_string_equal(str_z(s->a, buf_str(&s->heard)), want);
	buf_clear(&s->heard);
}

static void assert_says(struct scene *s, const struct err *e, const char *part)
{
	str line = err_line(s->a, e);

	if (!e || str_find_str(line, str_of(part)) < 0)
		fail_msg("\"" STRF "\" does not say \"%s\"", STRV(line), part);
}

#define GET_K  "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
#define SILENT ""

/* ---- replies ------------------------------------------------------------------------------- */

static void print(struct buf *out, const struct redis_reply *r)
{
	static const char marks[] = { '_', ':', '$', '+', '-', '*' };

	buf_add_char(out, marks[r->kind]);
	if (r->kind == REDIS_INT)
		buf_add_int(out, r->i);
	buf_add_str(out, r->s);
	for (size_t i = 0; i < r->n; i++) {
		buf_add_char(out, i ? ' ' : '[');
		print(out, &r->items[i]);
	}
	if (r->n)
		buf_add_char(out, ']');
}

/* clang-format off */
static const struct {
	const char *said;
	const char *reply; /* NULL: an error that says */
	const char *error;
} replies[] = {
	{ "$5\r\nhello\r\n", "$hello" },
	{ "$0\r\n\r\n", "$" },
	{ "$-1\r\n", "_" },
	{ ":-42\r\n", ":-42" },
	{ "+OK\r\n", "+OK" },
	{ "*0\r\n", "*" },
	{ "*3\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n+b\r\n", "*[:1 *[$a _] +b]" },
	{ "*2\r\n:1\r\n-ERR inner\r\n", "*[:1 -ERR inner]" },
	{ "-WRONGTYPE not that\r\n", NULL, "WRONGTYPE not that" },
	{ "HTTP/1.1 400 Bad Request\r\n", NULL, "Protocol error" },
	{ "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", NULL, "No support for nested multi bulk replies with depth > 7" },
	{ "*65537\r\n", NULL, "a list is too long" },
	{ "*2\r\n*40000\r\n", NULL, "timed out" }, /* it is waited for */
	{ "*2147483647\r\n", NULL, "a list is too long" },
	{ "*-5\r\n", NULL, "reading: " },
	{ "+OK\r\n+more\r\n", NULL, "more replies than commands" },
};
/* clang-format on */

static size_t row;

static void take_reply(struct scene *s)
{
	struct redis_reply r;
	struct buf out CLEANUP(buf_done) = { 0 };
	struct err *e;

	s->server.timeout_ms =
		replies[row].error && strcmp(replies[row].error, "timed out") == 0 ? 50 : 3000;
	e = ask(s, &r);
	assert_heard(s, GET_K);
	if (!replies[row].reply) {
		assert_says(s, e, replies[row].error);
		return;
	}
	if (e)
		fail_msg(STRF, STRV(err_line(s->a, e)));
	print(&out, &r);
	assert_string_equal(str_z(s->a, buf_str(&out)), replies[row].reply);
}

static void replies_become_what_they_say(void **state)
{
	(void)state;
	for (row = 0; row < COUNT(replies); row++)
		run(take_reply, (const char *const[]){ replies[row].said, SILENT });
}

static void take_too_much(struct scene *s)
{
	struct redis_reply r;

	assert_says(s, ask(s, &r), "has more than 16777216 bytes");
}

static void a_reply_has_a_ceiling(void **state)
{
	size_t n = LIMIT_REDIS_BYTES + 1000;
	char *text = malloc(n + 1);
	int head = snprintf(text, n, "$%zu\r\n", n * 2);

	(void)state;
	memset(text + head, 'x', n - (size_t)head);
	text[n] = '\0';
	run(take_too_much, (const char *const[]){ text, SILENT });
	free(text);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void log_in(struct scene *s)
{
	struct redis_reply r;

	s->server.password = STR("secret");
	s->server.username = STR("jo");
	s->server.database = 3;
	assert_null(ask(s, &r));
	assert_heard(s, "*3\r\n$4\r\nAUTH\r\n$2\r\njo\r\n$6\r\nsecret\r\n"
			"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n" GET_K);
	assert_null(ask(s, &r));
	assert_heard(s, GET_K);
	assert_int_equal(s->accepted, 1);
}

static void one_logs_in_once_and_the_connection_is_kept(void **state)
{
	(void)state;
	run(log_in, (const char *const[]){ "+OK\r\n+OK\r\n", ":1\r\n", ":2\r\n", SILENT });
}

static void ask_as_two(struct scene *s)
{
	struct redis_reply r;

	s->server.password = STR("good");
	assert_null(ask(s, &r));
	s->server.password = STR("bad");
	assert_says(s, ask(s, &r), "AUTH: WRONGPASS");
	assert_int_equal(s->accepted, 2);
	s->server.password = STR("good");
	assert_null(ask(s, &r));
	assert_int_equal(s->accepted, 2);
}

static void a_wrong_password_finds_no_good_connection_of_others(void **state)
{
	(void)state;
	run(ask_as_two,
	    (const char *const[]){ "+OK\r\n", ":1\r\n", "-WRONGPASS no\r\n", ":2\r\n", SILENT });
}

static void close_kept(struct scene *s)
{
	struct redis_reply r;

	assert_null(ask(s, &r));
	assert_says(s, ask(s, &r), "the server closed the connection");
	for (int i = 0; i < 500 && ask(s, &r); i++) /* until the quiet time is over */
		fiber_sleep(deadline_in(10));
	assert_int_equal(r.i, 2);
	assert_int_equal(s->accepted, 2);
}

static void nothing_is_sent_twice(void **state)
{
	(void)state;
	run(close_kept, (const char *const[]){ ":1\r\n", NULL, ":2\r\n", SILENT });
}

static void outlast(struct scene *s)
{
	struct redis_reply r;

	s->server.timeout_ms = 50;
	assert_says(s, ask(s, &r), "timed out");
	for (int i = 0; i < 20; i++)
		assert_says(s, ask(s, &r), "timed out");
	assert_int_equal(s->accepted, 1);
	assert_int_equal(redis_ask(s->a, &s->server, REDIS_WORDS(STR("GET"), STR("k")), &r)->code,
			 ERR_TIMEOUT);
}

static void during_an_outage_calls_fail_at_once(void **state)
{
	(void)state;
	run(outlast, (const char *const[]){ SILENT });
}

static void ask_nobody(struct scene *s)
{
	struct redis_reply r;

	s->server.host = STR("127.0.0.1");
	s->server.port = 1;
	assert_says(s, ask(s, &r), "Redis 127.0.0.1:1: connecting: Connection refused");
	assert_says(s, ask(s, &r), "Redis 127.0.0.1:1: connecting: Connection refused");
}

static void who_is_not_there_is_named(void **state)
{
	(void)state;
	run(ask_nobody, (const char *const[]){ SILENT });
}

/* ---- several, scripts ------------------------------------------------------------------------ */

static void ask_two(struct scene *s)
{
	str one[] = { STR("GET"), STR("k") }, two[] = { STR("DEL"), STR("a\r\nb") };
	strs commands[] = { { one, 2 }, { two, 2 } };
	struct redis_reply r[2];

	assert_null(redis_ask_all(s->a, &s->server, commands, 2, r));
	assert_heard(s, GET_K "*2\r\n$3\r\nDEL\r\n$4\r\na\r\nb\r\n");
	assert_int_equal(r[0].kind, REDIS_ERROR);
	assert_int_equal(r[1].i, 7);
}

static void several_go_together(void **state)
{
	(void)state;
	run(ask_two, (const char *const[]){ "-ERR no\r\n:7\r\n", SILENT });
}

#define SHA_OF_RETURN_1 "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
#define BY_DIGEST       "*4\r\n$7\r\nEVALSHA\r\n$40\r\n" SHA_OF_RETURN_1 "\r\n$1\r\n1\r\n$1\r\nk\r\n"
#define BY_TEXT         "*4\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n"

static struct err *run_script(struct scene *s, struct redis_reply *ret)
{
	static const struct redis_script script = { "return 1" };

	return redis_run(s->a, &s->server, &script, (str[]){ STR("k") }, 1, 1, ret);
}

static void run_unknown(struct scene *s)
{
	struct redis_reply r;

	assert_null(run_script(s, &r));
	assert_heard(s, BY_DIGEST BY_TEXT);
	assert_int_equal(r.i, 1);
}

static void a_script_goes_as_text_when_the_server_does_not_know_it(void **state)
{
	(void)state;
	run(run_unknown, (const char *const[]){ "-NOSCRIPT no\r\n", ":1\r\n", SILENT });
}

static void run_forbidden(struct scene *s)
{
	struct redis_reply r;

	assert_int_equal(run_script(s, &r)->code, ERR_NOT_FOUND);
	assert_heard(s, BY_DIGEST);
	assert_int_equal(run_script(s, &r)->code, ERR_NOT_FOUND);
	assert_heard(s, "");
}

static void who_may_not_run_scripts_is_not_asked_again(void **state)
{
	(void)state;
	run(run_forbidden, (const char *const[]){ "-NOPERM this user\r\n", SILENT });
}

static int begin_names(void **state)
{
	static str nobody = STR_INIT("127.0.0.1:1"), order = STR_INIT("A");

	(void)state;
	assert_null(dns_start(&(struct dns_options){ .resolvers = { &nobody, 1 },
						     .hostsfile = STR("/dev/null"),
						     .order = { &order, 1 },
						     .cache_size = 10 }));
	return 0;
}

static int end_names(void **state)
{
	(void)state;
	dns_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_become_what_they_say),
		cmocka_unit_test(a_reply_has_a_ceiling),
		cmocka_unit_test(one_logs_in_once_and_the_connection_is_kept),
		cmocka_unit_test(a_wrong_password_finds_no_good_connection_of_others),
		cmocka_unit_test(nothing_is_sent_twice),
		cmocka_unit_test(during_an_outage_calls_fail_at_once),
		cmocka_unit_test(who_is_not_there_is_named),
		cmocka_unit_test(several_go_together),
		cmocka_unit_test(a_script_goes_as_text_when_the_server_does_not_know_it),
		cmocka_unit_test(who_may_not_run_scripts_is_not_asked_again),
	};

	return cmocka_run_group_tests_name("redis", tests, begin_names, end_names);
}
