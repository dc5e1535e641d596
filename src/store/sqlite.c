/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter of SQLite: three connections, one for each use, each behind a lock. */
#include "store/sqlite.h"

#include "base/asked.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "fiber/fiber.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMA_VERSION 1
#define BUSY_MS        5000
#define STATEMENTS_MAX 400 /* kept prepared; the others are prepared each time */

/* The writer last: when it is closed last it folds the log into the file. */
enum lane_kind { LANE_READER, LANE_LOADER, LANE_WRITER, LANES };

static const struct {
	enum lane_kind lane;
	const char *begin;
} uses[SQL_USES] = {
	[SQL_USE_READ] = { LANE_READER, NULL },
	[SQL_USE_REQUEST] = { LANE_READER, NULL },
	[SQL_USE_LOAD] = { LANE_LOADER, "BEGIN" },
	[SQL_USE_WRITE] = { LANE_WRITER, "BEGIN IMMEDIATE" },
	[SQL_USE_ASIDE] = { LANE_WRITER, "BEGIN IMMEDIATE" },
};

struct lane {
	struct sql_link link;
	sqlite3 *handle;
	pthread_mutex_t lock;
	struct arena *arena;
	struct map statements; /* text -> sqlite3_stmt */
};

struct sqlite {
	struct sql_database db;
	char *path;
	struct arena *arena;
	struct lane lanes[LANES];
	int64_t version; /* of the data, as the writer last saw it */
};

static struct lane *lane_of(struct sql_link *l)
{
	return CONTAINER(l, struct lane, link);
}

/* ---- errors -------------------------------------------------------------------------------- */

/* "UNIQUE constraint failed: services.ws_id, services.name" */
static void read_columns(struct arena *a, str message, strs *ret)
{
	ptrdiff_t colon = str_find(message, ':', 0);
	strs names = str_split(a, str_from(message, (size_t)(colon + 1)), ',');

	for (size_t i = 0; i < names.n; i++) {
		ptrdiff_t dot = str_find_last(names.v[i], '.');

		names.v[i] = str_copy(a, str_from(names.v[i], (size_t)(dot + 1)));
	}
	*ret = names;
}

static struct err *fail(struct lane *lane, struct arena *a, struct sql_failure *ret)
{
	int code = sqlite3_extended_errcode(lane->handle);
	const char *words = sqlite3_errmsg(lane->handle);

	if (ret && (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)) {
		ret->fault = SQL_FAULT_UNIQUE;
		read_columns(a, str_of(words), &ret->columns);
	}
	if (ret && code == SQLITE_CONSTRAINT_FOREIGNKEY)
		ret->fault = SQL_FAULT_FOREIGN;
	if ((code & 0xff) == SQLITE_BUSY)
		return err_hint(FAIL(ERR_TIMEOUT, "SQLite: %s", words),
				"Another program holds the database for longer than %d ms.",
				BUSY_MS);
	if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
		return err_hint(FAIL(ERR_SYSTEM, "SQLite: %s", words),
				"Restore the file from a backup, or move it away to begin anew.");
	return FAIL(ERR_SYSTEM, "SQLite: %s", words);
}

/* ---- statements ------------------------------------------------------------------------------ */

static struct err *prepare(struct lane *lane, struct arena *a, str sql, sqlite3_stmt **ret,
			   bool *ret_is_kept)
{
	void **slot;

	*ret = map_find(&lane->statements, sql);
	*ret_is_kept = true;
	if (*ret)
		return NULL;
	*ret_is_kept = lane->statements.n < STATEMENTS_MAX;
	if (sqlite3_prepare_v3(lane->handle, sql.s, (int)sql.n,
			       *ret_is_kept ? SQLITE_PREPARE_PERSISTENT : 0, ret,
			       NULL) != SQLITE_OK)
		return fail(lane, a, NULL);
	if (!*ret_is_kept)
		return NULL;
	slot = map_put(lane->arena, &lane->statements, str_copy(lane->arena, sql));
	*slot = *ret;
	return NULL;
}

