/* SPDX-License-Identifier: Apache-2.0 */
/* The two endpoints: /oauth2/authorize gives a code, or a token at once, in the name of
 * a user; /oauth2/token gives a token for a code, for what renews one, for the client itself,
 * or in the name of a user.
 *
 * All that is wrong is looked at, and the last of it is told, as Kong does.  A code, and what
 * renews a token, are taken away before anything is made for them: of several who show the
 * same one at once, on whichever node, one gets something. */
#include "plugins/oauth2/oauth2.h"

#include <math.h>

#define CODE_TTL_S     300
#define SECONDS_MAX    INT32_MAX /* of the column expires_in */
#define VERIFIER_MIN   43        /* RFC 7636 §4.1 */
#define VERIFIER_MAX   128
#define ARGS_MAX       100
#define BODY_MAX       ((size_t)64 << 10)
#define STATE_MAX      ((size_t)64 << 10) /* as it goes back in a URI */
#define ARGS_BYTES_MAX ((size_t)1 << 20)
#define NO_CLIENT      "invalid_client", "Invalid client authentication"

/* What is asked for, and what becomes of it. */
struct grant {
	struct req *r;
	struct arena *a;
	const struct oauth2_conf *conf;
	struct value *parameters;
	const struct oauth2_client *client;
	struct value *answer;
	const char *error; /* NULL: nothing is wrong */
	str description;
	bool is_by_header; /* the client has shown its secret there, which was no good */
	bool has_failed;   /* the database was of no help, which is logged */
};

static bool fault(struct grant *g, const char *error, const char *description)
{
	g->error = error;
	g->description = str_of(description);
	return false;
}

static str text(const struct grant *g, const char *name)
{
	return oauth2_text(g->parameters, name);
}

static bool is_given(const struct grant *g, const char *name)
{
	return value_get(g->parameters, name) != NULL;
}

static bool is_text(const struct grant *g, const char *name, const char *what)
{
	return str_is(text(g, name), what);
}

static void put(struct grant *g, struct value *to, const char *name, str v)
{
	if (v.n)
		value_set(g->a, to, str_of(name), value_str(g->a, v));
}

static void put_id(struct grant *g, struct value *to, const char *name, uuid id)
{
	struct value *v = value_object(g->a);

	if (uuid_is_none(id))
		return;
	put(g, v, "id", uuid_str(g->a, id));
	value_set(g->a, to, str_of(name), v);
}

/* The service that what is made is bound to; none: all of them. */
static uuid bound_to(const struct grant *g)
{
	return g->conf->global_credentials ? (uuid){ { 0 } } : oauth2_service(g->r);
}

/* ---- answering ----------------------------------------------------------------------------- */

/* What is sent of a grant, in the body or within a URI. */
static struct value *answer_of(const struct grant *g)
{
	struct value *v = g->error ? value_object(g->a) : g->answer;
	struct value *state = value_get(g->parameters, "state");

	if (g->error) {
		value_set(g->a, v, STR("error"), value_text(g->a, g->error));
		value_set(g->a, v, STR("error_description"), value_str(g->a, g->description));
	}
	if (state)
		value_set(g->a, v, STR("state"), state);
	return v;
}

static enum verdict answer(struct grant *g, int status, const struct value *v)
{
	if (g->has_failed)
		return respond_message(g->r, 500, "An unexpected error occurred");
	reply_set_header(g->r, STR("Cache-Control"), STR("no-store"));
	reply_set_header(g->r, STR("Pragma"), STR("no-cache"));
	return respond_json(g->r, status, v);
}

/* ---- URIs, to which answers are added -------------------------------------------------------- */

static void escape(struct buf *out, str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];
		bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
				(c >= 'A' && c <= 'Z') || c == '_';

		if (is_plain)
			buf_add_char(out, (char)c);
		else
			buf_addf(out, "%%%02x", c);
	}
}

/* The way to a value: its name, behind that of what it is in. */
struct way {
	const struct way *up;
	str name;       /* within an object */
	uint32_t index; /* within a list: from 1; else 0 */
};

