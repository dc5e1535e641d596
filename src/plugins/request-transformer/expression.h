/* SPDX-License-Identifier: Apache-2.0 */
/* expression - Lua's expressions, as far as templates need them.
 *
 *	expression = constants, headers, query_params, uri_captures, shared, type(),
 *	             .name, [index], :method(), not and or, comparisons, .., arithmetic,
 *	             and (function() ... end)() with local, assignment, if and return
 *
 * They mean what they mean in Lua 5.1.  What is missing, loops first of all, is named
 * when an expression is compiled: so an evaluation ends, after as many steps as the text
 * has parts.  A compiled expression is immutable and shared by all loops. */
#pragma once

#include <gibbon/plugin.h>

enum lua_kind { LUA_NIL, LUA_BOOLEAN, LUA_REAL, LUA_STRING, LUA_TABLE, LUA_FUNCTION };

enum lua_global {
	LUA_HEADERS, /* names in lower case; found in any case, and with '_' for '-' */
	LUA_QUERY_PARAMS,
	LUA_URI_CAPTURES, /* by name, or by number ("0", "1" ...) */
	LUA_SHARED,
	LUA_GLOBALS
};

struct lua_value {
	enum lua_kind kind;
	enum lua_global of; /* whose table it is; LUA_GLOBALS: one within a table */
	bool boolean;
	double number;
	str s;
	const struct value *table; /* an object or an array */
};

#define LUA_LOCALS 32

/* One evaluation after the other, of one request. */
struct lua_scope {
	struct arena *a;
	/* An object; asked for when it is first needed, then kept. */
	const struct value *(*global)(void *arg, enum lua_global which);
	void *arg;
	const struct value *known[LUA_GLOBALS];
	struct lua_value locals[LUA_LOCALS];
	str error; /* of an evaluation that failed */
};

struct expression;

/* Why a text is none. */
struct expression_error {
	str words;
	bool is_unsupported; /* it is in Lua */
};

/* NULL: *ret_error says why. */
const struct expression *expression_compile(struct arena *a, str text,
					    struct expression_error *ret_error);

/* What it stands for in a text: nothing for nil and false.  False: scope->error says why. */
bool expression_text(const struct expression *e, struct lua_scope *scope, str *ret);
