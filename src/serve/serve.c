/* SPDX-License-Identifier: Apache-2.0 */
/* serve - one request, from parsed head to logged line.  Read this first.
 *
 * Runs on the connection's own fiber, so a stage may wait for a socket as if it
 * owned the thread.  Each stage lets the request go on (NEXT) or has answered
 * it (DONE). */
#include "serve/tracing.h"

#include "base/uri.h"

/* $host of nginx: the Host header (or the target's authority) in lower case, without its port. */
static str bare_host(struct arena *a, str host)
{
	ptrdiff_t bracket = str_find_last(host, ']');
	ptrdiff_t colon = str_find_last(host, ':');

	if (colon > bracket)
		host = str_part(host, 0, (size_t)colon);
	for (size_t i = 0; i < host.n; i++) {
		if (ascii_lower(host.s[i]) != host.s[i])
			return str_lower(a, host);
	}
	return host;
}

/* The connection goes on when both sides and the settings agree. */
static bool may_keep_alive(const struct req *r)
{
	const struct http_tuning *t = &r->proxy->shared->settings->proxy_http;
	const struct client *c = r->client;

	return r->in.keep_alive && !r->proxy->is_draining && t->keepalive_timeout > 0 &&
	       (t->keepalive_requests == 0 || c->requests < t->keepalive_requests) &&
	       loop_now_ms() < c->keep_until;
}

static enum verdict accept_request(struct req *r)
{
	int64_t max = r->proxy->shared->settings->proxy_http.client_max_body;

	r->keep_alive = may_keep_alive(r);
	r->host = bare_host(r->arena, r->in.host);
	real_ip(r);
	if (r->in.method == HTTP_CONNECT || r->in.method == HTTP_TRACE) { /* as nginx */
		reply_page(r, 405);
		return DONE;
	}
	if (!uri_normalise(r->arena, r->in.path, &r->path)) {
		r->keep_alive = false;
		r->must_linger = true;
		reply_page(r, 400);
		return DONE;
	}
	r->body.max = (uint64_t)max;
	r->body.has_max = max > 0;
	if (max && r->in.body == HTTP_BODY_LENGTH && r->in.length > max) {
		reply_page(r, 413);
		return DONE;
	}
	return NEXT;
}

static str scheme_seen(const struct req *r)
{
	const struct http_header *proto =
		r->client->is_trusted ? http_get(&r->in.headers, HTTP_X_FORWARDED_PROTO) : NULL;

	if (proto && proto->value.n)
		return proto->value;
	return r->client->is_tls ? STR("https") : STR("http");
}

/* A route for https alone that was reached by http: the redirect or 426 of its settings. */
static enum verdict insist_on_tls(struct req *r)
{
	int64_t code = r->route->route->https_redirect_status_code;
	const struct http_header *host =
		r->client->is_trusted ? http_get(&r->in.headers, HTTP_X_FORWARDED_HOST) : NULL;
	str name = host && host->value.n ? bare_host(r->arena, host->value) : r->host;

	if (!r->route->is_https_only || str_is_ci(scheme_seen(r), "https"))
		return NEXT;
	if (code == 426)
		reply_upgrade(r, "TLS/1.2, HTTP/1.1", "Please use HTTPS protocol");
	else
		reply_redirect(r, (int)code,
			       str_fmt(r->arena, "https://" STRF STRF "%s" STRF, STRV(name),
				       STRV(r->in.path), r->in.has_query ? "?" : "",
				       STRV(r->in.query)));
	return DONE;
}

/* gRPC stands on HTTP/2, and says of itself what it is. */
static enum verdict insist_on_grpc(struct req *r)
{
	const struct http_header *type = http_get(&r->in.headers, HTTP_CONTENT_TYPE);

	if (!r->route->is_grpc)
		return NEXT;
	if (!type || !str_starts(type->value, STR("application/grpc"))) {
		reply_message(r, 415, "Non-gRPC request matched gRPC route");
		return DONE;
	}
	if (!r->in.is_h2) {
		reply_upgrade(r, "HTTP/2", "Please use HTTP2 protocol");
		return DONE;
	}
	if (r->route->is_grpcs_only && !str_is_ci(scheme_seen(r), "https")) {
		reply_grpc(r, 200, 1, STR("gRPC request matched gRPCs route"));
		return DONE;
	}
	return NEXT;
}

static enum verdict find_route(struct req *r)
{
	struct route_query q = {
		.method = r->in.method_name,
		.host = r->in.host,
		.path = r->path,
		.is_tls = r->client->is_tls,
		.headers = &r->in.headers,
	};

	if (r->client->is_tls)
		q.sni = tls_sni(client_tls(r->client));
	if (!r->snap || !router_find(r->snap->router, &q, r->arena, &r->match)) {
		reply_message(r, 404, "no Route matched with those values");
		return DONE;
	}
	r->route = snapshot_route(r->snap, r->match.route);
	r->service = r->route->service;
	return insist_on_tls(r) == DONE ? DONE : insist_on_grpc(r);
}

