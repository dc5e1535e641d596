/* SPDX-License-Identifier: Apache-2.0 */
/* The sample kong.conf and the reference page, from the rows. */
#include "base/buf.h"
#include "settings/priv.h"

#define SAMPLE_WIDTH 78
#define RULE         "#-----------------------------------------------------------------------------\n"

/* ---- words about a row -------------------------------------------------------------------- */

static const char *kind_words(const struct field *row)
{
	str unit = str_of(row->unit);

	if (row->one_of)
		return "one of";
	if (str_is(unit, "size"))
		return "size: 512, 8k, 10m, 1g";
	if (str_is(unit, "time"))
		return "time: 500ms, 60s, 1d";
	switch (row->kind) {
	case FIELD_ARRAY:
		return "list";
	case FIELD_BOOLEAN:
		return "on or off";
	case FIELD_INTEGER:
		return str_is(unit, "ms")   ? "milliseconds"
		       : str_is(unit, "s")  ? "seconds"
		       : str_is(unit, "us") ? "microseconds"
					    : "integer";
	case FIELD_NUMBER:
		return str_is(unit, "s") ? "seconds" : "number";
	default:
		return "text";
	}
}

/* ---- kong.conf ------------------------------------------------------------------------------- */

/* Words of text in lines of comment, each behind `indent`. */
static void wrap(struct buf *out, const char *indent, str text)
{
	size_t column = 0;
	str word;

	while (str_next(&text, ' ', &word)) {
		if (column && column + 1 + word.n > SAMPLE_WIDTH) {
			buf_add_char(out, '\n');
			column = 0;
		}
		if (column == 0) {
			buf_addf(out, "%s" STRF, indent, STRV(word));
			column = strlen(indent) + word.n;
		} else {
			buf_addf(out, " " STRF, STRV(word));
			column += 1 + word.n;
		}
	}
	buf_add_char(out, '\n');
}

static void sample_row(struct arena *a, struct buf *out, const struct field *row)
{
	str def = row_default(a, row);

	buf_addf(out, "#%s =%s" STRF "\n", row->name, def.n ? " " : "", STRV(def));
	wrap(out, "#    ", str_of(row->help));
	if (row->one_of)
		wrap(out, "#    ",
		     str_fmt(a, "One of " STRF ".",
			     STRV(str_join(a, row_choices(a, row), STR(", ")))));
	if (row->inherits)
		wrap(out, "#    ", str_fmt(a, "Unset: the value of %s.", row->inherits));
	if (row->later)
		wrap(out, "#    ",
		     str_fmt(a, "Without effect yet: this version has no %s.", row->later));
	buf_add_str(out, STR("\n"));
}

void settings_print_sample(struct buf *out)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	buf_add_str(out, STR(RULE));
	wrap(out, "# ",
	     STR("kong.conf: what a gateway is started with. Every property is here with its "
		 "default; take the # away in front of those that you change. A line is "
		 "name = value; a # begins a comment, \\# is the character itself; lists have "
		 "commas between their items."));
	buf_add_str(out, STR("#\n"));
	wrap(out, "# ",
	     STR("A variable of the environment goes before this file: KONG_LOG_LEVEL=debug is "
		 "log_level = debug. A value may be a reference to a variable: "
		 "{vault://env/my-secret} is the value of MY_SECRET."));
	buf_add_str(out, STR("#\n"));
	wrap(out, "# ",
	     STR("nginx_<where>_<directive> takes a directive of nginx, where is main, events, "
		 "http, proxy, admin, status or stream: those that mean something here have "
		 "their effect, the others are named at start."));
	buf_add_str(out, STR(RULE "\n"));
	for (const struct settings_group *const *g = settings_groups; *g; g++) {
		buf_addf(out, RULE "# %s\n" RULE "\n", (*g)->heading);
		row_for_each(*g, row) sample_row(a, out, row);
	}
}

/* ---- the reference ------------------------------------------------------------------------------- */

/* Text of a table's cell: no bar of its own. */
static void cell(struct buf *out, str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.s[i] == '|')
			buf_add_char(out, '\\');
		buf_add_char(out, text.s[i]);
	}
}

static void reference_row(struct arena *a, struct buf *out, const struct field *row)
{
	str def = row_default(a, row);

	buf_addf(out, "| `%s` | ", row->name);
	if (def.n) {
		buf_add_char(out, '`');
		cell(out, def);
		buf_add_char(out, '`');
	} else if (row->inherits) {
		buf_addf(out, "that of `%s`", row->inherits);
	}
	buf_addf(out, " | %s", kind_words(row));
	if (row->one_of)
		buf_addf(out, " " STRF, STRV(str_join(a, row_choices(a, row), STR(", "))));
	buf_add_str(out, STR(" | "));
	cell(out, str_of(row->help));
	if (row->later)
		buf_addf(out, " *Without effect yet: this version has no %s.*", row->later);
	buf_add_str(out, STR(" |\n"));
}

void settings_print_reference(struct buf *out)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();

	buf_add_str(
		out,
		STR("# Settings\n\n"
		    "Printed by `gibbon print reference` from the program's own tables.\n\n"
		    "A property comes from the file given with `-c`, else `/etc/kong/kong.conf`, "
		    "else `/etc/kong.conf`; a variable\n`KONG_<NAME>` goes before the file, and "
		    "an option of the command line before both.\n"));
	for (const struct settings_group *const *g = settings_groups; *g; g++) {
		buf_addf(out,
			 "\n## %s\n\n| property | default | value | meaning |\n|---|---|---|---|\n",
			 (*g)->heading);
		row_for_each(*g, row) reference_row(a, out, row);
	}
}
