/* SPDX-License-Identifier: Apache-2.0 */
/* Documents to rows and back: every value as the text that both databases take. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "store/sql/row.h"

#include <math.h>
#include <stdlib.h>

#define CACHE_KEY_PARTS 5

/* ---- out ---------------------------------------------------------------------------------- */

static int member_order(const void *x, const void *y)
{
	const struct member *a = x, *b = y;

	if (a->key.n != b->key.n)
		return a->key.n < b->key.n ? -1 : 1;
	return str_cmp(a->key, b->key);
}

/* Members in the order that jsonb keeps them in, so that both stores show one. */
static struct value *in_order(struct arena *a, const struct value *v)
{
	struct value *ret = NEW(a, struct value);

	*ret = *v;
	if (v->kind == VALUE_ARRAY && v->n) {
		ret->items = NEWS(a, struct value *, v->n);
		for (uint32_t i = 0; i < v->n; i++)
			ret->items[i] = in_order(a, v->items[i]);
	}
	if (v->kind == VALUE_OBJECT && v->n) {
		ret->members = NEWS(a, struct member, v->n);
		for (uint32_t i = 0; i < v->n; i++)
			ret->members[i] = (struct member){ v->members[i].key,
							   in_order(a, v->members[i].value) };
		qsort(ret->members, v->n, sizeof(*ret->members), member_order);
	}
	return ret;
}

static str as_json(struct arena *a, const struct value *v)
{
	return json_text(a, in_order(a, v), JSON_COMPACT);
}

/* {"a","b"}: what PostgreSQL reads an array from. */
static str as_array(struct arena *a, const struct value *v)
{
	struct buf out CLEANUP(buf_done) = { 0 };

	buf_add_char(&out, '{');
	for (uint32_t i = 0; i < v->n; i++) {
		const struct value *item = v->items[i];
		str text = item->kind == VALUE_STRING ? item->s : as_json(a, item);

		buf_addf(&out, "%s\"", i ? "," : "");
		for (size_t k = 0; k < text.n; k++) {
			if (text.s[k] == '"' || text.s[k] == '\\')
				buf_add_char(&out, '\\');
			buf_add_char(&out, text.s[k]);
		}
		buf_add_char(&out, '"');
	}
	buf_add_char(&out, '}');
	return str_copy(a, buf_str(&out));
}

static str as_number(struct arena *a, const struct value *v, enum sql_type type)
{
	if (v->kind == VALUE_INT)
		return str_fmt(a, "%lld", (long long)v->i);
	return type == SQL_TIME ? str_fmt(a, "%.3f", v->real) : str_fmt(a, "%.17g", v->real);
}

static str encode(struct arena *a, const struct sql_dialect *d, const struct sql_field *f,
		  const struct value *v)
{
	if (f->row->kind == FIELD_FOREIGN)
		v = value_get(v, "id");
	if (value_is_null(v))
		return STR_NONE;
	switch (f->type) {
	case SQL_BOOL:
		return v->b ? STR("1") : STR("0");
	case SQL_TEXT:
	case SQL_UUID:
		return v->s.s ? v->s : STR("");
	case SQL_JSON:
		return as_json(a, v);
	case SQL_TEXTS:
	case SQL_UUIDS:
	case SQL_JSONS:
		return d->lists_are_json ? as_json(a, v) : as_array(a, v);
	default:
		return as_number(a, v, f->type);
	}
}

static str key_part(const struct value *doc, str name)
{
	const struct value *v = value_get_str(doc, name);

	if (v && v->kind == VALUE_OBJECT)
		v = value_get(v, "id");
	return value_is_null(v) || v->kind != VALUE_STRING ? STR("") : v->s;
}

/* "plugins:key-auth:::<consumer>::<workspace>" */
str sql_cache_key(struct arena *a, const struct sql_entity *e, const struct value *doc,
		  str workspace)
{
	str text = str_of(e->entity->name), key = str_of(e->key);
	bool is_empty = true;

	for (size_t i = 0; i < e->cache_key.n; i++)
		is_empty &= key_part(doc, e->cache_key.v[i]).n == 0;
	for (size_t i = 0; i < CACHE_KEY_PARTS; i++) {
		str part = i == 0 && is_empty ? key_part(doc, key) : STR("");

		if (!is_empty && i < e->cache_key.n)
			part = key_part(doc, e->cache_key.v[i]);
		text = str_fmt(a, STRF ":" STRF, STRV(text), STRV(part));
	}
	return str_fmt(a, STRF ":" STRF, STRV(text), STRV(e->has_workspace ? workspace : STR("")));
}

/* The moment it ends: counted from when it was made, or from when its ttl is changed. */
static str end_of(struct arena *a, const struct value *doc, bool is_change)
{
	const struct value *ttl = value_get(doc, "ttl"), *made = value_get(doc, "created_at");
	int64_t from = clock_wall_s();

	if (value_is_null(ttl) || ttl->kind != VALUE_INT || ttl->i == 0)
		return STR_NONE;
	if (!is_change && !value_is_null(made) && made->kind == VALUE_INT)
		from = made->i;
	return str_fmt(a, "%lld", (long long)(from + ttl->i));
}

