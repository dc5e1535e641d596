/* SPDX-License-Identifier: Apache-2.0 */
/* A normalised path is its own normal form once escaped, and has no dot segment and
 * no double slash; the other doors must only survive. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/uri.h"

static void check_path(struct arena *a, str path)
{
	str once, twice;

	if (!uri_normalise(a, path, &once))
		return;
	if (str_find_str(once, STR("//")) >= 0 || str_find_str(once, STR("/../")) >= 0 ||
	    str_find_str(once, STR("/./")) >= 0 || str_ends(once, STR("/..")) ||
	    str_ends(once, STR("/.")))
		abort();
	if (!uri_normalise(a, uri_escape(a, once), &twice) || !str_eq(once, twice))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str text = str_at((const char *)data, n), query, path, out;
	struct uri_args args, again;
	struct uri u;

	path = uri_cut_query(text, &query);
	check_path(a, path);
	args = uri_args(a, query, 0);
	again = uri_args(a, uri_args_join(a, &args), 0);
	if (args.n != again.n)
		abort();
	for (size_t i = 0; i < args.n; i++) {
		if (!str_eq(args.v[i].key, again.v[i].key) ||
		    !str_eq(args.v[i].value, again.v[i].value))
			abort();
	}
	uri_parse(text, &u);
	uri_resolve(a, STR("https://a.test:8443/b/c?d"), text, &out);
	return 0;
}
