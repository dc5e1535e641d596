/* SPDX-License-Identifier: Apache-2.0 */
/* A declarative document becomes entities that have been checked one by one and together.
 *
 * In five steps, each over all entities in the order of the document:
 *
 *	take      nested lists are taken out of their parents, ids are made, keys noted
 *	resolve   references by id or by key become ids
 *	process   each entity through its schema
 *	compare   nothing that has to be unique is there twice
 *	fill      sets and structs
 *
 * Errors of `process` are told alone, for the others would follow from them; then
 * references that lead nowhere; then what is there twice. */
#include "base/json.h"
#include "base/vec.h"
#include "net/tls.h"
#include "store/priv.h"

#define DEFAULT_WORKSPACE "0dc6f45b-8f8d-40d2-a504-473544ee190b"

struct item {
	struct kind *kind;
	struct item *parent;
	const struct field *parent_field; /* the one of its fields that refers to it */
	struct value *doc;
	struct value *given;  /* what a nested one said about its parent */
	struct value *errors; /* the tree's node at this place, once there is one */
	str name;             /* what references call it by, and errors */
	str id;               /* as text; of the primary key */
	uint32_t index;       /* in its list */
};

struct dangling {
	struct item *item;
	const struct field *field;
	str shown; /* what was given */
};

/* An entity and what it has to do with the others. */
struct kind {
	const struct entity *entity;
	const struct schema *schema;
	const struct field *refs[SET_REFS_MAX];
	size_t n_refs;
	struct child {
		struct kind *kind;
		const struct field *field; /* of the child, that refers to this */
	} * children;
	size_t n_children;
	struct map by_id, by_name;
	uuid space; /* of ids made from names */
	struct {
		struct value **v;
		size_t n, cap;
	} docs; /* those that are good */
};

struct loading {
	struct arena *a;       /* of the configuration */
	struct arena *scratch; /* of what only the loading needs */
	struct kind *kinds;
	size_t n_kinds;
	struct {
		struct item **v;
		size_t n, cap;
	} items;
	struct {
		struct dangling *v;
		size_t n, cap;
	} danglings;
	struct value *errors; /* by places in the document */
	struct schema_options options;
};

/* ---- errors by place ------------------------------------------------------------------------ */

static struct value *node_of(struct loading *l, struct item *item);

/* The list of errors for the children of that kind below `parent` (or the document). */
static struct value *list_of(struct loading *l, struct item *parent, str name)
{
	struct value *above = parent ? node_of(l, parent) : l->errors;
	struct value *list = value_get_str(above, name);

	if (!list || list->kind != VALUE_ARRAY) {
		list = value_array(l->a);
		value_set(l->a, above, name, list);
	}
	return list;
}

static void put_at(struct loading *l, struct value *list, uint32_t index, struct value *v)
{
	while (list->n <= index)
		value_add(l->a, list, value_null(l->a));
	list->items[index] = v;
}

static struct value *node_of(struct loading *l, struct item *item)
{
	if (!item->errors) {
		item->errors = value_object(l->a);
		put_at(l, list_of(l, item->parent, str_of(item->kind->entity->name)), item->index,
		       item->errors);
	}
	return item->errors;
}

static void fault(struct loading *l, struct item *item, const char *field, const char *words)
{
	schema_error_at(l->a, item ? node_of(l, item) : l->errors, field, words);
}

/* ---- kinds ------------------------------------------------------------------------------------- */

static uuid space_of(const struct entity *e)
{
	/* The name space of all ids that are made from names, Kong's. */
	static const uuid all = { { 0xfd, 0x02, 0x80, 0x1f, 0x09, 0x57, 0x4a, 0x15, 0xa5, 0x5a,
				    0xc8, 0xd9, 0x60, 0x6f, 0x30, 0xb5 } };

	return uuid_v5(all, str_of(e->name));
}

