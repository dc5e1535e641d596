/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192

static const char *const level_names[] = {
	"emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
};

static _Atomic int level_now = LOG_NOTICE_;
static _Atomic int log_fd = STDERR_FILENO;
static char log_path[4096];                              /* set once at start, before threads */
static void (*log_send)(enum log_level level, str line); /* as log_path */

bool log_level_of(str word, enum log_level *ret)
{
	for (size_t i = 0; i < COUNT(level_names); i++) {
		if (str_is(word, level_names[i])) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

/* The new descriptor takes the old one's number, so that a thread in the middle
 * of a write is never left with a closed one. */
static struct err *open_at(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	int old = atomic_load(&log_fd);

	if (fd < 0)
		return FAIL_ERRNO("cannot open the log %s", path);
	if (old == STDERR_FILENO) {
		atomic_store(&log_fd, fd);
		return NULL;
	}
	if (dup3(fd, old, O_CLOEXEC) < 0) {
		struct err *e = FAIL_ERRNO("cannot reopen the log %s", path);

		close(fd);
		return e;
	}
	close(fd);
	return NULL;
}

struct err *log_open(const char *path)
{
	if (strlen(path) >= sizeof(log_path))
		return FAIL(ERR_INVALID, "the path of the log is too long: %s", path);
	PASS(open_at(path));
	memcpy(log_path, path, strlen(path) + 1);
	return NULL;
}

struct err *log_reopen(void)
{
	return log_path[0] ? open_at(log_path) : NULL;
}

void log_open_to(void (*send)(enum log_level level, str line))
{
	log_send = send;
}

/* Control bytes as \xNN: a story stays on its line. */
static size_t add_escaped(char *out, size_t at, size_t max, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p && at + 5 < max; p++) {
		if (*p >= 0x20 && *p != 0x7f) {
			out[at++] = (char)*p;
			continue;
		}
		at += (size_t)snprintf(out + at, max - at, "\\x%02X", *p);
	}
	return at;
}

static void write_line(enum log_level level, const char *text)
{
	char line[LINE_MAX_BYTES];
	time_t now = (time_t)clock_wall_s();
	struct tm tm;
	size_t n;

	localtime_r(&now, &tm);
	n = strftime(line, sizeof(line), "%Y/%m/%d %H:%M:%S ", &tm);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "[%s] %d#%ld: ", level_names[level],
			      (int)getpid(), syscall(SYS_gettid));
	n = add_escaped(line, n, sizeof(line) - 1, text);
	if (log_send) {
		log_send(level, str_at(line, n));
		return;
	}
	line[n++] = '\n';
	if (write(atomic_load_explicit(&log_fd, memory_order_relaxed), line, n) < 0)
		return; /* nobody is left to tell */
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES - 128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(level, text);
}

void log_err(enum log_level level, const struct err *e, const char *format, ...)
{
	struct arena *a CLEANUP(arena_drop) = NULL;
	const char *hint = NULL;
	va_list args;
	str text;

	if (level > log_get_level())
		return;
	a = arena_new();
	va_start(args, format);
	text = str_vfmt(a, format, args);
	va_end(args);
	for (const struct err *x = e; x; x = x->cause)
		hint = x->hint ? x->hint : hint;
	text = str_fmt(a, "%s: %s%s%s", text.s, str_z(a, err_line(a, e)), hint ? " - " : "",
		       hint ? hint : "");
	write_line(level, text.s);
}

void die(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(LOG_EMERG_, text);
	abort();
}
