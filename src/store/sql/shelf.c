/* SPDX-License-Identifier: Apache-2.0 */
/* Shelves: the entities of a kind, decoded once and lent to every snapshot until a
 * write to that kind.  So a change of one plugin reads plugins alone, whatever the
 * number of routes.
 *
 * Where it is known which entities changed, these alone are read: the next shelf is the
 * one before with other structs in their places, and both share the texts.
 *
 *	shelf ──► texts of one changed ──► texts of another ──► texts of all
 *
 * Once much has been laid over the texts of all, what nobody sees any more would fill
 * memory, and all is read again. */
#include "base/mem.h"
#include "store/sql/priv.h"

#include <stdatomic.h>
#include <stdlib.h>

#define LAID_OVER_MIN 64 /* changes before a shelf is read anew, and a part of it */
#define LAID_OVER_OF  8

/* What the structs of a shelf borrow. */
struct texts {
	atomic_int holders;
	struct arena *arena;
	struct texts *before; /* held; NULL: these are of all */
	size_t laid_over;     /* entities read since those of all were */
};

struct shelf {
	atomic_int holders;
	struct arena *arena; /* of v alone */
	void *v;             /* in the order of ids, where they have any */
	size_t n;
	struct texts *texts;
};

/* ---- their life --------------------------------------------------------------------------- */

static struct texts *texts_new(struct texts *before, size_t n)
{
	struct texts *t = MEM_NEW(struct texts);

	t->holders = 1;
	t->arena = arena_new();
	if (before)
		atomic_fetch_add_explicit(&before->holders, 1, memory_order_relaxed);
	t->before = before;
	t->laid_over = before ? before->laid_over + n : 0;
	return t;
}

static void texts_drop(struct texts *t)
{
	while (t && atomic_fetch_sub_explicit(&t->holders, 1, memory_order_acq_rel) == 1) {
		struct texts *before = t->before;

		arena_drop(&t->arena);
		mem_free(t);
		t = before;
	}
}

/* Takes the texts; room for n structs. */
static struct shelf *shelf_new(struct texts *texts, size_t n, size_t size)
{
	struct shelf *s = MEM_NEW(struct shelf);
	size_t bytes = arena_times_(n, size);

	s->holders = 1;
	s->arena = arena_new_of(bytes);
	s->v = n ? arena_zalloc(s->arena, bytes) : NULL;
	s->texts = texts;
	return s;
}

static struct shelf *shelf_hold(struct shelf *s)
{
	atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
	return s;
}

static void shelf_drop(void *s_)
{
	struct shelf *s = s_;

	if (!s || atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) != 1)
		return;
	arena_drop(&s->arena);
	texts_drop(s->texts);
	mem_free(s);
}

void shelves_init(struct arena *a, struct shelves *s, size_t n)
{
	*s = (struct shelves){ .v = NEWS(a, struct shelf_place, n), .n = n };
	pthread_mutex_init(&s->lock, NULL);
}

void shelves_done(struct shelves *s)
{
	for (size_t i = 0; i < s->n; i++)
		shelf_drop(s->v[i].latest);
	pthread_mutex_destroy(&s->lock);
}

/* ---- what is made old --------------------------------------------------------------------- */

/* Under the lock; the caller drops what is returned. */
static struct shelf *clear_place(struct shelf_place *p)
{
	struct shelf *before = p->latest;

	p->latest = NULL;
	p->n_old = 0;
	return before;
}

static void forget_kind(struct shelves *s, size_t kind)
{
	struct shelf *before;

	pthread_mutex_lock(&s->lock);
	s->v[kind].stamp++;
	before = clear_place(&s->v[kind]);
	pthread_mutex_unlock(&s->lock);
	shelf_drop(before);
}

/* Under the lock; the caller drops what is returned. */
static struct shelf *note_old(struct shelf_place *p, uuid id)
{
	p->stamp++;
	if (!p->latest)
		return NULL;
	for (size_t i = 0; i < p->n_old; i++) {
		if (uuid_eq(p->old[i], id))
			return NULL;
	}
	if (p->n_old == COUNT(p->old))
		return clear_place(p);
	p->old[p->n_old++] = id;
	return NULL;
}

static const struct field *id_row(const struct sql_entity *e)
{
	const struct field *row = strcmp(e->key, "id") == 0 ? entity_field(e->entity, "id") : NULL;

	return row && row->offset != FIELD_NOT_KEPT ? row : NULL;
}

