/* SPDX-License-Identifier: Apache-2.0 */
/* upstreams - a name that stands for several targets, and how one is chosen.
 *
 * The algorithm follows what hashing is asked for, and hashing the algorithm, so
 * that configurations from before there was a choice keep their meaning. */
#include "model/priv.h"

#define T    struct upstream
#define ALL  __typeof__(((T *)0)->healthchecks)
#define SIDE struct health_side

/* clang-format off */
#define COUNT_ROW(m, help_) F_INT(SIDE, m, .def = J(0), .between = J([0, 255]), .help = help_)
#define ROW_SUCCESSES     COUNT_ROW(successes, "Successes that make a target healthy; 0: never.")
#define ROW_TCP_FAILURES  COUNT_ROW(tcp_failures, "Failed connections that make a target unhealthy; 0: never.")
#define ROW_TIMEOUTS      COUNT_ROW(timeouts, "Timeouts that make a target unhealthy; 0: never.")
#define ROW_HTTP_FAILURES COUNT_ROW(http_failures, "Bad statuses that make a target unhealthy; 0: never.")
#define ROW_INTERVAL F_NUM(SIDE, interval, .def = J(0), .between = J([0, 65535]), .help = "Time between two probes, s; 0: none are made.")
#define ROW_STATUSES(help_, ...) \
	F_INTS(SIDE, http_statuses, .def = J(__VA_ARGS__), .elements = FIELD(FIELD_INTEGER, .between = J([100, 999])), .help = help_)
#define ROW_TYPE(S) F_STR(S, type, .def = J("http"), .one_of = J(["tcp", "http", "https", "grpc", "grpcs"]), .help = "What a check speaks.")

static const struct field passive_unhealthy[] = {
	ROW_TCP_FAILURES,
	ROW_TIMEOUTS,
	ROW_HTTP_FAILURES,
	ROW_STATUSES("Statuses that count as failures.", [429, 500, 503]),
	F_END
};

static const struct field passive_healthy[] = {
	ROW_SUCCESSES,
	ROW_STATUSES("Statuses that count as successes.",
	             [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308]),
	F_END
};

static const struct field active_unhealthy[] = {
	ROW_STATUSES("Statuses that count as failures.", [429, 404, 500, 501, 502, 503, 504, 505]),
	ROW_TCP_FAILURES,
	ROW_TIMEOUTS,
	ROW_HTTP_FAILURES,
	ROW_INTERVAL,
	F_END
};

static const struct field active_healthy[] = {
	ROW_SUCCESSES,
	ROW_INTERVAL,
	ROW_STATUSES("Statuses that count as successes.", [200, 302]),
	F_END
};

/* Defaults of records are printed, so they are written; a test holds them against the rows'. */
#define PASSIVE_UNHEALTHY "{\"http_failures\":0,\"http_statuses\":[429,500,503],\"tcp_failures\":0,\"timeouts\":0}"
#define PASSIVE_HEALTHY   "{\"http_statuses\":[200,201,202,203,204,205,206,207,208,226,300,301,302,303,304,305,306,307,308],\"successes\":0}"
#define ACTIVE_UNHEALTHY  "{\"http_failures\":0,\"http_statuses\":[429,404,500,501,502,503,504,505],\"interval\":0,\"tcp_failures\":0,\"timeouts\":0}"
#define ACTIVE_HEALTHY    "{\"http_statuses\":[200,302],\"interval\":0,\"successes\":0}"
#define PASSIVE "{\"healthy\":" PASSIVE_HEALTHY ",\"type\":\"http\",\"unhealthy\":" PASSIVE_UNHEALTHY "}"
#define ACTIVE  "{\"concurrency\":10,\"healthy\":" ACTIVE_HEALTHY ",\"http_path\":\"/\",\"https_verify_certificate\":true," \
                "\"timeout\":1,\"type\":\"http\",\"unhealthy\":" ACTIVE_UNHEALTHY "}"

static const struct field passive[] = {
	F_RECORD(struct passive_checks, unhealthy, .fields = passive_unhealthy, .def = PASSIVE_UNHEALTHY, .help = "What makes a target unhealthy."),
	F_RECORD(struct passive_checks, healthy, .fields = passive_healthy, .def = PASSIVE_HEALTHY, .help = "What makes a target healthy again."),
	ROW_TYPE(struct passive_checks),
	F_END
};

