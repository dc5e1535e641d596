/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: try the call; wait when it would block; try again.
 *
 * The ready bits spare calls.  After a read that was shorter than asked for the
 * socket is known to be empty - unless a hang-up was announced, whose end of
 * file no further edge would tell - so the next read goes straight to waiting;
 * writes likewise. */
#include "net/net.h"

#include "base/fault.h"
#include "net/priv.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX 16384 /* RFC 8446 §5.1 */

void sock_init(struct sock *s, int fd)
{
	*s = (struct sock){ 0 };
	io_init(&s->io, fd);
}

void sock_init_stream(struct sock *s, const struct sock_kind *kind, void *stream)
{
	*s = (struct sock){ .kind = kind, .stream = stream };
	io_init_told(&s->io);
}

static void close_stream(struct sock *s, bool is_reset)
{
	if (s->stream)
		s->kind->close(s, is_reset);
	s->stream = NULL;
	io_done(&s->io);
}

void sock_close(struct sock *s)
{
	if (s->kind)
		close_stream(s, false);
	if (s->io.fd < 0)
		return;
	if (s->tls)
		tls_close(s);
	io_done(&s->io);
	close(s->io.fd);
	s->io.fd = -1;
}

void sock_reset(struct sock *s)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (s->kind)
		close_stream(s, true);
	if (s->io.fd < 0)
		return;
	if (s->tls)
		tls_forget(s);
	setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	sock_close(s);
}

const char *sock_error(const struct sock *s)
{
	const char *words = s->tls ? tls_error(s->tls) : NULL;

	if (!words)
		words = s->error ? strerrordesc_np(s->error) : "no error";
	return words ? words : "unknown error";
}

void sock_keep(struct sock *s)
{
	if (!s->kind)
		io_keep(&s->io);
}

/* What errno means to who branches on it. */
static enum net_end failed(struct sock *s, int no)
{
	s->error = no;
	switch (no) {
	case ECONNRESET:
	case EPIPE:
		return NET_RESET;
	case ETIMEDOUT:
		return NET_TIMEOUT;
	default:
		return NET_FAILED;
	}
}

enum net_end sock_wait(struct sock *s, int what, deadline until)
{
	switch (io_wait(&s->io, what, until)) {
	case WAIT_OK:
		return NET_OK;
	case WAIT_TIMEOUT:
		s->error = ETIMEDOUT;
		return NET_TIMEOUT;
	default:
		s->error = ECANCELED;
		return NET_CANCELLED;
	}
}

static inline bool may_try(const struct sock *s, int what)
{
	return !s->io.is_registered || s->io.ready & what;
}

/* Of a stream that was closed, or of none. */
static bool is_closed(struct sock *s)
{
	if (s->stream)
		return false;
	s->error = EBADF;
	return true;
}

/* ---- connecting ------------------------------------------------------------------------- */

static enum net_end finish_connect(struct sock *s, deadline until)
{
	enum net_end end = sock_wait(s, IO_WRITE, until);
	int no = 0;
	socklen_t n = sizeof(no);

	if (end != NET_OK)
		return end;
	if (getsockopt(s->io.fd, SOL_SOCKET, SO_ERROR, &no, &n) < 0)
		no = errno;
	return no ? failed(s, no) : NET_OK;
}

enum net_end sock_connect(struct sock *s, const struct address *to, deadline until)
{
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enum net_end end = NET_OK;
	int on = 1;

