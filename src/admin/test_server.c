/* SPDX-License-Identifier: Apache-2.0 */
/* The small server over loopback: what clients send, what they get back. */
#include "admin/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "fiber/testing.h"

#define SOON deadline_in(20000)

static struct http_tuning tuning = {
	.client_max_body = 1000,
	.large_header_buffers = 4,
	.large_header_buffer = 1024,
	.client_header_timeout = 20000,
	.client_body_timeout = 20000,
	.send_timeout = 20000,
	.keepalive_timeout = 20000,
	.keepalive_requests = 1000,
};

static struct {
	struct api_server *server;
	struct address at;
	int fd;
	uint64_t logged;
	int last_status;
	struct gate hold; /* /hold waits here */
} t;

/* Says what it saw: "METHOD path body". */
static void echo(void *arg, struct api_request *r, struct api_reply *reply)
{
	(void)arg;
	if (str_is(r->head->path, "/hold"))
		gate_wait(&t.hold, SOON);
	reply->status = str_is(r->head->path, "/none") ? 204 : 200;
	reply->content_type = STR("text/plain");
	reply->body = str_fmt(r->arena, STRF " " STRF " " STRF "\n", STRV(r->head->method_name),
			      STRV(r->head->path), STRV(r->body));
	if (str_is(r->head->path, "/big")) {
		char *p = arena_bytes(r->arena, 3000000);

		memset(p, 'x', 3000000);
		reply->body = str_at(p, 3000000);
	}
	http_add(r->arena, &reply->headers, STR("X-Test"), STR("yes"));
}

static void note(void *arg, const struct api_request *r, const struct api_reply *reply,
		 const struct api_sent *sent)
{
	(void)arg;
	(void)r;
	t.logged++;
	t.last_status = reply->status;
	assert_true(sent->head_bytes > 0);
}

static void start(struct tls_context *tls)
{
	struct api_server_options o = {
		.name = "test",
		.tuning = &tuning,
		.max_connections = 8,
		.tls = tls,
		.handle = echo,
		.log = note,
	};

	t.logged = 0;
	gate_init(&t.hold);
	t.server = api_server_new(&o);
	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &t.at));
	assert_null(net_listen(&t.at, &(struct listen_options){ .backlog = 16 }, &t.fd));
	assert_int_equal(getsockname(t.fd, &t.at.any, &t.at.size), 0);
	api_server_listen(t.server, t.fd, tls != NULL);
}

static void stop(void)
{
	api_server_stop(t.server, deadline_in(100));
	assert_int_equal(api_server_counts(t.server).connections, 0);
	close(t.fd);
}

static void open_client(struct sock *s)
{
	assert_int_equal(sock_connect(s, &t.at, SOON), NET_OK);
}

static void say(struct sock *s, const char *text)
{
	assert_true(sock_write(s, text, strlen(text), SOON) > 0);
}

/* Reads until the text has come (or the end, when NULL); what came, in a. */
static str hear(struct arena *a, struct sock *s, const char *until)
{
	CLEANUP(buf_done) struct buf b = { 0 };

	buf_init(&b, 0);
	while (!until || str_find_str(buf_str(&b), str_of(until)) < 0) {
		char *room = buf_room(&b, 65536);
		ssize_t n = sock_read(s, room, 65536, SOON);

		if (n <= 0) {
			if (until || n != NET_EOF)
				fail_msg("ended (%zd) with: " STRF, n, STRV(buf_str(&b)));
			break;
		}
		b.n += (size_t)n;
	}
	return str_copy(a, buf_str(&b));
}

static bool has(str text, const char *piece)
{
	return str_find_str(text, str_of(piece)) >= 0;
}

/* ---- trials ------------------------------------------------------------------------------- */

static void (*trial_fn)(void);

static void run_trial(void *tls)
{
	start(tls);
	trial_fn();
	stop();
	loop_stop(loop_self());
}

static void on_loop_with(void (*fn)(void), struct tls_context *tls)
{
	struct loop *l = NULL;

	trial_fn = fn;
	assert_null(loop_new("test", 0, &l));
	fiber_start_on(l, "trial", run_trial, tls);
	loop_run(l);
	loop_drop(&l);
	api_server_drop(&t.server);
}

