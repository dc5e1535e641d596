/* SPDX-License-Identifier: Apache-2.0 */
/* settings - what kong.conf says, read once and never changed.
 *
 * Every property is a row (settings/rows_*.c) and a member of the same name in
 * struct settings, so that a reader may grep from either to the other.  Values
 * come, the later winning, from the rows' defaults, a file, KONG_* variables
 * and the command line.  Members that the rows fill hold what was written; the
 * last section of the struct holds what is made of it: listeners, sizes in
 * bytes, times in milliseconds, networks, certificates as PEM text.
 *
 * Loading reports every error at once, linked by err->next, in Kong's words.
 * A struct settings is immutable once loaded (prefix_prepare, which makes the
 * default certificates, runs before anybody shares it) and belongs to its arena.
 * Nothing here suspends: it is for the command line, the supervisor and the
 * worker's start.
 *
 * Unset members: s == NULL, n == 0, FIELD_UNSET_INT, NaN. */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "base/value.h"
#include "net/net.h"
#include "schema/field.h"

/* ---- listeners ------------------------------------------------------------------- */

struct listener {
	str text;  /* "0.0.0.0:8443 ssl http2 backlog=16384": address, then flags in Kong's order */
	str given; /* the entry as it was written */
	str ip;    /* as in text: IPv6 in brackets; may be a host name */
	uint16_t port;
	bool is_name;           /* ip is a host name, resolved when the socket is opened */
	struct address address; /* when it is not */
	bool ssl, http2, proxy_protocol, deferred, bind, reuseport, transparent, udp;
	int backlog;       /* 0: not given, 511 is used */
	enum tri ipv6only; /* TRI_UNSET: on, as nginx */
	enum tri so_keepalive;
	int keep_idle_s, keep_interval_s, keep_count; /* 0: the system's */
	str backlog_flag, keep_flag;                  /* as written, for GET / */
};

struct listeners {
	struct listener *v;
	size_t n;
};

enum subsystem { SUBSYSTEM_HTTP, SUBSYSTEM_STREAM };

/* The value of a *_listen property: "off" gives none. The error is Kong's. */
MUST_CHECK struct err *listeners_parse(struct arena *a, const char *property, strs entries,
				       enum subsystem subsystem, struct listeners *ret);

/* ---- the parts of a struct settings ----------------------------------------------- */

struct setting_pair {
	str name, value;
};

struct setting_pairs {
	struct setting_pair *v;
	size_t n;
};

/* A zone of memory by the name that Kong's dictionaries have, or one that was injected. */
struct setting_zone {
	str name;
	int64_t bytes;
};

struct setting_zones {
	struct setting_zone *v;
	size_t n;
};

/* Namespaces of injected directives: nginx_<word>_<directive>. */
enum directive_space {
	SPACE_MAIN,
	SPACE_EVENTS,
	SPACE_HTTP,
	SPACE_UPSTREAM,
	SPACE_PROXY,
	SPACE_STATUS,
	SPACE_ADMIN,
	SPACE_STREAM,
	SPACE_SUPSTREAM,
	SPACE_SPROXY,
	SPACE_COUNT_,
};

struct setting_cidrs {
	struct cidr *v;
	size_t n;
};

/* A certificate and its key: PEM text always, the path when it was given as one. */
struct setting_cert {
	str cert, key;
	str cert_path, key_path;
};

struct setting_certs {
	struct setting_cert *v;
	size_t n;
};

struct port_map {
	uint16_t outside, inside; /* "80:8000": clients use 80, we listen on 8000 */
};

struct port_maps {
	struct port_map *v;
	size_t n;
};

/* Where a log goes. */
struct setting_log {
	str path;   /* absolute, or "syslog:..."; unset: off */
	str format; /* name of an access log's format; unset: combined */
};

enum database_kind { DATABASE_OFF, DATABASE_SQLITE, DATABASE_POSTGRES };
enum node_role { ROLE_TRADITIONAL, ROLE_CONTROL_PLANE, ROLE_DATA_PLANE };
enum router_flavor { ROUTER_TRADITIONAL_COMPATIBLE, ROUTER_TRADITIONAL, ROUTER_EXPRESSIONS };

