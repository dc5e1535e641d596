/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that runs or wakes fibers, on loops of the tests' own; and the timer
 * wheel against a naive model. */
#include "fiber/fiber.h"
#include "fiber/timer.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants some of the above first */
#include <cmocka.h>

#include "base/asked.h"
#include "fiber/testing.h"

#if defined(__SANITIZE_THREAD__)
#define MANY 1000 /* TSan has places for 8,000 */
#else
#define MANY 10000
#endif

/* ---- running a test's fiber on a loop ----------------------------------------------- */

struct trial {
	void (*fn)(void *);
	void *arg;
};

static void run_trial(void *p)
{
	struct trial *t = p;

	t->fn(t->arg);
	loop_stop(loop_self());
}

/* Runs fn(arg) as a fiber on a loop of its own, which ends with it. */
static struct loop_stats on_loop(void (*fn)(void *), void *arg)
{
	struct trial t = { fn, arg };
	struct loop *l = NULL;
	struct loop_stats stats;

	assert_null(loop_new("test", 0, &l));
	fiber_start_on(l, "trial", run_trial, &t);
	loop_run(l);
	stats = loop_stats(l);
	assert_int_equal(stats.fibers, 0);
	loop_drop(&l);
	assert_null(l);
	return stats;
}

static void *loop_thread(void *p)
{
	loop_run(p);
	return NULL;
}

static void nonblocking_pair(int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

/* ---- switching ------------------------------------------------------------------------ */

static char said[64];
static size_t n_said;

static void say(char c)
{
	said[n_said++] = c;
	said[n_said] = '\0';
}

static void says_twice(void *p)
{
	char c = *(const char *)p;

	say(c);
	fiber_yield();
	say(c);
}

static void starts_two(void *p)
{
	(void)p;
	n_said = 0;
	fiber_start("a", says_twice, "a");
	fiber_start("b", says_twice, "b");
	say('1');
	fiber_yield();
	say('2');
	fiber_yield();
	say('3');
}

static void fibers_take_turns_in_order_of_their_start(void **state)
{
	(void)state;
	on_loop(starts_two, NULL);
	assert_string_equal(said, "1ab2ab3");
}

static void starts_now(void *p)
{
	(void)p;
	n_said = 0;
	say('1');
	fiber_start_now("a", says_twice, "a");
	say('2');
	fiber_yield();
	fiber_yield();
	say('3');
}

static void a_fiber_started_now_runs_before_its_starter_goes_on(void **state)
{
	(void)state;
	on_loop(starts_now, NULL);
	assert_string_equal(said, "1a2a3");
}

static void makes_error(void *p)
{
	struct err **e = p;

	*e = FAIL(ERR_INVALID, "mine");
	fiber_yield();
	assert_string_equal((*e)->text, "mine");
}

static void makes_errors(void *p)
{
	struct err *a = NULL, *b = NULL;

	(void)p;
	fiber_start("a", makes_error, &a);
	fiber_start("b", makes_error, &b);
	struct err *mine = FAIL(ERR_INVALID, "trial");
	fiber_yield();
	err_forget();
	mine = FAIL(ERR_INVALID, "again");
	fiber_yield();
	fiber_yield();
	assert_string_equal(mine->text, "again");
}

static void each_fiber_has_its_own_errors(void **state)
{
	(void)state;
	on_loop(makes_errors, NULL);
}

static int n_alive, n_most;

static void lives_a_while(void *p)
{
	(void)p;
	if (++n_alive > n_most)
		n_most = n_alive;
	fiber_sleep(deadline_in(5));
	n_alive--;
}

static void starts_many(void *p)
{
	(void)p;
	n_alive = n_most = 0;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++)
			fiber_start("one of many", lives_a_while, NULL);
		while (fiber_yield(), n_alive > 0)
			;
	}
}

static void ten_thousand_fibers_live_at_once_and_their_stacks_are_pooled(void **state)
{
	struct loop_stats stats = on_loop(starts_many, NULL);

	(void)state;
	assert_int_equal(n_most, MANY);
	assert_int_equal(stats.stacks_pooled, MANY + 1);
	assert_true(stats.switches >= 6u * MANY);
}

static void waits_for_trim(void *p)
{
	deadline until = deadline_in(8000);

	starts_many(p);
	while (loop_stats(loop_self()).stacks_pooled >= MANY && loop_now_ms() < until)
		fiber_sleep(deadline_in(20));
}

static void stacks_that_nobody_takes_are_given_back(void **state)
{
	struct loop_stats stats = on_loop(waits_for_trim, NULL);

	(void)state;
	assert_true(stats.stacks_pooled < MANY);
	assert_true(stats.stacks_pooled >= MANY / 4);
}

