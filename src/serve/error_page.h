/* SPDX-License-Identifier: Apache-2.0 */
/* error_page - the bodies of the proxy's own answers (PROXY.md §4.1).
 *
 * Two ways in: a page for a status that the proxy itself came to (nginx's
 * error_page path: the type is chosen by Accept, else Content-Type, else the default), and a message
 * in JSON, as plugins and the router give it. */
#pragma once

#include "http/http.h"

enum error_type { ERROR_PLAIN, ERROR_HTML, ERROR_JSON, ERROR_XML };

/* "text/plain" ...; false: no such type */
bool error_type_of(str mime, enum error_type *ret);

const char *error_text(int status); /* "Bad request"; the standard words of other codes in a */

/* The page's body in a and its Content-Type. request may be NULL (unreadable head). */
str error_page(struct arena *a, int status, const struct http_request *request, enum error_type def,
	       str *ret_content_type);

/* {"message":"..."} */
str error_json(struct arena *a, str message);
