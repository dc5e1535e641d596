/* SPDX-License-Identifier: Apache-2.0 */
/* What other nodes are told of a write: rows of cluster_events as Kong writes them, so
 * that its nodes forget what they had cached, and a word to those who listen.  In the
 * transaction of the write: who hears of it can read it. */
#include "base/uuid.h"
#include "base/vec.h"
#include "store/sql/priv.h"

#define KEPT         "3600 seconds"
#define CHILDREN_MAX 1000 /* of more of a kind, the kind is told */

struct telling {
	struct sql_store *store;
	struct sql_link *link;
	struct arena *a;
	struct sql_told *told;
};

static struct err *send(struct telling *t, const char *channel, str data)
{
	static const char sql[] =
		"INSERT INTO cluster_events (id, node_id, at, nbf, expire_at, channel, data)"
		" VALUES ($1, $2, CURRENT_TIMESTAMP(3),"
		" CURRENT_TIMESTAMP(3) + $5::double precision * interval '1 second',"
		" CURRENT_TIMESTAMP(3) + interval '" KEPT "', $3, $4)";
	double later = t->store->db->propagation_s;
	const str params[] = { uuid_str(t->a, uuid_random()), t->store->db->node, str_of(channel),
			       data, later > 0 ? str_fmt(t->a, "%.3f", later) : STR_NONE };

	return t->link->query(t->link, t->a, str_of(sql), params, COUNT(params), NULL, NULL);
}

static struct err *tell(struct telling *t, const char *channel, str data)
{
	void **seen =
		map_put(t->a, &t->told->seen, str_fmt(t->a, "%s\n" STRF, channel, STRV(data)));

	if (*seen)
		return NULL;
	*seen = t;
	return send(t, channel, data);
}

static struct err *invalidate(struct telling *t, str key)
{
	*vec_add(t->a, &t->told->keys) = key;
	return tell(t, SQL_INVALIDATIONS, key);
}

static str text_of(const struct value *doc, const char *name)
{
	const struct value *v = value_get(doc, name);

	if (v && v->kind == VALUE_OBJECT)
		v = value_get(v, "id");
	return v && v->kind == VALUE_STRING ? v->s : STR("");
}

/* "snis:a.b.c", "snis:*.b.c", "snis:a.b.*" */
static struct err *tell_names(struct telling *t, const struct value *doc)
{
	str name = text_of(doc, "name");
	ptrdiff_t first = str_find(name, '.', 0), last = str_find_last(name, '.');

	PASS(invalidate(t, str_fmt(t->a, "snis:" STRF, STRV(name))));
	if (first < 0 || str_find(name, '*', 0) >= 0)
		return NULL;
	PASS(invalidate(t, str_fmt(t->a, "snis:*" STRF, STRV(str_from(name, (size_t)first)))));
	return invalidate(t,
			  str_fmt(t->a, "snis:" STRF ".*", STRV(str_part(name, 0, (size_t)last))));
}

static struct err *tell_consumer(struct telling *t, const struct value *doc)
{
	str name = text_of(doc, "username");

	return name.n ? invalidate(t, str_fmt(t->a, "consumers:" STRF ":::::" STRF, STRV(name),
					      STRV(t->store->workspace)))
		      : NULL;
}

static struct err *tell_kind(struct telling *t, const char *kind, const struct store_write *w,
			     const struct value *doc)
{
	static const char *const words[] = { "create", "update", "update", "delete" };
	const char *word = words[w->op];

	if (strcmp(kind, "routes") == 0 || strcmp(kind, "services") == 0)
		return invalidate(t, STR("router:version"));
	if (strcmp(kind, "plugins") == 0)
		return invalidate(t, STR("plugins_iterator:version"));
	if (strcmp(kind, "snis") == 0)
		return tell_names(t, doc);
	if (strcmp(kind, "consumers") == 0)
		return tell_consumer(t, doc);
	if (strcmp(kind, "upstreams") == 0)
		return tell(t, "balancer:upstreams",
			    str_fmt(t->a, "%s:" STRF ":" STRF ":" STRF, word,
				    STRV(t->store->workspace), STRV(text_of(doc, "id")),
				    STRV(text_of(doc, "name"))));
	if (strcmp(kind, "targets") == 0)
		return tell(t, "balancer:targets",
			    str_fmt(t->a, "%s:" STRF, word, STRV(text_of(doc, "upstream"))));
	return NULL;
}

/* The key that nodes cache the entity by: its cache_key, or its id; and all of a consumer's
 * together, where that is what they cache. */