/* ---- stacks ----------------------------------------------------------------------------- */

__attribute__((noinline)) static int goes_deep(int n)
{
	volatile char room[4096];

	room[0] = (char)n;
	room[4095] = 1;
	return n > 0 ? goes_deep(n - 1) + room[0] : room[4095];
}

static void goes_100_kib_deep(void *p)
{
	*(int *)p = goes_deep(25);
}

static void starts_deep(void *p)
{
	fiber_start_now("deep", goes_100_kib_deep, p);
	fiber_yield();
	fiber_yield();
}

static void the_high_water_mark_is_seen(void **state)
{
	int n;
	struct loop_stats stats = on_loop(starts_deep, &n);

	(void)state;
	assert_true(stats.stack_high_bytes > 100 * 1024);
	assert_true(stats.stack_high_bytes < 256 * 1024);
}

static void goes_too_deep(void *p)
{
	*(int *)p = goes_deep(1000);
}

static void running_over_a_stack_is_caught_by_the_guard(void **state)
{
	pid_t pid = fork();
	int status, n;

	(void)state;
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		on_loop(goes_too_deep, &n);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* ---- sleeping, cancelling ------------------------------------------------------------------ */

static void sleeps(void *p)
{
	int64_t began = loop_now_ms();

	assert_int_equal(fiber_sleep(deadline_in(30)), WAIT_TIMEOUT);
	*(int64_t *)p = loop_now_ms() - began;
}

static void a_sleep_lasts_as_long_as_asked(void **state)
{
	int64_t took = 0;

	(void)state;
	on_loop(sleeps, &took);
	assert_true(took >= 30);
	assert_true(took < 1000);
}

struct tale {
	enum wait first, second, third;
	int cleaned;
	struct gate gate;
	struct fiber *fiber;
};

static void count_clean(struct tale **t)
{
	(*t)->cleaned++;
}

static void waits_for_ever(void *p)
{
	struct tale *t CLEANUP(count_clean) = p;
	struct io io;
	int fd[2];

	t->first = gate_wait(&t->gate, DEADLINE_NEVER);
	t->second = fiber_sleep(deadline_in(100000));
	nonblocking_pair(fd);
	io_init(&io, fd[0]);
	t->third = io_wait(&io, IO_WRITE, DEADLINE_NEVER); /* ready, but cancelled comes first */
	io_done(&io);
	close(fd[0]);
	close(fd[1]);
}

static void cancels(void *p)
{
	struct tale *t = p;

	gate_init(&t->gate);
	t->fiber = fiber_start_now("waits", waits_for_ever, t);
	fiber_cancel(t->fiber);
	assert_int_equal(t->cleaned, 0);
	fiber_yield();
	fiber_yield();
}

static void cancelling_unwinds_through_every_wait(void **state)
{
	struct tale t = { 0 };

	(void)state;
	on_loop(cancels, &t);
	assert_int_equal(t.first, WAIT_CANCELLED);
	assert_int_equal(t.second, WAIT_CANCELLED);
	assert_int_equal(t.third, WAIT_CANCELLED);
	assert_int_equal(t.cleaned, 1);
}

static void leaves_one_waiting(void *p)
{
	struct tale *t = p;

	gate_init(&t->gate);
	fiber_start_now("waits", waits_for_ever, t);
}

static void stopping_a_loop_cancels_what_still_runs(void **state)
{
	struct tale t = { 0 };

	(void)state;
	on_loop(leaves_one_waiting, &t);
	assert_int_equal(t.first, WAIT_CANCELLED);
	assert_int_equal(t.cleaned, 1);
}

static void cancels_itself(void *p)
{
	(void)p;
	assert_false(fiber_is_cancelled());
	fiber_cancel(fiber_self());
	assert_true(fiber_is_cancelled());
	assert_int_equal(fiber_sleep(deadline_in(1000)), WAIT_CANCELLED);
	fiber_yield();
	assert_int_equal(fiber_sleep(0), WAIT_CANCELLED);
}

static void a_fiber_may_cancel_itself(void **state)
{
	(void)state;
	on_loop(cancels_itself, NULL);
}

/* ---- gates ------------------------------------------------------------------------------------ */

static void waits_at_gate(void *p)
{
	struct tale *t = p;

	if (gate_wait(&t->gate, DEADLINE_NEVER) == WAIT_OK)
		t->cleaned++;
}

static void opens_gate(void *p)
{
	struct tale *t = p;
	struct fiber *first;

	gate_init(&t->gate);
	first = fiber_start_now("1", waits_at_gate, t);
	for (int i = 0; i < 4; i++)
		fiber_start_now("2", waits_at_gate, t);
	fiber_cancel(first); /* its turn to wake must go to the next one */
	gate_wake_one(&t->gate);
	fiber_yield();
	fiber_yield();
	assert_int_equal(t->cleaned, 1);
	gate_wake_all(&t->gate);
	fiber_yield();
	fiber_yield();
	assert_int_equal(t->cleaned, 4);
	gate_wake_one(&t->gate);
	assert_int_equal(gate_wait(&t->gate, deadline_in(3)), WAIT_TIMEOUT);
	assert_int_equal(gate_wait(&t->gate, loop_now_ms()), WAIT_TIMEOUT);
	assert_true(list_is_empty(&t->gate.waiters));
}

static void a_gate_wakes_one_or_all_and_skips_the_cancelled(void **state)
{
	struct tale t = { 0 };

	(void)state;
	on_loop(opens_gate, &t);
}

/* ---- descriptors ------------------------------------------------------------------------------- */

struct pipe_end {
	struct io io;
	int fd;
	int n_reads, n_waits;
	uint64_t sum, next;
};

/* Reads 32-bit numbers until EOF, as net does: try, stop after a short read. */
static void reads_numbers(void *p)
{
	struct pipe_end *e = p;
	uint32_t v[64];

	io_init(&e->io, e->fd);
	for (;;) {
		ssize_t n = recv(e->fd, v, sizeof(v), 0);

		if (n == 0)
			break;
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			io_clear(&e->io, IO_READ);
			assert_int_equal(io_wait(&e->io, IO_READ, deadline_in(20000)), WAIT_OK);
			e->n_waits++;
			continue;
		}
		if ((size_t)n < sizeof(v) && !(e->io.ready & IO_HUP))
			io_clear(&e->io, IO_READ);
		e->n_reads++;
		assert_int_equal(n % 4, 0);
		for (ssize_t i = 0; i < n / 4; i++)
			e->sum += v[i];
		if (!(e->io.ready & IO_READ))
			assert_int_equal(io_wait(&e->io, IO_READ, deadline_in(20000)), WAIT_OK);
	}
	io_done(&e->io);
	close(e->fd);
}

