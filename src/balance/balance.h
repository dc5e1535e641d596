/* SPDX-License-Identifier: Apache-2.0 */
/* balance - which address a request goes to.
 *
 * A balancer stands for the host of a service: an IP literal, a DNS name, or
 * an upstream entity with its targets.  It has a fixed part, which belongs to
 * the snapshot, and a lasting part (round-robin positions, connection counts,
 * response times, resolved addresses), which is found again by identity in the next
 * snapshot, so that a change of configuration disturbs nothing.
 *
 * Any loop may pick, without a lock: what is chosen from is a table that is
 * replaced as a whole when a name resolves anew.  Only the store's lock guards
 * the rest; it is never held across a wait.
 *
 * A name is resolved when the first request needs it, or earlier by
 * balance_store_tick(), and again in the background after it expired.  While
 * DNS fails the addresses known last stay in use; a name that is gone leaves
 * the rotation. */
#pragma once

#include "model/model.h"
#include "net/dns.h"

struct balancer;
struct http_request;

/* Where names and time come from, for tests; all others use dns and the loop's clock. */
struct balance_sources {
	enum dns_result (*resolve)(struct arena *a, str name, deadline until,
				   struct dns_answer **ret, size_t *ret_n, deadline *ret_expires,
				   const char **ret_text);
	int64_t (*now_ms)(void);
};

/* Keeps the lasting parts; one per process. */
struct balance_store;
struct balance_store *balance_store_new(void);
struct balance_store *balance_store_new_with(const struct balance_sources *sources);
void balance_store_drop(struct balance_store **s); /* after the loops and snapshots ended */

/* Once a second, on one loop, outside or inside of a fiber: resolves in the
 * background what upstreams need soon, and forgets what no snapshot used for
 * five minutes. */
void balance_store_tick(struct balance_store *s);

/* For a host that is no upstream: an IP or a DNS name.  Lives in a and ends with it. */
struct balancer *balancer_of_host(struct arena *a, struct balance_store *s, str host,
				  uint16_t port);

/* For an upstream with its targets (those with upstream == u->id; any order).
 * Lives in a and ends with it; u and the targets are borrowed as long. */
struct balancer *balancer_of_upstream(struct arena *a, struct balance_store *s,
				      const struct upstream *u, const struct target *const *targets,
				      size_t n);

const struct upstream *balancer_upstream(const struct balancer *b); /* or NULL */

/* What the choice may depend on; text is the request's. */
struct balance_input {
	const struct http_request *request; /* for hash_on header, cookie, query_arg; may be NULL */
	str path;                           /* normalised */
	str client_ip, consumer_id, credential_id;
	const struct value *uri_captures; /* object, or NULL */
};

enum pick_result {
	PICK_OK,
	PICK_NO_PEER,   /* 503 failure to get a peer from the ring-balancer */
	PICK_NOT_FOUND, /* 503 name resolution failed */
	PICK_FAILED,    /* 500 */
	PICK_CANCELLED,
};

/* One choice; the same struct goes through all tries of a request, zeroed at
 * first, and ends with balance_done().  What ends in _ is balance's own. */
struct pick {
	struct address address;
	str host; /* the target's name, for Host and SNI: no port; an IPv6 address in brackets */
	uint16_t port;
	str set_cookie;  /* to add to the response (hash_on cookie), or empty */
	const char *why; /* of a failure, for the log */
	unsigned tries;

	/* When DNS was asked because nothing was known, by clock_mono_us(); 0: it was not. */
	int64_t asked_began_us, asked_ended_us;
	str asked_name;

	struct peer *peer_;
	int64_t started_us_;
	uint32_t hash_;
	unsigned n_tried_;
	bool is_failed_;
	struct peer *tried_[8];
};

/* The first try may wait for DNS; later ones go by what is known (but for names
 * whose records may not be kept).  Addresses that this request tried and that were
 * reported to have failed are passed over while there are others; a pick that was
 * not reported on (a kept connection had ended unseen) is given once more. */
