/* SPDX-License-Identifier: Apache-2.0 */
/* request-transformer: templates, and what becomes of path, method, headers, query and body. */
#include "plugins/request-transformer/template.h"
#include "plugins/testing.h"

extern const struct plugin plugin_request_transformer;

#define JSON(...) #__VA_ARGS__

/* ---- templates ---------------------------------------------------------------------------- */

static const struct value *example(void *arg, enum template_global which)
{
	static const char *const texts[TEMPLATE_GLOBALS] = {
		[TEMPLATE_HEADERS] = JSON({
			"host" : "a.test",
			"x-one" : "Basic abc",
			"x-many" : [ "1", "2" ],
			"n" : "7"
		}),
		[TEMPLATE_QUERY_PARAMS] =
			JSON({ "q" : "v", "Q" : "V", "flag" : true, "list" : [ "a", "b" ] }),
		[TEMPLATE_URI_CAPTURES] =
			JSON({ "0" : "/u/jo/7", "1" : "jo", "2" : "7", "user" : "jo" }),
		[TEMPLATE_SHARED] = JSON({
			"s" : "text",
			"n" : 1.5,
			"f" : false,
			"o" : { "k" : [ 10, 20 ] },
			"z" : null
		}),
	};

	(void)arg;
	return test_json(texts[which]);
}

#define FUNCTION(body) "$((function() " body " end)())"

