/* SPDX-License-Identifier: Apache-2.0 */
/* The entities against what Kong 3.2.2 says: its schemas, its words. */
#include "base/clock.h"
#include "base/json.h"
#include "model/plugin_schema.h"
#include "model/priv.h"
#include "net/tls.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define SCHEMAS SOURCE_ROOT "/tests/contract/kong-3.2.2/schemas/"

struct limit_config {
	int64_t minute;
	str policy, host;
};

/* clang-format off */
#define T struct limit_config
static const struct field limit_config[] = {
	F_INT(T, minute, .gt = J(0), .help = "Requests a minute."),
	F_STR(T, policy, .def = J("local"), .one_of = J(["local", "redis"]), .help = "Where counters are."),
	F_STR(T, host, .check = rule_host, .help = "Redis."),
	F_END
};
#undef T

static const struct field limit_fields[] = {
	PLUGIN_NO_CONSUMER,
	PLUGIN_PROTOCOLS_HTTP,
	PLUGIN_CONFIG(limit_config),
	F_END
};

static const struct check limit_checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "config.policy", .if_rule = FIELD_RULE(.match = "^redis$"),
	                     .then_field = "config.host", .then_rule = FIELD_RULE(.required = true) },
	CHECK_END
};
/* clang-format on */

static const struct plugin_schema limit = {
	.name = "limit",
	.version = "1",
	.fields = limit_fields,
	.checks = limit_checks,
	.help = "Limits.",
};

static struct arena *a;

static int setup(void **state)
{
	(void)state;
	a = arena_new();
	plugin_schema_add(&limit);
	entities_start(NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_drop(&a);
	return 0;
}

static struct value *json(const char *text)
{
	struct value *v;
	struct err *e = json_parse(a, str_of(text), &v);

	if (e)
		print_error("%s: %s\n", text, e->text);
	assert_null(e);
	return v;
}

static struct value *json_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = arena_zalloc(a, 1 << 20);

	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return json(text);
}

static void assert_same(const char *what, const struct value *ours, const struct value *theirs)
{
	if (value_eq(ours, theirs))
		return;
	print_error("%s\nours   %s\ntheirs %s\n", what, str_z(a, json_text(a, ours, JSON_SORTED)),
		    str_z(a, json_text(a, theirs, JSON_SORTED)));
	fail();
}

static void assert_schema(const struct entity *e, const char *file)
{
	struct value *ours = value_get(schema_print(a, entity_schema(e)), "fields");
	struct value *theirs =
		value_get(json_file(str_z(a, str_fmt(a, SCHEMAS "%s.json", file))), "fields");

	for (uint32_t i = 0; i < ours->n && i < theirs->n; i++)
		assert_same(file, ours->items[i], theirs->items[i]);
	assert_int_equal(ours->n, theirs->n);
}

static void schemas_print_as_kongs_do(void **state)
{
	(void)state;
	for (size_t i = 0; entities[i]; i++)
		assert_schema(entities[i], entities[i]->name);
}

static void routes_print_as_kongs_do_with_expressions(void **state)
{
	const struct entities_options o = { .router_flavor = STR("expressions") };

	(void)state;
	entities_start(&o);
	assert_schema(&routes_entity, "routes.router_flavor-expressions");
	entities_start(NULL);
}

static void vaults_variant_prints_as_kongs_does(void **state)
{
	const struct value doc = { .kind = VALUE_OBJECT,
				   .n = 1,
				   .members =
					   &(struct member){ STR("name"), value_text(a, "env") } };
	const struct schema *env = schema_variant(entity_schema(&vaults_entity), &doc);

	(void)state;
	assert_same("env", schema_print(a, env), json_file(SCHEMAS "vaults/env.json"));
}

