/* SPDX-License-Identifier: Apache-2.0 */
/* The store over a database: every entity goes in and comes out as it was, and what
 * must not be is refused in Kong's words.  Here over SQLite. */
#include "base/clock.h"
#include "base/json.h"
#include "net/tls.h"
#include "store/declarative.h"
#include "store/sql/store.h"
#include "store/sqlite.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ID_1 "00000000-0000-4000-8000-0000000000c1"
#define ID_2 "00000000-0000-4000-8000-0000000000c2"

static struct arena *a;
static struct store *store;
static char path[64];

static const char *json(const struct value *v)
{
	return str_z(a, json_text(a, v, JSON_COMPACT));
}

static struct store *open_store(void)
{
	struct sql_database *db = NULL;
	struct store *s = NULL;
	struct err *e = sqlite_open(path, &db);

	if (!e)
		e = store_sql_new(db, &s);
	if (e)
		fail_msg("%s", err_line(a, e).s);
	return s;
}

static void remove_files(void)
{
	unlink(path);
	unlink(str_fmt(a, "%s-wal", path).s);
	unlink(str_fmt(a, "%s-shm", path).s);
}

static int setup(void **state)
{
	int fd;

	(void)state;
	a = arena_new();
	entities_start(NULL);
	snprintf(path, sizeof(path), "/tmp/gibbon-sql-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	store = open_store();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store->kind->drop(store);
	remove_files();
	arena_drop(&a);
	return 0;
}

static struct value *parsed(const char *text)
{
	struct value *v = NULL;
	struct err *e = json_parse(a, str_copy(a, str_of(text)), &v);

	if (e)
		fail_msg("%s", err_line(a, e).s);
	return v;
}

static const struct entity *entity(const char *name)
{
	return entity_find(str_of(name));
}

static uuid id_of(const struct value *doc)
{
	uuid id = { 0 };

	assert_true(uuid_parse(value_get(doc, "id")->s, &id));
	return id;
}

static struct value *completed(const struct entity *e, struct value *doc, enum schema_op op)
{
	const struct schema_options o = { .op = op, .now_ms = 1700000000123 };
	struct value *errors = entity_process(a, e, doc, &o);

	if (errors)
		fail_msg("%s: %s", e->name, json(errors));
	return doc;
}

/* What the store answers; an error as its body's text. */
static struct value *try_insert(const char *name, const char *text, str *ret_error)
{
	const struct entity *e = entity(name);
	struct db_error err = { 0 };
	struct value *made =
		store->kind->insert(store, a, e, completed(e, parsed(text), SCHEMA_INSERT), &err);

	*ret_error = made ? STR_NONE : json_text(a, db_error_body(a, &err), JSON_SORTED);
	return made;
}

static struct value *insert(const char *name, const char *text)
{
	str error;
	struct value *made = try_insert(name, text, &error);

	if (!made)
		fail_msg("%s: " STRF, name, STRV(error));
	return made;
}

static void assert_same(const struct value *is, const struct value *should)
{
	if (!value_eq(is, should))
		fail_msg("is     %s\nshould %s", json(is), json(should));
}

/* ---- round trips, from the contract's configuration ------------------------------------------ */

/* Every core entity, with what is hard to keep in each of its rows. */
static const char everything[] =
	"{\"_format_version\":\"3.0\","
	"\"ca_certificates\":[{}],\"certificates\":[{\"tags\":[\"pair\"]}],"
	"\"snis\":[{\"name\":\"*.example.com\"}],"
	"\"consumers\":[{\"username\":\"J\xc3\xbcrgen \\\"q\\\" \\\\\",\"custom_id\":\"{a,b}\"}],"
	"\"services\":[{\"name\":\"all\",\"url\":\"https://h.example:8443/p\",\"tls_verify\":true,"
	" \"tls_verify_depth\":3,\"retries\":0,\"ca_certificates\":[\"" ID_1 "\"],"
	" \"tags\":[\"NULL\",\"a b\",\"{x}\",\"\\\"\"]},"
	" {\"name\":\"least\",\"host\":\"h\",\"enabled\":false,\"tags\":[]}],"
	"\"routes\":[{\"name\":\"http\",\"service\":\"all\",\"paths\":[\"/a\",\"~/b\\\\d+$\"],"
	" \"methods\":[\"GET\"],\"hosts\":[\"*.a.example\"],\"regex_priority\":-7,"
	" \"headers\":{\"x-long\":[\"1\"],\"b\":[\"2\",\"3\"],\"a\":[\"4\"]}},"
	" {\"name\":\"tcp\",\"protocols\":[\"tcp\"],\"sources\":[{\"ip\":\"10.0.0.0/"
	"8\",\"port\":1},"
	" {\"ip\":\"::1\"}],\"destinations\":[{\"port\":443}]}],"
	"\"upstreams\":[{\"name\":\"u\",\"algorithm\":\"consistent-hashing\",\"hash_on\":\"ip\","
	" \"healthchecks\":{\"threshold\":12.5,\"active\":{\"timeout\":0.5,"
	" \"headers\":{\"x-a\":[\"1\"]}}},"
	" \"targets\":[{\"target\":\"10.0.0.1:80\",\"weight\":0},{\"target\":\"[::1]:81\"}]}],"
	"\"vaults\":[{\"name\":\"env\",\"prefix\":\"my-env\",\"config\":{\"prefix\":\"SECRET_\"}}],"
	"\"key_sets\":[{\"name\":\"set\",\"keys\":[{\"name\":\"k\",\"kid\":\"1\","
	" \"jwk\":\"{\\\"kid\\\":\\\"1\\\",\\\"kty\\\":\\\"OKP\\\",\\\"crv\\\":\\\"Ed25519\\\","
	"\\\"x\\\":\\\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\\\"}\"}]}]}";

static struct value *first_of(struct value *doc, const char *name)
{
	return value_get(doc, name)->items[0];
}

/* The first certificate of the contract's is an authority's. */
static str authority(void)
{
	char *text = arena_bytes(a, 1 << 20);
	FILE *f = fopen(SOURCE_ROOT "/tests/contract/certificates.json", "re");
	struct value *v = NULL;
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, 1 << 20, f);
	fclose(f);
	assert_null(json_parse(a, str_at(text, n), &v));
	return value_get(v->items[0], "cert")->s;
}

