/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include "base/log.h"
#include <stdlib.h>

void *mem_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		die("out of memory (%zu bytes)", n);
	return p;
}

void *mem_resize(void *p, size_t n)
{
	p = realloc(p, n);
	if (!p)
		die("out of memory (%zu bytes)", n);
	return p;
}

void mem_free(void *p)
{
	free(p);
}
