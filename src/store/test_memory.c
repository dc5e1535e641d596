/* SPDX-License-Identifier: Apache-2.0 */
/* The store without a database: finding, pages, tags, swaps under readers' feet. */
#include "base/json.h"
#include "model/entity.h"
#include "store/declarative.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define SERVICES 250

static struct arena *a;
static struct store *store;

static struct declarative_config *parse(str text)
{
	const struct declarative_options o = { .now_ms = 1700000000123 };
	struct declarative_config *d = NULL;
	struct db_error e;

	if (!declarative_parse(a, text, &o, &d, &e))
		print_error("%s\n", str_z(a, e.message));
	assert_non_null(d);
	return d;
}

static str services_text(int n)
{
	str text = STR("_format_version: \"3.0\"\nservices:\n");
	strs lines = { NEWS(a, str, (size_t)n + 1), 0 };

	lines.v[lines.n++] = text;
	for (int i = 0; i < n; i++)
		lines.v[lines.n++] = str_fmt(a,
					     "- {name: s%d, host: h, tags: [all, %s, t%d], routes: "
					     "[{name: r%d, paths: [/%d]}]}\n",
					     i, i % 2 ? "odd" : "even", i % 5, i, i);
	return str_join(a, lines, STR(""));
}

static int setup(void **state)
{
	struct declarative_config *d;

	(void)state;
	a = arena_new();
	entities_start(NULL);
	store = store_memory_new();
	d = parse(services_text(SERVICES));
	store_memory_swap(store, d);
	declarative_drop(&d);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store->kind->drop(store);
	arena_drop(&a);
	return 0;
}

static const struct entity *entity(const char *name)
{
	return entity_find(str_of(name));
}

static void documents_are_found_by_id_and_key(void **state)
{
	struct db_error err = { 0 };
	struct value *doc =
		store->kind->find_by(store, a, entity("services"), "name", STR("s7"), &err);
	struct value *same;
	uuid id;

	(void)state;
	assert_non_null(doc);
	assert_true(uuid_parse(value_get(doc, "id")->s, &id));
	same = store->kind->find(store, a, entity("services"), id, &err);
	assert_true(value_eq(doc, same));
	assert_null(store->kind->find_by(store, a, entity("services"), "name", STR("s"), &err));
	assert_null(store->kind->find(store, a, entity("routes"), id, &err));
	assert_non_null(store->kind->find_by(store, a, entity("services"), "host", STR("h"), &err));
	assert_non_null(
		store->kind->find_by(store, a, entity("workspaces"), "name", STR("default"), &err));
	assert_int_equal(err.code, DB_OK);
	/* All fields are shown. */
	assert_non_null(value_get(doc, "client_certificate"));
}

/* Every page of the query; how many documents, and that ids only grow. */
static int count(const struct entity *e, struct page_query q, int *ret_pages)
{
	struct db_error err = { 0 };
	str last = STR("");
	struct page p;
	int n = 0;

	*ret_pages = 0;
	do {
		assert_true(store->kind->page(store, a, e, &q, &p, &err));
		for (uint32_t i = 0; i < p.data->n; i++) {
			str id = value_get(p.data->items[i], "id")->s;

			assert_true(str_cmp(last, id) < 0);
			last = id;
		}
		n += (int)p.data->n;
		q.offset = p.offset;
		++*ret_pages;
	} while (p.offset.n);
	return n;
}

static void pages_give_everything_once(void **state)
{
	static const struct {
		int64_t size;
		int pages;
	} cases[] = { { 0, 3 }, { 1, SERVICES }, { 50, 5 }, { 249, 2 }, { 250, 1 }, { 1000, 1 } };
	int pages;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(count(entity("services"),
				       (struct page_query){ .size = cases[i].size }, &pages),
				 SERVICES);
		assert_int_equal(pages, cases[i].pages);
	}
	assert_int_equal(count(entity("consumers"), (struct page_query){ 0 }, &pages), 0);
}

