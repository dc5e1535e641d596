/* SPDX-License-Identifier: Apache-2.0 */
/* jwt: where tokens are found, what must be true of them, what is answered.
 *
 * Tokens are put together here; the signatures' own vectors are in net/test_tls_crypto.c. */
#include "plugins/testing.h"

#include "net/tls_crypto.h"

extern const struct plugin plugin_jwt;

/* clang-format off */
#define RSA_KEY \
	"-----BEGIN PUBLIC KEY-----\\n" \
	"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj\\n" \
	"NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz\\n" \
	"P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo\\n" \
	"9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB\\n" \
	"EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX\\n" \
	"FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\\n" \
	"oQIDAQAB\\n-----END PUBLIC KEY-----\\n"
#define EC_KEY \
	"-----BEGIN PUBLIC KEY-----\\n" \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\\n" \
	"6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\\n-----END PUBLIC KEY-----\\n"

/* RFC 7515 §A.2 and A.3: iss is joe. */
#define RFC_CLAIMS "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC_RS256 "eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS \
	".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W" \
	"2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS" \
	"jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv" \
	"Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RFC_ES256 "eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS \
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

#define CONSUMERS(joe) \
	"{\"_format_version\":\"3.0\",\"consumers\":[" \
	"{\"username\":\"jo\",\"custom_id\":\"c1\",\"jwt_secrets\":[" \
	"{\"key\":\"k\",\"secret\":\"s\"},{\"key\":\"k384\",\"secret\":\"s\",\"algorithm\":\"HS384\"}," \
	"{\"key\":\"k512\",\"secret\":\"s\",\"algorithm\":\"HS512\"},{\"key\":\"b64\",\"secret\":\"c2\"}," \
	"{\"key\":\"none\",\"algorithm\":\"ES256\"}," joe "]}," \
	"{\"username\":\"guest\"}]}"
static const char consumers[] = CONSUMERS(
	"{\"key\":\"joe\",\"algorithm\":\"RS256\",\"rsa_public_key\":\"" RSA_KEY "\"}");
static const char with_curve[] = CONSUMERS(
	"{\"key\":\"joe\",\"algorithm\":\"ES256\",\"rsa_public_key\":\"" EC_KEY "\"}");
/* clang-format on */

static str signed_by(enum hash_kind hash, const char *header, const char *claims, str key)
{
	str text = str_fmt(test.a, STRF "." STRF, STRV(base64url_encode(test.a, str_of(header))),
			   STRV(base64url_encode(test.a, str_of(claims))));

	return str_fmt(test.a, STRF "." STRF, STRV(text),
		       STRV(base64url_encode(test.a, hmac(test.a, hash, key, text))));
}

/* A token of HS256 by the secret "s", as an Authorization header. */
static const char *bearing(str token)
{
	return str_fmt(test.a, "Authorization: Bearer " STRF "\r\n", STRV(token)).s;
}

#define HS256 "{\"typ\":\"JWT\",\"alg\":\"HS256\"}"

