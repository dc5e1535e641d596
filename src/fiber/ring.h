/* SPDX-License-Identifier: Apache-2.0 */
/* ring - io_uring, as far as a loop needs it: the two queues, a table of registered
 * descriptors, and buffers that the kernel takes when it receives.
 *
 * One thread uses a ring, the one that first calls ring_enter(); it may be made and
 * dropped by others.  Nothing here suspends. */
#pragma once

#include "base/err.h"
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_BUFFERS     256
#define RING_BUFFER_SIZE 4096

struct ring {
	int fd;
	bool is_enabled, has_buffers;
	void *map;
	size_t map_size, sqes_size;

	struct io_uring_sqe *sqes;
	_Atomic(uint32_t) *sq_head, *sq_tail, *sq_flags;
	uint32_t sq_mask, tail; /* what is queued, told to the kernel by entering */

	struct io_uring_cqe *cqes;
	_Atomic(uint32_t) *cq_head, *cq_tail;
	uint32_t cq_mask, head;

	uint32_t files; /* places in the table of descriptors */

	/* Those at rest are a stack, so that the warmest are used again first. */
	struct io_uring_buf_ring *lent;
	char *bytes;
	uint32_t lent_size, lent_count;
	uint16_t lent_tail, resting_count, resting[RING_BUFFERS];
};

MUST_CHECK struct err *ring_init(struct ring *r);
void ring_done(struct ring *r);

/* An entry to fill, zeroed; enters when the queue is full. */
struct io_uring_sqe *ring_queue(struct ring *r);

/* True when what was queued up to this mark, a value of tail, has not gone yet. */
static inline bool ring_holds(const struct ring *r, uint32_t mark)
{
	uint32_t head = atomic_load_explicit(r->sq_head, memory_order_acquire);

	return (int32_t)(mark - head) > 0;
}

void ring_submit(struct ring *r); /* what is queued; runs no completions */

/* Submits, and waits for a completion: so long, or for ever at -1. */
void ring_enter(struct ring *r, int64_t timeout_ms);

/* The next completion, or NULL; valid until the next call. */
const struct io_uring_cqe *ring_next(struct ring *r);

/* Descriptors and buffers, for the first one that is kept; buffers are lent out by
 * entering.  False: the kernel has none to give. */
bool ring_has_buffers(struct ring *r);

static inline char *ring_buffer(const struct ring *r, uint16_t id)
{
	return r->bytes + (size_t)id * RING_BUFFER_SIZE;
}

void ring_buffer_taken(struct ring *r); /* a completion brought one */
void ring_buffer_back(struct ring *r, uint16_t id);
