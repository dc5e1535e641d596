/* SPDX-License-Identifier: Apache-2.0 */
/* Any document as a message: what is written can be read. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/json.h"
#include "proto_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	const struct proto_message *m = proto_sample(a);
	struct buf out CLEANUP(buf_done) = { .max = (size_t)16 << 20 };
	struct value *v, *back;

	if (!m)
		abort();
	if (!json_parse(a, str_at((const char *)data, n), &v) && !proto_encode(m, v, &out) &&
	    proto_decode(a, m, buf_str(&out), &back))
		abort();
	err_forget();
	return 0;
}
