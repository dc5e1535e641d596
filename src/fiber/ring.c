/* SPDX-License-Identifier: Apache-2.0 */
#include "fiber/ring.h"

#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES     1024
#define COMPLETIONS 8192
#define FILES_MOST  16384
#define LENT        64 /* buffers with the kernel at a time */

/* ---- system calls without a wrapper ---------------------------------------------- */

static int sys_setup(unsigned entries, struct io_uring_params *p)
{
	return (int)syscall(__NR_io_uring_setup, entries, p);
}

static int sys_enter(int fd, uint32_t submit, uint32_t wait, uint32_t flags, void *arg, size_t n)
{
	return (int)syscall(__NR_io_uring_enter, fd, submit, wait, flags, arg, n);
}

static int sys_register(int fd, unsigned what, void *arg, unsigned n)
{
	return (int)syscall(__NR_io_uring_register, fd, what, arg, n);
}

/* ---- life ------------------------------------------------------------------------ */

static void *map_ring(int fd, size_t size, uint64_t what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
		       (off_t)what);

	return p == MAP_FAILED ? NULL : p;
}

static void *map_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool map_queues(struct ring *r, const struct io_uring_params *p)
{
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	uint32_t *order;
	char *map;

	r->map_size = sq > cq ? sq : cq;
	r->sqes_size = p->sq_entries * sizeof(struct io_uring_sqe);
	r->map = map = map_ring(r->fd, r->map_size, IORING_OFF_SQ_RING);
	r->sqes = map_ring(r->fd, r->sqes_size, IORING_OFF_SQES);
	if (!r->map || !r->sqes)
		return false;
	r->sq_head = (void *)(map + p->sq_off.head);
	r->sq_tail = (void *)(map + p->sq_off.tail);
	r->sq_flags = (void *)(map + p->sq_off.flags);
	r->sq_mask = p->sq_entries - 1;
	r->cq_head = (void *)(map + p->cq_off.head);
	r->cq_tail = (void *)(map + p->cq_off.tail);
	r->cq_mask = p->cq_entries - 1;
	r->cqes = (void *)(map + p->cq_off.cqes);
	order = (void *)(map + p->sq_off.array);
	for (uint32_t i = 0; i < p->sq_entries; i++)
		order[i] = i;
	return true;
}

/* DEFER_TASKRUN came with Linux 6.1, and all else that is used here before it. */
struct err *ring_init(struct ring *r)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED |
			 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG,
		.cq_entries = COMPLETIONS,
	};
	struct err *e;

	*r = (struct ring){ .fd = sys_setup(ENTRIES, &p) };
	if (r->fd < 0)
		return FAIL_ERRNO("cannot set up io_uring");
	if (map_queues(r, &p))
		return NULL;
	e = FAIL_ERRNO("cannot map io_uring's queues");
	ring_done(r);
	return e;
}

void ring_done(struct ring *r)
{
	if (r->fd < 0)
		return;
	if (r->map)
		munmap(r->map, r->map_size);
	if (r->sqes)
		munmap(r->sqes, r->sqes_size);
	close(r->fd);
	r->fd = -1;
	if (r->lent)
		munmap(r->lent, r->lent_size);
	if (r->bytes)
		munmap(r->bytes, (size_t)RING_BUFFERS * RING_BUFFER_SIZE);
}

/* ---- the queues -------------------------------------------------------------------- */

