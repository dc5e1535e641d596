/* SPDX-License-Identifier: Apache-2.0 */
/* Writes: one after the other in one transaction, all or none. */
#include "store/sql/priv.h"

#define TOLD_MAX      100 /* of more writes at once, the kinds are told */
#define OVERTAKEN_MAX 3   /* each time somebody made, and somebody deleted it again */

struct writing {
	struct sql_store *store;
	struct arena *a;
	struct store_write *writes;
	size_t n, at; /* the one that is being written */
	struct sql_failure failure;
	struct db_error error; /* what is wrong without the database saying so */
	struct value *doc;     /* what was about to be written */
	struct sql_told told;
};

static struct err *not_found(struct writing *g, const struct store_write *w)
{
	struct value *key = value_object(g->a);

	value_set(g->a, key, STR("id"), value_str(g->a, uuid_str(g->a, w->id)));
	g->error = (struct db_error){
		.code = DB_NOT_FOUND,
		.message = str_fmt(g->a, "could not find the entity with primary key '" STRF "'",
				   STRV(db_key_text(g->a, key))),
		.fields = key,
	};
	return FAIL(ERR_NOT_FOUND, STRF, STRV(g->error.message));
}

static struct err *ask(struct writing *g, struct sql_link *l, str sql, const str *params, size_t n,
		       struct sql_rows *ret)
{
	return l->query(l, g->a, sql, params, n, ret, &g->failure);
}

/* One row as it is now. */
static struct err *returned(struct writing *g, const struct sql_entity *e, struct store_write *w,
			    const struct sql_rows *rows)
{
	if (rows->n == 0)
		return not_found(g, w);
	return sql_decode(g->a, e, rows, 0, &w->doc);
}

/* So many that the kinds are told, not each of them. */
static bool is_bulk(const struct writing *g)
{
	return g->n > TOLD_MAX;
}

/* Other nodes hear of it, where there are any. */
static struct err *tell(struct writing *g, struct sql_link *l, const struct store_write *w,
			const struct value *before, const struct value *after)
{
	if (!g->store->db->node.s || is_bulk(g))
		return NULL;
	return sql_tell(g->store, l, g->a, &g->told, w, before, after);
}

static struct err *replace(struct writing *g, struct sql_link *l, const struct sql_entity *e,
			   struct store_write *w, struct sql_rows *ret)
{
	str *params =
		sql_encode(g->a, l->dialect, e, g->doc, g->store->workspace, w->op == STORE_UPDATE);
	size_t n = e->n_written;

	params[n++] =
		strcmp(e->key, "id") == 0 ? uuid_str(g->a, w->id) : value_get(g->doc, e->key)->s;
	if (e->has_workspace)
		params[n++] = g->store->workspace;
	return ask(g, l, e->update, params, n, ret);
}

/* The row as it is, locked; NULL in *ret when there is none. */
static struct err *find_before(struct writing *g, struct sql_link *l, const struct sql_entity *e,
			       const struct store_write *w, struct value **ret)
{
	const str key[] = { strcmp(e->key, "id") == 0 ? uuid_str(g->a, w->id)
						      : value_get(w->doc, e->key)->s,
			    g->store->workspace };
	struct sql_rows rows;

	*ret = NULL;
	PASS(ask(g, l, e->find_lock, key, e->has_workspace ? 2 : 1, &rows));
	return rows.n ? sql_decode(g->a, e, &rows, 0, ret) : NULL;
}

static struct err *put(struct writing *g, struct sql_link *l, const struct sql_entity *e,
		       struct store_write *w)
{
	bool in_one = w->op == STORE_UPSERT && is_bulk(g) && e->put.s;
	struct value *before = NULL;
	struct sql_rows rows = { 0 };

	g->doc = w->doc;
	if (w->op == STORE_UPSERT && strcmp(e->key, "id") == 0)
		value_set(g->a, w->doc, STR("id"), value_str(g->a, uuid_str(g->a, w->id)));
	if (w->op == STORE_UPSERT && !in_one)
		PASS(find_before(g, l, e, w, &before));
	if (before)
		PASS(replace(g, l, e, w, &rows));
	else
		PASS(ask(g, l, in_one ? e->put : e->insert,
			 sql_encode(g->a, l->dialect, e, w->doc, g->store->workspace, false),
			 e->n_written, &rows));
	PASS(returned(g, e, w, &rows));
	return tell(g, l, w, before, w->doc);
}

/* The change is laid over the row while nobody else can write to it. */
static struct err *change(struct writing *g, struct sql_link *l, const struct sql_entity *e,
			  struct store_write *w)
{
	struct value *before;
	struct sql_rows rows;

