/* SPDX-License-Identifier: Apache-2.0 */
/* The language of router_flavor = expressions.
 *
 *	expression := term { ("&&" | "||") term }
 *	term       := "(" expression ")" | test
 *	test       := side operator literal
 *	side       := field | ("lower" | "any") "(" side ")"
 *	operator   := "==" | "!=" | "~" | "^=" | "=^" | ">" | ">=" | "<" | "<="
 *	literal    := "text" | integer (decimal, 0x..., leading 0 is octal)
 *
 * && and || bind equally and from left to right, as in Kong's engine: a || b && c is
 * (a || b) && c.  A test on a field that the request does not have is false, != as well;
 * with several values all must pass, or with any() one.  `in` and `not in` are for
 * addresses, and no field is one. */
#include "route/priv.h"

#include "base/vec.h"

#define EXPRESSION_DEPTH 32   /* parentheses in each other */
#define EXPRESSION_TERMS 4096 /* in one expression */

enum test_field {
	TEST_PROTOCOL,
	TEST_PORT,
	TEST_SNI,
	TEST_METHOD,
	TEST_HOST,
	TEST_PATH,
	TEST_RAW_PATH,
	TEST_HEADER,
};

enum test_op {
	TEST_EQUAL,
	TEST_NOT_EQUAL,
	TEST_REGEX,
	TEST_PREFIX,
	TEST_SUFFIX,
	TEST_GREATER,
	TEST_GREATER_EQUAL,
	TEST_LESS,
	TEST_LESS_EQUAL,
};

/* clang-format off */
static const struct {
	const char *name;
	enum test_field field;
	bool is_int;
	bool folds; /* case does not matter */
} fields[] = {
	{ "net.protocol",  TEST_PROTOCOL, false, false },
	{ "net.port",      TEST_PORT,     true,  false },
	{ "tls.sni",       TEST_SNI,      false, true },
	{ "http.method",   TEST_METHOD,   false, false },
	{ "http.host",     TEST_HOST,     false, true },
	{ "http.path",     TEST_PATH,     false, false },
	{ "http.raw_path", TEST_RAW_PATH, false, false },
	{ "http.headers.", TEST_HEADER,   false, true }, /* the name follows */
};

static const struct {
	const char *text; /* the longer before those it begins with */
	enum test_op op;
	bool takes_text, takes_int;
} ops[] = {
	{ "==", TEST_EQUAL,         true,  true },
	{ "!=", TEST_NOT_EQUAL,     true,  true },
	{ "^=", TEST_PREFIX,        true,  false },
	{ "=^", TEST_SUFFIX,        true,  false },
	{ ">=", TEST_GREATER_EQUAL, false, true },
	{ "<=", TEST_LESS_EQUAL,    false, true },
	{ "~",  TEST_REGEX,         true,  false },
	{ ">",  TEST_GREATER,       false, true },
	{ "<",  TEST_LESS,          false, true },
};
/* clang-format on */

struct test {
	enum test_field field;
	enum test_op op;
	bool lower, any, folds;
	str header; /* lower case, '_' for '-' */
	str text;
	int64_t number;
	const struct regex *regex;
};

struct term {
	bool is_or;                     /* joined to what stands before by ||, else by && */
	const struct expression *group; /* or a test */
	struct test test;
};

struct expression {
	struct term *v;
	size_t n, cap;
};

/* ---- reading --------------------------------------------------------------------- */

struct reader {
	struct arena *a;
	str text;
	size_t at, terms;
};

static struct err *fail_here(const struct reader *r, const char *what)
{
	return FAIL(ERR_INVALID, "column %zu: %s", r->at + 1, what);
}

static void skip_space(struct reader *r)
{
	while (r->at < r->text.n && memchr(" \t\r\n", r->text.s[r->at], 4))
		r->at++;
}

static bool take(struct reader *r, const char *token)
{
	skip_space(r);
	if (!str_starts(str_from(r->text, r->at), str_of(token)))
		return false;
	r->at += strlen(token);
	return true;
}

