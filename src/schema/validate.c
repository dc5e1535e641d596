/* SPDX-License-Identifier: Apache-2.0 */
/* The second pass: every value against its rules, in Kong's order and words.
 *
 * A value that breaks several rules is told the first of them: null rules, the
 * kind, what is inside, and then the table `rules` from top to bottom. */
#include "base/pattern.h"
#include "base/regex.h"
#include "schema/lua.h"
#include "schema/priv.h"

static bool is_number(const struct value *v)
{
	return v->kind == VALUE_INT || v->kind == VALUE_REAL;
}

static str list_text(struct arena *a, const struct value *list)
{
	str *v = NEWS(a, str, list->n);

	for (uint32_t i = 0; i < list->n; i++)
		v[i] = lua_tostring(a, list->items[i]);
	return str_join(a, (strs){ v, list->n }, STR(", "));
}

static bool is_scalar_eq(const struct value *a, const struct value *b)
{
	return a->kind != VALUE_ARRAY && a->kind != VALUE_OBJECT && value_eq(a, b);
}

static bool is_in(const struct value *list, const struct value *v)
{
	for (uint32_t i = 0; i < list->n; i++) {
		if (is_scalar_eq(v, list->items[i]))
			return true;
	}
	return false;
}

/* ---- the rules, each NULL or what is wrong ------------------------------------------ */

typedef struct value *rule_fn(struct arena *a, const struct rule *rule, const struct value *v);

static struct value *rule_eq(struct arena *a, const struct rule *rule, const struct value *v)
{
	if (!rule->eq || is_scalar_eq(v, rule->eq))
		return NULL;
	return schema_say(a, "value must be " STRF, STRV(lua_tostring(a, rule->eq)));
}

static struct value *rule_ne(struct arena *a, const struct rule *rule, const struct value *v)
{
	if (!rule->ne || !is_scalar_eq(v, rule->ne))
		return NULL;
	return schema_say(a, "value must not be " STRF, STRV(lua_tostring(a, v)));
}

static struct value *rule_not_one_of(struct arena *a, const struct rule *rule,
				     const struct value *v)
{
	if (!rule->not_one_of || !is_in(rule->not_one_of, v))
		return NULL;
	return schema_say(a, "must not be one of: " STRF, STRV(list_text(a, rule->not_one_of)));
}

static struct value *rule_one_of(struct arena *a, const struct rule *rule, const struct value *v)
{
	if (!rule->one_of || is_in(rule->one_of, v))
		return NULL;
	return schema_say(a, "expected one of: " STRF, STRV(list_text(a, rule->one_of)));
}

static struct value *rule_gt(struct arena *a, const struct rule *rule, const struct value *v)
{
	if (!rule->gt || !is_number(v) || value_num(v) > value_num(rule->gt))
		return NULL;
	return schema_say(a, "value must be greater than " STRF, STRV(lua_tostring(a, rule->gt)));
}

static struct value *rule_timestamp(struct arena *a, const struct rule *rule, const struct value *v)
{
	if (!rule->row->is_timestamp || !is_number(v) || value_num(v) > 0)
		return NULL;
	return schema_say(a, "expected a valid timestamp");
}

static struct value *rule_uuid(struct arena *a, const struct rule *rule, const struct value *v)
{
	uuid u;

	if (!rule->row->is_uuid || v->kind != VALUE_STRING || uuid_parse(v->s, &u))
		return NULL;
	return schema_say(a, "expected a valid UUID");
}

static struct value *rule_regex(struct arena *a, const struct rule *rule, const struct value *v)
{
	struct regex *re;

	if (!rule->row->is_regex || v->kind != VALUE_STRING ||
	    !regex_new(a, v->s, REGEX_NO_JIT, &re))
		return NULL;
	return schema_say(a, "not a valid regex: " STRF, STRV(v->s));
}

static struct value *rule_between(struct arena *a, const struct rule *rule, const struct value *v)
{
	double low, high;

	if (!rule->between || !is_number(v))
		return NULL;
	low = value_num(rule->between->items[0]);
	high = value_num(rule->between->items[1]);
	if (value_num(v) >= low && value_num(v) <= high)
		return NULL;
	return schema_say(a, "value should be between %lld and %lld", (long long)low,
			  (long long)high);
}

