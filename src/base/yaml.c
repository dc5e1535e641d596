/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter for libyaml.
 *
 * Reading goes by events.  Plain scalars get their types from YAML 1.1's rules as
 * Kong's own reader applies them: yes/no/on/off are booleans, 017 is octal, 1_000
 * and 1:30 are integers.  An alias is a copy, so that whoever fills in defaults
 * changes one place only; how much may be copied depends on the length of the text. */
#include "base/yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"

#define COPIES_FREE ((size_t)1000 * 1000) /* nodes that aliases may add to any text */
#define KEYS_LINEAR 16                    /* members up to which keys are searched one by one */

#define TAG(word) "tag:yaml.org,2002:" word

struct anchor {
	struct value *value;
	bool is_open; /* still being read: an alias to it would be endless */
};

struct reader {
	struct arena *a;
	yaml_parser_t parser;
	yaml_event_t event; /* the current one; kept until the next */
	struct map anchors; /* name -> struct anchor */
	size_t nodes, copies, max_copies;
};

static struct err *fail_at(yaml_mark_t mark, const char *what)
{
	return FAIL(ERR_INVALID, "line %zu, column %zu: %s", mark.line + 1, mark.column + 1, what);
}

static struct err *next_event(struct reader *r)
{
	yaml_event_delete(&r->event);
	if (yaml_parser_parse(&r->parser, &r->event))
		return NULL;
	if (r->parser.error == YAML_READER_ERROR)
		return FAIL(ERR_INVALID, "byte %zu: %s", r->parser.problem_offset,
			    r->parser.problem ? r->parser.problem : "unreadable");
	return fail_at(r->parser.problem_mark,
		       r->parser.problem ? r->parser.problem : "not readable as YAML");
}

static struct err *count_nodes(struct reader *r, size_t n)
{
	r->nodes += n;
	if (r->nodes > LIMIT_YAML_NODES)
		return fail_at(r->event.start_mark, "too many values");
	return NULL;
}

/* -- the types of plain scalars -- */

static bool is_one_of(str s, const char *const *words)
{
	for (; *words; words++) {
		if (str_is(s, *words))
			return true;
	}
	return false;
}

static const char *const null_words[] = { "", "~", "null", "Null", "NULL", NULL };
static const char *const true_words[] = { "true", "True", "TRUE", "yes", "Yes",
					  "YES",  "on",   "On",   "ON",  NULL };
static const char *const false_words[] = { "false", "False", "FALSE", "no",  "No",
					   "NO",    "off",   "Off",   "OFF", NULL };
static const char *const nan_words[] = { ".nan", ".NaN", ".NAN", NULL };
static const char *const inf_words[] = { ".inf", ".Inf", ".INF", NULL };

/* A number on its way: exact while it fits, a real beyond. */
struct number {
	int64_t i;
	double real;
	bool is_real;
};

static void number_push(struct number *x, int base, int digit)
{
	x->real = x->real * base + digit;
	if (!x->is_real && (__builtin_mul_overflow(x->i, base, &x->i) ||
			    __builtin_add_overflow(x->i, digit, &x->i)))
		x->is_real = true;
}

static struct value *number_value(struct arena *a, const struct number *x, bool minus)
{
	if (x->is_real)
		return value_real(a, minus ? -x->real : x->real);
	return value_int(a, minus ? -x->i : x->i);
}

/* Digits of a base with underscores between; the first must be a digit. */
static bool read_digits(str s, int base, struct number *x)
{
	if (s.n == 0 || s.s[0] == '_')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int digit = ascii_hex(s.s[i]);

		if (s.s[i] == '_')
			continue;
		if (digit < 0 || digit >= base)
			return false;
		number_push(x, base, digit);
	}
	return true;
}

static str skip_underscores(str s)
{
	while (s.n && s.s[0] == '_')
		s = str_from(s, 1);
	return s;
}

/* "190:20:30": every part after the first below 60. */
static bool read_sexagesimal(str s, struct number *x)
{
	str part;
	size_t parts = 0;

	while (str_next(&s, ':', &part)) {
		int64_t n;

		if (part.n == 0 || !ascii_is_digit(part.s[0]) || !str_to_int(part, &n))
			return false;
		if (parts && (part.n > 2 || n >= 60))
			return false;
		if (parts == 0) {
			x->i = n;
			x->real = (double)n;
		} else {
			number_push(x, 60, (int)n);
		}
		parts++;
	}
	return parts > 1;
}

