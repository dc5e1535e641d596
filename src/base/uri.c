/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uri.h"

#include "base/vec.h"

/* What a character may be, by RFC 3986 §2; '%' counts as reserved here, as it must
 * stay encoded. */
enum {
	UNRESERVED = 1,
	RESERVED = 2,
};

/* clang-format off */
static const unsigned char kinds[256] = {
	['A' ... 'Z'] = UNRESERVED, ['a' ... 'z'] = UNRESERVED, ['0' ... '9'] = UNRESERVED,
	['-'] = UNRESERVED, ['.'] = UNRESERVED, ['_'] = UNRESERVED, ['~'] = UNRESERVED,
	['!'] = RESERVED, ['*'] = RESERVED, ['\''] = RESERVED, ['('] = RESERVED, [')'] = RESERVED,
	[';'] = RESERVED, [':'] = RESERVED, ['@'] = RESERVED, ['&'] = RESERVED, ['='] = RESERVED,
	['+'] = RESERVED, ['$'] = RESERVED, [','] = RESERVED, ['/'] = RESERVED, ['?'] = RESERVED,
	['%'] = RESERVED, ['#'] = RESERVED, ['['] = RESERVED, [']'] = RESERVED,
};
/* clang-format on */

static const char hex_upper[] = "0123456789ABCDEF";

