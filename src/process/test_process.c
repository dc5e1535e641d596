/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor with a worker that answers each connection with its pid and its
 * mode, the text of declarative_config_string; some modes misbehave. */
#include "base/clock.h"
#include "process/priv.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct arena *a; /* of the test that runs */
static char prefix[64];
static int port, other_port;

static void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* ---- the worker ----------------------------------------------------------------------------- */

static bool has(const struct worker_start *w, const char *word)
{
	return str_find_str(w->settings->declarative_config_string, str_of(word)) >= 0;
}

static void answer(const struct worker_start *w, int fd)
{
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	char text[128];
	int n = snprintf(text, sizeof(text), "%ld " STRF " %d\n", (long)getpid(),
			 STRV(w->settings->declarative_config_string), (int)geteuid());

	if (client < 0)
		return;
	if (write(client, text, (size_t)n) != n)
		die("the client is gone");
	shutdown(client, SHUT_WR);
	while (read(client, text, sizeof(text)) > 0)
		;
	close(client);
}

static int serve(const struct worker_start *w, int signals)
{
	for (;;) {
		struct pollfd fds[8] = { { .fd = signals, .events = POLLIN } };
		struct signalfd_siginfo info;
		size_t n = 1;

		for (size_t i = 0; i < w->n_listeners; i++) {
			for (size_t k = 0; k < w->listeners[i].n_fds && n < COUNT(fds); k++)
				fds[n++] = (struct pollfd){ .fd = w->listeners[i].fds[k],
							    .events = POLLIN };
		}
		poll(fds, n, -1);
		for (size_t i = 1; i < n; i++) {
			if (fds[i].revents)
				answer(w, fds[i].fd);
		}
		if (!fds[0].revents || read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo == SIGQUIT && !has(w, "stubborn"))
			return 0;
		if (info.ssi_signo == SIGTERM && !has(w, "immortal"))
			return 0;
	}
}

static int fake_worker(const struct worker_start *w)
{
	struct err *e;
	sigset_t set;
	int signals;

	sigemptyset(&set);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (has(w, "fail")) {
		worker_tell_failed(w, FAIL(ERR_INVALID, "it cannot be done"));
		return 1;
	}
	if (has(w, "die"))
		_exit(3);
	if (has(w, "slow"))
		pause_ms(400);
	e = worker_give_up_privileges(w);
	if (e) {
		worker_tell_failed(w, e);
		return 1;
	}
	worker_tell_ready(w);
	if (has(w, "brief"))
		_exit(4);
	return serve(w, signals);
}

/* ---- around it ---------------------------------------------------------------------------------- */

static int free_port(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	close(fd);
	return ntohs(at.sin_port);
}

static int begin(void **state)
{
	(void)state;
	a = arena_new();
	snprintf(prefix, sizeof(prefix), "/tmp/test_process.XXXXXX");
	assert_non_null(mkdtemp(prefix));
	assert_int_equal(chmod(prefix, 0755), 0);
	port = free_port();
	other_port = free_port();
	return 0;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", prefix);
	assert_int_equal(system(command), 0);
	arena_drop(&a);
	err_forget();
	return 0;
}

/* Settings of a gateway in this mode; more: lines of kong.conf. */
static struct settings *prepared(const char *mode, const char *more)
{
	struct settings_sources src = { 0 };
	struct settings *s = NULL;
	struct err *e;

	src.text = str_fmt(a,
			   "prefix = %s\nproxy_listen = 127.0.0.1:%d\nadmin_listen = off\n"
			   "nginx_daemon = off\ndatabase = off\nnginx_worker_processes = 2\n"
			   "declarative_config_string = %s\n%s",
			   prefix, port, mode, more ? more : "");
	e = settings_load(a, &src, &s);
	if (!e)
		e = prefix_prepare(a, s);
	if (e)
		fail_msg("%s", err_line(a, e).s);
	return s;
}

static int started_fd;

static void note_started(void)
{
	if (write(started_fd, "s", 1) != 1)
		die("nobody waits");
}

