/* SPDX-License-Identifier: Apache-2.0 */
/* balance - which address a request goes to.
 *
 * A balancer stands for the host of a service: an IP literal, a DNS name, or
 * an upstream entity with its targets.  It has a fixed part, which belongs to
 * the snapshot, and a lasting part (round-robin positions, connection counts,
 * response times, resolved addresses), which is found again by identity in the next
 * snapshot, so that a change of configuration disturbs nothing.
 *
 * Any loop may pick; the lasting part's lock is never held across a wait. */
#pragma once

#include "model/model.h"
#include "net/dns.h"

struct balancer;
struct http_request;

/* Keeps the lasting parts; one per process. */
struct balance_store;
struct balance_store *balance_store_new(void);
void balance_store_drop(struct balance_store **s); /* after the loops ended */

/* For a host that is no upstream: an IP or a DNS name.  Lives in a. */
struct balancer *balancer_of_host(struct arena *a, struct balance_store *s, str host, uint16_t port);

/* For an upstream with its targets (those with upstream == u->id; any order). */
struct balancer *balancer_of_upstream(struct arena *a, struct balance_store *s, const struct upstream *u,
				      const struct target *const *targets, size_t n);

const struct upstream *balancer_upstream(const struct balancer *b); /* or NULL */

/* What the choice may depend on; text is the request's. */
struct balance_input {
	const struct http_request *request; /* for hash_on header, cookie, path, query_arg; may be NULL */
	str path;                           /* normalised */
	str client_ip, consumer_id, credential_id;
	const struct value *uri_captures;   /* object, or NULL */
};

enum pick_result {
	PICK_OK,
	PICK_NO_PEER,       /* 503 failure to get a peer from the ring-balancer */
	PICK_NOT_FOUND,     /* 503 name resolution failed */
	PICK_FAILED,        /* 500 */
	PICK_CANCELLED,
};

/* One choice; the same struct goes through all tries of a request, zeroed at
 * first, and ends with balance_done(). */
struct pick {
	struct address address;
	str host;             /* the target's name, for Host and SNI: no port */
	uint16_t port;
	str set_cookie;       /* to add to the response (hash_on cookie), or empty */
	const char *why;      /* of a failure, for the log */
	void *peer_;          /* balance's own */
	unsigned tries;
	int64_t started_ms_;
	void *tried_[8];
};
enum pick_result balance_pick(struct balancer *b, struct arena *a, const struct balance_input *in,
			      deadline until, struct pick *pick) SUSPENDS;

enum try_outcome { TRY_ANSWERED, TRY_CONNECT_FAILED, TRY_TIMED_OUT, TRY_BROKEN };
/* How the last pick went; status is the upstream's answer or 0. Passive health stands on it. */
void balance_report(struct balancer *b, struct pick *pick, enum try_outcome how, int status);
void balance_done(struct balancer *b, struct pick *pick);

/* For /upstreams/x/health and /upstreams/x/targets: Kong's shape (ADMIN_API.md §4.9). */
struct value *balancer_health(struct arena *a, const struct balancer *b);
