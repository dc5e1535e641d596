/* SPDX-License-Identifier: Apache-2.0 */
#include "control/lookup.h"

#include "base/asked.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/sql/store.h"

#include <math.h>
#include <pthread.h>

#define SEEKERS_MAX   16    /* questions to the database at a time */
#define FLIGHTS_MAX   20000 /* that wait for their turn; more fail */
#define CHAINS        1024
#define WAIT_MS       120000
#define MISSING_BYTES ((size_t)12 << 20)
#define PAGE          1000
#define LOG_MS        1000 /* between two words about a database that is away */

enum way { BY_FIELD, BY_CONSUMER };

/* One question, and who waits for its answer. */
struct flight {
	struct list chain, queue;
	struct list waiters;
	uint64_t hash;
	struct arena *arena; /* of what follows */
	const struct entity *entity;
	enum way way;
	const char *field;
	str key, value;
	uuid consumer;
	bool is_loose;
};

struct waiter {
	struct list link; /* of the flight, then of the lookup's answered ones */
	struct lookup *home;
	struct loop *loop;
	struct gate gate;
	struct cached *answer;           /* NULL: it failed */
	bool is_answered;                /* no flight has it any more; under the lock */
	bool is_delivered, is_abandoned; /* its loop's own */
};

struct lookup {
	struct store *store;
	struct loop *home;
	struct entity_cache *cache;
	size_t bytes; /* its ceiling */
	char workspace[36];
	pthread_mutex_t lock; /* over what follows */
	struct list chains[CHAINS];
	struct list queue;
	struct list answered;
	size_t n_flights;
	unsigned seekers;
	int64_t said_ms; /* home's own */
};

/* ---- its life -------------------------------------------------------------------------- */

static int64_t ms_of(double seconds)
{
	return seconds > 0 ? (int64_t)(seconds * 1000) : 0;
}

struct lookup *lookup_new(const struct settings *s, struct store *store)
{
	struct lookup *l = MEM_NEW(struct lookup);
	str workspace = store_sql_workspace(store);
	size_t bytes = (size_t)s->mem_cache_bytes;
	struct cache_options o = {
		.bytes = bytes,
		.missing_bytes = bytes < MISSING_BYTES ? bytes : MISSING_BYTES,
		.ttl_ms = ms_of(s->db_cache_ttl),
		.missing_ttl_ms =
			ms_of(isnan(s->db_cache_neg_ttl) ? s->db_cache_ttl : s->db_cache_neg_ttl),
		.resurrect_ms = ms_of(s->db_resurrect_ttl),
	};

	l->store = store_sql_for_requests(store);
	l->home = loop_self();
	l->bytes = bytes;
	l->cache = entity_cache_new(&o);
	memcpy(l->workspace, workspace.s,
	       workspace.n < sizeof(l->workspace) ? workspace.n : sizeof(l->workspace));
	pthread_mutex_init(&l->lock, NULL);
	for (size_t i = 0; i < CHAINS; i++)
		list_init(&l->chains[i]);
	list_init(&l->queue);
	list_init(&l->answered);
	return l;
}

static void drop_waiter(struct waiter *w)
{
	list_remove(&w->link);
	cached_drop(&w->answer);
	mem_free(w);
}

static void drop_flight(struct flight *f)
{
	struct arena *a = f->arena;

	list_remove(&f->chain);
	list_remove(&f->queue);
	arena_drop(&a);
}

void lookup_drop(struct lookup **ref)
{
	struct lookup *l = *ref;

	if (!l)
		return;
	*ref = NULL;
	for (size_t i = 0; i < CHAINS; i++) {
		list_for_each (&l->chains[i], struct flight, chain, f) {
			list_for_each (&f->waiters, struct waiter, link, w)
				drop_waiter(w);
			drop_flight(f);
		}
	}
	list_for_each (&l->answered, struct waiter, link, w)
		drop_waiter(w);
	entity_cache_drop(&l->cache);
	pthread_mutex_destroy(&l->lock);
	mem_free(l);
}

struct entity_cache *lookup_cache(struct lookup *l)
{
	return l->cache;
}

/* ---- keys ---------------------------------------------------------------------------------- */

/* Kong's: the kind, five parts of which we use the first, the workspace. */
static str make_key(struct lookup *l, struct arena *a, const struct entity *e, str part)
{
	return entity_told_key(a, e,
			       str_fmt(a, "%s:" STRF ":::::%.36s", e->name, STRV(part),
				       e->is_workspaceable ? l->workspace : ""));
}

static bool is_by_id(const char *field)
{
	return strcmp(field, "id") == 0;
}

