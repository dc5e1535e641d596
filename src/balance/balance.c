/* SPDX-License-Identifier: Apache-2.0 */
/* The door: balancers come and go with snapshots, requests pick and report. */
#include "balance/priv.h"
#include "balance/xxh32.h"
#include "base/epoch.h"

#define TARGET_PORT     8000 /* of a target that names none */
#define EACH_TIME_TRIES 4    /* names without an address that one pick passes over */

/* ---- balancers ------------------------------------------------------------------ */

static void balancer_end(void *p)
{
	struct balancer *b = p;
	struct balance_store *s = b->store;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < b->n; i++) {
		struct name *name = b->spots[i].name;

		if (!name)
			continue;
		list_remove(&b->spots[i].link);
		name->upstreams -= !b->is_plain;
		store_name_let_go(s, name);
	}
	list_remove(&b->of_lasting);
	table_free(s, atomic_load(&b->table)); /* whoever looked at it held the snapshot */
	store_lasting_let_go(s, b->lasting);
	pthread_mutex_unlock(&s->lock);
}

/* Gives a spot its address, or its name.  Under the lock. */
static void settle(struct balancer *b, struct spot *spot)
{
	spot->balancer = b;
	if (address_parse_ip(spot->host, spot->port, &spot->address))
		return;
	spot->name = store_name(b->store, spot->host);
	spot->name->upstreams += !b->is_plain;
	list_add(&spot->name->users, &spot->link);
}

struct balancer *balancer_of_host(struct arena *a, struct balance_store *s, str host, uint16_t port)
{
	struct balancer *b = NEW(a, struct balancer);

	b->is_plain = true;
	b->host = str_copy(a, host);
	b->port = port;
	if (address_parse_ip(host, port, &b->address))
		return b;
	b->store = s;
	b->spots = NEW(a, struct spot);
	b->spots[0] = (struct spot){ .host = str_lower(a, host), .port = port, .weight = 1 };
	b->n = b->n_targets = 1;
	pthread_mutex_lock(&s->lock);
	settle(b, &b->spots[0]);
	b->lasting = store_lasting(s, (uuid){ 0 }, b->spots[0].name, port);
	list_add(&b->lasting->balancers, &b->of_lasting);
	table_rebuild(b);
	pthread_mutex_unlock(&s->lock);
	arena_on_end(a, balancer_end, b);
	return b;
}

static enum algorithm algorithm_of(str name)
{
	/* clang-format off */
	static const char *const names[] = {
		[ROUND_ROBIN] = "round-robin",
		[CONSISTENT_HASHING] = "consistent-hashing",
		[LEAST_CONNECTIONS] = "least-connections",
		[LATENCY] = "latency",
	};
	/* clang-format on */

	for (unsigned i = 0; i < COUNT(names); i++)
		if (str_is(name, names[i]))
			return i;
	return ROUND_ROBIN;
}

void target_split(str target, str *ret_host, uint16_t *ret_port)
{
	ptrdiff_t colon = str_find_last(target, ':');
	int64_t port;

	*ret_host = target;
	*ret_port = TARGET_PORT;
	if (colon > 0 && str_to_int(str_from(target, (size_t)colon + 1), &port) && port >= 0 &&
	    port <= UINT16_MAX && str_find(target, ']', (size_t)colon) < 0) {
		*ret_host = str_part(target, 0, (size_t)colon);
		*ret_port = (uint16_t)port;
	}
}

static int by_host_and_port(const void *x_, const void *y_)
{
	const struct spot *x = x_, *y = y_;
	int order = str_cmp(x->host, y->host);

	return order ? order : (int)x->port - (int)y->port;
}

/* Checks that are switched off leave no target out: what they found is forgotten. */
static void forget_health(struct balancer *b)
{
	struct table *t = atomic_load(&b->table);

	b->lasting->is_unhealthy = false;
	atomic_store(&b->store->has_news, true);
	for (uint32_t i = 0; i < t->n; i++)
		atomic_store(&t->slots[i].peer->health, 0);
}

