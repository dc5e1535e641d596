/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plan.h"

#include "base/vec.h"
#include "control/plugin_table.h"
#include "control/secrets.h"
#include "model/plugin_schema.h"

#include <stdlib.h>

struct plugin_group {
	const struct plugin *plugin;
	struct plugin_instance *global;
	struct map by_route;    /* id -> instances without consumer */
	struct map by_service;  /* id -> instances of the service alone */
	struct map by_consumer; /* id -> instances with one */
	size_t consumers;
};

struct planner {
	struct arena *a, *scratch;
	const struct config *config;
	struct {
		struct plugin_group **v; /* by priority */
		size_t n, cap;
	} groups;
	struct map routes, services; /* ids that plugins are configured for */
	struct map of_services;      /* id -> the plan of routes without plugins of their own */
	const struct plan *global;
	bool has_global;
};

static str id_key(const uuid *id)
{
	return str_at((const char *)id->b, sizeof(id->b));
}

/* ---- instances -------------------------------------------------------------------------- */

static bool is_for(const struct plugin_config *c, enum subsystem subsystem)
{
	static const char *const protocols[][4] = {
		[SUBSYSTEM_HTTP] = { "http", "https", "grpc", "grpcs" },
		[SUBSYSTEM_STREAM] = { "tcp", "tls", "udp", "tls_passthrough" },
	};

	for (size_t i = 0; i < c->protocols.n; i++) {
		for (size_t k = 0; k < COUNT(protocols[subsystem]); k++) {
			if (str_is(c->protocols.v[i], protocols[subsystem][k]))
				return true;
		}
	}
	return false;
}

static struct err *check_enabled(str name)
{
	if (plugin_find(name))
		return NULL;
	return err_hint(FAIL(ERR_INVALID, STRF " plugin is in use but not enabled", STRV(name)),
			"Add it to the property plugins, or take it out of the configuration.");
}

static struct err *make_instance(struct planner *p, const struct plugin_config *c,
				 struct plugin_instance **ret)
{
	struct plugin_instance *i = NEW(p->a, struct plugin_instance);
	const struct schema *rows = plugin_schema_config(c->name);

	i->plugin = plugin_find(c->name);
	i->entity = c;
	i->conf = arena_zalloc(p->a, i->plugin->conf_size);
	schema_decode(p->a, rows, secrets_resolve(p->a, p->config, rows, c->config), i->conf);
	if (i->plugin->prepare)
		TRY(i->plugin->prepare(p->a, i->conf), "plugin " STRF " (" STRF ")", STRV(c->name),
		    STRV(uuid_str(p->scratch, c->id)));
	*ret = i;
	return NULL;
}

static struct plugin_group *group_of(struct planner *p, const struct plugin *plugin)
{
	struct plugin_group *g;

	vec_for_each (&p->groups, struct plugin_group *, at) {
		if ((*at)->plugin == plugin)
			return *at;
	}
	g = NEW(p->a, struct plugin_group);
	g->plugin = plugin;
	*vec_add(p->scratch, &p->groups) = g;
	return g;
}

static void chain(struct arena *a, struct map *m, const uuid *id, struct plugin_instance *i)
{
	void **slot = map_put(a, m, id_key(id));

	i->next = *slot;
	*slot = i;
}

static void note(struct planner *p, struct plugin_instance *i)
{
	const struct plugin_config *c = i->entity;
	struct plugin_group *g = group_of(p, i->plugin);
	bool has_route = !uuid_is_none(c->route), has_service = !uuid_is_none(c->service);

	if (!uuid_is_none(c->consumer)) {
		chain(p->a, &g->by_consumer, &c->consumer, i);
		g->consumers++;
		p->has_global = true;
	} else if (has_route) {
		chain(p->a, &g->by_route, &c->route, i);
		*map_put(p->scratch, &p->routes, id_key(&c->route)) = p;
	} else if (has_service) {
		chain(p->a, &g->by_service, &c->service, i);
		*map_put(p->scratch, &p->services, id_key(&c->service)) = p;
	} else {
		g->global = i;
		p->has_global = true;
	}
}

static int by_priority(const void *x, const void *y)
{
	const struct plugin *a = (*(struct plugin_group *const *)x)->plugin;
	const struct plugin *b = (*(struct plugin_group *const *)y)->plugin;

	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	return strcmp(b->name, a->name);
}

