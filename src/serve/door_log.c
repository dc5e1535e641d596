/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: what is logged of a request (gibbon/plugin.h). */
#include "serve/phases.h"

#include "base/json.h"
#include "base/log.h"
#include "schema/schema.h"

static void set(struct req *r, struct value *to, const char *key, struct value *v)
{
	value_set(r->arena, to, str_of(key), v);
}

static void set_int(struct req *r, struct value *to, const char *key, int64_t i)
{
	set(r, to, key, value_int(r->arena, i));
}

static void set_str(struct req *r, struct value *to, const char *key, str s)
{
	set(r, to, key, value_str(r->arena, s));
}

/* Several under one key are a list. */
static void put(struct arena *a, struct value *to, str key, struct value *v)
{
	struct value *before = value_get_str(to, key), *list;

	if (!before) {
		value_set(a, to, key, v);
	} else if (before->kind == VALUE_ARRAY) {
		value_add(a, before, v);
	} else {
		list = value_array(a);
		value_add(a, list, before);
		value_add(a, list, v);
		value_set(a, to, key, list);
	}
}

static struct value *headers_value(struct req *r, const struct http_headers *h, bool is_request)
{
	struct value *v = value_object(r->arena);

	for (unsigned i = 0; i < h->n; i++) {
		bool is_secret = is_request && (h->v[i].id == HTTP_AUTHORIZATION ||
						h->v[i].id == HTTP_PROXY_AUTHORIZATION);

		put(r->arena, v, str_lower(r->arena, h->v[i].name),
		    value_str(r->arena, is_secret ? STR("REDACTED") : h->v[i].value));
	}
	return v;
}

static struct value *query_value(struct req *r)
{
	struct uri_args args = uri_args(r->arena, r->in.has_query ? r->in.query : STR_NONE, 100);
	struct value *v = value_object(r->arena);

	for (size_t i = 0; i < args.n; i++)
		put(r->arena, v, args.v[i].key,
		    args.v[i].value.s ? value_str(r->arena, args.v[i].value)
				      : value_bool(r->arena, true));
	return v;
}

static void add_tls(struct req *r, struct value *to)
{
	struct value *v = value_object(r->arena);
	const struct tls *tls = client_tls(r->client);

	if (!tls)
		return;
	set(r, v, "version", value_text(r->arena, tls_version(tls)));
	set(r, v, "cipher", value_text(r->arena, tls_cipher(tls)));
	set(r, v, "client_verify", value_text(r->arena, "NONE"));
	set(r, to, "tls", v);
}

/* Of a TCP, TLS or UDP session: nothing of it is waited for but the target. */
static struct req_figures session_figures(const struct req *r)
{
	return (struct req_figures){
		.request_ms = loop_now_ms() - r->start_ms,
		.upstream_ms = -1,
		.kong_ms = r->balanced_ms   ? r->balanced_ms - r->start_ms
			   : r->answered_ms ? r->answered_ms - r->start_ms
					    : 0,
		.bytes_in = r->stream->received,
		.bytes_out = r->bytes_sent,
	};
}

struct req_figures req_figures(const struct req *r)
{
	int64_t took = loop_now_ms() - r->start_ms;
	int64_t waited = r->upstream_code && r->balanced_ms ? r->answered_ms - r->balanced_ms : -1;
	size_t head = (size_t)(r->in.target.n + r->in.method_name.n) + 12;

	if (r->stream)
		return session_figures(r);
	for (unsigned i = 0; i < r->in.headers.n; i++)
		head += r->in.headers.v[i].name.n + r->in.headers.v[i].value.n + 4;
	return (struct req_figures){
		.request_ms = took,
		.upstream_ms = waited,
		.kong_ms = r->balanced_ms ? r->balanced_ms - r->start_ms
					  : r->answered_ms - r->start_ms,
		.bytes_in = head + r->body.received + r->bytes_tunnelled,
		.bytes_out = r->bytes_sent,
	};
}

struct workspace req_workspace(const struct req *r)
{
	return (struct workspace){ r->snap ? r->snap->config->workspace : STR(""), STR("default") };
}

static struct value *request_value(struct req *r, const struct req_figures *f)
{
	struct value *v = value_object(r->arena);
	str scheme = req_scheme(r);

	set_str(r, v, "uri", r->in.target);
	set_str(r, v, "url",
		str_fmt(r->arena, STRF "://" STRF ":%u" STRF, STRV(scheme), STRV(r->host),
			req_port(r), STRV(r->in.target)));
	set(r, v, "querystring", query_value(r));
	set_str(r, v, "method", req_method(r));
	set(r, v, "headers", headers_value(r, &r->in.headers, true));
	set_int(r, v, "size", (int64_t)f->bytes_in);
	add_tls(r, v);
	return v;
}

