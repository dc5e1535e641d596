/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client and the senders, against servers of a few lines each on loopback. */
#include "base/log.h"
#include "clients/http_client.h"
#include "clients/peer.h"
#include "clients/trust.h"
#include "net/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define SOON deadline_in(20000)

/* A server on the test's own loop: for each connection it reads requests, and sends the
 * next of its answers for each; "!" ends the connection. */
static struct server {
	struct loop *loop;
	int fd;
	uint16_t port;
	const char *const *answers; /* up to NULL, then the connection ends */
	size_t given, connections;
	char seen[65536]; /* all that came */
	size_t seen_n;
	struct tls_context *tls;
	struct arena *a;
	str cert;
	void (*test)(void);
} server;

static bool read_request(struct sock *s)
{
	size_t start = server.seen_n;

	for (;;) {
		ssize_t n = sock_read(s, server.seen + server.seen_n,
				      sizeof(server.seen) - 1 - server.seen_n, SOON);
		const char *end, *length;
		size_t body;

		if (n <= 0)
			return false;
		server.seen_n += (size_t)n;
		server.seen[server.seen_n] = '\0';
		end = strstr(server.seen + start, "\r\n\r\n");
		length = strstr(server.seen + start, "Content-Length: ");
		body = length ? (size_t)strtol(length + 16, NULL, 10) : 0;
		if (end && server.seen + server.seen_n >= end + 4 + body)
			return true;
	}
}

static void converse(void *p)
{
	struct sock s;

	sock_init(&s, (int)(intptr_t)p);
	if (server.tls && tls_accept(&s, server.tls, NULL, SOON)) {
		sock_close(&s);
		err_forget();
		return;
	}
	while (read_request(&s) && server.answers[server.given]) {
		const char *answer = server.answers[server.given++];

		if (strcmp(answer, "hang") == 0) {
			fiber_sleep(DEADLINE_NEVER);
			break;
		}
		if (strcmp(answer, "end") == 0)
			break;
		sock_write(&s, answer, strlen(answer), SOON);
		if (strstr(answer, "!"))
			break;
	}
	sock_close(&s);
}

static void serve(void *p)
{
	struct io io;

	(void)p;
	io_init(&io, server.fd);
	for (;;) {
		int fd = accept4(server.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			server.connections++;
			fiber_start("converse", converse, (void *)(intptr_t)fd);
			continue;
		}
		io_clear(&io, IO_READ);
		if (io_wait(&io, IO_READ, DEADLINE_NEVER) != WAIT_OK)
			break;
	}
	io_done(&io);
}

static void play(void *p)
{
	(void)p;
	server.test();
	loop_stop(server.loop);
}

static void begin_loop(void *p)
{
	(void)p;
	fiber_start("serve", serve, NULL);
	fiber_start("test", play, NULL);
}

static void run(void (*test)(void), const char *const *answers)
{
	struct listen_options o = { .backlog = 16 };
	struct address at;

	server.test = test;
	server.answers = answers;
	server.given = server.connections = server.seen_n = 0;
	server.a = arena_new();
	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &at));
	assert_null(net_listen(&at, &o, &server.fd));
	at.size = sizeof(at.local);
	assert_int_equal(getsockname(server.fd, &at.any, &at.size), 0);
	server.port = address_port(&at);
	assert_null(loop_new("test", 0, &server.loop));
	loop_post(server.loop, begin_loop, NULL);
	loop_run(server.loop);
	peers_leave();
	loop_drop(&server.loop);
	close(server.fd);
	arena_drop(&server.a);
	tls_context_drop(&server.tls);
	err_forget();
}

static str url(const char *path)
{
	return str_fmt(server.a, "%s://127.0.0.1:%u%s", server.tls ? "https" : "http", server.port,
		       path);
}

/* ---- requests ---------------------------------------------------------------------------- */

#define ANSWERS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define OK_HELLO     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"

static void asks_and_keeps(void)
{
	struct http_call c = { .url = url("/a%20b?c=d"), .keep_ms = 60000 };
	struct http_answer answer;

	for (int i = 0; i < 3; i++) {
		assert_null(http_ask(server.a, &c, &answer));
		assert_int_equal(answer.status, 200);
		assert_true(str_is(answer.body, "hello"));
		assert_true(str_is(http_get_str(&answer.headers, STR("x-a"))->value, "b"));
	}
	assert_int_equal(server.connections, 1);
	assert_non_null(strstr(server.seen, "GET /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:"));
	assert_null(strstr(server.seen, "Connection: close"));
}

static void a_connection_is_kept_for_the_next_call(void **state)
{
	(void)state;
	run(asks_and_keeps, ANSWERS(OK_HELLO, OK_HELLO, OK_HELLO));
}

