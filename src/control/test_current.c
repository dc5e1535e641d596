/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing snapshots while three loops hold them. */
#include "control/current.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define LOOPS     3
#define SNAPSHOTS 200

static struct loop *loops[LOOPS], *control;
static struct current *current;
static int alive;   /* snapshots not freed yet; atomic */
static int is_over; /* atomic */
static int holders[LOOPS];

static void on_end(void *p)
{
	(void)p;
	__atomic_sub_fetch(&alive, 1, __ATOMIC_RELAXED);
}

static struct snapshot *make(void)
{
	struct arena *a = arena_new();
	struct snapshot *s = NEW(a, struct snapshot);

	s->arena = a;
	s->built_ms = 4711;
	__atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED);
	arena_on_end(a, on_end, NULL);
	return s;
}

/* A request that holds a snapshot over a wait, again and again. */
static void hold(void *p)
{
	int i = (int)(intptr_t)p;

	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		struct snapshot *s = current_hold(current, i);

		fiber_sleep(deadline_in(rand() % 3));
		if (!s)
			continue;
		assert_int_equal(s->built_ms, 4711);
		current_release(s, i);
		holders[i]++;
	}
}

static void start_holders(void *p)
{
	for (int k = 0; k < 4; k++)
		fiber_start("hold", hold, p);
}

static void publish_many(void *p)
{
	(void)p;
	for (int i = 0; i < SNAPSHOTS; i++) {
		current_publish(current, make());
		if (i % 10 == 0)
			fiber_sleep(deadline_in(1));
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	fiber_sleep(deadline_in(50));
	for (int i = 0; i < LOOPS; i++)
		loop_stop(loops[i]);
	loop_stop(control);
}

static void start_publishing(void *p)
{
	fiber_start("publish", publish_many, p);
}

static void *run(void *p)
{
	loop_run(p);
	return NULL;
}

static void every_replaced_snapshot_is_freed_when_nobody_holds_it(void **state)
{
	pthread_t threads[LOOPS];

	(void)state;
	assert_null(offload_start(1));
	assert_null(loop_new("control", 0, &control));
	for (int i = 0; i < LOOPS; i++)
		assert_null(loop_new("data", i, &loops[i]));
	current = current_new(loops, LOOPS);
	assert_null(current_peek(current, 0));
	for (int i = 0; i < LOOPS; i++) {
		pthread_create(&threads[i], NULL, run, loops[i]);
		loop_post(loops[i], start_holders, (void *)(intptr_t)i);
	}
	loop_post(control, start_publishing, NULL);
	loop_run(control);
	for (int i = 0; i < LOOPS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(holders[i] > 0);
		loop_drop(&loops[i]);
	}
	loop_drop(&control);
	offload_stop();
	assert_int_equal(__atomic_load_n(&alive, __ATOMIC_RELAXED), 1);
	current_drop(&current);
	assert_int_equal(alive, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_replaced_snapshot_is_freed_when_nobody_holds_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
