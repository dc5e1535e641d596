/* SPDX-License-Identifier: Apache-2.0 */
/* What the server is told: the lines of a request, by the metrics that are configured. */
#include "plugins/statsd/statsd.h"

#define ZONES_EVERY_S 60

/* Lines of one request being written. */
struct writer {
	struct req *r;
	struct arena *a;
	const struct statsd_conf *c;
	const struct statsd_metric *m; /* the one at hand */
	struct buf *out;
	struct req_figures f;
	str scopes[SERVICES]; /* "service.orders", once it was needed */
};

/* A metric: a figure with the name of its scope in front, or what has a way of its own,
 * without tags. */
struct statsd_kind {
	const char *name, *stat;
	int64_t (*figure)(const struct writer *w); /* negative: there is none */
	void (*write)(struct writer *w);
};

/* ---- names ---------------------------------------------------------------------------------- */

static str without_dots(struct arena *a, str s)
{
	char *copy = str_z(a, s);

	for (size_t i = 0; i < s.n; i++) {
		if (copy[i] == '.')
			copy[i] = '_';
	}
	return str_at(copy, s.n);
}

/* STR_NONE: there is no service, or it has no such thing. */
static str service_of(struct writer *w, enum service_identifier by)
{
	const struct service *s = req_service(w->r);

	if (!s)
		return STR_NONE;
	switch (by) {
	case SERVICE_ID:
		return uuid_str(w->a, s->id);
	case SERVICE_NAME:
		return s->name;
	case SERVICE_HOST:
		return s->host;
	default:
		return s->name.s ? s->name : s->host;
	}
}

static str consumer_of(struct writer *w)
{
	const struct consumer *c = req_consumer(w->r);

	if (!c)
		return STR_NONE;
	if (w->m->consumer == CONSUMER_ID)
		return uuid_str(w->a, c->id);
	return plugin_on_a_line(w->a,
				w->m->consumer == CONSUMER_USERNAME ? c->username : c->custom_id);
}

static str workspace_of(struct writer *w)
{
	struct workspace ws = req_workspace(w->r);

	return w->m->workspace == WORKSPACE_NAME ? ws.name : ws.id;
}

static str scope_of(struct writer *w)
{
	str *scope = &w->scopes[w->m->service], service;

	if (scope->s)
		return *scope;
	service = service_of(w, w->m->service);
	if (!req_service(w->r))
		*scope = STR("global.unmatched");
	else if (!service.s)
		*scope = STR("service.unnamed");
	else
		*scope = str_cat(w->a, STR("service."), without_dots(w->a, service));
	return *scope;
}

/* ---- tags ----------------------------------------------------------------------------------- */

struct tag {
	const char *key;
	str value;
};
#define TAGS_MOST 6

static size_t tags_of(struct writer *w, struct tag *ret)
{
	const struct route *route = req_route(w->r);
	str service = service_of(w, w->m->service), consumer = consumer_of(w);
	size_t n = 0;

	if (!service.s)
		return 0;
	ret[n++] = (struct tag){ "service", service };
	if (route)
		ret[n++] = (struct tag){ "route",
					 route->name.s ? route->name : uuid_str(w->a, route->id) };
	ret[n++] = (struct tag){ "workspace", workspace_of(w) };
	if (consumer.s)
		ret[n++] = (struct tag){ "consumer", consumer };
	ret[n++] = (struct tag){ "node", w->c->node };
	ret[n++] = (struct tag){ "status", str_fmt(w->a, "%d", reply_status(w->r)) };
	return n;
}

static void add_tags(struct buf *out, const struct tag *tags, size_t n, const char *begin,
		     char between, const char *end)
{
	buf_add_str(out, str_of(begin));
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "%s%s%c" STRF, i ? "," : "", tags[i].key, between,
			 STRV(tags[i].value));
	buf_add_str(out, str_of(end));
}