/* clang-format off */
static const struct {
	const char *text, *want; /* an error when it begins with '!' */
} templates[] = {
	{ "plain", "plain" },
	{ "$ $x $$ (a) $(", "$ $x $$ (a) $(" },
	{ "#no line", "#no line" },
	{ "a$('b')c$('d')", "abcd" },
	{ "$(headers.host)", "a.test" },
	{ "$(headers.HOST)", "a.test" },
	{ "$(headers['X-One'])", "Basic abc" },
	{ "$(headers.x_one)", "Basic abc" },
	{ "$(headers.none)", "" },
	{ "$(headers.x_many)", "1, 2" },
	{ "$(headers.x_many[2])", "2" },
	{ "$(headers.x_many[3])", "" },
	{ "$(headers.host[1])", "" },
	{ "$(type(headers[\"x-many\"]) == \"table\" and headers[\"x-many\"][1] .. \"-first\" or headers[\"x-many\"])", "1-first" },
	{ "$(type(nil))$(type(1))$(type(''))$(type(true))$(type(headers))$(type(type))", "nilnumberstringbooleantablefunction" },
	{ "$(query_params.q)", "v" },
	{ "$(query_params.Q)", "V" },
	{ "$(query_params.flag)", "true" },
	{ "$(query_params['none'] or query_params[\"q\"] or 'unknown')", "v" },
	{ "$(query_params.none or 'unknown')", "unknown" },
	{ "$(uri_captures.user)", "jo" },
	{ "$(uri_captures[1])$(uri_captures[0])", "jo/u/jo/7" },
	{ "$(uri_captures['1'])", "" },
	{ "$(10 * uri_captures[2])", "70" },
	{ "!$(10 * uri_captures.user)", "attempt to perform arithmetic on field 'user' (a string value)" },
	{ "$(shared.s)$(shared.n)$(shared.f)$(shared.z)", "text1.5" },
	{ "$(shared.o.k[1] + shared.o.k[2])", "30" },
	{ "!$(shared.none.k)", "attempt to index field 'none' (a nil value)" },
	{ "$('$(uri_captures.user)')", "$(uri_captures.user)" },
	{ "$(none)", "" },
	{ "!$(none())", "attempt to call global 'none' (a nil value)" },
	{ "!$(none.x)", "attempt to index global 'none' (a nil value)" },
	{ "!$(shared.s())", "attempt to call field 's' (a string value)" },
	{ "!$(type())", "(value expected)" },
	{ "$(nil)$(false)$(true)", "true" },
	{ "$(1 == 1)$(1 == '1')$(nil == false)", "true" },
	{ "$(not nil and not false)", "true" },
	{ "$(1 < 2 and 2 <= 2 and 3 > 2 and 3 >= 3 and 'a' < 'b' and 'a' <= 'aa' and 1 ~= 2)", "true" },
	{ "!$(1 < 'a')", "attempt to compare number with string" },
	{ "!$({} < 1)", "attempt to compare table with number" },
	{ "!$(nil < nil)", "attempt to compare two nil values" },
	{ "$(1 + 2 * 3 ^ 2 ^ 0 - -4 % 3)", "5" },
	{ "$(2 ^ -1)$(-2 ^ 2)$(7 / 2)$(1e3)$(0xff)$(1 / 3)", "0.5-43.510002550.33333333333333" },
	{ "$(-7 % 3)$(5 % -3)", "2-1" },
	{ "$('1' + 1)$(' 2 ' * 2)$('0x10' + 0)", "2416" },
	{ "$(1 .. 2 .. '3')", "123" },
	{ "!$('a' .. nil)", "attempt to concatenate a nil value" },
	{ "!$('a' .. headers)", "attempt to concatenate global 'headers' (a table value)" },
	{ "$(#'abc' + #headers.x_many)", "5" },
	{ "!$(#nil)", "attempt to get length of a nil value" },
	{ "$(nil or false or 'x' and 'y')", "y" },
	{ "$('a\\n\\65\\x42\\'\\\\')", "a\nAB'\\" },
	{ "$([[long]])$([=[a]]b]=])", "longa]]b" },
	{ "$([[\nfirst]])", "first" },
	{ "$(1 --[[no]] + 1)", "2" },
	{ "$(headers.x_one:sub(1, 5))", "Basic" },
	{ "$(headers.x_one:sub(-3))$(headers.x_one:sub(2, -8))$(headers.x_one:sub(5, 2))", "abca" },
	{ "$(headers.x_one:upper())$(headers.x_one:lower():len())", "BASIC ABC9" },
	{ "$(('abc'):reverse():rep(2))", "cbacba" },
	{ "$(('abc'):byte())$(('abc'):byte(-1))$(('abc'):byte(9))", "9799" },
	{ "$(headers.x_one:match('^%w+ (.*)$'))", "abc" },
	{ "$(headers.x_one:match('%d'))", "" },
	{ "$(headers.x_one:find('abc'))$(headers.x_one:find('^a'))", "7" },
	{ "$(headers.x_one:find('.', 1, true))$(headers.x_one:find('[a-c]+', 3))", "5" },
	{ "!$(headers.x_one:match('%'))", "malformed pattern" },
	{ "$(headers.x_one:match('('))", "$(headers.x_one:match('('))" }, /* Lua's %b() sees no strings */
	{ "!$(headers.x_one:none())", "attempt to call method 'none' (a nil value)" },
	{ "!$(headers:sub(1))", "attempt to call method 'sub' (a nil value)" },
	{ "!$(headers.none:sub(1))", "attempt to index field 'none' (a nil value)" },
	{ "!$(('x'):rep(1e9))", "not enough memory" },
	{ "!$(('x'):rep())", "number expected, got no value" },
	{ "!$(('x'):sub('y'))", "number expected, got string" },
	{ "!$(('x'):match(nil))", "string expected, got nil" },
	{ "$(headers.x_one:gsub('a', 'b'))", "Bbsic bbc" },
	{ "$(('%s-%03d'):format(headers.host, 7))", "a.test-007" },
	{ FUNCTION("return 1"), "1" },
	{ FUNCTION("return 1, 2;"), "1" },
	{ FUNCTION(""), "" },
	{ FUNCTION("local value = headers['X-One'] if not value then return end"
	           " if value:sub(1, 6) == \"Basic \" then return value end"
	           " return \"Basic \" .. value"), "Basic abc" },
	{ FUNCTION("local v = headers.n; if v == '6' then return 'six' elseif v == '7' then return 'seven' else return 'more' end"), "seven" },
	{ FUNCTION("local v = 1 do local v = 2 v = v + 1 end v = v + 10 return v"), "11" },
	{ FUNCTION("local v if true then v = 'in' end return v"), "in" },
	{ FUNCTION("local x = 1 return (function() local x = x + 1 return x end)() + x"), "3" },
	{ FUNCTION("local a = 'ab' a = a .. a a = a .. a return a -- and no more\n"), "abababab" },
	{ FUNCTION("local s = '' for i = 1, 3 do s = s .. i end return s"), "123" },
	{ FUNCTION("local t = '' for w in headers.x_one:gmatch('%a+') do t = t .. w:sub(1, 1) end return t"), "Ba" },
	{ "!" FUNCTION("while true do end"), "more than 1000000 instructions" },
	{ "!" FUNCTION("shared.x = 1"), "\"x\" cannot be set" },
	{ "!" FUNCTION("x = 1"), "\"x\" cannot be set" },
	{ "!" FUNCTION("return ..."), "cannot use '...' outside a vararg function" },
	{ "$((function(x) return x end)(1))", "1" },
	{ "$(type(function() end))", "function" },
	{ "!$(function() end)", "a function is no value" },
	{ "!$(os.exit())", "attempt to index global 'os' (a nil value)" },
	{ "$(shared.z or 'nothing')", "nothing" },
	{ "!$()", "unexpected symbol near ')'" },
	{ "!$(uri_captures user2)", "')' expected near 'user2'" },
	{ "!$(shared.written = true)", "')' expected near '='" },
	{ "!$(1 +)", "unexpected symbol near ')'" },
	{ "!$('a)", "unfinished string" },
	{ "!$([[a)", "unfinished long string" },
	{ "!$('\\q')", "invalid escape sequence" },
	{ "!$(1x)", "malformed number near '1x'" },
	{ "!$(a.)", "'<name>' expected near ')'" },
	{ "!$(a[1)", "']' expected near ')'" },
	{ "!$('x':sub(1))", "')' expected near ':'" },
	{ "!$(if)", "unexpected symbol near 'if'" },
	{ "!$(@)", "unexpected symbol near '@'" },
};
/* clang-format on */

