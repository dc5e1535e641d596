/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets over loopback and socket pairs, and the parsing of addresses. */
#include "net/net.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants some of the above first */
#include <cmocka.h>

#include "fiber/testing.h"

#define SOON deadline_in(20000)

/* ---- addresses ---------------------------------------------------------------------------- */

static void addresses_are_parsed_strictly(void **state)
{
	static const struct {
		const char *text, *shown; /* NULL: refused */
	} cases[] = {
		{ "1.2.3.4", "1.2.3.4" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "::1", "::1" },
		{ "[::1]", "::1" },
		{ "[2001:DB8::10]", "2001:db8::10" },
		{ "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
		{ "", NULL },
		{ "1.2.3", NULL },
		{ "1.2.3.4.5", NULL },
		{ "1.2.3.256", NULL },
		{ "1.2.3.4 ", NULL },
		{ "01.2.3.4", NULL },
		{ "[1.2.3.4]", NULL },
		{ "[::1", NULL },
		{ "::1%lo", NULL },
		{ "localhost", NULL },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a;
		char text[ADDRESS_TEXT];
		bool ok = address_parse_ip(str_of(cases[i].text), 8080, &a);

		if (ok != (cases[i].shown != NULL))
			fail_msg("%s", cases[i].text);
		if (!ok)
			continue;
		assert_int_equal(address_ip(&a, text), strlen(cases[i].shown));
		assert_string_equal(text, cases[i].shown);
		assert_int_equal(address_port(&a), 8080);
	}
	struct address zero;
	assert_false(address_parse_ip(str_at("1.2.3.4\0x", 9), 1, &zero));
}

static void addresses_compare_by_ip_and_port(void **state)
{
	struct address a, b, c, u, v;
	char text[ADDRESS_TEXT];

	(void)state;
	assert_true(address_parse_ip(STR("10.0.0.1"), 80, &a));
	assert_true(address_parse_ip(STR("10.0.0.1"), 81, &b));
	assert_true(address_parse_ip(STR("10.0.0.1"), 80, &c));
	assert_false(address_eq(&a, &b));
	assert_true(address_eq(&a, &c));
	address_of_unix("/run/a.sock", &u);
	address_of_unix("/run/b.sock", &v);
	assert_false(address_eq(&u, &v));
	assert_true(address_eq(&u, &u));
	assert_false(address_eq(&a, &u));
	assert_int_equal(address_ip(&u, text), 5);
	assert_string_equal(text, "unix:");
	assert_int_equal(address_port(&u), 0);
}

static void networks_hold_their_addresses(void **state)
{
	static const struct {
		const char *net, *ip;
		bool has;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.1.2.3/8", "10.9.9.9", true },
		{ "192.168.0.128/25", "192.168.0.200", true },
		{ "192.168.0.128/25", "192.168.0.100", false },
		{ "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "::1", true },
		{ "::/0", "1.1.1.1", false },
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.0/8", "::ffff:127.0.0.9", true },
		{ "fe80::/10", "febf::1", true },
		{ "fe80::/10", "fec0::1", false },
		{ "::1", "::1", true },
	};
	static const char *const bad[] = { "",         "10.0.0.0/33", "10.0.0.0/", "::/129",
					   "10.0.0/8", "x",           "1.1.1.1/a", "1.1.1.1/-1" };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cidr c;
		struct address a;

		assert_true(cidr_parse(str_of(cases[i].net), &c));
		assert_true(address_parse_ip(str_of(cases[i].ip), 1, &a));
		if (cidr_has(&c, &a) != cases[i].has)
			fail_msg("%s in %s", cases[i].ip, cases[i].net);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct cidr c;

		if (cidr_parse(str_of(bad[i]), &c))
			fail_msg("%s", bad[i]);
	}
	struct cidr local;
	struct address u, a;
	assert_true(cidr_parse(STR("unix:"), &local));
	address_of_unix("/x", &u);
	assert_true(address_parse_ip(STR("::1"), 1, &a));
	assert_true(cidr_has(&local, &u));
	assert_false(cidr_has(&local, &a));
}

/* ---- a loop, a listener, a pair ------------------------------------------------------------- */

static void (*trial_fn)(void);

static void run_trial(void *unused)
{
	(void)unused;
	trial_fn();
	loop_stop(loop_self());
}

static void on_loop(void (*fn)(void))
{
	struct loop *l = NULL;

	trial_fn = fn;
	assert_null(loop_new("test", 0, &l));
	fiber_start_on(l, "trial", run_trial, NULL);
	loop_run(l);
	loop_drop(&l);
}

static int listen_somewhere(struct address *ret)
{
	int fd = -1;

	assert_true(address_parse_ip(STR("127.0.0.1"), 0, ret));
	assert_null(net_listen(ret, &(struct listen_options){ .backlog = 16 }, &fd));
	assert_int_equal(getsockname(fd, &ret->any, &ret->size), 0);
	return fd;
}

static void accept_one(int listener, struct sock *ret)
{
	struct io io;
	int fd;

	io_init(&io, listener);
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
		io_clear(&io, IO_READ);
		assert_int_equal(io_wait(&io, IO_READ, SOON), WAIT_OK);
	}
	io_done(&io);
	sock_init(ret, fd);
}

