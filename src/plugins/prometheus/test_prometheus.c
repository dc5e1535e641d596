/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus: what is counted of a request, and what the page says. */
#include "plugins/testing.h"

extern const struct plugin plugin_prometheus;

static const struct plugin_node node = { .node_id = STR_INIT("n0"), .worker_pid = 42, .loops = 1 };

static const char all_on[] =
	"{\"per_consumer\":true,\"status_code_metrics\":true,\"latency_metrics\":true,"
	"\"bandwidth_metrics\":true,\"upstream_health_metrics\":true}";

/* ---- what pages ask, answered ------------------------------------------------------------ */

static bool is_used;

static void figures(void *arg, struct node_figures *ret)
{
	(void)arg;
	*ret = (struct node_figures){
		.connections_active = 1,
		.connections_accepted = 7,
		.requests = 9,
		.worker_bytes = 4096,
		.is_database_reachable = true,
	};
}

static struct value *targets(void *arg, struct arena *a)
{
	(void)a;
	(void)arg;
	return test_json("{\"up\":{\"a:80\":{\"health\":\"HEALTHY\",\"data\":{\"addresses\":"
			 "[{\"ip\":\"10.0.0.1\",\"port\":80,\"health\":\"HEALTHY\"}]}},"
			 "\"b:80\":{\"health\":\"DNS_ERROR\",\"data\":{\"addresses\":[]}}}}");
}

static bool uses(void *arg, const char *plugin)
{
	(void)arg;
	return is_used && strcmp(plugin, "prometheus") == 0;
}

static size_t zones(void *arg, struct node_zone ret[NODE_ZONES])
{
	(void)arg;
	ret[0] = (struct node_zone){ "kong_db_cache", 100, 1000 };
	return 1;
}

static const char *page(void)
{
	static const struct plugin_node_hooks hooks = {
		.figures = figures, .targets = targets, .uses = uses, .zones = zones
	};
	struct buf out CLEANUP(buf_done);

	buf_init(&out, 0);
	plugins_ask(&hooks);
	plugin_prometheus.pages[0].write(&out);
	plugins_ask(NULL);
	return str_z(test.a, buf_str(&out));
}

static int begin(void **state)
{
	(void)state;
	test_begin();
	is_used = true;
	plugin_prometheus.start(&node);
	return 0;
}

static int end(void **state)
{
	(void)state;
	plugin_prometheus.stop();
	return 0;
}

static bool says(const char *line)
{
	return strstr(page(), line) != NULL;
}

static struct req *request(const char *service, const char *route)
{
	struct req *r = test_request("GET", "/x", "");
	struct service *s = NEW(test.a, struct service);
	struct route *t = NEW(test.a, struct route);
	struct service_plan *sp = NEW(test.a, struct service_plan);
	struct route_plan *rp = NEW(test.a, struct route_plan);

	s->name = str_of(service);
	s->host = STR("orders.test");
	t->name = str_of(route);
	memset(t->id.b, 0x11, sizeof(t->id.b));
	sp->service = s;
	rp->route = t;
	rp->service = sp;
	r->service = sp;
	r->route = rp;
	r->status = 200;
	r->bytes_sent = 500;
	return r;
}

/* ---- promises -------------------------------------------------------------------------------- */

static void nothing_is_counted_unless_it_is_switched_on(void **state)
{
	(void)state;
	test_run(&plugin_prometheus, PHASE_LOG, request("s", "r"), "{}");
	assert_false(says("service="));
	assert_false(says("kong_upstream_target_health"));
	test_run(&plugin_prometheus, PHASE_LOG, request("s", "r"), all_on);
	assert_true(says("service="));
	assert_true(says("kong_upstream_target_health"));
}

static void requests_without_a_service_are_not_counted(void **state)
{
	struct req *r = request("s", "r");

	(void)state;
	r->service = NULL;
	test_run(&plugin_prometheus, PHASE_LOG, r, all_on);
	assert_false(says("code="));
}

static void names_give_way_to_host_and_id(void **state)
{
	(void)state;
	test_run(&plugin_prometheus, PHASE_LOG, request("s", "r"), all_on);
	test_run(&plugin_prometheus, PHASE_LOG, request(NULL, NULL), all_on);
	assert_true(says("kong_http_requests_total{service=\"s\",route=\"r\",code=\"200\","
			 "source=\"kong\",consumer=\"\"} 1\n"));
	assert_true(says("{service=\"orders.test\",route=\"11111111-1111-1111-1111-111111111111\","
			 "code=\"200\",source=\"kong\",consumer=\"\"} 1\n"));
}