#define NUMBERS 200000

static void writes_numbers(void *p)
{
	struct pipe_end *e = p;

	io_init(&e->io, e->fd);
	while (e->next < NUMBERS) {
		uint32_t v[50];
		size_t n = 0;

		for (; n < COUNT(v) && e->next + n < NUMBERS; n++)
			v[n] = (uint32_t)(e->next + n);
		ssize_t sent = send(e->fd, v, n * 4, MSG_NOSIGNAL);
		if (sent < 0) {
			assert_int_equal(errno, EAGAIN);
			io_clear(&e->io, IO_WRITE);
			assert_int_equal(io_wait(&e->io, IO_WRITE, deadline_in(20000)), WAIT_OK);
			e->n_waits++;
			continue;
		}
		assert_int_equal(sent % 4, 0);
		e->next += (uint64_t)sent / 4;
	}
	io_done(&e->io);
	close(e->fd);
}

static void streams_numbers(void *p)
{
	struct pipe_end *e = p;
	int fd[2];

	nonblocking_pair(fd);
	e[0].fd = fd[0];
	e[1].fd = fd[1];
	fiber_start("reader", reads_numbers, &e[0]);
	fiber_start("writer", writes_numbers, &e[1]);
	while (loop_stats(loop_self()).fibers > 1)
		fiber_sleep(deadline_in(1));
}

static void a_stream_crosses_edges_without_loss(void **state)
{
	struct pipe_end e[2] = { { .n_reads = 0 }, { .n_reads = 0 } };

	(void)state;
	on_loop(streams_numbers, e);
	assert_int_equal(e[0].sum, (uint64_t)NUMBERS * (NUMBERS - 1) / 2);
	assert_true(e[0].n_waits + e[1].n_waits > 0);
}

static void waits_in_vain(void *p)
{
	struct io io;
	int fd[2];

	(void)p;
	nonblocking_pair(fd);
	io_init(&io, fd[0]);
	assert_int_equal(io_wait(&io, IO_READ, deadline_in(10)), WAIT_TIMEOUT);
	assert_int_equal(io_wait(&io, IO_READ, loop_now_ms()), WAIT_TIMEOUT);
	assert_int_equal(io_wait(&io, IO_WRITE, deadline_in(10)), WAIT_OK);
	assert_null(io.waiter);
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_int_equal(io_wait(&io, IO_READ, deadline_in(1000)), WAIT_OK);
	io_done(&io);

	/* The same descriptor again: what is there already must be told anew. */
	io_init(&io, fd[0]);
	assert_int_equal(io_wait(&io, IO_READ, deadline_in(1000)), WAIT_OK);
	close(fd[1]);
	while (!(io.ready & IO_HUP)) {
		io_clear(&io, IO_READ);
		assert_int_equal(io_wait(&io, IO_READ, deadline_in(1000)), WAIT_OK);
	}
	io_done(&io);
	close(fd[0]);
}

