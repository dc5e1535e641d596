/* SPDX-License-Identifier: Apache-2.0 */
/* The access log: what a line says, and that lines arrive whole, in order, or counted. */
#include "fiber/fiber.h"
#include "observe/access_log.h"
#include "observe/counters.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void assert_str(str got, const char *want)
{
	if (!str_is(got, want))
		fail_msg("got  " STRF "\nwant %s", STRV(got), want);
}

/* ---- a request to log --------------------------------------------------------------- */

static struct http_header headers[] = {
	{ .name = STR_INIT("Host"), .value = STR_INIT("Shop.Test:8000"), .id = HTTP_HOST },
	{ .name = STR_INIT("user-agent"),
	  .value = STR_INIT("a \"b\" \\ \xc3\xa9\x01"),
	  .id = HTTP_USER_AGENT },
	{ .name = STR_INIT("Authorization"),
	  .value = STR_INIT("Basic YWxpY2U6c2VjcmV0"),
	  .id = HTTP_AUTHORIZATION },
	{ .name = STR_INIT("X-Own_Header"), .value = STR_INIT("own") },
	{ .name = STR_INIT("X-Empty"), .value = STR_INIT("") },
	{ .name = STR_INIT("Cookie"), .value = STR_INIT("a=1; sid=xyz"), .id = HTTP_COOKIE },
};
static struct http_header reply_headers_v[] = {
	{ .name = STR_INIT("Content-Type"),
	  .value = STR_INIT("text/html"),
	  .id = HTTP_CONTENT_TYPE },
};
static const struct http_headers reply_headers = { .v = reply_headers_v, .n = 1 };
static const struct http_request request = {
	.method_name = STR_INIT("GET"),
	.target = STR_INIT("/a%20b?x=1&Y=2"),
	.path = STR_INIT("/a%20b"),
	.query = STR_INIT("x=1&Y=2"),
	.has_query = true,
	.minor = 1,
	.headers = { .v = headers, .n = COUNT(headers) },
};

static struct address client, peer, local;

static struct access_record record(void)
{
	return (struct access_record){
		.client = &client,
		.peer = &peer,
		.local = &local,
		.request = &request,
		.request_line = STR("GET /a%20b?x=1&Y=2 HTTP/1.1"),
		.status = 200,
		.bytes_sent = 1234,
		.body_bytes_sent = 1000,
		.request_length = 321,
		.started_ms = 1795502789988,
		.request_time_ms = 2012,
		.upstream_addr = STR("10.0.0.1:80, 10.0.0.2:80"),
		.upstream_status = STR("502, 200"),
		.upstream_connect_ms = 1,
		.upstream_header_ms = 15,
		.upstream_response_ms = -1,
		.connection = 18446744073709551615u,
		.connection_requests = 3,
		.host = STR("shop.test"),
		.reply_headers = &reply_headers,
	};
}

static str line(struct arena *a, const char *format, const struct access_record *r)
{
	struct access_format *f;

	assert_null(access_format_new(a, str_of(format), &f));
	return access_format_line(a, f, r);
}

/* ---- lines --------------------------------------------------------------------------- */

static void combined_is_nginxs(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct access_record r = record();

	(void)state;
	assert_str(line(a, "combined", &r),
		   "192.0.2.7 - alice [24/Nov/2026:06:46:32 +0000] \"GET /a%20b?x=1&Y=2 HTTP/1.1\" "
		   "200 1000 \"-\" \"a \\x22b\\x22 \\x5C \\xC3\\xA9\\x01\"");
	r.request = NULL;
	r.request_line = STR("");
	r.status = 400;
	assert_str(line(a, "combined", &r), "192.0.2.7 - - [24/Nov/2026:06:46:32 +0000] \"-\" 400 "
					    "1000 \"-\" \"-\"");
	assert_str(line(a, "basic", &r),
		   "192.0.2.7 [24/Nov/2026:06:46:32 +0000] TCP 400 1234 321 2.012");
}