static void note_child(struct loading *l, struct kind *parent, struct kind *child,
		       const struct field *row)
{
	if (!parent->children)
		parent->children = NEWS(l->scratch, struct child, l->n_kinds * SET_REFS_MAX);
	/* A field of the parent's own has the name: no list of children then. */
	if (entity_field(parent->entity, child->entity->name))
		return;
	parent->children[parent->n_children++] = (struct child){ .kind = child, .field = row };
}

static void make_kinds(struct loading *l)
{
	while (entities[l->n_kinds])
		l->n_kinds++;
	l->kinds = NEWS(l->scratch, struct kind, l->n_kinds);
	for (size_t i = 0; i < l->n_kinds; i++) {
		l->kinds[i].entity = entities[i];
		l->kinds[i].schema = entity_schema(entities[i]);
		l->kinds[i].space = space_of(entities[i]);
	}
	for (size_t i = 0; i < l->n_kinds; i++) {
		struct kind *k = &l->kinds[i];

		for (const struct field *row = schema_fields(k->schema); row->name; row++) {
			if (row->kind != FIELD_FOREIGN || k->n_refs == SET_REFS_MAX)
				continue;
			k->refs[k->n_refs++] = row;
			note_child(l, &l->kinds[entity_index(str_of(row->reference))], k, row);
		}
	}
}

static struct kind *find_kind(struct loading *l, str name)
{
	size_t i = entity_index(name);

	return i == SIZE_MAX || l->kinds[i].entity->is_local ? NULL : &l->kinds[i];
}

/* ---- take: ids ------------------------------------------------------------------------------------ */

static str text_of(const struct value *doc, const char *field)
{
	const struct value *v = value_get(doc, field);

	return !value_is_null(v) && v->kind == VALUE_STRING ? v->s : STR_NONE;
}

/* The parent's id as far as it has one: what is wrong with it is said there. */
static str parent_id(const struct item *item)
{
	return item->parent ? item->parent->id : STR_NONE;
}

/* A key that is no key by itself is made one by the parent's. */
static str name_in_parent(struct loading *l, const struct item *item, str name)
{
	for (size_t i = 0; i < item->kind->n_refs; i++) {
		const struct field *row = item->kind->refs[i];
		str above = item->parent ? parent_id(item) : text_of(item->doc, row->name);

		if (row->on_delete)
			name = str_fmt(l->scratch, STRF ":" STRF, STRV(name), STRV(above));
	}
	return name;
}

/* What is unique together, joined; STR_NONE when a part is not known yet. */
static str name_of_parts(struct loading *l, const struct item *item,
			 const struct field *child_field)
{
	str name = str_of(item->kind->entity->name);
	strs parts = str_split(l->scratch, str_of(item->kind->entity->cache_key), ',');

	for (size_t i = 0; i < parts.n; i++) {
		const struct value *v = value_get_str(item->doc, parts.v[i]);
		const struct field *row =
			entity_field(item->kind->entity, str_z(l->scratch, parts.v[i]));
		str part = STR("");

		if (row->is_auto)
			return STR_NONE;
		if (v && v->kind == VALUE_STRING)
			part = v->s;
		else if (v)
			continue;
		else if (row == child_field)
			part = parent_id(item);
		else if (row->required)
			return STR_NONE;
		name = str_fmt(l->scratch, STRF ":" STRF, STRV(name), STRV(part));
	}
	return name;
}

/* The text that the id is made from, so that the same document always has the same ids. */
static str name_for_id(struct loading *l, const struct item *item, const struct field *child_field)
{
	const struct entity *e = item->kind->entity;
	str name = e->endpoint_key ? text_of(item->doc, e->endpoint_key) : STR_NONE;

	if (name.s)
		return entity_field(e, e->endpoint_key)->is_unique ? name
								   : name_in_parent(l, item, name);
	return e->cache_key ? name_of_parts(l, item, child_field) : STR_NONE;
}

