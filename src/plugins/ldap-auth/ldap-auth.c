/* SPDX-License-Identifier: Apache-2.0 */
/* ldap-auth - whoever calls gives a name and a password, and an LDAP server says whether they
 * belong together: it is asked to bind as <attribute>=<name>,<base_dn>.
 *
 * There is no consumer behind a name.  What the server said is remembered for cache_ttl
 * seconds, and the password is not (verdicts.h).  Fails closed: when the server cannot be
 * asked, or says that it cannot tell, nobody is let in, and that is not remembered. */
#include "plugins/ldap-auth/verdicts.h"

struct conf {
	str ldap_host;
	int64_t ldap_port;
	bool ldaps, start_tls, verify_ldap_host, hide_credentials;
	str base_dn, attribute, anonymous, header_type;
	double cache_ttl, timeout, keepalive;
	/* of prepare() */
	struct ldap_server server;
	str place; /* which server, asked how, for which entries */
};

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T,  ldap_host,        .required = true, .check = rule_host, .help = "The LDAP server, a name or an address."),
	F_INT(T,  ldap_port,        .required = true, .def = J(389), ROW_PORT, .help = "Its port; with ldaps mostly 636."),
	F_BOOL(T, ldaps,            .required = true, .def = J(false), .help = "Whether it is asked over TLS."),
	F_BOOL(T, start_tls,        .required = true, .def = J(false), .help = "Whether it is asked to go over to TLS."),
	F_BOOL(T, verify_ldap_host, .required = true, .def = J(false), .help = "Whether its certificate has to be good, and for its name."),
	F_STR(T,  base_dn,          .required = true, .help = "Where the entries are: dc=example,dc=com."),
	F_STR(T,  attribute,        .required = true, .help = "What the names are: cn, uid."),
	F_NUM(T,  cache_ttl,        .required = true, .def = J(60), .help = "Seconds that an answer is remembered; 0: not at all."),
	F_BOOL(T, hide_credentials, .required = true, .def = J(false), .help = "Whether the upstream does not see them."),
	F_NUM(T,  timeout,          .def = J(10000), .help = "Milliseconds to wait for the server."),
	F_NUM(T,  keepalive,        .def = J(60000), .help = "Milliseconds that an idle connection is kept; 0: not at all."),
	F_STR(T,  anonymous,        .help = "Consumer, by id or username, of those who give no good password."),
	F_STR(T,  header_type,      .def = J("ldap"), .help = "The first word of the header."),
	F_END
};
#undef T

static const struct check conf_checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "ldaps", .if_rule = FIELD_RULE(.eq = J(true)),
	  .then_field = "start_tls", .then_rule = FIELD_RULE(.eq = J(false)),
	  .err = "'ldaps' and 'start_tls' cannot be enabled simultaneously" },
	CHECK_END
};
/* clang-format on */

/* ---- starting -------------------------------------------------------------------------------- */

#define MS_MOST    2147483647
#define CLAIM_MOST ((size_t)16 << 10) /* bytes of a name and a password together */

static uint8_t key_of_process[32];

static void start(const struct plugin_node *node)
{
	(void)node;
	random_bytes(key_of_process, sizeof(key_of_process));
}

static int64_t whole_ms(double ms)
{
	return ms > MS_MOST ? MS_MOST : ms > 0 ? (int64_t)ms : 0;
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	if (!conf->header_type.n)
		conf->header_type = STR("ldap");
	conf->server = (struct ldap_server){
		.host = conf->ldap_host,
		.port = (uint16_t)conf->ldap_port,
		.security = conf->ldaps       ? LDAP_TLS
			    : conf->start_tls ? LDAP_START_TLS
					      : LDAP_PLAIN,
		.verify = conf->verify_ldap_host,
		.timeout_ms = whole_ms(conf->timeout),
		.keep_ms = whole_ms(conf->keepalive),
	};
	conf->place =
		str_fmt(a, STRF ":%u:%d:%d:" STRF ":" STRF, STRV(str_lower(a, conf->ldap_host)),
			conf->server.port, conf->server.security, conf->server.verify,
			STRV(conf->base_dn), STRV(conf->attribute));
	return NULL;
}

/* ---- who calls -------------------------------------------------------------------------------- */

struct claim {
	str user, password;
};

/* Names are sent on in a header, and are UTF-8 in a directory. */
static bool is_name(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((uint8_t)s.s[i] < 0x20 || s.s[i] == 0x7f)
			return false;
	}
	return s.n > 0;
}

static bool read_claim(struct req *r, const struct conf *conf, const char *name, struct claim *ret)
{
	str header = str_trim(req_header(r, str_of(name))), scheme = conf->header_type;

	return header.n > scheme.n && str_trim(str_part(header, scheme.n, scheme.n + 1)).n == 0 &&
	       authorization_pair(req_arena(r), header, scheme, &ret->user, &ret->password) &&
	       is_name(ret->user) && ret->password.n && ret->user.n + ret->password.n <= CLAIM_MOST;
}

/* ---- asking ----------------------------------------------------------------------------------- */