static void every_variable_has_its_text(void **state)
{
	/* clang-format off */
	static const struct { const char *format, *text; } cases[] = {
		{ "$remote_addr $remote_port", "192.0.2.7 4242" },
		{ "$realip_remote_addr $realip_remote_port", "::1 4343" },
		{ "$server_addr:$server_port $server_name", "127.0.0.1:8000 kong" },
		{ "$time_iso8601 $msec", "2026-11-24T06:46:32+00:00 1795502792.000" },
		{ "$request_time $upstream_connect_time $upstream_header_time $upstream_response_time",
		  "2.012 0.001 0.015 -" },
		{ "$upstream_addr|$upstream_status", "10.0.0.1:80, 10.0.0.2:80|502, 200" },
		{ "$request_method $request_uri $uri $args $query_string",
		  "GET /a%20b?x=1&Y=2 /a%20b x=1&Y=2 x=1&Y=2" },
		{ "$is_args$arg_x$arg_y$arg_z", "?12-" },
		{ "$scheme $server_protocol $host $http_host", "http HTTP/1.1 shop.test Shop.Test:8000" },
		{ "$http_x_own_header $http_nope [$http_x_empty]", "own - []" },
		{ "$cookie_sid $cookie_b", "xyz -" },
		{ "$sent_http_content_type $sent_http_x", "text/html -" },
		{ "$bytes_sent $body_bytes_sent $request_length", "1234 1000 321" },
		{ "$connection $connection_requests $pipe", "18446744073709551615 3 ." },
		{ "$ssl_protocol $ssl_cipher $ssl_server_name [$https]", "- - - []" },
		{ "$request_completion $request_id $upstream_http_etag", "OK - -" },
		{ "${status}x $gzip_ratio", "200x -" },
		{ "escape=json {\"ua\":\"$http_user_agent\",\"no\":\"$http_nope\"}",
		  "{\"ua\":\"a \\\"b\\\" \\\\ \xc3\xa9\\u0001\",\"no\":\"\"}" },
		{ "escape=none $http_user_agent|$http_nope|", "a \"b\" \\ \xc3\xa9\x01||" },
		{ "no variable \"at\" all", "no variable \"at\" all" },
	};
	/* clang-format on */
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct access_record r = record();

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_str(line(a, cases[i].format, &r), cases[i].text);
	r.is_tls = true;
	r.tls_version = "TLSv1.3";
	r.tls_cipher = "TLS_AES_128_GCM_SHA256";
	r.sni = STR("shop.test");
	assert_str(line(a, "$scheme $https $ssl_protocol/$ssl_cipher/$ssl_server_name", &r),
		   "https on TLSv1.3/TLS_AES_128_GCM_SHA256/shop.test");
	assert_str(line(a, "$pid", &r), str_z(a, str_fmt(a, "%d", getpid())));
}

/* nginx's rule, a byte at a time. */
static str escaped_plainly(struct arena *a, str s)
{
	char *out = arena_bytes(a, 4 * s.n + 1), *p = out;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (c < 32 || c > 126 || c == '"' || c == '\\')
			p += snprintf(p, 5, "\\x%02X", c);
		else
			*p++ = (char)c;
	}
	return str_at(out, (size_t)(p - out));
}

static void any_bytes_are_escaped_as_nginx_does(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct access_record r = record();

	(void)state;
	srand(3);
	for (int i = 0; i < 3000; i++) {
		char bytes[40];
		size_t n = 1 + (size_t)rand() % sizeof(bytes);

		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)(rand() % 12 ? ' ' + rand() % 95 : rand());
		r.request_id = str_at(bytes, n);
		assert_true(str_eq(line(a, "$request_id", &r), escaped_plainly(a, r.request_id)));
		arena_reset(a);
	}
}

static void unknown_variables_are_named(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct access_format *f;

	(void)state;
	assert_string_equal(access_format_new(a, STR("$status $nope"), &f)->text,
			    "unknown variable \"$nope\" in a log format");
	assert_non_null(access_format_new(a, STR("costs 5$"), &f));
	assert_non_null(access_format_new(a, STR("${status"), &f));
	assert_non_null(access_format_new(a, STR("$http_"), &f));
	err_forget();
}

/* ---- files ----------------------------------------------------------------------------- */

static char directory[64];

