/* SPDX-License-Identifier: Apache-2.0 */
/* What outlives snapshots: names, lasting parts and peers, found again by
 * identity, counted, and forgotten five minutes after the last one let go. */
#include "balance/priv.h"
#include "base/epoch.h"
#include "base/map.h"
#include "base/mem.h"
#include "fiber/fiber.h"

/* ---- the store ----------------------------------------------------------------- */

static int64_t loop_or_clock_ms(void)
{
	return loop_self() ? loop_now_ms() : clock_mono_ms();
}

struct balance_store *balance_store_new_with(const struct balance_sources *sources)
{
	struct balance_store *s = MEM_NEW(struct balance_store);

	s->sources = *sources;
	s->legacy_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->retired);
	for (unsigned i = 0; i < BUCKETS; i++) {
		list_init(&s->names[i]);
		list_init(&s->lastings[i]);
		list_init(&s->peers[i]);
	}
	return s;
}

struct balance_store *balance_store_new(void)
{
	return balance_store_new_with(&(struct balance_sources){
		.resolve = dns_resolve,
		.now_ms = loop_or_clock_ms,
	});
}

/* ---- names --------------------------------------------------------------------- */

struct name *store_name(struct balance_store *s, str host)
{
	struct list *bucket = &s->names[hash_bytes(host.s, host.n) % BUCKETS];
	struct name *name;

	list_for_each (bucket, struct name, link, known) {
		if (str_eq(str_at(known->text, known->text_n), host)) {
			known->refs++;
			return known;
		}
	}
	name = mem_alloc(sizeof(*name) + host.n);
	name->refs = 1;
	name->store = s;
	name->text_n = host.n;
	memcpy(name->text, host.s, host.n);
	list_init(&name->users);
	list_add(bucket, &name->link);
	return name;
}

void store_name_let_go(struct balance_store *s, struct name *name)
{
	if (name && --name->refs == 0)
		name->idle_since = s->sources.now_ms();
}

static void name_forget(struct name *name)
{
	list_remove(&name->link);
	mem_free(name->answers);
	mem_free(name);
}

/* ---- lasting parts ------------------------------------------------------------- */

struct lasting *store_lasting(struct balance_store *s, uuid id, struct name *name, uint16_t port)
{
	uint64_t hash = name ? hash_bytes(&name, sizeof(name)) + port : hash_bytes(&id, sizeof(id));
	struct list *bucket = &s->lastings[hash % BUCKETS];
	struct lasting *l;

	list_for_each (bucket, struct lasting, link, known) {
		if (known->name == name && known->port == port && uuid_eq(known->id, id)) {
			known->refs++;
			return known;
		}
	}
	l = MEM_NEW(struct lasting);
	l->id = id;
	l->name = name;
	l->port = port;
	l->refs = 1;
	list_init(&l->balancers);
	if (name)
		name->refs++;
	/* Somewhere, so that not all nodes of a fleet begin with the same target. */
	atomic_init(&l->position, hash_bytes(&l, sizeof(l)) >> 16);
	list_add(bucket, &l->link);
	return l;
}

void store_lasting_let_go(struct balance_store *s, struct lasting *l)
{
	if (--l->refs == 0)
		l->idle_since = s->sources.now_ms();
}

static void lasting_forget(struct balance_store *s, struct lasting *l)
{
	list_remove(&l->link);
	store_name_let_go(s, l->name);
	ring_let_go(&l->ring);
	mem_free(l);
}

/* ---- peers --------------------------------------------------------------------- */

/* Of what makes the address, without the padding behind it. */
static size_t address_bytes(const struct address *a)
{
	return offsetof(struct address, any) + a->size;
}

struct peer *store_peer(struct balance_store *s, struct lasting *l, struct name *name,
			const struct address *address, uint16_t port)
{
	struct {
		struct lasting *lasting;
		struct name *name;
		uint64_t address;
	} key = { l, name, address ? hash_bytes(&address->any, address->size) : port };
	struct list *bucket = &s->peers[hash_bytes(&key, sizeof(key)) % BUCKETS];
	struct peer *peer;

	list_for_each (bucket, struct peer, link, known) {
		if (known->lasting == l && known->name == name && known->port == port &&
		    known->is_each_time == !address &&
		    (!address || (known->address.size == address->size &&
				  memcmp(&known->address, address, address_bytes(address)) == 0)))
			return known;
	}
	peer = MEM_NEW(struct peer);
	peer->lasting = l;
	peer->name = name;
	peer->port = port;
	peer->is_each_time = !address;
	peer->idle_since = s->sources.now_ms();
	if (address)
		memcpy(&peer->address, address, address_bytes(address));
	atomic_init(&peer->health, heirs_health(s, peer));
	l->refs++;
	if (name)
		name->refs++;
	list_add(bucket, &peer->link);
	return peer;
}

static void peer_forget(struct balance_store *s, struct peer *peer)
{
	list_remove(&peer->link);
	store_name_let_go(s, peer->name);
	store_lasting_let_go(s, peer->lasting);
	mem_free(peer);
}

/* ---- tables -------------------------------------------------------------------- */

/* Takes back what no reader can see any more. */
static void reclaim(struct balance_store *s)
{
	list_for_each (&s->retired, struct table, link, t) {
		if (!epoch_is_over(t->mark))
			return; /* the later ones are younger */
		list_remove(&t->link);
		table_free(s, t);
	}
}

void store_retire(struct balance_store *s, struct table *t)
{
	if (t) {
		t->mark = epoch_mark();
		list_add(&s->retired, &t->link);
	}
	reclaim(s);
}

/* ---- the end --------------------------------------------------------------------- */

void balance_store_drop(struct balance_store **s_)
{
	struct balance_store *s = TAKE(*s_);

	if (!s)
		return;
	list_for_each (&s->retired, struct table, link, t)
		table_free(s, t);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_for_each (&s->peers[i], struct peer, link, peer)
			peer_forget(s, peer);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_for_each (&s->lastings[i], struct lasting, link, l)
			lasting_forget(s, l);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_for_each (&s->names[i], struct name, link, name)
			name_forget(name);
	heirs_forget(s);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

/* ---- once a second ------------------------------------------------------------- */

/* One bucket of each kind: peers first, for they refer to the others. */
static void clean_bucket(struct balance_store *s, unsigned i, int64_t before)
{
	list_for_each (&s->peers[i], struct peer, link, peer)
		if (peer->tables == 0 && peer->idle_since < before &&
		    atomic_load(&peer->active) == 0)
			peer_forget(s, peer);
	list_for_each (&s->lastings[i], struct lasting, link, l)
		if (l->refs == 0 && l->idle_since < before)
			lasting_forget(s, l);
	list_for_each (&s->names[i], struct name, link, name)
		if (name->refs == 0 && name->idle_since < before)
			name_forget(name);
}

void balance_store_tick(struct balance_store *s)
{
	int64_t now = s->sources.now_ms();

	pthread_mutex_lock(&s->lock);
	reclaim(s);
	if (s->n_heirs && s->heirs_until <= now)
		heirs_forget(s);
	heirs_write(s);
	for (unsigned i = 0; i < BUCKETS / 16; i++) {
		clean_bucket(s, s->next_bucket, now - FORGET_AFTER_MS);
		s->next_bucket = (s->next_bucket + 1) % BUCKETS;
	}
	for (unsigned i = 0; i < BUCKETS; i++)
		list_for_each (&s->names[i], struct name, link, name)
			if (name->upstreams && name->renew_at <= now)
				name_renew(s, name);
	pthread_mutex_unlock(&s->lock);
}
