/* SPDX-License-Identifier: Apache-2.0 */
/* pg_ask - asks PostgreSQL through Gibbon's own connections, for tests.
 *
 *	pg_ask KONG_CONF            is a reader of commands, one a line, on stdin:
 *
 *	probe                       what `gibbon start` asks first
 *	[ro] query SQL              a statement on a connection of its own
 *	[ro] pool SQL               the same through the pool, repeated when it may be
 *	[ro] stats                  the pool's
 *	bind ["a", null] SQL        a statement with values
 *	script SQL                  several statements
 *	transaction good|bad SQL    the script in a transaction, which then fails or does not
 *	failure SQL                 what the server says of a statement that fails
 *	listen CHANNEL MS SQL       the notification that SQL, on a second connection, leads to
 *	burst N SQL                 N fibers ask through the pool at once
 *	cancel MS SQL               a fiber asks through the pool and is cancelled after MS
 *	setenv NAME VALUE           as if a secret had been replaced
 *
 * Each answer is a JSON object in one line.  With PG_ASK_AS=UID it gives up root
 * once it has read its configuration, as a worker does. */
#include "base/buf.h"
#include "base/json.h"
#include "net/dns.h"
#include "store/postgres/pool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct asking {
	struct pg_options options[2];
	struct pg_pool *pools[2];
	struct arena *a; /* of a command */
};

/* ---- answers -------------------------------------------------------------------------- */

static void put(struct asking *k, struct value *o, const char *name, str text)
{
	value_set(k->a, o, str_of(name), value_str(k->a, str_copy(k->a, text)));
}

static struct value *failed(struct asking *k, const struct err *e)
{
	struct value *o = value_object(k->a);
	const char *hint = NULL, *state = NULL;

	put(k, o, "error", err_line(k->a, e));
	for (; e; e = e->cause) {
		hint = e->hint ? e->hint : hint;
		state = e->state ? e->state : state;
	}
	put(k, o, "hint", str_of(hint ? hint : ""));
	put(k, o, "state", str_of(state ? state : ""));
	return o;
}

static struct value *rows_value(struct asking *k, const struct pg_rows *rows)
{
	struct value *o = value_object(k->a), *list = value_array(k->a);

	for (size_t i = 0; i < rows->n_columns && rows->n; i++) {
		if (pg_column_find(rows, pg_column(rows, i)) < 0)
			put(k, o, "error", STR("a column is not found by its name"));
	}
	for (size_t i = 0; i < rows->n; i++) {
		struct value *row = value_array(k->a);

		for (size_t c = 0; c < rows->n_columns; c++) {
			str v = pg_value(rows, i, c);

			value_add(k->a, row, v.s ? value_str(k->a, v) : value_null(k->a));
		}
		value_add(k->a, list, row);
	}
	value_set(k->a, o, STR("rows"), list);
	if (rows->affected && !rows->n)
		value_set(k->a, o, STR("affected"), value_int(k->a, rows->affected));
	return o;
}

static struct value *answer(struct asking *k, struct err *e, const struct pg_rows *rows)
{
	return e ? failed(k, e) : rows_value(k, rows);
}

/* ---- commands ---------------------------------------------------------------------------- */

static struct value *query(struct asking *k, int side, const char *sql)
{
	struct pg_conn *c CLEANUP(pg_drop) = NULL;
	struct pg_rows rows = { 0 };
	struct err *e = pg_connect(&k->options[side], &c);

	if (!e)
		e = pg_query(c, k->a, sql, PG_NO_PARAMS, &rows);
	return answer(k, e, &rows);
}

static struct value *pooled(struct asking *k, int side, const char *sql)
{
	struct pg_rows rows = { 0 };
	struct err *e = pg_pool_query(k->pools[side], k->a, true, sql, PG_NO_PARAMS, &rows);

	return answer(k, e, &rows);
}

static struct value *stats(struct asking *k, int side)
{
	struct pg_pool_stats s = pg_pool_stats(k->pools[side]);
	struct value *o = value_object(k->a);

	value_set(k->a, o, STR("open"), value_int(k->a, s.open));
	value_set(k->a, o, STR("idle"), value_int(k->a, s.idle));
	value_set(k->a, o, STR("waiting"), value_int(k->a, s.waiting));
	value_set(k->a, o, STR("connects"), value_int(k->a, (int64_t)s.connects));
	value_set(k->a, o, STR("failures"), value_int(k->a, (int64_t)s.failures));
	return o;
}

/* ---- statements of other kinds -------------------------------------------------------------- */

static struct err *with_values(struct asking *k, struct pg_conn *c, const char *given,
			       struct pg_rows *ret)
{
	const char *end = strchr(given, ']');
	str params[16];
	struct value *list;