static void tags_select_all_or_any(void **state)
{
	str both[] = { STR("even"), STR("t0") }, none[] = { STR("even"), STR("odd") };
	int pages;

	(void)state;
	assert_int_equal(
		count(entity("services"), (struct page_query){ .tags = { both, 1 } }, &pages), 125);
	assert_int_equal(
		count(entity("services"), (struct page_query){ .tags = { both, 2 } }, &pages), 25);
	assert_int_equal(
		count(entity("services"), (struct page_query){ .tags = { none, 2 } }, &pages), 0);
	assert_int_equal(
		count(entity("services"),
		      (struct page_query){ .tags = { both, 2 }, .tags_any = true, .size = 10 },
		      &pages),
		125 + 25);
	assert_int_equal(pages, 15);
}

static void children_are_paged_by_their_parent(void **state)
{
	struct db_error err = { 0 };
	struct value *service =
		store->kind->find_by(store, a, entity("services"), "name", STR("s9"), &err);
	struct page_query q = { .foreign = "service" };
	struct page p;

	(void)state;
	assert_true(uuid_parse(value_get(service, "id")->s, &q.foreign_id));
	assert_true(store->kind->page(store, a, entity("routes"), &q, &p, &err));
	assert_int_equal(p.data->n, 1);
	assert_true(str_is(value_get(p.data->items[0], "name")->s, "r9"));
}

static void tags_are_listed(void **state)
{
	struct db_error err = { 0 };
	str tag = STR("t1");
	struct page_query q = { .size = 1000 };
	struct page p;

	(void)state;
	assert_true(store->kind->page(store, a, entity("tags"), &q, &p, &err));
	assert_int_equal(p.data->n, 3 * SERVICES);
	q.tags = (strs){ &tag, 1 };
	assert_true(store->kind->page(store, a, entity("tags"), &q, &p, &err));
	assert_int_equal(p.data->n, SERVICES / 5);
	assert_true(str_is(value_get(p.data->items[0], "entity_name")->s, "services"));
}

static void bad_pages_are_refused_in_kongs_words(void **state)
{
	static const struct {
		const char *offset, *message;
	} cases[] = {
		{ "%%%", "'%%%' is not a valid offset: bad base64 encoding" },
		{ "eA", "'eA' is not a valid offset: invalid offset" },
		{ "LTE", "'LTE' is not a valid offset: invalid offset" },
	};
	struct page_query q = { .size = 1001 };
	struct db_error err;
	struct page p;

	(void)state;
	assert_false(store->kind->page(store, a, entity("services"), &q, &p, &err));
	assert_int_equal(err.code, DB_INVALID_SIZE);
	for (size_t i = 0; i < COUNT(cases); i++) {
		q = (struct page_query){ .offset = str_of(cases[i].offset) };
		assert_false(store->kind->page(store, a, entity("services"), &q, &p, &err));
		assert_int_equal(err.code, DB_INVALID_OFFSET);
		assert_string_equal(str_z(a, err.message), cases[i].message);
	}
}

static void errors_have_their_bodies(void **state)
{
	struct value *key = value_object(a);
	struct db_error e = { .code = DB_UNIQUE_VIOLATION };

	(void)state;
	value_set(a, key, STR("name"), value_text(a, "foo"));
	value_set(a, key, STR("consumer"), value_null(a));
	e.message =
		str_fmt(a, "UNIQUE violation detected on '" STRF "'", STRV(db_key_text(a, key)));
	e.fields = key;
	assert_string_equal(
		str_z(a, json_text(a, db_error_body(a, &e), 0)),
		"{\"code\":5,\"name\":\"unique constraint violation\",\"message\":\"UNIQUE "
		"violation "
		"detected on '{consumer=null,name=\\\"foo\\\"}'\",\"fields\":{\"name\":\"foo\","
		"\"consumer\":null}}");
	assert_int_equal(db_error_status(DB_UNIQUE_VIOLATION), 409);
	assert_int_equal(db_error_status(DB_UNSUPPORTED), 405);
	assert_null(store->kind->insert);
	assert_string_equal(store->kind->name, "off");
}

static void a_loaded_configuration_outlives_its_successor(void **state)
{
	struct arena *reader CLEANUP(arena_drop) = arena_new();
	struct declarative_config *other = parse(services_text(1));
	struct declarative_config *before CLEANUP(declarative_drop) = store_memory_hold(store);
	struct config c;

	(void)state;
	assert_null(store->kind->load(store, reader, &c));
	store_memory_swap(store, other);
	declarative_drop(&other);
	assert_int_equal(c.services.n, SERVICES);
	assert_true(str_is(c.services.v[SERVICES - 1].host, "h"));
	assert_null(store->kind->load(store, reader, &c));
	assert_int_equal(c.services.n, 1);
	store_memory_swap(store, before);
}

