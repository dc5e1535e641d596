/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of expressions, and the methods of strings. */
#include <math.h>

#include "plugins/request-transformer/nodes.h"

#define TEXT_MAX ((size_t)1 << 18) /* of a string that is made here */

/* What a block did. */
enum flow { FLOW_ON, FLOW_RETURNED, FLOW_FAILED };

static bool evaluate(struct lua_scope *s, const struct node *n, struct lua_value *ret);

static bool fail(struct lua_scope *s, const char *format, ...) PRINTF(2, 3);

static bool fail(struct lua_scope *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	s->error = str_vfmt(s->a, format, args);
	va_end(args);
	return false;
}

static const char *kind_name(const struct lua_value *v)
{
	static const char *const names[] = {
		[LUA_NIL] = "nil",       [LUA_BOOLEAN] = "boolean", [LUA_REAL] = "number",
		[LUA_STRING] = "string", [LUA_TABLE] = "table",     [LUA_FUNCTION] = "function",
	};

	return names[v->kind];
}

static bool is_true(const struct lua_value *v)
{
	return v->kind != LUA_NIL && (v->kind != LUA_BOOLEAN || v->boolean);
}

static struct lua_value nil(void)
{
	return (struct lua_value){ .kind = LUA_NIL, .of = LUA_GLOBALS };
}

static struct lua_value boolean(bool b)
{
	return (struct lua_value){ .kind = LUA_BOOLEAN, .of = LUA_GLOBALS, .boolean = b };
}

static struct lua_value number(double d)
{
	return (struct lua_value){ .kind = LUA_REAL, .of = LUA_GLOBALS, .number = d };
}

static struct lua_value string(str s)
{
	return (struct lua_value){ .kind = LUA_STRING, .of = LUA_GLOBALS, .s = s };
}

/* ---- conversions ------------------------------------------------------------------------- */

static str number_text(struct arena *a, double d)
{
	return str_fmt(a, "%.14g", d);
}

/* Numbers are strings where strings are wanted, and the other way round. */
static bool to_text(struct lua_scope *s, const struct lua_value *v, str *ret)
{
	if (v->kind == LUA_REAL)
		*ret = number_text(s->a, v->number);
	else if (v->kind == LUA_STRING)
		*ret = v->s;
	else
		return false;
	return true;
}

static bool to_number(const struct lua_value *v, double *ret)
{
	str text;
	uint64_t hex;

	if (v->kind == LUA_REAL) {
		*ret = v->number;
		return true;
	}
	if (v->kind != LUA_STRING)
		return false;
	text = str_trim(v->s);
	if (str_starts_ci(text, STR("0x")) && str_to_hex(str_from(text, 2), &hex)) {
		*ret = (double)hex;
		return true;
	}
	return str_to_num(text, ret);
}

static struct lua_value from_json(const struct value *v)
{
	if (!v)
		return nil();
	switch (v->kind) {
	case VALUE_BOOL:
		return boolean(v->b);
	case VALUE_INT:
		return number((double)v->i);
	case VALUE_REAL:
		return number(v->real);
	case VALUE_STRING:
		return string(v->s);
	case VALUE_ARRAY:
	case VALUE_OBJECT:
		return (struct lua_value){ .kind = LUA_TABLE, .of = LUA_GLOBALS, .table = v };
	default:
		return nil();
	}
}

/* ---- names and tables ----------------------------------------------------------------------- */

static struct lua_value global(struct lua_scope *s, str name)
{
	static const char *const names[LUA_GLOBALS] = {
		[LUA_HEADERS] = "headers",
		[LUA_QUERY_PARAMS] = "query_params",
		[LUA_URI_CAPTURES] = "uri_captures",
		[LUA_SHARED] = "shared",
	};

	for (int i = 0; i < LUA_GLOBALS; i++) {
		if (!str_is(name, names[i]))
			continue;
		if (!s->known[i])
			s->known[i] = s->global(s->arg, (enum lua_global)i);
		return (struct lua_value){ .kind = LUA_TABLE,
					   .of = (enum lua_global)i,
					   .table = s->known[i] };
	}
	if (str_is(name, "type"))
		return (struct lua_value){ .kind = LUA_FUNCTION, .of = LUA_GLOBALS };
	return nil();
}