	PASS(find_before(g, l, e, w, &before));
	if (!before)
		return not_found(g, w);
	g->doc = schema_merge(g->a, entity_schema(e->entity), before, w->doc);
	value_set(g->a, g->doc, str_of(e->key), value_get(before, e->key)); /* it stays who it is */
	if (value_get(w->doc, "ttl") || value_get(before, "ttl"))
		value_set(g->a, g->doc, STR("ttl"),
			  value_get(w->doc, "ttl") ? value_get(w->doc, "ttl")
						   : value_get(before, "ttl"));
	PASS(replace(g, l, e, w, &rows));
	PASS(returned(g, e, w, &rows));
	return tell(g, l, w, before, w->doc);
}

/* The names of a certificate go with it, though the tables would not let them. */
static struct err *take_along(struct writing *g, struct sql_link *l, const struct sql_entity *e,
			      const str *key)
{
	if (strcmp(e->entity->name, "certificates") != 0)
		return NULL;
	return ask(g, l,
		   str_fmt(g->a,
			   "DELETE FROM \"snis\" WHERE \"certificate_id\" = %c1 AND \"ws_id\" = "
			   "%c2",
			   l->dialect->placeholder, l->dialect->placeholder),
		   key, 2, NULL);
}

static struct err *take_away(struct writing *g, struct sql_link *l, const struct sql_entity *e,
			     struct store_write *w)
{
	str key[] = { uuid_str(g->a, w->id), g->store->workspace };
	size_t n_key = e->has_workspace ? 2 : 1;
	struct value *before;

	PASS(find_before(g, l, e, w, &before));
	w->was_there = before != NULL;
	if (!before)
		return NULL;
	if (g->store->db->node.s && !is_bulk(g))
		PASS(sql_tell_children(g->store, l, g->a, &g->told, w->entity, key[0]));
	PASS(take_along(g, l, e, key));
	PASS(ask(g, l, e->remove, key, n_key, NULL));
	return tell(g, l, w, before, NULL);
}

/* Until a database has counted what is in a table it may sort all of it for one page. */
static struct err *analyze(struct writing *g, struct sql_link *l)
{
	bool *is_done = NEWS(g->a, bool, g->store->n);

	for (size_t i = 0; i < g->n && l->dialect->analyze; i++) {
		const struct sql_entity *e = sql_store_entity(g->store, g->writes[i].entity);

		if (is_done[e - g->store->entities])
			continue;
		is_done[e - g->store->entities] = true;
		PASS(ask(g, l, str_fmt(g->a, "%s \"%s\"", l->dialect->analyze, e->table->name),
			 NULL, 0, NULL));
	}
	return NULL;
}

static struct err *run_writes(struct sql_link *l, void *arg)
{
	struct writing *g = arg;

	for (g->at = 0; g->at < g->n; g->at++) {
		struct store_write *w = &g->writes[g->at];
		const struct sql_entity *e = sql_store_entity(g->store, w->entity);

		switch (w->op) {
		case STORE_INSERT:
		case STORE_UPSERT:
			PASS(put(g, l, e, w));
			break;
		case STORE_UPDATE:
			PASS(change(g, l, e, w));
			break;
		case STORE_REMOVE:
			PASS(take_away(g, l, e, w));
			break;
		}
	}
	if (is_bulk(g))
		PASS(analyze(g, l));
	if (!g->store->db->node.s)
		return NULL;
	if (is_bulk(g))
		PASS(sql_tell_kinds(g->store, l, g->a, &g->told, g->writes, g->n));
	return sql_tell_all(g->store, l, g->a);
}

static bool has_loaded(const struct writing *g)
{
	for (size_t i = 0; i < g->n; i++) {
		if (!g->writes[i].entity->is_kept_apart)
			return true;
	}
	return false;
}

static bool id_of(const struct value *doc, uuid *ret)
{
	const struct value *id = value_get(doc, "id");

	return id && id->kind == VALUE_STRING && uuid_parse(id->s, ret);
}

static void forget_written(struct sql_store *s, const struct writing *g,
			   const struct store_write *w)
{
	uuid id = w->id;

	if (g->n > SHELF_OLD_MAX || (w->op == STORE_INSERT && !id_of(w->doc, &id)))
		sql_store_forget(s, w->entity);
	else
		sql_store_forget_one(s, w->entity, id, w->op == STORE_REMOVE);
}

