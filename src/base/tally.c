/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tally.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include <pthread.h>

#define SHARDS 64

/* A shard: chains of counters over a power of two of heads. */
struct counter {
	struct counter *next;
	uint64_t hash;
	int64_t ends_ms, value;
	size_t name_n;
	char name[];
};

struct shard {
	pthread_mutex_t lock;
	struct counter **heads;
	size_t n, cap;
};

struct tally {
	struct shard shards[SHARDS];
	size_t most; /* of one shard */
};

struct tally *tally_new(size_t most)
{
	struct tally *t = MEM_NEW(struct tally);

	t->most = most / SHARDS + 1;
	for (int i = 0; i < SHARDS; i++)
		pthread_mutex_init(&t->shards[i].lock, NULL);
	return t;
}

void tally_drop(struct tally **ref)
{
	struct tally *t = *ref;

	if (!t)
		return;
	*ref = NULL;
	for (int i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];

		for (size_t k = 0; k < s->cap; k++) {
			while (s->heads[k]) {
				struct counter *c = s->heads[k];

				s->heads[k] = c->next;
				mem_free(c);
			}
		}
		mem_free(s->heads);
		pthread_mutex_destroy(&s->lock);
	}
	mem_free(t);
}

/* The low bits choose the shard, the others the chain. */
static size_t shard_of(uint64_t hash)
{
	return hash % SHARDS;
}

static struct counter **chain_of(const struct shard *s, uint64_t hash)
{
	return &s->heads[hash / SHARDS & (s->cap - 1)];
}

/* The counter, or NULL; one that has ended is as good as none and is taken out. */
static struct counter *find(struct shard *s, str name, uint64_t hash, int64_t now_ms)
{
	if (!s->cap)
		return NULL;
	for (struct counter **at = chain_of(s, hash); *at; at = &(*at)->next) {
		struct counter *c = *at;

		if (c->hash != hash || !str_eq(str_at(c->name, c->name_n), name))
			continue;
		if (c->ends_ms > now_ms)
			return c;
		*at = c->next;
		mem_free(c);
		s->n--;
		return NULL;
	}
	return NULL;
}

/* Throws out what ends until `until`. */
static void sweep(struct shard *s, int64_t until)
{
	for (size_t k = 0; k < s->cap; k++) {
		for (struct counter **at = &s->heads[k]; *at;) {
			struct counter *c = *at;

			if (c->ends_ms > until) {
				at = &c->next;
				continue;
			}
			*at = c->next;
			mem_free(c);
			s->n--;
		}
	}
}

/* A quarter of the way from now to the last end, and so on, until there is room. */
static void make_room(struct shard *s, size_t most, int64_t now_ms)
{
	int64_t last = now_ms;

	sweep(s, now_ms);
	for (size_t k = 0; k < s->cap; k++) {
		for (const struct counter *c = s->heads[k]; c; c = c->next)
			last = c->ends_ms > last ? c->ends_ms : last;
	}
	for (int64_t quarter = 1; s->n >= most && quarter <= 4; quarter++)
		sweep(s, now_ms + (last - now_ms) / 4 * quarter + (quarter == 4 ? 3 : 0));
}

static void grow(struct shard *s)
{
	size_t cap = s->cap ? s->cap * 2 : 16;
	struct shard wider = { .heads = mem_alloc(cap * sizeof(*s->heads)), .cap = cap };

	for (size_t k = 0; k < s->cap; k++) {
		while (s->heads[k]) {
			struct counter *c = s->heads[k], **chain = chain_of(&wider, c->hash);

			s->heads[k] = c->next;
			c->next = *chain;
			*chain = c;
		}
	}
	mem_free(s->heads);
	s->heads = wider.heads;
	s->cap = cap;
}

static struct counter *get(struct tally *t, struct shard *s, str name, uint64_t hash,
			   int64_t ends_ms, int64_t now_ms)
{
	struct counter *c = find(s, name, hash, now_ms), **chain;

	if (c)
		return c;
	if (s->n >= t->most)
		make_room(s, t->most, now_ms);
	if (s->n >= s->cap)
		grow(s);
	c = mem_alloc(sizeof(*c) + name.n);
	c->hash = hash;
	c->ends_ms = ends_ms;
	c->name_n = name.n;
	memcpy(c->name, name.s, name.n);
	chain = chain_of(s, hash);
	c->next = *chain;
	*chain = c;
	s->n++;
	return c;
}

int64_t tally_add(struct tally *t, str name, int64_t by, int64_t ends_ms, int64_t now_ms)
{
	uint64_t hash = hash_bytes(name.s, name.n);
	struct shard *s = &t->shards[shard_of(hash)];
	int64_t value;

	pthread_mutex_lock(&s->lock);
	value = get(t, s, name, hash, ends_ms, now_ms)->value += by;
	pthread_mutex_unlock(&s->lock);
	return value;
}

int64_t tally_get(struct tally *t, str name, int64_t now_ms)
{
	uint64_t hash = hash_bytes(name.s, name.n);
	struct shard *s = &t->shards[shard_of(hash)];
	const struct counter *c;
	int64_t value;

	pthread_mutex_lock(&s->lock);
	c = find(s, name, hash, now_ms);
	value = c ? c->value : 0;
	pthread_mutex_unlock(&s->lock);
	return value;
}

/* All shards of the asks, each once, in the one order that cannot deadlock. */
static void lock_all(struct tally *t, uint64_t shards, bool lock)
{
	for (; shards; shards &= shards - 1) {
		int i = __builtin_ctzll(shards);

		if (lock)
			pthread_mutex_lock(&t->shards[i].lock);
		else
			pthread_mutex_unlock(&t->shards[i].lock);
	}
}

bool tally_take(struct tally *t, struct tally_ask *ask, size_t n, int64_t now_ms)
{
	uint64_t hashes[TALLY_ASKS_MAX], shards = 0;
	bool is_free = true;

	if (n > TALLY_ASKS_MAX)
		die("%zu counters are asked for at once", n);
	for (size_t i = 0; i < n; i++) {
		hashes[i] = hash_bytes(ask[i].name.s, ask[i].name.n);
		shards |= (uint64_t)1 << shard_of(hashes[i]);
	}
	lock_all(t, shards, true);
	for (size_t i = 0; i < n; i++) {
		const struct counter *c =
			find(&t->shards[shard_of(hashes[i])], ask[i].name, hashes[i], now_ms);

		ask[i].used = c ? c->value : 0;
		is_free &= ask[i].used < ask[i].most;
	}
	for (size_t i = 0; i < n && is_free; i++)
		get(t, &t->shards[shard_of(hashes[i])], ask[i].name, hashes[i], ask[i].ends_ms,
		    now_ms)
			->value += ask[i].by ? ask[i].by : 1;
	lock_all(t, shards, false);
	return is_free;
}
