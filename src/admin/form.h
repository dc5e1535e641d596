/* SPDX-License-Identifier: Apache-2.0 */
/* form - arguments of queries, urlencoded and multipart bodies as documents.
 *
 * Names say where a value goes: "a.b", "a[]", "a[1].b"; a name that comes twice
 * makes an array.  A name with a dot at either end is taken as it is.  Then the
 * rows of a schema say what the texts are meant to be: numbers, booleans,
 * arrays of one, null for the empty text. */
#pragma once

#include "schema/schema.h"

#define FORM_MAX_ARGS 1000

struct form_arg {
	str name;
	struct value *value; /* a string, or what a JSON part held */
};

struct form_args {
	struct form_arg *v;
	size_t n;
	bool is_cut; /* there were more than FORM_MAX_ARGS */
};

/* a=b&c=d, both sides decoded; an argument without "=" is true, as in Kong. */
struct form_args form_urlencoded(struct arena *a, str text);

/* multipart/form-data with the boundary that the content type names; parts without a
 * name are left out.  False when it is malformed. */
bool form_multipart(struct arena *a, str content_type, str body, struct form_args *ret);

/* The object that the arguments spell. */
struct value *form_document(struct arena *a, const struct form_args *args);

/* Gives the members of doc that s has rows for the kinds of those rows, in place. */
void form_infer(struct arena *a, const struct schema *s, const struct shorthand *shorthands,
		struct value *doc);
