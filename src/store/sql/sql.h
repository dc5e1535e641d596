/* SPDX-License-Identifier: Apache-2.0 */
/* sql - what the data access layer asks of a database, and what databases do differently.
 *
 *	store.c ── statements and values, from the entities' rows
 *	   │
 *	   ▼
 *	sql_database ── run a job with a link ──► sqlite.c, postgres.c
 *
 * All values go in and come out as text, bound, never written into a statement; an
 * unset str is null.  The dialect says how a column of a type is read and written so
 * that the text is the same whichever database it is. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/sql/catalogue.h"

/* ---- dialects ------------------------------------------------------------------------- */

struct sql_wrap {
	const char *before, *after;
};

struct sql_dialect {
	const char *name;
	const char *types[SQL_TYPES];      /* in CREATE TABLE */
	struct sql_wrap reads[SQL_TYPES];  /* around a column; lists and JSON as JSON text, times
	                                    * as seconds */
	struct sql_wrap writes[SQL_TYPES]; /* around a placeholder */
	char placeholder;                  /* before its number */
	const char *now;                   /* to compare with a column of SQL_TIME */
	const char *for_update;            /* behind a SELECT of a row about to be written */
	const char *not_by_index;          /* before a column that nearly all rows have alike */
	const char *analyze;               /* before a table that has grown at once, or NULL */
	const char *table_end;             /* behind the parenthesis of CREATE TABLE */
	bool lists_are_json;               /* else array literals: {"a","b"} */
	bool has_defaults, has_gin;
	bool has_put; /* ON CONFLICT (key) counts though (key, ws_id) is unique as well */
	/* A condition on "tags" with n parameters from the first one on. */
	void (*tags)(struct buf *out, bool is_any, size_t first, size_t n);
	/* Statements that keep the table tags in step with t. */
	void (*tags_trigger)(struct buf *out, const struct sql_table *t);
};

extern const struct sql_dialect sql_dialect_sqlite, sql_dialect_postgres;

/* "name", quoted. */
void sql_add_name(struct buf *out, const char *name);
/* The statements that make a table with its indexes and its trigger; what is there is left. */
void sql_add_table(struct buf *out, const struct sql_dialect *d, const struct sql_table *t);

/* ---- asking ------------------------------------------------------------------------------ */

struct sql_rows {
	size_t n, n_columns;
	str *v; /* row by row */
};

static inline str sql_cell(const struct sql_rows *r, size_t row, size_t column)
{
	return r->v[row * r->n_columns + column];
}

enum sql_fault { SQL_FAULT_OTHER, SQL_FAULT_UNIQUE, SQL_FAULT_FOREIGN };

/* What a statement that failed broke. */
struct sql_failure {
	enum sql_fault fault;
	strs columns; /* of SQL_FAULT_UNIQUE */
};

struct asked;

struct sql_link {
	const struct sql_dialect *dialect;
	struct asked *asked; /* where statements are noted (base/asked.h), or NULL */
	/* One statement; rows and the failure live in a.  ret and ret_failure may be NULL. */
	struct err *(*query)(struct sql_link *l, struct arena *a, str sql, const str *params,
			     size_t n, struct sql_rows *ret, struct sql_failure *ret_failure);
};

/* A word of another node, on one of Kong's channels. */
struct sql_event {
	str channel, data;
};

struct sql_events {
	struct sql_event *v;
	size_t n, cap;
};

#define SQL_INVALIDATIONS "invalidations" /* of caches, by key; "*": anything may have changed */

enum sql_use {
	SQL_USE_READ,    /* one statement */
	SQL_USE_REQUEST, /* the same for a request of the proxy's: a replica will do */
	SQL_USE_LOAD,    /* several that see one state of everything; a replica will do */
	SQL_USE_WRITE,   /* a transaction: kept when the job returns NULL */
	SQL_USE_ASIDE, /* the same of what the proxy does not look for: counters, events, sweeping */
	SQL_USES,
};

typedef struct err *sql_job_fn(struct sql_link *l, void *arg);

struct sql_database {
	const struct sql_dialect *dialect;
	str node;      /* how others know us, an id; unset: nobody needs to be told of writes */
	strs channels; /* that are heard beside those of entities and of the core */
	double propagation_s; /* others look at a change so much later, for replicas' sake */
	/* Runs fn with a link, perhaps on another thread; the caller waits.  The error of fn, or
	 * that of the link, lives in a. */
	struct err *(*run)(struct sql_database *db, struct arena *a, enum sql_use use,
			   sql_job_fn *fn, void *arg)SUSPENDS;
	/* What others told since it was asked last. */
	struct err *(*poll)(struct sql_database *db, struct arena *a,
			    struct sql_events *ret)SUSPENDS;
	/* Waits until others say that they wrote; NULL: they do not say. */
	struct err *(*wait)(struct sql_database *db, deadline until, bool *ret)SUSPENDS;
	void (*drop)(struct sql_database *db);
};