/* Lists are spelled "a[1]=x&a[2]=y", objects "a.b=x"; their depth is that of JSON. */
static void write_way(struct arena *a, struct buf *out, const struct way *w)
{
	if (!w->up) {
		escape(out, w->name);
		return;
	}
	write_way(a, out, w->up);
	if (w->index) {
		escape(out, str_fmt(a, "[%u]", w->index));
	} else {
		escape(out, STR("."));
		escape(out, w->name);
	}
}

static void write_argument(struct arena *a, struct buf *out, const struct way *w,
			   const struct value *v)
{
	for (uint32_t i = 0; v->kind == VALUE_ARRAY && i < v->n && !out->is_full; i++)
		write_argument(a, out, &(struct way){ .up = w, .index = i + 1 }, v->items[i]);
	for (uint32_t i = 0; v->kind == VALUE_OBJECT && i < v->n && !out->is_full; i++)
		write_argument(a, out, &(struct way){ .up = w, .name = v->members[i].key },
			       v->members[i].value);
	if (v->kind == VALUE_ARRAY || v->kind == VALUE_OBJECT)
		return;
	if (buf_str(out).n)
		buf_add_char(out, '&');
	write_way(a, out, w);
	if (v->kind == VALUE_STRING && !v->s.n)
		return;
	buf_add_char(out, '=');
	if (v->kind != VALUE_NULL)
		escape(out, v->kind == VALUE_STRING ? v->s : json_text(a, v, JSON_COMPACT));
}

static int by_key(const void *x, const void *y)
{
	return str_cmp(((const struct member *)x)->key, ((const struct member *)y)->key);
}

/* The arguments that there are, with the answer among them, sorted; STR_NONE: they are too
 * long. */
static str join(struct arena *a, str query, const struct value *more)
{
	struct uri_args args = uri_args(a, query, ARGS_MAX);
	struct value *all = args_value(a, &args);
	struct buf out CLEANUP(buf_done) = { 0 };
	struct member *sorted;

	for (uint32_t i = 0; i < more->n; i++)
		value_set(a, all, more->members[i].key, more->members[i].value);
	sorted = NEWS(a, struct member, all->n);
	for (uint32_t i = 0; i < all->n; i++)
		sorted[i] = all->members[i];
	if (all->n)
		qsort(sorted, all->n, sizeof(*sorted), by_key);
	buf_init(&out, ARGS_BYTES_MAX);
	for (uint32_t i = 0; i < all->n; i++)
		write_argument(a, &out, &(struct way){ .name = sorted[i].key }, sorted[i].value);
	return out.is_full ? STR_NONE : str_copy(a, buf_str(&out));
}

/* Codes and errors go into the query, tokens behind '#', where servers do not see them. */
static str with_answer(struct grant *g, str uri, const struct value *more, bool is_token)
{
	ptrdiff_t at = str_find(uri, '?', 0);
	str query = at < 0 ? STR("") : str_from(uri, (size_t)at + 1);
	str path = at < 0 ? uri : str_part(uri, 0, (size_t)at);

	if (is_token)
		return str_fmt(g->a, STRF "#" STRF, STRV(uri), STRV(join(g->a, STR(""), more)));
	return str_fmt(g->a, STRF "?" STRF, STRV(path), STRV(join(g->a, query, more)));
}

/* ---- what both ask --------------------------------------------------------------------------- */

/* False: answered. */
static bool read_parameters(struct grant *g)
{
	return req_limit_body(g->r, BODY_MAX, 413, "Request size limit exceeded") == NEXT &&
	       oauth2_parameters(g->r, &g->parameters);
}

static bool is_secure(struct grant *g)
{
	str name = STR("X-Forwarded-Proto");

	if (str_is_ci(req_scheme(g->r), "https"))
		return true;
	if (g->conf->accept_http_if_already_terminated && req_is_from_trusted(g->r)) {
		if (req_header_count(g->r, name) > 1)
			return fault(g, "access_denied",
				     "Only one X-Forwarded-Proto header allowed");
		if (str_is_ci(req_header(g->r, name), "https"))
			return true;
	}
	return fault(g, "access_denied", "You must use HTTPS");
}

static bool is_provisioned(struct grant *g)
{
	str key = text(g, "provision_key");

	if (key.s && str_eq_secret(key, g->conf->provision_key))
		return true;
	return fault(g, "invalid_provision_key", "Invalid provision_key");
}

