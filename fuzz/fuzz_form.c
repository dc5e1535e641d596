/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a form says becomes a document that is written as JSON and read again
 * alike, no deeper than JSON may be.  The first byte chooses the encoding. */
#include "fuzz.h"

#include <stdlib.h>

#include "admin/form.h"
#include "base/json.h"
#include "base/limits.h"

static struct form_args read_form(struct arena *a, str text)
{
	struct form_args args = { 0 };

	if (text.n && (text.s[0] & 1)) {
		form_multipart(a, STR("multipart/form-data; boundary=X"), str_from(text, 1), &args);
		return args;
	}
	return form_urlencoded(a, str_from(text, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct form_args args = read_form(a, str_at((const char *)data, n));
	struct value *again, *doc = form_document(a, &args);
	str text = json_text(a, doc, JSON_COMPACT);
	struct err *e;

	if (args.n > FORM_MAX_ARGS)
		abort();
	for (size_t i = 0; i < n; i++) /* JSON has no other bytes; see fuzz_json for those */
		if (data[i] >= 0x80 || data[i] == '%' || data[i] == '\\' || data[i] < 0x20)
			return 0;
	e = json_parse(a, text, &again);
	if (e ? n < LIMIT_JSON_DEPTH : !value_eq(doc, again)) /* a part may be deep itself */
		abort();
	err_forget();
	return 0;
}