static const uuid *uuid_at(const struct shelf *s, const struct entity *e, size_t i,
			   const struct field *row)
{
	return (const uuid *)((const char *)s->v + i * e->size + row->offset);
}

/* Those of the kind that say in `row` that they belong to the parent. */
static void forget_children(struct shelves *s, size_t kind, const struct sql_entity *e,
			    const struct field *row, uuid parent)
{
	const struct field *id = id_row(e);
	struct shelf_place *p = &s->v[kind];
	struct shelf *before = NULL;

	if (!id || row->offset == FIELD_NOT_KEPT) {
		forget_kind(s, kind);
		return;
	}
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; p->latest && i < p->latest->n; i++) {
		if (uuid_eq(*uuid_at(p->latest, e->entity, i, row), parent))
			before = note_old(p, *uuid_at(p->latest, e->entity, i, id));
	}
	pthread_mutex_unlock(&s->lock);
	shelf_drop(before);
}

void sql_store_forget(struct sql_store *s, const struct entity *e)
{
	for (size_t i = 0; i < s->n; i++) {
		bool goes_along = s->entities[i].entity == e;

		for (const struct field *f = schema_fields(entity_schema(s->entities[i].entity));
		     f->name && !goes_along; f++)
			goes_along = f->kind == FIELD_FOREIGN && strcmp(f->reference, e->name) == 0;
		if (goes_along)
			forget_kind(&s->shelves, i);
	}
}

void sql_store_forget_one(struct sql_store *s, const struct entity *e, uuid id, bool with_children)
{
	size_t kind = (size_t)(sql_store_entity(s, e) - s->entities);
	struct shelf *before;

	if (!id_row(&s->entities[kind])) {
		sql_store_forget(s, e);
		return;
	}
	pthread_mutex_lock(&s->shelves.lock);
	before = note_old(&s->shelves.v[kind], id);
	pthread_mutex_unlock(&s->shelves.lock);
	shelf_drop(before);
	for (size_t i = 0; i < s->n && with_children; i++) {
		const struct field *f = schema_fields(entity_schema(s->entities[i].entity));

		for (; f->name; f++) {
			if (f->kind == FIELD_FOREIGN && strcmp(f->reference, e->name) == 0)
				forget_children(&s->shelves, i, &s->entities[i], f, id);
		}
	}
}

void store_sql_forget_all(struct store *s_)
{
	struct sql_store *s = sql_store_of(s_);

	for (size_t i = 0; i < s->n; i++)
		forget_kind(&s->shelves, i);
	if (s->watch.forget)
		s->watch.forget(s->watch.arg, STR("*"));
}

/* ---- loading --------------------------------------------------------------------------------- */

/* Where the lists of a configuration are. */
struct any_list {
	void *v;
	size_t n;
};

#define IN_CONFIG(list)                                                                            \
	{                                                                                          \
#list, offsetof(struct config, list)                                               \
	}

static const struct {
	const char *entity;
	size_t offset;
} lists[] = {
	IN_CONFIG(services),        IN_CONFIG(routes), IN_CONFIG(consumers), IN_CONFIG(plugins),
	IN_CONFIG(certificates),    IN_CONFIG(snis),   IN_CONFIG(upstreams), IN_CONFIG(targets),
	IN_CONFIG(ca_certificates), IN_CONFIG(vaults), IN_CONFIG(key_sets),  IN_CONFIG(keys),
};

/* A kind on its way into a configuration. */
struct taking {
	const struct sql_entity *entity;
	struct shelf *found;     /* held */
	struct shelf *before;    /* held: all of it is right but what is old */
	uuid old[SHELF_OLD_MAX]; /* in order */
	size_t n_old;
	uint64_t stamp; /* of before the first question: what is kept is no older */
};

/* Behind the core's lists come those of the entities that plugins bring. */
struct loading {
	struct sql_store *store;
	struct taking *v;
	size_t n;
};

static bool is_listed(const struct entity *e)
{
	for (size_t i = 0; i < COUNT(lists); i++) {
		if (strcmp(e->name, lists[i].entity) == 0)
			return true;
	}
	return false;
}

