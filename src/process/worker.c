/* SPDX-License-Identifier: Apache-2.0 */
#include "process/worker.h"

#include "base/limits.h"
#include "base/log.h"
#include "clients/background.h"
#include "clients/peer.h"
#include "clients/redis.h"
#include "clients/trust.h"
#include "control/plugin_table.h"
#include "listen/acceptor.h"
#include "observe/error_log.h"
#include "process/interfaces.h"
#include "process/openers.h"
#include "script/script.h"
#include "serve/client.h"
#include "stream/stream.h"
#include "usage/usage.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define OFFLOAD_THREADS 4
#define BODY_FOLDER     "body_temp" /* in the prefix */
#define QUIETEN_MS      30000       /* for them in a drain */
#define FINISH_MS       1000        /* for the requests of the Admin API at the end */
#define FLUSH_MS        4000        /* for what plugins' queues hold at the end */

/* One data loop and what runs on it; all but `loop` and `thread` is its loop's own. */
struct lane {
	struct worker *worker;
	struct loop *loop;
	pthread_t thread;
	bool is_running;
	struct proxy *proxy;
	struct acceptor **acceptors;
	size_t n_acceptors;
	struct udp_port **udp_ports;
	size_t n_udp_ports;
	struct loop_hook at_stop;
};

struct worker {
	const struct worker_start *start;
	const struct settings *settings;
	struct arena *arena; /* as long as the process */
	struct node_name name;
	struct loop *control;
	struct lane *lanes;
	int n_lanes;
	struct proxy_shared shared;
	struct balance_store *balancers;
	struct configuration *configuration;
	struct interfaces *interfaces; /* NULL until the first configuration serves */
	struct timer tick;             /* of control, once a second */
	bool is_quiet;                 /* the interfaces have stopped */
	int lanes_left;                /* still draining; control's own */
	int lanes_accepting;           /* of those that drain; control's own */
	int status;                    /* to exit with */
};

/* ---- data loops ---------------------------------------------------------------------- */

static void stop_lane(struct loop_hook *h)
{
	struct lane *lane = CONTAINER(h, struct lane, at_stop);

	for (size_t i = 0; i < lane->n_acceptors; i++)
		acceptor_drop(&lane->acceptors[i]);
	for (size_t i = 0; i < lane->n_udp_ports; i++)
		udp_port_stop(lane->udp_ports[i]);
	if (lane->proxy)
		proxy_stop(lane->proxy);
}

static void *run_lane(void *p)
{
	struct lane *lane = p;

	loop_at_stop(lane->loop, &lane->at_stop, stop_lane);
	loop_run(lane->loop);
	for (size_t i = 0; i < lane->n_udp_ports; i++)
		udp_port_drop(&lane->udp_ports[i]);
	proxy_drop(&lane->proxy);
	usage_leave();
	redis_leave();
	peers_leave();
	block_trim();
	err_forget();
	return NULL;
}

static void open_lane(void *p)
{
	struct lane *lane = p;

	lane->proxy = proxy_new(lane->loop, loop_index(lane->loop), &lane->worker->shared);
}

/* The sockets of a listener that lane `index` accepts from: the shared one, or its
 * own, of which there are several after a reload to fewer loops. */
static void accept_from(struct lane *lane, const struct worker_listener *l, int fd)
{
	accept_fn *take = l->role == LISTEN_STREAM ? stream_accept : client_accept;

	if (l->listener->udp)
		lane->udp_ports[lane->n_udp_ports++] =
			udp_port_new(lane->proxy, l->listener, &l->address, fd);
	else
		lane->acceptors[lane->n_acceptors++] =
			acceptor_new(lane->proxy, l->listener, fd, take);
}

/* One socket for datagrams is one loop's, so that each client's come to the same one. */
static void accept_on(struct lane *lane, const struct worker_listener *l, int index)
{
	size_t turn = (size_t)(l - lane->worker->start->listeners);

	if (l->n_fds == 1) {
		if (!l->listener->udp || turn % (size_t)lane->worker->n_lanes == (size_t)index)
			accept_from(lane, l, l->fds[0]);
		return;
	}
	for (size_t k = (size_t)index; k < l->n_fds; k += (size_t)lane->worker->n_lanes)
		accept_from(lane, l, l->fds[k]);
}

static bool is_of_lanes(const struct worker_listener *l)
{
	return l->role == LISTEN_PROXY || l->role == LISTEN_STREAM;
}

static void accept_on_lane(void *p)
{
	struct lane *lane = p;
	const struct worker_start *start = lane->worker->start;
	int index = loop_index(lane->loop);

	for (size_t i = 0; i < start->n_listeners; i++) {
		const struct worker_listener *l = &start->listeners[i];

		if (is_of_lanes(l))
			accept_on(lane, l, index);
	}
}

