/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shelf.h"

#include <pthread.h>

#include "base/list.h"
#include "base/mem.h"

struct parcel {
	struct list link; /* of the shelf: the latest first */
	struct parcel *next;
	uint64_t hash;
	int64_t ends_ms;
	size_t size; /* all that was allocated */
	size_t key_n, at, n;
	unsigned holds;                     /* atomic; the shelf's is one of them */
	_Alignas(max_align_t) char bytes[]; /* the key; from `at` on, n bytes */
};

struct shelf {
	pthread_mutex_t lock;
	struct parcel **heads; /* chains, over a power of two */
	size_t cap, n;
	struct list parcels;
	size_t bytes, most;
};

/* ---- parcels ------------------------------------------------------------------------------ */

struct parcel *parcel_new(str key, size_t room)
{
	size_t at = (key.n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	size_t size = sizeof(struct parcel) + at + room;
	struct parcel *p = mem_alloc(size);

	list_init(&p->link);
	p->size = size;
	p->key_n = key.n;
	p->at = at;
	p->holds = 1;
	if (key.n)
		memcpy(p->bytes, key.s, key.n);
	return p;
}

static size_t used(const struct parcel *p)
{
	return sizeof(*p) + p->at + p->n;
}

static void resize(struct parcel **ref, size_t size)
{
	*ref = mem_resize(*ref, size);
	list_init(&(*ref)->link);
	(*ref)->size = size;
}

void parcel_add(struct parcel **ref, str bytes)
{
	size_t need = used(*ref) + bytes.n;

	if (bytes.n == 0)
		return;
	if (need > (*ref)->size)
		resize(ref, need > 2 * (*ref)->size ? need : 2 * (*ref)->size);
	memcpy((*ref)->bytes + (*ref)->at + (*ref)->n, bytes.s, bytes.n);
	(*ref)->n += bytes.n;
}

void parcel_drop(struct parcel **ref)
{
	struct parcel *p = *ref;

	*ref = NULL;
	if (p && __atomic_sub_fetch(&p->holds, 1, __ATOMIC_ACQ_REL) == 0)
		mem_free(p);
}

str parcel_key(const struct parcel *p)
{
	return str_at(p->bytes, p->key_n);
}

str parcel_bytes(const struct parcel *p)
{
	return str_at(p->bytes + p->at, p->n);
}

/* ---- the shelf, its lock held ---------------------------------------------------------------- */

static uint64_t hash_of(str key)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (unsigned char)key.s[i]) * 0x100000001b3;
	return h;
}

static struct parcel **chain_of(const struct shelf *s, uint64_t hash)
{
	return &s->heads[hash & (s->cap - 1)];
}

static struct parcel **find(const struct shelf *s, str key, uint64_t hash)
{
	struct parcel **at = s->cap ? chain_of(s, hash) : NULL;

	while (at && *at && ((*at)->hash != hash || !str_eq(parcel_key(*at), key)))
		at = &(*at)->next;
	return at && *at ? at : NULL;
}

static void take_off(struct shelf *s, struct parcel **at)
{
	struct parcel *p = *at;

	*at = p->next;
	list_remove(&p->link);
	s->n--;
	s->bytes -= p->size;
	parcel_drop(&p);
}

static void grow(struct shelf *s)
{
	struct parcel **old = s->heads;
	size_t cap = s->cap;

	if (s->n < cap)
		return;
	s->cap = cap ? 2 * cap : 64;
	s->heads = mem_alloc(s->cap * sizeof(struct parcel *));
	for (size_t i = 0; i < cap; i++) {
		while (old[i]) {
			struct parcel *p = old[i], **to = chain_of(s, p->hash);

			old[i] = p->next;
			p->next = *to;
			*to = p;
		}
	}
	mem_free(old);
}

static void make_room(struct shelf *s, size_t size)
{
	while (s->bytes + size > s->most) {
		struct parcel *last = CONTAINER(s->parcels.prev, struct parcel, link);

		take_off(s, find(s, parcel_key(last), last->hash));
	}
}

/* ---- the door ----------------------------------------------------------------------------------- */

struct shelf *shelf_new(size_t most_bytes)
{
	struct shelf *s = MEM_NEW(struct shelf);

	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->parcels);
	s->most = most_bytes;
	return s;
}

void shelf_drop(struct shelf **ref)
{
	struct shelf *s = *ref;

	if (!s)
		return;
	*ref = NULL;
	shelf_clear(s);
	mem_free(s->heads);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

size_t shelf_parcel_most(const struct shelf *s)
{
	return s->most / 4;
}

bool shelf_put(struct shelf *s, struct parcel **ref, int64_t ends_ms)
{
	struct parcel **old, *p;

	if (used(*ref) > shelf_parcel_most(s)) {
		parcel_drop(ref);
		return false;
	}
	if ((*ref)->size > used(*ref))
		resize(ref, used(*ref));
	p = *ref;
	*ref = NULL;
	p->hash = hash_of(parcel_key(p));
	p->ends_ms = ends_ms;
	pthread_mutex_lock(&s->lock);
	old = find(s, parcel_key(p), p->hash);
	if (old)
		take_off(s, old);
	make_room(s, p->size);
	grow(s);
	p->next = *chain_of(s, p->hash);
	*chain_of(s, p->hash) = p;
	list_add_front(&s->parcels, &p->link);
	s->n++;
	s->bytes += p->size;
	pthread_mutex_unlock(&s->lock);
	return true;
}

struct parcel *shelf_take(struct shelf *s, str key, int64_t now_ms)
{
	uint64_t hash = hash_of(key);
	struct parcel **at, *p = NULL;

	pthread_mutex_lock(&s->lock);
	at = find(s, key, hash);
	if (at && (*at)->ends_ms <= now_ms) {
		take_off(s, at);
	} else if (at) {
		p = *at;
		__atomic_add_fetch(&p->holds, 1, __ATOMIC_RELAXED);
		list_remove(&p->link);
		list_add_front(&s->parcels, &p->link);
	}
	pthread_mutex_unlock(&s->lock);
	return p;
}

bool shelf_remove(struct shelf *s, str key)
{
	struct parcel **at;

	pthread_mutex_lock(&s->lock);
	at = find(s, key, hash_of(key));
	if (at)
		take_off(s, at);
	pthread_mutex_unlock(&s->lock);
	return at != NULL;
}

void shelf_clear(struct shelf *s)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->cap; i++) {
		while (s->heads[i])
			take_off(s, &s->heads[i]);
	}
	pthread_mutex_unlock(&s->lock);
}

size_t shelf_bytes(struct shelf *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->bytes;
	pthread_mutex_unlock(&s->lock);
	return n;
}
