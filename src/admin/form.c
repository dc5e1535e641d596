/* SPDX-License-Identifier: Apache-2.0 */
/* Two steps: names to places, texts to kinds.
 *
 * A name is cut into steps (a key, an index, or "append"), and the value is put
 * into the tree at the end of them; what is in the way (a text where a record
 * is wanted) is replaced by what came later.  Indices are ceilinged by the
 * number of arguments, gaps are closed in the end. */
#include "admin/form.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/uri.h"
#include "base/vec.h"
#include "http/http.h"

/* ---- bodies ------------------------------------------------------------------------- */

struct form_args form_urlencoded(struct arena *a, str text)
{
	struct uri_args args = uri_args(a, text, FORM_MAX_ARGS);
	struct form_args ret = { .n = args.n, .is_cut = args.is_cut };

	ret.v = NEWS(a, struct form_arg, args.n ? args.n : 1);
	for (size_t i = 0; i < args.n; i++) {
		ret.v[i].name = args.v[i].key;
		ret.v[i].value =
			args.v[i].value.s ? value_str(a, args.v[i].value) : value_bool(a, true);
	}
	return ret;
}

/* A parameter of a header value: name="x", name=x, or name*=utf-8''x, which wins. */
static str parameter(struct arena *a, str value, const char *name)
{
	str ret = STR_NONE, piece;

	while (str_next(&value, ';', &piece)) {
		ptrdiff_t eq = str_find(piece, '=', 0);
		str key = eq < 0 ? STR("") : str_trim(str_part(piece, 0, (size_t)eq));
		str text = str_trim(str_from(piece, (size_t)(eq + 1)));

		if (text.n > 1 && (text.s[0] == '"' || text.s[0] == '\'') &&
		    text.s[text.n - 1] == text.s[0])
			text = str_part(text, 1, text.n - 1);
		if (key.n && key.s[key.n - 1] == '*' && str_starts_ci(text, STR("utf-8''")) &&
		    str_is_ci(str_part(key, 0, key.n - 1), name))
			return uri_unescape(a, str_from(text, 7), false);
		if (!ret.s && str_is_ci(key, name))
			ret = text;
	}
	return ret;
}

/* Cuts text at the first "\r\n--boundary"; false when there is none. */
static bool next_part(str *rest, str delimiter, str *ret_part)
{
	ptrdiff_t at = str_find_str(*rest, delimiter);

	if (at < 0)
		return false;
	*ret_part = str_part(*rest, 0, (size_t)at);
	*rest = str_from(*rest, (size_t)at + delimiter.n);
	return true;
}

/* A part's headers and bytes; its value when it has a name. */
static bool read_part(struct arena *a, str part, str *ret_name, struct value **ret_value)
{
	ptrdiff_t end = str_starts(part, STR("\r\n")) ? -2 : str_find_str(part, STR("\r\n\r\n"));
	str heads, line, bytes, type = STR("");

	*ret_name = STR_NONE;
	if (end == -1)
		return false;
	heads = end < 0 ? STR("") : str_part(part, 0, (size_t)end);
	bytes = str_from(part, (size_t)(end + 4));
	while (str_next(&heads, '\n', &line)) {
		ptrdiff_t colon = str_find(line, ':', 0);
		str name = colon < 0 ? STR("") : str_trim(str_part(line, 0, (size_t)colon));
		str value = str_trim(str_from(line, (size_t)(colon + 1)));

		if (str_is_ci(name, "content-disposition"))
			*ret_name = parameter(a, value, "name");
		else if (str_is_ci(name, "content-type"))
			type = value;
	}
	*ret_value = NULL;
	if (str_starts_ci(type, STR("application/json"))) {
		struct err *e = json_parse(a, bytes, ret_value);

		if (e)
			*ret_value = NULL; /* taken as text, as it says no more than that */
	}
	if (!*ret_value)
		*ret_value = value_str(a, bytes);
	return true;
}

bool form_multipart(struct arena *a, str content_type, str body, struct form_args *ret)
{
	struct {
		struct form_arg *v;
		size_t n, cap;
	} args = { 0 };
	str boundary = parameter(a, content_type, "boundary"), delimiter, part;

	*ret = (struct form_args){ 0 };
	if (boundary.n == 0 || boundary.n > 200)
		return false;
	delimiter = str_fmt(a, "\r\n--" STRF, STRV(boundary));
	body = str_cat(a, STR("\r\n"), body); /* the first delimiter may open the body */
	if (!next_part(&body, delimiter, &part))
		return false;
	while (!str_starts(body, STR("--"))) {
		str name;
		struct value *value;
		ptrdiff_t eol =
			str_find(body, '\n', 0); /* padding behind the boundary is allowed */

		if (eol < 0 || str_trim(str_part(body, 0, (size_t)eol)).n)
			return false;
		body = str_from(body, (size_t)eol + 1);
		if (!next_part(&body, delimiter, &part) || !read_part(a, part, &name, &value))
			return false;
		if (args.n == FORM_MAX_ARGS) {
			ret->is_cut = true;
			break;
		}
		if (name.s)
			*vec_add(a, &args) = (struct form_arg){ name, value };
	}
	ret->v = args.v;
	ret->n = args.n;
	return true;
}

