/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding: the request to a target of its service, what comes back to the client.
 *
 *	pick ─► connect ─► send ─► receive head ─► relay ─► done
 *	  ▲        │         │          │            └─ broken: the client's connection ends too
 *	  └────────┴─────────┴──────────┘ another try, while the request may be repeated
 *
 * A request may be repeated while the client has seen nothing, its body can be
 * sent again, and it either did not reach the target or is idempotent. */
#include "serve/forward.h"

#include "base/log.h"
#include "serve/tracing.h"

#define STALE_MOST 3 /* shared connections that end under one request for nothing */

enum outcome trial_failed(struct trial *t, int status, enum try_outcome how, const char *why)
{
	t->status = status;
	t->how = how;
	t->why = str_z(t->r->arena, str_of(why)); /* it may belong to a link that ends soon */
	return OUTCOME_FAILED;
}

enum outcome trial_ended(struct trial *t, ssize_t end, const char *doing)
{
	if (end == NET_CANCELLED)
		return OUTCOME_GONE;
	if (end == NET_TIMEOUT)
		return trial_failed(t, 504, TRY_TIMED_OUT, "timed out");
	return trial_failed(t, 502, TRY_BROKEN, end == NET_EOF ? "closed the connection" : doing);
}

/* ---- connecting ------------------------------------------------------------------ */

/* SNI and the name to verify: the Host that is sent, without its port; never an IP as SNI. */
static str server_name(const struct req *r)
{
	str host = host_for_upstream(r);
	ptrdiff_t colon = str_find_last(host, ':');
	ptrdiff_t bracket = str_find_last(host, ']');

	if (colon > bracket && (bracket >= 0 || str_find(host, ':', 0) == colon))
		host = str_part(host, 0, (size_t)colon);
	return host;
}

static enum link_end connect_new(struct trial *t, const struct link_target *target,
				 const char **why)
{
	struct req *r = t->r;
	int64_t timeout_ms = timeout_of(r->service->service->connect_timeout);
	enum link_end end;

	client_watch(r->client);
	if (r->service->is_grpc)
		end = link_join(r->proxy->links, target, deadline_in(timeout_ms), &t->link, why);
	else
		end = link_open(r->proxy->links, target, deadline_in(timeout_ms), &t->link, why);
	client_unwatch(r->client);
	return end;
}

static enum link_end open_link(struct trial *t, const struct link_target *target, const char **why)
{
	struct links *links = t->r->proxy->links;

	if (!t->r->service->is_grpc && link_take(links, target, &t->link))
		return LINK_OK;
	return connect_new(t, target, why);
}

static enum outcome connect_to(struct trial *t)
{
	struct req *r = t->r;
	const struct service_plan *s = r->service;
	struct link_target target = {
		.address = &r->pick.address,
		.tls = s->tls,
		.tls_identity = s->tls_identity,
		.verify_name = s->verify_name,
	};
	int64_t start = loop_now_ms();
	const char *why = "";
	enum link_end end;

	if (s->tls)
		target.server_name = server_name(r);
	end = open_link(t, &target, &why);
	r->connect_ms = loop_now_ms() - start;
	if (end == LINK_OK) {
		tracing_try_connected(r);
		t->link->requests++;
		return OUTCOME_OK;
	}
	if (end == LINK_CANCELLED)
		return OUTCOME_GONE;
	if (end == LINK_TIMEOUT)
		return trial_failed(t, 504, TRY_TIMED_OUT, "timed out while connecting");
	return trial_failed(t, 502, TRY_CONNECT_FAILED, why);
}

/* ---- tries --------------------------------------------------------------------------- */

static enum outcome attempt(struct trial *t)
{
	enum outcome a;

	t->is_sent = t->is_request_over = false; /* what the try before did is its own */
	a = connect_to(t);
	if (a == OUTCOME_OK)
		a = send_request(t);
	if (a == OUTCOME_OK)
		a = receive_head(t);
	if (a != OUTCOME_OK)
		return a;
	balance_report(t->r->service->balancer, &t->r->pick, TRY_ANSWERED, t->response.status);
	return relay(t);
}

/* RFC 9110 §9.2.2; nginx leaves POST, LOCK and PATCH out. */
static bool is_idempotent(const struct req *r)
{
	enum http_method method = method_for_upstream(r);

	return method != HTTP_POST && method != HTTP_PATCH && !str_is(req_method(r), "LOCK");
}

static bool may_repeat(const struct trial *t)
{
	if (t->r->upstream_code || t->is_body_taken || t->how == TRY_ANSWERED)
		return false;
	return !t->is_sent || is_idempotent(t->r);
}

/* Most requests have one try, whose text is the list. */
static void add_to_list(struct arena *a, str *list, str item)
{
	*list = list->n ? str_cat(a, *list, STR(", "), item) : item;
}

void note_upstream(struct req *r)
{
	const struct proxy_shared *shared = r->proxy->shared;
	char ip[ADDRESS_TEXT];
	size_t n;

	if (!(r->stream ? shared->stream_access_log : shared->access_log))
		return;
	n = address_ip(&r->pick.address, ip);
	add_to_list(r->arena, &r->upstream_addr,
		    host_with_port(r->arena, str_at(ip, n), address_port(&r->pick.address)));
}

