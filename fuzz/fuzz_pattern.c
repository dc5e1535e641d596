/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern up to the first newline, subject behind it. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	str text = str_at((const char *)data, n), captures[8];
	ptrdiff_t line = str_find(text, '\n', 0);
	str pattern = line < 0 ? text : str_part(text, 0, (size_t)line);
	str subject = line < 0 ? STR("") : str_from(text, (size_t)line + 1);
	size_t found;

	pattern_is_valid(pattern);
	if (pattern_find(pattern, subject, captures, COUNT(captures), &found)) {
		for (size_t i = 0; i < found && i < COUNT(captures); i++) {
			if (captures[i].n > subject.n)
				abort();
		}
	}
	return 0;
}
