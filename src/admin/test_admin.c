/* SPDX-License-Identifier: Apache-2.0 */
/* The Admin API over a memory store: what is asked, the status, a piece of the answer. */
#include "admin/admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/uri.h"
#include "model/plugin_schema.h"

#define ONE  "8b1dbb54-7ea4-4f5a-9b61-0c6e4a6f0b01"
#define CERT "8b1dbb54-7ea4-4f5a-9b61-0c6e4a6f0b02"
#define NONE "8b1dbb54-7ea4-4f5a-9b61-0c6e4a6f0bff"
#define JSON "application/json"
#define FORM "application/x-www-form-urlencoded"

static struct {
	struct arena *a;
	struct settings settings;
	struct admin_context context;
	struct admin *admin;
	struct err *apply_error;
	int applied;
} t;

/* ---- a node -------------------------------------------------------------------------------- */

static struct err *apply(void *arg, struct declarative_config *d)
{
	(void)arg;
	if (t.apply_error)
		return t.apply_error;
	t.applied++;
	store_memory_swap(t.context.store, d);
	return NULL;
}

static void status(void *arg, struct admin_status *ret)
{
	(void)arg;
	ret->connections_active = 3;
	ret->total_requests = 12345;
	ret->worker_bytes = 3 * 1024 * 1024;
	ret->zones[0] = (struct node_zone){ "kong", 1024 * 1024, 5 * 1024 * 1024 };
	ret->n_zones = 1;
	ret->has_hash = true;
	memcpy(ret->configuration_hash, "00000000000000000000000000000000", 33);
}

static struct value *targets_health(void *arg, struct arena *a, uuid upstream)
{
	static const char text[] =
		"{\"1.1.1.1:80\":{\"health\":\"HEALTHY\",\"data\":{\"addresses\":[]}}}";
	struct value *v = NULL;
	struct err *e = json_parse(a, str_of(text), &v);

	(void)arg;
	(void)upstream;
	assert_null(e);
	return v;
}

/* clang-format off */
static const struct field limit_config[] = {
	F_NOT_KEPT("limit", FIELD_INTEGER, .required = true, .help = "How many."),
	F_END
};
static const struct field limit_fields[] = {
	PLUGIN_CONFIG(limit_config),
	F_END
};
static const struct plugin_schema limit_schema = {
	.name = "limit", .version = "1.2.3", .priority = 77, .help = "Limits.", .fields = limit_fields,
};

static const char document[] =
	"{\"_format_version\":\"3.0\",\"services\":["
	"{\"id\":\"" ONE "\",\"name\":\"one\",\"url\":\"http://a.test/p\",\"tags\":[\"x\",\"y\"],"
	"\"routes\":[{\"name\":\"r1\",\"paths\":[\"/one\"],\"tags\":[\"x\"]}]},"
	"{\"name\":\"two\",\"host\":\"b.test\",\"tags\":[\"x\"]},"
	"{\"name\":\"three\",\"host\":\"c.test\"}],"
	"\"routes\":[{\"name\":\"lonely\",\"paths\":[\"/lonely\"]}],"
	"\"consumers\":[{\"username\":\"jo\",\"custom_id\":\"c1\"}],"
	"\"upstreams\":[{\"name\":\"up.test\",\"targets\":[{\"target\":\"1.1.1.1:80\"},"
	"{\"target\":\"2.2.2.2:80\"},{\"target\":\"3.3.3.3:80\"}]}],"
	"\"plugins\":[{\"name\":\"limit\",\"config\":{\"limit\":5}}]}";
/* clang-format on */

/* The document above and a certificate with two names. */
static str whole_document(struct arena *a)
{
	str cert, key;
	struct value *v, *certificates = value_array(a), *c = value_object(a),
			 *snis = value_array(a);

	assert_null(json_parse(a, str_of(document), &v));
	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("localhost"), 2, &cert, &key));
	for (int i = 2; i > 0; i--) {
		struct value *sni = value_object(a);

		value_set(a, sni, STR("name"), value_str(a, str_fmt(a, "%d.test", i)));
		value_add(a, snis, sni);
	}
	value_set(a, c, STR("id"), value_text(a, CERT));
	value_set(a, c, STR("cert"), value_str(a, cert));
	value_set(a, c, STR("key"), value_str(a, key));
	value_set(a, c, STR("snis"), snis);
	value_add(a, certificates, c);
	value_set(a, v, STR("certificates"), certificates);
	return json_text(a, v, JSON_COMPACT);
}

static void load(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct declarative_options o = { .now_ms = 1700000000000 };
	struct declarative_config *d CLEANUP(declarative_drop) = NULL;
	struct db_error e = { 0 };

	if (!declarative_parse(a, whole_document(a), &o, &d, &e))
		fail_msg(STRF " " STRF, STRV(e.message), STRV(json_text(a, e.fields, 0)));
	store_memory_swap(t.context.store, d);
}

