/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres/migrations.h"

#include "base/log.h"
#include "base/vec.h"
#include "store/sql/sql.h"

#define LEAST_CORE "016_280_to_300" /* what came before is for Kong itself to migrate */

const char migrations_needs_bootstrap[] =
	"Database needs bootstrapping or is older than Kong 1.0.\n\n"
	"To start a new installation from scratch, run 'kong migrations bootstrap'.\n\n"
	"To migrate from a version older than 1.0, migrated to Kong 1.5.0 first. \n"
	"If you still have 'apis' entities, you can convert them to Routes and Services\n"
	"using the 'kong migrations migrate-apis' command in Kong 1.5.0.\n\n";

static const char not_leader[] = "aborted: another node is performing database changes";

/* clang-format off */
#define NAMES(...) (const char *const[]){ __VA_ARGS__ }, COUNT(((const char *const[]){ __VA_ARGS__ }))

/* Every step that Kong 3.2.2 has with all its plugins. */
static const struct migrated {
	const char *name;
	const char *const *steps;
	size_t n;
	bool has_pending; /* Kong leaves an empty list there, not null */
} subsystems[] = {
	{ "core", NAMES("000_base", "003_100_to_110", "004_110_to_120", "005_120_to_130", "006_130_to_140",
	                "007_140_to_150", "008_150_to_200", "009_200_to_210", "010_210_to_211", "011_212_to_213", "012_213_to_220",
	                "013_220_to_230", "014_230_to_270", "015_270_to_280", "016_280_to_300", "017_300_to_310", "018_310_to_320"), .has_pending = true },
	{ "acl", NAMES("000_base_acl", "002_130_to_140", "003_200_to_210", "004_212_to_213"), .has_pending = true },
	{ "acme", NAMES("000_base_acme", "001_280_to_300") },
	{ "basic-auth", NAMES("000_base_basic_auth", "002_130_to_140", "003_200_to_210"), .has_pending = true },
	{ "bot-detection", NAMES("001_200_to_210"), .has_pending = true },
	{ "hmac-auth", NAMES("000_base_hmac_auth", "002_130_to_140", "003_200_to_210"), .has_pending = true },
	{ "http-log", NAMES("001_280_to_300"), .has_pending = true },
	{ "ip-restriction", NAMES("001_200_to_210"), .has_pending = true },
	{ "jwt", NAMES("000_base_jwt", "002_130_to_140", "003_200_to_210"), .has_pending = true },
	{ "key-auth", NAMES("000_base_key_auth", "002_130_to_140", "003_200_to_210"), .has_pending = true },
	{ "oauth2", NAMES("000_base_oauth2", "003_130_to_140", "004_200_to_210", "005_210_to_211"), .has_pending = true },
	{ "post-function", NAMES("001_280_to_300"), .has_pending = true },
	{ "pre-function", NAMES("001_280_to_300"), .has_pending = true },
	{ "rate-limiting", NAMES("000_base_rate_limiting", "003_10_to_112", "004_200_to_210") },
	{ "response-ratelimiting", NAMES("000_base_response_rate_limiting") },
	{ "session", NAMES("000_base_session", "001_add_ttl_index") },
};
/* clang-format on */

PRINTF(2, 3) static void say(const struct migrations_options *o, const char *format, ...)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	va_list args;

	va_start(args, format);
	o->say(o->arg, str_z(a, str_vfmt(a, format, args)));
	va_end(args);
}

/* ---- a connection for it all ----------------------------------------------------------------- */

static struct err *open_link(const struct migrations_options *o, struct pg_conn **ret)
{
	struct pg_options p = pg_options_of(o->settings, false);

	p.timeout_ms = o->db_timeout_ms;
	return pg_connect(&p, ret);
}

/* ---- the state ---------------------------------------------------------------------------------- */

