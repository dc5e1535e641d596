/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds per line of the access log, the writing to /dev/null included.
 *
 *	ninja -C build bench/micro/bench_access_log && build/bench/micro/bench_access_log */
#include "observe/access_log.h"

#include "base/clock.h"
#include "fiber/fiber.h"
#include <stdio.h>

#define ROUNDS  300000
#define REPEATS 7

static struct http_header headers[] = {
	{ .name = STR_INIT("Host"), .value = STR_INIT("shop.example.com"), .id = HTTP_HOST },
	{ .name = STR_INIT("User-Agent"),
	  .value =
		  STR_INIT("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
			   "Chrome/120.0.0.0 Safari/537.36"),
	  .id = HTTP_USER_AGENT },
	{ .name = STR_INIT("Accept"), .value = STR_INIT("*/*"), .id = HTTP_ACCEPT },
	{ .name = STR_INIT("Referer"),
	  .value = STR_INIT("https://shop.example.com/catalogue"),
	  .id = HTTP_REFERER },
};

static double best_ns(const char *text, struct access_record *r)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct access_format *f;
	struct access_log *l;
	double best = 1e9;

	if (access_format_new(a, str_of(text), &f) || access_log_open("/dev/null", f, 1, &l))
		return 0;
	for (int repeat = 0; repeat < REPEATS; repeat++) {
		int64_t started = clock_mono_us();

		for (int i = 0; i < ROUNDS; i++) {
			r->started_ms += i % 50 == 0;
			access_log_write(l, r);
		}
		double ns = (double)(clock_mono_us() - started) * 1000 / ROUNDS;

		best = ns < best ? ns : best;
	}
	access_log_close(&l);
	return best;
}

int main(void)
{
	struct address client, local;
	struct http_request request = {
		.method_name = STR("GET"),
		.target = STR("/catalogue/shoes?page=2&sort=price"),
		.path = STR("/catalogue/shoes"),
		.query = STR("page=2&sort=price"),
		.has_query = true,
		.minor = 1,
		.headers = { .v = headers, .n = COUNT(headers) },
	};
	struct access_record r = {
		.client = &client,
		.peer = &client,
		.local = &local,
		.request = &request,
		.request_line = STR("GET /catalogue/shoes?page=2&sort=price HTTP/1.1"),
		.status = 200,
		.bytes_sent = 1234,
		.body_bytes_sent = 1024,
		.started_ms = clock_wall_ms(),
		.upstream_addr = STR("10.0.0.1:80"),
		.upstream_status = STR("200"),
	};

	address_parse_ip(STR("192.0.2.207"), 40000, &client);
	address_parse_ip(STR("127.0.0.1"), 8000, &local);
	printf("combined      %6.1f ns\n", best_ns("combined", &r));
	printf("json          %6.1f ns\n",
	       best_ns("escape=json "
		       "{\"t\":\"$time_iso8601\",\"ip\":\"$remote_addr\",\"r\":\"$request\","
		       "\"s\":$status,\"ua\":\"$http_user_agent\",\"up\":\"$upstream_addr\","
		       "\"rt\":$request_time,\"host\":\"$http_host\"}",
		       &r));
	return 0;
}
