/* SPDX-License-Identifier: Apache-2.0 */
/* Outages: the first failure is told, those behind it are not, and so is the end. */
#include "base/outage.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

static char path[] = "/tmp/gibbon-outage-XXXXXX";

/* Lines of the log that have the word. */
static int told(const char *word)
{
	FILE *f = fopen(path, "r");
	char line[1000];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, word) != NULL;
	fclose(f);
	return n;
}

static void fail_of(const char *what)
{
	outage_begins(str_of(what), FAIL(ERR_REFUSED, "refused"), "others wait");
	err_forget();
}

static void an_outage_is_told_once_and_so_is_its_end(void **state)
{
	(void)state;
	outage_ends(STR("one"));
	for (int i = 0; i < 5; i++)
		fail_of("one");
	assert_int_equal(told("one (told once until it is over; others wait): refused"), 1);
	for (int i = 0; i < 5; i++)
		outage_ends(STR("one"));
	assert_int_equal(told("one: works again"), 1);
}

static void one_that_comes_and_goes_is_not_told_each_time(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		fail_of("two");
		outage_ends(STR("two"));
	}
	assert_int_equal(told("two (told once"), 1);
	assert_int_equal(told("two: works again"), 1);
}

static void outages_of_several_are_told_apart(void **state)
{
	char name[300];

	(void)state;
	for (int i = 0; i < 200; i++) { /* more than are remembered, and longer names */
		snprintf(name, sizeof(name), "many-%d-%0*d", i, i % 2 ? 200 : 1, 0);
		fail_of(name);
	}
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "many-%d-", i);
		assert_int_equal(told(name), 1);
	}
}

static int begin(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_null(log_open(path));
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_outage_is_told_once_and_so_is_its_end),
		cmocka_unit_test(one_that_comes_and_goes_is_not_told_each_time),
		cmocka_unit_test(outages_of_several_are_told_apart),
	};

	return cmocka_run_group_tests_name("outage", tests, begin, end);
}
