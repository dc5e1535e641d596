/* SPDX-License-Identifier: Apache-2.0 */
#include "base/value.h"

#include <math.h>

static struct value *value_new(struct arena *a, enum value_kind kind)
{
	struct value *v = NEW(a, struct value);

	v->kind = kind;
	return v;
}

struct value *value_null(struct arena *a)
{
	return value_new(a, VALUE_NULL);
}

struct value *value_bool(struct arena *a, bool b)
{
	struct value *v = value_new(a, VALUE_BOOL);

	v->b = b;
	return v;
}

struct value *value_int(struct arena *a, int64_t i)
{
	struct value *v = value_new(a, VALUE_INT);

	v->i = i;
	return v;
}

struct value *value_real(struct arena *a, double real)
{
	struct value *v = value_new(a, VALUE_REAL);

	v->real = real;
	return v;
}

struct value *value_str(struct arena *a, str s)
{
	struct value *v = value_new(a, VALUE_STRING);

	v->s = s.s ? s : STR("");
	return v;
}

double value_num(const struct value *v)
{
	return v && v->kind == VALUE_INT    ? (double)v->i
	       : v && v->kind == VALUE_REAL ? v->real
					    : NAN;
}

struct value *value_text(struct arena *a, const char *z)
{
	return z ? value_str(a, str_of(z)) : value_null(a);
}

struct value *value_array(struct arena *a)
{
	return value_new(a, VALUE_ARRAY);
}

struct value *value_object(struct arena *a)
{
	return value_new(a, VALUE_OBJECT);
}

/* Room for one more element of that size; the old storage stays in the arena. */
static void *grow(struct arena *a, struct value *v, void *old, size_t size)
{
	uint32_t cap = v->cap ? v->cap * 2 : 4;
	char *p = arena_alloc(a, arena_times_(cap, size));

	if (v->n)
		memcpy(p, old, v->n * size);
	v->cap = cap;
	return p;
}

void value_add(struct arena *a, struct value *array, struct value *item)
{
	if (array->n == array->cap)
		array->items = grow(a, array, array->items, sizeof(*array->items));
	array->items[array->n++] = item;
}

static struct member *find_member(const struct value *v, str key)
{
	for (uint32_t i = 0; i < v->n; i++) {
		if (str_eq(v->members[i].key, key))
			return &v->members[i];
	}
	return NULL;
}

void value_set(struct arena *a, struct value *object, str key, struct value *v)
{
	struct member *m = find_member(object, key);

	if (!m) {
		if (object->n == object->cap)
			object->members =
				grow(a, object, object->members, sizeof(*object->members));
		m = &object->members[object->n++];
		m->key = key;
	}
	m->value = v;
}

void value_reserve(struct arena *a, struct value *v, uint32_t n)
{
	size_t size = v->kind == VALUE_ARRAY ? sizeof(*v->items) : sizeof(*v->members);
	void *old = v->kind == VALUE_ARRAY ? (void *)v->items : (void *)v->members;
	void *p;

	if (n <= v->cap)
		return;
	p = arena_alloc(a, arena_times_(n, size));
	if (v->n)
		memcpy(p, old, v->n * size);
	v->cap = n;
	if (v->kind == VALUE_ARRAY)
		v->items = p;
	else
		v->members = p;
}

void value_append(struct arena *a, struct value *object, str key, struct value *v)
{
	if (object->n == object->cap)
		object->members = grow(a, object, object->members, sizeof(*object->members));
	object->members[object->n++] = (struct member){ .key = key, .value = v };
}

void value_gather(struct arena *a, struct value *object, str key, struct value *v)
{
	struct value *before = value_get_str(object, key), *list;

	if (!before) {
		value_set(a, object, key, v);
	} else if (before->kind == VALUE_ARRAY) {
		value_add(a, before, v);
	} else {
		list = value_array(a);
		value_add(a, list, before);
		value_add(a, list, v);
		value_set(a, object, key, list);
	}
}

void value_unset(struct value *object, str key)
{
	struct member *m = find_member(object, key);

	if (!m)
		return;
	object->n--;
	memmove(m, m + 1, (size_t)(object->members + object->n - m) * sizeof(*m));
}

struct value *value_get_str(const struct value *v, str key)
{
	struct member *m = v && v->kind == VALUE_OBJECT ? find_member(v, key) : NULL;

	return m ? m->value : NULL;
}

struct value *value_get(const struct value *v, const char *key)
{
	return value_get_str(v, str_of(key));
}

struct value *value_copy(struct arena *a, const struct value *v)
{
	struct value *copy;

	if (!v)
		return NULL;
	copy = arena_copy(a, v, sizeof(*v));
	copy->cap = v->n;
	if (v->kind == VALUE_STRING) {
		copy->s = str_copy(a, v->s);
	} else if (v->kind == VALUE_ARRAY) {
		copy->items = NEWS(a, struct value *, v->n);
		for (uint32_t i = 0; i < v->n; i++)
			copy->items[i] = value_copy(a, v->items[i]);
	} else if (v->kind == VALUE_OBJECT) {
		copy->members = NEWS(a, struct member, v->n);
		for (uint32_t i = 0; i < v->n; i++) {
			copy->members[i].key = str_copy(a, v->members[i].key);
			copy->members[i].value = value_copy(a, v->members[i].value);
		}
	}
	return copy;
}

static bool objects_eq(const struct value *a, const struct value *b)
{
	for (uint32_t i = 0; i < a->n; i++) {
		const struct value *other = value_get_str(b, a->members[i].key);

		if (!other || !value_eq(a->members[i].value, other))
			return false;
	}
	return true;
}

static bool numbers_eq(const struct value *a, const struct value *b)
{
	double x = a->kind == VALUE_INT ? (double)a->i : a->real;
	double y = b->kind == VALUE_INT ? (double)b->i : b->real;

	return a->kind == b->kind && a->kind == VALUE_INT ? a->i == b->i : x == y;
}

static bool is_number(const struct value *v)
{
	return v->kind == VALUE_INT || v->kind == VALUE_REAL;
}

bool value_eq(const struct value *a, const struct value *b)
{
	if (value_is_null(a) || value_is_null(b))
		return value_is_null(a) && value_is_null(b);
	if (is_number(a) && is_number(b))
		return numbers_eq(a, b);
	if (a->kind != b->kind)
		return false;
	if (a->kind == VALUE_BOOL)
		return a->b == b->b;
	if (a->kind == VALUE_STRING)
		return str_eq(a->s, b->s);
	if (a->n != b->n)
		return false;
	if (a->kind == VALUE_OBJECT)
		return objects_eq(a, b);
	for (uint32_t i = 0; i < a->n; i++) {
		if (!value_eq(a->items[i], b->items[i]))
			return false;
	}
	return true;
}