static struct err *make_lanes(struct worker *w)
{
	size_t sockets = 0;

	w->n_lanes = w->start->n_loops;
	w->lanes = NEWS(w->arena, struct lane, (size_t)w->n_lanes);
	for (size_t i = 0; i < w->start->n_listeners; i++)
		sockets += w->start->listeners[i].n_fds;
	for (int i = 0; i < w->n_lanes; i++) {
		w->lanes[i].worker = w;
		w->lanes[i].acceptors = NEWS(w->arena, struct acceptor *, sockets);
		w->lanes[i].udp_ports = NEWS(w->arena, struct udp_port *, sockets);
		PASS(loop_new("proxy", i, &w->lanes[i].loop));
	}
	return NULL;
}

static struct err *run_lanes(struct worker *w)
{
	for (int i = 0; i < w->n_lanes; i++) {
		struct lane *lane = &w->lanes[i];
		int no = pthread_create(&lane->thread, NULL, run_lane, lane);

		if (no)
			return FAIL(ERR_SYSTEM, "cannot start a thread: %s", strerrordesc_np(no));
		lane->is_running = true;
		loop_post(lane->loop, open_lane, lane);
	}
	return NULL;
}

static void end_lanes(struct worker *w)
{
	for (int i = 0; i < w->n_lanes; i++) {
		if (!w->lanes[i].is_running)
			continue;
		loop_stop(w->lanes[i].loop);
		pthread_join(w->lanes[i].thread, NULL);
	}
	for (int i = 0; i < w->n_lanes; i++)
		loop_drop(&w->lanes[i].loop);
}

/* ---- draining ------------------------------------------------------------------------- */

/* The last fiber of control: the interfaces finish what they are at, then the loop ends. */
static void finish(void *p)
{
	struct worker *w = p;

	configuration_quieten(w->configuration);
	if (w->interfaces && !w->is_quiet)
		interfaces_stop(w->interfaces, deadline_in(FINISH_MS));
	loop_stop(w->control);
}

static void one_lane_less(void *p) /* on control */
{
	struct worker *w = p;

	if (--w->lanes_left == 0)
		fiber_start("finish", finish, w);
}

static void lane_is_drained(void *p) /* on the lane */
{
	struct lane *lane = p;

	loop_post(lane->worker->control, one_lane_less, lane->worker);
}

static void close_listeners(const struct worker *w, bool of_lanes)
{
	for (size_t i = 0; i < w->start->n_listeners; i++) {
		const struct worker_listener *l = &w->start->listeners[i];

		for (size_t k = 0; k < l->n_fds && is_of_lanes(l) == of_lanes; k++)
			close(l->fds[k]);
	}
}

/* When no loop accepts any more, our copies of the sockets are closed: who connects
 * then reaches the next worker, or nobody. */
static void one_acceptor_less(void *p) /* on control */
{
	struct worker *w = p;

	if (--w->lanes_accepting == 0)
		close_listeners(w, true);
}

static void drain_lane(void *p)
{
	struct lane *lane = p;

	for (size_t i = 0; i < lane->n_acceptors; i++)
		acceptor_finish(&lane->acceptors[i]);
	lane->n_acceptors = 0;
	for (size_t i = 0; i < lane->n_udp_ports; i++)
		udp_port_finish(lane->udp_ports[i]);
	loop_post(lane->worker->control, one_acceptor_less, lane->worker);
	proxy_drain(lane->proxy, lane_is_drained, lane);
}

/* The Admin API of the next worker is the one to ask from now on. */
static void quieten(void *p)
{
	struct worker *w = p;
	struct interfaces *i = TAKE(w->interfaces);

	timer_clear(&w->tick);
	configuration_quieten(w->configuration);
	interfaces_stop(i, deadline_in(QUIETEN_MS));
	close_listeners(w, false);
	w->interfaces = i;
	w->is_quiet = true;
	one_lane_less(w);
}

static void drain(struct worker *w)
{
	if (w->lanes_left)
		return;
	if (!w->interfaces) { /* it has not begun to serve */
		fiber_start("finish", finish, w);
		return;
	}
	log_notice("gracefully shutting down");
	w->lanes_left = w->n_lanes + 1; /* the interfaces are one more */
	w->lanes_accepting = w->n_lanes;
	fiber_start("quieten", quieten, w);
	for (int i = 0; i < w->n_lanes; i++)
		loop_post(w->lanes[i].loop, drain_lane, &w->lanes[i]);
}

