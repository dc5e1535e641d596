/* SPDX-License-Identifier: Apache-2.0 */
/* The pid file, and the file that tells how a reload ended.
 *
 * The supervisor holds a lock (fcntl) on its pid file for as long as it lives,
 * so that a pid left behind by a crash is never taken for a gateway, nor the
 * process that got its number signalled.  Such a lock belongs to one process:
 * workers do not inherit it. */
#include "base/clock.h"
#include "process/priv.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define PID_FILE     "pids/nginx.pid"
#define OUTCOME_FILE "pids/reload.outcome"
#define LOCK_FILE    "pids/reload.lock"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static str below(struct arena *a, str prefix, const char *name)
{
	return str_fmt(a, STRF "/%s", STRV(prefix), name);
}

/* ---- the pid file ----------------------------------------------------------------------- */

struct err *pidfile_take(const struct settings *s, int *ret_fd)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const char *path = below(a, s->prefix, PID_FILE).s;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd CLEANUP(close_fd) = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	str text = str_fmt(a, "%ld\n", (long)getpid());

	if (fd < 0)
		return FAIL_ERRNO("%s", path);
	if (fcntl(fd, F_SETLK, &lock) < 0) {
		if (errno == EACCES || errno == EAGAIN)
			return FAIL(ERR_CONFLICT, "Kong is already running in " STRF,
				    STRV(s->prefix));
		return FAIL_ERRNO("%s: lock", path);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text.s, text.n, 0) != (ssize_t)text.n)
		return FAIL_ERRNO("%s: write", path);
	*ret_fd = fd;
	fd = -1;
	return NULL;
}

void pidfile_remove(const struct settings *s, int *fd)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	if (*fd < 0)
		return;
	unlink(below(a, s->prefix, PID_FILE).s);
	close(*fd);
	*fd = -1;
}

/* The number in the file, or 0. */
static pid_t pid_in(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	int64_t pid;

	if (n <= 0 || !str_to_int(str_trim(str_at(text, (size_t)n)), &pid) || pid <= 0 ||
	    pid > INT32_MAX)
		return 0;
	return (pid_t)pid;
}

pid_t process_find(str prefix)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	int fd CLEANUP(close_fd) = open(below(a, prefix, PID_FILE).s, O_RDONLY | O_CLOEXEC);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	/* A read-only descriptor may ask about a write lock, though not take one. */
	if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid > 0 ? lock.l_pid : pid_in(fd);
}

bool process_wait_gone(str prefix, int timeout_ms)
{
	int64_t until = clock_mono_ms() + timeout_ms;

	while (process_find(prefix) != 0) {
		if (clock_mono_ms() >= until)
			return false;
		pause_ms(20);
	}
	return true;
}

/* ---- how a reload ended -------------------------------------------------------------------- */

/* "SERIAL ok" or "SERIAL failed TEXT". */
static int64_t read_outcome(struct arena *a, str prefix, str *ret_text)
{
	int fd CLEANUP(close_fd) = open(below(a, prefix, OUTCOME_FILE).s, O_RDONLY | O_CLOEXEC);
	char *text = arena_bytes(a, 8192);
	ssize_t n = fd < 0 ? 0 : read(fd, text, 8192);
	str all = str_at(text, n < 0 ? 0 : (size_t)n);
	ptrdiff_t space = str_find(all, ' ', 0);
	int64_t serial;

	if (space < 0 || !str_to_int(str_part(all, 0, (size_t)space), &serial))
		return 0;
	*ret_text = str_trim(str_from(all, (size_t)space + 1));
	return serial;
}

void outcome_tell(const struct settings *s, const struct err *e)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str old = STR(""), text;
	const char *path = below(a, s->prefix, OUTCOME_FILE).s;
	const char *draft = str_fmt(a, "%s.new", path).s;
	int64_t serial = read_outcome(a, s->prefix, &old) + 1;
	int fd CLEANUP(close_fd) = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	text = e ? str_fmt(a, "%lld failed " STRF "\n", (long long)serial, STRV(err_line(a, e)))
		 : str_fmt(a, "%lld ok\n", (long long)serial);
	if (fd < 0 || write(fd, text.s, text.n) != (ssize_t)text.n || rename(draft, path) < 0)
		log_warn("cannot write %s", path);
}

struct err *process_reload(str prefix, int timeout_ms)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	int lock CLEANUP(close_fd) =
		open(below(a, prefix, LOCK_FILE).s, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int64_t until = clock_mono_ms() + timeout_ms, before;
	pid_t pid = process_find(prefix);
	str text = STR("");

	if (pid == 0)
		return FAIL(ERR_NOT_FOUND, "nginx not running in prefix: " STRF, STRV(prefix));
	while (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0) {
		if (clock_mono_ms() >= until)
			return FAIL(ERR_TIMEOUT, "another reload does not end");
		pause_ms(20);
	}
	before = read_outcome(a, prefix, &text);
	if (kill(pid, SIGHUP) < 0)
		return FAIL_ERRNO("could not send signal");
	while (read_outcome(a, prefix, &text) == before) {
		if (process_find(prefix) == 0)
			return FAIL(ERR_INTERNAL, "Kong stopped while it was reloaded");
		if (clock_mono_ms() >= until)
			return FAIL(ERR_TIMEOUT, "the new worker does not serve yet");
		pause_ms(20);
	}
	if (str_is(text, "ok"))
		return NULL;
	return err_hint(FAIL(ERR_INVALID, STRF, STRV(str_from(text, strlen("failed ")))),
			"The gateway goes on with the configuration it had.");
}
