/* SPDX-License-Identifier: Apache-2.0 */
/* schema - runs the rows of schema/field.h over documents.
 *
 * A schema is compiled once from rows (at start, never freed before the end)
 * and is immutable: any thread may use it.  Documents are changed in place:
 * shorthands expanded, defaults and auto fields filled in, sets freed of
 * duplicates.  Errors are Kong's tree: an object with a message, or a nested
 * tree, per field, and "@entity" with an array of messages; arrays with errors
 * are arrays with null gaps. */
#pragma once

#include "schema/field.h"

struct schema;

/* Our own mistakes in rows (bad JSON, default that fails its check) end the program.
 * Documents may refer to defaults in a afterwards. */
const struct schema *schema_new(struct arena *a, const char *name, const struct field *fields,
				const struct check *checks, const struct shorthand *shorthands);

/* What only some schemas have. */
struct schema_traits {
	bool has_ttl; /* documents may have a "ttl" that no row describes */

	/* Variants: rows that take the place of the schema's own, by the value of the
	 * field `key`: a string ("name" of plugins), or a set ("protocols" of routes) whose
	 * first element that has a variant decides.  NULL: none. */
	const char *key;
	const char *unknown; /* the message when there is none, with %s for the value */
	const struct schema *(*find)(str value);
};

const struct schema *schema_new_with(struct arena *a, const char *name, const struct field *fields,
				     const struct check *checks, const struct shorthand *shorthands,
				     const struct schema_traits *traits);

/* A variant of parent: its rows are named as rows of parent; checks may name either's. */
const struct schema *schema_variant_new(struct arena *a, const struct schema *parent,
					const char *name, const struct field *fields,
					const struct check *checks);

/* The variant that a document asks for, or NULL. */
const struct schema *schema_variant(const struct schema *s, const struct value *doc);

const struct field *schema_fields(const struct schema *s);

enum schema_op {
	SCHEMA_INSERT, /* missing fields get defaults, auto fields are made */
	SCHEMA_UPDATE, /* doc is what changes; missing fields stay away */
	SCHEMA_UPSERT,
	SCHEMA_SELECT, /* from a store: no checks beyond kinds */
};

struct schema_options {
	enum schema_op op;
	int64_t now_ms; /* for created_at, updated_at */
	const struct value *
		before; /* update: the entity as it is, for record-level checks and immutable fields */
	bool is_transformed;  /* secrets are hashed already (_transform: false) */
	bool keep_references; /* foreign fields may hold {"name": ...} or a string still */
};

/* The rows inside a record, or NULL: "config" of a plugin's variant. */
const struct schema *schema_record(const struct schema *s, const char *field);

/* Validates and completes doc; NULL when it is good, else the tree of errors. */
struct value *schema_process(struct arena *a, const struct schema *s, struct value *doc,
			     const struct schema_options *o);

/* Into a C struct; doc must have passed schema_process. Text is borrowed from doc. */
void schema_decode(struct arena *a, const struct schema *s, const struct value *doc, void *ret);

/* The way back: a document of what the struct says; unset ones are null. */
struct value *schema_encode(struct arena *a, const struct schema *s, const void *from);

/* PATCH: records merged recursively, everything else replaced. */
struct value *schema_merge(struct arena *a, const struct schema *s, const struct value *before,
			   const struct value *change);

/* Every field of the rows present (null when unset), in the rows' order: how the Admin API shows it. */
struct value *schema_render(struct arena *a, const struct schema *s, const struct value *doc);

/* What GET /schemas/... answers: {"fields": [{name: {...}}, ...], "entity_checks"…} as Kong 3.2.2. */
struct value *schema_print(struct arena *a, const struct schema *s);

/* "schema violation (host: required field missing)", "2 schema violations (...)". */
str schema_message(struct arena *a, const struct value *errors);

/* Adds a message at a dotted path ("snis", "config.redis.host") or "@entity". */
void schema_error_at(struct arena *a, struct value *errors, const char *path, const char *message);

/* A string that is resolved later, "{vault://...}": allowed where the row is_referenceable. */
bool schema_is_reference(const struct value *v);

/* The document with what such strings stand for in their place; itself when there are none. */
const struct value *schema_resolve(struct arena *a, const struct schema *s, const struct value *doc,
				   str (*look_up)(void *arg, struct arena *a, str reference),
				   void *arg);

/* One value against one row (settings, query arguments). NULL or the error (a string value or a tree). */
struct value *schema_check_value(struct arena *a, const struct field *row, struct value *v);
