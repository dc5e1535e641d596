/* SPDX-License-Identifier: Apache-2.0 */
/* hmac-auth: what is signed, with what, how old it may be, and what is answered. */
#include "plugins/testing.h"

#include "net/tls.h"
#include "net/tls_crypto.h"

extern const struct plugin plugin_hmac_auth;

static const char consumers[] = "{\"_format_version\":\"3.0\",\"consumers\":["
				"{\"username\":\"jo\",\"hmacauth_credentials\":["
				"{\"username\":\"jo\",\"secret\":\"s\"}]},"
				"{\"username\":\"guest\"}]}";

static const char *date_in(int seconds)
{
	static char date[30];

	return http_date(clock_wall_s() + seconds, date);
}

static str signature(enum hash_kind hash, str text, const char *secret)
{
	return base64_encode(test.a, hmac(test.a, hash, str_of(secret), text));
}

/* clang-format off */
/* In texts and headers, $ stands for the date of now. */
static const struct {
	enum hash_kind hash;
	const char *algorithm, *fields, *text, *more, *conf, *answer;
} cases[] = {
	{ HASH_SHA256, "hmac-sha256", "date", "date: $", "", "{}", "" },
	{ HASH_SHA1,   "hmac-sha1",   "date", "date: $", "", "{}", "" },
	{ HASH_SHA384, "hmac-sha384", "date", "date: $", "", "{}", "" },
	{ HASH_SHA512, "hmac-sha512", "date", "date: $", "", "{}", "" },
	{ HASH_SHA256, "hmac-sha512", "date", "date: $", "", "{}", "401 HMAC signature does not match" },
	{ HASH_SHA256, "hmac-md5",    "date", "date: $", "", "{}", "401 HMAC signature cannot be verified" },
	{ HASH_SHA256, "hmac-sha256", "date", "date: $", "", "{\"algorithms\":[\"hmac-sha1\"]}", "401 HMAC signature cannot be verified" },
	{ HASH_SHA256, "hmac-sha256", "date request-line", "date: $\nGET /a/../b?x=%20 HTTP/1.1", "", "{}", "" },
	{ HASH_SHA256, "hmac-sha256", "@request-target date", "@request-target: get /a/../b?x=%20\ndate: $", "", "{}", "" },
	{ HASH_SHA256, "hmac-sha256", "date host x-none", "date: $\nhost: test\nx-none:", "", "{}", "" },
	{ HASH_SHA256, "hmac-sha256", "Date X-A", "Date: $\nX-A: 1", "x-a: 1\r\n", "{}", "" },
	{ HASH_SHA256, "hmac-sha256", "date x-a", "date: $\nx-a: 1", "x-a: 2\r\n", "{}", "401 HMAC signature does not match" },
	{ HASH_SHA256, "hmac-sha256", "date", "date: $", "", "{\"enforce_headers\":[\"date\",\"request-line\"]}", "401 HMAC signature cannot be verified" },
	{ HASH_SHA256, "hmac-sha256", "date request-line", "date: $\nGET /a/../b?x=%20 HTTP/1.1", "", "{\"enforce_headers\":[\"request-line\"]}", "" },
	{ HASH_SHA256, "hmac-sha256", "date", "date: other", "", "{}", "401 HMAC signature does not match" },
	{ HASH_SHA256, "hmac-sha256", "date", "date: $", "", "{\"validate_request_body\":true}", "" },
	{ HASH_SHA256, "hmac-sha256", "date", "date: $", "Digest: SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n", "{\"validate_request_body\":true}", "" },
	{ HASH_SHA256, "hmac-sha256", "date", "date: $", "Digest: SHA-256=x\r\n", "{\"validate_request_body\":true}", "401 HMAC signature does not match" },
	{ HASH_SHA256, "hmac-sha256", "date", "date: $", "Digest: SHA-256=x\r\n", "{}", "" },
};
/* clang-format on */

static str dated(const char *text, const char *date)
{
	ptrdiff_t at = str_find(str_of(text), '$', 0);

	return at < 0 ? str_of(text)
		      : str_fmt(test.a, "%.*s%s%s", (int)at, text, date, text + at + 1);
}

static struct req *request(const char *name, const char *user, const char *algorithm,
			   const char *fields, str sig, const char *more)
{
	return test_request("GET", "/a/../b?x=%20",
			    str_fmt(test.a,
				    "%s: hmac username=\"%s\", algorithm=\"%s\", headers=\"%s\", "
				    "signature=\"" STRF "\"\r\n%s",
				    name, user, algorithm, fields, STRV(sig), more)
				    .s);
}

static void what_is_signed_must_be_what_came(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *date = date_in(0);
		str sig = signature(cases[i].hash, dated(cases[i].text, date), "s");
		struct req *r =
			request("Authorization", "jo", cases[i].algorithm, cases[i].fields, sig,
				str_fmt(test.a, "Date: %s\r\n%s", date, cases[i].more).s);

		test_run(&plugin_hmac_auth, PHASE_ACCESS, r, cases[i].conf);
		if (strcmp(test_answer(r), cases[i].answer) != 0)
			fail_msg("case %zu: %s", i, test_answer(r));
		assert_string_equal(test_sent(r, "x-credential-identifier"),
				    cases[i].answer[0] ? "" : "jo");
	}
}

