/* SPDX-License-Identifier: Apache-2.0 */
/* tracing - what is noted of a request on its way, when a plugin will want to know.
 *
 * As long as no plugin that traces is configured anywhere a request passes each call with
 * one test; from the route on, so does one that none of them is configured for. */
#pragma once

#include "base/asked.h"
#include "observe/trace.h"
#include "serve/phases.h"

struct tracing {
	struct trace *trace;   /* the clock, the id, the spans */
	unsigned types;        /* that spans are made of; 0: of none */
	int64_t began[PHASES]; /* by clock_mono_us(); 0: it did not */
	int64_t ended[PHASES];
	struct asked asked; /* by the handler that runs */
};

void tracing_begin_session(struct req *r); /* of streams: no spans, times where somebody asks */
void tracing_begin(struct req *r);
void tracing_routed(struct req *r, int64_t began_us); /* the search for a route began then */
void tracing_end(struct req *r);                      /* before the log phase */

/* A phase as a whole, and a plugin in it. */
void tracing_phase_begins(struct req *r, enum phase phase);
void tracing_phase_ends(struct req *r, enum phase phase);
struct span *tracing_plugin_begins(struct req *r, enum phase phase, const struct plugin *p);
void tracing_plugin_ends(struct req *r, struct span *s); /* takes NULL */

/* Tries of targets: for requests that plugins have to do with. */
void tracing_try_begins(struct req *r);
void tracing_try_picked(struct req *r);
void tracing_try_connected(struct req *r);
void tracing_try_failed(struct req *r, int status);
void tracing_try_forget(struct req *r); /* the last one was none */
