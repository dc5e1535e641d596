/* SPDX-License-Identifier: Apache-2.0 */
/* Health: what is counted, what a count changes, who is told, what lasts. */
#include "balance/priv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <cmocka.h>

/* ---- the state machine ------------------------------------------------------------ */

/* s: success, h: bad status, t: failed connection, o: timeout; limits 2, 3, 2, 2. */
static uint64_t after(uint64_t health, const char *events)
{
	static const char letters[] = "shto";
	static const unsigned limits[] = { 2, 3, 2, 2 };

	for (; *events; events++) {
		unsigned what = (unsigned)(strchr(letters, *events) - letters);

		health = health_after(health, what, limits[what]);
	}
	return health;
}

static void counts_change_the_state_at_their_limits(void **state)
{
	static const struct {
		const char *events;
		bool is_up;
	} rows[] = {
		{ "", true },         { "hh", true },
		{ "hhh", false },     { "tt", false },
		{ "oo", false },      { "hto", true }, /* kinds do not add up */
		{ "htht", false },                     /* nor do they forget each other */
		{ "hhshh", true },                     /* a success forgets */
		{ "ssssshh", true },                   /* and cannot be saved up */
		{ "hhhs", false },    { "hhhss", true },
		{ "hhhsts", false },                            /* a failure forgets successes */
		{ "hhhstss", true },  { "hhhhhhhhhhss", true }, /* confirmations are not counted */
		{ "ttssh", true },    { "ttsshh", true },
		{ "ttsshhh", false },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++)
		if (health_is_up(after(0, rows[i].events)) != rows[i].is_up)
			fail_msg("after \"%s\"", rows[i].events);
}

static void what_has_no_limit_changes_nothing(void **state)
{
	(void)state;
	for (unsigned what = 0; what < 4; what++) {
		uint64_t seen = after(0, "h");

		assert_true(health_after(seen, what, 0) == seen);
	}
}

static void a_count_stops_at_its_ceiling(void **state)
{
	uint64_t health = 0;

	(void)state;
	for (int i = 0; i < 254; i++)
		health = health_after(health, HEALTH_TCP_FAILURE, 255);
	assert_true(health_is_up(health));
	health = health_after(health, HEALTH_HTTP_FAILURE, 255); /* does not touch the other */
	health = health_after(health, HEALTH_TCP_FAILURE, 255);
	assert_false(health_is_up(health));
	for (int i = 0; i < 300; i++) /* a limit that came down leaves a count above it */
		health = health_after(health, HEALTH_SUCCESS, 255);
	assert_true(health_is_up(health));
}

/* ---- a world ------------------------------------------------------------------------- */

static _Atomic int64_t now_ms;

static enum dns_result resolve(struct arena *a, str name, deadline until, struct dns_answer **ret,
			       size_t *ret_n, deadline *ret_expires, const char **ret_text)
{
	(void)until;
	if (!str_is(name, "two.test")) {
		*ret_text = "dns server error: 3 name error";
		return DNS_NOT_FOUND;
	}
	*ret_n = 2;
	*ret = NEWS(a, struct dns_answer, 2);
	for (int i = 0; i < 2; i++) {
		assert_true(
			address_parse_ip(str_fmt(a, "10.0.0.%d", i + 1), 0, &(*ret)[i].address));
		(*ret)[i].weight = 1;
	}
	*ret_expires = now_ms + 3600000;
	return DNS_OK;
}

static int64_t now(void)
{
	return now_ms;
}

static const struct balance_sources sources = { .resolve = resolve, .now_ms = now };

struct world {
	struct arena *a;
	struct balance_store *store;
	struct upstream upstream;
	struct target targets[4];
	const struct target *list[4];
	size_t n;
	struct balancer *b;
};

static int64_t good[] = { 200, 302 }, bad[] = { 429, 500, 502, 503 };

static void world_init(struct world *w)
{
	struct passive_checks *p = &w->upstream.healthchecks.passive;

	memset(w, 0, sizeof(*w));
	now_ms = 1000000;
	w->a = arena_new();
	w->store = balance_store_new_with(&sources);
	w->upstream.id.b[0] = 7;
	w->upstream.name = STR("pool");
	w->upstream.algorithm = STR("round-robin");
	w->upstream.hash_on = w->upstream.hash_fallback = STR("none");
	w->upstream.slots = 100;
	p->healthy.successes = 2;
	p->healthy.http_statuses = (struct ints){ good, COUNT(good) };
	p->unhealthy.http_statuses = (struct ints){ bad, COUNT(bad) };
	p->unhealthy.http_failures = 2;
	p->unhealthy.tcp_failures = 1;
	p->unhealthy.timeouts = 3;
}

