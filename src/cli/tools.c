/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that need no running gateway: checks, files, pages. */
#include "base/buf.h"
#include "base/contract.h"
#include "cli/priv.h"
#include "net/tls.h"
#include "process/configuration.h"
#include "process/database.h"
#include "process/declared.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct err *need_operands(const struct cli *c, size_t least, size_t most)
{
	if (c->operands.n < least)
		return FAIL(ERR_INVALID, "expected %s; see `gibbon %s --help`",
			    c->command->operands, c->command->name);
	if (c->operands.n > most)
		return FAIL(ERR_INVALID, "too many arguments: '" STRF "'",
			    STRV(c->operands.v[most]));
	return NULL;
}

/* ---- check, prepare, version -------------------------------------------------------------- */

struct err *run_check(struct cli *c)
{
	struct settings_sources src = { .environ_ = environ };
	struct settings *s;
	struct err *e;

	PASS(need_operands(c, 0, 1));
	src.file = c->operands.n ? c->operands.v[0] : STR("/etc/kong/kong.conf");
	e = settings_load(c->a, &src, &s);
	if (!e) {
		cli_notes(s);
		cli_say(c, "configuration at " STRF " is valid", STRV(src.file));
		return NULL;
	}
	for (; e; e = e->next) {
		const char *hint = err_root(e)->hint;

		cli_error("%s%s%s", err_line(c->a, e).s, hint ? " " : "", hint ? hint : "");
	}
	exit(1);
}

struct err *run_prepare(struct cli *c)
{
	struct settings *s;

	PASS(cli_settings(c, NULL, &s));
	cli_notes(s);
	TRY(prefix_prepare(c->a, s), "could not prepare Kong prefix at " STRF, STRV(s->prefix));
	return NULL;
}

struct err *run_version(struct cli *c)
{
	if (cli_has(c, "all"))
		printf("Kong: %s\nGibbon: %s\nTLS: %s\n", CONTRACT_VERSION, GIBBON_VERSION,
		       tls_library());
	else
		puts(CONTRACT_VERSION);
	return NULL;
}

/* ---- declarative configuration --------------------------------------------------------------- */

static const char example[] =
	"# A declarative configuration: what the gateway does, in one file.\n"
	"#\n"
	"# Use it with database = off and declarative_config = <this file>, or send it to a\n"
	"# running gateway: curl -F config=@kong.yml http://localhost:8001/config\n"
	"_format_version: \"3.0\"\n"
	"\n"
	"# A service is where requests go, a route decides which.\n"
	"services:\n"
	"- name: example-service\n"
	"  url: http://example.com\n"
	"  routes:\n"
	"  - name: example-route\n"
	"    paths:\n"
	"    - /\n"
	"\n"
	"# A consumer is somebody who may call.\n"
	"# consumers:\n"
	"# - username: example-user\n"
	"#   keyauth_credentials:\n"
	"#   - key: my-key\n"
	"\n"
	"# A plugin does something with requests: of a route or a service when it is listed\n"
	"# below one, of all when it is listed here.\n"
	"# plugins:\n"
	"# - name: rate-limiting\n"
	"#   config:\n"
	"#     minute: 10\n"
	"#     policy: local\n";

/* A new file; one that is there is never written over. */
static struct err *new_file(struct cli *c, str path, str text, mode_t mode)
{
	const char *name = str_z(c->a, path);
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	bool good;

	if (fd < 0 && access(name, F_OK) == 0)
		return FAIL(ERR_CONFLICT, "%s already exists.\nWill not overwrite it.", name);
	if (fd < 0)
		return FAIL_ERRNO("%s", name);
	good = write(fd, text.s, text.n) == (ssize_t)text.n && fchmod(fd, mode) == 0;
	if (close(fd) < 0 || !good)
		return FAIL_ERRNO("%s", name);
	return NULL;
}

struct err *run_config_init(struct cli *c)
{
	PASS(need_operands(c, 0, 1));
	return new_file(c, path_absolute(c->a, c->operands.n ? c->operands.v[0] : STR("kong.yml")),
			str_at(example, sizeof(example) - 1), 0644);
}

struct err *run_config_parse(struct cli *c)
{
	struct settings *s;
	str path;

	if (c->operands.n == 0)
		return FAIL(
			ERR_INVALID,
			"expected a declarative configuration file; see `gibbon config --help`");
	PASS(need_operands(c, 1, 1));
	PASS(cli_settings(c, NULL, &s));
	path = path_absolute(c->a, c->operands.v[0]);
	if (access(str_z(c->a, path), R_OK) < 0)
		return FAIL_ERRNO("Failed parsing:\n" STRF, STRV(path));
	s->declarative_config = path;
	s->declarative_config_string = STR_NONE;
	s->database_kind = DATABASE_OFF;
	TRY(configuration_check(s), "Failed parsing");
	cli_say(c, "parse successful");
	return NULL;
}

static struct err *db_import(struct cli *c, const struct settings *s)
{
	struct declarative_config *d CLEANUP(declarative_drop) = NULL;