static void waits_end_by_time_data_or_hangup(void **state)
{
	(void)state;
	on_loop(waits_in_vain, NULL);
}

static void waits_on_io(void *p)
{
	struct pipe_end *e = p;

	e->n_waits = (int)io_wait(&e->io, e->n_reads, DEADLINE_NEVER);
}

static void forgets_io_under_a_waiter(void *p)
{
	struct pipe_end *e = calloc(1, sizeof(*e));
	int fd[2];

	(void)p;
	nonblocking_pair(fd);
	io_init(&e->io, fd[0]);
	e->n_reads = IO_READ;
	e->n_waits = -1;
	fiber_start_now("waits", waits_on_io, e);
	assert_int_equal(e->n_waits, -1);
	io_done(&e->io);
	fiber_yield();
	fiber_yield();
	assert_int_equal(e->n_waits, WAIT_CANCELLED);
	free(e);
	close(fd[0]);
	close(fd[1]);
}

static void forgetting_a_descriptor_ends_the_wait_on_it(void **state)
{
	(void)state;
	on_loop(forgets_io_under_a_waiter, NULL);
}

static void waits_for_any(void *p)
{
	struct io a, b;
	int fa[2], fb[2], index = -1;

	(void)p;
	nonblocking_pair(fa);
	nonblocking_pair(fb);
	io_init(&a, fa[0]);
	io_init(&b, fb[0]);
	struct io_want want[] = { { &a, IO_READ }, { &b, IO_READ } };
	assert_int_equal(io_wait_any(want, 2, deadline_in(5), &index), WAIT_TIMEOUT);
	assert_int_equal(index, -1);
	assert_int_equal(write(fb[1], "x", 1), 1);
	assert_int_equal(io_wait_any(want, 2, deadline_in(1000), &index), WAIT_OK);
	assert_int_equal(index, 1);
	assert_int_equal(write(fa[1], "x", 1), 1);
	io_clear(&b, IO_READ);
	assert_int_equal(io_wait_any(want, 2, deadline_in(1000), &index), WAIT_OK);
	assert_int_equal(index, 0);
	assert_null(a.waiter);
	assert_null(b.waiter);
	io_done(&a);
	io_done(&b);
	for (int i = 0; i < 2; i++) {
		close(fa[i]);
		close(fb[i]);
	}
}

static void one_of_many_descriptors_ends_the_wait(void **state)
{
	(void)state;
	on_loop(waits_for_any, NULL);
}

struct parked {
	struct io io;
	int n_calls;
	struct loop_hook hook;
};

static void parked_ready(struct io *io)
{
	struct parked *k = CONTAINER(io, struct parked, io);

	assert_null(fiber_self());
	k->n_calls++;
}

static void parks(void *p)
{
	struct parked k = { .n_calls = 0 };
	int fd[2];

	(void)p;
	nonblocking_pair(fd);
	io_init(&k.io, fd[0]);
	io_park(&k.io, parked_ready);
	fiber_sleep(deadline_in(5));
	assert_int_equal(k.n_calls, 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	fiber_sleep(deadline_in(5));
	assert_int_equal(k.n_calls, 1);
	assert_int_equal(write(fd[1], "x", 1), 1);
	fiber_sleep(deadline_in(5));
	assert_int_equal(k.n_calls, 1); /* once */
	io_park(&k.io, parked_ready);   /* readable already: in the next turn */
	assert_int_equal(k.n_calls, 1);
	fiber_yield();
	fiber_yield();
	assert_int_equal(k.n_calls, 2);
	io_park(&k.io, parked_ready);
	io_unpark(&k.io);
	fiber_sleep(deadline_in(5));
	assert_int_equal(k.n_calls, 2);
	io_clear(&k.io, IO_READ);
	io_park(&k.io, parked_ready);
	close(fd[1]);
	fiber_sleep(deadline_in(5));
	assert_int_equal(k.n_calls, 3); /* hanging up counts */
	io_done(&k.io);
	close(fd[0]);
}

static void a_parked_descriptor_calls_once_when_it_becomes_readable(void **state)
{
	(void)state;
	on_loop(parks, NULL);
}

static void hook_runs(struct loop_hook *h)
{
	struct parked *k = CONTAINER(h, struct parked, hook);

	k->n_calls++;
	io_done(&k->io);
	close(k->io.fd);
}

static void leaves_parked(void *p)
{
	struct parked *k = p;
	int fd[2];

	nonblocking_pair(fd);
	io_init(&k->io, fd[0]);
	io_park(&k->io, parked_ready);
	loop_at_stop(loop_self(), &k->hook, hook_runs);
	close(fd[1]);
}

static void hooks_clean_up_when_a_loop_stops(void **state)
{
	struct parked k = { .n_calls = 0 };

	(void)state;
	on_loop(leaves_parked, &k);
	assert_true(k.n_calls >= 1);
}

struct listener {
	struct io io;
	int n_accepted;
	bool is_lazy;
};

static void accepts(struct io *io)
{
	struct listener *x = CONTAINER(io, struct listener, io);

	if (x->is_lazy) { /* level-triggered: it will be told again */
		x->is_lazy = false;
		return;
	}
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		x->n_accepted++;
		close(fd);
	}
}