static bool has_user(struct grant *g)
{
	if (str_trim(text(g, "authenticated_userid")).n)
		return true;
	return fault(g, "invalid_authenticated_userid", "Missing authenticated_userid parameter");
}

static bool is_one_of(strs list, str s)
{
	for (size_t i = 0; i < list.n; i++) {
		if (str_eq(list.v[i], s))
			return true;
	}
	return false;
}

/* The words of the scope; STR_NONE: none are asked for, or something is wrong. */
static str read_scope(struct grant *g)
{
	struct buf all CLEANUP(buf_done) = { 0 };
	str rest = text(g, "scope"), word;
	bool has_scopes = g->conf->scopes.v; /* an empty list has none that is good */

	if (is_given(g, "scope") && has_scopes && !rest.s) {
		fault(g, "invalid_scope", "scope must be a string");
		return STR_NONE;
	}
	buf_init(&all, rest.n + 1);
	while (has_scopes && str_next(&rest, ' ', &word)) {
		word = str_trim(word);
		if (!word.n)
			continue;
		if (!is_one_of(g->conf->scopes, word)) {
			fault(g, "invalid_scope",
			      str_fmt(g->a, "\"" STRF "\" is an invalid scope", STRV(word)).s);
			return STR_NONE;
		}
		if (all.n)
			buf_add_char(&all, ' ');
		buf_add_str(&all, word);
	}
	if (!all.n && g->conf->mandatory_scope)
		fault(g, "invalid_scope", "You must specify a scope");
	return all.n ? str_copy(g->a, buf_str(&all)) : STR_NONE;
}

static const struct oauth2_client *find_client(struct grant *g, str id)
{
	return id.n ? credential_find(g->r, &oauth2_clients, "client_id", id) : NULL;
}

/* Where the client is to be told; one that it has not said before is wrong. */
static str redirect_uri(struct grant *g)
{
	strs known = g->client->redirect_uris;

	if (!is_given(g, "redirect_uri") || is_one_of(known, text(g, "redirect_uri")))
		return is_given(g, "redirect_uri") ? text(g, "redirect_uri") : known.v[0];
	fault(g, "invalid_request",
	      "Invalid redirect_uri that does not match with any redirect_uri created with the "
	      "application");
	return known.v[0];
}

/* ---- tokens ------------------------------------------------------------------------------------ */

/* Parts of a second are a whole one: 0 is for ever. */
static int64_t whole_seconds(double seconds)
{
	return !(seconds > 0) ? 0 : seconds < SECONDS_MAX ? (int64_t)ceil(seconds) : SECONDS_MAX;
}

static void answer_token(struct grant *g, str access, str refresh)
{
	int64_t seconds = whole_seconds(g->conf->token_expiration);

	g->answer = value_object(g->a);
	put(g, g->answer, "access_token", access);
	put(g, g->answer, "token_type", STR("bearer"));
	if (seconds)
		value_set(g->a, g->answer, STR("expires_in"), value_int(g->a, seconds));
	put(g, g->answer, "refresh_token", refresh);
}

/* How long it is good for, and how much longer it may be renewed. */
static struct value *times_of_token(struct grant *g)
{
	struct value *doc = value_object(g->a);
	int64_t seconds = whole_seconds(g->conf->token_expiration);
	int64_t ttl = whole_seconds(g->conf->refresh_token_ttl);

	value_set(g->a, doc, STR("expires_in"), value_int(g->a, seconds));
	if (seconds && ttl)
		value_set(g->a, doc, STR("ttl"), value_int(g->a, ttl));
	return doc;
}

static void make_token(struct grant *g, str userid, str scope, bool is_renewable)
{
	struct value *doc = times_of_token(g);
	str refresh = STR_NONE;

	if (uuid_is_none(bound_to(g)) && !g->conf->global_credentials) {
		log_error("oauth2: the route has no service, and its tokens are not global");
		g->has_failed = true;
		return;
	}
	if (is_renewable && g->conf->token_expiration > 0)
		refresh = random_text(g->a, 32);
	put_id(g, doc, "service", bound_to(g));
	put_id(g, doc, "credential", g->client->id);
	put(g, doc, "authenticated_userid", userid);
	put(g, doc, "refresh_token", refresh);
	put(g, doc, "scope", scope);
	if (!stored_insert(g->r, &oauth2_tokens, doc, &doc))
		g->has_failed = true;
	else
		answer_token(g, value_get(doc, "access_token")->s, refresh);
}

