/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the TLS adapter share: the only ones that know OpenSSL. */
#pragma once

#include "net/tls.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdatomic.h>

struct tls_cert {
	atomic_int holders;
	X509 *leaf;
	STACK_OF(X509) * chain; /* above the leaf, in the order given */
	EVP_PKEY *key;
};

struct tls_store {
	atomic_int holders;
	X509_STORE *x509;
};

struct tls_context {
	atomic_int holders;
	SSL_CTX *ssl;
	tls_pick_fn *pick;
	tls_ask_fn *ask;
	void *pick_arg;
	struct tls_cert *certs[2]; /* for the server: the defaults */
	unsigned char *alpn;       /* as on the wire: length, name, length, name */
	unsigned alpn_n;
	bool is_server, verifies;
};

#define TLS_ERROR_MAX 200
#define TLS_NAME_MAX  256

struct tls {
	SSL *ssl;
	struct tls_context *context; /* held */
	void *pick_arg;
	bool is_up;     /* handshake done */
	bool is_broken; /* nothing may be sent any more */
	bool has_ended; /* close_notify is sent */
	bool is_eof;    /* the socket below has ended */
	char error[TLS_ERROR_MAX];
	size_t sni_n;
	char sni[TLS_NAME_MAX];
};

/* OpenSSL's error queue, its first line, as text in out; empties it. */
void tls_words(char *out, size_t n);

/* The same as an error: "text: reason". */
struct err *tls_fail(const char *file, int line, const char *text);
#define FAIL_TLS(text) tls_fail(__FILE__, __LINE__, (text))

/* Reading PEM. */
#define PEM_MAX (1 << 24) /* bytes of one text */
void bio_drop(BIO **b);   /* for CLEANUP, as the two below */
void x509_drop(X509 **x);
void key_drop(EVP_PKEY **k);
BIO *bio_over(str pem); /* a reader of the text; NULL when that is out of the question */
/* There is nobody to ask for a password; notes in *(bool *)was_asked, unless NULL, that one was wanted. */
int refuse_password(char *buf, int size, int rwflag, void *was_asked);
