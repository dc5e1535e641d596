/* SPDX-License-Identifier: Apache-2.0 */
/* tree - keys of which a text may begin with several; a radix tree over bytes.
 *
 *	"/", "/api", "/apps"        (root) "" ── "/" * ── "ap" ─┬─ "i" *
 *	                                                        └─ "ps" *
 *
 * Built in an arena, never shrinks; finished trees may be shared between threads. */
#pragma once

#include "base/str.h"

struct tree_node;

struct tree {
	struct tree_node *root; /* NULL: empty */
};

/* Storage for the value under key, NULL in it when the key is new. */
void **tree_put(struct arena *a, struct tree *t, str key);

/* The keys that a text begins with, the shortest first. */
struct tree_walk {
	const struct tree_node *at;
	str rest;
	bool is_started;
};

static inline struct tree_walk tree_walk(const struct tree *t, str text)
{
	return (struct tree_walk){ .at = t->root, .rest = text };
}

/* The next one's value, or NULL. */
void *tree_walk_next(struct tree_walk *w);