/* The same token goes on under another name. */
static void renew_token(struct grant *g, const struct oauth2_token *token)
{
	struct value *change = times_of_token(g);
	str access = random_text(g->a, 32);

	put(g, change, "access_token", access);
	value_set(g->a, change, STR("created_at"), value_int(g->a, clock_wall_s()));
	if (!stored_update(g->r, &oauth2_tokens, token->id, change, &change))
		g->has_failed = true;
	else
		answer_token(g, access, token->refresh_token);
}

/* True: it was there, and nobody else has taken it. */
static bool take(struct grant *g, const struct entity *e, uuid id)
{
	bool was_there;

	if (!stored_remove(g->r, e, id, &was_there))
		g->has_failed = true;
	return !g->has_failed && was_there;
}

/* What a parameter names, decoded; false: there is none. */
static bool find(struct grant *g, const struct entity *e, const char *field, str value, void *ret)
{
	struct value *doc = NULL;

	if (!value.n)
		return false;
	if (!stored_find(g->r, e, field, value, &doc))
		g->has_failed = true;
	if (!doc)
		return false;
	entity_decode(g->a, e, doc, ret);
	return true;
}

/* ---- /oauth2/authorize ---------------------------------------------------------------------------- */

static bool needs_proof(const struct grant *g)
{
	return str_is(g->client->client_type, "public") ? !str_is(g->conf->pkce, "none")
							: str_is(g->conf->pkce, "strict");
}

/* The digest that the code will be bound to (RFC 7636 §4.3), in one spelling; STR_NONE: none. */
static str read_challenge(struct grant *g)
{
	str challenge = text(g, "code_challenge"), method = text(g, "code_challenge_method");
	str digest;

	if (is_given(g, "code_challenge_method") && !is_given(g, "code_challenge")) {
		fault(g, "invalid_request",
		      "code_challenge is required when code_method is present");
	} else if (is_given(g, "code_challenge") && !challenge.s) {
		fault(g, "invalid_request", "code_challenge is not a string");
	} else if (is_given(g, "code_challenge_method") && !str_is_ci(method, "S256")) {
		fault(g, "invalid_request", "code_challenge_method is not supported, must be S256");
	} else if (!challenge.n && g->client && needs_proof(g)) {
		fault(g, "invalid_request",
		      str_fmt(g->a, "code_challenge is required for " STRF " clients",
			      STRV(g->client->client_type))
			      .s);
	}
	if (challenge.n && base64url_decode(g->a, challenge, BASE64URL_FREE, &digest))
		return base64url_encode(g->a, digest);
	return challenge;
}

static void make_code(struct grant *g, str scope, str challenge)
{
	struct value *doc = value_object(g->a);

	put_id(g, doc, "service", bound_to(g));
	put_id(g, doc, "credential", g->client->id);
	put(g, doc, "authenticated_userid", text(g, "authenticated_userid"));
	put(g, doc, "scope", scope);
	put(g, doc, "challenge", challenge);
	put(g, doc, "challenge_method", challenge.n ? STR("S256") : STR_NONE);
	value_set(g->a, doc, STR("ttl"), value_int(g->a, CODE_TTL_S));
	if (!stored_insert(g->r, &oauth2_codes, doc, &doc)) {
		g->has_failed = true;
		return;
	}
	g->answer = value_object(g->a);
	put(g, g->answer, "code", value_get(doc, "code")->s);
}

/* Returns where the client is to be told; STR_NONE: nowhere. */
static str authorize(struct grant *g, bool is_token)
{
	bool is_code = is_text(g, "response_type", "code") && g->conf->enable_authorization_code;
	str scope, challenge, uri = STR_NONE;

	if (!is_code && !is_token)
		fault(g, "unsupported_response_type", "Invalid response_type");
	scope = read_scope(g);
	g->client = find_client(g, text(g, "client_id"));
	if (g->client && g->client->redirect_uris.n)
		uri = redirect_uri(g);
	else
		fault(g, NO_CLIENT);
	challenge = read_challenge(g);
	if (g->error)
		return uri;
	if (is_code)
		make_code(g, scope, challenge);
	else
		make_token(g, text(g, "authenticated_userid"), scope, false);
	return uri;
}

