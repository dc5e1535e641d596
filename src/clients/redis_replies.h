/* SPDX-License-Identifier: Apache-2.0 */
/* redis_replies - replies of a Redis server, read from its bytes in whatever pieces they come.
 *
 * What is read lives in an arena.  Lists of all replies together have a ceiling
 * (LIMIT_REDIS_ITEMS), so have the bytes (LIMIT_REDIS_BYTES); lists in lists are seven
 * levels deep at most.  After an error nothing more can be read. */
#pragma once

#include "base/err.h"
#include "clients/redis.h"

struct redis_replies {
	struct arena *a;
	struct redisReader *reader;
	struct redis_reply *at; /* the one that is being read */
	size_t bytes, items;    /* so far */
	bool is_too_long;       /* a list was refused */
};

void redis_replies_init(struct redis_replies *g, struct arena *a);
void redis_replies_done(struct redis_replies *g); /* serves as cleanup */

MUST_CHECK struct err *redis_replies_feed(struct redis_replies *g, const char *p, size_t n);

/* Into *ret, which stays the same until the reply is whole; *ret_is_whole false: bytes are
 * missing. */
MUST_CHECK struct err *redis_replies_next(struct redis_replies *g, struct redis_reply *ret,
					  bool *ret_is_whole);

/* Are there bytes behind the replies that were taken? */
bool redis_replies_has_more(const struct redis_replies *g);
