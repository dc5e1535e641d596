/* SPDX-License-Identifier: Apache-2.0 */
/* The radix timer wheel; fiber/timer.h says how it works. */
#include "fiber/timer.h"

#include "fiber/priv.h"

#define LAST_TIME (((deadline)1 << (WHEEL_BITS * WHEEL_LEVELS)) - 1)

void wheel_init(struct wheel *w, deadline now)
{
	w->now = now;
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		w->used[level] = 0;
		for (int slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
	}
	list_init(&w->due);
}

static void unset_all(struct list *head)
{
	while (!list_is_empty(head))
		list_remove(head->next);
}

void wheel_done(struct wheel *w)
{
	for (int level = 0; level < WHEEL_LEVELS; level++)
		for (int slot = 0; slot < WHEEL_SLOTS; slot++)
			unset_all(&w->slots[level][slot]);
	unset_all(&w->due);
}

/* Puts an unlinked timer where t->at > w->now belongs. */
static void wheel_insert(struct wheel *w, struct timer *t)
{
	uint64_t differs = (uint64_t)t->at ^ (uint64_t)w->now;
	int level = (63 - __builtin_clzll(differs)) / WHEEL_BITS;
	int slot = (int)(t->at >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);

	list_add(&w->slots[level][slot], &t->link);
	w->used[level] |= (uint64_t)1 << slot;
}

void wheel_set(struct wheel *w, struct timer *t, deadline at)
{
	wheel_clear(w, t);
	if (at == DEADLINE_NEVER)
		return;
	t->at = at > LAST_TIME ? LAST_TIME : at > w->now ? at : w->now + 1;
	wheel_insert(w, t);
}

void wheel_clear(struct wheel *w, struct timer *t)
{
	struct list *other = t->link.next;
	bool was_alone = other != &t->link && other == t->link.prev;

	list_remove(&t->link);
	if (!w || !was_alone || other < &w->slots[0][0] ||
	    other > &w->slots[WHEEL_LEVELS - 1][WHEEL_SLOTS - 1])
		return;
	ptrdiff_t i = other - &w->slots[0][0]; /* `other` was the head of the slot */
	w->used[i / WHEEL_SLOTS] &= ~((uint64_t)1 << (i % WHEEL_SLOTS));
}

/* The first slot in use, and when it is reached. */
static deadline first_slot(const struct wheel *w, int *ret_level, int *ret_slot)
{
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		if (!w->used[level])
			continue;
		int slot = __builtin_ctzll(w->used[level]);
		int above = (level + 1) * WHEEL_BITS;
		*ret_level = level;
		*ret_slot = slot;
		return (w->now >> above << above) | ((deadline)slot << (level * WHEEL_BITS));
	}
	return DEADLINE_NEVER;
}

deadline wheel_next(const struct wheel *w)
{
	int level = 0, slot = 0;

	return first_slot(w, &level, &slot);
}

/* Takes all timers out of a slot: the due ones to w->due, the others lower. */
static void empty_slot(struct wheel *w, int level, int slot)
{
	struct list *head = &w->slots[level][slot];

	w->used[level] &= ~((uint64_t)1 << slot);
	while (!list_is_empty(head)) {
		struct timer *t = CONTAINER(head->next, struct timer, link);

		list_remove(&t->link);
		if (t->at <= w->now)
			list_add(&w->due, &t->link);
		else
			wheel_insert(w, t);
	}
}

void wheel_advance(struct wheel *w, deadline now)
{
	for (;;) {
		int level = 0, slot = 0;
		deadline at = first_slot(w, &level, &slot);

		if (at > now)
			break;
		w->now = at;
		empty_slot(w, level, slot);
		while (!list_is_empty(&w->due)) {
			struct timer *t = CONTAINER(w->due.next, struct timer, link);

			list_remove(&t->link);
			t->fn(t);
		}
	}
	if (now > w->now)
		w->now = now;
}

void timer_init(struct timer *t, void (*fn)(struct timer *))
{
	list_init(&t->link);
	t->at = 0;
	t->fn = fn;
}

void timer_set(struct timer *t, deadline at)
{
	wheel_set(&loop_get()->wheel, t, at);
}

void timer_clear(struct timer *t)
{
	struct loop *l = loop_self();

	wheel_clear(l ? &l->wheel : NULL, t);
}
