/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: a ring under a mutex, and a gate on the receiving loop.
 *
 * A sender that finds somebody waiting posts one waking, which holds the
 * channel until it ran; so a channel may be dropped at any time by its owner. */
#include "fiber/priv.h"

#include "base/log.h"
#include <assert.h>
#include <stdlib.h>

struct chan {
	struct loop *to;
	struct gate gate;     /* loop's own */
	atomic_int holders;   /* the owner, and the waking under way */
	pthread_mutex_t lock; /* over what follows */
	size_t n, first, cap;
	int waiting;    /* fibers at the gate */
	bool is_waking; /* a post is under way */
	void *ring[];
};

struct chan *chan_new(struct loop *to, size_t cap)
{
	struct chan *c;

	assert(cap > 0 && cap < SIZE_MAX / sizeof(void *) / 2);
	c = calloc(1, sizeof(*c) + cap * sizeof(void *));
	if (!c)
		die("out of memory for a channel of %zu", cap);
	c->to = to;
	c->cap = cap;
	c->holders = 1;
	gate_init(&c->gate);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void chan_drop(struct chan **ref)
{
	struct chan *c = TAKE(*ref);

	if (!c || atomic_fetch_sub(&c->holders, 1) > 1)
		return;
	pthread_mutex_lock(&c->lock); /* the last sender has let go of it */
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void wake_posted(void *p)
{
	struct chan *c = p;
	size_t n;

	pthread_mutex_lock(&c->lock);
	c->is_waking = false;
	n = c->n;
	pthread_mutex_unlock(&c->lock);
	while (n-- > 0 && !list_is_empty(&c->gate.waiters))
		gate_wake_one(&c->gate);
	chan_drop(&c);
}

bool chan_try_send(struct chan *c, void *p)
{
	bool has_room;

	pthread_mutex_lock(&c->lock);
	has_room = c->n < c->cap;
	if (has_room)
		c->ring[(c->first + c->n++) % c->cap] = p;
	if (has_room && c->waiting && !c->is_waking) {
		atomic_fetch_add(&c->holders, 1);
		c->is_waking = loop_try_post(c->to, wake_posted, c);
		if (!c->is_waking)
			atomic_fetch_sub(&c->holders, 1);
	}
	pthread_mutex_unlock(&c->lock);
	return has_room;
}

enum wait chan_receive(struct chan *c, void **ret, deadline until)
{
	enum wait result = WAIT_OK;

	assert(loop_self() == c->to);
	if (fiber_is_cancelled())
		return WAIT_CANCELLED;
	for (;;) {
		bool found;

		pthread_mutex_lock(&c->lock);
		found = c->n > 0;
		if (found) {
			*ret = c->ring[c->first];
			c->first = (c->first + 1) % c->cap;
			c->n--;
		}
		c->waiting += !found && result == WAIT_OK;
		pthread_mutex_unlock(&c->lock);
		if (found || result != WAIT_OK)
			return found ? WAIT_OK : result;

		result = gate_wait(&c->gate, until);
		pthread_mutex_lock(&c->lock);
		c->waiting--;
		pthread_mutex_unlock(&c->lock);
	}
}
