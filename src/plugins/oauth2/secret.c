/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of clients with hash_secret: PBKDF2 (RFC 8018) with SHA-512, in the PHC form, with
 * the parameters that Kong's nodes have.  Hashes with others are no client's. */
#include "plugins/oauth2/oauth2.h"

#define PREFIX "$pbkdf2-sha512$i=10000,l=32$"
#define ROUNDS 10000
#define HASH   32
#define SALT   16

static str unpadded(struct arena *a, const uint8_t *p, size_t n)
{
	str text = base64_encode(a, str_at((const char *)p, n));

	while (text.n && text.s[text.n - 1] == '=')
		text.n--;
	return text;
}

static str write_hash(struct arena *a, str salt, const uint8_t hash[HASH])
{
	return str_fmt(a, PREFIX STRF "$" STRF, STRV(unpadded(a, (const uint8_t *)salt.s, salt.n)),
		       STRV(unpadded(a, hash, HASH)));
}

str oauth2_secret_hash(struct arena *a, str secret)
{
	uint8_t salt[SALT], hash[HASH];

	random_bytes(salt, sizeof(salt));
	if (!key_stretch(HASH_SHA512, secret, str_at((const char *)salt, SALT), ROUNDS, hash, HASH))
		return STR_NONE;
	return write_hash(a, str_at((const char *)salt, SALT), hash);
}

bool oauth2_secret_is(struct req *r, str secret, str hash)
{
	struct arena *a = req_arena(r);
	str rest = str_starts(hash, STR(PREFIX)) ? str_from(hash, strlen(PREFIX)) : STR_NONE;
	uint8_t made[HASH];
	str digits, salt;

	return rest.n && str_next(&rest, '$', &digits) &&
	       base64url_decode(a, digits, BASE64URL_FREE, &salt) && salt.n &&
	       key_stretch_aside(HASH_SHA512, secret, salt, ROUNDS, made, sizeof(made)) &&
	       str_eq_secret(hash, write_hash(a, salt, made));
}
