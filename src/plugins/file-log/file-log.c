/* SPDX-License-Identifier: Apache-2.0 */
/* file-log - appends the log entry of each request to a file, a line each.
 *
 * Lines wait in a queue and are written by a thread that may block, many at once when they
 * come fast.  A file is opened once per process, or anew for each write with reopen, so
 * that it may be moved away.  It may be a pipe: a line that its reader left no room for is
 * ended before the next one begins. */
#include <gibbon/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#define BATCH   512  /* lines that are written at once */
#define FULL_MS 1000 /* that a pipe may be full */

struct conf {
	str path;
	bool reopen;
	const struct value *custom_fields_by_lua;
	struct queue *queue;
};

const struct plugin plugin_file_log;

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, path,    .required = true, .match = "^[^*&%%\\`]+$", .err = "not a valid filename", .help = "The file; it is made when it is not there."),
	F_BOOL(T, reopen, .required = true, .def = J(false), .help = "Whether it is opened for each write, so that it may be rotated."),
	ROW_LOG_FIELDS(T),
	F_END
};
#undef T
/* clang-format on */

/* ---- files ---------------------------------------------------------------------------------- */

/* One that was written; it may be written for several configurations, by a thread at a time. */
struct file {
	const char *path;
	struct file *next;
	pthread_mutex_t lock; /* of what follows, while it is written too */
	int fd;               /* -1: not open */
	bool is_cut;          /* in the midst of a line */
};

static struct {
	pthread_mutex_t lock;
	struct arena *arena;
	struct file *first;
} files = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct file *file_of(str path)
{
	struct file *f;

	pthread_mutex_lock(&files.lock);
	if (!files.arena)
		files.arena = arena_new();
	for (f = files.first; f && !str_is(path, f->path); f = f->next)
		;
	if (!f) {
		f = NEW(files.arena, struct file);
		*f = (struct file){ .path = str_z(files.arena, path),
				    .next = files.first,
				    .fd = -1 };
		pthread_mutex_init(&f->lock, NULL);
		files.first = f;
	}
	pthread_mutex_unlock(&files.lock);
	return f;
}

static void close_file(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static void stop(void)
{
	for (struct file *f = files.first; f; f = f->next) {
		close_file(f);
		pthread_mutex_destroy(&f->lock);
	}
	files.first = NULL;
	arena_drop(&files.arena);
}

/* ---- writing -------------------------------------------------------------------------------- */

struct writing {
	const struct conf *conf;
	str text;
	const char *failed; /* doing what; NULL: it is written */
	int error;
};

static void has_failed(struct writing *w, const char *doing)
{
	w->failed = doing;
	w->error = errno;
}

/* A pipe may be full. */
static bool may_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN)
		return false;
	if (poll(&p, 1, FULL_MS) != 0)
		return true;
	errno = ETIMEDOUT;
	return false;
}

static bool write_all(struct writing *w, struct file *f, str text)
{
	while (text.n) {
		ssize_t n = write(f->fd, text.s, text.n);

		if (n > 0) {
			f->is_cut = text.s[n - 1] != '\n';
			text = str_from(text, (size_t)n);
		} else if (!may_wait(f->fd)) {
			has_failed(w, "write to");
			return false;
		}
	}
	return true;
}

/* Nobody waits for who reads a pipe, not to come and not for long to make room. */
static void write_job(void *p)
{
	struct writing *w = p;
	struct file *f = file_of(w->conf->path);

	pthread_mutex_lock(&f->lock);
	if (w->conf->reopen)
		close_file(f);
	if (f->fd < 0)
		f->fd = open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
	if (f->fd < 0)
		has_failed(w, "open");
	else if ((f->is_cut && !write_all(w, f, STR("\n"))) || !write_all(w, f, w->text))
		close_file(f);
	pthread_mutex_unlock(&f->lock);
}

static struct err *write_entries(const void *conf, const str *entries, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct writing w = { .conf = conf };

	w.text = plugin_entries(a, entries, n, STR("\n"));
	offload(write_job, &w);
	return w.failed ? FAIL(ERR_SYSTEM, "failed to %s the file " STRF ": %s", w.failed,
			       STRV(w.conf->path), strerrordesc_np(w.error))
			: NULL;
}

static struct err *prepare(struct arena *a, void *conf)
{
	static const struct queue_options o = {
		.name = "file-log",
		.batch = BATCH,
		.send = write_entries,
	};
	struct conf *c = conf;

	c->queue = plugin_queue(&plugin_file_log, a, c, &o);
	return NULL;
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct conf *c = conf;

	queue_add(c->queue, log_text(r, c->custom_fields_by_lua));
	return NEXT;
}

const struct plugin plugin_file_log = {
	.name = "file-log",
	.help = "Appends log entries to a file.",
	.priority = 9,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.stop = stop,
	.on = { [PHASE_LOG] = on_log },
};
