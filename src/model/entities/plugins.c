/* SPDX-License-Identifier: Apache-2.0 */
/* plugins - a plugin in use: its configuration, and the scope it works in.
 *
 * The rows of each plugin (model/plugin_schema.h) are variants of these. */
#include "model/plugin_schema.h"
#include "model/priv.h"

#define T struct plugin_config
/* clang-format off */
static const struct field fields[] = {
	ROW_ID(T),
	F_STR(T, name, .required = true, .help = "Which plugin it is."),
	F_STR(T, instance_name, .is_unique = true, .check = rule_name, .help = "A name to call this one by."),
	ROW_CREATED_AT(T),
	F_REF(T, route, "routes", .def = J(null), .on_delete = "cascade", .help = "The route it works for; unset: all."),
	F_REF(T, service, "services", .def = J(null), .on_delete = "cascade", .help = "The service it works for; unset: all."),
	F_REF(T, consumer, "consumers", .def = J(null), .on_delete = "cascade", .help = "The consumer it works for; unset: all."),
	F_ABSTRACT(T, config, .help = "How it works, by the rows of the plugin."),
	F_STRS(T, protocols, .is_set = true, .required = true, .def = ROW_PROTOCOLS_HTTP,
	       .elements = FIELD(FIELD_STRING, .one_of = ROW_PROTOCOLS_ALL), .help = "Protocols whose requests it sees."),
	F_BOOL(T, enabled, .required = true, .def = J(true), .help = "Whether it runs."),
	ROW_TAGS(T),
	F_END
};
/* clang-format on */

const struct entity plugins_entity = {
	.name = "plugins",
	.endpoint_key = "instance_name",
	.cache_key = "name, route, service, consumer",
	.help = "A plugin in use, for everybody or in a scope.",
	.size = sizeof(T),
	.fields = fields,
	.variant_key = "name",
	.variant_unknown =
		"plugin '%s' not enabled; add it to the 'plugins' configuration property",
	.variant_find = plugin_schema_variant,
	.variant_start = plugin_schemas_start,
	.is_workspaceable = true,
	.is_taggable = true,
};
