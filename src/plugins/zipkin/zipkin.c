/* SPDX-License-Identifier: Apache-2.0 */
/* zipkin - spans of requests for Zipkin, and of whatever reads its v2 JSON.
 *
 *	request (SERVER) ── proxy (CLIENT)
 *	       └─────────── balancer try 1, 2, ... (CLIENT)
 *
 * The trace of the caller is carried on, in the headers that it came in; one that does
 * not come with a request begins here, and `sample_ratio` decides whether it is kept.
 * Spans are made in log, from what was noted on the way, and posted in batches behind the
 * request's back: a collector that does not answer costs spans, never requests. */
#include <gibbon/plugin.h>

#define BATCH_REQUESTS 100 /* whose spans are posted together */

struct static_tag {
	str name, value;
};

struct conf {
	str local_service_name;
	struct collector collector;
	double sample_ratio;
	str default_service_name;
	bool include_credential;
	int64_t traceid_byte_count;
	str header_type, default_header_type, tags_header;
	struct records static_tags;
	str http_span_name;
	str http_response_header_for_traceid, phase_duration_flavor;

	/* Of prepare(). */
	enum trace_form form, default_form; /* form: TRACE_NONE for preserve and ignore */
	bool ignores, has_annotations;
	struct queue *queue; /* NULL: nobody is told */
};

/* What is known of a request from the first phase that needs it. */
struct state {
	bool is_begun, is_sampled;
	struct trace_context came;
	uint8_t trace_id[TRACE_ID_MAX];
	unsigned trace_id_n;
	uint8_t request_id[SPAN_ID], proxy_id[SPAN_ID];
};

const struct plugin plugin_zipkin;

static const char *check_tags(struct arena *a, const struct value *v)
{
	for (uint32_t i = 0; i < v->n; i++) {
		const struct value *name = value_get(v->items[i], "name");

		for (uint32_t k = 0; name && k < i; k++) {
			if (value_eq(name, value_get(v->items[k], "name")))
				return rule_words(a, "repeated tags are not allowed: " STRF,
						  STRV(name->s));
		}
	}
	return NULL;
}

/* clang-format off */

#define T struct static_tag
static const struct field tag_fields[] = {
	F_STR(T, name,  .required = true, .not_one_of = J(["error", "http.method", "http.path", "http.status_code", "kong.balancer.state", "kong.balancer.try", "kong.consumer", "kong.credential", "kong.node.id", "kong.route", "kong.service", "lc", "peer.hostname"]), .help = "Name of the tag."),
	F_STR(T, value, .required = true, .help = "Its value."),
	F_END
};
#undef T
#define TAG FIELD(FIELD_RECORD, .fields = tag_fields, .record_size = sizeof(struct static_tag))

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T,  local_service_name,   .required = true, .def = J("kong"), .help = "Name of the gateway in the spans."),
	F_STR(T,  collector.url,        .name = "http_endpoint", .check = rule_url, .help = "Where spans are posted to; without it headers alone go on."),
	F_NUM(T,  sample_ratio,         .def = J(0.001), .between = J([0, 1]), .help = "Share of requests that are traced when their headers do not say."),
	F_STR(T,  default_service_name, .help = "Name of services that have none."),
	F_BOOL(T, include_credential,   .required = true, .def = J(true), .help = "Whether spans have the id of the credential."),
	F_INT(T,  traceid_byte_count,   .required = true, .def = J(16), .one_of = J([8, 16]), .help = "Length of new trace ids, in bytes."),
	F_STR(T,  header_type,          .required = true, .def = J("preserve"), .one_of = J(["preserve", "ignore", "b3", "b3-single", "w3c", "jaeger", "ot"]), .help = "Headers that go on: as they came, or those of a form."),
	F_STR(T,  default_header_type,  .required = true, .def = J("b3"), .one_of = J(["b3", "b3-single", "w3c", "jaeger", "ot"]), .help = "Form of the headers when none came."),
	F_STR(T,  tags_header,          .required = true, .def = J("Zipkin-Tags"), .help = "Header of requests with tags for their span."),
	F_RECORDS(T, static_tags,       .elements = TAG, .check = check_tags, .help = "Tags of each request's span."),
	F_STR(T,  http_span_name,       .required = true, .def = J("method"), .one_of = J(["method", "method_path"]), .help = "What spans are called."),
	ROWS_COLLECTOR(T, collector, J(2000)),
	F_STR(T,  http_response_header_for_traceid, .help = "Header of replies that has the trace's id."),
	F_STR(T,  phase_duration_flavor, .required = true, .def = J("annotations"), .one_of = J(["annotations", "tags"]), .help = "How the phases' times are told."),
	F_END
};
#undef T
/* clang-format on */

