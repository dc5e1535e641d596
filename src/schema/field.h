/* SPDX-License-Identifier: Apache-2.0 */
/* field - the one row type: settings, entities, plugin configuration, API bodies.
 *
 * A fact about a field is a row here and nowhere else.  What reads the rows:
 * validation with Kong's messages, defaults, decoding into a C struct, merging
 * of updates, SQL, `/schemas`, the sample kong.conf and the reference pages.
 *
 * Rows are static and constant; values in them (defaults, allowed values) are
 * JSON text, written with J(...).  schema/schema.h compiles rows once at start
 * into the form that is fast to run.
 *
 *	static const struct field service_fields[] = {
 *		F_STR(T, name,    .unique = true, .check = check_name, .help = "..."),
 *		F_INT(T, retries, .def = J(5), .between = J([0, 32767]), .help = "..."),
 *		F_STRS(T, tags,   .is_set = true, .elements = &tag_element, .help = "..."),
 *		F_END
 *	};
 *
 * The compiler proves the row: F_STR on a bool member does not compile. */
#pragma once

#include "base/err.h"
#include "base/uuid.h"
#include "base/value.h"
#include <stddef.h>

enum field_kind {
	FIELD_END_,
	FIELD_STRING,  /* str; unset: s == NULL */
	FIELD_INTEGER, /* int64_t; unset: FIELD_UNSET_INT */
	FIELD_NUMBER,  /* double; unset: NaN */
	FIELD_BOOLEAN, /* enum tri or bool (unset decodes as false) */
	FIELD_ARRAY,   /* strs, struct ints, or struct records, by its elements */
	FIELD_SET,     /* the same; duplicates are dropped */
	FIELD_MAP,     /* const struct value * (object) */
	FIELD_RECORD,  /* an embedded struct, by .fields */
	FIELD_FOREIGN, /* uuid of the other entity; unset: all zero */
	FIELD_ANY,     /* const struct value *, as it came */
};

#define FIELD_UNSET_INT INT64_MIN

enum tri { TRI_UNSET = -1, TRI_NO = 0, TRI_YES = 1 };

struct ints {
	int64_t *v;
	size_t n;
};

/* A list of records: n structs of the size the element's rows say. */
struct records {
	void *v;
	size_t n;
};

/* JSON text in a row. */
#define J(...) #__VA_ARGS__

/* A Lua-pattern rule with the words that go out when it is broken. */
struct pattern_rule {
	const char *pattern;
	const char *err;
};

struct entity;

/* A custom check of one value: NULL, or the message (Kong's words) in a. */
typedef const char *field_check_fn(struct arena *a, const struct value *v);

struct field {
	const char *name;
	enum field_kind kind;
	size_t offset; /* of the member; FIELD_NOT_KEPT: validated, not decoded */
	size_t size;   /* of the member */

	/* The nested rows. */
	const struct field *elements; /* of arrays and sets: one row */
	const struct field *keys;     /* of maps: one row each */
	const struct field *values;
	const struct field *fields;         /* of records: rows up to F_END */
	const struct check *checks;         /* of records: up to CHECK_END */
	const struct shorthand *shorthands; /* of records */
	size_t record_size;                 /* of record elements: sizeof the struct */
	const char *reference;              /* of foreign: the other entity's plural name */
	const char *on_delete;              /* "cascade", or NULL: restrict */

	/* Rules, in the order they are checked. */
	const char *def;    /* default, JSON; "null" is printed but means none */
	const char *one_of; /* JSON array */
	const char *not_one_of;
	const char *between; /* JSON [lo, hi] */
	const char *gt;      /* JSON number */
	const char *eq;      /* JSON value (null too) */
	const char *ne;
	int len_eq, len_min, len_max; /* 0: no rule; a len_min of 0 that must show: LEN_ZERO */
	const char *match;            /* Lua patterns, as Kong's schemas print them */
	const char *not_match;
	const struct pattern_rule *match_all; /* up to an empty one */
	const struct pattern_rule *match_none;
	const char *const *match_any; /* patterns up to NULL, then match_any_err */
	const char *match_any_err;
	const char *starts_with;
	const char *contains;          /* of arrays: JSON value */
	const char *exclusive_subsets; /* JSON array of arrays: mutually_exclusive_subsets */
	field_check_fn *check;

	const char *err; /* instead of whatever words a broken rule has */

	bool required, is_auto, is_uuid, is_timestamp, is_unique, is_unique_across_ws, is_regex;
	bool required_is_false_shown,
		unique_is_false_shown; /* Kong prints "required": false here */
	bool is_set;                   /* with F_STRS and F_RECORDS: a set, not an array */
	bool is_immutable, is_encrypted, is_abstract, is_legacy;
	bool is_referenceable; /* "{vault://...}" may stand for it; plugins see what that is */
	bool is_secret;        /* shown as ****** */
	const char *generate;  /* auto strings: "random" */

	/* Settings only. */
	const char *group;    /* heading in the sample and the reference */
	const char *inherits; /* property whose value an unset one takes */
	const char *alias_of; /* fills that one when unset */
	const char *later;    /* the feature that is not there yet: named once at start when set */
	const char *unit;

	const char *help; /* ends in a full stop */
};

#define FIELD_NOT_KEPT SIZE_MAX
#define LEN_ZERO       (-1)

/* The size of a member, provided that it has that type. */
#define FIELD_SIZE_(T, m, type)                                                                    \
	(sizeof(((T *)0)->m) + 0 * sizeof(char[_Generic(((T *)0)->m, type : 1)]))
