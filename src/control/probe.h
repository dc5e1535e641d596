/* SPDX-License-Identifier: Apache-2.0 */
/* probe - asks a target once whether it is well: connects, and for HTTP sends a
 * request and reads the status line.  Each probe has a connection of its own. */
#pragma once

#include "balance/balance.h"
#include "net/tls.h"
#include "upstream/link.h"

enum probe_kind { PROBE_TCP, PROBE_HTTP, PROBE_HTTPS, PROBE_GRPC, PROBE_GRPCS };

struct probe {
	enum probe_kind kind;
	const struct address *address;
	struct tls_context *tls; /* of https and grpcs */
	str server_name;         /* of those: SNI; verified when verify_name */
	bool verify_name;
	str request;                /* of http and https: the whole head */
	struct http_headers fields; /* of grpc and grpcs: the same as fields of HTTP/2 */
	struct links *links;        /* of those: where their connections are made */
};

/* How it ended.  status: as balancer_probed() takes it; `why` gets the words of a failure,
 * in the error arena or static.  False: the fiber was cancelled. */
bool probe_run(const struct probe *p, deadline until, enum try_outcome *ret, int *ret_status,
	       const char **why) SUSPENDS;

/* The request: GET by HTTP/1.0, `headers` (an object of arrays, or NULL), Host. */
str probe_request(struct arena *a, str path, const struct value *headers, str host);

struct http_headers probe_fields(struct arena *a, bool is_tls, const struct value *headers,
				 str host);

/* probe_grpc.c: probe_run() of those kinds. */
bool probe_grpc(const struct probe *p, deadline until, enum try_outcome *ret, int *ret_status,
		const char **why) SUSPENDS;

/* The status of a status line; 0: it is none. */
int probe_status(str line);
