/* SPDX-License-Identifier: Apache-2.0 */
/* configuration - from a declarative text to what serves, and kept for the next start.
 *
 * At the start the text is, in this order, declarative_config_string, the file
 * declarative_config, or what POST /config left in the prefix; none of them is
 * an empty configuration.  Every change goes one way: parse, build the
 * snapshot, publish, keep.  What fails on that way changes nothing. */
#pragma once

#include "control/current.h"
#include "process/process.h"
#include "store/declarative.h"

struct configuration;

struct configuration *configuration_new(const struct worker_start *start, struct current *current,
					struct balance_store *balancers);
void configuration_drop(struct configuration **c); /* after the loops ended */

struct store *configuration_store(struct configuration *c); /* over what is current */
struct balance_store *configuration_balancers(struct configuration *c);

/* Reads and publishes the first one. */
MUST_CHECK struct err *configuration_start(struct configuration *c) SUSPENDS;

/* Builds, publishes and keeps d (a hold of its own is taken).  One at a time: the
 * others wait. */
MUST_CHECK struct err *configuration_apply(struct configuration *c, struct declarative_config *d)
	SUSPENDS;

/* The error of a declarative text, for people. */
struct err *configuration_error(const struct db_error *e);

/* For the command line: reads what configuration_start() would, and checks it. */
MUST_CHECK struct err *configuration_check(const struct settings *s);
