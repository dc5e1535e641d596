/* SPDX-License-Identifier: Apache-2.0 */
/* request-transformer - changes what goes on to the upstream.
 *
 *	path -> method -> headers -> body -> query, and in each of the last three:
 *	remove, rename, replace, add, append (a multipart body: rename, remove, replace, add)
 *
 * A step sees what the steps before it have done.  Values are templates (template.h), which
 * see headers and arguments as they were when the first template asked for them.  One
 * that cannot be rendered answers 500, and so does a body that is too large to be looked
 * at; a body that is not what its Content-Type says goes on as it came. */
#include <gibbon/plugin.h>

#include "plugins/request-transformer/template.h"

#define FORM_ARGS ((size_t)100000) /* of one form */

/* "name:value". */
struct change {
	str name;
	const struct template *value; /* NULL: none, or one that cannot be read */
	str why;                      /* that cannot be read */
};

struct changes {
	struct change *v;
	size_t n;
};

struct step {
	strs body, headers, querystring;
	str uri; /* of replace alone */
	struct changes members, fields, args;
};

struct conf {
	str http_method;
	struct step remove, rename, replace, add, append;
	struct changes uri;
	bool has_members, has_fields, has_args;
};

/* A request that is being changed. */
struct work {
	struct req *r;
	struct arena *a;
	const struct conf *conf;
	struct template_scope scope;
	bool is_answered;
};

/* ---- rows ------------------------------------------------------------------------------- */

/* At the first colon; colons that follow it belong to neither side. */
static str split(str text, str *ret_value)
{
	ptrdiff_t colon = str_find(text, ':', 0);
	size_t at = colon < 0 ? text.n : (size_t)colon;
	str name = str_part(text, 0, at);

	while (at < text.n && text.s[at] == ':')
		at++;
	*ret_value = str_from(text, at);
	return name;
}

static bool is_header_name(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_alnum(s.s[i]) && s.s[i] != '-' && s.s[i] != '_')
			return false;
	}
	return s.n > 0;
}

static const char *not_a_template(struct arena *a, str text, bool is_strict)
{
	str why;

	if (template_compile(a, text, &why) || (!is_strict && text.n <= TEMPLATE_MAX))
		return NULL;
	return rule_words(a, "value '" STRF "' is not in supported format, error:" STRF, STRV(text),
			  STRV(why));
}

static const char *check_pair(struct arena *a, const struct value *v)
{
	str value, name = split(v->s, &value);

	if (name.n == 0 || value.n == 0)
		return rule_words(a, "key '" STRF "' has no value", STRV(name));
	return not_a_template(a, value, true);
}

static const char *not_a_header(struct arena *a, str name)
{
	return is_header_name(name) ? NULL
				    : rule_words(a, "'" STRF "' is not a valid header", STRV(name));
}

static const char *check_header(struct arena *a, const struct value *v)
{
	str value;

	return not_a_header(a, split(v->s, &value));
}

static const char *check_renamed_header(struct arena *a, const struct value *v)
{
	str to, from = split(v->s, &to);
	const char *words = not_a_header(a, from);

	return words ? words : not_a_header(a, to);
}

/* What Lua would not read either fails when it is used, as in Kong. */
static const char *check_set_header(struct arena *a, const struct value *v)
{
	str value, name = split(v->s, &value);
	const char *words = not_a_header(a, name);

	return words ? words : not_a_template(a, value, false);
}

static const char *check_uri(struct arena *a, const struct value *v)
{
	return not_a_template(a, v->s, false);
}

/* clang-format off */
#define T struct step
#define LIST(member, ...) F_STRS(T, member, .required = true, .def = J([]), __VA_ARGS__)
#define PAIRS             .elements = FIELD(FIELD_STRING, .check = check_pair)
#define HEADERS(fn)       .elements = FIELD(FIELD_STRING, .match = "^[^:]+:.*$", .check = fn)
static const struct field remove_fields[] = {
	LIST(body,        .elements = FIELD(FIELD_STRING),                        .help = "Names of arguments in the body."),
	LIST(headers,     .elements = FIELD(FIELD_STRING, .check = check_header), .help = "Names of headers."),
	LIST(querystring, .elements = FIELD(FIELD_STRING),                        .help = "Names of arguments in the query."),
	F_END
};

