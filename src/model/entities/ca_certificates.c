/* SPDX-License-Identifier: Apache-2.0 */
/* ca_certificates - authorities to verify others' certificates with. */
#include "base/clock.h"
#include "model/priv.h"
#include "net/tls.h"
#include "net/tls_keys.h"

#define T struct ca_certificate
/* clang-format off */
static const struct field fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_STR(T, cert, .required = true, .check = rule_certificate, .help = "The certificate in PEM, one alone."),
	F_STR(T, cert_digest, .is_unique = true, .help = "SHA-256 of the certificate, hex; computed."),
	ROW_TAGS(T),
	F_END
};
/* clang-format on */

static void check_authority(struct arena *a, const struct value *record, struct value *errors)
{
	const str begin = STR("-----BEGIN CERTIFICATE-----");
	str pem = value_get(record, "cert")->s;
	ptrdiff_t first = str_find_str(pem, begin);
	struct tls_certificate_facts facts;

	if (first >= 0 && str_find_str(str_from(pem, (size_t)first + begin.n), begin) >= 0) {
		schema_error_at(a, errors, "@entity",
				"please submit only one certificate at a time");
		return;
	}
	if (tls_certificate_read(pem, &facts)) {
		err_forget();
		return;
	}
	if (facts.not_after_s < clock_wall_s())
		schema_error_at(a, errors, "@entity",
				"certificate expired, \"Not After\" time is in the past");
	else if (!facts.is_ca)
		schema_error_at(
			a, errors, "@entity",
			"certificate does not appear to be a CA because it is missing the \"CA\" "
			"basic constraint");
}

static void finish(struct arena *a, struct value *doc, const struct schema_options *o,
		   struct value *errors)
{
	const struct value *cert = value_get(doc, "cert");
	struct err *e;
	str digest;

	(void)o;
	if (value_is_null(cert))
		return;
	e = tls_cert_digest(a, cert->s, &digest);
	if (!e) {
		value_set(a, doc, STR("cert_digest"), value_str(a, digest));
		return;
	}
	schema_error_at(a, errors, "cert",
			rule_words(a, "invalid certificate: " STRF, STRV(err_line(a, e))));
	err_forget();
}

/* clang-format off */
static const struct check checks[] = {
	{ CHECK_CUSTOM, .fields = "cert", .fn = check_authority },
	CHECK_END
};
/* clang-format on */

const struct entity ca_certificates_entity = {
	.name = "ca_certificates",
	.help = "An authority to verify certificates with.",
	.size = sizeof(T),
	.fields = fields,
	.checks = checks,
	.finish = finish,
	.is_taggable = true,
};
