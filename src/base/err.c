/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>

/* The error arena of the fiber or thread that runs.  A thread's own is dropped
 * with err_forget(); the fiber switch exchanges it for the fiber's. */
static __thread struct arena *home;

static struct arena *err_home(void)
{
	if (!home)
		home = arena_new();
	return home;
}

struct arena *err_swap_home(struct arena *other)
{
	struct arena *old = home;

	home = other;
	return old;
}

void err_forget(void)
{
	arena_drop(&home);
}

static struct err *err_make(enum err_code code, const char *file, int line, str text)
{
	struct err *e = NEW(err_home(), struct err);

	e->code = code;
	e->file = file;
	e->line = line;
	e->text = text.s;
	return e;
}

struct err *err_new(enum err_code code, const char *file, int line, const char *format, ...)
{
	va_list args;
	str text;

	va_start(args, format);
	text = str_vfmt(err_home(), format, args);
	va_end(args);
	return err_make(code, file, line, text);
}

struct err *err_errno(const char *file, int line, const char *format, ...)
{
	int no = errno;
	va_list args;
	char why[128];
	str text;

	va_start(args, format);
	text = str_vfmt(err_home(), format, args);
	va_end(args);
	text = str_fmt(err_home(), "%s: %s", text.s, strerror_r(no, why, sizeof(why)));
	return err_make(ERR_SYSTEM, file, line, text);
}

struct err *err_in(struct err *cause, const char *file, int line, const char *format, ...)
{
	struct err *e;
	va_list args;
	str text;

	va_start(args, format);
	text = str_vfmt(err_home(), format, args);
	va_end(args);
	e = err_make(cause->code, file, line, text);
	e->cause = cause;
	e->field = cause->field;
	e->state = cause->state;
	return e;
}

struct err *err_hint(struct err *e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	e->hint = str_vfmt(err_home(), format, args).s;
	va_end(args);
	return e;
}

struct err *err_field(struct err *e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	e->field = str_vfmt(err_home(), format, args).s;
	va_end(args);
	return e;
}

struct err *err_state(struct err *e, const char *state)
{
	e->state = state && state[0] ? str_z(err_home(), str_of(state)) : NULL;
	return e;
}

struct err *err_keep(struct arena *a, const struct err *e)
{
	struct err *copy;

	if (!e)
		return NULL;
	copy = arena_copy(a, e, sizeof(*e));
	copy->text = str_z(a, str_of(e->text));
	copy->field = e->field ? str_z(a, str_of(e->field)) : NULL;
	copy->hint = e->hint ? str_z(a, str_of(e->hint)) : NULL;
	copy->state = e->state ? str_z(a, str_of(e->state)) : NULL;
	copy->cause = err_keep(a, e->cause);
	copy->next = err_keep(a, e->next);
	return copy;
}

struct err *err_here(const struct err *e)
{
	return e ? err_keep(err_home(), e) : NULL;
}

str err_line(struct arena *a, const struct err *e)
{
	str line = STR_NONE;

	for (; e; e = e->cause)
		line = line.s ? str_fmt(a, "%s: %s", line.s, e->text) : str_fmt(a, "%s", e->text);
	return line.s ? line : STR("");
}

const struct err *err_root(const struct err *e)
{
	while (e && e->cause)
		e = e->cause;
	return e;
}
