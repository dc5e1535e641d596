/* SPDX-License-Identifier: Apache-2.0 */
/* The index over ranked rules, and the walk through it.
 *
 * Rules enter in the order of rank, so buckets need no sorting.  A search visits the
 * sites of the request's host, in each the buckets along its path, and keeps the
 * lowest rank that fits. */
#include "route/route.h"

#include "base/uri.h"
#include "base/vec.h"
#include "route/priv.h"

#define HOST_BYTES 256 /* a longer Host is compared all the same, from the arena */

/* A rule with more hosts times paths than this is entered by its hosts alone. */
#define ENTRIES_MAX 4096

#define SPANS_LOCAL 16 /* groups of most expressions, the whole included */

/* ---- building -------------------------------------------------------------------- */

static str backwards(char *out, str s)
{
	for (size_t i = 0; i < s.n; i++)
		out[i] = s.s[s.n - 1 - i];
	return str_at(out, s.n);
}

static struct site *site_of(struct router *r, const struct host_rule *h)
{
	void **place;

	switch (h->shape) {
	case HOST_SUFFIX:
		place = tree_put(r->a, &r->suffixes,
				 backwards(arena_bytes(r->a, h->name.n), h->name));
		break;
	case HOST_PREFIX:
		place = tree_put(r->a, &r->prefixes, h->name);
		break;
	default:
		place = map_put(r->a, &r->exact, h->name);
		break;
	}
	if (!*place) {
		struct site *site = NEW(r->a, struct site);

		*place = site;
		*vec_add(r->a, &r->buckets) = &site->pathless;
	}
	return *place;
}

static struct bucket *bucket_of(struct router *r, struct site *site, str prefix)
{
	void **place = tree_put(r->a, &site->paths, prefix);

	if (!*place) {
		*place = NEW(r->a, struct bucket);
		*vec_add(r->a, &r->buckets) = *place;
	}
	return *place;
}

static void enter(struct router *r, struct site *site, const struct rule *rule, int32_t port)
{
	struct item item = { .rule = rule, .port = port };

	if (rule->paths_n == 0 ||
	    rule->paths_n * (rule->hosts_n ? rule->hosts_n : 1) > ENTRIES_MAX) {
		item.checks_paths = rule->paths_n != 0;
		*vec_add(r->a, &site->pathless) = item;
		return;
	}
	for (size_t i = 0; i < rule->paths_n; i++) {
		item.regex = rule->paths[i].regex;
		*vec_add(r->a, bucket_of(r, site, rule->paths[i].prefix)) = item;
	}
}

static void note_variant(struct router *r, struct site *site, const struct host_rule *h,
			 uint64_t order)
{
	struct host_variant *v;

	vec_for_each (&site->variants, struct host_variant, known) {
		if (str_eq(known->text, h->text)) {
			if (order < known->order)
				known->order = order;
			return;
		}
	}
	v = vec_add(r->a, &site->variants);
	v->text = h->text;
	v->port = h->port;
	v->order = order;
}

static void enter_everywhere(struct router *r, const struct rule *rule)
{
	if (rule->hosts_n == 0)
		enter(r, &r->any, rule, PORT_ANY);
	for (size_t i = 0; i < rule->hosts_n; i++) {
		const struct host_rule *h = &rule->hosts[i];
		struct site *site = site_of(r, h);

		if (r->flavor == ROUTER_TRADITIONAL)
			note_variant(r, site, h, (uint64_t)rule->order << 32 | i);
		enter(r, site, rule, h->port);
	}
}

struct err *router_new(struct arena *a, enum router_flavor flavor,
		       const struct route *const *routes, size_t n, struct router **ret)
{
	struct router *r = NEW(a, struct router);
	struct rule_list rules;

	r->a = a;
	r->flavor = flavor;
	PASS(rules_of(a, flavor, routes, n, &rules));
	rules_rank(flavor, rules.v, rules.n);
	for (size_t i = 0; i < rules.n; i++)
		enter_everywhere(r, rules.v[i]);
	*vec_add(a, &r->buckets) = &r->any.pathless;
	vec_for_each (&r->buckets, struct bucket *, bucket)
		bucket_refine(a, *bucket);
	if (flavor == ROUTER_TRADITIONAL)
		r->categories = categories_new(a, rules.v, rules.n);
	PASS(streams_new(a, routes, n, &r->streams));
	*ret = r;
	return NULL;
}

/* ---- finding --------------------------------------------------------------------- */

static void visit_site(struct search *s, const struct site *site)
{
	struct tree_walk w = tree_walk(&site->paths, s->q->path);
	const struct bucket *bucket;

	bucket_visit(s, &site->pathless);
	while ((bucket = tree_walk_next(&w)))
		bucket_visit(s, bucket);
}

