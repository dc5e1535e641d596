/* SPDX-License-Identifier: Apache-2.0 */
/* The engine over a made-up entity: defaults, Kong's words, updates, variants. */
#include "base/json.h"
#include "schema/lua.h"
#include "schema/schema.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

struct inner {
	str host;
	int64_t port;
};

struct thing {
	uuid id, parent;
	int64_t created_at, updated_at, count;
	double ratio;
	str name, kind, path, secret, expression;
	enum tri flag;
	bool on;
	strs tags;
	struct ints codes;
	struct records pairs;
	struct inner redis;
	const struct value *labels;
};

static const char *check_not_bad(struct arena *a, const struct value *v)
{
	return str_is(v->s, "bad") ? str_z(a, str_fmt(a, "'" STRF "' is bad", STRV(v->s))) : NULL;
}

static void check_thing(struct arena *a, const struct value *record, struct value *errors)
{
	if (str_is(value_get(record, "kind")->s, "local") && value_get(record, "count")->i > 100)
		schema_error_at(a, errors, "@entity", "local things count to 100");
}

static const char *expand_where(struct arena *a, const struct value *v, struct value *record)
{
	struct value *redis = value_object(a);

	if (str_is(v->s, "nowhere"))
		return "there is no nowhere";
	value_set(a, redis, STR("host"), value_str(a, v->s));
	value_set(a, record, STR("redis"), redis);
	return NULL;
}

/* clang-format off */
#define T struct inner
static const struct field inner_fields[] = {
	F_STR(T, host, .required = true, .help = "Host."),
	F_INT(T, port, .def = J(6379), .between = J([0, 65535]), .help = "Port."),
	F_END
};
#undef T

static const struct check pair_checks[] = {
	{ CHECK_AT_LEAST_ONE_OF, .fields = "host, port" },
	CHECK_END
};

#define T struct inner
static const struct field pair_fields[] = {
	F_STR(T, host, .help = "Host."),
	F_INT(T, port, .def = J(1), .help = "Port."),
	F_END
};
#undef T

#define T struct thing
static const struct field thing_fields[] = {
	F_UUID(T, id,         .is_auto = true, .help = "Id."),
	F_TIME(T, created_at, .help = "Made."),
	F_TIME(T, updated_at, .help = "Changed."),
	F_STR(T, name,        .required = true, .is_unique = true, .check = check_not_bad, .help = "Name."),
	F_STR(T, kind,        .required = true, .def = J("local"), .one_of = J(["local", "redis", "cluster"]), .help = "Kind."),
	F_STR(T, path,        .starts_with = "/", .match_none = (const struct pattern_rule[]){ { "//", "must not have empty segments" }, { 0 } }, .help = "Path."),
	F_STR(T, secret,      .is_referenceable = true, .len_min = 8, .help = "Secret."),
	F_STR(T, expression,  .is_regex = true, .help = "Regex."),
	F_INT(T, count,       .def = J(10), .between = J([0, 1000]), .help = "Count."),
	F_NUM(T, ratio,       .gt = J(0), .help = "Ratio."),
	F_BOOL(T, flag,       .help = "Flag."),
	F_BOOL(T, on,         .required = true, .def = J(true), .help = "On."),
	F_STRS(T, tags,       .is_set = true, .elements = FIELD(FIELD_STRING, .required = true), .help = "Tags."),
	F_INTS(T, codes,      .def = J([200, 404]), .elements = FIELD(FIELD_INTEGER, .between = J([100, 999])), .help = "Codes."),
	F_RECORDS(T, pairs,   .elements = FIELD(FIELD_RECORD, .fields = pair_fields, .checks = pair_checks, .record_size = sizeof(struct inner)), .help = "Pairs."),
	F_RECORD(T, redis,    .required_is_false_shown = true, .fields = inner_fields, .help = "Redis."),
	F_MAP(T, labels,      .keys = FIELD(FIELD_STRING, .not_one_of = J(["host"])), .values = FIELD(FIELD_ARRAY, .elements = FIELD(FIELD_STRING)), .help = "Labels."),
	F_REF(T, parent, "things", .help = "Parent."),
	F_END
};
#undef T

