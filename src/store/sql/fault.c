/* SPDX-License-Identifier: Apache-2.0 */
/* What a write broke, in Kong's words: a key that is taken, a parent that is not there,
 * children that are.  The database names the columns of the first; the others are
 * looked for, so that both databases say the same. */
#include "store/sql/priv.h"

bool sql_database_error(struct db_error *err, struct err *e)
{
	*err = (struct db_error){
		.code = DB_DATABASE_ERROR,
		.message = STR("database error"),
		.cause = e,
	};
	return false;
}

static struct value *or_null(struct arena *a, struct value *v)
{
	return v ? v : value_null(a);
}

/* ---- keys that are taken -------------------------------------------------------------------- */

static const struct sql_field *field_of_column(const struct sql_entity *e, str column)
{
	for (size_t i = 0; i < e->n; i++) {
		if (str_is(column, e->fields[i].column))
			return &e->fields[i];
	}
	return NULL;
}

static void explain_unique(struct arena *a, const struct sql_entity *e, const struct value *doc,
			   const struct sql_failure *f, struct db_error *err)
{
	struct value *fields = value_object(a);
	bool is_primary = false;

	for (size_t i = 0; i < f->columns.n; i++) {
		const struct sql_field *field = field_of_column(e, f->columns.v[i]);

		if (str_is(f->columns.v[i], "cache_key")) {
			for (size_t k = 0; k < e->cache_key.n; k++)
				value_set(a, fields, e->cache_key.v[k],
					  or_null(a, value_get_str(doc, e->cache_key.v[k])));
		} else if (field) {
			is_primary |= strcmp(field->column, e->key) == 0;
			value_set(a, fields, str_of(field->row->name),
				  or_null(a, value_get(doc, field->row->name)));
		}
	}
	*err = (struct db_error){
		.code = is_primary ? DB_PRIMARY_KEY_VIOLATION : DB_UNIQUE_VIOLATION,
		.message = str_fmt(a,
				   is_primary ? "primary key violation on key '" STRF "'"
					      : "UNIQUE violation detected on '" STRF "'",
				   STRV(db_key_text(a, fields))),
		.fields = fields,
	};
}

/* ---- parents that are not there, children that are -------------------------------------------- */

struct probe {
	struct sql_store *store;
	struct arena *a;
	const struct sql_entity *table;
	const char *column;
	str key;
	bool is_there;
};

static struct err *look_for(struct sql_link *l, void *arg)
{
	struct probe *p = arg;
	const str params[] = { p->key, p->store->workspace };
	struct sql_rows rows;
	str sql = str_fmt(p->a, "SELECT 1 FROM \"%s\" WHERE \"%s\" = %c1", p->table->table->name,
			  p->column, l->dialect->placeholder);

	if (p->table->has_workspace)
		sql = str_fmt(p->a, STRF " AND \"ws_id\" = %c2", STRV(sql),
			      l->dialect->placeholder);
	sql = str_fmt(p->a, STRF " LIMIT 1", STRV(sql));
	PASS(l->query(l, p->a, sql, params, p->table->has_workspace ? 2 : 1, &rows, NULL));
	p->is_there = rows.n > 0;
	return NULL;
}

static struct err *is_there(struct sql_store *s, struct arena *a, const struct sql_entity *table,
			    const char *column, str key, bool *ret)
{
	struct probe p = { .store = s, .a = a, .table = table, .column = column, .key = key };

	PASS(s->db->run(s->db, a, SQL_USE_READ, look_for, &p));
	*ret = p.is_there;
	return NULL;
}

static struct err *explain_parent(struct sql_store *s, struct arena *a, const struct sql_entity *e,
				  const struct value *doc, struct db_error *err)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct field *row = e->fields[i].row;
		struct value *key = value_get(doc, row->name), *fields;
		const struct entity *parent;
		bool found = false;

		if (row->kind != FIELD_FOREIGN || value_is_null(value_get(key, "id")))
			continue;
		parent = entity_find(str_of(row->reference));
		PASS(is_there(s, a, sql_store_entity(s, parent), "id", value_get(key, "id")->s,
			      &found));
		if (found)
			continue;
		fields = value_object(a);
		value_set(a, fields, str_of(row->name), key);
		*err = (struct db_error){
			.code = DB_FOREIGN_KEY_VIOLATION,
			.message = str_fmt(a,
					   "the foreign key '" STRF "' does not reference an "
					   "existing '%s' entity.",
					   STRV(db_key_text(a, key)), parent->name),
			.fields = fields,
		};
		return NULL;
	}
	return NULL;
}

static struct err *explain_children(struct sql_store *s, struct arena *a,
				    const struct sql_entity *e, uuid id, struct db_error *err)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct sql_entity *child = &s->entities[i];

		for (size_t k = 0; k < child->n; k++) {
			const struct field *row = child->fields[k].row;
			struct value *fields;
			bool found = false;

			if (row->kind != FIELD_FOREIGN || row->on_delete ||
			    strcmp(row->reference, e->entity->name) != 0)
				continue;
			PASS(is_there(s, a, child, child->fields[k].column, uuid_str(a, id),
				      &found));
			if (!found)
				continue;
			fields = value_object(a);
			value_set(a, fields, STR("@referenced_by"),
				  value_text(a, child->entity->name));
			*err = (struct db_error){
				.code = DB_FOREIGN_KEY_VIOLATION,
				.message = str_fmt(a,
						   "an existing '%s' entity references this "
						   "'%s' entity",
						   child->entity->name, e->entity->name),
				.fields = fields,
			};
			return NULL;
		}
	}
	return NULL;
}

void sql_explain(struct sql_store *s, struct arena *a, const struct store_write *w,
		 const struct sql_failure *f, struct err *e, struct db_error *err)
{
	const struct sql_entity *entity = sql_store_entity(s, w->entity);
	struct err *failed = NULL;

	sql_database_error(err, e);
	if (f->fault == SQL_FAULT_UNIQUE)
		explain_unique(a, entity, w->doc, f, err);
	else if (f->fault == SQL_FAULT_FOREIGN && w->op == STORE_REMOVE)
		failed = explain_children(s, a, entity, w->id, err);
	else if (f->fault == SQL_FAULT_FOREIGN)
		failed = explain_parent(s, a, entity, w->doc, err);
	if (failed)
		sql_database_error(err, failed);
}
