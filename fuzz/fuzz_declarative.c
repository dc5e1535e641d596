/* SPDX-License-Identifier: Apache-2.0 */
/* Any text may be a configuration: it loads or is refused with a tree of errors.  What
 * loads is written as YAML, loads again from that, and is the same then; but for the paths
 * of older formats, whose decoded bytes YAML cannot say. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/json.h"
#include "store/declarative.h"

static bool load(struct arena *a, str text, struct declarative_config **ret)
{
	const struct declarative_options o = { .now_ms = 1700000000000, .flatten_errors = true };
	struct db_error e = { 0 };

	if (declarative_parse(a, text, &o, ret, &e))
		return true;
	if (e.code != DB_DECLARATIVE_CONFIG || !e.fields || !e.fields->n || !e.message.n)
		abort();
	json_text(a, db_error_body(a, &e), JSON_SORTED);
	return false;
}

static bool is_old(str text)
{
	return str_find_str(text, STR("1.1")) >= 0 || str_find_str(text, STR("2.1")) >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static bool is_started;
	str text = str_at((const char *)data, n);
	CLEANUP(arena_drop) struct arena *a = arena_new();
	CLEANUP(declarative_drop) struct declarative_config *once = NULL, *twice = NULL;

	if (!is_started)
		entities_start(NULL);
	is_started = true;
	if (load(a, text, &once) && !is_old(text)) {
		if (!load(a, declarative_yaml(a, once), &twice) ||
		    !value_eq(declarative_entities(a, once), declarative_entities(a, twice)))
			abort();
	}
	err_forget();
	return 0;
}