static str rendered(str text, bool *ret_failed)
{
	struct template_scope scope = { .a = test.a, .global = example };
	str got;
	const struct template *t = template_compile(test.a, text, &got);

	*ret_failed = !t || !template_render(t, &scope, &got);
	return got;
}

static void templates_mean_what_they_mean_in_lua(void **state)
{
	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(templates); i++) {
		bool wants_error = templates[i].text[0] == '!', has_failed;
		str text = str_from(str_of(templates[i].text), wants_error);
		str got = rendered(text, &has_failed), want = str_of(templates[i].want);

		if (has_failed != wants_error ||
		    (wants_error ? str_find_str(got, want) < 0 : !str_eq(got, want)))
			fail_msg("%s: " STRF, templates[i].text, STRV(got));
	}
}

static void templates_have_ceilings(void **state)
{
	str text = STR(""), doubled = STR("$((function() local a = 'aaaaaaaa' ");
	bool has_failed;

	(void)state;
	test_begin();
	for (int k = 0; k < 2000; k++)
		text = str_cat(test.a, text, STR("12345678"));
	assert_true(str_is(rendered(text, &has_failed), "longer than 8192 bytes"));
	for (int k = 0; k < 40; k++)
		doubled = str_cat(test.a, doubled, STR("a = a .. a "));
	doubled = str_cat(test.a, doubled, STR("return a end)())"));
	assert_true(str_is(rendered(doubled, &has_failed), "not enough memory"));
}

/* ---- requests -------------------------------------------------------------------------------- */

/* clang-format off */
#define ADD(kind, ...) "{\"add\":{\"" kind "\":[" __VA_ARGS__ "]}}"