static const struct check thing_checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "kind", .if_rule = FIELD_RULE(.match = "^redis$"),
	                     .then_field = "redis", .then_rule = FIELD_RULE(.required = true) },
	{ CHECK_CONDITIONAL, .if_field = "kind", .if_rule = FIELD_RULE(.not_one_of = J(["redis"])),
	                     .then_field = "redis", .then_rule = FIELD_RULE(.eq = J(null)) },
	{ CHECK_ALL_OR_NONE_OF, .fields = "path, expression" },
	{ CHECK_DISTINCT, .fields = "path, secret" },
	{ CHECK_CUSTOM, .fields = "kind, count", .fn = check_thing },
	CHECK_END
};

static const struct shorthand thing_shorthands[] = {
	{ .name = "where", .kind = FIELD_STRING, .expand = expand_where },
	{ 0 }
};
/* clang-format on */

struct world {
	struct arena *a;
	const struct schema *things;
};

static int setup(void **state)
{
	static struct world w;

	w.a = arena_new();
	w.things = schema_new(w.a, "things", thing_fields, thing_checks, thing_shorthands);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	arena_drop(&w->a);
	return 0;
}

static struct value *json(struct arena *a, const char *text)
{
	struct value *v;
	struct err *e = json_parse(a, str_of(text), &v);

	assert_null(e);
	return v;
}

static const struct schema_options insert = { .op = SCHEMA_INSERT, .now_ms = 1700000000123 };
static const struct schema_options update = { .op = SCHEMA_UPDATE, .now_ms = 1700000000123 };

/* As JSON, keys sorted; "" when there is nothing to complain about. */
static str errors_of(struct world *w, const char *doc, const struct schema_options *o)
{
	struct value *errors = schema_process(w->a, w->things, json(w->a, doc), o);

	return errors ? json_text(w->a, errors, JSON_SORTED) : STR("");
}

static void missing_fields_get_their_defaults(void **state)
{
	struct world *w = *state;
	struct value *doc = json(w->a, "{\"name\":\"n\"}");
	struct thing t;

	assert_null(schema_process(w->a, w->things, doc, &insert));
	schema_decode(w->a, w->things, doc, &t);
	assert_false(uuid_is_none(t.id));
	assert_true(uuid_is_none(t.parent));
	assert_int_equal(t.created_at, 1700000000);
	assert_int_equal(t.updated_at, 1700000000);
	assert_int_equal(t.count, 10);
	assert_true(isnan(t.ratio));
	assert_true(str_is(t.kind, "local"));
	assert_null(t.path.s);
	assert_int_equal(t.flag, TRI_UNSET);
	assert_true(t.on);
	assert_int_equal(t.codes.n, 2);
	assert_int_equal(t.codes.v[1], 404);
	assert_int_equal(t.tags.n, 0);
	assert_null(t.labels);
	assert_null(t.redis.host.s);
	assert_int_equal(t.redis.port, FIELD_UNSET_INT);
}

static void everything_given_is_decoded(void **state)
{
	struct world *w = *state;
	struct value *doc = json(
		w->a,
		"{\"name\":\"n\",\"kind\":\"redis\",\"where\":\"h\",\"count\":3.0,\"ratio\":2,"
		"\"flag\":false,\"on\":false,\"tags\":[\"x\",\"y\",\"x\"],\"codes\":{},"
		"\"pairs\":[{\"host\":\"a\"},{\"port\":7}],\"labels\":{\"k\":[\"v\"]},"
		"\"parent\":{\"id\":\"0F4B1EA1-9C47-4E0F-8A41-7A4A3B0B5C77\",\"name\":\"p\"}}");
	struct thing t;

	assert_null(schema_process(w->a, w->things, doc, &insert));
	schema_decode(w->a, w->things, doc, &t);
	assert_true(str_is(t.redis.host, "h"));
	assert_int_equal(t.redis.port, 6379);
	assert_int_equal(t.count, 3);
	assert_true(t.ratio == 2);
	assert_int_equal(t.flag, TRI_NO);
	assert_false(t.on);
	assert_int_equal(t.tags.n, 2);
	assert_int_equal(t.codes.n, 0);
	assert_int_equal(t.pairs.n, 2);
	assert_true(str_is(((struct inner *)t.pairs.v)[0].host, "a"));
	assert_int_equal(((struct inner *)t.pairs.v)[0].port, 1);
	assert_int_equal(((struct inner *)t.pairs.v)[1].port, 7);
	assert_int_equal(value_get(t.labels, "k")->n, 1);
	assert_true(str_is(json_text(w->a, value_get(doc, "parent"), 0),
			   "{\"id\":\"0f4b1ea1-9c47-4e0f-8a41-7a4a3b0b5c77\"}"));
	assert_null(value_get(doc, "where"));
}

