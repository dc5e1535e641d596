/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about the node itself: prefix, logs, plugins, tracing. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field general_rows[] = {
	F_STR(T, prefix,                              .def = J("/usr/local/kong/"), .help = "Working directory: pids, logs, generated certificates, sockets and .kong_env are below it; one for each running node."),
	F_STR(T, log_level,                           .def = J("notice"), .one_of = J(["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"]), .help = "Verbosity of every error log."),
	F_STR(T, proxy_access_log,                    .def = J("logs/access.log"), .help = "Access log of the proxy, or off; relative paths are below the prefix; a second word names a log_format."),
	F_STR(T, proxy_error_log,                     .def = J("logs/error.log"), .help = "Error log of the proxy and of the gateway itself."),
	F_STR(T, proxy_stream_access_log,             .def = J("logs/access.log basic"), .help = "Access log of TCP, TLS and UDP proxying, or off; a second word names a format."),
	F_STR(T, proxy_stream_error_log,              .def = J("logs/error.log"), .help = "Error log of TCP, TLS and UDP proxying; its lines are in proxy_error_log."),
	F_STR(T, admin_access_log,                    .def = J("logs/admin_access.log"), .help = "Access log of the Admin API, or off."),
	F_STR(T, admin_error_log,                     .def = J("logs/error.log"), .help = "Error log of the Admin API."),
	F_STR(T, status_access_log,                   .def = J("off"), .help = "Access log of the Status API, or off."),
	F_STR(T, status_error_log,                    .def = J("logs/status_error.log"), .help = "Error log of the Status API."),
	F_STRS(T, vaults,                             .def = J(["bundled"]), .help = "Vault back-ends to load: bundled, off, or names."),
	F_STRS(T, opentelemetry_tracing,              .def = J(["off"]), .alias_of = "tracing_instrumentations", .help = "Old name of tracing_instrumentations."),
	F_STRS(T, tracing_instrumentations,           .def = J(["off"]), .help = "Which spans the core makes: off, all, request, db_query, dns_query, router, http_client, balancer, plugin_rewrite, plugin_access, plugin_header_filter; off stands alone."),
	F_NUM(T, opentelemetry_tracing_sampling_rate, .def = J(1.0), .alias_of = "tracing_sampling_rate", .help = "Old name of tracing_sampling_rate."),
	F_NUM(T, tracing_sampling_rate,               .def = J(1.0), .help = "Share of requests that are traced, 0 to 1."),
	F_STRS(T, plugins,                            .def = J(["bundled"]), .help = "Plugins the node may use: bundled, off, or names."),
	F_STRS(T, plugin_path,                        .def = J(["/usr/local/lib/gibbon/plugins","/usr/lib/gibbon/plugins"]), .help = "Folders in which a plugin that is named and not bundled is looked for, as NAME.so. Gibbon's own."),
	F_STRS(T, pluginserver_names,                 .later = LATER_PLUGINSERVER, .help = "Names of plugin servers; each has pluginserver_NAME_socket, pluginserver_NAME_start_cmd and pluginserver_NAME_query_cmd."),
	F_STRS(T, port_maps,                          .help = "What clients use and what we listen on, OUTSIDE:INSIDE (80:8000); decides X-Forwarded-Port and routing by port."),
	F_BOOL(T, anonymous_reports,                  .def = J(true), .help = "Accepted for compatibility; Gibbon reports nothing to anybody."),
	F_STR(T, proxy_server,                        .is_secret = true, .later = LATER_FORWARD_PROXY, .help = "Forward proxy of components that opt in: http(s)://[user:password@]host[:port]."),
	F_BOOL(T, proxy_server_ssl_verify,            .def = J(true), .later = LATER_FORWARD_PROXY, .help = "Verify the certificate of an https proxy_server."),
	F_BOOL(T, kic,                                .def = J(false), .help = "Accepted for compatibility: the node is run by the Kubernetes ingress controller."),
	F_BOOL(T, legacy_worker_events,               .def = J(false), .help = "Accepted for compatibility; there is one worker and nothing to choose."),
	F_END
};

