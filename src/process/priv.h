/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of process share. */
#pragma once

#include "process/process.h"

/* ---- pid file and outcome of reloads (pidfile.c) ------------------------------------ */

/* Opens, locks and writes the pid file; the fd keeps the lock for this process. */
MUST_CHECK struct err *pidfile_take(const struct settings *s, int *ret_fd);
void pidfile_remove(const struct settings *s, int *fd);

/* Tells `reload` how the last one ended: NULL for well. */
void outcome_tell(const struct settings *s, const struct err *e);

/* ---- sockets (sockets.c) --------------------------------------------------------------- */

struct socket_set {
	struct address address;
	bool reuseport;
	bool is_udp;
	int *fds;
	size_t n;
};

struct sockets {
	struct socket_set *v;
	size_t n;
};

/* What a struct settings asks for, sockets that are open already taken over.  On
 * failure everything newly opened is closed again. */
MUST_CHECK struct err *sockets_open(struct arena *a, const struct settings *s, int n_loops,
				    const struct sockets *have, struct sockets *ret,
				    struct worker_listener **ret_listeners, size_t *ret_n);
/* Closes those of `all` that `keep` has not. */
void sockets_close(const struct sockets *all, const struct sockets *keep);
bool sockets_have(const struct sockets *all, int fd);

/* ---- workers (worker.c) ------------------------------------------------------------------ */

/* Whom a worker runs as. */
struct identity {
	bool drops; /* false: as we are */
	uid_t uid;
	gid_t gid;
	const char *user;
};
MUST_CHECK struct err *identity_find(struct arena *a, const struct settings *s,
				     struct identity *ret);

/* prefix.c: the logs are there, and the worker may open them; after a rotation, too. */
MUST_CHECK struct err *prefix_make_logs(struct arena *a, const struct settings *s,
					const struct identity *id);

/* One configuration with its sockets; a reload makes a new one. */
struct generation {
	struct arena *arena;
	struct settings *settings;
	struct identity identity;
	struct sockets sockets;
	struct worker_listener *listeners;
	size_t n_listeners;
	int legacy_fd; /* of all generations: closed with the last one */
};
MUST_CHECK struct err *generation_new(struct arena *arena, struct settings *s,
				      const struct generation *before, struct generation **ret);
void generation_drop(struct generation **g, const struct generation *keep);

/* Forks; the child runs worker and never returns.  close_fds: ours alone, up to -1. */
MUST_CHECK struct err *worker_fork(const struct generation *g, worker_main_fn *worker,
				   const int *close_fds, pid_t *ret_pid, int *ret_ready_fd);

/* ---- the supervisor (supervisor.c) ---------------------------------------------------------- */

/* Runs until it is told to stop.  `started` is called once, when the first worker
 * serves (NULL) or does not (why; the supervisor ends then). */
void supervisor_run(struct generation *g, worker_main_fn *worker,
		    void (*started)(void *arg, const struct err *e), void *arg);
