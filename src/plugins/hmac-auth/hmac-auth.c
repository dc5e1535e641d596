/* SPDX-License-Identifier: Apache-2.0 */
/* hmac-auth - whoever calls signs the request with a secret that both sides know.
 *
 * The header says which fields are signed, in draft-cavage-http-signatures' manner.  A
 * date that is not too far from now keeps a request from being sent again for ever, and
 * a Digest ties the body to it.  What is signed is the request as it came, whatever other
 * plugins made of its query.  Fails closed. */
#include "plugins/hmac-auth/params.h"

#define CANNOT   "HMAC signature cannot be verified"
#define NOT_SAME "HMAC signature does not match"
#define NO_DATE  CANNOT ", a valid date or x-date header is required for HMAC Authentication"

struct conf {
	bool hide_credentials, validate_request_body;
	double clock_skew;
	str anonymous;
	strs enforce_headers, algorithms;
};

struct hmac_credential {
	uuid id, consumer;
	int64_t created_at;
	str username, secret;
	strs tags;
};

/* clang-format off */
#define T struct hmac_credential
static const struct field credential_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_REF(T, consumer, "consumers", .required = true, .on_delete = "cascade", .help = "Whose it is."),
	F_STR(T, username, .required = true, .is_unique = true, .help = "The name that is given."),
	F_STR(T, secret, .is_auto = true, .help = "What is signed with; made when left out."),
	ROW_TAGS(T),
	F_END
};
#undef T

static const struct entity hmac_entity = {
	.name = "hmacauth_credentials",
	.path = "hmac-auths",
	.nested_path = "hmac-auth",
	.endpoint_key = "username",
	.cache_key = "username",
	.help = "A name and a secret that somebody signs with.",
	.size = sizeof(struct hmac_credential),
	.fields = credential_fields,
	.is_workspaceable = true,
	.is_taggable = true,
};

static const struct entity *const entities_brought[] = { &hmac_entity, NULL };

#define ALGORITHMS J(["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"])

#define T struct conf
static const struct field conf_fields[] = {
	F_BOOL(T, hide_credentials, .required = true, .def = J(false), .help = "Whether the upstream does not see the signature."),
	F_NUM(T,  clock_skew,       .def = J(300), .gt = J(0), .help = "Seconds that the date may be away from now."),
	F_STR(T,  anonymous,        .help = "Consumer, by id or username, of those whose signature is not good."),
	F_BOOL(T, validate_request_body, .required = true, .def = J(false), .help = "Whether Digest must be the body's."),
	F_STRS(T, enforce_headers,  .def = J([]), .elements = FIELD(FIELD_STRING), .help = "Fields that must be signed."),
	F_STRS(T, algorithms,       .def = ALGORITHMS, .elements = FIELD(FIELD_STRING, .one_of = ALGORITHMS), .help = "Those that may be used."),
	F_END
};
#undef T
/* clang-format on */

/* ---- reading ------------------------------------------------------------------------- */

/* Proxy-Authorization first; what is read is hidden if that is wanted. */
static bool read_params(struct req *r, const struct conf *conf, struct hmac_params *ret)
{
	static const char *const names[] = { "Proxy-Authorization", "Authorization" };

	for (size_t i = 0; i < COUNT(names); i++) {
		str name = str_of(names[i]);
		bool is_read = hmac_params_read(req_header(r, name), ret);

		if (conf->hide_credentials && (is_read || i + 1 == COUNT(names)))
			req_remove_header(r, name);
		if (is_read)
			return true;
	}
	return false;
}

/* ---- checking -------------------------------------------------------------------------- */

static bool is_now(struct req *r, str header, double skew)
{
	int64_t when, now = clock_wall_s();
	double away;

	if (!http_date_parse(str_trim(req_header(r, header)), &when))
		return false;
	away = (double)(now - when);
	return (away < 0 ? -away : away) <= skew;
}

static bool is_signed_field(str headers, str name)
{
	str one;

	while (str_next(&headers, ' ', &one)) {
		if (str_eq(one, name))
			return true;
	}
	return false;
}

static bool may_be_used(const struct conf *conf, const struct hmac_params *p)
{
	for (size_t i = 0; i < conf->enforce_headers.n; i++) {
		if (!is_signed_field(p->headers, conf->enforce_headers.v[i]))
			return false;
	}
	for (size_t i = 0; i < conf->algorithms.n; i++) {
		if (str_eq(conf->algorithms.v[i], p->algorithm))
			return true;
	}
	return false;
}