static void add_step(struct arena *a, struct migrations_list *l, const struct migrated *s,
		     const char *step)
{
	struct migrations_steps *last = l->n ? &l->v[l->n - 1] : NULL;
	const char **names;

	if (!last || strcmp(last->subsystem, s->name) != 0) {
		last = vec_add(a, l);
		*last = (struct migrations_steps){ .subsystem = s->name,
						   .names = NEWS(a, const char *, s->n) };
	}
	names = (const char **)(uintptr_t)last->names;
	names[last->n++] = step;
}

static bool has_name(const str *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (str_is(names[i], name))
			return true;
	}
	return false;
}

/* A row for each step that is noted: subsystem, step, what it is, the last one executed. */
static void sort_steps(struct arena *a, const struct pg_rows *rows, const struct migrated *s,
		       struct migrations_state *ret)
{
	str *executed = NEWS(a, str, rows->n + 1), *pending = NEWS(a, str, rows->n + 1);
	size_t n_executed = 0, n_pending = 0;
	bool is_behind_last = false, is_known = false;
	str last = STR_NONE;

	for (size_t i = 0; i < rows->n; i++) {
		if (!str_is(pg_value(rows, i, 0), s->name))
			continue;
		is_known = true;
		last = pg_value(rows, i, 3);
		if (str_is(pg_value(rows, i, 2), "executed"))
			executed[n_executed++] = pg_value(rows, i, 1);
		else if (pg_value(rows, i, 1).s)
			pending[n_pending++] = pg_value(rows, i, 1);
	}
	for (size_t i = 0; i < s->n; i++) {
		struct migrations_list *to = &ret->new;

		if (has_name(executed, n_executed, s->steps[i]))
			to = &ret->executed;
		else if (has_name(pending, n_pending, s->steps[i]))
			to = &ret->pending;
		else if (is_known && last.s && !is_behind_last)
			to = &ret->missing;
		add_step(a, to, s, s->steps[i]);
		is_behind_last |= str_is(last, s->steps[i]);
	}
}

static struct err *look_with(struct pg_conn *c, struct arena *a, struct migrations_state *ret)
{
	static const char sql[] =
		"SELECT subsystem, unnest(executed), 'executed', last_executed FROM schema_meta"
		" WHERE key = 'schema_meta' UNION ALL "
		"SELECT subsystem, unnest(pending), 'pending', last_executed FROM schema_meta"
		" WHERE key = 'schema_meta'";
	struct pg_rows rows;

	*ret = (struct migrations_state){ 0 };
	PASS(pg_query(c, a, "SELECT to_regclass('schema_meta')", PG_NO_PARAMS, &rows));
	ret->needs_bootstrap = !pg_value(&rows, 0, 0).s;
	if (ret->needs_bootstrap)
		rows.n = 0;
	else
		PASS(pg_query(c, a, sql, PG_NO_PARAMS, &rows));
	for (size_t i = 0; i < COUNT(subsystems); i++)
		sort_steps(a, &rows, &subsystems[i], ret);
	return NULL;
}

struct err *migrations_look(struct arena *a, const struct migrations_options *o,
			    struct migrations_state *ret)
{
	struct pg_conn *c CLEANUP(pg_drop) = NULL;

	PASS(open_link(o, &c));
	return look_with(c, a, ret);
}

struct err *migrations_check(const struct migrations_state *s)
{
	if (s->needs_bootstrap)
		return FAIL(ERR_INVALID, "%s", migrations_needs_bootstrap);
	if (s->new.n)
		return FAIL(ERR_INVALID,
			    "New migrations available; run 'kong migrations up' to proceed");
	return NULL;
}

/* ---- the lock ------------------------------------------------------------------------------------- */