static void posts(void)
{
	struct http_header h[] = { { STR_INIT("X-Key"), STR_INIT("v"), HTTP_OTHER } };
	struct http_call c = { .method = STR("POST"),
			       .url = str_fmt(server.a, "http://jo:p%%40ss@127.0.0.1:%u",
					      server.port),
			       .body = STR("text"),
			       .headers = { h, 1, 1 } };
	struct http_answer answer;

	assert_null(http_ask(server.a, &c, &answer));
	assert_int_equal(answer.status, 404);
	assert_true(str_is(answer.body, "abcdef"));
	assert_int_equal(strncmp(server.seen, "POST / HTTP/1.1\r\n", 17), 0);
	assert_non_null(strstr(server.seen, "\r\nX-Key: v\r\n"));
	assert_non_null(strstr(server.seen, "\r\nAuthorization: Basic am86cEBzcw==\r\n"));
	assert_non_null(strstr(server.seen, "\r\nContent-Length: 4\r\n"));
	assert_non_null(strstr(server.seen, "\r\nConnection: close\r\n"));
	assert_non_null(strstr(server.seen, "\r\n\r\ntext"));
}

static void a_body_goes_out_and_a_chunked_one_comes_back(void **state)
{
	(void)state;
	run(posts, ANSWERS("HTTP/1.1 100 Continue\r\n\r\n"
			   "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
			   "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"));
}

static void reads_to_close(void)
{
	struct http_call c = { .url = url("/") };
	struct http_answer answer;

	assert_null(http_ask(server.a, &c, &answer));
	assert_true(str_is(answer.body, "all of it!"));
}

static void a_body_may_end_with_its_connection(void **state)
{
	(void)state;
	run(reads_to_close, ANSWERS("HTTP/1.0 200 OK\r\n\r\nall of it!"));
}

static void has_ceilings(void)
{
	struct http_call c = { .url = url("/"), .body_max = 4, .keep_ms = 1000 };
	struct http_answer answer;
	struct err *e = http_ask(server.a, &c, &answer);

	assert_non_null(e);
	assert_int_equal(e->code, ERR_INVALID);
	c.may_cut = true;
	assert_null(http_ask(server.a, &c, &answer));
	assert_true(answer.is_cut);
	assert_true(str_is(answer.body, "hell"));
	assert_null(http_ask(server.a, &c, &answer)); /* chunked, and not on a cut connection */
	assert_true(str_is(answer.body, "abcd"));
	assert_int_equal(server.connections, 3);
}

static void a_body_has_a_ceiling(void **state)
{
	(void)state;
	run(has_ceilings, ANSWERS(OK_HELLO, OK_HELLO,
				  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				  "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"));
}

static void says_what_is_wrong(void)
{
	static const struct {
		const char *path;
		enum err_code code;
	} cases[] = {
		{ "/cut", ERR_SYSTEM },  { "/head", ERR_INVALID }, { "/chunk", ERR_INVALID },
		{ "/none", ERR_SYSTEM }, { "/hang", ERR_TIMEOUT },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct http_call c = { .url = url(cases[i].path),
				       .method = STR("POST"),
				       .read_ms = i == 4 ? 30 : 20000 };
		struct http_answer answer;
		struct err *e = http_ask(server.a, &c, &answer);

		if (!e || e->code != cases[i].code)
			fail_msg("%s: %s", cases[i].path, e ? e->text : "no error");
	}
}