static void a_plugin_prints_its_own_rows(void **state)
{
	struct value *shown = schema_print(a, plugin_schema_variant(STR("limit")));

	(void)state;
	assert_same("limit", value_get(shown, "fields")->items[0],
		    json("{\"consumer\":{\"eq\":null,\"reference\":\"consumers\",\"type\":"
			 "\"foreign\"}}"));
	assert_null(plugin_schema_variant(STR("other")));
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void walk(const char *where, const struct field *row, bool is_named)
{
	size_t n = is_named ? strlen(row->help ? row->help : "") : 0;

	if (is_named && (n < 4 || row->help[n - 1] != '.')) {
		print_error("%s.%s has no help that ends in a full stop\n", where, row->name);
		fail();
	}
	if (row->elements)
		walk(where, row->elements, false);
	if (row->keys)
		walk(where, row->keys, false);
	if (row->values)
		walk(where, row->values, false);
	for (const struct field *f = row->fields; f && f->name; f++)
		walk(where, f, true);
}

/* That each default passes its own check is seen to when rows are compiled. */
static void every_row_explains_itself(void **state)
{
	(void)state;
	for (size_t i = 0; entities[i]; i++) {
		assert_non_null(entities[i]->help);
		for (const struct field *f = entities[i]->fields; f->name; f++)
			walk(entities[i]->name, f, true);
		for (const struct field *f = entities[i]->expression_fields; f && f->name; f++)
			walk(entities[i]->name, f, true);
		for (const struct shorthand *s = entities[i]->shorthands; s && s->name; s++)
			assert_non_null(s->help);
	}
}

static const struct schema_options insert = { .op = SCHEMA_INSERT, .now_ms = 1700000000123 };

/* A record's written default is what its rows would make. */
static void health_checks_default_to_what_their_rows_say(void **state)
{
	struct value *doc = json("{\"name\":\"u\"}"),
		     *other = json("{\"name\":\"u\",\"healthchecks\":{}}");

	(void)state;
	assert_null(entity_process(a, &upstreams_entity, doc, &insert));
	assert_null(entity_process(a, &upstreams_entity, other, &insert));
	assert_same(
		"healthchecks",
		schema_render(a, schema_record(entity_schema(&upstreams_entity), "healthchecks"),
			      value_get(doc, "healthchecks")),
		schema_render(a, schema_record(entity_schema(&upstreams_entity), "healthchecks"),
			      value_get(other, "healthchecks")));
}

/* ---- words ------------------------------------------------------------------------------------- */

struct word_case {
	const struct entity *entity;
	const char *doc, *errors;
};

#define ID "\"id\":\"5a3e5cb1-6c8f-4b7e-9c8b-0a1b2c3d4e5f\""

/* clang-format off */
static const struct word_case word_cases[] = {
	{ &services_entity, "{}", "{\"host\":\"required field missing\"}" },
	{ &services_entity, "{\"url\":\"http://a.test:8080/x?y=1\"}", "" },
	{ &services_entity, "{\"url\":\"nonsense\"}", "{\"host\":\"required field missing\",\"path\":\"should start with: /\"}" },
	{ &services_entity, "{\"url\":7}", "{\"url\":\"expected a string\"}" },
	{ &services_entity, "{\"url\":\"ftp://a.test\"}", "{\"protocol\":\"expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp\"}" },
	{ &services_entity, "{\"url\":\"http://a.test:x1\"}", "{\"port\":\"expected an integer\"}" },
	{ &services_entity, "{\"host\":\"a.test:80\"}", "{\"host\":\"must not have a port\"}" },
	{ &services_entity, "{\"host\":\"a.test:99999\"}", "{\"host\":\"must not have a port\"}" },
	{ &services_entity, "{\"host\":\"a..test\"}", "{\"host\":\"invalid value: a..test\"}" },
	{ &services_entity, "{\"host\":\"a-.test\"}", "{\"host\":\"invalid value: a-.test\"}" },
	{ &services_entity, "{\"host\":\"a_b.test.\"}", "" },
	{ &services_entity, "{\"host\":\"::1\"}", "" },
	{ &services_entity, "{\"host\":\"1.2.3.256\"}", "{\"host\":\"invalid value: 1.2.3.256\"}" },
	{ &services_entity, "{\"host\":\"h\",\"name\":\"a b\"}", "{\"name\":\"invalid value 'a b': the only accepted ascii characters are alphanumerics or ., -, _, and ~\"}" },
	{ &services_entity, "{\"host\":\"h\",\"name\":\"\\u00fcber\"}", "" },
	{ &services_entity, "{\"host\":\"h\",\"path\":\"x\"}", "{\"path\":\"should start with: /\"}" },
	{ &services_entity, "{\"host\":\"h\",\"path\":\"/x//y\"}", "{\"path\":\"must not have empty segments\"}" },
	{ &services_entity, "{\"host\":\"h\",\"path\":\"/x y\"}", "{\"path\":\"invalid path: '/x y' (characters outside of the reserved list of RFC 3986 found)\"}" },
	{ &services_entity, "{\"host\":\"h\",\"path\":\"/%zz\"}", "{\"path\":\"invalid url-encoded value: '%zz'\"}" },
	{ &services_entity, "{\"host\":\"h\",\"path\":\"/\",\"protocol\":\"tcp\"}",
	  "{\"@entity\":[\"failed conditional validation given value of field 'protocol'\"],\"path\":\"value must be null\"}" },
	{ &services_entity, "{\"host\":\"h\",\"tls_verify\":true}",
	  "{\"@entity\":[\"failed conditional validation given value of field 'protocol'\"],\"tls_verify\":\"value must be null\"}" },
	{ &services_entity, "{\"host\":\"h\",\"tags\":[\"a,b\",\"ok\",\"a/b\"]}",
	  "{\"tags\":[\"invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences\",null,"
	  "\"invalid tag 'a/b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences\"]}" },
	{ &services_entity, "{\"host\":\"h\",\"connect_timeout\":0}", "{\"connect_timeout\":\"value should be between 1 and 2147483646\"}" },
	{ &services_entity, "{\"host\":\"h\",\"ca_certificates\":[\"x\"],\"protocol\":\"https\"}", "{\"ca_certificates\":[\"expected a valid UUID\"]}" },

	{ &routes_entity, "{}", "{\"@entity\":[\"must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'\"]}" },
	{ &routes_entity, "{\"protocols\":[\"http\"]}", "{\"@entity\":[\"must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'\"]}" },
	{ &routes_entity, "{\"protocols\":[\"grpc\"]}", "{\"@entity\":[\"must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'\"]}" },
	{ &routes_entity, "{\"protocols\":[\"grpcs\"]}", "{\"@entity\":[\"must set one of 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'grpcs'\"]}" },
	{ &routes_entity, "{\"protocols\":[\"tcp\"]}", "{\"@entity\":[\"must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'\"]}" },
	{ &routes_entity, "{\"protocols\":[\"tls_passthrough\"]}", "{\"@entity\":[\"must set snis when 'protocols' is 'tls_passthrough'\"]}" },
	{ &routes_entity, "{\"protocols\":[\"http\",\"tcp\"],\"paths\":[\"/\"]}",
	  "{\"protocols\":\"these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')\"}" },
	{ &routes_entity, "{\"protocols\":[\"x\"],\"paths\":[\"/\"]}", "{\"protocols\":\"unknown type: x\"}" },
	{ &routes_entity, "{\"paths\":[\"/\"],\"sources\":[{\"ip\":\"1.2.3.4\"}]}",
	  "{\"sources\":\"cannot set 'sources' when 'protocols' is 'http' or 'https'\"}" },
	{ &routes_entity, "{\"protocols\":[\"tcp\"],\"sources\":[{\"ip\":\"1.2.3.4/33\"},{}]}",
	  "{\"sources\":[{\"ip\":\"invalid ip or cidr range: '1.2.3.4/33'\"},{\"@entity\":[\"at least one of these fields must be non-empty: 'ip', 'port'\"]}]}" },
	{ &routes_entity, "{\"protocols\":[\"tcp\"],\"sources\":[{\"port\":1}],\"paths\":[\"/\"]}",
	  "{\"paths\":\"cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'\"}" },
	{ &routes_entity, "{\"protocols\":[\"grpc\"],\"paths\":[\"/\"],\"strip_path\":true}",
	  "{\"strip_path\":\"cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'\"}" },
	{ &routes_entity, "{\"protocols\":[\"grpc\"],\"paths\":[\"/\"]}", "" },
	{ &routes_entity, "{\"protocols\":[\"http\"],\"paths\":[\"/\"],\"snis\":[\"a\"]}",
	  "{\"@entity\":[\"'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'\"],\"snis\":\"length must be 0\"}" },
	{ &routes_entity, "{\"methods\":[\"get\"]}", "{\"methods\":[\"invalid value: get\"]}" },
	{ &routes_entity, "{\"hosts\":[\"*.a.*\",\"a.*.b\",\"*.a:x\",\"*.a:80\"]}",
	  "{\"hosts\":[\"invalid wildcard: must have at most one wildcard\",\"invalid wildcard: must be placed at leftmost or rightmost label\",\"invalid hostname: abc.a:x\"]}" },
	{ &routes_entity, "{\"paths\":[\"x\",\"/a/../b\",\"/%zz\",\"~/(\",\"//\",\"/%41\"]}",
	  "{\"paths\":[\"should start with: / (fixed path) or ~/ (regex path)\",\"non-normalized path, consider use '/b' instead\","
	  "\"invalid url-encoded value: '%zz'\",\"invalid regex: '/(' (PCRE returned: missing closing parenthesis at offset 2)\","
	  "\"must not have empty segments\",\"non-normalized path, consider use '/A' instead\"]}" },
	{ &routes_entity, "{\"paths\":[\"~/a(?=b)\"]}",
	  "{\"@entity\":[\"Router Expression failed validation: look-around, including look-ahead and look-behind, is not supported: /a(?=b)\"]}" },
	{ &routes_entity, "{\"headers\":{\"Host\":[\"a\"]}}", "{\"headers\":\"cannot contain 'host' header, which must be specified in the 'hosts' attribute\"}" },
	{ &routes_entity, "{\"headers\":{\"a b\":[\"a\"]}}", "{\"headers\":\"bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'\"}" },

	{ &consumers_entity, "{}", "{\"@entity\":[\"at least one of these fields must be non-empty: 'custom_id', 'username'\"]}" },
	{ &consumers_entity, "{\"custom_id\":\"x y z\"}", "" },

	{ &plugins_entity, "{\"name\":\"x\"}", "{\"name\":\"plugin 'x' not enabled; add it to the 'plugins' configuration property\"}" },
	{ &plugins_entity, "{}", "{\"name\":\"required field missing\"}" },
	{ &plugins_entity, "{\"name\":\"limit\",\"consumer\":{" ID "}}", "{\"consumer\":\"value must be null\"}" },
	{ &plugins_entity, "{\"name\":\"limit\",\"config\":{\"minute\":0,\"x\":1}}",
	  "{\"config\":{\"minute\":\"value must be greater than 0\",\"x\":\"unknown field\"}}" },
	{ &plugins_entity, "{\"name\":\"limit\",\"config\":{\"policy\":\"redis\"}}",
	  "{\"@entity\":[\"failed conditional validation given value of field 'config.policy'\"],\"config\":{\"host\":\"required field missing\"}}" },
	{ &plugins_entity, "{\"name\":\"limit\",\"protocols\":[\"tcp\"]}", "{\"protocols\":[\"expected one of: grpc, grpcs, http, https\"]}" },

	{ &snis_entity, "{\"name\":\"a.*.b\",\"certificate\":{" ID "}}", "{\"name\":\"wildcard must be leftmost or rightmost character\"}" },
	{ &snis_entity, "{\"name\":\"*.b.*\",\"certificate\":{" ID "}}", "{\"name\":\"only one wildcard must be specified\"}" },
	{ &snis_entity, "{\"name\":\"1.2.3.4\",\"certificate\":{" ID "}}", "{\"name\":\"must not be an IP\"}" },
	{ &snis_entity, "{\"name\":\"a.test:1\"}", "{\"certificate\":\"required field missing\",\"name\":\"must not have a port\"}" },
	{ &snis_entity, "{\"name\":\"*\",\"certificate\":{" ID "}}", "" },

	{ &upstreams_entity, "{\"name\":\"1.2.3.4\"}", "{\"name\":\"Invalid name ('1.2.3.4'); no ip addresses allowed\"}" },
	{ &upstreams_entity, "{\"name\":\"a:1\"}", "{\"name\":\"Invalid name ('a:1'); no port allowed\"}" },
	{ &upstreams_entity, "{\"name\":\"a b\"}", "{\"name\":\"Invalid name ('a b'); must be a valid hostname\"}" },
	{ &upstreams_entity, "{\"name\":\"u\",\"hash_on\":\"header\"}",
	  "{\"@entity\":[\"failed conditional validation given value of field 'hash_on'\"],\"hash_on_header\":\"required field missing\"}" },
	{ &upstreams_entity, "{\"name\":\"u\",\"hash_on\":\"ip\",\"hash_fallback\":\"ip\"}",
	  "{\"@entity\":[\"failed conditional validation given value of field 'hash_on'\"],"
	  "\"hash_fallback\":\"expected one of: none, consumer, header, cookie, path, query_arg, uri_capture\"}" },
	{ &upstreams_entity, "{\"name\":\"u\",\"healthchecks\":{\"active\":{\"timeout\":-1}}}",
	  "{\"healthchecks\":{\"active\":{\"timeout\":\"value should be between 0 and 65535\"}}}" },

	{ &targets_entity, "{\"target\":\"a b\",\"upstream\":{" ID "}}", "{\"target\":\"Invalid target ('a b'); not a valid hostname or ip address\"}" },
	{ &targets_entity, "{\"target\":\"a\",\"weight\":65536,\"upstream\":{" ID "}}", "{\"weight\":\"value should be between 0 and 65535\"}" },

	{ &certificates_entity, "{\"cert\":\"x\",\"key\":\"y\"}", "{\"cert\":\"invalid certificate: not a PEM certificate\",\"key\":\"invalid key: not a PEM key\"}" },
	{ &certificates_entity, "{\"cert\":\"{vault://env/cert}\",\"key\":\"{vault://env/key}\"}", "" },

	{ &vaults_entity, "{\"prefix\":\"env\",\"name\":\"env\"}", "{\"prefix\":\"must not be one of: env\"}" },
	{ &vaults_entity, "{\"prefix\":\"my-env\",\"name\":\"aws\"}", "{\"name\":\"vault 'aws' is not installed\"}" },
	{ &vaults_entity, "{\"prefix\":\"my-env\",\"name\":\"env\",\"config\":{\"prefix\":\"1\"}}", "{\"config\":{\"prefix\":\"invalid value: 1\"}}" },
	{ &vaults_entity, "{\"prefix\":\"my-env\",\"name\":\"env\"}", "" },

	{ &keys_entity, "{\"kid\":\"k\"}", "{\"@entity\":[\"at least one of these fields must be non-empty: 'jwk', 'pem'\"]}" },
	{ &keys_entity, "{\"kid\":\"k\",\"jwk\":\"x\"}", "{\"@entity\":[\"could not json decode jwk string\"]}" },
	{ &keys_entity, "{\"kid\":\"k\",\"jwk\":\"{\\\"kid\\\":\\\"j\\\"}\"}", "{\"@entity\":[\"kid in jwk.kid must be equal to keys.kid\"]}" },
	{ &keys_entity, "{\"kid\":\"k\",\"jwk\":\"{\\\"kid\\\":\\\"k\\\",\\\"kty\\\":\\\"RSA\\\"}\"}", "{\"@entity\":[\"could not load JWK, likely not a valid key\"]}" },
	/* RFC 8037 A.2 and RFC 7515 A.3.1 */
	{ &keys_entity, "{\"kid\":\"k\",\"jwk\":\"{\\\"kid\\\":\\\"k\\\",\\\"kty\\\":\\\"OKP\\\",\\\"crv\\\":\\\"Ed25519\\\","
	  "\\\"x\\\":\\\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\\\"}\"}", "" },
	{ &keys_entity, "{\"kid\":\"k\",\"jwk\":\"{\\\"kid\\\":\\\"k\\\",\\\"kty\\\":\\\"EC\\\",\\\"crv\\\":\\\"P-256\\\","
	  "\\\"x\\\":\\\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\\\",\\\"y\\\":\\\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\\\"}\"}", "" },
	{ &keys_entity, "{\"kid\":\"k\",\"pem\":{\"public_key\":\"x\",\"private_key\":\"y\"}}", "{\"pem\":\"could not load public key\"}" },
};
/* clang-format on */

static void wrong_documents_have_kongs_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(word_cases); i++) {
		struct value *errors =
			entity_process(a, word_cases[i].entity, json(word_cases[i].doc), &insert);
		str text = errors ? json_text(a, errors, JSON_SORTED) : STR("");

		if (!str_is(text, word_cases[i].errors))
			print_error("%s %s\n", word_cases[i].entity->name, word_cases[i].doc);
		assert_string_equal(str_z(a, text), word_cases[i].errors);
	}
}

