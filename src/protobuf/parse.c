/* SPDX-License-Identifier: Apache-2.0 */
/* The language of .proto files, proto2 and proto3, read by descent.
 *
 * What does not bear on messages and methods (options, reserved ranges, extensions) is
 * read over, but it has to be well-formed. */
#include "protobuf/priv.h"

enum token { END, NAME, NUMBER, TEXT, SIGN };

struct reader {
	struct arena *a;
	const char *at, *end;
	int line;
	unsigned depth;
	struct proto_file *file;

	/* The token at hand. */
	enum token kind;
	str text; /* of TEXT: what it stands for */
};

#define BAD(r, ...) err_in(FAIL(ERR_INVALID, __VA_ARGS__), __FILE__, __LINE__, "line %d", (r)->line)

/* ---- tokens --------------------------------------------------------------------------- */

static struct err *skip_comment(struct reader *r)
{
	if (r->at[1] == '/') {
		while (r->at < r->end && *r->at != '\n')
			r->at++;
		return NULL;
	}
	for (r->at += 2; r->end - r->at >= 2; r->at++) {
		if (r->at[0] == '*' && r->at[1] == '/') {
			r->at += 2;
			return NULL;
		}
		r->line += *r->at == '\n';
	}
	return BAD(r, "a comment does not end");
}

static struct err *skip_space(struct reader *r)
{
	while (r->at < r->end) {
		if (*r->at == '\n')
			r->line++;
		if (strchr(" \t\r\n\f\v", *r->at) && *r->at) {
			r->at++;
		} else if (r->end - r->at >= 2 && r->at[0] == '/' &&
			   (r->at[1] == '/' || r->at[1] == '*')) {
			PASS(skip_comment(r));
		} else {
			break;
		}
	}
	return NULL;
}

static bool is_name_char(char c)
{
	return ascii_is_alnum(c) || c == '_' || c == '.';
}

/* \n, \x41, \101 and the like: the byte, or -1. */
static int escaped(struct reader *r)
{
	static const char from[] = "abfnrtv\\'\"?", to[] = "\a\b\f\n\r\t\v\\'\"?";
	const char *known;
	int n = 0, value = 0;

	if (r->at == r->end)
		return -1;
	known = *r->at ? strchr(from, *r->at) : NULL;
	if (known) {
		r->at++;
		return (unsigned char)to[known - from];
	}
	if (*r->at == 'x' || *r->at == 'X') {
		for (r->at++; n < 2 && r->at < r->end && ascii_hex(*r->at) >= 0; n++)
			value = value * 16 + ascii_hex(*r->at++);
		return n ? value : -1;
	}
	for (; n < 3 && r->at < r->end && *r->at >= '0' && *r->at <= '7'; n++)
		value = value * 8 + (*r->at++ - '0');
	return n ? value & 255 : -1;
}

static struct err *read_text(struct reader *r)
{
	char quote = *r->at++, *out = arena_bytes(r->a, (size_t)(r->end - r->at) + 1);
	size_t n = 0;

	while (r->at < r->end && *r->at != quote && *r->at != '\n') {
		int c = (unsigned char)*r->at++;

		if (c == '\\')
			c = escaped(r);
		if (c < 0)
			return BAD(r, "a text has a bad escape");
		out[n++] = (char)c;
	}
	if (r->at == r->end || *r->at != quote)
		return BAD(r, "a text does not end");
	r->at++;
	r->kind = TEXT;
	r->text = str_copy(r->a, str_at(out, n));
	return NULL;
}

static struct err *next(struct reader *r)
{
	const char *start;

	PASS(skip_space(r));
	start = r->at;
	if (r->at == r->end) {
		r->kind = END;
		r->text = STR("the end");
		return NULL;
	}
	if (*r->at == '"' || *r->at == '\'')
		return read_text(r);
	if (is_name_char(*r->at)) {
		r->kind = ascii_is_digit(*r->at) ? NUMBER : NAME;
		while (r->at < r->end &&
		       (is_name_char(*r->at) || (r->kind == NUMBER && r->at[-1] == 'e' &&
						 (*r->at == '-' || *r->at == '+'))))
			r->at++;
	} else {
		r->kind = SIGN;
		r->at++;
	}
	r->text = str_at(start, (size_t)(r->at - start));
	return NULL;
}

static bool sees(const struct reader *r, const char *what)
{
	return (r->kind == SIGN || r->kind == NAME) && str_is(r->text, what);
}

