/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/queue.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "clients/background.h"
#include "clients/priv.h"
#include <pthread.h>
#include <stdlib.h>

#define DELAY_MOST 60    /* in units */
#define REFUSED_MS 10000 /* between two words about entries that were refused */
#define BUCKETS    1024

struct entry {
	struct list link;
	size_t n;
	char bytes[];
};

struct queue {
	struct list in_all; /* all.lock */
	struct queue *next; /* all.lock: of its bucket */
	uint64_t hash;
	unsigned holds; /* all.lock: who has it open, its fibers, a call on its way to them */
	struct queue_options o;
	struct arena *arena;
	str key;
	void *conf;

	pthread_mutex_t lock; /* of what follows */
	struct list entries;
	size_t n, bytes;          /* bytes: with those that are being sent */
	int64_t last_ms;          /* the last was added */
	unsigned senders, idlers; /* fibers; those among them that wait for a full batch */
	bool is_called, is_flushing, is_down;
	uint64_t sent, dropped;
	uint64_t untold; /* dropped, and not told in the log */
	bool is_full_told;

	/* The background loop's own. */
	struct gate full, retry;
	unsigned failures; /* since something was sent */
	int64_t down_since;
	deadline refused_again; /* may be told then */
};

static struct {
	pthread_mutex_t lock;
	struct list queues;
	struct queue *buckets[BUCKETS]; /* the same by their keys */
	size_t batches_most;            /* 0: not looked at yet */
} all = { .lock = PTHREAD_MUTEX_INITIALIZER, .queues = { &all.queues, &all.queues } };

/* ---- their life --------------------------------------------------------------------------- */

static size_t batches_most(void) /* under all.lock */
{
	int64_t most;

	if (!all.batches_most) {
		str said = str_of(getenv("KONG_MAX_QUEUED_BATCHES"));

		all.batches_most =
			str_to_int(said, &most) && most > 0 ? (size_t)most : QUEUE_BATCHES;
	}
	return all.batches_most;
}

static void set_options(struct queue *q, const struct queue_options *o)
{
	size_t most = batches_most();

	q->o = *o;
	q->o.batch = o->batch ? o->batch : 1;
	q->o.attempts = o->attempts > 0 ? o->attempts : 1;
	q->o.senders = o->senders ? o->senders : 1;
	q->o.bytes_most = o->bytes_most ? o->bytes_most : QUEUE_BYTES;
	q->o.delay_unit_ms = o->delay_unit_ms ? o->delay_unit_ms : 1000;
	if (!q->o.entries_most)
		q->o.entries_most =
			most < QUEUE_ENTRIES / q->o.batch ? most * q->o.batch : QUEUE_ENTRIES;
}

static struct queue *find(const char *name, str key, uint64_t hash)
{
	for (struct queue *q = all.buckets[hash % BUCKETS]; q; q = q->next) {
		if (q->hash == hash && strcmp(q->o.name, name) == 0 && str_eq(q->key, key))
			return q;
	}
	return NULL;
}

static void register_queue(struct queue *q)
{
	struct queue **bucket = &all.buckets[q->hash % BUCKETS];

	q->next = *bucket;
	*bucket = q;
	list_add(&all.queues, &q->in_all);
}

static void forget_queue(struct queue *q)
{
	struct queue **at = &all.buckets[q->hash % BUCKETS];

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	list_remove(&q->in_all);
}

struct queue *queue_open(const struct queue_options *o, str key,
			 void *(*make)(struct arena *a, void *arg), void *arg)
{
	uint64_t hash = hash_bytes(key.s, key.n);
	struct queue *q;

	pthread_mutex_lock(&all.lock);
	q = find(o->name, key, hash);
	if (!q) {
		q = MEM_NEW(struct queue);
		set_options(q, o);
		q->arena = arena_new();
		q->key = str_copy(q->arena, key);
		q->hash = hash;
		q->conf = make ? make(q->arena, arg) : arg;
		pthread_mutex_init(&q->lock, NULL);
		list_init(&q->entries);
		gate_init(&q->full);
		gate_init(&q->retry);
		register_queue(q);
	}
	q->holds++;
	pthread_mutex_unlock(&all.lock);
	return q;
}

static void hold(struct queue *q)
{
	pthread_mutex_lock(&all.lock);
	q->holds++;
	pthread_mutex_unlock(&all.lock);
}

static void tell_lost(struct queue *q)
{
	if (q->untold)
		log_warn("%s: %llu entries were dropped", q->o.name, (unsigned long long)q->untold);
	q->untold = 0;
}

static void drop_oldest(struct queue *q) /* under q->lock */
{
	struct entry *e = CONTAINER(q->entries.next, struct entry, link);

	list_remove(&e->link);
	q->n--;
	q->bytes -= e->n;
	q->dropped++;
	q->untold++;
	mem_free(e);
}