/* As it is written, else in lower case with dashes. */
static const struct value *find_header(struct lua_scope *s, const struct value *headers, str name)
{
	const struct value *v = value_get_str(headers, name);
	str other;

	if (v)
		return v;
	other = str_lower(s->a, str_copy(s->a, name));
	for (size_t i = 0; i < other.n; i++) {
		if (other.s[i] == '_')
			((char *)(uintptr_t)other.s)[i] = '-';
	}
	return value_get_str(headers, other);
}

static const struct value *find_by_number(struct lua_scope *s, const struct lua_value *of, double d)
{
	if (of->table->kind == VALUE_ARRAY)
		return d >= 1 && d <= of->table->n && d == floor(d)
			       ? of->table->items[(uint32_t)d - 1]
			       : NULL;
	return of->of == LUA_URI_CAPTURES ? value_get_str(of->table, number_text(s->a, d)) : NULL;
}

static const struct value *find_by_name(struct lua_scope *s, const struct lua_value *of, str name)
{
	if (of->of == LUA_HEADERS)
		return find_header(s, of->table, name);
	if (of->of == LUA_URI_CAPTURES && name.n && ascii_is_digit(name.s[0]))
		return NULL; /* the text of a number is no number */
	return value_get_str(of->table, name);
}

static bool index_into(struct lua_scope *s, const struct node *n, struct lua_value *ret)
{
	struct lua_value of, key;

	if (!evaluate(s, n->left, &of) || !evaluate(s, n->right, &key))
		return false;
	if (of.kind == LUA_STRING) { /* its methods are no values here */
		*ret = nil();
		return true;
	}
	if (of.kind != LUA_TABLE)
		return fail(s, "attempt to index a %s value", kind_name(&of));
	*ret = from_json(key.kind == LUA_STRING ? find_by_name(s, &of, key.s)
			 : key.kind == LUA_REAL ? find_by_number(s, &of, key.number)
						: NULL);
	return true;
}

/* ---- operators --------------------------------------------------------------------------------- */

static double arithmetic(char op, double x, double y)
{
	switch (op) {
	case '+':
		return x + y;
	case '-':
		return x - y;
	case '*':
		return x * y;
	case '/':
		return x / y;
	case '%':
		return x - floor(x / y) * y;
	default:
		return pow(x, y);
	}
}

static bool calculate(struct lua_scope *s, char op, const struct lua_value *x,
		      const struct lua_value *y, struct lua_value *ret)
{
	double a, b;
	bool is_number = to_number(x, &a);

	if (!is_number || !to_number(y, &b))
		return fail(s, "attempt to perform arithmetic on a %s value",
			    kind_name(is_number ? y : x));
	*ret = number(arithmetic(op, a, b));
	return true;
}

static bool join(struct lua_scope *s, const struct lua_value *x, const struct lua_value *y,
		 struct lua_value *ret)
{
	str a, b;
	bool is_text = to_text(s, x, &a);

	if (!is_text || !to_text(s, y, &b))
		return fail(s, "attempt to concatenate a %s value", kind_name(is_text ? y : x));
	if (a.n + b.n > TEXT_MAX)
		return fail(s, "a string of more than %zu bytes", TEXT_MAX);
	*ret = string(str_cat(s->a, a, b));
	return true;
}

static bool equals(const struct lua_value *x, const struct lua_value *y)
{
	if (x->kind != y->kind)
		return false;
	switch (x->kind) {
	case LUA_BOOLEAN:
		return x->boolean == y->boolean;
	case LUA_REAL:
		return x->number == y->number;
	case LUA_STRING:
		return str_eq(x->s, y->s);
	case LUA_TABLE:
		return x->table == y->table;
	default:
		return true;
	}
}

static int order(str x, str y)
{
	size_t n = x.n < y.n ? x.n : y.n;
	int c = n ? memcmp(x.s, y.s, n) : 0;

	return c ? c : x.n < y.n ? -1 : x.n > y.n;
}

static bool compare(struct lua_scope *s, char op, const struct lua_value *x,
		    const struct lua_value *y, struct lua_value *ret)
{
	double a = 0, b = 0;

	if (op == '=' || op == '~') {
		*ret = boolean(equals(x, y) == (op == '='));
		return true;
	}
	if (x->kind == LUA_REAL && y->kind == LUA_REAL) {
		a = x->number;
		b = y->number;
	} else if (x->kind == LUA_STRING && y->kind == LUA_STRING) {
		a = order(x->s, y->s);
	} else if (x->kind == y->kind) {
		return fail(s, "attempt to compare two %s values", kind_name(x));
	} else {
		return fail(s, "attempt to compare %s with %s", kind_name(x), kind_name(y));
	}
	*ret = boolean(op == '<' ? a < b : op == '>' ? a > b : op == '{' ? a <= b : a >= b);
	return true;
}

