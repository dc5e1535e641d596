/* SPDX-License-Identifier: Apache-2.0 */
/* The store over a database: statements from the entities' rows, Kong's words for what
 * goes wrong, and the decoded entities kept until somebody changes them. */
#pragma once

#include "store/sql/sql.h"
#include "store/store.h"

/* Takes db, whose tables are there; the workspace `default` is looked up.  Entities must
 * have been started.  On failure db is dropped. */
MUST_CHECK struct err *store_sql_new(struct sql_database *db, struct store **ret) SUSPENDS;

/* What it is over, as long as it is there. */
struct sql_database *store_sql_database(struct store *s);

/* Calls changed(arg) after each write that was kept, on the fiber that wrote. */
void store_sql_watch(struct store *s, void (*changed)(void *arg) SUSPENDS, void *arg);

/* Looks whether somebody else wrote to the database; *ret: what is decoded is old. */
MUST_CHECK struct err *store_sql_poll(struct store *s, struct arena *a, bool *ret) SUSPENDS;

/* Deletes what has outlived its ttl. */
MUST_CHECK struct err *store_sql_sweep(struct store *s, struct arena *a) SUSPENDS;

/* Do other nodes say when they write?  Then: waits until one does. */
bool store_sql_can_wait(struct store *s);
MUST_CHECK struct err *store_sql_wait(struct store *s, deadline until, bool *ret) SUSPENDS;
