/* SPDX-License-Identifier: Apache-2.0 */
/* schema/priv - rows in the form that is fast to run, and what the folder shares.
 *
 *	struct schema ── rules[] ── struct rule per row: parsed JSON, nested rules
 *	              ── checks[] ── fields taken apart, conditional rules laid over
 *	                             the rows they are about
 *
 * A document goes through complete (shorthands, auto fields, defaults, sets) and
 * then through validate (values, then checks); neither keeps anything. */
#pragma once

#include "schema/schema.h"

struct rule {
	const struct field *row;
	str name;
	enum field_kind kind;
	bool is_required;
	struct value *def; /* NULL: no default; a null value: prints as null */
	struct value *one_of, *not_one_of, *between, *gt, *eq, *ne, *contains, *subsets;
	const struct rule *elements, *keys, *values;
	const struct schema *record; /* of records */
};

struct compiled_check {
	const struct check *row;
	strs fields, else_fields;
	str if_field, then_field;
	/* The rows that these name, as compiled; if_/else_/then_ with the check's rules over them. */
	const struct rule *
		*named; /* one per field of `fields`, else_fields, if_field, then_field */
	size_t n_named;
	const struct rule *if_rule, *else_rule, *then_rule;
};

struct compiled_shorthand {
	const struct shorthand *row;
	str name;
	const struct rule *rule;
};

struct schema {
	const char *name;
	const struct field *rows;
	const struct schema *parent; /* of a variant */
	struct rule *rules;
	size_t n;
	struct compiled_check *checks;
	size_t n_checks;
	struct compiled_shorthand *shorthands;
	size_t n_shorthands;
	struct schema_traits traits;
};

/* One pass over one document. */
struct run {
	struct arena *a;
	enum schema_op op;
	int64_t now_ms;
	bool keep_references;
};

/* The member, looked for first where the last one was found: documents are mostly in the
 * order of the rows.  *at starts at 0. */
struct value *schema_get_next(const struct value *doc, str name, uint32_t *at);

/* compile.c */
const struct rule *schema_find_rule(const struct schema *s, str name);
const struct rule *schema_rule_new(struct arena *a, const char *schema_name,
				   const struct field *row);

/* The i-th rule of s, or what the variant says instead of it. */
const struct rule *schema_rule(const struct schema *s, const struct schema *variant, size_t i);

/* complete.c: in place.  NULL, or the tree of errors of shorthands. */
struct value *schema_complete_record(const struct run *r, const struct schema *s,
				     struct value *doc);
/* The value as completed: v, another one, or NULL when it stays missing. */
struct value *schema_complete_value(const struct run *r, const struct rule *rule, struct value *v);

/* validate.c: NULL, or what is wrong: a text or a tree. */
struct value *schema_judge_value(const struct run *r, const struct rule *rule,
				 const struct value *v);
struct value *schema_judge_record(const struct run *r, const struct schema *s,
				  const struct value *doc, bool full);

/* checks.c */
void schema_run_checks(const struct run *r, const struct schema *s, const struct value *doc,
		       bool full, struct value *errors);

/* errors.c */
struct value *schema_say(struct arena *a, const char *format, ...) PRINTF(2, 3);
void schema_set_error(struct arena *a, struct value *errors, str path, struct value *error);
const struct value *schema_get_path(const struct value *doc, str path); /* "a.b.c"; NULL: missing */