static int set_up(void **state)
{
	(void)state;
	t.a = arena_new();
	t.settings.database_kind = DATABASE_OFF;
	t.settings.header_tokens = KONG_HEADER_SERVER | KONG_HEADER_ADMIN_LATENCY;
	t.context = (struct admin_context){
		.settings = &t.settings,
		.store = store_memory_new(),
		.hostname = STR("host"),
		.master_pid = 1,
		.worker_pid = 2,
		.apply = apply,
		.status = status,
		.targets_health = targets_health,
	};
	uuid_parse(STR(NONE), &t.context.node_id);
	t.admin = admin_new(t.a, &t.context);
	load();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	t.context.store->kind->drop(t.context.store);
	arena_drop(&t.a);
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------------ */

struct answer {
	int status;
	str body, type;
	struct http_headers headers;
};

static struct answer ask_of(struct arena *a, bool is_status, const char *method, const char *target,
			    const char *type, str body)
{
	static const struct http_limits limits = { 8192, 8192, 32768, 100 };
	str head = str_fmt(a, "%s %s HTTP/1.1\r\nHost: x\r\n", method, target);
	struct http_request request;
	struct api_request r = { .arena = a, .head = &request, .body = body };
	struct api_reply reply = { 0 };
	size_t scanned = 0;

	if (type)
		head = str_fmt(a, STRF "Content-Type: %s\r\n", STRV(head), type);
	if (body.n)
		head = str_fmt(a, STRF "Content-Length: %zu\r\n", STRV(head), body.n);
	head = str_cat(a, head, STR("\r\n"));
	if (http_parse_request(a, (char *)(uintptr_t)head.s, head.n, &scanned, &limits, &request) <=
	    0)
		fail_msg("%s %s is no request", method, target);
	(is_status ? admin_handle_status : admin_handle)(t.admin, &r, &reply);
	return (struct answer){ reply.status, reply.body, reply.content_type, reply.headers };
}

static struct answer ask(struct arena *a, const char *method, const char *target, const char *type,
			 const char *body)
{
	return ask_of(a, false, method, target, type, str_of(body));
}

static bool has(str text, const char *piece)
{
	return str_find_str(text, str_of(piece)) >= 0;
}

struct expectation {
	const char *method, *target, *type, *body;
	int status;
	const char *piece; /* of the answer's body; NULL: it is empty */
};

static void expect(const struct expectation *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		const struct expectation *x = &rows[i];
		struct answer got = ask(a, x->method, x->target, x->type, x->body);

		if (got.status != x->status ||
		    (x->piece ? !has(got.body, x->piece) : got.body.n != 0))
			fail_msg("%s %s %s: %d " STRF, x->method, x->target, x->body ? x->body : "",
				 got.status, STRV(got.body));
	}
}

/* A member of an answer's JSON. */
static struct value *member(struct arena *a, str body, const char *key)
{
	struct value *v = NULL;
	struct err *e = json_parse(a, body, &v);

	if (e)
		fail_msg("no JSON: " STRF, STRV(body));
	return value_get(v, key);
}

/* ---- the way of a call ------------------------------------------------------------------------- */

/* clang-format off */
static const struct expectation road[] = {
	{ "GET",     "/",                      NULL, NULL, 200, "\"version\":\"3.2.2\"" },
	{ "GET",     "/nowhere",               NULL, NULL, 404, "{\"message\":\"Not found\"}" },
	{ "GET",     "/services/",             NULL, NULL, 200, "\"data\":[" },
	{ "GET",     "/services//",            NULL, NULL, 404, "Not found" },
	{ "GET",     "//services",             NULL, NULL, 404, "Not found" },
	{ "DELETE",  "/services",              NULL, NULL, 405, "{\"message\":\"Method not allowed\"}" },
	{ "TRACE",   "/services",              NULL, NULL, 405, "Method not allowed" },
	{ "BREW",    "/services",              NULL, NULL, 405, "Method not allowed" },
	{ "OPTIONS", "/services",              NULL, NULL, 204, NULL },
	{ "HEAD",    "/services/one",          NULL, NULL, 200, "\"one\"" },
	{ "HEAD",    "/services/none",         NULL, NULL, 404, "Not found" },
	{ "POST",    "/services",              "text/plain", "x", 415, NULL },
	{ "POST",    "/services",              NULL, "x", 415, NULL },
	{ "POST",    "/services",              "Application/json", "{}", 415, NULL },
	{ "POST",    "/services",              "text/yaml", "a: 1", 415, NULL },
	{ "POST",    "/services",              JSON, "{", 400, "{\"message\":\"Cannot parse JSON body\"}" },
	{ "POST",    "/services",              JSON, "", 400, "Cannot parse JSON body" },
	{ "POST",    "/services",              JSON, "[]", 400, "Cannot parse JSON body" },
	{ "GET",     "/targets",               NULL, NULL, 404, "Not found" },
	{ "GET",     "/snis/1.test/certificate", NULL, NULL, 404, "Not found" },
	{ "GET",     "/robots.txt",            NULL, NULL, 200, "User-agent: *\nDisallow: /" },
	{ "GET",     "/clustering/status",     NULL, NULL, 400, "Control Plane" },
};
/* clang-format on */

static void calls_find_their_row_or_are_told_why_not(void **state)
{
	(void)state;
	expect(road, COUNT(road));
}

static void answers_carry_kongs_headers(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct answer got = ask(a, "OPTIONS", "/services/one/routes", NULL, NULL);

	(void)state;
	assert_true(str_is(http_get_str(&got.headers, STR("Allow"))->value,
			   "GET, HEAD, OPTIONS, POST"));
	assert_true(str_is(http_get_str(&got.headers, STR("access-control-allow-methods"))->value,
			   "GET, HEAD, OPTIONS, POST"));
	assert_true(str_is(http_get_str(&got.headers, STR("access-control-allow-headers"))->value,
			   "Content-Type"));
	assert_true(
		str_is(http_get_str(&got.headers, STR("access-control-allow-origin"))->value, "*"));
	assert_non_null(http_get_str(&got.headers, STR("x-kong-admin-latency")));
	assert_true(has(http_get(&got.headers, HTTP_SERVER)->value, "gibbon/"));
	assert_int_equal(got.type.n, 0);
	got = ask(a, "GET", "/services", NULL, NULL);
	assert_true(str_is(got.type, "application/json; charset=utf-8"));
}

