/* SPDX-License-Identifier: Apache-2.0 */
/* password - hashes of passwords that are costly to guess: PBKDF2 (RFC 8018) in the PHC string
 * format, "$pbkdf2-sha512$i=210000,l=32$SALT$HASH" with base64 without padding; sha256 too.
 *
 * How costly the hash says itself, so there are ceilings: LIMIT_HASH_ROUNDS. */
#pragma once

#include "net/tls_crypto.h"

#define PASSWORD_SALT_MIN 8
#define PASSWORD_HASH_MIN 16

struct password_hash {
	enum hash_kind kind;
	unsigned rounds;
	str salt, hash; /* bytes */
};

/* Whether a text means to be such a hash. */
bool password_hash_is_meant(str text);

/* False: it is none, or has parameters that are not good. */
bool password_hash_read(struct arena *a, str text, struct password_hash *ret);
str password_hash_text(struct arena *a, const struct password_hash *h);

/* Of that kind, with a salt of its own, all 32 bytes of it. */
bool password_hash_make(struct arena *a, enum hash_kind kind, unsigned rounds, str password,
			struct password_hash *ret);

/* Takes as long as the hash says. */
bool password_is(const struct password_hash *h, str password);
