/* SPDX-License-Identifier: Apache-2.0 */
/* A hash of a password that is read keeps to the ceilings, and is the same when it is written and
 * read again. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "net/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct password_hash h, again;

	if (!password_hash_read(a, str_at((const char *)data, n), &h))
		return 0;
	if (h.rounds < 1 || h.rounds > LIMIT_HASH_ROUNDS || h.salt.n < PASSWORD_SALT_MIN ||
	    h.salt.n > HASH_MAX || h.hash.n < PASSWORD_HASH_MIN || h.hash.n > HASH_MAX)
		abort();
	if (!password_hash_read(a, password_hash_text(a, &h), &again) || h.kind != again.kind ||
	    h.rounds != again.rounds || !str_eq(h.salt, again.salt) || !str_eq(h.hash, again.hash))
		abort();
	return 0;
}
