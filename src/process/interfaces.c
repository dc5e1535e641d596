/* SPDX-License-Identifier: Apache-2.0 */
#include "process/interfaces.h"

#include "admin/admin.h"
#include "control/lookup.h"
#include "control/plugin_table.h"
#include "process/openers.h"
#include "store/sql/store.h"
#include <stdio.h>
#include <unistd.h>

#define NAMES_MS 3000 /* how long an answer about health waits for DNS */

/* One of the two: its server and its log. */
struct face {
	struct interfaces *home;
	struct api_server *server;
	struct access_log *log;
	struct tls_context *tls;
};

struct interfaces {
	struct plugin_node_hooks hooks;
	struct admin_context context;
	struct admin *admin;
	struct configuration *configuration;
	struct counters *counters;
	struct face faces[2]; /* Admin, Status */
};

/* ---- what admin/ asks ------------------------------------------------------------------ */

static struct err *apply(void *p, struct declarative_config *d)
{
	struct interfaces *i = p;

	return configuration_apply(i->configuration, d);
}

/* Resident bytes of this process; /proc/self/statm counts pages. */
static uint64_t resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t sum(struct interfaces *i, enum counter which)
{
	int64_t n = counters_sum(i->counters, which);

	return n > 0 ? (uint64_t)n : 0;
}

/* The two servers' own connections count too, as in nginx. */
static void add_servers(struct interfaces *i, struct admin_status *ret)
{
	for (int k = 0; k < 2; k++) {
		struct api_server_counts n;

		if (!i->faces[k].server)
			continue;
		n = api_server_counts(i->faces[k].server);
		ret->connections_active += (uint64_t)n.connections;
		ret->connections_writing += (uint64_t)n.busy;
		ret->connections_waiting += (uint64_t)(n.connections - n.busy);
		ret->connections_accepted += n.accepted;
		ret->connections_handled += n.accepted - n.refused;
		ret->total_requests += n.requests;
	}
}

/* Does the database answer?  Without one there is nothing to reach. */
static bool is_reachable(struct interfaces *i)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct store *s = i->context.store;
	struct db_error err = { 0 };

	s->kind->find_by(s, a, entity_find(STR("workspaces")), "name", STR("default"), &err);
	return err.code == DB_OK;
}

static size_t zones(void *p, struct node_zone ret[NODE_ZONES])
{
	struct interfaces *i = p;
	struct lookup *l = configuration_lookup(i->configuration);
	struct cache_stats s;

	if (!l)
		return 0;
	s = entity_cache_stats(lookup_cache(l));
	ret[0] = (struct node_zone){ "kong_db_cache", s.bytes, s.bytes_most };
	ret[1] = (struct node_zone){ "kong_db_cache_miss", s.missing_bytes, s.missing_bytes_most };
	return 2;
}

static void status(void *p, struct admin_status *ret)
{
	struct interfaces *i = p;
	struct held_config *held CLEANUP(held_config_drop) = configuration_hold(i->configuration);
	uint64_t waiting = sum(i, COUNTER_WAITING), writing = sum(i, COUNTER_WRITING);

	*ret = (struct admin_status){
		.connections_active = sum(i, COUNTER_ACTIVE),
		.connections_writing = writing,
		.connections_waiting = waiting,
		.connections_accepted = sum(i, COUNTER_ACCEPTED),
		.connections_handled = sum(i, COUNTER_HANDLED),
		.total_requests = sum(i, COUNTER_REQUESTS),
		.worker_bytes = resident_bytes(),
		.is_database_reachable = is_reachable(i),
		.has_hash = i->context.settings->database_kind == DATABASE_OFF,
	};
	if (ret->connections_active > waiting + writing)
		ret->connections_reading = ret->connections_active - waiting - writing;
	ret->n_zones = zones(i, ret->zones);
	add_servers(i, ret);
	memcpy(ret->configuration_hash, held->config.hash, sizeof(ret->configuration_hash));
}

