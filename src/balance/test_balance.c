/* SPDX-License-Identifier: Apache-2.0 */
/* Balancers: exact shares, equal rings, names that come, change and go. */
#include "balance/balance.h"
#include "balance/xxh32.h"
#include "base/json.h"
#include "http/http.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

/* ---- a DNS and a clock that tests own -------------------------------------------- */

static struct record {
	const char *name, *ips; /* "1.2.3.4,5.6.7.8"; SRV: "1.2.3.4:80/5" is port 80, weight 5 */
	enum dns_result result;
	int64_t ttl_ms;
} records[8];
static _Atomic int64_t now_ms;
static atomic_int questions;
static atomic_uint moves; /* of moving.test: one to three addresses */

static void add_ip(struct dns_answer *answer, struct arena *a, str ip)
{
	ptrdiff_t slash = str_find(ip, '/', 0), colon = str_find(ip, ':', 0);
	int64_t port = 0, weight = 1;

	if (slash > 0) {
		str_to_int(str_from(ip, (size_t)slash + 1), &weight);
		str_to_int(str_part(ip, (size_t)colon + 1, (size_t)slash), &port);
		ip = str_part(ip, 0, (size_t)colon);
		answer->name = str_fmt(a, "srv-" STRF ".test", STRV(ip));
	}
	answer->weight = (uint16_t)weight;
	assert_true(address_parse_ip(ip, (uint16_t)port, &answer->address));
}

static enum dns_result resolve(struct arena *a, str name, deadline until, struct dns_answer **ret,
			       size_t *ret_n, deadline *ret_expires, const char **ret_text)
{
	(void)until;
	questions++;
	if (str_is(name, "moving.test")) {
		*ret_n = 1 + moves % 3;
		*ret = NEWS(a, struct dns_answer, *ret_n);
		for (size_t k = 0; k < *ret_n; k++)
			add_ip(&(*ret)[k], a, str_fmt(a, "10.0.%u.%zu", moves % 200, k + 1));
		*ret_expires = now_ms + 1000;
		return DNS_OK;
	}
	for (unsigned i = 0; i < COUNT(records) && records[i].name; i++) {
		const struct record *r = &records[i];
		strs ips;

		if (!str_is(name, r->name))
			continue;
		if (r->result != DNS_OK) {
			*ret_text = "dns server error: 2 server failure";
			return r->result;
		}
		ips = str_split(a, str_of(r->ips), ',');
		*ret = NEWS(a, struct dns_answer, ips.n);
		*ret_n = ips.n;
		for (size_t k = 0; k < ips.n; k++)
			add_ip(&(*ret)[k], a, ips.v[k]);
		*ret_expires = r->ttl_ms ? now_ms + r->ttl_ms : DNS_EXPIRES_AT_ONCE;
		return DNS_OK;
	}
	*ret_text = "dns server error: 3 name error";
	return DNS_NOT_FOUND;
}

static int64_t now(void)
{
	return now_ms;
}

static const struct balance_sources sources = { .resolve = resolve, .now_ms = now };

/* ---- a world: a store, an upstream, its targets ----------------------------------- */

#define TARGETS_MOST 1000

struct world {
	struct arena *a;
	struct balance_store *store;
	struct upstream upstream;
	struct target *targets;
	const struct target **list;
	size_t n;
};

static void world_done(struct world *w)
{
	arena_drop(&w->a);
	balance_store_drop(&w->store);
}

static void world_init(struct world *w, const char *algorithm)
{
	memset(w, 0, sizeof(*w));
	memset(records, 0, sizeof(records));
	now_ms = 1000000;
	questions = 0;
	w->a = arena_new();
	w->targets = NEWS(w->a, struct target, TARGETS_MOST);
	w->list = NEWS(w->a, const struct target *, TARGETS_MOST);
	w->store = balance_store_new_with(&sources);
	w->upstream.id.b[0] = 1;
	w->upstream.name = STR("pool");
	w->upstream.algorithm = str_of(algorithm);
	w->upstream.hash_on = w->upstream.hash_fallback = STR("none");
	w->upstream.slots = 10000;
}

static void add_target(struct world *w, const char *target, int64_t weight)
{
	assert_true(w->n < TARGETS_MOST);
	w->targets[w->n] = (struct target){
		.upstream = w->upstream.id,
		.target = str_of(target),
		.weight = weight,
	};
	w->list[w->n] = &w->targets[w->n];
	w->n++;
}

static struct balancer *build(struct world *w)
{
	return balancer_of_upstream(w->a, w->store, &w->upstream, w->list, w->n);
}