/* clang-format off */
static const struct {
	enum hash_kind hash;
	const char *header, *claims, *secret, *conf, *answer;
} cases[] = {
	{ HASH_SHA256, HS256, "{\"iss\":\"k\"}", "s", "{}", "" },
	{ HASH_SHA256, "{\"alg\":\"HS256\",\"iss\":\"k\"}", "{}", "s", "{}", "" },
	{ HASH_SHA384, "{\"alg\":\"HS384\"}", "{\"iss\":\"k384\"}", "s", "{}", "" },
	{ HASH_SHA512, "{\"alg\":\"HS512\"}", "{\"iss\":\"k512\"}", "s", "{}", "" },
	{ HASH_SHA256, HS256, "{\"kid\":\"k\"}", "s", "{\"key_claim_name\":\"kid\"}", "" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\"}", "other", "{}", "401 Invalid signature" },
	{ HASH_SHA512, HS256, "{\"iss\":\"k\"}", "s", "{}", "401 Invalid signature" },
	/* what the credential says is what counts */
	{ HASH_SHA512, "{\"alg\":\"HS512\"}", "{\"iss\":\"k\"}", "s", "{}", "401 Invalid algorithm" },
	{ HASH_SHA256, HS256, "{\"iss\":\"joe\"}", "s", "{}", "401 Invalid algorithm" },
	{ HASH_SHA256, "{\"alg\":\"none\"}", "{\"iss\":\"k\"}", "s", "{}", "401 Bad token; invalid alg" },
	{ HASH_SHA256, "{\"alg\":\"EdDSA\"}", "{\"iss\":\"k\"}", "s", "{}", "401 Bad token; invalid alg" },
	{ HASH_SHA256, "{\"alg\":256}", "{\"iss\":\"k\"}", "s", "{}", "401 Bad token; invalid alg" },
	{ HASH_SHA256, "[]", "{\"iss\":\"k\"}", "s", "{}", "401 Bad token; invalid alg" },
	{ HASH_SHA256, HS256, "null", "s", "{}", "401 Bad token; invalid claims" },
	{ HASH_SHA256, HS256, "{", "s", "{}", "401 Bad token; invalid JSON" },
	{ HASH_SHA256, "", "{}", "s", "{}", "401 Bad token; invalid JSON" },
	{ HASH_SHA256, HS256, "{}", "s", "{}", "401 No mandatory 'iss' in claims" },
	{ HASH_SHA256, HS256, "{\"iss\":\"\"}", "s", "{}", "401 Invalid 'iss' in claims" },
	{ HASH_SHA256, HS256, "{\"iss\":7}", "s", "{}", "401 Invalid 'iss' in claims" },
	{ HASH_SHA256, HS256, "{\"iss\":\"x\"}", "s", "{}", "401 No credentials found for given 'iss'" },
	{ HASH_SHA256, "{\"alg\":\"ES256\"}", "{\"iss\":\"none\"}", "s", "{}", "401 Invalid key/secret" },
	{ HASH_SHA256, HS256, "{\"iss\":\"b64\"}", "s", "{\"secret_is_base64\":true}", "" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\"}", "s", "{\"secret_is_base64\":true}", "401 Invalid key/secret" },
	/* claims */
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"exp\":9999999999}", "s", "{\"claims_to_verify\":[\"exp\"]}", "" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"exp\":1}", "s", "{}", "" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"exp\":1}", "s", "{\"claims_to_verify\":[\"exp\"]}", "401 {\"exp\":\"token expired\"}" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\"}", "s", "{\"claims_to_verify\":[\"exp\"]}", "401 {\"exp\":\"must be a number\"}" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"exp\":\"9999999999\"}", "s", "{\"claims_to_verify\":[\"exp\"]}", "401 {\"exp\":\"must be a number\"}" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"nbf\":9999999999}", "s", "{\"claims_to_verify\":[\"nbf\"]}", "401 {\"nbf\":\"token not valid yet\"}" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"nbf\":1.5}", "s", "{\"claims_to_verify\":[\"nbf\"]}", "" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"exp\":1,\"nbf\":9999999999}", "s", "{\"claims_to_verify\":[\"exp\",\"nbf\"]}",
	  "401 {\"exp\":\"token expired\",\"nbf\":\"token not valid yet\"}" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"exp\":9999999999}", "s",
	  "{\"claims_to_verify\":[\"exp\"],\"maximum_expiration\":300}", "401 {\"exp\":\"exceeds maximum allowed expiration\"}" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\"}", "s", "{\"maximum_expiration\":300}", "401 {\"exp\":\"exceeds maximum allowed expiration\"}" },
	{ HASH_SHA256, HS256, "{\"iss\":\"k\",\"exp\":1}", "s", "{\"maximum_expiration\":300}", "401 {\"exp\":\"token expired\"}" },
};
/* clang-format on */

static void a_token_must_be_whole_known_and_signed(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(cases); i++) {
		str token = signed_by(cases[i].hash, cases[i].header, cases[i].claims,
				      str_of(cases[i].secret));
		struct req *r = test_request("GET", "/", bearing(token));

		test_run(&plugin_jwt, PHASE_ACCESS, r, cases[i].conf);
		if (strcmp(test_answer(r), cases[i].answer) != 0)
			fail_msg("case %zu: %s", i, test_answer(r));
		assert_string_equal(test_sent(r, "x-consumer-username"),
				    cases[i].answer[0] ? "" : "jo");
	}
}

