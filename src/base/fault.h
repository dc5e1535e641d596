/* SPDX-License-Identifier: Apache-2.0 */
/* fault - places where a test lets a call fail that seldom fails by itself.
 *
 *	if (FAULT("net.read"))
 *		return failed(s, ECONNRESET);
 *
 * Only in builds with -Dfaults=true, elsewhere FAULT() is false and costs nothing.  There
 * GIBBON_FAULTS says which: "net.read@5,net.write@9" fails the fifth read of the process and
 * the ninth write; "net.read@5+" the fifth and all that follow.  What fires is logged. */
#pragma once

#include <stdbool.h>

#ifdef GIBBON_FAULTS
bool fault_hit(const char *name); /* any thread */
#define FAULT(name) fault_hit(name)
#else
#define FAULT(name) false
#endif
