/* SPDX-License-Identifier: Apache-2.0 */
/* What a node says of itself: GET /, /status, /endpoints, /timers, caches, log level. */
#include "admin/priv.h"
#include <math.h>

#include "base/contract.h"
#include "base/map.h"
#include "model/plugin_schema.h"

static void set(struct call *c, struct value *object, const char *key, struct value *v)
{
	value_set(c->a, object, str_of(key), v);
}

static void set_int(struct call *c, struct value *object, const char *key, int64_t i)
{
	set(c, object, key, value_int(c->a, i));
}

/* ---- GET / ------------------------------------------------------------------------------ */

static struct value *available_plugins(struct call *c)
{
	struct value *all = value_object(c->a);
	const struct plugin_schema *p;

	for (size_t i = 0; (p = plugin_schema_at(i)); i++) {
		struct value *v = value_object(c->a);

		set(c, v, "version", value_text(c->a, p->version));
		set_int(c, v, "priority", p->priority);
		set(c, all, p->name, v);
	}
	return all;
}

/* Names of the plugins in use, each once; NULL: the store failed, answered. */
static struct value *enabled_plugins(struct call *c)
{
	const struct entity *e = entity_find(STR("plugins"));
	struct store *s = c->context->store;
	struct value *names = value_array(c->a);
	struct page_query q = { .size = 1000 };
	struct db_error err = { 0 };
	struct map seen = { 0 };
	struct page page;

	do {
		if (!s->kind->page(s, c->a, e, &q, &page, &err)) {
			answer_error(c, &err);
			return NULL;
		}
		for (uint32_t i = 0; i < page.data->n; i++) {
			struct value *name = value_get(page.data->items[i], "name");
			void **slot = map_put(c->a, &seen, name->s);

			if (!*slot)
				value_add(c->a, names, name);
			*slot = name;
		}
		q.offset = page.offset;
	} while (page.offset.n);
	return names;
}

static struct value *pids(struct call *c)
{
	struct value *v = value_object(c->a), *workers = value_array(c->a);

	value_add(c->a, workers, value_int(c->a, c->context->worker_pid));
	set_int(c, v, "master", c->context->master_pid);
	set(c, v, "workers", workers);
	return v;
}

/* Fibers are to us what timers are to Kong: what runs in the background. */
static struct value *timers(struct call *c)
{
	struct value *v = value_object(c->a);

	set_int(c, v, "running", loop_self() ? loop_stats(loop_self()).fibers : 0);
	set_int(c, v, "pending", 0);
	return v;
}

static void root_get(struct call *c)
{
	struct value *v = value_object(c->a), *plugins = value_object(c->a);
	struct value *configuration = settings_value(c->a, c->context->settings);
	struct value *enabled = enabled_plugins(c), *gibbon = value_object(c->a);

	if (!enabled)
		return;
	set(c, plugins, "available_on_server", available_plugins(c));
	set(c, plugins, "enabled_in_cluster", enabled);
	set(c, configuration, "log_level", value_text(c->a, log_level_name(log_get_level())));
	set(c, gibbon, "version", value_text(c->a, GIBBON_VERSION));
	set(c, v, "tagline", value_text(c->a, "Welcome to kong"));
	set(c, v, "version", value_text(c->a, CONTRACT_VERSION));
	set(c, v, "gibbon", gibbon);
	set(c, v, "hostname", value_str(c->a, c->context->hostname));
	set(c, v, "node_id", value_str(c->a, uuid_str(c->a, c->context->node_id)));
	set(c, v, "lua_version", value_text(c->a, "none"));
	set(c, v, "timers", timers(c));
	set(c, v, "pids", pids(c));
	set(c, v, "plugins", plugins);
	set(c, v, "configuration", configuration);
	answer_value(c, 200, v);
}

/* ---- GET /status ---------------------------------------------------------------------------- */

struct unit {
	double divisor; /* 0: plain bytes */
	const char *name;
	int scale;
};