static str take_word(struct reader *r)
{
	size_t from;

	skip_space(r);
	from = r->at;
	while (r->at < r->text.n && (ascii_is_alnum(r->text.s[r->at]) || r->text.s[r->at] == '_' ||
				     r->text.s[r->at] == '.'))
		r->at++;
	return str_part(r->text, from, r->at);
}

static struct err *read_field(struct reader *r, str word, struct test *t, bool *ret_is_int)
{
	for (size_t i = 0; i < COUNT(fields); i++) {
		str name = str_of(fields[i].name);

		if (fields[i].field == TEST_HEADER ? !str_starts(word, name) || word.n == name.n
						   : !str_eq(word, name))
			continue;
		t->field = fields[i].field;
		t->folds = fields[i].folds;
		if (t->field == TEST_HEADER)
			t->header = str_lower(r->a, str_from(word, name.n));
		*ret_is_int = fields[i].is_int;
		return NULL;
	}
	r->at = (size_t)(word.s - r->text.s);
	return fail_here(r, word.n ? "there is no such field" : "a field is missing");
}

/* any(lower(field)), in either order. */
static struct err *read_side(struct reader *r, struct test *t, bool *ret_is_int)
{
	size_t open = 0;
	str word = take_word(r);

	while (take(r, "(")) {
		if (str_is(word, "lower"))
			t->lower = true;
		else if (str_is(word, "any"))
			t->any = true;
		else
			return fail_here(r, "there is no such function");
		if (++open > EXPRESSION_DEPTH)
			return fail_here(r, "nested too deeply");
		word = take_word(r);
	}
	PASS(read_field(r, word, t, ret_is_int));
	for (; open > 0; open--) {
		if (!take(r, ")"))
			return fail_here(r, "a ')' is missing");
	}
	if (t->lower && *ret_is_int)
		return fail_here(r, "lower() wants a text");
	return NULL;
}

static struct err *read_text(struct reader *r, str *ret)
{
	char *out = arena_bytes(r->a, r->text.n - r->at);
	size_t n = 0;

	for (r->at++; r->at < r->text.n && r->text.s[r->at] != '"'; r->at++) {
		static const char from[] = "nrt\\\"", to[] = "\n\r\t\\\"";
		char c = r->text.s[r->at];

		if (c == '\\') {
			const char *known = r->at + 1 < r->text.n
						    ? memchr(from, r->text.s[r->at + 1], 5)
						    : NULL;

			if (!known)
				return fail_here(r, "there is no such escape");
			c = to[known - from];
			r->at++;
		}
		out[n++] = c;
	}
	if (r->at == r->text.n)
		return fail_here(r, "a '\"' is missing");
	r->at++;
	*ret = str_at(out, n);
	return NULL;
}

static struct err *read_number(struct reader *r, int64_t *ret)
{
	bool minus = take(r, "-");
	str word = take_word(r);
	int base = 10;
	int64_t x = 0;

	if (str_starts(word, STR("0x"))) {
		base = 16;
		word = str_from(word, 2);
	} else if (word.n > 1 && word.s[0] == '0') {
		base = 8;
		word = str_from(word, 1);
	}
	for (size_t i = 0; i < word.n; i++) {
		int digit = ascii_hex(word.s[i]);

		if (digit < 0 || digit >= base || __builtin_mul_overflow(x, base, &x) ||
		    __builtin_add_overflow(x, digit, &x))
			return fail_here(r, "not an integer");
	}
	if (word.n == 0)
		return fail_here(r, "a value is missing");
	*ret = minus ? -x : x;
	return NULL;
}

static struct err *read_literal(struct reader *r, struct test *t, bool is_int, size_t op)
{
	struct regex *re;
	size_t from;

	skip_space(r);
	from = r->at;
	if (r->at < r->text.n && r->text.s[r->at] == '"') {
		if (is_int || !ops[op].takes_text)
			return fail_here(r, "an integer is wanted here");
		PASS(read_text(r, &t->text));
	} else {
		if (!is_int || !ops[op].takes_int)
			return fail_here(r, "a text in double quotes is wanted here");
		PASS(read_number(r, &t->number));
	}
	if (t->op == TEST_REGEX) {
		TRY(regex_new(r->a, t->text, REGEX_UTF | (t->folds ? REGEX_CASELESS : 0), &re),
		    "column %zu: regular expression", from + 1);
		t->regex = re;
	}
	return NULL;
}