static struct err *take_lock(struct pg_conn *c, const struct migrations_options *o, str owner,
			     bool *ret)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str seconds = str_fmt(a, "%lld", (long long)(o->lock_ms / 1000));
	struct pg_rows rows;

	PASS(pg_query(c, a, "DELETE FROM locks WHERE ttl < CURRENT_TIMESTAMP", PG_NO_PARAMS, NULL));
	PASS(pg_query(c, a,
		      "INSERT INTO locks (key, owner, ttl) VALUES ('migrations', $1,"
		      " CURRENT_TIMESTAMP + $2::int * interval '1 second')"
		      " ON CONFLICT (key) DO NOTHING",
		      PG_PARAMS(owner, seconds), &rows));
	*ret = rows.affected == 1;
	return NULL;
}

static struct err *give_lock(struct pg_conn *c, str owner)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	return pg_query(c, a, "DELETE FROM locks WHERE key = 'migrations' AND owner = $1",
			PG_PARAMS(owner), NULL);
}

/* Until the other node is done. */
static struct err *wait_for_lock(struct pg_conn *c, const struct migrations_options *o)
{
	deadline until = deadline_in(o->lock_ms);
	int64_t step = 100;

	for (;;) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct pg_rows rows;

		PASS(pg_query(c, a,
			      "SELECT 1 FROM locks WHERE key = 'migrations'"
			      " AND ttl >= CURRENT_TIMESTAMP",
			      PG_NO_PARAMS, &rows));
		if (rows.n == 0)
			return NULL;
		if (loop_now_ms() >= until)
			return FAIL(ERR_TIMEOUT, "[PostgreSQL error] timeout");
		if (fiber_sleep(deadline_in(step)) == WAIT_CANCELLED)
			return FAIL(ERR_CANCELLED, "stopped");
		step = step < 700 ? step * 3 : 2000;
	}
}

/* Runs fn while no other node migrates; says so when one does. */
static struct err *alone(struct pg_conn *c, const struct migrations_options *o, bool waits,
			 struct err *(*fn)(struct pg_conn *c, const struct migrations_options *o))
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str owner = uuid_str(a, uuid_random());
	struct err *e, *later;
	bool is_ours;

	PASS(take_lock(c, o, owner, &is_ours));
	if (!is_ours) {
		if (waits)
			PASS(wait_for_lock(c, o));
		say(o, "%s", not_leader);
		return NULL;
	}
	e = fn(c, o);
	if (pg_is_broken(c))
		return e;
	later = give_lock(c, owner);
	return e ? e : later;
}

/* ---- steps ------------------------------------------------------------------------------------------ */

static const char sync_tags[] =
	"CREATE OR REPLACE FUNCTION sync_tags() RETURNS trigger LANGUAGE plpgsql AS $$\n"
	"BEGIN\n"
	"  IF TG_OP = 'TRUNCATE' THEN\n"
	"    DELETE FROM tags WHERE entity_name = TG_TABLE_NAME;\n"
	"    RETURN NULL;\n"
	"  ELSIF TG_OP = 'DELETE' THEN\n"
	"    DELETE FROM tags WHERE entity_id = OLD.id;\n"
	"    RETURN OLD;\n"
	"  END IF;\n"
	"  INSERT INTO tags (entity_id, entity_name, tags)\n"
	"    VALUES (NEW.id, TG_TABLE_NAME, NEW.tags)\n"
	"    ON CONFLICT (entity_id) DO UPDATE SET tags = excluded.tags;\n"
	"  RETURN NEW;\n"
	"END;\n"
	"$$;\n";

/* Columns that a database of an earlier step lacks. */
static void add_columns(struct buf *out, const struct sql_table *t)
{
	for (const struct sql_column *c = t->columns; c->name; c++) {
		buf_addf(out, "ALTER TABLE \"%s\" ADD COLUMN IF NOT EXISTS \"%s\" %s", t->name,
			 c->name, sql_dialect_postgres.types[c->type]);
		if (c->def)
			buf_addf(out, " DEFAULT %s", c->def);
		buf_addf(out, ";\n");
	}
}