static bool to_real(str s, double *ret)
{
	char plain[64];
	size_t n = 0;

	if (s.n >= sizeof(plain))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.s[i] != '_')
			plain[n++] = s.s[i];
	}
	return str_to_num(str_at(plain, n), ret);
}

static struct value *scalar_int(struct arena *a, str s)
{
	bool minus = s.n && s.s[0] == '-';
	str rest = str_from(s, s.n && (s.s[0] == '-' || s.s[0] == '+'));
	struct number x = { 0 };
	bool ok = false;

	if (rest.n > 1 && rest.s[0] == '0') {
		char mark = rest.s[1];

		if (mark == 'x')
			ok = read_digits(skip_underscores(str_from(rest, 2)), 16, &x);
		else if (mark == 'b')
			ok = read_digits(skip_underscores(str_from(rest, 2)), 2, &x);
		else
			ok = read_digits(skip_underscores(str_from(rest, 1)), 8, &x);
		if (ok)
			return number_value(a, &x, minus);
		x = (struct number){ 0 };
	}
	if (read_digits(skip_underscores(rest), 10, &x)) {
		if (x.is_real)
			to_real(rest, &x.real); /* rounded once, not at every digit */
		return number_value(a, &x, minus);
	}
	x = (struct number){ 0 };
	if (read_sexagesimal(rest, &x))
		return number_value(a, &x, minus);
	return NULL;
}

static struct value *scalar_float(struct arena *a, str s)
{
	ptrdiff_t dot = str_find(s, '.', 0);
	bool has_sign = s.n && (s.s[0] == '-' || s.s[0] == '+'), minus = has_sign && s.s[0] == '-';
	struct number x = { 0 };
	double real;

	if ((dot >= 0 || str_find(s, 'e', 0) >= 0 || str_find(s, 'E', 0) >= 0) && to_real(s, &real))
		return value_real(a, real);
	if (is_one_of(s, nan_words))
		return value_real(a, (double)NAN);
	if (is_one_of(str_from(s, has_sign), inf_words))
		return value_real(a, minus ? -(double)INFINITY : (double)INFINITY);
	if (dot > 0 && (size_t)dot + 1 < s.n && str_find(s, ':', 0) >= 0 &&
	    read_sexagesimal(str_part(s, has_sign, (size_t)dot), &x) &&
	    to_real(str_from(s, (size_t)dot), &real))
		return value_real(a, minus ? -(x.real + real) : x.real + real);
	return NULL;
}

static struct value *scalar_bool(struct arena *a, str s)
{
	if (is_one_of(s, true_words))
		return value_bool(a, true);
	if (is_one_of(s, false_words))
		return value_bool(a, false);
	return NULL;
}

/* The typed value of a plain scalar, or NULL when it is a string. */
static struct value *scalar_plain(struct arena *a, str s)
{
	char c = s.n ? s.s[0] : '\0';
	struct value *v = NULL;

	if (is_one_of(s, null_words))
		return value_null(a);
	if (ascii_is_digit(c) || c == '-' || c == '+' || c == '.' || c == '_') {
		v = scalar_int(a, s);
		if (!v)
			v = scalar_float(a, s);
	}
	return v ? v : scalar_bool(a, s);
}

/* A scalar with one of the tags of YAML's own; *ret stays NULL with another. */
static bool scalar_tagged(struct arena *a, const char *tag, str s, struct value **ret)
{
	if (strcmp(tag, TAG("str")) == 0) {
		*ret = value_str(a, str_copy(a, s));
	} else if (strcmp(tag, TAG("null")) == 0) {
		*ret = value_null(a);
	} else if (strcmp(tag, TAG("bool")) == 0) {
		*ret = scalar_bool(a, s);
		if (!*ret && s.n == 1 && strchr("yYnN", s.s[0]))
			*ret = value_bool(a, ascii_lower(s.s[0]) == 'y');
	} else if (strcmp(tag, TAG("int")) == 0) {
		*ret = scalar_int(a, s);
	} else if (strcmp(tag, TAG("float")) == 0) {
		*ret = scalar_float(a, s);
		if (!*ret)
			*ret = scalar_int(a, s);
		if (*ret && (*ret)->kind == VALUE_INT)
			*ret = value_real(a, (double)(*ret)->i);
	} else {
		return false;
	}
	return true;
}

/* -- nodes -- */