#define FIELD_SIZE2_(T, m, type1, type2)                                                           \
	(sizeof(((T *)0)->m) + 0 * sizeof(char[_Generic(((T *)0)->m, type1 : 1, type2 : 1)]))

/* clang-format off */
#define FIELD_AT_(T, m, k, s, ...) { .name = #m, .kind = (k), .offset = offsetof(T, m), .size = (s), __VA_ARGS__ }

#define F_STR(T, m, ...)     FIELD_AT_(T, m, FIELD_STRING, FIELD_SIZE_(T, m, str), __VA_ARGS__)
#define F_UUID(T, m, ...)    FIELD_AT_(T, m, FIELD_STRING, FIELD_SIZE_(T, m, uuid), .is_uuid = true, __VA_ARGS__)
#define F_INT(T, m, ...)     FIELD_AT_(T, m, FIELD_INTEGER, FIELD_SIZE_(T, m, int64_t), __VA_ARGS__)
#define F_TIME(T, m, ...)    FIELD_AT_(T, m, FIELD_INTEGER, FIELD_SIZE_(T, m, int64_t), .is_timestamp = true, .is_auto = true, __VA_ARGS__)
#define F_NUM(T, m, ...)     FIELD_AT_(T, m, FIELD_NUMBER, FIELD_SIZE_(T, m, double), __VA_ARGS__)
#define F_BOOL(T, m, ...)    FIELD_AT_(T, m, FIELD_BOOLEAN, FIELD_SIZE2_(T, m, bool, enum tri), __VA_ARGS__)
#define F_STRS(T, m, ...)    FIELD_AT_(T, m, FIELD_ARRAY, FIELD_SIZE_(T, m, strs), __VA_ARGS__)
#define F_INTS(T, m, ...)    FIELD_AT_(T, m, FIELD_ARRAY, FIELD_SIZE_(T, m, struct ints), __VA_ARGS__)
#define F_RECORDS(T, m, ...) FIELD_AT_(T, m, FIELD_ARRAY, FIELD_SIZE_(T, m, struct records), __VA_ARGS__)
/* An embedded struct; offsets in its rows count from its own beginning.  Required, as
 * records of entities are, unless .required_is_false_shown. */
#define F_RECORD(T, m, ...)  FIELD_AT_(T, m, FIELD_RECORD, sizeof(((T *)0)->m), .required = true, __VA_ARGS__)
/* A record whose rows depend on another field (schema_traits); kept as it came. */
#define F_ABSTRACT(T, m, ...) FIELD_AT_(T, m, FIELD_RECORD, FIELD_SIZE_(T, m, const struct value *), .is_abstract = true, __VA_ARGS__)
#define F_MAP(T, m, ...)     FIELD_AT_(T, m, FIELD_MAP, FIELD_SIZE_(T, m, const struct value *), __VA_ARGS__)
#define F_ANY(T, m, ...)     FIELD_AT_(T, m, FIELD_ANY, FIELD_SIZE_(T, m, const struct value *), __VA_ARGS__)
#define F_REF(T, m, entity, ...) FIELD_AT_(T, m, FIELD_FOREIGN, FIELD_SIZE_(T, m, uuid), .reference = (entity), __VA_ARGS__)
#define F_END { .kind = FIELD_END_ }

/* Rows without a member: elements, keys and values; rules of conditional checks
 * (FIELD_END_: the kind of the field it is about); fields checked and not decoded. */
#define FIELD(k, ...)        (&(const struct field){ .kind = (k), __VA_ARGS__ })
#define FIELD_RULE(...)      FIELD(FIELD_END_, __VA_ARGS__)
#define F_NOT_KEPT(n, k, ...) { .name = (n), .kind = (k), .offset = FIELD_NOT_KEPT, __VA_ARGS__ }
/* clang-format on */

/* ---- checks of a whole record ---------------------------------------------------- */

enum check_kind {
	CHECK_END_,
	CHECK_AT_LEAST_ONE_OF,
	CHECK_ONLY_ONE_OF,    /* exactly one */
	CHECK_ONE_OR_NONE_OF, /* mutually_exclusive */
	CHECK_ALL_OR_NONE_OF, /* mutually_required */
	CHECK_DISTINCT,
	CHECK_CONDITIONAL, /* if_field matches if_rule: then_field must match then_rule */
	CHECK_CONDITIONAL_AT_LEAST_ONE_OF, /* if_field matches if_rule: one of fields; else else_* */
	CHECK_CUSTOM,
};

struct check {
	enum check_kind kind;
	const char *fields; /* "methods, hosts, paths": dotted paths allowed */
	const char *if_field, *then_field;
	const struct field *if_rule, *then_rule; /* a nameless row whose rules are applied */
	const char *err;               /* instead of the standard words; %s: the list of fields,
	                                  * of a conditional: if_field */
	const struct field *else_rule; /* of CONDITIONAL_AT_LEAST_ONE_OF: when if_rule does not */
	const char *else_fields, *else_err; /* match but this does */
	bool run_with_missing;              /* custom: also when fields it names are missing */
	/* Custom: adds to `errors` (object, Kong's tree) with schema_error_at(). */
	void (*fn)(struct arena *a, const struct value *record, struct value *errors);
};

#define CHECK_END                                                                                  \
	{                                                                                          \
		.kind = CHECK_END_                                                                 \
	}

/* A field that exists on input alone and is turned into others ("url"). */
struct shorthand {
	const char *name; /* NULL ends the list */
	enum field_kind kind;
	const struct field *elements;
	/* Sets members of `record`; NULL, or the message. */
	const char *(*expand)(struct arena *a, const struct value *v, struct value *record);
	const char *help;
};