static str tables_text(struct arena *a)
{
	struct buf out CLEANUP(buf_done) = { 0 };

	buf_addf(&out, "%s", sync_tags);
	for (const struct sql_table *t = sql_tables; t->name; t++) {
		sql_add_table(&out, &sql_dialect_postgres, t);
		add_columns(&out, t);
	}
	return str_copy(a, buf_str(&out));
}

static struct err *add_first_rows(struct pg_conn *c, struct arena *a)
{
	PASS(pg_query(c, a,
		      "INSERT INTO workspaces (id, name) VALUES ($1, 'default')"
		      " ON CONFLICT (name) DO NOTHING",
		      PG_PARAMS(uuid_str(a, uuid_random())), NULL));
	return pg_query(c, a,
			"INSERT INTO parameters (key, value) VALUES ('cluster_id', $1)"
			" ON CONFLICT (key) DO NOTHING",
			PG_PARAMS(uuid_str(a, uuid_random())), NULL);
}

static const struct migrated *subsystem_of(const char *name)
{
	for (size_t i = 0; i < COUNT(subsystems); i++) {
		if (strcmp(subsystems[i].name, name) == 0)
			return &subsystems[i];
	}
	return NULL;
}

/* Notes a step as executed, as Kong does. */
static struct err *note(struct pg_conn *c, struct arena *a, const char *subsystem, const char *step)
{
	bool has_pending = subsystem_of(subsystem)->has_pending;

	return pg_query(
		c, a,
		"INSERT INTO schema_meta (key, subsystem, last_executed, executed, pending)"
		" VALUES ('schema_meta', $1, $2, ARRAY[$2], $3::text[])"
		" ON CONFLICT (key, subsystem) DO UPDATE SET last_executed = "
		"excluded.last_executed,"
		" executed = array_append(array_remove(COALESCE(schema_meta.executed,"
		" ARRAY[]::text[]), $2), $2),"
		" pending = array_remove(schema_meta.pending, $2)",
		PG_PARAMS(str_of(subsystem), str_of(step), has_pending ? STR("{}") : STR_NONE),
		NULL);
}

struct running {
	const struct migrations_options *options;
	const struct migrations_list *list;
	size_t n;
};

/* All or none of them: the tables as the last step leaves them, then the notes. */
static struct err *run_steps(struct pg_conn *c, void *arg)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct running *r = arg;

	PASS(pg_script(c, str_z(a, tables_text(a))));
	PASS(add_first_rows(c, a));
	for (size_t i = 0; i < r->list->n; i++) {
		const struct migrations_steps *s = &r->list->v[i];

		say(r->options, "migrating %s on database '" STRF "'...", s->subsystem,
		    STRV(r->options->settings->pg_database));
		for (size_t k = 0; k < s->n; k++, r->n++) {
			PASS(note(c, a, s->subsystem, s->names[k]));
			say(r->options, "%s migrated up to: %s (executed)", s->subsystem,
			    s->names[k]);
		}
	}
	return NULL;
}

static struct err *run_list(struct pg_conn *c, const struct migrations_options *o,
			    const struct migrations_list *list)
{
	struct running r = { o, list, 0 };

	PASS(pg_transaction(c, run_steps, &r));
	say(o, "%zu migration%s processed", r.n, r.n > 1 ? "s" : "");
	if (r.n)
		say(o, "%zu executed", r.n);
	return NULL;
}

/* Only a database that Kong has brought to 3.0 or later can be taken further. */
static struct err *check_age(const struct migrations_state *s)
{
	for (size_t i = 0; i < s->new.n; i++) {
		for (size_t k = 0; k < s->new.v[i].n; k++) {
			if (strcmp(s->new.v[i].subsystem, "core") == 0 &&
			    strcmp(s->new.v[i].names[k], LEAST_CORE) <= 0)
				return err_hint(
					FAIL(ERR_INVALID, "the database is of a Kong before 3.0"),
					"Run `kong migrations up` and `kong migrations finish` of "
					"a Kong 3.0 to 3.2 on "
					"it, then go on here.");
		}
	}
	return NULL;
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static struct err *bootstrap_alone(struct pg_conn *c, const struct migrations_options *o)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct migrations_state s;

