/* SPDX-License-Identifier: Apache-2.0 */
/* response-ratelimiting - limits by what responses say they cost.
 *
 * An upstream says in a header what its answer used up: "videos=2, images=1".  Requests
 * are told what is left of each limit, so that it may do less; an answer that costs
 * something of what is used up already becomes an empty 429.
 *
 * What is left is looked at when the request comes.  Looking again and counting are one
 * step when the answer comes: of many answers at once exactly as many pass as are begun
 * within the limit.  The last one may go beyond it. */
#include <gibbon/plugin.h>

#include <math.h>

#define NAMES_MOST 40 /* that one answer may use up */
#define COST_MOST  ((double)USAGE_NO_LIMIT)

struct limit {
	str name;
	double most[USAGE_PERIODS]; /* NaN: none */
};

struct conf {
	str header_name, limit_by, policy;
	bool fault_tolerant;
	struct redis_rows redis;
	double redis_database;
	bool block_on_first_violation, hide_client_headers;
	const struct value *limits;

	struct limit *list;
	size_t n;
	struct usage_place place;
};

/* Of a limit, when the request came; by its place in conf.list. */
struct standing {
	int64_t used[USAGE_PERIODS];
	int64_t cost; /* of the answer */
};

struct state {
	bool is_known;
	int64_t now_s;
	struct usage_subject who;
	struct standing *standings;
};

const struct plugin plugin_response_ratelimiting;

static field_check_fn check_order;

/* clang-format off */
static const struct field window_rows[] = {
	F_NOT_KEPT("second", FIELD_NUMBER, .gt = "0", .help = "Used up per second."),
	F_NOT_KEPT("minute", FIELD_NUMBER, .gt = "0", .help = "Used up per minute."),
	F_NOT_KEPT("hour",   FIELD_NUMBER, .gt = "0", .help = "Used up per hour."),
	F_NOT_KEPT("day",    FIELD_NUMBER, .gt = "0", .help = "Used up per day."),
	F_NOT_KEPT("month",  FIELD_NUMBER, .gt = "0", .help = "Used up per month."),
	F_NOT_KEPT("year",   FIELD_NUMBER, .gt = "0", .help = "Used up per year."),
	F_END
};

static const struct check window_checks[] = {
	{ CHECK_AT_LEAST_ONE_OF, .fields = "second, minute, hour, day, month, year" },
	CHECK_END
};

#define LIMIT_ROW FIELD(FIELD_RECORD, .required = true, .fields = window_rows, .checks = window_checks, .check = check_order)

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T,  header_name,              .def = J("x-kong-limit"), .help = "Header in which upstreams say what an answer used up."),
	F_STR(T,  limit_by,                 .def = J("consumer"), .one_of = J(["consumer", "credential", "ip"]), .help = "What has a count of its own; the client's address where it is not there."),
	F_STR(T,  policy,                   .def = J("local"), .one_of = J(["local", "cluster", "redis"]), .help = "Where counts are kept: local, in this process; cluster, in the database; redis, there."),
	F_BOOL(T, fault_tolerant,           .required = true, .def = J(true), .help = "Whether requests pass when counts cannot be kept."),
	ROWS_REDIS(T, redis),
	F_NUM(T,  redis_database,           .def = J(0), .help = "Number of its database."),
	F_BOOL(T, block_on_first_violation, .required = true, .def = J(false), .help = "Whether requests are refused as soon as one limit is used up."),
	F_BOOL(T, hide_client_headers,      .required = true, .def = J(false), .help = "Whether replies do not say what is left."),
	F_MAP(T,  limits,                   .required = true, .len_min = 1, .keys = FIELD(FIELD_STRING), .values = LIMIT_ROW, .help = "Limits by name, each with its windows."),
	F_END
};
#undef T

static const struct check checks[] = {
	CHECK_OF_REDIS("config.redis_host"),
	CHECK_OF_REDIS("config.redis_port"),
	CHECK_OF_REDIS("config.redis_timeout"),
	{ CHECK_CUSTOM, .fields = "config.policy", .fn = plugins_check_policy },
	CHECK_END
};
/* clang-format on */

/* ---- configuration ---------------------------------------------------------------------- */

static const char *check_order(struct arena *a, const struct value *limit)
{
	return limits_in_order(a, limit, "the");
}

