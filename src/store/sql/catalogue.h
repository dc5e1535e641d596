/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue - the tables of the database, a row each (the contract: Kong 3.2.2's). */
#pragma once

#include "base/str.h"

enum sql_type {
	SQL_TEXT,
	SQL_UUID,
	SQL_INT,
	SQL_BIGINT,
	SQL_SMALLINT,
	SQL_REAL,
	SQL_BOOL,
	SQL_TIME,       /* of PostgreSQL: timestamptz; of SQLite: seconds since 1970 */
	SQL_TIME_PLAIN, /* without a zone */
	SQL_TEXTS,      /* text[]; in SQLite lists are JSON text */
	SQL_UUIDS,
	SQL_JSON,
	SQL_JSONS, /* jsonb[] */
	SQL_TYPES,
};

struct sql_column {
	const char *name; /* NULL ends the list */
	enum sql_type type;
	bool is_required;
	const char *def; /* of PostgreSQL alone: we write every column ourselves */
};

struct sql_table {
	const char *name; /* NULL ends the list */
	const struct sql_column *columns;
	const char *const *constraints; /* "name PRIMARY KEY (id)" ... up to NULL */
	const char *const *indexes;     /* "name btree (column)" ...; NULL: none */
	const char *tags_trigger;       /* keeps the table tags in step; NULL: no tags */
};

extern const struct sql_table sql_tables[];
const struct sql_table *sql_table_find(const char *name);
const struct sql_column *sql_column_find(const struct sql_table *t, const char *name);