static struct value *response_value(struct req *r, const struct req_figures *f)
{
	struct value *v = value_object(r->arena);

	set_int(r, v, "status", r->status);
	set(r, v, "headers", headers_value(r, &r->reply, false));
	set_int(r, v, "size", (int64_t)f->bytes_out);
	return v;
}

static struct value *tries_value(struct req *r)
{
	struct value *list = value_array(r->arena);
	struct req_tries tries = req_tries(r);
	int64_t wall_ms = clock_wall_ms(), mono_us = clock_mono_us();

	for (size_t i = 0; i < tries.n; i++) {
		const struct req_try *t = &tries.v[i];
		struct value *v = value_object(r->arena);

		set_int(r, v, "balancer_start", wall_ms - (mono_us - t->began_us) / 1000);
		set_int(r, v, "balancer_latency", (t->picked_us - t->began_us) / 1000);
		set_str(r, v, "ip", t->ip);
		set_int(r, v, "port", t->port);
		if (t->failed_us) {
			set_str(r, v, "state", STR("failed"));
			set_int(r, v, "code", t->code);
		}
		value_add(r->arena, list, v);
	}
	return list;
}

struct value *entity_value(struct arena *a, const char *name, const void *item)
{
	return schema_encode(a, entity_schema(entity_find(str_of(name))), item);
}

static void add_who(struct req *r, struct value *v)
{
	const struct consumer *c = req_consumer(r);
	const struct credential *by = req_credential(r);
	struct value *who;

	if (c)
		set(r, v, "consumer", entity_value(r->arena, "consumers", c));
	if (!by)
		return;
	who = value_object(r->arena);
	set_str(r, who, "id", by->id);
	if (!uuid_is_none(by->consumer))
		set_str(r, who, "consumer_id", uuid_str(r->arena, by->consumer));
	set(r, v, "authenticated_entity", who);
}

static struct value *session_value(struct req *r, const struct req_figures *f)
{
	struct value *v = value_object(r->arena);

	add_tls(r, v);
	set_int(r, v, "received", (int64_t)f->bytes_in);
	set_int(r, v, "sent", (int64_t)f->bytes_out);
	set_int(r, v, "status", r->status);
	set_int(r, v, "server_port", r->stream->port);
	return v;
}

static struct value *upstream_value(struct req *r)
{
	struct value *v = value_object(r->arena);

	set_int(r, v, "received", (int64_t)r->stream->upstream_received);
	set_int(r, v, "sent", (int64_t)r->stream->upstream_sent);
	return v;
}

static void add_message(struct req *r, const struct req_figures *f, struct value *v,
			struct value *latencies)
{
	if (r->stream) {
		set(r, v, "session", session_value(r, f));
		set(r, v, "upstream", upstream_value(r));
		set_int(r, latencies, "session", f->request_ms);
		return;
	}
	set(r, v, "request", request_value(r, f));
	set_str(r, v, "upstream_uri", r->upstream_path.s ? r->upstream_path : STR(""));
	set(r, v, "response", response_value(r, f));
	set_int(r, latencies, "proxy", f->upstream_ms);
	set_int(r, latencies, "request", f->request_ms);
}

/* All but what the configuration alone decides: its route and service. */
static struct value *make_entry(struct req *r)
{
	struct value *v = value_object(r->arena), *latencies = value_object(r->arena);
	struct req_figures f = req_figures(r);

	add_message(r, &f, v, latencies);
	if (req_tries(r).n)
		set(r, v, "tries", tries_value(r));
	set_int(r, latencies, "kong", f.kong_ms);
	set(r, v, "latencies", latencies);
	add_who(r, v);
	set_str(r, v, "client_ip", r->client_ip);
	set_int(r, v, "started_at", req_started_ms(r));
	return v;
}

/* ---- fields of one's own --------------------------------------------------------------------- */