	PASS(look_with(c, a, &s));
	if (s.new.n)
		PASS(run_list(c, o, &s.new));
	say(o, "Database is up-to-date");
	return NULL;
}

/* schema_meta and locks, which all else is guarded by; two nodes may come at once. */
static struct err *make_ground(struct pg_conn *c, void *arg)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct buf out CLEANUP(buf_done) = { 0 };
	str schema = ((const struct migrations_options *)arg)->settings->pg_schema;

	PASS(pg_query(c, a, "SELECT pg_advisory_xact_lock(7102953218842111853)", PG_NO_PARAMS,
		      NULL));
	if (schema.n) {
		struct pg_rows rows;

		PASS(pg_query(c, a, "SELECT to_regnamespace(quote_ident($1)), quote_ident($1)",
			      PG_PARAMS(schema), &rows));
		if (!pg_value(&rows, 0, 0).s)
			buf_addf(&out, "CREATE SCHEMA " STRF ";", STRV(pg_value(&rows, 0, 1)));
	}
	sql_add_table(&out, &sql_dialect_postgres, sql_table_find("schema_meta"));
	sql_add_table(&out, &sql_dialect_postgres, sql_table_find("locks"));
	return pg_script(c, str_z(a, buf_str(&out)));
}

struct err *migrations_bootstrap(const struct migrations_options *o)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct pg_conn *c CLEANUP(pg_drop) = NULL;
	struct migrations_state s;
	bool ignored;

	if (o->is_forced)
		PASS(migrations_reset(o, &ignored));
	PASS(open_link(o, &c));
	PASS(look_with(c, a, &s));
	if (!s.needs_bootstrap) {
		say(o, "Database already bootstrapped");
		return NULL;
	}
	say(o, "Bootstrapping database...");
	TRY(pg_transaction(c, make_ground, (void *)(uintptr_t)o), "failed to bootstrap database");
	return alone(c, o, false, bootstrap_alone);
}

static struct err *no_database(void)
{
	return FAIL(ERR_INVALID, "Cannot run migrations: %s", migrations_needs_bootstrap);
}

static struct err *up_alone(struct pg_conn *c, const struct migrations_options *o)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct migrations_state s;

	PASS(look_with(c, a, &s));
	if (!o->is_forced && s.pending.n)
		return FAIL(ERR_INVALID,
			    "Database has pending migrations; run 'kong migrations finish'");
	PASS(check_age(&s));
	if (o->is_forced && s.executed.n)
		PASS(run_list(c, o, &s.executed));
	if (s.new.n)
		return run_list(c, o, &s.new);
	if (!o->is_forced)
		say(o, "Database is already up-to-date");
	return NULL;
}

/* fn alone on a database that is there; `waits`: for another node's turn to end. */
static struct err *on_database(const struct migrations_options *o, bool waits,
			       struct err *(*fn)(struct pg_conn *c,
						 const struct migrations_options *o))
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct pg_conn *c CLEANUP(pg_drop) = NULL;
	struct migrations_state s;

	PASS(open_link(o, &c));
	PASS(look_with(c, a, &s));
	if (s.needs_bootstrap)
		return no_database();
	return alone(c, o, waits, fn);
}

struct err *migrations_up(const struct migrations_options *o)
{
	return on_database(o, true, up_alone);
}

static struct err *finish_alone(struct pg_conn *c, const struct migrations_options *o)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct migrations_state s;

	PASS(look_with(c, a, &s));
	if (o->is_forced && s.executed.n)
		PASS(run_list(c, o, &s.executed));
	if (s.pending.n) {
		PASS(check_age(&s));
		return run_list(c, o, &s.pending);
	}
	if (s.new.n)
		say(o, "\nNew migrations available; run 'kong migrations up' to proceed");
	else if (!o->is_forced)
		say(o, "No pending migrations to finish");
	return NULL;
}

