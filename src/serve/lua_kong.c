/* SPDX-License-Identifier: Apache-2.0 */
/* kong.* for chunks of Lua: functions of the development kit, a row for each. */
#include "serve/lua.h"

#include "base/contract.h"
#include "base/log.h"
#include "serve/proxy.h"

#define VERSION_NUM 3002002 /* of CONTRACT_VERSION */

struct err *lua_give(struct script_call *c, str s)
{
	return script_return(c, s.s ? value_str(c->a, s) : NULL);
}

static struct err *give_int(struct script_call *c, int64_t i)
{
	return script_return(c, value_int(c->a, i));
}

static struct err *give_bool(struct script_call *c, bool b)
{
	return script_return(c, value_bool(c->a, b));
}

/* nil, and why. */
static struct err *give_reason(struct script_call *c, const char *why)
{
	script_return(c, NULL);
	return script_return(c, value_text(c->a, why));
}

/* An argument that may be left out. */
static struct err *count_or(const struct script_call *c, size_t n, size_t otherwise, size_t *ret)
{
	double d;

	*ret = otherwise;
	if (!script_arg(c, n))
		return NULL;
	PASS(script_number(c, n, &d));
	if (!(d >= 1 && d <= 1000))
		return FAIL(ERR_INVALID, "argument %zu: must be between 1 and 1000", n + 1);
	*ret = (size_t)d;
	return NULL;
}

/* The first n members: names that come again count once. */
static struct err *give_some(struct script_call *c, struct value *v, size_t n)
{
	if (v->n > n) {
		v->n = (uint32_t)n;
		script_return(c, v);
		return script_return(c, value_text(c->a, "truncated"));
	}
	return script_return(c, v);
}

/* ---- headers ---------------------------------------------------------------------------------- */

struct value *lua_headers(struct req *r, const struct http_headers *h)
{
	struct value *all = value_object(r->arena);

	for (unsigned i = 0; i < h->n; i++)
		value_gather(r->arena, all, str_lower(r->arena, h->v[i].name),
			     value_str(r->arena, h->v[i].value));
	return all;
}

struct value *lua_header(struct req *r, const struct http_headers *h, str name)
{
	const struct http_header *found = http_get_dashed(r->arena, h, name);

	return found ? value_str(r->arena, found->value) : NULL;
}

static struct err *give_header(struct script_call *c, const struct http_headers *h)
{
	str name;

	PASS(script_text(c, 0, &name));
	return script_return(c, lua_header(lua_req(c), h, name));
}

static struct err *give_headers(struct script_call *c, const struct http_headers *h)
{
	size_t most;

	PASS(count_or(c, 0, 100, &most));
	return give_some(c, lua_headers(lua_req(c), h), most);
}

/* What a trusted proxy says in a header, else STR_NONE. */
static str told(const struct req *r, enum http_name id)
{
	const struct http_header *h = r->client->is_trusted ? http_get(&r->in.headers, id) : NULL;

	return h ? h->value : STR_NONE;
}

/* ---- kong.request -------------------------------------------------------------------------------- */

static struct err *get_scheme(struct script_call *c)
{
	return lua_give(c, req_scheme(lua_req(c)));
}

static struct err *get_host(struct script_call *c)
{
	return lua_give(c, lua_req(c)->host);
}

static struct err *get_port(struct script_call *c)
{
	return give_int(c, req_port(lua_req(c)));
}

static struct err *get_forwarded_scheme(struct script_call *c)
{
	str scheme = told(lua_req(c), HTTP_X_FORWARDED_PROTO);

	return lua_give(c, scheme.s ? str_lower(c->a, scheme) : req_scheme(lua_req(c)));
}

static struct err *get_forwarded_host(struct script_call *c)
{
	str host, said = told(lua_req(c), HTTP_X_FORWARDED_HOST);
	uint16_t port;

	if (!said.s || !uri_split_host(said, &host, &port))
		return get_host(c);
	return lua_give(c, str_lower(c->a, host));
}

static struct err *get_forwarded_port(struct script_call *c)
{
	str host, said = told(lua_req(c), HTTP_X_FORWARDED_PORT);
	uint16_t port;
	int64_t n;