/* Runs a supervisor in a child; returns its pid once it serves or has ended. */
static pid_t run(struct settings *s)
{
	int ends[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct err *e;

		close(ends[0]);
		started_fd = ends[1];
		e = process_start(s, fake_worker, note_started);
		if (e) {
			str line = err_line(a, e);

			if (write(ends[1], line.s, line.n) < 0)
				_exit(2);
		}
		_exit(e ? 1 : 0);
	}
	close(ends[1]);
	while (read(ends[0], &c, 1) < 0 && errno == EINTR)
		;
	close(ends[0]);
	return pid;
}

/* Exit status of a child that must end within 15 s; -1 when it does not. */
static int wait_for(pid_t pid)
{
	int64_t until = clock_mono_ms() + 15000;
	int status;

	while (clock_mono_ms() < until) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
		pause_ms(5);
	}
	kill(pid, SIGKILL);
	return -1;
}

struct reply {
	long pid;
	char mode[64];
	int uid;
};

/* Connects to a port; false when nobody listens there, or nobody answers. */
static bool ask(int to, struct reply *ret)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)to),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[128] = "";
	size_t n = 0;
	ssize_t got = 1;
	bool good;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	good = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
	while (good && got > 0 && n < sizeof(text) - 1) {
		got = read(fd, text + n, sizeof(text) - 1 - n);
		n += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	return good && sscanf(text, "%ld %63s %d", &ret->pid, ret->mode, &ret->uid) == 3;
}

static bool wait_for_mode(const char *mode)
{
	int64_t until = clock_mono_ms() + 5000;
	struct reply r;

	while (clock_mono_ms() < until) {
		if (ask(port, &r) && strcmp(r.mode, mode) == 0)
			return true;
		pause_ms(5);
	}
	return false;
}

static void stop(pid_t pid)
{
	kill(pid, SIGTERM);
	assert_int_equal(wait_for(pid), 0);
}

static bool exists(const char *below)
{
	return access(str_fmt(a, "%s/%s", prefix, below).s, F_OK) == 0;
}

/* ---- tests ------------------------------------------------------------------------------------------ */

static void a_gateway_serves_until_it_is_stopped(void **state)
{
	pid_t pid = run(prepared("one", NULL));
	struct reply r;

	(void)state;
	assert_true(ask(port, &r));
	assert_string_equal(r.mode, "one");
	assert_int_not_equal(r.pid, pid);
	if (geteuid() == 0)
		assert_int_not_equal(r.uid, 0);
	assert_int_equal(process_find(str_of(prefix)), pid);
	stop(pid);
	assert_false(exists("pids/nginx.pid"));
	assert_int_equal(process_find(str_of(prefix)), 0);
	assert_false(ask(port, &r));
}

static void a_worker_that_cannot_serve_ends_the_start(void **state)
{
	(void)state;
	assert_int_equal(wait_for(run(prepared("fail", NULL))), 1);
	assert_int_equal(wait_for(run(prepared("die", NULL))), 1);
	assert_false(exists("pids/nginx.pid"));
}

static void a_taken_port_ends_the_start(void **state)
{
	pid_t pid = run(prepared("one", NULL));
	struct settings *s;

	(void)state;
	snprintf(prefix + strlen(prefix), 2, "b");
	s = prepared("two", NULL);
	assert_int_equal(wait_for(run(s)), 1);
	stop(pid);
	assert_int_equal(system(str_fmt(a, "rm -rf %s", prefix).s), 0);
	prefix[strlen(prefix) - 1] = '\0';
}

static void a_second_gateway_in_the_prefix_is_refused(void **state)
{
	struct settings *s = prepared("one", NULL);
	pid_t pid = run(s);
	struct err *e;
	int fd;

	(void)state;
	e = pidfile_take(s, &fd);
	assert_non_null(e);
	assert_string_equal(e->text, str_fmt(a, "Kong is already running in %s", prefix).s);
	stop(pid);
}

static void a_pid_left_behind_is_nobody(void **state)
{
	FILE *f;
	pid_t pid;

	(void)state;
	prepared("one", NULL);
	f = fopen(str_fmt(a, "%s/pids/nginx.pid", prefix).s, "w");
	fprintf(f, "%ld\n", (long)getpid());
	fclose(f);
	assert_int_equal(process_find(str_of(prefix)), 0);
	pid = run(prepared("one", NULL));
	assert_int_equal(process_find(str_of(prefix)), pid);
	stop(pid);
}

