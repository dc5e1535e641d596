/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of blocks, bumped from the front.  Block sizes double from 4 KiB to
 * 256 KiB; a request larger than a quarter of that gets a block of its own.
 * First blocks are pooled per thread.  Under AddressSanitizer what has not been
 * handed out is poisoned. */
#include "base/arena.h"

#include "base/log.h"
#include <pthread.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define GAP            16 /* red zone between allocations */
#else
#define POISON(p, n)   ((void)0)
#define UNPOISON(p, n) ((void)0)
#define GAP            0
#endif

#define ALIGN alignof(max_align_t)
/* No multiple of a page: the hot fronts of many small arenas would fall on the same
 * few sets of the cache. */
#define FIRST_BLOCK ((size_t)4096 + 576)
#define MAX_BLOCK   ((size_t)256 * 1024)
#define POOLED      64 /* first blocks kept per thread */

struct block {
	struct block *next;
	size_t size; /* of data */
	alignas(max_align_t) char data[];
};

struct ending {
	struct ending *next;
	void (*fn)(void *);
	void *p;
};

struct arena {
	char *at, *end;       /* free space of the newest block */
	struct block *blocks; /* newest first; the last one holds this struct */
	struct ending *endings;
	size_t size;
	size_t next_block;
};

static __thread struct block *pool;
static __thread int pooled;
static __thread bool is_watched; /* the pool is freed when the thread ends */

static pthread_key_t at_thread_end;

static void free_pool(void *unused)
{
	(void)unused;
	while (pool) {
		struct block *b = pool;

		pool = b->next;
		free(b);
	}
	pooled = 0;
	is_watched = false;
}

static void make_key(void)
{
	if (pthread_key_create(&at_thread_end, free_pool) != 0)
		die("cannot watch for the end of threads");
}

static void watch_thread(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_key);
	pthread_setspecific(at_thread_end, &pool);
	is_watched = true;
}

static struct block *block_new(size_t size)
{
	struct block *b;

	if (size == FIRST_BLOCK && pool) {
		b = pool;
		pool = b->next;
		pooled--;
	} else {
		b = malloc(sizeof(*b) + size);
		if (!b)
			die("out of memory (%zu bytes)", size);
	}
	b->size = size;
	return b;
}

static void block_free(struct block *b)
{
	UNPOISON(b->data, b->size);
	if (b->size == FIRST_BLOCK && pooled < POOLED) {
		if (unlikely(!is_watched))
			watch_thread();
		b->next = pool;
		pool = b;
		pooled++;
		return;
	}
	free(b);
}

/* The first block holds the arena itself in front. */
static void arena_start(struct arena *a, struct block *first)
{
	first->next = NULL;
	a->blocks = first;
	a->at = first->data + ((sizeof(*a) + ALIGN - 1) & ~(ALIGN - 1));
	a->end = first->data + first->size;
	a->endings = NULL;
	a->size = sizeof(*first) + first->size;
	a->next_block = FIRST_BLOCK * 2;
	POISON(a->at, (size_t)(a->end - a->at));
}

struct arena *arena_new(void)
{
	struct block *first = block_new(FIRST_BLOCK);
	struct arena *a = (struct arena *)(void *)first->data;

	arena_start(a, first);
	return a;
}

struct arena *arena_new_of(size_t n)
{
	struct arena *a;
	struct block *first;

	n = (n + sizeof(*a) + 2 * ALIGN) & ~(ALIGN - 1);
	if (n == FIRST_BLOCK)
		n += ALIGN; /* the pool's own size */
	first = block_new(n);
	a = (struct arena *)(void *)first->data;
	arena_start(a, first);
	a->next_block = n < MAX_BLOCK ? n : MAX_BLOCK;
	return a;
}

static void run_endings(struct arena *a)
{
	while (a->endings) {
		struct ending *e = a->endings;

		a->endings = e->next;
		e->fn(e->p);
	}
}

/* Frees all blocks but the first, which it returns. */
static struct block *free_blocks(struct arena *a)
{
	struct block *b = a->blocks;

	while (b->next) {
		struct block *next = b->next;

		block_free(b);
		b = next;
	}
	return b;
}

void arena_drop(struct arena **ref)
{
	struct arena *a = *ref;

	if (!a)
		return;
	*ref = NULL;
	run_endings(a);
	block_free(free_blocks(a));
}

void arena_reset(struct arena *a)
{
	struct block *first;

	run_endings(a);
	first = free_blocks(a);
	UNPOISON(first->data, first->size);
	arena_start(a, first);
}

/* Makes room for n bytes and returns them; the slow path. */
static void *arena_grow(struct arena *a, size_t n, size_t align)
{
	struct block *b;
	char *p;

	if (n > SIZE_MAX / 2)
		die("an allocation of %zu bytes is out of the question", n);
	if (n + GAP + align > a->next_block / 4) { /* a block of its own, behind the current one */
		b = block_new((n + GAP + ALIGN - 1) & ~(ALIGN - 1));
		b->next = a->blocks->next;
		if (!a->blocks->next) { /* keep the first block last */
			b->next = a->blocks;
			a->blocks = b;
			a->at = a->end = b->data + b->size;
		} else {
			a->blocks->next = b;
		}
		a->size += sizeof(*b) + b->size;
		return b->data;
	}
	b = block_new(a->next_block);
	b->next = a->blocks;
	a->blocks = b;
	a->size += sizeof(*b) + b->size;
	if (a->next_block < MAX_BLOCK)
		a->next_block *= 2;
	p = b->data;
	a->at = p + n + GAP;
	a->end = b->data + b->size;
	if (a->at < a->end)
		POISON(a->at, (size_t)(a->end - a->at));
	return p;
}

static inline void *arena_take(struct arena *a, size_t n, size_t align)
{
	uintptr_t at = ((uintptr_t)a->at + align - 1) & ~(uintptr_t)(align - 1);
	uintptr_t end = (uintptr_t)a->end;

	if (unlikely(at > end || n + GAP > end - at))
		return arena_grow(a, n, align);
	a->at = (char *)at + n + GAP;
	UNPOISON((char *)at, n);
	return (void *)at;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return arena_take(a, n, ALIGN);
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_take(a, n, ALIGN), 0, n);
}

char *arena_bytes(struct arena *a, size_t n)
{
	return arena_take(a, n, 1);
}

void *arena_copy(struct arena *a, const void *p, size_t n)
{
	void *q = arena_take(a, n, ALIGN);

	if (n)
		memcpy(q, p, n);
	return q;
}

void arena_on_end(struct arena *a, void (*fn)(void *), void *p)
{
	struct ending *e = arena_alloc(a, sizeof(*e));

	e->fn = fn;
	e->p = p;
	e->next = a->endings;
	a->endings = e;
}

size_t arena_size(const struct arena *a)
{
	return a->size;
}

size_t arena_times_(size_t a, size_t b)
{
	size_t n;

	if (__builtin_mul_overflow(a, b, &n))
		die("an allocation of %zu times %zu bytes is out of the question", a, b);
	return n;
}
