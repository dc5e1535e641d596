/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: what configurations have of their own (queues, servers that they name, .proto
 * files; gibbon/plugin.h). */
#include "base/json.h"
#include "model/plugin_schema.h"
#include "schema/schema.h"
#include <gibbon/plugin.h>

#define MS_MOST           1e12 /* more is as good as never */
#define COLLECTOR_KEEP_MS 60000

struct copying {
	const struct plugin *plugin;
	const struct value *conf;
};

static void *copy_conf(struct arena *a, void *arg)
{
	const struct copying *c = arg;
	void *made = arena_zalloc(a, c->plugin->conf_size);

	schema_decode(a, plugin_schema_config(str_of(c->plugin->name)), value_copy(a, c->conf),
		      made);
	return made;
}

static void close_queue(void *p)
{
	struct queue *q = p;

	queue_close(&q);
}

struct queue *plugin_queue(const struct plugin *p, struct arena *a, const void *conf,
			   const struct queue_options *o)
{
	struct arena *scratch CLEANUP(arena_drop) = arena_new();
	struct copying c = {
		.plugin = p,
		.conf = schema_encode(scratch, plugin_schema_config(str_of(p->name)), conf),
	};
	struct queue *q = queue_open(o, json_text(scratch, c.conf, JSON_COMPACT), copy_conf, &c);

	arena_on_end(a, close_queue, q);
	return q;
}

int64_t plugin_ms(double ms)
{
	if (!(ms > 0)) /* NaN too */
		return 0;
	return (int64_t)(ms < MS_MOST ? ms : MS_MOST);
}

struct peer plugin_peer(str host, int64_t port, double timeout_ms)
{
	return (struct peer){
		.host = host,
		.port = (uint16_t)port,
		.connect_ms = plugin_ms(timeout_ms),
		.send_ms = plugin_ms(timeout_ms),
	};
}

struct queue_options plugin_batches(const char *name, int64_t queue_size, double flush_timeout,
				    int64_t retry_count)
{
	return (struct queue_options){
		.name = name,
		.batch = queue_size > 0 ? (size_t)queue_size : 1,
		.flush_ms = queue_size > 1 ? plugin_ms(flush_timeout * 1000) : 0,
		.attempts = retry_count,
	};
}

str plugin_entries(struct arena *a, const str *entries, size_t n, str end)
{
	char *text, *at;
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += entries[i].n + end.n;
	text = at = arena_bytes(a, size);
	for (size_t i = 0; i < n; i++) {
		at = mempcpy(at, entries[i].s, entries[i].n);
		at = mempcpy(at, end.s, end.n);
	}
	return str_at(text, size);
}

str plugin_on_a_line(struct arena *a, str s)
{
	char *copy = NULL;

	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.s[i] >= ' ')
			continue;
		if (!copy)
			copy = str_z(a, s);
		copy[i] = '_';
	}
	return copy ? str_at(copy, s.n) : s;
}

struct err *collector_post(struct arena *a, const struct collector *c,
			   const struct http_headers *headers, str body, int last_good)
{
	struct http_answer answer;
	struct http_call call = {
		.method = STR("POST"),
		.url = c->url,
		.headers = *headers,
		.body = body,
		.verify = true,
		.connect_ms = c->connect_timeout,
		.send_ms = c->send_timeout,
		.read_ms = c->read_timeout,
		.keep_ms = COLLECTOR_KEEP_MS,
		.may_cut = true,
	};

	PASS(http_ask(a, &call, &answer));
	if (answer.status < 200 || answer.status > last_good)
		return FAIL(ERR_REFUSED, "the collector answered with status %d", answer.status);
	return NULL;
}

const struct proto_set *plugin_proto(struct arena *a, const struct plugin *p, str file)
{
	const struct proto_set *set = NULL;
	struct err *e = file.n ? proto_load(a, file, &set) : NULL;

	if (e) {
		log_err(LOG_ERROR_, e, "%s: proto cannot be used", p->name);
		err_forget();
	}
	return set;
}
