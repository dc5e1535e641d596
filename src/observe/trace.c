/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/trace.h"

#include "base/clock.h"
#include "base/log.h"

#include <sys/random.h>

unsigned trace_types(strs names)
{
	static const struct {
		const char *name;
		unsigned types;
	} rows[] = {
		{ "all", ~0u },
		{ "request", TRACE_REQUEST },
		{ "db_query", TRACE_DB_QUERY },
		{ "dns_query", TRACE_DNS_QUERY },
		{ "router", TRACE_ROUTER },
		{ "http_client", TRACE_HTTP_CLIENT },
		{ "balancer", TRACE_BALANCER },
		{ "plugin_rewrite", TRACE_PLUGIN_REWRITE },
		{ "plugin_access", TRACE_PLUGIN_ACCESS },
		{ "plugin_header_filter", TRACE_PLUGIN_HEADER_FILTER },
	};
	unsigned types = 0;

	for (size_t i = 0; i < names.n; i++) {
		for (size_t k = 0; k < COUNT(rows); k++)
			types |= str_is(names.v[i], rows[k].name) ? rows[k].types : 0;
	}
	return types;
}

/* ---- chance ------------------------------------------------------------------------------ */

/* From a supply of each thread's own, for one call of the kernel costs more than a span. */
void trace_random(uint8_t *out, size_t n)
{
	static _Thread_local struct {
		uint8_t v[240];
		size_t left;
	} supply;
	bool is_zero = true;

	while (is_zero) {
		if (supply.left < n) {
			if (getrandom(supply.v, sizeof(supply.v), 0) != (ssize_t)sizeof(supply.v))
				die("the kernel gives no random numbers");
			supply.left = sizeof(supply.v);
		}
		supply.left -= n;
		memcpy(out, supply.v + supply.left, n);
		for (size_t i = 0; i < n; i++)
			is_zero &= out[i] == 0;
	}
}

bool trace_is_kept(const uint8_t trace_id[TRACE_ID_MAX], double rate)
{
	uint64_t n;

	memcpy(&n, trace_id, sizeof(n));
	if (rate >= 1)
		return true;
	return (double)(n >> 1) < rate * 9223372036854775808.0; /* 2^63 */
}

bool trace_chance(double rate)
{
	uint8_t id[TRACE_ID_MAX] = { 0 };

	if (rate <= 0 || rate >= 1)
		return rate >= 1;
	trace_random(id, sizeof(uint64_t));
	return trace_is_kept(id, rate);
}

/* ---- spans --------------------------------------------------------------------------------- */

struct trace *trace_new(struct arena *a)
{
	struct trace *t = NEW(a, struct trace);

	t->arena = a;
	t->wall_us = clock_wall_us();
	t->mono_us = clock_mono_us();
	trace_random(t->trace_id, sizeof(t->trace_id));
	return t;
}

int64_t trace_at(const struct trace *t, int64_t mono_us)
{
	return t->wall_us + (mono_us - t->mono_us);
}

int64_t trace_now(const struct trace *t)
{
	return trace_at(t, clock_mono_us());
}

struct span *span_begin(struct trace *t, str name, enum span_kind kind, int64_t began_us)
{
	struct span *s = NEW(t->arena, struct span);

	s->name = name;
	s->kind = kind;
	s->began_us = began_us;
	trace_random(s->id, sizeof(s->id));
	if (t->root) {
		memcpy(s->parent_id, t->root->id, sizeof(s->parent_id));
		s->has_parent = true;
	}
	if (t->last)
		t->last->next = s;
	else
		t->spans = s;
	t->last = s;
	return s;
}

void span_end(struct span *s, int64_t ended_us)
{
	if (s->ended_us)
		return;
	s->ended_us = ended_us > s->began_us ? ended_us : s->began_us;
}

static struct span_attribute *add(struct trace *t, struct span *s, const char *key)
{
	struct span_attribute *at = NEW(t->arena, struct span_attribute);

	at->key = key;
	if (s->last_attribute)
		s->last_attribute->next = at;
	else
		s->attributes = at;
	s->last_attribute = at;
	return at;
}

void span_set_str(struct trace *t, struct span *s, const char *key, str value)
{
	struct span_attribute *at = add(t, s, key);

	at->kind = SPAN_STRING;
	at->s = value;
}

void span_set_int(struct trace *t, struct span *s, const char *key, int64_t value)
{
	struct span_attribute *at = add(t, s, key);

	at->kind = SPAN_INT;
	at->i = value;
}

void span_set_real(struct trace *t, struct span *s, const char *key, double value)
{
	struct span_attribute *at = add(t, s, key);

	at->kind = SPAN_DOUBLE;
	at->real = value;
}
