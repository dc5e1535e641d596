/* SPDX-License-Identifier: Apache-2.0 */
/* From argv to a command, and from a command's error to words. */
#include "cli/cli.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/vec.h"
#include "cli/priv.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- speaking --------------------------------------------------------------------------- */

static void print(FILE *to, const char *level, const char *format, va_list args)
{
	if (level) {
		time_t now = (time_t)clock_wall_s();
		struct tm tm;
		char when[32];

		strftime(when, sizeof(when), "%Y/%m/%d %H:%M:%S", localtime_r(&now, &tm));
		fprintf(to, "%s [%s] ", when, level);
	}
	vfprintf(to, format, args);
	fputc('\n', to);
	fflush(to);
}

void cli_say(const struct cli *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(stdout, c->verbosity > SAY_NORMAL ? "info" : NULL, format, args);
	va_end(args);
}

void cli_verbose(const struct cli *c, const char *format, ...)
{
	va_list args;

	if (c->verbosity < SAY_VERBOSE)
		return;
	va_start(args, format);
	print(stdout, "verbose", format, args);
	va_end(args);
}

void cli_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(stderr, "warn", format, args);
	va_end(args);
}

void cli_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(stderr, "error", format, args);
	va_end(args);
}

/* ---- usage -------------------------------------------------------------------------------- */

static void option_lines(struct buf *out, const struct cli_option *o)
{
	for (; o->name; o++) {
		char left[64];

		if (o->letter)
			snprintf(left, sizeof(left), "-%c, --%s %s", o->letter, o->name,
				 o->argument ? o->argument : "");
		else
			snprintf(left, sizeof(left), "    --%s %s", o->name,
				 o->argument ? o->argument : "");
		buf_addf(out, "  %-26s %s\n", left, o->help);
	}
}

static void usage_of(struct buf *out, const struct command *cmd)
{
	buf_addf(out, "Usage: gibbon %s [OPTIONS]%s%s\n\n%s\n\nOptions:\n", cmd->name,
		 cmd->operands[0] ? " " : "", cmd->operands, cmd->help);
	option_lines(out, cmd->options);
	option_lines(out, cli_common);
}

static void usage_of_all(struct buf *out)
{
	buf_add_str(out, STR("Usage: gibbon COMMAND [OPTIONS]\n\nCommands:\n"));
	for (const struct command *p = cli_commands; p->name; p++)
		buf_addf(out, "  %-26s %s\n", p->name, p->help);
	buf_add_str(out, STR("\nOptions:\n"));
	option_lines(out, cli_common);
	buf_add_str(out, STR("\nOptions of a command: gibbon COMMAND --help\n"));
}

static int show_usage(FILE *to, const struct command *cmd, int status)
{
	struct buf out CLEANUP(buf_done) = { 0 };

	if (cmd)
		usage_of(&out, cmd);
	else
		usage_of_all(&out);
	fwrite(out.data, 1, out.n, to);
	return status;
}

/* ---- reading argv --------------------------------------------------------------------------- */

struct parsing {
	struct cli *c;
	struct {
		struct setting_pair *v;
		size_t n, cap;
	} values;
	struct {
		str *v;
		size_t n, cap;
	} operands;
	bool wants_help;
};

static const struct cli_option *find_option(const struct command *cmd, str name, char letter)
{
	const struct cli_option *lists[] = { cmd ? cmd->options : NULL, cli_common };

	for (size_t i = 0; i < COUNT(lists); i++) {
		for (const struct cli_option *o = lists[i]; o && o->name; o++) {
			if (letter ? o->letter == letter : str_is(name, o->name))
				return o;
		}
	}
	return NULL;
}

/* One argument that begins with '-'; may take the next one too. */
static struct err *take_option(struct parsing *p, char **argv, int *at)
{
	str arg = str_of(argv[*at]), name, value = STR_NONE;
	bool is_long = str_starts(arg, STR("--")) || str_is(arg, "-vv");
	const struct cli_option *o;
	ptrdiff_t equals;

