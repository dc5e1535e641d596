/* SPDX-License-Identifier: Apache-2.0 */
/* bench_route - what a match costs, and a build, from 1 to 100,000 routes.
 *
 *	ninja -C build bench/micro/bench_route && build/bench/micro/bench_route
 *
 * One line for each shape of configuration, flavour and number of routes: milliseconds
 * to build, MiB of the router, nanoseconds a match.  Requests go to all routes in turn,
 * in an order that the caches cannot guess. */
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define MATCHES 200000

struct shape {
	const char *name;
	void (*make)(struct arena *a, struct route *r, size_t i);
	void (*ask)(struct arena *a, struct route_query *q, size_t i);
};

static strs one(struct arena *a, str s)
{
	return (strs){ arena_copy(a, &s, sizeof(s)), 1 };
}

static str numbered(struct arena *a, const char *before, size_t i, const char *behind)
{
	return str_fmt(a, "%s%zu%s", before, i, behind);
}

static void make_paths(struct arena *a, struct route *r, size_t i)
{
	r->paths = one(a, numbered(a, "/api/service-", i, "/v1"));
}

static void ask_paths(struct arena *a, struct route_query *q, size_t i)
{
	q->path = numbered(a, "/api/service-", i, "/v1/orders/4711");
}

static void make_hosts(struct arena *a, struct route *r, size_t i)
{
	r->hosts = one(a, numbered(a, "service-", i, ".example.test"));
	r->paths = one(a, STR("/v1"));
}

static void ask_hosts(struct arena *a, struct route_query *q, size_t i)
{
	q->host = numbered(a, "service-", i, ".example.test");
	q->path = STR("/v1/orders/4711");
}

static void make_wildcards(struct arena *a, struct route *r, size_t i)
{
	r->hosts = one(a, numbered(a, "*.tenant-", i, ".example.test"));
}

static void ask_wildcards(struct arena *a, struct route_query *q, size_t i)
{
	q->host = numbered(a, "www.tenant-", i, ".example.test");
	q->path = STR("/v1/orders/4711");
}

static void make_regexes(struct arena *a, struct route *r, size_t i)
{
	r->paths = one(a, numbered(a, "~/api/service-", i, "/(?<id>\\d+)$"));
}

static void ask_regexes(struct arena *a, struct route_query *q, size_t i)
{
	q->path = numbered(a, "/api/service-", i, "/4711");
}

static void make_headers(struct arena *a, struct route *r, size_t i)
{
	struct value *headers = value_object(a), *list = value_array(a);

	value_add(a, list, value_str(a, numbered(a, "tenant-", i, "")));
	value_set(a, headers, STR("x-tenant"), list);
	r->headers = headers;
	r->paths = one(a, STR("/"));
}

static void ask_headers(struct arena *a, struct route_query *q, size_t i)
{
	struct http_headers *headers = NEW(a, struct http_headers);

	headers->v = NEWS(a, struct http_header, 2);
	headers->n = 2;
	headers->v[0] = (struct http_header){ .name = STR("Accept"), .value = STR("text/html") };
	headers->v[1] = (struct http_header){ .name = STR("X-Tenant"),
					      .value = numbered(a, "tenant-", i, "") };
	q->headers = headers;
	q->path = STR("/v1/orders/4711");
}

static const struct shape shapes[] = {
	{ "paths", make_paths, ask_paths },
	{ "hosts", make_hosts, ask_hosts },
	{ "wildcards", make_wildcards, ask_wildcards },
	{ "regexes", make_regexes, ask_regexes },
	{ "headers", make_headers, ask_headers },
};

static void run(const struct shape *shape, enum router_flavor flavor, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	CLEANUP(arena_drop) struct arena *built = arena_new();
	CLEANUP(arena_drop) struct arena *per_match = arena_new();
	const struct route **routes = NEWS(a, const struct route *, n);
	size_t asked = n < 20000 ? n : 20000;
	struct route_query *queries = NEWS(a, struct route_query, asked);
	struct router *router;
	int64_t start, build_us;

	for (size_t i = 0; i < n; i++) {
		struct route *r = NEW(a, struct route);

		r->id = uuid_random();
		r->created_at = (int64_t)i;
		r->strip_path = true;
		shape->make(a, r, i);
		routes[i] = r;
	}
	for (size_t i = 0; i < asked; i++) {
		queries[i] = (struct route_query){ .method = STR("GET"), .host = STR("a.test") };
		shape->ask(a, &queries[i], (i * 7919 + 13) % n);
	}
	start = clock_mono_us();
	if (router_new(built, flavor, routes, n, &router))
		abort();
	build_us = clock_mono_us() - start;
	start = clock_mono_us();
	for (size_t i = 0; i < MATCHES; i++) {
		struct route_match m;

		if (!router_find(router, &queries[i * 31 % asked], per_match, &m))
			abort();
		arena_reset(per_match);
	}
	printf("%-10s %-12s %7zu routes: built in %8.1f ms, %6.1f MiB, %8.0f ns a match\n",
	       shape->name, flavor == ROUTER_TRADITIONAL ? "traditional" : "compatible", n,
	       (double)build_us / 1000, (double)arena_size(built) / 1048576,
	       (double)(clock_mono_us() - start) * 1000 / MATCHES);
}

int main(void)
{
	static const size_t sizes[] = { 1, 1000, 10000, 100000 };

	setvbuf(stdout, NULL, _IOLBF, 0);

	for (size_t s = 0; s < COUNT(shapes); s++) {
		for (int flavor = ROUTER_TRADITIONAL_COMPATIBLE; flavor <= ROUTER_TRADITIONAL;
		     flavor++) {
			for (size_t i = 0; i < COUNT(sizes); i++)
				run(&shapes[s], (enum router_flavor)flavor, sizes[i]);
		}
	}
	return 0;
}
