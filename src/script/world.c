/* SPDX-License-Identifier: Apache-2.0 */
/* What a chunk sees: Lua's library as far as it is trusted, and the host's functions.
 *
 *	a run's globals (empty) ─► the world's names ─► with untrusted_lua = on: all of Lua's
 *
 * Each table of the world is an empty one before the real: what is read comes from there,
 * what is written is refused, so that no chunk can change what the next one sees. */
#include "script/priv.h"

/* Their addresses are keys of the registry, and of tables that are being built. */
static const char worlds_key, read_key, write_key, call_key;

/* clang-format off */
static const char *const safe_names[] = {
	"_VERSION", "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber",
	"tostring", "type", "unpack", "xpcall",
	"coroutine.create", "coroutine.resume", "coroutine.running", "coroutine.status",
	"coroutine.wrap", "coroutine.yield",
	"math.abs", "math.acos", "math.asin", "math.atan", "math.atan2", "math.ceil", "math.cos",
	"math.cosh", "math.deg", "math.exp", "math.floor", "math.fmod", "math.frexp", "math.huge",
	"math.ldexp", "math.log", "math.log10", "math.max", "math.min", "math.modf", "math.pi",
	"math.pow", "math.rad", "math.random", "math.sin", "math.sinh", "math.sqrt", "math.tan",
	"math.tanh",
	"os.clock", "os.date", "os.difftime", "os.time",
	"string.byte", "string.char", "string.find", "string.format", "string.gmatch", "string.gsub",
	"string.len", "string.lower", "string.match", "string.rep", "string.reverse", "string.sub",
	"string.upper",
	"table.concat", "table.insert", "table.maxn", "table.remove", "table.sort",
};
static const char *const bare_names[] = { "type" };
/* clang-format on */

/* ---- tables that cannot be changed -------------------------------------------------------- */

static int refuse_write(lua_State *L)
{
	lua_pushvalue(L, 2);
	return luaL_error(L, "\"%s\" cannot be set", lua_tostring(L, -1));
}

/* Moves what the table at the top keeps under a private key into the metatable at `meta`. */
static void move_hook(lua_State *L, const char *key, int meta, const char *event)
{
	lua_pushlightuserdata(L, UNCONST(key));
	lua_rawget(L, -2);
	if (!lua_isnil(L, -1))
		lua_setfield(L, meta, event);
	else
		lua_pop(L, 1);
	lua_pushlightuserdata(L, UNCONST(key));
	lua_pushnil(L);
	lua_rawset(L, -3);
}

/* Takes the place of the table at the top: shows it, and has its hooks. */
static void show(lua_State *L)
{
	int table = lua_gettop(L), shown = table + 1, meta = table + 2;

	luaL_checkstack(L, 8, "tables of the host are nested too deeply");
	lua_newtable(L);
	lua_newtable(L);
	lua_pushvalue(L, table);
	lua_setfield(L, meta, "__index");
	lua_pushcfunction(L, refuse_write);
	lua_setfield(L, meta, "__newindex");
	lua_pushliteral(L, "protected");
	lua_setfield(L, meta, "__metatable");
	lua_pushvalue(L, table);
	move_hook(L, &write_key, meta, "__newindex");
	move_hook(L, &call_key, meta, "__call");
	lua_newtable(L); /* of the table itself: members that are no rows */
	lua_insert(L, -2);
	move_hook(L, &read_key, meta + 1, "__index");
	lua_insert(L, -2);
	lua_setmetatable(L, table);
	lua_settop(L, meta);
	lua_setmetatable(L, shown);
	lua_remove(L, table);
}

/* The same for all tables in the one at the top. */
static void show_members(lua_State *L)
{
	int table = lua_gettop(L);

	lua_pushnil(L);
	while (lua_next(L, table)) {
		if (lua_istable(L, -1)) {
			show_members(L);
			show(L);
			lua_pushvalue(L, -2);
			lua_insert(L, -2);
			lua_rawset(L, table);
		} else {
			lua_pop(L, 1);
		}
	}
}

/* ---- names with dots ------------------------------------------------------------------------ */

/* Pushes the table that holds the last piece of a name, made where there is none, and gives
 * that piece. */
