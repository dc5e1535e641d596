/* SPDX-License-Identifier: Apache-2.0 */
/* response-transformer - changes fields of replies, and members of JSON objects in them.
 *
 * Always in this order: remove, rename, replace, add, append.  Whether a field is there is
 * asked of the reply as it came, so an entry does not see what another has done.  A body
 * is kept until it is whole only where members are to be changed; one that is no JSON, or
 * larger than plugins may look at, goes on as it came. */
#include <gibbon/plugin.h>

/* "name:value"; value is STR_NONE when it is empty. */
struct pair {
	str name, value;
	struct value *json; /* what the value is as a member; NULL: nothing */
};

struct pairs {
	struct pair *v;
	size_t n;
};

struct changes {
	strs json, json_types, headers;
	struct pairs members, fields;
};

struct conf {
	struct changes remove, rename, replace, add, append;
	bool has_members;
};

struct state {
	bool is_kept; /* the body, until it is whole */
	size_t size;
	struct {
		str *v;
		size_t n, cap;
	} pieces;
};

const struct plugin plugin_response_transformer;

/* ---- rows ------------------------------------------------------------------------------- */

/* At the first colon; colons that follow it belong to neither side. */
static struct pair split(str text)
{
	ptrdiff_t at = str_find(text, ':', 1);
	struct pair p = { .name = text };

	if (at < 0)
		return p;
	p.name = str_part(text, 0, (size_t)at);
	while ((size_t)at < text.n && text.s[at] == ':')
		at++;
	if ((size_t)at < text.n)
		p.value = str_from(text, (size_t)at);
	return p;
}

static bool is_header_name(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_alnum(s.s[i]) && s.s[i] != '-' && s.s[i] != '_')
			return false;
	}
	return s.n > 0;
}

static const char *check_rename(struct arena *a, const struct value *v)
{
	struct pair p = split(v->s);

	if (!is_header_name(p.name))
		return rule_words(a, "'" STRF "' is not a valid header", STRV(p.name));
	if (!is_header_name(p.value))
		return rule_words(a, "'" STRF "' is not a valid header", STRV(p.value));
	return NULL;
}

/* clang-format off */
#define PAIR  FIELD(FIELD_STRING, .match = "^[^:]+:.*$")
#define TYPES J(["boolean", "number", "string"])
#define T struct changes

static const struct field remove_fields[] = {
	F_STRS(T, json,       .required = true, .def = J([]), .elements = FIELD(FIELD_STRING), .help = "Names of members."),
	F_STRS(T, headers,    .required = true, .def = J([]), .elements = FIELD(FIELD_STRING), .help = "Names of headers."),
	F_END
};

static const struct field rename_fields[] = {
	F_STRS(T, headers,    .required = true, .def = J([]), .elements = FIELD(FIELD_STRING, .match = "^[^:]+:.*$", .check = check_rename), .help = "Headers, as old:new."),
	F_END
};

static const struct field set_fields[] = {
	F_STRS(T, json,       .required = true, .def = J([]), .elements = PAIR, .help = "Members, as name:value."),
	F_STRS(T, json_types, .required = true, .def = J([]), .elements = FIELD(FIELD_STRING, .one_of = TYPES), .help = "What the values in json are, one each; those without one are strings."),
	F_STRS(T, headers,    .required = true, .def = J([]), .elements = PAIR, .help = "Headers, as name:value."),
	F_END
};
#undef T

#define T struct conf
static const struct field conf_fields[] = {
	F_RECORD(T, remove,  .fields = remove_fields, .help = "What is taken away."),
	F_RECORD(T, rename,  .fields = rename_fields, .help = "What gets another name."),
	F_RECORD(T, replace, .fields = set_fields,    .help = "What gets another value, if it is there."),
	F_RECORD(T, add,     .fields = set_fields,    .help = "What is added, unless it is there."),
	F_RECORD(T, append,  .fields = set_fields,    .help = "What is added to what is there."),
	F_END
};
#undef T
/* clang-format on */

static struct pairs split_all(struct arena *a, strs list)
{
	struct pairs ret = { NEWS(a, struct pair, list.n), list.n };

	for (size_t i = 0; i < list.n; i++)
		ret.v[i] = split(list.v[i]);
	return ret;
}

static struct value *number(struct arena *a, str text)
{
	int64_t i;
	double d;

	if (str_to_int(text, &i))
		return value_int(a, i);
	return str_to_num(text, &d) ? value_real(a, d) : NULL;
}

/* An empty value is the word null, as in Kong. */
static struct value *member_of(struct arena *a, str text, str type)
{
	if (str_is(type, "number"))
		return number(a, str_trim(text));
	if (str_is(type, "boolean"))
		return value_bool(a, str_is(text, "true"));
	return value_str(a, text.n ? text : STR("null"));
}

static void prepare_changes(struct arena *a, struct changes *c)
{
	c->fields = split_all(a, c->headers);
	c->members = split_all(a, c->json);
	for (size_t i = 0; i < c->members.n; i++) {
		str type = i < c->json_types.n ? c->json_types.v[i] : STR_NONE;

		c->members.v[i].json = member_of(a, c->members.v[i].value, type);
	}
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	prepare_changes(a, &conf->remove);
	prepare_changes(a, &conf->rename);
	prepare_changes(a, &conf->replace);
	prepare_changes(a, &conf->add);
	prepare_changes(a, &conf->append);
	conf->has_members = conf->remove.json.n || conf->replace.json.n || conf->add.json.n ||
			    conf->append.json.n;
	return NULL;
}