static long long length_of(const struct value *v)
{
	return v->kind == VALUE_STRING ? (long long)v->s.n : (long long)v->n;
}

static bool has_length(const struct value *v)
{
	return v->kind == VALUE_STRING || v->kind == VALUE_ARRAY || v->kind == VALUE_OBJECT;
}

static int plain_length(int length)
{
	return length == LEN_ZERO ? 0 : length;
}

static struct value *rule_len_eq(struct arena *a, const struct rule *rule, const struct value *v)
{
	int wanted = plain_length(rule->row->len_eq);

	if (!rule->row->len_eq || !has_length(v) || length_of(v) == wanted)
		return NULL;
	return schema_say(a, "length must be %d", wanted);
}

/* Empty text is no text, unless the row says so. */
static struct value *rule_len_min(struct arena *a, const struct rule *rule, const struct value *v)
{
	int wanted = plain_length(rule->row->len_min);

	if (!rule->row->len_min && rule->kind == FIELD_STRING)
		wanted = 1;
	if (!has_length(v) || length_of(v) >= wanted)
		return NULL;
	return schema_say(a, "length must be at least %d", wanted);
}

static struct value *rule_len_max(struct arena *a, const struct rule *rule, const struct value *v)
{
	int wanted = plain_length(rule->row->len_max);

	if (!rule->row->len_max || !has_length(v) || length_of(v) <= wanted)
		return NULL;
	return schema_say(a, "length must be at most %d", wanted);
}

static struct value *rule_starts_with(struct arena *a, const struct rule *rule,
				      const struct value *v)
{
	const char *wanted = rule->row->starts_with;

	if (!wanted || v->kind != VALUE_STRING || str_starts(v->s, str_of(wanted)))
		return NULL;
	return schema_say(a, "should start with: %s", wanted);
}

static bool matches(const char *pattern, const struct value *v)
{
	return pattern_match(str_of(pattern), v->s);
}

static struct value *rule_not_match(struct arena *a, const struct rule *rule, const struct value *v)
{
	if (!rule->row->not_match || v->kind != VALUE_STRING || !matches(rule->row->not_match, v))
		return NULL;
	return schema_say(a, "invalid value: " STRF, STRV(v->s));
}

static struct value *rule_match_none(struct arena *a, const struct rule *rule,
				     const struct value *v)
{
	const struct pattern_rule *p = rule->row->match_none;

	for (; p && p->pattern && v->kind == VALUE_STRING; p++) {
		if (matches(p->pattern, v))
			return value_text(a, p->err);
	}
	return NULL;
}

static struct value *rule_match(struct arena *a, const struct rule *rule, const struct value *v)
{
	if (!rule->row->match || v->kind != VALUE_STRING || matches(rule->row->match, v))
		return NULL;
	return schema_say(a, "invalid value: " STRF, STRV(v->s));
}

static struct value *rule_match_all(struct arena *a, const struct rule *rule, const struct value *v)
{
	const struct pattern_rule *p = rule->row->match_all;

	for (; p && p->pattern && v->kind == VALUE_STRING; p++) {
		if (!matches(p->pattern, v))
			return value_text(a, p->err);
	}
	return NULL;
}

static struct value *rule_match_any(struct arena *a, const struct rule *rule, const struct value *v)
{
	const char *const *p = rule->row->match_any;

	if (!p || v->kind != VALUE_STRING)
		return NULL;
	for (; *p; p++) {
		if (matches(*p, v))
			return NULL;
	}
	return value_text(a, rule->row->match_any_err);
}

static struct value *rule_contains(struct arena *a, const struct rule *rule, const struct value *v)
{
	if (!rule->contains)
		return NULL;
	for (uint32_t i = 0; v->kind == VALUE_ARRAY && i < v->n; i++) {
		if (is_scalar_eq(v->items[i], rule->contains))
			return NULL;
	}
	return schema_say(a, "expected to contain: " STRF, STRV(lua_tostring(a, rule->contains)));
}

static struct value *rule_custom(struct arena *a, const struct rule *rule, const struct value *v)
{
	const char *message = rule->row->check ? rule->row->check(a, v) : NULL;

	return message ? value_text(a, message) : NULL;
}

