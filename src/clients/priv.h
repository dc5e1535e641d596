/* SPDX-License-Identifier: Apache-2.0 */
/* What background.c asks of the queues at the end; on its loop but for the last. */
#pragma once

#include "clients/queue.h"

void queues_flush(void); /* from now on nobody waits, for more or for the next attempt */
bool queues_are_empty(void);
void queues_tell_lost(void); /* the loop is gone */