	name = str_from(arg, str_starts(arg, STR("--")) ? 2 : 1);
	equals = is_long ? str_find(name, '=', 0) : -1;
	if (equals >= 0) {
		value = str_from(name, (size_t)equals + 1);
		name = str_part(name, 0, (size_t)equals);
	} else if (!is_long && name.n > 1) {
		value = str_from(name, 1); /* -cFILE */
	}
	o = find_option(p->c->command, name, is_long ? 0 : name.s[0]);
	if (!o || (!o->argument && value.s))
		return FAIL(ERR_INVALID, "unknown option '" STRF "'", STRV(arg));
	if (o->argument && !value.s) {
		if (!argv[*at + 1])
			return FAIL(ERR_INVALID, "option '" STRF "' needs a value", STRV(arg));
		value = str_of(argv[++*at]);
	}
	*vec_add(p->c->a, &p->values) =
		(struct setting_pair){ str_of(o->name), value.s ? value : STR("") };
	p->wants_help |= strcmp(o->name, "help") == 0;
	if (strcmp(o->name, "v") == 0 && p->c->verbosity < SAY_VERBOSE)
		p->c->verbosity = SAY_VERBOSE;
	if (strcmp(o->name, "vv") == 0)
		p->c->verbosity = SAY_DEBUG;
	return NULL;
}

static struct err *take_arguments(struct parsing *p, char **argv, int at)
{
	bool is_over = false;

	for (; argv[at]; at++) {
		if (!is_over && strcmp(argv[at], "--") == 0)
			is_over = true;
		else if (!is_over && argv[at][0] == '-' && argv[at][1])
			PASS(take_option(p, argv, &at));
		else
			*vec_add(p->c->a, &p->operands) = str_of(argv[at]);
	}
	p->c->values = (struct setting_pairs){ p->values.v, p->values.n };
	p->c->operands = (strs){ p->operands.v, p->operands.n };
	return NULL;
}

/* "config-parse" words: a '-' in a second word is a '_'. */
static bool is_same_word(str a, const char *z)
{
	if (a.n != strlen(z))
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if ((a.s[i] == '-' ? '_' : a.s[i]) != (z[i] == '-' ? '_' : z[i]))
			return false;
	}
	return true;
}

/* The command in front of argv, of one word or two; *ret_words of them. */
static const struct command *find_command(char **argv, int *ret_words, bool *ret_is_half)
{
	*ret_is_half = false;
	for (const struct command *p = cli_commands; p->name; p++) {
		const char *space = strchr(p->name, ' ');
		str first = str_at(p->name, space ? (size_t)(space - p->name) : strlen(p->name));

		if (!str_eq(str_of(argv[0]), first))
			continue;
		if (!space) {
			*ret_words = 1;
			return p;
		}
		*ret_is_half = true;
		if (argv[1] && is_same_word(str_of(argv[1]), space + 1)) {
			*ret_words = 2;
			return p;
		}
	}
	return NULL;
}

str cli_get(const struct cli *c, const char *option)
{
	for (size_t i = c->values.n; i > 0; i--) {
		if (str_is(c->values.v[i - 1].name, option))
			return c->values.v[i - 1].value;
	}
	return STR_NONE;
}

bool cli_has(const struct cli *c, const char *option)
{
	return cli_get(c, option).s != NULL;
}

struct err *cli_seconds(const struct cli *c, const char *option, int64_t def, int64_t *ret)
{
	str text = cli_get(c, option);
	double n;

	*ret = def;
	if (!text.s)
		return NULL;
	if (!str_to_num(text, &n) || n < 0 || n > 1e7)
		return FAIL(ERR_INVALID, "--%s is not a number of seconds: '" STRF "'", option,
			    STRV(text));
	*ret = (int64_t)n;
	return NULL;
}

/* ---- settings ------------------------------------------------------------------------------------ */

