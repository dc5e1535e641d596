/* SPDX-License-Identifier: Apache-2.0 */
/* statsd: its rows, what a configuration may not say, and every line that it writes. */
#include "plugins/statsd/statsd.h"
#include "plugins/testing.h"

extern const struct plugin plugin_statsd;

#define WORKSPACE "0dc6f45b-8f8d-40d2-a504-473544ee190b"
#define SERVICE   "11111111-1111-4111-8111-111111111111"
#define ROUTE     "22222222-2222-4222-8222-222222222222"
#define CONSUMER  "33333333-3333-4333-8333-333333333333"

static void the_rows_are_kong_s(void **state)
{
	(void)state;
	test_schema_of(&plugin_statsd);
}

static void bad_configurations_are_refused(void **state)
{
	static const struct test_refusal cases[] = {
		{ "{}", "" },
		{ "{\"metrics\":[]}", "" },
		{ "{\"host\":\"h:1\"}", "host" },
		{ "{\"tag_style\":\"none\"}", "tag_style" },
		{ "{\"udp_packet_size\":65508}", "udp_packet_size" },
		{ "{\"allow_status_codes\":[\"200\"]}", "allow_status_codes" },
		{ "{\"metrics\":[{\"name\":\"latency\",\"stat_type\":\"gauge\"}]}", "sample_rate" },
		{ "{\"metrics\":[{\"name\":\"latency\",\"stat_type\":\"timer\",\"sample_rate\":0}]"
		  "}",
		  "sample_rate" },
		{ "{\"metrics\":[{\"name\":\"x\",\"stat_type\":\"timer\"}]}", "name" },
		{ "{\"consumer_identifier_default\":\"id\"}", "consumer_identifier_default" },
	};

	(void)state;
	test_refusals(&plugin_statsd, cases, COUNT(cases));
}

/* ---- lines ---------------------------------------------------------------------------------- */

static uuid id_of(const char *text)
{
	uuid u = { 0 };

	uuid_parse(str_of(text), &u);
	return u;
}

/* A proxied request of 30 bytes answered with 200 and 300 bytes, within 30 ms, 20 of them
 * the upstream's. */
static struct req *request_of(const char *service_name, const char *custom_id)
{
	struct req *r = test_request("GET", "/", "");
	struct service *s = NEW(test.a, struct service);
	struct route *route = NEW(test.a, struct route);
	struct service_plan *service_plan = NEW(test.a, struct service_plan);
	struct route_plan *route_plan = NEW(test.a, struct route_plan);
	struct consumer *c = NEW(test.a, struct consumer);

	s->id = id_of(SERVICE);
	s->name = str_of(service_name);
	s->host = STR("orders.test");
	service_plan->service = s;
	route->id = id_of(ROUTE);
	route_plan->route = route;
	r->service = service_plan;
	r->route = route_plan;
	if (custom_id) {
		c->id = id_of(CONSUMER);
		c->username = STR("jo");
		c->custom_id = str_of(custom_id);
		r->run->consumer = c;
	}
	r->status = r->upstream_code = 200;
	r->is_proxied = true;
	r->bytes_sent = 300;
	r->start_ms = loop_now_ms() - 30;
	r->balanced_ms = r->start_ms + 10;
	r->answered_ms = r->start_ms + 30;
	return r;
}

/* Times differ by what passed since the request was made. */
static const char *lines_of(struct req *r, const char *conf)
{
	struct buf b CLEANUP(buf_done) = { 0 };

	statsd_write(r, test_conf(&plugin_statsd, conf), &b);
	return str_z(test.a, buf_str(&b));
}

