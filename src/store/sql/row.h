/* SPDX-License-Identifier: Apache-2.0 */
/* row - an entity's rows as columns: its statements, and documents to rows and back. */
#pragma once

#include "model/entity.h"
#include "store/sql/sql.h"
#include "store/store.h"

struct sql_field {
	const struct field *row;
	const char *column; /* "service_id" of service */
	enum sql_type type;
};

#define SQL_FIELDS_MAX 60

struct sql_entity {
	const struct entity *entity;
	const struct sql_table *table; /* NULL: not kept in a table */
	struct sql_field *fields;
	size_t n;
	const char *key; /* primary */
	bool has_workspace, has_ttl;
	bool is_on_demand;   /* no part of what is loaded */
	strs cache_key;      /* fields that are unique together; none: n is 0 */
	bool has_cache_key;  /* they are kept in a column of their own */
	size_t n_written;    /* parameters of insert and update */
	str columns;         /* what a SELECT names, in the order of fields, then ttl */
	str insert;          /* n_written parameters */
	str put;             /* the same, what has the key is replaced; or unset */
	str update;          /* the same, the last two more: key and workspace */
	str find, find_lock; /* key and, where there is one, workspace */
	str remove;
};

void sql_entity_init(struct arena *a, const struct sql_dialect *d, const struct entity *e,
		     struct sql_entity *ret);

/* The parameters of insert and update; is_change: a ttl counts from now, not from created_at. */
str *sql_encode(struct arena *a, const struct sql_dialect *d, const struct sql_entity *e,
		const struct value *doc, str workspace, bool is_change);
/* What nodes cache it by: its fields that are unique together, or its primary key. */
str sql_cache_key(struct arena *a, const struct sql_entity *e, const struct value *doc,
		  str workspace);
/* A row of e->columns as a document with all fields. */
struct err *sql_decode(struct arena *a, const struct sql_entity *e, const struct sql_rows *rows,
		       size_t row, struct value **ret);

/* Where a text is bound: "$3", wrapped as its type wants. */
void sql_add_placeholder(struct buf *out, const struct sql_dialect *d, enum sql_type type,
			 size_t number);
const struct sql_field *sql_field_find(const struct sql_entity *e, const char *name);
