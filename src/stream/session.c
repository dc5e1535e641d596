/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that TCP and UDP sessions share, from the route to the log line. */
#include "stream/priv.h"

#include "base/log.h"

struct session *session_new(struct client *c, size_t arena_size)
{
	struct arena *a = arena_size ? arena_new_of(arena_size) : arena_new();
	struct session *s = NEW(a, struct session);
	struct req *r = &s->r;

	c->is_session = true;
	r->client = c;
	r->proxy = c->proxy;
	r->arena = a;
	r->start_ms = loop_now_ms();
	r->connect_ms = r->header_ms = -1;
	r->stream = &s->facts;
	r->snap = current_hold(c->proxy->shared->current, c->proxy->index);
	r->client_address = c->peer;
	return s;
}

static str ip_text(struct arena *a, const struct address *at)
{
	char text[ADDRESS_TEXT];

	return str_copy(a, str_at(text, address_ip(at, text)));
}

/* A listener of one address is all that a connection can have come to. */
static void know_local(struct client *c)
{
	const struct listener *l = c->listener;
	static const struct in6_addr any;
	bool is_any = l->address.any.sa_family == AF_INET
			      ? l->address.v4.sin_addr.s_addr == INADDR_ANY
			      : memcmp(&l->address.v6.sin6_addr, &any, sizeof(any)) == 0;

	if (!c->local.size && !l->is_name && !l->transparent && !is_any)
		c->local = l->address;
}

void session_know(struct session *s)
{
	struct req *r = &s->r;
	struct client *c = r->client;

	if (c->told && !c->told->is_local && c->is_trusted)
		r->client_address = c->told->source;
	know_local(c);
	r->peer_ip = ip_text(r->arena, &c->peer);
	r->client_ip = ip_text(r->arena, &r->client_address);
	s->facts.port =
		settings_outside_port(r->proxy->shared->settings, address_port(client_local(c)));
}

int session_route(struct session *s)
{
	struct req *r = &s->r;
	const struct address *here = client_local(r->client);
	struct route_stream_query q = {
		.source = { r->client_ip, address_port(&r->client_address) },
		.destination = { ip_text(r->arena, here), s->facts.port },
		.sni = str_of(s->sni),
		.is_udp = s->facts.is_udp,
	};
	const struct route *route = r->snap ? router_find_stream(r->snap->router, &q) : NULL;

	if (!route) {
		log_error("no Route found with those values, client: " STRF ", listener: " STRF
			  ", server name: \"%s\"",
			  STRV(r->client_ip), STRV(r->client->listener->text), s->sni);
		return 500;
	}
	r->route = snapshot_route(r->snap, route);
	r->service = r->route->service;
	return STEP_ON;
}

int session_preread(struct session *s)
{
	struct req *r = &s->r;
	enum verdict verdict = NEXT;

	tracing_begin_session(r);
	tracing_phase_begins(r, PHASE_PREREAD);
	if (r->route->plan)
		verdict = plugins_preread(r);
	tracing_phase_ends(r, PHASE_PREREAD);
	if (verdict == DONE) {
		r->answered_ms = loop_now_ms();
		if (r->run->answer.status >= 400)
			log_error("a session is refused, client: " STRF ", status: %d: " STRF,
				  STRV(r->client_ip), r->run->answer.status,
				  STRV(r->run->answer.body));
		return r->run->answer.status;
	}
	if (r->service)
		return STEP_ON;
	r->answered_ms = loop_now_ms();
	log_warn("no Service found with those values, client: " STRF, STRV(r->client_ip));
	return 503;
}

/* ---- targets ------------------------------------------------------------------------------ */

int session_pick(struct session *s)
{
	struct req *r = &s->r;
	const struct service *service = r->service->service;
	struct balance_input in = { .client_ip = r->client_ip };
	enum pick_result p;

	tracing_try_begins(r);
	p = balance_pick(r->service->balancer, r->arena, &in,
			 deadline_in(timeout_of(service->connect_timeout)), &r->pick);
	if (p == PICK_OK) {
		r->balanced_ms = loop_now_ms();
		r->is_proxied = true;
		tracing_try_picked(r);
		note_upstream(r);
		return STEP_ON;
	}
	tracing_try_forget(r);
	r->answered_ms = loop_now_ms();
	if (p == PICK_CANCELLED)
		return STATUS_OVER;
	log_error("no target for service " STRF ": %s", STRV(service->host),
		  r->pick.why ? r->pick.why : "none is available");
	return p == PICK_NO_PEER || p == PICK_NOT_FOUND ? 503 : 500;
}

void session_connected(struct session *s)
{
	struct req *r = &s->r;

	tracing_try_connected(r);
	if (r->service)
		balance_report(r->service->balancer, &r->pick, TRY_ANSWERED, PROBE_CONNECTED);
}

void session_failed(struct session *s, enum try_outcome how, const char *why)
{
	struct req *r = &s->r;
	char ip[ADDRESS_TEXT];

	address_ip(&r->pick.address, ip);
	log_error("upstream %s:%u: %s, client: " STRF ", listener: " STRF, ip,
		  address_port(&r->pick.address), why, STRV(r->client_ip),
		  STRV(r->client->listener->text));
	tracing_try_failed(r, how == TRY_TIMED_OUT ? 504 : 502);
	if (r->service) /* else it was let go */
		balance_report(r->service->balancer, &r->pick, how, 0);
}

/* ---- the end ------------------------------------------------------------------------------ */

static void write_line(struct session *s)
{
	struct req *r = &s->r;
	struct client *c = r->client;
	int64_t took = loop_now_ms() - r->start_ms;
	struct access_record record = {
		.client = &r->client_address,
		.peer = &c->peer,
		.local = client_local(c),
		.status = r->status,
		.bytes_sent = r->bytes_sent,
		.request_length = s->facts.received,
		.started_ms = clock_wall_ms() - took,
		.request_time_ms = took,
		.upstream_addr = r->upstream_addr,
		.upstream_connect_ms = r->connect_ms,
		.upstream_header_ms = -1,
		.upstream_response_ms = r->balanced_ms ? loop_now_ms() - r->balanced_ms : -1,
		.connection = c->serial,
		.is_tls = c->is_tls,
		.sni = str_of(s->sni),
		.protocol = s->facts.is_udp ? "UDP" : "TCP",
	};

	if (c->sock.tls) {
		record.tls_version = tls_version(c->sock.tls);
		record.tls_cipher = tls_cipher(c->sock.tls);
	}
	access_log_write(r->proxy->shared->stream_access_log, &record);
}

static void release(struct req *r)
{
	if (r->service)
		balance_done(r->service->balancer, &r->pick);
	if (r->snap)
		current_release(r->snap, r->proxy->index);
	r->snap = NULL;
	r->route = NULL;
	r->service = NULL;
	r->run = NULL;
}

void session_let_go(struct session *s)
{
	struct req *r = &s->r;

	if (!plugins_will_log(r) && !r->service->upstream)
		release(r);
}

void session_end(struct session *s, int status)
{
	struct req *r = &s->r;

	r->status = status;
	if (r->proxy->shared->stream_access_log)
		write_line(s);
	if (r->snap)
		plugins_log(r);
	release(r);
	err_forget();
}
