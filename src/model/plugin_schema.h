/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_schema - what the model knows of a plugin: its rows, its rank, where it may stand.
 *
 * Plugins register at start, before other threads are there; from then on the
 * table is read by any thread.  The rows are a variant of the entity plugins:
 * scopes that the plugin refuses, its protocols, its configuration.
 *
 *	static const struct field cors_fields[] = {
 *		PLUGIN_NO_CONSUMER,
 *		PLUGIN_PROTOCOLS_HTTP,
 *		PLUGIN_CONFIG(cors_config),
 *		F_END
 *	};
 *
 * A plugin that is not enabled is as unknown as one that does not exist. */
#pragma once

#include "model/rows.h"
#include "schema/schema.h"

struct plugin_schema {
	const char *name;
	const char *version; /* as GET / shows it */
	int64_t priority;    /* higher runs earlier */
	const char *help;
	const struct field
		*fields; /* rows of the entity plugins that this plugin has its own way */
	const struct check *checks; /* of the whole entity, "config.policy"; may be NULL */
};

/* clang-format off */
#define PLUGIN_NO_(scope, entity) \
	F_NOT_KEPT(scope, FIELD_FOREIGN, .reference = (entity), .eq = "null", .help = "Has to be left out.")
#define PLUGIN_NO_CONSUMER PLUGIN_NO_("consumer", "consumers")
#define PLUGIN_NO_SERVICE  PLUGIN_NO_("service", "services")
#define PLUGIN_NO_ROUTE    PLUGIN_NO_("route", "routes")
#define PLUGIN_PROTOCOLS_(all) \
	F_NOT_KEPT("protocols", FIELD_SET, .required = true, .def = ROW_PROTOCOLS_HTTP, \
	           .elements = FIELD(FIELD_STRING, .one_of = all), .help = "Protocols whose requests it sees.")
#define PLUGIN_PROTOCOLS      PLUGIN_PROTOCOLS_(ROW_PROTOCOLS_ALL)  /* typedefs.protocols */
#define PLUGIN_PROTOCOLS_HTTP PLUGIN_PROTOCOLS_(ROW_PROTOCOLS_HTTP) /* typedefs.protocols_http */
/* The rows of config; .checks, .shorthands and .record_size may follow. */
#define PLUGIN_CONFIG(rows, ...) \
	F_NOT_KEPT("config", FIELD_RECORD, .required = true, .fields = (rows), ##__VA_ARGS__, .help = "How it works.")
/* clang-format on */

/* Adds one; a second of the same name ends the program. */
void plugin_schema_add(const struct plugin_schema *p);

/* Of those added, only these are enabled from now on; before the first call all are. */
void plugin_schemas_enable(strs names);

/* The i-th enabled one by name, NULL behind the last. */
const struct plugin_schema *plugin_schema_at(size_t i);
const struct plugin_schema *plugin_schema_find(str name);

/* The variant of the entity plugins, or NULL: what GET /schemas/plugins/x prints. */
const struct schema *plugin_schema_variant(str name);
/* Of config alone: to decode a plugin's configuration into its struct. */
const struct schema *plugin_schema_config(str name);

/* entities.c alone: the rows of plugins are compiled now. */
void plugin_schemas_start(struct arena *a, const struct schema *plugins);
