/* SPDX-License-Identifier: Apache-2.0 */
#include "store/postgres/pool.h"

#include "base/mem.h"
#include "store/postgres/priv.h"
#include <assert.h>
#include <poll.h>

#define SWEEP_MS 1000 /* how often idle times are looked at */
#define QUIET_MS 250  /* after a failed attempt, before the next */

/* Counts: open >= idle; open - idle are with callers or being connected. */
struct pg_pool {
	struct pg_options options;
	struct list idle; /* the newest first */
	unsigned n_idle, n_open, n_queries;
	unsigned n_for_turn, n_for_place; /* who wait */
	struct gate turns, places;
	struct timer sweep;

	/* while the server is away */
	struct arena *story;
	struct err *failure; /* of the last attempt, in story; NULL: all is well */
	deadline quiet_until;
	bool is_trying;

	uint64_t connects, failures;
};

/* ---- idle connections ------------------------------------------------------------------- */

static void leave_idle(struct pg_conn *c)
{
	list_remove(&c->link);
	c->pool->n_idle--;
	io_unpark(&c->io);
}

/* A place is free: one who waits may have it. */
static void close_one(struct pg_pool *p, struct pg_conn **c)
{
	pg_drop(c);
	p->n_open--;
	gate_wake_one(&p->places);
}

static void close_idle(struct pg_conn *c)
{
	struct pg_pool *p = c->pool;

	leave_idle(c);
	close_one(p, &c);
}

/* The server closes it, or says something unasked. */
static void on_unasked(struct io *io)
{
	close_idle(CONTAINER(io, struct pg_conn, io));
}

