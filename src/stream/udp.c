/* SPDX-License-Identifier: Apache-2.0 */
/* UDP sessions.
 *
 * Datagrams come and go in batches, in both directions outside of fibers: what cannot be sent
 * at once is lost, as datagrams are.  What comes while a session begins waits in its arena,
 * up to a ceiling.  A session that would be one too many is not begun: those that are there
 * go on, whatever a flood of forged senders does. */
#include "stream/priv.h"

#include "base/fault.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define BATCH         32
#define DATAGRAM_MAX  65536 /* longer than the longest there is */
#define ROUNDS        4     /* batches in one turn, so that others get theirs */
#define CONTROL_BYTES 64    /* where a datagram came to: struct in6_pktinfo and its head */
#define BUCKETS       4096
#define TELL_MS       10000 /* between two complaints */
#define SESSION_BYTES 4096
#define LEAVE_MS      5000 /* of silence while the worker drains */

struct waiting {
	struct waiting *next;
	size_t n;
	char bytes[];
};

struct udp_session {
	struct session *session;
	struct udp_port *port;
	struct udp_session *next; /* of its bucket */
	struct list link;         /* of its port */
	uint64_t hash;
	struct address from, to;
	bool is_found; /* by its client's datagrams */
	bool is_open;
	struct waiting *first, **last; /* while it begins */
	size_t waiting, waiting_bytes;
	struct io io; /* towards the target */
	struct timer timer;
	int64_t timeout_ms;
	int64_t requests, responses; /* datagrams */
	int status;
};

/* Datagrams on their way, of which each has a place of its own. */
struct batch {
	struct mmsghdr v[BATCH];
	struct iovec iov[BATCH];
	struct address from[BATCH];
	char control[BATCH][CONTROL_BYTES] __attribute__((aligned(16)));
	char *bytes; /* BATCH times DATAGRAM_MAX; only what datagrams touch is really there */
};

struct udp_port {
	struct proxy *proxy;
	const struct listener *listener;
	struct address at;
	int fd; /* our own, so that sessions may answer when the listener is closed */
	struct io io;
	bool is_reading;
	struct list sessions;
	uint64_t sessions_n, seed;
	uint64_t lost; /* datagrams, since it was told */
	deadline quiet_until;
	struct batch batch;
	struct udp_session *buckets[BUCKETS];
};

static const struct stream_tuning *tuning(const struct udp_port *port)
{
	return &port->proxy->shared->settings->stream;
}

/* ---- batches -------------------------------------------------------------------------------- */

/* How many came; 0: none, or errno says why. */
static int receive(struct batch *b, int fd)
{
	int n;

	for (int i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){ b->bytes + (size_t)i * DATAGRAM_MAX, DATAGRAM_MAX };
		b->v[i].msg_hdr = (struct msghdr){
			.msg_name = &b->from[i].any,
			.msg_namelen = sizeof(b->from[i].local),
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
			.msg_control = b->control[i],
			.msg_controllen = CONTROL_BYTES,
		};
	}
	errno = 0;
	do
		n = recvmmsg(fd, b->v, BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	for (int i = 0; i < n; i++) {
		b->from[i].size = b->v[i].msg_hdr.msg_namelen;
		b->iov[i].iov_len = b->v[i].msg_len;
	}
	return n < 0 ? 0 : n;
}

/* The address that a datagram came to; the port is the socket's. */
static struct address came_to(const struct udp_port *port, struct msghdr *m)
{
	struct address to = port->at;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
		    to.any.sa_family == AF_INET) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			to.v4.sin_addr = info.ipi_addr;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
			   to.any.sa_family == AF_INET6) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			to.v6.sin6_addr = info.ipi6_addr;
		}
	}
	return to;
}

/* Control data that makes an answer come from the address that was asked. */
static void come_from(const struct address *at, struct msghdr *m, char *control)
{
	bool is_v6 = at->any.sa_family == AF_INET6;
	struct in_pktinfo v4 = { .ipi_spec_dst = at->v4.sin_addr };
	struct in6_pktinfo v6 = { .ipi6_addr = at->v6.sin6_addr };
	size_t n = is_v6 ? sizeof(v6) : sizeof(v4);
	struct cmsghdr *c;

	memset(control, 0, CONTROL_BYTES);
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(n);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = is_v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = is_v6 ? IPV6_PKTINFO : IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), is_v6 ? (const void *)&v6 : &v4, n);
}

