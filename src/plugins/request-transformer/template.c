/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/request-transformer/template.h"

struct piece {
	str text; /* as it stands, when there is no expression */
	const struct expression *expression;
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

const struct template *template_compile(struct arena *a, str text,
					struct expression_error *ret_error)
{
	struct template *t = NEW(a, struct template);
	size_t from = 0;

	if (text.n > TEMPLATE_MAX) {
		*ret_error =
			(struct expression_error){ str_fmt(a, "longer than %d bytes", TEMPLATE_MAX),
						   true };
		return NULL;
	}
	while (from < text.n) {
		size_t size = 0, at = find(text, from, &size);
		struct piece *p;

		if (at > from)
			vec_add(a, t)->text = str_part(text, from, at);
		if (at == text.n)
			break;
		p = vec_add(a, t);
		p->expression =
			expression_compile(a, str_part(text, at + 2, at + size - 1), ret_error);
		if (!p->expression)
			return NULL;
		from = at + size;
	}
	return t;
}

bool template_render(const struct template *t, struct lua_scope *scope, str *ret)
{
	str *pieces = NEWS(scope->a, str, t->n);

	for (size_t i = 0; i < t->n; i++) {
		pieces[i] = t->v[i].text;
		if (t->v[i].expression && !expression_text(t->v[i].expression, scope, &pieces[i]))
			return false;
	}
	*ret = t->n == 1 ? pieces[0] : str_join(scope->a, (strs){ pieces, t->n }, STR(""));
	return true;
}
