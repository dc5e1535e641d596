/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_keys.h"

#include "net/tls_priv.h"
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define JWK_NUMBER_MAX 4096 /* base64 digits of one number of a key */

static void key_context_drop(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
	*c = NULL;
}

static void builder_drop(OSSL_PARAM_BLD **b)
{
	OSSL_PARAM_BLD_free(*b);
	*b = NULL;
}

static void params_drop(OSSL_PARAM **p)
{
	OSSL_PARAM_free(*p);
	*p = NULL;
}

static void number_drop(BIGNUM **n)
{
	BN_clear_free(*n);
	*n = NULL;
}

static X509 *read_certificate(str pem)
{
	BIO *b CLEANUP(bio_drop) = bio_over(pem);
	X509 *x = b ? PEM_read_bio_X509(b, NULL, refuse_password, NULL) : NULL;

	ERR_clear_error();
	return x;
}

struct err *tls_certificate_read(str pem, struct tls_certificate_facts *ret)
{
	X509 *x CLEANUP(x509_drop) = read_certificate(pem);
	EVP_PKEY *key = x ? X509_get0_pubkey(x) : NULL;
	struct tls_certificate_facts facts = { 0 };
	struct tm tm;

	if (!x)
		return FAIL(ERR_INVALID, "not a PEM certificate");
	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
		return FAIL_TLS("a certificate whose end cannot be read");
	facts.not_after_s = timegm(&tm);
	facts.is_ca = (X509_get_extension_flags(x) & EXFLAG_CA) != 0;
	facts.key_kind = key ? EVP_PKEY_get_base_id(key) : 0;
	ERR_clear_error();
	*ret = facts;
	return NULL;
}

struct err *tls_key_matches(str cert_pem, str key_pem, bool *ret)
{
	X509 *x CLEANUP(x509_drop) = read_certificate(cert_pem);
	BIO *b CLEANUP(bio_drop) = bio_over(key_pem);
	EVP_PKEY *key CLEANUP(key_drop) =
		b ? PEM_read_bio_PrivateKey(b, NULL, refuse_password, NULL) : NULL;

	ERR_clear_error();
	if (!x)
		return FAIL(ERR_INVALID, "not a PEM certificate");
	if (!key)
		return FAIL(ERR_INVALID, "not a PEM key");
	*ret = X509_check_private_key(x, key) == 1;
	ERR_clear_error();
	return NULL;
}

struct err *tls_check_public_key(str pem)
{
	BIO *b CLEANUP(bio_drop) = bio_over(pem);
	EVP_PKEY *key CLEANUP(key_drop) =
		b ? PEM_read_bio_PUBKEY(b, NULL, refuse_password, NULL) : NULL;

	ERR_clear_error();
	return key ? NULL : FAIL(ERR_INVALID, "not a PEM public key");
}

/* ---- JSON Web Keys ------------------------------------------------------------------------- */

static str text_at(const struct value *jwk, const char *name)
{
	const struct value *v = value_get(jwk, name);

	return !value_is_null(v) && v->kind == VALUE_STRING ? v->s : STR_NONE;
}

/* base64url without padding (RFC 7515 §2). */
static bool bytes_at(struct arena *a, const struct value *jwk, const char *name, str *ret)
{
	str text = text_at(jwk, name);
	char *p;

	if (!text.n || text.n > JWK_NUMBER_MAX)
		return false;
	p = arena_bytes(a, text.n + 3);
	for (size_t i = 0; i < text.n; i++)
		p[i] = text.s[i] == '-' ? '+' : text.s[i] == '_' ? '/' : text.s[i];
	while (text.n % 4)
		p[text.n++] = '=';
	return base64_decode(a, str_at(p, text.n), ret) && ret->n;
}

#define NUMBERS_MAX 8

/* A key under construction; the numbers live until it is made. */
struct making {
	struct arena *a;
	const struct value *jwk;
	OSSL_PARAM_BLD *builder;
	BIGNUM *numbers[NUMBERS_MAX];
	size_t n;
};

static void making_done(struct making *m)
{
	for (size_t i = 0; i < m->n; i++)
		number_drop(&m->numbers[i]);
	builder_drop(&m->builder);
}

static bool add_number(struct making *m, const char *param, const char *name, bool is_needed)
{
	BIGNUM *n;
	str bytes;

	if (!is_needed && value_is_null(value_get(m->jwk, name)))
		return true;
	if (!bytes_at(m->a, m->jwk, name, &bytes))
		return false;
	n = BN_bin2bn((const unsigned char *)bytes.s, (int)bytes.n, NULL);
	if (!n)
		return false;
	m->numbers[m->n++] = n;
	return OSSL_PARAM_BLD_push_BN(m->builder, param, n) == 1;
}

