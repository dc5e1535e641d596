/* SPDX-License-Identifier: Apache-2.0 */
/* From a route's fields to rules: hosts taken apart, texts in one case, regular
 * expressions compiled, each different one once. */
#include "route/priv.h"

#include <stdlib.h>

#include "base/uri.h"
#include "base/vec.h"

/* Expressions beyond so many are interpreted: translating them all to machine code
 * would make the build of a very large configuration take seconds. */
#define JIT_MAX 20000

struct maker {
	struct arena *a;
	enum router_flavor flavor;
	struct map regexes; /* flags and pattern -> struct regex */
};

bool route_is_stream(const struct route *r)
{
	for (size_t i = 0; i < r->protocols.n; i++) {
		str p = r->protocols.v[i];

		if (str_is(p, "tcp") || str_is(p, "udp") || str_starts(p, STR("tls")))
			return true;
	}
	return false;
}

str host_lower(struct arena *a, str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (ascii_lower(s.s[i]) != s.s[i])
			return str_lower(a, s);
	}
	return s;
}

/* "route <name or id>: <field>[i] "<text>"" in front of an error. */
static struct err *in_route(struct err *e, const struct route *r, const char *field, size_t i,
			    str text)
{
	char id[36];
	str name = r->name;

	if (!name.n) {
		uuid_write(r->id, id);
		name = str_at(id, sizeof(id));
	}
	e = err_in(e, __FILE__, __LINE__, "route " STRF ": %s[%zu] \"" STRF "\"", STRV(name), field,
		   i, STRV(str_part(text, 0, 200)));
	return err_field(e, "%s[%zu]", field, i);
}

static struct err *get_regex(struct maker *m, str pattern, unsigned flags, const struct regex **ret)
{
	void **known = map_put(m->a, &m->regexes, str_fmt(m->a, "%u " STRF, flags, STRV(pattern)));

	if (!*known) {
		struct regex *re;

		flags |= m->regexes.n > JIT_MAX ? REGEX_NO_JIT : 0;
		PASS(regex_new(m->a, pattern, flags, &re));
		*known = re;
	}
	*ret = *known;
	return NULL;
}

/* ---- hosts ---------------------------------------------------------------------- */

static struct err *make_host(struct maker *m, str text, struct host_rule *ret)
{
	struct host_rule h = { .text = host_lower(m->a, text), .port = PORT_ANY };
	uint16_t port;

	h.name = h.text;
	if (uri_split_host(h.text, &h.name, &port) && port)
		h.port = port;
	if (h.name.n && h.name.s[0] == '*') {
		h.shape = HOST_SUFFIX;
		h.name = str_from(h.name, 1);
	} else if (h.name.n && h.name.s[h.name.n - 1] == '*') {
		h.shape = HOST_PREFIX;
		h.name = str_part(h.name, 0, h.name.n - 1);
	}
	if (str_find(h.name, '*', 0) >= 0)
		return FAIL(ERR_INVALID, "a wildcard must be the first or the last of a host");
	*ret = h;
	return NULL;
}

/* Sets the weight's bits of traditional: 4 a wildcard with a port, 2 plain hosts only. */
static struct err *make_hosts(struct maker *m, struct rule *rule)
{
	const strs *hosts = &rule->route->hosts;
	bool has_wildcard = false, has_port = false;

	if (hosts->n == 0)
		return NULL;
	rule->kinds |= KIND_HOST;
	rule->hosts = NEWS(m->a, struct host_rule, hosts->n);
	for (size_t i = 0; i < hosts->n; i++) {
		struct host_rule *h = &rule->hosts[i];
		struct err *e = make_host(m, hosts->v[i], h);

		if (e)
			return in_route(e, rule->route, "hosts", i, hosts->v[i]);
		has_wildcard |= h->shape != HOST_EXACT;
		has_port |= h->shape != HOST_EXACT && h->port != PORT_ANY;
	}
	rule->hosts_n = hosts->n;
	rule->weight |= (has_port ? 4 : 0) | (has_wildcard ? 0 : 2);
	return NULL;
}

