/* SPDX-License-Identifier: Apache-2.0 */
/* syslog - heads of lines in the form of RFC 3164. */
#pragma once

#include <stdint.h>

#define SYSLOG_HEAD_MAX 384

/* "<14>Nov 24 06:46:30 host tag: " of that second, in local time; hostname: or NULL.  Returns its
 * length. */
int syslog_head(char head[SYSLOG_HEAD_MAX], int priority, int64_t second, const char *hostname,
		const char *tag);