/* It goes back in a URI, whatever becomes of the rest. */
static bool is_state_short(struct grant *g)
{
	struct value *state = value_get(g->parameters, "state"), *v = value_object(g->a);
	str text;

	if (!state)
		return true;
	value_set(g->a, v, STR("state"), state);
	text = join(g->a, STR(""), v);
	if (text.s && text.n <= STATE_MAX)
		return true;
	value_unset(g->parameters, STR("state"));
	return fault(g, "invalid_request", "state is too long");
}

enum verdict oauth2_authorize(struct req *r, const struct oauth2_conf *conf)
{
	struct grant g = { .r = r, .a = req_arena(r), .conf = conf };
	str uri = STR_NONE;
	struct value *v;
	bool is_token;

	if (!read_parameters(&g))
		return DONE;
	is_token = is_text(&g, "response_type", "token") && conf->enable_implicit_grant;
	if (is_secure(&g) && is_state_short(&g) && is_provisioned(&g) && has_user(&g))
		uri = authorize(&g, is_token);
	if (g.has_failed)
		return answer(&g, 500, NULL);
	v = answer_of(&g);
	if (uri.s) {
		uri = with_answer(&g, uri, v, is_token && !g.error);
		v = value_object(g.a);
		put(&g, v, "redirect_uri", uri);
	}
	return answer(&g, g.error ? 400 : 200, v);
}

/* ---- /oauth2/token: the client ------------------------------------------------------------------------ */

struct shown {
	str id, secret;
	bool is_by_header;
};

static struct shown read_client(struct grant *g)
{
	struct shown ret = { 0 };
	str header = req_header(g->r, g->conf->auth_header_name);

	if (is_given(g, "client_id") && is_given(g, "client_secret")) {
		ret.id = text(g, "client_id");
		ret.secret = text(g, "client_secret");
	} else if (header.s) {
		ret.is_by_header = true;
		authorization_pair(g->a, header, STR("Basic"), &ret.id, &ret.secret);
	} else {
		ret.id = text(g, "client_id");
	}
	return ret;
}

static void refuse_client(struct grant *g, const struct shown *shown)
{
	fault(g, NO_CLIENT);
	g->is_by_header = shown->is_by_header;
}

static void check_secret(struct grant *g, const struct shown *shown)
{
	const struct oauth2_client *client = g->client;
	bool is_good;

	if (str_is(client->client_type, "public")) {
		if (str_trim(shown->secret).n)
			fault(g, "invalid_request",
			      "client_secret is disallowed for public clients");
		return;
	}
	is_good =
		shown->secret.s && client->client_secret.s &&
		(client->hash_secret ? oauth2_secret_is(g->r, shown->secret, client->client_secret)
				     : str_eq_secret(shown->secret, client->client_secret));
	if (!is_good)
		refuse_client(g, shown);
}

static void identify_client(struct grant *g)
{
	struct shown shown = read_client(g);

	g->client = find_client(g, shown.id);
	if (!is_text(g, "grant_type", "client_credentials")) {
		if (g->client && g->client->redirect_uris.n)
			redirect_uri(g);
		else
			refuse_client(g, &shown);
	}
	if (g->client)
		check_secret(g, &shown);
}

/* ---- /oauth2/token: the grants --------------------------------------------------------------------------- */

/* Whoever shows the code is who asked for it (RFC 7636 §4.6). */
static bool check_proof(struct grant *g, const struct oauth2_code *code)
{
	str verifier = text(g, "code_verifier");
	uint8_t digest[32];

	if (!code->challenge_method.n && !needs_proof(g))
		return true;
	if (!is_given(g, "code_verifier"))
		return fault(g, "invalid_request",
			     "code_verifier is required for PKCE authorization requests");
	if (!verifier.s)
		return fault(g, "invalid_request", "code_verifier is not a string");
	if (verifier.n < VERIFIER_MIN || verifier.n > VERIFIER_MAX)
		return fault(g, "invalid_request",
			     "code_verifier must be between 43 and 128 characters");
	digest_sha256(verifier, digest);
	if (str_eq_secret(code->challenge,
			  base64url_encode(g->a, str_at((const char *)digest, sizeof(digest)))))
		return true;
	return fault(g, "invalid_grant", "Invalid code");
}