struct cells {
	str *v;
	size_t n, cap;
};

static void take_row(struct arena *a, sqlite3_stmt *st, int n, struct cells *cells)
{
	for (int i = 0; i < n; i++) {
		const char *text = (const char *)sqlite3_column_text(st, i);

		*vec_add(a, cells) =
			text ? str_copy(a, str_at(text, (size_t)sqlite3_column_bytes(st, i)))
			     : STR_NONE;
	}
}

static struct err *run_statement(struct lane *lane, struct arena *a, str sql, const str *params,
				 size_t n, struct sql_rows *ret, struct sql_failure *ret_failure)
{
	struct cells cells = { 0 };
	struct err *e = NULL;
	sqlite3_stmt *st;
	bool is_kept;
	int code, columns;

	PASS(prepare(lane, a, sql, &st, &is_kept));
	columns = sqlite3_column_count(st);
	for (size_t i = 0; i < n; i++) {
		if (params[i].s)
			sqlite3_bind_text64(st, (int)i + 1, params[i].s, params[i].n, SQLITE_STATIC,
					    SQLITE_UTF8);
	}
	while ((code = sqlite3_step(st)) == SQLITE_ROW)
		take_row(a, st, columns, &cells);
	if (code != SQLITE_DONE)
		e = fail(lane, a, ret_failure);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (!is_kept)
		sqlite3_finalize(st);
	if (ret)
		*ret = (struct sql_rows){ .n = columns ? cells.n / (size_t)columns : 0,
					  .n_columns = (size_t)columns,
					  .v = cells.v };
	return e;
}

static struct err *query(struct sql_link *l, struct arena *a, str sql, const str *params, size_t n,
			 struct sql_rows *ret, struct sql_failure *ret_failure)
{
	int64_t began_us = asked_begin(l->asked);
	struct err *e = run_statement(lane_of(l), a, sql, params, n, ret, ret_failure);

	asked_database(l->asked, l->dialect->name, sql, began_us, e != NULL);
	return e;
}

static struct err *run_text(struct lane *lane, const char *sql)
{
	if (sqlite3_exec(lane->handle, sql, NULL, NULL, NULL) == SQLITE_OK)
		return NULL;
	return fail(lane, NULL, NULL);
}

static struct err *ask_int(struct lane *lane, struct arena *a, str sql, int64_t *ret)
{
	struct sql_rows rows;

	PASS(query(&lane->link, a, sql, NULL, 0, &rows, NULL));
	if (rows.n == 0 || !str_to_int(sql_cell(&rows, 0, 0), ret))
		return FAIL(ERR_SYSTEM, "SQLite: no number from " STRF, STRV(sql));
	return NULL;
}

/* ---- jobs -------------------------------------------------------------------------------------- */

struct job {
	struct sqlite *s;
	struct arena *a;
	enum sql_use use;
	sql_job_fn *fn;
	void *arg;
	struct asked *asked; /* of the fiber that waits */
	struct err *e;
};

static struct err *run_on(struct lane *lane, const char *begin, sql_job_fn *fn, void *arg)
{
	struct err *e;

	if (!begin)
		return fn(&lane->link, arg);
	PASS(run_text(lane, begin));
	e = fn(&lane->link, arg);
	if (!e)
		e = run_text(lane, "COMMIT");
	if (e && !sqlite3_get_autocommit(lane->handle))
		sqlite3_exec(lane->handle, "ROLLBACK", NULL, NULL, NULL);
	return e;
}

static void run_job(void *p)
{
	struct job *j = p;
	struct lane *lane = &j->s->lanes[uses[j->use].lane];
	struct err *e;

	pthread_mutex_lock(&lane->lock);
	lane->link.asked = j->asked;
	e = run_on(lane, uses[j->use].begin, j->fn, j->arg);
	lane->link.asked = NULL;
	pthread_mutex_unlock(&lane->lock);
	if (!e)
		return;
	j->e = err_keep(j->a, e);
	err_forget();
}