/* One request's only try; its port, or minus the result. */
static int pick_port(struct world *w, struct balancer *b, const struct balance_input *in)
{
	struct pick pick = { 0 };
	enum pick_result result = balance_pick(b, w->a, in, DEADLINE_NEVER, &pick);

	balance_done(b, &pick);
	if (result != PICK_OK)
		return -(int)result;
	assert_int_equal(address_port(&pick.address), pick.port);
	return pick.port;
}

/* ---- tests ------------------------------------------------------------------------- */

static void xxh32_gives_the_published_numbers(void **state)
{
	/* clang-format off */
	static const struct { const char *text; uint32_t hash; } cases[] = {
		{ "", 0x02CC5D05 },
		{ "a", 0x550D7456 },
		{ "abc", 0x32D153FF },
		{ "Nobody inspects the spammish repetition", 0xE2293B2F },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(xxh32(str_of(cases[i].text)), cases[i].hash);
}

static void an_ip_is_taken_as_it_is(void **state)
{
	struct world w CLEANUP(world_done);
	struct pick pick = { 0 };
	char ip[ADDRESS_TEXT];

	(void)state;
	world_init(&w, "round-robin");
	assert_int_equal(balance_pick(balancer_of_host(w.a, w.store, STR("127.0.0.1"), 80), w.a,
				      NULL, DEADLINE_NEVER, &pick),
			 PICK_OK);
	address_ip(&pick.address, ip);
	assert_string_equal(ip, "127.0.0.1");
	assert_int_equal(address_port(&pick.address), 80);
	assert_true(str_is(pick.host, "127.0.0.1"));
	pick = (struct pick){ 0 };
	assert_int_equal(balance_pick(balancer_of_host(w.a, w.store, STR("::1"), 443), w.a, NULL,
				      DEADLINE_NEVER, &pick),
			 PICK_OK);
	assert_int_equal(pick.address.any.sa_family, AF_INET6);
	assert_int_equal(questions, 0);
}

static void a_plain_name_takes_its_answers_in_turn(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;
	unsigned seen = 0;

	(void)state;
	world_init(&w, "round-robin");
	records[0] = (struct record){ "a.test", "10.0.0.1,10.0.0.2,10.0.0.3", DNS_OK, 60000 };
	b = balancer_of_host(w.a, w.store, STR("a.test"), 8080);
	for (int i = 0; i < 3; i++) {
		struct pick pick = { 0 };

		assert_int_equal(balance_pick(b, w.a, NULL, DEADLINE_NEVER, &pick), PICK_OK);
		assert_true(str_is(pick.host, "a.test"));
		seen |= 1u << (ntohl(pick.address.v4.sin_addr.s_addr) & 7);
		balance_done(b, &pick);
	}
	assert_int_equal(seen, 0xe);
	assert_int_equal(questions, 1);
}

static void failures_of_dns_have_their_results(void **state)
{
	struct world w CLEANUP(world_done);
	struct pick pick = { 0 };

	(void)state;
	world_init(&w, "round-robin");
	records[0] = (struct record){ "broken.test", "", DNS_FAILED, 1 };
	assert_int_equal(pick_port(&w, balancer_of_host(w.a, w.store, STR("none.test"), 80), NULL),
			 -PICK_NOT_FOUND);
	assert_int_equal(balance_pick(balancer_of_host(w.a, w.store, STR("broken.test"), 80), w.a,
				      NULL, DEADLINE_NEVER, &pick),
			 PICK_FAILED);
	assert_string_equal(pick.why, "dns server error: 2 server failure");
	records[0].result = DNS_CANCELLED;
	assert_int_equal(
		pick_port(&w, balancer_of_host(w.a, w.store, STR("broken.test"), 80), NULL),
		-PICK_CANCELLED);
	assert_int_equal(pick_port(&w, build(&w), NULL), -PICK_NO_PEER); /* no targets at all */
	add_target(&w, "none.test:80", 100);
	assert_int_equal(pick_port(&w, build(&w), NULL), -PICK_NO_PEER);
}

struct rounds {
	struct world *w;
	struct balancer *b;
	int n;
	atomic_int *hits;  /* by port */
	atomic_int n_done; /* threads */
};

static void *pick_many(void *p)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct rounds *r = p;

	for (int i = 0; i < r->n; i++) {
		struct pick pick = { 0 };

		if (balance_pick(r->b, a, NULL, DEADLINE_NEVER, &pick) == PICK_OK)
			atomic_fetch_add(&r->hits[pick.port], 1);
		balance_done(r->b, &pick);
		arena_reset(a);
	}
	r->n_done++;
	return NULL;
}

