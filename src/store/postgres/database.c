/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres/database.h"

#include "base/asked.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "store/postgres/pool.h"

#define CHANNEL      "gibbon_changes"
#define OVERLAP_S    "10" /* a transaction may be committed later than its events say */
#define EVENTS_MAX   5000
#define NUMBER_(n)   #n
#define NUMBER(n)    NUMBER_(n)
#define EVENTS_MS    3000000 /* they are kept for an hour */
#define OWN_WRITE_MS 5000    /* a replica may not have our own write yet */

struct postgres {
	struct sql_database db;
	const struct settings *settings;
	struct pg_options options;
	struct pg_pool *primary, *replica; /* replica NULL: none */
	struct arena *arena;
	int64_t last_write_ms; /* of ours */

	/* What was seen of cluster_events. */
	str since; /* seconds; unset: nothing yet */
	struct arena *seen_arena;
	struct map seen;
	int64_t looked_ms;
	struct pg_conn *listener;
};

struct pg_link {
	struct sql_link link;
	struct pg_conn *conn;
};

static struct postgres *postgres_of(struct sql_database *db)
{
	return CONTAINER(db, struct postgres, db);
}

/* ---- statements ----------------------------------------------------------------------------- */

/* "Key (ws_id, name)=(..., x) already exists." */
static void read_columns(struct arena *a, str detail, strs *ret)
{
	ptrdiff_t open = str_find(detail, '(', 0), close = str_find(detail, ')', 0);

	if (open < 0 || close < open)
		return;
	*ret = str_split(a, str_copy(a, str_part(detail, (size_t)open + 1, (size_t)close)), ',');
}

static void read_failure(struct pg_conn *c, struct arena *a, struct sql_failure *ret)
{
	const struct pg_failure *f = pg_failure(c);

	if (!ret)
		return;
	if (strcmp(f->sqlstate, "23505") == 0) {
		ret->fault = SQL_FAULT_UNIQUE;
		read_columns(a, f->detail, &ret->columns);
	} else if (strcmp(f->sqlstate, "23503") == 0) {
		ret->fault = SQL_FAULT_FOREIGN;
	}
}

static struct err *query(struct sql_link *l, struct arena *a, str sql, const str *params, size_t n,
			 struct sql_rows *ret, struct sql_failure *ret_failure)
{
	struct pg_conn *c = CONTAINER(l, struct pg_link, link)->conn;
	struct pg_rows rows = { 0 };
	int64_t began_us = asked_begin(l->asked);
	struct err *e = pg_query(c, a, str_z(a, sql), params, n, &rows);

	asked_database(l->asked, l->dialect->name, sql, began_us, e != NULL);
	if (e) {
		read_failure(c, a, ret_failure);
		return e;
	}
	if (!ret)
		return NULL;
	*ret = (struct sql_rows){ .n = rows.n, .n_columns = rows.n_columns };
	ret->v = NEWS(a, str, arena_times_(rows.n, rows.n_columns));
	for (size_t i = 0; i < rows.n; i++) {
		for (size_t k = 0; k < rows.n_columns; k++)
			ret->v[i * rows.n_columns + k] = pg_value(&rows, i, k);
	}
	return NULL;
}

/* ---- jobs -------------------------------------------------------------------------------------- */

static const struct {
	const char *begin, *end;
} transactions[SQL_USES] = {
	[SQL_USE_LOAD] = { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "COMMIT" },
	[SQL_USE_WRITE] = { "BEGIN", "COMMIT" },
	[SQL_USE_ASIDE] = { "BEGIN", "COMMIT" },
};

static struct err *command(struct pg_conn *c, const char *sql)
{
	return sql ? pg_script(c, sql) : NULL;
}

static struct err *run_on(struct pg_conn *c, enum sql_use use, sql_job_fn *fn, void *arg)
{
	struct pg_link l = { { &sql_dialect_postgres, fiber_asked(), query }, c };
	struct err *e = command(c, transactions[use].begin);

	if (!e)
		e = fn(&l.link, arg);
	if (!e)
		return command(c, transactions[use].end);
	if (transactions[use].begin && !pg_is_broken(c)) {
		struct err *ignored = pg_script(c, "ROLLBACK");

		(void)ignored; /* what went wrong first is the story */
	}
	return e;
}

static struct pg_pool *pool_for(struct postgres *p, enum sql_use use)
{
	int64_t wait = OWN_WRITE_MS + (int64_t)(p->settings->db_update_propagation * 1000);

	if ((use != SQL_USE_LOAD && use != SQL_USE_REQUEST) || !p->replica)
		return p->primary;
	return p->last_write_ms && clock_mono_ms() - p->last_write_ms < wait ? p->primary
									     : p->replica;
}

static struct err *run(struct sql_database *db, struct arena *a, enum sql_use use, sql_job_fn *fn,
		       void *arg)
{
	struct postgres *p = postgres_of(db);
	struct pg_pool *pool = pool_for(p, use);
	struct pg_conn *c = NULL;
	struct err *e = pg_pool_take(pool, &c);

	if (!e) {
		e = run_on(c, use, fn, arg);
		pg_pool_give(pool, &c);
	}
	if (!e && use == SQL_USE_WRITE)
		p->last_write_ms = clock_mono_ms();
	return e ? err_keep(a, e) : NULL;
}

/* ---- what others change ------------------------------------------------------------------------- */

struct looking {
	struct postgres *postgres;
	struct arena *a;
	struct map seen; /* of this time, in seen_arena */
	struct arena *seen_arena;
	struct sql_events events;
};

