/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds per pick: an IP, and each algorithm over resolved targets.
 *
 *	ninja -C build bench/micro/bench_balance && build/bench/micro/bench_balance */
#include "balance/balance.h"

#include "base/clock.h"
#include <stdio.h>

#define ROUNDS  1000000
#define REPEATS 7
#define BUILDS  10000

static double best_ns(struct balancer *b, struct arena *a, const struct balance_input *in,
		      int rounds)
{
	double best = 1e9;

	for (int repeat = 0; repeat < REPEATS; repeat++) {
		int64_t started = clock_mono_us();

		for (int i = 0; i < rounds; i++) {
			struct pick pick;

			memset(&pick, 0, sizeof(pick));
			balance_pick(b, a, in, DEADLINE_NEVER, &pick);
			balance_report(b, &pick, TRY_ANSWERED, 200);
			balance_done(b, &pick);
		}
		double ns = (double)(clock_mono_us() - started) * 1000 / rounds;

		best = ns < best ? ns : best;
	}
	return best;
}

static void run_algorithm(struct arena *a, struct balance_store *s, const char *algorithm, int n)
{
	struct upstream *u = NEW(a, struct upstream);
	const struct target **targets = NEWS(a, const struct target *, (size_t)n);
	struct balance_input in = { .client_ip = STR("192.0.2.7") };
	int64_t started, built_us;
	struct balancer *b;

	u->name = STR("pool");
	u->algorithm = str_of(algorithm);
	u->hash_on = STR("ip");
	u->slots = 10000;
	for (int i = 0; i < n; i++) {
		struct target *t = NEW(a, struct target);

		t->target = str_fmt(a, "10.0.%d.%d:80", i >> 8, i & 255);
		t->weight = 100 + i % 100;
		targets[i] = t;
	}
	started = clock_mono_us();
	b = balancer_of_upstream(a, s, u, targets, (size_t)n);
	built_us = clock_mono_us() - started;
	printf("%-20s %5d targets %9.1f ns, built in %6.1f ms\n", algorithm, n,
	       best_ns(b, a, &in, n > 1000 ? ROUNDS / 100 : ROUNDS), (double)built_us / 1000);
}

/* A snapshot with ten thousand upstreams of two targets. */
static void run_builds(struct balance_store *s, const char *algorithm)
{
	struct arena *a = arena_new();
	struct upstream *u = NEWS(a, struct upstream, BUILDS);
	struct target t[2] = { { .target = STR("10.0.0.1:80"), .weight = 100 },
			       { .target = STR("target.example.com:80"), .weight = 100 } };
	const struct target *list[2] = { &t[0], &t[1] };

	for (int again = 0; again < 2; again++) {
		struct arena *snapshot = arena_new();
		int64_t started = clock_mono_us();

		for (int i = 0; i < BUILDS; i++) {
			memcpy(u[i].id.b, &i, sizeof(i));
			u[i].slots = 10000;
			u[i].algorithm = str_of(algorithm);
			u[i].name = STR("pool");
			t[0].upstream = t[1].upstream = u[i].id;
			balancer_of_upstream(snapshot, s, &u[i], list, 2);
		}
		printf("%-20s %d built %s %7.1f ms\n", algorithm, BUILDS, again ? "again" : "new",
		       (double)(clock_mono_us() - started) / 1000);
		arena_drop(&snapshot);
	}
	arena_drop(&a);
}

int main(void)
{
	struct balance_store *s = balance_store_new();
	struct arena *a = arena_new();

	printf("%-20s             %7.1f ns\n", "ip",
	       best_ns(balancer_of_host(a, s, STR("127.0.0.1"), 80), a, NULL, ROUNDS));
	for (int n = 2; n <= 10000; n = n == 98 ? 10000 : n * 7) {
		run_algorithm(a, s, "round-robin", n);
		run_algorithm(a, s, "consistent-hashing", n);
		run_algorithm(a, s, "least-connections", n);
		run_algorithm(a, s, "latency", n);
	}
	arena_drop(&a);
	run_builds(s, "round-robin");
	run_builds(s, "consistent-hashing");
	balance_store_drop(&s);
	return 0;
}
