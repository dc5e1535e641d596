/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/log.h"
#include <pthread.h>
#include <sys/random.h>

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_make(void)
{
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("the kernel gives no random numbers");
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein), little-endian words. */
uint64_t hash_bytes(const void *p_, size_t n)
{
	const unsigned char *p = p_;
	uint64_t v[4], word;
	size_t i;

	pthread_once(&seed_once, seed_make);
	v[0] = seed[0] ^ 0x736f6d6570736575ULL;
	v[1] = seed[1] ^ 0x646f72616e646f6dULL;
	v[2] = seed[0] ^ 0x6c7967656e657261ULL;
	v[3] = seed[1] ^ 0x7465646279746573ULL;
	for (i = 0; i + 8 <= n; i += 8) {
		memcpy(&word, p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)n << 56;
	for (size_t k = 0; i + k < n; k++)
		word |= (uint64_t)p[i + k] << (8 * k);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
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
