/* SPDX-License-Identifier: Apache-2.0 */
/* A chunked body decodes alike, and ends at the same byte, however it was cut; the
 * first byte of the input says how. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/buf.h"
#include "http/http.h"

static enum http_chunk decode(const char *p, size_t n, size_t cut, struct buf *body, size_t *ret_at)
{
	struct http_chunked c = { 0 };
	size_t at = 0, end = 0;

	for (;;) {
		size_t used;
		str data;
		enum http_chunk got = http_chunked_next(&c, p + at, end - at, &used, &data);

		if (used > end - at)
			abort();
		at += used;
		if (got == HTTP_CHUNK_DATA) {
			if (data.n == 0 || data.s < p || data.s + data.n > p + at)
				abort();
			buf_add_str(body, data);
			continue;
		}
		if (got == HTTP_CHUNK_MORE && end < n) {
			end = end + cut < n ? end + cut : n;
			continue;
		}
		*ret_at = at;
		return got;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(buf_done) struct buf whole = { 0 }, pieces = { 0 };
	size_t whole_at, pieces_at;
	const char *p = (const char *)data + 1;

	if (n < 2)
		return 0;
	buf_init(&whole, 0);
	buf_init(&pieces, 0);
	if (decode(p, n - 1, n, &whole, &whole_at) !=
		    decode(p, n - 1, 1 + data[0] % 16, &pieces, &pieces_at) ||
	    whole_at != pieces_at || !str_eq(buf_str(&whole), buf_str(&pieces)))
		abort();
	return 0;
}