/* `headers`: which of the gateway's own headers answers carry. */
enum kong_header {
	KONG_HEADER_SERVER = 1 << 0,
	KONG_HEADER_VIA = 1 << 1,
	KONG_HEADER_PROXY_LATENCY = 1 << 2,
	KONG_HEADER_RESPONSE_LATENCY = 1 << 3,
	KONG_HEADER_ADMIN_LATENCY = 1 << 4,
	KONG_HEADER_UPSTREAM_LATENCY = 1 << 5,
	KONG_HEADER_UPSTREAM_STATUS = 1 << 6,
	KONG_HEADER_SERVER_TOKENS = 1 << 7,
	KONG_HEADER_LATENCY_TOKENS = 1 << 8,
};

enum lingering { LINGERING_ON, LINGERING_OFF, LINGERING_ALWAYS };

/* Limits and times of an HTTP server; of the proxy, and of the Admin and Status
 * API, whose directives override the proxy's. Sizes in bytes, times in ms. */
struct http_tuning {
	int64_t client_max_body; /* 0: no limit */
	int64_t client_body_buffer;
	int64_t client_header_buffer;
	int64_t large_header_buffers; /* how many ... */
	int64_t large_header_buffer;  /* ... of this size: the longest line of a head */
	int64_t client_header_timeout, client_body_timeout, send_timeout;
	int64_t keepalive_timeout;        /* 0: no keep-alive */
	int64_t keepalive_header_timeout; /* what a Keep-Alive header tells; 0: none */
	int64_t keepalive_time;           /* life of a connection at most */
	int64_t keepalive_requests;
	int64_t http2_max_concurrent_streams;
	enum lingering lingering_close;
	int64_t lingering_time, lingering_timeout;
	bool tcp_nodelay;
	bool underscores_in_headers, ignore_invalid_headers, merge_slashes;
	bool reset_timedout_connection;
	bool server_tokens;
	str charset; /* unset: off */
};

/* Of TCP, TLS and UDP sessions: nginx_sproxy_*.  Times in ms. */
struct stream_tuning {
	int64_t preread_timeout, handshake_timeout, proxy_protocol_timeout;
	int64_t responses;   /* datagrams of an upstream for each of the client; -1: any number */
	int64_t requests;    /* datagrams of a client before a new session begins; 0: any number */
	bool proxy_protocol; /* told to upstreams */
};

/* TLS of listeners of one subsystem. */
struct tls_tuning {
	unsigned protocols; /* TLS_1_2 | TLS_1_3: net/tls.h */
	str ciphers;        /* unset: the library's */
	bool prefer_server_ciphers;
	str dhparam; /* PEM; unset, or a group by name: the library's own groups */
	bool session_tickets;
	int64_t session_timeout_ms;
	int64_t session_cache_size; /* bytes */
};

/* ---- settings --------------------------------------------------------------------- */

struct settings {
	/* ---- General ---- */
	str prefix, log_level, proxy_access_log, proxy_error_log, proxy_stream_access_log;
	str proxy_stream_error_log, admin_access_log, admin_error_log, status_access_log;
	str status_error_log;
	strs vaults, opentelemetry_tracing, tracing_instrumentations;
	double opentelemetry_tracing_sampling_rate, tracing_sampling_rate;
	strs plugins, plugin_path, pluginserver_names, port_maps;
	bool anonymous_reports;
	str proxy_server;
	bool proxy_server_ssl_verify, kic, legacy_worker_events;

	/* ---- Hybrid mode ---- */
	str role, cluster_mtls, cluster_cert, cluster_cert_key, cluster_ca_cert;
	str cluster_server_name, cluster_control_plane;
	int64_t cluster_max_payload;
	strs cluster_listen;
	int64_t cluster_data_plane_purge_delay;
	str cluster_ocsp;
	bool cluster_use_proxy;

