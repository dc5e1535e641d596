/* SPDX-License-Identifier: Apache-2.0 */
/* The client's address behind trusted proxies, by the rules of nginx's realip
 * module: only a peer in trusted_ips is believed; without recursion the last
 * address of the header is taken, with it the last one that is not trusted. */
#include "serve/req.h"

static bool is_trusted(const struct settings *s, const struct address *a)
{
	for (size_t i = 0; i < s->trusted.n; i++) {
		if (cidr_has(&s->trusted.v[i], a))
			return true;
	}
	return false;
}

/* "1.2.3.4", "1.2.3.4:80", "[::1]:80", "::1" */
static bool parse_member(str m, struct address *ret)
{
	ptrdiff_t colon = str_find_last(m, ':');
	int64_t port = 0;

	if (address_parse_ip(m, 0, ret))
		return true;
	if (colon < 0 || !str_to_int(str_from(m, (size_t)colon + 1), &port) || port < 0 ||
	    port > 65535)
		return false;
	return address_parse_ip(str_part(m, 0, (size_t)colon), (uint16_t)port, ret);
}

/* Walks one header's list from its end; true when the walk is over. */
static bool walk_list(const struct settings *s, str list, struct address *at, bool *found)
{
	while (list.n) {
		ptrdiff_t comma = str_find_last(list, ',');
		str member = str_trim(str_from(list, (size_t)(comma + 1)));
		struct address a;

		list = comma < 0 ? STR("") : str_part(list, 0, (size_t)comma);
		if (!parse_member(member, &a))
			return true;
		*at = a;
		*found = true;
		if (!s->is_client_ip_recursive || !is_trusted(s, &a))
			return true;
	}
	return false;
}

static void take_from_header(struct req *r, str name)
{
	const struct settings *s = r->proxy->shared->settings;
	struct address at = r->client_address;
	bool found = false;

	for (unsigned i = r->in.headers.n; i-- > 0;) {
		const struct http_header *h = &r->in.headers.v[i];

		if (str_eq_ci(h->name, name) && walk_list(s, h->value, &at, &found))
			break;
	}
	if (found)
		r->client_address = at;
}

static str ip_text(struct arena *a, const struct address *address)
{
	char text[ADDRESS_TEXT];
	size_t n = address_ip(address, text);

	return str_copy(a, str_at(text, n));
}

void real_ip(struct req *r)
{
	const struct settings *s = r->proxy->shared->settings;

	r->client_address = r->client->peer;
	r->peer_ip = r->client_ip = ip_text(r->arena, &r->client->peer);
	if (!r->client->is_trusted || !s->client_ip_header.n)
		return;
	if (!str_is(s->client_ip_header, "proxy_protocol"))
		take_from_header(r, s->client_ip_header);
	else if (r->client->told && !r->client->told->is_local)
		r->client_address = r->client->told->source;
	r->client_ip = ip_text(r->arena, &r->client_address);
}
