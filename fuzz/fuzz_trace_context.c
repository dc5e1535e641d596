/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of traces, a line each: what is read can be written in every form, and is then
 * read again as the same trace. */
#include "fuzz.h"

#include <stdlib.h>

#include "observe/propagation.h"

static void write_and_read(struct arena *a, const struct trace_context *c, enum trace_form form)
{
	struct trace_header out[TRACE_HEADERS_MAX];
	struct http_headers h = { 0 };
	struct trace_context again;
	unsigned n = trace_context_write(a, c, form, STR(""), out);

	if (n > TRACE_HEADERS_MAX)
		abort();
	for (unsigned i = 0; i < n; i++)
		http_add(a, &h, out[i].name, out[i].value);
	trace_context_read(a, &h, &again);
	if (again.form != form)
		abort();
	/* Zeros alone are no trace in some of them. */
	if (!again.complaint && (again.trace_id_n < c->trace_id_n ||
				 memcmp(again.trace_id + again.trace_id_n - c->trace_id_n,
					c->trace_id, c->trace_id_n) != 0 ||
				 again.n_baggage != c->n_baggage))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	str rest = str_at((const char *)data, n), line;
	struct http_headers h = { 0 };
	struct trace_context c;

	while (h.n < 200 && str_next(&rest, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':', 0);

		if (colon > 0)
			http_add(a, &h, str_part(line, 0, (size_t)colon),
				 str_from(line, (size_t)colon + 1));
	}
	trace_context_read(a, &h, &c);
	if (c.complaint && c.trace_id_n)
		abort();
	for (int form = TRACE_B3; c.trace_id_n && form <= TRACE_OT; form++)
		write_and_read(a, &c, (enum trace_form)form);
	return 0;
}