static const struct {
	const char *conf, *name, *want; /* all values of a header: "1|2" */
} fields[] = {
	{ "{}", "X-A", "1|2" },
	{ JSON({"remove":{"headers":["x-a"]}}), "X-A", "" },
	{ JSON({"remove":{"headers":["x-a:$(1"]}}), "X-A", "" },
	{ JSON({"rename":{"headers":["x-a:x-c"]}}), "X-A", "" },
	{ JSON({"rename":{"headers":["x-a:x-c"]}}), "X-C", "1|2" },
	{ JSON({"rename":{"headers":["x-a:X-B"]}}), "X-B", "1|2" },
	{ JSON({"rename":{"headers":["x-z:x-b"]}}), "X-B", "3" },
	{ JSON({"rename":{"headers":["x-b:X-B"]}}), "X-B", "3" },
	{ JSON({"replace":{"headers":["x-a:9"]}}), "X-A", "9" },
	{ JSON({"replace":{"headers":["x-z:9"]}}), "X-Z", "" },
	{ JSON({"replace":{"headers":["x-a:"]}}), "X-A", "1|2" },
	{ JSON({"replace":{"headers":["x-a:http://b:1"]}}), "X-A", "http://b:1" },
	{ JSON({"add":{"headers":["x-a:9"]}}), "X-A", "1|2" },
	{ JSON({"add":{"headers":["x-z:8","x-z:9"]}}), "X-Z", "8" },
	{ JSON({"append":{"headers":["x-a:9"]}}), "X-A", "1|2|9" },
	{ JSON({"append":{"headers":["x-z:8","x-z:9"]}}), "X-Z", "8|9" },
	{ JSON({"append":{"headers":["h:v1","h:v2"]}}), "H", "v1|v2" },
	/* each step sees what the ones before it have done */
	{ JSON({"remove":{"headers":["x-b"]},"add":{"headers":["x-b:9"]}}), "X-B", "9" },
	{ JSON({"remove":{"headers":["x-b"]},"replace":{"headers":["x-b:9"]}}), "X-B", "" },
	{ JSON({"rename":{"headers":["x-b:x-d"]},"replace":{"headers":["x-d:9"]}}), "X-D", "9" },
	{ JSON({"add":{"headers":["x-d:1"]},"append":{"headers":["x-d:2"]}}), "X-D", "1|2" },
	/* templates see what came */
	{ JSON({"remove":{"headers":["x-b"]},"add":{"headers":["x-d:$(headers['x-b'])"]}}), "X-D", "3" },
	{ JSON({"replace":{"headers":["x-b:new"]},"add":{"headers":["x-d:$(headers.x_b)"]}}), "X-D", "3" },
	{ JSON({"add":{"headers":["x-d:$(query_params.q)/$(query_params.none or 'x')"]}}), "X-D", "1, 2/x" },
	{ JSON({"add":{"headers":["x-d:$(query_params.crlf)"]}}), "X-D", "a%0D%0AX-E: b" },
	{ JSON({"add":{"headers":["x-d:$(query_params.crlf)"]}}), "X-E", "" },
};

static const struct {
	const char *conf, *want;
} queries[] = {
	{ "{}", "q=1&q=2&flag&crlf=a%0d%0aX-E:+b" },
	{ JSON({"remove":{"querystring":["none"]}}), "q=1&q=2&flag&crlf=a%0d%0aX-E:+b" },
	{ JSON({"remove":{"querystring":["q","crlf"]}}), "flag" },
	{ JSON({"remove":{"querystring":["q","crlf","flag"]}}), "" },
	{ JSON({"remove":{"querystring":["crlf"]},"rename":{"querystring":["q:r","z:flag"]}}), "r=1&r=2&flag" },
	{ JSON({"remove":{"querystring":["crlf"]},"rename":{"querystring":["q:flag"]}}), "flag=1&flag=2" },
	{ JSON({"remove":{"querystring":["crlf"]},"rename":{"querystring":["q:$(headers.x_b)"]}}), "3=1&3=2&flag" },
	{ JSON({"remove":{"querystring":["crlf"]},"replace":{"querystring":["q:9","z:9","flag:f"]}}), "q=9&flag=f" },
	{ JSON({"remove":{"querystring":["crlf"]},"add":{"querystring":["q:9","z:a b&"]}}), "q=1&q=2&flag&z=a%20b%26" },
	{ JSON({"remove":{"querystring":["crlf"]},"append":{"querystring":["q:9","z:1","z:2","flag:3"]}}), "q=1&q=2&flag=3&q=9&z=1&z=2" },
	{ JSON({"remove":{"querystring":["q","crlf"]},"add":{"querystring":["q1:$(query_params.q[2])"]}}), "flag&q1=2" },
	{ JSON({"remove":{"querystring":["q","crlf","flag"]},"add":{"querystring":["a[b][1]:1"]}}), "a%5Bb%5D%5B1%5D=1" },
};

