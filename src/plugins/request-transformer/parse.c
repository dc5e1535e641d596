/* SPDX-License-Identifier: Apache-2.0 */
/* From the text of an expression to its nodes, by recursive descent.
 *
 * The first mistake ends it: every token behind it reads as the end. */
#include "plugins/request-transformer/nodes.h"

#define NESTING 40  /* of parentheses and the like */
#define DEPTH   100 /* of the tree: a + b + c nests to the left */

#define TOO_DEEP    "the expression is nested too deeply"
#define NOT_AT_ONCE "a function that is not called at once is not supported by this version"

enum token {
	T_END,
	T_NAME,
	T_STRING,
	T_NUMBER,
	T_AND,
	T_DO,
	T_ELSE,
	T_ELSEIF,
	T_END_WORD,
	T_FALSE,
	T_FUNCTION,
	T_IF,
	T_LOCAL,
	T_NIL,
	T_NOT,
	T_OR,
	T_RETURN,
	T_THEN,
	T_TRUE,
	T_UNSUPPORTED, /* a word or sign that begins what is not there */
	T_CONCAT,
	T_EQUAL,
	T_UNEQUAL,
	T_LESS_EQUAL,
	T_GREATER_EQUAL,
	T_SIGN = 128, /* and the sign itself */
};

struct parser {
	struct arena *a;
	str text;
	size_t at; /* behind the token */
	enum token token;
	str word; /* of the token: as it stands there, or what a string says */
	double number;
	struct expression_error error;
	bool is_broken;
	int nesting, slots;
	struct {
		str name;
		int slot;
	} locals[LUA_LOCALS];
	int n_locals;
};

/* clang-format off */
static const struct {
	const char *word;
	enum token token;
} words[] = {
	{ "and", T_AND },      { "do", T_DO },             { "else", T_ELSE },   { "elseif", T_ELSEIF },
	{ "end", T_END_WORD }, { "false", T_FALSE },       { "function", T_FUNCTION },
	{ "if", T_IF },        { "local", T_LOCAL },       { "nil", T_NIL },     { "not", T_NOT },
	{ "or", T_OR },        { "return", T_RETURN },     { "then", T_THEN },   { "true", T_TRUE },
	{ "for", T_UNSUPPORTED }, { "while", T_UNSUPPORTED }, { "repeat", T_UNSUPPORTED },
	{ "break", T_UNSUPPORTED }, { "goto", T_UNSUPPORTED }, { "in", T_UNSUPPORTED },
	{ "until", T_UNSUPPORTED },
};

static const struct {
	const char *text;
	enum token token;
} signs[] = {
	{ "...", T_UNSUPPORTED }, { "..", T_CONCAT }, { "==", T_EQUAL }, { "~=", T_UNEQUAL },
	{ "<=", T_LESS_EQUAL }, { ">=", T_GREATER_EQUAL }, { "{", T_UNSUPPORTED },
};
/* clang-format on */

static const struct node *expression(struct parser *p);
static const struct statement *block(struct parser *p);

static void fail(struct parser *p, bool is_unsupported, str words_)
{
	if (!p->is_broken)
		p->error = (struct expression_error){ words_, is_unsupported };
	p->is_broken = true;
	p->token = T_END;
}

static str near_token(const struct parser *p)
{
	return p->token == T_END ? STR("<eof>") : p->word;
}

static void expected(struct parser *p, const char *what)
{
	fail(p, false, str_fmt(p->a, "%s expected near '" STRF "'", what, STRV(near_token(p))));
}

static void unsupported(struct parser *p, str what)
{
	fail(p, true, str_fmt(p->a, "'" STRF "' is not supported by this version", STRV(what)));
}

/* ---- tokens ------------------------------------------------------------------------------ */

static char peek(const struct parser *p, size_t ahead)
{
	return p->at + ahead < p->text.n ? p->text.s[p->at + ahead] : '\0';
}

static bool is_word(char c)
{
	return ascii_is_alnum(c) || c == '_';
}

