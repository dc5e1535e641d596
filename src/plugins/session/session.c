/* SPDX-License-Identifier: Apache-2.0 */
/* session - who has shown once who it is need not show it again: a cookie says so.
 *
 * In access a good cookie stands for the consumer and the credential that it was made
 * for, and the authenticating plugins behind, with `anonymous` set, let it be.  On the way
 * back a credential that was shown makes a session.  Made, read and kept in state.h. */
#include "plugins/session/state.h"

#include <math.h>

struct session_row {
	uuid id;
	int64_t created_at, expires, ttl;
	str session_id, data;
};

/* clang-format off */
#define T struct session_row
static const struct field session_fields[] = {
	ROW_ID(T),
	F_STR(T, session_id, .required = true, .is_unique = true, .help = "What the cookie calls it."),
	F_INT(T, expires,    .help = "When it is over, seconds since 1970."),
	F_STR(T, data,       .help = "What it keeps, sealed."),
	ROW_CREATED_AT(T),
	F_END
};
#undef T

const struct entity session_entity = {
	.name = "sessions",
	.endpoint_key = "session_id",
	.cache_key = "session_id",
	.help = "A session that is kept in the database.",
	.size = sizeof(struct session_row),
	.fields = session_fields,
	.has_ttl = true,
	.ttl_offset = offsetof(struct session_row, ttl),
	.is_kept_apart = true,
};

static const struct entity *const entities_brought[] = { &session_entity, NULL };

#define T struct session_conf
#define HEADERS FIELD(FIELD_STRING, .one_of = J(["id", "audience", "subject", "timeout", "idling-timeout", "rolling-timeout", "absolute-timeout"]))
static const struct field conf_fields[] = {
	F_STR(T,  secret,           .is_auto = true, .is_encrypted = true, .is_referenceable = true, .required_is_false_shown = true, .help = "Seals the cookies; made when left out."),
	F_STR(T,  storage,          .one_of = J(["cookie", "kong"]), .def = J("cookie"), .help = "Where it is kept: in the cookie, or in the database."),
	F_STR(T,  audience,         .def = J("default"), .help = "For whom the session is, where several share a cookie."),
	F_NUM(T,  idling_timeout,   .def = J(900), .help = "Seconds it lasts without a request; 0: any number."),
	F_NUM(T,  rolling_timeout,  .def = J(3600), .help = "Seconds until it has to be renewed, which requests do; 0: any number."),
	F_NUM(T,  absolute_timeout, .def = J(86400), .help = "Seconds it lasts however often it is renewed; 0: any number."),
	F_NUM(T,  stale_ttl,        .def = J(10), .help = "Seconds that one which was renewed is good for, in the database."),
	F_STR(T,  cookie_name,      .def = J("session"), .help = "The cookie."),
	F_STR(T,  cookie_path,      .def = J("/"), .help = "Its Path."),
	F_STR(T,  cookie_domain,    .help = "Its Domain."),
	F_STR(T,  cookie_same_site, .one_of = J(["Strict", "Lax", "None", "Default"]), .def = J("Strict"), .help = "Its SameSite."),
	F_BOOL(T, cookie_http_only, .def = J(true), .help = "Whether scripts do not see it."),
	F_BOOL(T, cookie_secure,    .def = J(true), .help = "Whether it is for HTTPS alone."),
	F_BOOL(T, remember,         .def = J(false), .help = "Whether a second cookie makes a new session when one is over."),
	F_STR(T,  remember_cookie_name, .def = J("remember"), .help = "The second cookie."),
	F_NUM(T,  remember_rolling_timeout, .def = J(604800), .help = "Seconds until that has to be renewed; 0: any number."),
	F_NUM(T,  remember_absolute_timeout, .def = J(2592000), .help = "Seconds it lasts; 0: any number."),
	F_STRS(T, response_headers, .is_set = true, .elements = HEADERS, .help = "What the client is told, as Session-Id and so on."),
	F_STRS(T, request_headers,  .is_set = true, .elements = HEADERS, .help = "What the upstream is told."),
	F_STRS(T, logout_methods,   .is_set = true, .elements = FIELD(FIELD_STRING, .one_of = J(["GET", "POST", "DELETE"])), .def = J(["POST", "DELETE"]), .help = "Methods that may end it."),
	F_STR(T,  logout_query_arg, .def = J("session_logout"), .help = "Argument of the query that ends it."),
	F_STR(T,  logout_post_arg,  .def = J("session_logout"), .help = "Field of the body that ends it."),
	F_END
};
#undef HEADERS
#undef T
/* clang-format on */