static void add_line(struct writer *w, str stat, str value, const char *type, str rate,
		     const struct tag *tags, size_t n)
{
	enum tag_style style = n ? w->c->style : TAGS_NONE;

	buf_add_str(w->out, w->c->begin);
	buf_add_str(w->out, stat);
	if (style == TAGS_INFLUXDB)
		add_tags(w->out, tags, n, ",", '=', "");
	else if (style == TAGS_LIBRATO)
		add_tags(w->out, tags, n, "#", '=', "");
	else if (style == TAGS_SIGNALFX)
		add_tags(w->out, tags, n, "[", '=', "]");
	buf_addf(w->out, ":" STRF "|%s" STRF, STRV(value), type, STRV(rate));
	if (style == TAGS_DOGSTATSD)
		add_tags(w->out, tags, n, "|#", ':', "");
	buf_add_char(w->out, '\n');
}

/* One more of what `stat` names. */
static void add_one(struct writer *w, str stat)
{
	add_line(w, stat, STR("1"), "c", w->m->rate, NULL, 0);
}

/* ---- metrics --------------------------------------------------------------------------------- */

static void write_status(struct writer *w)
{
	add_one(w, str_fmt(w->a, STRF ".status.%d", STRV(scope_of(w)), reply_status(w->r)));
}

static void write_user(struct writer *w)
{
	str consumer = consumer_of(w);

	if (consumer.s)
		add_line(w, str_cat(w->a, scope_of(w), STR(".user.uniques")), consumer, "s",
			 STR_NONE, NULL, 0);
}

static void write_user_requests(struct writer *w)
{
	str consumer = consumer_of(w);

	if (consumer.s)
		add_one(w, str_fmt(w->a, STRF ".user." STRF ".request.count", STRV(scope_of(w)),
				   STRV(consumer)));
}

static void write_user_status(struct writer *w)
{
	str consumer = consumer_of(w);

	if (consumer.s)
		add_one(w, str_fmt(w->a, STRF ".user." STRF ".status.%d", STRV(scope_of(w)),
				   STRV(consumer), reply_status(w->r)));
}

static void write_workspace_status(struct writer *w)
{
	add_one(w, str_fmt(w->a, STRF ".workspace." STRF ".status.%d", STRV(scope_of(w)),
			   STRV(workspace_of(w)), reply_status(w->r)));
}

static void write_route_status(struct writer *w)
{
	const struct route *route = req_route(w->r);
	str consumer = consumer_of(w);

	if (consumer.s && route)
		add_one(w, str_fmt(w->a, "route." STRF ".user." STRF ".status.%d",
				   STRV(uuid_str(w->a, route->id)), STRV(consumer),
				   reply_status(w->r)));
}

static void write_zone(struct writer *w, const char *zone, const char *what, uint64_t bytes)
{
	const struct tag tags[] = { { "node", w->c->node }, { "shdict", str_of(zone) } };
	str value = str_fmt(w->a, "%llu", (unsigned long long)bytes), stat;

	if (w->c->style != TAGS_NONE)
		stat = str_fmt(w->a, "shdict.%s", what);
	else if (w->c->hostname_in_prefix)
		stat = str_fmt(w->a, "shdict.%s.%s", zone, what);
	else
		stat = str_fmt(w->a, "node." STRF ".shdict.%s.%s", STRV(w->c->node), zone, what);
	add_line(w, stat, value, "g", w->m->rate, tags, w->c->style == TAGS_NONE ? 0 : COUNT(tags));
}

/* Is it time to, and nobody else does it? */
static bool may_write_zones(const struct statsd_conf *c)
{
	int64_t now = clock_mono_ms() / 1000;
	int64_t last = __atomic_load_n(c->zones_s, __ATOMIC_RELAXED);

	return (!last || last + ZONES_EVERY_S < now) &&
	       __atomic_compare_exchange_n(c->zones_s, &last, now, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
}

static void write_zones(struct writer *w)
{
	struct node_zone zones[NODE_ZONES];
	size_t n = may_write_zones(w->c) ? node_zones(zones) : 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t used = zones[i].used_bytes, size = zones[i].size_bytes;

		write_zone(w, zones[i].name, "free_space", used < size ? size - used : 0);
		write_zone(w, zones[i].name, "capacity", size);
	}
}

