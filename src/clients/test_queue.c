/* SPDX-License-Identifier: Apache-2.0 */
/* Queues: from many threads, in batches, through outages, to the end. */
#include "base/log.h"
#include "clients/background.h"
#include "clients/queue.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
/* cmocka wants those above first */
#include <cmocka.h>

/* What arrives where the batches go to. */
static struct sink {
	pthread_mutex_t lock;
	size_t entries, batches, largest, calls, made;
	int64_t sum;
	int failures;    /* to answer with, before it works; < 0: for ever */
	int64_t took_ms; /* each call */
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct err *send_to_sink(const void *conf, const str *v, size_t n)
{
	bool must_fail;

	assert_ptr_equal(conf, &sink);
	pthread_mutex_lock(&sink.lock);
	sink.calls++;
	must_fail = sink.failures != 0;
	sink.failures -= sink.failures > 0;
	for (size_t i = 0; i < n && !must_fail; i++) {
		int64_t number;

		assert_true(str_to_int(v[i], &number));
		sink.sum += number;
	}
	if (!must_fail) {
		sink.entries += n;
		sink.batches++;
		sink.largest = n > sink.largest ? n : sink.largest;
	}
	pthread_mutex_unlock(&sink.lock);
	if (sink.took_ms && fiber_sleep(deadline_in(sink.took_ms)) == WAIT_CANCELLED)
		return FAIL(ERR_CANCELLED, "cancelled");
	return must_fail ? FAIL(ERR_REFUSED, "the sink is broken") : NULL;
}

static void *make(struct arena *a, void *arg)
{
	(void)a;
	sink.made++;
	return arg;
}

static struct queue *open_queue(const char *key, struct queue_options o)
{
	o.name = "test";
	o.send = send_to_sink;
	return queue_open(&o, str_of(key), make, &sink);
}

static void add_number(struct queue *q, int64_t i)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%lld", (long long)i);

	queue_add(q, str_at(text, (size_t)n));
}

static size_t seen(const size_t *what)
{
	size_t n;

	pthread_mutex_lock(&sink.lock);
	n = *what;
	pthread_mutex_unlock(&sink.lock);
	return n;
}

static void await_least(const size_t *what, size_t n)
{
	const struct timespec ms = { 0, 1000000 };

	for (int i = 0; i < 20000 && seen(what) < n; i++)
		nanosleep(&ms, NULL);
	assert_true(seen(what) >= n);
}

static void await(const size_t *what, size_t n)
{
	await_least(what, n);
	assert_int_equal(seen(what), n);
}

static int begin(void **state)
{
	(void)state;
	sink.entries = sink.batches = sink.largest = sink.calls = sink.made = 0;
	sink.sum = sink.failures = 0;
	sink.took_ms = 0;
	assert_null(background_start(NULL));
	return 0;
}

static int end(void **state)
{
	(void)state;
	background_stop(1000);
	err_forget();
	return 0;
}

static void a_full_batch_goes_off(void **state)
{
	struct queue *q =
		open_queue("a", (struct queue_options){ .batch = 3, .flush_ms = 3600000 });

	(void)state;
	for (int i = 0; i < 7; i++)
		add_number(q, i);
	await(&sink.entries, 6);
	assert_int_equal(sink.batches, 2);
	assert_int_equal(sink.largest, 3);
	assert_int_equal(queue_stats(q).entries, 1);
	queue_close(&q); /* the seventh goes at the end */
	background_stop(10000);
	assert_int_equal(sink.entries, 7);
}

static void a_batch_that_nothing_is_added_to_goes_off(void **state)
{
	struct queue *q = open_queue("a", (struct queue_options){ .batch = 100, .flush_ms = 20 });

	(void)state;
	add_number(q, 1);
	add_number(q, 2);
	await(&sink.entries, 2);
	queue_close(&q);
}

static void a_failed_batch_is_tried_again(void **state)
{
	struct queue *q =
		open_queue("a", (struct queue_options){ .attempts = 3, .delay_unit_ms = 1 });

	(void)state;
	sink.failures = 2;
	add_number(q, 5);
	await(&sink.entries, 1);
	assert_int_equal(sink.calls, 3);
	assert_int_equal(sink.sum, 5);
	assert_int_equal(queue_stats(q).dropped, 0);
	queue_close(&q);
}

static void a_batch_that_always_fails_is_dropped_and_the_next_one_comes(void **state)
{
	struct queue *q =
		open_queue("a", (struct queue_options){ .attempts = 2, .delay_unit_ms = 1 });

	(void)state;
	sink.failures = 2;
	add_number(q, 5);
	await(&sink.calls, 2);
	add_number(q, 6);
	await(&sink.entries, 1);
	assert_int_equal(sink.sum, 6);
	assert_int_equal(queue_stats(q).dropped, 1);
	queue_close(&q);
}

static void a_full_queue_drops_its_oldest(void **state)
{
	struct queue *q = open_queue(
		"a",
		(struct queue_options){ .batch = 1000, .flush_ms = 3600000, .entries_most = 10 });
	struct queue *small = open_queue(
		"b", (struct queue_options){ .batch = 1000, .flush_ms = 3600000, .bytes_most = 4 });

	(void)state;
	for (int i = 0; i < 100; i++)
		add_number(q, i);
	assert_int_equal(queue_stats(q).entries, 10);
	assert_int_equal(queue_stats(q).dropped, 90);
	for (int i = 10; i < 15; i++)
		add_number(small, i);
	assert_int_equal(queue_stats(small).bytes, 4);
	assert_false(queue_add(small, STR("12345")));
	queue_close(&q);
	queue_close(&small);
	background_stop(10000);
	assert_int_equal(sink.sum, 90 + 91 + 92 + 93 + 94 + 95 + 96 + 97 + 98 + 99 + 13 + 14);
}