/* ?unit=b|k|m|g&scale=n; false: answered. */
static bool read_unit(struct call *c, struct unit *ret)
{
	str unit = call_query(c, "unit"), scale = call_query(c, "scale");
	double digits;

	*ret = (struct unit){ .divisor = 0x1p20, .name = "MiB", .scale = 2 };
	if (scale.s && str_to_num(scale, &digits)) {
		if (digits < 0) {
			answer_message(c, 400, "scale must be equal or greater than 0");
			return false;
		}
		ret->scale = digits < 20 ? (int)digits : 20;
	}
	if (!unit.s || str_is_ci(unit, "m"))
		return true;
	if (unit.n == 0 || str_is_ci(unit, "b")) {
		ret->divisor = 0;
	} else if (str_is_ci(unit, "k")) {
		ret->divisor = 0x1p10;
		ret->name = "KiB";
	} else if (str_is_ci(unit, "g")) {
		ret->divisor = 0x1p30;
		ret->name = "GiB";
	} else {
		answer_message(c, 400, "invalid unit '" STRF "' (expected 'k/K', 'm/M', or 'g/G')",
			       STRV(unit));
		return false;
	}
	return true;
}

static struct value *bytes(struct call *c, const struct unit *u, uint64_t n)
{
	if (u->divisor == 0)
		return value_int(c->a, (int64_t)n);
	return value_str(c->a, str_fmt(c->a, "%.*f %s", u->scale, (double)n / u->divisor, u->name));
}

static struct value *memory(struct call *c, const struct unit *u, const struct admin_status *status)
{
	struct value *v = value_object(c->a), *workers = value_array(c->a), *worker;
	struct value *zones = value_object(c->a);

	worker = value_object(c->a);
	set(c, worker, "http_allocated_gc", bytes(c, u, status->worker_bytes));
	set_int(c, worker, "pid", c->context->worker_pid);
	value_add(c->a, workers, worker);
	for (size_t i = 0; i < status->n_zones; i++) {
		struct value *zone = value_object(c->a);

		set(c, zone, "allocated_slabs", bytes(c, u, status->zones[i].used_bytes));
		set(c, zone, "capacity", bytes(c, u, status->zones[i].size_bytes));
		set(c, zones, status->zones[i].name, zone);
	}
	set(c, v, "workers_lua_vms", workers);
	set(c, v, "lua_shared_dicts", zones);
	return v;
}

static struct value *server(struct call *c, const struct admin_status *s)
{
	struct value *v = value_object(c->a);

	set_int(c, v, "connections_active", (int64_t)s->connections_active);
	set_int(c, v, "connections_reading", (int64_t)s->connections_reading);
	set_int(c, v, "connections_writing", (int64_t)s->connections_writing);
	set_int(c, v, "connections_waiting", (int64_t)s->connections_waiting);
	set_int(c, v, "connections_accepted", (int64_t)s->connections_accepted);
	set_int(c, v, "connections_handled", (int64_t)s->connections_handled);
	set_int(c, v, "total_requests", (int64_t)s->total_requests);
	return v;
}

static void status_get(struct call *c)
{
	struct value *v = value_object(c->a), *database = value_object(c->a);
	struct admin_status *status = NEW(c->a, struct admin_status);
	struct unit unit;

	if (!read_unit(c, &unit))
		return;
	status->is_database_reachable = true;
	if (c->context->status)
		c->context->status(c->context->arg, status);
	set(c, v, "server", server(c, status));
	set(c, v, "memory", memory(c, &unit, status));
	set(c, database, "reachable", value_bool(c->a, status->is_database_reachable));
	set(c, v, "database", database);
	if (status->has_hash)
		set(c, v, "configuration_hash", value_text(c->a, status->configuration_hash));
	answer_value(c, 200, v);
}

/* ---- the rest --------------------------------------------------------------------------------- */

static void endpoints_get(struct call *c)
{
	struct value *v = value_object(c->a), *data = value_array(c->a);

	for (size_t i = 0; i < c->admin->n; i++) {
		str rest = str_from(str_of(c->admin->v[i].path), 1), piece, path = STR("");

		if (str_is(str_of(c->admin->v[i].path), "/robots.txt"))
			continue; /* a file beside the API */
		while (str_next(&rest, '/', &piece)) {
			if (piece.n && piece.s[0] == ':')
				path = str_fmt(c->a, STRF "/{" STRF "}", STRV(path),
					       STRV(str_from(piece, 1)));
			else
				path = str_fmt(c->a, STRF "/" STRF, STRV(path), STRV(piece));
		}
		value_add(c->a, data, value_str(c->a, path));
	}
	set(c, v, "data", data);
	answer_value(c, 200, v);
}

