/* SPDX-License-Identifier: Apache-2.0 */
/* loggly - sends the log entry of each request to Loggly, a datagram in the form of RFC 5424. */
#include <gibbon/plugin.h>

#include <time.h>

#define BATCH    128
#define FACILITY 1 /* user */

struct conf {
	str host;
	int64_t port;
	str key;
	strs tags;
	str log_level, successful_severity, client_errors_severity, server_errors_severity;
	double timeout;
	const struct value *custom_fields_by_lua;
	struct log_severities severities;
	str tag_text; /* tag="a" tag="b" */
	struct queue *queue;
};

const struct plugin plugin_loggly;

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, host,    .def = J("logs-01.loggly.com"), .check = rule_host, .help = "The server's name or address."),
	F_INT(T, port,    .def = J(514), .between = J([0, 65535]), .help = "Its port."),
	F_STR(T, key,     .required = true, .is_referenceable = true, .is_encrypted = true, .help = "Loggly's customer token."),
	F_STRS(T, tags,   .is_set = true, .def = J(["kong"]), .elements = FIELD(FIELD_STRING), .help = "Tags of the entries."),
	ROWS_SEVERITY(T),
	F_NUM(T, timeout, .def = J(10000), .help = "Milliseconds to find the server, and to send."),
	ROW_LOG_FIELDS(T),
	F_END
};
#undef T
/* clang-format on */

/* An entry that is too long for a datagram is refused. */
static struct err *send_entries(const void *conf, const str *entries, size_t n, size_t *ret_refused)
{
	const struct conf *c = conf;
	const struct peer p = plugin_peer(c->host, c->port, c->timeout);

	return peer_send_datagrams(&p, entries, n, ret_refused);
}

static struct err *prepare(struct arena *a, void *conf)
{
	static const struct queue_options o = {
		.name = "loggly",
		.batch = BATCH,
		.send_each = send_entries,
	};
	struct conf *c = conf;

	c->tag_text = STR("");
	for (size_t i = 0; i < c->tags.n; i++)
		c->tag_text = str_fmt(a, STRF "%stag=\"" STRF "\"", STRV(c->tag_text), i ? " " : "",
				      STRV(c->tags.v[i]));
	c->severities = log_severities_of(c->log_level, c->successful_severity,
					  c->client_errors_severity, c->server_errors_severity);
	c->queue = plugin_queue(&plugin_loggly, a, c, &o);
	return NULL;
}

static str line(struct req *r, const struct conf *c, int severity)
{
	time_t now = clock_wall_s();
	struct tm tm;
	str head;

	gmtime_r(&now, &tm);
	head = str_fmt(req_arena(r),
		       "<%d>1 %04d-%02d-%02dT%02d:%02d:%02dZ " STRF " kong - - [" STRF
		       "@41058 " STRF "] ",
		       FACILITY * 8 + severity, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		       tm.tm_hour, tm.tm_min, tm.tm_sec, STRV(plugin_node()->hostname),
		       STRV(c->key), STRV(c->tag_text));
	return str_cat(req_arena(r), head, log_text(r, c->custom_fields_by_lua));
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct conf *c = conf;
	int severity = log_severity(r, &c->severities);

	if (severity >= 0)
		queue_add(c->queue, line(r, c, severity));
	return NEXT;
}

const struct plugin plugin_loggly = {
	.name = "loggly",
	.help = "Sends log entries to Loggly.",
	.priority = 6,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_LOG] = on_log },
};