/* Refuses odd numbers. */
static struct err *send_even(const void *conf, const str *v, size_t n, size_t *ret_refused)
{
	str even[16];
	size_t kept = 0;

	assert_true(n <= COUNT(even));
	for (size_t i = 0; i < n; i++) {
		if ((v[i].s[v[i].n - 1] - '0') % 2)
			++*ret_refused;
		else
			even[kept++] = v[i];
	}
	return send_to_sink(conf, even, kept);
}

static void what_is_refused_is_dropped_alone(void **state)
{
	struct queue *q = open_queue("refused", (struct queue_options){
							.batch = 8,
							.flush_ms = 60000,
							.attempts = 2,
							.delay_unit_ms = 1,
							.send_each = send_even,
						});
	const struct timespec ms = { 0, 1000000 };

	(void)state;
	sink.failures = 1;
	for (int64_t i = 0; i < 8; i++)
		add_number(q, i);
	await(&sink.entries, 4);
	for (int i = 0; i < 20000 && !queue_stats(q).sent; i++)
		nanosleep(&ms, NULL);
	assert_int_equal(queue_stats(q).sent, 4);
	assert_int_equal(queue_stats(q).dropped, 4);
	assert_int_equal(sink.sum, 0 + 2 + 4 + 6);
	queue_close(&q);
	background_stop(10000);
}

static void the_same_key_is_the_same_queue(void **state)
{
	struct queue_options o = { .batch = 10, .flush_ms = 3600000 };
	struct queue *q = open_queue("a", o), *again = open_queue("a", o),
		     *other = open_queue("b", o);

	(void)state;
	assert_ptr_equal(q, again);
	assert_ptr_not_equal(q, other);
	assert_int_equal(sink.made, 2);
	add_number(q, 1);
	queue_close(&q); /* the configuration changed, this part of it did not */
	add_number(again, 2);
	assert_int_equal(queue_stats(again).entries, 2);
	queue_close(&again);
	queue_close(&other);
}

static void the_end_does_not_wait_for_a_sink_that_is_down(void **state)
{
	struct queue *q = open_queue("a", (struct queue_options){ .attempts = 1000 });
	int64_t start;

	(void)state;
	sink.failures = -1;
	for (int i = 0; i < 50; i++)
		add_number(q, i);
	await(&sink.calls, 1);
	start = clock_mono_ms();
	background_stop(60000);
	assert_true(clock_mono_ms() - start < 30000);
	assert_int_equal(sink.entries, 0);
	assert_int_equal(queue_stats(q).dropped, 50);
	assert_int_equal(queue_stats(q).bytes, 0);
	queue_close(&q);
}

static void the_end_does_not_wait_for_a_sink_that_hangs(void **state)
{
	struct queue *q = open_queue("a", (struct queue_options){ .senders = 2 });

	(void)state;
	sink.took_ms = 3600000;
	for (int i = 0; i < 5; i++)
		add_number(q, i);
	await(&sink.calls, 2);
	background_stop(50);
	assert_int_equal(queue_stats(q).bytes, 0);
	assert_int_equal(queue_stats(q).dropped, 5);
	queue_close(&q);
}

#define THREADS 4
#define EACH    5000

static void *feed(void *p)
{
	struct queue_options o = { .batch = 64, .flush_ms = 5, .senders = 3 };

	(void)p;
	for (int i = 0; i < EACH; i++) {
		struct queue *q = open_queue("shared", o); /* as snapshots come and go */

		add_number(q, i);
		queue_close(&q);
	}
	return NULL;
}

static void nothing_is_lost_among_many_threads(void **state)
{
	struct queue *q = open_queue(
		"shared", (struct queue_options){ .batch = 64, .flush_ms = 5, .senders = 3 });
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, feed, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	await(&sink.entries, THREADS * EACH);
	assert_int_equal(sink.sum, (int64_t)THREADS * EACH * (EACH - 1) / 2);
	queue_close(&q);
}

static size_t ticks;

static void tick(void *p)
{
	pthread_mutex_lock(&sink.lock);
	assert_string_equal(p, "arg");
	ticks++;
	pthread_mutex_unlock(&sink.lock);
}

static void a_timer_comes_again_until_the_end(void **state)
{
	static char arg[] = "arg";
	size_t n;

	(void)state;
	timer_every("tick", 1, tick, arg);
	await_least(&ticks, 3);
	background_stop(1000);
	n = ticks;
	timer_every("tick", 1, tick, arg); /* nobody runs it */
	assert_int_equal(ticks, n);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_batch_goes_off),
		TEST(a_batch_that_nothing_is_added_to_goes_off),
		TEST(a_failed_batch_is_tried_again),
		TEST(a_batch_that_always_fails_is_dropped_and_the_next_one_comes),
		TEST(a_full_queue_drops_its_oldest),
		TEST(what_is_refused_is_dropped_alone),
		TEST(the_same_key_is_the_same_queue),
		TEST(the_end_does_not_wait_for_a_sink_that_is_down),
		TEST(the_end_does_not_wait_for_a_sink_that_hangs),
		TEST(nothing_is_lost_among_many_threads),
		TEST(a_timer_comes_again_until_the_end),
	};

	log_set_level(LOG_EMERG_);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
