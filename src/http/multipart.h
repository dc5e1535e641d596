/* SPDX-License-Identifier: Apache-2.0 */
/* multipart - bodies of type multipart/form-data (RFC 7578), taken apart and put together.
 *
 * Parts borrow from the body.  What is in front of the first and behind the last
 * delimiter is dropped. */
#pragma once

#include "base/str.h"

#define MULTIPART_MAX 1000 /* parts of one body */

struct multipart_part {
	str head; /* its header lines, each with its CR LF, as they came */
	str name; /* of Content-Disposition; STR_NONE: none */
	str body;
};

struct multipart {
	str boundary;
	struct multipart_part *v;
	size_t n;
};

/* False when it is malformed or has too many parts. */
bool multipart_parse(struct arena *a, str content_type, str body, struct multipart *ret);

/* Could it stand in a body with that boundary, and be taken for nothing else? */
bool multipart_can_hold(struct arena *a, str boundary, str text);

/* A part that holds a text; what would end its name is escaped as WHATWG HTML has it. */
struct multipart_part multipart_text(struct arena *a, str name, str text);

str multipart_join(struct arena *a, const struct multipart *m);