static const struct field rename_fields[] = {
	LIST(body,        PAIRS,                         .help = "Arguments in the body, as old:new."),
	LIST(headers,     HEADERS(check_renamed_header), .help = "Headers, as old:new."),
	LIST(querystring, PAIRS,                         .help = "Arguments in the query, as old:new."),
	F_END
};

static const struct field replace_fields[] = {
	LIST(body,        PAIRS,                     .help = "Arguments in the body, as name:value."),
	LIST(headers,     HEADERS(check_set_header), .help = "Headers, as name:value."),
	LIST(querystring, PAIRS,                     .help = "Arguments in the query, as name:value."),
	F_STR(T, uri,     .check = check_uri,        .help = "The path that the upstream gets."),
	F_END
};

static const struct field set_fields[] = {
	LIST(body,        PAIRS,                     .help = "Arguments in the body, as name:value."),
	LIST(headers,     HEADERS(check_set_header), .help = "Headers, as name:value."),
	LIST(querystring, PAIRS,                     .help = "Arguments in the query, as name:value."),
	F_END
};
#undef T

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T,    http_method, .match = "^%u+$",         .help = "The method that the upstream gets."),
	F_RECORD(T, remove,      .fields = remove_fields,  .help = "What is taken away."),
	F_RECORD(T, rename,      .fields = rename_fields,  .help = "What gets another name."),
	F_RECORD(T, replace,     .fields = replace_fields, .help = "What gets another value, if it is there."),
	F_RECORD(T, add,         .fields = set_fields,     .help = "What is added, unless it is there."),
	F_RECORD(T, append,      .fields = set_fields,     .help = "What is added to what is there."),
	F_END
};
#undef T
/* clang-format on */

static void read_value(struct arena *a, struct change *c, str text)
{
	if (text.n)
		c->value = template_compile(a, text, &c->why);
}

static struct changes read_changes(struct arena *a, strs list, bool has_values)
{
	struct changes ret = { NEWS(a, struct change, list.n), list.n };

	for (size_t i = 0; i < list.n; i++) {
		str value;

		ret.v[i].name = split(list.v[i], &value);
		if (has_values)
			read_value(a, &ret.v[i], value);
	}
	return ret;
}

static void prepare_step(struct arena *a, struct conf *conf, struct step *s)
{
	bool has_values = s != &conf->remove;

	s->members = read_changes(a, s->body, has_values);
	s->fields = read_changes(a, s->headers, has_values);
	s->args = read_changes(a, s->querystring, has_values);
	conf->has_members |= s->members.n > 0;
	conf->has_fields |= s->fields.n > 0;
	conf->has_args |= s->args.n > 0;
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	prepare_step(a, conf, &conf->remove);
	prepare_step(a, conf, &conf->rename);
	prepare_step(a, conf, &conf->replace);
	prepare_step(a, conf, &conf->add);
	prepare_step(a, conf, &conf->append);
	if (conf->replace.uri.n) {
		conf->uri = (struct changes){ NEW(a, struct change), 1 };
		conf->uri.v->name = STR("uri");
		read_value(a, conf->uri.v, conf->replace.uri);
	}
	return NULL;
}

/* ---- templates ---------------------------------------------------------------------------- */

static struct value *headers_value(struct req *r)
{
	const struct http_headers *h = req_headers(r);
	struct arena *a = req_arena(r);
	struct uri_args all = { NEWS(a, struct uri_arg, h->n), .n = h->n };

	for (unsigned i = 0; i < h->n; i++)
		all.v[i] = (struct uri_arg){ str_lower(a, h->v[i].name), h->v[i].value };
	return args_value(a, &all);
}

static const struct value *global(void *arg, enum template_global which)
{
	struct work *w = arg;
	struct uri_args args;

	switch (which) {
	case TEMPLATE_HEADERS:
		return headers_value(w->r);
	case TEMPLATE_QUERY_PARAMS:
		args = req_args(w->r);
		return args_value(w->a, &args);
	case TEMPLATE_URI_CAPTURES:
		return req_captures(w->r);
	default:
		return req_shared(w->r);
	}
}

static void fail(struct work *w, str name, str why)
{
	log_error("request-transformer: " STRF ": " STRF, STRV(name), STRV(why));
	respond_message(w->r, 500, "An unexpected error occurred");
	w->is_answered = true;
}