static const struct field active[] = {
	F_MAP(struct active_checks, headers, .required_is_false_shown = true, .keys = FIELD(FIELD_STRING, .check = rule_header_name),
	      .values = FIELD(FIELD_ARRAY, .elements = FIELD(FIELD_STRING)), .help = "Headers of a probe."),
	ROW_TYPE(struct active_checks),
	F_INT(struct active_checks, concurrency, .def = J(10), .between = J([1, 2147483648]), .help = "Probes at once."),
	F_NUM(struct active_checks, timeout, .def = J(1), .between = J([0, 65535]), .help = "Longest time for a probe, s."),
	F_BOOL(struct active_checks, https_verify_certificate, .required = true, .def = J(true), .help = "Whether probes verify certificates."),
	F_RECORD(struct active_checks, unhealthy, .fields = active_unhealthy, .def = ACTIVE_UNHEALTHY, .help = "What makes a target unhealthy."),
	F_STR(struct active_checks, http_path, .def = J("/"), ROW_PATH, .help = "Path of a probe."),
	F_STR(struct active_checks, https_sni, .required_is_false_shown = true, .check = rule_sni, .help = "Server name of a probe over TLS."),
	F_RECORD(struct active_checks, healthy, .fields = active_healthy, .def = ACTIVE_HEALTHY, .help = "What makes a target healthy again."),
	F_END
};

static const struct field healthchecks[] = {
	F_RECORD(ALL, passive, .fields = passive, .def = PASSIVE, .help = "Judging targets by the requests they answer."),
	F_RECORD(ALL, active, .fields = active, .def = ACTIVE, .help = "Judging targets by probes."),
	F_NUM(ALL, threshold, .def = J(0), .between = J([0, 100]), .help = "Share of healthy weight below which the whole is unhealthy, percent."),
	F_END
};

#define ROW_HASH(m, help_) F_STR(T, m, .def = J("none"), .help = help_, \
	.one_of = J(["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"]))
static const char *check_name(struct arena *a, const struct value *v);

static const struct field fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	F_STR(T, name, .required = true, .is_unique = true, .check = check_name, .help = "The name that services have as their host."),
	F_STR(T, algorithm, .def = J("round-robin"), .one_of = J(["consistent-hashing", "least-connections", "round-robin", "latency"]), .help = "How a target is chosen."),
	ROW_HASH(hash_on, "What is hashed."),
	ROW_HASH(hash_fallback, "What is hashed where the first is not there."),
	F_STR(T, hash_on_header, .check = rule_header_name, .help = "The header that is hashed."),
	F_STR(T, hash_fallback_header, .check = rule_header_name, .help = "The header that is hashed instead."),
	F_STR(T, hash_on_cookie, .check = rule_cookie_name, .help = "The cookie that is hashed; set where there is none."),
	F_STR(T, hash_on_cookie_path, .def = J("/"), ROW_PATH, .help = "The path of a cookie that is set."),
	F_STR(T, hash_on_query_arg, .len_min = 1, .help = "The query argument that is hashed."),
	F_STR(T, hash_fallback_query_arg, .len_min = 1, .help = "The query argument that is hashed instead."),
	F_STR(T, hash_on_uri_capture, .len_min = 1, .help = "The group of the route's regex that is hashed."),
	F_STR(T, hash_fallback_uri_capture, .len_min = 1, .help = "The group that is hashed instead."),
	F_INT(T, slots, .def = J(10000), .between = J([10, 65536]), .help = "Slots of the ring."),
	F_RECORD(T, healthchecks, .fields = healthchecks, .def = "{\"active\":" ACTIVE ",\"passive\":" PASSIVE "}", .help = "How targets are found to be healthy or not."),
	ROW_TAGS(T),
	F_STR(T, host_header, .check = rule_host_with_port, .help = "Host header for its targets."),
	F_REF(T, client_certificate, "certificates", .help = "Certificate shown to its targets."),
	F_BOOL(T, use_srv_name, .def = J(false), .help = "Send the name of an SRV answer as Host."),
	F_END
};

#define NEEDS(on, value, field) \
	{ CHECK_CONDITIONAL, .if_field = on, .if_rule = FIELD_RULE(.match = "^" value "$"), \
	                     .then_field = field, .then_rule = FIELD_RULE(.required = true) }
#define FALLBACK(value, ...) \
	{ CHECK_CONDITIONAL, .if_field = "hash_on", .if_rule = FIELD_RULE(.match = "^" value "$"), \
	                     .then_field = "hash_fallback", .then_rule = FIELD_RULE(.one_of = J(__VA_ARGS__)) }

