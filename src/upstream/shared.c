/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of HTTP/2 that requests share.
 *
 *	new ─► connecting ─► open ─┬─► running, while there are streams ─┐
 *	           │               │                                     ├─► over
 *	           │               └─► resting, without a fiber ─────────┤
 *	           └─────────────────────────────────────────────────────┘
 *
 * A fiber of its own connects it and runs it.  It is open when the target has introduced
 * itself: from then on it is known how many streams it takes, and until then nothing of a
 * request has been sent.  Who comes meanwhile waits.  One that is full, or has had its
 * requests, or is told to go (GOAWAY) gets no streams any more and ends after its last. */
#include "upstream/priv.h"

#include "base/mem.h"
#include "http/h2.h"
#include <string.h>

#define STREAMS_MOST 1000 /* on one connection, if its other side allows */
#define WAITERS_MOST 100  /* for one that is about to open */
#define SEND_MS      60000

/* What may come as the head of an answer. */
static const struct http_limits limits = {
	.line = 64 * 1024,
	.header = 64 * 1024,
	.head = 64 * 1024,
	.count = 1000,
};

enum state { CONNECTING, OPEN, OVER };

struct shared {
	struct sock sock;
	struct h2 *h2; /* NULL: not yet, or not any more */
	struct links *home;
	struct pool *pool;
	struct list in_pool;
	struct list resting; /* in home->resting, while it does */
	struct timer timer;  /* while no fiber has it: how long that may last */
	enum state state;
	struct gate opened; /* or over */
	enum link_end end;  /* why it never opened */
	unsigned users;     /* links, and those who wait for it to open */
	unsigned requests;
	bool is_running; /* a fiber has it */
	char why[sizeof((struct links){ 0 }.why)];

	/* Where it is to connect to. */
	struct address address;
	struct tls_context *tls;
	char server_name[256];
	bool verify_name;
	deadline until;
};

static void run(void *arg);

/* ---- life -------------------------------------------------------------------------- */

static void on_greeted(void *arg)
{
	struct shared *c = arg;

	c->state = OPEN;
	gate_wake_all(&c->opened);
}

static bool is_resting(const struct shared *c)
{
	return !list_is_empty(&c->resting);
}

static void stop_resting(struct shared *c)
{
	timer_clear(&c->timer);
	io_unpark(&c->sock.io);
	if (is_resting(c))
		c->pool->resting_count--;
	list_remove(&c->resting);
}

/* It runs, at once or soon: then what else is to be sent goes with it. */
static void start(struct shared *c, bool is_at_once)
{
	stop_resting(c);
	c->is_running = true;
	if (is_at_once)
		fiber_start_now("upstream", run, c);
	else
		fiber_start("upstream", run, c);
}

static void finish(struct shared *c)
{
	struct links *l = c->home;

	stop_resting(c);
	if (c->state == CONNECTING && c->end == LINK_OK) {
		c->end = LINK_REFUSED;
		snprintf(c->why, sizeof(c->why), "does not speak HTTP/2");
	}
	c->state = OVER;
	h2_drop(&c->h2);
	sock_close(&c->sock);
	tls_context_drop(&c->tls);
	list_remove(&c->in_pool);
	c->pool->in_use--;
	pool_leave(l, c->pool);
	c->pool = NULL;
	gate_wake_all(&c->opened);
	if (!c->users)
		mem_free(c);
}

static void on_readable(struct io *io)
{
	start(CONTAINER(CONTAINER(io, struct sock, io), struct shared, sock), true);
}

static void on_timer(struct timer *t)
{
	struct shared *c = CONTAINER(t, struct shared, timer);

	if (c->state == CONNECTING) {
		c->end = LINK_TIMEOUT;
		snprintf(c->why, sizeof(c->why), "does not introduce itself");
	}
	finish(c);
}

static bool is_spent(const struct shared *c)
{
	unsigned most = c->home->options.max_requests;

	return h2_is_leaving(c->h2) || (most && c->requests >= most);
}

/* May it stay although nobody uses it? */
static bool may_rest(const struct shared *c)
{
	const struct links *l = c->home;

	if (c->users)
		return true;
	return c->state == OPEN && !l->is_closing && !is_spent(c) &&
	       c->pool->resting_count < l->options.pool_size;
}

void shared_leave(struct shared *c)
{
	if (--c->users)
		return;
	if (c->state == OVER)
		mem_free(c);
	else if (is_resting(c) && !may_rest(c)) /* who waited for it to open has gone */
		finish(c);
}

static void rest(struct shared *c)
{
	int64_t idle_ms = c->home->options.idle_ms;

	c->is_running = false;
	if (c->state == CONNECTING)
		timer_set(&c->timer, c->until);
	else if (idle_ms)
		timer_set(&c->timer, deadline_in(idle_ms));
	c->pool->resting_count++;
	list_add(&c->home->resting, &c->resting);
	if (c->sock.tls)
		tls_release_buffers(c->sock.tls);
	io_park(&c->sock.io, on_readable);
}

void shared_close_idle(struct links *l)
{
	list_for_each (&l->resting, struct shared, resting, c)
		finish(c);
}

/* ---- its fiber ------------------------------------------------------------------------ */

