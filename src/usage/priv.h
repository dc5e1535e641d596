/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways of keeping share. */
#pragma once

#include "usage/usage.h"

struct usage_job {
	struct arena *a;
	const struct usage_place *at;
	const struct usage_subject *who;
	struct usage_ask *asks;
	size_t n;
	int64_t now_s;
	bool is_taken; /* out */
};

/* "ratelimit:<route>:<service>:<identifier>:<start in ms>:<period>"; scope is what comes
 * before the start. */
str usage_scope(const struct usage_job *j, str identifier);
str usage_key(const struct usage_job *j, str scope, const struct usage_ask *ask);

/* The identifier; its digest when it is longer than `most` bytes, or no UTF-8 where that is
 * needed. */
str usage_shortened(struct arena *a, str identifier, size_t most, bool needs_utf8);

void usage_sql_start(const struct settings *s);
void usage_sql_stop(void);

MUST_CHECK struct err *usage_redis_take(struct usage_job *j) SUSPENDS;
MUST_CHECK struct err *usage_redis_look(struct usage_job *j) SUSPENDS;
MUST_CHECK struct err *usage_sql_take(struct usage_job *j) SUSPENDS;
MUST_CHECK struct err *usage_sql_look(struct usage_job *j) SUSPENDS;
