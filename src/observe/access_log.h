/* SPDX-License-Identifier: Apache-2.0 */
/* access_log - one line per request, in nginx's formats.
 *
 * A log is opened once per worker and may be written from every loop: lines
 * gather in a buffer per loop and go to the file from the offload threads, when the
 * buffer is large or a second old, so that a slow disk never blocks a loop.
 * When the disk cannot follow, whole lines are dropped and counted, and the
 * error log says so.  SIGUSR1 reopens the files. */
#pragma once

#include "base/err.h"
#include "http/http.h"
#include "net/net.h"

struct access_log;
struct access_format;

/* What a line can be made of.  Everything is borrowed for the call. */
struct access_record {
	const struct address *client;       /* after real-IP processing */
	const struct address *peer;         /* the TCP peer */
	const struct address *local;        /* may be NULL */
	const struct http_request *request; /* NULL: the head could not be read */
	str request_line;                   /* as received, for $request */
	int status;
	uint64_t bytes_sent, body_bytes_sent, request_length;
	int64_t started_ms; /* wall clock */
	int64_t request_time_ms;
	str upstream_addr, upstream_status; /* nginx's lists: "a, b" over tries */
	int64_t upstream_connect_ms, upstream_header_ms, upstream_response_ms; /* -1: none */
	uint64_t connection;                                                   /* serial number */
	uint64_t connection_requests;
	bool is_tls;
	const char *tls_version, *tls_cipher; /* or NULL */
	str sni;
	str host; /* nginx's $host: lower case, no port */
	const struct http_headers *reply_headers;
	str sent_connection;

	/* Those that may stay unset. */
	str uri;        /* normalised path, for $uri; else the path as sent */
	str request_id; /* for $request_id */
	const struct http_headers *upstream_headers; /* for $upstream_http_* */
	bool is_aborted;                             /* $request_completion is empty */
	bool is_pipelined;
	const char *protocol; /* of streams: "TCP", "UDP"; NULL: TCP */
};

/* "combined", "basic" (of streams), or an own log_format text with $variables.
 * A text may begin with log_format's "escape=json ", "escape=none " or
 * "escape=default ".  An unknown variable is an error that names it.  Lives in a. */
MUST_CHECK struct err *access_format_new(struct arena *a, str text, struct access_format **ret);
extern const char access_format_combined[], access_format_basic[];

/* One line without its end, for other sinks and tests. */
str access_format_line(struct arena *a, const struct access_format *f,
		       const struct access_record *r);

/* path: a file; "/dev/stdout" works; or nginx's
 * "syslog:server=ADDRESS[:PORT][,facility=..][,severity=..][,tag=..][,nohostname]",
 * where ADDRESS is an IP or unix:PATH.  f is borrowed; loops: how many buffers. */
MUST_CHECK struct err *access_log_open(const char *path, const struct access_format *f, int loops,
				       struct access_log **ret);
void access_log_close(struct access_log **l);                   /* flushes; after the loops ended */
MUST_CHECK struct err *access_log_reopen(struct access_log *l); /* any thread */

void access_log_write(struct access_log *l, const struct access_record *r); /* on a loop */

/* Sends old lines off; called once a second on each loop. */
void access_log_tick(struct access_log *l);
uint64_t access_log_dropped(const struct access_log *l);
