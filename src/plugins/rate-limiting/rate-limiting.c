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

#define COUNTERS_MOST ((size_t)1 << 18)

struct conf {
	double limits[USAGE_PERIODS]; /* NaN: none */
	struct usage_place place;
	struct redis_server server;
	double second, minute, hour, day, month, year;
	str limit_by, header_name, path, policy;
	bool fault_tolerant;
	str redis_host, redis_password, redis_username, redis_server_name;
	int64_t redis_port, redis_database;
	bool redis_ssl, redis_ssl_verify;
	double redis_timeout;
	bool hide_client_headers;
	double error_code;
	str error_message;
};

/* clang-format off */
#define ANY_WINDOW "config.second, config.minute, config.hour, config.day, config.month, config.year"

#define T struct conf
static const struct field conf_fields[] = {
	F_NUM(T,  second,              .gt = "0", .help = "Requests per second."),
	F_NUM(T,  minute,              .gt = "0", .help = "Requests per minute."),
	F_NUM(T,  hour,                .gt = "0", .help = "Requests per hour."),
	F_NUM(T,  day,                 .gt = "0", .help = "Requests per day."),
	F_NUM(T,  month,               .gt = "0", .help = "Requests per month."),
	F_NUM(T,  year,                .gt = "0", .help = "Requests per year."),
	F_STR(T,  limit_by,            .def = J("consumer"), .one_of = J(["consumer", "credential", "ip", "service", "header", "path"]), .help = "What has a count of its own; the client's address where it is not there."),
	F_STR(T,  header_name,         .check = rule_header_name, .help = "Header whose values are counted, with limit_by header."),
	F_STR(T,  path,                ROW_PATH, .help = "Path that is counted, with limit_by path."),
	F_STR(T,  policy,              .def = J("local"), .len_min = LEN_ZERO, .one_of = J(["local", "cluster", "redis"]), .help = "Where counts are kept: local, in this process; cluster, in the database; redis, there."),
	F_BOOL(T, fault_tolerant,      .required = true, .def = J(true), .help = "Whether requests pass when counts cannot be kept."),
	F_STR(T,  redis_host,          .check = rule_host, .help = "Redis server, with policy redis."),
	F_INT(T,  redis_port,          .between = J([0, 65535]), .def = J(6379), .help = "Its port."),
	F_STR(T,  redis_password,      .len_min = LEN_ZERO, .is_referenceable = true, .help = "Password for it."),
	F_STR(T,  redis_username,      .is_referenceable = true, .help = "User for it."),
	F_BOOL(T, redis_ssl,           .required = true, .def = J(false), .help = "Whether it is spoken to over TLS."),
	F_BOOL(T, redis_ssl_verify,    .required = true, .def = J(false), .help = "Whether its certificate is verified."),
	F_STR(T,  redis_server_name,   .check = rule_sni, .help = "Name that its certificate must have."),
	F_NUM(T,  redis_timeout,       .def = J(2000), .help = "Milliseconds to wait for it."),
	F_INT(T,  redis_database,      .def = J(0), .help = "Number of its database."),
	F_BOOL(T, hide_client_headers, .required = true, .def = J(false), .help = "Whether replies do not say what is left."),
	F_NUM(T,  error_code,          .def = J(429), .gt = "0", .help = "Status for requests over the limit."),
	F_STR(T,  error_message,       .def = J("API rate limit exceeded"), .help = "Message for them."),
	F_END
};
#undef T

#define POLICY_IS_REDIS .if_field = "config.policy", .if_rule = FIELD_RULE(.eq = J("redis")), .then_rule = FIELD_RULE(.required = true)
static const struct check checks[] = {
	{ CHECK_AT_LEAST_ONE_OF, .fields = ANY_WINDOW },
	{ CHECK_CONDITIONAL, POLICY_IS_REDIS, .then_field = "config.redis_host" },
	{ CHECK_CONDITIONAL, POLICY_IS_REDIS, .then_field = "config.redis_port" },
	{ CHECK_CONDITIONAL, .if_field = "config.limit_by", .if_rule = FIELD_RULE(.eq = J("header")), .then_field = "config.header_name", .then_rule = FIELD_RULE(.required = true) },
	{ CHECK_CONDITIONAL, .if_field = "config.limit_by", .if_rule = FIELD_RULE(.eq = J("path")), .then_field = "config.path", .then_rule = FIELD_RULE(.required = true) },
	{ CHECK_CONDITIONAL, POLICY_IS_REDIS, .then_field = "config.redis_timeout" },
	{ CHECK_CUSTOM, .fields = "config.policy", .fn = plugins_check_policy },
	CHECK_END
};
/* clang-format on */

static struct tally *counts; /* any thread; its own locks */

/* ---- configuration ---------------------------------------------------------------------- */

static double number(const struct value *v)
{
	return v && v->kind == VALUE_INT ? (double)v->i : v && v->kind == VALUE_REAL ? v->real : -1;
}

