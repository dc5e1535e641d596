/* SPDX-License-Identifier: Apache-2.0 */
/* jwt - whoever calls shows a JSON Web Token that a consumer's key has signed (RFC 7519).
 *
 * A claim of the token names the credential, and the credential names the algorithm: a
 * token that says another one is refused before any key is touched, so a public key is
 * never taken for a shared secret.  Tokens are looked for in the query, in cookies and
 * in headers, everywhere; two different ones are refused.  Fails closed. */
#include "plugins/jwt/token.h"

#define TOKENS_MAX 64 /* looked at; more are too many anyway */

struct conf {
	strs uri_param_names, cookie_names, header_names, claims_to_verify;
	str key_claim_name, anonymous;
	bool secret_is_base64, run_on_preflight;
	double maximum_expiration;
};

struct jwt_secret {
	uuid id, consumer;
	int64_t created_at;
	str key, secret, rsa_public_key, algorithm;
	strs tags;
};

static const char *check_public_key(struct arena *a, const struct value *v)
{
	(void)a;
	return signing_key_is_good(v->s) ? NULL : "invalid key";
}

/* clang-format off */
#define T struct jwt_secret
static const struct field secret_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_REF(T, consumer,       "consumers", .required = true, .on_delete = "cascade", .help = "Whose it is."),
	F_STR(T, key,            .required_is_false_shown = true, .is_unique = true, .is_auto = true, .help = "What the claim says; made when left out."),
	F_STR(T, secret,         .is_auto = true, .help = "Signs with HS256, HS384 and HS512; made when left out."),
	F_STR(T, rsa_public_key, .help = "Checks the other algorithms: a public key, PEM."),
	F_STR(T, algorithm,      .def = J("HS256"), .one_of = J(["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384"]), .help = "How its tokens are signed."),
	ROW_TAGS(T),
	F_END
};

static const struct check secret_checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "algorithm", .if_rule = FIELD_RULE(.one_of = J(["RS256", "RS384", "RS512"])),
	  .then_field = "rsa_public_key", .then_rule = FIELD_RULE(.required = true, .check = check_public_key) },
	CHECK_END
};
#undef T

static const struct entity jwt_entity = {
	.name = "jwt_secrets",
	.path = "jwts",
	.nested_path = "jwt",
	.endpoint_key = "key",
	.cache_key = "key",
	.help = "A key that somebody signs tokens with.",
	.size = sizeof(struct jwt_secret),
	.fields = secret_fields,
	.checks = secret_checks,
	.is_workspaceable = true,
	.is_taggable = true,
};

static const struct entity *const entities_brought[] = { &jwt_entity, NULL };

#define T struct conf
#define NAME FIELD(FIELD_STRING)
static const struct field conf_fields[] = {
	F_STRS(T, uri_param_names,   .is_set = true, .def = J(["jwt"]), .elements = NAME, .help = "Arguments of the query to look at."),
	F_STRS(T, cookie_names,      .is_set = true, .def = J([]), .elements = NAME, .help = "Cookies to look at."),
	F_STR(T,  key_claim_name,    .def = J("iss"), .help = "Claim, or else header field, that names the credential."),
	F_BOOL(T, secret_is_base64,  .required = true, .def = J(false), .help = "Whether secrets are base64 of the bytes that sign."),
	F_STRS(T, claims_to_verify,  .is_set = true, .elements = FIELD(FIELD_STRING, .one_of = J(["exp", "nbf"])), .help = "Claims that must be there and hold."),
	F_STR(T,  anonymous,         .help = "Consumer, by id or username, of those who show no good token."),
	F_BOOL(T, run_on_preflight,  .required = true, .def = J(true), .help = "Whether OPTIONS needs a token too."),
	F_NUM(T,  maximum_expiration, .def = J(0), .between = J([0, 31536000]), .help = "Seconds that exp may lie ahead; 0: any number."),
	F_STRS(T, header_names,      .is_set = true, .def = J(["authorization"]), .elements = NAME, .help = "Headers to look at, for Bearer and a token."),
	F_END
};

