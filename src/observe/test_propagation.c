/* SPDX-License-Identifier: Apache-2.0 */
/* Traces in headers: five forms, read strictly, and written so that they are read the same. */
#include "observe/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <stdio.h>

#define T32 "80f198ee56343ba864fe8b2a57d3eff7"
#define T16 "64fe8b2a57d3eff7"
#define S   "e457b5a2e4d86bd1"
#define P   "05e3ac9a4f6e3b90"

static struct arena *a;

/* "name: value\n..." */
static struct http_headers headers(const char *text)
{
	struct http_headers h = { 0 };
	str rest = str_of(text), line;

	while (str_next(&rest, '\n', &line) && line.n) {
		ptrdiff_t colon = str_find(line, ':', 0);

		http_add(a, &h, str_part(line, 0, (size_t)colon),
			 str_trim(str_from(line, (size_t)colon + 1)));
	}
	return h;
}

static str hex(const uint8_t *id, unsigned n)
{
	str out = STR("");

	for (unsigned i = 0; i < n; i++)
		out = str_fmt(a, STRF "%02x", STRV(out), id[i]);
	return out;
}

/* "form trace span parent sampled", with - for what is not there. */
static const char *shown(const struct trace_context *c)
{
	static const char *const sampled[] = { "?", "0", "1" };
	str trace = c->trace_id_n ? hex(c->trace_id, c->trace_id_n) : STR("-");
	str span = c->has_span ? hex(c->span_id, SPAN_ID) : STR("-");
	str parent = c->has_parent ? hex(c->parent_id, SPAN_ID) : STR("-");

	return str_z(a, str_fmt(a, "%s " STRF " " STRF " " STRF " %s", trace_form_name(c->form),
				STRV(trace), STRV(span), STRV(parent), sampled[c->sampled]));
}