	if (!end)
		return FAIL(ERR_INVALID, "no array of values");
	PASS(json_parse(k->a, str_at(given, (size_t)(end + 1 - given)), &list));
	for (size_t i = 0; i < list->n && i < COUNT(params); i++)
		params[i] = list->items[i]->kind == VALUE_STRING ? list->items[i]->s : STR_NONE;
	return pg_query(c, k->a, end + 1, params, list->n, ret);
}

struct part {
	const char *sql;
	bool is_bad;
};

static struct err *part(struct pg_conn *c, void *arg)
{
	const struct part *it = arg;

	PASS(pg_script(c, it->sql));
	return it->is_bad ? FAIL(ERR_INVALID, "the caller gives up") : NULL;
}

static struct err *transaction(struct pg_conn *c, const char *given)
{
	bool is_bad = strncmp(given, "bad ", 4) == 0;
	struct part it = { .sql = given + (is_bad ? 4 : 5), .is_bad = is_bad };

	return pg_transaction(c, part, &it);
}

static struct value *failure(struct asking *k, struct pg_conn *c, const char *sql)
{
	struct err *e = pg_query(c, k->a, sql, PG_NO_PARAMS, NULL);
	const struct pg_failure *f = pg_failure(c);
	struct value *o = e ? failed(k, e) : value_object(k->a);

	put(k, o, "sqlstate", str_of(f->sqlstate));
	put(k, o, "message", f->message);
	put(k, o, "detail", f->detail);
	put(k, o, "table", f->table);
	put(k, o, "column", f->column);
	put(k, o, "constraint", f->constraint);
	return o;
}

static struct value *heard(struct asking *k, struct pg_conn *c, char *given)
{
	struct pg_conn *other CLEANUP(pg_drop) = NULL;
	struct value *o = value_object(k->a);
	char *ms = strchr(given, ' '), *sql;
	str channel, payload;
	struct err *e;

	*ms++ = '\0';
	deadline until = deadline_in(strtol(ms, &sql, 10));

	e = pg_query(c, k->a, str_fmt(k->a, "LISTEN %s", given).s, PG_NO_PARAMS, NULL);
	if (!e)
		e = pg_connect(&k->options[0], &other);
	if (!e)
		e = pg_query(other, k->a, sql, PG_NO_PARAMS, NULL);
	if (!e)
		e = pg_wait_notify(c, k->a, until, &channel, &payload);
	if (e && pg_is_broken(c))
		return failed(k, FAIL(ERR_INTERNAL, "the connection broke"));
	if (e)
		return failed(k, e);
	put(k, o, "channel", channel);
	put(k, o, "payload", payload);
	return o;
}

/* Commands that need a connection of their own. */
static struct value *on_connection(struct asking *k, char *line)
{
	struct pg_conn *c CLEANUP(pg_drop) = NULL;
	struct pg_rows rows = { 0 };
	struct err *e = pg_connect(&k->options[0], &c);

	if (e)
		return failed(k, e);
	if (strncmp(line, "failure ", 8) == 0)
		return failure(k, c, line + 8);
	if (strncmp(line, "listen ", 7) == 0)
		return heard(k, c, line + 7);
	if (strncmp(line, "bind ", 5) == 0)
		return answer(k, with_values(k, c, line + 5, &rows), &rows);
	if (strncmp(line, "script ", 7) == 0)
		return answer(k, pg_script(c, line + 7), &rows);
	if (strncmp(line, "transaction ", 12) == 0)
		return answer(k, transaction(c, line + 12), &rows);
	return failed(k, FAIL(ERR_INVALID, "no such command: %s", line));
}

/* ---- many at once ------------------------------------------------------------------------------ */

struct burst {
	struct asking *k;
	const char *sql;
	int left;
	struct value *errors;
	struct gate done;
};

static void burst_one(void *p)
{
	struct burst *b = p;
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct err *e = pg_pool_query(b->k->pools[0], a, true, b->sql, PG_NO_PARAMS, NULL);

	if (e)
		value_add(b->k->a, b->errors, value_str(b->k->a, err_line(b->k->a, e)));
	if (--b->left == 0)
		gate_wake_all(&b->done);
}

static struct value *burst(struct asking *k, const char *given)
{
	char *sql;
	struct burst b = { .k = k, .left = (int)strtol(given, &sql, 10) };
	struct value *o = value_object(k->a);
	int n = b.left;

	b.sql = sql;
	b.errors = value_array(k->a);
	gate_init(&b.done);
	for (int i = 0; i < n; i++)
		fiber_start("burst", burst_one, &b);
	while (b.left > 0 && gate_wait(&b.done, deadline_in(60000)) == WAIT_OK)
		;
	value_set(k->a, o, STR("errors"), b.errors);
	return o;
}

/* The fiber's error lives in an arena of its own. */
struct cancelled {
	struct asking *k;
	const char *sql;
	struct err *e;
	bool is_over;
	struct gate done;
};