static bool add_rsa(struct making *m)
{
	bool has_factors = !value_is_null(value_get(m->jwk, "p"));

	return add_number(m, OSSL_PKEY_PARAM_RSA_N, "n", true) &&
	       add_number(m, OSSL_PKEY_PARAM_RSA_E, "e", true) &&
	       add_number(m, OSSL_PKEY_PARAM_RSA_D, "d", false) &&
	       (!has_factors || (add_number(m, OSSL_PKEY_PARAM_RSA_FACTOR1, "p", true) &&
				 add_number(m, OSSL_PKEY_PARAM_RSA_FACTOR2, "q", true) &&
				 add_number(m, OSSL_PKEY_PARAM_RSA_EXPONENT1, "dp", true) &&
				 add_number(m, OSSL_PKEY_PARAM_RSA_EXPONENT2, "dq", true) &&
				 add_number(m, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, "qi", true)));
}

/* clang-format off */
static const struct {
	const char *name, *group;
	size_t bytes; /* of one coordinate */
} curves[] = {
	{ "P-256",     "prime256v1", 32 },
	{ "P-384",     "secp384r1",  48 },
	{ "P-521",     "secp521r1",  66 },
	{ "secp256k1", "secp256k1",  32 },
};
/* clang-format on */

static bool add_ec(struct making *m)
{
	str curve = text_at(m->jwk, "crv"), x, y;
	size_t i = 0, n;
	char *point;

	while (i < COUNT(curves) && !str_is(curve, curves[i].name))
		i++;
	if (i == COUNT(curves) || !bytes_at(m->a, m->jwk, "x", &x) ||
	    !bytes_at(m->a, m->jwk, "y", &y))
		return false;
	n = curves[i].bytes;
	if (x.n > n || y.n > n)
		return false;
	/* SEC 1 §2.3.3: uncompressed, coordinates of full length. */
	point = arena_zalloc(m->a, 1 + 2 * n);
	point[0] = 4;
	memcpy(point + 1 + n - x.n, x.s, x.n);
	memcpy(point + 1 + 2 * n - y.n, y.s, y.n);
	return OSSL_PARAM_BLD_push_utf8_string(m->builder, OSSL_PKEY_PARAM_GROUP_NAME,
					       curves[i].group, 0) == 1 &&
	       OSSL_PARAM_BLD_push_octet_string(m->builder, OSSL_PKEY_PARAM_PUB_KEY, point,
						1 + 2 * n) == 1 &&
	       add_number(m, OSSL_PKEY_PARAM_PRIV_KEY, "d", false);
}

static bool make_key(struct arena *a, const struct value *jwk, const char *type,
		     bool (*add)(struct making *m))
{
	struct making m CLEANUP(
		making_done) = { .a = a, .jwk = jwk, .builder = OSSL_PARAM_BLD_new() };
	EVP_PKEY_CTX *context CLEANUP(key_context_drop) =
		EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	bool has_private = !value_is_null(value_get(jwk, "d"));
	OSSL_PARAM *params CLEANUP(params_drop) = NULL;
	EVP_PKEY *key CLEANUP(key_drop) = NULL;

	if (!m.builder || !context || !add(&m))
		return false;
	params = OSSL_PARAM_BLD_to_param(m.builder);
	return params && EVP_PKEY_fromdata_init(context) == 1 &&
	       EVP_PKEY_fromdata(context, &key,
				 has_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) == 1;
}

/* RFC 8037: a curve, the public half, perhaps the private one. */
static bool make_octet_key(struct arena *a, const struct value *jwk)
{
	str curve = text_at(jwk, "crv"), x, d;
	char *name = str_z(a, curve);
	EVP_PKEY *key CLEANUP(key_drop) = NULL, *secret CLEANUP(key_drop) = NULL;

	if (!str_is(curve, "Ed25519") && !str_is(curve, "Ed448") && !str_is(curve, "X25519") &&
	    !str_is(curve, "X448"))
		return false;
	if (!bytes_at(a, jwk, "x", &x))
		return false;
	key = EVP_PKEY_new_raw_public_key_ex(NULL, name, NULL, (const unsigned char *)x.s, x.n);
	if (!key || value_is_null(value_get(jwk, "d")))
		return key != NULL;
	if (!bytes_at(a, jwk, "d", &d))
		return false;
	secret = EVP_PKEY_new_raw_private_key_ex(NULL, name, NULL, (const unsigned char *)d.s, d.n);
	return secret && EVP_PKEY_eq(key, secret) == 1;
}

struct err *tls_check_jwk(struct arena *a, const struct value *jwk)
{
	str kind = text_at(jwk, "kty");
	bool is_good = false;

	if (str_is(kind, "RSA"))
		is_good = make_key(a, jwk, "RSA", add_rsa);
	else if (str_is(kind, "EC"))
		is_good = make_key(a, jwk, "EC", add_ec);
	else if (str_is(kind, "OKP"))
		is_good = make_octet_key(a, jwk);
	ERR_clear_error();
	return is_good ? NULL
		       : FAIL(ERR_INVALID, "not a JSON Web Key of the kinds RSA, EC and OKP");
}
