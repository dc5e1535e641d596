/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as datagrams to a syslog server, in the form of RFC 3164 that nginx
 * sends: "<190>Nov 24 06:46:30 host nginx: line". */
#include "observe/syslog.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/uri.h"
#include "observe/priv.h"
#include <errno.h>
#include <netdb.h>
#include <time.h>
#include <unistd.h>

#define TAG_MAX     32
#define PORT_SYSLOG 514

struct syslog_sink {
	int fd;
	struct address server;
	int facility, severity;
	bool has_hostname;
	char tag[TAG_MAX + 1];
	char hostname[256];
	int64_t second; /* head is of */
	int head_n;
	char head[SYSLOG_HEAD_MAX];
};

/* clang-format off */
static const char *const facilities[] = {
	"kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock",
	"authpriv", "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3",
	"local4", "local5", "local6", "local7", NULL,
};
static const char *const severities[] = {
	"emerg", "alert", "crit", "error", "warn", "notice", "info", "debug", NULL,
};
/* clang-format on */

static int index_of(const char *const *words, str word)
{
	for (int i = 0; words[i]; i++)
		if (str_is(word, words[i]))
			return i;
	return -1;
}

/* ---- options ------------------------------------------------------------------------ */

/* An address, "[v6]" and port among them, or a name that is looked up once. */
static struct err *set_server(struct syslog_sink *s, str text)
{
	char host[256], service[8];
	struct addrinfo *found = NULL, wanted = { .ai_socktype = SOCK_DGRAM };
	uint16_t port;
	str name;
	int no;

	if (str_starts(text, STR("unix:"))) {
		if (text.n == 5 || text.n - 5 >= sizeof(s->server.local.sun_path))
			return FAIL(ERR_INVALID, "syslog server \"" STRF "\" has no usable path",
				    STRV(text));
		snprintf(host, sizeof(host), STRF, STRV(str_from(text, 5)));
		address_of_unix(host, &s->server);
		return NULL;
	}
	if (!uri_split_host(text, &name, &port) || name.n == 0 || name.n >= sizeof(host))
		return FAIL(ERR_INVALID, "syslog server \"" STRF "\" is no address", STRV(text));
	if (address_parse_ip(name, port ? port : PORT_SYSLOG, &s->server))
		return NULL;
	snprintf(host, sizeof(host), STRF, STRV(name));
	snprintf(service, sizeof(service), "%u", port ? port : PORT_SYSLOG);
	no = getaddrinfo(host, service, &wanted, &found);
	if (no)
		return FAIL(ERR_NOT_FOUND, "syslog server %s: %s", host, gai_strerror(no));
	s->server.size = found->ai_addrlen;
	memcpy(&s->server.any, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return NULL;
}

static struct err *set_tag(struct syslog_sink *s, str tag)
{
	if (tag.n == 0 || tag.n > TAG_MAX)
		return FAIL(ERR_INVALID, "syslog tag \"" STRF "\" is not of 1 to %d characters",
			    STRV(tag), TAG_MAX);
	for (size_t i = 0; i < tag.n; i++)
		if (!ascii_is_alnum(tag.s[i]) && tag.s[i] != '_')
			return FAIL(ERR_INVALID,
				    "syslog tag \"" STRF "\" has more than letters, "
				    "digits and _",
				    STRV(tag));
	snprintf(s->tag, sizeof(s->tag), STRF, STRV(tag));
	return NULL;
}

static struct err *set_option(struct syslog_sink *s, str option)
{
	ptrdiff_t equals = str_find(option, '=', 0);
	str name = equals < 0 ? option : str_part(option, 0, (size_t)equals);
	str value = equals < 0 ? STR("") : str_from(option, (size_t)equals + 1);

	if (str_is(name, "server"))
		return set_server(s, value);
	if (str_is(name, "tag"))
		return set_tag(s, value);
	if (str_is(name, "facility")) {
		s->facility = index_of(facilities, value);
		return s->facility < 0 ? FAIL(ERR_INVALID, "unknown syslog facility \"" STRF "\"",
					      STRV(value))
				       : NULL;
	}
	if (str_is(name, "severity")) {
		s->severity = index_of(severities, value);
		return s->severity < 0 ? FAIL(ERR_INVALID, "unknown syslog severity \"" STRF "\"",
					      STRV(value))
				       : NULL;
	}
	if (str_is(option, "nohostname")) {
		s->has_hostname = false;
		return NULL;
	}
	return FAIL(ERR_INVALID, "unknown syslog option \"" STRF "\"", STRV(option));
}

static struct err *set_options(struct syslog_sink *s, str text)
{
	str option;

	while (text.n && str_next(&text, ',', &option))
		PASS(set_option(s, option));
	if (s->server.size == 0)
		return FAIL(ERR_INVALID, "a syslog log needs server=");
	s->fd = socket(s->server.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return s->fd < 0 ? FAIL_ERRNO("syslog socket") : NULL;
}

struct err *syslog_sink_open(str text, struct syslog_sink **ret)
{
	struct syslog_sink *s = MEM_NEW(struct syslog_sink);
	struct err *e;

	s->fd = -1;
	s->facility = index_of(facilities, STR("local7"));
	s->severity = index_of(severities, STR("info"));
	s->has_hostname = true;
	s->second = -1;
	memcpy(s->tag, "nginx", 6);
	gethostname(s->hostname, sizeof(s->hostname) - 1);
	e = set_options(s, text);
	if (e) {
		syslog_sink_close(&s);
		return e;
	}
	*ret = s;
	return NULL;
}

void syslog_sink_close(struct syslog_sink **s)
{
	if (*s && (*s)->fd >= 0)
		close((*s)->fd);
	mem_free(*s);
	*s = NULL;
}

/* ---- sending --------------------------------------------------------------------------- */

int syslog_head(char head[SYSLOG_HEAD_MAX], int priority, int64_t second, const char *hostname,
		const char *tag)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t at = (time_t)second;
	struct tm tm;

	localtime_r(&at, &tm);
	return snprintf(head, SYSLOG_HEAD_MAX, "<%d>%.3s %2d %02d:%02d:%02d %s%s%s: ", priority,
			months + 3 * (tm.tm_mon % 12), tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			hostname ? hostname : "", hostname ? " " : "", tag);
}

static int write_head(const struct syslog_sink *s, int severity, int64_t second,
		      char head[SYSLOG_HEAD_MAX])
{
	return syslog_head(head, s->facility * 8 + severity, second,
			   s->has_hostname ? s->hostname : NULL, s->tag);
}

static int send_both(const struct syslog_sink *s, str head, str line)
{
	struct iovec parts[2] = {
		{ (void *)(uintptr_t)head.s, head.n },
		{ (void *)(uintptr_t)line.s, line.n },
	};
	struct msghdr message = {
		.msg_name = (void *)(uintptr_t)&s->server.any,
		.msg_namelen = s->server.size,
		.msg_iov = parts,
		.msg_iovlen = COUNT(parts),
	};

	return sendmsg(s->fd, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

int syslog_sink_send(struct syslog_sink *s, str line)
{
	int64_t now = clock_wall_s();

	if (now != s->second) {
		s->head_n = write_head(s, s->severity, now, s->head);
		s->second = now;
	}
	return send_both(s, str_at(s->head, (size_t)s->head_n), line);
}

int syslog_sink_send_at(const struct syslog_sink *s, int severity, str line)
{
	char head[SYSLOG_HEAD_MAX];
	int n = write_head(s, severity, clock_wall_s(), head);

	return send_both(s, str_at(head, (size_t)n), line);
}
