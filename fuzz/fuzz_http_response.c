/* SPDX-License-Identifier: Apache-2.0 */
/* A response's head is read alike however its bytes were cut. */
#include "fuzz.h"

#include <stdlib.h>

#include "http/http.h"

static const struct http_limits limits = { .line = 256, .header = 256, .head = 1024, .count = 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	char *p = arena_copy(a, data, n);
	size_t scanned = 0, cut = n ? 1 + data[n - 1] % 40 : 1, seen = 0;
	enum http_method method = n & 1 ? HTTP_GET : HTTP_HEAD;
	struct http_response whole, pieces;
	ssize_t want = http_parse_response(a, p, n, &scanned, &limits, method, &whole);
	ssize_t got = HTTP_MORE;

	scanned = 0;
	while (got == HTTP_MORE && seen < n) {
		seen = seen + cut < n ? seen + cut : n;
		got = http_parse_response(a, p, seen, &scanned, &limits, method, &pieces);
	}
	if (got != want)
		abort();
	if (want > 0 && (whole.body != pieces.body || whole.length != pieces.length ||
			 whole.status != pieces.status || whole.length < 0))
		abort();
	return 0;
}
