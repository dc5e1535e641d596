/* SPDX-License-Identifier: Apache-2.0 */
/* mem - single objects on the heap, for what lives and ends on its own:
 * connections, pools, messages between threads.  Everything else is an arena's. */
#pragma once

#include "base/compiler.h"
#include <stddef.h>

/* n zeroed bytes; never NULL: no memory ends the process with a message. */
void *mem_alloc(size_t n) __attribute__((malloc, alloc_size(1), returns_nonnull));
/* The same bytes in n; what is new is not zeroed. */
void *mem_resize(void *p, size_t n) __attribute__((alloc_size(2), returns_nonnull));
void mem_free(void *p); /* takes NULL */

#define MEM_NEW(T) ((T *)mem_alloc(sizeof(T)))