static void on_loop(void (*fn)(void))
{
	on_loop_with(fn, NULL);
}

static void keep_alive_trial(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct sock s;
	str got;

	open_client(&s);
	say(&s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	got = hear(a, &s, "GET /a \n");
	assert_true(has(got, "HTTP/1.1 200 OK\r\n") && has(got, "Content-Length: 8\r\n"));
	assert_true(has(got, "Connection: keep-alive\r\n") && has(got, "X-Test: yes\r\n"));
	say(&s, "HEAD /b HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n");
	got = hear(a, &s, "204 No Content");
	assert_true(has(got, "Content-Length: 9\r\n") && !has(got, "HEAD /b"));
	got = str_from(got, (size_t)str_find_str(got, STR("204 No")));
	assert_false(has(got, "Content-Length"));
	say(&s, "POST /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe");
	say(&s, "llo");
	got = hear(a, &s, NULL);
	assert_true(has(got, "POST /c hello\n") && has(got, "Connection: close\r\n"));
	assert_int_equal(t.logged, 4);
	sock_close(&s);
}

static void chunked_trial(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct sock s;
	str got;

	open_client(&s);
	say(&s, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	fiber_sleep(deadline_in(20));
	say(&s, "2\r\nde\r\n0\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Le");
	hear(a, &s, "POST /a abcde\n");
	say(&s, "ngth: 1\r\n\r\nfGET /c HTTP/1.1\r\nHost: x\r\n\r\n");
	got = hear(a, &s, "GET /c \n");
	assert_true(has(got, "POST /b f\n"));
	say(&s, "POST /d HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	hear(a, &s, "HTTP/1.1 100 Continue\r\n\r\n");
	say(&s, "ok");
	hear(a, &s, "POST /d ok\n");
	sock_close(&s);
}

/* clang-format off */
static const struct {
	const char *text, *status;
} refusals[] = {
	{ "GET / HTTP/1.1\r\n\r\n",                                                       "HTTP/1.1 400 " },
	{ "GET / HTTP/1.1\nHost: x\n\n",                                                  "HTTP/1.1 400 " },
	{ "GET / HTTP/3.0\r\n\r\n",                                                       "HTTP/1.1 505 " },
	{ "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",                                    "HTTP/1.1 405 " },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n",                   "HTTP/1.1 413 " },
	{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",      "HTTP/1.1 400 " },
	{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n%1001", "HTTP/1.1 413 " },
	{ "GET /%2000 HTTP/1.1\r\nHost: x\r\n\r\n",                                       "HTTP/1.1 414 " },
	{ "GET / HTTP/1.1\r\nHost: x\r\nX: %2000\r\n\r\n",                                "HTTP/1.1 400 " },
};
/* clang-format on */

/* "%1001" stands for so many letters. */
static char *spelled(struct arena *a, const char *text)
{
	const char *mark = strchr(text, '%');
	char *end;
	long n;

	if (!mark)
		return str_z(a, str_of(text));
	n = strtol(mark + 1, &end, 10);
	return str_z(a, str_fmt(a, "%.*s%0*d%s", (int)(mark - text), text, (int)n, 0, end));
}

static void refusal_trial(void)
{
	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct sock s;
		str got;

		open_client(&s);
		say(&s, spelled(a, refusals[i].text));
		got = hear(a, &s, NULL);
		if (!has(got, refusals[i].status) || !has(got, "Connection: close\r\n") ||
		    !has(got, "{\"message\":\""))
			fail_msg("%s: " STRF, refusals[i].text, STRV(got));
		sock_close(&s);
	}
	assert_int_equal(t.logged, COUNT(refusals));
}

static void slow_trial(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct sock silent, slow;

	tuning.client_header_timeout = 60;
	open_client(&silent);
	open_client(&slow);
	say(&slow, "GET / HT");
	assert_true(has(hear(a, &slow, NULL), "HTTP/1.1 408 "));
	assert_int_equal(hear(a, &silent, NULL).n, 0);
	tuning.client_header_timeout = 20000;
	sock_close(&silent);
	sock_close(&slow);
}

static void big_trial(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct sock s;

	open_client(&s);
	say(&s, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_true(hear(a, &s, NULL).n > 3000000);
	sock_close(&s);
}

static void crowd_trial(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct sock s[9];

	for (size_t i = 0; i < 8; i++) {
		open_client(&s[i]);
		say(&s[i], "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
		hear(a, &s[i], "GET /a \n");
	}
	open_client(&s[8]);
	assert_int_equal(hear(a, &s[8], NULL).n, 0);
	assert_int_equal(api_server_counts(t.server).refused, 1);
	for (size_t i = 0; i < 9; i++)
		sock_close(&s[i]);
}

static void let_go(void *unused)
{
	(void)unused;
	fiber_sleep(deadline_in(30));
	gate_wake_all(&t.hold);
}

/* A busy connection ends its request, an idle one goes at once. */
static void stop_trial(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct sock idle, busy;
	str got;

	open_client(&idle);
	open_client(&busy);
	say(&idle, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(a, &idle, "GET /a \n");
	say(&busy, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
	while (api_server_counts(t.server).requests < 2)
		fiber_sleep(deadline_in(5));
	fiber_start("let go", let_go, NULL);
	api_server_stop(t.server, deadline_in(10000));
	assert_int_equal(hear(a, &idle, NULL).n, 0);
	got = hear(a, &busy, NULL);
	assert_true(has(got, "GET /hold \n") && has(got, "Connection: close\r\n"));
	sock_close(&idle);
	sock_close(&busy);
}

static void tls_trial(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct tls_client_options o = { .protocols = TLS_1_2 | TLS_1_3 };
	struct tls_context *tls CLEANUP(tls_context_drop) = NULL;
	struct sock s, plain;

	assert_null(tls_context_client(&o, &tls));
	open_client(&s);
	assert_null(tls_connect(&s, tls, STR("localhost"), false, SOON));
	say(&s, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(a, &s, "GET /a \n");
	open_client(&plain);
	say(&plain, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_false(has(hear(a, &plain, NULL), "200 OK"));
	sock_close(&s);
	sock_close(&plain);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void requests_follow_each_other_on_one_connection(void **state)
{
	(void)state;
	on_loop(keep_alive_trial);
}

static void chunked_bodies_and_pipelines_are_read_exactly(void **state)
{
	(void)state;
	on_loop(chunked_trial);
}

static void bad_requests_are_refused_and_logged(void **state)
{
	(void)state;
	on_loop(refusal_trial);
}

static void slow_clients_run_into_timeouts(void **state)
{
	(void)state;
	on_loop(slow_trial);
}

static void big_replies_come_whole(void **state)
{
	(void)state;
	on_loop(big_trial);
}

static void too_many_connections_are_closed(void **state)
{
	(void)state;
	on_loop(crowd_trial);
}

static void stopping_lets_busy_requests_finish(void **state)
{
	(void)state;
	on_loop(stop_trial);
}

static void ssl_listeners_speak_tls(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct tls_cert *cert CLEANUP(tls_cert_drop) = NULL;
	struct tls_context *tls CLEANUP(tls_context_drop) = NULL;
	struct tls_server_options o = { .protocols = TLS_1_2 | TLS_1_3 };
	str cert_pem, key_pem;

	(void)state;
	assert_null(
		tls_make_self_signed(a, TLS_KEY_EC_P256, STR("localhost"), 2, &cert_pem, &key_pem));
	assert_null(tls_cert_new(cert_pem, key_pem, &cert));
	o.certs[0] = cert;
	assert_null(tls_context_server(&o, &tls));
	on_loop_with(tls_trial, tls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_follow_each_other_on_one_connection),
		cmocka_unit_test(chunked_bodies_and_pipelines_are_read_exactly),
		cmocka_unit_test(bad_requests_are_refused_and_logged),
		cmocka_unit_test(slow_clients_run_into_timeouts),
		cmocka_unit_test(big_replies_come_whole),
		cmocka_unit_test(too_many_connections_are_closed),
		cmocka_unit_test(stopping_lets_busy_requests_finish),
		cmocka_unit_test(ssl_listeners_speak_tls),
	};

	choose_loops();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
