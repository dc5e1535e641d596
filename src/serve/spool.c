/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/spool.h"

#include "base/fault.h"
#include "base/mem.h"
#include "fiber/fiber.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void spool_init(struct spool *s, const char *folder, size_t memory_max, uint64_t file_max)
{
	*s = (struct spool){ .folder = folder, .fd = -1, .file_max = file_max };
	s->memory_max = memory_max > BLOCK_SMALL ? BLOCK_LARGE : BLOCK_SMALL;
}

/* Giving back the pages of a large file takes its time. */
static void close_file(void *fd)
{
	close((int)(intptr_t)fd);
}

void spool_done(struct spool *s)
{
	block_put(&s->memory);
	block_put(&s->page);
	if (s->fd >= 0)
		offload_detached(close_file, (void *)(intptr_t)s->fd);
	s->fd = -1;
	s->in_memory = 0;
	s->in_file = s->taken = 0;
}

/* ---- the file, on an offload thread ------------------------------------------------ */

struct job {
	struct spool *spool;
	const char *out; /* to write, or NULL to read into in */
	char *in;
	size_t n;
	uint64_t at;
	ssize_t done; /* bytes, or -1 */
	int error;    /* errno */
};

/* Without a name from the start where the file system can, else unlinked at once. */
static int open_nameless(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[4096];

	if (FAULT("spool.open") && fd >= 0) {
		close(fd);
		errno = ENOSPC;
		return -1;
	}
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	if (snprintf(path, sizeof(path), "%s/XXXXXX", folder) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static ssize_t move_bytes(struct job *j)
{
	size_t n = 0;

	while (n < j->n) {
		off_t at = (off_t)(j->at + n);
		ssize_t moved = j->out ? pwrite(j->spool->fd, j->out + n, j->n - n, at)
				       : pread(j->spool->fd, j->in + n, j->n - n, at);

		if (moved < 0 && errno == EINTR)
			continue;
		if (moved < 0 || (moved == 0 && j->out))
			return -1;
		if (moved == 0)
			break;
		n += (size_t)moved;
	}
	return (ssize_t)n;
}

static void run_job(void *p)
{
	struct job *j = p;

	if (j->spool->fd < 0)
		j->spool->fd = open_nameless(j->spool->folder);
	j->done = j->spool->fd < 0 ? -1 : move_bytes(j);
	j->error = errno;
	if (j->out ? FAULT("spool.write") : FAULT("spool.read")) {
		j->done = -1;
		j->error = EIO;
	}
}

/* ---- in and out ----------------------------------------------------------------------- */

static size_t add_to_memory(struct spool *s, const char *p, size_t n)
{
	size_t room = s->memory_max - s->in_memory;

	if (s->fd >= 0 || room == 0) /* behind what is in the file */
		return 0;
	if (!s->memory)
		s->memory = block_get((uint32_t)s->memory_max);
	if (n > room)
		n = room;
	memcpy(s->memory->data + s->in_memory, p, n);
	s->in_memory += n;
	return n;
}

struct err *spool_add(struct spool *s, const char *p, size_t n)
{
	size_t before = s->in_memory, kept = add_to_memory(s, p, n);
	struct job j = { .spool = s, .out = p + kept, .n = n - kept, .at = s->in_file };

	if (j.n == 0)
		return NULL;
	if (s->file_max && s->in_file + j.n > s->file_max) {
		s->in_memory = before;
		return FAIL(ERR_REFUSED, "more than %llu bytes to keep in a file",
			    (unsigned long long)s->file_max);
	}
	offload(run_job, &j);
	if (j.done < 0) {
		s->in_memory = before;
		errno = j.error;
		return FAIL_ERRNO("cannot keep a body in a file in %s", s->folder);
	}
	s->in_file += j.n;
	return NULL;
}

ssize_t spool_next(struct spool *s, size_t most, char **ret)
{
	struct job j = { .spool = s };

	if (s->taken < s->in_memory) {
		size_t n = s->in_memory - (size_t)s->taken;

		*ret = s->memory->data + s->taken;
		return (ssize_t)(n < most ? n : most);
	}
	if (s->taken == spool_size(s))
		return 0;
	if (!s->page)
		s->page = block_get(BLOCK_LARGE);
	j.in = s->page->data;
	j.at = s->taken - s->in_memory;
	j.n = s->in_file - j.at < s->page->size ? (size_t)(s->in_file - j.at) : s->page->size;
	if (j.n > most)
		j.n = most;
	offload(run_job, &j);
	*ret = j.in;
	return j.done > 0 ? j.done : -1;
}

void spool_took(struct spool *s, size_t n)
{
	s->taken += n;
}

void spool_rest(struct spool *s)
{
	block_put(&s->page);
}

void spool_rewind(struct spool *s)
{
	s->taken = 0;
}
