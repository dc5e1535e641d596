/* SPDX-License-Identifier: Apache-2.0 */
/* password: hashes are read as others write them, and no others are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/arena.h"
#include "net/password.h"

static struct arena *a;

/* Python's hashlib.pbkdf2_hmac(kind, b"secret", bytes(range(16)), rounds, length) */
#define SALT   "AAECAwQFBgcICQoLDA0ODw"
#define SHA512 "$pbkdf2-sha512$i=10000,l=32$" SALT "$s1qOkFay1DbcR0sablkjBgtOqf1IcoQVkkK1uzR9LdU"
#define SHA256 "$pbkdf2-sha256$i=1000,l=20$" SALT "$Tvsru20utY6o3q7VRBeuL9h/1Qo"

static void a_hash_is_of_one_password(void **state)
{
	static const char *const hashes[] = { SHA512, SHA256 };
	struct password_hash h;

	(void)state;
	for (size_t i = 0; i < COUNT(hashes); i++) {
		assert_true(password_hash_read(a, str_of(hashes[i]), &h));
		assert_string_equal(str_z(a, password_hash_text(a, &h)), hashes[i]);
		assert_true(password_is(&h, STR("secret")));
		assert_false(password_is(&h, STR("secreT")));
		assert_false(password_is(&h, STR("")));
	}
}

static void what_is_made_is_salted_and_read_again(void **state)
{
	struct password_hash one, two, again;

	(void)state;
	assert_true(password_hash_make(a, HASH_SHA256, 1000, STR("x"), &one));
	assert_true(password_hash_make(a, HASH_SHA256, 1000, STR("x"), &two));
	assert_false(str_eq(one.hash, two.hash));
	assert_true(password_hash_read(a, password_hash_text(a, &one), &again));
	assert_true(password_is(&again, STR("x")));
	assert_false(password_is(&again, STR("y")));
}

/* clang-format off */
static const char *const bad[] = {
	"", "$", "secret", "$pbkdf2-sha512$", "$pbkdf2-sha1$i=1000,l=16$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=0,l=16$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=-1,l=16$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=+1,l=16$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=1000001,l=16$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=99999999999999999999,l=16$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=1000,l=17$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=1000,l=3$" SALT "$AAEC",
	"$pbkdf2-sha512$i=1000,l=16$AAEC$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=1000,l=16$" SALT "$AAECAwQFBgcICQoLDA0ODw$",
	"$pbkdf2-sha512$i=1000,l=16$" SALT "$AAECAwQFBgcICQoLDA0O!!",
	"$pbkdf2-sha512$l=16,i=1000$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=1000$" SALT "$AAECAwQFBgcICQoLDA0ODw",
	"$pbkdf2-sha512$i=1000,l=16$" SALT, "$pbkdf2-sha512$i=1000,l=16$" SALT "$", "$pbkdf2-sha512$i=1000,l=16$$",
};
/* clang-format on */

static void what_is_not_well_formed_is_none(void **state)
{
	struct password_hash h;

	(void)state;
	assert_true(password_hash_read(
		a, STR("$pbkdf2-sha512$i=1000,l=16$" SALT "$AAECAwQFBgcICQoLDA0ODw"), &h));
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (password_hash_read(a, str_of(bad[i]), &h))
			fail_msg("%s", bad[i]);
	}
	assert_true(password_hash_is_meant(STR("$pbkdf2-sha512$i")));
	assert_false(password_hash_is_meant(STR("$pbkdf2-sha1$i")));
	assert_false(password_hash_is_meant(STR("pass$pbkdf2-sha512$")));
}

static int begin(void **state)
{
	(void)state;
	a = arena_new();
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_drop(&a);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hash_is_of_one_password),
		cmocka_unit_test(what_is_made_is_salted_and_read_again),
		cmocka_unit_test(what_is_not_well_formed_is_none),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
