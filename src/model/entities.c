/* SPDX-License-Identifier: Apache-2.0 */
/* The list of all entities, and their rows compiled. */
#include "base/clock.h"
#include "base/log.h"
#include "model/priv.h"
#include "net/tls.h"

static const struct entities_options defaults = { .router_flavor =
							  STR_INIT("traditional_compatible") };

static struct {
	struct arena *arena;
	struct entities_options options;
	const struct schema *schemas[ENTITIES_MAX];
} started;

/* Parents before children. */
const struct entity *entities[ENTITIES_MAX + 1] = {
	&workspaces_entity,
	&consumers_entity,
	&certificates_entity,
	&services_entity,
	&routes_entity,
	&snis_entity,
	&upstreams_entity,
	&targets_entity,
	&plugins_entity,
	&tags_entity,
	&ca_certificates_entity,
	&clustering_data_planes_entity,
	&parameters_entity,
	&vaults_entity,
	&key_sets_entity,
	&keys_entity,
	NULL,
};

#define CORE_LAST (&keys_entity)

/* Behind the core's come those of the options, and no others. */
static void add_more(const struct entity *const *more)
{
	size_t n = 0;

	while (entities[n++] != CORE_LAST)
		;
	for (; more && *more; more++) {
		if (n == ENTITIES_MAX)
			die("there are more than %d entities", ENTITIES_MAX);
		entities[n++] = *more;
	}
	while (n <= ENTITIES_MAX)
		entities[n++] = NULL;
}

static const struct schema *compile(struct arena *a, const struct entity *e, bool is_expressions)
{
	const struct schema_traits traits = {
		.has_ttl = e->has_ttl,
		.key = is_expressions && e->expression_fields ? NULL : e->variant_key,
		.unknown = e->variant_unknown,
		.find = e->variant_find,
	};

	if (is_expressions && e->expression_fields)
		return schema_new_with(a, e->name, e->expression_fields, e->expression_checks, NULL,
				       &traits);
	return schema_new_with(a, e->name, e->fields, e->checks, e->shorthands, &traits);
}

void entities_start(const struct entities_options *o)
{
	struct arena *before = started.arena;
	bool is_expressions;

	started.options = o ? *o : defaults;
	if (!started.options.router_flavor.n)
		started.options.router_flavor = defaults.router_flavor;
	add_more(started.options.more);
	is_expressions = str_is(started.options.router_flavor, "expressions");
	started.arena = arena_new();
	for (size_t i = 0; entities[i]; i++) {
		started.schemas[i] = compile(started.arena, entities[i], is_expressions);
		if (entities[i]->variant_start)
			entities[i]->variant_start(started.arena, started.schemas[i]);
	}
	arena_drop(&before);
}

const struct entities_options *entities_chosen(void)
{
	return &started.options;
}

const struct entity *entity_find(str name)
{
	for (size_t i = 0; entities[i]; i++) {
		if (str_is(name, entities[i]->name))
			return entities[i];
	}
	return NULL;
}

const struct schema *entity_schema(const struct entity *e)
{
	for (size_t i = 0; entities[i]; i++) {
		if (entities[i] == e && started.schemas[i])
			return started.schemas[i];
	}
	die("the entities are not started");
}

const struct field *entity_field(const struct entity *e, const char *name)
{
	const struct field *row = schema_fields(entity_schema(e));

	for (; row->name; row++) {
		if (strcmp(row->name, name) == 0)
			return row;
	}
	return NULL;
}

str entity_told_key(struct arena *a, const struct entity *e, str key)
{
	uint8_t digest[20];

	if (!e->is_key_hashed)
		return key;
	digest_sha1(key, digest);
	return str_fmt(a, "%s:" STRF, e->name,
		       STRV(hex_encode(a, str_at((const char *)digest, sizeof(digest)))));
}

void entity_count_from_start(struct arena *a, const struct entity *e, struct value *doc)
{
	const struct value *left = e->has_ttl ? value_get(doc, "ttl") : NULL;
	const struct value *made = value_get(doc, "created_at");

	if (!value_is_null(left) && !value_is_null(made) && left->kind == VALUE_INT &&
	    made->kind == VALUE_INT)
		value_set(a, doc, STR("ttl"), value_int(a, left->i + clock_wall_s() - made->i));
}

void entity_decode(struct arena *a, const struct entity *e, const struct value *doc, void *ret)
{
	const struct value *ttl = value_get(doc, "ttl");

	schema_decode(a, entity_schema(e), doc, ret);
	if (e->has_ttl && e->ttl_offset)
		*(int64_t *)((char *)ret + e->ttl_offset) =
			ttl && ttl->kind == VALUE_INT ? ttl->i : FIELD_UNSET_INT;
}

struct value *entity_process(struct arena *a, const struct entity *e, struct value *doc,
			     const struct schema_options *o)
{
	struct value *errors = schema_process(a, entity_schema(e), doc, o);

	if (errors || !e->finish)
		return errors;
	errors = value_object(a);
	e->finish(a, doc, o, errors);
	return errors->n ? errors : NULL;
}