/* As the declarative loader completes it: entity -> id -> document. */
static struct value *all_documents(void)
{
	struct declarative_options o = { .now_ms = 1700000000123 };
	struct declarative_config *d = NULL;
	struct value *doc = parsed(everything), *all;
	struct db_error err = { 0 };
	str cert, key;

	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("test"), 10, &cert, &key));
	value_set(a, first_of(doc, "ca_certificates"), STR("id"), value_text(a, ID_1));
	value_set(a, first_of(doc, "ca_certificates"), STR("cert"), value_str(a, authority()));
	value_set(a, first_of(doc, "certificates"), STR("id"), value_text(a, ID_2));
	value_set(a, first_of(doc, "certificates"), STR("cert"), value_str(a, cert));
	value_set(a, first_of(doc, "certificates"), STR("key"), value_str(a, key));
	value_set(a, first_of(doc, "snis"), STR("certificate"), value_text(a, ID_2));
	if (!declarative_from_value(a, doc, STR(""), &o, &d, &err))
		fail_msg(STRF " %s", STRV(err.message), err.fields ? json(err.fields) : "");
	all = value_copy(a, declarative_entities(a, d));
	declarative_drop(&d);
	return all;
}

static void every_entity_comes_out_as_it_went_in(void **state)
{
	struct value *all = all_documents();
	size_t n = 0;

	(void)state;
	for (size_t i = 0; entities[i]; i++) {
		struct value *docs = value_get(all, entities[i]->name);

		for (uint32_t k = 0; docs && k < docs->n; k++) {
			struct value *doc = docs->members[k].value, *found;
			struct db_error err = { 0 };
			struct store_write w = { STORE_UPSERT, entities[i], id_of(doc),
						 value_copy(a, doc) };

			if (!store->kind->write(store, a, &w, 1, &err))
				fail_msg("%s: " STRF " %s", entities[i]->name, STRV(err.message),
					 err.cause ? err_line(a, err.cause).s : "");
			found = store->kind->find(store, a, entities[i], id_of(doc), &err);
			assert_non_null(found);
			assert_same(found, doc);
			assert_same(w.doc, doc);
			n++;
		}
	}
	assert_int_equal(n, 14);
}

