/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos whole, in parts, in many records, and such as nobody should send. */
#include "net/client_hello.h"

#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those above first */
#include <cmocka.h>

static char name[CLIENT_HELLO_NAME + 1];

static void add(struct buf *b, const char *bytes, size_t n)
{
	buf_add(b, bytes, n);
}

static void add_number(struct buf *b, size_t n, int bytes)
{
	while (bytes-- > 0)
		add(b, &(char){ (char)(n >> (8 * bytes)) }, 1);
}

/* A message with these extensions; NULL: without the list of them. */
static void make_hello(struct buf *b, const char *extensions, size_t n)
{
	size_t body = 2 + 32 + 1 + 4 + 2 + (extensions ? 2 + n : 0);

	add_number(b, 1, 1);
	add_number(b, body, 3);
	add(b, "\x03\x03", 2);
	for (int i = 0; i < 32; i++)
		add_number(b, (size_t)i, 1);
	add(b, "\0", 1);             /* no session */
	add(b, "\0\x02\x13\x01", 4); /* one suite */
	add(b, "\x01\0", 2);         /* no compression */
	if (!extensions)
		return;
	add_number(b, n, 2);
	add(b, extensions, n);
}

/* The message in records of at most that many bytes. */
static void make_records(struct buf *b, str message, size_t most)
{
	while (message.n) {
		size_t n = message.n < most ? message.n : most;

		add(b, "\x16\x03\x01", 3);
		add_number(b, n, 2);
		add(b, message.s, n);
		message = str_from(message, n);
	}
}

static void make_server_name(struct buf *b, const char *host)
{
	size_t n = strlen(host);

	add_number(b, 0, 2);
	add_number(b, n + 5, 2);
	add_number(b, n + 3, 2);
	add_number(b, 0, 1);
	add_number(b, n, 2);
	add(b, host, n);
}

/* With other extensions around it. */
static void make_named(struct buf *records, const char *host, size_t most)
{
	struct buf extensions CLEANUP(buf_done) = { 0 }, message CLEANUP(buf_done) = { 0 };

	add(&extensions, "\0\x17\0\0", 4);
	make_server_name(&extensions, host);
	add(&extensions, "\0\x2b\0\x03\x02\x03\x04", 7);
	make_hello(&message, buf_str(&extensions).s, buf_str(&extensions).n);
	make_records(records, buf_str(&message), most);
}

static enum client_hello parse(const struct buf *b)
{
	return client_hello_parse(buf_str(b).s, buf_str(b).n, name);
}

static void the_name_is_found_in_lower_case(void **state)
{
	struct buf b CLEANUP(buf_done) = { 0 };

	(void)state;
	make_named(&b, "DB.Example.test", 16384);
	assert_int_equal(parse(&b), HELLO_READ);
	assert_string_equal(name, "db.example.test");
}

static void records_may_be_as_short_as_they_like(void **state)
{
	(void)state;
	for (size_t most = 1; most < 20; most++) {
		struct buf b CLEANUP(buf_done) = { 0 };

		make_named(&b, "a.test", most);
		assert_int_equal(parse(&b), HELLO_READ);
		assert_string_equal(name, "a.test");
	}
}

static void each_part_of_it_wants_more(void **state)
{
	struct buf b CLEANUP(buf_done) = { 0 };

	(void)state;
	make_named(&b, "a.test", 30);
	for (size_t n = 0; n < buf_str(&b).n; n++) {
		assert_int_equal(client_hello_parse(buf_str(&b).s, n, name), HELLO_MORE);
		assert_string_equal(name, "");
	}
}

static void what_follows_it_does_not_matter(void **state)
{
	struct buf b CLEANUP(buf_done) = { 0 };

	(void)state;
	make_named(&b, "a.test", 16384);
	add(&b, "\x14\x03\x03\0\x01\x01\x17\x03\x03\0\x02xy", 13); /* early data */
	assert_int_equal(parse(&b), HELLO_READ);
	assert_string_equal(name, "a.test");
}

