/* SPDX-License-Identifier: Apache-2.0 */
/* current - which snapshot serves, and who still holds the ones before it.
 *
 * Every data loop has a cell of its own with the snapshot it uses and a plain
 * counter of the requests that hold it.  Publishing sends each loop a message
 * that changes its cell; so a request needs no atomic operation, and once
 * current_publish() returns, every new request on every loop sees the new one.
 * The last loop whose last request lets go of a replaced snapshot hands it to
 * the offload threads, which free it. */
#pragma once

#include "control/snapshot.h"
#include "fiber/fiber.h"

struct current;

struct current *current_new(struct loop *const *loops, int n);
void current_drop(struct current **c); /* after the loops ended */

/* Takes the snapshot; waits until every loop uses it. On a fiber of another loop than those. */
void current_publish(struct current *c, struct snapshot *s) SUSPENDS;

/* On data loop i: the snapshot in use (NULL before the first), held until released. */
struct snapshot *current_hold(struct current *c, int i);
void current_release(struct snapshot *s, int i);

/* The one in use, borrowed until the next suspension (TLS picks). */
struct snapshot *current_peek(const struct current *c, int i);