static void figures_are_named_by_their_service(void **state)
{
	const char *lines = lines_of(request_of("orders.v1", NULL), "{}");
	const char *begin = "kong.service.orders_v1.request.count:1|c\n"
			    "kong.service.orders_v1.latency:";
	const char *middle = "|ms\n"
			     "kong.service.orders_v1.request.size:30|c\n"
			     "kong.service.orders_v1.status.200:1|c\n"
			     "kong.service.orders_v1.response.size:300|c\n"
			     "kong.service.orders_v1.upstream_latency:20|ms\n"
			     "kong.service.orders_v1.kong_latency:10|ms\n"
			     "kong.service.orders_v1.workspace." WORKSPACE ".status.200:1|c\n";

	(void)state;
	assert_memory_equal(lines, begin, strlen(begin));
	assert_string_equal(strchr(lines + strlen(begin), '|'), middle);
}

static void each_metric_has_its_line(void **state)
{
	static const struct {
		const char *metric, *lines;
	} cases[] = {
		{ "\"request_count\",\"stat_type\":\"gauge\",\"sample_rate\":0.5",
		  "kong.service.orders_test.request.count:1|g|@0.5\n" },
		{ "\"request_size\",\"stat_type\":\"histogram\"",
		  "kong.service.orders_test.request.size:30|h\n" },
		{ "\"response_size\",\"stat_type\":\"meter\",\"sample_rate\":1",
		  "kong.service.orders_test.response.size:300|m\n" },
		{ "\"upstream_latency\",\"stat_type\":\"set\"",
		  "kong.service.orders_test.upstream_latency:20|s\n" },
		{ "\"status_count\",\"stat_type\":\"gauge\",\"sample_rate\":2",
		  "kong.service.orders_test.status.200:1|c|@2\n" },
		{ "\"unique_users\",\"stat_type\":\"counter\",\"sample_rate\":0.1",
		  "kong.service.orders_test.user.uniques:4711|s\n" },
		{ "\"request_per_user\",\"stat_type\":\"counter\",\"sample_rate\":0.1,"
		  "\"consumer_identifier\":\"username\"",
		  "kong.service.orders_test.user.jo.request.count:1|c|@0.1\n" },
		{ "\"status_count_per_user\",\"stat_type\":\"timer\",\"consumer_identifier\":"
		  "\"consumer_id\"",
		  "kong.service.orders_test.user." CONSUMER ".status.200:1|c\n" },
		{ "\"status_count_per_workspace\",\"stat_type\":\"timer\"",
		  "kong.service.orders_test.workspace." WORKSPACE ".status.200:1|c\n" },
		{ "\"status_count_per_workspace\",\"stat_type\":\"timer\","
		  "\"workspace_identifier\":\"workspace_name\"",
		  "kong.service.orders_test.workspace.default.status.200:1|c\n" },
		{ "\"status_count_per_user_per_route\",\"stat_type\":\"timer\"",
		  "kong.route." ROUTE ".user.4711.status.200:1|c\n" },
		{ "\"request_count\",\"stat_type\":\"timer\",\"service_identifier\":"
		  "\"service_id\"",
		  "kong.service." SERVICE ".request.count:1|ms\n" },
		{ "\"request_count\",\"stat_type\":\"timer\",\"service_identifier\":"
		  "\"service_name\"",
		  "kong.service.unnamed.request.count:1|ms\n" },
		{ "\"request_count\",\"stat_type\":\"timer\",\"service_identifier\":"
		  "\"service_host\"",
		  "kong.service.orders_test.request.count:1|ms\n" },
		{ "\"shdict_usage\",\"stat_type\":\"gauge\",\"sample_rate\":1", "" },
	};

	(void)state;
	test_config("{\"_format_version\":\"3.0\"}");
	for (size_t i = 0; i < COUNT(cases); i++) {
		str conf = str_fmt(test.a, "{\"metrics\":[{\"name\":%s}]}", cases[i].metric);

		assert_string_equal(lines_of(request_of(NULL, "4711"), conf.s), cases[i].lines);
	}
}

