/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses are healthy: what is counted, and what a count changes.
 *
 *	            failure            limit of failures
 *	 healthy ────────────► mostly healthy ────────────► unhealthy
 *	    ▲  ▲                      │                      │    ▲
 *	    │  └─ limit of successes ─┘                      │    │ limit of failures
 *	    │                                      success   ▼    │
 *	    └──────────────── limit of successes ─── mostly unhealthy
 *
 * The left two may have requests.  A success forgets the failures and a failure the
 * successes, but failures of one kind not those of another.  What only confirms the
 * outer states is not counted, nor is what has no limit (0).
 *
 * One word per address has the state and the four counts, and is changed by
 * compare-and-swap: of all that report at once, one brings a change about, and
 * that one tells it and has the tables built anew. */
#include "balance/priv.h"
#include "base/log.h"
#include "base/map.h"

enum health_state { HEALTHY, MOSTLY_HEALTHY, UNHEALTHY, MOSTLY_UNHEALTHY };

#define STATE_SHIFT 32
#define COUNTS      0xffffffffull
#define SUCCESSES   0xffull /* the lowest byte; the failures lie above it */
#define COUNT_MAX   0xffu
#define STATUSES    1024 /* bits of a set: the schema allows 100 to 999 */
#define TARGET_PORT 8000 /* of an address that names none */

/* ---- the state machine ------------------------------------------------------------ */

bool health_is_up(uint64_t health)
{
	return health >> STATE_SHIFT < UNHEALTHY;
}

static enum health_state next_state(enum health_state state, bool is_success, bool is_enough)
{
	if (is_enough)
		return is_success ? HEALTHY : UNHEALTHY;
	if (state == HEALTHY)
		return MOSTLY_HEALTHY;
	return state == UNHEALTHY ? MOSTLY_UNHEALTHY : state;
}

uint64_t health_after(uint64_t health, enum health_event what, unsigned limit)
{
	enum health_state state = health >> STATE_SHIFT;
	uint64_t counts = health & COUNTS;
	unsigned shift = 8 * what, count = counts >> shift & COUNT_MAX;
	bool is_success = what == HEALTH_SUCCESS;

	if (limit == 0 || state == (is_success ? HEALTHY : UNHEALTHY))
		return health;
	if (count < COUNT_MAX)
		count++;
	counts &= is_success ? SUCCESSES : COUNTS & ~SUCCESSES;
	counts = (counts & ~((uint64_t)COUNT_MAX << shift)) | (uint64_t)count << shift;
	state = next_state(state, is_success, count >= limit);
	return (uint64_t)state << STATE_SHIFT | counts;
}

/* ---- what an upstream asks for ------------------------------------------------------ */

bool balance_is_checked(const struct upstream *u)
{
	return u->healthchecks.active.healthy.interval > 0 ||
	       u->healthchecks.active.unhealthy.interval > 0 ||
	       u->healthchecks.passive.unhealthy.tcp_failures > 0 ||
	       u->healthchecks.passive.unhealthy.timeouts > 0 ||
	       u->healthchecks.passive.unhealthy.http_failures > 0;
}

static void set_statuses(uint64_t set[], const struct ints *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i] >= 0 && list->v[i] < STATUSES)
			set[list->v[i] / 64] |= 1ull << list->v[i] % 64;
}

static bool has_status(const uint64_t set[], int status)
{
	return status > 0 && status < STATUSES && (set[status / 64] >> status % 64 & 1);
}

static uint8_t limit_of(int64_t n)
{
	return n <= 0 ? 0 : n > UINT8_MAX ? UINT8_MAX : (uint8_t)n;
}

static void set_rules(struct check_rules *r, const struct health_side *healthy,
		      const struct health_side *unhealthy)
{
	r->limits[HEALTH_SUCCESS] = limit_of(healthy->successes);
	r->limits[HEALTH_HTTP_FAILURE] = limit_of(unhealthy->http_failures);
	r->limits[HEALTH_TCP_FAILURE] = limit_of(unhealthy->tcp_failures);
	r->limits[HEALTH_TIMEOUT] = limit_of(unhealthy->timeouts);
	set_statuses(r->good, &healthy->http_statuses);
	set_statuses(r->bad, &unhealthy->http_statuses);
}

const struct checks *checks_of(struct arena *a, const struct upstream *u)
{
	struct checks *c;

	if (!balance_is_checked(u))
		return NULL;
	c = NEW(a, struct checks);
	set_rules(&c->passive, &u->healthchecks.passive.healthy,
		  &u->healthchecks.passive.unhealthy);
	set_rules(&c->active, &u->healthchecks.active.healthy, &u->healthchecks.active.unhealthy);
	return c;
}

/* ---- changes ------------------------------------------------------------------------- */

