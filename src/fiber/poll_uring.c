/* SPDX-License-Identifier: Apache-2.0 */
/* The poller over io_uring.
 *
 * A descriptor has a slot, which outlives its io until the kernel has ended all that
 * was asked for it.  Two ways to be served:
 *
 *	watched  one poll request tells edges, as epoll does; recv() and send() are
 *	         calls.  For all, at first: most of what a short connection would win
 *	         by more is eaten by setting it up.
 *	kept     one receive request fills buffers of the ring as bytes come, and
 *	         sends go with the call that waits for events.  So a turn of the loop
 *	         is one system call.  Meanwhile no buffer belongs to who is silent.
 *
 *	io_keep ─► receiving ─┬─ ended (end of file, error: stays so)
 *	              ▲       └─ too much came, or no buffer was left: when what was
 *	              │          received is taken ─► watched again
 *	              └──────────────── io_keep, after a while ◄────────┘
 *
 * What is queued names a descriptor by its number until it has gone to the kernel;
 * so before a descriptor may be closed, that goes. */
#include "fiber/poll.h"
#include "fiber/priv.h"
#include "fiber/ring.h"

#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HELD_MOST 8  /* buffers of one descriptor, before it is watched instead */
#define BULKY_FOR 16 /* times that it is not kept then */
#define CHUNK     64 /* slots made at a time */

/* What a request was for, in the low bits of its user_data. */
enum what { OF_NOBODY, OF_POLL, OF_RECEIVE, OF_WRITABLE, OF_SEND, OF_WAKE, WHAT_MASK = 7 };

/* A send; on the stack of the fiber that waits for it. */
struct sending {
	struct sending *next; /* another of the same slot */
	struct slot *slot;
	struct fiber *fiber;
	int result;
	bool is_over, is_forgotten; /* its io was */
};

struct slot {
	struct io *io;     /* NULL: forgotten */
	struct slot *next; /* while free */
	struct sending *sends;
	uint32_t mark;      /* the queue's tail behind its last request */
	uint32_t place;     /* in the table of descriptors */
	uint8_t in_flight;  /* requests without a last completion; without sends */
	uint8_t held_count; /* buffers that nobody took yet */
	uint8_t bulky_for;
	bool is_receiving : 1;  /* there is a receive request */
	bool is_cancelling : 1; /* it is to end */
	bool is_registered : 1; /* has its place in the table */
	bool has_ended : 1, wants_write : 1;
	uint16_t first, last; /* of those buffers */
	uint16_t begin;       /* where the first one's bytes go on */
	int fd;
	int end; /* how it ended: 0 or an errno */
};

struct chunk {
	struct chunk *next;
	struct slot slots[CHUNK];
};

struct uring_poller {
	struct poller common;
	struct ring ring;
	int wake_fd;
	bool is_waking; /* the eventfd is watched */
	struct slot *free_slots;
	struct chunk *chunks;
	uint32_t places; /* given out so far */
	struct {
		uint16_t next, size;
	} held[RING_BUFFERS]; /* by the buffer's number */
};

static struct uring_poller *own(struct poller *p)
{
	return CONTAINER(p, struct uring_poller, common);
}

/* ---- slots -------------------------------------------------------------------------- */

static void slot_free(struct uring_poller *p, struct slot *s)
{
	uint32_t place = s->place;

	*s = (struct slot){ .place = place, .next = p->free_slots };
	p->free_slots = s;
}

static void make_slots(struct uring_poller *p)
{
	struct chunk *c = calloc(1, sizeof(*c));

	if (!c)
		die("out of memory for descriptors");
	c->next = p->chunks;
	p->chunks = c;
	p->places += CHUNK;
	for (uint32_t i = 0; i < CHUNK; i++) {
		struct slot *s = &c->slots[CHUNK - 1 - i];

		s->place = p->places - 1 - i;
		slot_free(p, s);
	}
}

static struct slot *slot_take(struct uring_poller *p, struct io *io)
{
	struct slot *s;

	if (!p->free_slots)
		make_slots(p);
	s = p->free_slots;
	p->free_slots = s->next;
	s->next = NULL;
	s->io = io;
	s->fd = io->fd;
	return s;
}

static void slot_may_end(struct uring_poller *p, struct slot *s)
{
	if (!s->io && s->in_flight == 0 && !s->sends)
		slot_free(p, s);
}

/* ---- requests ------------------------------------------------------------------------- */

static uint64_t tag(const void *owner, enum what w)
{
	return (uintptr_t)owner | (uint64_t)w;
}

/* A request about s->fd. */
static struct io_uring_sqe *request(struct uring_poller *p, struct slot *s, enum what w)
{
	struct io_uring_sqe *q = ring_queue(&p->ring);

