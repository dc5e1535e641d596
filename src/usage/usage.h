/* SPDX-License-Identifier: Apache-2.0 */
/* usage - how much of its limits somebody has used up, window by window.
 *
 *	local    counters of this process (base/tally.h)
 *	cluster  rows of ratelimiting_metrics and response_ratelimiting_metrics
 *	redis    keys ratelimit:... and response-ratelimit:..., each with its expiry
 *
 * Names of rows and keys are Kong's, so that its nodes and ours count together.  Windows
 * begin where the calendar (UTC) has them.
 *
 * Looking and counting are one step wherever that is kept: of many who ask at once, on
 * any number of nodes, as many get something as there is. */
#pragma once

#include "base/uuid.h"
#include "clients/redis.h"

struct settings;
struct sql_database;

enum usage_period {
	USAGE_SECOND,
	USAGE_MINUTE,
	USAGE_HOUR,
	USAGE_DAY,
	USAGE_MONTH,
	USAGE_YEAR,
	USAGE_PERIODS,
};

struct usage_window {
	const char *name; /* "second" */
	int64_t seconds;  /* a month has 30 days here, a year 365 */
};
extern const struct usage_window usage_windows[USAGE_PERIODS];

/* When the window that now is in began. */
int64_t usage_window_start(enum usage_period p, int64_t now_s);

enum usage_policy { USAGE_LOCAL, USAGE_CLUSTER, USAGE_REDIS };

struct usage_place {
	enum usage_policy policy;
	const struct redis_server *redis; /* of USAGE_REDIS */
	str name;                         /* in the log */
};

/* Who uses something up. */
struct usage_subject {
	bool of_responses; /* what responses say they cost, instead of requests */
	uuid route, service;
	str identifier;
};

struct usage_ask {
	str limit; /* its name, of responses */
	enum usage_period period;
	int64_t most; /* nothing is added to what has reached it */
	int64_t by;   /* what is added, at least 1 */
	int64_t used; /* out: before that */
};

#define USAGE_NO_LIMIT ((int64_t)1 << 53)

/* `most` of a limit: one of 1.5 is reached by two, not by one. */
int64_t usage_most(double limit);

#define USAGE_ASKS_MAX 256 /* of one call */

/* Adds to all or to none; *ret_taken says which.  `used` is filled in either way. */
MUST_CHECK struct err *usage_take(struct arena *a, const struct usage_place *at,
				  const struct usage_subject *who, struct usage_ask *asks, size_t n,
				  int64_t now_s, bool *ret_taken) SUSPENDS;

/* Looks alone. */
MUST_CHECK struct err *usage_look(struct arena *a, const struct usage_place *at,
				  const struct usage_subject *who, struct usage_ask *asks, size_t n,
				  int64_t now_s) SUSPENDS;

/* How it went, for whoever looks after it: an outage is told once (base/outage.h), with what
 * is done without counts meanwhile. */
void usage_failed(const struct usage_place *at, const struct err *e, const char *meanwhile);
void usage_worked(const struct usage_place *at);

/* ---- its life ------------------------------------------------------------------------------ */

/* Before the loops run; until usage_stop() this process has counters, none of which is old.
 * With PostgreSQL each loop has connections of its own. */
void usage_start(const struct settings *s);
/* A database whose jobs may come from any thread, until usage_stop(): SQLite's. */
void usage_use(struct sql_database *db);
void usage_leave(void); /* on a loop's thread, when the loop has ended */
void usage_stop(void);

/* Deletes rows of windows that are over. */
MUST_CHECK struct err *usage_sweep(struct sql_database *db, struct arena *a) SUSPENDS;
