/* SPDX-License-Identifier: Apache-2.0 */
/* metrics - counters and histograms with labels, and the text that Prometheus reads.
 *
 *	struct metrics ── shard (one per loop) ── chains by hash
 *	                     └─► series ─► series ─► ...      (all, the newest first)
 *
 * Only a loop's own thread changes its shard, without a lock: values by relaxed stores,
 * new series by one release store in front of the others.  Series never go away, so
 * that anybody may walk them and sum over the shards while loops count.
 *
 * What all shards may take together has a ceiling.  A series that does not fit is not
 * counted; that it was not is counted (metrics_lost). */
#pragma once

#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

#define METRIC_LABELS 6 /* at most, of one family */

/* A family: constant.  bounds are the buckets' upper ends, rising, without the infinite
 * one. */
struct metric_family {
	const char *name, *help;
	enum metric_type type;
	const char *labels[METRIC_LABELS + 1]; /* up to NULL */
	const int64_t *bounds;
	size_t n_bounds;
};

struct metrics;

struct metrics *metrics_new(const struct metric_family *families, size_t n, int loops,
			    size_t most_bytes);
void metrics_drop(struct metrics **m);

/* On the loop of that number.  labels: one value for each of the family's names. */
void metrics_add(struct metrics *m, int loop, size_t family, const str *labels, int64_t by);
void metrics_observe(struct metrics *m, int loop, size_t family, const str *labels, int64_t value);

int64_t metrics_lost(const struct metrics *m);

/* Text exposition format 0.0.4, from any thread: a family with all its series, its help
 * and type in front when there are any. */
void metrics_write(const struct metrics *m, size_t family, struct buf *out);

/* Of values that nobody counts: the head, and one line with its labels (NULL: none). */
void metric_write_head(const struct metric_family *f, struct buf *out);
void metric_write_line(const struct metric_family *f, const str *labels, int64_t value,
		       struct buf *out);
