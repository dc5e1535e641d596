/* SPDX-License-Identifier: Apache-2.0 */
/* The statements that make the tables of the catalogue. */
#include "store/sql/sql.h"

static void add_column(struct buf *out, const struct sql_dialect *d, const struct sql_column *c)
{
	sql_add_name(out, c->name);
	buf_addf(out, " %s", d->types[c->type]);
	if (c->is_required)
		buf_addf(out, " NOT NULL");
	if (c->def && d->has_defaults)
		buf_addf(out, " DEFAULT %s", c->def);
}

/* "name btree (column)" */
static void add_index(struct buf *out, const struct sql_dialect *d, const struct sql_table *t,
		      const char *row)
{
	str rest = str_of(row), name = { 0 }, method = { 0 };

	str_next(&rest, ' ', &name);
	str_next(&rest, ' ', &method);
	if (str_is(method, "gin") && !d->has_gin)
		return;
	buf_addf(out, "CREATE INDEX IF NOT EXISTS \"" STRF "\" ON \"%s\" ", STRV(name), t->name);
	if (d->has_gin)
		buf_addf(out, "USING " STRF " ", STRV(method));
	buf_addf(out, STRF ";\n", STRV(rest));
}

void sql_add_table(struct buf *out, const struct sql_dialect *d, const struct sql_table *t)
{
	buf_addf(out, "CREATE TABLE IF NOT EXISTS \"%s\" (\n", t->name);
	for (const struct sql_column *c = t->columns; c->name; c++) {
		buf_addf(out, "%s  ", c == t->columns ? "" : ",\n");
		add_column(out, d, c);
	}
	for (const char *const *p = t->constraints; *p; p++) {
		str rest = str_of(*p), name = { 0 };

		str_next(&rest, ' ', &name);
		buf_addf(out, ",\n  CONSTRAINT \"" STRF "\" " STRF, STRV(name), STRV(rest));
	}
	buf_addf(out, "\n)%s;\n", d->table_end);
	for (const char *const *p = t->indexes; p && *p; p++)
		add_index(out, d, t, *p);
	if (t->tags_trigger)
		d->tags_trigger(out, t);
}
