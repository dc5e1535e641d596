/* SPDX-License-Identifier: Apache-2.0 */
/* The router against a naive one: no index, no trees, every rule asked in turn, written
 * from the description of the orders.  Random routes and requests over small
 * vocabularies, so that they collide; a fixed seed, then one of the clock's, printed. */
#include "route/route.h"

#include "base/clock.h"
#include "base/regex.h"
#include "base/vec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define MAX_RULES 128

/* ---- the naive router --------------------------------------------------------------- */

struct naive {
	const struct route *route;
	str path; /* traditional: the one; unset: none */
	size_t path_index;
	unsigned kinds, weight;
	bool has_regex;
	size_t longest, headers;
};

struct world {
	struct arena *a;
	bool traditional;
	struct naive rules[MAX_RULES]; /* best first, categories not counted */
	size_t n;
	const struct route_query *q;
	str host_text, host;
	int port; /* 0: none */
};

static bool is_regex(str path)
{
	return path.n && path.s[0] == '~';
}

static bool regex_hits(struct world *w, str pattern, unsigned flags, str subject, size_t *ret_end)
{
	struct regex_span span;
	struct regex *re;

	assert_null(regex_new(w->a, pattern, flags | REGEX_NO_JIT, &re));
	if (!regex_match(re, subject, &span, 1))
		return false;
	*ret_end = span.to;
	return true;
}

static bool path_hits(struct world *w, str path, size_t *ret_end)
{
	if (is_regex(path))
		return regex_hits(w, str_from(path, 1), REGEX_ANCHORED, w->q->path, ret_end);
	*ret_end = path.n;
	return str_starts(w->q->path, path);
}

static void split_host(str text, str *name, int *port)
{
	ptrdiff_t colon = str_find(text, ':', 0);
	int64_t number = 0;

	*name = colon < 0 ? text : str_part(text, 0, (size_t)colon);
	if (colon >= 0)
		assert_true(str_to_int(str_from(text, (size_t)colon + 1), &number));
	*port = (int)number;
}

static bool host_hits(const struct world *w, str pattern)
{
	str name;
	int port;

	split_host(pattern, &name, &port);
	if (w->host.n == 0 || (port && port != w->port))
		return false;
	if (name.s[0] == '*')
		return w->host.n > name.n - 1 && str_ends(w->host, str_from(name, 1));
	if (name.s[name.n - 1] == '*')
		return w->host.n > name.n - 1 && str_starts(w->host, str_part(name, 0, name.n - 1));
	return str_eq(name, w->host);
}

static bool value_hits(struct world *w, const struct value *wanted, str value)
{
	for (uint32_t i = 0; i < wanted->n; i++) {
		str text = wanted->items[i]->s;
		size_t end;

		if (str_starts(text, STR("~*")) && (!w->traditional || wanted->n == 1)) {
			if (regex_hits(w, str_from(text, 2), REGEX_CASELESS, value, &end))
				return true;
		} else if (str_eq_ci(text, value)) {
			return true;
		}
	}
	return false;
}

static bool headers_hit(struct world *w, const struct route *route)
{
	for (uint32_t i = 0; route->headers && i < route->headers->n; i++) {
		const struct member *m = &route->headers->members[i];
		bool hit = false;

		for (unsigned k = 0; k < w->q->headers->n; k++)
			hit |= str_eq_ci(w->q->headers->v[k].name, m->key) &&
			       value_hits(w, m->value, w->q->headers->v[k].value);
		if (!hit)
			return false;
	}
	return true;
}

static bool among(const strs *list, str s)
{
	for (size_t i = 0; i < list->n; i++) {
		if (str_eq(list->v[i], s))
			return true;
	}
	return false;
}

static bool rule_hits(struct world *w, const struct naive *rule)
{
	const struct route *r = rule->route;
	bool host = r->hosts.n == 0, path = r->paths.n == 0;
	size_t end;

	for (size_t i = 0; i < r->hosts.n; i++)
		host |= host_hits(w, r->hosts.v[i]);
	if (rule->path.s)
		path = path_hits(w, rule->path, &end);
	else
		for (size_t i = 0; i < r->paths.n; i++)
			path |= path_hits(w, r->paths.v[i], &end);
	return host && path && (r->methods.n == 0 || among(&r->methods, w->q->method)) &&
	       (r->snis.n == 0 || !w->q->is_tls || among(&r->snis, w->q->sni)) && headers_hit(w, r);
}