/* ---- older names of fields ---------------------------------------------------------------- */

static const char *rename_to(struct arena *a, struct value *record, const char *name,
			     const struct value *v)
{
	value_set(a, record, str_of(name), value_copy(a, v));
	return NULL;
}

static const char *cookie_lifetime(struct arena *a, const struct value *v, struct value *record)
{
	return rename_to(a, record, "rolling_timeout", v);
}

static const char *cookie_idletime(struct arena *a, const struct value *v, struct value *record)
{
	const struct value zero = { .kind = VALUE_INT };

	return rename_to(a, record, "idling_timeout", value_is_null(v) ? &zero : v);
}

/* There is nothing to set: when a session is renewed follows from its timeouts. */
static const char *cookie_renew(struct arena *a, const struct value *v, struct value *record)
{
	(void)a;
	(void)v;
	(void)record;
	return NULL;
}

static const char *cookie_discard(struct arena *a, const struct value *v, struct value *record)
{
	return rename_to(a, record, "stale_ttl", v);
}

static const char *cookie_samesite(struct arena *a, const struct value *v, struct value *record)
{
	const struct value lax = { .kind = VALUE_STRING, .s = STR_INIT("Lax") };
	bool is_off = !value_is_null(v) && v->kind == VALUE_STRING && str_is(v->s, "off");

	return rename_to(a, record, "cookie_same_site", is_off ? &lax : v);
}

static const char *cookie_httponly(struct arena *a, const struct value *v, struct value *record)
{
	return rename_to(a, record, "cookie_http_only", v);
}

static const char *cookie_persistent(struct arena *a, const struct value *v, struct value *record)
{
	return rename_to(a, record, "remember", v);
}

/* clang-format off */
static const struct shorthand conf_shorthands[] = {
	{ "cookie_lifetime",   FIELD_NUMBER,  NULL, cookie_lifetime,   "The older name of rolling_timeout." },
	{ "cookie_idletime",   FIELD_NUMBER,  NULL, cookie_idletime,   "The older name of idling_timeout." },
	{ "cookie_renew",      FIELD_NUMBER,  NULL, cookie_renew,      "Of no effect any more." },
	{ "cookie_discard",    FIELD_NUMBER,  NULL, cookie_discard,    "The older name of stale_ttl." },
	{ "cookie_samesite",   FIELD_STRING,  NULL, cookie_samesite,   "The older name of cookie_same_site; off is Lax." },
	{ "cookie_httponly",   FIELD_BOOLEAN, NULL, cookie_httponly,   "The older name of cookie_http_only." },
	{ "cookie_persistent", FIELD_BOOLEAN, NULL, cookie_persistent, "The older name of remember." },
	{ 0 }
};
/* clang-format on */

/* ---- preparing ------------------------------------------------------------------------------- */

/* Of all configurations whose secret is null. */
static uint8_t key_of_process[32];

static void start(const struct plugin_node *node)
{
	(void)node;
	random_bytes(key_of_process, sizeof(key_of_process));
}

static void default_number(double *v, double def)
{
	if (isnan(*v))
		*v = def;
}

