/* SPDX-License-Identifier: Apache-2.0 */
/* /schemas and what is shown of plugins: the rows, printed, and tried on documents. */
#include "admin/priv.h"
#include "model/plugin_schema.h"

static void schema_get(struct call *c)
{
	const struct entity *e = entity_find(c->params[0]);

	if (e)
		answer_value(c, 200, schema_print(c->a, entity_schema(e)));
	else
		answer_message(c, 404, "No entity named '" STRF "'", STRV(c->params[0]));
}

static const struct schema *find_plugin(struct call *c)
{
	const struct schema *s = plugin_schema_variant(c->params[0]);

	if (!s)
		answer_message(c, 404, "No plugin named '" STRF "'", STRV(c->params[0]));
	return s;
}

static void plugin_schema_get(struct call *c)
{
	const struct schema *s = find_plugin(c);

	if (s)
		answer_value(c, 200, schema_print(c->a, s));
}

/* The old way: the rows of config alone. */
static void plugin_config_get(struct call *c)
{
	if (find_plugin(c))
		answer_value(c, 200, schema_print(c->a, plugin_schema_config(c->params[0])));
}

static void plugins_enabled_get(struct call *c)
{
	struct value *v = value_object(c->a), *names = value_array(c->a);
	const struct plugin_schema *p;

	for (size_t i = 0; (p = plugin_schema_at(i)); i++)
		value_add(c->a, names, value_text(c->a, p->name));
	value_set(c->a, v, STR("enabled_plugins"), names);
	answer_value(c, 200, v);
}

static void validate(struct call *c, str name)
{
	const struct entity *e = entity_find(name);
	struct schema_options o = {
		.op = SCHEMA_INSERT,
		.now_ms = clock_wall_ms(),
		.keep_references = true,
	};
	struct value *errors;

	if (!e) {
		answer_message(c, 404, "No entity named '" STRF "'", STRV(name));
		return;
	}
	errors = entity_process(c->a, e, c->args, &o);
	if (errors)
		answer_error(c, &(struct db_error){ .code = DB_SCHEMA_VIOLATION,
						    .message = schema_message(c->a, errors),
						    .fields = errors });
	else
		answer_message(c, 200, "schema validation successful");
}

static void validate_post(struct call *c)
{
	validate(c, c->params[0]);
}

static void validate_plugin_post(struct call *c)
{
	validate(c, STR("plugins"));
}

/* clang-format off */
const struct endpoint schema_endpoints[] = {
	{ .path = "/schemas/:name",                    .on = { [HTTP_GET] = schema_get } },
	{ .path = "/schemas/:db_entity_name/validate", .on = { [HTTP_POST] = validate_post } },
	{ .path = "/schemas/plugins/validate",         .on = { [HTTP_POST] = validate_plugin_post } },
	{ .path = "/schemas/plugins/:name",            .on = { [HTTP_GET] = plugin_schema_get } },
	{ .path = "/plugins/schema/:name",             .on = { [HTTP_GET] = plugin_config_get } },
	{ .path = "/plugins/enabled",                  .on = { [HTTP_GET] = plugins_enabled_get } },
	{ NULL },
};
/* clang-format on */