struct err *cli_settings(struct cli *c, const struct settings *running, struct settings **ret)
{
	struct settings_sources src = { .environ_ = environ, .running = running };
	str conf = cli_get(c, "conf"), prefix = cli_get(c, "prefix");
	struct setting_pair override = { STR("prefix"), prefix };

	if (conf.n)
		src.file = conf;
	else if (running && running->conf_file.s &&
		 access(str_z(c->a, running->conf_file), R_OK) == 0)
		src.file = running->conf_file;
	if (prefix.n)
		src.overrides = (struct setting_pairs){ &override, 1 };
	PASS(settings_load(c->a, &src, ret));
	cli_verbose(c,
		    (*ret)->conf_file.s ? "configuration file: " STRF : "no configuration file%.*s",
		    STRV((*ret)->conf_file));
	cli_verbose(c, "prefix in use: " STRF, STRV((*ret)->prefix));
	return NULL;
}

struct err *cli_prefix(struct cli *c, str *ret)
{
	str prefix = cli_get(c, "prefix");
	struct settings *s;

	if (prefix.n) {
		prefix = path_absolute(c->a, prefix);
	} else {
		PASS(cli_settings(c, NULL, &s));
		prefix = s->prefix;
	}
	if (access(str_z(c->a, prefix), F_OK) < 0)
		return FAIL(ERR_NOT_FOUND, "no such prefix: " STRF, STRV(prefix));
	*ret = prefix;
	return NULL;
}

void cli_notes(const struct settings *s)
{
	for (size_t i = 0; i < s->notes.n; i++)
		cli_warn(STRF, STRV(s->notes.v[i]));
}

/* ---- the end --------------------------------------------------------------------------------------- */

/* Every error of a chain of neighbours, and what to do about each. */
static int tell(const struct cli *c, const struct err *e)
{
	for (const struct err *one = e; one; one = one->next) {
		const char *hint = err_root(one)->hint;

		fprintf(stderr, "Error: %s\n", err_line(c->a, one).s);
		if (hint)
			fprintf(stderr, "  %s\n", hint);
		for (const struct err *p = one; p && c->verbosity == SAY_DEBUG; p = p->cause)
			fprintf(stderr, "  at %s:%d\n", p->file, p->line);
	}
	if (c->verbosity <= SAY_NORMAL)
		fputs("\n  Run with --v (verbose) or --vv (debug) for more details\n", stderr);
	return 1;
}

static int run(struct cli *c, char **argv)
{
	struct parsing p = { .c = c };
	bool is_half = false;
	int words = 0;
	struct err *e;

	if (!argv[0])
		return show_usage(stderr, NULL, 1);
	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
	    strcmp(argv[0], "help") == 0)
		return show_usage(stdout, NULL, 0);
	if (strcmp(argv[0], "--version") == 0) {
		puts("gibbon " GIBBON_VERSION);
		return 0;
	}
	c->command = find_command(argv, &words, &is_half);
	if (!c->command) {
		bool wants_help = is_half && argv[1] &&
				  (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);

		if (wants_help)
			return show_usage(stdout, NULL, 0);
		if (is_half && argv[1])
			fprintf(stderr, "No such command for %s: %s\n\n", argv[0], argv[1]);
		else if (!is_half)
			fprintf(stderr, "No such command: %s\n\n", argv[0]);
		return show_usage(stderr, NULL, 1);
	}
	e = take_arguments(&p, argv, words);
	if (!e && p.wants_help)
		return show_usage(stdout, c->command, 0);
	if (!e)
		e = c->command->run(c);
	return e ? tell(c, e) : 0;
}

int cli_main(int argc, char **argv)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct cli c = { .a = a, .verbosity = SAY_NORMAL };
	int status;

	log_set_level(LOG_WARN_);
	status = run(&c, argc > 0 ? argv + 1 : argv);
	err_forget();
	return status;
}