static void prepare_limits(struct arena *a, struct conf *c)
{
	c->list = NEWS(a, struct limit, c->limits ? c->limits->n : 0);
	for (uint32_t i = 0; c->limits && i < c->limits->n; i++) {
		struct limit *l = &c->list[c->n++];

		l->name = c->limits->members[i].key;
		for (int p = 0; p < USAGE_PERIODS; p++)
			l->most[p] = value_num(
				value_get(c->limits->members[i].value, usage_windows[p].name));
	}
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *c = conf_;

	prepare_limits(a, c);
	c->place =
		limits_place(a, c->policy, &c->redis,
			     fabs(c->redis_database) < INT32_MAX ? (int64_t)c->redis_database : 0);
	return NULL;
}

/* ---- when the request comes --------------------------------------------------------------- */

/* Limits from..to of the list, all their windows at once. */
static struct err *look_at(struct req *r, const struct conf *conf, struct state *s, size_t from,
			   size_t to)
{
	struct usage_ask *asks = NEWS(req_arena(r), struct usage_ask, (to - from) * USAGE_PERIODS);
	size_t n = 0;

	for (size_t i = from; i < to; i++) {
		for (enum usage_period p = 0; p < USAGE_PERIODS; p++) {
			if (conf->list[i].most[p] > 0)
				asks[n++] = (struct usage_ask){ .limit = conf->list[i].name,
								.period = p };
		}
	}
	PASS(usage_look(req_arena(r), &conf->place, &s->who, asks, n, s->now_s));
	n = 0;
	for (size_t i = from; i < to; i++) {
		for (enum usage_period p = 0; p < USAGE_PERIODS; p++) {
			if (conf->list[i].most[p] > 0)
				s->standings[i].used[p] = asks[n++].used;
		}
	}
	return NULL;
}

static struct err *look_at_all(struct req *r, const struct conf *conf, struct state *s)
{
	for (size_t i = 0; i < conf->n; i += NAMES_MOST) {
		size_t to = i + NAMES_MOST < conf->n ? i + NAMES_MOST : conf->n;

		PASS(look_at(r, conf, s, i, to));
	}
	return NULL;
}

static double left_of(const struct conf *conf, const struct state *s, size_t i, enum usage_period p)
{
	return conf->list[i].most[p] - (double)s->standings[i].used[p];
}

/* The least that is left of a limit in any window. */
static double least_of(const struct conf *conf, const struct state *s, size_t i)
{
	double least = INFINITY;

	for (enum usage_period p = 0; p < USAGE_PERIODS; p++) {
		if (conf->list[i].most[p] > 0)
			least = fmin(least, left_of(conf, s, i, p));
	}
	return least;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct state *s = req_ctx(r, struct state, &plugin_response_ratelimiting);
	struct err *e;

	s->now_s = clock_wall_s();
	s->standings = NEWS(req_arena(r), struct standing, conf->n);
	s->who = limits_subject(r, conf->limit_by);
	s->who.of_responses = true;
	e = look_at_all(r, conf, s);
	if (e)
		return limits_failed(r, &conf->place, e, conf->fault_tolerant);
	usage_worked(&conf->place);
	for (size_t i = 0; i < conf->n; i++) {
		double least = least_of(conf, s, i);

		if (conf->block_on_first_violation && least <= 0)
			return respond_error(r, 429, "API rate limit exceeded for '" STRF "'",
					     STRV(conf->list[i].name));
		req_set_header(r,
			       str_fmt(req_arena(r), "X-RateLimit-Remaining-" STRF,
				       STRV(conf->list[i].name)),
			       str_num(req_arena(r), least));
	}
	s->is_known = true;
	return NEXT;
}

/* ---- when the answer comes ------------------------------------------------------------------ */

/* "videos=2": what is no number, and names that are no limit, count nothing. */
static void read_cost(const struct conf *conf, struct state *s, str part)
{
	ptrdiff_t at = str_find(part, '=', 0);
	double cost;
	str name;

	if (at < 0 || str_find(part, '=', (size_t)at + 1) >= 0 ||
	    !str_to_num(str_trim(str_from(part, (size_t)at + 1)), &cost))
		return;
	name = str_trim(str_part(part, 0, (size_t)at));
	for (size_t i = 0; i < conf->n; i++) {
		if (str_eq(conf->list[i].name, name))
			s->standings[i].cost = (int64_t)fmin(fmax(cost, -COST_MOST), COST_MOST);
	}
}

