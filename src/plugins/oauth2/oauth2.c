/* SPDX-License-Identifier: Apache-2.0 */
/* oauth2 - an authorization server in front of a service (RFC 6749, RFC 6750, RFC 7636):
 * POST .../oauth2/authorize and .../oauth2/token hand out codes and tokens, everything else
 * needs a token.
 *
 * It does not know the users: whoever has logged one in asks for a code in their name, and
 * shows the provision_key.  Fails closed. */
#include "plugins/oauth2/oauth2.h"

/* ---- rows ------------------------------------------------------------------------------- */

static const char *check_redirect_uri(struct arena *a, const struct value *v);
static const char *check_grants(struct arena *a, const struct value *conf);
static void finish_client(struct arena *a, struct value *doc, const struct schema_options *o,
			  struct value *errors);

/* clang-format off */
#define T struct oauth2_client
static const struct field client_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_REF(T,  consumer,      "consumers", .required = true, .on_delete = "cascade", .help = "Whose application it is."),
	F_STR(T,  name,          .required = true, .help = "What the application is called."),
	F_STR(T,  client_id,     .required_is_false_shown = true, .is_unique = true, .is_auto = true, .help = "What it calls itself; made when left out."),
	F_STR(T,  client_secret, .required_is_false_shown = true, .is_auto = true, .is_encrypted = true, .help = "What it shows; made when left out."),
	F_BOOL(T, hash_secret,   .required = true, .def = J(false), .help = "Whether the secret is kept as a hash."),
	F_STRS(T, redirect_uris, .required_is_false_shown = true, .elements = FIELD(FIELD_STRING, .check = check_redirect_uri), .help = "Where codes and tokens may be sent; the first goes without saying."),
	ROW_TAGS(T),
	F_STR(T,  client_type,   .required = true, .def = J("confidential"), .one_of = J(["confidential", "public"]), .help = "Whether it can keep a secret."),
	F_END
};
#undef T

#define T struct oauth2_code
static const struct field code_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_REF(T, service,              "services", .def = J(null), .on_delete = "cascade", .help = "What it is good for; none: every service."),
	F_REF(T, credential,           "oauth2_credentials", .required = true, .on_delete = "cascade", .help = "The application that it was made for."),
	F_STR(T, code,                 .required_is_false_shown = true, .is_unique = true, .is_auto = true, .help = "The code."),
	F_STR(T, authenticated_userid, .required_is_false_shown = true, .help = "Whom the application acts for."),
	F_STR(T, scope,                .help = "What it may do."),
	F_STR(T, challenge,            .required_is_false_shown = true, .help = "Digest of what has to be shown with the code."),
	F_STR(T, challenge_method,     .required_is_false_shown = true, .one_of = J(["S256"]), .help = "How that is made."),
	F_END
};
#undef T

#define T struct oauth2_token
static const struct field token_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_REF(T, service,              "services", .def = J(null), .on_delete = "cascade", .help = "What it is good for; none: every service."),
	F_REF(T, credential,           "oauth2_credentials", .required = true, .on_delete = "cascade", .help = "The application that it was made for."),
	F_STR(T, token_type,           .required = true, .def = J("bearer"), .one_of = J(["bearer"]), .help = "The kind of token."),
	F_INT(T, expires_in,           .required = true, .help = "Seconds it is good for; 0: for ever."),
	F_STR(T, access_token,         .required_is_false_shown = true, .is_unique = true, .is_auto = true, .help = "The token."),
	F_STR(T, refresh_token,        .required_is_false_shown = true, .is_unique = true, .help = "What gives the next one."),
	F_STR(T, authenticated_userid, .required_is_false_shown = true, .help = "Whom the application acts for."),
	F_STR(T, scope,                .help = "What it may do."),
	F_END
};
#undef T

const struct entity oauth2_clients = {
	.name = "oauth2_credentials",
	.path = "oauth2",
	.endpoint_key = "client_id",
	.cache_key = "client_id",
	.help = "An application that may ask for tokens.",
	.size = sizeof(struct oauth2_client),
	.fields = client_fields,
	.is_workspaceable = true,
	.is_taggable = true,
	.finish = finish_client,
};