/* Is that the field that nodes name an entity by when it changes? */
static bool is_named_by(const struct entity *e, const char *field)
{
	if (e->cache_key)
		return strcmp(e->cache_key, field) == 0;
	return is_by_id(field) || strcmp(e->name, "consumers") == 0;
}

/* Is a change of one told by its consumer too? */
static bool is_told_by_consumer(const struct entity *e)
{
	return e->cache_key && str_starts(str_of(e->cache_key), STR("consumer,"));
}

static bool is_text(str s)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = s.s[i] ? utf8_length(s.s + i, s.n - i) : 0;

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

/* ---- asking the store, on home ---------------------------------------------------------------- */

static struct value *read_one(struct lookup *l, struct arena *a, const struct flight *f,
			      struct db_error *err)
{
	struct value *doc;
	uuid id;

	if (!is_by_id(f->field))
		doc = l->store->kind->find_by(l->store, a, f->entity, f->field, f->value, err);
	else if (uuid_parse(f->value, &id))
		doc = l->store->kind->find(l->store, a, f->entity, id, err);
	else
		doc = NULL;
	if (doc)
		entity_count_from_start(a, f->entity, doc);
	return doc;
}

static struct value *read_all(struct lookup *l, struct arena *a, const struct flight *f,
			      struct db_error *err)
{
	struct page_query q = { .size = PAGE, .foreign = "consumer", .foreign_id = f->consumer };
	struct value *all = value_array(a);
	struct page page;

	do {
		if (!l->store->kind->page(l->store, a, f->entity, &q, &page, err))
			return NULL;
		for (uint32_t i = 0; i < page.data->n; i++) {
			entity_count_from_start(a, f->entity, page.data->items[i]);
			value_add(a, all, page.data->items[i]);
		}
		q.offset = page.offset;
	} while (page.offset.n);
	return all;
}

static void say(struct lookup *l, const struct flight *f, const struct db_error *err)
{
	if (loop_now_ms() < l->said_ms)
		return;
	l->said_ms = loop_now_ms() + LOG_MS;
	if (err->cause)
		log_err(LOG_ERROR_, err->cause, "cannot look up one of %s", f->entity->name);
	else
		log_error("cannot look up one of %s: " STRF, f->entity->name, STRV(err->message));
}

/* The answer, held; NULL: there is none to be had. */
static struct cached *answer_of(struct lookup *l, const struct flight *f)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct cache_stamp stamp = entity_cache_stamp(l->cache, f->entity, f->key);
	struct db_error err = { 0 };
	struct cached *answer = NULL;
	struct value *doc = f->way == BY_FIELD ? read_one(l, a, f, &err) : read_all(l, a, f, &err);

	if (err.code == DB_OK) {
		answer = cached_new(f->entity, doc);
		entity_cache_put(l->cache, f->key, answer, f->is_loose, &stamp, loop_now_ms());
		return answer;
	}
	say(l, f, &err);
	err_forget();
	if (entity_cache_find(l->cache, f->entity, f->key, loop_now_ms(), &answer) != CACHE_NONE &&
	    entity_cache_resurrect(l->cache, f->key, loop_now_ms()))
		return answer;
	cached_drop(&answer);
	return NULL;
}

static void deliver(void *p) /* on the loop of the waiter */
{
	struct waiter *w = p;

	if (w->is_abandoned) {
		pthread_mutex_lock(&w->home->lock);
		drop_waiter(w);
		pthread_mutex_unlock(&w->home->lock);
		return;
	}
	w->is_delivered = true;
	gate_wake_all(&w->gate);
}

/* Its flight is over: all who wait are told. */
static void land(struct lookup *l, struct flight *f, struct cached *answer)
{
	pthread_mutex_lock(&l->lock);
	list_for_each (&f->waiters, struct waiter, link, w) {
		list_remove(&w->link);
		list_add(&l->answered, &w->link);
		w->answer = answer ? cached_hold(answer) : NULL;
		w->is_answered = true;
		loop_post(w->loop, deliver, w);
	}
	drop_flight(f);
	l->n_flights--;
	pthread_mutex_unlock(&l->lock);
}

static struct flight *next_flight(struct lookup *l)
{
	struct flight *f = NULL;

	pthread_mutex_lock(&l->lock);
	if (list_is_empty(&l->queue)) {
		l->seekers--;
	} else {
		f = CONTAINER(l->queue.next, struct flight, queue);
		list_remove(&f->queue);
	}
	pthread_mutex_unlock(&l->lock);
	return f;
}