/* clang-format off */
static const struct {
	const char *path, *methods;
} contract[] = {
	{ "/",                                                         "GET, HEAD, OPTIONS" },
	{ "/ca_certificates",                                          "GET, HEAD, OPTIONS, POST" },
	{ "/ca_certificates/:ca_certificates",                         "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/cache",                                                    "DELETE, OPTIONS" },
	{ "/cache/:key",                                               "DELETE, GET, HEAD, OPTIONS" },
	{ "/certificates",                                             "GET, HEAD, OPTIONS, POST" },
	{ "/certificates/:certificates",                               "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/certificates/:certificates/services",                      "GET, HEAD, OPTIONS, POST" },
	{ "/certificates/:certificates/services/:services",            "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/certificates/:certificates/snis",                          "GET, HEAD, OPTIONS, POST" },
	{ "/certificates/:certificates/snis/:snis",                    "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/certificates/:certificates/upstreams",                     "GET, HEAD, OPTIONS, POST" },
	{ "/certificates/:certificates/upstreams/:upstreams",          "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/clustering/data-planes",                                   "GET, HEAD, OPTIONS" },
	{ "/clustering/status",                                        "GET, HEAD, OPTIONS" },
	{ "/config",                                                   "GET, HEAD, OPTIONS, POST" },
	{ "/consumers",                                                "GET, HEAD, OPTIONS, POST" },
	{ "/consumers/:consumers",                                     "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/consumers/:consumers/plugins",                             "GET, HEAD, OPTIONS, POST" },
	{ "/consumers/:consumers/plugins/:plugins",                    "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/debug/cluster/log-level/:log_level",                       "OPTIONS, PUT" },
	{ "/debug/node/log-level",                                     "GET, HEAD, OPTIONS" },
	{ "/debug/node/log-level/:log_level",                          "OPTIONS, PUT" },
	{ "/endpoints",                                                "GET, HEAD, OPTIONS" },
	{ "/key-sets",                                                 "GET, HEAD, OPTIONS, POST" },
	{ "/key-sets/:key_sets",                                       "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/key-sets/:key_sets/keys",                                  "GET, HEAD, OPTIONS, POST" },
	{ "/key-sets/:key_sets/keys/:keys",                            "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/keys",                                                     "GET, HEAD, OPTIONS, POST" },
	{ "/keys/:keys",                                               "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/keys/:keys/set",                                           "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/plugins",                                                  "GET, HEAD, OPTIONS, POST" },
	{ "/plugins/:plugins",                                         "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/plugins/:plugins/consumer",                                "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/plugins/:plugins/route",                                   "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/plugins/:plugins/service",                                 "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/plugins/enabled",                                          "GET, HEAD, OPTIONS" },
	{ "/plugins/schema/:name",                                     "GET, HEAD, OPTIONS" },
	{ "/routes",                                                   "GET, HEAD, OPTIONS, POST" },
	{ "/routes/:routes",                                           "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/routes/:routes/plugins",                                   "GET, HEAD, OPTIONS, POST" },
	{ "/routes/:routes/plugins/:plugins",                          "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/routes/:routes/service",                                   "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/schemas/:db_entity_name/validate",                         "OPTIONS, POST" },
	{ "/schemas/:name",                                            "GET, HEAD, OPTIONS" },
	{ "/schemas/plugins/:name",                                    "GET, HEAD, OPTIONS" },
	{ "/schemas/plugins/validate",                                 "OPTIONS, POST" },
	{ "/services",                                                 "GET, HEAD, OPTIONS, POST" },
	{ "/services/:services",                                       "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/services/:services/client_certificate",                    "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/services/:services/plugins",                               "GET, HEAD, OPTIONS, POST" },
	{ "/services/:services/plugins/:plugins",                      "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/services/:services/routes",                                "GET, HEAD, OPTIONS, POST" },
	{ "/services/:services/routes/:routes",                        "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/snis",                                                     "GET, HEAD, OPTIONS, POST" },
	{ "/snis/:snis",                                               "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/status",                                                   "GET, HEAD, OPTIONS" },
	{ "/tags",                                                     "GET, HEAD, OPTIONS" },
	{ "/tags/:tags",                                               "GET, HEAD, OPTIONS" },
	{ "/timers",                                                   "GET, HEAD, OPTIONS" },
	{ "/upstreams",                                                "GET, HEAD, OPTIONS, POST" },
	{ "/upstreams/:upstreams",                                     "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/upstreams/:upstreams/client_certificate",                  "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/upstreams/:upstreams/health",                              "GET, HEAD, OPTIONS" },
	{ "/upstreams/:upstreams/targets",                             "GET, HEAD, OPTIONS, POST" },
	{ "/upstreams/:upstreams/targets/:targets",                    "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/upstreams/:upstreams/targets/:targets/:address/healthy",   "OPTIONS, PUT" },
	{ "/upstreams/:upstreams/targets/:targets/:address/unhealthy", "OPTIONS, PUT" },
	{ "/upstreams/:upstreams/targets/:targets/healthy",            "OPTIONS, PUT" },
	{ "/upstreams/:upstreams/targets/:targets/unhealthy",          "OPTIONS, PUT" },
	{ "/upstreams/:upstreams/targets/all",                         "GET, HEAD, OPTIONS" },
	{ "/vaults",                                                   "GET, HEAD, OPTIONS, POST" },
	{ "/vaults/:vaults",                                           "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
	{ "/workspaces",                                               "GET, HEAD, OPTIONS, POST" },
	{ "/workspaces/:workspaces",                                   "DELETE, GET, HEAD, OPTIONS, PATCH, PUT" },
};
/* clang-format on */

/* Every core endpoint of Kong 3.2 with exactly its methods; parameters stand for themselves. */
static void endpoints_and_methods_are_those_of_kong(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(contract); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct answer got = ask(a, "OPTIONS", contract[i].path, NULL, NULL);
		const struct http_header *allow = http_get_str(&got.headers, STR("Allow"));

		if (got.status != 204 || !allow || !str_is(allow->value, contract[i].methods))
			fail_msg("%s: %d " STRF, contract[i].path, got.status,
				 STRV(allow ? allow->value : STR("")));
	}
}