static void describe(struct naive *rule, str path)
{
	const struct route *r = rule->route;
	bool wildcard = false, wildcard_port = false;

	rule->path = path;
	for (size_t i = 0; i < r->hosts.n; i++) {
		bool star = str_find(r->hosts.v[i], '*', 0) >= 0;

		wildcard |= star;
		wildcard_port |= star && str_find(r->hosts.v[i], ':', 0) >= 0;
	}
	for (size_t i = 0; i < r->paths.n; i++) {
		str p = path.s ? path : r->paths.v[i];

		rule->has_regex |= is_regex(p);
		if (!is_regex(p) && p.n > rule->longest)
			rule->longest = p.n;
	}
	rule->headers = r->headers ? r->headers->n : 0;
	rule->kinds = (r->hosts.n ? 0x40 : 0) | (rule->headers ? 0x20 : 0) |
		      (r->paths.n ? 0x10 : 0) | (r->methods.n ? 8 : 0) | (r->snis.n ? 4 : 0);
	rule->weight =
		(wildcard_port ? 4 : 0) | (r->hosts.n && !wildcard ? 2 : 0) | rule->has_regex;
}

static bool goes_before(const struct world *w, const struct naive *x, const struct naive *y)
{
	int kinds = __builtin_popcount(x->kinds) - __builtin_popcount(y->kinds);
	int64_t priority = x->has_regex ? x->route->regex_priority - y->route->regex_priority : 0;

	if (w->traditional) {
		if (x->weight != y->weight)
			return x->weight > y->weight;
		if (x->headers != y->headers)
			return x->headers > y->headers;
	} else {
		if (kinds)
			return kinds > 0;
		if ((x->weight & 2) != (y->weight & 2))
			return x->weight & 2;
		if (x->headers != y->headers)
			return x->headers > y->headers;
		if (x->has_regex != y->has_regex)
			return x->has_regex;
	}
	if (priority)
		return priority > 0;
	if (x->longest != y->longest)
		return x->longest > y->longest;
	if (x->route->created_at != y->route->created_at)
		return x->route->created_at < y->route->created_at;
	if (!uuid_eq(x->route->id, y->route->id))
		return uuid_cmp(x->route->id, y->route->id) < 0;
	return x->path_index < y->path_index;
}

static void add_rule(struct world *w, const struct route *r, str path, size_t path_index)
{
	struct naive rule = { .route = r, .path_index = path_index };
	size_t at = w->n++;

	assert_true(at < MAX_RULES);
	describe(&rule, path);
	for (; at > 0 && goes_before(w, &rule, &w->rules[at - 1]); at--)
		w->rules[at] = w->rules[at - 1];
	w->rules[at] = rule;
}

static bool category_before(unsigned x, unsigned y)
{
	int c = __builtin_popcount(x) - __builtin_popcount(y);

	return c ? c > 0 : x > y;
}

/* What a request of `traditional` has in common with any rule. */
struct hits {
	unsigned kinds;
	str host, path, header;
};