/* "[[" or "[==[": how many bytes; 0: neither. */
static size_t long_bracket(const struct parser *p, size_t ahead)
{
	size_t n = 1;

	if (peek(p, ahead) != '[')
		return 0;
	while (peek(p, ahead + n) == '=')
		n++;
	return peek(p, ahead + n) == '[' ? n + 1 : 0;
}

/* What is between long brackets. */
static str long_text(struct parser *p, size_t open)
{
	str close = str_copy(p->a, str_part(p->text, p->at, p->at + open)), inner;
	ptrdiff_t end;

	memset((char *)(uintptr_t)close.s, '=', close.n);
	((char *)(uintptr_t)close.s)[0] = ((char *)(uintptr_t)close.s)[close.n - 1] = ']';
	inner = str_from(p->text, p->at + open);
	end = str_find_str(inner, close);
	if (end < 0) {
		p->at = p->text.n;
		fail(p, false, STR("unfinished long string"));
		return STR("");
	}
	p->at += open + (size_t)end + close.n;
	inner = str_part(inner, 0, (size_t)end);
	if (str_starts(inner, STR("\r\n")))
		return str_from(inner, 2);
	return str_starts(inner, STR("\n")) ? str_from(inner, 1) : inner;
}

static void skip_white(struct parser *p)
{
	for (;;) {
		while (p->at < p->text.n && strchr(" \t\r\n\f\v", p->text.s[p->at]))
			p->at++;
		if (peek(p, 0) != '-' || peek(p, 1) != '-')
			return;
		p->at += 2;
		if (long_bracket(p, 0)) {
			long_text(p, long_bracket(p, 0));
			continue;
		}
		while (p->at < p->text.n && p->text.s[p->at] != '\n')
			p->at++;
	}
}

/* \ddd, up to three digits. */
static bool decimal_escape(struct parser *p, char *ret)
{
	int code = 0;

	for (int i = 0; i < 3 && ascii_is_digit(peek(p, 0)); i++)
		code = code * 10 + (p->text.s[p->at++] - '0');
	*ret = (char)code;
	return code < 256;
}

static bool hex_escape(struct parser *p, char *ret)
{
	int high = ascii_hex(peek(p, 1)), low = ascii_hex(peek(p, 2));

	p->at += 3;
	*ret = (char)(high * 16 + low);
	return high >= 0 && low >= 0;
}

/* Behind a backslash. */
static bool escape(struct parser *p, char *ret)
{
	static const char letters[] = "abfnrtv", codes[] = "\a\b\f\n\r\t\v";
	char c = peek(p, 0);
	const char *letter = c ? strchr(letters, c) : NULL;

	if (ascii_is_digit(c))
		return decimal_escape(p, ret);
	if (c == 'x')
		return hex_escape(p, ret);
	*ret = letter ? codes[letter - letters] : c;
	p->at++;
	return letter || c == '\n' || (c && !is_word(c));
}

static str quoted(struct parser *p)
{
	char quote = p->text.s[p->at++];
	char *text = arena_bytes(p->a, p->text.n - p->at + 1);
	size_t n = 0;

	for (;;) {
		char c = peek(p, 0);

		if (p->at >= p->text.n || c == '\n') {
			fail(p, false, STR("unfinished string"));
			return STR("");
		}
		p->at++;
		if (c == quote)
			return str_at(text, n);
		if (c == '\\' && !escape(p, &c)) {
			fail(p, false, STR("invalid escape sequence"));
			return STR("");
		}
		text[n++] = c;
	}
}

static enum token number(struct parser *p)
{
	size_t from = p->at;
	uint64_t hex;

	while (is_word(peek(p, 0)) || peek(p, 0) == '.' ||
	       ((peek(p, 0) == '-' || peek(p, 0) == '+') &&
		ascii_lower(p->text.s[p->at - 1]) == 'e'))
		p->at++;
	p->word = str_part(p->text, from, p->at);
	if (str_to_num(p->word, &p->number))
		return T_NUMBER;
	if (str_starts_ci(p->word, STR("0x")) && str_to_hex(str_from(p->word, 2), &hex)) {
		p->number = (double)hex;
		return T_NUMBER;
	}
	fail(p, false, str_fmt(p->a, "malformed number near '" STRF "'", STRV(p->word)));
	return T_END;
}