static void the_whole_is_loaded_and_kept_until_it_changes(void **state)
{
	struct arena *first CLEANUP(arena_drop) = arena_new();
	struct arena *second CLEANUP(arena_drop) = arena_new();
	struct arena *third CLEANUP(arena_drop) = arena_new();
	struct config one, two, three;

	(void)state;
	insert("services", "{\"name\":\"s\",\"host\":\"h\",\"path\":\"/p\"}");
	insert("routes", "{\"name\":\"r\",\"paths\":[\"/a\",\"/b\\\\c\"]}");
	assert_null(store->kind->load(store, first, &one));
	assert_null(store->kind->load(store, second, &two));
	assert_int_equal(one.services.n, 1);
	assert_int_equal(one.routes.n, 1);
	assert_true(str_is(one.services.v[0].path, "/p"));
	assert_int_equal(one.services.v[0].created_at, 1700000000);
	assert_true(str_is(one.routes.v[0].paths.v[1], "/b\\c"));
	assert_ptr_equal(one.routes.v, two.routes.v);
	insert("routes", "{\"name\":\"r2\",\"paths\":[\"/c\"]}");
	assert_null(store->kind->load(store, third, &three));
	assert_int_equal(three.routes.n, 2);
	assert_ptr_equal(three.services.v, one.services.v);
	assert_int_equal(one.routes.n, 1);
}

/* ---- shelves ------------------------------------------------------------------------------------ */

static bool same_texts(const strs *x, const strs *y)
{
	bool ret = x->n == y->n;

	for (size_t i = 0; ret && i < x->n; i++)
		ret = str_eq(x->v[i], y->v[i]);
	return ret;
}

/* The members that rows describe, one level deep. */
static bool same_member(const struct field *f, const char *x, const char *y)
{
	x += f->offset;
	y += f->offset;
	if (f->kind == FIELD_FOREIGN || (f->kind == FIELD_STRING && f->is_uuid))
		return uuid_eq(*(const uuid *)x, *(const uuid *)y);
	switch (f->kind) {
	case FIELD_STRING:
		return str_eq(*(const str *)x, *(const str *)y);
	case FIELD_ARRAY:
	case FIELD_SET:
		return f->elements->kind != FIELD_STRING ||
		       same_texts((const strs *)x, (const strs *)y);
	case FIELD_INTEGER:
	case FIELD_NUMBER:
	case FIELD_BOOLEAN:
		return memcmp(x, y, f->size) == 0;
	default:
		return true;
	}
}

struct any_list {
	char *v;
	size_t n;
};

static void assert_same_list(const char *name, const void *x_, const void *y_)
{
	const struct entity *e = entity(name);
	struct any_list x, y;

	memcpy(&x, x_, sizeof(x));
	memcpy(&y, y_, sizeof(y));
	if (x.n != y.n)
		fail_msg("%s: %zu are %zu", name, x.n, y.n);
	for (size_t i = 0; i < x.n; i++) {
		for (const struct field *f = schema_fields(entity_schema(e)); f->name; f++) {
			if (f->offset != FIELD_NOT_KEPT &&
			    !same_member(f, x.v + i * e->size, y.v + i * e->size))
				fail_msg("%s[%zu].%s differs", name, i, f->name);
		}
	}
}

static unsigned seed = 1;

