/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's birth: the fork, the privileges it gives up, and the one line with
 * which it says that it serves, or why it cannot. */
#include "process/priv.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- who it is ---------------------------------------------------------------------------- */

struct err *identity_find(struct arena *a, const struct settings *s, struct identity *ret)
{
	struct identity id = { .drops = geteuid() == 0 };
	const char *user = s->user.s ? str_z(a, s->user) : "nobody";
	const struct passwd *p;
	const struct group *g;

	if (!id.drops) {
		*ret = id;
		return NULL;
	}
	p = getpwnam(user);
	if (!p)
		return err_field(FAIL(ERR_NOT_FOUND, "nginx_user: there is no user %s", user),
				 "nginx_user");
	id.uid = p->pw_uid;
	id.gid = p->pw_gid;
	id.user = user;
	if (s->user.s && s->group.s) {
		g = getgrnam(str_z(a, s->group));
		if (!g)
			return err_field(FAIL(ERR_NOT_FOUND, "nginx_user: there is no group " STRF,
					      STRV(s->group)),
					 "nginx_user");
		id.gid = g->gr_gid;
	}
	*ret = id;
	return NULL;
}

struct err *worker_give_up_privileges(const struct worker_start *w)
{
	const struct identity *id = w->identity;

	if (id->drops) {
		if (setgid(id->gid) < 0)
			return FAIL_ERRNO("setgid");
		if (initgroups(id->user, id->gid) < 0)
			return FAIL_ERRNO("initgroups");
		if (setuid(id->uid) < 0)
			return FAIL_ERRNO("setuid");
	}
	/* setuid forgets both. */
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	if (getppid() != w->supervisor)
		return FAIL(ERR_CANCELLED, "the supervisor is gone");
	return NULL;
}

/* As many descriptors as the settings say, or as the system allows. */
static void raise_limits(const struct settings *s)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)s->worker_rlimit_nofile;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted;
	if (limit.rlim_max < wanted)
		limit.rlim_max = wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("the limit of open files cannot be raised to %lld", (long long)wanted);
}

/* ---- generations ----------------------------------------------------------------------------- */

struct err *generation_new(struct arena *arena, struct settings *s, const struct generation *before,
			   struct generation **ret)
{
	struct generation *g = NEW(arena, struct generation);

	g->arena = arena;
	g->settings = s;
	PASS(identity_find(arena, s, &g->identity));
	PASS(sockets_open(arena, s, s->worker_processes, before ? &before->sockets : NULL,
			  &g->sockets, &g->listeners, &g->n_listeners));
	g->legacy_fd = before ? before->legacy_fd : memfd_create("legacy", MFD_CLOEXEC);
	if (g->legacy_fd < 0)
		log_warn("the health of targets will not outlive a worker: %s",
			 strerrordesc_np(errno));
	*ret = g;
	return NULL;
}

void generation_drop(struct generation **g, const struct generation *keep)
{
	struct arena *arena;

	if (!*g)
		return;
	sockets_close(&(*g)->sockets, keep ? &keep->sockets : NULL);
	if (!keep && (*g)->legacy_fd >= 0)
		close((*g)->legacy_fd);
	arena = (*g)->arena;
	*g = NULL;
	arena_drop(&arena);
}

/* ---- what it says --------------------------------------------------------------------------------- */

static void tell(const struct worker_start *w, str text)
{
	while (text.n > 0) {
		ssize_t n = write(w->ready_fd, text.s, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		text = str_from(text, (size_t)n);
	}
	close(w->ready_fd);
}

void worker_tell_ready(const struct worker_start *w)
{
	if (w->identity->drops && geteuid() != w->identity->uid)
		die("the worker would serve with the privileges of root");
	tell(w, STR("ready\n"));
}

void worker_tell_failed(const struct worker_start *w, const struct err *e)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct err *root = err_root(e);
	str line = err_line(a, e);

	if (root->hint)
		line = str_fmt(a, STRF " (%s)", STRV(line), root->hint);
	tell(w, str_fmt(a, STRF "\n", STRV(str_part(line, 0, 4000))));
}

/* ---- the fork ------------------------------------------------------------------------------------------ */

/* Until its privileges are given up, which forgets it, too. */
static struct err *tie_to_supervisor(const struct worker_start *w)
{
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	return getppid() == w->supervisor ? NULL : FAIL(ERR_CANCELLED, "the supervisor is gone");
}

NORETURN static void child(worker_main_fn *worker, const struct worker_start *w,
			   const int *close_fds)
{
	struct err *e;
	sigset_t set;

	for (; *close_fds >= 0; close_fds++)
		close(*close_fds);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_limits(w->settings);
	e = tie_to_supervisor(w);
	if (e) {
		worker_tell_failed(w, e);
		_exit(1);
	}
	exit(worker(w));
}

struct err *worker_fork(const struct generation *g, worker_main_fn *worker, const int *close_fds,
			pid_t *ret_pid, int *ret_ready_fd)
{
	struct worker_start w = {
		.settings = g->settings,
		.listeners = g->listeners,
		.n_listeners = g->n_listeners,
		.n_loops = g->settings->worker_processes,
		.supervisor = getpid(),
		.legacy_fd = g->legacy_fd,
		.identity = &g->identity,
	};
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return FAIL_ERRNO("pipe");
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		w.ready_fd = ends[1];
		child(worker, &w, close_fds);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return FAIL_ERRNO("fork");
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*ret_pid = pid;
	*ret_ready_fd = ends[0];
	return NULL;
}
