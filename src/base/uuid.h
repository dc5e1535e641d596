/* SPDX-License-Identifier: Apache-2.0 */
/* uuid - 16 bytes, by value; all zero means "none". */
#pragma once

#include "base/str.h"

typedef struct uuid {
	uint8_t b[16];
} uuid;

bool uuid_is_none(uuid u);
bool uuid_eq(uuid a, uuid b);
int uuid_cmp(uuid a, uuid b);
bool uuid_parse(str s, uuid *ret); /* 8-4-4-4-12 hex digits, either case */
str uuid_str(struct arena *a, uuid u);
void uuid_write(uuid u, char out[36]); /* lower case, no '\0' */
uuid uuid_random(void);                /* version 4, from the kernel's generator */