/* More was told than can be read, or it has been thrown away meanwhile. */
static const struct sql_event anything = { STR_INIT(SQL_INVALIDATIONS), STR_INIT("*") };

static bool was_away_too_long(const struct postgres *p)
{
	return p->looked_ms && clock_mono_ms() - p->looked_ms > EVENTS_MS;
}

static struct err *first_look(struct looking *g, struct sql_link *l)
{
	struct sql_rows rows;

	PASS(l->query(l, g->a, STR("SELECT EXTRACT(EPOCH FROM CURRENT_TIMESTAMP(3))"), NULL, 0,
		      &rows, NULL));
	g->postgres->since = str_copy(g->postgres->arena, sql_cell(&rows, 0, 0));
	return NULL;
}

static struct err *look(struct sql_link *l, void *arg)
{
	static const char sql[] =
		"SELECT id, channel, data, EXTRACT(EPOCH FROM CURRENT_TIMESTAMP(3))"
		" FROM cluster_events"
		" WHERE at > to_timestamp($1::double precision)"
		" - (" OVERLAP_S " + $3::double precision) * interval '1 second'"
		" AND node_id <> $2::uuid AND (nbf IS NULL OR nbf <= CURRENT_TIMESTAMP)"
		" AND (channel IN ('" SQL_INVALIDATIONS "', 'balancer:upstreams',"
		" 'balancer:targets', 'balancer:post_health', 'log_level')"
		" OR channel = ANY(string_to_array($4, ' ')))"
		" ORDER BY at DESC LIMIT " NUMBER(EVENTS_MAX);
	struct looking *g = arg;
	struct postgres *p = g->postgres;
	str params[] = { p->since, p->db.node, str_fmt(g->a, "%.3f", p->db.propagation_s),
			 str_join(g->a, p->db.channels, STR(" ")) };
	bool is_first = !p->since.s;
	struct sql_rows rows;

	if (is_first)
		PASS(first_look(g, l));
	params[0] = p->since;
	PASS(l->query(l, g->a, str_of(sql), params, COUNT(params), &rows, NULL));
	/* Newest first; they are told in the order they came in. */
	for (size_t i = rows.n; i-- > 0;) {
		str id = str_copy(g->seen_arena, sql_cell(&rows, i, 0));

		*map_put(g->seen_arena, &g->seen, id) = g;
		/* What was told before the first look is in what is read after it. */
		if (!is_first && !map_find(&p->seen, id))
			*vec_add(g->a, &g->events) =
				(struct sql_event){ sql_cell(&rows, i, 1), sql_cell(&rows, i, 2) };
	}
	if ((rows.n == EVENTS_MAX && g->events.n) || was_away_too_long(p))
		*vec_add(g->a, &g->events) = anything;
	p->looked_ms = clock_mono_ms();
	if (rows.n)
		p->since = str_copy(g->seen_arena, sql_cell(&rows, 0, 3));
	return NULL;
}

/* Events of the last seconds are read again and again, and known by their ids. */
static struct err *poll(struct sql_database *db, struct arena *a, struct sql_events *ret)
{
	struct postgres *p = postgres_of(db);
	struct looking g = { .postgres = p, .a = a, .seen_arena = arena_new() };
	struct err *e = run(db, a, SQL_USE_READ, look, &g);

	*ret = g.events;
	if (!e) {
		if (p->since.s)
			p->since = str_copy(g.seen_arena, p->since);
		arena_drop(&p->seen_arena);
		p->seen_arena = TAKE(g.seen_arena);
		p->seen = g.seen;
	}
	arena_drop(&g.seen_arena);
	return e;
}

static struct err *begin_to_listen(struct postgres *p)
{
	PASS(pg_connect(&p->options, &p->listener));
	return pg_script(p->listener, "LISTEN " CHANNEL);
}

/* Waits until another node says that it wrote; what nodes before ours say nothing of is
 * found by looking. */
static struct err *wait_for_others(struct sql_database *db, deadline until, bool *ret)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct postgres *p = postgres_of(db);
	str channel, who = STR_NONE;
	struct err *e = NULL;

	*ret = false;
	if (!p->listener)
		e = begin_to_listen(p);
	if (!e)
		e = pg_wait_notify(p->listener, a, until, &channel, &who);
	if (!e)
		*ret = !str_eq(who, p->db.node);
	else if (e->code == ERR_TIMEOUT && p->listener && !pg_is_broken(p->listener))
		e = NULL;
	else
		pg_drop(&p->listener);
	return e;
}

/* ---- its life -------------------------------------------------------------------------------------- */

static void drop(struct sql_database *db)
{
	struct postgres *p = postgres_of(db);

	pg_drop(&p->listener);
	pg_pool_drop(&p->primary);
	if (p->replica)
		pg_pool_drop(&p->replica);
	arena_drop(&p->seen_arena);
	arena_drop(&p->arena);
	mem_free(p);
}

struct sql_database *postgres_database_new(const struct settings *s)
{
	struct postgres *p = MEM_NEW(struct postgres);

	p->arena = arena_new();
	p->settings = s;
	p->options = pg_options_of(s, false);
	p->primary = pg_pool_new(&p->options);
	if (pg_has_replica(s)) {
		struct pg_options replica = pg_options_of(s, true);

		p->replica = pg_pool_new(&replica);
	}
	p->db = (struct sql_database){
		.dialect = &sql_dialect_postgres,
		.node = uuid_str(p->arena, uuid_random()),
		.propagation_s = s->db_update_propagation,
		.run = run,
		.poll = poll,
		.wait = wait_for_others,
		.drop = drop,
	};
	return &p->db;
}
