/* SPDX-License-Identifier: Apache-2.0 */
/* TCP sessions, plain, with TLS that ends here, and with TLS that only passes. */
#include "stream/priv.h"

#include "base/log.h"
#include "serve/tunnel.h"

static const struct stream_tuning *tuning(const struct session *s)
{
	return &s->r.proxy->shared->settings->stream;
}

/* ---- what the client begins with ---------------------------------------------------------- */

/* Who it is by a balancer before us, and what name it asks for. */
static int listen_to(struct session *s)
{
	struct client *c = s->r.client;
	bool is_tls;

	if (c->listener->proxy_protocol) {
		enum net_end end =
			client_hear_proxy(c, deadline_in(tuning(s)->proxy_protocol_timeout));

		if (end != NET_OK)
			return end == NET_FAILED ? 400 : STATUS_OVER;
	}
	session_know(s);
	if (c->listener->ssl &&
	    client_hello_peek(&c->sock, s->sni, deadline_in(tuning(s)->preread_timeout), &is_tls) !=
		    NET_OK)
		return STATUS_OVER;
	return STEP_ON;
}

/* On a listener with ssl the route says where TLS ends. */
static int meet_tls(struct session *s)
{
	struct req *r = &s->r;
	struct client *c = r->client;

	if (!c->listener->ssl)
		return STEP_ON;
	if (r->route->is_tls)
		return client_handshake(c, r->proxy->shared->stream_tls,
					deadline_in(tuning(s)->handshake_timeout))
			       ? STEP_ON
			       : 500;
	if (r->route->is_tls_passthrough)
		return STEP_ON;
	log_error("unexpected protocols in matched Route, client: " STRF ", listener: " STRF,
		  STRV(r->client_ip), STRV(c->listener->text));
	return 500;
}

/* ---- the target ----------------------------------------------------------------------------- */

/* PROXY protocol, version 1, of the client as we know it. */
static str introduction(struct session *s)
{
	struct req *r = &s->r;
	const struct address *from = &r->client_address, *to = client_local(r->client);
	char from_ip[ADDRESS_TEXT], to_ip[ADDRESS_TEXT];

	if (!tuning(s)->proxy_protocol)
		return STR_NONE;
	if (from->any.sa_family != to->any.sa_family ||
	    (from->any.sa_family != AF_INET && from->any.sa_family != AF_INET6))
		return STR("PROXY UNKNOWN\r\n");
	address_ip(from, from_ip);
	address_ip(to, to_ip);
	return str_fmt(r->arena, "PROXY TCP%d %s %s %u %u\r\n",
		       from->any.sa_family == AF_INET ? 4 : 6, from_ip, to_ip, address_port(from),
		       address_port(to));
}

static enum link_end open_link(struct session *s, str preface, struct link **ret, const char **why)
{
	struct req *r = &s->r;
	const struct service_plan *plan = r->service;
	struct link_target target = {
		.address = &r->pick.address,
		.verify_name = plan->verify_name,
		.preface = preface,
		.is_single = true,
	};
	int64_t start = loop_now_ms();
	enum link_end end;

	if (!r->route->is_tls_passthrough) { /* whose TLS is the client's own */
		target.tls = plan->tls;
		target.tls_identity = plan->tls_identity;
		target.server_name = plan->service->host;
	}
	end = link_open(r->proxy->links, &target,
			deadline_in(timeout_of(plan->service->connect_timeout)), ret, why);
	r->connect_ms = loop_now_ms() - start;
	return end;
}

static int connect_to(struct session *s, struct link **ret)
{
	str preface = introduction(s);

	for (unsigned tries = 0;; tries++) {
		int status = session_pick(s);
		const char *why = "";
		enum link_end end;

		if (status)
			return status;
		end = open_link(s, preface, ret, &why);
		if (end == LINK_OK) {
			session_connected(s);
			return STEP_ON;
		}
		if (end == LINK_CANCELLED)
			return STATUS_OVER;
		session_failed(s, end == LINK_TIMEOUT ? TRY_TIMED_OUT : TRY_CONNECT_FAILED,
			       end == LINK_TIMEOUT ? "timed out while connecting" : why);
		if (tries >= s->r.service->retries)
			return 502;
	}
}

/* ---- from accept to close --------------------------------------------------------------------- */

static void ended(void *p, const struct tunnel_bytes *taken)
{
	struct session *s = p;

	s->facts.received = s->facts.upstream_sent = taken->up;
	s->r.bytes_sent = s->facts.upstream_received = taken->down;
	session_end(s, STATUS_OVER);
}

/* STEP_ON: the session is a tunnel. */
static int begin(struct session *s)
{
	struct req *r = &s->r;
	struct tunnel_plan plan = { .arena = r->arena, .ended = ended, .arg = s };
	struct link *link = NULL;
	int status = listen_to(s);

	if (!status)
		status = session_route(s);
	if (!status)
		status = meet_tls(s);
	if (!status)
		status = session_preread(s);
	if (!status)
		status = connect_to(s, &link);
	if (status)
		return status;
	plan.timeout_ms = timeout_of(r->service->service->read_timeout);
	session_let_go(s);
	tunnel_open(r->client, &link, &plan);
	return STEP_ON;
}

/* What a plugin answers is told to the client when it is no refusal. */
static void tell(struct session *s)
{
	const struct plugin_run *run = s->r.run;
	ssize_t n = 0;

	if (run && run->answer.is_given && run->answer.status < 400 && run->answer.body.n)
		n = sock_write(&s->r.client->sock, run->answer.body.s, run->answer.body.n,
			       deadline_in(tuning(s)->preread_timeout));
	s->r.bytes_sent += n > 0 ? (uint64_t)n : 0;
}

static void run(void *p)
{
	struct client *c = p;
	struct session *s = session_new(c, 0);
	struct arena *a CLEANUP(arena_drop) = s->r.arena;
	int status = begin(s);

	if (status == STEP_ON) {
		a = NULL; /* the tunnel has it */
		tunnel_run(c->tunnel);
		return;
	}
	tell(s);
	session_end(s, status);
	client_close(c);
}

void stream_accept(struct proxy *p, const struct listener *l, int fd, const struct address *peer)
{
	fiber_start_now("session", run, client_new(p, l, fd, peer));
}
