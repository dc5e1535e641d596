/* SPDX-License-Identifier: Apache-2.0 */
#include "process/configuration.h"

#include "base/log.h"
#include "base/mem.h"
#include "control/lookup.h"
#include "control/plugin_table.h"
#include "control/prober.h"
#include "process/database.h"
#include "process/declared.h"
#include "store/sql/store.h"
#include "usage/usage.h"

#define LEAST_POLL_MS 100
#define FOLLOW_MS     60000 /* how long a strict write waits to be served */
#define SWEEP_MS      60000
#define HEAR_MS       60000 /* one wait for a word of other nodes */

struct configuration {
	const struct settings *settings;
	struct current *current;
	struct balance_store *balancers;
	struct store *store;        /* NULL until a database is open */
	struct lookup *lookup;      /* of one that is too large to hold, or NULL */
	struct held_config *latest; /* what serves; NULL before the first */
	struct prober *prober;
	struct gate free; /* the way is free for the next */
	bool is_busy;

	/* Of a database: changes are counted, and followed by one fiber. */
	uint64_t changed, followed;
	bool is_blind; /* the last look for changes failed */
	void (*heard)(void *arg, str channel, str data);
	void *heard_arg;
	int64_t next_sweep_ms;
	struct gate to_follow, has_followed;
};

/* ---- checking ---------------------------------------------------------------------- */

static const char *check_expression(struct arena *a, str expression)
{
	struct err *e = route_check_expression(expression);

	return e ? err_line(a, e).s : NULL;
}

/* The rows that documents are checked by. */
struct err *configuration_rules(const struct settings *s)
{
	const struct entities_options o = { .router_flavor = s->router_flavor,
					    .check_expression = check_expression,
					    .more = plugins_entities() };

	PASS(plugins_enable(s));
	entities_start(&o);
	return NULL;
}

struct err *configuration_check(const struct settings *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct balance_store *balancers CLEANUP(balance_store_drop) = balance_store_new();
	struct declarative_config *d CLEANUP(declarative_drop) = NULL;
	struct snapshot *snap CLEANUP(snapshot_drop) = NULL; /* before its balancers */
	struct snapshot_input in = { .settings = s, .balancers = balancers };

	PASS(configuration_rules(s));
	if (s->database_kind != DATABASE_OFF)
		return NULL;
	PASS(declared_read(a, s, &d));
	in.config = declarative_config(d);
	return snapshot_new(&in, &snap);
}

/* ---- its life ---------------------------------------------------------------------------- */

struct err *configuration_new(const struct worker_start *start, struct current *current,
			      struct balance_store *balancers, struct configuration **ret)
{
	struct configuration *c;

	PASS(configuration_rules(start->settings));
	c = MEM_NEW(struct configuration);
	c->settings = start->settings;
	c->current = current;
	c->balancers = balancers;
	if (c->settings->database_kind == DATABASE_OFF)
		c->store = store_memory_new();
	c->prober = prober_new();
	gate_init(&c->free);
	gate_init(&c->to_follow);
	gate_init(&c->has_followed);
	*ret = c;
	return NULL;
}

void configuration_close(struct configuration *c)
{
	if (c && c->store)
		c->store->kind->drop(c->store);
	if (c)
		c->store = NULL;
}

void configuration_drop(struct configuration **ref)
{
	struct configuration *c = *ref;

	if (!c)
		return;
	*ref = NULL;
	prober_drop(&c->prober);
	held_config_drop(&c->latest);
	configuration_close(c);
	lookup_drop(&c->lookup);
	mem_free(c);
}

struct store *configuration_store(struct configuration *c)
{
	return c->store;
}

struct lookup *configuration_lookup(struct configuration *c)
{
	return c->lookup;
}

void configuration_listen(struct configuration *c, void (*heard)(void *arg, str channel, str data),
			  void *arg)
{
	c->heard = heard;
	c->heard_arg = arg;
}

struct balance_store *configuration_balancers(struct configuration *c)
{
	return c->balancers;
}

struct held_config *configuration_hold(struct configuration *c)
{
	return held_config_hold(c->latest);
}

void configuration_quieten(struct configuration *c)
{
	prober_stop(c->prober);
}

/* ---- the way of a change ------------------------------------------------------------- */

/* A job of the offload threads, and what came of it.  Its errors live on in a. */
struct job {
	struct configuration *c;
	struct arena *a;
	struct declarative_config *d;
	struct held_config *held;
	struct snapshot *snap;
	struct checkup *checkup; /* whom to probe */
	struct err *e;
};

static void keep_error(struct job *j, struct err *e)
{
	j->e = err_keep(j->a, e);
	err_forget();
}

