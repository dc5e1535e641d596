/* SPDX-License-Identifier: Apache-2.0 */
/* What a probe says and what it makes of the answer. */
#include "control/probe.h"

#include "base/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

static void a_status_is_read_from_a_status_line_alone(void **state)
{
	static const struct {
		const char *line;
		int status;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r", 200 },
		{ "HTTP/1.0 503", 503 },
		{ "HTTP/1.1\t 204 No Content\r", 204 },
		{ "HTTP/10.21 404 x", 404 },
		{ "HTTP/1.1 2000 OK", 0 },
		{ "HTTP/1.1 OK", 0 },
		{ "HTTP/1.1200", 0 },
		{ "HTTP/1. 200", 0 },
		{ "HTTP/.1 200", 0 },
		{ "HTTP/2 200", 0 },
		{ "HTTP/", 0 },
		{ "HTTP/1", 0 },
		{ "HTTP/1.", 0 },
		{ "HTTP/1.1", 0 },
		{ "HTTP/1.1 ", 0 },
		{ "http/1.1 200", 0 },
		{ "220 smtp.test", 0 },
		{ "", 0 },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(rows); i++)
		if (probe_status(str_of(rows[i].line)) != rows[i].status)
			fail_msg("\"%s\"", rows[i].line);
}

static const struct value *object(struct arena *a, const char *text)
{
	struct value *v = NULL;

	assert_null(json_parse(a, str_of(text), &v));
	return v;
}

static void headers_stand_in_the_request_as_they_are(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct value *headers = object(a, "{\"X-A\": [\"1\", \"2\"], \"X-B\": []}");

	(void)state;
	assert_true(str_is(probe_request(a, STR("/ping"), headers, STR("a.test:81")),
			   "GET /ping HTTP/1.0\r\nConnection: close\r\nX-A: 1\r\nX-A: 2\r\n"
			   "Host: a.test:81\r\n\r\n"));
	assert_true(str_is(probe_request(a, STR("/"), NULL, STR("a.test")),
			   "GET / HTTP/1.0\r\nConnection: close\r\nHost: a.test\r\n\r\n"));
}

static void a_header_cannot_end_its_line(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct value *headers =
		object(a, "{\"X-A\": [\"1\\r\\nX-C: 2\", \"3\"], \"X-B\": [\"\\n\"]}");

	(void)state;
	assert_true(str_is(probe_request(a, STR("/"), headers, STR("a.test")),
			   "GET / HTTP/1.0\r\nConnection: close\r\nX-A: 3\r\n"
			   "Host: a.test\r\n\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_status_is_read_from_a_status_line_alone),
		cmocka_unit_test(headers_stand_in_the_request_as_they_are),
		cmocka_unit_test(a_header_cannot_end_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
