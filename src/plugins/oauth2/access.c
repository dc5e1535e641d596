/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that show a token (RFC 6750): in a header, in the query, or in the body. */
#include "plugins/oauth2/oauth2.h"

#define ACCESS_TOKEN "access_token"
#define CHALLENGE    "Bearer realm=\"service\""
#define IS_INVALID   "The access token is invalid or has expired"

/* Why nobody is let in; NULL: somebody is. */
struct refusal {
	const char *error, *description, *challenge;
};

static const struct refusal is_missing = { "invalid_request", "The access token is missing",
					   CHALLENGE };
static const struct refusal is_invalid = {
	"invalid_token", IS_INVALID,
	CHALLENGE " error=\"invalid_token\" error_description=\"" IS_INVALID "\""
};
static const struct refusal is_global = {
	"invalid_token",
	"The access token is global, but the current plugin is configured without "
	"'global_credentials'",
	NULL
};

/* ---- the token --------------------------------------------------------------------------- */

/* What stands behind "Bearer" or "token"; any other text is taken for the token itself. */
static str in_header(str header, bool *ret_is_bearer)
{
	strs words = { 0 };
	str v[3], rest = header, word;

	words.v = v;
	while (words.n < COUNT(v) && str_next(&rest, ' ', &word)) {
		word = str_trim(word);
		if (word.n)
			v[words.n++] = word;
	}
	*ret_is_bearer = words.n == 2 && (str_is_ci(v[0], "bearer") || str_is_ci(v[0], "token"));
	return *ret_is_bearer ? v[1] : header;
}

/* False: answered. */
static bool hide_arguments(struct req *r)
{
	struct uri_args args = req_args(r);
	struct body_args body;
	size_t kept = 0;

	for (size_t i = 0; i < args.n; i++) {
		if (!str_is(args.v[i].key, ACCESS_TOKEN))
			args.v[kept++] = args.v[i];
	}
	if (kept != args.n) {
		args.n = kept;
		req_set_args(r, &args);
	}
	if (str_is(req_method(r), "GET"))
		return true;
	if (!req_body_args(r, &body))
		return false;
	if (value_get(body.args, ACCESS_TOKEN)) {
		value_unset(body.args, STR(ACCESS_TOKEN));
		req_set_body_args(r, &body);
	}
	return true;
}

/* False: answered. */
static bool read_token(struct req *r, const struct oauth2_conf *conf, str *ret)
{
	str header = req_header(r, conf->auth_header_name);
	bool is_bearer = false;
	struct value *parameters;

	if (header.s) {
		*ret = in_header(header, &is_bearer);
	} else {
		if (!oauth2_parameters(r, &parameters))
			return false;
		*ret = oauth2_text(parameters, ACCESS_TOKEN);
		if (!ret->s)
			return true;
	}
	if (!conf->hide_credentials)
		return true;
	if (!is_bearer)
		return hide_arguments(r);
	req_remove_header(r, conf->auth_header_name);
	return true;
}

/* ---- whose it is ---------------------------------------------------------------------------- */

static const struct refusal *judge(struct req *r, const struct oauth2_conf *conf,
				   const struct oauth2_token *token)
{
	if (!token)
		return &is_invalid;
	if (uuid_is_none(token->service))
		return conf->global_credentials ? NULL : &is_global;
	return uuid_eq(token->service, oauth2_service(r)) ? NULL : &is_invalid;
}

static bool is_over(const struct oauth2_token *token)
{
	return token->expires_in > 0 && clock_wall_s() - token->created_at > token->expires_in;
}

static void tell(struct req *r, const char *name, str value)
{
	if (value.n)
		req_set_header(r, str_of(name), value);
	else
		req_remove_header(r, str_of(name));
}

static void tell_upstream(struct req *r, str scope, str userid)
{
	tell(r, "X-Authenticated-Scope", scope);
	tell(r, "X-Authenticated-UserId", userid);
}

static const struct refusal *authenticate(struct req *r, const struct oauth2_conf *conf, str shown)
{
	struct arena *a = req_arena(r);
	const struct oauth2_token *token;
	const struct oauth2_client *client;
	const struct refusal *why;

	if (!shown.n)
		return &is_missing;
	token = credential_find(r, &oauth2_tokens, ACCESS_TOKEN, shown);
	why = judge(r, conf, token);
	if (why)
		return why;
	if (is_over(token))
		return &is_invalid;
	client = credential_find(r, &oauth2_clients, "id", uuid_str(a, token->credential));
	if (!client)
		return &is_invalid;
	if (!req_authenticate_by(r, client->consumer, client->id, client->client_id))
		return &is_invalid;
	tell_upstream(r, token->scope, token->authenticated_userid);
	return NULL;
}

static enum verdict refuse(struct req *r, const struct refusal *why)
{
	struct arena *a = req_arena(r);
	struct value *v = value_object(a);

	value_set(a, v, STR("error"), value_text(a, why->error));
	value_set(a, v, STR("error_description"), value_text(a, why->description));
	if (why->challenge)
		reply_set_header(r, STR("WWW-Authenticate"), str_of(why->challenge));
	return respond_json(r, 401, v);
}

enum verdict oauth2_access(struct req *r, const struct oauth2_conf *conf)
{
	const struct refusal *why;
	str shown = STR_NONE;

	if (conf->anonymous.n && req_credential(r)) {
		tell_upstream(r, STR_NONE, STR_NONE);
		return NEXT;
	}
	if (!read_token(r, conf, &shown))
		return DONE;
	why = authenticate(r, conf, shown);
	if (!why)
		return NEXT;
	if (!conf->anonymous.n)
		return refuse(r, why);
	tell_upstream(r, STR_NONE, STR_NONE);
	return req_authenticate_anonymous(r, conf->anonymous);
}
