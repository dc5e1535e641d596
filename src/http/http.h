/* SPDX-License-Identifier: Apache-2.0 */
/* http - messages, those of HTTP/1.1 read strictly and written plainly (RFC 9110, 9112).
 *
 * A head is parsed in place: every str points into the buffer that was read, so
 * that buffer must live as long as the message.  Names keep their case, order
 * and duplicates.  What is accepted here can never be read differently by a
 * correct next hop: both lengths, obs-fold, bare CR or LF, NUL, white space
 * before a colon, and whatever RFC 9112 calls invalid is refused.
 *
 * Nothing here suspends or touches a socket. */
#pragma once

#include "base/arena.h"
#include "base/str.h"
#include "http/names.h"
#include <sys/types.h>

/* ---- header lists ------------------------------------------------------------ */

struct http_header {
	str name, value;
	enum http_name id; /* HTTP_OTHER when names.h does not know it */
};

struct http_headers {
	struct http_header *v;
	unsigned n, cap;
};

/* First value of a name, or NULL.  http_get is for known names, http_get_str for any. */
const struct http_header *http_get(const struct http_headers *h, enum http_name id);
const struct http_header *http_get_str(const struct http_headers *h, str name); /* case ignored */

/* The same; when there is none of that name, the one with '-' where it has '_'. */
const struct http_header *http_get_dashed(struct arena *a, const struct http_headers *h, str name);

void http_add(struct arena *a, struct http_headers *h, str name, str value);
void http_add_id(struct arena *a, struct http_headers *h, enum http_name id, str value);
void http_add_all(struct arena *a, struct http_headers *h, const struct http_headers *from);
void http_set(struct arena *a, struct http_headers *h, enum http_name id,
	      str value);                                                        /* replaces all */
void http_set_str(struct arena *a, struct http_headers *h, str name, str value); /* any name */
void http_remove(struct http_headers *h, enum http_name id);
void http_remove_str(struct http_headers *h, str name);

/* The same fields in a list of its own; their bytes are borrowed. */
struct http_headers http_headers_copy(struct arena *a, const struct http_headers *h);

/* A value that can be no line of its own: control bytes but tab as %XX, as OpenResty writes
 * them.  The value itself when it has none. */
str http_escape_value(struct arena *a, str value);
/* The same of a name: whatever is no byte of a token. */
str http_escape_name(struct arena *a, str name);

/* Is token one of the comma-separated members of the value (case ignored)? */
bool http_list_has(str value, str token);
/* Takes the next member off *rest (trimmed, quotes kept); false at the end. */
bool http_list_next(str *rest, str *ret_member);

/* ---- heads ------------------------------------------------------------------- */

enum http_body {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_TO_CLOSE, /* responses, and requests of HTTP/2: to the end of the stream */
};

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_PATCH,
	HTTP_OPTIONS,
	HTTP_CONNECT,
	HTTP_TRACE,
	HTTP_METHOD_OTHER,
};

enum http_method http_method_of(str name); /* case matters */

struct http_request {
	enum http_method method;
	str method_name;
	str target;      /* as received */
	str path, query; /* of the target; has_query tells "?" from none */
	bool has_query;
	str authority; /* of an absolute-form target, else empty */
	bool is_absolute;
	str host;   /* the Host header as received; empty when HTTP/1.0 sent none */
	int minor;  /* HTTP/1.<minor>: 0 or 1; 1 of HTTP/2, too */
	bool is_h2; /* it came by HTTP/2 (http/h2.h) */
	struct http_headers headers;
	enum http_body body;
	int64_t length; /* of HTTP_BODY_LENGTH */
	bool keep_alive;
	bool expects_continue;
	bool wants_upgrade; /* Connection: upgrade and an Upgrade header */
};

struct http_response {
	int status;
	str reason;
	int minor;
	struct http_headers headers;
	enum http_body body; /* given the request's method */
	int64_t length;
	bool keep_alive;
};

struct http_limits {
	size_t line;    /* bytes of the request line: 414 */
	size_t header;  /* bytes of one header line: 494 */
	size_t head;    /* bytes of the whole head: 494 */
	unsigned count; /* header lines: 494 */
};

enum { HTTP_MORE = 0 }; /* the head is not complete yet */

/* Parses a head at the front of p[0..n).  Returns its length in bytes (leading
 * empty lines included), HTTP_MORE, or minus the status to answer with (400, 405 for
 * CONNECT, 414, 494, 501, 505).  On an error *ret has what was read before it: the method's
 * name, the target and some of the headers, or not.
 * `scanned` is where to go on looking for the end; start it with 0 and keep it
 * between calls for one head.  Headers are allocated in a. */
ssize_t http_parse_request(struct arena *a, char *p, size_t n, size_t *scanned,
			   const struct http_limits *limits, struct http_request *ret);

/* Likewise for a response to a request with that method; 1xx responses are
 * returned like any other.  Errors are -502. */
ssize_t http_parse_response(struct arena *a, char *p, size_t n, size_t *scanned,
			    const struct http_limits *limits, enum http_method method,
			    struct http_response *ret);

/* ---- chunked bodies ----------------------------------------------------------- */

/* A decoder that eats bytes and points at the data among them. */
struct http_chunked {
	int state;
	uint64_t left;       /* bytes of the chunk to come */
	uint32_t line_bytes; /* of the size line or trailers so far, for their ceilings */
};

enum http_chunk {
	HTTP_CHUNK_MORE, /* all input used; *ret_data may be a part of the trailers */
	HTTP_CHUNK_DATA, /* *ret_data is the next piece */
	HTTP_CHUNK_END,  /* the last chunk and the trailers are through; *used says where */
	HTTP_CHUNK_BAD,
};

/* Looks at p[0..n), sets *used to how far it came. Call again with the rest.
 * Trailer lines are validated; their bytes (without the final CRLF) are *ret_data of
 * HTTP_CHUNK_MORE and HTTP_CHUNK_END, as they come: put together they are whole lines. */
enum http_chunk http_chunked_next(struct http_chunked *c, const char *p, size_t n, size_t *used,
				  str *ret_data);

/* ---- writing ------------------------------------------------------------------ */

str http_version(const struct http_request *r);      /* "HTTP/1.1", "HTTP/2.0" */
str http_reason(int status);                         /* "Not Found"; "" when unknown */
const char *http_date(int64_t wall_s, char out[30]); /* IMF-fixdate */
/* Any of the three forms of RFC 9110 §5.6.7; false on everything else. */
bool http_date_parse(str text, int64_t *ret_wall_s);
bool http_is_token(str s); /* RFC 9110 §5.6.2 */
bool http_is_value(str s); /* a field value without CR, LF, NUL */
