/* SPDX-License-Identifier: Apache-2.0 */
/* opentelemetry - exports the core's spans of requests to an OTLP/HTTP collector.
 *
 * The core makes spans when tracing_instrumentations says so; this plugin puts them into
 * the caller's trace, sends the trace's headers on, and posts the spans in batches behind
 * the request's back.  A caller that says that its trace is not sampled is believed.
 * Without instrumentations headers alone go on. */
#include <gibbon/plugin.h>

#define ATTEMPTS 10

struct conf {
	struct collector collector;
	const struct value *headers, *resource_attributes;
	int64_t batch_span_count, batch_flush_delay;

	struct queue *queue; /* of prepare() */
};

struct state {
	bool is_begun, is_unsampled;
	struct trace_context came;
	uint8_t trace_id[TRACE_ID_MAX];
};

const struct plugin plugin_opentelemetry;

/* clang-format off */
#define HEADER_NAME  FIELD(FIELD_STRING, .check = rule_header_name)
#define HEADER_VALUE FIELD(FIELD_STRING, .is_referenceable = true)
#define ATTRIBUTE    FIELD(FIELD_STRING, .required = true)

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, collector.url,       .name = "endpoint", .required = true, .check = rule_url, .help = "URL that spans are posted to, as OTLP over HTTP."),
	F_MAP(T, headers,             .keys = HEADER_NAME, .values = HEADER_VALUE, .help = "Headers of these requests."),
	F_MAP(T, resource_attributes, .keys = ATTRIBUTE, .values = ATTRIBUTE, .help = "Attributes of the resource, with those that it has anyway."),
	F_INT(T, batch_span_count,    .required = true, .def = J(200), .help = "Spans that are posted together, at most."),
	F_INT(T, batch_flush_delay,   .required = true, .def = J(3), .unit = "s", .help = "Seconds that spans wait for more."),
	ROWS_COLLECTOR(T, collector, J(1000)),
	F_END
};
#undef T
/* clang-format on */

/* ---- protocol buffers: as much of the wire format as OTLP needs --------------------------- */

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

static void put_varint(struct buf *b, uint64_t n)
{
	for (; n > 127; n >>= 7)
		buf_add_char(b, (char)((n & 127) | 128));
	buf_add_char(b, (char)n);
}

static void put_tag(struct buf *b, unsigned field, enum wire wire)
{
	put_varint(b, ((uint64_t)field << 3) | wire);
}

static void put_bytes(struct buf *b, unsigned field, str s)
{
	put_tag(b, field, WIRE_BYTES);
	put_varint(b, s.n);
	buf_add_str(b, s);
}

static void put_uint(struct buf *b, unsigned field, uint64_t n)
{
	put_tag(b, field, WIRE_VARINT);
	put_varint(b, n);
}

static void put_fixed64(struct buf *b, unsigned field, uint64_t n)
{
	put_tag(b, field, WIRE_FIXED64);
	for (int i = 0; i < 64; i += 8)
		buf_add_char(b, (char)((n >> i) & 255));
}

static void put_double(struct buf *b, unsigned field, double d)
{
	uint64_t n;

	memcpy(&n, &d, sizeof(n));
	put_fixed64(b, field, n);
}

/* ---- OTLP: opentelemetry/proto/trace/v1/trace.proto and its neighbours ---------------------- */

enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE = 2 };
enum { ANY_STRING = 1, ANY_BOOL = 2, ANY_INT = 3, ANY_DOUBLE = 4 };
enum {
	SPAN_TRACE_ID = 1,
	SPAN_SPAN_ID = 2,
	SPAN_PARENT_ID = 4,
	SPAN_NAME = 5,
	SPAN_KIND = 6,
	SPAN_START = 7,
	SPAN_END = 8,
	SPAN_ATTRIBUTES = 9,
	SPAN_STATUS = 15,
};
enum { STATUS_CODE = 3, STATUS_CODE_ERROR = 2 };
enum { REQUEST_RESOURCE_SPANS = 1 };
enum { RESOURCE_SPANS_RESOURCE = 1, RESOURCE_SPANS_SCOPE_SPANS = 2 };
enum { RESOURCE_ATTRIBUTES = 1 };
enum { SCOPE_SPANS_SCOPE = 1, SCOPE_SPANS_SPANS = 2 };
enum { SCOPE_NAME = 1, SCOPE_VERSION = 2 };

/* A message within another: written apart, then put in. */
static void put_pair(struct arena *a, struct buf *b, unsigned field, str key, const struct buf *any)
{
	struct buf pair CLEANUP(buf_done);

	buf_init(&pair, 0);
	put_bytes(&pair, KEY_VALUE_KEY, str_to_utf8(a, key));
	put_bytes(&pair, KEY_VALUE_VALUE, buf_str(any));
	put_bytes(b, field, buf_str(&pair));
}

