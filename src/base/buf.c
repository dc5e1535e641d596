/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->is_full = false;
}

/* The capacity never passes the ceiling, so that what fits need not ask for it. */
char *buf_grow_(struct buf *b, size_t n)
{
	size_t max = b->max ? b->max : BUF_MAX_DEFAULT;
	size_t cap = b->cap ? b->cap : 256;
	char *p;

	if (b->is_full || n > max - b->n) {
		b->is_full = true;
		return NULL;
	}
	while (cap < b->n + n)
		cap *= 2;
	cap = cap < max ? cap : max;
	p = realloc(b->data, cap);
	if (!p)
		die("out of memory (%zu bytes)", cap);
	b->data = p;
	b->cap = cap;
	return b->data + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = n ? buf_room(b, n) : NULL;

	if (!to)
		return;
	memcpy(to, p, n);
	b->n += n;
}

void buf_add_str(struct buf *b, str s)
{
	buf_add(b, s.s, s.n);
}

void buf_addf(struct buf *b, const char *format, ...)
{
	char local[256];
	va_list args;
	char *to;
	int n;

	va_start(args, format);
	n = vsnprintf(local, sizeof(local), format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n < sizeof(local)) {
		buf_add(b, local, (size_t)n);
		return;
	}
	to = buf_room(b, (size_t)n + 1);
	if (!to)
		return;
	va_start(args, format);
	vsnprintf(to, (size_t)n + 1, format, args);
	va_end(args);
	b->n += (size_t)n;
}

void buf_add_int(struct buf *b, int64_t i)
{
	char digits[20], *at = digits + sizeof(digits);
	uint64_t left = i < 0 ? -(uint64_t)i : (uint64_t)i;

	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (i < 0)
		*--at = '-';
	buf_add(b, at, (size_t)(digits + sizeof(digits) - at));
}

void buf_cut_front(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	memmove(b->data, b->data + n, b->n - n);
	b->n -= n;
}