static void add_target(struct world *w, const char *target, int64_t weight)
{
	w->targets[w->n] = (struct target){
		.upstream = w->upstream.id,
		.target = str_of(target),
		.weight = weight,
	};
	w->list[w->n] = &w->targets[w->n];
	w->n++;
}

static void build(struct world *w)
{
	w->b = balancer_of_upstream(w->a, w->store, &w->upstream, w->list, w->n);
}

static void world_done(struct world *w)
{
	arena_drop(&w->a);
	balance_store_drop(&w->store);
}

/* One request with one outcome; the port it went to, or 0. */
static int request(struct world *w, enum try_outcome how, int status)
{
	struct pick pick = { 0 };
	int port = 0;

	if (balance_pick(w->b, w->a, &(struct balance_input){ 0 }, DEADLINE_NEVER, &pick) ==
	    PICK_OK) {
		port = pick.port;
		balance_report(w->b, &pick, how, status);
	}
	balance_done(w->b, &pick);
	return port;
}

static int served_by(struct world *w, int requests, int port)
{
	int n = 0;

	while (requests-- > 0)
		n += request(w, TRY_ANSWERED, 404) == port; /* a status that says nothing */
	return n;
}

static void mark(struct world *w, const char *target, const char *address, bool is_healthy)
{
	struct balance_mark m =
		balance_mark_of(w->a, w->upstream.id, str_of(target), str_of(address), is_healthy);

	assert_null(balance_mark(w->store, &m));
}

static const char *health_of(struct world *w, const char *target)
{
	struct value *data;

	return balancer_target_health(w->a, w->b, str_of(target), &data);
}

/* ---- passive checks ----------------------------------------------------------------------- */

static void outcomes_count_by_their_kind(void **state)
{
	static const struct {
		enum try_outcome how;
		int status, until; /* how many take the target out; 0: never */
	} rows
		[] = {
			{ TRY_CONNECT_FAILED, 0, 1 }, { TRY_BROKEN, 0, 1 },
			{ TRY_TIMED_OUT, 0, 3 },      { TRY_TIMED_OUT, 504, 3 },
			{ TRY_ANSWERED, 504, 3 }, /* said by the target, a timeout all the same */
			{ TRY_ANSWERED, 500, 2 },     { TRY_ANSWERED, 200, 0 },
			{ TRY_ANSWERED, 404, 0 },
		};

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++) {
		struct world w CLEANUP(world_done);
		int n = 0;

		world_init(&w);
		add_target(&w, "10.0.0.1:81", 1);
		build(&w);
		while (n < 10 && request(&w, rows[i].how, rows[i].status))
			n++;
		assert_int_equal(n, rows[i].until ? rows[i].until : 10);
	}
}

static void a_last_try_counts_as_what_the_client_is_told(void **state)
{
	struct world w CLEANUP(world_done);

	(void)state;
	world_init(&w);
	w.upstream.healthchecks.passive.unhealthy.tcp_failures = 0;
	add_target(&w, "10.0.0.1:81", 1);
	build(&w);
	for (int i = 0; i < 5; i++)
		assert_int_equal(request(&w, TRY_CONNECT_FAILED, 0), 81);
	assert_int_equal(request(&w, TRY_CONNECT_FAILED, 502), 81);
	assert_int_equal(request(&w, TRY_CONNECT_FAILED, 502), 81);
	assert_int_equal(request(&w, TRY_CONNECT_FAILED, 502), 0);
}

static void without_checks_nothing_is_taken_out(void **state)
{
	struct world w CLEANUP(world_done);

	(void)state;
	world_init(&w);
	w.upstream.healthchecks.passive = (struct passive_checks){ 0 };
	add_target(&w, "10.0.0.1:81", 1);
	build(&w);
	for (int i = 0; i < 300; i++)
		assert_int_equal(request(&w, TRY_CONNECT_FAILED, 502), 81);
	assert_string_equal(health_of(&w, "10.0.0.1:81"), "HEALTHCHECKS_OFF");
}