/* Their bytes that went; a refusal that an earlier one met does not count for this one. */
static uint64_t send_batch(struct mmsghdr *v, int n, int fd)
{
	bool was_refused = false;
	uint64_t bytes = 0;

	while (n > 0) {
		int sent = sendmmsg(fd, v, (unsigned)n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == ECONNREFUSED && !was_refused) {
			was_refused = true;
			continue;
		}
		if (sent <= 0)
			break;
		for (int i = 0; i < sent; i++)
			bytes += v[i].msg_len;
		v += sent;
		n -= sent;
	}
	return bytes;
}

/* ---- finding --------------------------------------------------------------------------------- */

struct end_key {
	uint64_t seed; /* so that nobody outside knows who shares a bucket */
	uint8_t from[16], to[16];
	uint16_t port;
	uint16_t family;
	uint32_t scope;
};

static uint64_t hash_of(const struct udp_port *port, const struct address *from,
			const struct address *to)
{
	struct end_key k = { .seed = port->seed, .port = address_port(from) };

	k.family = from->any.sa_family;
	if (k.family == AF_INET) {
		memcpy(k.from, &from->v4.sin_addr, 4);
		memcpy(k.to, &to->v4.sin_addr, 4);
	} else {
		memcpy(k.from, &from->v6.sin6_addr, 16);
		memcpy(k.to, &to->v6.sin6_addr, 16);
		k.scope = from->v6.sin6_scope_id;
	}
	return hash_bytes(&k, sizeof(k));
}

static struct udp_session *find(const struct udp_port *port, uint64_t hash,
				const struct address *from, const struct address *to)
{
	struct udp_session *u = port->buckets[hash % BUCKETS];

	while (u && (u->hash != hash || !address_eq(&u->from, from) || !address_eq(&u->to, to)))
		u = u->next;
	return u;
}

/* Its client's next datagram begins another one. */
static void forget(struct udp_session *u)
{
	struct udp_session **at = &u->port->buckets[u->hash % BUCKETS];

	if (!u->is_found)
		return;
	u->is_found = false;
	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
}

/* ---- the end ---------------------------------------------------------------------------------- */

static void end(struct udp_session *u) SUSPENDS;

static void end(struct udp_session *u)
{
	struct arena *a CLEANUP(arena_drop) = u->session->r.arena;
	struct client *c = u->session->r.client;

	session_end(u->session, u->status);
	list_remove(&u->link);
	u->port->sessions_n--;
	client_close(c);
}

static void run_end_of(void *p)
{
	end(p);
}

static void close_session(struct udp_session *u)
{
	forget(u);
	timer_clear(&u->timer);
	if (u->io.fd < 0)
		return;
	io_unpark(&u->io);
	io_done(&u->io);
	close(u->io.fd);
	u->io.fd = -1;
}

/* From outside of its fiber; a session that begins ends by itself. */
static void finish(struct udp_session *u, int status)
{
	if (!u->is_open)
		return;
	u->is_open = false;
	u->status = status;
	close_session(u);
	fiber_start_now("udp session", run_end_of, u);
}

static void on_timer(struct timer *t)
{
	finish(CONTAINER(t, struct udp_session, timer), STATUS_OVER);
}

/* While it drains, silence is no sign that more is to come. */
static int64_t silence_ms(const struct udp_session *u)
{
	return !u->port->is_reading && u->timeout_ms > LEAVE_MS ? LEAVE_MS : u->timeout_ms;
}

/* ---- from the target ------------------------------------------------------------------------- */

static void on_answer(struct io *io);

/* Every answer that was asked for is there (proxy_responses, proxy_requests). */
static bool is_answered(const struct udp_session *u)
{
	const struct stream_tuning *t = tuning(u->port);

	return t->responses >= 0 && u->responses >= t->responses * u->requests;
}

static void pass_back(struct udp_session *u, struct batch *b, int n)
{
	struct session *s = u->session;

	for (int i = 0; i < n; i++) {
		struct msghdr *m = &b->v[i].msg_hdr;

		s->facts.upstream_received += b->iov[i].iov_len;
		m->msg_name = &u->from.any;
		m->msg_namelen = u->from.size;
		come_from(&u->to, m, b->control[i]);
	}
	s->r.bytes_sent += send_batch(b->v, n, u->port->fd);
	if (u->responses == 0) /* connecting says nothing of who is there */
		session_connected(s);
	u->responses += n;
}

static void on_answer(struct io *io)
{
	struct udp_session *u = CONTAINER(io, struct udp_session, io);
	struct batch *b = &u->port->batch;

	for (int round = 0; round < ROUNDS; round++) {
		int n = receive(b, u->io.fd);

		if (n == 0 && errno && errno != EAGAIN) {
			session_failed(u->session, TRY_BROKEN, strerrordesc_np(errno));
			finish(u, u->responses ? STATUS_OVER : 502);
			return;
		}
		if (n)
			pass_back(u, b, n);
		if (n < BATCH) {
			io_clear(io, IO_READ);
			break;
		}
	}
	if (is_answered(u)) {
		finish(u, STATUS_OVER);
		return;
	}
	timer_set(&u->timer, deadline_in(silence_ms(u)));
	io_park_again(io, on_answer);
}

