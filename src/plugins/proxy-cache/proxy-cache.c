/* SPDX-License-Identifier: Apache-2.0 */
/* proxy-cache - answers what a service has answered before.
 *
 * An answer is stored as it goes by: its fields and its body become one piece of memory
 * (base/shelf.h) that all loops share and that is sent from where it lies.  Nothing waits
 * for it, and an answer that breaks off or grows too large is not stored.
 *
 *	X-Cache-Status: Miss     it was not there, and may be the next time
 *	                Hit      it comes from here
 *	                Refresh  it was there, and too old for somebody
 *	                Bypass   it is no business of the cache's */
#include <gibbon/plugin.h>

#include "plugins/proxy-cache/cache.h"

struct memory {
	str dictionary_name;
};

struct conf {
	struct ints response_code;
	strs request_method, content_type, vary_query_params, vary_headers;
	int64_t cache_ttl, storage_ttl;
	str strategy;
	bool cache_control;
	struct memory memory;
	struct zone *zone;
};

struct state {
	bool is_wanted; /* the answer may be stored */
	str key;
	struct zone *zone;
	struct parcel *parcel; /* on its way; NULL: not stored */
	size_t expected;       /* of its bytes, as the zone knows */
	int64_t ends_ms;
};

const struct plugin plugin_proxy_cache;

/* ---- rows ------------------------------------------------------------------------------- */

static void check_zone(struct arena *a, const struct value *record, struct value *errors)
{
	const struct value *config = value_get(record, "config");
	const struct value *strategy = value_get(config, "strategy");
	const struct value *name = value_get(value_get(config, "memory"), "dictionary_name");

	if (!strategy || strategy->kind != VALUE_STRING || !str_is(strategy->s, "memory") ||
	    !name || name->kind != VALUE_STRING || node_zone_bytes(name->s))
		return;
	schema_error_at(a, errors, "@entity",
			rule_words(a, "missing shared dict '" STRF "'", STRV(name->s)));
}

/* clang-format off */
static const struct check checks[] = {
	{ CHECK_CUSTOM, .fields = "config", .fn = check_zone },
	CHECK_END
};

#define T struct memory
static const struct field memory_fields[] = {
	F_STR(T, dictionary_name, .required = true, .def = J("kong_db_cache"), .help = "The zone of memory: one of Kong's dictionaries, or of nginx_http_lua_shared_dict."),
	F_END
};
#undef T

#define T struct conf
static const struct field conf_fields[] = {
	F_INTS(T,   response_code,     .required = true, .def = J([200, 301, 404]), .len_min = 1, .elements = FIELD(FIELD_INTEGER, .between = J([100, 900])), .help = "Statuses of answers that may be stored."),
	F_STRS(T,   request_method,    .required = true, .def = J(["GET", "HEAD"]), .elements = FIELD(FIELD_STRING, .one_of = J(["HEAD", "GET", "POST", "PATCH", "PUT"])), .help = "Methods of requests that may be answered from here."),
	F_STRS(T,   content_type,      .required = true, .def = J(["text/plain", "application/json"]), .elements = FIELD(FIELD_STRING), .help = "Content-Type of answers that may be stored, parameters included."),
	F_INT(T,    cache_ttl,         .def = J(300), .gt = J(0), .help = "Seconds that an answer is fresh."),
	F_STR(T,    strategy,          .required = true, .one_of = J(["memory"]), .help = "Where answers are stored."),
	F_BOOL(T,   cache_control,     .required = true, .def = J(false), .help = "Whether what Cache-Control says counts."),
	F_INT(T,    storage_ttl,       .help = "Seconds that an answer is kept, fresh or not."),
	F_RECORD(T, memory,            .fields = memory_fields, .help = "Of the strategy memory."),
	F_STRS(T,   vary_query_params, .elements = FIELD(FIELD_STRING), .help = "Arguments that answers depend on; all when there are none."),
	F_STRS(T,   vary_headers,      .elements = FIELD(FIELD_STRING), .help = "Headers that answers depend on."),
	F_END
};
#undef T
/* clang-format on */

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	(void)a;
	conf->zone = zone_find(conf->memory.dictionary_name);
	if (!conf->zone)
		log_warn("proxy-cache: missing shared dict '" STRF "', nothing is stored",
			 STRV(conf->memory.dictionary_name));
	if (conf->cache_ttl == FIELD_UNSET_INT)
		conf->cache_ttl = 300;
	return NULL;
}

/* ---- requests ----------------------------------------------------------------------------- */

static bool has(strs list, str s)
{
	for (size_t i = 0; i < list.n; i++) {
		if (str_eq(list.v[i], s))
			return true;
	}
	return false;
}

static bool is_cacheable(struct req *r, const struct conf *conf, const struct directives *d)
{
	if (!conf->zone || !has(conf->request_method, req_method(r)))
		return false;
	return !conf->cache_control ||
	       (!d->no_store && !d->no_cache && !req_header(r, STR("Authorization")).s);
}

