/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of cli share: a command's row, its arguments, and how it speaks. */
#pragma once

#include "base/err.h"
#include "process/process.h"
#include "settings/settings.h"

struct cli_option {
	char letter;          /* 0: only by name */
	const char *name;     /* NULL ends a list */
	const char *argument; /* what its value is called; NULL: a switch */
	const char *help;
};

#define CLI_OPTIONS_MAX 12

struct cli;

struct command {
	const char *name; /* "config parse" is a command of two words; NULL ends the table */
	const char *operands;
	const char *help;
	const struct cli_option *options;
	struct err *(*run)(struct cli *c);
};

enum verbosity { SAY_QUIET, SAY_NORMAL, SAY_VERBOSE, SAY_DEBUG };

struct cli {
	struct arena *a;
	const struct command *command;
	struct setting_pairs values; /* options given: long name and value ("" of a switch) */
	strs operands;
	enum verbosity verbosity;
};

extern const struct command cli_commands[];
extern const struct cli_option cli_common[];

/* An option's value; unset when it was not given. */
str cli_get(const struct cli *c, const char *option);
bool cli_has(const struct cli *c, const char *option);
/* A number of seconds; the option's default when it was not given. */
MUST_CHECK struct err *cli_seconds(const struct cli *c, const char *option, int64_t def,
				   int64_t *ret);

/* On standard output; with a time and a level in front when asked to be verbose. */
void cli_say(const struct cli *c, const char *format, ...) PRINTF(2, 3);
void cli_verbose(const struct cli *c, const char *format, ...) PRINTF(2, 3);
/* On standard error: "2026/11/24 07:01:15 [warn] text". */
void cli_warn(const char *format, ...) PRINTF(1, 2);
void cli_error(const char *format, ...) PRINTF(1, 2);

/* The settings that -c, -p and the environment say. */
MUST_CHECK struct err *cli_settings(struct cli *c, const struct settings *running,
				    struct settings **ret);
/* The prefix of -p, else that of the settings; it must be there. */
MUST_CHECK struct err *cli_prefix(struct cli *c, str *ret);
/* Tells what has no effect, once. */
void cli_notes(const struct settings *s);

/* run.c: the life of a gateway. */
struct err *run_start(struct cli *c);
struct err *run_stop(struct cli *c);
struct err *run_quit(struct cli *c);
struct err *run_restart(struct cli *c);
struct err *run_reload(struct cli *c);
struct err *run_health(struct cli *c);

/* migrations.c; check_migrations: can a gateway run on the database?  Migrates it before,
 * when asked to. */
struct err *run_migrations_bootstrap(struct cli *c);
struct err *run_migrations_up(struct cli *c);
struct err *run_migrations_finish(struct cli *c);
struct err *run_migrations_list(struct cli *c);
struct err *run_migrations_status(struct cli *c);
struct err *run_migrations_reset(struct cli *c);
struct err *run_migrations_enterprise(struct cli *c);
MUST_CHECK struct err *check_migrations(struct cli *c, struct settings *s);

/* tools.c: everything that needs none. */
struct err *run_check(struct cli *c);
struct err *run_prepare(struct cli *c);
struct err *run_version(struct cli *c);
struct err *run_config_init(struct cli *c);
struct err *run_config_parse(struct cli *c);
struct err *run_config_db(struct cli *c) SUSPENDS;
struct err *run_vault_get(struct cli *c);
struct err *run_hybrid_gen_cert(struct cli *c);
struct err *run_print(struct cli *c);