/* Takes the token when it is that one. */
static struct err *may(struct reader *r, const char *what, bool *ret)
{
	*ret = sees(r, what);
	return *ret ? next(r) : NULL;
}

static struct err *must(struct reader *r, const char *what)
{
	if (!sees(r, what))
		return BAD(r, "expected %s, not " STRF, what, STRV(r->text));
	return next(r);
}

static struct err *take(struct reader *r, enum token kind, const char *what, str *ret)
{
	if (r->kind != kind)
		return BAD(r, "expected %s, not " STRF, what, STRV(r->text));
	*ret = r->text;
	return next(r);
}

static struct err *take_name(struct reader *r, str *ret)
{
	return take(r, NAME, "a name", ret);
}

/* A text may come in several pieces. */
static struct err *take_text(struct reader *r, str *ret)
{
	str more;

	PASS(take(r, TEXT, "a text", ret));
	while (r->kind == TEXT) {
		PASS(take(r, TEXT, "a text", &more));
		*ret = str_cat(r->a, *ret, more);
	}
	return NULL;
}

static bool to_number(str s, int64_t *ret)
{
	uint64_t u = 0;

	if (str_starts_ci(s, STR("0x"))) {
		if (!str_to_hex(str_from(s, 2), &u) || u > INT64_MAX)
			return false;
		*ret = (int64_t)u;
		return true;
	}
	if (s.n > 1 && s.s[0] == '0') {
		for (size_t i = 1; i < s.n; i++) {
			if (s.s[i] < '0' || s.s[i] > '7' || u >> 60)
				return false;
			u = u * 8 + (uint64_t)(s.s[i] - '0');
		}
		*ret = (int64_t)u;
		return true;
	}
	return str_to_int(s, ret);
}

static struct err *take_number(struct reader *r, int64_t *ret)
{
	bool is_minus;
	str text;

	PASS(may(r, "-", &is_minus));
	PASS(take(r, NUMBER, "a number", &text));
	if (!to_number(text, ret))
		return BAD(r, STRF " is no whole number", STRV(text));
	if (is_minus)
		*ret = -*ret;
	return NULL;
}

/* ---- what is read over ------------------------------------------------------------------ */

static struct err *deeper(struct reader *r)
{
	return ++r->depth > NESTED_MOST ? BAD(r, "nested too deep") : NULL;
}

/* Up to the sign, which is taken; brackets in between are whole. */
static struct err *skip_to(struct reader *r, const char *sign)
{
	PASS(deeper(r));
	while (!sees(r, sign)) {
		const char *close = sees(r, "{")   ? "}"
				    : sees(r, "[") ? "]"
				    : sees(r, "(") ? ")"
						   : NULL;

		if (r->kind == END)
			return BAD(r, "expected %s, not the end", sign);
		PASS(next(r));
		if (close)
			PASS(skip_to(r, close));
	}
	r->depth--;
	return next(r);
}

/* A statement: up to its semicolon, or to the end of its block. */
static struct err *skip_statement(struct reader *r)
{
	while (!sees(r, ";") && !sees(r, "{")) {
		if (r->kind == END)
			return BAD(r, "a statement does not end");
		if (sees(r, "[")) {
			PASS(next(r));
			PASS(skip_to(r, "]"));
			continue;
		}
		PASS(next(r));
	}
	if (sees(r, ";"))
		return next(r);
	PASS(next(r));
	return skip_to(r, "}");
}

/* ---- fields ------------------------------------------------------------------------------- */

static enum proto_type scalar(str name)
{
	static const struct {
		const char *name;
		enum proto_type type;
	} rows[] = {
		{ "double", PROTO_DOUBLE },     { "float", PROTO_FLOAT },
		{ "int64", PROTO_INT64 },       { "uint64", PROTO_UINT64 },
		{ "int32", PROTO_INT32 },       { "fixed64", PROTO_FIXED64 },
		{ "fixed32", PROTO_FIXED32 },   { "bool", PROTO_BOOL },
		{ "string", PROTO_STRING },     { "bytes", PROTO_BYTES },
		{ "uint32", PROTO_UINT32 },     { "sfixed32", PROTO_SFIXED32 },
		{ "sfixed64", PROTO_SFIXED64 }, { "sint32", PROTO_SINT32 },
		{ "sint64", PROTO_SINT64 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (str_is(name, rows[i].name))
			return rows[i].type;
	}
	return PROTO_MESSAGE; /* or an enum: known once names are resolved */
}

static void set_type(struct proto_field *f, str name)
{
	f->type = scalar(name);
	if (f->type == PROTO_MESSAGE)
		f->type_name = name;
}

/* [packed = true, deprecated = true] */
static struct err *read_field_options(struct reader *r, struct proto_field *f)
{
	bool is_there;