/* ---- headers -------------------------------------------------------------------- */

/* A value that begins with "~*" is an expression: in traditional only when it is the
 * header's one value. */
static struct err *make_header(struct maker *m, const struct member *member,
			       const struct route *route, struct header_rule *ret)
{
	const struct value *list = member->value;
	struct header_rule h = { .name = str_lower(m->a, member->key) };

	h.values.v = NEWS(m->a, str, list->n);
	h.patterns = NEWS(m->a, const struct regex *, list->n);
	for (uint32_t i = 0; i < list->n; i++) {
		str text = list->items[i]->kind == VALUE_STRING ? list->items[i]->s : STR_NONE;
		struct err *e;

		if (!str_starts(text, STR("~*")) ||
		    (m->flavor == ROUTER_TRADITIONAL && list->n > 1)) {
			h.values.v[h.values.n++] = text;
			continue;
		}
		e = get_regex(m, str_from(text, 2), REGEX_CASELESS, &h.patterns[h.patterns_n]);
		if (e)
			return in_route(e, route, str_fmt(m->a, "headers." STRF, STRV(h.name)).s, i,
					text);
		h.patterns_n++;
	}
	*ret = h;
	return NULL;
}

static struct err *make_headers(struct maker *m, struct rule *rule)
{
	const struct value *headers = rule->route->headers;

	if (value_is_null(headers) || headers->kind != VALUE_OBJECT || headers->n == 0)
		return NULL;
	rule->headers = NEWS(m->a, struct header_rule, headers->n);
	for (uint32_t i = 0; i < headers->n; i++) {
		const struct member *member = &headers->members[i];

		/* Host is matched by `hosts` alone */
		if (str_is_ci(member->key, "host") || value_is_null(member->value) ||
		    member->value->kind != VALUE_ARRAY)
			continue;
		PASS(make_header(m, member, rule->route, &rule->headers[rule->headers_n]));
		rule->headers_n++;
	}
	if (rule->headers_n)
		rule->kinds |= KIND_HEADER;
	return NULL;
}

static bool header_value_fits(const struct header_rule *h, str value)
{
	for (size_t i = 0; i < h->values.n; i++) {
		if (str_eq_ci(h->values.v[i], value))
			return true;
	}
	for (size_t i = 0; i < h->patterns_n; i++) {
		if (regex_match(h->patterns[i], value, NULL, 0))
			return true;
	}
	return false;
}

bool header_rule_fits(const struct header_rule *h, const struct http_headers *headers)
{
	for (unsigned i = 0; headers && i < headers->n; i++) {
		const struct http_header *line = &headers->v[i];

		if (str_eq_ci(line->name, h->name) && header_value_fits(h, line->value))
			return true;
	}
	return false;
}

/* ---- paths ---------------------------------------------------------------------- */

/* The end of the class that opens at i; the end of the text when it holds what would take
 * PCRE2 itself to understand. */
static size_t skip_class(str p, size_t i)
{
	i++;
	i += i < p.n && p.s[i] == '^';
	i += i < p.n && p.s[i] == ']'; /* as the first it is a member */
	while (i < p.n && p.s[i] != ']') {
		if (p.s[i] == '[' ||
		    (p.s[i] == '\\' && i + 1 < p.n && memchr("QEc", p.s[i + 1], 3)))
			return p.n;
		i += p.s[i] == '\\' ? 2 : 1;
	}
	return i + 1;
}

/* Whether the parenthesis at i opens a plain group; comments, flags and verbs change what
 * comes behind them. */
static bool is_plain_group(str p, size_t i)
{
	if (i + 1 < p.n && p.s[i + 1] == '*')
		return false;
	return i + 2 >= p.n || p.s[i + 1] != '?' || memchr(":<P=!>", p.s[i + 2], 6);
}

