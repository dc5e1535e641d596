/* SPDX-License-Identifier: Apache-2.0 */
/* Marks that the compiler, or one of our own checkers, reads. */
#pragma once

#include <stddef.h>

#define MUST_CHECK   __attribute__((warn_unused_result))
#define PRINTF(a, b) __attribute__((format(printf, a, b)))
#define CLEANUP(fn)  __attribute__((cleanup(fn)))
#define NORETURN     __attribute__((noreturn))
#define likely(x)    __builtin_expect(!!(x), 1)
#define unlikely(x)  __builtin_expect(!!(x), 0)

/* The call may suspend the fiber that makes it; read by tools/check_suspends.py. */
#ifdef __clang__
#define SUSPENDS __attribute__((annotate("suspends")))
#else
#define SUSPENDS
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Moves ownership here: the value of p, which becomes NULL. */
#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) took_ = (p);                                                         \
		(p) = NULL;                                                                        \
		took_;                                                                             \
	})
