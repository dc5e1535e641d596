/* SPDX-License-Identifier: Apache-2.0 */
/* template - a text with $(expressions) in it.
 *
 * What is between "$(" and the parenthesis that matches it, whatever stands between them,
 * is an expression of Lua; all other text stands for itself, a lone '$' too. */
#pragma once

#include <gibbon/plugin.h>

#define TEMPLATE_MAX 8192 /* bytes of its text */

struct template;

/* NULL: *ret_why says why not. */
const struct template *template_compile(struct arena *a, str text, str *ret_why);

/* What an expression sees of a request: objects, asked for when one is first needed. */
enum template_global {
	TEMPLATE_HEADERS, /* names in lower case; found in any case, and with '_' for '-' */
	TEMPLATE_QUERY_PARAMS,
	TEMPLATE_URI_CAPTURES, /* by name, or by number ("0", "1" ...) */
	TEMPLATE_SHARED,
	TEMPLATE_GLOBALS
};
struct template_scope {
	struct arena *a;
	const struct value *(*global)(void *arg, enum template_global which);
	void *arg;
	const struct value *known[TEMPLATE_GLOBALS];
};

/* False: *ret is why not. */
bool template_render(const struct template *t, struct template_scope *scope, str *ret);