static void run_where_it_may_block(enum sql_use use, void (*fn)(void *), void *arg)
{
	if (!fiber_self())
		fn(arg);
	else if (use == SQL_USE_LOAD)
		offload_long(fn, arg);
	else
		offload(fn, arg);
}

static struct err *run(struct sql_database *db, struct arena *a, enum sql_use use, sql_job_fn *fn,
		       void *arg)
{
	struct job j = { CONTAINER(db, struct sqlite, db), a, use, fn, arg, fiber_asked(), NULL };

	run_where_it_may_block(use, run_job, &j);
	return j.e;
}

/* The number changes with what others commit, not with what the writer itself does. */
static struct err *poll_job(struct sql_link *l, void *arg)
{
	return ask_int(lane_of(l), ((struct job *)arg)->a, STR("PRAGMA data_version"),
		       &((struct job *)arg)->s->version);
}

static void run_poll(void *p)
{
	struct job *j = p;
	struct lane *lane = &j->s->lanes[LANE_WRITER];
	struct err *e;

	pthread_mutex_lock(&lane->lock);
	e = poll_job(&lane->link, j);
	pthread_mutex_unlock(&lane->lock);
	if (!e)
		return;
	j->e = err_keep(j->a, e);
	err_forget();
}

static struct err *poll(struct sql_database *db, struct arena *a, struct sql_events *ret)
{
	static struct sql_event any = { STR_INIT(SQL_INVALIDATIONS), STR_INIT("*") };

	struct job j = { .s = CONTAINER(db, struct sqlite, db), .a = a };
	int64_t before = j.s->version;

	run_where_it_may_block(SQL_USE_READ, run_poll, &j);
	*ret = !j.e && j.s->version != before ? (struct sql_events){ &any, 1, 0 }
					      : (struct sql_events){ 0 };
	return j.e;
}

/* ---- opening ------------------------------------------------------------------------------------- */

static void close_lane(struct lane *lane)
{
	if (!lane->arena)
		return;
	map_for_each (&lane->statements, slot)
		sqlite3_finalize(slot->value);
	sqlite3_close(lane->handle);
	pthread_mutex_destroy(&lane->lock);
	arena_drop(&lane->arena);
}

static void drop(struct sql_database *db)
{
	struct sqlite *s = CONTAINER(db, struct sqlite, db);

	for (int i = 0; i < LANES; i++)
		close_lane(&s->lanes[i]);
	arena_drop(&s->arena);
	mem_free(s);
}

static struct err *open_lane(struct sqlite *s, struct lane *lane)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

	lane->link = (struct sql_link){ .dialect = &sql_dialect_sqlite, .query = query };
	lane->arena = arena_new();
	pthread_mutex_init(&lane->lock, NULL);
	if (sqlite3_open_v2(s->path, &lane->handle, flags, NULL) != SQLITE_OK)
		return fail(lane, NULL, NULL);
	sqlite3_extended_result_codes(lane->handle, 1);
	sqlite3_busy_timeout(lane->handle, BUSY_MS);
	return run_text(lane, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			      "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY");
}

/* Keys are in it: nobody else may read it. */
static struct err *make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_hint(FAIL_ERRNO("cannot open %s", path),
				"Make it and its folder writable for the user that runs the "
				"gateway, or set sqlite_path.");
	close(fd);
	return NULL;
}

/* ---- tables ----------------------------------------------------------------------------------------- */

/* Columns that a program before this one did not know. */
static struct err *add_columns(struct lane *lane, struct arena *a, const struct sql_table *t)
{
	struct sql_rows rows;

