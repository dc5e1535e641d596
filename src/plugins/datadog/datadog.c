/* SPDX-License-Identifier: Apache-2.0 */
/* datadog - sends figures of each request to a Datadog agent: DogStatsD over UDP.
 *
 * What is sent is written down in the log phase, metrics as lines of one entry; the queue
 * sends each line as a datagram. */
#include <gibbon/plugin.h>

#include <stdlib.h>

struct metric {
	str name, stat_type;
	strs tags;
	double sample_rate; /* NaN: none */
	str consumer_identifier;
};

struct conf {
	str host;
	int64_t port;
	str prefix, service_name_tag, status_tag, consumer_tag;
	int64_t retry_count, queue_size;
	double flush_timeout;
	struct records metrics;
	struct queue *queue;
};

const struct plugin plugin_datadog;

/* clang-format off */
#define T struct metric
static const struct field metric_fields[] = {
	F_STR(T, name,                .required = true, .one_of = J(["kong_latency", "latency", "request_count", "request_size", "response_size", "upstream_latency"]), .help = "Which figure."),
	F_STR(T, stat_type,           .required = true, .one_of = J(["counter", "gauge", "histogram", "meter", "set", "timer", "distribution"]), .help = "What it is to the agent."),
	F_STRS(T, tags,               .elements = FIELD(FIELD_STRING, .match = "^.*[^:]$"), .help = "Tags of its own."),
	F_NUM(T, sample_rate,         .between = J([0, 1]), .help = "Share of the requests that it stands for."),
	F_STR(T, consumer_identifier, .one_of = J(["consumer_id", "custom_id", "username"]), .help = "What of a consumer is a tag."),
	F_END
};
#undef T

static const struct check metric_checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "stat_type", .if_rule = FIELD_RULE(.one_of = J(["counter", "gauge"])),
	  .then_field = "sample_rate", .then_rule = FIELD_RULE(.required = true) },
	CHECK_END
};

#define METRIC(name, type, rate) "{\"name\":\"" name "\",\"stat_type\":\"" type "\",\"tags\":[\"app:kong\"]," rate "\"consumer_identifier\":\"custom_id\"}"
#define METRICS "[" METRIC("request_count", "counter", "\"sample_rate\":1,") "," METRIC("latency", "timer", "") "," \
	METRIC("request_size", "timer", "") "," METRIC("response_size", "timer", "") "," \
	METRIC("upstream_latency", "timer", "") "," METRIC("kong_latency", "timer", "") "]"

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, host,             .def = J("localhost"), .check = rule_host, .help = "The agent's name or address."),
	F_INT(T, port,             .def = J(8125), .between = J([0, 65535]), .help = "Its port."),
	F_STR(T, prefix,           .def = J("kong"), .help = "What names begin with."),
	F_STR(T, service_name_tag, .def = J("name"), .help = "Tag of the service's name."),
	F_STR(T, status_tag,       .def = J("status"), .help = "Tag of the status."),
	F_STR(T, consumer_tag,     .def = J("consumer"), .help = "Tag of the consumer."),
	F_INT(T, retry_count,      .required = true, .def = J(10), .help = "How often a batch is tried."),
	F_INT(T, queue_size,       .required = true, .def = J(1), .help = "Requests whose figures are sent together, at most."),
	F_NUM(T, flush_timeout,    .required = true, .def = J(2), .help = "Seconds without a new request after which they are sent."),
	F_RECORDS(T, metrics,      .required = true, .def = METRICS, .elements = FIELD(FIELD_RECORD, .fields = metric_fields, .checks = metric_checks, .record_size = sizeof(struct metric)), .help = "Figures that are sent."),
	F_END
};
#undef T

static const char *const stats[][2] = {
	{ "request_size", "request.size" },         { "response_size", "response.size" },
	{ "latency", "latency" },                   { "upstream_latency", "upstream_latency" },
	{ "kong_latency", "kong_latency" },         { "request_count", "request.count" },
};
static const char *const types[][2] = {
	{ "gauge", "g" }, { "counter", "c" }, { "timer", "ms" }, { "histogram", "h" },
	{ "meter", "m" }, { "set", "s" },     { "distribution", "d" },
};
/* clang-format on */

static const char *look_up(const char *const table[][2], str name)
{
	while (!str_is(name, (*table)[0]))
		table++;
	return (*table)[1];
}

/* ---- sending ------------------------------------------------------------------------------ */

