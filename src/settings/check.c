/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that one property's row cannot say: limits with Kong's words, lists
 * whose items have a grammar, and what a role or a mode asks of others. */
#include "base/vec.h"
#include "settings/priv.h"
#include <math.h>
#include <sys/stat.h>

/* ---- limits of numbers --------------------------------------------------------------- */

/* clang-format off */
static const struct limit {
	const char *property;
	double least;
	const char *words; /* behind the property's name */
} limits[] = {
	{ "pg_max_concurrent_queries",       0,       "must be greater than 0" },
	{ "pg_semaphore_timeout",            0,       "must be greater than 0" },
	{ "pg_keepalive_timeout",            0,       "must be greater than 0" },
	{ "pg_pool_size",                    0,       "must be greater than 0" },
	{ "pg_backlog",                      0,       "must be greater than 0" },
	{ "pg_ro_max_concurrent_queries",    0,       "must be greater than 0" },
	{ "pg_ro_semaphore_timeout",         0,       "must be greater than 0" },
	{ "pg_ro_keepalive_timeout",         0,       "must be greater than 0" },
	{ "pg_ro_pool_size",                 0,       "must be greater than 0" },
	{ "pg_ro_backlog",                   0,       "must be greater than 0" },
	{ "pg_timeout",                      0,       "must be 0 or greater" },
	{ "pg_ro_timeout",                   0,       "must be 0 or greater" },
	{ "cluster_data_plane_purge_delay",  60,      "must be 60 or greater" },
	{ "cluster_max_payload",             4194304, "must be 4194304 (4MB) or greater" },
	{ "upstream_keepalive_pool_size",    0,       "must be 0 or greater" },
	{ "upstream_keepalive_max_requests", 0,       "must be 0 or greater" },
	{ "upstream_keepalive_idle_timeout", 0,       "must be 0 or greater" },
	{ "db_update_frequency",             0,       "must be 0 or greater" },
	{ "db_update_propagation",           0,       "must be 0 or greater" },
	{ "db_cache_ttl",                    0,       "must be 0 or greater" },
	{ "db_cache_neg_ttl",                0,       "must be 0 or greater" },
	{ "db_resurrect_ttl",                0,       "must be 0 or greater" },
	{ "dns_valid_ttl",                   0,       "must be 0 or greater" },
	{ "dns_stale_ttl",                   0,       "must be 0 or greater" },
	{ "dns_not_found_ttl",               0,       "must be 0 or greater" },
	{ "dns_error_ttl",                   0,       "must be 0 or greater" },
	{ "dns_cache_size",                  1,       "must be 1 or greater" },
	{ "lua_ssl_verify_depth",            0,       "must be 0 or greater" },
	{ "lua_socket_pool_size",            0,       "must be 0 or greater" },
};
static const char *const ports[] = { "pg_port", "pg_ro_port", "cassandra_port", "smtp_port" };
/* clang-format on */

static bool number_of(struct loading *l, const char *name, double *ret)
{
	const struct property *p = loading_find(l, name);
	double n;

	if (p->row->inherits && p->origin == ORIGIN_DEFAULT)
		return false; /* told where it was set */
	if (!p->text.s || !str_to_num(p->text, &n))
		return false;
	*ret = n;
	return true;
}

static void check_numbers(struct loading *l)
{
	double n;

	for (size_t i = 0; i < COUNT(limits); i++) {
		if (number_of(l, limits[i].property, &n) && n < limits[i].least)
			BAD(l, limits[i].property, "%s %s", limits[i].property, limits[i].words);
	}
	for (size_t i = 0; i < COUNT(ports); i++) {
		if (number_of(l, ports[i], &n) && (n < 1 || n > 65535))
			BAD(l, ports[i], "%s must be a port between 1 and 65535: '%.0f'", ports[i],
			    n);
	}
	if (l->s->worker_state_update_frequency <= 0)
		BAD(l, "worker_state_update_frequency",
		    "worker_state_update_frequency must be greater than 0");
	if (l->s->tracing_sampling_rate < 0 || l->s->tracing_sampling_rate > 1)
		BAD(l, "tracing_sampling_rate", "tracing_sampling_rate must be between 0 and 1");
}

/* ---- lists ------------------------------------------------------------------------------ */

static bool is_one_of(str word, const char *const *words)
{
	for (; *words; words++) {
		if (str_is(word, *words))
			return true;
	}
	return false;
}

