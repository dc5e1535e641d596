/* SPDX-License-Identifier: Apache-2.0 */
#include "process/database.h"

#include "base/yaml.h"
#include "store/postgres/database.h"
#include "store/postgres/migrations.h"
#include "store/sql/store.h"
#include "store/sqlite.h"

static void say_nothing(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

/* Tables that are not as they should be would fail later, and less clearly. */
static struct err *open_postgres(const struct settings *s, struct sql_database **ret)
{
	const struct migrations_options o = {
		.settings = s,
		.db_timeout_ms = s->pg_timeout,
		.say = say_nothing,
	};
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct migrations_state state;

	PASS(migrations_look(a, &o, &state));
	PASS(migrations_check(&state));
	*ret = postgres_database_new(s);
	return NULL;
}

static struct err *open_sqlite(const struct settings *s, struct sql_database **ret)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str path = s->sqlite_path;

	if (path.n == 0 || path.s[0] != '/')
		path = settings_path(a, s, str_z(a, path));
	return sqlite_open(str_z(a, path), ret);
}

struct err *database_open(const struct settings *s, struct store **ret)
{
	struct sql_database *db;

	PASS(s->database_kind == DATABASE_POSTGRES ? open_postgres(s, &db) : open_sqlite(s, &db));
	return store_sql_new(db, ret);
}

/* ---- for commands ---------------------------------------------------------------------------- */

struct errand {
	const struct settings *settings;
	struct err *(*fn)(struct errand *g, struct store *s);
	struct arena *a;
	struct declarative_config *d;
	str text;
};

static struct err *run_errand(void *arg)
{
	struct errand *g = arg;
	struct store *s = NULL;
	struct err *e;

	PASS(database_open(g->settings, &s));
	e = g->fn(g, s);
	s->kind->drop(s);
	return e;
}

static struct err *run(struct errand *g)
{
	if (g->settings->database_kind == DATABASE_POSTGRES)
		return pg_alone(g->settings, run_errand, g);
	return run_errand(g);
}

static struct err *failed(struct arena *a, const struct db_error *err)
{
	if (err->cause)
		return FAIL(err->cause->code, STRF ": " STRF, STRV(err->message),
			    STRV(err_line(a, err->cause)));
	return FAIL(ERR_INVALID, STRF, STRV(err->message));
}

/* Parents first, as entities[] is. */
static struct err *import(struct errand *g, struct store *s)
{
	struct value *all = declarative_entities(g->a, g->d);
	struct db_error err = { 0 };
	struct store_write *w;
	size_t n = 0;

	for (uint32_t i = 0; i < all->n; i++)
		n += all->members[i].value->n;
	w = NEWS(g->a, struct store_write, n + 1);
	n = 0;
	for (size_t i = 0; entities[i]; i++) {
		const struct value *docs = value_get(all, entities[i]->name);

		for (uint32_t k = 0; docs && k < docs->n; k++) {
			w[n] = (struct store_write){ STORE_UPSERT, entities[i],
						     .doc = docs->members[k].value };
			if (value_get(w[n].doc, "id"))
				uuid_parse(value_get(w[n].doc, "id")->s, &w[n].id);
			n++;
		}
	}
	return s->kind->write(s, g->a, w, n, &err) ? NULL : failed(g->a, &err);
}

struct err *database_import(const struct settings *s, struct declarative_config *d)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct errand g = { s, import, a, d, STR_NONE };

	return run(&g);
}

static bool is_exported(const struct entity *e)
{
	return !e->is_local && strcmp(e->name, "workspaces") != 0 &&
	       strcmp(e->name, "parameters") != 0;
}

/* References as kong.yml has them: the id alone. */
static struct value *as_declared(struct arena *a, const struct entity *e, struct value *doc)
{
	struct value *ret = value_object(a);

	for (uint32_t i = 0; i < doc->n; i++) {
		str key = doc->members[i].key;
		struct value *v = doc->members[i].value;
		const struct field *row = entity_field(e, str_z(a, key));

		if (value_is_null(v))
			continue;
		if (row && row->kind == FIELD_FOREIGN)
			v = value_get(v, "id");
		value_append(a, ret, key, v);
	}
	return ret;
}

static struct err *export_kind(struct errand *g, struct store *s, const struct entity *e,
			       struct value *to)
{
	struct page_query q = { .size = 1000 };
	struct value *list = value_array(g->a);
	struct db_error err = { 0 };
	struct page page;

	do {
		if (!s->kind->page(s, g->a, e, &q, &page, &err))
			return failed(g->a, &err);
		for (uint32_t i = 0; i < page.data->n; i++)
			value_add(g->a, list, as_declared(g->a, e, page.data->items[i]));
		q.offset = page.offset;
	} while (page.offset.n);
	if (list->n)
		value_set(g->a, to, str_of(e->name), list);
	return NULL;
}

static struct err *export(struct errand *g, struct store *s)
{
	struct buf out CLEANUP(buf_done) = { 0 };
	struct value *all = value_object(g->a);

	value_set(g->a, all, STR("_format_version"), value_text(g->a, "3.0"));
	value_set(g->a, all, STR("_transform"), value_bool(g->a, false));
	for (size_t i = 0; entities[i]; i++) {
		if (is_exported(entities[i]))
			PASS(export_kind(g, s, entities[i], all));
	}
	yaml_write(&out, all);
	if (out.is_full)
		return FAIL(ERR_INVALID, "the configuration is larger than %zu bytes",
			    BUF_MAX_DEFAULT);
	g->text = str_copy(g->a, buf_str(&out));
	return NULL;
}

struct err *database_export(struct arena *a, const struct settings *s, str *ret)
{
	struct errand g = { s, export, a, NULL, STR_NONE };

	PASS(run(&g));
	*ret = g.text;
	return NULL;
}
