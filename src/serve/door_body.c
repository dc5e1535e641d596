/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: a request's body as arguments (gibbon/plugin.h). */
#include "serve/phases.h"

#include "base/json.h"
#include "base/vec.h"

#define ARGS_MAX 1000

static void put(struct arena *a, struct value *to, str key, struct value *v)
{
	struct value *before = value_get_str(to, key), *list;

	if (!before) {
		value_set(a, to, key, v);
		return;
	}
	if (before->kind != VALUE_ARRAY) {
		list = value_array(a);
		value_add(a, list, before);
		value_set(a, to, key, list);
		before = list;
	}
	value_add(a, before, v);
}

void args_append(struct arena *a, struct value *args, str name, struct value *v)
{
	struct value *now = value_get_str(args, name), *list;
	unsigned number = 1;

	if (now && now->kind == VALUE_ARRAY) {
		value_add(a, now, v);
		return;
	}
	if (now && now->kind == VALUE_OBJECT) {
		while (value_get_str(now, str_fmt(a, "%u", number)))
			number++;
		value_set(a, now, str_fmt(a, "%u", number), v);
		return;
	}
	list = value_array(a);
	if (now && now->kind == VALUE_STRING)
		value_add(a, list, now);
	value_add(a, list, v);
	value_set(a, args, name, list);
}

static void read_json(struct arena *a, str body, struct body_args *ret)
{
	struct value *v;
	struct err *e = json_parse_passing(a, body, &v);

	if (!e && v->kind == VALUE_OBJECT) {
		ret->kind = BODY_JSON;
		ret->args = v;
	}
	err_forget();
}

struct value *args_value(struct arena *a, const struct uri_args *args)
{
	struct value *v = value_object(a);

	for (size_t i = 0; i < args->n; i++)
		put(a, v, args->v[i].key,
		    args->v[i].value.s ? value_str(a, args->v[i].value) : value_bool(a, true));
	return v;
}

static void read_form(struct arena *a, str body, struct body_args *ret)
{
	struct uri_args args = uri_args(a, body, ARGS_MAX);

	ret->kind = BODY_FORM;
	ret->args = args_value(a, &args);
}

static void read_multipart(struct arena *a, str type, str body, struct body_args *ret)
{
	struct multipart *m = NEW(a, struct multipart);

	if (!multipart_parse(a, type, body, m))
		return;
	ret->kind = BODY_MULTIPART;
	ret->parts = m;
	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].name.s)
			put(a, ret->args, m->v[i].name, value_str(a, m->v[i].body));
	}
}

bool req_body_args(struct req *r, struct body_args *ret)
{
	str type = req_header(r, STR("Content-Type")), body;

	*ret = (struct body_args){ .args = value_object(r->arena) };
	if (!type.n)
		return true;
	if (str_starts_ci(type, STR("application/json"))) {
		if (!req_body(r, &body))
			return false;
		read_json(r->arena, body, ret);
	} else if (str_starts_ci(type, STR("application/x-www-form-urlencoded"))) {
		if (!req_body(r, &body))
			return false;
		read_form(r->arena, body, ret);
	} else if (str_starts_ci(type, STR("multipart/form-data"))) {
		if (!req_body(r, &body))
			return false;
		read_multipart(r->arena, type, body, ret);
	}
	return true;
}

/* ---- and back ------------------------------------------------------------------------------ */

struct args {
	struct uri_arg *v;
	size_t n, cap;
};

static void add_arg(struct arena *a, struct args *list, str key, const struct value *v)
{
	struct uri_arg *arg;

	if (v->kind == VALUE_ARRAY) {
		for (uint32_t i = 0; i < v->n; i++)
			add_arg(a, list, key, v->items[i]);
		return;
	}
	arg = vec_add(a, list);
	arg->key = key;
	if (v->kind == VALUE_STRING)
		arg->value = v->s;
	else if (v->kind != VALUE_BOOL || !v->b)
		arg->value = json_text(a, v, JSON_COMPACT);
}

static str join_form(struct arena *a, const struct value *args)
{
	struct args list = { 0 };
	struct uri_args all;

	for (uint32_t i = 0; i < args->n; i++)
		add_arg(a, &list, args->members[i].key, args->members[i].value);
	all = (struct uri_args){ .v = list.v, .n = list.n };
	return uri_args_join(a, &all);
}

static bool is_unchanged(const struct value *came, const struct value *args, str name)
{
	const struct value *before = value_get_str(came, name), *v = value_get_str(args, name);

	return before && v && value_eq(before, v);
}

/* Parts whose argument is as it came stay as they came; others are texts. */
static str join_multipart(struct arena *a, const struct body_args *args)
{
	const struct multipart *m = args->parts;
	struct multipart out = { .boundary = m->boundary };
	struct value *came = value_object(a);
	size_t room = m->n;

	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].name.s)
			put(a, came, m->v[i].name, value_str(a, m->v[i].body));
	}
	for (uint32_t i = 0; i < args->args->n; i++) {
		const struct value *v = args->args->members[i].value;

		room += v->kind == VALUE_ARRAY ? v->n : 1;
	}
	out.v = NEWS(a, struct multipart_part, room);
	for (size_t i = 0; i < m->n; i++) {
		str name = m->v[i].name;

		if (!name.s || is_unchanged(came, args->args, name))
			out.v[out.n++] = m->v[i];
	}
	for (uint32_t i = 0; i < args->args->n; i++) {
		str name = args->args->members[i].key;
		const struct value *v = args->args->members[i].value;
		struct args list = { 0 };

		if (is_unchanged(came, args->args, name))
			continue;
		add_arg(a, &list, name, v);
		for (size_t k = 0; k < list.n; k++)
			out.v[out.n++] = multipart_text(a, name, list.v[k].value);
	}
	return multipart_join(a, &out);
}

void req_set_body_args(struct req *r, const struct body_args *args)
{
	switch (args->kind) {
	case BODY_JSON:
		req_set_body(r, json_text(r->arena, args->args, JSON_COMPACT));
		break;
	case BODY_FORM:
		req_set_body(r, join_form(r->arena, args->args));
		break;
	case BODY_MULTIPART:
		req_set_body(r, join_multipart(r->arena, args));
		break;
	case BODY_OTHER:
		break;
	}
}
