/* SPDX-License-Identifier: Apache-2.0 */
/* From lines to a file.
 *
 *	loop's slot ── chunk of lines ──► queue ──► one offload thread at a time ──► file
 *	             full, or a second old          (in order)
 *
 * A slot has a lock of its own, which nobody else wants but in odd cases (a
 * thread without a loop).  A chunk that would make the queue too long is
 * dropped whole.  A pipe whose reader sleeps holds no offload thread: what does not
 * go now stays first in the queue until the next tick. */
#include "base/log.h"
#include "base/mem.h"
#include "fiber/fiber.h"
#include "observe/priv.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define CHUNK_SIZE   ((size_t)64 * 1024)
#define SEND_SIZE    ((size_t)32 * 1024) /* a chunk this full goes */
#define LINE_MAX_    ((size_t)4 * 1024 * 1024)
#define QUEUE_MAX    ((size_t)16 * 1024 * 1024)
#define SPARES       4
#define PIPE_WAIT_MS 100
#define TELL_MS      10000 /* between two words about dropped lines */

struct chunk {
	struct chunk *next;
	size_t n, cap;
	size_t at; /* written so far */
	char data[];
};

struct slot {
	pthread_mutex_t lock;
	struct chunk *chunk;
	struct time_words times;
	char apart_[64];
};

struct access_log {
	const struct access_format *format;
	char *path;
	struct syslog_sink *syslog; /* instead of fd */
	_Atomic uint64_t dropped;   /* lines */
	atomic_int error;           /* of the last write that failed */
	_Atomic uint64_t told;      /* dropped lines that the error log knows of */
	_Atomic int64_t told_ms;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t is_idle;
	struct chunk *first, **last;
	size_t queued; /* bytes */
	struct chunk *spare;
	int n_spare;
	bool is_writing;
	int next_fd; /* after a reopening, for the writer to take; or -1 */

	int fd;      /* the writer's own */
	bool is_cut; /* the file's last line has no end */

	int n_slots;
	struct slot slots[];
};

/* ---- chunks --------------------------------------------------------------------- */

static struct chunk *chunk_new(struct access_log *l, size_t cap)
{
	struct chunk *c = NULL;

	pthread_mutex_lock(&l->lock);
	if (cap == CHUNK_SIZE && l->spare) {
		c = l->spare;
		l->spare = c->next;
		l->n_spare--;
	}
	pthread_mutex_unlock(&l->lock);
	if (!c)
		c = mem_alloc(sizeof(*c) + cap);
	c->next = NULL;
	c->n = c->at = 0;
	c->cap = cap;
	return c;
}

/* Under the lock. */
static void chunk_put_back(struct access_log *l, struct chunk *c)
{
	if (c->cap == CHUNK_SIZE && l->n_spare < SPARES) {
		c->next = l->spare;
		l->spare = c;
		l->n_spare++;
	} else {
		mem_free(c);
	}
}

static uint64_t count_lines(const char *p, size_t n)
{
	uint64_t lines = 0;

	for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		lines++;
	return lines;
}

static void drop(struct access_log *l, const char *p, size_t n)
{
	atomic_fetch_add(&l->dropped, count_lines(p, n));
}

/* ---- the writer ------------------------------------------------------------------- */

enum written { WRITTEN, WRITE_LATER, WRITE_FAILED };

static enum written write_some(struct access_log *l, const char *p, size_t n, size_t *ret_n)
{
	struct pollfd ready = { .fd = l->fd, .events = POLLOUT };
	ssize_t done;

	for (;;) {
		done = write(l->fd, p, n);
		if (done >= 0) {
			*ret_n = (size_t)done;
			return WRITTEN;
		}
		if (errno == EAGAIN && poll(&ready, 1, PIPE_WAIT_MS) == 0)
			return WRITE_LATER;
		if (errno != EAGAIN && errno != EINTR) {
			atomic_store(&l->error, errno);
			return WRITE_FAILED;
		}
	}
}

/* After a failure the lines that did not make it are counted, and the next one that
 * does begins on a line of its own. */
static enum written write_file(struct access_log *l, struct chunk *c)
{
	enum written w = WRITTEN;
	size_t n;

	if (l->is_cut && c->at == 0) {
		w = write_some(l, "\n", 1, &n);
		l->is_cut = w != WRITTEN;
	}
	while (w == WRITTEN && c->at < c->n) {
		w = write_some(l, c->data + c->at, c->n - c->at, &n);
		if (w == WRITTEN)
			c->at += n;
	}
	if (w == WRITE_FAILED) {
		l->is_cut |= c->at > 0 && c->data[c->at - 1] != '\n';
		drop(l, c->data + c->at, c->n - c->at);
	}
	return w;
}