str *sql_encode(struct arena *a, const struct sql_dialect *d, const struct sql_entity *e,
		const struct value *doc, str workspace, bool is_change)
{
	str *params = NEWS(a, str, e->n_written + 2);
	size_t n = 0;

	for (; n < e->n; n++)
		params[n] = encode(a, d, &e->fields[n], value_get(doc, e->fields[n].row->name));
	if (e->has_cache_key)
		params[n++] = sql_cache_key(a, e, doc, workspace);
	if (e->has_ttl)
		params[n++] = end_of(a, doc, is_change);
	if (e->has_workspace)
		params[n++] = workspace;
	return params;
}

/* ---- in ------------------------------------------------------------------------------------- */

/* ["a","b"] without anything escaped, which is what most lists are. */
static struct value *plain_list(struct arena *a, str text)
{
	struct value *list = value_array(a);
	str rest = str_part(text, 1, text.n - 1), piece;

	if (text.n < 2 || text.s[0] != '[' || str_find(text, '\\', 0) >= 0)
		return NULL;
	while (rest.n) {
		ptrdiff_t end = rest.s[0] == '"' ? str_find(rest, '"', 1) : -1;

		if (end < 0)
			return NULL;
		piece = str_part(rest, 1, (size_t)end);
		value_add(a, list, value_str(a, piece));
		rest = str_from(rest, (size_t)end + 1);
		if (rest.n && (rest.s[0] != ',' || rest.n < 2))
			return NULL;
		rest = str_from(rest, 1);
	}
	return list;
}

static struct value *decode_number(struct arena *a, const struct field *row, str text)
{
	int64_t whole;
	double real = 0;

	if (row->kind == FIELD_INTEGER && str_to_int(text, &whole))
		return value_int(a, whole);
	if (!str_to_num(text, &real))
		return value_null(a);
	return row->kind == FIELD_INTEGER ? value_int(a, (int64_t)floor(real))
					  : value_real(a, real);
}

static struct err *decode(struct arena *a, const struct sql_field *f, str text, struct value **ret)
{
	switch (f->type) {
	case SQL_BOOL:
		*ret = value_bool(a, text.n && (text.s[0] == '1' || text.s[0] == 't'));
		return NULL;
	case SQL_TEXT:
		*ret = value_str(a, text);
		return NULL;
	case SQL_UUID:
		*ret = value_str(a, text);
		if (f->row->kind == FIELD_FOREIGN) {
			struct value *id = *ret;

			*ret = value_object(a);
			value_set(a, *ret, STR("id"), id);
		}
		return NULL;
	case SQL_TEXTS:
	case SQL_UUIDS:
		*ret = plain_list(a, text);
		if (*ret)
			return NULL;
		__attribute__((fallthrough));
	case SQL_JSON:
	case SQL_JSONS:
		TRY(json_parse(a, text, ret), "column %s", f->column);
		return NULL;
	default:
		*ret = decode_number(a, f->row, text);
		return NULL;
	}
}

/* Nested rows that are missing get their defaults: the row may be of an older program. */
static struct value *completed(struct arena *a, const struct sql_entity *e, struct value *doc)
{
	const struct schema *s = entity_schema(e->entity);
	const struct schema_options o = { .op = SCHEMA_SELECT };

	if (schema_process(a, s, doc, &o))
		log_warn("a row of %s does not look as it should", e->table->name);
	return schema_render(a, s, doc);
}

static bool is_nested(const struct sql_field *f, str text)
{
	return f->row->kind == FIELD_RECORD || (f->type == SQL_JSONS && text.s);
}

struct err *sql_decode(struct arena *a, const struct sql_entity *e, const struct sql_rows *rows,
		       size_t row, struct value **ret)
{
	struct value *doc = value_object(a), *v;
	bool has_nested = false;

	value_reserve(a, doc, (uint32_t)e->n + 1);
	for (size_t i = 0; i < e->n; i++) {
		str text = sql_cell(rows, row, i);

		has_nested |= is_nested(&e->fields[i], text);
		v = value_null(a);
		if (text.s)
			TRY(decode(a, &e->fields[i], text, &v), "table %s", e->table->name);
		value_append(a, doc, str_of(e->fields[i].row->name), v);
	}
	if (has_nested)
		doc = completed(a, e, doc);
	if (e->has_ttl) {
		double end = 0;

		v = str_to_num(sql_cell(rows, row, e->n), &end)
			    ? value_int(a, (int64_t)floor(end) - clock_wall_s())
			    : value_null(a);
		value_set(a, doc, STR("ttl"), v);
	}
	*ret = doc;
	return NULL;
}