/* ---- signals ---------------------------------------------------------------------------- */

static void reopen_logs(struct worker *w)
{
	struct err *e = log_reopen();

	if (!e && w->shared.access_log)
		e = access_log_reopen(w->shared.access_log);
	if (!e && w->shared.stream_access_log)
		e = access_log_reopen(w->shared.stream_access_log);
	if (!e && w->interfaces)
		e = interfaces_reopen_logs(w->interfaces);
	if (e)
		log_err(LOG_ERROR_, e, "cannot reopen the logs");
	err_forget();
}

static void on_signal(struct worker *w, int number)
{
	switch (number) {
	case SIGQUIT:
		drain(w);
		break;
	case SIGTERM:
	case SIGINT:
		fiber_start("finish", finish, w);
		break;
	case SIGUSR1:
		reopen_logs(w);
		break;
	}
}

static void watch_signals(void *p)
{
	struct worker *w = p;
	struct signalfd_siginfo info;
	struct io io;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		die("cannot watch for signals");
	io_init(&io, fd);
	for (;;) {
		if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			on_signal(w, (int)info.ssi_signo);
			continue;
		}
		io_clear(&io, IO_READ);
		if (io_wait(&io, IO_READ, DEADLINE_NEVER) != WAIT_OK)
			break;
	}
	io_done(&io);
	close(fd);
}

/* ---- starting ------------------------------------------------------------------------------ */

static struct err *open_tls(struct worker *w, enum subsystem subsystem, bool has_h2,
			    struct tls_context **ret)
{
	return open_server_tls(w->settings, subsystem, "ssl_cert", &w->settings->ssl_certs,
			       client_certs, client_ask, has_h2, ret);
}

static struct err *start_dns(struct worker *w)
{
	struct dns_options o;

	settings_dns_options(w->settings, &o);
	return dns_start(&o);
}

static void share(struct worker *w)
{
	const struct settings *s = w->settings;
	struct loop **loops = NEWS(w->arena, struct loop *, (size_t)w->n_lanes);

	for (int i = 0; i < w->n_lanes; i++)
		loops[i] = w->lanes[i].loop;
	w->balancers = balance_store_new();
	balance_keep_health(w->balancers, w->start->legacy_fd);
	w->shared.settings = s;
	w->shared.current = current_new(loops, w->n_lanes);
	w->shared.counters = counters_new(w->n_lanes);
	w->shared.limits = (struct http_limits){
		.line = (size_t)s->proxy_http.large_header_buffer,
		.header = (size_t)s->proxy_http.large_header_buffer,
		.head = (size_t)(s->proxy_http.client_header_buffer +
				 s->proxy_http.large_header_buffers *
					 s->proxy_http.large_header_buffer),
		.count = LIMIT_HTTP_HEADERS,
	};
	if (!error_type_of(s->error_default_type, &w->shared.error_type))
		w->shared.error_type = ERROR_PLAIN;
	w->shared.body_folder = str_z(w->arena, settings_path(w->arena, s, BODY_FOLDER));
	if (mkdir(w->shared.body_folder, 0700) < 0 && errno != EEXIST)
		log_warn("cannot make %s: %s", w->shared.body_folder, strerrordesc_np(errno));
	w->shared.trace_types = trace_types(s->tracing_instrumentations);
	w->shared.trace_rate = s->tracing_sampling_rate;
	w->shared.server = STR("gibbon/" GIBBON_VERSION);
}

static struct store *store_of(void *p)
{
	struct worker *w = p;

	return configuration_store(w->configuration);
}

static void name_node(struct worker *w)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	w->name = (struct node_name){ uuid_random(), str_copy(w->arena, str_of(host)) };
}

static void start_scripts(struct worker *w)
{
	const struct settings *s = w->settings;
	struct script_policy *p = NEW(w->arena, struct script_policy);

	p->trust = str_is(s->untrusted_lua, "off")  ? SCRIPT_OFF
		   : str_is(s->untrusted_lua, "on") ? SCRIPT_ON
						    : SCRIPT_SANDBOX;
	p->modules = s->untrusted_lua_sandbox_requires;
	p->globals = s->untrusted_lua_sandbox_environment;
	p->path = s->lua_package_path;
	p->cpath = s->lua_package_cpath;
	script_start(p);
}

static void start_plugins(struct worker *w)
{
	struct plugin_node node = {
		.version = GIBBON_VERSION,
		.node_id = uuid_str(w->arena, w->name.id),
		.hostname = w->name.host,
		.worker_pid = getpid(),
		.loops = w->n_lanes,
	};

	plugins_start(&node);
}