static void let_go(void *p)
{
	struct held_config *held = p;

	held_config_drop(&held);
}

/* A balancer of that upstream, in a: what lasts of it is found by its identity, so it
 * knows all that those of the snapshot know.  NULL: there is no such upstream. */
static struct balancer *balancer_of(struct interfaces *i, struct arena *a, uuid id,
				    const struct config **ret)
{
	struct held_config *held = configuration_hold(i->configuration);
	const struct config *config = &held->config;
	const struct target **targets;
	const struct upstream *u = NULL;
	size_t n = 0;

	arena_on_end(a, let_go, held);
	*ret = config;
	for (size_t k = 0; k < config->upstreams.n && !u; k++) {
		if (uuid_eq(config->upstreams.v[k].id, id))
			u = &config->upstreams.v[k];
	}
	targets = NEWS(a, const struct target *, config->targets.n + 1);
	for (size_t k = 0; k < config->targets.n; k++) {
		if (uuid_eq(config->targets.v[k].upstream, id))
			targets[n++] = &config->targets.v[k];
	}
	if (!u)
		return NULL;
	return balancer_of_upstream(a, configuration_balancers(i->configuration), u, targets, n);
}

/* The same, and its names have been asked for. */
static struct balancer *known_balancer_of(struct interfaces *i, struct arena *a, uuid id,
					  const struct config **ret) SUSPENDS;

static struct balancer *known_balancer_of(struct interfaces *i, struct arena *a, uuid id,
					  const struct config **ret)
{
	struct balancer *b = balancer_of(i, a, id, ret);

	if (b)
		balancer_learn(b, a, deadline_in(NAMES_MS));
	return b;
}

/* An IPv6 address in brackets, as it stands before a port. */
static str before_port(struct arena *a, str host)
{
	bool is_bare = str_find(host, ':', 0) >= 0 && host.s[0] != '[';

	return is_bare ? str_fmt(a, "[" STRF "]", STRV(host)) : host;
}

static struct err *mark(struct interfaces *i, struct arena *a, const struct balance_mark *m)
	SUSPENDS;
static struct err *mark(struct interfaces *i, struct arena *a, const struct balance_mark *m)
{
	const struct config *config;

	known_balancer_of(i, a, m->upstream,
			  &config); /* so that there is one, that has addresses */
	return balance_mark(configuration_balancers(i->configuration), m);
}

/* To the other nodes, in Kong's words: host|ip|port|health|upstream id|upstream name. */
static struct err *tell_mark(struct interfaces *i, struct arena *a, const struct balance_mark *m)
{
	struct held_config *held CLEANUP(held_config_drop) = configuration_hold(i->configuration);
	str name = STR("");

	for (size_t k = 0; k < held->config.upstreams.n; k++) {
		if (uuid_eq(held->config.upstreams.v[k].id, m->upstream))
			name = held->config.upstreams.v[k].name;
	}
	return store_sql_broadcast(i->context.store, a, "balancer:post_health",
				   str_fmt(a, STRF "|" STRF "|%u|%d|" STRF "|" STRF,
					   STRV(before_port(a, m->host)), STRV(m->ip), m->port,
					   m->is_healthy, STRV(uuid_str(a, m->upstream)),
					   STRV(name)));
}

static struct err *set_health(void *p, uuid upstream, str target, str address, bool is_healthy)
{
	struct interfaces *i = p;
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct balance_mark m = balance_mark_of(a, upstream, target, address, is_healthy);
	struct err *e;

	PASS(mark(i, a, &m));
	e = i->context.broadcast ? tell_mark(i, a, &m) : NULL; /* with a database */
	return e ? FAIL(e->code, STRF, STRV(err_line(a, e))) : NULL;
}

static struct value *targets_health(void *p, struct arena *a, uuid upstream)
{
	const struct config *config = NULL;
	struct balancer *b = known_balancer_of(p, a, upstream, &config);
	struct value *all = value_object(a);

