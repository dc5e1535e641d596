/* SPDX-License-Identifier: Apache-2.0 */
/* entity_cache - entities of a database that were asked for, and those that are not there.
 *
 * By text keys, which are Kong's ("keyauth_credentials:secret:::::<workspace>"), so that what
 * its nodes tell each other is understood here.  One per process; any thread.  In shards,
 * a mutex over each, held for a look-up alone and never across a wait.
 *
 * What is there and what is not have a ceiling each, in bytes; what was not used for the
 * longest time makes room.  An answer is immutable and lives as long as somebody holds it.
 *
 * Nothing old is kept: who asks the database takes a stamp before, and what was forgotten
 * between the stamp and the answer is not put. */
#pragma once

#include "base/value.h"
#include "model/entity.h"
#include <stdatomic.h>

/* An answer: structs of an entity; none: there is no such thing. */
struct cached {
	atomic_int holders;
	struct arena *arena;
	const struct entity *entity;
	const struct value *doc; /* what they were made of: a document or a list; null: none */
	const void **v;
	size_t n;
};

/* The structs of one document or of a list of them (NULL: nothing), held once. */
struct cached *cached_new(const struct entity *e, const struct value *doc);
struct cached *cached_hold(struct cached *c);
void cached_drop(struct cached **c); /* takes NULL */

struct cache_options {
	size_t bytes;         /* of what is there */
	size_t missing_bytes; /* of what is not */
	int64_t ttl_ms;       /* 0: for ever */
	int64_t missing_ttl_ms;
	int64_t resurrect_ms; /* how long what is over serves on while the database is away */
};

struct entity_cache;
struct entity_cache *entity_cache_new(const struct cache_options *o);
void entity_cache_drop(struct entity_cache **c);

enum cache_state { CACHE_NONE, CACHE_OVER, CACHE_GOOD };

/* What is known under the key, held; what is over is still given, for times of need. */
enum cache_state entity_cache_find(struct entity_cache *c, const struct entity *e, str key,
				   int64_t now_ms, struct cached **ret);
/* The same without counting as use. */
enum cache_state entity_cache_peek(struct entity_cache *c, str key, int64_t now_ms,
				   struct cached **ret);

/* A moment, before the database is asked. */
struct cache_stamp {
	uint64_t key, kind, all;
};
struct cache_stamp entity_cache_stamp(struct entity_cache *c, const struct entity *e, str key);

/* Keeps it (a hold of its own is taken).  is_loose: under a key that nobody names when the
 * entity changes; any change to one of its kind makes it old. */
void entity_cache_put(struct entity_cache *c, str key, struct cached *what, bool is_loose,
		      const struct cache_stamp *s, int64_t now_ms);

/* What is over serves on for resurrect_ms; false: it may not. */
bool entity_cache_resurrect(struct entity_cache *c, str key, int64_t now_ms);

void entity_cache_forget(struct entity_cache *c, str key);
void entity_cache_forget_kind(struct entity_cache *c, const struct entity *e);
void entity_cache_forget_all(struct entity_cache *c);

struct cache_stats {
	size_t n, bytes, missing, missing_bytes;
	size_t bytes_most, missing_bytes_most; /* their ceilings */
	uint64_t hits, misses, evicted;
};
struct cache_stats entity_cache_stats(struct entity_cache *c);
