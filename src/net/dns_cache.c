/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver's cache: a chained hash table and one list by use.  Everything
 * here runs under the resolver's lock, but for the counting of sets. */
#include "base/mem.h"
#include "net/dns_priv.h"

struct cache_entry {
	struct cache_entry *next; /* of the bucket */
	struct list used;
	uint64_t hash;
	struct dns_set *set; /* NULL: only last_type counts */
	int type, last_type;
	size_t name_n;
	char name[];
};

struct dns_set *set_new(int type, size_t n, size_t text, char **ret_text)
{
	struct dns_set *s = mem_alloc(sizeof(*s) + n * sizeof(s->v[0]) + text);

	s->holders = 1;
	s->type = type;
	s->n = n;
	*ret_text = (char *)(s->v + n);
	return s;
}

struct dns_set *set_hold(struct dns_set *s)
{
	atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
	return s;
}

void set_drop(struct dns_set **ref)
{
	struct dns_set *s = TAKE(*ref);

	if (s && atomic_fetch_sub(&s->holders, 1) == 1)
		mem_free(s);
}

void cache_init(struct resolver *r, int64_t size)
{
	r->max_entries = size < 1 ? 1 : size > INT32_MAX ? INT32_MAX : (size_t)size;
	r->n_buckets = 64;
	while (r->n_buckets < r->max_entries && r->n_buckets < ((size_t)1 << 20))
		r->n_buckets *= 2;
	r->buckets = mem_alloc(r->n_buckets * sizeof(*r->buckets));
	list_init(&r->used);
}

static struct cache_entry **bucket_of(struct resolver *r, uint64_t hash)
{
	return &r->buckets[hash & (r->n_buckets - 1)];
}

static void entry_remove(struct resolver *r, struct cache_entry *e)
{
	struct cache_entry **at = bucket_of(r, e->hash);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	list_remove(&e->used);
	r->n_entries--;
	set_drop(&e->set);
	mem_free(e);
}

void cache_done(struct resolver *r)
{
	while (!list_is_empty(&r->used))
		entry_remove(r, CONTAINER(r->used.next, struct cache_entry, used));
	mem_free(TAKE(r->buckets));
}

static uint64_t hash_of(int type, str name)
{
	return hash_bytes(name.s, name.n) + (uint64_t)type * 0x9e3779b97f4a7c15;
}

static struct cache_entry *entry_find(struct resolver *r, int type, str name)
{
	uint64_t hash = hash_of(type, name);
	struct cache_entry *e = *bucket_of(r, hash);

	while (e &&
	       !(e->hash == hash && e->type == type && str_eq(str_at(e->name, e->name_n), name)))
		e = e->next;
	if (!e)
		return NULL;
	list_remove(&e->used);
	list_add(&r->used, &e->used);
	return e;
}

static struct cache_entry *entry_get(struct resolver *r, int type, str name)
{
	struct cache_entry *e = entry_find(r, type, name);

	if (e)
		return e;
	if (r->n_entries == r->max_entries)
		entry_remove(r, CONTAINER(r->used.next, struct cache_entry, used));
	e = mem_alloc(sizeof(*e) + name.n);
	e->hash = hash_of(type, name);
	e->type = type;
	e->name_n = name.n;
	memcpy(e->name, name.s, name.n);
	e->next = *bucket_of(r, e->hash);
	*bucket_of(r, e->hash) = e;
	list_add(&r->used, &e->used);
	r->n_entries++;
	return e;
}

struct dns_set *cache_find(struct resolver *r, int type, str name)
{
	struct cache_entry *e = entry_find(r, type, name);

	if (!e)
		return NULL;
	if (e->set->dies > loop_now_ms())
		return e->set;
	entry_remove(r, e);
	return NULL;
}

static void cache_put(struct resolver *r, int type, str name, struct dns_set *s)
{
	struct cache_entry *e;

	if (s->dies <= loop_now_ms()) { /* a TTL of 0, and nothing stale wanted */
		e = entry_find(r, type, name);
		if (e)
			entry_remove(r, e);
		return;
	}
	e = entry_get(r, type, name);
	if (e->set == s)
		return;
	set_hold(s);
	set_drop(&e->set);
	e->set = s;
}

/* Milliseconds that a new set stays fresh. */
static int64_t lifetime_ms(const struct resolver *r, const struct dns_set *s)
{
	if (s->n > 0)
		return r->valid_ttl_ms >= 0 ? r->valid_ttl_ms : (int64_t)s->ttl_s * 1000;
	return s->error == 0 || s->error == 3 ? r->not_found_ttl_ms : r->error_ttl_ms;
}

void cache_put_new(struct resolver *r, str name, struct dns_set *s)
{
	int64_t ms = lifetime_ms(r, s);
	struct dns_set *old = cache_find(r, s->type, name);

	s->ttl_s = (uint32_t)(ms / 1000);
	s->expires = loop_now_ms() + ms;
	s->dies = s->expires + r->stale_ttl_ms;
	if (s->n == 0 && s->error != 3 && old && old->n > 0)
		return; /* better stale than nothing */
	cache_put(r, s->type, name, s);
}

void cache_put_short(struct resolver *r, str name, struct dns_set *s)
{
	cache_put(r, TYPE_SHORT, name, s);
}

int cache_last_type(struct resolver *r, str name)
{
	struct cache_entry *e = entry_find(r, TYPE_LAST, name);

	return e ? e->last_type : 0;
}

void cache_set_last_type(struct resolver *r, str name, int type)
{
	struct cache_entry *e = entry_find(r, TYPE_LAST, name);

	if (type) {
		e = e ? e : entry_get(r, TYPE_LAST, name);
		e->last_type = type;
	} else if (e) {
		entry_remove(r, e);
	}
}