static const struct {
	const char *type, *conf, *body, *want;
} bodies[] = {
	{ "application/json", JSON({"remove":{"body":["a","z"]}}), JSON({"a":1,"b":2}), JSON({"b":2}) },
	{ "application/json", JSON({"remove":{"body":["z"]}}), "{ \"a\" : 1.0 }", "{ \"a\" : 1.0 }" },
	{ "application/json", JSON({"rename":{"body":["a:b","z:c"]}}), JSON({"a":1,"c":2}), JSON({"c":2,"b":1}) },
	{ "application/json", JSON({"replace":{"body":["a:x","b:y","z:y"]}}), JSON({"a":null,"b":false}), JSON({"a":"x","b":false}) },
	{ "application/json", JSON({"add":{"body":["a:x","b:y","c:x:y"]}}), JSON({"a":1,"b":false}), JSON({"a":1,"b":"y","c":"x:y"}) },
	{ "application/json", JSON({"append":{"body":["a:x","b:x","c:x","d:x"]}}), JSON({"a":"w","b":[],"c":5}), JSON({"a":["w","x"],"b":["x"],"c":["x"],"d":["x"]}) },
	{ "application/json", JSON({"add":{"body":["a:$(headers.x_b)"]}}), "", JSON({"a":"3"}) },
	{ "application/json", JSON({"add":{"body":["a:1"]}}), "[1, 2]", "[1, 2]" },
	{ "application/json", JSON({"add":{"body":["a:1"]}}), "{\"a", "{\"a" },
	{ "text/x; was=application/JSON", JSON({"remove":{"body":["a"]}}), JSON({"a":1,"b":[],"c":{}}), JSON({"b":[],"c":{}}) },
	{ "text/plain", JSON({"add":{"body":["a:1"]}}), "{}", "{}" },
	{ "application/x-www-form-urlencoded", JSON({"remove":{"body":["a"]},"add":{"body":["b:1","c:2"]}}), "a=1&b=9&a", "b=9&c=2" },
	{ "application/x-www-form-urlencoded", JSON({"rename":{"body":["a:b"]},"replace":{"body":["b:x"]},"append":{"body":["b:y"]}}), "a=1&b=2", "b=x&b=y" },
	{ "application/x-www-form-urlencoded", JSON({"remove":{"body":["z"]}}), "a=%41&b", "a=%41&b" },
	{ "application/x-www-form-urlencoded", JSON({"add":{"body":["p1:v 1"]}}), "", "p1=v%201" },
	{ "multipart/form-data; boundary=b", JSON({"rename":{"body":["a:c"]},"remove":{"body":["x"]},"replace":{"body":["f:t"]},"add":{"body":["c:no","d:yes"]},"append":{"body":["e:no"]}}),
	  "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n2\r\n"
	  "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n3\r\n--b\r\nContent-Disposition: form-data; name=\"k\"; filename=\"k\"\r\n\r\n4\r\n--b--\r\n",
	  "--b\r\nContent-Disposition: form-data; name=\"c\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name=\"k\"; filename=\"k\"\r\n\r\n4\r\n"
	  "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nt\r\n--b\r\nContent-Disposition: form-data; name=\"d\"\r\n\r\nyes\r\n--b--\r\n" },
	{ "multipart/form-data; boundary=b", JSON({"add":{"body":["a:1"]}}), "", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n" },
	{ "multipart/form-data", JSON({"add":{"body":["a:1"]}}), "", "" },
	{ "multipart/form-data; boundary=b", JSON({"add":{"body":["a:1"]}}), "--x", "--x" },
	{ "multipart/form-data; boundary=b", JSON({"append":{"body":["a:1"]}}), "", "" },
};
/* clang-format on */

static struct req *request(const char *type, const char *body)
{
	struct req *r = test_request("POST", "/p?q=1&q=2&flag&crlf=a%0d%0aX-E:+b",
				     str_fmt(test.a,
					     "X-A: 1\r\nX-B: 3\r\nx-a: 2\r\n"
					     "Content-Type: %s\r\n",
					     type)
					     .s);

	req_set_body(r, str_of(body));
	return r;
}

static enum verdict run(struct req *r, const char *conf)
{
	return test_run(&plugin_request_transformer, PHASE_ACCESS, r, conf);
}

static const char *all_of(struct req *r, const char *name)
{
	str ret = STR("");

	for (unsigned i = 0; i < r->in.headers.n; i++) {
		if (!str_eq_ci(r->in.headers.v[i].name, str_of(name)))
			continue;
		ret = str_fmt(test.a, STRF "%s" STRF, STRV(ret), ret.n ? "|" : "",
			      STRV(r->in.headers.v[i].value));
	}
	return str_z(test.a, ret);
}

static void headers_are_changed_in_order(void **state)
{
	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(fields); i++) {
		struct req *r = request("text/plain", "");

		assert_int_equal(run(r, fields[i].conf), NEXT);
		if (strcmp(all_of(r, fields[i].name), fields[i].want) != 0)
			fail_msg("%s: %s is %s", fields[i].conf, fields[i].name,
				 all_of(r, fields[i].name));
	}
}

