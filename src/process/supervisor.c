/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's loop: signals, workers that start, serve, drain and die, and
 * the deadlines between them.
 *
 * There is one current worker; a reload starts a candidate beside it.  When the
 * candidate serves it becomes the current one and the former drains; when it
 * does not, it is gone and nothing has changed.  Every wait has a deadline, so
 * that neither a worker that hangs nor one that ignores signals can hold the
 * supervisor up. */
#include "base/clock.h"
#include "base/vec.h"
#include "observe/error_log.h"
#include "process/priv.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS    60000 /* a worker must serve by then */
#define KILL_MS     10000 /* between SIGTERM and SIGKILL */
#define WORKERS_MAX 64    /* drained ones included */
#define QUICK_MS    1000  /* a worker that dies younger than this has not lived */
#define QUICK_FREE  10    /* so many may do so before restarts become rare */

enum worker_state {
	WORKER_STARTING, /* has said nothing yet */
	WORKER_SERVING,
	WORKER_DRAINING, /* was sent SIGQUIT */
	WORKER_STOPPING, /* was sent SIGTERM */
	WORKER_KILLED,
};

struct worker {
	pid_t pid;    /* 0: the place is free */
	bool is_dead; /* reaped: its pid may be another's by now */
	enum worker_state state;
	struct generation *generation; /* of a candidate, until it serves */
	int ready_fd;                  /* -1 when it has told */
	int64_t started_at;
	int64_t deadline; /* when its state has lasted too long */
	char said[4096];
	size_t said_n;
};

enum stopping { RUNNING, STOP_GRACEFULLY, STOP_NOW };

struct supervisor {
	struct generation *current;
	worker_main_fn *worker_main;
	struct worker workers[WORKERS_MAX];
	struct worker *serving;   /* the current worker, starting or serving; or NULL */
	struct worker *candidate; /* of a reload, or NULL */
	bool reload_again;        /* a SIGHUP came during a reload */
	enum stopping stopping;
	int64_t restart_at; /* DEADLINE_NEVER: no worker is missing */
	int quick_deaths;
	bool was_told; /* how the start went */
	bool is_over;
	int signal_fd;
	void (*started)(void *arg, const struct err *e);
	void *arg;
};

static void tell_start(struct supervisor *s, const struct err *e)
{
	if (s->was_told)
		return;
	s->was_told = true;
	s->started(s->arg, e);
	if (e)
		s->is_over = true;
}

/* ---- workers ---------------------------------------------------------------------------- */

static void signal_worker(struct worker *w, int signal_number, enum worker_state state,
			  int64_t wait_ms)
{
	if (!w->is_dead)
		kill(w->pid, signal_number);
	w->state = state;
	w->deadline = wait_ms ? clock_mono_ms() + wait_ms : DEADLINE_NEVER;
}

static void drain(struct supervisor *s, struct worker *w)
{
	if (w->state < WORKER_DRAINING)
		signal_worker(w, SIGQUIT, WORKER_DRAINING,
			      s->current->settings->worker_shutdown_timeout_ms);
}

static void stop(struct worker *w)
{
	if (w->state < WORKER_STOPPING)
		signal_worker(w, SIGTERM, WORKER_STOPPING, KILL_MS);
}

static void each_worker(struct supervisor *s, void (*fn)(struct supervisor *, struct worker *))
{
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		if (s->workers[i].pid)
			fn(s, &s->workers[i]);
	}
}

static bool has_workers(const struct supervisor *s)
{
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		if (s->workers[i].pid)
			return true;
	}
	return false;
}

/* A free place; when old workers that drain hold all, the oldest must go. */
static struct worker *free_place(struct supervisor *s)
{
	struct worker *oldest = NULL;

	for (size_t i = 0; i < WORKERS_MAX; i++) {
		struct worker *w = &s->workers[i];

		if (!w->pid)
			return w;
		if (w->state == WORKER_DRAINING && (!oldest || w->started_at < oldest->started_at))
			oldest = w;
	}
	if (oldest)
		stop(oldest);
	return NULL;
}

struct fd_list {
	int *v;
	size_t n, cap;
};

/* Sockets that another generation has and g has not. */
static void add_foreign(struct arena *a, struct fd_list *list, const struct sockets *other,
			const struct generation *g)
{
	for (size_t i = 0; i < other->n; i++) {
		for (size_t k = 0; k < other->v[i].n; k++) {
			if (!sockets_have(&g->sockets, other->v[i].fds[k]))
				*vec_add(a, list) = other->v[i].fds[k];
		}
	}
}

/* What a worker of g must not keep: a listening socket that nobody accepts from
 * would let clients wait for ever. */
