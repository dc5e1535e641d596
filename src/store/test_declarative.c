/* SPDX-License-Identifier: Apache-2.0 */
/* Whole configurations: what they become, and how bad ones are refused. */
#include "base/json.h"
#include "model/plugin_schema.h"
#include "store/declarative.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

/* clang-format off */
static const struct field limit_config[] = {
	F_NOT_KEPT("minute", FIELD_INTEGER, .gt = J(0), .help = "Requests a minute."),
	F_END
};

static const struct field limit_fields[] = {
	PLUGIN_PROTOCOLS_HTTP,
	PLUGIN_CONFIG(limit_config),
	F_END
};
/* clang-format on */

static const struct plugin_schema limit = {
	.name = "limit", .version = "1", .fields = limit_fields, .help = "Limits."
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

static const struct declarative_options options = { .now_ms = 1700000000123 };

static struct declarative_config *good(const char *text)
{
	struct declarative_config *d = NULL;
	struct db_error e;

	if (!declarative_parse(a, str_of(text), &options, &d, &e))
		print_error("%s\n%s\n", text, str_z(a, e.message));
	assert_non_null(d);
	return d;
}

static struct db_error bad(const char *text, bool flatten)
{
	struct declarative_options o = options;
	struct declarative_config *d = NULL;
	struct db_error e;

	o.flatten_errors = flatten;
	assert_false(declarative_parse(a, str_of(text), &o, &d, &e));
	assert_null(d);
	assert_int_equal(e.code, DB_DECLARATIVE_CONFIG);
	return e;
}

static const char *json_of(const struct value *v)
{
	return str_z(a, json_text(a, v, JSON_SORTED));
}

static const struct value *entity_at(const struct declarative_config *d, const char *entity,
				     const char *id)
{
	const struct value *v = value_get(value_get(declarative_entities(a, d), entity), id);

	if (!v)
		print_error("no %s %s in %s\n", entity, id, json_of(declarative_entities(a, d)));
	assert_non_null(v);
	return v;
}

#define V3 "_format_version: \"3.0\"\n"

/* Computed with another implementation of RFC 4122's version 5. */
#define FOO        "2933fbcc-9d7c-54a7-a984-fe2bde836cea"
#define ROUTE_R    "da7ba03a-f1be-52d4-8a7e-c8f32640689a"
#define BOB        "def4f7d3-9863-5ad2-8fa9-c949bf26f55e"
#define LIMIT_FOO  "ff46049c-8e82-5569-b75e-f9b422cc76ca"
#define LIMIT_TOP  "475d4428-d253-5a02-8875-4037f9c8940d"
#define LIMIT_ALL  "5c698b3f-fcce-52f5-a17b-7480e39f40fe"
#define UPSTREAM_U "597a2b96-28b9-56b9-8745-bb55e59539cc"
#define TARGET_U   "72fa66a2-d513-5262-be7c-ccee87afeebe"

static void ids_are_made_as_kong_makes_them(void **state)
{
	struct declarative_config *d CLEANUP(declarative_drop) =
		good(V3 "services:\n"
			"- name: foo\n"
			"  url: http://foo.test/x\n"
			"  routes:\n"
			"  - name: r\n"
			"    paths: [/]\n"
			"  plugins:\n"
			"  - name: limit\n"
			"plugins:\n"
			"- name: limit\n"
			"consumers:\n"
			"- username: bob\n"
			"upstreams:\n"
			"- name: u\n"
			"  targets:\n"
			"  - target: 1.2.3.4:80\n");
	struct declarative_config *other CLEANUP(declarative_drop) = good(
		V3 "services: [{name: foo, host: h}]\nplugins: [{name: limit, service: foo}]\n");
	const struct value *route = entity_at(d, "routes", ROUTE_R);

	(void)state;
	assert_string_equal(json_of(value_get(route, "service")), "{\"id\":\"" FOO "\"}");
	assert_string_equal(json_of(value_get(entity_at(d, "services", FOO), "path")), "\"/x\"");
	assert_string_equal(json_of(value_get(entity_at(d, "plugins", LIMIT_FOO), "service")),
			    "{\"id\":\"" FOO "\"}");
	assert_string_equal(json_of(value_get(entity_at(d, "plugins", LIMIT_ALL), "service")),
			    "null");
	entity_at(d, "consumers", BOB);
	assert_string_equal(json_of(value_get(entity_at(d, "targets", TARGET_U), "upstream")),
			    "{\"id\":\"" UPSTREAM_U "\"}");
	entity_at(other, "plugins", LIMIT_TOP);
}

/* Ids that Kong's users have in their files. */
static void ids_are_known_ones(void **state)
{
	struct declarative_config *d CLEANUP(declarative_drop) = good(
		V3
		"services: [{name: my-service, host: h, routes: [{name: my-route, paths: [/]}]}]\n"
		"consumers: [{username: my-user}]\n");

	(void)state;
	entity_at(d, "services", "0855b320-0dd2-547d-891d-601e9b38647f");
	entity_at(d, "routes", "481a9539-f49c-51b6-b2e2-fe99ee68866c");
	entity_at(d, "consumers", "4b1b701d-de2b-5588-9aa2-3b97061d9f52");
}

static void documents_become_structs(void **state)
{
	struct declarative_config *d CLEANUP(declarative_drop) =
		good(V3 "_transform: false\n_comment: mine\n_ignore: [1, {x: y}]\n"
			"routes:\n"
			"- name: r\n"
			"  _comment: why\n"
			"  service: foo\n"
			"  hosts: [a.test]\n"
			"  methods: [GET, GET]\n"
			"  tags: &t [x, y]\n"
			"services:\n"
			"- {name: foo, host: foo.test, id: 0F4B1EA1-9C47-4E0F-8A41-7A4A3B0B5C77, "
			"tags: *t}\n"
			"plugins:\n"
			"- {name: limit, route: r, config: {minute: 7}}\n"
			"snis:\n");
	const struct config *c = declarative_config(d);

	(void)state;
	assert_int_equal(c->services.n, 1);
	assert_int_equal(c->routes.n, 1);
	assert_int_equal(c->snis.n, 0);
	assert_true(str_is(c->services.v[0].host, "foo.test"));
	assert_int_equal(c->services.v[0].created_at, 1700000000);
	assert_int_equal(c->services.v[0].tags.n, 2);
	assert_true(uuid_eq(c->routes.v[0].service, c->services.v[0].id));
	assert_int_equal(c->routes.v[0].methods.n, 1);
	assert_int_equal(c->routes.v[0].protocols.n, 2);
	assert_true(c->routes.v[0].strip_path);
	assert_true(uuid_eq(c->plugins.v[0].route, c->routes.v[0].id));
	assert_int_equal(value_get(c->plugins.v[0].config, "minute")->i, 7);
}

static void json_and_yaml_say_the_same(void **state)
{
	struct declarative_config *yaml CLEANUP(declarative_drop) =
		good(V3 "services: [{name: foo, url: \"https://a.test\"}]\n");
	struct declarative_config *json CLEANUP(declarative_drop) =
		good("{\"_format_version\":\"3.0\",\"services\":[{\"name\":\"foo\",\"url\":\"https:"
		     "//a.test\"}]}");
	struct declarative_config *again CLEANUP(declarative_drop) =
		good(str_z(a, declarative_yaml(a, yaml)));

	(void)state;
	assert_string_equal(json_of(declarative_entities(a, yaml)),
			    json_of(declarative_entities(a, json)));
	assert_string_equal(json_of(declarative_entities(a, yaml)),
			    json_of(declarative_entities(a, again)));
	assert_true(str_starts(declarative_yaml(a, yaml),
			       STR("_format_version: '3.0'\n_transform: false\n")));
}

static void the_hash_is_of_the_text(void **state)
{
	const char *text = V3 "consumers: [{username: bob}]\n";
	struct declarative_config *d CLEANUP(declarative_drop) = good(text);
	struct declarative_config *empty CLEANUP(declarative_drop) = good(V3);

	(void)state;
	assert_string_equal(declarative_hash(d), "342202e3ec873b768532db2f9f97a3d4");
	assert_string_equal(declarative_hash(empty), "00000000000000000000000000000000");
}

static void older_formats_get_their_tildes(void **state)
{
	struct declarative_config *d CLEANUP(declarative_drop) =
		good("_format_version: \"2.1\"\n"
		     "routes:\n- {name: r, paths: [/plain-1_2/%41, \"/a/(b|c)%2e\", /x/./y]}\n"
		     "services:\n- {name: foo, host: h, routes: [{name: n, paths: "
		     "[\"/[0-9]+%2f\"]}]}\n");
	const struct value *route = entity_at(d, "routes", ROUTE_R);

	(void)state;
	assert_string_equal(json_of(value_get(route, "paths")),
			    "[\"/plain-1_2/A\",\"~/a/(b|c)\\\\.\",\"/x/y\"]");
	assert_int_equal(declarative_config(d)->routes.n, 2);
}

static void bad_documents_are_refused_with_the_place(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text, *fields;
	} cases[] = {
		{ "", "{\"error\":\"failed parsing declarative configuration: expected an object\"}" },
		{ "- x", "{\"error\":\"failed parsing declarative configuration: expected an object\"}" },
		{ "[]", "{\"_format_version\":\"required field missing\"}" },
		{ "hello", "{\"error\":\"failed parsing declarative configuration: expected an object\"}" },
		{ "services: []\n", "{\"_format_version\":\"required field missing\"}" },
		{ "_format_version: 3.0\n", "{\"_format_version\":\"expected a string\"}" },
		{ "_format_version: \"4\"\n", "{\"_format_version\":\"expected one of: 1.1, 2.1, 3.0\"}" },
		{ V3 "foo: []\n", "{\"foo\":\"unknown field\"}" },
		{ V3 "tags: []\n", "{\"tags\":\"unknown field\"}" },
		{ V3 "_comment: 1\n", "{\"_comment\":\"expected a string\"}" },
		{ V3 "services: x\n", "{\"services\":\"expected an array\"}" },
		{ V3 "services: [x, null]\n", "{\"services\":[\"expected a record\",\"required field missing\"]}" },
		{ V3 "services: [{host: h}, {host: h, prot: 1}]\n", "{\"services\":[null,{\"prot\":\"unknown field\"}]}" },
		{ V3 "services: [{host: h, routes: [{paths: [/]}, {paths: [x], hosts: 1}], plugins: [{name: nope}]}]\n",
		  "{\"services\":[{\"plugins\":[{\"name\":\"plugin 'nope' not enabled; add it to the 'plugins' configuration property\"}],"
		  "\"routes\":[null,{\"hosts\":\"expected an array\",\"paths\":[\"should start with: / (fixed path) or ~/ (regex path)\"]}]}]}" },
		{ V3 "services: [{host: h, _comment: {}, _ignore: x}]\n", "{\"services\":[{\"_comment\":\"expected a string\",\"_ignore\":\"expected an array\"}]}" },
		{ V3 "services: [{host: h, routes: 1}]\n", "{\"services\":[{\"routes\":\"expected an array\"}]}" },
		{ V3 "services: [{host: h, consumers: []}]\n", "{\"services\":[{\"consumers\":\"unknown field\"}]}" },
		{ V3 "routes: [{paths: [/], service: {name: foo}}]\n", "{\"routes\":[{\"service\":{\"id\":\"missing primary key\"}}]}" },
		{ V3 "routes: [{name: r, paths: [/], service: foo}]\n",
		  "{\"routes\":{\"r\":[\"invalid reference 'service: foo' (no such entry in 'services')\"]}}" },
		{ V3 "plugins: [{name: limit, id: 0f4b1ea1-9c47-4e0f-8a41-7a4a3b0b5c77, consumer: bob, route: r}]\n",
		  "{\"plugins\":{\"0f4b1ea1-9c47-4e0f-8a41-7a4a3b0b5c77\":[\"invalid reference 'route: r' (no such entry in 'routes')\","
		  "\"invalid reference 'consumer: bob' (no such entry in 'consumers')\"]}}" },
		{ V3 "services: [{host: h, routes: [{name: r, paths: [/], service: {id: 769bdf51-16df-5476-9830-ef26800b5448}}]}]\n",
		  "{\"routes\":{\"r\":[\"invalid reference 'service: {\\\"id\\\":\\\"769bdf51-16df-5476-9830-ef26800b5448\\\"}' (no such entry in 'services')\"]}}" },
		{ V3 "services: [{host: h, plugins: [{name: limit, route: nope}]}]\n",
		  "{\"services\":[{\"plugins\":[{\"route\":{\"id\":\"missing primary key\"}}]}]}" },
		{ V3 "consumers: [{username: bob, custom_id: x}, {username: eve, custom_id: x}, {username: bob}]\n",
		  "{\"consumers\":[null,{\"custom_id\":\"uniqueness violation: 'consumers' entity with custom_id set to 'x' already declared\"},"
		  "{\"id\":\"uniqueness violation: 'consumers' entity with id set to 'def4f7d3-9863-5ad2-8fa9-c949bf26f55e' already declared\","
		  "\"username\":\"uniqueness violation: 'consumers' entity with username set to 'bob' already declared\"}]}" },
		{ V3 "plugins: [{name: limit, id: 0f4b1ea1-9c47-4e0f-8a41-7a4a3b0b5c77}, {name: limit}]\n",
		  "{\"plugins\":[null,{\"@entity\":[\"uniqueness violation: 'plugins' entity with name, route, service, consumer set to "
		  "'limit, null, null, null' already declared\"]}]}" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(json_of(bad(cases[i].text, false).fields), cases[i].fields);
}

static void the_message_is_printed_as_lua_prints(void **state)
{
	(void)state;
	assert_string_equal(str_z(a, bad(V3 "services: [{host: h, x: 1}]\n", false).message),
			    "declarative config is invalid: {services={{x=\"unknown field\"}}}");
	assert_string_equal(str_z(a, bad(V3 "services: [{host: h}, {}]\n", false).message),
			    "declarative config is invalid: {services={[2]={host=\"required field "
			    "missing\"}}}");
}

static void errors_can_be_had_flat(void **state)
{
	struct value *flat = bad(V3 "services:\n"
				    "- name: foo\n"
				    "  id: 0f4b1ea1-9c47-4e0f-8a41-7a4a3b0b5c77\n"
				    "  url: http://127.0.0.1:80/\n"
				    "  protocol: tcp\n"
				    "  tags: [t]\n"
				    "  routes:\n"
				    "  - name: joshua\n"
				    "    paths: [/]\n"
				    "    methods: [GET, x]\n"
				    "  plugins:\n"
				    "  - name: limit\n"
				    "    config: {minute: 0}\n",
				 true)
				     .flattened;

	(void)state;
	assert_int_equal(flat->n, 2);
	assert_string_equal(
		json_of(flat->items[0]),
		"{\"entity\":{\"methods\":[\"GET\",\"x\"],\"name\":\"joshua\",\"paths\":[\"/\"],"
		"\"service\":{\"id\":\"0f4b1ea1-9c47-4e0f-8a41-7a4a3b0b5c77\"}},"
		"\"entity_name\":\"joshua\",\"entity_type\":\"route\",\"errors\":[{\"field\":"
		"\"methods.2\",\"message\":\"invalid value: x\",\"type\":\"field\"}]}");
	assert_string_equal(
		json_of(value_get(flat->items[1], "errors")),
		"[{\"field\":\"config.minute\",\"message\":\"value must be greater than 0\","
		"\"type\":\"field\"}]");
}

static void flat_errors_know_entities_and_references(void **state)
{
	struct value *flat =
		bad(V3 "services: [{host: h, protocol: tcp, path: /}]\n", true).flattened;

	(void)state;
	assert_string_equal(
		json_of(value_get(flat->items[0], "errors")),
		"[{\"field\":\"path\",\"message\":\"value must be null\",\"type\":\"field\"},"
		"{\"message\":\"failed conditional validation given value of field 'protocol'\","
		"\"type\":\"entity\"}]");
	assert_string_equal(json_of(value_get(flat->items[0], "entity_type")), "\"service\"");
	flat = bad(V3 "routes: [{name: r, paths: [/], service: foo}]\n", true).flattened;
	assert_string_equal(
		json_of(value_get(flat->items[0], "errors")),
		"[{\"field\":\"service\",\"message\":\"invalid reference 'service: foo' (no such "
		"entry in 'services')\",\"type\":\"field\"}]");
}

static void file_names_choose_the_parser(void **state)
{
	struct declarative_options o = options;
	struct declarative_config *d = NULL;
	struct db_error e;

	(void)state;
	o.name = STR("kong.txt");
	assert_false(declarative_parse(a, STR(V3), &o, &d, &e));
	assert_string_equal(
		json_of(e.fields),
		"{\"error\":\"unknown file type: kong.txt. (Accepted types: json, yaml)\"}");
	o.name = STR("kong.json");
	assert_false(declarative_parse(a, STR(V3), &o, &d, &e));
	o.name = STR("kong.yaml");
	assert_true(declarative_parse(a, STR(V3), &o, &d, &e));
	declarative_drop(&d);
	assert_null(d);
}

static void parsed_values_load_as_texts_do(void **state)
{
	struct value *doc = value_object(a);
	struct declarative_config *d CLEANUP(declarative_drop) = NULL;
	struct db_error e;

	(void)state;
	assert_null(json_parse(
		a, STR("{\"_format_version\":\"3.0\",\"consumers\":[{\"username\":\"bob\"}]}"),
		&doc));
	assert_true(declarative_from_value(a, doc, STR("text"), &options, &d, &e));
	entity_at(d, "consumers", BOB);
	assert_false(declarative_from_value(a, value_int(a, 1), STR(""), &options, &d, &e));
}

static void nested_ones_may_be_deep(void **state)
{
	struct declarative_config *d CLEANUP(declarative_drop) =
		good(V3 "services: [{name: foo, host: h, routes: [{name: r, paths: [/], plugins: "
			"[{name: limit}]}]}]\n"
			"certificates: []\nkey_sets: [{name: ks, keys: []}]\n");

	(void)state;
	assert_int_equal(declarative_config(d)->plugins.n, 1);
	assert_true(uuid_eq(declarative_config(d)->plugins.v[0].route,
			    declarative_config(d)->routes.v[0].id));
	assert_int_equal(declarative_config(d)->key_sets.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_made_as_kong_makes_them),
		cmocka_unit_test(ids_are_known_ones),
		cmocka_unit_test(documents_become_structs),
		cmocka_unit_test(json_and_yaml_say_the_same),
		cmocka_unit_test(the_hash_is_of_the_text),
		cmocka_unit_test(older_formats_get_their_tildes),
		cmocka_unit_test(bad_documents_are_refused_with_the_place),
		cmocka_unit_test(the_message_is_printed_as_lua_prints),
		cmocka_unit_test(errors_can_be_had_flat),
		cmocka_unit_test(flat_errors_know_entities_and_references),
		cmocka_unit_test(file_names_choose_the_parser),
		cmocka_unit_test(parsed_values_load_as_texts_do),
		cmocka_unit_test(nested_ones_may_be_deep),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
