/* SPDX-License-Identifier: Apache-2.0 */
#include "script/script.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "script/priv.h"
#include <luajit.h>
#include <math.h>
#include <pthread.h>

/* The thread's own; the key ends it with the thread. */
static _Thread_local struct {
	lua_State *state;
	size_t bytes;
	struct run *running;
} here;
static pthread_key_t ending;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct script_policy sandbox = { .trust = SCRIPT_SANDBOX };
static const struct script_policy *policy = &sandbox;

struct run *script_running(void)
{
	return here.running;
}

static void close_state(void *unused)
{
	(void)unused;
	if (here.state)
		lua_close(TAKE(here.state));
}

static void make_key(void)
{
	if (pthread_key_create(&ending, close_state))
		die("no key for threads that run Lua");
}

void script_start(const struct script_policy *p)
{
	close_state(NULL);
	policy = p;
}

/* ---- a state and its ceilings -------------------------------------------------------------- */

static void *take_memory(void *unused, void *p, size_t had, size_t n)
{
	size_t without = here.bytes - (p ? had : 0);

	(void)unused;
	if (n > had && without + n > LIMIT_SCRIPT_BYTES)
		return NULL;
	here.bytes = without + n;
	if (n)
		return mem_resize(p, n);
	mem_free(p);
	return NULL;
}

/* From here on each instruction raises it again, so that no pcall() holds it back. */
static void stop_run(lua_State *L, lua_Debug *unused)
{
	(void)unused;
	lua_sethook(L, stop_run, LUA_MASKCOUNT, 1);
	luaL_error(L, "more than %d instructions", LIMIT_SCRIPT_STEPS);
}

static void set_path(lua_State *L, const char *name, str path)
{
	if (!path.n)
		return;
	lua_getglobal(L, "package");
	lua_pushlstring(L, path.s, path.n);
	lua_setfield(L, -2, name);
	lua_pop(L, 1);
}

static int open_state(lua_State *L)
{
	luaL_openlibs(L);
	patterns_open(L);
	set_path(L, "path", policy->path);
	set_path(L, "cpath", policy->cpath);
	luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
	return 0;
}

static lua_State *state(void)
{
	if (!here.state) {
		here.state = lua_newstate(take_memory, NULL);
		if (!here.state || lua_cpcall(here.state, open_state, NULL))
			die("cannot start Lua");
		pthread_once(&once, make_key);
		pthread_setspecific(ending, here.state);
	}
	return here.state;
}

/* ---- arguments of host functions ------------------------------------------------------------ */

const struct value *script_arg(const struct script_call *c, size_t n)
{
	return n < c->n_args ? c->args[n] : NULL;
}

static struct err *wrong_argument(const struct script_call *c, size_t n, const char *wanted)
{
	static const char *const kinds[] = { "null",   "a boolean", "a number", "a number",
					     "a text", "a table",   "a table" };
	const struct value *v = script_arg(c, n);

	return FAIL(ERR_INVALID, "argument %zu: expected %s, got %s", n + 1, wanted,
		    v ? kinds[v->kind] : "nil");
}

struct err *script_text(const struct script_call *c, size_t n, str *ret)
{
	const struct value *v = script_arg(c, n);

	if (v && v->kind == VALUE_STRING)
		*ret = v->s.s ? v->s : STR("");
	else if (v && (v->kind == VALUE_INT || v->kind == VALUE_REAL))
		*ret = str_fmt(c->a, "%.14g", value_num(v));
	else
		return wrong_argument(c, n, "a text");
	return NULL;
}

struct err *script_number(const struct script_call *c, size_t n, double *ret)
{
	const struct value *v = script_arg(c, n);

	*ret = value_num(v);
	if (v && v->kind == VALUE_STRING && str_to_num(v->s, ret))
		return NULL;
	return isnan(*ret) ? wrong_argument(c, n, "a number") : NULL;
}

struct err *script_return(struct script_call *c, const struct value *v)
{
	if (c->n_results < SCRIPT_RESULTS)
		c->results[c->n_results++] = v;
	return NULL;
}