	q->fd = s->fd;
	if (s->is_registered) {
		q->fd = (int)s->place;
		q->flags = IOSQE_FIXED_FILE;
	}
	q->user_data = tag(s, w);
	s->mark = p->ring.tail;
	return q;
}

static void request_poll(struct uring_poller *p, struct slot *s)
{
	struct io_uring_sqe *q = request(p, s, OF_POLL);

	q->opcode = IORING_OP_POLL_ADD;
	if (s->io->is_listener) {
		q->poll32_events = EPOLLIN | EPOLLEXCLUSIVE;
	} else {
		q->poll32_events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
		q->len = IORING_POLL_ADD_MULTI;
	}
	s->in_flight++;
}

static void request_receive(struct uring_poller *p, struct slot *s)
{
	struct io_uring_sqe *q = request(p, s, OF_RECEIVE);

	q->opcode = IORING_OP_RECV;
	q->flags |= IOSQE_BUFFER_SELECT;
	q->ioprio = IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST;
	s->is_receiving = true;
	s->is_cancelling = false;
	s->in_flight++;
}

static void request_cancel(struct uring_poller *p, uint64_t user_data)
{
	struct io_uring_sqe *q = ring_queue(&p->ring);

	q->opcode = IORING_OP_ASYNC_CANCEL;
	q->fd = -1;
	q->addr = user_data;
	q->cancel_flags = IORING_ASYNC_CANCEL_ALL;
	q->flags = IOSQE_CQE_SKIP_SUCCESS;
	q->user_data = OF_NOBODY;
}

/* Puts a descriptor into the table, or -1 there. */
static void request_place(struct uring_poller *p, struct slot *s, const int *fd)
{
	struct io_uring_sqe *q = ring_queue(&p->ring);

	q->opcode = IORING_OP_FILES_UPDATE;
	q->addr = (uintptr_t)fd;
	q->len = 1;
	q->off = s->place;
	q->flags = IOSQE_CQE_SKIP_SUCCESS;
	q->user_data = OF_NOBODY;
	s->mark = p->ring.tail;
}

/* ---- watching ------------------------------------------------------------------------- */

static bool uring_add(struct poller *common, struct io *io, bool is_listener)
{
	struct uring_poller *p = own(common);

	(void)is_listener;
	if (io->fd < 0) {
		errno = EBADF;
		return false;
	}
	io->slot = slot_take(p, io);
	request_poll(p, io->slot);
	return true;
}

/* Gives the buffers of a slot back. */
static void drop_held(struct uring_poller *p, struct slot *s)
{
	for (; s->held_count; s->held_count--) {
		uint16_t id = s->first;

		s->first = p->held[id].next;
		ring_buffer_back(&p->ring, id);
	}
}

static void uring_remove(struct poller *common, struct io *io, bool must_tell)
{
	static const int nothing = -1;
	struct uring_poller *p = own(common);
	struct slot *s = io->slot;

	(void)must_tell;
	if (!s)
		return;
	io->slot = NULL;
	s->io = NULL;
	drop_held(p, s);
	if (ring_holds(&p->ring, s->mark))
		ring_submit(&p->ring);
	for (struct sending *g = s->sends; g; g = g->next) {
		g->is_forgotten = true;
		request_cancel(p, tag(g, OF_SEND));
	}
	if (s->is_receiving)
		request_cancel(p, tag(s, OF_RECEIVE));
	if (s->wants_write)
		request_cancel(p, tag(s, OF_WRITABLE));
	if (s->in_flight > s->is_receiving + s->wants_write)
		request_cancel(p, tag(s, OF_POLL));
	if (s->is_registered) {
		s->is_registered = false;
		request_place(p, s, &nothing);
	}
	slot_may_end(p, s);
}

static void polled(struct uring_poller *p, struct slot *s, int result, bool is_last)
{
	if (is_last)
		s->in_flight--;
	if (!s->io) {
		slot_may_end(p, s);
		return;
	}
	if (result < 0 && result != -ECANCELED)
		result = EPOLLERR;
	if (result < 0 || s->io->is_kept)
		return;
	if (is_last && !(result & (EPOLLERR | EPOLLHUP)))
		request_poll(p, s);
	io_happened(s->io, poll_ready_bits((uint32_t)result));
}

/* ---- keeping ---------------------------------------------------------------------------- */

static void uring_keep(struct poller *common, struct io *io)
{
	struct uring_poller *p = own(common);
	struct slot *s = io->slot;

	if (!s || io->ready & IO_HUP || !ring_has_buffers(&p->ring))
		return;
	if (s->bulky_for) {
		s->bulky_for--;
		return;
	}
	if (s->in_flight)
		request_cancel(p, tag(s, OF_POLL));
	if (!s->is_registered && s->place < p->ring.files) {
		request_place(p, s, &s->fd);
		s->is_registered = true;
	}
	request_receive(p, s);
	io->is_kept = true;
	io->ready = IO_WRITE;
}

