/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: what loops count apart is one number in the text. */
#include "observe/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <pthread.h>

enum { HITS, TIMES, PLAIN, FAMILIES };

static const int64_t bounds[] = { 1, 5, 20 };

/* clang-format off */
static const struct metric_family families[FAMILIES] = {
	[HITS]  = { .name = "hits",  .help = "Hits.",  .type = METRIC_COUNTER,   .labels = { "route", "code" } },
	[TIMES] = { .name = "times", .help = "Times.", .type = METRIC_HISTOGRAM, .labels = { "route" }, .bounds = bounds, .n_bounds = 3 },
	[PLAIN] = { .name = "plain", .help = "Plain.", .type = METRIC_GAUGE },
};
/* clang-format on */

static void expect(const struct metrics *m, size_t family, const char *want)
{
	struct buf out CLEANUP(buf_done);

	buf_init(&out, 0);
	metrics_write(m, family, &out);
	buf_add_char(&out, 0);
	assert_string_equal(out.data, want);
}

static void loops_are_summed_and_series_sorted(void **state)
{
	struct metrics *m CLEANUP(metrics_drop) = metrics_new(families, FAMILIES, 2, 1 << 20);
	const str a200[] = { STR("a"), STR("200") }, a404[] = { STR("a"), STR("404") };
	const str b200[] = { STR("b"), STR("200") };

	(void)state;
	expect(m, HITS, "");
	metrics_add(m, 1, HITS, b200, 1);
	metrics_add(m, 0, HITS, a404, 3);
	metrics_add(m, 0, HITS, a200, 1);
	metrics_add(m, 1, HITS, a200, 41);
	expect(m, HITS,
	       "# HELP hits Hits.\n# TYPE hits counter\n"
	       "hits{route=\"a\",code=\"200\"} 42\n"
	       "hits{route=\"a\",code=\"404\"} 3\n"
	       "hits{route=\"b\",code=\"200\"} 1\n");
}

static void labels_that_meet_at_their_ends_are_not_the_same(void **state)
{
	struct metrics *m CLEANUP(metrics_drop) = metrics_new(families, FAMILIES, 1, 1 << 20);
	const str one[] = { STR("a"), STR("bc") }, other[] = { STR("ab"), STR("c") };
	const str empty[] = { STR_NONE, STR("abc") };

	(void)state;
	metrics_add(m, 0, HITS, one, 1);
	metrics_add(m, 0, HITS, other, 2);
	metrics_add(m, 0, HITS, empty, 3);
	expect(m, HITS,
	       "# HELP hits Hits.\n# TYPE hits counter\n"
	       "hits{route=\"\",code=\"abc\"} 3\n"
	       "hits{route=\"a\",code=\"bc\"} 1\n"
	       "hits{route=\"ab\",code=\"c\"} 2\n");
}

static void buckets_are_cumulative_and_include_their_bound(void **state)
{
	static const int64_t seen[] = { 0, 1, 2, 5, 6, 20, 21, 1000 };
	struct metrics *m CLEANUP(metrics_drop) = metrics_new(families, FAMILIES, 2, 1 << 20);
	const str a[] = { STR("a") };

	(void)state;
	for (size_t i = 0; i < sizeof(seen) / sizeof(*seen); i++)
		metrics_observe(m, (int)(i % 2), TIMES, a, seen[i]);
	expect(m, TIMES,
	       "# HELP times Times.\n# TYPE times histogram\n"
	       "times_bucket{route=\"a\",le=\"1\"} 2\n"
	       "times_bucket{route=\"a\",le=\"5\"} 4\n"
	       "times_bucket{route=\"a\",le=\"20\"} 6\n"
	       "times_bucket{route=\"a\",le=\"+Inf\"} 8\n"
	       "times_count{route=\"a\"} 8\n"
	       "times_sum{route=\"a\"} 1055\n");
}