static struct err *read_test(struct reader *r, struct test *t)
{
	bool is_int = false;

	PASS(read_side(r, t, &is_int));
	for (size_t i = 0; i < COUNT(ops); i++) {
		if (!take(r, ops[i].text))
			continue;
		t->op = ops[i].op;
		if (is_int ? !ops[i].takes_int : !ops[i].takes_text)
			return fail_here(r, "the operator is not for this field");
		return read_literal(r, t, is_int, i);
	}
	if (take(r, "in") || take(r, "not in"))
		return fail_here(r, "'in' is for addresses, and the field is none");
	return fail_here(r, "an operator is missing");
}

static struct err *read_group(struct reader *r, int depth, struct expression **ret)
{
	struct expression *group = NEW(r->a, struct expression);
	bool is_or = false;

	if (depth == EXPRESSION_DEPTH)
		return fail_here(r, "nested too deeply");
	do {
		struct term term = { .is_or = is_or };
		struct expression *inner;

		if (++r->terms > EXPRESSION_TERMS)
			return fail_here(r, "too many terms");
		if (take(r, "(")) {
			PASS(read_group(r, depth + 1, &inner));
			term.group = inner;
			if (!take(r, ")"))
				return fail_here(r, "a ')' is missing");
		} else {
			PASS(read_test(r, &term.test));
		}
		*vec_add(r->a, group) = term;
		is_or = take(r, "||");
	} while (is_or || take(r, "&&"));
	*ret = group;
	return NULL;
}

struct err *expression_new(struct arena *a, str text, struct expression **ret)
{
	struct reader r = { .a = a, .text = text };
	struct expression *e;

	PASS(read_group(&r, 0, &e));
	skip_space(&r);
	if (r.at < text.n)
		return fail_here(&r, "&& or || is wanted here");
	*ret = e;
	return NULL;
}

struct err *route_check_expression(str text)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct expression *e;

	return expression_new(a, text, &e);
}

/* ---- asking ---------------------------------------------------------------------- */

static bool part_eq(const struct test *t, str part)
{
	if (t->folds)
		return str_eq_ci(part, t->text);
	for (size_t i = 0; i < part.n && part.n == t->text.n; i++) {
		if ((t->lower ? ascii_lower(part.s[i]) : part.s[i]) != t->text.s[i])
			return false;
	}
	return part.n == t->text.n;
}

/* Keeps what a test on the path took, for strip_path and captures. */
static bool text_passes(const struct test *t, struct search *s, str value, struct path_hit *hit)
{
	struct regex_span whole;
	bool passes;

	switch (t->op) {
	case TEST_EQUAL:
		return part_eq(t, value);
	case TEST_NOT_EQUAL:
		return !part_eq(t, value);
	case TEST_SUFFIX:
		return value.n >= t->text.n && part_eq(t, str_from(value, value.n - t->text.n));
	case TEST_PREFIX:
		passes = value.n >= t->text.n && part_eq(t, str_part(value, 0, t->text.n));
		if (passes && t->field == TEST_PATH)
			*hit = (struct path_hit){ .text = t->text, .prefix = t->text.n };
		return passes;
	default:
		passes =
			regex_match(t->regex, t->lower ? str_lower(s->a, value) : value, &whole, 1);
		if (passes && t->field == TEST_PATH && whole.from == 0)
			*hit = (struct path_hit){ t->text, whole.to, t->regex, t->lower };
		return passes;
	}
}

static bool number_passes(const struct test *t, int64_t x)
{
	switch (t->op) {
	case TEST_EQUAL:
		return x == t->number;
	case TEST_NOT_EQUAL:
		return x != t->number;
	case TEST_GREATER:
		return x > t->number;
	case TEST_GREATER_EQUAL:
		return x >= t->number;
	case TEST_LESS:
		return x < t->number;
	default:
		return x <= t->number;
	}
}

