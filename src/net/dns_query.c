/* SPDX-License-Identifier: Apache-2.0 */
/* Questions in flight.
 *
 * c-ares runs on a loop and thread of its own, so that nothing of it is shared;
 * each of its sockets has a fiber there.  A question is posted to that thread,
 * its answer goes into the cache, and everybody who waits is told on his own
 * loop.  Who no longer waits - cancelled, out of time - takes his name off the
 * list, or, when the message is already under way, leaves it to the message to
 * clean up. */
#include "base/log.h"
#include "base/mem.h"
#include "fiber/fiber.h"
#include "net/dns_priv.h"
#include <ares.h>
#include <poll.h>

#define IN_FLIGHT_BUCKETS 256

struct query_engine {
	struct loop *loop;
	pthread_t thread;
	ares_channel channel; /* the thread's own; NULL once it stopped */
	struct timer timer;   /* for c-ares' own retries */
	struct loop_hook hook;
	struct list watches;

	/* Under the resolver's lock: */
	struct list in_flight[IN_FLIGHT_BUCKETS];
	bool is_stopped;
};

/* A question; belongs to the engine's thread but for its first three members. */
struct query {
	struct list link;    /* in flight; by itself when others may not join */
	struct list waiters; /* struct waiting */
	int type;
	struct resolver *r;
	struct timer timer; /* gives up */
	size_t name_n;
	char name[DNS_NAME_MAX + 1];
};

/* Somebody who waits; belongs to his loop but for `link`. */
struct waiting {
	struct list link;
	struct loop *loop;
	struct gate gate;
	struct dns_set *set;
	bool is_told, is_gone;
};

static str query_name(const struct query *q)
{
	return str_at(q->name, q->name_n);
}

/* ---- telling those who wait --------------------------------------------------------------- */

static void tell_posted(void *p)
{
	struct waiting *w = p;

	if (w->is_gone) {
		set_drop(&w->set);
		mem_free(w);
		return;
	}
	w->is_told = true;
	gate_wake_all(&w->gate);
}

/* With the lock: as long as a name is on the list its loop is there. */
static void tell_all(struct query *q, struct dns_set *s)
{
	while (!list_is_empty(&q->waiters)) {
		struct waiting *w = CONTAINER(q->waiters.next, struct waiting, link);

		list_remove(&w->link);
		w->set = set_hold(s);
		loop_post(w->loop, tell_posted, w);
	}
}

/* Nobody joins it any more; with the lock. */
static void query_end(struct query *q, struct dns_set *s)
{
	list_remove(&q->link);
	tell_all(q, s);
}

static struct dns_set *unanswered(int type)
{
	char *text;
	struct dns_set *s = set_new(type, 0, 0, &text);

	s->error = SET_UNANSWERED;
	return s;
}

static void query_fail(struct query *q)
{
	struct dns_set *s CLEANUP(set_drop) = unanswered(q->type);

	pthread_mutex_lock(&q->r->lock);
	cache_put_new(q->r, query_name(q), s);
	query_end(q, s);
	pthread_mutex_unlock(&q->r->lock);
}

/* The servers have had their time.  c-ares may still come with an answer, which
 * then goes into the cache. */
static void on_give_up(struct timer *t)
{
	query_fail(CONTAINER(t, struct query, timer));
}

/* ---- answers ----------------------------------------------------------------------------------- */

static void take_answer(struct query *q, struct found *v, size_t n)
{
	struct resolver *r = q->r;

	pthread_mutex_lock(&r->lock);
	cache_put_new(r, query_name(q), v[0].set);
	for (size_t i = 1; i < n; i++) {
		cache_put_new(r, v[i].name, v[i].set);
		if (!cache_last_type(r, v[i].name))
			for (int k = 0; k < r->n_types; k++)
				if (r->types[k] == v[i].set->type)
					cache_set_last_type(r, v[i].name, v[i].set->type);
	}
	query_end(q, v[0].set);
	pthread_mutex_unlock(&r->lock);
}

static void on_answer(void *p, int status, int timeouts, unsigned char *bytes, int n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct query *q = p;
	struct found *v = NULL;
	size_t found = 0;

	(void)status, (void)timeouts;
	timer_clear(&q->timer);
	if (bytes && n > 0)
		found = answer_parse(a, bytes, (size_t)n, query_name(q), q->type, &v);
	if (found)
		take_answer(q, v, found);
	else
		query_fail(q);
	for (size_t i = 0; i < found; i++)
		set_drop(&v[i].set);
	mem_free(q);
}