static void tags_take_the_place_of_names(void **state)
{
#define TAGS(is)                                                                                   \
	"service" is "orders.v1,route" is ROUTE ",workspace" is "default,consumer" is "47_11,"     \
	"node" is "gate_test,status" is "200"
	static const struct {
		const char *style, *lines;
	} cases[] = {
		{ "dogstatsd", "p.request.count:1|c|@0.5|#" TAGS(
				       ":") "\np.response.size:300|ms|#" TAGS(":") "\n" },
		{ "influxdb", "p.request.count," TAGS("=") ":1|c|@0.5\np.response.size," TAGS(
				      "=") ":300|ms\n" },
		{ "librato", "p.request.count#" TAGS("=") ":1|c|@0.5\np.response.size#" TAGS(
				     "=") ":300|ms\n" },
		{ "signalfx", "p.request.count[" TAGS("=") "]:1|c|@0.5\np.response.size[" TAGS(
				      "=") "]:300|ms\n" },
	};
#undef TAGS

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		str conf = str_fmt(
			test.a,
			"{\"prefix\":\"p\",\"hostname_in_prefix\":true,\"tag_style\":\"%s\","
			"\"workspace_identifier_default\":\"workspace_name\",\"metrics\":["
			"{\"name\":\"request_count\",\"stat_type\":\"counter\",\"sample_rate\":0.5}"
			","
			"{\"name\":\"status_count\",\"stat_type\":\"counter\",\"sample_rate\":1},"
			"{\"name\":\"unique_users\",\"stat_type\":\"set\"},"
			"{\"name\":\"response_size\",\"stat_type\":\"timer\"}]}",
			cases[i].style);

		assert_string_equal(lines_of(request_of("orders.v1", "47\n11"), conf.s),
				    cases[i].lines);
	}
}

#define COUNT_ALONE                                                                                \
	"\"metrics\":[{\"name\":\"request_count\",\"stat_type\":\"counter\",\"sample_rate\":1},"   \
	"{\"name\":\"upstream_latency\",\"stat_type\":\"timer\"}]"

static void requests_without_service_are_unmatched(void **state)
{
	struct req *r = request_of(NULL, NULL);

	(void)state;
	r->service = NULL;
	r->upstream_code = 0;
	r->is_proxied = false;
	assert_string_equal(lines_of(r, "{" COUNT_ALONE "}"),
			    "kong.global.unmatched.request.count:1|c\n");
	assert_string_equal(lines_of(r, "{\"tag_style\":\"dogstatsd\"," COUNT_ALONE "}"),
			    "kong.request.count:1|c\n");
}

static void the_host_may_follow_the_prefix(void **state)
{
	struct req *r = request_of("o", NULL);

	(void)state;
	r->upstream_code = 0;
	r->is_proxied = false;
	assert_string_equal(lines_of(r, "{\"hostname_in_prefix\":true," COUNT_ALONE "}"),
			    "kong.node.gate_test.service.o.request.count:1|c\n");
}

/* ---- shared zones ------------------------------------------------------------------------------ */

static size_t two_zones(void *arg, struct node_zone ret[NODE_ZONES])
{
	(void)arg;
	ret[0] = (struct node_zone){ "kong_db_cache", 100, 1000 };
	ret[1] = (struct node_zone){ "kong_db_cache_miss", 20, 10 };
	return 2;
}

