/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks: address space with a guard below, touched lazily.
 *
 * Running over the end is a SIGSEGV on the guard, never a scribble.  Where the
 * kernel has lightweight guards (6.13), one costs no mapping of its own, so
 * that the number of fibers is not bounded by vm.max_map_count. */
#include "fiber/priv.h"

#include "base/log.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define PAGES_MAX (STACK_SIZE / 4096) /* whatever the page's size */

static size_t page_size(void)
{
	static _Atomic size_t size;

	if (!size)
		size = (size_t)sysconf(_SC_PAGESIZE);
	return size;
}

size_t stack_usable(void)
{
	return STACK_SIZE - page_size();
}

void *stack_map(void)
{
	char *p = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (p == MAP_FAILED)
		die("cannot map a fiber's stack: %s (see vm.max_map_count, ulimit -v)",
		    strerror(errno));
	if (madvise(p, page_size(), MADV_GUARD_INSTALL) < 0 &&
	    mprotect(p, page_size(), PROT_NONE) < 0)
		die("cannot guard a fiber's stack: %s (see vm.max_map_count)", strerror(errno));
#ifdef VALGRIND_STACK_REGISTER
	VALGRIND_STACK_REGISTER(p + page_size(), p + STACK_SIZE);
#endif
	return p + page_size();
}

void stack_unmap(void *bottom)
{
	if (munmap((char *)bottom - page_size(), STACK_SIZE) < 0)
		die("cannot unmap a fiber's stack: %s", strerror(errno));
}

size_t stack_depth(const void *bottom)
{
	unsigned char is_touched[PAGES_MAX];
	size_t n = stack_usable() / page_size();
	uintptr_t at = (uintptr_t)bottom;

	if (n > PAGES_MAX || mincore((void *)at, stack_usable(), is_touched) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (is_touched[i] & 1)
			return (n - i) * page_size();
	return 0;
}
