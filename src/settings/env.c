/* SPDX-License-Identifier: Apache-2.0 */
/* .kong_env: what a gateway runs with, written for the supervisor that reads it
 * again on SIGHUP, and for `reload`.
 *
 * Every effective property is a line; names that begin with '$' say what the
 * values do not: which source set a property and which reference a secret came
 * from.  The file holds secrets: only its owner may read it. */
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/vec.h"
#include "settings/priv.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char *const origin_names[] = {
	[ORIGIN_FILE] = "$file",
	[ORIGIN_ENV] = "$environment",
	[ORIGIN_CLI] = "$command_line",
};

#define REFERENCE "$reference."
#define CONF_FILE "$conf"

/* ---- writing -------------------------------------------------------------------------------- */

/* A text that would not come back from a plain line as it is. */
static bool needs_json(str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.s[i] < ' ' || text.s[i] == '\\')
			return true;
	}
	return !str_eq(text, str_trim(text));
}

static void write_line(struct buf *out, str name, str text)
{
	buf_add_str(out, name);
	if (needs_json(text)) {
		buf_add_str(out, STR(" := "));
		json_write_str(out, text);
	} else {
		buf_add_str(out, STR(" = "));
		for (size_t i = 0; i < text.n; i++) {
			if (text.s[i] == '#')
				buf_add_char(out, '\\');
			buf_add_char(out, text.s[i]);
		}
	}
	buf_add_char(out, '\n');
}

static void write_origins(struct buf *out, const struct settings *s)
{
	for (enum origin origin = ORIGIN_FILE; origin <= ORIGIN_CLI; origin++) {
		bool is_first = true;

		for (size_t i = 0; i < s->n_properties; i++) {
			if (s->properties[i].origin != origin)
				continue;
			buf_addf(out, is_first ? "%s = " STRF : "%.0s, " STRF, origin_names[origin],
				 STRV(s->properties[i].name));
			is_first = false;
		}
		if (!is_first)
			buf_add_char(out, '\n');
	}
}

static void write_all(struct buf *out, const struct settings *s)
{
	buf_add_str(out, STR("# What this node runs with: written by the program, do not edit.\n"
			     "# Change kong.conf, or the KONG_ variables, and run reload.\n"
			     "# This file holds secrets.\n\n"));
	for (size_t i = 0; i < s->n_properties; i++) {
		const struct property *p = &s->properties[i];

		if (p->text.s)
			write_line(out, p->name, p->text);
		else if (p->row && p->row->def)
			write_line(out, p->name, STR(""));
	}
	buf_add_char(out, '\n');
	for (size_t i = 0; i < s->n_properties; i++) {
		const struct property *p = &s->properties[i];

		if (p->reference.s) {
			buf_add_str(out, STR(REFERENCE));
			write_line(out, p->name, p->reference);
		}
	}
	if (s->conf_file.s)
		write_line(out, STR(CONF_FILE), s->conf_file);
	write_origins(out, s);
}

static struct err *write_file(int fd, str text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.s, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAIL_ERRNO("write");
		text = str_from(text, (size_t)n);
	}
	return fsync(fd) < 0 ? FAIL_ERRNO("fsync") : NULL;
}

struct err *settings_write_env(const struct settings *s, const char *path)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct buf out CLEANUP(buf_done) = { 0 };
	const char *draft = str_fmt(a, "%s.%ld", path, (long)getpid()).s;
	struct err *e;
	int fd;

	write_all(&out, s);
	unlink(draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return FAIL_ERRNO("unable to open env path %s", draft);
	e = write_file(fd, buf_str(&out));
	close(fd);
	if (!e && rename(draft, path) < 0)
		e = FAIL_ERRNO("rename");
	if (e)
		unlink(draft);
	return e ? err_in(e, __FILE__, __LINE__, "unable to write env path %s", path) : NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reading {
	struct loading *l;
	struct {
		struct setting_pair *v;
		size_t n, cap;
	} references;
	strs names[ORIGIN_CLI + 1];
};

static void add_line(void *arg, str name, str value)
{
	struct reading *r = arg;
	struct arena *a = r->l->a;

	value = str_copy(a, value);
	for (enum origin origin = ORIGIN_FILE; origin <= ORIGIN_CLI; origin++) {
		if (str_is(name, origin_names[origin])) {
			r->names[origin] = str_split(a, value, ',');
			return;
		}
	}
	if (str_is(name, CONF_FILE))
		r->l->s->conf_file = value;
	else if (str_starts(name, STR(REFERENCE)))
		*vec_add(a, &r->references) =
			(struct setting_pair){ str_copy(a, str_from(name, strlen(REFERENCE))),
					       value };
	else
		loading_add(r->l, str_copy(a, name), value);
}

struct err *settings_read_env(struct arena *a, const char *path, struct settings **ret)
{
	struct loading l = { .a = a, .s = NEW(a, struct settings), .is_running = true };
	struct reading r = { .l = &l };
	str text;

	loading_add_defaults(&l);
	PASS(file_read(a, path, LIMIT_CONF_FILE * 4, &text));
	PASS(env_parse(a, path, text, add_line, &r));
	for (enum origin origin = ORIGIN_FILE; origin <= ORIGIN_CLI; origin++) {
		for (size_t i = 0; i < r.names[origin].n; i++)
			loading_set_origin(&l, r.names[origin].v[i], origin);
	}
	for (size_t i = 0; i < r.references.n; i++)
		loading_set_reference(&l, r.references.v[i].name, r.references.v[i].value);
	return loading_finish(&l, ret);
}