static int common_divisor(int x, int y)
{
	return y ? common_divisor(y, x % y) : x;
}

static void round_robin_is_exact_over_whole_rounds_on_four_threads(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 20; round++) {
		struct world w CLEANUP(world_done);
		struct rounds r = { .w = &w };
		int n = 1 + rand() % 9, weights[9], sum = 0, divisor = 0;
		pthread_t threads[4];

		world_init(&w, "round-robin");
		for (int i = 0; i < n; i++) {
			weights[i] = rand() % (round < 10 ? 5 : 300);
			divisor = common_divisor(weights[i], divisor);
			sum += weights[i];
			add_target(&w, str_z(w.a, str_fmt(w.a, "10.0.0.1:%d", i + 1)), weights[i]);
		}
		if (sum == 0)
			continue;
		r.b = build(&w);
		r.n = sum / divisor; /* four threads, a round each */
		r.hits = NEWS(w.a, atomic_int, 10);
		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], NULL, pick_many, &r);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		for (int i = 0; i < n; i++)
			assert_int_equal(r.hits[i + 1], 4 * weights[i] / divisor);
	}
}

static void round_robin_spreads_a_heavy_target(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;
	int run = 0, longest = 0;

	(void)state;
	world_init(&w, "round-robin");
	add_target(&w, "10.0.0.1:1", 50);
	add_target(&w, "10.0.0.1:2", 50);
	add_target(&w, "10.0.0.1:3", 25);
	b = build(&w);
	for (int i = 0; i < 1000; i++) {
		run = pick_port(&w, b, NULL) == 1 ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	assert_in_range(longest, 1, 2);
}

static void a_new_snapshot_goes_on_in_the_same_round(void **state)
{
	struct world w CLEANUP(world_done);
	int hits[4] = { 0 };

	(void)state;
	world_init(&w, "round-robin");
	add_target(&w, "10.0.0.1:1", 1);
	add_target(&w, "10.0.0.1:2", 1);
	add_target(&w, "10.0.0.1:3", 1);
	for (int i = 0; i < 300; i++) {
		const struct target *first = w.list[0];

		hits[pick_port(&w, build(&w), NULL)]++; /* a snapshot per request */
		w.list[0] = w.list[i % 3];
		w.list[i % 3] = first;
	}
	for (int i = 1; i <= 3; i++)
		assert_int_equal(hits[i], 100);
}

static void retries_go_elsewhere(void **state)
{
	static const char *const algorithms[] = { "round-robin", "consistent-hashing",
						  "least-connections", "latency" };

	(void)state;
	for (size_t i = 0; i < COUNT(algorithms); i++) {
		struct world w CLEANUP(world_done);
		struct pick pick = { 0 };
		struct balancer *b;
		unsigned seen = 0;

		world_init(&w, algorithms[i]);
		add_target(&w, "10.0.0.1:1", 1000);
		add_target(&w, "10.0.0.1:2", 1);
		add_target(&w, "10.0.0.1:3", 10);
		b = build(&w);
		for (int try = 0; try < 6; try++) {
			assert_int_equal(balance_pick(b, w.a, NULL, DEADLINE_NEVER, &pick),
					 PICK_OK);
			balance_report(b, &pick, TRY_CONNECT_FAILED, 0);
			seen |= 1u << pick.port;
			if (try == 2)
				assert_int_equal(seen, 0xe);
		}
		assert_int_equal(pick.tries, 6);
		balance_done(b, &pick);
	}
}

static void a_pick_without_a_report_is_given_again(void **state)
{
	struct world w CLEANUP(world_done);
	struct pick pick = { 0 };
	struct balancer *b;
	int first;

	(void)state;
	world_init(&w, "round-robin");
	add_target(&w, "10.0.0.1:1", 1);
	add_target(&w, "10.0.0.1:2", 1);
	b = build(&w);
	balance_pick(b, w.a, NULL, DEADLINE_NEVER, &pick);
	first = pick.port;
	balance_pick(b, w.a, NULL, DEADLINE_NEVER, &pick);
	assert_int_equal(pick.port, first);
	balance_report(b, &pick, TRY_TIMED_OUT, 0);
	balance_pick(b, w.a, NULL, DEADLINE_NEVER, &pick);
	assert_int_equal(pick.port, 3 - first);
	balance_done(b, &pick);
}

static str client_input(struct arena *a, int i)
{
	return str_fmt(a, "10.1.%d.%d", i / 256, i % 256);
}

static void two_nodes_build_the_same_ring(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *first, *second;
	int moved = 0, hits[32] = { 0 };

	(void)state;
	world_init(&w, "consistent-hashing");
	w.upstream.hash_on = STR("ip");
	for (int i = 0; i < 20; i++)
		add_target(&w, str_z(w.a, str_fmt(w.a, "10.0.0.%d:%d", i, i + 1)), 10 + i);
	first = build(&w);
	for (size_t i = w.n; i-- > 1;) { /* shuffled, another node */
		size_t k = (size_t)rand() % (i + 1);
		const struct target *t = w.list[i];

		w.list[i] = w.list[k];
		w.list[k] = t;
	}
	second = build(&w);
	for (int i = 0; i < 2000; i++) {
		struct balance_input in = { .client_ip = client_input(w.a, i) };
		int port = pick_port(&w, first, &in);

		assert_int_equal(port, pick_port(&w, first, &in));
		assert_int_equal(port, pick_port(&w, second, &in));
		hits[port]++;
	}
	for (int i = 1; i <= 20; i++)
		assert_in_range(hits[i], 20, 250);
	w.n = 0; /* one target fewer: most clients stay */
	for (int i = 0; i < 19; i++)
		add_target(&w, str_z(w.a, str_fmt(w.a, "10.0.0.%d:%d", i, i + 1)), 10 + i);
	second = build(&w);
	for (int i = 0; i < 2000; i++) {
		struct balance_input in = { .client_ip = client_input(w.a, i) };

		moved += pick_port(&w, first, &in) != pick_port(&w, second, &in);
	}
	assert_in_range(moved, 50, 600);
}

/* The ports that a Kong node gives these clients, computed from its rule apart from ours. */
static void the_ring_is_kongs(void **state)
{
	static const int ports[] = { 8000, 8000, 8001, 9000, 8001, 9000, 9000, 8001,
				     8001, 8000, 9000, 8001, 9000, 8000, 8001, 9000,
				     8000, 8001, 8001, 8001, 9000, 9000, 8001, 8001 };
	struct world w CLEANUP(world_done);
	struct balancer *b;

	(void)state;
	world_init(&w, "consistent-hashing");
	w.upstream.hash_on = STR("ip");
	add_target(&w, "10.0.0.2:8001", 100);
	add_target(&w, "10.0.0.1:8000", 50);
	add_target(&w, "10.0.0.10:9000", 75);
	add_target(&w, "10.0.0.3:80", 1);
	b = build(&w);
	for (int i = 0; i < (int)COUNT(ports); i++) {
		struct balance_input in = { .client_ip = client_input(w.a, i) };

		assert_int_equal(pick_port(&w, b, &in), ports[i]);
	}
}

static void a_ring_grows_when_its_targets_do_not_fit(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;
	int hits[64] = { 0 };

	(void)state;
	world_init(&w, "consistent-hashing");
	w.upstream.hash_on = STR("ip");
	w.upstream.slots = 10; /* a thousand, by the rules; 50 * 160 points are asked for */
	for (int i = 0; i < 50; i++)
		add_target(&w, str_z(w.a, str_fmt(w.a, "10.0.0.1:%d", i + 1)), 100);
	b = build(&w);
	for (int i = 0; i < 5000; i++) {
		struct balance_input in = { .client_ip = client_input(w.a, i) };

		hits[pick_port(&w, b, &in)]++;
	}
	for (int i = 1; i <= 50; i++)
		assert_in_range(hits[i], 20, 400);
}

/* Where Kong's ring has no room, who comes or goes moves its own clients and no others. */
static void a_wide_ring_moves_no_more_than_a_share(void **state)
{
	enum { TARGETS = 500, CLIENTS = 5000 };
	struct world w CLEANUP(world_done);
	struct balancer *all, *fewer;
	int moved = 0;

	(void)state;
	world_init(&w, "consistent-hashing");
	w.upstream.hash_on = STR("ip");
	for (int i = 0; i < TARGETS; i++)
		add_target(&w, str_z(w.a, str_fmt(w.a, "10.0.0.1:%d", i + 1)), 100);
	all = build(&w);
	w.n = 0;
	for (int i = 0; i < TARGETS; i++)
		if (i != 250)
			add_target(&w, str_z(w.a, str_fmt(w.a, "10.0.0.1:%d", i + 1)), 100);
	fewer = build(&w);
	for (int i = 0; i < CLIENTS; i++) {
		struct balance_input in = { .client_ip = client_input(w.a, i) };
		int before = pick_port(&w, all, &in), after = pick_port(&w, fewer, &in);

		assert_true(before == after || before == 251);
		moved += before != after;
	}
	assert_in_range(moved, 1, 3 * CLIENTS / TARGETS);
}

static void of_very_many_targets_all_get_their_share(void **state)
{
	enum { TARGETS = 1000, PICKS = 20000 };
	static const char *const algorithms[] = { "least-connections", "latency" };
	static int hits[TARGETS + 1];

	(void)state;
	for (size_t k = 0; k < COUNT(algorithms); k++) {
		struct world w CLEANUP(world_done);
		struct balancer *b;
		int heavy = 0;

		memset(hits, 0, sizeof(hits));
		world_init(&w, algorithms[k]);
		for (int i = 0; i < TARGETS; i++)
			add_target(&w, str_z(w.a, str_fmt(w.a, "10.0.0.1:%d", i + 1)),
				   i < TARGETS / 2 ? 300 : 100);
		b = build(&w);
		for (int i = 0; i < PICKS; i++)
			hits[pick_port(&w, b, NULL)]++;
		for (int i = 1; i <= TARGETS; i++) {
			assert_true(hits[i] < 100); /* 20 on the average */
			heavy += i <= TARGETS / 2 ? hits[i] : 0;
		}
		assert_in_range(heavy, PICKS / 2, PICKS);
	}
}

static void what_is_hashed_is_what_was_configured(void **state)
{
	struct world w CLEANUP(world_done);
	struct http_header headers[] = {
		{ .name = STR("X-User"), .value = STR("al") },
		{ .name = STR("x-user"), .value = STR("ice") },
		{ .name = STR("Cookie"), .value = STR("a=b; sid=s%201;sid=2") },
	};
	struct http_request request = { .headers = { .v = headers, .n = 3 },
					.query = STR("q=b&flag&q=%61&z=1+2") };
	struct balance_input in = { .request = &request,
				    .path = STR("/p"),
				    .client_ip = STR("1.2.3.4"),
				    .consumer_id = STR("c1"),
				    .credential_id = STR("k1") };
	struct value *captures;
	/* clang-format off */
	const struct { const char *on, *fallback, *name, *hashed; } cases[] = {
		{ "ip", "none", "", "1.2.3.4" },
		{ "consumer", "none", "", "c1" },
		{ "path", "none", "", "/p" },
		{ "header", "none", "X-USER", "alice" },
		{ "cookie", "none", "sid", "s%201" },
		{ "query_arg", "none", "q", "a,b" },
		{ "query_arg", "none", "flag", "true" },
		{ "query_arg", "none", "z", "1 2" },
		{ "uri_capture", "none", "id", "77" },
		{ "query_arg", "ip", "nope", "1.2.3.4" },
		{ "header", "none", "X-Nope", "" },
		{ "none", "none", "", "" },
	};
	/* clang-format on */

	(void)state;
	world_init(&w, "consistent-hashing");
	captures = value_object(w.a);
	value_set(w.a, captures, STR("id"), value_text(w.a, "77"));
	in.uri_captures = captures;
	add_target(&w, "10.0.0.1:1", 1);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct upstream *u = &w.upstream;
		struct pick pick = { 0 };

		u->hash_on = str_of(cases[i].on);
		u->hash_fallback = str_of(cases[i].fallback);
		u->hash_on_header = u->hash_on_cookie = u->hash_on_query_arg =
			u->hash_on_uri_capture = str_of(cases[i].name);
		assert_int_equal(balance_pick(build(&w), w.a, &in, DEADLINE_NEVER, &pick), PICK_OK);
		assert_int_equal(pick.hash_, xxh32(str_of(cases[i].hashed)));
		assert_int_equal(pick.set_cookie.n, 0);
	}
}