static str quoted_subset(struct arena *a, const struct value *subset)
{
	str *v = NEWS(a, str, subset->n);

	for (uint32_t i = 0; i < subset->n; i++)
		v[i] = str_fmt(a, "'" STRF "'", STRV(subset->items[i]->s));
	return str_fmt(a, "(" STRF ")", STRV(str_join(a, (strs){ v, subset->n }, STR(", "))));
}

/* The last subset that has the value, or -1. */
static int subset_of(const struct value *subsets, const struct value *v)
{
	for (int i = (int)subsets->n - 1; i >= 0; i--) {
		if (is_in(subsets->items[i], v))
			return i;
	}
	return -1;
}

static struct value *rule_subsets(struct arena *a, const struct rule *rule, const struct value *v)
{
	strs found = { 0 };
	unsigned seen = 0;

	if (!rule->subsets || v->kind != VALUE_ARRAY)
		return NULL;
	found.v = NEWS(a, str, rule->subsets->n);
	for (uint32_t i = 0; i < v->n; i++) {
		int k = subset_of(rule->subsets, v->items[i]);

		if (k < 0 || k > 31 || (seen & 1u << k))
			continue;
		seen |= 1u << k;
		found.v[found.n++] = quoted_subset(a, rule->subsets->items[k]);
	}
	if (found.n <= 1)
		return NULL;
	return schema_say(a, "these sets are mutually exclusive: " STRF,
			  STRV(str_join(a, found, STR(", "))));
}

static rule_fn *const rules[] = {
	rule_eq,        rule_ne,        rule_not_one_of,  rule_one_of,    rule_gt,
	rule_timestamp, rule_uuid,      rule_regex,       rule_between,   rule_len_eq,
	rule_len_min,   rule_len_max,   rule_starts_with, rule_not_match, rule_match_none,
	rule_match,     rule_match_all, rule_match_any,   rule_contains,  rule_custom,
	rule_subsets,
};

static struct value *own_words(struct arena *a, const struct rule *rule, struct value *error)
{
	return rule->row->err ? value_text(a, rule->row->err) : error;
}

static struct value *check_rules(struct arena *a, const struct rule *rule, const struct value *v)
{
	for (size_t i = 0; i < COUNT(rules); i++) {
		struct value *error = rules[i](a, rule, v);

		if (error)
			return own_words(a, rule, error);
	}
	return NULL;
}

/* ---- kinds, and what is inside -------------------------------------------------------- */

static struct value *check_element(const struct run *r, const struct rule *rule,
				   const struct value *v)
{
	return value_is_null(v) ? schema_say(r->a, "required field missing")
				: schema_judge_value(r, rule, v);
}

/* An array with null where the elements are good. */
static struct value *check_list(const struct run *r, const struct rule *rule, const struct value *v)
{
	struct value *errors = NULL;

	if (v->kind != VALUE_ARRAY)
		return schema_say(r->a,
				  rule->kind == FIELD_SET ? "expected a set" : "expected an array");
	for (uint32_t i = 0; i < v->n; i++) {
		struct value *error = check_element(r, rule->elements, v->items[i]);

		if (!error)
			continue;
		if (!errors)
			errors = value_array(r->a);
		while (errors->n < i)
			value_add(r->a, errors, value_null(r->a));
		value_add(r->a, errors, error);
	}
	return errors;
}

static struct value *check_map(const struct run *r, const struct rule *rule, const struct value *v)
{
	if (v->kind != VALUE_OBJECT)
		return schema_say(r->a, "expected a map");
	for (uint32_t i = 0; i < v->n; i++) {
		const struct value key = { .kind = VALUE_STRING, .s = v->members[i].key };
		struct value *error = schema_judge_value(r, rule->keys, &key);

		if (!error)
			error = check_element(r, rule->values, v->members[i].value);
		if (error)
			return error;
	}
	return NULL;
}

/* A record is checked as it would be stored: what an update leaves out has its default. */
static struct value *check_inner_record(const struct run *r, const struct rule *rule,
					const struct value *v)
{
	struct run whole = *r;
	struct value *copy;

	if (v->kind != VALUE_OBJECT)
		return schema_say(r->a, "expected a record");
	if (r->op != SCHEMA_UPDATE)
		return schema_judge_record(r, rule->record, v, true);
	whole.op = SCHEMA_INSERT;
	copy = value_copy(r->a, v);
	schema_complete_record(&whole, rule->record, copy);
	return schema_judge_record(&whole, rule->record, copy, true);
}

