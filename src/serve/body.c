/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/body.h"

/* A body of unknown length gets a large block once it has proved to be one. */
#define LARGE_FROM ((uint64_t)64 * 1024)

void body_init(struct body *b, struct sock *s, struct block *head, char *at, char *end,
	       enum http_body kind, int64_t length)
{
	*b = (struct body){ .sock = s, .head = head, .at = at, .end = end, .kind = kind };
	b->left = kind == HTTP_BODY_LENGTH ? length : 0;
	b->is_done = kind == HTTP_BODY_NONE || (kind == HTTP_BODY_LENGTH && length == 0);
}

void body_done(struct body *b)
{
	block_put(&b->own);
}

static ssize_t end_of_wait(enum wait w)
{
	return w == WAIT_TIMEOUT ? NET_TIMEOUT : NET_CANCELLED;
}

/* A block of the right size to read on into. */
static void own_block(struct body *b)
{
	bool is_large =
		b->kind == HTTP_BODY_LENGTH ? b->left > BLOCK_SMALL : b->received > LARGE_FROM;

	if (b->own && is_large && !b->own->is_large)
		block_put(&b->own);
	if (!b->own)
		b->own = block_get(is_large ? BLOCK_LARGE : BLOCK_SMALL);
}

/* Until there is something to read; watched as said. */
static ssize_t wait_for_more(struct body *b, deadline until, const struct io_want *watch)
{
	struct io_want want[2] = { { &b->sock->io, IO_READ } };
	enum wait w;
	int which = 0;

	if (watch)
		want[1] = *watch;
	w = io_wait_any(want, watch ? 2 : 1, until, &which);
	if (w != WAIT_OK)
		return end_of_wait(w);
	return which == 1 ? BODY_WATCHED : 1;
}

/* Reads some bytes.  Who waits holds no block. */
static ssize_t fill(struct body *b, int64_t timeout_ms, const struct io_want *watch)
{
	deadline until = deadline_in(timeout_ms);

	for (;;) {
		ssize_t n;

		own_block(b);
		n = sock_try_read(b->sock, b->own->data, b->own->size);
		if (n > 0) {
			b->at = b->own->data;
			b->end = b->at + n;
			return n;
		}
		b->at = b->end = NULL;
		block_put(&b->own);
		if (n != NET_AGAIN)
			return n;
		n = wait_for_more(b, until, watch);
		if (n != 1)
			return n;
	}
}

/* Decodes what is there: the data moves together at `to`, which is at or before
 * b->at.  Bytes of data, or BODY_BAD; is_done when the last chunk is through. */
static ssize_t decode_chunks(struct body *b, char *to)
{
	char *out = to;

	for (;;) {
		size_t used;
		str data;
		enum http_chunk what = http_chunked_next(&b->chunked, b->at,
							 (size_t)(b->end - b->at), &used, &data);

		b->at += used;
		if (what == HTTP_CHUNK_BAD)
			return BODY_BAD;
		if (what == HTTP_CHUNK_DATA) {
			if (out != data.s)
				memmove(out, data.s, data.n);
			out += data.n;
			continue;
		}
		b->is_done = what == HTTP_CHUNK_END;
		if (b->trailers)
			buf_add_str(b->trailers, data);
		return out - to;
	}
}

static ssize_t take_length(struct body *b, char **ret)
{
	size_t n = (size_t)(b->end - b->at);

	if ((int64_t)n > b->left)
		n = (size_t)b->left;
	*ret = b->at;
	b->at += n;
	b->left -= (int64_t)n;
	b->is_done = b->left == 0;
	return (ssize_t)n;
}

static ssize_t take_rest(struct body *b, char **ret)
{
	*ret = b->at;
	b->at = b->end;
	return b->end - *ret;
}

