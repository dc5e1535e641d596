/* SPDX-License-Identifier: Apache-2.0 */
/* yaml - text to value and back.  The only file that knows libyaml is yaml.c.
 *
 * One document; the core schema's plain scalars (null, booleans, integers,
 * floats) become typed values, everything quoted is a string.  Anchors, aliases
 * and merge keys (<<) work, under a ceiling on the expanded size. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/value.h"

MUST_CHECK struct err *yaml_parse(struct arena *a, str text, struct value **ret);
void yaml_write(struct buf *out, const struct value *v);