static void public_keys_check_what_private_ones_signed(void **state)
{
	struct req *r;

	(void)state;
	test_config(consumers);
	r = test_request("GET", "/", bearing(STR(RFC_RS256)));
	test_run(&plugin_jwt, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_answer(r), "");
	assert_string_equal(test_sent(r, "x-credential-identifier"), "joe");
	assert_string_equal(test_sent(r, "x-consumer-custom-id"), "c1");
	assert_true(str_is(value_get(req_shared(r), "authenticated_jwt_token")->s, RFC_RS256));
	r = test_request("GET", "/", bearing(STR(RFC_ES256)));
	test_run(&plugin_jwt, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_answer(r), "401 Invalid algorithm");
	test_config(with_curve);
	r = test_request("GET", "/", bearing(STR(RFC_ES256)));
	test_run(&plugin_jwt, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_answer(r), "");
}

/* The public key is no secret: a token that it "signed" as one is worth nothing. */
static void a_public_key_is_never_a_shared_secret(void **state)
{
	const struct consumer *nobody = NULL;
	str key = str_at(RSA_KEY, sizeof(RSA_KEY) - 1);
	str token = signed_by(HASH_SHA256, HS256, "{\"iss\":\"joe\"}", key);
	struct req *r;

	(void)state;
	test_config(consumers);
	r = test_request("GET", "/", bearing(token));
	test_run(&plugin_jwt, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_answer(r), "401 Invalid algorithm");
	assert_ptr_equal(req_consumer(r), nobody);
	token = str_copy(test.a, STR(RFC_RS256));
	((char *)(uintptr_t)token.s)[token.n - 100] ^= 1; /* of the signature */
	r = test_request("GET", "/", bearing(token));
	test_run(&plugin_jwt, PHASE_ACCESS, r, "{}");
	assert_string_equal(test_answer(r), "401 Invalid signature");
}

/* clang-format off */
/* $ stands for a good token, % for another one. */
static const struct {
	const char *method, *target, *headers, *conf, *answer, *consumer;
} places[] = {
	{ "GET", "/", "", "{}", "401 Unauthorized", "" },
	{ "GET", "/?jwt=$", "", "{}", "", "jo" },
	{ "GET", "/?jwt=", "", "{}", "401 Unauthorized", "" },
	{ "GET", "/?jwt", "", "{}", "401 Unrecognizable token", "" },
	{ "GET", "/?jwt=$&jwt=$", "", "{}", "", "jo" },
	{ "GET", "/?jwt=$&jwt=%", "", "{}", "401 Multiple tokens provided", "" },
	{ "GET", "/?jwt=$", "Authorization: Bearer $\r\n", "{}", "", "jo" },
	{ "GET", "/?jwt=$", "Authorization: Bearer %\r\n", "{}", "401 Multiple tokens provided", "" },
	{ "GET", "/?t=$", "", "{}", "401 Unauthorized", "" },
	{ "GET", "/?t=$", "", "{\"uri_param_names\":[\"jwt\",\"t\"]}", "", "jo" },
	{ "GET", "/", "Cookie: a=b; sid=$\r\n", "{}", "401 Unauthorized", "" },
	{ "GET", "/", "Cookie: a=b; sid=$; c\r\n", "{\"cookie_names\":[\"sid\"]}", "", "jo" },
	{ "GET", "/", "Cookie: sid=\r\n", "{\"cookie_names\":[\"sid\"]}", "401 Unauthorized", "" },
	{ "GET", "/", "Authorization: bearer   $\r\n", "{}", "", "jo" },
	{ "GET", "/", "Authorization: BEARER $\r\n", "{}", "401 Unauthorized", "" },
	{ "GET", "/", "Authorization: Bearer\r\n", "{}", "401 Unauthorized", "" },
	{ "GET", "/", "Authorization: Bearer$\r\n", "{}", "401 Unauthorized", "" },
	{ "GET", "/", "X-Token: Bearer $\r\n", "{\"header_names\":[\"x-token\"]}", "", "jo" },
	{ "GET", "/", "Authorization: Bearer a\r\n", "{}", "401 Bad token; invalid JSON", "" },
	{ "GET", "/", "Authorization: Bearer a.b\r\n", "{}", "401 Bad token; invalid JSON", "" },
	{ "GET", "/", "Authorization: Bearer $.x\r\n", "{}", "401 Bad token; invalid signature", "" },
	{ "OPTIONS", "/", "", "{}", "401 Unauthorized", "" },
	{ "OPTIONS", "/", "", "{\"run_on_preflight\":false}", "", "" },
	{ "GET", "/", "", "{\"anonymous\":\"guest\"}", "", "guest" },
	{ "GET", "/", "Authorization: Bearer $\r\n", "{\"anonymous\":\"guest\"}", "", "jo" },
	{ "GET", "/", "", "{\"anonymous\":\"nobody\"}", "500 An unexpected error occurred", "" },
};
/* clang-format on */

