/* SPDX-License-Identifier: Apache-2.0 */
/* statsd - sends figures of each request to a StatsD server, over UDP or TCP.
 *
 * Figures become lines in the log phase (lines.c), those of a request one entry of a
 * queue: no request waits for the server, and what it misses while it is away is told
 * once. */
#include "plugins/statsd/statsd.h"

#define TIMEOUT_MS 1000
#define KEEP_MS    60000
#define PREFIX     "kong"

const struct plugin plugin_statsd;

/* clang-format off */
#define CONSUMER_WORDS  J(["consumer_id", "custom_id", "username"])
#define SERVICE_WORDS   J(["service_id", "service_name", "service_host", "service_name_or_host"])
#define WORKSPACE_WORDS J(["workspace_id", "workspace_name"])

#define T struct statsd_metric
static const struct field metric_fields[] = {
	F_STR(T, name,                 .required = true, .one_of = J(["kong_latency", "latency", "request_count", "request_per_user", "request_size", "response_size", "status_count", "status_count_per_user", "unique_users", "upstream_latency", "status_count_per_workspace", "status_count_per_user_per_route", "shdict_usage"]), .help = "Which figure."),
	F_STR(T, stat_type,            .required = true, .one_of = J(["counter", "gauge", "histogram", "meter", "set", "timer"]), .help = "What it is to the server."),
	F_NUM(T, sample_rate,          .gt = "0", .help = "Share of the requests that it stands for."),
	F_STR(T, consumer_identifier,  .one_of = CONSUMER_WORDS, .help = "What of a consumer is its name."),
	F_STR(T, service_identifier,   .one_of = SERVICE_WORDS, .help = "What of a service is its name."),
	F_STR(T, workspace_identifier, .one_of = WORKSPACE_WORDS, .help = "What of the workspace is its name."),
	F_END
};
#undef T

static const struct check metric_checks[] = {
	{ CHECK_CONDITIONAL, .if_field = "stat_type", .if_rule = FIELD_RULE(.one_of = J(["counter", "gauge"])),
	  .then_field = "sample_rate", .then_rule = FIELD_RULE(.required = true) },
	CHECK_END
};

#define COUNTED(name) "{\"name\":\"" name "\",\"sample_rate\":1,\"stat_type\":\"counter\"}"
#define TIMED(name)   "{\"name\":\"" name "\",\"stat_type\":\"timer\"}"
#define METRICS "[" COUNTED("request_count") "," TIMED("latency") "," COUNTED("request_size") "," COUNTED("status_count") "," \
	COUNTED("response_size") ",{\"name\":\"unique_users\",\"stat_type\":\"set\"}," COUNTED("request_per_user") "," \
	TIMED("upstream_latency") "," TIMED("kong_latency") "," COUNTED("status_count_per_user") "," \
	COUNTED("status_count_per_workspace") "," COUNTED("status_count_per_user_per_route") "," \
	"{\"name\":\"shdict_usage\",\"sample_rate\":1,\"stat_type\":\"gauge\"}]"

#define T struct statsd_conf
static const struct field conf_fields[] = {
	F_STR(T,     host,                         .def = J("localhost"), .check = rule_host, .help = "The server's name or address."),
	F_INT(T,     port,                         .def = J(8125), .between = J([0, 65535]), .help = "Its port."),
	F_STR(T,     prefix,                       .def = J("kong"), .help = "What names begin with."),
	F_RECORDS(T, metrics,                      .def = METRICS, .elements = FIELD(FIELD_RECORD, .fields = metric_fields, .checks = metric_checks, .record_size = sizeof(struct statsd_metric)), .help = "Figures that are sent."),
	F_STRS(T,    allow_status_codes,           .elements = FIELD(FIELD_STRING, .match = "^[0-9]+-[0-9]+$"), .help = "Statuses of the requests that are counted, as ranges; all when left out."),
	F_NUM(T,     udp_packet_size,              .def = J(0), .between = J([0, 65507]), .help = "Bytes up to which lines go together in one datagram; 0: each has its own."),
	F_BOOL(T,    use_tcp,                      .def = J(false), .help = "Whether lines go over TCP."),
	F_BOOL(T,    hostname_in_prefix,           .def = J(false), .help = "Whether the host's name follows the prefix."),
	F_STR(T,     consumer_identifier_default,  .required = true, .def = J("custom_id"), .one_of = CONSUMER_WORDS, .help = "What of a consumer is its name, where the metric does not say."),
	F_STR(T,     service_identifier_default,   .required = true, .def = J("service_name_or_host"), .one_of = SERVICE_WORDS, .help = "The same of a service."),
	F_STR(T,     workspace_identifier_default, .required = true, .def = J("workspace_id"), .one_of = WORKSPACE_WORDS, .help = "The same of the workspace."),
	F_INT(T,     retry_count,                  .required = true, .def = J(10), .help = "How often a batch is tried."),
	F_INT(T,     queue_size,                   .required = true, .def = J(1), .help = "Requests whose figures are sent together, at most."),
	F_NUM(T,     flush_timeout,                .required = true, .def = J(2), .help = "Seconds without a new request after which they are sent."),
	F_STR(T,     tag_style,                    .required_is_false_shown = true, .one_of = J(["dogstatsd", "influxdb", "librato", "signalfx"]), .help = "How tags are written; without it names say what a figure belongs to."),
	F_END
};
#undef T

