/* SPDX-License-Identifier: Apache-2.0 */
/* nginx's log_format: a text with $variables becomes a list of pieces, and a
 * piece writes itself to a line.
 *
 * A variable is a row: its name and a function that finds its text, in the
 * record or put together in a scratch.  What a request does not have is "-",
 * or nothing with escape=json and escape=none.  The last rows are variables that
 * nginx knows and that have no value here; they are "-" always. */
#include "base/vec.h"
#include "observe/priv.h"
#include <time.h>
#include <unistd.h>

#define SCRATCH 512

enum escape { ESCAPE_DEFAULT, ESCAPE_JSON, ESCAPE_NONE };

/* For one variable of one line. */
struct source {
	const struct access_record *r;
	struct time_words *times;
	str name; /* what follows the prefix of http_, arg_, ... */
	enum http_name id;
	char *scratch; /* SCRATCH bytes */
};

struct variable {
	const char *name;
	bool is_prefix;
	str (*find)(const struct source *s); /* STR_NONE: not there */
};

struct piece {
	str literal;
	const struct variable *variable; /* NULL: the literal */
	str name;
	enum http_name id;
};

struct access_format {
	enum escape escape;
	struct piece *v;
	size_t n, cap;
};

const char access_format_combined[] =
	"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
	"\"$http_referer\" \"$http_user_agent\"";
const char access_format_basic[] =
	"$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time";

/* ---- numbers and times ------------------------------------------------------------- */

static char *put_number(char *end, uint64_t n)
{
	do
		*--end = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	return end;
}

static str number(const struct source *s, uint64_t n)
{
	char *end = s->scratch + 20, *p = put_number(end, n);

	return str_at(p, (size_t)(end - p));
}

static char *put_padded(char *p, unsigned n, int digits)
{
	for (int i = digits - 1; i >= 0; i--, n /= 10)
		p[i] = (char)('0' + n % 10);
	return p + digits;
}

/* Seconds with three decimals. */
static str seconds(const struct source *s, int64_t ms)
{
	char *end = s->scratch + 20, *p;

	if (ms < 0)
		return STR_NONE;
	p = put_number(end, (uint64_t)ms / 1000);
	*end++ = '.';
	end = put_padded(end, (unsigned)(ms % 1000), 3);
	return str_at(p, (size_t)(end - p));
}

/* "24/Nov/2026:06:46:30 +0000" and "2026-11-24T06:46:30+00:00". */
static void say_time(struct time_words *t, int64_t second)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t at = (time_t)second;
	struct tm tm;
	long offset;
	unsigned away;
	char sign;

	localtime_r(&at, &tm);
	offset = tm.tm_gmtoff / 60;
	sign = offset < 0 ? '-' : '+';
	away = (unsigned)(offset < 0 ? -offset : offset);
	t->n_local = (size_t)snprintf(t->local, sizeof(t->local),
				      "%02d/%.3s/%d:%02d:%02d:%02d %c%02u%02u", tm.tm_mday,
				      months + 3 * (tm.tm_mon % 12), 1900 + tm.tm_year, tm.tm_hour,
				      tm.tm_min, tm.tm_sec, sign, away / 60, away % 60);
	t->n_iso =
		(size_t)snprintf(t->iso, sizeof(t->iso), "%d-%02d-%02dT%02d:%02d:%02d%c%02u:%02u",
				 1900 + tm.tm_year, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
				 tm.tm_min, tm.tm_sec, sign, away / 60, away % 60);
	t->second = second;
}

static int64_t ended_ms(const struct source *s)
{
	return s->r->started_ms + s->r->request_time_ms;
}

static struct time_words *times(const struct source *s)
{
	int64_t second = ended_ms(s) / 1000;

	if (s->times->second != second)
		say_time(s->times, second);
	return s->times;
}

static str time_local(const struct source *s)
{
	const struct time_words *t = times(s);

	return str_at(t->local, t->n_local);
}

static str time_iso8601(const struct source *s)
{
	const struct time_words *t = times(s);

	return str_at(t->iso, t->n_iso);
}

static str msec(const struct source *s)
{
	return seconds(s, ended_ms(s));
}

