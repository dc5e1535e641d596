/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to rules, once at start.  What is wrong with a row ends the program here,
 * where its author sees it, and nowhere later. */
#include "base/json.h"
#include "base/log.h"
#include "schema/priv.h"

static struct value *json_of(struct arena *a, const char *where, const struct field *row,
			     const char *text)
{
	struct value *v;
	struct err *e;

	if (!text)
		return NULL;
	/* A scalar alone is no JSON text to every parser: wrap it. */
	e = json_parse(a, str_fmt(a, "[%s]", text), &v);
	if (e || v->n != 1)
		die("schema %s: row %s: %s is not JSON", where,
		    row->name ? row->name : "of elements", text);
	return v->items[0];
}

static size_t count_rows(const struct field *rows)
{
	size_t n = 0;

	while (rows && (rows[n].kind != FIELD_END_ || rows[n].name))
		n++;
	return n;
}

static void check_row(const char *where, const struct field *row)
{
	const char *name = row->name ? row->name : "of elements";

	if ((row->kind == FIELD_ARRAY || row->kind == FIELD_SET) && !row->elements)
		die("schema %s: row %s has no elements", where, name);
	if (row->kind == FIELD_MAP && (!row->keys || !row->values))
		die("schema %s: row %s has no keys or no values", where, name);
	if (row->kind == FIELD_RECORD && !row->fields && !row->is_abstract)
		die("schema %s: row %s has no fields", where, name);
	if (row->kind == FIELD_FOREIGN && !row->reference)
		die("schema %s: row %s refers to nothing", where, name);
}

static void rule_init(struct arena *a, const char *where, const struct field *row,
		      struct rule *rule)
{
	check_row(where, row);
	*rule = (struct rule){
		.row = row,
		.name = str_of(row->name),
		.kind = row->kind == FIELD_ARRAY && row->is_set ? FIELD_SET : row->kind,
		.is_required = row->required && !row->required_is_false_shown,
		.def = json_of(a, where, row, row->def),
		.one_of = json_of(a, where, row, row->one_of),
		.not_one_of = json_of(a, where, row, row->not_one_of),
		.between = json_of(a, where, row, row->between),
		.gt = json_of(a, where, row, row->gt),
		.eq = json_of(a, where, row, row->eq),
		.ne = json_of(a, where, row, row->ne),
		.contains = json_of(a, where, row, row->contains),
		.subsets = json_of(a, where, row, row->exclusive_subsets),
	};
	if (row->elements)
		rule->elements = schema_rule_new(a, where, row->elements);
	if (row->keys)
		rule->keys = schema_rule_new(a, where, row->keys);
	if (row->values)
		rule->values = schema_rule_new(a, where, row->values);
	if (row->kind == FIELD_RECORD && row->fields)
		rule->record = schema_new(a, where, row->fields, row->checks, row->shorthands);
}

const struct rule *schema_rule_new(struct arena *a, const char *where, const struct field *row)
{
	struct rule *rule = NEW(a, struct rule);

	rule_init(a, where, row, rule);
	return rule;
}

const struct rule *schema_find_rule(const struct schema *s, str name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (str_eq(s->rules[i].name, name))
			return &s->rules[i];
	}
	return NULL;
}

const struct rule *schema_rule(const struct schema *s, const struct schema *variant, size_t i)
{
	const struct rule *other = variant ? schema_find_rule(variant, s->rules[i].name) : NULL;

	return other ? other : &s->rules[i];
}

const struct schema *schema_variant(const struct schema *s, const struct value *doc)
{
	const struct value *key = s->traits.key ? value_get(doc, s->traits.key) : NULL;

	if (value_is_null(key))
		return NULL;
	if (key->kind == VALUE_STRING)
		return s->traits.find(key->s);
	for (uint32_t i = 0; key->kind == VALUE_ARRAY && i < key->n; i++) {
		const struct value *item = key->items[i];
		const struct schema *variant =
			item->kind == VALUE_STRING ? s->traits.find(item->s) : NULL;

		if (variant)
			return variant;
	}
	return NULL;
}

/* ---- checks ----------------------------------------------------------------------- */

/* The rule at a dotted path, the schema's own or its parent's. */
static const struct rule *rule_at(const struct schema *s, str path)
{
	str rest = path, piece = STR_NONE;
	const struct schema *in = s;
	const struct rule *rule = NULL;

	while (str_next(&rest, '.', &piece)) {
		rule = in ? schema_find_rule(in, piece) : NULL;
		if (!rule)
			break;
		in = rule->record;
	}
	if (!rule && s->parent)
		return rule_at(s->parent, path);
	if (!rule)
		die("schema %s: a check names " STRF ", which is no field", s->name, STRV(path));
	return rule;
}

#define OVER(member)                                                                               \
	do {                                                                                       \
		if (over->member)                                                                  \
			row->member = over->member;                                                \
	} while (0)

/* The field's own rules with those of a condition over them. */
static const struct rule *rule_over(struct arena *a, const struct schema *s,
				    const struct rule *base, const struct field *over)
{
	struct field *row = arena_copy(a, base->row, sizeof(*row));

	if (over->kind != FIELD_END_)
		row->kind = over->kind;
	OVER(elements);
	OVER(def);
	OVER(one_of);
	OVER(not_one_of);
	OVER(between);
	OVER(gt);
	OVER(eq);
	OVER(ne);
	OVER(len_eq);
	OVER(len_min);
	OVER(len_max);
	OVER(match);
	OVER(not_match);
	OVER(match_all);
	OVER(match_none);
	OVER(match_any);
	OVER(match_any_err);
	OVER(starts_with);
	OVER(contains);
	OVER(exclusive_subsets);
	OVER(check);
	OVER(err);
	OVER(required);
	OVER(is_uuid);
	OVER(is_regex);
	return schema_rule_new(a, s->name, row);
}