static void read_job(void *p)
{
	struct job *j = p;

	keep_error(j, declared_read(j->a, j->c->settings, &j->d));
}

static void build_job(void *p)
{
	struct job *j = p;
	struct snapshot_input in = {
		.settings = j->c->settings,
		.balancers = j->c->balancers,
		.lookup = j->c->lookup,
		.source = j->held,
		.config = &j->held->config,
	};

	keep_error(j, snapshot_new(&in, &j->snap));
	if (!j->e)
		j->checkup = checkup_new(in.settings, in.balancers, j->held);
}

static void keep_job(void *p)
{
	struct job *j = p;

	keep_error(j, declared_keep(j->a, j->c->settings, j->d));
}

/* The error as the calling fiber's own. */
static struct err *own_error(const struct err *e, const char *doing)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct err *own;

	if (!e)
		return NULL;
	own = FAIL(e->code, "%s: " STRF, doing, STRV(err_line(a, e)));
	return e->hint ? err_hint(own, "%s", e->hint) : own;
}

static struct err *take_turn(struct configuration *c)
{
	while (c->is_busy) {
		if (gate_wait(&c->free, deadline_in(60000)) != WAIT_OK)
			return FAIL(ERR_TIMEOUT,
				    "the configuration before this one is still being loaded");
	}
	c->is_busy = true;
	return NULL;
}

static void end_turn(struct configuration *c)
{
	c->is_busy = false;
	gate_wake_one(&c->free);
}

/* Takes j->held when it serves. */
static struct err *build_and_publish(struct configuration *c, struct job *j)
{
	const struct config *config = &j->held->config;

	offload_long(build_job, j);
	if (j->e)
		return own_error(j->e, "cannot build the configuration, keeping the one in use");
	log_notice("configuration%s%s: %zu services, %zu routes, built in %lld ms", j->d ? " " : "",
		   j->d ? config->hash : "", config->services.n, config->routes.n,
		   (long long)j->snap->built_ms);
	current_publish(c->current, TAKE(j->snap));
	prober_follow(c->prober, &j->checkup);
	held_config_drop(&c->latest);
	c->latest = TAKE(j->held);
	if (j->d)
		store_memory_swap(c->store, j->d);
	return NULL;
}

static struct err *publish_declared(struct configuration *c, struct job *j)
{
	struct err *e;

	j->held = held_config_new();
	declarative_lend(j->held->arena, j->d, &j->held->config);
	e = build_and_publish(c, j);
	held_config_drop(&j->held);
	return e;
}

/* Everything that is in the store. */
static struct err *publish_stored(struct configuration *c)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct job j = { .c = c, .a = a, .held = held_config_new() };
	struct err *e = c->store->kind->load(c->store, j.held->arena, &j.held->config);

	if (e)
		e = own_error(e, "cannot read the configuration from the database");
	else
		e = build_and_publish(c, &j);
	held_config_drop(&j.held);
	return e;
}

/* ---- following a database -------------------------------------------------------------------- */

/* After a write of ours: served as soon as it can be, and when asked to be strict,
 * before the writer is answered. */
static void on_change(void *p)
{
	struct configuration *c = p;
	uint64_t mine = ++c->changed;
	deadline until = deadline_in(FOLLOW_MS);

	gate_wake_all(&c->to_follow);
	while (c->settings->is_worker_consistency_strict && c->followed < mine) {
		if (gate_wait(&c->has_followed, until) != WAIT_OK)
			return;
	}
}

static void on_forget(void *p, str key)
{
	struct configuration *c = p;

	if (c->lookup)
		lookup_forget(c->lookup, key);
}

static void on_word(void *p, str channel, str data)
{
	struct configuration *c = p;

	if (c->heard)
		c->heard(c->heard_arg, channel, data);
}

void configuration_forget(struct configuration *c, str key)
{
	if (c->settings->database_kind == DATABASE_OFF || !store_sql_forget(c->store, key))
		return;
	c->changed++;
	gate_wake_all(&c->to_follow);
}

static int64_t poll_ms(const struct configuration *c)
{
	double ms = c->settings->db_update_frequency * 1000;

	return ms > LEAST_POLL_MS ? (int64_t)ms : LEAST_POLL_MS;
}

/* Others write to the same database; what went wrong the last time is tried again. */
static void look_for_changes(struct configuration *c, bool has_failed)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	bool has_changed = false;
	struct err *e = store_sql_poll(c->store, a, &has_changed);

	if (e && !c->is_blind)
		log_err(LOG_ERROR_, e, "cannot look for changes in the database, trying on");
	if (!e && c->is_blind)
		log_notice("changes in the database can be seen again");
	c->is_blind = e != NULL;
	err_forget();
	if (has_changed || has_failed)
		c->changed++;
}