static str request_time(const struct source *s)
{
	return seconds(s, s->r->request_time_ms);
}

static str upstream_connect_time(const struct source *s)
{
	return seconds(s, s->r->upstream_connect_ms);
}

static str upstream_header_time(const struct source *s)
{
	return seconds(s, s->r->upstream_header_ms);
}

static str upstream_response_time(const struct source *s)
{
	return seconds(s, s->r->upstream_response_ms);
}

/* ---- the two ends -------------------------------------------------------------------- */

static str ip_of(const struct source *s, const struct address *a)
{
	return a ? str_at(s->scratch, address_ip(a, s->scratch)) : STR_NONE;
}

static str port_of(const struct source *s, const struct address *a)
{
	return a && a->any.sa_family != AF_UNIX ? number(s, address_port(a)) : STR_NONE;
}

static str remote_addr(const struct source *s)
{
	return ip_of(s, s->r->client);
}

static str remote_port(const struct source *s)
{
	return port_of(s, s->r->client);
}

static str realip_remote_addr(const struct source *s)
{
	return ip_of(s, s->r->peer);
}

static str realip_remote_port(const struct source *s)
{
	return port_of(s, s->r->peer);
}

static str server_addr(const struct source *s)
{
	return ip_of(s, s->r->local);
}

static str server_port(const struct source *s)
{
	return port_of(s, s->r->local);
}

static str connection(const struct source *s)
{
	return number(s, s->r->connection);
}

static str connection_requests(const struct source *s)
{
	return number(s, s->r->connection_requests);
}

static str pipe_(const struct source *s)
{
	return s->r->is_pipelined ? STR("p") : STR(".");
}

static str protocol(const struct source *s)
{
	return s->r->protocol ? str_of(s->r->protocol) : STR("TCP");
}

static str scheme(const struct source *s)
{
	return s->r->is_tls ? STR("https") : STR("http");
}

static str https(const struct source *s)
{
	return s->r->is_tls ? STR("on") : STR("");
}

static str ssl_protocol(const struct source *s)
{
	return s->r->is_tls ? str_of(s->r->tls_version) : STR_NONE;
}

static str ssl_cipher(const struct source *s)
{
	return s->r->is_tls ? str_of(s->r->tls_cipher) : STR_NONE;
}

static str or_none(str x)
{
	return x.n ? x : STR_NONE;
}

static str ssl_server_name(const struct source *s)
{
	return or_none(s->r->sni);
}

/* ---- the request ---------------------------------------------------------------------- */

static str request_line(const struct source *s)
{
	return or_none(s->r->request_line);
}

static str request_method(const struct source *s)
{
	return s->r->request ? s->r->request->method_name : STR_NONE;
}

static str request_uri(const struct source *s)
{
	return s->r->request ? s->r->request->target : STR_NONE;
}

static str uri(const struct source *s)
{
	if (s->r->uri.n)
		return s->r->uri;
	return s->r->request ? s->r->request->path : STR_NONE;
}

static str args(const struct source *s)
{
	return s->r->request ? or_none(s->r->request->query) : STR_NONE;
}

static str is_args(const struct source *s)
{
	return s->r->request && s->r->request->query.n ? STR("?") : STR("");
}

/* The first of that name, as sent; case does not matter. */
static str arg(const struct source *s)
{
	str rest = s->r->request ? s->r->request->query : STR_NONE, one;

	while (rest.n && str_next(&rest, '&', &one))
		if (one.n > s->name.n && one.s[s->name.n] == '=' && str_starts_ci(one, s->name))
			return str_from(one, s->name.n + 1);
	return STR_NONE;
}

static str server_protocol(const struct source *s)
{
	return s->r->request ? http_version(s->r->request) : STR_NONE;
}

/* nginx: "h2" over TLS, "h2c" in clear. */
static str http2(const struct source *s)
{
	if (!s->r->request || !s->r->request->is_h2)
		return STR_NONE;
	return s->r->is_tls ? STR("h2") : STR("h2c");
}

static str server_name(const struct source *s)
{
	(void)s;
	return STR("kong");
}