const struct entity oauth2_codes = {
	.name = "oauth2_authorization_codes",
	.help = "A code that gives a token, once.",
	.size = sizeof(struct oauth2_code),
	.fields = code_fields,
	.is_workspaceable = true,
	.has_ttl = true,
	.ttl_offset = offsetof(struct oauth2_code, ttl),
	.is_hidden = true,
	.is_local = true,
	.is_kept_apart = true,
};

const struct entity oauth2_tokens = {
	.name = "oauth2_tokens",
	.endpoint_key = "access_token",
	.cache_key = "access_token",
	.help = "A token that lets an application in.",
	.size = sizeof(struct oauth2_token),
	.fields = token_fields,
	.is_workspaceable = true,
	.has_ttl = true,
	.ttl_offset = offsetof(struct oauth2_token, ttl),
	.is_kept_apart = true,
	.is_key_hashed = true,
};

static const struct entity *const entities_brought[] = { &oauth2_clients, &oauth2_codes, &oauth2_tokens, NULL };

#define T struct oauth2_conf
static const struct field conf_fields[] = {
	F_STRS(T, scopes,                    .elements = FIELD(FIELD_STRING), .help = "What may be asked for."),
	F_BOOL(T, mandatory_scope,           .required = true, .def = J(false), .help = "Whether something must be asked for."),
	F_STR(T,  provision_key,             .required = true, .is_unique = true, .is_auto = true, .is_encrypted = true, .help = "What those show who have logged a user in; made when left out."),
	F_NUM(T,  token_expiration,          .required = true, .def = J(7200), .help = "Seconds that a token is good for; 0: for ever."),
	F_BOOL(T, enable_authorization_code, .required = true, .def = J(false), .help = "Whether codes are handed out."),
	F_BOOL(T, enable_implicit_grant,     .required = true, .def = J(false), .help = "Whether the first endpoint hands out tokens."),
	F_BOOL(T, enable_client_credentials, .required = true, .def = J(false), .help = "Whether an application gets tokens for itself."),
	F_BOOL(T, enable_password_grant,     .required = true, .def = J(false), .help = "Whether an application may name its user."),
	F_BOOL(T, hide_credentials,          .required = true, .def = J(false), .help = "Whether the upstream does not see tokens."),
	F_BOOL(T, accept_http_if_already_terminated, .required = true, .def = J(false), .help = "Whether a trusted proxy may say that it was https."),
	F_STR(T,  anonymous,                 .help = "Consumer, by id or username, of those who show no good token."),
	F_BOOL(T, global_credentials,        .required = true, .def = J(false), .help = "Whether tokens are good for every service that says so."),
	F_STR(T,  auth_header_name,          .def = J("authorization"), .help = "Header with the token."),
	F_NUM(T,  refresh_token_ttl,         .required = true, .def = J(1209600), .between = J([0, 100000000]), .help = "Seconds that a token can be renewed; 0: for ever."),
	F_BOOL(T, reuse_refresh_token,       .required = true, .def = J(false), .help = "Whether what renews a token stays the same."),
	F_STR(T,  pkce,                      .required_is_false_shown = true, .def = J("lax"), .one_of = J(["none", "lax", "strict"]), .help = "Who has to prove that the code is theirs: nobody, public clients, all."),
	F_END
};
#undef T

static const struct check conf_checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "mandatory_scope", .if_rule = FIELD_RULE(.eq = J(true)),
	  .then_field = "scopes", .then_rule = FIELD_RULE(.required = true) },
	CHECK_END
};
/* clang-format on */

static const char *check_redirect_uri(struct arena *a, const struct value *v)
{
	struct uri u;

	if (!uri_parse(v->s, &u) || !u.scheme.n || !u.host.n)
		return str_fmt(a, "cannot parse '" STRF "'", STRV(v->s)).s;
	if (u.fragment.s)
		return str_fmt(a, "fragment not allowed in '" STRF "'", STRV(v->s)).s;
	return NULL;
}

static bool is_true(const struct value *record, const char *name)
{
	const struct value *v = value_get(record, name);

	return !value_is_null(v) && v->kind == VALUE_BOOL && v->b;
}

static const char *check_grants(struct arena *a, const struct value *conf)
{
	(void)a;
	if (is_true(conf, "enable_authorization_code") || is_true(conf, "enable_implicit_grant") ||
	    is_true(conf, "enable_client_credentials") || is_true(conf, "enable_password_grant"))
		return NULL;
	return "at least one of these fields must be true: enable_authorization_code, "
	       "enable_implicit_grant, enable_client_credentials, enable_password_grant";
}