static void find_hits(struct world *w, struct hits *h)
{
	bool plain_host = false;
	size_t longest = 0, end;

	*h = (struct hits){ 0 };
	for (size_t i = 0; i < w->n; i++) {
		const struct naive *rule = &w->rules[i];
		const struct route *r = rule->route;

		for (size_t k = 0; k < r->hosts.n; k++) {
			if (!host_hits(w, r->hosts.v[k]))
				continue;
			h->kinds |= 0x40;
			if (str_find(r->hosts.v[k], '*', 0) < 0)
				plain_host = true;
			else if (!h->host.s)
				h->host = r->hosts.v[k];
		}
		for (uint32_t k = 0; r->headers && k < r->headers->n; k++) {
			for (unsigned j = 0; j < w->q->headers->n; j++) {
				if (!h->header.s &&
				    str_eq_ci(w->q->headers->v[j].name, r->headers->members[k].key))
					h->header = r->headers->members[k].key;
			}
		}
		if (rule->path.s && path_hits(w, rule->path, &end)) {
			h->kinds |= 0x10;
			if (is_regex(rule->path) && !is_regex(h->path))
				h->path = rule->path;
			else if (!is_regex(rule->path) && !is_regex(h->path) &&
				 rule->path.n >= longest) {
				h->path = rule->path;
				longest = rule->path.n;
			}
		}
		h->kinds |= among(&r->methods, w->q->method) ? 8 : 0;
		h->kinds |= w->q->sni.n && among(&r->snis, w->q->sni) ? 4 : 0;
	}
	h->kinds |= h->header.s ? 0x20 : 0;
	if (plain_host || !h->host.s)
		h->host = w->host_text;
}

static bool in_set(const struct naive *rule, unsigned kind, str key)
{
	const struct route *r = rule->route;

	if (!key.s)
		return false;
	if (kind == 0x20) {
		for (uint32_t i = 0; r->headers && i < r->headers->n; i++) {
			if (str_eq(r->headers->members[i].key, key))
				return true;
		}
		return false;
	}
	if (kind == 0x10)
		return rule->path.s && str_eq(rule->path, key);
	return among(kind == 0x40 ? &r->hosts : kind == 8 ? &r->methods : &r->snis, key);
}

static const struct naive *find_in_category(struct world *w, unsigned category,
					    const struct hits *h)
{
	const unsigned kinds[] = { 0x40, 0x20, 0x10, 8, 4 };
	const str keys[] = { h->host, h->header, h->path, w->q->method, w->q->sni };
	size_t least = 0, chosen = COUNT(kinds);

	for (size_t k = 0; k < COUNT(kinds); k++) {
		size_t size = 0;

		for (size_t i = 0; category & kinds[k] && i < w->n; i++)
			size += w->rules[i].kinds == category &&
				in_set(&w->rules[i], kinds[k], keys[k]);
		if (size && (chosen == COUNT(kinds) || size < least || kinds[k] == 0x20)) {
			least = size;
			chosen = k;
		}
		if (size && kinds[k] == 0x20)
			break; /* a header's set is taken whatever its size */
	}
	for (int round = chosen == COUNT(kinds); round < 2; round++) {
		for (size_t i = 0; i < w->n; i++) {
			const struct naive *rule = &w->rules[i];

			if (rule->kinds == category &&
			    (round || in_set(rule, kinds[chosen], keys[chosen])) &&
			    rule_hits(w, rule))
				return rule;
		}
	}
	return NULL;
}

static const struct naive *find_traditional(struct world *w)
{
	unsigned categories[MAX_RULES], current;
	size_t n = 0, from = 0;
	struct hits h;

	for (size_t i = 0; i < w->n; i++) {
		size_t at = n;
		bool known = false;

		current = w->rules[i].kinds;
		for (size_t k = 0; k < n; k++)
			known |= categories[k] == current;
		if (known)
			continue;
		for (; at > 0 && category_before(current, categories[at - 1]); at--)
			categories[at] = categories[at - 1];
		categories[at] = current;
		n++;
	}
	find_hits(w, &h);
	if (h.kinds == 0)
		return NULL;
	for (size_t k = 0; k < n; k++) {
		if (categories[k] == h.kinds)
			from = k;
	}
	for (size_t k = from; k < n; k++) {
		const struct naive *rule = find_in_category(w, categories[k], &h);

		if (rule)
			return rule;
	}
	return NULL;
}

static const struct naive *find_naive(struct world *w)
{
	if (w->traditional)
		return find_traditional(w);
	for (size_t i = 0; i < w->n; i++) {
		if (rule_hits(w, &w->rules[i]))
			return &w->rules[i];
	}
	return NULL;
}

