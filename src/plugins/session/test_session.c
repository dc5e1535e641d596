/* SPDX-License-Identifier: Apache-2.0 */
/* session: a cookie stands for who it was made for, as long as it may, and no byte of it
 * can be another. */
#include "plugins/testing.h"

extern const struct plugin plugin_session;

/* clang-format off */
#define JO "bf2b0e2b-3d0c-4d4e-8c46-0fe8a1a7c6a1"
static const char consumers[] =
	"{\"_format_version\":\"3.0\",\"consumers\":["
	"{\"id\":\"" JO "\",\"username\":\"jo\",\"custom_id\":\"c1\"},{\"username\":\"al\"}]}";

/* Made beside this program, by lua-resty-session's description alone: the secret is
 * "a secret", the id is 0 to 31, in groups g1 and g2, since 2023. */
#define FOREIGN \
	"AQAAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A8VNlAAAAAABzAAAvW9IBgXRG9wlrrA_HlZ2uAAAAv7" \
	"XY3aLihE14aXK7v5ig2wX5Gev5dUfaaOG0I5e6d8JvMpnZ-39YJjwWDYcSLpYCH4tYL6yulJHrlptERQZRJTmiK3Pt" \
	"kNx_4V7haPR2ppvBd0-3NEU5vcNh_qXJVlOLdgLNa0mLg"
#define FOR_EVER "\"absolute_timeout\":0,\"rolling_timeout\":0,\"idling_timeout\":0"
/* clang-format on */

static struct req *with_cookie(const char *method, const char *target, const char *cookie)
{
	return test_request(method, target,
			    cookie[0] ? str_fmt(test.a, "Cookie: %s\r\n", cookie).s : "");
}

static const char *who(const struct req *r)
{
	return req_consumer(r) ? str_z(test.a, req_consumer(r)->username) : "";
}

/* The reply's cookies as a browser sends them. */
static const char *cookies_of(const struct req *r)
{
	const struct http_headers *h = &r->run->early;
	str all = STR("");

	for (unsigned i = 0; i < h->n; i++) {
		ptrdiff_t end = str_find(h->v[i].value, ';', 0);

		if (!str_is_ci(h->v[i].name, "set-cookie"))
			continue;
		all = str_fmt(test.a, STRF "%s" STRF, STRV(all), all.n ? "; " : "",
			      STRV(str_part(h->v[i].value, 0, (size_t)end)));
	}
	return str_z(test.a, all);
}

/* A request that jo has shown a credential with; the cookies it leaves. */
static const char *begin(const void *conf, const char *cookie, const char *credential)
{
	struct req *r = with_cookie("GET", "/", cookie);
	struct credential *by = NEW(test.a, struct credential);
	uuid id;

	assert_true(uuid_parse(STR(JO), &id));
	plugin_session.on[PHASE_ACCESS](r, conf);
	by->id = by->identifier = str_of(credential);
	by->consumer = id;
	req_authenticate(r, consumer_find(r, id), by);
	plugin_session.on[PHASE_HEADER_FILTER](r, conf);
	return cookies_of(r);
}

static struct req *go_on(const void *conf, const char *cookie)
{
	struct req *r = with_cookie("GET", "/", cookie);

	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, conf), NEXT);
	return r;
}

