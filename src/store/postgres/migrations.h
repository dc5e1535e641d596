/* SPDX-License-Identifier: Apache-2.0 */
/* migrations - which steps of the tables a database has seen, and making the others.
 *
 * The steps carry Kong 3.2.2's names and are noted in schema_meta as Kong notes them,
 * so that either program finds a database of the other up to date.  What they end in
 * is the catalogue (store/sql/catalogue.h).  One node at a time: the row
 * `migrations` of the table locks.
 *
 * All calls are for a fiber; say() is called with lines for people. */
#pragma once

#include "settings/settings.h"
#include "store/postgres/pg.h"

struct migrations_steps { /* of one subsystem */
	const char *subsystem;
	const char *const *names; /* n of them */
	size_t n;
};

struct migrations_list {
	struct migrations_steps *v;
	size_t n, cap;
};

struct migrations_state {
	bool needs_bootstrap;
	struct migrations_list executed, pending, new, missing;
};

typedef void migrations_say_fn(void *arg, const char *line);

struct migrations_options {
	const struct settings *settings;
	int64_t db_timeout_ms, lock_ms;
	bool is_forced;
	migrations_say_fn *say;
	void *arg;
};

MUST_CHECK struct err *migrations_look(struct arena *a, const struct migrations_options *o,
				       struct migrations_state *ret) SUSPENDS;
/* NULL when a gateway can run on the database; else what to do, in Kong's words. */
MUST_CHECK struct err *migrations_check(const struct migrations_state *s);

MUST_CHECK struct err *migrations_bootstrap(const struct migrations_options *o) SUSPENDS;
MUST_CHECK struct err *migrations_up(const struct migrations_options *o) SUSPENDS;
MUST_CHECK struct err *migrations_finish(const struct migrations_options *o) SUSPENDS;
/* *ret: it was there, and is gone. */
MUST_CHECK struct err *migrations_reset(const struct migrations_options *o, bool *ret) SUSPENDS;

/* "core: 000_base, 003_100_to_110" a line, the names of subsystems to the right. */
str migrations_text(struct arena *a, const struct migrations_list *l);
/* What `status` prints: the lists that are not empty, as Kong's JSON. */
struct value *migrations_value(struct arena *a, const struct migrations_state *s);

extern const char migrations_needs_bootstrap[];
