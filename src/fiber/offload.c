/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what must block: one queue under a mutex.
 *
 * A job somebody waits for lies on the waiting fiber's stack, and that wait
 * cannot be cancelled.  Without threads - a command that runs no server - jobs
 * run at once, where they are asked for. */
#include "fiber/priv.h"

#include "base/log.h"
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 64

struct job {
	struct job *next;
	void (*fn)(void *);
	void *arg;
	struct fiber *fiber; /* who waits, or NULL: then the job is on the heap */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	struct job *first, **last;
	bool is_ending;
	int n_threads;
	pthread_t threads[THREADS_MAX];
} pool = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.has_work = PTHREAD_COND_INITIALIZER,
	.last = &pool.first,
};

static void job_done(void *p)
{
	struct job *j = p;

	fiber_wake(j->fiber, WAIT_OK);
}

/* The next job; NULL when there is none and none will come. */
static struct job *take_job(void)
{
	struct job *j;

	pthread_mutex_lock(&pool.lock);
	while (!pool.first && !pool.is_ending)
		pthread_cond_wait(&pool.has_work, &pool.lock);
	j = pool.first;
	if (j) {
		pool.first = j->next;
		if (!pool.first)
			pool.last = &pool.first;
	}
	pthread_mutex_unlock(&pool.lock);
	return j;
}

static void *work(void *unused)
{
	struct job *j;

	(void)unused;
	while ((j = take_job())) {
		j->fn(j->arg);
		err_forget();
		if (j->fiber)
			loop_post(j->fiber->loop, job_done, j);
		else
			free(j);
	}
	return NULL;
}

/* The threads take no signals: those are for who asked for them. */
struct err *offload_start(int threads)
{
	sigset_t all, before;
	int no = 0;

	assert(pool.n_threads == 0);
	if (threads < 1 || threads > THREADS_MAX)
		return FAIL(ERR_INVALID, "%d offload threads are not between 1 and %d", threads,
			    THREADS_MAX);
	pool.is_ending = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!no && pool.n_threads < threads) {
		no = pthread_create(&pool.threads[pool.n_threads], NULL, work, NULL);
		if (!no)
			pool.n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!no)
		return NULL;
	offload_stop();
	return FAIL(ERR_SYSTEM, "cannot start an offload thread: %s", strerror(no));
}

void offload_stop(void)
{
	pthread_mutex_lock(&pool.lock);
	pool.is_ending = true;
	pthread_cond_broadcast(&pool.has_work);
	pthread_mutex_unlock(&pool.lock);
	for (int i = 0; i < pool.n_threads; i++)
		pthread_join(pool.threads[i], NULL);
	pool.n_threads = 0;
}

/* False when there is nobody to run it. */
static bool put_job(struct job *j)
{
	bool is_open;

	pthread_mutex_lock(&pool.lock);
	is_open = pool.n_threads > 0 && !pool.is_ending;
	if (is_open) {
		*pool.last = j;
		pool.last = &j->next;
		pthread_cond_signal(&pool.has_work);
	}
	pthread_mutex_unlock(&pool.lock);
	return is_open;
}

void offload(void (*fn)(void *), void *arg)
{
	struct fiber *f = fiber_self();
	struct job j = { .fn = fn, .arg = arg, .fiber = f };

	if (!f || !put_job(&j)) {
		fn(arg);
		return;
	}
	f->is_stubborn = true;
	fiber_suspend(f, DEADLINE_NEVER);
	f->is_stubborn = false;
}

void offload_detached(void (*fn)(void *), void *arg)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		die("out of memory for a job");
	*j = (struct job){ .fn = fn, .arg = arg };
	if (put_job(j))
		return;
	free(j);
	fn(arg);
}

/* ---- another loop --------------------------------------------------------------------- */

static void run_asked(void *p)
{
	struct job *j = p;

	j->fn(j->arg);
	err_forget();
	loop_post(j->fiber->loop, job_done, j);
}

bool fiber_ask(struct loop *l, const char *name, void (*fn)(void *), void *arg)
{
	struct fiber *f = fiber_self();
	struct job j = { .fn = fn, .arg = arg, .fiber = f };

	if (l == loop_self()) {
		fn(arg);
		return true;
	}
	if (!fiber_start_on(l, name, run_asked, &j))
		return false;
	f->is_stubborn = true;
	fiber_suspend(f, DEADLINE_NEVER);
	f->is_stubborn = false;
	return true;
}
