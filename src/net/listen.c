/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets. */
#include "net/net.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define BACKLOG 511 /* when none is asked for */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* "10.0.0.1:80", "[::1]:80" or the path, in words for people. */
static str address_words(struct arena *a, const struct address *at)
{
	char ip[ADDRESS_TEXT];

	address_ip(at, ip);
	switch (at->any.sa_family) {
	case AF_INET:
		return str_fmt(a, "%s:%u", ip, address_port(at));
	case AF_INET6:
		return str_fmt(a, "[%s]:%u", ip, address_port(at));
	default:
		return str_fmt(a, "unix:%.*s", (int)sizeof(at->local.sun_path), at->local.sun_path);
	}
}

static bool turn_on(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

/* What a process that crashed left behind: nobody answers there. */
static bool is_left_over(const struct address *at)
{
	int fd CLEANUP(close_fd) = -1;

	if (at->any.sa_family != AF_UNIX)
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 && connect(fd, &at->any, at->size) < 0 && errno == ECONNREFUSED;
}

static int bind_to(int fd, const struct address *at)
{
	if (bind(fd, &at->any, at->size) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (!is_left_over(at)) {
		errno = EADDRINUSE;
		return -1;
	}
	if (unlink(at->local.sun_path) < 0)
		return -1;
	return bind(fd, &at->any, at->size);
}

static struct err *set_options(int fd, const struct address *at, const struct listen_options *o)
{
	int seconds = 1, v6only = o->v6only;
	bool is_v6 = at->any.sa_family == AF_INET6;

	if (at->any.sa_family == AF_UNIX)
		return NULL;
	/* Of datagrams it would let a second socket take them away. */
	if (!o->udp && !turn_on(fd, SOL_SOCKET, SO_REUSEADDR))
		return FAIL_ERRNO("SO_REUSEADDR");
	if (o->transparent && !(is_v6 ? turn_on(fd, IPPROTO_IPV6, IPV6_TRANSPARENT)
				      : turn_on(fd, IPPROTO_IP, IP_TRANSPARENT)))
		return err_hint(FAIL_ERRNO("IP_TRANSPARENT"),
				"The flag transparent needs root or CAP_NET_ADMIN.");
	if (o->udp && !turn_on(fd, IPPROTO_IP, IP_PKTINFO))
		return FAIL_ERRNO("IP_PKTINFO");
	if (o->udp && is_v6 && !turn_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO))
		return FAIL_ERRNO("IPV6_RECVPKTINFO");
	if (o->reuseport && !turn_on(fd, SOL_SOCKET, SO_REUSEPORT))
		return FAIL_ERRNO("SO_REUSEPORT");
	if (is_v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0)
		return FAIL_ERRNO("IPV6_V6ONLY");
	if (o->deferred &&
	    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)) < 0)
		return FAIL_ERRNO("TCP_DEFER_ACCEPT");
	return NULL;
}

static struct err *hint_for_bind(struct err *e, int no)
{
	switch (no) {
	case EADDRINUSE:
		return err_hint(e,
				"Another process listens there: stop it, or change the address.");
	case EACCES:
		return err_hint(e, "Ports below 1024 need root or CAP_NET_BIND_SERVICE.");
	case EADDRNOTAVAIL:
		return err_hint(e, "No interface of this machine has that address.");
	default:
		return e;
	}
}

struct err *net_listen(const struct address *at, const struct listen_options *o, int *ret_fd)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str where = address_words(a, at);
	int fd CLEANUP(close_fd) = -1;

	if (at->any.sa_family == AF_UNIX && !at->local.sun_path[0])
		return FAIL(ERR_INVALID, "a unix socket's path is empty or longer than %zu bytes",
			    sizeof(at->local.sun_path) - 1);
	fd = socket(at->any.sa_family,
		    (o->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return FAIL_ERRNO("cannot make a socket for " STRF, STRV(where));
	TRY(set_options(fd, at, o), "cannot listen on " STRF, STRV(where));
	if (bind_to(fd, at) < 0) {
		int no = errno;

		return hint_for_bind(FAIL_ERRNO("cannot listen on " STRF, STRV(where)), no);
	}
	if (!o->udp && listen(fd, o->backlog > 0 ? o->backlog : BACKLOG) < 0)
		return FAIL_ERRNO("cannot listen on " STRF, STRV(where));
	*ret_fd = fd;
	fd = -1;
	return NULL;
}