/* What the winner's path takes: its first expression that matches, or its longest path. */
static bool naive_prefix(struct world *w, const struct naive *rule, size_t *ret)
{
	const strs one = { (str *)(uintptr_t)&rule->path, 1 };
	const strs *paths = rule->path.s ? &one : &rule->route->paths;
	bool found = false;
	size_t end;

	for (size_t i = 0; i < paths->n; i++) {
		if (is_regex(paths->v[i]) && path_hits(w, paths->v[i], ret))
			return true;
	}
	*ret = 0;
	for (size_t i = 0; i < paths->n; i++) {
		if (!is_regex(paths->v[i]) && path_hits(w, paths->v[i], &end)) {
			found = true;
			if (end > *ret)
				*ret = end;
		}
	}
	return found;
}

/* ---- random routes and requests ------------------------------------------------------ */

/* clang-format off */
static const char *const hosts[] = {
	"a.test", "b.test", "a.b.test", "*.test", "*.b.test", "a.*", "a.b.*", "a.test:8080", "*.test:80",
	"*.test:8080", "b.*:443", "b.test:80",
};
static const char *const request_hosts[] = {
	"a.test", "b.test", "a.b.test", "A.Test", "x.b.test", "a.test:8080", "b.test:80", "a.test:443",
	"x.test", ".test", "a.", "", "b.x:443", "c.org",
};
static const char *const paths[] = {
	"/", "/a", "/ab", "/a/b", "/a/", "/b", "~/a/(\\d+)$", "~/a", "~/(?<x>b|c)", "~/a/b|/c", "~/a?b",
	"~/[a|b]/(?:x|y)", "~/\\w+/\\d", "~/a/b(?=/)", "~/a\\/b{1,2}",
};
static const char *const request_paths[] = {
	"/", "/a", "/ab", "/abc", "/a/b", "/a/b/c", "/a/12", "/a/1x", "/b", "/c", "/c/x", "/bc", "/b/7",
	"/a/bb", "/b/y", "/x", "/\xff",
};
static const char *const methods[] = { "GET", "POST", "PUT" };
static const char *const snis[] = { "s.test", "t.test" };
static const char *const header_values[] = { "1", "Two", "~*^v\\d$", "~*w" };
static const char *const request_values[] = { "1", "two", "V3", "xwx", "v", "~*w" };
/* clang-format on */

#define PICK(list) str_of((list)[rand_r(seed) % COUNT(list)])

static strs pick_some(struct arena *a, unsigned *seed, const char *const *from, size_t n, int odds)
{
	strs list = { NULL, 0 };
	size_t want = rand_r(seed) % odds ? 0 : 1 + (size_t)rand_r(seed) % 3;

	list.v = NEWS(a, str, 3);
	for (size_t i = 0; i < want; i++) {
		str s = str_of(from[(size_t)rand_r(seed) % n]);

		if (!among(&list, s))
			list.v[list.n++] = s;
	}
	return list;
}

static const struct value *pick_headers(struct arena *a, unsigned *seed, int odds)
{
	struct value *headers = value_object(a);
	int n = rand_r(seed) % odds ? 0 : 1 + rand_r(seed) % 2;

	for (int i = 0; i < n; i++) {
		struct value *list = value_array(a);

		for (int k = rand_r(seed) % 2; k >= 0; k--)
			value_add(a, list, value_str(a, PICK(header_values)));
		value_set(a, headers, i ? STR("x-b") : STR("x-a"), list);
	}
	return n ? headers : NULL;
}

/* Narrow ones all stand at one place and differ by headers, methods and names. */
static struct route *random_route(struct arena *a, unsigned *seed, bool narrow)
{
	struct route *r = NEW(a, struct route);

	for (size_t i = 0; i < sizeof(r->id.b); i++)
		r->id.b[i] = (uint8_t)rand_r(seed);
	r->created_at = rand_r(seed) % 3;
	r->regex_priority = rand_r(seed) % 4 ? 0 : rand_r(seed) % 3 - 1;
	do {
		r->hosts = pick_some(a, seed, hosts, COUNT(hosts), 2);
		r->paths = pick_some(a, seed, paths, COUNT(paths), 2);
		r->methods = pick_some(a, seed, methods, COUNT(methods), 4);
		r->snis = pick_some(a, seed, snis, COUNT(snis), 8);
		r->headers = pick_headers(a, seed, 4);
	} while (!(r->hosts.n || r->paths.n || r->methods.n || r->snis.n || r->headers));
	if (narrow) {
		r->hosts.n = 0;
		r->paths = (strs){ arena_copy(a, &STR("/"), sizeof(str)), 1 };
		r->headers = rand_r(seed) % 3 ? pick_headers(a, seed, 1) : NULL;
		r->snis = pick_some(a, seed, snis, COUNT(snis), 2);
	}
	return r;
}