static void write_figure(struct writer *w, const struct statsd_kind *kind)
{
	int64_t figure = kind->figure(w);
	struct tag tags[TAGS_MOST];
	str stat = str_of(kind->stat);
	size_t n = 0;

	if (figure < 0)
		return;
	if (w->c->style != TAGS_NONE)
		n = tags_of(w, tags);
	else
		stat = str_fmt(w->a, STRF "." STRF, STRV(scope_of(w)), STRV(stat));
	add_line(w, stat, str_fmt(w->a, "%lld", (long long)figure), w->m->type, w->m->rate, tags,
		 n);
}

static int64_t one(const struct writer *w)
{
	(void)w;
	return 1;
}

static int64_t request_size(const struct writer *w)
{
	return (int64_t)w->f.bytes_in;
}

static int64_t response_size(const struct writer *w)
{
	return (int64_t)w->f.bytes_out;
}

static int64_t latency(const struct writer *w)
{
	return w->f.request_ms;
}

static int64_t upstream_latency(const struct writer *w)
{
	return w->f.upstream_ms;
}

static int64_t kong_latency(const struct writer *w)
{
	return w->f.kong_ms;
}

/* clang-format off */
static const struct statsd_kind kinds[] = {
	{ "request_count",                   "request.count",    one,              NULL },
	{ "request_size",                    "request.size",     request_size,     NULL },
	{ "response_size",                   "response.size",    response_size,    NULL },
	{ "latency",                         "latency",          latency,          NULL },
	{ "upstream_latency",                "upstream_latency", upstream_latency, NULL },
	{ "kong_latency",                    "kong_latency",     kong_latency,     NULL },
	{ "status_count",                    NULL, NULL, write_status },
	{ "unique_users",                    NULL, NULL, write_user },
	{ "request_per_user",                NULL, NULL, write_user_requests },
	{ "status_count_per_user",           NULL, NULL, write_user_status },
	{ "status_count_per_workspace",      NULL, NULL, write_workspace_status },
	{ "status_count_per_user_per_route", NULL, NULL, write_route_status },
	{ "shdict_usage",                    NULL, NULL, write_zones },
};
/* clang-format on */

const struct statsd_kind *statsd_kind_find(str name)
{
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (str_is(name, kinds[i].name))
			return &kinds[i];
	}
	return NULL;
}

void statsd_write(struct req *r, const struct statsd_conf *c, struct buf *out)
{
	const struct statsd_metric *metrics = c->metrics.v;
	struct writer w = {
		.r = r,
		.a = req_arena(r),
		.c = c,
		.out = out,
		.f = req_figures(r),
	};

	for (size_t i = 0; i < c->metrics.n; i++) {
		const struct statsd_kind *kind = metrics[i].kind;

		w.m = &metrics[i];
		if (kind->figure)
			write_figure(&w, kind);
		else if (c->style == TAGS_NONE || kind->write == write_zones)
			kind->write(&w);
	}
}

/* ---- packets --------------------------------------------------------------------------------- */

strs statsd_packets(struct arena *a, strs lines, size_t most)
{
	strs packets = { NEWS(a, str, lines.n), 0 };

	for (size_t i = 0, end; i < lines.n; i = end) {
		size_t n = lines.v[i].n;

		for (end = i + 1; end < lines.n && n + 1 + lines.v[end].n <= most; end++)
			n += 1 + lines.v[end].n;
		packets.v[packets.n++] = str_join(a, (strs){ lines.v + i, end - i }, STR("\n"));
	}
	return packets;
}
