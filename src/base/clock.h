/* SPDX-License-Identifier: Apache-2.0 */
/* clock - time, in two kinds that never mix.
 *
 * Deadlines and durations use monotonic milliseconds; what is shown to people
 * or stored uses wall-clock time since the epoch. */
#pragma once

#include <stdint.h>

typedef int64_t deadline; /* monotonic milliseconds; absolute */

#define DEADLINE_NEVER INT64_MAX

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_wall_us(void);
int64_t clock_wall_ms(void);
int64_t clock_wall_s(void);
