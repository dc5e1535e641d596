/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a message: what is read can be written, and then reads as the same. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/json.h"
#include "proto_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	const struct proto_message *m = proto_sample(a);
	struct buf out CLEANUP(buf_done) = { .max = (size_t)16 << 20 };
	str rest = str_at((const char *)data, n), one;
	struct value *v, *again;
	unsigned flags;

	if (!m)
		abort();
	while (grpc_unframe(&rest, &flags, &one))
		;
	if (!proto_decode(a, m, str_at((const char *)data, n), &v) && !proto_encode(m, v, &out)) {
		if (proto_decode(a, m, buf_str(&out), &again))
			abort();
		if (!str_eq(json_text(a, v, JSON_SORTED), json_text(a, again, JSON_SORTED)))
			abort();
	}
	err_forget();
	return 0;
}
