/* SPDX-License-Identifier: Apache-2.0 */
/* What gRPC's clients are told: a status of their own and a message, in the head, without
 * a body. */
#include "serve/grpc.h"

#include <gibbon/plugin.h>

int grpc_status_of(int status)
{
	/* clang-format off */
	static const struct {
		int http, grpc;
	} rows[] = {
		{ 401, 16 }, { 403, 7 },  { 404, 5 },  { 409, 6 },  { 429, 8 },
		{ 499, 1 },  { 501, 12 }, { 503, 14 }, { 504, 4 },
	};
	static const int by_class[] = { 2, 2, 0, 2, 3, 13 }; /* of all others */
	/* clang-format on */

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].http == status)
			return rows[i].grpc;
	}
	return (size_t)status / 100 < COUNT(by_class) ? by_class[status / 100] : 2;
}

str grpc_status_name(int status)
{
	static const str names[] = {
		STR_INIT("OK"),
		STR_INIT("Canceled"),
		STR_INIT("Unknown"),
		STR_INIT("InvalidArgument"),
		STR_INIT("DeadlineExceeded"),
		STR_INIT("NotFound"),
		STR_INIT("AlreadyExists"),
		STR_INIT("PermissionDenied"),
		STR_INIT("ResourceExhausted"),
		STR_INIT("FailedPrecondition"),
		STR_INIT("Aborted"),
		STR_INIT("OutOfRange"),
		STR_INIT("Unimplemented"),
		STR_INIT("Internal"),
		STR_INIT("Unavailable"),
		STR_INIT("DataLoss"),
		STR_INIT("Unauthenticated"),
	};

	return (size_t)status < COUNT(names) ? names[status] : STR_NONE;
}

static bool is_plain(char c)
{
	return c >= ' ' && c <= '~' && c != '%';
}

str grpc_message(struct arena *a, str text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_bytes(a, 3 * text.n), *p = out;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.s[i];

		if (is_plain(text.s[i])) {
			*p++ = text.s[i];
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	return str_at(out, (size_t)(p - out));
}

void grpc_tell(struct arena *a, struct http_headers *h, int status, str message)
{
	http_set_str(a, h, STR("grpc-status"), str_fmt(a, "%d", status));
	http_set_str(a, h, STR("grpc-message"),
		     grpc_message(a, message.n ? message : grpc_status_name(status)));
}