static void consumers_are_told_apart_when_asked(void **state)
{
	struct consumer jo = { .username = STR("jo") };
	struct req *r = request("s", "r");

	(void)state;
	r->run->consumer = &jo;
	r->upstream_code = 200;
	test_run(&plugin_prometheus, PHASE_LOG, r, all_on);
	test_run(&plugin_prometheus, PHASE_LOG, r, "{\"status_code_metrics\":true}");
	assert_true(says("code=\"200\",source=\"service\",consumer=\"jo\"} 1\n"));
	assert_true(says("code=\"200\",source=\"service\",consumer=\"\"} 1\n"));
	assert_true(says("kong_bandwidth_bytes{service=\"s\",route=\"r\",direction=\"egress\","
			 "consumer=\"jo\"} 500\n"));
}

static void latencies_of_own_answers_have_no_upstream(void **state)
{
	(void)state;
	test_run(&plugin_prometheus, PHASE_LOG, request("s", "r"), "{\"latency_metrics\":true}");
	assert_true(says("kong_request_latency_ms_count{service=\"s\",route=\"r\"} 1\n"));
	assert_true(says("kong_kong_latency_ms_bucket{service=\"s\",route=\"r\",le=\"+Inf\"} 1\n"));
	assert_false(says("kong_upstream_latency_ms"));
}

static void the_node_is_shown_whether_the_plugin_is_used_or_not(void **state)
{
	(void)state;
	test_run(&plugin_prometheus, PHASE_LOG, request("s", "r"), all_on);
	is_used = false;
	assert_false(says("kong_http_requests_total"));
	assert_false(says("kong_nginx_metric_errors_total"));
	assert_true(says("kong_node_info{node_id=\"n0\",version=\"3.2.2\"} 1\n"));
	assert_true(says("kong_datastore_reachable 1\n"));
	assert_true(says("{node_id=\"n0\",subsystem=\"http\",state=\"accepted\"} 7\n"));
	assert_true(says("kong_nginx_requests_total{node_id=\"n0\",subsystem=\"http\"} 9\n"));
	assert_true(says("{node_id=\"n0\",pid=\"42\",kong_subsystem=\"http\"} 4096\n"));
	assert_true(says("kong_memory_lua_shared_dict_bytes{node_id=\"n0\",shared_dict="
			 "\"kong_db_cache\",kong_subsystem=\"http\"} 100\n"));
	assert_true(says("kong_memory_lua_shared_dict_total_bytes{node_id=\"n0\",shared_dict="
			 "\"kong_db_cache\",kong_subsystem=\"http\"} 1000\n"));
}

static void each_address_is_in_one_state(void **state)
{
	static const char up[] = "kong_upstream_target_health{upstream=\"up\",target=\"a:80\","
				 "address=\"10.0.0.1:80\",state=\"";
	static const char lost[] = "kong_upstream_target_health{upstream=\"up\",target=\"b:80\","
				   "address=\"\",state=\"";
	static const char *const states[] = { "healthchecks_off", "healthy", "unhealthy",
					      "dns_error" };

	(void)state;
	test_run(&plugin_prometheus, PHASE_LOG, request("s", "r"), all_on);
	for (int i = 0; i < 4; i++) {
		assert_true(says(
			str_fmt(test.a, "%s%s\",subsystem=\"http\"} %d\n", up, states[i], i == 1)
				.s));
		assert_true(says(
			str_fmt(test.a, "%s%s\",subsystem=\"http\"} %d\n", lost, states[i], i == 3)
				.s));
	}
}

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_prometheus);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		TEST(nothing_is_counted_unless_it_is_switched_on),
		TEST(requests_without_a_service_are_not_counted),
		TEST(names_give_way_to_host_and_id),
		TEST(consumers_are_told_apart_when_asked),
		TEST(latencies_of_own_answers_have_no_upstream),
		TEST(the_node_is_shown_whether_the_plugin_is_used_or_not),
		TEST(each_address_is_in_one_state),
	};

	return cmocka_run_group_tests(tests, NULL, test_end);
}
