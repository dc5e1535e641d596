/* SPDX-License-Identifier: Apache-2.0 */
/* What Lua of the configuration may do, and what it may not. */
#include "script/script.h"

#include "base/json.h"
#include "base/limits.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena *a;

/* ---- a host --------------------------------------------------------------------------------- */

static const struct value *kept;

static struct err *join(struct script_call *c)
{
	str one, two;

	PASS(script_text(c, 0, &one));
	PASS(script_text(c, 1, &two));
	return script_return(c, value_str(c->a, str_cat(c->a, one, STR("+"), two)));
}

static struct err *twice(struct script_call *c)
{
	double d;

	PASS(script_number(c, 0, &d));
	script_return(c, value_real(c->a, 2 * d));
	return script_return(c, value_text(c->a, "and that"));
}

static struct err *same(struct script_call *c)
{
	return script_return(c, script_arg(c, 0));
}

static struct err *whose(struct script_call *c)
{
	return script_return(c, value_text(c->a, c->subject));
}

static struct err *read_member(struct script_call *c)
{
	str key;

	PASS(script_text(c, 0, &key));
	if (str_is(key, "none"))
		return script_return(c, NULL);
	return script_return(c, value_str(c->a, str_cat(c->a, STR("<"), key, STR(">"))));
}

static struct err *write_member(struct script_call *c)
{
	kept = script_arg(c, 1);
	return NULL;
}

static const struct script_host rows[] = {
	{ .name = "host.join", .call = join },
	{ .name = "host.twice", .call = twice },
	{ .name = "host.same", .call = same },
	{ .name = "host.deep.whose", .call = whose },
	{ .name = "host.deep.er.word", .text = "w" },
	{ .name = "host.seven", .number = 7 },
	{ .name = "host.null", .is_null = true },
	{ .name = "host.shown", .read = read_member },
	{ .name = "host.open", .read = read_member, .write = write_member },
	{ .name = "host.deep", .call = join },
	{ 0 },
};

static const struct script_host *const lists[] = { rows, NULL };
static const struct script_world world = { lists, false }, bare = { lists, true };

/* What the chunk returns, as JSON; "nil", or "! " and the error. */
static str says_of(const struct script_world *w, const char *chunk)
{
	const struct value *v;
	struct err *e = script_run(a, w, str_of(chunk), "me", &v);

	if (e)
		return str_cat(a, STR("! "), err_line(a, e));
	return v ? json_text(a, v, JSON_SORTED) : STR("nil");
}

static void assert_says(const char *chunk, const char *wanted)
{
	str said = says_of(&world, chunk);

	if (!str_is(said, wanted))
		fail_msg("%s\n  says   " STRF "\n  wanted %s", chunk, STRV(said), wanted);
}

