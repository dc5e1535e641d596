/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, keys and trust stores: PEM to OpenSSL's objects, checked, and
 * certificates of our own making. */
#include "net/tls_priv.h"

#include "base/log.h"
#include <arpa/inet.h>
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define CHAIN_MAX    100 /* certificates in one PEM text of a chain */
#define SERIAL_BYTES 16

/* ---- OpenSSL's words ------------------------------------------------------------------- */

void tls_words(char *out, size_t n)
{
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (reason)
		snprintf(out, n, "%s", reason);
	else if (code)
		snprintf(out, n, "error %lx", code);
	else
		snprintf(out, n, "unknown error");
	ERR_clear_error();
}

struct err *tls_fail(const char *file, int line, const char *text)
{
	char why[TLS_ERROR_MAX];

	tls_words(why, sizeof(why));
	return err_new(ERR_INVALID, file, line, "%s: %s", text, why);
}

/* ---- reading PEM ----------------------------------------------------------------------- */

void bio_drop(BIO **b)
{
	BIO_free(*b);
	*b = NULL;
}

void x509_drop(X509 **x)
{
	X509_free(*x);
	*x = NULL;
}

void key_drop(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
	*k = NULL;
}

BIO *bio_over(str pem)
{
	return pem.n == 0 || pem.n > PEM_MAX ? NULL : BIO_new_mem_buf(pem.s, (int)pem.n);
}

int refuse_password(char *buf, int size, int rwflag, void *was_asked)
{
	(void)buf, (void)size, (void)rwflag;
	if (was_asked)
		*(bool *)was_asked = true;
	return -1;
}

static X509 *read_x509(BIO *b)
{
	bool was_asked = false;

	return PEM_read_bio_X509(b, NULL, refuse_password, &was_asked);
}

/* After the last certificate: has the text ended, or is it broken? */
static bool ended_in_order(void)
{
	unsigned long code = ERR_peek_last_error();
	bool is_end =
		ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;

	ERR_clear_error();
	return is_end;
}

static struct err *read_key(str pem, EVP_PKEY **ret)
{
	BIO *b CLEANUP(bio_drop) = bio_over(pem);
	bool was_asked = false;
	EVP_PKEY *key = NULL;

	if (b)
		key = PEM_read_bio_PrivateKey(b, NULL, refuse_password, &was_asked);
	ERR_clear_error();
	if (was_asked) {
		EVP_PKEY_free(key);
		return err_hint(FAIL(ERR_INVALID, "the key is encrypted"),
				"Remove its passphrase: openssl pkey -in KEY -out KEY.clear");
	}
	if (!key)
		return FAIL(ERR_INVALID, "not a PEM key");
	*ret = key;
	return NULL;
}

static struct err *read_chain(str pem, X509 **ret_leaf, STACK_OF(X509) * chain)
{
	BIO *b CLEANUP(bio_drop) = bio_over(pem);
	X509 *leaf CLEANUP(x509_drop) = b ? read_x509(b) : NULL;
	X509 *next;

	ERR_clear_error();
	if (!leaf)
		return FAIL(ERR_INVALID, "not a PEM certificate");
	while ((next = read_x509(b))) {
		if (sk_X509_num(chain) >= CHAIN_MAX || !sk_X509_push(chain, next)) {
			X509_free(next);
			return FAIL(ERR_INVALID, "a chain of more than %d certificates", CHAIN_MAX);
		}
	}
	if (!ended_in_order())
		return FAIL(ERR_INVALID, "not a PEM certificate");
	*ret_leaf = TAKE(leaf);
	return NULL;
}

/* ---- certificates ------------------------------------------------------------------------ */

struct err *tls_cert_new(str cert_pem, str key_pem, struct tls_cert **ret)
{
	struct tls_cert *c CLEANUP(tls_cert_drop) = calloc(1, sizeof(*c));

	if (!c)
		die("out of memory for a certificate");
	c->holders = 1;
	c->chain = sk_X509_new_null();
	if (!c->chain)
		die("out of memory for a certificate");
	PASS(read_chain(cert_pem, &c->leaf, c->chain));
	PASS(read_key(key_pem, &c->key));
	if (X509_check_private_key(c->leaf, c->key) != 1) {
		ERR_clear_error();
		return FAIL(ERR_INVALID, "certificate does not match key");
	}
	*ret = TAKE(c);
	return NULL;
}

struct tls_cert *tls_cert_hold(struct tls_cert *c)
{
	atomic_fetch_add_explicit(&c->holders, 1, memory_order_relaxed);
	return c;
}

void tls_cert_drop(struct tls_cert **ref)
{
	struct tls_cert *c = TAKE(*ref);

	if (!c || atomic_fetch_sub(&c->holders, 1) > 1)
		return;
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	free(c);
}

bool tls_cert_is_ecdsa(const struct tls_cert *c)
{
	return EVP_PKEY_get_base_id(c->key) == EVP_PKEY_EC;
}

struct err *tls_check_certificate(str pem)
{
	BIO *b CLEANUP(bio_drop) = bio_over(pem);
	X509 *x CLEANUP(x509_drop) = b ? read_x509(b) : NULL;

	ERR_clear_error();
	return x ? NULL : FAIL(ERR_INVALID, "not a PEM certificate");
}

struct err *tls_check_key(str pem)
{
	EVP_PKEY *key CLEANUP(key_drop) = NULL;

	return read_key(pem, &key);
}