static void want_all(struct arena *a, struct loading *g)
{
	struct sql_store *s = g->store;
	bool is_core = true;

	g->v = NEWS(a, struct taking, s->n);
	for (size_t i = 0; i < COUNT(lists); i++)
		g->v[g->n++].entity = sql_store_entity(s, entity_find(str_of(lists[i].entity)));
	for (size_t i = 0; i < s->n; i++) {
		if (!is_core && !is_listed(s->entities[i].entity) &&
		    !s->entities[i].entity->is_kept_apart)
			g->v[g->n++].entity = &s->entities[i];
		is_core &= strcmp(s->entities[i].entity->name, "keys") != 0;
	}
}

static int by_id(const void *x, const void *y)
{
	return uuid_cmp(*(const uuid *)x, *(const uuid *)y);
}

static struct shelf_place *place_of(struct loading *g, const struct taking *t)
{
	return &g->store->shelves.v[t->entity - g->store->entities];
}

/* What there is already. */
static void look(struct loading *g, struct taking *t)
{
	struct shelf_place *p = place_of(g, t);

	pthread_mutex_lock(&g->store->shelves.lock);
	t->stamp = p->stamp;
	if (p->latest && p->n_old == 0)
		t->found = shelf_hold(p->latest);
	else if (p->latest &&
		 p->latest->texts->laid_over < LAID_OVER_MIN + p->latest->n / LAID_OVER_OF)
		t->before = shelf_hold(p->latest);
	memcpy(t->old, p->old, sizeof(t->old));
	t->n_old = p->n_old;
	pthread_mutex_unlock(&g->store->shelves.lock);
	if (t->n_old)
		qsort(t->old, t->n_old, sizeof(*t->old), by_id);
}

/* For the next, unless more has become old while it was read. */
static void keep(struct loading *g, struct taking *t)
{
	struct shelf_place *p = place_of(g, t);
	struct shelf *before = NULL;

	pthread_mutex_lock(&g->store->shelves.lock);
	if (p->stamp == t->stamp) {
		before = clear_place(p);
		p->latest = shelf_hold(t->found);
	}
	pthread_mutex_unlock(&g->store->shelves.lock);
	shelf_drop(before);
}

/* The data plane counts a ttl from when the entity was made. */
static void count_from_start(struct arena *a, struct value *doc, str end_text)
{
	const struct value *made = value_get(doc, "created_at");
	double end = 0;

	if (str_to_num(end_text, &end) && !value_is_null(made) && made->kind == VALUE_INT)
		value_set(a, doc, STR("ttl"), value_int(a, (int64_t)end - made->i));
}

/* Rows in the order of their key: all, or those with an id of t->old. */
static struct err *read_rows(struct sql_link *l, struct sql_store *s, struct arena *a,
			     const struct taking *t, struct sql_rows *ret)
{
	const struct sql_entity *e = t->entity;
	struct buf sql CLEANUP(buf_done) = { 0 };
	str params[SHELF_OLD_MAX + 1];
	size_t n = 0;
	const char *glue = " WHERE ";

	buf_addf(&sql, "SELECT " STRF " FROM \"%s\"", STRV(e->columns), e->table->name);
	if (e->has_workspace) {
		params[n++] = s->workspace;
		buf_addf(&sql, "%s%s\"ws_id\" = %c%zu", glue, l->dialect->not_by_index,
			 l->dialect->placeholder, n);
		glue = " AND ";
	}
	if (e->has_ttl) {
		buf_addf(&sql, "%s(\"ttl\" IS NULL OR \"ttl\" > %s)", glue, l->dialect->now);
		glue = " AND ";
	}
	if (t->before)
		buf_addf(&sql, "%s\"%s\" IN (", glue, e->key);
	for (size_t i = 0; i < t->n_old && t->before; i++) {
		params[n++] = uuid_str(a, t->old[i]);
		buf_addf(&sql, "%s%c%zu", i ? "," : "", l->dialect->placeholder, n);
	}
	buf_addf(&sql, "%s ORDER BY \"%s\"", t->before ? ")" : "", e->key);
	return l->query(l, a, buf_str(&sql), params, n, ret, NULL);
}

static struct err *decode_row(struct arena *a, const struct sql_entity *e,
			      const struct sql_rows *rows, size_t row, void *ret)
{
	struct value *doc;

	PASS(sql_decode(a, e, rows, row, &doc));
	if (e->has_ttl && sql_cell(rows, row, e->n).s)
		count_from_start(a, doc, sql_cell(rows, row, e->n));
	entity_decode(a, e->entity, doc, ret);
	return NULL;
}