/* ---- posting --------------------------------------------------------------------------- */

static struct err *post(const void *conf_, const str *entries, size_t n) SUSPENDS;

/* Each entry is the spans of a request, with commas between them. */
static struct err *post(const void *conf_, const str *entries, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct conf *conf = conf_;
	struct buf body CLEANUP(buf_done);
	struct http_headers headers = { 0 };

	buf_init(&body, 0);
	for (size_t i = 0; i < n; i++) {
		buf_add_char(&body, i ? ',' : '[');
		buf_add_str(&body, entries[i]);
	}
	buf_add_char(&body, ']');
	http_add(a, &headers, STR("Content-Type"), STR("application/json"));
	return collector_post(a, &conf->collector, &headers, buf_str(&body), 299);
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;
	struct queue_options o = {
		.name = "zipkin",
		.batch = BATCH_REQUESTS,
		.attempts = 1,
		.send = post,
	};

	conf->form = trace_form_of(conf->header_type);
	conf->default_form = trace_form_of(conf->default_header_type);
	conf->ignores = str_is(conf->header_type, "ignore");
	conf->has_annotations = str_is(conf->phase_duration_flavor, "annotations");
	if (conf->collector.url.n)
		conf->queue = plugin_queue(&plugin_zipkin, a, conf, &o);
	return NULL;
}

/* ---- the trace that a request belongs to -------------------------------------------------- */

static struct state *state_of(struct req *r, const struct conf *conf)
{
	struct state *st = req_ctx(r, struct state, &plugin_zipkin);

	if (st->is_begun)
		return st;
	st->is_begun = true;
	if (!conf->ignores)
		trace_context_read(req_arena(r), &req_in(r)->headers, &st->came);
	if (st->came.complaint)
		log_warn("zipkin: %s, ignored; client: " STRF, st->came.complaint,
			 STRV(req_client_ip(r)));
	st->is_sampled = st->came.sampled == SAMPLED_UNSAID ? trace_chance(conf->sample_ratio)
							    : st->came.sampled == SAMPLED_YES;
	st->trace_id_n =
		st->came.trace_id_n ? st->came.trace_id_n : (unsigned)conf->traceid_byte_count;
	if (st->came.trace_id_n)
		memcpy(st->trace_id, st->came.trace_id, sizeof(st->trace_id));
	else
		trace_random(st->trace_id, st->trace_id_n);
	if (st->came.has_span) /* a span that is shared with the caller, as B3 has it */
		memcpy(st->request_id, st->came.span_id, SPAN_ID);
	else
		trace_random(st->request_id, SPAN_ID);
	trace_random(st->proxy_id, SPAN_ID);
	return st;
}

static void send_headers(struct req *r, const struct trace_context *c, enum trace_form form)
{
	struct trace_header headers[TRACE_HEADERS_MAX];
	str flags = req_header(r, STR("x-b3-flags"));
	unsigned n = trace_context_write(req_arena(r), c, form, flags, headers);

	for (unsigned i = 0; i < n; i++)
		req_set_header(r, headers[i].name, headers[i].value);
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	const struct state *st = state_of(r, conf);
	enum trace_form found = st->came.form;
	struct trace_context c = {
		.trace_id_n = st->trace_id_n,
		.has_span = true,
		.has_parent = true,
		.sampled = st->is_sampled ? SAMPLED_YES : SAMPLED_NO,
		.baggage = st->came.baggage,
		.n_baggage = st->came.n_baggage,
	};

	memcpy(c.trace_id, st->trace_id, sizeof(c.trace_id));
	memcpy(c.span_id, st->proxy_id, SPAN_ID);
	memcpy(c.parent_id, st->request_id, SPAN_ID);
	if (conf->form != TRACE_NONE && found != TRACE_NONE && conf->form != found)
		log_warn("zipkin: mismatched header types. conf: " STRF ". found: %s",
			 STRV(conf->header_type), trace_form_name(found));
	if (found == TRACE_NONE)
		found = conf->default_form;
	if (conf->form != TRACE_NONE)
		send_headers(r, &c, conf->form);
	if (found != conf->form)
		send_headers(r, &c, found);
	return NEXT;
}

/* A session carries no trace on. */
static enum verdict on_preread(struct req *r, const void *conf)
{
	state_of(r, conf);
	return NEXT;
}