static bool binary(struct lua_scope *s, const struct node *n, struct lua_value *ret)
{
	struct lua_value x, y;

	if (!evaluate(s, n->left, &x) || !evaluate(s, n->right, &y))
		return false;
	if (n->kind == NODE_CONCAT)
		return join(s, &x, &y, ret);
	return n->kind == NODE_ARITHMETIC ? calculate(s, n->op, &x, &y, ret)
					  : compare(s, n->op, &x, &y, ret);
}

static bool unary(struct lua_scope *s, const struct node *n, struct lua_value *ret)
{
	struct lua_value x;
	double d;

	if (!evaluate(s, n->left, &x))
		return false;
	if (n->kind == NODE_NOT) {
		*ret = boolean(!is_true(&x));
	} else if (n->kind == NODE_MINUS) {
		if (!to_number(&x, &d))
			return fail(s, "attempt to perform arithmetic on a %s value",
				    kind_name(&x));
		*ret = number(-d);
	} else if (x.kind == LUA_STRING) {
		*ret = number((double)x.s.n);
	} else if (x.kind == LUA_TABLE) {
		*ret = number(x.table->kind == VALUE_ARRAY ? x.table->n : 0);
	} else {
		return fail(s, "attempt to get length of a %s value", kind_name(&x));
	}
	return true;
}

/* "and" and "or" look at their right side only when they must. */
static bool choose(struct lua_scope *s, const struct node *n, struct lua_value *ret)
{
	if (!evaluate(s, n->left, ret))
		return false;
	return is_true(ret) == (n->kind == NODE_OR) || evaluate(s, n->right, ret);
}

/* ---- methods of strings -------------------------------------------------------------------------- */

/* Arguments of a call: [0] is the string itself. */
struct given {
	struct lua_scope *s;
	str self;
	const struct lua_value *v;
	size_t n;
};

static bool bad_argument(const struct given *g, size_t i, const char *wanted)
{
	return fail(g->s, "bad argument #%zu (%s expected, got %s)", i + 1, wanted,
		    i < g->n ? kind_name(&g->v[i]) : "no value");
}

static bool want_text(const struct given *g, size_t i, str *ret)
{
	return (i < g->n && to_text(g->s, &g->v[i], ret)) || bad_argument(g, i, "string");
}

/* A place in the string, from the end when below 0. */
static bool want_place(const struct given *g, size_t i, int64_t preset, int64_t *ret)
{
	double d = (double)preset;

	if (i < g->n && g->v[i].kind != LUA_NIL && !to_number(&g->v[i], &d))
		return bad_argument(g, i, "number");
	d = d < -1e15 || isnan(d) ? -1e15 : d > 1e15 ? 1e15 : d;
	*ret = (int64_t)d;
	if (*ret < 0)
		*ret += (int64_t)g->self.n + 1;
	return true;
}

static str between(str s, int64_t from, int64_t to)
{
	from = from < 1 ? 1 : from;
	to = to > (int64_t)s.n ? (int64_t)s.n : to;
	return from > to ? STR("") : str_part(s, (size_t)from - 1, (size_t)to);
}

static bool do_sub(const struct given *g, struct lua_value *ret)
{
	int64_t from, to;

	if (!want_place(g, 0, 1, &from) || !want_place(g, 1, -1, &to))
		return false;
	*ret = string(between(g->self, from, to));
	return true;
}

static bool do_byte(const struct given *g, struct lua_value *ret)
{
	int64_t at;
	str c;

	if (!want_place(g, 0, 1, &at))
		return false;
	c = between(g->self, at, at);
	*ret = c.n ? number((unsigned char)c.s[0]) : nil();
	return true;
}

static bool do_len(const struct given *g, struct lua_value *ret)
{
	*ret = number((double)g->self.n);
	return true;
}

static bool do_lower(const struct given *g, struct lua_value *ret)
{
	*ret = string(str_lower(g->s->a, g->self));
	return true;
}

