/* SPDX-License-Identifier: Apache-2.0 */
/* request-termination - answers requests here, with a message or a body of one's own.
 *
 * For routes that are out of service, and for looking at what arrives (echo). */
#include <gibbon/plugin.h>

struct conf {
	int64_t status_code;
	str message, content_type, body, trigger;
	bool echo;
};

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_INT(T,  status_code,  .required = true, .def = J(503), .between = J([100, 599]), .help = "Status of the answer."),
	F_STR(T,  message,      .help = "Message, sent as JSON."),
	F_STR(T,  content_type, .help = "Content-Type of body."),
	F_STR(T,  body,         .help = "Body, sent as it is; not together with message."),
	F_BOOL(T, echo,         .required = true, .def = J(false), .help = "Whether the request is sent back as JSON."),
	F_STR(T,  trigger,      .check = rule_header_name, .help = "Header or argument without which requests pass."),
	F_END
};
#undef T
/* clang-format on */

static bool is_present(const struct value *conf, const char *field)
{
	const struct value *v = value_get(conf, field);

	return !value_is_null(v) && v->kind == VALUE_STRING && v->s.n;
}

static const char *check_conf(struct arena *a, const struct value *conf)
{
	const struct value *echo = value_get(conf, "echo");
	bool has_body = is_present(conf, "body"), has_type = is_present(conf, "content_type");

	(void)a;
	if (is_present(conf, "message") && (has_type || has_body))
		return "message cannot be used with content_type or body";
	if (has_type && !has_body)
		return "content_type requires a body";
	if (!value_is_null(echo) && echo->kind == VALUE_BOOL && echo->b && (has_type || has_body))
		return "echo cannot be used with content_type and body";
	return NULL;
}

static str default_message(int64_t status)
{
	/* clang-format off */
	static const struct {
		int64_t status;
		str text;
	} rows[] = {
		{ 401, STR_INIT("Unauthorized") },
		{ 404, STR_INIT("Not found") },
		{ 405, STR_INIT("Method not allowed") },
		{ 500, STR_INIT("An unexpected error occurred") },
		{ 502, STR_INIT("Bad Gateway") },
		{ 503, STR_INIT("Service unavailable") },
	};
	/* clang-format on */

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].status == status)
			return rows[i].text;
	}
	return STR_NONE;
}

static bool is_triggered(struct req *r, str trigger)
{
	struct uri_args args;

	if (req_header(r, trigger).s)
		return true;
	args = req_args(r);
	return uri_arg_find(&args, trigger) != NULL;
}

/* ---- echo ------------------------------------------------------------------------------ */

static void set(struct req *r, struct value *to, const char *key, str s)
{
	if (s.s)
		value_set(req_arena(r), to, str_of(key), value_str(req_arena(r), s));
}

static struct value *headers_value(struct req *r)
{
	const struct http_headers *h = req_headers(r);
	struct uri_args all = { .v = NEWS(req_arena(r), struct uri_arg, h->n), .n = h->n };

	for (unsigned i = 0; i < h->n; i++) {
		all.v[i].key = str_lower(req_arena(r), h->v[i].name);
		all.v[i].value = h->v[i].value;
	}
	return args_value(req_arena(r), &all);
}

/* What the body says, if it is of a kind that can be read; JSON may be a list too. */
static struct value *body_value(struct req *r, str raw, const struct body_args *body)
{
	str type = req_header(r, STR("Content-Type"));
	struct value *v = NULL;

	if (body->kind != BODY_OTHER)
		return body->args;
	if (str_starts_ci(type, STR("application/json")) && json_parse(req_arena(r), raw, &v))
		err_forget();
	return v && v->kind == VALUE_ARRAY ? v : NULL;
}

static struct value *node_value(struct req *r)
{
	const struct plugin_node *node = plugin_node();
	struct value *v = value_object(req_arena(r));

	set(r, v, "node_id", node->node_id);
	value_set(req_arena(r), v, STR("worker_pid"), value_int(req_arena(r), node->worker_pid));
	set(r, v, "hostname", node->hostname);
	return v;
}

static struct value *request_value(struct req *r, str raw, const struct body_args *body)
{
	struct value *v = value_object(req_arena(r)), *said = body_value(r, raw, body);
	struct uri_args args = req_args(r);

	set(r, v, "scheme", req_scheme(r));
	set(r, v, "host", req_host(r));
	value_set(req_arena(r), v, STR("port"), value_int(req_arena(r), req_port(r)));
	value_set(req_arena(r), v, STR("headers"), headers_value(r));
	value_set(req_arena(r), v, STR("query"), args_value(req_arena(r), &args));
	if (said)
		value_set(req_arena(r), v, STR("body"), said);
	set(r, v, "raw_body", raw);
	set(r, v, "method", req_method(r));
	set(r, v, "path", req_path(r));
	return v;
}

static enum verdict echo(struct req *r, const struct conf *conf)
{
	struct arena *a = req_arena(r);
	struct value *v = value_object(a);
	struct body_args body;
	str raw, workspace = req_workspace(r).id;

	if (!req_body(r, &raw) || !req_body_args(r, &body))
		return DONE;
	set(r, v, "message", conf->message.s ? conf->message : default_message(conf->status_code));
	value_set(a, v, STR("kong"), node_value(r));
	value_set(a, v, STR("request"), request_value(r, raw, &body));
	if (req_route(r))
		value_set(a, v, STR("matched_route"),
			  entity_value(a, "routes", req_route(r), workspace));
	if (req_service(r))
		value_set(a, v, STR("matched_service"),
			  entity_value(a, "services", req_service(r), workspace));
	return respond_json(r, (int)conf->status_code, v);
}

/* ---- access ------------------------------------------------------------------------------- */

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	int status = (int)conf->status_code;
	str message;

	if (conf->trigger.n && !is_triggered(r, conf->trigger))
		return NEXT;
	if (conf->echo)
		return echo(r, conf);
	if (conf->body.s)
		return respond(r, status, conf->content_type, conf->body);
	message = conf->message.s ? conf->message : default_message(status);
	if (!message.s)
		return respond(r, status, STR_NONE, STR(""));
	return respond_message(r, status, STRF, STRV(message));
}

const struct plugin plugin_request_termination = {
	.name = "request-termination",
	.help = "Answers requests with a status and a message.",
	.priority = 2,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.conf_check = check_conf,
	.protocols = PROTOCOLS_HTTP,
	.on = { [PHASE_ACCESS] = on_access },
};