static void write_syslog(struct access_log *l, const struct chunk *c)
{
	str rest = str_at(c->data, c->n), line;

	while (rest.n && str_next(&rest, '\n', &line)) {
		int error = syslog_sink_send(l->syslog, line);

		if (error) {
			atomic_store(&l->error, error);
			atomic_fetch_add(&l->dropped, 1);
		}
	}
}

/* The next chunk, which then is nobody else's; NULL when there is none.  Under the lock. */
static struct chunk *take_chunk(struct access_log *l)
{
	struct chunk *c = l->first;

	if (l->next_fd >= 0) {
		close(l->fd);
		l->fd = l->next_fd;
		l->next_fd = -1;
		l->is_cut = false;
	}
	if (!c)
		return NULL;
	l->first = c->next;
	if (!l->first)
		l->last = &l->first;
	return c;
}

/* One of these runs at a time: is_writing. */
static void write_queue(void *p)
{
	struct access_log *l = p;
	enum written w = WRITTEN;
	struct chunk *c;

	pthread_mutex_lock(&l->lock);
	while (w != WRITE_LATER && (c = take_chunk(l))) {
		pthread_mutex_unlock(&l->lock);
		if (l->syslog)
			write_syslog(l, c);
		else
			w = write_file(l, c);
		pthread_mutex_lock(&l->lock);
		if (w == WRITE_LATER) {
			c->next = l->first;
			l->first = c;
			if (!c->next)
				l->last = &c->next;
		} else {
			l->queued -= c->n;
			chunk_put_back(l, c);
		}
	}
	l->is_writing = false;
	pthread_cond_broadcast(&l->is_idle);
	pthread_mutex_unlock(&l->lock);
}

/* Starts the writer unless it runs or has nothing to do. */
static void write_soon(struct access_log *l)
{
	bool must_start;

	pthread_mutex_lock(&l->lock);
	must_start = !l->is_writing && (l->first || l->next_fd >= 0);
	l->is_writing |= must_start;
	pthread_mutex_unlock(&l->lock);
	if (must_start)
		offload_detached(write_queue, l);
}

/* Gives a chunk away. */
static void send_off(struct access_log *l, struct chunk *c)
{
	pthread_mutex_lock(&l->lock);
	if (l->queued + c->n > QUEUE_MAX) {
		drop(l, c->data, c->n);
		chunk_put_back(l, c);
	} else {
		l->queued += c->n;
		c->next = NULL;
		*l->last = c;
		l->last = &c->next;
	}
	pthread_mutex_unlock(&l->lock);
	write_soon(l);
}

/* ---- lines ------------------------------------------------------------------------- */

static struct slot *slot_of(struct access_log *l)
{
	const struct loop *loop = loop_self();

	return &l->slots[loop ? loop_index(loop) % l->n_slots : 0];
}

/* A line larger than a whole chunk gets one of its own. */
static void write_long(struct access_log *l, struct slot *slot, const struct access_record *r)
{
	for (size_t cap = 2 * CHUNK_SIZE; cap <= LINE_MAX_; cap *= 2) {
		struct chunk *c = chunk_new(l, cap);

		c->n = access_format_put(l->format, r, &slot->times, c->data, cap);
		if (c->n) {
			send_off(l, c);
			return;
		}
		mem_free(c);
	}
	atomic_fetch_add(&l->dropped, 1);
}

void access_log_write(struct access_log *l, const struct access_record *r)
{
	struct slot *slot = slot_of(l);
	struct chunk *c;
	size_t n = 0;

	pthread_mutex_lock(&slot->lock);
	for (int i = 0; i < 2 && n == 0; i++) { /* what does not fit into this one fits the next */
		if (!slot->chunk)
			slot->chunk = chunk_new(l, CHUNK_SIZE);
		c = slot->chunk;
		n = access_format_put(l->format, r, &slot->times, c->data + c->n, c->cap - c->n);
		c->n += n;
		if (c->n >= SEND_SIZE || (n == 0 && c->n > 0))
			send_off(l, TAKE(slot->chunk));
	}
	if (n == 0)
		write_long(l, slot, r);
	pthread_mutex_unlock(&slot->lock);
}