static void ask_until_cancelled(void *p)
{
	struct cancelled *it = p;
	struct arena *a CLEANUP(arena_drop) = arena_new();

	it->e = err_keep(it->k->a,
			 pg_pool_query(it->k->pools[0], a, true, it->sql, PG_NO_PARAMS, NULL));
	it->is_over = true;
	gate_wake_all(&it->done);
}

static struct value *cancel(struct asking *k, const char *given)
{
	char *sql;
	long ms = strtol(given, &sql, 10);
	struct cancelled it = { .k = k, .sql = sql };
	struct fiber *f;

	gate_init(&it.done);
	f = fiber_start("cancelled", ask_until_cancelled, &it);
	if (gate_wait(&it.done, deadline_in(ms)) == WAIT_TIMEOUT)
		fiber_cancel(f);
	while (!it.is_over && gate_wait(&it.done, deadline_in(60000)) == WAIT_OK)
		;
	return it.e ? failed(k, it.e) : value_object(k->a);
}

static struct value *probe(struct asking *k)
{
	struct err *e = pg_probe(&k->options[0]);

	return e ? failed(k, e) : value_object(k->a);
}

static struct value *obey(struct asking *k, char *line)
{
	int side = strncmp(line, "ro ", 3) == 0;

	line += side ? 3 : 0;
	if (strcmp(line, "probe") == 0)
		return probe(k);
	if (strncmp(line, "query ", 6) == 0)
		return query(k, side, line + 6);
	if (strncmp(line, "pool ", 5) == 0)
		return pooled(k, side, line + 5);
	if (strcmp(line, "stats") == 0)
		return stats(k, side);
	if (strncmp(line, "burst ", 6) == 0)
		return burst(k, line + 6);
	if (strncmp(line, "cancel ", 7) == 0)
		return cancel(k, line + 7);
	if (strncmp(line, "setenv ", 7) == 0) {
		char *value = strchr(line + 7, ' ');

		*value = '\0';
		setenv(line + 7, value + 1, 1);
		return value_object(k->a);
	}
	return on_connection(k, line);
}

/* ---- the reader ------------------------------------------------------------------------------ */

/* The next line of stdin; false at its end. */
static bool next_line(struct io *io, struct buf *in, char *line, size_t size)
{
	for (;;) {
		str have = buf_str(in);
		ptrdiff_t end = str_find(have, '\n', 0);
		char some[4096];
		ssize_t n;

		if (end >= 0 && (size_t)end < size) {
			memcpy(line, have.s, (size_t)end);
			line[end] = '\0';
			buf_cut_front(in, (size_t)end + 1);
			return true;
		}
		n = read(STDIN_FILENO, some, sizeof(some));
		if (n > 0) {
			buf_add(in, some, (size_t)n);
			continue;
		}
		if (n == 0 || errno != EAGAIN)
			return false;
		io_clear(io, IO_READ);
		if (io_wait(io, IO_READ, DEADLINE_NEVER) != WAIT_OK)
			return false;
	}
}

static void say(struct asking *k, const struct value *v)
{
	struct buf out CLEANUP(buf_done);

	buf_init(&out, (size_t)1 << 26);
	json_write(&out, v, 0);
	buf_add_char(&out, '\n');
	fwrite(buf_str(&out).s, 1, buf_str(&out).n, stdout);
	fflush(stdout);
	arena_reset(k->a);
	err_forget();
}

static struct err *serve(void *p)
{
	struct asking *k = p;
	struct buf in CLEANUP(buf_done);
	struct io io;
	char line[8192];

	for (int side = 0; side < 2; side++)
		k->pools[side] = pg_pool_new(&k->options[side]);
	buf_init(&in, sizeof(line));
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	io_init(&io, STDIN_FILENO);
	while (next_line(&io, &in, line, sizeof(line))) {
		say(k, obey(k, line));
	}
	io_done(&io);
	for (int side = 0; side < 2; side++)
		pg_pool_drop(&k->pools[side]);
	return NULL;
}

int main(int argc, char **argv)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct settings_sources src = { .file = str_of(argc > 1 ? argv[1] : NULL),
					.environ_ = environ };
	struct arena *own CLEANUP(arena_drop) = arena_new();
	struct asking k = { .a = own };
	struct settings *s;
	struct err *e = settings_load(a, &src, &s);

	for (const struct err *one = e; one; one = one->next)
		say(&k, failed(&k, one));
	if (e)
		return 1;
	log_set_level(s->log_level_kind);
	if (getenv("PG_ASK_AS") && setuid((uid_t)strtol(getenv("PG_ASK_AS"), NULL, 10)) < 0)
		return 1;
	k.options[0] = pg_options_of(s, false);
	k.options[1] = pg_options_of(s, true);
	e = pg_alone(s, serve, &k);
	return e ? 1 : 0;
}
