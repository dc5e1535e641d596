/* SPDX-License-Identifier: Apache-2.0 */
/* Shelves: the entities of a kind, decoded once and lent to every snapshot until a
 * write to that kind.  So a change of one plugin reads plugins alone, whatever the
 * number of routes. */
#include "base/mem.h"
#include "store/sql/priv.h"

#include <stdatomic.h>

struct shelf {
	atomic_int holders;
	struct arena *arena;
	void *v;
	size_t n;
};

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
	mem_free(s);
}

void shelves_init(struct arena *a, struct shelves *s, size_t n)
{
	*s = (struct shelves){
		.v = NEWS(a, struct shelf *, n),
		.stamps = NEWS(a, uint64_t, n),
		.n = n,
	};
	pthread_mutex_init(&s->lock, NULL);
}

void shelves_done(struct shelves *s)
{
	for (size_t i = 0; i < s->n; i++)
		shelf_drop(s->v[i]);
	pthread_mutex_destroy(&s->lock);
}

void shelves_forget(struct shelves *s, size_t entity)
{
	struct shelf *before;

	pthread_mutex_lock(&s->lock);
	before = s->v[entity];
	s->v[entity] = NULL;
	s->stamps[entity]++;
	pthread_mutex_unlock(&s->lock);
	shelf_drop(before);
}

static struct shelf *look(struct shelves *s, size_t entity, uint64_t *ret_stamp)
{
	struct shelf *found;

	pthread_mutex_lock(&s->lock);
	found = s->v[entity] ? shelf_hold(s->v[entity]) : NULL;
	*ret_stamp = s->stamps[entity];
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* Kept for the next, unless it has become old while it was read. */
static void keep(struct shelves *s, size_t entity, struct shelf *new, uint64_t stamp)
{
	pthread_mutex_lock(&s->lock);
	if (!s->v[entity] && s->stamps[entity] == stamp)
		s->v[entity] = shelf_hold(new);
	pthread_mutex_unlock(&s->lock);
}

/* ---- what is made old --------------------------------------------------------------------- */

static bool goes_along(const struct entity *child, const struct entity *parent)
{
	for (const struct field *f = schema_fields(entity_schema(child)); f->name; f++) {
		if (f->kind == FIELD_FOREIGN && f->on_delete &&
		    strcmp(f->reference, parent->name) == 0)
			return true;
	}
	return false;
}

void sql_store_forget(struct sql_store *s, const struct entity *e)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->entities[i].entity == e || goes_along(s->entities[i].entity, e))
			shelves_forget(&s->shelves, i);
	}
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

/* Behind the core's lists come those of the entities that plugins bring. */
struct loading {
	struct sql_store *store;
	const struct sql_entity **wanted;
	struct shelf **found; /* of each that is wanted; held */
	uint64_t *stamps;     /* of before the first question: what is kept is no older */
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

	g->wanted = NEWS(a, const struct sql_entity *, s->n);
	g->found = NEWS(a, struct shelf *, s->n);
	for (size_t i = 0; i < COUNT(lists); i++)
		g->wanted[g->n++] = sql_store_entity(s, entity_find(str_of(lists[i].entity)));
	for (size_t i = 0; i < s->n; i++) {
		if (!is_core && !is_listed(s->entities[i].entity) &&
		    !s->entities[i].entity->is_kept_apart)
			g->wanted[g->n++] = &s->entities[i];
		is_core &= strcmp(s->entities[i].entity->name, "keys") != 0;
	}
}

/* The data plane counts a ttl from when the entity was made. */
static void count_from_start(struct arena *a, struct value *doc, str end_text)
{
	const struct value *made = value_get(doc, "created_at");
	double end = 0;

	if (str_to_num(end_text, &end) && !value_is_null(made) && made->kind == VALUE_INT)
		value_set(a, doc, STR("ttl"), value_int(a, (int64_t)end - made->i));
}

static struct err *read_shelf(struct sql_link *l, struct sql_store *s, const struct sql_entity *e,
			      struct shelf *shelf)
{
	struct arena *a = shelf->arena;
	struct sql_rows rows;
	size_t size = e->entity->size;
	str sql = str_fmt(a, "SELECT " STRF " FROM \"%s\"", STRV(e->columns), e->table->name);

	if (e->has_workspace)
		sql = str_fmt(a, STRF " WHERE \"ws_id\" = %c1", STRV(sql), l->dialect->placeholder);
	if (e->has_ttl)
		sql = str_fmt(a, STRF " %s (\"ttl\" IS NULL OR \"ttl\" > %s)", STRV(sql),
			      e->has_workspace ? "AND" : "WHERE", l->dialect->now);
	sql = str_fmt(a, STRF " ORDER BY \"%s\"", STRV(sql), e->key);
	PASS(l->query(l, a, sql, &s->workspace, e->has_workspace ? 1 : 0, &rows, NULL));
	shelf->v = rows.n ? arena_zalloc(a, arena_times_(rows.n, size)) : NULL;
	for (size_t i = 0; i < rows.n; i++) {
		struct value *doc;

		PASS(sql_decode(a, e, &rows, i, &doc));
		if (e->has_ttl && sql_cell(&rows, i, e->n).s)
			count_from_start(a, doc, sql_cell(&rows, i, e->n));
		entity_decode(a, e->entity, doc, (char *)shelf->v + i * size);
	}
	shelf->n = rows.n;
	return NULL;
}

static struct err *load_lists(struct sql_link *l, void *arg)
{
	struct loading *g = arg;

	for (size_t i = 0; i < g->n; i++) {
		const struct sql_entity *e = g->wanted[i];

		if (e->is_on_demand || g->found[i])
			continue;
		g->found[i] = MEM_NEW(struct shelf);
		g->found[i]->arena = arena_new();
		shelf_hold(g->found[i]);
		PASS(read_shelf(l, g->store, e, g->found[i]));
		keep(&g->store->shelves, (size_t)(e - g->store->entities), g->found[i],
		     g->stamps[i]);
	}
	return NULL;
}

static void take_shelves(struct arena *a, struct loading *g)
{
	g->stamps = NEWS(a, uint64_t, g->n);
	for (size_t i = 0; i < g->n; i++)
		g->found[i] = look(&g->store->shelves, (size_t)(g->wanted[i] - g->store->entities),
				   &g->stamps[i]);
}

struct err *sql_store_load(struct store *s_, struct arena *a, struct config *ret)
{
	struct sql_store *s = sql_store_of(s_);
	struct loading g = { .store = s };
	struct err *e;

	want_all(a, &g);
	take_shelves(a, &g);
	e = s->db->run(s->db, a, SQL_USE_LOAD, load_lists, &g);
	*ret = (struct config){ 0 };
	memset(ret->hash, '0', sizeof(ret->hash) - 1);
	ret->workspace = str_copy(a, s->workspace);
	ret->more.v = NEWS(a, struct entity_list, g.n);
	for (size_t i = 0; i < g.n; i++) {
		struct shelf *found = g.found[i];

		if (!found)
			continue;
		if (i < COUNT(lists))
			*(struct any_list *)((char *)ret + lists[i].offset) =
				(struct any_list){ found->v, found->n };
		else
			ret->more.v[ret->more.n++] =
				(struct entity_list){ g.wanted[i]->entity, found->v, found->n };
		arena_on_end(a, shelf_drop, found);
	}
	return e;
}