void queue_close(struct queue **ref)
{
	struct queue *q = TAKE(*ref);
	bool is_last;

	if (!q)
		return;
	pthread_mutex_lock(&all.lock);
	is_last = --q->holds == 0;
	if (is_last)
		forget_queue(q);
	pthread_mutex_unlock(&all.lock);
	if (!is_last)
		return;
	while (q->n)
		drop_oldest(q);
	tell_lost(q);
	pthread_mutex_destroy(&q->lock);
	arena_drop(&q->arena);
	mem_free(q);
}

/* ---- adding -------------------------------------------------------------------------------- */

static void start_sender(void *p);

/* Is there something to do that no sender is about to do?  Under q->lock. */
static bool needs_call(const struct queue *q)
{
	if (q->is_called)
		return false;
	if (q->senders == 0)
		return true;
	return q->n >= q->o.batch && (q->idlers || q->senders < q->o.senders);
}

static bool make_room(struct queue *q, size_t n) /* under q->lock */
{
	bool is_told = false;

	while (q->n && (q->n + 1 > q->o.entries_most || q->bytes + n > q->o.bytes_most)) {
		is_told = !q->is_full_told;
		q->is_full_told = true;
		drop_oldest(q);
	}
	return is_told;
}

bool queue_add(struct queue *q, str text)
{
	struct loop *loop = background_loop();
	bool must_call, is_full;
	struct entry *e;

	if (!loop || text.n > q->o.bytes_most) {
		pthread_mutex_lock(&q->lock);
		q->dropped++;
		q->untold++;
		pthread_mutex_unlock(&q->lock);
		return false;
	}
	e = mem_alloc(sizeof(*e) + text.n);
	e->n = text.n;
	if (text.n)
		memcpy(e->bytes, text.s, text.n);
	pthread_mutex_lock(&q->lock);
	is_full = make_room(q, text.n);
	list_add(&q->entries, &e->link);
	q->n++;
	q->bytes += text.n;
	q->last_ms = clock_mono_ms();
	must_call = needs_call(q);
	q->is_called |= must_call;
	pthread_mutex_unlock(&q->lock);
	if (is_full)
		log_error("%s: queue is full, the oldest entries are dropped", q->o.name);
	if (must_call) {
		hold(q);
		loop_post(loop, start_sender, q);
	}
	return true;
}

struct queue_stats queue_stats(struct queue *q)
{
	struct queue_stats s;

	pthread_mutex_lock(&q->lock);
	s = (struct queue_stats){ q->n, q->bytes, q->sent, q->dropped, q->is_down };
	pthread_mutex_unlock(&q->lock);
	return s;
}

/* ---- batches -------------------------------------------------------------------------------- */

struct batch {
	struct arena *a;
	struct list entries;
	str *v;
	size_t n, bytes;
};

/* Until a batch should go off; false: there is nothing to do, and this sender is no more.
 * Under q->lock, which it lets go of while it waits. */
static bool await_batch(struct queue *q)
{
	while (q->n) {
		int64_t at = q->last_ms + q->o.flush_ms;
		enum wait w;

		if (q->is_flushing || q->n >= q->o.batch || clock_mono_ms() >= at)
			return true;
		if (q->idlers) /* one is enough */
			break;
		q->idlers++;
		pthread_mutex_unlock(&q->lock);
		w = gate_wait(&q->full, at);
		pthread_mutex_lock(&q->lock);
		q->idlers--;
		if (w == WAIT_CANCELLED)
			break;
	}
	return false;
}

static bool take_batch(struct queue *q, struct batch *b)
{
	bool is_there;

	pthread_mutex_lock(&q->lock);
	is_there = !fiber_is_cancelled() && await_batch(q);
	if (!is_there)
		q->senders--;
	list_init(&b->entries);
	b->n = b->bytes = 0;
	while (is_there && q->n && b->n < q->o.batch) {
		struct entry *e = CONTAINER(q->entries.next, struct entry, link);

		list_remove(&e->link);
		list_add(&b->entries, &e->link);
		q->n--;
		b->n++;
		b->bytes += e->n;
	}
	pthread_mutex_unlock(&q->lock);
	return is_there;
}

static void index_batch(struct batch *b)
{
	size_t i = 0;

	b->a = arena_new();
	b->v = NEWS(b->a, str, b->n);
	list_for_each (&b->entries, struct entry, link, e)
		b->v[i++] = str_at(e->bytes, e->n);
}

/* `lost` of its entries were not sent. */
static void drop_batch(struct queue *q, struct batch *b, size_t lost, bool is_told)
{
	list_for_each (&b->entries, struct entry, link, e)
		mem_free(e);
	arena_drop(&b->a);
	pthread_mutex_lock(&q->lock);
	q->bytes -= b->bytes;
	q->sent += b->n - lost;
	q->dropped += lost;
	q->untold += is_told ? 0 : lost;
	pthread_mutex_unlock(&q->lock);
}

