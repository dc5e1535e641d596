/* SPDX-License-Identifier: Apache-2.0 */
/* entity - a kind of thing that is configured: its rows and its ways of being called.
 *
 * What reads an entity: validation, declarative files, both stores' SQL, the
 * Admin API's endpoints, /schemas, tags, the reference.  Adding an entity is
 * adding a file in model/entities/ and a line in entities.c. */
#pragma once

#include "schema/schema.h"

struct entity {
	const char *name;          /* "services": also the table and the declarative key */
	const char *path;          /* of the Admin API: "key-sets" for key_sets; NULL: the name */
	const char *endpoint_key;  /* field usable instead of the id, or NULL */
	const char *cache_key;     /* "name, route, service, consumer": unique together, or NULL */
	const char *uuid_key;      /* what a deterministic id is made from, or NULL */
	const char *help;
	size_t size;               /* of its C struct */
	const struct field *fields;
	const struct check *checks;
	const struct shorthand *shorthands;
	bool is_workspaceable, is_taggable, has_ttl;
	bool is_hidden;            /* no generated endpoints */

	/* Completes a checked document (targets' host:port, ca_certificates' digest, a
	 * plugin's config by its own schema); adds to errors like a custom check. */
	void (*finish)(struct arena *a, struct value *doc, const struct schema_options *o, struct value *errors);
};

/* Compiles every entity's rows; once, at start. */
void entities_start(void);

extern const struct entity *const entities[]; /* up to NULL, core ones first, parents before children */
const struct entity *entity_find(str name);
const struct schema *entity_schema(const struct entity *e);

/* schema_process and finish together. */
struct value *entity_process(struct arena *a, const struct entity *e, struct value *doc,
			     const struct schema_options *o);
