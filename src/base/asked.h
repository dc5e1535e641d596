/* SPDX-License-Identifier: Apache-2.0 */
/* asked - what somebody asked databases and HTTP servers while others waited for it.
 *
 * Whoever wants to know hangs a list on the running fiber (fiber_set_asked()); whatever
 * waits below it adds what it asked.  There is no list nearly always, and then nothing is
 * added.  A list is one fiber's; what waits for another thread lends it there meanwhile. */
#pragma once

#include "base/clock.h"
#include "base/err.h"

enum asked_kind { ASKED_DATABASE, ASKED_HTTP };

struct asked_one {
	struct asked_one *next;
	enum asked_kind kind;
	int64_t began_us, ended_us; /* of clock_mono_us() */
	bool has_failed;
	const char *database;   /* "postgres" */
	str statement;          /* with places where values are bound, never the values */
	str method, url, agent; /* of HTTP; the URL without its user */
	int status;             /* 0: there was no answer */
};

#define ASKED_MAX 100 /* what comes behind them is dropped */

struct asked {
	struct arena *a;
	struct asked_one *first, *last;
	unsigned n;
};

/* When something is about to be asked; `to` may be NULL here and below. */
static inline int64_t asked_begin(const struct asked *to)
{
	return to ? clock_mono_us() : 0;
}

/* It ends now.  database is borrowed. */
void asked_database(struct asked *to, const char *database, str statement, int64_t began_us,
		    bool has_failed);
/* status 0: there was no answer. */
void asked_http(struct asked *to, str method, str url, str agent, int64_t began_us, int status);