/* The tests of streams run twice: with connections as they are made, and with such as
 * are kept (which is no difference on epoll). */
static bool keeps;

static int keep_connections(void **state)
{
	(void)state;
	keeps = true;
	return 0;
}

/* Two ends of one connection. */
static void connect_pair(struct sock *client, struct sock *server)
{
	struct address at;
	int listener = listen_somewhere(&at);

	assert_int_equal(sock_connect(client, &at, SOON), NET_OK);
	accept_one(listener, server);
	close(listener);
	if (keeps) {
		sock_keep(client);
		sock_keep(server);
	}
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void connect_fails_when_nobody_listens(void)
{
	struct address at;
	struct sock s;
	int fd = listen_somewhere(&at);

	close(fd);
	assert_int_equal(sock_connect(&s, &at, SOON), NET_FAILED);
	assert_int_equal(s.error, ECONNREFUSED);
	assert_string_equal(sock_error(&s), "Connection refused");
	assert_int_equal(s.io.fd, -1);
	sock_close(&s);
	address_of_unix("/nonexistent/socket", &at);
	assert_int_equal(sock_connect(&s, &at, SOON), NET_FAILED);
	assert_int_equal(s.error, ENOENT);
}

static void refused_connections_are_told(void **state)
{
	(void)state;
	on_loop(connect_fails_when_nobody_listens);
}

/* A listener whose queue is full drops the SYN, so connecting never ends. */
static void connect_ends_by_time(void)
{
	struct sock s[8];
	struct address at;
	int fd = -1, timeouts = 0;
	int64_t began;

	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &at));
	assert_null(net_listen(&at, &(struct listen_options){ .backlog = 1 }, &fd));
	assert_int_equal(getsockname(fd, &at.any, &at.size), 0);
	began = loop_now_ms();
	for (size_t i = 0; i < COUNT(s); i++)
		timeouts += sock_connect(&s[i], &at, deadline_in(30)) == NET_TIMEOUT;
	assert_true(timeouts >= 5);
	assert_true(loop_now_ms() - began >= 150);
	for (size_t i = 0; i < COUNT(s); i++)
		sock_close(&s[i]);
	close(fd);
}

static void connecting_ends_at_its_deadline(void **state)
{
	(void)state;
	on_loop(connect_ends_by_time);
}

static void nagle_is_off(void)
{
	struct sock a, b;
	int on = 0;
	socklen_t n = sizeof(on);

	connect_pair(&a, &b);
	assert_int_equal(getsockopt(a.io.fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
	assert_int_equal(on, 1);
	sock_close(&a);
	sock_close(&b);
	sock_close(&b);
}

static void connections_have_no_nagle_delay(void **state)
{
	(void)state;
	on_loop(nagle_is_off);
}

/* ---- streams ------------------------------------------------------------------------------------ */

#define BIG (8 * 1024 * 1024 + 13)

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13);
}

/* Sends BIG bytes in vectors of odd pieces. */
static void sends_big(void *p)
{
	struct sock *s = p;
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char *data = arena_bytes(a, BIG);
	struct iovec iov[5];
	size_t at = 0;

	for (size_t i = 0; i < BIG; i++)
		data[i] = (char)byte_at(i);
	while (at < BIG) {
		ssize_t want = 0;
		int n = 0;

		for (; n < (int)COUNT(iov); n++) {
			size_t size = n == 2 ? 0 : (size_t)rand() % 200000;

			if (size > BIG - at)
				size = BIG - at;
			iov[n] = (struct iovec){ data + at, size };
			at += size;
			want += (ssize_t)size;
		}
		assert_int_equal(sock_writev(s, iov, n, SOON), want);
	}
	assert_int_equal(sock_shutdown_write(s), NET_OK);
}