/* The value of the two hex digits behind the '%' at i, or -1. */
static int triplet(str s, size_t i)
{
	int high, low;

	if (i + 2 >= s.n)
		return -1;
	high = ascii_hex(s.s[i + 1]);
	low = ascii_hex(s.s[i + 2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Whether the path is its own normal form by the look of it, as nearly all are. */
static bool looks_normal(str path)
{
	for (size_t i = 0; i < path.n; i++) {
		char c = path.s[i], next = i + 1 < path.n ? path.s[i + 1] : '\0';

		if (c == '%' || c == '\0' || (c == '/' && (next == '/' || next == '.')))
			return false;
	}
	return path.n == 0 || path.s[0] == '/';
}

/* Decodes what may be decoded; *ret_n bytes at out.  False on a bad triplet or NUL. */
static bool decode_path(str path, char *out, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < path.n; i++) {
		int c = (unsigned char)path.s[i];

		if (c == '%') {
			c = triplet(path, i);
			if (c < 0)
				return false;
			i += 2;
			if (kinds[c] == RESERVED) {
				out[n++] = '%';
				out[n++] = hex_upper[c >> 4];
				out[n++] = hex_upper[c & 15];
				continue;
			}
		}
		if (c == 0)
			return false;
		out[n++] = (char)c;
	}
	*ret_n = n;
	return true;
}

/* RFC 3986 §5.2.4 in place, slashes merged on the way.  Each round moves one
 * segment with its leading slash.  False when ".." finds nothing to take away. */
static bool remove_dots(char *p, size_t *n)
{
	size_t to = 0, i = 0, end;

	while (i < *n) {
		size_t from = i;

		if (p[i] == '/') {
			while (i < *n && p[i] == '/')
				i++;
			from = i - 1;
		}
		for (end = i; end < *n && p[end] != '/';)
			end++;
		if (end - i == 1 && p[i] == '.') {
			i = end;
		} else if (end - i == 2 && p[i] == '.' && p[i + 1] == '.') {
			if (to == 0)
				return false;
			while (to > 0 && p[--to] != '/')
				;
			i = end;
		} else {
			memmove(p + to, p + from, end - from);
			to += end - from;
			i = end;
			continue;
		}
		if (i == *n && (to == 0 || p[to - 1] != '/')) /* "/a/." is a directory: "/a/" */
			p[to++] = '/';
	}
	*n = to;
	return true;
}

bool uri_normalise(struct arena *a, str path, str *ret)
{
	size_t n;
	char *p;

	if (looks_normal(path)) {
		*ret = path;
		return true;
	}
	p = arena_bytes(a, path.n + 1);
	if (!decode_path(path, p, &n) || !remove_dots(p, &n))
		return false;
	*ret = str_at(p, n);
	return true;
}

str uri_cut_query(str target, str *ret_query)
{
	ptrdiff_t at = str_find(target, '?', 1);

	if (at < 0) {
		*ret_query = STR_NONE;
		return target;
	}
	*ret_query = str_from(target, (size_t)at + 1);
	return str_part(target, 0, (size_t)at);
}

/* Escapes the bytes whose kind is not in `keep`; the text itself when there are none. */
static str escape(struct arena *a, str s, unsigned keep)
{
	size_t more = 0;
	char *p, *at;

	for (size_t i = 0; i < s.n; i++)
		more += !(kinds[(unsigned char)s.s[i]] & keep);
	if (more == 0)
		return s;
	p = at = arena_bytes(a, s.n + 2 * more);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if (kinds[c] & keep) {
			*at++ = (char)c;
		} else {
			*at++ = '%';
			*at++ = hex_upper[c >> 4];
			*at++ = hex_upper[c & 15];
		}
	}
	return str_at(p, (size_t)(at - p));
}

str uri_escape(struct arena *a, str path)
{
	return escape(a, path, UNRESERVED | RESERVED);
}

str uri_escape_component(struct arena *a, str s)
{
	return escape(a, s, UNRESERVED);
}

str uri_unescape(struct arena *a, str s, bool plus)
{
	size_t n = 0;
	char *p;

	if (str_find(s, '%', 0) < 0 && (!plus || str_find(s, '+', 0) < 0))
		return s;
	p = arena_bytes(a, s.n);
	for (size_t i = 0; i < s.n; i++) {
		int c = s.s[i] == '%' ? triplet(s, i) : -1;

		if (c >= 0) {
			p[n++] = (char)c;
			i += 2;
		} else {
			p[n++] = plus && s.s[i] == '+' ? ' ' : s.s[i];
		}
	}
	return str_at(p, n);
}

struct uri_args uri_args(struct arena *a, str query, size_t max)
{
	struct {
		struct uri_arg *v;
		size_t n, cap;
	} list = { 0 };
	struct uri_args args = { 0 };
	str rest = query, piece;

	while (str_next(&rest, '&', &piece)) {
		ptrdiff_t at = str_find(piece, '=', 0);
		str key = at < 0 ? piece : str_part(piece, 0, (size_t)at);
		struct uri_arg *arg;

		if (key.n == 0)
			continue;
		if (max && list.n == max) {
			args.is_cut = true;
			break;
		}
		arg = vec_add(a, &list);
		arg->key = uri_unescape(a, key, true);
		if (at >= 0)
			arg->value = uri_unescape(a, str_from(piece, (size_t)at + 1), true);
	}
	args.v = list.v;
	args.n = list.n;
	return args;
}

const struct uri_arg *uri_arg_find(const struct uri_args *args, str key)
{
	for (size_t i = 0; i < args->n; i++) {
		if (str_eq(args->v[i].key, key))
			return &args->v[i];
	}
	return NULL;
}

str uri_args_join(struct arena *a, const struct uri_args *args)
{
	str *pieces = NEWS(a, str, args->n);

	for (size_t i = 0; i < args->n; i++) {
		str key = uri_escape_component(a, args->v[i].key);

		pieces[i] = args->v[i].value.s
				    ? str_fmt(a, STRF "=" STRF, STRV(key),
					      STRV(uri_escape_component(a, args->v[i].value)))
				    : key;
	}
	return str_join(a, (strs){ pieces, args->n }, STR("&"));
}

/* -- whole URIs -- */

/* Takes "scheme:" off, RFC 3986 §3.1. */
static bool take_scheme(str *rest, str *ret)
{
	ptrdiff_t colon = str_find(*rest, ':', 0);

	if (colon <= 0 || !ascii_is_alpha(rest->s[0]))
		return false;
	for (ptrdiff_t i = 1; i < colon; i++) {
		char c = rest->s[i];

		if (!ascii_is_alnum(c) && c != '+' && c != '-' && c != '.')
			return false;
	}
	*ret = str_part(*rest, 0, (size_t)colon);
	*rest = str_from(*rest, (size_t)colon + 1);
	return true;
}

static bool parse_port(str digits, uint16_t *ret)
{
	uint32_t port = 0;

	if (digits.n > 5)
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		if (!ascii_is_digit(digits.s[i]))
			return false;
		port = port * 10 + (uint32_t)(digits.s[i] - '0');
	}
	if (port > UINT16_MAX)
		return false;
	*ret = (uint16_t)port;
	return true;
}

bool uri_split_host(str text, str *ret_host, uint16_t *ret_port)
{
	ptrdiff_t colon;
	str host = text, port = STR("");

	if (text.n && text.s[0] == '[') {
		ptrdiff_t close = str_find(text, ']', 0);

		if (close < 0)
			return false;
		host = str_part(text, 1, (size_t)close);
		text = str_from(text, (size_t)close + 1);
		if (text.n && text.s[0] != ':')
			return false;
		port = str_from(text, 1);
	} else {
		colon = str_find(text, ':', 0);
		if (colon >= 0 && str_find_last(text, ':') == colon) {
			host = str_part(text, 0, (size_t)colon);
			port = str_from(text, (size_t)colon + 1);
		}
	}
	if (!parse_port(port, ret_port))
		return false;
	*ret_host = host;
	return true;
}