static atomic_bool is_over;

static void *read_on(void *failures_)
{
	atomic_int *failures = failures_;

	while (!atomic_load(&is_over)) {
		struct arena *mine = arena_new();
		struct db_error err = { 0 };
		struct value *doc = store->kind->find_by(store, mine, entity("services"), "name",
							 STR("s0"), &err);

		if (!doc || !str_is(value_get(doc, "host")->s, "h"))
			atomic_fetch_add(failures, 1);
		arena_drop(&mine);
	}
	return NULL;
}

static void swaps_do_not_disturb_readers(void **state)
{
	struct declarative_config *first CLEANUP(declarative_drop) = store_memory_hold(store);
	atomic_int failures = 0;
	pthread_t reader[2];

	(void)state;
	for (size_t i = 0; i < COUNT(reader); i++)
		assert_int_equal(pthread_create(&reader[i], NULL, read_on, &failures), 0);
	for (int i = 0; i < 200; i++) {
		struct declarative_config *d = parse(services_text(1 + i % 3));

		store_memory_swap(store, d);
		declarative_drop(&d);
	}
	atomic_store(&is_over, true);
	for (size_t i = 0; i < COUNT(reader); i++)
		pthread_join(reader[i], NULL);
	store_memory_swap(store, first);
	assert_int_equal(failures, 0);
}

static void *parse_on(void *failures_)
{
	const struct declarative_options o = { .now_ms = 1700000000123 };
	atomic_int *failures = failures_;

	for (int i = 0; i < 100; i++) {
		struct arena *mine CLEANUP(arena_drop) = arena_new();
		struct declarative_config *d CLEANUP(declarative_drop) = NULL;
		struct db_error e;
		str text = STR("_format_version: \"3.0\"\n"
			       "upstreams: [{name: u, targets: [{target: a}]}]\n"
			       "services: [{name: s, host: u, routes: [{paths: [/]}, {protocols: "
			       "[grpc], hosts: "
			       "[h]}]}]\n");

		if (!declarative_parse(mine, text, &o, &d, &e))
			atomic_fetch_add(failures, 1);
	}
	return NULL;
}

/* What schemas hold is shared by all documents, and changed by none. */
static void configurations_load_in_threads_at_once(void **state)
{
	atomic_int failures = 0;
	pthread_t thread[2];

	(void)state;
	for (size_t i = 0; i < COUNT(thread); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, parse_on, &failures), 0);
	for (size_t i = 0; i < COUNT(thread); i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(failures, 0);
}

static void nothing_is_found_before_the_first_configuration(void **state)
{
	struct store *empty = store_memory_new();
	struct db_error err = { 0 };
	struct page_query q = { 0 };
	struct config c;
	struct page p;

	(void)state;
	assert_null(empty->kind->find_by(empty, a, entity("services"), "name", STR("s0"), &err));
	assert_true(empty->kind->page(empty, a, entity("services"), &q, &p, &err));
	assert_int_equal(p.data->n, 0);
	assert_null(empty->kind->load(empty, a, &c));
	assert_string_equal(c.hash, "00000000000000000000000000000000");
	assert_null(store_memory_hold(empty));
	empty->kind->drop(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_found_by_id_and_key),
		cmocka_unit_test(pages_give_everything_once),
		cmocka_unit_test(tags_select_all_or_any),
		cmocka_unit_test(children_are_paged_by_their_parent),
		cmocka_unit_test(tags_are_listed),
		cmocka_unit_test(bad_pages_are_refused_in_kongs_words),
		cmocka_unit_test(errors_have_their_bodies),
		cmocka_unit_test(a_loaded_configuration_outlives_its_successor),
		cmocka_unit_test(swaps_do_not_disturb_readers),
		cmocka_unit_test(configurations_load_in_threads_at_once),
		cmocka_unit_test(nothing_is_found_before_the_first_configuration),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
