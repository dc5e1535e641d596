/* SPDX-License-Identifier: Apache-2.0 */
/* verified: what was added is known, nothing else is, and room is bounded; SipHash's own vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/siphash.h"
#include "base/verified.h"
#include <stdio.h>

static str text_of(int i, char room[32])
{
	return str_at(room, (size_t)snprintf(room, 32, "text-%d", i));
}

static void what_was_added_is_known_and_nothing_else(void **state)
{
	struct verified *v = verified_new(64), *other = verified_new(64);

	(void)state;
	assert_false(verified_has(v, STR("a")));
	assert_false(verified_has(v, STR("")));
	verified_add(v, STR("a"));
	assert_true(verified_has(v, STR("a")));
	assert_false(verified_has(v, STR("b")));
	assert_false(verified_has(v, STR("a\0")));
	assert_false(verified_has(other, STR("a")));
	verified_drop(&v);
	verified_drop(&other);
	assert_null(v);
}

static void the_one_that_was_not_asked_for_makes_room(void **state)
{
	struct verified *v = verified_new(4);
	char room[32];

	(void)state;
	for (int i = 0; i < 4; i++)
		verified_add(v, text_of(i, room));
	assert_true(verified_has(v, text_of(0, room)));
	verified_add(v, text_of(4, room));
	assert_true(verified_has(v, text_of(0, room)));
	assert_false(verified_has(v, text_of(1, room)));
	for (int i = 2; i < 5; i++)
		assert_true(verified_has(v, text_of(i, room)));
	verified_drop(&v);
}

static void many_fit_beside_each_other(void **state)
{
	struct verified *v = verified_new(4096);
	char room[32];
	int known = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		verified_add(v, text_of(i, room));
	for (int i = 0; i < 1000; i++)
		known += verified_has(v, text_of(i, room));
	assert_in_range(known, 980, 1000);
	for (int i = 1000; i < 2000; i++)
		assert_false(verified_has(v, text_of(i, room)));
	verified_drop(&v);
}

/* Of the authors' reference implementation: key 00 01 .. 0f, text 00 01 .. */
static void macs_are_siphash_s(void **state)
{
	static const uint64_t of_none[] = { 0xe6a825ba047f81a3, 0x930255c71472f66d };
	static const uint64_t of_one[] = { 0x44af996bd8c187da, 0x45fc229b11597634 };
	static const uint64_t of_fifteen[] = { 0x11a8b03399e99354, 0xd9c3cf970fec087e };
	static const struct sip_key key = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	static const uint8_t text[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };
	struct sip_mac mac;

	(void)state;
	mac = sip_mac(&key, text, 0);
	assert_memory_equal(mac.words, of_none, sizeof(of_none));
	mac = sip_mac(&key, text, 1);
	assert_memory_equal(mac.words, of_one, sizeof(of_one));
	mac = sip_mac(&key, text, sizeof(text));
	assert_memory_equal(mac.words, of_fifteen, sizeof(of_none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_is_known_and_nothing_else),
		cmocka_unit_test(the_one_that_was_not_asked_for_makes_room),
		cmocka_unit_test(many_fit_beside_each_other),
		cmocka_unit_test(macs_are_siphash_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