/* Once in a while, as whoever asks may have them refused as often as they please. */
static bool tell_refused(struct queue *q, size_t refused)
{
	if (!refused || loop_now_ms() < q->refused_again)
		return false;
	q->refused_again = deadline_in(REFUSED_MS);
	log_warn("%s: %zu entries were dropped: they are refused, too long perhaps", q->o.name,
		 refused);
	return true;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void has_failed(struct queue *q, const struct err *e)
{
	bool is_new;

	if (e->code == ERR_CANCELLED)
		return;
	pthread_mutex_lock(&q->lock);
	is_new = !q->is_down;
	q->is_down = true;
	pthread_mutex_unlock(&q->lock);
	if (is_new)
		q->down_since = loop_now_ms();
	log_err(is_new ? LOG_ERROR_ : LOG_DEBUG_, e, "%s: failed to process entries", q->o.name);
}

static void has_worked(struct queue *q)
{
	uint64_t untold = 0;
	bool was_down;

	q->failures = 0;
	pthread_mutex_lock(&q->lock);
	was_down = q->is_down;
	q->is_down = false;
	if (was_down || q->n * 2 < q->o.entries_most) {
		untold = q->untold;
		q->untold = 0;
		q->is_full_told = false;
	}
	pthread_mutex_unlock(&q->lock);
	if (was_down)
		log_notice("%s: sends again after %lld s, %llu entries were dropped", q->o.name,
			   (long long)(loop_now_ms() - q->down_since) / 1000,
			   (unsigned long long)untold);
	else if (untold)
		log_warn("%s: %llu entries were dropped", q->o.name, (unsigned long long)untold);
}

/* Until the next attempt; false: there is none. */
static bool wait_to_retry(struct queue *q, int64_t attempt)
{
	int64_t units = q->failures < DELAY_MOST ? (int64_t)(q->failures + 1) * (q->failures + 1)
						 : DELAY_MOST;
	bool is_flushing;

	pthread_mutex_lock(&q->lock);
	is_flushing = q->is_flushing;
	pthread_mutex_unlock(&q->lock);
	if (attempt >= q->o.attempts || is_flushing || fiber_is_cancelled())
		return false;
	units = units < DELAY_MOST ? units : DELAY_MOST;
	return gate_wait(&q->retry, deadline_in(units * q->o.delay_unit_ms)) != WAIT_CANCELLED;
}

static struct err *send_batch(const struct queue *q, const struct batch *b, size_t *ret_refused)
{
	*ret_refused = 0;
	return q->o.send_each ? q->o.send_each(q->conf, b->v, b->n, ret_refused)
			      : q->o.send(q->conf, b->v, b->n);
}

static void deliver(struct queue *q, struct batch *b)
{
	bool is_sent = false;
	size_t refused = 0;

	for (int64_t attempt = 1; !is_sent; attempt++) {
		struct err *e = send_batch(q, b, &refused);
		bool is_final = e && e->code == ERR_INVALID;

		is_sent = !e;
		if (e) {
			has_failed(q, e);
			q->failures++;
		} else {
			has_worked(q);
		}
		err_forget();
		if (e && (is_final || !wait_to_retry(q, attempt)))
			break;
	}
	if (is_sent)
		drop_batch(q, b, refused, tell_refused(q, refused));
	else
		drop_batch(q, b, refused ? refused : b->n, false);
}

static void run_sender(void *p)
{
	struct queue *q = p;
	struct batch b = { .n = 0 };

	while (take_batch(q, &b)) {
		index_batch(&b);
		deliver(q, &b);
	}
	queue_close(&q);
}

/* On the background loop, with a hold: as many as there are batches for. */
static void start_sender(void *p)
{
	struct queue *q = p;
	unsigned n = 0;

	pthread_mutex_lock(&q->lock);
	q->is_called = false;
	while (!q->idlers && q->senders < q->o.senders && q->n > n * q->o.batch) {
		q->senders++;
		n++;
	}
	pthread_mutex_unlock(&q->lock);
	gate_wake_all(&q->full);
	for (unsigned i = 0; i < n; i++) {
		hold(q);
		fiber_start(q->o.name, run_sender, q);
	}
	queue_close(&q);
}

/* ---- the end ------------------------------------------------------------------------------- */

void queues_flush(void)
{
	pthread_mutex_lock(&all.lock);
	list_for_each (&all.queues, struct queue, in_all, q) {
		pthread_mutex_lock(&q->lock);
		q->is_flushing = true;
		pthread_mutex_unlock(&q->lock);
		gate_wake_all(&q->full);
		gate_wake_all(&q->retry);
	}
	pthread_mutex_unlock(&all.lock);
}

bool queues_are_empty(void)
{
	bool is_empty = true;

	pthread_mutex_lock(&all.lock);
	list_for_each (&all.queues, struct queue, in_all, q) {
		pthread_mutex_lock(&q->lock);
		is_empty = is_empty && !q->bytes && !q->n && !q->senders && !q->is_called;
		pthread_mutex_unlock(&q->lock);
	}
	pthread_mutex_unlock(&all.lock);
	return is_empty;
}

void queues_tell_lost(void)
{
	pthread_mutex_lock(&all.lock);
	list_for_each (&all.queues, struct queue, in_all, q) {
		while (q->n)
			drop_oldest(q);
		tell_lost(q);
	}
	pthread_mutex_unlock(&all.lock);
}