/* ---- names to places ------------------------------------------------------------------ */

enum { APPEND = -1, KEY = -2 };

struct step {
	str key;       /* of KEY */
	int64_t index; /* from 1; or APPEND, or KEY */
};

struct steps {
	struct step v[LIMIT_JSON_DEPTH];
	size_t n;
};

/* "x[1][]": x, then its indices; false when there are too many steps. */
static bool add_steps(struct steps *steps, str part)
{
	struct step indices[8];
	size_t n = 0;

	while (part.n > 2 && part.s[part.n - 1] == ']' && n < COUNT(indices)) {
		ptrdiff_t open = str_find_last(part, '[');
		str digits = open > 0 ? str_part(part, (size_t)open + 1, part.n - 1) : STR("x");
		int64_t index = APPEND;

		if (digits.n && (!str_to_int(digits, &index) || index < 1 || index > FORM_MAX_ARGS))
			break;
		indices[n++].index = index;
		part = str_part(part, 0, (size_t)open);
	}
	if (steps->n + 1 + n > COUNT(steps->v))
		return false;
	steps->v[steps->n++] = (struct step){ .key = part, .index = KEY };
	while (n)
		steps->v[steps->n++] = indices[--n];
	return true;
}

static struct steps steps_of(str name)
{
	struct steps steps = { 0 };
	str rest = name, part;
	bool is_literal = name.n == 0 || name.s[0] == '.' || name.s[name.n - 1] == '.';

	while (!is_literal && str_next(&rest, '.', &part))
		if (part.n && !add_steps(&steps, part))
			is_literal = true;
	if (is_literal)
		return (struct steps){ .v = { { .key = name, .index = KEY } }, .n = 1 };
	return steps;
}

/* The slot of a step in an array, made when it is not there; gaps hold NULL. */
static struct value **slot_of_index(struct arena *a, struct value *array, const struct step *step)
{
	size_t at = step->index == APPEND ? array->n : (size_t)step->index - 1;

	while (array->n <= at)
		value_add(a, array, NULL);
	return &array->items[at];
}

static struct value **slot_of_key(struct arena *a, struct value *object, str key)
{
	for (uint32_t i = 0; i < object->n; i++)
		if (str_eq(object->members[i].key, key))
			return &object->members[i].value;
	value_set(a, object, key, value_null(a));
	object->members[object->n - 1].value = NULL;
	return &object->members[object->n - 1].value;
}

/* "a[].b": the last element when it lacks b, else a new one. */
static struct value **slot_of_append(struct arena *a, struct value *array, const struct step *next)
{
	struct value *last = array->n ? array->items[array->n - 1] : NULL;

	if (next && next->index == KEY && last && last->kind == VALUE_OBJECT &&
	    !value_get_str(last, next->key))
		return &array->items[array->n - 1];
	return slot_of_index(a, array, &(struct step){ .index = APPEND });
}

/* The value at the end of the way: a second one makes an array. */
static void put(struct arena *a, struct value **slot, struct value *value)
{
	if (!*slot) {
		*slot = value;
		return;
	}
	if ((*slot)->kind != VALUE_ARRAY) {
		struct value *array = value_array(a);

		value_add(a, array, *slot);
		*slot = array;
	}
	if (value->kind == VALUE_ARRAY) {
		for (uint32_t i = 0; i < value->n; i++)
			value_add(a, *slot, value->items[i]);
		return;
	}
	value_add(a, *slot, value);
}

static void place(struct arena *a, struct value *root, const struct form_arg *arg)
{
	struct steps steps = steps_of(arg->name);
	struct value **slot = &root;

	for (size_t i = 0; i < steps.n; i++) {
		const struct step *step = &steps.v[i];
		enum value_kind want = step->index == KEY ? VALUE_OBJECT : VALUE_ARRAY;

		if (!*slot || (*slot)->kind != want)
			*slot = want == VALUE_OBJECT ? value_object(a) : value_array(a);
		if (step->index == KEY)
			slot = slot_of_key(a, *slot, step->key);
		else if (step->index == APPEND)
			slot = slot_of_append(a, *slot, i + 1 < steps.n ? step + 1 : NULL);
		else
			slot = slot_of_index(a, *slot, step);
	}
	put(a, slot, arg->value);
}

