/* SPDX-License-Identifier: Apache-2.0 */
/* The first question to a database, and asking where no server runs. */
#include "store/postgres/priv.h"

#include "net/dns.h"

/* ---- the probe ------------------------------------------------------------------------- */

static struct err *ask_version(const struct pg_options *o, str *ret, struct arena *a)
{
	struct pg_conn *c CLEANUP(pg_drop) = NULL;
	struct pg_rows rows;

	PASS(pg_connect(o, &c));
	PASS(pg_query(c, a, "SHOW server_version_num", PG_NO_PARAMS, &rows));
	if (rows.n != 1)
		return FAIL(ERR_INTERNAL, "no version in the answer");
	*ret = pg_value(&rows, 0, 0);
	return NULL;
}

/* 90603 is 9.6, 150020 is 15.20. */
static str version_text(struct arena *a, int64_t n)
{
	int64_t major = n / 10000;

	return str_fmt(a, "%lld.%lld", (long long)major,
		       (long long)(major < 10 ? n / 100 % 100 : n % 10000));
}

struct err *pg_probe(const struct pg_options *o)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str text;
	int64_t n;

	TRY(ask_version(o, &text, a),
	    "[PostgreSQL error] failed to retrieve PostgreSQL server_version_num");
	if (!str_to_int(text, &n))
		return FAIL(ERR_INTERNAL,
			    "[PostgreSQL error] failed to retrieve PostgreSQL server_version_num: "
			    "'" STRF "' is no number",
			    STRV(text));
	if (n < PG_VERSION_LEAST)
		return FAIL(ERR_INVALID,
			    "[PostgreSQL error] Kong requires PostgreSQL 9.5 or greater (currently "
			    "using " STRF ")",
			    STRV(version_text(a, n)));
	return NULL;
}

/* ---- alone ------------------------------------------------------------------------------- */

struct errand {
	pg_alone_fn *fn;
	void *arg;
	struct err *e; /* in a */
	struct arena *a;
};

static void run_errand(void *p)
{
	struct errand *it = p;

	it->e = err_keep(it->a, it->fn(it->arg));
	loop_stop(loop_self());
}

struct err *pg_alone(const struct settings *s, pg_alone_fn *fn, void *arg)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct errand it = { .fn = fn, .arg = arg, .a = a };
	struct dns_options names;
	struct loop *l = NULL;

	settings_dns_options(s, &names);
	PASS(loop_new("postgres", 0, &l));
	it.e = dns_start(&names);
	if (!it.e) {
		fiber_start_on(l, "postgres", run_errand, &it);
		loop_run(l);
		dns_stop();
	}
	loop_drop(&l);
	return err_here(it.e); /* the fiber that met it has ended */
}

static struct err *probe_primary(void *options)
{
	return pg_probe(options);
}

struct err *pg_probe_alone(const struct settings *s, int64_t timeout_ms)
{
	struct pg_options o = pg_options_of(s, false);

	o.timeout_ms = timeout_ms;
	return pg_alone(s, probe_primary, &o);
}
