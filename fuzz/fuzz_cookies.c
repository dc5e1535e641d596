/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs of a Cookie header lie within it, have names, and no ';' is in either half; base64url
 * that is read strictly is written the same way again. */
#include "fuzz.h"

#include <stdlib.h>

#include "http/cookies.h"
#include "http/http.h"
#include "net/tls_crypto.h"

static void check_base64url(struct arena *a, str text)
{
	str strict, loose, again;
	bool is_strict = base64url_decode(a, text, BASE64URL_STRICT, &strict);
	bool is_loose = base64url_decode(a, text, BASE64URL_FREE, &loose);

	if (!is_strict)
		return;
	if (!is_loose || !str_eq(strict, loose))
		abort();
	again = base64url_encode(a, strict);
	if (!str_eq(again, str_part(text, 0, again.n)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str text = str_at((const char *)data, n), rest = text, name, value;
	size_t pairs = 0;
	int64_t when;

	while (cookie_next(&rest, &name, &value)) {
		if (!name.n || name.s < text.s || name.s + name.n > text.s + text.n ||
		    (value.n && (value.s < text.s || value.s + value.n > text.s + text.n)))
			abort();
		if (str_find(name, ';', 0) >= 0 || str_find(name, '=', 0) >= 0 ||
		    str_find(value, ';', 0) >= 0)
			abort();
		if (++pairs > n)
			abort();
	}
	http_date_parse(text, &when);
	check_base64url(a, text);
	return 0;
}
