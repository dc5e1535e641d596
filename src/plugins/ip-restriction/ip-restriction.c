/* SPDX-License-Identifier: Apache-2.0 */
/* ip-restriction - lets clients in by their address, after real-IP processing.
 *
 * Denied networks first; then, when there are allowed ones, nobody else.  Fails closed
 * on clients that have no address. */
#include <gibbon/plugin.h>

struct networks {
	const struct cidr **v;
	size_t n;
};

struct conf {
	strs allow, deny;
	double status; /* NaN: 403 */
	str message;
	struct networks allowed, denied;
};

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STRS(T, allow,   .elements = FIELD(FIELD_STRING, .check = rule_ip_or_cidr), .help = "Addresses and networks that may pass."),
	F_STRS(T, deny,    .elements = FIELD(FIELD_STRING, .check = rule_ip_or_cidr), .help = "Those that may not."),
	F_NUM(T,  status,  .required_is_false_shown = true, .help = "Status for who may not pass; unset: 403."),
	F_STR(T,  message, .required_is_false_shown = true, .help = "Message for them; unset: Kong's words."),
	F_END
};
#undef T

static const struct check checks[] = {
	{ CHECK_AT_LEAST_ONE_OF, .fields = "config.allow, config.deny" },
	CHECK_END
};
/* clang-format on */

static struct err *read_networks(struct arena *a, strs list, struct networks *ret)
{
	*ret = (struct networks){ NEWS(a, const struct cidr *, list.n), list.n };
	for (size_t i = 0; i < list.n; i++) {
		ret->v[i] = network_new(a, list.v[i]);
		if (!ret->v[i])
			return FAIL(ERR_INVALID, STRF " is no address and no network",
				    STRV(list.v[i]));
	}
	return NULL;
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	PASS(read_networks(a, conf->allow, &conf->allowed));
	return read_networks(a, conf->deny, &conf->denied);
}

static bool is_in(const struct req *r, const struct networks *list)
{
	for (size_t i = 0; i < list->n; i++) {
		if (req_client_is_in(r, list->v[i]))
			return true;
	}
	return false;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	str message = conf->message.s ? conf->message : STR("Your IP address is not allowed");

	if (req_client_is_local(r))
		return respond_error(r, 403,
				     "Cannot identify the client IP address, unix domain sockets "
				     "are not supported.");
	if (is_in(r, &conf->denied) || (conf->allowed.n && !is_in(r, &conf->allowed)))
		return respond_error(r, status_of_row(conf->status, 403), STRF, STRV(message));
	return NEXT;
}

const struct plugin plugin_ip_restriction = {
	.name = "ip-restriction",
	.help = "Lets in or keeps out clients by their address.",
	.priority = 990,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.checks = checks,
	.protocols = PROTOCOLS_HTTP,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access },
};