static void random_query(struct arena *a, unsigned *seed, struct route_query *q,
			 struct http_headers *headers)
{
	*q = (struct route_query){ .method = PICK(methods),
				   .host = PICK(request_hosts),
				   .path = PICK(request_paths),
				   .is_tls = rand_r(seed) % 2,
				   .headers = headers };
	if (q->is_tls && rand_r(seed) % 3)
		q->sni = PICK(snis);
	headers->n = (unsigned)rand_r(seed) % 4;
	headers->v = NEWS(a, struct http_header, headers->n);
	for (unsigned i = 0; i < headers->n; i++) {
		headers->v[i].name = rand_r(seed) % 2 ? STR("X-A") : STR("x-b");
		headers->v[i].value = PICK(request_values);
	}
}

static void compare(struct world *w, const struct router *router, unsigned seed_shown)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	const struct naive *want;
	struct route_match got;
	bool has_path;
	size_t prefix;

	w->a = a;
	w->host_text = str_lower(a, w->q->host);
	split_host(w->host_text, &w->host, &w->port);
	if (w->traditional && w->port == 0)
		w->port = w->q->is_tls ? 443 : 80;
	want = find_naive(w);
	if (router_find(router, w->q, a, &got) != !!want)
		fail_msg("seed %u: %s of " STRF STRF, seed_shown, want ? "miss" : "match",
			 STRV(w->q->host), STRV(w->q->path));
	if (!want)
		return;
	if (got.route != want->route)
		fail_msg("seed %u: another route for " STRF STRF, seed_shown, STRV(w->q->host),
			 STRV(w->q->path));
	has_path = naive_prefix(w, want, &prefix);
	if (got.has_path != has_path || (has_path && got.prefix != prefix))
		fail_msg("seed %u: another prefix for " STRF STRF, seed_shown, STRV(w->q->host),
			 STRV(w->q->path));
}

static void run_rounds(unsigned seed_shown, int rounds)
{
	unsigned state = seed_shown, *seed = &state;

	for (int round = 0; round < rounds; round++) {
		CLEANUP(arena_drop) struct arena *a = arena_new();
		struct world w = { .traditional = round % 2 };
		const struct route *routes[40];
		struct router *router;
		size_t n = 1 + (size_t)rand_r(seed) % COUNT(routes);

		for (size_t i = 0; i < n; i++) {
			routes[i] = random_route(a, seed, round % 4 > 1);
			if (!w.traditional || routes[i]->paths.n == 0)
				add_rule(&w, routes[i], STR_NONE, 0);
			else
				for (size_t k = 0; k < routes[i]->paths.n; k++)
					add_rule(&w, routes[i], routes[i]->paths.v[k], k);
		}
		assert_null(router_new(
			a, w.traditional ? ROUTER_TRADITIONAL : ROUTER_TRADITIONAL_COMPATIBLE,
			routes, n, &router));
		for (int i = 0; i < 100; i++) {
			struct http_headers headers = { 0 };
			struct route_query q;

			random_query(a, seed, &q, &headers);
			w.q = &q;
			compare(&w, router, seed_shown);
		}
	}
}

static unsigned given_seed; /* the program's argument, to look at a failure again */

static void the_router_agrees_with_a_naive_one(void **state)
{
	unsigned seed = given_seed ? given_seed : (unsigned)clock_wall_ms();

	(void)state;
	run_rounds(1, 300);
	print_message("seed %u\n", seed);
	run_rounds(seed, 200);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_router_agrees_with_a_naive_one),
	};

	if (argc > 1)
		given_seed = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
