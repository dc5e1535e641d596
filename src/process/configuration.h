/* SPDX-License-Identifier: Apache-2.0 */
/* configuration - from where it is kept to what serves.
 *
 * Without a database it is a declarative text (process/declared.h), replaced as a whole
 * by POST /config.  With one it is what the store has: each write is followed by
 * reading what changed, building and publishing.  Either way what fails
 * changes nothing, and one configuration is built at a time. */
#pragma once

#include "control/current.h"
#include "process/process.h"
#include "store/declarative.h"
#include "store/held.h"

struct configuration;

/* Fails on settings that name plugins which are not there. */
MUST_CHECK struct err *configuration_new(const struct worker_start *start, struct current *current,
					 struct balance_store *balancers,
					 struct configuration **ret);
/* Lets go of the store, whose connections are the control loop's: when that has ended and is
 * still there.  Takes NULL. */
void configuration_close(struct configuration *c);
void configuration_drop(struct configuration **c); /* after the loops ended */

/* Where the entities are; not before configuration_start(). */
struct store *configuration_store(struct configuration *c);
struct balance_store *configuration_balancers(struct configuration *c);
/* What serves, held; on the loop that configuration_start() was called on, after it. */
struct held_config *configuration_hold(struct configuration *c);

/* What is looked up on demand; NULL: everything is in the snapshot. */
struct lookup *configuration_lookup(struct configuration *c);
/* As if another node had said that this key is old; "*": everything is. */
void configuration_forget(struct configuration *c, str key);
/* Calls heard(arg, channel, data) for words of other nodes that are not about entities. */
void configuration_listen(struct configuration *c, void (*heard)(void *arg, str channel, str data),
			  void *arg);

/* No target is probed any more; on the loop of configuration_start(). */
void configuration_quieten(struct configuration *c);

/* Opens the database, if there is one; reads and publishes the first configuration. */
MUST_CHECK struct err *configuration_start(struct configuration *c) SUSPENDS;

/* Builds, publishes and keeps d (a hold of its own is taken).  One at a time: the
 * others wait.  Only without a database. */
MUST_CHECK struct err *configuration_apply(struct configuration *c, struct declarative_config *d)
	SUSPENDS;

/* The rows that documents are checked by: once, before other threads are there. */
MUST_CHECK struct err *configuration_rules(const struct settings *s);

/* For the command line: reads what configuration_start() would, and checks it.  A
 * database is not opened. */
MUST_CHECK struct err *configuration_check(const struct settings *s);
