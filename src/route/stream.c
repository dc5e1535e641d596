/* SPDX-License-Identifier: Apache-2.0 */
/* Routes for TCP, TLS and UDP: by the name a TLS client asks for and by both ends of
 * the connection.
 *
 * The order is traditional's in every flavour: more kinds of criteria first, SNI above
 * source above destination; then those that name an address together with a port; then
 * the older.  Routes with names are found by name, the others are gone through. */
#include "route/priv.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/vec.h"

struct endpoint {
	uint8_t b[16];
	bool is_v6;
};

struct end_rule {
	struct endpoint address;
	unsigned bits; /* of the address that must agree; 0 with any: no address asked for */
	bool has_address;
	int64_t port; /* FIELD_UNSET_INT: any */
};

struct stream_rule {
	const struct route *route;
	uint32_t rank;
	uint8_t kinds;
	uint8_t exact; /* 2: a source with address and port, 1: such a destination */
	bool takes_udp, takes_tcp;
	size_t sources_n, destinations_n;
	struct end_rule *sources, *destinations;
};

struct stream_list {
	struct stream_rule **v;
	size_t n, cap;
};

struct streams {
	struct map by_sni; /* lower case, no last dot -> struct stream_list */
	struct stream_list others;
};

static bool read_address(str text, struct endpoint *ret)
{
	char z[INET6_ADDRSTRLEN];

	if (text.n >= sizeof(z))
		return false;
	memcpy(z, text.s ? text.s : "", text.n);
	z[text.n] = '\0';
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, z, ret->b) == 1)
		return true;
	ret->is_v6 = true;
	if (inet_pton(AF_INET6, z, ret->b) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)ret->b)) {
		memmove(ret->b, ret->b + 12, 4);
		ret->is_v6 = false;
	}
	return true;
}

static struct err *make_end(const struct route_address *from, struct end_rule *ret)
{
	ptrdiff_t slash = str_find(from->ip, '/', 0);
	str ip = slash < 0 ? from->ip : str_part(from->ip, 0, (size_t)slash);
	struct end_rule e = { .port = from->port };
	int64_t bits;

	if (from->ip.n) {
		e.has_address = true;
		if (!read_address(ip, &e.address))
			return FAIL(ERR_INVALID, "\"" STRF "\" is no address", STRV(from->ip));
		e.bits = e.address.is_v6 ? 128 : 32;
		if (slash >= 0) {
			if (!str_to_int(str_from(from->ip, (size_t)slash + 1), &bits) || bits < 0 ||
			    bits > e.bits)
				return FAIL(ERR_INVALID, "\"" STRF "\" is no range of addresses",
					    STRV(from->ip));
			e.bits = (unsigned)bits;
		}
	}
	*ret = e;
	return NULL;
}

static struct err *make_ends(struct arena *a, const struct records *from, const char *field,
			     struct end_rule **ret, bool *ret_is_exact)
{
	const struct route_address *list = from->v;
	struct end_rule *ends = NEWS(a, struct end_rule, from->n);

	for (size_t i = 0; i < from->n; i++) {
		struct err *e = make_end(&list[i], &ends[i]);

		if (e)
			return err_field(e, "%s[%zu].ip", field, i);
		*ret_is_exact |= ends[i].has_address && ends[i].port != FIELD_UNSET_INT;
	}
	*ret = ends;
	return NULL;
}

static struct err *make_stream(struct arena *a, const struct route *route, struct stream_rule **ret)
{
	struct stream_rule *rule = NEW(a, struct stream_rule);
	bool exact_source = false, exact_destination = false;

	rule->route = route;
	rule->kinds = (route->snis.n ? KIND_SNI : 0) | (route->sources.n ? KIND_SOURCE : 0) |
		      (route->destinations.n ? KIND_DESTINATION : 0);
	for (size_t i = 0; i < route->protocols.n; i++) {
		if (str_is(route->protocols.v[i], "udp"))
			rule->takes_udp = true;
		else
			rule->takes_tcp = true;
	}
	rule->sources_n = route->sources.n;
	rule->destinations_n = route->destinations.n;
	PASS(make_ends(a, &route->sources, "sources", &rule->sources, &exact_source));
	PASS(make_ends(a, &route->destinations, "destinations", &rule->destinations,
		       &exact_destination));
	rule->exact = (uint8_t)(exact_source << 1 | exact_destination);
	*ret = rule;
	return NULL;
}

