/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-gateway: which method a request is for, and what is said to it. */
#include "plugins/testing.h"

extern const struct plugin plugin_grpc_gateway;

#define PROTO "{\"proto\":\"" SOURCE_ROOT "/tests/harness/shop.proto\"}"

static void the_schema_is_kongs(void **state)
{
	(void)state;
	test_schema_of(&plugin_grpc_gateway);
}

/* The message that goes on, as JSON of what is not a default. */
static str sent(const struct req *r)
{
	const struct proto_set *set;
	struct value *v, *shown = value_object(test.a);
	str rest = r->body_sent, message;
	unsigned flags;

	assert_null(proto_load(test.a, STR(SOURCE_ROOT "/tests/harness/shop.proto"), &set));
	assert_true(grpc_unframe(&rest, &flags, &message));
	assert_null(proto_decode(test.a, set->methods.v[0].input, message, &v));
	for (uint32_t i = 0; i < v->n; i++) {
		const struct value *m = v->members[i].value;
		bool is_default =
			(m->kind == VALUE_INT && !m->i) || (m->kind == VALUE_STRING && !m->s.n) ||
			(m->kind == VALUE_BOOL && !m->b) || str_is(v->members[i].key, "size");

		if (!is_default)
			value_set(test.a, shown, v->members[i].key, v->members[i].value);
	}
	return json_text(test.a, shown, JSON_SORTED);
}

static void requests_become_messages(void **state)
{
	static const struct {
		const char *method, *target, *body, *path, *sent;
	} rows[] = {
		{ "POST", "/v1/orders", "{\"item\":\"pen\",\"count\":2,\"tags\":[\"a\"]}",
		  "/shop.Shop/Buy", "{\"count\":2,\"item\":\"pen\",\"tags\":[\"a\"]}" },
		{ "POST", "/v1/orders?count=3", "{}", "/shop.Shop/Buy", "{}" },
		{ "GET",
		  "/v1/orders/pen?count=3&gift=0&none=1&to.city=Rome&to.number=7&tags=a&tags=b", "",
		  "/shop.Shop/Buy",
		  "{\"count\":3,\"item\":\"pen\",\"tags\":[\"a\",\"b\"],\"to\":{\"city\":\"Rome\","
		  "\"number\":7}}" },
		{ "GET", "/v1/orders/pen?gift&item=ink", "", "/shop.Shop/Buy",
		  "{\"gift\":true,\"item\":\"pen\"}" },
		{ "PUT", "/v1/orders/pen/address?count=1", "{\"city\":\"Rome\"}", "/shop.Shop/Buy",
		  "{\"count\":1,\"item\":\"pen\",\"to\":{\"city\":\"Rome\",\"number\":0}}" },
		{ "PATCH", "/v1/orders/pen:wrap", "{\"item\":\"other\",\"gift\":true}",
		  "/shop.Shop/Buy", "{\"gift\":true,\"item\":\"orders/pen\"}" },
		{ "HEAD", "/v1/orders/pen", "", "/shop.Shop/Buy", "{\"item\":\"pen\"}" },
		{ "DELETE", "/v1/cities/Rome/orders", "", "/shop.Shop/Buy",
		  "{\"to\":{\"city\":\"Rome\",\"number\":0}}" },
		{ "GET", "/v1/orders/pen?=1&&.=2&item.x=5", "", "/shop.Shop/Buy",
		  "{\"item\":\"pen\"}" },
		{ "GET", "/v1/watch/pen", "", "/shop.Shop/Watch", "{\"item\":\"pen\"}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct req *r = test_request(rows[i].method, rows[i].target, "");

		req_set_body(r, str_of(rows[i].body));
		if (test_run(&plugin_grpc_gateway, PHASE_ACCESS, r, PROTO) != NEXT)
			fail_msg("%s: %s", rows[i].target, test_answer(r));
		assert_string_equal(str_z(test.a, sent(r)), rows[i].sent);
		assert_true(str_is(req_upstream_path(r), rows[i].path));
		assert_true(str_is(req_method(r), "POST") && !req_query(r).n);
		assert_string_equal(test_sent(r, "Content-Type"), "application/grpc");
		assert_string_equal(test_sent(r, "TE"), "trailers");
	}
}

static void what_has_no_method_is_refused(void **state)
{
	static const struct {
		const char *conf, *method, *target, *body, *answer;
	} rows[] = {
		{ "{}", "GET", "/v1/orders/pen", "",
		  "400 transcoding requests require a .proto file defining the service" },
		{ "{\"proto\":\"/none.proto\"}", "GET", "/", "",
		  "500 An unexpected error occurred" },
		{ PROTO, "GET", "/v2", "",
		  "400 failed to transcode .proto file Unknown path \"/v2\"" },
		{ PROTO, "TRACK", "/v2", "",
		  "400 failed to transcode .proto file Unknown method \"track\"" },
		{ PROTO, "POST", "/v1/orders", "[1]", "400 body must be a table" },
		{ PROTO, "POST", "/v1/orders", "{\"to\":1}", "400 to: expected an object" },
		{ PROTO, "GET", "/v1/orders/pen?count=x", "", "400 count: expected a number" },
		{ PROTO, "OPTIONS", "/any", "", "200 OK" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct req *r = test_request(rows[i].method, rows[i].target, "");

		req_set_body(r, str_of(rows[i].body));
		assert_int_equal(test_run(&plugin_grpc_gateway, PHASE_ACCESS, r, rows[i].conf),
				 DONE);
		assert_string_equal(test_answer(r), rows[i].answer);
		assert_string_equal(test_reply(r, "Access-Control-Allow-Origin"), "*");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_schema_is_kongs),
		cmocka_unit_test(requests_become_messages),
		cmocka_unit_test(what_has_no_method_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