bool uri_parse(str text, struct uri *ret)
{
	struct uri u = { 0 };
	str rest = text.s ? text : STR("");
	ptrdiff_t at;

	for (size_t i = 0; i < rest.n; i++) {
		if ((unsigned char)rest.s[i] <= ' ' || rest.s[i] == 0x7f)
			return false;
	}
	at = str_find(rest, '#', 0);
	if (at >= 0) {
		u.fragment = str_from(rest, (size_t)at + 1);
		rest = str_part(rest, 0, (size_t)at);
	}
	at = str_find(rest, '?', 0);
	if (at >= 0) {
		u.query = str_from(rest, (size_t)at + 1);
		rest = str_part(rest, 0, (size_t)at);
	}
	take_scheme(&rest, &u.scheme);
	if (str_starts(rest, STR("//"))) {
		str authority;

		rest = str_from(rest, 2);
		at = str_find(rest, '/', 0);
		authority = at < 0 ? rest : str_part(rest, 0, (size_t)at);
		rest = at < 0 ? STR_NONE : str_from(rest, (size_t)at);
		at = str_find_last(authority, '@');
		if (at >= 0) {
			u.userinfo = str_part(authority, 0, (size_t)at);
			authority = str_from(authority, (size_t)at + 1);
		}
		u.has_authority = true;
		u.is_v6 = authority.n && authority.s[0] == '[';
		if (!u.is_v6 && str_find(authority, ':', 0) != str_find_last(authority, ':'))
			return false;
		if (!uri_split_host(authority, &u.host, &u.port))
			return false;
	}
	u.path = rest.n ? rest : STR_NONE;
	*ret = u;
	return true;
}

uint16_t uri_default_port(str scheme)
{
	if (str_is_ci(scheme, "http") || str_is_ci(scheme, "ws") || str_is_ci(scheme, "grpc"))
		return 80;
	if (str_is_ci(scheme, "https") || str_is_ci(scheme, "wss") || str_is_ci(scheme, "grpcs"))
		return 443;
	return 0;
}

/* RFC 3986 §5.3 */
static str compose(struct arena *a, const struct uri *u)
{
	str out = STR("");

	if (u->scheme.s)
		out = str_fmt(a, STRF ":", STRV(u->scheme));
	if (u->has_authority) {
		const char *open = u->is_v6 ? "[" : "", *close = u->is_v6 ? "]" : "";

		out = str_fmt(a, STRF "//" STRF "%s%s" STRF "%s", STRV(out), STRV(u->userinfo),
			      u->userinfo.s ? "@" : "", open, STRV(u->host), close);
		if (u->port)
			out = str_fmt(a, STRF ":%u", STRV(out), u->port);
	}
	out = str_cat(a, out, u->path);
	if (u->query.s)
		out = str_fmt(a, STRF "?" STRF, STRV(out), STRV(u->query));
	if (u->fragment.s)
		out = str_fmt(a, STRF "#" STRF, STRV(out), STRV(u->fragment));
	return out;
}

/* RFC 3986 §5.2.3 and §5.2.4: a path relative to the base's; climbing above the
 * root stays at the root here.  Slashes are not merged. */
static str merge_paths(struct arena *a, const struct uri *base, str path)
{
	str rest, segment, joined = path;
	struct {
		str *v;
		size_t n, cap;
	} kept = { 0 };
	bool is_directory = false;

	if (path.n == 0 || path.s[0] != '/') {
		ptrdiff_t slash = str_find_last(base->path, '/');

		joined = slash < 0 ? str_cat(a, STR("/"), path)
				   : str_cat(a, str_part(base->path, 0, (size_t)slash + 1), path);
	}
	rest = str_from(joined, 1);
	while (str_next(&rest, '/', &segment)) {
		bool is_up = str_is(segment, "..");

		is_directory = is_up || str_is(segment, ".");
		if (!is_directory)
			*vec_add(a, &kept) = segment;
		else if (is_up && kept.n)
			kept.n--;
	}
	if (is_directory)
		*vec_add(a, &kept) = STR("");
	return str_cat(a, STR("/"), str_join(a, (strs){ kept.v, kept.n }, STR("/")));
}

bool uri_resolve(struct arena *a, str base_text, str reference, str *ret)
{
	struct uri base, u;

	if (!uri_parse(base_text, &base) || !uri_parse(reference, &u) || !base.scheme.s)
		return false;
	if (!u.scheme.s && !u.has_authority) {
		if (u.path.n == 0) {
			u.path = base.path;
			if (!u.query.s)
				u.query = base.query;
		} else {
			u.path = merge_paths(a, &base, u.path);
		}
		u.has_authority = base.has_authority;
		u.userinfo = base.userinfo;
		u.host = base.host;
		u.port = base.port;
		u.is_v6 = base.is_v6;
	}
	if (!u.scheme.s)
		u.scheme = base.scheme;
	*ret = compose(a, &u);
	return true;
}