	if (said.s && str_to_int(said, &n) && n >= 0 && n <= 65535)
		return give_int(c, n);
	said = told(lua_req(c), HTTP_X_FORWARDED_HOST);
	if (said.s && uri_split_host(said, &host, &port) && port)
		return give_int(c, port);
	return get_port(c);
}

static struct err *get_forwarded_path(struct script_call *c)
{
	str path = told(lua_req(c), HTTP_X_FORWARDED_PATH);

	return lua_give(c, path.s ? path : lua_req(c)->in.path);
}

static struct err *get_forwarded_prefix(struct script_call *c)
{
	str prefix = told(lua_req(c), HTTP_X_FORWARDED_PREFIX);

	return lua_give(c, prefix.s ? prefix : lua_req(c)->forwarded_prefix);
}

struct err *lua_http_version(struct script_call *c)
{
	const struct http_request *in = &lua_req(c)->in;

	return script_return(c, value_real(c->a, in->is_h2 ? 2 : in->minor ? 1.1 : 1));
}

struct err *lua_method(struct script_call *c)
{
	return lua_give(c, req_method(lua_req(c)));
}

static struct err *get_path(struct script_call *c)
{
	return lua_give(c, lua_req(c)->path);
}

static struct err *get_raw_path(struct script_call *c)
{
	return lua_give(c, lua_req(c)->in.path);
}

static struct err *get_path_with_query(struct script_call *c)
{
	return lua_give(c, lua_req(c)->in.target);
}

static struct err *get_raw_query(struct script_call *c)
{
	str query = req_query(lua_req(c));

	return lua_give(c, query.s ? query : STR(""));
}

static struct err *get_query(struct script_call *c)
{
	size_t most;
	struct uri_args args;

	PASS(count_or(c, 0, 100, &most));
	args = uri_args(c->a, req_query(lua_req(c)), most);
	script_return(c, args_value(c->a, &args));
	return args.is_cut ? script_return(c, value_text(c->a, "truncated")) : NULL;
}

static struct err *get_query_arg(struct script_call *c)
{
	struct uri_args args = req_args(lua_req(c));
	const struct uri_arg *arg;
	str name;

	PASS(script_text(c, 0, &name));
	arg = uri_arg_find(&args, name);
	if (arg && !arg->value.s)
		return give_bool(c, true);
	return lua_give(c, arg ? arg->value : STR_NONE);
}

static struct err *get_request_header(struct script_call *c)
{
	return give_header(c, &lua_req(c)->in.headers);
}

static struct err *get_request_headers(struct script_call *c)
{
	return give_headers(c, &lua_req(c)->in.headers);
}

static struct err *get_start_time(struct script_call *c)
{
	return give_int(c, req_started_ms(lua_req(c)));
}

static struct err *get_uri_captures(struct script_call *c)
{
	struct value *v = value_object(c->a), *named = value_object(c->a),
		     *unnamed = value_array(c->a);
	const struct req *r = lua_req(c);

	for (size_t i = 1; i < r->match.captures_n; i++) {
		const struct route_capture *g = &r->match.captures[i];
		struct value *text = value_str(c->a, g->value.s ? g->value : STR(""));

		value_add(c->a, unnamed, text);
		if (g->name.n)
			value_set(c->a, named, g->name, text);
	}
	value_set(c->a, v, STR("named"), named);
	value_set(c->a, v, STR("unnamed"), unnamed);
	return script_return(c, v);
}

/* ---- kong.response and kong.service.response ----------------------------------------------------- */

static struct err *get_status(struct script_call *c)
{
	return give_int(c, lua_req(c)->status);
}

static struct err *get_response_header(struct script_call *c)
{
	return give_header(c, &lua_req(c)->reply);
}

static struct err *get_response_headers(struct script_call *c)
{
	return give_headers(c, &lua_req(c)->reply);
}

static struct err *get_source(struct script_call *c)
{
	const struct req *r = lua_req(c);

	if (r->run && r->run->answer.is_given)
		return lua_give(c, STR("exit"));
	return lua_give(c, reply_is_proxied(r) ? STR("service") : STR("error"));
}

