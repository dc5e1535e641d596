/* SPDX-License-Identifier: Apache-2.0 */
#include "net/client_hello.h"

#include "net/block.h"
#include "net/priv.h"
#include <string.h>

/* RFC 8446 §5.1, §4, §4.2; RFC 6066 §3. */
enum {
	RECORD_HEAD = 5,
	RECORD_HANDSHAKE = 22,
	RECORD_MAX = 16384,
	HANDSHAKE_HEAD = 4,
	HANDSHAKE_CLIENT_HELLO = 1,
	EXTENSION_SERVER_NAME = 0,
	NAME_HOST = 0,
	RANDOM_BYTES = 32,
	SESSION_ID_MAX = 32,
};

/* Bytes of a message, taken from the front; once one was missing it is short for good. */
struct reader {
	const uint8_t *p, *end;
	bool is_short;
};

static struct reader take(struct reader *r, size_t n)
{
	struct reader part = { r->p, r->p, true };

	if (r->is_short || (size_t)(r->end - r->p) < n) {
		r->is_short = true;
		return part;
	}
	part = (struct reader){ r->p, r->p + n, false };
	r->p += n;
	return part;
}

static unsigned number(struct reader *r, size_t bytes)
{
	struct reader part = take(r, bytes);
	unsigned n = 0;

	while (part.p < part.end)
		n = n << 8 | *part.p++;
	return n;
}

/* A part with its length in front of it. */
static struct reader vector(struct reader *r, size_t length_bytes)
{
	return take(r, number(r, length_bytes));
}

static bool is_all(const struct reader *r)
{
	return !r->is_short && r->p == r->end;
}

/* ---- the message ------------------------------------------------------------------------ */

static bool read_name(struct reader r, char *name)
{
	size_t n = (size_t)(r.end - r.p);

	if (n == 0 || n > CLIENT_HELLO_NAME)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = (char)r.p[i];

		if (!ascii_is_alnum(c) && c != '-' && c != '.' && c != '_')
			return false;
		name[i] = ascii_lower(c);
	}
	name[n] = '\0';
	return true;
}

/* Of the list one entry is defined, and no kind may come twice. */
static bool read_server_name(struct reader extension, char *name)
{
	struct reader list = vector(&extension, 2);
	unsigned kind = number(&list, 1);
	struct reader text = vector(&list, 2);

	return is_all(&extension) && is_all(&list) && kind == NAME_HOST && read_name(text, name);
}

static bool read_extensions(struct reader all, char *name)
{
	bool is_named = false;

	while (!all.is_short && all.p < all.end) {
		unsigned kind = number(&all, 2);
		struct reader one = vector(&all, 2);

		if (one.is_short)
			return false;
		if (kind != EXTENSION_SERVER_NAME)
			continue;
		if (is_named || !read_server_name(one, name))
			return false;
		is_named = true;
	}
	return is_all(&all);
}

static bool read_hello(struct reader r, char *name)
{
	struct reader session, suites, methods;
	unsigned major = number(&r, 1);

	number(&r, 1);
	take(&r, RANDOM_BYTES);
	session = vector(&r, 1);
	suites = vector(&r, 2);
	methods = vector(&r, 1);
	if (r.is_short || major != 3 || session.end - session.p > SESSION_ID_MAX ||
	    suites.p == suites.end || (suites.end - suites.p) % 2 || methods.p == methods.end)
		return false;
	if (r.p == r.end) /* TLS 1.2 may go without extensions */
		return true;
	struct reader extensions = vector(&r, 2);
	return is_all(&r) && read_extensions(extensions, name);
}

/* ---- records ------------------------------------------------------------------------------ */

/* The handshake's bytes, out of as many records as they came in. */
struct gathered {
	uint8_t bytes[CLIENT_HELLO_MAX];
	size_t n;
	bool is_other;
};

/* The length of the whole message with its head; 0: not known yet, or it is none. */
static size_t message_size(struct gathered *g)
{
	size_t n;

	if (g->n > 0 && g->bytes[0] != HANDSHAKE_CLIENT_HELLO)
		g->is_other = true;
	if (g->is_other || g->n < HANDSHAKE_HEAD)
		return 0;
	n = (size_t)g->bytes[1] << 16 | (size_t)g->bytes[2] << 8 | g->bytes[3];
	if (n > CLIENT_HELLO_MAX - HANDSHAKE_HEAD - RECORD_HEAD)
		g->is_other = true;
	return g->is_other ? 0 : HANDSHAKE_HEAD + n;
}

static void gather(struct gathered *g, struct reader in)
{
	while (in.p < in.end) {
		struct reader head = take(&in, RECORD_HEAD);
		size_t n, there, whole = message_size(g);

		if (g->is_other || (whole && g->n >= whole)) /* what follows is not looked at */
			return;
		if (head.is_short) {
			g->is_other = *in.p != RECORD_HANDSHAKE;
			return;
		}
		n = (size_t)head.p[3] << 8 | head.p[4];
		if (head.p[0] != RECORD_HANDSHAKE || head.p[1] != 3 || n == 0 || n > RECORD_MAX) {
			g->is_other = true;
			return;
		}
		there = (size_t)(in.end - in.p) < n ? (size_t)(in.end - in.p) : n;
		memcpy(g->bytes + g->n, in.p, there); /* no more than what came in */
		g->n += there;
		in.p += there;
	}
}

enum client_hello client_hello_parse(const char *p, size_t n, char name[CLIENT_HELLO_NAME + 1])
{
	static __thread struct gathered g;
	const uint8_t *bytes = (const uint8_t *)p;
	bool is_full = n >= CLIENT_HELLO_MAX;
	size_t size;

	name[0] = '\0';
	g.n = 0;
	g.is_other = false;
	gather(&g, (struct reader){ bytes, bytes + (is_full ? CLIENT_HELLO_MAX : n), false });
	size = message_size(&g);
	if (g.is_other)
		return HELLO_OTHER;
	if (!size || g.n < size)
		return is_full ? HELLO_OTHER : HELLO_MORE;
	if (read_hello((struct reader){ g.bytes + HANDSHAKE_HEAD, g.bytes + size, false }, name))
		return HELLO_READ;
	name[0] = '\0';
	return HELLO_OTHER;
}

enum net_end client_hello_peek(struct sock *s, char name[CLIENT_HELLO_NAME + 1], deadline until,
			       bool *ret_is_tls)
{
	enum net_end end;

	for (;;) {
		struct block *b = block_get(BLOCK_SMALL);
		ssize_t n = sock_try_peek(s, b->data, CLIENT_HELLO_MAX);
		enum client_hello hello =
			n > 0 ? client_hello_parse(b->data, (size_t)n, name) : HELLO_MORE;

		block_put(&b);
		if (n == NET_EOF || n == NET_RESET)
			return n == NET_EOF ? NET_EOF : NET_RESET;
		if (hello == HELLO_MORE && s->io.ready & IO_HUP)
			hello = HELLO_OTHER; /* nothing more comes */
		*ret_is_tls = hello == HELLO_READ;
		if (hello != HELLO_MORE)
			return NET_OK;
		io_clear(&s->io, IO_READ); /* the next edge tells of more */
		end = sock_wait(s, IO_READ, until);
		if (end != NET_OK)
			return end;
	}
}
