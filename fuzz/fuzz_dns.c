/* SPDX-License-Identifier: Apache-2.0 */
/* An answer's sets hold what was asked for, then what CNAMEs lead to: each set has
 * one type, and its names lie inside the set.  The first two bytes choose the type. */
#include "fuzz.h"

#include <stdlib.h>

#include "net/dns_priv.h"

static void check_set(const struct dns_set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		str name = s->v[i].name;

		if (name.n > DNS_NAME_MAX)
			abort();
		for (size_t k = 0; k < name.n; k++) /* ASan: readable to its end */
			if (name.s[k] == '\n' && s->type == TYPE_A)
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int types[] = { TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_SRV };
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct found *v = NULL;
	size_t found;
	int type;

	if (n < 2)
		return 0;
	type = types[data[0] % COUNT(types)];
	found = answer_parse(a, data + 2, n - 2, STR("a.test"), type, &v);
	if (found && (v[0].set->type != type || !str_is(v[0].name, "a.test")))
		abort();
	for (size_t i = 0; i < found; i++) {
		if (i > 0 && v[i].set->n == 0)
			abort();
		check_set(v[i].set);
		set_drop(&v[i].set);
	}
	return 0;
}
