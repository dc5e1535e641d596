/* SPDX-License-Identifier: Apache-2.0 */
/* The tables, as a database of Kong 3.2.2 has them: columns in their order, constraints
 * and indexes with their names.  Parents stand before those that refer to them.
 *
 * Both stores are made from these rows (sql/ddl.c); what a database keeps and no
 * entity uses is here too, so that either program can run on the other's database. */
#include "store/sql/catalogue.h"

/* clang-format off */
#define NOW_S  .def = "(CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'::text)"
#define NOW_MS .def = "(CURRENT_TIMESTAMP(3) AT TIME ZONE 'UTC'::text)"
#define MUST   .is_required = true
#define LIST(...) (const char *const[]){ __VA_ARGS__, NULL }

static const struct sql_column workspaces[] = {
	{ "id",           SQL_UUID, MUST },
	{ "name",         SQL_TEXT },
	{ "comment",      SQL_TEXT },
	{ "created_at",   SQL_TIME, NOW_S },
	{ "meta",         SQL_JSON },
	{ "config",       SQL_JSON },
	{ NULL }
};

static const struct sql_column consumers[] = {
	{ "id",           SQL_UUID, MUST },
	{ "created_at",   SQL_TIME, NOW_S },
	{ "username",     SQL_TEXT },
	{ "custom_id",    SQL_TEXT },
	{ "tags",         SQL_TEXTS },
	{ "ws_id",        SQL_UUID },
	{ NULL }
};

static const struct sql_column acls[] = {
	{ "id",            SQL_UUID, MUST },
	{ "created_at",    SQL_TIME, NOW_S },
	{ "consumer_id",   SQL_UUID },
	{ "group",         SQL_TEXT },
	{ "cache_key",     SQL_TEXT },
	{ "tags",          SQL_TEXTS },
	{ "ws_id",         SQL_UUID },
	{ NULL }
};

static const struct sql_column acme_storage[] = {
	{ "id",           SQL_UUID, MUST },
	{ "key",          SQL_TEXT },
	{ "value",        SQL_TEXT },
	{ "created_at",   SQL_TIME },
	{ "ttl",          SQL_TIME },
	{ NULL }
};

static const struct sql_column basicauth_credentials[] = {
	{ "id",            SQL_UUID, MUST },
	{ "created_at",    SQL_TIME, NOW_S },
	{ "consumer_id",   SQL_UUID },
	{ "username",      SQL_TEXT },
	{ "password",      SQL_TEXT },
	{ "tags",          SQL_TEXTS },
	{ "ws_id",         SQL_UUID },
	{ NULL }
};

static const struct sql_column ca_certificates[] = {
	{ "id",            SQL_UUID, MUST },
	{ "created_at",    SQL_TIME, NOW_S },
	{ "cert",          SQL_TEXT, MUST },
	{ "tags",          SQL_TEXTS },
	{ "cert_digest",   SQL_TEXT, MUST },
	{ NULL }
};

static const struct sql_column certificates[] = {
	{ "id",           SQL_UUID, MUST },
	{ "created_at",   SQL_TIME, NOW_S },
	{ "cert",         SQL_TEXT },
	{ "key",          SQL_TEXT },
	{ "tags",         SQL_TEXTS },
	{ "ws_id",        SQL_UUID },
	{ "cert_alt",     SQL_TEXT },
	{ "key_alt",      SQL_TEXT },
	{ NULL }
};

static const struct sql_column cluster_events[] = {
	{ "id",          SQL_UUID, MUST },
	{ "node_id",     SQL_UUID, MUST },
	{ "at",          SQL_TIME, MUST },
	{ "nbf",         SQL_TIME },
	{ "expire_at",   SQL_TIME, MUST },
	{ "channel",     SQL_TEXT },
	{ "data",        SQL_TEXT },
	{ NULL }
};

static const struct sql_column clustering_data_planes[] = {
	{ "id",            SQL_UUID, MUST },
	{ "hostname",      SQL_TEXT, MUST },
	{ "ip",            SQL_TEXT, MUST },
	{ "last_seen",     SQL_TIME, NOW_S },
	{ "config_hash",   SQL_TEXT, MUST },
	{ "ttl",           SQL_TIME },
	{ "version",       SQL_TEXT },
	{ "sync_status",   SQL_TEXT, MUST, .def = "'unknown'::text" },
	{ NULL }
};

