/* SPDX-License-Identifier: Apache-2.0 */
/* testing - what the tests of plugins share: a request without a socket.
 *
 *	test_begin();
 *	struct req *r = test_request("GET", "/x?y=1", "Host: a\r\n");
 *	verdict = test_run(&plugin_cors, PHASE_ACCESS, r, "{\"origins\":[\"*\"]}");
 *
 * test_config() gives consumers and credentials, as a declarative document. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/json.h"
#include "control/plugin_table.h"
#include "model/plugin_schema.h"
#include "serve/phases.h"
#include "store/declarative.h"
#include "store/sql/store.h"
#include "store/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEST_CONTRACT SOURCE_ROOT "/tests/contract/kong-3.2.2/schemas/"

static struct {
	struct arena *a;
	struct settings settings;
	struct proxy_shared shared;
	struct proxy proxy;
	struct listener listener;
	struct snapshot snap;
	struct declarative_config *config;
	struct store *store;
} test;

static inline str test_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text;
	long n;

	if (!f)
		fail_msg("%s cannot be read", path);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	text = arena_bytes(test.a, (size_t)n);
	assert_int_equal(fread(text, 1, (size_t)n, f), n);
	fclose(f);
	return str_at(text, (size_t)n);
}

static inline struct value *test_json(const char *text)
{
	struct value *v = NULL;
	struct err *e = json_parse(test.a, str_of(text), &v);

	if (e)
		fail_msg("%s: " STRF, text, STRV(err_line(test.a, e)));
	return v;
}

static inline void test_use(const struct config *config)
{
	test.snap.config = config;
	test.snap.directory = directory_new(test.a, config);
}

/* All plugins enabled, no consumers. */
static inline void test_begin(void)
{
	static str names[64];
	struct entities_options o = { .more = plugins_entities() };
	size_t n = 0;

	if (test.a)
		return;
	test.a = arena_new();
	for (; plugins_built_in[n]; n++)
		names[n] = str_of(plugins_built_in[n]->name);
	test.settings.loaded_plugins = (strs){ names, n };
	test.settings.plugins = test.settings.loaded_plugins;
	assert_null(plugins_enable(&test.settings));
	entities_start(&o);
	test.shared.settings = &test.settings;
	test.proxy.shared = &test.shared;
	test_use(NEW(test.a, struct config));
}

static inline void test_config(const char *document)
{
	struct declarative_options o = { .now_ms = clock_wall_ms() };
	struct db_error error = { 0 };

	test_begin();
	declarative_drop(&test.config);
	if (!declarative_parse(test.a, str_of(document), &o, &test.config, &error))
		fail_msg(STRF " " STRF, STRV(error.message),
			 STRV(json_text(test.a, error.fields, JSON_COMPACT)));
	test_use(declarative_config(test.config));
}

static inline struct req *test_request(const char *method, const char *target, const char *headers)
{
	static const struct http_limits limits = { 8192, 8192, 65536, 100 };
	struct req *r = NEW(test.a, struct req);
	struct client *c = NEW(test.a, struct client);
	str text =
		str_fmt(test.a, "%s %s HTTP/1.1\r\nHost: test\r\n%s\r\n", method, target, headers);
	size_t scanned = 0;
	ssize_t n;

	test_begin();
	r->arena = test.a;
	r->client = c;
	r->proxy = c->proxy = &test.proxy;
	c->listener = &test.listener;
	r->snap = &test.snap;
	n = http_parse_request(test.a, (char *)(uintptr_t)text.s, text.n, &scanned, &limits,
			       &r->in);
	if (n <= 0)
		fail_msg("cannot parse %s %s", method, target);
	r->head_size = (size_t)n;
	r->path = r->in.path;
	r->host = STR("test");
	r->client_ip = STR("10.1.2.3");
	address_parse_ip(r->client_ip, 1234, &r->client_address);
	c->requests = 1;
	plugins_run_of(r);
	return r;
}

/* The entity plugins with that configuration: its errors as JSON, "" when it is good. */
static inline str test_check(const struct plugin *p, const char *conf, struct value **ret_doc)
{
	struct schema_options o = { .op = SCHEMA_INSERT, .now_ms = 1700000000000 };
	struct value *doc = value_object(test.a), *errors;

	test_begin();
	value_set(test.a, doc, STR("name"), value_text(test.a, p->name));
	value_set(test.a, doc, STR("config"), test_json(conf));
	errors = entity_process(test.a, entity_find(STR("plugins")), doc, &o);
	*ret_doc = doc;
	return errors ? json_text(test.a, errors, JSON_SORTED) : STR("");
}

/* A configuration, and words of its errors; "" when it is good. */
struct test_refusal {
	const char *conf, *errors;
};

