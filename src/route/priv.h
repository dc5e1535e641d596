/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of route/ share.
 *
 * A route becomes rules: in `traditional` one for each of its paths, otherwise one.
 * Rules are ranked once; the lowest rank that fits a request wins.  The index
 * leads from a host to a site, from there along the path to buckets of rules:
 *
 *	exact    "a.test"  ─┐           ┌─ no path: bucket
 *	suffixes ".b.test" ─┼─► site ───┤
 *	prefixes "c."      ─┤           └─ tree of paths: "/" bucket, "/api" bucket ...
 *	(any host)         ─┘
 *
 * A regular expression hangs at the text that everything it matches begins with.  A
 * bucket is in the order of rank, so its first that fits is its best. */
#pragma once

#include "base/map.h"
#include "base/regex.h"
#include "route/route.h"
#include "route/tree.h"

/* Kinds of criteria, as bits; a greater set is a greater number. */
enum {
	KIND_HOST = 0x40,
	KIND_HEADER = 0x20,
	KIND_PATH = 0x10,
	KIND_METHOD = 0x08,
	KIND_SNI = 0x04,
	KIND_SOURCE = 0x02,
	KIND_DESTINATION = 0x01,
};

#define PORT_ANY (-1)

enum host_shape { HOST_EXACT, HOST_SUFFIX, HOST_PREFIX };

struct host_rule {
	str text; /* as in the route, in lower case */
	str name; /* without port and '*' */
	enum host_shape shape;
	int32_t port; /* or PORT_ANY */
};

struct header_rule {
	str name;                      /* lower case */
	strs values;                   /* any of them will do, case ignored */
	const struct regex **patterns; /* or any of these */
	size_t patterns_n;
};

struct path_rule {
	str text;                  /* as in the route */
	str prefix;                /* what a matching path begins with */
	const struct regex *regex; /* NULL: the prefix says it all */
	uint32_t index;            /* in the route */
};

struct expression; /* of expression.c */

/* What every comparison reads stands in its first 64 bytes. */
struct rule {
	const struct route *route;
	const struct expression
		*expression; /* decides alone; hosts and paths then only lead to it */
	strs methods, snis;  /* upper case; lower case without a last dot */
	uint32_t rank;       /* 0 is asked first */
	uint32_t headers_n;
	struct header_rule *headers;
	struct path_rule *paths; /* expressions as they came, then plain ones, the longest first */
	struct host_rule *hosts;
	size_t paths_n, hosts_n;
	uint32_t order; /* traditional: the rank without regard to categories */
	uint32_t path_index;
	uint8_t kinds, weight; /* weight: traditional's submatch bits */
	bool has_regex;
	int64_t regex_priority;
	size_t longest; /* bytes of the longest plain path */
};

/* An entry of a bucket: a rule under one of its hosts and one of its paths. */
struct item {
	const struct rule *rule;
	const struct regex *regex; /* still to be matched, or NULL */
	int32_t port;
	bool checks_paths; /* the bucket says nothing about paths: look at the rule's */
};

/* In the order of rank. */
struct bucket {
	struct item *v;
	size_t n, cap;
	struct finer *finer; /* of bucket.c: an index of its own, when it has many */
};

/* A host of a route that leads to a site; for traditional's sets. */
struct host_variant {
	str text;
	int32_t port;
	uint64_t order; /* of the first rule that has it, then its place there */
};

struct site {
	struct bucket pathless;
	struct tree paths; /* struct bucket */
	struct {
		struct host_variant *v;
		size_t n, cap;
	} variants;
};

struct categories; /* of category.c */
struct streams;    /* of stream.c */

struct router {
	struct arena *a;
	enum router_flavor flavor;
	struct map exact;     /* host -> struct site */
	struct tree suffixes; /* host backwards -> struct site */
	struct tree prefixes; /* host -> struct site */
	struct site any;
	struct categories *categories; /* traditional only */
	struct streams *streams;
	struct {
		struct bucket **v;
		size_t n, cap;
	} buckets; /* all of them, for building */
};

/* What a request is compared as. */
struct search {
	const struct router *r;
	const struct route_query *q;
	struct arena *a;        /* the request's */
	str host_text;          /* the Host header in lower case */
	str host, host_back;    /* without port; backwards */
	int32_t port;           /* PORT_ANY: not known */
	str sni;                /* lower case, no last dot */
	uint32_t from, to;      /* ranks that count: from <= rank < to */
	const struct set *only; /* traditional: rules outside do not count; or NULL */
	const struct rule *best;
};

/* bucket.c: refine() once it is full; visit() keeps the best in the search. */
void bucket_refine(struct arena *a, struct bucket *b);
void bucket_visit(struct search *s, const struct bucket *b);

/* rule.c */
struct rule_list {
	struct rule **v;
	size_t n, cap;
};

MUST_CHECK struct err *rules_of(struct arena *a, enum router_flavor flavor,
				const struct route *const *routes, size_t n, struct rule_list *ret);
str path_literal_prefix(struct arena *a, str pattern); /* what all its matches begin with */
bool route_is_stream(const struct route *r);
bool path_fits(const struct path_rule *p, str path);
bool header_rule_fits(const struct header_rule *h, const struct http_headers *headers);
str host_lower(struct arena *a, str s); /* itself when it has no capitals */

/* order.c: sorts and numbers them. */
void rules_rank(enum router_flavor flavor, struct rule **rules, size_t n);

/* router.c: the best rule that fits, within the bounds of the search. */
const struct rule *search_run(struct search *s);
/* Calls fn for every site whose host fits. */
void search_sites(struct search *s, void (*fn)(struct search *s, const struct site *site));

/* expression.c */
struct path_hit {
	str text;                  /* STR_NONE: no test on the path took part */
	size_t prefix;             /* bytes it took */
	const struct regex *regex; /* or NULL */
	bool lower;                /* it matched the path in lower case */
};

MUST_CHECK struct err *expression_new(struct arena *a, str text, struct expression **ret);
bool expression_fits(const struct expression *e, struct search *s, struct path_hit *hit);
/* What every request that fits has for a host, or begins its path with; false: anything. */
bool expression_hosts(struct arena *a, const struct expression *e, strs *ret);
bool expression_paths(struct arena *a, const struct expression *e, strs *ret);

/* category.c */
struct categories *categories_new(struct arena *a, struct rule *const *rules, size_t n);
const struct rule *categories_find(const struct categories *c, struct search *s);
bool set_has(const struct set *set, const struct rule *rule);

/* stream.c */
MUST_CHECK struct err *streams_new(struct arena *a, const struct route *const *routes, size_t n,
				   struct streams **ret);
const struct route *streams_find(const struct streams *s, const struct route_stream_query *q);