static int by_order(const void *x, const void *y)
{
	const struct stream_rule *a = *(struct stream_rule *const *)x;
	const struct stream_rule *b = *(struct stream_rule *const *)y;
	int c = __builtin_popcount(b->kinds) - __builtin_popcount(a->kinds);

	if (c == 0)
		c = b->kinds - a->kinds;
	if (c == 0)
		c = b->exact - a->exact;
	if (c == 0)
		c = (a->route->created_at > b->route->created_at) -
		    (a->route->created_at < b->route->created_at);
	return c ? c : uuid_cmp(a->route->id, b->route->id);
}

static str sni_text(struct arena *a, str sni)
{
	sni = host_lower(a, sni);
	if (sni.n > 1 && sni.s[sni.n - 1] == '.')
		sni.n--;
	return sni;
}

struct err *streams_new(struct arena *a, const struct route *const *routes, size_t n,
			struct streams **ret)
{
	struct streams *s = NEW(a, struct streams);
	struct stream_list all = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct stream_rule *rule;
		char id[36];

		if (!route_is_stream(routes[i]))
			continue;
		uuid_write(routes[i]->id, id);
		TRY(make_stream(a, routes[i], &rule), "route " STRF,
		    STRV(routes[i]->name.n ? routes[i]->name : str_at(id, sizeof(id))));
		if (rule->kinds)
			*vec_add(a, &all) = rule;
	}
	if (all.n)
		qsort(all.v, all.n, sizeof(*all.v), by_order);
	for (size_t i = 0; i < all.n; i++) {
		struct stream_rule *rule = all.v[i];

		rule->rank = (uint32_t)i;
		if (!(rule->kinds & KIND_SNI))
			*vec_add(a, &s->others) = rule;
		for (size_t k = 0; k < rule->route->snis.n; k++) {
			void **list = map_put(a, &s->by_sni, sni_text(a, rule->route->snis.v[k]));

			if (!*list)
				*list = NEW(a, struct stream_list);
			*vec_add(a, (struct stream_list *)*list) = rule;
		}
	}
	*ret = s;
	return NULL;
}

static bool bits_agree(const uint8_t *x, const uint8_t *y, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(x, y, bits / 8) != 0)
		return false;
	return rest == 0 || ((x[bits / 8] ^ y[bits / 8]) & (0xff00 >> rest & 0xff)) == 0;
}

struct known_end {
	struct endpoint address;
	bool has_address;
	uint16_t port;
};

static bool ends_fit(const struct end_rule *ends, size_t n, const struct known_end *known)
{
	for (size_t i = 0; i < n; i++) {
		const struct end_rule *e = &ends[i];

		if (e->port != FIELD_UNSET_INT && e->port != known->port)
			continue;
		if (!e->has_address ||
		    (known->has_address && e->address.is_v6 == known->address.is_v6 &&
		     bits_agree(e->address.b, known->address.b, e->bits)))
			return true;
	}
	return n == 0;
}

static struct known_end know_end(const struct route_end *end)
{
	struct known_end known = { .port = end->port };

	known.has_address = read_address(end->ip, &known.address);
	return known;
}

const struct route *streams_find(const struct streams *s, const struct route_stream_query *q)
{
	struct known_end source = know_end(&q->source), destination = know_end(&q->destination);
	CLEANUP(arena_drop) struct arena *a = q->sni.n ? arena_new() : NULL;
	const struct stream_list *lists[2] = { &s->others, NULL };
	const struct stream_rule *best = NULL;

	if (q->sni.n)
		lists[1] = map_find(&s->by_sni, sni_text(a, q->sni));
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; lists[k] && i < lists[k]->n; i++) {
			const struct stream_rule *rule = lists[k]->v[i];

			if (best && best->rank < rule->rank)
				break;
			if ((q->is_udp ? rule->takes_udp : rule->takes_tcp) &&
			    ends_fit(rule->sources, rule->sources_n, &source) &&
			    ends_fit(rule->destinations, rule->destinations_n, &destination)) {
				best = rule;
				break;
			}
		}
	}
	return best ? best->route : NULL;
}
