/* SPDX-License-Identifier: Apache-2.0 */
/* trace - the spans of one request, in its arena.
 *
 * Times are microseconds of the wall clock that never run backwards within one trace: the
 * clock is read once, what follows is measured by the monotonic one.
 *
 * The first span is the root when there is one; it is the parent of all that are made
 * without another. */
#pragma once

#include "observe/propagation.h"

enum span_kind { /* as OTLP numbers them */
		 SPAN_INTERNAL = 1,
		 SPAN_SERVER = 2,
		 SPAN_CLIENT = 3,
};

enum span_value { SPAN_STRING, SPAN_BOOL, SPAN_INT, SPAN_DOUBLE };

struct span_attribute {
	struct span_attribute *next;
	const char *key;
	enum span_value kind;
	union {
		str s;
		bool b;
		int64_t i;
		double real;
	};
};

struct span {
	struct span *next; /* in the order in which they began */
	str name;
	enum span_kind kind;
	int64_t began_us, ended_us; /* 0: not ended yet */
	uint8_t id[SPAN_ID], parent_id[SPAN_ID];
	bool has_parent;
	bool is_error;
	struct span_attribute *attributes, *last_attribute;
};

struct trace {
	struct arena *arena;
	int64_t wall_us, mono_us;       /* of the same moment */
	uint8_t trace_id[TRACE_ID_MAX]; /* of its own */
	struct span *spans, *last;
	struct span *root; /* NULL: none was made */
};

/* What the core can make spans of. */
enum trace_type {
	TRACE_REQUEST = 1,
	TRACE_DB_QUERY = 2,
	TRACE_DNS_QUERY = 4,
	TRACE_ROUTER = 8,
	TRACE_HTTP_CLIENT = 16,
	TRACE_BALANCER = 32,
	TRACE_PLUGIN_REWRITE = 64,
	TRACE_PLUGIN_ACCESS = 128,
	TRACE_PLUGIN_HEADER_FILTER = 256,
};

/* Bits of tracing_instrumentations; 0: off. */
unsigned trace_types(strs names);

/* Unpredictable enough, and never all zero. */
void trace_random(uint8_t *out, size_t n);

/* Is the trace of that id one of the share (0 to 1) that is kept? */
bool trace_is_kept(const uint8_t trace_id[TRACE_ID_MAX], double rate);
bool trace_chance(double rate); /* without an id to go by */

/* In a, with an id of its own. */
struct trace *trace_new(struct arena *a);

int64_t trace_at(const struct trace *t, int64_t mono_us); /* of clock_mono_us() */
int64_t trace_now(const struct trace *t);

/* A child of the root.  name is borrowed. */
struct span *span_begin(struct trace *t, str name, enum span_kind kind, int64_t began_us);
void span_end(struct span *s, int64_t ended_us); /* once; never before it began */

/* key and s are borrowed. */
void span_set_str(struct trace *t, struct span *s, const char *key, str value);
void span_set_int(struct trace *t, struct span *s, const char *key, int64_t value);
void span_set_real(struct trace *t, struct span *s, const char *key, double value);