/* Whether the expression has no alternatives but inside of groups.  When in doubt, no. */
static bool is_one_branch(str p)
{
	size_t depth = 0, i = 0;

	if (str_find(p, '|', 0) < 0)
		return true;
	while (i < p.n) {
		switch (p.s[i]) {
		case '\\':
			if (i + 1 < p.n && memchr("QEc", p.s[i + 1], 3))
				return false;
			i += 2;
			continue;
		case '[':
			i = skip_class(p, i);
			if (i >= p.n)
				return false;
			continue;
		case '(':
			if (!is_plain_group(p, i))
				return false;
			depth++;
			break;
		case ')':
			if (depth == 0)
				return false;
			depth--;
			break;
		case '|':
			if (depth == 0)
				return false;
			break;
		default:
			break;
		}
		i++;
	}
	return depth == 0;
}

/* Of an anchored expression; maybe empty. */
str path_literal_prefix(struct arena *a, str p)
{
	char *out = arena_bytes(a, p.n);
	size_t n = 0, i = p.n && p.s[0] == '^';

	if (!is_one_branch(p))
		return STR("");
	while (i < p.n) {
		char c = p.s[i++];

		if (memchr(".[(|)*+?{$^", c, 11) || (unsigned char)c >= 0x80)
			break;
		if (c == '\\') {
			if (i == p.n || ascii_is_alnum(p.s[i]) || (unsigned char)p.s[i] >= 0x80)
				break;
			c = p.s[i++];
		}
		if (i < p.n && memchr("*?{", p.s[i], 3)) /* may be there no times */
			break;
		out[n++] = c;
	}
	return str_at(out, n);
}

static struct err *make_path(struct maker *m, const struct route *route, size_t i,
			     struct path_rule *ret)
{
	unsigned flags =
		REGEX_ANCHORED | (m->flavor == ROUTER_TRADITIONAL_COMPATIBLE ? REGEX_UTF : 0);
	str text = route->paths.v[i], pattern;
	struct err *e;

	*ret = (struct path_rule){ .text = text, .prefix = text, .index = (uint32_t)i };
	if (!str_starts(text, STR("~")))
		return NULL;
	pattern = str_from(text, 1);
	e = get_regex(m, pattern, flags, &ret->regex);
	if (e)
		return in_route(e, route, "paths", i, text);
	ret->prefix = path_literal_prefix(m->a, pattern);
	return NULL;
}

/* Expressions keep their order and come first; then the longest. */
static int by_length(const void *x, const void *y)
{
	const struct path_rule *a = x, *b = y;

	if (!a->regex != !b->regex)
		return a->regex ? -1 : 1;
	if (a->regex || a->text.n == b->text.n)
		return a->index < b->index ? -1 : a->index > b->index;
	return a->text.n > b->text.n ? -1 : 1;
}

/* Paths from..to of the route. */
static struct err *make_paths(struct maker *m, struct rule *rule, size_t from, size_t to)
{
	if (from == to)
		return NULL;
	rule->kinds |= KIND_PATH;
	rule->path_index = (uint32_t)from;
	rule->paths_n = to - from;
	rule->paths = NEWS(m->a, struct path_rule, rule->paths_n);
	for (size_t i = 0; i < rule->paths_n; i++) {
		struct path_rule *p = &rule->paths[i];

		PASS(make_path(m, rule->route, from + i, p));
		rule->has_regex |= p->regex != NULL;
		if (!p->regex && p->text.n > rule->longest)
			rule->longest = p->text.n;
	}
	rule->weight |= rule->has_regex;
	if (rule->paths_n > 1)
		qsort(rule->paths, rule->paths_n, sizeof(*rule->paths), by_length);
	return NULL;
}

