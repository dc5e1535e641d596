/* SPDX-License-Identifier: Apache-2.0 */
/* The listening sockets: opened once, handed from worker to worker.
 *
 * A reload takes over every socket whose address is asked for again, whatever
 * its flags were, because closing one would lose the connections that wait in
 * it; only missing ones are opened. */
#include "base/vec.h"
#include "process/priv.h"
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

struct opening {
	struct arena *a;
	const struct settings *s;
	const struct sockets *have;
	int n_loops;
	struct {
		struct socket_set *v;
		size_t n, cap;
	} sets;
	struct {
		struct worker_listener *v;
		size_t n, cap;
	} listeners;
};

static const char *const role_names[] = {
	[LISTEN_PROXY] = "proxy_listen",     [LISTEN_ADMIN] = "admin_listen",
	[LISTEN_STATUS] = "status_listen",   [LISTEN_STREAM] = "stream_listen",
	[LISTEN_CLUSTER] = "cluster_listen",
};

static const struct socket_set *find_set(const struct sockets *all, const struct address *at,
					 bool is_udp)
{
	for (size_t i = 0; all && i < all->n; i++) {
		if (all->v[i].is_udp == is_udp && address_eq(&all->v[i].address, at))
			return &all->v[i];
	}
	return NULL;
}

/* Options that accepted connections inherit. */
static void set_keepalive(int fd, const struct listener *l)
{
	int on = l->so_keepalive == TRI_YES;
	const struct {
		int option, value;
	} times[] = { { TCP_KEEPIDLE, l->keep_idle_s },
		      { TCP_KEEPINTVL, l->keep_interval_s },
		      { TCP_KEEPCNT, l->keep_count } };

	if (l->so_keepalive == TRI_UNSET)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0)
		log_warn("SO_KEEPALIVE of " STRF " cannot be set", STRV(l->text));
	for (size_t i = 0; i < COUNT(times); i++) {
		if (times[i].value &&
		    setsockopt(fd, IPPROTO_TCP, times[i].option, &times[i].value, sizeof(int)) < 0)
			log_warn("the keep-alive times of " STRF " cannot be set", STRV(l->text));
	}
}

/* Adds sockets until there are as many as wanted. */
static struct err *fill_set(struct opening *o, struct socket_set *set, const struct listener *l)
{
	const struct listen_options options = {
		.backlog = l->backlog,
		.reuseport = set->reuseport,
		.v6only = l->ipv6only != TRI_NO,
		.deferred = l->deferred,
		.transparent = l->transparent,
		.udp = l->udp,
	};
	size_t wanted = set->reuseport ? (size_t)o->n_loops : 1;
	int *fds = NEWS(o->a, int, wanted > set->n ? wanted : set->n);

	if (set->n)
		memcpy(fds, set->fds, set->n * sizeof(*fds));
	set->fds = fds;
	while (set->n < wanted) {
		PASS(net_listen(&set->address, &options, &fds[set->n]));
		if (!l->udp)
			set_keepalive(fds[set->n], l);
		set->n++;
	}
	return NULL;
}

static struct err *open_address(struct opening *o, enum listener_role role,
				const struct listener *l, const struct address *at)
{
	const struct sockets mine = { o->sets.v, o->sets.n };
	const struct socket_set *old = find_set(o->have, at, l->udp);
	struct socket_set *set;
	struct worker_listener *w;
	struct err *e;

	if (find_set(&mine, at, l->udp))
		return FAIL(ERR_CONFLICT, "another listener has that address already");
	if (address_port(at) == 0)
		return FAIL(ERR_INVALID, "0 is not a port to listen on");
	set = vec_add(o->a, &o->sets);
	*set = old ? *old
		   : (struct socket_set){ .address = *at,
					  .reuseport = l->reuseport,
					  .is_udp = l->udp };
	e = fill_set(o, set, l);
	if (e)
		return e;
	w = vec_add(o->a, &o->listeners);
	*w = (struct worker_listener){ role, l, *at, set->fds, set->n };
	return NULL;
}

static struct err *open_name(struct opening *o, enum listener_role role, const struct listener *l)
{
	const struct addrinfo hints = { .ai_socktype = l->udp ? SOCK_DGRAM : SOCK_STREAM,
					.ai_flags = AI_PASSIVE };
	const char *port = str_fmt(o->a, "%u", l->port).s;
	struct addrinfo *list = NULL;
	struct err *e = NULL;
	int code = getaddrinfo(str_z(o->a, l->ip), port, &hints, &list);

	if (code != 0)
		return FAIL(ERR_NOT_FOUND, "the name cannot be resolved: %s", gai_strerror(code));
	for (struct addrinfo *p = list; p && !e; p = p->ai_next) {
		struct address at = { .size = p->ai_addrlen };

		if (p->ai_addrlen > sizeof(at) - offsetof(struct address, any))
			continue;
		memcpy(&at.any, p->ai_addr, p->ai_addrlen);
		e = open_address(o, role, l, &at);
	}
	freeaddrinfo(list);
	return e;
}

static struct err *open_list(struct opening *o, enum listener_role role,
			     const struct listeners *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct listener *l = &list->v[i];

		TRY(l->is_name ? open_name(o, role, l) : open_address(o, role, l, &l->address),
		    "%s: " STRF, role_names[role], STRV(l->given));
	}
	return NULL;
}

static struct err *open_all(struct opening *o)
{
	PASS(open_list(o, LISTEN_PROXY, &o->s->proxy_listeners));
	PASS(open_list(o, LISTEN_ADMIN, &o->s->admin_listeners));
	PASS(open_list(o, LISTEN_STATUS, &o->s->status_listeners));
	return open_list(o, LISTEN_STREAM, &o->s->stream_listeners);
}

struct err *sockets_open(struct arena *a, const struct settings *s, int n_loops,
			 const struct sockets *have, struct sockets *ret,
			 struct worker_listener **ret_listeners, size_t *ret_n)
{
	struct opening o = { .a = a, .s = s, .have = have, .n_loops = n_loops };
	struct err *e = open_all(&o);
	struct sockets all = { o.sets.v, o.sets.n };

	if (e) {
		sockets_close(&all, have);
		return e;
	}
	*ret = all;
	*ret_listeners = o.listeners.v;
	*ret_n = o.listeners.n;
	return NULL;
}

bool sockets_have(const struct sockets *all, int fd)
{
	for (size_t i = 0; all && i < all->n; i++) {
		for (size_t k = 0; k < all->v[i].n; k++) {
			if (all->v[i].fds[k] == fd)
				return true;
		}
	}
	return false;
}

void sockets_close(const struct sockets *all, const struct sockets *keep)
{
	for (size_t i = 0; i < all->n; i++) {
		for (size_t k = 0; k < all->v[i].n; k++) {
			if (!sockets_have(keep, all->v[i].fds[k]))
				close(all->v[i].fds[k]);
		}
	}
}
