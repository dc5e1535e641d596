/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of balance share.
 *
 *	snapshot's arena                      the store, under its lock
 *	balancer ── spots (one per target) ─► name ── answers
 *	   │                                    ▲
 *	   └─► table ── slots ─► peer ─► lasting│(position)
 *	       (atomic)  one per address
 *
 * A table is built from the spots and the answers of their names, never
 * changed afterwards (but for the counters behind peers), replaced as a whole
 * under the lock, and reused once no reader can see it (base/epoch.h). */
#pragma once

#include "balance/balance.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include <pthread.h>
#include <stdatomic.h>

#define FORGET_AFTER_MS 300000 /* what no snapshot uses */
#define ASK_AGAIN_MS    30000  /* after DNS failed */
#define EACH_TIME_MS    60000  /* until a TTL of 0 is looked at again */
#define RENEW_DELAY_MS  500    /* after expiry: a stale answer is being renewed below us */
#define OVERDUE_MS      4000   /* after which a request waits for the renewal */
#define ASK_FOR_MS      30000  /* at most, in the background */
#define LINE            64     /* of the cache: what is written often stands apart */
#define BUCKETS         8192

enum algorithm { ROUND_ROBIN, CONSISTENT_HASHING, LEAST_CONNECTIONS, LATENCY };

/* A DNS name, shared by all balancers that use it.  Under the store's lock. */
struct name {
	struct list link, users; /* in its bucket; spots */
	unsigned refs;           /* spots and fibers that ask */
	unsigned upstreams; /* spots of upstreams among them: renewed without being asked for */
	enum name_state {
		NAME_UNASKED,
		NAME_KNOWN,
		NAME_EACH_TIME, /* TTL 0: asked by each request */
		NAME_NOT_FOUND,
		NAME_FAILED,
	} state;
	bool is_asked;              /* a fiber is at it in the background */
	int64_t renew_at;           /* ms; UNASKED: 0 */
	int64_t idle_since;         /* ms; when refs became 0 */
	struct dns_answer *answers; /* sorted */
	size_t n;
	char why[96]; /* of a failure */
	struct balance_store *store;
	size_t text_n;
	char text[];
};

/* What outlives the snapshots of one upstream, or of one host and port. */
struct lasting {
	struct list link;
	uuid id;           /* of the upstream; none: */
	struct name *name; /* of a plain host */
	uint16_t port;
	unsigned refs; /* balancers and peers */
	int64_t idle_since;
	struct list balancers; /* that use it */
	struct ring *ring;     /* the last one, or NULL; under the lock */
	bool is_unhealthy;     /* as it was told last; under the lock */

	char before_[LINE];
	_Atomic uint64_t position; /* of round-robin: picks so far */
	char behind_[LINE];
};

/* One address of one target.  Lives while a table lists it or a request uses it. */
struct peer {
	struct list link;
	struct lasting *lasting;
	struct name *name;  /* it came from, or NULL; kept */
	unsigned tables;    /* that list it; under the lock */
	int64_t idle_since; /* when that became 0 */
	bool is_each_time;  /* stands for a name whose records may not be kept: no address */
	uint16_t port;
	struct address address;

	/* What requests change, on a line of its own. */
	char before_[LINE];
	atomic_uint active;       /* connections */
	_Atomic uint64_t health;  /* checks.c; 0: healthy, nothing counted */
	_Atomic uint64_t latency; /* choose.c; 0: none yet */
	atomic_uint turn;         /* of an is_each_time: its addresses so far */
	char behind_[LINE];
};

/* A target. */
struct spot {
	struct list link; /* among the users of name */
	struct balancer *balancer;
	str host; /* IPv6 in brackets */
	uint16_t port;
	uint32_t weight;
	struct address address; /* when host is an IP */
	struct name *name;      /* else */
};

struct slot {
	struct peer *peer;
	const struct spot *spot;
	str srv_name; /* use_srv_name: what SRV called it, in the table */
	uint32_t weight;
	bool was_up;    /* when the table was made: what is counted below goes by it */
	uint64_t up_to; /* sum of the available slots' weights over the greatest common divisor,
			 * this one's included */
};

/* An address before it has its slot. */
struct found {
	const struct spot *spot;
	struct address address;
	str text, srv_name; /* "ip:port", the ip as Kong writes it */
	uint32_t weight;
	uint16_t port;
	bool is_each_time;
};

struct founds {
	struct found *v;
	size_t n, cap;
};

/* A point of the ring that belongs to a slot. */
struct point {
	uint32_t at, slot;
};

/* Of consistent-hashing: never changed, shared by the tables that come to the same one. */
struct ring {
	unsigned refs;     /* under the lock */
	uint32_t circle;   /* points there are; 0: 2^32 */
	uint32_t n;        /* that are taken */
	struct buf inputs; /* what it was made from */
	struct point *v;   /* those that are taken, in order */
};

struct table {
	struct list link; /* among the retired ones */
	uint64_t mark;
	bool is_healthy;          /* something to choose from, above the threshold */
	bool has_unasked;         /* names never resolved */
	bool is_checked;          /* health takes slots out */
	_Atomic int64_t renew_at; /* of the earliest of its names */
	uint64_t total_weight, unavailable_weight;
	uint64_t wheel, stride; /* round-robin: positions in a round; table.c */
	uint32_t n, n_available;
	struct ring *ring; /* consistent-hashing; else NULL */
	struct slot slots[];
};