/* Does the server know, whatever it knows, or is it in trouble? */
static bool is_final(int64_t code)
{
	static const uint8_t codes[] = {
		LDAP_SUCCESS,
		LDAP_NO_SUCH_OBJECT,
		LDAP_INVALID_DN,
		LDAP_INVALID_CREDENTIALS,
		LDAP_INSUFFICIENT_ACCESS,
		LDAP_UNWILLING,
		LDAP_INAPPROPRIATE_AUTHENTICATION,
	};

	for (size_t i = 0; i < COUNT(codes); i++) {
		if (code == codes[i])
			return true;
	}
	return false;
}

/* False: it could not be asked, which is logged; that it cannot tell is logged too. */
static bool ask(struct req *r, const struct conf *conf, const struct claim *c,
		struct ldap_result *ret)
{
	struct arena *a = req_arena(r);
	str dn = str_fmt(a, STRF "=" STRF "," STRF, STRV(conf->attribute),
			 STRV(ldap_escape(a, c->user)), STRV(conf->base_dn));
	str name = str_fmt(a, "LDAP server " STRF ":%u", STRV(conf->ldap_host), conf->server.port);
	struct err *e = ldap_bind(a, &conf->server, dn, c->password, ret);
	bool is_asked = !e;

	if (is_asked && !is_final(ret->code))
		e = FAIL(ERR_REFUSED, "it cannot tell: " STRF " (%lld)", STRV(ret->diagnostic),
			 (long long)ret->code);
	if (e)
		outage_begins(name, e, "nobody is let in");
	else
		outage_ends(name);
	err_forget();
	return is_asked;
}

/* What an answer is remembered by. */
static str key_of(struct req *r, const struct conf *conf, const struct claim *c)
{
	struct arena *a = req_arena(r);
	str secret = str_at((const char *)key_of_process, sizeof(key_of_process));
	str who = str_fmt(a, STRF ":%g%c" STRF, STRV(conf->place), conf->cache_ttl, '\0',
			  STRV(c->user));

	return hmac(a, HASH_SHA256, hmac(a, HASH_SHA256, secret, who), c->password);
}

/* Do they belong together?  False: the server could not be asked. */
static bool judge(struct req *r, const struct conf *conf, const struct claim *c, bool *ret)
{
	str key = key_of(r, conf, c);
	int64_t now_ms = clock_mono_ms();
	struct ldap_result said;
	enum verdict_said before;

	if (key.n != VERDICT_KEY)
		return false;
	before = verdict_find((const uint8_t *)key.s, now_ms);
	*ret = before == SAID_YES;
	if (before != SAID_NOTHING)
		return true;
	if (!ask(r, conf, c, &said))
		return false;
	*ret = said.code == LDAP_SUCCESS;
	if (is_final(said.code))
		verdict_keep((const uint8_t *)key.s, *ret, now_ms,
			     now_ms + whole_ms(conf->cache_ttl * 1000));
	return true;
}

/* ---- access --------------------------------------------------------------------------------------- */

static void let_in(struct req *r, const struct conf *conf, const struct claim *c)
{
	struct arena *a = req_arena(r);
	struct credential *by = NEW(a, struct credential);
	uint8_t digest[32];

	digest_sha256(str_fmt(a, STRF ":" STRF, STRV(conf->place), STRV(c->user)), digest);
	by->id = str_fmt(a, "ldap_auth_cache:" STRF,
			 STRV(hex_encode(a, str_at((const char *)digest, sizeof(digest)))));
	by->identifier = c->user;
	if (conf->hide_credentials) {
		req_remove_header(r, STR("Authorization"));
		req_remove_header(r, STR("Proxy-Authorization"));
	}
	req_authenticate(r, NULL, by);
}

static enum verdict refuse(struct req *r, const struct conf *conf, bool is_given)
{
	str scheme = conf->header_type;

	if (conf->anonymous.n)
		return req_authenticate_anonymous(r, conf->anonymous);
	if (is_given)
		return respond_error(r, 401, "Invalid authentication credentials");
	if (str_is(scheme, "ldap"))
		scheme = STR("LDAP");
	reply_set_header(r, STR("WWW-Authenticate"),
			 str_fmt(req_arena(r), STRF " realm=\"kong\"", STRV(scheme)));
	return respond_error(r, 401, "Unauthorized");
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	static const char *const headers[] = { "Proxy-Authorization", "Authorization" };
	const struct conf *conf = conf_;
	bool is_given = false;

	if (conf->anonymous.n && req_credential(r))
		return NEXT;
	for (size_t i = 0; i < COUNT(headers); i++) {
		struct claim c;
		bool is_good;

		is_given = is_given || req_header(r, str_of(headers[i])).s;
		if (!read_claim(r, conf, headers[i], &c))
			continue;
		if (!judge(r, conf, &c, &is_good))
			return respond_message(r, 500, "An unexpected error occurred");
		if (is_good) {
			let_in(r, conf, &c);
			return NEXT;
		}
	}
	return refuse(r, conf, is_given);
}

const struct plugin plugin_ldap_auth = {
	.name = "ldap-auth",
	.help = "Lets in who gives a name and a password that an LDAP server knows.",
	.priority = 1200,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.conf_checks = conf_checks,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.start = start,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access },
};
