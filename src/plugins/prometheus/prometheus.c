/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus - counts requests by service and route, and shows it all on /metrics.
 *
 * The page is there as soon as the plugin is loaded, on the Admin API and on the Status
 * API; what belongs to requests is on it while the plugin is configured somewhere.
 * Each loop counts by itself (observe/metrics.h): a request pays a look-up for each of
 * its series, no lock.  Series have a ceiling in bytes; what does not fit is counted in
 * kong_nginx_metric_errors_total. */
#include <gibbon/plugin.h>

#define SERIES_BYTES ((size_t)64 << 20) /* of all loops together */

struct conf {
	bool per_consumer, status_code_metrics, latency_metrics;
	bool bandwidth_metrics, upstream_health_metrics;
};

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_BOOL(T, per_consumer,            .def = J(false), .help = "Whether counters of requests and bytes tell consumers apart."),
	F_BOOL(T, status_code_metrics,     .def = J(false), .help = "Whether replies are counted by their status."),
	F_BOOL(T, latency_metrics,         .def = J(false), .help = "Whether latencies are put into histograms."),
	F_BOOL(T, bandwidth_metrics,       .def = J(false), .help = "Whether bytes are counted, in both directions."),
	F_BOOL(T, upstream_health_metrics, .def = J(false), .help = "Whether the health of upstreams' targets is shown."),
	F_END
};
#undef T

static const int64_t kong_buckets[] = { 1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000 };
static const int64_t upstream_buckets[] = { 25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000 };
#define BUCKETS(b) .bounds = (b), .n_bounds = COUNT(b)

/* By name: this is the order of the page. */
enum {
	BANDWIDTH, DATASTORE, REQUESTS, KONG_LATENCY, ZONES, ZONE_SIZES, MEMORY, CONNECTIONS, ERRORS,
	NGINX_REQUESTS, TIMERS, NODE, REQUEST_LATENCY, SESSION_DURATION, SESSIONS, UPSTREAM_LATENCY, TARGETS, FAMILIES
};

static const struct metric_family families[FAMILIES] = {
	[BANDWIDTH] = { .name = "kong_bandwidth_bytes", .type = METRIC_COUNTER,
		.help = "Total bandwidth (ingress/egress) throughput in bytes",
		.labels = { "service", "route", "direction", "consumer" } },
	[DATASTORE] = { .name = "kong_datastore_reachable", .type = METRIC_GAUGE,
		.help = "Datastore reachable from Kong, 0 is unreachable" },
	[REQUESTS] = { .name = "kong_http_requests_total", .type = METRIC_COUNTER,
		.help = "HTTP status codes per consumer/service/route in Kong",
		.labels = { "service", "route", "code", "source", "consumer" } },
	[KONG_LATENCY] = { .name = "kong_kong_latency_ms", .type = METRIC_HISTOGRAM,
		.help = "Latency added by Kong and enabled plugins for each service/route in Kong",
		.labels = { "service", "route" }, BUCKETS(kong_buckets) },
	[ZONES] = { .name = "kong_memory_lua_shared_dict_bytes", .type = METRIC_GAUGE,
		.help = "Allocated slabs in bytes in a shared_dict",
		.labels = { "node_id", "shared_dict", "kong_subsystem" } },
	[ZONE_SIZES] = { .name = "kong_memory_lua_shared_dict_total_bytes", .type = METRIC_GAUGE,
		.help = "Total capacity in bytes of a shared_dict",
		.labels = { "node_id", "shared_dict", "kong_subsystem" } },
	[MEMORY] = { .name = "kong_memory_workers_lua_vms_bytes", .type = METRIC_GAUGE,
		.help = "Allocated bytes in worker Lua VM",
		.labels = { "node_id", "pid", "kong_subsystem" } },
	[CONNECTIONS] = { .name = "kong_nginx_connections_total", .type = METRIC_GAUGE,
		.help = "Number of connections by subsystem",
		.labels = { "node_id", "subsystem", "state" } },
	[ERRORS] = { .name = "kong_nginx_metric_errors_total", .type = METRIC_COUNTER,
		.help = "Number of nginx-lua-prometheus errors" },
	[NGINX_REQUESTS] = { .name = "kong_nginx_requests_total", .type = METRIC_GAUGE,
		.help = "Number of requests total",
		.labels = { "node_id", "subsystem" } },
	[TIMERS] = { .name = "kong_nginx_timers", .type = METRIC_GAUGE,
		.help = "Number of nginx timers",
		.labels = { "state" } },
	[NODE] = { .name = "kong_node_info", .type = METRIC_GAUGE,
		.help = "Kong Node metadata information",
		.labels = { "node_id", "version" } },
	[REQUEST_LATENCY] = { .name = "kong_request_latency_ms", .type = METRIC_HISTOGRAM,
		.help = "Total latency incurred during requests for each service/route in Kong",
		.labels = { "service", "route" }, BUCKETS(upstream_buckets) },
	[SESSION_DURATION] = { .name = "kong_session_duration_ms", .type = METRIC_HISTOGRAM,
		.help = "latency incurred in stream session for each service/route in Kong",
		.labels = { "service", "route" }, BUCKETS(upstream_buckets) },
	[SESSIONS] = { .name = "kong_stream_sessions_total", .type = METRIC_COUNTER,
		.help = "Stream status codes per service/route in Kong",
		.labels = { "service", "route", "code", "source" } },
	[UPSTREAM_LATENCY] = { .name = "kong_upstream_latency_ms", .type = METRIC_HISTOGRAM,
		.help = "Latency added by upstream response for each service/route in Kong",
		.labels = { "service", "route" }, BUCKETS(upstream_buckets) },
	[TARGETS] = { .name = "kong_upstream_target_health", .type = METRIC_GAUGE,
		.help = "Health status of targets of upstream. States = healthchecks_off|healthy|unhealthy|dns_error, value is 1 when state is populated.",
		.labels = { "upstream", "target", "address", "state", "subsystem" } },
};
/* clang-format on */

