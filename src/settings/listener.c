/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of *_listen: an address and flags in any order.
 *
 * Words of an entry that are flags are taken out; what is left must be one
 * address with a port.  Addresses come out as Kong shows them: IPv6 in full
 * length and brackets. */
#include "base/buf.h"
#include "base/vec.h"
#include "settings/priv.h"
#include <arpa/inet.h>

/* What a flag does to a listener; false: the words behind '=' are wrong. */
typedef bool flag_fn(struct listener *l, str word);

static bool set_ssl(struct listener *l, str word)
{
	(void)word;
	return l->ssl = true;
}

static bool set_http2(struct listener *l, str word)
{
	(void)word;
	return l->http2 = true;
}

static bool set_proxy_protocol(struct listener *l, str word)
{
	(void)word;
	return l->proxy_protocol = true;
}

static bool set_deferred(struct listener *l, str word)
{
	(void)word;
	return l->deferred = true;
}

static bool set_bind(struct listener *l, str word)
{
	(void)word;
	return l->bind = true;
}

static bool set_reuseport(struct listener *l, str word)
{
	(void)word;
	return l->reuseport = true;
}

static bool set_transparent(struct listener *l, str word)
{
	(void)word;
	return l->transparent = true;
}

static bool set_udp(struct listener *l, str word)
{
	(void)word;
	return l->udp = true;
}

static bool set_backlog(struct listener *l, str word)
{
	int64_t n;

	if (!str_to_int(str_from(word, strlen("backlog=")), &n) || n < 0 || n > INT32_MAX)
		return false;
	l->backlog = (int)n;
	l->backlog_flag = word;
	return true;
}

static bool set_ipv6only(struct listener *l, str word)
{
	l->ipv6only = str_ends(word, STR("=on")) ? TRI_YES : TRI_NO;
	return true;
}

static bool set_keepalive(struct listener *l, str word)
{
	l->so_keepalive = str_ends(word, STR("=on")) ? TRI_YES : TRI_NO;
	return true;
}

/* idle:interval:count, each may be empty; the first two are times. */
static bool set_keepalive_times(struct listener *l, str word)
{
	str rest = str_from(word, strlen("so_keepalive=")), piece;
	int *to[] = { &l->keep_idle_s, &l->keep_interval_s, &l->keep_count };

	for (size_t i = 0; i < COUNT(to); i++) {
		int64_t n = 0;

		if (!str_next(&rest, ':', &piece))
			return false;
		if (piece.n == 0)
			continue;
		if (i == 2 ? !str_to_int(piece, &n) : !time_parse(piece, &n))
			return false;
		n = i == 2 ? n : n / 1000;
		if (n < 0 || n > INT16_MAX)
			return false;
		*to[i] = (int)n;
	}
	l->so_keepalive = TRI_YES;
	l->keep_flag = word;
	return rest.s == NULL || rest.n == 0;
}

enum { IN_HTTP = 1, IN_STREAM = 2, UNLISTED = 4 };

/* clang-format off */
static const struct flag {
	str word;            /* as a whole, or up to '=' when values follow */
	const char *pattern; /* how Kong's message and GET / write it */
	bool has_value;
	unsigned where;
	flag_fn *set;
} flags[] = {
	{ STR_INIT("udp"),              "udp",                      false, IN_STREAM,           set_udp },
	{ STR_INIT("ssl"),              "ssl",                      false, IN_HTTP | IN_STREAM, set_ssl },
	{ STR_INIT("http2"),            "http2",                    false, IN_HTTP,             set_http2 },
	{ STR_INIT("proxy_protocol"),   "proxy_protocol",           false, IN_HTTP | IN_STREAM, set_proxy_protocol },
	{ STR_INIT("deferred"),         "deferred",                 false, IN_HTTP,             set_deferred },
	{ STR_INIT("bind"),             "bind",                     false, IN_HTTP | IN_STREAM, set_bind },
	{ STR_INIT("reuseport"),        "reuseport",                false, IN_HTTP | IN_STREAM, set_reuseport },
	{ STR_INIT("backlog="),         "backlog=%d+",              true,  IN_HTTP | IN_STREAM, set_backlog },
	{ STR_INIT("ipv6only=on"),      "ipv6only=on",              false, IN_HTTP | IN_STREAM, set_ipv6only },
	{ STR_INIT("ipv6only=off"),     "ipv6only=off",             false, IN_HTTP | IN_STREAM, set_ipv6only },
	{ STR_INIT("so_keepalive=on"),  "so_keepalive=on",          false, IN_HTTP | IN_STREAM, set_keepalive },
	{ STR_INIT("so_keepalive=off"), "so_keepalive=off",         false, IN_HTTP | IN_STREAM, set_keepalive },
	{ STR_INIT("so_keepalive="),    "so_keepalive=%w*:%w*:%d*", true,  IN_HTTP | IN_STREAM, set_keepalive_times },
	{ STR_INIT("transparent"),      "transparent",              false, IN_HTTP | IN_STREAM | UNLISTED, set_transparent },
};
/* clang-format on */

static unsigned subsystem_bit(enum subsystem subsystem)
{
	return subsystem == SUBSYSTEM_HTTP ? IN_HTTP : IN_STREAM;
}

/* Kong's words for an entry it cannot read. */
static struct err *usage(struct arena *a, const char *property, enum subsystem subsystem)
{
	str list = STR("");

	for (size_t i = 0; i < COUNT(flags); i++) {
		if ((flags[i].where & subsystem_bit(subsystem)) && !(flags[i].where & UNLISTED))
			list = str_fmt(a, STRF "%s[%s]", STRV(list), list.n ? " " : "",
				       flags[i].pattern);
	}
	return err_field(FAIL(ERR_INVALID,
			      "%s must be of form: [off] | <ip>:<port> " STRF
			      ", [... next entry ...]",
			      property, STRV(list)),
			 "%s", property);
}

