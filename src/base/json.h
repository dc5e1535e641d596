/* SPDX-License-Identifier: Apache-2.0 */
/* json - text to value and back.  The only file that knows jansson is json.c. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"

/* Parses a whole text: strict JSON, no duplicate keys, nesting to
 * LIMIT_JSON_DEPTH.  The error says line and column. */
MUST_CHECK struct err *json_parse(struct arena *a, str text, struct value **ret);

/* The same of what passes through: of a key that comes again the last value counts, as most
 * readers have it, so that nobody hides a member from a change by naming it twice. */
MUST_CHECK struct err *json_parse_passing(struct arena *a, str text, struct value **ret);

enum json_style {
	JSON_COMPACT = 0,
	JSON_SORTED = 1, /* keys in byte order */
	JSON_PRETTY = 2, /* two spaces, one member a line */
};

void json_write(struct buf *out, const struct value *v, unsigned style);
str json_text(struct arena *a, const struct value *v, unsigned style);

/* s as a JSON string with its quotes. */
void json_write_str(struct buf *out, str s);
