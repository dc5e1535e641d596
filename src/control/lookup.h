/* SPDX-License-Identifier: Apache-2.0 */
/* lookup - consumers and the entities that plugins bring, from a database, when a request
 * asks for them.
 *
 * For stores whose sets may be too large to hold: a million credentials cost a start and a
 * change nothing.  What was found, and what is not there, is kept in one cache per process
 * (store/entity_cache.h).  A miss goes to the loop that the database's connections live on, and the
 * request's fiber waits; those who ask for the same meanwhile wait for the same answer.
 *
 *	request ──► cache ── hit ──► answer
 *	              └─ miss ──► flight, one per key ──► home: seekers ──► store
 *
 * While the database is away, what is over serves on for db_resurrect_ttl; all else fails.
 * Any loop may ask; answers live as long as the arena they were asked for in. */
#pragma once

#include "fiber/fiber.h"
#include "model/model.h"
#include "settings/settings.h"
#include "store/entity_cache.h"
#include "store/store.h"

struct lookup;

/* On the loop the store is used on, which is asked as store_sql_for_requests() gives it. */
struct lookup *lookup_new(const struct settings *s, struct store *store);
void lookup_drop(struct lookup **l); /* after the loops ended; takes NULL */

/* The entity whose unique text `field` (or id) says so; *ret NULL: there is none.  False: the
 * database could not be asked, which is logged.  What it was asked, because the cache did not
 * know, is noted (fiber_set_asked). */
bool lookup_one(struct lookup *l, struct arena *a, const struct entity *e, const char *field,
		str value, const void **ret) SUSPENDS;
/* All of a consumer's. */
bool lookup_of(struct lookup *l, struct arena *a, const struct entity *e, uuid consumer,
	       const void *const **ret, size_t *ret_n) SUSPENDS;
/* A consumer by id or username. */
bool lookup_consumer_called(struct lookup *l, struct arena *a, str name,
			    const struct consumer **ret) SUSPENDS;

/* Asks for the first entities of those kinds (names) that fit: at start, on home. */
void lookup_warm_up(struct lookup *l, strs kinds) SUSPENDS;

/* Of the cache: what somebody changed.  "consumers:" alone is the whole kind. */
void lookup_forget(struct lookup *l, str key);
struct entity_cache *lookup_cache(struct lookup *l);