static struct {
	struct metrics *metrics;
	const struct plugin_node *node;
	bool shows_targets; /* atomic; once wanted anywhere, until the worker ends */
} worker;

static void start(const struct plugin_node *node)
{
	worker.metrics = metrics_new(families, FAMILIES, node->loops, SERIES_BYTES);
	worker.node = node;
	worker.shows_targets = false;
}

static void stop(void)
{
	metrics_drop(&worker.metrics);
}

/* ---- counting ----------------------------------------------------------------------------- */

/* What the series of one request have in common. */
struct labels {
	int loop;
	str service, route, consumer;
};

static void count_bytes(const struct labels *l, const char *direction, uint64_t n)
{
	const str labels[] = { l->service, l->route, str_of(direction), l->consumer };

	if (n)
		metrics_add(worker.metrics, l->loop, BANDWIDTH, labels, (int64_t)n);
}

/* Of sessions too: they have the same labels but the consumer. */
static void count_status(const struct labels *l, size_t family, int status, bool is_proxied)
{
	char code[12];
	int n = snprintf(code, sizeof(code), "%d", status);
	const str labels[] = { l->service, l->route, str_at(code, (size_t)n),
			       is_proxied ? STR("service") : STR("kong"), l->consumer };

	metrics_add(worker.metrics, l->loop, family, labels, 1);
}

static void observe(const struct labels *l, size_t family, int64_t ms)
{
	const str labels[] = { l->service, l->route };

	if (ms >= 0)
		metrics_observe(worker.metrics, l->loop, family, labels, ms);
}

static enum verdict on_log(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	const struct service *service = req_service(r);
	const struct route *route = req_route(r);
	const struct consumer *consumer = conf->per_consumer ? req_consumer(r) : NULL;
	struct labels l = { .loop = req_loop(r) };
	bool is_stream = req_is_stream(r);
	struct req_figures f;

	if (conf->upstream_health_metrics)
		__atomic_store_n(&worker.shows_targets, true, __ATOMIC_RELAXED);
	if (!service || !worker.metrics)
		return NEXT;
	l.service = service->name.n ? service->name : service->host;
	if (route)
		l.route = route->name.n ? route->name : uuid_str(req_arena(r), route->id);
	if (consumer)
		l.consumer = consumer->username;
	f = req_figures(r);
	if (conf->bandwidth_metrics) {
		count_bytes(&l, "ingress", f.bytes_in);
		count_bytes(&l, "egress", f.bytes_out);
	}
	if (conf->status_code_metrics)
		count_status(&l, is_stream ? SESSIONS : REQUESTS, reply_status(r),
			     reply_is_proxied(r));
	if (conf->latency_metrics) {
		observe(&l, is_stream ? SESSION_DURATION : REQUEST_LATENCY, f.request_ms);
		observe(&l, UPSTREAM_LATENCY, f.upstream_ms);
		observe(&l, KONG_LATENCY, f.kong_ms);
	}
	return NEXT;
}

/* ---- the page -------------------------------------------------------------------------------- */

/* A page being written. */
struct page {
	struct arena *a;
	struct buf *out;
	struct node_figures node;
	str node_id;
	bool is_used; /* the plugin is configured somewhere */
};

static void line(const struct page *p, size_t family, const str *labels, int64_t value)
{
	metric_write_line(&families[family], labels, value, p->out);
}

static void write_connections(const struct page *p)
{
	const struct node_figures *n = &p->node;
	const struct {
		const char *state;
		uint64_t value;
	} rows[] = {
		{ "accepted", n->connections_accepted },
		{ "active", n->connections_active },
		{ "handled", n->connections_handled },
		{ "reading", n->connections_reading },
		{ "total", n->requests },
		{ "waiting", n->connections_waiting },
		{ "writing", n->connections_writing },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const str labels[] = { p->node_id, STR("http"), str_of(rows[i].state) };

		line(p, CONNECTIONS, labels, (int64_t)rows[i].value);
	}
}

