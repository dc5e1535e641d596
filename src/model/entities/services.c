/* SPDX-License-Identifier: Apache-2.0 */
/* services - where requests go: one upstream application and how to speak to it. */
#include "model/priv.h"

#define T struct service
/* clang-format off */
static const struct field fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	ROW_UPDATED_AT(T),
	F_STR(T, name, .is_unique = true, .check = rule_name, .help = "A name to call it by."),
	F_INT(T, retries, .def = J(5), .between = J([0, 32767]), .help = "Further tries when the upstream cannot be reached."),
	F_STR(T, protocol, .required = true, .def = J("http"), .one_of = ROW_PROTOCOLS_ALL, .help = "Protocol spoken to the upstream."),
	F_STR(T, host, .required = true, .check = rule_host, .help = "Host name or address of the upstream, or the name of an upstream entity."),
	F_INT(T, port, .required = true, .def = J(80), ROW_PORT, .help = "Port of the upstream."),
	F_STR(T, path, ROW_PATH, .help = "Path put before that of each request."),
	F_INT(T, connect_timeout, .def = J(60000), .between = J([1, 2147483646]), .help = "Longest time for connecting, ms."),
	F_INT(T, write_timeout, .def = J(60000), .between = J([1, 2147483646]), .help = "Longest time between two writes to the upstream, ms."),
	F_INT(T, read_timeout, .def = J(60000), .between = J([1, 2147483646]), .help = "Longest time between two reads from the upstream, ms."),
	ROW_TAGS(T),
	F_REF(T, client_certificate, "certificates", .help = "Certificate shown to the upstream."),
	F_BOOL(T, tls_verify, .help = "Whether the upstream's certificate is verified; unset: as the proxy is configured."),
	F_INT(T, tls_verify_depth, .def = J(null), .between = J([0, 64]), .help = "Longest chain of the upstream's certificate."),
	F_STRS(T, ca_certificates, .elements = FIELD(FIELD_STRING, .is_uuid = true), .help = "Ids of the CA certificates to verify with."),
	F_BOOL(T, enabled, .required = true, .def = J(true), .help = "Whether its routes are served."),
	F_END
};

#define ONLY_WITH_TLS(field) \
	{ CHECK_CONDITIONAL, .if_field = "protocol", .if_rule = FIELD_RULE(.not_one_of = J(["https", "tls"])), \
	                     .then_field = field, .then_rule = FIELD_RULE(.eq = "null") }

static const struct check checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "protocol", .if_rule = FIELD_RULE(.one_of = J(["tcp", "tls", "udp", "grpc", "grpcs"])),
	                     .then_field = "path", .then_rule = FIELD_RULE(.eq = "null") },
	ONLY_WITH_TLS("client_certificate"),
	ONLY_WITH_TLS("tls_verify"),
	ONLY_WITH_TLS("tls_verify_depth"),
	ONLY_WITH_TLS("ca_certificates"),
	CHECK_END
};
/* clang-format on */

static struct value *port_of(struct arena *a, const struct url_parts *url, str protocol)
{
	int64_t port;

	if (str_to_int(url->port, &port))
		return value_int(a, port);
	if (url->port.s)
		return value_str(a, url->port);
	return value_int(a, str_is(protocol, "https") ? 443 : 80);
}

/* What is missing is null, so that the fields' own rules speak of it. */
static const char *expand_url(struct arena *a, const struct value *v, struct value *record)
{
	struct url_parts url;
	str protocol;

	if (value_is_null(v))
		return NULL;
	url_parse(v->s, &url);
	protocol = url.scheme;
	if (!protocol.s)
		protocol = str_is(url.port, "443") ? STR("https") : STR("http");
	value_set(a, record, STR("protocol"), value_str(a, protocol));
	value_set(a, record, STR("host"), url.host.s ? value_str(a, url.host) : value_null(a));
	value_set(a, record, STR("port"), port_of(a, &url, protocol));
	value_set(a, record, STR("path"), url.path.s ? value_str(a, url.path) : value_null(a));
	return NULL;
}

static const struct shorthand shorthands[] = {
	{ .name = "url",
	  .kind = FIELD_STRING,
	  .expand = expand_url,
	  .help = "Protocol, host, port and path at once." },
	{ 0 },
};

const struct entity services_entity = {
	.name = "services",
	.endpoint_key = "name",
	.help = "An upstream application that requests are sent to.",
	.size = sizeof(T),
	.fields = fields,
	.checks = checks,
	.shorthands = shorthands,
	.is_workspaceable = true,
	.is_taggable = true,
};
