/* SPDX-License-Identifier: Apache-2.0 */
/* background - one loop of the process for what no request waits for: queues that are sent
 * off (clients/queue.h), and what plugins do from time to time. */
#pragma once

#include "fiber/fiber.h"

/* Once per process; before plugins start, and after the loops that feed queues ended.
 * Stopping sends what the queues still hold, for flush_ms at most.  `leave` (or NULL) is
 * what else is to be let go of on the loop's thread when it has ended. */
MUST_CHECK struct err *background_start(void (*leave)(void));
void background_stop(int64_t flush_ms);

/* NULL: not started (a check of a configuration), or stopped. */
struct loop *background_loop(void);

/* From now on fn(arg) is called every so many milliseconds after the last call returned, on
 * a fiber there, until the process stops.  It may suspend; what it fails with it tells
 * itself.  `name` and `arg` are borrowed.  Any thread. */
void timer_every(const char *name, int64_t ms, void (*fn)(void *arg), void *arg);