static void check_tracing(struct loading *l)
{
	static const char *const types[] = { "off",
					     "all",
					     "request",
					     "db_query",
					     "dns_query",
					     "router",
					     "http_client",
					     "balancer",
					     "plugin_rewrite",
					     "plugin_access",
					     "plugin_header_filter",
					     NULL };
	const strs *list = &l->s->tracing_instrumentations;
	bool has_off = false;

	for (size_t i = 0; i < list->n; i++) {
		has_off |= str_is(list->v[i], "off");
		if (!is_one_of(list->v[i], types))
			BAD(l, "tracing_instrumentations", "invalid tracing type: " STRF,
			    STRV(list->v[i]));
	}
	if (has_off && list->n > 1)
		BAD(l, "tracing_instrumentations",
		    "invalid tracing types: off, other types are mutually exclusive");
}

/* An address with or without a port: "1.1.1.1", "1.1.1.1:53", "::1", "[::1]:53". */
static bool is_ip_with_port(str text)
{
	ptrdiff_t colon = str_find_last(text, ':');
	struct address at;
	int64_t port;

	if (address_parse_ip(text, 0, &at))
		return true;
	if (colon <= 0 || !str_to_int(str_from(text, (size_t)colon + 1), &port) || port < 0 ||
	    port > 65535)
		return false;
	text = str_part(text, 0, (size_t)colon);
	return (text.s[0] == '[' || str_find(text, ':', 0) < 0) && address_parse_ip(text, 0, &at);
}

static void check_dns(struct loading *l)
{
	static const char *const types[] = { "LAST", "A", "AAAA", "CNAME", "SRV", NULL };
	const struct settings *s = l->s;
	struct stat st;

	for (size_t i = 0; i < s->dns_resolver.n; i++) {
		if (!is_ip_with_port(s->dns_resolver.v[i]))
			BAD(l, "dns_resolver",
			    "dns_resolver must be a comma separated list in the form of IPv4/6 or "
			    "IPv4/6:port, got '" STRF "'",
			    STRV(s->dns_resolver.v[i]));
	}
	if (s->dns_hostsfile.s &&
	    (stat(str_z(l->a, s->dns_hostsfile), &st) < 0 || !S_ISREG(st.st_mode)))
		BAD(l, "dns_hostsfile", "dns_hostsfile: file does not exist");
	for (size_t i = 0; i < s->dns_order.n; i++) {
		if (!is_one_of(str_upper(l->a, s->dns_order.v[i]), types))
			BAD(l, "dns_order", "dns_order: invalid entry '" STRF "'",
			    STRV(s->dns_order.v[i]));
	}
}

static bool is_port(str text, uint16_t *ret)
{
	int64_t n;

	if (!str_to_int(text, &n) || n < 1 || n > 65535)
		return false;
	*ret = (uint16_t)n;
	return true;
}

static void check_port_maps(struct loading *l)
{
	struct {
		struct port_map *v;
		size_t n, cap;
	} list = { 0 };

	for (size_t i = 0; i < l->s->port_maps.n; i++) {
		str entry = l->s->port_maps.v[i];
		ptrdiff_t colon = str_find(entry, ':', 0);
		struct port_map map;

		if (colon >= 0 && is_port(str_part(entry, 0, (size_t)colon), &map.outside) &&
		    is_port(str_from(entry, (size_t)colon + 1), &map.inside))
			*vec_add(l->a, &list) = map;
		else
			BAD(l, "port_maps", "invalid port mapping (`port_maps`): " STRF,
			    STRV(entry));
	}
	l->s->outside_ports = (struct port_maps){ list.v, list.n };
}

/* ---- proxy_server ------------------------------------------------------------------------ */

static void check_proxy_server(struct loading *l)
{
	str url = l->s->proxy_server, rest;
	ptrdiff_t at;

	if (!url.s)
		return;
	at = str_find_str(url, STR("://"));
	if (at <= 0) {
		BAD(l, "proxy_server", "proxy_server missing scheme");
		return;
	}
	rest = str_part(url, 0, (size_t)at);
	if (!str_is(rest, "http") && !str_is(rest, "https")) {
		BAD(l, "proxy_server",
		    "proxy_server only supports \"http\" and \"https\", got " STRF, STRV(rest));
		return;
	}
	rest = str_from(url, (size_t)at + 3);
	at = str_find_last(rest, '@');
	if (at >= 0)
		rest = str_from(rest, (size_t)at + 1);
	if (rest.n == 0 || rest.s[0] == '/' || rest.s[0] == ':')
		BAD(l, "proxy_server", "proxy_server missing host");
	else if (str_find(rest, '#', 0) >= 0 || str_find(rest, '?', 0) >= 0 ||
		 str_find(rest, ';', 0) >= 0)
		BAD(l, "proxy_server",
		    "fragments, query strings or parameters are meaningless in "
		    "proxy configuration");
}

