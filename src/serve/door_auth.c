/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: what authentication asks of a request (gibbon/plugin.h). */
#include "http/cookies.h"
#include "serve/phases.h"

str req_cookie(const struct req *r, str name)
{
	for (unsigned i = 0; i < r->in.headers.n; i++) {
		const struct http_header *h = &r->in.headers.v[i];
		str rest = h->value, is, value;

		if (h->id != HTTP_COOKIE)
			continue;
		while (cookie_next(&rest, &is, &value)) {
			if (str_eq_ci(is, name))
				return value;
		}
	}
	return STR_NONE;
}

str req_target(const struct req *r)
{
	if (!r->in.is_absolute)
		return r->in.target;
	return r->in.has_query
		       ? str_fmt(r->arena, STRF "?" STRF, STRV(r->in.path), STRV(r->in.query))
		       : r->in.path;
}
