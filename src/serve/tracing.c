/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/tracing.h"

#include "base/vec.h"

static struct tracing *tracing_of(struct req *r)
{
	if (!r->tracing) {
		r->tracing = NEW(r->arena, struct tracing);
		r->tracing->trace = trace_new(r->arena);
	}
	return r->tracing;
}

void tracing_begin(struct req *r)
{
	const struct proxy_shared *shared = r->proxy->shared;
	struct tracing *t;
	struct trace *trace;
	int64_t began;

	if (likely(!r->snap || !r->snap->has_tracing))
		return;
	t = tracing_of(r);
	trace = t->trace;
	if (!shared->trace_types || !trace_is_kept(trace->trace_id, shared->trace_rate))
		return;
	t->types = shared->trace_types;
	began = trace_at(trace, r->start_ms * 1000);
	trace->root = span_begin(trace, STR_NONE, SPAN_SERVER,
				 began < trace->wall_us ? began : trace->wall_us);
	trace->root->has_parent = false;
}

void tracing_begin_session(struct req *r)
{
	if (unlikely(r->snap && r->snap->has_tracing))
		tracing_of(r);
}

void tracing_routed(struct req *r, int64_t began_us)
{
	struct tracing *t = r->tracing;

	if (r->route && (!r->route->plan || !r->route->plan->has_tracing)) {
		r->tracing = NULL;
		return;
	}
	if (t->types & TRACE_ROUTER)
		span_end(span_begin(t->trace, STR("router"), SPAN_INTERNAL,
				    trace_at(t->trace, began_us)),
			 trace_now(t->trace));
}

/* ---- phases ------------------------------------------------------------------------------- */

void tracing_phase_begins(struct req *r, enum phase phase)
{
	if (r->tracing)
		r->tracing->began[phase] = clock_mono_us();
}

void tracing_phase_ends(struct req *r, enum phase phase)
{
	if (r->tracing)
		r->tracing->ended[phase] = clock_mono_us();
}

/* Of others, while the request waits for it. */
static void note_what_is_asked(struct req *r)
{
	struct tracing *t = r->tracing;

	if (!(t->types & (TRACE_DB_QUERY | TRACE_HTTP_CLIENT)))
		return;
	t->asked = (struct asked){ .a = r->arena };
	fiber_set_asked(&t->asked);
}

struct span *tracing_plugin_begins(struct req *r, enum phase phase, const struct plugin *p)
{
	static const struct {
		const char *name;
		unsigned type;
	} rows[PHASES] = {
		[PHASE_REWRITE] = { "rewrite", TRACE_PLUGIN_REWRITE },
		[PHASE_ACCESS] = { "access", TRACE_PLUGIN_ACCESS },
		[PHASE_HEADER_FILTER] = { "header_filter", TRACE_PLUGIN_HEADER_FILTER },
	};
	struct tracing *t = r->tracing;

	note_what_is_asked(r);
	if (!(t->types & rows[phase].type))
		return NULL;
	return span_begin(t->trace, str_fmt(r->arena, "%s phase: %s", rows[phase].name, p->name),
			  SPAN_INTERNAL, trace_now(t->trace));
}

/* What is bound is not told: it may be a key. */
static void database_span(struct tracing *t, const struct asked_one *one)
{
	struct span *s = span_begin(t->trace, STR("query"), SPAN_INTERNAL,
				    trace_at(t->trace, one->began_us));

	span_set_str(t->trace, s, "db.system", str_of(one->database));
	span_set_str(t->trace, s, "db.statement", one->statement);
	s->is_error = one->has_failed;
	span_end(s, trace_at(t->trace, one->ended_us));
}

static void http_span(struct tracing *t, const struct asked_one *one)
{
	str name =
		str_fmt(t->trace->arena, "HTTP " STRF " " STRF, STRV(one->method), STRV(one->url));
	struct span *s = span_begin(t->trace, name, SPAN_CLIENT, trace_at(t->trace, one->began_us));

	span_set_str(t->trace, s, "http.url", one->url);
	span_set_str(t->trace, s, "http.method", one->method);
	span_set_str(t->trace, s, "http.flavor", STR("1.1"));
	span_set_str(t->trace, s, "http.user_agent", one->agent);
	if (one->status)
		span_set_int(t->trace, s, "http.status_code", one->status);
	s->is_error = one->has_failed;
	span_end(s, trace_at(t->trace, one->ended_us));
}

void tracing_plugin_ends(struct req *r, struct span *s)
{
	struct tracing *t = r->tracing;

	if (s)
		span_end(s, trace_now(t->trace));
	fiber_set_asked(NULL);
	for (const struct asked_one *one = t->asked.first; one; one = one->next) {
		if (one->kind == ASKED_DATABASE && t->types & TRACE_DB_QUERY)
			database_span(t, one);
		if (one->kind == ASKED_HTTP && t->types & TRACE_HTTP_CLIENT)
			http_span(t, one);
	}
	t->asked.first = NULL;
}

/* ---- tries -------------------------------------------------------------------------------- */