static void read_big(struct sock *s)
{
	static char room[65536];
	size_t at = 0;

	for (;;) {
		ssize_t n = sock_read(s, room, 1 + (size_t)rand() % sizeof(room), SOON);

		assert_true(n >= 0);
		if (n == 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if ((unsigned char)room[i] != byte_at(at++))
				fail_msg("byte %zu", at - 1);
	}
	assert_int_equal(at, BIG);
}

static void big_transfers_arrive(void)
{
	struct sock a, b;

	connect_pair(&a, &b);
	fiber_start("to b", sends_big, &a);
	fiber_start("to a", sends_big, &b);
	read_big(&b);
	read_big(&a);
	sock_close(&a);
	sock_close(&b);
}

static void big_transfers_arrive_whole_both_ways(void **state)
{
	(void)state;
	on_loop(big_transfers_arrive);
}

static void ends_are_told_apart(void)
{
	struct sock a, b;
	char c;

	connect_pair(&a, &b); /* in time, then in order */
	assert_int_equal(sock_read(&a, &c, 1, deadline_in(10)), NET_TIMEOUT);
	assert_int_equal(sock_try_read(&a, &c, 1), NET_AGAIN);
	assert_int_equal(sock_write(&b, "x", 1, SOON), 1);
	sock_close(&b);
	assert_int_equal(sock_read(&a, &c, 1, SOON), 1);
	assert_int_equal(sock_read(&a, &c, 1, SOON), NET_EOF);
	assert_int_equal(sock_read(&a, &c, 1, SOON), NET_EOF);
	sock_close(&a);

	connect_pair(&a, &b); /* by a reset */
	sock_reset(&b);
	assert_int_equal(sock_read(&a, &c, 1, SOON), NET_RESET);
	assert_string_equal(sock_error(&a), "Connection reset by peer");
	assert_int_equal(sock_write(&a, "x", 1, SOON), NET_RESET); /* and no SIGPIPE */
	sock_close(&a);
}

static void timeouts_ends_and_resets_are_told_apart(void **state)
{
	(void)state;
	on_loop(ends_are_told_apart);
}

static void reads_for_ever(void *p)
{
	struct sock *s = p;
	char c;

	assert_int_equal(sock_read(s, &c, 1, DEADLINE_NEVER), NET_CANCELLED);
	assert_int_equal(sock_write(s, "x", 1, DEADLINE_NEVER), 1); /* needs no wait */
	sock_close(s);
}

static void cancels_reader(void)
{
	struct sock a, b;
	char c;
	struct fiber *f;

	connect_pair(&a, &b);
	f = fiber_start_now("reads", reads_for_ever, &a);
	fiber_cancel(f);
	assert_int_equal(sock_read(&b, &c, 1, SOON), 1);
	assert_int_equal(sock_read(&b, &c, 1, SOON), NET_EOF);
	sock_close(&b);
}

static void a_cancelled_fiber_leaves_its_read(void **state)
{
	(void)state;
	on_loop(cancels_reader);
}

static void a_writer_fills_the_pipe(void)
{
	static char chunk[65536];
	struct sock a, b;
	ssize_t n;
	size_t sent = 0, got = 0;

	connect_pair(&a, &b);
	while ((n = sock_try_write(&a, chunk, sizeof(chunk))) > 0)
		sent += (size_t)n;
	assert_int_equal(n, NET_AGAIN);
	assert_int_equal(sock_write(&a, chunk, sizeof(chunk), deadline_in(5)), NET_TIMEOUT);
	while (got < sent) {
		n = sock_read(&b, chunk, sizeof(chunk), SOON);
		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_int_equal(sock_write(&a, "x", 1, SOON), 1);
	sock_close(&a);
	sock_close(&b);
}

static void a_full_pipe_makes_the_writer_wait(void **state)
{
	(void)state;
	on_loop(a_writer_fills_the_pipe);
}

static void idle_connections_go_stale(void)
{
	struct sock a, b;
	char c;

	connect_pair(&a, &b);
	assert_false(sock_is_stale(&a)); /* never waited on */
	assert_int_equal(sock_write(&b, "x", 1, SOON), 1);
	assert_int_equal(sock_read(&a, &c, 1, SOON), 1);
	assert_int_equal(sock_read(&a, &c, 1, deadline_in(1)), NET_TIMEOUT);
	assert_false(sock_is_stale(&a));
	sock_close(&b);
	fiber_sleep(deadline_in(5));
	assert_true(sock_is_stale(&a));
	sock_close(&a);
	assert_true(sock_is_stale(&a));
}

static void an_idle_connection_is_stale_once_the_other_side_left(void **state)
{
	(void)state;
	on_loop(idle_connections_go_stale);
}

/* ---- connections that are kept ------------------------------------------------------------------- */

static void sends_without_end(void *p)
{
	static char chunk[1 << 20];
	struct sock *s = p;
	ssize_t n;

	while ((n = sock_write(s, chunk, sizeof(chunk), DEADLINE_NEVER)) > 0)
		assert_int_equal(n, sizeof(chunk));
	assert_int_equal(n, NET_CANCELLED);
	s->error = 0; /* it is told by this that the fiber has ended */
}

static void writers_leave(void)
{
	struct sock a, b;
	struct fiber *f;

	connect_pair(&a, &b); /* when they are cancelled */
	a.error = -1;
	f = fiber_start_now("writes", sends_without_end, &a);
	fiber_sleep(deadline_in(20));
	fiber_cancel(f);
	while (a.error != 0)
		fiber_sleep(deadline_in(1));
	sock_close(&a);
	sock_close(&b);

	connect_pair(&a, &b); /* when the socket is closed under them */
	a.error = -1;
	fiber_start_now("writes", sends_without_end, &a);
	fiber_sleep(deadline_in(20));
	sock_close(&a);
	while (a.error != 0)
		fiber_sleep(deadline_in(1));
	sock_close(&b);
}

static void a_writer_leaves_when_cancelled_or_closed(void **state)
{
	(void)state;
	on_loop(writers_leave);
}

/* More than a loop receives ahead at a time: what it has no room for waits in the
 * sockets, and nothing is lost or mixed up. */
#define CROWD 300
#define SHARE 6000

static void crowd_speaks(void)
{
	static struct sock a[CROWD], b[CROWD];
	static char said[SHARE], heard[SHARE];

	for (int i = 0; i < CROWD; i++)
		connect_pair(&a[i], &b[i]);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < CROWD; i++) {
			memset(said, i + round, SHARE);
			assert_int_equal(sock_write(&a[i], said, SHARE, SOON), SHARE);
		}
		for (int i = CROWD - 1; i >= 0; i--) {
			memset(said, i + round, SHARE);
			for (ssize_t got = 0, n; got < SHARE; got += n) {
				n = sock_read(&b[i], heard + got, (size_t)(SHARE - got), SOON);
				assert_true(n > 0);
			}
			assert_memory_equal(said, heard, SHARE);
			sock_keep(&b[i]);
		}
	}
	for (int i = 0; i < CROWD; i++) {
		char c;

		sock_close(&a[i]);
		assert_int_equal(sock_read(&b[i], &c, 1, SOON), NET_EOF);
		sock_close(&b[i]);
	}
}

