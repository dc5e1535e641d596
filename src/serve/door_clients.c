/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: queues of a configuration (gibbon/plugin.h). */
#include "base/json.h"
#include "model/plugin_schema.h"
#include "schema/schema.h"
#include <gibbon/plugin.h>

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
