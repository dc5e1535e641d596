/* SPDX-License-Identifier: Apache-2.0 */
/* Statements and their results.
 *
 * A call sends, then takes in whatever comes until libpq says the server is
 * ready again; so a connection is either idle or broken between two calls, and
 * inside a transaction or not, which is the caller's to know. */
#include "store/postgres/priv.h"

#include "base/log.h"
#include <stdlib.h>

#define PARAMS_MAX 65535 /* the protocol's */

/* ---- errors ------------------------------------------------------------------------------- */

/* clang-format off */
static const struct state_code {
	const char *prefix; /* of the SQLSTATE; the first that fits */
	enum err_code code;
} state_codes[] = {
	{ "23",    ERR_CONFLICT },  /* integrity constraints */
	{ "22",    ERR_INVALID },   /* data */
	{ "40",    ERR_CONFLICT },  /* rolled back: serialization, deadlock */
	{ "57014", ERR_TIMEOUT },   /* statement_timeout, or somebody cancelled it */
	{ "55P03", ERR_TIMEOUT },   /* lock_timeout */
	{ "57P",   ERR_REFUSED },   /* shutting down, starting up */
	{ "53",    ERR_REFUSED },   /* out of connections, disk, memory */
	{ "25006", ERR_REFUSED },   /* a replica does not write */
	{ "",      ERR_INTERNAL },
};
/* clang-format on */

static enum err_code code_of(const char *state)
{
	const struct state_code *s = state_codes;

	while (strncmp(state, s->prefix, strlen(s->prefix)) != 0)
		s++;
	return s->code;
}

static str part(struct pg_conn *c, const PGresult *r, int which)
{
	const char *text = PQresultErrorField(r, which);

	return text ? str_copy(c->said, str_of(text)) : STR_NONE;
}

/* What the server said, kept on the connection and as an error. */
static struct err *said_no(struct pg_conn *c, const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY);
	struct pg_failure *f = &c->failure;

	if (!state) { /* libpq's own: the connection is lost */
		c->is_broken = true;
		return pg_connect_error(PQresultErrorMessage(r), c->is_ro);
	}
	snprintf(f->sqlstate, sizeof(f->sqlstate), "%s", state);
	f->message = part(c, r, PG_DIAG_MESSAGE_PRIMARY);
	f->detail = part(c, r, PG_DIAG_MESSAGE_DETAIL);
	f->hint = part(c, r, PG_DIAG_MESSAGE_HINT);
	f->schema = part(c, r, PG_DIAG_SCHEMA_NAME);
	f->table = part(c, r, PG_DIAG_TABLE_NAME);
	f->column = part(c, r, PG_DIAG_COLUMN_NAME);
	f->constraint = part(c, r, PG_DIAG_CONSTRAINT_NAME);
	return err_state(
		FAIL(code_of(state), "%s: " STRF, severity ? severity : "ERROR", STRV(f->message)),
		state);
}

static struct err *lost(struct pg_conn *c)
{
	c->is_broken = true;
	return pg_connect_error(PQerrorMessage(c->libpq), c->is_ro);
}

/* ---- one exchange --------------------------------------------------------------------------- */

static struct err *begin(struct pg_conn *c)
{
	arena_reset(c->said);
	c->failure = (struct pg_failure){ 0 };
	if (pg_is_broken(c))
		return FAIL(ERR_REFUSED, "the connection to PostgreSQL is lost");
	return NULL;
}

/* All of it leaves; the server may have to be heard meanwhile. */
static struct err *flush(struct pg_conn *c)
{
	int left;

	while ((left = PQflush(c->libpq)) == 1) {
		PASS(pg_wait(c, IO_READ | IO_WRITE));
		if (!PQconsumeInput(c->libpq))
			return lost(c);
	}
	return left == 0 ? NULL : lost(c);
}

/* The next result, or NULL at the end of the exchange. */
static struct err *next_result(struct pg_conn *c, PGresult **ret)
{
	while (PQisBusy(c->libpq)) {
		PASS(pg_wait(c, IO_READ));
		if (!PQconsumeInput(c->libpq))
			return lost(c);
	}
	*ret = PQgetResult(c->libpq);
	return NULL;
}

static void result_drop(PGresult **r)
{
	PQclear(*r);
	*r = NULL;
}

static struct err *judge(struct pg_conn *c, const PGresult *r)
{
	switch (PQresultStatus(r)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_EMPTY_QUERY:
		return NULL;
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		c->is_broken = true;
		return FAIL(ERR_INVALID, "COPY is not spoken here");
	default:
		return said_no(c, r);
	}
}

/* Everything that comes back; the last good result and the first error count. */
static struct err *take_all(struct pg_conn *c, PGresult **ret)
{
	PGresult *last CLEANUP(result_drop) = NULL;
	struct err *first = NULL;