static bool do_upper(const struct given *g, struct lua_value *ret)
{
	*ret = string(str_upper(g->s->a, g->self));
	return true;
}

static bool do_reverse(const struct given *g, struct lua_value *ret)
{
	char *text = arena_bytes(g->s->a, g->self.n + 1);

	for (size_t i = 0; i < g->self.n; i++)
		text[i] = g->self.s[g->self.n - 1 - i];
	*ret = string(str_at(text, g->self.n));
	return true;
}

static bool do_rep(const struct given *g, struct lua_value *ret)
{
	double times;
	char *text;
	size_t n;

	if (g->n < 1 || !to_number(&g->v[0], &times))
		return bad_argument(g, 0, "number");
	if (!(times >= 1) || g->self.n == 0) {
		*ret = string(STR(""));
		return true;
	}
	if (floor(times) * (double)g->self.n > (double)TEXT_MAX)
		return fail(g->s, "a string of more than %zu bytes", TEXT_MAX);
	n = (size_t)times * g->self.n;
	text = arena_bytes(g->s->a, n);
	for (size_t i = 0; i < n; i++)
		text[i] = g->self.s[i % g->self.n];
	*ret = string(str_at(text, n));
	return true;
}

/* The pattern and the part of the string that it is looked for in. */
static bool want_pattern(const struct given *g, str *ret_pattern, str *ret_rest)
{
	int64_t from;

	if (!want_text(g, 0, ret_pattern) || !want_place(g, 1, 1, &from))
		return false;
	*ret_rest = between(g->self, from, (int64_t)g->self.n);
	return true;
}

static bool find_pattern(const struct given *g, str pattern, str rest, str *ret, bool *ret_found)
{
	size_t n;

	if (!pattern_is_valid(pattern))
		return fail(g->s, "malformed pattern");
	*ret_found = pattern_find(pattern, rest, ret, 1, &n);
	return true;
}

static bool do_match(const struct given *g, struct lua_value *ret)
{
	str pattern, rest, first;
	bool is_found = false;

	if (!want_pattern(g, &pattern, &rest) || !find_pattern(g, pattern, rest, &first, &is_found))
		return false;
	*ret = is_found ? string(first) : nil();
	return true;
}

/* Where: as if the whole pattern were a capture. */
static bool do_find(const struct given *g, struct lua_value *ret)
{
	str pattern, rest, first;
	bool is_plain = g->n > 2 && is_true(&g->v[2]), is_found = false;
	bool is_anchored;
	ptrdiff_t at;

	if (!want_pattern(g, &pattern, &rest))
		return false;
	if (is_plain) {
		at = str_find_str(rest, pattern);
	} else {
		is_anchored = str_starts(pattern, STR("^"));
		pattern = str_fmt(g->s->a, "%s(" STRF ")", is_anchored ? "^" : "",
				  STRV(str_from(pattern, is_anchored)));
		if (!find_pattern(g, pattern, rest, &first, &is_found))
			return false;
		at = is_found ? first.s - rest.s : -1;
	}
	*ret = at < 0 ? nil() : number((double)(rest.s - g->self.s + at + 1));
	return true;
}

static const struct {
	const char *name;
	bool (*run)(const struct given *g, struct lua_value *ret); /* NULL: Lua's alone */
} methods[] = {
	/* clang-format off */
	{ "byte", do_byte }, { "find", do_find },   { "len", do_len },         { "lower", do_lower },
	{ "match", do_match }, { "rep", do_rep },   { "reverse", do_reverse }, { "sub", do_sub },
	{ "upper", do_upper }, { "char", NULL },    { "dump", NULL },          { "format", NULL },
	{ "gmatch", NULL },    { "gsub", NULL },
	/* clang-format on */
};

int method_number(str name)
{
	for (size_t i = 0; i < COUNT(methods); i++) {
		if (str_is(name, methods[i].name))
			return methods[i].run ? (int)i : -2;
	}
	return -1;
}

/* ---- calls ------------------------------------------------------------------------------------------- */

static bool arguments(struct lua_scope *s, const struct node *n, struct lua_value *ret)
{
	for (size_t i = 0; i < n->n_args; i++) {
		if (!evaluate(s, n->args[i], &ret[i]))
			return false;
	}
	return true;
}

