/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: one by a key, pages in the order of the primary key. */
#include "store/sql/store.h"

#include "base/json.h"
#include "base/mem.h"
#include "net/tls.h"
#include "store/sql/priv.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX     1000

struct sql_entity *sql_store_entity(struct sql_store *s, const struct entity *e)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->entities[i].entity == e)
			return &s->entities[i];
	}
	return NULL;
}

/* ---- one ---------------------------------------------------------------------------------- */

struct finding {
	struct arena *a;
	const struct sql_entity *entity;
	str sql;
	str params[2];
	size_t n;
	struct value *doc;
};

static struct err *find_job(struct sql_link *l, void *arg)
{
	struct finding *g = arg;
	struct sql_rows rows;

	PASS(l->query(l, g->a, g->sql, g->params, g->n, &rows, NULL));
	return rows.n ? sql_decode(g->a, g->entity, &rows, 0, &g->doc) : NULL;
}

static struct value *run_find(struct sql_store *s, struct finding *g, struct db_error *err)
{
	struct err *e = s->db->run(s->db, g->a, s->reading, find_job, g);

	if (e)
		sql_database_error(err, e);
	return e ? NULL : g->doc;
}

static struct value *find(struct store *s_, struct arena *a, const struct entity *e, uuid id,
			  struct db_error *err)
{
	struct sql_store *s = sql_store_of(s_);
	const struct sql_entity *entity = sql_store_entity(s, e);
	struct finding g = { .a = a, .entity = entity };

	if (!entity->table || strcmp(entity->key, "id") != 0)
		return NULL;
	g.sql = entity->find;
	g.params[g.n++] = uuid_str(a, id);
	if (entity->has_workspace)
		g.params[g.n++] = s->workspace;
	return run_find(s, &g, err);
}

static bool is_of_workspace(const struct sql_entity *e, const struct sql_field *field)
{
	return e->has_workspace && !field->row->is_unique_across_ws;
}

static str find_statement(const struct sql_dialect *d, struct arena *a, const struct sql_entity *e,
			  const struct sql_field *field)
{
	struct buf out CLEANUP(buf_done) = { 0 };

	buf_addf(&out, "SELECT " STRF " FROM \"%s\" WHERE \"%s\" = %c1", STRV(e->columns),
		 e->table->name, field->column, d->placeholder);
	if (is_of_workspace(e, field))
		buf_addf(&out, " AND \"ws_id\" = %c2", d->placeholder);
	if (e->has_ttl)
		buf_addf(&out, " AND (\"ttl\" IS NULL OR \"ttl\" > %s)", d->now);
	buf_addf(&out, " ORDER BY \"%s\" LIMIT 1", e->key);
	return str_copy(a, buf_str(&out));
}

