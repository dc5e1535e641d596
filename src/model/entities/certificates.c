/* SPDX-License-Identifier: Apache-2.0 */
/* certificates - a chain with its key, and perhaps a second pair of another kind.
 *
 * Which names it is shown for is said by snis; a list of names on a certificate is
 * taken apart where entities are stored. */
#include "model/priv.h"
#include "net/tls_keys.h"

#define T struct certificate
/* clang-format off */
static const struct field fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_STR(T, cert, .required = true, .is_referenceable = true, .check = rule_certificate, .help = "The chain in PEM, the certificate itself first."),
	F_STR(T, key, .required = true, .is_referenceable = true, .is_encrypted = true, .check = rule_private_key, .help = "Its private key in PEM."),
	F_STR(T, cert_alt, .required_is_false_shown = true, .is_referenceable = true, .check = rule_certificate, .help = "A second chain whose key is of another kind."),
	F_STR(T, key_alt, .required_is_false_shown = true, .is_referenceable = true, .is_encrypted = true, .check = rule_private_key, .help = "The private key of the second one."),
	ROW_TAGS(T),
	F_END
};
/* clang-format on */

/* Both PEM texts were read before; what cannot be told apart now is no match. */
static bool is_pair(const struct value *cert, const struct value *key)
{
	bool matches = false;
	struct err *e = tls_key_matches(cert->s, key->s, &matches);

	if (e)
		err_forget();
	return matches;
}

static void check_pair(struct arena *a, const struct value *record, struct value *errors)
{
	if (!is_pair(value_get(record, "cert"), value_get(record, "key")))
		schema_error_at(a, errors, "@entity", "certificate does not match key");
}

static void check_second_pair(struct arena *a, const struct value *record, struct value *errors)
{
	const struct value *cert = value_get(record, "cert_alt"),
			   *key = value_get(record, "key_alt");

	if (value_is_null(cert) || value_is_null(key) || is_pair(cert, key))
		return;
	schema_error_at(a, errors, "@entity", "alternative certificate does not match key");
}

static void check_kinds(struct arena *a, const struct value *record, struct value *errors)
{
	const struct value *cert = value_get(record, "cert"), *alt = value_get(record, "cert_alt");
	struct tls_certificate_facts one, other;

	if (value_is_null(cert) || value_is_null(alt))
		return;
	if (tls_certificate_read(cert->s, &one) || tls_certificate_read(alt->s, &other)) {
		err_forget();
		return;
	}
	if (one.key_kind == other.key_kind)
		schema_error_at(
			a, errors, "@entity",
			"certificate and alternative certificate need to have different type "
			"(e.g. RSA and ECDSA), the provided certificates were both of the same "
			"type");
}

/* clang-format off */
static const struct check checks[] = {
	{ CHECK_ALL_OR_NONE_OF, .fields = "cert_alt, key_alt" },
	{ CHECK_CUSTOM, .fields = "cert, key", .fn = check_pair },
	{ CHECK_CUSTOM, .fields = "cert_alt, key_alt", .fn = check_second_pair },
	{ CHECK_CUSTOM, .fields = "cert, cert_alt", .fn = check_kinds },
	CHECK_END
};
/* clang-format on */

const struct entity certificates_entity = {
	.name = "certificates",
	.help = "A certificate and its key, for clients or upstreams.",
	.size = sizeof(T),
	.fields = fields,
	.checks = checks,
	.is_workspaceable = true,
	.is_taggable = true,
};