static enum token name_or_word(struct parser *p)
{
	size_t from = p->at;

	while (is_word(peek(p, 0)))
		p->at++;
	p->word = str_part(p->text, from, p->at);
	for (size_t i = 0; i < COUNT(words); i++) {
		if (str_is(p->word, words[i].word))
			return words[i].token;
	}
	return T_NAME;
}

static enum token sign(struct parser *p)
{
	for (size_t i = 0; i < COUNT(signs); i++) {
		str text = str_of(signs[i].text);

		if (!str_starts(str_from(p->text, p->at), text))
			continue;
		p->word = text;
		p->at += text.n;
		return signs[i].token;
	}
	p->word = str_part(p->text, p->at, p->at + 1);
	p->at++;
	return (enum token)(T_SIGN + (unsigned char)p->word.s[0]);
}

static void next(struct parser *p)
{
	char c;

	skip_white(p);
	if (p->is_broken || p->at >= p->text.n) {
		p->token = T_END;
		return;
	}
	c = peek(p, 0);
	if (long_bracket(p, 0)) {
		p->word = long_text(p, long_bracket(p, 0));
		p->token = p->is_broken ? T_END : T_STRING;
	} else if (c == '"' || c == '\'') {
		p->word = quoted(p);
		p->token = p->is_broken ? T_END : T_STRING;
	} else if (ascii_is_digit(c) || (c == '.' && ascii_is_digit(peek(p, 1)))) {
		p->token = number(p);
	} else if (is_word(c)) {
		p->token = name_or_word(p);
	} else {
		p->token = sign(p);
	}
}

static bool is_sign(const struct parser *p, char c)
{
	return p->token == (enum token)(T_SIGN + c);
}

static bool take(struct parser *p, enum token t)
{
	if (p->token != t)
		return false;
	next(p);
	return true;
}

static bool take_sign(struct parser *p, char c)
{
	return take(p, (enum token)(T_SIGN + c));
}

static void want(struct parser *p, enum token t, const char *what)
{
	if (!take(p, t))
		expected(p, what);
}

static str want_name(struct parser *p)
{
	str name = p->word;

	want(p, T_NAME, "<name>");
	return name;
}

/* ---- nodes ------------------------------------------------------------------------------- */

/* Evaluation recurses, and stands on the stack of a fiber. */
static void deepen(struct parser *p, struct node *n, int below)
{
	if (n->depth <= below)
		n->depth = below + 1;
	if (n->depth > DEPTH)
		fail(p, true, STR(TOO_DEEP));
}

static struct node *node_new(struct parser *p, enum node_kind kind, const struct node *left,
			     const struct node *right)
{
	struct node *n = NEW(p->a, struct node);

	n->kind = kind;
	n->left = left;
	n->right = right;
	n->depth = 1;
	if (left)
		deepen(p, n, left->depth);
	if (right)
		deepen(p, n, right->depth);
	return n;
}

static struct node *constant(struct parser *p, enum lua_kind kind)
{
	struct node *n = node_new(p, NODE_CONSTANT, NULL, NULL);

	n->constant = (struct lua_value){ .kind = kind, .of = LUA_GLOBALS };
	if (kind == LUA_STRING)
		n->constant.s = p->word;
	else if (kind == LUA_REAL)
		n->constant.number = p->number;
	else
		n->constant.boolean = p->token == T_TRUE;
	next(p);
	return n;
}

static const struct node *name(struct parser *p)
{
	struct node *n = node_new(p, NODE_GLOBAL, NULL, NULL);

	n->name = want_name(p);
	for (int i = p->n_locals - 1; i >= 0; i--) {
		if (!str_eq(p->locals[i].name, n->name))
			continue;
		n->kind = NODE_LOCAL;
		n->slot = p->locals[i].slot;
		break;
	}
	return n;
}

