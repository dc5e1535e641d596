/* SPDX-License-Identifier: Apache-2.0 */
/* What is read and written must read back: no string may turn into a number. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	CLEANUP(buf_done) struct buf out;
	struct value *v, *again;

	buf_init(&out, 64 * 1024 * 1024);
	if (n < 64 * 1024 && !yaml_parse(a, str_at((const char *)data, n), &v)) {
		yaml_write(&out, v);
		if (!out.is_full) {
			if (yaml_parse(a, buf_str(&out), &again))
				abort();
			/* by text, in which .nan equals .nan */
			if (!str_eq(json_text(a, v, JSON_COMPACT),
				    json_text(a, again, JSON_COMPACT)))
				abort();
		}
	}
	err_forget();
	return 0;
}
