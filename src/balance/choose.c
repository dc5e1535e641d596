/* SPDX-License-Identifier: Apache-2.0 */
/* The four algorithms: which slot of a table a request gets, in constant or
 * logarithmic time however many there are.
 *
 * All pass over slots that health took out, and over those the same request
 * tried before while there are others. */
#include "balance/priv.h"

#include <math.h>

#define DECAY_MS    10000.0f
#define LOOK_AT_ALL 128 /* slots; of more the best of some is chosen ... */
#define DRAWN       8   /* ... as many as these */

/* ---- response times ---------------------------------------------------------------
 *
 * One word per peer, changed by compare-and-swap: the average in microseconds as
 * a float, and the low 31 bits of the millisecond when it was touched, with a
 * bit that is always set, so that 0 means "none yet". */

static uint64_t pack(double us, int64_t ms)
{
	float average = (float)us;
	uint32_t bits;

	memcpy(&bits, &average, sizeof(bits));
	return (uint64_t)bits << 32 | (uint32_t)ms << 1 | 1;
}

static double decayed(uint64_t word, int64_t now_ms, double *ret_share)
{
	uint32_t bits = (uint32_t)(word >> 32);
	uint32_t age = ((uint32_t)now_ms << 1 | 1) - (uint32_t)word;
	float average;

	memcpy(&average, &bits, sizeof(average));
	if (age & 0x80000000u)
		age = 0; /* touched by a loop whose clock is a little ahead */
	*ret_share = (double)expf(-(float)(age >> 1) / DECAY_MS);
	return (double)average * *ret_share;
}

bool peer_has_latency(const struct peer *p)
{
	return atomic_load_explicit(&p->latency, memory_order_relaxed) != 0;
}

double peer_latency(const struct peer *p, int64_t now_ms)
{
	uint64_t word = atomic_load_explicit(&p->latency, memory_order_relaxed);
	double share;

	return word ? decayed(word, now_ms, &share) : 0;
}

void peer_note_latency(struct peer *p, double us, int64_t now_ms)
{
	uint64_t old = atomic_load(&p->latency), new;

	do {
		double share = 0, average = old ? decayed(old, now_ms, &share) : 0;

		new = pack(average + us * (1 - share), now_ms);
	} while (!atomic_compare_exchange_weak(&p->latency, &old, new));
}

void peer_start_latency(struct peer *p, double us, int64_t now_ms)
{
	uint64_t none = 0;

	atomic_compare_exchange_strong(&p->latency, &none, pack(us, now_ms));
}

/* ---- choosing --------------------------------------------------------------------- */

static bool was_tried(const struct pick *pick, const struct slot *slot)
{
	for (unsigned i = 0; i < pick->n_tried_; i++)
		if (pick->tried_[i] == slot->peer)
			return true;
	return false;
}

/* Has the request tried all there is?  Then it may try them again. */
static bool tried_all(const struct table *t, const struct pick *pick)
{
	if (pick->n_tried_ == 0 || pick->n_tried_ < t->n_available)
		return false;
	for (uint32_t i = 0; i < t->n; i++)
		if (slot_is_up(t, &t->slots[i]) && !was_tried(pick, &t->slots[i]))
			return false;
	return true;
}

