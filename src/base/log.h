/* SPDX-License-Identifier: Apache-2.0 */
/* log - the error log: one line per story, in nginx's layout.
 *
 *	2026/11/24 06:46:30 [error] 4711#2: *17 text, client: 127.0.0.1, ...
 *
 * Any thread may log; a line goes out in one write(2).  The level can be
 * changed at run time and the file reopened (SIGUSR1).  Text from outside is
 * escaped so that one story is one line. */
#pragma once

#include "base/err.h"

enum log_level {
	LOG_EMERG_,
	LOG_ALERT_,
	LOG_CRIT_,
	LOG_ERROR_,
	LOG_WARN_,
	LOG_NOTICE_,
	LOG_INFO_,
	LOG_DEBUG_,
};

/* The words of kong.conf: debug, info, notice, warn, error, crit, alert, emerg. */
bool log_level_of(str word, enum log_level *ret);
const char *log_level_name(enum log_level level);

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Where lines go: a file (opened for appending) or standard error, the state
 * before the first call.  "/dev/stderr" and "/dev/stdout" are files too. */
MUST_CHECK struct err *log_open(const char *path);
MUST_CHECK struct err *log_reopen(void);

/* From now on lines, without their '\n', go to send instead, which any thread may call; NULL:
 * back to the file. */
void log_open_to(void (*send)(enum log_level level, str line));

void log_write(enum log_level level, const char *format, ...) PRINTF(2, 3);

/* The whole chain of an error: "text: cause: cause", its hint behind it. */
void log_err(enum log_level level, const struct err *e, const char *format, ...) PRINTF(3, 4);

#define log_at_(level, ...)                                                                        \
	do {                                                                                       \
		if ((level) <= log_get_level())                                                    \
			log_write((level), __VA_ARGS__);                                           \
	} while (0)
#define log_emerg(...)  log_at_(LOG_EMERG_, __VA_ARGS__)
#define log_crit(...)   log_at_(LOG_CRIT_, __VA_ARGS__)
#define log_error(...)  log_at_(LOG_ERROR_, __VA_ARGS__)
#define log_warn(...)   log_at_(LOG_WARN_, __VA_ARGS__)
#define log_notice(...) log_at_(LOG_NOTICE_, __VA_ARGS__)
#define log_info(...)   log_at_(LOG_INFO_, __VA_ARGS__)
#define log_debug(...)  log_at_(LOG_DEBUG_, __VA_ARGS__)

/* Ends the process with the message: our own bug, or no memory. */
NORETURN void die(const char *format, ...) PRINTF(1, 2);