static void give_id(struct loading *l, struct item *item, const struct field *child_field)
{
	const struct entity *e = item->kind->entity;
	const char *key = entity_primary_key(e);
	const struct value *v = value_get(item->doc, key);
	str name;
	uuid u;

	if (value_is_null(v) && entity_field(e, key)->is_uuid) {
		name = name_for_id(l, item, child_field);
		u = name.s ? uuid_v5(item->kind->space, name) : uuid_random();
		v = value_str(l->a, uuid_str(l->a, u));
		value_set(l->a, item->doc, str_of(key), value_str(l->a, v->s));
	}
	if (value_is_null(v) || v->kind != VALUE_STRING)
		return;
	item->id = uuid_parse(v->s, &u) ? uuid_str(l->scratch, u) : v->s;
}

/* ---- take: lists ------------------------------------------------------------------------------------ */

static void take_list(struct loading *l, struct kind *kind, struct value *list, struct item *parent,
		      const struct field *child_field);

/* Notes that are not for us. */
static void drop_notes(struct loading *l, struct item *item)
{
	const struct value *comment = value_get(item->doc, "_comment");
	const struct value *ignore = value_get(item->doc, "_ignore");

	if (!value_is_null(comment) && comment->kind != VALUE_STRING)
		fault(l, item, "_comment", "expected a string");
	if (!value_is_null(ignore) && ignore->kind != VALUE_ARRAY)
		fault(l, item, "_ignore", "expected an array");
	value_unset(item->doc, STR("_comment"));
	value_unset(item->doc, STR("_ignore"));
}

static void take_children(struct loading *l, struct item *item)
{
	for (size_t i = 0; i < item->kind->n_children; i++) {
		const struct child *child = &item->kind->children[i];
		str name = str_of(child->kind->entity->name);
		struct value *list = value_get_str(item->doc, name);

		if (!list)
			continue;
		value_unset(item->doc, name);
		take_list(l, child->kind, list, item, child->field);
	}
}

static void note_item(struct loading *l, struct item *item)
{
	struct kind *k = item->kind;
	void **slot;

	*vec_add(l->scratch, &l->items) = item;
	if (item->id.s) {
		slot = map_put(l->scratch, &k->by_id, item->id);
		*slot = *slot ? *slot : item;
	}
	if (k->entity->endpoint_key)
		item->name = text_of(item->doc, k->entity->endpoint_key);
	if (item->name.s) {
		slot = map_put(l->scratch, &k->by_name, item->name);
		*slot = *slot ? *slot : item;
	}
	if (!item->name.s)
		item->name = item->id;
}

/* The parent of a nested one is the one that it is nested in. */
static void link_parent(struct loading *l, struct item *item, const struct field *row)
{
	struct value *id;
	uuid u;

	if (!row)
		return;
	item->given = value_get(item->doc, row->name);
	id = value_object(l->a);
	value_set(l->a, id, STR("id"),
		  value_str(l->a, uuid_parse(item->parent->id, &u)
					  ? uuid_str(l->a, u)
					  : uuid_str(l->a, uuid_random())));
	value_set(l->a, item->doc, str_of(row->name), id);
}

static void take_item(struct loading *l, struct kind *kind, struct value *doc, struct item *parent,
		      uint32_t index, const struct field *child_field)
{
	struct item *item = NEW(l->scratch, struct item);

	*item = (struct item){ .kind = kind,
			       .parent = parent,
			       .parent_field = child_field,
			       .doc = doc,
			       .index = index };
	drop_notes(l, item);
	give_id(l, item, child_field);
	link_parent(l, item, child_field);
	note_item(l, item);
	take_children(l, item);
}

static void take_list(struct loading *l, struct kind *kind, struct value *list, struct item *parent,
		      const struct field *child_field)
{
	str name = str_of(kind->entity->name);

	if (value_is_null(list) || (list->kind == VALUE_OBJECT && !list->n))
		return;
	if (list->kind != VALUE_ARRAY) {
		fault(l, parent, kind->entity->name, "expected an array");
		return;
	}
	for (uint32_t i = 0; i < list->n; i++) {
		struct value *doc = list->items[i];
		bool is_empty = doc->kind == VALUE_ARRAY && !doc->n;

		if (doc->kind == VALUE_OBJECT || is_empty)
			take_item(l, kind, is_empty ? value_object(l->a) : doc, parent, i,
				  child_field);
		else
			put_at(l, list_of(l, parent, name), i,
			       value_text(l->a, value_is_null(doc) ? "required field missing"
								   : "expected a record"));
	}
}