static void each_form_is_read_strictly(void **state)
{
	/* clang-format off */
	static const struct { const char *headers, *want; } rows[] = {
		{ "", "none - - - ?" },

		{ "x-b3-traceid: " T32 "\nx-b3-spanid: " S "\nx-b3-parentspanid: " P "\nx-b3-sampled: 1\n", "b3 " T32 " " S " " P " 1" },
		{ "X-B3-TraceId: " T16 "\nX-B3-SpanId: " S "\n", "b3 " T16 " " S " - ?" },
		{ "x-b3-sampled: true\n",  "b3 - - - 1" },
		{ "x-b3-sampled: false\n", "b3 - - - 0" },
		{ "x-b3-sampled: maybe\n", "b3 - - - ?" },
		{ "x-b3-sampled: 0\nx-b3-flags: 1\n", "b3 - - - 1" },
		{ "x-b3-spanid: " S "\n", "b3 - - - ?" },
		{ "x-b3-traceid: " T16 "0\nx-b3-spanid: " S "\nx-b3-sampled: 1\n", "b3 - - - 1" },
		{ "x-b3-traceid: " T16 "\nx-b3-spanid: x457b5a2e4d86bd1\n", "b3 - - - ?" },
		{ "x-b3-traceid: " T16 "\nx-b3-traceid: " T32 "\nx-b3-spanid: " S "\n", "b3 - - - ?" },

		{ "b3: " T32 "-" S "-1-" P "\n", "b3-single " T32 " " S " " P " 1" },
		{ "b3: " T16 "-" S "\n",         "b3-single " T16 " " S " - ?" },
		{ "b3: " T16 "-" S "-d\n",       "b3-single " T16 " " S " - 1" },
		{ "b3: " T16 "-" S "-0\n",       "b3-single " T16 " " S " - 0" },
		{ "b3: 0\n", "b3-single - - - 0" },
		{ "b3: d\n", "b3-single - - - 1" },
		{ "b3: nonsense\n", "b3-single - - - ?" },
		{ "b3: " T16 "-" S "-1-05e3\n", "b3-single - - - ?" },
		{ "b3: " T16 "-" S "-1-" P "00\n", "b3-single - - - ?" },
		{ "b3: " T16 "-" S "-1-" P "-\n", "b3-single - - - ?" },
		{ "b3: " T16 "-" S "\nb3: " T16 "-" S "\n", "b3-single - - - ?" },
		{ "b3: " T16 "-" S "\nx-b3-traceid: " T32 "\nx-b3-parentspanid: " P "\nx-b3-sampled: 0\n", "b3-single " T16 " " S " " P " 0" },
		{ "b3: " T16 "-" S "\nx-b3-spanid: wrong\n", "b3-single - - - ?" },
		{ "tracestate: b3=" T16 "-" S "-1\n", "b3-single " T16 " " S " - 1" },
		{ "tracestate: x=b3=" T16 "\n", "none - - - ?" },

		{ "traceparent: 00-" T32 "-" S "-01\n", "w3c " T32 " - " S " 1" },
		{ "traceparent: 00-" T32 "-" S "-00\n", "w3c " T32 " - " S " 0" },
		{ "traceparent: 00-" T32 "-" S "-ff\n", "w3c " T32 " - " S " 1" },
		{ "traceparent: 01-" T32 "-" S "-01\n", "w3c - - - ?" },
		{ "traceparent: 00-" T32 "-" S "-1\n",  "w3c - - - ?" },
		{ "traceparent: 00-" T32 "-" S "-01-x\n", "w3c - - - ?" },
		{ "traceparent: 00-00000000000000000000000000000000-" S "-01\n", "w3c - - - ?" },
		{ "traceparent: 00-" T32 "-0000000000000000-01\n", "w3c - - - ?" },
		{ "traceparent: 00_" T32 "-" S "-01\n", "w3c - - - ?" },
		{ "traceparent: \n", "w3c - - - ?" },
		{ "traceparent: 00-" T32 "-" S "-01\ntraceparent: 00-" T32 "-" S "-01\n", "w3c - - - ?" },

		{ "uber-trace-id: " T32 ":" S ":" P ":1\n", "jaeger " T32 " " S " " P " 1" },
		{ "uber-trace-id: " T32 ":" S ":0:00\n",    "jaeger " T32 " " S " - 0" },
		{ "uber-trace-id: abc:def:0:3\n", "jaeger 00000000000000000000000000000abc 0000000000000def - 1" },
		{ "uber-trace-id: " T32 ":" S ":" P "0:1\n", "jaeger " T32 " " S " - 1" },
		{ "uber-trace-id: " T32 "0:" S ":0:1\n",   "jaeger - - - ?" },
		{ "uber-trace-id: 0:" S ":0:1\n",          "jaeger - - - ?" },
		{ "uber-trace-id: " T32 ":0:0:1\n",        "jaeger - - - ?" },
		{ "uber-trace-id: " T32 ":" S ":0:001\n",  "jaeger - - - ?" },
		{ "uber-trace-id: " T32 ":" S ":0:1:2\n",  "jaeger - - - ?" },
		{ "uber-trace-id: " T32 ":" S "\n",        "jaeger - - - ?" },

		{ "ot-tracer-traceid: " T16 "\not-tracer-spanid: " S "\not-tracer-sampled: 1\n", "ot " T16 " - " S " 1" },
		{ "ot-tracer-traceid: " T32 "\not-tracer-sampled: false\n", "ot " T32 " - - 0" },
		{ "ot-tracer-traceid: " T32 "\not-tracer-spanid: " S "0\n", "ot - - - ?" },

		{ "traceparent: 00-" T32 "-" S "-01\nx-b3-sampled: 0\n", "b3 - - - 0" },
		{ "traceparent: 00-" T32 "-" S "-01\nuber-trace-id: 1:1:1:1\n", "w3c " T32 " - " S " 1" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_headers h = headers(rows[i].headers);
		struct trace_context c;

		trace_context_read(a, &h, &c);
		if (strcmp(shown(&c), rows[i].want) != 0)
			fail_msg("%s: %s, not %s", rows[i].headers, shown(&c), rows[i].want);
	}
}

static void baggage_of_both_kinds_goes_on_in_both(void **state)
{
	struct http_headers h =
		headers("uber-trace-id: abc:def:0:1\nuberctx-User: j%20o\n"
			"ot-baggage-user: other\not-baggage-x: 1\nuberctx-: none\n");
	struct trace_header out[TRACE_HEADERS_MAX];
	struct trace_context c;
	str all = STR("");
	unsigned n;

	(void)state;
	trace_context_read(a, &h, &c);
	assert_int_equal(c.n_baggage, 2);
	n = trace_context_write(a, &c, TRACE_OT, STR(""), out);
	for (unsigned i = 0; i < n; i++)
		all = str_fmt(a, STRF STRF "=" STRF ";", STRV(all), STRV(out[i].name),
			      STRV(out[i].value));
	assert_string_equal(str_z(a, all), "ot-tracer-traceid=00000000000000000000000000000abc;"
					   "ot-tracer-spanid=0000000000000def;ot-tracer-sampled=1;"
					   "ot-baggage-user=j%20o;ot-baggage-x=1;"
					   "uberctx-user=j%20o;uberctx-x=1;");
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	for (int form = TRACE_B3; form <= TRACE_OT; form++) {
		for (int k = 0; k < 8; k++) {
			struct trace_context c = { .trace_id_n = k & 1 ? 16 : 8,
						   .has_span = true,
						   .has_parent = k & 2,
						   .sampled = k & 4 ? SAMPLED_YES : SAMPLED_NO };
			struct trace_header out[TRACE_HEADERS_MAX];
			struct trace_context again;
			struct http_headers h = { 0 };
			unsigned n;

			trace_random(c.trace_id, sizeof(c.trace_id));
			trace_random(c.span_id, sizeof(c.span_id));
			trace_random(c.parent_id, sizeof(c.parent_id));
			n = trace_context_write(a, &c, (enum trace_form)form, STR(""), out);
			for (unsigned i = 0; i < n; i++)
				http_add(a, &h, out[i].name, out[i].value);
			trace_context_read(a, &h, &again);
			assert_null(again.complaint);
			assert_int_equal(again.form, form);
			assert_int_equal(again.sampled, c.sampled);
			assert_true(again.trace_id_n >= c.trace_id_n);
			assert_memory_equal(again.trace_id + again.trace_id_n - c.trace_id_n,
					    c.trace_id, c.trace_id_n);
			if (again.has_span)
				assert_memory_equal(again.span_id, c.span_id, SPAN_ID);
			else
				assert_memory_equal(again.parent_id, c.span_id, SPAN_ID);
		}
	}
}

static void flags_stand_for_the_decision_when_they_came(void **state)
{
	struct trace_context c = { .trace_id_n = 8, .has_span = true, .sampled = SAMPLED_YES };
	struct trace_header out[TRACE_HEADERS_MAX];
	unsigned n = trace_context_write(a, &c, TRACE_B3, STR("1"), out);

	(void)state;
	assert_int_equal(n, 3);
	assert_true(str_is(out[2].name, "x-b3-flags") && str_is(out[2].value, "1"));
}

static void the_share_that_is_kept_is_the_rate(void **state)
{
	int kept = 0;

	(void)state;
	for (int i = 0; i < 20000; i++)
		kept += trace_chance(0.25);
	assert_in_range(kept, 4500, 5500); /* 8 standard deviations */
	for (int i = 0; i < 100; i++) {
		assert_true(trace_chance(1));
		assert_false(trace_chance(0));
	}
}

static void children_follow_the_root_and_end_once(void **state)
{
	struct trace *t = trace_new(a);
	struct span *root = t->root = span_begin(t, STR("root"), SPAN_SERVER, t->wall_us);
	struct span *child = span_begin(t, STR("child"), SPAN_INTERNAL, trace_now(t));

	(void)state;
	assert_false(root->has_parent);
	assert_memory_equal(child->parent_id, root->id, SPAN_ID);
	assert_ptr_equal(t->spans, root);
	assert_ptr_equal(root->next, child);
	span_end(child, child->began_us - 5);
	assert_true(child->ended_us == child->began_us);
	span_end(child, child->began_us + 5);
	assert_true(child->ended_us == child->began_us);
}

static int begin(void **state)
{
	(void)state;
	a = arena_new();
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_drop(&a);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_form_is_read_strictly),
		cmocka_unit_test(baggage_of_both_kinds_goes_on_in_both),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(flags_stand_for_the_decision_when_they_came),
		cmocka_unit_test(the_share_that_is_kept_is_the_rate),
		cmocka_unit_test(children_follow_the_root_and_end_once),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
