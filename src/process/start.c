/* SPDX-License-Identifier: Apache-2.0 */
/* From a prepared prefix to a running gateway, in the foreground or behind a
 * fork whose parent waits for the outcome. */
#include "observe/error_log.h"
#include "process/priv.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

struct starting {
	int outcome_fd;           /* to the parent that waits; -1 in the foreground */
	void (*on_started)(void); /* in the foreground */
	struct err *failure;      /* why it did not start */
	struct arena *arena;      /* failure's */
	const struct settings *settings;
};

/* Standard streams of a process that nobody looks at; last words of a crash go to
 * the error log. Before the first fork: a worker has them too. */
static void leave_terminal(const char *error_log)
{
	bool is_file = error_log && error_log[0] == '/';
	int null = open("/dev/null", O_RDWR);
	int log = is_file ? open(error_log, O_WRONLY | O_APPEND | O_CREAT, 0644) : -1;

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(log >= 0 ? log : null, STDERR_FILENO);
	}
	if (null > STDERR_FILENO)
		close(null);
	if (log > STDERR_FILENO)
		close(log);
}

static void write_all(int fd, str text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.s, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text = str_from(text, (size_t)n);
	}
}

/* Text and a '\0' behind it: the worker has this end of the pipe too, so that
 * its closing says nothing. */
static void tell_parent(int fd, str text)
{
	write_all(fd, text);
	write_all(fd, str_at("", 1));
}

/* An error as one text, its hint behind HINT_MARK. */
#define HINT_MARK '\x1f'

static str story(struct arena *a, const struct err *e)
{
	const char *hint = err_root(e)->hint;

	return str_fmt(a, STRF "%c%s", STRV(err_line(a, e)), HINT_MARK, hint ? hint : "");
}

static struct err *retold(str text)
{
	ptrdiff_t at = str_find(text, HINT_MARK, 0);
	str hint = at < 0 ? STR("") : str_from(text, (size_t)at + 1);
	struct err *e =
		FAIL(ERR_INVALID, STRF, STRV(at < 0 ? text : str_part(text, 0, (size_t)at)));

	return hint.n ? err_hint(e, STRF, STRV(hint)) : e;
}

/* The first worker serves, or the supervisor ends. */
static void started(void *arg, const struct err *e)
{
	struct starting *st = arg;

	st->failure = err_keep(st->arena, e);
	if (!e) {
		for (size_t i = 0; i < st->settings->notes.n; i++)
			log_notice(STRF, STRV(st->settings->notes.v[i]));
	}
	if (st->outcome_fd < 0) {
		if (!e)
			st->on_started();
		return;
	}
	tell_parent(st->outcome_fd, e ? story(st->arena, e) : STR("ok"));
	close_fd(&st->outcome_fd);
}

/* Sockets and the log of the first generation; s stays the caller's. */
static struct err *prepare(const struct starting *st, struct settings *s, struct generation **ret)
{
	struct arena *arena CLEANUP(arena_drop) = arena_new();
	struct generation *g;

	log_set_level(s->log_level_kind);
	if (s->proxy_error.path.s)
		TRY(error_log_open(st->arena, s->proxy_error.path), "proxy_error_log");
	PASS(generation_new(arena, s, NULL, &g));
	arena = NULL; /* the generation's now */
	*ret = g;
	return NULL;
}

/* Locks, opens the sockets and runs to the end. */
static struct err *run(struct settings *s, worker_main_fn *worker, struct starting *st)
{
	int pid_fd = -1;
	struct generation *g;
	struct err *e;

	PASS(pidfile_take(s, &pid_fd));
	e = prepare(st, s, &g);
	if (!e) {
		if (st->outcome_fd >= 0)
			leave_terminal(s->proxy_error.path.s ? str_z(st->arena, s->proxy_error.path)
							     : NULL);
		supervisor_run(g, worker, started, st);
		e = st->failure;
	}
	pidfile_remove(s, &pid_fd);
	return e;
}

/* The child of the fork: the supervisor to its end. */
NORETURN static void be_daemon(struct settings *s, worker_main_fn *worker, struct starting *st)
{
	struct err *e;

	setsid();
	e = run(s, worker, st);
	if (e && st->outcome_fd >= 0)
		tell_parent(st->outcome_fd, story(st->arena, e));
	exit(e ? 1 : 0);
}

/* The parent: waits until the child says how it went. */
static struct err *wait_for_outcome(int fd, pid_t child)
{
	char text[8192];
	size_t n = 0;
	ssize_t got = 1;

	while (got > 0 && n < sizeof(text) && !memchr(text, '\0', n)) {
		got = read(fd, text + n, sizeof(text) - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			n += (size_t)got;
	}
	n = strnlen(text, n);
	if (str_is(str_at(text, n), "ok"))
		return NULL;
	waitpid(child, NULL, 0);
	if (n == 0)
		return FAIL(ERR_INTERNAL, "the supervisor ended without a word");
	return retold(str_at(text, n));
}

static struct err *start_daemon(struct settings *s, worker_main_fn *worker, struct starting *st)
{
	int ends[2];
	pid_t pid;
	struct err *e;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return FAIL_ERRNO("pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		st->outcome_fd = ends[1];
		be_daemon(s, worker, st);
	}
	close(ends[1]);
	e = pid < 0 ? FAIL_ERRNO("fork") : wait_for_outcome(ends[0], pid);
	close(ends[0]);
	return e;
}

struct err *process_start(struct settings *s, worker_main_fn *worker, void (*on_started)(void))
{
	struct arena *own CLEANUP(arena_drop) = arena_new();
	struct starting st = {
		.outcome_fd = -1, .on_started = on_started, .arena = own, .settings = s
	};
	struct err *e;

	if (s->is_daemon)
		return start_daemon(s, worker, &st);
	e = run(s, worker, &st);
	return e ? retold(story(own, e)) : NULL;
}