static void put_text(struct arena *a, struct buf *b, unsigned field, str key, str text)
{
	struct buf any CLEANUP(buf_done);

	buf_init(&any, 0);
	put_bytes(&any, ANY_STRING, str_to_utf8(a, text));
	put_pair(a, b, field, key, &any);
}

static void put_attribute(struct arena *a, struct buf *b, const struct span_attribute *at)
{
	struct buf any CLEANUP(buf_done);

	buf_init(&any, 0);
	switch (at->kind) {
	case SPAN_STRING:
		put_bytes(&any, ANY_STRING, str_to_utf8(a, at->s));
		break;
	case SPAN_BOOL:
		put_uint(&any, ANY_BOOL, at->b);
		break;
	case SPAN_INT:
		put_uint(&any, ANY_INT, (uint64_t)at->i);
		break;
	case SPAN_DOUBLE:
		put_double(&any, ANY_DOUBLE, at->real);
		break;
	}
	put_pair(a, b, SPAN_ATTRIBUTES, str_of(at->key), &any);
}

static str id_of(const uint8_t *id, size_t n)
{
	return str_at((const char *)id, n);
}

/* parent: of the root alone, whose own is the caller's; NULL: none. */
static void put_span(struct arena *a, struct buf *b, const struct span *s, const uint8_t *trace_id,
		     const uint8_t *parent, int64_t now_us)
{
	if (s->has_parent)
		parent = s->parent_id;
	put_bytes(b, SPAN_TRACE_ID, id_of(trace_id, TRACE_ID_MAX));
	put_bytes(b, SPAN_SPAN_ID, id_of(s->id, SPAN_ID));
	if (parent)
		put_bytes(b, SPAN_PARENT_ID, id_of(parent, SPAN_ID));
	put_bytes(b, SPAN_NAME, str_to_utf8(a, s->name));
	put_uint(b, SPAN_KIND, s->kind);
	put_fixed64(b, SPAN_START, (uint64_t)s->began_us * 1000);
	put_fixed64(b, SPAN_END, (uint64_t)(s->ended_us ? s->ended_us : now_us) * 1000);
	for (const struct span_attribute *at = s->attributes; at; at = at->next)
		put_attribute(a, b, at);
	if (s->is_error) {
		struct buf status CLEANUP(buf_done);

		buf_init(&status, 0);
		put_uint(&status, STATUS_CODE, STATUS_CODE_ERROR);
		put_bytes(b, SPAN_STATUS, buf_str(&status));
	}
}

static void put_resource(struct arena *a, struct buf *b, const struct conf *conf)
{
	const struct value *own = conf->resource_attributes;
	const struct {
		const char *key;
		str value;
	} rows[] = {
		{ "service.name", STR("kong") },
		{ "service.instance.id", plugin_node()->node_id },
		{ "service.version", STR("3.2.2") },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!value_get(own, rows[i].key))
			put_text(a, b, RESOURCE_ATTRIBUTES, str_of(rows[i].key), rows[i].value);
	}
	for (uint32_t i = 0; !value_is_null(own) && i < own->n; i++)
		put_text(a, b, RESOURCE_ATTRIBUTES, own->members[i].key, own->members[i].value->s);
}

/* An ExportTraceServiceRequest; the spans are encoded already. */
static void put_request(struct arena *a, struct buf *b, const struct conf *conf, const str *spans,
			size_t n)
{
	struct buf resource CLEANUP(buf_done), scope CLEANUP(buf_done);
	struct buf scoped CLEANUP(buf_done), all CLEANUP(buf_done);

	buf_init(&resource, 0);
	buf_init(&scope, 0);
	buf_init(&scoped, 0);
	buf_init(&all, 0);
	put_resource(a, &resource, conf);
	put_bytes(&scope, SCOPE_NAME, STR("kong-internal"));
	put_bytes(&scope, SCOPE_VERSION, STR("0.1.0"));
	put_bytes(&scoped, SCOPE_SPANS_SCOPE, buf_str(&scope));
	for (size_t i = 0; i < n; i++)
		put_bytes(&scoped, SCOPE_SPANS_SPANS, spans[i]);
	put_bytes(&all, RESOURCE_SPANS_RESOURCE, buf_str(&resource));
	put_bytes(&all, RESOURCE_SPANS_SCOPE_SPANS, buf_str(&scoped));
	put_bytes(b, REQUEST_RESOURCE_SPANS, buf_str(&all));
}

