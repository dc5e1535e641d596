/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions are chunks of the gateway's Lua, in a world of their own: the request's tables,
 * type(), and the methods of texts. */
#include "plugins/request-transformer/template.h"

struct piece {
	str text; /* as it stands, or a chunk */
	bool is_chunk;
};

struct template
{
	struct piece *v;
	size_t n, cap;
};

/* Of "(...)": how many bytes, with both parentheses; 0: it does not end. */
static size_t balanced(str s)
{
	int open = 0;

	for (size_t i = 0; i < s.n; i++) {
		open += (s.s[i] == '(') - (s.s[i] == ')');
		if (open == 0)
			return i + 1;
	}
	return 0;
}

/* The next "$(...)", from `from` on: where it begins; text.n: there is none. */
static size_t find(str text, size_t from, size_t *ret_size)
{
	for (size_t i = from; i + 1 < text.n; i++) {
		if (text.s[i] != '$' || text.s[i + 1] != '(')
			continue;
		*ret_size = balanced(str_from(text, i + 1)) + 1;
		if (*ret_size > 1)
			return i;
	}
	return text.n;
}

const struct template *template_compile(struct arena *a, str text, str *ret_why)
{
	struct template *t = NEW(a, struct template);
	size_t from = 0;

	if (text.n > TEMPLATE_MAX) {
		*ret_why = str_fmt(a, "longer than %d bytes", TEMPLATE_MAX);
		return NULL;
	}
	while (from < text.n) {
		size_t size = 0, at = find(text, from, &size);
		struct piece *p;
		struct err *e;

		if (at > from)
			vec_add(a, t)->text = str_part(text, from, at);
		if (at == text.n)
			break;
		p = vec_add(a, t);
		p->text = str_cat(a, STR("return ("), str_part(text, at + 2, at + size - 1),
				  STR("\n)"));
		p->is_chunk = true;
		e = script_check(p->text);
		if (e) {
			*ret_why = str_copy(a, str_of(e->text));
			err_forget();
			return NULL;
		}
		from = at + size;
	}
	return t;
}

/* ---- what expressions see ------------------------------------------------------------------- */

static const struct value *known(struct template_scope *s, enum template_global which)
{
	if (!s->known[which])
		s->known[which] = s->global(s->arg, which);
	return s->known[which];
}

static const struct value *header(struct arena *a, const struct value *headers, str name)
{
	const struct value *v;
	char *other;

	name = str_lower(a, name);
	v = value_get_str(headers, name);
	if (v)
		return v;
	other = str_z(a, name);
	for (size_t i = 0; i < name.n; i++)
		other[i] = other[i] == '_' ? '-' : other[i];
	return value_get_str(headers, str_at(other, name.n));
}

static struct err *read_header(struct script_call *c)
{
	str name;

	PASS(script_text(c, 0, &name));
	return script_return(c, header(c->a, known(c->subject, TEMPLATE_HEADERS), name));
}

static struct err *read_member(struct script_call *c, enum template_global which)
{
	const struct value *key = script_arg(c, 0);
	const struct value *v = NULL;

	if (key && key->kind == VALUE_STRING)
		v = value_get_str(known(c->subject, which), key->s);
	return script_return(c, value_is_null(v) ? NULL : v);
}

static struct err *read_query_param(struct script_call *c)
{
	return read_member(c, TEMPLATE_QUERY_PARAMS);
}

/* Groups without a name have numbers, which are no texts. */
static struct err *read_capture(struct script_call *c)
{
	const struct value *key = script_arg(c, 0);
	int64_t number;

	if (key && key->kind == VALUE_STRING && str_to_int(key->s, &number))
		return script_return(c, NULL);
	if (!key || key->kind != VALUE_INT)
		return read_member(c, TEMPLATE_URI_CAPTURES);
	return script_return(c, value_get_str(known(c->subject, TEMPLATE_URI_CAPTURES),
					      str_fmt(c->a, "%lld", (long long)key->i)));
}

static struct err *read_shared(struct script_call *c)
{
	return read_member(c, TEMPLATE_SHARED);
}

static const struct script_host rows[] = {
	{ .name = "headers", .read = read_header },
	{ .name = "query_params", .read = read_query_param },
	{ .name = "uri_captures", .read = read_capture },
	{ .name = "shared", .read = read_shared },
	{ 0 },
};
static const struct script_host *const hosts[] = { rows, NULL };
static const struct script_world world = { hosts, .is_bare = true };

/* ---- rendering ------------------------------------------------------------------------------- */

/* What a value stands for in a text: nothing for nil and false. */
static str value_as_text(struct arena *a, const struct value *v)
{
	str *texts;

	if (value_is_null(v) || (v->kind == VALUE_BOOL && !v->b))
		return STR("");
	if (v->kind == VALUE_STRING)
		return v->s;
	if (v->kind == VALUE_INT || v->kind == VALUE_REAL)
		return str_fmt(a, "%.14g", value_num(v));
	if (v->kind != VALUE_ARRAY)
		return json_text(a, v, JSON_COMPACT);
	texts = NEWS(a, str, v->n);
	for (uint32_t i = 0; i < v->n; i++)
		texts[i] = value_as_text(a, v->items[i]);
	return str_join(a, (strs){ texts, v->n }, STR(", "));
}

bool template_render(const struct template *t, struct template_scope *scope, str *ret)
{
	str *pieces = NEWS(scope->a, str, t->n);

	for (size_t i = 0; i < t->n; i++) {
		const struct value *v;
		struct err *e;

		pieces[i] = t->v[i].text;
		if (!t->v[i].is_chunk)
			continue;
		e = script_run(scope->a, &world, t->v[i].text, scope, &v);
		if (e) {
			*ret = str_copy(scope->a, str_of(e->text));
			return false;
		}
		pieces[i] = value_as_text(scope->a, v);
	}
	*ret = t->n == 1 ? pieces[0] : str_join(scope->a, (strs){ pieces, t->n }, STR(""));
	return true;
}
