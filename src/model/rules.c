/* SPDX-License-Identifier: Apache-2.0 */
/* Names, hosts, paths and addresses, judged as Kong judges them. */
#include "model/rules.h"

#include "base/regex.h"
#include "base/uri.h"
#include "net/tls.h"
#include <arpa/inet.h>

#define REGEX_SHOWN_MAX 1024 /* bytes of a bad regex in a message */

const char *rule_words(struct arena *a, const char *format, ...)
{
	va_list args;
	str text;

	va_start(args, format);
	text = str_vfmt(a, format, args);
	va_end(args);
	return str_z(a, text);
}

/* ---- hosts ---------------------------------------------------------------------------- */

static bool is_all(str s, const char *others, bool (*is_one)(char c))
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_one(s.s[i]) && (!s.s[i] || !strchr(others, s.s[i])))
			return false;
	}
	return true;
}

static bool is_digit(char c)
{
	return ascii_is_digit(c);
}

static bool is_alnum(char c)
{
	return ascii_is_alnum(c);
}

/* Two colons make it IPv6, digits and dots alone IPv4; whether it is one shows later. */
static enum host_kind kind_of(str text)
{
	size_t colons = 0;

	for (size_t i = 0; i < text.n; i++)
		colons += text.s[i] == ':';
	if (colons > 1)
		return HOST_V6;
	return text.n > colons && is_all(text, ".:", is_digit) ? HOST_V4 : HOST_NAME;
}

/* Decimal digits, at most 65535; the digits are known to be there. */
static bool port_of(str digits, int64_t *ret)
{
	if (!digits.n || !is_all(digits, "", is_digit) || !str_to_int(digits, ret))
		return false;
	return *ret <= 65535;
}

static bool read_v4(str text, unsigned ret[4])
{
	str rest = text, piece;
	int n = 0;

	while (str_next(&rest, '.', &piece)) {
		int64_t i;

		if (n == 4 || !piece.n || piece.n > 3 || !is_all(piece, "", is_digit) ||
		    !str_to_int(piece, &i) || i > 255)
			return false;
		ret[n++] = (unsigned)i;
	}
	return n == 4;
}

static enum host_fault parse_v4(struct arena *a, str text, struct host_parts *ret,
				const char **words)
{
	ptrdiff_t colon = str_find(text, ':', 0);
	unsigned n[4];

	*words = rule_words(a, "invalid ipv4 address: " STRF, STRV(text));
	if (!read_v4(colon < 0 ? text : str_part(text, 0, (size_t)colon), n))
		return HOST_BAD;
	if (colon >= 0 && (size_t)colon + 1 == text.n)
		return HOST_BAD;
	if (colon >= 0 && !port_of(str_from(text, (size_t)colon + 1), &ret->port))
		return HOST_BAD_PORT;
	ret->host = str_fmt(a, "%u.%u.%u.%u", n[0], n[1], n[2], n[3]);
	return HOST_GOOD;
}

static bool read_v6(str text, struct in6_addr *ret)
{
	char z[INET6_ADDRSTRLEN];

	if (text.n >= sizeof(z) || memchr(text.s, 0, text.n))
		return false;
	memcpy(z, text.s, text.n);
	z[text.n] = '\0';
	return inet_pton(AF_INET6, z, ret) == 1;
}

static enum host_fault parse_v6(struct arena *a, str text, struct host_parts *ret,
				const char **words)
{
	ptrdiff_t close = text.n && text.s[0] == '[' ? str_find(text, ']', 0) : -1;
	str bare = close < 0 ? text : str_part(text, 1, (size_t)close);
	str behind = close < 0 ? STR_NONE : str_from(text, (size_t)close + 1);
	struct in6_addr in;
	const uint8_t *b = in.s6_addr;

	*words = rule_words(a, "invalid ipv6 address: " STRF, STRV(text));
	if (behind.n &&
	    (behind.s[0] != ':' || behind.n == 1 || !is_all(str_from(behind, 1), "", is_digit))) {
		*words = "invalid ipv6 address";
		return HOST_BAD;
	}
	if (behind.n && !port_of(str_from(behind, 1), &ret->port))
		return HOST_BAD_PORT;
	if (!read_v6(bare, &in))
		return HOST_BAD;
	ret->host = str_fmt(
		a, "%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x", b[0],
		b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
		b[14], b[15]);
	return HOST_GOOD;
}

