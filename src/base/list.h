/* SPDX-License-Identifier: Apache-2.0 */
/* list - intrusive, doubly linked, circular with a head. */
#pragma once

#include "base/compiler.h"
#include <stdbool.h>

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add(struct list *head, struct list *item) /* at the end */
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

static inline void list_add_front(struct list *head, struct list *item)
{
	list_add(head->next, item);
}

static inline void list_add_all(struct list *head, struct list *from) /* moves them to the end */
{
	if (from->next == from)
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	list_init(from);
}

static inline void list_remove(struct list *item) /* may be called twice */
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

#define list_for_each(head, T, member, p)                                                          \
	for (T *p = CONTAINER((head)->next, T, member), *next_##p;                                 \
	     &p->member != (head) && (next_##p = CONTAINER(p->member.next, T, member), 1);         \
	     p = next_##p)
