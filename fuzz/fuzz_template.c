/* SPDX-License-Identifier: Apache-2.0 */
/* A template as request-transformer compiles it, and what it renders to: its own text is the
 * value of everything that can be asked for. */
#include "fuzz.h"

#include <stdlib.h>

#include "plugins/request-transformer/template.h"

static const struct value *global(void *arg, enum template_global which)
{
	(void)which;
	return arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	str text = str_at((const char *)data, n), said = STR("");
	const struct template *t = template_compile(a, text, &said);
	struct value *all = value_object(a), *list = value_array(a);
	struct template_scope scope = { .a = a, .global = global, .arg = all };

	value_add(a, list, value_str(a, text));
	value_add(a, list, value_int(a, 2));
	value_set(a, all, STR("x"), value_str(a, text));
	value_set(a, all, STR("a"), list);
	value_set(a, all, STR("b"), value_bool(a, true));
	value_set(a, all, STR("1"), value_str(a, STR("10")));
	if (!t && !said.n)
		abort();
	if (t && !template_render(t, &scope, &said) && !said.n)
		abort();
	arena_drop(&a);
	return 0;
}
