/* SPDX-License-Identifier: Apache-2.0 */
/* acl - lets consumers in by the groups that they are in.
 *
 * Stands behind a plugin that says who calls.  Groups are the consumer's, or those that
 * another plugin has vouched for (authenticated groups), which count when there is no
 * consumer, or one without a credential.  Fails closed: who is nobody gets 401. */
#include <gibbon/plugin.h>

#define REFUSED "You cannot consume this service"

struct conf {
	strs allow, deny;
	bool hide_groups_header;
	struct map named; /* those of allow or deny, whichever is there */
};

struct acl {
	uuid id, consumer;
	int64_t created_at;
	str group;
	strs tags;
};

/* clang-format off */
#define T struct acl
static const struct field acl_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_REF(T, consumer, "consumers", .required = true, .on_delete = "cascade", .help = "Who is in the group."),
	F_STR(T, group, .required = true, .help = "Name of the group."),
	ROW_TAGS(T),
	F_END
};
#undef T

static const struct entity acls_entity = {
	.name = "acls",
	.nested_key = "group",
	.cache_key = "consumer, group",
	.help = "That a consumer is in a group.",
	.size = sizeof(struct acl),
	.fields = acl_fields,
	.is_workspaceable = true,
	.is_taggable = true,
};

static const struct entity *const entities_brought[] = { &acls_entity, NULL };

#define T struct conf
static const struct field conf_fields[] = {
	F_STRS(T, allow,              .elements = FIELD(FIELD_STRING), .help = "Groups that may pass."),
	F_STRS(T, deny,               .elements = FIELD(FIELD_STRING), .help = "Groups that may not."),
	F_BOOL(T, hide_groups_header, .required = true, .def = J(false), .help = "Whether the upstream is not told the groups."),
	F_END
};
#undef T

static const struct check checks[] = {
	{ CHECK_ONLY_ONE_OF,     .fields = "config.allow, config.deny" },
	{ CHECK_AT_LEAST_ONE_OF, .fields = "config.allow, config.deny" },
	CHECK_END
};
/* clang-format on */

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;
	strs list = conf->deny.n ? conf->deny : conf->allow;

	for (size_t i = 0; i < list.n; i++)
		*map_put(a, &conf->named, list.v[i]) = conf;
	return NULL;
}

static bool may_pass(const struct conf *conf, strs groups)
{
	bool is_denying = conf->deny.n > 0, is_named = false;

	for (size_t i = 0; i < groups.n && !is_named; i++)
		is_named = map_find(&conf->named, groups.v[i]);
	return is_named != is_denying;
}

static strs groups_of(struct req *r, const struct consumer *c)
{
	struct found found = credentials_of(r, &acls_entity, c->id);
	strs groups = { NEWS(req_arena(r), str, found.n), found.n };

	for (size_t i = 0; i < found.n; i++)
		groups.v[i] = ((const struct acl *)found.v[i])->group;
	return groups;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	const struct consumer *c = req_consumer(r);
	bool has_credential = req_credential(r) != NULL, is_own = false;
	strs groups = !c || !has_credential ? req_groups(r) : (strs){ NULL, 0 };

	if (c && !groups.n) {
		groups = groups_of(r, c);
		is_own = true;
	}
	if (!groups.n && !(is_own && conf->deny.n))
		return has_credential ? respond_error(r, 403, REFUSED)
				      : respond_error(r, 401, "Unauthorized");
	if (!may_pass(conf, groups))
		return respond_error(r, 403, REFUSED);
	if (!conf->hide_groups_header)
		req_set_header(r, is_own ? STR("X-Consumer-Groups") : STR("X-Authenticated-Groups"),
			       str_join(req_arena(r), groups, STR(", ")));
	return NEXT;
}

const struct plugin plugin_acl = {
	.name = "acl",
	.help = "Lets in or keeps out consumers by their groups.",
	.priority = 950,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.checks = checks,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.entities = entities_brought,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access },
};