/* Back to being watched.  What there is to read is tried. */
static void unkeep(struct uring_poller *p, struct slot *s)
{
	s->io->is_kept = false;
	s->io->ready |= IO_READ | IO_WRITE;
	request_poll(p, s);
}

static void received_bytes(struct uring_poller *p, struct slot *s, uint16_t id, int size)
{
	p->held[id].size = (uint16_t)size;
	if (s->held_count++)
		p->held[s->last].next = id;
	else {
		s->first = id;
		s->begin = 0;
	}
	s->last = id;
}

/* The receive request has ended, without anybody's wish or by ours. */
static void receive_ended(struct uring_poller *p, struct slot *s, int result)
{
	if (result > 0 && !s->is_cancelling) {
		request_receive(p, s);
	} else if (result == 0 || (result < 0 && result != -ECANCELED && result != -ENOBUFS)) {
		s->has_ended = true;
		s->end = -result;
	} else if (result == -ENOBUFS && p->ring.resting_count && !s->is_cancelling) {
		request_receive(p, s);
	} else if (s->held_count == 0) {
		unkeep(p, s);
	}
}

static void received(struct uring_poller *p, struct slot *s, const struct io_uring_cqe *c)
{
	bool is_last = !(c->flags & IORING_CQE_F_MORE);
	uint16_t id = (uint16_t)(c->flags >> IORING_CQE_BUFFER_SHIFT);
	int result = c->res;

	if (is_last) {
		s->in_flight--;
		s->is_receiving = false;
	}
	if (c->flags & IORING_CQE_F_BUFFER) {
		ring_buffer_taken(&p->ring);
		if (s->io && result > 0)
			received_bytes(p, s, id, result);
		else
			ring_buffer_back(&p->ring, id);
	}
	if (!s->io) {
		slot_may_end(p, s);
		return;
	}
	if (s->held_count >= HELD_MOST && !s->is_cancelling) {
		s->is_cancelling = true;
		s->bulky_for = BULKY_FOR;
		if (s->is_receiving)
			request_cancel(p, tag(s, OF_RECEIVE));
	}
	if (is_last)
		receive_ended(p, s, result);
	if (s->has_ended)
		io_happened(s->io, IO_READ | IO_WRITE | IO_HUP);
	else if (s->held_count || !s->io->is_kept)
		io_happened(s->io, IO_READ);
}

static ssize_t uring_take(struct poller *common, struct io *io, void *bytes, size_t n)
{
	struct uring_poller *p = own(common);
	struct slot *s = io->slot;
	size_t took = 0;

	while (s->held_count && took < n) {
		uint16_t id = s->first;
		size_t part = (size_t)(p->held[id].size - s->begin);

		if (part > n - took)
			part = n - took;
		memcpy((char *)bytes + took, ring_buffer(&p->ring, id) + s->begin, part);
		took += part;
		s->begin += (uint16_t)part;
		if (s->begin == p->held[id].size) {
			s->first = p->held[id].next;
			s->begin = 0;
			s->held_count--;
			ring_buffer_back(&p->ring, id);
		}
	}
	if (s->held_count == 0 && !s->has_ended) {
		if (s->is_receiving)
			io_clear(io, IO_READ);
		else
			unkeep(p, s);
	}
	if (took)
		return (ssize_t)took;
	return s->has_ended ? -(ssize_t)s->end : -EAGAIN;
}

/* ---- sending ---------------------------------------------------------------------------- */

static void request_send(struct uring_poller *p, struct sending *g, struct msghdr *m)
{
	struct io_uring_sqe *q = request(p, g->slot, OF_SEND);

	q->user_data = tag(g, OF_SEND);
	q->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
	if (m->msg_iovlen == 1) {
		q->opcode = IORING_OP_SEND;
		q->addr = (uintptr_t)m->msg_iov->iov_base;
		q->len =
			m->msg_iov->iov_len < INT32_MAX ? (uint32_t)m->msg_iov->iov_len : INT32_MAX;
	} else {
		q->opcode = IORING_OP_SENDMSG;
		q->addr = (uintptr_t)m;
		q->len = 1;
	}
}

/* The kernel reads from the fiber's memory until the request is over, so the fiber
 * stays until then, whatever comes. */
