/* SPDX-License-Identifier: Apache-2.0 */
/* route - which route a request belongs to, and what path its service is asked for.
 *
 * A router is built once from all routes, into an arena, and never changes; any
 * number of threads may ask it at the same time.  It is an index, not a list: what a
 * request costs depends on its host and path and on how many routes share those, not
 * on how many routes there are.
 *
 * Which of several routes wins is Kong's order of the chosen flavour:
 *
 *	traditional   the more kinds of criteria (hosts, headers, paths, methods, snis) the
 *	              better, then their weight; every path of a route counts by itself;
 *	              at the end the older route
 *	compatible    the same kinds counted, then plain hosts, more headers, a regex,
 *	              regex_priority, the longest path; at the end the older route
 *	expressions   the greater priority; at the end the older route
 *
 * None looks at `protocols` beyond "HTTP or stream": that a route wants HTTPS is for
 * the caller to see.  A match takes memory from the caller's arena for captures, and for
 * keys where very many routes share one place. */
#pragma once

#include "http/http.h"
#include "model/model.h"
#include "settings/settings.h"

struct router;

/* Builds; keeps the routes by pointer, so they must live as long as the arena.  Those of
 * HTTP and stream protocols may come mixed.  Fails on a path or header that is no
 * regular expression, on a host with a '*' in the middle and on an expression that cannot
 * be read, naming route and field. */
MUST_CHECK struct err *router_new(struct arena *a, enum router_flavor flavor,
				  const struct route *const *routes, size_t n, struct router **ret);

/* Whether an expression can be read; the error says in which column it cannot. */
MUST_CHECK struct err *route_check_expression(str text);

/* ---- HTTP ---------------------------------------------------------------------- */

struct route_query {
	str method;
	str host;    /* the Host header as it came, port included; empty when there is none */
	str path;    /* normalised (uri_normalise), no query */
	str sni;     /* empty when the client sent none */
	bool is_tls; /* https, as the client sees it (X-Forwarded-Proto of a trusted proxy counts) */
	const struct http_headers *headers; /* may be NULL */
};

/* A group of the regular expression that matched. */
struct route_capture {
	str name;  /* STR_NONE: only a number */
	str value; /* STR_NONE: took no part; borrowed from the query's path */
};

struct route_match {
	const struct route *route;
	enum router_flavor flavor;
	bool has_path; /* a path of the route took part */
	size_t prefix; /* bytes of the request path that it matched */
	str path;      /* that path, as it stands in the route (with its '~') */
	const struct route_capture *captures; /* by number, [0] the whole; NULL without groups */
	size_t captures_n;
};

/* The route of a request; false when there is none. */
bool router_find(const struct router *r, const struct route_query *q, struct arena *a,
		 struct route_match *ret);

/* ---- streams ------------------------------------------------------------------- */

/* One end of a connection; ip is an address in text. */
struct route_end {
	str ip;
	uint16_t port;
};

struct route_stream_query {
	struct route_end source, destination;
	str sni; /* of TLS, terminated here or only looked at; empty when there is none */
	bool is_udp;
};

const struct route *router_find_stream(const struct router *r, const struct route_stream_query *q);

/* ---- what goes to the upstream ------------------------------------------------- */

/* The path to ask the service for, escaped for a request line; the query is the caller's
 * to append.  service_path is the service's own (unset means "/"; give that for gRPC
 * services too, whose path counts for nothing), request_path the normalised one. */
str route_upstream_path(struct arena *a, const struct route_match *m, str service_path,
			str request_path);

/* X-Forwarded-Prefix: what strip_path took away, STR_NONE when that is nothing or "/". */
str route_stripped_prefix(const struct route_match *m, str request_path);