static void labels_are_escaped_and_end_where_they_are_no_text(void **state)
{
	struct metrics *m CLEANUP(metrics_drop) = metrics_new(families, FAMILIES, 1, 1 << 20);
	const str odd[] = { STR("a\"\\\n\xc3\xa4\xff behind"), STR("2\0 00") };

	(void)state;
	metrics_add(m, 0, HITS, odd, 1);
	expect(m, HITS,
	       "# HELP hits Hits.\n# TYPE hits counter\n"
	       "hits{route=\"a\\\"\\\\\\n\xc3\xa4\",code=\"2\"} 1\n");
}

static void a_value_without_labels_is_one_word_and_a_number(void **state)
{
	struct buf out CLEANUP(buf_done);

	(void)state;
	buf_init(&out, 0);
	metric_write_head(&families[PLAIN], &out);
	metric_write_line(&families[PLAIN], NULL, -7, &out);
	buf_add_char(&out, 0);
	assert_string_equal(out.data, "# HELP plain Plain.\n# TYPE plain gauge\nplain -7\n");
}

static void what_does_not_fit_is_counted_as_lost(void **state)
{
	struct metrics *m CLEANUP(metrics_drop) = metrics_new(families, FAMILIES, 1, 4096);
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct buf out CLEANUP(buf_done);

	(void)state;
	buf_init(&out, 0);
	for (int i = 0; i < 1000; i++) {
		const str labels[] = { str_fmt(a, "route-%d", i), STR("200") };

		metrics_add(m, 0, HITS, labels, 1);
		metrics_add(m, 0, HITS, labels, 1);
	}
	metrics_write(m, HITS, &out);
	assert_true(metrics_lost(m) > 1000);
	assert_true(out.n < 4096 * 2);
	assert_true(str_find_str(buf_str(&out), STR("route=\"route-0\",code=\"200\"} 2\n")) > 0);
}

/* ---- while others count -------------------------------------------------------------------- */

enum { EACH = 20000, ROUTES = 500 };

struct work {
	struct metrics *m;
	int loop;
};

static void *count(void *p)
{
	struct work *w = p;
	struct arena *a CLEANUP(arena_drop) = arena_new();

	for (int i = 0; i < EACH; i++) {
		const str labels[] = { str_fmt(a, "%d", i % ROUTES), STR("200") };

		metrics_add(w->m, w->loop, HITS, labels, 1);
		metrics_observe(w->m, w->loop, TIMES, labels, i % 30);
	}
	return NULL;
}

static void nothing_is_lost_while_others_read(void **state)
{
	struct metrics *m CLEANUP(metrics_drop) = metrics_new(families, FAMILIES, 2, 16 << 20);
	struct work work[2] = { { m, 0 }, { m, 1 } };
	pthread_t threads[2];
	struct buf out CLEANUP(buf_done);
	int lines = 0;

	(void)state;
	buf_init(&out, 0);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, count, &work[i]);
	for (int i = 0; i < 20; i++) {
		buf_clear(&out);
		metrics_write(m, HITS, &out);
		metrics_write(m, TIMES, &out);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	buf_clear(&out);
	metrics_write(m, HITS, &out);
	for (str rest = buf_str(&out), line; str_next(&rest, '\n', &line) && line.n;) {
		if (line.s[0] == '#')
			continue;
		assert_true(str_ends(line, STR("} 80")));
		lines++;
	}
	assert_int_equal(lines, ROUTES);
	assert_int_equal(metrics_lost(m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loops_are_summed_and_series_sorted),
		cmocka_unit_test(labels_that_meet_at_their_ends_are_not_the_same),
		cmocka_unit_test(buckets_are_cumulative_and_include_their_bound),
		cmocka_unit_test(labels_are_escaped_and_end_where_they_are_no_text),
		cmocka_unit_test(a_value_without_labels_is_one_word_and_a_number),
		cmocka_unit_test(what_does_not_fit_is_counted_as_lost),
		cmocka_unit_test(nothing_is_lost_while_others_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
