/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the resolver share.
 *
 *	dns.c        the door: which names and types to try, in which order
 *	dns_query.c  questions in flight: c-ares on a thread of its own
 *	dns_parse.c  an answer's bytes to sets of records
 *	dns_cache.c  sets by type and name, the least used dropped first
 *	dns_conf.c   resolv.conf and the hosts file
 *
 * A set is all records of one type under one name, or the reason why there are
 * none.  It never changes, is counted, and may be read without the lock. */
#pragma once

#include "base/map.h"
#include "net/dns.h"
#include <pthread.h>
#include <stdatomic.h>

/* Record types (RFC 1035 §3.2.2, 3596, 2782); LAST and SHORT are the cache's own:
 * the type that answered last, and what a name led to in the end. */
enum {
	TYPE_SHORT = 0,
	TYPE_A = 1,
	TYPE_CNAME = 5,
	TYPE_AAAA = 28,
	TYPE_SRV = 33,
	TYPE_LAST = -1,
};

#define DNS_NAME_MAX    255
#define DNS_RECORDS_MAX 1000 /* of one answer; more are left out */
#define DNS_SERVERS_MAX 16
#define DNS_SEARCH_MAX  6
#define DNS_TYPES_MAX   8

struct record {
	str name;       /* CNAME's and SRV's target */
	uint8_t ip[16]; /* A: the first four */
	uint16_t port, weight, priority;
};

struct dns_set {
	atomic_int holders;
	int type;
	int error; /* 0; a server's code, 1 to 23; or SET_UNANSWERED */
	uint32_t ttl_s;
	deadline expires; /* fresh until then */
	deadline dies;    /* usable, stale, until then */
	size_t n;
	struct record v[]; /* and behind them the text of the names */
};
#define SET_UNANSWERED (-1)

/* A set with room for n records and their text, at *ret_text; held once. */
struct dns_set *set_new(int type, size_t n, size_t text, char **ret_text);
struct dns_set *set_hold(struct dns_set *s);
void set_drop(struct dns_set **s);

/* ---- configuration ------------------------------------------------------------- */

struct resolv_conf {
	strs servers; /* as c-ares writes them: ip:port */
	strs search;
	int64_t ndots, timeout_ms, attempts;
	bool rotate;
};

/* Never fails: without a file there are no servers, and that is logged. */
void resolv_conf_read(struct arena *a, const char *path, struct resolv_conf *ret);

/* "ip", "ip:port", "[ip6]:port" to c-ares' form; false when it is none. */
bool server_parse(struct arena *a, str text, str *ret);

struct host {
	struct dns_set *v4, *v6; /* NULL: none */
};

/* Name, in lower case, to struct host; localhost always among them. */
void hosts_read(struct arena *a, const char *path, struct map *ret);

/* ---- the resolver -------------------------------------------------------------- */

struct cache_entry;
struct query_engine;

struct resolver {
	struct arena *arena; /* what never changes */
	struct map hosts;
	struct resolv_conf conf;
	int types[DNS_TYPES_MAX];
	int n_types;
	bool prefers_v6, no_sync;
	int64_t valid_ttl_ms, stale_ttl_ms, not_found_ttl_ms,
		error_ttl_ms; /* valid < 0: the server's */
	struct query_engine *engine;

	pthread_mutex_t lock; /* over what follows, and the questions in flight */
	struct cache_entry **buckets;
	size_t n_buckets, n_entries, max_entries;
	struct list used; /* entries, the least recently used first */
};

/* ---- dns_cache.c: with the lock ------------------------------------------------ */

void cache_init(struct resolver *r, int64_t size);
void cache_done(struct resolver *r);

/* The set, borrowed; NULL when there is none or it is too old even to be stale. */
struct dns_set *cache_find(struct resolver *r, int type, str name);

/* Gives the set its dates, and keeps it; a failure does not replace records. */
void cache_put_new(struct resolver *r, str name, struct dns_set *s);

/* What a name led to, under its short form. */
void cache_put_short(struct resolver *r, str name, struct dns_set *s);

int cache_last_type(struct resolver *r, str name); /* 0: not known */
void cache_set_last_type(struct resolver *r, str name, int type);

/* ---- dns_query.c --------------------------------------------------------------- */

MUST_CHECK struct err *engine_start(struct resolver *r);
void engine_stop(struct resolver *r);

/* Asks the servers, or waits for the same question in flight.  WAIT_OK: *ret is
 * the answer, held. */
enum wait query_wait(struct resolver *r, int type, str name, deadline until, struct dns_set **ret)
	SUSPENDS;

/* Asks in the background, once; with the lock. */
void query_refresh(struct resolver *r, int type, str name);

/* ---- dns_parse.c --------------------------------------------------------------- */

struct found {
	str name;
	struct dns_set *set; /* dates not set yet, ttl_s is the server's */
};

/* The sets in an answer: first that of the question, empty if need be, then those
 * that a chain of CNAMEs leads to.  0: not a message. */
size_t answer_parse(struct arena *a, const uint8_t *p, size_t n, str name, int type,
		    struct found **ret);
