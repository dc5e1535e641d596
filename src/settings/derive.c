/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of the members: kinds, listeners, sizes, logs, tokens. */
#include "base/vec.h"
#include "settings/priv.h"
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>

/* ---- cipher suites --------------------------------------------------------------------- */

#define INTERMEDIATE_CIPHERS                                                                       \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                               \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                               \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"                               \
	"DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"
#define OLD_CIPHERS                                                                                \
	INTERMEDIATE_CIPHERS                                                                       \
	":DHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"            \
	"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:"                   \
	"ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"                     \
	"DHE-RSA-AES128-SHA256:DHE-RSA-AES256-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:"         \
	"AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA:DES-CBC3-SHA"

/* clang-format off */
static const struct suite {
	const char *name;
	str protocols, ciphers, prefer, dhparam;
	bool keeps_dhparam;
} suites[] = {
	{ "modern",       STR_INIT("TLSv1.3"),                      { 0 },                          STR_INIT("off"), { 0 } },
	{ "intermediate", STR_INIT("TLSv1.2 TLSv1.3"),              STR_INIT(INTERMEDIATE_CIPHERS), STR_INIT("off"), STR_INIT("ffdhe2048") },
	{ "old",          STR_INIT("TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"), STR_INIT(OLD_CIPHERS),         STR_INIT("on"),  { 0 }, .keeps_dhparam = true },
	{ "fips",         STR_INIT("TLSv1.2"),                      STR_INIT("TLSv1.2+FIPS:kRSA+FIPS:!eNULL:!aNULL"), STR_INIT("on"), { 0 } },
};
/* clang-format on */

void apply_cipher_suite(struct loading *l)
{
	str name = l->s->ssl_cipher_suite;

	if (str_is(name, "custom"))
		return;
	for (size_t i = 0; i < COUNT(suites); i++) {
		const struct suite *suite = &suites[i];

		if (!str_is(name, suite->name))
			continue;
		loading_put(l, "ssl_ciphers", suite->ciphers);
		loading_put(l, "nginx_http_ssl_protocols", suite->protocols);
		loading_put(l, "nginx_stream_ssl_protocols", suite->protocols);
		loading_put(l, "nginx_http_ssl_prefer_server_ciphers", suite->prefer);
		loading_put(l, "nginx_stream_ssl_prefer_server_ciphers", suite->prefer);
		if (!suite->keeps_dhparam) {
			loading_put(l, "ssl_dhparam", suite->dhparam);
			loading_put(l, "nginx_http_ssl_dhparam", suite->dhparam);
			loading_put(l, "nginx_stream_ssl_dhparam", suite->dhparam);
		}
		return;
	}
	BAD(l, "ssl_cipher_suite", "Undefined cipher suite " STRF, STRV(name));
}

/* ---- kinds -------------------------------------------------------------------------------- */

static void derive_kinds(struct settings *s)
{
	s->database_kind = str_is(s->database, "postgres") ? DATABASE_POSTGRES
			   : str_is(s->database, "sqlite") ? DATABASE_SQLITE
							   : DATABASE_OFF;
	s->role_kind = str_is(s->role, "control_plane") ? ROLE_CONTROL_PLANE
		       : str_is(s->role, "data_plane")  ? ROLE_DATA_PLANE
							: ROLE_TRADITIONAL;
	s->router_kind = str_is(s->router_flavor, "traditional")   ? ROUTER_TRADITIONAL
			 : str_is(s->router_flavor, "expressions") ? ROUTER_EXPRESSIONS
								   : ROUTER_TRADITIONAL_COMPATIBLE;
	s->is_worker_consistency_strict = str_is(s->worker_consistency, "strict");
	s->log_level_kind = LOG_NOTICE_;
	log_level_of(s->log_level, &s->log_level_kind);
}

/* ---- listeners ------------------------------------------------------------------------------ */

static bool any_ssl(const struct listeners *list)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].ssl)
			return true;
	}
	return false;
}