	for (;;) {
		PGresult *r CLEANUP(result_drop) = NULL;
		struct err *e = next_result(c, &r);

		if (e)
			return first ? first : e;
		if (!r)
			break;
		e = judge(c, r);
		first = first ? first : e;
		if (c->is_broken)
			return first;
		if (e)
			continue;
		PQclear(last);
		last = TAKE(r);
	}
	if (PQstatus(c->libpq) != CONNECTION_OK)
		c->is_broken = true;
	if (!first)
		*ret = TAKE(last);
	return first;
}

/* ---- the door ----------------------------------------------------------------------------------- */

static void clear_result(void *r)
{
	PQclear(r);
}

static void keep_rows(struct arena *a, PGresult *r, struct pg_rows *ret)
{
	arena_on_end(a, clear_result, r);
	ret->result = r;
	ret->n = (size_t)PQntuples(r);
	ret->n_columns = (size_t)PQnfields(r);
	ret->affected = strtoll(PQcmdTuples(r), NULL, 10);
}

static struct err *send_params(struct pg_conn *c, struct arena *a, const char *sql,
			       const str *params, size_t n)
{
	const char **values = NEWS(a, const char *, n + 1);

	if (n > PARAMS_MAX)
		return FAIL(ERR_INVALID, "%zu values are more than a statement may have", n);
	for (size_t i = 0; i < n; i++) {
		if (params[i].n && memchr(params[i].s, '\0', params[i].n))
			return FAIL(ERR_INVALID, "$%zu: PostgreSQL's text has no zero bytes",
				    i + 1);
		values[i] = params[i].s ? str_z(a, params[i]) : NULL;
	}
	if (!PQsendQueryParams(c->libpq, sql, (int)n, NULL, values, NULL, NULL, 0))
		return lost(c);
	return NULL;
}

struct err *pg_query(struct pg_conn *c, struct arena *a, const char *sql, const str *params,
		     size_t n_params, struct pg_rows *ret)
{
	struct arena *own CLEANUP(arena_drop) = arena_new();
	PGresult *r CLEANUP(result_drop) = NULL;

	PASS(begin(c));
	PASS(send_params(c, own, sql, params, n_params));
	PASS(flush(c));
	PASS(take_all(c, &r));
	if (!r)
		return FAIL(ERR_INTERNAL, "PostgreSQL gave no result");
	if (ret)
		keep_rows(a, TAKE(r), ret);
	return NULL;
}

struct err *pg_script(struct pg_conn *c, const char *sql)
{
	PGresult *r CLEANUP(result_drop) = NULL;

	PASS(begin(c));
	if (!PQsendQuery(c->libpq, sql))
		return lost(c);
	PASS(flush(c));
	return take_all(c, &r);
}

/* COMMIT of a transaction that failed answers ROLLBACK, without an error. */
static struct err *commit(struct pg_conn *c)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct pg_rows rows;

	PASS(pg_query(c, a, "COMMIT", PG_NO_PARAMS, &rows));
	if (strcmp(PQcmdStatus(rows.result), "COMMIT") != 0)
		return FAIL(ERR_CONFLICT, "the transaction was rolled back");
	return NULL;
}

struct err *pg_transaction(struct pg_conn *c, pg_transaction_fn *fn, void *arg)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	PGresult *r CLEANUP(result_drop) = NULL;
	struct err *e;

	PASS(pg_query(c, a, "BEGIN", PG_NO_PARAMS, NULL));
	e = fn(c, arg);
	if (!e)
		return commit(c);
	if (pg_is_broken(c))
		return e;
	/* What the server said of the failure stays; the ROLLBACK has no story. */
	if (!PQsendQuery(c->libpq, "ROLLBACK") || flush(c) || take_all(c, &r))
		c->is_broken = true;
	return e;
}

struct err *pg_wait_notify(struct pg_conn *c, struct arena *a, deadline until, str *ret_channel,
			   str *ret_payload)
{
	PGnotify *n;

	if (pg_is_broken(c))
		return FAIL(ERR_REFUSED, "the connection to PostgreSQL is lost");
	while (!(n = PQnotifies(c->libpq))) {
		struct err *e = pg_wait_until(c, IO_READ, until);

		if (e) {
			c->is_broken |= e->code != ERR_TIMEOUT;
			return e;
		}
		if (!PQconsumeInput(c->libpq) || PQstatus(c->libpq) != CONNECTION_OK)
			return lost(c);
	}
	*ret_channel = str_copy(a, str_of(n->relname));
	*ret_payload = str_copy(a, str_of(n->extra));
	PQfreemem(n);
	return NULL;
}

/* ---- rows --------------------------------------------------------------------------------------- */

str pg_value(const struct pg_rows *r, size_t row, size_t column)
{
	int i = (int)row, k = (int)column;

	if (PQgetisnull(r->result, i, k))
		return STR_NONE;
	return str_at(PQgetvalue(r->result, i, k), (size_t)PQgetlength(r->result, i, k));
}

const char *pg_column(const struct pg_rows *r, size_t column)
{
	return PQfname(r->result, (int)column);
}

int pg_column_find(const struct pg_rows *r, const char *name)
{
	for (size_t i = 0; i < r->n_columns; i++) {
		if (strcmp(PQfname(r->result, (int)i), name) == 0)
			return (int)i;
	}
	return -1;
}
