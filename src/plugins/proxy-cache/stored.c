/* SPDX-License-Identifier: Apache-2.0 */
/* A stored answer in its parcel:
 *
 *	struct stored | name, value (two lengths in front of them), once for each field | body */
#include "plugins/proxy-cache/cache.h"

struct lengths {
	uint32_t name, value;
};

struct parcel *stored_new(str key, const struct stored *s, const struct http_headers *fields,
			  size_t body_room)
{
	struct stored head = *s;
	struct parcel *p;

	head.n_fields = fields->n;
	head.fields_size = 0;
	for (unsigned i = 0; i < fields->n; i++)
		head.fields_size +=
			sizeof(struct lengths) + fields->v[i].name.n + fields->v[i].value.n;
	p = parcel_new(key, sizeof(head) + head.fields_size + body_room);
	parcel_add(&p, str_at((const char *)&head, sizeof(head)));
	for (unsigned i = 0; i < fields->n; i++) {
		const struct http_header *h = &fields->v[i];
		struct lengths n = { (uint32_t)h->name.n, (uint32_t)h->value.n };

		parcel_add(&p, str_at((const char *)&n, sizeof(n)));
		parcel_add(&p, h->name);
		parcel_add(&p, h->value);
	}
	return p;
}

struct stored stored_head(const struct parcel *p)
{
	struct stored head;

	memcpy(&head, parcel_bytes(p).s, sizeof(head));
	return head;
}

struct http_headers stored_fields(struct arena *a, const struct parcel *p)
{
	struct stored head = stored_head(p);
	const char *at = parcel_bytes(p).s + sizeof(head);
	struct http_headers ret = { 0 };

	for (uint32_t i = 0; i < head.n_fields; i++) {
		struct lengths n;

		memcpy(&n, at, sizeof(n));
		at += sizeof(n);
		http_add(a, &ret, str_at(at, n.name), str_at(at + n.name, n.value));
		at += n.name + n.value;
	}
	return ret;
}

str stored_body(const struct parcel *p)
{
	return str_from(parcel_bytes(p), sizeof(struct stored) + stored_head(p).fields_size);
}
