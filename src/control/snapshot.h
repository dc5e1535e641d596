/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot - all configuration that the data plane uses, as one immutable object.
 *
 * Built off the data loops, whole or not at all, from a checked configuration:
 * the router, a plan for each service and route, balancers' fixed parts, and
 * certificates as ready TLS objects.  A request holds one snapshot from its head to its
 * log line; holding is a plain counter per loop, and the last loop to let go
 * of a replaced snapshot frees it (control/current.h).
 *
 *	config ──► snapshot ─┬─ router ──► route ─┐
 *	                     ├─ routes[i] ◄───────┘ (same index as config.routes)
 *	                     │    └─► service plan ─► balancer, TLS context
 *	                     └─ server names ─► certificates */
#pragma once

#include "balance/balance.h"
#include "base/map.h"
#include "control/directory.h"
#include "control/plan.h"
#include "model/model.h"
#include "net/tls.h"
#include "route/route.h"
#include "settings/settings.h"

struct held_config;
struct lookup;

struct service_plan {
	const struct service *service;
	struct balancer *balancer;
	const struct upstream *upstream; /* when the host names one, else NULL */
	struct tls_context *tls;         /* https, grpcs, tls: held by the snapshot; NULL: plain */
	uint64_t tls_identity;
	bool verify_name;
	bool is_grpc;          /* its targets speak HTTP/2 */
	uint16_t default_port; /* 80 or 443: not shown in Host */
	unsigned retries;
};

struct route_plan {
	const struct route *route;
	const struct service_plan *service; /* NULL: the route has none */
	const struct plan *plan;            /* of plugins; NULL: there are none */
	bool is_https_only;                 /* https without http */
	bool is_tls, is_tls_passthrough;    /* of streams: what may be done with TLS */
	bool is_grpc;
	bool is_grpcs_only; /* grpcs without grpc */
};

/* A certificate entity, read when a client first asks for it: a gateway may hold
 * thousands that nobody uses. */
struct lazy_certs;

struct kept_text;

struct snapshot {
	struct arena *arena;
	const struct config *config;
	struct held_config *source; /* what config belongs to; held */
	struct router *router;
	struct route_plan *routes;         /* by index of config->routes */
	struct kept_text *_Atomic *texts;  /* of routes, by the same; NULL: not asked for yet */
	const struct plan *plan;           /* of requests that have no route; NULL: no plugins */
	const struct plan *stream_plan;    /* the same of TCP, TLS and UDP sessions */
	const struct directory *directory; /* of a store whose sets are in memory */
	struct lookup *lookup;             /* of one that is asked; else NULL */
	bool has_tracing;                  /* a plugin that traces is configured somewhere */
	struct map names; /* lower-case server name or pattern -> struct lazy_certs */
	bool has_wildcards;
	int64_t built_ms; /* how long building took */

	/* control/current.h's own */
	struct snapshot_holds *holds;
	int loops_left;
	struct current *home;
};

struct snapshot_input {
	const struct settings *settings;
	struct balance_store *balancers;
	struct lookup *lookup;      /* or NULL */
	struct held_config *source; /* a hold of its own is taken; NULL: config lasts anyway */
	const struct config *config;
};

/* Builds one; may take long (no loop's thread). The error names the entity. */
MUST_CHECK struct err *snapshot_new(const struct snapshot_input *in, struct snapshot **ret);
void snapshot_drop(struct snapshot **s);

static inline const struct route_plan *snapshot_route(const struct snapshot *s,
						      const struct route *route)
{
	return &s->routes[route - s->config->routes.v];
}

/* What make() makes of a route, once: it lasts as long as the snapshot.  Any loop. */
str snapshot_route_text(struct snapshot *s, const struct route_plan *p, struct arena *a,
			str (*make)(struct arena *a, const struct snapshot *s,
				    const struct route_plan *p));

/* Certificates for a server name by Kong's order: exact, *.rest, first.*, "*";
 * 0 when there are none (the default ones then serve). */
int snapshot_certs(struct snapshot *s, str name, struct tls_cert *ret[2]);
