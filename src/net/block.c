/* SPDX-License-Identifier: Apache-2.0 */
#include "net/block.h"

#include "base/log.h"
#include <stdlib.h>
#include <string.h>

/* At most this much is kept idle per thread: 16 MiB of small ones, 16 MiB of large ones. */
static const int kept[2] = { 1024, 64 };

/* So that blocks do not follow each other at a multiple of a page: their fronts, where
 * heads are, would fall on the same few sets of the cache. */
#define COLOUR 1568

static __thread struct block *pool[2];
static __thread int pooled[2];

struct block *block_get(uint32_t size)
{
	int kind = size > BLOCK_SMALL;
	struct block *b = pool[kind];

	if (b) {
		pool[kind] = b->next;
		pooled[kind]--;
		return b;
	}
	size = kind ? BLOCK_LARGE : BLOCK_SMALL;
	b = malloc(sizeof(*b) + size + COLOUR);
	if (!b)
		die("out of memory (%u bytes)", size);
	b->size = size;
	b->is_large = (uint32_t)kind;
	return b;
}

void block_put(struct block **ref)
{
	struct block *b = *ref;
	int kind;

	if (!b)
		return;
	*ref = NULL;
	kind = (int)b->is_large;
	if (pooled[kind] == kept[kind]) {
		free(b);
		return;
	}
	b->next = pool[kind];
	pool[kind] = b;
	pooled[kind]++;
}

bool block_make_room(struct block **ref, uint32_t *begin, uint32_t *end)
{
	struct block *larger;

	if (!*ref) {
		*ref = block_get(BLOCK_SMALL);
		*begin = *end = 0;
	}
	if (*end < (*ref)->size)
		return true;
	if (*begin) {
		memmove((*ref)->data, (*ref)->data + *begin, *end - *begin);
		*end -= *begin;
		*begin = 0;
		return true;
	}
	if ((*ref)->is_large)
		return false;
	larger = block_get(BLOCK_LARGE);
	memcpy(larger->data, (*ref)->data, *end);
	block_put(ref);
	*ref = larger;
	return true;
}

void block_trim(void)
{
	for (int kind = 0; kind < 2; kind++) {
		while (pool[kind]) {
			struct block *b = pool[kind];

			pool[kind] = b->next;
			free(b);
		}
		pooled[kind] = 0;
	}
}
