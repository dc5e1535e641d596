/* SPDX-License-Identifier: Apache-2.0 */
/* verdicts - what a directory has said of a name and a password, for a while.
 *
 * By a key that nobody can turn back (an HMAC under a key of this process), in one table of
 * a fixed size for the process; a mutex is held for a look-up alone.  When a place is full, what
 * ends first makes room. */
#pragma once

#include <gibbon/plugin.h>

#define VERDICT_KEY 32

enum verdict_said { SAID_NOTHING, SAID_YES, SAID_NO };

enum verdict_said verdict_find(const uint8_t key[VERDICT_KEY], int64_t now_ms);
void verdict_keep(const uint8_t key[VERDICT_KEY], bool is_yes, int64_t now_ms, int64_t until_ms);