/* The slot that covers a position of the wheel. */
static uint32_t slot_at(const struct table *t, uint64_t at)
{
	uint32_t low = 0, high = t->n - 1;

	while (low < high) { /* the first slot that ends behind `at` */
		uint32_t middle = (low + high) / 2;

		if (t->slots[middle].up_to > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static const struct slot *next_in_turn(const struct balancer *b, const struct table *t,
				       const struct pick *pick, bool is_fresh)
{
	uint64_t p = atomic_fetch_add_explicit(&b->lasting->position, 1, memory_order_relaxed);
	uint32_t low = slot_at(t, p % t->wheel * t->stride % t->wheel);

	for (uint32_t i = 0; i < t->n; i++) {
		const struct slot *slot = &t->slots[low];

		if (slot_is_up(t, slot) && (is_fresh || !was_tried(pick, slot)))
			return slot;
		low = low + 1 < t->n ? low + 1 : 0;
	}
	return NULL;
}

/* From the request's point downwards, around the end, to the first that may have it. */
static const struct slot *next_on_ring(const struct table *t, const struct pick *pick,
				       bool is_fresh)
{
	const struct ring *ring = t->ring;
	uint32_t point = ring->circle ? pick->hash_ % ring->circle : pick->hash_;
	uint32_t low = 0, high = ring->n;

	while (low < high) { /* how many lie at or below it */
		uint32_t middle = (low + high) / 2;

		if (ring->v[middle].at <= point)
			low = middle + 1;
		else
			high = middle;
	}
	for (uint32_t i = 0; i < ring->n; i++) {
		const struct slot *slot;

		low = low ? low - 1 : ring->n - 1;
		slot = &t->slots[ring->v[low].slot];
		if (slot_is_up(t, slot) && (is_fresh || !was_tried(pick, slot)))
			return slot;
	}
	return NULL;
}

/* (active + 1) / weight, or the response time over the weight. */
static double score(const struct balancer *b, const struct slot *slot, int64_t now_ms)
{
	double x;

	if (b->algorithm == LATENCY)
		x = peer_latency(slot->peer, now_ms);
	else
		x = 1.0 + atomic_load_explicit(&slot->peer->active, memory_order_relaxed);
	return x / slot->weight;
}

static uint64_t scatter(uint64_t x) /* the finish of splitmix64 */
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Of many: the best of a few, each drawn with the chance that its weight gives it; NULL
 * when none of these may have the request. */
static const struct slot *lowest_of_some(const struct balancer *b, const struct table *t,
					 const struct pick *pick, bool is_fresh, uint64_t turn,
					 int64_t now)
{
	const struct slot *best = NULL;
	double best_score = 0;

	for (uint64_t i = 0; t->wheel && i < DRAWN; i++) {
		uint64_t at = scatter((turn * DRAWN + i + 1) * 0x9e3779b97f4a7c15) % t->wheel;
		const struct slot *slot = &t->slots[slot_at(t, at)];

		if (slot_is_up(t, slot) && (is_fresh || !was_tried(pick, slot))) {
			double s = score(b, slot, now);

			if (!best || s < best_score) {
				best = slot;
				best_score = s;
			}
		}
	}
	return best;
}

/* Looks at all, from another slot each time, so that equals take turns. */
static const struct slot *lowest(const struct balancer *b, const struct table *t,
				 const struct pick *pick, bool is_fresh)
{
	int64_t now = b->algorithm == LATENCY ? b->store->sources.now_ms() : 0;
	uint64_t turn = atomic_fetch_add_explicit(&b->lasting->position, 1, memory_order_relaxed);
	uint32_t at = (uint32_t)(turn % t->n);
	const struct slot *best = NULL;
	double best_score = 0;

	if (t->n > LOOK_AT_ALL) {
		best = lowest_of_some(b, t, pick, is_fresh, turn, now);
		if (best)
			return best;
	}
	for (uint32_t i = 0; i < t->n; i++) {
		const struct slot *slot = &t->slots[at];

		at = at + 1 < t->n ? at + 1 : 0;
		if (slot_is_up(t, slot) && (is_fresh || !was_tried(pick, slot))) {
			double s = score(b, slot, now);

			if (!best || s < best_score) {
				best = slot;
				best_score = s;
			}
		}
	}
	return best;
}

const struct slot *table_choose(const struct balancer *b, const struct table *t,
				const struct pick *pick)
{
	bool is_fresh = pick->n_tried_ == 0 || tried_all(t, pick);

	if (!t->is_healthy)
		return NULL;
	switch (b->algorithm) {
	case ROUND_ROBIN:
		return next_in_turn(b, t, pick, is_fresh);
	case CONSISTENT_HASHING:
		return next_on_ring(t, pick, is_fresh);
	case LEAST_CONNECTIONS:
	case LATENCY:
		return lowest(b, t, pick, is_fresh);
	}
	return NULL;
}
