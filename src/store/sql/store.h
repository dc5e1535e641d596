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

/* What the owner of a store wants to know. */
struct store_watch {
	/* After each write that was kept and that store_kind.load shows, on the fiber that wrote. */
	void (*changed)(void *arg) SUSPENDS;
	/* What is cached under that key is old, by a write of ours or of others ("consumers:": all
	 * of the kind; "*": everything). */
	void (*forget)(void *arg, str key);
	/* Of another node, on a channel that is not about entities: the core's, and these. */
	void (*heard)(void *arg, str channel, str data);
	strs channels; /* borrowed */
	void *arg;
};
void store_sql_watch(struct store *s, const struct store_watch *w);

/* Is the entity no part of what load gives, because there may be too many?  Then it is found
 * when somebody asks for it, and kept by the key that `forget` is called with. */
bool store_sql_is_on_demand(struct store *s, const struct entity *e);
/* What the database is sent when somebody looks for one by a text field or by "id", or for all
 * of a consumer ("consumer"): with places where values are bound, for traces.  Any thread. */
str store_sql_lookup_statement(struct store *s, struct arena *a, const struct entity *e,
			       const char *field);
const struct sql_dialect *store_sql_dialect(struct store *s);
str store_sql_workspace(struct store *s); /* the id of `default` */

/* The same for questions of the proxy's, which a replica may answer; for reading one and
 * pages alone.  Lasts as long as s does. */
struct store *store_sql_for_requests(struct store *s);

/* Looks whether somebody else wrote to the database; *ret: what is loaded is old. */
MUST_CHECK struct err *store_sql_poll(struct store *s, struct arena *a, bool *ret) SUSPENDS;
/* Everything that is decoded is old. */
void store_sql_forget_all(struct store *s);
/* As if another node had said that this key is old; true: what is loaded is. */
bool store_sql_forget(struct store *s, str key);

/* Tells the other nodes, where there are any. */
MUST_CHECK struct err *store_sql_broadcast(struct store *s, struct arena *a, const char *channel,
					   str data) SUSPENDS;

/* Deletes what has outlived its ttl; a part of it, where it is much. */
MUST_CHECK struct err *store_sql_sweep(struct store *s, struct arena *a, bool *ret_has_more)
	SUSPENDS;

/* Do other nodes say when they write?  Then: waits until one does. */
bool store_sql_can_wait(struct store *s);
MUST_CHECK struct err *store_sql_wait(struct store *s, deadline until, bool *ret) SUSPENDS;
