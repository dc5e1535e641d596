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
 * SIGUSR1 reopen logs.  All of them (and SIGHUP, SIGINT) are blocked when
 * worker_main is entered, SIGPIPE is ignored; the worker takes them when it is
 * able to (signalfd, or handlers and then sigprocmask).  A worker whose
 * supervisor has been killed gets SIGQUIT.  A worker that does not end within
 * ten seconds of SIGTERM is killed.
 *
 * When started as root the worker begins as root, opens its logs, and gives its
 * privileges up before it serves; without, worker_tell_ready refuses.  From then
 * on it is nginx_user, or nobody.  Its own below the prefix are the folders
 * lmdb_environment_path and body_temp. */
#pragma once

#include "base/err.h"
#include "settings/settings.h"
#include <sys/types.h>

/* ---- what a worker is started with ----------------------------------------------- */

enum listener_role {
	LISTEN_PROXY,
	LISTEN_ADMIN,
	LISTEN_STATUS,
	LISTEN_STREAM,
	LISTEN_CLUSTER,
};

/* A listener with its sockets: bound, listening (not when udp), non-blocking,
 * close-on-exec.  One for all loops; or, when it says reuseport, one for each:
 * loop i has fds i, i + n_loops, ... (there are more sockets than loops after a
 * reload to fewer loops, so that no waiting connection is lost). */
struct worker_listener {
	enum listener_role role;
	const struct listener *listener; /* of settings; a host name may give several of these */
	struct address address;          /* bound to */
	int *fds;
	size_t n_fds; /* 1, or at least n_loops */
};

struct identity; /* priv.h: whom the worker runs as */

struct worker_start {
	const struct settings *settings;
	struct worker_listener *listeners;
	size_t n_listeners;
	int n_loops;      /* loops of the data plane: worker_processes */
	pid_t supervisor; /* for GET / */
	int legacy_fd;    /* a file of what one worker leaves to the next */
	const struct identity *identity;
	int ready_fd; /* only for the calls below */
};

/* Becomes nginx_user for good, all threads of the process; nothing happens when we
 * are not root, or nginx_user is.  After everything that only root may open. */
MUST_CHECK struct err *worker_give_up_privileges(const struct worker_start *w);

/* Exactly one of the two, once: the worker serves, or it never will (and returns
 * from worker_main soon).  Either closes ready_fd. */
void worker_tell_ready(const struct worker_start *w);
void worker_tell_failed(const struct worker_start *w, const struct err *e);

/* The worker's life: its exit status, 0 when it drained or was stopped in order. */
typedef int worker_main_fn(const struct worker_start *w);

/* ---- the prefix --------------------------------------------------------------------- */

/* Makes <prefix> and what belongs into it: pids/, logs/, ssl/ with certificates
 * for TLS listeners that have none (s gets them), .ca_combined, .kong_env; owned
 * so that the worker can reopen its logs.  Notes for the operator are added to s. */
MUST_CHECK struct err *prefix_prepare(struct arena *a, struct settings *s);

/* Removes sockets that a gateway which did not end in order left in the prefix;
 * the names removed. Only while none is running. */
strs prefix_remove_sockets(struct arena *a, const struct settings *s);

/* ---- the supervisor ------------------------------------------------------------------ */

/* The pid of the gateway that runs at a prefix: the holder of the lock on its
 * pid file; 0 when there is none, whatever the pid file says. */
pid_t process_find(str prefix);

/* Runs a prepared gateway.  In the background: returns NULL once the worker serves,
 * or why it does not.  In the foreground: calls on_started once it serves and
 * returns when it has stopped. */
MUST_CHECK struct err *process_start(struct settings *s, worker_main_fn *worker,
				     void (*on_started)(void));

/* Sends SIGHUP and waits for the outcome: NULL when the new worker serves. */
MUST_CHECK struct err *process_reload(str prefix, int timeout_ms);

/* Waits until nobody holds the pid file's lock any more; false after timeout_ms. */
bool process_wait_gone(str prefix, int timeout_ms);
