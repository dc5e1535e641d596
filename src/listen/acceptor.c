/* SPDX-License-Identifier: Apache-2.0 */
#include "listen/acceptor.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/client.h"
#include <errno.h>
#include <netinet/tcp.h>

#define RUN_MAX  64 /* accepted per turn at most, so that others get theirs */
#define PAUSE_MS 100
#define TELL_MS  10000 /* between two complaints */

struct acceptor {
	struct proxy *proxy;
	const struct listener *listener;
	accept_fn *take;
	struct io io;
	int fd;
	struct timer pause;
	deadline quiet_until;
	uint64_t last_turn; /* of the loop, when it was last ready */
	int run;
};

static void on_ready(struct io *io);

static void resume(struct timer *t)
{
	struct acceptor *a = CONTAINER(t, struct acceptor, pause);

	io_init(&a->io, a->fd);
	io_listen(&a->io, on_ready);
}

/* Closes the connection that has been idle longest; false when none is idle. */
static bool make_room(struct proxy *p)
{
	if (list_is_empty(&p->idle))
		return false;
	client_close(CONTAINER(p->idle.next, struct client, link));
	return true;
}

static void take_pause(struct acceptor *a, const char *why)
{
	if (loop_now_ms() >= a->quiet_until) {
		log_crit("cannot accept on " STRF ": %s; trying again in %d ms",
			 STRV(a->listener->text), why, PAUSE_MS);
		a->quiet_until = deadline_in(TELL_MS);
	}
	io_done(&a->io);
	timer_set(&a->pause, deadline_in(PAUSE_MS));
}

static bool is_full(const struct proxy *p)
{
	int64_t most = p->shared->settings->worker_connections;

	return most > 0 && p->client_count >= (uint64_t)most;
}

/* How many to accept in this turn.  One while they come one by one: asking again
 * would be a call for nothing, and what waits makes the socket ready once more.  More
 * and more while turn follows turn. */
static int run_length(struct acceptor *a)
{
	uint64_t turn = loop_stats(a->proxy->loop).turns;

	a->run = turn == a->last_turn + 1 ? a->run * 2 : 1;
	if (a->run > RUN_MAX)
		a->run = RUN_MAX;
	a->last_turn = turn;
	return a->run;
}

static void on_ready(struct io *io)
{
	struct acceptor *a = CONTAINER(io, struct acceptor, io);

	for (int left = run_length(a); left > 0; left--) {
		struct address peer = { .size = sizeof(peer.local) };
		int fd;

		if (is_full(a->proxy) && !make_room(a->proxy)) {
			take_pause(a, "the worker's connections are used up");
			return;
		}
		if (FAULT("net.accept")) {
			fd = -1;
			errno = EMFILE;
		} else {
			fd = accept4(a->fd, &peer.any, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		}
		if (fd >= 0) {
			a->take(a->proxy, a->listener, fd, &peer);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		if ((errno == EMFILE || errno == ENFILE) && make_room(a->proxy))
			continue;
		take_pause(a, strerrordesc_np(errno));
		return;
	}
}

struct acceptor *acceptor_new(struct proxy *p, const struct listener *l, int fd, accept_fn *take)
{
	struct acceptor *a = MEM_NEW(struct acceptor);
	int nodelay = p->shared->settings->proxy_http.tcp_nodelay;

	/* Accepted sockets inherit it, as they do the options of SO_KEEPALIVE. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof(nodelay));

	a->proxy = p;
	a->listener = l;
	a->take = take;
	a->fd = fd;
	timer_init(&a->pause, resume);
	io_init(&a->io, fd);
	io_listen(&a->io, on_ready);
	return a;
}

/* Where several wait for one socket, the kernel wakes one of them for each connection.
 * What we were woken for and have not accepted would wait until another one comes:
 * so after the last turn of waiting everything in the queue is ours. */
void acceptor_finish(struct acceptor **ref)
{
	struct acceptor *a = *ref;
	int fd;

	if (!a)
		return;
	timer_clear(&a->pause);
	io_done(&a->io);
	do {
		struct address peer = { .size = sizeof(peer.local) };

		fd = accept4(a->fd, &peer.any, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			a->take(a->proxy, a->listener, fd, &peer);
	} while (fd >= 0 || errno == EINTR || errno == ECONNABORTED);
	acceptor_drop(ref);
}

void acceptor_drop(struct acceptor **ref)
{
	struct acceptor *a = *ref;

	if (!a)
		return;
	*ref = NULL;
	timer_clear(&a->pause);
	io_done(&a->io);
	mem_free(a);
}
