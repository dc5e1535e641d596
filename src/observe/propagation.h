/* SPDX-License-Identifier: Apache-2.0 */
/* propagation - the headers in which a trace goes from one program to the next.
 *
 *	b3          X-B3-TraceId, -SpanId, -ParentSpanId, -Sampled, -Flags
 *	b3-single   b3: trace-span[-sampled[-parent]], or as the first of tracestate
 *	w3c         traceparent: 00-trace-parent-flags
 *	jaeger      uber-trace-id: trace:span:parent:flags, and uberctx-*
 *	ot          ot-tracer-traceid, -spanid, -sampled, and ot-baggage-*
 *
 * One request is taken to speak one of them, the first of this order that is there.  What
 * is malformed is not used at all: the trace begins anew, in the form that was found. */
#pragma once

#include "http/http.h"

enum trace_form {
	TRACE_NONE,
	TRACE_B3,
	TRACE_B3_SINGLE,
	TRACE_W3C,
	TRACE_JAEGER,
	TRACE_OT,
};

/* "b3", "b3-single", ...; TRACE_NONE for anything else. */
enum trace_form trace_form_of(str name);
const char *trace_form_name(enum trace_form form);

#define TRACE_ID_MAX 16
#define SPAN_ID      8

enum trace_sampled { SAMPLED_UNSAID, SAMPLED_NO, SAMPLED_YES };

#define TRACE_BAGGAGE_MAX 64 /* members of one request that go on */

struct trace_baggage {
	str key, value; /* decoded */
};

/* What a request brings, or what goes on with it. */
struct trace_context {
	enum trace_form form;
	enum trace_sampled sampled;
	uint8_t trace_id[TRACE_ID_MAX];
	unsigned trace_id_n; /* bytes of it: 8 or 16; 0: there is no trace */
	bool has_span, has_parent;
	uint8_t span_id[SPAN_ID], parent_id[SPAN_ID];
	struct trace_baggage *baggage;
	unsigned n_baggage;
	const char *complaint; /* what was malformed, for the log; NULL: nothing */
};

/* Reads what came; text of the baggage lives in a. */
void trace_context_read(struct arena *a, const struct http_headers *h, struct trace_context *ret);

/* One header to be set. */
struct trace_header {
	str name, value;
};

#define TRACE_HEADERS_MAX (5 + 2 * TRACE_BAGGAGE_MAX)

/* The headers that carry c in that form, in a; how many.  flags: the X-B3-Flags that came,
 * which stand for the decision, or empty.  ids of 8 bytes are made 16 where the form
 * wants so. */
unsigned trace_context_write(struct arena *a, const struct trace_context *c, enum trace_form form,
			     str flags, struct trace_header ret[TRACE_HEADERS_MAX]);