static const struct check plugin_checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "config.maximum_expiration", .if_rule = FIELD_RULE(.gt = J(0)),
	  .then_field = "config.claims_to_verify", .then_rule = FIELD_RULE(.contains = J("exp")) },
	CHECK_END
};
#undef NAME
#undef T
/* clang-format on */

struct jwt {
	struct req *r;
	const struct conf *conf;
	struct jwt_token token;
};

/* ---- looking for it --------------------------------------------------------------------- */

struct tokens {
	str v[TOKENS_MAX]; /* different ones; one without bytes is an argument without a value */
	size_t n;
};

static void add(struct tokens *t, str token)
{
	for (size_t i = 0; i < t->n; i++) {
		if (str_eq(t->v[i], token))
			return;
	}
	if (t->n < TOKENS_MAX)
		t->v[t->n++] = token;
}

static void look_in_query(struct jwt *j, struct tokens *t)
{
	struct uri_args query = req_args(j->r);

	for (size_t i = 0; i < j->conf->uri_param_names.n; i++) {
		for (size_t k = 0; k < query.n; k++) {
			if (!str_eq(query.v[k].key, j->conf->uri_param_names.v[i]))
				continue;
			if (!query.v[k].value.s)
				add(t, STR(""));
			else if (query.v[k].value.n)
				add(t, query.v[k].value);
		}
	}
}

static void look_everywhere(struct jwt *j, struct tokens *t)
{
	look_in_query(j, t);
	for (size_t i = 0; i < j->conf->cookie_names.n; i++) {
		str cookie = req_cookie(j->r, j->conf->cookie_names.v[i]);

		if (cookie.n)
			add(t, cookie);
	}
	for (size_t i = 0; i < j->conf->header_names.n; i++) {
		str token = jwt_bearer(req_header(j->r, j->conf->header_names.v[i]));

		if (token.n)
			add(t, token);
	}
}

/* ---- checking it ------------------------------------------------------------------------------ */

static bool number_of(const struct value *v, double *ret)
{
	if (!v || (v->kind != VALUE_INT && v->kind != VALUE_REAL))
		return false;
	*ret = v->kind == VALUE_INT ? (double)v->i : v->real;
	return true;
}

/* With maximum_expiration; without claims to verify nothing else looks whether it has ended. */
static const char *judge_end(const struct jwt *j, double now)
{
	double end;

	if (!number_of(value_get(j->token.claims, "exp"), &end) ||
	    end - now > j->conf->maximum_expiration)
		return "exceeds maximum allowed expiration";
	return end > now ? NULL : "token expired";
}

/* What is wrong with the claims, by name; NULL: nothing. */
static struct value *judge_claims(const struct jwt *j)
{
	struct arena *a = req_arena(j->r);
	struct value *errors = value_object(a);
	double now = (double)clock_wall_s(), when;
	const char *fault;

	for (size_t i = 0; i < j->conf->claims_to_verify.n; i++) {
		str name = j->conf->claims_to_verify.v[i];
		bool is_end = str_is(name, "exp");

		if (!number_of(value_get_str(j->token.claims, name), &when))
			value_set(a, errors, name, value_text(a, "must be a number"));
		else if (is_end && !(when > now))
			value_set(a, errors, name, value_text(a, "token expired"));
		else if (!is_end && !(when <= now))
			value_set(a, errors, name, value_text(a, "token not valid yet"));
	}
	fault = !errors->n && j->conf->maximum_expiration > 0 ? judge_end(j, now) : NULL;
	if (fault)
		value_set(a, errors, STR("exp"), value_text(a, fault));
	return errors->n ? errors : NULL;
}

/* ---- access ---------------------------------------------------------------------------------------- */

/* Why nobody is let in: a message, or a document. */
struct refusal {
	str message;
	const struct value *document;
};