	if (c->operands.n == 0)
		return FAIL(
			ERR_INVALID,
			"expected a declarative configuration file; see `gibbon config --help`");
	PASS(need_operands(c, 1, 1));
	PASS(configuration_rules(s));
	TRY(declared_read_file(c->a, path_absolute(c->a, c->operands.v[0]), &d), "Failed parsing");
	cli_say(c, "parse successful, beginning import");
	TRY(database_import(s, d), "Failed importing");
	cli_say(c, "import successful");
	return NULL;
}

static struct err *db_export(struct cli *c, const struct settings *s)
{
	str text;

	PASS(need_operands(c, 0, 1));
	PASS(configuration_rules(s));
	PASS(database_export(c->a, s, &text));
	return new_file(c, path_absolute(c->a, c->operands.n ? c->operands.v[0] : STR("kong.yml")),
			text, 0600);
}

struct err *run_config_db(struct cli *c)
{
	bool is_import = strstr(c->command->name, "import") != NULL;
	struct settings *s;

	PASS(cli_settings(c, NULL, &s));
	if (s->database_kind != DATABASE_OFF)
		return is_import ? db_import(c, s) : db_export(c, s);
	if (is_import)
		return FAIL(ERR_INVALID, "'kong config db_import' only works with a database.\n"
					 "When using database=off, reload your declarative "
					 "configuration\nusing the /config endpoint.");
	return FAIL(ERR_INVALID, "'kong config db_export' only works with a database.");
}

/* ---- secrets, certificates ------------------------------------------------------------------------ */

struct err *run_vault_get(struct cli *c)
{
	struct env_vault env = { .name = STR("env") };
	struct settings *s;
	str reference, secret;

	if (c->operands.n == 0)
		return FAIL(ERR_INVALID, "the 'get' command needs a <reference> argument \n"
					 "kong vault get <reference>");
	PASS(need_operands(c, 1, 1));
	PASS(cli_settings(c, NULL, &s));
	reference = c->operands.v[0];
	if (!is_vault_reference(reference))
		reference = str_fmt(c->a, "{vault://" STRF "}", STRV(reference));
	env.prefix = settings_get(s, STR("vault_env_prefix"));
	PASS(vault_reference_resolve(c->a, reference, environ, &env, 1, &secret));
	printf(STRF "\n", STRV(secret));
	return NULL;
}

struct err *run_hybrid_gen_cert(struct cli *c)
{
	str days = cli_get(c, "days"), cert_path, key_path, cert, key;
	int64_t n = 1095;

	if (c->operands.n != 0 && c->operands.n != 2)
		return FAIL(ERR_INVALID, "both cert and key path needs to be provided");
	if (days.s && (!str_to_int(days, &n) || n < 1 || n > 36500))
		return FAIL(ERR_INVALID, "--days is not a number of days: '" STRF "'", STRV(days));
	cert_path = path_absolute(c->a, c->operands.n ? c->operands.v[0] : STR("cluster.crt"));
	key_path = path_absolute(c->a, c->operands.n ? c->operands.v[1] : STR("cluster.key"));
	if (access(str_z(c->a, key_path), F_OK) == 0)
		return FAIL(ERR_CONFLICT, STRF " already exists.\nWill not overwrite it.",
			    STRV(key_path));
	PASS(tls_make_self_signed(c->a, TLS_KEY_EC_P384, STR("kong_clustering"), (int)n, &cert,
				  &key));
	PASS(new_file(c, cert_path, cert, 0644));
	PASS(new_file(c, key_path, key, 0600));
	cli_say(c,
		"Successfully generated certificate/key pairs, they have been written to: '" STRF
		"' and '" STRF "'.",
		STRV(cert_path), STRV(key_path));
	return NULL;
}

/* ---- pages ------------------------------------------------------------------------------------------- */

/* What `print` knows; a page more is a row more. */
static const struct {
	const char *what, *page; /* page "": the one that is meant without a name */
	void (*print)(struct buf *out);
} pages[] = {
	{ "sample", "", settings_print_sample },
	{ "reference", "", settings_print_reference },
	{ "reference", "settings", settings_print_reference },
	{ "reference", "configuration", settings_print_reference },
};

struct err *run_print(struct cli *c)
{
	struct buf out CLEANUP(buf_done) = { 0 };

	PASS(need_operands(c, 1, 2));
	for (size_t i = 0; i < COUNT(pages); i++) {
		if (!str_is(c->operands.v[0], pages[i].what) ||
		    !str_is(c->operands.n > 1 ? c->operands.v[1] : STR(""), pages[i].page))
			continue;
		pages[i].print(&out);
		if (fwrite(out.data, 1, out.n, stdout) != out.n || fflush(stdout) != 0)
			return FAIL_ERRNO("standard output");
		return NULL;
	}
	return FAIL(ERR_NOT_FOUND, "there is no page '" STRF "%s" STRF "'", STRV(c->operands.v[0]),
		    c->operands.n > 1 ? " " : "",
		    STRV(c->operands.n > 1 ? c->operands.v[1] : STR("")));
}
