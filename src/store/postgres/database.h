/* SPDX-License-Identifier: Apache-2.0 */
/* database - PostgreSQL for the data access layer: one primary, perhaps a replica.
 *
 * Jobs run on the fiber that asks.  Writes and the Admin API's own reads go to the
 * primary; what loads everything goes to the replica, unless this node has just
 * written.  A loop's own. */
#pragma once

#include "settings/settings.h"
#include "store/sql/sql.h"

struct sql_database *postgres_database_new(const struct settings *s);
