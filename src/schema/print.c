/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as GET /schemas shows them: what can be said as data, without the functions. */
#include "schema/priv.h"

static struct value *print_rule(struct arena *a, const struct rule *rule);

/* clang-format off */
static const char *const kind_names[] = {
	[FIELD_STRING]  = "string",  [FIELD_INTEGER] = "integer", [FIELD_NUMBER] = "number",
	[FIELD_BOOLEAN] = "boolean", [FIELD_ARRAY]   = "array",   [FIELD_SET]    = "set",
	[FIELD_MAP]     = "map",     [FIELD_RECORD]  = "record",  [FIELD_FOREIGN] = "foreign",
	[FIELD_ANY]     = "any",
};

static const char *const check_names[] = {
	[CHECK_AT_LEAST_ONE_OF] = "at_least_one_of",
	[CHECK_ONLY_ONE_OF]     = "only_one_of",
	[CHECK_ONE_OR_NONE_OF]  = "mutually_exclusive",
	[CHECK_ALL_OR_NONE_OF]  = "mutually_required",
	[CHECK_DISTINCT]        = "distinct",
	[CHECK_CONDITIONAL]     = "conditional",
	[CHECK_CONDITIONAL_AT_LEAST_ONE_OF] = "conditional_at_least_one_of",
	[CHECK_CUSTOM]          = "custom_entity_check",
};
/* clang-format on */

static void put_text(struct arena *a, struct value *to, const char *key, const char *text)
{
	if (text)
		value_set(a, to, str_of(key), value_text(a, text));
}

static void put_flag(struct arena *a, struct value *to, const char *key, bool is_true,
		     bool is_false_shown)
{
	if (is_true || is_false_shown)
		value_set(a, to, str_of(key), value_bool(a, !is_false_shown));
}

static void put_length(struct arena *a, struct value *to, const char *key, int length)
{
	if (length)
		value_set(a, to, str_of(key), value_int(a, length == LEN_ZERO ? 0 : length));
}

static void put(struct arena *a, struct value *to, const char *key, struct value *v)
{
	if (v)
		value_set(a, to, str_of(key), v);
}

static void put_patterns(struct arena *a, struct value *to, const char *key,
			 const struct pattern_rule *p)
{
	struct value *list;

	if (!p)
		return;
	list = value_array(a);
	for (; p->pattern; p++) {
		struct value *item = value_object(a);

		put_text(a, item, "pattern", p->pattern);
		put_text(a, item, "err", p->err);
		value_add(a, list, item);
	}
	put(a, to, key, list);
}

static void put_match_any(struct arena *a, struct value *to, const struct field *row)
{
	struct value *any, *list;

	if (!row->match_any)
		return;
	any = value_object(a);
	list = value_array(a);
	for (const char *const *p = row->match_any; *p; p++)
		value_add(a, list, value_text(a, *p));
	put(a, any, "patterns", list);
	put_text(a, any, "err", row->match_any_err);
	put(a, to, "match_any", any);
}

static struct value *print_names(struct arena *a, strs names)
{
	struct value *list = value_array(a);

	for (size_t i = 0; i < names.n; i++)
		value_add(a, list, value_str(a, names.v[i]));
	return list;
}

/* A condition shows its own rules alone, not those of the field it is about. */
static struct value *print_condition(struct arena *a, const struct field *row)
{
	struct value *shown = row ? print_rule(a, schema_rule_new(a, "condition", row)) : NULL;

	return shown;
}

static struct value *print_check(struct arena *a, const struct compiled_check *c)
{
	struct value *check = value_object(a), *body;

	if (c->row->kind == CHECK_CONDITIONAL ||
	    c->row->kind == CHECK_CONDITIONAL_AT_LEAST_ONE_OF) {
		bool is_list = c->row->kind == CHECK_CONDITIONAL_AT_LEAST_ONE_OF;

		body = value_object(a);
		put_text(a, body, "if_field", c->row->if_field);
		put(a, body, "if_match", print_condition(a, c->row->if_rule));
		put_text(a, body, "then_field", c->row->then_field);
		put(a, body, "then_match", print_condition(a, c->row->then_rule));
		put(a, body, "then_at_least_one_of", is_list ? print_names(a, c->fields) : NULL);
		put_text(a, body, "then_err", c->row->err);
		put(a, body, "else_match", print_condition(a, c->row->else_rule));
		put(a, body, "else_then_at_least_one_of",
		    c->else_fields.n ? print_names(a, c->else_fields) : NULL);
		put_text(a, body, "else_then_err", c->row->else_err);
	} else if (c->row->kind == CHECK_CUSTOM) {
		body = value_object(a);
		put(a, body, "field_sources", print_names(a, c->fields));
	} else {
		body = print_names(a, c->fields);
	}
	put(a, check, check_names[c->row->kind], body);
	return check;
}

