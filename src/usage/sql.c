/* SPDX-License-Identifier: Apache-2.0 */
/* Usage in the database.
 *
 * First a look, which is all that a refusal costs.  Then a transaction with a statement
 * for each window, in the order of the asks, which is the same everywhere: each adds
 * unless the limit has been reached meanwhile, and one that has undoes the others. */
#include "net/tls.h"
#include "settings/settings.h"
#include "store/postgres/database.h"
#include "usage/priv.h"

#define IDENTIFIER_MAX 512 /* bytes; of longer ones the digest counts */
#define VALUE_MAX      INT32_MAX
#define TRIES          3

static struct {
	const struct settings *settings; /* with PostgreSQL */
	struct sql_database *_Atomic shared;
} all;

static _Thread_local struct sql_database *own; /* the loop's */

void usage_sql_start(const struct settings *s)
{
	all.settings = s->database_kind == DATABASE_POSTGRES ? s : NULL;
}

void usage_use(struct sql_database *db)
{
	all.shared = db;
}

void usage_sql_stop(void)
{
	all.settings = NULL;
	all.shared = NULL;
}

void usage_leave(void)
{
	struct sql_database *db = TAKE(own);

	if (db)
		db->drop(db);
}

static struct err *database(struct sql_database **ret)
{
	if (!own && all.settings)
		own = postgres_database_new(all.settings);
	*ret = own ? own : all.shared;
	return *ret ? NULL : FAIL(ERR_REFUSED, "there is no database to count in");
}

/* ---- rows --------------------------------------------------------------------------------------- */

struct sql_usage {
	struct usage_job *job;
	const char *table;
	str identifier;
	bool is_full; /* a limit was reached meanwhile */
};

static str number(struct arena *a, int64_t i)
{
	return str_fmt(a, "%lld", (long long)i);
}

static str period_text(const struct usage_job *j, const struct usage_ask *ask)
{
	const char *name = usage_windows[ask->period].name;

	return j->who->of_responses
		       ? usage_shortened(j->a, str_fmt(j->a, STRF "_%s", STRV(ask->limit), name),
					 IDENTIFIER_MAX, true)
		       : str_of(name);
}

/* The placeholder of a parameter, as a column of time is written. */
static str time_at(struct arena *a, const struct sql_dialect *d, int n)
{
	const struct sql_wrap *w = &d->writes[SQL_TIME];

	return str_fmt(a, "%s%c%d%s", w->before ? w->before : "", d->placeholder, n,
		       w->after ? w->after : "");
}

static struct err *add_one(struct sql_usage *u, struct sql_link *l, struct usage_ask *ask)
{
	struct usage_job *j = u->job;
	const struct sql_dialect *d = l->dialect;
	bool has_ttl = !j->who->of_responses;
	int64_t start = usage_window_start(ask->period, j->now_s);
	int64_t by = ask->by < VALUE_MAX ? ask->by : VALUE_MAX, value;
	str ttl = has_ttl ? str_cat(j->a, STR(", "), time_at(j->a, d, 8)) : STR("");
	char p = d->placeholder;
	struct sql_rows rows;
	str sql = str_fmt(j->a,
			  "INSERT INTO \"%s\" (\"identifier\", \"period\", \"period_date\","
			  " \"service_id\", \"route_id\", \"value\"%s)"
			  " VALUES (%c1, %c2, " STRF ", %c4, %c5, %c6" STRF ")"
			  " ON CONFLICT (\"identifier\", \"period\", \"period_date\","
			  " \"service_id\", \"route_id\") DO UPDATE"
			  " SET \"value\" = \"%s\".\"value\" + EXCLUDED.\"value\""
			  " WHERE \"%s\".\"value\" < %c7 RETURNING \"value\"",
			  u->table, has_ttl ? ", \"ttl\"" : "", p, p, STRV(time_at(j->a, d, 3)), p,
			  p, p, STRV(ttl), u->table, u->table, p);
	const str params[] = {
		u->identifier,
		period_text(j, ask),
		number(j->a, start),
		uuid_str(j->a, j->who->service),
		uuid_str(j->a, j->who->route),
		number(j->a, by),
		number(j->a, ask->most < VALUE_MAX ? ask->most : VALUE_MAX),
		number(j->a, j->now_s + usage_windows[ask->period].seconds),
	};

	PASS(l->query(l, j->a, sql, params, has_ttl ? 8 : 7, &rows, NULL));
	u->is_full = rows.n == 0;
	if (u->is_full)
		return FAIL(ERR_CONFLICT, "the limit was reached meanwhile");
	if (!str_to_int(sql_cell(&rows, 0, 0), &value))
		return FAIL(ERR_INTERNAL, "a count is no number");
	ask->used = value - by;
	return NULL;
}