static void a_crashed_worker_is_replaced_and_nobody_is_turned_away(void **state)
{
	pid_t pid = run(prepared("one", NULL));
	struct reply first, r;

	(void)state;
	assert_true(ask(port, &first));
	pause_ms(1100); /* it has lived */
	for (int i = 0; i < 3; i++) {
		int64_t then = clock_mono_ms();

		assert_true(ask(port, &first));
		kill((pid_t)first.pid, SIGKILL);
		do
			assert_true(ask(port, &r));
		while (r.pid == first.pid);
		assert_true(clock_mono_ms() - then < 1000);
	}
	stop(pid);
}

static void a_reload_hands_the_sockets_over(void **state)
{
	pid_t pid = run(prepared("one", NULL)), client;
	struct reply before, after;
	char c;

	(void)state;
	assert_true(ask(port, &before));
	client = fork();
	if (client == 0) { /* a client that never stops asking */
		int64_t until = clock_mono_ms() + 1500;
		struct reply r;

		while (clock_mono_ms() < until) {
			if (!ask(port, &r))
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < 4; i++) {
		prepared(i % 2 ? "one" : "two", NULL);
		assert_null(process_reload(str_of(prefix), 5000));
		assert_true(ask(port, &after));
		assert_string_equal(after.mode, i % 2 ? "one" : "two");
	}
	assert_int_equal(wait_for(client), 0);
	assert_int_not_equal(before.pid, after.pid);
	assert_int_equal(kill((pid_t)before.pid, 0), -1); /* it has drained and is gone */
	(void)c;
	stop(pid);
}

static void a_reload_that_fails_changes_nothing(void **state)
{
	pid_t pid = run(prepared("one", NULL));
	struct reply before, after;
	struct err *e;
	FILE *f;

	(void)state;
	assert_true(ask(port, &before));

	prepared("fail", NULL);
	e = process_reload(str_of(prefix), 5000);
	assert_non_null(e);
	assert_string_equal(e->text, "it cannot be done");

	prepared("die", NULL);
	assert_non_null(process_reload(str_of(prefix), 5000));

	prepared("two", "status_listen = 192.0.2.1:9\n"); /* no interface has it */
	e = process_reload(str_of(prefix), 5000);
	assert_non_null(e);
	assert_true(str_starts(str_of(e->text), STR("status_listen: 192.0.2.1:9")));

	f = fopen(str_fmt(a, "%s/.kong_env", prefix).s, "w");
	fputs("log_level = loud\n", f);
	fclose(f);
	e = process_reload(str_of(prefix), 5000);
	assert_non_null(e);
	assert_true(str_starts(str_of(e->text), STR("log_level has an invalid value")));

	assert_true(ask(port, &after));
	assert_int_equal(before.pid, after.pid);
	stop(pid);
}

static void listeners_come_and_go_with_a_reload(void **state)
{
	pid_t pid = run(prepared("one", NULL));
	struct reply r;

	(void)state;
	assert_false(ask(other_port, &r));
	prepared("two", str_fmt(a, "admin_listen = 127.0.0.1:%d reuseport\n", other_port).s);
	assert_null(process_reload(str_of(prefix), 5000));
	assert_true(ask(other_port, &r));
	assert_string_equal(r.mode, "two");
	prepared("three", NULL);
	assert_null(process_reload(str_of(prefix), 5000));
	assert_true(wait_for_mode("three"));
	for (int i = 0; i < 100 && ask(other_port, &r); i++)
		pause_ms(10); /* until the old worker has gone */
	assert_false(ask(other_port, &r));
	stop(pid);
}

static void two_reloads_at_once_are_two_reloads(void **state)
{
	pid_t pid = run(prepared("slow-one", NULL));

	(void)state;
	prepared("slow-two", NULL);
	kill(pid, SIGHUP);
	pause_ms(100);
	prepared("three", NULL);
	kill(pid, SIGHUP);
	kill(pid, SIGHUP);
	assert_true(wait_for_mode("slow-two") || wait_for_mode("three"));
	assert_true(wait_for_mode("three"));
	stop(pid);
}

static void a_stop_in_the_middle_of_a_reload_stops_all(void **state)
{
	pid_t pid = run(prepared("one", NULL));
	struct reply r;

	(void)state;
	prepared("slow", NULL);
	kill(pid, SIGHUP);
	pause_ms(100);
	stop(pid);
	assert_false(ask(port, &r));
	assert_false(exists("pids/nginx.pid"));
}

static void a_worker_that_does_not_drain_is_stopped_in_time(void **state)
{
	pid_t pid = run(prepared("stubborn", "nginx_main_worker_shutdown_timeout = 300ms\n"));
	int64_t then = clock_mono_ms();

	(void)state;
	kill(pid, SIGQUIT);
	assert_int_equal(wait_for(pid), 0);
	assert_in_range(clock_mono_ms() - then, 250, 3000);

	pid = run(prepared("stubborn", NULL)); /* without a limit it drains on ... */
	kill(pid, SIGQUIT);
	pause_ms(300);
	assert_int_equal(kill(pid, 0), 0);
	stop(pid); /* ... until it is told to stop now */
}

/* Lines of the error log with these words. */
static int told(const char *words)
{
	FILE *f = fopen(str_fmt(a, "%s/logs/error.log", prefix).s, "r");
	char line[4096];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, words) != NULL;
	fclose(f);
	return n;
}