static const char *check_order(struct arena *a, const struct value *conf)
{
	for (int i = 0; i < USAGE_PERIODS; i++) {
		double lower = number(value_get(conf, usage_windows[i].name));

		for (int k = i + 1; lower > 0 && k < USAGE_PERIODS; k++) {
			double upper = number(value_get(conf, usage_windows[k].name));

			if (upper > 0 && upper < lower)
				return rule_words(a,
						  "The limit for %s(%.1f) cannot be lower than the "
						  "limit for %s(%.1f)",
						  usage_windows[k].name, upper,
						  usage_windows[i].name, lower);
		}
	}
	return NULL;
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *c = conf_;
	const double all[USAGE_PERIODS] = {
		c->second, c->minute, c->hour, c->day, c->month, c->year
	};

	memcpy(c->limits, all, sizeof(all));
	c->server = (struct redis_server){
		.host = c->redis_host,
		.port = (uint16_t)c->redis_port,
		.ssl = c->redis_ssl,
		.verify = c->redis_ssl_verify,
		.server_name = c->redis_server_name,
		.username = plugin_secret(a, c->redis_username),
		.password = plugin_secret(a, c->redis_password),
		.database = c->redis_database == FIELD_UNSET_INT ? 0 : c->redis_database,
		.timeout_ms = redis_timeout_of(c->redis_timeout),
	};
	c->place = (struct usage_place){
		.policy = str_is(c->policy, "redis")     ? USAGE_REDIS
			  : str_is(c->policy, "cluster") ? USAGE_CLUSTER
							 : USAGE_LOCAL,
		.redis = &c->server,
	};
	return NULL;
}

static void start(const struct plugin_node *node)
{
	(void)node;
	counts = tally_new(COUNTERS_MOST);
}

static void stop(void)
{
	tally_drop(&counts);
}

/* Who it is that has a count of its own. */
static str identifier(struct req *r, const struct conf *conf)
{
	const struct service *s = req_service(r);
	const struct consumer *c = req_consumer(r);
	const struct credential *by = req_credential(r);
	str id = STR_NONE;

	if (str_is(conf->limit_by, "service"))
		id = s ? uuid_str(req_arena(r), s->id) : id;
	else if (str_is(conf->limit_by, "consumer"))
		id = c ? uuid_str(req_arena(r), c->id) : by ? by->id : id;
	else if (str_is(conf->limit_by, "credential"))
		id = by ? by->id : id;
	else if (str_is(conf->limit_by, "header"))
		id = req_header(r, conf->header_name);
	else if (str_is(conf->limit_by, "path") && str_eq(req_path(r), conf->path))
		id = conf->path;
	return id.s ? id : req_client_ip(r);
}

/* ---- access --------------------------------------------------------------------------------- */

struct usage {
	struct usage_ask asks[USAGE_PERIODS];
	size_t n;
	int64_t now_s;
};

/* A limit of 1.5 is passed by the second request, not by the first. */
static int64_t most_of(double limit)
{
	int64_t whole = limit < (double)USAGE_NO_LIMIT ? (int64_t)limit : USAGE_NO_LIMIT;

	return whole + ((double)whole < limit && whole < USAGE_NO_LIMIT);
}

static struct err *count(struct req *r, const struct conf *conf, struct usage *u, bool *ret_passes)
{
	const struct plugin_config *of = req_plugin(r);
	struct usage_place at = conf->place;
	struct usage_subject who = { .identifier = identifier(r, conf) };

	if (of) {
		who.route = of->route;
		who.service = of->service;
	}
	for (enum usage_period p = 0; p < USAGE_PERIODS; p++) {
		if (conf->limits[p] > 0)
			u->asks[u->n++] = (struct usage_ask){ .period = p,
							      .most = most_of(conf->limits[p]),
							      .by = 1 };
	}
	at.tally = counts;
	return usage_take(req_arena(r), &at, &who, u->asks, u->n, u->now_s, ret_passes);
}

static str number_text(struct req *r, double d)
{
	return str_fmt(req_arena(r), "%.14g", d);
}

static void tell_window(struct req *r, enum usage_period p, double limit, double left)
{
	const char *shown = usage_windows[p].shown;

	reply_set_header(r, str_fmt(req_arena(r), "X-RateLimit-Limit-%s", shown),
			 number_text(r, limit));
	reply_set_header(r, str_fmt(req_arena(r), "X-RateLimit-Remaining-%s", shown),
			 number_text(r, left));
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
		tell_window(r, p, conf->limits[p], left);
	}
	reset = reset < 1 ? 1 : reset; /* the 31st is beyond the month that is counted */
	reply_set_header(r, STR("RateLimit-Limit"), number_text(r, limit));
	reply_set_header(r, STR("RateLimit-Remaining"), number_text(r, least));
	reply_set_header(r, STR("RateLimit-Reset"), number_text(r, (double)reset));
	if (!is_counted)
		reply_set_header(r, STR("Retry-After"), number_text(r, (double)reset));
}

static enum verdict refuse(struct req *r, const struct conf *conf)
{
	if (!(conf->error_code >= 400 && conf->error_code < 600)) {
		log_error("rate-limiting: error_code %g is no status of an error",
			  conf->error_code);
		return respond_message(r, 500, "An unexpected error occurred");
	}
	return respond_error(r, (int)conf->error_code, STRF, STRV(conf->error_message));
}

static enum verdict not_counted(struct req *r, const struct conf *conf, const struct err *e)
{
	if (e->code != ERR_CANCELLED)
		outage_begins(usage_place_name(req_arena(r), &conf->place), e,
			      conf->fault_tolerant ? "rate-limiting lets requests pass uncounted"
						   : "rate-limiting answers requests with 500");
	err_forget();
	return conf->fault_tolerant ? NEXT
				    : respond_message(r, 500, "An unexpected error occurred");
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct usage u = { .now_s = clock_wall_s() };
	bool may_pass;
	struct err *e = count(r, conf, &u, &may_pass);

	if (e)
		return not_counted(r, conf, e);
	if (conf->place.policy != USAGE_LOCAL)
		outage_ends(usage_place_name(req_arena(r), &conf->place));
	if (!conf->hide_client_headers)
		tell(r, conf, &u, may_pass);
	return may_pass ? NEXT : refuse(r, conf);
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
	.start = start,
	.stop = stop,
	.on = { [PHASE_ACCESS] = on_access },
};
