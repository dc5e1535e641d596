/* SPDX-License-Identifier: Apache-2.0 */
/* Documents to structs, documents laid over documents, documents as they are shown. */
#include "base/log.h"
#include "schema/priv.h"

#include <math.h>

static void decode_record(struct arena *a, const struct schema *s, const struct value *doc,
			  char *to);

static bool is_text(const struct value *v)
{
	return !value_is_null(v) && v->kind == VALUE_STRING;
}

static int64_t integer_of(const struct value *v)
{
	return value_is_null(v) || v->kind != VALUE_INT ? FIELD_UNSET_INT : v->i;
}

static uuid uuid_of(const struct value *v)
{
	uuid u = { 0 };

	if (is_text(v))
		uuid_parse(v->s, &u);
	return u;
}

/* An empty list has an address, one that is unset has none. */
static void decode_texts(struct arena *a, const struct value *v, strs *ret)
{
	*ret = (strs){ NEWS(a, str, v->n ? v->n : 1), v->n };
	for (uint32_t i = 0; i < v->n; i++)
		ret->v[i] = is_text(v->items[i]) ? v->items[i]->s : STR_NONE;
}

static void decode_integers(struct arena *a, const struct value *v, struct ints *ret)
{
	*ret = (struct ints){ v->n ? NEWS(a, int64_t, v->n) : NULL, v->n };
	for (uint32_t i = 0; i < v->n; i++)
		ret->v[i] = integer_of(v->items[i]);
}

static void decode_records(struct arena *a, const struct rule *rule, const struct value *v,
			   struct records *ret)
{
	size_t size = rule->elements->row->record_size;

	if (!size)
		die("row %s: its elements have no record_size", rule->row->name);
	*ret = (struct records){ v->n ? arena_zalloc(a, arena_times_(v->n, size)) : NULL, v->n };
	for (uint32_t i = 0; i < v->n; i++)
		decode_record(a, rule->elements->record, v->items[i], (char *)ret->v + i * size);
}

/* A list that is unset is one without elements. */
static void decode_list(struct arena *a, const struct rule *rule, const struct value *v, void *to)
{
	memset(to, 0, rule->row->size);
	if (value_is_null(v) || v->kind != VALUE_ARRAY)
		return;
	switch (rule->elements->kind) {
	case FIELD_STRING:
		decode_texts(a, v, to);
		break;
	case FIELD_INTEGER:
		decode_integers(a, v, to);
		break;
	case FIELD_RECORD:
		decode_records(a, rule, v, to);
		break;
	default:
		die("row %s: there is no struct for its elements", rule->row->name);
	}
}

static void decode_boolean(const struct rule *rule, const struct value *v, void *to)
{
	bool is_set = !value_is_null(v) && v->kind == VALUE_BOOL;

	if (rule->row->size == sizeof(bool))
		*(bool *)to = is_set && v->b;
	else
		*(enum tri *)to = !is_set ? TRI_UNSET : v->b ? TRI_YES : TRI_NO;
}

static void decode_text(const struct rule *rule, const struct value *v, void *to)
{
	if (rule->row->is_uuid)
		*(uuid *)to = uuid_of(v);
	else
		*(str *)to = is_text(v) ? v->s : STR_NONE;
}

static void decode_value(struct arena *a, const struct rule *rule, const struct value *v, void *to)
{
	switch (rule->kind) {
	case FIELD_STRING:
		decode_text(rule, v, to);
		break;
	case FIELD_INTEGER:
		*(int64_t *)to = integer_of(v);
		break;
	case FIELD_NUMBER:
		*(double *)to = value_num(v);
		break;
	case FIELD_BOOLEAN:
		decode_boolean(rule, v, to);
		break;
	case FIELD_ARRAY:
	case FIELD_SET:
		decode_list(a, rule, v, to);
		break;
	case FIELD_FOREIGN:
		*(uuid *)to = uuid_of(value_get(v, "id"));
		break;
	case FIELD_RECORD:
		if (rule->record && !rule->row->is_abstract) {
			decode_record(a, rule->record, v, to);
			break;
		}
		__attribute__((fallthrough));
	case FIELD_MAP:
	case FIELD_ANY:
		*(const struct value **)to = value_is_null(v) ? NULL : v;
		break;
	case FIELD_END_:
		break;
	}
}

struct value *schema_get_next(const struct value *doc, str name, uint32_t *at)
{
	if (value_is_null(doc) || doc->kind != VALUE_OBJECT)
		return NULL;
	for (uint32_t tried = 0, i = *at; tried < doc->n; tried++, i++) {
		if (i >= doc->n)
			i = 0;
		if (!str_eq(doc->members[i].key, name))
			continue;
		*at = i + 1;
		return doc->members[i].value;
	}
	return NULL;
}

static void decode_record(struct arena *a, const struct schema *s, const struct value *doc,
			  char *to)
{
	uint32_t at = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = &s->rules[i];

		if (rule->row->offset != FIELD_NOT_KEPT)
			decode_value(a, rule, schema_get_next(doc, rule->name, &at),
				     to + rule->row->offset);
	}
}

void schema_decode(struct arena *a, const struct schema *s, const struct value *doc, void *ret)
{
	decode_record(a, s, doc, ret);
}

/* ---- encoding ------------------------------------------------------------------------------ */

static struct value *encode_record(struct arena *a, const struct schema *s, const char *from);

static struct value *text_value(struct arena *a, str s)
{
	return s.s ? value_str(a, s) : value_null(a);
}

