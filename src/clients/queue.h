/* SPDX-License-Identifier: Apache-2.0 */
/* queue - entries that many loops put in, and that are sent off in batches elsewhere.
 *
 *	[loop 0] ─┐
 *	[loop 1] ─┼─► entries ─► batch ─► send() ─┬─► done
 *	[loop 2] ─┘                 ▲             ▼
 *	                            └── waits 4, 9, 16, ... 60 s
 *
 * A queue is known by its key: whoever opens the same key gets the same queue, so that it
 * lives on when the configuration changes and its own part of it does not.  When nobody
 * has it open any more, what it holds is still sent.
 *
 * A batch goes off when it is full, or when nothing was added for flush_ms.  A batch that
 * cannot be sent is tried `attempts` times, but for what send() calls ERR_INVALID.  Queues are bounded in entries and in bytes;
 * when one is full the oldest entry is dropped.  An outage is told once when it begins and
 * once when it is over, with what was dropped meanwhile.
 *
 * Any thread may open, add, and close.  send() runs on the background loop, on up to
 * `senders` fibers at once. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct queue;

#define QUEUE_BATCHES ((size_t)10000) /* or what KONG_MAX_QUEUED_BATCHES says */
#define QUEUE_BYTES   ((size_t)64 << 20)
#define QUEUE_ENTRIES ((size_t)1 << 20)

struct queue_options {
	const char *name;    /* in logs; borrowed */
	size_t batch;        /* entries that are sent together, at most; 0: 1 */
	int64_t flush_ms;    /* 0: at once */
	int64_t attempts;    /* in all; 0: 1 */
	unsigned senders;    /* 0: 1, and then entries go in order */
	size_t entries_most; /* 0: QUEUE_BATCHES of them, up to QUEUE_ENTRIES */
	size_t bytes_most;   /* 0: QUEUE_BYTES */

	/* The first failure's retry delay in ms is 4 of these; 0: 1000. */
	int64_t delay_unit_ms;

	/* What `conf` is to send is this function's and its make()'s. */
	struct err *(*send)(const void *conf, const str *entries, size_t n)SUSPENDS;

	/* Instead of it, for servers that refuse an entry and take the others: counts in
	 * *ret_refused those of a batch that is sent that were refused for good, and with an
	 * error those that were lost; 0: all. */
	struct err *(*send_each)(const void *conf, const str *entries, size_t n,
				 size_t *ret_refused)SUSPENDS;
};

/* `make` makes in `a`, which lives as long as the queue, what send() is given; it is called
 * when the queue is new, before this returns. */
struct queue *queue_open(const struct queue_options *o, str key,
			 void *(*make)(struct arena *a, void *arg), void *arg);
void queue_close(struct queue **q);

/* Copies the entry.  False: it was dropped, because it alone is too large or nothing is
 * sent in this process. */
bool queue_add(struct queue *q, str entry);

struct queue_stats {
	size_t entries, bytes;  /* that wait */
	uint64_t sent, dropped; /* since it was made */
	bool is_down;           /* the last attempt failed */
};
struct queue_stats queue_stats(struct queue *q);