static str enter(lua_State *L, int root, str name)
{
	str rest = name, piece;

	lua_pushvalue(L, root);
	while (str_next(&rest, '.', &piece) && rest.s) {
		lua_pushlstring(L, piece.s, piece.n);
		lua_rawget(L, -2);
		if (!lua_istable(L, -1)) {
			lua_pop(L, 1);
			lua_newtable(L);
			lua_pushlstring(L, piece.s, piece.n);
			lua_pushvalue(L, -2);
			lua_rawset(L, -4);
		}
		lua_remove(L, -2);
	}
	return piece;
}

/* What the name leads to from the globals of Lua itself, or nil. */
static void push_global(lua_State *L, str name)
{
	str rest = name, piece;

	lua_pushvalue(L, LUA_GLOBALSINDEX);
	while (str_next(&rest, '.', &piece)) {
		if (lua_istable(L, -1)) {
			lua_pushlstring(L, piece.s, piece.n);
			lua_rawget(L, -2);
		} else {
			lua_pushnil(L);
		}
		lua_remove(L, -2);
	}
}

static void set_name(lua_State *L, int root, str name) /* to what is at the top */
{
	str last = enter(L, root, name);

	lua_pushlstring(L, last.s, last.n);
	lua_pushvalue(L, -3);
	lua_rawset(L, -3);
	lua_pop(L, 2);
}

static void add_names(lua_State *L, int root, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		push_global(L, str_of(names[i]));
		set_name(L, root, str_of(names[i]));
	}
}

/* ---- the host's functions -------------------------------------------------------------------- */

static int results_of(lua_State *L, struct script_call *c)
{
	lua_settop(L, 0);
	for (size_t i = 0; i < c->n_results; i++)
		value_push(L, c->results[i], c->has_numbers);
	return (int)c->n_results;
}

static int raise(lua_State *L, str line)
{
	luaL_where(L, 1);
	lua_pushlstring(L, line.s, line.n);
	lua_concat(L, 2);
	return lua_error(L);
}

/* Calls one with what is on the stack from `first` on. */
static int call_host(lua_State *L, script_fn *fn, int first)
{
	struct run *run = script_running();
	int top = lua_gettop(L);
	size_t n = top < first ? 0 : (size_t)(top - first + 1);
	struct script_call c = { .a = run->a, .subject = run->subject, .n_args = n };
	const struct value **args = NEWS(run->a, const struct value *, n);
	struct err *e;

	for (size_t i = 0; i < n; i++)
		args[i] = value_pull(L, run->a, first + (int)i);
	c.args = args;
	e = fn(&c);
	if (e)
		return raise(L, err_line(run->a, e));
	return results_of(L, &c);
}

static const struct script_host *row(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

static int call_row(lua_State *L)
{
	return call_host(L, row(L)->call, 1);
}

/* Of a table, which comes first. */
static int call_table(lua_State *L)
{
	return call_host(L, row(L)->call, 2);
}

static int read_row(lua_State *L)
{
	return call_host(L, row(L)->read, 2);
}

static int write_row(lua_State *L)
{
	return call_host(L, row(L)->write, 2);
}

static void push_row(lua_State *L, const struct script_host *h, lua_CFunction fn)
{
	lua_pushlightuserdata(L, UNCONST(h));
	lua_pushcclosure(L, fn, 1);
}

/* Into the table of that name, under a private key. */
static void set_hook(lua_State *L, int root, const struct script_host *h, lua_CFunction fn,
		     const char *key)
{
	str within = str_fmt(script_running()->a, "%s.", h->name);

	(void)enter(L, root, within);
	lua_pushlightuserdata(L, UNCONST(key));
	push_row(L, h, fn);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

static bool is_table(lua_State *L, int root, str name)
{
	str last = enter(L, root, name);
	bool is;

	lua_pushlstring(L, last.s, last.n);
	lua_rawget(L, -2);
	is = lua_istable(L, -1);
	lua_pop(L, 2);
	return is;
}

static void add_host(lua_State *L, int root, const struct script_host *h)
{
	if (h->read) {
		set_hook(L, root, h, read_row, &read_key);
		if (h->write)
			set_hook(L, root, h, write_row, &write_key);
		return;
	}
	if (h->call && is_table(L, root, str_of(h->name))) {
		set_hook(L, root, h, call_table, &call_key);
		return;
	}
	if (h->call)
		push_row(L, h, call_row);
	else if (h->is_null)
		lua_pushlightuserdata(L, NULL);
	else if (h->text)
		lua_pushstring(L, h->text);
	else
		lua_pushnumber(L, h->number);
	set_name(L, root, str_of(h->name));
}

static void add_hosts(lua_State *L, int root, const struct script_host *rows)
{
	for (const struct script_host *h = rows; h->name; h++)
		add_host(L, root, h);
}

/* ---- modules ---------------------------------------------------------------------------------- */

/* require() of the sandbox: what was named, and nothing else. */
static int require_named(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	const strs *modules = lua_touserdata(L, lua_upvalueindex(1));

	for (size_t i = 0; i < modules->n; i++) {
		if (!str_is(modules->v[i], name))
			continue;
		lua_getglobal(L, "require");
		lua_pushvalue(L, 1);
		lua_call(L, 1, 1);
		return 1;
	}
	return luaL_error(L, "require '%s' not allowed within sandbox", name);
}

/* Those that come with the gateway are there before anybody asks for them. */
static void add_modules(lua_State *L)
{
	int loaded;

	lua_getglobal(L, "package");
	lua_getfield(L, -1, "loaded");
	loaded = lua_gettop(L);
	for (const struct script_module *m = script_modules; m->name; m++) {
		lua_newtable(L);
		add_hosts(L, lua_gettop(L), m->rows);
		show_members(L);
		show(L);
		lua_setfield(L, loaded, m->name);
	}
	lua_pop(L, 2);
}

/* ---- worlds ----------------------------------------------------------------------------------- */

/* Takes the place of the table at the top, which is not ours to hook. */
static void cover(lua_State *L)
{
	lua_newtable(L);
	lua_newtable(L);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, refuse_write);
	lua_setfield(L, -2, "__newindex");
	lua_setmetatable(L, -2);
	lua_remove(L, -2);
}

/* Names that the operator adds. */
static void add_globals(lua_State *L, int root, strs names)
{
	for (size_t i = 0; i < names.n; i++) {
		push_global(L, names.v[i]);
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			continue;
		}
		if (lua_istable(L, -1))
			cover(L);
		set_name(L, root, names.v[i]);
	}
}

