/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what must block or take long: two crews, each with a queue under a mutex.
 *
 * A job somebody waits for lies on the waiting fiber's stack, and that wait
 * cannot be cancelled.  Without threads - a command that runs no server - jobs
 * run at once, where they are asked for.
 *
 * The patient crew has one thread with a worse priority: when it has the processor that
 * a loop needs, the scheduler puts it off at once instead of letting its slice run out, which
 * is milliseconds that clients would wait. */
#include "fiber/priv.h"

#include "base/log.h"
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define THREADS_MAX  64
#define PATIENT_NICE 5

struct job {
	struct job *next;
	void (*fn)(void *);
	void *arg;
	struct fiber *fiber; /* who waits, or NULL: then the job is on the heap */
};

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	struct job *first, **last;
	bool is_ending;
	int nice;
	int n_threads;
	pthread_t threads[THREADS_MAX];
};

static struct crew quick = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.has_work = PTHREAD_COND_INITIALIZER,
	.last = &quick.first,
};
static struct crew patient = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.has_work = PTHREAD_COND_INITIALIZER,
	.last = &patient.first,
	.nice = PATIENT_NICE,
};

static void job_done(void *p)
{
	struct job *j = p;

	fiber_wake(j->fiber, WAIT_OK);
}

/* The next job; NULL when there is none and none will come. */
static struct job *take_job(struct crew *c)
{
	struct job *j;

	pthread_mutex_lock(&c->lock);
	while (!c->first && !c->is_ending)
		pthread_cond_wait(&c->has_work, &c->lock);
	j = c->first;
	if (j) {
		c->first = j->next;
		if (!c->first)
			c->last = &c->first;
	}
	pthread_mutex_unlock(&c->lock);
	return j;
}

static void *work(void *p)
{
	struct crew *c = p;
	struct job *j;

	if (c->nice) /* of this thread alone; what is not allowed does without */
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(),
				  getpriority(PRIO_PROCESS, 0) + c->nice);
	while ((j = take_job(c))) {
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
static int start_crew(struct crew *c, int threads)
{
	sigset_t all, before;
	int no = 0;

	assert(c->n_threads == 0);
	c->is_ending = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!no && c->n_threads < threads) {
		no = pthread_create(&c->threads[c->n_threads], NULL, work, c);
		if (!no)
			c->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return no;
}

static void stop_crew(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->is_ending = true;
	pthread_cond_broadcast(&c->has_work);
	pthread_mutex_unlock(&c->lock);
	for (int i = 0; i < c->n_threads; i++)
		pthread_join(c->threads[i], NULL);
	c->n_threads = 0;
}

struct err *offload_start(int threads)
{
	int no;

	if (threads < 1 || threads > THREADS_MAX)
		return FAIL(ERR_INVALID, "%d offload threads are not between 1 and %d", threads,
			    THREADS_MAX);
	no = start_crew(&quick, threads);
	if (!no)
		no = start_crew(&patient, 1);
	if (!no)
		return NULL;
	offload_stop();
	return FAIL(ERR_SYSTEM, "cannot start an offload thread: %s", strerror(no));
}

void offload_stop(void)
{
	stop_crew(&patient);
	stop_crew(&quick);
}

/* False when there is nobody to run it. */
static bool put_job(struct crew *c, struct job *j)
{
	bool is_open;

	pthread_mutex_lock(&c->lock);
	is_open = c->n_threads > 0 && !c->is_ending;
	if (is_open) {
		*c->last = j;
		c->last = &j->next;
		pthread_cond_signal(&c->has_work);
	}
	pthread_mutex_unlock(&c->lock);
	return is_open;
}

static void give(struct crew *c, void (*fn)(void *), void *arg)
{
	struct fiber *f = fiber_self();
	struct job j = { .fn = fn, .arg = arg, .fiber = f };

	if (!f || !put_job(c, &j)) {
		fn(arg);
		return;
	}
	f->is_stubborn = true;
	fiber_suspend(f, DEADLINE_NEVER);
	f->is_stubborn = false;
}

void offload(void (*fn)(void *), void *arg)
{
	give(&quick, fn, arg);
}

void offload_long(void (*fn)(void *), void *arg)
{
	give(&patient, fn, arg);
}

static void give_detached(struct crew *c, void (*fn)(void *), void *arg)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		die("out of memory for a job");
	*j = (struct job){ .fn = fn, .arg = arg };
	if (put_job(c, j))
		return;
	free(j);
	fn(arg);
}

void offload_detached(void (*fn)(void *), void *arg)
{
	give_detached(&quick, fn, arg);
}

void offload_long_detached(void (*fn)(void *), void *arg)
{
	give_detached(&patient, fn, arg);
}

/* ---- another loop --------------------------------------------------------------------- */

static void run_asked(void *p)
{
	struct job *j = p;

	fiber_set_asked(j->fiber->asked);
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