static const struct check checks[] = {
	NEEDS("hash_on", "header", "hash_on_header"),
	NEEDS("hash_fallback", "header", "hash_fallback_header"),
	NEEDS("hash_on", "cookie", "hash_on_cookie"),
	NEEDS("hash_fallback", "cookie", "hash_on_cookie"),
	FALLBACK("none", ["none"]),
	FALLBACK("cookie", ["none"]),
	FALLBACK("consumer", ["none", "ip", "header", "cookie", "path", "query_arg", "uri_capture"]),
	FALLBACK("ip", ["none", "consumer", "header", "cookie", "path", "query_arg", "uri_capture"]),
	FALLBACK("path", ["none", "consumer", "header", "cookie", "query_arg", "ip", "uri_capture"]),
	{ CHECK_DISTINCT, .fields = "hash_on_header, hash_fallback_header" },
	NEEDS("hash_on", "query_arg", "hash_on_query_arg"),
	NEEDS("hash_fallback", "query_arg", "hash_fallback_query_arg"),
	{ CHECK_DISTINCT, .fields = "hash_on_query_arg, hash_fallback_query_arg" },
	NEEDS("hash_on", "uri_capture", "hash_on_uri_capture"),
	NEEDS("hash_fallback", "uri_capture", "hash_fallback_uri_capture"),
	{ CHECK_DISTINCT, .fields = "hash_on_uri_capture, hash_fallback_uri_capture" },
	CHECK_END
};
/* clang-format on */

static const char *check_name(struct arena *a, const struct value *v)
{
	struct host_parts h;
	const char *words;
	bool is_host = host_parse(a, v->s, &h, &words) == HOST_GOOD;
	const char *shown = utf8_fault(v->s)
				    ? "Invalid name"
				    : rule_words(a, "Invalid name ('" STRF "')", STRV(v->s));

	if (!is_host)
		return rule_words(a, "%s; must be a valid hostname", shown);
	if (h.kind != HOST_NAME)
		return rule_words(a, "%s; no ip addresses allowed", shown);
	return h.port >= 0 ? rule_words(a, "%s; no port allowed", shown) : NULL;
}

/* The second row of shorthands comes later and wins. */
static const char *expand_algorithm(struct arena *a, const struct value *v, struct value *record)
{
	value_set(a, record, STR("algorithm"), value_copy(a, v));
	if (!value_is_null(v) && (str_is(v->s, "least-connections") || str_is(v->s, "latency")))
		value_set(a, record, STR("hash_on"), value_null(a));
	return NULL;
}

static const char *expand_hash_on(struct arena *a, const struct value *v, struct value *record)
{
	if (value_is_null(v)) {
		value_set(a, record, STR("hash_on"), value_text(a, "none"));
		return NULL;
	}
	value_set(a, record, STR("hash_on"), value_copy(a, v));
	value_set(a, record, STR("algorithm"),
		  value_text(a, str_is(v->s, "none") ? "round-robin" : "consistent-hashing"));
	return NULL;
}

static const struct shorthand shorthands[] = {
	{ .name = "algorithm",
	  .kind = FIELD_STRING,
	  .expand = expand_algorithm,
	  .help = "Some algorithms do without hashing." },
	{ .name = "hash_on",
	  .kind = FIELD_STRING,
	  .expand = expand_hash_on,
	  .help = "Hashing something means consistent hashing." },
	{ 0 },
};

/* Hashing nothing would give everything to one target. */
static void finish(struct arena *a, struct value *doc, const struct schema_options *o,
		   struct value *errors)
{
	const struct value *algorithm = value_get(doc, "algorithm"),
			   *hash_on = value_get(doc, "hash_on");

	(void)o;
	(void)errors;
	if (!value_is_null(algorithm) && str_is(algorithm->s, "consistent-hashing") &&
	    !value_is_null(hash_on) && str_is(hash_on->s, "none"))
		value_set(a, doc, STR("algorithm"), value_text(a, "round-robin"));
}

const struct entity upstreams_entity = {
	.name = "upstreams",
	.endpoint_key = "name",
	.help = "Several targets under one name.",
	.size = sizeof(T),
	.fields = fields,
	.checks = checks,
	.shorthands = shorthands,
	.finish = finish,
	.is_workspaceable = true,
	.is_taggable = true,
};