	/* ---- Listeners and proxying ---- */
	strs proxy_listen, stream_listen, admin_listen, status_listen;
	str nginx_user, nginx_worker_processes;
	bool nginx_daemon;
	str mem_cache_size, ssl_cipher_suite, ssl_ciphers, ssl_protocols;
	bool ssl_prefer_server_ciphers;
	str ssl_dhparam;
	bool ssl_session_tickets;
	str ssl_session_timeout, ssl_session_cache_size;
	strs ssl_cert, ssl_cert_key;
	bool client_ssl;
	str client_ssl_cert, client_ssl_cert_key;
	strs admin_ssl_cert, admin_ssl_cert_key, status_ssl_cert, status_ssl_cert_key, headers;
	strs trusted_ips;
	str real_ip_header;
	bool real_ip_recursive;
	str error_default_type;
	int64_t upstream_keepalive_pool_size, upstream_keepalive_max_requests;
	double upstream_keepalive_idle_timeout;
	bool allow_debug_header;
	str client_body_buffer_size;

	/* ---- Injected nginx directives ---- */
	str nginx_main_daemon, nginx_main_user, nginx_main_worker_processes;
	str nginx_main_worker_rlimit_nofile, nginx_events_worker_connections;
	str nginx_events_multi_accept, nginx_http_charset, nginx_http_client_max_body_size;
	str nginx_http_client_body_buffer_size, nginx_http_client_header_buffer_size;
	str nginx_http_large_client_header_buffers, nginx_http_ssl_protocols;
	str nginx_http_ssl_prefer_server_ciphers, nginx_http_ssl_dhparam;
	str nginx_http_ssl_session_tickets, nginx_http_ssl_session_timeout;
	str nginx_stream_ssl_protocols, nginx_stream_ssl_prefer_server_ciphers;
	str nginx_stream_ssl_dhparam, nginx_stream_ssl_session_tickets;
	str nginx_stream_ssl_session_timeout, nginx_proxy_real_ip_header;
	str nginx_proxy_real_ip_recursive, nginx_admin_client_max_body_size;
	str nginx_admin_client_body_buffer_size, nginx_http_lua_regex_match_limit;
	str nginx_http_lua_regex_cache_max_entries;

	/* ---- Datastore ---- */
	str database, sqlite_path, pg_host;
	int64_t pg_port, pg_timeout;
	str pg_user, pg_password, pg_database, pg_schema;
	bool pg_ssl, pg_ssl_verify;
	int64_t pg_max_concurrent_queries, pg_semaphore_timeout, pg_keepalive_timeout;
	int64_t pg_pool_size, pg_backlog;
	str pg_ro_host;
	int64_t pg_ro_port, pg_ro_timeout;
	str pg_ro_user, pg_ro_password, pg_ro_database, pg_ro_schema;
	bool pg_ro_ssl, pg_ro_ssl_verify;
	int64_t pg_ro_max_concurrent_queries, pg_ro_semaphore_timeout, pg_ro_keepalive_timeout;
	int64_t pg_ro_pool_size, pg_ro_backlog;
	strs cassandra_contact_points;
	int64_t cassandra_port;
	str cassandra_keyspace;
	int64_t cassandra_timeout;
	bool cassandra_ssl, cassandra_ssl_verify;
	str cassandra_username, cassandra_password, cassandra_write_consistency;
	str cassandra_read_consistency, cassandra_lb_policy, cassandra_local_datacenter;
	double cassandra_refresh_frequency;
	str cassandra_repl_strategy;
	int64_t cassandra_repl_factor;
	strs cassandra_data_centers;
	int64_t cassandra_schema_consensus_timeout;
	str declarative_config, declarative_config_string, lmdb_environment_path;
	str lmdb_map_size, pg_ssl_version;
	bool pg_ssl_required, pg_ssl_verify_host;
	str pg_ssl_cert, pg_ssl_cert_key, pg_ssl_crl;
	bool pg_ro_ssl_required;
	str pg_ro_ssl_version;

	/* ---- Datastore cache ---- */
	double db_update_frequency, db_update_propagation, db_cache_ttl, db_cache_neg_ttl;
	double db_resurrect_ttl;
	strs db_cache_warmup_entities;

	/* ---- DNS ---- */
	strs dns_resolver;
	str dns_hostsfile;
	strs dns_order;
	double dns_valid_ttl, dns_stale_ttl;
	int64_t dns_cache_size;
	double dns_not_found_ttl, dns_error_ttl;
	bool dns_no_sync;

