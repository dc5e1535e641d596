/* SPDX-License-Identifier: Apache-2.0 */
/* dns - names to addresses, by Kong's rules (its dns client of 3.2).
 *
 * One cache per process, shared by all loops under a lock that is never held
 * across a wait; a name in flight is asked once and everybody waits for that
 * answer.  Questions go out from a thread of their own. */
#pragma once

#include "net/net.h"

struct dns_options {
	strs resolvers;  /* ip[:port]; empty: resolv.conf's */
	str resolv_conf; /* its path; empty: /etc/resolv.conf */
	str hostsfile;
	strs order;          /* LAST, SRV, A, AAAA, CNAME */
	int64_t valid_ttl_s; /* < 0: the server's */
	int64_t stale_ttl_s, not_found_ttl_s, error_ttl_s;
	int64_t cache_size;
	bool no_sync;
};
/* Once per process, before the loops run. */
MUST_CHECK struct err *dns_start(const struct dns_options *o);
void dns_stop(void);

struct dns_answer {
	struct address address; /* port 0 unless SRV gave one */
	uint16_t weight;        /* SRV's, else 1 */
	str name;               /* SRV's target, else empty */
};

enum dns_result {
	DNS_OK,
	DNS_NOT_FOUND, /* NXDOMAIN or no records */
	DNS_FAILED,    /* timeout, SERVFAIL, refused, ... */
	DNS_CANCELLED,
};

#define DNS_EXPIRES_AT_ONCE 0

/* All addresses of a name; IP literals and hosts-file names never wait. `answers`
 * live in a.  ret_expires: monotonic ms when the set should be asked again
 * (DNS_EXPIRES_AT_ONCE when its TTL is 0; a stale answer has a date in the past;
 * DEADLINE_NEVER for what never changes).  `ret_text`, if not NULL, gets the failure's
 * words ("dns server error: 3 name error"). */
enum dns_result dns_resolve(struct arena *a, str name, deadline until, struct dns_answer **ret,
			    size_t *ret_n, deadline *ret_expires, const char **ret_text) SUSPENDS;