static bool is_readable(const struct pg_conn *c)
{
	struct pollfd p = { .fd = c->io.fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* The oldest are at the end. */
static void sweep(struct timer *t)
{
	struct pg_pool *p = CONTAINER(t, struct pg_pool, sweep);
	int64_t now = loop_now_ms();

	while (p->n_idle) {
		struct pg_conn *c = CONTAINER(p->idle.prev, struct pg_conn, link);

		if (c->idle_until > now)
			break;
		close_idle(c);
	}
	if (p->n_idle)
		timer_set(&p->sweep, now + SWEEP_MS);
}

static struct pg_conn *take_idle(struct pg_pool *p)
{
	while (p->n_idle) {
		struct pg_conn *c = CONTAINER(p->idle.next, struct pg_conn, link);

		if (is_readable(c) || c->idle_until <= loop_now_ms()) {
			close_idle(c);
			continue;
		}
		leave_idle(c);
		c->is_reused = true;
		return c;
	}
	return NULL;
}

/* ---- taking --------------------------------------------------------------------------------- */

static struct err *wait_for_turn(struct pg_pool *p)
{
	const struct pg_options *o = &p->options;
	deadline until = deadline_in(o->semaphore_ms);

	while (o->max_queries > 0 && p->n_queries >= o->max_queries) {
		enum wait w;

		p->n_for_turn++;
		w = gate_wait(&p->turns, until);
		p->n_for_turn--;
		if (w == WAIT_CANCELLED)
			return FAIL(ERR_CANCELLED, "cancelled");
		if (w == WAIT_TIMEOUT)
			return err_hint(
				FAIL(ERR_TIMEOUT, "error acquiring query semaphore: timeout"),
				"More queries at a time than pg%s_max_concurrent_queries; "
				"they wait pg%s_semaphore_timeout.",
				o->is_ro ? "_ro" : "", o->is_ro ? "_ro" : "");
	}
	p->n_queries++;
	return NULL;
}

static void end_turn(struct pg_pool *p)
{
	p->n_queries--;
	gate_wake_one(&p->turns);
}

static bool has_place(const struct pg_pool *p)
{
	int64_t most = p->options.pool_size > 0 ? p->options.pool_size : 1;

	return p->options.backlog < 0 || p->n_open < most;
}

/* An idle connection or, with *ret NULL, the right to open one. */
static struct err *wait_for_place(struct pg_pool *p, struct pg_conn **ret)
{
	const struct pg_options *o = &p->options;
	deadline until = deadline_in(o->timeout_ms);

	for (;;) {
		enum wait w;

		*ret = take_idle(p);
		if (*ret || has_place(p))
			return NULL;
		if (p->n_for_place >= o->backlog)
			return err_hint(FAIL(ERR_REFUSED, "too many waiting connect operations"),
					"Raise pg%s_pool_size or pg%s_backlog.",
					o->is_ro ? "_ro" : "", o->is_ro ? "_ro" : "");
		p->n_for_place++;
		w = gate_wait(&p->places, until);
		p->n_for_place--;
		if (w == WAIT_CANCELLED)
			return FAIL(ERR_CANCELLED, "cancelled");
		if (w == WAIT_TIMEOUT)
			return err_hint(
				FAIL(ERR_TIMEOUT, "timeout waiting for a connection to PostgreSQL"),
				"Raise pg%s_pool_size.", o->is_ro ? "_ro" : "");
	}
}

static void remember(struct pg_pool *p, const struct err *e)
{
	p->failure = NULL;
	arena_reset(p->story);
	if (!e)
		return;
	p->failures++;
	if (e->code == ERR_CANCELLED)
		return;
	p->failure = err_keep(p->story, e);
	p->quiet_until = deadline_in(QUIET_MS);
}

static struct err *open_new(struct pg_pool *p, struct pg_conn **ret)
{
	struct err *e;
	bool was_away = p->failure != NULL;

	if (was_away && (p->is_trying || loop_now_ms() < p->quiet_until))
		return err_here(p->failure);
	p->n_open++;
	p->connects++;
	p->is_trying |= was_away;
	e = pg_connect(&p->options, ret);
	p->options.ends_orphans = !e && pg_server_version(*ret) >= 140000;
	if (was_away)
		p->is_trying = false;
	remember(p, e);
	if (e) {
		p->n_open--;
		gate_wake_one(&p->places);
		return e;
	}
	(*ret)->pool = p;
	return NULL;
}

struct err *pg_pool_take(struct pg_pool *p, struct pg_conn **ret)
{
	struct pg_conn *c = NULL;
	struct err *e;

	PASS(wait_for_turn(p));
	e = wait_for_place(p, &c);
	if (!e && !c)
		e = open_new(p, &c);
	if (e) {
		end_turn(p);
		return e;
	}
	*ret = c;
	return NULL;
}

void pg_pool_give(struct pg_pool *p, struct pg_conn **c)
{
	struct pg_conn *back = TAKE(*c);

	if (!back)
		return;
	assert(back->pool == p);
	if (pg_is_broken(back) || PQtransactionStatus(back->libpq) != PQTRANS_IDLE ||
	    p->n_idle >= p->options.pool_size || is_readable(back)) {
		close_one(p, &back);
		end_turn(p);
		return;
	}
	arena_reset(back->said);
	back->failure = (struct pg_failure){ 0 };
	pg_set_timeout(back, p->options.timeout_ms);
	back->idle_until =
		p->options.keepalive_ms > 0 ? deadline_in(p->options.keepalive_ms) : DEADLINE_NEVER;
	list_add_front(&p->idle, &back->link);
	p->n_idle++;
	io_clear(&back->io, IO_READ);
	io_park(&back->io, on_unasked);
	timer_set(&p->sweep, loop_now_ms() + SWEEP_MS);
	gate_wake_one(&p->places);
	end_turn(p);
}

struct err *pg_pool_query(struct pg_pool *p, struct arena *a, bool may_repeat, const char *sql,
			  const str *params, size_t n_params, struct pg_rows *ret)
{
	for (;;) {
		struct pg_conn *c;
		bool is_dead;
		struct err *e;

		PASS(pg_pool_take(p, &c));
		e = pg_query(c, a, sql, params, n_params, ret);
		is_dead = e && c->is_reused && pg_is_broken(c) && e->code != ERR_TIMEOUT &&
			  e->code != ERR_CANCELLED;
		pg_pool_give(p, &c);
		if (!is_dead || !may_repeat)
			return e;
		pg_pool_close_idle(p); /* where one is dead, so are its elders */
		may_repeat = false;
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

struct pg_pool *pg_pool_new(const struct pg_options *o)
{
	struct pg_pool *p = MEM_NEW(struct pg_pool);

	p->options = *o;
	p->story = arena_new();
	list_init(&p->idle);
	gate_init(&p->turns);
	gate_init(&p->places);
	timer_init(&p->sweep, sweep);
	return p;
}

void pg_pool_close_idle(struct pg_pool *p)
{
	while (p->n_idle)
		close_idle(CONTAINER(p->idle.next, struct pg_conn, link));
}

void pg_pool_drop(struct pg_pool **p)
{
	struct pg_pool *gone = TAKE(*p);

	if (!gone)
		return;
	pg_pool_close_idle(gone);
	assert(gone->n_open == 0 && gone->n_for_turn == 0 && gone->n_for_place == 0);
	timer_clear(&gone->sweep);
	arena_drop(&gone->story);
	mem_free(gone);
}

struct pg_pool_stats pg_pool_stats(const struct pg_pool *p)
{
	return (struct pg_pool_stats){
		.open = p->n_open,
		.idle = p->n_idle,
		.waiting = p->n_for_turn + p->n_for_place,
		.connects = p->connects,
		.failures = p->failures,
	};
}
