/* SPDX-License-Identifier: Apache-2.0 */
/* value - a document: what JSON and YAML say, as a tree in an arena.
 *
 * Every configuration and API body is one of these before a schema decodes it
 * into a C struct, and after one is rendered.  Objects keep the order in which
 * keys came; a duplicate key is an error of the parser.  Integers and reals
 * are kept apart, because Kong's schemas do. */
#pragma once

#include "base/str.h"

enum value_kind {
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_REAL,
	VALUE_STRING,
	VALUE_ARRAY,
	VALUE_OBJECT,
};

struct value {
	enum value_kind kind;
	uint32_t n, cap; /* of items or members */
	union {
		bool b;
		int64_t i;
		double real;
		str s;
		struct value **items;
		struct member *members;
	};
};

struct member {
	str key;
	struct value *value;
};

struct value *value_null(struct arena *a);
struct value *value_bool(struct arena *a, bool b);
struct value *value_int(struct arena *a, int64_t i);
struct value *value_real(struct arena *a, double real);
struct value *value_str(struct arena *a, str s);          /* borrows the bytes */
struct value *value_text(struct arena *a, const char *z); /* borrows; NULL gives null */
struct value *value_array(struct arena *a);
struct value *value_object(struct arena *a);

double value_num(const struct value *v); /* of a number of either kind, else NaN; takes NULL */

void value_add(struct arena *a, struct value *array, struct value *item);

/* Sets or replaces a member; the key's bytes are borrowed. */
void value_set(struct arena *a, struct value *object, str key, struct value *v);
void value_unset(struct value *object, str key);

/* The same, but several of one key become an array. */
void value_gather(struct arena *a, struct value *object, str key, struct value *v);

/* Room for n items or members in all; and one more member, known to be new: together they
 * build big objects without looking for each key. */
void value_reserve(struct arena *a, struct value *v, uint32_t n);
void value_append(struct arena *a, struct value *object, str key, struct value *v);

/* The member, or NULL when v is no object (NULL included) or has no such key. */
struct value *value_get(const struct value *v, const char *key);
struct value *value_get_str(const struct value *v, str key);

/* Deep copy, bytes included. */
struct value *value_copy(struct arena *a, const struct value *v);

/* Equal in content; the order of members does not matter, 1 and 1.0 are equal. */
bool value_eq(const struct value *a, const struct value *b);

static inline bool value_is_null(const struct value *v) /* NULL or null */
{
	return !v || v->kind == VALUE_NULL;
}
