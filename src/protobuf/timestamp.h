/* SPDX-License-Identifier: Apache-2.0 */
/* timestamp - times as texts of ISO 8601. */
#pragma once

#include "base/str.h"

/* "2026-11-24T10:00:00", perhaps with a fraction, and "Z" or an offset. */
bool timestamp_parse(str text, int64_t *ret_seconds, int32_t *ret_nanos);

/* Of UTC, without a fraction or an offset, as Kong writes it. */
str timestamp_text(struct arena *a, int64_t seconds);