	/* ---- Tuning ---- */
	str worker_consistency, router_consistency;
	double worker_state_update_frequency;
	str io_backend; /* auto, epoll or uring */
	str router_flavor;

	/* ---- Miscellaneous ---- */
	strs lua_ssl_trusted_certificate;
	int64_t lua_ssl_verify_depth;
	str lua_ssl_protocols, lua_package_path, lua_package_cpath;
	int64_t lua_socket_pool_size;
	str untrusted_lua;
	strs untrusted_lua_sandbox_requires, untrusted_lua_sandbox_environment;
	str openresty_path;

	/* ---- General, more ---- */
	strs debug_listen;
	str debug_access_log, debug_error_log;
	strs debug_ssl_cert, debug_ssl_cert_key, cluster_allowed_common_names;
	strs cluster_telemetry_listen;
	str cluster_telemetry_endpoint, cluster_telemetry_server_name;
	bool cluster_fallback_config_import, cluster_fallback_config_export;
	str cluster_fallback_config_storage;
	int64_t cluster_fallback_config_export_delay;
	str declarative_config_encryption_mode, proxy_url, admin_api_uri;
	int64_t max_queued_batches;
	bool fips, konnect_mode;
	double analytics_flush_interval;
	int64_t analytics_buffer_size_limit;
	bool event_hooks_enabled;

	/* ---- RBAC ---- */
	str enforce_rbac, rbac_auth_header;

	/* ---- Kong Manager ---- */
	strs admin_gui_listen;
	str admin_gui_url, admin_gui_path, admin_gui_ssl_cert, admin_gui_ssl_cert_key;
	str admin_gui_flags, admin_gui_access_log, admin_gui_error_log, admin_gui_auth;
	str admin_gui_auth_conf, admin_gui_auth_password_complexity, admin_gui_session_conf;
	str admin_gui_auth_header;
	int64_t admin_gui_auth_login_attempts;
	str admin_gui_header_txt, admin_gui_header_bg_color, admin_gui_header_txt_color;
	str admin_gui_footer_txt, admin_gui_footer_bg_color, admin_gui_footer_txt_color;
	str admin_gui_login_banner_title, admin_gui_login_banner_body;

	/* ---- Vitals ---- */
	bool vitals;
	str vitals_strategy, vitals_tsdb_address, vitals_tsdb_user, vitals_tsdb_password;
	str vitals_statsd_address, vitals_statsd_prefix;
	int64_t vitals_statsd_udp_packet_size, vitals_prometheus_scrape_interval;

	/* ---- Dev Portal ---- */
	bool portal;
	strs portal_gui_listen;
	str portal_gui_protocol, portal_gui_host;
	strs portal_cors_origins;
	bool portal_gui_use_subdomains;
	str portal_gui_ssl_cert, portal_gui_ssl_cert_key, portal_gui_access_log;
	str portal_gui_error_log;
	strs portal_api_listen;
	str portal_api_url, portal_api_ssl_cert, portal_api_ssl_cert_key;
	str portal_api_access_log, portal_api_error_log;
	bool portal_is_legacy;
	str portal_app_auth, portal_auth, portal_auth_password_complexity, portal_auth_conf;
	int64_t portal_auth_login_attempts;
	str portal_session_conf;
	bool portal_auto_approve;
	int64_t portal_token_exp;
	bool portal_email_verification;

	/* ---- Dev Portal e-mails ---- */
	bool portal_invite_email, portal_access_request_email, portal_approved_email;
	bool portal_reset_email, portal_reset_success_email, portal_application_status_email;
	bool portal_application_request_email;
	str portal_emails_from, portal_emails_reply_to;
	strs portal_smtp_admin_emails;

	/* ---- SMTP ---- */
	str admin_emails_from, admin_emails_reply_to;
	int64_t admin_invitation_expiry;
	bool smtp_mock;
	str smtp_host;
	int64_t smtp_port;
	bool smtp_starttls;
	str smtp_username, smtp_password;
	bool smtp_ssl;
	str smtp_auth_type, smtp_domain;
	int64_t smtp_timeout_connect, smtp_timeout_send, smtp_timeout_read;
	strs smtp_admin_emails;

