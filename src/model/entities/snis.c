/* SPDX-License-Identifier: Apache-2.0 */
/* snis - a server name, and the certificate shown to those who ask for it. */
#include "model/priv.h"

#define T struct sni
/* clang-format off */
static const struct field fields[] = {
	ROW_ID(T),
	F_STR(T, name, .required = true, .is_unique = true, .is_unique_across_ws = true, .check = rule_sni_pattern, .help = "The name, perhaps with a wildcard at one end."),
	ROW_CREATED_AT(T),
	ROW_TAGS(T),
	F_REF(T, certificate, "certificates", .required = true, .help = "The certificate to show."),
	F_END
};
/* clang-format on */

const struct entity snis_entity = {
	.name = "snis",
	.endpoint_key = "name",
	.help = "A server name of TLS that has a certificate.",
	.size = sizeof(T),
	.fields = fields,
	.is_workspaceable = true,
	.is_taggable = true,
};