static void a_hello_may_have_no_name(void **state)
{
	struct buf bare CLEANUP(buf_done) = { 0 }, other CLEANUP(buf_done) = { 0 };
	struct buf b CLEANUP(buf_done) = { 0 }, d CLEANUP(buf_done) = { 0 };

	(void)state;
	make_hello(&bare, NULL, 0);
	make_records(&b, buf_str(&bare), 16384);
	assert_int_equal(parse(&b), HELLO_READ);
	assert_string_equal(name, "");
	make_hello(&other, "\0\x17\0\0", 4);
	make_records(&d, buf_str(&other), 16384);
	assert_int_equal(parse(&d), HELLO_READ);
	assert_string_equal(name, "");
}

static void other_protocols_are_told_at_once(void **state)
{
	static const str texts[] = {
		STR_INIT("GET / HTTP/1.1\r\n"),    STR_INIT("SSH-2.0-x\r\n"),
		STR_INIT("\x80\x2e\x01"),          STR_INIT("\x15\x03\x01\x00\x02\x02\x28"),
		STR_INIT("\x16\x02\x00\x00\x01x"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_int_equal(client_hello_parse(texts[i].s, texts[i].n, name), HELLO_OTHER);
	assert_int_equal(client_hello_parse("G", 1, name), HELLO_OTHER);
}

/* clang-format off */
static const struct {
	const char *what;
	str extensions;
} broken[] = {
	{ "an empty name",               STR_INIT("\0\0\0\x05\0\x03\0\0\0") },
	{ "a name with a NUL in it",     STR_INIT("\0\0\0\x08\0\x06\0\0\x03" "a\0b") },
	{ "a name with a space in it",   STR_INIT("\0\0\0\x08\0\x06\0\0\x03" "a b") },
	{ "another kind of name",        STR_INIT("\0\0\0\x08\0\x06\x01\0\x03" "a.b") },
	{ "bytes behind the name",       STR_INIT("\0\0\0\x09\0\x06\0\0\x03" "a.bx") },
	{ "a list that is too short",    STR_INIT("\0\0\0\x08\0\x05\0\0\x03" "a.b") },
	{ "a name longer than its list", STR_INIT("\0\0\0\x08\0\x06\0\0\x04" "a.b") },
	{ "two names in a list",         STR_INIT("\0\0\0\x0c\0\x0a\0\0\x02" "ab\0\0\x02" "cd") },
	{ "the extension twice",         STR_INIT("\0\0\0\x08\0\x06\0\0\x03" "a.b\0\0\0\x08\0\x06\0\0\x03" "a.b") },
	{ "an extension cut off",        STR_INIT("\0\x17\0\x05") },
	{ "half of an extension's head", STR_INIT("\0\x17\0") },
};
/* clang-format on */

static void a_broken_one_has_no_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(broken); i++) {
		struct buf message CLEANUP(buf_done) = { 0 }, b CLEANUP(buf_done) = { 0 };

		make_hello(&message, broken[i].extensions.s, broken[i].extensions.n);
		make_records(&b, buf_str(&message), 16384);
		if (parse(&b) != HELLO_OTHER || name[0])
			fail_msg("%s was taken: %s", broken[i].what, name);
	}
}

static void one_that_is_too_long_is_none(void **state)
{
	static char zeros[CLIENT_HELLO_MAX + 100];
	struct buf b CLEANUP(buf_done) = { 0 };

	(void)state;
	memcpy(zeros, "\x16\x03\x01\x40\0\x01\0\xff\xff", 9);
	assert_int_equal(client_hello_parse(zeros, 9, name), HELLO_OTHER);
	memcpy(zeros, "\x16\x03\x01\x40\0\x01\0\x3f\xf0", 9);
	assert_int_equal(client_hello_parse(zeros, 9, name), HELLO_MORE);
	memset(zeros, 0, sizeof(zeros));
	make_records(&b, str_at("\x01\0\x3f\xf0", 4),
		     1); /* records of one byte each go on and on */
	for (size_t i = 0; i < 3000; i++)
		make_records(&b, str_at("x", 1), 1);
	assert_int_equal(parse(&b), HELLO_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_is_found_in_lower_case),
		cmocka_unit_test(records_may_be_as_short_as_they_like),
		cmocka_unit_test(each_part_of_it_wants_more),
		cmocka_unit_test(what_follows_it_does_not_matter),
		cmocka_unit_test(a_hello_may_have_no_name),
		cmocka_unit_test(other_protocols_are_told_at_once),
		cmocka_unit_test(a_broken_one_has_no_name),
		cmocka_unit_test(one_that_is_too_long_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