/* ---- the top of the document ---------------------------------------------------------------------------- */

/* clang-format off */
static const struct field top_fields[] = {
	F_NOT_KEPT("_format_version", FIELD_STRING, .required = true, .one_of = J(["1.1", "2.1", "3.0"]), .help = "Version of the format."),
	F_NOT_KEPT("_transform", FIELD_BOOLEAN, .def = J(true), .help = "Whether secrets are still to be hashed."),
	F_NOT_KEPT("_comment", FIELD_STRING, .help = "Whatever you like."),
	F_NOT_KEPT("_ignore", FIELD_ARRAY, .elements = FIELD(FIELD_ANY), .help = "Whatever you like."),
	F_END
};
/* clang-format on */

static void take_document(struct loading *l, struct value *doc)
{
	const struct schema *top =
		schema_new(l->scratch, "declarative_config", top_fields, NULL, NULL);
	struct value *head = value_object(l->a), *errors;

	for (uint32_t i = 0; i < doc->n; i++) {
		struct kind *kind = find_kind(l, doc->members[i].key);

		if (!kind)
			value_set(l->a, head, doc->members[i].key, doc->members[i].value);
	}
	errors = schema_process(l->a, top, head, &l->options);
	for (uint32_t i = 0; errors && i < errors->n; i++)
		value_set(l->a, l->errors, errors->members[i].key, errors->members[i].value);
	l->options.is_transformed = !errors && !value_is_null(value_get(head, "_transform")) &&
				    !value_get(head, "_transform")->b;
	for (size_t i = 0; i < l->n_kinds; i++) {
		struct value *list = value_get(doc, l->kinds[i].entity->name);

		if (list && !l->kinds[i].entity->is_local)
			take_list(l, &l->kinds[i], list, NULL, NULL);
	}
}

/* ---- resolve ---------------------------------------------------------------------------------------------- */

static struct item *find_target(struct loading *l, const struct field *row, str key)
{
	struct kind *k = &l->kinds[entity_index(str_of(row->reference))];
	struct item *found = map_find(&k->by_name, key);
	uuid u;

	if (!found && uuid_parse(key, &u))
		key = uuid_str(l->scratch, u);
	return found ? found : map_find(&k->by_id, key);
}

static void note_dangling(struct loading *l, struct item *item, const struct field *row,
			  const struct value *v)
{
	*vec_add(l->scratch, &l->danglings) = (struct dangling){
		.item = item,
		.field = row,
		.shown = v->kind == VALUE_STRING ? v->s : json_text(l->a, v, JSON_COMPACT),
	};
}

/* The text of a reference, by key or by id; STR_NONE: it is null, or none at all. */
static str reference_text(const struct value *v)
{
	const struct value *id = value_get(v, "id");

	if (!value_is_null(id) && id->kind == VALUE_STRING)
		return id->s;
	return !value_is_null(v) && v->kind == VALUE_STRING ? v->s : STR_NONE;
}

/* A reference that leads nowhere gets a stand-in, so that the schema has its say about the
 * rest.  What is no reference is left to the schema, and so are those of nested ones. */
static void resolve(struct loading *l, struct item *item, const struct field *row)
{
	struct value *v = value_get(item->doc, row->name), *made;
	str key = reference_text(v);
	struct item *found = key.s ? find_target(l, row, key) : NULL;
	uuid u;

	if (!key.s || (!found && item->parent && v->kind == VALUE_STRING))
		return;
	if (!found)
		note_dangling(l, item, row, v);
	if (v->kind == VALUE_OBJECT)
		return; /* good or bad, as it stands */
	made = value_object(l->a);
	value_set(l->a, made, STR("id"),
		  value_str(l->a, found && uuid_parse(found->id, &u)
					  ? uuid_str(l->a, u)
					  : uuid_str(l->a, uuid_random())));
	value_set(l->a, item->doc, str_of(row->name), made);
}