static bool is_for_service(const struct grant *g, uuid service)
{
	uuid bound = bound_to(g);

	return uuid_is_none(bound) || uuid_eq(bound, service);
}

static void grant_for_code(struct grant *g)
{
	struct oauth2_code code;

	if (!find(g, &oauth2_codes, "code", text(g, "code"), &code) ||
	    !is_for_service(g, code.service) || !uuid_eq(code.credential, g->client->id))
		fault(g, "invalid_request", "Invalid code");
	else if (!check_proof(g, &code))
		return;
	else if (!take(g, &oauth2_codes, code.id))
		fault(g, "invalid_request", "Invalid code");
	else
		make_token(g, code.authenticated_userid, code.scope, true);
}

static void grant_for_client(struct grant *g)
{
	str scope;

	if (is_given(g, "authenticated_userid") && !is_provisioned(g))
		return;
	if (!g->client) {
		fault(g, NO_CLIENT);
		return;
	}
	scope = read_scope(g);
	if (!g->error)
		make_token(g, text(g, "authenticated_userid"), scope, false);
}

static void grant_for_user(struct grant *g)
{
	str scope;

	if (!is_provisioned(g) || !has_user(g))
		return;
	scope = read_scope(g);
	if (!g->error)
		make_token(g, text(g, "authenticated_userid"), scope, true);
}

static void grant_for_token(struct grant *g)
{
	struct oauth2_token token;

	if (!find(g, &oauth2_tokens, "refresh_token", text(g, "refresh_token"), &token) ||
	    !is_for_service(g, token.service))
		fault(g, "invalid_request", "Invalid refresh_token");
	else if (!uuid_eq(token.credential, g->client->id))
		fault(g, NO_CLIENT);
	else if (g->conf->reuse_refresh_token)
		renew_token(g, &token);
	else if (!take(g, &oauth2_tokens, token.id))
		fault(g, "invalid_request", "Invalid refresh_token");
	else
		make_token(g, token.authenticated_userid, token.scope, true);
}

static bool always(const struct oauth2_conf *conf)
{
	(void)conf;
	return true;
}

static bool has_client_credentials(const struct oauth2_conf *conf)
{
	return conf->enable_client_credentials;
}

static bool has_password(const struct oauth2_conf *conf)
{
	return conf->enable_password_grant;
}

/* clang-format off */
static const struct {
	const char *type;
	bool (*is_on)(const struct oauth2_conf *conf);
	void (*give)(struct grant *g) SUSPENDS;
} grants[] = {
	{ "authorization_code", always,                 grant_for_code },
	{ "client_credentials", has_client_credentials, grant_for_client },
	{ "password",           has_password,           grant_for_user },
	{ "refresh_token",      always,                 grant_for_token },
};
/* clang-format on */

static void issue(struct grant *g)
{
	size_t i = 0;

	while (i < COUNT(grants) &&
	       !(is_text(g, "grant_type", grants[i].type) && grants[i].is_on(g->conf)))
		i++;
	if (i == COUNT(grants))
		fault(g, "unsupported_grant_type", "Invalid grant_type");
	identify_client(g);
	if (!g->error)
		grants[i].give(g);
}

enum verdict oauth2_issue(struct req *r, const struct oauth2_conf *conf)
{
	struct grant g = { .r = r, .a = req_arena(r), .conf = conf };

	if (!read_parameters(&g))
		return DONE;
	if (is_secure(&g))
		issue(&g);
	if (g.has_failed)
		return answer(&g, 500, NULL);
	if (g.is_by_header)
		reply_set_header(r, STR("WWW-Authenticate"), STR("Basic realm=\"OAuth2.0\""));
	return answer(&g, !g.error ? 200 : g.is_by_header ? 401 : 400, answer_of(&g));
}
