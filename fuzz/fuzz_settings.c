/* SPDX-License-Identifier: Apache-2.0 */
/* Any text may be a kong.conf: it loads or is refused.  A listener that was read
 * is read again from the text it is shown as, and comes out the same. */
#include "fuzz.h"

#include <stdlib.h>

#include "settings/settings.h"

static void check_listener(struct arena *a, str entry, enum subsystem subsystem)
{
	struct listeners once, twice;

	if (listeners_parse(a, "x_listen", (strs){ &entry, 1 }, subsystem, &once) || once.n == 0)
		return;
	if (listeners_parse(a, "x_listen", (strs){ &once.v[0].text, 1 }, subsystem, &twice) ||
	    !str_eq(once.v[0].text, twice.v[0].text) || once.v[0].port != twice.v[0].port)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct settings_sources src = { .text = str_at((const char *)data, n) };
	str rest = src.text, line;
	struct settings *s;
	int64_t number;

	if (!settings_load(a, &src, &s))
		settings_value(a, s);
	while (str_next(&rest, '\n', &line)) {
		check_listener(a, line, SUBSYSTEM_HTTP);
		check_listener(a, line, SUBSYSTEM_STREAM);
		size_parse(line, &number);
		time_parse(line, &number);
	}
	err_forget();
	return 0;
}
