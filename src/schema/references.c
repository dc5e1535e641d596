/* SPDX-License-Identifier: Apache-2.0 */
/* Strings that stand for secrets which are kept elsewhere: "{vault://...}". */
#include "schema/priv.h"

#define REFERENCE_OPEN "{vault://"

struct walk {
	struct arena *a;
	str (*look_up)(void *arg, struct arena *a, str reference);
	void *arg;
};

bool schema_is_reference(const struct value *v)
{
	return !value_is_null(v) && v->kind == VALUE_STRING &&
	       str_starts(v->s, STR(REFERENCE_OPEN)) && v->s.n > sizeof(REFERENCE_OPEN) &&
	       v->s.s[v->s.n - 1] == '}';
}

static bool has_reference(const struct value *v)
{
	for (uint32_t i = 0; v->kind == VALUE_ARRAY && i < v->n; i++) {
		if (has_reference(v->items[i]))
			return true;
	}
	for (uint32_t i = 0; v->kind == VALUE_OBJECT && i < v->n; i++) {
		if (has_reference(v->members[i].value))
			return true;
	}
	return schema_is_reference(v);
}

static struct value *resolve_record(const struct walk *w, const struct schema *s, struct value *v);

static struct value *resolve_value(const struct walk *w, const struct rule *rule, struct value *v)
{
	struct value *copy;

	if (rule->kind == FIELD_STRING && rule->row->is_referenceable && schema_is_reference(v))
		return value_str(w->a, w->look_up(w->arg, w->a, v->s));
	if (rule->kind == FIELD_RECORD && rule->record && v->kind == VALUE_OBJECT)
		return resolve_record(w, rule->record, v);
	if (rule->elements && v->kind == VALUE_ARRAY) {
		copy = value_array(w->a);
		for (uint32_t i = 0; i < v->n; i++)
			value_add(w->a, copy, resolve_value(w, rule->elements, v->items[i]));
		return copy;
	}
	if (rule->values && v->kind == VALUE_OBJECT) {
		copy = value_object(w->a);
		for (uint32_t i = 0; i < v->n; i++)
			value_append(w->a, copy, v->members[i].key,
				     resolve_value(w, rule->values, v->members[i].value));
		return copy;
	}
	return v;
}

static struct value *resolve_record(const struct walk *w, const struct schema *s, struct value *v)
{
	struct value *copy = value_object(w->a);

	for (uint32_t i = 0; i < v->n; i++) {
		const struct rule *rule = schema_find_rule(s, v->members[i].key);
		struct value *member = v->members[i].value;

		value_append(w->a, copy, v->members[i].key,
			     rule ? resolve_value(w, rule, member) : member);
	}
	return copy;
}

const struct value *schema_resolve(struct arena *a, const struct schema *s, const struct value *doc,
				   str (*look_up)(void *arg, struct arena *a, str reference),
				   void *arg)
{
	const struct walk w = { a, look_up, arg };

	if (value_is_null(doc) || doc->kind != VALUE_OBJECT || !has_reference(doc))
		return doc;
	return resolve_record(&w, s, value_copy(a, doc));
}