static void a_cookie_of_kong_s_is_good_here(void **state)
{
	const void *conf = test_conf(
		&plugin_session, "{\"secret\":\"a secret\",\"request_headers\":[\"id\",\"subject\","
				 "\"audience\",\"timeout\"]," FOR_EVER "}");
	struct req *r;

	(void)state;
	test_config(consumers);
	r = go_on(conf, "a=b; session=" FOREIGN "; c=d");
	assert_string_equal(who(r), "jo");
	assert_string_equal(test_sent(r, "x-consumer-custom-id"), "c1");
	assert_string_equal(test_sent(r, "x-credential-identifier"), "a-credential");
	assert_string_equal(test_sent(r, "x-authenticated-groups"), "g1, g2");
	assert_string_equal(test_sent(r, "session-id"),
			    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
	assert_string_equal(test_sent(r, "session-subject"), "jo");
	assert_string_equal(test_sent(r, "session-audience"), "default");
	assert_string_equal(test_sent(r, "session-timeout"), "");
	assert_int_equal(req_groups(r).n, 2);
	plugin_session.on[PHASE_HEADER_FILTER](r, conf);
	assert_string_equal(cookies_of(r), "");
}

static void no_byte_of_a_cookie_may_be_another(void **state)
{
	const void *conf = test_conf(&plugin_session, "{\"secret\":\"a secret\"," FOR_EVER "}");
	const void *other = test_conf(&plugin_session, "{\"secret\":\"a secreT\"," FOR_EVER "}");
	char *cookie = str_z(test.a, STR("session=" FOREIGN));

	(void)state;
	test_config(consumers);
	assert_string_equal(who(go_on(conf, cookie)), "jo");
	assert_string_equal(who(go_on(other, cookie)), "");
	for (size_t i = strlen("session="); cookie[i]; i++) {
		char was = cookie[i];

		cookie[i] = was == 'A' ? 'B' : 'A';
		if (req_consumer(go_on(conf, cookie)))
			fail_msg("byte %zu", i);
		cookie[i] = was;
	}
	for (size_t n = 0; n < strlen(cookie); n += 7)
		assert_string_equal(who(go_on(conf, str_z(test.a, str_at(cookie, n)))), "");
}

static void a_shown_credential_makes_a_session(void **state)
{
	const void *conf = test_conf(&plugin_session, "{\"secret\":\"s\"}");
	const char *cookie;
	struct req *r;

	(void)state;
	test_config(consumers);
	assert_string_equal(who(go_on(conf, "")), "");
	cookie = begin(conf, "", "key-1");
	assert_true(strncmp(cookie, "session=", 8) == 0);
	r = go_on(conf, cookie);
	assert_string_equal(who(r), "jo");
	assert_string_equal(test_sent(r, "x-credential-identifier"), "key-1");
	assert_string_equal(begin(conf, cookie, "key-1"), "");
	assert_string_not_equal(begin(conf, cookie, "key-2"), "");
}

static void anonymous_requests_make_none(void **state)
{
	const void *conf = test_conf(&plugin_session, "{\"secret\":\"s\"}");
	struct req *r;

	(void)state;
	test_config(consumers);
	r = go_on(conf, "");
	assert_int_equal(req_authenticate_anonymous(r, STR("al")), NEXT);
	plugin_session.on[PHASE_HEADER_FILTER](r, conf);
	assert_string_equal(cookies_of(r), "");
}

/* clang-format off */
static const struct {
	const char *conf, *flags;
} flags[] = {
	{ "{}", "; Path=/; SameSite=Strict; Secure; HttpOnly" },
	{ "{\"cookie_path\":\"/x\",\"cookie_domain\":\"a.test\",\"cookie_secure\":false}", "; Domain=a.test; Path=/x; SameSite=Strict; HttpOnly" },
	{ "{\"cookie_same_site\":\"None\",\"cookie_secure\":false,\"cookie_http_only\":false}", "; Path=/; SameSite=None; Secure" },
	{ "{\"cookie_samesite\":\"off\",\"cookie_httponly\":false}", "; Path=/; SameSite=Lax; Secure" },
	{ "{\"cookie_domain\":\"localhost\"}", "; Path=/; SameSite=Strict; Secure; HttpOnly" },
};
/* clang-format on */

static void cookies_have_their_flags(void **state)
{
	(void)state;
	test_config(consumers);
	for (size_t i = 0; i < COUNT(flags); i++) {
		const void *conf = test_conf(&plugin_session, flags[i].conf);
		struct req *r = go_on(conf, "");
		struct credential by = { .id = STR_INIT("k") };
		str cookie;
		uuid id;

		assert_true(uuid_parse(STR(JO), &id));
		req_authenticate(r, consumer_find(r, id), &by);
		plugin_session.on[PHASE_HEADER_FILTER](r, conf);
		cookie = reply_header(r, STR("Set-Cookie"));
		assert_string_equal(
			str_z(test.a, str_from(cookie, (size_t)str_find(cookie, ';', 0))),
			flags[i].flags);
	}
}

static void logging_out_takes_method_and_argument(void **state)
{
	const void *conf = test_conf(&plugin_session, "{\"secret\":\"s\"}");
	const char *cookie;
	struct req *r;

	(void)state;
	test_config(consumers);
	cookie = begin(conf, "", "k");
	r = with_cookie("GET", "/?session_logout", cookie);
	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, conf), NEXT);
	r = with_cookie("DELETE", "/?other", cookie);
	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, conf), NEXT);
	r = with_cookie("DELETE", "/?session_logout", cookie);
	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, conf), DONE);
	assert_int_equal(r->run->answer.status, 200);
	assert_int_equal(r->run->answer.body.n, 0);
	assert_string_equal(test_reply(r, "set-cookie"),
			    "session=; Path=/; SameSite=Strict; Secure; HttpOnly; "
			    "Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0");
	r = test_request(
		"POST", "/",
		str_fmt(test.a, "Cookie: %s\r\nContent-Type: application/json\r\n", cookie).s);
	req_set_body(r, STR("{\"session_logout\":true}"));
	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, conf), DONE);
	r = with_cookie("DELETE", "/?session_logout", "");
	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, conf), NEXT);
}

