/* SPDX-License-Identifier: Apache-2.0 */
/* What an Authorization header says lies within it, or within what its base64 stands for:
 * put together again it is the same. */
#include "fuzz.h"

#include <stdlib.h>

#include "http/authorization.h"
#include "plugins/hmac-auth/params.h"
#include "plugins/jwt/token.h"

static bool lies_within(str part, str whole)
{
	return part.s >= whole.s && part.s + part.n <= whole.s + whole.n;
}

static void check_pair(str header)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str name, password, text, again_name, again_password;

	if (!authorization_pair(a, header, STR("Basic"), &name, &password))
		return;
	if (str_find(name, ':', 0) >= 0 || (!name.n && !password.s))
		abort();
	text = password.s ? str_cat(a, str_cat(a, name, STR(":")), password) : name;
	if (!authorization_pair(a, str_cat(a, STR("basic "), base64_encode(a, text)), STR("Basic"),
				&again_name, &again_password) ||
	    !str_eq(name, again_name) || !str_eq(password, again_password) ||
	    !password.s != !again_password.s)
		abort();
}

static void check_params(str header)
{
	struct hmac_params p;
	const str *all[] = { &p.username, &p.algorithm, &p.headers, &p.signature };

	if (!hmac_params_read(header, &p))
		return;
	for (size_t i = 0; i < COUNT(all); i++) {
		if (!all[i]->n || !lies_within(*all[i], header) || str_find(*all[i], '"', 0) >= 0 ||
		    (i && all[i]->s <= all[i - 1]->s))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	str header = str_at((const char *)data, n), token = jwt_bearer(header);

	check_pair(header);
	check_params(header);
	if (token.s && (!token.n || !lies_within(token, header)))
		abort();
	return 0;
}
