/* SPDX-License-Identifier: Apache-2.0 */
/* What path the service is asked for: its own path, and what strip_path leaves of the
 * request's, joined in the way of path_handling. */
#include "base/uri.h"
#include "route/route.h"

static bool ends_in_slash(str s)
{
	return s.n && s.s[s.n - 1] == '/';
}

static bool begins_with_slash(str s)
{
	return s.n && s.s[0] == '/';
}

static str without_last(str s)
{
	return str_part(s, 0, s.n - 1);
}

/* The rest behind the matched prefix must not begin with a dot segment of its own. */
static str clean_rest(str rest)
{
	if (str_is(rest, ".") || str_is(rest, ".."))
		return STR("");
	if (str_starts(rest, STR("./")))
		return str_from(rest, 2);
	if (str_starts(rest, STR("../")))
		return str_from(rest, 3);
	return rest;
}

static str join_v0_stripped(struct arena *a, str base, str rest, str request)
{
	if (ends_in_slash(base)) {
		if (begins_with_slash(rest))
			return str_cat(a, without_last(base), rest);
		if (rest.n)
			return str_cat(a, base, rest);
		return base.n == 1 || ends_in_slash(request) ? base : without_last(base);
	}
	if (begins_with_slash(rest))
		return str_cat(a, base, rest);
	if (rest.n)
		return str_join(a, (strs){ (str[]){ base, STR("/"), rest }, 3 }, STR(""));
	return request.n > 1 && ends_in_slash(request) ? str_cat(a, base, STR("/")) : base;
}

static str join_v0(struct arena *a, str base, str request)
{
	if (ends_in_slash(base))
		return str_cat(a, base, str_from(request, 1));
	return str_is(request, "/") ? base : str_cat(a, base, request);
}

static str join_v1_stripped(struct arena *a, str base, str rest)
{
	if (ends_in_slash(base) && begins_with_slash(rest))
		base = without_last(base);
	return str_cat(a, base, rest);
}

str route_upstream_path(struct arena *a, const struct route_match *m, str service_path,
			str request_path)
{
	str base = service_path.n ? service_path : STR("/");
	str rest = m->has_path ? clean_rest(str_from(request_path, m->prefix))
			       : str_from(request_path, 1);
	bool is_v1 = m->flavor == ROUTER_TRADITIONAL && str_is(m->route->path_handling, "v1");
	str joined;

	if (m->route->strip_path)
		joined = is_v1 ? join_v1_stripped(a, base, rest)
			       : join_v0_stripped(a, base, rest, request_path);
	else
		joined = is_v1 ? str_cat(a, base, str_from(request_path, 1))
			       : join_v0(a, base, request_path);
	return uri_escape(a, joined);
}

str route_stripped_prefix(const struct route_match *m, str request_path)
{
	str prefix = str_part(request_path, 0, m->prefix);

	if (!m->route->strip_path || !m->has_path || prefix.n == 0 || str_is(prefix, "/"))
		return STR_NONE;
	return prefix;
}
