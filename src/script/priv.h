/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of script/. */
#pragma once

#include "script/script.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* Lua keeps addresses of constants, and changes none. */
#define UNCONST(p) ((void *)(uintptr_t)(p))

/* values.c: all of these may raise Lua's errors, so they run under a protected call. */
/* One thing on the stack; has_numbers: keys that are whole numbers become numbers. */
void value_push(lua_State *L, const struct value *v, bool has_numbers);
struct value *value_pull(lua_State *L, struct arena *a, int at); /* NULL: nil */

/* world.c: pushes the world of that description, made when it is first asked for: a table
 * with what follows. */
enum { WORLD_GLOBALS = 1 /* the metatable of a run's globals */, WORLD_CHUNKS, WORLD_COUNT };
void world_push(lua_State *L, const struct script_world *w, const struct script_policy *p);

/* modules.c: what require() finds without a file, up to a name of NULL. */
struct script_module {
	const char *name;
	const struct script_host *rows;
};
extern const struct script_module script_modules[];

/* script.c: what a host function is called with. */
struct run {
	struct arena *a;
	void *subject;
	size_t pattern_steps; /* that it may still take */
};
struct run *script_running(void);

/* patterns.c: in the place of string.find and the like. */
void patterns_open(lua_State *L);
