/* SPDX-License-Identifier: Apache-2.0 */
/* oauth2: rows, secrets, and what the endpoints refuse before a database is asked.  What they
 * give is in tests/plugins/test_oauth2.py. */
#include "plugins/oauth2/oauth2.h"
#include "plugins/testing.h"

extern const struct plugin plugin_oauth2;

/* clang-format off */
/* From Python's hashlib: the password "secret", the salt 0 to 15. */
#define HASH "$pbkdf2-sha512$i=10000,l=32$AAECAwQFBgcICQoLDA0ODw$s1qOkFay1DbcR0sablkjBgtOqf1IcoQVkkK1uzR9LdU"

#define JO "bf2b0e2b-3d0c-4d4e-8c46-0fe8a1a7c6a1"
static const char clients[] =
	"{\"_format_version\":\"3.0\",\"consumers\":[{\"id\":\"" JO "\",\"username\":\"jo\",\"oauth2_credentials\":["
	"{\"name\":\"one\",\"client_id\":\"one\",\"client_secret\":\"s1\",\"redirect_uris\":[\"http://a.b/c?d=e%20f\",\"x://y\"]},"
	"{\"name\":\"hashed\",\"client_id\":\"hashed\",\"client_secret\":\"s2\",\"hash_secret\":true,\"redirect_uris\":[\"http://a.b\"]},"
	"{\"name\":\"public\",\"client_id\":\"public\",\"client_type\":\"public\",\"redirect_uris\":[\"http://a.b\"]},"
	"{\"name\":\"bare\",\"client_id\":\"bare\",\"client_secret\":\"s4\"}]}]}";

#define CONF "{\"scopes\":[\"read\",\"write\"],\"provision_key\":\"pk\",\"enable_authorization_code\":true,\"enable_implicit_grant\":true," \
	"\"enable_password_grant\":true,\"enable_client_credentials\":true,\"accept_http_if_already_terminated\":true}"
#define STRICT "{\"provision_key\":\"pk\",\"enable_authorization_code\":true,\"pkce\":\"strict\",\"mandatory_scope\":true,\"scopes\":[\"read\"]," \
	"\"accept_http_if_already_terminated\":true}"
#define HTTPS "X-Forwarded-Proto: https\r\n"
/* clang-format on */

/* As from a trusted proxy. */
static const char *ask(const char *conf, const char *method, const char *target,
		       const char *headers)
{
	struct req *r;

	r = test_request(method, target, headers);
	r->client->is_trusted = true;
	assert_int_equal(test_run(&plugin_oauth2, PHASE_ACCESS, r, conf), DONE);
	return str_fmt(test.a, "%s %s", test_answer(r), test_reply(r, "WWW-Authenticate")).s;
}

static void rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_oauth2);
	test_schema("oauth2_credentials", entity_schema(&oauth2_clients));
	test_schema("oauth2_authorization_codes", entity_schema(&oauth2_codes));
	test_schema("oauth2_tokens", entity_schema(&oauth2_tokens));
}

static void configurations_are_checked(void **state)
{
	/* clang-format off */
	static const struct test_refusal cases[] = {
		{ "{\"enable_implicit_grant\":true}", "" },
		{ "{}", "at least one of these fields must be true: enable_authorization_code, enable_implicit_grant, enable_client_credentials, enable_password_grant" },
		{ "{\"enable_password_grant\":true,\"mandatory_scope\":true}", "\"scopes\":\"required field missing\"" },
		{ "{\"enable_password_grant\":true,\"refresh_token_ttl\":100000001}", "value should be between 0 and 100000000" },
		{ "{\"enable_password_grant\":true,\"pkce\":\"loose\"}", "expected one of: none, lax, strict" },
	};
	/* clang-format on */
	struct value *doc;

	(void)state;
	test_refusals(&plugin_oauth2, cases, COUNT(cases));
	test_check(&plugin_oauth2, cases[0].conf, &doc);
	assert_int_equal(value_get(value_get(doc, "config"), "provision_key")->s.n, 32);
}

/* What is wrong with a client, as JSON. */
static str check_client(enum schema_op op, const char *text, const char *before,
			struct value **ret_doc)
{
	struct schema_options o = { .op = op, .now_ms = 1700000000000 };
	struct value *errors;

	test_begin();
	o.before = before ? test_json(before) : NULL;
	*ret_doc = test_json(text);
	errors = entity_process(test.a, &oauth2_clients, *ret_doc, &o);
	return errors ? json_text(test.a, errors, JSON_SORTED) : STR("");
}

