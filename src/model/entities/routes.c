/* SPDX-License-Identifier: Apache-2.0 */
/* routes - which requests go to a service.
 *
 * What a route may be made of depends on its protocols: three variants, and the
 * first protocol in the set decides.  Under the flavour expressions a route is one
 * expression instead. */
#include "model/priv.h"

#define A struct route_address
#define T struct route
/* clang-format off */
static const struct field address_fields[] = {
	F_STR(A, ip, .check = rule_ip_or_cidr, .help = "Address or CIDR range; unset: any."),
	F_INT(A, port, ROW_PORT, .help = "Port; unset: any."),
	F_END
};

static const struct check address_checks[] = {
	{ CHECK_AT_LEAST_ONE_OF, .fields = "ip, port" },
	CHECK_END
};

#define ADDRESSES \
	.elements = FIELD(FIELD_RECORD, .fields = address_fields, .checks = address_checks, .record_size = sizeof(A))

#define ROW_PROTOCOLS \
	F_STRS(T, protocols, .is_set = true, .len_min = 1, .required = true, .def = J(["http", "https"]), \
	       .elements = FIELD(FIELD_STRING, .one_of = ROW_PROTOCOLS_ALL), \
	       .exclusive_subsets = J([["http", "https"], ["tcp", "tls", "udp"], ["tls_passthrough"], ["grpc", "grpcs"]]), \
	       .help = "Protocols of the requests it takes.")

#define ROW_REDIRECT \
	F_INT(T, https_redirect_status_code, .required = true, .def = J(426), .one_of = J([426, 301, 302, 307, 308]), \
	      .help = "Answer to plain requests when only https is taken.")

#define ROW_STRIP_PATH   F_BOOL(T, strip_path, .required = true, .def = J(true), .help = "Drop the matched prefix on the way to the upstream.")
#define ROW_KEEP_HOST    F_BOOL(T, preserve_host, .required = true, .def = J(false), .help = "Send the client's Host header to the upstream.")
#define ROW_BUFFER_IN    F_BOOL(T, request_buffering, .required = true, .def = J(true), .help = "Read a request whole before it is sent.")
#define ROW_BUFFER_OUT   F_BOOL(T, response_buffering, .required = true, .def = J(true), .help = "Take a response from the upstream as fast as it comes.")
#define ROW_NAME         F_STR(T, name, .is_unique = true, .check = rule_name, .help = "A name to call it by.")
#define ROW_SERVICE      F_REF(T, service, "services", .help = "Where its requests go; unset: plugins answer.")

#define HOST_ELEMENT \
	FIELD(FIELD_STRING, .check = rule_host_pattern, \
	      .match_all = (const struct pattern_rule[]){ { "^[^*]*%*?[^*]*$", "invalid wildcard: must have at most one wildcard" }, { 0 } }, \
	      .match_any = (const char *const[]){ "^%*%.", "%.%*$", "^[^*]*$", NULL }, \
	      .match_any_err = "invalid wildcard: must be placed at leftmost or rightmost label")

#define PATH_ELEMENT \
	FIELD(FIELD_STRING, .check = rule_route_path, ROW_NO_EMPTY_SEGMENTS, \
	      .match_any = (const char *const[]){ "^/", "^~/", NULL }, \
	      .match_any_err = "should start with: / (fixed path) or ~/ (regex path)")

#define HEADER_KEY \
	FIELD(FIELD_STRING, .check = rule_header_name, \
	      .match_none = (const struct pattern_rule[]){ { "^[Hh][Oo][Ss][Tt]$", \
	        "cannot contain 'host' header, which must be specified in the 'hosts' attribute" }, { 0 } })

static const struct field fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	ROW_UPDATED_AT(T),
	ROW_NAME,
	ROW_PROTOCOLS,
	F_STRS(T, methods, .is_set = true, .elements = FIELD(FIELD_STRING, .match = "^%u+$"), .help = "Methods to match."),
	F_STRS(T, hosts, .elements = HOST_ELEMENT, .help = "Hosts to match, with a wildcard label at one end."),
	F_STRS(T, paths, .elements = PATH_ELEMENT, .help = "Prefixes of paths to match, or ~ and a regular expression."),
	F_MAP(T, headers, .keys = HEADER_KEY, .values = FIELD(FIELD_ARRAY, .elements = FIELD(FIELD_STRING)), .help = "Headers to match, each with its accepted values."),
	ROW_REDIRECT,
	F_INT(T, regex_priority, .def = J(0), .help = "Which of several regular expressions wins: the highest."),
	ROW_STRIP_PATH,
	F_STR(T, path_handling, .def = J("v0"), .one_of = J(["v0", "v1"]), .help = "How the service's path and the request's are joined."),
	ROW_KEEP_HOST,
	ROW_BUFFER_IN,
	ROW_BUFFER_OUT,
	F_STRS(T, snis, .is_set = true, .elements = FIELD(FIELD_STRING, .check = rule_sni), .help = "Server names of TLS to match."),
	F_RECORDS(T, sources, .is_set = true, ADDRESSES, .help = "Where connections come from (streams)."),
	F_RECORDS(T, destinations, .is_set = true, ADDRESSES, .help = "Where connections came in (streams)."),
	ROW_TAGS(T),
	ROW_SERVICE,
	F_END
};