static bool call_method(struct lua_scope *s, const struct node *n, struct lua_value *ret)
{
	struct lua_value of, args[NODE_ARGS];
	struct given g = { .s = s, .v = args, .n = n->n_args };

	if (!evaluate(s, n->left, &of))
		return false;
	if (of.kind != LUA_STRING && of.kind != LUA_TABLE)
		return fail(s, "attempt to index a %s value", kind_name(&of));
	if (of.kind == LUA_TABLE || n->slot < 0)
		return fail(s, "attempt to call method '" STRF "' (a nil value)", STRV(n->name));
	g.self = of.s;
	return arguments(s, n, args) && methods[n->slot].run(&g, ret);
}

/* type() is the only function. */
static bool call(struct lua_scope *s, const struct node *n, struct lua_value *ret)
{
	struct lua_value of, args[NODE_ARGS];

	if (!evaluate(s, n->left, &of))
		return false;
	if (of.kind != LUA_FUNCTION)
		return n->left->kind == NODE_GLOBAL
			       ? fail(s, "attempt to call global '" STRF "' (a %s value)",
				      STRV(n->left->name), kind_name(&of))
			       : fail(s, "attempt to call a %s value", kind_name(&of));
	if (!arguments(s, n, args))
		return false;
	if (n->n_args == 0)
		return fail(s, "bad argument #1 to 'type' (value expected)");
	*ret = string(str_of(kind_name(&args[0])));
	return true;
}

/* ---- statements ---------------------------------------------------------------------------------------- */

static enum flow run(struct lua_scope *s, const struct statement *list, struct lua_value *ret)
{
	for (const struct statement *t = list; t; t = t->next) {
		struct lua_value v = nil();
		const struct statement *inner = t->block;
		enum flow flow;

		if (t->value && !evaluate(s, t->value, &v))
			return FLOW_FAILED;
		if (t->kind == STATEMENT_SET) {
			s->locals[t->slot] = v;
			continue;
		}
		if (t->kind == STATEMENT_RETURN) {
			*ret = v;
			return FLOW_RETURNED;
		}
		if (t->kind == STATEMENT_IF && !is_true(&v))
			inner = t->other;
		flow = run(s, inner, ret);
		if (flow != FLOW_ON)
			return flow;
	}
	return FLOW_ON;
}

static bool evaluate(struct lua_scope *s, const struct node *n, struct lua_value *ret)
{
	switch (n->kind) {
	case NODE_CONSTANT:
		*ret = n->constant;
		return true;
	case NODE_LOCAL:
		*ret = s->locals[n->slot];
		return true;
	case NODE_GLOBAL:
		*ret = global(s, n->name);
		return true;
	case NODE_INDEX:
		return index_into(s, n, ret);
	case NODE_CALL:
		return call(s, n, ret);
	case NODE_METHOD:
		return call_method(s, n, ret);
	case NODE_BLOCK:
		*ret = nil();
		return run(s, n->block, ret) != FLOW_FAILED;
	case NODE_AND:
	case NODE_OR:
		return choose(s, n, ret);
	case NODE_NOT:
	case NODE_MINUS:
	case NODE_LENGTH:
		return unary(s, n, ret);
	default:
		return binary(s, n, ret);
	}
}

/* ---- the door -------------------------------------------------------------------------------------------- */

/* Lua shows the address of a table; its values say more. */
static str table_text(struct lua_scope *s, const struct value *v)
{
	str *texts = NEWS(s->a, str, v->n);

	if (v->kind != VALUE_ARRAY)
		return json_text(s->a, v, JSON_COMPACT);
	for (uint32_t i = 0; i < v->n; i++)
		texts[i] = v->items[i]->kind == VALUE_STRING
				   ? v->items[i]->s
				   : json_text(s->a, v->items[i], JSON_COMPACT);
	return str_join(s->a, (strs){ texts, v->n }, STR(", "));
}

bool expression_text(const struct expression *e, struct lua_scope *s, str *ret)
{
	struct lua_value v;

	if (!evaluate(s, e->root, &v))
		return false;
	if (!is_true(&v))
		*ret = STR("");
	else if (v.kind == LUA_TABLE)
		*ret = table_text(s, v.table);
	else if (v.kind == LUA_BOOLEAN || v.kind == LUA_FUNCTION)
		*ret = v.kind == LUA_BOOLEAN ? STR("true") : STR("function");
	else
		to_text(s, &v, ret);
	return true;
}
