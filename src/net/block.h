/* SPDX-License-Identifier: Apache-2.0 */
/* block - pooled pieces of memory for bytes on their way through.
 *
 * Two sizes: small ones hold a head and the start of a body, large ones carry
 * big bodies with few system calls.  Each thread keeps free ones up to a
 * ceiling, because a fresh page costs far more than the copy that fills it.
 * A block may be put back on the thread that got it only. */
#pragma once

#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	BLOCK_SMALL = 16 * 1024,
	BLOCK_LARGE = 256 * 1024,
};

struct block {
	struct block *next;
	uint32_t size; /* of data */
	uint32_t is_large;
	char data[];
};

/* Never NULL. */
struct block *block_get(uint32_t size); /* BLOCK_SMALL or BLOCK_LARGE */
void block_put(struct block **b);       /* takes NULL, leaves NULL */

/* Room behind what is used, [begin, end): gets a block when there is none, else moves the
 * used part to the front or into a large block.  False: a large one is full. */
bool block_make_room(struct block **b, uint32_t *begin, uint32_t *end);

/* Gives the free ones of this thread back to the system: when a loop ends. */
void block_trim(void);