struct balancer {
	struct list of_lasting;
	struct balance_store *store; /* NULL: an IP literal */
	const struct upstream *upstream;
	enum algorithm algorithm;
	bool is_plain;    /* a host, no upstream */
	bool never_picks; /* it is there for its peers alone: no ring */
	str host;         /* of a plain one */
	uint16_t port;
	struct address address;
	struct lasting *lasting;
	struct spot *spots; /* in the order of host and port; weight 0 left out */
	size_t n;
	size_t n_targets; /* weight 0 included */
	double threshold;
	const struct checks *checks; /* NULL: there are none */
	_Atomic(struct table *) table;
	atomic_bool is_stale; /* a name has new answers, health changed: to be built anew */
};

/* ---- store.c: under s->lock unless said otherwise ----------------------------- */

/* What is known of an address from the worker before; all but health is its key. */
struct heir {
	uuid upstream;
	socklen_t size;
	char address[sizeof(struct sockaddr_in6)];
	uint64_t health;
};

struct balance_store {
	pthread_mutex_t lock;
	int legacy_fd;      /* -1: none */
	struct heir *heirs; /* sorted; until nobody would remember them any more */
	size_t n_heirs;
	int64_t heirs_until;
	atomic_bool has_news; /* the health of somebody has changed */
	struct balance_sources sources;
	struct list names[BUCKETS], lastings[BUCKETS], peers[BUCKETS];
	struct list retired;  /* tables */
	unsigned next_bucket; /* to be cleaned */
};

struct name *store_name(struct balance_store *s, str host); /* with one more reference */
void store_name_let_go(struct balance_store *s, struct name *name);
struct lasting *store_lasting(struct balance_store *s, uuid id, struct name *name, uint16_t port);
void store_lasting_let_go(struct balance_store *s, struct lasting *l);
struct peer *store_peer(struct balance_store *s, struct lasting *l, struct name *name,
			const struct address *address, uint16_t port);
void store_retire(struct balance_store *s, struct table *t); /* NULL is fine */

/* ---- legacy.c: under the lock --------------------------------------------------- */

uint64_t heirs_health(const struct balance_store *s,
		      const struct peer *p); /* 0: nothing is known */
void heirs_forget(struct balance_store *s);
void heirs_write(struct balance_store *s); /* when there are news */

/* ---- names.c ------------------------------------------------------------------ */

/* Asks for whatever of b's names is not known or long overdue, and waits for it. */
enum dns_result names_ask(struct balancer *b, struct arena *a, deadline until) SUSPENDS;

/* Starts a fiber for each of b's names that is due. */
void names_renew(struct balancer *b);
void name_renew(struct balance_store *s, struct name *name); /* under the lock */

/* ---- table.c: under the lock --------------------------------------------------- */

/* Builds b's table from what is known and puts it in place of the old one. */
void table_rebuild(struct balancer *b);
int64_t table_due(const struct balancer *b); /* when the earliest of its names must be asked */
void table_free(struct balance_store *s, struct table *t); /* its peers lose a reference */

/* ---- ring.c: under the lock ------------------------------------------------------- */

/* The ring for t's slots, which are in the order of `all`: the one before when nothing that
 * it depends on has changed. */
struct ring *ring_of(struct balancer *b, const struct table *t, const struct founds *all);
void ring_let_go(struct ring **ring); /* takes NULL, leaves NULL */

/* ---- choose.c: no lock ----------------------------------------------------------- */

/* Which slot; NULL when nothing is available. */
const struct slot *table_choose(const struct balancer *b, const struct table *t,
				const struct pick *pick);

/* The moving average of a peer's response time, decayed to now. */
void peer_note_latency(struct peer *p, double us, int64_t now_ms);
void peer_start_latency(struct peer *p, double us, int64_t now_ms); /* when it has none */
bool peer_has_latency(const struct peer *p);
double peer_latency(const struct peer *p, int64_t now_ms);

/* ---- checks.c -------------------------------------------------------------------- */

/* What counts, and how much of it; statuses as bits. */
struct check_rules {
	uint8_t limits[4]; /* by enum health_event; 0: not counted */
	uint64_t good[16], bad[16];
};

struct checks {
	struct check_rules passive, active;
};

enum health_event { HEALTH_SUCCESS, HEALTH_HTTP_FAILURE, HEALTH_TCP_FAILURE, HEALTH_TIMEOUT };

/* The health of a peer after one more event of which `limit` change it. */
uint64_t health_after(uint64_t health, enum health_event what, unsigned limit);
bool health_is_up(uint64_t health);

const struct checks *checks_of(struct arena *a, const struct upstream *u); /* or NULL */

/* Counts how a try ended; whoever brings the change about tells it. */
void checks_report(struct balancer *b, struct peer *peer, const struct check_rules *rules,
		   enum try_outcome how, int status);

/* May it have requests?  Of tables with checks. */
static inline bool slot_is_up(const struct table *t, const struct slot *slot)
{
	return !t->is_checked ||
	       health_is_up(atomic_load_explicit(&slot->peer->health, memory_order_relaxed));
}

/* ---- balance.c ------------------------------------------------------------------ */

/* "host:port" as targets are stored. */
void target_split(str target, str *ret_host, uint16_t *ret_port);

/* ---- hash_input.c --------------------------------------------------------------- */

/* The text to hash for the upstream; makes the cookie when it is missing. */
str hash_input(struct arena *a, const struct upstream *u, const struct balance_input *in,
	       str *ret_set_cookie);