static void listens(void *p)
{
	struct listener x = { .is_lazy = true };
	struct sockaddr at = { .sa_family = AF_UNIX };
	struct sockaddr_storage bound;
	socklen_t n = sizeof(bound);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), c[3];

	(void)p;
	assert_int_equal(bind(fd, &at, sizeof(sa_family_t)), 0); /* a free abstract name */
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &n), 0);
	io_init(&x.io, fd);
	io_listen(&x.io, accepts);
	for (size_t i = 0; i < COUNT(c); i++) {
		c[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(c[i], (struct sockaddr *)&bound, n), 0);
	}
	for (int i = 0; i < 1000 && x.n_accepted < 3; i++)
		fiber_sleep(deadline_in(1));
	assert_int_equal(x.n_accepted, 3);
	io_done(&x.io);
	for (size_t i = 0; i < COUNT(c); i++)
		close(c[i]);
	close(fd);
}

static void a_listener_is_told_as_long_as_somebody_waits(void **state)
{
	(void)state;
	on_loop(listens, NULL);
}

/* ---- timers ------------------------------------------------------------------------------------- */

#define TIMERS 300

struct probe {
	struct timer timer;
	deadline set_to; /* the naive model: NEVER when not set */
	int n_fired;
};

static struct wheel wheel;
static deadline last_fired;

static void probe_fires(struct timer *t)
{
	struct probe *p = CONTAINER(t, struct probe, timer);

	assert_true(p->set_to != DEADLINE_NEVER);
	assert_true(wheel.now >= p->set_to);
	assert_true(p->set_to >= last_fired); /* in order of time */
	last_fired = p->set_to;
	p->set_to = DEADLINE_NEVER;
	p->n_fired++;
}

/* Times of all sizes: within a slot, across levels, far away. */
static deadline some_time(void)
{
	return 1 + (deadline)(((uint64_t)rand() << 20 ^ (uint64_t)rand()) >>
			      (20 + (unsigned)rand() % 31));
}

static deadline model_next(const struct probe *p)
{
	deadline next = DEADLINE_NEVER;

	for (int i = 0; i < TIMERS; i++)
		if (p[i].set_to < next)
			next = p[i].set_to;
	return next;
}

static void the_wheel_agrees_with_a_naive_model(void **state)
{
	static struct probe p[TIMERS];
	int n_fired = 0;

	(void)state;
	srand(1);
	wheel_init(&wheel, 123456789);
	for (int i = 0; i < TIMERS; i++) {
		timer_init(&p[i].timer, probe_fires);
		p[i].set_to = DEADLINE_NEVER;
	}
	for (int step = 0; step < 50000; step++) {
		struct probe *x = &p[rand() % TIMERS];
		deadline now = wheel.now;

		switch (rand() % 4) {
		case 0:
		case 1:
			x->set_to = now + some_time();
			wheel_set(&wheel, &x->timer, x->set_to);
			break;
		case 2:
			x->set_to = DEADLINE_NEVER;
			wheel_clear(&wheel, &x->timer);
			break;
		case 3:
			now += some_time();
			last_fired = 0;
			assert_true(wheel_next(&wheel) <= model_next(p));
			wheel_advance(&wheel, now);
			assert_true(model_next(p) > now);
			assert_true(wheel_next(&wheel) > now);
			break;
		}
		if (model_next(p) == DEADLINE_NEVER)
			assert_int_equal(wheel_next(&wheel), DEADLINE_NEVER);
	}
	wheel_done(&wheel);
	for (int i = 0; i < TIMERS; i++) {
		assert_true(list_is_empty(&p[i].timer.link));
		n_fired += p[i].n_fired;
	}
	assert_true(n_fired > 1000);
}

