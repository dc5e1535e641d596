/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/peer.h"

#include "base/mem.h"
#include "clients/trust.h"
#include "net/dns.h"
#include <errno.h>
#include <unistd.h>

#define KEPT_PER_PLACE 32 /* idle connections to one place, per loop */
#define TRIES_MOST     8  /* addresses of one name that are tried */

/* Of the thread's loop; made when it is first needed. */
static __thread struct {
	struct links *links;
	struct loop_hook at_stop;
	unsigned turn; /* so that the addresses of a name share the work */
} here;

static void close_kept(struct loop_hook *h)
{
	(void)h;
	links_close_idle(here.links);
}

static struct links *links_here(void)
{
	const struct links_options o = { .pool_size = KEPT_PER_PLACE };

	if (!here.links) {
		here.links = links_new(&o);
		loop_at_stop(loop_self(), &here.at_stop, close_kept);
	}
	return here.links;
}

void peers_leave(void)
{
	links_drop(&here.links);
}

/* ---- where it is -------------------------------------------------------------------------- */

static struct err *look_up(struct arena *a, const struct peer *p, deadline until,
			   struct dns_answer **ret, size_t *ret_n)
{
	const char *why = NULL;
	deadline expires;

	if (str_starts(p->host, STR("unix:"))) {
		*ret = NEW(a, struct dns_answer);
		*ret_n = 1;
		address_of_unix(str_z(a, str_from(p->host, 5)), &(*ret)->address);
		return NULL;
	}
	switch (dns_resolve(a, p->host, until, ret, ret_n, &expires, &why)) {
	case DNS_OK:
		break;
	case DNS_CANCELLED:
		return FAIL(ERR_CANCELLED, "cancelled");
	case DNS_NOT_FOUND:
		return FAIL(ERR_NOT_FOUND, STRF ": %s", STRV(p->host), why ? why : "not found");
	default:
		return FAIL(ERR_REFUSED, STRF ": %s", STRV(p->host),
			    why ? why : "name resolution failed");
	}
	for (size_t i = 0; i < *ret_n; i++) {
		struct address *at = &(*ret)[i].address;

		if (address_port(at) == 0) { /* v4 and v6 have it at the same place */
			at->v4.sin_port = htons(p->port);
		}
	}
	return NULL;
}

/* ---- opening ------------------------------------------------------------------------------ */

static struct err *open_failed(const struct peer *p, enum link_end end, const char *why)
{
	enum err_code code = end == LINK_TIMEOUT     ? ERR_TIMEOUT
			     : end == LINK_CANCELLED ? ERR_CANCELLED
						     : ERR_REFUSED;

	return FAIL(code, "failed to %s " STRF ":%u: %s",
		    end == LINK_TLS_FAILED ? "perform TLS handshake with" : "connect to",
		    STRV(p->host), p->port, why);
}

static struct err *open_one(const struct peer *p, const struct dns_answer *answers, size_t n,
			    deadline until, struct link **ret)
{
	struct link_target t = {
		.tls_identity = p->verify,
		.server_name = p->server_name.n ? p->server_name : p->host,
		.verify_name = p->verify,
		.before_tls = p->before_tls,
	};
	unsigned first = here.turn++;
	enum link_end end = LINK_REFUSED;
	const char *why = "it has no address";

	if (p->tls)
		PASS(trust_context(p->verify, &t.tls));
	for (size_t i = 0; i < n && i < TRIES_MOST; i++) {
		t.address = &answers[(first + i) % n].address;
		end = link_open(links_here(), &t, until, ret, &why);
		if (end == LINK_OK)
			return NULL;
		if (end == LINK_CANCELLED || loop_now_ms() >= until)
			break;
	}
	return open_failed(p, end, why);
}

struct err *peer_open(const struct peer *p, struct link **ret)
{
	struct arena *a CLEANUP(arena_drop) = NULL;
	deadline until = peer_deadline(p->connect_ms);
	struct dns_answer *answers;
	size_t n;

	if (fiber_is_cancelled())
		return FAIL(ERR_CANCELLED, "cancelled");
	a = arena_new();
	TRY(look_up(a, p, until, &answers, &n), "failed to connect to " STRF ":%u", STRV(p->host),
	    p->port);
	return open_one(p, answers, n, until, ret);
}