/* A fiber that works until nothing is left to do. */
static void seek(void *p)
{
	struct lookup *l = p;
	struct flight *f;

	while ((f = next_flight(l))) {
		struct cached *answer = fiber_is_cancelled() ? NULL : answer_of(l, f);

		land(l, f, answer);
		cached_drop(&answer);
	}
}

/* ---- waiting, on any loop ------------------------------------------------------------------------ */

static struct flight *find_flight(struct lookup *l, uint64_t hash, str key)
{
	list_for_each (&l->chains[hash % CHAINS], struct flight, chain, f) {
		if (f->hash == hash && str_eq(f->key, key))
			return f;
	}
	return NULL;
}

/* Under the lock. */
static struct flight *start_flight(struct lookup *l, const struct flight *like)
{
	struct arena *a = arena_new_of(sizeof(*like) + like->key.n + like->value.n + 64);
	struct flight *f = NEW(a, struct flight);

	*f = *like;
	f->arena = a;
	f->key = str_copy(a, like->key);
	f->value = str_copy(a, like->value);
	list_init(&f->waiters);
	list_add(&l->chains[f->hash % CHAINS], &f->chain);
	list_init(&f->queue);
	list_add(&l->queue, &f->queue);
	l->n_flights++;
	if (l->seekers < SEEKERS_MAX) {
		l->seekers++;
		fiber_start_on(l->home, "lookup", seek, l);
	}
	return f;
}

static struct waiter *board(struct lookup *l, struct flight *like)
{
	struct waiter *w = MEM_NEW(struct waiter);
	struct flight *f;

	w->home = l;
	w->loop = loop_self();
	gate_init(&w->gate);
	list_init(&w->link);
	like->hash = hash_bytes(like->key.s, like->key.n);
	pthread_mutex_lock(&l->lock);
	f = find_flight(l, like->hash, like->key);
	if (!f && l->n_flights < FLIGHTS_MAX)
		f = start_flight(l, like);
	if (f)
		list_add(&f->waiters, &w->link);
	pthread_mutex_unlock(&l->lock);
	if (!f) {
		mem_free(w);
		log_error("too many look-ups wait for the database");
	}
	return f ? w : NULL;
}

/* The fiber goes on without the answer: whoever has the waiter last frees it. */
static void leave(struct lookup *l, struct waiter *w)
{
	pthread_mutex_lock(&l->lock);
	if (!w->is_answered || w->is_delivered)
		drop_waiter(w);
	else
		w->is_abandoned = true;
	pthread_mutex_unlock(&l->lock);
}

static struct cached *wait_for(struct lookup *l, struct flight *like)
{
	struct waiter *w = board(l, like);
	deadline until = deadline_in(WAIT_MS);
	struct cached *answer = NULL;

	if (!w)
		return NULL;
	while (!w->is_delivered) {
		if (gate_wait(&w->gate, until) != WAIT_OK)
			break;
	}
	if (w->is_delivered)
		answer = TAKE(w->answer);
	leave(l, w);
	return answer;
}

static void let_go(void *p)
{
	struct cached *c = p;

	cached_drop(&c);
}

/* The statement is a seeker's, which many wait for. */
static void note(struct lookup *l, struct arena *a, const struct flight *f, int64_t began_us,
		 bool has_failed)
{
	const char *field = f->way == BY_FIELD ? f->field : "consumer";

	if (fiber_asked())
		asked_database(fiber_asked(), store_sql_dialect(l->store)->name,
			       store_sql_lookup_statement(l->store, a, f->entity, field), began_us,
			       has_failed);
}

/* The answer, held by a; NULL: the database cannot be asked. */
static const struct cached *get(struct lookup *l, struct arena *a, struct flight *f)
{
	struct cached *answer = NULL;
	enum cache_state state =
		entity_cache_find(l->cache, f->entity, f->key, loop_now_ms(), &answer);

	if (state != CACHE_GOOD) {
		int64_t began_us = asked_begin(fiber_asked());

		cached_drop(&answer);
		answer = wait_for(l, f);
		note(l, a, f, began_us, !answer);
	}
	if (answer)
		arena_on_end(a, let_go, answer);
	return answer;
}

/* ---- the door -------------------------------------------------------------------------------------- */

bool lookup_one(struct lookup *l, struct arena *a, const struct entity *e, const char *field,
		str value, const void **ret)
{
	struct flight f = { .entity = e, .way = BY_FIELD, .field = field, .value = value };
	const struct cached *answer;

	*ret = NULL;
	if (!is_text(value) || !value.n)
		return true;
	f.is_loose = !is_named_by(e, field);
	f.key = f.is_loose ? str_fmt(a, "%s:%s=" STRF, e->name, field, STRV(value))
			   : make_key(l, a, e, value);
	answer = get(l, a, &f);
	if (answer && answer->n)
		*ret = answer->v[0];
	return answer != NULL;
}