static void a_missing_cookie_is_made(void **state)
{
	struct world w CLEANUP(world_done);
	struct balance_input in = { .path = STR("/") };
	struct pick pick = { 0 };
	str value;

	(void)state;
	world_init(&w, "consistent-hashing");
	w.upstream.hash_on = STR("cookie");
	w.upstream.hash_on_cookie = STR("sid");
	w.upstream.hash_on_cookie_path = STR("/x");
	add_target(&w, "10.0.0.1:1", 1);
	assert_int_equal(balance_pick(build(&w), w.a, &in, DEADLINE_NEVER, &pick), PICK_OK);
	value = str_part(pick.set_cookie, 4, 40);
	assert_int_equal(pick.hash_, xxh32(value));
	assert_true(str_eq(
		pick.set_cookie,
		str_fmt(w.a, "sid=" STRF "; Path=/x; Same-Site=Lax; HttpOnly", STRV(value))));
}

static void least_connections_fills_by_weight(void **state)
{
	struct world w CLEANUP(world_done);
	struct pick picks[40] = { 0 };
	struct balancer *b;
	int hits[3] = { 0 };

	(void)state;
	world_init(&w, "least-connections");
	add_target(&w, "10.0.0.1:1", 30);
	add_target(&w, "10.0.0.1:2", 10);
	b = build(&w);
	for (size_t i = 0; i < COUNT(picks); i++) {
		assert_int_equal(balance_pick(b, w.a, NULL, DEADLINE_NEVER, &picks[i]), PICK_OK);
		hits[picks[i].port]++;
	}
	assert_int_equal(hits[1], 30);
	assert_int_equal(hits[2], 10);
	for (size_t i = 0; i < COUNT(picks); i++) /* the slow target keeps its connections */
		if (picks[i].port == 1)
			balance_done(b, &picks[i]);
	for (int i = 0; i < 20; i++)
		assert_int_equal(pick_port(&w, build(&w), NULL), 1); /* across snapshots, too */
	for (size_t i = 0; i < COUNT(picks); i++)
		balance_done(b, &picks[i]);
}

