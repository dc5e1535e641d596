/* SPDX-License-Identifier: Apache-2.0 */
/* basic-auth - whoever calls gives a name and a password (RFC 7617).
 *
 * Proxy-Authorization is asked first; Authorization decides when it names nobody.
 * Passwords are kept as Kong keeps them: SHA-1 in hex of the password and the
 * consumer's id; or as hashes that are costly to guess (net/password.h), for who has no
 * nodes of Kong beside ours.  What was found good is remembered, so that a hash is not made
 * on each request; what is wrong is found out anew each time.  Fails closed. */
#include <gibbon/plugin.h>

#define REALM "Basic realm=\"kong\""
#define FORM  "$pbkdf2-sha512$i=ROUNDS,l=LENGTH$SALT$HASH"

struct conf {
	str anonymous;
	bool hide_credentials;
};

struct basic_credential {
	uuid id, consumer;
	int64_t created_at;
	str username, password;
	strs tags;
};

static void finish(struct arena *a, struct value *doc, const struct schema_options *o,
		   struct value *errors);

/* clang-format off */
#define T struct basic_credential
static const struct field credential_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_REF(T, consumer, "consumers", .required = true, .on_delete = "cascade", .help = "Whose it is."),
	F_STR(T, username, .required = true, .is_unique = true, .help = "The name that is given."),
	F_STR(T, password, .required = true, .is_encrypted = true, .help = "The password; kept as a hash."),
	ROW_TAGS(T),
	F_END
};
#undef T

static const struct entity basicauth_entity = {
	.name = "basicauth_credentials",
	.path = "basic-auths",
	.nested_path = "basic-auth",
	.endpoint_key = "username",
	.cache_key = "username",
	.help = "A name and a password that somebody calls with.",
	.size = sizeof(struct basic_credential),
	.fields = credential_fields,
	.is_workspaceable = true,
	.is_taggable = true,
	.finish = finish,
};

static const struct entity *const entities_brought[] = { &basicauth_entity, NULL };

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T,  anonymous,        .help = "Consumer, by id or username, of those who give no good password."),
	F_BOOL(T, hide_credentials, .required = true, .def = J(false), .help = "Whether the upstream does not see them."),
	F_END
};
#undef T
/* clang-format on */

/* ---- hashing ------------------------------------------------------------------------- */

static str hash(struct arena *a, uuid consumer, str password)
{
	uint8_t digest[20];

	digest_sha1(str_cat(a, password, uuid_str(a, consumer)), digest);
	return hex_encode(a, str_at((const char *)digest, sizeof(digest)));
}

/* A password and whose it is change together: the hash is of both. */
static bool says_half(const struct value *change, const struct value *before)
{
	const struct value *id = value_get(value_get(change, "consumer"), "id");
	bool says_password = !value_is_null(value_get(change, "password"));

	return value_is_null(id)
		       ? says_password
		       : !says_password &&
				 !value_eq(id, value_get(value_get(before, "consumer"), "id"));
}

/* Whatever is written is hashed, a hash that Kong made too, as Kong does; but for a hash that
 * is costly to guess. */
static void finish(struct arena *a, struct value *doc, const struct schema_options *o,
		   struct value *errors)
{
	const struct value *password = value_get(doc, "password");
	const struct value *id = value_get(value_get(doc, "consumer"), "id");
	struct password_hash read;
	uuid consumer;

	if (o->op == SCHEMA_UPDATE && says_half(doc, o->before)) {
		schema_error_at(
			a, errors, "@entity",
			"all or none of these fields must be set: 'password', 'consumer.id'");
		return;
	}
	if (o->is_transformed || o->op == SCHEMA_SELECT || value_is_null(password))
		return;
	if (password_hash_is_meant(password->s)) {
		if (!password_hash_read(a, password->s, &read))
			schema_error_at(a, errors, "password",
					"not a hash as it begins to be: " FORM);
		return;
	}
	if (!value_is_null(id) && id->kind == VALUE_STRING && uuid_parse(id->s, &consumer))
		value_set(a, doc, STR("password"), value_str(a, hash(a, consumer, password->s)));
}

/* ---- passwords that are known to be good --------------------------------------------------- */

#define KNOWN 16384 /* of each loop: 256 KB, when there are any */

static struct {
	struct verified **of_loop; /* each its own */
	int n;
} known;

