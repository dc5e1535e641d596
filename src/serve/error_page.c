/* SPDX-License-Identifier: Apache-2.0 */
/* Two tables: the words of each status, and what a page of each type looks like. */
#include "serve/error_page.h"

#include "base/json.h"

/* clang-format off */
struct text {
	int status;
	str text;
};

static const struct text texts[] = {
	{ .status = 400, .text = STR_INIT("Bad request") },
	{ .status = 404, .text = STR_INIT("Not found") },
	{ .status = 405, .text = STR_INIT("Method not allowed") },
	{ .status = 408, .text = STR_INIT("Request timeout") },
	{ .status = 411, .text = STR_INIT("Length required") },
	{ .status = 412, .text = STR_INIT("Precondition failed") },
	{ .status = 413, .text = STR_INIT("Payload too large") },
	{ .status = 414, .text = STR_INIT("URI too long") },
	{ .status = 417, .text = STR_INIT("Expectation failed") },
	{ .status = 494, .text = STR_INIT("Request header or cookie too large") },
	{ .status = 500, .text = STR_INIT("An unexpected error occurred") },
	{ .status = 502, .text = STR_INIT("An invalid response was received from the upstream server") },
	{ .status = 503, .text = STR_INIT("The upstream server is currently unavailable") },
	{ .status = 504, .text = STR_INIT("The upstream server is timing out") },
};

/* That plugins' errors alone have. */
static const struct text more_texts[] = {
	{ .status = 401, .text = STR_INIT("Unauthorized") },
	{ .status = 402, .text = STR_INIT("Payment required") },
	{ .status = 403, .text = STR_INIT("Forbidden") },
	{ .status = 406, .text = STR_INIT("Not acceptable") },
	{ .status = 407, .text = STR_INIT("Proxy authentication required") },
	{ .status = 409, .text = STR_INIT("Conflict") },
	{ .status = 410, .text = STR_INIT("Gone") },
	{ .status = 415, .text = STR_INIT("Unsupported media type") },
	{ .status = 416, .text = STR_INIT("Range not satisfiable") },
	{ .status = 418, .text = STR_INIT("I'm a teapot") },
	{ .status = 421, .text = STR_INIT("Misdirected request") },
	{ .status = 422, .text = STR_INIT("Unprocessable entity") },
	{ .status = 423, .text = STR_INIT("Locked") },
	{ .status = 424, .text = STR_INIT("Failed dependency") },
	{ .status = 425, .text = STR_INIT("Too early") },
	{ .status = 426, .text = STR_INIT("Upgrade required") },
	{ .status = 428, .text = STR_INIT("Precondition required") },
	{ .status = 429, .text = STR_INIT("Too many requests") },
	{ .status = 431, .text = STR_INIT("Request header fields too large") },
	{ .status = 451, .text = STR_INIT("Unavailable for legal reasons") },
	{ .status = 501, .text = STR_INIT("Not implemented") },
	{ .status = 505, .text = STR_INIT("HTTP version not supported") },
	{ .status = 506, .text = STR_INIT("Variant also negotiates") },
	{ .status = 507, .text = STR_INIT("Insufficient storage") },
	{ .status = 508, .text = STR_INIT("Loop detected") },
	{ .status = 510, .text = STR_INIT("Not extended") },
	{ .status = 511, .text = STR_INIT("Network authentication required") },
};

static const struct {
	str mime, content_type;
	const char *before, *after; /* of the text; none of the texts needs escaping */
} pages[] = {
	[ERROR_PLAIN] = {
		.mime = STR_INIT("text/plain"),
		.content_type = STR_INIT("text/plain; charset=utf-8"),
		.before = "",
		.after = "\n",
	},
	[ERROR_HTML] = {
		.mime = STR_INIT("text/html"),
		.content_type = STR_INIT("text/html; charset=utf-8"),
		.before = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			  "<title>Kong Error</title>\n</head>\n<body>\n<h1>Kong Error</h1>\n<p>",
		.after = ".</p>\n</body>\n</html>\n",
	},
	[ERROR_JSON] = {
		.mime = STR_INIT("application/json"),
		.content_type = STR_INIT("application/json; charset=utf-8"),
		.before = "{\n  \"message\":\"",
		.after = "\"\n}",
	},
	[ERROR_XML] = {
		.mime = STR_INIT("application/xml"),
		.content_type = STR_INIT("application/xml; charset=utf-8"),
		.before = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>",
		.after = "</message>\n</error>\n",
	},
};
/* clang-format on */