bool lookup_of(struct lookup *l, struct arena *a, const struct entity *e, uuid consumer,
	       const void *const **ret, size_t *ret_n)
{
	struct flight f = { .entity = e, .way = BY_CONSUMER, .consumer = consumer };
	const struct cached *answer;

	f.is_loose = !is_told_by_consumer(e);
	f.key = f.is_loose ? str_fmt(a, "%s:consumer=" STRF, e->name, STRV(uuid_str(a, consumer)))
			   : make_key(l, a, e, uuid_str(a, consumer));
	answer = get(l, a, &f);
	*ret = answer ? answer->v : NULL;
	*ret_n = answer ? answer->n : 0;
	return answer != NULL;
}

bool lookup_consumer_called(struct lookup *l, struct arena *a, str name,
			    const struct consumer **ret)
{
	const struct entity *e = entity_find(STR("consumers"));
	struct flight f = { .entity = e, .way = BY_FIELD, .field = "username", .value = name };
	const struct cached *answer;
	uuid id;

	*ret = NULL;
	if (uuid_parse(name, &id)) {
		if (!lookup_one(l, a, e, "id", name, (const void **)ret))
			return false;
		if (*ret)
			return true;
		/* Its id and its name would have one key. */
		f.is_loose = true;
		f.key = str_fmt(a, "consumers:username=" STRF, STRV(name));
		answer = get(l, a, &f);
		if (answer && answer->n)
			*ret = answer->v[0];
		return answer != NULL;
	}
	return lookup_one(l, a, e, "username", name, (const void **)ret);
}

/* ---- warming up ------------------------------------------------------------------------------------- */

/* The field its key is made of; NULL: it has no key of one part. */
static const char *key_field(const struct entity *e)
{
	if (!e->cache_key)
		return entity_primary_key(e);
	return strchr(e->cache_key, ',') ? NULL : e->cache_key;
}

static bool is_full(struct lookup *l)
{
	return entity_cache_stats(l->cache).bytes > l->bytes / 100 * 95;
}

static void keep_page(struct lookup *l, struct arena *a, const struct entity *e,
		      const struct value *docs, const char *field)
{
	for (uint32_t i = 0; i < docs->n; i++) {
		struct value *doc = docs->items[i];
		const struct value *name = value_get(doc, field);
		struct cache_stamp stamp;
		struct cached *what;
		str key;

		if (value_is_null(name) || name->kind != VALUE_STRING)
			continue;
		key = make_key(l, a, e, name->s);
		stamp = entity_cache_stamp(l->cache, e, key);
		entity_count_from_start(a, e, doc);
		what = cached_new(e, doc);
		entity_cache_put(l->cache, key, what, false, &stamp, loop_now_ms());
		cached_drop(&what);
	}
}

static bool warm_up(struct lookup *l, const struct entity *e)
{
	struct arena *kept CLEANUP(arena_drop) = arena_new();
	struct page_query q = { .size = PAGE };
	const char *field = key_field(e);
	size_t n = 0;

	while (field && !is_full(l)) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct db_error err = { 0 };
		struct page page;

		if (!l->store->kind->page(l->store, a, e, &q, &page, &err)) {
			log_warn("cannot read %s to warm up the cache: " STRF, e->name,
				 STRV(err.message));
			err_forget();
			return false;
		}
		keep_page(l, a, e, page.data, field);
		n += page.data->n;
		arena_reset(kept);
		q.offset = str_copy(kept, page.offset);
		if (!page.offset.n) {
			log_notice("%zu of %s are in the cache", n, e->name);
			return true;
		}
	}
	if (field)
		log_warn("the cache is full: not all of %s fit into mem_cache_size", e->name);
	return field == NULL;
}

void lookup_warm_up(struct lookup *l, strs kinds)
{
	for (size_t i = 0; i < kinds.n; i++) {
		const struct entity *e = entity_find(kinds.v[i]);

		if (!e)
			log_warn("db_cache_warmup_entities: there is no entity '" STRF "'",
				 STRV(kinds.v[i]));
		else if (store_sql_is_on_demand(l->store, e) && !warm_up(l, e))
			return;
	}
}

void lookup_forget(struct lookup *l, str key)
{
	str rest = key, word = STR("");
	const struct entity *kind;

	str_next(&rest, ':', &word);
	kind = entity_find(word);
	if (str_is(key, "*"))
		entity_cache_forget_all(l->cache);
	else if (kind && !rest.n)
		entity_cache_forget_kind(l->cache, kind);
	else
		entity_cache_forget(l->cache, key);
}