/* ---- c-ares on its loop ------------------------------------------------------------------------- */

struct watch {
	struct io io;
	struct list link;
	struct resolver *r;
	int want; /* IO_READ, IO_WRITE */
	bool is_closed;
};

static void set_timer(struct query_engine *e)
{
	struct timeval tv;

	if (e->channel && ares_timeout(e->channel, NULL, &tv))
		timer_set(&e->timer, deadline_in(tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1));
	else
		timer_clear(&e->timer);
}

static void process(struct query_engine *e, ares_socket_t readable, ares_socket_t writable)
{
	if (e->channel)
		ares_process_fd(e->channel, readable, writable);
	set_timer(e);
}

static void on_timer(struct timer *t)
{
	process(CONTAINER(t, struct query_engine, timer), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* c-ares does not say whether it read everything there was, so what is ready is
 * asked anew each time. */
static void look(struct watch *w)
{
	struct pollfd p = { .fd = w->io.fd };
	bool in, out;

	p.events = (short)((w->want & IO_READ ? POLLIN : 0) | (w->want & IO_WRITE ? POLLOUT : 0));
	poll(&p, 1, 0);
	in = p.revents & (POLLIN | POLLHUP | POLLERR);
	out = p.revents & POLLOUT;
	if (!in)
		io_clear(&w->io, IO_READ);
	if (!out)
		io_clear(&w->io, IO_WRITE);
	if (in || out)
		process(w->r->engine, in ? w->io.fd : ARES_SOCKET_BAD,
			out ? w->io.fd : ARES_SOCKET_BAD);
}

/* The fiber of one socket. */
static void watch_socket(void *p)
{
	struct watch *w = p;
	int index;

	while (!w->is_closed) {
		struct io_want want[2] = { { &w->io, IO_READ }, { &w->io, IO_WRITE } };
		enum wait result;

		if (w->want == IO_WRITE)
			want[0] = want[1];
		result = io_wait_any(want, w->want == (IO_READ | IO_WRITE) ? 2 : 1, DEADLINE_NEVER,
				     &index);
		if (result == WAIT_OK && !w->is_closed)
			look(w);
	}
	mem_free(w);
}

static struct watch *find_watch(struct query_engine *e, int fd)
{
	list_for_each (&e->watches, struct watch, link, w)
		if (w->io.fd == fd)
			return w;
	return NULL;
}

/* c-ares opened a socket, wants something else of it, or is about to close it.
 * A fiber that waits begins anew. */
static void on_socket(void *p, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = p;
	struct query_engine *e = r->engine;
	struct watch *w = find_watch(e, fd);
	bool is_new = !w;

	if (is_new) {
		w = MEM_NEW(struct watch);
		w->r = r;
		list_add(&e->watches, &w->link);
	} else {
		io_done(&w->io);
	}
	io_init(&w->io, fd);
	w->want = (readable ? IO_READ : 0) | (writable ? IO_WRITE : 0);
	if (!w->want) {
		list_remove(&w->link);
		w->is_closed = true;
		if (is_new)
			mem_free(w);
	} else if (is_new) {
		fiber_start("dns socket", watch_socket, w);
	}
}

static void start_posted(void *p)
{
	struct query *q = p;
	struct resolver *r = q->r;

	timer_init(&q->timer, on_give_up);
	timer_set(&q->timer, deadline_in(r->conf.timeout_ms * r->conf.attempts));
	if (!r->engine->channel || r->conf.servers.n == 0) {
		on_answer(q, ARES_ECONNREFUSED, 0, NULL, 0);
		return;
	}
	ares_query(r->engine->channel, q->name, 1, q->type, on_answer, q);
	set_timer(r->engine);
}

/* ---- asking ------------------------------------------------------------------------------------ */

static struct list *bucket_of(struct resolver *r, int type, str name)
{
	uint64_t hash = hash_bytes(name.s, name.n) + (uint64_t)type;

	return &r->engine->in_flight[hash % IN_FLIGHT_BUCKETS];
}

static struct query *find_query(struct resolver *r, int type, str name)
{
	if (r->no_sync)
		return NULL;
	list_for_each (bucket_of(r, type, name), struct query, link, q)
		if (q->type == type && str_eq(query_name(q), name))
			return q;
	return NULL;
}

/* With the lock; NULL once the engine stopped. */
static struct query *get_query(struct resolver *r, int type, str name)
{
	struct query *q = find_query(r, type, name);

	if (q || r->engine->is_stopped)
		return q;
	q = MEM_NEW(struct query);
	q->r = r;
	q->type = type;
	q->name_n = name.n;
	memcpy(q->name, name.s, name.n);
	list_init(&q->waiters);
	list_init(&q->link);
	if (!r->no_sync)
		list_add(bucket_of(r, type, name), &q->link);
	loop_post(r->engine->loop, start_posted, q);
	return q;
}

void query_refresh(struct resolver *r, int type, str name)
{
	get_query(r, type, name);
}

/* Takes the name off the list, or leaves w to the message under way. */
static void stop_waiting(struct resolver *r, struct waiting *w)
{
	bool was_listed;

	pthread_mutex_lock(&r->lock);
	was_listed = !list_is_empty(&w->link);
	list_remove(&w->link);
	pthread_mutex_unlock(&r->lock);
	if (was_listed)
		mem_free(w);
	else
		w->is_gone = true;
}

enum wait query_wait(struct resolver *r, int type, str name, deadline until, struct dns_set **ret)
{
	struct waiting *w = MEM_NEW(struct waiting);
	enum wait result;
	struct query *q;

	gate_init(&w->gate);
	list_init(&w->link);
	w->loop = loop_self();
	pthread_mutex_lock(&r->lock);
	q = get_query(r, type, name);
	if (q)
		list_add(&q->waiters, &w->link);
	pthread_mutex_unlock(&r->lock);
	if (!q) {
		mem_free(w);
		*ret = unanswered(type);
		return WAIT_OK;
	}
	result = gate_wait(&w->gate, until);
	if (!w->is_told) {
		stop_waiting(r, w);
		return result;
	}
	*ret = w->set;
	mem_free(w);
	return WAIT_OK;
}

/* ---- start and stop ------------------------------------------------------------------------------ */

/* Ends everything in flight: c-ares answers each question and closes its sockets. */
static void on_stop(struct loop_hook *h)
{
	struct query_engine *e = CONTAINER(h, struct query_engine, hook);
	ares_channel channel = TAKE(e->channel);

	ares_destroy(channel);
	timer_clear(&e->timer);
}

static void *run(void *p)
{
	loop_run(p);
	err_forget();
	return NULL;
}

static struct err *open_channel(struct resolver *r)
{
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP,
		.timeout = (int)r->conf.timeout_ms,
		.tries = (int)r->conf.attempts,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = r,
		.resolvconf_path = str_z(r->arena, STR("/dev/null")), /* ours is read already */
		.lookups = str_z(r->arena, STR("b")),
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
		   ARES_OPT_RESOLVCONF | ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS |
		   (r->conf.rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE);
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	if (status == ARES_SUCCESS)
		status = ares_init_options(&r->engine->channel, &o, mask);
	if (status == ARES_SUCCESS && r->conf.servers.n > 0)
		status = ares_set_servers_ports_csv(
			r->engine->channel,
			str_z(r->arena, str_join(r->arena, r->conf.servers, STR(","))));
	if (status == ARES_SUCCESS)
		return NULL;
	return FAIL(ERR_SYSTEM, "cannot start the resolver: %s", ares_strerror(status));
}

struct err *engine_start(struct resolver *r)
{
	struct query_engine *e = MEM_NEW(struct query_engine);
	struct err *failed;
	int no;

	r->engine = e;
	for (size_t i = 0; i < IN_FLIGHT_BUCKETS; i++)
		list_init(&e->in_flight[i]);
	list_init(&e->watches);
	timer_init(&e->timer, on_timer);
	failed = loop_new("dns", 0, &e->loop);
	if (!failed)
		failed = open_channel(r);
	if (!failed) {
		loop_at_stop(e->loop, &e->hook, on_stop);
		no = pthread_create(&e->thread, NULL, run, e->loop);
		if (!no)
			return NULL;
		failed = FAIL(ERR_SYSTEM, "cannot start the resolver's thread: %s", strerror(no));
	}
	if (e->channel)
		ares_destroy(e->channel);
	loop_drop(&e->loop);
	mem_free(TAKE(r->engine));
	return failed;
}

void engine_stop(struct resolver *r)
{
	struct query_engine *e = r->engine;

	pthread_mutex_lock(&r->lock);
	e->is_stopped = true;
	pthread_mutex_unlock(&r->lock);
	loop_stop(e->loop);
	pthread_join(e->thread, NULL);
	loop_drop(&e->loop);
	mem_free(TAKE(r->engine));
	ares_library_cleanup();
}
