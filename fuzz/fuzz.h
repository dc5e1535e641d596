/* SPDX-License-Identifier: Apache-2.0 */
/* What every target has: the function that libFuzzer, or replay.c, calls. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
