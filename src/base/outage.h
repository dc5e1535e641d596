/* SPDX-License-Identifier: Apache-2.0 */
/* outage - something that others need and that does not work: told once, and once when
 * it works again.
 *
 * Whoever asks a server (or a database) says each time how it went; of the first that
 * failed the log has a line, of those behind it nothing, until one goes well.  One that
 * comes and goes is told of every ten seconds at most.  Any thread. */
#pragma once

#include "base/err.h"

/* `what` names it in the log and among the others; `meanwhile` says what is done without. */
void outage_begins(str what, const struct err *e, const char *meanwhile);
void outage_ends(str what); /* costs next to nothing while all is well */