static str host(const struct source *s)
{
	return s->r->host.n ? s->r->host : server_name(s);
}

static str request_length(const struct source *s)
{
	return number(s, s->r->request_length);
}

static str request_id(const struct source *s)
{
	return or_none(s->r->request_id);
}

static str request_completion(const struct source *s)
{
	return s->r->is_aborted ? STR("") : STR("OK");
}

/* A header by a variable's name, where "_" stands for "-" too. */
static bool is_header(str header, str variable)
{
	if (header.n != variable.n)
		return false;
	for (size_t i = 0; i < header.n; i++) {
		char c = ascii_lower(header.s[i]);

		if ((c == '-' ? '_' : c) != ascii_lower(variable.s[i]))
			return false;
	}
	return true;
}

static str header_of(const struct http_headers *headers, const struct source *s)
{
	for (unsigned i = 0; headers && i < headers->n; i++) {
		const struct http_header *h = &headers->v[i];

		if (s->id != HTTP_OTHER ? h->id == s->id : is_header(h->name, s->name))
			return h->value.s ? h->value : STR("");
	}
	return STR_NONE;
}

static str http(const struct source *s)
{
	return s->r->request ? header_of(&s->r->request->headers, s) : STR_NONE;
}

static str sent_http(const struct source *s)
{
	if (s->id == HTTP_CONNECTION && s->r->sent_connection.n)
		return s->r->sent_connection;
	return header_of(s->r->reply_headers, s);
}

static str upstream_http(const struct source *s)
{
	return header_of(s->r->upstream_headers, s);
}

static str known_header(const struct source *s, enum http_name id)
{
	const struct http_header *h = s->r->request ? http_get(&s->r->request->headers, id) : NULL;

	return h ? or_none(h->value) : STR_NONE;
}

static str content_type(const struct source *s)
{
	return known_header(s, HTTP_CONTENT_TYPE);
}

static str content_length(const struct source *s)
{
	return known_header(s, HTTP_CONTENT_LENGTH);
}

static str cookie(const struct source *s)
{
	const struct http_request *r = s->r->request;

	for (unsigned i = 0; r && i < r->headers.n; i++) {
		str rest = r->headers.v[i].value, one;

		if (r->headers.v[i].id != HTTP_COOKIE)
			continue;
		while (rest.n && str_next(&rest, ';', &one)) {
			one = str_trim(one);
			if (one.n > s->name.n && one.s[s->name.n] == '=' &&
			    str_starts_ci(one, s->name))
				return str_from(one, s->name.n + 1);
		}
	}
	return STR_NONE;
}

/* The name of "Authorization: Basic"; never the password behind it. */
static str remote_user(const struct source *s)
{
	str value = known_header(s, HTTP_AUTHORIZATION);
	uint32_t bits = 0;
	size_t n = 0;
	int have = 0;

	if (!str_starts_ci(value, STR("Basic ")))
		return STR_NONE;
	value = str_trim(str_from(value, 6));
	for (size_t i = 0; i < value.n && n < SCRATCH; i++) {
		int digit = ascii_base64(value.s[i]);

		if (digit < 0)
			return STR_NONE;
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		s->scratch[n] = (char)(bits >> have);
		if (s->scratch[n++] == ':')
			return str_at(s->scratch, n - 1);
	}
	return STR_NONE;
}

/* ---- the answer ------------------------------------------------------------------------- */

static str status(const struct source *s)
{
	put_padded(s->scratch, (unsigned)s->r->status, 3);
	return str_at(s->scratch, 3);
}

static str bytes_sent(const struct source *s)
{
	return number(s, s->r->bytes_sent);
}

static str body_bytes_sent(const struct source *s)
{
	return number(s, s->r->body_bytes_sent);
}

static str upstream_addr(const struct source *s)
{
	return or_none(s->r->upstream_addr);
}

static str upstream_status(const struct source *s)
{
	return or_none(s->r->upstream_status);
}

/* ---- the rest --------------------------------------------------------------------------- */

static str pid(const struct source *s)
{
	return number(s, (uint64_t)getpid());
}