static void redirect_uris_are_whole(void **state)
{
	/* clang-format off */
	static const struct {
		const char *uri, *errors;
	} cases[] = {
		{ "https://a.b/c?d", "" },
		{ "my.app://back", "" },
		{ "not-valid", "{\"redirect_uris\":[\"cannot parse 'not-valid'\"]}" },
		{ "/x", "{\"redirect_uris\":[\"cannot parse '/x'\"]}" },
		{ "http://test.com/#with-fragment", "{\"redirect_uris\":[\"fragment not allowed in 'http://test.com/#with-fragment'\"]}" },
	};
	/* clang-format on */
	struct value *doc;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(
			str_z(test.a,
			      check_client(SCHEMA_INSERT,
					   str_fmt(test.a,
						   "{\"name\":\"n\",\"consumer\":{\"id\":"
						   "\"" JO "\"},\"redirect_uris\":[\"%s\"]}",
						   cases[i].uri)
						   .s,
					   NULL, &doc)),
			cases[i].errors);
}

static void a_secret_and_whether_it_is_hashed_change_together(void **state)
{
	static const char before[] = "{\"name\":\"n\",\"consumer\":{\"id\":\"" JO
				     "\"},\"client_secret\":\"s\",\"hash_secret\":false}";
	static const char half[] = "{\"@entity\":[\"all or none of these fields must be set: "
				   "'hash_secret', 'client_secret'\"]}";
	/* clang-format off */
	static const struct {
		const char *change, *errors;
	} cases[] = {
		{ "{\"name\":\"m\"}", "" },
		{ "{\"client_secret\":\"t\"}", half },
		{ "{\"client_secret\":\"s\"}", "" },
		{ "{\"hash_secret\":true}", half },
		{ "{\"hash_secret\":false,\"client_secret\":\"t\"}", "" },
		{ "{\"hash_secret\":true,\"client_secret\":\"t\"}", "" },
	};
	/* clang-format on */
	struct value *doc;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		str got = check_client(SCHEMA_UPDATE, cases[i].change, before, &doc);

		assert_string_equal(str_z(test.a, got), cases[i].errors);
	}
	assert_true(str_starts(value_get(doc, "client_secret")->s, STR("$pbkdf2-sha512$")));
}

static void hashes_are_kong_s(void **state)
{
	static const char hash[] = HASH;
	struct req *r = test_request("GET", "/", "");
	str made;

	(void)state;
	assert_true(oauth2_secret_is(r, STR("secret"), STR(HASH)));
	assert_false(oauth2_secret_is(r, STR("secreT"), STR(HASH)));
	assert_false(oauth2_secret_is(r, STR(""), STR(HASH)));
	assert_false(oauth2_secret_is(r, STR("secret"), str_part(STR(HASH), 0, sizeof(hash) - 3)));
	assert_false(oauth2_secret_is(r, STR("secret"), STR("$pbkdf2-sha512$i=10000,l=32$")));
	assert_false(oauth2_secret_is(r, STR("secret"), STR("$pbkdf2-sha512$i=10000,l=32$$")));
	assert_false(oauth2_secret_is(r, STR("secret"), STR("secret")));
	made = oauth2_secret_hash(test.a, STR("secret"));
	assert_int_equal(made.n, sizeof(hash) - 1);
	assert_true(oauth2_secret_is(r, STR("secret"), made));
	assert_false(str_eq(made, oauth2_secret_hash(test.a, STR("secret"))));
}

static void https_is_needed(void **state)
{
	struct req *r = test_request("POST", "/oauth2/token", HTTPS);

	(void)state;
	test_config(clients);
	assert_int_equal(test_run(&plugin_oauth2, PHASE_ACCESS, r, CONF), DONE);
	assert_string_equal(
		test_answer(r),
		"400 {\"error\":\"access_denied\",\"error_description\":\"You must use HTTPS\"}");
	assert_string_equal(test_reply(r, "Cache-Control"), "no-store");
	assert_string_equal(test_reply(r, "Pragma"), "no-cache");
	assert_string_equal(ask(CONF, "POST", "/oauth2/token", ""),
			    "400 {\"error\":\"access_denied\",\"error_description\":\"You must "
			    "use HTTPS\"} ");
	assert_string_equal(ask(CONF, "POST", "/oauth2/token?state=s", HTTPS HTTPS),
			    "400 {\"error\":\"access_denied\",\"error_description\":\"Only one "
			    "X-Forwarded-Proto header allowed\",\"state\":\"s\"} ");
	assert_string_equal(
		ask("{\"enable_password_grant\":true}", "POST", "/oauth2/token", HTTPS),
		"400 {\"error\":\"access_denied\",\"error_description\":\"You must use HTTPS\"} ");
}