/* ---- posting ----------------------------------------------------------------------------------- */

static void add_headers(struct arena *a, struct http_headers *h, const struct value *own)
{
	http_set_str(a, h, STR("Content-Type"), STR("application/x-protobuf"));
	for (uint32_t i = 0; !value_is_null(own) && i < own->n; i++)
		http_set_str(a, h, own->members[i].key, own->members[i].value->s);
}

static struct err *post(const void *conf_, const str *entries, size_t n) SUSPENDS;

static struct err *post(const void *conf_, const str *entries, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct conf *conf = conf_;
	struct buf body CLEANUP(buf_done);
	struct http_headers headers = { 0 };

	buf_init(&body, 0);
	put_request(a, &body, conf, entries, n);
	add_headers(a, &headers, conf->headers);
	return collector_post(a, &conf->collector, &headers, buf_str(&body), 200);
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;
	struct queue_options o = {
		.name = "opentelemetry",
		.batch = conf->batch_span_count > 0 ? (size_t)conf->batch_span_count : 1,
		.flush_ms = conf->batch_flush_delay > 0 ? conf->batch_flush_delay * 1000 : 0,
		.attempts = ATTEMPTS,
		.send = post,
	};

	conf->queue = plugin_queue(&plugin_opentelemetry, a, conf, &o);
	return NULL;
}

/* ---- on the request's way ---------------------------------------------------------------------- */

static struct state *state_of(struct req *r)
{
	struct state *st = req_ctx(r, struct state, &plugin_opentelemetry);
	const struct trace_context *c = &st->came;

	if (st->is_begun)
		return st;
	st->is_begun = true;
	trace_context_read(req_arena(r), &req_in(r)->headers, &st->came);
	if (c->complaint)
		log_warn("opentelemetry: %s, ignored; client: " STRF, c->complaint,
			 STRV(req_client_ip(r)));
	st->is_unsampled = c->sampled == SAMPLED_NO;
	if (c->trace_id_n) /* in the last bytes, with zeros in front */
		memcpy(st->trace_id + TRACE_ID_MAX - c->trace_id_n, c->trace_id, c->trace_id_n);
	else
		memcpy(st->trace_id, req_trace(r)->trace_id, TRACE_ID_MAX);
	return st;
}

/* The span of the caller that the root is a child of; NULL: there is none. */
static const uint8_t *caller_of(const struct state *st)
{
	if (!st->came.trace_id_n)
		return NULL;
	return st->came.has_span     ? st->came.span_id
	       : st->came.has_parent ? st->came.parent_id
				     : NULL;
}

static enum verdict on_access(struct req *r, const void *conf)
{
	const struct state *st = state_of(r);
	const struct trace *trace = req_trace(r);
	const uint8_t *caller = caller_of(st);
	enum trace_form form = st->came.form == TRACE_NONE ? TRACE_W3C : st->came.form;
	struct trace_header headers[TRACE_HEADERS_MAX];
	struct trace_context c = {
		.trace_id_n = TRACE_ID_MAX,
		.has_span = true,
		.has_parent = caller != NULL,
		.sampled = st->is_unsampled ? SAMPLED_NO : SAMPLED_YES,
	};
	unsigned n;

	(void)conf;
	memcpy(c.trace_id, st->trace_id, sizeof(c.trace_id));
	if (caller)
		memcpy(c.parent_id, caller, SPAN_ID);
	if (trace->root)
		memcpy(c.span_id, trace->root->id, SPAN_ID);
	else
		trace_random(c.span_id, SPAN_ID);
	n = trace_context_write(req_arena(r), &c, form, req_header(r, STR("x-b3-flags")), headers);
	for (unsigned i = 0; i < n; i++)
		req_set_header(r, headers[i].name, headers[i].value);
	return NEXT;
}

static enum verdict on_log(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	const struct trace *trace = req_trace(r);
	const struct state *st = state_of(r);
	struct buf out CLEANUP(buf_done);

	buf_init(&out, 0);
	if (st->is_unsampled || !req_has_spans(r))
		return NEXT;
	for (const struct span *s = trace->spans; s; s = s->next) {
		buf_clear(&out);
		put_span(req_arena(r), &out, s, st->trace_id, caller_of(st), trace_now(trace));
		queue_add(conf->queue, buf_str(&out));
	}
	return NEXT;
}

const struct plugin plugin_opentelemetry = {
	.name = "opentelemetry",
	.version = "0.1.0",
	.help = "Exports spans of requests to an OpenTelemetry collector, over OTLP/HTTP.",
	.priority = 14,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_HTTP,
	.traces = true,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access, [PHASE_LOG] = on_log },
};
