/* SPDX-License-Identifier: Apache-2.0 */
/* "configuration" of GET /: every effective property under its name, and beside
 * them what Kong derives.
 *
 * Kong's shapes are kept: an empty list is {}, booleans of nginx are "on" and
 * "off", a listener is an object of flags.  Secrets are ******; a property that
 * came from a reference shows the reference.  Properties of the Enterprise
 * edition show when they are set. */
#include "settings/priv.h"
#include <math.h>

/* clang-format off */
static const struct {
	const char *name, *path; /* below the prefix */
} prefix_paths[] = {
	{ "nginx_pid",                         "pids/nginx.pid" },
	{ "nginx_err_logs",                    "logs/error.log" },
	{ "nginx_acc_logs",                    "logs/access.log" },
	{ "admin_acc_logs",                    "logs/admin_access.log" },
	{ "nginx_conf",                        "nginx.conf" },
	{ "nginx_kong_conf",                   "nginx-kong.conf" },
	{ "nginx_kong_stream_conf",            "nginx-kong-stream.conf" },
	{ "kong_env",                          ".kong_env" },
	{ "kong_process_secrets",              ".kong_process_secrets" },
	{ "ssl_cert_csr_default",              "ssl/kong-default.csr" },
	{ "ssl_cert_default",                  "ssl/kong-default.crt" },
	{ "ssl_cert_key_default",              "ssl/kong-default.key" },
	{ "ssl_cert_default_ecdsa",            "ssl/kong-default-ecdsa.crt" },
	{ "ssl_cert_key_default_ecdsa",        "ssl/kong-default-ecdsa.key" },
	{ "client_ssl_cert_default",           "ssl/kong-default.crt" },
	{ "client_ssl_cert_key_default",       "ssl/kong-default.key" },
	{ "admin_ssl_cert_default",            "ssl/admin-kong-default.crt" },
	{ "admin_ssl_cert_key_default",        "ssl/admin-kong-default.key" },
	{ "admin_ssl_cert_default_ecdsa",      "ssl/admin-kong-default-ecdsa.crt" },
	{ "admin_ssl_cert_key_default_ecdsa",  "ssl/admin-kong-default-ecdsa.key" },
	{ "status_ssl_cert_default",           "ssl/status-kong-default.crt" },
	{ "status_ssl_cert_key_default",       "ssl/status-kong-default.key" },
	{ "status_ssl_cert_default_ecdsa",     "ssl/status-kong-default-ecdsa.crt" },
	{ "status_ssl_cert_key_default_ecdsa", "ssl/status-kong-default-ecdsa.key" },
};

static const struct {
	enum directive_space space;
	const char *name;
} spaces[] = {
	{ SPACE_MAIN,      "nginx_main_directives" },
	{ SPACE_EVENTS,    "nginx_events_directives" },
	{ SPACE_HTTP,      "nginx_http_directives" },
	{ SPACE_UPSTREAM,  "nginx_upstream_directives" },
	{ SPACE_PROXY,     "nginx_proxy_directives" },
	{ SPACE_STATUS,    "nginx_status_directives" },
	{ SPACE_ADMIN,     "nginx_admin_directives" },
	{ SPACE_STREAM,    "nginx_stream_directives" },
	{ SPACE_SUPSTREAM, "nginx_supstream_directives" },
	{ SPACE_SPROXY,    "nginx_sproxy_directives" },
};

static const struct {
	enum kong_header bit;
	const char *name;
} headers[] = {
	{ KONG_HEADER_SERVER,           "Server" },
	{ KONG_HEADER_VIA,              "Via" },
	{ KONG_HEADER_PROXY_LATENCY,    "X-Kong-Proxy-Latency" },
	{ KONG_HEADER_RESPONSE_LATENCY, "X-Kong-Response-Latency" },
	{ KONG_HEADER_ADMIN_LATENCY,    "X-Kong-Admin-Latency" },
	{ KONG_HEADER_UPSTREAM_LATENCY, "X-Kong-Upstream-Latency" },
	{ KONG_HEADER_UPSTREAM_STATUS,  "X-Kong-Upstream-Status" },
	{ KONG_HEADER_SERVER_TOKENS,    "server_tokens" },
	{ KONG_HEADER_LATENCY_TOKENS,   "latency_tokens" },
};
/* clang-format on */

/* An array; Kong's encoder writes an empty one as an object. */
static struct value *list_or_object(struct arena *a, struct value *array)
{
	return array->n ? array : value_object(a);
}

static struct value *strs_value(struct arena *a, strs list)
{
	struct value *v = value_array(a);

	for (size_t i = 0; i < list.n; i++)
		value_add(a, v, value_str(a, list.v[i]));
	return list_or_object(a, v);
}

static struct value *true_set(struct arena *a, strs names)
{
	struct value *v = value_object(a);

	for (size_t i = 0; i < names.n; i++)
		value_set(a, v, names.v[i], value_bool(a, true));
	return v;
}

static struct value *number_value(struct arena *a, double n)
{
	return n == floor(n) && fabs(n) < 9e15 ? value_int(a, (int64_t)n) : value_real(a, n);
}

#define HIDDEN STR("******")

/* A private key that was given as a value. */
static str without_key(str text)
{
	return str_find_str(text, STR("PRIVATE KEY-----")) >= 0 ? HIDDEN : text;
}