static str event_scalar(const yaml_event_t *e)
{
	return str_at((const char *)e->data.scalar.value, e->data.scalar.length);
}

static struct err *read_scalar(struct reader *r, struct value **ret)
{
	const yaml_event_t *e = &r->event;
	const char *tag = (const char *)e->data.scalar.tag;
	str s = event_scalar(e);
	struct value *v = NULL;

	if (tag && scalar_tagged(r->a, tag, s, &v)) {
		if (!v)
			return fail_at(e->start_mark, "the value does not fit its tag");
	} else if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		v = scalar_plain(r->a, s);
	}
	*ret = v ? v : value_str(r->a, str_copy(r->a, s));
	return NULL;
}

/* A copy that shares the text's bytes, counted. */
static struct err *copy_node(struct reader *r, const struct value *v, struct value **ret)
{
	struct value *copy = arena_copy(r->a, v, sizeof(*v));

	PASS(count_nodes(r, 1));
	if (++r->copies > r->max_copies)
		return fail_at(r->event.start_mark, "aliases repeat too much");
	copy->cap = v->n;
	if (v->kind == VALUE_ARRAY && v->n) {
		copy->items = NEWS(r->a, struct value *, v->n);
		for (uint32_t i = 0; i < v->n; i++)
			PASS(copy_node(r, v->items[i], &copy->items[i]));
	} else if (v->kind == VALUE_OBJECT && v->n) {
		copy->members = NEWS(r->a, struct member, v->n);
		for (uint32_t i = 0; i < v->n; i++) {
			copy->members[i].key = v->members[i].key;
			PASS(copy_node(r, v->members[i].value, &copy->members[i].value));
		}
	}
	*ret = copy;
	return NULL;
}

static struct err *read_alias(struct reader *r, struct value **ret)
{
	const struct anchor *anchor =
		map_find(&r->anchors, str_of((const char *)r->event.data.alias.anchor));

	if (!anchor)
		return fail_at(r->event.start_mark, "an alias to an anchor that is not there");
	if (anchor->is_open)
		return fail_at(r->event.start_mark, "an alias inside its own anchor");
	return copy_node(r, anchor->value, ret);
}

static struct anchor *open_anchor(struct reader *r, const yaml_char_t *name)
{
	struct anchor *anchor;

	if (!name)
		return NULL;
	anchor = NEW(r->a, struct anchor);
	anchor->is_open = true;
	*map_put(r->a, &r->anchors, str_copy(r->a, str_of((const char *)name))) = anchor;
	return anchor;
}

/* The members read so far, with an index once they are many. */
struct keys {
	struct map index;
	uint32_t indexed;
};

static struct value *find_key(struct reader *r, struct keys *keys, const struct value *object,
			      str key)
{
	if (object->n <= KEYS_LINEAR)
		return value_get_str(object, key);
	for (; keys->indexed < object->n; keys->indexed++) {
		struct member *m = &object->members[keys->indexed];

		*map_put(r->a, &keys->index, m->key) = m->value;
	}
	return map_find(&keys->index, key);
}

/* Adds a member whose key is known to be new, without looking for it again. */
static void add_member(struct arena *a, struct value *object, str key, struct value *v)
{
	if (object->n == object->cap) {
		uint32_t cap = object->cap ? object->cap * 2 : 4;
		struct member *more = NEWS(a, struct member, cap);

		if (object->n)
			memcpy(more, object->members, object->n * sizeof(*more));
		object->members = more;
		object->cap = cap;
	}
	object->members[object->n++] = (struct member){ key, v };
}

/* <<: what the mapping itself says wins, then the earlier of several. */
static struct err *merge(struct reader *r, struct keys *keys, struct value *into,
			 const struct value *from, yaml_mark_t mark)
{
	if (from->kind == VALUE_ARRAY) {
		for (uint32_t i = 0; i < from->n; i++) {
			if (from->items[i]->kind != VALUE_OBJECT)
				return fail_at(mark, "<< wants mappings");
			PASS(merge(r, keys, into, from->items[i], mark));
		}
		return NULL;
	}
	if (from->kind != VALUE_OBJECT)
		return fail_at(mark, "<< wants a mapping or a list of them");
	for (uint32_t i = 0; i < from->n; i++) {
		if (!find_key(r, keys, into, from->members[i].key))
			add_member(r->a, into, from->members[i].key, from->members[i].value);
	}
	return NULL;
}

