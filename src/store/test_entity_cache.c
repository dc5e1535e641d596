/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept, for how long, and what is not. */
#include "store/entity_cache.h"

#include "model/model.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

static struct arena *a;
static const struct entity *consumers, *services;

static int start(void **state)
{
	(void)state;
	a = arena_new();
	entities_start(NULL);
	consumers = entity_find(STR("consumers"));
	services = entity_find(STR("services"));
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_drop(&a);
	return 0;
}

static struct entity_cache *cache_of(size_t bytes, int64_t ttl, int64_t missing, int64_t resurrect)
{
	const struct cache_options o = { bytes, bytes, ttl, missing, resurrect };

	return entity_cache_new(&o);
}

static struct value *consumer(const char *name)
{
	struct value *doc = value_object(a);

	value_set(a, doc, STR("id"), value_text(a, "0dc6f45b-8f8d-40d2-a504-473544ee190b"));
	value_set(a, doc, STR("username"), value_text(a, name));
	return doc;
}

static void put(struct entity_cache *c, const char *key, const struct value *doc, bool is_loose,
		int64_t now)
{
	struct cache_stamp stamp = entity_cache_stamp(c, consumers, str_of(key));
	struct cached *what = cached_new(consumers, doc);

	entity_cache_put(c, str_of(key), what, is_loose, &stamp, now);
	cached_drop(&what);
}

/* "none", "over" or "good"; with the name of the one that is there. */
static const char *known(struct entity_cache *c, const char *key, int64_t now)
{
	static const char *const words[] = { "none", "over", "good" };
	struct cached *found = NULL;
	enum cache_state state = entity_cache_find(c, consumers, str_of(key), now, &found);
	const char *ret = words[state];

	if (found && found->n)
		ret = str_z(a, str_fmt(a, "%s " STRF, ret,
				       STRV(((const struct consumer *)found->v[0])->username)));
	cached_drop(&found);
	return ret;
}

#define assert_known(c, key, now, want) assert_string_equal(known((c), (key), (now)), (want))

static void what_is_there_and_what_is_not_have_times_of_their_own(void **state)
{
	struct entity_cache *c = cache_of(1 << 20, 1000, 100, 0);

	(void)state;
	assert_known(c, "consumers:1", 0, "none");
	put(c, "consumers:1", consumer("jo"), false, 0);
	put(c, "consumers:2", NULL, false, 0);
	assert_known(c, "consumers:1", 999, "good jo");
	assert_known(c, "consumers:1", 1000, "over jo");
	assert_known(c, "consumers:2", 99, "good");
	assert_known(c, "consumers:2", 100, "over");
	put(c, "consumers:2", consumer("jane"), false, 100);
	assert_known(c, "consumers:2", 1099, "good jane");
	entity_cache_drop(&c);
}

static void nothing_ends_without_a_ttl(void **state)
{
	struct entity_cache *c = cache_of(1 << 20, 0, 0, 0);

	(void)state;
	put(c, "consumers:1", consumer("jo"), false, 0);
	assert_known(c, "consumers:1", INT64_MAX / 2, "good jo");
	entity_cache_drop(&c);
}

static void what_is_over_serves_on_when_it_may(void **state)
{
	struct entity_cache *may = cache_of(1 << 20, 100, 100, 50);
	struct entity_cache *may_not = cache_of(1 << 20, 100, 100, 0);

	(void)state;
	assert_false(entity_cache_resurrect(may, STR("consumers:1"), 0));
	put(may, "consumers:1", consumer("jo"), false, 0);
	put(may_not, "consumers:1", consumer("jo"), false, 0);
	assert_true(entity_cache_resurrect(may, STR("consumers:1"), 200));
	assert_false(entity_cache_resurrect(may_not, STR("consumers:1"), 200));
	assert_known(may, "consumers:1", 249, "good jo");
	assert_known(may, "consumers:1", 250, "over jo");
	assert_known(may_not, "consumers:1", 249, "over jo");
	entity_cache_drop(&may);
	entity_cache_drop(&may_not);
}

static void forgetting_is_by_key_by_kind_or_of_everything(void **state)
{
	static const char *const keys[] = { "consumers:1", "consumers:2", "consumers:name=x" };
	struct entity_cache *c = cache_of(1 << 20, 0, 0, 0);

	(void)state;
	for (int i = 0; i < 3; i++)
		put(c, keys[i], consumer("jo"), i == 2, 0);
	entity_cache_forget(c, STR("services:1"));
	assert_known(c, keys[2], 0, "good jo");
	entity_cache_forget(c, STR("consumers:1"));
	assert_known(c, keys[0], 0, "none");
	assert_known(c, keys[1], 0, "good jo");
	assert_known(c, keys[2], 0, "none"); /* loose: any change makes it old */
	entity_cache_forget_kind(c, services);
	assert_known(c, keys[1], 0, "good jo");
	entity_cache_forget_kind(c, consumers);
	assert_known(c, keys[1], 0, "none");
	put(c, keys[1], consumer("jo"), false, 0);
	entity_cache_forget_all(c);
	assert_known(c, keys[1], 0, "none");
	entity_cache_drop(&c);
}

