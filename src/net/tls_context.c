/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: what many connections share, made once and never changed. */
#include "net/tls_priv.h"

#include "base/log.h"
#include <openssl/pem.h>
#include <stdlib.h>

#define READ_AHEAD   (32 * 1024) /* two full records per call */
#define SESSIONS_MAX 20000       /* kept for clients without tickets */
#define ALPN_MAX     255         /* bytes of all names offered */

/* clang-format off */
static const struct version {
	unsigned bit;
	int number;
	uint64_t no; /* the option that turns it off */
} versions[] = {
	{ .bit = TLS_1_0, .number = TLS1_VERSION,   .no = SSL_OP_NO_TLSv1 },
	{ .bit = TLS_1_1, .number = TLS1_1_VERSION, .no = SSL_OP_NO_TLSv1_1 },
	{ .bit = TLS_1_2, .number = TLS1_2_VERSION, .no = SSL_OP_NO_TLSv1_2 },
	{ .bit = TLS_1_3, .number = TLS1_3_VERSION, .no = SSL_OP_NO_TLSv1_3 },
};
/* clang-format on */

static struct err *set_versions(SSL_CTX *ssl, unsigned mask)
{
	int least = 0, most = 0;

	for (size_t i = 0; i < COUNT(versions); i++) {
		if (!(mask & versions[i].bit)) {
			SSL_CTX_set_options(ssl, versions[i].no);
			continue;
		}
		least = least ? least : versions[i].number;
		most = versions[i].number;
	}
	if (!least)
		return FAIL(ERR_INVALID, "no TLS version is allowed");
	if (SSL_CTX_set_min_proto_version(ssl, least) != 1 ||
	    SSL_CTX_set_max_proto_version(ssl, most) != 1)
		return FAIL_TLS("cannot set the TLS versions");
	return NULL;
}

/* TLS 1.0 and 1.1 sign with SHA-1, which OpenSSL 3 allows at level 0 only. */
static struct err *set_ciphers(SSL_CTX *ssl, str ciphers, unsigned mask)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	bool is_old = mask & (TLS_1_0 | TLS_1_1);

	if (str_find_str(ciphers, STR("@SECLEVEL=")) >= 0)
		is_old = false;
	if (!ciphers.n && !is_old)
		return NULL;
	ciphers = str_fmt(a, STRF "%s", STRV(ciphers.n ? ciphers : STR("DEFAULT")),
			  is_old ? ":@SECLEVEL=0" : "");
	if (SSL_CTX_set_cipher_list(ssl, ciphers.s) != 1)
		return FAIL_TLS("ciphers");
	return NULL;
}

/* Names to the wire's form. */
static struct err *set_alpn(struct tls_context *c, const strs *names)
{
	size_t n = 0;

	for (size_t i = 0; i < names->n; i++) {
		if (names->v[i].n == 0 || names->v[i].n > 255)
			return FAIL(ERR_INVALID, "an ALPN name of %zu bytes", names->v[i].n);
		n += 1 + names->v[i].n;
	}
	if (n > ALPN_MAX)
		return FAIL(ERR_INVALID, "the ALPN names have more than %d bytes", ALPN_MAX);
	if (n == 0)
		return NULL;
	c->alpn = malloc(n);
	if (!c->alpn)
		die("out of memory for a TLS context");
	for (size_t i = 0; i < names->n; i++) {
		c->alpn[c->alpn_n++] = (unsigned char)names->v[i].n;
		memcpy(c->alpn + c->alpn_n, names->v[i].s, names->v[i].n);
		c->alpn_n += (unsigned)names->v[i].n;
	}
	return NULL;
}

static struct tls_context *context_start(const SSL_METHOD *method, bool is_server)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	if (c)
		c->ssl = SSL_CTX_new(method);
	if (!c || !c->ssl)
		die("out of memory for a TLS context");
	c->holders = 1;
	c->is_server = is_server;
	SSL_CTX_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_read_ahead(c->ssl, 1);
	SSL_CTX_set_default_read_buffer_len(c->ssl, READ_AHEAD);
	return c;
}

/* ---- the server's side --------------------------------------------------------------------- */

/* Remembers the name that the client asked for: lower case, no dot at the end. */
static int on_server_name(SSL *ssl, int *alert, void *unused)
{
	struct tls *t = SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	size_t n = name ? strlen(name) : 0;

	(void)alert, (void)unused;
	if (n > 0 && name[n - 1] == '.')
		n--;
	if (n == 0 || n > sizeof(t->sni))
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < n; i++)
		t->sni[i] = ascii_lower(name[i]);
	t->sni_n = n;
	return SSL_TLSEXT_ERR_OK;
}

static bool use_cert(SSL *ssl, struct tls_cert *c)
{
	return SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1;
}

/* Exchanges the context's certificates for those picked by name. */
static int on_cert(SSL *ssl, void *context)
{
	struct tls_context *c = context;
	struct tls *t = SSL_get_app_data(ssl);
	struct tls_cert *picked[2] = { NULL, NULL };
	int n = c->pick(t->pick_arg ? t->pick_arg : c->pick_arg, str_at(t->sni, t->sni_n), picked);

	if (n == TLS_PICK_ASK && c->ask)
		return -1; /* SSL_ERROR_WANT_X509_LOOKUP */
	if (n <= 0)
		return 1;
	SSL_certs_clear(ssl);
	for (int i = 0; i < n && i < 2; i++)
		if (!use_cert(ssl, picked[i]))
			return 0;
	return 1;
}