static struct fd_list not_for(struct arena *a, const struct supervisor *s,
			      const struct generation *g)
{
	struct fd_list list = { 0 };

	*vec_add(a, &list) = s->signal_fd;
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		if (s->workers[i].pid && s->workers[i].ready_fd >= 0)
			*vec_add(a, &list) = s->workers[i].ready_fd;
	}
	add_foreign(a, &list, &s->current->sockets, g);
	if (s->candidate && s->candidate->generation)
		add_foreign(a, &list, &s->candidate->generation->sockets, g);
	*vec_add(a, &list) = -1;
	return list;
}

static struct err *spawn(struct supervisor *s, struct generation *g, struct worker **ret)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct worker *w = free_place(s);
	struct fd_list ours = not_for(a, s, g);

	if (!w)
		return FAIL(ERR_CONFLICT, "%d workers are still draining", WORKERS_MAX);
	*w = (struct worker){ .ready_fd = -1 };
	PASS(worker_fork(g, s->worker_main, ours.v, &w->pid, &w->ready_fd));
	w->started_at = clock_mono_ms();
	w->deadline = w->started_at + START_MS;
	log_info("started worker %ld", (long)w->pid);
	*ret = w;
	return NULL;
}

/* ---- restarts ------------------------------------------------------------------------------- */

static void plan_restart(struct supervisor *s, bool is_quick)
{
	int64_t wait_ms = 0;

	s->quick_deaths = is_quick ? s->quick_deaths + 1 : 0;
	if (s->quick_deaths > 0)
		wait_ms = s->quick_deaths > QUICK_FREE ? 1000 : 100;
	s->restart_at = clock_mono_ms() + wait_ms;
}

static void restart(struct supervisor *s)
{
	struct err *e;

	s->restart_at = DEADLINE_NEVER;
	if (s->stopping != RUNNING || s->serving)
		return;
	e = spawn(s, s->current, &s->serving);
	if (e) {
		log_err(LOG_ALERT_, e, "cannot start a worker");
		plan_restart(s, true);
		err_forget();
	}
}

/* ---- reload ------------------------------------------------------------------------------------ */

static struct err *begin_reload(struct supervisor *s)
{
	struct arena *arena = arena_new();
	struct settings *settings;
	struct generation *g = NULL;
	const char *path = settings_path(arena, s->current->settings, ".kong_env").s;
	struct err *e = settings_read_env(arena, path, &settings);

	if (!e)
		e = settings_servable(settings);
	if (!e)
		e = generation_new(arena, settings, s->current, &g);
	if (e) {
		arena_drop(&arena);
		return e;
	}
	e = spawn(s, g, &s->candidate);
	if (e) {
		generation_drop(&g, s->current);
		return e;
	}
	s->candidate->generation = g;
	return NULL;
}

static void fail_reload(struct supervisor *s, struct err *e)
{
	log_err(LOG_ERROR_, e, "reload failed, the configuration in use is kept");
	outcome_tell(s->current->settings, e);
	err_forget();
}

static void reload(struct supervisor *s)
{
	struct err *e;

	if (s->stopping != RUNNING)
		return;
	if (s->candidate) {
		s->reload_again = true;
		return;
	}
	s->reload_again = false;
	log_notice("reloading");
	e = begin_reload(s);
	if (e)
		fail_reload(s, e);
}

/* What the new settings change for the supervisor itself. */
static void take_over_logs(const struct settings *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct err *e;

	log_set_level(s->log_level_kind);
	if (!s->proxy_error.path.s)
		return;
	e = error_log_open(a, s->proxy_error.path);
	if (e)
		log_err(LOG_ERROR_, e, "the error log cannot be opened");
	err_forget();
}

static void finish_reload(struct supervisor *s)
{
	struct worker *former = s->serving, *w = s->candidate;
	struct generation *old = s->current;

	s->current = w->generation;
	w->generation = NULL;
	s->serving = w;
	s->candidate = NULL;
	s->restart_at = DEADLINE_NEVER;
	s->quick_deaths = 0;
	if (former)
		drain(s, former);
	generation_drop(&old, s->current);
	take_over_logs(s->current->settings);
	log_notice("reloaded, worker %ld serves", (long)w->pid);
	outcome_tell(s->current->settings, NULL);
}

/* The candidate will not serve; e says why. */
static void lose_candidate(struct supervisor *s, struct worker *w, struct err *e)
{
	s->candidate = NULL;
	generation_drop(&w->generation, s->current);
	fail_reload(s, e);
	if (!s->serving && s->restart_at == DEADLINE_NEVER)
		plan_restart(s, false);
}

/* ---- what workers say --------------------------------------------------------------------------- */