/* ---- running --------------------------------------------------------------------------------- */

struct job {
	struct run run;
	const struct script_world *world; /* NULL: compile, and no more */
	str chunk;
	const struct value *result;
};

static void compile(lua_State *L, str chunk)
{
	if (luaL_loadbufferx(L, chunk.n ? chunk.s : "", chunk.n, "=lua", "t"))
		lua_error(L);
}

/* Pushes the chunk of a world, which is at the top. */
static void push_chunk(lua_State *L, str chunk)
{
	int world = lua_gettop(L);

	lua_rawgeti(L, world, WORLD_CHUNKS);
	lua_pushlstring(L, chunk.n ? chunk.s : "", chunk.n);
	lua_rawget(L, -2);
	if (!lua_isnil(L, -1))
		return;
	lua_rawgeti(L, world, WORLD_COUNT);
	if (lua_tointeger(L, -1) >= LIMIT_SCRIPT_CHUNKS) { /* begins anew */
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawseti(L, world, WORLD_CHUNKS);
		lua_replace(L, world + 1);
		lua_pushinteger(L, 0);
		lua_replace(L, -2);
	}
	lua_pushinteger(L, lua_tointeger(L, -1) + 1);
	lua_rawseti(L, world, WORLD_COUNT);
	lua_settop(L, world + 1);
	compile(L, chunk);
	lua_pushlstring(L, chunk.n ? chunk.s : "", chunk.n);
	lua_pushvalue(L, -2);
	lua_rawset(L, world + 1);
}

/* Pushes a run's globals, of a world. */
static void push_globals(lua_State *L, const struct script_world *w, int world)
{
	lua_newtable(L);
	if (!w->is_bare) {
		lua_pushvalue(L, -1);
		lua_setfield(L, -2, "_G");
	}
	lua_rawgeti(L, world, WORLD_GLOBALS);
	lua_setmetatable(L, -2);
}

static int run_job(lua_State *L)
{
	struct job *j = lua_touserdata(L, 1);

	if (!j->world) {
		compile(L, j->chunk);
		return 0;
	}
	world_push(L, j->world, policy);
	push_chunk(L, j->chunk);
	push_globals(L, j->world, 2);
	lua_setfenv(L, -2);
	lua_sethook(L, stop_run, LUA_MASKCOUNT, LIMIT_SCRIPT_STEPS);
	lua_call(L, 0, 1);
	j->result = value_pull(L, j->run.a, -1);
	return 0;
}

/* Lua's words for what went wrong, which are at the top. */
static struct err *failure(lua_State *L)
{
	size_t n = 0;
	const char *s = lua_tolstring(L, -1, &n);

	return s ? FAIL(ERR_INVALID, "%.*s", (int)n, s)
		 : FAIL(ERR_INVALID, "lua: the error is a %s", luaL_typename(L, -1));
}

static struct err *protect(struct job *j)
{
	lua_State *L = state();
	struct run *outer = here.running;
	struct err *e = NULL;
	int code;

	here.running = &j->run;
	code = lua_cpcall(L, run_job, j);
	here.running = outer;
	lua_sethook(L, NULL, 0, 0);
	if (code) {
		e = failure(L);
		lua_pop(L, 1);
		if (code == LUA_ERRMEM)
			lua_gc(L, LUA_GCCOLLECT, 0);
	}
	return e;
}

struct err *script_check(str chunk)
{
	struct job j = { .chunk = chunk };

	return protect(&j);
}

struct err *script_run(struct arena *a, const struct script_world *w, str chunk, void *subject,
		       const struct value **ret)
{
	struct job j = { { a, subject, LIMIT_SCRIPT_STEPS }, w, chunk, NULL };

	*ret = NULL;
	if (policy->trust == SCRIPT_OFF && !w->is_bare)
		return err_hint(FAIL(ERR_REFUSED, "untrusted_lua is off: no Lua is run"),
				"Set untrusted_lua = sandbox.");
	PASS(protect(&j));
	*ret = j.result;
	return NULL;
}
