/* SPDX-License-Identifier: Apache-2.0 */
/* From targets and answers to a table to choose from.
 *
 * Slots are in the order of host, port and address, whatever the order of the
 * targets, so that all nodes and all rebuilds come to the same table.
 *
 * Round-robin needs no wheel in memory: position p of a round of W (the sum of
 * weights over their greatest common divisor) belongs to the slot that covers
 * p * stride mod W.  With stride and W coprime each round visits every number
 * once, so shares are exact; with stride near W over the golden ratio a slot's
 * turns lie as far apart as they can. */
#include "balance/priv.h"
#include "base/epoch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"

#define GOLDEN 0.6180339887498949

int64_t table_due(const struct balancer *b)
{
	int64_t at = DEADLINE_NEVER;

	for (size_t i = 0; i < b->n; i++) {
		const struct name *name = b->spots[i].name;

		if (name && name->state != NAME_UNASKED && name->renew_at < at)
			at = name->renew_at;
	}
	return at;
}

/* ---- expansion ------------------------------------------------------------------ */

static void set_port(struct address *a, uint16_t port)
{
	if (a->any.sa_family == AF_INET)
		a->v4.sin_port = htons(port);
	else if (a->any.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
}

static str address_text(struct arena *a, const struct address *address, uint16_t port)
{
	char ip[ADDRESS_TEXT];

	address_ip(address, ip);
	return str_fmt(a, address->any.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
}

static struct found *add_address(struct arena *a, struct founds *all, const struct spot *spot,
				 const struct address *address, uint16_t port)
{
	struct found *f = vec_add(a, all);

	f->spot = spot;
	f->port = port;
	f->weight = spot->weight;
	memcpy(&f->address, address, sizeof(*address));
	set_port(&f->address, port);
	f->text = address_text(a, &f->address, port);
	return f;
}

/* SRV answers bring weight (0 counts as 1) and port (0: the target's); others have the target's. */
static void add_answer(struct arena *a, struct founds *all, const struct spot *spot,
		       const struct dns_answer *answer)
{
	const struct upstream *u = spot->balancer->upstream;
	uint16_t port = address_port(&answer->address);
	struct found *f = add_address(a, all, spot, &answer->address, port ? port : spot->port);

	if (port || answer->name.n)
		f->weight = answer->weight ? answer->weight : 1;
	if (u && u->use_srv_name)
		f->srv_name = answer->name;
}

static void add_spot(struct arena *a, struct founds *all, const struct spot *spot)
{
	const struct name *name = spot->name;
	struct found *f;

	if (!name) {
		add_address(a, all, spot, &spot->address, spot->port);
	} else if (name->state == NAME_EACH_TIME) {
		f = vec_add(a, all);
		f->spot = spot;
		f->port = spot->port;
		f->weight = spot->weight;
		f->is_each_time = true;
		f->text = str_fmt(a, STRF ":%u", STRV(spot->host), spot->port);
	} else {
		for (size_t i = 0; i < name->n && all->n <= LIMIT_BALANCER_SLOTS; i++)
			add_answer(a, all, spot, &name->answers[i]);
	}
}

/* Spots are sorted already; their addresses by text. */
static int by_spot_and_text(const void *x_, const void *y_)
{
	const struct found *x = x_, *y = y_;

	if (x->spot != y->spot)
		return x->spot < y->spot ? -1 : 1;
	return str_cmp(x->text, y->text);
}

/* ---- round-robin ----------------------------------------------------------------- */

static uint64_t common_divisor(uint64_t x, uint64_t y)
{
	while (y) {
		uint64_t rest = x % y;

		x = y;
		y = rest;
	}
	return x;
}

static void set_wheel(struct table *t)
{
	uint64_t divisor = 0, sum = 0;

	for (uint32_t i = 0; i < t->n; i++)
		divisor = common_divisor(t->slots[i].weight, divisor);
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->slots[i].was_up)
			sum += t->slots[i].weight / divisor;
		t->slots[i].up_to = sum;
	}
	t->wheel = sum;
	t->stride = (uint64_t)((double)sum * GOLDEN);
	while (common_divisor(t->stride, sum) > 1)
		t->stride++;
}

/* ---- the table -------------------------------------------------------------------- */

/* Peers that join are taken to be as fast as those that are there. */
static void start_latencies(const struct balance_store *s, struct table *t)
{
	int64_t now = s->sources.now_ms();
	double sum = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		if (peer_has_latency(t->slots[i].peer)) {
			sum += peer_latency(t->slots[i].peer, now);
			n++;
		}
	}
	for (uint32_t i = 0; n && i < t->n; i++)
		peer_start_latency(t->slots[i].peer, sum / n, now);
}

static void add_slots(struct balancer *b, struct table *t, const struct founds *all, char *text)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct found *f = &all->v[i];
		struct slot *slot = &t->slots[t->n++];

		slot->spot = f->spot;
		slot->weight = f->weight;
		slot->peer = store_peer(b->store, b->lasting, f->spot->name,
					f->is_each_time ? NULL : &f->address, f->port);
		slot->peer->tables++;
		slot->srv_name = str_at(text, f->srv_name.n);
		if (f->srv_name.n)
			text = mempcpy(text, f->srv_name.s, f->srv_name.n);
		t->total_weight += f->weight;
		slot->was_up = slot_is_up(t, slot);
		if (slot->was_up)
			t->n_available++;
		else
			t->unavailable_weight += f->weight;
	}
}

void table_free(struct balance_store *s, struct table *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (--t->slots[i].peer->tables == 0)
			t->slots[i].peer->idle_since = s->sources.now_ms();
	ring_let_go(&t->ring);
	mem_free(t);
}

static struct table *build(struct balancer *b, struct arena *a)
{
	struct founds all = { 0 };
	size_t size = sizeof(struct table), text = 0;
	struct table *t;

	for (size_t i = 0; i < b->n; i++)
		add_spot(a, &all, &b->spots[i]);
	if (all.n > LIMIT_BALANCER_SLOTS) {
		log_error("upstream " STRF " has more than %d addresses, the rest is left out",
			  STRV(b->upstream->name), LIMIT_BALANCER_SLOTS);
		all.n = LIMIT_BALANCER_SLOTS;
	}
	if (all.n)
		qsort(all.v, all.n, sizeof(*all.v), by_spot_and_text);
	for (size_t i = 0; i < all.n; i++)
		text += all.v[i].srv_name.n;
	size += all.n * sizeof(struct slot) + text;
	t = mem_alloc(size);
	t->is_checked = b->checks != NULL;
	add_slots(b, t, &all, (char *)t + size - text);
	if (t->total_weight) {
		set_wheel(t);
		t->is_healthy = 100.0 * (double)(t->total_weight - t->unavailable_weight) /
					(double)t->total_weight >
				b->threshold;
	}
	if (b->algorithm == CONSISTENT_HASHING && t->n && !b->never_picks)
		t->ring = ring_of(b, t, &all);
	if (b->algorithm == LATENCY)
		start_latencies(b->store, t);
	return t;
}

void table_rebuild(struct balancer *b)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct table *t;

	atomic_store(&b->is_stale, false);
	t = build(b, a);
	for (size_t i = 0; i < b->n; i++)
		if (b->spots[i].name && b->spots[i].name->state == NAME_UNASKED)
			t->has_unasked = true;
	atomic_init(&t->renew_at, table_due(b));
	store_retire(b->store, atomic_exchange(&b->table, t));
}