static void derive_listeners(struct loading *l)
{
	struct settings *s = l->s;
	const struct {
		const char *name;
		const strs *entries;
		enum subsystem subsystem;
		struct listeners *to;
	} rows[] = {
		/* clang-format off */
		{ "proxy_listen",             &s->proxy_listen,             SUBSYSTEM_HTTP,   &s->proxy_listeners },
		{ "stream_listen",            &s->stream_listen,            SUBSYSTEM_STREAM, &s->stream_listeners },
		{ "admin_listen",             &s->admin_listen,             SUBSYSTEM_HTTP,   &s->admin_listeners },
		{ "status_listen",            &s->status_listen,            SUBSYSTEM_HTTP,   &s->status_listeners },
		{ "cluster_listen",           &s->cluster_listen,           SUBSYSTEM_HTTP,   &s->cluster_listeners },
		{ "cluster_telemetry_listen", &s->cluster_telemetry_listen, SUBSYSTEM_HTTP,   &s->cluster_telemetry_listeners },
		{ "debug_listen",             &s->debug_listen,             SUBSYSTEM_HTTP,   &s->debug_listeners },
		{ "admin_gui_listen",         &s->admin_gui_listen,         SUBSYSTEM_HTTP,   &s->admin_gui_listeners },
		{ "portal_gui_listen",        &s->portal_gui_listen,        SUBSYSTEM_HTTP,   &s->portal_gui_listeners },
		{ "portal_api_listen",        &s->portal_api_listen,        SUBSYSTEM_HTTP,   &s->portal_api_listeners },
		/* clang-format on */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err *e = listeners_parse(l->a, rows[i].name, *rows[i].entries,
						rows[i].subsystem, rows[i].to);

		if (e)
			loading_fail(l, e);
		for (size_t k = 0; !e && k < rows[i].to->n; k++) {
			if (rows[i].to->v[k].transparent)
				loading_note(l,
					     "%s: the flag transparent of " STRF
					     " is kept without effect",
					     rows[i].name, STRV(rows[i].to->v[k].text));
		}
	}
	s->proxy_ssl_enabled = any_ssl(&s->proxy_listeners);
	s->stream_proxy_ssl_enabled = any_ssl(&s->stream_listeners);
	s->admin_ssl_enabled = any_ssl(&s->admin_listeners);
	s->status_ssl_enabled = any_ssl(&s->status_listeners);
}

/* ---- headers, trusted addresses --------------------------------------------------------------- */

enum {
	ALL_SERVER = KONG_HEADER_SERVER_TOKENS | KONG_HEADER_SERVER | KONG_HEADER_VIA,
	ALL_LATENCY = KONG_HEADER_LATENCY_TOKENS | KONG_HEADER_PROXY_LATENCY |
		      KONG_HEADER_RESPONSE_LATENCY | KONG_HEADER_ADMIN_LATENCY |
		      KONG_HEADER_UPSTREAM_LATENCY,
};

static const struct {
	const char *word;
	unsigned bits;
} tokens[] = {
	{ "server_tokens", ALL_SERVER },
	{ "latency_tokens", ALL_LATENCY },
	{ "Server", KONG_HEADER_SERVER },
	{ "Via", KONG_HEADER_VIA },
	{ "X-Kong-Proxy-Latency", KONG_HEADER_PROXY_LATENCY },
	{ "X-Kong-Response-Latency", KONG_HEADER_RESPONSE_LATENCY },
	{ "X-Kong-Admin-Latency", KONG_HEADER_ADMIN_LATENCY },
	{ "X-Kong-Upstream-Latency", KONG_HEADER_UPSTREAM_LATENCY },
	{ "X-Kong-Upstream-Status", KONG_HEADER_UPSTREAM_STATUS },
	{ "off", 0 },
};

static void derive_headers(struct loading *l)
{
	const strs *list = &l->s->headers;
	bool is_off = list->n > 0 && str_is(list->v[0], "off");

	for (size_t i = 0; i < list->n; i++) {
		size_t k = 0;

		while (k < COUNT(tokens) && !str_is_ci(list->v[i], tokens[k].word))
			k++;
		if (k == COUNT(tokens))
			BAD(l, "headers", "headers: invalid entry '" STRF "'", STRV(list->v[i]));
		else if (!is_off)
			l->s->header_tokens |= tokens[k].bits;
	}
}