bool path_fits(const struct path_rule *p, str path)
{
	return str_starts(path, p->prefix) && (!p->regex || regex_match(p->regex, path, NULL, 0));
}

/* ---- rules ---------------------------------------------------------------------- */

static void make_methods_and_snis(struct maker *m, struct rule *rule)
{
	const struct route *route = rule->route;

	rule->kinds |= (route->methods.n ? KIND_METHOD : 0) | (route->snis.n ? KIND_SNI : 0);
	rule->methods.v = NEWS(m->a, str, route->methods.n);
	for (; rule->methods.n < route->methods.n; rule->methods.n++)
		rule->methods.v[rule->methods.n] =
			str_upper(m->a, route->methods.v[rule->methods.n]);
	rule->snis.v = NEWS(m->a, str, route->snis.n);
	for (; rule->snis.n < route->snis.n; rule->snis.n++) {
		str sni = host_lower(m->a, route->snis.v[rule->snis.n]);

		if (sni.n > 1 && sni.s[sni.n - 1] == '.')
			sni.n--;
		rule->snis.v[rule->snis.n] = sni;
	}
}

static struct err *make_rule(struct maker *m, const struct route *route, size_t from, size_t to,
			     struct rule_list *list)
{
	struct rule *rule = NEW(m->a, struct rule);

	rule->route = route;
	if (route->regex_priority != FIELD_UNSET_INT)
		rule->regex_priority = route->regex_priority;
	PASS(make_hosts(m, rule));
	PASS(make_headers(m, rule));
	PASS(make_paths(m, rule, from, to));
	make_methods_and_snis(m, rule);
	if (rule->kinds) /* without any criterion nothing is matched */
		*vec_add(m->a, list) = rule;
	return NULL;
}

/* The expression's hosts and paths only lead to it. */
static struct err *make_by_expression(struct maker *m, const struct route *route,
				      struct rule_list *list)
{
	struct rule *rule = NEW(m->a, struct rule);
	struct expression *expression;
	strs hosts = { NULL, 0 }, paths = { NULL, 0 };
	struct err *e;

	if (!route->expression.n)
		return NULL;
	e = expression_new(m->a, route->expression, &expression);
	if (e)
		return err_field(in_route(e, route, "expression", 0, route->expression),
				 "expression");
	rule->route = route;
	rule->expression = expression;
	if (expression_hosts(m->a, expression, &hosts)) {
		rule->hosts_n = hosts.n;
		rule->hosts = NEWS(m->a, struct host_rule, hosts.n);
		for (size_t i = 0; i < hosts.n; i++)
			rule->hosts[i] =
				(struct host_rule){ hosts.v[i], hosts.v[i], HOST_EXACT, PORT_ANY };
	}
	if (expression_paths(m->a, expression, &paths)) {
		rule->paths_n = paths.n;
		rule->paths = NEWS(m->a, struct path_rule, paths.n);
		for (size_t i = 0; i < paths.n; i++)
			rule->paths[i] =
				(struct path_rule){ .text = paths.v[i], .prefix = paths.v[i] };
	}
	*vec_add(m->a, list) = rule;
	return NULL;
}

struct err *rules_of(struct arena *a, enum router_flavor flavor, const struct route *const *routes,
		     size_t n, struct rule_list *ret)
{
	struct maker m = { .a = a, .flavor = flavor };
	struct rule_list list = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct route *route = routes[i];

		if (route_is_stream(route))
			continue;
		if (flavor == ROUTER_EXPRESSIONS) {
			PASS(make_by_expression(&m, route, &list));
			continue;
		}
		if (flavor == ROUTER_TRADITIONAL_COMPATIBLE || route->paths.n == 0) {
			PASS(make_rule(&m, route, 0, route->paths.n, &list));
			continue;
		}
		for (size_t p = 0; p < route->paths.n; p++)
			PASS(make_rule(&m, route, p, p + 1, &list));
	}
	*ret = list;
	return NULL;
}