	for (size_t k = 0; b && k < config->targets.n; k++) {
		const struct target *t = &config->targets.v[k];
		struct value *one, *data;

		if (!uuid_eq(t->upstream, upstream))
			continue;
		one = value_object(a);
		value_set(a, one, STR("health"),
			  value_text(a, balancer_target_health(a, b, t->target, &data)));
		value_set(a, one, STR("data"), data);
		value_set(a, all, t->target, one);
	}
	return b ? all : NULL;
}

static struct value *upstream_health(void *p, struct arena *a, uuid upstream)
{
	const struct config *config;
	struct balancer *b = known_balancer_of(p, a, upstream, &config);

	return b ? balancer_health(a, b) : NULL;
}

/* ---- what pages of plugins ask ------------------------------------------------------------ */

static void figures(void *p, struct node_figures *ret)
{
	struct loop_stats loop = loop_stats(loop_self());
	struct admin_status s;

	status(p, &s);
	*ret = (struct node_figures){
		.connections_active = s.connections_active,
		.connections_reading = s.connections_reading,
		.connections_writing = s.connections_writing,
		.connections_waiting = s.connections_waiting,
		.connections_accepted = s.connections_accepted,
		.connections_handled = s.connections_handled,
		.requests = s.total_requests,
		.worker_bytes = s.worker_bytes,
		.timers_running = loop.fibers,
		.is_database_reachable = s.is_database_reachable,
	};
}

static struct value *all_targets(void *p, struct arena *a)
{
	struct interfaces *i = p;
	struct held_config *held CLEANUP(held_config_drop) = configuration_hold(i->configuration);
	struct value *all = value_object(a);

	for (size_t k = 0; k < held->config.upstreams.n; k++) {
		const struct upstream *u = &held->config.upstreams.v[k];
		struct value *targets = targets_health(p, a, u->id);

		if (targets)
			value_append(a, all, str_copy(a, u->name), targets);
	}
	return all;
}

static bool uses(void *p, const char *plugin)
{
	struct interfaces *i = p;
	struct held_config *held CLEANUP(held_config_drop) = configuration_hold(i->configuration);

	for (size_t k = 0; k < held->config.plugins.n; k++) {
		const struct plugin_config *c = &held->config.plugins.v[k];

		if (c->enabled && str_is(c->name, plugin))
			return true;
	}
	return false;
}

static struct value *configurations(void *p, struct arena *a, const char *plugin)
{
	struct interfaces *i = p;
	struct held_config *held CLEANUP(held_config_drop) = configuration_hold(i->configuration);
	struct value *all = value_array(a);

	for (size_t k = 0; k < held->config.plugins.n; k++) {
		const struct plugin_config *c = &held->config.plugins.v[k];
		struct value *one;

		if (!str_is(c->name, plugin))
			continue;
		one = value_object(a);
		value_set(a, one, STR("id"), value_str(a, uuid_str(a, c->id)));
		value_set(a, one, STR("config"), value_copy(a, c->config));
		value_set(a, one, STR("enabled"), value_bool(a, c->enabled));
		value_add(a, all, one);
	}
	return all;
}

/* What the cache of entities knows; true: it does. */
static bool cache_find(void *p, struct arena *a, str key, struct value **ret)
{
	struct interfaces *i = p;
	struct lookup *l = configuration_lookup(i->configuration);
	struct cached *found = NULL;

	if (!l || entity_cache_peek(lookup_cache(l), key, loop_now_ms(), &found) != CACHE_GOOD) {
		cached_drop(&found);
		return false;
	}
	*ret = found->n || found->doc->kind == VALUE_ARRAY ? value_copy(a, found->doc) : NULL;
	cached_drop(&found);
	return true;
}

static void cache_forget(void *p, str key)
{
	configuration_forget(((struct interfaces *)p)->configuration, key);
}

