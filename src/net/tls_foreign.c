/* SPDX-License-Identifier: Apache-2.0 */
/* TLS connections that another library made (libpq), and what OpenSSL's policy on
 * this machine allows it: the questions that library has no call for. */
#include "net/tls_priv.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>

static void ctx_drop(SSL_CTX **c)
{
	SSL_CTX_free(*c);
	*c = NULL;
}

static void ssl_drop(SSL **s)
{
	SSL_free(*s);
	*s = NULL;
}

static int the_report_index;

static void make_report_index(void)
{
	the_report_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

size_t tls_foreign_pending(void *ssl)
{
	int n = ssl ? SSL_pending(ssl) : 0;

	return n > 0 ? (size_t)n : 0;
}

/* Neither end counts: not the leaf, not the trust anchor. A leaf that is trusted
 * itself is a chain of one. */
int tls_foreign_intermediates(void *ssl)
{
	STACK_OF(X509) * chain;

	if (!ssl || SSL_get_verify_result(ssl) != X509_V_OK)
		return -1;
	chain = SSL_get0_verified_chain(ssl);
	if (!chain)
		return -1;
	return sk_X509_num(chain) > 2 ? sk_X509_num(chain) - 2 : 0;
}

static int report_index(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_report_index);
	return the_report_index;
}

/* Leaves the judgement as it is. */
static int note_refusal(int ok, X509_STORE_CTX *ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_refusal *report = SSL_get_ex_data(ssl, report_index());
	int error = X509_STORE_CTX_get_error(ctx);

	if (ok || !report || report->reason)
		return ok;
	report->reason = X509_verify_cert_error_string(error);
	report->is_too_long = error == X509_V_ERR_CERT_CHAIN_TOO_LONG;
	return ok;
}

void tls_foreign_watch(void *ssl, int depth, struct tls_refusal *report)
{
	if (!ssl || !SSL_set_ex_data(ssl, report_index(), report))
		return;
	SSL_set_verify_depth(ssl, depth);
	SSL_set_verify(ssl, SSL_VERIFY_PEER, note_refusal);
}

/* A version is allowed when there is a cipher left for it.  Up to TLS 1.1 signatures
 * are made over SHA-1, which every security level but 0 refuses, in the middle of the
 * handshake and in words that help nobody. */
bool tls_policy_allows(unsigned version)
{
	SSL_CTX *c CLEANUP(ctx_drop) = SSL_CTX_new(TLS_client_method());
	SSL *ssl CLEANUP(ssl_drop) = c ? SSL_new(c) : NULL;
	int number = version == TLS_1_0   ? TLS1_VERSION
		     : version == TLS_1_1 ? TLS1_1_VERSION
		     : version == TLS_1_2 ? TLS1_2_VERSION
					  : TLS1_3_VERSION;
	STACK_OF(SSL_CIPHER) *left = NULL;
	bool allows;

	if (ssl && version <= TLS_1_1 && SSL_get_security_level(ssl) > 0)
		return false;
	if (ssl && SSL_set_min_proto_version(ssl, number) && SSL_set_max_proto_version(ssl, number))
		left = SSL_get1_supported_ciphers(ssl);
	allows = left && sk_SSL_CIPHER_num(left) > 0;
	sk_SSL_CIPHER_free(left);
	ERR_clear_error();
	return allows;
}

struct err *tls_check_crl(str pem)
{
	BIO *b CLEANUP(bio_drop) =
		pem.n && pem.n < INT_MAX ? BIO_new_mem_buf(pem.s, (int)pem.n) : NULL;
	X509_CRL *crl = b ? PEM_read_bio_X509_CRL(b, NULL, NULL, NULL) : NULL;

	ERR_clear_error();
	if (!crl)
		return FAIL(ERR_INVALID, "not a PEM revocation list");
	X509_CRL_free(crl);
	return NULL;
}