static unsigned below(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static str some_id(char kind)
{
	return str_fmt(a, "%c0000000-0000-4000-8000-0000000000%02x", kind, below(24));
}

static void put_pair(struct value *doc)
{
	str cert, key;

	assert_null(tls_make_self_signed(a, TLS_KEY_EC_P256, STR("test"), 10, &cert, &key));
	value_set(a, doc, STR("cert"), value_str(a, cert));
	value_set(a, doc, STR("key"), value_str(a, key));
}

/* One write of whatever comes; what is refused is no change. */
static void write_something(void)
{
	static const struct {
		const char *entity, *text, *more;
		char id, more_id;
	} kinds[] = {
		{ "services", "host", NULL, '1', 0 },
		{ "routes", "name", "service", '2', '1' },
		{ "upstreams", "name", NULL, '3', 0 },
		{ "targets", "target", "upstream", '4', '3' },
		{ "consumers", "username", NULL, '5', 0 },
		{ "snis", "name", "certificate", '6', '7' },
		{ "certificates", NULL, NULL, '7', 0 },
	};
	unsigned k = below(COUNT(kinds));
	const struct entity *e = entity(kinds[k].entity);
	struct value *doc = value_object(a), *parent = value_object(a);
	struct db_error err;
	uuid id;

	assert_true(uuid_parse(some_id(kinds[k].id), &id));
	if (below(4) == 0) {
		store->kind->remove(store, a, e, id, &err);
		err_forget();
		return;
	}
	if (kinds[k].text)
		value_set(a, doc, str_of(kinds[k].text),
			  value_str(a, str_fmt(a, "h%u.example", below(1000))));
	else
		put_pair(doc);
	if (kinds[k].more) {
		value_set(a, parent, STR("id"), value_str(a, some_id(kinds[k].more_id)));
		value_set(a, doc, str_of(kinds[k].more), parent);
	}
	if (k == 1)
		value_set(a, doc, STR("hosts"), parsed("[\"a.example\",\"b.example\"]"));
	store->kind->upsert(store, a, e, id, completed(e, doc, SCHEMA_UPSERT), &err);
	err_forget();
}

/* What is lent after each few writes is what a store that has just been opened reads. */
static void what_is_lent_is_what_would_be_read_anew(void **state)
{
	(void)state;
	for (int round = 0; round < 150; round++) {
		struct arena *first CLEANUP(arena_drop) = arena_new();
		struct arena *second CLEANUP(arena_drop) = arena_new();
		struct store *fresh = open_store();
		struct config lent, anew;

		for (unsigned n = below(round % 10 ? 4 : 90); n; n--)
			write_something();
		assert_null(store->kind->load(store, first, &lent));
		assert_null(store->kind->load(fresh, second, &anew));
		assert_same_list("services", &lent.services, &anew.services);
		assert_same_list("routes", &lent.routes, &anew.routes);
		assert_same_list("upstreams", &lent.upstreams, &anew.upstreams);
		assert_same_list("targets", &lent.targets, &anew.targets);
		assert_same_list("consumers", &lent.consumers, &anew.consumers);
		assert_same_list("certificates", &lent.certificates, &anew.certificates);
		assert_same_list("snis", &lent.snis, &anew.snis);
		fresh->kind->drop(fresh);
	}
}

/* The texts of what did not change are the same ones, not their likes. */
static void of_a_kind_only_what_changed_is_read(void **state)
{
	struct arena *first CLEANUP(arena_drop) = arena_new();
	struct arena *second CLEANUP(arena_drop) = arena_new();
	struct config before, after;
	struct db_error err;
	uuid id = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		id = id_of(insert("services", str_fmt(a, "{\"host\":\"h%d\"}", i).s));
	assert_null(store->kind->load(store, first, &before));
	assert_non_null(store->kind->update(store, a, entity("services"), id,
					    parsed("{\"host\":\"new\"}"), &err));
	assert_null(store->kind->load(store, second, &after));
	for (size_t i = 0; i < 3; i++) {
		if (uuid_eq(after.services.v[i].id, id))
			assert_true(str_is(after.services.v[i].host, "new"));
		else
			assert_ptr_equal(after.services.v[i].host.s, before.services.v[i].host.s);
	}
}

/* ---- refusals ----------------------------------------------------------------------------------- */

static const struct {
	const char *entity, *doc, *error;
} refusals[] = {
	{ "services", "{\"name\":\"taken\",\"host\":\"h\"}",
	  "{\"code\":5,\"fields\":{\"name\":\"taken\"},\"message\":\"UNIQUE violation detected on "
	  "'{name=\\\"taken\\\"}'\",\"name\":\"unique constraint violation\"}" },
	{ "services", "{\"id\":\"00000000-0000-4000-8000-000000000001\",\"host\":\"h\"}",
	  "{\"code\":3,\"fields\":{\"id\":\"00000000-0000-4000-8000-000000000001\"},\"message\":"
	  "\"primary key violation on key '{id=\\\"00000000-0000-4000-8000-000000000001\\\"}'\","
	  "\"name\":\"primary key violation\"}" },
	{ "routes",
	  "{\"paths\":[\"/\"],\"service\":{\"id\":\"00000000-0000-4000-8000-000000000009\"}}",
	  "{\"code\":4,\"fields\":{\"service\":{\"id\":\"00000000-0000-4000-8000-000000000009\"}},"
	  "\"message\":\"the foreign key '{id=\\\"00000000-0000-4000-8000-000000000009\\\"}' does "
	  "not reference an existing 'services' entity.\",\"name\":\"foreign key violation\"}" },
	{ "targets",
	  "{\"target\":\"h:80\",\"upstream\":{\"id\":\"00000000-0000-4000-8000-000000000002\"}}",
	  "{\"code\":5,\"fields\":{\"target\":\"h:80\",\"upstream\":{\"id\":"
	  "\"00000000-0000-4000-8000-000000000002\"}},\"message\":\"UNIQUE violation detected on "
	  "'{target=\\\"h:80\\\",upstream={id=\\\"00000000-0000-4000-8000-000000000002\\\"}}'\","
	  "\"name\":\"unique constraint violation\"}" },
};

static void what_must_not_be_is_refused_in_kongs_words(void **state)
{
	(void)state;
	insert("services", "{\"id\":\"00000000-0000-4000-8000-000000000001\",\"name\":\"taken\","
			   "\"host\":\"h\"}");
	insert("upstreams", "{\"id\":\"00000000-0000-4000-8000-000000000002\",\"name\":\"u\"}");
	insert("targets", "{\"target\":\"h:80\",\"upstream\":{\"id\":"
			  "\"00000000-0000-4000-8000-000000000002\"}}");
	for (size_t i = 0; i < COUNT(refusals); i++) {
		str error;

		assert_null(try_insert(refusals[i].entity, refusals[i].doc, &error));
		assert_string_equal(str_z(a, error), refusals[i].error);
	}
}

static void a_parent_stays_while_it_is_needed_and_takes_others_along(void **state)
{
	struct value *service = insert("services", "{\"name\":\"s\",\"host\":\"h\"}"), *route;
	struct value *upstream = insert("upstreams", "{\"name\":\"u\"}"), *target;
	struct db_error err = { 0 };

	(void)state;
	route = insert("routes", str_fmt(a, "{\"paths\":[\"/\"],\"service\":{\"id\":\"" STRF "\"}}",
					 STRV(value_get(service, "id")->s))
					 .s);
	target = insert("targets",
			str_fmt(a, "{\"target\":\"h:1\",\"upstream\":{\"id\":\"" STRF "\"}}",
				STRV(value_get(upstream, "id")->s))
				.s);
	assert_false(store->kind->remove(store, a, entity("services"), id_of(service), &err));
	assert_string_equal(
		str_z(a, json_text(a, db_error_body(a, &err), JSON_SORTED)),
		"{\"code\":4,\"fields\":{\"@referenced_by\":\"routes\"},\"message\":\"an existing "
		"'routes' entity references this 'services' entity\",\"name\":\"foreign key "
		"violation\"}");
	assert_true(store->kind->remove(store, a, entity("routes"), id_of(route), &err));
	assert_true(store->kind->remove(store, a, entity("services"), id_of(service), &err));
	assert_true(store->kind->remove(store, a, entity("upstreams"), id_of(upstream), &err));
	assert_null(store->kind->find(store, a, entity("targets"), id_of(target), &err));
}

/* ---- changes ------------------------------------------------------------------------------------- */

static void a_change_keeps_what_it_does_not_say(void **state)
{
	struct value *made = insert("upstreams", "{\"name\":\"u\",\"healthchecks\":{\"active\":{"
						 "\"timeout\":7}},\"tags\":[\"a\"]}");
	struct value *change = completed(
		entity("upstreams"),
		parsed("{\"id\":\"" ID_1
		       "\",\"slots\":100,\"healthchecks\":{\"active\":{\"concurrency\":3}}}"),
		SCHEMA_UPDATE);
	struct db_error err = { 0 };
	struct value *after =
		store->kind->update(store, a, entity("upstreams"), id_of(made), change, &err);
	const struct value *active = value_get(value_get(after, "healthchecks"), "active");

	(void)state;
	assert_non_null(after);
	assert_true(uuid_eq(id_of(after), id_of(made))); /* whatever the change says */
	assert_int_equal(value_get(after, "slots")->i, 100);
	assert_int_equal(value_get(active, "concurrency")->i, 3);
	assert_true(value_eq(value_get(active, "timeout"), value_int(a, 7)));
	assert_int_equal(value_get(after, "tags")->n, 1);
	assert_null(
		store->kind->update(store, a, entity("upstreams"), uuid_random(), change, &err));
	assert_int_equal(err.code, DB_NOT_FOUND);
}

static void writes_are_kept_together_or_not_at_all(void **state)
{
	struct value *service = completed(entity("services"),
					  parsed("{\"name\":\"s\",\"host\":\"h\"}"), SCHEMA_INSERT);
	struct value *again = completed(entity("services"),
					parsed("{\"name\":\"s\",\"host\":\"h\"}"), SCHEMA_INSERT);
	struct store_write w[] = {
		{ STORE_INSERT, entity("services"), .doc = service },
		{ STORE_INSERT, entity("services"), .doc = again },
	};
	uuid id = id_of(service);
	struct db_error err = { 0 };

	(void)state;
	assert_false(store->kind->write(store, a, w, 2, &err));
	assert_int_equal(err.code, DB_UNIQUE_VIOLATION);
	assert_null(store->kind->find(store, a, entity("services"), id, &err));
}

static void pages_hold_everything_once_in_order(void **state)
{
	struct page_query q = { .size = 7, .tags = { (str[]){ STR("even") }, 1 } };
	struct page page = { 0 };
	struct db_error err = { 0 };
	int n = 0, pages = 0;
	str last = STR("");

	(void)state;
	for (int i = 0; i < 50; i++)
		insert("services", str_fmt(a, "{\"host\":\"h\",\"tags\":[\"all\",\"%s\"]}",
					   i % 2 ? "odd" : "even")
					   .s);
	do {
		assert_true(store->kind->page(store, a, entity("services"), &q, &page, &err));
		for (uint32_t i = 0; i < page.data->n; i++, n++) {
			str id = value_get(page.data->items[i], "id")->s;

			assert_true(str_cmp(last, id) < 0);
			last = id;
		}
		pages++;
		q.offset = page.offset;
	} while (page.offset.n);
	assert_int_equal(n, 25);
	assert_int_equal(pages, 4);
	q = (struct page_query){ .size = 100,
				 .tags = { (str[]){ STR("even"), STR("odd") }, 2 },
				 .tags_any = true };
	assert_true(store->kind->page(store, a, entity("services"), &q, &page, &err));
	assert_int_equal(page.data->n, 50);
	q.tags_any = false;
	assert_true(store->kind->page(store, a, entity("services"), &q, &page, &err));
	assert_int_equal(page.data->n, 0);
}

static const char *const bad_offsets[][2] = {
	{ "!!!", "'!!!' is not a valid offset: bad base64 encoding" },
	{ "eHh4", "'eHh4' is not a valid offset: bad json encoding" },
	{ "WzFd", "'WzFd' is not a valid offset: invalid offset" },
	{ "WyJ4Il0", "'WyJ4Il0' is not a valid offset: invalid offset" },
};

static void an_offset_that_is_none_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad_offsets); i++) {
		struct page_query q = { .offset = str_of(bad_offsets[i][0]) };
		struct db_error err = { 0 };
		struct page page;

		assert_false(store->kind->page(store, a, entity("services"), &q, &page, &err));
		assert_int_equal(err.code, DB_INVALID_OFFSET);
		assert_string_equal(str_z(a, err.message), bad_offsets[i][1]);
	}
}

