/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the access log share. */
#pragma once

#include "observe/access_log.h"

/* Times in words, made once a second. */
struct time_words {
	int64_t second; /* that they are of */
	char local[32], iso[32];
	size_t n_local, n_iso;
};

/* Writes a line, its '\n' included, to p; its length, or 0 when cap does not do. */
size_t access_format_put(const struct access_format *f, const struct access_record *r,
			 struct time_words *t, char *p, size_t cap);

/* ---- syslog.c --------------------------------------------------------------------- */

struct syslog_sink;

/* "server=ADDRESS,...", without "syslog:". */
MUST_CHECK struct err *syslog_sink_open(str text, struct syslog_sink **ret);
void syslog_sink_close(struct syslog_sink **s); /* takes NULL */

/* One message; an errno when it could not be sent.  Never waits. */
int syslog_sink_send(struct syslog_sink *s, str line);

/* The same with this severity (0 emerg to 7 debug); by any thread. */
int syslog_sink_send_at(const struct syslog_sink *s, int severity, str line);