static enum verdict on_header_filter(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	const struct state *st = state_of(r, conf);

	if (conf->http_response_header_for_traceid.n)
		reply_add_header(r, conf->http_response_header_for_traceid,
				 hex_encode(req_arena(r),
					    str_at((const char *)st->trace_id, st->trace_id_n)));
	return NEXT;
}

/* ---- spans ------------------------------------------------------------------------------------ */

/* The spans of a request while they are made. */
struct making {
	struct req *r;
	struct arena *a;
	const struct conf *conf;
	const struct state *st;
	str name; /* of the request's */
	int64_t began_us, now_us;
	struct buf out;
};

static void set(struct making *m, struct value *to, const char *key, str text)
{
	if (text.n)
		value_set(m->a, to, str_of(key), value_str(m->a, str_to_utf8(m->a, text)));
}

static void set_int(struct making *m, struct value *to, const char *key, int64_t i)
{
	value_set(m->a, to, str_of(key), value_int(m->a, i));
}

static void set_id(struct making *m, struct value *to, const char *key, const uint8_t *id, size_t n)
{
	set(m, to, key, hex_encode(m->a, str_at((const char *)id, n)));
}

/* Tags are texts, and never empty. */
static void tag_int(struct making *m, struct value *tags, const char *key, int64_t i)
{
	set(m, tags, key, str_fmt(m->a, "%lld", (long long)i));
}

static void annotate(struct making *m, struct value *list, const char *what, int64_t at_us)
{
	struct value *v = value_object(m->a);

	set(m, v, "value", str_of(what));
	set_int(m, v, "timestamp", at_us);
	value_add(m->a, list, v);
}

static struct value *endpoint(struct making *m, str service, str ip, uint16_t port)
{
	struct value *v = value_object(m->a);

	if (!service.n)
		service = m->conf->default_service_name;
	if (!service.n && !port)
		return value_null(m->a);
	set(m, v, "serviceName", service);
	set(m, v, str_find(ip, ':', 0) < 0 ? "ipv4" : "ipv6", ip);
	if (port)
		set_int(m, v, "port", port);
	return v;
}

/* All of one but its name's rest; `id` and, when there is one, its parent's. */
struct one {
	const char *kind;
	str name;
	const uint8_t *id, *parent;
	int64_t began_us, ended_us;
	str service, ip;
	uint16_t port;
	struct value *tags, *annotations; /* NULL: none */
};

static void write_span(struct making *m, const struct one *o)
{
	struct value *v = value_object(m->a), *local = value_object(m->a);
	int64_t took = o->ended_us - o->began_us;

	set_id(m, v, "traceId", m->st->trace_id, m->st->trace_id_n);
	set(m, v, "name", o->name);
	if (o->parent)
		set_id(m, v, "parentId", o->parent, SPAN_ID);
	set_id(m, v, "id", o->id, SPAN_ID);
	set(m, v, "kind", str_of(o->kind));
	set_int(m, v, "timestamp", o->began_us);
	set_int(m, v, "duration", took > 0 ? took : 0);
	set(m, local, "serviceName", m->conf->local_service_name);
	value_set(m->a, v, STR("localEndpoint"), local);
	value_set(m->a, v, STR("remoteEndpoint"), endpoint(m, o->service, o->ip, o->port));
	if (o->tags && o->tags->n)
		value_set(m->a, v, STR("tags"), o->tags);
	if (o->annotations && o->annotations->n)
		value_set(m->a, v, STR("annotations"), o->annotations);
	if (m->out.n)
		buf_add_char(&m->out, ',');
	json_write(&m->out, v, JSON_COMPACT);
}

/* kong.service and kong.route; what the remote side is called. */
static str tag_places(struct making *m, struct value *tags)
{
	const struct service *service = req_service(m->r);
	const struct route *route = req_route(m->r);

	if (service) {
		set(m, tags, "kong.service", uuid_str(m->a, service->id));
		set(m, tags, "kong.service_name", service->name);
	}
	if (route) {
		set(m, tags, "kong.route", uuid_str(m->a, route->id));
		set(m, tags, "kong.route_name", route->name);
	}
	return service ? service->name : STR_NONE;
}

