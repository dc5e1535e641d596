/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of headers, and the lists of members inside their values. */
#include "http/http.h"

#include "http/priv.h"

/* ---- lists of headers ---------------------------------------------------------- */

const struct http_header *http_get(const struct http_headers *h, enum http_name id)
{
	for (unsigned i = 0; i < h->n; i++)
		if (h->v[i].id == id)
			return &h->v[i];
	return NULL;
}

const struct http_header *http_get_str(const struct http_headers *h, str name)
{
	enum http_name id = http_name_of(name);

	if (id != HTTP_OTHER)
		return http_get(h, id);
	for (unsigned i = 0; i < h->n; i++)
		if (h->v[i].id == HTTP_OTHER && str_eq_ci(h->v[i].name, name))
			return &h->v[i];
	return NULL;
}

static void add(struct arena *a, struct http_headers *h, struct http_header header)
{
	if (h->n == h->cap) {
		unsigned cap = h->cap ? h->cap * 2 : 16;
		struct http_header *v = arena_alloc(a, cap * sizeof(*v));

		if (h->n)
			memcpy(v, h->v, h->n * sizeof(*v));
		h->v = v;
		h->cap = cap;
	}
	h->v[h->n++] = header;
}

const struct http_header *http_get_dashed(struct arena *a, const struct http_headers *h, str name)
{
	const struct http_header *found = http_get_str(h, name);
	char *dashed;

	if (found || str_find(name, '_', 0) < 0)
		return found;
	dashed = arena_copy(a, name.s, name.n);
	for (size_t i = 0; i < name.n; i++)
		dashed[i] = dashed[i] == '_' ? '-' : dashed[i];
	return http_get_str(h, str_at(dashed, name.n));
}

void http_add(struct arena *a, struct http_headers *h, str name, str value)
{
	add(a, h, (struct http_header){ name, value, http_name_of(name) });
}

void http_add_all(struct arena *a, struct http_headers *h, const struct http_headers *from)
{
	for (unsigned i = 0; i < from->n; i++)
		add(a, h, from->v[i]);
}

void http_add_id(struct arena *a, struct http_headers *h, enum http_name id, str value)
{
	add(a, h, (struct http_header){ http_name_text(id), value, id });
}

/* Keeps what keep() wants, in order. */
static void remove_from(struct http_headers *h, unsigned from, enum http_name id, str name)
{
	unsigned kept = from;

	for (unsigned i = from; i < h->n; i++) {
		const struct http_header *x = &h->v[i];
		bool is_it = x->id == id && (id != HTTP_OTHER || str_eq_ci(x->name, name));

		if (!is_it)
			h->v[kept++] = *x;
	}
	h->n = kept;
}

void http_set(struct arena *a, struct http_headers *h, enum http_name id, str value)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (h->v[i].id != id)
			continue;
		h->v[i].value = value;
		remove_from(h, i + 1, id, STR_NONE);
		return;
	}
	http_add_id(a, h, id, value);
}

void http_set_str(struct arena *a, struct http_headers *h, str name, str value)
{
	enum http_name id = http_name_of(name);

	if (id != HTTP_OTHER) {
		http_set(a, h, id, value);
		return;
	}
	for (unsigned i = 0; i < h->n; i++) {
		if (h->v[i].id != HTTP_OTHER || !str_eq_ci(h->v[i].name, name))
			continue;
		h->v[i].value = value;
		remove_from(h, i + 1, HTTP_OTHER, name);
		return;
	}
	add(a, h, (struct http_header){ name, value, HTTP_OTHER });
}

void http_remove(struct http_headers *h, enum http_name id)
{
	remove_from(h, 0, id, STR_NONE);
}

void http_remove_str(struct http_headers *h, str name)
{
	remove_from(h, 0, http_name_of(name), name);
}

struct http_headers http_headers_copy(struct arena *a, const struct http_headers *h)
{
	struct http_headers ret = { .n = h->n, .cap = h->n };

	ret.v = NEWS(a, struct http_header, h->n);
	for (unsigned i = 0; i < h->n; i++)
		ret.v[i] = h->v[i];
	return ret;
}

static bool is_text(char c)
{
	return ((unsigned char)c >= 0x20 || c == '\t') && c != 0x7f;
}

static bool is_token_char(char c)
{
	return http_char_is(c, HTTP_CHAR_TOKEN);
}

static str escape(struct arena *a, str s, bool (*is_good)(char c))
{
	size_t n = 0;
	char *text, *to;

	for (size_t i = 0; i < s.n; i++)
		n += !is_good(s.s[i]);
	if (likely(n == 0))
		return s;
	text = to = arena_bytes(a, s.n + 2 * n);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (is_good(s.s[i])) {
			*to++ = s.s[i];
			continue;
		}
		*to++ = '%';
		*to++ = "0123456789ABCDEF"[c >> 4];
		*to++ = "0123456789ABCDEF"[c & 15];
	}
	return str_at(text, (size_t)(to - text));
}

str http_escape_value(struct arena *a, str value)
{
	return escape(a, value, is_text);
}

str http_escape_name(struct arena *a, str name)
{
	return escape(a, name, is_token_char);
}

/* ---- lists of members ------------------------------------------------------------ */

/* Where the member that starts at s ends: a comma outside of quotes (RFC 9110 §5.6). */
static size_t member_size(str s)
{
	bool is_quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.s[i] == '"')
			is_quoted = !is_quoted;
		else if (is_quoted && s.s[i] == '\\')
			i++;
		else if (s.s[i] == ',' && !is_quoted)
			return i;
	}
	return s.n;
}

bool http_list_next(str *rest, str *ret_member)
{
	while (rest->n) {
		size_t n = member_size(*rest);
		str member = str_trim(str_part(*rest, 0, n));

		*rest = str_from(*rest, n < rest->n ? n + 1 : n);
		if (member.n) {
			*ret_member = member;
			return true;
		}
	}
	return false;
}

bool http_list_has(str value, str token)
{
	str member;

	while (http_list_next(&value, &member))
		if (str_eq_ci(member, token))
			return true;
	return false;
}