static struct value *print_fields(struct arena *a, const struct schema *s)
{
	struct value *list = value_array(a);

	for (size_t i = 0; i < s->n; i++) {
		struct value *one = value_object(a);

		value_set(a, one, s->rules[i].name, print_rule(a, &s->rules[i]));
		value_add(a, list, one);
	}
	return list;
}

static void put_record(struct arena *a, struct value *to, const struct schema *s)
{
	struct value *list;

	put(a, to, "fields", print_fields(a, s));
	if (s->n_checks) {
		list = value_array(a);
		for (size_t i = 0; i < s->n_checks; i++)
			value_add(a, list, print_check(a, &s->checks[i]));
		put(a, to, "entity_checks", list);
	}
	if (s->n_shorthands) {
		list = value_array(a);
		for (size_t i = 0; i < s->n_shorthands; i++) {
			struct value *one = value_object(a);

			value_set(a, one, s->shorthands[i].name,
				  print_rule(a, s->shorthands[i].rule));
			value_add(a, list, one);
		}
		put(a, to, "shorthand_fields", list);
	}
}

static void put_marks(struct arena *a, struct value *to, const struct field *row)
{
	put_flag(a, to, "required", row->required, row->required_is_false_shown);
	put_flag(a, to, "unique", row->is_unique, row->unique_is_false_shown);
	put_flag(a, to, "unique_across_ws", row->is_unique_across_ws, false);
	put_flag(a, to, "auto", row->is_auto, false);
	put_flag(a, to, "uuid", row->is_uuid, false);
	put_flag(a, to, "timestamp", row->is_timestamp, false);
	put_flag(a, to, "is_regex", row->is_regex, false);
	put_flag(a, to, "immutable", row->is_immutable, false);
	put_flag(a, to, "referenceable", row->is_referenceable, false);
	put_flag(a, to, "encrypted", row->is_encrypted, false);
	put_flag(a, to, "abstract", row->is_abstract, false);
	put_flag(a, to, "legacy", row->is_legacy, false);
}

static struct value *print_rule(struct arena *a, const struct rule *rule)
{
	const struct field *row = rule->row;
	struct value *to = value_object(a);

	put_text(a, to, "type", kind_names[rule->kind]);
	put_marks(a, to, row);
	put_text(a, to, "reference", row->reference);
	put_text(a, to, "on_delete", row->on_delete);
	put(a, to, "default", rule->def);
	put(a, to, "eq", rule->eq);
	put(a, to, "ne", rule->ne);
	put(a, to, "one_of", rule->one_of);
	put(a, to, "not_one_of", rule->not_one_of);
	put(a, to, "between", rule->between);
	put(a, to, "gt", rule->gt);
	put_length(a, to, "len_eq", row->len_eq);
	put_length(a, to, "len_min", row->len_min);
	put_length(a, to, "len_max", row->len_max);
	put_text(a, to, "starts_with", row->starts_with);
	put_text(a, to, "not_match", row->not_match);
	put_patterns(a, to, "match_none", row->match_none);
	put_text(a, to, "match", row->match);
	put_patterns(a, to, "match_all", row->match_all);
	put_match_any(a, to, row);
	put(a, to, "contains", rule->contains);
	put(a, to, "mutually_exclusive_subsets", rule->subsets);
	put_text(a, to, "err", row->err);
	put(a, to, "elements", rule->elements ? print_rule(a, rule->elements) : NULL);
	put(a, to, "keys", rule->keys ? print_rule(a, rule->keys) : NULL);
	put(a, to, "values", rule->values ? print_rule(a, rule->values) : NULL);
	if (rule->record)
		put_record(a, to, rule->record);
	return to;
}

struct value *schema_print(struct arena *a, const struct schema *s)
{
	struct value *shown = value_object(a);

	put(a, shown, "fields", print_fields(a, s));
	return shown;
}
