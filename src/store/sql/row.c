/* SPDX-License-Identifier: Apache-2.0 */
/* An entity's columns, and the statements that are the same each time. */
#include "store/sql/row.h"

#include "base/log.h"

static enum sql_type list_type(const struct field *row)
{
	if (row->elements->kind == FIELD_STRING)
		return row->elements->is_uuid ? SQL_UUIDS : SQL_TEXTS;
	return SQL_JSONS;
}

static enum sql_type type_of(const struct field *row)
{
	switch (row->kind) {
	case FIELD_STRING:
		return row->is_uuid ? SQL_UUID : SQL_TEXT;
	case FIELD_INTEGER:
		return row->is_timestamp ? SQL_TIME : SQL_BIGINT;
	case FIELD_NUMBER:
		return row->is_timestamp ? SQL_TIME : SQL_REAL;
	case FIELD_BOOLEAN:
		return SQL_BOOL;
	case FIELD_ARRAY:
	case FIELD_SET:
		return list_type(row);
	case FIELD_FOREIGN:
		return SQL_UUID;
	default:
		return SQL_JSON;
	}
}

/* The table of an entity; one has another name. */
static const struct sql_table *table_of(const struct entity *e)
{
	if (strcmp(e->name, "tags") == 0)
		return NULL; /* one row per entity there, one document per tag here */
	return sql_table_find(strcmp(e->name, "vaults") == 0 ? "sm_vaults" : e->name);
}

void sql_add_placeholder(struct buf *out, const struct sql_dialect *d, enum sql_type type,
			 size_t number)
{
	const struct sql_wrap *wrap = &d->writes[type];

	if (wrap->before)
		buf_addf(out, "%s", wrap->before);
	buf_addf(out, "%c%zu", d->placeholder, number);
	if (wrap->after)
		buf_addf(out, "%s", wrap->after);
}

static void add_read(struct buf *out, const struct sql_dialect *d, const char *column,
		     enum sql_type type)
{
	const struct sql_wrap *wrap = &d->reads[type];

	if (wrap->before)
		buf_addf(out, "%s", wrap->before);
	sql_add_name(out, column);
	if (wrap->after)
		buf_addf(out, "%s", wrap->after);
}

/* ---- what is written, in order: the fields, then these ------------------------------------ */

static const char *const extra_names[] = { "cache_key", "ttl", "ws_id" };
static const enum sql_type extra_types[] = { SQL_TEXT, SQL_TIME, SQL_UUID };

static bool has_extra(const struct sql_entity *e, size_t i)
{
	return i == 0 ? e->has_cache_key : i == 1 ? e->has_ttl : e->has_workspace;
}

/* The i-th column written; false behind the last. */
static bool written(const struct sql_entity *e, size_t i, const char **ret_name,
		    enum sql_type *ret_type)
{
	if (i < e->n) {
		*ret_name = e->fields[i].column;
		*ret_type = e->fields[i].type;
		return true;
	}
	i -= e->n;
	for (size_t k = 0; k < COUNT(extra_names); k++) {
		if (!has_extra(e, k))
			continue;
		if (i-- == 0) {
			*ret_name = extra_names[k];
			*ret_type = extra_types[k];
			return true;
		}
	}
	return false;
}

static void add_where_key(struct buf *out, const struct sql_dialect *d, const struct sql_entity *e,
			  size_t number)
{
	buf_addf(out, " WHERE \"%s\" = %c%zu", e->key, d->placeholder, number);
	if (e->has_workspace)
		buf_addf(out, " AND \"ws_id\" = %c%zu", d->placeholder, number + 1);
}

static void add_insert(struct buf *out, const struct sql_dialect *d, const struct sql_entity *e)
{
	enum sql_type type = SQL_TEXT;
	const char *name = NULL;

	buf_addf(out, "INSERT INTO \"%s\" (", e->table->name);
	for (size_t i = 0; written(e, i, &name, &type); i++) {
		if (i)
			buf_add_char(out, ',');
		sql_add_name(out, name);
	}
	buf_addf(out, ") VALUES (");
	for (size_t i = 0; written(e, i, &name, &type); i++) {
		if (i)
			buf_add_char(out, ',');
		sql_add_placeholder(out, d, type, i + 1);
	}
	buf_add_char(out, ')');
}

static str taken(struct arena *a, struct buf *out)
{
	str text = str_copy(a, buf_str(out));

	buf_clear(out);
	return text;
}

static void add_returning(struct buf *out, const struct sql_entity *e)
{
	buf_addf(out, " RETURNING " STRF, STRV(e->columns));
}