static struct err *add_all(struct sql_link *l, void *arg)
{
	struct sql_usage *u = arg;

	for (size_t i = 0; i < u->job->n; i++)
		PASS(add_one(u, l, &u->job->asks[i]));
	return NULL;
}

/* All windows of all limits in one statement. */
static struct err *look_at_all(struct sql_link *l, void *arg)
{
	struct sql_usage *u = arg;
	struct usage_job *j = u->job;
	struct buf sql CLEANUP(buf_done) = { 0 };
	str *params = NEWS(j->a, str, 3 + 2 * j->n);
	char p = l->dialect->placeholder;
	struct sql_rows rows;

	buf_addf(&sql,
		 "SELECT \"period\", \"value\" FROM \"%s\" WHERE \"identifier\" = %c1"
		 " AND \"service_id\" = %c2 AND \"route_id\" = %c3 AND (",
		 u->table, p, p, p);
	params[0] = u->identifier;
	params[1] = uuid_str(j->a, j->who->service);
	params[2] = uuid_str(j->a, j->who->route);
	for (size_t i = 0; i < j->n; i++) {
		int at = 3 + 2 * (int)i;

		buf_addf(&sql, "%s(\"period\" = %c%d AND \"period_date\" = " STRF ")",
			 i ? " OR " : "", p, at + 1, STRV(time_at(j->a, l->dialect, at + 2)));
		params[at] = period_text(j, &j->asks[i]);
		params[at + 1] = number(j->a, usage_window_start(j->asks[i].period, j->now_s));
	}
	buf_add_char(&sql, ')');
	PASS(l->query(l, j->a, buf_str(&sql), params, 3 + 2 * j->n, &rows, NULL));
	for (size_t i = 0; i < j->n; i++) {
		j->asks[i].used = 0;
		for (size_t k = 0; k < rows.n; k++) {
			if (str_eq(sql_cell(&rows, k, 0), params[3 + 2 * i]))
				str_to_int(sql_cell(&rows, k, 1), &j->asks[i].used);
		}
	}
	return NULL;
}

/* ---- the door ------------------------------------------------------------------------------------- */

static struct sql_usage sql_usage_of(struct usage_job *j)
{
	return (struct sql_usage){
		.job = j,
		.table = j->who->of_responses ? "response_ratelimiting_metrics"
					      : "ratelimiting_metrics",
		.identifier = usage_shortened(j->a, j->who->identifier, IDENTIFIER_MAX, true),
	};
}

struct err *usage_sql_look(struct usage_job *j)
{
	struct sql_usage u = sql_usage_of(j);
	struct sql_database *db;

	PASS(database(&db));
	return db->run(db, j->a, SQL_USE_READ, look_at_all, &u);
}

static bool has_left(const struct usage_job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		if (j->asks[i].used >= j->asks[i].most)
			return false;
	}
	return true;
}

struct err *usage_sql_take(struct usage_job *j)
{
	struct sql_usage u = sql_usage_of(j);
	struct sql_database *db;
	struct err *e = NULL;

	PASS(database(&db));
	for (int i = 0; i < TRIES; i++) {
		PASS(db->run(db, j->a, SQL_USE_READ, look_at_all, &u));
		j->is_taken = has_left(j);
		if (!j->is_taken)
			return NULL;
		u.is_full = false;
		e = db->run(db, j->a, SQL_USE_ASIDE, add_all, &u);
		if (!u.is_full)
			return e;
	}
	j->is_taken = false; /* others were faster each time */
	return NULL;
}

/* ---- cleaning up ------------------------------------------------------------------------------------ */

/* Rows of responses have no end of their own: their window's length is in their name. */
static struct err *sweep_job(struct sql_link *l, void *arg)
{
	struct arena *a = arg;
	const struct sql_dialect *d = l->dialect;
	int64_t now = clock_wall_s();

	PASS(l->query(
		l, a,
		str_fmt(a, "DELETE FROM \"ratelimiting_metrics\" WHERE \"ttl\" <= %s", d->now),
		NULL, 0, NULL, NULL));
	for (int i = 0; i < USAGE_PERIODS; i++) {
		const struct usage_window *w = &usage_windows[i];
		str until = number(a, now - w->seconds - 2 * 86400);

		PASS(l->query(l, a,
			      str_fmt(a,
				      "DELETE FROM \"response_ratelimiting_metrics\""
				      " WHERE \"period\" LIKE '%%\\_%s' ESCAPE '\\'"
				      " AND \"period_date\" < " STRF,
				      w->name, STRV(time_at(a, d, 1))),
			      &until, 1, NULL, NULL));
	}
	return NULL;
}

struct err *usage_sweep(struct sql_database *db, struct arena *a)
{
	return db->run(db, a, SQL_USE_ASIDE, sweep_job, a);
}
