/* SPDX-License-Identifier: Apache-2.0 */
/* rate-limiting - lets through so many requests per second, minute, ... year.
 *
 * Windows are fixed and begin where the calendar (UTC) has them.  All windows are asked
 * and counted in one step, so that of many requests at once exactly as many pass as the
 * limit says; one that is refused costs nothing in any window.
 *
 * Counters are this process' own (policy local), in one table of a fixed size, named by
 * the route and service that the plugin is configured for, who calls, and the window.
 * The policies cluster and redis are refused by the configuration's check. */
#include <gibbon/plugin.h>

#include <math.h>
#include <time.h>

#define COUNTERS_MOST  ((size_t)1 << 18)
#define IDENTIFIER_MAX 128 /* bytes; of longer ones the digest counts */
#define LIMIT_MAX      ((int64_t)1 << 53)

enum period { SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, PERIODS };

struct conf {
	double limits[PERIODS]; /* NaN: none */
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

static void check_policy(struct arena *a, const struct value *record, struct value *errors);

/* clang-format off */
static const struct {
	const char *name, *shown;
	int64_t seconds; /* as RateLimit-Reset counts */
} periods[PERIODS] = {
	[SECOND] = { "second", "Second", 1 },
	[MINUTE] = { "minute", "Minute", 60 },
	[HOUR]   = { "hour",   "Hour",   3600 },
	[DAY]    = { "day",    "Day",    86400 },
	[MONTH]  = { "month",  "Month",  2592000 },
	[YEAR]   = { "year",   "Year",   31536000 },
};

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
	F_STR(T,  policy,              .def = J("local"), .len_min = LEN_ZERO, .one_of = J(["local", "cluster", "redis"]), .help = "Where counts are kept: local, in this process."),
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
	{ CHECK_CUSTOM, .fields = "config.policy", .fn = check_policy },
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
	for (int i = 0; i < PERIODS; i++) {
		double lower = number(value_get(conf, periods[i].name));

		for (int k = i + 1; lower > 0 && k < PERIODS; k++) {
			double upper = number(value_get(conf, periods[k].name));

			if (upper > 0 && upper < lower)
				return rule_words(a,
						  "The limit for %s(%.1f) cannot be lower than the "
						  "limit for %s(%.1f)",
						  periods[k].name, upper, periods[i].name, lower);
		}
	}
	return NULL;
}

static void check_policy(struct arena *a, const struct value *record, struct value *errors)
{
	const struct value *policy = value_get(value_get(record, "config"), "policy");

	if (!policy || policy->kind != VALUE_STRING)
		return;
	if (str_is(policy->s, "redis"))
		schema_error_at(a, errors, "config.policy",
				"counters in Redis are not supported by this version; use 'local'");
	if (str_is(policy->s, "cluster"))
		schema_error_at(
			a, errors, "config.policy",
			"counters in the database are not supported by this version; use 'local'");
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *c = conf_;
	const double all[PERIODS] = { c->second, c->minute, c->hour, c->day, c->month, c->year };

	(void)a;
	memcpy(c->limits, all, sizeof(all));
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

/* ---- windows ------------------------------------------------------------------------------ */

/* When the window that now is in began, in seconds. */
static int64_t window_start(enum period p, int64_t now_s)
{
	time_t now = now_s;
	struct tm tm;

	if (p < MONTH)
		return now_s - now_s % periods[p].seconds;
	gmtime_r(&now, &tm);
	tm.tm_sec = tm.tm_min = tm.tm_hour = 0;
	tm.tm_mday = 1;
	if (p == YEAR)
		tm.tm_mon = 0;
	return timegm(&tm);
}

/* Months have up to 31 days, years 366: the next one has another name anyway. */
static int64_t window_end(enum period p, int64_t start_s)
{
	return start_s + periods[p].seconds + (p >= MONTH ? 2 * 86400 : 0);
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

/* So that nobody fills the memory with names: long ones stand for themselves by digest. */
static str shortened(struct req *r, str id)
{
	uint8_t digest[32];

	if (id.n <= IDENTIFIER_MAX)
		return id;
	digest_sha256(id, digest);
	return hex_encode(req_arena(r), str_at((const char *)digest, sizeof(digest)));
}

/* ---- access --------------------------------------------------------------------------------- */

struct usage {
	struct tally_ask asks[PERIODS];
	enum period periods[PERIODS];
	int64_t starts[PERIODS]; /* seconds */
	size_t n;
};

/* A limit of 1.5 is passed by the second request, not by the first. */
static int64_t most_of(double limit)
{
	int64_t whole = limit < (double)LIMIT_MAX ? (int64_t)limit : LIMIT_MAX;

	return whole + ((double)whole < limit && whole < LIMIT_MAX);
}

static void ask_for(struct req *r, const struct conf *conf, int64_t now_s, struct usage *u)
{
	static const uuid none;
	const struct plugin_config *of = req_plugin(r);
	str scope = str_fmt(req_arena(r), "ratelimit:" STRF ":" STRF ":" STRF,
			    STRV(uuid_str(req_arena(r), of ? of->route : none)),
			    STRV(uuid_str(req_arena(r), of ? of->service : none)),
			    STRV(shortened(r, identifier(r, conf))));

	for (enum period p = 0; p < PERIODS; p++) {
		if (!(conf->limits[p] > 0))
			continue;
		u->periods[u->n] = p;
		u->starts[u->n] = window_start(p, now_s);
		u->asks[u->n] = (struct tally_ask){
			.name = str_fmt(req_arena(r), STRF ":%lld000:%s", STRV(scope),
					(long long)u->starts[u->n], periods[p].name),
			.ends_ms = window_end(p, u->starts[u->n]) * 1000,
			.most = most_of(conf->limits[p]),
		};
		u->n++;
	}
}

static str number_text(struct req *r, double d)
{
	return str_fmt(req_arena(r), "%.14g", d);
}

static void tell_window(struct req *r, enum period p, double limit, double left)
{
	reply_set_header(r, str_fmt(req_arena(r), "X-RateLimit-Limit-%s", periods[p].shown),
			 number_text(r, limit));
	reply_set_header(r, str_fmt(req_arena(r), "X-RateLimit-Remaining-%s", periods[p].shown),
			 number_text(r, left));
}

/* What is left in each window; the tightest of them, the longer one on a tie. */
static void tell(struct req *r, const struct conf *conf, const struct usage *u, bool is_counted,
		 int64_t now_s)
{
	double least = INFINITY, limit = 0;
	int64_t reset = 0;

	for (size_t i = 0; i < u->n; i++) {
		enum period p = u->periods[i];
		double left = conf->limits[p] - (double)u->asks[i].used - (is_counted ? 1 : 0);

		left = left < 0 ? 0 : left;
		if (left <= least) {
			least = left;
			limit = conf->limits[p];
			reset = periods[p].seconds - (now_s - u->starts[i]);
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

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	int64_t now_ms = clock_wall_ms();
	struct usage u = { .n = 0 };
	bool may_pass;

	ask_for(r, conf, now_ms / 1000, &u);
	may_pass = tally_take(counts, u.asks, u.n, now_ms);
	if (!conf->hide_client_headers)
		tell(r, conf, &u, may_pass, now_ms / 1000);
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
