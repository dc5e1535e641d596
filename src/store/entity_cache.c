/* SPDX-License-Identifier: Apache-2.0 */
/*	cache ─► shard[16] ─► buckets ─► entry ─► entry
 *	              └─► by use, oldest first: what is there; what is not */
#include "store/entity_cache.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include <pthread.h>

#define SHARDS        16
#define BUCKETS_FIRST 64
#define STAMPS        4096 /* of keys, by hash */
#define KINDS_MAX     128

struct entry {
	struct entry *next;
	struct list by_use;
	uint64_t hash;
	struct cached *what;
	size_t bytes;
	int64_t ends_ms; /* 0: never */
	uint64_t kind;   /* of those that are loose: how often the kind had changed */
	bool is_missing, is_loose;
	size_t n;
	char key[];
};

struct shard {
	pthread_mutex_t lock;
	struct entry **buckets;
	size_t n_buckets, n;
	struct list by_use[2]; /* of what is there, and of what is not */
	size_t bytes[2], count[2];
	uint64_t hits, misses, evicted;
};

struct entity_cache {
	struct cache_options options;
	struct shard shards[SHARDS];
	_Atomic uint64_t keys[STAMPS];
	_Atomic uint64_t kinds[KINDS_MAX]; /* changes to one of them */
	_Atomic uint64_t all;
};

/* ---- answers ---------------------------------------------------------------------------- */

static size_t weight(const struct value *v)
{
	size_t n = sizeof(*v) + 16;

	if (v->kind == VALUE_STRING)
		return n + v->s.n;
	for (uint32_t i = 0; v->kind == VALUE_ARRAY && i < v->n; i++)
		n += sizeof(void *) + weight(v->items[i]);
	for (uint32_t i = 0; v->kind == VALUE_OBJECT && i < v->n; i++)
		n += sizeof(struct member) + v->members[i].key.n + weight(v->members[i].value);
	return n;
}

static void add_struct(struct cached *c, struct value *doc)
{
	void *made = arena_zalloc(c->arena, c->entity->size);

	entity_decode(c->arena, c->entity, doc, made);
	c->v[c->n++] = made;
}

struct cached *cached_new(const struct entity *e, const struct value *doc)
{
	bool is_list = doc && doc->kind == VALUE_ARRAY;
	size_t n = !doc ? 0 : is_list ? doc->n : 1;
	struct arena *a = arena_new_of(sizeof(struct cached) + n * (e->size + 64) +
				       (doc ? weight(doc) : 0) + 128);
	struct cached *c = NEW(a, struct cached);
	struct value *own = doc ? value_copy(a, doc) : value_null(a);

	c->holders = 1;
	c->arena = a;
	c->entity = e;
	c->doc = own;
	c->v = NEWS(a, const void *, n);
	for (size_t i = 0; i < n; i++)
		add_struct(c, is_list ? own->items[i] : own);
	return c;
}

struct cached *cached_hold(struct cached *c)
{
	atomic_fetch_add_explicit(&c->holders, 1, memory_order_relaxed);
	return c;
}

void cached_drop(struct cached **ref)
{
	struct cached *c = *ref;
	struct arena *a;

	*ref = NULL;
	if (!c || atomic_fetch_sub_explicit(&c->holders, 1, memory_order_acq_rel) != 1)
		return;
	a = c->arena;
	arena_drop(&a);
}

/* ---- its life ------------------------------------------------------------------------------ */

struct entity_cache *entity_cache_new(const struct cache_options *o)
{
	struct entity_cache *c = MEM_NEW(struct entity_cache);

	c->options = *o;
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		list_init(&s->by_use[0]);
		list_init(&s->by_use[1]);
		s->n_buckets = BUCKETS_FIRST;
		s->buckets = mem_alloc(s->n_buckets * sizeof(*s->buckets));
	}
	return c;
}

static struct entry **place_of(struct shard *s, str key, uint64_t hash)
{
	struct entry **at = &s->buckets[hash / SHARDS % s->n_buckets];

	while (*at && ((*at)->hash != hash || !str_eq(str_at((*at)->key, (*at)->n), key)))
		at = &(*at)->next;
	return at;
}

static void take_out(struct shard *s, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	list_remove(&e->by_use);
	s->bytes[e->is_missing] -= e->bytes;
	s->count[e->is_missing]--;
	s->n--;
	cached_drop(&e->what);
	mem_free(e);
}

static void empty(struct shard *s)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_buckets; i++) {
		while (s->buckets[i])
			take_out(s, &s->buckets[i]);
	}
	pthread_mutex_unlock(&s->lock);
}

