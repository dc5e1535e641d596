/* SPDX-License-Identifier: Apache-2.0 */
/* shelf: what was put is taken down whole, and never more is kept than may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/shelf.h"
#include <pthread.h>
#include <stdio.h>

#define KB ((size_t)1024)

static str key_of(int i, char text[16])
{
	return str_at(text, (size_t)snprintf(text, 16, "key-%d", i));
}

/* n bytes that tell of which key and which edition they are. */
static struct parcel *made(int i, int edition, size_t n)
{
	char key[16], piece[32];
	struct parcel *p = parcel_new(key_of(i, key), 0);
	size_t size = (size_t)snprintf(piece, sizeof(piece), "%08d:%08d;", i, edition);

	for (size_t k = 0; k < n; k += size)
		parcel_add(&p, str_at(piece, size));
	return p;
}

/* Is it of that key, and all of one edition? */
static bool is_whole(const struct parcel *p, int i)
{
	str bytes = parcel_bytes(p);
	char begin[16];
	int size = snprintf(begin, sizeof(begin), "%08d:", i);

	if (bytes.n % 18 || !str_starts(bytes, str_at(begin, (size_t)size)))
		return false;
	for (size_t k = 18; k < bytes.n; k += 18) {
		if (memcmp(bytes.s, bytes.s + k, 18) != 0)
			return false;
	}
	return true;
}

static bool put(struct shelf *s, int i, int edition, size_t n, int64_t ends_ms)
{
	struct parcel *p = made(i, edition, n);
	bool is_put = shelf_put(s, &p, ends_ms);

	assert_null(p);
	return is_put;
}

static bool has(struct shelf *s, int i, int64_t now_ms)
{
	char key[16];
	struct parcel *p CLEANUP(parcel_drop) = shelf_take(s, key_of(i, key), now_ms);

	assert_true(!p || is_whole(p, i));
	return p;
}

static void what_was_put_is_taken_until_its_time_is_over(void **state)
{
	struct shelf *s = shelf_new(100 * KB);
	char key[16];

	(void)state;
	assert_true(put(s, 1, 0, 1000, 500));
	assert_true(put(s, 2, 0, 1000, INT64_MAX));
	assert_true(has(s, 1, 499));
	assert_false(has(s, 1, 500));
	assert_false(has(s, 1, 0)); /* it is gone */
	assert_true(has(s, 2, INT64_MAX - 1));
	assert_false(has(s, 3, 0));
	assert_true(shelf_remove(s, key_of(2, key)));
	assert_false(shelf_remove(s, key_of(2, key)));
	assert_int_equal(shelf_bytes(s), 0);
	shelf_drop(&s);
	assert_null(s);
}

static void the_latest_takes_the_place_of_what_had_its_key(void **state)
{
	struct shelf *s = shelf_new(100 * KB);
	char key[16];
	struct parcel *before, *after;
	size_t bytes;

	(void)state;
	put(s, 1, 7, 1000, 10);
	bytes = shelf_bytes(s);
	before = shelf_take(s, key_of(1, key), 0);
	put(s, 1, 8, 1000, 10);
	after = shelf_take(s, key_of(1, key), 0);
	assert_int_equal(shelf_bytes(s), bytes);
	assert_true(is_whole(before, 1) && is_whole(after, 1));
	assert_false(str_eq(parcel_bytes(before), parcel_bytes(after)));
	shelf_clear(s);
	assert_true(is_whole(before, 1) && is_whole(after, 1)); /* they are held */
	parcel_drop(&before);
	shelf_drop(&s);
	assert_true(is_whole(after, 1));
	parcel_drop(&after);
}

static void what_was_used_longest_ago_makes_room(void **state)
{
	struct shelf *s = shelf_new(50 * KB);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(put(s, i, 0, 900, 1));
		assert_true(i == 0 || has(s, 0, 0)); /* which keeps it */
		assert_in_range(shelf_bytes(s), 1, 50 * KB);
	}
	assert_true(has(s, 0, 0));
	assert_true(has(s, 999, 0));
	assert_false(has(s, 1, 0));
	assert_false(has(s, 900, 0));
	shelf_drop(&s);
}

static void nothing_takes_more_than_a_quarter(void **state)
{
	struct shelf *s = shelf_new(40 * KB);

	(void)state;
	assert_int_equal(shelf_parcel_most(s), 10 * KB);
	assert_true(put(s, 1, 0, 9 * KB, 1));
	assert_false(put(s, 1, 1, 11 * KB, 1));
	assert_true(has(s, 1, 0));
	shelf_drop(&s);
}

static void bytes_are_aligned_for_any_type(void **state)
{
	struct parcel *p = parcel_new(STR("odd"), 100);

	(void)state;
	parcel_add(&p, STR("x"));
	assert_int_equal((uintptr_t)parcel_bytes(p).s % _Alignof(max_align_t), 0);
	assert_true(str_is(parcel_key(p), "odd") && str_is(parcel_bytes(p), "x"));
	parcel_drop(&p);
}

/* ---- threads: one writes, the others read, and everything is thrown out again and again ------ */

#define READERS 3
#define KEYS    40
#define ROUNDS  4000

static struct shelf *shared;
static bool is_over;

static void *read_all(void *arg)
{
	unsigned seed = *(unsigned *)arg;
	size_t found = 0;

	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
		struct parcel *held[3];
		char key[16];

		for (int k = 0; k < 3; k++) {
			int i = (int)((seed = seed * 1103515245 + 12345) >> 16) % KEYS;

			held[k] = shelf_take(shared, key_of(i, key), 5);
			if (held[k] && !is_whole(held[k], i))
				return NULL;
			found += held[k] != NULL;
		}
		for (int k = 0; k < 3; k++)
			parcel_drop(&held[k]);
	}
	*(size_t *)arg = found;
	return arg;
}

static void readers_see_whole_parcels_while_others_make_room(void **state)
{
	size_t args[READERS];
	pthread_t threads[READERS];
	unsigned seed = 4711;
	char key[16];

	(void)state;
	shared = shelf_new(60 * KB);
	is_over = false;
	for (int i = 0; i < READERS; i++) {
		args[i] = (size_t)i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, &args[i]), 0);
	}
	for (int round = 0; round < ROUNDS; round++) {
		int i = (int)((seed = seed * 1103515245 + 12345) >> 16) % KEYS;

		put(shared, i, round, 100 + seed % 8000, seed % 10 ? 10 : 3);
		assert_in_range(shelf_bytes(shared), 0, 60 * KB);
		if (round % 50 == 0)
			shelf_remove(shared, key_of(i, key));
		if (round % 500 == 0)
			shelf_clear(shared);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
	for (int i = 0; i < READERS; i++) {
		void *well;

		pthread_join(threads[i], &well);
		assert_non_null(well);
	}
	shelf_drop(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_taken_until_its_time_is_over),
		cmocka_unit_test(the_latest_takes_the_place_of_what_had_its_key),
		cmocka_unit_test(what_was_used_longest_ago_makes_room),
		cmocka_unit_test(nothing_takes_more_than_a_quarter),
		cmocka_unit_test(bytes_are_aligned_for_any_type),
		cmocka_unit_test(readers_see_whole_parcels_while_others_make_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