static const struct field expression_fields[] = {
	ROW_ID(T),
	ROW_CREATED_AT(T),
	ROW_UPDATED_AT(T),
	ROW_NAME,
	ROW_PROTOCOLS,
	ROW_REDIRECT,
	ROW_STRIP_PATH,
	ROW_KEEP_HOST,
	ROW_BUFFER_IN,
	ROW_BUFFER_OUT,
	ROW_TAGS(T),
	ROW_SERVICE,
	F_STR(T, expression, .required = true, .help = "What a request must be, in the router's language."),
	F_INT(T, priority, .required = true, .def = J(0), .help = "Which of several routes wins: the highest."),
	F_END
};
/* clang-format on */

/* ---- checks ------------------------------------------------------------------------------ */

#define FAILED "Router Expression failed validation: "

/* Whether s has one of the groups "(?=" ..., outside of classes and escapes. */
static const char *beyond_rust(str s)
{
	bool in_class = false;

	for (size_t i = 0; i < s.n; i++) {
		char next = i + 1 < s.n ? s.s[i + 1] : '\0';

		if (s.s[i] == '\\') {
			if (!in_class &&
			    (next == 'k' || next == 'g' || (next >= '1' && next <= '9')))
				return "backreferences are not supported";
			i++;
		} else if (s.s[i] == '[' || s.s[i] == ']') {
			in_class = s.s[i] == '[' ? true : false;
		} else if (!in_class && s.s[i] == '(' && next == '?') {
			str behind = str_from(s, i + 2);

			if (str_starts(behind, STR("=")) || str_starts(behind, STR("!")) ||
			    str_starts(behind, STR("<=")) || str_starts(behind, STR("<!")))
				return "look-around, including look-ahead and look-behind, is not "
				       "supported";
		}
	}
	return NULL;
}

/* This flavour's expressions use an engine without look-around and backreferences,
 * and a configuration that is good here should be good everywhere. */
static void check_paths(struct arena *a, const struct value *record, struct value *errors)
{
	const struct value *paths = value_get(record, "paths");

	if (!str_is(entities_chosen()->router_flavor, "traditional_compatible") ||
	    value_is_null(paths))
		return;
	for (uint32_t i = 0; i < paths->n; i++) {
		str path = paths->items[i]->s;
		const char *words = path.n && path.s[0] == '~' ? beyond_rust(path) : NULL;

		if (!words)
			continue;
		schema_error_at(a, errors, "@entity",
				rule_words(a, FAILED "%s: " STRF, words, STRV(str_from(path, 1))));
		return;
	}
}

static void check_expression(struct arena *a, const struct value *record, struct value *errors)
{
	const char *(*check)(struct arena *, str) = entities_chosen()->check_expression;
	const char *words = check ? check(a, value_get(record, "expression")->s) : NULL;

	if (words)
		schema_error_at(a, errors, "@entity", rule_words(a, FAILED "%s", words));
}

/* clang-format off */
static const struct check checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "protocols",
	  .if_rule = FIELD_RULE(.elements = FIELD(FIELD_STRING, .not_one_of = J(["grpcs", "https", "tls", "tls_passthrough"]))),
	  .then_field = "snis", .then_rule = FIELD_RULE(.len_eq = LEN_ZERO),
	  .err = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'" },
	{ CHECK_CUSTOM, .fields = "id, paths", .run_with_missing = true, .fn = check_paths },
	CHECK_END
};

static const struct check expression_checks[] = {
	{ CHECK_CUSTOM, .fields = "expression, id", .fn = check_expression },
	CHECK_END
};

/* ---- variants ------------------------------------------------------------------------------- */

#define NOT(words, ...) { __VA_ARGS__, .offset = FIELD_NOT_KEPT, .eq = "null", .err = words, .help = "Has to be left out." }
#define NO_STREAM(field, words) \
	NOT("cannot set '" field "' when 'protocols' is " words, .name = field, .kind = FIELD_SET, ADDRESSES)
#define NO_METHODS(words) \
	NOT("cannot set 'methods' when 'protocols' is " words, .name = "methods", .kind = FIELD_SET, .elements = FIELD(FIELD_STRING))
#define NO_LIST(field, words) \
	NOT("cannot set '" field "' when 'protocols' is " words, .name = field, .kind = FIELD_ARRAY, .elements = FIELD(FIELD_STRING))
#define HTTP_WORDS   "'http' or 'https'"
#define GRPC_WORDS   "'grpc' or 'grpcs'"
#define STREAM_WORDS "'tcp', 'tls', 'tls_passthrough' or 'udp'"

