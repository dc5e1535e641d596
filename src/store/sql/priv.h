/* SPDX-License-Identifier: Apache-2.0 */
/* store/sql/priv - the store over a database from the inside. */
#pragma once

#include "base/map.h"
#include "store/sql/row.h"
#include "store/sql/store.h"

#include <pthread.h>

/* ---- decoded entities (shelf.c) ------------------------------------------------------------ */

/* All entities of a kind, decoded; shared by the snapshots that use them. */
struct shelf;

#define SHELF_OLD_MAX 64 /* of more the whole kind is read */

struct shelf_place {
	struct shelf *latest;    /* NULL: not loaded, or nobody knows what of it is right */
	uuid old[SHELF_OLD_MAX]; /* what of it is not */
	size_t n_old;
	uint64_t stamp; /* counts changes, so that a load does not keep what is old already */
};

struct shelves {
	pthread_mutex_t lock;
	struct shelf_place *v; /* by entity */
	size_t n;
};

void shelves_init(struct arena *a, struct shelves *s, size_t n);
void shelves_done(struct shelves *s);

/* ---- the store ------------------------------------------------------------------------------- */

struct sql_store {
	struct store store;
	struct sql_database *db;
	enum sql_use reading; /* of what find, find_by and page do */
	struct arena *arena;
	struct sql_entity *entities; /* in the order of entities[] */
	size_t n;
	str workspace; /* the id of `default` */
	struct shelves shelves;
	struct store_watch watch;
};

static inline struct sql_store *sql_store_of(struct store *s)
{
	return CONTAINER(s, struct sql_store, store);
}

struct sql_entity *sql_store_entity(struct sql_store *s, const struct entity *e);

/* shelf.c: struct store_kind's load. */
struct err *sql_store_load(struct store *s, struct arena *a, struct config *ret);
/* All of a kind is old, and of what refers to it. */
void sql_store_forget(struct sql_store *s, const struct entity *e);
/* One is; with_children: it may be gone, and what refers to it with it. */
void sql_store_forget_one(struct sql_store *s, const struct entity *e, uuid id, bool with_children);

/* write.c */
bool sql_store_write(struct store *s, struct arena *a, struct store_write *w, size_t n,
		     struct db_error *err);

/* What was told in one transaction. */
struct sql_told {
	struct map seen; /* each thing is told once */
	struct {
		str *v; /* keys that are old */
		size_t n, cap;
	} keys;
	bool has_changed; /* something that is loaded */
};

/* event.c: tells other nodes what was before and is now (either may be NULL); what goes with
 * one that is about to be deleted; and that it is done. */
struct err *sql_tell(struct sql_store *s, struct sql_link *l, struct arena *a,
		     struct sql_told *told, const struct store_write *w, const struct value *before,
		     const struct value *after);
struct err *sql_tell_children(struct sql_store *s, struct sql_link *l, struct arena *a,
			      struct sql_told *told, const struct entity *e, str id);
struct err *sql_tell_kinds(struct sql_store *s, struct sql_link *l, struct arena *a,
			   struct sql_told *told, const struct store_write *w, size_t n);
struct err *sql_tell_all(struct sql_store *s, struct sql_link *l, struct arena *a);
/* What events of other nodes make old; true: something that is loaded. */
bool sql_hear(struct sql_store *s, const struct sql_events *events);

/* fault.c: what a statement broke, as Kong says it. */
void sql_explain(struct sql_store *s, struct arena *a, const struct store_write *w,
		 const struct sql_failure *f, struct err *e, struct db_error *err);
bool sql_database_error(struct db_error *err, struct err *e);