static struct value *json_file(struct arena *a, const char *path)
{
	CLEANUP(buf_done) struct buf text = { 0 };
	FILE *f = fopen(path, "rb");
	struct value *v = NULL;
	char *room;
	size_t n;

	assert_non_null(f);
	buf_init(&text, 0);
	while ((room = buf_room(&text, 4096)) && (n = fread(room, 1, 4096, f)) > 0)
		text.n += n;
	fclose(f);
	assert_null(json_parse(a, str_copy(a, buf_str(&text)), &v));
	return v;
}

static ptrdiff_t index_of(const struct value *array, const struct value *item)
{
	for (uint32_t i = 0; i < array->n; i++)
		if (value_eq(array->items[i], item))
			return i;
	return -1;
}

/* What GET /endpoints of a Kong 3.2.2 said: ours are among them, in their order. */
static void endpoints_are_listed_as_kong_lists_them(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct value *kong, *ours = member(a, ask(a, "GET", "/endpoints", NULL, NULL).body, "data");
	ptrdiff_t before = -1;

	(void)state;
	kong = json_file(a, SOURCE_ROOT "/tests/contract/kong-3.2.2/endpoints.json");
	kong = value_get(kong, "data");
	assert_true(ours->n > 70);
	for (uint32_t i = 0; i < ours->n; i++) {
		ptrdiff_t at = index_of(kong, ours->items[i]);

		if (at <= before)
			fail_msg(STRF, STRV(ours->items[i]->s));
		before = at;
	}
}

/* ---- reading ---------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct expectation reads[] = {
	{ "GET", "/services/one",                       NULL, NULL, 200, "\"host\":\"a.test\"" },
	{ "GET", "/services/" ONE,                      NULL, NULL, 200, "\"name\":\"one\"" },
	{ "GET", "/services/o%6ee",                     NULL, NULL, 200, "\"name\":\"one\"" },
	{ "GET", "/services/" NONE,                     NULL, NULL, 404, "{\"message\":\"Not found\"}" },
	{ "GET", "/services/one",                       NULL, NULL, 200, "\"client_certificate\":null" },
	{ "GET", "/plugins/no-uuid",                    NULL, NULL, 404, "Not found" },
	{ "GET", "/ca_certificates/no-uuid",            NULL, NULL, 400, "\"code\":1,\"name\":\"invalid primary key\"" },
	{ "GET", "/routes/r1/service",                  NULL, NULL, 200, "\"name\":\"one\"" },
	{ "GET", "/routes/lonely/service",              NULL, NULL, 404, "Not found" },
	{ "GET", "/services/one/routes",                NULL, NULL, 200, "\"name\":\"r1\"" },
	{ "GET", "/services/two/routes",                NULL, NULL, 200, "\"data\":[]" },
	{ "GET", "/services/none/routes",               NULL, NULL, 404, "Not found" },
	{ "GET", "/services/one/routes/r1",             NULL, NULL, 200, "\"name\":\"r1\"" },
	{ "GET", "/services/two/routes/r1",             NULL, NULL, 404, "Not found" },
	{ "GET", "/services/one/routes/lonely",         NULL, NULL, 404, "Not found" },
	{ "GET", "/consumers?custom_id=c1",             NULL, NULL, 200, "\"username\":\"jo\"" },
	{ "GET", "/consumers?custom_id=c2",             NULL, NULL, 200, "{\"data\":[],\"next\":null}" },
	{ "GET", "/certificates/" CERT,                 NULL, NULL, 200, "\"snis\":[\"1.test\",\"2.test\"]" },
	{ "GET", "/certificates/2.test",                NULL, NULL, 200, CERT },
	{ "GET", "/certificates/3.test",                NULL, NULL, 404, "{\"message\":\"SNI not found\"}" },
	{ "GET", "/certificates",                       NULL, NULL, 200, "\"snis\":[\"1.test\",\"2.test\"]" },
	{ "GET", "/certificates/1.test/snis",           NULL, NULL, 200, "\"2.test\"" },
	{ "GET", "/upstreams/up.test/targets/1.1.1.1:80", NULL, NULL, 200, "\"weight\":100" },
	{ "GET", "/upstreams/up.test/targets/9.9.9.9:80", NULL, NULL, 404, "Not found" },
	{ "GET", "/upstreams/up.test/targets/all",      NULL, NULL, 200, "\"target\":\"3.3.3.3:80\"" },
	{ "GET", "/upstreams/up.test/health",           NULL, NULL, 200, "\"health\":\"HEALTHY\"" },
	{ "GET", "/upstreams/up.test/health",           NULL, NULL, 200, "\"health\":\"DNS_ERROR\"" },
	{ "GET", "/upstreams/up.test/health?balancer_health=1", NULL, NULL, 200, "\"data\":null" },
	{ "GET", "/services?size=x",                    NULL, NULL, 400, "\"code\":9,\"name\":\"invalid size\",\"message\":\"size must be a number\"" },
	{ "GET", "/services?size=0",                    NULL, NULL, 400, "size must be an integer between 1 and 1000" },
	{ "GET", "/services?size=1001",                 NULL, NULL, 400, "size must be an integer between 1 and 1000" },
	{ "GET", "/services?size=1.5",                  NULL, NULL, 400, "size must be an integer between 1 and 1000" },
	{ "GET", "/services?offset=%2A",                NULL, NULL, 400, "\"code\":7" },
	{ "GET", "/services?tags=a,b/c",                NULL, NULL, 400, "\"code\":11,\"name\":\"invalid options\",\"message\":\"invalid option (tags: invalid filter syntax)\"" },
	{ "GET", "/services?tags=a,b,c,d,e,f",          NULL, NULL, 400, "cannot query more than 5 tags" },
};
/* clang-format on */

static void entities_are_read_by_id_name_and_parent(void **state)
{
	(void)state;
	expect(reads, COUNT(reads));
}

