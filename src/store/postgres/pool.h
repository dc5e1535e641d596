/* SPDX-License-Identifier: Apache-2.0 */
/* pool - the connections of a process to one PostgreSQL server.
 *
 * Loop's own: the control loop has one for the primary and, with pg_ro_host, one
 * for the replica.  Idle connections are watched: one that the server closes is
 * gone at once, and so is one that was idle for pg_keepalive_timeout.
 *
 * While the server is away each call fails with the words of the last attempt;
 * a new attempt is made at most four times a second, by whoever comes first, so
 * that an outage costs neither time nor sockets and ends by itself. */
#pragma once

#include "store/postgres/pg.h"

struct pg_pool;

struct pg_pool *pg_pool_new(const struct pg_options *o); /* copied; o->settings is borrowed */
void pg_pool_drop(struct pg_pool **p); /* closes the idle ones; none may be in use */
void pg_pool_close_idle(struct pg_pool *p);

/* A connection of its own for the caller, who gives it back, whatever became of it.
 * Waits for its turn (pg_max_concurrent_queries) and, with pg_backlog, for a place. */
MUST_CHECK struct err *pg_pool_take(struct pg_pool *p, struct pg_conn **ret) SUSPENDS;
void pg_pool_give(struct pg_pool *p, struct pg_conn **c); /* takes NULL */

/* One statement on a connection of the pool.  A statement that may be repeated (it
 * only reads) is, when an idle connection turned out to be dead. */
MUST_CHECK struct err *pg_pool_query(struct pg_pool *p, struct arena *a, bool may_repeat,
				     const char *sql, const str *params, size_t n_params,
				     struct pg_rows *ret) SUSPENDS;

struct pg_pool_stats {
	unsigned open, idle, waiting; /* connections; fibers that wait for one or for their turn */
	uint64_t connects, failures;
};
struct pg_pool_stats pg_pool_stats(const struct pg_pool *p);