static void write_target(const struct page *p, str upstream, str target, str address, str state)
{
	static const char *const states[] = { "dns_error", "healthchecks_off", "healthy",
					      "unhealthy" };

	for (size_t i = 0; i < COUNT(states); i++) {
		const str labels[] = { upstream, target, address, str_of(states[i]), STR("http") };

		line(p, TARGETS, labels, str_is_ci(state, states[i]));
	}
}

static str text_of(const struct value *v, const char *key)
{
	const struct value *member = value_get(v, key);

	return member && member->kind == VALUE_STRING ? member->s : STR("");
}

static int64_t int_of(const struct value *v, const char *key)
{
	const struct value *member = value_get(v, key);

	return member && member->kind == VALUE_INT ? member->i : 0;
}

static void write_addresses(const struct page *p, str upstream, str target, const struct value *v)
{
	const struct value *all = value_get(value_get(v, "data"), "addresses");

	if (value_is_null(all) || !all->n) {
		write_target(p, upstream, target, STR(""), STR("dns_error"));
		return;
	}
	for (uint32_t i = 0; i < all->n; i++) {
		const struct value *one = all->items[i];

		write_target(p, upstream, target,
			     str_fmt(p->a, STRF ":%lld", STRV(text_of(one, "ip")),
				     (long long)int_of(one, "port")),
			     text_of(one, "health"));
	}
}

static void write_targets(const struct page *p)
{
	const struct value *upstreams;

	if (!__atomic_load_n(&worker.shows_targets, __ATOMIC_RELAXED))
		return;
	upstreams = node_targets(p->a);
	for (uint32_t i = 0; i < upstreams->n; i++) {
		const struct member *u = &upstreams->members[i];

		for (uint32_t k = 0; k < u->value->n; k++) {
			if (i == 0 && k == 0)
				metric_write_head(&families[TARGETS], p->out);
			write_addresses(p, u->key, u->value->members[k].key,
					u->value->members[k].value);
		}
	}
}

static void write_memory(const struct page *p)
{
	str pid = str_fmt(p->a, "%lld", (long long)worker.node->worker_pid);
	const str labels[] = { p->node_id, pid, STR("http") };

	line(p, MEMORY, labels, (int64_t)p->node.worker_bytes);
}

/* What is known of a database, where there is one that is asked. */
static void write_zones(const struct page *p, size_t family)
{
	struct node_zone zones[NODE_ZONES];
	size_t n = node_zones(zones);

	if (n)
		metric_write_head(&families[family], p->out);
	for (size_t i = 0; i < n; i++) {
		const str labels[] = { p->node_id, str_of(zones[i].name), STR("http") };

		line(p, family, labels,
		     (int64_t)(family == ZONES ? zones[i].used_bytes : zones[i].size_bytes));
	}
}

static void write_gauge(const struct page *p, size_t family)
{
	const str node[] = { p->node_id, STR("http") };
	const str info[] = { p->node_id, STR("3.2.2") };
	const str running[] = { STR("running") }, pending[] = { STR("pending") };

	metric_write_head(&families[family], p->out);
	switch (family) {
	case DATASTORE:
		line(p, family, NULL, p->node.is_database_reachable);
		break;
	case MEMORY:
		write_memory(p);
		break;
	case CONNECTIONS:
		write_connections(p);
		break;
	case ERRORS:
		line(p, family, NULL, metrics_lost(worker.metrics));
		break;
	case NGINX_REQUESTS:
		line(p, family, node, (int64_t)p->node.requests);
		break;
	case TIMERS:
		line(p, family, pending, p->node.timers_pending);
		line(p, family, running, p->node.timers_running);
		break;
	case NODE:
		line(p, family, info, 1);
		break;
	default:
		break;
	}
}

static void write_family(const struct page *p, size_t family)
{
	switch (family) {
	case BANDWIDTH:
	case REQUESTS:
	case KONG_LATENCY:
	case REQUEST_LATENCY:
	case SESSION_DURATION:
	case SESSIONS:
	case UPSTREAM_LATENCY:
		if (p->is_used)
			metrics_write(worker.metrics, family, p->out);
		return;
	case ERRORS:
		if (p->is_used)
			write_gauge(p, family);
		return;
	case ZONES:
	case ZONE_SIZES:
		write_zones(p, family);
		return;
	case TARGETS:
		write_targets(p);
		return;
	default:
		write_gauge(p, family);
	}
}

static void write_page(struct buf *out)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct page p = {
		.a = a,
		.out = out,
		.node = node_figures(),
		.node_id = worker.node->node_id,
		.is_used = node_uses_plugin("prometheus"),
	};

	for (size_t family = 0; worker.metrics && family < FAMILIES; family++)
		write_family(&p, family);
}

static const struct plugin_page pages[] = {
	{ .path = "/metrics", .content_type = "text/plain; charset=UTF-8", .write = write_page },
	{ NULL, NULL, NULL },
};

const struct plugin plugin_prometheus = {
	.name = "prometheus",
	.help = "Counts requests, bytes and latencies, and shows them on /metrics.",
	.priority = 13,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.pages = pages,
	.start = start,
	.stop = stop,
	.on = { [PHASE_LOG] = on_log },
};
