/* SPDX-License-Identifier: Apache-2.0 */
/* proxy - one loop's data plane: what its connections and requests share.
 *
 * Everything in struct proxy is its loop's own.  What all loops share is struct
 * proxy_shared, made before the loops run and immutable but for the things whose
 * own headers name their discipline (snapshots, balancers, logs). */
#pragma once

#include "control/current.h"
#include "http/http.h"
#include "net/block.h"
#include "observe/access_log.h"
#include "observe/counters.h"
#include "serve/error_page.h"
#include "upstream/link.h"

struct proxy_shared {
	const struct settings *settings;
	struct current *current;
	struct counters *counters;
	struct access_log *access_log;        /* NULL: off */
	struct tls_context *tls;              /* of the ssl listeners; NULL: there are none */
	struct tls_context *tls_h2;           /* of those that say http2, too */
	struct access_log *stream_access_log; /* of TCP, TLS and UDP sessions */
	struct tls_context *stream_tls;
	struct http_limits limits;
	enum error_type error_type;
	const char *body_folder; /* for bodies that are kept in files */
	str server;              /* "gibbon/0.1.0" */
	uint64_t serial;         /* of connections; atomic */
	unsigned trace_types;    /* that spans are made of (observe/trace.h) */
	double trace_rate;       /* of requests, 0 to 1 */
	/* For what plugins keep: the loop that has the store, and where it finds it. */
	struct loop *keeper;
	struct store *(*store)(void *arg);
	void *store_arg;
};

/* Of what takes the processor for long: turn_take(). */
struct turns {
	struct gate gate;
	unsigned waiting;
	bool is_taken;
};

struct proxy {
	struct loop *loop;
	int index;
	struct proxy_shared *shared;
	struct links *links;
	struct list clients; /* connections that a fiber or a tunnel has */
	struct list idle;    /* parked: never used ones first, then the longest idle */
	unsigned client_count;
	struct timer tick; /* once a second */
	struct turns turns;
	bool is_draining;
	bool is_stopped; /* nobody may park any more */
	void (*on_drained)(void *);
	void *on_drained_arg;
	int64_t date_s; /* what date is the text of */
	char date[30];
};

struct proxy *proxy_new(struct loop *loop, int index,
			struct proxy_shared *shared); /* on the loop */
void proxy_drop(struct proxy **p);

/* No keep-alive from now on: idle connections are closed, the others after
 * their request; done(arg) is called on the loop when the last one is gone. */
void proxy_drain(struct proxy *p, void (*done)(void *), void *arg);

/* Closes everything at once (the fibers are cancelled by the loop's end). */
void proxy_stop(struct proxy *p);

const char *proxy_date(struct proxy *p); /* of now, for a Date header */
