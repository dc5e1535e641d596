/* SPDX-License-Identifier: Apache-2.0 */
/* For unit tests whose loops may stand on either poller: GIBBON_TEST_IO_BACKEND names
 * it.  Included by tests only. */
#pragma once

#include "fiber/fiber.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First in main(): ends the test as skipped where the kernel has no such thing. */
static inline void choose_loops(void)
{
	const char *want = getenv("GIBBON_TEST_IO_BACKEND");
	struct err *e = NULL;

	if (want && strcmp(want, "uring") == 0)
		e = loop_choose(LOOP_URING);
	if (!e)
		return;
	fprintf(stderr, "skipped: %s\n", e->text);
	exit(77);
}