static struct balancer *make(struct arena *a, struct balance_store *s, const struct upstream *u,
			     const struct target *const *targets, size_t n, bool never_picks)
{
	struct balancer *b = NEW(a, struct balancer);

	b->store = s;
	b->never_picks = never_picks;
	b->checks = checks_of(a, u);
	b->upstream = u;
	b->algorithm = algorithm_of(u->algorithm);
	b->threshold = u->healthchecks.threshold > 0 ? u->healthchecks.threshold : 0;
	b->host = u->name;
	b->spots = NEWS(a, struct spot, n);
	for (size_t i = 0; i < n; i++) {
		struct spot *spot = &b->spots[b->n];

		if (!uuid_eq(targets[i]->upstream, u->id))
			continue;
		b->n_targets++;
		if (targets[i]->weight <= 0)
			continue;
		target_split(targets[i]->target, &spot->host, &spot->port);
		spot->host = str_lower(a, spot->host);
		spot->weight = (uint32_t)targets[i]->weight;
		b->n++;
	}
	if (b->n)
		qsort(b->spots, b->n, sizeof(*b->spots), by_host_and_port);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < b->n; i++)
		settle(b, &b->spots[i]);
	b->lasting = store_lasting(s, u->id, NULL, 0);
	list_add(&b->lasting->balancers, &b->of_lasting);
	table_rebuild(b);
	if (!b->checks)
		forget_health(b);
	pthread_mutex_unlock(&s->lock);
	arena_on_end(a, balancer_end, b);
	return b;
}

struct balancer *balancer_of_upstream(struct arena *a, struct balance_store *s,
				      const struct upstream *u, const struct target *const *targets,
				      size_t n)
{
	return make(a, s, u, targets, n, false);
}

struct balancer *balancer_for_health(struct arena *a, struct balance_store *s,
				     const struct upstream *u, const struct target *const *targets,
				     size_t n)
{
	return make(a, s, u, targets, n, true);
}

const struct upstream *balancer_upstream(const struct balancer *b)
{
	return b->upstream;
}

/* ---- the table in use ------------------------------------------------------------- */

/* Builds it anew when names changed.  Who finds somebody else at it goes on with the old
 * one, but for the first answers, which are waited for. */
static void freshen(struct balancer *b, bool must)
{
	struct balance_store *s = b->store;

	if (likely(!atomic_load_explicit(&b->is_stale, memory_order_relaxed)))
		return;
	if (must)
		pthread_mutex_lock(&s->lock);
	else if (pthread_mutex_trylock(&s->lock) != 0)
		return;
	if (atomic_load(&b->is_stale))
		table_rebuild(b);
	pthread_mutex_unlock(&s->lock);
}

enum freshness { FRESH, DUE, UNKNOWN };

/* Are b's names known well enough to choose?  A name that is due is not found due
 * again for a second, so that one request starts its renewal. */
static enum freshness look(struct balancer *b)
{
	enum freshness f = FRESH;
	struct table *t;
	int64_t due, now;

	epoch_enter();
	t = atomic_load_explicit(&b->table, memory_order_acquire);
	due = atomic_load_explicit(&t->renew_at, memory_order_relaxed);
	if (unlikely(t->has_unasked || (b->is_plain && t->n == 0))) {
		f = UNKNOWN;
	} else if (due != DEADLINE_NEVER) {
		now = b->store->sources.now_ms();
		if (unlikely(due + OVERDUE_MS <= now))
			f = UNKNOWN;
		else if (unlikely(due <= now))
			f = atomic_compare_exchange_strong(&t->renew_at, &due, now + 1000) ? DUE
											   : FRESH;
	}
	epoch_leave();
	return f;
}

/* ---- picking ---------------------------------------------------------------------- */

