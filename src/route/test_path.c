/* SPDX-License-Identifier: Apache-2.0 */
/* Upstream paths: rows of Kong's own table, then every combination of services, routes
 * and requests against a second implementation that looks at the rules differently. */
#include "route/route.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static str ask(struct arena *a, const char *service, const char *path, bool strip,
	       const char *version, str request)
{
	struct route route = { .strip_path = strip, .path_handling = str_of(version) };
	struct route_match m = { .route = &route, .flavor = ROUTER_TRADITIONAL };

	if (path) {
		m.has_path = true;
		m.prefix = strlen(path);
	}
	return route_upstream_path(a, &m, str_of(service), request);
}

static void rows_of_the_table_hold(void **state)
{
	/* clang-format off */
	static const struct {
		const char *service, *path;
		const char *strip, *version; /* "ft" is both; NULL: v0 and v1 */
		const char *request, *out;
	} rows[] = {
		{ "/",         "/route",  "t",  NULL, "/routereq",  "/req" },
		{ "/",         "/route",  "t",  NULL, "/route",     "/" },
		{ "/",         "/route",  "t",  NULL, "/route/",    "/" },
		{ "/",         "/",       "ft", NULL, "/route/",    "/route/" },
		{ "/",         "/route/", "t",  NULL, "/route/req", "/req" },
		{ "/srv",      "/rou",    "f",  "v0", "/roureq",    "/srv/roureq" },
		{ "/srv",      "/rou",    "f",  "v1", "/roureq",    "/srvroureq" },
		{ "/srv",      "/rou",    "t",  "v0", "/roureq",    "/srv/req" },
		{ "/srv",      "/rou",    "t",  "v1", "/roureq",    "/srvreq" },
		{ "/srv/",     "/rou",    "f",  NULL, "/rou",       "/srv/rou" },
		{ "/srv/",     "/rou",    "t",  "v0", "/rou",       "/srv" },
		{ "/srv/",     "/rou",    "t",  "v1", "/rou",       "/srv/" },
		{ "/service",  "/",       "ft", NULL, "/",          "/service" },
		{ "/service",  "/",       "ft", "v0", "/route",     "/service/route" },
		{ "/service",  "/",       "ft", "v1", "/route",     "/serviceroute" },
		{ "/service",  "/route/", "t",  "v0", "/route/",    "/service/" },
		{ "/service",  "/route/", "t",  "v1", "/route/",    "/service" },
		{ "/service/", "/route/", "t",  NULL, "/route/req", "/service/req" },
		{ "/service",  NULL,      "ft", "v0", "/route",     "/service/route" },
		{ "/service",  NULL,      "ft", "v1", "/route",     "/serviceroute" },
		{ NULL,        "/a",      "t",  NULL, "/a/b c",     "/b%20c" },
		{ "/s",        "/a",      "t",  NULL, "/a/\xc3\xa9%2F", "/s/%C3%A9%2F" },
		{ "/",         "/cut",    "t",  NULL, "/cut../x",   "/x" },
		{ "/",         "/cut",    "t",  NULL, "/cut.",      "/" },
		{ "/",         "/cut",    "t",  NULL, "/cut./x",    "/x" },
		{ "/s",        "/cut",    "t",  "v0", "/cut.x",     "/s/.x" },
	};
	/* clang-format on */
	CLEANUP(arena_drop) struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (int strip = 0; strip < 2; strip++) {
			for (int v = 0; v < 2; v++) {
				const char *version = v ? "v1" : "v0";

				if (!strchr(rows[i].strip, strip ? 't' : 'f') ||
				    (rows[i].version && strcmp(rows[i].version, version) != 0))
					continue;
				assert_string_equal(
					str_z(a, ask(a, rows[i].service, rows[i].path, strip,
						     version, str_of(rows[i].request))),
					rows[i].out);
			}
		}
	}
}

/* The rules once more, by what a slash at the seam means: v0 makes it exactly one, but for
 * an empty rest, where the request's own last slash decides; v1 only takes a double one away. */
static str expect(struct arena *a, const char *service, const char *path, bool strip, bool v1,
		  const char *request)
{
	str base = service ? str_of(service) : STR("/"), asked = str_of(request);
	str cut = str_part(base, 0, base.n - 1); /* base without its slash */
	str rest = str_from(asked, strip && path ? strlen(path) : 1);
	bool base_slash = str_ends(base, STR("/")), rest_slash = str_starts(rest, STR("/"));
	bool last_slash = asked.n > 1 && str_ends(asked, STR("/"));

	if (v1)
		return str_cat(a, base_slash && rest_slash ? cut : base, rest);
	if (rest.n)
		return str_fmt(a, STRF "%s" STRF, STRV(base_slash ? cut : base),
			       rest_slash ? "" : "/", STRV(rest));
	if (!(strip && path)) /* the root was asked for, so it is the service's path as it is */
		return base;
	if (base_slash)
		return base.n == 1 || str_ends(asked, STR("/")) ? base : cut;
	return last_slash ? str_cat(a, base, STR("/")) : base;
}

static void all_combinations_agree_with_a_second_implementation(void **state)
{
	static const char *const services[] = { NULL, "/", "/s", "/s/", "/srv/x", "/srv/x/" };
	static const char *const paths[] = { NULL,     "/",       "/r",      "/rou",
					     "/route", "/route/", "/route/r" };
	static const char *const requests[] = {
		"/",         "/r",          "/route",     "/route/",      "/routereq", "/route/req",
		"/route/r/", "/route/req/", "/rou/te/r/", "/route/r/e/q", "/roux"
	};
	CLEANUP(arena_drop) struct arena *a = arena_new();
	int compared = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(services) * COUNT(paths) * COUNT(requests) * 4; i++) {
		const char *service = services[i / 4 % COUNT(services)];
		const char *path = paths[i / 4 / COUNT(services) % COUNT(paths)];
		const char *request = requests[i / 4 / COUNT(services) / COUNT(paths)];
		str want;

		if (path && strncmp(request, path, strlen(path)) != 0)
			continue;
		want = expect(a, service, path, i & 1, i & 2, request);
		assert_string_equal(str_z(a, ask(a, service, path, i & 1, i & 2 ? "v1" : "v0",
						 str_of(request))),
				    str_z(a, want));
		compared++;
	}
	assert_true(compared > 500);
}

static void v1_is_for_traditional_alone(void **state)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct route route = { .strip_path = true, .path_handling = STR("v1") };
	struct route_match m = { .route = &route,
				 .flavor = ROUTER_TRADITIONAL_COMPATIBLE,
				 .has_path = true,
				 .prefix = 4 };

	(void)state;
	assert_true(str_is(route_upstream_path(a, &m, STR("/srv"), STR("/roureq")), "/srv/req"));
}

static void the_stripped_prefix_is_told(void **state)
{
	struct route route = { .strip_path = true };
	struct route_match m = { .route = &route, .has_path = true, .prefix = 4 };

	(void)state;
	assert_true(str_is(route_stripped_prefix(&m, STR("/cut/x")), "/cut"));
	m.prefix = 1;
	assert_null(route_stripped_prefix(&m, STR("/cut/x")).s);
	m.prefix = 4;
	route.strip_path = false;
	assert_null(route_stripped_prefix(&m, STR("/cut/x")).s);
	route.strip_path = true;
	m.has_path = false;
	assert_null(route_stripped_prefix(&m, STR("/cut/x")).s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_of_the_table_hold),
		cmocka_unit_test(all_combinations_agree_with_a_second_implementation),
		cmocka_unit_test(v1_is_for_traditional_alone),
		cmocka_unit_test(the_stripped_prefix_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
