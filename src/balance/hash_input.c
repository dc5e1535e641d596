/* SPDX-License-Identifier: Apache-2.0 */
/* What consistent-hashing hashes: hash_on, else hash_fallback, else nothing,
 * which is hashed too and leads to one target. */
#include "balance/priv.h"
#include "base/uri.h"
#include "http/http.h"

#define ARGS_MAX 100 /* of a query, that are looked at */

/* Where the two rounds find their names. */
struct hash_source {
	str on, header, query_arg, uri_capture;
};

static bool from_header(struct arena *a, const struct http_request *r, str name, str *ret)
{
	bool is_there = false;

	for (unsigned i = 0; r && i < r->headers.n; i++) {
		const struct http_header *h = &r->headers.v[i];

		if (!str_eq_ci(h->name, name))
			continue;
		*ret = is_there ? str_cat(a, *ret, h->value) : h->value;
		is_there = true;
	}
	return is_there;
}

/* The first cookie of that name. */
static bool from_cookie(const struct http_request *r, str name, str *ret)
{
	for (unsigned i = 0; r && i < r->headers.n; i++) {
		str rest = r->headers.v[i].value, pair;

		if (!str_is_ci(r->headers.v[i].name, "Cookie"))
			continue;
		while (str_next(&rest, ';', &pair)) {
			pair = str_trim(pair);
			if (pair.n > name.n && pair.s[name.n] == '=' && str_starts(pair, name)) {
				*ret = str_from(pair, name.n + 1);
				return true;
			}
		}
	}
	return false;
}

static int by_bytes(const void *x, const void *y)
{
	return str_cmp(*(const str *)x, *(const str *)y);
}

/* All values of the argument, sorted, with commas; "true" for one without "=". */
static bool from_query(struct arena *a, const struct http_request *r, str name, str *ret)
{
	struct uri_args args = uri_args(a, r ? r->query : STR_NONE, ARGS_MAX);
	str *found = NEWS(a, str, args.n);
	size_t n = 0;

	for (size_t i = 0; i < args.n; i++)
		if (str_eq(args.v[i].key, name))
			found[n++] = args.v[i].value.s ? args.v[i].value : STR("true");
	if (n == 0)
		return false;
	qsort(found, n, sizeof(*found), by_bytes);
	*ret = str_join(a, (strs){ found, n }, STR(","));
	return true;
}

static bool from_capture(const struct balance_input *in, str group, str *ret)
{
	const struct value *v = value_get_str(in->uri_captures, group);

	if (!v || v->kind != VALUE_STRING)
		return false;
	*ret = v->s;
	return true;
}

static bool from_text(str text, str *ret)
{
	*ret = text;
	return text.n > 0;
}

/* The cookie, or a new one that the response will bring. */
static bool from_cookie_or_new(struct arena *a, const struct upstream *u,
			       const struct balance_input *in, str *ret, str *ret_set_cookie)
{
	str path = u->hash_on_cookie_path.n ? u->hash_on_cookie_path : STR("/");

	if (from_cookie(in->request, u->hash_on_cookie, ret))
		return true;
	*ret = uuid_str(a, uuid_random());
	*ret_set_cookie = str_fmt(a, STRF "=" STRF "; Path=" STRF "; Same-Site=Lax; HttpOnly",
				  STRV(u->hash_on_cookie), STRV(*ret), STRV(path));
	return true;
}

static bool find(struct arena *a, const struct upstream *u, const struct hash_source *source,
		 const struct balance_input *in, str *ret, str *ret_set_cookie)
{
	if (str_is(source->on, "consumer"))
		return from_text(in->consumer_id.n ? in->consumer_id : in->credential_id, ret);
	if (str_is(source->on, "ip"))
		return from_text(in->client_ip, ret);
	if (str_is(source->on, "path"))
		return from_text(in->path, ret);
	if (str_is(source->on, "header"))
		return from_header(a, in->request, source->header, ret);
	if (str_is(source->on, "cookie"))
		return from_cookie_or_new(a, u, in, ret, ret_set_cookie);
	if (str_is(source->on, "query_arg"))
		return from_query(a, in->request, source->query_arg, ret);
	if (str_is(source->on, "uri_capture"))
		return from_capture(in, source->uri_capture, ret);
	return false; /* none */
}

str hash_input(struct arena *a, const struct upstream *u, const struct balance_input *in,
	       str *ret_set_cookie)
{
	struct hash_source sources[] = {
		{ .on = u->hash_on,
		  .header = u->hash_on_header,
		  .query_arg = u->hash_on_query_arg,
		  .uri_capture = u->hash_on_uri_capture },
		{ .on = u->hash_fallback,
		  .header = u->hash_fallback_header,
		  .query_arg = u->hash_fallback_query_arg,
		  .uri_capture = u->hash_fallback_uri_capture },
	};
	str text = STR("");

	for (unsigned i = 0; in && i < COUNT(sources); i++)
		if (find(a, u, &sources[i], in, &text, ret_set_cookie))
			return text;
	return STR("");
}