struct err *tls_cert_digest(struct arena *a, str pem, str *ret_hex)
{
	BIO *b CLEANUP(bio_drop) = bio_over(pem);
	X509 *x CLEANUP(x509_drop) = b ? read_x509(b) : NULL;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	ERR_clear_error();
	if (!x)
		return FAIL(ERR_INVALID, "not a PEM certificate");
	if (X509_digest(x, EVP_sha256(), digest, &n) != 1)
		return FAIL_TLS("cannot hash a certificate");
	*ret_hex = hex_encode(a, str_at((char *)digest, n));
	return NULL;
}

/* ---- trust stores ------------------------------------------------------------------------- */

static struct err *add_trusted(X509_STORE *store, str pem)
{
	BIO *b CLEANUP(bio_drop) = bio_over(pem);
	X509 *x;
	int n = 0;

	ERR_clear_error();
	while (b && (x = read_x509(b))) {
		int ok = X509_STORE_add_cert(store, x);

		X509_free(x);
		if (ok != 1)
			return FAIL_TLS("cannot trust a certificate");
		n++;
	}
	if (n == 0 || !ended_in_order()) {
		ERR_clear_error();
		return FAIL(ERR_INVALID, "not a PEM certificate");
	}
	return NULL;
}

struct err *tls_store_new(const strs *pems, struct tls_store **ret)
{
	struct tls_store *s CLEANUP(tls_store_drop) = calloc(1, sizeof(*s));

	if (!s)
		die("out of memory for a trust store");
	s->holders = 1;
	s->x509 = X509_STORE_new();
	if (!s->x509)
		die("out of memory for a trust store");
	for (size_t i = 0; i < pems->n; i++)
		TRY(add_trusted(s->x509, pems->v[i]), "trusted certificates[%zu]", i + 1);
	*ret = TAKE(s);
	return NULL;
}

struct tls_store *tls_store_hold(struct tls_store *s)
{
	atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
	return s;
}

void tls_store_drop(struct tls_store **ref)
{
	struct tls_store *s = TAKE(*ref);

	if (!s || atomic_fetch_sub(&s->holders, 1) > 1)
		return;
	X509_STORE_free(s->x509);
	free(s);
}

/* ---- certificates of our own making --------------------------------------------------------- */

static bool add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *e;
	bool ok;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
	e = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
	ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static bool set_serial(X509 *x)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *n = NULL;
	bool ok = RAND_bytes(bytes, sizeof(bytes)) == 1;

	bytes[0] &= 0x7f; /* positive */
	bytes[0] |= 0x40; /* and never zero */
	if (ok)
		n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return ok;
}

static bool fill_self_signed(X509 *x, EVP_PKEY *key, str name, const char *names, int days)
{
	X509_NAME *subject = X509_get_subject_name(x);

	return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
	       X509_gmtime_adj(X509_getm_notBefore(x), -3600) && /* clocks differ */
	       X509_time_adj_ex(X509_getm_notAfter(x), days, 0, NULL) &&
	       X509_set_pubkey(x, key) == 1 &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
					  (const unsigned char *)name.s, (int)name.n, -1, 0) == 1 &&
	       X509_set_issuer_name(x, subject) == 1 &&
	       add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(x, NID_key_usage, "critical,digitalSignature,keyEncipherment") &&
	       add_extension(x, NID_ext_key_usage, "serverAuth,clientAuth") &&
	       add_extension(x, NID_subject_key_identifier, "hash") &&
	       add_extension(x, NID_subject_alt_name, names) && X509_sign(x, key, EVP_sha256()) > 0;
}

static str bio_text(struct arena *a, BIO *b)
{
	char *p = NULL;
	long n = BIO_get_mem_data(b, &p);

	return str_copy(a, str_at(p, (size_t)n));
}

/* The name goes into an extension's little language, so it is a host name. */
static bool is_host_name(str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!ascii_is_alnum(name.s[i]) && !memchr("-._*:", name.s[i], 5))
			return false;
	return name.n > 0 && name.n <= 64;
}

struct err *tls_make_self_signed(struct arena *a, enum tls_key_kind kind, str common_name, int days,
				 str *ret_cert, str *ret_key)
{
	EVP_PKEY *key CLEANUP(key_drop) = kind == TLS_KEY_RSA_2048  ? EVP_RSA_gen(2048)
					  : kind == TLS_KEY_EC_P384 ? EVP_EC_gen("P-384")
								    : EVP_EC_gen("P-256");
	X509 *x CLEANUP(x509_drop) = X509_new();
	BIO *cert_out CLEANUP(bio_drop) = BIO_new(BIO_s_mem());
	BIO *key_out CLEANUP(bio_drop) = BIO_new(BIO_s_secmem());
	struct address ip;
	str names;

	if (!is_host_name(common_name) || days < 1 || days > 36500)
		return FAIL(ERR_INVALID, "cannot make a certificate for \"" STRF "\" and %d days",
			    STRV(common_name), days);
	names = str_fmt(a, "%s:" STRF, address_parse_ip(common_name, 0, &ip) ? "IP" : "DNS",
			STRV(common_name));
	if (!key || !x || !cert_out || !key_out ||
	    !fill_self_signed(x, key, common_name, str_z(a, names), days) ||
	    PEM_write_bio_X509(cert_out, x) != 1 ||
	    PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) != 1)
		return FAIL_TLS("cannot make a certificate");
	*ret_cert = bio_text(a, cert_out);
	*ret_key = bio_text(a, key_out);
	return NULL;
}

const char *tls_library(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}
