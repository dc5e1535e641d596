/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf and the hosts file, by Kong's rules: three servers, six search
 * names, the first address of a family wins, and what cannot be read is left
 * out. */
#include "base/buf.h"
#include "base/log.h"
#include "net/dns_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SERVERS_MAX   3
#define FILE_MAX      ((size_t)16 << 20)
#define NDOTS_MAX     15
#define TIMEOUT_MAX_S 30
#define ATTEMPTS_MAX  10
#define TIMEOUT_MS    2000 /* when resolv.conf is silent */
#define ATTEMPTS      5

static bool read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (fd >= 0) {
		char *room = buf_room(out, 4096);

		n = room ? read(fd, room, 4096) : -1;
		if (n <= 0)
			break;
		out->n += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	return n == 0;
}

/* The next word of a line; false at its end or at a comment. */
static bool next_word(str *rest, str *ret)
{
	size_t from = 0, to;

	while (from < rest->n && strchr(" \t\r\v\f", rest->s[from]))
		from++;
	if (from == rest->n || rest->s[from] == '#' || rest->s[from] == ';')
		return false;
	to = from;
	while (to < rest->n && !strchr(" \t\r\v\f#;", rest->s[to]))
		to++;
	*ret = str_part(*rest, from, to);
	*rest = str_from(*rest, to);
	return true;
}

/* ---- servers ----------------------------------------------------------------------------- */

bool server_parse(struct arena *a, str text, str *ret)
{
	struct address ip;
	char shown[ADDRESS_TEXT];
	int64_t port = 53;
	ptrdiff_t colon = str_find_last(text, ':');

	if (!address_parse_ip(text, 0, &ip)) {
		if (colon < 0 || !str_to_int(str_from(text, (size_t)colon + 1), &port) ||
		    port < 1 || port > 65535 ||
		    !address_parse_ip(str_part(text, 0, (size_t)colon), 0, &ip) ||
		    (ip.any.sa_family == AF_INET6 && text.s[0] != '['))
			return false;
	}
	address_ip(&ip, shown);
	*ret = str_fmt(a, ip.any.sa_family == AF_INET6 ? "[%s]:%d" : "%s:%d", shown, (int)port);
	return true;
}

/* ---- resolv.conf ------------------------------------------------------------------------- */

static void set_option(struct resolv_conf *c, str word)
{
	ptrdiff_t colon = str_find(word, ':', 0);
	str name = colon < 0 ? word : str_part(word, 0, (size_t)colon);
	int64_t n = 0;

	if (str_is(word, "rotate"))
		c->rotate = true;
	if (colon < 0 || !str_to_int(str_from(word, (size_t)colon + 1), &n) || n < 0)
		return;
	if (str_is(name, "ndots"))
		c->ndots = n < NDOTS_MAX ? n : NDOTS_MAX;
	else if (str_is(name, "timeout") && n > 0)
		c->timeout_ms = (n < TIMEOUT_MAX_S ? n : TIMEOUT_MAX_S) * 1000;
	else if (str_is(name, "attempts") && n > 0)
		c->attempts = n < ATTEMPTS_MAX ? n : ATTEMPTS_MAX;
}

/* "." is no domain to search in. */
static void set_search(struct arena *a, struct resolv_conf *c, str line, size_t most)
{
	str word;

	c->search = (strs){ NEWS(a, str, DNS_SEARCH_MAX), 0 };
	while (c->search.n < most && next_word(&line, &word))
		if (!str_is(word, "."))
			c->search.v[c->search.n++] = str_lower(a, word);
}

static void add_server(struct arena *a, struct resolv_conf *c, str line)
{
	str word, server;

	if (c->servers.n < SERVERS_MAX && next_word(&line, &word) && server_parse(a, word, &server))
		c->servers.v[c->servers.n++] = server;
}

static void read_line(struct arena *a, struct resolv_conf *c, str line)
{
	str word;

	if (!next_word(&line, &word))
		return;
	if (str_is(word, "nameserver"))
		add_server(a, c, line);
	else if (str_is(word, "domain"))
		set_search(a, c, line, 1);
	else if (str_is(word, "search"))
		set_search(a, c, line, DNS_SEARCH_MAX);
	else if (str_is(word, "options"))
		while (next_word(&line, &word))
			set_option(c, word);
}

void resolv_conf_read(struct arena *a, const char *path, struct resolv_conf *ret)
{
	struct buf text CLEANUP(buf_done) = { 0 };
	str rest, line;

	*ret = (struct resolv_conf){
		.servers.v = NEWS(a, str, DNS_SERVERS_MAX),
		.ndots = 1,
		.timeout_ms = TIMEOUT_MS,
		.attempts = ATTEMPTS,
	};
	buf_init(&text, FILE_MAX);
	if (!read_file(path, &text))
		log_warn("cannot read %s: %s", path, strerror(errno));
	rest = str_copy(a, buf_str(&text));
	while (str_next(&rest, '\n', &line))
		read_line(a, ret, line);
	if (getenv("LOCALDOMAIN") && *getenv("LOCALDOMAIN"))
		set_search(a, ret, str_copy(a, str_of(getenv("LOCALDOMAIN"))), DNS_SEARCH_MAX);
	rest = str_of(getenv("RES_OPTIONS"));
	while (next_word(&rest, &line))
		set_option(ret, line);
}

/* ---- the hosts file -------------------------------------------------------------------------- */

static void drop_host(void *host)
{
	struct host *h = host;

	set_drop(&h->v4);
	set_drop(&h->v6);
}

static void add_host(struct arena *a, struct map *hosts, str name, const struct address *ip)
{
	void **slot = map_put(a, hosts, name);
	bool is_v6 = ip->any.sa_family == AF_INET6;
	struct host *h = *slot;
	struct dns_set *s;
	char *text;

	if (!h) {
		*slot = h = NEW(a, struct host);
		arena_on_end(a, drop_host, h);
	}
	if (is_v6 ? h->v6 : h->v4)
		return;
	s = set_new(is_v6 ? TYPE_AAAA : TYPE_A, 1, 0, &text);
	s->expires = s->dies = DEADLINE_NEVER;
	s->v[0].weight = 1;
	if (is_v6)
		memcpy(s->v[0].ip, &ip->v6.sin6_addr, 16);
	else
		memcpy(s->v[0].ip, &ip->v4.sin_addr, 4);
	*(is_v6 ? &h->v6 : &h->v4) = s;
}

void hosts_read(struct arena *a, const char *path, struct map *ret)
{
	struct buf text CLEANUP(buf_done) = { 0 };
	struct address ip;
	str rest, line, word;

	buf_init(&text, FILE_MAX);
	if (!read_file(path, &text))
		log_warn("cannot read %s: %s", path, strerror(errno));
	rest = str_lower(a, buf_str(&text));
	while (str_next(&rest, '\n', &line)) {
		if (!next_word(&line, &word) || !address_parse_ip(word, 0, &ip))
			continue;
		while (next_word(&line, &word))
			add_host(a, ret, word, &ip);
	}
	if (map_find(ret, STR("localhost"))) /* RFC 6761 §6.3 */
		return;
	if (address_parse_ip(STR("127.0.0.1"), 0, &ip))
		add_host(a, ret, STR("localhost"), &ip);
	if (address_parse_ip(STR("::1"), 0, &ip))
		add_host(a, ret, STR("localhost"), &ip);
}