static const struct sql_column hmacauth_credentials[] = {
	{ "id",            SQL_UUID, MUST },
	{ "created_at",    SQL_TIME, NOW_S },
	{ "consumer_id",   SQL_UUID },
	{ "username",      SQL_TEXT },
	{ "secret",        SQL_TEXT },
	{ "tags",          SQL_TEXTS },
	{ "ws_id",         SQL_UUID },
	{ NULL }
};

static const struct sql_column jwt_secrets[] = {
	{ "id",               SQL_UUID, MUST },
	{ "created_at",       SQL_TIME, NOW_S },
	{ "consumer_id",      SQL_UUID },
	{ "key",              SQL_TEXT },
	{ "secret",           SQL_TEXT },
	{ "algorithm",        SQL_TEXT },
	{ "rsa_public_key",   SQL_TEXT },
	{ "tags",             SQL_TEXTS },
	{ "ws_id",            SQL_UUID },
	{ NULL }
};

static const struct sql_column key_sets[] = {
	{ "id",           SQL_UUID, MUST },
	{ "name",         SQL_TEXT },
	{ "tags",         SQL_TEXTS },
	{ "ws_id",        SQL_UUID },
	{ "created_at",   SQL_TIME },
	{ "updated_at",   SQL_TIME },
	{ NULL }
};

static const struct sql_column keyauth_credentials[] = {
	{ "id",            SQL_UUID, MUST },
	{ "created_at",    SQL_TIME, NOW_S },
	{ "consumer_id",   SQL_UUID },
	{ "key",           SQL_TEXT },
	{ "tags",          SQL_TEXTS },
	{ "ttl",           SQL_TIME },
	{ "ws_id",         SQL_UUID },
	{ NULL }
};

static const struct sql_column keys[] = {
	{ "id",           SQL_UUID, MUST },
	{ "set_id",       SQL_UUID },
	{ "name",         SQL_TEXT },
	{ "cache_key",    SQL_TEXT },
	{ "ws_id",        SQL_UUID },
	{ "kid",          SQL_TEXT },
	{ "jwk",          SQL_TEXT },
	{ "pem",          SQL_JSON },
	{ "tags",         SQL_TEXTS },
	{ "created_at",   SQL_TIME },
	{ "updated_at",   SQL_TIME },
	{ NULL }
};

static const struct sql_column locks[] = {
	{ "key",     SQL_TEXT, MUST },
	{ "owner",   SQL_TEXT },
	{ "ttl",     SQL_TIME },
	{ NULL }
};

static const struct sql_column oauth2_credentials[] = {
	{ "id",              SQL_UUID, MUST },
	{ "created_at",      SQL_TIME, NOW_S },
	{ "name",            SQL_TEXT },
	{ "consumer_id",     SQL_UUID },
	{ "client_id",       SQL_TEXT },
	{ "client_secret",   SQL_TEXT },
	{ "redirect_uris",   SQL_TEXTS },
	{ "tags",            SQL_TEXTS },
	{ "client_type",     SQL_TEXT },
	{ "hash_secret",     SQL_BOOL },
	{ "ws_id",           SQL_UUID },
	{ NULL }
};

static const struct sql_column services[] = {
	{ "id",                      SQL_UUID, MUST },
	{ "created_at",              SQL_TIME },
	{ "updated_at",              SQL_TIME },
	{ "name",                    SQL_TEXT },
	{ "retries",                 SQL_BIGINT },
	{ "protocol",                SQL_TEXT },
	{ "host",                    SQL_TEXT },
	{ "port",                    SQL_BIGINT },
	{ "path",                    SQL_TEXT },
	{ "connect_timeout",         SQL_BIGINT },
	{ "write_timeout",           SQL_BIGINT },
	{ "read_timeout",            SQL_BIGINT },
	{ "tags",                    SQL_TEXTS },
	{ "client_certificate_id",   SQL_UUID },
	{ "tls_verify",              SQL_BOOL },
	{ "tls_verify_depth",        SQL_SMALLINT },
	{ "ca_certificates",         SQL_UUIDS },
	{ "ws_id",                   SQL_UUID },
	{ "enabled",                 SQL_BOOL, .def = "true" },
	{ NULL }
};

