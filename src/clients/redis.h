/* SPDX-License-Identifier: Apache-2.0 */
/* redis - commands to a Redis server as suspending calls.
 *
 * Connections are kept for the next one who asks the same server as the same user, on
 * the same loop: everything that makes two of them different is part of a pool's
 * identity, the password included.  One that the server closes is gone at once, and so
 * is one that nobody used for ten seconds.
 *
 * Each wait for the server lasts timeout_ms at most.  While it cannot be reached, calls
 * fail at once with the words of the last attempt, and four times a second one of them
 * tries again, so that an outage costs neither time nor sockets.  A command whose answer
 * did not come may have been done all the same: nothing is sent twice.
 *
 * Replies have ceilings (base/limits.h); a reply beyond them ends its connection. */
#pragma once

#include "fiber/fiber.h"

struct redis_server {
	str host; /* a name or an address */
	uint16_t port;
	bool ssl, verify;
	str server_name; /* to ask for and to verify; empty: the host */
	str username;    /* empty: the default user */
	str password;    /* empty: nobody logs in */
	int64_t database;
	int64_t timeout_ms;
};

enum redis_kind { REDIS_NIL, REDIS_INT, REDIS_TEXT, REDIS_STATUS, REDIS_ERROR, REDIS_LIST };

struct redis_reply {
	enum redis_kind kind;
	int64_t i;                 /* of REDIS_INT */
	str s;                     /* of REDIS_TEXT, REDIS_STATUS, REDIS_ERROR */
	struct redis_reply *items; /* n of REDIS_LIST */
	size_t n;
};

/* One command; what the server refuses is an error (ERR_REFUSED) in its words.  The reply
 * lives in a. */
MUST_CHECK struct err *redis_ask(struct arena *a, const struct redis_server *s, const str *words,
				 size_t n, struct redis_reply *ret) SUSPENDS;
#define REDIS_WORDS(...) ((const str[]){ __VA_ARGS__ }), COUNT(((const str[]){ __VA_ARGS__ }))

/* Several at once, each with its reply in ret[]; those may be REDIS_ERROR. */
#define REDIS_COMMANDS_MAX 1024
MUST_CHECK struct err *redis_ask_all(struct arena *a, const struct redis_server *s,
				     const strs *commands, size_t n, struct redis_reply *ret)
	SUSPENDS;

/* A script in Lua: sent by its digest, and as text when the server does not know it yet.
 * `words` are the keys, n_keys of them, and then the arguments.  A server or user that may
 * not run scripts is ERR_NOT_FOUND, without asking again for a minute. */
struct redis_script {
	const char *text;
};
MUST_CHECK struct err *redis_run(struct arena *a, const struct redis_server *s,
				 const struct redis_script *script, const str *words, size_t n_keys,
				 size_t n, struct redis_reply *ret) SUSPENDS;

/* The loop of this thread has ended, its fibers too: closes what is kept.  A thread that
 * ends must have called it. */
void redis_leave(void);
