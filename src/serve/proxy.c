/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/proxy.h"

#include "base/mem.h"
#include "serve/tunnel.h"

static void tick(struct timer *t)
{
	struct proxy *p = CONTAINER(t, struct proxy, tick);

	if (p->shared->access_log)
		access_log_tick(p->shared->access_log);
	if (p->shared->stream_access_log)
		access_log_tick(p->shared->stream_access_log);
	timer_set(&p->tick, loop_now_ms() + 1000);
}

struct proxy *proxy_new(struct loop *loop, int index, struct proxy_shared *shared)
{
	const struct settings *s = shared->settings;
	struct proxy *p = MEM_NEW(struct proxy);
	struct links_options links = {
		.pool_size = (unsigned)s->upstream_keepalive_pool_size,
		.max_requests = (unsigned)s->upstream_keepalive_max_requests,
		.idle_ms = (int64_t)(s->upstream_keepalive_idle_timeout * 1000),
	};

	p->loop = loop;
	p->index = index;
	gate_init(&p->turns.gate);
	p->shared = shared;
	p->links = links_new(&links);
	list_init(&p->clients);
	list_init(&p->idle);
	timer_init(&p->tick, tick);
	timer_set(&p->tick, loop_now_ms() + 1000);
	return p;
}

void proxy_drop(struct proxy **ref)
{
	struct proxy *p = *ref;

	if (!p)
		return;
	*ref = NULL;
	timer_clear(&p->tick);
	links_drop(&p->links);
	mem_free(p);
}

void proxy_drain(struct proxy *p, void (*done)(void *), void *arg)
{
	p->is_draining = true;
	p->on_drained = done;
	p->on_drained_arg = arg;
	list_for_each (&p->idle, struct client, link, c)
		client_drain(c);
	list_for_each (&p->clients, struct client, link, c)
		client_drain(c);
	if (p->client_count == 0 && p->on_drained) {
		p->on_drained = NULL;
		done(arg);
	}
}

void proxy_stop(struct proxy *p)
{
	p->is_draining = p->is_stopped = true;
	list_for_each (&p->idle, struct client, link, c)
		client_close(c);
	list_for_each (&p->clients, struct client, link, c) {
		if (c->tunnel)
			tunnel_stop(c->tunnel);
	}
	links_close_idle(p->links);
}

const char *proxy_date(struct proxy *p)
{
	int64_t now = clock_wall_s();

	if (now != p->date_s) {
		http_date(now, p->date);
		p->date_s = now;
	}
	return p->date;
}
