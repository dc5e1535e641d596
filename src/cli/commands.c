/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: what there is to type. */
#include "cli/priv.h"

/* clang-format off */
#define CONF   { 'c', "conf",           "FILE",    "Configuration file." }
#define PREFIX { 'p', "prefix",         "FOLDER",  "Working directory of the gateway." }
#define NGINX  { 0,   "nginx-conf",     "FILE",    "Accepted for compatibility; there is no nginx to configure." }
#define DB     { 0,   "run-migrations", NULL,      "Migrate the database first." }, \
               { 0,   "db-timeout",     "SECONDS", "How long an operation of the database may take (60)." }, \
               { 0,   "lock-timeout",   "SECONDS", "How long to wait for another node's migrations (60)." }
#define END    { 0 }

static const struct cli_option start_options[]    = { CONF, PREFIX, NGINX, DB, END };
static const struct cli_option place_options[]    = { CONF, PREFIX, END };
static const struct cli_option reload_options[]   = { CONF, PREFIX, NGINX, END };
static const struct cli_option conf_options[]     = { CONF, PREFIX, END };
static const struct cli_option migrations_options[] = {
	CONF, PREFIX,
	{ 'q', "quiet",        NULL,      "Say nothing." },
	{ 'f', "force",        NULL,      "Run migrations again that were run already." },
	{ 0,   "db-timeout",   "SECONDS", "How long an operation of the database may take (60)." },
	{ 0,   "lock-timeout", "SECONDS", "How long to wait for another node's migrations (60)." },
	END
};
static const struct cli_option no_options[]       = { END };
static const struct cli_option quit_options[]     = {
	CONF, PREFIX,
	{ 't', "timeout", "SECONDS", "Stop at once when it has not ended by then (10)." },
	{ 'w', "wait",    "SECONDS", "Wait before beginning (0)." },
	END
};
static const struct cli_option version_options[]  = {
	{ 'a', "all", NULL, "Also what the program is made of." },
	END
};
static const struct cli_option gen_cert_options[] = {
	{ 'd', "days", "DAYS", "How long the certificate is valid (1095)." },
	END
};

const struct cli_option cli_common[] = {
	{ 'v', "v",    NULL, "Say more." },
	{ 0,   "vv",   NULL, "Say everything." },
	{ 'y', "yes",  NULL, "Answer yes to questions." },
	{ 'h', "help", NULL, "Show this text." },
	END
};

const struct command cli_commands[] = {
	{ "start",            "",             "Start a gateway.",                                       start_options,    run_start },
	{ "stop",             "",             "Stop a gateway at once.",                                place_options,    run_stop },
	{ "quit",             "",             "Stop a gateway when all requests are served.",           quit_options,     run_quit },
	{ "restart",          "",             "Stop a gateway and start it again.",                     start_options,    run_restart },
	{ "reload",           "",             "Take over a new configuration without losing a request.", reload_options,  run_reload },
	{ "health",           "",             "Say whether a gateway is running.",                      place_options,    run_health },
	{ "check",            "[FILE]",       "Check a configuration file.",                            no_options,       run_check },
	{ "prepare",          "",             "Make the working directory without starting.",           reload_options,   run_prepare },
	{ "version",          "",             "Print the version.",                                     version_options,  run_version },
	{ "config init",      "[FILE]",       "Write an example of a declarative configuration (./kong.yml).", conf_options, run_config_init },
	{ "config parse",     "FILE",         "Check a declarative configuration.",                     conf_options,     run_config_parse },
	{ "config db_import", "FILE",         "Read a declarative configuration into the database.",    conf_options,     run_config_db },
	{ "config db_export", "[FILE]",       "Write the database as a declarative configuration.",     conf_options,     run_config_db },
	{ "migrations bootstrap", "",         "Make the tables of a new database.",                     migrations_options, run_migrations_bootstrap },
	{ "migrations up",    "",             "Run new migrations.",                                    migrations_options, run_migrations_up },
	{ "migrations finish", "",            "Finish what `up` left pending.",                         migrations_options, run_migrations_finish },
	{ "migrations list",  "",             "Show which migrations were run.",                        migrations_options, run_migrations_list },
	{ "migrations status", "",            "The same as JSON.",                                      migrations_options, run_migrations_status },
	{ "migrations reset", "",             "Drop all tables.",                                       migrations_options, run_migrations_reset },
	{ "migrations migrate-community-to-enterprise", "", "Not available.",                           migrations_options, run_migrations_enterprise },
	{ "vault get",        "REFERENCE",    "Print the secret of a reference, env/NAME[/KEY].",       conf_options,     run_vault_get },
	{ "hybrid gen_cert",  "[CERT KEY]",   "Make a certificate for control and data planes.",        gen_cert_options, run_hybrid_gen_cert },
	{ "print",            "sample | reference [settings]", "Print a commented kong.conf, or a page of the reference.", no_options, run_print },
	{ NULL }
};
/* clang-format on */