static void only_post_is_for_the_endpoints(void **state)
{
	(void)state;
	assert_string_equal(ask(CONF, "GET", "/x/oauth2/token/", ""),
			    "405 {\"error\":\"invalid_method\",\"error_description\":\"The HTTP "
			    "method GET is invalid for the token endpoint\"} Bearer "
			    "realm=\"service\" error=\"invalid_method\" error_description=\"The "
			    "HTTP method GET is invalid for the token endpoint\"");
	assert_string_equal(ask(CONF, "PUT", "/oauth2/authorize", ""),
			    "405 {\"error\":\"invalid_method\",\"error_description\":\"The HTTP "
			    "method PUT is invalid for the authorization endpoint\"} Bearer "
			    "realm=\"service\" error=\"invalid_method\" error_description=\"The "
			    "HTTP method PUT is invalid for the authorization endpoint\"");
	assert_string_equal(ask(CONF, "GET", "/oauth2/tokens", ""),
			    "401 {\"error\":\"invalid_request\",\"error_description\":\"The access "
			    "token is missing\"} Bearer realm=\"service\"");
}

/* clang-format off */
#define PROVISIONED "provision_key=pk&authenticated_userid=jo&"
#define ERROR(error, words) "400 {\"error\":\"" error "\",\"error_description\":\"" words "\"} "
#define TOLD(error, words) "400 {\"redirect_uri\":\"http://a.b?error=" error "&error_description=" words "\"} "
#define NO_PKCE ERROR("invalid_request", "code_challenge is required for confidential clients")
static const struct {
	const char *conf, *query, *answer;
} authorizations[] = {
	{ CONF, "", ERROR("invalid_provision_key", "Invalid provision_key") },
	{ CONF, "provision_key=pl", ERROR("invalid_provision_key", "Invalid provision_key") },
	{ CONF, "provision_key=pk", ERROR("invalid_authenticated_userid", "Missing authenticated_userid parameter") },
	{ CONF, "provision_key=pk&authenticated_userid=+", ERROR("invalid_authenticated_userid", "Missing authenticated_userid parameter") },
	{ CONF, PROVISIONED, ERROR("invalid_client", "Invalid client authentication") },
	{ CONF, PROVISIONED "client_id=two", ERROR("invalid_client", "Invalid client authentication") },
	{ CONF, PROVISIONED "client_id=bare", ERROR("invalid_client", "Invalid client authentication") },
	{ CONF, PROVISIONED "client_id=hashed", TOLD("unsupported_response_type", "Invalid%20response_type") },
	{ CONF, PROVISIONED "client_id=hashed&response_type=code&scope=wot", TOLD("invalid_scope", "%22wot%22%20is%20an%20invalid%20scope") },
	{ CONF, PROVISIONED "client_id=hashed&response_type=code&scope=read&scope=write", TOLD("invalid_scope", "scope%20must%20be%20a%20string") },
	{ STRICT, PROVISIONED "client_id=hashed&response_type=token&scope=read&code_challenge=x", TOLD("unsupported_response_type", "Invalid%20response_type") },
	{ STRICT, PROVISIONED "client_id=hashed&response_type=code&code_challenge=x", TOLD("invalid_scope", "You%20must%20specify%20a%20scope") },
	{ STRICT, PROVISIONED "client_id=hashed&response_type=code&scope=+&code_challenge=x", TOLD("invalid_scope", "You%20must%20specify%20a%20scope") },
	{ STRICT, PROVISIONED "client_id=hashed&response_type=code&scope=read", TOLD("invalid_request", "code_challenge%20is%20required%20for%20confidential%20clients") },
	{ CONF, PROVISIONED "client_id=public&response_type=code", TOLD("invalid_request", "code_challenge%20is%20required%20for%20public%20clients") },
	{ CONF, PROVISIONED "client_id=hashed&response_type=code&code_challenge_method=S256", TOLD("invalid_request", "code_challenge%20is%20required%20when%20code_method%20is%20present") },
	{ CONF, PROVISIONED "client_id=hashed&response_type=code&code_challenge=x&code_challenge_method=plain", TOLD("invalid_request", "code_challenge_method%20is%20not%20supported%2c%20must%20be%20S256") },
	{ CONF, PROVISIONED "client_id=hashed&response_type=code&code_challenge", TOLD("invalid_request", "code_challenge%20is%20not%20a%20string") },
	{ CONF, PROVISIONED "client_id=hashed&response_type=code&redirect_uri=http://a.c&state=a%20b", "400 {\"redirect_uri\":\"http://a.b?error=invalid_request&error_description="
	  "Invalid%20redirect_uri%20that%20does%20not%20match%20with%20any%20redirect_uri%20created%20with%20the%20application&state=a%20b\"} " },
	{ CONF, PROVISIONED "client_id=one&redirect_uri=x://y&state=1&state=&state=2", "400 {\"redirect_uri\":\"x://y?error=unsupported_response_type&error_description=Invalid%20response_type&"
	  "state%5b1%5d=1&state%5b2%5d&state%5b3%5d=2\"} " },
	{ CONF, PROVISIONED "client_id=one&state", "400 {\"redirect_uri\":\"http://a.b/c?d=e%20f&error=unsupported_response_type&error_description=Invalid%20response_type&state=true\"} " },
};
/* clang-format on */