/* What a nested one says about its parent has no effect, but may not be wrong. */
static void check_given(struct loading *l, struct item *item)
{
	const struct field *row = item->parent_field;
	str key = reference_text(item->given);

	if (value_is_null(item->given) || (key.s && find_target(l, row, key)))
		return;
	if (key.s && item->given->kind == VALUE_OBJECT)
		note_dangling(l, item, row, item->given);
	else
		fault(l, item, str_z(l->scratch, str_fmt(l->scratch, "%s.id", row->name)),
		      "missing primary key");
}

static void resolve_all(struct loading *l)
{
	for (size_t i = 0; i < l->items.n; i++) {
		struct item *item = l->items.v[i];

		check_given(l, item);
		for (size_t k = 0; k < item->kind->n_refs; k++) {
			if (item->kind->refs[k] != item->parent_field)
				resolve(l, item, item->kind->refs[k]);
		}
	}
}

/* [at] of `where` gets one more message. */
static void add_message(struct loading *l, struct value *where, str at, const char *words)
{
	struct value *list = value_get_str(where, at);

	if (!list) {
		list = value_array(l->a);
		value_set(l->a, where, at, list);
	}
	value_add(l->a, list, value_text(l->a, words));
}

/* Kong's form: by entity and name; ours beside it, by place. */
static struct value *report_danglings(struct loading *l)
{
	struct value *tree = value_object(l->a);

	for (size_t i = 0; i < l->danglings.n; i++) {
		const struct dangling *d = &l->danglings.v[i];
		str entity = str_of(d->item->kind->entity->name);
		struct value *of_entity = value_get_str(tree, entity);
		str words =
			str_fmt(l->a, "invalid reference '%s: " STRF "' (no such entry in '%s')",
				d->field->name, STRV(d->shown), d->field->reference);
		str at = d->item->name.s ? str_copy(l->a, d->item->name)
					 : str_fmt(l->a, "%u", d->item->index + 1);

		if (!of_entity) {
			of_entity = value_object(l->a);
			value_set(l->a, tree, entity, of_entity);
		}
		add_message(l, of_entity, at, str_z(l->a, words));
		fault(l, d->item, d->field->name, str_z(l->a, words));
	}
	return tree->n ? tree : NULL;
}

/* ---- process ------------------------------------------------------------------------------------------------ */

static void process(struct loading *l, struct item *item)
{
	struct value *errors = entity_process(l->a, item->kind->entity, item->doc, &l->options);
	struct value *node;

	if (!errors) {
		*vec_add(l->scratch, &item->kind->docs) = item->doc;
		return;
	}
	node = node_of(l, item);
	for (uint32_t i = 0; i < errors->n; i++) {
		/* What was said while the lists were taken stays. */
		if (!value_get_str(node, errors->members[i].key))
			value_set(l->a, node, errors->members[i].key, errors->members[i].value);
	}
}

/* ---- compare ------------------------------------------------------------------------------------------------- */

/* The values of fields that are unique together, readable; STR_NONE when they are not all there. */
static str values_of(struct loading *l, const struct value *doc, const char *names, strs fields)
{
	str all = STR("");

	if (fields.n == 1)
		return text_of(doc, names);
	for (size_t i = 0; i < fields.n; i++) {
		const struct value *v = value_get_str(doc, fields.v[i]);

		if (!value_is_null(v) && v->kind == VALUE_OBJECT)
			v = value_get(v, "id");
		all = str_fmt(l->scratch, STRF "%s" STRF, STRV(all), i ? ", " : "",
			      STRV(value_is_null(v) ? STR("null") : v->s));
	}
	return all;
}

