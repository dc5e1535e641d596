/* SPDX-License-Identifier: Apache-2.0 */
/* What the codes of store errors are called and answered with: one row each. */
#include "base/log.h"
#include "schema/lua.h"
#include "store/store.h"

/* clang-format off */
static const struct {
	const char *name;
	int status; /* HTTP */
} codes[] = {
	[DB_OK]                      = { "",                                  200 },
	[DB_INVALID_PRIMARY_KEY]     = { "invalid primary key",               400 },
	[DB_SCHEMA_VIOLATION]        = { "schema violation",                  400 },
	[DB_PRIMARY_KEY_VIOLATION]   = { "primary key violation",             400 },
	[DB_FOREIGN_KEY_VIOLATION]   = { "foreign key violation",             400 },
	[DB_UNIQUE_VIOLATION]        = { "unique constraint violation",       409 },
	[DB_NOT_FOUND]               = { "not found",                         404 },
	[DB_INVALID_OFFSET]          = { "invalid offset",                    400 },
	[DB_DATABASE_ERROR]          = { "database error",                    500 },
	[DB_INVALID_SIZE]            = { "invalid size",                      400 },
	[DB_INVALID_UNIQUE]          = { "invalid unique",                    400 },
	[DB_INVALID_OPTIONS]         = { "invalid options",                   400 },
	[DB_UNSUPPORTED]             = { "operation unsupported",             405 },
	[DB_FOREIGN_KEYS_UNRESOLVED] = { "foreign keys unresolved",           400 },
	[DB_DECLARATIVE_CONFIG]      = { "invalid declarative configuration", 400 },
	[DB_TRANSFORMATION]          = { "transformation error",              500 },
	[DB_INVALID_FOREIGN_KEY]     = { "invalid foreign key",               400 },
	[DB_INVALID_WORKSPACE]       = { "invalid workspace",                 400 },
	[DB_INVALID_UNIQUE_GLOBAL]   = { "invalid global query",              400 },
};
/* clang-format on */

const char *db_error_name(enum db_code code)
{
	return codes[code].name;
}

int db_error_status(enum db_code code)
{
	return codes[code].status;
}

struct value *db_error_body(struct arena *a, const struct db_error *e)
{
	struct value *body = value_object(a);
	str key = e->code == DB_INVALID_OPTIONS ? STR("options") : STR("fields");

	value_set(a, body, STR("code"), value_int(a, e->code));
	value_set(a, body, STR("name"), value_text(a, db_error_name(e->code)));
	value_set(a, body, STR("message"), e->message.s ? value_str(a, e->message) : value_null(a));
	if (e->fields)
		value_set(a, body, key, e->fields);
	if (e->flattened)
		value_set(a, body, STR("flattened_errors"), e->flattened);
	return body;
}

str db_key_text(struct arena *a, const struct value *key)
{
	return lua_table(a, key, false);
}
