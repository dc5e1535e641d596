/* SPDX-License-Identifier: Apache-2.0 */
/* error_page - the bodies of the proxy's own answers.
 *
 * Two ways in: a page for a status that the proxy itself came to (the type is
 * chosen by Accept, else by the request's Content-Type, else it is the default),
 * and a message in JSON, as plugins and the router give it.
 *
 * Negotiation is what Kong's clients see, not RFC 9110's: the header is cut at
 * its first ";" and compared as a whole, so that a browser's list of types is
 * no known type, and whatever is not known gets JSON. */
#pragma once

#include "http/http.h"

enum error_type { ERROR_PLAIN, ERROR_HTML, ERROR_JSON, ERROR_XML };

/* The words of error_default_type: "text/plain", "text/html", "application/json",
 * "application/xml"; false: no such type. */
bool error_type_of(str mime, enum error_type *ret);

/* "Bad request" ...; "The upstream server responded with 418" (in a) for a code without words. */
str error_text(struct arena *a, int status);
/* That of a plugin's error without a message of its own: more codes have words then. */
str error_text_of_plugin(struct arena *a, int status);

/* The page's body in a and its Content-Type. request may be NULL (unreadable head).
 * A gRPC client gets {"message":"..."} here; what HTTP/2 makes of that is its own business. */
str error_page(struct arena *a, int status, const struct http_request *request, enum error_type def,
	       str *ret_content_type);

/* A plugin's error in the form that Accept asks for: by q-values, the first of the best;
 * JSON when nothing known is asked for. */
str error_answer(struct arena *a, str message, str accept, str *ret_content_type);

/* {"message":"..."}, the content type of which is error_json_type. */
str error_json(struct arena *a, str message);
extern const str error_json_type;
