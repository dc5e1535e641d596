/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: limits, and what they are counted in (gibbon/plugin.h). */
#include <gibbon/plugin.h>

#include <math.h>

#define TIMEOUT_MAX 2147483646 /* Kong's */

static int64_t timeout_of(double ms)
{
	return !(ms >= 1) ? 1 : ms > TIMEOUT_MAX ? TIMEOUT_MAX : (int64_t)ms;
}

static struct redis_server *server_of(struct arena *a, const struct redis_rows *rows,
				      int64_t database)
{
	struct redis_server *s = NEW(a, struct redis_server);

	*s = (struct redis_server){
		.host = rows->host,
		.port = (uint16_t)rows->port,
		.ssl = rows->ssl,
		.verify = rows->ssl_verify,
		.server_name = rows->server_name,
		.username = rows->username,
		.password = rows->password,
		.database = database,
		.timeout_ms = timeout_of(rows->timeout),
	};
	return s;
}

struct usage_place limits_place(struct arena *a, str policy, const struct redis_rows *redis,
				int64_t redis_database)
{
	if (str_is(policy, "redis"))
		return (struct usage_place){
			.policy = USAGE_REDIS,
			.redis = server_of(a, redis, redis_database),
			.name = str_fmt(a, "Redis " STRF ":%d", STRV(redis->host),
					(uint16_t)redis->port),
		};
	if (str_is(policy, "cluster"))
		return (struct usage_place){
			.policy = USAGE_CLUSTER,
			.name = STR("counters in the database"),
		};
	return (struct usage_place){ .policy = USAGE_LOCAL, .name = STR("counters") };
}

const char *limits_in_order(struct arena *a, const struct value *limits, const char *the)
{
	for (int i = 0; i < USAGE_PERIODS; i++) {
		double lower = value_num(value_get(limits, usage_windows[i].name));

		for (int k = i + 1; k < USAGE_PERIODS; k++) {
			double upper = value_num(value_get(limits, usage_windows[k].name));

			if (upper < lower)
				return rule_words(a,
						  "%s limit for %s(%.1f) cannot be lower than the "
						  "limit for %s(%.1f)",
						  the, usage_windows[k].name, upper,
						  usage_windows[i].name, lower);
		}
	}
	return NULL;
}

struct usage_subject limits_subject(struct req *r, str limit_by)
{
	const struct plugin_config *of = req_plugin(r);
	const struct consumer *c = req_consumer(r);
	const struct credential *by = req_credential(r);
	struct usage_subject who = { .identifier = req_client_ip(r) };

	if (of) {
		who.route = of->route;
		who.service = of->service;
	}
	if (str_is(limit_by, "consumer") && c)
		who.identifier = uuid_str(req_arena(r), c->id);
	else if ((str_is(limit_by, "consumer") || str_is(limit_by, "credential")) && by && by->id.s)
		who.identifier = by->id;
	return who;
}

enum verdict limits_failed(struct req *r, const struct usage_place *at, const struct err *e,
			   bool may_pass)
{
	const struct plugin_config *of = req_plugin(r);
	str name = of ? of->name : STR("a limit");

	usage_failed(
		at, e,
		str_fmt(req_arena(r), STRF " %s", STRV(name),
			may_pass ? "lets requests pass uncounted" : "answers requests with 500")
			.s);
	return may_pass ? NEXT : respond_message(r, 500, "An unexpected error occurred");
}
