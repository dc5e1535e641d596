/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of kong.conf about where the configuration is kept. */
#include "settings/priv.h"

/* clang-format off */
#define T struct settings

static const struct field datastore_rows[] = {
	F_STR(T, database,                           .one_of = J(["postgres", "sqlite", "off"]), .help = "Where the configuration is kept: postgres, sqlite, or off; unset: postgres when any pg_ property is set, else sqlite."),
	F_STR(T, sqlite_path,                        .def = J("gibbon.db"), .help = "File of database = sqlite, relative to the prefix. Gibbon's own."),
	F_STR(T, pg_host,                            .def = J("127.0.0.1"), .help = "PostgreSQL server."),
	F_INT(T, pg_port,                            .def = J(5432), .help = "Its port."),
	F_INT(T, pg_timeout,                         .def = J(5000), .unit = "ms", .help = "Milliseconds for connecting, reading and writing."),
	F_STR(T, pg_user,                            .def = J("kong"), .help = "User."),
	F_STR(T, pg_password,                        .is_secret = true, .help = "Password."),
	F_STR(T, pg_database,                        .def = J("kong"), .help = "Database."),
	F_STR(T, pg_schema,                          .help = "Schema; unset: the server's current one."),
	F_BOOL(T, pg_ssl,                            .def = J(false), .help = "Ask the server for TLS."),
	F_BOOL(T, pg_ssl_verify,                     .def = J(false), .help = "Verify the server's certificate against lua_ssl_trusted_certificate."),
	F_BOOL(T, pg_ssl_required,                   .def = J(false), .help = "Refuse to go on in clear when the server has no TLS."),
	F_STR(T, pg_ssl_version,                     .def = J("tlsv1_2"), .one_of = J(["tlsv1_1", "tlsv1_2", "tlsv1_3", "any"]), .help = "TLS version of the link: tlsv1_1, tlsv1_2, tlsv1_3, or any."),
	F_STR(T, pg_ssl_cert,                        .help = "Client certificate of the link, absolute path of PEM; switches mutual TLS on."),
	F_STR(T, pg_ssl_cert_key,                    .help = "Its key, absolute path of PEM."),
	F_BOOL(T, pg_ssl_verify_host,                .def = J(false), .help = "Verify also that the server's certificate names pg_host; implies pg_ssl_verify. Gibbon's own."),
	F_STR(T, pg_ssl_crl,                         .help = "Revoked certificates that pg_ssl_verify refuses, absolute path of PEM, one list for each CA of the chain. Gibbon's own."),
	F_INT(T, pg_max_concurrent_queries,          .def = J(0), .help = "Queries at a time; 0: no limit."),
	F_INT(T, pg_semaphore_timeout,               .def = J(60000), .unit = "ms", .help = "Milliseconds a query may wait for its turn."),
	F_INT(T, pg_keepalive_timeout,               .unit = "ms", .help = "Milliseconds an idle connection is kept; unset: 60000."),
	F_INT(T, pg_pool_size,                       .help = "Connections kept; unset: lua_socket_pool_size."),
	F_INT(T, pg_backlog,                         .help = "When set: no more connections than pg_pool_size, and this many may wait for one."),
	F_STR(T, pg_ro_host,                         .help = "Read replica; reading goes there when set."),
	F_INT(T, pg_ro_port,                         .inherits = "pg_port", .help = "The same of the replica as pg_port; unset: that."),
	F_INT(T, pg_ro_timeout,                      .inherits = "pg_timeout", .unit = "ms", .help = "The same of the replica as pg_timeout; unset: that."),
	F_STR(T, pg_ro_user,                         .inherits = "pg_user", .help = "The same of the replica as pg_user; unset: that."),
	F_STR(T, pg_ro_password,                     .inherits = "pg_password", .is_secret = true, .help = "The same of the replica as pg_password; unset: that."),
	F_STR(T, pg_ro_database,                     .inherits = "pg_database", .help = "The same of the replica as pg_database; unset: that."),
	F_STR(T, pg_ro_schema,                       .inherits = "pg_schema", .help = "The same of the replica as pg_schema; unset: that."),
	F_BOOL(T, pg_ro_ssl,                         .inherits = "pg_ssl", .help = "The same of the replica as pg_ssl; unset: that."),
	F_BOOL(T, pg_ro_ssl_verify,                  .inherits = "pg_ssl_verify", .help = "The same of the replica as pg_ssl_verify; unset: that."),
	F_BOOL(T, pg_ro_ssl_required,                .inherits = "pg_ssl_required", .help = "The same of the replica as pg_ssl_required; unset: that."),
	F_STR(T, pg_ro_ssl_version,                  .one_of = J(["tlsv1_1", "tlsv1_2", "tlsv1_3", "any"]), .inherits = "pg_ssl_version", .help = "The same of the replica as pg_ssl_version; unset: that."),
	F_INT(T, pg_ro_max_concurrent_queries,       .inherits = "pg_max_concurrent_queries", .help = "The same of the replica as pg_max_concurrent_queries; unset: that."),
	F_INT(T, pg_ro_semaphore_timeout,            .inherits = "pg_semaphore_timeout", .unit = "ms", .help = "The same of the replica as pg_semaphore_timeout; unset: that."),
	F_INT(T, pg_ro_keepalive_timeout,            .inherits = "pg_keepalive_timeout", .unit = "ms", .help = "The same of the replica as pg_keepalive_timeout; unset: that."),
	F_INT(T, pg_ro_pool_size,                    .inherits = "pg_pool_size", .help = "The same of the replica as pg_pool_size; unset: that."),
	F_INT(T, pg_ro_backlog,                      .inherits = "pg_backlog", .help = "The same of the replica as pg_backlog; unset: that."),
	F_STRS(T, cassandra_contact_points,          .def = J(["127.0.0.1"]), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_INT(T, cassandra_port,                     .def = J(9042), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, cassandra_keyspace,                 .def = J("kong"), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_INT(T, cassandra_timeout,                  .def = J(5000), .unit = "ms", .help = "Accepted for compatibility; Cassandra is not supported."),
	F_BOOL(T, cassandra_ssl,                     .def = J(false), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_BOOL(T, cassandra_ssl_verify,              .def = J(false), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, cassandra_username,                 .def = J("kong"), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, cassandra_password,                 .is_secret = true, .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, cassandra_write_consistency,        .def = J("ONE"), .one_of = J(["ALL", "EACH_QUORUM", "QUORUM", "LOCAL_QUORUM", "ONE", "TWO", "THREE", "LOCAL_ONE"]), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, cassandra_read_consistency,         .def = J("ONE"), .one_of = J(["ALL", "EACH_QUORUM", "QUORUM", "LOCAL_QUORUM", "ONE", "TWO", "THREE", "LOCAL_ONE"]), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, cassandra_lb_policy,                .def = J("RequestRoundRobin"), .one_of = J(["RoundRobin", "RequestRoundRobin", "DCAwareRoundRobin", "RequestDCAwareRoundRobin"]), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, cassandra_local_datacenter,         .help = "Accepted for compatibility; Cassandra is not supported."),
	F_NUM(T, cassandra_refresh_frequency,        .def = J(60), .unit = "s", .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, cassandra_repl_strategy,            .def = J("SimpleStrategy"), .one_of = J(["SimpleStrategy", "NetworkTopologyStrategy"]), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_INT(T, cassandra_repl_factor,              .def = J(1), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STRS(T, cassandra_data_centers,            .def = J(["dc1:2", "dc2:3"]), .help = "Accepted for compatibility; Cassandra is not supported."),
	F_INT(T, cassandra_schema_consensus_timeout, .def = J(10000), .unit = "ms", .help = "Accepted for compatibility; Cassandra is not supported."),
	F_STR(T, declarative_config,                 .help = "File of the configuration without a database: YAML or JSON."),
	F_STR(T, declarative_config_string,          .help = "The same as a value."),
	F_STR(T, lmdb_environment_path,              .def = J("dbless.lmdb"), .help = "Where the last configuration posted to /config is kept, relative to the prefix."),
	F_STR(T, lmdb_map_size,                      .def = J("128m"), .unit = "size", .help = "Ceiling of that store; a larger configuration is answered with 413."),
	F_END
};

static const struct field datastore_cache_rows[] = {
	F_NUM(T, db_update_frequency,       .def = J(5), .unit = "s", .help = "Seconds between two looks for changes in the database; on a control plane also between two pushes."),
	F_NUM(T, db_update_propagation,     .def = J(0), .unit = "s", .help = "Seconds a change may need to reach every replica of the database."),
	F_NUM(T, db_cache_ttl,              .def = J(0), .unit = "s", .help = "Seconds an entity is kept in the cache; 0: for ever."),
	F_NUM(T, db_cache_neg_ttl,          .unit = "s", .help = "Seconds a missing entity is remembered; unset: as db_cache_ttl."),
	F_NUM(T, db_resurrect_ttl,          .def = J(30), .unit = "s", .help = "Seconds a stale entity serves on while the database is away."),
	F_STRS(T, db_cache_warmup_entities, .def = J(["services"]), .help = "Entities read at start."),
	F_END
};

#undef T
/* clang-format on */

const struct settings_group settings_datastore = {
	.heading = "Datastore",
	.rows = datastore_rows,
};
const struct settings_group settings_datastore_cache = {
	.heading = "Datastore cache",
	.rows = datastore_cache_rows,
};