/* ---- fields ------------------------------------------------------------------------------ */

/* All values of the old name take the place of those of the new one. */
static void rename_field(struct req *r, const struct http_headers *came, const struct pair *p)
{
	bool is_first = true;

	for (unsigned i = 0; i < came->n; i++) {
		if (!str_eq_ci(came->v[i].name, p->name))
			continue;
		if (is_first)
			reply_set_header(r, p->value, came->v[i].value);
		else
			reply_add_header(r, p->value, came->v[i].value);
		is_first = false;
	}
	if (!is_first)
		reply_remove_header(r, p->name);
}

static void change_fields(struct req *r, const struct conf *conf)
{
	struct http_headers came = http_headers_copy(req_arena(r), reply_headers(r));
	const struct pairs *list;

	list = &conf->remove.fields;
	for (size_t i = 0; i < list->n; i++)
		reply_remove_header(r, list->v[i].name);
	list = &conf->rename.fields;
	for (size_t i = 0; i < list->n; i++)
		rename_field(r, &came, &list->v[i]);
	list = &conf->replace.fields;
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].value.s && http_get_str(&came, list->v[i].name))
			reply_set_header(r, list->v[i].name, list->v[i].value);
	}
	list = &conf->add.fields;
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].value.s && !http_get_str(&came, list->v[i].name))
			reply_set_header(r, list->v[i].name, list->v[i].value);
	}
	list = &conf->append.fields;
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].value.s)
			reply_add_header(r, list->v[i].name, list->v[i].value);
	}
}

static bool is_json(struct req *r)
{
	str type = str_lower(req_arena(r), reply_header(r, STR("Content-Type")));

	return str_find_str(type, STR("application/json")) >= 0;
}

static enum verdict on_header_filter(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;

	change_fields(r, conf);
	if (conf->has_members && is_json(r)) {
		req_ctx(r, struct state, &plugin_response_transformer)->is_kept = true;
		reply_will_change(r);
	}
	return NEXT;
}

/* ---- members ------------------------------------------------------------------------------ */

/* Lua's reading: null is there, false is not. */
static bool is_there(const struct value *v)
{
	return v && (v->kind != VALUE_BOOL || v->b);
}

static void change_members(struct arena *a, struct value *v, const struct conf *conf)
{
	const struct pairs *list;

	list = &conf->remove.members;
	for (size_t i = 0; i < list->n; i++)
		value_unset(v, list->v[i].name);
	list = &conf->replace.members;
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].json && is_there(value_get_str(v, list->v[i].name)))
			value_set(a, v, list->v[i].name, list->v[i].json);
	}
	list = &conf->add.members;
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].json && !is_there(value_get_str(v, list->v[i].name)))
			value_set(a, v, list->v[i].name, list->v[i].json);
	}
	list = &conf->append.members;
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].json)
			args_append(a, v, list->v[i].name, list->v[i].json);
	}
}

static str changed(struct req *r, str body, const struct conf *conf)
{
	struct value *v;
	struct err *e;

	if (body.n == 0)
		return body;
	e = json_parse_passing(req_arena(r), body, &v);
	if (e) {
		log_warn("body transform failed: failed parsing json body");
		err_forget();
		return body;
	}
	if (v->kind != VALUE_OBJECT)
		return body;
	change_members(req_arena(r), v, conf);
	return json_text(req_arena(r), v, JSON_COMPACT);
}

static str whole(struct req *r, struct state *st)
{
	str between = STR("");
	strs all = { st->pieces.v, st->pieces.n };
	str body = all.n == 1 ? all.v[0] : str_join(req_arena(r), all, between);

	st->pieces.n = 0;
	return body;
}

static enum verdict on_body_filter(struct req *r, const void *conf_)
{
	struct state *st = req_ctx(r, struct state, &plugin_response_transformer);
	bool is_last;
	str piece;

	if (!st->is_kept)
		return NEXT;
	piece = reply_piece(r, &is_last);
	st->size += piece.n;
	if (piece.n)
		*vec_add(req_arena(r), &st->pieces) = str_copy(req_arena(r), piece);
	if (st->size > LIMIT_PLUGIN_BODY) {
		log_warn("body transform failed: more than %zu bytes", LIMIT_PLUGIN_BODY);
		st->is_kept = false;
		reply_set_piece(r, whole(r, st));
	} else if (is_last) {
		st->is_kept = false;
		reply_set_piece(r, changed(r, whole(r, st), conf_));
	} else {
		reply_set_piece(r, STR(""));
	}
	return NEXT;
}

const struct plugin plugin_response_transformer = {
	.name = "response-transformer",
	.help = "Changes headers and JSON bodies of replies.",
	.priority = 800,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_HTTP,
	.prepare = prepare,
	.on = { [PHASE_HEADER_FILTER] = on_header_filter, [PHASE_BODY_FILTER] = on_body_filter },
};
