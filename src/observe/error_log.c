/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/error_log.h"

#include "base/log.h"
#include "observe/priv.h"

static struct syslog_sink *sink; /* in use */

static void send_line(enum log_level level, str line)
{
	(void)syslog_sink_send_at(sink, (int)level, line); /* nobody is left to tell */
}

static struct err *open_syslog(str options)
{
	struct syslog_sink *next, *old = sink;

	PASS(syslog_sink_open(options, &next));
	sink = next;
	log_open_to(send_line);
	syslog_sink_close(&old);
	return NULL;
}

struct err *error_log_open(struct arena *a, str where)
{
	str prefix = STR("syslog:");

	if (str_starts(where, prefix))
		return open_syslog(str_from(where, prefix.n));
	PASS(log_open(str_z(a, where)));
	log_open_to(NULL);
	syslog_sink_close(&sink);
	return NULL;
}
