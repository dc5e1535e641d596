/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of a whole record: what several fields must be to each other.
 *
 * A check runs when it can: not without the fields it names (unless it may), not
 * over fields that are wrong already (unless it may), not when one of them is a
 * reference that only the gateway resolves. */
#include "schema/priv.h"

struct checking {
	const struct run *r;
	const struct compiled_check *c;
	const struct value *doc;
	struct value *errors;
};

static bool is_filled(const struct value *v)
{
	if (value_is_null(v))
		return false;
	if (v->kind == VALUE_STRING)
		return v->s.n > 0;
	return (v->kind != VALUE_ARRAY && v->kind != VALUE_OBJECT) || v->n > 0;
}

static size_t count_filled(const struct value *doc, strs fields)
{
	size_t n = 0;

	for (size_t i = 0; i < fields.n; i++)
		n += is_filled(schema_get_path(doc, fields.v[i]));
	return n;
}

static str quoted(struct arena *a, strs fields)
{
	str *v = NEWS(a, str, fields.n);

	for (size_t i = 0; i < fields.n; i++)
		v[i] = str_fmt(a, "'" STRF "'", STRV(fields.v[i]));
	return str_join(a, (strs){ v, fields.n }, STR(", "));
}

static void add_entity_error(const struct checking *k, str text)
{
	schema_error_at(k->r->a, k->errors, "@entity", str_z(k->r->a, text));
}

/* `words` with a list of fields in place of its %s. */
static str with_list(struct arena *a, const char *words, str list)
{
	ptrdiff_t at = str_find_str(str_of(words), STR("%s"));

	if (at < 0)
		return str_of(words);
	return str_fmt(a, "%.*s" STRF "%s", (int)at, words, STRV(list), words + at + 2);
}

static void say_fields(const struct checking *k, const char *standard)
{
	str list = quoted(k->r->a, k->c->fields);
	const char *words = k->c->row->err ? k->c->row->err : standard;

	add_entity_error(k, with_list(k->r->a, words, list));
}

static void at_least_one_of(const struct checking *k)
{
	bool is_update = k->r->op == SCHEMA_UPDATE;

	if (count_filled(k->doc, k->c->fields))
		return;
	say_fields(k, is_update
			      ? "when updating, at least one of these fields must be non-empty: %s"
			      : "at least one of these fields must be non-empty: %s");
}

static void only_one_of(const struct checking *k)
{
	if (count_filled(k->doc, k->c->fields) != 1)
		say_fields(k, "exactly one of these fields must be non-empty: %s");
}

static void one_or_none_of(const struct checking *k)
{
	if (count_filled(k->doc, k->c->fields) > 1)
		say_fields(k, "only one or none of these fields must be set: %s");
}

static void all_or_none_of(const struct checking *k)
{
	size_t n = count_filled(k->doc, k->c->fields);

	if (n && n != k->c->fields.n)
		say_fields(k, "all or none of these fields must be set: %s");
}

static void distinct(const struct checking *k)
{
	strs fields = k->c->fields;

	for (size_t i = 0; i < fields.n; i++) {
		const struct value *v = schema_get_path(k->doc, fields.v[i]);

		for (size_t j = 0; j < i && is_filled(v); j++) {
			if (!value_eq(v, schema_get_path(k->doc, fields.v[j])))
				continue;
			say_fields(k, "values of these fields must be distinct: %s");
			return;
		}
	}
}

static void conditional(const struct checking *k)
{
	const struct compiled_check *c = k->c;
	const struct value *then = schema_get_path(k->doc, c->then_field);
	struct arena *a = k->r->a;
	struct value *error;

	if (schema_judge_value(k->r, c->if_rule, schema_get_path(k->doc, c->if_field)))
		return;
	if (c->row->then_rule->required && value_is_null(then)) {
		schema_set_error(a, k->errors, c->then_field,
				 schema_say(a, "required field missing"));
		add_entity_error(
			k,
			str_fmt(a, "failed conditional validation given value of field '" STRF "'",
				STRV(c->if_field)));
		return;
	}
	error = schema_judge_value(k->r, c->then_rule, then);
	if (!error)
		return;
	schema_set_error(a, k->errors, c->then_field, error);
	add_entity_error(
		k,
		with_list(a,
			  c->row->err ? c->row->err
				      : "failed conditional validation given value of field '%s'",
			  c->if_field));
}