static void arguments(struct parser *p, struct node *n)
{
	if (p->token == T_STRING) { /* f"text" */
		n->args[n->n_args++] = constant(p, LUA_STRING);
		return;
	}
	if (p->token == T_UNSUPPORTED) {
		unsupported(p, p->word);
		return;
	}
	if (!take_sign(p, '(')) {
		expected(p, "function arguments");
		return;
	}
	if (take_sign(p, ')'))
		return;
	do {
		const struct node *arg = expression(p);

		if (n->n_args == NODE_ARGS) {
			fail(p, true, str_fmt(p->a, "more than %d arguments", NODE_ARGS));
			return;
		}
		n->args[n->n_args++] = arg;
		deepen(p, n, arg->depth);
	} while (take_sign(p, ','));
	want(p, (enum token)(T_SIGN + ')'), "')'");
}

static const struct node *method(struct parser *p, const struct node *of)
{
	struct node *n = node_new(p, NODE_METHOD, of, NULL);

	n->name = want_name(p);
	n->slot = method_number(n->name);
	if (n->slot == -2)
		unsupported(p, str_cat(p->a, STR(":"), n->name));
	arguments(p, n);
	return n;
}

static const struct node *index_of(struct parser *p, const struct node *of)
{
	struct node *key;

	if (take_sign(p, '[')) {
		const struct node *n = node_new(p, NODE_INDEX, of, expression(p));

		want(p, (enum token)(T_SIGN + ']'), "']'");
		return n;
	}
	next(p);
	key = node_new(p, NODE_CONSTANT, NULL, NULL);
	key->constant = (struct lua_value){ .kind = LUA_STRING, .of = LUA_GLOBALS };
	key->constant.s = want_name(p);
	return node_new(p, NODE_INDEX, of, key);
}

static int depth_of(const struct statement *s)
{
	int depth = 0;

	for (; s; s = s->next) {
		int value = s->value ? s->value->depth : 0, one = 1 + depth_of(s->block),
		    other = 1 + depth_of(s->other);

		depth = value > depth ? value : depth;
		depth = one > depth ? one : depth;
		depth = other > depth ? other : depth;
	}
	return depth;
}

/* (function() ... end)(): behind the first parenthesis. */
static const struct node *called_function(struct parser *p)
{
	struct node *n = node_new(p, NODE_BLOCK, NULL, NULL);
	int locals = p->n_locals;

	next(p);
	want(p, (enum token)(T_SIGN + '('), "'('");
	if (p->token == T_NAME || p->token == T_UNSUPPORTED)
		fail(p, true, STR("a parameter of a function is not supported by this version"));
	want(p, (enum token)(T_SIGN + ')'), "')'");
	n->block = block(p);
	deepen(p, n, depth_of(n->block));
	p->n_locals = locals;
	want(p, T_END_WORD, "'end'");
	want(p, (enum token)(T_SIGN + ')'), "')'");
	if (!take_sign(p, '(') || !take_sign(p, ')'))
		fail(p, true, STR(NOT_AT_ONCE));
	return n;
}

static const struct node *primary(struct parser *p)
{
	const struct node *n;

	switch (p->token) {
	case T_NIL:
		return constant(p, LUA_NIL);
	case T_TRUE:
	case T_FALSE:
		return constant(p, LUA_BOOLEAN);
	case T_NUMBER:
		return constant(p, LUA_REAL);
	case T_STRING:
		return constant(p, LUA_STRING);
	case T_NAME:
		return name(p);
	case T_UNSUPPORTED:
		unsupported(p, p->word);
		break;
	case T_FUNCTION:
		fail(p, true, STR(NOT_AT_ONCE));
		break;
	default:
		break;
	}
	if (!take_sign(p, '(')) {
		fail(p, false,
		     str_fmt(p->a, "unexpected symbol near '" STRF "'", STRV(near_token(p))));
		return node_new(p, NODE_CONSTANT, NULL, NULL);
	}
	if (p->token == T_FUNCTION)
		return called_function(p);
	n = expression(p);
	want(p, (enum token)(T_SIGN + ')'), "')'");
	return n;
}