/* Labels are not empty but for the last, and do not end in a dash. */
static bool are_labels(str name)
{
	str rest = name, label;

	if (!name.n || !is_all(name, "-._", is_alnum))
		return false;
	while (str_next(&rest, '.', &label)) {
		if ((!label.n && rest.s) || (label.n && label.s[label.n - 1] == '-'))
			return false;
	}
	return true;
}

static enum host_fault parse_name(struct arena *a, str text, struct host_parts *ret,
				  const char **words)
{
	ptrdiff_t colon = str_find_last(text, ':');
	str digits = colon < 0 ? STR_NONE : str_from(text, (size_t)colon + 1);

	*words = rule_words(a, "invalid hostname: " STRF, STRV(text));
	ret->host = text;
	if (digits.n && is_all(digits, "", is_digit)) {
		if (!port_of(digits, &ret->port))
			return HOST_BAD_PORT;
		ret->host = str_part(text, 0, (size_t)colon);
	}
	return are_labels(ret->host) ? HOST_GOOD : HOST_BAD;
}

enum host_fault host_parse(struct arena *a, str text, struct host_parts *ret,
			   const char **ret_words)
{
	enum host_fault fault;

	*ret = (struct host_parts){ .kind = kind_of(text), .port = -1 };
	if (ret->kind == HOST_V6)
		fault = parse_v6(a, text, ret, ret_words);
	else if (ret->kind == HOST_V4)
		fault = parse_v4(a, text, ret, ret_words);
	else
		fault = parse_name(a, text, ret, ret_words);
	if (fault == HOST_BAD_PORT)
		*ret_words = "invalid port number";
	return fault;
}

str host_text(struct arena *a, const struct host_parts *h, int64_t port)
{
	str host = h->kind == HOST_V6 ? str_fmt(a, "[" STRF "]", STRV(h->host)) : h->host;

	port = h->port >= 0 ? h->port : port;
	return port < 0 ? host : str_fmt(a, STRF ":%lld", STRV(host), (long long)port);
}

const char *rule_host(struct arena *a, const struct value *v)
{
	struct host_parts h;
	const char *words;
	enum host_fault fault = host_parse(a, v->s, &h, &words);

	if (fault == HOST_BAD)
		return rule_words(a, "invalid value: " STRF, STRV(v->s));
	return fault == HOST_BAD_PORT || h.port >= 0 ? "must not have a port" : NULL;
}

const char *rule_host_with_port(struct arena *a, const struct value *v)
{
	struct host_parts h;
	const char *words;

	return host_parse(a, v->s, &h, &words) == HOST_GOOD ? NULL : words;
}

/* The text with every '*' replaced; *ret_n counts them. */
static str without_wildcards(struct arena *a, str s, const char *with, size_t *ret_n)
{
	strs pieces = { NEWS(a, str, s.n + 1), 0 };
	str rest = s;

	while (str_next(&rest, '*', &pieces.v[pieces.n]))
		pieces.n++;
	*ret_n = pieces.n ? pieces.n - 1 : 0;
	return str_join(a, pieces, str_of(with));
}

const char *rule_host_pattern(struct arena *a, const struct value *v)
{
	struct host_parts h;
	const char *words;
	size_t n;

	return host_parse(a, without_wildcards(a, v->s, "abc", &n), &h, &words) == HOST_GOOD
		       ? NULL
		       : words;
}

static const char *check_sni(struct arena *a, str host, str shown)
{
	struct host_parts h;
	const char *words;
	enum host_fault fault = host_parse(a, host, &h, &words);

	if (fault == HOST_BAD)
		return rule_words(a, "invalid value: " STRF, STRV(shown));
	if (h.kind != HOST_NAME)
		return "must not be an IP";
	return fault == HOST_BAD_PORT || h.port >= 0 ? "must not have a port" : NULL;
}

const char *rule_sni(struct arena *a, const struct value *v)
{
	return check_sni(a, v->s, v->s);
}

const char *rule_sni_pattern(struct arena *a, const struct value *v)
{
	ptrdiff_t star = str_find(v->s, '*', 0);
	size_t n = 0;
	str host = v->s;

	if (star >= 0) {
		if (star != 0 && (size_t)star + 1 != v->s.n)
			return "wildcard must be leftmost or rightmost character";
		host = without_wildcards(a, v->s, "wildcard", &n);
		if (n > 1)
			return "only one wildcard must be specified";
	}
	return check_sni(a, host, host);
}

/* ---- addresses ------------------------------------------------------------------------- */