static void broken_answers_are_errors(void **state)
{
	(void)state;
	run(says_what_is_wrong,
	    ANSWERS("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort!", "nonsense!\r\n\r\n",
		    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz!\r\n", "!", "hang"));
}

static void refuses_calls(void)
{
	struct http_header h[] = { { STR_INIT("X-Key"), STR_INIT("a\r\nb: c"), HTTP_OTHER } };
	struct http_call calls[] = {
		{ .url = STR("ftp://127.0.0.1/") },
		{ .url = STR("/path") },
		{ .url = url("/"), .headers = { h, 1, 1 } },
		{ .url = url("/"), .method = STR("GET /") },
		{ .host = STR("127.0.0.1"), .path = STR("no-slash") },
	};

	for (size_t i = 0; i < COUNT(calls); i++) {
		struct http_answer answer;
		struct err *e = http_ask(server.a, &calls[i], &answer);

		assert_non_null(e);
		assert_int_equal(e->code, ERR_INVALID);
	}
	assert_int_equal(server.connections, 0);
}

static void what_is_no_call_is_not_sent(void **state)
{
	(void)state;
	run(refuses_calls, ANSWERS(OK_HELLO));
}

static void repeats(void)
{
	struct http_call c = { .url = url("/"), .keep_ms = 60000 };
	struct http_answer answer;
	struct err *e;

	assert_null(http_ask(server.a, &c, &answer));
	assert_null(http_ask(server.a, &c, &answer)); /* the kept one had ended */
	assert_int_equal(server.connections, 2);
	c.method = STR("POST");
	e = http_ask(server.a, &c, &answer);
	assert_non_null(e);
	assert_int_equal(e->code, ERR_SYSTEM);
}

static void only_what_is_idempotent_is_sent_twice(void **state)
{
	(void)state;
	run(repeats, ANSWERS(OK_HELLO, "end", OK_HELLO, "end"));
}

/* ---- TLS --------------------------------------------------------------------------------- */

static void verifies(void)
{
	struct http_call c = { .url = url("/"), .verify = true };
	struct http_answer answer;
	struct err *e = http_ask(server.a, &c, &answer);

	assert_non_null(e); /* the certificate is localhost's, not 127.0.0.1's */
	assert_int_equal(e->code, ERR_REFUSED);
	assert_non_null(strstr(e->text, "TLS handshake"));
	c.server_name = STR("localhost");
	assert_null(http_ask(server.a, &c, &answer));
	c.server_name = STR_NONE;
	c.verify = false;
	assert_null(http_ask(server.a, &c, &answer));
	assert_true(str_is(answer.body, "hello"));
}

static void certificates_are_verified_when_asked(void **state)
{
	struct arena *a = arena_new();
	struct tls_server_options o = { .protocols = TLS_1_2 | TLS_1_3 };
	struct settings s = { .lua_ssl_versions = TLS_1_2 | TLS_1_3, .lua_ssl_verify_depth = 1 };
	str cert, key;

	(void)state;
	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("localhost"), 3, &cert, &key));
	assert_null(tls_cert_new(cert, key, &o.certs[0]));
	assert_null(tls_context_server(&o, &server.tls));
	s.trusted_ca_pems = (strs){ &cert, 1 };
	trust_start(&s);
	run(verifies, ANSWERS(OK_HELLO, OK_HELLO, OK_HELLO));
	trust_stop();
	tls_cert_drop(&o.certs[0]);
	arena_drop(&a);
}

/* ---- senders ------------------------------------------------------------------------------ */

static void sends(void)
{
	struct peer p = { .host = STR("127.0.0.1"), .port = server.port, .keep_ms = 60000 };

	for (int i = 0; i < 3; i++)
		assert_null(peer_send(&p, STR("line\r\n\r\n")));
	while (server.seen_n < 24)
		fiber_sleep(deadline_in(1));
	assert_int_equal(server.connections, 1);
	p.port = 1;
	assert_int_equal(peer_send(&p, STR("x"))->code, ERR_REFUSED);
}

static void lines_go_over_one_connection(void **state)
{
	(void)state;
	run(sends, ANSWERS("", "", "", ""));
}

static void sends_datagrams(void)
{
	static char large[70000];
	struct address at;
	struct peer p = { .host = STR("127.0.0.1") };
	str v[] = { STR_INIT("one"), { large, sizeof(large) }, STR_INIT("two") };
	char got[16];
	size_t refused;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address_parse_ip(STR("127.0.0.1"), 0, &at);
	assert_int_equal(bind(fd, &at.any, at.size), 0);
	assert_int_equal(getsockname(fd, &at.any, &at.size), 0);
	p.port = address_port(&at);
	assert_null(peer_send_datagrams(&p, v, 3, &refused));
	assert_int_equal(refused, 1);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 3);
	assert_memory_equal(got, "one", 3);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 3);
	assert_memory_equal(got, "two", 3);
	close(fd);
	assert_non_null(peer_send_datagrams(&p, v, 3, &refused)); /* told with the second */
	assert_int_equal(refused, 2);
}

static void datagrams_go_one_by_one(void **state)
{
	(void)state;
	run(sends_datagrams, ANSWERS(""));
}

static int start_all(void **state)
{
	struct dns_options o = { .cache_size = 100 };

	(void)state;
	log_set_level(LOG_EMERG_);
	assert_null(offload_start(1));
	assert_null(dns_start(&o));
	return 0;
}

static int stop_all(void **state)
{
	(void)state;
	offload_stop();
	dns_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_kept_for_the_next_call),
		cmocka_unit_test(a_body_goes_out_and_a_chunked_one_comes_back),
		cmocka_unit_test(a_body_may_end_with_its_connection),
		cmocka_unit_test(a_body_has_a_ceiling),
		cmocka_unit_test(broken_answers_are_errors),
		cmocka_unit_test(what_is_no_call_is_not_sent),
		cmocka_unit_test(only_what_is_idempotent_is_sent_twice),
		cmocka_unit_test(certificates_are_verified_when_asked),
		cmocka_unit_test(lines_go_over_one_connection),
		cmocka_unit_test(datagrams_go_one_by_one),
	};

	return cmocka_run_group_tests(tests, start_all, stop_all);
}