static struct value *check_foreign(const struct run *r, const struct value *v)
{
	const struct value *id = value_get(v, "id");
	struct value *errors;
	const char *message = NULL;
	uuid u;

	if (!id && r->keep_references && (v->kind == VALUE_STRING || v->kind == VALUE_OBJECT))
		return NULL;
	if (!id)
		message = "missing primary key";
	else if (value_is_null(id))
		message = "required field missing";
	else if (id->kind != VALUE_STRING)
		message = "expected a string";
	else if (!uuid_parse(id->s, &u))
		message = "expected a valid UUID";
	if (!message)
		return NULL;
	errors = value_object(r->a);
	value_set(r->a, errors, STR("id"), value_text(r->a, message));
	return errors;
}

static struct value *check_kind(const struct run *r, const struct rule *rule, const struct value *v)
{
	switch (rule->kind) {
	case FIELD_ARRAY:
	case FIELD_SET:
		return check_list(r, rule, v);
	case FIELD_MAP:
		return check_map(r, rule, v);
	case FIELD_RECORD:
		return check_inner_record(r, rule, v);
	case FIELD_FOREIGN:
		return check_foreign(r, v);
	case FIELD_INTEGER:
		return v->kind == VALUE_INT ? NULL : schema_say(r->a, "expected an integer");
	case FIELD_NUMBER:
		return is_number(v) ? NULL : schema_say(r->a, "expected a number");
	case FIELD_BOOLEAN:
		return v->kind == VALUE_BOOL ? NULL : schema_say(r->a, "expected a boolean");
	case FIELD_STRING:
		return v->kind == VALUE_STRING ? NULL : schema_say(r->a, "expected a string");
	default:
		return NULL;
	}
}

static struct value *check_null(const struct run *r, const struct rule *rule)
{
	if (rule->ne && value_is_null(rule->ne))
		return own_words(r->a, rule, schema_say(r->a, "value must not be null"));
	if (rule->eq && !value_is_null(rule->eq))
		return schema_say(r->a, "value must be " STRF, STRV(lua_tostring(r->a, rule->eq)));
	return rule->is_required ? schema_say(r->a, "required field missing") : NULL;
}

struct value *schema_judge_value(const struct run *r, const struct rule *rule,
				 const struct value *v)
{
	struct value *error;

	if (value_is_null(v))
		return check_null(r, rule);
	if (rule->eq && value_is_null(rule->eq))
		return own_words(r->a, rule, schema_say(r->a, "value must be null"));
	if (rule->row->is_abstract)
		return schema_say(r->a,
				  "error in schema definition: abstract field was not specialized");
	error = check_kind(r, rule, v);
	if (error)
		return error;
	if (rule->row->is_referenceable && schema_is_reference(v))
		return NULL;
	return check_rules(r->a, rule, v);
}

/* ---- records ------------------------------------------------------------------------------ */

/* Without its variant a document cannot be judged. */
static struct value *check_variant(struct arena *a, const struct schema *s, const struct value *doc,
				   const struct schema *variant)
{
	const struct value *key = s->traits.key ? value_get(doc, s->traits.key) : NULL;
	const struct value *first = key;
	struct value *errors, *error;
	const char *unknown = s->traits.unknown ? s->traits.unknown : "unknown type: %s";
	ptrdiff_t at = str_find_str(str_of(unknown), STR("%s"));
	str text;

	if (!s->traits.key || variant)
		return NULL;
	errors = value_object(a);
	if (!value_is_null(key) && key->kind == VALUE_ARRAY)
		first = key->n ? key->items[0] : NULL;
	if (value_is_null(key))
		error = schema_say(a, "required field missing");
	else if (key->kind != VALUE_STRING && key->kind != VALUE_ARRAY)
		error = schema_judge_value(&(struct run){ .a = a },
					   schema_find_rule(s, str_of(s->traits.key)), key);
	else {
		text = first ? lua_tostring(a, first) : STR("nil");
		error = schema_say(a, "%.*s" STRF "%s", (int)at, unknown, STRV(text),
				   unknown + at + 2);
	}
	value_set(a, errors, str_of(s->traits.key), error);
	return errors;
}

