/* SPDX-License-Identifier: Apache-2.0 */
/* database - the store that `database` names, opened; and what commands do with one.
 *
 * Entities must have been started (process/configuration.h). */
#pragma once

#include "settings/settings.h"
#include "store/declarative.h"

/* SQLite is made when it is not there; PostgreSQL has to have been migrated. */
MUST_CHECK struct err *database_open(const struct settings *s, struct store **ret) SUSPENDS;

/* ---- for commands, where no loop runs ---------------------------------------------------- */

/* Everything in d is written, all or nothing; what is there by another name stays. */
MUST_CHECK struct err *database_import(const struct settings *s, struct declarative_config *d)
	SUSPENDS;
/* Everything that is there, as kong.yml. */
MUST_CHECK struct err *database_export(struct arena *a, const struct settings *s, str *ret)
	SUSPENDS;