static void default_text(str *v, str def)
{
	if (!v->n)
		*v = def;
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct session_conf *c = conf_;
	bool is_secure = c->cookie_secure == TRI_YES || str_is(c->cookie_same_site, "None");
	bool has_domain = c->cookie_domain.n && !str_is(c->cookie_domain, "localhost");

	if (c->secret.n)
		digest_sha256(c->secret, c->key);
	else
		memcpy(c->key, key_of_process, sizeof(c->key));
	default_number(&c->idling_timeout, 900);
	default_number(&c->rolling_timeout, 3600);
	default_number(&c->absolute_timeout, 86400);
	default_number(&c->stale_ttl, 10);
	default_number(&c->remember_rolling_timeout, 604800);
	default_number(&c->remember_absolute_timeout, 2592000);
	default_text(&c->audience, STR("default"));
	default_text(&c->cookie_name, STR("session"));
	default_text(&c->cookie_path, STR("/"));
	default_text(&c->cookie_same_site, STR("Lax"));
	default_text(&c->remember_cookie_name, STR("remember"));
	c->cookie_flags = str_fmt(
		a, "%s" STRF "; Path=" STRF "; SameSite=" STRF "%s%s",
		has_domain ? "; Domain=" : "", STRV(has_domain ? c->cookie_domain : STR("")),
		STRV(c->cookie_path), STRV(c->cookie_same_site), is_secure ? "; Secure" : "",
		c->cookie_http_only == TRI_NO ? "" : "; HttpOnly");
	return NULL;
}

/* ---- headers ---------------------------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *property, *header;
} headers[] = {
	{ "id",               "Session-Id" },
	{ "audience",         "Session-Audience" },
	{ "subject",          "Session-Subject" },
	{ "timeout",          "Session-Timeout" },
	{ "idling-timeout",   "Session-Idling-Timeout" },
	{ "rolling-timeout",  "Session-Rolling-Timeout" },
	{ "absolute-timeout", "Session-Absolute-Timeout" },
};
/* clang-format on */

static str header_of(str property)
{
	for (size_t i = 0; i < COUNT(headers); i++) {
		if (str_is(property, headers[i].property))
			return str_of(headers[i].header);
	}
	return STR_NONE;
}

static void tell_client(const struct session *s)
{
	for (size_t i = 0; i < s->conf->response_headers.n; i++) {
		str name = s->conf->response_headers.v[i], value = session_property(s, name);

		if (value.s)
			reply_set_header(s->r, header_of(name), value);
	}
}

/* A client cannot say these itself. */
static void tell_upstream(const struct session *s)
{
	for (size_t i = 0; i < s->conf->request_headers.n; i++) {
		str name = s->conf->request_headers.v[i];
		str value = s->is_open ? session_property(s, name) : STR_NONE;

		if (value.s)
			req_set_header(s->r, header_of(name), value);
		else
			req_remove_header(s->r, header_of(name));
	}
}

/* ---- access -------------------------------------------------------------------------------------- */

extern const struct plugin plugin_session;

/* Of a request: the session, and whom it has authenticated. */
struct state {
	struct session session;
	const struct session_conf *conf; /* that it was opened with */
	str consumer, credential;
};

static bool is_method(const struct session_conf *conf, str method)
{
	for (size_t i = 0; i < conf->logout_methods.n; i++) {
		if (str_eq(conf->logout_methods.v[i], method))
			return true;
	}
	return false;
}

/* Does the request ask for the end?  *ret_answered: its body could not be read. */
static bool wants_out(struct req *r, const struct session_conf *conf, bool *ret_answered)
{
	const struct value *v;
	struct body_args body;
	struct uri_args query;

	*ret_answered = false;
	if (!is_method(conf, req_method(r)))
		return false;
	query = req_args(r);
	if (conf->logout_query_arg.n && uri_arg_find(&query, conf->logout_query_arg))
		return true;
	if (!conf->logout_post_arg.n)
		return false;
	if (!req_body_args(r, &body)) {
		*ret_answered = true;
		return false;
	}
	v = value_get_str(body.args, conf->logout_post_arg);
	return v && !(v->kind == VALUE_BOOL && !v->b);
}

static str text_at(const struct value *list, uint32_t i)
{
	return list->kind == VALUE_ARRAY && i < list->n && list->items[i]->kind == VALUE_STRING
		       ? list->items[i]->s
		       : STR_NONE;
}

