/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: what is logged of a request (gibbon/plugin.h). */
#include "serve/phases.h"

#include "base/json.h"
#include "base/log.h"
#include "schema/schema.h"
#include "serve/lua.h"

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

static struct value *headers_value(struct req *r, const struct http_headers *h, bool is_request)
{
	struct value *v = value_object(r->arena);

	for (unsigned i = 0; i < h->n; i++) {
		bool is_secret = is_request && (h->v[i].id == HTTP_AUTHORIZATION ||
						h->v[i].id == HTTP_PROXY_AUTHORIZATION);

		value_gather(r->arena, v, str_lower(r->arena, h->v[i].name),
			     value_str(r->arena, is_secret ? STR("REDACTED") : h->v[i].value));
	}
	return v;
}

static struct value *query_value(struct req *r)
{
	struct uri_args args = uri_args(r->arena, r->in.has_query ? r->in.query : STR_NONE, 100);
	struct value *v = value_object(r->arena);

	for (size_t i = 0; i < args.n; i++)
		value_gather(r->arena, v, args.v[i].key,
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

/* As in Kong its own time is that until a target was chosen, and that in which the upstream's
 * body came. */
struct req_figures req_figures(const struct req *r)
{
	int64_t now = loop_now_ms();
	int64_t answered_ms = r->answered_ms ? r->answered_ms : now;
	int64_t balanced_ms = r->is_proxied && r->balanced_ms ? r->balanced_ms : answered_ms;

	if (r->stream)
		return session_figures(r);
	return (struct req_figures){
		.request_ms = now - r->start_ms,
		.upstream_ms = r->is_proxied ? answered_ms - balanced_ms : -1,
		.kong_ms = balanced_ms - r->start_ms +
			   (r->received_ms ? r->received_ms - answered_ms : 0),
		.bytes_in = r->head_size + r->body.received + r->bytes_tunnelled,
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
	str scheme = req_scheme(r),
	    host = r->host.n ? r->host : STR("kong"); /* nginx's server_name */

	set_str(r, v, "uri", r->in.target);
	set_str(r, v, "url",
		str_fmt(r->arena, STRF "://" STRF ":%u" STRF, STRV(scheme), STRV(host), req_port(r),
			STRV(r->in.target)));
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
	struct http_headers sent = { 0 };

	set_int(r, v, "status", r->status);
	fields_sent(r, &sent);
	set(r, v, "headers", headers_value(r, &sent, false));
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

static struct value *without_nulls(struct value *v)
{
	for (uint32_t i = v->n; v->kind == VALUE_OBJECT && i > 0; i--) {
		const struct member *m = &v->members[i - 1];

		if (value_is_null(m->value))
			value_unset(v, m->key);
		else
			without_nulls(m->value);
	}
	return v;
}

struct value *entity_value(struct arena *a, const char *name, const void *item, str workspace)
{
	struct value *v = schema_encode(a, entity_schema(entity_find(str_of(name))), item);

	if (workspace.n)
		value_set(a, v, STR("ws_id"), value_str(a, workspace));
	return without_nulls(v);
}

static void add_who(struct req *r, struct value *v)
{
	const struct consumer *c = req_consumer(r);
	const struct credential *by = req_credential(r);
	struct value *who;

	if (c)
		set(r, v, "consumer", entity_value(r->arena, "consumers", c, STR_NONE));
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

/* Up to access the path has no query yet. */
static str upstream_uri(struct req *r)
{
	str path = r->upstream_path, query = req_query(r);

	if (!path.n)
		return STR("");
	if (str_find(path, '?', 0) >= 0 || !query.s)
		return path;
	return str_cat(r->arena, path, STR("?"), query);
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
	set_str(r, v, "upstream_uri", upstream_uri(r));
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
	if (r->route) /* without one there was nothing to try */
		set(r, v, "tries", tries_value(r));
	set_int(r, latencies, "kong", f.kong_ms);
	set(r, v, "latencies", latencies);
	add_who(r, v);
	set_str(r, v, "client_ip", r->client_ip);
	set_int(r, v, "started_at", req_started_ms(r));
	return v;
}

/* ---- fields of one's own --------------------------------------------------------------------- */

const char *rule_log_field(struct arena *a, const struct value *v)
{
	struct err *e = v->kind == VALUE_STRING ? script_check(v->s) : NULL;
	const char *why;

	if (!e)
		return NULL;
	why = str_z(a, str_fmt(a, "Error parsing function: %s", e->text));
	err_forget();
	return why;
}

struct err *entry_change(struct arena *a, struct value *entry, str name, struct value *to,
			 enum entry_change how)
{
	str piece, rest = name;

	while (str_next(&rest, '.', &piece) && rest.s) {
		struct value *inner = value_get_str(entry, piece);

		if (!inner && how == ENTRY_REPLACE)
			return NULL;
		if (!inner) {
			inner = value_object(a);
			value_set(a, entry, piece, inner);
		}
		if (inner->kind != VALUE_OBJECT)
			return FAIL(ERR_INVALID, "\"" STRF "\" of the entry has no members",
				    STRV(piece));
		entry = inner;
	}
	if (how != ENTRY_SET && !value_get_str(entry, piece) == (how == ENTRY_REPLACE))
		return NULL;
	if (to)
		value_set(a, entry, piece, to);
	else
		value_unset(entry, piece);
	return NULL;
}

/* What is told of a chunk that failed. */
static str field_name(struct req *r, str name)
{
	const struct plugin_config *p = req_plugin(r);
	str id = uuid_str(r->arena, p->id);

	return str_fmt(r->arena, STRF " (" STRF "): custom field \"" STRF "\"", STRV(p->name),
		       STRV(id), STRV(name));
}

/* One field, by what its chunk returns. */
static void set_field(struct req *r, struct value *entry, const struct member *field)
{
	struct lua_subject subject = { r, entry };
	const struct value *v;
	struct err *e = script_run(r->arena, &lua_log_world, field->value->s, &subject, &v);

	if (!e)
		e = entry_change(r->arena, entry, field->key, v ? value_copy(r->arena, v) : NULL,
				 ENTRY_SET);
	if (e)
		outage_begins(field_name(r, field->key), e, "it is left out");
	else
		outage_ends(field_name(r, field->key));
}

/* The members that are the same for all requests of a route. */
static void add_route(struct arena *a, struct value *v, const struct snapshot *s,
		      const struct route_plan *p)
{
	str workspace = s->config->workspace;

	value_set(a, v, STR("route"), entity_value(a, "routes", p->route, workspace));
	if (p->service)
		value_set(a, v, STR("service"),
			  entity_value(a, "services", p->service->service, workspace));
}

const struct value *log_entry(struct req *r)
{
	struct value *v;

	if (r->run->entry)
		return r->run->entry;
	r->run->entry = v = make_entry(r);
	if (r->route)
		add_route(r->arena, v, r->snap, r->route);
	return v;
}

static str route_members(struct arena *a, const struct snapshot *s, const struct route_plan *p)
{
	struct value *v = value_object(a);
	str text;

	add_route(a, v, s, p);
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
	for (uint32_t i = 0; i < fields->n; i++)
		set_field(r, v, &fields->members[i]);
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
