/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-gateway - calls of HTTP and JSON as calls of gRPC.
 *
 * The methods of a .proto file say by google.api.http which requests they answer.  What the
 * path's template binds, the query and the body together are the message. */
#include <gibbon/plugin.h>

struct conf {
	str proto;
	const struct proto_set *set; /* NULL: without proto, or it cannot be read */
};

/* clang-format off */
static const struct field conf_fields[] = {
	F_STR(struct conf, proto, .required_is_false_shown = true, .help = "File with the services and their bindings to HTTP"),
	F_END
};
/* clang-format on */

struct call {
	const struct proto_method *method; /* NULL: nothing was translated */
	struct buf pending;                /* of the reply: a message that is not whole */
	bool is_broken;
};

const struct plugin plugin_grpc_gateway;

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	conf->set = plugin_proto(a, &plugin_grpc_gateway, conf->proto);
	return NULL;
}

/* ---- which method it is --------------------------------------------------------------------- */

struct match {
	const struct proto_method *method;
	const struct proto_rule *rule;
	struct proto_bindings bindings;
	bool has_verb; /* some rule is for this method of HTTP */
};

static bool find_in(struct req *r, const struct proto_method *m, struct match *ret)
{
	for (size_t i = 0; i < m->rules.n; i++) {
		const struct proto_rule *rule = &m->rules.v[i];

		if (!str_eq_ci(rule->method, req_method(r)))
			continue;
		ret->has_verb = true;
		if (!proto_template_match(req_arena(r), rule->path, req_path(r), &ret->bindings))
			continue;
		ret->method = m;
		ret->rule = rule;
		return true;
	}
	return false;
}

static bool find(struct req *r, const struct proto_set *set, struct match *ret)
{
	for (size_t i = 0; i < set->methods.n; i++) {
		if (find_in(r, &set->methods.v[i], ret))
			return true;
	}
	return false;
}

static enum verdict refuse(struct req *r, str why)
{
	log_error("grpc-gateway: " STRF, STRV(why));
	return respond(r, 400, STR_NONE, why);
}

static enum verdict refuse_unknown(struct req *r, const struct match *found)
{
	struct arena *a = req_arena(r);
	str what = found->has_verb ? STR("path") : STR("method");

	return refuse(
		r, str_cat(a, STR("failed to transcode .proto file Unknown "), what, STR(" \""),
			   found->has_verb ? req_path(r) : str_lower(a, req_method(r)), STR("\"")));
}

/* ---- its message ------------------------------------------------------------------------------ */

/* Sets "a.b.c" of the message; what it has no field for is left out. */
static void set_field(struct arena *a, struct value *to, const struct proto_message *m, str path,
		      struct value *v)
{
	const struct proto_field *f = NULL;
	struct value *inner = NULL;
	str name = STR_NONE;

	while (str_next(&path, '.', &name)) {
		f = proto_field_of(m, name);
		if (!f)
			return;
		inner = value_get_str(to, name);
		if (!path.s || !path.n)
			break;
		if (f->is_repeated || !f->message)
			return;
		if (!inner) {
			inner = value_object(a);
			value_set(a, to, name, inner);
		}
		if (inner->kind != VALUE_OBJECT)
			return;
		to = inner;
		m = f->message;
	}
	if (!f) /* a path of nothing */
		return;
	if (!f->is_repeated) {
		value_set(a, to, name, v);
		return;
	}
	if (!inner || inner->kind != VALUE_ARRAY) {
		inner = value_array(a);
		value_set(a, to, name, inner);
	}
	value_add(a, inner, v);
}

static void set_bindings(struct arena *a, const struct match *found, struct value *to)
{
	for (size_t i = 0; i < found->bindings.n; i++)
		set_field(a, to, found->method->input, found->bindings.v[i].field,
			  value_str(a, found->bindings.v[i].value));
}

static void set_args(struct req *r, const struct match *found, struct value *to)
{
	struct uri_args args = req_args(r);
	struct arena *a = req_arena(r);

	for (size_t i = 0; i < args.n; i++)
		set_field(a, to, found->method->input, args.v[i].key,
			  args.v[i].value.s ? value_str(a, args.v[i].value) : value_bool(a, true));
}

/* The body as the message, or as one of its fields. */
static struct err *set_body(struct arena *a, const struct match *found, str body, struct value **to)
{
	struct value *v;

	if (!body.n)
		return NULL;
	TRY(json_parse(a, body, &v), "the body is no JSON");
	if (!str_is(found->rule->body, "*"))
		value_set(a, *to, found->rule->body, v);
	else if (v->kind == VALUE_OBJECT)
		*to = v;
	else
		return FAIL(ERR_INVALID, "body must be a table");
	return NULL;
}

static struct err *build(struct req *r, const struct match *found, str body, struct buf *out)
{
	struct arena *a = req_arena(r);
	struct value *v = value_object(a);
	struct buf message CLEANUP(buf_done) = { .max = LIMIT_PLUGIN_BODY };