static void enable(struct ring *r)
{
	if (sys_register(r->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		die("cannot start io_uring: %s", strerror(errno));
	r->is_enabled = true;
}

static uint32_t publish(struct ring *r)
{
	atomic_store_explicit(r->sq_tail, r->tail, memory_order_release);
	return r->tail - atomic_load_explicit(r->sq_head, memory_order_acquire);
}

/* What stops the kernel for now: it goes on the next time. */
static void check(int result)
{
	if (result < 0 && errno != EINTR && errno != ETIME && errno != EAGAIN && errno != EBUSY)
		die("io_uring_enter: %s", strerror(errno));
}

void ring_submit(struct ring *r)
{
	uint32_t n = publish(r);

	if (!r->is_enabled)
		enable(r);
	if (n)
		check(sys_enter(r->fd, n, 0, 0, NULL, 0));
}

/* A full queue is emptied by the call, unless memory or completions run out in the
 * kernel; completions are taken meanwhile by nobody, so it is tried until it goes. */
struct io_uring_sqe *ring_queue(struct ring *r)
{
	struct io_uring_sqe *e;

	while (r->tail - atomic_load_explicit(r->sq_head, memory_order_acquire) > r->sq_mask)
		ring_submit(r);
	e = &r->sqes[r->tail++ & r->sq_mask];
	memset(e, 0, sizeof(*e));
	return e;
}

static void lend(struct ring *r)
{
	if (r->lent_count >= LENT || r->resting_count == 0)
		return;
	while (r->lent_count < LENT && r->resting_count) {
		uint16_t id = r->resting[--r->resting_count];
		struct io_uring_buf *b = &r->lent->bufs[r->lent_tail++ & (LENT - 1)];

		b->addr = (uintptr_t)ring_buffer(r, id);
		b->len = RING_BUFFER_SIZE;
		b->bid = id;
		r->lent_count++;
	}
	__atomic_store_n(&r->lent->tail, r->lent_tail, __ATOMIC_RELEASE);
}

void ring_enter(struct ring *r, int64_t timeout_ms)
{
	struct __kernel_timespec left = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000,
	};
	struct io_uring_getevents_arg arg = {
		.ts = timeout_ms > 0 ? (uintptr_t)&left : 0,
	};
	uint32_t n, flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
	bool has_come;

	if (!r->is_enabled)
		enable(r);
	if (r->has_buffers)
		lend(r);
	n = publish(r);
	has_come = atomic_load_explicit(r->cq_tail, memory_order_acquire) != r->head;
	if (timeout_ms == 0 && n == 0 &&
	    !(atomic_load_explicit(r->sq_flags, memory_order_relaxed) &
	      (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)))
		return;
	check(sys_enter(r->fd, n, timeout_ms != 0 && !has_come, flags, &arg, sizeof(arg)));
}

const struct io_uring_cqe *ring_next(struct ring *r)
{
	atomic_store_explicit(r->cq_head, r->head, memory_order_release);
	if (atomic_load_explicit(r->cq_tail, memory_order_acquire) == r->head)
		return NULL;
	return &r->cqes[r->head++ & r->cq_mask];
}

/* ---- descriptors and buffers --------------------------------------------------------- */

static void register_files(struct ring *r)
{
	struct io_uring_rsrc_register places = { .flags = IORING_RSRC_REGISTER_SPARSE };
	struct rlimit most;

	if (getrlimit(RLIMIT_NOFILE, &most) < 0)
		return;
	places.nr = most.rlim_cur < FILES_MOST ? (uint32_t)most.rlim_cur : FILES_MOST;
	if (sys_register(r->fd, IORING_REGISTER_FILES2, &places, sizeof(places)) >= 0)
		r->files = places.nr;
}

bool ring_has_buffers(struct ring *r)
{
	struct io_uring_buf_reg how = { .ring_entries = LENT };
	size_t size = LENT * sizeof(struct io_uring_buf);

	if (r->has_buffers)
		return true;
	if (!r->is_enabled)
		enable(r);
	if (r->bytes) /* it was tried before */
		return false;
	r->bytes = map_memory((size_t)RING_BUFFERS * RING_BUFFER_SIZE);
	r->lent_size = size;
	r->lent = map_memory(size);
	if (!r->bytes || !r->lent)
		die("out of memory for io_uring's buffers");
	how.ring_addr = (uintptr_t)r->lent;
	if (sys_register(r->fd, IORING_REGISTER_PBUF_RING, &how, 1) < 0) {
		log_notice("io_uring takes no buffers: %s", strerror(errno));
		return false;
	}
	register_files(r);
	r->has_buffers = true;
	for (uint16_t i = 0; i < RING_BUFFERS; i++)
		r->resting[r->resting_count++] = i;
	lend(r);
	return true;
}

void ring_buffer_taken(struct ring *r)
{
	r->lent_count--;
}

void ring_buffer_back(struct ring *r, uint16_t id)
{
	assert(r->resting_count < RING_BUFFERS);
	r->resting[r->resting_count++] = id;
}
