/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of clients with hash_secret: PBKDF2 (RFC 8018) with SHA-512, in the PHC form, with
 * the parameters that Kong's nodes have.  Hashes with others are no client's. */
#include "plugins/oauth2/oauth2.h"

#define ROUNDS 10000

str oauth2_secret_hash(struct arena *a, str secret)
{
	struct password_hash made;

	return password_hash_make(a, HASH_SHA512, ROUNDS, secret, &made)
		       ? password_hash_text(a, &made)
		       : STR_NONE;
}

bool oauth2_secret_is(struct req *r, str secret, str hash)
{
	struct password_hash read;

	return password_hash_read(req_arena(r), hash, &read) && read.kind == HASH_SHA512 &&
	       read.rounds == ROUNDS && password_is_aside(&read, secret);
}
