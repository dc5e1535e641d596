/* SPDX-License-Identifier: Apache-2.0 */
/* syslog - sends the log entry of each request to the machine's syslog.
 *
 * To the socket that syslog(3) writes to, in its form; GIBBON_SYSLOG_SOCKET names another
 * one where that is elsewhere.  Entries wait in a queue: a syslog that is slow or gone
 * holds nobody up. */
#include <gibbon/plugin.h>

#include <stdlib.h>

#define BATCH   128
#define TIMEOUT 1000
#define SOCKET  "/dev/log"

struct conf {
	str log_level, successful_severity, client_errors_severity, server_errors_severity;
	const struct value *custom_fields_by_lua;
	str facility;
	struct log_severities severities;
	int facility_number;
	struct queue *queue;
};

const struct plugin plugin_syslog;

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	ROWS_SEVERITY(T, .required = true),
	ROW_LOG_FIELDS(T),
	F_STR(T, facility, .required = true, .def = J("user"), .one_of = J(["auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]), .help = "Facility of the entries."),
	F_END
};
#undef T

/* RFC 3164 §4.1.1 and the C library's LOG_AUTHPRIV, LOG_FTP. */
static const char *const facilities[] = {
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
	"authpriv", "ftp", "", "", "", "", "local0", "local1", "local2", "local3",
	"local4", "local5", "local6", "local7",
};
/* clang-format on */

/* An entry that is too long for a datagram is refused. */
static struct err *send_entries(const void *conf, const str *entries, size_t n, size_t *ret_refused)
{
	const char *elsewhere = getenv("GIBBON_SYSLOG_SOCKET");
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct peer p = {
		.host = str_fmt(a, "unix:%s", elsewhere && *elsewhere ? elsewhere : SOCKET),
		.send_ms = TIMEOUT,
	};

	(void)conf;
	return peer_send_datagrams(&p, entries, n, ret_refused);
}

static int facility_of(str word)
{
	int i = 0;

	while (!str_is(word, facilities[i]))
		i++;
	return i;
}

static struct err *prepare(struct arena *a, void *conf)
{
	static const struct queue_options o = {
		.name = "syslog",
		.batch = BATCH,
		.send_each = send_entries,
	};
	struct conf *c = conf;

	c->facility_number = facility_of(c->facility);
	c->severities = log_severities_of(c->log_level, c->successful_severity,
					  c->client_errors_severity, c->server_errors_severity);
	c->queue = plugin_queue(&plugin_syslog, a, c, &o);
	return NULL;
}

static str line(struct req *r, const struct conf *c, int severity)
{
	char head[SYSLOG_HEAD_MAX];

	syslog_head(head, c->facility_number * 8 + severity, clock_wall_s(), NULL, "kong");
	return str_cat(req_arena(r), str_of(head), log_text(r, c->custom_fields_by_lua));
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct conf *c = conf;
	int severity = log_severity(r, &c->severities);

	if (severity >= 0)
		queue_add(c->queue, line(r, c, severity));
	return NEXT;
}

const struct plugin plugin_syslog = {
	.name = "syslog",
	.help = "Sends log entries to syslog.",
	.priority = 4,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_LOG] = on_log },
};