void peer_keep(const struct peer *p, struct link **k)
{
	if (p->keep_ms > 0)
		link_keep_for(k, p->keep_ms);
	else
		link_close(k);
}

struct err *peer_failed(const struct peer *p, const struct link *k, ssize_t end, const char *doing)
{
	enum err_code code = end == NET_TIMEOUT     ? ERR_TIMEOUT
			     : end == NET_CANCELLED ? ERR_CANCELLED
						    : ERR_SYSTEM;

	return FAIL(code, "failed to %s " STRF ":%u: %s", doing, STRV(p->host), p->port,
		    end == NET_TIMEOUT ? "timeout"
		    : end == NET_EOF   ? "closed"
				       : sock_error(&k->sock));
}

struct err *peer_send(const struct peer *p, str data)
{
	struct link *k CLEANUP(link_close) = NULL;
	ssize_t n;

	PASS(peer_open(p, &k));
	k->requests++;
	n = sock_write(&k->sock, data.s, data.n, peer_deadline(p->send_ms));
	if (n < 0)
		return peer_failed(p, k, n, "send data to");
	peer_keep(p, &k);
	return NULL;
}

/* ---- datagrams ---------------------------------------------------------------------------- */

/* Sent, for all that is known: a queue does not send it again. */
static struct err *datagram_failed(const struct peer *p, const char *why)
{
	return FAIL(ERR_INVALID, "failed to send data to " STRF ":%u: %s", STRV(p->host), p->port,
		    why);
}

/* One datagram.  That nobody listens is told of the one before: it is said, and this one
 * is not lost with it. */
static struct err *send_one(const struct peer *p, struct io *io, str s, size_t *lost)
{
	bool was_refused = false;

	for (;;) {
		enum wait w;

		if (send(io->fd, s.s, s.n, MSG_NOSIGNAL) >= 0)
			return was_refused ? datagram_failed(p, strerrordesc_np(ECONNREFUSED))
					   : NULL;
		if (errno == EMSGSIZE) {
			++*lost;
			return NULL;
		}
		if (errno == ECONNREFUSED && !was_refused) {
			++*lost;
			was_refused = true;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR) {
			++*lost;
			return datagram_failed(p, strerrordesc_np(errno));
		}
		io_clear(io, IO_WRITE);
		w = io_wait(io, IO_WRITE, peer_deadline(p->send_ms));
		if (w == WAIT_CANCELLED)
			return FAIL(ERR_CANCELLED, "cancelled");
		if (w != WAIT_OK)
			return FAIL(ERR_TIMEOUT, "failed to send data to " STRF ":%u: timeout",
				    STRV(p->host), p->port);
	}
}

/* A server that takes nothing gets none of the others either. */
static struct err *send_all(const struct peer *p, int fd, const str *v, size_t n, size_t *lost)
{
	struct err *first = NULL;
	struct io io;

	io_init(&io, fd);
	for (size_t i = 0; i < n; i++) {
		struct err *e = send_one(p, &io, v[i], lost);
		bool is_stuck = e && (e->code == ERR_CANCELLED || e->code == ERR_TIMEOUT);

		if (e && e->code == ERR_TIMEOUT)
			e->code = ERR_INVALID;
		if (!first)
			first = e;
		if (is_stuck) {
			*lost += n - i;
			break;
		}
	}
	io_done(&io);
	return first;
}

struct err *peer_send_datagrams(const struct peer *p, const str *v, size_t n, size_t *ret_lost)
{
	struct arena *a CLEANUP(arena_drop) = NULL;
	struct dns_answer *answers;
	const struct address *to;
	size_t answers_n, lost = 0;
	struct err *e;
	int fd;

	if (fiber_is_cancelled())
		return FAIL(ERR_CANCELLED, "cancelled");
	a = arena_new();
	TRY(look_up(a, p, peer_deadline(p->connect_ms), &answers, &answers_n),
	    "failed to connect to " STRF ":%u", STRV(p->host), p->port);
	to = &answers[here.turn++ % answers_n].address;
	fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return FAIL_ERRNO("cannot make a socket");
	if (connect(fd, &to->any, to->size) < 0)
		e = datagram_failed(p, strerrordesc_np(errno));
	else
		e = send_all(p, fd, v, n, &lost);
	close(fd);
	if (ret_lost)
		*ret_lost = lost;
	return e;
}
