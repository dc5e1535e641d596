/* SPDX-License-Identifier: Apache-2.0 */
/* tally: counts end, are exact between threads, and never fill the memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/tally.h"
#include <pthread.h>
#include <stdio.h>

#define THREADS 4
#define EACH    5000
#define MOST    7777

static void a_counter_counts_until_its_end(void **state)
{
	struct tally *t = tally_new(100);

	(void)state;
	assert_int_equal(tally_get(t, STR("a"), 0), 0);
	assert_int_equal(tally_add(t, STR("a"), 2, 1000, 0), 2);
	assert_int_equal(tally_add(t, STR("a"), 3, 5000, 999), 5);
	assert_int_equal(tally_get(t, STR("b"), 999), 0);
	assert_int_equal(tally_get(t, STR("a"), 999), 5);
	assert_int_equal(tally_get(t, STR("a"), 1000), 0);
	assert_int_equal(tally_add(t, STR("a"), 1, 2000, 1000), 1);
	tally_drop(&t);
	assert_null(t);
}

static void all_of_several_counters_or_none(void **state)
{
	struct tally *t = tally_new(100);
	struct tally_ask ask[2] = {
		{ .name = STR("short"), .ends_ms = 10, .most = 1 },
		{ .name = STR("long"), .ends_ms = 100, .most = 2 },
	};

	(void)state;
	assert_true(tally_take(t, ask, 2, 0));
	assert_false(tally_take(t, ask, 2, 9));
	assert_int_equal(ask[0].used, 1);
	assert_int_equal(ask[1].used, 1);
	assert_true(tally_take(t, ask, 2, 10));
	assert_int_equal(ask[0].used, 0);
	assert_false(tally_take(t, ask, 2, 20));
	assert_int_equal(ask[1].used, 2);
	tally_drop(&t);
}

struct taker {
	struct tally *t;
	int taken;
};

static void *take(void *p)
{
	struct taker *taker = p;

	for (int i = 0; i < EACH; i++) {
		struct tally_ask ask[2] = {
			{ .name = i % 2 ? STR("x") : STR("y"), .ends_ms = 10, .most = INT64_MAX },
			{ .name = STR("both"), .ends_ms = 10, .most = MOST },
		};

		taker->taken += tally_take(taker->t, ask, 2, 0);
	}
	return NULL;
}

static void of_many_threads_exactly_as_many_get_one(void **state)
{
	struct tally *t = tally_new(100);
	struct taker takers[THREADS];
	pthread_t threads[THREADS];
	int taken = 0;

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		takers[i] = (struct taker){ .t = t };
		assert_int_equal(pthread_create(&threads[i], NULL, take, &takers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		taken += takers[i].taken;
	}
	assert_int_equal(taken, MOST);
	assert_int_equal(tally_get(t, STR("both"), 0), MOST);
	assert_int_equal(tally_get(t, STR("x"), 0) + tally_get(t, STR("y"), 0), MOST);
	tally_drop(&t);
}

static void what_ends_soonest_makes_room(void **state)
{
	struct tally *t = tally_new(640);
	char name[16];
	int kept = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		int n = snprintf(name, sizeof(name), "%d", i);

		tally_add(t, str_at(name, (size_t)n), 1, i == 7 ? 1000000 : 100 + i % 2, i / 1000);
	}
	for (int i = 0; i < 20000; i++) {
		int n = snprintf(name, sizeof(name), "%d", i);

		kept += tally_get(t, str_at(name, (size_t)n), 20) != 0;
	}
	assert_in_range(kept, 1, 640 + 64);
	assert_int_equal(tally_get(t, STR("7"), 20), 1);
	tally_drop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counter_counts_until_its_end),
		cmocka_unit_test(all_of_several_counters_or_none),
		cmocka_unit_test(of_many_threads_exactly_as_many_get_one),
		cmocka_unit_test(what_ends_soonest_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