static const struct sql_column oauth2_authorization_codes[] = {
	{ "id",                     SQL_UUID, MUST },
	{ "created_at",             SQL_TIME, NOW_S },
	{ "credential_id",          SQL_UUID },
	{ "service_id",             SQL_UUID },
	{ "code",                   SQL_TEXT },
	{ "authenticated_userid",   SQL_TEXT },
	{ "scope",                  SQL_TEXT },
	{ "ttl",                    SQL_TIME },
	{ "challenge",              SQL_TEXT },
	{ "challenge_method",       SQL_TEXT },
	{ "ws_id",                  SQL_UUID },
	{ NULL }
};

static const struct sql_column oauth2_tokens[] = {
	{ "id",                     SQL_UUID, MUST },
	{ "created_at",             SQL_TIME, NOW_S },
	{ "credential_id",          SQL_UUID },
	{ "service_id",             SQL_UUID },
	{ "access_token",           SQL_TEXT },
	{ "refresh_token",          SQL_TEXT },
	{ "token_type",             SQL_TEXT },
	{ "expires_in",             SQL_INT },
	{ "authenticated_userid",   SQL_TEXT },
	{ "scope",                  SQL_TEXT },
	{ "ttl",                    SQL_TIME },
	{ "ws_id",                  SQL_UUID },
	{ NULL }
};

static const struct sql_column parameters[] = {
	{ "key",          SQL_TEXT, MUST },
	{ "value",        SQL_TEXT, MUST },
	{ "created_at",   SQL_TIME },
	{ NULL }
};

static const struct sql_column routes[] = {
	{ "id",                           SQL_UUID, MUST },
	{ "created_at",                   SQL_TIME },
	{ "updated_at",                   SQL_TIME },
	{ "name",                         SQL_TEXT },
	{ "service_id",                   SQL_UUID },
	{ "protocols",                    SQL_TEXTS },
	{ "methods",                      SQL_TEXTS },
	{ "hosts",                        SQL_TEXTS },
	{ "paths",                        SQL_TEXTS },
	{ "snis",                         SQL_TEXTS },
	{ "sources",                      SQL_JSONS },
	{ "destinations",                 SQL_JSONS },
	{ "regex_priority",               SQL_BIGINT },
	{ "strip_path",                   SQL_BOOL },
	{ "preserve_host",                SQL_BOOL },
	{ "tags",                         SQL_TEXTS },
	{ "https_redirect_status_code",   SQL_INT },
	{ "headers",                      SQL_JSON },
	{ "path_handling",                SQL_TEXT, .def = "'v0'::text" },
	{ "ws_id",                        SQL_UUID },
	{ "request_buffering",            SQL_BOOL },
	{ "response_buffering",           SQL_BOOL },
	{ "expression",                   SQL_TEXT },
	{ "priority",                     SQL_BIGINT },
	{ NULL }
};

static const struct sql_column plugins[] = {
	{ "id",              SQL_UUID, MUST },
	{ "created_at",      SQL_TIME, NOW_S },
	{ "name",            SQL_TEXT, MUST },
	{ "consumer_id",     SQL_UUID },
	{ "service_id",      SQL_UUID },
	{ "route_id",        SQL_UUID },
	{ "config",          SQL_JSON, MUST },
	{ "enabled",         SQL_BOOL, MUST },
	{ "cache_key",       SQL_TEXT },
	{ "protocols",       SQL_TEXTS },
	{ "tags",            SQL_TEXTS },
	{ "ws_id",           SQL_UUID },
	{ "instance_name",   SQL_TEXT },
	{ NULL }
};

static const struct sql_column ratelimiting_metrics[] = {
	{ "identifier",    SQL_TEXT, MUST },
	{ "period",        SQL_TEXT, MUST },
	{ "period_date",   SQL_TIME, MUST },
	{ "service_id",    SQL_UUID, MUST, .def = "'00000000-0000-0000-0000-000000000000'::uuid" },
	{ "route_id",      SQL_UUID, MUST, .def = "'00000000-0000-0000-0000-000000000000'::uuid" },
	{ "value",         SQL_INT },
	{ "ttl",           SQL_TIME },
	{ NULL }
};