/* What has outlived its ttl goes, once in a while. */
static void sweep(struct configuration *c)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	bool has_more = false;
	struct err *e;

	if (loop_now_ms() < c->next_sweep_ms)
		return;
	e = store_sql_sweep(c->store, a, &has_more);
	c->next_sweep_ms = loop_now_ms() + (has_more ? 0 : SWEEP_MS);
	if (!e)
		e = usage_sweep(store_sql_database(c->store), a);
	if (e)
		log_err(LOG_WARN_, e, "cannot delete what has expired");
	err_forget();
}

static bool follow_once(struct configuration *c)
{
	uint64_t target = c->changed;
	struct err *e = take_turn(c);

	if (!e) {
		e = publish_stored(c);
		end_turn(c);
	}
	if (e)
		log_err(LOG_ERROR_, e, "a change is not served yet");
	err_forget();
	c->followed = target;
	gate_wake_all(&c->has_followed);
	return !e;
}

/* Changes that come while one is built are built together; between two builds there is
 * as much time as a build takes, so that a flood of writes leaves room for others. */
static void follow(void *p)
{
	struct configuration *c = p;
	bool has_failed = false;

	for (;;) {
		int64_t began = loop_now_ms();
		enum wait w = WAIT_OK;

		while (c->changed == c->followed && w == WAIT_OK)
			w = gate_wait(&c->to_follow, deadline_in(poll_ms(c)));
		if (w == WAIT_TIMEOUT) {
			look_for_changes(c, has_failed);
			sweep(c);
		}
		if (w == WAIT_CANCELLED || fiber_is_cancelled())
			return;
		if (c->changed == c->followed)
			continue;
		began = loop_now_ms();
		has_failed = !follow_once(c);
		if (c->settings->is_worker_consistency_strict)
			continue;
		if (fiber_sleep(2 * loop_now_ms() - began) == WAIT_CANCELLED)
			return;
	}
}

/* Other nodes may say at once when they write. */
static void hear(void *p)
{
	struct configuration *c = p;
	bool was_heard, is_well = true;

	for (;;) {
		struct err *e = store_sql_wait(c->store, deadline_in(HEAR_MS), &was_heard);

		if (fiber_is_cancelled())
			return;
		if (e && is_well)
			log_err(LOG_WARN_, e,
				"cannot listen to other nodes, looking for changes "
				"meanwhile");
		is_well = !e;
		err_forget();
		if (was_heard) {
			look_for_changes(c, false);
			gate_wake_all(&c->to_follow);
		} else if (!is_well && fiber_sleep(deadline_in(poll_ms(c))) == WAIT_CANCELLED) {
			return;
		}
	}
}

static struct err *start_stored(struct configuration *c)
{
	const struct store_watch watch = {
		.changed = on_change,
		.forget = on_forget,
		.heard = on_word,
		.channels = plugins_channels(),
		.arg = c,
	};
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct err *e;
	bool ignored;

	PASS(database_open(c->settings, &c->store));
	store_sql_watch(c->store, &watch);
	if (c->settings->database_kind == DATABASE_SQLITE)
		usage_use(store_sql_database(c->store));
	if (c->settings->database_kind == DATABASE_POSTGRES)
		c->lookup = lookup_new(c->settings, c->store);
	e = store_sql_poll(c->store, a, &ignored); /* what comes after this look is new */
	if (e)
		return own_error(e, "cannot read the database");
	PASS(publish_stored(c));
	if (c->lookup)
		lookup_warm_up(c->lookup, c->settings->db_cache_warmup_entities);
	fiber_start("follow", follow, c);
	if (store_sql_can_wait(c->store))
		fiber_start("hear", hear, c);
	return NULL;
}

/* ---- the door -------------------------------------------------------------------------------- */

static struct err *start_declared(struct configuration *c)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct job j = { .c = c, .a = a };
	struct err *e;

	offload_long(read_job, &j);
	if (j.e)
		return own_error(j.e, "cannot load the configuration");
	e = publish_declared(c, &j);
	declarative_drop(&j.d);
	return e;
}

struct err *configuration_start(struct configuration *c)
{
	struct err *e;

	PASS(take_turn(c));
	e = c->settings->database_kind == DATABASE_OFF ? start_declared(c) : start_stored(c);
	end_turn(c);
	return e;
}

struct err *configuration_apply(struct configuration *c, struct declarative_config *d)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct job j = { .c = c, .a = a, .d = d };
	struct err *e;

	PASS(take_turn(c));
	e = publish_declared(c, &j);
	if (!e) {
		offload_long(keep_job, &j);
		if (j.e)
			log_err(LOG_WARN_, j.e,
				"the configuration serves, but a restart will not know it");
	}
	end_turn(c);
	return e;
}