static struct value *find_by(struct store *s_, struct arena *a, const struct entity *e,
			     const char *name, str value, struct db_error *err)
{
	struct sql_store *s = sql_store_of(s_);
	const struct sql_entity *entity = sql_store_entity(s, e);
	const struct sql_field *field = entity->table ? sql_field_find(entity, name) : NULL;
	struct finding g = { .a = a, .entity = entity };

	if (!field || field->row->kind != FIELD_STRING)
		return NULL;
	g.sql = find_statement(s->db->dialect, a, entity, field);
	g.params[g.n++] = value;
	if (is_of_workspace(entity, field))
		g.params[g.n++] = s->workspace;
	return run_find(s, &g, err);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static bool refuse_offset(struct arena *a, str offset, const char *why, struct db_error *err)
{
	*err = (struct db_error){
		.code = DB_INVALID_OFFSET,
		.message = str_fmt(a, "'" STRF "' is not a valid offset: %s", STRV(offset), why),
	};
	return false;
}

/* The primary key of the last one of the page before: base64 of a JSON array. */
static bool read_offset(struct arena *a, const struct sql_entity *e, str offset, str *ret,
			struct db_error *err)
{
	str padded = offset, text;
	struct value *v;
	uuid id;

	*ret = STR_NONE;
	if (!offset.n)
		return true;
	while (padded.n % 4)
		padded = str_fmt(a, STRF "=", STRV(padded));
	if (!base64_decode(a, padded, &text))
		return refuse_offset(a, offset, "bad base64 encoding", err);
	if (json_parse(a, text, &v)) {
		err_forget();
		return refuse_offset(a, offset, "bad json encoding", err);
	}
	if (v->kind != VALUE_ARRAY || v->n != 1 || v->items[0]->kind != VALUE_STRING ||
	    (strcmp(e->key, "id") == 0 && !uuid_parse(v->items[0]->s, &id)))
		return refuse_offset(a, offset, "invalid offset", err);
	*ret = v->items[0]->s;
	return true;
}

static str write_offset(struct arena *a, str key)
{
	struct value *v = value_array(a);
	str text;

	value_add(a, v, value_str(a, key));
	text = base64_encode(a, json_text(a, v, JSON_COMPACT));
	while (text.n && text.s[text.n - 1] == '=')
		text.n--;
	return text;
}

struct paging {
	struct sql_store *store;
	struct arena *a;
	const struct sql_entity *entity;
	const struct page_query *q;
	size_t size;
	str after; /* unset: from the start */
	struct page *page;
};

/* The conditions, each with what it binds. */
static str page_statement(struct paging *g, const struct sql_dialect *d, str *params, size_t *ret_n)
{
	const struct sql_entity *e = g->entity;
	const struct sql_field *parent = g->q->foreign ? sql_field_find(e, g->q->foreign) : NULL;
	struct buf out CLEANUP(buf_done) = { 0 };
	const char *glue = " WHERE ";
	size_t n = 0;

	buf_addf(&out, "SELECT " STRF " FROM \"%s\"", STRV(e->columns), e->table->name);
	if (e->has_workspace) {
		params[n++] = g->store->workspace;
		buf_addf(&out, "%s%s\"ws_id\" = %c%zu", glue, d->not_by_index, d->placeholder, n);
		glue = " AND ";
	}
	if (parent) {
		params[n++] = uuid_str(g->a, g->q->foreign_id);
		buf_addf(&out, "%s\"%s\" = %c%zu", glue, parent->column, d->placeholder, n);
		glue = " AND ";
	}
	if (g->q->tags.n) {
		buf_addf(&out, "%s", glue);
		d->tags(&out, g->q->tags_any, n + 1, g->q->tags.n);
		for (size_t i = 0; i < g->q->tags.n; i++)
			params[n++] = g->q->tags.v[i];
		glue = " AND ";
	}
	if (e->has_ttl) {
		buf_addf(&out, "%s(\"ttl\" IS NULL OR \"ttl\" > %s)", glue, d->now);
		glue = " AND ";
	}
	if (g->after.s) {
		params[n++] = g->after;
		buf_addf(&out, "%s\"%s\" > %c%zu", glue, e->key, d->placeholder, n);
	}
	buf_addf(&out, " ORDER BY \"%s\" LIMIT %zu", e->key, g->size + 1);
	*ret_n = n;
	return str_copy(g->a, buf_str(&out));
}

static struct err *page_job(struct sql_link *l, void *arg)
{
	struct paging *g = arg;
	str *params = NEWS(g->a, str, g->q->tags.n + 4);
	struct sql_rows rows;
	struct value *doc = NULL;
	size_t n;
	str sql = page_statement(g, l->dialect, params, &n);

	PASS(l->query(l, g->a, sql, params, n, &rows, NULL));
	for (size_t i = 0; i < rows.n && i < g->size; i++) {
		PASS(sql_decode(g->a, g->entity, &rows, i, &doc));
		value_add(g->a, g->page->data, doc);
	}
	if (rows.n > g->size && doc)
		g->page->offset = write_offset(g->a, value_get(doc, g->entity->key)->s);
	return NULL;
}

static bool page(struct store *s_, struct arena *a, const struct entity *e,
		 const struct page_query *q, struct page *ret, struct db_error *err)
{
	struct sql_store *s = sql_store_of(s_);
	struct paging g = { .store = s, .a = a, .entity = sql_store_entity(s, e), .q = q };
	struct err *failed;

	*ret = (struct page){ .data = value_array(a), .offset = STR("") };
	if (q->size < 0 || q->size > PAGE_MAX) {
		*err = (struct db_error){ .code = DB_INVALID_SIZE,
					  .message = STR(
						  "size must be an integer between 1 and 1000") };
		return false;
	}
	if (!g.entity->table)
		return true;
	if (!read_offset(a, g.entity, q->offset, &g.after, err))
		return false;
	g.size = q->size ? (size_t)q->size : PAGE_DEFAULT;
	g.page = ret;
	failed = s->db->run(s->db, a, s->reading, page_job, &g);
	return failed ? sql_database_error(err, failed) : true;
}

/* ---- single writes ----------------------------------------------------------------------------- */

static struct value *write_one(struct store *s, struct arena *a, struct store_write w,
			       struct db_error *err)
{
	return sql_store_write(s, a, &w, 1, err) ? w.doc : NULL;
}

static struct value *insert(struct store *s, struct arena *a, const struct entity *e,
			    struct value *doc, struct db_error *err)
{
	return write_one(s, a, (struct store_write){ STORE_INSERT, e, .doc = doc }, err);
}

static struct value *update(struct store *s, struct arena *a, const struct entity *e, uuid id,
			    struct value *change, struct db_error *err)
{
	return write_one(s, a, (struct store_write){ STORE_UPDATE, e, id, change }, err);
}

static struct value *upsert(struct store *s, struct arena *a, const struct entity *e, uuid id,
			    struct value *doc, struct db_error *err)
{
	return write_one(s, a, (struct store_write){ STORE_UPSERT, e, id, doc }, err);
}

static bool take_away(struct store *s, struct arena *a, const struct entity *e, uuid id,
		      struct db_error *err)
{
	struct store_write w = { STORE_REMOVE, e, id, NULL };

	return sql_store_write(s, a, &w, 1, err);
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static void drop(struct store *s_)
{
	struct sql_store *s = sql_store_of(s_);

	shelves_done(&s->shelves);
	s->db->drop(s->db);
	arena_drop(&s->arena);
	mem_free(s);
}

#define KIND(name_)                                                                                \
	{                                                                                          \
		.name = (name_), .find = find, .find_by = find_by, .page = page, .insert = insert, \
		.update = update, .upsert = upsert, .remove = take_away, .write = sql_store_write, \
		.load = sql_store_load, .drop = drop                                               \
	}

static const struct store_kind sqlite_kind = KIND("sqlite");
static const struct store_kind postgres_kind = KIND("postgres");

static struct err *find_workspace(struct sql_link *l, void *arg)
{
	struct sql_store *s = arg;
	struct sql_rows rows;

	PASS(l->query(l, s->arena,
		      STR("SELECT \"id\" FROM \"workspaces\" WHERE \"name\" = 'default'"), NULL, 0,
		      &rows, NULL));
	if (rows.n == 0)
		return FAIL(ERR_INVALID, "the database has no workspace 'default'");
	s->workspace = sql_cell(&rows, 0, 0);
	return NULL;
}

/* A fleet's database may have more consumers and credentials than a node has memory: those and
 * all else that plugins bring is found when it is asked for. */
static void leave_on_demand(struct sql_store *s)
{
	bool is_core = true;

	for (size_t i = 0; i < s->n; i++) {
		struct sql_entity *e = &s->entities[i];

		e->is_on_demand =
			e->table && (!is_core || strcmp(e->entity->name, "consumers") == 0);
		is_core &= strcmp(e->entity->name, "keys") != 0;
	}
}

struct err *store_sql_new(struct sql_database *db, struct store **ret)
{
	struct sql_store *s = MEM_NEW(struct sql_store);
	struct err *e;

	s->store.kind = db->dialect == &sql_dialect_sqlite ? &sqlite_kind : &postgres_kind;
	s->db = db;
	s->reading = SQL_USE_READ;
	s->arena = arena_new();
	while (entities[s->n])
		s->n++;
	s->entities = NEWS(s->arena, struct sql_entity, s->n);
	for (size_t i = 0; i < s->n; i++)
		sql_entity_init(s->arena, db->dialect, entities[i], &s->entities[i]);
	if (db->node.s)
		leave_on_demand(s);
	shelves_init(s->arena, &s->shelves, s->n);
	e = db->run(db, s->arena, SQL_USE_READ, find_workspace, s);
	if (e) {
		e = FAIL(e->code, "%s", err_line(s->arena, e).s);
		drop(&s->store);
		return e;
	}
	*ret = &s->store;
	return NULL;
}

struct store *store_sql_for_requests(struct store *s_)
{
	struct sql_store *s = sql_store_of(s_), *ret = NEW(s->arena, struct sql_store);

	*ret = (struct sql_store){
		.store = s->store,
		.db = s->db,
		.reading = SQL_USE_REQUEST,
		.entities = s->entities,
		.n = s->n,
		.workspace = s->workspace,
	};
	return &ret->store;
}

void store_sql_watch(struct store *s, const struct store_watch *w)
{
	sql_store_of(s)->watch = *w;
	sql_store_of(s)->db->channels = w->channels;
}

bool store_sql_is_on_demand(struct store *s, const struct entity *e)
{
	return sql_store_entity(sql_store_of(s), e)->is_on_demand;
}

const struct sql_dialect *store_sql_dialect(struct store *s)
{
	return sql_store_of(s)->db->dialect;
}

str store_sql_lookup_statement(struct store *s_, struct arena *a, const struct entity *e,
			       const char *field)
{
	struct sql_store *s = sql_store_of(s_);
	const struct page_query q = { .foreign = field };
	const struct sql_entity *entity = sql_store_entity(s, e);
	const struct sql_field *f = entity->table ? sql_field_find(entity, field) : NULL;
	struct paging g = { .store = s, .a = a, .entity = entity, .q = &q, .size = PAGE_MAX };
	str params[4];
	size_t n;

	if (!f)
		return STR("");
	if (strcmp(field, entity->key) == 0)
		return entity->find;
	return f->row->kind == FIELD_FOREIGN ? page_statement(&g, s->db->dialect, params, &n)
					     : find_statement(s->db->dialect, a, entity, f);
}

str store_sql_workspace(struct store *s)
{
	return sql_store_of(s)->workspace;
}

struct err *store_sql_poll(struct store *s_, struct arena *a, bool *ret)
{
	struct sql_store *s = sql_store_of(s_);
	struct sql_events events = { 0 };

	*ret = false;
	PASS(s->db->poll(s->db, a, &events));
	*ret = sql_hear(s, &events);
	return NULL;
}

bool store_sql_can_wait(struct store *s)
{
	return sql_store_of(s)->db->wait != NULL;
}

struct err *store_sql_wait(struct store *s_, deadline until, bool *ret)
{
	struct sql_store *s = sql_store_of(s_);

	return s->db->wait(s->db, until, ret);
}