static void a_large_session_is_in_several_cookies(void **state)
{
	const void *conf = test_conf(&plugin_session, "{\"secret\":\"s\"}");
	char *large = arena_zalloc(test.a, 9001);
	const char *cookie;
	struct req *r;

	(void)state;
	memset(large, 'x', 9000);
	test_config(consumers);
	cookie = begin(conf, "", large);
	assert_non_null(strstr(cookie, "; session2="));
	assert_non_null(strstr(cookie, "; session3="));
	assert_null(strstr(cookie, "; session5="));
	r = test_request("GET", "/", "");
	http_add(test.a, &r->in.headers, STR("Cookie"), str_of(cookie));
	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, conf), NEXT);
	assert_string_equal(who(r), "jo");
	assert_null(strstr(begin(conf, "", "k"), "session2="));
}

static void two_audiences_share_a_cookie(void **state)
{
	const void *one = test_conf(&plugin_session, "{\"secret\":\"s\",\"audience\":\"one\"}");
	const void *two = test_conf(&plugin_session, "{\"secret\":\"s\",\"audience\":\"two\"}");
	const char *cookie;
	struct req *r;

	(void)state;
	test_config(consumers);
	cookie = begin(one, "", "k1");
	assert_string_equal(who(go_on(two, cookie)), "");
	cookie = begin(two, cookie, "k2");
	assert_string_equal(test_sent(go_on(one, cookie), "x-credential-identifier"), "k1");
	assert_string_equal(test_sent(go_on(two, cookie), "x-credential-identifier"), "k2");
	r = with_cookie("DELETE", "/?session_logout", cookie);
	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, one), DONE);
	cookie = cookies_of(r);
	assert_string_equal(who(go_on(one, cookie)), "");
	assert_string_equal(who(go_on(two, cookie)), "jo");
}

static void who_is_remembered_gets_a_new_session(void **state)
{
	const void *conf = test_conf(&plugin_session, "{\"secret\":\"s\",\"remember\":true}");
	const char *cookie, *remember;
	struct req *r;

	(void)state;
	test_config(consumers);
	cookie = begin(conf, "", "k");
	remember = strstr(cookie, "remember=");
	assert_non_null(remember);
	r = go_on(conf, remember);
	assert_string_equal(who(r), "jo");
	assert_non_null(strstr(cookies_of(r), "session="));
	assert_non_null(strstr(cookies_of(r), "remember="));
	assert_string_equal(who(go_on(conf, cookies_of(r))), "jo");
	/* one is never taken for the other */
	assert_string_equal(who(go_on(conf, str_fmt(test.a, "session=%s", remember + 9).s)), "");
}

static void sessions_in_the_database_end_there(void **state)
{
	const void *conf = test_conf(&plugin_session, "{\"secret\":\"s\",\"storage\":\"kong\"}");
	const void *in_cookie = test_conf(&plugin_session, "{\"secret\":\"s\"}");
	const char *cookie, *other;
	struct req *r;

	(void)state;
	test_config(consumers);
	test_store();
	cookie = begin(conf, "", "k");
	assert_int_equal(strlen(cookie), strlen("session=") + 110);
	assert_string_equal(who(go_on(conf, cookie)), "jo");
	assert_string_equal(who(go_on(in_cookie, cookie)), "");
	other = begin(conf, cookie, "k2");
	assert_string_equal(test_sent(go_on(conf, other), "x-credential-identifier"), "k2");
	assert_string_equal(test_sent(go_on(conf, cookie), "x-credential-identifier"), "k");
	r = with_cookie("DELETE", "/?session_logout", other);
	assert_int_equal(plugin_session.on[PHASE_ACCESS](r, conf), DONE);
	assert_string_equal(who(go_on(conf, other)), "");
}

/* The default of the secret is another one on every node of Kong's; ours is made for each
 * configuration. */
static void the_rows_are_kong_s(void **state)
{
	struct value *want, *config;

	(void)state;
	test_begin();
	want = test_json(str_z(test.a, test_file(TEST_CONTRACT "plugins/session.json")));
	config = value_get(value_get(want, "fields")->items[2], "config");
	config = value_get(value_get(config, "fields")->items[0], "secret");
	assert_int_equal(value_get(config, "default")->s.n, 44);
	value_unset(config, STR("default"));
	value_set(test.a, config, STR("auto"), value_bool(test.a, true));
	assert_true(value_eq(want, schema_print(test.a, plugin_schema_variant(STR("session")))));
	test_schema("sessions", entity_schema(entity_find(STR("sessions"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(a_cookie_of_kong_s_is_good_here),
		cmocka_unit_test(no_byte_of_a_cookie_may_be_another),
		cmocka_unit_test(a_shown_credential_makes_a_session),
		cmocka_unit_test(anonymous_requests_make_none),
		cmocka_unit_test(cookies_have_their_flags),
		cmocka_unit_test(logging_out_takes_method_and_argument),
		cmocka_unit_test(a_large_session_is_in_several_cookies),
		cmocka_unit_test(two_audiences_share_a_cookie),
		cmocka_unit_test(who_is_remembered_gets_a_new_session),
		cmocka_unit_test(sessions_in_the_database_end_there),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
