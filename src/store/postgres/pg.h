/* SPDX-License-Identifier: Apache-2.0 */
/* pg - PostgreSQL connections on fibers, over TLS as kong.conf asks for it.
 *
 * libpq speaks the protocol; this door adds the loop, the deadlines, the rules of
 * pg_ssl* and errors that name the property to look at.
 *
 *  - A connection belongs to one loop; one fiber uses it at a time.
 *  - Each wait lasts pg_timeout at most.  A connection that timed out, was
 *    cancelled or lost is broken: every further call fails, dropping it is all
 *    that is left.  The server is not asked to stop what it does, for libpq would
 *    send that in clear; of version 14 on it finds out by itself.
 *  - Values are bound, never written into the SQL; all are text, as results are.
 *  - Certificates are read again for every connection.
 *  - With pg_ssl and (pg_ssl_required or pg_ssl_verify) nothing but the SSL request
 *    crosses in clear.  A TLS handshake that fails never ends in clear text; only
 *    a server that says it has no TLS does, and only where neither is set.
 *
 * Errors carry the server's SQLSTATE in err->state. */
#pragma once

#include "fiber/fiber.h"
#include "settings/settings.h"

/* ---- what to connect to ----------------------------------------------------------- */

struct pg_options {
	const struct settings *settings; /* borrowed: files and references are read again */
	bool is_ro;
	str host, user, password, database, schema; /* unset: the server decides */
	uint16_t port;
	bool ssl, required, verify, verify_host;
	str ssl_version;    /* tlsv1_1, tlsv1_2, tlsv1_3, any */
	int64_t depth;      /* intermediates allowed in a verified chain */
	int64_t timeout_ms; /* of connecting, and of each wait for the server */
	bool ends_orphans;  /* the server, 14 or later, can end statements whose client is gone */

	/* of the pool */
	int64_t max_queries;  /* at a time; 0: no limit */
	int64_t semaphore_ms; /* a query's wait for its turn */
	int64_t keepalive_ms; /* an idle connection's life; 0: no limit */
	int64_t pool_size;    /* connections kept */
	int64_t backlog;      /* waiting for a connection; < 0: no limit on connections */
};

/* The primary's, or the replica's: pg_ro_* over pg_*. */
struct pg_options pg_options_of(const struct settings *s, bool is_ro);
/* Is there a replica to read from? */
bool pg_has_replica(const struct settings *s);

/* ---- connections ------------------------------------------------------------------- */

struct pg_conn;

/* A connection that may be used at once: logged in, in UTC, in its schema.  A
 * login that fails is tried once more when user or password are references that
 * say something else now.  `o` is borrowed while it connects. */
MUST_CHECK struct err *pg_connect(const struct pg_options *o, struct pg_conn **ret) SUSPENDS;
void pg_drop(struct pg_conn **c); /* takes NULL; closes it at once */

bool pg_is_broken(const struct pg_conn *c);
bool pg_is_tls(const struct pg_conn *c);
int pg_server_version(const struct pg_conn *c); /* 150020 */
/* Waits that follow last so long at most: for migrations, say. */
void pg_set_timeout(struct pg_conn *c, int64_t ms);

/* What the server said of the last call that failed on this connection; all unset when it said
 * nothing.  Borrowed until the next call. */
struct pg_failure {
	char sqlstate[6];
	str message, detail, hint, schema, table, column, constraint;
};
const struct pg_failure *pg_failure(const struct pg_conn *c);

/* ---- asking -------------------------------------------------------------------------- */

struct pg_rows {
	size_t n, n_columns;
	int64_t affected; /* rows that an INSERT, UPDATE or DELETE changed */
	void *result;     /* libpq's; ends with the arena */
};

/* One statement.  $1... are `params`; one whose s is NULL is SQL's null.  The rows
 * live in a. `ret` may be NULL. */
MUST_CHECK struct err *pg_query(struct pg_conn *c, struct arena *a, const char *sql,
				const str *params, size_t n_params, struct pg_rows *ret) SUSPENDS;

/* Several statements, without values: all or none of them, unless they say otherwise. */
MUST_CHECK struct err *pg_script(struct pg_conn *c, const char *sql) SUSPENDS;

str pg_value(const struct pg_rows *r, size_t row, size_t column); /* null: unset */
const char *pg_column(const struct pg_rows *r, size_t column);    /* its name */
int pg_column_find(const struct pg_rows *r, const char *name);    /* or -1 */

#define PG_PARAMS(...) ((const str[]){ __VA_ARGS__ }), COUNT(((const str[]){ __VA_ARGS__ }))
#define PG_NO_PARAMS   NULL, 0

/* fn between BEGIN and COMMIT, or ROLLBACK when it fails.  Do not nest. */
typedef struct err *pg_transaction_fn(struct pg_conn *c, void *arg);
MUST_CHECK struct err *pg_transaction(struct pg_conn *c, pg_transaction_fn *fn, void *arg) SUSPENDS;

/* The next NOTIFY of a channel it LISTENs to, in a.  ERR_TIMEOUT leaves the
 * connection as good as it was. */
MUST_CHECK struct err *pg_wait_notify(struct pg_conn *c, struct arena *a, deadline until,
				      str *ret_channel, str *ret_payload) SUSPENDS;

/* ---- from outside of a server --------------------------------------------------------- */

/* Connects to the primary and asks for its version: NULL when it can be used, else
 * the error in Kong's words ("[PostgreSQL error] ..."). */
MUST_CHECK struct err *pg_probe(const struct pg_options *o) SUSPENDS;

/* For commands: runs fn(arg) as a fiber on a loop of its own, with names being
 * resolved, and gives its error, which is the caller's.  Not where a loop runs. */
typedef struct err *pg_alone_fn(void *arg);
MUST_CHECK struct err *pg_alone(const struct settings *s, pg_alone_fn *fn, void *arg);
/* The two together; each wait lasts timeout_ms at most. */
MUST_CHECK struct err *pg_probe_alone(const struct settings *s, int64_t timeout_ms);