static const struct field general_more_rows[] = {
	F_STRS(T, debug_listen,                        .def = J(["off"]), .later = LATER_DEBUG, .help = "Addresses of the Debug API."),
	F_STR(T, debug_access_log,                     .def = J("off"), .later = LATER_DEBUG, .help = "Access log of the Debug API, or off."),
	F_STR(T, debug_error_log,                      .def = J("logs/debug_error.log"), .later = LATER_DEBUG, .help = "Error log of the Debug API."),
	F_STRS(T, debug_ssl_cert,                      .later = LATER_DEBUG, .help = "Certificates of debug_listen."),
	F_STRS(T, debug_ssl_cert_key,                  .later = LATER_DEBUG, .help = "Keys of debug_ssl_cert."),
	F_STRS(T, cluster_allowed_common_names,        .later = LATER_HYBRID, .help = "Common names that data planes may have, with pki_check_cn."),
	F_STRS(T, cluster_telemetry_listen,            .def = J(["0.0.0.0:8006"]), .later = LATER_HYBRID, .help = "Where the control plane takes telemetry of data planes."),
	F_STR(T, cluster_telemetry_endpoint,           .later = LATER_HYBRID, .help = "Data plane: where telemetry goes, host:port."),
	F_STR(T, cluster_telemetry_server_name,        .later = LATER_HYBRID, .help = "Data plane: name of that server (SNI)."),
	F_BOOL(T, cluster_fallback_config_import,      .def = J(false), .later = LATER_HYBRID, .help = "Data plane: take the configuration from the storage when the control plane is away at start."),
	F_BOOL(T, cluster_fallback_config_export,      .def = J(false), .later = LATER_HYBRID, .help = "Write the configuration to the storage."),
	F_STR(T, cluster_fallback_config_storage,      .later = LATER_HYBRID, .help = "The storage: s3://bucket/path or gcs://bucket/path."),
	F_INT(T, cluster_fallback_config_export_delay, .def = J(60), .unit = "s", .later = LATER_HYBRID, .help = "Seconds between two writes to the storage."),
	F_STR(T, declarative_config_encryption_mode,   .def = J("off"), .one_of = J(["off", "aes-256-gcm", "chacha20-poly1305"]), .later = LATER_KEYRING, .help = "Encryption of the kept configuration."),
	F_STR(T, proxy_url,                            .later = LATER_MANAGER, .help = "Public address of the proxy, shown to people."),
	F_STR(T, admin_api_uri,                        .later = LATER_MANAGER, .help = "Address of the Admin API as the Manager in the browser reaches it."),
	F_INT(T, max_queued_batches,                   .def = J(100), .later = LATER_QUEUES, .help = "Batches of a plugin's queue; the oldest is dropped beyond."),
	F_BOOL(T, fips,                                .def = J(false), .later = LATER_FIPS, .help = "Only algorithms of FIPS 140."),
	F_BOOL(T, konnect_mode,                        .def = J(false), .later = LATER_KONNECT, .help = "The data plane belongs to Konnect."),
	F_NUM(T, analytics_flush_interval,             .def = J(1), .unit = "s", .later = LATER_KONNECT, .help = "Seconds between two flushes of analytics."),
	F_INT(T, analytics_buffer_size_limit,          .def = J(100000), .later = LATER_KONNECT, .help = "Entries in the buffer of analytics."),
	F_BOOL(T, event_hooks_enabled,                 .def = J(true), .later = LATER_EVENT_HOOKS, .help = "Event hooks may be used."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_general = {
	.heading = "General",
	.rows = general_rows,
};
const struct settings_group settings_general_more = {
	.heading = "General, more",
	.rows = general_more_rows,
	.is_enterprise = true,
};
