/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/tunnel.h"

struct direction {
	struct sock *from, *to;
	struct block *block; /* only while there is something in it */
	uint32_t begin, end;
	bool has_ended; /* from has, which is to be passed on behind the bytes */
	bool is_over;   /* and it was */
	bool is_dry;    /* the last read found less than it had room for */
	bool is_bulk;   /* the last read filled a small block: a large one is cheaper */
	uint64_t taken;
};

struct tunnel {
	struct client *client;
	struct link *link;
	struct tunnel_plan plan;
	struct direction up, down;
	struct timer timer; /* while parked */
	bool is_parked;
};

enum moved { MOVED_NOTHING, MOVED_SOMETHING, MOVED_BROKEN };

/* ---- moving --------------------------------------------------------------------------- */

/* Is there something to pass on?  *ret is set when that will not come any more. */
static bool read_more(struct direction *d, enum moved *ret)
{
	ssize_t n;

	/* The loop remembers this of a socket that it knows, and tells when it gets to know it. */
	if (d->is_dry && !d->from->io.is_registered)
		return false;
	if (!d->block)
		d->block = block_get(d->is_bulk ? BLOCK_LARGE : BLOCK_SMALL);
	n = sock_try_read(d->from, d->block->data, d->block->size);
	if (n > 0) {
		d->begin = 0;
		d->end = (uint32_t)n;
		d->taken += (uint64_t)n;
		d->is_dry = (uint32_t)n < d->block->size && !d->from->tls;
		d->is_bulk = n >= BLOCK_SMALL;
		return true;
	}
	block_put(&d->block);
	d->begin = d->end = 0;
	if (n == NET_EOF)
		d->has_ended = true;
	else if (n != NET_AGAIN)
		*ret = MOVED_BROKEN;
	return false;
}

/* TLS has to say so, for which there may be no room yet.  When the other direction has ended
 * before, closing says it. */
static enum moved pass_end(struct direction *d, const struct direction *other)
{
	enum net_end end = other->is_over ? NET_OK : sock_shutdown_write(d->to);

	if (end == NET_AGAIN)
		return MOVED_NOTHING;
	d->is_over = true;
	return end == NET_OK ? MOVED_SOMETHING : MOVED_BROKEN;
}

/* Something waits for room on the other side. */
static bool is_held(const struct direction *d)
{
	return d->begin < d->end || (d->has_ended && !d->is_over);
}

static enum moved move(struct direction *d, const struct direction *other)
{
	enum moved moved = MOVED_NOTHING;

	while (!d->is_over) {
		ssize_t n;

		if (d->begin == d->end && !d->has_ended && !read_more(d, &moved) && !d->has_ended)
			return moved;
		if (d->has_ended) {
			enum moved ended = pass_end(d, other);

			return ended == MOVED_NOTHING ? moved : ended;
		}
		n = sock_try_write(d->to, d->block->data + d->begin, d->end - d->begin);
		if (n == NET_AGAIN)
			return moved;
		if (n <= 0)
			return MOVED_BROKEN;
		d->begin += (uint32_t)n;
		moved = MOVED_SOMETHING;
	}
	return moved;
}

/* ---- parking --------------------------------------------------------------------------- */

static void end(struct tunnel *t) SUSPENDS;

static void resume(void *p)
{
	tunnel_run(p);
}

static void resume_to_end(void *p)
{
	end(p);
}

static void unpark(struct tunnel *t)
{
	t->is_parked = false;
	timer_clear(&t->timer);
	io_unpark(&t->client->sock.io);
	io_unpark(&t->link->sock.io);
}

static void wake(struct tunnel *t)
{
	unpark(t);
	fiber_start_now("tunnel", resume, t);
}

static void client_spoke(struct io *io)
{
	struct client *c = CONTAINER(CONTAINER(io, struct sock, io), struct client, sock);

	wake(c->tunnel);
}

static void upstream_spoke(struct io *io)
{
	struct link *k = CONTAINER(CONTAINER(io, struct sock, io), struct link, sock);

	wake(k->user);
}

void tunnel_stop(struct tunnel *t)
{
	if (!t->is_parked)
		return;
	unpark(t);
	fiber_start_now("tunnel", resume_to_end, t);
}

static void on_timer(struct timer *timer)
{
	tunnel_stop(CONTAINER(timer, struct tunnel, timer));
}

/* A side that has ended says nothing more and would be ready for ever. */
static void park(struct tunnel *t)
{
	t->is_parked = true;
	timer_set(&t->timer, deadline_in(t->plan.timeout_ms));
	if (!t->up.is_over)
		io_park(&t->client->sock.io, client_spoke);
	if (!t->down.is_over)
		io_park(&t->link->sock.io, upstream_spoke);
}

/* Until what is held can go on, or more comes. */
static enum wait wait_on(struct tunnel *t)
{
	struct direction *both[2] = { &t->up, &t->down };
	struct io_want want[2];
	int n = 0, which;

	for (int i = 0; i < 2; i++) {
		struct direction *d = both[i];

		if (d->is_over)
			continue;
		if (is_held(d))
			want[n++] = (struct io_want){ &d->to->io, IO_WRITE };
		else
			want[n++] = (struct io_want){ &d->from->io, IO_READ };
	}
	return io_wait_any(want, n, deadline_in(t->plan.timeout_ms), &which);
}

void tunnel_run(struct tunnel *t)
{
	while (!t->up.is_over || !t->down.is_over) {
		enum moved a = move(&t->up, &t->down), z = move(&t->down, &t->up);

		if (a == MOVED_BROKEN || z == MOVED_BROKEN)
			break;
		if (a == MOVED_SOMETHING || z == MOVED_SOMETHING)
			continue;
		if (!is_held(&t->up) && !is_held(&t->down)) {
			park(t);
			return;
		}
		if (wait_on(t) != WAIT_OK)
			break;
	}
	end(t);
}

/* ---- life --------------------------------------------------------------------------------- */

static void direction_init(struct direction *d, struct sock *from, struct sock *to, str first)
{
	*d = (struct direction){ .from = from, .to = to };
	if (first.n == 0)
		return;
	d->block = block_get(first.n > BLOCK_SMALL ? BLOCK_LARGE : BLOCK_SMALL);
	memcpy(d->block->data, first.s, first.n);
	d->end = (uint32_t)first.n;
	d->taken = first.n;
}

void tunnel_open(struct client *c, struct link **link, const struct tunnel_plan *plan)
{
	struct tunnel *t = NEW(plan->arena, struct tunnel);

	t->client = c;
	t->plan = *plan;
	t->link = TAKE(*link);
	t->link->user = t;
	timer_init(&t->timer, on_timer);
	direction_init(&t->up, &c->sock, &t->link->sock, plan->up);
	direction_init(&t->down, &t->link->sock, &c->sock, plan->down);
	c->tunnel = t;
}

static void end(struct tunnel *t)
{
	struct client *c = t->client;
	struct arena *arena = t->plan.arena;
	struct tunnel_bytes taken = { t->up.taken, t->down.taken };

	block_put(&t->up.block);
	block_put(&t->down.block);
	link_close(&t->link);
	t->plan.ended(t->plan.arg, &taken);
	c->tunnel = NULL;
	client_close(c);
	arena_drop(&arena);
}
