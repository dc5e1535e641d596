/* SPDX-License-Identifier: Apache-2.0 */
/* The switch from one stack to another: Boost.Context's C entry points, and
 * what must be exchanged or announced with it.  The only file that knows them.
 *
 * A fiber that is recycled has not ended for the sanitizers: it keeps its fake
 * stack and its TSan fiber until its stack is unmapped. */
#include "fiber/priv.h"

#if defined(__SANITIZE_ADDRESS__)
#define SWITCH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SWITCH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SWITCH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SWITCH_TSAN 1
#endif
#endif

#ifdef SWITCH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SWITCH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

struct transfer {
	void *at;   /* where the one who jumped here is to be continued */
	void *data; /* what it passed */
};

/* boost/context/detail/fcontext.hpp, in C. */
struct transfer jump_fcontext(void *to, void *data);
void *make_fcontext(void *top, size_t size, void (*fn)(struct transfer));

void context_of_thread(struct context *c)
{
	*c = (struct context){ 0 };
#ifdef SWITCH_TSAN
	c->tsan = __tsan_get_current_fiber();
#endif
}

/* The first thing on a fresh stack.  ASan tells whose stack we came from, which
 * is how the bounds of a thread's own stack are learnt. */
static void first_entry(struct transfer t)
{
	struct context *from = t.data;

	from->at = t.at;
#ifdef SWITCH_ASAN
	__sanitizer_finish_switch_fiber(NULL, &from->bottom, &from->size);
#endif
	fiber_main();
}

void context_init(struct context *c, void *bottom, void *top)
{
	size_t size = (size_t)((char *)top - (char *)bottom);

	*c = (struct context){ .bottom = bottom, .size = size };
	c->at = make_fcontext(top, size, first_entry);
#ifdef SWITCH_TSAN
	c->tsan = __tsan_create_fiber(0);
#endif
}

void context_done(struct context *c)
{
#ifdef SWITCH_ASAN
	ASAN_UNPOISON_MEMORY_REGION(c->bottom, c->size);
#endif
#ifdef SWITCH_TSAN
	__tsan_destroy_fiber(c->tsan);
#endif
	c->at = NULL;
}

void context_switch(struct context *from, struct context *to)
{
	struct transfer t;

	from->errs = err_swap_home(to->errs);
#ifdef SWITCH_ASAN
	__sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
#endif
#ifdef SWITCH_TSAN
	__tsan_switch_to_fiber(to->tsan, 0);
#endif
	t = jump_fcontext(to->at, from);
#ifdef SWITCH_ASAN
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
	((struct context *)t.data)->at = t.at;
}
