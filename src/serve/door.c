/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: the request, its context, and whom it is from (gibbon/plugin.h). */
#include "serve/phases.h"

#include "base/limits.h"
#include "base/uri.h"
#include "control/lookup.h"
#include "serve/tracing.h"

struct arena *req_arena(const struct req *r)
{
	return r->arena;
}

const struct plugin_config *req_plugin(const struct req *r)
{
	return r->run->running;
}

void *req_ctx_of(struct req *r, const struct plugin *p, size_t size)
{
	struct plugin_context *c = r->run->contexts;

	while (c && c->plugin != p)
		c = c->next;
	if (c)
		return c->memory;
	c = NEW(r->arena, struct plugin_context);
	c->plugin = p;
	c->memory = arena_zalloc(r->arena, size);
	c->next = r->run->contexts;
	r->run->contexts = c;
	return c->memory;
}

struct value *req_shared(struct req *r)
{
	if (!r->run->shared)
		r->run->shared = value_object(r->arena);
	return r->run->shared;
}

/* ---- what came --------------------------------------------------------------------------- */

const struct http_request *req_in(const struct req *r)
{
	return &r->in;
}

str req_path(const struct req *r)
{
	return r->path;
}

str req_host(const struct req *r)
{
	return r->host;
}

str req_client_ip(const struct req *r)
{
	return r->client_ip;
}

const struct cidr *network_new(struct arena *a, str text)
{
	struct cidr *c = NEW(a, struct cidr);

	return cidr_parse(text, c) ? c : NULL;
}

uint16_t req_client_port(const struct req *r)
{
	return address_port(&r->client_address);
}

bool req_client_is_in(const struct req *r, const struct cidr *network)
{
	return cidr_has(network, &r->client_address);
}

bool req_client_is_local(const struct req *r)
{
	return r->client_address.any.sa_family == AF_UNIX;
}

str req_scheme(const struct req *r)
{
	return r->client->is_tls ? STR("https") : STR("http");
}

bool req_is_stream(const struct req *r)
{
	return r->stream != NULL;
}

uint16_t req_port(const struct req *r)
{
	return r->client->listener->port;
}

str req_sni(const struct req *r)
{
	const struct tls *tls = client_tls(r->client);

	return tls ? tls_sni(tls) : STR("");
}

struct err *req_use_certificate(struct req *r, str cert_pem, str key_pem)
{
	struct tls_cert *cert;

	PASS(tls_cert_new(cert_pem, key_pem, &cert));
	tls_cert_drop(&r->client->cert);
	r->client->cert = cert;
	return NULL;
}

str req_server_ip(const struct req *r)
{
	const struct address *here = client_local(r->client);
	char text[ADDRESS_TEXT];
	size_t n;

	if (!here->size)
		return STR("");
	n = address_ip(here, text);
	return str_copy(r->arena, str_at(text, n));
}

int req_loop(const struct req *r)
{
	return r->proxy->index;
}

uint64_t req_connection(const struct req *r)
{
	return r->client->serial;
}

unsigned req_of_connection(const struct req *r)
{
	return r->client->requests;
}

bool req_is_grpc(const struct req *r)
{
	const struct http_header *type = http_get(&r->in.headers, HTTP_CONTENT_TYPE);

	return r->in.is_h2 && type && str_starts(type->value, STR("application/grpc"));
}

int64_t req_started_ms(const struct req *r)
{
	return clock_wall_ms() - (loop_now_ms() - r->start_ms);
}

/* ---- headers ------------------------------------------------------------------------------ */

struct http_headers *req_headers(struct req *r)
{
	return &r->in.headers;
}

static const struct http_header *find_header(const struct req *r, str name)
{
	return http_get_dashed(r->arena, &r->in.headers, name);
}

str req_header(const struct req *r, str name)
{
	const struct http_header *h = find_header(r, name);

	return h ? h->value : STR_NONE;
}

str req_header_name(const struct req *r, str name)
{
	const struct http_header *h = find_header(r, name);

	return h ? h->name : STR_NONE;
}

unsigned req_header_count(const struct req *r, str name)
{
	str is = req_header_name(r, name);
	unsigned n = 0;

	for (unsigned i = 0; is.s && i < r->in.headers.n; i++)
		n += str_eq_ci(r->in.headers.v[i].name, is);
	return n;
}

static bool is_host(str name)
{
	return name.n == 4 && str_is_ci(name, "host");
}

/* The Host that goes on is not the one that came. */
static bool set_host(struct req *r, str name, str value)
{
	if (!is_host(name))
		return false;
	req_set_host(r, value);
	return true;
}

void req_set_header(struct req *r, str name, str value)
{
	if (name.n && !set_host(r, name, value))
		http_set_str(r->arena, &r->in.headers, http_escape_name(r->arena, name),
			     http_escape_value(r->arena, value));
}

void req_add_header(struct req *r, str name, str value)
{
	if (name.n && !set_host(r, name, value))
		http_add(r->arena, &r->in.headers, http_escape_name(r->arena, name),
			 http_escape_value(r->arena, value));
}