static void shared_zones_are_sent_once_a_minute(void **state)
{
#define ZONES "\"metrics\":[{\"name\":\"shdict_usage\",\"stat_type\":\"gauge\",\"sample_rate\":1}]"
	static const struct plugin_node_hooks hooks = { .zones = two_zones };
	static const struct {
		const char *conf, *lines;
	} cases[] = {
		{ "{" ZONES "}", "kong.node.gate_test.shdict.kong_db_cache.free_space:900|g\n"
				 "kong.node.gate_test.shdict.kong_db_cache.capacity:1000|g\n"
				 "kong.node.gate_test.shdict.kong_db_cache_miss.free_space:0|g\n"
				 "kong.node.gate_test.shdict.kong_db_cache_miss.capacity:10|g\n" },
		{ "{\"hostname_in_prefix\":true," ZONES "}",
		  "kong.node.gate_test.shdict.kong_db_cache.free_space:900|g\n"
		  "kong.node.gate_test.shdict.kong_db_cache.capacity:1000|g\n"
		  "kong.node.gate_test.shdict.kong_db_cache_miss.free_space:0|g\n"
		  "kong.node.gate_test.shdict.kong_db_cache_miss.capacity:10|g\n" },
		{ "{\"tag_style\":\"librato\"," ZONES "}",
		  "kong.shdict.free_space#node=gate_test,shdict=kong_db_cache:900|g\n"
		  "kong.shdict.capacity#node=gate_test,shdict=kong_db_cache:1000|g\n"
		  "kong.shdict.free_space#node=gate_test,shdict=kong_db_cache_miss:0|g\n"
		  "kong.shdict.capacity#node=gate_test,shdict=kong_db_cache_miss:10|g\n" },
	};
#undef ZONES
	struct req *r = request_of("o", NULL);

	(void)state;
	plugins_ask(&hooks);
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct statsd_conf *c = test_conf(&plugin_statsd, cases[i].conf);
		struct buf first CLEANUP(buf_done) = { 0 }, second CLEANUP(buf_done) = { 0 };

		statsd_write(r, c, &first);
		assert_string_equal(str_z(test.a, buf_str(&first)), cases[i].lines);
		statsd_write(r, c, &second);
		assert_int_equal(second.n, 0);
		*c->zones_s -= 61;
		statsd_write(r, c, &second);
		assert_int_equal(second.n, first.n);
	}
	plugins_ask(NULL);
}

/* ---- packets ----------------------------------------------------------------------------------- */

static void lines_go_together_up_to_the_packet_s_size(void **state)
{
	static const struct {
		size_t most;
		const char *packets; /* between bars */
	} cases[] = {
		{ 0, "aaaa|bb|cccccc|d|e" },      { 6, "aaaa|bb|cccccc|d\ne" },
		{ 7, "aaaa\nbb|cccccc|d\ne" },    { 9, "aaaa\nbb|cccccc\nd|e" },
		{ 14, "aaaa\nbb\ncccccc|d\ne" },  { 16, "aaaa\nbb\ncccccc\nd|e" },
		{ 18, "aaaa\nbb\ncccccc\nd\ne" }, { 65507, "aaaa\nbb\ncccccc\nd\ne" },
	};

	(void)state;
	test_begin();
	for (size_t i = 0; i < COUNT(cases); i++) {
		strs lines = str_split(test.a, STR("aaaa,bb,cccccc,d,e"), ',');
		strs packets = statsd_packets(test.a, lines, cases[i].most);

		assert_string_equal(str_z(test.a, str_join(test.a, packets, STR("|"))),
				    cases[i].packets);
	}
	assert_int_equal(statsd_packets(test.a, (strs){ NULL, 0 }, 10).n, 0);
}

static int begin(void **state)
{
	const struct plugin_node node = { .hostname = STR("gate.test"), .loops = 1 };

	(void)state;
	test_config("{\"_format_version\":\"3.0\"}");
	plugins_start(&node);
	return 0;
}

static int end(void **state)
{
	plugins_stop();
	return test_end(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_kong_s),
		cmocka_unit_test(bad_configurations_are_refused),
		cmocka_unit_test(figures_are_named_by_their_service),
		cmocka_unit_test(each_metric_has_its_line),
		cmocka_unit_test(tags_take_the_place_of_names),
		cmocka_unit_test(requests_without_service_are_unmatched),
		cmocka_unit_test(the_host_may_follow_the_prefix),
		cmocka_unit_test(shared_zones_are_sent_once_a_minute),
		cmocka_unit_test(lines_go_together_up_to_the_packet_s_size),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