static struct probe pair[2];

static void clears_the_other(struct timer *t)
{
	struct probe *p = CONTAINER(t, struct probe, timer);

	p->n_fired++;
	wheel_clear(&wheel, &pair[1 - (p - pair)].timer);
	if (p->n_fired < 3)
		wheel_set(&wheel, t, wheel.now); /* in the past: the next millisecond */
}

static void a_timer_may_clear_another_that_is_due_and_set_itself(void **state)
{
	(void)state;
	wheel_init(&wheel, 0);
	for (int i = 0; i < 2; i++) {
		timer_init(&pair[i].timer, clears_the_other);
		wheel_set(&wheel, &pair[i].timer, 100);
	}
	wheel_advance(&wheel, 99);
	assert_int_equal(pair[0].n_fired + pair[1].n_fired, 0);
	wheel_advance(&wheel, 200);
	assert_int_equal(pair[0].n_fired, 3);
	assert_int_equal(pair[1].n_fired, 0);
	wheel_set(&wheel, &pair[1].timer, DEADLINE_NEVER);
	assert_int_equal(wheel_next(&wheel), DEADLINE_NEVER);
	wheel_set(&wheel, &pair[1].timer, DEADLINE_NEVER - 1); /* held at the wheel's end */
	assert_true(wheel_next(&wheel) > 200);
	wheel_done(&wheel);
}

struct tick {
	struct timer timer;
	int n;
};

static void ticks(struct timer *t)
{
	struct tick *k = CONTAINER(t, struct tick, timer);

	k->n++;
	assert_null(fiber_self());
	timer_set(t, deadline_in(2));
}

static void sets_timers(void *p)
{
	struct tick k = { .n = 0 };
	int64_t began = loop_now_ms();

	(void)p;
	timer_init(&k.timer, ticks);
	timer_set(&k.timer, deadline_in(2));
	while (k.n < 5)
		fiber_sleep(deadline_in(2));
	assert_true(k.n <= (loop_now_ms() - began) / 2 + 1);
	timer_clear(&k.timer);
	timer_clear(&k.timer);
	k.n = 0;
	fiber_sleep(deadline_in(6));
	assert_int_equal(k.n, 0);
}

static void timers_of_a_loop_fire_until_cleared(void **state)
{
	(void)state;
	on_loop(sets_timers, NULL);
}

/* ---- threads: posts, channels, offload ----------------------------------------------------------- */

#define POSTS 20000

static int n_posted[3];

static void posted(void *p)
{
	int *at = p;

	(*at)++;
	assert_null(fiber_self());
}

struct poster {
	struct loop *to;
	void *counter;
};

static void *posts_many(void *p)
{
	struct poster *x = p;

	for (int i = 0; i < POSTS; i++)
		loop_post(x->to, posted, x->counter);
	return NULL;
}

