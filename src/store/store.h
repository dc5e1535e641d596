/* SPDX-License-Identifier: Apache-2.0 */
/* store - where the entities are kept, behind one door for all kinds of keeping.
 *
 * Documents in, documents out (base/value.h), checked by the entity's schema
 * before they come here.  The read calls never see half a change.  A store
 * without a database keeps one declarative document: it is replaced as a whole
 * (store/declarative.h) and refuses single writes as Kong does (code 12).
 *
 * Calls may suspend (a database, a file) unless the kind says otherwise. */
#pragma once

#include "model/entity.h"
#include "model/model.h"

/* Kong's error codes: the row (name, HTTP status) is in store/errors.c. */
enum db_code {
	DB_OK = 0,
	DB_INVALID_PRIMARY_KEY = 1,
	DB_SCHEMA_VIOLATION,
	DB_PRIMARY_KEY_VIOLATION,
	DB_FOREIGN_KEY_VIOLATION,
	DB_UNIQUE_VIOLATION,
	DB_NOT_FOUND,
	DB_INVALID_OFFSET,
	DB_DATABASE_ERROR,
	DB_INVALID_SIZE,
	DB_INVALID_UNIQUE,
	DB_INVALID_OPTIONS,
	DB_UNSUPPORTED,
	DB_FOREIGN_KEYS_UNRESOLVED,
	DB_DECLARATIVE_CONFIG,
	DB_TRANSFORMATION,
	DB_INVALID_FOREIGN_KEY,
	DB_INVALID_WORKSPACE,
	DB_INVALID_UNIQUE_GLOBAL,
};

struct db_error {
	enum db_code code;
	str message;
	struct value *fields;    /* or options for code 11; NULL: none */
	struct value *flattened; /* of code 14, when asked for: one entry per entity */
	struct err *cause;       /* of DB_DATABASE_ERROR, for the log */
};

const char *db_error_name(enum db_code code); /* "unique constraint violation" */
int db_error_status(enum db_code code);       /* HTTP */
/* {"code": N, "name": ..., "message": ..., "fields": {...}} */
struct value *db_error_body(struct arena *a, const struct db_error *e);

/* Kong's way of printing a key in messages: {name="foo"}; nulls as null. */
str db_key_text(struct arena *a, const struct value *key);

struct page_query {
	int64_t size; /* 1..1000; 0: 100 */
	str offset;   /* opaque, from a former page; empty: the start */
	strs tags;
	bool tags_any;       /* OR instead of AND */
	const char *foreign; /* only those whose field of this name ... */
	uuid foreign_id;     /* ... points there; NULL foreign: all */
};

struct page {
	struct value *data; /* array of documents, all fields (schema_render) */
	str offset;         /* empty: there is no next page */
};

struct store;

enum store_op { STORE_INSERT, STORE_UPDATE, STORE_UPSERT, STORE_REMOVE };

/* One of the writes that are kept together. */
struct store_write {
	enum store_op op;
	const struct entity *entity;
	uuid id;           /* of all but STORE_INSERT */
	struct value *doc; /* what is written; afterwards: the document as it is then */
	bool was_there;    /* afterwards, of STORE_REMOVE: it was this write that took it away */
};

/* What a kind of store must be able to do; all results in a. */
struct store_kind {
	const char *name; /* "off", "sqlite", "postgres" */
	/* The document, or NULL with *e untouched when there is none. */
	struct value *(*find)(struct store *s, struct arena *a, const struct entity *e, uuid id,
			      struct db_error *err);
	struct value *(*find_by)(struct store *s, struct arena *a, const struct entity *e,
				 const char *field, str value, struct db_error *err);
	bool (*page)(struct store *s, struct arena *a, const struct entity *e,
		     const struct page_query *q, struct page *ret, struct db_error *err);
	/* Writes. NULL members: DB_UNSUPPORTED in Kong's words. */
	struct value *(*insert)(struct store *s, struct arena *a, const struct entity *e,
				struct value *doc, struct db_error *err);
	struct value *(*update)(struct store *s, struct arena *a, const struct entity *e, uuid id,
				struct value *change, struct db_error *err);
	struct value *(*upsert)(struct store *s, struct arena *a, const struct entity *e, uuid id,
				struct value *doc, struct db_error *err);
	bool (*remove)(struct store *s, struct arena *a, const struct entity *e, uuid id,
		       struct db_error *err);
	/* All of them, in this order, or none. */
	bool (*write)(struct store *s, struct arena *a, struct store_write *w, size_t n,
		      struct db_error *err);
	/* All entities decoded, for the snapshot; what is borrowed lives as long as a. */
	struct err *(*load)(struct store *s, struct arena *a, struct config *ret);
	void (*drop)(struct store *s);
};

struct store {
	const struct store_kind *kind;
};
