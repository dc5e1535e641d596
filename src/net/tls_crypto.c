/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_crypto.h"

#include "base/log.h"
#include "net/tls_priv.h"
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

static const EVP_MD *hash_of(enum hash_kind kind)
{
	switch (kind) {
	case HASH_SHA1:
		return EVP_sha1();
	case HASH_SHA256:
		return EVP_sha256();
	case HASH_SHA384:
		return EVP_sha384();
	case HASH_SHA512:
		break;
	}
	return EVP_sha512();
}

static const unsigned char *bytes_of(str s)
{
	return (const unsigned char *)(s.n ? s.s : "");
}

str hmac(struct arena *a, enum hash_kind kind, str key, str data)
{
	unsigned char *out = (unsigned char *)arena_bytes(a, HASH_MAX);
	unsigned n = 0;

	if (key.n > INT_MAX ||
	    !HMAC(hash_of(kind), bytes_of(key), (int)key.n, bytes_of(data), data.n, out, &n))
		die("OpenSSL cannot compute an HMAC; a provider is missing");
	return str_at((const char *)out, n);
}

/* ---- signatures ----------------------------------------------------------------------------- */

static void digest_context_drop(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
	*c = NULL;
}

static void key_context_drop(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
	*c = NULL;
}

static void ecdsa_drop(ECDSA_SIG **s)
{
	ECDSA_SIG_free(*s);
	*s = NULL;
}

/* A public key, or the public half of a private one. */
static EVP_PKEY *read_key(str pem)
{
	BIO *b CLEANUP(bio_drop) = bio_over(pem);
	BIO *again CLEANUP(bio_drop) = bio_over(pem);
	EVP_PKEY *key = b ? PEM_read_bio_PUBKEY(b, NULL, refuse_password, NULL) : NULL;

	if (!key && again)
		key = PEM_read_bio_PrivateKey(again, NULL, refuse_password, NULL);
	ERR_clear_error();
	return key;
}

bool signing_key_is_good(str pem)
{
	EVP_PKEY *key CLEANUP(key_drop) = read_key(pem);

	return key != NULL;
}

static bool verify(EVP_PKEY *key, enum hash_kind kind, str data, str signature)
{
	EVP_MD_CTX *c CLEANUP(digest_context_drop) = EVP_MD_CTX_new();
	bool is_good =
		c && EVP_DigestVerifyInit(c, NULL, hash_of(kind), NULL, key) == 1 &&
		EVP_DigestVerify(c, bytes_of(signature), signature.n, bytes_of(data), data.n) == 1;

	ERR_clear_error();
	return is_good;
}

bool signature_is_rsa(str key_pem, enum hash_kind kind, str data, str signature)
{
	EVP_PKEY *key CLEANUP(key_drop) = read_key(key_pem);

	/* the padding of a plain RSA key is PKCS #1 v1.5 unless something else is asked for */
	return key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
	       verify(key, kind, data, signature);
}

static bool is_on_curve(EVP_PKEY *key, const char *curve)
{
	char name[64];
	size_t n = 0;

	return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
	       EVP_PKEY_get_group_name(key, name, sizeof(name), &n) == 1 &&
	       strcmp(name, curve) == 0;
}

bool signature_is_ecdsa(str key_pem, enum hash_kind kind, str data, str signature)
{
	EVP_PKEY *key CLEANUP(key_drop) = read_key(key_pem);
	ECDSA_SIG *pair CLEANUP(ecdsa_drop) = NULL;
	const size_t half = kind == HASH_SHA256 ? 32 : 48;
	const char *curve = kind == HASH_SHA256 ? "prime256v1" : "secp384r1";
	unsigned char der[128], *p = der;
	BIGNUM *r, *s;
	int n;

	if (!key || (kind != HASH_SHA256 && kind != HASH_SHA384) || signature.n != 2 * half ||
	    !is_on_curve(key, curve))
		return false;
	pair = ECDSA_SIG_new();
	r = BN_bin2bn(bytes_of(signature), (int)half, NULL);
	s = BN_bin2bn(bytes_of(signature) + half, (int)half, NULL);
	if (!pair || !r || !s || ECDSA_SIG_set0(pair, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		return false;
	}
	n = i2d_ECDSA_SIG(pair, NULL);
	if (n <= 0 || (size_t)n > sizeof(der))
		return false;
	i2d_ECDSA_SIG(pair, &p);
	return verify(key, kind, data, str_at((const char *)der, (size_t)n));
}

/* ---- random bytes ------------------------------------------------------------------------------ */

void random_bytes(void *p, size_t n)
{
	if (n > INT_MAX || RAND_bytes(p, (int)n) != 1)
		die("OpenSSL has no random bytes");
}

str random_text(struct arena *a, size_t n)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	char *out = arena_bytes(a, n);

	for (size_t i = 0; i < n;) {
		uint8_t some[64];

		random_bytes(some, sizeof(some));
		for (size_t j = 0; j < sizeof(some) && i < n; j++) {
			if (some[j] < 248) /* 4 * 62: beyond it some would be likelier */
				out[i++] = letters[some[j] % 62];
		}
	}
	return str_at(out, n);
}

/* ---- base64url ----------------------------------------------------------------------------------- */