static void broken_rules_have_kongs_words(void **state)
{
	static const struct {
		const char *doc, *errors;
	} cases[] = {
		{ "{}", "{\"name\":\"required field missing\"}" },
		{ "{\"name\":null}", "{\"name\":\"required field missing\"}" },
		{ "{\"name\":\"\"}", "{\"name\":\"length must be at least 1\"}" },
		{ "{\"name\":7}", "{\"name\":\"expected a string\"}" },
		{ "{\"name\":\"bad\"}", "{\"name\":\"'bad' is bad\"}" },
		{ "{\"name\":\"n\",\"color\":1}", "{\"color\":\"unknown field\"}" },
		{ "{\"name\":\"n\",\"id\":\"x\"}", "{\"id\":\"expected a valid UUID\"}" },
		{ "{\"name\":\"n\",\"kind\":\"x\"}",
		  "{\"kind\":\"expected one of: local, redis, cluster\"}" },
		{ "{\"name\":\"n\",\"path\":\"x\",\"expression\":\"y\"}",
		  "{\"path\":\"should start with: /\"}" },
		{ "{\"name\":\"n\",\"path\":\"/x//\",\"expression\":\"y\"}",
		  "{\"path\":\"must not have empty segments\"}" },
		{ "{\"name\":\"n\",\"path\":\"/\",\"expression\":\"(\"}",
		  "{\"expression\":\"not a valid regex: (\"}" },
		{ "{\"name\":\"n\",\"secret\":\"short\"}",
		  "{\"secret\":\"length must be at least 8\"}" },
		{ "{\"name\":\"n\",\"secret\":\"{vault://a/b}\"}", "" },
		{ "{\"name\":\"n\",\"count\":1001}",
		  "{\"count\":\"value should be between 0 and 1000\"}" },
		{ "{\"name\":\"n\",\"count\":1.5}", "{\"count\":\"expected an integer\"}" },
		{ "{\"name\":\"n\",\"ratio\":0}", "{\"ratio\":\"value must be greater than 0\"}" },
		{ "{\"name\":\"n\",\"ratio\":\"1\"}", "{\"ratio\":\"expected a number\"}" },
		{ "{\"name\":\"n\",\"flag\":1}", "{\"flag\":\"expected a boolean\"}" },
		{ "{\"name\":\"n\",\"on\":null}", "{\"on\":\"required field missing\"}" },
		{ "{\"name\":\"n\",\"tags\":\"x\"}", "{\"tags\":\"expected a set\"}" },
		{ "{\"name\":\"n\",\"tags\":[\"x\",2,\"z\",null]}",
		  "{\"tags\":[null,\"expected a string\",null,\"required field missing\"]}" },
		{ "{\"name\":\"n\",\"codes\":[99]}",
		  "{\"codes\":[\"value should be between 100 and 999\"]}" },
		{ "{\"name\":\"n\",\"pairs\":[{\"port\":null}]}",
		  "{\"pairs\":[{\"@entity\":[\"at least one of these fields must be non-empty: "
		  "'host', 'port'\"]}]}" },
		{ "{\"name\":\"n\",\"labels\":[1]}", "{\"labels\":\"expected a map\"}" },
		{ "{\"name\":\"n\",\"labels\":{\"host\":[]}}",
		  "{\"labels\":\"must not be one of: host\"}" },
		{ "{\"name\":\"n\",\"parent\":\"x\"}",
		  "{\"parent\":{\"id\":\"missing primary key\"}}" },
		{ "{\"name\":\"n\",\"parent\":{\"id\":\"x\"}}",
		  "{\"parent\":{\"id\":\"expected a valid UUID\"}}" },
		{ "{\"name\":\"n\",\"kind\":\"redis\"}",
		  "{\"@entity\":[\"failed conditional validation given value of field 'kind'\"],"
		  "\"redis\":\"required field missing\"}" },
		{ "{\"name\":\"n\",\"redis\":{\"host\":\"h\"}}",
		  "{\"@entity\":[\"failed conditional validation given value of field 'kind'\"],"
		  "\"redis\":\"value must be null\"}" },
		{ "{\"name\":\"n\",\"kind\":\"redis\",\"redis\":{\"port\":70000,\"x\":1}}",
		  "{\"@entity\":[\"failed conditional validation given value of field 'kind'\"],"
		  "\"redis\":{\"host\":\"required field missing\",\"port\":\"value should be "
		  "between "
		  "0 and 65535\",\"x\":\"unknown field\"}}" },
		{ "{\"name\":\"n\",\"path\":\"/\"}", "{\"@entity\":[\"all or none of these fields "
						     "must be set: 'path', 'expression'\"]}" },
		{ "{\"name\":\"n\",\"count\":101}",
		  "{\"@entity\":[\"local things count to 100\"]}" },
		{ "{\"name\":\"n\",\"where\":1}", "{\"where\":\"expected a string\"}" },
		{ "{\"name\":\"n\",\"where\":\"nowhere\"}", "{\"where\":\"there is no nowhere\"}" },
		{ "[1]", "{\"@entity\":[\"expected a record\"]}" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(str_z(((struct world *)*state)->a,
					  errors_of(*state, cases[i].doc, &insert)),
				    cases[i].errors);
}

static void an_update_leaves_out_what_it_likes(void **state)
{
	struct world *w = *state;
	struct value *before = json(w->a, "{\"name\":\"n\"}"), *change, *after;
	struct schema_options o = update;

	assert_null(schema_process(w->a, w->things, before, &insert));
	o.before = before;
	change = json(w->a, "{\"kind\":\"redis\",\"redis\":{\"host\":\"h\"}}");
	assert_null(schema_process(w->a, w->things, change, &o));
	assert_null(value_get(change, "count"));
	after = schema_merge(w->a, w->things, before, change);
	o.before = after;
	change = json(w->a, "{\"redis\":{\"port\":1}}");
	assert_null(schema_process(w->a, w->things, change, &o));
	after = schema_merge(w->a, w->things, after, change);
	assert_true(str_is(json_text(w->a, value_get(after, "redis"), JSON_SORTED),
			   "{\"host\":\"h\",\"port\":1}"));

	/* What only the whole shows. */
	o.before = before;
	change = json(w->a, "{\"path\":\"/\"}");
	assert_string_equal(
		str_z(w->a, json_text(w->a, schema_process(w->a, w->things, change, &o), 0)),
		"{\"@entity\":[\"all or none of these fields must be set: 'path', "
		"'expression'\"]}");
	assert_true(str_is(errors_of(w, "{\"name\":null}", &o),
			   "{\"name\":\"required field missing\"}"));
}

static void processing_twice_is_processing_once(void **state)
{
	static const char *const docs[] = {
		"{\"name\":\"n\"}",
		"{\"name\":\"n\",\"kind\":\"redis\",\"where\":\"h\",\"tags\":[\"b\",\"a\",\"b\"]}",
		"{\"name\":\"n\",\"count\":null,\"codes\":[],\"pairs\":[{\"host\":\"x\"}],"
		"\"labels\":{}}",
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(docs); i++) {
		struct value *doc = json(w->a, docs[i]), *once;

		assert_null(schema_process(w->a, w->things, doc, &insert));
		once = value_copy(w->a, doc);
		assert_null(schema_process(w->a, w->things, doc, &insert));
		assert_true(value_eq(once, doc));
		assert_true(value_eq(schema_render(w->a, w->things, doc), doc));
	}
}

static void messages_sum_the_tree_up(void **state)
{
	static const struct {
		const char *errors, *message;
	} cases[] = {
		{ "{\"host\":\"required field missing\"}",
		  "schema violation (host: required field missing)" },
		{ "{\"b\":{\"c\":\"y\"},\"a\":\"x\",\"@entity\":[\"e\"]}",
		  "3 schema violations (e; a: x; b.c: y)" },
		{ "{\"hosts\":[null,\"bad\"]}", "schema violation (hosts.2: bad)" },
		{ "{\"a\":{\"b\":{\"c\":\"x\"}}}", "schema violation (a.b: {\n  c = \"x\"\n})" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(str_z(w->a, schema_message(w->a, json(w->a, cases[i].errors))),
				    cases[i].message);
}

static void tables_print_as_lua_prints_them(void **state)
{
	static const struct {
		const char *doc, *text;
	} cases[] = {
		{ "{\"name\":\"foo\"}", "{name=\"foo\"}" },
		{ "{\"b\":1,\"a\":null,\"c d\":true}", "{a=null,b=1,[\"c d\"]=true}" },
		{ "[\"x\",null,\"z\"]", "{\"x\",[3]=\"z\"}" },
		{ "{\"end\":1.5}", "{[\"end\"]=1.5}" },
		{ "{\"a\":\"q\\\"q\\\\\"}", "{a=\"q\\\"q\\\\\"}" },
		{ "{\"a\":\"x\\ny\"}", "{a=[[x\ny]]}" },
		{ "{\"a\":\"b[1]]\"}", "{a=[=[b[1]]]=]}" },
		{ "{}", "{}" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(str_z(w->a, lua_table(w->a, json(w->a, cases[i].doc), false)),
				    cases[i].text);
}

static void rows_print_as_kong_shows_them(void **state)
{
	struct world *w = *state;
	struct value *fields = value_get(schema_print(w->a, w->things), "fields");

	assert_int_equal(fields->n, COUNT(thing_fields) - 1);
	assert_string_equal(str_z(w->a, json_text(w->a, fields->items[0], JSON_SORTED)),
			    "{\"id\":{\"auto\":true,\"type\":\"string\",\"uuid\":true}}");
	assert_string_equal(
		str_z(w->a, json_text(w->a, fields->items[14], JSON_SORTED)),
		"{\"pairs\":{\"elements\":{\"entity_checks\":[{\"at_least_one_of\":[\"host\","
		"\"port\"]}],\"fields\":[{\"host\":{\"type\":\"string\"}},{\"port\":{\"default\":"
		"1,\"type\":\"integer\"}}],\"type\":\"record\"},\"type\":\"array\"}}");
}

static void a_single_value_is_checked_alone(void **state)
{
	struct world *w = *state;
	const struct field *row = FIELD(FIELD_INTEGER, .required = true, .between = J([ 1, 3 ]));

	assert_null(schema_check_value(w->a, row, value_int(w->a, 2)));
	assert_true(str_is(schema_check_value(w->a, row, value_int(w->a, 4))->s,
			   "value should be between 1 and 3"));
	assert_true(str_is(schema_check_value(w->a, row, NULL)->s, "required field missing"));
}

/* clang-format off */
static const struct field secret_inner[] = {
	F_NOT_KEPT("secret", FIELD_STRING, .is_referenceable = true, .help = "Secret."),
	F_END
};
static const struct field secret_fields[] = {
	F_NOT_KEPT("text", FIELD_STRING, .help = "Text."),
	F_NOT_KEPT("secret", FIELD_STRING, .is_referenceable = true, .help = "Secret."),
	F_NOT_KEPT("record", FIELD_RECORD, .fields = secret_inner, .help = "Record."),
	F_NOT_KEPT("map", FIELD_MAP, .keys = FIELD(FIELD_STRING), .values = FIELD(FIELD_STRING, .is_referenceable = true), .help = "Map."),
	F_NOT_KEPT("list", FIELD_ARRAY, .elements = FIELD(FIELD_STRING, .is_referenceable = true), .help = "List."),
	F_END
};
/* clang-format on */

static str look_up(void *arg, struct arena *a, str reference)
{
	(void)arg;
	return str_fmt(a, "what " STRF " stands for", STRV(reference));
}

static void references_are_resolved_where_rows_allow_them(void **state)
{
	/* clang-format off */
	static const struct {
		const char *doc, *want;
	} cases[] = {
		{ "{\"secret\":\"{vault://a/b}\",\"text\":\"{vault://a/b}\"}", "{\"secret\":\"what {vault://a/b} stands for\",\"text\":\"{vault://a/b}\"}" },
		{ "{\"record\":{\"secret\":\"{vault://a/b}\",\"x\":\"{vault://a/b}\"}}", "{\"record\":{\"secret\":\"what {vault://a/b} stands for\",\"x\":\"{vault://a/b}\"}}" },
		{ "{\"map\":{\"k\":\"{vault://a/b}\",\"l\":\"m\"},\"record\":null}", "{\"map\":{\"k\":\"what {vault://a/b} stands for\",\"l\":\"m\"},\"record\":null}" },
		{ "{\"list\":[\"m\",\"{vault://a/b}\",1]}", "{\"list\":[\"m\",\"what {vault://a/b} stands for\",1]}" },
	};
	/* clang-format on */
	struct world *w = *state;
	const struct schema *s = schema_new(w->a, "secrets", secret_fields, NULL, NULL);
	struct value *doc;

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct value *got;

		assert_null(json_parse(w->a, str_of(cases[i].doc), &doc));
		got = schema_resolve(w->a, s, doc, look_up, NULL);
		assert_string_equal(str_z(w->a, json_text(w->a, got, JSON_SORTED)), cases[i].want);
		assert_string_equal(str_z(w->a, json_text(w->a, doc, JSON_SORTED)), cases[i].doc);
	}
	assert_null(json_parse(w->a, STR("{\"secret\":\"plain\",\"text\":\"x\"}"), &doc));
	assert_ptr_equal(schema_resolve(w->a, s, doc, look_up, NULL), doc);
	assert_null(schema_resolve(w->a, s, NULL, look_up, NULL));
}

static const struct schema *big_variant;

static const struct schema *find_variant(str value)
{
	return str_is(value, "big") ? big_variant : NULL;
}

static void variants_take_the_place_of_rows(void **state)
{
	/* clang-format off */
	static const struct field fields[] = {
		F_NOT_KEPT("kind", FIELD_STRING, .required = true, .help = "Kind."),
		F_NOT_KEPT("size", FIELD_INTEGER, .def = J(1), .help = "Size."),
		F_NOT_KEPT("config", FIELD_RECORD, .is_abstract = true, .help = "Config."),
		F_END
	};
	static const struct field inside[] = {
		F_NOT_KEPT("depth", FIELD_INTEGER, .def = J(5), .help = "Depth."),
		F_NOT_KEPT("unit", FIELD_STRING, .required = true, .help = "Unit."),
		F_END
	};
	static const struct field big[] = {
		F_NOT_KEPT("size", FIELD_INTEGER, .required = true, .def = J(1000), .gt = J(999), .help = "Size."),
		F_NOT_KEPT("config", FIELD_RECORD, .required = true, .fields = inside, .help = "Config."),
		F_END
	};
	/* clang-format on */
	struct world *w = *state;
	const struct schema_traits traits = { .key = "kind",
					      .unknown = "kind '%s' is not known",
					      .find = find_variant };
	const struct schema *s = schema_new_with(w->a, "kinds", fields, NULL, NULL, &traits);
	struct value *doc = json(w->a, "{\"kind\":\"big\",\"config\":{\"unit\":\"m\"}}"), *errors;

	big_variant = schema_variant_new(w->a, s, "big", big, NULL);
	assert_null(schema_process(w->a, s, doc, &insert));
	assert_string_equal(
		str_z(w->a, json_text(w->a, doc, JSON_SORTED)),
		"{\"config\":{\"depth\":5,\"unit\":\"m\"},\"kind\":\"big\",\"size\":1000}");
	errors = schema_process(w->a, s, json(w->a, "{\"kind\":\"big\",\"size\":3}"), &insert);
	assert_string_equal(
		str_z(w->a, json_text(w->a, errors, JSON_SORTED)),
		"{\"config\":{\"unit\":\"required field missing\"},\"size\":\"value must be "
		"greater than 999\"}");
	errors = schema_process(w->a, s, json(w->a, "{\"kind\":\"odd\"}"), &insert);
	assert_string_equal(str_z(w->a, json_text(w->a, errors, 0)),
			    "{\"kind\":\"kind 'odd' is not known\"}");
	errors = schema_process(w->a, s, json(w->a, "{}"), &insert);
	assert_string_equal(str_z(w->a, json_text(w->a, errors, 0)),
			    "{\"kind\":\"required field missing\"}");
}

static void big_sets_lose_their_duplicates(void **state)
{
	struct world *w = *state;
	struct value *doc = json(w->a, "{\"name\":\"n\"}"), *tags = value_array(w->a);

	for (int i = 0; i < 100000; i++)
		value_add(w->a, tags, value_str(w->a, str_fmt(w->a, "%d", i % 500)));
	value_set(w->a, doc, STR("tags"), tags);
	assert_null(schema_process(w->a, w->things, doc, &insert));
	assert_int_equal(value_get(doc, "tags")->n, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_fields_get_their_defaults),
		cmocka_unit_test(everything_given_is_decoded),
		cmocka_unit_test(broken_rules_have_kongs_words),
		cmocka_unit_test(an_update_leaves_out_what_it_likes),
		cmocka_unit_test(processing_twice_is_processing_once),
		cmocka_unit_test(messages_sum_the_tree_up),
		cmocka_unit_test(tables_print_as_lua_prints_them),
		cmocka_unit_test(rows_print_as_kong_shows_them),
		cmocka_unit_test(a_single_value_is_checked_alone),
		cmocka_unit_test(references_are_resolved_where_rows_allow_them),
		cmocka_unit_test(variants_take_the_place_of_rows),
		cmocka_unit_test(big_sets_lose_their_duplicates),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
