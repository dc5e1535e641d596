/* SPDX-License-Identifier: Apache-2.0 */
/* Penlight's pretty.write, whose habits clients may have learnt: the comma after
 * the last entry is eaten, keys that are no identifiers stand in brackets, text
 * with line ends is quoted with long brackets. */
#include "schema/lua.h"

#include "base/buf.h"
#include <stdlib.h>

#define LUA_TEXT_MAX ((size_t)4 << 20) /* an error message; longer ones are cut */

struct printer {
	struct buf out;
	struct arena *a;
	bool pretty;
};

static bool is_keyword(str s)
{
	static const char *const words[] = {
		"and", "break",    "do",     "else", "elseif", "end",   "false",
		"for", "function", "if",     "in",   "local",  "nil",   "not",
		"or",  "repeat",   "return", "then", "true",   "until", "while",
	};

	for (size_t i = 0; i < COUNT(words); i++) {
		if (str_is(s, words[i]))
			return true;
	}
	return false;
}

static bool is_identifier(str s)
{
	if (!s.n || ascii_is_digit(s.s[0]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_alnum(s.s[i]) && s.s[i] != '_')
			return false;
	}
	return !is_keyword(s);
}

/* The most '=' in a long bracket inside s (with a ']' behind it), or -1. */
static int long_bracket(str s)
{
	int most = -1;

	for (size_t i = 0; i < s.n; i++) {
		size_t k = i + 1;

		if (s.s[i] != '[' && s.s[i] != ']')
			continue;
		while (k < s.n && s.s[k] == '=')
			k++;
		if ((k < s.n ? s.s[k] : ']') == s.s[i] && (int)(k - i - 1) > most)
			most = (int)(k - i - 1);
	}
	return most;
}

static void put_char(struct printer *p, char c, int times)
{
	for (int i = 0; i < times; i++)
		buf_add_char(&p->out, c);
}

static void put_long(struct printer *p, str s, int equals)
{
	buf_add_char(&p->out, '[');
	put_char(p, '=', equals);
	buf_add_char(&p->out, '[');
	if (s.s[0] == '\n')
		buf_add_char(&p->out, '\n');
	buf_add_str(&p->out, s);
	buf_add_char(&p->out, ']');
	put_char(p, '=', equals);
	buf_add_char(&p->out, ']');
}

static void put_quoted(struct printer *p, str s)
{
	int equals = long_bracket(s);

	if ((str_find(s, '\n', 0) >= 0 || equals >= 0) && str_find(s, '\r', 0) < 0) {
		put_long(p, s, equals + 1);
		return;
	}
	buf_add_char(&p->out, '"');
	for (size_t i = 0; i < s.n; i++) {
		char c = s.s[i];

		if (c == '\r')
			buf_add_str(&p->out, STR("\\r"));
		else if (c == '\0')
			buf_add_str(&p->out, STR("\\000"));
		else if (c == '"' || c == '\\' || c == '\n')
			buf_addf(&p->out, "\\%c", c);
		else
			buf_add_char(&p->out, c);
	}
	buf_add_char(&p->out, '"');
}

static void put_line(struct printer *p, int indent)
{
	if (!p->pretty)
		return;
	buf_add_char(&p->out, '\n');
	put_char(p, ' ', 2 * indent);
}

static int by_key(const void *x, const void *y)
{
	const struct member *const *a = x, *const *b = y;

	return str_cmp((*a)->key, (*b)->key);
}

static void put_key(struct printer *p, str key)
{
	if (is_identifier(key)) {
		buf_add_str(&p->out, key);
		return;
	}
	buf_add_char(&p->out, '[');
	put_quoted(p, key);
	buf_add_char(&p->out, ']');
}

static void put_value(struct printer *p, const struct value *v, int indent);

/* The comma before an entry, the line it stands on. */
static void put_entry(struct printer *p, bool *is_first, int indent)
{
	if (!*is_first)
		buf_add_char(&p->out, ',');
	*is_first = false;
	put_line(p, indent + 1);
}

static void put_array(struct printer *p, const struct value *v, int indent)
{
	bool is_first = true, has_gap = false;

	for (uint32_t i = 0; i < v->n; i++) {
		if (value_is_null(v->items[i])) {
			has_gap = true;
			continue;
		}
		put_entry(p, &is_first, indent);
		if (has_gap)
			buf_addf(&p->out, p->pretty ? "[%u] = " : "[%u]=", i + 1);
		put_value(p, v->items[i], indent + 1);
	}
}

static void put_object(struct printer *p, const struct value *v, int indent)
{
	const struct member **sorted = NEWS(p->a, const struct member *, v->n);
	bool is_first = true;

	for (uint32_t i = 0; i < v->n; i++)
		sorted[i] = &v->members[i];
	if (v->n)
		qsort(sorted, v->n, sizeof(struct member *), by_key);
	for (uint32_t i = 0; i < v->n; i++) {
		put_entry(p, &is_first, indent);
		put_key(p, sorted[i]->key);
		buf_add_str(&p->out, p->pretty ? STR(" = ") : STR("="));
		put_value(p, sorted[i]->value, indent + 1);
	}
}

static void put_value(struct printer *p, const struct value *v, int indent)
{
	if (!value_is_null(v) && v->kind == VALUE_STRING) {
		put_quoted(p, v->s);
		return;
	}
	if (value_is_null(v) || (v->kind != VALUE_ARRAY && v->kind != VALUE_OBJECT)) {
		buf_add_str(&p->out, lua_tostring(p->a, v));
		return;
	}
	buf_add_char(&p->out, '{');
	if (v->kind == VALUE_ARRAY)
		put_array(p, v, indent);
	else
		put_object(p, v, indent);
	put_line(p, indent);
	buf_add_char(&p->out, '}');
}

str lua_table(struct arena *a, const struct value *v, bool pretty)
{
	struct printer p = { .a = a, .pretty = pretty };
	str text;

	buf_init(&p.out, LUA_TEXT_MAX);
	put_value(&p, v, 0);
	text = str_copy(a, buf_str(&p.out));
	buf_done(&p.out);
	return text;
}

str lua_tostring(struct arena *a, const struct value *v)
{
	if (value_is_null(v))
		return STR("null");
	switch (v->kind) {
	case VALUE_BOOL:
		return v->b ? STR("true") : STR("false");
	case VALUE_INT:
		return str_fmt(a, "%lld", (long long)v->i);
	case VALUE_REAL:
		return str_fmt(a, "%.14g", v->real);
	case VALUE_STRING:
		return v->s;
	default:
		return lua_table(a, v, false);
	}
}
