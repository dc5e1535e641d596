/* SPDX-License-Identifier: Apache-2.0 */
/* template - a text with $(expressions) in it.
 *
 * What is between "$(" and the parenthesis that matches it, whatever stands between them,
 * is an expression; all other text stands for itself, a lone '$' too. */
#pragma once

#include "plugins/request-transformer/expression.h"

#define TEMPLATE_MAX 8192 /* bytes of its text */

struct template;

/* NULL: *ret_error says why. */
const struct template *template_compile(struct arena *a, str text,
					struct expression_error *ret_error);

/* False: scope->error says why. */
bool template_render(const struct template *t, struct lua_scope *scope, str *ret);
