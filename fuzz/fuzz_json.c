/* SPDX-License-Identifier: Apache-2.0 */
/* What is read and written must read back as the same. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct value *v, *again;

	if (!json_parse(a, str_at((const char *)data, n), &v)) {
		str compact = json_text(a, v, JSON_COMPACT);
		str pretty = json_text(a, v, JSON_PRETTY | JSON_SORTED);

		if (json_parse(a, compact, &again) || !value_eq(v, again))
			abort();
		if (json_parse(a, pretty, &again) || !value_eq(v, again))
			abort();
	}
	err_forget();
	return 0;
}
