/* SPDX-License-Identifier: Apache-2.0 */
/* What SQLite and PostgreSQL do differently: one row each. */
#include "store/sql/sql.h"

void sql_add_name(struct buf *out, const char *name)
{
	buf_addf(out, "\"%s\"", name);
}

/* ---- SQLite -------------------------------------------------------------------------------- */

static void sqlite_tags(struct buf *out, bool is_any, size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "%sEXISTS (SELECT 1 FROM json_each(\"tags\") WHERE value = ?%zu)",
			 i == 0   ? "("
			 : is_any ? " OR "
				  : " AND ",
			 first + i);
	buf_add_char(out, ')');
}

static void sqlite_trigger(struct buf *out, const struct sql_table *t)
{
	const char *name = t->tags_trigger, *table = t->name;

	buf_addf(out,
		 "CREATE TRIGGER IF NOT EXISTS \"%s_insert\" AFTER INSERT ON \"%s\" BEGIN\n"
		 "  INSERT OR REPLACE INTO tags (entity_id, entity_name, tags)"
		 " VALUES (NEW.id, '%s', NEW.tags);\nEND;\n",
		 name, table, table);
	buf_addf(out,
		 "CREATE TRIGGER IF NOT EXISTS \"%s_update\" AFTER UPDATE OF tags ON \"%s\" BEGIN\n"
		 "  INSERT OR REPLACE INTO tags (entity_id, entity_name, tags)"
		 " VALUES (NEW.id, '%s', NEW.tags);\nEND;\n",
		 name, table, table);
	buf_addf(out,
		 "CREATE TRIGGER IF NOT EXISTS \"%s_delete\" AFTER DELETE ON \"%s\" BEGIN\n"
		 "  DELETE FROM tags WHERE entity_id = OLD.id;\nEND;\n",
		 name, table);
}

/* clang-format off */
const struct sql_dialect sql_dialect_sqlite = {
	.name = "sqlite",
	.types = {
		[SQL_TEXT] = "TEXT",        [SQL_UUID] = "TEXT",
		[SQL_INT] = "INTEGER",      [SQL_BIGINT] = "INTEGER", [SQL_SMALLINT] = "INTEGER",
		[SQL_REAL] = "REAL",        [SQL_BOOL] = "INTEGER",
		[SQL_TIME] = "NUMERIC",     [SQL_TIME_PLAIN] = "NUMERIC",
		[SQL_TEXTS] = "TEXT",       [SQL_UUIDS] = "TEXT",
		[SQL_JSON] = "TEXT",        [SQL_JSONS] = "TEXT",
	},
	.placeholder = '?',
	.now = "unixepoch()",
	.for_update = "",
	.not_by_index = "+",
	.table_end = " WITHOUT ROWID",
	.lists_are_json = true,
	.tags = sqlite_tags,
	.tags_trigger = sqlite_trigger,
};
/* clang-format on */

/* ---- PostgreSQL ------------------------------------------------------------------------------ */

static void postgres_tags(struct buf *out, bool is_any, size_t first, size_t n)
{
	buf_addf(out, "\"tags\" %s ARRAY[", is_any ? "&&" : "@>");
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "%s$%zu", i ? "," : "", first + i);
	buf_addf(out, "]::text[]");
}

static void postgres_trigger(struct buf *out, const struct sql_table *t)
{
	buf_addf(out,
		 "DROP TRIGGER IF EXISTS %s ON \"%s\";\n"
		 "CREATE TRIGGER %s AFTER INSERT OR DELETE OR UPDATE OF tags ON \"%s\""
		 " FOR EACH ROW EXECUTE FUNCTION sync_tags();\n",
		 t->tags_trigger, t->name, t->tags_trigger, t->name);
}

/* clang-format off */
const struct sql_dialect sql_dialect_postgres = {
	.name = "postgres",
	.types = {
		[SQL_TEXT] = "text",        [SQL_UUID] = "uuid",
		[SQL_INT] = "integer",      [SQL_BIGINT] = "bigint",  [SQL_SMALLINT] = "smallint",
		[SQL_REAL] = "double precision", [SQL_BOOL] = "boolean",
		[SQL_TIME] = "timestamp with time zone",
		[SQL_TIME_PLAIN] = "timestamp without time zone",
		[SQL_TEXTS] = "text[]",     [SQL_UUIDS] = "uuid[]",
		[SQL_JSON] = "jsonb",       [SQL_JSONS] = "jsonb[]",
	},
	.reads = {
		[SQL_TIME] = { "EXTRACT(EPOCH FROM ", ")" },
		[SQL_TIME_PLAIN] = { "EXTRACT(EPOCH FROM ", ")" },
		[SQL_TEXTS] = { "to_json(", ")" },
		[SQL_UUIDS] = { "to_json(", ")" },
		[SQL_JSONS] = { "to_json(", ")" },
	},
	.writes = {
		[SQL_TIME] = { "to_timestamp(", "::double precision)" },
		[SQL_TIME_PLAIN] = { "to_timestamp(", "::double precision) AT TIME ZONE 'UTC'" },
	},
	.placeholder = '$',
	.now = "CURRENT_TIMESTAMP",
	.not_by_index = "",
	.has_put = true,
	.analyze = "ANALYZE",
	.for_update = " FOR UPDATE",
	.table_end = "",
	.has_defaults = true,
	.has_gin = true,
	.tags = postgres_tags,
	.tags_trigger = postgres_trigger,
};
/* clang-format on */
