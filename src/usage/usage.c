/* SPDX-License-Identifier: Apache-2.0 */
#include "usage/usage.h"

#include "base/outage.h"
#include "base/tally.h"
#include "net/tls.h"
#include "usage/priv.h"
#include <time.h>

#define LOCAL_COUNTERS_MAX   ((size_t)1 << 19)
#define LOCAL_IDENTIFIER_MAX 128 /* bytes; of longer ones the digest counts */

_Static_assert(USAGE_ASKS_MAX <= TALLY_ASKS_MAX, "a call fits into one of the tally's");

/* clang-format off */
const struct usage_window usage_windows[USAGE_PERIODS] = {
	[USAGE_SECOND] = { "second", 1 },
	[USAGE_MINUTE] = { "minute", 60 },
	[USAGE_HOUR]   = { "hour",   3600 },
	[USAGE_DAY]    = { "day",    86400 },
	[USAGE_MONTH]  = { "month",  2592000 },
	[USAGE_YEAR]   = { "year",   31536000 },
};
/* clang-format on */

int64_t usage_window_start(enum usage_period p, int64_t now_s)
{
	time_t now = now_s;
	struct tm tm;

	if (p < USAGE_MONTH)
		return now_s - now_s % usage_windows[p].seconds;
	gmtime_r(&now, &tm);
	tm.tm_sec = tm.tm_min = tm.tm_hour = 0;
	tm.tm_mday = 1;
	if (p == USAGE_YEAR)
		tm.tm_mon = 0;
	return timegm(&tm);
}

/* Months have up to 31 days, years 366: the next one has another name anyway. */
static int64_t window_end(enum usage_period p, int64_t start_s)
{
	return start_s + usage_windows[p].seconds + (p >= USAGE_MONTH ? 2 * 86400 : 0);
}

str usage_shortened(struct arena *a, str identifier, size_t most, bool needs_utf8)
{
	uint8_t digest[32];

	if (identifier.n <= most && (!needs_utf8 || (str_to_utf8(a, identifier).s == identifier.s &&
						     str_find(identifier, '\0', 0) < 0)))
		return identifier;
	digest_sha256(identifier, digest);
	return hex_encode(a, str_at((const char *)digest, sizeof(digest)));
}

str usage_scope(const struct usage_job *j, str identifier)
{
	return str_fmt(j->a, "%s:" STRF ":" STRF ":" STRF,
		       j->who->of_responses ? "response-ratelimit" : "ratelimit",
		       STRV(uuid_str(j->a, j->who->route)), STRV(uuid_str(j->a, j->who->service)),
		       STRV(identifier));
}

str usage_key(const struct usage_job *j, str scope, const struct usage_ask *ask)
{
	long long start = usage_window_start(ask->period, j->now_s);

	return str_fmt(j->a, STRF ":%lld000:" STRF "%s%s", STRV(scope), start, STRV(ask->limit),
		       j->who->of_responses ? ":" : "", usage_windows[ask->period].name);
}

/* ---- in this process ----------------------------------------------------------------------- */

static struct tally *counters; /* any thread; its own locks */

/* What a counter is called here, where nobody reads it: this, the limit, the identifier. */
struct local_name {
	uuid route, service;
	int64_t start;
	uint16_t limit_size;
	uint8_t of_responses, period;
} __attribute__((packed));

static str local_name(const struct usage_job *j, str identifier, const struct usage_ask *ask,
		      int64_t start)
{
	struct local_name head = {
		.route = j->who->route,
		.service = j->who->service,
		.start = start,
		.limit_size = (uint16_t)ask->limit.n,
		.of_responses = j->who->of_responses,
		.period = (uint8_t)ask->period,
	};
	str parts[] = { str_at((const char *)&head, sizeof(head)), ask->limit, identifier };

	return str_join(j->a, (strs){ parts, COUNT(parts) }, STR(""));
}

static struct tally_ask *local_asks(const struct usage_job *j)
{
	struct tally_ask *t = NEWS(j->a, struct tally_ask, j->n);
	str identifier = usage_shortened(j->a, j->who->identifier, LOCAL_IDENTIFIER_MAX, false);

	for (size_t i = 0; i < j->n; i++) {
		const struct usage_ask *ask = &j->asks[i];
		int64_t start = usage_window_start(ask->period, j->now_s);

		t[i] = (struct tally_ask){
			.name = local_name(j, identifier, ask, start),
			.ends_ms = window_end(ask->period, start) * 1000,
			.most = ask->most,
			.by = ask->by,
		};
	}
	return t;
}

static void local_take(struct usage_job *j)
{
	struct tally_ask *t = local_asks(j);

	j->is_taken = tally_take(counters, t, j->n, j->now_s * 1000);
	for (size_t i = 0; i < j->n; i++)
		j->asks[i].used = t[i].used;
}

static void local_look(struct usage_job *j)
{
	struct tally_ask *t = local_asks(j);

	for (size_t i = 0; i < j->n; i++)
		j->asks[i].used = tally_get(counters, t[i].name, j->now_s * 1000);
}

/* ---- the door -------------------------------------------------------------------------------- */

void usage_start(const struct settings *s)
{
	counters = tally_new(LOCAL_COUNTERS_MAX);
	usage_sql_start(s);
}

void usage_stop(void)
{
	usage_sql_stop();
	tally_drop(&counters);
}

struct err *usage_take(struct arena *a, const struct usage_place *at,
		       const struct usage_subject *who, struct usage_ask *asks, size_t n,
		       int64_t now_s, bool *ret_taken)
{
	struct usage_job j = { a, at, who, asks, n, now_s, true };

	if (n == 0) {
		*ret_taken = true;
		return NULL;
	}
	if (at->policy == USAGE_LOCAL)
		local_take(&j);
	else if (at->policy == USAGE_REDIS)
		PASS(usage_redis_take(&j));
	else
		PASS(usage_sql_take(&j));
	*ret_taken = j.is_taken;
	return NULL;
}

struct err *usage_look(struct arena *a, const struct usage_place *at,
		       const struct usage_subject *who, struct usage_ask *asks, size_t n,
		       int64_t now_s)
{
	struct usage_job j = { a, at, who, asks, n, now_s, false };

	if (n == 0)
		return NULL;
	if (at->policy == USAGE_REDIS)
		return usage_redis_look(&j);
	if (at->policy == USAGE_CLUSTER)
		return usage_sql_look(&j);
	local_look(&j);
	return NULL;
}

int64_t usage_most(double limit)
{
	int64_t whole = limit < (double)USAGE_NO_LIMIT ? (int64_t)limit : USAGE_NO_LIMIT;

	return whole + ((double)whole < limit && whole < USAGE_NO_LIMIT);
}

void usage_failed(const struct usage_place *at, const struct err *e, const char *meanwhile)
{
	if (e->code != ERR_CANCELLED)
		outage_begins(at->name, e, meanwhile);
	err_forget();
}

void usage_worked(const struct usage_place *at)
{
	if (at->policy != USAGE_LOCAL)
		outage_ends(at->name);
}