	if (found->rule->body.n)
		PASS(set_body(a, found, body, &v));
	if (!str_is(found->rule->body, "*"))
		set_args(r, found, v);
	set_bindings(a, found, v); /* last: what the path says holds */
	PASS(proto_encode(found->method->input, v, &message));
	grpc_frame(out, 0, buf_str(&message));
	return NULL;
}

/* ---- the request -------------------------------------------------------------------------------- */

static void end_call(void *p)
{
	struct call *call = p;

	buf_done(&call->pending);
}

static void note_call(struct req *r, const struct proto_method *m)
{
	struct call *call = req_ctx(r, struct call, &plugin_grpc_gateway);

	call->method = m;
	call->pending.max = LIMIT_PLUGIN_BODY;
	arena_on_end(req_arena(r), end_call, call);
}

static enum verdict preflight(struct req *r)
{
	reply_set_header(r, STR("Access-Control-Allow-Methods"), STR("GET,POST,PATCH,DELETE"));
	reply_set_header(r, STR("Access-Control-Allow-Headers"), STR("content-type"));
	return respond(r, 200, STR("application/json"), STR("OK"));
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct buf out CLEANUP(buf_done) = { .max = LIMIT_PLUGIN_BODY + GRPC_PREFIX };
	struct match found = { 0 };
	struct err *e;
	str body;

	reply_set_header(r, STR("Access-Control-Allow-Origin"), STR("*"));
	if (req_in(r)->method == HTTP_OPTIONS)
		return preflight(r);
	if (!conf->proto.n)
		return refuse(
			r, STR("transcoding requests require a .proto file defining the service"));
	if (!conf->set)
		return respond_message(r, 500, "An unexpected error occurred");
	if (!find(r, conf->set, &found))
		return refuse_unknown(r, &found);
	note_call(r, found.method);
	if (!req_body(r, &body))
		return DONE;
	e = build(r, &found, body, &out);
	if (e)
		return refuse(r, err_line(req_arena(r), e));
	req_set_header(r, STR("Content-Type"), STR("application/grpc"));
	req_set_header(r, STR("TE"), STR("trailers"));
	req_set_body(r, str_copy(req_arena(r), buf_str(&out)));
	req_set_upstream_path(r, found.method->path);
	req_set_args(r, &(struct uri_args){ 0 });
	req_set_method(r, STR("POST"));
	return NEXT;
}

/* ---- the reply ------------------------------------------------------------------------------------ */

/* https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto */
static int http_status(str grpc_status)
{
	static const int by_status[] = { 200, 499, 500, 400, 504, 404, 409, 403, 429,
					 400, 409, 400, 500, 500, 503, 500, 401 };
	int64_t n;

	if (str_to_int(grpc_status, &n) && n >= 0 && n < (int64_t)COUNT(by_status))
		return by_status[n];
	log_warn("grpc-gateway: grpc-status " STRF " has no status of HTTP", STRV(grpc_status));
	return 500;
}

static struct call *call_of(struct req *r)
{
	struct call *call = req_ctx(r, struct call, &plugin_grpc_gateway);

	return call->method && reply_is_proxied(r) ? call : NULL;
}

static enum verdict on_header_filter(struct req *r, const void *conf)
{
	str status = reply_header(r, STR("grpc-status"));

	(void)conf;
	if (!call_of(r))
		return NEXT;
	reply_set_header(r, STR("Content-Type"), STR("application/json"));
	if (status.s)
		reply_set_status(r, http_status(status));
	reply_will_change(r);
	return NEXT;
}

static enum verdict on_body_filter(struct req *r, const void *conf)
{
	struct buf out CLEANUP(buf_done) = { .max = LIMIT_PLUGIN_BODY };
	struct call *call = call_of(r);
	struct err *e = NULL;
	bool is_last;
	str piece;

	(void)conf;
	if (!call)
		return NEXT;
	piece = reply_piece(r, &is_last);
	if (!call->is_broken)
		e = grpc_to_json(req_arena(r), call->method->output, &call->pending, piece, false,
				 &out);
	if (e) {
		log_err(LOG_ERROR_, e, "grpc-gateway: reply of " STRF, STRV(call->method->path));
		err_forget();
		call->is_broken = true;
	}
	if (is_last && !call->is_broken) /* what never became a message goes on as it is */
		buf_add_str(&out, buf_str(&call->pending));
	reply_set_piece(r, str_copy(req_arena(r), buf_str(&out)));
	return NEXT;
}

const struct plugin plugin_grpc_gateway = {
	.name = "grpc-gateway",
	.help = "Translates HTTP and JSON to gRPC and back, by bindings in a .proto file.",
	.priority = 998,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access,
		[PHASE_HEADER_FILTER] = on_header_filter,
		[PHASE_BODY_FILTER] = on_body_filter },
};