static struct err *send_entries(const void *conf, const str *entries, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct conf *c = conf;
	int64_t port = c->port;
	struct peer p = { .host = c->host };
	struct err *e;

	if (!p.host.s)
		p.host = str_of(getenv("KONG_DATADOG_AGENT_HOST"));
	if (port == FIELD_UNSET_INT &&
	    !str_to_int(str_of(getenv("KONG_DATADOG_AGENT_PORT")), &port))
		return FAIL(ERR_INVALID, "there is no port of an agent");
	if (!p.host.n || port < 0 || port > 65535)
		return FAIL(ERR_INVALID, "there is no agent");
	p.port = (uint16_t)port;
	for (size_t i = 0; i < n; i++) {
		strs lines = str_split(a, entries[i], '\n');

		e = peer_send_datagrams(&p, lines.v, lines.n, NULL);
		if (e && e->code == ERR_SYSTEM)
			e->code = ERR_INVALID; /* sent, for all that is known: not again */
		PASS(e);
	}
	return NULL;
}

static struct err *prepare(struct arena *a, void *conf)
{
	struct conf *c = conf;
	struct queue_options o =
		plugin_batches("datadog", c->queue_size, c->flush_timeout, c->retry_count);

	o.send = send_entries;
	c->queue = plugin_queue(&plugin_datadog, a, c, &o);
	return NULL;
}

/* ---- figures -------------------------------------------------------------------------------- */

static int64_t figure(const struct req_figures *f, str name)
{
	return str_is(name, "request_size")       ? (int64_t)f->bytes_in
	       : str_is(name, "response_size")    ? (int64_t)f->bytes_out
	       : str_is(name, "latency")          ? f->request_ms
	       : str_is(name, "upstream_latency") ? f->upstream_ms
	       : str_is(name, "kong_latency")     ? f->kong_ms
						  : 1;
}

static str replaced(struct arena *a, str s, char from, char to)
{
	char *copy = arena_bytes(a, s.n);

	for (size_t i = 0; i < s.n; i++)
		copy[i] = s.s[i] == from ? to : s.s[i];
	return str_at(copy, s.n);
}

static str consumer_of(struct req *r, str what)
{
	const struct consumer *c = req_consumer(r);

	if (!c)
		return STR_NONE;
	if (str_is(what, "consumer_id"))
		return replaced(req_arena(r), uuid_str(req_arena(r), c->id), '-', '_');
	return plugin_on_a_line(req_arena(r), str_is(what, "custom_id")  ? c->custom_id
					      : str_is(what, "username") ? c->username
									 : STR_NONE);
}

static str tag_name(str name, const char *otherwise)
{
	return name.s ? name : str_of(otherwise);
}

static void add_tags(struct req *r, const struct conf *c, const struct metric *m, struct buf *b)
{
	const struct service *s = req_service(r);
	str name = replaced(req_arena(r), s->name.s ? s->name : s->host, '.', '_');
	str consumer = consumer_of(r, m->consumer_identifier);

	buf_addf(b, "|#" STRF ":" STRF, STRV(tag_name(c->service_name_tag, "name")), STRV(name));
	buf_addf(b, "," STRF ":%d", STRV(tag_name(c->status_tag, "status")), reply_status(r));
	if (consumer.s)
		buf_addf(b, "," STRF ":" STRF, STRV(tag_name(c->consumer_tag, "consumer")),
			 STRV(consumer));
	for (size_t i = 0; i < m->tags.n; i++)
		buf_addf(b, "," STRF, STRV(m->tags.v[i]));
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct conf *c = conf;
	struct req_figures f = req_figures(r);
	const struct metric *metrics = c->metrics.v;
	struct buf b CLEANUP(buf_done) = { 0 };

	if (!req_service(r))
		return NEXT;
	for (size_t i = 0; i < c->metrics.n; i++) {
		const struct metric *m = &metrics[i];

		buf_addf(&b, "%s" STRF ".%s:%lld|%s", i ? "\n" : "",
			 STRV(tag_name(c->prefix, "kong")), look_up(stats, m->name),
			 (long long)figure(&f, m->name), look_up(types, m->stat_type));
		if (m->sample_rate >= 0 && m->sample_rate < 1)
			buf_addf(&b, "|@%.14g", m->sample_rate);
		add_tags(r, c, m, &b);
	}
	if (b.n)
		queue_add(c->queue, buf_str(&b));
	return NEXT;
}

const struct plugin plugin_datadog = {
	.name = "datadog",
	.help = "Sends figures to a Datadog agent.",
	.priority = 10,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_LOG] = on_log },
};
