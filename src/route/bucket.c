/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that share a host and a path.
 *
 * They are asked in the order of rank until one fits or none can be better than what is
 * found.  Where many share one place they differ by headers or by SNI, and so a large
 * bucket has an index over these: a rule stands under each value of its first header
 * without expressions, else under its names, else among the rest. */
#include "route/priv.h"

#include "base/vec.h"

#define FINER_FROM 16 /* rules that make an index worth while */

struct finer {
	struct bucket rest;
	struct map by_header;   /* "name:value" in lower case -> struct bucket */
	struct map known_names; /* of those headers */
	struct map by_sni;      /* -> struct bucket */
	struct bucket with_sni; /* all of them, for requests in clear */
};

static bool is_among(const strs *list, str s)
{
	for (size_t i = 0; i < list->n; i++) {
		if (str_eq(list->v[i], s))
			return true;
	}
	return false;
}

static bool paths_fit(const struct rule *rule, str path)
{
	for (size_t i = 0; i < rule->paths_n; i++) {
		if (path_fits(&rule->paths[i], path))
			return true;
	}
	return false;
}

/* What the index has not decided; the dear questions last. */
static bool item_fits(struct search *s, const struct item *item)
{
	const struct rule *rule = item->rule;

	if (rule->expression)
		return expression_fits(rule->expression, s, &(struct path_hit){ 0 });
	if (item->port != PORT_ANY && item->port != s->port)
		return false;
	if (rule->methods.n && !is_among(&rule->methods, s->q->method))
		return false;
	/* a name is only to be had over TLS; in clear the criterion does not count */
	if (rule->snis.n && s->q->is_tls && !is_among(&rule->snis, s->sni))
		return false;
	if (s->only && !set_has(s->only, rule))
		return false;
	for (size_t i = 0; i < rule->headers_n; i++) {
		if (!header_rule_fits(&rule->headers[i], s->q->headers))
			return false;
	}
	if (item->checks_paths && !paths_fit(rule, s->q->path))
		return false;
	return !item->regex || regex_match(item->regex, s->q->path, NULL, 0);
}

static void visit_items(struct search *s, const struct bucket *bucket)
{
	for (size_t i = 0; i < bucket->n; i++) {
		const struct item *item = &bucket->v[i];

		if (item->rule->rank < s->from)
			continue;
		if (item->rule->rank >= s->to)
			return;
		if (item_fits(s, item)) {
			s->best = item->rule;
			s->to = item->rule->rank;
			return;
		}
	}
}

static void add_under(struct arena *a, struct map *m, str key, const struct item *item)
{
	void **place = map_put(a, m, key);

	if (!*place)
		*place = NEW(a, struct bucket);
	*vec_add(a, (struct bucket *)*place) = *item;
}

static const struct header_rule *header_to_index(const struct rule *rule)
{
	for (size_t i = 0; i < rule->headers_n; i++) {
		if (rule->headers[i].patterns_n == 0)
			return &rule->headers[i];
	}
	return NULL;
}

static str header_key(struct arena *a, str name, str value)
{
	char *p = arena_bytes(a, name.n + 1 + value.n);

	for (size_t i = 0; i < name.n; i++)
		p[i] = ascii_lower(name.s[i]);
	p[name.n] = ':';
	for (size_t i = 0; i < value.n; i++)
		p[name.n + 1 + i] = ascii_lower(value.s[i]);
	return str_at(p, name.n + 1 + value.n);
}

void bucket_refine(struct arena *a, struct bucket *b)
{
	struct finer *f;

	if (b->n < FINER_FROM)
		return;
	f = NEW(a, struct finer);
	vec_for_each (b, struct item, item) {
		const struct header_rule *h = header_to_index(item->rule);
		const strs *snis = &item->rule->snis;

		for (size_t i = 0; h && i < h->values.n; i++)
			add_under(a, &f->by_header, header_key(a, h->name, h->values.v[i]), item);
		for (size_t i = 0; !h && i < snis->n; i++)
			add_under(a, &f->by_sni, snis->v[i], item);
		if (h)
			*map_put(a, &f->known_names, h->name) = f;
		else
			*vec_add(a, snis->n ? &f->with_sni : &f->rest) = *item;
	}
	b->finer = f;
}

static void visit_by_header(struct search *s, const struct finer *f)
{
	const struct http_headers *headers = s->q->headers;

	for (unsigned i = 0; headers && i < headers->n; i++) {
		const struct http_header *h = &headers->v[i];
		const struct bucket *b;

		if (!map_find(&f->known_names, host_lower(s->a, h->name)))
			continue;
		b = map_find(&f->by_header, header_key(s->a, h->name, h->value));
		if (b)
			visit_items(s, b);
	}
}

void bucket_visit(struct search *s, const struct bucket *b)
{
	const struct bucket *named;

	if (b->n == 0 || b->v[0].rule->rank >= s->to)
		return;
	if (!b->finer) {
		visit_items(s, b);
		return;
	}
	visit_items(s, &b->finer->rest);
	if (b->finer->known_names.n)
		visit_by_header(s, b->finer);
	if (!s->q->is_tls) {
		visit_items(s, &b->finer->with_sni);
	} else if (s->sni.n) {
		named = map_find(&b->finer->by_sni, s->sni);
		if (named)
			visit_items(s, named);
	}
}
