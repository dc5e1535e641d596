/* SPDX-License-Identifier: Apache-2.0 */
/* map - text to pointer, insert and find, in an arena.
 *
 * Open addressing over a power of two, keys hashed with a per-process random
 * seed (SipHash-1-3: keys come from outside).  Keys are borrowed and must live
 * as long as the map.  Nothing is ever removed: a map belongs to a snapshot, a
 * document or a request.  Readers may share a finished map between threads. */
#pragma once

#include "base/str.h"

struct map_slot {
	str key;
	void *value;
	uint64_t hash;
};

struct map {
	struct map_slot *slots;
	size_t n, cap; /* cap is a power of two, or 0 */
};

/* Storage for the value under key, NULL in it when the key is new. */
void **map_put(struct arena *a, struct map *m, str key);

/* The value, or NULL. */
void *map_find(const struct map *m, str key);

#define map_for_each(m, slot)                                                                      \
	for (struct map_slot *slot = (m)->slots; (size_t)(slot - (m)->slots) < (m)->cap; slot++)   \
		if (slot->key.s)

/* The hash it uses, for tables of other shapes. */
uint64_t hash_bytes(const void *p, size_t n);
