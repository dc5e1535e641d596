/* SPDX-License-Identifier: Apache-2.0 */
/* lua - documents as Lua prints them, which is how they stand in Kong's messages.
 *
 * An object is a table with sorted keys, an array a sequence; a null in an array
 * is a gap, and what comes after it is written with its index, counted from 1. */
#pragma once

#include "base/value.h"

/* {hosts={[2]="invalid"},name="foo"}; with pretty: lines, indented by two. */
str lua_table(struct arena *a, const struct value *v, bool pretty);

/* What tostring() gives: numbers in their shortest form, text as it is, "null". */
str lua_tostring(struct arena *a, const struct value *v);
