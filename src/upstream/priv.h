/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of upstream/ share: link.c (connections of one user at a time) and
 * shared.c (those of HTTP/2, with a stream for each). */
#pragma once

#include "upstream/link.h"

#define BUCKETS 256

struct pool {
	struct pool *next; /* of its bucket */
	uint64_t hash;
	struct list idle;
	unsigned idle_count, in_use; /* a shared connection counts as one that is in use */
	struct list shared;          /* connections of HTTP/2, the oldest first */
	unsigned resting_count;      /* of those, without a stream */
	size_t key_size;
	char key[];
};

struct links {
	struct links_options options;
	struct pool *buckets[BUCKETS];
	struct list by_age;  /* idle links, those that end first in front */
	struct list resting; /* shared connections without a stream */
	struct timer sweep;
	char why[160]; /* of the shared connection that failed last */
	bool is_closing;
};

struct pool *pool_get(struct links *l, const struct link_target *t);
void pool_leave(struct links *l, struct pool *p); /* forgets it when nothing uses it */

struct link *link_new(struct links *l, struct pool *p); /* without a connection yet */
enum link_end link_connect(struct sock *s, const struct link_target *t, deadline until,
			   const char **why) SUSPENDS;

void shared_leave(struct shared *c); /* one of its users has gone */
void shared_close_idle(struct links *l);
