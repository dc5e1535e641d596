/* SPDX-License-Identifier: Apache-2.0 */
/* Documents as messages.
 *
 * Numbers may be texts, as arguments of a query are; bool takes everything but false, null,
 * "0" and "false"; an enum takes names and numbers.  null is absence. */
#include "protobuf/priv.h"

#include "protobuf/timestamp.h"
#include <math.h>

enum wire { WIRE_VARINT, WIRE_64, WIRE_LENGTH, WIRE_32 = 5 };

static void add_varint(struct buf *out, uint64_t u)
{
	for (; u >= 0x80; u >>= 7)
		buf_add_char(out, (char)(u | 0x80));
	buf_add_char(out, (char)u);
}

static void add_fixed(struct buf *out, uint64_t u, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		buf_add_char(out, (char)(u >> 8 * i));
}

static void add_length(struct buf *out, str s)
{
	add_varint(out, s.n);
	buf_add_str(out, s);
}

static enum wire wire_of(enum proto_type t)
{
	switch (t) {
	case PROTO_DOUBLE:
	case PROTO_FIXED64:
	case PROTO_SFIXED64:
		return WIRE_64;
	case PROTO_FLOAT:
	case PROTO_FIXED32:
	case PROTO_SFIXED32:
		return WIRE_32;
	case PROTO_STRING:
	case PROTO_BYTES:
	case PROTO_MESSAGE:
	case PROTO_GROUP:
		return WIRE_LENGTH;
	default:
		return WIRE_VARINT;
	}
}

static void add_tag(struct buf *out, const struct proto_field *f, enum wire w)
{
	add_varint(out, (uint64_t)f->number << 3 | w);
}

/* ---- scalars ---------------------------------------------------------------------------- */

static struct err *mismatch(const char *wanted)
{
	return FAIL(ERR_INVALID, "expected %s", wanted);
}

static struct err *to_double(const struct value *v, double *ret)
{
	double d = value_num(v);

	if (v->kind == VALUE_STRING && str_is(v->s, "Infinity"))
		d = INFINITY;
	else if (v->kind == VALUE_STRING && str_is(v->s, "-Infinity"))
		d = -INFINITY;
	else if (v->kind == VALUE_STRING && !str_is(v->s, "NaN") && !str_to_num(v->s, &d))
		return mismatch("a number");
	else if (v->kind != VALUE_STRING && v->kind != VALUE_INT && v->kind != VALUE_REAL)
		return mismatch("a number");
	*ret = d;
	return NULL;
}

static bool to_unsigned(str s, uint64_t *ret)
{
	uint64_t u = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(s.s[i] - '0');

		if (digit > 9 || u > (UINT64_MAX - digit) / 10)
			return false;
		u = u * 10 + digit;
	}
	*ret = u;
	return s.n > 0;
}

/* A whole number from min to max; the largest of 64 bits without a sign are texts or reals. */
static struct err *to_whole(const struct value *v, int64_t min, uint64_t max, uint64_t *ret)
{
	double d = 0;
	int64_t i;

	if (v->kind == VALUE_STRING && to_unsigned(v->s, ret))
		return *ret <= max ? NULL : mismatch("a smaller number");
	if (v->kind == VALUE_INT) {
		i = v->i;
	} else if (v->kind != VALUE_STRING || !str_to_int(v->s, &i)) {
		PASS(to_double(v, &d));
		if (!(d >= -0x1p63 && d < 0x1p64) || d != floor(d))
			return mismatch("a whole number");
		if (d >= 0x1p63) {
			*ret = (uint64_t)d;
			return *ret <= max ? NULL : mismatch("a smaller number");
		}
		i = (int64_t)d;
	}
	if (i < min || (i > 0 && (uint64_t)i > max))
		return mismatch("a number within its bounds");
	*ret = (uint64_t)i;
	return NULL;
}

