/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of HTTP/2 share. */
#pragma once

#include "base/buf.h"
#include "http/http.h"

/* A head as its fields come, one by one. */
struct h2_head {
	str method, path, authority, status, host; /* .s is NULL: it did not come */
	struct buf lines;                          /* "name: value" CRLF, in order */
	struct buf cookies;
	size_t size;
	unsigned count;
	bool is_too_big;
};

/* Adds a field (copied into a, or counted only once it is too big); false: it makes the head
 * a malformed one (RFC 9113 §8.1.1). */
bool h2_head_add(struct h2_head *h, struct arena *a, str name, str value,
		 const struct http_limits *limits);
void h2_head_done(struct h2_head *h);

/* The head as a message: its size as it came, or minus a status. */
ssize_t h2_head_request(const struct h2_head *h, struct arena *a, bool has_body,
			const struct http_limits *limits, struct http_request *ret);
ssize_t h2_head_response(const struct h2_head *h, struct arena *a, bool has_body,
			 const struct http_limits *limits, enum http_method method,
			 struct http_response *ret);