static void timers_get(struct call *c)
{
	struct value *v = value_object(c->a), *worker = value_object(c->a);
	struct value *stats = value_object(c->a), *sys = value_object(c->a);
	struct value *flame = value_object(c->a);
	struct loop_stats loop = { 0 };

	if (loop_self())
		loop = loop_stats(loop_self());
	set_int(c, worker, "id", 0);
	set_int(c, worker, "count", 1);
	set_int(c, sys, "total", loop.fibers);
	set_int(c, sys, "running", loop.fibers);
	set_int(c, sys, "pending", 0);
	set_int(c, sys, "waiting", 0);
	set_int(c, sys, "runs", (int64_t)loop.switches);
	set(c, flame, "running", value_text(c->a, ""));
	set(c, flame, "pending", value_text(c->a, ""));
	set(c, flame, "elapsed_time", value_text(c->a, ""));
	set(c, stats, "sys", sys);
	set(c, stats, "timers", value_object(c->a));
	set(c, stats, "flamegraph", flame);
	set(c, v, "worker", worker);
	set(c, v, "stats", stats);
	answer_value(c, 200, v);
}

/* Local stores are in the snapshot: nothing is cached, and forgetting it is done at once. */
static void forget(struct call *c, str key)
{
	const struct admin_context *x = c->context;

	if (x->cache_forget)
		x->cache_forget(x->arg, key);
	answer_empty(c, 204);
}

static void cache_delete(struct call *c)
{
	forget(c, STR("*"));
}

static void cache_key_delete(struct call *c)
{
	forget(c, c->params[0]);
}

static void cache_key_get(struct call *c)
{
	const struct admin_context *x = c->context;
	struct value *v = NULL;

	if (!x->cache_find || !x->cache_find(x->arg, c->a, c->params[0], &v))
		answer_not_found(c);
	else
		answer_value(c, 200, v ? v : value_object(c->a));
}

static void log_level_get(struct call *c)
{
	answer_message(c, 200, "log level: %s", log_level_name(log_get_level()));
}

static void put_log_level(struct call *c, bool is_for_all)
{
	const struct admin_context *x = c->context;
	enum log_level level;
	struct err *e = NULL;

	if (c->context->settings->database_kind == DATABASE_OFF) {
		answer_message(c, 405, "cannot change log level when not using a database");
		return;
	}
	if (!log_level_of(c->params[0], &level)) {
		answer_message(c, 400, "unknown log level: " STRF, STRV(c->params[0]));
		return;
	}
	if (level == log_get_level()) {
		answer_message(c, 200, "log level is already " STRF, STRV(c->params[0]));
		return;
	}
	log_set_level(level);
	if (is_for_all && x->broadcast)
		e = x->broadcast(x->arg, "log_level", str_fmt(c->a, "%d", (int)level + 1));
	if (e)
		answer_message(c, 500, "failed broadcasting to cluster: %s", e->text);
	else
		answer_message(c, 200, "log level changed");
}

static void log_level_put(struct call *c)
{
	put_log_level(c, false);
}

static void cluster_log_level_put(struct call *c)
{
	put_log_level(c, true);
}

static void clustering_get(struct call *c)
{
	answer_message(c, 400,
		       "this endpoint is only available when Kong is configured to run "
		       "as Control Plane for the cluster");
}

static void robots_get(struct call *c)
{
	answer_empty(c, 200);
	c->reply->content_type = STR("text/plain");
	c->reply->body = STR("User-agent: *\nDisallow: /");
}

/* clang-format off */
const struct endpoint node_endpoints[] = {
	{ .path = "/",                                   .on = { [HTTP_GET] = root_get } },
	{ .path = "/status",                             .on = { [HTTP_GET] = status_get }, .is_on_status = true },
	{ .path = "/endpoints",                          .on = { [HTTP_GET] = endpoints_get } },
	{ .path = "/timers",                             .on = { [HTTP_GET] = timers_get } },
	{ .path = "/cache",                              .on = { [HTTP_DELETE] = cache_delete } },
	{ .path = "/cache/:key",                         .on = { [HTTP_GET] = cache_key_get,
	                                                         [HTTP_DELETE] = cache_key_delete } },
	{ .path = "/debug/node/log-level",               .on = { [HTTP_GET] = log_level_get } },
	{ .path = "/debug/node/log-level/:log_level",    .on = { [HTTP_PUT] = log_level_put } },
	{ .path = "/debug/cluster/log-level/:log_level", .on = { [HTTP_PUT] = cluster_log_level_put } },
	{ .path = "/clustering/data-planes",             .on = { [HTTP_GET] = clustering_get } },
	{ .path = "/clustering/status",                  .on = { [HTTP_GET] = clustering_get } },
	{ .path = "/robots.txt",                         .on = { [HTTP_GET] = robots_get } },
	{ NULL },
};
/* clang-format on */
