/* SPDX-License-Identifier: Apache-2.0 */
/* interfaces - a worker's Admin API and Status API, on the control loop.
 *
 * Opens the listeners of both, with their TLS and access logs, and answers the
 * questions that admin/ asks about the process. */
#pragma once

#include "observe/counters.h"
#include "process/configuration.h"
#include "process/process.h"

struct interfaces;

/* How this node is called, wherever it says so. */
struct node_name {
	uuid id;
	str host;
};

/* On the control loop. All pointers are borrowed and must outlive it. */
MUST_CHECK struct err *interfaces_new(struct arena *a, const struct worker_start *start,
				      struct configuration *configuration,
				      struct counters *counters, const struct node_name *name,
				      struct interfaces **ret);
void interfaces_stop(struct interfaces *i, deadline until) SUSPENDS;
void interfaces_drop(struct interfaces **i); /* after interfaces_stop() */
MUST_CHECK struct err *interfaces_reopen_logs(struct interfaces *i);
void interfaces_tick(struct interfaces *i); /* once a second, on the control loop */
