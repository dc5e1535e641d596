/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that are shared objects: found by name, refused when they were built for
 * another door. */
#pragma once

#include <gibbon/plugin.h>

/* Loads the first NAME.so of these folders, once and for the life of the process; *ret is
 * NULL when none has it. */
MUST_CHECK struct err *plugin_object_load(struct arena *a, strs folders, str name,
					  const struct plugin **ret);