static bool speaks_h2(struct shared *c)
{
	if (!c->sock.tls || str_is(tls_alpn(c->sock.tls), "h2") || !tls_alpn(c->sock.tls).n)
		return true;
	c->end = LINK_TLS_FAILED;
	snprintf(c->why, sizeof(c->why), "does not speak HTTP/2");
	return false;
}

static bool connect_it(struct shared *c)
{
	struct link_target t = {
		.address = &c->address,
		.tls = c->tls,
		.server_name = str_of(c->server_name),
		.verify_name = c->verify_name,
	};
	struct h2_options o = {
		.max_streams = STREAMS_MOST,
		.limits = limits,
		.send_ms = SEND_MS,
		.on_greeted = on_greeted,
		.arg = c,
	};
	const char *why = "";

	c->end = link_connect(&c->sock, &t, c->until, &why);
	if (c->end != LINK_OK) {
		snprintf(c->why, sizeof(c->why), "%s", why);
		return false;
	}
	if (!speaks_h2(c))
		return false;
	c->h2 = h2_new(&c->sock, &o);
	return true;
}

static void run(void *arg)
{
	struct shared *c = arg;
	enum h2_end end = H2_OVER;

	if (c->h2 || connect_it(c))
		end = h2_run(c->h2, STR_NONE);
	err_forget();
	if (end == H2_IDLE && may_rest(c))
		rest(c);
	else
		finish(c);
}

/* ---- joining ---------------------------------------------------------------------------- */

static struct shared *shared_new(struct links *l, struct pool *p, const struct link_target *t,
				 deadline until)
{
	struct shared *c = MEM_NEW(struct shared);

	c->home = l;
	c->pool = p;
	c->sock.io.fd = -1;
	c->address = *t->address;
	c->tls = t->tls ? tls_context_hold(t->tls) : NULL;
	c->verify_name = t->verify_name;
	c->until = until;
	snprintf(c->server_name, sizeof(c->server_name), STRF, STRV(t->server_name));
	gate_init(&c->opened);
	list_init(&c->resting);
	timer_init(&c->timer, on_timer);
	list_init(&c->in_pool);
	list_add(&p->shared, &c->in_pool);
	p->in_use++;
	c->is_running = true;
	fiber_start("upstream", run, c);
	return c;
}

/* What a resting connection was told unseen: that it is over, perhaps. */
static void look_again(struct shared *c)
{
	if (!is_resting(c) || !sock_is_stale(&c->sock))
		return;
	c->sock.io.ready |= IO_READ;
	start(c, true);
}

static bool has_room(const struct shared *c)
{
	return c->state == OPEN && !is_spent(c) && h2_count(c->h2) < h2_most(c->h2);
}

static struct shared *find(struct pool *p, bool is_open)
{
	list_for_each (&p->shared, struct shared, in_pool, c) {
		if (is_open && has_room(c))
			return c;
		if (!is_open && c->state == CONNECTING && c->users < WAITERS_MOST)
			return c;
	}
	return NULL;
}

/* One with room for a stream, which its user holds; or NULL. */
static struct shared *hold_open(struct pool *p)
{
	struct shared *c;

	while ((c = find(p, true)) != NULL) {
		c->users++;
		look_again(c);
		if (c->state == OPEN && has_room(c))
			return c;
		shared_leave(c);
	}
	return NULL;
}

/* Until it is open, or over; who waits holds it. */
static enum link_end await(struct links *l, struct shared *c, deadline until, const char **why)
{
	enum link_end end = LINK_OK;
	enum wait w;

	w = gate_wait(&c->opened, until);
	if (w != WAIT_OK) {
		end = w == WAIT_TIMEOUT ? LINK_TIMEOUT : LINK_CANCELLED;
		*why = "timed out";
	} else if (c->end != LINK_OK) {
		end = c->end;
		memcpy(l->why, c->why, sizeof(l->why));
		*why = l->why;
	} else if (c->state == OVER || h2_most(c->h2) == 0 || (is_spent(c) && !c->requests)) {
		end = LINK_REFUSED;
		*why = "takes no requests";
	}
	return end;
}

enum link_end link_join(struct links *l, const struct link_target *t, deadline until,
			struct link **ret, const char **why)
{
	struct pool *p = pool_get(l, t);
	enum link_end end = LINK_OK;
	struct shared *c;
	struct link *k;
	bool is_new = false;

	p->in_use++;
	c = hold_open(p);
	while (!c && end == LINK_OK) {
		struct shared *next = find(p, false);

		if (!next)
			next = shared_new(l, p, t, until);
		next->users++;
		end = await(l, next, until, why);
		if (end == LINK_OK)
			c = hold_open(p);
		shared_leave(next);
		is_new = true;
	}
	if (end == LINK_OK) {
		k = link_new(l, p);
		k->shared = c;
		k->is_reused = !is_new;
		*ret = k;
	}
	p->in_use--;
	pool_leave(l, p);
	return end;
}

bool link_begin(struct link *k, const struct http_headers *fields, bool has_body)
{
	struct shared *c = k->shared;

	if (c->state != OPEN || !h2_open(c->h2, fields, has_body, &k->sock))
		return false;
	c->requests++;
	if (!c->is_running)
		start(c, false);
	return true;
}

bool link_is_refused(const struct link *k)
{
	return k->shared && k->sock.stream && h2_is_refused(&k->sock);
}
