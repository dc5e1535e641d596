/* SPDX-License-Identifier: Apache-2.0 */
/* What `traditional` has beyond a ranking.
 *
 * Rules fall into categories by their kinds of criteria, and a category is searched in
 * two rounds: first among the rules that have one particular host, path, header or
 * method in common with the request (the smallest such set), then among all.  So a rule of
 * the set wins over a better ranked one outside of it; configurations depend on
 * that, and it is kept.
 *
 * Kept as well: a plain-text request starts at the category of what it brings along.
 * Criteria on SNI count as met then, but rules that have them stand in a greater
 * category, which is passed over. */
#include "route/priv.h"

#include "base/vec.h"

struct category {
	uint8_t kinds;
	uint32_t from, to; /* ranks */
	struct map sizes;  /* kind and text -> how many rules have it */
};

/* Paths of all rules that begin with the same text. */
struct path_entry {
	const struct path_rule *path;
	uint32_t order;
};

struct path_bucket {
	struct path_entry *v; /* expressions, in order */
	size_t n, cap;
	str plain; /* STR_NONE: nothing but expressions */
};

struct categories {
	struct category *v;
	size_t n;
	struct tree paths; /* struct path_bucket */
	struct map methods, snis;
	struct map known_headers;
	struct {
		str *v;
		size_t n, cap;
	} headers; /* names, in order */
	bool has_snis;
};

/* The rules that have something in common with the request. */
struct set {
	uint8_t kind;
	str text;
};

/* ---- building -------------------------------------------------------------------- */

static str size_key(char kind, str text, char *local, size_t cap, struct arena *a)
{
	char *p = text.n + 1 <= cap ? local : arena_bytes(a, text.n + 1);

	p[0] = kind;
	if (text.n)
		memcpy(p + 1, text.s, text.n);
	return str_at(p, text.n + 1);
}

static void count(struct arena *a, struct category *c, char kind, str text)
{
	void **size = map_put(a, &c->sizes, size_key(kind, text, NULL, 0, a));

	*size = (void *)((uintptr_t)*size + 1);
}

static void count_rule(struct arena *a, struct category *c, const struct rule *rule)
{
	for (size_t i = 0; i < rule->hosts_n; i++)
		count(a, c, KIND_HOST, rule->hosts[i].text);
	for (size_t i = 0; i < rule->paths_n; i++)
		count(a, c, KIND_PATH, rule->paths[i].text);
	for (size_t i = 0; i < rule->headers_n; i++)
		count(a, c, KIND_HEADER, rule->headers[i].name);
	for (size_t i = 0; i < rule->methods.n; i++)
		count(a, c, KIND_METHOD, rule->methods.v[i]);
	for (size_t i = 0; i < rule->snis.n; i++)
		count(a, c, KIND_SNI, rule->snis.v[i]);
}

/* What any rule has, whatever its category; rules come in order here. */
static void note_rule(struct arena *a, struct categories *c, struct rule *rule)
{
	for (size_t i = 0; i < rule->paths_n; i++) {
		const struct path_rule *path = &rule->paths[i];
		void **place = tree_put(a, &c->paths, path->prefix);
		struct path_bucket *bucket;

		if (!*place)
			*place = NEW(a, struct path_bucket);
		bucket = *place;
		if (path->regex)
			*vec_add(a, bucket) = (struct path_entry){ path, rule->order };
		else
			bucket->plain = path->text;
	}
	for (size_t i = 0; i < rule->headers_n; i++) {
		void **known = map_put(a, &c->known_headers, rule->headers[i].name);

		if (!*known)
			*vec_add(a, &c->headers) = rule->headers[i].name;
		*known = rule;
	}
	for (size_t i = 0; i < rule->methods.n; i++)
		*map_put(a, &c->methods, rule->methods.v[i]) = rule;
	for (size_t i = 0; i < rule->snis.n; i++) {
		*map_put(a, &c->snis, rule->snis.v[i]) = rule;
		c->has_snis = true;
	}
}

struct categories *categories_new(struct arena *a, struct rule *const *rules, size_t n)
{
	struct categories *c = NEW(a, struct categories);
	struct rule **in_order = NEWS(a, struct rule *, n);

	c->v = NEWS(a, struct category, 128); /* as many as there are sets of kinds */
	for (size_t i = 0; i < n; i++) {
		struct rule *rule = rules[i];

		if (c->n == 0 || c->v[c->n - 1].kinds != rule->kinds) {
			c->v[c->n].kinds = rule->kinds;
			c->v[c->n++].from = rule->rank;
		}
		c->v[c->n - 1].to = rule->rank + 1;
		count_rule(a, &c->v[c->n - 1], rule);
		in_order[rule->order] = rule;
	}
	for (size_t i = 0; i < n; i++)
		note_rule(a, c, in_order[i]);
	return c;
}

/* ---- what the request has in common with any rule --------------------------------- */

/* The first expression of all rules that matches the path, else the longest plain path. */
static str common_path(const struct categories *c, str path)
{
	struct tree_walk w = tree_walk(&c->paths, path);
	const struct path_bucket *bucket;
	uint32_t order = UINT32_MAX;
	str regex = STR_NONE, plain = STR_NONE;

	while ((bucket = tree_walk_next(&w))) {
		if (bucket->plain.s)
			plain = bucket->plain;
		for (size_t i = 0; i < bucket->n && bucket->v[i].order < order; i++) {
			if (regex_match(bucket->v[i].path->regex, path, NULL, 0)) {
				order = bucket->v[i].order;
				regex = bucket->v[i].path->text;
			}
		}
	}
	return regex.s ? regex : plain;
}