/* ---- to the target ---------------------------------------------------------------------------- */

/* A run of datagrams of one session, whose socket is connected. */
static void pass_on(struct udp_session *u, struct mmsghdr *v, int n)
{
	for (int i = 0; i < n; i++) {
		v[i].msg_hdr.msg_name = NULL;
		v[i].msg_hdr.msg_namelen = 0;
		v[i].msg_hdr.msg_control = NULL;
		v[i].msg_hdr.msg_controllen = 0;
		u->session->facts.received += v[i].msg_hdr.msg_iov->iov_len;
	}
	u->session->facts.upstream_sent += send_batch(v, n, u->io.fd);
	u->requests += n;
	timer_set(&u->timer, deadline_in(silence_ms(u)));
	if (tuning(u->port)->requests && u->requests >= tuning(u->port)->requests)
		forget(u);
}

/* Ends it when no answer is awaited, and with it u. */
static void settle(struct udp_session *u)
{
	if (is_answered(u))
		finish(u, STATUS_OVER);
}

static void lose(struct udp_port *port, const char *why)
{
	port->lost++;
	if (loop_now_ms() < port->quiet_until)
		return;
	log_crit("%s: datagrams are lost on " STRF " (%llu since this was told)", why,
		 STRV(port->listener->text), (unsigned long long)port->lost);
	port->lost = 0;
	port->quiet_until = deadline_in(TELL_MS);
}

/* While the session begins. */
static void keep_waiting(struct udp_session *u, const struct iovec *piece)
{
	struct waiting *w;

	if (u->waiting && (u->waiting >= LIMIT_UDP_HELD ||
			   u->waiting_bytes + piece->iov_len > LIMIT_UDP_HELD_BYTES)) {
		lose(u->port, "a session takes long to begin");
		return;
	}
	w = arena_alloc(u->session->r.arena, sizeof(*w) + piece->iov_len);
	w->next = NULL;
	w->n = piece->iov_len;
	memcpy(w->bytes, piece->iov_base, w->n);
	*u->last = w;
	u->last = &w->next;
	u->waiting++;
	u->waiting_bytes += w->n;
}

static void pass_waiting(struct udp_session *u)
{
	while (u->first) {
		struct waiting *w = u->first;
		struct iovec piece = { w->bytes, w->n };
		struct mmsghdr m = { .msg_hdr = { .msg_iov = &piece, .msg_iovlen = 1 } };

		u->first = w->next;
		pass_on(u, &m, 1);
	}
}

/* ---- the beginning ----------------------------------------------------------------------------- */

static int connect_to(struct udp_session *u)
{
	struct session *s = u->session;
	const struct address *to = &s->r.pick.address;
	int fd, status = session_pick(s);

	if (status)
		return status;
	fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (FAULT("net.socket") && fd >= 0) {
		close(fd);
		fd = -1;
		errno = EMFILE;
	}
	if (fd < 0) {
		lose(u->port, strerrordesc_np(errno));
		return 500;
	}
	if (connect(fd, &to->any, to->size) < 0) {
		session_failed(s, TRY_CONNECT_FAILED, strerrordesc_np(errno));
		close(fd);
		return 502;
	}
	io_init(&u->io, fd);
	return STEP_ON;
}

static int open_session(struct udp_session *u)
{
	struct session *s = u->session;
	int status = session_route(s);

	if (!status)
		status = session_preread(s);
	if (!status)
		status = connect_to(u);
	if (!status)
		u->timeout_ms = timeout_of(s->r.service->service->read_timeout);
	return status;
}

/* What a plugin answers is told to the client when it is no refusal. */
static void tell(struct udp_session *u)
{
	const struct plugin_run *run = u->session->r.run;
	char control[CONTROL_BYTES] __attribute__((aligned(16)));
	struct mmsghdr m = { 0 };
	struct iovec piece;

	if (!run || !run->answer.is_given || run->answer.status >= 400 || !run->answer.body.n)
		return;
	piece = (struct iovec){ (void *)(uintptr_t)run->answer.body.s, run->answer.body.n };
	m.msg_hdr = (struct msghdr){
		.msg_name = &u->from.any,
		.msg_namelen = u->from.size,
		.msg_iov = &piece,
		.msg_iovlen = 1,
	};
	come_from(&u->to, &m.msg_hdr, control);
	u->session->r.bytes_sent += send_batch(&m, 1, u->port->fd);
}