static size_t count_of(struct arena *a, const char *target)
{
	struct answer got = ask(a, "GET", target, NULL, NULL);

	if (got.status != 200)
		fail_msg("%s: %d " STRF, target, got.status, STRV(got.body));
	return member(a, got.body, "data")->n;
}

static void tags_choose_entities(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)state;
	assert_int_equal(count_of(a, "/services"), 3);
	assert_int_equal(count_of(a, "/services?tags=x"), 2);
	assert_int_equal(count_of(a, "/services?tags=x,y"), 1);
	assert_int_equal(count_of(a, "/services?tags=y/x"), 2);
	assert_int_equal(count_of(a, "/services?tags=z"), 0);
	assert_int_equal(count_of(a, "/tags"), 4);
	assert_int_equal(count_of(a, "/tags/x"), 3);
	assert_int_equal(count_of(a, "/tags/none"), 0);
}

/* Follows `next` from target until it is null; how many rows there were, pages of one. */
static size_t walk(struct arena *a, const char *target)
{
	size_t n = 0;

	while (target) {
		struct answer got = ask(a, "GET", target, NULL, NULL);
		struct value *v, *next;

		assert_int_equal(got.status, 200);
		assert_null(json_parse(a, got.body, &v));
		next = value_get(v, "next");
		n += value_get(v, "data")->n;
		assert_int_equal(value_is_null(next), value_is_null(value_get(v, "offset")));
		target = value_is_null(next) ? NULL : str_z(a, next->s);
		assert_true(n < 100);
	}
	return n;
}

static void pages_follow_each_other_to_the_end(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct answer got = ask(a, "GET", "/services?size=1&tags=x", NULL, NULL);

	(void)state;
	assert_true(has(got.body, "\"next\":\"/services?offset="));
	assert_true(has(got.body, "&tags=x&size=1\""));
	assert_int_equal(walk(a, "/services?size=1"), 3);
	assert_int_equal(walk(a, "/services?size=2"), 3);
	assert_int_equal(walk(a, "/services?size=1&tags=x"), 2);
	assert_int_equal(walk(a, "/tags?size=1"), 4);
	assert_int_equal(walk(a, "/upstreams/up.test/targets?size=2"), 3);
	assert_int_equal(walk(a, "/upstreams/up.test/targets/all?size=1"), 3);
	assert_int_equal(walk(a, "/upstreams/up.test/health?size=1"), 3);
	got = ask(a, "GET", "/upstreams/up.test/targets?size=1", NULL, NULL);
	assert_true(has(got.body, "\"next\":\"/upstreams/up.test/targets?offset=1\""));
}

/* ---- writing without a database -------------------------------------------------------------------- */

/* clang-format off */
static const struct expectation writes[] = {
	{ "POST",   "/services",               JSON, "{\"url\":\"http://a\"}", 405, "\"code\":12,\"name\":\"operation unsupported\",\"message\":\"cannot create 'services' entities when not using a database\"" },
	{ "POST",   "/services",               FORM, "url=http://a&retries=3", 405, "cannot create 'services'" },
	{ "POST",   "/services",               JSON, "{}", 400, "\"message\":\"schema violation (host: required field missing)\"" },
	{ "POST",   "/services",               FORM, "host=a&retries=x", 400, "expected an integer" },
	{ "POST",   "/services",               JSON, "{\"host\":\"a\",\"color\":1}", 400, "\"fields\":{\"color\":\"unknown field\"}" },
	{ "PUT",    "/services/one",           JSON, "{\"host\":\"a\"}", 405, "cannot create or update 'services' entities by 'name' when not using a database" },
	{ "PUT",    "/services/" ONE,          JSON, "{\"host\":\"a\"}", 405, "cannot create or update 'services' entities when not using a database" },
	{ "PATCH",  "/services/one",           JSON, "{\"host\":\"a\"}", 405, "cannot update 'services' entities by 'name' when" },
	{ "PATCH",  "/services/" ONE,          JSON, "{\"port\":99999}", 400, "value should be between 0 and 65535" },
	{ "PATCH",  "/services/" NONE,         JSON, "{\"host\":\"a\"}", 404, "could not find the entity with primary key '{id=\\\"" NONE "\\\"}'" },
	{ "DELETE", "/services/one",           NULL, NULL, 405, "cannot remove 'services' entities by 'name' when" },
	{ "DELETE", "/services/none",          NULL, NULL, 204, NULL },
	{ "POST",   "/services/one/routes",    JSON, "{\"paths\":[\"/x\"]}", 405, "cannot create 'routes' entities" },
	{ "POST",   "/services/none/routes",   JSON, "{\"paths\":[\"/x\"]}", 404, "Not found" },
	{ "POST",   "/routes",                 FORM, "paths[]=/x&service.name=one", 405, "cannot create 'routes' entities" },
	{ "POST",   "/routes",                 FORM, "paths[]=/x&service.name=no", 400, "\"message\":\"foreign key unresolved (service.name: the foreign key cannot be resolved with '{name=\\\"no\\\"}' for an existing 'services' entity)\"" },
	{ "DELETE", "/routes/r1/service",      NULL, NULL, 405, "Method not allowed" },
	{ "DELETE", "/routes/lonely/service",  NULL, NULL, 404, "Not found" },
	{ "PUT",    "/certificates/new.test",  JSON, "{}", 400, "required field missing" },
	{ "DELETE", "/certificates/no.test",   NULL, NULL, 404, "SNI not found" },
	{ "PATCH",  "/upstreams/up.test/targets/1.1.1.1:80", JSON, "{\"weight\":1}", 405, "cannot update 'targets' entities when" },
	{ "DELETE", "/upstreams/up.test/targets/1.1.1.1:80", NULL, NULL, 405, "cannot remove 'targets' entities when" },
	{ "PUT",    "/upstreams/up.test/targets/1.1.1.1:80/healthy", NULL, NULL, 400, "no health checks" },
	{ "PUT",    "/debug/node/log-level/debug", NULL, NULL, 405, "cannot change log level when not using a database" },
};
/* clang-format on */