static void let_go(struct pick *pick)
{
	if (pick->peer_)
		atomic_fetch_sub_explicit(&pick->peer_->active, 1, memory_order_release);
	pick->peer_ = NULL;
}

static void note_tried(struct pick *pick)
{
	pick->is_failed_ = false;
	if (!pick->peer_)
		return;
	if (pick->n_tried_ == COUNT(pick->tried_)) {
		memmove(pick->tried_, pick->tried_ + 1,
			sizeof(pick->tried_) - sizeof(pick->tried_[0]));
		pick->n_tried_--;
	}
	pick->tried_[pick->n_tried_++] = pick->peer_;
	let_go(pick);
}

/* Takes a slot's peer; it stays while it is active.  False: none is available. */
static bool take(struct balancer *b, struct arena *a, struct pick *pick)
{
	const struct slot *slot;
	const struct table *t;

	freshen(b, false);
	epoch_enter();
	t = atomic_load_explicit(&b->table, memory_order_acquire);
	slot = table_choose(b, t, pick);
	if (slot) {
		struct peer *peer = slot->peer;

		atomic_fetch_add_explicit(&peer->active, 1, memory_order_acquire);
		pick->peer_ = peer;
		pick->port = peer->port;
		memcpy(&pick->address, &peer->address,
		       offsetof(struct address, any) + peer->address.size);
		if (b->is_plain)
			pick->host = b->host;
		else if (unlikely(slot->srv_name.n))
			pick->host = str_copy(a, slot->srv_name);
		else
			pick->host = slot->spot->host;
	}
	epoch_leave();
	return slot != NULL;
}

static enum pick_result failed(struct balancer *b, enum dns_result result, struct pick *pick,
			       const char *why)
{
	pick->why = why ? why : "no records";
	if (result == DNS_CANCELLED)
		return PICK_CANCELLED;
	if (result == DNS_FAILED)
		return PICK_FAILED;
	return b->is_plain ? PICK_NOT_FOUND : PICK_NO_PEER;
}

/* Why a plain host has no address, as DNS said when it was asked last. */
static enum pick_result plain_failed(struct balancer *b, struct arena *a, struct pick *pick)
{
	const struct name *name = b->spots[0].name;
	enum dns_result result;
	const char *why;

	pthread_mutex_lock(&b->store->lock);
	result = name->state == NAME_NOT_FOUND ? DNS_NOT_FOUND : DNS_FAILED;
	why = str_z(a, str_of(name->why));
	pthread_mutex_unlock(&b->store->lock);
	return failed(b, result, pick, why);
}

static void note_asking(struct arena *a, struct pick *pick, str name)
{
	pick->asked_name = str_copy(a, name);
	pick->asked_began_us = clock_mono_us();
}

/* Asks for the address of a name with a TTL of 0; each of its addresses in turn. */
static enum dns_result resolve_now(struct balancer *b, struct arena *a, deadline until,
				   struct peer *peer, struct address *ret, uint16_t *port,
				   const char **ret_why) SUSPENDS;

static enum dns_result resolve_now(struct balancer *b, struct arena *a, deadline until,
				   struct peer *peer, struct address *ret, uint16_t *port,
				   const char **ret_why)
{
	const struct name *name = peer->name; /* kept by the peer, kept by the caller */
	struct dns_answer *v;
	deadline expires;
	unsigned turn;
	size_t n = 0;
	enum dns_result result;

	*ret_why = NULL;
	result = b->store->sources.resolve(a, str_at(name->text, name->text_n), until, &v, &n,
					   &expires, ret_why);
	if (result == DNS_OK && n == 0)
		result = DNS_NOT_FOUND;
	if (result != DNS_OK)
		return result;
	turn = atomic_fetch_add_explicit(&peer->turn, 1, memory_order_relaxed);
	*ret = v[turn % n].address;
	if (address_port(ret))
		*port = address_port(ret);
	else if (ret->any.sa_family == AF_INET)
		ret->v4.sin_port = htons(*port);
	else
		ret->v6.sin6_port = htons(*port);
	return DNS_OK;
}

