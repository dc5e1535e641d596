/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-web - calls of browsers as calls of gRPC.
 *
 * A browser cannot read trailers: they go into a frame behind the messages.  Frames may be
 * base64, and messages JSON, for which the .proto file must be known. */
#include <gibbon/plugin.h>

struct conf {
	str proto;
	enum tri pass_stripped_path;
	str allow_origin_header;
	const struct proto_set *set; /* NULL: without proto, or it cannot be read */
};

/* clang-format off */
static const struct field conf_fields[] = {
	F_STR(struct conf, proto, .required_is_false_shown = true, .help = "File with the services, for messages in JSON"),
	F_BOOL(struct conf, pass_stripped_path, .required_is_false_shown = true, .help = "Whether the path goes on without what strip_path takes"),
	F_STR(struct conf, allow_origin_header, .required_is_false_shown = true, .def = J("*"), .help = "Value of Access-Control-Allow-Origin"),
	F_END
};
/* clang-format on */

/* What a Content-Type says of a body. */
struct format {
	str type;
	bool is_base64, is_framed, is_json;
};

/* clang-format off */
static const struct format formats[] = {
	{ STR_INIT("application/grpc-web"),            false, true,  false },
	{ STR_INIT("application/grpc-web-text"),       true,  true,  false },
	{ STR_INIT("application/grpc-web+proto"),      false, true,  false },
	{ STR_INIT("application/grpc-web-text+proto"), true,  true,  false },
	{ STR_INIT("application/grpc-web+json"),       false, true,  true },
	{ STR_INIT("application/grpc-web-text+json"),  true,  true,  true },
	{ STR_INIT("application/json"),                false, false, true },
};
/* clang-format on */

/* Of a call that is translated. */
struct call {
	const struct format *format;
	const struct proto_method *method; /* of JSON */
	struct buf pending;                /* of the reply: a message that is not whole */
	bool is_broken;
};

const struct plugin plugin_grpc_web;

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	conf->set = plugin_proto(a, &plugin_grpc_web, conf->proto);
	return NULL;
}

/* ---- the request -------------------------------------------------------------------------- */

static enum verdict preflight(struct req *r)
{
	reply_set_header(r, STR("Access-Control-Allow-Methods"), STR("POST"));
	reply_set_header(r, STR("Access-Control-Allow-Headers"),
			 STR("content-type,x-grpc-web,x-user-agent"));
	return respond(r, 200, STR("application/grpc-web-text+proto"), STR("OK"));
}

static enum verdict refuse(struct req *r, str why)
{
	log_error("grpc-web: " STRF, STRV(why));
	return respond(r, 400, STR_NONE, why);
}

static const struct format *format_of(str type)
{
	for (size_t i = 0; i < COUNT(formats); i++) {
		if (str_eq(type, formats[i].type))
			return &formats[i];
	}
	return NULL;
}

static void end_call(void *p)
{
	struct call *call = p;

	buf_done(&call->pending);
}

/* What the request asks for; false: it was refused. */
static bool take_call(struct req *r, const struct conf *conf, str path, struct call *call)
{
	call->format = format_of(req_header(r, STR("Content-Type")));
	if (call->format && !call->format->is_json)
		return true;
	if (!conf->proto.n) {
		refuse(r, STR("transcoding requests require a .proto file defining the service"));
		return false;
	}
	if (!conf->set) {
		respond_message(r, 500, "An unexpected error occurred");
		return false;
	}
	call->method = proto_method_of(conf->set, path);
	if (!call->method)
		refuse(r, str_cat(req_arena(r), STR("Unkown path \""), path, STR("\"")));
	else if (!call->format)
		refuse(r, STR("unknown Content-Type"));
	return call->method && call->format;
}

/* Each message of JSON as one of bytes. */
static struct err *from_json(struct req *r, const struct call *call, str body, struct buf *out)
{
	struct arena *a = req_arena(r);
	str rest = body, text = body;
	unsigned flags = 0;

	while (!call->format->is_framed || grpc_unframe(&rest, &flags, &text)) {
		struct buf one CLEANUP(buf_done) = { .max = LIMIT_PLUGIN_BODY };
		struct value *v;

		if (flags)
			return FAIL(ERR_INVALID, "a frame has unknown flags");
		PASS(json_parse(a, text, &v));
		PASS(proto_encode(call->method->input, v, &one));
		grpc_frame(out, 0, buf_str(&one));
		if (!call->format->is_framed)
			return NULL;
	}
	return rest.n ? FAIL(ERR_INVALID, "a frame is not whole") : NULL;
}

static enum verdict translate(struct req *r, const struct call *call)
{
	struct buf out CLEANUP(buf_done) = { .max = LIMIT_PLUGIN_BODY };
	struct err *e;
	str body;

