/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/siphash.h"
#include <pthread.h>

static struct sip_key seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_make(void)
{
	sip_key_make(&seed);
}

uint64_t hash_bytes(const void *p, size_t n)
{
	pthread_once(&seed_once, seed_make);
	return sip_hash(&seed, p, n);
}

/* The slot of key, or the free one where it would go. */
static struct map_slot *find_slot(const struct map *m, str key, uint64_t hash)
{
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *slot = &m->slots[i];

		if (!slot->key.s || (slot->hash == hash && str_eq(slot->key, key)))
			return slot;
	}
}

static void map_grow(struct arena *a, struct map *m)
{
	struct map bigger = { .cap = m->cap ? m->cap * 2 : 8, .n = m->n };

	bigger.slots = NEWS(a, struct map_slot, bigger.cap);
	map_for_each (m, slot)
		*find_slot(&bigger, slot->key, slot->hash) = *slot;
	*m = bigger;
}

void **map_put(struct arena *a, struct map *m, str key)
{
	uint64_t hash = hash_bytes(key.s, key.n);
	struct map_slot *slot;

	if (m->n * 4 >= m->cap * 3)
		map_grow(a, m);
	slot = find_slot(m, key, hash);
	if (!slot->key.s) {
		slot->key = key.s ? key : STR("");
		slot->hash = hash;
		m->n++;
	}
	return &slot->value;
}

void *map_find(const struct map *m, str key)
{
	return m->cap ? find_slot(m, key, hash_bytes(key.s, key.n))->value : NULL;
}