static void what_was_forgotten_while_it_was_read_is_not_kept(void **state)
{
	static const struct {
		const char *forgotten; /* a key; NULL: everything */
		bool is_loose, is_kept;
	} rows[] = {
		{ "consumers:1", false, false }, { "consumers:2", false, true },
		{ "consumers:2", true, false },  { "services:2", true, true },
		{ NULL, false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct entity_cache *c = cache_of(1 << 20, 0, 0, 0);
		struct cache_stamp stamp = entity_cache_stamp(c, consumers, STR("consumers:1"));
		struct cached *what = cached_new(consumers, consumer("jo"));

		if (rows[i].forgotten)
			entity_cache_forget(c, str_of(rows[i].forgotten));
		else
			entity_cache_forget_all(c);
		entity_cache_put(c, STR("consumers:1"), what, rows[i].is_loose, &stamp, 0);
		assert_known(c, "consumers:1", 0, rows[i].is_kept ? "good jo" : "none");
		cached_drop(&what);
		entity_cache_drop(&c);
	}
}

static void a_full_cache_keeps_what_was_used_last(void **state)
{
	struct entity_cache *c = cache_of(1 << 20, 0, 0, 0);
	struct cache_stats stats;

	(void)state;
	put(c, "consumers:used", consumer("jo"), false, 0);
	for (int i = 0; i < 20000; i++) {
		put(c, str_z(a, str_fmt(a, "consumers:%d", i)), consumer("x"), false, 0);
		put(c, str_z(a, str_fmt(a, "consumers:-%d", i)), NULL, false, 0);
		if (i % 10 == 0)
			assert_known(c, "consumers:used", 0, "good jo");
	}
	stats = entity_cache_stats(c);
	assert_in_range(stats.bytes, 1 << 19, 1 << 20);
	assert_in_range(stats.missing_bytes, 1 << 19, 1 << 20);
	assert_true(stats.evicted + stats.n + stats.missing == 40001);
	assert_known(c, "consumers:19999", 0, "good x");
	assert_known(c, "consumers:0", 0, "none");
	entity_cache_drop(&c);
}

static void what_does_not_fit_is_not_kept(void **state)
{
	struct entity_cache *c = cache_of(16 << 10, 0, 0, 0);
	struct value *list = value_array(a);

	(void)state;
	for (int i = 0; i < 100; i++)
		value_add(a, list, consumer("jo"));
	put(c, "consumers:1", list, false, 0);
	assert_known(c, "consumers:1", 0, "none");
	entity_cache_drop(&c);
}

static void an_answer_outlives_its_place(void **state)
{
	struct entity_cache *c = cache_of(1 << 20, 0, 0, 0);
	struct cached *found = NULL;

	(void)state;
	put(c, "consumers:1", consumer("jo"), false, 0);
	assert_int_equal(entity_cache_peek(c, STR("consumers:1"), 0, &found), CACHE_GOOD);
	entity_cache_drop(&c);
	assert_true(str_is(value_get(found->doc, "username")->s, "jo"));
	cached_drop(&found);
}

#define THREADS 4

static void *hammer(void *p)
{
	struct entity_cache *c = p;
	struct value *doc;
	struct arena *own = arena_new();

	doc = value_object(own);
	value_set(own, doc, STR("username"), value_text(own, "jo"));
	for (int i = 0; i < 20000; i++) {
		str key = str_fmt(own, "consumers:%d", i % 97);
		struct cache_stamp stamp = entity_cache_stamp(c, consumers, key);
		struct cached *found = NULL, *what;

		if (entity_cache_find(c, consumers, key, i, &found) != CACHE_GOOD) {
			what = cached_new(consumers, i % 3 ? doc : NULL);
			entity_cache_put(c, key, what, i % 2, &stamp, i);
			cached_drop(&what);
		}
		cached_drop(&found);
		if (i % 11 == 0)
			entity_cache_forget(c, key);
		if (i % 1009 == 0)
			entity_cache_forget_kind(c, consumers);
		if (i % 500 == 0) {
			arena_reset(own);
			doc = value_object(own);
			value_set(own, doc, STR("username"), value_text(own, "jo"));
		}
	}
	arena_drop(&own);
	return NULL;
}

static void many_threads_may_use_it(void **state)
{
	struct entity_cache *c = cache_of(64 << 10, 50, 20, 10);
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, c), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(entity_cache_stats(c).bytes <= 64 << 10);
	entity_cache_drop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_and_what_is_not_have_times_of_their_own),
		cmocka_unit_test(nothing_ends_without_a_ttl),
		cmocka_unit_test(what_is_over_serves_on_when_it_may),
		cmocka_unit_test(forgetting_is_by_key_by_kind_or_of_everything),
		cmocka_unit_test(what_was_forgotten_while_it_was_read_is_not_kept),
		cmocka_unit_test(a_full_cache_keeps_what_was_used_last),
		cmocka_unit_test(what_does_not_fit_is_not_kept),
		cmocka_unit_test(an_answer_outlives_its_place),
		cmocka_unit_test(many_threads_may_use_it),
	};

	return cmocka_run_group_tests(tests, start, end);
}
