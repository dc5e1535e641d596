/* SPDX-License-Identifier: Apache-2.0 */
/* Spools in memory and in files. */
#include "serve/spool.h"

#include "fiber/fiber.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define BYTES (1024 * 1024)

static char data[BYTES];
static struct loop *loop;

/* All of it comes out again, in pieces of any size. */
static void expect_all(struct spool *s, size_t most)
{
	uint64_t at = 0;
	char *p;
	ssize_t n;

	while ((n = spool_next(s, most, &p)) > 0) {
		assert_memory_equal(p, data + at, (size_t)n);
		spool_took(s, (size_t)n);
		at += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, BYTES);
}

static void keeps_everything(void *arg)
{
	struct spool s CLEANUP(spool_done);

	(void)arg;
	spool_init(&s, "/tmp", 1, 0);
	for (size_t at = 0; at < BYTES;) {
		size_t n = 1 + (size_t)rand() % 50000;

		if (n > BYTES - at)
			n = BYTES - at;
		assert_null(spool_add(&s, data + at, n));
		at += n;
	}
	assert_int_equal(spool_size(&s), BYTES);
	expect_all(&s, 100000);
	assert_int_equal(spool_left(&s), 0);
	spool_rewind(&s);
	expect_all(&s, 1234567);
	loop_stop(loop);
}

static void refuses_too_much(void *arg)
{
	struct spool s CLEANUP(spool_done);

	(void)arg;
	spool_init(&s, "/tmp", 1, 1000);
	assert_null(spool_add(&s, data, BLOCK_SMALL + 1000));
	assert_non_null(spool_add(&s, data, 1));
	err_forget();
	loop_stop(loop);
}

/* What did not fit is the caller's still, all of it: it may send it by itself. */
static void keeps_nothing_of_a_failure(void *arg)
{
	struct spool s CLEANUP(spool_done);
	char *p;

	(void)arg;
	spool_init(&s, "/nowhere/at/all", 1, 0);
	assert_null(spool_add(&s, data, 100));
	assert_non_null(spool_add(&s, data + 100, BLOCK_SMALL));
	err_forget();
	assert_int_equal(spool_left(&s), 100);
	assert_int_equal(spool_next(&s, BYTES, &p), 100);
	assert_memory_equal(p, data, 100);
	loop_stop(loop);
}

static void tells_of_a_bad_folder(void *arg)
{
	struct spool s CLEANUP(spool_done);

	(void)arg;
	spool_init(&s, "/nowhere/at/all", 1, 0);
	assert_null(spool_add(&s, data, BLOCK_SMALL));
	assert_non_null(spool_add(&s, data, 1));
	err_forget();
	loop_stop(loop);
}

static void (*scene)(void *);

static void start(void *p)
{
	(void)p;
	fiber_start("test", scene, NULL);
}

static void run(void (*fn)(void *))
{
	scene = fn;
	assert_null(loop_new("test", 0, &loop));
	assert_null(offload_start(1));
	loop_post(loop, start, NULL);
	loop_run(loop);
	loop_drop(&loop);
	offload_stop();
	block_trim();
}

static void bytes_beyond_memory_come_back_in_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < BYTES; i++)
		data[i] = (char)rand();
	run(keeps_everything);
}

static void a_full_spool_refuses(void **state)
{
	(void)state;
	run(refuses_too_much);
}

static void a_failed_addition_leaves_the_spool_as_it_was(void **state)
{
	(void)state;
	run(keeps_nothing_of_a_failure);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
	(void)state;
	run(tells_of_a_bad_folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_beyond_memory_come_back_in_order),
		cmocka_unit_test(a_full_spool_refuses),
		cmocka_unit_test(a_failed_addition_leaves_the_spool_as_it_was),
		cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