	if (!req_body(r, &body))
		return DONE;
	if (call->format->is_base64 && !base64_decode(req_arena(r), body, &body))
		return refuse(r, STR("the body is no base64"));
	if (call->format->is_json) {
		e = from_json(r, call, body, &out);
		if (e)
			return refuse(r, err_line(req_arena(r), e));
		body = str_copy(req_arena(r), buf_str(&out));
	}
	req_set_header(r, STR("Content-Type"), STR("application/grpc"));
	req_set_header(r, STR("TE"), STR("trailers"));
	req_set_body(r, body);
	return NEXT;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	struct call *call, found = { .pending.max = LIMIT_PLUGIN_BODY };
	str path = req_path(r);

	if (conf->allow_origin_header.s)
		reply_set_header(r, STR("Access-Control-Allow-Origin"), conf->allow_origin_header);
	if (req_in(r)->method == HTTP_OPTIONS)
		return preflight(r);
	if (conf->pass_stripped_path == TRI_YES) {
		path = req_stripped_path(r);
		req_set_upstream_path(r, path);
	}
	if (!take_call(r, conf, path, &found) || translate(r, &found) == DONE)
		return DONE;
	call = req_ctx(r, struct call, &plugin_grpc_web);
	*call = found;
	arena_on_end(req_arena(r), end_call, call);
	return NEXT;
}

/* ---- the reply ---------------------------------------------------------------------------- */

/* The call that this reply answers; NULL: it is not the upstream's, or was not translated. */
static struct call *call_of(struct req *r)
{
	struct call *call = req_ctx(r, struct call, &plugin_grpc_web);

	return call->format && reply_is_proxied(r) ? call : NULL;
}

static enum verdict on_header_filter(struct req *r, const void *conf)
{
	const struct call *call = call_of(r);

	(void)conf;
	if (!call)
		return NEXT;
	reply_set_header(r, STR("Content-Type"), call->format->type);
	reply_will_change(r);
	return NEXT;
}

/* From behind the body, or from the head of a reply that has no other. */
static str status_field(struct req *r, str name, str otherwise)
{
	str value = reply_trailer(r, name);

	if (!value.s)
		value = reply_header(r, name);
	return value.s ? value : otherwise;
}

static bool is_status(str line)
{
	return str_starts_ci(line, STR("grpc-status:")) ||
	       str_starts_ci(line, STR("grpc-message:"));
}

static void add_trailers(struct req *r, const struct call *call, struct buf *out)
{
	struct buf lines CLEANUP(buf_done) = { 0 };
	str rest = reply_trailers(r), line;

	buf_addf(&lines, "grpc-status:" STRF "\r\ngrpc-message:" STRF "\r\n",
		 STRV(call->is_broken ? STR("13") : status_field(r, STR("grpc-status"), STR("0"))),
		 STRV(status_field(r, STR("grpc-message"), STR(""))));
	while (rest.n && str_next(&rest, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':', 0);

		if (colon < 0 || is_status(line))
			continue;
		buf_add_str(&lines, str_part(line, 0, (size_t)colon + 1));
		buf_add_str(&lines, str_trim(str_from(line, (size_t)colon + 1)));
		buf_add_str(&lines, STR("\r\n"));
	}
	grpc_frame(out, GRPC_WEB_TRAILERS, buf_str(&lines));
}

/* Each piece is base64 of its own, as browsers expect. */
static str as_text(struct req *r, const struct call *call, const struct buf *bytes)
{
	if (!bytes->n)
		return STR("");
	return call->format->is_base64 ? base64_encode(req_arena(r), buf_str(bytes))
				       : str_copy(req_arena(r), buf_str(bytes));
}

static str messages(struct req *r, struct call *call, str piece)
{
	struct buf out CLEANUP(buf_done) = { .max = LIMIT_PLUGIN_BODY };
	struct err *e = NULL;

	if (!call->format->is_json)
		buf_add_str(&out, piece);
	else if (!call->is_broken)
		e = grpc_to_json(req_arena(r), call->method->output, &call->pending, piece,
				 call->format->is_framed, &out);
	if (e) {
		log_err(LOG_ERROR_, e, "grpc-web: reply of " STRF, STRV(call->method->path));
		err_forget();
		call->is_broken = true;
	}
	return as_text(r, call, &out);
}

static enum verdict on_body_filter(struct req *r, const void *conf)
{
	struct call *call = call_of(r);
	struct buf trailers CLEANUP(buf_done) = { 0 };
	bool is_last;
	str piece;

	(void)conf;
	if (!call)
		return NEXT;
	piece = messages(r, call, reply_piece(r, &is_last));
	if (is_last && call->format->is_framed) {
		add_trailers(r, call, &trailers);
		piece = str_cat(req_arena(r), piece, as_text(r, call, &trailers));
	}
	reply_set_piece(r, piece);
	return NEXT;
}

const struct plugin plugin_grpc_web = {
	.name = "grpc-web",
	.help = "Translates gRPC-Web and JSON of browsers to gRPC and back.",
	.priority = 3,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access,
		[PHASE_HEADER_FILTER] = on_header_filter,
		[PHASE_BODY_FILTER] = on_body_filter },
};
