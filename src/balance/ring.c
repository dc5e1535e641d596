/* SPDX-License-Identifier: Apache-2.0 */
/* The rings of consistent-hashing.
 *
 * While the targets' points fit on a circle of as many points as the upstream has slots,
 * the ring is the one of Kong's nodes, number by number.  Where Kong gives up, the circle
 * is 2^32 wide: there a target that comes or goes moves no more than its share, however
 * many there are.
 *
 * Making a ring of thousands of targets takes milliseconds, so it is made when targets
 * change, and not when their health does. */
#include "balance/priv.h"
#include "balance/xxh32.h"
#include "base/mem.h"

#define RING_MIN          1000
#define POINTS_PER_TARGET 160
#define POINTS_MOST       400000 /* of a wide circle; then targets get fewer ... */
#define POINTS_LEAST      20     /* ... but as many as these */
#define FREE              UINT32_MAX

void ring_let_go(struct ring **ref)
{
	struct ring *r = TAKE(*ref);

	if (!r || --r->refs)
		return;
	buf_done(&r->inputs);
	mem_free(r->v);
	mem_free(r);
}

/* ---- points ----------------------------------------------------------------------- */

/* How many points a slot gets.  On Kong's ring in the very arithmetic of its nodes, which cuts
 * off; on a wide one to the nearest, so that a target more or less changes no other's. */
static uint32_t points_of(const struct balancer *b, const struct table *t, const struct slot *slot,
			  unsigned per_target, bool is_wide)
{
	double share = (double)slot->weight / (double)t->total_weight;
	double points = share * (double)b->n_targets * per_target;
	uint32_t n = (uint32_t)(is_wide ? points + 0.5 : points);

	return n ? n : 1;
}

static uint64_t all_points(const struct balancer *b, const struct table *t, unsigned per_target,
			   bool is_wide)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < t->n; i++)
		n += points_of(b, t, &t->slots[i], per_target, is_wide);
	return n;
}

/* The text of a slot's points: "<ip>::<port> " and a number behind it. */
struct point_key {
	char text[512];
	size_t n;
};

static void point_key(str address, struct point_key *ret)
{
	size_t colon = (size_t)str_find_last(address, ':'), most = sizeof(ret->text) - 16;
	int n = snprintf(ret->text, most, STRF ":" STRF " ", STRV(str_part(address, 0, colon)),
			 STRV(str_from(address, colon)));

	ret->n = n < (int)most ? (size_t)n : most - 1;
}

static uint32_t point_hash(struct point_key *key, uint32_t number)
{
	char digits[10], *p = digits + sizeof(digits);
	size_t n;

	do
		*--p = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	n = (size_t)(digits + sizeof(digits) - p);
	memcpy(key->text + key->n, p, n);
	return xxh32(str_at(key->text, key->n + n));
}

/* ---- Kong's ring ------------------------------------------------------------------- */

/* Which slot has which point, FREE where nobody is; false when one found no room. */
static bool fill_circle(const struct balancer *b, const struct table *t, const struct founds *all,
			uint32_t *circle, uint32_t points)
{
	memset(circle, 0xff, points * sizeof(*circle));
	for (uint32_t slot = 0; slot < t->n; slot++) {
		uint32_t left = points_of(b, t, &t->slots[slot], POINTS_PER_TARGET, false);
		struct point_key key;

		point_key(all->v[slot].text, &key);
		for (uint32_t i = 1; left > 0; i++) {
			uint32_t *point = &circle[point_hash(&key, i) % points];

			if (i > points)
				return false;
			if (*point == FREE) {
				*point = slot;
				left--;
			}
		}
	}
	return true;
}

static bool make_kongs(struct ring *r, const struct balancer *b, const struct table *t,
		       const struct founds *all)
{
	int64_t slots = b->upstream->slots;
	uint32_t points = slots >= RING_MIN ? (uint32_t)slots : RING_MIN, *circle;
	uint64_t wanted = all_points(b, t, POINTS_PER_TARGET, false);
	bool ok = wanted <= points;

	if (!ok)
		return false;
	circle = mem_alloc(points * sizeof(*circle));
	ok = fill_circle(b, t, all, circle, points);
	if (ok) {
		r->circle = points;
		r->v = mem_alloc(wanted * sizeof(*r->v));
	}
	for (uint32_t i = 0; ok && i < points; i++)
		if (circle[i] != FREE)
			r->v[r->n++] = (struct point){ .at = i, .slot = circle[i] };
	mem_free(circle);
	return ok;
}

/* ---- wide rings ---------------------------------------------------------------------- */

/* By place, byte by byte; points in one place stay in their order. */
static void sort_points(struct point *v, uint32_t n)
{
	struct point *other = mem_alloc(n * sizeof(*other)), *from = v, *to = other;

	for (int shift = 0; shift < 32; shift += 8) {
		uint32_t starts[257] = { 0 };
		struct point *swap = from;

		for (uint32_t i = 0; i < n; i++)
			starts[(from[i].at >> shift & 255) + 1]++;
		for (int i = 0; i < 256; i++)
			starts[i + 1] += starts[i];
		for (uint32_t i = 0; i < n; i++)
			to[starts[from[i].at >> shift & 255]++] = from[i];
		from = to;
		to = swap;
	}
	mem_free(other); /* an even number of passes: all are back in v */
}

static void make_wide(struct ring *r, const struct balancer *b, const struct table *t,
		      const struct founds *all)
{
	unsigned per_target = POINTS_PER_TARGET;

	while (per_target > POINTS_LEAST && all_points(b, t, per_target, true) > POINTS_MOST)
		per_target /= 2;
	r->v = mem_alloc(all_points(b, t, per_target, true) * sizeof(*r->v));
	for (uint32_t slot = 0; slot < t->n; slot++) {
		uint32_t n = points_of(b, t, &t->slots[slot], per_target, true);
		struct point_key key;

		point_key(all->v[slot].text, &key);
		for (uint32_t i = 1; i <= n; i++)
			r->v[r->n++] = (struct point){ .at = point_hash(&key, i), .slot = slot };
	}
	sort_points(r->v, r->n);
}

/* ---- the door -------------------------------------------------------------------------- */

static void write_inputs(struct buf *ret, const struct balancer *b, const struct table *t,
			 const struct founds *all)
{
	buf_add(ret, &b->upstream->slots, sizeof(b->upstream->slots));
	buf_add(ret, &b->n_targets, sizeof(b->n_targets));
	for (uint32_t i = 0; i < t->n; i++) {
		buf_add(ret, &t->slots[i].weight, sizeof(t->slots[i].weight));
		buf_add_str(ret, all->v[i].text);
	}
}

struct ring *ring_of(struct balancer *b, const struct table *t, const struct founds *all)
{
	struct ring *before = b->lasting->ring, *r = MEM_NEW(struct ring);

	r->refs = 2; /* the table's and the lasting's */
	write_inputs(&r->inputs, b, t, all);
	if (before && str_eq(buf_str(&before->inputs), buf_str(&r->inputs))) {
		buf_done(&r->inputs);
		mem_free(r);
		before->refs++;
		return before;
	}
	if (!make_kongs(r, b, t, all))
		make_wide(r, b, t, all);
	ring_let_go(&b->lasting->ring);
	return b->lasting->ring = r;
}