const str error_json_type = STR_INIT("application/json; charset=utf-8");

bool error_type_of(str mime, enum error_type *ret)
{
	for (unsigned i = 0; i < COUNT(pages); i++) {
		if (str_eq_ci(mime, pages[i].mime)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

str error_text(struct arena *a, int status)
{
	for (unsigned i = 0; i < COUNT(texts); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return str_fmt(a, "The upstream server responded with %d", status);
}

str error_text_of_plugin(struct arena *a, int status)
{
	for (unsigned i = 0; i < COUNT(more_texts); i++) {
		if (more_texts[i].status == status)
			return more_texts[i].text;
	}
	return error_text(a, status);
}

/* What the client takes, by the header that says so. */
static enum error_type type_wanted(str header)
{
	enum error_type type = ERROR_JSON;
	ptrdiff_t end = str_find(header, ';', 0);
	str mime = str_trim(end < 0 ? header : str_part(header, 0, (size_t)end));

	if (str_is_ci(mime, "text/*"))
		return ERROR_PLAIN;
	error_type_of(mime, &type);
	return type;
}

str error_page(struct arena *a, int status, const struct http_request *request, enum error_type def,
	       str *ret_content_type)
{
	const struct http_header *wanted = NULL;
	str text = error_text(a, status);

	if (request) {
		wanted = http_get(&request->headers, HTTP_ACCEPT);
		if (!wanted)
			wanted = http_get(&request->headers, HTTP_CONTENT_TYPE);
	}
	if (wanted && str_starts_ci(wanted->value, STR("application/grpc"))) {
		*ret_content_type = error_json_type;
		return error_json(a, text);
	}
	if (wanted)
		def = type_wanted(wanted->value);
	*ret_content_type = pages[def].content_type;
	return str_fmt(a, "%s" STRF "%s", pages[def].before, STRV(text), pages[def].after);
}

str error_json(struct arena *a, str message)
{
	struct buf out CLEANUP(buf_done);

	buf_init(&out, 0);
	buf_add_str(&out, STR("{\"message\":"));
	json_write_str(&out, message);
	buf_add_char(&out, '}');
	return str_copy(a, buf_str(&out));
}

/* ---- plugins' errors -------------------------------------------------------------------- */

static bool is_media_char(char c)
{
	return ascii_is_alnum(c) || strchr("-!#$&^_+.", c);
}

/* "text/html;q=0.5": the type alone and its weight; -1: it is no such thing. */
static double weight_of(str member, str *ret_type)
{
	ptrdiff_t semicolon = str_find(member, ';', 0);
	str type = str_trim(semicolon < 0 ? member : str_part(member, 0, (size_t)semicolon));
	str rest = semicolon < 0 ? STR_NONE : str_trim(str_from(member, (size_t)semicolon + 1));
	double q = 1;

	for (size_t i = 0; i < type.n; i++) {
		if (!is_media_char(type.s[i]) && type.s[i] != '/' && type.s[i] != '*')
			return -1;
	}
	*ret_type = type;
	if (str_starts_ci(rest, STR("q"))) {
		ptrdiff_t equals = str_find(rest, '=', 0);
		str number = equals < 0 ? STR_NONE : str_trim(str_from(rest, (size_t)equals + 1));

		if (!str_to_num(number, &q) || q < 0 || q > 1)
			q = 1;
	}
	return str_find(type, '/', 0) > 0 ? q : -1;
}

str error_answer(struct arena *a, str message, str accept, str *ret_content_type)
{
	enum error_type type = ERROR_JSON;
	double best = 0;
	str member, media = STR_NONE;
	struct buf quoted CLEANUP(buf_done);

	while (http_list_next(&accept, &member)) {
		double q = weight_of(member, &media);

		if (q <= best)
			continue;
		best = q;
		type = type_wanted(media);
	}
	*ret_content_type = pages[type].content_type;
	buf_init(&quoted, 0);
	if (type == ERROR_JSON) {
		json_write_str(&quoted, message);
		message = str_part(buf_str(&quoted), 1, quoted.n - 1);
	}
	return str_fmt(a, "%s" STRF "%s", pages[type].before, STRV(message), pages[type].after);
}