static int make_directory(void **state)
{
	(void)state;
	address_parse_ip(STR("192.0.2.7"), 4242, &client);
	address_parse_ip(STR("::1"), 4343, &peer);
	address_parse_ip(STR("127.0.0.1"), 8000, &local);
	snprintf(directory, sizeof(directory), "/tmp/test_access_log.XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	static const char *const names[] = { "log", "old", "pipe", "sock" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	return rmdir(directory);
}

static char *in_directory(struct arena *a, const char *name)
{
	return str_z(a, str_fmt(a, "%s/%s", directory, name));
}

static str content(struct arena *a, const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *p;

	assert_true(fd >= 0);
	fstat(fd, &st);
	p = arena_bytes(a, (size_t)st.st_size);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	return str_at(p, (size_t)st.st_size);
}

static struct access_log *opened(struct arena *a, const char *path, const char *format, int loops)
{
	struct access_format *f;
	struct access_log *l;

	assert_null(access_format_new(a, str_of(format), &f));
	assert_null(access_log_open(path, f, loops, &l));
	return l;
}

struct writer {
	struct access_log *l;
	struct loop *loop;
	int index, lines;
	pthread_t thread;
};

static void write_lines(void *p)
{
	struct writer *w = p;
	struct access_record r = record();

	for (int i = 0; i < w->lines; i++) {
		r.connection = (uint64_t)w->index;
		r.connection_requests = (uint64_t)i;
		access_log_write(w->l, &r);
		if (i % 1000 == 0) {
			access_log_tick(w->l);
			fiber_yield();
		}
	}
	loop_stop(w->loop);
}

static void *run_loop(void *p)
{
	struct writer *w = p;

	assert_null(loop_new("test", w->index, &w->loop));
	fiber_start_on(w->loop, "test", write_lines, w);
	loop_run(w->loop);
	loop_drop(&w->loop);
	return NULL;
}

static void lines_of_many_loops_arrive_whole_and_in_order(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char *path = in_directory(a, "log");
	struct access_log *l = opened(a, path, "$connection $connection_requests $request end", 3);
	struct writer w[3];
	int64_t next[3] = { 0 };
	str rest, one;

	(void)state;
	assert_null(offload_start(2));
	for (int i = 0; i < 3; i++) {
		w[i] = (struct writer){ .l = l, .index = i, .lines = 20000 };
		pthread_create(&w[i].thread, NULL, run_loop, &w[i]);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(w[i].thread, NULL);
	access_log_close(&l);
	offload_stop();
	rest = content(a, path);
	while (rest.n && str_next(&rest, '\n', &one)) {
		str loop, number;
		int64_t k;

		assert_true(str_ends(one, STR(" HTTP/1.1 end")));
		assert_true(str_next(&one, ' ', &loop) && str_next(&one, ' ', &number));
		assert_in_range(loop.s[0], '0', '2');
		assert_true(str_to_int(number, &k));
		assert_int_equal(k, next[loop.s[0] - '0']++);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(next[i], 20000);
	unlink(path);
}

static void reopening_goes_on_in_a_new_file(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char *path = in_directory(a, "log"), *old = in_directory(a, "old");
	struct access_log *l = opened(a, path, "$connection", 1);
	struct access_record r = record();

	(void)state;
	r.connection = 1;
	access_log_write(l, &r);
	access_log_tick(l); /* without offload threads it is written here */
	assert_str(content(a, path), "1\n");
	assert_int_equal(rename(path, old), 0);
	assert_null(access_log_reopen(l));
	r.connection = 2;
	access_log_write(l, &r);
	access_log_close(&l);
	assert_str(content(a, old), "1\n");
	assert_str(content(a, path), "2\n");
	assert_null(l);
	unlink(path);
	unlink(old);
}

static void a_huge_line_is_written_too(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char *path = in_directory(a, "log"), *big = arena_bytes(a, 200000);
	struct access_log *l = opened(a, path, "$request_id", 1);
	struct access_record r = record();

	(void)state;
	memset(big, '"', 200000);
	r.request_id = STR("before");
	access_log_write(l, &r);
	r.request_id = str_at(big, 200000);
	access_log_write(l, &r);
	r.request_id = STR("behind");
	access_log_write(l, &r);
	access_log_close(&l);
	assert_int_equal(content(a, path).n, 7 + 4 * 200000 + 1 + 7);
	assert_true(str_ends(content(a, path), STR("\\x22\nbehind\n")));
	unlink(path);
}

static void what_cannot_be_written_is_counted(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct access_log *l = opened(a, "/dev/full", "$status", 1);
	struct access_record r = record();
	struct access_format *f;

	(void)state;
	for (int i = 0; i < 5; i++)
		access_log_write(l, &r);
	access_log_tick(l);
	assert_int_equal(access_log_dropped(l), 5);
	access_log_close(&l);
	assert_null(access_format_new(a, STR("combined"), &f));
	assert_non_null(access_log_open("/nowhere/at/all", f, 1, &l));
	err_forget();
}

static void a_sleeping_reader_costs_lines_not_loops(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char *path = in_directory(a, "pipe"), *p = arena_bytes(a, 1 << 20);
	struct access_record r = record();
	struct access_log *l;
	uint64_t lines = 0, dropped;
	ssize_t n;
	int fd;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	l = opened(a, path, "$request $request $request $request $request", 1);
	assert_null(offload_start(1));
	for (int i = 0; i < 200000; i++) /* 28 MB: more than the queue takes */
		access_log_write(l, &r);
	assert_true(access_log_dropped(l) > 0);
	while (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 500) > 0) {
		n = read(fd, p, 1 << 20);
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			lines += p[i] == '\n';
		access_log_tick(l);
	}
	dropped = access_log_dropped(l);
	assert_int_equal(lines + dropped, 200000);
	access_log_close(&l);
	offload_stop();
	close(fd);
	unlink(path);
}

static void syslog_gets_one_datagram_per_line(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char *path = in_directory(a, "sock"), got[512];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct access_record r = record();
	struct access_format *f;
	struct access_log *l;
	struct address at;
	ssize_t n;

	(void)state;
	address_of_unix(path, &at);
	assert_int_equal(bind(fd, &at.any, at.size), 0);
	l = opened(a,
		   str_z(a, str_fmt(a,
				    "syslog:server=unix:%s,facility=local0,severity=warn,"
				    "tag=gate,nohostname",
				    path)),
		   "$status $uri", 1);
	access_log_write(l, &r);
	access_log_write(l, &r);
	access_log_close(&l);
	for (int i = 0; i < 2; i++) {
		n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
		assert_true(n > 0);
		assert_true(str_starts(str_at(got, (size_t)n), STR("<132>")));
		assert_true(str_ends(str_at(got, (size_t)n), STR(" gate: 200 /a%20b")));
	}
	assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), -1);
	close(fd);
	unlink(path);
	assert_null(access_format_new(a, STR("combined"), &f));
	assert_non_null(access_log_open("syslog:facility=local0", f, 1, &l));
	assert_non_null(access_log_open("syslog:server=127.0.0.1,facility=x", f, 1, &l));
	assert_non_null(access_log_open("syslog:server=127.0.0.1,tag=a-b", f, 1, &l));
	assert_null(access_log_open("syslog:server=[::1]:5140", f, 1, &l));
	access_log_close(&l);
	err_forget();
}