static inline void test_refusals(const struct plugin *p, const struct test_refusal *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct value *doc;
		str errors = test_check(p, cases[i].conf, &doc);

		if (str_find_str(errors, str_of(cases[i].errors)) < 0 ||
		    (!*cases[i].errors && errors.n))
			fail_msg("%s: " STRF, cases[i].conf, STRV(errors));
	}
}

static inline void *test_conf(const struct plugin *p, const char *conf)
{
	struct value *doc;
	str errors = test_check(p, conf, &doc);
	void *made = arena_zalloc(test.a, p->conf_size);

	if (errors.n)
		fail_msg("%s: " STRF, conf, STRV(errors));
	schema_decode(test.a, plugin_schema_config(str_of(p->name)), value_get(doc, "config"),
		      made);
	if (p->prepare)
		assert_null(p->prepare(test.a, made));
	return made;
}

static inline enum verdict test_run(const struct plugin *p, enum phase phase, struct req *r,
				    const char *conf)
{
	return p->on[phase](r, test_conf(p, conf));
}

/* "401 Unauthorized": what was answered, with the message alone; "" when nothing was. */
static inline const char *test_answer(const struct req *r)
{
	const struct plugin_answer *answer = &r->run->answer;
	struct value *v = NULL;
	struct err *e;

	if (!answer->is_given)
		return "";
	e = json_parse(test.a, answer->body, &v);
	if (e || !value_get(v, "message") || value_get(v, "message")->kind != VALUE_STRING)
		return str_fmt(test.a, "%d " STRF, answer->status, STRV(answer->body)).s;
	return str_fmt(test.a, "%d " STRF, answer->status, STRV(value_get(v, "message")->s)).s;
}

/* Kong's own schema is what our rows print. */
static inline void test_schema(const char *file, const struct schema *s)
{
	struct value *want = test_json(
		str_z(test.a, test_file(str_fmt(test.a, TEST_CONTRACT "%s.json", file).s)));
	struct value *got = schema_print(test.a, s);

	if (!value_eq(want, got))
		fail_msg("%s:\n" STRF "\nis not\n" STRF, file,
			 STRV(json_text(test.a, got, JSON_COMPACT)),
			 STRV(json_text(test.a, want, JSON_COMPACT)));
}

static inline void test_schema_of(const struct plugin *p)
{
	test_begin();
	test_schema(str_fmt(test.a, "plugins/%s", p->name).s,
		    plugin_schema_variant(str_of(p->name)));
}

static inline struct store *test_store_of(void *arg)
{
	(void)arg;
	return test.store;
}

/* A database, for what plugins keep; with nothing in it. */
static inline void test_store(void)
{
	char folder[] = "/tmp/gibbon-plugin-XXXXXX";
	struct sql_database *db = NULL;
	const char *path;

	test_begin();
	if (test.store)
		test.store->kind->drop(test.store);
	test.store = NULL;
	assert_non_null(mkdtemp(folder));
	path = str_fmt(test.a, "%s/db", folder).s;
	assert_null(sqlite_open(path, &db));
	assert_null(store_sql_new(db, &test.store));
	unlink(path);
	unlink(str_fmt(test.a, "%s-wal", path).s);
	unlink(str_fmt(test.a, "%s-shm", path).s);
	rmdir(folder);
	test.shared.store = test_store_of;
}

static inline int test_end(void **state)
{
	(void)state;
	if (test.store)
		test.store->kind->drop(test.store);
	declarative_drop(&test.config);
	err_forget();
	arena_drop(&test.a);
	return 0;
}

/* A header of the request as it goes on, or "". */
static inline const char *test_sent(const struct req *r, const char *name)
{
	str value = req_header(r, str_of(name));

	return value.s ? str_z(test.a, value) : "";
}

static inline const char *test_reply(const struct req *r, const char *name)
{
	str value = reply_header(r, str_of(name));

	return value.s ? str_z(test.a, value) : "";
}

/* What main() returns where the rows of a plugin and its refusals are all there is to test. */
struct test_rows {
	const struct plugin *plugin;
	const struct test_refusal *cases;
	size_t n;
};

static inline void test_rows_are_kong_s(void **state)
{
	const struct test_rows *rows = *state;

	test_schema_of(rows->plugin);
}

static inline void test_refusals_are_told(void **state)
{
	const struct test_rows *rows = *state;

	test_refusals(rows->plugin, rows->cases, rows->n);
}

static inline int test_rows(const struct plugin *p, const struct test_refusal *cases, size_t n)
{
	struct test_rows rows = { p, cases, n };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_rows_are_kong_s, &rows),
		cmocka_unit_test_prestate(test_refusals_are_told, &rows),
	};

	return cmocka_run_group_tests_name(p->name, tests, NULL, test_end);
}
