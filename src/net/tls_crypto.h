/* SPDX-License-Identifier: Apache-2.0 */
/* tls_crypto - what authentication needs of OpenSSL: MACs, signatures, random bytes,
 * derived keys, sealed texts.
 *
 * Nothing here keeps or logs what it is given.  Texts that come out live in the arena. */
#pragma once

#include "base/str.h"

enum hash_kind { HASH_SHA1, HASH_SHA256, HASH_SHA384, HASH_SHA512 };

#define HASH_MAX 64 /* bytes of the longest */

/* RFC 2104; the raw bytes. */
str hmac(struct arena *a, enum hash_kind kind, str key, str data);

/* Whether a PEM text holds a key whose public half can check signatures. */
bool signing_key_is_good(str pem);

/* RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).  False for keys that are no RSA keys. */
bool signature_is_rsa(str key_pem, enum hash_kind kind, str data, str signature);

/* ECDSA, the signature as r and s side by side (RFC 7518 §3.4).  P-256 goes with SHA-256,
 * P-384 with SHA-384; false for any other pair, curve, or length. */
bool signature_is_ecdsa(str key_pem, enum hash_kind kind, str data, str signature);

/* From the kernel's generator, seeded by OpenSSL. */
void random_bytes(void *p, size_t n);
/* n letters and digits, each of them as likely as any other. */
str random_text(struct arena *a, size_t n);

/* RFC 4648 §5 without padding. */
str base64url_encode(struct arena *a, str data);
/* With padding or without.  FREE also takes the digits + and / and bits that are left
 * over and not zero; STRICT knows one spelling of each text. */
enum base64url { BASE64URL_STRICT, BASE64URL_FREE };
bool base64url_decode(struct arena *a, str text, enum base64url how, str *ret);

/* RFC 5869 with SHA-256; an empty salt is none. */
bool key_derive(str secret, str salt, str info, uint8_t *ret, size_t n);
/* RFC 8018 §5.2. */
bool key_stretch(enum hash_kind kind, str password, str salt, unsigned rounds, uint8_t *ret,
		 size_t n);

#define SEAL_KEY 32
#define SEAL_IV  12
#define SEAL_TAG 16

/* AES-256-GCM.  open says false when a byte of text, tag or `beside` is another. */
bool seal(struct arena *a, const uint8_t key[SEAL_KEY], const uint8_t iv[SEAL_IV], str beside,
	  str text, str *ret, uint8_t ret_tag[SEAL_TAG]);
bool seal_open(struct arena *a, const uint8_t key[SEAL_KEY], const uint8_t iv[SEAL_IV], str beside,
	       str sealed, const uint8_t tag[SEAL_TAG], str *ret);
