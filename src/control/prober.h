/* SPDX-License-Identifier: Apache-2.0 */
/* prober - active health checks: who is probed, when, and how many at once.
 *
 *	config ──► checkup (immutable, built on any thread) ──► prober_follow()
 *	                                                            │
 *	prober ── a watch per upstream, kept while it is there ◄────┘
 *	             └─ two timers: those that are healthy, those that are not
 *	                   └─ a round: fibers, `concurrency` at most, over the addresses
 *
 * There is one prober per node, on the control loop.  A round looks at what is healthy
 * when it begins; the next one begins an interval after, but not before it has ended.
 * An upstream that is gone is not asked again: what is left of its rounds is not run.
 * gRPC is not probed, which is said once for each upstream.
 *
 * A checkup has a balancer for each upstream with checks, also for those that no service
 * uses: their names are resolved and marks by hand find them. */
#pragma once

#include "balance/balance.h"
#include "settings/settings.h"
#include "store/held.h"

struct prober;
struct checkup;

struct checkup *checkup_new(const struct settings *s, struct balance_store *balancers,
			    struct held_config *config); /* any thread; a hold is taken */
void checkup_drop(struct checkup **c);                   /* one that was not followed */

struct prober *prober_new(void);
/* Takes the checkup and goes by it from now on.  On the prober's loop, as the next one. */
void prober_follow(struct prober *p, struct checkup **c);
void prober_stop(struct prober *p);  /* no probe begins any more */
void prober_drop(struct prober **p); /* after its loop ended; takes NULL */