/* A secret that changes says whether it is hashed, and whether it is says which. */
static bool says_half(const struct value *change, const struct value *before)
{
	const struct value *secret = value_get(change, "client_secret");
	bool says_secret = !value_is_null(secret);
	bool says_hash = !value_is_null(value_get(change, "hash_secret"));

	if (says_secret && !says_hash)
		return !value_eq(secret, value_get(before, "client_secret"));
	return says_hash && !says_secret;
}

static void finish_client(struct arena *a, struct value *doc, const struct schema_options *o,
			  struct value *errors)
{
	const struct value *secret = value_get(doc, "client_secret");

	if (o->op == SCHEMA_SELECT)
		return;
	if (o->op == SCHEMA_UPDATE && says_half(doc, o->before))
		schema_error_at(a, errors, "@entity",
				"all or none of these fields must be set: 'hash_secret', "
				"'client_secret'");
	else if (!o->is_transformed && is_true(doc, "hash_secret") && !value_is_null(secret))
		value_set(a, doc, STR("client_secret"),
			  value_str(a, oauth2_secret_hash(a, secret->s)));
}

/* ---- the request ------------------------------------------------------------------------- */

bool oauth2_parameters(struct req *r, struct value **ret)
{
	struct arena *a = req_arena(r);
	struct uri_args query = req_args(r);
	str method = req_method(r);
	struct body_args body;

	*ret = args_value(a, &query);
	if (!str_is(method, "POST") && !str_is(method, "PUT") && !str_is(method, "PATCH"))
		return true;
	if (!req_body_args(r, &body))
		return false;
	for (uint32_t i = 0; i < body.args->n; i++)
		value_set(a, *ret, body.args->members[i].key, body.args->members[i].value);
	return true;
}

str oauth2_text(const struct value *parameters, const char *name)
{
	const struct value *v = value_get(parameters, name);

	return v && v->kind == VALUE_STRING ? v->s : STR_NONE;
}

uuid oauth2_service(const struct req *r)
{
	const struct service *s = req_service(r);

	return s ? s->id : (uuid){ { 0 } };
}

static bool is_endpoint(str path, const char *name)
{
	if (str_ends(path, STR("/")))
		path.n--;
	return str_ends(path, str_of(name));
}

/* Only asked with POST. */
static enum verdict serve_endpoint(struct req *r, const struct oauth2_conf *conf, const char *name,
				   enum verdict (*fn)(struct req *, const struct oauth2_conf *))
{
	struct arena *a = req_arena(r);
	struct value *v;
	str words;

	if (str_is(req_method(r), "POST"))
		return fn(r, conf);
	words = str_fmt(a, "The HTTP method " STRF " is invalid for the %s endpoint",
			STRV(req_method(r)), name);
	v = value_object(a);
	value_set(a, v, STR("error"), value_text(a, "invalid_method"));
	value_set(a, v, STR("error_description"), value_str(a, words));
	reply_set_header(r, STR("WWW-Authenticate"),
			 str_fmt(a,
				 "Bearer realm=\"service\" error=\"invalid_method\" "
				 "error_description=\"" STRF "\"",
				 STRV(words)));
	return respond_json(r, 405, v);
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct oauth2_conf *conf = conf_;
	str path = req_path(r);

	if (is_endpoint(path, "/oauth2/token"))
		return serve_endpoint(r, conf, "token", oauth2_issue);
	if (is_endpoint(path, "/oauth2/authorize"))
		return serve_endpoint(r, conf, "authorization", oauth2_authorize);
	return oauth2_access(r, conf);
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct oauth2_conf *conf = conf_;

	(void)a;
	if (!conf->auth_header_name.n)
		conf->auth_header_name = STR("authorization");
	return NULL;
}

const struct plugin plugin_oauth2 = {
	.name = "oauth2",
	.help = "Hands out tokens, and lets in who shows one.",
	.priority = 1400,
	.conf_size = sizeof(struct oauth2_conf),
	.conf = conf_fields,
	.conf_checks = conf_checks,
	.conf_check = check_grants,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.entities = entities_brought,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access },
};