	/* ---- Audit log ---- */
	bool audit_log;
	strs audit_log_ignore_methods, audit_log_ignore_paths, audit_log_ignore_tables;
	strs audit_log_payload_exclude;
	int64_t audit_log_record_ttl;
	str audit_log_signing_key;

	/* ---- Granular tracing ---- */
	bool tracing;
	str tracing_write_strategy, tracing_write_endpoint;
	int64_t tracing_time_threshold;
	strs tracing_types;
	str tracing_debug_header;
	bool generate_trace_details;

	/* ---- Route collision ---- */
	str route_validation_strategy, enforce_route_path_pattern;

	/* ---- Keyring ---- */
	bool keyring_enabled;
	str keyring_strategy, keyring_public_key, keyring_private_key;
	str keyring_recovery_public_key, keyring_blob_path, keyring_vault_host;
	str keyring_vault_mount, keyring_vault_path, keyring_vault_auth_method;
	str keyring_vault_token, keyring_vault_kube_role, keyring_vault_kube_api_token_file;

	/* ---- What is made of them ---- */

	enum database_kind database_kind;
	enum node_role role_kind;
	enum router_flavor router_kind;
	enum log_level log_level_kind;
	bool is_worker_consistency_strict;

	struct listeners proxy_listeners, stream_listeners, admin_listeners, status_listeners;
	struct listeners cluster_listeners, cluster_telemetry_listeners, debug_listeners;
	struct listeners admin_gui_listeners, portal_gui_listeners, portal_api_listeners;
	bool proxy_ssl_enabled, stream_proxy_ssl_enabled, admin_ssl_enabled, status_ssl_enabled;

	struct setting_certs ssl_certs, admin_ssl_certs, status_ssl_certs;
	struct setting_certs client_ssl_certs; /* none or one */
	struct setting_certs cluster_certs;    /* none or one */
	str cluster_ca_pem;
	strs trusted_ca_pems;          /* lua_ssl_trusted_certificate, each item as PEM text */
	strs trusted_ca_paths;         /* where each of them came from; unset: a value */
	struct setting_cert pg_client; /* pg_ssl_cert as it was when the settings were read */
	str pg_crl_pem;                /* pg_ssl_crl, the same */
	struct tls_tuning http_tls, stream_tls;
	unsigned lua_ssl_versions; /* TLS_1_2 | TLS_1_3 ... */

	struct http_tuning proxy_http, admin_http, status_http;
	struct stream_tuning stream;
	struct setting_cidrs trusted; /* trusted_ips and set_real_ip_from */
	str client_ip_header;         /* real_ip_header as it takes effect; "proxy_protocol" too */
	bool is_client_ip_recursive;
	unsigned header_tokens; /* enum kong_header; what the tokens stand for included */
	struct port_maps outside_ports;
	strs loaded_plugins, loaded_vaults; /* "bundled" written out */

	struct setting_log proxy_access, proxy_error, admin_access, admin_error;
	struct setting_log status_access, status_error, stream_access, stream_error;
	struct setting_pairs log_formats; /* name; "escape=x " and text, no quotes */

	int64_t mem_cache_bytes, lmdb_map_bytes;
	struct setting_zones zones; /* Kong's, and those of nginx_http_lua_shared_dict */
	int64_t pg_keepalive_ms;    /* pg_keepalive_timeout or its 60 s */
	int worker_processes;       /* nginx_worker_processes; auto: the processors we may use */
	int64_t worker_connections, worker_rlimit_nofile;
	int64_t worker_shutdown_timeout_ms; /* 0: a draining worker may take as long as it needs */
	bool is_daemon;
	str user, group; /* whom the worker runs as when started as root; unset: nobody */

	struct setting_pairs directives[SPACE_COUNT_]; /* by name; NONE and ignored ones left out */
	struct setting_pairs pluginserver_properties, vault_properties; /* full names */

	str conf_file; /* the kong.conf that was read, absolute; unset: none */
	strs notes; /* lines for the operator, told once at start: what has no effect yet or here */

