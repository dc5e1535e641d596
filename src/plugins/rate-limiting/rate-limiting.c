/* SPDX-License-Identifier: Apache-2.0 */
/* rate-limiting - lets through so many requests per second, minute, ... year.
 *
 * Windows are fixed and begin where the calendar (UTC) has them.  All windows are asked
 * and counted in one step, so that of many requests at once exactly as many pass as the
 * limit says; one that is refused costs nothing in any window.
 *
 * Counts are named by the route and service that the plugin is configured for, who
 * calls, and the window.  They are this process' own, or shared by nodes in the database
 * or in Redis (usage/usage.h). */
#include <gibbon/plugin.h>

#include <math.h>

struct conf {
	double limits[USAGE_PERIODS]; /* NaN: none */
	struct usage_place place;
	str limit_by, header_name, path, policy;
	bool fault_tolerant;
	struct redis_rows redis;
	int64_t redis_database;
	bool hide_client_headers;
	double error_code;
	str error_message;
};

/* clang-format off */
#define ANY_WINDOW "config.second, config.minute, config.hour, config.day, config.month, config.year"

#define T struct conf
static const struct field conf_fields[] = {
	F_NUM(T,  limits[USAGE_SECOND], .name = "second", .gt = "0", .help = "Requests per second."),
	F_NUM(T,  limits[USAGE_MINUTE], .name = "minute", .gt = "0", .help = "Requests per minute."),
	F_NUM(T,  limits[USAGE_HOUR],   .name = "hour",   .gt = "0", .help = "Requests per hour."),
	F_NUM(T,  limits[USAGE_DAY],    .name = "day",    .gt = "0", .help = "Requests per day."),
	F_NUM(T,  limits[USAGE_MONTH],  .name = "month",  .gt = "0", .help = "Requests per month."),
	F_NUM(T,  limits[USAGE_YEAR],   .name = "year",   .gt = "0", .help = "Requests per year."),
	F_STR(T,  limit_by,            .def = J("consumer"), .one_of = J(["consumer", "credential", "ip", "service", "header", "path"]), .help = "What has a count of its own; the client's address where it is not there."),
	F_STR(T,  header_name,         .check = rule_header_name, .help = "Header whose values are counted, with limit_by header."),
	F_STR(T,  path,                ROW_PATH, .help = "Path that is counted, with limit_by path."),
	F_STR(T,  policy,              .def = J("local"), .len_min = LEN_ZERO, .one_of = J(["local", "cluster", "redis"]), .help = "Where counts are kept: local, in this process; cluster, in the database; redis, there."),
	F_BOOL(T, fault_tolerant,      .required = true, .def = J(true), .help = "Whether requests pass when counts cannot be kept."),
	ROWS_REDIS(T, redis),
	F_INT(T,  redis_database,      .def = J(0), .help = "Number of its database."),
	F_BOOL(T, hide_client_headers, .required = true, .def = J(false), .help = "Whether replies do not say what is left."),
	F_NUM(T,  error_code,          .def = J(429), .gt = "0", .help = "Status for requests over the limit."),
	F_STR(T,  error_message,       .def = J("API rate limit exceeded"), .help = "Message for them."),
	F_END
};
#undef T

static const struct check checks[] = {
	{ CHECK_AT_LEAST_ONE_OF, .fields = ANY_WINDOW },
	CHECK_OF_REDIS("config.redis_host"),
	CHECK_OF_REDIS("config.redis_port"),
	{ CHECK_CONDITIONAL, .if_field = "config.limit_by", .if_rule = FIELD_RULE(.eq = J("header")), .then_field = "config.header_name", .then_rule = FIELD_RULE(.required = true) },
	{ CHECK_CONDITIONAL, .if_field = "config.limit_by", .if_rule = FIELD_RULE(.eq = J("path")), .then_field = "config.path", .then_rule = FIELD_RULE(.required = true) },
	CHECK_OF_REDIS("config.redis_timeout"),
	{ CHECK_CUSTOM, .fields = "config.policy", .fn = plugins_check_policy },
	CHECK_END
};
/* clang-format on */

/* ---- configuration ---------------------------------------------------------------------- */

static const char *check_order(struct arena *a, const struct value *conf)
{
	return limits_in_order(a, conf, "The");
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *c = conf_;

	c->place = limits_place(a, c->policy, &c->redis,
				c->redis_database == FIELD_UNSET_INT ? 0 : c->redis_database);
	return NULL;
}

