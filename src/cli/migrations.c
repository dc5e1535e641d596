/* SPDX-License-Identifier: Apache-2.0 */
/* kong migrations: the tables of a database, in Kong's words and exit codes. */
#include "store/postgres/migrations.h"
#include "base/json.h"
#include "cli/priv.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_NEEDS_BOOTSTRAP = 3, EXIT_PENDING = 4, EXIT_NEW = 5 };

/* One run of one of the commands, on a fiber of its own. */
struct errand {
	struct cli *cli;
	struct migrations_options options;
	struct migrations_state state; /* of list and status */
	struct err *(*fn)(struct errand *g);
	bool was_there; /* of reset */
};

static void say(void *arg, const char *line)
{
	struct cli *c = arg;

	if (!cli_has(c, "quiet"))
		cli_say(c, "%s", line);
}

static struct err *read_options(struct cli *c, struct settings *s, struct migrations_options *ret)
{
	int64_t db, lock;

	PASS(cli_seconds(c, "db-timeout", 60, &db));
	PASS(cli_seconds(c, "lock-timeout", 60, &lock));
	*ret = (struct migrations_options){
		.settings = s,
		.db_timeout_ms = (db > 0 ? db : 60) * 1000,
		.lock_ms = (lock > 0 ? lock : 60) * 1000,
		.is_forced = cli_has(c, "force"),
		.say = say,
		.arg = c,
	};
	return NULL;
}

static struct err *run_it(void *arg)
{
	struct errand *g = arg;

	return g->fn(g);
}

static struct err *run(struct errand *g, struct cli *c, struct err *(*fn)(struct errand *g))
{
	struct settings *s;

	PASS(cli_settings(c, NULL, &s));
	if (s->database_kind == DATABASE_OFF)
		return FAIL(ERR_INVALID, "there is no database to migrate (database = off)");
	if (s->database_kind == DATABASE_SQLITE)
		return err_hint(FAIL(ERR_INVALID, "database = sqlite needs no migrations"),
				"Its tables are made and brought up to date at each start.");
	g->cli = c;
	g->fn = fn;
	PASS(read_options(c, s, &g->options));
	return pg_alone(s, run_it, g);
}

/* ---- looking ---------------------------------------------------------------------------- */

static struct err *look(struct errand *g)
{
	return migrations_look(g->cli->a, &g->options, &g->state);
}

static void leave(int status)
{
	fflush(stdout);
	exit(status);
}

static void say_list(struct cli *c, const char *title, const struct migrations_list *l, bool *first)
{
	if (l->n == 0)
		return;
	say(c,
	    str_fmt(c->a, "%s%s\n" STRF, *first ? "" : "\n", title, STRV(migrations_text(c->a, l)))
		    .s);
	*first = false;
}

struct err *run_migrations_list(struct cli *c)
{
	struct errand g = { 0 };
	bool first = true;

	PASS(run(&g, c, look));
	if (g.state.needs_bootstrap) {
		say(c, migrations_needs_bootstrap);
		leave(EXIT_NEEDS_BOOTSTRAP);
	}
	say_list(c, "Executed migrations:", &g.state.executed, &first);
	say_list(c, "Pending migrations:", &g.state.pending, &first);
	say_list(c, "New migrations available:", &g.state.new, &first);
	if (g.state.pending.n && g.state.new.n && !cli_has(c, "quiet"))
		cli_warn("Database has pending migrations from a previous upgrade, and new "
			 "migrations from this upgrade (version 3.2.2)");
	if (g.state.pending.n) {
		say(c, g.state.new.n ? "\nRun 'kong migrations finish' when ready to complete "
				       "pending migrations (postgres database will be incompatible "
				       "with the previous Kong version)"
				     : "\nRun 'kong migrations finish' when ready");
		leave(EXIT_PENDING);
	}
	if (g.state.new.n) {
		say(c, "\nRun 'kong migrations up' to proceed");
		leave(EXIT_NEW);
	}
	return NULL;
}

struct err *run_migrations_status(struct cli *c)
{
	struct errand g = { 0 };

	PASS(run(&g, c, look));
	say(c, str_z(c->a, json_text(c->a, migrations_value(c->a, &g.state), JSON_COMPACT)));
	return NULL;
}

/* ---- changing -------------------------------------------------------------------------------- */

static struct err *bootstrap(struct errand *g)
{
	return migrations_bootstrap(&g->options);
}

struct err *run_migrations_bootstrap(struct cli *c)
{
	struct errand g = { 0 };

	return run(&g, c, bootstrap);
}

static struct err *up(struct errand *g)
{
	return migrations_up(&g->options);
}

struct err *run_migrations_up(struct cli *c)
{
	struct errand g = { 0 };

	return run(&g, c, up);
}

static struct err *finish(struct errand *g)
{
	return migrations_finish(&g->options);
}

struct err *run_migrations_finish(struct cli *c)
{
	struct errand g = { 0 };

	return run(&g, c, finish);
}

static struct err *reset(struct errand *g)
{
	return migrations_reset(&g->options, &g->was_there);
}

/* Three tries to say yes or no; no answer is no. */
static bool is_sure(void)
{
	char line[16];

	for (int i = 0; i < 3; i++) {
		printf("> Are you sure? This operation is irreversible. [y/n] ");
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return false;
		line[strcspn(line, "\n")] = '\0';
		if (strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0)
			return true;
		if (strcasecmp(line, "n") == 0 || strcasecmp(line, "no") == 0)
			return false;
	}
	return false;
}

struct err *run_migrations_reset(struct cli *c)
{
	struct errand g = { 0 };

	if (!cli_has(c, "yes")) {
		if (!isatty(STDIN_FILENO))
			return FAIL(ERR_INVALID, "not a tty: invoke 'reset' non-interactively with "
						 "the --yes flag");
		PASS(run(&g, c, look));
		if (!g.state.needs_bootstrap && !is_sure()) {
			say(c, "cancelled");
			return NULL;
		}
	}
	PASS(run(&g, c, reset));
	if (!g.was_there)
		leave(1);
	return NULL;
}

struct err *run_migrations_enterprise(struct cli *c)
{
	(void)c;
	return FAIL(ERR_INVALID, "there is no enterprise edition to migrate to");
}

/* ---- before a start ------------------------------------------------------------------------------ */

struct starting {
	struct errand errand;
	bool migrates;
};

static struct err *check(void *arg)
{
	struct starting *g = arg;
	struct errand *it = &g->errand;

	PASS(migrations_look(it->cli->a, &it->options, &it->state));
	if (g->migrates && migrations_check(&it->state)) {
		err_forget();
		PASS(migrations_up(&it->options));
		PASS(migrations_look(it->cli->a, &it->options, &it->state));
	}
	return migrations_check(&it->state);
}

struct err *check_migrations(struct cli *c, struct settings *s)
{
	struct starting g = { .errand.cli = c, .migrates = cli_has(c, "run-migrations") };

	PASS(read_options(c, s, &g.errand.options));
	return pg_alone(s, check, &g);
}