static struct err *broadcast(void *p, const char *channel, str data)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct interfaces *i = p;
	struct err *e = store_sql_broadcast(i->context.store, a, channel, data);

	return e ? FAIL(e->code, STRF, STRV(err_line(a, e))) : NULL;
}

/* Levels go by nginx's numbers, in which LOG_EMERG_ is 1. */
static void hear_log_level(str data)
{
	int64_t number;

	if (!str_to_int(data, &number) || number < 1 || number > LOG_DEBUG_ + 1)
		return;
	log_notice("another node sets the log level to %s",
		   log_level_name((enum log_level)(number - 1)));
	log_set_level((enum log_level)(number - 1));
}

/* "host|ip|port|health|upstream id|upstream name"; ip may be empty. */
static void hear_health(struct interfaces *i, str data) SUSPENDS;
static void hear_health(struct interfaces *i, str data)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str words[6] = { { 0 } }, host, ip, port;
	struct balance_mark m;
	struct err *e;
	uuid upstream;

	for (size_t k = 0; k < COUNT(words) && str_next(&data, '|', &words[k]); k++)
		continue;
	if (!uuid_parse(words[4], &upstream))
		return;
	host = before_port(a, words[0]);
	ip = words[1].n ? before_port(a, words[1]) : STR("");
	port = words[2];
	m = balance_mark_of(a, upstream, str_fmt(a, STRF ":" STRF, STRV(host), STRV(port)),
			    ip.n ? str_fmt(a, STRF ":" STRF, STRV(ip), STRV(port)) : ip,
			    str_is(words[3], "1"));
	e = mark(i, a, &m);
	if (e)
		log_err(LOG_ERROR_, e, "health of " STRF " as another node marked it",
			STRV(words[5]));
	err_forget();
}

/* Words of other nodes. */
static void heard(void *p, str channel, str data)
{
	if (str_is(channel, "log_level"))
		hear_log_level(data);
	else if (str_is(channel, "balancer:post_health"))
		hear_health(p, data);
	else
		plugins_hear(channel, data);
}

static void log_reply(void *p, const struct api_request *r, const struct api_reply *reply,
		      const struct api_sent *sent)
{
	struct face *f = p;
	struct access_record record = {
		.client = r->client,
		.peer = r->client,
		.request = r->head,
		.status = reply->status,
		.bytes_sent = sent->head_bytes + sent->body_bytes,
		.body_bytes_sent = sent->body_bytes,
		.request_length = sent->request_bytes,
		.started_ms = sent->started_wall_ms,
		.request_time_ms = sent->took_ms,
		.upstream_connect_ms = -1,
		.upstream_header_ms = -1,
		.upstream_response_ms = -1,
		.connection = r->connection,
		.connection_requests = sent->connection_requests,
		.reply_headers = &reply->headers,
	};

	if (!f->log)
		return;
	if (r->head) {
		const char *start = r->head->method_name.s;
		const char *end = r->head->target.s + r->head->target.n + sizeof(" HTTP/1.x") - 1;

		record.request_line = str_at(start, (size_t)(end - start));
		record.host = r->head->host;
	}
	access_log_write(f->log, &record);
}

static void handle_admin(void *p, struct api_request *r, struct api_reply *reply)
{
	admin_handle(((struct face *)p)->home->admin, r, reply);
}

static void handle_status(void *p, struct api_request *r, struct api_reply *reply)
{
	admin_handle_status(((struct face *)p)->home->admin, r, reply);
}

/* ---- opening ---------------------------------------------------------------------------- */

struct face_kind {
	enum listener_role role;
	const char *name;
	void (*handle)(void *arg, struct api_request *, struct api_reply *);
};

static const struct face_kind kinds[2] = {
	{ .role = LISTEN_ADMIN, .name = "admin", .handle = handle_admin },
	{ .role = LISTEN_STATUS, .name = "status", .handle = handle_status },
};