void req_remove_header(struct req *r, str name)
{
	if (!is_host(name))
		http_remove_str(&r->in.headers, name);
}

str req_method(const struct req *r)
{
	return r->method_sent.s ? r->method_sent : r->in.method_name;
}

void req_set_method(struct req *r, str method)
{
	r->method_sent = method;
}

void req_set_host(struct req *r, str host)
{
	r->host_sent = http_escape_value(r->arena, host);
}

/* ---- path and query ------------------------------------------------------------------------ */

str req_upstream_path(const struct req *r)
{
	return r->upstream_path;
}

str req_stripped_path(const struct req *r)
{
	str base = r->service ? r->service->service->path : STR_NONE;

	return route_upstream_path(r->arena, &r->match, base, r->path);
}

void req_set_upstream_path(struct req *r, str path)
{
	r->upstream_path = uri_escape(r->arena, path);
}

str req_query(const struct req *r)
{
	return r->has_query_sent ? r->query_sent : r->in.has_query ? r->in.query : STR_NONE;
}

#define ARGS_MAX 1000

struct uri_args req_args(struct req *r)
{
	return uri_args(r->arena, req_query(r), ARGS_MAX);
}

void req_set_args(struct req *r, const struct uri_args *args)
{
	r->has_query_sent = true;
	r->query_sent = args->n ? uri_args_join(r->arena, args) : STR_NONE;
}

/* ---- body ------------------------------------------------------------------------------------ */

static bool body_failed(struct req *r, ssize_t end)
{
	r->keep_alive = false;
	if (end == BODY_TOO_LARGE && r->too_large_status) {
		r->must_linger = true;
		respond_error(r, r->too_large_status, "%s", r->too_large_message);
	} else if (end == BODY_BAD || end == BODY_TOO_LARGE || end == NET_TIMEOUT) {
		r->must_linger = true;
		respond_error(r,
			      end == BODY_BAD         ? 400
			      : end == BODY_TOO_LARGE ? 413
						      : 408,
			      "%s",
			      end == BODY_BAD         ? "Bad request"
			      : end == BODY_TOO_LARGE ? "Payload too large"
						      : "Request timeout");
	} else {
		r->is_client_gone = true;
		r->status = 499;
		r->run->answer.is_given = true;
	}
	return false;
}

bool req_body(struct req *r, str *ret)
{
	int64_t timeout_ms = r->proxy->shared->settings->proxy_http.client_body_timeout;
	struct buf all CLEANUP(buf_done) = { 0 };
	char *piece;
	ssize_t n;

	*ret = r->has_body_sent ? r->body_sent : STR("");
	if (r->has_body_sent || r->body.kind == HTTP_BODY_NONE)
		return true;
	buf_init(&all, LIMIT_PLUGIN_BODY);
	if (!body_invite(r))
		return body_failed(r, NET_RESET);
	while ((n = body_next(&r->body, timeout_ms, NULL, &piece)) > 0) {
		buf_add(&all, piece, (size_t)n);
		if (all.is_full)
			return body_failed(r, BODY_TOO_LARGE);
	}
	if (n < 0)
		return body_failed(r, n);
	req_set_body(r, str_copy(r->arena, buf_str(&all)));
	*ret = r->body_sent;
	return true;
}

void req_set_body(struct req *r, str body)
{
	r->has_body_sent = true;
	r->body_sent = body;
}

enum verdict req_limit_body(struct req *r, uint64_t most, int status, const char *message)
{
	if (r->has_body_sent && r->body_sent.n > most)
		return respond_error(r, status, "%s", message);
	if (r->body.has_max && r->body.max <= most)
		return NEXT;
	r->body.has_max = true;
	r->body.max = most;
	r->too_large_status = status;
	r->too_large_message = message;
	return NEXT;
}

/* ---- where it goes --------------------------------------------------------------------------- */

const struct route *req_route(const struct req *r)
{
	return r->route ? r->route->route : NULL;
}

const struct service *req_service(const struct req *r)
{
	return r->service ? r->service->service : NULL;
}

str req_capture(const struct req *r, str name)
{
	int64_t number = -1;

	str_to_int(name, &number);
	for (size_t i = 1; i < r->match.captures_n; i++) {
		const struct route_capture *c = &r->match.captures[i];

		if ((int64_t)i == number || (c->name.n && str_eq(c->name, name)))
			return c->value;
	}
	return STR_NONE;
}

struct value *req_captures(struct req *r)
{
	struct value *all = value_object(r->arena);

	for (size_t i = 0; i < r->match.captures_n; i++) {
		const struct route_capture *c = &r->match.captures[i];

		if (!c->value.s)
			continue;
		value_set(r->arena, all, str_fmt(r->arena, "%zu", i),
			  value_str(r->arena, c->value));
		if (c->name.n)
			value_set(r->arena, all, c->name, value_str(r->arena, c->value));
	}
	return all;
}

/* ---- who it is from ----------------------------------------------------------------------------- */

const struct consumer *req_consumer(const struct req *r)
{
	return r->run ? r->run->consumer : NULL;
}

const struct credential *req_credential(const struct req *r)
{
	return r->run ? r->run->credential : NULL;
}

