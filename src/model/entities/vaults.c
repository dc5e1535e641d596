/* SPDX-License-Identifier: Apache-2.0 */
/* vaults - where "{vault://prefix/...}" is looked up. */
#include "model/priv.h"

#define T struct vault
/* clang-format off */
static const struct field fields[] = {
	ROW_ID(T),
	F_STR(T, prefix, .required = true, .is_unique = true, .is_unique_across_ws = true, .not_one_of = J(["env"]),
	      .match = "^[a-z][a-z%d-]-[a-z%d]+$", .help = "What references begin with."),
	F_STR(T, name, .required = true, .help = "Which kind of vault it is."),
	F_STR(T, description, .help = "What it is for."),
	F_ABSTRACT(T, config, .help = "How it is reached, by the rows of its kind."),
	ROW_CREATED_AT(T),
	ROW_UPDATED_AT(T),
	ROW_TAGS(T),
	F_END
};

static const struct field env_config[] = {
	F_NOT_KEPT("prefix", FIELD_STRING, .match = "^[%a_][%a%d_]*$", .help = "What the names of variables begin with."),
	F_END
};

static const struct field env_fields[] = {
	F_NOT_KEPT("config", FIELD_RECORD, .required = true, .fields = env_config, .help = "Which variables are looked at."),
	F_END
};
/* clang-format on */

static const struct schema *env;

static void variant_start(struct arena *a, const struct schema *s)
{
	env = schema_variant_new(a, s, "env", env_fields, NULL);
}

static const struct schema *variant_find(str name)
{
	return str_is(name, "env") ? env : NULL;
}

const struct entity vaults_entity = {
	.name = "vaults",
	.endpoint_key = "prefix",
	.cache_key = "prefix",
	.help = "A place that keeps secrets.",
	.size = sizeof(T),
	.fields = fields,
	.variant_key = "name",
	.variant_unknown = "vault '%s' is not installed",
	.variant_find = variant_find,
	.variant_start = variant_start,
	.is_workspaceable = true,
	.is_taggable = true,
};