/* Says where each second one is. */
static void compare(struct loading *l, const struct kind *k, const char *where, const char *names)
{
	strs fields = str_split(l->scratch, str_of(names), ',');
	struct map seen = { 0 };

	for (size_t i = 0; i < l->items.n; i++) {
		struct item *item = l->items.v[i];
		str key = item->kind == k ? values_of(l, item->doc, names, fields) : STR_NONE;
		void **slot;

		if (!key.s)
			continue;
		slot = map_put(l->scratch, &seen, key);
		if (*slot)
			fault(l, item, where,
			      str_z(l->scratch, str_fmt(l->scratch,
							"uniqueness violation: '%s' entity with %s "
							"set to '" STRF "' already declared",
							k->entity->name, names, STRV(key))));
		*slot = item;
	}
}

static void compare_kind(struct loading *l, const struct kind *k)
{
	const char *key = entity_primary_key(k->entity);

	if (!k->docs.n)
		return;
	compare(l, k, key, key);
	for (const struct field *row = schema_fields(k->schema); row->name; row++) {
		if (row->is_unique && row->kind == FIELD_STRING && strcmp(row->name, key) != 0)
			compare(l, k, row->name, row->name);
	}
	if (k->entity->cache_key && strchr(k->entity->cache_key, ','))
		compare(l, k, "@entity", k->entity->cache_key);
}

/* ---- fill ------------------------------------------------------------------------------------------------------ */

/* All entities live in a workspace, and when none is called default it is made.  Its id. */
static str add_workspace(struct loading *l)
{
	struct kind *k = find_kind(l, STR("workspaces"));
	struct value *doc;

	for (size_t i = 0; i < k->docs.n; i++) {
		if (str_is(text_of(k->docs.v[i], "name"), "default"))
			return text_of(k->docs.v[i], "id");
	}
	doc = value_object(l->a);
	value_set(l->a, doc, STR("id"), value_text(l->a, DEFAULT_WORKSPACE));
	value_set(l->a, doc, STR("name"), value_text(l->a, "default"));
	if (!entity_process(l->a, k->entity, doc, &l->options))
		*vec_add(l->scratch, &k->docs) = doc;
	return STR(DEFAULT_WORKSPACE);
}

static void fill(struct loading *l, struct declarative_config *d)
{
	bool is_empty = true;

	for (size_t i = 0; i < l->n_kinds; i++)
		is_empty &= !l->kinds[i].docs.n ||
			    l->kinds[i].entity == entities[entity_index(STR("workspaces"))];
	if (is_empty)
		memset(d->config.hash, '0', sizeof(d->config.hash) - 1);
	d->config.workspace = add_workspace(l);
	d->n_sets = l->n_kinds;
	d->sets = NEWS(l->a, struct set, l->n_kinds);
	for (size_t i = 0; i < l->n_kinds; i++)
		set_fill(l->a, &d->sets[i], l->kinds[i].entity, l->kinds[i].docs.v,
			 l->kinds[i].docs.n);
	sets_decode(d);
}

static struct value *load(struct loading *l, struct declarative_config *d, struct value *doc)
{
	struct value *tree;

	make_kinds(l);
	declarative_migrate(l->a, doc);
	take_document(l, doc);
	resolve_all(l);
	for (size_t i = 0; i < l->items.n; i++)
		process(l, l->items.v[i]);
	if (l->errors->n)
		return l->errors;
	tree = report_danglings(l);
	if (tree)
		return tree;
	for (size_t i = 0; i < l->n_kinds; i++)
		compare_kind(l, &l->kinds[i]);
	if (l->errors->n)
		return l->errors;
	fill(l, d);
	return NULL;
}

struct value *declarative_load(struct declarative_config *d, struct value *doc,
			       const struct declarative_options *o, struct value **ret_placed)
{
	struct arena *scratch CLEANUP(arena_drop) = arena_new();
	struct loading l = { .a = d->arena,
			     .scratch = scratch,
			     .errors = value_object(d->arena),
			     .options = { .op = SCHEMA_INSERT, .now_ms = o->now_ms } };
	struct value *errors;

	if (doc->kind == VALUE_ARRAY && doc->n == 0)
		doc = value_object(d->arena);
	errors = load(&l, d, doc);
	if (errors)
		*ret_placed = l.errors;
	return errors;
}
