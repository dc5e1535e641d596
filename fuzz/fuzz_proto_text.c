/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a .proto file, with what is built in. */
#include "fuzz.h"

#include "protobuf/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	const struct proto_set *s;

	if (!proto_load_text(a, str_at((const char *)data, n), &s)) {
		struct proto_bindings found = { 0 };

		for (size_t i = 0; i < s->methods.n; i++) {
			for (size_t k = 0; k < s->methods.v[i].rules.n; k++)
				proto_template_match(a, s->methods.v[i].rules.v[k].path,
						     STR("/v1/a/b/c:go"), &found);
		}
	}
	err_forget();
	return 0;
}
