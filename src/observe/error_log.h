/* SPDX-License-Identifier: Apache-2.0 */
/* Where the error log goes: to a file, or as datagrams to a syslog server. */
#pragma once

#include "base/err.h"

/* where: the path of a file, or "syslog:server=ADDRESS,..." as of an access log, whose
 * severity= is not used: each line has the one of its level.  From now on lines of all
 * threads go there; before other threads log, or in a process that has none. */
MUST_CHECK struct err *error_log_open(struct arena *a, str where);
