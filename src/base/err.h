/* SPDX-License-Identifier: Apache-2.0 */
/* err - an error that carries its story.
 *
 * NULL means success.  A function that can fail for a reason somebody should
 * read returns MUST_CHECK struct err *; whoever ends the story (request, job,
 * boot) logs or renders the whole chain once.  Outcomes that code merely
 * branches on are an enum or a bool instead.
 *
 * Errors live in the error arena of the fiber (or thread) that met them, so
 * that a library needs no arena to fail; err_forget() empties it, which a
 * long-lived fiber does after each story it has told.  err_keep() copies one
 * into an arena that lives longer. */
#pragma once

#include "base/str.h"

enum err_code {
	ERR_INVALID = 1, /* the caller's data breaks a rule; `field` says where */
	ERR_CONFLICT,
	ERR_NOT_FOUND,
	ERR_TIMEOUT,
	ERR_REFUSED,
	ERR_CANCELLED, /* somebody asked this fiber to stop; just unwind */
	ERR_SYSTEM,    /* a system call said no; text carries its reason */
	ERR_INTERNAL,
};

struct err {
	enum err_code code;
	const char *text;  /* one line, for an operator */
	const char *field; /* path in the caller's document, "hosts[2]", or NULL */
	const char *hint;  /* what to do about it, a whole sentence, or NULL */
	const char *state; /* the database's own code (SQLSTATE), or NULL */
	const char *file;  /* where it was first seen */
	int line;
	struct err *cause; /* why, one level down */
	struct err *next;  /* another one beside it: validation reports all */
};

#define FAIL(code, ...) err_new((code), __FILE__, __LINE__, __VA_ARGS__)

/* A failed system call: text, then errno's words. */
#define FAIL_ERRNO(...) err_errno(__FILE__, __LINE__, __VA_ARGS__)

/* Passes an error on with where in the user's world we were. */
#define TRY(call, ...)                                                                             \
	do {                                                                                       \
		struct err *e_ = (call);                                                           \
		if (e_)                                                                            \
			return err_in(e_, __FILE__, __LINE__, __VA_ARGS__);                        \
	} while (0)

/* Passes an error on as it is. */
#define PASS(call)                                                                                 \
	do {                                                                                       \
		struct err *e_ = (call);                                                           \
		if (e_)                                                                            \
			return e_;                                                                 \
	} while (0)

struct err *err_new(enum err_code code, const char *file, int line, const char *format, ...)
	PRINTF(4, 5) __attribute__((returns_nonnull));
struct err *err_errno(const char *file, int line, const char *format, ...) PRINTF(3, 4)
	__attribute__((returns_nonnull));
struct err *err_in(struct err *e, const char *file, int line, const char *format, ...) PRINTF(4, 5)
	__attribute__((returns_nonnull));

/* Adds to the error and returns it, for use in a return statement. */
struct err *err_hint(struct err *e, const char *format, ...) PRINTF(2, 3);
struct err *err_field(struct err *e, const char *format, ...) PRINTF(2, 3);
struct err *err_state(struct err *e, const char *state); /* NULL or "": none */

/* A copy, causes and neighbours included, in a. */
struct err *err_keep(struct arena *a, const struct err *e);

/* A copy of a kept one in the error arena of the fiber or thread that runs. */
struct err *err_here(const struct err *e);

/* "outer: cause: root cause", one line; NULL-safe. */
str err_line(struct arena *a, const struct err *e);

/* The innermost cause. */
const struct err *err_root(const struct err *e);

/* Empties the error arena: every err of this fiber or thread is gone. */
void err_forget(void);

/* For the fiber switch alone: the error arena of the fiber that runs.  Lazily
 * made, so that a fiber that never fails never has one. */
struct arena *err_swap_home(struct arena *home);