static void assert_fails(const char *chunk, const char *why)
{
	str said = says_of(&world, chunk);

	if (!str_starts(said, STR("! ")) || str_find_str(said, str_of(why)) < 0)
		fail_msg("%s\n  says " STRF "\n  wanted an error with \"%s\"", chunk, STRV(said),
			 why);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void values_come_back_as_they_are(void **state)
{
	static const char *const cases[][2] = {
		{ "return 'a'", "\"a\"" },
		{ "return 1", "1" },
		{ "return 1.5", "1.5" },
		{ "return -0.25 * 4", "-1" },
		{ "return 2^53", "9007199254740992" },
		{ "return true", "true" },
		{ "return nil", "nil" },
		{ "", "nil" },
		{ "local x = 1", "nil" },
		{ "return 'a', 'b'", "\"a\"" },
		{ "return {}", "{}" },
		{ "return { 1, 'b', { c = false } }", "[1,\"b\",{\"c\":false}]" },
		{ "return { [1] = 'a', [3] = 'c' }", "{\"1\":\"a\",\"3\":\"c\"}" },
		{ "return { [1.5] = 1 }", "{\"1.5\":1}" },
		{ "return host.null", "null" },
		{ "return { a = host.null }", "{\"a\":null}" },
		{ "return host.same({ 1, { x = { 2, 3 } } })", "[1,{\"x\":[2,3]}]" },
		{ "return host.same()", "nil" },
		{ "return ('a\\0b'):len()", "3" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_says(cases[i][0], cases[i][1]);
}

static void what_is_no_value_is_an_error(void **state)
{
	(void)state;
	assert_fails("return print or type", "a function is no value");
	assert_fails("return { a = type }", "a function is no value");
	assert_fails("return coroutine.create(type)", "a thread is no value");
	assert_fails("return { [true] = 1 }", "a key of a table is a boolean");
	assert_fails("local t = {} t.t = t return t", "nested too deeply, or in itself");
	assert_fails("local t = {} for i = 1, 70 do t = { t } end return t", "nested too deeply");
}

static void the_host_is_called(void **state)
{
	(void)state;
	assert_says("return host.join('a', 'b')", "\"a+b\"");
	assert_says("return host.join(1, 2.5)", "\"1+2.5\"");
	assert_says("return host.deep.whose()", "\"me\"");
	assert_says("return host.deep.er.word .. host.seven", "\"w7\"");
	assert_says("return (host.twice('21'))", "42");
	assert_says("local n, words = host.twice(1) return words", "\"and that\"");
	assert_says("return host.deep('x', 'y')", "\"x+y\"");
	assert_says("return host.shown.this .. host.shown['that']", "\"<this><that>\"");
	assert_says("return host.shown.none == nil", "true");
	assert_says("return host.unknown == nil", "true");
	assert_fails("local x = host.join('a')", "lua:1: argument 2: expected a text, got nil");
	assert_fails("return host.join('a', {})", "argument 2: expected a text, got a table");
	assert_fails("return host.twice('x')", "argument 1: expected a number, got a text");
	assert_fails("return host.same(type)", "a function is no value");
	assert_says("local ok, e = pcall(host.join) return ok", "false");
}

static void members_are_written_where_the_host_takes_them(void **state)
{
	(void)state;
	kept = NULL;
	assert_says("host.open.x = { 'y' }", "nil");
	assert_true(kept && kept->kind == VALUE_ARRAY);
	assert_fails("host.shown.x = 1", "\"x\" cannot be set");
	assert_fails("host.x = 1", "\"x\" cannot be set");
	assert_fails("host.deep.whose = 1", "\"whose\" cannot be set");
}

static void a_run_leaves_nothing_behind(void **state)
{
	(void)state;
	assert_says("x = (x or 0) + 1 return x", "1");
	assert_says("x = (x or 0) + 1 return x", "1");
	assert_says("_G.y = 1 return y", "1");
	assert_says("return y", "nil");
	assert_fails("string.upper = nil", "\"upper\" cannot be set");
	assert_fails("table.x = 1", "\"x\" cannot be set");
	assert_says("string = nil", "nil");
	assert_says("return string.upper('a')", "\"A\"");
	assert_says("type = nil", "nil");
	assert_says("return type(1)", "\"number\"");
}

static void what_could_do_harm_is_not_there(void **state)
{
	static const char *const names[] = {
		"io",           "os.execute",
		"os.exit",      "os.getenv",
		"os.remove",    "debug",
		"ffi",          "jit",
		"package",      "load",
		"loadstring",   "loadfile",
		"dofile",       "getfenv",
		"setfenv",      "getmetatable",
		"setmetatable", "rawset",
		"rawget",       "collectgarbage",
		"string.dump",  "math.randomseed",
		"coroutine.x",  "newproxy",
		"print",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		assert_says(str_z(a, str_fmt(a, "return %s == nil", names[i])), "true");
	assert_fails("require 'io'", "require 'io' not allowed within sandbox");
	assert_fails("require 'cjson'", "not allowed");
	assert_fails("\x1bLJ", "wrong mode");
}

static void what_takes_too_long_ends(void **state)
{
	(void)state;
	assert_fails("while true do end", "more than 1000000 instructions");
	assert_fails("while true do pcall(function() while true do end end) end", "instructions");
	assert_fails("local f = coroutine.wrap(function() while true do end end) f()",
		     "instructions");
	assert_fails("local function f() return f() end f()", "instructions");
	assert_fails("table.sort({ 1, 2, 3 }, function() while true do end end)", "instructions");
	assert_fails("local function f() f() f() end f()", "stack overflow");
	assert_says("local n = 0 for i = 1, 300000 do n = n + 1 end return n", "300000");
}

static void patterns_are_lua_s(void **state)
{
	static const char *const cases[][2] = {
		{ "return { ('hello world'):find('o w') }", "[5,7]" },
		{ "return { ('hello'):find('(l)(l)') }", "[3,4,\"l\",\"l\"]" },
		{ "return { ('hello'):find('l', -2) }", "[4,4]" },
		{ "return { ('hello'):find('', 10) }", "{}" },
		{ "return { ('hello'):find('') }", "[1,0]" },
		{ "return { ('hello'):find('', 6) }", "[6,5]" },
		{ "return { ('a.b'):find('.', 2, true) }", "[2,2]" },
		{ "return { ('a.b'):find('^%.', 2) }", "[2,2]" },
		{ "return { ('k = v'):match('(%w+)%s*=%s*(%w+)') }", "[\"k\",\"v\"]" },
		{ "return ('k=v'):match('=()')", "3" },
		{ "return ('abc'):match('b', 3)", "nil" },
		{ "local t = {} for w in ('one two'):gmatch('%a+') do t[#t + 1] = w end return t",
		  "[\"one\",\"two\"]" },
		{ "local t = {} for k, v in ('a=1,b=2'):gmatch('(%w)=(%w)') do t[k] = v end return "
		  "t",
		  "{\"a\":\"1\",\"b\":\"2\"}" },
		{ "local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return n", "4" },
		{ "local n = 0 for _ in ('^a^a'):gmatch('^a') do n = n + 1 end return n", "2" },
		{ "return { ('hello'):gsub('l', 'L') }", "[\"heLLo\",2]" },
		{ "return { ('hello'):gsub('l', 'L', 1) }", "[\"heLlo\",1]" },
		{ "return (('hello'):gsub('(h)(e)', '%2%1%0%%'))", "\"ehhe%llo\"" },
		{ "return (('abc'):gsub('%w', '%1%1'))", "\"aabbcc\"" },
		{ "return (('abc'):gsub('', '-'))", "\"-a-b-c-\"" },
		{ "return (('aaa'):gsub('^a', 'b'))", "\"baa\"" },
		{ "return (('a b'):gsub('%w', { a = 'x' }))", "\"x b\"" },
		{ "return (('a b'):gsub('%w', function(c) return c:upper() .. '.' end))",
		  "\"A. B.\"" },
		{ "return (('a b'):gsub('%w', function() end))", "\"a b\"" },
		{ "return (('x'):gsub('x', 5))", "\"5\"" },
		{ "return string.format('%s-%d', 'a', 3)", "\"a-3\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_says(cases[i][0], cases[i][1]);
	assert_fails("return ('x'):find('(')", "malformed pattern");
	assert_fails("return ('x'):gsub('x', '%2')", "invalid capture index");
	assert_fails("return ('x'):gsub('x', function() return {} end)",
		     "invalid replacement value");
	assert_fails("return ('x'):gsub('x')", "string/function/table expected");
	assert_fails("return ('a'):rep(5000):find(('a*'):rep(20) .. 'b')", "too many steps");
	assert_fails("local s = ('a'):rep(8000) return s:gsub('.-b', '')", "too many steps");
	assert_fails("for _ in ('a'):rep(90000):gmatch('a-b') do end", "too many steps");
}

static void what_takes_too_much_memory_ends(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_fails("return ('x'):rep(1e9)", "not enough memory");
		assert_fails("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
			     "not enough memory");
		assert_says("return #('x'):rep(1000000)", "1000000");
	}
}

static void mistakes_are_told_with_their_line(void **state)
{
	struct err *e = script_check(STR("return (1"));

	(void)state;
	assert_non_null(e);
	assert_non_null(strstr(e->text, "lua:1: ')' expected"));
	assert_null(script_check(STR("return kong.x.y.z")));
	assert_non_null(script_check(STR("\x1bLJ\x02")));
	assert_fails("\n\nreturn nothing.at.all", "lua:3: attempt to index global 'nothing'");
	assert_fails("error('mine')", "lua:1: mine");
	assert_fails("error({})", "the error is a table");
	assert_fails("error()", "nil");
}

static void a_bare_world_has_nothing_but_the_host(void **state)
{
	(void)state;
	assert_true(str_is(says_of(&bare, "return type(host.seven)"), "\"number\""));
	assert_true(str_is(says_of(&bare, "return ('ab'):upper()"), "\"AB\""));
	assert_true(str_is(says_of(&bare, "return tostring == nil and _G == nil and string == nil"),
			   "true"));
	assert_true(str_find_str(says_of(&bare, "x = 1"), STR("\"x\" cannot be set")) > 0);
}

static void many_chunks_are_forgotten_again(void **state)
{
	(void)state;
	for (int i = 0; i < LIMIT_SCRIPT_CHUNKS + 100; i++)
		assert_says(str_z(a, str_fmt(a, "return %d", i)), str_z(a, str_fmt(a, "%d", i)));
	assert_says("return 1", "1");
}

/* The size of a fiber's, so that one cannot be run over. */
static void *nest(void *unused)
{
	static const char *const pieces[][3] = {
		{ "return ", "(", ")" },
		{ "return ", "{", "}" },
		{ "return ", "-", "" },
		{ "", "if 1 then ", " end" },
		{ "return ", "function() return ", " end" },
		{ "return ''", "..''", "" },
		{ "return ", "not ", "" },
	};

	for (size_t i = 0; i < COUNT(pieces); i++) {
		str s = STR("");

		for (int n = 0; n < 5000; n++)
			s = str_cat(a, s, str_of(pieces[i][1]));
		s = str_cat(a, str_of(pieces[i][0]), s);
		for (int n = 0; n < 5000; n++)
			s = str_cat(a, s, str_of(pieces[i][2]));
		(void)!script_check(s);
	}
	(void)says_of(&world, "return ('a'):rep(500):find(('a?'):rep(500) .. ('a'):rep(500))");
	(void)says_of(&world, "local t = {} for i = 1, 60 do t = { t } end return host.same(t)");
	err_forget();
	return unused;
}

static void no_chunk_overruns_a_stack(void **state)
{
	pthread_attr_t attr;
	pthread_t thread;

	(void)state;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, (size_t)240 << 10);
	assert_int_equal(pthread_create(&thread, &attr, nest, NULL), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
}

/* ---- policies ---------------------------------------------------------------------------------- */

static void the_operator_may_add_modules_and_names(void **state)
{
	static str modules[] = { STR_INIT("cjson"), STR_INIT("cjson.safe") };
	static str names[] = { STR_INIT("os.getenv"), STR_INIT("debug"), STR_INIT("no.such") };
	static const struct script_policy p = { SCRIPT_SANDBOX, { modules, 2 }, { names, 3 } };

	(void)state;
	script_start(&p);
	assert_says("return require('cjson').encode({ a = { 1 } })", "\"{\\\"a\\\":[1]}\"");
	assert_says("return require('cjson').decode('[1,{\"b\":null}]')", "[1,{\"b\":null}]");
	assert_fails("return require('cjson').decode('[')", "line 1, column 1: ");
	assert_says("return (require('cjson.safe').decode('['))", "nil");
	assert_says("local v, e = require('cjson.safe').decode('[') return type(e)", "\"string\"");
	assert_fails("require('cjson').encode = 1", "cannot be set");
	assert_fails("require('io')", "not allowed");
	assert_says("return type(os.getenv('PATH'))", "\"string\"");
	assert_says("return type(debug.traceback)", "\"function\"");
	assert_fails("debug.traceback = 1", "cannot be set");
	assert_says("return type(debug.traceback)", "\"function\"");
	assert_says("return os.execute", "nil");
}

static void trusted_lua_has_everything(void **state)
{
	static const struct script_policy p = { .trust = SCRIPT_ON };

	(void)state;
	script_start(&p);
	assert_says("return io.open('/dev/null') ~= nil", "true");
	assert_says("return require('cjson').encode({ 1 })", "\"[1]\"");
	assert_says("return host.join(getmetatable('').__index == string and 'a', 'b')", "\"a+b\"");
	assert_says("x = 1 return x", "1");
	assert_says("return x", "nil");
	assert_says("return type(string.dump)", "\"function\"");
}

static void lua_that_is_off_does_not_run(void **state)
{
	static const struct script_policy p = { .trust = SCRIPT_OFF };

	(void)state;
	script_start(&p);
	assert_fails("return 1", "untrusted_lua is off");
	assert_null(script_check(STR("return 1")));
}

static int begin(void **state)
{
	static const struct script_policy p = { .trust = SCRIPT_SANDBOX };

	(void)state;
	script_start(&p);
	a = arena_new();
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_drop(&a);
	err_forget();
	return 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(values_come_back_as_they_are),
		T(what_is_no_value_is_an_error),
		T(the_host_is_called),
		T(members_are_written_where_the_host_takes_them),
		T(a_run_leaves_nothing_behind),
		T(what_could_do_harm_is_not_there),
		T(what_takes_too_long_ends),
		T(patterns_are_lua_s),
		T(what_takes_too_much_memory_ends),
		T(mistakes_are_told_with_their_line),
		T(a_bare_world_has_nothing_but_the_host),
		T(many_chunks_are_forgotten_again),
		T(no_chunk_overruns_a_stack),
		T(the_operator_may_add_modules_and_names),
		T(trusted_lua_has_everything),
		T(lua_that_is_off_does_not_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