/* May a call or an index follow?  Not a constant that is not in parentheses. */
static const struct node *suffixed(struct parser *p)
{
	bool takes_suffix = p->token == T_NAME || is_sign(p, '(');
	const struct node *n = primary(p);

	while (takes_suffix && !p->is_broken) {
		if (is_sign(p, '.') || is_sign(p, '[')) {
			n = index_of(p, n);
		} else if (take_sign(p, ':')) {
			n = method(p, n);
		} else if (is_sign(p, '(') || p->token == T_STRING) {
			struct node *call = node_new(p, NODE_CALL, n, NULL);

			arguments(p, call);
			n = call;
		} else {
			break;
		}
	}
	return n;
}

/* ---- operators ----------------------------------------------------------------------------- */

/* As Lua's: from "or" to "^"; what binds to the right has a lower power there. */
static const struct operator
{
	enum token token;
	enum node_kind kind;
	char op;
	int left, right;
}
operators[] = {
	/* clang-format off */
	{ T_OR,            NODE_OR,         0,   1,  1 },
	{ T_AND,           NODE_AND,        0,   2,  2 },
	{ T_SIGN + '<',    NODE_COMPARISON, '<', 3,  3 },
	{ T_SIGN + '>',    NODE_COMPARISON, '>', 3,  3 },
	{ T_LESS_EQUAL,    NODE_COMPARISON, '{', 3,  3 },
	{ T_GREATER_EQUAL, NODE_COMPARISON, '}', 3,  3 },
	{ T_UNEQUAL,       NODE_COMPARISON, '~', 3,  3 },
	{ T_EQUAL,         NODE_COMPARISON, '=', 3,  3 },
	{ T_CONCAT,        NODE_CONCAT,     0,   5,  4 },
	{ T_SIGN + '+',    NODE_ARITHMETIC, '+', 6,  6 },
	{ T_SIGN + '-',    NODE_ARITHMETIC, '-', 6,  6 },
	{ T_SIGN + '*',    NODE_ARITHMETIC, '*', 7,  7 },
	{ T_SIGN + '/',    NODE_ARITHMETIC, '/', 7,  7 },
	{ T_SIGN + '%',    NODE_ARITHMETIC, '%', 7,  7 },
	{ T_SIGN + '^',    NODE_ARITHMETIC, '^', 10, 9 },
	/* clang-format on */
};
#define UNARY 8

static const struct operator* operator_of(enum token t)
{
	for (size_t i = 0; i < COUNT(operators); i++) {
		if (operators[i].token == t)
			return &operators[i];
	}
	return NULL;
}

static const struct node *binary(struct parser *p, int power);

static const struct node *unary(struct parser *p)
{
	enum node_kind kind = p->token == T_NOT ? NODE_NOT
			      : is_sign(p, '-') ? NODE_MINUS
			      : is_sign(p, '#') ? NODE_LENGTH
						: NODE_CONSTANT;

	if (kind == NODE_CONSTANT)
		return suffixed(p);
	next(p);
	return node_new(p, kind, binary(p, UNARY), NULL);
}

static const struct node *binary(struct parser *p, int power)
{
	const struct node *n;

	if (++p->nesting > NESTING) {
		fail(p, true, STR(TOO_DEEP));
		n = node_new(p, NODE_CONSTANT, NULL, NULL);
	} else {
		n = unary(p);
	}
	for (;;) {
		const struct operator* o = operator_of(p->token);
		struct node *both;

		if (!o || o->left <= power)
			break;
		next(p);
		both = node_new(p, o->kind, n, binary(p, o->right));
		both->op = o->op;
		n = both;
	}
	p->nesting--;
	return n;
}

static const struct node *expression(struct parser *p)
{
	return binary(p, 0);
}

/* ---- statements ------------------------------------------------------------------------------ */

/* Its value was read already, so that it does not see itself. */
static int declare(struct parser *p, str name_)
{
	if (p->slots == LUA_LOCALS) {
		fail(p, true, str_fmt(p->a, "more than %d local variables", LUA_LOCALS));
		return 0;
	}
	p->locals[p->n_locals].name = name_;
	p->locals[p->n_locals++].slot = p->slots;
	return p->slots++;
}