/* A piece of what is there; 0 when that gave no data. */
static ssize_t take_piece(struct body *b, char **ret)
{
	ssize_t n;

	if (b->kind == HTTP_BODY_LENGTH) {
		n = take_length(b, ret);
	} else if (b->kind == HTTP_BODY_CHUNKED) {
		*ret = b->at;
		n = decode_chunks(b, b->at);
	} else {
		n = take_rest(b, ret);
	}
	if (n > 0)
		b->received += (uint64_t)n;
	return b->has_max && b->received > b->max ? BODY_TOO_LARGE : n;
}

ssize_t body_next(struct body *b, int64_t timeout_ms, const struct io_want *watch, char **ret)
{
	if (b->ready_n) {
		size_t n = b->ready_n;

		*ret = b->ready;
		b->ready_n = 0;
		return (ssize_t)n;
	}
	while (!b->is_done) {
		ssize_t n;

		if (b->at == b->end) {
			n = fill(b, timeout_ms, watch);
			if (n == NET_EOF) {
				b->is_done = b->kind == HTTP_BODY_TO_CLOSE;
				return b->is_done ? 0 : NET_RESET;
			}
			if (n < 0)
				return n;
		}
		n = take_piece(b, ret);
		if (n != 0)
			return n;
	}
	return 0;
}

/* ---- gathering --------------------------------------------------------------- */

bool body_gather(struct body *b, int64_t timeout_ms, str *ret, ssize_t *ret_end)
{
	char *start = b->at, *out = b->at, *room = b->head->data + b->head->size;

	*ret_end = 0;
	if (b->kind == HTTP_BODY_LENGTH && b->left > room - b->at)
		return false;
	while (!b->is_done) {
		ssize_t n;
		char *piece;

		if (b->at == b->end) {
			if (b->end == room)
				break;
			n = sock_read(b->sock, b->end, (size_t)(room - b->end),
				      deadline_in(timeout_ms));
			if (n == NET_EOF && b->kind == HTTP_BODY_TO_CLOSE) {
				b->is_done = true;
				break;
			}
			if (n <= 0) {
				*ret_end = n == NET_EOF ? NET_RESET : n;
				return false;
			}
			b->end += n;
		}
		n = b->kind == HTTP_BODY_CHUNKED  ? decode_chunks(b, out)
		    : b->kind == HTTP_BODY_LENGTH ? take_length(b, &piece)
						  : take_rest(b, &piece);
		if (n < 0) {
			*ret_end = n;
			return false;
		}
		out += n;
		b->received += (uint64_t)n;
		if (b->has_max && b->received > b->max) {
			*ret_end = BODY_TOO_LARGE;
			return false;
		}
	}
	b->ready = start;
	b->ready_n = (size_t)(out - start);
	*ret = str_at(start, b->ready_n);
	return b->is_done;
}

bool body_discard(struct body *b, uint64_t most, int64_t timeout_ms)
{
	uint64_t thrown = 0;
	char *piece;

	b->ready_n = 0;
	if (b->kind == HTTP_BODY_LENGTH && !b->is_done && (uint64_t)b->left > most)
		return false;
	while (!b->is_done && thrown <= most) {
		ssize_t n = body_next(b, timeout_ms, NULL, &piece);

		if (n <= 0)
			break;
		thrown += (uint64_t)n;
	}
	return b->is_done;
}

/* ---- sending ----------------------------------------------------------------- */

ssize_t send_all(struct sock *s, struct iovec *iov, int n, int64_t timeout_ms,
		 const struct io_want *watch)
{
	iov_advance(&iov, &n, 0);
	while (n) {
		struct io_want want[2] = { { &s->io, IO_WRITE } };
		ssize_t sent = sock_try_writev(s, iov, n);
		enum wait w;
		int which = 0;

		if (sent > 0) {
			iov_advance(&iov, &n, (size_t)sent);
			continue;
		}
		if (sent != NET_AGAIN)
			return sent == NET_EOF ? NET_RESET : sent;
		if (watch)
			want[1] = *watch;
		w = io_wait_any(want, watch ? 2 : 1, deadline_in(timeout_ms), &which);
		if (w != WAIT_OK)
			return end_of_wait(w);
		if (which == 1)
			return BODY_WATCHED;
	}
	return 1;
}