static void write_tries(struct making *m)
{
	const struct trace *clock = req_trace(m->r);
	struct req_tries tries = req_tries(m->r);

	for (size_t i = 0; i < tries.n; i++) {
		const struct req_try *t = &tries.v[i];
		int64_t ended = t->failed_us ? t->failed_us : t->connected_us;
		uint8_t id[SPAN_ID];
		struct one o = {
			.kind = "CLIENT",
			.name = str_fmt(m->a, STRF " (balancer try %zu)", STRV(m->name), i + 1),
			.id = id,
			.parent = m->st->request_id,
			.began_us = trace_at(clock, t->began_us),
			.ended_us = ended ? trace_at(clock, ended) : m->now_us,
			.ip = t->ip,
			.port = t->port,
			.tags = value_object(m->a),
		};

		trace_random(id, SPAN_ID);
		tag_int(m, o.tags, "kong.balancer.try", (int64_t)i + 1);
		if (t->failed_us) {
			set(m, o.tags, "error", STR("true"));
			set(m, o.tags, "kong.balancer.state", STR("failed"));
			tag_int(m, o.tags, "http.status_code", t->code);
		}
		o.service = tag_places(m, o.tags);
		write_span(m, &o);
	}
}

/* In ms, of a phase that ran. */
static void tag_took(struct making *m, struct value *tags, const char *key, int64_t began_us,
		     int64_t ended_us)
{
	if (began_us && ended_us)
		tag_int(m, tags, key, (ended_us - began_us) / 1000);
}

/* What phases took, of a request. */
static void add_phases(struct making *m, struct one *o)
{
	struct req *r = m->r;
	int64_t access = req_phase_began(r, PHASE_ACCESS);
	int64_t filter = req_phase_began(r, PHASE_HEADER_FILTER);
	int64_t access_end = req_phase_ended(r, PHASE_ACCESS);
	int64_t filter_end = req_phase_ended(r, PHASE_HEADER_FILTER);

	o->began_us = access ? access : filter ? filter : m->now_us;
	if (m->conf->has_annotations) {
		annotate(m, o->annotations, "kas", o->began_us);
		annotate(m, o->annotations, "kaf", access_end ? access_end : m->now_us);
		if (filter)
			annotate(m, o->annotations, "khs", filter);
		annotate(m, o->annotations, "khf", filter_end ? filter_end : m->now_us);
		if (filter_end)
			annotate(m, o->annotations, "kbs", filter_end);
		annotate(m, o->annotations, "kbf", m->now_us);
	} else {
		tag_took(m, o->tags, "kong.access.duration_ms", access, access_end);
		tag_took(m, o->tags, "kong.header_filter.duration_ms", filter, filter_end);
		tag_took(m, o->tags, "kong.body_filter.duration_ms", filter_end, m->now_us);
	}
}

/* The same of a TCP, TLS or UDP session. */
static void add_session_phases(struct making *m, struct one *o)
{
	int64_t preread = req_phase_began(m->r, PHASE_PREREAD);
	int64_t preread_end = req_phase_ended(m->r, PHASE_PREREAD);

	o->began_us = preread ? preread : m->now_us;
	if (m->conf->has_annotations) {
		if (preread)
			annotate(m, o->annotations, "kps", preread);
		annotate(m, o->annotations, "kpf", preread_end ? preread_end : m->now_us);
	} else {
		tag_took(m, o->tags, "kong.preread.duration_ms", preread, preread_end);
	}
}

static void write_proxy(struct making *m)
{
	struct req *r = m->r;
	struct req_tries tries = req_tries(r);
	struct one o = {
		.kind = "CLIENT",
		.name = str_cat(m->a, m->name, STR(" (proxy)")),
		.id = m->st->proxy_id,
		.parent = m->st->request_id,
		.ended_us = m->now_us,
		.tags = value_object(m->a),
		.annotations = value_array(m->a),
	};

	if (req_is_stream(r))
		add_session_phases(m, &o);
	else
		add_phases(m, &o);
	if (tries.n) {
		const struct service *service = req_service(r);

		set(m, o.tags, "peer.hostname", service ? service->host : STR_NONE);
		o.ip = tries.v[tries.n - 1].ip;
		o.port = tries.v[tries.n - 1].port;
	}
	o.service = tag_places(m, o.tags);
	write_span(m, &o);
}

/* "name = value", with spaces around both; a name may have '=' in it, as in Kong. */
static bool read_tag(str item, str *ret_name, str *ret_value)
{
	size_t most = 0;

	item = str_trim(item);
	while (most < item.n && item.s[most] != ' ' && item.s[most] != '\t')
		most++;
	for (size_t n = most; n > 0; n--) {
		str rest = str_trim(str_from(item, n));

		if (!rest.n || rest.s[0] != '=')
			continue;
		*ret_name = str_part(item, 0, n);
		*ret_value = str_trim(str_from(rest, 1));
		if (ret_value->n)
			return true;
	}
	return false;
}

