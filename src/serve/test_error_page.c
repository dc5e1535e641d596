/* SPDX-License-Identifier: Apache-2.0 */
/* Error pages: the texts and shapes that Kong's clients know. */
#include "base/json.h"
#include "serve/error_page.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void assert_str(str got, const char *want)
{
	if (!str_is(got, want))
		fail_msg("got \"" STRF "\", wanted \"%s\"", STRV(got), want);
}

/* The page for a request with that header (none: NULL). */
static str page(struct arena *a, int status, const char *name, const char *value,
		enum error_type def, str *ret_type)
{
	struct http_header h = { .name = str_of(name), .value = str_of(value) };
	struct http_request r = { .headers = { .v = &h, .n = name ? 1 : 0 } };

	if (name)
		h.id = str_is(h.name, "Accept") ? HTTP_ACCEPT : HTTP_CONTENT_TYPE;
	return error_page(a, status, &r, def, ret_type);
}

static void every_type_has_its_shape(void **state)
{
	/* clang-format off */
	static const struct { enum error_type type; const char *body, *mime; } cases[] = {
		{ ERROR_PLAIN, "Not found\n", "text/plain; charset=utf-8" },
		{ ERROR_JSON, "{\n  \"message\":\"Not found\"\n}", "application/json; charset=utf-8" },
		{ ERROR_XML, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n"
		  "  <message>Not found</message>\n</error>\n", "application/xml; charset=utf-8" },
	};
	/* clang-format on */
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str type, body;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_str(error_page(a, 404, NULL, cases[i].type, &type), cases[i].body);
		assert_str(type, cases[i].mime);
	}
	body = error_page(a, 502, NULL, ERROR_HTML, &type);
	assert_str(type, "text/html; charset=utf-8");
	assert_true(str_find_str(body, STR("<title>Kong Error</title>")) > 0);
	assert_true(str_find_str(body, STR("<h1>Kong Error</h1>")) > 0);
	assert_true(str_find_str(body, STR("<p>An invalid response was received from the upstream "
					   "server.</p>")) > 0);
}

static void the_type_is_negotiated_as_a_whole(void **state)
{
	/* clang-format off */
	static const struct { const char *name, *value, *mime; } cases[] = {
		{ NULL, NULL, "text/plain; charset=utf-8" },
		{ "Accept", "text/html", "text/html; charset=utf-8" },
		{ "Accept", "text/html;q=0.1", "text/html; charset=utf-8" },
		{ "Accept", " TEXT/html ; q=1", "text/html; charset=utf-8" },
		{ "Accept", "text/html, application/json;q=0.9", "application/json; charset=utf-8" },
		{ "Accept", "*/*", "application/json; charset=utf-8" },
		{ "Accept", "application/*", "application/json; charset=utf-8" },
		{ "Accept", "text/*", "text/plain; charset=utf-8" },
		{ "Accept", "image/png", "application/json; charset=utf-8" },
		{ "Accept", "", "application/json; charset=utf-8" },
		{ "Content-Type", "application/xml", "application/xml; charset=utf-8" },
		{ "Content-Type", "application/grpc+proto", "application/json; charset=utf-8" },
	};
	/* clang-format on */
	struct arena *a CLEANUP(arena_drop) = arena_new();
	str type;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		page(a, 400, cases[i].name, cases[i].value, ERROR_PLAIN, &type);
		assert_str(type, cases[i].mime);
	}
	assert_str(page(a, 503, "Content-Type", "application/grpc", ERROR_PLAIN, &type),
		   "{\"message\":\"The upstream server is currently unavailable\"}");
}

static void codes_without_words_say_their_number(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)state;
	assert_str(error_text(a, 494), "Request header or cookie too large");
	assert_str(error_text(a, 418), "The upstream server responded with 418");
	assert_str(error_text_of_plugin(a, 418), "I'm a teapot");
	assert_str(error_text_of_plugin(a, 494), "Request header or cookie too large");
	assert_str(error_text_of_plugin(a, 499), "The upstream server responded with 499");
}

static void messages_are_escaped_in_json(void **state)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	(void)state;
	assert_str(error_json(a, STR("no Route matched with those values")),
		   "{\"message\":\"no Route matched with those values\"}");
	assert_str(error_json(a, STR("a \"b\" \\c")), "{\"message\":\"a \\\"b\\\" \\\\c\"}");
}

static void default_types_are_four_words(void **state)
{
	enum error_type type;

	(void)state;
	assert_true(error_type_of(STR("text/html"), &type));
	assert_int_equal(type, ERROR_HTML);
	assert_false(error_type_of(STR("text/*"), &type));
	assert_false(error_type_of(STR(""), &type));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_its_shape),
		cmocka_unit_test(the_type_is_negotiated_as_a_whole),
		cmocka_unit_test(codes_without_words_say_their_number),
		cmocka_unit_test(messages_are_escaped_in_json),
		cmocka_unit_test(default_types_are_four_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
