/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy_protocol.h"

#include "net/priv.h"
#include <string.h>

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static uint16_t u16(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static void v4(struct address *a, const char *ip, uint16_t port)
{
	*a = (struct address){ .size = sizeof(a->v4) };
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons(port);
	memcpy(&a->v4.sin_addr, ip, 4);
}

static void v6(struct address *a, const char *ip, uint16_t port)
{
	*a = (struct address){ .size = sizeof(a->v6) };
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(port);
	memcpy(&a->v6.sin6_addr, ip, 16);
}

/* Version 2, §2.2: signature, version and command, family, length, addresses, TLVs. */
static ssize_t parse_v2(const char *p, size_t n, struct proxy_protocol *ret)
{
	size_t length, need;

	if (n < 16)
		return 0;
	length = u16(p + 14);
	if ((p[12] & 0xf0) != 0x20 || (p[12] & 0x0f) > 1)
		return -1;
	need = p[13] == 0x11 || p[13] == 0x12 ? 12 : p[13] == 0x21 || p[13] == 0x22 ? 36 : 0;
	*ret = (struct proxy_protocol){ .is_local = (p[12] & 0x0f) == 0 || need == 0 };
	if (!ret->is_local && length < need)
		return -1;
	if (n < 16 + length)
		return 0;
	if (!ret->is_local && need == 12) {
		v4(&ret->source, p + 16, u16(p + 24));
		v4(&ret->destination, p + 20, u16(p + 26));
	} else if (!ret->is_local) {
		v6(&ret->source, p + 16, u16(p + 48));
		v6(&ret->destination, p + 32, u16(p + 50));
	}
	return (ssize_t)(16 + length);
}

static bool v1_address(str ip, str port, int family, struct address *ret)
{
	int64_t number;

	if (port.n == 0 || port.n > 5 || (port.n > 1 && port.s[0] == '0') ||
	    !ascii_is_digit(port.s[0]) || !str_to_int(port, &number) || number > 65535)
		return false;
	return ip.n && ip.s[0] != '[' && address_parse_ip(ip, (uint16_t)number, ret) &&
	       ret->any.sa_family == family;
}

/* Version 1, §2.1: "PROXY TCP4 source destination port port" and CR LF. */
static ssize_t parse_v1(const char *p, size_t n, struct proxy_protocol *ret)
{
	size_t most = n < PROXY_PROTOCOL_V1_MAX ? n : PROXY_PROTOCOL_V1_MAX;
	const char *end = memmem(p, most, "\r\n", 2);
	str rest, word[6];
	int family;

	if (!end)
		return n < PROXY_PROTOCOL_V1_MAX ? 0 : -1;
	*ret = (struct proxy_protocol){ 0 };
	rest = str_at(p, (size_t)(end - p));
	for (int i = 0; i < 2; i++) {
		if (!str_next(&rest, ' ', &word[i]))
			return -1;
	}
	if (str_is(word[1], "UNKNOWN")) {
		ret->is_local = true;
		return end - p + 2;
	}
	for (int i = 2; i < 6; i++) {
		if (!str_next(&rest, ' ', &word[i]))
			return -1;
	}
	family = str_is(word[1], "TCP4") ? AF_INET : str_is(word[1], "TCP6") ? AF_INET6 : -1;
	if (family < 0 || rest.s || !v1_address(word[2], word[4], family, &ret->source) ||
	    !v1_address(word[3], word[5], family, &ret->destination))
		return -1;
	return end - p + 2;
}

ssize_t proxy_protocol_parse(const char *p, size_t n, struct proxy_protocol *ret)
{
	static const char v1_start[6] = "PROXY ";
	size_t v1 = n < sizeof(v1_start) ? n : sizeof(v1_start);
	size_t v2 = n < sizeof(v2_signature) ? n : sizeof(v2_signature);

	if (memcmp(p, v1_start, v1) == 0)
		return n < sizeof(v1_start) ? 0 : parse_v1(p, n, ret);
	if (memcmp(p, v2_signature, v2) == 0)
		return n < sizeof(v2_signature) ? 0 : parse_v2(p, n, ret);
	return -1;
}

enum net_end proxy_protocol_read(struct sock *s, struct proxy_protocol *ret, deadline until)
{
	char head[16 + 512]; /* TLVs beyond that are nothing we look at */
	enum net_end end;

	for (;;) {
		ssize_t n = sock_try_peek(s, head, sizeof(head)), length;

		if (n == NET_EOF || n == NET_RESET)
			return NET_RESET;
		length = n > 0 ? proxy_protocol_parse(head, (size_t)n, ret) : 0;
		if (length < 0 || (length == 0 && n == (ssize_t)sizeof(head)))
			return NET_FAILED;
		if (length > 0)
			return sock_read(s, head, (size_t)length, until) == length ? NET_OK
										   : NET_RESET;
		if (s->io.ready & IO_HUP) /* nothing more comes */
			return NET_RESET;
		io_clear(&s->io, IO_READ); /* the next edge tells of more */
		end = sock_wait(s, IO_READ, until);
		if (end != NET_OK)
			return end;
	}
}