static struct err *get_upstream_status(struct script_call *c)
{
	int code = lua_req(c)->upstream_code;

	return code ? give_int(c, code) : script_return(c, NULL);
}

static struct err *get_upstream_header(struct script_call *c)
{
	return reply_is_proxied(lua_req(c)) ? get_response_header(c) : script_return(c, NULL);
}

static struct err *get_upstream_headers(struct script_call *c)
{
	if (!reply_is_proxied(lua_req(c)))
		return script_return(c, value_object(c->a));
	return get_response_headers(c);
}

/* ---- kong.client --------------------------------------------------------------------------------- */

static struct err *get_ip(struct script_call *c)
{
	return lua_give(c, lua_req(c)->peer_ip);
}

static struct err *get_forwarded_ip(struct script_call *c)
{
	return lua_give(c, lua_req(c)->client_ip);
}

static struct err *get_client_port(struct script_call *c)
{
	return give_int(c, address_port(&lua_req(c)->client->peer));
}

static struct err *get_forwarded_client_port(struct script_call *c)
{
	return give_int(c, req_client_port(lua_req(c)));
}

static struct err *get_consumer(struct script_call *c)
{
	const struct consumer *who = req_consumer(lua_req(c));

	return script_return(c, who ? entity_value(c->a, "consumers", who, STR_NONE) : NULL);
}

static struct err *get_credential(struct script_call *c)
{
	const struct credential *by = req_credential(lua_req(c));
	struct value *v, *consumer;

	if (!by)
		return script_return(c, NULL);
	v = value_object(c->a);
	value_set(c->a, v, STR("id"), value_str(c->a, by->id));
	if (!uuid_is_none(by->consumer)) {
		str id = uuid_str(c->a, by->consumer);

		consumer = value_object(c->a);
		value_set(c->a, consumer, STR("id"), value_str(c->a, id));
		value_set(c->a, v, STR("consumer"), consumer);
		value_set(c->a, v, STR("consumer_id"), value_str(c->a, id));
	}
	return script_return(c, v);
}

static struct err *get_protocol(struct script_call *c)
{
	const struct req *r = lua_req(c);
	const struct value *terminated = script_arg(c, 0);
	bool is_tls = r->client->is_tls;

	if (!r->route)
		return give_reason(c, "No active route found");
	if (r->route->route->protocols.n == 1)
		return lua_give(c, r->route->route->protocols.v[0]);
	if (r->stream)
		return lua_give(c, is_tls ? STR("tls") : STR("tcp"));
	if (terminated && terminated->kind == VALUE_BOOL && terminated->b)
		is_tls = is_tls || str_is_ci(told(r, HTTP_X_FORWARDED_PROTO), "https");
	return lua_give(c, is_tls ? STR("https") : STR("http"));
}

/* ---- kong.router, kong.node and others ------------------------------------------------------------- */

static struct err *get_route(struct script_call *c)
{
	const struct req *r = lua_req(c);

	return script_return(c, r->route ? entity_value(c->a, "routes", r->route->route,
							r->snap->config->workspace)
					 : NULL);
}

static struct err *get_service(struct script_call *c)
{
	const struct req *r = lua_req(c);

	return script_return(c, r->service ? entity_value(c->a, "services", r->service->service,
							  r->snap->config->workspace)
					   : NULL);
}

static struct err *get_node_id(struct script_call *c)
{
	return lua_give(c, plugin_node()->node_id);
}

static struct err *get_hostname(struct script_call *c)
{
	return lua_give(c, plugin_node()->hostname);
}

struct err *lua_subsystem(struct script_call *c)
{
	return lua_give(c, lua_req(c)->stream ? STR("stream") : STR("http"));
}

static struct err *is_trusted(struct script_call *c)
{
	const struct setting_cidrs *trusted = &lua_req(c)->proxy->shared->settings->trusted;
	struct address address;
	bool is = false;
	str ip;

	PASS(script_text(c, 0, &ip));
	if (!address_parse_ip(ip, 0, &address))
		return give_bool(c, false);
	for (size_t i = 0; i < trusted->n && !is; i++)
		is = cidr_has(&trusted->v[i], &address);
	return give_bool(c, is);
}