static void fail_to_render(struct work *w, str name, str why)
{
	fail(w, name, str_cat(w->a, STR("failed to render the template, error:"), why));
}

/* What a change sets; false: nothing, or the request was answered. */
static bool render(struct work *w, const struct change *c, str *ret)
{
	if (w->is_answered)
		return false;
	if (!c->value) {
		if (c->why.n)
			fail_to_render(w, c->name, c->why);
		return false;
	}
	if (!template_render(c->value, &w->scope, ret))
		fail_to_render(w, c->name, *ret);
	return !w->is_answered;
}

/* ---- path and method -------------------------------------------------------------------------- */

static void change_path(struct work *w)
{
	const struct changes *list = &w->conf->uri;
	str path;

	if (!list->n || !render(w, list->v, &path))
		return;
	if (str_starts(path, STR("/")))
		req_set_upstream_path(w->r, path);
	else
		fail(w, list->v->name, STR("path must start with /"));
}

/* By what stands anywhere in the Content-Type. */
static enum body_kind body_kind(struct work *w)
{
	str type = str_lower(w->a, req_header(w->r, STR("Content-Type")));

	if (str_find_str(type, STR("application/json")) >= 0)
		return BODY_JSON;
	if (str_find_str(type, STR("multipart/form-data")) >= 0)
		return BODY_MULTIPART;
	if (str_find_str(type, STR("application/x-www-form-urlencoded")) >= 0)
		return BODY_FORM;
	return BODY_OTHER;
}

static bool read_body(struct work *w, str *ret)
{
	w->is_answered = w->is_answered || !req_body(w->r, ret);
	return !w->is_answered;
}

/* All of them: what was not looked at would get past what takes it away. */
static bool read_form(struct work *w, str text, struct uri_args *ret)
{
	*ret = uri_args(w->a, text, FORM_ARGS);
	if (!ret->is_cut)
		return true;
	respond_message(w->r, 413, "Payload too large");
	w->is_answered = true;
	return false;
}

static struct uri_args read_query(struct work *w)
{
	return uri_args(w->a, req_query(w->r), 0);
}

/* The fields of a form go where a request without a body has them. */
static void move_form_to_query(struct work *w)
{
	struct uri_args form, query, both;
	str body;

	if (!read_body(w, &body) || !read_form(w, body, &form) || form.n == 0)
		return;
	query = read_query(w);
	both = (struct uri_args){ NEWS(w->a, struct uri_arg, query.n + form.n), .n = query.n };
	for (size_t i = 0; i < query.n; i++)
		both.v[i] = query.v[i];
	for (size_t i = 0; i < form.n; i++)
		both.v[both.n++] = form.v[i];
	req_set_args(w->r, &both);
}

static bool is_known_method(str name)
{
	static const char *const names[] = {
		"GET",  "HEAD",  "PUT",      "POST",      "DELETE", "OPTIONS", "MKCOL", "COPY",
		"MOVE", "PATCH", "PROPFIND", "PROPPATCH", "LOCK",   "UNLOCK",  "TRACE",
	};

	for (size_t i = 0; i < COUNT(names); i++) {
		if (str_is(name, names[i]))
			return true;
	}
	return false;
}

static void change_method(struct work *w)
{
	str method = w->conf->http_method;

	if (!method.n || w->is_answered)
		return;
	if (!is_known_method(method)) {
		fail(w, STR("http_method"), STR("invalid method"));
		return;
	}
	req_set_method(w->r, method);
	if ((str_is(method, "GET") || str_is(method, "HEAD") || str_is(method, "TRACE")) &&
	    body_kind(w) == BODY_FORM)
		move_form_to_query(w);
}

/* ---- headers ---------------------------------------------------------------------------------- */

/* The Host is no header among others: it is replaced, or taken from a renamed one. */
static bool is_host(str name)
{
	return str_is_ci(name, "Host");
}

static void rename_field(struct work *w, struct http_headers *h, str from, str to)
{
	struct http_headers came = http_headers_copy(w->a, h);

	if (is_host(from) || str_eq_ci(from, to) || !http_get_str(h, from))
		return;
	http_remove_str(h, from);
	if (is_host(to)) {
		req_set_host(w->r, http_get_str(&came, from)->value);
		return;
	}
	http_remove_str(h, to);
	for (unsigned i = 0; i < came.n; i++) {
		if (str_eq_ci(came.v[i].name, from))
			http_add(w->a, h, to, came.v[i].value);
	}
}

