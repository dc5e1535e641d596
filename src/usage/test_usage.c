/* SPDX-License-Identifier: Apache-2.0 */
/* Usage: when windows begin, what counts are called, that looking and counting are one
 * step, here and in a database. */
#include "settings/settings.h"
#include "store/sqlite.h"
#include "usage/priv.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

static struct arena *a;
static char folder[] = "/tmp/gibbon-usage-XXXXXX";
static struct sql_database *db;

#define NOW 1709210096 /* 2024-02-29 12:34:56 */

/* clang-format off */
static const struct {
	enum usage_period period;
	int64_t now, start;
} starts[] = {
	{ USAGE_SECOND, NOW, NOW },
	{ USAGE_MINUTE, NOW, 1709210040 },
	{ USAGE_HOUR,   NOW, 1709208000 },
	{ USAGE_DAY,    NOW, 1709164800 },
	{ USAGE_MONTH,  NOW, 1706745600 },
	{ USAGE_YEAR,   NOW, 1704067200 },
	{ USAGE_MONTH,  1706745599, 1704067200 }, /* the last second of January */
	{ USAGE_YEAR,   1704067199, 1672531200 },
};
/* clang-format on */

static void windows_begin_where_the_calendar_has_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(starts); i++)
		assert_int_equal(usage_window_start(starts[i].period, starts[i].now),
				 starts[i].start);
}

static void keys_are_kong_s(void **state)
{
	struct usage_subject who = { .route.b = { 0x11 }, .identifier = STR("jo") };
	struct usage_job j = { .a = a, .who = &who, .now_s = NOW };
	struct usage_ask ask = { .period = USAGE_MINUTE, .limit = STR("") };

	(void)state;
	assert_string_equal(usage_key(&j, usage_scope(&j, STR("jo")), &ask).s,
			    "ratelimit:11000000-0000-0000-0000-000000000000:"
			    "00000000-0000-0000-0000-000000000000:jo:1709210040000:minute");
	who.of_responses = true;
	ask.limit = STR("videos");
	assert_string_equal(usage_key(&j, usage_scope(&j, STR("jo")), &ask).s,
			    "response-ratelimit:11000000-0000-0000-0000-000000000000:"
			    "00000000-0000-0000-0000-000000000000:jo:1709210040000:videos:minute");
}

static void names_that_cannot_be_kept_are_kept_by_digest(void **state)
{
	(void)state;
	assert_string_equal(usage_shortened(a, STR("jo"), 4, true).s, "jo");
	assert_int_equal(usage_shortened(a, STR("jonas"), 4, true).n, 64);
	assert_int_equal(usage_shortened(a, STR("\xff"), 4, true).n, 64);
	assert_int_equal(usage_shortened(a, STR("a\0b"), 4, true).n, 64);
	assert_int_equal(usage_shortened(a, STR("\xff"), 4, false).n, 1);
}

/* ---- counting, wherever ------------------------------------------------------------------- */

static struct usage_place places[] = { { .policy = USAGE_LOCAL }, { .policy = USAGE_CLUSTER } };

static bool take(const struct usage_place *at, const struct usage_subject *who,
		 struct usage_ask *asks, size_t n)
{
	bool is_taken = false;
	struct err *e = usage_take(a, at, who, asks, n, NOW, &is_taken);

	if (e)
		fail_msg(STRF, STRV(err_line(a, e)));
	return is_taken;
}

static void nothing_is_added_to_what_is_full(const struct usage_place *at, bool of_responses)
{
	struct usage_subject who = { of_responses, .identifier = STR("1.2.3.4") };
	struct usage_ask asks[] = {
		{ STR("v"), USAGE_MINUTE, 2, 1, -1 },
		{ STR("v"), USAGE_YEAR, 10, 3, -1 },
	};

	assert_true(take(at, &who, asks, 2));
	assert_int_equal(asks[0].used + asks[1].used, 0);
	assert_true(take(at, &who, asks, 2));
	assert_int_equal(asks[0].used, 1);
	assert_int_equal(asks[1].used, 3);
	for (int i = 0; i < 3; i++) {
		assert_false(take(at, &who, asks, 2));
		assert_int_equal(asks[0].used, 2);
		assert_int_equal(asks[1].used, 6);
	}
	asks[0].used = asks[1].used = -1;
	assert_null(usage_look(a, at, &who, asks, 2, NOW));
	assert_int_equal(asks[0].used, 2);
	assert_int_equal(asks[1].used, 6);
	assert_null(usage_look(a, at, &who, asks, 2, NOW + 60));
	assert_int_equal(asks[0].used, 0);
	assert_int_equal(asks[1].used, 6);
	assert_true(take(at, &who, asks + 1, 1)); /* 6 of 10: it may go too far once */
	assert_true(take(at, &who, asks + 1, 1));
	assert_false(take(at, &who, asks + 1, 1));
	assert_int_equal(asks[1].used, 12);
}

static void what_is_full_stays_as_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		nothing_is_added_to_what_is_full(&places[i], false);
		nothing_is_added_to_what_is_full(&places[i], true);
	}
}