static str hostname(const struct source *s)
{
	if (gethostname(s->scratch, SCRATCH) != 0)
		return STR_NONE;
	s->scratch[SCRATCH - 1] = '\0';
	return str_of(s->scratch);
}

static str nothing(const struct source *s)
{
	(void)s;
	return STR_NONE;
}

/* clang-format off */
static const struct variable variables[] = {
	{ .name = "arg_",                   .find = arg,           .is_prefix = true },
	{ .name = "args",                   .find = args },
	{ .name = "body_bytes_sent",        .find = body_bytes_sent },
	{ .name = "bytes_received",         .find = request_length },
	{ .name = "bytes_sent",             .find = bytes_sent },
	{ .name = "connection",             .find = connection },
	{ .name = "connection_requests",    .find = connection_requests },
	{ .name = "content_length",         .find = content_length },
	{ .name = "content_type",           .find = content_type },
	{ .name = "cookie_",                .find = cookie,        .is_prefix = true },
	{ .name = "document_uri",           .find = uri },
	{ .name = "host",                   .find = host },
	{ .name = "hostname",               .find = hostname },
	{ .name = "http_",                  .find = http,          .is_prefix = true },
	{ .name = "https",                  .find = https },
	{ .name = "is_args",                .find = is_args },
	{ .name = "msec",                   .find = msec },
	{ .name = "pid",                    .find = pid },
	{ .name = "pipe",                   .find = pipe_ },
	{ .name = "protocol",               .find = protocol },
	{ .name = "query_string",           .find = args },
	{ .name = "realip_remote_addr",     .find = realip_remote_addr },
	{ .name = "realip_remote_port",     .find = realip_remote_port },
	{ .name = "remote_addr",            .find = remote_addr },
	{ .name = "remote_port",            .find = remote_port },
	{ .name = "remote_user",            .find = remote_user },
	{ .name = "request",                .find = request_line },
	{ .name = "request_completion",     .find = request_completion },
	{ .name = "request_id",             .find = request_id },
	{ .name = "request_length",         .find = request_length },
	{ .name = "request_method",         .find = request_method },
	{ .name = "request_time",           .find = request_time },
	{ .name = "request_uri",            .find = request_uri },
	{ .name = "scheme",                 .find = scheme },
	{ .name = "sent_http_",             .find = sent_http,     .is_prefix = true },
	{ .name = "server_addr",            .find = server_addr },
	{ .name = "server_name",            .find = server_name },
	{ .name = "server_port",            .find = server_port },
	{ .name = "server_protocol",        .find = server_protocol },
	{ .name = "session_time",           .find = request_time },
	{ .name = "ssl_cipher",             .find = ssl_cipher },
	{ .name = "ssl_protocol",           .find = ssl_protocol },
	{ .name = "ssl_server_name",        .find = ssl_server_name },
	{ .name = "status",                 .find = status },
	{ .name = "time_iso8601",           .find = time_iso8601 },
	{ .name = "time_local",             .find = time_local },
	{ .name = "upstream_addr",          .find = upstream_addr },
	{ .name = "upstream_connect_time",  .find = upstream_connect_time },
	{ .name = "upstream_header_time",   .find = upstream_header_time },
	{ .name = "upstream_http_",         .find = upstream_http, .is_prefix = true },
	{ .name = "upstream_response_time", .find = upstream_response_time },
	{ .name = "upstream_status",        .find = upstream_status },
	{ .name = "uri",                    .find = uri },

	{ .name = "connection_time",          .find = nothing },
	{ .name = "gzip_ratio",               .find = nothing },
	{ .name = "http2",                    .find = http2 },
	{ .name = "limit_rate",               .find = nothing },
	{ .name = "proxy_host",               .find = nothing },
	{ .name = "proxy_port",               .find = nothing },
	{ .name = "proxy_protocol_addr",      .find = nothing },
	{ .name = "proxy_protocol_port",      .find = nothing },
	{ .name = "request_body",             .find = nothing },
	{ .name = "ssl_client_",              .find = nothing, .is_prefix = true },
	{ .name = "ssl_curves",               .find = nothing },
	{ .name = "ssl_ciphers",              .find = nothing },
	{ .name = "ssl_early_data",           .find = nothing },
	{ .name = "ssl_session_id",           .find = nothing },
	{ .name = "ssl_session_reused",       .find = nothing },
	{ .name = "tcpinfo_",                 .find = nothing, .is_prefix = true },
	{ .name = "upstream_bytes_received",  .find = nothing },
	{ .name = "upstream_bytes_sent",      .find = nothing },
	{ .name = "upstream_cache_status",    .find = nothing },
	{ .name = "upstream_cookie_",         .find = nothing, .is_prefix = true },
	{ .name = "upstream_queue_time",      .find = nothing },
	{ .name = "upstream_response_length", .find = nothing },
	{ .name = "upstream_trailer_",        .find = nothing, .is_prefix = true },
};
/* clang-format on */