	PASS(query(&lane->link, a, str_fmt(a, "SELECT name FROM pragma_table_info('%s')", t->name),
		   NULL, 0, &rows, NULL));
	for (const struct sql_column *c = t->columns; c->name; c++) {
		bool is_there = false;

		for (size_t i = 0; i < rows.n; i++)
			is_there |= str_is(sql_cell(&rows, i, 0), c->name);
		if (is_there)
			continue;
		PASS(run_text(lane, str_fmt(a, "ALTER TABLE \"%s\" ADD COLUMN \"%s\" %s", t->name,
					    c->name, sql_dialect_sqlite.types[c->type])
					    .s));
	}
	return NULL;
}

static struct err *add_first_rows(struct lane *lane, struct arena *a)
{
	const str ids[] = { uuid_str(a, uuid_random()) };

	PASS(query(&lane->link, a,
		   STR("INSERT INTO workspaces (id, name, created_at, meta, config)"
		       " SELECT ?1, 'default', unixepoch(), '{}', '{}'"
		       " WHERE NOT EXISTS (SELECT 1 FROM workspaces WHERE name = 'default')"),
		   ids, 1, NULL, NULL));
	return query(&lane->link, a,
		     STR("INSERT INTO parameters (key, value, created_at)"
			 " VALUES ('cluster_id', ?1, unixepoch()) ON CONFLICT (key) DO NOTHING"),
		     (const str[]){ uuid_str(a, uuid_random()) }, 1, NULL, NULL);
}

static struct err *migrate(struct sql_link *l, void *arg)
{
	struct lane *lane = lane_of(l);
	struct arena *a = arg;
	struct buf sql CLEANUP(buf_done) = { 0 };
	int64_t version;

	PASS(ask_int(lane, a, STR("PRAGMA user_version"), &version));
	if (version > SCHEMA_VERSION)
		return err_hint(FAIL(ERR_INVALID, "the tables are of a later version (%lld)",
				     (long long)version),
				"Run the program that made them, or a later one.");
	if (version == SCHEMA_VERSION)
		return NULL;
	for (const struct sql_table *t = sql_tables; t->name; t++)
		sql_add_table(&sql, &sql_dialect_sqlite, t);
	buf_addf(&sql, "PRAGMA user_version = %d;", SCHEMA_VERSION);
	PASS(run_text(lane, str_z(a, buf_str(&sql))));
	for (const struct sql_table *t = sql_tables; t->name; t++)
		PASS(add_columns(lane, a, t));
	return add_first_rows(lane, a);
}

static struct err *open_all(struct sqlite *s)
{
	struct lane *writer = &s->lanes[LANE_WRITER];

	PASS(make_file(s->path));
	PASS(open_lane(s, writer));
	PASS(run_on(writer, "BEGIN IMMEDIATE", migrate, s->arena));
	PASS(ask_int(writer, s->arena, STR("PRAGMA data_version"), &s->version));
	PASS(open_lane(s, &s->lanes[LANE_READER]));
	return open_lane(s, &s->lanes[LANE_LOADER]);
}

struct opening {
	struct sqlite *s;
	struct err *e;
};

static void open_job(void *p)
{
	struct opening *o = p;
	struct err *e = open_all(o->s);

	if (!e)
		return;
	o->e = err_keep(o->s->arena, e);
	err_forget();
}

struct err *sqlite_open(const char *path, struct sql_database **ret)
{
	struct sqlite *s = MEM_NEW(struct sqlite);
	struct opening o = { .s = s };

	s->db = (struct sql_database){
		.dialect = &sql_dialect_sqlite, .run = run, .poll = poll, .drop = drop
	};
	s->arena = arena_new();
	s->path = str_z(s->arena, str_of(path));
	run_where_it_may_block(SQL_USE_READ, open_job, &o);
	if (o.e) {
		struct err *e = FAIL(o.e->code, "%s: %s", path, err_line(s->arena, o.e).s);

		if (err_root(o.e)->hint)
			e = err_hint(e, "%s", err_root(o.e)->hint);
		drop(&s->db);
		return e;
	}
	*ret = &s->db;
	return NULL;
}
