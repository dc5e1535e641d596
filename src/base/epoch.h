/* SPDX-License-Identifier: Apache-2.0 */
/* epoch - read without locks what another thread may replace.
 *
 * A reader brackets its look with epoch_enter() and epoch_leave(): it loads an
 * atomic pointer in between and may follow it until it leaves.  A writer, under
 * a lock of its own, puts a new object in the pointer's place, takes a mark for the
 * old one and may reuse its memory once epoch_is_over(mark) says that every
 * reader who could have seen it is gone.
 *
 * Sections are short, never nested and never hold a wait: a fiber that is
 * suspended inside would hold up every writer.  A section costs one exchange
 * on a cache line that belongs to the thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

void epoch_enter(void);
void epoch_leave(void);

/* After the old object was replaced. */
uint64_t epoch_mark(void);
bool epoch_is_over(uint64_t mark);