static strs groups_at(struct arena *a, const struct value *list, uint32_t i)
{
	const struct value *groups =
		list->kind == VALUE_ARRAY && i < list->n ? list->items[i] : NULL;
	strs ret = { NULL, 0 };

	if (value_is_null(groups) || groups->kind != VALUE_ARRAY || !groups->n)
		return ret;
	ret.v = NEWS(a, str, groups->n);
	for (uint32_t k = 0; k < groups->n; k++) {
		if (groups->items[k]->kind == VALUE_STRING)
			ret.v[ret.n++] = groups->items[k]->s;
	}
	return ret;
}

static void authenticate(struct state *st, const struct consumer *consumer)
{
	struct req *r = st->session.r;
	struct arena *a = req_arena(r);
	strs groups = groups_at(a, session_content(&st->session), 2);
	struct credential *by = NEW(a, struct credential);

	if (groups.n) {
		req_set_header(r, STR("X-Authenticated-Groups"), str_join(a, groups, STR(", ")));
		req_set_groups(r, groups);
	} else {
		req_remove_header(r, STR("X-Authenticated-Groups"));
	}
	by->id = by->identifier = st->credential;
	by->consumer = consumer->id;
	req_authenticate(r, consumer, st->credential.n ? by : NULL);
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct session_conf *conf = conf_;
	struct state *st = req_ctx(r, struct state, &plugin_session);
	struct session *s = &st->session;
	const struct consumer *consumer = NULL;
	bool is_answered;
	uuid id;

	st->conf = conf;
	*s = (struct session){ .r = r, .conf = conf };
	session_open(s);
	if (!s->is_open) {
		tell_upstream(s);
		return NEXT;
	}
	if (wants_out(r, conf, &is_answered)) {
		session_logout(s);
		return respond(r, 200, STR(""), STR(""));
	}
	if (is_answered)
		return DONE;
	st->consumer = text_at(session_content(s), 0);
	st->credential = text_at(session_content(s), 1);
	if (uuid_parse(st->consumer, &id))
		consumer = consumer_find(r, id);
	if (!consumer) {
		session_logout(s);
		tell_upstream(s);
		*s = (struct session){ .r = r, .conf = conf, .is_begun = false };
		return NEXT;
	}
	session_refresh(s);
	tell_upstream(s);
	tell_client(s);
	authenticate(st, consumer);
	return NEXT;
}

/* ---- header_filter ----------------------------------------------------------------------------------- */

static struct value *content_of(struct req *r, str consumer, str credential)
{
	struct arena *a = req_arena(r);
	struct value *content = value_array(a), *groups = value_array(a);
	strs all = req_groups(r);

	value_add(a, content, value_str(a, consumer));
	value_add(a, content, value_str(a, credential));
	for (size_t i = 0; i < all.n; i++)
		value_add(a, groups, value_str(a, all.v[i]));
	if (all.n)
		value_add(a, content, groups);
	return content;
}

static enum verdict on_header_filter(struct req *r, const void *conf_)
{
	const struct session_conf *conf = conf_;
	struct state *st = req_ctx(r, struct state, &plugin_session);
	const struct credential *by = req_credential(r);
	const struct consumer *consumer = req_consumer(r);
	struct session *s = &st->session;
	str id, subject;

	if (!by || !consumer)
		return NEXT;
	id = uuid_str(req_arena(r), consumer->id);
	if (s->is_open && st->conf == conf && str_eq(st->consumer, id) &&
	    str_eq(st->credential, by->id))
		return NEXT;
	if (!s->is_begun || st->conf != conf) {
		*s = (struct session){ .r = r, .conf = conf };
		st->conf = conf;
		session_open(s);
	}
	subject = consumer->username.n    ? consumer->username
		  : consumer->custom_id.n ? consumer->custom_id
					  : id;
	session_set(s, content_of(r, id, by->id.n ? by->id : id), subject);
	if (session_save(s))
		tell_client(s);
	return NEXT;
}

const struct plugin plugin_session = {
	.name = "session",
	.help = "Remembers who has shown who it is, in a cookie.",
	.priority = 1900,
	.conf_size = sizeof(struct session_conf),
	.conf = conf_fields,
	.conf_shorthands = conf_shorthands,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_ALL,
	.entities = entities_brought,
	.start = start,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access, [PHASE_HEADER_FILTER] = on_header_filter },
};