	if (FAULT("net.socket") && fd >= 0) {
		close(fd);
		fd = -1;
		errno = EMFILE;
	}
	sock_init(s, fd);
	if (fd < 0)
		return failed(s, errno);
	if (to->any.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (FAULT("net.connect"))
		end = failed(s, ECONNREFUSED);
	else if (connect(fd, &to->any, to->size) < 0)
		end = errno == EINPROGRESS ? finish_connect(s, until) : failed(s, errno);
	if (end != NET_OK)
		sock_close(s);
	return end;
}

/* ---- reading ---------------------------------------------------------------------------- */

ssize_t plain_try_read(struct sock *s, void *p, size_t n)
{
	ssize_t got;

	if (!may_try(s, IO_READ))
		return NET_AGAIN;
	if (FAULT("net.read"))
		return failed(s, ECONNRESET);
	if (FAULT("net.short_read"))
		n = 1;
	if (s->io.is_kept) {
		got = io_take(&s->io, p, n);
		return got >= 0 ? got : got == -EAGAIN ? NET_AGAIN : failed(s, (int)-got);
	}
	do
		got = recv(s->io.fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno != EAGAIN)
		return failed(s, errno);
	if (got < 0 || (got > 0 && (size_t)got < n && !(s->io.ready & IO_HUP)))
		io_clear(&s->io, IO_READ);
	return got < 0 ? NET_AGAIN : got;
}

static ssize_t try_read(struct sock *s, void *p, size_t n, int *ret_want)
{
	*ret_want = IO_READ;
	if (s->tls)
		return tls_try_read(s, p, n, ret_want);
	if (unlikely(s->kind))
		return is_closed(s) ? NET_FAILED : s->kind->try_read(s, p, n);
	return plain_try_read(s, p, n);
}

ssize_t sock_try_read(struct sock *s, void *p, size_t n)
{
	int want;

	assert(n > 0);
	return try_read(s, p, n, &want);
}

ssize_t sock_read(struct sock *s, void *p, size_t n, deadline until)
{
	assert(n > 0);
	for (;;) {
		int want;
		ssize_t got = try_read(s, p, n, &want);

		if (got != NET_AGAIN)
			return got;
		enum net_end end = sock_wait(s, want, until);
		if (end != NET_OK)
			return end;
	}
}

ssize_t sock_try_peek(struct sock *s, void *p, size_t n)
{
	ssize_t got;

	do
		got = recv(s->io.fd, p, n, MSG_PEEK);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN) {
		io_clear(&s->io, IO_READ);
		return NET_AGAIN;
	}
	if (got < 0)
		s->error = errno;
	return got < 0 ? NET_RESET : got;
}

bool sock_has_pending(const struct sock *s)
{
	return s->tls && tls_has_pending(s->tls);
}

bool sock_is_stale(struct sock *s)
{
	char c;

	if (s->io.fd < 0)
		return true;
	if (!may_try(s, IO_READ))
		return sock_has_pending(s);
	if (s->tls)
		return tls_is_stale(s);
	if (s->io.is_kept)
		return true;
	if (recv(s->io.fd, &c, 1, MSG_PEEK) >= 0 || errno != EAGAIN)
		return true;
	io_clear(&s->io, IO_READ);
	return false;
}

/* ---- writing ---------------------------------------------------------------------------- */

ssize_t plain_try_writev(struct sock *s, struct iovec *iov, int n)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	struct iovec one; /* of a short write */
	ssize_t sent;

	if (!may_try(s, IO_WRITE))
		return NET_AGAIN;
	if (FAULT("net.write"))
		return failed(s, EPIPE);
	if (FAULT("net.short_write") && iov->iov_len) {
		n = 1;
		one = (struct iovec){ iov->iov_base, 1 };
		m.msg_iov = iov = &one;
	}
	do
		sent = n == 1 ? send(s->io.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
			      : sendmsg(s->io.fd, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno != EAGAIN)
		return failed(s, errno);
	io_clear(&s->io, IO_WRITE);
	return NET_AGAIN;
}

/* Small pieces go into one record together: each record costs its bytes, its
 * encryption and its call.  The pieces are the thread's only until the call is
 * over; a call that is repeated after a wait gathers the same bytes again. */
