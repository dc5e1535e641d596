/* SPDX-License-Identifier: Apache-2.0 */
/* find, match, gmatch and gsub of the library `string`, over base/pattern.h.
 *
 * Lua's own may take time without end for a text that a client chose; these take so many
 * steps in one run (LIMIT_SCRIPT_STEPS), and then the run ends. */
#include "script/priv.h"

#include "base/pattern.h"

static str text_arg(lua_State *L, int at)
{
	size_t n;
	const char *s = luaL_checklstring(L, at, &n);

	return str_at(s, n);
}

/* Where a search begins: Lua counts from 1, and from the end when it is negative. */
static size_t begin_arg(lua_State *L, int at, size_t n)
{
	lua_Integer i = luaL_optinteger(L, at, 1);

	if (i < 0)
		i += (lua_Integer)n + 1;
	return i < 1 ? 0 : (size_t)i - 1;
}

static bool search(lua_State *L, str pattern, str s, size_t from, struct pattern_found *ret)
{
	size_t *steps = &script_running()->pattern_steps;
	enum pattern_outcome found = pattern_search(pattern, s, from, steps, ret);

	if (found == PATTERN_BROKEN)
		luaL_error(L, *steps ? "malformed pattern" : "a pattern takes too many steps");
	return found == PATTERN_FOUND;
}

static void push_capture(lua_State *L, str s, const struct pattern_found *f, size_t i)
{
	if (f->captures[i].is_position)
		lua_pushinteger(L, (lua_Integer)f->captures[i].from + 1);
	else
		lua_pushlstring(L, s.s + f->captures[i].from,
				f->captures[i].to - f->captures[i].from);
}

/* The captures, or with `or_whole` the whole when there are none. */
static int push_captures(lua_State *L, str s, const struct pattern_found *f, bool or_whole)
{
	luaL_checkstack(L, PATTERN_CAPTURES, "too many captures");
	for (size_t i = 0; i < f->n; i++)
		push_capture(L, s, f, i);
	if (f->n || !or_whole)
		return (int)f->n;
	lua_pushlstring(L, s.s + f->from, f->to - f->from);
	return 1;
}

static int find_plain(lua_State *L, str s, str needle, size_t from)
{
	ptrdiff_t at = str_find_str(str_from(s, from), needle);

	if (at < 0)
		return 0;
	lua_pushinteger(L, (lua_Integer)from + at + 1);
	lua_pushinteger(L, (lua_Integer)(from + (size_t)at + needle.n));
	return 2;
}

static int string_find(lua_State *L)
{
	str s = text_arg(L, 1), pattern = text_arg(L, 2);
	size_t from = begin_arg(L, 3, s.n);
	struct pattern_found f;

	if (from > s.n)
		return 0;
	if (lua_toboolean(L, 4))
		return find_plain(L, s, pattern, from);
	if (!search(L, pattern, s, from, &f))
		return 0;
	lua_pushinteger(L, (lua_Integer)f.from + 1);
	lua_pushinteger(L, (lua_Integer)f.to);
	return 2 + push_captures(L, s, &f, false);
}

static int string_match(lua_State *L)
{
	str s = text_arg(L, 1), pattern = text_arg(L, 2);
	size_t from = begin_arg(L, 3, s.n);
	struct pattern_found f;

	if (from > s.n || !search(L, pattern, s, from, &f))
		return 0;
	return push_captures(L, s, &f, true);
}

/* Of string.gmatch: the text, the pattern, and where the next search begins.  A '^' is no anchor
 * there, but stands for itself. */
static int next_match(lua_State *L)
{
	str s = text_arg(L, lua_upvalueindex(1)), pattern = text_arg(L, lua_upvalueindex(2));
	size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(3));
	struct pattern_found f;

	if (from > s.n || !search(L, pattern, s, from, &f))
		return 0;
	lua_pushinteger(L, (lua_Integer)(f.to + (f.to == f.from)));
	lua_replace(L, lua_upvalueindex(3));
	return push_captures(L, s, &f, true);
}

static int string_gmatch(lua_State *L)
{
	str pattern = text_arg(L, 2);

	luaL_checkstring(L, 1);
	lua_settop(L, 2);
	if (pattern.n && pattern.s[0] == '^') {
		lua_pushliteral(L, "%");
		lua_insert(L, 2);
		lua_concat(L, 2);
	}
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, next_match, 3);
	return 1;
}

/* "%1" and "%%" in a text that takes a match's place. */
static void add_text(lua_State *L, luaL_Buffer *out, str with, str s, const struct pattern_found *f)
{
	for (size_t i = 0; i < with.n; i++) {
		size_t group;

		if (with.s[i] != '%' || ++i == with.n || !ascii_is_digit(with.s[i])) {
			if (i < with.n)
				luaL_addchar(out, with.s[i]);
			continue;
		}
		group = (size_t)(with.s[i] - '0');
		if (group == 0 || (group == 1 && f->n == 0)) {
			luaL_addlstring(out, s.s + f->from, f->to - f->from);
			continue;
		}
		if (group > f->n)
			luaL_error(L, "invalid capture index");
		push_capture(L, s, f, group - 1);
		luaL_addvalue(out);
	}
}

/* What takes a match's place: by a text, a table or a function; nil and false leave it. */
static void add_replacement(lua_State *L, luaL_Buffer *out, str s, const struct pattern_found *f)
{
	int kind = lua_type(L, 3);

	if (kind == LUA_TNUMBER || kind == LUA_TSTRING) {
		add_text(L, out, text_arg(L, 3), s, f);
		return;
	}
	lua_pushvalue(L, 3);
	if (kind == LUA_TFUNCTION) {
		lua_call(L, push_captures(L, s, f, true), 1);
	} else {
		if (f->n)
			push_capture(L, s, f, 0);
		else
			lua_pushlstring(L, s.s + f->from, f->to - f->from);
		lua_gettable(L, -2);
		lua_remove(L, -2);
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		lua_pushlstring(L, s.s + f->from, f->to - f->from);
	} else if (!lua_isstring(L, -1)) {
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	}
	luaL_addvalue(out);
}

static int string_gsub(lua_State *L)
{
	str s = text_arg(L, 1), pattern = text_arg(L, 2);
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)s.n + 1), n = 0;
	bool is_anchored = pattern.n && pattern.s[0] == '^';
	struct pattern_found f;
	luaL_Buffer out;
	size_t at = 0;

	luaL_argcheck(L, lua_isstring(L, 3) || lua_istable(L, 3) || lua_isfunction(L, 3), 3,
		      "string/function/table expected");
	luaL_buffinit(L, &out);
	while (n < most && at <= s.n && search(L, pattern, s, at, &f)) {
		luaL_addlstring(&out, s.s + at, f.from - at);
		add_replacement(L, &out, s, &f);
		n++;
		at = f.to;
		if (f.to == f.from) { /* an empty match: one byte on */
			if (at < s.n)
				luaL_addchar(&out, s.s[at]);
			at++;
		}
		if (is_anchored)
			break;
	}
	if (at < s.n)
		luaL_addlstring(&out, s.s + at, s.n - at);
	luaL_pushresult(&out);
	lua_pushinteger(L, n);
	return 2;
}

void patterns_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "find", string_find }, { "gmatch", string_gmatch },
		{ "gsub", string_gsub }, { "match", string_match },
		{ NULL, NULL },
	};

	lua_getglobal(L, "string");
	luaL_register(L, NULL, functions);
	lua_pushnil(L);
	lua_setfield(L, -2, "gfind"); /* an old name of gmatch */
	lua_pop(L, 1);
}
