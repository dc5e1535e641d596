/* SPDX-License-Identifier: Apache-2.0 */
/* declarative - a whole configuration as one document: kong.yml, POST /config.
 *
 * A document is parsed (YAML or JSON), brought to the flat form of format 3.0,
 * checked as a whole (schemas, unique keys, references), given deterministic ids, and becomes a
 * declarative_config: immutable, reference counted, readable by any thread.
 * On any error nothing is kept and the caller gets Kong's tree of fields. */
#pragma once

#include "store/store.h"

struct declarative_config;

struct declarative_options {
	str name; /* of the file, for messages; its ending chooses the parser; empty: both are tried */
	str hash; /* 32 hex digits instead of the text's own MD5; empty: that */
	int64_t now_ms;
	bool flatten_errors; /* an error's `flattened` is wanted too */
};

/* Parses a text. On failure *ret_error is filled (code 14; message; fields tree). */
bool declarative_parse(struct arena *a, str text, const struct declarative_options *o,
		       struct declarative_config **ret, struct db_error *ret_error);
/* The same from an already parsed document (POST /config with a JSON object). */
bool declarative_from_value(struct arena *a, struct value *doc, str hash_of,
			    const struct declarative_options *o, struct declarative_config **ret,
			    struct db_error *ret_error);

struct declarative_config *declarative_hold(struct declarative_config *d); /* any thread */
void declarative_drop(struct declarative_config **d);

/* 32 hex digits: MD5 of the text; all zero when there are no entities. */
const char *declarative_hash(const struct declarative_config *d);
/* Decoded; lives as long as d. */
const struct config *declarative_config(const struct declarative_config *d);
/* The same, with a hold on d for as long as a lives. */
void declarative_lend(struct arena *a, struct declarative_config *d, struct config *ret);
/* {"services": {id: {...}}, ...}: what POST /config answers. */
struct value *declarative_entities(struct arena *a, const struct declarative_config *d);
/* As kong.yml, what GET /config shows. */
str declarative_yaml(struct arena *a, const struct declarative_config *d);

/* A store over whichever configuration is current; swap is atomic, readers keep
 * what they hold.  Never suspends. */
struct store *store_memory_new(void);
void store_memory_swap(struct store *s, struct declarative_config *d); /* with a hold of its own */
/* The current one, held; NULL before the first. */
struct declarative_config *store_memory_hold(struct store *s);