/* ---- reading a format ---------------------------------------------------------------------- */

static const struct variable *find_variable(str name)
{
	for (unsigned i = 0; i < COUNT(variables); i++) {
		const struct variable *v = &variables[i];
		str known = str_of(v->name);

		if (v->is_prefix ? name.n > known.n && str_starts(name, known)
				 : str_eq(name, known))
			return v;
	}
	return NULL;
}

static void add_literal(struct arena *a, struct access_format *f, str s)
{
	if (s.n)
		vec_add(a, f)->literal = str_copy(a, s);
}

static struct err *add_variable(struct arena *a, struct access_format *f, str name)
{
	const struct variable *v = find_variable(name);
	struct piece *piece;
	char *dashes;

	if (!v)
		return err_hint(FAIL(ERR_INVALID, "unknown variable \"$" STRF "\" in a log format",
				     STRV(name)),
				"Take it out of the format, or spell it as nginx does.");
	piece = vec_add(a, f);
	piece->variable = v;
	if (v->is_prefix) {
		piece->name = str_lower(a, str_from(name, strlen(v->name)));
		dashes = str_z(a, piece->name);
		for (char *p = dashes; *p; p++)
			*p = *p == '_' ? '-' : *p;
		piece->id = http_name_of(str_of(dashes));
	}
	return NULL;
}

static bool is_variable_char(char c)
{
	return ascii_is_alnum(c) || c == '_';
}

/* Takes "name" or "{name}" off the front of *rest, which follows a '$'. */
static struct err *take_name(str *rest, str *ret)
{
	bool is_braced = rest->n && rest->s[0] == '{';
	size_t n = 0;
	str s = is_braced ? str_from(*rest, 1) : *rest;

	while (n < s.n && is_variable_char(s.s[n]))
		n++;
	*ret = str_part(s, 0, n);
	if (n == 0)
		return FAIL(ERR_INVALID, "\"$\" without the name of a variable in a log format");
	if (is_braced && (n == s.n || s.s[n] != '}'))
		return FAIL(ERR_INVALID, "the closing bracket in \"" STRF "\" variable is missing",
			    STRV(*ret));
	*rest = str_from(s, n + is_braced);
	return NULL;
}

static str take_escape(str text, enum escape *ret)
{
	/* clang-format off */
	static const struct { str word; enum escape escape; } words[] = {
		{ STR_INIT("escape=default "), ESCAPE_DEFAULT },
		{ STR_INIT("escape=json "),    ESCAPE_JSON },
		{ STR_INIT("escape=none "),    ESCAPE_NONE },
	};
	/* clang-format on */

	for (unsigned i = 0; i < COUNT(words); i++) {
		if (str_starts(text, words[i].word)) {
			*ret = words[i].escape;
			return str_from(text, words[i].word.n);
		}
	}
	return text;
}

struct err *access_format_new(struct arena *a, str text, struct access_format **ret)
{
	struct access_format *f = NEW(a, struct access_format);
	ptrdiff_t dollar;
	str name;

	if (str_is(text, "combined"))
		text = str_of(access_format_combined);
	else if (str_is(text, "basic"))
		text = str_of(access_format_basic);
	text = take_escape(text, &f->escape);
	while ((dollar = str_find(text, '$', 0)) >= 0) {
		add_literal(a, f, str_part(text, 0, (size_t)dollar));
		text = str_from(text, (size_t)dollar + 1);
		PASS(take_name(&text, &name));
		PASS(add_variable(a, f, name));
	}
	add_literal(a, f, text);
	*ret = f;
	return NULL;
}