	PASS(may(r, "[", &is_there));
	if (!is_there)
		return NULL;
	while (!sees(r, "]")) {
		bool is_packed = sees(r, "packed");

		if (r->kind == END)
			return BAD(r, "options do not end");
		PASS(next(r));
		if (is_packed && sees(r, "=")) {
			PASS(next(r));
			f->is_packed = sees(r, "true");
		} else if (sees(r, "{")) {
			PASS(next(r));
			PASS(skip_to(r, "}"));
		}
	}
	return next(r);
}

static struct err *check_number(struct reader *r, const struct proto_message *m, int64_t n)
{
	if (n < 1 || n >= 1 << 29 || (n >= 19000 && n < 20000))
		return BAD(r, "%lld is no number for a field", (long long)n);
	for (size_t i = 0; i < m->fields.n; i++) {
		if (m->fields.v[i].number == n)
			return BAD(r, "two fields of " STRF " have the number %lld", STRV(m->name),
				   (long long)n);
	}
	return NULL;
}

/* "= 3 [...];" behind the name. */
static struct err *read_field_end(struct reader *r, struct proto_message *m, struct proto_field *f)
{
	PASS(must(r, "="));
	PASS(take_number(r, &f->number));
	PASS(check_number(r, m, f->number));
	f->is_packed = f->is_repeated && !r->file->is_proto2;
	PASS(read_field_options(r, f));
	PASS(must(r, ";"));
	*vec_add(r->a, &m->fields) = *f;
	return NULL;
}

static struct proto_message *add_message(struct reader *r, str name)
{
	struct proto_message *m = NEW(r->a, struct proto_message);

	m->name = name;
	m->is_timestamp = str_is(name, "google.protobuf.Timestamp");
	*vec_add(r->a, &r->file->messages) = m;
	return m;
}

static struct err *read_map(struct reader *r, struct proto_message *m)
{
	struct proto_field f = { .type = PROTO_MESSAGE, .is_repeated = true };
	struct proto_message *entry = add_message(r, STR_NONE);
	struct proto_field *key, *value;
	str name;

	entry->is_map_entry = true;
	PASS(must(r, "<"));
	key = vec_add(r->a, &entry->fields);
	*key = (struct proto_field){ .name = STR("key"), .number = 1 };
	PASS(take_name(r, &name));
	set_type(key, name);
	if (key->type == PROTO_MESSAGE || key->type == PROTO_BYTES || key->type <= PROTO_FLOAT)
		return BAD(r, STRF " is no type for keys", STRV(name));
	PASS(must(r, ","));
	value = vec_add(r->a, &entry->fields);
	*value = (struct proto_field){ .name = STR("value"), .number = 2 };
	PASS(take_name(r, &name));
	set_type(value, name);
	PASS(must(r, ">"));
	PASS(take_name(r, &f.name));
	entry->name = str_fmt(r->a, STRF "." STRF ".entry", STRV(m->name), STRV(f.name));
	f.message = entry;
	return read_field_end(r, m, &f);
}

static struct err *read_field(struct reader *r, struct proto_message *m, bool is_oneof)
{
	struct proto_field f = { .has_presence = is_oneof || r->file->is_proto2 };
	bool is_optional, is_required = false;
	str type;

	PASS(may(r, "repeated", &f.is_repeated));
	PASS(may(r, "optional", &is_optional));
	if (r->file->is_proto2)
		PASS(may(r, "required", &is_required));
	f.has_presence |= is_optional;
	PASS(take_name(r, &type));
	if (str_is(type, "map") && sees(r, "<"))
		return read_map(r, m);
	if (str_is(type, "group"))
		return BAD(r, "groups are not supported");
	set_type(&f, type);
	PASS(take_name(r, &f.name));
	return read_field_end(r, m, &f);
}

/* ---- messages and enums ---------------------------------------------------------------------- */

static str full_name(struct reader *r, str scope, str name)
{
	return scope.n ? str_fmt(r->a, STRF "." STRF, STRV(scope), STRV(name)) : name;
}

static struct err *read_enum(struct reader *r, str scope)
{
	struct proto_enum *e = NEW(r->a, struct proto_enum);
	str name;

