/* SPDX-License-Identifier: Apache-2.0 */
/* net - sockets and TLS as suspending calls.
 *
 * A sock is a connected byte stream, plain or TLS, on the loop that runs.  The
 * calls on the request's road return a count or one of the negative enum
 * net_end values: those are outcomes to branch on; sock_error() has the words.
 * The call that reads says where the bytes may go, so that a completion-based
 * backend fits behind it. */
#pragma once

#include "fiber/fiber.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

struct tls;         /* one TLS connection */
struct tls_context; /* shared settings of many: net/tls.h */

/* ---- addresses -------------------------------------------------------------- */

struct address {
	socklen_t size;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	};
};

bool address_parse_ip(str ip, uint16_t port, struct address *ret); /* "1.2.3.4", "::1", "[::1]" */
void address_of_unix(const char *path, struct address *ret);
uint16_t address_port(const struct address *a);
#define ADDRESS_TEXT 64
/* The IP alone ("unix:" for local ones), '\0' at the end; its length. */
size_t address_ip(const struct address *a, char out[ADDRESS_TEXT]);
bool address_eq(const struct address *a, const struct address *b); /* ip and port */

/* An IPv4/IPv6 network, for trusted_ips and the like. */
struct cidr {
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX (matches every local socket) */
	uint8_t bits;
	uint8_t ip[16];
};
bool cidr_parse(str text, struct cidr *ret); /* "10.0.0.0/8", "::1", "unix:" */
bool cidr_has(const struct cidr *c, const struct address *a);

/* ---- streams ---------------------------------------------------------------- */

enum net_end {
	NET_EOF = 0, /* the other side ended its direction in order */
	NET_OK = 0,  /* the same number, from calls that do not read: done */
	NET_TIMEOUT = -1,
	NET_RESET = -2, /* reset, broken pipe, TLS truncated */
	NET_CANCELLED = -3,
	NET_FAILED = -4, /* anything else; sock_error() says what */
	NET_AGAIN = -5,  /* only from the try calls */
};

struct sock {
	struct io io;                 /* io.fd is -1 when closed */
	struct tls *tls;              /* NULL: plain */
	int error;                    /* errno of the last failure */
	const struct sock_kind *kind; /* NULL: a socket of the kernel's */
	void *stream;                 /* of that kind */
};

/* What a sock is that has no descriptor of its own: a stream of a connection that several
 * share.  Its io is told.  The calls are those of the same names below. */
struct sock_kind {
	ssize_t (*try_read)(struct sock *s, void *p, size_t n);
	ssize_t (*try_writev)(struct sock *s, struct iovec *iov, int n);
	enum net_end (*shutdown_write)(struct sock *s);
	void (*close)(struct sock *s, bool is_reset);
};

void sock_init(struct sock *s, int fd); /* takes a connected, non-blocking fd */
void sock_init_stream(struct sock *s, const struct sock_kind *kind, void *stream);
void sock_close(struct sock *s); /* at once; TLS says close_notify if it can; may come twice */
void sock_reset(struct sock *s); /* closes with RST (SO_LINGER 0), so the other side notices */

/* The connection has been of use and is to be so again: its loop may serve it in the
 * way that costs least then. */
void sock_keep(struct sock *s);

/* Connects a new socket, without Nagle's delay; NET_OK, or s is closed and
 * s->error says why (ECONNREFUSED and the like are NET_FAILED). */
enum net_end sock_connect(struct sock *s, const struct address *to, deadline until) SUSPENDS;

/* Some bytes (at least one), or an end. */
ssize_t sock_read(struct sock *s, void *p, size_t n, deadline until) SUSPENDS;
ssize_t sock_try_read(struct sock *s, void *p, size_t n);

/* What has come, without taking it (not for TLS); a wait for more is to follow an io_clear(). */
ssize_t sock_try_peek(struct sock *s, void *p, size_t n);

/* All bytes; n, or an end. */
ssize_t sock_write(struct sock *s, const void *p, size_t n, deadline until) SUSPENDS;
/* The same; iov is changed. */
ssize_t sock_writev(struct sock *s, struct iovec *iov, int n, deadline until) SUSPENDS;

/* Some bytes, or NET_AGAIN; on TLS the next write must then begin with the same bytes. */
ssize_t sock_try_write(struct sock *s, const void *p, size_t n);
ssize_t sock_try_writev(struct sock *s, struct iovec *iov, int n);

/* Takes sent bytes off the front, and empty pieces with them. */
void iov_advance(struct iovec **iov, int *n, size_t sent);

/* Half-close: FIN or close_notify.  The first at once, where a full TLS socket
 * is NET_AGAIN; the second waits for it. */
enum net_end sock_shutdown_write(struct sock *s);
enum net_end sock_finish_write(struct sock *s, deadline until) SUSPENDS;

/* Bytes the TLS layer already holds decrypted: a wait on io would sleep over them. */
bool sock_has_pending(const struct sock *s);

/* True when an idle connection must not be used again: readable or hung up. */
bool sock_is_stale(struct sock *s);

const char *sock_error(const struct sock *s);

/* ---- listeners -------------------------------------------------------------- */

struct listen_options {
	int backlog;
	bool reuseport, v6only, deferred;
	bool transparent; /* also for addresses that are not this machine's */
	bool udp;         /* bound alone; its datagrams tell the address that they came to */
};
/* A bound, listening, non-blocking, close-on-exec socket. */
MUST_CHECK struct err *net_listen(const struct address *at, const struct listen_options *o,
				  int *ret_fd);
