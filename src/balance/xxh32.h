/* SPDX-License-Identifier: Apache-2.0 */
/* xxh32 - the hash that places addresses and requests on the ring.
 *
 * XXH32 with seed 0: every node, and every Kong node beside ours, must come to
 * the same numbers.  Not for tables that strangers can fill: it has no secret. */
#pragma once

#include "base/str.h"

uint32_t xxh32(str s);
