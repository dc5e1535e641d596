/* SPDX-License-Identifier: Apache-2.0 */
/* An expression up to the first empty line, then Host, path and a header's value.  The
 * index may never hide a route whose expression holds. */
#include "fuzz.h"

#include <stdlib.h>

#include "route/route.h"

static bool finds(struct arena *a, const struct route *route, const struct route_query *q)
{
	const struct route *list[] = { route };
	struct route_match m;
	struct router *r;
	bool found;

	if (router_new(a, ROUTER_EXPRESSIONS, list, 1, &r))
		abort();
	found = router_find(r, q, a, &m);
	if (found && m.prefix > q->path.n)
		abort();
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str text = str_at((const char *)data, n), rest = STR_NONE, line[3] = { 0 };
	ptrdiff_t at = str_find_str(text, STR("\n\n"));
	struct http_header header = { .name = STR("X-H") };
	struct http_headers headers = { .v = &header, .n = 1 };
	struct route route = { 0 }, bare = { 0 };

	if (n > 2000)
		return 0;
	if (at >= 0) {
		rest = str_from(text, (size_t)at + 2);
		text = str_part(text, 0, (size_t)at);
	}
	for (size_t i = 0; i < COUNT(line) && str_next(&rest, '\n', &line[i]); i++)
		;
	header.value = line[2];
	route.expression = text;
	bare.expression = str_fmt(a, "net.port == 77777 || (" STRF ")", STRV(text));
	/* the parentheses may be the ones too many */
	if (text.n && !route_check_expression(text) && !route_check_expression(bare.expression)) {
		struct route_query q = {
			.method = STR("GET"), .host = line[0], .path = line[1], .headers = &headers
		};

		if (finds(a, &route, &q) != finds(a, &bare, &q))
			abort();
	}
	err_forget();
	return 0;
}
