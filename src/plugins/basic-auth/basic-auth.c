/* SPDX-License-Identifier: Apache-2.0 */
/* basic-auth - whoever calls gives a name and a password (RFC 7617).
 *
 * Proxy-Authorization is asked first; Authorization decides when it names nobody.
 * Passwords are kept as Kong keeps them: SHA-1 in hex of the password and the
 * consumer's id.  Fails closed. */
#include <gibbon/plugin.h>

#define REALM "Basic realm=\"kong\""

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

/* Whatever is written is hashed, a hash that is sent back too, as Kong does. */
static void finish(struct arena *a, struct value *doc, const struct schema_options *o,
		   struct value *errors)
{
	const struct value *password = value_get(doc, "password");
	const struct value *id = value_get(value_get(doc, "consumer"), "id");
	uuid consumer;

	(void)errors;
	if (o->is_transformed || o->op == SCHEMA_SELECT || value_is_null(password))
		return;
	if (value_is_null(id) && o->before)
		id = value_get(value_get(o->before, "consumer"), "id");
	if (!value_is_null(id) && id->kind == VALUE_STRING && uuid_parse(id->s, &consumer))
		value_set(a, doc, STR("password"), value_str(a, hash(a, consumer, password->s)));
}

/* ---- access ---------------------------------------------------------------------------- */

static bool read_header(struct req *r, const char *name, const struct conf *conf, str *ret_user,
			str *ret_password)
{
	str header = req_header(r, str_of(name));

	if (header.s && conf->hide_credentials)
		req_remove_header(r, str_of(name));
	return authorization_pair(req_arena(r), header, STR("Basic"), ret_user, ret_password) &&
	       ret_user->n && ret_password->s;
}

static bool authenticate(struct req *r, const struct conf *conf)
{
	const struct basic_credential *found = NULL;
	struct credential *by;
	str user, password;

	if (read_header(r, "Proxy-Authorization", conf, &user, &password))
		found = credential_find(r, &basicauth_entity, "username", user);
	if (!found && read_header(r, "Authorization", conf, &user, &password))
		found = credential_find(r, &basicauth_entity, "username", user);
	if (!found ||
	    !str_eq_secret(found->password, hash(req_arena(r), found->consumer, password)))
		return false;
	by = NEW(req_arena(r), struct credential);
	by->id = uuid_str(req_arena(r), found->id);
	by->identifier = found->username;
	by->consumer = found->consumer;
	req_authenticate(r, consumer_find(r, found->consumer), by);
	return true;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	bool is_given = req_header(r, STR("Authorization")).s ||
			req_header(r, STR("Proxy-Authorization")).s;

	if (conf->anonymous.n && req_credential(r))
		return NEXT;
	if (is_given && authenticate(r, conf))
		return NEXT;
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
	.on = { [PHASE_ACCESS] = on_access },
};