/* What a chunk of Lua returns that returns a constant; false: it is none. */
static bool lua_constant(struct arena *a, str chunk, struct value **ret)
{
	str s = str_trim(chunk);
	int64_t i;
	double d;
	char quote;

	while (str_ends(s, STR(";")))
		s = str_trim(str_part(s, 0, s.n - 1));
	*ret = NULL;
	if (s.n == 0 || str_is(s, "return")) /* nothing is nil */
		return true;
	if (!str_starts(s, STR("return")) || ascii_is_alnum(s.s[6]) || s.s[6] == '_')
		return false;
	s = str_trim(str_from(s, 6));
	quote = s.s[0];
	if (str_is(s, "nil"))
		return true;
	if (str_is(s, "true") || str_is(s, "false"))
		*ret = value_bool(a, str_is(s, "true"));
	else if (str_to_int(s, &i))
		*ret = value_int(a, i);
	else if (str_to_num(s, &d))
		*ret = value_real(a, d);
	else if (s.n >= 2 && (quote == '"' || quote == '\'') && s.s[s.n - 1] == quote &&
		 str_find(s, quote, 1) == (ptrdiff_t)s.n - 1 && str_find(s, '\\', 0) < 0 &&
		 str_find(s, '\n', 0) < 0)
		*ret = value_str(a, str_part(s, 1, s.n - 1));
	return *ret != NULL;
}

const char *rule_log_field(struct arena *a, const struct value *v)
{
	struct value *ignored;

	if (v->kind != VALUE_STRING || lua_constant(a, v->s, &ignored))
		return NULL;
	return "only Lua that returns a constant (nil, true, false, a number, or a text in "
	       "quotes) is supported by this version";
}

static void set_field(struct req *r, struct value *v, str name, struct value *to)
{
	str piece, rest = name;

	while (str_next(&rest, '.', &piece)) {
		struct value *inner = value_get_str(v, piece);

		if (!rest.s)
			break;
		if (!inner) {
			inner = value_object(r->arena);
			value_set(r->arena, v, piece, inner);
		}
		if (inner->kind != VALUE_OBJECT) {
			log_error("custom field " STRF ": " STRF " has no fields", STRV(name),
				  STRV(piece));
			return;
		}
		v = inner;
	}
	if (to)
		value_set(r->arena, v, piece, to);
	else
		value_unset(v, piece);
}

const struct value *log_entry(struct req *r)
{
	struct value *v;

	if (r->run->entry)
		return r->run->entry;
	r->run->entry = v = make_entry(r);
	if (r->route)
		set(r, v, "route", entity_value(r->arena, "routes", r->route->route));
	if (r->service)
		set(r, v, "service", entity_value(r->arena, "services", r->service->service));
	return v;
}

/* The members that are the same for all requests of a route. */
static str route_members(struct arena *a, const struct route_plan *p)
{
	struct value *v = value_object(a);
	str text;

	value_set(a, v, STR("route"), entity_value(a, "routes", p->route));
	if (p->service)
		value_set(a, v, STR("service"), entity_value(a, "services", p->service->service));
	text = json_text(a, v, JSON_COMPACT);
	return str_part(text, 1, text.n - 1);
}

static str make_text(struct req *r)
{
	str text = json_text(r->arena, make_entry(r), JSON_COMPACT);
	str parts[] = { str_part(text, 0, text.n - 1), STR(","), STR_NONE, STR("}") };

	if (!r->route)
		return text;
	parts[2] = snapshot_route_text(r->snap, r->route, r->arena, route_members);
	return str_join(r->arena, (strs){ parts, COUNT(parts) }, STR(""));
}

str log_text(struct req *r, const struct value *fields)
{
	struct value *v;

	if (!fields || fields->kind != VALUE_OBJECT || fields->n == 0) {
		if (!r->run->entry_text.s)
			r->run->entry_text = make_text(r);
		return r->run->entry_text;
	}
	v = value_copy(r->arena, log_entry(r));
	for (uint32_t i = 0; i < fields->n; i++) {
		const struct member *m = &fields->members[i];
		struct value *to;

		if (m->value->kind == VALUE_STRING && lua_constant(r->arena, m->value->s, &to))
			set_field(r, v, m->key, to);
	}
	return json_text(r->arena, v, JSON_COMPACT);
}

/* ---- severities ------------------------------------------------------------------------------- */

static int severity_of(str word)
{
	static const char *const words[] = { "emerg",   "alert",  "crit", "err",
					     "warning", "notice", "info", "debug" };
	int i = 0;

	while (i < (int)COUNT(words) - 1 && !str_is(word, words[i]))
		i++;
	return i;
}

struct log_severities log_severities_of(str least, str good, str client_error, str server_error)
{
	return (struct log_severities){
		severity_of(least),
		severity_of(good),
		severity_of(client_error),
		severity_of(server_error),
	};
}

int log_severity(const struct req *r, const struct log_severities *s)
{
	int severity = r->status >= 500   ? s->server_error
		       : r->status >= 400 ? s->client_error
					  : s->good;

	return severity > s->least ? -1 : severity;
}