static void add_tags(struct making *m, struct value *tags)
{
	const struct http_headers *h = &req_in(m->r)->headers;
	const struct static_tag *own = m->conf->static_tags.v;
	str name, value, item, wrong = STR("");

	for (size_t i = 0; i < m->conf->static_tags.n; i++)
		value_set(m->a, tags, own[i].name, value_str(m->a, own[i].value));
	for (unsigned i = 0; i < h->n; i++) {
		str rest = h->v[i].value;

		if (!str_eq_ci(h->v[i].name, m->conf->tags_header))
			continue;
		while (str_next(&rest, ';', &item)) {
			if (read_tag(item, &name, &value))
				value_set(m->a, tags, str_to_utf8(m->a, name),
					  value_str(m->a, str_to_utf8(m->a, value)));
			else if (item.n)
				wrong = str_fmt(m->a, STRF "%s" STRF, STRV(wrong),
						wrong.n ? ", " : "", STRV(item));
		}
	}
	if (wrong.n)
		log_warn("zipkin: could not parse the following Zipkin tags: " STRF, STRV(wrong));
}

static void add_head(struct making *m, struct value *tags)
{
	struct req *r = m->r;
	const struct http_request *in = req_in(r);

	set(m, tags, "http.method", in->method_name);
	set(m, tags, "http.host", req_host(r));
	set(m, tags, "http.path", req_path(r));
	set(m, tags, "http.protocol", in->is_h2 ? STR("HTTP/2") : http_version(in));
}

static void add_rewrite(struct making *m, struct value *tags, struct value *annotations)
{
	int64_t rewrite = req_phase_began(m->r, PHASE_REWRITE);
	int64_t rewrite_end = req_phase_ended(m->r, PHASE_REWRITE);

	if (m->conf->has_annotations) {
		annotate(m, annotations, "krs", rewrite ? rewrite : m->began_us);
		if (rewrite_end)
			annotate(m, annotations, "krf", rewrite_end);
	} else {
		tag_took(m, tags, "kong.rewrite.duration_ms", rewrite, rewrite_end);
	}
}

static void write_request(struct making *m)
{
	struct req *r = m->r;
	const struct consumer *consumer = req_consumer(r);
	const struct credential *credential = req_credential(r);
	bool is_stream = req_is_stream(r);
	struct value *tags = value_object(m->a);
	struct one o = {
		.kind = "SERVER",
		.name = m->name,
		.id = m->st->request_id,
		.parent = m->st->came.has_parent ? m->st->came.parent_id : NULL,
		.began_us = m->began_us,
		.ended_us = m->now_us,
		.ip = req_client_ip(r),
		.port = req_client_port(r),
		.tags = tags,
		.annotations = value_array(m->a),
	};

	set(m, tags, "lc", STR("kong"));
	if (!is_stream)
		add_head(m, tags);
	add_tags(m, tags);
	if (!is_stream)
		tag_int(m, tags, "http.status_code", reply_status(r));
	if (consumer)
		set(m, tags, "kong.consumer", uuid_str(m->a, consumer->id));
	if (credential && m->conf->include_credential)
		set(m, tags, "kong.credential", credential->id);
	set(m, tags, "kong.node.id", plugin_node()->node_id);
	if (!is_stream)
		add_rewrite(m, tags, o.annotations);
	write_span(m, &o);
}

static enum verdict on_log(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	const struct state *st = state_of(r, conf);
	struct making m = { .r = r, .a = req_arena(r), .conf = conf, .st = st };
	int64_t started = req_started_ms(r) * 1000, rewrite = req_phase_began(r, PHASE_REWRITE);

	if (!st->is_sampled || !conf->queue)
		return NEXT;
	m.name = req_is_stream(r) ? STR("stream") : req_in(r)->method_name;
	if (!req_is_stream(r) && str_is(conf->http_span_name, "method_path"))
		m.name = str_fmt(m.a, STRF " " STRF, STRV(m.name), STRV(req_path(r)));
	m.now_us = trace_now(req_trace(r));
	m.began_us = rewrite && rewrite < started ? rewrite : started;
	buf_init(&m.out, 0);
	write_tries(&m);
	write_proxy(&m);
	write_request(&m);
	queue_add(conf->queue, buf_str(&m.out));
	buf_done(&m.out);
	return NEXT;
}

const struct plugin plugin_zipkin = {
	.name = "zipkin",
	.help = "Reports spans of requests to Zipkin, and carries traces on.",
	.priority = 100000,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.traces = true,
	.prepare = prepare,
	.on = { [PHASE_PREREAD] = on_preread,
		[PHASE_ACCESS] = on_access,
		[PHASE_HEADER_FILTER] = on_header_filter,
		[PHASE_LOG] = on_log },
};