static bool to_bool(const struct value *v)
{
	if (v->kind == VALUE_BOOL)
		return v->b;
	return v->kind != VALUE_STRING || (!str_is(v->s, "0") && !str_is(v->s, "false"));
}

static struct err *to_enum(const struct proto_enum *e, const struct value *v, uint64_t *ret)
{
	for (size_t i = 0; v->kind == VALUE_STRING && i < e->values.n; i++) {
		if (str_eq(e->values.v[i].name, v->s)) {
			*ret = (uint64_t)e->values.v[i].number;
			return NULL;
		}
	}
	TRY(to_whole(v, INT32_MIN, INT32_MAX, ret), "enum " STRF, STRV(e->name));
	return NULL;
}

static struct err *to_text(const struct value *v, str *ret)
{
	if (v->kind != VALUE_STRING)
		return mismatch("a text");
	*ret = v->s;
	return NULL;
}

static uint64_t zigzag(uint64_t u)
{
	return u << 1 ^ (u >> 63 ? UINT64_MAX : 0);
}

static struct err *add_float(const struct proto_field *f, const struct value *v, struct buf *out)
{
	union {
		double d;
		uint64_t u;
	} wide = { 0 };
	union {
		float f;
		uint32_t u;
	} narrow;

	PASS(to_double(v, &wide.d));
	narrow.f = (float)wide.d;
	if (f->type == PROTO_DOUBLE)
		add_fixed(out, wide.u, 8);
	else
		add_fixed(out, narrow.u, 4);
	return NULL;
}

static struct err *add_whole(const struct proto_field *f, const struct value *v, struct buf *out)
{
	uint64_t u;

	switch (f->type) {
	case PROTO_INT32:
	case PROTO_SINT32:
	case PROTO_SFIXED32:
		PASS(to_whole(v, INT32_MIN, INT32_MAX, &u));
		break;
	case PROTO_UINT32:
	case PROTO_FIXED32:
		PASS(to_whole(v, 0, UINT32_MAX, &u));
		break;
	case PROTO_UINT64:
	case PROTO_FIXED64:
		PASS(to_whole(v, 0, UINT64_MAX, &u));
		break;
	default:
		PASS(to_whole(v, INT64_MIN, INT64_MAX, &u));
	}
	if (f->type == PROTO_SINT32 || f->type == PROTO_SINT64)
		u = zigzag(u);
	if (wire_of(f->type) == WIRE_64)
		add_fixed(out, u, 8);
	else if (wire_of(f->type) == WIRE_32)
		add_fixed(out, u, 4);
	else
		add_varint(out, u);
	return NULL;
}

static struct err *add_scalar(const struct proto_field *f, const struct value *v, struct buf *out)
{
	uint64_t u;
	str s;

	switch (f->type) {
	case PROTO_DOUBLE:
	case PROTO_FLOAT:
		return add_float(f, v, out);
	case PROTO_BOOL:
		add_varint(out, to_bool(v));
		return NULL;
	case PROTO_ENUM:
		PASS(to_enum(f->enumeration, v, &u));
		add_varint(out, u);
		return NULL;
	case PROTO_STRING:
	case PROTO_BYTES:
		PASS(to_text(v, &s));
		add_length(out, s);
		return NULL;
	default:
		return add_whole(f, v, out);
	}
}

/* ---- messages ----------------------------------------------------------------------------- */

static struct err *encode(const struct proto_message *m, const struct value *v, unsigned depth,
			  struct buf *out);

static struct err *encode_timestamp(const struct value *v, struct buf *out)
{
	int64_t seconds;
	int32_t nanos;
	str text;

	PASS(to_text(v, &text));
	if (!timestamp_parse(text, &seconds, &nanos))
		return mismatch("a time as RFC 3339 has it");
	if (seconds) {
		add_varint(out, 1 << 3 | WIRE_VARINT);
		add_varint(out, (uint64_t)seconds);
	}
	if (nanos) {
		add_varint(out, 2 << 3 | WIRE_VARINT);
		add_varint(out, (uint64_t)nanos);
	}
	return NULL;
}