static struct err *open_face(struct arena *a, const struct worker_start *start, int which,
			     struct face *f)
{
	const struct settings *s = start->settings;
	bool is_admin = which == 0;
	struct api_server_options o = {
		.name = kinds[which].name,
		.tuning = is_admin ? &s->admin_http : &s->status_http,
		.handle = kinds[which].handle,
		.log = log_reply,
		.arg = f,
	};

	if (is_admin ? s->admin_ssl_enabled : s->status_ssl_enabled)
		PASS(open_server_tls(s, SUBSYSTEM_HTTP,
				     is_admin ? "admin_ssl_cert" : "status_ssl_cert",
				     is_admin ? &s->admin_ssl_certs : &s->status_ssl_certs, NULL,
				     NULL, false, &f->tls));
	o.tls = f->tls;
	PASS(open_access_log(a, s, is_admin ? "admin_access_log" : "status_access_log",
			     is_admin ? &s->admin_access : &s->status_access, 1, &f->log));
	f->server = api_server_new(&o);
	for (size_t i = 0; i < start->n_listeners; i++) {
		const struct worker_listener *l = &start->listeners[i];

		for (size_t k = 0; l->role == kinds[which].role && k < l->n_fds; k++)
			api_server_listen(f->server, l->fds[k], l->listener->ssl);
	}
	return NULL;
}

struct err *interfaces_new(struct arena *a, const struct worker_start *start,
			   struct configuration *configuration, struct counters *counters,
			   const struct node_name *name, struct interfaces **ret)
{
	struct interfaces *i = NEW(a, struct interfaces);

	i->configuration = configuration;
	i->counters = counters;
	i->context = (struct admin_context){
		.settings = start->settings,
		.store = configuration_store(configuration),
		.node_id = name->id,
		.hostname = name->host,
		.master_pid = start->supervisor,
		.worker_pid = getpid(),
		.apply = apply,
		.status = status,
		.targets_health = targets_health,
		.balancer_health = upstream_health,
		.cache_find = cache_find,
		.cache_forget = cache_forget,
		.set_health = set_health,
		.arg = i,
	};
	if (start->settings->database_kind != DATABASE_OFF)
		i->context.broadcast = broadcast;
	configuration_listen(configuration, heard, i);
	i->admin = admin_new(a, &i->context);
	i->hooks = (struct plugin_node_hooks){
		.figures = figures,
		.targets = all_targets,
		.uses = uses,
		.zones = zones,
		.plugins = configurations,
		.tell = i->context.broadcast,
		.arg = i,
	};
	plugins_ask(&i->hooks);
	*ret = i;
	for (int k = 0; k < 2; k++) {
		i->faces[k].home = i;
		PASS(open_face(a, start, k, &i->faces[k]));
	}
	return NULL;
}

void interfaces_stop(struct interfaces *i, deadline until)
{
	for (int k = 0; k < 2; k++) {
		if (i->faces[k].server)
			api_server_stop(i->faces[k].server, until);
	}
}

void interfaces_drop(struct interfaces **ref)
{
	struct interfaces *i = *ref;

	if (!i)
		return;
	*ref = NULL;
	plugins_ask(NULL);
	for (int k = 0; k < 2; k++) {
		api_server_drop(&i->faces[k].server);
		tls_context_drop(&i->faces[k].tls);
		if (i->faces[k].log)
			access_log_close(&i->faces[k].log);
	}
}

struct err *interfaces_reopen_logs(struct interfaces *i)
{
	for (int k = 0; k < 2; k++) {
		if (i->faces[k].log)
			PASS(access_log_reopen(i->faces[k].log));
	}
	return NULL;
}

void interfaces_tick(struct interfaces *i)
{
	for (int k = 0; k < 2; k++) {
		if (i->faces[k].log)
			access_log_tick(i->faces[k].log);
	}
}