static struct req_try *last_try(struct req *r)
{
	return r->run && r->run->tries.n ? &r->run->tries.v[r->run->tries.n - 1] : NULL;
}

void tracing_try_begins(struct req *r)
{
	if (r->run)
		vec_add(r->arena, &r->run->tries)->began_us = clock_mono_us();
}

/* As in Kong, a host that is a name has one even when its addresses are known. */
static void dns_span(struct req *r, const struct req_try *one)
{
	const struct pick *p = &r->pick;
	struct tracing *t = r->tracing;
	bool is_asked = p->asked_ended_us != 0;
	str name = is_asked ? p->asked_name : r->service->service->host;
	struct span *s;

	if (!(t->types & TRACE_DNS_QUERY))
		return;
	if (!is_asked && (r->service->upstream || str_eq(name, one->ip) || name.s[0] == '['))
		return;
	s = span_begin(t->trace, str_cat(r->arena, STR("DNS: "), name), SPAN_INTERNAL,
		       trace_at(t->trace, is_asked ? p->asked_began_us : one->began_us));
	span_set_str(t->trace, s, "dns.record.domain", name);
	span_set_real(t->trace, s, "dns.record.port", one->port);
	span_set_str(t->trace, s, "dns.record.ip", one->ip);
	span_end(s, trace_at(t->trace, is_asked ? p->asked_ended_us : one->picked_us));
}

void tracing_try_picked(struct req *r)
{
	struct req_try *t = last_try(r);
	char ip[ADDRESS_TEXT];

	if (!t)
		return;
	t->picked_us = clock_mono_us();
	t->ip = str_copy(r->arena, str_at(ip, address_ip(&r->pick.address, ip)));
	t->port = address_port(&r->pick.address);
	if (r->tracing)
		dns_span(r, t);
}

void tracing_try_connected(struct req *r)
{
	struct req_try *t = last_try(r);

	if (t)
		t->connected_us = clock_mono_us();
}

void tracing_try_failed(struct req *r, int status)
{
	struct req_try *t = last_try(r);

	if (!t)
		return;
	t->failed_us = clock_mono_us();
	t->code = status;
}

void tracing_try_forget(struct req *r)
{
	if (last_try(r))
		r->run->tries.n--;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void balancer_spans(struct req *r, const struct tracing *t)
{
	struct req_tries tries = req_tries(r);

	for (size_t i = 0; i < tries.n; i++) {
		const struct req_try *one = &tries.v[i];
		struct span *s = span_begin(t->trace, str_fmt(r->arena, "balancer try #%zu", i + 1),
					    SPAN_CLIENT, trace_at(t->trace, one->began_us));

		span_set_str(t->trace, s, "net.peer.ip", one->ip);
		span_set_real(t->trace, s, "net.peer.port", one->port);
		if (one->failed_us) {
			span_set_int(t->trace, s, "http.status_code", one->code);
			s->is_error = true;
		}
		span_end(s,
			 one->failed_us ? trace_at(t->trace, one->failed_us) : trace_now(t->trace));
	}
}

static void finish_root(struct req *r, struct trace *t)
{
	struct span *root = t->root;
	str scheme = req_scheme(r);

	root->name = str_fmt(r->arena, STRF " " STRF, STRV(r->in.method_name), STRV(r->path));
	span_set_str(t, root, "http.method", r->in.method_name);
	span_set_str(t, root, "http.url",
		     str_fmt(r->arena, STRF "://" STRF STRF, STRV(scheme), STRV(r->host),
			     STRV(r->in.target)));
	span_set_str(t, root, "http.host", r->host);
	span_set_str(t, root, "http.scheme", scheme);
	span_set_str(t, root, "http.flavor", str_from(http_version(&r->in), 5));
	span_set_str(t, root, "net.peer.ip", r->client_ip);
	span_set_int(t, root, "http.status_code", r->status);
	span_end(root, trace_now(t));
}

void tracing_end(struct req *r)
{
	struct tracing *t = r->tracing;

	if (likely(!t))
		return;
	if (t->types & TRACE_BALANCER)
		balancer_spans(r, t);
	if (t->trace->root)
		finish_root(r, t->trace);
}

/* ---- the plugin door ------------------------------------------------------------------------ */

struct trace *req_trace(struct req *r)
{
	return tracing_of(r)->trace;
}

bool req_has_spans(const struct req *r)
{
	return r->tracing && r->tracing->types;
}

int64_t req_phase_began(const struct req *r, enum phase phase)
{
	const struct tracing *t = r->tracing;

	return t && t->began[phase] ? trace_at(t->trace, t->began[phase]) : 0;
}

int64_t req_phase_ended(const struct req *r, enum phase phase)
{
	const struct tracing *t = r->tracing;

	return t && t->ended[phase] ? trace_at(t->trace, t->ended[phase]) : 0;
}

struct req_tries req_tries(const struct req *r)
{
	if (!r->run)
		return (struct req_tries){ 0 };
	return (struct req_tries){ r->run->tries.v, r->run->tries.n };
}