static struct err *tell_key(struct telling *t, const struct sql_entity *e, const struct value *doc)
{
	PASS(invalidate(t, entity_told_key(t->a, e->entity,
					   sql_cache_key(t->a, e, doc, t->store->workspace))));
	if (e->cache_key.n < 2 || !str_is(e->cache_key.v[0], "consumer"))
		return NULL;
	return invalidate(t, str_fmt(t->a, "%s:" STRF ":::::" STRF, e->entity->name,
				     STRV(text_of(doc, "consumer")), STRV(t->store->workspace)));
}

struct err *sql_tell(struct sql_store *s, struct sql_link *l, struct arena *a,
		     struct sql_told *told, const struct store_write *w, const struct value *before,
		     const struct value *after)
{
	struct telling t = { s, l, a, told };
	const struct sql_entity *e = sql_store_entity(s, w->entity);

	told->has_changed |= !e->is_on_demand;
	if (before)
		PASS(tell_key(&t, e, before));
	if (after)
		PASS(tell_key(&t, e, after));
	if (before && after && strcmp(w->entity->name, "snis") == 0)
		PASS(tell_names(&t, before));
	if (before && after && strcmp(w->entity->name, "consumers") == 0)
		PASS(tell_consumer(&t, before));
	return tell_kind(&t, w->entity->name, w, after ? after : before);
}

/* ---- what goes along ------------------------------------------------------------------------- */

static struct err *tell_grandchildren(struct telling *t, const struct sql_entity *e,
				      const struct value *doc)
{
	return strcmp(e->key, "id") == 0 ? sql_tell_children(t->store, t->link, t->a, t->told,
							     e->entity, text_of(doc, "id"))
					 : NULL;
}

static struct err *tell_child(struct telling *t, const struct sql_entity *child,
			      const struct sql_rows *rows, size_t row)
{
	const struct store_write w = { STORE_REMOVE, child->entity, { { 0 } }, NULL };
	struct value *doc;

	PASS(sql_decode(t->a, child, rows, row, &doc));
	PASS(sql_tell(t->store, t->link, t->a, t->told, &w, doc, NULL));
	return tell_grandchildren(t, child, doc);
}

static struct err *tell_those(struct telling *t, const struct sql_entity *child,
			      const struct sql_field *f, str id)
{
	struct sql_rows rows;

	PASS(t->link->query(t->link, t->a,
			    str_fmt(t->a, "SELECT " STRF " FROM \"%s\" WHERE \"%s\" = %c1 LIMIT %d",
				    STRV(child->columns), child->table->name, f->column,
				    t->link->dialect->placeholder, CHILDREN_MAX + 1),
			    &id, 1, &rows, NULL));
	if (rows.n > CHILDREN_MAX) {
		t->told->has_changed |= !child->is_on_demand;
		return invalidate(t, str_fmt(t->a, "%s:", child->entity->name));
	}
	for (size_t i = 0; i < rows.n; i++)
		PASS(tell_child(t, child, &rows, i));
	return NULL;
}

/* The database deletes them with their parent, and says nothing of it. */
struct err *sql_tell_children(struct sql_store *s, struct sql_link *l, struct arena *a,
			      struct sql_told *told, const struct entity *e, str id)
{
	struct telling t = { s, l, a, told };

	for (size_t i = 0; i < s->n; i++) {
		const struct sql_entity *child = &s->entities[i];

		for (size_t k = 0; child->table && k < child->n; k++) {
			const struct field *row = child->fields[k].row;

			if (row->kind == FIELD_FOREIGN && row->on_delete &&
			    strcmp(row->reference, e->name) == 0)
				PASS(tell_those(&t, child, &child->fields[k], id));
		}
	}
	return NULL;
}

/* Once for each kind of entity that is among the writes: for an import. */
struct err *sql_tell_kinds(struct sql_store *s, struct sql_link *l, struct arena *a,
			   struct sql_told *told, const struct store_write *w, size_t n)
{
	struct telling t = { s, l, a, told };
	bool *is_told = NEWS(a, bool, s->n);

	told->has_changed = true;

	for (size_t i = 0; i < n; i++) {
		size_t kind = (size_t)(sql_store_entity(s, w[i].entity) - s->entities);

		if (is_told[kind])
			continue;
		is_told[kind] = true;
		PASS(invalidate(&t, str_fmt(a, "%s:", w[i].entity->name)));
		PASS(tell_kind(&t, w[i].entity->name, &w[i], w[i].doc));
	}
	return NULL;
}