static bool is_v4(str s)
{
	unsigned n[4];

	return read_v4(s, n);
}

static bool is_v6(str s)
{
	struct in6_addr in;

	return read_v6(s, &in);
}

static bool is_cidr(str s, bool (*is_address)(str s), int64_t bits)
{
	ptrdiff_t slash = str_find(s, '/', 0);
	str prefix = slash < 0 ? STR_NONE : str_from(s, (size_t)slash + 1);
	int64_t n;

	if (slash < 0 || !prefix.n || prefix.n > 3 || !is_all(prefix, "", is_digit) ||
	    (prefix.n > 1 && prefix.s[0] == '0'))
		return false;
	return str_to_int(prefix, &n) && n <= bits && is_address(str_part(s, 0, (size_t)slash));
}

const char *rule_ip(struct arena *a, const struct value *v)
{
	if (is_v4(v->s) || is_v6(v->s))
		return NULL;
	return rule_words(a, "not an ip address: " STRF, STRV(v->s));
}

const char *rule_ip_or_cidr(struct arena *a, const struct value *v)
{
	if (is_v4(v->s) || is_v6(v->s) || is_cidr(v->s, is_v4, 32) || is_cidr(v->s, is_v6, 128))
		return NULL;
	return rule_words(a, "invalid ip or cidr range: '" STRF "'", STRV(v->s));
}

const char *rule_ip_or_cidr_v4(struct arena *a, const struct value *v)
{
	if (is_v4(v->s) || is_cidr(v->s, is_v4, 32))
		return NULL;
	return rule_words(a, "invalid ipv4 cidr range: '" STRF "'", STRV(v->s));
}

/* ---- paths ------------------------------------------------------------------------------ */

static bool has_path_characters(str path)
{
	return path.n && path.s[0] == '/' && is_all(path, ".-_~/%:@!$&'()*+,;=", is_alnum);
}

/* The first '%' that is followed by no two hex digits, with what is there of them. */
static bool bad_escape(str path, str *ret)
{
	for (size_t i = 0; i < path.n; i++) {
		if (path.s[i] != '%')
			continue;
		*ret = str_part(path, i, i + 3);
		if (ret->n < 3 || ascii_hex(ret->s[1]) < 0 || ascii_hex(ret->s[2]) < 0)
			return true;
		i += 2;
	}
	return false;
}

const char *rule_path(struct arena *a, const struct value *v)
{
	str bad;

	if (!has_path_characters(v->s))
		return rule_words(a,
				  "invalid path: '" STRF
				  "' (characters outside of the reserved list of RFC 3986 found)",
				  STRV(v->s));
	if (bad_escape(v->s, &bad))
		return rule_words(a, "invalid url-encoded value: '" STRF "'", STRV(bad));
	return NULL;
}

static const char *check_regex(struct arena *a, str pattern)
{
	struct regex *re;
	struct err *e = regex_new(a, pattern, REGEX_ANCHORED | REGEX_NO_JIT, &re);
	const char *words;

	if (!e)
		return NULL;
	words = rule_words(a, "invalid regex: '" STRF "' (PCRE returned: " STRF ")",
			   STRV(str_part(pattern, 0, REGEX_SHOWN_MAX)), STRV(err_line(a, e)));
	err_forget();
	return words;
}

const char *rule_route_path(struct arena *a, const struct value *v)
{
	str bad, normal;

	if (has_path_characters(v->s) && bad_escape(v->s, &bad))
		return rule_words(a, "invalid url-encoded value: '" STRF "'", STRV(bad));
	if (v->s.n && v->s.s[0] == '~')
		return check_regex(a, str_from(v->s, 1));
	if (!uri_normalise(a, v->s, &normal))
		return rule_words(a, "invalid path: '" STRF "'", STRV(v->s));
	if (!str_eq(v->s, normal))
		return rule_words(a, "non-normalized path, consider use '" STRF "' instead",
				  STRV(normal));
	return NULL;
}

/* ---- names -------------------------------------------------------------------------------- */

size_t utf8_fault(str s)
{
	size_t i = 0;

	while (i < s.n) {
		size_t length = utf8_length(s.s + i, s.n - i);

		if (!length)
			return i + 1;
		i += length;
	}
	return 0;
}

static const char *check_utf8(struct arena *a, str s)
{
	size_t at = utf8_fault(s);

	return at ? rule_words(a, "invalid utf-8 character sequence detected at position %zu", at)
		  : NULL;
}

