/* SPDX-License-Identifier: Apache-2.0 */
/* plan - which configuration of which plugin a request meets, worked out beforehand.
 *
 * A plan is a list of slots, one per plugin that may run, by descending priority.
 * The first of these that exists is used (Kong's order):
 *
 *	route+service+consumer, route+consumer, service+consumer, route+service,
 *	consumer, route, service, everybody
 *
 * Those without a consumer are chosen when the snapshot is built; those with one
 * when the plugin's turn comes, for only then is the consumer known.
 *
 * Routes whose plugins are the same share a plan; a route that no plugin has
 * anything to do with has none. */
#pragma once

#include "settings/settings.h"
#include <gibbon/plugin.h>

struct plugin_instance {
	const struct plugin *plugin;
	const struct plugin_config *entity;
	void *conf;                   /* decoded */
	struct plugin_instance *next; /* of those with the same route, service or consumer */
};

struct plugin_group; /* all instances of one plugin */

struct plan_slot {
	const struct plugin_group *group;
	const struct plugin *plugin;
	const struct plugin_instance *own; /* the best one without a consumer, or NULL */
	bool has_consumers;
};

struct plan {
	struct plan_slot *v;
	size_t n;
	bool has_tracing; /* somebody asks for times and spans */
	unsigned phases;  /* a bit for each phase that anybody has a handler for */
};

static inline bool plan_has(const struct plan *p, enum phase phase)
{
	return p && (p->phases >> phase & 1);
}

struct planner;

/* Decodes all plugins that are for requests (or for TCP, TLS and UDP sessions); `a` is the
 * snapshot's arena.  The error names the plugin. */
MUST_CHECK struct err *planner_new(struct arena *a, struct arena *scratch,
				   const struct config *config, enum subsystem subsystem,
				   struct planner **ret);

bool planner_has_tracing(const struct planner *p); /* anywhere */

/* The plan of a route (NULL: of requests without one). NULL: there are no plugins. */
const struct plan *planner_plan(struct planner *p, const struct route *route,
				const struct service *service);

/* The instance to use, or NULL. */
const struct plugin_instance *plan_choose(const struct plan_slot *slot, const struct route *route,
					  const struct service *service,
					  const struct consumer *consumer);