static void let_go(void *p)
{
	struct parcel **ref = p;

	parcel_drop(ref);
}

/* Until the request's end. */
static struct parcel *take(struct req *r, const struct conf *conf, str key)
{
	struct parcel *p = shelf_take(conf->zone->shelf, key, clock_mono_ms());
	struct parcel **ref;

	if (!p)
		return NULL;
	ref = NEW(req_arena(r), struct parcel *);
	*ref = p;
	arena_on_end(req_arena(r), let_go, ref);
	return p;
}

/* Is it of a request that had the same in what Vary names? */
static bool varies(struct req *r, const struct parcel *p)
{
	struct stored head = stored_head(p);
	struct http_headers fields;
	uint8_t digest[32];

	if (!head.has_vary)
		return false;
	fields = stored_fields(req_arena(r), p);
	return !vary_digest(r, values_of(req_arena(r), &fields, STR("Vary")), digest) ||
	       memcmp(digest, head.vary, sizeof(digest)) != 0;
}

/* Too old for the configuration or for the client? */
static bool is_too_old(struct req *r, const struct conf *conf, const struct parcel *p,
		       const struct directives *d)
{
	struct stored head = stored_head(p);
	int64_t age = clock_wall_s() - head.at_s;
	int64_t stale_for = age - head.ttl_s;

	if (!conf->cache_control)
		return age > conf->cache_ttl;
	if (varies(r, p) || (d->max_age != NO_AGE && age > d->max_age) ||
	    (d->min_fresh != NO_AGE && -stale_for < d->min_fresh))
		return true;
	return stale_for > (d->max_stale == NO_AGE ? 0 : d->max_stale);
}

static enum verdict pass(struct req *r, const char *status)
{
	reply_set_header(r, STR("X-Cache-Status"), str_of(status));
	return NEXT;
}

/* The answer is wanted. */
static enum verdict pass_and_store(struct req *r, str key, const char *status)
{
	struct state *st = req_ctx(r, struct state, &plugin_proxy_cache);

	st->is_wanted = true;
	st->key = key;
	return pass(r, status);
}

/* What belongs to one connection or one request is not told again. */
static bool is_replayed(struct arena *a, const struct http_header *h, bool is_head)
{
	/* clang-format off */
	static const char *const names[] = {
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE",
		"Trailer", "Trailers", "Transfer-Encoding", "Upgrade",
	};
	/* clang-format on */

	for (size_t i = 0; i < COUNT(names); i++) {
		if (str_is_ci(h->name, names[i]))
			return false;
	}
	if (str_is_ci(h->name, "Content-Length"))
		return is_head; /* of the body that it would have */
	return str_find_str(str_lower(a, h->name), STR("ratelimit-remaining")) < 0;
}

static enum verdict answer(struct req *r, const struct parcel *p)
{
	struct arena *a = req_arena(r);
	struct stored head = stored_head(p);
	struct http_headers fields = stored_fields(a, p);
	bool is_head = req_in(r)->method == HTTP_HEAD;

	for (unsigned i = 0; i < fields.n; i++) {
		if (is_replayed(a, &fields.v[i], is_head))
			reply_remove_header(r, fields.v[i].name);
	}
	for (unsigned i = 0; i < fields.n; i++) {
		if (is_replayed(a, &fields.v[i], is_head))
			http_add(a, reply_headers(r), fields.v[i].name, fields.v[i].value);
	}
	reply_set_header(r, STR("Age"),
			 str_fmt(a, "%lld", (long long)(clock_wall_s() - head.at_s)));
	reply_set_header(r, STR("X-Cache-Status"), STR("Hit"));
	reply_as_proxied(r);
	return respond(r, head.status, STR(""), stored_body(p));
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct directives d = directives_of(req_headers(r));
	struct parcel *p;
	str key;

	if (!is_cacheable(r, conf, &d))
		return pass(r, "Bypass");
	key = cache_key(r, conf->vary_query_params, conf->vary_headers);
	reply_set_header(r, STR("X-Cache-Key"), key);
	p = take(r, conf, key);
	if (p && !is_too_old(r, conf, p, &d))
		return answer(r, p);
	if (p)
		return pass_and_store(r, key, "Refresh");
	if (conf->cache_control && d.only_if_cached)
		return respond(r, 504, STR(""), STR(""));
	return pass_and_store(r, key, "Miss");
}

/* ---- answers -------------------------------------------------------------------------------- */

static bool is_storable(struct req *r, const struct conf *conf, const struct directives *d,
			int64_t ttl_s)
{
	bool is_listed = false;

	for (size_t i = 0; i < conf->response_code.n; i++)
		is_listed |= conf->response_code.v[i] == reply_status(r);
	if (!is_listed || !has(conf->content_type, reply_header(r, STR("Content-Type"))))
		return false;
	return !conf->cache_control ||
	       (!d->is_private && !d->no_store && !d->no_cache && ttl_s > 0);
}

