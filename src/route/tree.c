/* SPDX-License-Identifier: Apache-2.0 */
#include "route/tree.h"

/* A node's label stands behind it in one block, as do the first bytes of its children's
 * labels behind the pointers to them: a step down touches two places in memory. */
struct tree_node {
	str label; /* what it adds to its parent's key */
	void *value;
	struct tree_node **kids; /* cap of them, then cap bytes */
	uint16_t n, cap;
	char own_label[];
};

static struct tree_node *node_new(struct arena *a, str label)
{
	struct tree_node *node = arena_alloc(a, sizeof(*node) + label.n);

	memset(node, 0, sizeof(*node));
	if (label.n)
		memcpy(node->own_label, label.s, label.n);
	node->label = str_at(node->own_label, label.n);
	return node;
}

static unsigned char *first_bytes(const struct tree_node *node)
{
	return (unsigned char *)(node->kids + node->cap);
}

static void add_kid(struct arena *a, struct tree_node *node, struct tree_node *kid)
{
	if (node->n == node->cap) {
		struct tree_node old = *node;

		node->cap = old.cap ? (uint16_t)(old.cap * 2) : 2;
		node->kids = arena_alloc(a, node->cap * (sizeof(*node->kids) + 1));
		if (old.n) {
			memcpy(node->kids, old.kids, old.n * sizeof(*node->kids));
			memcpy(first_bytes(node), first_bytes(&old), old.n);
		}
	}
	first_bytes(node)[node->n] = (unsigned char)kid->label.s[0];
	node->kids[node->n++] = kid;
}

static struct tree_node **find_kid(const struct tree_node *node, char first)
{
	const unsigned char *bytes = first_bytes(node);
	const unsigned char *at = node->n ? memchr(bytes, (unsigned char)first, node->n) : NULL;

	return at ? &node->kids[at - bytes] : NULL;
}

/* Cuts the label of *place at n bytes: a new node takes the front. */
static void split(struct arena *a, struct tree_node **place, size_t n)
{
	struct tree_node *old = *place, *front = node_new(a, str_part(old->label, 0, n));

	old->label = str_from(old->label, n);
	add_kid(a, front, old);
	*place = front;
}

void **tree_put(struct arena *a, struct tree *t, str key)
{
	struct tree_node **place = &t->root;

	if (!t->root)
		t->root = node_new(a, STR(""));
	for (;;) {
		size_t n = 0, max = (*place)->label.n < key.n ? (*place)->label.n : key.n;
		struct tree_node **next;

		while (n < max && (*place)->label.s[n] == key.s[n])
			n++;
		if (n < (*place)->label.n)
			split(a, place, n);
		key = str_from(key, n);
		if (key.n == 0)
			return &(*place)->value;
		next = find_kid(*place, key.s[0]);
		if (!next) {
			struct tree_node *kid = node_new(a, key);

			add_kid(a, *place, kid);
			return &kid->value;
		}
		place = next;
	}
}

void *tree_walk_next(struct tree_walk *w)
{
	while (w->at) {
		if (w->is_started) {
			struct tree_node **kid = w->rest.n ? find_kid(w->at, w->rest.s[0]) : NULL;

			if (!kid || !str_starts(w->rest, (*kid)->label)) {
				w->at = NULL;
				return NULL;
			}
			w->at = *kid;
			w->rest = str_from(w->rest, w->at->label.n);
		}
		w->is_started = true;
		if (w->at->value)
			return w->at->value;
	}
	return NULL;
}