static void writes_are_checked_and_then_refused(void **state)
{
	(void)state;
	expect(writes, COUNT(writes));
}

/* ---- writing, with a store that would ------------------------------------------------------------------ */

/* Reads as the memory store does; what is written comes back and goes nowhere. */
static struct {
	int writes;
	uuid id;
	const struct entity *e;
} wrote;

static struct value *take_new(struct store *s, struct arena *a, const struct entity *e,
			      struct value *doc, struct db_error *err)
{
	(void)s;
	(void)err;
	wrote.writes++;
	wrote.e = e;
	return schema_render(a, entity_schema(e), doc);
}

static struct value *take(struct store *s, struct arena *a, const struct entity *e, uuid id,
			  struct value *doc, struct db_error *err)
{
	wrote.id = id;
	return take_new(s, a, e, doc, err);
}

static bool take_away(struct store *s, struct arena *a, const struct entity *e, uuid id,
		      struct db_error *err)
{
	(void)s;
	(void)a;
	(void)err;
	wrote.writes++;
	wrote.e = e;
	wrote.id = id;
	return true;
}

static bool take_all(struct store *s, struct arena *a, struct store_write *w, size_t n,
		     struct db_error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (w[i].op == STORE_INSERT)
			w[i].doc = take_new(s, a, w[i].entity, w[i].doc, err);
		else if (w[i].op == STORE_REMOVE)
			take_away(s, a, w[i].entity, w[i].id, err);
		else
			w[i].doc = take(s, a, w[i].entity, w[i].id, w[i].doc, err);
	}
	return true;
}

/* clang-format off */
static const struct expectation written[] = {
	{ "POST",   "/services",             JSON, "{\"url\":\"https://n.test/x\"}", 201, "\"host\":\"n.test\"" },
	{ "POST",   "/services",             FORM, "host=n.test&tags[]=a&tags[]=b&port=81", 201, "\"port\":81" },
	{ "POST",   "/services/one/routes",  FORM, "paths=/x", 201, "\"service\":{\"id\":\"" ONE "\"}" },
	{ "POST",   "/routes",               JSON, "{\"paths\":[\"/x\"],\"service\":{\"name\":\"one\"}}", 201, "\"service\":{\"id\":\"" ONE "\"}" },
	{ "PUT",    "/services/new",         JSON, "{\"host\":\"n.test\"}", 200, "\"name\":\"new\"" },
	{ "PUT",    "/services/one",         JSON, "{\"host\":\"n.test\"}", 200, "\"id\":\"" ONE "\"" },
	{ "PUT",    "/services/" NONE,       JSON, "{\"host\":\"n.test\"}", 200, "\"id\":\"" NONE "\"" },
	{ "PUT",    "/routes/r1/service",    JSON, "{\"host\":\"n.test\"}", 200, "\"id\":\"" ONE "\"" },
	{ "PUT",    "/routes/lonely/service", JSON, "{\"host\":\"n.test\"}", 200, "\"host\":\"n.test\"" },
	{ "PATCH",  "/services/one",         JSON, "{\"port\":82}", 200, "\"port\":82" },
	{ "PATCH",  "/services/one/routes/r1", FORM, "strip_path=false", 200, "\"strip_path\":false" },
	{ "PATCH",  "/services/none",        JSON, "{\"port\":82}", 404, "could not find the entity with '{name=\\\"none\\\"}'" },
	{ "PATCH",  "/services/two/routes/r1", JSON, "{}", 404, "Not found" },
	{ "DELETE", "/services/one",         NULL, NULL, 204, NULL },
	{ "DELETE", "/services/one/routes/r1", NULL, NULL, 204, NULL },
	{ "DELETE", "/services/one/routes/lonely", NULL, NULL, 404, "Not found" },
	{ "DELETE", "/upstreams/up.test/targets/1.1.1.1:80", NULL, NULL, 204, NULL },
	{ "PATCH",  "/upstreams/up.test/targets/1.1.1.1:80", JSON, "{\"weight\":7}", 200, "\"weight\":7" },
};
/* clang-format on */

static void writes_reach_a_store_that_takes_them(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct store_kind *before = t.context.store->kind;
	struct store_kind kind = *before;
	struct answer got;

	(void)state;
	kind.insert = take_new;
	kind.update = kind.upsert = take;
	kind.remove = take_away;
	kind.write = take_all;
	t.context.store->kind = &kind;
	expect(written, COUNT(written));
	assert_int_equal(wrote.writes, 16); /* refused ones left out, the linking one counted */

	/* A plugin's configuration is checked by the rows of the plugin that it is. */
	got = ask(a, "GET", "/plugins", NULL, NULL);
	got = ask(
		a, "PATCH",
		str_z(a, str_fmt(a, "/plugins/" STRF,
				 STRV(value_get(member(a, got.body, "data")->items[0], "id")->s))),
		FORM, "config.limit=6");
	assert_int_equal(got.status, 200);
	assert_true(has(got.body, "\"limit\":6"));
	t.context.store->kind = before;
}

/* ---- the node ------------------------------------------------------------------------------------------ */

