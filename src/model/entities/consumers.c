/* SPDX-License-Identifier: Apache-2.0 */
/* consumers - who calls: what credentials belong to and plugins are configured for. */
#include "model/priv.h"

#define T struct consumer
/* clang-format off */
static const struct field fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_STR(T, username, .is_unique = true, .help = "A name to call it by."),
	F_STR(T, custom_id, .is_unique = true, .help = "Its id in a system of yours."),
	ROW_TAGS(T),
	F_END
};

static const struct check checks[] = {
	{ CHECK_AT_LEAST_ONE_OF, .fields = "custom_id, username" },
	CHECK_END
};
/* clang-format on */

const struct entity consumers_entity = {
	.name = "consumers",
	.endpoint_key = "username",
	.help = "Somebody who calls services, person or program.",
	.size = sizeof(T),
	.fields = fields,
	.checks = checks,
	.is_workspaceable = true,
	.is_taggable = true,
};