static void close_ready(struct worker *w)
{
	if (w->ready_fd >= 0)
		close(w->ready_fd);
	w->ready_fd = -1;
}

/* It has told why it does not serve, or was silent for too long. */
static void give_up(struct supervisor *s, struct worker *w, struct err *e)
{
	close_ready(w);
	stop(w);
	if (w == s->candidate) {
		lose_candidate(s, w, e);
	} else if (w == s->serving) {
		s->serving = NULL;
		if (s->was_told)
			log_err(LOG_ALERT_, e, "worker %ld does not serve", (long)w->pid);
		tell_start(s, e);
		plan_restart(s, true);
		s->quick_deaths = QUICK_FREE; /* it will say the same again */
		err_forget();
	}
	if (s->reload_again)
		reload(s);
}

static void serve(struct supervisor *s, struct worker *w)
{
	close_ready(w);
	if (w->state != WORKER_STARTING)
		return;
	w->state = WORKER_SERVING;
	w->deadline = DEADLINE_NEVER;
	if (w == s->candidate)
		finish_reload(s);
	else
		tell_start(s, NULL);
	if (s->reload_again)
		reload(s);
}

static void listen_to(struct supervisor *s, struct worker *w)
{
	ssize_t n = read(w->ready_fd, w->said + w->said_n, sizeof(w->said) - w->said_n);
	str said;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		w->said_n += (size_t)n;
	if (n > 0 && w->said_n < sizeof(w->said) && w->said[w->said_n - 1] != '\n')
		return;
	said = str_trim(str_at(w->said, w->said_n));
	if (str_is(said, "ready"))
		serve(s, w);
	else if (said.n > 0)
		give_up(s, w, FAIL(ERR_INVALID, STRF, STRV(said)));
	else
		close_ready(w); /* it dies without a word: its end is told by SIGCHLD */
}

/* ---- the death of workers ------------------------------------------------------------------------- */

static struct err *death(int status)
{
	if (WIFSIGNALED(status))
		return FAIL(ERR_INTERNAL, "the worker was ended by signal %d (%s)",
			    WTERMSIG(status), strsignal(WTERMSIG(status)));
	return FAIL(ERR_INTERNAL, "the worker ended with status %d", WEXITSTATUS(status));
}

static void bury(struct supervisor *s, struct worker *w, int status)
{
	struct worker dead = *w;
	bool was_candidate = w == s->candidate, was_serving = w == s->serving;
	struct err *e;

	w->is_dead = true;
	if (w->ready_fd >= 0) { /* what it said with its last breath, to the end */
		for (int i = 0; i < 4 && w->ready_fd >= 0; i++)
			listen_to(s, w);
		was_candidate = w == s->candidate;
		was_serving = w == s->serving;
		dead = *w;
		close_ready(w);
	}
	w->pid = 0;
	e = death(status);
	if (was_candidate) {
		lose_candidate(s, w, e);
		if (s->reload_again)
			reload(s);
	} else if (was_serving && s->stopping == RUNNING) {
		s->serving = NULL;
		if (s->was_told)
			log_err(LOG_ALERT_, e, "worker %ld is gone, starting another",
				(long)dead.pid);
		tell_start(s, e);
		plan_restart(s, clock_mono_ms() - dead.started_at < QUICK_MS);
		err_forget();
	} else {
		log_info("worker %ld has ended", (long)dead.pid);
		if (was_serving)
			s->serving = NULL;
	}
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < WORKERS_MAX; i++) {
			if (s->workers[i].pid == pid)
				bury(s, &s->workers[i], status);
		}
	}
}

/* ---- stopping ---------------------------------------------------------------------------------------- */

static void stop_one(struct supervisor *s, struct worker *w)
{
	(void)s;
	stop(w);
}

static void abandon_reload(struct supervisor *s)
{
	struct worker *w = s->candidate;

	if (!w)
		return;
	s->candidate = NULL;
	s->reload_again = false;
	generation_drop(&w->generation, s->current);
	stop(w);
	outcome_tell(s->current->settings, FAIL(ERR_CANCELLED, "the gateway was stopped"));
	err_forget();
}

