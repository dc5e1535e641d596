/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin door: answers, and changes to replies (gibbon/plugin.h). */
#include "serve/phases.h"

#include "base/json.h"
#include "serve/grpc.h"
#include <math.h>

/* ---- answering ----------------------------------------------------------------------- */

/* Without a body. */
static enum verdict respond_grpc(struct req *r, int status, str message)
{
	grpc_tell(r->arena, reply_headers(r), grpc_status_of(status), message);
	return respond(r, status, STR("application/grpc"), STR(""));
}

enum verdict respond(struct req *r, int status, str type, str body)
{
	if (r->run->answer.is_final)
		return DONE;
	r->run->answer = (struct plugin_answer){
		.is_given = true,
		.status = status,
		.type = http_escape_value(r->arena, type),
		.body = body,
	};
	return DONE;
}

/* In that a message may say more than its fixed words: escaped as JSON where it is JSON. */
enum verdict respond_error(struct req *r, int status, const char *format, ...)
{
	str type, message, body;
	va_list args;

	if (status < 400 || status > 599) {
		const struct plugin_config *of = req_plugin(r);
		str name = of ? of->name : STR("a plugin");

		log_error(STRF ": %d is no status of an error", STRV(name), status);
		return respond_message(r, 500, "An unexpected error occurred");
	}
	va_start(args, format);
	message = str_vfmt(r->arena, format, args);
	va_end(args);
	if (req_is_grpc(r))
		return respond_grpc(r, status, message);
	if (!message.n)
		message = error_text_of_plugin(r->arena, status);
	body = error_answer(r->arena, message, req_header(r, STR("Accept")), &type);
	return respond(r, status, type, body);
}

int status_of_row(double number, int unset)
{
	if (isnan(number))
		return unset;
	return number >= 0 && number < 1000 ? (int)number : 0;
}

enum verdict respond_message(struct req *r, int status, const char *format, ...)
{
	va_list args;
	str message;

	va_start(args, format);
	message = str_vfmt(r->arena, format, args);
	va_end(args);
	if (req_is_grpc(r))
		return respond_grpc(r, status, message);
	return respond(r, status, error_json_type, error_json(r->arena, message));
}

enum verdict respond_json(struct req *r, int status, const struct value *v)
{
	const struct value *message = value_get(v, "message");

	if (req_is_grpc(r))
		return respond_grpc(r, status,
				    message && message->kind == VALUE_STRING ? message->s
									     : STR_NONE);
	return respond(r, status, error_json_type, json_text(r->arena, v, JSON_COMPACT));
}

/* ---- fields of the reply ---------------------------------------------------------------- */

struct http_headers *reply_headers(struct req *r)
{
	return r->run->has_reply ? &r->reply : &r->run->early;
}

str reply_header(const struct req *r, str name)
{
	const struct http_header *h =
		http_get_str(r->run->has_reply ? &r->reply : &r->run->early, name);

	return h ? h->value : STR_NONE;
}

/* How the message is framed is not for plugins to say. */
static bool is_settable(str name)
{
	return name.n && !str_is_ci(name, "Content-Length") &&
	       !str_is_ci(name, "Transfer-Encoding");
}

void reply_set_header(struct req *r, str name, str value)
{
	if (is_settable(name))
		http_set_str(r->arena, reply_headers(r), http_escape_name(r->arena, name),
			     http_escape_value(r->arena, value));
}

void reply_add_header(struct req *r, str name, str value)
{
	if (is_settable(name))
		http_add(r->arena, reply_headers(r), http_escape_name(r->arena, name),
			 http_escape_value(r->arena, value));
}

void reply_remove_header(struct req *r, str name)
{
	http_remove_str(reply_headers(r), name);
}

int reply_status(const struct req *r)
{
	return r->status;
}

void reply_set_status(struct req *r, int status)
{
	r->status = status;
	r->reason = http_reason(status);
}

bool reply_is_proxied(const struct req *r)
{
	return r->stream ? r->is_proxied : r->upstream_code != 0;
}

void reply_as_proxied(struct req *r)
{
	r->is_proxied = true;
}

/* ---- its body ------------------------------------------------------------------------------ */

void reply_will_change(struct req *r)
{
	r->run->will_change = true;
	http_remove(&r->reply, HTTP_CONTENT_LENGTH);
}

void reply_drop_body(struct req *r)
{
	r->run->drops_body = true;
	http_remove(&r->reply, HTTP_CONTENT_LENGTH);
	http_remove_str(&r->reply, STR("Content-Encoding"));
}

str reply_piece(const struct req *r, bool *ret_is_last)
{
	*ret_is_last = r->run->is_last_piece;
	return r->run->piece;
}

void reply_set_piece(struct req *r, str piece)
{
	r->run->piece = piece;
}

str reply_body(const struct req *r)
{
	return r->run->whole;
}

void reply_set_body(struct req *r, str body)
{
	r->run->whole = body;
}

/* ---- what follows it ---------------------------------------------------------------------- */

str reply_trailers(const struct req *r)
{
	return r->trailers;
}

str reply_trailer(const struct req *r, str name)
{
	str rest = r->trailers, line;

	while (rest.n && str_next(&rest, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':', 0);

		if (colon >= 0 && str_eq_ci(str_part(line, 0, (size_t)colon), name))
			return str_trim(str_from(line, (size_t)colon + 1));
	}
	return STR_NONE;
}
