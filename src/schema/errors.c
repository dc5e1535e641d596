/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of errors: how they are made, and the one line that sums them up. */
#include "schema/lua.h"
#include "schema/priv.h"

#include <stdlib.h>

struct value *schema_say(struct arena *a, const char *format, ...)
{
	va_list args;
	str text;

	va_start(args, format);
	text = str_vfmt(a, format, args);
	va_end(args);
	return value_str(a, text);
}

const struct value *schema_get_path(const struct value *doc, str path)
{
	str rest = path, piece;

	while (doc && str_next(&rest, '.', &piece))
		doc = value_get_str(doc, piece);
	return doc;
}

/* What is already said higher up is kept: the deeper one is not added then. */
void schema_set_error(struct arena *a, struct value *errors, str path, struct value *error)
{
	ptrdiff_t dot = str_find(path, '.', 0);
	struct value *below;
	str head;

	if (dot < 0) {
		value_set(a, errors, path, error);
		return;
	}
	head = str_part(path, 0, (size_t)dot);
	below = value_get_str(errors, head);
	if (!below) {
		below = value_object(a);
		value_set(a, errors, head, below);
	}
	if (below->kind == VALUE_OBJECT)
		schema_set_error(a, below, str_from(path, (size_t)dot + 1), error);
}

void schema_error_at(struct arena *a, struct value *errors, const char *path, const char *message)
{
	struct value *text = value_str(a, str_copy(a, str_of(message)));
	struct value *list;

	if (strcmp(path, "@entity") != 0) {
		schema_set_error(a, errors, str_copy(a, str_of(path)), text);
		return;
	}
	list = value_get(errors, "@entity");
	if (!list) {
		list = value_array(a);
		value_set(a, errors, STR("@entity"), list);
	}
	value_add(a, list, text);
}

struct summary {
	struct arena *a;
	strs parts;
	size_t cap;
};

static void add_part(struct summary *s, str part)
{
	if (s->parts.n == s->cap) {
		str *more = NEWS(s->a, str, s->cap * 2 + 8);

		if (s->parts.n)
			memcpy(more, s->parts.v, s->parts.n * sizeof(str));
		s->parts.v = more;
		s->cap = s->cap * 2 + 8;
	}
	s->parts.v[s->parts.n++] = part;
}

/* A tree deeper down, or a text. */
static str detail(struct arena *a, const struct value *v)
{
	return v->kind == VALUE_STRING ? v->s : lua_table(a, v, true);
}

static int by_name(const void *x, const void *y)
{
	const struct member *a = x, *b = y;

	return str_cmp(a->key, b->key);
}

static struct member *sorted_members(struct arena *a, const struct value *v)
{
	struct member *m = arena_copy(a, v->members, v->n * sizeof(*m));

	if (v->n)
		qsort(m, v->n, sizeof(*m), by_name);
	return m;
}

static void add_field(struct summary *s, str name, const struct value *v)
{
	struct member *m;

	if (v->kind == VALUE_ARRAY) {
		for (uint32_t i = 0; i < v->n; i++) {
			if (!value_is_null(v->items[i]))
				add_part(s, str_fmt(s->a, STRF ".%u: " STRF, STRV(name), i + 1,
						    STRV(detail(s->a, v->items[i]))));
		}
		return;
	}
	if (v->kind != VALUE_OBJECT) {
		add_part(s, str_fmt(s->a, STRF ": " STRF, STRV(name), STRV(detail(s->a, v))));
		return;
	}
	m = sorted_members(s->a, v);
	for (uint32_t i = 0; i < v->n; i++)
		add_part(s, str_fmt(s->a, STRF "." STRF ": " STRF, STRV(name), STRV(m[i].key),
				    STRV(detail(s->a, m[i].value))));
}

str schema_message(struct arena *a, const struct value *errors)
{
	struct summary s = { .a = a };
	const struct value *entity = value_get(errors, "@entity");
	struct member *m = sorted_members(a, errors);
	str all;

	for (uint32_t i = 0; entity && i < entity->n; i++)
		add_part(&s, detail(a, entity->items[i]));
	for (uint32_t i = 0; i < errors->n; i++) {
		if (!str_is(m[i].key, "@entity"))
			add_field(&s, m[i].key, m[i].value);
	}
	all = str_join(a, s.parts, STR("; "));
	if (s.parts.n == 1)
		return str_fmt(a, "schema violation (" STRF ")", STRV(all));
	return str_fmt(a, "%zu schema violations (" STRF ")", s.parts.n, STRV(all));
}
