/* SPDX-License-Identifier: Apache-2.0 */
/* A message of LDAP lies within what was read, is the same without what follows it, and is not
 * there before its last byte is; names are escaped so that nothing in them means more. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/limits.h"
#include "clients/ldap.h"

static bool lies_within(str part, str whole)
{
	return !part.n || (part.s >= whole.s && part.s + part.n <= whole.s + whole.n);
}

static void check_name(str name)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str escaped = ldap_escape(a, name);
	bool is_escaped = false;

	for (size_t i = 0; i < escaped.n; i++) {
		char c = escaped.s[i];

		if (!is_escaped && (!c || strchr("\"+,;<>=", c)))
			abort();
		is_escaped = c == '\\' && !is_escaped;
	}
	if (is_escaped)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	str bytes = str_at((const char *)data, n);
	struct ldap_message m, again;
	ssize_t size = ldap_message_read(bytes, &m);

	if (n < 4096)
		check_name(bytes);
	if (size < -1 || (size > 0 && (size_t)size > n))
		abort();
	if (size <= 0)
		return 0;
	if (m.id < 0 || m.result.code < 0 || !lies_within(m.result.diagnostic, bytes) ||
	    !lies_within(m.name, bytes) || (size_t)size > LIMIT_LDAP_MESSAGE + 6)
		abort();
	if (ldap_message_read(str_part(bytes, 0, (size_t)size), &again) != size ||
	    again.id != m.id || again.op != m.op || again.result.code != m.result.code)
		abort();
	for (size_t k = 0; k < (size_t)size && k < 64; k++) {
		if (ldap_message_read(str_part(bytes, 0, k), &again) != 0)
			abort();
	}
	return 0;
}