struct err *sql_tell_all(struct sql_store *s, struct sql_link *l, struct arena *a)
{
	return l->query(l, a, STR("SELECT pg_notify('gibbon_changes', $1)"), &s->db->node, 1, NULL,
			NULL);
}

/* ---- words that are no entities' --------------------------------------------------------------- */

struct broadcast {
	struct sql_store *store;
	struct arena *a;
	const char *channel;
	str data;
};

static struct err *broadcast(struct sql_link *l, void *arg)
{
	struct broadcast *b = arg;
	struct telling t = { .store = b->store, .link = l, .a = b->a };

	PASS(send(&t, b->channel, b->data));
	return sql_tell_all(b->store, l, b->a);
}

struct err *store_sql_broadcast(struct store *s_, struct arena *a, const char *channel, str data)
{
	struct sql_store *s = sql_store_of(s_);
	struct broadcast b = { s, a, channel, data };

	return s->db->node.s ? s->db->run(s->db, a, SQL_USE_ASIDE, broadcast, &b) : NULL;
}

/* ---- hearing ------------------------------------------------------------------------------------ */

static void forget_key(struct sql_store *s, str key)
{
	if (s->watch.forget)
		s->watch.forget(s->watch.arg, key);
}

/* Of what others cache and we have in what is loaded. */
static const struct entity *kind_of(str word)
{
	static const struct {
		const char *word, *kind;
	} others[] = {
		{ "router", "routes" },
		{ "plugins_iterator", "plugins" },
	};

	for (size_t i = 0; i < COUNT(others); i++) {
		if (str_is(word, others[i].word))
			word = str_of(others[i].kind);
	}
	return entity_find(word);
}

static bool is_table(str word)
{
	for (const struct sql_table *t = sql_tables; t->name; t++) {
		if (str_is(word, t->name))
			return true;
	}
	return false;
}

bool store_sql_forget(struct store *s_, str key)
{
	struct sql_store *s = sql_store_of(s_);
	str rest = key, word = STR(""), part = STR("");
	const struct entity *e;
	uuid id;

	str_next(&rest, ':', &word);
	str_next(&rest, ':', &part);
	e = kind_of(word);
	if (e && sql_store_entity(s, e)->is_on_demand) {
		forget_key(s, key);
		return false;
	}
	if (e && uuid_parse(part, &id) && !e->cache_key)
		sql_store_forget_one(s, e, id, true);
	else if (e)
		sql_store_forget(s, e);
	else if (is_table(word))
		return false; /* of a plugin that is not enabled here */
	else
		store_sql_forget_all(s_);
	return true;
}

/* What an event is about when it says no more than "something of this kind"; or NULL. */
static const struct entity *vague_about(const struct sql_event *e)
{
	if (str_is(e->channel, "balancer:upstreams") || str_is(e->channel, "balancer:targets"))
		return entity_find(str_from(e->channel, sizeof("balancer:") - 1));
	if (!str_is(e->channel, SQL_INVALIDATIONS))
		return NULL;
	return str_is(e->data, "router:version")             ? entity_find(STR("routes"))
	       : str_is(e->data, "plugins_iterator:version") ? entity_find(STR("plugins"))
							     : NULL;
}

/* Nodes say first which entity changed and then that something did: if the former came along
 * the latter says nothing new. */
static bool is_said_already(const struct sql_events *events, const struct entity *about)
{
	for (size_t i = 0; i < events->n; i++) {
		const struct sql_event *e = &events->v[i];
		str rest = e->data, word = STR("");

		str_next(&rest, ':', &word);
		if (str_is(e->channel, SQL_INVALIDATIONS) &&
		    (str_is(word, about->name) ||
		     (str_is(word, "services") && strcmp(about->name, "routes") == 0)))
			return true;
	}
	return false;
}

static bool hear(struct sql_store *s, const struct sql_events *events, const struct sql_event *e)
{
	const struct entity *about = vague_about(e);

	if (about && is_said_already(events, about))
		return true;
	if (about)
		sql_store_forget(s, about);
	else if (str_is(e->channel, SQL_INVALIDATIONS))
		return store_sql_forget(&s->store, e->data);
	else if (s->watch.heard)
		s->watch.heard(s->watch.arg, e->channel, e->data);
	return about != NULL;
}

bool sql_hear(struct sql_store *s, const struct sql_events *events)
{
	bool ret = false;

	for (size_t i = 0; i < events->n; i++)
		ret |= hear(s, events, &events->v[i]);
	return ret;
}