enum pick_result balance_pick(struct balancer *b, struct arena *a, const struct balance_input *in,
			      deadline until, struct pick *pick) SUSPENDS;

enum try_outcome { TRY_ANSWERED, TRY_CONNECT_FAILED, TRY_TIMED_OUT, TRY_BROKEN };

/* How the last pick went; status is the upstream's answer, or what the client is told
 * after a last try that failed, or 0.  Passive checks count it.  To be called
 * once the response's head is there, for the time until then is what the
 * algorithm `latency` goes by. */
void balance_report(struct balancer *b, struct pick *pick, enum try_outcome how, int status);
void balance_done(struct balancer *b, struct pick *pick);

/* What /upstreams/x/health?balancer_health=1 has under "data": health, id, and details when
 * checks are on. */
struct value *balancer_health(struct arena *a, const struct balancer *b);

/* What /upstreams/x/health adds to a target ("host:port" as stored): its
 * health (HEALTHY, UNHEALTHY, HEALTHCHECKS_OFF, DNS_ERROR) and the object "data". */
const char *balancer_target_health(struct arena *a, const struct balancer *b, str target,
				   struct value **ret_data);

/* Both show names that were never asked for as they are: to be called before, so that
 * they were. */
void balancer_learn(struct balancer *b, struct arena *a, deadline until) SUSPENDS;

/* ---- health ---------------------------------------------------------------------
 *
 * The health of an address is kept with it, over snapshots and workers, for five minutes
 * after the last one that had it.  Any loop may change it; who does says so in the log, once. */

/* The file that a worker inherits and leaves to the one that replaces it: what it says is the
 * health that addresses begin with, and what changes is written there, within a second.
 * Before there are balancers; -1: there is none. */
void balance_keep_health(struct balance_store *s, int fd);

/* Does the upstream have health checks of any kind? */
bool balance_is_checked(const struct upstream *u);

/* A target was marked by hand, here or on another node ("balancer:post_health"). */
struct balance_mark {
	uuid upstream;
	str host;      /* of the target */
	str ip;        /* of one of its addresses; empty: all of them */
	uint16_t port; /* of the address, or of the target */
	bool is_healthy;
};

/* From "host:port" of the target, and an address with or without a port (8000 then), or
 * empty.  Texts are in a. */
struct balance_mark balance_mark_of(struct arena *a, uuid upstream, str target, str address,
				    bool is_healthy);

/* At once, and its counts begin anew; an address that is not known is none's, and well.
 * ERR_INVALID: the upstream has no health checks. */
MUST_CHECK struct err *balance_mark(struct balance_store *s, const struct balance_mark *m);

/* The balancer of an upstream for those who watch it: it is never asked to pick. */
struct balancer *balancer_for_health(struct arena *a, struct balance_store *s,
				     const struct upstream *u, const struct target *const *targets,
				     size_t n);

/* Those that are healthy, or those that are not, to be probed; they stay until they are let
 * go, and b with them. */
struct probed {
	struct peer *peer_;
	str host; /* the target's, as in struct pick */
	uint16_t port;
	struct address address; /* size 0: its records may not be kept */
};
size_t balancer_to_probe(struct arena *a, struct balancer *b, bool are_up, struct probed **ret);
void balancer_probes_done(struct balancer *b, struct probed *v, size_t n);

/* Finds the address of one that has none; false: DNS did not tell. */
bool balancer_find(struct balancer *b, struct arena *a, struct probed *p, deadline until) SUSPENDS;

/* How the probe ended.  Of TRY_ANSWERED the status: 0 when what came was no HTTP,
 * PROBE_CONNECTED when connecting was all. */
#define PROBE_CONNECTED (-1)
void balancer_probed(struct balancer *b, const struct probed *p, enum try_outcome how, int status);
