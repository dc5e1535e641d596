/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as a list with one entry per entity, for programs that look after many.
 *
 * Nested entities have entries of their own; what they are nested in is not
 * repeated, only referred to where its id is known.  An entity is shown as it came. */
#include "base/vec.h"
#include "store/priv.h"

struct flattening {
	struct arena *a;
	struct value *entries;
};

static void flatten_list(struct flattening *f, const struct entity *e, struct value *list,
			 const struct value *errors, const struct field *row,
			 const struct value *parent);

/* The field of `child` that refers to entity e, where no field of e's has the child's name. */
static const struct field *child_field(const struct entity *child, const struct entity *e)
{
	const struct field *row = schema_fields(entity_schema(child));

	for (; row->name; row++) {
		if (row->kind == FIELD_FOREIGN && strcmp(row->reference, e->name) == 0 &&
		    !entity_field(e, child->name))
			return row;
	}
	return NULL;
}

static void add_error(struct flattening *f, struct value *list, const char *type, str field,
		      const struct value *message)
{
	struct value *one = value_object(f->a);

	value_set(f->a, one, STR("type"), value_text(f->a, type));
	if (field.n)
		value_set(f->a, one, STR("field"), value_str(f->a, field));
	value_set(f->a, one, STR("message"), value_copy(f->a, message));
	value_add(f->a, list, one);
}

static str join(struct arena *a, str above, str name)
{
	return above.n ? str_fmt(a, STRF "." STRF, STRV(above), STRV(name)) : name;
}

/* Down to the messages, with the path to each; places in lists count from 1. */
static void collect(struct flattening *f, struct value *list, str path, const struct value *errors)
{
	if (value_is_null(errors))
		return;
	if (errors->kind == VALUE_ARRAY) {
		for (uint32_t i = 0; i < errors->n; i++)
			collect(f, list, join(f->a, path, str_fmt(f->a, "%u", i + 1)),
				errors->items[i]);
		return;
	}
	if (errors->kind != VALUE_OBJECT) {
		add_error(f, list, "field", path, errors);
		return;
	}
	for (uint32_t i = 0; i < errors->n; i++) {
		const struct member *m = &errors->members[i];

		for (uint32_t k = 0; str_is(m->key, "@entity") && k < m->value->n; k++)
			add_error(f, list, "entity", STR_NONE, m->value->items[k]);
		if (!str_is(m->key, "@entity"))
			collect(f, list, join(f->a, path, m->key), m->value);
	}
}

static bool are_texts(const struct value *v)
{
	if (value_is_null(v) || v->kind != VALUE_ARRAY)
		return false;
	for (uint32_t i = 0; i < v->n; i++) {
		if (v->items[i]->kind != VALUE_STRING)
			return false;
	}
	return true;
}

static bool has_id(const struct value *doc)
{
	const struct value *id = value_get(doc, "id");
	uuid u;

	return !value_is_null(id) && id->kind == VALUE_STRING && uuid_parse(id->s, &u);
}

/* "services": "service". */
static str singular(str name)
{
	return str_ends(name, STR("s")) ? str_part(name, 0, name.n - 1) : name;
}

static void add_entry(struct flattening *f, const struct entity *e, struct value *doc,
		      struct value *errors)
{
	struct value *entry = value_object(f->a), *list = value_array(f->a);
	struct value *name = value_get(doc, "name"), *tags = value_get(doc, "tags");

	collect(f, list, STR_NONE, errors);
	if (!list->n)
		return;
	if (!value_is_null(name) && name->kind == VALUE_STRING && name->s.n)
		value_set(f->a, entry, STR("entity_name"), name);
	if (has_id(doc))
		value_set(f->a, entry, STR("entity_id"), value_get(doc, "id"));
	if (are_texts(tags))
		value_set(f->a, entry, STR("entity_tags"), tags);
	value_set(f->a, entry, STR("entity_type"), value_str(f->a, singular(str_of(e->name))));
	value_set(f->a, entry, STR("entity"), doc);
	value_set(f->a, entry, STR("errors"), list);
	value_add(f->a, f->entries, entry);
}

static void flatten_one(struct flattening *f, const struct entity *e, struct value *doc,
			const struct value *errors)
{
	struct value *own = value_object(f->a);

	for (uint32_t i = 0; i < errors->n; i++)
		value_set(f->a, own, errors->members[i].key, errors->members[i].value);
	for (size_t i = 0; entities[i]; i++) {
		const struct field *row = child_field(entities[i], e);
		str name = str_of(entities[i]->name);
		struct value *list = value_get_str(doc, name);

		if (!row || !list)
			continue;
		value_unset(doc, name);
		flatten_list(f, entities[i], list, value_get_str(errors, name), row, doc);
		if (!value_is_null(list) && list->kind == VALUE_ARRAY)
			value_unset(own, name);
	}
	add_entry(f, e, doc, own);
}

/* A nested one that does not say whose it is, where that can be said. */
static void refer(struct flattening *f, struct value *doc, const struct field *row,
		  const struct value *parent)
{
	struct value *id;

	if (!row || !has_id(parent) || value_get(doc, row->name))
		return;
	id = value_object(f->a);
	value_set(f->a, id, STR("id"), value_get(parent, "id"));
	value_set(f->a, doc, str_of(row->name), id);
}

static void flatten_list(struct flattening *f, const struct entity *e, struct value *list,
			 const struct value *errors, const struct field *row,
			 const struct value *parent)
{
	if (value_is_null(list) || list->kind != VALUE_ARRAY || value_is_null(errors) ||
	    errors->kind != VALUE_ARRAY)
		return;
	for (uint32_t i = 0; i < errors->n && i < list->n; i++) {
		if (errors->items[i]->kind != VALUE_OBJECT || list->items[i]->kind != VALUE_OBJECT)
			continue;
		refer(f, list->items[i], row, parent);
		flatten_one(f, e, list->items[i], errors->items[i]);
	}
}

struct value *declarative_flatten_errors(struct arena *a, struct value *doc,
					 const struct value *errors)
{
	struct flattening f = { .a = a, .entries = value_array(a) };

	for (size_t i = 0; entities[i]; i++)
		flatten_list(&f, entities[i], value_get(doc, entities[i]->name),
			     value_get(errors, entities[i]->name), NULL, NULL);
	return f.entries;
}