static void begin_stop(struct supervisor *s, enum stopping how)
{
	if (s->stopping >= how)
		return;
	log_notice(how == STOP_NOW ? "stopping" : "stopping when all requests are served");
	s->stopping = how;
	s->restart_at = DEADLINE_NEVER;
	abandon_reload(s);
	each_worker(s, how == STOP_NOW ? stop_one : drain);
	/* Who connects from now on is refused, not left waiting for nobody. */
	sockets_close(&s->current->sockets, NULL);
	s->current->sockets.n = 0;
	tell_start(s, FAIL(ERR_CANCELLED, "stopped while starting"));
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static void forward_reopen(struct supervisor *s, struct worker *w)
{
	(void)s;
	if (!w->is_dead)
		kill(w->pid, SIGUSR1);
}

/* After a rotation the files are new: made here, as root, for a worker that may
 * not make files beside them. */
static void reopen_logs(struct supervisor *s)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct err *e = prefix_make_logs(a, s->current->settings, &s->current->identity);

	if (!e)
		e = log_reopen();
	if (e)
		log_err(LOG_ERROR_, e, "the logs cannot be reopened");
	err_forget();
	each_worker(s, forward_reopen);
}

static void take_signal(struct supervisor *s, uint32_t number)
{
	switch (number) {
	case SIGCHLD:
		reap(s);
		break;
	case SIGTERM:
	case SIGINT:
		begin_stop(s, STOP_NOW);
		break;
	case SIGQUIT:
		begin_stop(s, STOP_GRACEFULLY);
		break;
	case SIGHUP:
		reload(s);
		break;
	case SIGUSR1:
		reopen_logs(s);
		break;
	default:
		break;
	}
}

static void take_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		take_signal(s, info.ssi_signo);
}

static void take_deadline(struct supervisor *s, struct worker *w)
{
	if (clock_mono_ms() < w->deadline)
		return;
	switch (w->state) {
	case WORKER_STARTING:
		give_up(s, w,
			FAIL(ERR_TIMEOUT, "the worker did not serve within %d seconds",
			     START_MS / 1000));
		break;
	case WORKER_DRAINING:
		log_warn("worker %ld still drains, stopping it", (long)w->pid);
		stop(w);
		break;
	case WORKER_STOPPING:
		log_warn("worker %ld does not stop, killing it", (long)w->pid);
		signal_worker(w, SIGKILL, WORKER_KILLED, 0);
		break;
	default:
		w->deadline = DEADLINE_NEVER;
		break;
	}
}

static int wait_ms(const struct supervisor *s)
{
	int64_t first = s->restart_at, now = clock_mono_ms();

	for (size_t i = 0; i < WORKERS_MAX; i++) {
		if (s->workers[i].pid && s->workers[i].deadline < first)
			first = s->workers[i].deadline;
	}
	if (first == DEADLINE_NEVER)
		return -1;
	return first <= now ? 0 : first - now > 60000 ? 60000 : (int)(first - now);
}

static void turn(struct supervisor *s)
{
	struct pollfd fds[WORKERS_MAX + 1] = { { .fd = s->signal_fd, .events = POLLIN } };

	for (size_t i = 0; i < WORKERS_MAX; i++)
		fds[i + 1] = (struct pollfd){ .fd = s->workers[i].pid ? s->workers[i].ready_fd : -1,
					      .events = POLLIN };
	if (poll(fds, COUNT(fds), wait_ms(s)) < 0 && errno != EINTR)
		die("supervisor: poll: %m");
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		struct worker *w = &s->workers[i];

		if (fds[i + 1].revents && w->pid && w->ready_fd == fds[i + 1].fd)
			listen_to(s, w);
	}
	take_signals(s);
	each_worker(s, take_deadline);
	if (clock_mono_ms() >= s->restart_at)
		restart(s);
}

/* What is left of the workers when the start has failed. */
static void end_workers(struct supervisor *s)
{
	each_worker(s, stop_one);
	while (has_workers(s))
		turn(s);
}

void supervisor_run(struct generation *g, worker_main_fn *worker,
		    void (*started)(void *arg, const struct err *e), void *arg)
{
	static const int signals[] = { SIGCHLD, SIGTERM, SIGINT,  SIGQUIT,
				       SIGHUP,  SIGUSR1, SIGUSR2, SIGWINCH };
	struct arena *a CLEANUP(arena_drop) = arena_new();
	struct supervisor *s = NEW(a, struct supervisor);
	struct err *e;
	sigset_t set;

	s->current = g;
	s->worker_main = worker;
	s->restart_at = DEADLINE_NEVER;
	s->started = started;
	s->arg = arg;
	sigemptyset(&set);
	for (size_t i = 0; i < COUNT(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL); /* until the process ends: nothing cuts its end short */
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		die("supervisor: signalfd: %m");
	e = spawn(s, g, &s->serving);
	if (e)
		tell_start(s, e);
	while (!s->is_over && (s->stopping == RUNNING || has_workers(s)))
		turn(s);
	s->stopping = STOP_NOW;
	end_workers(s);
	close(s->signal_fd);
	generation_drop(&s->current, NULL);
}
