/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of one entity in order, found by id and by key, and decoded. */
#include "store/priv.h"

#include <stdlib.h>

size_t entity_index(str name)
{
	for (size_t i = 0; entities[i]; i++) {
		if (str_is(name, entities[i]->name))
			return i;
	}
	return SIZE_MAX;
}

struct sorting {
	uuid id;
	str key; /* where there is no id */
	struct value *doc;
};

static int by_id(const void *x, const void *y)
{
	const struct sorting *a = x, *b = y;
	int order = uuid_cmp(a->id, b->id);

	return order ? order : str_cmp(a->key, b->key);
}

static void sort_docs(struct arena *a, struct set *s, struct value **docs)
{
	struct arena *scratch CLEANUP(arena_drop) = arena_new();
	struct sorting *v = NEWS(scratch, struct sorting, s->n);
	const char *primary_key = entity_primary_key(s->entity);

	for (size_t i = 0; i < s->n; i++) {
		const struct value *key = value_get(docs[i], primary_key);

		v[i] = (struct sorting){ .doc = docs[i], .key = key->s };
		uuid_parse(key->s, &v[i].id);
	}
	if (s->n)
		qsort(v, s->n, sizeof(*v), by_id);
	s->docs = NEWS(a, struct value *, s->n);
	s->ids = NEWS(a, uuid, s->n);
	for (size_t i = 0; i < s->n; i++) {
		s->docs[i] = v[i].doc;
		s->ids[i] = v[i].id;
	}
}

static bool is_key(const struct entity *e, const struct field *row)
{
	return row->kind == FIELD_STRING &&
	       (row->is_unique || (e->endpoint_key && strcmp(row->name, e->endpoint_key) == 0));
}

static void index_key(struct arena *a, struct set *s, const char *field)
{
	struct set_key *key = &s->keys[s->n_keys++];

	key->field = field;
	for (size_t i = 0; i < s->n; i++) {
		const struct value *v = value_get(s->docs[i], field);

		if (!value_is_null(v) && v->kind == VALUE_STRING)
			*map_put(a, &key->docs, v->s) = s->docs[i];
	}
}

static void index_ref(struct arena *a, struct set *s, const char *field)
{
	struct set_ref *ref = &s->refs[s->n_refs++];

	*ref = (struct set_ref){ .field = field, .ids = NEWS(a, uuid, s->n) };
	for (size_t i = 0; i < s->n; i++) {
		const struct value *id = value_get(value_get(s->docs[i], field), "id");

		if (!value_is_null(id))
			uuid_parse(id->s, &ref->ids[i]);
	}
}

void set_fill(struct arena *a, struct set *s, const struct entity *e, struct value **docs, size_t n)
{
	*s = (struct set){ .entity = e, .n = n };
	sort_docs(a, s, docs);
	for (const struct field *row = schema_fields(entity_schema(e)); row->name; row++) {
		if (is_key(e, row) && s->n_keys < SET_KEYS_MAX)
			index_key(a, s, row->name);
		if (row->kind == FIELD_FOREIGN && s->n_refs < SET_REFS_MAX)
			index_ref(a, s, row->name);
	}
}

struct value *set_find(const struct set *s, uuid id)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = uuid_cmp(s->ids[middle], id);

		if (order == 0)
			return s->docs[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct value *set_find_by(const struct set *s, const char *field, str value)
{
	for (size_t i = 0; i < s->n_keys; i++) {
		if (strcmp(s->keys[i].field, field) == 0)
			return map_find(&s->keys[i].docs, value);
	}
	for (size_t i = 0; i < s->n; i++) {
		const struct value *v = value_get(s->docs[i], field);

		if (!value_is_null(v) && v->kind == VALUE_STRING && str_eq(v->s, value))
			return s->docs[i];
	}
	return NULL;
}

/* ---- decoding --------------------------------------------------------------------------- */

static void *decode_set(struct declarative_config *d, const struct set *s, size_t *ret_n)
{
	size_t size = s->entity->size;
	char *all = s->n ? arena_zalloc(d->arena, arena_times_(s->n, size)) : NULL;

	for (size_t i = 0; i < s->n; i++)
		entity_decode(d->arena, s->entity, s->docs[i], all + i * size);
	*ret_n = s->n;
	return all;
}

static void *decode_all(struct declarative_config *d, const char *name, size_t *ret_n)
{
	return decode_set(d, &d->sets[entity_index(str_of(name))], ret_n);
}

/* Behind the core's. */
static void decode_more(struct declarative_config *d)
{
	size_t first = entity_index(str_of("keys")) + 1;

	d->config.more.v = NEWS(d->arena, struct entity_list, d->n_sets - first);
	d->config.more.n = d->n_sets - first;
	for (size_t i = first; i < d->n_sets; i++) {
		struct entity_list *list = &d->config.more.v[i - first];

		list->entity = d->sets[i].entity;
		list->v = decode_set(d, &d->sets[i], &list->n);
	}
}

#define DECODE(list) d->config.list.v = decode_all(d, #list, &d->config.list.n)

void sets_decode(struct declarative_config *d)
{
	DECODE(services);
	DECODE(routes);
	DECODE(consumers);
	DECODE(plugins);
	DECODE(certificates);
	DECODE(snis);
	DECODE(ca_certificates);
	DECODE(upstreams);
	DECODE(targets);
	DECODE(vaults);
	DECODE(key_sets);
	DECODE(keys);
	decode_more(d);
}
