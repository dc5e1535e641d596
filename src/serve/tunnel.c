/* SPDX-License-Identifier: Apache-2.0 */
/* A tunnel after 101: bytes both ways.  The end of one direction is passed on
 * (half-close), and the tunnel ends when both have ended, when either side is
 * gone, or when both were silent for the timeout. */
#include "serve/req.h"

struct direction {
	struct sock *from, *to;
	struct block *block;
	uint32_t begin, end;
	bool is_over; /* from has ended and everything was passed on */
	uint64_t passed;
};

enum moved { MOVED_NOTHING, MOVED_SOMETHING, MOVED_BROKEN };

static enum moved move(struct direction *d)
{
	enum moved moved = MOVED_NOTHING;

	while (!d->is_over) {
		ssize_t n;

		if (d->begin == d->end) {
			d->begin = d->end = 0;
			n = sock_try_read(d->from, d->block->data, d->block->size);
			if (n == NET_AGAIN)
				return moved;
			if (n < 0)
				return MOVED_BROKEN;
			if (n == 0) {
				d->is_over = true;
				return sock_shutdown_write(d->to) == NET_EOF ? MOVED_SOMETHING
									     : MOVED_BROKEN;
			}
			d->end = (uint32_t)n;
		}
		n = sock_try_write(d->to, d->block->data + d->begin, d->end - d->begin);
		if (n == NET_AGAIN)
			return moved;
		if (n <= 0)
			return MOVED_BROKEN;
		d->begin += (uint32_t)n;
		d->passed += (uint64_t)n;
		moved = MOVED_SOMETHING;
	}
	return moved;
}

/* What a direction waits for: room to write what it has, else something to read. */
static struct io_want want_of(const struct direction *d)
{
	if (d->begin < d->end)
		return (struct io_want){ &d->to->io, IO_WRITE };
	return (struct io_want){ &d->from->io, IO_READ };
}

static enum wait wait_for(const struct direction *up, const struct direction *down,
			  int64_t timeout_ms)
{
	struct io_want want[2];
	int n = 0, which;

	if (!up->is_over)
		want[n++] = want_of(up);
	if (!down->is_over)
		want[n++] = want_of(down);
	return io_wait_any(want, n, deadline_in(timeout_ms), &which);
}

static void direction_init(struct direction *d, struct sock *from, struct sock *to, str first)
{
	*d = (struct direction){ .from = from, .to = to };
	d->block = block_get(first.n > BLOCK_SMALL ? BLOCK_LARGE : BLOCK_SMALL);
	if (first.n)
		memcpy(d->block->data, first.s, first.n);
	d->end = (uint32_t)first.n;
}

void tunnel(struct req *r, struct sock *upstream, str early, int64_t timeout_ms)
{
	struct body *b = &r->body;
	struct direction up, down;

	direction_init(&up, &r->client->sock, upstream, str_at(b->at, (size_t)(b->end - b->at)));
	direction_init(&down, upstream, &r->client->sock, early);
	b->at = b->end;
	while (!up.is_over || !down.is_over) {
		enum moved a = move(&up), z = move(&down);

		if (a == MOVED_BROKEN || z == MOVED_BROKEN)
			break;
		if (a == MOVED_NOTHING && z == MOVED_NOTHING &&
		    wait_for(&up, &down, timeout_ms) != WAIT_OK)
			break;
	}
	r->bytes_sent += down.passed;
	r->body_bytes_sent += down.passed;
	block_put(&up.block);
	block_put(&down.block);
}
