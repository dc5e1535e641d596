/* SPDX-License-Identifier: Apache-2.0 */
/* spool - bytes kept until they are wanted: some in memory, the rest in a file.
 *
 * Used for requests' bodies that are taken in whole before a target is asked
 * (request_buffering), and for replies that come faster than the client reads
 * (response_buffering).  The file has no name, lies in a folder of the prefix,
 * and is read and written by the offload threads.  Bytes come out in the order
 * in which they went in; spool_rewind() starts again from the first. */
#pragma once

#include "base/err.h"
#include "net/block.h"
#include <sys/types.h>

struct spool {
	const char *folder; /* borrowed */
	struct block *memory;
	size_t in_memory, memory_max;
	int fd; /* -1: no file yet */
	uint64_t in_file, file_max;
	uint64_t taken;     /* bytes given out since the start or a rewind */
	struct block *page; /* what was last read from the file */
};

/* memory_max is rounded up to a block; file_max is a ceiling (0: none). */
void spool_init(struct spool *s, const char *folder, size_t memory_max, uint64_t file_max);
void spool_done(struct spool *s); /* usable as a cleanup; once again does nothing */

/* Adds all of p[0..n), or nothing: ERR_REFUSED when it would pass file_max, ERR_SYSTEM when
 * the disk does not take it. */
MUST_CHECK struct err *spool_add(struct spool *s, const char *p, size_t n) SUSPENDS;

/* The next bytes, at most `most`; 0 when all were given out, -1 when the file cannot be read.
 * They are valid until the next call.  spool_took() says how many of them were used. */
ssize_t spool_next(struct spool *s, size_t most, char **ret) SUSPENDS;
void spool_took(struct spool *s, size_t n);
void spool_rewind(struct spool *s);
void spool_rest(struct spool *s); /* before a wait: lets go of what it read ahead */

static inline uint64_t spool_size(const struct spool *s) /* everything that was added */
{
	return s->in_memory + s->in_file;
}

static inline uint64_t spool_left(const struct spool *s) /* and is not taken yet */
{
	return spool_size(s) - s->taken;
}
