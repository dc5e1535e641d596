/* SPDX-License-Identifier: Apache-2.0 */
/* Values to Lua and back.
 *
 * Objects and arrays are tables, null is the light userdata NULL as in cjson and ngx.null.
 * Back, a table whose keys are 1 to n is an array, any other (the empty one too) an object;
 * a whole number within 2^53 is an integer. */
#include "script/priv.h"

#include "base/limits.h"
#include <math.h>

#define WHOLE_MOST 9007199254740992.0 /* 2^53 */

static void push_key(lua_State *L, str key, bool has_numbers)
{
	int64_t number;

	if (has_numbers && str_to_int(key, &number))
		lua_pushnumber(L, (double)number);
	else
		lua_pushlstring(L, key.s, key.n);
}

void value_push(lua_State *L, const struct value *v, bool has_numbers)
{
	luaL_checkstack(L, 4, "a value is nested too deeply");
	if (!v) {
		lua_pushnil(L);
		return;
	}
	switch (v->kind) {
	case VALUE_NULL:
		lua_pushlightuserdata(L, NULL);
		break;
	case VALUE_BOOL:
		lua_pushboolean(L, v->b);
		break;
	case VALUE_INT:
	case VALUE_REAL:
		lua_pushnumber(L, value_num(v));
		break;
	case VALUE_STRING:
		lua_pushlstring(L, v->s.n ? v->s.s : "", v->s.n);
		break;
	case VALUE_ARRAY:
		lua_createtable(L, (int)v->n, 0);
		for (uint32_t i = 0; i < v->n; i++) {
			value_push(L, v->items[i], has_numbers);
			lua_rawseti(L, -2, (int)i + 1);
		}
		break;
	case VALUE_OBJECT:
		lua_createtable(L, 0, (int)v->n);
		for (uint32_t i = 0; i < v->n; i++) {
			push_key(L, v->members[i].key, has_numbers);
			value_push(L, v->members[i].value, has_numbers);
			lua_rawset(L, -3);
		}
		break;
	}
}

static str text_at(lua_State *L, struct arena *a, int at)
{
	size_t n;
	const char *s = lua_tolstring(L, at, &n);

	return str_copy(a, str_at(s, n));
}

static struct value *pull(lua_State *L, struct arena *a, int at, int depth);

static struct value *number_at(lua_State *L, struct arena *a, int at)
{
	double d = lua_tonumber(L, at);

	if (fabs(d) <= WHOLE_MOST && d == floor(d))
		return value_int(a, (int64_t)d);
	return value_real(a, d);
}

/* How many items the table at the top has when its keys are 1 to n, else 0. */
static size_t array_size(lua_State *L)
{
	size_t n = lua_objlen(L, -1), found = 0;

	lua_pushnil(L);
	while (lua_next(L, -2)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) != LUA_TNUMBER || ++found > n) {
			lua_pop(L, 1);
			return 0;
		}
	}
	return found == n ? n : 0;
}

static str key_at(lua_State *L, struct arena *a, int at)
{
	if (lua_type(L, at) == LUA_TNUMBER) /* tolstring would turn the key itself into a text */
		return str_fmt(a, "%.14g", lua_tonumber(L, at));
	if (lua_type(L, at) != LUA_TSTRING)
		luaL_error(L, "a key of a table is a %s", luaL_typename(L, at));
	return text_at(L, a, at);
}

/* The table at the top. */
static struct value *table_value(lua_State *L, struct arena *a, int depth)
{
	size_t n = array_size(L);
	struct value *v = n ? value_array(a) : value_object(a);

	if (depth >= LIMIT_JSON_DEPTH)
		luaL_error(L, "a table is nested too deeply, or in itself");
	luaL_checkstack(L, 4, "a table is nested too deeply");
	for (size_t i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, (int)i);
		value_add(a, v, pull(L, a, -1, depth + 1));
		lua_pop(L, 1);
	}
	if (n)
		return v;
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		struct value *item = pull(L, a, -1, depth + 1);

		value_set(a, v, key_at(L, a, -2), item);
		lua_pop(L, 1);
	}
	return v;
}

static struct value *pull(lua_State *L, struct arena *a, int at, int depth)
{
	struct value *v;

	switch (lua_type(L, at)) {
	case LUA_TNONE:
	case LUA_TNIL:
		return NULL;
	case LUA_TBOOLEAN:
		return value_bool(a, lua_toboolean(L, at));
	case LUA_TNUMBER:
		return number_at(L, a, at);
	case LUA_TSTRING:
		return value_str(a, text_at(L, a, at));
	case LUA_TTABLE:
		lua_pushvalue(L, at);
		v = table_value(L, a, depth);
		lua_pop(L, 1);
		return v;
	case LUA_TLIGHTUSERDATA:
		if (!lua_touserdata(L, at))
			return value_null(a);
		break;
	default:
		break;
	}
	luaL_error(L, "a %s is no value that can be handed over", luaL_typename(L, at));
	return NULL;
}

struct value *value_pull(lua_State *L, struct arena *a, int at)
{
	return pull(L, a, at, 0);
}