static void read_costs(struct req *r, const struct conf *conf, struct state *s)
{
	const struct http_headers *h = reply_headers(r);

	for (unsigned i = 0; i < h->n; i++) {
		str rest = h->v[i].value, part;

		while (str_eq_ci(h->v[i].name, conf->header_name) && str_next(&rest, ',', &part))
			read_cost(conf, s, part);
	}
}

/* All six windows where others may count too, the limited ones here. */
static size_t ask_for(const struct conf *conf, const struct state *s, size_t i,
		      struct usage_ask *asks)
{
	int64_t cost = s->standings[i].cost;
	size_t n = 0;

	for (enum usage_period p = 0; p < USAGE_PERIODS; p++) {
		bool is_limited = conf->list[i].most[p] > 0;

		if (!is_limited && conf->place.policy == USAGE_LOCAL)
			continue;
		asks[n++] = (struct usage_ask){
			.limit = conf->list[i].name,
			.period = p,
			.most = is_limited && cost > 0 ? usage_most(conf->list[i].most[p])
						       : USAGE_NO_LIMIT,
			.by = cost,
		};
	}
	return n;
}

/* Counts what the answer used up; false: something of it was used up before. */
static bool count(struct req *r, const struct conf *conf, struct state *s)
{
	struct usage_ask *asks = NEWS(req_arena(r), struct usage_ask, NAMES_MOST * USAGE_PERIODS);
	size_t *owners = NEWS(req_arena(r), size_t, NAMES_MOST * USAGE_PERIODS);
	size_t n = 0, names = 0;
	bool is_taken = true;
	struct err *e;

	for (size_t i = 0; i < conf->n && names < NAMES_MOST; i++) {
		size_t more;

		if (s->standings[i].cost == 0)
			continue;
		more = ask_for(conf, s, i, asks + n);
		for (size_t k = 0; k < more; k++)
			owners[n + k] = i;
		n += more;
		names++;
	}
	e = usage_take(req_arena(r), &conf->place, &s->who, asks, n, s->now_s, &is_taken);
	if (e) {
		usage_failed(&conf->place, e, "response-ratelimiting lets answers pass uncounted");
		return true;
	}
	for (size_t k = 0; k < n; k++)
		s->standings[owners[k]].used[asks[k].period] = asks[k].used;
	return is_taken;
}

static void tell(struct req *r, const struct conf *conf, const struct state *s)
{
	struct arena *a = req_arena(r);

	for (size_t i = 0; i < conf->n; i++) {
		for (enum usage_period p = 0; p < USAGE_PERIODS; p++) {
			str name = conf->list[i].name;
			const char *window = usage_windows[p].name;
			double left = left_of(conf, s, i, p) - (double)s->standings[i].cost;

			if (!(conf->list[i].most[p] > 0))
				continue;
			reply_set_header(
				r, str_fmt(a, "X-RateLimit-Limit-" STRF "-%s", STRV(name), window),
				str_num(req_arena(r), conf->list[i].most[p]));
			reply_set_header(
				r,
				str_fmt(a, "X-RateLimit-Remaining-" STRF "-%s", STRV(name), window),
				str_num(req_arena(r), fmax(0, left)));
		}
	}
}

static enum verdict on_header_filter(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct state *s = req_ctx(r, struct state, &plugin_response_ratelimiting);
	bool may_pass = true;

	if (s->is_known && reply_is_proxied(r)) {
		read_costs(r, conf, s);
		may_pass = count(r, conf, s);
	}
	if (s->is_known && !conf->hide_client_headers)
		tell(r, conf, s);
	reply_remove_header(r, conf->header_name);
	if (!may_pass) {
		reply_set_status(r, 429);
		reply_drop_body(r);
	}
	return NEXT;
}

const struct plugin plugin_response_ratelimiting = {
	.name = "response-ratelimiting",
	.help = "Limits what responses use up, as they say themselves.",
	.priority = 900,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.checks = checks,
	.protocols = PROTOCOLS_HTTP,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access, [PHASE_HEADER_FILTER] = on_header_filter },
};
