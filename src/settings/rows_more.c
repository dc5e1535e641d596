/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about metrics over time, detailed traces, workspaces, encryption at rest. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field vitals_rows[] = {
	F_BOOL(T, vitals,                           .def = J(true), .later = LATER_VITALS, .help = "Collect and show Vitals."),
	F_STR(T, vitals_strategy,                   .def = J("database"), .one_of = J(["database", "prometheus", "influxdb"]), .later = LATER_VITALS, .help = "Where Vitals are kept."),
	F_STR(T, vitals_tsdb_address,               .later = LATER_VITALS, .help = "Address of that server, host:port."),
	F_STR(T, vitals_tsdb_user,                  .later = LATER_VITALS, .help = "Its user."),
	F_STR(T, vitals_tsdb_password,              .is_secret = true, .later = LATER_VITALS, .help = "Its password."),
	F_STR(T, vitals_statsd_address,             .later = LATER_VITALS, .help = "StatsD exporter of the prometheus strategy, host:port, tcp behind it for TCP."),
	F_STR(T, vitals_statsd_prefix,              .def = J("kong"), .later = LATER_VITALS, .help = "Prefix of the metrics."),
	F_INT(T, vitals_statsd_udp_packet_size,     .def = J(1024), .later = LATER_VITALS, .help = "Bytes of a datagram."),
	F_INT(T, vitals_prometheus_scrape_interval, .def = J(5), .unit = "s", .later = LATER_VITALS, .help = "Seconds between two scrapes."),
	F_END
};

static const struct field granular_tracing_rows[] = {
	F_BOOL(T, tracing,                .def = J(false), .later = LATER_GRANULAR_TRACING, .help = "Detailed traces of requests."),
	F_STR(T, tracing_write_strategy,  .def = J("file"), .one_of = J(["file", "file_raw", "http", "tcp", "tls", "udp"]), .later = LATER_GRANULAR_TRACING, .help = "Where traces go."),
	F_STR(T, tracing_write_endpoint,  .later = LATER_GRANULAR_TRACING, .help = "Its address: path, host:port or URL."),
	F_INT(T, tracing_time_threshold,  .def = J(0), .unit = "us", .later = LATER_GRANULAR_TRACING, .help = "Microseconds a step must take to be written."),
	F_STRS(T, tracing_types,          .def = J(["all"]), .later = LATER_GRANULAR_TRACING, .help = "Steps that are traced."),
	F_STR(T, tracing_debug_header,    .later = LATER_GRANULAR_TRACING, .help = "Trace only requests with this header."),
	F_BOOL(T, generate_trace_details, .def = J(false), .later = LATER_GRANULAR_TRACING, .help = "Write details such as SQL too."),
	F_END
};

static const struct field route_collision_rows[] = {
	F_STR(T, route_validation_strategy,  .def = J("smart"), .one_of = J(["smart", "path", "off"]), .later = LATER_WORKSPACES, .help = "How routes of workspaces are kept from colliding."),
	F_STR(T, enforce_route_path_pattern, .later = LATER_WORKSPACES, .help = "Pattern that paths must follow, $(workspace) for the workspace's name."),
	F_END
};

static const struct field keyring_rows[] = {
	F_BOOL(T, keyring_enabled,                  .def = J(false), .later = LATER_KEYRING, .help = "Encrypt secrets in the database."),
	F_STR(T, keyring_strategy,                  .def = J("cluster"), .one_of = J(["cluster", "vault"]), .later = LATER_KEYRING, .help = "Where the keys are: cluster or vault."),
	F_STR(T, keyring_public_key,                .later = LATER_KEYRING, .help = "RSA key for exports."),
	F_STR(T, keyring_private_key,               .is_secret = true, .later = LATER_KEYRING, .help = "RSA key for imports."),
	F_STR(T, keyring_recovery_public_key,       .later = LATER_KEYRING, .help = "RSA key that can recover the keyring."),
	F_STR(T, keyring_blob_path,                 .later = LATER_KEYRING, .help = "File the first keyring is written to."),
	F_STR(T, keyring_vault_host,                .later = LATER_KEYRING, .help = "Address of HashiCorp Vault."),
	F_STR(T, keyring_vault_mount,               .later = LATER_KEYRING, .help = "Mount in it."),
	F_STR(T, keyring_vault_path,                .later = LATER_KEYRING, .help = "Path in it."),
	F_STR(T, keyring_vault_auth_method,         .def = J("token"), .one_of = J(["token", "kubernetes"]), .later = LATER_KEYRING, .help = "How to log in to it."),
	F_STR(T, keyring_vault_token,               .is_secret = true, .later = LATER_KEYRING, .help = "Token for it."),
	F_STR(T, keyring_vault_kube_role,           .def = J("default"), .later = LATER_KEYRING, .help = "Kubernetes role for it."),
	F_STR(T, keyring_vault_kube_api_token_file, .def = J("/run/secrets/kubernetes.io/serviceaccount/token"), .later = LATER_KEYRING, .help = "File of the service account's token."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_vitals = {
	.heading = "Vitals",
	.rows = vitals_rows,
	.is_enterprise = true,
};
const struct settings_group settings_granular_tracing = {
	.heading = "Granular tracing",
	.rows = granular_tracing_rows,
	.is_enterprise = true,
};
const struct settings_group settings_route_collision = {
	.heading = "Route collision",
	.rows = route_collision_rows,
	.is_enterprise = true,
};
const struct settings_group settings_keyring = {
	.heading = "Keyring",
	.rows = keyring_rows,
	.is_enterprise = true,
};
