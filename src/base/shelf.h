/* SPDX-License-Identifier: Apache-2.0 */
/* shelf - pieces of bytes that threads share under keys, in so much memory at most.
 *
 * A parcel is one allocation: the thread that makes it fills it, then it is put on the
 * shelf and never changed again.  Who takes it down holds it: that it is replaced, removed
 * or has to make room takes it from the shelf, and from nobody who is still reading it.
 * What was not taken down for the longest time makes room first.
 *
 * One mutex over the shelf, held for a look-up; holds are counted by atomics. */
#pragma once

#include "base/str.h"

struct parcel;
struct shelf;

/* ---- parcels: one thread's own, up to shelf_put() ------------------------------------- */

/* With room for so many bytes, to begin with. */
struct parcel *parcel_new(str key, size_t room);
void parcel_add(struct parcel **p, str bytes);
void parcel_drop(struct parcel **p); /* of one that was taken down, too */
str parcel_key(const struct parcel *p);
str parcel_bytes(const struct parcel *p); /* aligned for any type */

/* ---- the shelf ------------------------------------------------------------------------- */

struct shelf *shelf_new(size_t most_bytes);
void shelf_drop(struct shelf **s); /* parcels that are held go when they are dropped */

/* What one parcel may have: a quarter of the shelf, its key and some bytes of ours included. */
size_t shelf_parcel_most(const struct shelf *s);

/* In the place of what has that key, up to a time of the clock that shelf_take() is told
 * (INT64_MAX: for ever).  False: it is larger than one may be.  Takes *p in any case. */
bool shelf_put(struct shelf *s, struct parcel **p, int64_t ends_ms);

/* Held, to be dropped; NULL: there is none, or its time is over. */
struct parcel *shelf_take(struct shelf *s, str key, int64_t now_ms);

bool shelf_remove(struct shelf *s, str key); /* true: it was there */
void shelf_clear(struct shelf *s);
size_t shelf_bytes(struct shelf *s); /* of all parcels on it */
