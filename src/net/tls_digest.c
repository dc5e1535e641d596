/* SPDX-License-Identifier: Apache-2.0 */
/* Digests by OpenSSL; base64, hex and named UUIDs, which need no more. */
#include "net/tls_priv.h"

#include "base/log.h"
#include <pthread.h>

/* ---- digests ----------------------------------------------------------------------------- */

/* Fetched once: to look an algorithm up costs more than a short digest. */
static EVP_MD *md5, *sha1, *sha256;

/* Each thread's own, for the same reason. */
static __thread EVP_MD_CTX *context;
static pthread_key_t context_key;

static void drop_context(void *c)
{
	EVP_MD_CTX_free(c);
	context = NULL;
}

static void fetch_all(void)
{
	pthread_key_create(&context_key, drop_context);
	md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!sha1 || !sha256)
		die("OpenSSL has no SHA-1 or SHA-256");
}

static void digest(EVP_MD *const *md, str data, uint8_t *ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fetch_all);
	if (!context) {
		context = EVP_MD_CTX_new();
		pthread_setspecific(context_key, context);
	}
	if (!*md || !context || EVP_DigestInit_ex2(context, *md, NULL) != 1 ||
	    EVP_DigestUpdate(context, data.s, data.n) != 1 ||
	    EVP_DigestFinal_ex(context, ret, NULL) != 1)
		die("OpenSSL cannot compute a digest; a provider is missing");
}

void digest_md5(str data, uint8_t ret[16])
{
	digest(&md5, data, ret);
}

void digest_sha1(str data, uint8_t ret[20])
{
	digest(&sha1, data, ret);
}

void digest_sha256(str data, uint8_t ret[32])
{
	digest(&sha256, data, ret);
}

uuid uuid_v5(uuid space, str name)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	uint8_t hash[20];
	uuid u;

	digest_sha1(str_cat(a, str_at((char *)space.b, sizeof(space.b)), name), hash);
	memcpy(u.b, hash, sizeof(u.b));
	u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x50); /* RFC 4122 §4.3 */
	u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
	return u;
}

/* ---- base64, RFC 4648 §4 ------------------------------------------------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

str base64_encode(struct arena *a, str data)
{
	size_t n = (data.n + 2) / 3 * 4;
	char *out = arena_bytes(a, n), *p = out;

	for (size_t i = 0; i < data.n; i += 3) {
		size_t left = data.n - i;
		const uint8_t *in = (const uint8_t *)data.s + i;
		uint32_t bits = (uint32_t)in[0] << 16;

		bits |= left > 1 ? (uint32_t)in[1] << 8 : 0;
		bits |= left > 2 ? in[2] : 0;
		*p++ = digits[bits >> 18];
		*p++ = digits[bits >> 12 & 63];
		*p++ = left > 1 ? digits[bits >> 6 & 63] : '=';
		*p++ = left > 2 ? digits[bits & 63] : '=';
	}
	return str_at(out, n);
}

/* Digits, then the padding that fills up to four; unused bits must be zero, so
 * that a text has one spelling. */
bool base64_decode(struct arena *a, str text, str *ret)
{
	char *out = arena_bytes(a, text.n / 4 * 3 + 3), *p = out;
	uint32_t bits = 0;
	unsigned n = 0, padding = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.s[i];
		int digit = ascii_base64(c);

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		if (c == '=') {
			padding++;
			continue;
		}
		if (digit < 0 || padding)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		if (++n % 4 == 0) {
			*p++ = (char)(bits >> 16);
			*p++ = (char)(bits >> 8);
			*p++ = (char)bits;
			bits = 0;
		}
	}
	if (n % 4 == 1 || padding != (4 - n % 4) % 4)
		return false;
	if (n % 4 == 2) {
		if (bits & 0xf)
			return false;
		*p++ = (char)(bits >> 4);
	} else if (n % 4 == 3) {
		if (bits & 3)
			return false;
		*p++ = (char)(bits >> 10);
		*p++ = (char)(bits >> 2);
	}
	*ret = str_at(out, (size_t)(p - out));
	return true;
}

str hex_encode(struct arena *a, str data)
{
	static const char hex[] = "0123456789abcdef";
	char *out = arena_bytes(a, data.n * 2);

	for (size_t i = 0; i < data.n; i++) {
		out[2 * i] = hex[(uint8_t)data.s[i] >> 4];
		out[2 * i + 1] = hex[(uint8_t)data.s[i] & 15];
	}
	return str_at(out, data.n * 2);
}