/* Tells the zone how much of it there is to come; false: that is too much. */
static bool expect(struct state *st, size_t bytes)
{
	bool fits = zone_expect(st->zone, st->expected, bytes);

	st->expected = bytes;
	return fits && bytes <= shelf_parcel_most(st->zone->shelf);
}

static void drop_pending(void *p)
{
	struct state *st = p;

	parcel_drop(&st->parcel);
	zone_expect(st->zone, st->expected, 0);
	st->expected = 0;
}

/* Of a body that is announced; false: it is too large. */
static bool room_for(struct req *r, const struct zone *z, size_t *ret)
{
	int64_t length;

	*ret = 4096;
	if (!str_to_int(reply_header(r, STR("Content-Length")), &length) || length < 0)
		return true;
	*ret = req_in(r)->method == HTTP_HEAD ? 0 : (size_t)length;
	return *ret < shelf_parcel_most(z->shelf);
}

static int64_t end_of(const struct conf *conf, int64_t ttl_s)
{
	int64_t keep_s = conf->storage_ttl != FIELD_UNSET_INT ? conf->storage_ttl : ttl_s;

	if (keep_s < 0)
		return 0;
	if (keep_s == 0) /* as Kong's dictionaries have it */
		return INT64_MAX;
	return keep_s > INT64_MAX / 2000 ? INT64_MAX : clock_mono_ms() + keep_s * 1000;
}

static void give_up(struct state *st)
{
	static unsigned told;

	if (!__atomic_fetch_add(&told, 1, __ATOMIC_RELAXED))
		log_warn("proxy-cache: an answer does not fit into '" STRF
			 "', which takes up to %zu bytes of each, and is not stored (told once)",
			 STRV(st->zone->name), shelf_parcel_most(st->zone->shelf));
	drop_pending(st);
}

/* It is whole. */
static void store(struct state *st)
{
	if (!shelf_put(st->zone->shelf, &st->parcel, st->ends_ms))
		give_up(st);
	drop_pending(st);
}

/* Without those that the upstream's Connection ends here. */
static struct http_headers fields_of(struct req *r)
{
	struct http_headers ret = http_headers_copy(req_arena(r), reply_headers(r));
	strs all = values_of(req_arena(r), &ret, STR("Connection"));
	str name;

	for (size_t i = 0; i < all.n; i++) {
		while (http_list_next(&all.v[i], &name))
			http_remove_str(&ret, name);
	}
	return ret;
}

static enum verdict on_header_filter(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct state *st = req_ctx(r, struct state, &plugin_proxy_cache);
	struct stored head = { .at_s = clock_wall_s(), .status = reply_status(r) };
	struct http_headers fields;
	struct directives d;
	size_t room;
	strs vary;

	if (!st->is_wanted)
		return NEXT;
	fields = fields_of(r);
	d = directives_of(&fields);
	head.ttl_s = conf->cache_control ? lifetime_of(req_arena(r), &fields, &d, head.at_s)
					 : conf->cache_ttl;
	vary = values_of(req_arena(r), &fields, STR("Vary"));
	head.has_vary = conf->cache_control && vary.n;
	if (!is_storable(r, conf, &d, head.ttl_s) ||
	    (head.has_vary && !vary_digest(r, vary, head.vary)))
		return pass(r, "Bypass");
	st->zone = conf->zone;
	if (!room_for(r, st->zone, &room)) {
		give_up(st);
		return pass(r, "Bypass");
	}
	st->parcel = stored_new(st->key, &head, &fields, room);
	st->ends_ms = end_of(conf, head.ttl_s);
	arena_on_end(req_arena(r), drop_pending, st);
	if (req_in(r)->method == HTTP_HEAD) /* it has no body to wait for */
		store(st);
	return NEXT;
}

static enum verdict on_body_filter(struct req *r, const void *conf)
{
	struct state *st = req_ctx(r, struct state, &plugin_proxy_cache);
	bool is_last;
	str piece;

	(void)conf;
	if (!st->parcel)
		return NEXT;
	piece = reply_piece(r, &is_last);
	if (!expect(st, parcel_bytes(st->parcel).n + piece.n)) {
		give_up(st);
		return NEXT;
	}
	parcel_add(&st->parcel, piece);
	if (is_last)
		store(st);
	return NEXT;
}

const struct plugin plugin_proxy_cache = {
	.name = "proxy-cache",
	.help = "Keeps answers in memory, and answers with them.",
	.priority = 100,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.checks = checks,
	.protocols = PROTOCOLS_ALL,
	.pages = proxy_cache_pages,
	.channels = proxy_cache_channels,
	.prepare = prepare,
	.stop = zones_drop,
	.on = { [PHASE_ACCESS] = on_access,
		[PHASE_HEADER_FILTER] = on_header_filter,
		[PHASE_BODY_FILTER] = on_body_filter },
};