static struct err *read_node(struct reader *r, int depth, struct value **ret);

/* Of the current event: text of a key, and whether it is the merge key. */
static struct err *read_key(struct reader *r, str *ret, bool *ret_is_merge)
{
	const yaml_event_t *e = &r->event;
	const char *tag;
	struct anchor *anchor;

	if (e->type == YAML_ALIAS_EVENT) {
		struct value *v;

		PASS(read_alias(r, &v));
		if (v->kind != VALUE_STRING)
			return fail_at(e->start_mark, "a key must be a scalar");
		*ret = v->s;
		*ret_is_merge = false;
		return NULL;
	}
	if (e->type != YAML_SCALAR_EVENT)
		return fail_at(e->start_mark, "a key must be a scalar");
	*ret = str_copy(r->a, event_scalar(e));
	tag = (const char *)e->data.scalar.tag;
	*ret_is_merge = tag ? strcmp(tag, TAG("merge")) == 0
			    : str_is(*ret, "<<") && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	anchor = open_anchor(r, e->data.scalar.anchor);
	if (anchor) {
		anchor->value = value_str(r->a, *ret);
		anchor->is_open = false;
	}
	return NULL;
}

static struct err *read_mapping(struct reader *r, int depth, struct value **ret)
{
	struct {
		struct merged {
			struct value *from;
			yaml_mark_t mark;
		} * v;
		size_t n, cap;
	} merges = { 0 };
	struct value *object = value_object(r->a);
	struct keys keys = { 0 };

	for (;;) {
		yaml_mark_t mark;
		struct value *v;
		bool is_merge;
		str key;

		PASS(next_event(r));
		if (r->event.type == YAML_MAPPING_END_EVENT)
			break;
		mark = r->event.start_mark;
		PASS(read_key(r, &key, &is_merge));
		if (!is_merge && find_key(r, &keys, object, key))
			return FAIL(ERR_INVALID,
				    "line %zu, column %zu: key '" STRF "' is there twice",
				    mark.line + 1, mark.column + 1, STRV(str_part(key, 0, 100)));
		PASS(next_event(r));
		PASS(read_node(r, depth, &v));
		if (is_merge)
			*vec_add(r->a, &merges) = (struct merged){ v, mark };
		else
			add_member(r->a, object, key, v);
	}
	vec_for_each (&merges, struct merged, m)
		PASS(merge(r, &keys, object, m->from, m->mark));
	*ret = object;
	return NULL;
}

static struct err *read_sequence(struct reader *r, int depth, struct value **ret)
{
	struct value *array = value_array(r->a);

	for (;;) {
		struct value *v;

		PASS(next_event(r));
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		PASS(read_node(r, depth, &v));
		value_add(r->a, array, v);
	}
	*ret = array;
	return NULL;
}

/* The node that begins with the current event. */
static struct err *read_node(struct reader *r, int depth, struct value **ret)
{
	const yaml_event_t *e = &r->event;
	struct anchor *anchor = NULL;

	PASS(count_nodes(r, 1));
	if (depth == LIMIT_JSON_DEPTH)
		return fail_at(e->start_mark, "nested too deeply");
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return read_alias(r, ret);
	case YAML_SCALAR_EVENT:
		anchor = open_anchor(r, e->data.scalar.anchor);
		PASS(read_scalar(r, ret));
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = open_anchor(r, e->data.sequence_start.anchor);
		PASS(read_sequence(r, depth + 1, ret));
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = open_anchor(r, e->data.mapping_start.anchor);
		PASS(read_mapping(r, depth + 1, ret));
		break;
	default:
		return fail_at(e->start_mark, "a value is missing");
	}
	if (anchor) {
		anchor->value = *ret;
		anchor->is_open = false;
	}
	return NULL;
}

static void reader_done(struct reader *r)
{
	yaml_event_delete(&r->event);
	yaml_parser_delete(&r->parser);
}

struct err *yaml_parse(struct arena *a, str text, struct value **ret)
{
	CLEANUP(reader_done) struct reader r = { .a = a, .max_copies = COPIES_FREE + 10 * text.n };
	struct value *v;

	if (!yaml_parser_initialize(&r.parser))
		die("out of memory");
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.n ? text.s : ""),
				     text.n);
	PASS(next_event(&r)); /* the stream's beginning */
	PASS(next_event(&r));
	if (r.event.type == YAML_STREAM_END_EVENT) {
		*ret = value_null(a);
		return NULL;
	}
	PASS(next_event(&r)); /* past the document's beginning */
	PASS(read_node(&r, 0, &v));
	PASS(next_event(&r)); /* what is left of the document must be well formed */
	*ret = v;
	return NULL;
}

