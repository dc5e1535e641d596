/* SPDX-License-Identifier: Apache-2.0 */
/* statsd - the figures of one request as lines of the StatsD protocol.
 *
 *	prefix.service.orders.status.200:1|c
 *	prefix.request.count:1|c|@0.5|#service:orders,status:200     (tag_style dogstatsd)
 *
 * Without tags a figure's name says what it belongs to: a service, or "global.unmatched".
 * With tags only figures that have no names of others in theirs are sent. */
#pragma once

#include <gibbon/plugin.h>

/* By the order of their words in statsd.c. */
enum consumer_identifier { CONSUMER_ID, CONSUMER_CUSTOM_ID, CONSUMER_USERNAME };
enum service_identifier { SERVICE_ID, SERVICE_NAME, SERVICE_HOST, SERVICE_NAME_OR_HOST, SERVICES };
enum workspace_identifier { WORKSPACE_ID, WORKSPACE_NAME };
enum tag_style { TAGS_NONE, TAGS_DOGSTATSD, TAGS_INFLUXDB, TAGS_LIBRATO, TAGS_SIGNALFX };

struct statsd_kind;

struct statsd_metric {
	str name, stat_type;
	double sample_rate; /* NaN: none */
	str consumer_identifier, service_identifier, workspace_identifier;

	/* Made of these by prepare(). */
	const struct statsd_kind *kind;
	const char *type; /* "c" */
	str rate;         /* "|@0.5", or empty */
	enum consumer_identifier consumer;
	enum service_identifier service;
	enum workspace_identifier workspace;
};

struct statsd_conf {
	str host;
	int64_t port;
	str prefix;
	struct records metrics;
	strs allow_status_codes;
	double udp_packet_size;
	bool use_tcp, hostname_in_prefix;
	str consumer_identifier_default, service_identifier_default, workspace_identifier_default;
	int64_t retry_count, queue_size;
	double flush_timeout;
	str tag_style;

	/* Made of these by prepare(). */
	struct queue *queue;
	struct status_range {
		int64_t first, last;
	} * ranges; /* of allow_status_codes */
	enum tag_style style;
	str begin;        /* of every line: "kong.", "kong.node.host." */
	str node;         /* the host's name, its dots as underscores */
	int64_t *zones_s; /* atomic: when the shared zones were last sent */
};

/* NULL: there is none of that name. */
const struct statsd_kind *statsd_kind_find(str name);

/* Adds the lines of one request, a line end behind each. */
void statsd_write(struct req *r, const struct statsd_conf *c, struct buf *out);

/* Puts lines together into packets of up to `most` bytes, a line end between two; a longer
 * line is a packet of its own. */
strs statsd_packets(struct arena *a, strs lines, size_t most);