static ssize_t uring_send(struct poller *common, struct io *io, struct iovec *iov, int n,
			  deadline until)
{
	struct uring_poller *p = own(common);
	struct fiber *f = fiber_self();
	struct sending g = { .next = io->slot->sends, .slot = io->slot, .fiber = f };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	size_t size = 0;
	int why = 0; /* it was given up */

	assert(f);
	for (int i = 0; i < n; i++)
		size += iov[i].iov_len;
	io->slot->sends = &g;
	request_send(p, &g, &m);
	while (!g.is_over) {
		enum wait w = fiber_suspend(f, f->is_stubborn ? DEADLINE_NEVER : until);

		if (g.is_over || f->is_stubborn)
			continue;
		why = w == WAIT_TIMEOUT ? ETIMEDOUT : ECANCELED;
		request_cancel(p, tag(&g, OF_SEND));
		f->is_stubborn = true;
	}
	f->is_stubborn = false;
	if (g.is_forgotten)
		why = ECANCELED;
	return why && g.result < (ssize_t)size ? -why : g.result;
}

static void sent(struct uring_poller *p, struct sending *g, int result)
{
	struct slot *s = g->slot;
	struct sending **at = &s->sends;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	g->result = result;
	g->is_over = true;
	fiber_wake(g->fiber, WAIT_OK);
	slot_may_end(p, s);
}

/* A call found it full. */
static void uring_want_write(struct poller *common, struct io *io)
{
	struct uring_poller *p = own(common);
	struct slot *s = io->slot;
	struct io_uring_sqe *q;

	if (s->wants_write)
		return;
	q = request(p, s, OF_WRITABLE);
	q->opcode = IORING_OP_POLL_ADD;
	q->poll32_events = EPOLLOUT;
	s->wants_write = true;
	s->in_flight++;
}

static void became_writable(struct uring_poller *p, struct slot *s)
{
	s->in_flight--;
	s->wants_write = false;
	if (s->io)
		io_happened(s->io, IO_WRITE);
	else
		slot_may_end(p, s);
}

/* ---- the loop's side ---------------------------------------------------------------------- */

static void watch_wake(struct uring_poller *p)
{
	struct io_uring_sqe *q = ring_queue(&p->ring);

	q->opcode = IORING_OP_POLL_ADD;
	q->fd = p->wake_fd;
	q->len = IORING_POLL_ADD_MULTI;
	q->poll32_events = EPOLLIN | EPOLLET;
	q->user_data = OF_WAKE;
	p->is_waking = true;
}

static void completed(struct uring_poller *p, const struct io_uring_cqe *c)
{
	void *owner = (void *)(uintptr_t)(c->user_data & ~(uint64_t)WHAT_MASK);
	bool is_last = !(c->flags & IORING_CQE_F_MORE);

	switch (c->user_data & WHAT_MASK) {
	case OF_POLL:
		polled(p, owner, c->res, is_last);
		break;
	case OF_RECEIVE:
		received(p, owner, c);
		break;
	case OF_WRITABLE:
		became_writable(p, owner);
		break;
	case OF_SEND:
		sent(p, owner, c->res);
		break;
	case OF_WAKE: /* the eventfd needs no reading: each write is an edge of its own */
		p->is_waking = !is_last;
		break;
	default: /* a cancel that came late, or a table that is gone */
		break;
	}
}

static void uring_wait(struct poller *common, int64_t timeout_ms)
{
	struct uring_poller *p = own(common);
	const struct io_uring_cqe *c;

	if (!p->is_waking)
		watch_wake(p);
	ring_enter(&p->ring, timeout_ms);
	while ((c = ring_next(&p->ring)))
		completed(p, c);
}

static void uring_wake(struct poller *common)
{
	static const uint64_t one = 1;

	/* Fails only when the counter is full, and then the edge is there. */
	if (write(own(common)->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("cannot wake a loop: %s", strerror(errno));
}

/* So that what was closed is closed, and not when the kernel cleans up. */
static void uring_end(struct poller *common)
{
	uring_wait(common, 0);
}

static void uring_drop(struct poller *common)
{
	struct uring_poller *p = own(common);

	ring_done(&p->ring);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	while (p->chunks) {
		struct chunk *c = p->chunks;

		p->chunks = c->next;
		free(c);
	}
	free(p);
}

static const struct poller_kind kind = {
	.name = "io_uring",
	.drop = uring_drop,
	.add = uring_add,
	.remove = uring_remove,
	.wait = uring_wait,
	.wake = uring_wake,
	.end = uring_end,
	.keep = uring_keep,
	.take = uring_take,
	.send = uring_send,
	.want_write = uring_want_write,
};

struct err *poll_uring_new(struct poller **ret)
{
	struct uring_poller *p = calloc(1, sizeof(*p));
	struct poller *made CLEANUP(poll_drop) = p ? &p->common : NULL;

	if (!p)
		die("out of memory for a poller");
	p->common.kind = &kind;
	p->wake_fd = -1;
	p->ring.fd = -1;
	PASS(ring_init(&p->ring));
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake_fd < 0)
		return FAIL_ERRNO("cannot make an event loop's descriptors");
	*ret = TAKE(made);
	return NULL;
}