static void counters_are_summed_over_loops(void **state)
{
	struct counters *c = counters_new(4);

	(void)state;
	for (int loop = 0; loop < 4; loop++)
		counters_add(c, loop, COUNTER_REQUESTS, 10 + loop);
	counters_add(c, 2, COUNTER_ACTIVE, 5);
	counters_add(c, 2, COUNTER_ACTIVE, -3);
	assert_int_equal(counters_sum(c, COUNTER_REQUESTS), 46);
	assert_int_equal(counters_sum(c, COUNTER_ACTIVE), 2);
	assert_int_equal(counters_sum(c, COUNTER_WAITING), 0);
	counters_drop(&c);
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(combined_is_nginxs),
		cmocka_unit_test(every_variable_has_its_text),
		cmocka_unit_test(any_bytes_are_escaped_as_nginx_does),
		cmocka_unit_test(unknown_variables_are_named),
		cmocka_unit_test(lines_of_many_loops_arrive_whole_and_in_order),
		cmocka_unit_test(reopening_goes_on_in_a_new_file),
		cmocka_unit_test(a_huge_line_is_written_too),
		cmocka_unit_test(what_cannot_be_written_is_counted),
		cmocka_unit_test(a_sleeping_reader_costs_lines_not_loops),
		cmocka_unit_test(syslog_gets_one_datagram_per_line),
		cmocka_unit_test(counters_are_summed_over_loops),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