strs req_groups(const struct req *r)
{
	return r->run ? r->run->groups : (strs){ NULL, 0 };
}

void req_set_groups(struct req *r, strs groups)
{
	r->run->groups = groups;
}

static void tell(struct req *r, str name, str value)
{
	if (value.n)
		req_set_header(r, name, value);
	else
		req_remove_header(r, name);
}

void req_authenticate(struct req *r, const struct consumer *c, const struct credential *by)
{
	r->run->consumer = c;
	r->run->credential = by;
	tell(r, STR("X-Consumer-ID"), c ? uuid_str(r->arena, c->id) : STR_NONE);
	tell(r, STR("X-Consumer-Custom-ID"), c ? c->custom_id : STR_NONE);
	tell(r, STR("X-Consumer-Username"), c ? c->username : STR_NONE);
	tell(r, STR("X-Credential-Identifier"), by ? by->identifier : STR_NONE);
	tell(r, STR("X-Anonymous-Consumer"), by ? STR_NONE : STR("true"));
}

/* The database could not be asked: the request ends, whatever the plugin makes of it. */
static bool fail_lookup(struct req *r)
{
	respond_message(r, 500, "An unexpected error occurred");
	r->run->answer.is_final = true;
	return false;
}

static bool find_consumer_called(struct req *r, str name, const struct consumer **ret)
{
	struct lookup *l = r->snap->lookup;

	if (l)
		return lookup_consumer_called(l, r->arena, name, ret) || fail_lookup(r);
	*ret = directory_consumer_called(r->snap->directory, name);
	return true;
}

enum verdict req_authenticate_anonymous(struct req *r, str anonymous)
{
	const struct consumer *c;

	if (!find_consumer_called(r, anonymous, &c))
		return DONE;
	if (!c) {
		log_error("anonymous consumer " STRF " is not there", STRV(anonymous));
		return respond_message(r, 500, "An unexpected error occurred");
	}
	req_authenticate(r, c, NULL);
	return NEXT;
}

const struct consumer *consumer_find(struct req *r, uuid id)
{
	struct lookup *l = r->snap->lookup;
	const void *found = NULL;

	if (!l)
		return directory_consumer(r->snap->directory, id);
	if (!lookup_one(l, r->arena, entity_find(STR("consumers")), "id", uuid_str(r->arena, id),
			&found))
		fail_lookup(r);
	return found;
}

bool req_authenticate_by(struct req *r, uuid consumer, uuid credential, str identifier)
{
	const struct consumer *c = consumer_find(r, consumer);
	struct credential *by;

	if (!c)
		return false;
	by = NEW(r->arena, struct credential);
	by->id = uuid_str(r->arena, credential);
	by->identifier = identifier;
	by->consumer = consumer;
	req_authenticate(r, c, by);
	return true;
}

/* created_at of an entity, or 0. */
static int64_t created_at(const struct entity *e, const char *item)
{
	for (const struct field *row = e->fields; row->name; row++) {
		if (row->is_timestamp && strcmp(row->name, "created_at") == 0)
			return *(const int64_t *)(item + row->offset);
	}
	return 0;
}

static bool is_over(const struct entity *e, const void *item)
{
	int64_t ttl;

	if (!item || !e->has_ttl || !e->ttl_offset)
		return false;
	ttl = *(const int64_t *)((const char *)item + e->ttl_offset);
	return ttl != FIELD_UNSET_INT && created_at(e, item) + ttl <= clock_wall_s();
}

static bool find_kept(struct req *r, const struct entity *e, const char *field, str value,
		      const void **ret)
{
	struct value *doc;
	void *item;

	if (!stored_find(r, e, field, value, &doc))
		return false;
	if (!doc)
		return true;
	item = arena_zalloc(r->arena, e->size);
	entity_count_from_start(r->arena, e, doc);
	entity_decode(r->arena, e, doc, item);
	*ret = item;
	return true;
}

const void *credential_find(struct req *r, const struct entity *e, const char *field, str value)
{
	struct lookup *l = r->snap->lookup;
	const void *found = NULL;
	bool is_done = true;

	if (l)
		is_done = lookup_one(l, r->arena, e, field, value, &found);
	else if (e->is_kept_apart)
		is_done = find_kept(r, e, field, value, &found);
	else
		found = directory_find(r->snap->directory, e, field, value);
	if (!is_done)
		fail_lookup(r);
	return is_over(e, found) ? NULL : found;
}

struct found credentials_of(struct req *r, const struct entity *e, uuid consumer)
{
	struct lookup *l = r->snap->lookup;
	const void *const *all = NULL;
	struct found ret = { 0 };
	size_t n = 0;

	if (!l)
		all = directory_of(r->snap->directory, e, consumer, &n);
	else if (!lookup_of(l, r->arena, e, consumer, &all, &n))
		fail_lookup(r);
	ret.v = NEWS(r->arena, const void *, n);
	for (size_t i = 0; i < n; i++) {
		if (!is_over(e, all[i]))
			ret.v[ret.n++] = all[i];
	}
	return ret;
}