static void a_crowd_that_all_speak_at_once_is_heard(void **state)
{
	(void)state;
	on_loop(crowd_speaks);
}

static void speaks_twice(void *p)
{
	struct sock *s = p;

	fiber_sleep(deadline_in(10));
	assert_int_equal(sock_write(s, "a", 1, SOON), 1);
	fiber_sleep(deadline_in(10));
	sock_close(s);
}

static int parked_calls, parked_ready;

static void on_parked(struct io *io)
{
	parked_calls++;
	parked_ready |= io->ready;
	io_park_again(io, on_parked);
}

static void parked_is_told(void)
{
	struct sock a, b;
	char c;

	connect_pair(&a, &b);
	parked_calls = parked_ready = 0;
	io_park(&b.io, on_parked);
	fiber_start("speaks", speaks_twice, &a);
	while (!(parked_ready & IO_HUP))
		fiber_sleep(deadline_in(1));
	assert_int_equal(parked_calls, 2);
	io_unpark(&b.io);
	assert_int_equal(sock_read(&b, &c, 1, SOON), 1);
	assert_int_equal(c, 'a');
	assert_int_equal(sock_read(&b, &c, 1, SOON), NET_EOF);
	assert_true(sock_is_stale(&b));
	sock_close(&b);
}

static void a_parked_connection_is_told_of_bytes_and_of_the_end(void **state)
{
	(void)state;
	on_loop(parked_is_told);
}

