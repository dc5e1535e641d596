/* SPDX-License-Identifier: Apache-2.0 */
/* buf - bytes that grow at the end.
 *
 * On the heap with buf_done() as cleanup, and with a ceiling: once `max` would be
 * passed, the buffer takes no more and says so (buf_full), so a writer need
 * check only once.  Not for the proxy's hot path, which has pooled blocks. */
#pragma once

#include "base/str.h"

struct buf {
	char *data;
	size_t n, cap;
	size_t max;   /* 0: BUF_MAX_DEFAULT */
	bool is_full; /* something did not fit; contents are then a prefix */
};

#define BUF_MAX_DEFAULT ((size_t)1 << 30)

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b); /* usable as CLEANUP(buf_done); empty afterwards */
void buf_clear(struct buf *b);

char *buf_grow_(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, str s);
void buf_addf(struct buf *b, const char *format, ...) PRINTF(2, 3);
void buf_add_int(struct buf *b, int64_t i);
void buf_cut_front(struct buf *b, size_t n); /* drops the first n bytes */

/* At least n writable bytes at the end, or NULL when full. */
static inline char *buf_room(struct buf *b, size_t n)
{
	return likely(n <= b->cap - b->n && !b->is_full) ? b->data + b->n : buf_grow_(b, n);
}

static inline void buf_add_char(struct buf *b, char c)
{
	char *to = buf_room(b, 1);

	if (likely(to != NULL)) {
		*to = c;
		b->n++;
	}
}

static inline str buf_str(const struct buf *b)
{
	return (str){ b->data, b->n };
}