static void add_field(struct buf *b, struct req *r, str name)
{
	const struct http_request *in = req_in(r);
	str value = req_header(r, name), version = http_version(in);

	if (str_is_ci(name, "host") && in->host.s)
		value = in->host;
	if (value.s) {
		buf_addf(b, STRF ": " STRF, STRV(name), STRV(value));
	} else if (str_is(name, "@request-target")) {
		buf_addf(b, STRF ": " STRF " " STRF, STRV(name),
			 STRV(str_lower(req_arena(r), in->method_name)), STRV(req_target(r)));
	} else if (str_is(name, "request-line")) {
		value = req_target(r);
		buf_addf(b, STRF " " STRF " " STRF, STRV(in->method_name), STRV(value),
			 STRV(version));
	} else {
		buf_addf(b, STRF ":", STRV(name));
	}
}

/* clang-format off */
static const struct {
	const char *name;
	enum hash_kind hash;
} algorithms[] = {
	{ "hmac-sha1",   HASH_SHA1 },
	{ "hmac-sha256", HASH_SHA256 },
	{ "hmac-sha384", HASH_SHA384 },
	{ "hmac-sha512", HASH_SHA512 },
};
/* clang-format on */

#define SIGNED_MAX                                                                                 \
	((size_t)1 << 20) /* bytes that are signed: fields may be named again and again */

static bool is_signed(struct req *r, const struct hmac_params *p, str secret)
{
	struct buf text CLEANUP(buf_done) = { 0 };
	str rest = p->headers, name, signature;
	size_t i = 0;

	while (i < COUNT(algorithms) && !str_is(p->algorithm, algorithms[i].name))
		i++;
	if (i == COUNT(algorithms) ||
	    !base64url_decode(req_arena(r), p->signature, BASE64URL_FREE, &signature))
		return false;
	buf_init(&text, SIGNED_MAX);
	while (str_next(&rest, ' ', &name)) {
		if (text.n)
			buf_add_char(&text, '\n');
		add_field(&text, r, name);
	}
	return !text.is_full && str_eq_secret(signature, hmac(req_arena(r), algorithms[i].hash,
							      secret, buf_str(&text)));
}

/* Whether Digest is that of the body; without either all is well. */
static bool is_digest_good(struct req *r, str body)
{
	str digest = req_header(r, STR("Digest"));
	uint8_t hash[32];

	if (!digest.s)
		return body.n == 0;
	digest_sha256(body, hash);
	return str_eq(digest, str_cat(req_arena(r), STR("SHA-256="),
				      base64_encode(req_arena(r),
						    str_at((const char *)hash, sizeof(hash)))));
}

/* ---- access ------------------------------------------------------------------------------ */

/* NULL: they are who they say, or the request is answered; else why not. */
static const char *authenticate(struct req *r, const struct conf *conf, bool *ret_answered)
{
	const struct hmac_credential *found;
	struct hmac_params p = { 0 };
	str body;

	if (!req_header(r, STR("Authorization")).s && !req_header(r, STR("Proxy-Authorization")).s)
		return "Unauthorized";
	if (!is_now(r, STR("X-Date"), conf->clock_skew) &&
	    !is_now(r, STR("Date"), conf->clock_skew))
		return NO_DATE;
	if (!read_params(r, conf, &p) || !may_be_used(conf, &p))
		return CANNOT;
	found = credential_find(r, &hmac_entity, "username", p.username);
	if (!found || !found->secret.s)
		return CANNOT;
	if (!is_signed(r, &p, found->secret))
		return NOT_SAME;
	if (conf->validate_request_body) {
		*ret_answered = !req_body(r, &body);
		if (*ret_answered)
			return NULL;
		if (!is_digest_good(r, body))
			return NOT_SAME;
	}
	return req_authenticate_by(r, found->consumer, found->id, found->username) ? NULL : CANNOT;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	bool is_answered = false;
	const char *why;

	if (conf->anonymous.n && req_credential(r))
		return NEXT;
	why = authenticate(r, conf, &is_answered);
	if (is_answered)
		return DONE;
	if (!why)
		return NEXT;
	if (conf->anonymous.n)
		return req_authenticate_anonymous(r, conf->anonymous);
	return respond_error(r, 401, "%s", why);
}

const struct plugin plugin_hmac_auth = {
	.name = "hmac-auth",
	.help = "Lets in who signs the request with a secret.",
	.priority = 1030,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.entities = entities_brought,
	.on = { [PHASE_ACCESS] = on_access },
};