static void the_rest_serves_when_one_is_out(void **state)
{
	static const char *const algorithms[] = { "round-robin", "least-connections", "latency",
						  "consistent-hashing" };

	(void)state;
	for (unsigned i = 0; i < COUNT(algorithms); i++) {
		struct world w CLEANUP(world_done);

		world_init(&w);
		w.upstream.algorithm = str_of(algorithms[i]);
		add_target(&w, "10.0.0.1:81", 1);
		add_target(&w, "10.0.0.1:82", 3);
		build(&w);
		mark(&w, "10.0.0.1:81", "", false);
		assert_int_equal(served_by(&w, 20, 82), 20);
		mark(&w, "10.0.0.1:81", "", true);
		mark(&w, "10.0.0.1:82", "", false);
		assert_int_equal(served_by(&w, 20, 81), 20);
		mark(&w, "10.0.0.1:82", "", true);
		if (i == 0)
			assert_int_equal(served_by(&w, 20, 81), 5); /* the shares are exact again */
	}
}

static void below_the_threshold_nothing_is_served(void **state)
{
	struct world w CLEANUP(world_done);

	(void)state;
	world_init(&w);
	w.upstream.healthchecks.threshold = 50;
	add_target(&w, "10.0.0.1:81", 50);
	add_target(&w, "10.0.0.1:82", 49);
	add_target(&w, "10.0.0.1:83", 1);
	build(&w);
	mark(&w, "10.0.0.1:82", "", false);
	assert_int_equal(served_by(&w, 4, 0), 0);
	mark(&w, "10.0.0.1:83", "", false); /* 50 of 100 is not above 50 */
	assert_int_equal(served_by(&w, 4, 0), 4);
	assert_true(str_is(value_get(balancer_health(w.a, w.b), "health")->s, "UNHEALTHY"));
	assert_string_equal(health_of(&w, "10.0.0.1:81"), "HEALTHY");
	mark(&w, "10.0.0.1:83", "", true);
	assert_int_equal(served_by(&w, 4, 0), 0);
	assert_true(str_is(value_get(balancer_health(w.a, w.b), "health")->s, "HEALTHY"));
}

/* ---- marks ------------------------------------------------------------------------------------ */

static void a_mark_means_an_address_or_all_of_them(void **state)
{
	struct world w CLEANUP(world_done);
	struct value *data;

	(void)state;
	world_init(&w);
	add_target(&w, "two.test:90", 10);
	add_target(&w, "[::1]:91", 10);
	build(&w);
	balancer_learn(w.b, w.a, DEADLINE_NEVER);
	mark(&w, "two.test:90", "10.0.0.2:90", false);
	assert_string_equal(balancer_target_health(w.a, w.b, STR("two.test:90"), &data), "HEALTHY");
	assert_int_equal(value_get(value_get(data, "weight"), "unavailable")->i, 10);
	mark(&w, "two.test:90", "10.0.0.1", false); /* its port would be 8000 */
	assert_string_equal(health_of(&w, "two.test:90"), "HEALTHY");
	mark(&w, "two.test:90", "", false);
	assert_string_equal(health_of(&w, "two.test:90"), "UNHEALTHY");
	mark(&w, "two.test:90", "10.0.0.1:90", true);
	assert_string_equal(health_of(&w, "two.test:90"), "HEALTHY");
	mark(&w, "[::1]:91", "[::1]:91", false);
	assert_string_equal(health_of(&w, "[::1]:91"), "UNHEALTHY");
	mark(&w, "[::1]:91", "", true);
	assert_string_equal(health_of(&w, "[::1]:91"), "HEALTHY");
	mark(&w, "none.test:1", "", false); /* nobody's, and well */
}

static void a_mark_begins_the_counts_anew(void **state)
{
	struct world w CLEANUP(world_done);

	(void)state;
	world_init(&w);
	add_target(&w, "10.0.0.1:81", 1);
	build(&w);
	request(&w, TRY_ANSWERED, 500);
	mark(&w, "10.0.0.1:81", "", true);
	assert_int_equal(request(&w, TRY_ANSWERED, 500), 81);
	assert_int_equal(request(&w, TRY_ANSWERED, 500), 81);
	assert_int_equal(request(&w, TRY_ANSWERED, 500), 0);
}

