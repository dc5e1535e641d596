/* SPDX-License-Identifier: Apache-2.0 */
/* tcp-log - sends the log entry of each request to a server over TCP or TLS, a line each.
 *
 * Entries wait in a queue, so that nothing of a request waits for the server. */
#include <gibbon/plugin.h>

#define BATCH    128 /* lines that are written at once */
#define ATTEMPTS 5

struct conf {
	str host;
	int64_t port;
	double timeout, keepalive;
	bool tls;
	str tls_sni;
	const struct value *custom_fields_by_lua;
	struct queue *queue;
};

const struct plugin plugin_tcp_log;

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, host,       .required = true, .check = rule_host, .help = "The server's name or address."),
	F_INT(T, port,       .required = true, .between = J([0, 65535]), .help = "Its port."),
	F_NUM(T, timeout,    .def = J(10000), .help = "Milliseconds to connect, and to send."),
	F_NUM(T, keepalive,  .def = J(60000), .help = "Milliseconds that an idle connection is kept."),
	F_BOOL(T, tls,       .required = true, .def = J(false), .help = "Whether it is spoken to over TLS."),
	F_STR(T, tls_sni,    .help = "Name to ask for; the host's when left out."),
	ROW_LOG_FIELDS(T),
	F_END
};
#undef T
/* clang-format on */

static struct err *send_entries(const void *conf, const str *entries, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct conf *c = conf;
	struct peer p = plugin_peer(c->host, c->port, c->timeout);

	p.tls = c->tls;
	p.server_name = c->tls_sni;
	p.keep_ms = plugin_ms(c->keepalive);
	return peer_send(&p, plugin_entries(a, entries, n, STR("\n")));
}

static struct err *prepare(struct arena *a, void *conf)
{
	static const struct queue_options o = {
		.name = "tcp-log",
		.batch = BATCH,
		.attempts = ATTEMPTS,
		.send = send_entries,
	};
	struct conf *c = conf;

	c->queue = plugin_queue(&plugin_tcp_log, a, c, &o);
	return NULL;
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct conf *c = conf;

	queue_add(c->queue, log_text(r, c->custom_fields_by_lua));
	return NEXT;
}

const struct plugin plugin_tcp_log = {
	.name = "tcp-log",
	.help = "Sends log entries over TCP or TLS.",
	.priority = 7,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_LOG] = on_log },
};