/* The flag a word is; COUNT(flags) when none. */
static size_t flag_find(str word, enum subsystem subsystem)
{
	for (size_t i = 0; i < COUNT(flags); i++) {
		if (!(flags[i].where & subsystem_bit(subsystem)))
			continue;
		if (flags[i].has_value ? str_starts(word, flags[i].word)
				       : str_eq(word, flags[i].word))
			return i;
	}
	return COUNT(flags);
}

/* "[0000:...:0001]", as Kong shows IPv6. */
static str ipv6_in_full(struct arena *a, const struct in6_addr *ip)
{
	const uint8_t *b = ip->s6_addr;

	return str_fmt(a,
		       "[%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x]",
		       b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
		       b[12], b[13], b[14], b[15]);
}

static bool is_host_name(str host)
{
	bool has_letter = false;

	for (size_t i = 0; i < host.n; i++) {
		char c = host.s[i];

		has_letter |= ascii_is_alpha(c);
		if (!ascii_is_alnum(c) && c != '-' && c != '.' && c != '_')
			return false;
	}
	return host.n > 0 && host.n < 254 && has_letter;
}

static bool set_address(struct arena *a, struct listener *l, str word)
{
	ptrdiff_t colon = str_find_last(word, ':');
	int64_t port;
	str host, digits;

	if (colon <= 0)
		return false;
	host = str_part(word, 0, (size_t)colon);
	digits = str_from(word, (size_t)colon + 1);
	if (digits.n == 0 || !ascii_is_digit(digits.s[0]) || !str_to_int(digits, &port) ||
	    port < 0 || port > 65535)
		return false;
	l->port = (uint16_t)port;

	if (host.s[0] == '[') {
		if (!address_parse_ip(host, l->port, &l->address) ||
		    l->address.any.sa_family != AF_INET6)
			return false;
		l->ip = ipv6_in_full(a, &l->address.v6.sin6_addr);
		return true;
	}
	if (str_find(host, ':', 0) >= 0)
		return false;
	l->ip = str_copy(a, host);
	if (str_is(host, "*"))
		return address_parse_ip(STR("0.0.0.0"), l->port, &l->address);
	if (address_parse_ip(host, l->port, &l->address))
		return true;
	l->is_name = true;
	return is_host_name(host);
}

/* The text Kong shows: the address, then the flags in the table's order. */
static str listener_text(struct arena *a, const struct listener *l, const str *seen)
{
	str text = str_fmt(a, STRF ":%u", STRV(l->ip), l->port);

	for (size_t i = 0; i < COUNT(flags); i++) {
		if (seen[i].n)
			text = str_fmt(a, STRF " " STRF, STRV(text), STRV(seen[i]));
	}
	return text;
}

/* The next word between white space; false at the end. */
static bool next_word(str *rest, str *ret)
{
	size_t n = 0;

	*rest = str_trim(*rest);
	while (n < rest->n && rest->s[n] != ' ' && rest->s[n] != '\t')
		n++;
	*ret = str_part(*rest, 0, n);
	*rest = str_from(*rest, n);
	return n > 0;
}

static bool parse_entry(struct arena *a, str entry, enum subsystem subsystem, struct listener *l)
{
	str seen[COUNT(flags)] = { 0 };
	str rest = entry, word, address = STR_NONE;

	l->given = str_copy(a, str_trim(entry));
	l->ipv6only = l->so_keepalive = TRI_UNSET;
	while (next_word(&rest, &word)) {
		size_t i = flag_find(word, subsystem);

		if (i < COUNT(flags)) {
			word = str_copy(a, word);
			if (!flags[i].set(l, word))
				return false;
			seen[i] = word;
		} else if (address.s) {
			return false;
		} else {
			address = word;
		}
	}
	if (!address.s || !set_address(a, l, address))
		return false;
	l->text = listener_text(a, l, seen);
	return true;
}

struct err *listeners_parse(struct arena *a, const char *property, strs entries,
			    enum subsystem subsystem, struct listeners *ret)
{
	struct listeners list = { 0 };

	if (entries.n == 0)
		return usage(a, property, subsystem);
	if (str_is(str_trim(entries.v[0]), "off")) {
		*ret = list;
		return NULL;
	}
	list.v = NEWS(a, struct listener, entries.n);
	for (size_t i = 0; i < entries.n; i++) {
		if (!parse_entry(a, entries.v[i], subsystem, &list.v[list.n++]))
			return err_hint(usage(a, property, subsystem), "The entry is '" STRF "'.",
					STRV(entries.v[i]));
	}
	*ret = list;
	return NULL;
}

struct value *listener_value(struct arena *a, const struct listener *l, enum subsystem subsystem)
{
	struct value *v = value_object(a);
	strs words = str_split(a, l->text, ' ');

	value_set(a, v, STR("ip"), value_str(a, l->ip));
	value_set(a, v, STR("port"), value_int(a, l->port));
	value_set(a, v, STR("listener"), value_str(a, l->text));
	for (size_t i = 0; i < COUNT(flags); i++) {
		if ((flags[i].where & subsystem_bit(subsystem)) && !(flags[i].where & UNLISTED))
			value_set(a, v, str_of(flags[i].pattern), value_bool(a, false));
	}
	for (size_t i = 1; i < words.n; i++) {
		size_t at = flag_find(words.v[i], subsystem);

		if (at < COUNT(flags) && flags[at].has_value)
			value_unset(v, str_of(flags[at].pattern));
		value_set(a, v, words.v[i], value_bool(a, true));
	}
	return v;
}
