/* SPDX-License-Identifier: Apache-2.0 */
/* What a look-up costs the database and what it answers, over SQLite behind a database that
 * counts, takes its time and goes away. */
#include "control/lookup.h"

#include "base/json.h"
#include "store/sql/store.h"
#include "store/sqlite.h"

#include <math.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define JO      "0dc6f45b-8f8d-40d2-a504-473544ee190b"
#define TTL_MS  20
#define ASKERS  20
#define PLUGINS 3

/* The database that is asked: the home loop's own. */
static struct watched {
	struct sql_database db, *inner;
	int asked;
	enum sql_use use; /* of the last question */
	int slow_ms;
	bool is_away;
} watched;

static struct loop *home, *data;
static struct arena *a;
static struct store *store;
static struct lookup *lookup;
static const struct entity *consumers;
static char path[64];
static atomic_int answered;

/* ---- the stage ----------------------------------------------------------------------------- */

static struct err *run(struct sql_database *db, struct arena *ra, enum sql_use use, sql_job_fn *fn,
		       void *arg)
{
	(void)db;
	watched.asked++;
	watched.use = use;
	if (watched.slow_ms)
		fiber_sleep(deadline_in(watched.slow_ms));
	if (watched.is_away)
		return err_keep(ra, FAIL(ERR_REFUSED, "nobody is there"));
	return watched.inner->run(watched.inner, ra, use, fn, arg);
}

static void drop_database(struct sql_database *db)
{
	(void)db;
	watched.inner->drop(watched.inner);
}

static void insert(const char *kind, str text)
{
	const struct entity *e = entity_find(str_of(kind));
	struct value *doc = NULL;
	struct db_error err = { 0 };

	assert_null(json_parse(a, text, &doc));
	doc = schema_render(a, entity_schema(e), doc);
	if (!store->kind->insert(store, a, e, doc, &err))
		fail_msg("%s: " STRF, kind, STRV(err.message));
}

static void open_all(const struct settings *s)
{
	watched = (struct watched){ 0 };
	assert_null(sqlite_open(path, &watched.inner));
	watched.db = *watched.inner;
	watched.db.run = run;
	watched.db.drop = drop_database;
	assert_null(store_sql_new(&watched.db, &store));
	insert("consumers", str_fmt(a, "{\"id\":\"" JO "\",\"username\":\"jo\",\"created_at\":1}"));
	for (int i = 0; i < PLUGINS; i++)
		insert("plugins", str_fmt(a,
					  "{\"id\":\"0dc6f45b-8f8d-40d2-a504-00000000000%d\","
					  "\"name\":\"p%d\",\"config\":{},\"enabled\":true,"
					  "\"created_at\":1,\"protocols\":[\"http\"],\"consumer\":{"
					  "\"id\":\"" JO "\"}}",
					  i, i));
	lookup = lookup_new(s, store);
	watched.asked = 0;
	answered = 0;
}

struct play {
	void (*fn)(void);
	const struct settings *settings;
};

static void perform(void *p)
{
	const struct play *play = p;

	open_all(play->settings);
	play->fn();
	loop_stop(data);
	loop_stop(home);
}

static void begin(void *p)
{
	fiber_start("play", perform, p);
}

static void *run_data(void *p)
{
	loop_run(data);
	return p;
}

