/* SPDX-License-Identifier: Apache-2.0 */
/* request-size-limiting - refuses bodies that are too large.
 *
 * A length that is declared is judged at once; a body without one (chunked, or of HTTP/2)
 * when it turns out to be larger, without being kept for that. */
#include <gibbon/plugin.h>

#define TOO_LARGE "Request size limit exceeded"

struct conf {
	int64_t allowed_payload_size;
	str size_unit;
	bool require_content_length;
	uint64_t most; /* bytes */
};

/* clang-format off */
#define T struct conf
static const struct field conf_fields[] = {
	F_INT(T,  allowed_payload_size,   .def = J(128), .help = "Largest body that passes."),
	F_STR(T,  size_unit,              .required = true, .def = J("megabytes"), .one_of = J(["megabytes", "kilobytes", "bytes"]), .help = "What it is counted in."),
	F_BOOL(T, require_content_length, .required = true, .def = J(false), .help = "Whether a body must say its length."),
	F_END
};
#undef T
/* clang-format on */

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;
	unsigned shift = str_is(conf->size_unit, "megabytes")   ? 20
			 : str_is(conf->size_unit, "kilobytes") ? 10
								: 0;

	(void)a;
	if (conf->allowed_payload_size == FIELD_UNSET_INT)
		conf->allowed_payload_size = 128;
	conf->most = conf->allowed_payload_size < 0 ? 0 : (uint64_t)conf->allowed_payload_size;
	conf->most = conf->most > UINT64_MAX >> 21 ? UINT64_MAX : conf->most << shift;
	return NULL;
}

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;
	const struct http_request *in = req_in(r);
	int status = str_is_ci(str_trim(req_header(r, STR("Expect"))), "100-continue") ? 417 : 413;
	bool has_length = req_header(r, STR("Content-Length")).n;

	if (in->body == HTTP_BODY_LENGTH && (uint64_t)in->length > conf->most)
		return respond_error(r, status, TOO_LARGE);
	if (conf->require_content_length && !has_length && in->body != HTTP_BODY_CHUNKED)
		return respond_error(r, 411, "A valid Content-Length header is required");
	if (in->body == HTTP_BODY_CHUNKED || in->body == HTTP_BODY_TO_CLOSE)
		return req_limit_body(r, conf->most, status, TOO_LARGE);
	return NEXT;
}

const struct plugin plugin_request_size_limiting = {
	.name = "request-size-limiting",
	.help = "Refuses bodies that are too large.",
	.priority = 951,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.protocols = PROTOCOLS_HTTP,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access },
};
