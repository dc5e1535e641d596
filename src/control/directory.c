/* SPDX-License-Identifier: Apache-2.0 */
#include "control/directory.h"

#include "base/vec.h"

#define KEYS_MAX 4

struct owned {
	const void **v;
	size_t n, cap;
};

/* One entity: maps of its unique texts, and of its consumers. */
struct drawer {
	const struct entity *entity;
	struct {
		const char *field;
		struct map map;
	} keys[KEYS_MAX];
	size_t n_keys;
	struct map ids;    /* where other entities refer to these */
	struct map owners; /* consumer -> struct owned */
};

struct directory {
	struct map by_id, by_username;
	struct drawer *drawers;
	size_t n;
};

static str id_key(const uuid *id)
{
	return str_at((const char *)id->b, sizeof(id->b));
}

static void add_key(struct arena *a, struct drawer *d, const struct field *row,
		    const struct entity_list *list)
{
	struct map *m = &d->keys[d->n_keys].map;

	d->keys[d->n_keys++].field = row->name;
	for (size_t i = 0; i < list->n; i++) {
		void *item = (char *)list->v + i * list->entity->size;
		str text = *(const str *)((char *)item + row->offset);

		if (text.s)
			*map_put(a, m, text) = item;
	}
}

static void add_owners(struct arena *a, struct drawer *d, const struct field *row,
		       const struct entity_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		char *item = (char *)list->v + i * list->entity->size;
		void **slot = map_put(a, &d->owners, id_key((const uuid *)(item + row->offset)));
		struct owned *o = *slot;

		if (!o)
			*slot = o = NEW(a, struct owned);
		*vec_add(a, o) = item;
	}
}

static bool is_referred_to(const struct entity *e)
{
	for (size_t i = 0; entities[i]; i++) {
		for (const struct field *row = entities[i]->fields; row && row->name; row++) {
			if (row->reference && strcmp(row->reference, e->name) == 0)
				return true;
		}
	}
	return false;
}

static void add_id(struct arena *a, struct drawer *d, const struct field *row,
		   const struct entity_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		char *item = (char *)list->v + i * list->entity->size;

		*map_put(a, &d->ids, id_key((const uuid *)(item + row->offset))) = item;
	}
}

static void fill(struct arena *a, struct drawer *d, const struct entity_list *list)
{
	d->entity = list->entity;
	for (const struct field *row = list->entity->fields; row->name; row++) {
		if (row->offset == FIELD_NOT_KEPT)
			continue;
		if (row->kind == FIELD_STRING && row->is_unique && d->n_keys < KEYS_MAX)
			add_key(a, d, row, list);
		if (row->is_uuid && strcmp(row->name, "id") == 0 && is_referred_to(d->entity))
			add_id(a, d, row, list);
		if (row->kind == FIELD_FOREIGN && strcmp(row->name, "consumer") == 0)
			add_owners(a, d, row, list);
	}
}

struct directory *directory_new(struct arena *a, const struct config *config)
{
	struct directory *d = NEW(a, struct directory);

	for (size_t i = 0; i < config->consumers.n; i++) {
		struct consumer *c = &config->consumers.v[i];

		*map_put(a, &d->by_id, id_key(&c->id)) = c;
		if (c->username.s)
			*map_put(a, &d->by_username, c->username) = c;
	}
	d->n = config->more.n;
	d->drawers = NEWS(a, struct drawer, d->n);
	for (size_t i = 0; i < d->n; i++)
		fill(a, &d->drawers[i], &config->more.v[i]);
	return d;
}

const struct consumer *directory_consumer(const struct directory *d, uuid id)
{
	return map_find(&d->by_id, id_key(&id));
}

const struct consumer *directory_consumer_called(const struct directory *d, str name)
{
	uuid id;

	if (uuid_parse(name, &id)) {
		const struct consumer *c = directory_consumer(d, id);

		if (c)
			return c;
	}
	return map_find(&d->by_username, name);
}

static const struct drawer *drawer_of(const struct directory *d, const struct entity *e)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->drawers[i].entity == e)
			return &d->drawers[i];
	}
	return NULL;
}

const void *directory_find(const struct directory *d, const struct entity *e, const char *field,
			   str value)
{
	const struct drawer *in = drawer_of(d, e);
	uuid id;

	if (in && strcmp(field, "id") == 0)
		return uuid_parse(value, &id) ? map_find(&in->ids, id_key(&id)) : NULL;
	for (size_t i = 0; in && i < in->n_keys; i++) {
		if (strcmp(in->keys[i].field, field) == 0)
			return map_find(&in->keys[i].map, value);
	}
	return NULL;
}

const void *const *directory_of(const struct directory *d, const struct entity *e, uuid consumer,
				size_t *ret_n)
{
	const struct drawer *in = drawer_of(d, e);
	const struct owned *o = in ? map_find(&in->owners, id_key(&consumer)) : NULL;

	*ret_n = o ? o->n : 0;
	return o ? o->v : NULL;
}