static struct value *check_shorthand(const struct run *r, const struct schema *s, str name,
				     const struct value *v)
{
	for (size_t i = 0; i < s->n_shorthands; i++) {
		if (str_eq(s->shorthands[i].name, name))
			return schema_judge_value(r, s->shorthands[i].rule, v);
	}
	return schema_say(r->a, "unknown field");
}

static struct value *check_member(const struct run *r, const struct schema *s,
				  const struct schema *variant, const struct member *m)
{
	const struct rule *rule = schema_find_rule(s, m->key), *other;

	if (!rule && s->traits.has_ttl && str_is(m->key, "ttl"))
		return NULL;
	if (!rule)
		return check_shorthand(r, s, m->key, m->value);
	other = variant ? schema_find_rule(variant, m->key) : NULL;
	return schema_judge_value(r, other ? other : rule, m->value);
}

struct value *schema_judge_record(const struct run *r, const struct schema *s,
				  const struct value *doc, bool full)
{
	const struct schema *variant = schema_variant(s, doc);
	struct value *errors = check_variant(r->a, s, doc, variant);
	uint32_t at = 0;

	if (errors)
		return errors;
	errors = value_object(r->a);
	for (uint32_t i = 0; i < doc->n; i++) {
		struct value *error = check_member(r, s, variant, &doc->members[i]);

		if (error)
			value_set(r->a, errors, doc->members[i].key, error);
	}
	for (size_t i = 0; i < s->n; i++) {
		const struct value *v;

		if (!s->rules[i].is_required)
			continue;
		v = schema_get_next(doc, s->rules[i].name, &at);
		if (v ? v->kind == VALUE_NULL : full)
			value_set(r->a, errors, s->rules[i].name,
				  schema_say(r->a, "required field missing"));
	}
	schema_run_checks(r, s, doc, full, errors);
	if (variant)
		schema_run_checks(r, variant, doc, full, errors);
	return errors->n ? errors : NULL;
}

/* ---- the doors -------------------------------------------------------------------------------- */

static struct value *check_immutable(struct arena *a, const struct schema *s,
				     const struct value *doc, const struct value *before)
{
	struct value *errors = value_object(a);

	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = &s->rules[i];
		const struct value *old = value_get_str(before, rule->name);
		const struct value *new = value_get_str(doc, rule->name);

		if (rule->row->is_immutable && old && new && !value_eq(old, new))
			value_set(a, errors, rule->name,
				  schema_say(a, "immutable field cannot be updated"));
	}
	return errors->n ? errors : NULL;
}

/* What judging needs on the way is gone afterwards; the tree alone is kept. */
static struct value *judge(struct arena *a, const struct schema *s, const struct value *doc,
			   const struct schema_options *o)
{
	struct arena *scratch CLEANUP(arena_drop) = arena_new();
	const struct run r = { .a = scratch,
			       .op = o->op,
			       .now_ms = o->now_ms,
			       .keep_references = o->keep_references };
	struct value *errors = NULL;

	if (o->op != SCHEMA_UPDATE)
		return value_copy(a, schema_judge_record(&r, s, doc, true));
	if (o->before) {
		errors = check_immutable(scratch, s, doc, o->before);
		doc = schema_merge(scratch, s, o->before, doc);
	}
	return value_copy(a, errors ? errors : schema_judge_record(&r, s, doc, false));
}

struct value *schema_process(struct arena *a, const struct schema *s, struct value *doc,
			     const struct schema_options *o)
{
	const struct run r = {
		.a = a, .op = o->op, .now_ms = o->now_ms, .keep_references = o->keep_references
	};
	struct value *errors;

	if (doc->kind == VALUE_ARRAY && doc->n == 0)
		*doc = (struct value){ .kind = VALUE_OBJECT };
	if (doc->kind != VALUE_OBJECT) {
		errors = value_object(a);
		schema_error_at(a, errors, "@entity", "expected a record");
		return errors;
	}
	errors = schema_complete_record(&r, s, doc);
	if (errors || o->op == SCHEMA_SELECT)
		return errors;
	return judge(a, s, doc, o);
}

struct value *schema_check_value(struct arena *a, const struct field *row, struct value *v)
{
	const struct run r = { .a = a, .op = SCHEMA_INSERT };
	const struct rule *rule = schema_rule_new(a, "value", row);

	return schema_judge_value(&r, rule, v ? schema_complete_value(&r, rule, v) : NULL);
}