static void on_loops_with(void (*fn)(void), const struct settings *s)
{
	struct play play = { fn, s };
	pthread_t thread;
	int fd;

	a = arena_new();
	entities_start(NULL);
	consumers = entity_find(STR("consumers"));
	snprintf(path, sizeof(path), "/tmp/gibbon-lookup-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	assert_null(loop_new("home", 0, &home));
	assert_null(loop_new("data", 1, &data));
	pthread_create(&thread, NULL, run_data, NULL);
	loop_post(home, begin, &play);
	loop_run(home);
	pthread_join(thread, NULL);
	loop_drop(&data);
	loop_drop(&home);
	lookup_drop(&lookup);
	store->kind->drop(store);
	unlink(path);
	unlink(str_fmt(a, "%s-wal", path).s);
	unlink(str_fmt(a, "%s-shm", path).s);
	err_forget();
	arena_drop(&a);
}

static const struct settings plain = { .mem_cache_bytes = 1 << 20, .db_cache_neg_ttl = NAN };
static const struct settings brief = { .mem_cache_bytes = 1 << 20,
				       .db_cache_ttl = TTL_MS / 1000.0,
				       .db_cache_neg_ttl = NAN,
				       .db_resurrect_ttl = 3600 };

/* ---- asking ---------------------------------------------------------------------------------- */

enum outcome { FAILED, NOBODY, FOUND };

static enum outcome find(const char *field, str value)
{
	const void *found = NULL;

	if (!lookup_one(lookup, a, consumers, field, value, &found))
		return FAILED;
	if (found)
		assert_true(str_is(((const struct consumer *)found)->username, "jo"));
	return found ? FOUND : NOBODY;
}

static enum outcome find_jo(void)
{
	return find("username", STR("jo"));
}

static void asks_once(void)
{
	for (int i = 0; i < 3; i++) {
		assert_int_equal(find_jo(), FOUND);
		assert_int_equal(find("username", STR("nobody")), NOBODY);
	}
	assert_int_equal(watched.asked, 2);
	assert_int_equal(watched.use, SQL_USE_REQUEST);
}

static void what_is_there_and_what_is_not_is_asked_for_once(void **state)
{
	(void)state;
	on_loops_with(asks_once, &plain);
}

static void asks_oddly(void)
{
	static const str odd[] = { STR_INIT(""), STR_INIT("a\0b"), STR_INIT("\xff\xfe") };

	for (size_t i = 0; i < COUNT(odd); i++)
		assert_int_equal(find("username", odd[i]), NOBODY);
	assert_int_equal(watched.asked, 0);
	assert_int_equal(find("id", STR("no uuid")), NOBODY);
	assert_int_equal(watched.asked, 0);
}

static void what_no_database_can_keep_is_not_asked_for(void **state)
{
	(void)state;
	on_loops_with(asks_oddly, &plain);
}

/* Any loop's fiber. */
static void ask(void *p)
{
	struct arena *own CLEANUP(arena_drop) = arena_new();
	const void *found = NULL;

	(void)p;
	if (lookup_one(lookup, own, consumers, "username", STR("jo"), &found) && found)
		atomic_fetch_add(&answered, 1);
}

static void start_asking(void *p)
{
	fiber_start("ask", ask, p);
}

static void wait_for_answers(int n)
{
	for (int i = 0; atomic_load(&answered) < n && i < 10000; i++)
		fiber_sleep(deadline_in(1));
	assert_int_equal(answered, n);
}

static void ask_together(void)
{
	watched.slow_ms = 20;
	for (int i = 0; i < ASKERS; i++)
		loop_post(i % 2 ? home : data, start_asking, NULL);
	wait_for_answers(ASKERS);
	assert_int_equal(watched.asked, 1);
}

static void who_asks_for_the_same_waits_for_the_same_answer(void **state)
{
	(void)state;
	on_loops_with(ask_together, &plain);
}

static void leave_while_it_waits(void)
{
	struct fiber *f;

	watched.slow_ms = 20;
	f = fiber_start_now("ask", ask, NULL);
	fiber_cancel(f);
	fiber_sleep(deadline_in(1));
	assert_int_equal(find_jo(), FOUND); /* joins the same question */
	assert_int_equal(watched.asked, 1);
	assert_int_equal(answered, 0);
}

static void one_who_is_cancelled_leaves_the_others_waiting(void **state)
{
	(void)state;
	on_loops_with(leave_while_it_waits, &plain);
}

static void forget_and_ask(void)
{
	str workspace = store_sql_workspace(store);
	const str keys[] = { str_fmt(a, "consumers:jo:::::" STRF, STRV(workspace)),
			     STR("consumers:"), STR("*") };

	assert_int_equal(find_jo(), FOUND);
	for (size_t i = 0; i < COUNT(keys); i++) {
		lookup_forget(lookup, STR("services:x"));
		lookup_forget(lookup, str_fmt(a, "consumers:jane:::::" STRF, STRV(workspace)));
		assert_int_equal(find_jo(), FOUND);
		assert_int_equal(watched.asked, (int)i + 1);
		lookup_forget(lookup, keys[i]);
		assert_int_equal(find_jo(), FOUND);
		assert_int_equal(watched.asked, (int)i + 2);
	}
}

static void what_is_forgotten_is_asked_for_again(void **state)
{
	(void)state;
	on_loops_with(forget_and_ask, &plain);
}

static void ask_while_it_is_away(void)
{
	assert_int_equal(find_jo(), FOUND);
	watched.is_away = true;
	assert_int_equal(find_jo(), FOUND); /* still good */
	assert_int_equal(find("id", STR(JO)), FAILED);
	watched.is_away = false;
	assert_int_equal(find("id", STR(JO)), FOUND);
}

static void without_the_database_what_is_not_known_fails(void **state)
{
	(void)state;
	on_loops_with(ask_while_it_is_away, &plain);
}

static void outlive_the_time(void)
{
	int before;

	assert_int_equal(find_jo(), FOUND);
	watched.is_away = true;
	fiber_sleep(deadline_in(2 * TTL_MS));
	assert_int_equal(find_jo(), FOUND);
	before = watched.asked;
	assert_int_equal(before, 2); /* it was asked in vain */
	assert_int_equal(find_jo(), FOUND);
	assert_int_equal(watched.asked, before); /* and is left alone for a while */
}

static void what_is_over_serves_on_while_the_database_is_away(void **state)
{
	(void)state;
	on_loops_with(outlive_the_time, &brief);
}

static void ask_for_all(void)
{
	const struct entity *plugins = entity_find(STR("plugins"));
	const void *const *v = NULL;
	size_t n = 0;
	uuid jo;

	assert_true(uuid_parse(STR(JO), &jo));
	for (int i = 0; i < 2; i++) {
		assert_true(lookup_of(lookup, a, plugins, jo, &v, &n));
		assert_int_equal(n, PLUGINS);
		assert_true(uuid_eq(((const struct plugin_config *)v[1])->consumer, jo));
	}
	assert_int_equal(watched.asked, 1);
	assert_true(lookup_of(lookup, a, plugins, uuid_random(), &v, &n));
	assert_int_equal(n, 0);
}

static void all_of_a_consumers_come_together(void **state)
{
	(void)state;
	on_loops_with(ask_for_all, &plain);
}

static void call_by_names(void)
{
	static const char *const names[] = { "jo", JO, "nobody",
					     "0dc6f45b-8f8d-40d2-a504-00000000dead" };
	const struct consumer *found;

	for (size_t i = 0; i < COUNT(names); i++) {
		assert_true(lookup_consumer_called(lookup, a, str_of(names[i]), &found));
		assert_int_equal(found != NULL, i < 2);
	}
}

static void a_consumer_is_called_by_name_or_id(void **state)
{
	(void)state;
	on_loops_with(call_by_names, &plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_and_what_is_not_is_asked_for_once),
		cmocka_unit_test(what_no_database_can_keep_is_not_asked_for),
		cmocka_unit_test(who_asks_for_the_same_waits_for_the_same_answer),
		cmocka_unit_test(one_who_is_cancelled_leaves_the_others_waiting),
		cmocka_unit_test(what_is_forgotten_is_asked_for_again),
		cmocka_unit_test(without_the_database_what_is_not_known_fails),
		cmocka_unit_test(what_is_over_serves_on_while_the_database_is_away),
		cmocka_unit_test(all_of_a_consumers_come_together),
		cmocka_unit_test(a_consumer_is_called_by_name_or_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
