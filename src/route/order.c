/* SPDX-License-Identifier: Apache-2.0 */
/* Who wins: the orders, as comparisons of rules.
 *
 * All end with the older route, then the smaller id, then the path that stands first
 * in its route, so that there are no ties and equal configurations route equally. */
#include "route/priv.h"

#include <stdlib.h>

#define HEADERS_COUNTED 255      /* of compatible's 8 bits */
#define LONGEST_COUNTED 0x7ffffu /* of its 19 */

/* The greater first. */
static int more(uint64_t x, uint64_t y)
{
	return x > y ? -1 : x < y;
}

static int more_signed(int64_t x, int64_t y)
{
	return x > y ? -1 : x < y;
}

static int by_age(const struct rule *a, const struct rule *b)
{
	int c = more_signed(b->route->created_at, a->route->created_at);

	if (c == 0)
		c = uuid_cmp(a->route->id, b->route->id);
	return c ? c : more(b->path_index, a->path_index);
}

static uint64_t at_most(uint64_t x, uint64_t max)
{
	return x < max ? x : max;
}

static int by_compatible(const void *x, const void *y)
{
	const struct rule *a = *(struct rule *const *)x, *b = *(struct rule *const *)y;
	int c = more((unsigned)__builtin_popcount(a->kinds),
		     (unsigned)__builtin_popcount(b->kinds));

	if (c == 0)
		c = more(a->weight & 2, b->weight & 2); /* plain hosts only */
	if (c == 0)
		c = more(at_most(a->headers_n, HEADERS_COUNTED),
			 at_most(b->headers_n, HEADERS_COUNTED));
	if (c == 0)
		c = more(a->has_regex, b->has_regex);
	if (c == 0 && a->has_regex)
		c = more_signed(a->regex_priority, b->regex_priority);
	if (c == 0)
		c = more(at_most(a->longest, LONGEST_COUNTED),
			 at_most(b->longest, LONGEST_COUNTED));
	return c ? c : by_age(a, b);
}

static int by_priority(const void *x, const void *y)
{
	const struct rule *a = *(struct rule *const *)x, *b = *(struct rule *const *)y;
	int c = more_signed(a->route->priority, b->route->priority);

	return c ? c : by_age(a, b);
}

/* Within a category of traditional. */
static int by_traditional(const void *x, const void *y)
{
	const struct rule *a = *(struct rule *const *)x, *b = *(struct rule *const *)y;
	int c = more(a->weight, b->weight);

	if (c == 0)
		c = more(a->headers_n, b->headers_n);
	if (c == 0 && a->has_regex)
		c = more_signed(a->regex_priority, b->regex_priority);
	if (c == 0)
		c = more(a->longest, b->longest);
	return c ? c : by_age(a, b);
}

/* Categories first: more kinds, then the greater ones. */
static int by_category(const void *x, const void *y)
{
	const struct rule *a = *(struct rule *const *)x, *b = *(struct rule *const *)y;
	int c = more((unsigned)__builtin_popcount(a->kinds),
		     (unsigned)__builtin_popcount(b->kinds));

	if (c == 0)
		c = more(a->kinds, b->kinds);
	return c ? c : more(b->order, a->order);
}

void rules_rank(enum router_flavor flavor, struct rule **rules, size_t n)
{
	if (n == 0)
		return;
	if (flavor == ROUTER_TRADITIONAL) {
		qsort(rules, n, sizeof(struct rule *), by_traditional);
		for (size_t i = 0; i < n; i++)
			rules[i]->order = (uint32_t)i;
		qsort(rules, n, sizeof(struct rule *), by_category);
	} else {
		qsort(rules, n, sizeof(struct rule *),
		      flavor == ROUTER_TRADITIONAL_COMPATIBLE ? by_compatible : by_priority);
	}
	for (size_t i = 0; i < n; i++)
		rules[i]->rank = (uint32_t)i;
}
