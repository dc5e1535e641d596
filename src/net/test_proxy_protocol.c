/* SPDX-License-Identifier: Apache-2.0 */
/* PROXY headers of both versions, whole, in parts and wrong. */
#include "net/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const str v2_tcp4 = STR_INIT(SIGNATURE "\x21\x11\x00\x0f"
					      "\x0a\x00\x00\x01\x0a\x00\x00\x02\x30\x39\x01\xbb"
					      "\x04\x00\x00");
static const str v2_local = STR_INIT(SIGNATURE "\x20\x00\x00\x00");

static void expect(str text, const char *source, int port)
{
	struct proxy_protocol p;
	char ip[ADDRESS_TEXT];

	assert_int_equal(proxy_protocol_parse(text.s, text.n, &p), (ssize_t)text.n);
	assert_false(p.is_local);
	address_ip(&p.source, ip);
	assert_string_equal(ip, source);
	assert_int_equal(address_port(&p.source), port);
}

static void both_versions_tell_addresses(void **state)
{
	(void)state;
	expect(STR("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"), "192.0.2.1", 56324);
	expect(STR("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "2001:db8::1", 1);
	expect(v2_tcp4, "10.0.0.1", 12345);
}

static void own_connections_say_nothing(void **state)
{
	struct proxy_protocol p;

	(void)state;
	assert_int_equal(proxy_protocol_parse("PROXY UNKNOWN\r\n", 15, &p), 15);
	assert_true(p.is_local);
	assert_int_equal(proxy_protocol_parse("PROXY UNKNOWN a b c d\r\nGET", 26, &p), 23);
	assert_true(p.is_local);
	assert_int_equal(proxy_protocol_parse(v2_local.s, v2_local.n, &p), 16);
	assert_true(p.is_local);
}

static void a_part_wants_more(void **state)
{
	static const str texts[] = { STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n") };
	struct proxy_protocol p;

	(void)state;
	for (size_t n = 0; n < texts[0].n; n++)
		assert_int_equal(proxy_protocol_parse(texts[0].s, n, &p), 0);
	for (size_t n = 0; n < v2_tcp4.n; n++)
		assert_int_equal(proxy_protocol_parse(v2_tcp4.s, n, &p), 0);
}

static void everything_else_is_refused(void **state)
{
	static const str bad[] = {
		STR_INIT("GET / HTTP/1.1\r\n"),
		STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n"),
		STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 1\r\n"),
		STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 66324 443\r\n"),
		STR_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 01 443\r\n"),
		STR_INIT("PROXY TCP4 2001:db8::1 192.0.2.2 1 443\r\n"),
		STR_INIT("PROXY TCP5 192.0.2.1 192.0.2.2 1 443\r\n"),
		STR_INIT("PROXY  TCP4 192.0.2.1 192.0.2.2 1 443\r\n"),
		STR_INIT(SIGNATURE "\x11\x11\x00\x0c"
				   "aaaabbbbccdd"),
		STR_INIT(SIGNATURE "\x22\x11\x00\x0c"
				   "aaaabbbbccdd"),
		STR_INIT(SIGNATURE "\x21\x11\x00\x04"
				   "aaaa"),
	};
	struct proxy_protocol p;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(proxy_protocol_parse(bad[i].s, bad[i].n, &p), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_versions_tell_addresses),
		cmocka_unit_test(own_connections_say_nothing),
		cmocka_unit_test(a_part_wants_more),
		cmocka_unit_test(everything_else_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
