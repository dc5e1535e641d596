/* SPDX-License-Identifier: Apache-2.0 */
/* One global count, one slot per thread: 0 outside of a section, else the count
 * as it was at its start.
 *
 * Why it is safe: all accesses to count and slots are sequentially consistent.
 * When a writer finds a slot 0 or not below its mark, that thread's section
 * either has not begun, so that it will load the new pointer, or began after
 * the mark was taken, which was after the pointer was replaced. */
#include "base/epoch.h"

#include "base/compiler.h"
#include "base/log.h"
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#define THREADS 512 /* that read at one time */

struct slot {
	alignas(64) _Atomic uint64_t since;
	atomic_bool is_taken;
};

static struct slot slots[THREADS];
static atomic_uint used; /* no slot from here on was ever taken */
static _Atomic uint64_t count = 1;
static _Thread_local struct slot *mine;
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void give_back(void *p)
{
	struct slot *slot = p;

	atomic_store(&slot->is_taken, false);
}

static void make_key(void)
{
	if (pthread_key_create(&at_exit, give_back) != 0)
		die("no thread key left");
}

static struct slot *take_slot(void)
{
	pthread_once(&once, make_key);
	for (unsigned i = 0; i < THREADS; i++) {
		bool no = false;
		unsigned seen = atomic_load(&used);

		if (!atomic_compare_exchange_strong(&slots[i].is_taken, &no, true))
			continue;
		while (seen <= i && !atomic_compare_exchange_weak(&used, &seen, i + 1))
			;
		pthread_setspecific(at_exit, &slots[i]);
		return &slots[i];
	}
	die("more than %d threads read shared tables", THREADS);
}

void epoch_enter(void)
{
	if (unlikely(!mine))
		mine = take_slot();
	atomic_exchange(&mine->since, atomic_load(&count));
}

void epoch_leave(void)
{
	atomic_store_explicit(&mine->since, 0, memory_order_release);
}

uint64_t epoch_mark(void)
{
	return atomic_fetch_add(&count, 1) + 1;
}

bool epoch_is_over(uint64_t mark)
{
	unsigned n = atomic_load(&used);

	for (unsigned i = 0; i < n; i++) {
		uint64_t since = atomic_load(&slots[i].since);

		if (since != 0 && since < mark)
			return false;
	}
	return true;
}
