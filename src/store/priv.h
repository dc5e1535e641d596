/* SPDX-License-Identifier: Apache-2.0 */
/* store/priv - a declarative configuration from the inside.
 *
 *	document ── load.c ──► items, checked ──► sets (one per entity, sorted by id)
 *	                                      └─► struct config, decoded
 *
 * Everything that stays is in the configuration's own arena; what only the loading
 * needs is in one of its own, which ends with it. */
#pragma once

#include "base/map.h"
#include "store/declarative.h"
#include <stdatomic.h>

#define SET_KEYS_MAX 4
#define SET_REFS_MAX 4

/* All documents of one entity. */
struct set {
	const struct entity *entity;
	struct value **docs; /* sorted by id, or by the primary key where there is no id */
	uuid *ids;
	size_t n;
	struct set_key {
		const char *field; /* unique, or the one entities are called by */
		struct map docs;   /* text -> document */
	} keys[SET_KEYS_MAX];
	size_t n_keys;
	struct set_ref {
		const char *field; /* foreign */
		uuid *ids;         /* of each document; none: unset */
	} refs[SET_REFS_MAX];
	size_t n_refs;
};

struct declarative_config {
	atomic_int holders;
	struct arena *arena;
	struct set *sets; /* in the order of entities[] */
	size_t n_sets;
	struct config config;
};

/* load.c: fills d from a document in d's arena; NULL, or the tree of errors in that arena.
 * *ret_placed is the same tree by places in the document, for flattened errors. */
struct value *declarative_load(struct declarative_config *d, struct value *doc,
			       const struct declarative_options *o, struct value **ret_placed);

/* sets.c */
void set_fill(struct arena *a, struct set *s, const struct entity *e, struct value **docs,
	      size_t n);
struct value *set_find(const struct set *s, uuid id);
struct value *set_find_by(const struct set *s, const char *field, str value);
void sets_decode(struct declarative_config *d);

/* migrate.c: formats before 3.0 are brought to it, in place. */
void declarative_migrate(struct arena *a, struct value *doc);

/* flat_errors.c: {entity_type, entity_name, entity, errors: [...]} for each entity that has errors. */
struct value *declarative_flatten_errors(struct arena *a, struct value *doc,
					 const struct value *errors);

/* The place in entities[] of the one with that name, or SIZE_MAX. */
size_t entity_index(str name);