static bool refuse(struct jwt *j, struct refusal *why, const char *format, str name)
{
	ptrdiff_t at = str_find_str(str_of(format), STR("%"));

	why->message = at < 0 ? str_of(format)
			      : str_fmt(req_arena(j->r), "%.*s" STRF "%s", (int)at, format,
					STRV(name), format + at + 1);
	return false;
}

static bool find_token(struct jwt *j, struct refusal *why)
{
	struct tokens tokens = { 0 };
	const char *fault;

	look_everywhere(j, &tokens);
	if (tokens.n != 1)
		return refuse(j, why, tokens.n ? "Multiple tokens provided" : "Unauthorized",
			      STR_NONE);
	if (!tokens.v[0].n)
		return refuse(j, why, "Unrecognizable token", STR_NONE);
	fault = jwt_token_read(req_arena(j->r), tokens.v[0], &j->token);
	return !fault || refuse(j, why, "Bad token; %", str_of(fault));
}

static const struct jwt_secret *find_secret(struct jwt *j, struct refusal *why)
{
	str name = j->conf->key_claim_name;
	const struct value *key = value_get_str(j->token.claims, name);
	const struct jwt_secret *found;

	if (!key || (key->kind == VALUE_BOOL && !key->b))
		key = value_get_str(j->token.header, name);
	if (!key) {
		refuse(j, why, "No mandatory '%' in claims", name);
		return NULL;
	}
	if (key->kind != VALUE_STRING || !key->s.n) {
		refuse(j, why, "Invalid '%' in claims", name);
		return NULL;
	}
	found = credential_find(j->r, &jwt_entity, "key", key->s);
	if (!found)
		refuse(j, why, "No credentials found for given '%'", name);
	return found;
}

static bool check_signature(struct jwt *j, const struct jwt_secret *found, struct refusal *why)
{
	const struct jwt_algorithm *algorithm = jwt_algorithm_find(found->algorithm);
	str key;

	if (!algorithm || !str_eq(value_get(j->token.header, "alg")->s, found->algorithm))
		return refuse(j, why, "Invalid algorithm", STR_NONE);
	key = algorithm->how == JWT_SHARED ? found->secret : found->rsa_public_key;
	if (!key.s || (j->conf->secret_is_base64 &&
		       !base64url_decode(req_arena(j->r), key, BASE64URL_FREE, &key)))
		return refuse(j, why, "Invalid key/secret", STR_NONE);
	return jwt_token_is_signed(req_arena(j->r), &j->token, algorithm, key) ||
	       refuse(j, why, "Invalid signature", STR_NONE);
}

static bool authenticate(struct jwt *j, struct refusal *why)
{
	struct arena *a = req_arena(j->r);
	const struct jwt_secret *found;

	if (!find_token(j, why))
		return false;
	found = find_secret(j, why);
	if (!found || !check_signature(j, found, why))
		return false;
	why->document = judge_claims(j);
	if (why->document)
		return false;
	if (!req_authenticate_by(j->r, found->consumer, found->id, found->key))
		return refuse(
			j, why, "Could not find consumer for '%'",
			str_fmt(a, STRF "=" STRF, STRV(j->conf->key_claim_name), STRV(found->key)));
	value_set(a, req_shared(j->r), STR("authenticated_jwt_token"), value_str(a, j->token.text));
	return true;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct jwt j = { .r = r, .conf = conf };
	struct refusal why = { 0 };

	if (!conf->run_on_preflight && str_is(req_method(r), "OPTIONS"))
		return NEXT;
	if (conf->anonymous.n && req_credential(r))
		return NEXT;
	if (authenticate(&j, &why))
		return NEXT;
	if (conf->anonymous.n)
		return req_authenticate_anonymous(r, conf->anonymous);
	if (why.document)
		return respond_json(r, 401, why.document);
	return respond_message(r, 401, STRF, STRV(why.message));
}

const struct plugin plugin_jwt = {
	.name = "jwt",
	.help = "Lets in who shows a signed token.",
	.priority = 1450,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.checks = plugin_checks,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.entities = entities_brought,
	.on = { [PHASE_ACCESS] = on_access },
};