static void what_was_kept_is_there_after_a_restart(void **state)
{
	struct value *made = insert("consumers", "{\"username\":\"x\",\"tags\":[\"\\\"q\\\"\"]}");
	struct db_error err = { 0 };

	(void)state;
	store->kind->drop(store);
	store = open_store();
	assert_same(store->kind->find_by(store, a, entity("consumers"), "username", STR("x"), &err),
		    made);
}

static void others_who_write_are_noticed(void **state)
{
	struct store *ours = store, *theirs = open_store();
	bool has_changed = true;

	(void)state;
	assert_null(store_sql_poll(ours, a, &has_changed));
	insert("services", "{\"host\":\"own\"}");
	assert_null(store_sql_poll(ours, a, &has_changed));
	assert_false(has_changed);
	store = theirs;
	insert("services", "{\"host\":\"h\"}");
	assert_null(store_sql_poll(ours, a, &has_changed));
	assert_true(has_changed);
	assert_null(store_sql_poll(ours, a, &has_changed));
	assert_false(has_changed);
	store = ours;
	theirs->kind->drop(theirs);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
	struct sql_database *db;
	struct err *e;
	int fd;

	(void)state;
	store->kind->drop(store);
	remove_files();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, path, sizeof(path)), sizeof(path));
	close(fd);
	e = sqlite_open(path, &db);
	assert_non_null(e);
	assert_non_null(e->hint);
	remove_files();
	store = open_store();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_entity_comes_out_as_it_went_in),
		T(the_whole_is_loaded_and_kept_until_it_changes),
		T(what_is_lent_is_what_would_be_read_anew),
		T(of_a_kind_only_what_changed_is_read),
		T(what_must_not_be_is_refused_in_kongs_words),
		T(a_parent_stays_while_it_is_needed_and_takes_others_along),
		T(a_change_keeps_what_it_does_not_say),
		T(writes_are_kept_together_or_not_at_all),
		T(pages_hold_everything_once_in_order),
		T(an_offset_that_is_none_is_refused),
		T(what_was_kept_is_there_after_a_restart),
		T(others_who_write_are_noticed),
		T(a_file_that_is_no_database_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