static void replace_field(struct work *w, struct http_headers *h, str name, str value)
{
	if (is_host(name))
		req_set_host(w->r, value);
	else if (http_get_str(h, name))
		http_set_str(w->a, h, name, value);
}

/* Those that are there get the name as it is written here. */
static void append_field(struct work *w, struct http_headers *h, str name, str value)
{
	if (is_host(name))
		return;
	for (unsigned i = 0; i < h->n; i++) {
		if (str_eq_ci(h->v[i].name, name))
			h->v[i].name = name;
	}
	http_add(w->a, h, name, value);
}

/* On a copy: templates of later steps may still ask how it was. */
static void change_fields(struct work *w)
{
	const struct conf *conf = w->conf;
	struct http_headers h;
	str value;

	if (!conf->has_fields || w->is_answered)
		return;
	h = http_headers_copy(w->a, req_headers(w->r));
	for (size_t i = 0; i < conf->remove.fields.n; i++) {
		if (!is_host(conf->remove.fields.v[i].name))
			http_remove_str(&h, conf->remove.fields.v[i].name);
	}
	for (size_t i = 0; i < conf->rename.fields.n; i++) {
		if (render(w, &conf->rename.fields.v[i], &value))
			rename_field(w, &h, conf->rename.fields.v[i].name, value);
	}
	for (size_t i = 0; i < conf->replace.fields.n; i++) {
		if (render(w, &conf->replace.fields.v[i], &value))
			replace_field(w, &h, conf->replace.fields.v[i].name,
				      http_escape_value(w->a, value));
	}
	for (size_t i = 0; i < conf->add.fields.n; i++) {
		str name = conf->add.fields.v[i].name;

		if (render(w, &conf->add.fields.v[i], &value) && !is_host(name) &&
		    !http_get_str(&h, name))
			http_add(w->a, &h, name, http_escape_value(w->a, value));
	}
	for (size_t i = 0; i < conf->append.fields.n; i++) {
		if (render(w, &conf->append.fields.v[i], &value))
			append_field(w, &h, conf->append.fields.v[i].name,
				     http_escape_value(w->a, value));
	}
	*req_headers(w->r) = h;
}

/* ---- arguments of a query or a form --------------------------------------------------------------- */

struct query {
	struct uri_arg *v;
	size_t n, cap;
	bool is_changed;
};

static struct uri_arg *find_arg(struct query *l, str name)
{
	for (size_t i = 0; i < l->n; i++) {
		if (str_eq(l->v[i].key, name))
			return &l->v[i];
	}
	return NULL;
}

/* All of that name behind the first `from`. */
static void remove_args(struct query *l, str name, size_t from)
{
	size_t kept = from;

	for (size_t i = from; i < l->n; i++) {
		if (!str_eq(l->v[i].key, name))
			l->v[kept++] = l->v[i];
	}
	l->is_changed |= kept != l->n;
	l->n = kept;
}

static void add_arg(struct arena *a, struct query *l, str name, str value)
{
	*vec_add(a, l) = (struct uri_arg){ name, value };
	l->is_changed = true;
}

static void rename_args(struct query *l, str from, str to)
{
	if (str_eq(from, to) || !find_arg(l, from))
		return;
	remove_args(l, to, 0);
	for (size_t i = 0; i < l->n; i++) {
		if (str_eq(l->v[i].key, from))
			l->v[i].key = to;
	}
	l->is_changed = true;
}

static void replace_arg(struct query *l, str name, str value)
{
	struct uri_arg *first = find_arg(l, name);

	if (!first)
		return;
	first->value = value;
	remove_args(l, name, (size_t)(first - l->v) + 1);
	l->is_changed = true;
}

/* A single one that has no value gives way to the new one. */
static void append_arg(struct arena *a, struct query *l, str name, str value)
{
	struct uri_arg *first = find_arg(l, name);
	bool is_alone = first;

	for (struct uri_arg *x = first ? first + 1 : NULL; x && x < l->v + l->n; x++)
		is_alone &= !str_eq(x->key, name);
	if (is_alone && !first->value.s)
		replace_arg(l, name, value);
	else
		add_arg(a, l, name, value);
}

