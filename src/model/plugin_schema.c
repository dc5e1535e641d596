/* SPDX-License-Identifier: Apache-2.0 */
#include "model/plugin_schema.h"

#include "base/log.h"
#include "base/vec.h"

struct entry {
	const struct plugin_schema *plugin;
	const struct schema *variant; /* NULL before the entities start */
	bool is_enabled;
};

static struct {
	struct arena *arena; /* of the list: never ends */
	struct arena *boot;  /* of what is compiled: the entities' */
	const struct schema *plugins;
	struct entry *v; /* sorted by name */
	size_t n, cap;
} known;

static struct entry *find(str name)
{
	for (size_t i = 0; i < known.n; i++) {
		if (str_is(name, known.v[i].plugin->name))
			return &known.v[i];
	}
	return NULL;
}

static void compile(struct entry *e)
{
	e->variant = schema_variant_new(known.boot, known.plugins, e->plugin->name,
					e->plugin->fields, e->plugin->checks);
}

void plugin_schema_add(const struct plugin_schema *p)
{
	size_t i;

	if (find(str_of(p->name)))
		die("two plugins are called %s", p->name);
	if (!known.arena)
		known.arena = arena_new();
	vec_add(known.arena, &known);
	for (i = known.n - 1; i > 0 && strcmp(known.v[i - 1].plugin->name, p->name) > 0; i--)
		known.v[i] = known.v[i - 1];
	known.v[i] = (struct entry){ .plugin = p, .is_enabled = true };
	if (known.plugins)
		compile(&known.v[i]);
}

void plugin_schemas_enable(strs names)
{
	for (size_t i = 0; i < known.n; i++) {
		known.v[i].is_enabled = false;
		for (size_t k = 0; k < names.n; k++)
			known.v[i].is_enabled |= str_is(names.v[k], known.v[i].plugin->name);
	}
}

void plugin_schemas_start(struct arena *a, const struct schema *plugins)
{
	known.boot = a;
	known.plugins = plugins;
	for (size_t i = 0; i < known.n; i++)
		compile(&known.v[i]);
}

const struct plugin_schema *plugin_schema_at(size_t i)
{
	for (size_t k = 0; k < known.n; k++) {
		if (known.v[k].is_enabled && i-- == 0)
			return known.v[k].plugin;
	}
	return NULL;
}

static const struct entry *find_enabled(str name)
{
	const struct entry *e = find(name);

	return e && e->is_enabled ? e : NULL;
}

const struct plugin_schema *plugin_schema_find(str name)
{
	const struct entry *e = find_enabled(name);

	return e ? e->plugin : NULL;
}

const struct schema *plugin_schema_variant(str name)
{
	const struct entry *e = find_enabled(name);

	return e ? e->variant : NULL;
}

const struct schema *plugin_schema_config(str name)
{
	const struct schema *variant = plugin_schema_variant(name);

	return variant ? schema_record(variant, "config") : NULL;
}