struct err *migrations_finish(const struct migrations_options *o)
{
	return on_database(o, false, finish_alone);
}

static struct err *drop_all(struct pg_conn *c, void *arg)
{
	struct buf out CLEANUP(buf_done) = { 0 };
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)arg;
	for (const struct sql_table *t = sql_tables; t->name; t++)
		buf_addf(&out, "DROP TABLE IF EXISTS \"%s\" CASCADE;\n", t->name);
	buf_addf(&out, "DROP FUNCTION IF EXISTS sync_tags() CASCADE;\n");
	return pg_script(c, str_z(a, buf_str(&out)));
}

struct err *migrations_reset(const struct migrations_options *o, bool *ret)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct pg_conn *c CLEANUP(pg_drop) = NULL;
	struct migrations_state s;
	struct pg_rows rows;

	*ret = false;
	PASS(open_link(o, &c));
	PASS(look_with(c, a, &s));
	if (s.needs_bootstrap) {
		say(o, "Database not bootstrapped, nothing to reset");
		return NULL;
	}
	PASS(pg_query(c, a, "SELECT to_regclass('locks')", PG_NO_PARAMS, &rows));
	if (pg_value(&rows, 0, 0).s) {
		PASS(take_lock(c, o, uuid_str(a, uuid_random()), ret));
		if (!*ret) {
			say(o, "%s", not_leader);
			return NULL;
		}
	}
	say(o, "Resetting database...");
	PASS(pg_transaction(c, drop_all, NULL));
	say(o, "Database successfully reset");
	*ret = true;
	return NULL;
}

/* ---- for people ------------------------------------------------------------------------------------------ */

str migrations_text(struct arena *a, const struct migrations_list *l)
{
	struct buf out CLEANUP(buf_done) = { 0 };
	size_t width = 0;

	for (size_t i = 0; i < l->n; i++)
		width = strlen(l->v[i].subsystem) > width ? strlen(l->v[i].subsystem) : width;
	for (size_t i = 0; i < l->n; i++) {
		buf_addf(&out, "%s%*s: ", i ? "\n" : "", (int)width, l->v[i].subsystem);
		for (size_t k = 0; k < l->v[i].n; k++)
			buf_addf(&out, "%s%s", k ? ", " : "", l->v[i].names[k]);
	}
	return str_copy(a, buf_str(&out));
}

static void add_list(struct arena *a, struct value *v, const char *key,
		     const struct migrations_list *l)
{
	struct value *list = value_array(a);

	for (size_t i = 0; i < l->n; i++) {
		const struct migrations_steps *s = &l->v[i];
		struct value *one = value_object(a), *names = value_array(a);
		bool is_core = strcmp(s->subsystem, "core") == 0;

		for (size_t k = 0; k < s->n; k++)
			value_add(a, names, value_text(a, s->names[k]));
		value_set(a, one, STR("subsystem"), value_text(a, s->subsystem));
		value_set(a, one, STR("namespace"),
			  value_str(a, is_core ? STR("kong.db.migrations.core")
					       : str_fmt(a, "kong.plugins.%s.migrations",
							 s->subsystem)));
		value_set(a, one, STR("migrations"), names);
		value_add(a, list, one);
	}
	if (l->n)
		value_set(a, v, str_of(key), list);
}

struct value *migrations_value(struct arena *a, const struct migrations_state *s)
{
	struct value *v = value_object(a);

	add_list(a, v, "executed_migrations", &s->executed);
	add_list(a, v, "pending_migrations", &s->pending);
	add_list(a, v, "missing_migrations", &s->missing);
	add_list(a, v, "new_migrations", &s->new);
	value_set(a, v, STR("needs_bootstrap"), value_bool(a, s->needs_bootstrap));
	return v;
}