static const char *filled_in(const char *text, str good, str other)
{
	struct buf b CLEANUP(buf_done) = { 0 };

	for (; *text; text++) {
		if (*text == '$' || *text == '%')
			buf_add_str(&b, *text == '$' ? good : other);
		else
			buf_add_char(&b, *text);
	}
	return str_z(test.a, buf_str(&b));
}

static void tokens_are_looked_for_everywhere(void **state)
{
	str good, other;

	(void)state;
	test_config(consumers);
	good = signed_by(HASH_SHA256, HS256, "{\"iss\":\"k\"}", STR("s"));
	other = signed_by(HASH_SHA256, HS256, "{\"iss\":\"k\",\"x\":1}", STR("s"));
	for (size_t i = 0; i < COUNT(places); i++) {
		struct req *r =
			test_request(places[i].method, filled_in(places[i].target, good, other),
				     filled_in(places[i].headers, good, other));

		test_run(&plugin_jwt, PHASE_ACCESS, r, places[i].conf);
		if (strcmp(test_answer(r), places[i].answer) != 0)
			fail_msg("case %zu: %s", i, test_answer(r));
		assert_string_equal(test_sent(r, "x-consumer-username"), places[i].consumer);
	}
}

/* clang-format off */
static const struct {
	const char *row, *errors;
} rows[] = {
	{ "{\"algorithm\":\"RS256\"}", "\"rsa_public_key\":\"required field missing\"" },
	{ "{\"algorithm\":\"RS512\",\"rsa_public_key\":\"x\"}", "\"rsa_public_key\":\"invalid key\"" },
	{ "{\"algorithm\":\"RS512\",\"rsa_public_key\":\"x\"}", "failed conditional validation given value of field 'algorithm'" },
	{ "{\"algorithm\":\"EdDSA\"}", "expected one of: HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384" },
	{ "{\"algorithm\":\"ES256\",\"rsa_public_key\":\"x\"}", "" },
	{ "{\"algorithm\":\"RS256\",\"rsa_public_key\":\"" RSA_KEY "\"}", "" },
	{ "{}", "" },
};
/* clang-format on */

static void credentials_are_checked(void **state)
{
	const struct entity *e;

	(void)state;
	test_begin();
	e = entity_find(STR("jwt_secrets"));
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct schema_options o = { .op = SCHEMA_INSERT, .now_ms = 1700000000000 };
		struct value *doc = test_json(rows[i].row), *errors;
		str text;

		value_set(test.a, doc, STR("consumer"),
			  test_json("{\"id\":\"bf2b0e2b-3d0c-4d4e-8c46-0fe8a1a7c6a1\"}"));
		errors = entity_process(test.a, e, doc, &o);
		text = errors ? json_text(test.a, errors, JSON_COMPACT) : STR("");
		if (rows[i].errors[0] ? str_find_str(text, str_of(rows[i].errors)) < 0 : text.n > 0)
			fail_msg("%s: " STRF, rows[i].row, STRV(text));
		if (!errors) {
			assert_int_equal(value_get(doc, "key")->s.n, 32);
			assert_int_equal(value_get(doc, "secret")->s.n, 32);
		}
	}
}

static void a_maximum_needs_exp_to_be_verified(void **state)
{
	struct value *doc;

	(void)state;
	assert_true(
		str_find_str(
			test_check(&plugin_jwt,
				   "{\"maximum_expiration\":300,\"claims_to_verify\":[\"nbf\"]}",
				   &doc),
			STR("claims_to_verify")) >= 0);
	assert_int_equal(test_check(&plugin_jwt,
				    "{\"maximum_expiration\":300,\"claims_to_verify\":[\"exp\"]}",
				    &doc)
				 .n,
			 0);
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_jwt);
	test_schema("jwt_secrets", entity_schema(entity_find(STR("jwt_secrets"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(credentials_are_checked),
		cmocka_unit_test(a_maximum_needs_exp_to_be_verified),
		cmocka_unit_test(a_token_must_be_whole_known_and_signed),
		cmocka_unit_test(public_keys_check_what_private_ones_signed),
		cmocka_unit_test(a_public_key_is_never_a_shared_secret),
		cmocka_unit_test(tokens_are_looked_for_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