static void the_body_is_what_its_digest_says(void **state)
{
	static const char digest[] =
		"Digest: SHA-256=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\r\n"; /* hello */
	const char *date;
	str sig;

	(void)state;
	test_config(consumers);
	date = date_in(0);
	sig = signature(HASH_SHA256, str_fmt(test.a, "date: %s", date), "s");
	for (int i = 0; i < 3; i++) {
		struct req *r =
			request("Authorization", "jo", "hmac-sha256", "date", sig,
				str_fmt(test.a, "Date: %s\r\n%s", date, i < 2 ? digest : "").s);

		req_set_body(r, i == 0 ? STR("hello") : STR("hell0"));
		test_run(&plugin_hmac_auth, PHASE_ACCESS, r, "{\"validate_request_body\":true}");
		assert_string_equal(test_answer(r),
				    i == 0 ? "" : "401 HMAC signature does not match");
	}
}

/* clang-format off */
static const struct {
	const char *name;
	int seconds;
	bool is_good;
} dates[] = {
	{ "Date", 0, true }, { "X-Date", 0, true }, { "Date", -290, true }, { "Date", 290, true },
	{ "Date", -310, false }, { "X-Date", 310, false }, { "Other", 0, false },
};
/* clang-format on */

static void an_old_date_is_refused(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(dates); i++) {
		const char *date = date_in(dates[i].seconds);
		str sig =
			signature(HASH_SHA256, str_fmt(test.a, "%s: %s", dates[i].name, date), "s");
		struct req *r = request("Authorization", "jo", "hmac-sha256", dates[i].name, sig,
					str_fmt(test.a, "%s: %s\r\n", dates[i].name, date).s);

		test_run(&plugin_hmac_auth, PHASE_ACCESS, r, "{}");
		assert_string_equal(
			test_answer(r),
			dates[i].is_good
				? ""
				: "401 HMAC signature cannot be verified, a valid date or x-date "
				  "header is required for HMAC Authentication");
	}
}

/* clang-format off */
static const struct {
	const char *headers, *conf, *answer, *consumer;
} others[] = {
	{ "", "{}", "401 Unauthorized", "" },
	{ "Authorization: Basic am86cw==\r\n", "{}", "401 HMAC signature cannot be verified", "" },
	{ "Authorization: hmac\r\n", "{}", "401 HMAC signature cannot be verified", "" },
	{ "Authorization: hmac username=\"\", algorithm=\"hmac-sha256\", headers=\"date\", signature=\"x\"\r\n", "{}", "401 HMAC signature cannot be verified", "" },
	{ "Authorization: hmac username=\"jo\", algorithm=\"hmac-sha256\", headers=\"date\"\r\n", "{}", "401 HMAC signature cannot be verified", "" },
	{ "Authorization: hmac username=\"no\", algorithm=\"hmac-sha256\", headers=\"date\", signature=\"eA==\"\r\n", "{}", "401 HMAC signature cannot be verified", "" },
	{ "Authorization: hmac username=\"jo\", algorithm=\"hmac-sha256\", headers=\"date\", signature=\"!\"\r\n", "{}", "401 HMAC signature does not match", "" },
	{ "", "{\"anonymous\":\"guest\"}", "", "guest" },
	{ "", "{\"anonymous\":\"nobody\"}", "500 An unexpected error occurred", "" },
};
/* clang-format on */

static void everything_else_is_refused(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(others); i++) {
		struct req *r = test_request(
			"GET", "/",
			str_fmt(test.a, "Date: %s\r\n%s", date_in(0), others[i].headers).s);

		test_run(&plugin_hmac_auth, PHASE_ACCESS, r, others[i].conf);
		if (strcmp(test_answer(r), others[i].answer) != 0)
			fail_msg("case %zu: %s", i, test_answer(r));
		assert_string_equal(test_sent(r, "x-consumer-username"), others[i].consumer);
	}
}

static void the_proxy_s_header_goes_first_and_is_hidden(void **state)
{
	const char *date;
	struct req *r;
	str sig;

	(void)state;
	test_config(consumers);
	date = date_in(0);
	sig = signature(HASH_SHA256, str_fmt(test.a, "date: %s", date), "s");
	r = request("Proxy-Authorization", "jo", "hmac-sha256", "date", sig,
		    str_fmt(test.a, "Date: %s\r\nAuthorization: mine\r\n", date).s);
	test_run(&plugin_hmac_auth, PHASE_ACCESS, r, "{\"hide_credentials\":true}");
	assert_string_equal(test_answer(r), "");
	assert_string_equal(test_sent(r, "proxy-authorization"), "");
	assert_string_equal(test_sent(r, "authorization"), "mine");
	r = request("Authorization", "jo", "hmac-sha256", "date", sig,
		    str_fmt(test.a, "Date: %s\r\n", date).s);
	test_run(&plugin_hmac_auth, PHASE_ACCESS, r, "{\"hide_credentials\":true}");
	assert_string_equal(test_answer(r), "");
	assert_string_equal(test_sent(r, "authorization"), "");
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_hmac_auth);
	test_schema("hmacauth_credentials",
		    entity_schema(entity_find(STR("hmacauth_credentials"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(what_is_signed_must_be_what_came),
		cmocka_unit_test(the_body_is_what_its_digest_says),
		cmocka_unit_test(an_old_date_is_refused),
		cmocka_unit_test(everything_else_is_refused),
		cmocka_unit_test(the_proxy_s_header_goes_first_and_is_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