/* By the enums of statsd.h. */
static const char *const consumer_words[] = { "consumer_id", "custom_id", "username", NULL };
static const char *const service_words[] = { "service_id", "service_name", "service_host", "service_name_or_host", NULL };
static const char *const workspace_words[] = { "workspace_id", "workspace_name", NULL };
static const char *const style_words[] = { "", "dogstatsd", "influxdb", "librato", "signalfx", NULL };
static const char *const types[][2] = {
	{ "gauge", "g" }, { "counter", "c" }, { "timer", "ms" }, { "histogram", "h" }, { "meter", "m" }, { "set", "s" },
};
/* clang-format on */

/* ---- configuration --------------------------------------------------------------------------- */

/* The first word when it is none of them. */
static unsigned place_of(const char *const *words, str word)
{
	for (unsigned i = 0; words[i]; i++) {
		if (str_is(word, words[i]))
			return i;
	}
	return 0;
}

static const char *type_of(str word)
{
	size_t i = 0;

	while (i < COUNT(types) - 1 && !str_is(word, types[i][0]))
		i++;
	return types[i][1];
}

static str word_or(str word, str otherwise)
{
	return word.s ? word : otherwise;
}

static void prepare_metric(struct arena *a, const struct statsd_conf *c, struct statsd_metric *m)
{
	m->kind = statsd_kind_find(m->name);
	m->type = type_of(m->stat_type);
	if (m->sample_rate > 0 && (m->sample_rate < 1 || m->sample_rate > 1))
		m->rate = str_fmt(a, "|@%.14g", m->sample_rate);
	m->consumer = place_of(consumer_words,
			       word_or(m->consumer_identifier, c->consumer_identifier_default));
	m->service = place_of(service_words,
			      word_or(m->service_identifier, c->service_identifier_default));
	m->workspace = place_of(workspace_words,
				word_or(m->workspace_identifier, c->workspace_identifier_default));
}

static struct status_range range_of(str text)
{
	struct status_range r = { 0, 0 };
	str first;

	str_next(&text, '-', &first);
	if (!str_to_int(first, &r.first) || !str_to_int(text, &r.last))
		return (struct status_range){ 1, 0 };
	return r;
}

static str host_name(struct arena *a)
{
	char *name = str_z(a, plugin_node()->hostname);

	for (char *at = name; *at; at++) {
		if (*at == '.')
			*at = '_';
	}
	return str_of(name);
}

static struct err *send_entries(const void *conf, const str *entries, size_t n) SUSPENDS;

static struct err *prepare(struct arena *a, void *conf)
{
	struct statsd_conf *c = conf;
	struct statsd_metric *metrics = c->metrics.v;
	struct queue_options o =
		plugin_batches("statsd", c->queue_size, c->flush_timeout, c->retry_count);

	o.send = send_entries;
	for (size_t i = 0; i < c->metrics.n; i++)
		prepare_metric(a, c, &metrics[i]);
	c->ranges = NEWS(a, struct status_range, c->allow_status_codes.n);
	for (size_t i = 0; i < c->allow_status_codes.n; i++)
		c->ranges[i] = range_of(c->allow_status_codes.v[i]);
	c->style = place_of(style_words, c->tag_style);
	c->node = host_name(a);
	c->begin = str_cat(a, word_or(c->prefix, STR(PREFIX)), STR("."));
	if (c->hostname_in_prefix && c->style == TAGS_NONE)
		c->begin = str_fmt(a, STRF "node." STRF ".", STRV(c->begin), STRV(c->node));
	c->zones_s = NEW(a, int64_t);
	c->queue = plugin_queue(&plugin_statsd, a, c, &o);
	return NULL;
}

/* ---- sending ---------------------------------------------------------------------------------- */

static struct err *send_packets(const struct statsd_conf *c, const struct peer *p, struct arena *a,
				const str *entries, size_t n)
{
	strs packets = str_split(a, plugin_entries(a, entries, n, STR("")), '\n');

	if (c->udp_packet_size >= 1)
		packets = statsd_packets(a, packets, (size_t)c->udp_packet_size);
	return peer_send_datagrams(p, packets.v, packets.n, NULL);
}

static struct err *send_entries(const void *conf, const str *entries, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct statsd_conf *c = conf;
	const struct peer p = {
		.host = c->host,
		.port = (uint16_t)c->port,
		.connect_ms = TIMEOUT_MS,
		.send_ms = TIMEOUT_MS,
		.keep_ms = KEEP_MS,
	};

	if (!c->host.n || c->port == FIELD_UNSET_INT)
		return FAIL(ERR_INVALID, "there is no server");
	if (!c->use_tcp)
		return send_packets(c, &p, a, entries, n);
	return peer_send(&p, plugin_entries(a, entries, n, STR("")));
}

/* ---- log --------------------------------------------------------------------------------------- */

static bool is_counted(const struct statsd_conf *c, int status)
{
	for (size_t i = 0; i < c->allow_status_codes.n; i++) {
		if (status >= c->ranges[i].first && status <= c->ranges[i].last)
			return true;
	}
	return c->allow_status_codes.n == 0;
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct statsd_conf *c = conf;
	struct buf lines CLEANUP(buf_done) = { 0 };

	if (!is_counted(c, reply_status(r)))
		return NEXT;
	statsd_write(r, c, &lines);
	if (lines.n)
		queue_add(c->queue, buf_str(&lines));
	return NEXT;
}

const struct plugin plugin_statsd = {
	.name = "statsd",
	.help = "Sends figures to a StatsD server.",
	.priority = 11,
	.conf_size = sizeof(struct statsd_conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_LOG] = on_log },
};