static const struct sql_column response_ratelimiting_metrics[] = {
	{ "identifier",    SQL_TEXT, MUST },
	{ "period",        SQL_TEXT, MUST },
	{ "period_date",   SQL_TIME, MUST },
	{ "service_id",    SQL_UUID, MUST, .def = "'00000000-0000-0000-0000-000000000000'::uuid" },
	{ "route_id",      SQL_UUID, MUST, .def = "'00000000-0000-0000-0000-000000000000'::uuid" },
	{ "value",         SQL_INT },
	{ NULL }
};

static const struct sql_column schema_meta[] = {
	{ "key",             SQL_TEXT, MUST },
	{ "subsystem",       SQL_TEXT, MUST },
	{ "last_executed",   SQL_TEXT },
	{ "executed",        SQL_TEXTS },
	{ "pending",         SQL_TEXTS },
	{ NULL }
};

static const struct sql_column sessions[] = {
	{ "id",           SQL_UUID, MUST },
	{ "session_id",   SQL_TEXT },
	{ "expires",      SQL_INT },
	{ "data",         SQL_TEXT },
	{ "created_at",   SQL_TIME },
	{ "ttl",          SQL_TIME },
	{ NULL }
};

static const struct sql_column sm_vaults[] = {
	{ "id",            SQL_UUID, MUST },
	{ "ws_id",         SQL_UUID },
	{ "prefix",        SQL_TEXT },
	{ "name",          SQL_TEXT, MUST },
	{ "description",   SQL_TEXT },
	{ "config",        SQL_JSON, MUST },
	{ "created_at",    SQL_TIME, NOW_S },
	{ "updated_at",    SQL_TIME },
	{ "tags",          SQL_TEXTS },
	{ NULL }
};

static const struct sql_column snis[] = {
	{ "id",               SQL_UUID, MUST },
	{ "created_at",       SQL_TIME, NOW_S },
	{ "name",             SQL_TEXT, MUST },
	{ "certificate_id",   SQL_UUID },
	{ "tags",             SQL_TEXTS },
	{ "ws_id",            SQL_UUID },
	{ NULL }
};

static const struct sql_column tags[] = {
	{ "entity_id",     SQL_UUID, MUST },
	{ "entity_name",   SQL_TEXT },
	{ "tags",          SQL_TEXTS },
	{ NULL }
};

static const struct sql_column upstreams[] = {
	{ "id",                          SQL_UUID, MUST },
	{ "created_at",                  SQL_TIME, NOW_MS },
	{ "name",                        SQL_TEXT },
	{ "hash_on",                     SQL_TEXT },
	{ "hash_fallback",               SQL_TEXT },
	{ "hash_on_header",              SQL_TEXT },
	{ "hash_fallback_header",        SQL_TEXT },
	{ "hash_on_cookie",              SQL_TEXT },
	{ "hash_on_cookie_path",         SQL_TEXT },
	{ "slots",                       SQL_INT, MUST },
	{ "healthchecks",                SQL_JSON },
	{ "tags",                        SQL_TEXTS },
	{ "algorithm",                   SQL_TEXT },
	{ "host_header",                 SQL_TEXT },
	{ "client_certificate_id",       SQL_UUID },
	{ "ws_id",                       SQL_UUID },
	{ "hash_on_query_arg",           SQL_TEXT },
	{ "hash_fallback_query_arg",     SQL_TEXT },
	{ "hash_on_uri_capture",         SQL_TEXT },
	{ "hash_fallback_uri_capture",   SQL_TEXT },
	{ "use_srv_name",                SQL_BOOL, .def = "false" },
	{ NULL }
};

static const struct sql_column targets[] = {
	{ "id",            SQL_UUID, MUST },
	{ "created_at",    SQL_TIME, NOW_MS },
	{ "upstream_id",   SQL_UUID },
	{ "target",        SQL_TEXT, MUST },
	{ "weight",        SQL_INT, MUST },
	{ "tags",          SQL_TEXTS },
	{ "ws_id",         SQL_UUID },
	{ "cache_key",     SQL_TEXT },
	{ NULL }
};