static void flush_slot(struct access_log *l, struct slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	if (slot->chunk && slot->chunk->n)
		send_off(l, TAKE(slot->chunk));
	pthread_mutex_unlock(&slot->lock);
}

/* Says how many lines were lost, not more often than every ten seconds. */
static void tell_dropped(struct access_log *l)
{
	uint64_t dropped = atomic_load(&l->dropped), told = atomic_load(&l->told);
	int64_t now = clock_mono_ms(), last = atomic_load(&l->told_ms);
	int error = atomic_load(&l->error);

	if (dropped == told || (last && now - last < TELL_MS) ||
	    !atomic_compare_exchange_strong(&l->told_ms, &last, now))
		return;
	atomic_store(&l->told, dropped);
	log_error("access log %s: %llu lines dropped (%llu in all): %s", l->path,
		  (unsigned long long)(dropped - told), (unsigned long long)dropped,
		  error ? strerror(error) : "it cannot be written as fast as lines come");
	atomic_store(&l->error, 0);
}

void access_log_tick(struct access_log *l)
{
	flush_slot(l, slot_of(l));
	write_soon(l);
	tell_dropped(l);
}

uint64_t access_log_dropped(const struct access_log *l)
{
	return atomic_load(&l->dropped);
}

/* ---- opening and closing -------------------------------------------------------------- */

/* Never blocks on a pipe; standard output may be a socket, which cannot be opened. */
static struct err *open_file(const char *path, int *ret)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);

	if (fd < 0 && strcmp(path, "/dev/stdout") == 0)
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else if (fd < 0 && strcmp(path, "/dev/stderr") == 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return FAIL_ERRNO("access log %s", path);
	*ret = fd;
	return NULL;
}

static void log_free(struct access_log *l)
{
	struct chunk *next;

	for (struct chunk *c = l->spare; c; c = next) {
		next = c->next;
		mem_free(c);
	}
	for (struct chunk *c = l->first; c; c = next) { /* what a sleeping pipe did not take */
		next = c->next;
		mem_free(c);
	}
	for (int i = 0; i < l->n_slots; i++) {
		mem_free(l->slots[i].chunk);
		pthread_mutex_destroy(&l->slots[i].lock);
	}
	if (l->fd >= 0)
		close(l->fd);
	if (l->next_fd >= 0)
		close(l->next_fd);
	syslog_sink_close(&l->syslog);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->is_idle);
	mem_free(l->path);
	mem_free(l);
}

struct err *access_log_open(const char *path, const struct access_format *f, int loops,
			    struct access_log **ret)
{
	int n = loops > 0 ? loops : 1;
	struct access_log *l = mem_alloc(sizeof(*l) + (size_t)n * sizeof(l->slots[0]));
	struct err *e;

	l->format = f;
	l->fd = l->next_fd = -1;
	l->last = &l->first;
	l->n_slots = n;
	l->path = memcpy(mem_alloc(strlen(path) + 1), path, strlen(path));
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->is_idle, NULL);
	for (int i = 0; i < n; i++) {
		pthread_mutex_init(&l->slots[i].lock, NULL);
		l->slots[i].times.second = -1;
	}
	if (str_starts(str_of(path), STR("syslog:")))
		e = syslog_sink_open(str_from(str_of(path), 7), &l->syslog);
	else
		e = open_file(path, &l->fd);
	if (e) {
		log_free(l);
		return e;
	}
	*ret = l;
	return NULL;
}

struct err *access_log_reopen(struct access_log *l)
{
	int fd;

	if (l->syslog)
		return NULL;
	PASS(open_file(l->path, &fd));
	pthread_mutex_lock(&l->lock);
	if (l->next_fd >= 0)
		close(l->next_fd);
	l->next_fd = fd;
	pthread_mutex_unlock(&l->lock);
	write_soon(l);
	return NULL;
}

void access_log_close(struct access_log **l_)
{
	struct access_log *l = TAKE(*l_);

	if (!l)
		return;
	for (int i = 0; i < l->n_slots; i++)
		flush_slot(l, &l->slots[i]);
	pthread_mutex_lock(&l->lock);
	while (l->is_writing)
		pthread_cond_wait(&l->is_idle, &l->lock);
	l->is_writing = true;
	pthread_mutex_unlock(&l->lock);
	write_queue(l); /* what came in between; a pipe has its last chance */
	for (struct chunk *c = l->first; c; c = c->next)
		drop(l, c->data + c->at, c->n - c->at);
	atomic_store(&l->told_ms, 0);
	tell_dropped(l);
	log_free(l);
}