	const struct property *properties; /* priv.h; by name */
	size_t n_properties;
};

/* ---- loading ---------------------------------------------------------------------- */

struct settings_sources {
	str file;                       /* -c; unset: the first of search that exists, or none */
	str text;                       /* instead of a file: what would be in it */
	const char *const *search;      /* up to NULL; NULL: /etc/kong/kong.conf, /etc/kong.conf */
	char *const *environ_;          /* up to NULL; NULL: no environment */
	struct setting_pairs overrides; /* of the command line */
	/* What a reload starts from: the running gateway's variables and command line count
	 * where the new sources say nothing. NULL: nothing is running. */
	const struct settings *running;
};

/* All errors at once, by err->next; *ret only on success. */
MUST_CHECK struct err *settings_load(struct arena *a, const struct settings_sources *src,
				     struct settings **ret);

/* What this build cannot serve, though it is well formed: NULL, or why `start`
 * must refuse. */
MUST_CHECK struct err *settings_servable(const struct settings *s);

/* .kong_env: all effective properties, as the worker will see them; mode 0600.
 * Reading it back gives equal settings, whatever the environment says. */
MUST_CHECK struct err *settings_write_env(const struct settings *s, const char *path);
MUST_CHECK struct err *settings_read_env(struct arena *a, const char *path, struct settings **ret);

/* Certificates that were made for listeners that had none: `prefix` is "", "admin_"
 * or "status_". Only before anybody shares the settings. */
void settings_give_certs(struct arena *a, struct settings *s, const char *prefix,
			 struct setting_certs certs);

/* The text of a property as it is effective (a reference resolved): unset when
 * it has none. Dynamic names too. */
str settings_get(const struct settings *s, str name);
/* The same, but a {vault://...} reference is looked up again, now: secrets rotate. */
MUST_CHECK struct err *settings_get_fresh(struct arena *a, const struct settings *s, str name,
					  str *ret);
/* True when a file, a variable or the command line set it. */
bool settings_is_set(const struct settings *s, str name);

/* "configuration" of GET /: Kong's names and shapes, secrets as ******. */
struct value *settings_value(struct arena *a, const struct settings *s);

/* A path below the prefix: "pids/nginx.pid". */
str settings_path(struct arena *a, const struct settings *s, const char *below);

/* Without "." and ".." and from the root on; relative ones begin where we are. */
str path_absolute(struct arena *a, str path);

/* What TLS to PostgreSQL needs, read from its files now (settings/pg_files.c). */
struct pg_files {
	struct setting_cert client; /* unset: no client certificate */
	str crl;                    /* PEM; unset: none */
	str trusted;                /* PEM; unset: nothing is verified */
};
MUST_CHECK struct err *settings_read_pg_files(struct arena *a, const struct settings *s,
					      struct pg_files *ret);

/* The port as clients know it: port_maps. */
uint16_t settings_outside_port(const struct settings *s, uint16_t port);

/* How names are resolved. */
struct dns_options;
void settings_dns_options(const struct settings *s, struct dns_options *ret);

/* ---- pieces others need too ------------------------------------------------------- */

/* "8k", "10m", "1g", "512": bytes. */
bool size_parse(str text, int64_t *ret);
/* nginx's times: "1d", "1h 30m", "500ms", "60" (seconds): milliseconds. */
bool time_parse(str text, int64_t *ret_ms);

bool is_vault_reference(str text); /* {vault://...} */

/* What a reference begins with, and its variables: a vault whose secrets are in the environment. */
struct env_vault {
	str name, prefix; /* prefix: may be unset */
};
/* Looks a {vault://VAULT/NAME[/KEY][?prefix=P]} reference to one of these up in an
 * environment; the error is Kong's text. */
MUST_CHECK struct err *vault_reference_resolve(struct arena *a, str reference,
					       char *const *environ_,
					       const struct env_vault *vaults, size_t n_vaults,
					       str *ret);

/* ---- what the tables print -------------------------------------------------------- */

struct buf;
void settings_print_sample(struct buf *out);    /* a commented kong.conf */
void settings_print_reference(struct buf *out); /* Markdown */
