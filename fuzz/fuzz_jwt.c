/* SPDX-License-Identifier: Apache-2.0 */
/* A token that is read has a header that names an algorithm, claims that are an object, and one
 * spelling of its signature; no key but the right one has signed it. */
#include "fuzz.h"

#include <stdlib.h>

#include "plugins/jwt/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str text = str_at((const char *)data, n), end;
	const struct jwt_algorithm *algorithm;
	struct jwt_token t;

	if (jwt_token_read(a, text, &t))
		return 0;
	algorithm = jwt_algorithm_find(value_get(t.header, "alg")->s);
	if (!algorithm || t.claims->kind != VALUE_OBJECT || t.signed_part.s != text.s ||
	    t.signed_part.n >= n)
		abort();
	end = str_from(text, t.signed_part.n + 1);
	if (text.s[t.signed_part.n] != '.' ||
	    !str_eq(str_part(end, 0, base64url_encode(a, t.signature).n),
		    base64url_encode(a, t.signature)))
		abort();
	if (jwt_token_is_signed(a, &t, algorithm, STR("a key that nobody has")) &&
	    algorithm->how != JWT_SHARED)
		abort();
	return 0;
}
