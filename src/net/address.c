/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses and networks: text to bytes, comparing, showing. */
#include "net/net.h"

#include <arpa/inet.h>
#include <stdio.h>

/* inet_pton() of a str; nothing but the whole text will do. */
static bool parse_ip(int family, str ip, void *ret)
{
	char z[INET6_ADDRSTRLEN];

	if (ip.n == 0 || ip.n >= sizeof(z) || memchr(ip.s, '\0', ip.n))
		return false;
	memcpy(z, ip.s, ip.n);
	z[ip.n] = '\0';
	return inet_pton(family, z, ret) == 1;
}

bool address_parse_ip(str ip, uint16_t port, struct address *ret)
{
	struct address a = { 0 };

	if (ip.n > 2 && ip.s[0] == '[' && ip.s[ip.n - 1] == ']') {
		ip = str_part(ip, 1, ip.n - 1);
		if (str_find(ip, ':', 0) < 0)
			return false;
	}
	if (parse_ip(AF_INET, ip, &a.v4.sin_addr)) {
		a.size = sizeof(a.v4);
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(port);
	} else if (parse_ip(AF_INET6, ip, &a.v6.sin6_addr)) {
		a.size = sizeof(a.v6);
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(port);
	} else {
		return false;
	}
	*ret = a;
	return true;
}

/* A path that is too long stays empty: binding and connecting refuse it. */
void address_of_unix(const char *path, struct address *ret)
{
	size_t n = strlen(path);

	*ret = (struct address){ 0 };
	ret->local.sun_family = AF_UNIX;
	ret->size = sizeof(sa_family_t);
	if (n >= sizeof(ret->local.sun_path))
		return;
	memcpy(ret->local.sun_path, path, n + 1);
	ret->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
}

uint16_t address_port(const struct address *a)
{
	if (a->any.sa_family == AF_INET)
		return ntohs(a->v4.sin_port);
	if (a->any.sa_family == AF_INET6)
		return ntohs(a->v6.sin6_port);
	return 0;
}

/* A byte in decimal at p; where it ends. */
static char *put_byte(char *p, uint8_t v)
{
	if (v >= 100)
		*p++ = (char)('0' + v / 100);
	if (v >= 10)
		*p++ = (char)('0' + v / 10 % 10);
	*p++ = (char)('0' + v % 10);
	return p;
}

size_t address_ip(const struct address *a, char out[ADDRESS_TEXT])
{
	if (a->any.sa_family == AF_INET) { /* once per request: not through printf */
		const uint8_t *ip = (const uint8_t *)&a->v4.sin_addr;
		char *p = out;

		for (int i = 0; i < 4; i++) {
			p = put_byte(p, ip[i]);
			*p++ = '.';
		}
		*--p = '\0';
		return (size_t)(p - out);
	}
	if (a->any.sa_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &a->v6.sin6_addr, out, ADDRESS_TEXT))
		return strlen(out);
	memcpy(out, "unix:", 6);
	return 5;
}

bool address_eq(const struct address *a, const struct address *b)
{
	if (a->any.sa_family != b->any.sa_family || address_port(a) != address_port(b))
		return false;
	switch (a->any.sa_family) {
	case AF_INET:
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	case AF_INET6:
		return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0 &&
		       a->v6.sin6_scope_id == b->v6.sin6_scope_id;
	default:
		return a->size == b->size && memcmp(&a->any, &b->any, a->size) == 0;
	}
}

/* ---- networks --------------------------------------------------------------------------- */

static bool parse_bits(str text, unsigned most, uint8_t *ret)
{
	unsigned bits = 0;

	if (text.n == 0 || text.n > 3)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (!ascii_is_digit(text.s[i]))
			return false;
		bits = bits * 10 + (unsigned)(text.s[i] - '0');
	}
	*ret = (uint8_t)bits;
	return bits <= most;
}

bool cidr_parse(str text, struct cidr *ret)
{
	struct cidr c = { 0 };
	ptrdiff_t slash = str_find(text, '/', 0);
	str ip = slash < 0 ? text : str_part(text, 0, (size_t)slash);

	if (str_is(text, "unix:")) {
		*ret = (struct cidr){ .family = AF_UNIX };
		return true;
	}
	if (parse_ip(AF_INET, ip, c.ip)) {
		c.family = AF_INET;
		c.bits = 32;
	} else if (parse_ip(AF_INET6, ip, c.ip)) {
		c.family = AF_INET6;
		c.bits = 128;
	} else {
		return false;
	}
	if (slash >= 0 && !parse_bits(str_from(text, (size_t)slash + 1), c.bits, &c.bits))
		return false;
	for (unsigned i = c.bits; i < 128; i++) /* what is beyond the network does not count */
		c.ip[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	*ret = c;
	return true;
}

static bool starts_with_bits(const uint8_t *ip, const uint8_t *net, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(ip, net, bits / 8) != 0)
		return false;
	return rest == 0 || ((ip[bits / 8] ^ net[bits / 8]) >> (8 - rest)) == 0;
}

bool cidr_has(const struct cidr *c, const struct address *a)
{
	sa_family_t family = a->any.sa_family;
	const uint8_t *ip;

	if (family == AF_UNIX || c->family == AF_UNIX)
		return family == c->family;
	ip = family == AF_INET ? (const uint8_t *)&a->v4.sin_addr
			       : (const uint8_t *)&a->v6.sin6_addr;
	/* ::ffff:1.2.3.4 is 1.2.3.4 on a socket that takes both. */
	if (family == AF_INET6 && c->family == AF_INET && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
		family = AF_INET;
		ip += 12;
	}
	return family == c->family && starts_with_bits(ip, c->ip, c->bits);
}