static void note_status(struct req *r, int status)
{
	char *text;

	r->tried_status = status;
	if (!r->proxy->shared->access_log || status < 100 || status > 999)
		return;
	text = arena_bytes(r->arena, 3);
	text[0] = (char)('0' + status / 100);
	text[1] = (char)('0' + status / 10 % 10);
	text[2] = (char)('0' + status % 10);
	add_to_list(r->arena, &r->upstream_status, str_at(text, 3));
}

/* Groups of the route's regex by name, where a target is chosen by one of them. */
static const struct value *captures_for(const struct req *r, const struct upstream *u)
{
	struct value *v;

	if (!u || !r->match.captures_n ||
	    (!str_is(u->hash_on, "uri_capture") && !str_is(u->hash_fallback, "uri_capture")))
		return NULL;
	v = value_object(r->arena);
	for (size_t i = 1; i < r->match.captures_n; i++) {
		const struct route_capture *c = &r->match.captures[i];

		if (c->name.n && c->value.s)
			value_set(r->arena, v, c->name, value_str(r->arena, c->value));
	}
	return v;
}

static enum pick_result pick(struct req *r)
{
	const struct consumer *consumer = req_consumer(r);
	const struct credential *by = req_credential(r);
	struct balance_input in = {
		.request = &r->in,
		.path = r->path,
		.client_ip = r->client_ip,
		.consumer_id = consumer ? uuid_str(r->arena, consumer->id) : STR_NONE,
		.credential_id = by ? by->id : STR_NONE,
		.uri_captures = captures_for(r, balancer_upstream(r->service->balancer)),
	};
	enum pick_result p;

	tracing_try_begins(r);
	p = balance_pick(r->service->balancer, r->arena, &in,
			 deadline_in(timeout_of(r->service->service->connect_timeout)), &r->pick);

	if (p == PICK_OK) {
		r->balanced_ms = loop_now_ms();
		tracing_try_picked(r);
	} else {
		tracing_try_forget(r);
	}
	return p;
}

static void reply_no_pick(struct req *r, enum pick_result p)
{
	log_error("no target for service " STRF ": %s", STRV(r->service->service->host),
		  r->pick.why ? r->pick.why : "none is available");
	if (p == PICK_NO_PEER)
		reply_message(r, 503, "failure to get a peer from the ring-balancer");
	else if (p == PICK_NOT_FOUND)
		reply_message(r, 503, "name resolution failed");
	else
		reply_message(r, 500, "An unexpected error occurred");
}

static void client_is_gone(struct req *r)
{
	r->is_client_gone = true;
	r->status = 499;
}

static void told_of_failure(const struct trial *t)
{
	const struct req *r = t->r;
	char ip[ADDRESS_TEXT];

	address_ip(&r->pick.address, ip);
	log_error("upstream %s:%u: %s, client: " STRF ", request: \"" STRF " " STRF
		  "\", host: \"" STRF "\"",
		  ip, address_port(&r->pick.address), t->why, STRV(r->client_ip),
		  STRV(r->in.method_name), STRV(r->in.target), STRV(r->in.host));
}

/* A connection from before that had ended unseen, or was about to, is nobody's failure.  But
 * one that is shared may do so only so often: its target may refuse everybody. */
static bool is_stale(const struct trial *t, unsigned *shared_ones)
{
	const struct link *k = t->link;

	if (!k || !k->is_reused || t->how != TRY_BROKEN)
		return false;
	return !k->shared || (*shared_ones)++ < STALE_MOST;
}

static void try_targets(struct trial *t)
{
	struct req *r = t->r;
	unsigned shared_ones = 0;

	for (unsigned tries = 0;; tries++) {
		enum pick_result p = pick(r);
		enum outcome a;
		bool is_nothing, is_last;

		if (p == PICK_CANCELLED) {
			client_is_gone(r);
			return;
		}
		if (p != PICK_OK) {
			reply_no_pick(r, p);
			return;
		}
		r->is_proxied = true;
		note_upstream(r);
		a = attempt(t);
		is_nothing = a == OUTCOME_FAILED && is_stale(t, &shared_ones);
		sender_stop(t);
		link_close(&t->link);
		note_status(r, a == OUTCOME_FAILED ? t->status : r->upstream_code);
		if (a == OUTCOME_OK)
			return;
		if (a == OUTCOME_GONE) {
			client_is_gone(r);
			return;
		}
		told_of_failure(t);
		if (is_nothing)
			tracing_try_forget(r);
		else
			tracing_try_failed(r, t->status);
		is_last = !may_repeat(t) || (!is_nothing && tries >= r->service->retries);
		if (!is_nothing) /* what the client is told counts too */
			balance_report(r->service->balancer, &r->pick, t->how,
				       is_last && !r->upstream_code ? t->status : 0);
		if (is_last) {
			reply_failure(r, t->status);
			return;
		}
		if (is_nothing)
			tries--;
	}
}

void forward(struct req *r)
{
	struct trial t = { .r = r };

	if (take_body(&t))
		try_targets(&t);
	balance_done(r->service->balancer, &r->pick);
	block_put(&t.block);
	buf_done(&t.kept);
	if (t.is_spooled)
		spool_done(&t.spool);
}
