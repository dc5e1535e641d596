/* SPDX-License-Identifier: Apache-2.0 */
/* tls_keys - what must be known of certificates and keys before they are accepted.
 *
 * Nothing here keeps what it reads; errors are fit to be shown to whoever sent it. */
#pragma once

#include "base/err.h"
#include "base/value.h"

struct tls_certificate_facts {
	int64_t not_after_s; /* seconds since 1970 */
	bool is_ca;          /* has the basic constraint CA */
	int key_kind;        /* the same number for keys of the same kind */
};

/* Of the first certificate in a PEM text. */
MUST_CHECK struct err *tls_certificate_read(str pem, struct tls_certificate_facts *ret);

/* Whether the first certificate has the public half of the key. */
MUST_CHECK struct err *tls_key_matches(str cert_pem, str key_pem, bool *ret);

/* A public key in PEM. */
MUST_CHECK struct err *tls_check_public_key(str pem);

/* A JSON Web Key (RFC 7517): RSA, EC or OKP, public alone or with its private half. */
MUST_CHECK struct err *tls_check_jwk(struct arena *a, const struct value *jwk);
