/* SPDX-License-Identifier: Apache-2.0 */
/* What requests and answers say: keys, and the directives of Cache-Control. */
#include <stdlib.h>

#include "plugins/proxy-cache/cache.h"

/* ---- keys ----------------------------------------------------------------------------------- */

static int by_bytes(const void *x, const void *y)
{
	const str *a = x, *b = y;
	size_t n = a->n < b->n ? a->n : b->n;
	int c = n ? memcmp(a->s, b->s, n) : 0;

	return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

static void sort(strs list)
{
	if (list.n > 1)
		qsort(list.v, list.n, sizeof(*list.v), by_bytes);
}

strs values_of(struct arena *a, const struct http_headers *h, str name)
{
	strs ret = { NEWS(a, str, h->n), 0 };

	for (unsigned i = 0; i < h->n; i++) {
		if (str_eq_ci(h->v[i].name, name))
			ret.v[ret.n++] = h->v[i].value;
	}
	return ret;
}

/* "name=a,b", its values sorted; the name alone when it has none. */
static void add_part(struct buf *out, str name, strs values, bool is_bare)
{
	if (out->n)
		buf_add_char(out, ':');
	buf_add_str(out, name);
	if (is_bare)
		return;
	sort(values);
	for (size_t i = 0; i < values.n; i++) {
		buf_add_char(out, i ? ',' : '=');
		buf_add_str(out, values.v[i]);
	}
}

/* The arguments of one name, from the i-th on of those sorted by name. */
static void add_args(struct arena *a, struct buf *out, const struct uri_args *args, size_t from,
		     size_t to)
{
	strs values = { NEWS(a, str, to - from), to - from };

	for (size_t i = from; i < to; i++)
		values.v[i - from] = args->v[i].value.s ? args->v[i].value : STR("true");
	add_part(out, args->v[from].key, values, to - from == 1 && !args->v[from].value.s);
}

static int by_key(const void *x, const void *y)
{
	return by_bytes(&((const struct uri_arg *)x)->key, &((const struct uri_arg *)y)->key);
}

static size_t end_of(const struct uri_args *args, size_t from)
{
	size_t to = from + 1;

	while (to < args->n && str_eq(args->v[to].key, args->v[from].key))
		to++;
	return to;
}

/* All, or those that are named, in that order. */
static void add_query(struct req *r, struct buf *out, strs names)
{
	struct arena *a = req_arena(r);
	struct uri_args args = uri_args(a, req_query(r), 0);

	if (args.n > 1)
		qsort(args.v, args.n, sizeof(*args.v), by_key);
	for (size_t i = 0; !names.n && i < args.n; i = end_of(&args, i))
		add_args(a, out, &args, i, end_of(&args, i));
	for (size_t k = 0; k < names.n; k++) {
		for (size_t i = 0; i < args.n; i = end_of(&args, i)) {
			if (str_eq(args.v[i].key, names.v[k]))
				add_args(a, out, &args, i, end_of(&args, i));
		}
	}
}

static void add_headers(struct req *r, struct buf *out, strs names)
{
	for (size_t i = 0; i < names.n; i++) {
		strs values = values_of(req_arena(r), req_headers(r), names.v[i]);

		if (values.n)
			add_part(out, names.v[i], values, false);
	}
}

/* "GET /path HTTP/1.1"; with a query, whatever is in front of that. */
static str request_line(struct req *r)
{
	const struct http_request *in = req_in(r);
	ptrdiff_t query = str_find(in->target, '?', 0);

	if (query >= 0)
		return str_fmt(req_arena(r), STRF " " STRF, STRV(in->method_name),
			       STRV(str_part(in->target, 0, (size_t)query)));
	return str_fmt(req_arena(r), STRF " " STRF " " STRF, STRV(in->method_name),
		       STRV(in->target), STRV(http_version(in)));
}

static void add_prefix(struct req *r, struct buf *out)
{
	const struct consumer *c = req_consumer(r);
	const struct route *route = req_route(r);

	if (c && route)
		buf_addf(out, STRF ":", STRV(uuid_str(req_arena(r), c->id)));
	buf_add_str(out, route ? uuid_str(req_arena(r), route->id) : STR("default"));
}

str cache_key(struct req *r, strs vary_query_params, strs vary_headers)
{
	struct buf out CLEANUP(buf_done), part CLEANUP(buf_done);
	str line = request_line(r);
	uint8_t digest[32];

	buf_init(&out, 0);
	buf_init(&part, 0);
	add_prefix(r, &out);
	buf_addf(&out, "|" STRF "|" STRF "|", STRV(req_method(r)), STRV(line));
	add_query(r, &part, vary_query_params);
	buf_add_str(&out, buf_str(&part));
	buf_add_char(&out, '|');
	buf_clear(&part);
	add_headers(r, &part, vary_headers);
	buf_add_str(&out, buf_str(&part));
	digest_sha256(buf_str(&out), digest);
	return hex_encode(req_arena(r), str_at((const char *)digest, sizeof(digest)));
}

bool vary_digest(struct req *r, strs vary, uint8_t ret[32])
{
	struct buf out CLEANUP(buf_done);

	buf_init(&out, 0);
	for (size_t i = 0; i < vary.n; i++) {
		str rest = vary.v[i], name;

		while (http_list_next(&rest, &name)) {
			strs values = values_of(req_arena(r), req_headers(r), name);

			if (str_is(name, "*"))
				return false;
			for (size_t k = 0; k < values.n; k++)
				buf_addf(&out, "%zu:" STRF, values.v[k].n, STRV(values.v[k]));
			buf_add_char(&out, ';');
		}
	}
	digest_sha256(buf_str(&out), ret);
	return true;
}

/* ---- directives -------------------------------------------------------------------------------- */

/* Seconds; what is no number is as old as can be, so that nobody gets what is stale for it. */
static int64_t seconds(str value)
{
	int64_t s;

	if (value.n > 1 && value.s[0] == '"')
		value = str_part(value, 1, value.n - 1);
	return str_to_int(str_trim(value), &s) && s >= 0 ? s : 0;
}

static void read_directive(struct directives *d, str directive)
{
	ptrdiff_t equals = str_find(directive, '=', 0);
	str name = equals < 0 ? directive : str_trim(str_part(directive, 0, (size_t)equals));
	str value = equals < 0 ? STR_NONE : str_from(directive, (size_t)equals + 1);

	if (str_is_ci(name, "no-store"))
		d->no_store = true;
	else if (str_is_ci(name, "no-cache"))
		d->no_cache = true;
	else if (str_is_ci(name, "private"))
		d->is_private = true;
	else if (str_is_ci(name, "only-if-cached"))
		d->only_if_cached = true;
	else if (str_is_ci(name, "max-age"))
		d->max_age = seconds(value);
	else if (str_is_ci(name, "s-maxage"))
		d->s_maxage = seconds(value);
	else if (str_is_ci(name, "min-fresh"))
		d->min_fresh = seconds(value);
	else if (str_is_ci(name, "max-stale"))
		d->max_stale = value.s ? seconds(value) : INT64_MAX;
}

struct directives directives_of(const struct http_headers *h)
{
	struct directives d = {
		.max_age = NO_AGE, .s_maxage = NO_AGE, .min_fresh = NO_AGE, .max_stale = NO_AGE
	};

	for (unsigned i = 0; i < h->n; i++) {
		str rest = h->v[i].value, directive;

		if (!str_is_ci(h->v[i].name, "Cache-Control"))
			continue;
		while (http_list_next(&rest, &directive))
			read_directive(&d, directive);
	}
	return d;
}

int64_t lifetime_of(struct arena *a, const struct http_headers *h, const struct directives *d,
		    int64_t now_s)
{
	strs expires;
	int64_t at_s;

	if (d->s_maxage != NO_AGE)
		return d->s_maxage;
	if (d->max_age != NO_AGE)
		return d->max_age;
	expires = values_of(a, h, STR("Expires"));
	if (!expires.n || !http_date_parse(expires.v[expires.n - 1], &at_s) || at_s < now_s)
		return 0;
	return at_s - now_s;
}
