/* SPDX-License-Identifier: Apache-2.0 */
/* correlation-id - gives each request an id to find it by, in a header.
 *
 * One that came with the request is kept.  Its rank is the last but few, so that plugins
 * before it do not see a new one. */
#include <gibbon/plugin.h>

struct conf {
	str header_name, generator;
	bool echo_downstream;
};

struct state {
	str id;
};

const struct plugin plugin_correlation_id;

static struct {
	char uuid[36]; /* of this worker */
	uint64_t count;
} worker;

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T,  header_name,     .def = J("Kong-Request-ID"), .help = "Header that has the id."),
	F_STR(T,  generator,       .def = J("uuid#counter"), .one_of = J(["uuid", "uuid#counter", "tracker"]), .help = "How an id is made."),
	F_BOOL(T, echo_downstream, .required = true, .def = J(false), .help = "Whether replies have it too."),
	F_END
};
#undef T
/* clang-format on */

static void start(const struct plugin_node *node)
{
	(void)node;
	uuid_write(uuid_random(), worker.uuid);
	worker.count = 0;
}

static str make(struct req *r, const struct conf *conf)
{
	struct arena *a = req_arena(r);
	str here;

	if (str_is(conf->generator, "uuid"))
		return uuid_str(a, uuid_random());
	if (str_is(conf->generator, "uuid#counter"))
		return str_fmt(
			a, "%.36s#%llu", worker.uuid,
			(unsigned long long)__atomic_add_fetch(&worker.count, 1, __ATOMIC_RELAXED));
	here = req_server_ip(r);
	return str_fmt(a, STRF "-%u-%lld-%llu-%u-%0.3f", STRV(here), req_port(r),
		       (long long)plugin_node()->worker_pid, (unsigned long long)req_connection(r),
		       req_of_connection(r), (double)clock_wall_ms() / 1000);
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	str id = req_header(r, conf->header_name);

	if (!id.n) {
		id = make(r, conf);
		req_set_header(r, conf->header_name, id);
	}
	if (conf->echo_downstream)
		req_ctx(r, struct state, &plugin_correlation_id)->id = id;
	return NEXT;
}

/* Also of requests that were answered before access came here. */
static enum verdict on_header_filter(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	str id;

	if (!conf->echo_downstream)
		return NEXT;
	id = req_ctx(r, struct state, &plugin_correlation_id)->id;
	if (!id.n)
		id = req_header(r, conf->header_name);
	if (!id.n)
		id = make(r, conf);
	reply_set_header(r, conf->header_name, id);
	return NEXT;
}

const struct plugin plugin_correlation_id = {
	.name = "correlation-id",
	.help = "Gives each request an id in a header.",
	.priority = 1,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_HTTP,
	.start = start,
	.on = { [PHASE_ACCESS] = on_access, [PHASE_HEADER_FILTER] = on_header_filter },
};