static void conditional_at_least_one_of(const struct checking *k)
{
	const struct compiled_check *c = k->c;
	const struct value *v = schema_get_path(k->doc, c->if_field);
	strs fields = c->fields;
	const char *words = c->row->err;

	if (!v)
		return;
	if (schema_judge_value(k->r, c->if_rule, v)) {
		if (!c->else_rule || schema_judge_value(k->r, c->else_rule, v))
			return;
		fields = c->else_fields;
		words = c->row->else_err;
	}
	if (count_filled(k->doc, fields))
		return;
	if (!words)
		words = k->r->op == SCHEMA_UPDATE
				? "when updating, at least one of these fields must be non-empty: "
				  "%s"
				: "at least one of these fields must be non-empty: %s";
	add_entity_error(k, with_list(k->r->a, words, quoted(k->r->a, fields)));
}

static void custom(const struct checking *k)
{
	k->c->row->fn(k->r->a, k->doc, k->errors);
}

/* clang-format off */
static const struct {
	void (*fn)(const struct checking *k);
	bool with_missing; /* runs though fields it names are missing */
	bool with_invalid; /* runs though they are wrong */
	bool is_if_alone;  /* if_field alone is needed */
} kinds[] = {
	[CHECK_AT_LEAST_ONE_OF]             = { at_least_one_of,             .with_missing = true, .with_invalid = true },
	[CHECK_ONLY_ONE_OF]                 = { only_one_of,                 .with_invalid = true },
	[CHECK_ONE_OR_NONE_OF]              = { one_or_none_of,              .with_missing = true },
	[CHECK_ALL_OR_NONE_OF]              = { all_or_none_of,              .with_missing = true },
	[CHECK_DISTINCT]                    = { distinct,                    .with_invalid = true },
	[CHECK_CONDITIONAL]                 = { conditional,                 .with_invalid = true, .is_if_alone = true },
	[CHECK_CONDITIONAL_AT_LEAST_ONE_OF] = { conditional_at_least_one_of, .with_missing = true, .with_invalid = true },
	[CHECK_CUSTOM]                      = { custom },
};
/* clang-format on */

/* The name of the i-th field that a check is about. */
static str name_at(const struct compiled_check *c, size_t i)
{
	if (i < c->fields.n)
		return c->fields.v[i];
	i -= c->fields.n;
	if (i < c->else_fields.n)
		return c->else_fields.v[i];
	i -= c->else_fields.n;
	return i == 0 && c->if_field.n ? c->if_field : c->then_field;
}

static bool is_needed(const struct compiled_check *c, str name)
{
	if (kinds[c->row->kind].with_missing || c->row->run_with_missing)
		return false;
	return !kinds[c->row->kind].is_if_alone || str_eq(name, c->if_field);
}

/* Whether it can run; says so in the tree when a field that it needs is missing. */
static bool may_run(const struct checking *k, bool full)
{
	const struct compiled_check *c = k->c;
	bool none_there = true, all_good = true, is_missing = false;

	for (size_t i = 0; i < c->n_named; i++) {
		str name = name_at(c, i);
		const struct value *v = schema_get_path(k->doc, name);

		if (v) {
			none_there = false;
			if (c->named[i]->row->is_referenceable && schema_is_reference(v))
				return false;
		}
		if (value_get_str(k->errors, name))
			all_good = false;
		is_missing |= !v && is_needed(c, name);
	}
	if (!all_good && !kinds[c->row->kind].with_invalid)
		return false;
	if (none_there && !(kinds[c->row->kind].with_missing && full))
		return false;
	for (size_t i = 0; is_missing && i < c->n_named; i++) {
		str name = name_at(c, i);

		if (!schema_get_path(k->doc, name) && is_needed(c, name))
			schema_set_error(
				k->r->a, k->errors, name,
				schema_say(k->r->a, "field required for entity check%s",
					   k->r->op == SCHEMA_UPDATE ? " when updating" : ""));
	}
	return !is_missing;
}

void schema_run_checks(const struct run *r, const struct schema *s, const struct value *doc,
		       bool full, struct value *errors)
{
	for (size_t i = 0; i < s->n_checks; i++) {
		const struct checking k = {
			.r = r, .c = &s->checks[i], .doc = doc, .errors = errors
		};

		if (may_run(&k, full))
			kinds[k.c->row->kind].fn(&k);
	}
}