static str peer_text(struct arena *a, const struct peer *peer)
{
	char ip[ADDRESS_TEXT];
	str name = peer->name ? str_at(peer->name->text, peer->name->text_n) : STR("");

	if (peer->is_each_time)
		return str_fmt(a, STRF ":%u", STRV(name), peer->port);
	address_ip(&peer->address, ip);
	return str_fmt(a, peer->address.any.sa_family == AF_INET6 ? "%.*s%s[%s]:%u" : "%.*s%s%s:%u",
		       STRV(name), name.n ? " at " : "", ip, peer->port);
}

/* All tables that have the peer are built anew: b's now, the others when they are next used. */
static void tell_tables(struct balancer *b)
{
	struct lasting *l = b->lasting;
	bool is_unhealthy, has_changed;

	pthread_mutex_lock(&b->store->lock);
	list_for_each (&l->balancers, struct balancer, of_lasting, user)
		atomic_store(&user->is_stale, true);
	atomic_store(&b->store->has_news, true);
	table_rebuild(b);
	is_unhealthy = !atomic_load(&b->table)->is_healthy;
	has_changed = l->is_unhealthy != is_unhealthy;
	l->is_unhealthy = is_unhealthy;
	pthread_mutex_unlock(&b->store->lock);
	if (has_changed)
		log_warn("upstream " STRF " is %s", STRV(b->upstream->name),
			 is_unhealthy ? "unhealthy: it answers nothing but 503" : "healthy again");
}

static void tell(struct balancer *b, const struct peer *peer, bool is_up, const char *why)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	log_warn("upstream " STRF ": target " STRF " is %s: %s", STRV(b->upstream->name),
		 STRV(peer_text(a, peer)), is_up ? "healthy" : "unhealthy", why);
	tell_tables(b);
}

static void count(struct balancer *b, struct peer *peer, const struct check_rules *rules,
		  enum health_event what)
{
	/* clang-format off */
	static const char *const words[] = {
		[HEALTH_SUCCESS] = "successes",
		[HEALTH_HTTP_FAILURE] = "bad statuses",
		[HEALTH_TCP_FAILURE] = "failed connections",
		[HEALTH_TIMEOUT] = "timeouts",
	};
	/* clang-format on */
	uint64_t old = atomic_load_explicit(&peer->health, memory_order_relaxed), new;
	char why[64];

	do {
		new = health_after(old, what, rules->limits[what]);
		if (likely(new == old))
			return;
	} while (!atomic_compare_exchange_weak(&peer->health, &old, new));
	if (health_is_up(new) == health_is_up(old))
		return;
	snprintf(why, sizeof(why), "%u %s", rules->limits[what], words[what]);
	tell(b, peer, health_is_up(new), why);
}

/* ---- reports --------------------------------------------------------------------------- */

static void count_status(struct balancer *b, struct peer *peer, const struct check_rules *rules,
			 int status)
{
	if (has_status(rules->good, status))
		count(b, peer, rules, HEALTH_SUCCESS);
	else if (status == 0 || has_status(rules->bad, status))
		count(b, peer, rules, HEALTH_HTTP_FAILURE);
}

void checks_report(struct balancer *b, struct peer *peer, const struct check_rules *rules,
		   enum try_outcome how, int status)
{
	switch (how) {
	case TRY_ANSWERED:
		if (status == PROBE_CONNECTED)
			count(b, peer, rules, HEALTH_SUCCESS);
		else if (status == 504 && rules == &b->checks->passive)
			count(b, peer, rules, HEALTH_TIMEOUT); /* whoever says it */
		else
			count_status(b, peer, rules, status);
		break;
	case TRY_TIMED_OUT:
		count(b, peer, rules, HEALTH_TIMEOUT);
		break;
	case TRY_CONNECT_FAILED:
	case TRY_BROKEN:
		count(b, peer, rules, HEALTH_TCP_FAILURE);
		if (status)
			count_status(b, peer, rules, status);
		break;
	}
}

void balancer_probed(struct balancer *b, const struct probed *p, enum try_outcome how, int status)
{
	checks_report(b, p->peer_, &b->checks->active, how, status);
}

/* ---- marks --------------------------------------------------------------------------------- */

struct balance_mark balance_mark_of(struct arena *a, uuid upstream, str target, str address,
				    bool is_healthy)
{
	struct balance_mark m = { .upstream = upstream, .is_healthy = is_healthy };
	struct address ip;
	uint16_t port;

	target_split(str_lower(a, target), &m.host, &m.port);
	if (address.n == 0)
		return m;
	/* "::1" has colons, but no port */
	if (address_parse_ip(address, TARGET_PORT, &ip)) {
		m.ip = str_copy(a, address);
		m.port = TARGET_PORT;
		return m;
	}
	target_split(str_lower(a, address), &address, &port);
	if (address_parse_ip(address, port, &ip))
		m.ip = address;
	m.port = port;
	return m;
}