/* Where all is loaded all that changes is, but for what requests make. */
static void tell_changed(struct sql_store *s, const struct writing *g)
{
	bool has_changed = g->told.has_changed || (!s->db->node.s && has_loaded(g));

	for (size_t i = 0; i < g->n && has_changed; i++)
		forget_written(s, g, &g->writes[i]);
	for (size_t i = 0; i < g->told.keys.n && s->watch.forget; i++)
		s->watch.forget(s->watch.arg, g->told.keys.v[i]);
	if (has_changed && s->watch.changed)
		s->watch.changed(s->watch.arg);
}

/* Somebody else made what was to be made here if it was not there. */
static bool was_overtaken(const struct writing *g)
{
	const struct store_write *w = &g->writes[g->at];

	return g->at < g->n && w->op == STORE_UPSERT && g->failure.fault == SQL_FAULT_UNIQUE &&
	       g->failure.columns.n == 1 &&
	       str_is(g->failure.columns.v[0], sql_store_entity(g->store, w->entity)->key);
}

/* The whole again, for the others are undone; now it is there. */
static struct err *run_until_alone(struct writing *g)
{
	struct sql_database *db = g->store->db;
	struct value **docs = NEWS(g->a, struct value *, g->n);
	struct err *e;

	for (size_t i = 0; i < g->n; i++)
		docs[i] = g->writes[i].doc;
	e = db->run(db, g->a, SQL_USE_WRITE, run_writes, g);
	for (int i = 0; i < OVERTAKEN_MAX && e && was_overtaken(g); i++) {
		err_forget();
		g->failure = (struct sql_failure){ 0 };
		g->told = (struct sql_told){ 0 };
		for (size_t k = 0; k < g->n; k++)
			g->writes[k].doc = docs[k];
		e = db->run(db, g->a, SQL_USE_WRITE, run_writes, g);
	}
	return e;
}

bool sql_store_write(struct store *s_, struct arena *a, struct store_write *w, size_t n,
		     struct db_error *err)
{
	struct sql_store *s = sql_store_of(s_);
	struct writing g = { .store = s, .a = a, .writes = w, .n = n };
	struct err *e = run_until_alone(&g);

	*err = (struct db_error){ 0 };
	if (!e) {
		tell_changed(s, &g);
		return true;
	}
	if (g.error.code) {
		*err = g.error;
	} else if (g.at < n) {
		struct store_write failed = w[g.at];

		if (failed.op != STORE_REMOVE)
			failed.doc = g.doc;
		sql_explain(s, a, &failed, &g.failure, e, err);
	} else {
		sql_database_error(err, e);
	}
	return false;
}

/* ---- what has had its time --------------------------------------------------------------- */

#define SWEPT_AT_ONCE 10000 /* rows of a table, in one transaction */

struct sweeping {
	struct sql_store *store;
	struct arena *a;
	bool *has_gone; /* by entity */
	bool has_more;
};

/* Rows that another node is about to delete are left to it. */
static str sweep_statement(struct arena *a, const struct sql_dialect *d, const char *table)
{
	return str_fmt(a,
		       "DELETE FROM \"%s\" WHERE \"id\" IN (SELECT \"id\" FROM \"%s\" "
		       "WHERE \"ttl\" <= %s LIMIT %d%s%s) RETURNING 1",
		       table, table, d->now, SWEPT_AT_ONCE, d->for_update,
		       *d->for_update ? " SKIP LOCKED" : "");
}

static struct err *sweep(struct sql_link *l, void *arg)
{
	struct sweeping *g = arg;

	for (size_t i = 0; i < g->store->n; i++) {
		const struct sql_entity *e = &g->store->entities[i];
		struct sql_rows rows;

		if (!e->has_ttl)
			continue;
		PASS(l->query(l, g->a, sweep_statement(g->a, l->dialect, e->table->name), NULL, 0,
			      &rows, NULL));
		g->has_gone[i] = rows.n > 0;
		g->has_more |= rows.n == SWEPT_AT_ONCE;
	}
	return l->query(l, g->a,
			str_fmt(g->a, "DELETE FROM \"cluster_events\" WHERE \"expire_at\" <= %s",
				l->dialect->now),
			NULL, 0, NULL, NULL);
}

struct sql_database *store_sql_database(struct store *s)
{
	return sql_store_of(s)->db;
}

struct err *store_sql_sweep(struct store *s_, struct arena *a, bool *ret_has_more)
{
	struct sql_store *s = sql_store_of(s_);
	struct sweeping g = { s, a, NEWS(a, bool, s->n), false };

	PASS(s->db->run(s->db, a, SQL_USE_ASIDE, sweep, &g));
	for (size_t i = 0; i < s->n; i++) {
		if (g.has_gone[i])
			sql_store_forget(s, s->entities[i].entity);
	}
	*ret_has_more = g.has_more;
	return NULL;
}