/* NULL: the property has no value and is not shown. */
static struct value *property_value(struct arena *a, const struct settings *s,
				    const struct property *p)
{
	const struct field *row = p->row;
	const char *at = row ? (const char *)s + row->offset : NULL;

	if (p->text.s && row && row->is_secret)
		return value_str(a, HIDDEN);
	if (p->reference.s)
		return value_str(a, p->reference);
	if (row && row->kind == FIELD_ARRAY) {
		struct value *list = strs_value(a, *(const strs *)at);

		for (uint32_t i = 0; list->kind == VALUE_ARRAY && i < list->n; i++)
			list->items[i]->s = without_key(list->items[i]->s);
		return list;
	}
	if (!p->text.s)
		return NULL;
	if (!row || row->kind == FIELD_STRING)
		return value_str(a, without_key(p->text));
	if (row->kind == FIELD_BOOLEAN)
		return row->unit ? value_text(a, *(const bool *)at ? "on" : "off")
				 : value_bool(a, *(const bool *)at);
	if (row->kind == FIELD_INTEGER)
		return value_int(a, *(const int64_t *)at);
	return number_value(a, *(const double *)at);
}

static bool is_shown(const struct property *p)
{
	bool is_enterprise = p->group && p->group->is_enterprise;

	if (p->row && p->row->inherits && p->origin == ORIGIN_DEFAULT)
		return str_is(p->name, "pg_ro_ssl") || str_is(p->name, "pg_ro_ssl_verify");
	return !is_enterprise || p->origin != ORIGIN_DEFAULT;
}

static void add_listeners(struct arena *a, struct value *v, const char *name,
			  const struct listeners *list, enum subsystem subsystem)
{
	struct value *items = value_array(a);

	for (size_t i = 0; i < list->n; i++)
		value_add(a, items, listener_value(a, &list->v[i], subsystem));
	value_set(a, v, str_of(name), list_or_object(a, items));
}

static void add_directives(struct arena *a, struct value *v, const struct settings *s)
{
	for (size_t i = 0; i < COUNT(spaces); i++) {
		const struct setting_pairs *list = &s->directives[spaces[i].space];
		struct value *items = value_array(a);

		for (size_t k = 0; k < list->n; k++) {
			struct value *pair = value_object(a);

			value_set(a, pair, STR("name"), value_str(a, list->v[k].name));
			value_set(a, pair, STR("value"), value_str(a, list->v[k].value));
			value_add(a, items, pair);
		}
		value_set(a, v, str_of(spaces[i].name), list_or_object(a, items));
	}
}

static struct value *host_ports(struct arena *a, const struct port_maps *maps)
{
	struct value *v = value_object(a);

	for (size_t i = 0; i < maps->n; i++)
		value_set(a, v, str_fmt(a, "%u", maps->v[i].inside),
			  value_int(a, maps->v[i].outside));
	return v;
}

static void add_derived(struct arena *a, struct value *v, const struct settings *s)
{
	struct value *enabled = value_object(a);

	add_listeners(a, v, "proxy_listeners", &s->proxy_listeners, SUBSYSTEM_HTTP);
	add_listeners(a, v, "stream_listeners", &s->stream_listeners, SUBSYSTEM_STREAM);
	add_listeners(a, v, "admin_listeners", &s->admin_listeners, SUBSYSTEM_HTTP);
	add_listeners(a, v, "status_listeners", &s->status_listeners, SUBSYSTEM_HTTP);
	add_listeners(a, v, "cluster_listeners", &s->cluster_listeners, SUBSYSTEM_HTTP);
	value_set(a, v, STR("proxy_ssl_enabled"), value_bool(a, s->proxy_ssl_enabled));
	value_set(a, v, STR("stream_proxy_ssl_enabled"),
		  value_bool(a, s->stream_proxy_ssl_enabled));
	value_set(a, v, STR("admin_ssl_enabled"), value_bool(a, s->admin_ssl_enabled));
	value_set(a, v, STR("status_ssl_enabled"), value_bool(a, s->status_ssl_enabled));
	value_set(a, v, STR("loaded_plugins"), true_set(a, s->loaded_plugins));
	value_set(a, v, STR("loaded_vaults"), true_set(a, s->loaded_vaults));
	value_set(a, v, STR("host_ports"), host_ports(a, &s->outside_ports));
	for (size_t i = 0; i < COUNT(headers); i++)
		value_set(a, enabled, str_of(headers[i].name),
			  value_bool(a, (s->header_tokens & headers[i].bit) != 0));
	value_set(a, v, STR("enabled_headers"), enabled);
	if (s->lua_ssl_trusted_certificate.n)
		value_set(a, v, STR("lua_ssl_trusted_certificate_combined"),
			  value_str(a, settings_path(a, s, ".ca_combined")));
	for (size_t i = 0; i < COUNT(prefix_paths); i++)
		value_set(a, v, str_of(prefix_paths[i].name),
			  value_str(a, settings_path(a, s, prefix_paths[i].path)));
}

struct value *settings_value(struct arena *a, const struct settings *s)
{
	struct value *v = value_object(a);

	for (size_t i = 0; i < s->n_properties; i++) {
		const struct property *p = &s->properties[i];
		struct value *item = is_shown(p) ? property_value(a, s, p) : NULL;

		if (item)
			value_set(a, v, p->name, item);
	}
	if (!s->lua_package_cpath.s)
		value_set(a, v, STR("lua_package_cpath"), value_str(a, STR("")));
	add_directives(a, v, s);
	add_derived(a, v, s);
	return v;
}
