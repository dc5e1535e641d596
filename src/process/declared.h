/* SPDX-License-Identifier: Apache-2.0 */
/* declared - the text that a node without a database starts with, and keeps.
 *
 * In this order: declarative_config_string, the file declarative_config, what POST
 * /config left in the prefix; none of them is an empty configuration. */
#pragma once

#include "settings/settings.h"
#include "store/declarative.h"

/* Reads, parses and checks it; may take long (no loop's thread). */
MUST_CHECK struct err *declared_read(struct arena *a, const struct settings *s,
				     struct declarative_config **ret);
MUST_CHECK struct err *declared_read_file(struct arena *a, str path,
					  struct declarative_config **ret);
/* Keeps d in the prefix for the next start. */
MUST_CHECK struct err *declared_keep(struct arena *a, const struct settings *s,
				     struct declarative_config *d);
