/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds per start, switch and wake of a fiber, and microseconds per
 * question and answer over a socket, plain and TLS.
 *
 *	ninja -C build bench/micro/bench_fiber && build/bench/micro/bench_fiber */
#include "fiber/fiber.h"

#include "base/clock.h"
#include "net/net.h"
#include "net/tls.h"
#include <stdio.h>

#define MANY   1000000
#define ROUNDS 100000
#define CROWD  100

static void does_nothing(void *unused)
{
	(void)unused;
}

static void yields(void *unused)
{
	(void)unused;
	for (int i = 0; i < MANY / CROWD; i++)
		fiber_yield();
}

static void tell(const char *what, int64_t began, int n)
{
	printf("%-44s %8.1f ns\n", what, (double)(clock_mono_us() - began) * 1000 / n);
}

static void start_fibers(void)
{
	int64_t began = clock_mono_us();

	for (int i = 0; i < MANY; i++)
		fiber_start_now("nothing", does_nothing, NULL);
	tell("start, switch to it, end", began, MANY);

	for (int i = 0; i < CROWD; i++)
		fiber_start("yields", yields, NULL);
	began = clock_mono_us();
	while (loop_stats(loop_self()).fibers > 1)
		fiber_yield();
	tell("switch among 100, a turn for each 100", began, MANY);
}

static void set_timers(void)
{
	static struct timer timers[1000];
	int64_t began = clock_mono_us();

	for (int i = 0; i < 1000; i++)
		timer_init(&timers[i], NULL);
	for (int i = 0; i < MANY; i++)
		timer_set(&timers[i % 1000], deadline_in(1000 + i % 60000));
	tell("set a timer that is set", began, MANY);
	for (int i = 0; i < 1000; i++)
		timer_clear(&timers[i]);
}

struct ends {
	struct sock client, upstream;
	struct tls_context *client_tls, *upstream_tls;
	char room[1024];
};

static void answers(void *p)
{
	struct ends *e = p;
	char room[1024];

	if (e->upstream_tls && tls_accept(&e->upstream, e->upstream_tls, NULL, DEADLINE_NEVER))
		return;
	while (sock_read(&e->upstream, room, sizeof(room), deadline_in(60000)) > 0)
		sock_write(&e->upstream, room, sizeof(room), deadline_in(60000));
	sock_close(&e->upstream);
}

static void ask_and_answer(const char *what, struct ends *e)
{
	int fd[2];
	int64_t began;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0)
		return;
	sock_init(&e->client, fd[0]);
	sock_init(&e->upstream, fd[1]);
	fiber_start("answers", answers, e);
	if (e->client_tls &&
	    tls_connect(&e->client, e->client_tls, STR_NONE, false, DEADLINE_NEVER))
		return;
	began = clock_mono_us();
	for (int i = 0; i < ROUNDS; i++) {
		if (sock_write(&e->client, "question", 8, deadline_in(60000)) < 0 ||
		    sock_read(&e->client, e->room, sizeof(e->room), deadline_in(60000)) <= 0)
			break;
	}
	tell(what, began, ROUNDS);
	sock_close(&e->client);
}

static void runs(void *unused)
{
	static struct ends plain, tls;
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct tls_cert *cert CLEANUP(tls_cert_drop) = NULL;
	str pem, key;

	(void)unused;
	start_fibers();
	set_timers();
	ask_and_answer("question and 1 KiB answer, both ends", &plain);
	if (!tls_make_self_signed(a, TLS_KEY_EC_P256, STR("localhost"), 1, &pem, &key) &&
	    !tls_cert_new(pem, key, &cert) &&
	    !tls_context_server(
		    &(struct tls_server_options){ .protocols = TLS_1_3, .certs = { cert } },
		    &tls.upstream_tls) &&
	    !tls_context_client(&(struct tls_client_options){ .protocols = TLS_1_3 },
				&tls.client_tls))
		ask_and_answer("the same over TLS 1.3", &tls);
	fiber_yield();
	tls_context_drop(&tls.client_tls);
	tls_context_drop(&tls.upstream_tls);
	loop_stop(loop_self());
}

int main(void)
{
	struct loop *l = NULL;

	if (loop_new("bench", 0, &l))
		return 1;
	fiber_start_on(l, "runs", runs, NULL);
	loop_run(l);
	loop_drop(&l);
	return 0;
}