static void start(const struct plugin_node *node)
{
	known.n = node->loops;
	known.of_loop = mem_alloc((size_t)known.n * sizeof(*known.of_loop));
}

static void stop(void)
{
	for (int i = 0; i < known.n; i++)
		verified_drop(&known.of_loop[i]);
	mem_free(known.of_loop);
	known.of_loop = NULL;
	known.n = 0;
}

/* All that makes a password good: how it is kept, whose it is, and what it is. */
static str claim(struct arena *a, const struct basic_credential *c, str password)
{
	return str_cat(a, str_at((const char *)c->consumer.b, sizeof(c->consumer.b)),
		       str_at((const char *)&c->password.n, sizeof(c->password.n)), c->password,
		       password);
}

static bool is_known(struct req *r, str claim)
{
	struct verified *mine = known.of_loop[req_loop(r)];

	return mine && verified_has(mine, claim);
}

static void remember(struct req *r, str claim)
{
	struct verified **mine = &known.of_loop[req_loop(r)];

	if (!*mine)
		*mine = verified_new(KNOWN);
	verified_add(*mine, claim);
}

/* ---- access ---------------------------------------------------------------------------- */

enum outcome { GOOD, BAD, CROWDED };

/* Of a hash that is costly to guess, and so to check: another request may have done it while
 * this one waited for its turn. */
static enum outcome check_costly(struct req *r, const struct password_hash *h, str claim,
				 str password)
{
	bool is_good;

	if (!turn_take(r))
		return CROWDED;
	is_good = is_known(r, claim) || password_is_aside(h, password);
	turn_end(r);
	return is_good ? GOOD : BAD;
}

static enum outcome check_password(struct req *r, const struct basic_credential *c, str password)
{
	str made_of = claim(req_arena(r), c, password);
	struct password_hash costly;
	enum outcome is;

	if (is_known(r, made_of))
		return GOOD;
	if (password_hash_read(req_arena(r), c->password, &costly))
		is = check_costly(r, &costly, made_of, password);
	else if (str_eq_secret(c->password, hash(req_arena(r), c->consumer, password)))
		is = GOOD;
	else
		is = BAD;
	if (is == GOOD)
		remember(r, made_of);
	return is;
}

static bool read_header(struct req *r, const char *name, const struct conf *conf, str *ret_user,
			str *ret_password)
{
	str header = req_header(r, str_of(name));

	if (header.s && conf->hide_credentials)
		req_remove_header(r, str_of(name));
	return authorization_pair(req_arena(r), header, STR("Basic"), ret_user, ret_password) &&
	       ret_user->n && ret_password->s;
}

static enum outcome authenticate(struct req *r, const struct conf *conf)
{
	const struct basic_credential *found = NULL;
	enum outcome is;
	str user, password;

	if (read_header(r, "Proxy-Authorization", conf, &user, &password))
		found = credential_find(r, &basicauth_entity, "username", user);
	if (!found && read_header(r, "Authorization", conf, &user, &password))
		found = credential_find(r, &basicauth_entity, "username", user);
	if (!found)
		return BAD;
	is = check_password(r, found, password);
	if (is == GOOD && !req_authenticate_by(r, found->consumer, found->id, found->username))
		is = BAD;
	return is;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	bool is_given = req_header(r, STR("Authorization")).s ||
			req_header(r, STR("Proxy-Authorization")).s;
	enum outcome is;

	if (conf->anonymous.n && req_credential(r))
		return NEXT;
	is = is_given ? authenticate(r, conf) : BAD;
	if (is == GOOD)
		return NEXT;
	if (is == CROWDED)
		return respond_error(r, 503, "Too many passwords are being checked");
	if (conf->anonymous.n)
		return req_authenticate_anonymous(r, conf->anonymous);
	if (is_given)
		return respond_error(r, 401, "Invalid authentication credentials");
	reply_set_header(r, STR("WWW-Authenticate"), STR(REALM));
	return respond_error(r, 401, "Unauthorized");
}

const struct plugin plugin_basic_auth = {
	.name = "basic-auth",
	.help = "Lets in who gives a name and a password.",
	.priority = 1100,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.entities = entities_brought,
	.start = start,
	.stop = stop,
	.on = { [PHASE_ACCESS] = on_access },
};