static void queries_are_changed_in_order(void **state)
{
	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(queries); i++) {
		struct req *r = request("text/plain", "");

		assert_int_equal(run(r, queries[i].conf), NEXT);
		if (!str_is(req_query(r).s ? req_query(r) : STR(""), queries[i].want))
			fail_msg("%s: " STRF, queries[i].conf, STRV(req_query(r)));
	}
}

static void bodies_are_changed_as_their_type_says(void **state)
{
	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(bodies); i++) {
		struct req *r = request(bodies[i].type, bodies[i].body);
		str body;

		assert_int_equal(run(r, bodies[i].conf), NEXT);
		assert_true(req_body(r, &body));
		if (!str_is(body, bodies[i].want))
			fail_msg("%s of %s: " STRF, bodies[i].conf, bodies[i].body, STRV(body));
	}
}

static void the_host_is_replaced_or_renamed_to_and_nothing_else(void **state)
{
	/* clang-format off */
	static const struct {
		const char *conf, *host;
	} cases[] = {
		{ JSON({"replace":{"headers":["host:b.test"]}}), "b.test" },
		{ JSON({"rename":{"headers":["x-b:Host"]}}), "3" },
		{ JSON({"add":{"headers":["host:b.test"]}}), "" },
		{ JSON({"append":{"headers":["Host:b.test"]}}), "" },
		{ JSON({"remove":{"headers":["host"]}}), "" },
		{ JSON({"rename":{"headers":["host:x-h"]}}), "" },
		{ JSON({"replace":{"headers":["host:$(query_params.crlf)"]}}), "a%0D%0AX-E: b" },
	};
	/* clang-format on */

	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct req *r = request("text/plain", "");

		run(r, cases[i].conf);
		assert_string_equal(str_z(test.a, r->host_sent), cases[i].host);
		assert_string_equal(all_of(r, "Host"), "test");
		assert_string_equal(all_of(r, "X-H"), "");
	}
}

static void the_path_is_rendered(void **state)
{
	struct req *r = request("text/plain", "");

	(void)state;
	run(r, JSON({ "replace" : { "uri" : "/a b/$(query_params.crlf)" } }));
	assert_string_equal(str_z(test.a, req_upstream_path(r)), "/a%20b/a%0D%0AX-E:%20b");
	assert_int_equal(run(r, JSON({ "replace" : { "uri" : "$(headers.none)" } })), DONE);
	assert_string_equal(test_answer(r), "500 An unexpected error occurred");
}