static bool is_name_byte(char c)
{
	return ascii_is_alnum(c) || (unsigned char)c >= 0x80;
}

const char *rule_name(struct arena *a, const struct value *v)
{
	const char *words = check_utf8(a, v->s);

	if (words || is_all(v->s, ".-_~", is_name_byte))
		return words;
	return rule_words(
		a,
		"invalid value '" STRF
		"': the only accepted ascii characters are alphanumerics or ., -, _, and ~",
		STRV(v->s));
}

static bool is_tag_byte(char c)
{
	return ((unsigned char)c >= 0x20 && c != ',' && c != '/' && c != 0x7f);
}

const char *rule_tag(struct arena *a, const struct value *v)
{
	const char *words = check_utf8(a, v->s);

	if (words || is_all(v->s, "", is_tag_byte))
		return words;
	return rule_words(
		a,
		"invalid tag '" STRF
		"': expected printable ascii (except `,` and `/`) or valid utf-8 sequences",
		STRV(v->s));
}

const char *rule_header_name(struct arena *a, const struct value *v)
{
	if (is_all(v->s, "-_", is_alnum))
		return NULL;
	return rule_words(
		a, "bad header name '" STRF "', allowed characters are A-Z, a-z, 0-9, '_', and '-'",
		STRV(v->s));
}

const char *rule_cookie_name(struct arena *a, const struct value *v)
{
	if (is_all(v->s, "-_", is_alnum))
		return NULL;
	return rule_words(
		a, "bad cookie name '" STRF "', allowed characters are A-Z, a-z, 0-9, '_', and '-'",
		STRV(v->s));
}

/* ---- URLs ------------------------------------------------------------------------------------ */

static str cut_at(str s, char c)
{
	ptrdiff_t at = str_find(s, c, 0);

	return at < 0 ? s : str_part(s, 0, (size_t)at);
}

/* Takes "scheme:" off. */
static str take_scheme(str *rest)
{
	ptrdiff_t colon = str_find(*rest, ':', 0);
	str scheme = colon > 0 ? str_part(*rest, 0, (size_t)colon) : STR_NONE;

	if (!scheme.n || !ascii_is_alnum(scheme.s[0]) || !is_all(scheme, "+-.", is_alnum))
		return STR_NONE;
	*rest = str_from(*rest, (size_t)colon + 1);
	return scheme;
}

static void take_authority(str *rest, struct url_parts *ret)
{
	size_t end = 2;
	str authority;
	ptrdiff_t at;

	if (!str_starts(*rest, STR("//")))
		return;
	while (end < rest->n && !strchr("/?#", rest->s[end]))
		end++;
	authority = str_part(*rest, 2, end);
	*rest = str_from(*rest, end);
	at = str_find(authority, '@', 0);
	if (at >= 0)
		authority = str_from(authority, (size_t)at + 1);
	at = str_find_last(authority, ':');
	if (at >= 0 && str_find(authority, ']', (size_t)at) < 0) {
		ret->port = str_from(authority, (size_t)at + 1);
		authority = str_part(authority, 0, (size_t)at);
	}
	if (authority.n > 2 && authority.s[0] == '[' && authority.s[authority.n - 1] == ']')
		authority = str_part(authority, 1, authority.n - 1);
	if (authority.n)
		ret->host = authority;
}

void url_parse(str text, struct url_parts *ret)
{
	str rest = text;

	*ret = (struct url_parts){ 0 };
	ret->scheme = take_scheme(&rest);
	take_authority(&rest, ret);
	rest = cut_at(cut_at(cut_at(rest, '#'), '?'), ';');
	if (rest.n)
		ret->path = rest;
}

const char *rule_url(struct arena *a, const struct value *v)
{
	struct url_parts url;

	(void)a;
	url_parse(v->s, &url);
	if (!url.host.s)
		return "missing host in url";
	return url.scheme.s ? NULL : "missing scheme in url";
}

/* ---- certificates ------------------------------------------------------------------------------- */

static const char *words_of(struct arena *a, const char *what, struct err *e)
{
	const char *words;

	if (!e)
		return NULL;
	words = rule_words(a, "invalid %s: " STRF, what, STRV(err_line(a, e)));
	err_forget();
	return words;
}

const char *rule_certificate(struct arena *a, const struct value *v)
{
	return words_of(a, "certificate", tls_check_certificate(v->s));
}

const char *rule_private_key(struct arena *a, const struct value *v)
{
	return words_of(a, "key", tls_check_key(v->s));
}
