/* SPDX-License-Identifier: Apache-2.0 */
/* tls_crypto: the vectors of the RFCs, and what must not pass. */
#include "net/tls_crypto.h"

#include "net/tls.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct arena *pool;

/* clang-format off */
static const char rfc7515_a1_text[] =
	"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQo"
	"gImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
static const char rfc7515_a1_key[] =
	"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
static const char rfc7515_a2_text[] =
	"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx"
	"lLmNvbS9pc19yb290Ijp0cnVlfQ";
static const char rfc7515_a2_sig[] =
	"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W"
	"2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
	"jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
	"Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
static const char rfc7515_a2_key[] =
	"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0t"
	"ZWJj\nNiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz\nP1Pt0Bm4d4QlL+yR"
	"T+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo\n9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexM"
	"dbBYUsLA9e+KXBdQOS+UTo7WTB\nEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aG"
	"hyxX\nFvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\noQIDAQAB\n-----E"
	"ND PUBLIC KEY-----\n";
static const char rfc7515_a3_text[] =
	"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx"
	"lLmNvbS9pc19yb290Ijp0cnVlfQ";
static const char rfc7515_a3_sig[] =
	"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char rfc7515_a3_key[] =
	"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gH"
	"MzV7\n6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n-----END PUBLIC KEY-"
	"----\n";
static const char p384_key[] =
	"-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEgW4Qz6+IbOsgR3kvPAA9lMAi3SFW"
	"ckTI\n6CXVbesqmCyfgeroHMe88U4T4w5St4EErOn+30ryT406B/Gn7JiGq3OjzZZsXcpX\nTM4TrfruJZzW3PdS"
	"w5Z3bcW7XX9BTiBw\n-----END PUBLIC KEY-----\n";
static const char p384_sig[] =
	"nLch3qz-T6VW8xs2ci1srSrnXA73G4U9FTr6TT2Neka9zU8aOtWtofQtKTj5YVLKwmx_iqcbsTPS2ezaXXL6LtM5"
	"w-sZHoH2kxYCUi82nMjMBSt72wNz0oxeN6CWYEwN";
/* clang-format on */

static const char *hex(str bytes)
{
	return str_z(pool, hex_encode(pool, bytes));
}

static str repeat(char c, size_t n)
{
	char *p = arena_bytes(pool, n);

	memset(p, c, n);
	return str_at(p, n);
}

