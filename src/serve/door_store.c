/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: what plugins keep in the database (gibbon/plugin.h).
 *
 * The store belongs to another loop, and is asked there, on a fiber of its own; the
 * request's arena is lent to it while the request waits. */
#include "base/log.h"
#include "serve/phases.h"
#include "store/store.h"

#include <gibbon/plugin.h>

/* One question. */
struct asking {
	struct req *r;
	const struct entity *entity;
	bool (*fn)(struct asking *g, struct store *s);
	const char *field; /* to find by */
	str value;
	uuid id;
	struct value *doc; /* what is written */
	struct value *found;
	bool was_there, is_done;
	struct db_error error;
};

static void run(void *p)
{
	struct asking *g = p;
	const struct proxy_shared *shared = g->r->proxy->shared;
	struct store *s = shared->store(shared->store_arg);

	if (s)
		g->is_done = g->fn(g, s);
}

static bool ask(struct asking *g)
{
	const struct proxy_shared *shared = g->r->proxy->shared;
	struct arena *a = g->r->arena;
	bool was_asked = fiber_ask(shared->keeper, "kept", run, g);

	if (g->is_done)
		return true;
	if (!was_asked)
		log_error("%s: not asked, the node is stopping", g->entity->name);
	else
		log_error("%s: " STRF "%s" STRF, g->entity->name, STRV(g->error.message),
			  g->error.cause ? ": " : "",
			  STRV(g->error.cause ? err_line(a, g->error.cause) : STR("")));
	return false;
}

static bool cannot(struct asking *g, const char *words)
{
	g->error = (struct db_error){
		.code = DB_UNSUPPORTED,
		.message = str_fmt(g->r->arena, "cannot %s without a database", words),
	};
	return false;
}

/* ---- what is asked ----------------------------------------------------------------------- */

static bool find(struct asking *g, struct store *s)
{
	struct arena *a = g->r->arena;
	uuid id;

	if (strcmp(g->field, "id") == 0)
		g->found = uuid_parse(g->value, &id) ? s->kind->find(s, a, g->entity, id, &g->error)
						     : NULL;
	else
		g->found = s->kind->find_by(s, a, g->entity, g->field, g->value, &g->error);
	return g->found || g->error.code == 0;
}

/* Its rows complete and check it, as those of an API call. */
static bool is_good(struct asking *g, enum schema_op op, const struct value *before)
{
	struct arena *a = g->r->arena;
	struct schema_options o = { .op = op, .now_ms = clock_wall_ms(), .before = before };
	struct value *errors = entity_process(a, g->entity, g->doc, &o);

	if (errors)
		g->error = (struct db_error){ .code = DB_SCHEMA_VIOLATION,
					      .message = json_text(a, errors, JSON_SORTED) };
	return !errors;
}

static bool insert(struct asking *g, struct store *s)
{
	if (!s->kind->insert)
		return cannot(g, "create it");
	if (!is_good(g, SCHEMA_INSERT, NULL))
		return false;
	g->found = s->kind->insert(s, g->r->arena, g->entity, g->doc, &g->error);
	return g->found != NULL;
}

static bool update(struct asking *g, struct store *s)
{
	struct value *before;

	if (!s->kind->update)
		return cannot(g, "change it");
	before = s->kind->find(s, g->r->arena, g->entity, g->id, &g->error);
	if (!before || !is_good(g, SCHEMA_UPDATE, before))
		return false;
	g->found = s->kind->update(s, g->r->arena, g->entity, g->id, g->doc, &g->error);
	return g->found != NULL;
}

static bool take_away(struct asking *g, struct store *s)
{
	struct store_write w = { STORE_REMOVE, g->entity, g->id };
	bool is_done;

	if (!s->kind->write)
		return cannot(g, "remove it");
	is_done = s->kind->write(s, g->r->arena, &w, 1, &g->error);
	g->was_there = w.was_there;
	return is_done;
}

/* ---- the door ----------------------------------------------------------------------------- */

bool stored_find(struct req *r, const struct entity *e, const char *field, str value,
		 struct value **ret)
{
	struct asking g = { .r = r, .entity = e, .fn = find, .field = field, .value = value };

	*ret = NULL;
	if (!ask(&g))
		return false;
	*ret = g.found;
	return true;
}

bool stored_insert(struct req *r, const struct entity *e, struct value *doc, struct value **ret)
{
	struct asking g = { .r = r, .entity = e, .fn = insert, .doc = doc };
	bool is_done = ask(&g);

	*ret = g.found;
	return is_done;
}

bool stored_update(struct req *r, const struct entity *e, uuid id, struct value *change,
		   struct value **ret)
{
	struct asking g = { .r = r, .entity = e, .fn = update, .id = id, .doc = change };
	bool is_done = ask(&g);

	*ret = g.found;
	return is_done;
}

bool stored_remove(struct req *r, const struct entity *e, uuid id, bool *ret_was_there)
{
	struct asking g = { .r = r, .entity = e, .fn = take_away, .id = id };
	bool is_done = ask(&g);

	if (ret_was_there)
		*ret_was_there = g.was_there;
	return is_done;
}