static void a_worker_that_always_dies_is_restarted_ever_more_rarely(void **state)
{
	pid_t pid = run(prepared("brief", NULL));
	int first;

	(void)state;
	pause_ms(1500); /* ten in a second, then one each second */
	first = told("starting another");
	assert_in_range(first, 5, 13);
	pause_ms(2000);
	assert_in_range(told("starting another") - first, 1, 3);
	stop(pid);
}

static void a_worker_that_ignores_signals_is_killed(void **state)
{
	pid_t pid = run(prepared("immortal", NULL));
	int64_t then = clock_mono_ms();
	struct reply r;

	(void)state;
	assert_true(ask(port, &r));
	stop(pid);
	assert_in_range(clock_mono_ms() - then, 9500, 12000);
	assert_int_equal(kill((pid_t)r.pid, 0), -1);
}

static void rotated_logs_are_made_anew(void **state)
{
	pid_t pid = run(prepared("one", NULL));
	const char *log = str_fmt(a, "%s/logs/access.log", prefix).s;
	struct stat st;

	(void)state;
	assert_int_equal(rename(log, str_fmt(a, "%s.1", log).s), 0);
	kill(pid, SIGUSR1);
	for (int i = 0; i < 200 && stat(log, &st) < 0; i++)
		pause_ms(10);
	assert_int_equal(stat(log, &st), 0);
	if (geteuid() == 0)
		assert_int_not_equal(st.st_uid, 0); /* the worker's */
	stop(pid);
}

static void a_graceful_stop_ends_when_the_worker_has(void **state)
{
	pid_t pid = run(prepared("one", NULL));

	(void)state;
	kill(pid, SIGQUIT);
	assert_int_equal(wait_for(pid), 0);
}

static void a_worker_whose_supervisor_is_killed_ends(void **state)
{
	pid_t pid = run(prepared("one", NULL));
	struct reply r;

	(void)state;
	assert_true(ask(port, &r));
	kill(pid, SIGKILL);
	assert_int_equal(wait_for(pid), 109);
	for (int i = 0; i < 200 && kill((pid_t)r.pid, 0) == 0; i++)
		pause_ms(10);
	assert_int_equal(kill((pid_t)r.pid, 0), -1);
	pid = run(prepared("two", NULL)); /* the pid file it left is no obstacle */
	assert_true(wait_for_mode("two"));
	stop(pid);
}