/* Takes the gaps out.  As deep as names have steps. */
static void close_gaps(struct value *v)
{
	uint32_t kept = 0;

	if (v->kind == VALUE_OBJECT)
		for (uint32_t i = 0; i < v->n; i++)
			close_gaps(v->members[i].value);
	if (v->kind != VALUE_ARRAY)
		return;
	for (uint32_t i = 0; i < v->n; i++) {
		if (!v->items[i])
			continue;
		close_gaps(v->items[i]);
		v->items[kept++] = v->items[i];
	}
	v->n = kept;
}

struct value *form_document(struct arena *a, const struct form_args *args)
{
	struct value *root = value_object(a);

	for (size_t i = 0; i < args->n; i++)
		place(a, root, &args->v[i]);
	close_gaps(root);
	return root;
}

/* ---- texts to kinds --------------------------------------------------------------------- */

static struct value *infer(struct arena *a, const struct field *row, struct value *v);

static struct value *infer_number(struct arena *a, struct value *v)
{
	int64_t i;
	double real;

	if (str_to_int(str_trim(v->s), &i))
		return value_int(a, i);
	return str_to_num(str_trim(v->s), &real) ? value_real(a, real) : v;
}

static struct value *infer_list(struct arena *a, const struct field *row, struct value *v)
{
	if (v->kind != VALUE_ARRAY) {
		struct value *array = value_array(a);

		value_add(a, array, v);
		v = array;
	}
	for (uint32_t i = 0; i < v->n && row->elements; i++)
		v->items[i] = infer(a, row->elements, v->items[i]);
	return v;
}

static const struct field *row_of(const struct field *rows, str name)
{
	for (; rows && rows->kind != FIELD_END_; rows++)
		if (str_is(name, rows->name))
			return rows;
	return NULL;
}

static void infer_members(struct arena *a, const struct field *rows,
			  const struct shorthand *shorthands, struct value *object)
{
	for (uint32_t i = 0; i < object->n; i++) {
		struct member *m = &object->members[i];
		const struct field *row = row_of(rows, m->key);

		if (row) {
			m->value = infer(a, row, m->value);
			continue;
		}
		for (const struct shorthand *s = shorthands; s && s->name; s++) {
			struct field as = { .kind = s->kind, .elements = s->elements };

			if (str_is(m->key, s->name))
				m->value = infer(a, &as, m->value);
		}
	}
}

/* A foreign key is an object with an id or a unique field, both texts; its empty
 * members are null like everybody's. */
static void infer_foreign(struct arena *a, struct value *v)
{
	for (uint32_t i = 0; i < v->n; i++) {
		struct value *m = v->members[i].value;

		if (m && m->kind == VALUE_STRING && m->s.n == 0)
			v->members[i].value = value_null(a);
	}
}

static struct value *infer(struct arena *a, const struct field *row, struct value *v)
{
	if (value_is_null(v) || (v->kind == VALUE_STRING && v->s.n == 0))
		return value_null(a);
	switch (row->kind) {
	case FIELD_INTEGER:
	case FIELD_NUMBER:
		return v->kind == VALUE_STRING ? infer_number(a, v) : v;
	case FIELD_BOOLEAN:
		if (v->kind == VALUE_STRING && (str_is(v->s, "true") || str_is(v->s, "false")))
			return value_bool(a, v->s.s[0] == 't');
		return v;
	case FIELD_ARRAY:
	case FIELD_SET:
		return infer_list(a, row, v);
	case FIELD_MAP:
		for (uint32_t i = 0; v->kind == VALUE_OBJECT && row->values && i < v->n; i++)
			v->members[i].value = infer(a, row->values, v->members[i].value);
		return v;
	case FIELD_RECORD:
		if (v->kind == VALUE_OBJECT && row->fields)
			infer_members(a, row->fields, row->shorthands, v);
		return v;
	case FIELD_FOREIGN:
		if (v->kind == VALUE_OBJECT)
			infer_foreign(a, v);
		return v;
	default:
		return v;
	}
}

void form_infer(struct arena *a, const struct schema *s, const struct shorthand *shorthands,
		struct value *doc)
{
	const struct schema *variant = schema_variant(s, doc);
	struct value *ttl = value_get(doc, "ttl");

	infer_members(a, schema_fields(s), shorthands, doc);
	if (variant)
		infer_members(a, schema_fields(variant), NULL, doc);
	if (ttl && ttl->kind == VALUE_STRING)
		value_set(a, doc, STR("ttl"), infer_number(a, ttl));
}
