/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as documents.  Scalars that are not there have their default, where absence means
 * just that; fields that are not known are left out. */
#include "protobuf/priv.h"

#include "base/json.h"

#include "protobuf/timestamp.h"
#include <math.h>

struct in {
	struct arena *a;
	const unsigned char *at, *end;
	size_t *left; /* values that may still be made */
};

static struct err *cut(void)
{
	return FAIL(ERR_INVALID, "the message ends too early");
}

static struct err *spend(struct in *in, size_t n)
{
	if (*in->left < n)
		return FAIL(ERR_INVALID, "the message says too much");
	*in->left -= n;
	return NULL;
}

static struct err *varint(struct in *in, uint64_t *ret)
{
	uint64_t u = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (in->at == in->end)
			return cut();
		if (shift < 64)
			u |= (uint64_t)(*in->at & 0x7f) << shift;
		if (!(*in->at++ & 0x80)) {
			*ret = u;
			return NULL;
		}
	}
	return FAIL(ERR_INVALID, "a number has too many bytes");
}

static struct err *fixed(struct in *in, size_t bytes, uint64_t *ret)
{
	uint64_t u = 0;

	if ((size_t)(in->end - in->at) < bytes)
		return cut();
	for (size_t i = 0; i < bytes; i++)
		u |= (uint64_t)*in->at++ << 8 * i;
	*ret = u;
	return NULL;
}

static struct err *take_length(struct in *in, str *ret)
{
	uint64_t n;

	PASS(varint(in, &n));
	if (n > (uint64_t)(in->end - in->at))
		return cut();
	*ret = str_at((const char *)in->at, (size_t)n);
	in->at += n;
	return NULL;
}

static struct in part(const struct in *in, str bytes)
{
	const unsigned char *at = (const unsigned char *)bytes.s;

	return (struct in){ in->a, at, at + bytes.n, in->left };
}

/* ---- scalars --------------------------------------------------------------------------------- */

static struct value *of_double(struct arena *a, double d)
{
	if (isnan(d))
		return value_str(a, STR("NaN"));
	if (isinf(d))
		return value_str(a, d > 0 ? STR("Infinity") : STR("-Infinity"));
	if (d == floor(d) && fabs(d) < 0x1p53)
		return value_int(a, (int64_t)d);
	return value_real(a, d);
}

static struct value *of_bits(struct arena *a, enum proto_type type, uint64_t u)
{
	union {
		uint64_t u;
		double d;
	} wide = { .u = u };
	union {
		uint32_t u;
		float f;
	} narrow = { .u = (uint32_t)u };

	return of_double(a, type == PROTO_DOUBLE ? wide.d : (double)narrow.f);
}

static struct value *of_enum(struct arena *a, const struct proto_enum *e, int32_t number)
{
	for (size_t i = 0; i < e->values.n; i++) {
		if (e->values.v[i].number == number)
			return value_str(a, e->values.v[i].name);
	}
	return value_int(a, number);
}

/* What the bits of the wire mean. */
static struct value *of_number(struct arena *a, const struct proto_field *f, uint64_t u)
{
	switch (f->type) {
	case PROTO_DOUBLE:
	case PROTO_FLOAT:
		return of_bits(a, f->type, u);
	case PROTO_BOOL:
		return value_bool(a, u != 0);
	case PROTO_ENUM:
		return of_enum(a, f->enumeration, (int32_t)u);
	case PROTO_UINT64:
	case PROTO_FIXED64:
		return u > INT64_MAX ? value_real(a, (double)u) : value_int(a, (int64_t)u);
	case PROTO_UINT32:
	case PROTO_FIXED32:
		return value_int(a, (uint32_t)u);
	case PROTO_INT32:
	case PROTO_SFIXED32:
		return value_int(a, (int32_t)u);
	case PROTO_SINT32:
	case PROTO_SINT64:
		return value_int(a, (int64_t)(u >> 1 ^ (u & 1 ? UINT64_MAX : 0)));
	default:
		return value_int(a, (int64_t)u);
	}
}

static struct err *number(struct in *in, unsigned wire, uint64_t *ret)
{
	return wire == 0 ? varint(in, ret) : fixed(in, wire == 1 ? 8 : 4, ret);
}

static unsigned wire_of(enum proto_type t)
{
	switch (t) {
	case PROTO_DOUBLE:
	case PROTO_FIXED64:
	case PROTO_SFIXED64:
		return 1;
	case PROTO_FLOAT:
	case PROTO_FIXED32:
	case PROTO_SFIXED32:
		return 5;
	case PROTO_STRING:
	case PROTO_BYTES:
	case PROTO_MESSAGE:
	case PROTO_GROUP:
		return 2;
	default:
		return 0;
	}
}

/* ---- fields ------------------------------------------------------------------------------------ */

static struct err *decode(struct in *in, const struct proto_message *m, unsigned depth,
			  struct value **ret);

static struct err *of_timestamp(struct arena *a, const struct value *v, struct value **ret)
{
	const struct value *seconds = value_get(v, "seconds");

	*ret = value_str(a,
			 timestamp_text(a, seconds && seconds->kind == VALUE_INT ? seconds->i : 0));
	return NULL;
}