	PASS(take_name(r, &name));
	e->name = full_name(r, scope, name);
	*vec_add(r->a, &r->file->enums) = e;
	PASS(must(r, "{"));
	while (!sees(r, "}")) {
		struct proto_field ignored = { 0 };
		struct proto_enum_value *v;

		if (sees(r, "option") || sees(r, "reserved") || sees(r, ";")) {
			PASS(skip_statement(r));
			continue;
		}
		v = vec_add(r->a, &e->values);
		PASS(take_name(r, &v->name));
		PASS(must(r, "="));
		PASS(take_number(r, &v->number));
		PASS(read_field_options(r, &ignored));
		PASS(must(r, ";"));
	}
	return e->values.n ? next(r) : BAD(r, "enum " STRF " has no values", STRV(e->name));
}

static struct err *read_message(struct reader *r, str scope);

static struct err *read_oneof(struct reader *r, struct proto_message *m)
{
	str name;

	PASS(take_name(r, &name));
	PASS(must(r, "{"));
	while (!sees(r, "}")) {
		if (sees(r, "option") || sees(r, ";"))
			PASS(skip_statement(r));
		else
			PASS(read_field(r, m, true));
	}
	return next(r);
}

static struct err *read_member(struct reader *r, struct proto_message *m)
{
	if (sees(r, "message")) {
		PASS(next(r));
		return read_message(r, m->name);
	}
	if (sees(r, "enum")) {
		PASS(next(r));
		return read_enum(r, m->name);
	}
	if (sees(r, "oneof")) {
		PASS(next(r));
		return read_oneof(r, m);
	}
	if (sees(r, "option") || sees(r, "reserved") || sees(r, "extensions") ||
	    sees(r, "extend") || sees(r, ";"))
		return skip_statement(r);
	return read_field(r, m, false);
}

static struct err *read_message(struct reader *r, str scope)
{
	struct proto_message *m;
	str name;

	PASS(deeper(r));
	PASS(take_name(r, &name));
	m = add_message(r, full_name(r, scope, name));
	PASS(must(r, "{"));
	while (!sees(r, "}"))
		PASS(read_member(r, m));
	r->depth--;
	return next(r);
}

/* ---- services ---------------------------------------------------------------------------------- */

static struct err *read_rule(struct reader *r, struct proto_method *m, bool is_additional);

/* { kind: "HEAD" path: "/x" } */
static struct err *read_custom(struct reader *r, struct proto_rule *rule)
{
	PASS(must(r, "{"));
	while (!sees(r, "}")) {
		bool ignored;
		str key, value;

		PASS(take_name(r, &key));
		PASS(may(r, ":", &ignored));
		PASS(take_text(r, &value));
		if (str_is(key, "kind"))
			rule->method = str_upper(r->a, value);
		else if (str_is(key, "path"))
			rule->path = value;
		PASS(may(r, sees(r, ",") ? "," : ";", &ignored));
	}
	return next(r);
}

static struct err *read_rule_field(struct reader *r, struct proto_method *m,
				   struct proto_rule *rule, bool is_additional)
{
	static const char *const methods[] = { "get", "put", "post", "delete", "patch" };
	bool ignored;
	str key, value;

	PASS(take_name(r, &key));
	PASS(may(r, ":", &ignored));
	if (str_is(key, "custom"))
		return read_custom(r, rule);
	if (str_is(key, "additional_bindings") && !is_additional) {
		PASS(may(r, "[", &ignored));
		if (!ignored)
			return read_rule(r, m, true);
		while (!sees(r, "]")) {
			PASS(read_rule(r, m, true));
			PASS(may(r, ",", &ignored));
		}
		return next(r);
	}
	PASS(take_text(r, &value));
	if (str_is(key, "body"))
		rule->body = value;
	for (size_t i = 0; i < COUNT(methods); i++) {
		if (str_is(key, methods[i])) {
			rule->method = str_upper(r->a, key);
			rule->path = value;
		}
	}
	return NULL;
}

/* The value of an option google.api.http: { get: "/v1/x" body: "*" ... }. */
static struct err *read_rule(struct reader *r, struct proto_method *m, bool is_additional)
{
	struct proto_rule rule = { 0 };
	size_t at = m->rules.n;
	bool ignored;