/* Who it is that has a count of its own. */
static struct usage_subject subject(struct req *r, const struct conf *conf)
{
	struct usage_subject who = limits_subject(r, conf->limit_by);
	const struct service *s = req_service(r);
	str id = STR_NONE;

	if (str_is(conf->limit_by, "service"))
		id = s ? uuid_str(req_arena(r), s->id) : id;
	else if (str_is(conf->limit_by, "header"))
		id = req_header(r, conf->header_name);
	else if (str_is(conf->limit_by, "path") && str_eq(req_path(r), conf->path))
		id = conf->path;
	if (id.s)
		who.identifier = id;
	return who;
}

/* ---- access --------------------------------------------------------------------------------- */

struct usage {
	struct usage_ask asks[USAGE_PERIODS];
	size_t n;
	int64_t now_s;
};

static struct err *count(struct req *r, const struct conf *conf, struct usage *u, bool *ret_passes)
{
	struct usage_subject who = subject(r, conf);

	for (enum usage_period p = 0; p < USAGE_PERIODS; p++) {
		if (conf->limits[p] > 0)
			u->asks[u->n++] = (struct usage_ask){ .period = p,
							      .most = usage_most(conf->limits[p]),
							      .by = 1 };
	}
	return usage_take(req_arena(r), &conf->place, &who, u->asks, u->n, u->now_s, ret_passes);
}

/* clang-format off */
#define WINDOW_HEADERS(shown) { STR_INIT("X-RateLimit-Limit-" shown), STR_INIT("X-RateLimit-Remaining-" shown) }
static const struct { str limit, remaining; } window_headers[USAGE_PERIODS] = {
	[USAGE_SECOND] = WINDOW_HEADERS("Second"), [USAGE_MINUTE] = WINDOW_HEADERS("Minute"),
	[USAGE_HOUR]   = WINDOW_HEADERS("Hour"),   [USAGE_DAY]    = WINDOW_HEADERS("Day"),
	[USAGE_MONTH]  = WINDOW_HEADERS("Month"),  [USAGE_YEAR]   = WINDOW_HEADERS("Year"),
};
/* clang-format on */

static void tell_number(struct req *r, str name, double d)
{
	reply_set_header(r, name, str_num(req_arena(r), d));
}

/* What is left in each window; the tightest of them, the longer one on a tie. */
static void tell(struct req *r, const struct conf *conf, const struct usage *u, bool is_counted)
{
	double least = INFINITY, limit = 0;
	int64_t reset = 0;

	for (size_t i = 0; i < u->n; i++) {
		enum usage_period p = u->asks[i].period;
		double left = conf->limits[p] - (double)u->asks[i].used - (is_counted ? 1 : 0);

		left = left < 0 ? 0 : left;
		if (left <= least) {
			least = left;
			limit = conf->limits[p];
			reset = usage_windows[p].seconds -
				(u->now_s - usage_window_start(p, u->now_s));
		}
		tell_number(r, window_headers[p].limit, conf->limits[p]);
		tell_number(r, window_headers[p].remaining, left);
	}
	reset = reset < 1 ? 1 : reset; /* the 31st is beyond the month that is counted */
	tell_number(r, STR("RateLimit-Limit"), limit);
	tell_number(r, STR("RateLimit-Remaining"), least);
	tell_number(r, STR("RateLimit-Reset"), (double)reset);
	if (!is_counted)
		tell_number(r, STR("Retry-After"), (double)reset);
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct usage u = { .now_s = clock_wall_s() };
	bool may_pass;
	struct err *e = count(r, conf, &u, &may_pass);

	if (e)
		return limits_failed(r, &conf->place, e, conf->fault_tolerant);
	usage_worked(&conf->place);
	if (!conf->hide_client_headers)
		tell(r, conf, &u, may_pass);
	if (may_pass)
		return NEXT;
	return respond_error(r, status_of_row(conf->error_code, 0), STRF,
			     STRV(conf->error_message));
}

const struct plugin plugin_rate_limiting = {
	.name = "rate-limiting",
	.help = "Lets through so many requests in a time.",
	.priority = 910,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.conf_check = check_order,
	.checks = checks,
	.protocols = PROTOCOLS_HTTP,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access },
};
