/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of Redis are read alike however their bytes were cut, and stay within their
 * ceilings. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/limits.h"
#include "clients/redis_replies.h"

#define REPLIES_MOST 100
#define DEPTH_MOST   9

struct outcome {
	struct redis_reply replies[REPLIES_MOST];
	size_t n;
	bool is_broken;
};

static void read_pieces(struct arena *a, const uint8_t *data, size_t n, size_t cut,
			struct outcome *ret)
{
	struct redis_replies g CLEANUP(redis_replies_done) = { 0 };
	size_t fed = 0;

	redis_replies_init(&g, a);
	while (ret->n < REPLIES_MOST) {
		bool is_whole = false;
		struct err *e = redis_replies_next(&g, &ret->replies[ret->n], &is_whole);

		if (!e && !is_whole && fed == n)
			break;
		if (!e && !is_whole) {
			size_t size = n - fed < cut ? n - fed : cut;

			e = redis_replies_feed(&g, (const char *)data + fed, size);
			fed += size;
		}
		ret->is_broken = e != NULL;
		ret->n += is_whole;
		err_forget();
		if (e)
			break;
	}
	if (g.items > LIMIT_REDIS_ITEMS)
		abort();
}

static void compare(const struct redis_reply *x, const struct redis_reply *y, int depth)
{
	if (depth > DEPTH_MOST || x->kind != y->kind || x->n != y->n || x->i != y->i ||
	    !str_eq(x->s, y->s))
		abort();
	for (size_t i = 0; i < x->n; i++)
		compare(&x->items[i], &y->items[i], depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct outcome *whole = NEW(a, struct outcome), *pieces = NEW(a, struct outcome);

	read_pieces(a, data, n, n ? n : 1, whole);
	read_pieces(a, data, n, n ? 1 + data[n - 1] % 16 : 1, pieces);
	if (whole->n != pieces->n || whole->is_broken != pieces->is_broken)
		abort();
	for (size_t i = 0; i < whole->n; i++)
		compare(&whole->replies[i], &pieces->replies[i], 0);
	return 0;
}