static void a_mark_needs_checks(void **state)
{
	struct world w CLEANUP(world_done);
	struct balance_mark m;
	struct err *e;

	(void)state;
	world_init(&w);
	m = balance_mark_of(w.a, w.upstream.id, STR("10.0.0.1:81"), STR(""), false);
	e = balance_mark(w.store, &m);
	assert_non_null(e);
	assert_int_equal(e->code, ERR_INVALID);
	w.upstream.healthchecks.passive = (struct passive_checks){ 0 };
	add_target(&w, "10.0.0.1:81", 1);
	build(&w);
	e = balance_mark(w.store, &m);
	assert_non_null(e);
	assert_string_equal(e->text, "no healthchecker found for pool");
	err_forget();
}

/* ---- what lasts ---------------------------------------------------------------------------------- */

/* What the next worker finds of the first of two targets. */
static const char *health_after_worker(int fd, const char *target)
{
	struct world w CLEANUP(world_done);

	world_init(&w);
	balance_keep_health(w.store, fd);
	add_target(&w, "10.0.0.1:81", 1);
	add_target(&w, "[::1]:82", 1);
	build(&w);
	return health_of(&w, target);
}

static void health_outlives_the_worker(void **state)
{
	struct world w CLEANUP(world_done);
	int fd = memfd_create("health", MFD_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_string_equal(health_after_worker(fd, "10.0.0.1:81"), "HEALTHY"); /* the first one */
	world_init(&w);
	balance_keep_health(w.store, fd);
	add_target(&w, "10.0.0.1:81", 1);
	add_target(&w, "[::1]:82", 1);
	build(&w);
	mark(&w, "10.0.0.1:81", "", false);
	assert_string_equal(health_after_worker(fd, "10.0.0.1:81"), "UNHEALTHY");
	assert_string_equal(health_after_worker(fd, "[::1]:82"), "HEALTHY");
	mark(&w, "10.0.0.1:81", "", true);
	mark(&w, "[::1]:82", "", false);
	assert_string_equal(health_after_worker(fd, "10.0.0.1:81"), "HEALTHY");
	assert_string_equal(health_after_worker(fd, "[::1]:82"), "UNHEALTHY");
	for (int i = 0; i < 2; i++) { /* counted: written by the tick */
		while (request(&w, TRY_ANSWERED, 500) != 81)
			;
	}
	balance_store_tick(w.store);
	assert_string_equal(health_after_worker(fd, "10.0.0.1:81"), "UNHEALTHY");
	assert_int_equal(pwrite(fd, "x", 1, 20), 1); /* a writer that died in the middle */
	assert_string_equal(health_after_worker(fd, "10.0.0.1:81"), "HEALTHY");
	close(fd);
}

static void health_outlives_snapshots_and_targets_that_come_back(void **state)
{
	struct world w CLEANUP(world_done);
	struct world v;

	(void)state;
	world_init(&w);
	add_target(&w, "10.0.0.1:81", 1);
	add_target(&w, "10.0.0.1:82", 1);
	for (int round = 0; round < 4; round++) {
		v = w;
		v.a = arena_new();
		v.n = round == 2 ? 1 : 2; /* once without the second */
		build(&v);
		if (round == 0)
			mark(&v, "10.0.0.1:82", "", false);
		assert_int_equal(served_by(&v, 10, 81), 10);
		arena_drop(&v.a);
		now_ms += 100000;
		for (int tick = 0; tick < 16; tick++)
			balance_store_tick(w.store);
	}
	now_ms += 301000;
	for (int tick = 0; tick < 16; tick++)
		balance_store_tick(w.store);
	build(&w);
	assert_int_equal(served_by(&w, 10, 81), 5);
}

static void checks_that_are_switched_off_forget(void **state)
{
	struct world w CLEANUP(world_done);
	struct passive_checks passive;

	(void)state;
	world_init(&w);
	passive = w.upstream.healthchecks.passive;
	add_target(&w, "10.0.0.1:81", 1);
	build(&w);
	mark(&w, "10.0.0.1:81", "", false);
	w.upstream.healthchecks.passive = (struct passive_checks){ 0 };
	build(&w);
	assert_int_equal(served_by(&w, 4, 81), 4);
	w.upstream.healthchecks.passive = passive;
	build(&w);
	assert_int_equal(served_by(&w, 4, 81), 4);
}

/* ---- probes ----------------------------------------------------------------------------------------- */

static void probes_bring_back_what_requests_took_out(void **state)
{
	struct world w CLEANUP(world_done);
	struct probed *v;
	struct balancer *b;

	(void)state;
	world_init(&w);
	w.upstream.healthchecks.active.healthy =
		(struct health_side){ .successes = 2, .http_statuses = { good, COUNT(good) } };
	w.upstream.healthchecks.active.unhealthy = (struct health_side){ .http_failures = 2 };
	add_target(&w, "10.0.0.1:81", 1);
	add_target(&w, "10.0.0.1:82", 1);
	build(&w);
	b = balancer_for_health(w.a, w.store, &w.upstream, w.list, w.n);
	assert_int_equal(balancer_to_probe(w.a, b, true, &v), 2);
	balancer_probes_done(b, v, 2);
	mark(&w, "10.0.0.1:82", "", false);
	assert_int_equal(served_by(&w, 10, 81), 10);
	assert_int_equal(balancer_to_probe(w.a, b, false, &v), 1);
	assert_int_equal(v[0].port, 82);
	assert_int_equal(address_port(&v[0].address), 82);
	balancer_probed(b, &v[0], TRY_ANSWERED, 200);
	assert_int_equal(served_by(&w, 10, 81), 10);
	balancer_probed(b, &v[0], TRY_ANSWERED, PROBE_CONNECTED);
	assert_int_equal(served_by(&w, 10, 81), 5);
	balancer_probed(b, &v[0], TRY_ANSWERED, 0); /* no HTTP */
	balancer_probed(b, &v[0], TRY_ANSWERED, 0);
	balancer_probes_done(b, v, 1);
	assert_int_equal(served_by(&w, 10, 81), 10);
}

/* ---- threads ------------------------------------------------------------------------------------------- */

struct crowd {
	struct world w;
	atomic_int out; /* requests that found nobody */
	atomic_bool is_over;
};

static void *ask(void *p)
{
	struct crowd *c = p;
	struct world w = c->w;

	w.a = arena_new();
	for (int i = 0; i < 20000; i++) {
		int status = i / 100 % 2 ? 500 : 200;

		if (!request(&w, TRY_ANSWERED, status))
			atomic_fetch_add(&c->out, 1);
	}
	arena_drop(&w.a);
	return NULL;
}

static void *heal(void *p)
{
	struct crowd *c = p;
	struct world w = c->w;

	w.a = arena_new();
	while (!atomic_load(&c->is_over))
		mark(&w, "10.0.0.1:81", "", true);
	arena_drop(&w.a);
	return NULL;
}

static void threads_agree_on_what_is_healthy(void **state)
{
	struct crowd c = { .is_over = false };
	struct world *w = &c.w;
	pthread_t threads[4];

	(void)state;
	world_init(w);
	add_target(w, "10.0.0.1:81", 1);
	add_target(w, "10.0.0.1:82", 1);
	build(w);
	pthread_create(&threads[3], NULL, heal, &c);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, ask, &c);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&c.is_over, true);
	pthread_join(threads[3], NULL);
	mark(w, "10.0.0.1:81", "", false);
	mark(w, "10.0.0.1:82", "", true);
	assert_int_equal(served_by(w, 10, 82), 10);
	mark(w, "10.0.0.1:82", "", false);
	assert_int_equal(served_by(w, 10, 0), 10);
	world_done(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_change_the_state_at_their_limits),
		cmocka_unit_test(what_has_no_limit_changes_nothing),
		cmocka_unit_test(a_count_stops_at_its_ceiling),
		cmocka_unit_test(outcomes_count_by_their_kind),
		cmocka_unit_test(a_last_try_counts_as_what_the_client_is_told),
		cmocka_unit_test(without_checks_nothing_is_taken_out),
		cmocka_unit_test(the_rest_serves_when_one_is_out),
		cmocka_unit_test(below_the_threshold_nothing_is_served),
		cmocka_unit_test(a_mark_means_an_address_or_all_of_them),
		cmocka_unit_test(a_mark_begins_the_counts_anew),
		cmocka_unit_test(a_mark_needs_checks),
		cmocka_unit_test(health_outlives_snapshots_and_targets_that_come_back),
		cmocka_unit_test(checks_that_are_switched_off_forget),
		cmocka_unit_test(health_outlives_the_worker),
		cmocka_unit_test(probes_bring_back_what_requests_took_out),
		cmocka_unit_test(threads_agree_on_what_is_healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