struct err *planner_new(struct arena *a, struct arena *scratch, const struct config *config,
			enum subsystem subsystem, struct planner **ret)
{
	struct planner *p = NEW(scratch, struct planner);

	p->a = a;
	p->scratch = scratch;
	p->config = config;
	for (size_t i = 0; i < config->plugins.n; i++) {
		const struct plugin_config *c = &config->plugins.v[i];
		struct plugin_instance *made = NULL;

		PASS(check_enabled(c->name)); /* those that do not run, too */
		if (!c->enabled || !is_for(c, subsystem))
			continue;
		PASS(make_instance(p, c, &made));
		note(p, made);
	}
	if (p->groups.n)
		qsort(p->groups.v, p->groups.n, sizeof(*p->groups.v), by_priority);
	*ret = p;
	return NULL;
}

/* ---- choosing ----------------------------------------------------------------------------- */

/* The higher the better; 0: it is not for this request.  The consumer is right already. */
static int rank_of(const struct plugin_instance *i, const struct route *route,
		   const struct service *service)
{
	const struct plugin_config *c = i->entity;
	bool has_route = !uuid_is_none(c->route), has_service = !uuid_is_none(c->service);
	bool has_consumer = !uuid_is_none(c->consumer);

	if (has_route && (!route || !uuid_eq(c->route, route->id)))
		return 0;
	if (has_service && (!service || !uuid_eq(c->service, service->id)))
		return 0;
	if (has_consumer)
		return has_route && has_service ? 8 : has_route ? 7 : has_service ? 6 : 4;
	return has_route && has_service ? 5 : has_route ? 3 : has_service ? 2 : 1;
}

static const struct plugin_instance *better(const struct plugin_instance *list,
					    const struct plugin_instance *best,
					    const struct route *route,
					    const struct service *service)
{
	int rank = best ? rank_of(best, route, service) : 0;

	for (; list; list = list->next) {
		int other = rank_of(list, route, service);

		if (other > rank) {
			rank = other;
			best = list;
		}
	}
	return best;
}

const struct plugin_instance *plan_choose(const struct plan_slot *slot, const struct route *route,
					  const struct service *service,
					  const struct consumer *consumer)
{
	const struct plugin_instance *list;

	if (!consumer || !slot->has_consumers)
		return slot->own;
	list = map_find(&slot->group->by_consumer, id_key(&consumer->id));
	return better(list, slot->own, route, service);
}

/* ---- plans ---------------------------------------------------------------------------------- */

static const struct plan *make_plan(struct planner *p, const struct route *route,
				    const struct service *service)
{
	struct plan *plan = NEW(p->a, struct plan);

	plan->v = NEWS(p->a, struct plan_slot, p->groups.n);
	vec_for_each (&p->groups, struct plugin_group *, at) {
		const struct plugin_group *g = *at;
		const struct plugin_instance *own = g->global;

		if (service)
			own = better(map_find(&g->by_service, id_key(&service->id)), own, route,
				     service);
		if (route)
			own = better(map_find(&g->by_route, id_key(&route->id)), own, route,
				     service);
		if (!own && !g->consumers)
			continue;
		plan->v[plan->n++] = (struct plan_slot){ g, g->plugin, own, g->consumers > 0 };
		plan->has_tracing |= g->plugin->traces;
		for (int phase = 0; phase < PHASES; phase++)
			plan->phases |= (unsigned)(g->plugin->on[phase] != NULL) << phase;
	}
	return plan->n ? plan : NULL;
}

static const struct plan *global_plan(struct planner *p)
{
	if (!p->global && p->has_global)
		p->global = make_plan(p, NULL, NULL);
	return p->global;
}

bool planner_has_tracing(const struct planner *p)
{
	for (size_t i = 0; i < p->groups.n; i++) {
		if (p->groups.v[i]->plugin->traces)
			return true;
	}
	return false;
}

const struct plan *planner_plan(struct planner *p, const struct route *route,
				const struct service *service)
{
	void **shared;

	if (!p->groups.n)
		return NULL;
	if (route && map_find(&p->routes, id_key(&route->id)))
		return make_plan(p, route, service);
	if (!service || !map_find(&p->services, id_key(&service->id)))
		return global_plan(p);
	shared = map_put(p->scratch, &p->of_services, id_key(&service->id));
	if (!*shared)
		*(const struct plan **)shared = make_plan(p, NULL, service);
	return *shared;
}
