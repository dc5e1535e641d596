/* SPDX-License-Identifier: Apache-2.0 */
/* model - the core entities as the data plane sees them, and a whole configuration.
 *
 * The rows that describe, check and decode them are in model/entities/, one
 * file each.  Structs here are decoded from checked documents and immutable. */
#pragma once

#include "schema/field.h"

struct service {
	uuid id;
	int64_t created_at, updated_at;
	str name, protocol, host, path;
	int64_t port, retries;
	int64_t connect_timeout, write_timeout, read_timeout; /* ms */
	strs tags, ca_certificates;
	uuid client_certificate;
	enum tri tls_verify;
	int64_t tls_verify_depth;
	bool enabled;
};

/* An entry of sources or destinations. */
struct route_address {
	str ip;       /* address or CIDR; unset: any */
	int64_t port; /* FIELD_UNSET_INT: any */
};

struct route {
	uuid id, service;
	int64_t created_at, updated_at;
	str name;
	strs protocols, methods, hosts, paths, snis, tags;
	const struct value *headers;          /* name -> array of values, or NULL */
	struct records sources, destinations; /* struct route_address */
	int64_t https_redirect_status_code, regex_priority;
	str path_handling;
	bool strip_path, preserve_host, request_buffering, response_buffering;
	str expression; /* router flavour expressions only */
	int64_t priority;
};

struct consumer {
	uuid id;
	int64_t created_at;
	str username, custom_id;
	strs tags;
};

struct plugin_config {
	uuid id, route, service, consumer;
	int64_t created_at;
	str name, instance_name;
	const struct value *config;
	strs protocols, tags;
	bool enabled;
};

struct certificate {
	uuid id;
	int64_t created_at;
	str cert, key, cert_alt, key_alt;
	strs tags;
};

struct sni {
	uuid id, certificate;
	int64_t created_at;
	str name;
	strs tags;
};

struct ca_certificate {
	uuid id;
	int64_t created_at;
	str cert, cert_digest;
	strs tags;
};

struct health_side {
	struct ints http_statuses;
	int64_t successes, tcp_failures, timeouts, http_failures;
	double interval; /* s; active only */
};

struct active_checks {
	str type, http_path, https_sni;
	double timeout;
	int64_t concurrency;
	bool https_verify_certificate;
	const struct value *headers;
	struct health_side healthy, unhealthy;
};

struct passive_checks {
	str type;
	struct health_side healthy, unhealthy;
};

struct upstream {
	uuid id, client_certificate;
	int64_t created_at;
	str name, algorithm, hash_on, hash_fallback, hash_on_header, hash_fallback_header,
		hash_on_cookie, hash_on_cookie_path, hash_on_query_arg, hash_fallback_query_arg,
		hash_on_uri_capture, hash_fallback_uri_capture, host_header;
	int64_t slots;
	struct {
		struct active_checks active;
		struct passive_checks passive;
		double threshold;
	} healthchecks;
	strs tags;
	bool use_srv_name;
};

struct target {
	uuid id, upstream;
	double created_at;
	str target; /* host:port */
	int64_t weight;
	strs tags;
};

struct vault {
	uuid id;
	int64_t created_at, updated_at;
	str prefix, name, description;
	const struct value *config;
	strs tags;
};

struct key_set {
	uuid id;
	int64_t created_at, updated_at;
	str name;
	strs tags;
};

struct key {
	uuid id, set;
	int64_t created_at, updated_at;
	str name, kid, jwk;
	struct {
		str private_key, public_key;
	} pem;
	strs tags;
};

/* Everything the snapshot is built from, decoded; lives in the arena it was made in. */
#define CONFIG_LIST(T, name)                                                                       \
	struct {                                                                                   \
		struct T *v;                                                                       \
		size_t n;                                                                          \
	} name

/* Those of an entity that a plugin brings. */
struct entity;
struct entity_list {
	const struct entity *entity;
	void *v; /* n of its structs */
	size_t n;
};

struct config {
	CONFIG_LIST(service, services);
	CONFIG_LIST(route, routes);
	CONFIG_LIST(consumer, consumers);
	CONFIG_LIST(plugin_config, plugins);
	CONFIG_LIST(certificate, certificates);
	CONFIG_LIST(sni, snis);
	CONFIG_LIST(ca_certificate, ca_certificates);
	CONFIG_LIST(upstream, upstreams);
	CONFIG_LIST(target, targets);
	CONFIG_LIST(vault, vaults);
	CONFIG_LIST(key_set, key_sets);
	CONFIG_LIST(key, keys);
	CONFIG_LIST(entity_list, more);
	char hash[33]; /* configuration_hash: 32 hex digits */
	str workspace; /* id of the one called default, which everything is in */
};