/* clang-format off */
static const struct expectation node[] = {
	{ "GET",    "/",                      NULL, NULL, 200, "\"available_on_server\":{\"limit\":{\"version\":\"1.2.3\",\"priority\":77}}" },
	{ "GET",    "/",                      NULL, NULL, 200, "\"enabled_in_cluster\":[\"limit\"]" },
	{ "GET",    "/",                      NULL, NULL, 200, "\"pids\":{\"master\":1,\"workers\":[2]}" },
	{ "GET",    "/status",                NULL, NULL, 200, "\"http_allocated_gc\":\"3.00 MiB\"" },
	{ "GET",    "/status?unit=k&scale=1", NULL, NULL, 200, "\"capacity\":\"5120.0 KiB\"" },
	{ "GET",    "/status?unit=b",         NULL, NULL, 200, "\"capacity\":5242880" },
	{ "GET",    "/status?unit=x",         NULL, NULL, 400, "invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')" },
	{ "GET",    "/status?scale=-1",       NULL, NULL, 400, "scale must be equal or greater than 0" },
	{ "GET",    "/status",                NULL, NULL, 200, "\"total_requests\":12345" },
	{ "GET",    "/status",                NULL, NULL, 200, "\"configuration_hash\":\"00000000000000000000000000000000\"" },
	{ "GET",    "/endpoints",             NULL, NULL, 200, "\"/services\",\"/services/{services}\",\"/services/{services}/client_certificate\"" },
	{ "GET",    "/timers",                NULL, NULL, 200, "\"worker\":{\"id\":0,\"count\":1}" },
	{ "GET",    "/cache/x",               NULL, NULL, 404, "Not found" },
	{ "DELETE", "/cache",                 NULL, NULL, 204, NULL },
	{ "GET",    "/debug/node/log-level",  NULL, NULL, 200, "{\"message\":\"log level: " },
	{ "GET",    "/schemas/services",      NULL, NULL, 200, "{\"fields\":[{\"id\":" },
	{ "GET",    "/schemas/none",          NULL, NULL, 404, "{\"message\":\"No entity named 'none'\"}" },
	{ "GET",    "/schemas/plugins",       NULL, NULL, 200, "\"fields\":[" },
	{ "GET",    "/schemas/plugins/limit", NULL, NULL, 200, "\"limit\":{" },
	{ "GET",    "/schemas/plugins/none",  NULL, NULL, 404, "{\"message\":\"No plugin named 'none'\"}" },
	{ "GET",    "/plugins/schema/limit",  NULL, NULL, 200, "{\"fields\":[{\"limit\":{" },
	{ "GET",    "/plugins/enabled",       NULL, NULL, 200, "{\"enabled_plugins\":[\"limit\"]}" },
	{ "POST",   "/schemas/services/validate", JSON, "{\"host\":\"a\"}", 200, "{\"message\":\"schema validation successful\"}" },
	{ "POST",   "/schemas/services/validate", JSON, "{\"port\":\"a\"}", 400, "\"code\":2,\"name\":\"schema violation\"" },
	{ "POST",   "/schemas/none/validate", JSON, "{}", 404, "No entity named 'none'" },
	{ "POST",   "/schemas/plugins/validate", JSON, "{\"name\":\"limit\",\"config\":{\"limit\":1}}", 200, "successful" },
	{ "POST",   "/schemas/plugins/validate", JSON, "{\"name\":\"none\"}", 400, "plugin 'none' not enabled" },
};
/* clang-format on */

static void the_node_tells_about_itself(void **state)
{
	(void)state;
	expect(node, COUNT(node));
}

static void the_status_api_has_few_endpoints(void **state)
{
	/* clang-format off */
	static const struct {
		const char *method, *target;
		int status;
	} cases[] = {
		{ "GET", "/status", 200 }, { "HEAD", "/status/", 200 }, { "OPTIONS", "/status", 204 },
		{ "POST", "/status", 405 }, { "GET", "/", 404 }, { "GET", "/services", 404 },
		{ "GET", "/upstreams/up.test/health", 200 }, { "GET", "/upstreams/up.test/targets", 200 },
		{ "GET", "/upstreams/up.test/targets/1.1.1.1:80", 200 },
		{ "DELETE", "/upstreams/up.test/targets/1.1.1.1:80", 405 },
		{ "GET", "/upstreams", 404 }, { "PUT", "/upstreams/up.test/targets/1.1.1.1:80/healthy", 404 },
	};
	/* clang-format on */
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct arena *a CLEANUP(arena_drop) = arena_new();
		struct answer got =
			ask_of(a, true, cases[i].method, cases[i].target, NULL, STR_NONE);

		if (got.status != cases[i].status)
			fail_msg("%s %s: %d", cases[i].method, cases[i].target, got.status);
	}
}

/* ---- /config, on a fiber: it is parsed elsewhere --------------------------------------------------------- */

#define DOC "{\"_format_version\":\"3.0\",\"services\":[{\"name\":\"new\",\"host\":\"n.test\"}]}"

static str as_form(struct arena *a, const char *text)
{
	return str_cat(a, STR("config="), uri_escape_component(a, str_of(text)));
}

static void post(const char *target, const char *type, const char *body, int status,
		 const char *piece)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct answer got = ask(a, "POST", target, type, body);

	if (got.status != status || (piece ? !has(got.body, piece) : got.body.n != 0)) {
		printf("POST %s %s: %d " STRF "\n", target, body, got.status, STRV(got.body));
		exit(1); /* cmocka's way out does not lead from a fiber */
	}
}