static void derive_trusted(struct loading *l)
{
	const strs *list = &l->s->trusted_ips;
	struct setting_cidrs *to = &l->s->trusted;

	to->v = NEWS(l->a, struct cidr, list->n);
	for (size_t i = 0; i < list->n; i++) {
		if (cidr_parse(list->v[i], &to->v[to->n]))
			to->n++;
		else
			BAD(l, "trusted_ips",
			    "trusted_ips must be a comma separated list in the form of IPv4 or "
			    "IPv6 address or CIDR block or 'unix:', got '" STRF "'",
			    STRV(list->v[i]));
	}
}

/* ---- plugins, vaults ---------------------------------------------------------------------------- */

/* clang-format off */
static const char *const bundled_plugins[] = {
	"acl", "acme", "aws-lambda", "azure-functions", "basic-auth", "bot-detection",
	"correlation-id", "cors", "datadog", "file-log", "grpc-gateway", "grpc-web", "hmac-auth",
	"http-log", "ip-restriction", "jwt", "key-auth", "ldap-auth", "loggly", "oauth2",
	"opentelemetry", "post-function", "pre-function", "prometheus", "proxy-cache",
	"rate-limiting", "request-size-limiting", "request-termination", "request-transformer",
	"response-ratelimiting", "response-transformer", "session", "statsd", "syslog", "tcp-log",
	"udp-log", "zipkin",
};
static const char *const bundled_vaults[] = { "env" };
/* clang-format on */

struct name_list {
	str *v;
	size_t n, cap;
};

static void add_name(struct arena *a, struct name_list *list, str name)
{
	for (size_t i = 0; i < list->n; i++) {
		if (str_eq(list->v[i], name))
			return;
	}
	*vec_add(a, list) = name;
}

/* "bundled, mine": the names, "bundled" written out; "off" first: none. */
static strs write_out(struct arena *a, strs words, const char *const *bundled, size_t n)
{
	struct name_list list = { 0 };

	if (words.n > 0 && str_is(words.v[0], "off"))
		words.n = 0;
	for (size_t i = 0; i < words.n; i++) {
		if (str_is(words.v[i], "bundled")) {
			for (size_t k = 0; k < n; k++)
				add_name(a, &list, str_of(bundled[k]));
		} else if (!str_is(words.v[i], "off")) {
			add_name(a, &list, words.v[i]);
		}
	}
	return (strs){ list.v, list.n };
}

/* ---- logs ----------------------------------------------------------------------------------------- */

void derive_log(struct loading *l, str text, struct setting_log *to)
{
	strs words = str_split(l->a, text, ' ');
	bool is_syslog;

	if (words.n == 0 || str_is(words.v[0], "off"))
		return;
	is_syslog = str_starts(words.v[0], STR("syslog:"));
	to->path = is_syslog || words.v[0].s[0] == '/'
			   ? words.v[0]
			   : str_fmt(l->a, STRF "/" STRF, STRV(l->s->prefix), STRV(words.v[0]));
	to->format = words.n > 1 && str_find(words.v[1], '=', 0) < 0 ? words.v[1] : STR_NONE;
}

static void derive_logs(struct loading *l)
{
	struct settings *s = l->s;

	derive_log(l, s->proxy_access_log, &s->proxy_access);
	derive_log(l, s->proxy_error_log, &s->proxy_error);
	derive_log(l, s->proxy_stream_access_log, &s->stream_access);
	derive_log(l, s->proxy_stream_error_log, &s->stream_error);
	derive_log(l, s->admin_access_log, &s->admin_access);
	derive_log(l, s->admin_error_log, &s->admin_error);
	derive_log(l, s->status_access_log, &s->status_access);
	derive_log(l, s->status_error_log, &s->status_error);
}

/* ---- sizes ------------------------------------------------------------------------------------------ */

static void derive_size(struct loading *l, const char *name, str text, int64_t *to)
{
	if (text.s && !size_parse(text, to))
		BAD(l, name, "%s has an invalid value: '" STRF "' (a size such as 8k or 10m)", name,
		    STRV(text));
}

