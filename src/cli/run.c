/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a gateway: start, stop, quit, restart, reload, health. */
#include "base/clock.h"
#include "cli/priv.h"
#include "process/configuration.h"
#include "process/worker.h"
#include "store/postgres/pg.h"
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define STOP_MS   20000 /* the supervisor kills after ten seconds */
#define RELOAD_MS 70000 /* the supervisor gives a worker sixty seconds */

static void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* ---- start --------------------------------------------------------------------------------- */

static const struct cli *starting; /* whose words say_started prints */

static void say_started(void)
{
	cli_say(starting, "Kong started");
}

static void note_unused(const struct cli *c)
{
	if (cli_has(c, "nginx-conf"))
		cli_warn("--nginx-conf: there is no nginx to configure, it has no effect");
}

static struct err *prepare(struct cli *c, struct settings *s)
{
	strs sockets;

	TRY(prefix_prepare(c->a, s), "could not prepare Kong prefix at " STRF, STRV(s->prefix));
	sockets = prefix_remove_sockets(c->a, s);
	for (size_t i = 0; i < sockets.n; i++)
		cli_warn("removed a socket that was left behind: " STRF, STRV(sockets.v[i]));
	return NULL;
}

/* A database that cannot be used is found before anything else is done. */
static struct err *ask_database(struct cli *c, struct settings *s)
{
	int64_t seconds;

	PASS(cli_seconds(c, "db-timeout", 60, &seconds));
	if (s->database_kind != DATABASE_POSTGRES)
		return NULL;
	PASS(pg_probe_alone(s, (seconds > 0 ? seconds : 60) * 1000));
	return check_migrations(c, s);
}

/* Starts what has been loaded and found servable. */
static struct err *start(struct cli *c, struct settings *s)
{
	int64_t ignored;

	PASS(cli_seconds(c, "lock-timeout", 60, &ignored));
	note_unused(c);
	PASS(prepare(c, s));
	cli_notes(s);
	starting = c;
	PASS(process_start(s, worker_main, say_started));
	if (s->is_daemon)
		say_started();
	return NULL;
}

struct err *run_start(struct cli *c)
{
	struct settings *s;

	PASS(cli_settings(c, NULL, &s));
	PASS(ask_database(c, s));
	PASS(settings_servable(s));
	if (process_find(s->prefix))
		return FAIL(ERR_CONFLICT, "Kong is already running in " STRF, STRV(s->prefix));
	return start(c, s);
}

/* ---- stop ----------------------------------------------------------------------------------- */

static struct err *find(str prefix, pid_t *ret)
{
	*ret = process_find(prefix);
	return *ret ? NULL
		    : FAIL(ERR_NOT_FOUND, "nginx not running in prefix: " STRF, STRV(prefix));
}

static struct err *signal_it(struct cli *c, str prefix, int number)
{
	pid_t pid;

	PASS(find(prefix, &pid));
	cli_verbose(c, "sending %s to %ld", strsignal(number), (long)pid);
	return kill(pid, number) < 0 ? FAIL_ERRNO("could not send signal") : NULL;
}

static struct err *stop(struct cli *c, str prefix)
{
	PASS(signal_it(c, prefix, SIGTERM));
	if (!process_wait_gone(prefix, STOP_MS))
		return FAIL(ERR_TIMEOUT, "it was told to stop, but is still there after %d seconds",
			    STOP_MS / 1000);
	return NULL;
}

struct err *run_stop(struct cli *c)
{
	str prefix;

	PASS(cli_prefix(c, &prefix));
	PASS(stop(c, prefix));
	cli_say(c, "Kong stopped");
	return NULL;
}

struct err *run_quit(struct cli *c)
{
	int64_t timeout, wait, until;
	str prefix;

	PASS(cli_seconds(c, "timeout", 10, &timeout));
	PASS(cli_seconds(c, "wait", 0, &wait));
	PASS(cli_prefix(c, &prefix));
	until = clock_mono_ms() + wait * 1000;
	while (clock_mono_ms() < until) {
		pause_ms(100);
		if (!process_find(prefix)) {
			cli_error("Kong stopped while waiting (unexpected)");
			return NULL;
		}
	}
	PASS(signal_it(c, prefix, SIGQUIT));
	if (process_wait_gone(prefix, (int)(timeout < 1 ? 1 : timeout) * 1000)) {
		cli_say(c, "Kong stopped (gracefully)");
		return NULL;
	}
	PASS(stop(c, prefix));
	cli_say(c, "Timeout, Kong stopped forcefully");
	return NULL;
}

/* What cannot be started is found before anything is stopped. */
struct err *run_restart(struct cli *c)
{
	struct settings *s;

	PASS(cli_settings(c, NULL, &s));
	PASS(ask_database(c, s));
	PASS(settings_servable(s));
	PASS(configuration_check(s));
	if (process_find(s->prefix))
		PASS(stop(c, s->prefix));
	return start(c, s);
}

/* ---- reload ------------------------------------------------------------------------------------ */

/* .kong_env stays beside until the new one has proved itself. */
static struct err *hand_over(struct cli *c, struct settings *s)
{
	const char *env = settings_path(c->a, s, ".kong_env").s;
	const char *kept = settings_path(c->a, s, ".kong_env.before").s;
	struct err *e;

	unlink(kept);
	if (link(env, kept) < 0)
		return FAIL_ERRNO("%s", kept);
	e = prefix_prepare(c->a, s);
	if (!e)
		e = process_reload(s->prefix, RELOAD_MS);
	if (e)
		rename(kept, env);
	else
		unlink(kept);
	return e;
}

struct err *run_reload(struct cli *c)
{
	struct settings *running, *s;
	str prefix;
	pid_t pid;

	PASS(cli_prefix(c, &prefix));
	PASS(find(prefix, &pid));
	TRY(settings_read_env(c->a, str_fmt(c->a, STRF "/.kong_env", STRV(prefix)).s, &running),
	    "cannot read what the gateway runs with");
	PASS(cli_settings(c, running, &s));
	if (!str_eq(s->prefix, prefix))
		return FAIL(ERR_INVALID,
			    "the prefix of a running gateway cannot change, it is " STRF,
			    STRV(prefix));
	PASS(settings_servable(s));
	PASS(configuration_check(s));
	note_unused(c);
	cli_notes(s);
	PASS(hand_over(c, s));
	cli_say(c, "Kong reloaded");
	return NULL;
}

/* ---- health -------------------------------------------------------------------------------------- */

struct err *run_health(struct cli *c)
{
	str prefix;
	bool is_running;

	PASS(cli_prefix(c, &prefix));
	if (access(str_fmt(c->a, STRF "/.kong_env", STRV(prefix)).s, F_OK) < 0)
		return FAIL(ERR_NOT_FOUND, "Kong is not running at " STRF, STRV(prefix));
	is_running = process_find(prefix) != 0;
	cli_say(c, "nginx.......%s\n", is_running ? "running" : "not running");
	if (!is_running)
		return FAIL(ERR_NOT_FOUND, "Kong is not running at " STRF, STRV(prefix));
	cli_say(c, "Kong is healthy at " STRF, STRV(prefix));
	return NULL;
}