/* ---- roles -------------------------------------------------------------------------------- */

static bool is_off(strs listen)
{
	return listen.n == 0 || str_is(listen.v[0], "off");
}

static void check_control_plane(struct loading *l)
{
	const struct settings *s = l->s;

	if (is_off(s->admin_listen))
		BAD(l, "admin_listen",
		    "admin_listen must be specified when role = \"control_plane\"");
	if (str_is(s->cluster_mtls, "pki") && !s->cluster_ca_cert.s)
		BAD(l, "cluster_ca_cert",
		    "cluster_ca_cert must be specified when cluster_mtls = \"pki\"");
	if (is_off(s->cluster_listen))
		BAD(l, "cluster_listen",
		    "cluster_listen must be specified when role = \"control_plane\"");
	if (str_is(s->database, "off"))
		BAD(l, "database",
		    "in-memory storage can not be used when role = "
		    "\"control_plane\"");
	if (s->cluster_use_proxy)
		BAD(l, "cluster_use_proxy",
		    "cluster_use_proxy can not be used when role = \"control_plane\"");
}

static void check_data_plane(struct loading *l)
{
	const struct settings *s = l->s;

	if (is_off(s->proxy_listen))
		BAD(l, "proxy_listen", "proxy_listen must be specified when role = \"data_plane\"");
	if (!str_is(s->database, "off"))
		BAD(l, "database",
		    "only in-memory storage can be used when role = "
		    "\"data_plane\"\nHint: set database = off in your kong.conf");
	if (s->cluster_use_proxy && !s->proxy_server.s)
		BAD(l, "proxy_server",
		    "cluster_use_proxy is turned on but no proxy_server is configured");
}

static void check_role(struct loading *l)
{
	const struct settings *s = l->s;

	if (str_is(s->role, "control_plane"))
		check_control_plane(l);
	else if (str_is(s->role, "data_plane"))
		check_data_plane(l);
	else
		return;
	if (!s->cluster_cert.s || !s->cluster_cert_key.s)
		BAD(l, "cluster_cert",
		    "cluster certificate and key must be provided to use Hybrid mode");
}

/* admin_gui_path: what a browser can be sent to. */
static void check_gui_path(struct loading *l)
{
	str path = l->s->admin_gui_path;
	bool good = path.n > 0 && path.s[0] == '/' && str_find_str(path, STR("//")) < 0 &&
		    (path.n == 1 || path.s[path.n - 1] != '/');

	for (size_t i = 0; i < path.n; i++)
		good &= ascii_is_alnum(path.s[i]) || strchr("-_/", path.s[i]) != NULL;
	if (path.s && !good)
		BAD(l, "admin_gui_path",
		    "admin_gui_path must start with a slash, must not end with one, and may have "
		    "letters, digits, - and _ between single slashes: '" STRF "'",
		    STRV(path));
}

void check_members(struct loading *l)
{
	check_port_maps(l);
	check_dns(l);
	check_numbers(l);
	check_proxy_server(l);
	check_role(l);
	check_tracing(l);
	check_gui_path(l);
}

/* ---- what this version can serve ------------------------------------------------------------ */

/* What nginx refuses too: flags of connections, where there are none. */
static struct err *check_datagrams(const struct listener *l)
{
	const char *flag = l->ssl                         ? "ssl"
			   : l->proxy_protocol            ? "proxy_protocol"
			   : l->backlog                   ? "backlog"
			   : l->so_keepalive != TRI_UNSET ? "so_keepalive"
							  : NULL;

	if (!l->udp || !flag)
		return NULL;
	return err_field(FAIL(ERR_INVALID, "stream_listen: " STRF ": %s does not go with udp",
			      STRV(l->given), flag),
			 "stream_listen");
}

struct err *settings_servable(const struct settings *s)
{
	if (s->role_kind != ROLE_TRADITIONAL)
		return err_field(FAIL(ERR_INVALID,
				      "role = " STRF ": this version has no hybrid mode yet, only "
				      "role = traditional can be started",
				      STRV(s->role)),
				 "role");
	for (size_t i = 0; i < s->stream_listeners.n; i++)
		PASS(check_datagrams(&s->stream_listeners.v[i]));
	return NULL;
}