static const struct changes *of_query(const struct step *s)
{
	return &s->args;
}

static const struct changes *of_body(const struct step *s)
{
	return &s->members;
}

static void change_list(struct work *w, struct query *l,
			const struct changes *(*changes_of)(const struct step *))
{
	const struct changes *c = changes_of(&w->conf->remove);
	str value;

	for (size_t i = 0; i < c->n; i++)
		remove_args(l, c->v[i].name, 0);
	c = changes_of(&w->conf->rename);
	for (size_t i = 0; i < c->n; i++) {
		if (render(w, &c->v[i], &value))
			rename_args(l, c->v[i].name, value);
	}
	c = changes_of(&w->conf->replace);
	for (size_t i = 0; i < c->n; i++) {
		if (render(w, &c->v[i], &value))
			replace_arg(l, c->v[i].name, value);
	}
	c = changes_of(&w->conf->add);
	for (size_t i = 0; i < c->n; i++) {
		if (render(w, &c->v[i], &value) && !find_arg(l, c->v[i].name))
			add_arg(w->a, l, c->v[i].name, value);
	}
	c = changes_of(&w->conf->append);
	for (size_t i = 0; i < c->n; i++) {
		if (render(w, &c->v[i], &value))
			append_arg(w->a, l, c->v[i].name, value);
	}
}

static void change_query(struct work *w)
{
	struct uri_args all;
	struct query l;

	if (!w->conf->has_args || w->is_answered)
		return;
	all = read_query(w);
	l = (struct query){ .v = all.v, .n = all.n, .cap = all.n };
	change_list(w, &l, of_query);
	all = (struct uri_args){ .v = l.v, .n = l.n };
	if (l.is_changed)
		req_set_args(w->r, &all);
}

static void change_form(struct work *w, str body)
{
	struct uri_args all;
	struct query l;

	if (!read_form(w, body, &all))
		return;
	l = (struct query){ .v = all.v, .n = all.n, .cap = all.n };
	change_list(w, &l, of_body);
	all = (struct uri_args){ .v = l.v, .n = l.n };
	if (l.is_changed)
		req_set_body(w->r, uri_args_join(w->a, &all));
}

/* ---- members of a JSON object ------------------------------------------------------------------------ */

/* Lua's reading: null is there, false is not. */
static bool is_there(const struct value *v)
{
	return v && (v->kind != VALUE_BOOL || v->b);
}

static bool rename_member(struct arena *a, struct value *v, str from, str to)
{
	struct value *member = value_get_str(v, from);

	if (!member || str_eq(from, to))
		return false;
	value_unset(v, from);
	value_set(a, v, to, member);
	return true;
}

static bool change_members(struct work *w, struct value *v)
{
	const struct conf *conf = w->conf;
	bool is_changed = false;
	str text;

	for (size_t i = 0; i < conf->remove.members.n; i++) {
		is_changed |= value_get_str(v, conf->remove.members.v[i].name) != NULL;
		value_unset(v, conf->remove.members.v[i].name);
	}
	for (size_t i = 0; i < conf->rename.members.n; i++) {
		if (render(w, &conf->rename.members.v[i], &text))
			is_changed |= rename_member(w->a, v, conf->rename.members.v[i].name,
						    str_to_utf8(w->a, text));
	}
	for (size_t i = 0; i < conf->replace.members.n; i++) {
		str name = conf->replace.members.v[i].name;

		if (!render(w, &conf->replace.members.v[i], &text) ||
		    !is_there(value_get_str(v, name)))
			continue;
		value_set(w->a, v, name, value_str(w->a, str_to_utf8(w->a, text)));
		is_changed = true;
	}
	for (size_t i = 0; i < conf->add.members.n; i++) {
		str name = conf->add.members.v[i].name;

		if (!render(w, &conf->add.members.v[i], &text) || is_there(value_get_str(v, name)))
			continue;
		value_set(w->a, v, name, value_str(w->a, str_to_utf8(w->a, text)));
		is_changed = true;
	}
	for (size_t i = 0; i < conf->append.members.n; i++) {
		if (!render(w, &conf->append.members.v[i], &text))
			continue;
		args_append(w->a, v, conf->append.members.v[i].name,
			    value_str(w->a, str_to_utf8(w->a, text)));
		is_changed = true;
	}
	return is_changed;
}