static void a_form_moves_to_the_query_of_a_method_without_body(void **state)
{
	struct req *r = request("application/x-www-form-urlencoded", "q=3&n=a+b");

	(void)state;
	run(r, JSON({ "http_method" : "GET", "remove" : { "querystring" : ["crlf"] } }));
	assert_string_equal(str_z(test.a, req_method(r)), "GET");
	assert_string_equal(str_z(test.a, req_query(r)), "q=1&q=2&flag&q=3&n=a%20b");
	r = request("application/json", "{}");
	run(r, JSON({ "http_method" : "GET" }));
	assert_string_equal(str_z(test.a, req_query(r)), "q=1&q=2&flag&crlf=a%0d%0aX-E:+b");
	r = request("text/plain", "");
	assert_int_equal(run(r, JSON({ "http_method" : "CONNECT" })), DONE);
	assert_string_equal(test_answer(r), "500 An unexpected error occurred");
}

static void what_cannot_be_rendered_answers_500(void **state)
{
	/* clang-format off */
	static const char *const confs[] = {
		JSON({"add":{"headers":["x-z:$(none())"]}}), JSON({"add":{"headers":["x-z:$(shared.written = true)"]}}),
		JSON({"append":{"querystring":["a:$(nil .. 'x')"]}}), JSON({"replace":{"uri":"/$(1 +)"}}),
		JSON({"add":{"body":["a:$(headers.none.x)"]}}),
	};
	/* clang-format on */

	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(confs); i++) {
		struct req *r = request("application/json", "{}");

		assert_int_equal(run(r, confs[i]), DONE);
		assert_string_equal(test_answer(r), "500 An unexpected error occurred");
	}
}

static void a_value_cannot_bring_parts_of_its_own(void **state)
{
	struct req *r = request("multipart/form-data; boundary=b", "");

	(void)state;
	req_set_header(r, STR("X-Sly"), STR("x"));
	assert_int_equal(run(r, JSON({ "add" : { "body" : ["a:1\n--b\r\n"] } })), DONE);
	assert_string_equal(test_answer(r), "500 An unexpected error occurred");
}

static void wrong_configurations_are_refused_in_kong_s_words(void **state)
{
	/* clang-format off */
	static const struct test_refusal cases[] = {
		{ "{}", "" },
		{ JSON({"http_method":"HELLO!"}), "invalid value: HELLO!" },
		{ JSON({"add":{"querystring":["a:"]}}), "key 'a' has no value" },
		{ JSON({"rename":{"body":["a"]}}), "key 'a' has no value" },
		{ JSON({"add":{"querystring":["a:$(uri_captures user2)"]}}),
		  "value '$(uri_captures user2)' is not in supported format, error:lua:1: ')' expected near 'user2'" },
		{ JSON({"add":{"headers":["just_a_key"]}}), "invalid value: just_a_key" },
		{ JSON({"add":{"headers":["a b:1"]}}), "'a b' is not a valid header" },
		{ JSON({"rename":{"headers":["a:b c"]}}), "'b c' is not a valid header" },
		{ JSON({"remove":{"headers":["a b"]}}), "'a b' is not a valid header" },
		{ JSON({"remove":{"headers":["just_a_key"],"body":["just_a_key"],"querystring":["just_a_key"]}}), "" },
		{ JSON({"add":{"headers":["a:$((function() for i = 1, 2 do end end)())"]}}), "" },
		{ JSON({"add":{"headers":["a:$(shared.written = true)"]}}), "" },
		{ JSON({"replace":{"uri":"/$({})"}}), "" },
	};
	/* clang-format on */

	(void)state;
	test_refusals(&plugin_request_transformer, cases, COUNT(cases));
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_request_transformer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(templates_mean_what_they_mean_in_lua),
		cmocka_unit_test(templates_have_ceilings),
		cmocka_unit_test(headers_are_changed_in_order),
		cmocka_unit_test(queries_are_changed_in_order),
		cmocka_unit_test(bodies_are_changed_as_their_type_says),
		cmocka_unit_test(the_host_is_replaced_or_renamed_to_and_nothing_else),
		cmocka_unit_test(the_path_is_rendered),
		cmocka_unit_test(a_form_moves_to_the_query_of_a_method_without_body),
		cmocka_unit_test(what_cannot_be_rendered_answers_500),
		cmocka_unit_test(a_value_cannot_bring_parts_of_its_own),
		cmocka_unit_test(wrong_configurations_are_refused_in_kong_s_words),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