static struct err *new_table(struct script_call *c)
{
	return script_return(c, value_object(c->a));
}

static struct err *merge_tables(struct script_call *c)
{
	struct value *v = value_object(c->a);

	for (size_t n = 0; n < 2; n++) {
		const struct value *from = script_arg(c, n);

		if (from && from->kind != VALUE_OBJECT)
			return FAIL(ERR_INVALID, "argument %zu: expected a table with names",
				    n + 1);
		for (uint32_t i = 0; from && i < from->n; i++)
			value_set(c->a, v, from->members[i].key, from->members[i].value);
	}
	return script_return(c, v);
}

/* ---- kong.ctx.shared ------------------------------------------------------------------------------ */

static struct err *read_shared(struct script_call *c)
{
	str key;

	PASS(script_text(c, 0, &key));
	return script_return(c, value_get_str(req_shared(lua_req(c)), key));
}

static struct err *write_shared(struct script_call *c)
{
	struct req *r = lua_req(c);
	const struct value *v = script_arg(c, 1);
	str key;

	PASS(script_text(c, 0, &key));
	if (v)
		value_set(r->arena, req_shared(r), str_copy(r->arena, key),
			  value_copy(r->arena, v));
	else
		value_unset(req_shared(r), key);
	return NULL;
}

/* ---- kong.log -------------------------------------------------------------------------------------- */

str lua_line(const struct script_call *c, size_t n)
{
	str line = STR("");

	for (size_t i = n; i < c->n_args; i++) {
		const struct value *v = c->args[i];
		str piece;

		if (!v)
			piece = STR("nil");
		else if (v->kind == VALUE_BOOL)
			piece = v->b ? STR("true") : STR("false");
		else if (script_text(c, i, &piece))
			piece = json_text(c->a, v, JSON_COMPACT);
		line = str_cat(c->a, line, piece);
	}
	return line;
}

static struct err *write_line(struct script_call *c, enum log_level level)
{
	str line;

	if (level > log_get_level())
		return NULL;
	line = lua_line(c, 0);
	log_write(level, "[lua] " STRF, STRV(line));
	return NULL;
}

#define LINES_AT(name, level)                                                                      \
	static struct err *name(struct script_call *c)                                             \
	{                                                                                          \
		return write_line(c, level);                                                       \
	}
LINES_AT(log_at_debug, LOG_DEBUG_)
LINES_AT(log_at_info, LOG_INFO_)
LINES_AT(log_at_notice, LOG_NOTICE_)
LINES_AT(log_at_warn, LOG_WARN_)
LINES_AT(log_at_err, LOG_ERROR_)
LINES_AT(log_at_crit, LOG_CRIT_)
LINES_AT(log_at_alert, LOG_ALERT_)
LINES_AT(log_at_emerg, LOG_EMERG_)

static struct err *serialize(struct script_call *c)
{
	return script_return(c, ((struct lua_subject *)c->subject)->entry);
}

static struct err *set_serialize_value(struct script_call *c)
{
	static const char *const modes[] = { "set", "add", "replace" };
	struct lua_subject *s = c->subject;
	const struct value *mode = value_get(script_arg(c, 2), "mode"), *v = script_arg(c, 1);
	enum entry_change how = 0;
	str key;

	PASS(script_text(c, 0, &key));
	while (mode && how < COUNT(modes) &&
	       !(mode->kind == VALUE_STRING && str_is(mode->s, modes[how])))
		how++;
	if (how == COUNT(modes))
		return FAIL(ERR_INVALID, "mode must be 'set', 'add' or 'replace'");
	return entry_change(s->r->arena, s->entry, str_copy(s->r->arena, key),
			    v ? value_copy(s->r->arena, v) : NULL, how);
}