static void latency_prefers_who_answers_sooner(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;
	int hits[4] = { 0 };

	(void)state;
	world_init(&w, "latency");
	add_target(&w, "10.0.0.1:1", 100);
	add_target(&w, "10.0.0.1:2", 100);
	b = build(&w);
	for (int i = 0; i < 200; i++) {
		struct pick pick = { 0 };

		assert_int_equal(balance_pick(b, w.a, NULL, DEADLINE_NEVER, &pick), PICK_OK);
		hits[pick.port]++;
		pick.started_us_ -= pick.port == 1 ? 100000 : 2000;
		now_ms += 10;
		balance_report(b, &pick, TRY_ANSWERED, 200);
		balance_done(b, &pick);
	}
	assert_in_range(hits[2], 150, 199);
	assert_true(hits[1] >= 1); /* tried once at least: nobody knew */
}

static void a_disabled_target_gets_nothing(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;

	(void)state;
	world_init(&w, "round-robin");
	add_target(&w, "10.0.0.1:1", 0);
	add_target(&w, "10.0.0.1:2", 3);
	b = build(&w);
	for (int i = 0; i < 50; i++)
		assert_int_equal(pick_port(&w, b, NULL), 2);
}

static void names_have_the_weight_once_per_address_and_srv_its_own(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;
	int hits[10] = { 0 };

	(void)state;
	world_init(&w, "round-robin");
	records[0] = (struct record){ "a.test", "10.0.0.1,10.0.0.2", DNS_OK, 60000 };
	records[1] = (struct record){ "srv.test", "10.0.0.3:5/3,10.0.0.4:0/0", DNS_OK, 60000 };
	add_target(&w, "a.test:1", 2);
	add_target(&w, "srv.test:2", 100);
	b = build(&w);
	for (int i = 0; i < 80; i++)
		hits[pick_port(&w, b, NULL)]++;
	assert_int_equal(hits[1], 40); /* two addresses, 2 of 8 each */
	assert_int_equal(hits[5], 30);
	assert_int_equal(hits[2], 10); /* weight 0 counts as 1, port 0 is the target's */
	assert_int_equal(questions, 2);
}