/* Ours first.  RFC 7301 §3.2: nothing in common is fatal. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
		   const unsigned char *offered, unsigned n, void *context)
{
	struct tls_context *c = context;
	unsigned char *chosen = NULL;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_n, c->alpn, c->alpn_n, offered, n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static struct err *set_dhparam(SSL_CTX *ssl, str pem)
{
	BIO *b;
	EVP_PKEY *params;

	if (!pem.n) {
		SSL_CTX_set_dh_auto(ssl, 1);
		return NULL;
	}
	b = pem.n > INT16_MAX ? NULL : BIO_new_mem_buf(pem.s, (int)pem.n);
	params = b ? PEM_read_bio_Parameters(b, NULL) : NULL;
	BIO_free(b);
	if (!params || !EVP_PKEY_is_a(params, "DH")) {
		EVP_PKEY_free(params);
		ERR_clear_error();
		return FAIL(ERR_INVALID, "not PEM parameters of Diffie-Hellman");
	}
	if (SSL_CTX_set0_tmp_dh_pkey(ssl, params) != 1) {
		EVP_PKEY_free(params);
		return FAIL_TLS("cannot use the parameters of Diffie-Hellman");
	}
	return NULL;
}

static struct err *set_default_certs(struct tls_context *c, struct tls_cert *const certs[2])
{
	for (int i = 0; i < 2; i++) {
		if (!certs[i])
			continue;
		c->certs[i] = tls_cert_hold(certs[i]);
		if (SSL_CTX_use_cert_and_key(c->ssl, certs[i]->leaf, certs[i]->key, certs[i]->chain,
					     1) != 1)
			return FAIL_TLS("cannot use a certificate");
	}
	return NULL;
}

static void set_sessions(SSL_CTX *ssl, const struct tls_server_options *o)
{
	static const unsigned char id[] = "gibbon";

	SSL_CTX_set_session_id_context(ssl, id, sizeof(id) - 1);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_SERVER);
	SSL_CTX_sess_set_cache_size(ssl, SESSIONS_MAX);
	if (!o->session_tickets)
		SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
	if (o->session_timeout_s > 0)
		SSL_CTX_set_timeout(ssl, o->session_timeout_s);
}

struct err *tls_context_server(const struct tls_server_options *o, struct tls_context **ret)
{
	struct tls_context *c CLEANUP(tls_context_drop) = context_start(TLS_server_method(), true);

	PASS(set_versions(c->ssl, o->protocols));
	PASS(set_ciphers(c->ssl, o->ciphers, o->protocols));
	if (o->prefer_server_ciphers)
		SSL_CTX_set_options(c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
	set_sessions(c->ssl, o);
	PASS(set_dhparam(c->ssl, o->dhparam_pem));
	PASS(set_default_certs(c, o->certs));
	SSL_CTX_set_tlsext_servername_callback(c->ssl, on_server_name);
	c->pick = o->pick;
	c->pick_arg = o->pick_arg;
	c->ask = o->ask;
	if (c->pick)
		SSL_CTX_set_cert_cb(c->ssl, on_cert, c);
	PASS(set_alpn(c, &o->alpn));
	if (c->alpn_n)
		SSL_CTX_set_alpn_select_cb(c->ssl, on_alpn, c);
	*ret = TAKE(c);
	return NULL;
}

/* ---- the client's side --------------------------------------------------------------------- */

static void set_trust(struct tls_context *c, const struct tls_client_options *o)
{
	c->verifies = o->verify;
	if (!o->verify) {
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_NONE, NULL);
		return;
	}
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	if (o->store)
		SSL_CTX_set1_cert_store(c->ssl, o->store->x509); /* else an empty one */
	if (o->verify_depth >= 0)
		SSL_CTX_set_verify_depth(c->ssl, o->verify_depth);
}

struct err *tls_context_client(const struct tls_client_options *o, struct tls_context **ret)
{
	struct tls_context *c CLEANUP(tls_context_drop) = context_start(TLS_client_method(), false);
	struct tls_cert *certs[2] = { o->cert, NULL };

	PASS(set_versions(c->ssl, o->protocols));
	PASS(set_ciphers(c->ssl, o->ciphers, o->protocols));
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	set_trust(c, o);
	PASS(set_default_certs(c, certs));
	PASS(set_alpn(c, &o->alpn));
	if (c->alpn_n && SSL_CTX_set_alpn_protos(c->ssl, c->alpn, c->alpn_n) != 0)
		return FAIL_TLS("cannot offer the ALPN names");
	*ret = TAKE(c);
	return NULL;
}

struct tls_context *tls_context_hold(struct tls_context *c)
{
	atomic_fetch_add_explicit(&c->holders, 1, memory_order_relaxed);
	return c;
}

void tls_context_drop(struct tls_context **ref)
{
	struct tls_context *c = TAKE(*ref);

	if (!c || atomic_fetch_sub(&c->holders, 1) > 1)
		return;
	SSL_CTX_free(c->ssl);
	tls_cert_drop(&c->certs[0]);
	tls_cert_drop(&c->certs[1]);
	free(c->alpn);
	free(c);
}
