/* SPDX-License-Identifier: Apache-2.0 */
/* keys, key_sets - keys for plugins to sign and verify with, as JWK or PEM. */
#include "base/json.h"
#include "model/priv.h"
#include "net/tls.h"
#include "net/tls_keys.h"

static const char *check_pem(struct arena *a, const struct value *v);

#define T   struct key
#define PEM __typeof__(((T *)0)->pem)
/* clang-format off */
static const struct field pem_fields[] = {
	F_STR(PEM, private_key, .required_is_false_shown = true, .is_referenceable = true, .is_encrypted = true, .help = "The private key."),
	F_STR(PEM, public_key, .required_is_false_shown = true, .is_referenceable = true, .help = "The public key."),
	F_END
};

static const struct field fields[] = {
	ROW_ID(T),
	F_REF(T, set, "key_sets", .required_is_false_shown = true, .on_delete = "cascade", .help = "The set it belongs to."),
	F_STR(T, name, .required_is_false_shown = true, .is_unique = true, .help = "A name to call it by."),
	F_STR(T, kid, .required = true, .unique_is_false_shown = true, .help = "The key id, as tokens name it."),
	F_STR(T, jwk, .is_referenceable = true, .is_encrypted = true, .help = "The key as a JSON Web Key, JSON text."),
	F_RECORD(T, pem, .required_is_false_shown = true, .fields = pem_fields, .check = check_pem, .help = "The key as a pair of PEM texts."),
	ROW_TAGS(T),
	ROW_CREATED_AT(T),
	ROW_UPDATED_AT(T),
	F_END
};
/* clang-format on */

static bool is_good(struct err *e)
{
	if (e)
		err_forget();
	return !e;
}

/* As Kong has it, both halves have to be there unless one is a reference. */
static const char *check_pem(struct arena *a, const struct value *v)
{
	const struct value *public_key = value_get(v, "public_key");
	const struct value *private_key = value_get(v, "private_key");

	(void)a;
	if (schema_is_reference(public_key) || schema_is_reference(private_key))
		return NULL;
	if (value_is_null(public_key) || !is_good(tls_check_public_key(public_key->s)))
		return "could not load public key";
	if (value_is_null(private_key) || !is_good(tls_check_key(private_key->s)))
		return "could not load private key";
	return NULL;
}

static void check_key(struct arena *a, const struct value *record, struct value *errors)
{
	const struct value *jwk = value_get(record, "jwk"), *kid;
	struct value *parsed;

	if (value_is_null(jwk))
		return;
	if (!is_good(json_parse(a, jwk->s, &parsed)) || parsed->kind != VALUE_OBJECT) {
		schema_error_at(a, errors, "@entity", "could not json decode jwk string");
		return;
	}
	kid = value_get(parsed, "kid");
	if (!value_eq(kid, value_get(record, "kid")))
		schema_error_at(a, errors, "@entity", "kid in jwk.kid must be equal to keys.kid");
	else if (!is_good(tls_check_jwk(a, parsed)))
		schema_error_at(a, errors, "@entity", "could not load JWK, likely not a valid key");
}

/* clang-format off */
static const struct check checks[] = {
	{ CHECK_ONE_OR_NONE_OF, .fields = "jwk, pem" },
	{ CHECK_AT_LEAST_ONE_OF, .fields = "jwk, pem" },
	{ CHECK_CUSTOM, .fields = "jwk, pem, kid", .fn = check_key },
	CHECK_END
};
/* clang-format on */

const struct entity keys_entity = {
	.name = "keys",
	.endpoint_key = "name",
	.cache_key = "kid, set",
	.help = "A key that plugins work with.",
	.size = sizeof(T),
	.fields = fields,
	.checks = checks,
	.is_workspaceable = true,
	.is_taggable = true,
};

#undef T
#define T struct key_set
/* clang-format off */
static const struct field set_fields[] = {
	ROW_ID(T),
	F_STR(T, name, .required_is_false_shown = true, .is_unique = true, .help = "A name to call it by."),
	ROW_TAGS(T),
	ROW_CREATED_AT(T),
	ROW_UPDATED_AT(T),
	F_END
};
/* clang-format on */

const struct entity key_sets_entity = {
	.name = "key_sets",
	.path = "key-sets",
	.endpoint_key = "name",
	.help = "Keys that belong together.",
	.size = sizeof(T),
	.fields = set_fields,
	.is_workspaceable = true,
	.is_taggable = true,
};