static void name_rules(struct arena *a, const struct schema *s, struct compiled_check *c)
{
	const strs lists[] = { c->fields, c->else_fields };

	c->named = NEWS(a, const struct rule *, c->fields.n + c->else_fields.n + 2);
	for (size_t k = 0; k < COUNT(lists); k++) {
		for (size_t i = 0; i < lists[k].n; i++)
			c->named[c->n_named++] = rule_at(s, lists[k].v[i]);
	}
	if (c->if_field.n)
		c->named[c->n_named++] = rule_at(s, c->if_field);
	if (c->then_field.n)
		c->named[c->n_named++] = rule_at(s, c->then_field);
}

static void compile_check(struct arena *a, const struct schema *s, const struct check *row,
			  struct compiled_check *c)
{
	*c = (struct compiled_check){ .row = row,
				      .fields = str_split(a, str_of(row->fields), ','),
				      .else_fields = str_split(a, str_of(row->else_fields), ','),
				      .if_field = str_of(row->if_field),
				      .then_field = str_of(row->then_field) };
	name_rules(a, s, c);
	if (row->if_rule)
		c->if_rule = rule_over(a, s, rule_at(s, c->if_field), row->if_rule);
	if (row->else_rule)
		c->else_rule = rule_over(a, s, rule_at(s, c->if_field), row->else_rule);
	if (row->then_rule)
		c->then_rule = rule_over(a, s, rule_at(s, c->then_field), row->then_rule);
}

static void compile_checks(struct arena *a, struct schema *s, const struct check *checks)
{
	while (checks && checks[s->n_checks].kind != CHECK_END_)
		s->n_checks++;
	s->checks = NEWS(a, struct compiled_check, s->n_checks);
	for (size_t i = 0; i < s->n_checks; i++)
		compile_check(a, s, &checks[i], &s->checks[i]);
}

/* ---- whole schemas ------------------------------------------------------------------ */

static void compile_shorthands(struct arena *a, struct schema *s, const struct shorthand *rows)
{
	while (rows && rows[s->n_shorthands].name)
		s->n_shorthands++;
	s->shorthands = NEWS(a, struct compiled_shorthand, s->n_shorthands);
	for (size_t i = 0; i < s->n_shorthands; i++) {
		struct field *row = NEW(a, struct field);

		*row = (struct field){ .name = rows[i].name,
				       .kind = rows[i].kind,
				       .elements = rows[i].elements,
				       .offset = FIELD_NOT_KEPT };
		s->shorthands[i] = (struct compiled_shorthand){
			.row = &rows[i],
			.name = str_of(rows[i].name),
			.rule = schema_rule_new(a, s->name, row),
		};
	}
}

/* A default that its own row refuses would refuse every document. */
static void check_defaults(struct arena *a, const struct schema *s)
{
	const struct run r = { .a = a, .op = SCHEMA_INSERT };

	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = &s->rules[i];
		struct value *v = value_is_null(rule->def) ? NULL : value_copy(a, rule->def);

		if (v && schema_judge_value(&r, rule, schema_complete_value(&r, rule, v)))
			die("schema %s: row %s: its own rules refuse the default %s", s->name,
			    rule->row->name, rule->row->def);
	}
}

static struct schema *compile(struct arena *a, const char *name, const struct field *fields,
			      const struct check *checks, const struct schema *parent)
{
	struct schema *s = NEW(a, struct schema);

	*s = (struct schema){
		.name = name, .rows = fields, .n = count_rows(fields), .parent = parent
	};
	s->rules = NEWS(a, struct rule, s->n);
	for (size_t i = 0; i < s->n; i++) {
		if (!fields[i].name)
			die("schema %s: row %zu has no name", name, i);
		if (schema_find_rule(s, str_of(fields[i].name)))
			die("schema %s: two rows are called %s", name, fields[i].name);
		rule_init(a, name, &fields[i], &s->rules[i]);
	}
	compile_checks(a, s, checks);
	check_defaults(a, s);
	return s;
}

const struct schema *schema_new(struct arena *a, const char *name, const struct field *fields,
				const struct check *checks, const struct shorthand *shorthands)
{
	return schema_new_with(a, name, fields, checks, shorthands, NULL);
}

const struct schema *schema_new_with(struct arena *a, const char *name, const struct field *fields,
				     const struct check *checks, const struct shorthand *shorthands,
				     const struct schema_traits *traits)
{
	struct schema *s = compile(a, name, fields, checks, NULL);

	compile_shorthands(a, s, shorthands);
	if (traits)
		s->traits = *traits;
	return s;
}

const struct schema *schema_variant_new(struct arena *a, const struct schema *parent,
					const char *name, const struct field *fields,
					const struct check *checks)
{
	for (const struct field *row = fields; row->name; row++) {
		if (!schema_find_rule(parent, str_of(row->name)))
			die("schema %s: row %s is none of %s", name, row->name, parent->name);
	}
	return compile(a, name, fields, checks, parent);
}

const struct field *schema_fields(const struct schema *s)
{
	return s->rows;
}

const struct schema *schema_record(const struct schema *s, const char *field)
{
	const struct rule *rule = schema_find_rule(s, str_of(field));

	return rule ? rule->record : NULL;
}
