/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"

#include <string.h>

void *vec_add_(struct arena *a, void **v, size_t *n, size_t *cap, size_t size)
{
	char *item;

	if (*n == *cap) {
		size_t bigger = *cap ? *cap * 2 : 8;
		char *p = arena_alloc(a, arena_times_(bigger, size));

		if (*n)
			memcpy(p, *v, *n * size);
		*v = p;
		*cap = bigger;
	}
	item = (char *)*v + *n * size;
	(*n)++;
	return memset(item, 0, size);
}
