/* SPDX-License-Identifier: Apache-2.0 */
/* What other nodes are told of a write: rows of cluster_events as Kong writes them, so
 * that its nodes forget what they had cached, and a word to those who listen.  In the
 * transaction of the write: who hears of it can read it. */
#include "base/uuid.h"
#include "store/sql/priv.h"

#define KEPT "3600 seconds"

struct telling {
	struct sql_store *store;
	struct sql_link *link;
	struct arena *a;
};

static struct err *tell(struct telling *t, const char *channel, str data)
{
	static const char sql[] =
		"INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)"
		" VALUES ($1, $2, CURRENT_TIMESTAMP(3),"
		" CURRENT_TIMESTAMP(3) + interval '" KEPT "', $3, $4)";
	const str params[] = { uuid_str(t->a, uuid_random()), t->store->db->node, str_of(channel),
			       data };

	return t->link->query(t->link, t->a, str_of(sql), params, COUNT(params), NULL, NULL);
}

static struct err *invalidate(struct telling *t, str key)
{
	return tell(t, "invalidations", key);
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

/* The key that nodes cache the entity by: its cache_key, or its id. */
static struct err *tell_key(struct telling *t, const struct sql_entity *e, const struct value *doc)
{
	return invalidate(t, sql_cache_key(t->a, e, doc, t->store->workspace));
}

struct err *sql_tell(struct sql_store *s, struct sql_link *l, struct arena *a,
		     const struct store_write *w, const struct value *before,
		     const struct value *after)
{
	struct telling t = { s, l, a };
	const struct sql_entity *e = sql_store_entity(s, w->entity);

	if (before)
		PASS(tell_key(&t, e, before));
	if (after)
		PASS(tell_key(&t, e, after));
	if (before && after && strcmp(w->entity->name, "snis") == 0)
		PASS(tell_names(&t, before));
	return tell_kind(&t, w->entity->name, w, after ? after : before);
}

/* Once for each kind of entity that is among the writes: for an import. */
struct err *sql_tell_kinds(struct sql_store *s, struct sql_link *l, struct arena *a,
			   const struct store_write *w, size_t n)
{
	struct telling t = { s, l, a };
	bool *is_told = NEWS(a, bool, s->n);

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