static const struct sql_column ttls[] = {
	{ "primary_key_value",    SQL_TEXT, MUST },
	{ "primary_uuid_value",   SQL_UUID },
	{ "table_name",           SQL_TEXT, MUST },
	{ "primary_key_name",     SQL_TEXT, MUST },
	{ "expire_at",            SQL_TIME_PLAIN, MUST },
	{ NULL }
};

const struct sql_table sql_tables[] = {
	{ "workspaces", workspaces,
	  .constraints = LIST("workspaces_pkey PRIMARY KEY (id)",
	                      "workspaces_name_key UNIQUE (name)"),
	},
	{ "consumers", consumers,
	  .constraints = LIST("consumers_pkey PRIMARY KEY (id)",
	                      "consumers_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "consumers_ws_id_custom_id_unique UNIQUE (ws_id, custom_id)",
	                      "consumers_ws_id_username_unique UNIQUE (ws_id, username)",
	                      "consumers_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("consumers_tags_idx gin (tags)",
	                  "consumers_username_idx btree (lower(username))"),
	  .tags_trigger = "consumers_sync_tags_trigger",
	},
	{ "acls", acls,
	  .constraints = LIST("acls_pkey PRIMARY KEY (id)",
	                      "acls_cache_key_key UNIQUE (cache_key)",
	                      "acls_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "acls_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id) REFERENCES consumers(id, ws_id) ON DELETE CASCADE",
	                      "acls_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("acls_consumer_id_idx btree (consumer_id)",
	                  "acls_group_idx btree (\"group\")",
	                  "acls_tags_idex_tags_idx gin (tags)"),
	  .tags_trigger = "acls_sync_tags_trigger",
	},
	{ "acme_storage", acme_storage,
	  .constraints = LIST("acme_storage_pkey PRIMARY KEY (id)",
	                      "acme_storage_key_key UNIQUE (key)"),
	  .indexes = LIST("acme_storage_ttl_idx btree (ttl)"),
	},
	{ "basicauth_credentials", basicauth_credentials,
	  .constraints = LIST("basicauth_credentials_pkey PRIMARY KEY (id)",
	                      "basicauth_credentials_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "basicauth_credentials_ws_id_username_unique UNIQUE (ws_id, username)",
	                      "basicauth_credentials_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id) REFERENCES consumers(id, ws_id) ON DELETE CASCADE",
	                      "basicauth_credentials_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("basicauth_consumer_id_idx btree (consumer_id)",
	                  "basicauth_tags_idex_tags_idx gin (tags)"),
	  .tags_trigger = "basicauth_sync_tags_trigger",
	},
	{ "ca_certificates", ca_certificates,
	  .constraints = LIST("ca_certificates_pkey PRIMARY KEY (id)",
	                      "ca_certificates_cert_digest_key UNIQUE (cert_digest)"),
	  .tags_trigger = "ca_certificates_sync_tags_trigger",
	},
	{ "certificates", certificates,
	  .constraints = LIST("certificates_pkey PRIMARY KEY (id)",
	                      "certificates_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "certificates_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("certificates_tags_idx gin (tags)"),
	  .tags_trigger = "certificates_sync_tags_trigger",
	},
	{ "cluster_events", cluster_events,
	  .constraints = LIST("cluster_events_pkey PRIMARY KEY (id)"),
	  .indexes = LIST("cluster_events_at_idx btree (at)",
	                  "cluster_events_channel_idx btree (channel)",
	                  "cluster_events_expire_at_idx btree (expire_at)"),
	},
	{ "clustering_data_planes", clustering_data_planes,
	  .constraints = LIST("clustering_data_planes_pkey PRIMARY KEY (id)"),
	  .indexes = LIST("clustering_data_planes_ttl_idx btree (ttl)"),
	},
	{ "hmacauth_credentials", hmacauth_credentials,
	  .constraints = LIST("hmacauth_credentials_pkey PRIMARY KEY (id)",
	                      "hmacauth_credentials_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "hmacauth_credentials_ws_id_username_unique UNIQUE (ws_id, username)",
	                      "hmacauth_credentials_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id) REFERENCES consumers(id, ws_id) ON DELETE CASCADE",
	                      "hmacauth_credentials_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("hmacauth_credentials_consumer_id_idx btree (consumer_id)",
	                  "hmacauth_tags_idex_tags_idx gin (tags)"),
	  .tags_trigger = "hmacauth_sync_tags_trigger",
	},
	{ "jwt_secrets", jwt_secrets,
	  .constraints = LIST("jwt_secrets_pkey PRIMARY KEY (id)",
	                      "jwt_secrets_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "jwt_secrets_ws_id_key_unique UNIQUE (ws_id, key)",
	                      "jwt_secrets_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id) REFERENCES consumers(id, ws_id) ON DELETE CASCADE",
	                      "jwt_secrets_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("jwt_secrets_consumer_id_idx btree (consumer_id)",
	                  "jwt_secrets_secret_idx btree (secret)",
	                  "jwtsecrets_tags_idex_tags_idx gin (tags)"),
	  .tags_trigger = "jwtsecrets_sync_tags_trigger",
	},
	{ "key_sets", key_sets,
	  .constraints = LIST("key_sets_pkey PRIMARY KEY (id)",
	                      "key_sets_name_key UNIQUE (name)",
	                      "key_sets_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("key_sets_tags_idx gin (tags)"),
	  .tags_trigger = "key_sets_sync_tags_trigger",
	},
	{ "keyauth_credentials", keyauth_credentials,
	  .constraints = LIST("keyauth_credentials_pkey PRIMARY KEY (id)",
	                      "keyauth_credentials_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "keyauth_credentials_ws_id_key_unique UNIQUE (ws_id, key)",
	                      "keyauth_credentials_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id) REFERENCES consumers(id, ws_id) ON DELETE CASCADE",
	                      "keyauth_credentials_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("keyauth_credentials_consumer_id_idx btree (consumer_id)",
	                  "keyauth_credentials_ttl_idx btree (ttl)",
	                  "keyauth_tags_idex_tags_idx gin (tags)"),
	  .tags_trigger = "keyauth_sync_tags_trigger",
	},
	{ "keys", keys,
	  .constraints = LIST("keys_pkey PRIMARY KEY (id)",
	                      "keys_cache_key_key UNIQUE (cache_key)",
	                      "keys_kid_set_id_key UNIQUE (kid, set_id)",
	                      "keys_name_key UNIQUE (name)",
	                      "keys_set_id_fkey FOREIGN KEY (set_id) REFERENCES key_sets(id) ON DELETE CASCADE",
	                      "keys_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("keys_fkey_key_sets btree (set_id)",
	                  "keys_tags_idx gin (tags)"),
	  .tags_trigger = "keys_sync_tags_trigger",
	},
	{ "locks", locks,
	  .constraints = LIST("locks_pkey PRIMARY KEY (key)"),
	  .indexes = LIST("locks_ttl_idx btree (ttl)"),
	},
	{ "oauth2_credentials", oauth2_credentials,
	  .constraints = LIST("oauth2_credentials_pkey PRIMARY KEY (id)",
	                      "oauth2_credentials_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "oauth2_credentials_ws_id_client_id_unique UNIQUE (ws_id, client_id)",
	                      "oauth2_credentials_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id) REFERENCES consumers(id, ws_id) ON DELETE CASCADE",
	                      "oauth2_credentials_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("oauth2_credentials_consumer_id_idx btree (consumer_id)",
	                  "oauth2_credentials_secret_idx btree (client_secret)",
	                  "oauth2_credentials_tags_idex_tags_idx gin (tags)"),
	  .tags_trigger = "oauth2_credentials_sync_tags_trigger",
	},
	{ "services", services,
	  .constraints = LIST("services_pkey PRIMARY KEY (id)",
	                      "services_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "services_ws_id_name_unique UNIQUE (ws_id, name)",
	                      "services_client_certificate_id_fkey FOREIGN KEY (client_certificate_id, ws_id) REFERENCES certificates(id, ws_id)",
	                      "services_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("services_fkey_client_certificate btree (client_certificate_id)",
	                  "services_tags_idx gin (tags)"),
	  .tags_trigger = "services_sync_tags_trigger",
	},
	{ "oauth2_authorization_codes", oauth2_authorization_codes,
	  .constraints = LIST("oauth2_authorization_codes_pkey PRIMARY KEY (id)",
	                      "oauth2_authorization_codes_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "oauth2_authorization_codes_ws_id_code_unique UNIQUE (ws_id, code)",
	                      "oauth2_authorization_codes_credential_id_fkey FOREIGN KEY (credential_id, ws_id) REFERENCES oauth2_credentials(id, ws_id) ON DELETE CASCADE",
	                      "oauth2_authorization_codes_service_id_fkey FOREIGN KEY (service_id, ws_id) REFERENCES services(id, ws_id) ON DELETE CASCADE",
	                      "oauth2_authorization_codes_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("oauth2_authorization_codes_authenticated_userid_idx btree (authenticated_userid)",
	                  "oauth2_authorization_codes_ttl_idx btree (ttl)",
	                  "oauth2_authorization_credential_id_idx btree (credential_id)",
	                  "oauth2_authorization_service_id_idx btree (service_id)"),
	},
	{ "oauth2_tokens", oauth2_tokens,
	  .constraints = LIST("oauth2_tokens_pkey PRIMARY KEY (id)",
	                      "oauth2_tokens_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "oauth2_tokens_ws_id_access_token_unique UNIQUE (ws_id, access_token)",
	                      "oauth2_tokens_ws_id_refresh_token_unique UNIQUE (ws_id, refresh_token)",
	                      "oauth2_tokens_credential_id_fkey FOREIGN KEY (credential_id, ws_id) REFERENCES oauth2_credentials(id, ws_id) ON DELETE CASCADE",
	                      "oauth2_tokens_service_id_fkey FOREIGN KEY (service_id, ws_id) REFERENCES services(id, ws_id) ON DELETE CASCADE",
	                      "oauth2_tokens_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("oauth2_tokens_authenticated_userid_idx btree (authenticated_userid)",
	                  "oauth2_tokens_credential_id_idx btree (credential_id)",
	                  "oauth2_tokens_service_id_idx btree (service_id)",
	                  "oauth2_tokens_ttl_idx btree (ttl)"),
	},
	{ "parameters", parameters,
	  .constraints = LIST("parameters_pkey PRIMARY KEY (key)"),
	},
	{ "routes", routes,
	  .constraints = LIST("routes_pkey PRIMARY KEY (id)",
	                      "routes_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "routes_ws_id_name_unique UNIQUE (ws_id, name)",
	                      "routes_service_id_fkey FOREIGN KEY (service_id, ws_id) REFERENCES services(id, ws_id)",
	                      "routes_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("routes_service_id_idx btree (service_id)",
	                  "routes_tags_idx gin (tags)"),
	  .tags_trigger = "routes_sync_tags_trigger",
	},
	{ "plugins", plugins,
	  .constraints = LIST("plugins_pkey PRIMARY KEY (id)",
	                      "plugins_cache_key_key UNIQUE (cache_key)",
	                      "plugins_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "plugins_ws_id_instance_name_unique UNIQUE (ws_id, instance_name)",
	                      "plugins_consumer_id_fkey FOREIGN KEY (consumer_id, ws_id) REFERENCES consumers(id, ws_id) ON DELETE CASCADE",
	                      "plugins_route_id_fkey FOREIGN KEY (route_id, ws_id) REFERENCES routes(id, ws_id) ON DELETE CASCADE",
	                      "plugins_service_id_fkey FOREIGN KEY (service_id, ws_id) REFERENCES services(id, ws_id) ON DELETE CASCADE",
	                      "plugins_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("plugins_consumer_id_idx btree (consumer_id)",
	                  "plugins_name_idx btree (name)",
	                  "plugins_route_id_idx btree (route_id)",
	                  "plugins_service_id_idx btree (service_id)",
	                  "plugins_tags_idx gin (tags)"),
	  .tags_trigger = "plugins_sync_tags_trigger",
	},
	{ "ratelimiting_metrics", ratelimiting_metrics,
	  .constraints = LIST("ratelimiting_metrics_pkey PRIMARY KEY (identifier, period, period_date, service_id, route_id)"),
	  .indexes = LIST("ratelimiting_metrics_idx btree (service_id, route_id, period_date, period)",
	                  "ratelimiting_metrics_ttl_idx btree (ttl)"),
	},
	{ "response_ratelimiting_metrics", response_ratelimiting_metrics,
	  .constraints = LIST("response_ratelimiting_metrics_pkey PRIMARY KEY (identifier, period, period_date, service_id, route_id)"),
	},
	{ "schema_meta", schema_meta,
	  .constraints = LIST("schema_meta_pkey PRIMARY KEY (key, subsystem)"),
	},
	{ "sessions", sessions,
	  .constraints = LIST("sessions_pkey PRIMARY KEY (id)",
	                      "sessions_session_id_key UNIQUE (session_id)"),
	  .indexes = LIST("session_sessions_expires_idx btree (expires)",
	                  "sessions_ttl_idx btree (ttl)"),
	},
	{ "sm_vaults", sm_vaults,
	  .constraints = LIST("sm_vaults_pkey PRIMARY KEY (id)",
	                      "sm_vaults_id_ws_id_key UNIQUE (id, ws_id)",
	                      "sm_vaults_prefix_key UNIQUE (prefix)",
	                      "sm_vaults_prefix_ws_id_key UNIQUE (prefix, ws_id)",
	                      "sm_vaults_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("sm_vaults_tags_idx gin (tags)"),
	  .tags_trigger = "sm_vaults_sync_tags_trigger",
	},
	{ "snis", snis,
	  .constraints = LIST("snis_pkey PRIMARY KEY (id)",
	                      "snis_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "snis_name_key UNIQUE (name)",
	                      "snis_certificate_id_fkey FOREIGN KEY (certificate_id, ws_id) REFERENCES certificates(id, ws_id)",
	                      "snis_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("snis_certificate_id_idx btree (certificate_id)",
	                  "snis_tags_idx gin (tags)"),
	  .tags_trigger = "snis_sync_tags_trigger",
	},
	{ "tags", tags,
	  .constraints = LIST("tags_pkey PRIMARY KEY (entity_id)"),
	  .indexes = LIST("tags_entity_name_idx btree (entity_name)",
	                  "tags_tags_idx gin (tags)"),
	},
	{ "upstreams", upstreams,
	  .constraints = LIST("upstreams_pkey PRIMARY KEY (id)",
	                      "upstreams_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "upstreams_ws_id_name_unique UNIQUE (ws_id, name)",
	                      "upstreams_client_certificate_id_fkey FOREIGN KEY (client_certificate_id) REFERENCES certificates(id)",
	                      "upstreams_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("upstreams_fkey_client_certificate btree (client_certificate_id)",
	                  "upstreams_tags_idx gin (tags)"),
	  .tags_trigger = "upstreams_sync_tags_trigger",
	},
	{ "targets", targets,
	  .constraints = LIST("targets_pkey PRIMARY KEY (id)",
	                      "targets_cache_key_key UNIQUE (cache_key)",
	                      "targets_id_ws_id_unique UNIQUE (id, ws_id)",
	                      "targets_upstream_id_fkey FOREIGN KEY (upstream_id, ws_id) REFERENCES upstreams(id, ws_id) ON DELETE CASCADE",
	                      "targets_ws_id_fkey FOREIGN KEY (ws_id) REFERENCES workspaces(id)"),
	  .indexes = LIST("targets_tags_idx gin (tags)",
	                  "targets_target_idx btree (target)",
	                  "targets_upstream_id_idx btree (upstream_id)"),
	  .tags_trigger = "targets_sync_tags_trigger",
	},
	{ "ttls", ttls,
	  .constraints = LIST("ttls_pkey PRIMARY KEY (primary_key_value, table_name)"),
	  .indexes = LIST("ttls_primary_uuid_value_idx btree (primary_uuid_value)"),
	},
	{ NULL }
};
/* clang-format on */

const struct sql_table *sql_table_find(const char *name)
{
	for (const struct sql_table *t = sql_tables; t->name; t++) {
		if (strcmp(t->name, name) == 0)
			return t;
	}
	return NULL;
}

const struct sql_column *sql_column_find(const struct sql_table *t, const char *name)
{
	for (const struct sql_column *c = t->columns; c->name; c++) {
		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}