void entity_cache_drop(struct entity_cache **ref)
{
	struct entity_cache *c = *ref;

	if (!c)
		return;
	*ref = NULL;
	for (size_t i = 0; i < SHARDS; i++) {
		empty(&c->shards[i]);
		mem_free(c->shards[i].buckets);
		pthread_mutex_destroy(&c->shards[i].lock);
	}
	mem_free(c);
}

/* ---- what is old ------------------------------------------------------------------------------ */

static _Atomic uint64_t *kind_of(struct entity_cache *c, const struct entity *e)
{
	size_t i = 0;

	while (entities[i] && entities[i] != e && i < KINDS_MAX - 1)
		i++;
	return &c->kinds[i];
}

static uint64_t count(_Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

static bool is_outdated(struct entity_cache *c, const struct entry *e)
{
	return e->is_loose && e->kind != count(kind_of(c, e->what->entity));
}

struct cache_stamp entity_cache_stamp(struct entity_cache *c, const struct entity *e, str key)
{
	return (struct cache_stamp){
		.key = count(&c->keys[hash_bytes(key.s, key.n) % STAMPS]),
		.kind = count(kind_of(c, e)),
		.all = count(&c->all),
	};
}

/* ---- finding ------------------------------------------------------------------------------------ */

static struct shard *shard_of(struct entity_cache *c, uint64_t hash)
{
	return &c->shards[hash % SHARDS];
}

static enum cache_state look(struct entity_cache *c, str key, int64_t now_ms, bool is_use,
			     struct cached **ret)
{
	uint64_t hash = hash_bytes(key.s, key.n);
	struct shard *s = shard_of(c, hash);
	enum cache_state state = CACHE_NONE;
	struct entry **at, *e;

	pthread_mutex_lock(&s->lock);
	at = place_of(s, key, hash);
	e = *at;
	if (e && is_outdated(c, e)) {
		take_out(s, at);
		e = NULL;
	}
	if (e) {
		*ret = cached_hold(e->what);
		state = e->ends_ms && now_ms >= e->ends_ms ? CACHE_OVER : CACHE_GOOD;
	}
	if (e && is_use) {
		list_remove(&e->by_use);
		list_add(&s->by_use[e->is_missing], &e->by_use);
	}
	if (is_use)
		*(state == CACHE_GOOD ? &s->hits : &s->misses) += 1;
	pthread_mutex_unlock(&s->lock);
	return state;
}

enum cache_state entity_cache_find(struct entity_cache *c, const struct entity *e, str key,
				   int64_t now_ms, struct cached **ret)
{
	struct cached *found = NULL;
	enum cache_state state = look(c, key, now_ms, true, &found);

	/* Keys of two kinds never meet, but a stranger's is no use. */
	if (found && found->entity != e) {
		cached_drop(&found);
		return CACHE_NONE;
	}
	if (found)
		*ret = found;
	return state;
}

enum cache_state entity_cache_peek(struct entity_cache *c, str key, int64_t now_ms,
				   struct cached **ret)
{
	return look(c, key, now_ms, false, ret);
}

/* ---- keeping ------------------------------------------------------------------------------------ */

static void grow(struct shard *s)
{
	size_t n = 2 * s->n_buckets;
	struct entry **wider = mem_alloc(n * sizeof(*wider));

	for (size_t i = 0; i < s->n_buckets; i++) {
		while (s->buckets[i]) {
			struct entry *e = s->buckets[i], **to = &wider[e->hash / SHARDS % n];

			s->buckets[i] = e->next;
			e->next = *to;
			*to = e;
		}
	}
	mem_free(s->buckets);
	s->buckets = wider;
	s->n_buckets = n;
}

static void evict(struct shard *s, bool is_missing, size_t most)
{
	struct list *by_use = &s->by_use[is_missing];

	while (s->bytes[is_missing] > most && !list_is_empty(by_use)) {
		struct entry *oldest = CONTAINER(by_use->next, struct entry, by_use);

		s->evicted++;
		take_out(s, place_of(s, str_at(oldest->key, oldest->n), oldest->hash));
	}
}

static struct entry *make_entry(struct entity_cache *c, str key, uint64_t hash, struct cached *what,
				int64_t now_ms)
{
	struct entry *e = mem_alloc(sizeof(*e) + key.n);
	int64_t ttl;

	e->hash = hash;
	e->n = key.n;
	memcpy(e->key, key.s, key.n);
	e->what = cached_hold(what);
	e->is_missing = what->n == 0;
	e->bytes = sizeof(*e) + key.n + arena_size(what->arena) + 2 * sizeof(void *);
	ttl = e->is_missing ? c->options.missing_ttl_ms : c->options.ttl_ms;
	e->ends_ms = ttl > 0 ? now_ms + ttl : 0;
	list_init(&e->by_use);
	return e;
}

void entity_cache_put(struct entity_cache *c, str key, struct cached *what, bool is_loose,
		      const struct cache_stamp *stamp, int64_t now_ms)
{
	uint64_t hash = hash_bytes(key.s, key.n);
	struct shard *s = shard_of(c, hash);
	struct entry *e = make_entry(c, key, hash, what, now_ms);
	size_t most = (e->is_missing ? c->options.missing_bytes : c->options.bytes) / SHARDS;
	struct cache_stamp now;
	struct entry **at;

	e->is_loose = is_loose;
	e->kind = stamp->kind;
	pthread_mutex_lock(&s->lock);
	at = place_of(s, key, hash);
	if (*at)
		take_out(s, at);
	now = entity_cache_stamp(c, what->entity, key);
	if (now.key == stamp->key && now.all == stamp->all &&
	    (!is_loose || now.kind == stamp->kind) && e->bytes <= most) {
		e->next = s->buckets[hash / SHARDS % s->n_buckets];
		s->buckets[hash / SHARDS % s->n_buckets] = e;
		list_add(&s->by_use[e->is_missing], &e->by_use);
		s->bytes[e->is_missing] += e->bytes;
		s->count[e->is_missing]++;
		if (++s->n > s->n_buckets)
			grow(s);
		evict(s, e->is_missing, most);
		e = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (e) {
		cached_drop(&e->what);
		mem_free(e);
	}
}

bool entity_cache_resurrect(struct entity_cache *c, str key, int64_t now_ms)
{
	uint64_t hash = hash_bytes(key.s, key.n);
	struct shard *s = shard_of(c, hash);
	struct entry *e;

	if (c->options.resurrect_ms <= 0)
		return false;
	pthread_mutex_lock(&s->lock);
	e = *place_of(s, key, hash);
	if (e && e->ends_ms && e->ends_ms <= now_ms)
		e->ends_ms = now_ms + c->options.resurrect_ms;
	pthread_mutex_unlock(&s->lock);
	return e != NULL;
}

/* ---- forgetting ---------------------------------------------------------------------------------- */

static void add_one(_Atomic uint64_t *at)
{
	atomic_fetch_add_explicit(at, 1, memory_order_acq_rel);
}

void entity_cache_forget(struct entity_cache *c, str key)
{
	uint64_t hash = hash_bytes(key.s, key.n);
	struct shard *s = shard_of(c, hash);
	str rest = key, word = STR("");
	const struct entity *kind;
	struct entry **at;

	str_next(&rest, ':', &word);
	kind = entity_find(word);
	pthread_mutex_lock(&s->lock);
	add_one(&c->keys[hash % STAMPS]);
	if (kind)
		add_one(kind_of(c, kind));
	at = place_of(s, key, hash);
	if (*at)
		take_out(s, at);
	pthread_mutex_unlock(&s->lock);
}

static void forget_those(struct entity_cache *c, const struct entity *e)
{
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];

		pthread_mutex_lock(&s->lock);
		for (size_t k = 0; k < s->n_buckets; k++) {
			struct entry **at = &s->buckets[k];

			while (*at) {
				if (!e || (*at)->what->entity == e)
					take_out(s, at);
				else
					at = &(*at)->next;
			}
		}
		pthread_mutex_unlock(&s->lock);
	}
}

/* What is read meanwhile is not kept, of no kind: it happens rarely. */
void entity_cache_forget_kind(struct entity_cache *c, const struct entity *e)
{
	add_one(&c->all);
	add_one(kind_of(c, e));
	forget_those(c, e);
}

void entity_cache_forget_all(struct entity_cache *c)
{
	add_one(&c->all);
	forget_those(c, NULL);
}

struct cache_stats entity_cache_stats(struct entity_cache *c)
{
	struct cache_stats all = {
		.bytes_most = c->options.bytes,
		.missing_bytes_most = c->options.missing_bytes,
	};

	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];

		pthread_mutex_lock(&s->lock);
		all.n += s->count[0];
		all.bytes += s->bytes[0];
		all.missing += s->count[1];
		all.missing_bytes += s->bytes[1];
		all.hits += s->hits;
		all.misses += s->misses;
		all.evicted += s->evicted;
		pthread_mutex_unlock(&s->lock);
	}
	return all;
}
