/* SPDX-License-Identifier: Apache-2.0 */
/* entity - a kind of thing that is configured: its rows and its ways of being called.
 *
 * What reads an entity: validation, declarative files, both stores' SQL, the
 * Admin API's endpoints, /schemas, tags, the reference.  Adding an entity is
 * adding a file in model/entities/ and a line in entities.c. */
#pragma once

#include "schema/schema.h"

struct entity {
	const char *name;         /* "services": also the table and the declarative key */
	const char *path;         /* of the Admin API: "key-sets" for key_sets; NULL: the name */
	const char *nested_path;  /* the same below a parent: /consumers/x/key-auth; NULL: path */
	const char *endpoint_key; /* field usable instead of the id, or NULL */
	const char *nested_key;   /* the same below a parent, among whose it is unique */
	const char *cache_key;    /* "name, route, service, consumer": unique together, or NULL */
	const char *primary_key;  /* NULL: "id" */
	const char *help;
	size_t size; /* of its C struct */
	const struct field *fields;
	const struct check *checks;
	const struct shorthand *shorthands;
	/* The rows under router_flavor = expressions, where they differ. */
	const struct field *expression_fields;
	const struct check *expression_checks;
	/* Variants of the rows by the value of a field (schema_traits); `start` makes them,
	 * in an arena that lives as long as the program. */
	const char *variant_key, *variant_unknown;
	const struct schema *(*variant_find)(str value);
	void (*variant_start)(struct arena *a, const struct schema *s);
	bool is_workspaceable, is_taggable, has_ttl;
	size_t ttl_offset; /* with has_ttl: of an int64_t, FIELD_UNSET_INT when it has none */
	bool is_hidden;    /* no generated endpoints */
	bool is_local;     /* no part of a declarative configuration */
	/* Made by requests, as sessions and tokens are: no part of a snapshot, read when asked for. */
	bool is_kept_apart;
	bool is_key_hashed; /* entity_told_key() */

	/* Completes a checked document (targets' host:port, ca_certificates' digest, a
	 * plugin's config by its own schema); adds to errors like a custom check. */
	void (*finish)(struct arena *a, struct value *doc, const struct schema_options *o,
		       struct value *errors);
};

struct entities_options {
	str router_flavor; /* as in kong.conf; empty: traditional_compatible */
	/* What is wrong with a route's expression; NULL: nothing.  Needed by the flavour
	 * expressions; the parser stands above this folder. */
	const char *(*check_expression)(struct arena *a, str expression);
	/* Entities of others, behind the core's, up to NULL; or NULL. */
	const struct entity *const *more;
};

/* Compiles every entity's rows: once, at start, before other threads are there.  NULL: the
 * defaults.  Plugins' rows (model/plugin_schema.h) may come before or after. */
void entities_start(const struct entities_options *o);
const struct entities_options *entities_chosen(void);

/* Up to NULL, core ones first, parents before children; changed by entities_start() alone. */
extern const struct entity *entities[];
const struct entity *entity_find(str name);
const struct schema *entity_schema(const struct entity *e);

/* Of one field, by its name; NULL when there is none. */
const struct field *entity_field(const struct entity *e, const char *name);
static inline const char *entity_primary_key(const struct entity *e)
{
	return e->primary_key ? e->primary_key : "id";
}

/* What nodes call an entity when they tell each other that it has changed: its cache key, or,
 * where that is a secret, a digest of it. */
str entity_told_key(struct arena *a, const struct entity *e, str key);

/* A document's ttl is what is left from now; becomes what it has from created_at, as
 * structs have it. */
void entity_count_from_start(struct arena *a, const struct entity *e, struct value *doc);

/* schema_decode, and the ttl, which no row describes. */
void entity_decode(struct arena *a, const struct entity *e, const struct value *doc, void *ret);

/* schema_process and finish together. */
struct value *entity_process(struct arena *a, const struct entity *e, struct value *doc,
			     const struct schema_options *o);