static void good_documents_stay_what_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(word_cases); i++) {
		const struct entity *e = word_cases[i].entity;
		struct value *doc = json(word_cases[i].doc), *once;

		if (word_cases[i].errors[0])
			continue;
		assert_null(entity_process(a, e, doc, &insert));
		once = value_copy(a, doc);
		assert_null(entity_process(a, e, doc, &insert));
		assert_same(e->name, doc, once);
	}
}

static void a_url_is_protocol_host_port_and_path(void **state)
{
	static const struct {
		const char *url, *parts;
	} cases[] = {
		{ "http://a.test", "http a.test 80 null" },
		{ "https://a.test/x", "https a.test 443 /x" },
		{ "//a.test:443", "https a.test 443 null" },
		{ "//a.test", "http a.test 80 null" },
		{ "grpc://u:p@a.test/", "grpc a.test 80 null" },
		{ "http://[::1]:8080/x?q#f", "http ::1 8080 /x" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct value *doc = value_object(a);
		struct service s;

		value_set(a, doc, STR("url"), value_text(a, cases[i].url));
		if (i == 4) /* grpc has no path */
			value_set(a, doc, STR("url"), value_text(a, "grpc://u:p@a.test"));
		assert_null(entity_process(a, &services_entity, doc, &insert));
		schema_decode(a, entity_schema(&services_entity), doc, &s);
		assert_string_equal(str_z(a, str_fmt(a, STRF " " STRF " %d " STRF, STRV(s.protocol),
						     STRV(s.host), (int)s.port,
						     STRV(s.path.s ? s.path : STR("null")))),
				    cases[i].parts);
	}
}

static void targets_get_their_port(void **state)
{
	static const struct {
		const char *given, *kept;
	} cases[] = {
		{ "a.test", "a.test:8000" },
		{ "a.test:1", "a.test:1" },
		{ "001.2.3.4", "1.2.3.4:8000" },
		{ "[::1]:80", "[0000:0000:0000:0000:0000:0000:0000:0001]:80" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct value *doc = json("{\"upstream\":{" ID "}}");

		value_set(a, doc, STR("target"), value_text(a, cases[i].given));
		assert_null(entity_process(a, &targets_entity, doc, &insert));
		assert_string_equal(str_z(a, value_get(doc, "target")->s), cases[i].kept);
		assert_true(value_get(doc, "created_at")->real == 1700000000.123);
	}
}

static void hashing_and_algorithm_follow_each_other(void **state)
{
	static const struct {
		const char *given, *algorithm, *hash_on;
	} cases[] = {
		{ "{\"name\":\"u\"}", "round-robin", "none" },
		{ "{\"name\":\"u\",\"hash_on\":\"ip\"}", "consistent-hashing", "ip" },
		{ "{\"name\":\"u\",\"hash_on\":\"none\",\"algorithm\":\"consistent-hashing\"}",
		  "round-robin", "none" },
		{ "{\"name\":\"u\",\"algorithm\":\"consistent-hashing\"}", "round-robin", "none" },
		{ "{\"name\":\"u\",\"algorithm\":\"least-connections\",\"hash_on\":\"ip\"}",
		  "least-connections", "none" },
		{ "{\"name\":\"u\",\"algorithm\":\"latency\"}", "latency", "none" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct value *doc = json(cases[i].given);

		assert_null(entity_process(a, &upstreams_entity, doc, &insert));
		assert_string_equal(str_z(a, value_get(doc, "algorithm")->s), cases[i].algorithm);
		assert_string_equal(str_z(a, value_get(doc, "hash_on")->s), cases[i].hash_on);
	}
}

static struct value *certificate_of(enum tls_key_kind kind, str *ret_cert, str *ret_key)
{
	struct value *doc = value_object(a);

	assert_null(tls_make_self_signed(a, kind, STR("a.test"), 10, ret_cert, ret_key));
	value_set(a, doc, STR("cert"), value_str(a, *ret_cert));
	value_set(a, doc, STR("key"), value_str(a, *ret_key));
	return doc;
}

static str errors_of(const struct entity *e, struct value *doc)
{
	struct value *errors = entity_process(a, e, doc, &insert);

	return errors ? json_text(a, errors, JSON_SORTED) : STR("");
}

static void certificates_belong_to_their_keys(void **state)
{
	str cert[2], key[2];
	struct value *rsa = certificate_of(TLS_KEY_RSA_2048, &cert[0], &key[0]);
	struct value *ec = certificate_of(TLS_KEY_EC_P256, &cert[1], &key[1]);

	(void)state;
	assert_string_equal(str_z(a, errors_of(&certificates_entity, ec)), "");
	value_set(a, rsa, STR("cert_alt"), value_str(a, cert[1]));
	assert_string_equal(str_z(a, errors_of(&certificates_entity, value_copy(a, rsa))),
			    "{\"@entity\":[\"all or none of these fields must be set: 'cert_alt', "
			    "'key_alt'\"]}");
	value_set(a, rsa, STR("key_alt"), value_str(a, key[1]));
	assert_string_equal(str_z(a, errors_of(&certificates_entity, value_copy(a, rsa))), "");
	value_set(a, rsa, STR("key_alt"), value_str(a, key[0]));
	assert_string_equal(str_z(a, errors_of(&certificates_entity, value_copy(a, rsa))),
			    "{\"@entity\":[\"alternative certificate does not match key\"]}");
	value_set(a, rsa, STR("cert_alt"), value_str(a, cert[0]));
	assert_true(str_find_str(errors_of(&certificates_entity, rsa),
				 STR("both of the same type")) > 0);
	value_set(a, ec, STR("key"), value_str(a, key[0]));
	assert_string_equal(str_z(a, errors_of(&certificates_entity, ec)),
			    "{\"@entity\":[\"certificate does not match key\"]}");
}

static void an_authority_is_one_and_says_so(void **state)
{
	str cert, key;
	struct value *doc = value_object(a);

	(void)state;
	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("a.test"), 10, &cert, &key));
	value_set(a, doc, STR("cert"), value_str(a, str_cat(a, cert, cert)));
	assert_string_equal(str_z(a, errors_of(&ca_certificates_entity, doc)),
			    "{\"@entity\":[\"please submit only one certificate at a time\"]}");
	doc = json_file(SOURCE_ROOT "/tests/contract/certificates.json");
	for (uint32_t i = 0; i < doc->n; i++) {
		const struct value *one = doc->items[i];
		struct value *ca = value_object(a);

		value_set(a, ca, STR("cert"), value_get(one, "cert"));
		assert_string_equal(str_z(a, errors_of(&ca_certificates_entity, ca)),
				    str_z(a, value_get(one, "errors")->s));
		if (!value_get(one, "errors")->s.n)
			assert_int_equal(value_get(ca, "cert_digest")->s.n, 64);
	}
}

static const char *refuse_x(struct arena *arena, str expression)
{
	return str_is(expression, "x") ? rule_words(arena, "no '" STRF "' here", STRV(expression))
				       : NULL;
}

static void expressions_are_checked_by_the_router(void **state)
{
	const struct entities_options o = { .router_flavor = STR("expressions"),
					    .check_expression = refuse_x };

	(void)state;
	entities_start(&o);
	assert_string_equal(str_z(a, errors_of(&routes_entity, json("{\"expression\":\"x\"}"))),
			    "{\"@entity\":[\"Router Expression failed validation: no 'x' here\"]}");
	assert_string_equal(str_z(a, errors_of(&routes_entity,
					       json("{\"expression\":\"y\",\"paths\":[\"/\"]}"))),
			    "{\"paths\":\"unknown field\"}");
	entities_start(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schemas_print_as_kongs_do),
		cmocka_unit_test(routes_print_as_kongs_do_with_expressions),
		cmocka_unit_test(vaults_variant_prints_as_kongs_does),
		cmocka_unit_test(a_plugin_prints_its_own_rows),
		cmocka_unit_test(every_row_explains_itself),
		cmocka_unit_test(health_checks_default_to_what_their_rows_say),
		cmocka_unit_test(wrong_documents_have_kongs_words),
		cmocka_unit_test(good_documents_stay_what_they_are),
		cmocka_unit_test(a_url_is_protocol_host_port_and_path),
		cmocka_unit_test(targets_get_their_port),
		cmocka_unit_test(hashing_and_algorithm_follow_each_other),
		cmocka_unit_test(certificates_belong_to_their_keys),
		cmocka_unit_test(an_authority_is_one_and_says_so),
		cmocka_unit_test(expressions_are_checked_by_the_router),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