static void use_srv_name_shows_in_the_host(void **state)
{
	struct world w CLEANUP(world_done);
	struct pick pick = { 0 };

	(void)state;
	world_init(&w, "round-robin");
	w.upstream.use_srv_name = true;
	records[0] = (struct record){ "srv.test", "10.0.0.3:5/3", DNS_OK, 60000 };
	add_target(&w, "srv.test:2", 100);
	assert_int_equal(balance_pick(build(&w), w.a, NULL, DEADLINE_NEVER, &pick), PICK_OK);
	assert_true(str_is(pick.host, "srv-10.0.0.3.test"));
}

static void an_expired_name_is_asked_again(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;
	struct pick pick = { 0 };

	(void)state;
	world_init(&w, "round-robin");
	records[0] = (struct record){ "a.test", "10.0.0.1", DNS_OK, 2000 };
	add_target(&w, "a.test:1", 2);
	b = build(&w);
	pick_port(&w, b, NULL);
	records[0].ips = "10.0.0.9";
	now_ms += 1900;
	pick_port(&w, b, NULL);
	assert_int_equal(questions, 1);
	now_ms += 10000; /* long overdue: waits */
	assert_int_equal(balance_pick(b, w.a, NULL, DEADLINE_NEVER, &pick), PICK_OK);
	assert_int_equal(questions, 2);
	assert_int_equal(ntohl(pick.address.v4.sin_addr.s_addr) & 0xff, 9);
	balance_done(b, &pick);

	records[0].result = DNS_FAILED; /* what was known stays */
	now_ms += 10000;
	assert_int_equal(pick_port(&w, b, NULL), 1);
	assert_int_equal(questions, 3);
	pick_port(&w, b, NULL);
	assert_int_equal(questions, 3);

	records[0].result = DNS_NOT_FOUND; /* gone is gone */
	now_ms += 60000;
	assert_int_equal(pick_port(&w, b, NULL), -PICK_NO_PEER);
}