static void run(void *p)
{
	struct udp_session *u = p;

	u->status = open_session(u);
	if (u->status == STEP_ON && fiber_is_cancelled())
		u->status = STATUS_OVER;
	if (u->status == STEP_ON) {
		u->is_open = true;
		session_let_go(u->session);
		io_park(&u->io, on_answer);
		pass_waiting(u);
		settle(u);
		return;
	}
	tell(u);
	close_session(u);
	end(u);
}

static bool is_full(const struct udp_port *port)
{
	int64_t most = port->proxy->shared->settings->worker_connections;

	return most > 0 && (port->sessions_n >= (uint64_t)most / 2 ||
			    port->proxy->client_count >= (uint64_t)most);
}

static void begin(struct udp_port *port, uint64_t hash, const struct address *from,
		  const struct address *to, const struct iovec *piece)
{
	struct udp_session *u;
	struct session *s;
	struct client *c;

	if (is_full(port)) {
		lose(port, "the sessions that there may be are used up");
		return;
	}
	c = client_new(port->proxy, port->listener, -1, from);
	c->local = *to;
	s = session_new(c, SESSION_BYTES);
	s->facts.is_udp = true;
	session_know(s);
	u = NEW(s->r.arena, struct udp_session);
	*u = (struct udp_session){ .session = s, .port = port, .hash = hash };
	u->from = *from;
	u->to = *to;
	u->io.fd = -1;
	u->last = &u->first;
	timer_init(&u->timer, on_timer);
	u->next = port->buckets[hash % BUCKETS];
	port->buckets[hash % BUCKETS] = u;
	u->is_found = true;
	list_add(&port->sessions, &u->link);
	port->sessions_n++;
	keep_waiting(u, piece);
	fiber_start_now("udp session", run, u);
}

/* ---- the port ---------------------------------------------------------------------------------- */

/* Neighbours of one session go on together. */
static void deliver(struct udp_port *port, int n)
{
	struct batch *b = &port->batch;
	int i = 0;

	while (i < n) {
		struct address to = came_to(port, &b->v[i].msg_hdr);
		uint64_t hash = hash_of(port, &b->from[i], &to);
		struct udp_session *u = find(port, hash, &b->from[i], &to);
		int k = i + 1;

		while (k < n && address_eq(&b->from[k], &b->from[i])) {
			struct address other = came_to(port, &b->v[k].msg_hdr);

			if (!address_eq(&other, &to))
				break;
			k++;
		}
		if (u && u->is_open && !tuning(port)->requests) {
			pass_on(u, &b->v[i], k - i);
			settle(u);
			i = k;
			continue;
		}
		if (!u) {
			begin(port, hash, &b->from[i], &to, &b->iov[i]);
		} else if (u->is_open) {
			pass_on(u, &b->v[i], 1);
			settle(u);
		} else {
			keep_waiting(u, &b->iov[i]);
		}
		i++;
	}
}

static void on_ready(struct io *io)
{
	struct udp_port *port = CONTAINER(io, struct udp_port, io);

	for (int round = 0; round < ROUNDS && port->is_reading; round++) {
		int n = receive(&port->batch, port->io.fd);

		deliver(port, n);
		if (n < BATCH)
			break;
	}
}

struct udp_port *udp_port_new(struct proxy *p, const struct listener *l, const struct address *at,
			      int fd)
{
	struct udp_port *port = MEM_NEW(struct udp_port);
	uuid seed = uuid_random();

	port->proxy = p;
	port->listener = l;
	port->at = *at;
	port->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (port->fd < 0)
		log_crit("cannot answer on " STRF ": %s", STRV(l->text), strerrordesc_np(errno));
	port->batch.bytes = mem_alloc((size_t)BATCH * DATAGRAM_MAX);
	memcpy(&port->seed, seed.b, sizeof(port->seed));
	list_init(&port->sessions);
	port->is_reading = true;
	io_init(&port->io, fd);
	io_listen(&port->io, on_ready);
	return port;
}

void udp_port_finish(struct udp_port *port)
{
	if (!port->is_reading)
		return;
	port->is_reading = false;
	io_done(&port->io);
	list_for_each (&port->sessions, struct udp_session, link, u) {
		if (u->is_open)
			timer_set(&u->timer, deadline_in(silence_ms(u)));
	}
}

void udp_port_stop(struct udp_port *port)
{
	udp_port_finish(port);
	list_for_each (&port->sessions, struct udp_session, link, u)
		finish(u, STATUS_OVER);
}

void udp_port_drop(struct udp_port **ref)
{
	struct udp_port *port = *ref;

	if (!port)
		return;
	*ref = NULL;
	if (port->fd >= 0)
		close(port->fd);
	mem_free(port->batch.bytes);
	mem_free(port);
}