/* The names of a world, into the table at `root`, which is at the top. */
static void fill(lua_State *L, int root, const struct script_world *w,
		 const struct script_policy *p)
{
	bool is_free = p->trust == SCRIPT_ON && !w->is_bare;

	if (w->is_bare)
		add_names(L, root, bare_names, COUNT(bare_names));
	else if (!is_free)
		add_names(L, root, safe_names, COUNT(safe_names));
	for (size_t i = 0; w->hosts[i]; i++)
		add_hosts(L, root, w->hosts[i]);
	show_members(L);
	if (is_free) {
		lua_newtable(L);
		lua_pushvalue(L, LUA_GLOBALSINDEX);
		lua_setfield(L, -2, "__index");
		lua_setmetatable(L, root);
	} else if (!w->is_bare) {
		add_globals(L, root, p->globals);
		lua_pushlightuserdata(L, UNCONST(&p->modules));
		lua_pushcclosure(L, require_named, 1);
		set_name(L, root, STR("require"));
	}
}

/* The metatable of a run's globals. */
static void push_globals(lua_State *L, const struct script_world *w, const struct script_policy *p)
{
	lua_newtable(L);
	lua_newtable(L);
	fill(L, lua_gettop(L), w, p);
	lua_setfield(L, -2, "__index");
	if (w->is_bare) {
		lua_pushcfunction(L, refuse_write);
		lua_setfield(L, -2, "__newindex");
	}
	lua_pushliteral(L, "protected");
	lua_setfield(L, -2, "__metatable");
}

static void make_world(lua_State *L, const struct script_world *w, const struct script_policy *p)
{
	lua_newtable(L);
	push_globals(L, w, p);
	lua_rawseti(L, -2, WORLD_GLOBALS);
	lua_newtable(L);
	lua_rawseti(L, -2, WORLD_CHUNKS);
}

void world_push(lua_State *L, const struct script_world *w, const struct script_policy *p)
{
	lua_pushlightuserdata(L, UNCONST(&worlds_key));
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (lua_isnil(L, -1)) { /* the first world of this state */
		lua_pop(L, 1);
		add_modules(L);
		lua_newtable(L);
		lua_pushlightuserdata(L, UNCONST(&worlds_key));
		lua_pushvalue(L, -2);
		lua_rawset(L, LUA_REGISTRYINDEX);
	}
	lua_pushlightuserdata(L, UNCONST(w));
	lua_rawget(L, -2);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		make_world(L, w, p);
		lua_pushlightuserdata(L, UNCONST(w));
		lua_pushvalue(L, -2);
		lua_rawset(L, -4);
	}
	lua_remove(L, -2);
}