	vec_add(r->a, &m->rules);
	PASS(must(r, "{"));
	while (!sees(r, "}")) {
		PASS(read_rule_field(r, m, &rule, is_additional));
		PASS(may(r, sees(r, ",") ? "," : ";", &ignored));
	}
	if (rule.path.n && !proto_template_is_good(rule.path))
		return BAD(r, STRF " is no path template", STRV(rule.path));
	m->rules.v[at] = rule; /* the list may have moved meanwhile */
	return next(r);
}

/* option (google.api.http) = {...}, or (google.api.http).get = "..." */
static struct err *read_method_option(struct reader *r, struct proto_method *m)
{
	bool is_bracket;
	str name;

	PASS(may(r, "(", &is_bracket));
	if (!is_bracket)
		return skip_statement(r);
	PASS(take_name(r, &name));
	PASS(must(r, ")"));
	if (!str_is(name, "google.api.http") && !str_is(name, ".google.api.http"))
		return skip_statement(r);
	if (!sees(r, "="))
		return BAD(r, "option google.api.http is to be one value");
	PASS(next(r));
	PASS(read_rule(r, m, false));
	return must(r, ";");
}

static struct err *read_type_in_brackets(struct reader *r, str *ret)
{
	bool ignored;

	PASS(must(r, "("));
	PASS(may(r, "stream", &ignored));
	PASS(take_name(r, ret));
	return must(r, ")");
}

static struct err *read_method(struct reader *r, str service)
{
	struct proto_method *m = vec_add(r->a, &r->file->methods);
	bool has_block;
	str name;

	PASS(take_name(r, &name));
	m->path = str_fmt(r->a, "/" STRF "/" STRF, STRV(service), STRV(name));
	PASS(read_type_in_brackets(r, &m->input_name));
	PASS(must(r, "returns"));
	PASS(read_type_in_brackets(r, &m->output_name));
	PASS(may(r, "{", &has_block));
	if (!has_block)
		return must(r, ";");
	while (!sees(r, "}")) {
		bool is_option;

		PASS(may(r, "option", &is_option));
		if (is_option)
			PASS(read_method_option(r, m));
		else
			PASS(must(r, ";"));
	}
	return next(r);
}

static struct err *read_service(struct reader *r)
{
	str name;

	PASS(take_name(r, &name));
	name = full_name(r, r->file->package, name);
	PASS(must(r, "{"));
	while (!sees(r, "}")) {
		bool is_method;

		PASS(may(r, "rpc", &is_method));
		if (is_method)
			PASS(read_method(r, name));
		else if (sees(r, "option") || sees(r, ";"))
			PASS(skip_statement(r));
		else
			return BAD(r, "expected a method, not " STRF, STRV(r->text));
	}
	return next(r);
}

/* ---- files ----------------------------------------------------------------------------------------- */

static struct err *read_import(struct reader *r)
{
	struct proto_import import = { 0 };
	bool ignored;

	PASS(may(r, "weak", &ignored));
	PASS(may(r, "public", &import.is_public));
	PASS(take_text(r, &import.path));
	*vec_add(r->a, &r->file->imports) = import;
	return must(r, ";");
}

static struct err *read_syntax(struct reader *r)
{
	str syntax;

	PASS(must(r, "="));
	PASS(take_text(r, &syntax));
	if (!str_is(syntax, "proto2") && !str_is(syntax, "proto3"))
		return BAD(r, "syntax " STRF " is not known", STRV(syntax));
	r->file->is_proto2 = str_is(syntax, "proto2");
	return must(r, ";");
}

static struct err *read_statement(struct reader *r)
{
	str word;

	if (sees(r, "option") || sees(r, "extend") || sees(r, ";"))
		return skip_statement(r);
	PASS(take_name(r, &word));
	if (str_is(word, "syntax"))
		return read_syntax(r);
	if (str_is(word, "import"))
		return read_import(r);
	if (str_is(word, "message"))
		return read_message(r, r->file->package);
	if (str_is(word, "enum"))
		return read_enum(r, r->file->package);
	if (str_is(word, "service"))
		return read_service(r);
	if (!str_is(word, "package"))
		return BAD(r, STRF " is not understood", STRV(word));
	PASS(take_name(r, &r->file->package));
	return must(r, ";");
}

struct err *proto_parse(struct arena *a, str text, struct proto_file *ret)
{
	struct reader r = { .a = a, .at = text.s, .end = text.s + text.n, .line = 1, .file = ret };

	if (text.n > FILE_MOST)
		return FAIL(ERR_INVALID, "larger than %zu bytes", FILE_MOST);
	ret->is_proto2 = true; /* until it says otherwise */
	PASS(next(&r));
	while (r.kind != END)
		PASS(read_statement(&r));
	return NULL;
}