static bool is_named(str header, str name)
{
	if (header.n != name.n)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.s[i] == '-' ? '_' : ascii_lower(name.s[i]);

		if (c != header.s[i])
			return false;
	}
	return true;
}

static bool headers_pass(const struct test *t, struct search *s, struct path_hit *hit)
{
	const struct http_headers *headers = s->q->headers;
	bool is_there = false;

	for (unsigned i = 0; headers && i < headers->n; i++) {
		if (!is_named(t->header, headers->v[i].name))
			continue;
		is_there = true;
		if (text_passes(t, s, headers->v[i].value, hit) == t->any)
			return t->any;
	}
	return is_there && !t->any;
}

static bool test_passes(const struct test *t, struct search *s, struct path_hit *hit)
{
	switch (t->field) {
	case TEST_PROTOCOL:
		return text_passes(t, s, s->q->is_tls ? STR("https") : STR("http"), hit);
	case TEST_PORT:
		return s->port != PORT_ANY && number_passes(t, s->port);
	case TEST_SNI:
		return s->sni.n && text_passes(t, s, s->sni, hit);
	case TEST_METHOD:
		return text_passes(t, s, s->q->method, hit);
	case TEST_HOST:
		return s->host.n && text_passes(t, s, s->host, hit);
	case TEST_PATH:
		return text_passes(t, s, s->q->path, hit);
	case TEST_HEADER:
		return headers_pass(t, s, hit);
	case TEST_RAW_PATH: /* Kong 3.2 knows the name and never gives it a value */
		break;
	}
	return false;
}

bool expression_fits(const struct expression *e, struct search *s, struct path_hit *hit)
{
	bool so_far = true;

	for (size_t i = 0; i < e->n; i++) {
		const struct term *term = &e->v[i];

		if (i && so_far == term->is_or) /* decided whatever this one says */
			continue;
		so_far = term->group ? expression_fits(term->group, s, hit)
				     : test_passes(&term->test, s, hit);
	}
	return so_far;
}

/* ---- what must hold for the index to find it ------------------------------------- */

/* The texts one of which the field must equal (host) or begin with (path); false when
 * the test says nothing of the kind. */
static bool test_needs(struct arena *a, const struct test *t, enum test_field field, strs *ret)
{
	str text = t->text;
	bool is_exact = t->op == TEST_EQUAL;

	if (t->field != field || t->lower)
		return false;
	if (field == TEST_PATH && t->op == TEST_REGEX && str_starts(text, STR("^")))
		text = path_literal_prefix(a, text);
	else if (!is_exact && !(field == TEST_PATH && t->op == TEST_PREFIX))
		return false;
	if (field == TEST_HOST)
		text = host_lower(a, text);
	*ret = (strs){ arena_copy(a, &text, sizeof(text)), 1 };
	return true;
}

static bool needs(struct arena *a, const struct expression *e, enum test_field field, strs *ret)
{
	bool has = false;

	for (size_t i = 0; i < e->n; i++) {
		const struct term *term = &e->v[i];
		strs more;
		bool adds = term->group ? needs(a, term->group, field, &more)
					: test_needs(a, &term->test, field, &more);

		if (i && term->is_or) {
			str *both;

			has = has && adds;
			if (!has)
				continue;
			both = NEWS(a, str, ret->n + more.n);
			memcpy(both, ret->v, ret->n * sizeof(str));
			memcpy(both + ret->n, more.v, more.n * sizeof(str));
			*ret = (strs){ both, ret->n + more.n };
		} else if (!has && adds) {
			*ret = more;
			has = true;
		}
	}
	return has;
}

bool expression_hosts(struct arena *a, const struct expression *e, strs *ret)
{
	return needs(a, e, TEST_HOST, ret);
}

bool expression_paths(struct arena *a, const struct expression *e, strs *ret)
{
	return needs(a, e, TEST_PATH, ret);
}