static str make_update(struct arena *a, struct buf *out, const struct sql_dialect *d,
		       const struct sql_entity *e)
{
	enum sql_type type = SQL_TEXT;
	const char *name = NULL;

	buf_addf(out, "UPDATE \"%s\" SET ", e->table->name);
	for (size_t i = 0; written(e, i, &name, &type); i++) {
		buf_addf(out, "%s\"%s\" = ", i ? ", " : "", name);
		sql_add_placeholder(out, d, type, i + 1);
	}
	add_where_key(out, d, e, e->n_written + 1);
	add_returning(out, e);
	return taken(a, out);
}

static str make_put(struct arena *a, struct buf *out, const struct sql_dialect *d,
		    const struct sql_entity *e)
{
	enum sql_type type = SQL_TEXT;
	const char *name = NULL;

	add_insert(out, d, e);
	buf_addf(out, " ON CONFLICT (\"%s\") DO UPDATE SET ", e->key);
	for (size_t i = 0; written(e, i, &name, &type); i++)
		buf_addf(out, "%s\"%s\" = EXCLUDED.\"%s\"", i ? ", " : "", name, name);
	add_returning(out, e);
	return taken(a, out);
}

static void make_columns(struct arena *a, struct buf *out, const struct sql_dialect *d,
			 struct sql_entity *e)
{
	for (size_t i = 0; i < e->n; i++) {
		if (i)
			buf_add_char(out, ',');
		add_read(out, d, e->fields[i].column, e->fields[i].type);
	}
	if (e->has_ttl) {
		buf_add_char(out, ',');
		add_read(out, d, "ttl", SQL_TIME);
	}
	e->columns = taken(a, out);
}

static void make_statements(struct arena *a, const struct sql_dialect *d, struct sql_entity *e)
{
	struct buf out CLEANUP(buf_done) = { 0 };
	enum sql_type type = SQL_TEXT;
	const char *name = NULL;

	while (written(e, e->n_written, &name, &type))
		e->n_written++;
	make_columns(a, &out, d, e);
	add_insert(&out, d, e);
	add_returning(&out, e);
	e->insert = taken(a, &out);
	e->put = d->has_put ? make_put(a, &out, d, e) : STR_NONE;
	e->update = make_update(a, &out, d, e);
	buf_addf(&out, "SELECT " STRF " FROM \"%s\"", STRV(e->columns), e->table->name);
	add_where_key(&out, d, e, 1);
	if (e->has_ttl)
		buf_addf(&out, " AND (\"ttl\" IS NULL OR \"ttl\" > %s)", d->now);
	e->find = taken(a, &out);
	e->find_lock = str_fmt(a, STRF "%s", STRV(e->find), d->for_update);
	buf_addf(&out, "DELETE FROM \"%s\"", e->table->name);
	add_where_key(&out, d, e, 1);
	e->remove = taken(a, &out);
}

static void add_field(struct arena *a, struct sql_entity *ret, const struct field *f)
{
	const char *column = f->name;

	if (f->kind == FIELD_FOREIGN)
		column = str_z(a, str_fmt(a, "%s_id", f->name));
	if (!sql_column_find(ret->table, column))
		die("entity %s: the table %s has no column %s", ret->entity->name, ret->table->name,
		    column);
	if (ret->n == SQL_FIELDS_MAX)
		die("entity %s has more than %d fields", ret->entity->name, SQL_FIELDS_MAX);
	ret->fields[ret->n++] =
		(struct sql_field){ .row = f, .column = column, .type = type_of(f) };
}

void sql_entity_init(struct arena *a, const struct sql_dialect *d, const struct entity *e,
		     struct sql_entity *ret)
{
	*ret = (struct sql_entity){
		.entity = e,
		.table = table_of(e),
		.key = entity_primary_key(e),
	};
	if (!ret->table)
		return;
	ret->fields = NEWS(a, struct sql_field, SQL_FIELDS_MAX);
	for (const struct field *f = schema_fields(entity_schema(e)); f->name; f++)
		add_field(a, ret, f);
	ret->has_workspace = e->is_workspaceable && sql_column_find(ret->table, "ws_id");
	ret->has_ttl = e->has_ttl && sql_column_find(ret->table, "ttl");
	ret->has_cache_key = e->cache_key && sql_column_find(ret->table, "cache_key");
	if (e->cache_key)
		ret->cache_key = str_split(a, str_of(e->cache_key), ',');
	make_statements(a, d, ret);
}

const struct sql_field *sql_field_find(const struct sql_entity *e, const char *name)
{
	for (size_t i = 0; i < e->n; i++) {
		if (strcmp(e->fields[i].row->name, name) == 0)
			return &e->fields[i];
	}
	return NULL;
}