str base64url_encode(struct arena *a, str data)
{
	str text = base64_encode(a, data);
	char *p = (char *)(uintptr_t)text.s; /* just made */

	while (text.n && p[text.n - 1] == '=')
		text.n--;
	for (size_t i = 0; i < text.n; i++)
		p[i] = p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i];
	return text;
}

static int digit_of(char c, enum base64url how)
{
	if (c == '-' || c == '_')
		return c == '-' ? 62 : 63;
	return how == BASE64URL_STRICT && (c == '+' || c == '/') ? -1 : ascii_base64(c);
}

bool base64url_decode(struct arena *a, str text, enum base64url how, str *ret)
{
	char *out = arena_bytes(a, text.n / 4 * 3 + 3), *p = out;
	size_t n = text.n;
	uint32_t bits = 0;
	unsigned left = 0;

	while (n && text.s[n - 1] == '=')
		n--;
	if (text.n != n && (text.n % 4 || text.n - n > 2))
		return false;
	if (n % 4 == 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		int digit = digit_of(text.s[i], how);

		if (digit < 0)
			return false;
		bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
		left += 6;
		if (left >= 8) {
			left -= 8;
			*p++ = (char)(bits >> left);
		}
	}
	if (how == BASE64URL_STRICT && (bits & ((1u << left) - 1)))
		return false;
	*ret = str_at(out, (size_t)(p - out));
	return true;
}

/* ---- keys from secrets ----------------------------------------------------------------------------- */

bool key_derive(str secret, str salt, str info, uint8_t *ret, size_t n)
{
	EVP_PKEY_CTX *c CLEANUP(key_context_drop) = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	size_t made = n;
	bool is_made =
		c && secret.n <= INT_MAX && salt.n <= INT_MAX && info.n <= INT_MAX &&
		EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) == 1 &&
		(!salt.n || EVP_PKEY_CTX_set1_hkdf_salt(c, bytes_of(salt), (int)salt.n) == 1) &&
		EVP_PKEY_CTX_set1_hkdf_key(c, bytes_of(secret), (int)secret.n) == 1 &&
		EVP_PKEY_CTX_add1_hkdf_info(c, bytes_of(info), (int)info.n) == 1 &&
		EVP_PKEY_derive(c, ret, &made) == 1 && made == n;

	ERR_clear_error();
	return is_made;
}

bool key_stretch(enum hash_kind kind, str password, str salt, unsigned rounds, uint8_t *ret,
		 size_t n)
{
	bool is_made =
		password.n <= INT_MAX && salt.n <= INT_MAX && n <= INT_MAX &&
		PKCS5_PBKDF2_HMAC((const char *)bytes_of(password), (int)password.n, bytes_of(salt),
				  (int)salt.n, (int)rounds, hash_of(kind), (int)n, ret) == 1;

	ERR_clear_error();
	return is_made;
}

/* ---- sealing ---------------------------------------------------------------------------------------- */

static void cipher_context_drop(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
	*c = NULL;
}

bool seal(struct arena *a, const uint8_t key[SEAL_KEY], const uint8_t iv[SEAL_IV], str beside,
	  str text, str *ret, uint8_t ret_tag[SEAL_TAG])
{
	EVP_CIPHER_CTX *c CLEANUP(cipher_context_drop) = EVP_CIPHER_CTX_new();
	unsigned char *out = (unsigned char *)arena_bytes(a, text.n + 1);
	int n = 0, rest = 0;
	bool is_done = c && text.n <= INT_MAX && beside.n <= INT_MAX &&
		       EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
		       EVP_EncryptUpdate(c, NULL, &n, bytes_of(beside), (int)beside.n) == 1 &&
		       EVP_EncryptUpdate(c, out, &n, bytes_of(text), (int)text.n) == 1 &&
		       EVP_EncryptFinal_ex(c, out + n, &rest) == 1 &&
		       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, ret_tag) == 1;

	ERR_clear_error();
	if (is_done)
		*ret = str_at((const char *)out, (size_t)n);
	return is_done;
}

bool seal_open(struct arena *a, const uint8_t key[SEAL_KEY], const uint8_t iv[SEAL_IV], str beside,
	       str sealed, const uint8_t tag[SEAL_TAG], str *ret)
{
	EVP_CIPHER_CTX *c CLEANUP(cipher_context_drop) = EVP_CIPHER_CTX_new();
	unsigned char *out = (unsigned char *)arena_bytes(a, sealed.n + 1);
	uint8_t expected[SEAL_TAG];
	int n = 0, rest = 0;
	bool is_good;

	memcpy(expected, tag, sizeof(expected));
	is_good = c && sealed.n <= INT_MAX && beside.n <= INT_MAX &&
		  EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
		  EVP_DecryptUpdate(c, NULL, &n, bytes_of(beside), (int)beside.n) == 1 &&
		  EVP_DecryptUpdate(c, out, &n, bytes_of(sealed), (int)sealed.n) == 1 &&
		  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, expected) == 1 &&
		  EVP_DecryptFinal_ex(c, out + n, &rest) == 1;
	ERR_clear_error();
	if (is_good)
		*ret = str_at((const char *)out, (size_t)n);
	return is_good;
}