struct background {
	struct world w;
	struct balancer *b;
	struct loop *loop;
	int asked_at_once;
	unsigned last_ip;
};

static void in_a_fiber(void *p)
{
	struct background *g = p;
	struct pick pick = { 0 };

	pick_port(&g->w, g->b, NULL);
	g->asked_at_once = questions; /* two names, and neither twice */
	records[0].ips = "10.0.0.9";
	now_ms += 2600;                /* due, not overdue */
	for (int i = 0; i < 10; i++) { /* nobody waits, one asks */
		pick_port(&g->w, g->b, NULL);
		fiber_yield();
	}
	balance_pick(g->b, g->w.a, NULL, DEADLINE_NEVER, &pick);
	g->last_ip = ntohl(pick.address.v4.sin_addr.s_addr) & 0xff;
	balance_done(g->b, &pick);
	loop_stop(g->loop);
}

static void a_name_that_is_due_is_renewed_in_the_background(void **state)
{
	struct background g = { 0 };

	(void)state;
	world_init(&g.w, "round-robin");
	records[0] = (struct record){ "a.test", "10.0.0.1", DNS_OK, 2000 };
	records[1] = (struct record){ "b.test", "10.0.0.9", DNS_OK, 20000 };
	add_target(&g.w, "a.test:1", 2);
	add_target(&g.w, "b.test:1", 2);
	g.b = build(&g.w);
	assert_null(loop_new("test", 0, &g.loop));
	fiber_start_on(g.loop, "test", in_a_fiber, &g);
	loop_run(g.loop);
	loop_drop(&g.loop);
	assert_int_equal(g.asked_at_once, 2);
	assert_int_equal(questions, g.asked_at_once + 1);
	assert_int_equal(g.last_ip, 9);
	world_done(&g.w);
}

static void a_ttl_of_zero_asks_for_each_request(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;
	int hits[5] = { 0 };

	(void)state;
	world_init(&w, "round-robin");
	records[0] = (struct record){ "zero.test", "10.0.0.1", DNS_OK, 0 };
	add_target(&w, "zero.test:1", 3);
	add_target(&w, "10.0.0.2:2", 1);
	b = build(&w);
	for (int i = 0; i < 40; i++)
		hits[pick_port(&w, b, NULL)]++;
	assert_int_equal(hits[1], 30);
	assert_int_equal(questions, 31);
	records[0].result = DNS_FAILED;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pick_port(&w, b, NULL), 2); /* others are unaffected */
}

