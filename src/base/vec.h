/* SPDX-License-Identifier: Apache-2.0 */
/* vec - a growing array in an arena, by macro so that elements keep their type.
 *
 *	struct { int *v; size_t n, cap; } list = { 0 };
 *	*vec_add(a, &list) = 7;
 *	vec_for_each (&list, int, p) ...
 *
 * Old storage stays in the arena until it ends (at most as much again). */
#pragma once

#include "base/arena.h"

/* A new zeroed element at the end; pointer to it. */
#define vec_add(a, vec)                                                                            \
	((__typeof__((vec)->v))vec_add_((a), (void **)&(vec)->v, &(vec)->n, &(vec)->cap,           \
					sizeof(*(vec)->v)))

#define vec_for_each(vec, T, p) for (T *p = (vec)->v; (size_t)(p - (vec)->v) < (vec)->n; p++)

void *vec_add_(struct arena *a, void **v, size_t *n, size_t *cap, size_t size);