void search_sites(struct search *s, void (*fn)(struct search *s, const struct site *site))
{
	const struct router *r = s->r;
	const struct site *site;
	struct tree_walk w;

	if (s->host.n == 0)
		return;
	site = map_find(&r->exact, s->host);
	if (site)
		fn(s, site);
	/* a '*' stands for one character at least */
	w = tree_walk(&r->suffixes, str_part(s->host_back, 0, s->host.n - 1));
	while ((site = tree_walk_next(&w)))
		fn(s, site);
	w = tree_walk(&r->prefixes, str_part(s->host, 0, s->host.n - 1));
	while ((site = tree_walk_next(&w)))
		fn(s, site);
}

const struct rule *search_run(struct search *s)
{
	s->best = NULL;
	search_sites(s, visit_site);
	visit_site(s, &s->r->any);
	return s->best;
}

/* Fills in the host as it is compared; buf has room for it twice. */
static void prepare_host(struct search *s, char *buf)
{
	str host = s->q->host;
	uint16_t port;

	for (size_t i = 0; i < host.n; i++)
		buf[i] = ascii_lower(host.s[i]);
	s->host_text = s->host = str_at(buf, host.n);
	s->port = PORT_ANY;
	if (uri_split_host(s->host_text, &s->host, &port) && port)
		s->port = port;
	else if (s->r->flavor == ROUTER_TRADITIONAL)
		s->port = s->q->is_tls ? 443 : 80;
	if (s->r->suffixes.root)
		s->host_back = backwards(buf + host.n, s->host);
}

static void tell_captures(const struct regex *re, const struct regex_span *spans, size_t n,
			  str path, struct arena *a, struct route_match *m)
{
	struct route_capture *captures = NEWS(a, struct route_capture, n);

	for (size_t i = 0; i < n; i++) {
		captures[i].name = regex_group_name(re, i);
		captures[i].value = regex_part(path, spans[i]);
	}
	m->captures = captures;
	m->captures_n = n;
}

/* Whether the path fits, and if so what it took. */
static bool tell_path(const struct path_rule *p, str path, struct arena *a, struct route_match *m)
{
	struct regex_span local[SPANS_LOCAL], *spans = local;
	size_t n;

	if (!str_starts(path, p->prefix))
		return false;
	m->prefix = p->prefix.n;
	if (p->regex) {
		n = regex_groups(p->regex) + 1;
		if (n > SPANS_LOCAL)
			spans = NEWS(a, struct regex_span, n);
		if (!regex_match(p->regex, path, spans, n))
			return false;
		m->prefix = spans[0].to;
		if (n > 1)
			tell_captures(p->regex, spans, n, path, a, m);
	}
	m->has_path = true;
	m->path = p->text;
	return true;
}

/* What the winner's expression says about the path. */
static void tell_by_expression(const struct expression *e, struct search *s, struct route_match *m)
{
	struct path_hit hit = { 0 };
	struct regex_span *spans;
	size_t n;

	if (!expression_fits(e, s, &hit) || !hit.text.s)
		return;
	m->has_path = true;
	m->path = hit.text;
	m->prefix = hit.prefix;
	n = hit.regex ? regex_groups(hit.regex) + 1 : 1;
	if (n == 1)
		return;
	spans = NEWS(s->a, struct regex_span, n);
	if (regex_match(hit.regex, hit.lower ? str_lower(s->a, s->q->path) : s->q->path, spans, n))
		tell_captures(hit.regex, spans, n, s->q->path, s->a, m);
}

bool router_find(const struct router *r, const struct route_query *q, struct arena *a,
		 struct route_match *ret)
{
	char local[2 * HOST_BYTES];
	struct search s = { .r = r, .q = q, .a = a, .to = UINT32_MAX };
	const struct rule *best;

	prepare_host(&s, q->host.n <= HOST_BYTES ? local : arena_bytes(a, 2 * q->host.n));
	s.sni = host_lower(a, q->sni);
	if (s.sni.n > 1 && s.sni.s[s.sni.n - 1] == '.')
		s.sni.n--;
	best = r->categories ? categories_find(r->categories, &s) : search_run(&s);
	if (!best)
		return false;
	*ret = (struct route_match){ .route = best->route, .flavor = r->flavor };
	if (best->expression) {
		tell_by_expression(best->expression, &s, ret);
		return true;
	}
	/* of its paths the first expression that matches counts, else the longest plain one */
	for (size_t i = 0; i < best->paths_n; i++) {
		if (tell_path(&best->paths[i], q->path, a, ret))
			break;
	}
	return true;
}

const struct route *router_find_stream(const struct router *r, const struct route_stream_query *q)
{
	return streams_find(r->streams, q);
}