static struct err *read_message(struct in *in, const struct proto_message *m, str bytes,
				unsigned depth, struct value **ret)
{
	struct in inner = part(in, bytes);

	PASS(decode(&inner, m, depth + 1, ret));
	return m->is_timestamp ? of_timestamp(in->a, *ret, ret) : NULL;
}

static struct err *read_one(struct in *in, const struct proto_field *f, unsigned depth,
			    struct value **ret)
{
	uint64_t u;
	str s;

	PASS(spend(in, 1));
	if (wire_of(f->type) != 2) {
		PASS(number(in, wire_of(f->type), &u));
		*ret = of_number(in->a, f, u);
		return NULL;
	}
	PASS(take_length(in, &s));
	if (f->type != PROTO_MESSAGE) {
		*ret = value_str(in->a, str_copy(in->a, s));
		return NULL;
	}
	return read_message(in, f->message, s, depth, ret);
}

static struct err *skip(struct in *in, unsigned wire)
{
	uint64_t ignored;
	str bytes;

	if (wire == 0 || wire == 1 || wire == 5)
		return number(in, wire, &ignored);
	return wire == 2 ? take_length(in, &bytes) : FAIL(ERR_INVALID, "a field has a bad kind");
}

static struct value *list_of(struct arena *a, struct value *to, str name)
{
	struct value *list = value_get_str(to, name);

	if (!list) {
		list = value_array(a);
		value_set(a, to, name, list);
	}
	return list;
}

static struct err *read_packed(struct in *in, const struct proto_field *f, struct value *to)
{
	struct value *list;
	struct in inner;
	struct value *v;
	str s;

	PASS(take_length(in, &s));
	if (!s.n) /* as if it were not there */
		return NULL;
	list = list_of(in->a, to, f->name);
	inner = part(in, s);
	while (inner.at < inner.end) {
		PASS(read_one(&inner, f, 0, &v));
		value_add(in->a, list, v);
	}
	return NULL;
}

static struct err *read_entry(struct in *in, const struct proto_field *f, unsigned depth,
			      struct value *to)
{
	struct value *entry, *all = value_get_str(to, f->name), *key, *value;

	PASS(read_one(in, f, depth, &entry));
	key = value_get(entry, "key");
	value = value_get(entry, "value");
	if (!value)
		PASS(read_message(in, f->message->fields.v[1].message, STR(""), depth, &value));
	if (!all) {
		all = value_object(in->a);
		value_set(in->a, to, f->name, all);
	}
	value_set(in->a, all,
		  key->kind == VALUE_STRING ? key->s : json_text(in->a, key, JSON_COMPACT), value);
	return NULL;
}

static struct err *read_field(struct in *in, const struct proto_field *f, unsigned wire,
			      unsigned depth, struct value *to)
{
	struct value *v;

	if (f->is_repeated && wire == 2 && wire_of(f->type) != 2)
		return read_packed(in, f, to);
	if (wire != wire_of(f->type))
		return FAIL(ERR_INVALID, "a field has a kind that is not its own");
	if (f->message && f->message->is_map_entry)
		return read_entry(in, f, depth, to);
	PASS(read_one(in, f, depth, &v));
	if (f->is_repeated)
		value_add(in->a, list_of(in->a, to, f->name), v);
	else
		value_set(in->a, to, f->name, v);
	return NULL;
}

/* ---- messages ------------------------------------------------------------------------------------ */

static void add_default(struct arena *a, const struct proto_field *f, struct value *to)
{
	if (f->is_repeated || f->has_presence || f->type == PROTO_MESSAGE)
		return;
	if (f->type == PROTO_STRING || f->type == PROTO_BYTES)
		value_set(a, to, f->name, value_str(a, STR("")));
	else
		value_set(a, to, f->name, of_number(a, f, 0));
}

static const struct proto_field *field_by_number(const struct proto_message *m, uint64_t number)
{
	for (size_t i = 0; i < m->fields.n; i++) {
		if ((uint64_t)m->fields.v[i].number == number)
			return &m->fields.v[i];
	}
	return NULL;
}

static struct err *decode(struct in *in, const struct proto_message *m, unsigned depth,
			  struct value **ret)
{
	struct value *v = value_object(in->a);

	if (depth > DEPTH_MOST)
		return FAIL(ERR_INVALID, "nested too deep");
	PASS(spend(in, m->fields.n));
	for (size_t i = 0; i < m->fields.n; i++)
		add_default(in->a, &m->fields.v[i], v);
	while (in->at < in->end) {
		const struct proto_field *f;
		uint64_t tag;

		PASS(varint(in, &tag));
		if (tag >> 3 == 0)
			return FAIL(ERR_INVALID, "a field has no number");
		f = field_by_number(m, tag >> 3);
		if (f)
			TRY(read_field(in, f, tag & 7, depth, v), STRF, STRV(f->name));
		else
			PASS(skip(in, tag & 7));
	}
	*ret = v;
	return NULL;
}

struct err *proto_decode(struct arena *a, const struct proto_message *m, str bytes,
			 struct value **ret)
{
	size_t left = VALUES_MOST;
	struct in in = part(&(struct in){ .a = a, .left = &left }, bytes);

	PASS(decode(&in, m, 0, ret));
	return m->is_timestamp ? of_timestamp(a, *ret, ret) : NULL;
}