/* The same over a real connection, for the two to fit. */
static void socket_trial(void)
{
	static struct http_tuning tuning = {
		.client_header_timeout = 20000,
		.client_body_timeout = 20000,
		.send_timeout = 20000,
		.keepalive_timeout = 20000,
	};
	struct api_server_options o = {
		.name = "admin",
		.tuning = &tuning,
		.handle = admin_handle,
		.arg = t.admin,
	};
	static const char text[] =
		"POST /config HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		"Connection: close\r\nContent-Length: 69\r\n\r\n" DOC;
	struct api_server *server = api_server_new(&o);
	struct address at;
	struct sock s;
	char got[4096];
	size_t n = 0;
	ssize_t more;
	int fd = -1;

	if (!address_parse_ip(STR("127.0.0.1"), 0, &at) ||
	    net_listen(&at, &(struct listen_options){ .backlog = 1 }, &fd) ||
	    getsockname(fd, &at.any, &at.size) != 0)
		exit(1);
	api_server_listen(server, fd, false);
	if (sock_connect(&s, &at, deadline_in(20000)) != NET_OK ||
	    sock_write(&s, text, sizeof(text) - 1, deadline_in(20000)) <= 0)
		exit(1);
	while ((more = sock_read(&s, got + n, sizeof(got) - n, deadline_in(20000))) > 0)
		n += (size_t)more;
	if (!has(str_at(got, n), "HTTP/1.1 201 Created\r\n") ||
	    !has(str_at(got, n), "Access-Control-Allow-Origin: *\r\n") ||
	    !has(str_at(got, n), "\"name\":\"new\"")) {
		printf("%.*s\n", (int)n, got);
		exit(1);
	}
	sock_close(&s);
	api_server_stop(server, deadline_in(1000));
	api_server_drop(&server);
	close(fd);
}

static void config_trial(void)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	char *form = str_z(a, as_form(a, DOC));

	post("/config", JSON, DOC, 201, "\"name\":\"new\"");
	post("/config", "text/yaml", "_format_version: '3.0'\nservices: []\n", 201, "{");
	post("/config", JSON,
	     "{\"config\":\"_format_version: '3.0'\\nconsumers: [{username: a}]\"}", 201,
	     "\"username\":\"a\"");
	post("/config", FORM, form, 201, "\"name\":\"new\"");
	if (t.applied != 4)
		exit(1);
	post("/config?check_hash=1", FORM, form, 304, NULL);
	post("/config?check_hash=0", FORM, form, 201, "\"name\":\"new\"");
	post("/config", JSON, "{}", 400, "\"code\":14");
	post("/config", NULL, NULL, 400, "expected a declarative configuration");
	post("/config", JSON, "{\"_format_version\":\"3.0\",\"services\":[{\"name\":\"a\"}]}", 400,
	     "\"fields\":{\"services\":[{\"host\":\"required field missing\"}]}");
	post("/config?flatten_errors=1", JSON,
	     "{\"_format_version\":\"3.0\",\"services\":[{\"name\":\"a\"}]}", 400,
	     "\"flattened_errors\":[");
	if (!has(ask(a, "GET", "/config", NULL, NULL).body, "n.test"))
		exit(1);
	t.apply_error = FAIL(ERR_CONFLICT, "busy");
	post("/config", JSON, DOC, 429, "Currently loading previous configuration");
	t.apply_error = FAIL(ERR_TIMEOUT, "late");
	post("/config", JSON, DOC, 504, "Timed out while loading configuration");
	t.apply_error = FAIL(ERR_CANCELLED, "gone");
	post("/config", JSON, DOC, 503, "Kong currently exiting");
	t.apply_error = FAIL(ERR_REFUSED, "too large");
	post("/config", JSON, DOC, 413, "does not fit");
	t.apply_error = FAIL(ERR_INVALID, "a regex of a route");
	post("/config", JSON, DOC, 400, "a regex of a route");
	t.apply_error = FAIL(ERR_INTERNAL, "oops");
	post("/config", JSON, DOC, 500, "An unexpected error occurred");
	t.apply_error = NULL;
}

static void run_trial(void *unused)
{
	(void)unused;
	config_trial();
	socket_trial();
	loop_stop(loop_self());
}

static void config_replaces_everything_or_nothing(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct loop *l = NULL;

	(void)state;
	assert_null(loop_new("test", 0, &l));
	assert_null(offload_start(1));
	fiber_start_on(l, "trial", run_trial, NULL);
	loop_run(l);
	loop_drop(&l);
	offload_stop();
	assert_int_equal(count_of(a, "/services"), 1);
	t.settings.database_kind = DATABASE_SQLITE;
	assert_int_equal(ask(a, "GET", "/config", NULL, NULL).status, 400);
	assert_int_equal(ask(a, "POST", "/config", JSON, DOC).status, 400);
	t.settings.database_kind = DATABASE_OFF;
	load();
}

static void log_levels_change_on_nodes_with_a_database(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	enum log_level before = log_get_level();

	(void)state;
	t.settings.database_kind = DATABASE_SQLITE;
	log_set_level(LOG_NOTICE_);
	assert_true(has(ask(a, "PUT", "/debug/node/log-level/notice", NULL, NULL).body,
			"log level is already notice"));
	assert_true(has(ask(a, "PUT", "/debug/node/log-level/warn", NULL, NULL).body,
			"log level changed"));
	assert_int_equal(log_get_level(), LOG_WARN_);
	assert_int_equal(ask(a, "PUT", "/debug/node/log-level/x", NULL, NULL).status, 400);
	log_set_level(before);
	t.settings.database_kind = DATABASE_OFF;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_find_their_row_or_are_told_why_not),
		cmocka_unit_test(answers_carry_kongs_headers),
		cmocka_unit_test(endpoints_and_methods_are_those_of_kong),
		cmocka_unit_test(endpoints_are_listed_as_kong_lists_them),
		cmocka_unit_test(entities_are_read_by_id_name_and_parent),
		cmocka_unit_test(tags_choose_entities),
		cmocka_unit_test(pages_follow_each_other_to_the_end),
		cmocka_unit_test(writes_are_checked_and_then_refused),
		cmocka_unit_test(writes_reach_a_store_that_takes_them),
		cmocka_unit_test(the_node_tells_about_itself),
		cmocka_unit_test(the_status_api_has_few_endpoints),
		cmocka_unit_test(config_replaces_everything_or_nothing),
		cmocka_unit_test(log_levels_change_on_nodes_with_a_database),
	};

	plugin_schema_add(&limit_schema);
	entities_start(NULL);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