/* The name of a method of gRPC is the whole path, whatever the route makes of it. */
static void build_path(struct req *r)
{
	str base = r->service ? r->service->service->path : STR_NONE;

	if (r->service && r->service->is_grpc)
		r->upstream_path = uri_escape(r->arena, r->path);
	else
		r->upstream_path = route_upstream_path(r->arena, &r->match, base, r->path);
	r->forwarded_prefix = route_stripped_prefix(&r->match, r->path);
}

static void append_query(struct req *r)
{
	str query = req_query(r);

	if (query.s)
		r->upstream_path = str_cat(r->arena, r->upstream_path, STR("?"), query);
}

static void proxy_it(struct req *r)
{
	if (!r->service) {
		reply_message(r, 503, "no Service found with those values");
		return;
	}
	append_query(r);
	forward(r);
}

/* ---- the log line ------------------------------------------------------------------ */

static str request_line(const struct req *r)
{
	const char *start = r->in.method_name.s;
	const char *end = r->in.target.s + r->in.target.n + sizeof(" HTTP/1.x") - 1;

	return str_at(start, (size_t)(end - start));
}

struct access_record access_record_of(struct req *r)
{
	struct client *c = r->client;
	int64_t took = loop_now_ms() - r->start_ms;
	struct access_record record = {
		.client = &r->client_address,
		.peer = &c->peer,
		.local = client_local(c),
		.request = r->in.target.n ? &r->in : NULL, /* else there was no request line */
		.status = r->status,
		.bytes_sent = r->bytes_sent,
		.body_bytes_sent = r->body_bytes_sent,
		.started_ms = clock_wall_ms() - took,
		.request_time_ms = took,
		.upstream_addr = r->upstream_addr,
		.upstream_status = r->upstream_status,
		.upstream_connect_ms = r->connect_ms,
		.upstream_header_ms = r->header_ms,
		.upstream_response_ms = r->balanced_ms ? loop_now_ms() - r->balanced_ms : -1,
		.connection = c->serial,
		.connection_requests = c->requests,
		.is_tls = c->is_tls,
		.host = r->host,
		.uri = r->path,
		.is_aborted = r->is_client_gone,
		.reply_headers = &r->reply,
	};
	if (record.request) {
		record.request_line = request_line(r);
		record.request_length = r->head_size + r->body.received;
	}
	if (c->is_tls) {
		record.tls_version = tls_version(client_tls(c));
		record.tls_cipher = tls_cipher(client_tls(c));
		record.sni = tls_sni(client_tls(c));
	}
	return record;
}

void log_request(struct req *r)
{
	struct access_log *log = r->proxy->shared->access_log;
	struct access_record record;

	if (!log)
		return;
	record = access_record_of(r);
	access_log_write(log, &record);
}

/* ---- the road ------------------------------------------------------------------------ */

static enum verdict rewrite(struct req *r)
{
	enum verdict verdict;

	tracing_begin(r);
	tracing_phase_begins(r, PHASE_REWRITE);
	verdict = plugins_rewrite(r);
	tracing_phase_ends(r, PHASE_REWRITE);
	return verdict;
}

/* The search for a route belongs to access, as in Kong. */
static enum verdict access_phase(struct req *r)
{
	enum verdict verdict;

	tracing_phase_begins(r, PHASE_ACCESS);
	verdict = find_route(r);
	if (r->tracing)
		tracing_routed(r, r->tracing->began[PHASE_ACCESS]);
	if (verdict == NEXT) {
		build_path(r);
		verdict = plugins_access(r);
	}
	tracing_phase_ends(r, PHASE_ACCESS);
	return verdict;
}

/* Of the configuration, and of everything that is part of it. */
static void let_go(struct req *r)
{
	if (r->snap)
		current_release(r->snap, r->proxy->index);
	r->snap = NULL;
	r->route = NULL;
	r->service = NULL;
	r->run = NULL;
	r->tracing = NULL;
}

void serve_end(struct req *r)
{
	tracing_end(r);
	log_request(r);
	plugins_log(r);
	let_go(r);
}

void serve(struct req *r)
{
	r->snap = current_hold(r->proxy->shared->current, r->proxy->index);
	if (accept_request(r) == NEXT && rewrite(r) == NEXT && access_phase(r) == NEXT)
		proxy_it(r);
	if (!r->client->tunnel)
		serve_end(r);
	else if (!plugins_will_log(r)) /* a tunnel may be there for days */
		let_go(r);
}

void serve_bad_head(struct req *r, int status)
{
	r->snap = current_hold(r->proxy->shared->current, r->proxy->index);
	r->host = bare_host(r->arena, r->in.host);
	real_ip(r);
	r->must_linger = true;
	reply_page(r, status);
	serve_end(r);
}