/* ---- listeners -------------------------------------------------------------------------------------- */

static void a_port_is_listened_on_once(void **state)
{
	struct address at;
	int fd = listen_somewhere(&at), other = -1;
	struct err *e = net_listen(&at, &(struct listen_options){ 0 }, &other);

	(void)state;
	assert_non_null(e);
	assert_non_null(strstr(e->text, "Address already in use"));
	assert_non_null(strstr(e->text, "127.0.0.1:"));
	assert_non_null(e->hint);
	assert_int_equal(other, -1);
	close(fd);
	err_forget();

	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &at));
	assert_null(net_listen(&at, &(struct listen_options){ .reuseport = true }, &fd));
	assert_int_equal(getsockname(fd, &at.any, &at.size), 0);
	assert_null(net_listen(&at, &(struct listen_options){ .reuseport = true, .deferred = true },
			       &other));
	close(fd);
	close(other);
}

static void a_unix_socket_left_behind_is_replaced(void **state)
{
	char path[] = "/tmp/test_net.XXXXXX", sock[sizeof(path) + 8];
	struct address at;
	int fd = -1, other = -1;

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(sock, sizeof(sock), "%s/s", path);
	address_of_unix(sock, &at);
	assert_null(net_listen(&at, &(struct listen_options){ 0 }, &fd));
	assert_non_null(net_listen(&at, &(struct listen_options){ 0 }, &other)); /* in use */
	err_forget();
	close(fd);
	assert_null(net_listen(&at, &(struct listen_options){ 0 }, &fd));
	close(fd);
	unlink(sock);
	rmdir(path);

	char longest[200];
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	address_of_unix(longest, &at);
	assert_int_equal(at.size, sizeof(sa_family_t));
	assert_non_null(net_listen(&at, &(struct listen_options){ 0 }, &fd));
	err_forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_parsed_strictly),
		cmocka_unit_test(addresses_compare_by_ip_and_port),
		cmocka_unit_test(networks_hold_their_addresses),
		cmocka_unit_test(refused_connections_are_told),
		cmocka_unit_test(connecting_ends_at_its_deadline),
		cmocka_unit_test(connections_have_no_nagle_delay),
		cmocka_unit_test(big_transfers_arrive_whole_both_ways),
		cmocka_unit_test(timeouts_ends_and_resets_are_told_apart),
		cmocka_unit_test(a_cancelled_fiber_leaves_its_read),
		cmocka_unit_test(a_full_pipe_makes_the_writer_wait),
		cmocka_unit_test(an_idle_connection_is_stale_once_the_other_side_left),
		cmocka_unit_test(a_writer_leaves_when_cancelled_or_closed),
		cmocka_unit_test(a_crowd_that_all_speak_at_once_is_heard),
		cmocka_unit_test(a_parked_connection_is_told_of_bytes_and_of_the_end),
		cmocka_unit_test(a_port_is_listened_on_once),
		cmocka_unit_test(a_unix_socket_left_behind_is_replaced),
		cmocka_unit_test_setup(big_transfers_arrive_whole_both_ways, keep_connections),
		cmocka_unit_test_setup(timeouts_ends_and_resets_are_told_apart, keep_connections),
		cmocka_unit_test_setup(a_cancelled_fiber_leaves_its_read, keep_connections),
		cmocka_unit_test_setup(a_full_pipe_makes_the_writer_wait, keep_connections),
		cmocka_unit_test_setup(an_idle_connection_is_stale_once_the_other_side_left,
				       keep_connections),
		cmocka_unit_test_setup(a_writer_leaves_when_cancelled_or_closed, keep_connections),
		cmocka_unit_test_setup(a_crowd_that_all_speak_at_once_is_heard, keep_connections),
		cmocka_unit_test_setup(a_parked_connection_is_told_of_bytes_and_of_the_end,
				       keep_connections),
	};

	choose_loops();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