/* RFC 4231 §4.2, 4.3, 4.7; RFC 2202 §3 for SHA-1. */
static void macs_are_those_of_the_rfcs(void **state)
{
	str jefe = STR("Jefe"), what = STR("what do ya want for nothing?");
	str large = STR("Test Using Larger Than Block-Size Key - Hash Key First");

	(void)state;
	assert_string_equal(hex(hmac(pool, HASH_SHA256, repeat(0x0b, 20), STR("Hi There"))),
			    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_string_equal(hex(hmac(pool, HASH_SHA1, jefe, what)),
			    "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
	assert_string_equal(hex(hmac(pool, HASH_SHA256, jefe, what)),
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_string_equal(hex(hmac(pool, HASH_SHA384, jefe, what)),
			    "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
			    "8e2240ca5e69e2c78b3239ecfab21649");
	assert_string_equal(hex(hmac(pool, HASH_SHA512, jefe, what)),
			    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
			    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
	assert_string_equal(hex(hmac(pool, HASH_SHA256, repeat((char)0xaa, 131), large)),
			    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static str decode(const char *text)
{
	str ret;

	assert_true(base64url_decode(pool, str_of(text), BASE64URL_STRICT, &ret));
	return ret;
}

static void signatures_are_those_of_the_rfcs(void **state)
{
	str text = str_of(rfc7515_a2_text), ec_text = str_of(rfc7515_a3_text);
	str rsa = str_of(rfc7515_a2_key), ec = str_of(rfc7515_a3_key);

	(void)state;
	assert_string_equal(
		str_z(pool, base64url_encode(pool, hmac(pool, HASH_SHA256, decode(rfc7515_a1_key),
							str_of(rfc7515_a1_text)))),
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	assert_true(signature_is_rsa(rsa, HASH_SHA256, text, decode(rfc7515_a2_sig)));
	assert_true(signature_is_ecdsa(ec, HASH_SHA256, ec_text, decode(rfc7515_a3_sig)));
	assert_true(
		signature_is_ecdsa(str_of(p384_key), HASH_SHA384, STR("a text"), decode(p384_sig)));
}

static void other_keys_texts_and_signatures_do_not_pass(void **state)
{
	str text = str_of(rfc7515_a2_text), ec_text = str_of(rfc7515_a3_text);
	str rsa = str_of(rfc7515_a2_key), ec = str_of(rfc7515_a3_key);
	str sig = decode(rfc7515_a2_sig), ec_sig = decode(rfc7515_a3_sig);

	(void)state;
	assert_false(signature_is_rsa(rsa, HASH_SHA512, text, sig));
	assert_false(signature_is_rsa(rsa, HASH_SHA256, ec_text, sig));
	assert_false(signature_is_rsa(ec, HASH_SHA256, text, sig));
	assert_false(signature_is_rsa(rsa, HASH_SHA256, text, str_part(sig, 0, sig.n - 1)));
	assert_false(signature_is_rsa(rsa, HASH_SHA256, text, STR("")));
	assert_false(signature_is_rsa(STR("no key"), HASH_SHA256, text, sig));
	assert_false(signature_is_ecdsa(ec, HASH_SHA384, ec_text, ec_sig));
	assert_false(signature_is_ecdsa(rsa, HASH_SHA256, ec_text, ec_sig));
	assert_false(signature_is_ecdsa(ec, HASH_SHA256, text, ec_sig));
	assert_false(signature_is_ecdsa(ec, HASH_SHA256, ec_text, STR("")));
	assert_false(signature_is_ecdsa(ec, HASH_SHA256, ec_text, repeat(0, 64)));
	assert_false(signature_is_ecdsa(str_of(p384_key), HASH_SHA256, STR("a text"), ec_sig));
	assert_true(signing_key_is_good(rsa));
	assert_false(signing_key_is_good(STR("-----BEGIN PUBLIC KEY-----")));
}

/* clang-format off */
static const struct {
	const char *text, *strict, *free; /* decoded; NULL: refused */
} spellings[] = {
	{ "", "", "" },
	{ "Zg", "f", "f" }, { "Zg==", "f", "f" }, { "Zm8", "fo", "fo" }, { "Zm9v", "foo", "foo" },
	{ "Zh", NULL, "f" }, { "Zm9", NULL, "fo" },
	{ "-_-_", "\xfb\xff\xbf", "\xfb\xff\xbf" }, { "+/+/", NULL, "\xfb\xff\xbf" },
	{ "Z", NULL, NULL }, { "Zg=", NULL, NULL }, { "Z===", NULL, NULL }, { "Zm 8", NULL, NULL },
	{ "Zm8\n", NULL, NULL }, { "Zg==Zg==", NULL, NULL },
};
/* clang-format on */

static void base64url_has_one_spelling_unless_it_is_free(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(spellings); i++) {
		str text = str_of(spellings[i].text), ret = STR("?");
		bool is_read = base64url_decode(pool, text, BASE64URL_STRICT, &ret);

		assert_int_equal(is_read, spellings[i].strict != NULL);
		if (is_read)
			assert_string_equal(str_z(pool, ret), spellings[i].strict);
		is_read = base64url_decode(pool, text, BASE64URL_FREE, &ret);
		assert_int_equal(is_read, spellings[i].free != NULL);
		if (is_read)
			assert_string_equal(str_z(pool, ret), spellings[i].free);
	}
}

/* RFC 5869 §A.1 and A.3; RFC 7914 §11 for PBKDF2. */
static void derived_keys_are_those_of_the_rfcs(void **state)
{
	static const char salt[] = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c";
	static const char info[] = "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9";
	uint8_t out[64];

	(void)state;
	assert_true(key_derive(repeat(0x0b, 22), str_at(salt, 13), str_at(info, 10), out, 42));
	assert_string_equal(hex(str_at((char *)out, 42)),
			    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
			    "34007208d5b887185865");
	assert_true(key_derive(repeat(0x0b, 22), STR(""), STR(""), out, 42));
	assert_string_equal(hex(str_at((char *)out, 42)),
			    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
			    "9d201395faa4b61a96c8");
	assert_true(key_stretch(HASH_SHA256, STR("passwd"), STR("salt"), 1, out, 64));
	assert_string_equal(hex(str_at((char *)out, 64)),
			    "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
			    "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
}

/* The Galois/Counter Mode of Operation (McGrew, Viega), test case 16. */
static void what_is_sealed_opens_with_every_byte_in_place_alone(void **state)
{
	static const uint8_t key[] =
		"\xfe\xff\xe9\x92\x86\x65\x73\x1c\x6d\x6a\x8f\x94\x67\x30\x83\x08"
		"\xfe\xff\xe9\x92\x86\x65\x73\x1c\x6d\x6a\x8f\x94\x67\x30\x83\x08";
	static const uint8_t iv[] = "\xca\xfe\xba\xbe\xfa\xce\xdb\xad\xde\xca\xf8\x88";
	static const char beside[] =
		"\xfe\xed\xfa\xce\xde\xad\xbe\xef\xfe\xed\xfa\xce\xde\xad\xbe\xef"
		"\xab\xad\xda\xd2";
	static const char text[] =
		"\xd9\x31\x32\x25\xf8\x84\x06\xe5\xa5\x59\x09\xc5\xaf\xf5\x26\x9a"
		"\x86\xa7\xa9\x53\x15\x34\xf7\xda\x2e\x4c\x30\x3d\x8a\x31\x8a\x72"
		"\x1c\x3c\x0c\x95\x95\x68\x09\x53\x2f\xcf\x0e\x24\x49\xa6\xb5\x25"
		"\xb1\x6a\xed\xf5\xaa\x0d\xe6\x57\xba\x63\x7b\x39";
	str plain = str_at(text, 60), also = str_at(beside, 20), sealed, opened;
	uint8_t tag[SEAL_TAG];

	(void)state;
	assert_true(seal(pool, key, iv, also, plain, &sealed, tag));
	assert_string_equal(hex(sealed),
			    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
			    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662");
	assert_string_equal(hex(str_at((char *)tag, SEAL_TAG)), "76fc6ece0f4e1768cddf8853bb2d551b");
	assert_true(seal_open(pool, key, iv, also, sealed, tag, &opened));
	assert_true(str_eq(opened, plain));
	assert_false(seal_open(pool, key, iv, str_from(also, 1), sealed, tag, &opened));
	assert_false(seal_open(pool, key, iv, also, str_from(sealed, 1), tag, &opened));
	tag[15] ^= 1;
	assert_false(seal_open(pool, key, iv, also, sealed, tag, &opened));
}

static void random_texts_are_letters_and_digits_and_differ(void **state)
{
	str one = random_text(pool, 100), other = random_text(pool, 100);

	(void)state;
	assert_int_equal(one.n, 100);
	for (size_t i = 0; i < one.n; i++)
		assert_true(ascii_is_alnum(one.s[i]));
	assert_false(str_eq(one, other));
}

static int begin(void **state)
{
	(void)state;
	pool = arena_new();
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_drop(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(macs_are_those_of_the_rfcs),
		cmocka_unit_test(signatures_are_those_of_the_rfcs),
		cmocka_unit_test(other_keys_texts_and_signatures_do_not_pass),
		cmocka_unit_test(base64url_has_one_spelling_unless_it_is_free),
		cmocka_unit_test(derived_keys_are_those_of_the_rfcs),
		cmocka_unit_test(what_is_sealed_opens_with_every_byte_in_place_alone),
		cmocka_unit_test(random_texts_are_letters_and_digits_and_differ),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