static bool is_meant(const struct balance_mark *m, const struct slot *slot)
{
	const struct peer *peer = slot->peer;
	struct address a;

	if (!str_eq(slot->spot->host, m->host))
		return false;
	if (m->ip.n == 0)
		return slot->spot->port == m->port || peer->port == m->port;
	return !peer->is_each_time && address_parse_ip(m->ip, m->port, &a) &&
	       address_eq(&a, &peer->address);
}

/* Marks what b's table has of it; how many changed.  Under the lock. */
static unsigned mark_table(const struct balancer *b, const struct balance_mark *m,
			   unsigned *ret_known)
{
	const struct table *t = atomic_load(&b->table);
	uint64_t new = (uint64_t)(m->is_healthy ? HEALTHY : UNHEALTHY) << STATE_SHIFT;
	unsigned changed = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		if (!is_meant(m, &t->slots[i]))
			continue;
		++*ret_known;
		if (health_is_up(atomic_exchange(&t->slots[i].peer->health, new)) != m->is_healthy)
			changed++;
	}
	return changed;
}

static struct lasting *find_lasting(struct balance_store *s, uuid id)
{
	struct list *bucket = &s->lastings[hash_bytes(&id, sizeof(id)) % BUCKETS];

	list_for_each (bucket, struct lasting, link, l)
		if (!l->name && uuid_eq(l->id, id))
			return l;
	return NULL;
}

struct err *balance_mark(struct balance_store *s, const struct balance_mark *m)
{
	struct balancer *checked = NULL;
	unsigned changed = 0, known = 0;
	bool is_checked = false;
	struct lasting *l;
	char name[256] = "";

	pthread_mutex_lock(&s->lock);
	l = find_lasting(s, m->upstream);
	if (l) {
		list_for_each (&l->balancers, struct balancer, of_lasting, b) {
			snprintf(name, sizeof(name), STRF, STRV(b->upstream->name));
			checked = b->checks ? b : checked;
			if (b->checks)
				changed += mark_table(b, m, &known);
		}
	}
	is_checked = checked != NULL;
	if (changed) {
		list_for_each (&l->balancers, struct balancer, of_lasting, b)
			atomic_store(&b->is_stale, true);
		atomic_store(&s->has_news, true);
		heirs_write(s);
		table_rebuild(checked);
		l->is_unhealthy = !atomic_load(&checked->table)->is_healthy;
	}
	pthread_mutex_unlock(&s->lock);
	if (!is_checked)
		return name[0] ? FAIL(ERR_INVALID, "no healthchecker found for %s", name)
			       : FAIL(ERR_INVALID, "the upstream has no balancer");
	if (!known)
		log_warn("upstream %s: no address " STRF "%s" STRF ":%u to mark", name,
			 STRV(m->host), m->ip.n ? " at " : "", STRV(m->ip), m->port);
	if (changed)
		log_warn("upstream %s: target " STRF "%s" STRF ":%u is %s: marked by hand", name,
			 STRV(m->host), m->ip.n ? " at " : "", STRV(m->ip), m->port,
			 m->is_healthy ? "healthy" : "unhealthy");
	return NULL;
}

/* ---- for probes ------------------------------------------------------------------------------ */

size_t balancer_to_probe(struct arena *a, struct balancer *b, bool are_up, struct probed **ret)
{
	const struct table *t;
	size_t n = 0;

	pthread_mutex_lock(&b->store->lock);
	if (atomic_load(&b->is_stale))
		table_rebuild(b);
	t = atomic_load(&b->table);
	*ret = NEWS(a, struct probed, t->n + 1);
	for (uint32_t i = 0; i < t->n; i++) {
		struct peer *peer = t->slots[i].peer;
		struct probed *p = &(*ret)[n];

		if (health_is_up(atomic_load(&peer->health)) != are_up)
			continue;
		peer->tables++; /* so that it is kept */
		p->peer_ = peer;
		p->port = peer->port;
		p->host = t->slots[i].srv_name.n ? str_copy(a, t->slots[i].srv_name)
						 : t->slots[i].spot->host;
		memcpy(&p->address, &peer->address,
		       offsetof(struct address, any) + peer->address.size);
		n++;
	}
	pthread_mutex_unlock(&b->store->lock);
	return n;
}

void balancer_probes_done(struct balancer *b, struct probed *v, size_t n)
{
	pthread_mutex_lock(&b->store->lock);
	for (size_t i = 0; i < n; i++)
		if (--v[i].peer_->tables == 0)
			v[i].peer_->idle_since = b->store->sources.now_ms();
	pthread_mutex_unlock(&b->store->lock);
}
