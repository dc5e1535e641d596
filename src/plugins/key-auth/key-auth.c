/* SPDX-License-Identifier: Apache-2.0 */
/* key-auth - whoever calls shows a key: in a header, the query, or the body.
 *
 * Names are tried in their order, and for each name header, query and body.  The first
 * one found decides.  Fails closed: without a known key nobody passes, unless the
 * configuration names an anonymous consumer. */
#include <gibbon/plugin.h>

static const char no_key[] = "No API key found in request";

struct conf {
	strs key_names;
	bool hide_credentials, key_in_header, key_in_query, key_in_body, run_on_preflight;
	str anonymous;
};

struct key_credential {
	uuid id, consumer;
	int64_t created_at, ttl;
	str key;
	strs tags;
};

/* clang-format off */
#define T struct key_credential
static const struct field credential_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_REF(T, consumer, "consumers", .required = true, .on_delete = "cascade", .help = "Whose it is."),
	F_STR(T, key, .required_is_false_shown = true, .is_unique = true, .is_auto = true, .help = "The key; made when left out."),
	ROW_TAGS(T),
	F_END
};
#undef T

static const struct entity keyauth_entity = {
	.name = "keyauth_credentials",
	.path = "key-auths",
	.nested_path = "key-auth",
	.endpoint_key = "key",
	.cache_key = "key",
	.help = "A key that somebody calls with.",
	.size = sizeof(struct key_credential),
	.fields = credential_fields,
	.is_workspaceable = true,
	.is_taggable = true,
	.has_ttl = true,
	.ttl_offset = offsetof(struct key_credential, ttl),
};

static const struct entity *const entities_brought[] = { &keyauth_entity, NULL };

#define T struct conf
static const struct field conf_fields[] = {
	F_STRS(T, key_names,        .required = true, .def = J(["apikey"]), .elements = FIELD(FIELD_STRING, .check = rule_header_name), .help = "Where to look: names of headers, arguments and body fields."),
	F_BOOL(T, hide_credentials, .required = true, .def = J(false), .help = "Whether the upstream does not see the key."),
	F_STR(T,  anonymous,        .help = "Consumer, by id or username, of those who show no good key."),
	F_BOOL(T, key_in_header,    .required = true, .def = J(true), .help = "Whether headers are looked at."),
	F_BOOL(T, key_in_query,     .required = true, .def = J(true), .help = "Whether the query is looked at."),
	F_BOOL(T, key_in_body,      .required = true, .def = J(false), .help = "Whether the body is looked at."),
	F_BOOL(T, run_on_preflight, .required = true, .def = J(true), .help = "Whether OPTIONS needs a key too."),
	F_END
};
#undef T
/* clang-format on */

/* A key, or that there are several. */
struct search {
	struct req *r;
	const struct conf *conf;
	struct uri_args query;
	bool has_query;
	struct body_args body;
	bool has_body, is_answered;
	str key;
	bool is_duplicate;
};

/* ---- looking ----------------------------------------------------------------------- */

/* An empty one is a key, too: nobody's. */
static str text_of(str value)
{
	return value.n ? value : STR("");
}

/* An argument without a value is no key. */
static void take(struct search *s, str value, size_t n)
{
	if (n > 1)
		s->is_duplicate = true;
	else if (n == 1)
		s->key = value;
}

static bool look_in_header(struct search *s, str name)
{
	unsigned n = s->conf->key_in_header ? req_header_count(s->r, name) : 0;

	take(s, text_of(req_header(s->r, name)), n);
	return n > 0;
}

static bool look_in_query(struct search *s, str name)
{
	size_t n = 0;
	str value = STR_NONE;

	if (!s->conf->key_in_query)
		return false;
	if (!s->has_query) {
		s->query = req_args(s->r);
		s->has_query = true;
	}
	for (size_t i = 0; i < s->query.n; i++) {
		if (!str_eq(s->query.v[i].key, name))
			continue;
		value = n ? value : s->query.v[i].value;
		n++;
	}
	take(s, value, n);
	return n > 0;
}

static bool have_body(struct search *s)
{
	if (!s->has_body && !s->is_answered)
		s->is_answered = !req_body_args(s->r, &s->body);
	s->has_body = true;
	return !s->is_answered && s->body.kind != BODY_OTHER;
}

static void look_in_body(struct search *s, str name)
{
	const struct value *v;

	if (!s->conf->key_in_body || !have_body(s))
		return;
	v = value_get_str(s->body.args, name);
	if (value_is_null(v))
		return;
	if (v->kind == VALUE_STRING)
		take(s, text_of(v->s), 1);
	else if (v->kind == VALUE_ARRAY || v->kind == VALUE_OBJECT)
		take(s, STR_NONE, 2);
}

/* ---- hiding -------------------------------------------------------------------------- */

static void hide(struct search *s, str name)
{
	struct uri_args args = s->has_query ? s->query : req_args(s->r);
	size_t kept = 0;

	for (size_t i = 0; i < args.n; i++) {
		if (!str_eq(args.v[i].key, name))
			args.v[kept++] = args.v[i];
	}
	if (kept != args.n) {
		args.n = kept;
		req_set_args(s->r, &args);
	}
	req_remove_header(s->r, req_header_name(s->r, name));
	if (!s->conf->key_in_body || !have_body(s) || !value_get_str(s->body.args, name))
		return;
	value_unset(s->body.args, name);
	req_set_body_args(s->r, &s->body);
}

static void search(struct search *s)
{
	for (size_t i = 0; i < s->conf->key_names.n && !s->is_answered; i++) {
		str name = s->conf->key_names.v[i];

		if (!look_in_header(s, name) && !look_in_query(s, name))
			look_in_body(s, name);
		if (s->is_duplicate)
			return;
		if (s->key.s) {
			if (s->conf->hide_credentials)
				hide(s, name);
			return;
		}
	}
}

/* ---- access ---------------------------------------------------------------------------- */

/* NULL: they are who they say; else why not. */
static const char *authenticate(struct search *s)
{
	const struct key_credential *found;

	search(s);
	if (s->is_answered)
		return NULL;
	if (s->is_duplicate)
		return "Duplicate API key found";
	if (!s->key.n)
		return no_key;
	found = credential_find(s->r, &keyauth_entity, "key", s->key);
	if (!found || !req_authenticate_by(s->r, found->consumer, found->id,
					   uuid_str(req_arena(s->r), found->id)))
		return "Invalid authentication credentials";
	return NULL;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct search s = { .r = r, .conf = conf };
	const char *why;

	if (!conf->run_on_preflight && str_is(req_method(r), "OPTIONS"))
		return NEXT;
	if (conf->anonymous.n && req_credential(r))
		return NEXT;
	why = authenticate(&s);
	if (s.is_answered)
		return DONE;
	if (!why)
		return NEXT;
	if (conf->anonymous.n)
		return req_authenticate_anonymous(r, conf->anonymous);
	if (why == no_key)
		reply_set_header(r, STR("WWW-Authenticate"), STR("Key realm=\"kong\""));
	return respond_error(r, 401, "%s", why);
}

const struct plugin plugin_key_auth = {
	.name = "key-auth",
	.help = "Lets in who shows a key.",
	.priority = 1250,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.entities = entities_brought,
	.on = { [PHASE_ACCESS] = on_access },
};
