/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_table - the plugins of this program, and which of them the settings allow.
 *
 * A plugin's rows become a variant of the entity plugins (model/plugin_schema.h), the
 * entities that it brings follow the core's.  Done once per process, before
 * entities_start() and before other threads are there; doing it again with the same
 * settings changes nothing. */
#pragma once

#include "settings/settings.h"
#include <gibbon/plugin.h>

/* Names in `plugins` that are neither known nor meant to be are an error. */
MUST_CHECK struct err *plugins_enable(const struct settings *s);

/* NULL: there is none, or it is not enabled. */
const struct plugin *plugin_find(str name);

/* The i-th enabled one, by name; NULL behind the last. */
const struct plugin *plugin_at(size_t i);

/* Entities of those enabled, for entities_options.more. */
const struct entity *const *plugins_entities(void);

/* Around the life of the loops. */
void plugins_start(const struct plugin_node *node);
void plugins_stop(void);

/* What pages ask of the process (gibbon/plugin.h); NULL when nobody can be asked any more. */
struct plugin_node_hooks {
	void (*figures)(void *arg, struct node_figures *ret) SUSPENDS;
	struct value *(*targets)(void *arg, struct arena *a);
	bool (*uses)(void *arg, const char *plugin);
	size_t (*zones)(void *arg, struct node_zone ret[NODE_ZONES]); /* any thread */
	struct value *(*plugins)(void *arg, struct arena *a, const char *name);
	struct err *(*tell)(void *arg, const char *channel, str data)SUSPENDS; /* NULL: nobody */
	void *arg;
};
void plugins_ask(const struct plugin_node_hooks *hooks); /* borrowed */

/* Names of all channels that enabled plugins listen to. */
strs plugins_channels(void);

/* A word of another node, for those of the enabled plugins that listen to its channel. */
void plugins_hear(str channel, str data) SUSPENDS;