static void posts_from_threads_all_arrive(void **state)
{
	struct loop *l = NULL;
	pthread_t threads[3], runner;
	struct poster x[3];

	(void)state;
	assert_null(loop_new("test", 7, &l));
	assert_int_equal(loop_index(l), 7);
	assert_null(loop_self());
	pthread_create(&runner, NULL, loop_thread, l);
	for (int i = 0; i < 3; i++) {
		x[i] = (struct poster){ l, &n_posted[i] };
		pthread_create(&threads[i], NULL, posts_many, &x[i]);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	loop_stop(l);
	loop_stop(l);
	pthread_join(runner, NULL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(n_posted[i], POSTS);
	loop_post(l, posted, &n_posted[0]); /* too late: dropped */
	assert_int_equal(n_posted[0], POSTS);
	loop_drop(&l);
}

struct line {
	struct chan *chan;
	int n_received, n_bad;
	uintptr_t last[2];
};

#define SENT 20000

static void *sends(void *p)
{
	struct chan *c = ((struct line *)p)->chan;

	for (uintptr_t i = 1; i <= SENT; i++)
		while (!chan_try_send(c, (void *)(i << 1)))
			sched_yield();
	return NULL;
}

static void *sends_odd(void *p)
{
	struct chan *c = ((struct line *)p)->chan;

	for (uintptr_t i = 1; i <= SENT; i++)
		while (!chan_try_send(c, (void *)(i << 1 | 1)))
			sched_yield();
	return NULL;
}

static void receives(void *p)
{
	struct line *x = p;
	void *got;

	while (chan_receive(x->chan, &got, deadline_in(20000)) == WAIT_OK) {
		uintptr_t v = (uintptr_t)got;

		x->n_bad += v >> 1 != x->last[v & 1] + 1;
		x->last[v & 1] = v >> 1;
		if (++x->n_received == 2 * SENT)
			break;
	}
}

static void runs_line(void *p)
{
	struct line *x = p;
	pthread_t threads[2];
	void *got;

	x->chan = chan_new(loop_self(), 100);
	pthread_create(&threads[0], NULL, sends, x);
	pthread_create(&threads[1], NULL, sends_odd, x);
	receives(x);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	assert_int_equal(chan_receive(x->chan, &got, deadline_in(2)), WAIT_TIMEOUT);
	for (int i = 0; i < 100; i++)
		assert_true(chan_try_send(x->chan, x));
	assert_false(chan_try_send(x->chan, x));
	chan_drop(&x->chan);
	assert_null(x->chan);
}

static void a_channel_keeps_the_order_of_each_sender(void **state)
{
	struct line x = { 0 };

	(void)state;
	on_loop(runs_line, &x);
	assert_int_equal(x.n_received, 2 * SENT);
	assert_int_equal(x.n_bad, 0);
}

static void receives_one(void *p)
{
	struct line *x = p;
	void *got;

	if (chan_receive(x->chan, &got, DEADLINE_NEVER) == WAIT_OK)
		x->n_received++;
	else
		x->n_bad++;
}

static void two_receive(void *p)
{
	struct line *x = p;
	struct fiber *last;

	x->chan = chan_new(loop_self(), 4);
	fiber_start_now("1", receives_one, x);
	fiber_start_now("2", receives_one, x);
	last = fiber_start_now("3", receives_one, x);
	assert_true(chan_try_send(x->chan, x));
	assert_true(chan_try_send(x->chan, x));
	fiber_sleep(deadline_in(5));
	assert_int_equal(x->n_received, 2);
	fiber_cancel(last);
	fiber_sleep(deadline_in(5));
	assert_int_equal(x->n_bad, 1);
	chan_drop(&x->chan);
}

static void several_fibers_may_receive_from_a_channel(void **state)
{
	struct line x = { 0 };

	(void)state;
	on_loop(two_receive, &x);
}

static void job_blocks(void *p)
{
	usleep(10000);
	atomic_fetch_add((atomic_int *)p, 1);
}

static void waits_for_job(void *p)
{
	offload(job_blocks, p);
	atomic_fetch_add((atomic_int *)p, 100);
}

static void offloads(void *p)
{
	atomic_int *n = p;
	struct fiber *f;

	waits_for_job(n);
	assert_int_equal(*n, 101);
	fiber_start_now("2", waits_for_job, n);
	f = fiber_start_now("3", waits_for_job, n);
	fiber_cancel(f); /* it waits none the less */
	fiber_yield();
	assert_true(*n < 300);
	offload_detached(job_blocks, n);
	offload_long(job_blocks, n);
	offload_long_detached(job_blocks, n);
}

static void says_priority(void *p)
{
	*(int *)p = getpriority(PRIO_PROCESS, 0);
}

static void asks_both(void *p)
{
	offload(says_priority, p);
	offload_long(says_priority, (int *)p + 1);
}

static void what_takes_long_gives_way_to_all_else(void **state)
{
	int nice[2] = { 0 };

	(void)state;
	assert_null(offload_start(1));
	on_loop(asks_both, nice);
	offload_stop();
	assert_int_equal(nice[0], getpriority(PRIO_PROCESS, 0));
	assert_true(nice[1] > nice[0] || nice[0] == 19);
}

static void jobs_run_on_other_threads_while_the_loop_goes_on(void **state)
{
	atomic_int n = 0;

	(void)state;
	assert_null(offload_start(2));
	on_loop(offloads, &n);
	offload_stop();
	assert_int_equal(n, 306);

	/* Without threads they run at once. */
	offload_detached(job_blocks, &n);
	on_loop(waits_for_job, &n);
	assert_int_equal(n, 408);
	err_forget();
	assert_non_null(offload_start(0));
	err_forget();
}

static void counts(void *p)
{
	atomic_fetch_add((atomic_int *)p, 1);
	fiber_sleep(deadline_in(1));
	atomic_fetch_add((atomic_int *)p, 1);
}

static void *starts_there(void *p)
{
	struct poster *x = p;

	for (int i = 0; i < 500; i++)
		fiber_start_on(x->to, "there", counts, x->counter);
	return NULL;
}

static void fibers_can_be_started_on_another_loop(void **state)
{
	struct loop *l = NULL;
	pthread_t starter, runner;
	atomic_int n = 0;
	struct poster x;

	(void)state;
	assert_null(loop_new("test", 0, &l));
	x = (struct poster){ l, &n };
	pthread_create(&runner, NULL, loop_thread, l);
	pthread_create(&starter, NULL, starts_there, &x);
	pthread_join(starter, NULL);
	loop_stop(l);
	pthread_join(runner, NULL);
	assert_int_equal(n, 1000);
	fiber_start_on(l, "too late", counts, &n);
	loop_drop(&l);
	assert_int_equal(n, 1000);
}

/* ---- what is asked ----------------------------------------------------------------- */

struct curious {
	struct loop *other;
	struct asked asked;
	bool is_clean;
};

static void notes(void *p)
{
	(void)p;
	asked_database(fiber_asked(), "test", STR("SELECT"), asked_begin(fiber_asked()), false);
}

static void looks(void *p)
{
	struct curious *c = p;

	c->is_clean = !fiber_asked();
	notes(NULL);
	loop_stop(loop_self());
}

static void asks_others(void *p)
{
	struct curious *c = p;

	fiber_set_asked(&c->asked);
	for (int i = 0; i < ASKED_MAX + 5; i++)
		fiber_ask(c->other, "notes", notes, NULL);
	fiber_start("looks", looks, c); /* perhaps on the stack that this one leaves */
}

static void what_is_asked_is_noted_across_loops_and_for_that_fiber_alone(void **state)
{
	struct arena *a = arena_new();
	struct curious c = { .asked = { .a = a } };
	struct loop *l = NULL;
	pthread_t runner;

	(void)state;
	assert_null(loop_new("test", 0, &l));
	assert_null(loop_new("other", 1, &c.other));
	pthread_create(&runner, NULL, loop_thread, c.other);
	fiber_start_on(l, "asks", asks_others, &c);
	loop_run(l);
	loop_stop(c.other);
	pthread_join(runner, NULL);
	assert_true(c.is_clean);
	assert_int_equal(c.asked.n, ASKED_MAX);
	assert_string_equal(c.asked.first->database, "test");
	assert_true(str_is(c.asked.last->statement, "SELECT"));
	assert_true(c.asked.first->began_us <= c.asked.first->ended_us);
	loop_drop(&c.other);
	loop_drop(&l);
	arena_drop(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fibers_take_turns_in_order_of_their_start),
		cmocka_unit_test(a_fiber_started_now_runs_before_its_starter_goes_on),
		cmocka_unit_test(each_fiber_has_its_own_errors),
		cmocka_unit_test(ten_thousand_fibers_live_at_once_and_their_stacks_are_pooled),
		cmocka_unit_test(stacks_that_nobody_takes_are_given_back),
		cmocka_unit_test(the_high_water_mark_is_seen),
		cmocka_unit_test(running_over_a_stack_is_caught_by_the_guard),
		cmocka_unit_test(a_sleep_lasts_as_long_as_asked),
		cmocka_unit_test(cancelling_unwinds_through_every_wait),
		cmocka_unit_test(stopping_a_loop_cancels_what_still_runs),
		cmocka_unit_test(a_fiber_may_cancel_itself),
		cmocka_unit_test(a_gate_wakes_one_or_all_and_skips_the_cancelled),
		cmocka_unit_test(a_stream_crosses_edges_without_loss),
		cmocka_unit_test(waits_end_by_time_data_or_hangup),
		cmocka_unit_test(forgetting_a_descriptor_ends_the_wait_on_it),
		cmocka_unit_test(one_of_many_descriptors_ends_the_wait),
		cmocka_unit_test(a_parked_descriptor_calls_once_when_it_becomes_readable),
		cmocka_unit_test(hooks_clean_up_when_a_loop_stops),
		cmocka_unit_test(a_listener_is_told_as_long_as_somebody_waits),
		cmocka_unit_test(the_wheel_agrees_with_a_naive_model),
		cmocka_unit_test(a_timer_may_clear_another_that_is_due_and_set_itself),
		cmocka_unit_test(timers_of_a_loop_fire_until_cleared),
		cmocka_unit_test(posts_from_threads_all_arrive),
		cmocka_unit_test(a_channel_keeps_the_order_of_each_sender),
		cmocka_unit_test(several_fibers_may_receive_from_a_channel),
		cmocka_unit_test(jobs_run_on_other_threads_while_the_loop_goes_on),
		cmocka_unit_test(what_takes_long_gives_way_to_all_else),
		cmocka_unit_test(fibers_can_be_started_on_another_loop),
		cmocka_unit_test(what_is_asked_is_noted_across_loops_and_for_that_fiber_alone),
	};

	choose_loops();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
