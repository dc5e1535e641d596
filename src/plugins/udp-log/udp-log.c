/* SPDX-License-Identifier: Apache-2.0 */
/* udp-log - sends the log entry of each request to a server over UDP, a datagram each. */
#include <gibbon/plugin.h>

#define BATCH 128

struct conf {
	str host;
	int64_t port;
	double timeout;
	const struct value *custom_fields_by_lua;
	struct queue *queue;
};

const struct plugin plugin_udp_log;

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, host,       .required = true, .check = rule_host, .help = "The server's name or address."),
	F_INT(T, port,       .required = true, .between = J([0, 65535]), .help = "Its port."),
	F_NUM(T, timeout,    .def = J(10000), .help = "Milliseconds to find the server, and to send."),
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
		.name = "udp-log",
		.batch = BATCH,
		.send_each = send_entries,
	};
	struct conf *c = conf;

	c->queue = plugin_queue(&plugin_udp_log, a, c, &o);
	return NULL;
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct conf *c = conf;

	queue_add(c->queue, log_text(r, c->custom_fields_by_lua));
	return NEXT;
}

const struct plugin plugin_udp_log = {
	.name = "udp-log",
	.help = "Sends log entries over UDP.",
	.priority = 8,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_LOG] = on_log },
};