/* The first name of all rules that the request has a header of. */
static str common_header(const struct categories *c, const struct http_headers *headers)
{
	if (!headers)
		return STR_NONE;
	for (size_t i = 0; i < c->headers.n; i++) {
		for (unsigned k = 0; k < headers->n; k++) {
			if (str_eq_ci(headers->v[k].name, c->headers.v[i]))
				return c->headers.v[i];
		}
	}
	return STR_NONE;
}

/* The host's part of it: the Host header itself when a rule has it or its name as a
 * plain host, else the first wildcard that fits. */
struct common_host {
	struct search s; /* first, for the way back from the callback */
	bool has_plain;
	str wildcard;
	uint64_t order;
};

static void note_host(struct search *s, const struct site *site)
{
	struct common_host *common = (struct common_host *)s;
	bool is_exact = site == map_find(&s->r->exact, s->host);

	vec_for_each (&site->variants, struct host_variant, v) {
		if (v->port != PORT_ANY && v->port != s->port)
			continue;
		if (is_exact) {
			common->has_plain = true;
		} else if (v->order < common->order) {
			common->order = v->order;
			common->wildcard = v->text;
		}
	}
}

/* STR_NONE when no rule's host fits. */
static str common_host(const struct search *s)
{
	struct common_host common = { .s = *s, .order = UINT64_MAX };

	search_sites(&common.s, note_host);
	return common.has_plain ? s->host_text : common.wildcard;
}

/* ---- the search ------------------------------------------------------------------ */

/* Where a plain-text request starts; n when it has nothing in common with any rule. */
static size_t start_of(const struct categories *c, const struct search *s)
{
	uint8_t kinds = 0;

	kinds |= common_host(s).s ? KIND_HOST : 0;
	kinds |= common_header(c, s->q->headers).s ? KIND_HEADER : 0;
	kinds |= common_path(c, s->q->path).s ? KIND_PATH : 0;
	kinds |= map_find(&c->methods, s->q->method) ? KIND_METHOD : 0;
	kinds |= s->sni.n && map_find(&c->snis, s->sni) ? KIND_SNI : 0;
	if (kinds == 0)
		return c->n;
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].kinds == kinds)
			return i;
	}
	return 0;
}

static size_t size_of(const struct category *c, uint8_t kind, str text)
{
	CLEANUP(arena_drop) struct arena *a = NULL;
	char local[512];

	if (!text.s)
		return 0;
	if (text.n >= sizeof(local))
		a = arena_new();
	return (size_t)(uintptr_t)map_find(&c->sizes,
					   size_key((char)kind, text, local, sizeof(local), a));
}

static void consider(const struct category *c, uint8_t kind, str text, size_t *least,
		     struct set *ret)
{
	size_t size = c->kinds & kind ? size_of(c, kind, text) : 0;

	if (size && size < *least) {
		*least = size;
		*ret = (struct set){ kind, text };
	}
}

/* The set to look through first; false when there is none.  A header's set counts whatever
 * its size. */
static bool set_of(const struct categories *all, const struct category *c, const struct search *s,
		   struct set *ret)
{
	size_t least = SIZE_MAX;

	if (c->kinds & KIND_HEADER) {
		consider(c, KIND_HEADER, common_header(all, s->q->headers), &least, ret);
		if (least != SIZE_MAX)
			return true;
	}
	if (c->kinds & KIND_HOST) {
		str host = common_host(s);

		consider(c, KIND_HOST, host.s ? host : s->host_text, &least, ret);
	}
	if (c->kinds & KIND_PATH)
		consider(c, KIND_PATH, common_path(all, s->q->path), &least, ret);
	consider(c, KIND_METHOD, s->q->method, &least, ret);
	consider(c, KIND_SNI, s->sni, &least, ret);
	return least != SIZE_MAX;
}

bool set_has(const struct set *set, const struct rule *rule)
{
	const strs *list = set->kind == KIND_METHOD ? &rule->methods : &rule->snis;

	switch (set->kind) {
	case KIND_HOST:
		for (size_t i = 0; i < rule->hosts_n; i++) {
			if (str_eq(rule->hosts[i].text, set->text))
				return true;
		}
		return false;
	case KIND_PATH:
		return rule->paths_n && str_eq(rule->paths[0].text, set->text);
	case KIND_HEADER:
		for (size_t i = 0; i < rule->headers_n; i++) {
			if (str_eq(rule->headers[i].name, set->text))
				return true;
		}
		return false;
	default:
		for (size_t i = 0; i < list->n; i++) {
			if (str_eq(list->v[i], set->text))
				return true;
		}
		return false;
	}
}

const struct rule *categories_find(const struct categories *c, struct search *s)
{
	const struct rule *best, *preferred;
	const struct category *category;
	struct set set;

	if (c->has_snis && !s->q->is_tls) {
		size_t start = start_of(c, s);

		if (start == c->n)
			return NULL;
		s->from = c->v[start].from;
	}
	best = search_run(s);
	if (!best)
		return NULL;
	for (category = c->v; best->rank >= category->to;)
		category++;
	if (best->rank + 1 == category->to || !set_of(c, category, s, &set) || set_has(&set, best))
		return best;
	s->from = best->rank + 1;
	s->to = category->to;
	s->only = &set;
	preferred = search_run(s);
	return preferred ? preferred : best;
}
