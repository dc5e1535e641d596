/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway keeps for itself: workspaces (one, called default), parameters
 * of the cluster, the index of tags, the data planes that a control plane saw. */
#include "model/priv.h"

/* clang-format off */
#define ROW_OWN_ID(name_, ...) F_NOT_KEPT(name_, FIELD_STRING, .is_uuid = true, .is_auto = true, ##__VA_ARGS__, .help = "Identifies it.")
#define ROW_MADE F_NOT_KEPT("created_at", FIELD_INTEGER, .is_timestamp = true, .is_auto = true, .help = "When it was made, seconds since 1970.")

static const struct field nothing[] = { F_END };

static const struct field workspace_fields[] = {
	ROW_OWN_ID("id"),
	F_NOT_KEPT("name", FIELD_STRING, .required = true, .is_unique = true, .len_min = 1, .check = rule_name,
	           .not_one_of = J(["workspaces", "consumers", "certificates", "services", "routes", "snis", "upstreams",
	                            "targets", "plugins", "tags", "ca_certificates", "clustering_data_planes", "parameters",
	                            "vaults", "key_sets", "keys"]), .help = "A name to call it by."),
	F_NOT_KEPT("comment", FIELD_STRING, .help = "What it is for."),
	ROW_MADE,
	F_NOT_KEPT("meta", FIELD_RECORD, .required = true, .fields = nothing, .help = "Nothing yet."),
	F_NOT_KEPT("config", FIELD_RECORD, .required = true, .fields = nothing, .help = "Nothing yet."),
	F_END
};

static const struct field parameter_fields[] = {
	ROW_MADE,
	F_NOT_KEPT("key", FIELD_STRING, .required = true, .is_unique = true, .help = "Its name."),
	F_NOT_KEPT("value", FIELD_STRING, .required = true, .help = "What it is set to."),
	F_END
};

static const struct field tag_fields[] = {
	F_NOT_KEPT("tag", FIELD_STRING, .required = true, .check = rule_tag, .help = "The word."),
	F_NOT_KEPT("entity_name", FIELD_STRING, .required = true, .help = "What kind of thing has it."),
	ROW_OWN_ID("entity_id", .required = true),
	F_END
};

static const struct field data_plane_fields[] = {
	ROW_OWN_ID("id", .required = true),
	F_NOT_KEPT("last_seen", FIELD_INTEGER, .is_timestamp = true, .is_auto = true, .help = "When it was last heard of, seconds since 1970."),
	F_NOT_KEPT("ip", FIELD_STRING, .required = true, .check = rule_ip, .help = "Its address."),
	F_NOT_KEPT("config_hash", FIELD_STRING, .len_eq = 32, .help = "The configuration it works with."),
	F_NOT_KEPT("hostname", FIELD_STRING, .required = true, .check = rule_host, .help = "The name of its machine."),
	F_NOT_KEPT("version", FIELD_STRING, .help = "Its version.",
	           .match_any = (const char *const[]){ "^%d+[%.%d]*$", "^%d+[%.%d]*%-?.*$", NULL },
	           .match_any_err = "invalid version number: must be in format of X.Y.Z",
	           .match_none = (const struct pattern_rule[]){ { "%.%.", "must not have empty version segments" }, { 0 } }),
	F_NOT_KEPT("sync_status", FIELD_STRING, .required = true, .def = J("unknown"), .help = "Whether it can use what it is sent.",
	           .one_of = J(["unknown", "normal", "kong_version_incompatible", "plugin_set_incompatible", "plugin_version_incompatible"])),
	F_END
};
/* clang-format on */

const struct entity workspaces_entity = {
	.name = "workspaces",
	.endpoint_key = "name",
	.cache_key = "name",
	.help = "What all entities live in.",
	.fields = workspace_fields,
};

const struct entity parameters_entity = {
	.name = "parameters",
	.primary_key = "key",
	.cache_key = "key",
	.help = "A setting of the whole cluster.",
	.fields = parameter_fields,
	.is_hidden = true,
};

const struct entity tags_entity = {
	.name = "tags",
	.primary_key = "tag",
	.endpoint_key = "tag",
	.help = "A tag and what has it.",
	.fields = tag_fields,
	.is_hidden = true,
	.is_local = true,
};

const struct entity clustering_data_planes_entity = {
	.name = "clustering_data_planes",
	.path = "clustering/data-planes",
	.help = "A data plane that a control plane saw.",
	.fields = data_plane_fields,
	.has_ttl = true,
	.is_hidden = true,
	.is_local = true,
};