static struct err *read_all(struct sql_link *l, struct sql_store *s, struct taking *t)
{
	struct texts *texts = texts_new(NULL, 0);
	size_t size = t->entity->entity->size;
	struct sql_rows rows = { 0 };
	struct err *e = read_rows(l, s, texts->arena, t, &rows);

	t->found = shelf_new(texts, rows.n, size);
	for (; !e && t->found->n < rows.n; t->found->n++)
		e = decode_row(texts->arena, t->entity, &rows, t->found->n,
			       (char *)t->found->v + t->found->n * size);
	return e;
}

/* Where the first id that is not smaller stands, from `from` on. */
static size_t find_place(const struct shelf *s, const struct entity *e, const struct field *id,
			 size_t from, uuid wanted)
{
	size_t to = s->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (uuid_cmp(*uuid_at(s, e, middle, id), wanted) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool is_row_of(const struct sql_entity *e, const struct sql_rows *rows, size_t row, uuid id)
{
	size_t column = (size_t)(sql_field_find(e, e->key) - e->fields);
	uuid found;

	return uuid_parse(sql_cell(rows, row, column), &found) && uuid_eq(found, id);
}

static void add_run(struct shelf *to, const struct shelf *from, size_t first, size_t end,
		    size_t size)
{
	if (end > first)
		memcpy((char *)to->v + to->n * size, (const char *)from->v + first * size,
		       (end - first) * size);
	to->n += end - first;
}

/* The shelf before with what the rows say in the places of what is old. */
static struct err *read_changed(struct sql_link *l, struct sql_store *s, struct taking *t)
{
	struct shelf *before = t->before;
	struct texts *texts = texts_new(before->texts, t->n_old);
	const struct entity *entity = t->entity->entity;
	const struct field *id = id_row(t->entity);
	struct sql_rows rows = { 0 };
	struct err *e = read_rows(l, s, texts->arena, t, &rows);
	size_t from = 0, row = 0;

	t->found = shelf_new(texts, before->n + rows.n, entity->size);
	for (size_t i = 0; i < t->n_old && !e; i++) {
		size_t at = find_place(before, entity, id, from, t->old[i]);
		bool was_there =
			at < before->n && uuid_eq(*uuid_at(before, entity, at, id), t->old[i]);

		add_run(t->found, before, from, at, entity->size);
		from = at + was_there;
		if (row < rows.n && is_row_of(t->entity, &rows, row, t->old[i]))
			e = decode_row(texts->arena, t->entity, &rows, row++,
				       (char *)t->found->v + t->found->n++ * entity->size);
	}
	add_run(t->found, before, from, before->n, entity->size);
	return e;
}

static struct err *load_lists(struct sql_link *l, void *arg)
{
	struct loading *g = arg;

	for (size_t i = 0; i < g->n; i++) {
		struct taking *t = &g->v[i];
		struct err *e;

		if (t->entity->is_on_demand || t->found)
			continue;
		e = t->before ? read_changed(l, g->store, t) : read_all(l, g->store, t);
		if (e) {
			shelf_drop(t->found);
			t->found = NULL;
			return e;
		}
		keep(g, t);
	}
	return NULL;
}

struct err *sql_store_load(struct store *s_, struct arena *a, struct config *ret)
{
	struct sql_store *s = sql_store_of(s_);
	struct loading g = { .store = s };
	struct err *e;

	want_all(a, &g);
	for (size_t i = 0; i < g.n; i++)
		look(&g, &g.v[i]);
	e = s->db->run(s->db, a, SQL_USE_LOAD, load_lists, &g);
	*ret = (struct config){ 0 };
	memset(ret->hash, '0', sizeof(ret->hash) - 1);
	ret->workspace = str_copy(a, s->workspace);
	ret->more.v = NEWS(a, struct entity_list, g.n);
	for (size_t i = 0; i < g.n; i++) {
		struct shelf *found = g.v[i].found;

		shelf_drop(g.v[i].before);
		if (!found)
			continue;
		if (i < COUNT(lists))
			*(struct any_list *)((char *)ret + lists[i].offset) =
				(struct any_list){ found->v, found->n };
		else
			ret->more.v[ret->more.n++] =
				(struct entity_list){ g.v[i].entity->entity, found->v, found->n };
		arena_on_end(a, shelf_drop, found);
	}
	return e;
}