static ssize_t tls_try_writev(struct sock *s, struct iovec *iov, int n, int *ret_want)
{
	static __thread char record[RECORD_MAX];
	size_t used = 0;

	if (n == 1 || iov[0].iov_len >= RECORD_MAX)
		return tls_try_write(s, iov[0].iov_base, iov[0].iov_len, ret_want);
	for (int i = 0; i < n && used < RECORD_MAX; i++) {
		size_t room = RECORD_MAX - used;
		size_t part = iov[i].iov_len < room ? iov[i].iov_len : room;

		if (part)
			memcpy(record + used, iov[i].iov_base, part);
		used += part;
	}
	return tls_try_write(s, record, used, ret_want);
}

/* All of it, in one go with what others send. */
static ssize_t send_kept(struct sock *s, struct iovec *iov, int n, deadline until)
{
	struct iovec one; /* of a short write */
	ssize_t sent;

	if (FAULT("net.write"))
		return failed(s, EPIPE);
	if (FAULT("net.short_write") && iov->iov_len) {
		n = 1;
		one = (struct iovec){ iov->iov_base, 1 };
		iov = &one;
	}
	sent = io_send(&s->io, iov, n < IOV_MAX ? n : IOV_MAX, until);
	if (sent >= 0)
		return sent;
	if (sent != -ECANCELED)
		return failed(s, (int)-sent);
	s->error = ECANCELED;
	return NET_CANCELLED;
}

static ssize_t try_writev(struct sock *s, struct iovec *iov, int n, int *ret_want)
{
	*ret_want = IO_WRITE;
	if (s->tls)
		return tls_try_writev(s, iov, n, ret_want);
	if (unlikely(s->kind))
		return is_closed(s) ? NET_FAILED : s->kind->try_writev(s, iov, n);
	return plain_try_writev(s, iov, n < IOV_MAX ? n : IOV_MAX);
}

ssize_t sock_try_writev(struct sock *s, struct iovec *iov, int n)
{
	int want;

	while (n > 0 && iov->iov_len == 0) {
		iov++;
		n--;
	}
	while (n > 1 && iov[n - 1].iov_len == 0) /* one piece is cheaper than two */
		n--;
	return n ? try_writev(s, iov, n, &want) : 0;
}

ssize_t sock_try_write(struct sock *s, const void *p, size_t n)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };

	return sock_try_writev(s, &iov, 1);
}

/* Leaves out what is sent; the first piece with bytes left is at *iov. */
void iov_advance(struct iovec **iov, int *n, size_t sent)
{
	while (*n > 0 && sent >= (*iov)->iov_len) {
		sent -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + sent;
		(*iov)->iov_len -= sent;
	}
}

ssize_t sock_writev(struct sock *s, struct iovec *iov, int n, deadline until)
{
	ssize_t all = 0;

	iov_advance(&iov, &n, 0);
	while (n > 0) {
		int want;
		ssize_t sent;

		/* Who was cancelled may still say what there is room for. */
		if (s->io.is_kept && !s->tls && !fiber_is_cancelled())
			sent = send_kept(s, iov, n, until);
		else
			sent = try_writev(s, iov, n, &want);
		if (sent == NET_AGAIN) {
			enum net_end end = sock_wait(s, want, until);
			if (end != NET_OK)
				return end;
			continue;
		}
		if (sent < 0)
			return sent;
		all += sent;
		iov_advance(&iov, &n, (size_t)sent);
	}
	return all;
}

ssize_t sock_write(struct sock *s, const void *p, size_t n, deadline until)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };

	return sock_writev(s, &iov, 1, until);
}

enum net_end sock_shutdown_write(struct sock *s)
{
	if (s->tls)
		return tls_shutdown_write(s);
	if (s->kind)
		return is_closed(s) ? NET_FAILED : s->kind->shutdown_write(s);
	return shutdown(s->io.fd, SHUT_WR) < 0 ? failed(s, errno) : NET_OK;
}

enum net_end sock_finish_write(struct sock *s, deadline until)
{
	for (;;) {
		enum net_end end = sock_shutdown_write(s);

		if (end == NET_AGAIN)
			end = sock_wait(s, IO_WRITE, until);
		else
			return end;
		if (end != NET_OK)
			return end;
	}
}