void add_zone(struct loading *l, str name, int64_t bytes)
{
	struct setting_zones *list = &l->s->zones;
	struct setting_zone *v = NEWS(l->a, struct setting_zone, list->n + 1);

	for (size_t i = 0; i < list->n; i++)
		v[i] = list->v[i];
	v[list->n] = (struct setting_zone){ name, bytes };
	*list = (struct setting_zones){ v, list->n + 1 };
}

/* Those of Kong's template; 0: as large as mem_cache_size says. */
static void derive_zones(struct loading *l)
{
	static const struct {
		const char *name;
		int megabytes;
	} rows[] = {
		{ "kong", 5 },
		{ "kong_locks", 8 },
		{ "kong_healthchecks", 5 },
		{ "kong_process_events", 5 },
		{ "kong_cluster_events", 5 },
		{ "kong_rate_limiting_counters", 12 },
		{ "kong_core_db_cache", 0 },
		{ "kong_core_db_cache_miss", 12 },
		{ "kong_db_cache", 0 },
		{ "kong_db_cache_miss", 12 },
		{ "prometheus_metrics", 5 },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		add_zone(l, str_of(rows[i].name),
			 rows[i].megabytes ? (int64_t)rows[i].megabytes << 20
					   : l->s->mem_cache_bytes);
}

static void derive_sizes(struct loading *l)
{
	struct settings *s = l->s;

	derive_size(l, "mem_cache_size", s->mem_cache_size, &s->mem_cache_bytes);
	derive_zones(l);
	derive_size(l, "lmdb_map_size", s->lmdb_map_size, &s->lmdb_map_bytes);
	derive_size(l, "ssl_session_cache_size", s->ssl_session_cache_size,
		    &s->http_tls.session_cache_size);
	s->stream_tls.session_cache_size = s->http_tls.session_cache_size;
	s->pg_keepalive_ms =
		s->pg_keepalive_timeout == FIELD_UNSET_INT ? 60000 : s->pg_keepalive_timeout;
}

/* ---- the process --------------------------------------------------------------------------------------- */

static int processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n;
}

static int64_t open_files(void)
{
	struct rlimit limit;
	int64_t n = 65536;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		n = (int64_t)limit.rlim_cur;
	return n < 1024 ? 1024 : n > 16384 ? 16384 : n;
}

/* "kong  kong" as "kong kong". */
static str squeezed(struct loading *l, str text)
{
	return str_join(l->a, str_split(l->a, text, ' '), STR(" "));
}

/* Users that are nobody, or the default that is not there, are unset. */
static void derive_user(struct loading *l)
{
	static const char *const names[] = { "nginx_main_user", "nginx_user" };
	bool is_default[2];

	for (size_t i = 0; i < COUNT(names); i++) {
		str user = squeezed(l, loading_find(l, names[i])->text);

		if (str_is(user, "nobody") || str_is(user, "nobody nobody"))
			loading_put(l, names[i], STR_NONE);
		is_default[i] = str_is(user, "kong") || str_is(user, "kong kong");
	}
	if (is_default[0] && is_default[1] && (!getpwnam("kong") || !getgrnam("kong"))) {
		loading_put(l, names[0], STR_NONE);
		loading_put(l, names[1], STR_NONE);
	}
}

/* Paths of the PostgreSQL link may stand between quotes, as Kong's page shows them. */
static void derive_pg_certificates(struct loading *l)
{
	static const char *const names[] = { "pg_ssl_cert", "pg_ssl_cert_key", "pg_ssl_crl" };

	for (size_t i = 0; i < COUNT(names); i++) {
		str text = loading_find(l, names[i])->text;

		if (text.n >= 2 && (text.s[0] == '"' || text.s[0] == '\'') &&
		    text.s[text.n - 1] == text.s[0])
			text = str_part(text, 1, text.n - 1);
		if (text.n)
			loading_put(l, names[i], path_absolute(l->a, text));
	}
}

