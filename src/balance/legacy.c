/* SPDX-License-Identifier: Apache-2.0 */
/* Health from one worker to the next.
 *
 * What a worker knows of its targets' health lies in a file without a name that its
 * successor inherits, whether that comes by a reload or after a crash: Kong keeps the
 * same in shared memory.  Only what is not plainly healthy is written.  Both sides are
 * the same program, so records are written as they lie in memory; a sum over them tells
 * a file that was being written. */
#include "balance/priv.h"
#include "balance/xxh32.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORDS_MAX 100000

struct heading {
	uint64_t sum;
	uint64_t n;
};

/* Of a target's address; false: it is none of an upstream, or has no address of its own. */
static bool heir_of(const struct peer *p, struct heir *ret)
{
	if (p->lasting->name || p->is_each_time || p->address.size > sizeof(ret->address))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->upstream = p->lasting->id;
	ret->size = p->address.size;
	memcpy(ret->address, &p->address.any, p->address.size);
	ret->health = atomic_load(&p->health);
	return true;
}

static int by_key(const void *x, const void *y)
{
	return memcmp(x, y, offsetof(struct heir, health));
}

/* ---- writing --------------------------------------------------------------------- */

static void gather(struct balance_store *s, struct buf *ret)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		list_for_each (&s->peers[i], struct peer, link, p) {
			struct heir heir;

			if (ret->n < RECORDS_MAX * sizeof(heir) && heir_of(p, &heir) && heir.health)
				buf_add(ret, &heir, sizeof(heir));
		}
	}
}

void heirs_write(struct balance_store *s)
{
	struct buf records CLEANUP(buf_done) = { 0 };
	struct heading h;

	if (s->legacy_fd < 0 || !atomic_exchange(&s->has_news, false))
		return;
	gather(s, &records);
	h = (struct heading){ xxh32(buf_str(&records)), records.n / sizeof(struct heir) };
	if (pwrite(s->legacy_fd, records.data, records.n, sizeof(h)) != (ssize_t)records.n ||
	    pwrite(s->legacy_fd, &h, sizeof(h), 0) != sizeof(h))
		log_error("the health of targets cannot be kept for the next worker: %s",
			  strerrordesc_np(errno));
}

/* ---- reading ----------------------------------------------------------------------- */

static void read_heirs(struct balance_store *s)
{
	struct heading h;
	struct heir *v;
	size_t size;

	if (pread(s->legacy_fd, &h, sizeof(h), 0) != sizeof(h) || h.n == 0 || h.n > RECORDS_MAX)
		return;
	size = h.n * sizeof(*v);
	v = mem_alloc(size);
	if (pread(s->legacy_fd, v, size, sizeof(h)) != (ssize_t)size ||
	    xxh32(str_at((char *)v, size)) != h.sum) {
		log_warn("the health of targets was being written: all begin as healthy");
		mem_free(v);
		return;
	}
	qsort(v, h.n, sizeof(*v), by_key);
	s->heirs = v;
	s->n_heirs = h.n;
	s->heirs_until = s->sources.now_ms() + FORGET_AFTER_MS;
}

void balance_keep_health(struct balance_store *s, int fd)
{
	s->legacy_fd = fd;
	if (fd >= 0)
		read_heirs(s);
}

void heirs_forget(struct balance_store *s)
{
	mem_free(s->heirs);
	s->heirs = NULL;
	s->n_heirs = 0;
}

uint64_t heirs_health(const struct balance_store *s, const struct peer *p)
{
	struct heir key;
	const struct heir *known;

	if (!s->n_heirs || !heir_of(p, &key))
		return 0;
	known = bsearch(&key, s->heirs, s->n_heirs, sizeof(key), by_key);
	return known ? known->health : 0;
}