static void everybody_has_an_own_count(void **state)
{
	struct usage_subject who[] = {
		{ .identifier = STR("x") },
		{ .identifier = STR("y") },
		{ .identifier = STR("x"), .route.b = { 1 } },
		{ .identifier = STR("x"), .service.b = { 1 } },
		{ .identifier = STR("x"), .of_responses = true },
		{ .identifier = STR("\xff\xfe") },
	};

	(void)state;
	for (size_t p = 0; p < COUNT(places); p++) {
		for (size_t i = 0; i < 2 * COUNT(who); i++) {
			struct usage_ask ask = { STR(""), USAGE_DAY, 1, 1, 0 };

			assert_int_equal(take(&places[p], &who[i % COUNT(who)], &ask, 1),
					 i < COUNT(who));
		}
	}
}

#define THREADS 8
#define EACH    40

/* Threads that all ask at once, for the same. */
struct crowd {
	const struct usage_place *at;
	const char *name;
	pthread_barrier_t start;
};

static void *take_many(void *p)
{
	struct crowd *crowd = p;
	struct arena *mine CLEANUP(arena_drop) = arena_new();
	struct usage_subject who = { .identifier = str_of(crowd->name) };
	intptr_t taken = 0;

	pthread_barrier_wait(&crowd->start);
	for (int i = 0; i < EACH; i++) {
		struct usage_ask asks[] = { { STR(""), USAGE_HOUR, 100, 1, 0 },
					    { STR(""), USAGE_YEAR, 1000, 1, 0 } };
		bool is_taken = false;
		struct err *e = usage_take(mine, crowd->at, &who, asks, 2, NOW, &is_taken);

		assert_null(e);
		taken += is_taken;
	}
	return (void *)taken;
}

static intptr_t taken_by_a_crowd(const struct usage_place *at, const char *name)
{
	struct crowd crowd = { .at = at, .name = name };
	pthread_t threads[THREADS];
	intptr_t taken = 0;

	pthread_barrier_init(&crowd.start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, take_many, &crowd);
	for (int i = 0; i < THREADS; i++) {
		void *got;

		pthread_join(threads[i], &got);
		taken += (intptr_t)got;
	}
	pthread_barrier_destroy(&crowd.start);
	return taken;
}

/* Here they need nanoseconds to look and to count: of so many crowds some would meet. */
static void of_many_threads_as_many_get_something_as_there_is(void **state)
{
	(void)state;
	assert_int_equal(taken_by_a_crowd(&places[1], "crowd"), 100);
	for (int i = 0; i < 300; i++)
		assert_int_equal(taken_by_a_crowd(&places[0], str_fmt(a, "crowd %d", i).s), 100);
}

static struct err *count_rows(struct sql_link *l, void *arg)
{
	struct sql_rows rows;

	PASS(l->query(l, a,
		      STR("SELECT (SELECT COUNT(*) FROM ratelimiting_metrics),"
			  " (SELECT COUNT(*) FROM response_ratelimiting_metrics)"),
		      NULL, 0, &rows, NULL));
	*(str *)arg =
		str_fmt(a, STRF " " STRF, STRV(sql_cell(&rows, 0, 0)), STRV(sql_cell(&rows, 0, 1)));
	return NULL;
}

/* NOW is some years ago: only windows that are not over stay. */
static void windows_that_are_over_are_swept(void **state)
{
	struct usage_subject who = { .identifier = STR("now") };
	struct usage_ask ask = { STR("v"), USAGE_YEAR, 5, 1, 0 };
	bool is_taken;
	str rows;

	(void)state;
	for (int i = 0; i < 2; i++) {
		who.of_responses = i;
		assert_null(usage_take(a, &places[1], &who, &ask, 1, clock_wall_s(), &is_taken));
	}
	assert_null(usage_sweep(db, a));
	assert_null(db->run(db, a, SQL_USE_READ, count_rows, &rows));
	assert_string_equal(rows.s, "1 1");
}

static int begin(void **state)
{
	(void)state;
	a = arena_new();
	assert_non_null(mkdtemp(folder));
	assert_null(sqlite_open(str_fmt(a, "%s/db", folder).s, &db));
	usage_start(&(struct settings){ 0 });
	usage_use(db);
	return 0;
}

static int end(void **state)
{
	(void)state;
	usage_stop();
	db->drop(db);
	unlink(str_fmt(a, "%s/db", folder).s);
	rmdir(folder);
	err_forget();
	arena_drop(&a);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_begin_where_the_calendar_has_them),
		cmocka_unit_test(keys_are_kong_s),
		cmocka_unit_test(names_that_cannot_be_kept_are_kept_by_digest),
		cmocka_unit_test(what_is_full_stays_as_it_is),
		cmocka_unit_test(everybody_has_an_own_count),
		cmocka_unit_test(of_many_threads_as_many_get_something_as_there_is),
		cmocka_unit_test(windows_that_are_over_are_swept),
	};

	return cmocka_run_group_tests_name("usage", tests, begin, end);
}
