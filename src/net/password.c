/* SPDX-License-Identifier: Apache-2.0 */
#include "net/password.h"

#include "base/arena.h"
#include "base/limits.h"
#include "net/tls.h"

#define SALT 16
#define HASH 32

static const struct {
	const char *prefix;
	enum hash_kind kind;
} kinds[] = {
	{ "$pbkdf2-sha256$", HASH_SHA256 },
	{ "$pbkdf2-sha512$", HASH_SHA512 },
};

bool password_hash_is_meant(str text)
{
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (str_starts(text, str_of(kinds[i].prefix)))
			return true;
	}
	return false;
}

/* ---- reading ------------------------------------------------------------------------- */

/* Takes "<name>=<number>" off the front, up to a character that ends it. */
static bool take_number(str *rest, const char *name, char end, int64_t most, int64_t *ret)
{
	size_t n = strlen(name);
	ptrdiff_t at = str_find(*rest, end, 0);
	str digits;

	if (at < 0 || !str_starts(*rest, str_of(name)))
		return false;
	digits = str_part(*rest, n, (size_t)at);
	*rest = str_from(*rest, (size_t)at + 1);
	return digits.n && digits.s[0] >= '1' && digits.s[0] <= '9' && str_to_int(digits, ret) &&
	       *ret <= most;
}

bool password_hash_read(struct arena *a, str text, struct password_hash *ret)
{
	struct password_hash h = { 0 };
	int64_t rounds, length;
	ptrdiff_t dollar;
	size_t i = 0;
	str rest;

	while (i < COUNT(kinds) && !str_starts(text, str_of(kinds[i].prefix)))
		i++;
	if (i == COUNT(kinds))
		return false;
	h.kind = kinds[i].kind;
	rest = str_from(text, strlen(kinds[i].prefix));
	if (!take_number(&rest, "i=", ',', LIMIT_HASH_ROUNDS, &rounds) ||
	    !take_number(&rest, "l=", '$', HASH_MAX, &length))
		return false;
	h.rounds = (unsigned)rounds;
	dollar = str_find(rest, '$', 0);
	if (dollar < 0 ||
	    !base64url_decode(a, str_part(rest, 0, (size_t)dollar), BASE64URL_FREE, &h.salt) ||
	    !base64url_decode(a, str_from(rest, (size_t)dollar + 1), BASE64URL_FREE, &h.hash))
		return false;
	if (h.salt.n < PASSWORD_SALT_MIN || h.salt.n > HASH_MAX || h.hash.n < PASSWORD_HASH_MIN ||
	    h.hash.n != (size_t)length)
		return false;
	*ret = h;
	return true;
}

/* ---- making --------------------------------------------------------------------------- */

bool password_hash_make(struct arena *a, enum hash_kind kind, unsigned rounds, str password,
			struct password_hash *ret)
{
	char *salt = arena_bytes(a, SALT), *hash = arena_bytes(a, HASH);

	random_bytes(salt, SALT);
	if (!key_stretch(kind, password, str_at(salt, SALT), rounds, (uint8_t *)hash, HASH))
		return false;
	*ret = (struct password_hash){ kind, rounds, str_at(salt, SALT), str_at(hash, HASH) };
	return true;
}

static str unpadded(struct arena *a, str bytes)
{
	str text = base64_encode(a, bytes);

	while (text.n && text.s[text.n - 1] == '=')
		text.n--;
	return text;
}

str password_hash_text(struct arena *a, const struct password_hash *h)
{
	size_t i = 0;
	str salt = unpadded(a, h->salt), hash = unpadded(a, h->hash);

	while (kinds[i].kind != h->kind)
		i++;
	return str_fmt(a, "%si=%u,l=%zu$" STRF "$" STRF, kinds[i].prefix, h->rounds, h->hash.n,
		       STRV(salt), STRV(hash));
}

bool password_is(const struct password_hash *h, str password)
{
	uint8_t made[HASH_MAX];

	return h->hash.n <= sizeof(made) &&
	       key_stretch(h->kind, password, h->salt, h->rounds, made, h->hash.n) &&
	       str_eq_secret(h->hash, str_at((const char *)made, h->hash.n));
}
