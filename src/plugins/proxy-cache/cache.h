/* SPDX-License-Identifier: Apache-2.0 */
/* cache - what the sources of proxy-cache share: zones, keys, directives, stored answers. */
#pragma once

#include <gibbon/plugin.h>

/* ---- zones: one for each name, for the life of the process (zones.c) ------------------------ */

struct zone {
	str name;
	struct shelf *shelf;
	size_t coming, most_coming; /* bytes that are on their way to it; the first is atomic */
};

/* NULL: there is no zone of that name. */
struct zone *zone_find(str name);
void zones_drop(void);

/* So many bytes are on their way instead of `before`; false: that is too much for all of them. */
bool zone_expect(struct zone *z, size_t before, size_t now);

/* The Admin API's pages, and what other nodes purge. */
extern const struct plugin_page proxy_cache_pages[];
extern const struct plugin_channel proxy_cache_channels[];

/* ---- keys and directives (asked.c) ------------------------------------------------------------ */

/* SHA-256 in hex of consumer, route, method, path, arguments and headers, as Kong makes it. */
str cache_key(struct req *r, strs vary_query_params, strs vary_headers);

/* SHA-256 of what the request has in the fields that these Vary name; false: of everything. */
bool vary_digest(struct req *r, strs vary, uint8_t ret[32]);

#define NO_AGE INT64_MIN

/* Of a Cache-Control; seconds, NO_AGE where it says nothing. */
struct directives {
	bool no_store, no_cache, is_private, only_if_cached;
	int64_t max_age, s_maxage, min_fresh, max_stale; /* max_stale INT64_MAX: any */
};
struct directives directives_of(const struct http_headers *h);

/* All values of a header. */
strs values_of(struct arena *a, const struct http_headers *h, str name);

/* How long an answer is fresh, in seconds. */
int64_t lifetime_of(struct arena *a, const struct http_headers *h, const struct directives *d,
		    int64_t now_s);

/* ---- stored answers (stored.c) ------------------------------------------------------------------ */

/* In front of the bytes of a parcel; the fields follow, then the body. */
struct stored {
	int64_t at_s, ttl_s; /* when it came; how long it is fresh */
	int32_t status;
	uint32_t n_fields;
	uint64_t fields_size;
	bool has_vary;
	uint8_t vary[32]; /* what the request had in the fields that Vary names */
};

struct parcel *stored_new(str key, const struct stored *s, const struct http_headers *fields,
			  size_t body_room);
struct stored stored_head(const struct parcel *p);
struct http_headers stored_fields(struct arena *a, const struct parcel *p); /* borrowed */
str stored_body(const struct parcel *p);
