/* SPDX-License-Identifier: Apache-2.0 */
/* The first pass over a document: what was left out is filled in.
 *
 * In place, in the order that counts: shorthands become the fields they stand
 * for; auto fields are made; missing fields get their defaults, or null where
 * nothing is required; sets lose duplicates; an empty object where a list belongs
 * (and the other way round) becomes one, for Lua knows no difference; whole
 * reals become integers where those are wanted; UUIDs become lower case. */
#include "base/log.h"
#include "base/map.h"
#include "schema/priv.h"

#include <math.h>
#include <sys/random.h>

#define SECRET_LENGTH 32
#define SET_LINEAR    16 /* up to here a set is compared pair by pair */

static struct value null_value = { .kind = VALUE_NULL };

/* Letters and digits from the kernel's generator, each as likely as the other. */
static struct value *random_text(struct arena *a)
{
	static const char digits[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	const unsigned char fair = 256 - 256 % (sizeof(digits) - 1);
	char *text = arena_bytes(a, SECRET_LENGTH);
	unsigned char bytes[64];

	for (size_t n = 0, i = sizeof(bytes); n < SECRET_LENGTH; i++) {
		if (i >= sizeof(bytes)) {
			if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
				die("the kernel gives no random numbers");
			i = 0;
		}
		if (bytes[i] < fair)
			text[n++] = digits[bytes[i] % (sizeof(digits) - 1)];
	}
	return value_str(a, str_at(text, SECRET_LENGTH));
}

static bool is_scalar(const struct value *v)
{
	return v->kind != VALUE_ARRAY && v->kind != VALUE_OBJECT;
}

/* Scalars, and lists of them that are in order already, are never changed in place, so
 * that all documents may share them. */
static bool may_share(const struct value *v)
{
	bool may = v->kind != VALUE_OBJECT;

	for (uint32_t i = 0; v->kind == VALUE_ARRAY && i < v->n; i++)
		may &= is_scalar(v->items[i]);
	return may;
}

static struct value *default_of(const struct run *r, const struct rule *rule)
{
	return may_share(rule->def) ? rule->def : value_copy(r->a, rule->def);
}

static struct value *missing_value(const struct run *r, const struct rule *rule)
{
	const struct run whole = { .a = r->a,
				   .op = r->op == SCHEMA_SELECT ? SCHEMA_SELECT : SCHEMA_INSERT,
				   .now_ms = r->now_ms,
				   .keep_references = r->keep_references };
	struct value *v;

	if (!rule->def && !rule->is_required)
		return &null_value;
	if (!rule->def && (rule->row->is_abstract || rule->kind != FIELD_RECORD))
		return NULL;
	v = rule->def ? default_of(r, rule) : value_object(r->a);
	if (rule->record && v->kind == VALUE_OBJECT)
		schema_complete_record(&whole, rule->record, v);
	return v;
}

static struct value *auto_value(const struct run *r, const struct rule *rule, struct value *v)
{
	bool is_new = r->op == SCHEMA_INSERT || r->op == SCHEMA_UPSERT;
	bool is_wanted;

	if (rule->row->is_uuid) {
		if (!is_new || !value_is_null(v))
			return v;
		return value_str(r->a, uuid_str(r->a, uuid_random()));
	}
	if (rule->kind == FIELD_STRING)
		return is_new && !v ? random_text(r->a) : v;
	is_wanted = (is_new && value_is_null(v) && str_is(rule->name, "created_at")) ||
		    str_is(rule->name, "updated_at");
	if (!is_wanted)
		return v;
	if (rule->kind == FIELD_NUMBER)
		return value_real(r->a, (double)r->now_ms / 1000);
	return value_int(r->a, r->now_ms / 1000);
}

static void drop_duplicates_by_map(struct arena *a, struct value *v)
{
	struct map seen = { 0 };
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->n; i++) {
		struct value *item = v->items[i];

		if (item->kind == VALUE_STRING) {
			void **slot = map_put(a, &seen, item->s);

			if (*slot)
				continue;
			*slot = item;
		}
		if (n != i)
			v->items[n] = item;
		n++;
	}
	v->n = n;
}

/* Whether the i-th is one of those before it.  Tables are never equal to another (Lua). */
static bool is_known(const struct value *v, uint32_t i)
{
	if (!is_scalar(v->items[i]))
		return false;
	for (uint32_t k = 0; k < i; k++) {
		if (value_eq(v->items[k], v->items[i]))
			return true;
	}
	return false;
}

/* Of equal scalars the first stays.  Nothing is written where there is nothing to drop. */
static void drop_duplicates(struct arena *a, struct value *v)
{
	uint32_t i = 0;

	if (v->n > SET_LINEAR) {
		drop_duplicates_by_map(a, v);
		return;
	}
	while (i < v->n) {
		if (!is_known(v, i)) {
			i++;
			continue;
		}
		memmove(&v->items[i], &v->items[i + 1], (v->n - i - 1) * sizeof(*v->items));
		v->n--;
	}
}

/* An empty table is whatever it should be. */
static void adopt_empty(struct value *v, enum value_kind from, enum value_kind to)
{
	if (v->kind == from && v->n == 0)
		*v = (struct value){ .kind = to };
}