static const struct field http_fields[] = {
	NO_STREAM("sources", HTTP_WORDS),
	NO_STREAM("destinations", HTTP_WORDS),
	F_END
};

static const struct check http_checks[] = {
	{ CHECK_CONDITIONAL_AT_LEAST_ONE_OF, .if_field = "protocols",
	  .if_rule = FIELD_RULE(.contains = J("https")), .fields = "methods, hosts, headers, paths, snis",
	  .err = "must set one of %s when 'protocols' is 'https'",
	  .else_rule = FIELD_RULE(.contains = J("http")), .else_fields = "methods, hosts, headers, paths",
	  .else_err = "must set one of %s when 'protocols' is 'http'" },
	CHECK_END
};

static const struct field stream_fields[] = {
	NO_METHODS(STREAM_WORDS),
	NO_LIST("hosts", STREAM_WORDS),
	NO_LIST("paths", STREAM_WORDS),
	NOT("cannot set 'headers' when 'protocols' is " STREAM_WORDS, .name = "headers", .kind = FIELD_MAP,
	    .keys = FIELD(FIELD_STRING), .values = FIELD(FIELD_ARRAY, .elements = FIELD(FIELD_STRING))),
	F_END
};

static const struct check stream_checks[] = {
	{ CHECK_CONDITIONAL_AT_LEAST_ONE_OF, .if_field = "protocols",
	  .if_rule = FIELD_RULE(.elements = FIELD(FIELD_STRING, .one_of = J(["tcp", "tls", "udp"]))),
	  .fields = "sources, destinations, snis", .err = "must set one of %s when 'protocols' is 'tcp', 'tls' or 'udp'" },
	{ CHECK_CONDITIONAL_AT_LEAST_ONE_OF, .if_field = "protocols",
	  .if_rule = FIELD_RULE(.elements = FIELD(FIELD_STRING, .one_of = J(["tls_passthrough"]))),
	  .fields = "snis", .err = "must set snis when 'protocols' is 'tls_passthrough'" },
	CHECK_END
};

static const struct field grpc_fields[] = {
	F_NOT_KEPT("strip_path", FIELD_BOOLEAN, .required = true, .def = J(false), .ne = J(true),
	           .err = "cannot set 'strip_path' when 'protocols' is " GRPC_WORDS, .help = "Has to be false."),
	NO_METHODS(GRPC_WORDS),
	NO_STREAM("sources", GRPC_WORDS),
	NO_STREAM("destinations", GRPC_WORDS),
	F_END
};

static const struct check grpc_checks[] = {
	{ CHECK_CONDITIONAL_AT_LEAST_ONE_OF, .if_field = "protocols",
	  .if_rule = FIELD_RULE(.contains = J("grpcs")), .fields = "hosts, headers, paths, snis",
	  .err = "must set one of %s when 'protocols' is 'grpcs'",
	  .else_rule = FIELD_RULE(.contains = J("grpc")), .else_fields = "hosts, headers, paths",
	  .else_err = "must set one of %s when 'protocols' is 'grpc'" },
	CHECK_END
};

static const struct {
	const char *protocol, *name;
	const struct field *fields;
	const struct check *checks;
} variants[] = {
	{ "http",  "http",            http_fields,   http_checks },
	{ "https", "http",            http_fields,   http_checks },
	{ "tcp",   "tcp",             stream_fields, stream_checks },
	{ "tls",   "tcp",             stream_fields, stream_checks },
	{ "udp",   "tcp",             stream_fields, stream_checks },
	{ "tls_passthrough", "tcp",   stream_fields, stream_checks },
	{ "grpc",  "grpc",            grpc_fields,   grpc_checks },
	{ "grpcs", "grpc",            grpc_fields,   grpc_checks },
};
/* clang-format on */

static const struct schema *compiled[COUNT(variants)];

static void variant_start(struct arena *a, const struct schema *s)
{
	if (str_is(entities_chosen()->router_flavor, "expressions"))
		return;
	for (size_t i = 0; i < COUNT(variants); i++)
		compiled[i] = schema_variant_new(a, s, variants[i].name, variants[i].fields,
						 variants[i].checks);
}

static const struct schema *variant_find(str protocol)
{
	for (size_t i = 0; i < COUNT(variants); i++) {
		if (str_is(protocol, variants[i].protocol))
			return compiled[i];
	}
	return NULL;
}

const struct entity routes_entity = {
	.name = "routes",
	.endpoint_key = "name",
	.help = "Decides which requests go to a service.",
	.size = sizeof(T),
	.fields = fields,
	.checks = checks,
	.expression_fields = expression_fields,
	.expression_checks = expression_checks,
	.variant_key = "protocols",
	.variant_find = variant_find,
	.variant_start = variant_start,
	.is_workspaceable = true,
	.is_taggable = true,
};