/* ---- writing a line -------------------------------------------------------------------------- */

#define LONGEST_ESCAPE 6 /* \u001f */

/* Which bytes do not stand for themselves. */
static const bool is_escaped[2][256] = {
	[ESCAPE_DEFAULT] = { [0 ... 31] = true, ['"'] = true, ['\\'] = true, [127 ... 255] = true },
	[ESCAPE_JSON] = { [0 ... 31] = true, ['"'] = true, ['\\'] = true },
};

static const char hex[] = "0123456789ABCDEF";

static char *put_escape(char *p, unsigned char c, enum escape escape)
{
	static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";
	const char *at;

	if (escape == ESCAPE_DEFAULT) {
		*p++ = '\\';
		*p++ = 'x';
	} else {
		at = c ? strchr(short_from, c) : NULL;
		*p++ = '\\';
		if (at) {
			*p++ = short_to[at - short_from];
			return p;
		}
		p = mempcpy(p, "u00", 3);
	}
	*p++ = hex[c >> 4];
	*p++ = hex[c & 15];
	return p;
}

#define EACH(byte)  (0x0101010101010101u * (byte))
#define BELOW(w, c) (((w)-EACH(c)) & ~(w)) /* top bit of a byte set: some byte is below c */
#define EQUAL(w, c) BELOW((w) ^ EACH(c), 1)

/* Do all eight bytes stand for themselves? */
static bool are_plain(uint64_t w, enum escape escape)
{
	uint64_t bad = BELOW(w, 0x20) | EQUAL(w, '"') | EQUAL(w, '\\');

	if (escape == ESCAPE_DEFAULT)
		bad |= EQUAL(w, 0x7f) | w;
	return (bad & EACH(0x80)) == 0;
}

/* NULL when there might not be room up to end. */
static char *put_text(char *p, const char *end, str s, enum escape escape)
{
	const bool *escaped = is_escaped[escape == ESCAPE_JSON];
	const char *from = s.s, *to = s.s + s.n;
	uint64_t eight;

	if (escape == ESCAPE_NONE) {
		if (s.n > (size_t)(end - p))
			return NULL;
		return s.n ? mempcpy(p, s.s, s.n) : p;
	}
	if (s.n > (size_t)(end - p) / LONGEST_ESCAPE)
		return NULL;
	while (from < to) {
		if (to - from >= 8) {
			memcpy(&eight, from, 8);
			if (likely(are_plain(eight, escape))) {
				memcpy(p, &eight, 8);
				p += 8;
				from += 8;
				continue;
			}
		}
		if (escaped[(unsigned char)*from])
			p = put_escape(p, (unsigned char)*from, escape);
		else
			*p++ = *from;
		from++;
	}
	return p;
}

size_t access_format_put(const struct access_format *f, const struct access_record *r,
			 struct time_words *t, char *start, size_t cap)
{
	char scratch[SCRATCH], *p = start, *end = start + cap;
	struct source source = { .r = r, .times = t, .scratch = scratch };

	for (size_t i = 0; i < f->n; i++) {
		const struct piece *piece = &f->v[i];
		enum escape escape = f->escape;
		str s = piece->literal;

		if (piece->variable) {
			source.name = piece->name;
			source.id = piece->id;
			s = piece->variable->find(&source);
			if (!s.s && f->escape == ESCAPE_DEFAULT)
				s = STR("-");
		} else {
			escape = ESCAPE_NONE;
		}
		p = put_text(p, end, s, escape);
		if (!p)
			return 0;
	}
	if (p == end)
		return 0;
	*p++ = '\n';
	return (size_t)(p - start);
}

str access_format_line(struct arena *a, const struct access_format *f,
		       const struct access_record *r)
{
	struct time_words t = { .second = -1 };

	for (size_t cap = 1024;; cap *= 2) {
		char *p = arena_bytes(a, cap);
		size_t n = access_format_put(f, r, &t, p, cap);

		if (n)
			return str_at(p, n - 1);
	}
}
