/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of links to a listening socket on loopback. */
#include "upstream/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#include "fiber/testing.h"

/* Each test runs as a fiber beside a listening socket. */
struct scene {
	void (*fn)(struct scene *);
	struct loop *loop;
	struct links_options options;
	struct links *links;
	struct address address;
	int fd;
};

static void enter(void *p)
{
	struct scene *s = p;
	struct listen_options o = { .backlog = 16 };

	assert_true(address_parse_ip(STR("127.0.0.1"), 0, &s->address));
	assert_null(net_listen(&s->address, &o, &s->fd));
	s->address.size = sizeof(s->address.local);
	assert_int_equal(getsockname(s->fd, &s->address.any, &s->address.size), 0);
	s->links = links_new(&s->options);
	s->fn(s);
	links_drop(&s->links);
	close(s->fd);
	loop_stop(s->loop);
}

static void start(void *p)
{
	fiber_start("test", enter, p);
}

static void run(void (*fn)(struct scene *), struct links_options options)
{
	struct scene s = { .fn = fn, .options = options };

	assert_null(loop_new("test", 0, &s.loop));
	loop_post(s.loop, start, &s);
	loop_run(s.loop);
	loop_drop(&s.loop);
}

static struct link *open_one(struct scene *s)
{
	struct link_target t = { .address = &s->address };
	struct link *k = NULL;
	const char *why;

	assert_int_equal(link_open(s->links, &t, deadline_in(1000), &k, &why), LINK_OK);
	return k;
}

static int accept_one(struct scene *s)
{
	int fd;

	do
		fd = accept(s->fd, NULL, NULL);
	while (fd < 0 && fiber_sleep(deadline_in(1)) == WAIT_TIMEOUT);
	return fd;
}

static void reuses(struct scene *s)
{
	struct link *a = open_one(s), *b;
	int fd = accept_one(s);

	assert_false(a->is_reused);
	link_keep(&a);
	b = open_one(s);
	assert_true(b->is_reused);
	link_close(&b);
	close(fd);
}

static void a_kept_link_is_used_again(void **state)
{
	(void)state;
	run(reuses, (struct links_options){ .pool_size = 2 });
}

static void drops_closed(struct scene *s)
{
	struct link *a = open_one(s);

	link_keep(&a);
	close(accept_one(s));
	fiber_sleep(deadline_in(20));
	a = open_one(s);
	assert_false(a->is_reused);
	link_close(&a);
}

static void a_link_that_the_other_side_closed_is_not(void **state)
{
	(void)state;
	run(drops_closed, (struct links_options){ .pool_size = 2 });
}

/* The loop has seen the end in this turn and has not told of it yet. */
static void drops_just_closed(struct scene *s)
{
	struct link *a = open_one(s), *kept = a;
	int fd = accept_one(s);

	link_keep(&a);
	close(fd);
	kept->sock.io.ready |= IO_READ;
	a = open_one(s);
	assert_false(a->is_reused);
	link_close(&a);
}

static void the_last_link_of_a_pool_may_prove_stale_when_it_is_taken(void **state)
{
	(void)state;
	run(drops_just_closed, (struct links_options){ .pool_size = 2 });
}

static void drops_talking(struct scene *s)
{
	struct link *a = open_one(s);
	int fd = accept_one(s);

	link_keep(&a);
	assert_int_equal(write(fd, "x", 1), 1);
	fiber_sleep(deadline_in(20));
	a = open_one(s);
	assert_false(a->is_reused);
	link_close(&a);
	close(fd);
}

static void a_link_with_unasked_bytes_is_not(void **state)
{
	(void)state;
	run(drops_talking, (struct links_options){ .pool_size = 2 });
}

static void keeps_few(struct scene *s)
{
	struct link *k[3];
	int reused = 0;

	for (int i = 0; i < 3; i++)
		k[i] = open_one(s);
	for (int i = 0; i < 3; i++)
		link_keep(&k[i]);
	for (int i = 0; i < 3; i++) {
		k[i] = open_one(s);
		reused += k[i]->is_reused;
	}
	assert_int_equal(reused, 2);
	for (int i = 0; i < 3; i++)
		link_close(&k[i]);
}

static void a_pool_keeps_no_more_than_its_size(void **state)
{
	(void)state;
	run(keeps_few, (struct links_options){ .pool_size = 2 });
}

static void counts_requests(struct scene *s)
{
	struct link *a = open_one(s);

	a->requests = 2;
	link_keep(&a);
	assert_null(a);
	a = open_one(s);
	assert_false(a->is_reused);
	link_close(&a);
}

static void a_link_ends_after_its_requests(void **state)
{
	(void)state;
	run(counts_requests, (struct links_options){ .pool_size = 2, .max_requests = 2 });
}

static void ages(struct scene *s)
{
	struct link *a = open_one(s);

	link_keep(&a);
	fiber_sleep(deadline_in(1300));
	a = open_one(s);
	assert_false(a->is_reused);
	link_close(&a);
}

static void a_link_ends_after_its_idle_time(void **state)
{
	(void)state;
	run(ages, (struct links_options){ .pool_size = 2, .idle_ms = 100 });
}

static void other_identity(struct scene *s)
{
	struct link_target t = { .address = &s->address };
	struct link *a = open_one(s), *b = NULL;
	struct address other = s->address;
	const char *why;

	link_keep(&a);
	other.v4.sin_addr.s_addr = htonl(0x7f000002);
	t.address = &other;
	assert_int_not_equal(link_open(s->links, &t, deadline_in(1000), &b, &why), LINK_OK);
	assert_null(b);
}

static void another_address_has_another_pool(void **state)
{
	(void)state;
	run(other_identity, (struct links_options){ .pool_size = 2 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kept_link_is_used_again),
		cmocka_unit_test(a_link_that_the_other_side_closed_is_not),
		cmocka_unit_test(the_last_link_of_a_pool_may_prove_stale_when_it_is_taken),
		cmocka_unit_test(a_link_with_unasked_bytes_is_not),
		cmocka_unit_test(a_pool_keeps_no_more_than_its_size),
		cmocka_unit_test(a_link_ends_after_its_requests),
		cmocka_unit_test(a_link_ends_after_its_idle_time),
		cmocka_unit_test(another_address_has_another_pool),
	};

	choose_loops();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
