/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages, RFC 1035 §4: from the bytes of an answer to sets of records.
 *
 * Only the answer section is believed, and of it only names to which a chain of
 * CNAMEs leads from the question; the rest could be anybody's. */
#include "base/vec.h"
#include "net/dns_priv.h"
#include <ares.h>

#define HEADER 12
#define FIXED  10 /* of a record, behind its name */

struct cursor {
	const uint8_t *start, *at, *end;
	struct arena *a;
};

/* One record as it stands in the message. */
struct line {
	str name;
	int type;
	uint32_t ttl;
	struct record record;
	bool is_taken;
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* A name, which may point elsewhere; in lower case. */
static bool read_name(struct cursor *c, str *ret)
{
	char *name = NULL;
	long n = 0;

	if (c->at >= c->end ||
	    ares_expand_name(c->at, c->start, (int)(c->end - c->start), &name, &n) != ARES_SUCCESS)
		return false;
	*ret = str_lower(c->a, str_of(name));
	ares_free_string(name);
	c->at += n;
	return ret->n <= DNS_NAME_MAX && c->at <= c->end;
}

/* The data of a record of a known type; others are well-formed and left out. */
static bool read_data(struct cursor *c, size_t n, struct line *l)
{
	struct cursor data = { c->start, c->at, c->end, c->a };

	switch (l->type) {
	case TYPE_A:
		memcpy(l->record.ip, data.at, n == 4 ? n : 0);
		return n == 4;
	case TYPE_AAAA:
		memcpy(l->record.ip, data.at, n == 16 ? n : 0);
		return n == 16;
	case TYPE_CNAME:
		return read_name(&data, &l->record.name) && data.at == c->at + n;
	case TYPE_SRV:
		if (n < 7)
			return false;
		l->record.priority = (uint16_t)get16(data.at);
		l->record.weight = (uint16_t)get16(data.at + 2);
		l->record.port = (uint16_t)get16(data.at + 4);
		data.at += 6;
		return read_name(&data, &l->record.name) && data.at == c->at + n;
	default:
		return true;
	}
}

static bool read_line(struct cursor *c, struct line *l)
{
	unsigned class;
	size_t n;

	if (!read_name(c, &l->name) || c->end - c->at < FIXED)
		return false;
	l->type = (int)get16(c->at);
	class = get16(c->at + 2);
	l->ttl = get32(c->at + 4);
	if (l->ttl > INT32_MAX) /* RFC 2181 §8 */
		l->ttl = 0;
	n = get16(c->at + 8);
	c->at += FIXED;
	if ((size_t)(c->end - c->at) < n)
		return false;
	l->record.weight = 1;
	if (!read_data(c, n, l))
		return false;
	l->is_taken = class != 1 || (l->type != TYPE_A && l->type != TYPE_AAAA &&
				     l->type != TYPE_CNAME && l->type != TYPE_SRV);
	c->at += n;
	return true;
}

/* All lines of that name and type as one set; NULL when there are none. */
static struct dns_set *take_set(struct line *v, size_t n, str name, int type)
{
	size_t count = 0, bytes = 0;
	struct dns_set *s;
	char *text;

	for (size_t i = 0; i < n; i++) {
		if (v[i].is_taken || v[i].type != type || !str_eq(v[i].name, name))
			continue;
		count++;
		bytes += v[i].record.name.n;
	}
	if (!count)
		return NULL;
	s = set_new(type, count, bytes, &text);
	s->ttl_s = UINT32_MAX;
	count = 0;
	for (size_t i = 0; i < n; i++) {
		if (v[i].is_taken || v[i].type != type || !str_eq(v[i].name, name))
			continue;
		v[i].is_taken = true;
		s->ttl_s = v[i].ttl < s->ttl_s ? v[i].ttl : s->ttl_s;
		s->v[count] = v[i].record;
		if (v[i].record.name.n)
			memcpy(text, v[i].record.name.s, v[i].record.name.n);
		s->v[count++].name.s = text;
		text += v[i].record.name.n;
	}
	return s;
}

struct found_list {
	struct found *v;
	size_t n, cap;
};

/* Along the CNAMEs: each name's set of the type asked for, and its CNAME. */
static void follow(struct arena *a, struct line *v, size_t n, str name, int type,
		   struct found_list *out)
{
	for (size_t step = 0; step <= n; step++) {
		struct dns_set *s = type == TYPE_CNAME ? NULL : take_set(v, n, name, type);
		struct dns_set *alias = take_set(v, n, name, TYPE_CNAME);

		if (s)
			*vec_add(a, out) = (struct found){ name, s };
		if (!alias)
			break;
		*vec_add(a, out) = (struct found){ name, alias };
		name = str_copy(a, alias->v[0].name);
	}
}

size_t answer_parse(struct arena *a, const uint8_t *p, size_t n, str name, int type,
		    struct found **ret)
{
	struct cursor c = { p, p + HEADER, p + n, a };
	struct {
		struct line *v;
		size_t n, cap;
	} lines = { 0 };
	struct found_list out = { 0 };
	char *text;
	str skipped;

	if (n < HEADER || n > INT32_MAX)
		return 0;
	for (unsigned i = get16(p + 4); i > 0; i--) {
		if (!read_name(&c, &skipped) || c.end - c.at < 4)
			return 0;
		c.at += 4;
	}
	for (unsigned i = get16(p + 6); i > 0 && lines.n < DNS_RECORDS_MAX; i--)
		if (!read_line(&c, vec_add(a, &lines)))
			return 0;

	if (name.n > 1 && name.s[name.n - 1] == '.') /* answers spell it without */
		name.n--;
	*vec_add(a, &out) = (struct found){ name, NULL };
	if ((p[3] & 15) == 0)
		follow(a, lines.v, lines.n, name, type, &out);
	if (out.n > 1 && out.v[1].set->type == type && str_eq(out.v[1].name, name)) {
		out.v++; /* the question's own comes first already */
		out.n--;
	} else {
		out.v[0].set = set_new(type, 0, 0, &text);
		out.v[0].set->error = p[3] & 15;
	}
	*ret = out.v;
	return out.n;
}
