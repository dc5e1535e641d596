/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds per head and per chunked body: the parser of the request's road.
 *
 *	ninja -C build bench/micro/bench_http && build/bench/micro/bench_http */
#include "http/http.h"

#include "base/clock.h"
#include <stdio.h>

#define ROUNDS  300000
#define REPEATS 7

static const struct http_limits limits = {
	.line = 8192, .header = 8192, .head = 32768, .count = 100
};

/* clang-format off */
static char bare[] =
	"GET /api/v1/items/1234?fields=name,price HTTP/1.1\r\n"
	"Host: gateway.example.com\r\n"
	"User-Agent: curl/7.88.1\r\n"
	"Accept: */*\r\n"
	"X-Request-Id: 6f1c0a58-5b1f-4e3e-8d0c-0f5f1f6a7b8c\r\n"
	"Accept-Encoding: gzip\r\n\r\n";

static char browser[] =
	"GET /catalogue/shoes?page=2&sort=price HTTP/1.1\r\n"
	"Host: shop.example.com\r\n"
	"Connection: keep-alive\r\n"
	"sec-ch-ua: \"Chromium\";v=\"120\", \"Not A;Brand\";v=\"24\"\r\n"
	"sec-ch-ua-mobile: ?0\r\n"
	"sec-ch-ua-platform: \"Linux\"\r\n"
	"Upgrade-Insecure-Requests: 1\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/120.0.0.0 Safari/537.36\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
	"Sec-Fetch-Site: same-origin\r\n"
	"Sec-Fetch-Mode: navigate\r\n"
	"Sec-Fetch-Dest: document\r\n"
	"Referer: https://shop.example.com/catalogue\r\n"
	"Accept-Encoding: gzip, deflate, br\r\n"
	"Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\r\n";

static char reply[] =
	"HTTP/1.1 200 OK\r\n"
	"Date: Mon, 06 Nov 2023 08:49:37 GMT\r\n"
	"Content-Type: application/json\r\n"
	"Content-Length: 1024\r\n"
	"Connection: keep-alive\r\n"
	"ETag: \"5c0f-1a2b3c\"\r\n"
	"Cache-Control: no-store\r\n\r\n";
/* clang-format on */

static ssize_t parse_request(struct arena *a, char *p, size_t n)
{
	struct http_request r;
	size_t scanned = 0;

	return http_parse_request(a, p, n, &scanned, &limits, &r);
}

static ssize_t parse_response(struct arena *a, char *p, size_t n)
{
	struct http_response r;
	size_t scanned = 0;

	return http_parse_response(a, p, n, &scanned, &limits, HTTP_GET, &r);
}

/* The best of some repeats: the machine is shared. */
static void run(const char *name, ssize_t (*parse)(struct arena *, char *, size_t), char *p,
		size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	double best = 1e9;

	for (int k = 0; k < REPEATS; k++) {
		int64_t start = clock_mono_us();
		double ns;

		for (int i = 0; i < ROUNDS; i++) {
			if (parse(a, p, n) != (ssize_t)n)
				return (void)printf("%s: not accepted\n", name);
			arena_reset(a);
		}
		ns = (double)(clock_mono_us() - start) * 1000 / ROUNDS;
		best = ns < best ? ns : best;
	}
	printf("%-10s %5zu bytes  %6.1f ns\n", name, n, best);
}

int main(void)
{
	run("request", parse_request, bare, sizeof(bare) - 1);
	run("browser", parse_request, browser, sizeof(browser) - 1);
	run("response", parse_response, reply, sizeof(reply) - 1);
	return 0;
}