/* Tables are replaced under the eyes of those who choose from them. */
static void threads_pick_while_names_move(void **state)
{
	static const char *const algorithms[] = { "round-robin", "consistent-hashing",
						  "least-connections", "latency" };

	(void)state;
	for (size_t k = 0; k < COUNT(algorithms); k++) {
		struct world w CLEANUP(world_done);
		struct rounds r = { .w = &w, .n = 10000 };
		pthread_t threads[3];

		world_init(&w, algorithms[k]);
		add_target(&w, "moving.test:1", 1);
		add_target(&w, "10.0.0.2:2", 1);
		r.b = build(&w);
		r.hits = NEWS(w.a, atomic_int, 10);
		for (int i = 0; i < 3; i++)
			pthread_create(&threads[i], NULL, pick_many, &r);
		while (r.n_done < 3) {
			struct world v = w; /* other snapshots come and go */

			v.a = arena_new();
			pick_port(&v, build(&v), NULL);
			arena_drop(&v.a);
			moves++;
			now_ms += 10000;
			balance_store_tick(w.store);
		}
		for (int i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(r.hits[1] + r.hits[2], 30000);
	}
}

static void what_nobody_uses_is_forgotten_after_five_minutes(void **state)
{
	struct world w CLEANUP(world_done);
	int hits[3] = { 0 };

	(void)state;
	world_init(&w, "round-robin");
	records[0] = (struct record){ "a.test", "10.0.0.1", DNS_OK, 600000 };
	add_target(&w, "a.test:1", 1);
	for (int i = 0; i < 2; i++) {
		for (int round = 0; round < 50; round++) {
			struct world v = w;

			v.a = arena_new();
			hits[pick_port(&v, build(&v), NULL)]++;
			arena_drop(&v.a);
		}
		assert_int_equal(questions, i + 1); /* kept over snapshots, then forgotten */
		now_ms += 301000;
		for (int tick = 0; tick < 16; tick++) /* peers and positions */
			balance_store_tick(w.store);
		now_ms += 301000;
		for (int tick = 0; tick < 32; tick++) /* then the name that they named */
			balance_store_tick(w.store);
		now_ms += 301000;
		for (int tick = 0; tick < 32; tick++)
			balance_store_tick(w.store);
	}
	assert_int_equal(hits[1], 100);
}

static void health_has_the_shapes_of_the_admin_api(void **state)
{
	struct world w CLEANUP(world_done);
	struct balancer *b;
	struct value *data;

	(void)state;
	world_init(&w, "round-robin");
	records[0] = (struct record){ "a.test", "10.0.0.1", DNS_OK, 60000 };
	add_target(&w, "a.test:80", 7);
	add_target(&w, "none.test:81", 7);
	b = build(&w);
	pick_port(&w, b, NULL);
	assert_string_equal(balancer_target_health(w.a, b, STR("a.test:80"), &data),
			    "HEALTHCHECKS_OFF");
	assert_true(str_is(json_text(w.a, data, JSON_SORTED),
			   "{\"addresses\":[{\"health\":\"HEALTHCHECKS_OFF\",\"ip\":\"10.0.0.1\","
			   "\"port\":80,\"weight\":7}],\"dns\":\"A\",\"host\":\"a.test\","
			   "\"nodeWeight\":7,\"port\":80,"
			   "\"weight\":{\"available\":7,\"total\":7,\"unavailable\":0}}"));
	assert_string_equal(balancer_target_health(w.a, b, STR("none.test:81"), &data),
			    "DNS_ERROR");
	assert_true(str_is(json_text(w.a, balancer_health(w.a, b), JSON_SORTED),
			   "{\"health\":\"HEALTHCHECKS_OFF\","
			   "\"id\":\"01000000-0000-0000-0000-000000000000\"}"));
	w.upstream.healthchecks.passive.unhealthy.tcp_failures = 1;
	assert_string_equal(balancer_target_health(w.a, b, STR("a.test:80"), &data), "HEALTHY");
	data = balancer_health(w.a, b);
	assert_true(str_is(value_get(data, "health")->s, "HEALTHY"));
	assert_int_equal(value_get(value_get(data, "details"), "hosts")->n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xxh32_gives_the_published_numbers),
		cmocka_unit_test(an_ip_is_taken_as_it_is),
		cmocka_unit_test(a_plain_name_takes_its_answers_in_turn),
		cmocka_unit_test(failures_of_dns_have_their_results),
		cmocka_unit_test(round_robin_is_exact_over_whole_rounds_on_four_threads),
		cmocka_unit_test(round_robin_spreads_a_heavy_target),
		cmocka_unit_test(a_new_snapshot_goes_on_in_the_same_round),
		cmocka_unit_test(retries_go_elsewhere),
		cmocka_unit_test(a_pick_without_a_report_is_given_again),
		cmocka_unit_test(two_nodes_build_the_same_ring),
		cmocka_unit_test(the_ring_is_kongs),
		cmocka_unit_test(a_ring_grows_when_its_targets_do_not_fit),
		cmocka_unit_test(a_wide_ring_moves_no_more_than_a_share),
		cmocka_unit_test(of_very_many_targets_all_get_their_share),
		cmocka_unit_test(what_is_hashed_is_what_was_configured),
		cmocka_unit_test(a_missing_cookie_is_made),
		cmocka_unit_test(least_connections_fills_by_weight),
		cmocka_unit_test(latency_prefers_who_answers_sooner),
		cmocka_unit_test(a_disabled_target_gets_nothing),
		cmocka_unit_test(names_have_the_weight_once_per_address_and_srv_its_own),
		cmocka_unit_test(use_srv_name_shows_in_the_host),
		cmocka_unit_test(an_expired_name_is_asked_again),
		cmocka_unit_test(a_name_that_is_due_is_renewed_in_the_background),
		cmocka_unit_test(a_ttl_of_zero_asks_for_each_request),
		cmocka_unit_test(threads_pick_while_names_move),
		cmocka_unit_test(what_nobody_uses_is_forgotten_after_five_minutes),
		cmocka_unit_test(health_has_the_shapes_of_the_admin_api),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