/* One value behind its tag. */
static struct err *add_one(const struct proto_field *f, const struct value *v, unsigned depth,
			   struct buf *out)
{
	struct buf inner CLEANUP(buf_done) = { .max = out->max };

	add_tag(out, f, wire_of(f->type));
	if (f->type != PROTO_MESSAGE)
		return add_scalar(f, v, out);
	if (f->message->is_timestamp && v->kind != VALUE_OBJECT)
		PASS(encode_timestamp(v, &inner));
	else
		PASS(encode(f->message, v, depth + 1, &inner));
	add_length(out, buf_str(&inner));
	return NULL;
}

static struct err *add_packed(const struct proto_field *f, const struct value *list,
			      struct buf *out)
{
	struct buf inner CLEANUP(buf_done);

	buf_init(&inner, out->max);
	for (uint32_t i = 0; i < list->n; i++)
		TRY(add_scalar(f, list->items[i], &inner), "[%u]", i);
	add_tag(out, f, WIRE_LENGTH);
	add_length(out, buf_str(&inner));
	return NULL;
}

static struct err *add_list(const struct proto_field *f, const struct value *v, unsigned depth,
			    struct buf *out)
{
	if (v->kind != VALUE_ARRAY) /* an argument that came once */
		return add_one(f, v, depth, out);
	if (f->is_packed && wire_of(f->type) != WIRE_LENGTH)
		return v->n ? add_packed(f, v, out) : NULL;
	for (uint32_t i = 0; i < v->n; i++)
		TRY(add_one(f, v->items[i], depth, out), "[%u]", i);
	return NULL;
}

static struct err *add_map(const struct proto_field *f, const struct value *v, unsigned depth,
			   struct buf *out)
{
	const struct proto_field *key = &f->message->fields.v[0], *value = &f->message->fields.v[1];

	if (v->kind != VALUE_OBJECT)
		return mismatch("an object");
	for (uint32_t i = 0; i < v->n; i++) {
		const struct member *member = &v->members[i];
		struct value name = { .kind = VALUE_STRING, .s = member->key };
		struct buf inner CLEANUP(buf_done);

		buf_init(&inner, out->max);
		TRY(add_one(key, &name, depth, &inner), "key " STRF, STRV(member->key));
		if (member->value->kind != VALUE_NULL)
			TRY(add_one(value, member->value, depth, &inner), STRF, STRV(member->key));
		add_tag(out, f, WIRE_LENGTH);
		add_length(out, buf_str(&inner));
	}
	return NULL;
}

static struct err *add_field(const struct proto_field *f, const struct value *v, unsigned depth,
			     struct buf *out)
{
	if (f->message && f->message->is_map_entry)
		return add_map(f, v, depth, out);
	if (f->is_repeated)
		return add_list(f, v, depth, out);
	return add_one(f, v, depth, out);
}

static struct err *encode(const struct proto_message *m, const struct value *v, unsigned depth,
			  struct buf *out)
{
	if (v->kind != VALUE_OBJECT)
		return mismatch("an object");
	if (depth > DEPTH_MOST)
		return FAIL(ERR_INVALID, "nested too deep");
	for (uint32_t i = 0; i < v->n; i++) {
		const struct proto_field *f = proto_field_of(m, v->members[i].key);

		if (f && v->members[i].value->kind != VALUE_NULL)
			TRY(add_field(f, v->members[i].value, depth, out), STRF, STRV(f->name));
	}
	return out->is_full ? FAIL(ERR_INVALID, "the message is too large") : NULL;
}

struct err *proto_encode(const struct proto_message *m, const struct value *v, struct buf *out)
{
	if (m->is_timestamp && v->kind != VALUE_OBJECT)
		return encode_timestamp(v, out);
	return encode(m, v, 0, out);
}