/* The road of names and upstreams. */
static enum pick_result choose(struct balancer *b, struct arena *a, deadline until,
			       struct pick *pick) SUSPENDS;

static enum pick_result choose(struct balancer *b, struct arena *a, deadline until,
			       struct pick *pick)
{
	enum dns_result result;

	for (int i = 0; i < EACH_TIME_TRIES; i++) {
		if (!take(b, a, pick)) {
			if (b->is_plain)
				return plain_failed(b, a, pick);
			pick->why = "no address of a target is available";
			return PICK_NO_PEER;
		}
		if (likely(!pick->peer_->is_each_time))
			return PICK_OK;
		note_asking(a, pick, str_at(pick->peer_->name->text, pick->peer_->name->text_n));
		result = resolve_now(b, a, until, pick->peer_, &pick->address, &pick->port,
				     &pick->why);
		pick->asked_ended_us = clock_mono_us();
		if (result == DNS_OK)
			return PICK_OK;
		if (result == DNS_CANCELLED || b->n == 1) {
			let_go(pick);
			return failed(b, result, pick, pick->why);
		}
		note_tried(pick);
	}
	return PICK_NO_PEER;
}

enum pick_result balance_pick(struct balancer *b, struct arena *a, const struct balance_input *in,
			      deadline until, struct pick *pick)
{
	enum freshness f;
	enum dns_result asked;

	pick->tries++;
	pick->asked_ended_us = 0;
	if (!b->store) { /* an IP, and nothing to choose */
		memcpy(&pick->address, &b->address,
		       offsetof(struct address, any) + b->address.size);
		pick->host = b->host;
		pick->port = b->port;
		return PICK_OK;
	}
	if (pick->peer_ && !pick->is_failed_)
		return PICK_OK;
	note_tried(pick);
	if (pick->tries == 1) {
		f = look(b);
		if (f == DUE)
			names_renew(b);
		if (f == UNKNOWN) {
			note_asking(a, pick, b->is_plain || !b->n ? b->host : b->spots[0].host);
			asked = names_ask(b, a, until);
			pick->asked_ended_us = clock_mono_us();
			if (asked == DNS_CANCELLED)
				return PICK_CANCELLED;
			freshen(b, true);
		}
		if (b->algorithm == CONSISTENT_HASHING)
			pick->hash_ = xxh32(hash_input(a, b->upstream, in, &pick->set_cookie));
	}
	if (b->algorithm == LATENCY)
		pick->started_us_ = clock_mono_us();
	return choose(b, a, until, pick);
}

void balance_report(struct balancer *b, struct pick *pick, enum try_outcome how, int status)
{
	pick->is_failed_ = how != TRY_ANSWERED;
	if (!pick->peer_)
		return;
	if (unlikely(b->checks != NULL))
		checks_report(b, pick->peer_, &b->checks->passive, how, status);
	if (b->algorithm != LATENCY)
		return;
	if (how == TRY_ANSWERED || how == TRY_TIMED_OUT) /* a refusal is no sign of speed */
		peer_note_latency(pick->peer_, (double)(clock_mono_us() - pick->started_us_),
				  b->store->sources.now_ms());
}

void balance_done(struct balancer *b, struct pick *pick)
{
	(void)b;
	let_go(pick);
}

/* ---- for those who watch -------------------------------------------------------------- */

void balancer_learn(struct balancer *b, struct arena *a, deadline until)
{
	if (!b->store)
		return;
	names_ask(b, a, until);
	freshen(b, true);
}

bool balancer_find(struct balancer *b, struct arena *a, struct probed *p, deadline until)
{
	const char *why;

	return resolve_now(b, a, until, p->peer_, &p->address, &p->port, &why) == DNS_OK;
}
