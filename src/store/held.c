/* SPDX-License-Identifier: Apache-2.0 */
#include "store/held.h"

#include "base/mem.h"

struct held_config *held_config_new(void)
{
	struct held_config *h = MEM_NEW(struct held_config);

	h->holders = 1;
	h->arena = arena_new();
	memset(h->config.hash, '0', sizeof(h->config.hash) - 1);
	return h;
}

struct held_config *held_config_hold(struct held_config *h)
{
	atomic_fetch_add_explicit(&h->holders, 1, memory_order_relaxed);
	return h;
}

void held_config_drop(struct held_config **ref)
{
	struct held_config *h = *ref;

	*ref = NULL;
	if (!h || atomic_fetch_sub_explicit(&h->holders, 1, memory_order_acq_rel) != 1)
		return;
	arena_drop(&h->arena);
	mem_free(h);
}
