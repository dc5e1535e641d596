/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the PostgreSQL adapter share. */
#pragma once

#include "net/tls.h"
#include "store/postgres/pg.h"
#include <libpq-fe.h>

#define PG_TIMEOUT_DEFAULT_MS 60000 /* of pg_timeout = 0 */
#define PG_VERSION_LEAST      90500

struct pg_conn {
	PGconn *libpq;
	struct io io; /* of libpq's socket, once it is connected */
	bool has_io, is_broken;
	bool is_ro;         /* whose properties hints name */
	bool is_reused;     /* this time it came from the pool */
	int64_t timeout_ms; /* of each wait */
	struct tls_refusal refusal;
	struct arena *said; /* failure's; emptied by each call */
	struct pg_failure failure;
	struct list link; /* in the pool, while idle */
	deadline idle_until;
	struct pg_pool *pool;
};

/* ---- waiting -------------------------------------------------------------------------- */

/* Until the connected socket is ready for `what`; breaks the connection when it is not. */
MUST_CHECK struct err *pg_wait(struct pg_conn *c, int what) SUSPENDS;
MUST_CHECK struct err *pg_wait_until(struct pg_conn *c, int what, deadline until) SUSPENDS;

/* ---- words ------------------------------------------------------------------------------ */

/* libpq's report on a failed connection as an error: its place and layout taken
 * off, the code found, the property to look at as hint. */
struct err *pg_connect_error(const char *said, bool is_ro);
/* The same for a reason of our own: code and text. */
struct err *pg_own_error(enum err_code code, bool is_ro, const char *text);
