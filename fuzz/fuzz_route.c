/* SPDX-License-Identifier: Apache-2.0 */
/* Lines: path, host and header pattern of a route, then Host, path and header of a request.
 * The index must find exactly what the route's own expression says: its first literal
 * text may never hide a match. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/regex.h"
#include "route/route.h"

static void check_path(struct arena *a, const struct router *r, str pattern, str path)
{
	struct route_query q = { .method = STR("GET"), .path = path };
	struct route_match m;
	struct regex *re;
	bool want, got = router_find(r, &q, a, &m);

	if (!str_starts(pattern, STR("~"))) {
		want = str_starts(path, pattern);
	} else {
		if (regex_new(a, str_from(pattern, 1), REGEX_ANCHORED, &re))
			abort(); /* the router took it */
		want = regex_match(re, path, NULL, 0);
	}
	if (want != got)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str rest = str_at((const char *)data, n), line[6] = { 0 };
	struct value *headers = value_object(a), *values = value_array(a);
	struct route by_path = { .paths = { &line[0], 1 } };
	struct route by_all = { .paths = { &line[0], 1 },
				.hosts = { &line[1], 1 },
				.headers = headers };
	const struct route *one[] = { &by_path }, *both[] = { &by_path, &by_all };
	struct http_header header = { .name = STR("x-h") };
	struct http_headers list = { .v = &header, .n = 1 };
	struct router *r;

	if (n > 2000)
		return 0;
	for (size_t i = 0; i < COUNT(line) && str_next(&rest, '\n', &line[i]); i++)
		;
	value_add(a, values, value_str(a, line[2]));
	value_set(a, headers, STR("x-h"), values);
	header.value = line[5];
	if (line[0].n && !router_new(a, ROUTER_TRADITIONAL, one, 1, &r))
		check_path(a, r, line[0], line[4]);
	for (int flavor = 0; line[0].n && flavor < 2; flavor++) {
		struct route_query q = {
			.method = STR("GET"), .host = line[3], .path = line[4], .headers = &list
		};
		struct route_match m;

		if (!router_new(a, (enum router_flavor)flavor, both, 2, &r) &&
		    router_find(r, &q, a, &m)) {
			if (m.prefix > q.path.n)
				abort();
			route_upstream_path(a, &m, STR("/s/"), q.path);
		}
	}
	err_forget();
	return 0;
}
