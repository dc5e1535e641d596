/* SPDX-License-Identifier: Apache-2.0 */
/* tls - the one place that knows OpenSSL: contexts, handshakes, keys, hashes.
 *
 * A tls_context is immutable once made and reference counted across threads;
 * snapshots hold them, so that a changed certificate is a new context.  Errors
 * of OpenSSL are turned into text before the fiber can suspend. */
#pragma once

#include "base/uuid.h"
#include "net/net.h"

/* ---- contexts --------------------------------------------------------------- */

struct tls_cert;  /* certificate chain and key, parsed and matched */
struct tls_store; /* trusted CAs */

/* PEM in, PEM checked: chain readable, key readable and unencrypted, key belongs to leaf. */
MUST_CHECK struct err *tls_cert_new(str cert_pem, str key_pem, struct tls_cert **ret);
struct tls_cert *tls_cert_hold(struct tls_cert *c); /* any thread */
void tls_cert_drop(struct tls_cert **c);
bool tls_cert_is_ecdsa(const struct tls_cert *c);
/* What OpenSSL says of a PEM certificate alone: NULL when it can be read. */
MUST_CHECK struct err *tls_check_certificate(str pem);
MUST_CHECK struct err *tls_check_key(str pem);

/* The same of a revocation list. */
MUST_CHECK struct err *tls_check_crl(str pem);

/* Concatenated PEM certificates. `ret_digest` of ca_certificates: see tls_cert_digest. */
MUST_CHECK struct err *tls_store_new(const strs *pems, struct tls_store **ret);
struct tls_store *tls_store_hold(struct tls_store *s);
void tls_store_drop(struct tls_store **s);

enum { TLS_1_0 = 1, TLS_1_1 = 2, TLS_1_2 = 4, TLS_1_3 = 8 };

/* Picks certificates for a server name ("" when the client sent none): sets up
 * to two (RSA and ECDSA) borrowed pointers, returns how many. Must not suspend; TLS_PICK_ASK
 * has it called again after the context's `ask`, on the fiber that handshakes. */
enum { TLS_PICK_ASK = -1 };
typedef int tls_pick_fn(void *arg, str sni, struct tls_cert *ret[2]);
typedef void tls_ask_fn(void *arg) SUSPENDS;

struct tls_server_options {
	unsigned protocols; /* TLS_1_2 | TLS_1_3 */
	str ciphers;        /* OpenSSL list for <= 1.2; empty: the library's */
	bool prefer_server_ciphers;
	bool session_tickets;
	int session_timeout_s;
	str dhparam_pem;           /* empty: OpenSSL's automatic groups */
	strs alpn;                 /* offered protocols, best first; empty: none */
	struct tls_cert *certs[2]; /* defaults; held by the context */
	tls_pick_fn *pick;         /* NULL: always the defaults */
	void *pick_arg;
	tls_ask_fn *ask; /* NULL: nobody is asked */
};
MUST_CHECK struct err *tls_context_server(const struct tls_server_options *o,
					  struct tls_context **ret);

struct tls_client_options {
	unsigned protocols;
	str ciphers;
	bool verify;             /* chain against store */
	int verify_depth;        /* intermediates allowed; < 0: the library's */
	struct tls_store *store; /* NULL with verify: nothing is trusted */
	struct tls_cert *cert;   /* client certificate or NULL; held by the context */
	strs alpn;               /* offered protocols, best first; empty: none */
};
MUST_CHECK struct err *tls_context_client(const struct tls_client_options *o,
					  struct tls_context **ret);

struct tls_context *tls_context_hold(struct tls_context *c); /* any thread */
void tls_context_drop(struct tls_context **c);

/* ---- connections ------------------------------------------------------------ */

/* Handshakes on a connected plain sock, which is TLS from then on, even when the
 * handshake fails: with ERR_TIMEOUT, ERR_CANCELLED, or ERR_REFUSED, whose text says
 * "certificate verify error: (18:self-signed certificate)" or what OpenSSL says.
 * `arg` reaches the context's pick function instead of pick_arg when not NULL. */
MUST_CHECK struct err *tls_accept(struct sock *s, struct tls_context *c, void *arg, deadline until)
	SUSPENDS;

/* server_name: SNI to send, and name to verify when verify_name; may be empty. */
MUST_CHECK struct err *tls_connect(struct sock *s, struct tls_context *c, str server_name,
				   bool verify_name, deadline until) SUSPENDS;

str tls_sni(const struct tls *t);  /* what the client asked for; borrowed; empty if nothing */
str tls_alpn(const struct tls *t); /* negotiated, or empty */
const char *tls_version(const struct tls *t); /* "TLSv1.3" */
const char *tls_cipher(const struct tls *t);

/* An idle kept-alive connection: let go of its buffers. */
void tls_release_buffers(struct tls *t);

/* ---- making certificates, digests -------------------------------------------- */

enum tls_key_kind { TLS_KEY_RSA_2048, TLS_KEY_EC_P256, TLS_KEY_EC_P384 };
/* Self-signed, CN localhost-like, SAN DNS, valid for days; PEM in a. */
MUST_CHECK struct err *tls_make_self_signed(struct arena *a, enum tls_key_kind kind,
					    str common_name, int days, str *ret_cert, str *ret_key);
/* SHA-256 of the DER, lower-case hex. */
MUST_CHECK struct err *tls_cert_digest(struct arena *a, str pem, str *ret_hex);

void digest_md5(str data, uint8_t ret[16]);
void digest_sha1(str data, uint8_t ret[20]);
void digest_sha256(str data, uint8_t ret[32]);
str base64_encode(struct arena *a, str data);
bool base64_decode(struct arena *a, str text,
		   str *ret); /* strict, padding required, white space allowed */
str hex_encode(struct arena *a, str data);
uuid uuid_v5(uuid space, str name);

/* "OpenSSL 3.0.15 ...": what is linked. */
const char *tls_library(void);

/* ---- connections of another library --------------------------------------------- */

/* `ssl` is the SSL * that libpq shows; NULL is none. */
size_t tls_foreign_pending(void *ssl); /* bytes decrypted that it has not taken yet */
/* Intermediates of the chain that was verified; -1 when none was. */
int tls_foreign_intermediates(void *ssl);
/* For a handshake that verifies, before the other side's certificate is there: `depth`
 * intermediates are allowed, and why the chain is refused will be told. */
struct tls_refusal {
	const char *reason; /* OpenSSL's words, static; NULL: not refused */
	bool is_too_long;   /* for its depth */
};
void tls_foreign_watch(void *ssl, int depth, struct tls_refusal *report);
/* May a client speak this one version here, as OpenSSL is configured? */
bool tls_policy_allows(unsigned version);