static void complete_list(const struct run *r, const struct rule *rule, struct value *v)
{
	struct run items = *r;

	if (items.op == SCHEMA_UPDATE)
		items.op = SCHEMA_INSERT; /* lists are replaced as a whole */
	adopt_empty(v, VALUE_OBJECT, VALUE_ARRAY);
	if (v->kind != VALUE_ARRAY)
		return;
	if (rule->kind == FIELD_SET)
		drop_duplicates(r->a, v);
	for (uint32_t i = 0; i < v->n; i++) {
		struct value *item = schema_complete_value(&items, rule->elements, v->items[i]);

		if (item != v->items[i])
			v->items[i] = item;
	}
}

static void complete_map(const struct run *r, const struct rule *rule, struct value *v)
{
	struct run items = *r;

	if (items.op == SCHEMA_UPDATE)
		items.op = SCHEMA_INSERT;
	adopt_empty(v, VALUE_ARRAY, VALUE_OBJECT);
	for (uint32_t i = 0; v->kind == VALUE_OBJECT && i < v->n; i++)
		v->members[i].value =
			schema_complete_value(&items, rule->values, v->members[i].value);
}

static struct value *lower_uuid(struct arena *a, struct value *v)
{
	bool has_upper = false;
	uuid u;

	if (v->kind != VALUE_STRING)
		return v;
	for (size_t i = 0; i < v->s.n; i++)
		has_upper |= v->s.s[i] >= 'A' && v->s.s[i] <= 'F';
	return has_upper && uuid_parse(v->s, &u) ? value_str(a, uuid_str(a, u)) : v;
}

/* A reference with its id is the id alone; others are for the store to resolve. */
static struct value *complete_foreign(const struct run *r, struct value *v)
{
	struct value *id = value_get(v, "id");
	struct value *alone;

	adopt_empty(v, VALUE_ARRAY, VALUE_OBJECT);
	if (value_is_null(id))
		return v;
	id = lower_uuid(r->a, id);
	if (v->n == 1 && id == v->members[0].value)
		return v;
	alone = value_object(r->a);
	value_set(r->a, alone, STR("id"), id);
	return alone;
}

static struct value *whole_number(struct arena *a, struct value *v)
{
	const double exact = 9007199254740992.0; /* 2^53 */

	if (v->kind != VALUE_REAL || v->real != floor(v->real) || fabs(v->real) > exact)
		return v;
	return value_int(a, (int64_t)v->real);
}

static struct value *complete_present(const struct run *r, const struct rule *rule, struct value *v)
{
	switch (rule->kind) {
	case FIELD_RECORD:
		adopt_empty(v, VALUE_ARRAY, VALUE_OBJECT);
		if (rule->record && v->kind == VALUE_OBJECT)
			schema_complete_record(r, rule->record, v);
		return v;
	case FIELD_ARRAY:
	case FIELD_SET:
		complete_list(r, rule, v);
		return v;
	case FIELD_MAP:
		complete_map(r, rule, v);
		return v;
	case FIELD_FOREIGN:
		return complete_foreign(r, v);
	case FIELD_INTEGER:
		return whole_number(r->a, v);
	case FIELD_STRING:
		return rule->row->is_uuid ? lower_uuid(r->a, v) : v;
	default:
		return v;
	}
}

struct value *schema_complete_value(const struct run *r, const struct rule *rule, struct value *v)
{
	if (r->op == SCHEMA_SELECT && value_is_null(v) && rule->is_required)
		return missing_value(r, rule);
	if (!v)
		return r->op == SCHEMA_UPDATE ? NULL : missing_value(r, rule);
	if (value_is_null(v))
		return v;
	return complete_present(r, rule, v);
}

/* The wrong ones stay where they are; the tree says what is wrong with them. */
static struct value *expand_shorthands(const struct run *r, const struct schema *s,
				       struct value *doc)
{
	struct value *errors = NULL;

	for (size_t i = 0; i < s->n_shorthands; i++) {
		const struct compiled_shorthand *short_ = &s->shorthands[i];
		struct value *v = value_get_str(doc, short_->name);
		struct value *error = NULL;
		const char *message;

		if (!v)
			continue;
		error = schema_judge_value(r, short_->rule, v);
		if (!error) {
			value_unset(doc, short_->name);
			message = short_->row->expand(r->a, v, doc);
			error = message ? value_text(r->a, message) : NULL;
		}
		if (!error)
			continue;
		if (!errors)
			errors = value_object(r->a);
		value_set(r->a, errors, short_->name, error);
	}
	return errors;
}

struct value *schema_complete_record(const struct run *r, const struct schema *s, struct value *doc)
{
	const struct schema *variant;
	struct value *errors;
	uint32_t at = 0;

	if (r->op != SCHEMA_SELECT && s->n_shorthands) {
		errors = expand_shorthands(r, s, doc);
		if (errors)
			return errors;
	}
	variant = schema_variant(s, doc);
	if (r->op != SCHEMA_UPDATE)
		value_reserve(r->a, doc, (uint32_t)s->n);
	for (size_t i = 0; i < s->n; i++) {
		const struct rule *rule = schema_rule(s, variant, i);
		struct value *before = schema_get_next(doc, rule->name, &at), *v = before;

		if (rule->row->is_auto && r->op != SCHEMA_SELECT)
			v = auto_value(r, rule, v);
		v = schema_complete_value(r, rule, v);
		if (v && !before)
			value_append(r->a, doc, rule->name, v);
		else if (v && v != before)
			value_set(r->a, doc, rule->name, v);
	}
	return NULL;
}