static struct value *encode_uuid(struct arena *a, uuid u)
{
	return uuid_is_none(u) ? value_null(a) : value_str(a, uuid_str(a, u));
}

static struct value *encode_list(struct arena *a, const struct rule *rule, const void *from)
{
	const strs *texts = from;
	const struct ints *numbers = from;
	const struct records *records = from;
	struct value *list = value_array(a);

	if (texts->n == 0) /* all three begin with a pointer, then their number */
		return value_null(a);
	for (size_t i = 0; i < texts->n; i++) {
		size_t size = rule->elements->row->record_size;

		if (rule->elements->kind == FIELD_STRING)
			value_add(a, list, text_value(a, texts->v[i]));
		else if (rule->elements->kind == FIELD_INTEGER)
			value_add(a, list, value_int(a, numbers->v[i]));
		else
			value_add(a, list,
				  encode_record(a, rule->elements->record,
						(const char *)records->v + i * size));
	}
	return list;
}

static struct value *encode_boolean(struct arena *a, const struct rule *rule, const void *from)
{
	enum tri tri;

	if (rule->row->size == sizeof(bool))
		return value_bool(a, *(const bool *)from);
	tri = *(const enum tri *)from;
	return tri == TRI_UNSET ? value_null(a) : value_bool(a, tri == TRI_YES);
}

static struct value *encode_foreign(struct arena *a, uuid u)
{
	struct value *v;

	if (uuid_is_none(u))
		return value_null(a);
	v = value_object(a);
	value_set(a, v, STR("id"), encode_uuid(a, u));
	return v;
}

static struct value *encode_tree(struct arena *a, const void *from)
{
	const struct value *const *v = from;

	return *v ? value_copy(a, *v) : value_null(a);
}

static struct value *encode_value(struct arena *a, const struct rule *rule, const char *from)
{
	switch (rule->kind) {
	case FIELD_STRING:
		return rule->row->is_uuid ? encode_uuid(a, *(const uuid *)from)
					  : text_value(a, *(const str *)from);
	case FIELD_INTEGER:
		return *(const int64_t *)from == FIELD_UNSET_INT
			       ? value_null(a)
			       : value_int(a, *(const int64_t *)from);
	case FIELD_NUMBER:
		return isnan(*(const double *)from) ? value_null(a)
						    : value_real(a, *(const double *)from);
	case FIELD_BOOLEAN:
		return encode_boolean(a, rule, from);
	case FIELD_ARRAY:
	case FIELD_SET:
		return encode_list(a, rule, from);
	case FIELD_FOREIGN:
		return encode_foreign(a, *(const uuid *)from);
	case FIELD_RECORD:
		if (rule->record && !rule->row->is_abstract)
			return encode_record(a, rule->record, from);
		return encode_tree(a, from);
	case FIELD_MAP:
	case FIELD_ANY:
		return encode_tree(a, from);
	case FIELD_END_:
		break;
	}
	return value_null(a);
}

static struct value *encode_record(struct arena *a, const struct schema *s, const char *from)
{
	struct value *v = value_object(a);

	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = &s->rules[i];

		if (rule->row->offset != FIELD_NOT_KEPT)
			value_append(a, v, rule->name,
				     encode_value(a, rule, from + rule->row->offset));
	}
	return v;
}

struct value *schema_encode(struct arena *a, const struct schema *s, const void *from)
{
	return encode_record(a, s, from);
}

/* ---- merging ------------------------------------------------------------------------------- */

static bool is_mergeable(const struct rule *rule, const struct value *top)
{
	return rule && rule->kind == FIELD_RECORD && rule->record && top->kind == VALUE_OBJECT;
}

struct value *schema_merge(struct arena *a, const struct schema *s, const struct value *before,
			   const struct value *change)
{
	const struct schema *variant = schema_variant(s, before);
	struct value *both = value_object(a);

	for (uint32_t i = 0; before && before->kind == VALUE_OBJECT && i < before->n; i++)
		value_set(a, both, before->members[i].key, before->members[i].value);
	for (uint32_t i = 0; i < change->n; i++) {
		str key = change->members[i].key;
		struct value *top = change->members[i].value;
		const struct rule *rule = variant ? schema_find_rule(variant, key) : NULL;

		if (!rule)
			rule = schema_find_rule(s, key);
		if (is_mergeable(rule, top))
			top = schema_merge(a, rule->record, value_get_str(before, key), top);
		value_set(a, both, key, top);
	}
	return both;
}

/* ---- showing ------------------------------------------------------------------------------- */

static struct value *render_value(struct arena *a, const struct rule *rule, struct value *v)
{
	if (value_is_null(v))
		return value_null(a);
	if (rule->kind == FIELD_RECORD && rule->record && v->kind == VALUE_OBJECT)
		return schema_render(a, rule->record, v);
	return v;
}

struct value *schema_render(struct arena *a, const struct schema *s, const struct value *doc)
{
	const struct schema *variant = schema_variant(s, doc);
	struct value *shown = value_object(a);
	uint32_t at = 0;

	value_reserve(a, shown, (uint32_t)s->n + 1);
	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = schema_rule(s, variant, i);

		value_append(a, shown, rule->name,
			     render_value(a, rule, schema_get_next(doc, rule->name, &at)));
	}
	if (s->traits.has_ttl && value_get(doc, "ttl"))
		value_set(a, shown, STR("ttl"), value_get(doc, "ttl"));
	return shown;
}