static void derive_dynamic(struct loading *l)
{
	static const struct {
		str prefix;
		size_t offset;
	} rows[] = {
		{ STR_INIT("pluginserver_"), offsetof(struct settings, pluginserver_properties) },
		{ STR_INIT("vault_"), offsetof(struct settings, vault_properties) },
	};

	for (size_t k = 0; k < COUNT(rows); k++) {
		struct setting_pairs *to = (struct setting_pairs *)((char *)l->s + rows[k].offset);

		to->v = NEWS(l->a, struct setting_pair, l->all.n);
		for (size_t i = 0; i < l->all.n; i++) {
			const struct property *p = l->all.v[i];

			if (!p->row && p->text.s && str_starts(p->name, rows[k].prefix))
				to->v[to->n++] = (struct setting_pair){ p->name, p->text };
		}
	}
}

/* ---- directives as Kong shows them ------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
	return str_cmp(((const struct setting_pair *)a)->name,
		       ((const struct setting_pair *)b)->name);
}

/* The dictionary that Kong gives its prometheus plugin. */
static void add_dictionary(struct loading *l, enum directive_space space, str name)
{
	struct setting_pairs *list = &l->s->directives[space];
	struct setting_pair *v = NEWS(l->a, struct setting_pair, list->n + 1);

	for (size_t i = 0; i < list->n; i++) {
		if (str_is(list->v[i].name, "lua_shared_dict") &&
		    str_find_str(list->v[i].value, name) >= 0)
			return;
		v[i] = list->v[i];
	}
	v[list->n] =
		(struct setting_pair){ STR("lua_shared_dict"), str_cat(l->a, name, STR(" 5m")) };
	*list = (struct setting_pairs){ v, list->n + 1 };
}

/* A DH group by name is the file Kong would have written, or nothing without TLS. */
static void show_dhparam(struct loading *l, struct setting_pairs *list, bool has_tls)
{
	for (size_t i = 0; i < list->n; i++) {
		struct setting_pair *pair = &list->v[i];

		if (!str_is(pair->name, "ssl_dhparam") || !str_starts(pair->value, STR("ffdhe")))
			continue;
		if (has_tls) {
			pair->value = str_fmt(l->a, STRF "/ssl/" STRF ".pem", STRV(l->s->prefix),
					      STRV(pair->value));
			continue;
		}
		memmove(pair, pair + 1, (list->n - i - 1) * sizeof(*pair));
		list->n--;
		i--;
	}
}

static void show_directives(struct loading *l)
{
	struct settings *s = l->s;
	bool has_tls = s->proxy_ssl_enabled || s->stream_proxy_ssl_enabled ||
		       s->admin_ssl_enabled || s->status_ssl_enabled;

	for (size_t i = 0; i < s->loaded_plugins.n; i++) {
		if (str_is(s->loaded_plugins.v[i], "prometheus")) {
			add_dictionary(l, SPACE_HTTP, STR("prometheus_metrics"));
			add_dictionary(l, SPACE_STREAM, STR("stream_prometheus_metrics"));
		}
	}
	show_dhparam(l, &s->directives[SPACE_HTTP], has_tls);
	show_dhparam(l, &s->directives[SPACE_STREAM], has_tls);
	for (size_t i = 0; i < SPACE_COUNT_; i++) {
		if (s->directives[i].n)
			qsort(s->directives[i].v, s->directives[i].n, sizeof(struct setting_pair),
			      by_name);
	}
}

void derive_members(struct loading *l)
{
	struct settings *s = l->s;

	s->prefix = path_absolute(l->a, s->prefix);
	loading_find(l, "prefix")->text = s->prefix;
	derive_user(l);
	derive_pg_certificates(l);
	derive_kinds(s);
	derive_listeners(l);
	derive_headers(l);
	derive_trusted(l);
	derive_logs(l);
	derive_sizes(l);
	derive_dynamic(l);
	s->loaded_plugins = write_out(l->a, s->plugins, bundled_plugins, COUNT(bundled_plugins));
	s->loaded_vaults = write_out(l->a, s->vaults, bundled_vaults, COUNT(bundled_vaults));

	s->worker_processes = processors();
	s->worker_connections = s->worker_rlimit_nofile = open_files();
	s->http_tls.ciphers = s->stream_tls.ciphers = s->ssl_ciphers;
	apply_directives(l);
	show_directives(l);
}