static struct err *choose_backend(const struct settings *s)
{
	enum loop_backend b = str_is(s->io_backend, "uring")   ? LOOP_URING
			      : str_is(s->io_backend, "epoll") ? LOOP_EPOLL
							       : LOOP_AUTO;

	TRY(loop_choose(b), "io_backend");
	log_notice("events come from %s", loop_backend_name());
	return NULL;
}

static struct err *make_worker(struct worker *w)
{
	const struct settings *s = w->settings;

	log_set_level(s->log_level_kind);
	if (s->proxy_error.path.n)
		TRY(error_log_open(w->arena, s->proxy_error.path), "proxy_error_log");
	PASS(choose_backend(s));
	PASS(loop_new("control", 0, &w->control));
	PASS(make_lanes(w));
	PASS(offload_start(OFFLOAD_THREADS));
	share(w);
	PASS(configuration_new(w->start, w->shared.current, w->balancers, &w->configuration));
	w->shared.keeper = w->control;
	w->shared.store = store_of;
	w->shared.store_arg = w;
	name_node(w);
	trust_start(s);
	usage_start(s);
	PASS(background_start(usage_leave));
	start_scripts(w);
	start_plugins(w);
	PASS(start_dns(w));
	if (s->proxy_ssl_enabled) {
		PASS(open_tls(w, SUBSYSTEM_HTTP, false, &w->shared.tls));
		PASS(open_tls(w, SUBSYSTEM_HTTP, true, &w->shared.tls_h2));
	}
	if (s->stream_proxy_ssl_enabled)
		PASS(open_tls(w, SUBSYSTEM_STREAM, false, &w->shared.stream_tls));
	if (s->stream_listeners.n)
		PASS(open_access_log(w->arena, s, "proxy_stream_access_log", &s->stream_access,
				     w->n_lanes, &w->shared.stream_access_log));
	PASS(open_access_log(w->arena, s, "proxy_access_log", &s->proxy_access, w->n_lanes,
			     &w->shared.access_log));
	return run_lanes(w);
}

static void tick(struct timer *t)
{
	struct worker *w = CONTAINER(t, struct worker, tick);

	interfaces_tick(w->interfaces);
	balance_store_tick(w->balancers);
	timer_set(&w->tick, loop_now_ms() + 1000);
}

/* The first fiber of control: the configuration, then the doors open. */
static void begin(void *p)
{
	struct worker *w = p;
	struct err *e = configuration_start(w->configuration);

	if (!e)
		e = interfaces_new(w->arena, w->start, w->configuration, w->shared.counters,
				   &w->name, &w->interfaces);
	if (!e) /* everything that only root may open is open */
		e = worker_give_up_privileges(w->start);
	if (e) {
		log_err(LOG_ERROR_, e, "cannot start");
		worker_tell_failed(w->start, e);
		w->status = 1;
		finish(w);
		return;
	}
	for (int i = 0; i < w->n_lanes; i++)
		loop_post(w->lanes[i].loop, accept_on_lane, &w->lanes[i]);
	timer_init(&w->tick, tick);
	timer_set(&w->tick, loop_now_ms() + 1000);
	worker_tell_ready(w->start);
	log_notice("serving with %d loops", w->n_lanes);
}

static void begin_post(void *p)
{
	fiber_start("signals", watch_signals, p);
	fiber_start("begin", begin, p);
}

static void end_worker(struct worker *w)
{
	end_lanes(w);
	background_stop(FLUSH_MS);
	usage_stop();
	trust_stop();
	interfaces_drop(&w->interfaces);
	if (w->shared.access_log)
		access_log_close(&w->shared.access_log);
	if (w->shared.stream_access_log)
		access_log_close(&w->shared.stream_access_log);
	configuration_close(w->configuration);
	loop_drop(&w->control);
	offload_stop();
	dns_stop();
	plugins_stop();
	configuration_drop(&w->configuration);
	current_drop(&w->shared.current);
	balance_store_drop(&w->balancers);
	counters_drop(&w->shared.counters);
	tls_context_drop(&w->shared.tls);
	tls_context_drop(&w->shared.tls_h2);
	tls_context_drop(&w->shared.stream_tls);
	err_forget();
	arena_drop(&w->arena);
}

int worker_main(const struct worker_start *start)
{
	struct worker w = { .start = start, .settings = start->settings, .arena = arena_new() };
	struct err *e = make_worker(&w);

	if (e) {
		log_err(LOG_ERROR_, e, "cannot start");
		worker_tell_failed(start, e);
		w.status = 1;
	} else {
		loop_post(w.control, begin_post, &w);
		loop_run(w.control);
	}
	end_worker(&w);
	return w.status;
}