static struct statement *local(struct parser *p)
{
	struct statement *s = NEW(p->a, struct statement);
	str name_;

	next(p);
	name_ = want_name(p);
	if (is_sign(p, ','))
		fail(p, true,
		     STR("several names in one 'local' are not supported by this version"));
	if (take_sign(p, '='))
		s->value = expression(p);
	s->kind = STATEMENT_SET;
	s->slot = declare(p, name_);
	return s;
}

static struct statement *assignment(struct parser *p)
{
	struct statement *s = NEW(p->a, struct statement);
	const struct node *to = suffixed(p);

	if (!is_sign(p, '=') || to->kind != NODE_LOCAL) {
		fail(p, true,
		     STR("a statement other than local, assignment to one, if, do and return is "
			 "not supported by this version"));
		return s;
	}
	next(p);
	s->kind = STATEMENT_SET;
	s->slot = to->slot;
	s->value = expression(p);
	return s;
}

/* Names that a block declares end with it. */
static const struct statement *scope(struct parser *p)
{
	int locals = p->n_locals;
	const struct statement *s = block(p);

	p->n_locals = locals;
	return s;
}

/* Behind "if" or "elseif"; takes the one "end" of all. */
static struct statement *condition(struct parser *p)
{
	struct statement *s = NEW(p->a, struct statement);

	s->kind = STATEMENT_IF;
	if (++p->nesting > NESTING) {
		fail(p, true, STR(TOO_DEEP));
		return s;
	}
	next(p);
	s->value = expression(p);
	want(p, T_THEN, "'then'");
	s->block = scope(p);
	if (p->token == T_ELSEIF) {
		s->other = condition(p);
	} else {
		if (take(p, T_ELSE))
			s->other = scope(p);
		want(p, T_END_WORD, "'end'");
	}
	p->nesting--;
	return s;
}

static struct statement *inner(struct parser *p)
{
	struct statement *s = NEW(p->a, struct statement);

	next(p);
	s->kind = STATEMENT_DO;
	s->block = scope(p);
	want(p, T_END_WORD, "'end'");
	return s;
}

static struct statement *last(struct parser *p)
{
	struct statement *s = NEW(p->a, struct statement);

	next(p);
	s->kind = STATEMENT_RETURN;
	if (!is_sign(p, ';') && p->token != T_END_WORD && p->token != T_ELSE &&
	    p->token != T_ELSEIF)
		s->value = expression(p);
	while (take_sign(p, ',')) /* one value is all that a template takes */
		expression(p);
	take_sign(p, ';');
	return s;
}

static bool is_end_of_block(const struct parser *p)
{
	return p->token == T_END_WORD || p->token == T_ELSE || p->token == T_ELSEIF ||
	       p->token == T_END;
}

static struct statement *statement(struct parser *p)
{
	switch (p->token) {
	case T_LOCAL:
		return local(p);
	case T_IF:
		return condition(p);
	case T_DO:
		return inner(p);
	case T_UNSUPPORTED:
		unsupported(p, p->word);
		return NULL;
	default:
		return assignment(p);
	}
}

static const struct statement *block(struct parser *p)
{
	const struct statement *first = NULL, **to = &first;

	if (++p->nesting > NESTING)
		fail(p, true, STR(TOO_DEEP));
	while (!is_end_of_block(p)) {
		bool is_last = p->token == T_RETURN;
		struct statement *s = is_last ? last(p) : statement(p);

		if (p->is_broken)
			break;
		*to = s;
		to = &s->next;
		take_sign(p, ';');
		if (is_last)
			break;
	}
	p->nesting--;
	return first;
}

/* ---- the door ---------------------------------------------------------------------------------- */

const struct expression *expression_compile(struct arena *a, str text,
					    struct expression_error *ret_error)
{
	struct parser p = { .a = a, .text = text };
	struct expression *e = NEW(a, struct expression);

	next(&p);
	e->root = expression(&p);
	if (!p.is_broken && p.token != T_END)
		expected(&p, "')'");
	if (!p.is_broken)
		return e;
	*ret_error = p.error;
	return NULL;
}
