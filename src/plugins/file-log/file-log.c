/* SPDX-License-Identifier: Apache-2.0 */
/* file-log - appends the log entry of each request to a file, a line each.
 *
 * Lines wait in a queue and are written by a thread that may block, many at once when they
 * come fast.  A file is opened once per process, or anew for each write with reopen, so
 * that it may be moved away. */
#include <gibbon/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define BATCH 512 /* lines that are written at once */

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

/* ---- files that are open ------------------------------------------------------------------ */

struct open_file {
	str path;
	int fd;
	struct open_file *next;
};

static struct {
	pthread_mutex_t lock;
	struct arena *arena;
	struct open_file *first;
} files = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The descriptor of a path, -1: it cannot be opened (errno). */
static int file_of(str path, bool reopen)
{
	struct open_file *f;

	pthread_mutex_lock(&files.lock);
	if (!files.arena)
		files.arena = arena_new();
	for (f = files.first; f && !str_eq(f->path, path); f = f->next)
		;
	if (!f) {
		f = NEW(files.arena, struct open_file);
		*f = (struct open_file){ str_of(str_z(files.arena, path)), -1, files.first };
		files.first = f;
	}
	if (f->fd >= 0 && reopen) {
		close(f->fd);
		f->fd = -1;
	}
	if (f->fd < 0)
		f->fd = open(f->path.s, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	pthread_mutex_unlock(&files.lock);
	return f->fd;
}

static void stop(void)
{
	for (struct open_file *f = files.first; f; f = f->next) {
		if (f->fd >= 0)
			close(f->fd);
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

static void write_job(void *p)
{
	struct writing *w = p;
	int fd = file_of(w->conf->path, w->conf->reopen);

	if (fd < 0) {
		w->failed = "open";
		w->error = errno;
	}
	while (!w->failed && w->text.n) {
		ssize_t n = write(fd, w->text.s, w->text.n);

		if (n > 0) {
			w->text = str_from(w->text, (size_t)n);
		} else if (errno != EINTR) {
			w->failed = "write to";
			w->error = errno;
		}
	}
}

static struct err *write_lines(const void *conf, const str *lines, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct writing w = { .conf = conf };

	w.text = str_join(a, (strs){ (str *)(uintptr_t)lines, n }, STR(""));
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
		.send = write_lines,
	};
	struct conf *c = conf;

	c->queue = plugin_queue(&plugin_file_log, a, c, &o);
	return NULL;
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct conf *c = conf;
	str text = log_text(r, c->custom_fields_by_lua);

	queue_add(c->queue, str_cat(req_arena(r), text, STR("\n")));
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