static void in_the_background_the_start_waits_for_the_worker(void **state)
{
	struct settings *s = prepared("slow", "nginx_daemon = on\n");
	struct reply r;
	struct err *e;
	pid_t pid;

	(void)state;
	assert_null(process_start(s, fake_worker, note_started));
	assert_true(ask(port, &r));
	pid = process_find(str_of(prefix));
	assert_true(pid > 0);
	kill(pid, SIGTERM);
	assert_true(process_wait_gone(str_of(prefix), 5000));

	e = process_start(prepared("fail", "nginx_daemon = on\n"), fake_worker, note_started);
	assert_non_null(e);
	assert_string_equal(e->text, "it cannot be done");
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void a_prefix_has_what_a_gateway_needs(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {
		{ ".kong_env", 0600 },
		{ ".ca_combined", 0644 },
		{ "logs/error.log", 0644 },
		{ "logs/access.log", 0644 },
		{ "ssl/kong-default.crt", 0644 },
		{ "ssl/kong-default.key", 0600 },
		{ "ssl/kong-default-ecdsa.key", 0600 },
		{ "ssl/admin-kong-default.key", 0600 },
		{ "ssl/admin-kong-default-ecdsa.crt", 0644 },
	};
	const char *more = str_fmt(a,
				   "proxy_listen = 127.0.0.1:%d ssl\n"
				   "admin_listen = 127.0.0.1:%d ssl\n",
				   port, other_port)
				   .s;
	struct settings *s, *again;
	struct stat st;

	(void)state;
	umask(022);
	s = prepared("one", more);
	for (size_t i = 0; i < COUNT(files); i++) {
		assert_int_equal(stat(str_fmt(a, "%s/%s", prefix, files[i].name).s, &st), 0);
		assert_int_equal(st.st_mode & 0777, files[i].mode);
	}
	assert_int_equal(s->ssl_certs.n, 2);
	assert_int_equal(s->admin_ssl_certs.n, 2);
	assert_false(exists("ssl/status-kong-default.key"));
	again = prepared("one", more); /* certificates are made once */
	assert_true(str_eq(again->ssl_certs.v[0].key, s->ssl_certs.v[0].key));
	assert_null(settings_read_env(a, settings_path(a, s, ".kong_env").s, &again));
	assert_int_equal(again->ssl_certs.n, 2);
	assert_true(str_eq(again->ssl_certs.v[1].cert, s->ssl_certs.v[1].cert));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_gateway_serves_until_it_is_stopped, begin, end),
		cmocka_unit_test_setup_teardown(a_worker_that_cannot_serve_ends_the_start, begin,
						end),
		cmocka_unit_test_setup_teardown(a_taken_port_ends_the_start, begin, end),
		cmocka_unit_test_setup_teardown(a_second_gateway_in_the_prefix_is_refused, begin,
						end),
		cmocka_unit_test_setup_teardown(a_pid_left_behind_is_nobody, begin, end),
		cmocka_unit_test_setup_teardown(
			a_crashed_worker_is_replaced_and_nobody_is_turned_away, begin, end),
		cmocka_unit_test_setup_teardown(a_reload_hands_the_sockets_over, begin, end),
		cmocka_unit_test_setup_teardown(a_reload_that_fails_changes_nothing, begin, end),
		cmocka_unit_test_setup_teardown(listeners_come_and_go_with_a_reload, begin, end),
		cmocka_unit_test_setup_teardown(two_reloads_at_once_are_two_reloads, begin, end),
		cmocka_unit_test_setup_teardown(a_stop_in_the_middle_of_a_reload_stops_all, begin,
						end),
		cmocka_unit_test_setup_teardown(a_worker_that_does_not_drain_is_stopped_in_time,
						begin, end),
		cmocka_unit_test_setup_teardown(
			a_worker_that_always_dies_is_restarted_ever_more_rarely, begin, end),
		cmocka_unit_test_setup_teardown(a_worker_that_ignores_signals_is_killed, begin,
						end),
		cmocka_unit_test_setup_teardown(rotated_logs_are_made_anew, begin, end),
		cmocka_unit_test_setup_teardown(a_graceful_stop_ends_when_the_worker_has, begin,
						end),
		cmocka_unit_test_setup_teardown(a_worker_whose_supervisor_is_killed_ends, begin,
						end),
		cmocka_unit_test_setup_teardown(in_the_background_the_start_waits_for_the_worker,
						begin, end),
		cmocka_unit_test_setup_teardown(a_prefix_has_what_a_gateway_needs, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