static void change_json(struct work *w, str body)
{
	struct value *v = value_object(w->a);
	struct err *e = body.n ? json_parse_passing(w->a, body, &v) : NULL;

	if (e || v->kind != VALUE_OBJECT) {
		err_forget();
		return;
	}
	if (change_members(w, v))
		req_set_body(w->r, json_text(w->a, v, JSON_COMPACT));
}

/* ---- parts of a multipart body ------------------------------------------------------------------------ */

struct parts {
	struct multipart_part *v;
	size_t n, cap;
	str boundary;
	bool is_changed;
};

static struct multipart_part *find_part(struct parts *p, str name)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].name.s && str_eq(p->v[i].name, name))
			return &p->v[i];
	}
	return NULL;
}

static void remove_parts(struct parts *p, str name)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (!p->v[i].name.s || !str_eq(p->v[i].name, name))
			p->v[kept++] = p->v[i];
	}
	p->is_changed |= kept != p->n;
	p->n = kept;
}

static void add_part(struct work *w, struct parts *p, str name, str text)
{
	if (multipart_can_hold(w->a, p->boundary, text)) {
		*vec_add(w->a, p) = multipart_text(w->a, name, text);
		p->is_changed = true;
	} else {
		fail(w, name, STR("the value has the boundary of the body in it"));
	}
}

static void rename_parts(struct arena *a, struct parts *p, str from, str to)
{
	if (str_eq(from, to) || !find_part(p, from))
		return;
	remove_parts(p, to);
	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].name.s && str_eq(p->v[i].name, from))
			p->v[i] = multipart_text(a, to, p->v[i].body);
	}
	p->is_changed = true;
}

static void change_parts(struct work *w, struct parts *p)
{
	const struct conf *conf = w->conf;
	str text;

	for (size_t i = 0; i < conf->rename.members.n; i++) {
		if (render(w, &conf->rename.members.v[i], &text))
			rename_parts(w->a, p, conf->rename.members.v[i].name, text);
	}
	for (size_t i = 0; i < conf->remove.members.n; i++)
		remove_parts(p, conf->remove.members.v[i].name);
	for (size_t i = 0; i < conf->replace.members.n; i++) {
		str name = conf->replace.members.v[i].name;

		if (!render(w, &conf->replace.members.v[i], &text) || !find_part(p, name))
			continue;
		remove_parts(p, name);
		add_part(w, p, name, text);
	}
	for (size_t i = 0; i < conf->add.members.n; i++) {
		str name = conf->add.members.v[i].name;

		if (render(w, &conf->add.members.v[i], &text) && !find_part(p, name))
			add_part(w, p, name, text);
	}
}

static void change_multipart(struct work *w, str body)
{
	struct multipart m;
	struct parts p;

	if (!multipart_parse(w->a, req_header(w->r, STR("Content-Type")), body, &m) &&
	    (body.n || !m.boundary.n))
		return;
	p = (struct parts){ .v = m.v, .n = m.n, .cap = m.n, .boundary = m.boundary };
	change_parts(w, &p);
	m.v = p.v;
	m.n = p.n;
	if (p.is_changed && !w->is_answered)
		req_set_body(w->r, multipart_join(w->a, &m));
}

static void change_body(struct work *w)
{
	enum body_kind kind;
	str body;

	if (!w->conf->has_members || w->is_answered)
		return;
	kind = body_kind(w);
	if (kind == BODY_OTHER || !read_body(w, &body))
		return;
	if (kind == BODY_FORM)
		change_form(w, body);
	else if (kind == BODY_JSON)
		change_json(w, body);
	else
		change_multipart(w, body);
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

static enum verdict on_access(struct req *r, const void *conf)
{
	struct work w = { .r = r, .a = req_arena(r), .conf = conf };

	w.scope = (struct template_scope){ .a = w.a, .global = global, .arg = &w };
	change_path(&w);
	change_method(&w);
	change_fields(&w);
	change_body(&w);
	change_query(&w);
	return w.is_answered ? DONE : NEXT;
}

const struct plugin plugin_request_transformer = {
	.name = "request-transformer",
	.help = "Changes path, method, headers, query and body of requests.",
	.priority = 801,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access },
};
