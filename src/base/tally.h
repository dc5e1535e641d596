/* SPDX-License-Identifier: Apache-2.0 */
/* tally - counters by name that many threads share and that end by themselves.
 *
 * A name counts until a wall-clock time that its first use gives.  Reading and
 * counting are one step: of many threads that ask for the last one left, exactly
 * one gets it.  Sharded by name, a mutex over each shard, held for a look-up alone.
 * When a shard is full, what is over is thrown out, then what ends soonest. */
#pragma once

#include "base/str.h"

struct tally;

struct tally *tally_new(size_t most); /* counters at once, all shards together */
void tally_drop(struct tally **t);

/* One of the counters that are looked at together. */
struct tally_ask {
	str name;
	int64_t ends_ms; /* wall clock; of a counter that is not there yet */
	int64_t most;    /* nothing is added to one that has reached it */
	int64_t by;      /* what is added; 0: one */
	int64_t used;    /* out: before this one */
};

/* Adds to each when none of them has reached its most; true when it was counted.  In any
 * case `used` says how it stood. */
#define TALLY_ASKS_MAX 256
bool tally_take(struct tally *t, struct tally_ask *ask, size_t n, int64_t now_ms);

/* Adds to one, whatever it is at; what it is then. */
int64_t tally_add(struct tally *t, str name, int64_t by, int64_t ends_ms, int64_t now_ms);
int64_t tally_get(struct tally *t, str name, int64_t now_ms);
