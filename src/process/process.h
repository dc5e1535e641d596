/* SPDX-License-Identifier: Apache-2.0 */
/* process - the supervisor: one small process that outlives its workers.
 *
 * It holds the listening sockets, the pid file and its lock, and forks the
 * worker (no exec), which does all the work.  A worker that dies is replaced on
 * the same sockets; SIGHUP reads <prefix>/.kong_env anew, starts a new worker
 * beside the old one and lets the old one drain once the new one serves.
 *
 * Signals of the supervisor, as of Kong's nginx: SIGTERM, SIGINT stop at once;
 * SIGQUIT stops when the worker has drained; SIGHUP reloads; SIGUSR1 reopens
 * the logs.  What a worker gets: SIGTERM stop now, SIGQUIT drain and exit,
 * SIGUSR1 reopen logs.  All of them (and SIGHUP, SIGINT) are blocked when worker_main is
 * entered, SIGPIPE is ignored; the worker takes them when it is able to
 * (signalfd, or handlers and then sigprocmask).  A worker whose supervisor has
 * been killed gets SIGQUIT.
 *
 * The worker runs with the privileges of nginx_user, its descriptors' limit
 * raised, in the prefix's owner's files only where it may. */
#pragma once

#include "base/err.h"
#include "settings/settings.h"
#include <sys/types.h>

enum listener_role {
	LISTEN_PROXY,
	LISTEN_ADMIN,
	LISTEN_STATUS,
	LISTEN_STREAM,
	LISTEN_CLUSTER,
};

/* A listener with its sockets: bound, listening (not when udp), non-blocking,
 * close-on-exec.  One for each loop when it says reuseport, else one for all. */
struct worker_listener {
	enum listener_role role;
	const struct listener *listener; /* of settings */
	int *fds;
	size_t n_fds; /* 1 or n_loops */
};

struct worker_start {
	const struct settings *settings;
	struct worker_listener *listeners;
	size_t n_listeners;
	int n_loops;         /* loops of the data plane: worker_processes */
	pid_t supervisor;    /* for GET / */
	bool is_replacement; /* another worker ran before: a reload or a crash */
	int ready_fd;        /* only for the two calls below */
};

/* Exactly one of the two, once: the worker serves, or it never will (and returns
 * from worker_main soon).  Either closes ready_fd. */
void worker_tell_ready(const struct worker_start *w);
void worker_tell_failed(const struct worker_start *w, const struct err *e);

/* The worker's life: its exit status, 0 when it drained or was stopped in order. */
typedef int worker_main_fn(const struct worker_start *w);