static void codes_are_refused_in_kong_s_words(void **state)
{
	(void)state;
	test_config(clients);
	for (size_t i = 0; i < COUNT(authorizations); i++)
		assert_string_equal(
			ask(authorizations[i].conf, "POST",
			    str_fmt(test.a, "/oauth2/authorize?%s", authorizations[i].query).s,
			    HTTPS),
			authorizations[i].answer);
}

/* clang-format off */
#define NO_CLIENT_ ERROR("invalid_client", "Invalid client authentication")
#define NO_BASIC "401 {\"error\":\"invalid_client\",\"error_description\":\"Invalid client authentication\"} Basic realm=\"OAuth2.0\""
static const struct {
	const char *query, *header, *answer;
} issues[] = {
	{ "client_id=one&client_secret=s1", "", ERROR("unsupported_grant_type", "Invalid grant_type") },
	{ "grant_type=password&client_id=one&client_secret=s2", "", NO_CLIENT_ },
	{ "grant_type=password&client_id=one", "", NO_CLIENT_ },
	{ "grant_type=password&client_id=bare&client_secret=s4", "", NO_CLIENT_ },
	{ "grant_type=client_credentials", "", NO_CLIENT_ },
	{ "grant_type=client_credentials&client_id=&client_secret=", "", NO_CLIENT_ },
	{ "grant_type=client_credentials&client_id=hashed&client_secret=s1", "", NO_CLIENT_ },
	{ "grant_type=client_credentials&client_id=bare&client_secret=s4&scope=x", "", ERROR("invalid_scope", "\\\"x\\\" is an invalid scope") },
	{ "grant_type=client_credentials&client_id=hashed&client_secret=s2&scope=x", "", ERROR("invalid_scope", "\\\"x\\\" is an invalid scope") },
	{ "grant_type=client_credentials&client_id=bare&client_secret=s4&authenticated_userid=jo", "", ERROR("invalid_provision_key", "Invalid provision_key") },
	{ "grant_type=client_credentials", "Authorization: Basic YmFyZTpzNQ==\r\n", NO_BASIC },
	{ "grant_type=client_credentials&scope=x", "Authorization: basic YmFyZTpzNA==\r\n", ERROR("invalid_scope", "\\\"x\\\" is an invalid scope") },
	{ "grant_type=client_credentials&client_id=bare&scope=x", "Authorization: Basic YmFyZTpzNA\r\n", ERROR("invalid_scope", "\\\"x\\\" is an invalid scope") },
	{ "grant_type=password", "Authorization: nothing\r\n", NO_BASIC },
	{ "grant_type=password&client_id=public&client_secret=x", "", ERROR("invalid_request", "client_secret is disallowed for public clients") },
	{ "grant_type=password&client_id=public", "", ERROR("invalid_provision_key", "Invalid provision_key") },
	{ "grant_type=password&client_id=public&client_secret=&provision_key=pk", "", ERROR("invalid_authenticated_userid", "Missing authenticated_userid parameter") },
	{ "grant_type=password&client_id=one&client_secret=s1&redirect_uri=q", "", ERROR("invalid_request", "Invalid redirect_uri that does not match with any redirect_uri created with the application") },
	{ "grant_type=authorization_code&client_id=one&client_secret=s1", "", ERROR("invalid_request", "Invalid code") },
	{ "grant_type=refresh_token&client_id=one&client_secret=s1", "", ERROR("invalid_request", "Invalid refresh_token") },
};
/* clang-format on */

static void tokens_are_refused_in_kong_s_words(void **state)
{
	(void)state;
	test_config(clients);
	for (size_t i = 0; i < COUNT(issues); i++)
		assert_string_equal(ask(CONF, "POST",
					str_fmt(test.a, "/oauth2/token?%s", issues[i].query).s,
					str_fmt(test.a, HTTPS "%s", issues[i].header).s),
				    issues[i].answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_kong_s),
		cmocka_unit_test(configurations_are_checked),
		cmocka_unit_test(redirect_uris_are_whole),
		cmocka_unit_test(a_secret_and_whether_it_is_hashed_change_together),
		cmocka_unit_test(hashes_are_kong_s),
		cmocka_unit_test(https_is_needed),
		cmocka_unit_test(only_post_is_for_the_endpoints),
		cmocka_unit_test(codes_are_refused_in_kong_s_words),
		cmocka_unit_test(tokens_are_refused_in_kong_s_words),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