/* clang-format off */
const struct script_host lua_kong[] = {
	{ .name = "kong.version",                           .text = CONTRACT_VERSION },
	{ .name = "kong.version_num",                       .number = VERSION_NUM },
	{ .name = "kong.client.get_consumer",               .call = get_consumer },
	{ .name = "kong.client.get_credential",             .call = get_credential },
	{ .name = "kong.client.get_forwarded_ip",           .call = get_forwarded_ip },
	{ .name = "kong.client.get_forwarded_port",         .call = get_forwarded_client_port },
	{ .name = "kong.client.get_ip",                     .call = get_ip },
	{ .name = "kong.client.get_port",                   .call = get_client_port },
	{ .name = "kong.client.get_protocol",               .call = get_protocol },
	{ .name = "kong.ctx.shared",                        .read = read_shared, .write = write_shared },
	{ .name = "kong.ip.is_trusted",                     .call = is_trusted },
	{ .name = "kong.log.alert",                         .call = log_at_alert },
	{ .name = "kong.log.crit",                          .call = log_at_crit },
	{ .name = "kong.log.debug",                         .call = log_at_debug },
	{ .name = "kong.log.emerg",                         .call = log_at_emerg },
	{ .name = "kong.log.err",                           .call = log_at_err },
	{ .name = "kong.log.info",                          .call = log_at_info },
	{ .name = "kong.log.inspect",                       .call = log_at_debug },
	{ .name = "kong.log.notice",                        .call = log_at_notice },
	{ .name = "kong.log.serialize",                     .call = serialize },
	{ .name = "kong.log.set_serialize_value",           .call = set_serialize_value },
	{ .name = "kong.log.warn",                          .call = log_at_warn },
	{ .name = "kong.log",                               .call = log_at_notice },
	{ .name = "kong.nginx.get_subsystem",               .call = lua_subsystem },
	{ .name = "kong.node.get_hostname",                 .call = get_hostname },
	{ .name = "kong.node.get_id",                       .call = get_node_id },
	{ .name = "kong.request.get_forwarded_host",        .call = get_forwarded_host },
	{ .name = "kong.request.get_forwarded_path",        .call = get_forwarded_path },
	{ .name = "kong.request.get_forwarded_port",        .call = get_forwarded_port },
	{ .name = "kong.request.get_forwarded_prefix",      .call = get_forwarded_prefix },
	{ .name = "kong.request.get_forwarded_scheme",      .call = get_forwarded_scheme },
	{ .name = "kong.request.get_header",                .call = get_request_header },
	{ .name = "kong.request.get_headers",               .call = get_request_headers },
	{ .name = "kong.request.get_host",                  .call = get_host },
	{ .name = "kong.request.get_http_version",          .call = lua_http_version },
	{ .name = "kong.request.get_method",                .call = lua_method },
	{ .name = "kong.request.get_path",                  .call = get_path },
	{ .name = "kong.request.get_path_with_query",       .call = get_path_with_query },
	{ .name = "kong.request.get_port",                  .call = get_port },
	{ .name = "kong.request.get_query",                 .call = get_query },
	{ .name = "kong.request.get_query_arg",             .call = get_query_arg },
	{ .name = "kong.request.get_raw_path",              .call = get_raw_path },
	{ .name = "kong.request.get_raw_query",             .call = get_raw_query },
	{ .name = "kong.request.get_scheme",                .call = get_scheme },
	{ .name = "kong.request.get_start_time",            .call = get_start_time },
	{ .name = "kong.request.get_uri_captures",          .call = get_uri_captures },
	{ .name = "kong.response.get_header",               .call = get_response_header },
	{ .name = "kong.response.get_headers",              .call = get_response_headers },
	{ .name = "kong.response.get_source",               .call = get_source },
	{ .name = "kong.response.get_status",               .call = get_status },
	{ .name = "kong.router.get_route",                  .call = get_route },
	{ .name = "kong.router.get_service",                .call = get_service },
	{ .name = "kong.service.response.get_header",       .call = get_upstream_header },
	{ .name = "kong.service.response.get_headers",      .call = get_upstream_headers },
	{ .name = "kong.service.response.get_status",       .call = get_upstream_status },
	{ .name = "kong.table.merge",                       .call = merge_tables },
	{ .name = "kong.table.new",                         .call = new_table },
	{ 0 },
};
/* clang-format on */

static const struct script_host *const hosts[] = { lua_kong, lua_ngx, NULL };
const struct script_world lua_log_world = { hosts, false };
