/* SPDX-License-Identifier: Apache-2.0 */
/* Arena - memory that ends all at once.
 *
 * One per request, per connection, per snapshot, per boot.  Nothing in an arena
 * is freed singly; things with a destructor register it with arena_on_end(),
 * and those run in reverse order.  Allocation does not fail: running out of
 * memory ends the process with a message, which is why every size that comes
 * from outside has a ceiling where it enters (base/limits.h).
 *
 * An arena belongs to one thread at a time.  Small arenas take their first
 * block from a per-thread pool, so one per request costs no malloc. */
#pragma once

#include "base/compiler.h"
#include <stddef.h>

struct arena;

/* A new, empty arena on the heap. */
struct arena *arena_new(void);

/* The same for about n bytes that last long: it takes no more than those, if they are enough. */
struct arena *arena_new_of(size_t n);

/* Ends everything in it; takes NULL, leaves NULL. */
void arena_drop(struct arena **a);

/* Ends everything in it and makes it empty for the next use; keeps one block. */
void arena_reset(struct arena *a);

/* n bytes aligned for any type, contents undefined; never NULL.  n may be 0. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));

/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));

/* n bytes without alignment, for text. */
char *arena_bytes(struct arena *a, size_t n) __attribute__((malloc, alloc_size(2)));

/* A copy of n bytes at p. */
void *arena_copy(struct arena *a, const void *p, size_t n);

/* Calls fn(p) when the arena ends; the last registered runs first. */
void arena_on_end(struct arena *a, void (*fn)(void *), void *p);

/* Bytes it holds from the system, for metrics and ceilings. */
size_t arena_size(const struct arena *a);

/* One zeroed T; n zeroed Ts. */
#define NEW(a, T)     ((T *)arena_zalloc((a), sizeof(T)))
#define NEWS(a, T, n) ((T *)arena_zalloc((a), arena_times_(sizeof(T), (n))))

/* a * b, or the end of the process on overflow. */
size_t arena_times_(size_t a, size_t b);