/* -- the writer -- */

struct writer {
	struct arena *a;
	yaml_emitter_t emitter;
	bool has_failed;
};

static int write_bytes(void *out, unsigned char *p, size_t n)
{
	buf_add(out, p, n);
	return 1;
}

static void emit(struct writer *w, yaml_event_t *e, int is_made)
{
	if (!is_made || !yaml_emitter_emit(&w->emitter, e))
		w->has_failed = true;
}

static void write_scalar(struct writer *w, str s, yaml_scalar_style_t style)
{
	const yaml_char_t *text;
	yaml_event_t e;

	s = str_to_utf8(w->a, s);
	text = (const yaml_char_t *)(s.n ? s.s : "");
	emit(w, &e, yaml_scalar_event_initialize(&e, NULL, NULL, text, (int)s.n, 1, 1, style));
}

/* Quoted when it would be read as something else; lines as a literal block. */
static void write_string(struct writer *w, str s)
{
	yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;

	if (scalar_plain(w->a, s) || str_is(s, "<<") || str_is(s, "="))
		style = YAML_SINGLE_QUOTED_SCALAR_STYLE;
	else if (str_find(s, '\n', 0) >= 0)
		style = YAML_LITERAL_SCALAR_STYLE;
	write_scalar(w, s, style);
}

static void write_real(struct writer *w, double x)
{
	struct value v = { .kind = VALUE_REAL, .real = x };
	str s;

	if (isnan(x))
		s = STR(".nan");
	else if (isinf(x))
		s = x > 0 ? STR(".inf") : STR("-.inf");
	else
		s = json_text(w->a, &v, JSON_COMPACT);
	write_scalar(w, s, YAML_PLAIN_SCALAR_STYLE);
}

static void write_value(struct writer *w, const struct value *v)
{
	yaml_event_t e;

	switch (v ? v->kind : VALUE_NULL) {
	case VALUE_NULL:
		write_scalar(w, STR("~"), YAML_PLAIN_SCALAR_STYLE);
		break;
	case VALUE_BOOL:
		write_scalar(w, v->b ? STR("true") : STR("false"), YAML_PLAIN_SCALAR_STYLE);
		break;
	case VALUE_INT:
		write_scalar(w, str_fmt(w->a, "%lld", (long long)v->i), YAML_PLAIN_SCALAR_STYLE);
		break;
	case VALUE_REAL:
		write_real(w, v->real);
		break;
	case VALUE_STRING:
		write_string(w, v->s);
		break;
	case VALUE_ARRAY:
		emit(w, &e,
		     yaml_sequence_start_event_initialize(&e, NULL, NULL, 1,
							  YAML_BLOCK_SEQUENCE_STYLE));
		for (uint32_t i = 0; i < v->n; i++)
			write_value(w, v->items[i]);
		emit(w, &e, yaml_sequence_end_event_initialize(&e));
		break;
	case VALUE_OBJECT:
		emit(w, &e,
		     yaml_mapping_start_event_initialize(&e, NULL, NULL, 1,
							 YAML_BLOCK_MAPPING_STYLE));
		for (uint32_t i = 0; i < v->n; i++) {
			write_string(w, v->members[i].key);
			write_value(w, v->members[i].value);
		}
		emit(w, &e, yaml_mapping_end_event_initialize(&e));
		break;
	}
}

void yaml_write(struct buf *out, const struct value *v)
{
	CLEANUP(arena_drop) struct arena *a = arena_new();
	struct writer w = { .a = a };
	yaml_event_t e;

	if (!yaml_emitter_initialize(&w.emitter))
		die("out of memory");
	yaml_emitter_set_output(&w.emitter, write_bytes, out);
	yaml_emitter_set_unicode(&w.emitter, 1);
	yaml_emitter_set_width(&w.emitter, -1);
	emit(&w, &e, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING));
	emit(&w, &e, yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1));
	write_value(&w, v);
	emit(&w, &e, yaml_document_end_event_initialize(&e, 1));
	emit(&w, &e, yaml_stream_end_event_initialize(&e));
	yaml_emitter_delete(&w.emitter);
	if (w.has_failed)
		out->is_full = true;
}
