/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern up to the first newline, subject behind it; with JIT and without. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str text = str_at((const char *)data, n);
	ptrdiff_t line = str_find(text, '\n', 0);
	str pattern = line < 0 ? text : str_part(text, 0, (size_t)line);
	str subject = line < 0 ? STR("") : str_from(text, (size_t)line + 1);
	struct regex *re;

	if (n > 4096)
		return 0;
	for (unsigned flags = 0; flags < 32; flags += REGEX_NO_JIT | REGEX_ANCHORED) {
		struct regex_span spans[8];

		if (regex_new(a, pattern, flags, &re))
			continue;
		for (size_t i = 0; i <= regex_groups(re); i++)
			regex_group_name(re, i);
		if (regex_match(re, subject, spans, COUNT(spans))) {
			for (size_t i = 0; i < COUNT(spans); i++) {
				if (spans[i].from != SIZE_MAX &&
				    (spans[i].from > spans[i].to || spans[i].to > subject.n))
					abort();
			}
		}
	}
	err_forget();
	return 0;
}
