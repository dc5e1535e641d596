/* SPDX-License-Identifier: Apache-2.0 */
/* nginx directives injected through nginx_<namespace>_<directive>.
 *
 * A directive that has a meaning here is a row with the function that takes its
 * value; one whose feature comes later is a row with words; any other is told
 * once at start and has no effect.  Values of the http namespace count for all
 * HTTP listeners, those of proxy, admin and status for theirs alone. */
#include "base/vec.h"
#include "net/tls.h"
#include "settings/priv.h"

static const struct {
	str prefix;
	enum directive_space space;
} spaces[] = {
	{ STR_INIT("nginx_main_"), SPACE_MAIN },
	{ STR_INIT("nginx_events_"), SPACE_EVENTS },
	{ STR_INIT("nginx_http_"), SPACE_HTTP },
	{ STR_INIT("nginx_upstream_"), SPACE_UPSTREAM },
	{ STR_INIT("nginx_proxy_"), SPACE_PROXY },
	{ STR_INIT("nginx_status_"), SPACE_STATUS },
	{ STR_INIT("nginx_admin_"), SPACE_ADMIN },
	{ STR_INIT("nginx_stream_"), SPACE_STREAM },
	{ STR_INIT("nginx_supstream_"), SPACE_SUPSTREAM },
	{ STR_INIT("nginx_sproxy_"), SPACE_SPROXY },
};

bool directive_split(str name, enum directive_space *ret_space, str *ret_directive)
{
	for (size_t i = 0; i < COUNT(spaces); i++) {
		if (str_starts(name, spaces[i].prefix) && name.n > spaces[i].prefix.n) {
			*ret_space = spaces[i].space;
			*ret_directive = str_from(name, spaces[i].prefix.n);
			return true;
		}
	}
	return false;
}

/* ---- taking values -------------------------------------------------------------------------- */

/* A value and where it came from. */
struct use {
	struct loading *l;
	const struct directive *row;
	enum directive_space space;
	str value;
};

/* False: the value is not what the row expects. */
typedef bool take_fn(const struct use *u);

struct directive {
	str name;
	unsigned spaces; /* bits by enum directive_space */
	take_fn *take;   /* NULL: see why */
	size_t offset;   /* in struct http_tuning */
	const char *expects;
	const char *why; /* of a row without take: what is missing */
};

/* The tunings a namespace speaks of; NULL where there are fewer. */
static void tunings(const struct use *u, struct http_tuning *ret[3])
{
	struct settings *s = u->l->s;
	bool all = u->space == SPACE_HTTP;

	ret[0] = all || u->space == SPACE_PROXY ? &s->proxy_http : NULL;
	ret[1] = all || u->space == SPACE_ADMIN ? &s->admin_http : NULL;
	ret[2] = all || u->space == SPACE_STATUS ? &s->status_http : NULL;
}

#define tuning_for_each(u, T, p)                                                                   \
	struct http_tuning *tunings_[3];                                                           \
	tunings((u), tunings_);                                                                    \
	for (size_t i_ = 0; i_ < COUNT(tunings_); i_++)                                            \
		for (T *p = tunings_[i_] ? (T *)((char *)tunings_[i_] + (u)->row->offset) : NULL;  \
		     p; p = NULL)

static bool take_size(const struct use *u)
{
	int64_t n;

	if (!size_parse(u->value, &n))
		return false;
	tuning_for_each(u, int64_t, p) *p = n;
	return true;
}

static bool take_shared_dict(const struct use *u)
{
	ptrdiff_t space = str_find(u->value, ' ', 0);
	int64_t n;

	if (space <= 0 || !size_parse(str_trim(str_from(u->value, (size_t)space)), &n) || n <= 0)
		return false;
	add_zone(u->l, str_part(u->value, 0, (size_t)space), n);
	return true;
}

static bool take_time(const struct use *u)
{
	int64_t n;

	if (!time_parse(u->value, &n))
		return false;
	tuning_for_each(u, int64_t, p) *p = n;
	return true;
}

static bool take_count(const struct use *u)
{
	int64_t n;

	if (!str_to_int(u->value, &n) || n < 0)
		return false;
	tuning_for_each(u, int64_t, p) *p = n;
	return true;
}

#define STREAMS_MOST 10000 /* of an HTTP/2 connection */

static bool take_streams(const struct use *u)
{
	int64_t n;

	return str_to_int(u->value, &n) && n >= 1 && n <= STREAMS_MOST && take_count(u);
}

static bool on_off(str text, bool *ret)
{
	*ret = str_is(text, "on");
	return *ret || str_is(text, "off");
}

static bool take_flag(const struct use *u)
{
	bool is_on;

	if (!on_off(u->value, &is_on))
		return false;
	tuning_for_each(u, bool, p) *p = is_on;
	return true;
}

/* Any word but off. */
static bool take_word(const struct use *u)
{
	tuning_for_each(u, str, p) *p = str_is(u->value, "off") ? STR_NONE : u->value;
	return true;
}

/* "4 8k". */
static bool take_header_buffers(const struct use *u)
{
	strs words = str_split(u->l->a, u->value, ' ');
	int64_t n, size;

	if (words.n != 2 || !str_to_int(words.v[0], &n) || n < 1 ||
	    !size_parse(words.v[1], &size) || size < 1)
		return false;
	tuning_for_each(u, struct http_tuning, t)
	{
		t->large_header_buffers = n;
		t->large_header_buffer = size;
	}
	return true;
}

/* "75s" or "75s 60s": the second is told to the client. */
static bool take_keepalive(const struct use *u)
{
	strs words = str_split(u->l->a, u->value, ' ');
	int64_t ms, told = 0;

	if (words.n < 1 || words.n > 2 || !time_parse(words.v[0], &ms) ||
	    (words.n == 2 && !time_parse(words.v[1], &told)))
		return false;
	tuning_for_each(u, struct http_tuning, t)
	{
		t->keepalive_timeout = ms;
		t->keepalive_header_timeout = told;
	}
	return true;
}

static bool take_lingering(const struct use *u)
{
	static const struct {
		const char *word;
		enum lingering kind;
	} words[] = { { "on", LINGERING_ON },
		      { "off", LINGERING_OFF },
		      { "always", LINGERING_ALWAYS } };

	for (size_t i = 0; i < COUNT(words); i++) {
		if (!str_is(u->value, words[i].word))
			continue;
		tuning_for_each(u, struct http_tuning, t) t->lingering_close = words[i].kind;
		return true;
	}
	return false;
}

/* ---- the client's address ------------------------------------------------------------------------ */

static bool take_real_ip_header(const struct use *u)
{
	u->l->s->client_ip_header = u->value;
	return true;
}

static bool take_real_ip_recursive(const struct use *u)
{
	return on_off(u->value, &u->l->s->is_client_ip_recursive);
}

static void trust(struct loading *l, const struct cidr *net)
{
	struct setting_cidrs *list = &l->s->trusted;
	struct cidr *v = NEWS(l->a, struct cidr, list->n + 1);

	if (list->n)
		memcpy(v, list->v, list->n * sizeof(*v));
	v[list->n] = *net;
	*list = (struct setting_cidrs){ v, list->n + 1 };
}

static bool take_real_ip_from(const struct use *u)
{
	struct cidr net;

	if (!cidr_parse(u->value, &net))
		return false;
	trust(u->l, &net);
	return true;
}

/* ---- TLS -------------------------------------------------------------------------------------------- */

static struct tls_tuning *tls_of(const struct use *u)
{
	struct settings *s = u->l->s;

	return u->space == SPACE_STREAM || u->space == SPACE_SPROXY ? &s->stream_tls : &s->http_tls;
}

/* "TLSv1.2 TLSv1.3" as bits. */
static bool protocols_parse(struct arena *a, str text, unsigned *ret)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = { { "TLSv1", TLS_1_0 },   { "TLSv1.1", TLS_1_1 }, { "TLSv1.2", TLS_1_2 },
		      { "TLSv1.3", TLS_1_3 }, { "SSLv2", 0 },         { "SSLv3", 0 } };
	strs list = str_split(a, text, ' ');
	unsigned bits = 0;

	for (size_t i = 0; i < list.n; i++) {
		size_t k = 0;

		while (k < COUNT(words) && !str_is(list.v[i], words[k].word))
			k++;
		if (k == COUNT(words))
			return false;
		bits |= words[k].bit;
	}
	*ret = bits;
	return bits != 0;
}

static bool take_ssl_protocols(const struct use *u)
{
	return protocols_parse(u->l->a, u->value, &tls_of(u)->protocols);
}

static bool take_lua_ssl_protocols(const struct use *u)
{
	return protocols_parse(u->l->a, u->value, &u->l->s->lua_ssl_versions);
}

static bool take_ssl_ciphers(const struct use *u)
{
	tls_of(u)->ciphers = u->value;
	return true;
}

static bool take_ssl_prefer(const struct use *u)
{
	return on_off(u->value, &tls_of(u)->prefer_server_ciphers);
}

static bool take_ssl_dhparam(const struct use *u)
{
	tls_of(u)->dhparam = u->value;
	return true;
}

static bool take_ssl_tickets(const struct use *u)
{
	return on_off(u->value, &tls_of(u)->session_tickets);
}

static bool take_ssl_timeout(const struct use *u)
{
	return time_parse(u->value, &tls_of(u)->session_timeout_ms);
}

/* ---- the process --------------------------------------------------------------------------------------- */

static bool count_or_auto(const struct use *u, int64_t most, int64_t *ret)
{
	int64_t n;

	if (str_is(u->value, "auto"))
		return true;
	if (!str_to_int(u->value, &n) || n < 1 || n > most)
		return false;
	*ret = n;
	return true;
}

static bool take_processes(const struct use *u)
{
	int64_t n = u->l->s->worker_processes;

	if (!count_or_auto(u, 1024, &n))
		return false;
	u->l->s->worker_processes = (int)n;
	return true;
}

static bool take_connections(const struct use *u)
{
	return count_or_auto(u, 10000000, &u->l->s->worker_connections);
}

static bool take_nofile(const struct use *u)
{
	return count_or_auto(u, 10000000, &u->l->s->worker_rlimit_nofile);
}

static bool take_shutdown(const struct use *u)
{
	return time_parse(u->value, &u->l->s->worker_shutdown_timeout_ms);
}

static bool take_daemon(const struct use *u)
{
	return on_off(u->value, &u->l->s->is_daemon);
}

static bool take_user(const struct use *u)
{
	strs words = str_split(u->l->a, u->value, ' ');

	if (words.n < 1 || words.n > 2)
		return false;
	u->l->s->user = words.v[0];
	u->l->s->group = words.v[words.n - 1];
	return true;
}

/* It is what we do anyway, or what we do better. */
static bool take_nothing(const struct use *u)
{
	(void)u;
	return true;
}

/* ---- logs ------------------------------------------------------------------------------------------------ */

/* Pieces between quotes, one behind the other, as nginx joins them. */
static bool unquote(struct arena *a, str text, str *ret)
{
	char *out = arena_bytes(a, text.n);
	size_t n = 0;

	for (size_t i = 0; i < text.n;) {
		char quote = text.s[i];

		if (quote == ' ' || quote == '\t') {
			i++;
			continue;
		}
		if (quote != '\'' && quote != '"')
			return false;
		for (i++; i < text.n && text.s[i] != quote; i++) {
			if (text.s[i] == '\\' && i + 1 < text.n)
				i++;
			out[n++] = text.s[i];
		}
		if (i == text.n)
			return false;
		i++;
	}
	*ret = str_at(out, n);
	return true;
}

/* log_format NAME [escape=...] 'text' ...; kept as name and text, "escape=... " before it. */
static bool take_log_format(const struct use *u)
{
	struct settings *s = u->l->s;
	struct setting_pair *v = NEWS(u->l->a, struct setting_pair, s->log_formats.n + 1);
	ptrdiff_t space = str_find(u->value, ' ', 0);
	str rest, text, escape = STR("");

	if (space <= 0)
		return false;
	rest = str_trim(str_from(u->value, (size_t)space));
	if (str_starts(rest, STR("escape="))) {
		ptrdiff_t end = str_find(rest, ' ', 0);

		escape = end < 0 ? rest : str_part(rest, 0, (size_t)end + 1);
		rest = str_trim(str_from(rest, escape.n));
	}
	if (rest.n == 0)
		return false;
	if (!unquote(u->l->a, rest, &text))
		text = rest;
	text = str_cat(u->l->a, escape, text);
	if (s->log_formats.n)
		memcpy(v, s->log_formats.v, s->log_formats.n * sizeof(*v));
	v[s->log_formats.n] = (struct setting_pair){ str_part(u->value, 0, (size_t)space), text };
	s->log_formats = (struct setting_pairs){ v, s->log_formats.n + 1 };
	return true;
}

/* access_log FILE [FORMAT ...] or off: instead of the listener's own. */
static bool take_access_log(const struct use *u)
{
	struct settings *s = u->l->s;
	struct setting_log *to = u->space == SPACE_ADMIN    ? &s->admin_access
				 : u->space == SPACE_STATUS ? &s->status_access
				 : u->space == SPACE_SPROXY ? &s->stream_access
							    : &s->proxy_access;

	*to = (struct setting_log){ 0 };
	derive_log(u->l, u->value, to);
	return true;
}

/* ---- TCP, TLS and UDP sessions ------------------------------------------------------------------- */

static bool take_stream_time(const struct use *u)
{
	return time_parse(u->value, (int64_t *)((char *)&u->l->s->stream + u->row->offset));
}

static bool take_stream_count(const struct use *u)
{
	int64_t n;

	if (!str_to_int(u->value, &n) || n < 0)
		return false;
	*(int64_t *)((char *)&u->l->s->stream + u->row->offset) = n;
	return true;
}

static bool take_stream_proxy_protocol(const struct use *u)
{
	return on_off(u->value, &u->l->s->stream.proxy_protocol);
}

/* ---- the table ------------------------------------------------------------------------------------------- */

#define IN(space) (1u << SPACE_##space)
#define ANY_HTTP  (IN(HTTP) | IN(PROXY) | IN(ADMIN) | IN(STATUS))
#define ANY_TLS   (ANY_HTTP | IN(STREAM) | IN(SPROXY))
#define AT(m)     offsetof(struct http_tuning, m)
#define OF(m)     offsetof(struct stream_tuning, m)
#define A_SIZE    "a size such as 8k or 10m"
#define A_TIME    "a time such as 60s or 1m"
#define ON_OFF    "on or off"
#define A_COUNT   "a number"
#define OR_AUTO   "a number or auto"

/* clang-format off */
static const struct directive directives[] = {
	{ STR_INIT("client_max_body_size"),        ANY_HTTP,   take_size,           AT(client_max_body),           A_SIZE },
	{ STR_INIT("client_body_buffer_size"),     ANY_HTTP,   take_size,           AT(client_body_buffer),        A_SIZE },
	{ STR_INIT("client_header_buffer_size"),   ANY_HTTP,   take_size,           AT(client_header_buffer),      A_SIZE },
	{ STR_INIT("large_client_header_buffers"), ANY_HTTP,   take_header_buffers, 0,                             "a count and a size such as 4 8k" },
	{ STR_INIT("client_header_timeout"),       ANY_HTTP,   take_time,           AT(client_header_timeout),     A_TIME },
	{ STR_INIT("client_body_timeout"),         ANY_HTTP,   take_time,           AT(client_body_timeout),       A_TIME },
	{ STR_INIT("send_timeout"),                ANY_HTTP,   take_time,           AT(send_timeout),              A_TIME },
	{ STR_INIT("keepalive_timeout"),           ANY_HTTP,   take_keepalive,      0,                             "one or two times such as 75s" },
	{ STR_INIT("keepalive_time"),              ANY_HTTP,   take_time,           AT(keepalive_time),            A_TIME },
	{ STR_INIT("keepalive_requests"),          ANY_HTTP,   take_count,          AT(keepalive_requests),        A_COUNT },
	{ STR_INIT("http2_max_concurrent_streams"), ANY_HTTP,  take_streams,        AT(http2_max_concurrent_streams), "a number from 1 to 10000" },
	{ STR_INIT("lingering_close"),             ANY_HTTP,   take_lingering,      0,                             "on, off or always" },
	{ STR_INIT("lingering_time"),              ANY_HTTP,   take_time,           AT(lingering_time),            A_TIME },
	{ STR_INIT("lingering_timeout"),           ANY_HTTP,   take_time,           AT(lingering_timeout),         A_TIME },
	{ STR_INIT("tcp_nodelay"),                 ANY_HTTP,   take_flag,           AT(tcp_nodelay),               ON_OFF },
	{ STR_INIT("underscores_in_headers"),      ANY_HTTP,   take_flag,           AT(underscores_in_headers),    ON_OFF },
	{ STR_INIT("ignore_invalid_headers"),      ANY_HTTP,   take_flag,           AT(ignore_invalid_headers),    ON_OFF },
	{ STR_INIT("merge_slashes"),               ANY_HTTP,   take_flag,           AT(merge_slashes),             ON_OFF },
	{ STR_INIT("reset_timedout_connection"),   ANY_HTTP,   take_flag,           AT(reset_timedout_connection), ON_OFF },
	{ STR_INIT("server_tokens"),               ANY_HTTP,   take_flag,           AT(server_tokens),             ON_OFF },
	{ STR_INIT("charset"),                     ANY_HTTP,   take_word,           AT(charset),                   "a charset or off" },
	{ STR_INIT("real_ip_header"),              IN(HTTP) | IN(PROXY), take_real_ip_header,    0, "a header's name or proxy_protocol" },
	{ STR_INIT("real_ip_recursive"),           IN(HTTP) | IN(PROXY), take_real_ip_recursive, 0, ON_OFF },
	{ STR_INIT("set_real_ip_from"),            IN(HTTP) | IN(PROXY), take_real_ip_from,      0, "an address, a network or unix:" },
	{ STR_INIT("log_format"),                  IN(HTTP) | IN(PROXY) | IN(STREAM), take_log_format, 0, "a name and a format between quotes" },
	{ STR_INIT("access_log"),                  IN(PROXY) | IN(ADMIN) | IN(STATUS) | IN(SPROXY), take_access_log, 0, "a file and perhaps a format, or off" },
	{ STR_INIT("lua_shared_dict"),             IN(HTTP),   take_shared_dict,    0,                             "a name and a size such as mine 10m" },
	{ STR_INIT("ssl_protocols"),               ANY_TLS,    take_ssl_protocols,  0, "TLSv1 to TLSv1.3" },
	{ STR_INIT("ssl_ciphers"),                 ANY_TLS,    take_ssl_ciphers,    0, "ciphers in OpenSSL's words" },
	{ STR_INIT("ssl_prefer_server_ciphers"),   ANY_TLS,    take_ssl_prefer,     0, ON_OFF },
	{ STR_INIT("ssl_dhparam"),                 ANY_TLS,    take_ssl_dhparam,    0, "a group or a file" },
	{ STR_INIT("ssl_session_tickets"),         ANY_TLS,    take_ssl_tickets,    0, ON_OFF },
	{ STR_INIT("ssl_session_timeout"),         ANY_TLS,    take_ssl_timeout,    0, A_TIME },
	{ STR_INIT("lua_ssl_protocols"),           IN(HTTP) | IN(STREAM), take_lua_ssl_protocols, 0, "TLSv1 to TLSv1.3" },
	{ STR_INIT("worker_processes"),            IN(MAIN),   take_processes,      0, OR_AUTO },
	{ STR_INIT("worker_rlimit_nofile"),        IN(MAIN),   take_nofile,         0, OR_AUTO },
	{ STR_INIT("worker_shutdown_timeout"),     IN(MAIN),   take_shutdown,       0, A_TIME },
	{ STR_INIT("daemon"),                      IN(MAIN),   take_daemon,         0, ON_OFF },
	{ STR_INIT("user"),                        IN(MAIN),   take_user,           0, "a user and perhaps a group" },
	{ STR_INIT("worker_connections"),          IN(EVENTS), take_connections,    0, OR_AUTO },
	{ STR_INIT("multi_accept"),                IN(EVENTS), take_nothing,        0, ON_OFF },
	{ STR_INIT("lua_regex_match_limit"),       IN(HTTP),   take_nothing,        0, A_COUNT },
	{ STR_INIT("lua_regex_cache_max_entries"), IN(HTTP),   take_nothing,        0, A_COUNT },
	{ STR_INIT("proxy_buffer_size"),           IN(HTTP) | IN(PROXY), take_nothing, 0, A_SIZE },
	{ STR_INIT("proxy_buffers"),               IN(HTTP) | IN(PROXY), take_nothing, 0, A_SIZE },
	{ STR_INIT("proxy_busy_buffers_size"),     IN(HTTP) | IN(PROXY), take_nothing, 0, A_SIZE },
	{ STR_INIT("proxy_protocol"),              IN(SPROXY), take_stream_proxy_protocol, 0, ON_OFF },
	{ STR_INIT("proxy_protocol_timeout"),      IN(STREAM) | IN(SPROXY), take_stream_time,  OF(proxy_protocol_timeout), A_TIME },
	{ STR_INIT("preread_timeout"),             IN(STREAM) | IN(SPROXY), take_stream_time,  OF(preread_timeout),        A_TIME },
	{ STR_INIT("ssl_handshake_timeout"),       IN(STREAM) | IN(SPROXY), take_stream_time,  OF(handshake_timeout),      A_TIME },
	{ STR_INIT("proxy_responses"),             IN(SPROXY), take_stream_count,   OF(responses), A_COUNT },
	{ STR_INIT("proxy_requests"),              IN(SPROXY), take_stream_count,   OF(requests),  A_COUNT },
	{ STR_INIT("gzip"),                        ANY_HTTP, .why = "compression of answers" },
	{ STR_INIT("gzip_types"),                  ANY_HTTP, .why = "compression of answers" },
	{ STR_INIT("gzip_min_length"),             ANY_HTTP, .why = "compression of answers" },
	{ STR_INIT("gzip_comp_level"),             ANY_HTTP, .why = "compression of answers" },
	{ STR_INIT("gzip_proxied"),                ANY_HTTP, .why = "compression of answers" },
	{ STR_INIT("gzip_vary"),                   ANY_HTTP, .why = "compression of answers" },
	{ STR_INIT("limit_conn"),                  ANY_HTTP, .why = "limits of connections" },
	{ STR_INIT("limit_conn_zone"),             ANY_HTTP, .why = "limits of connections" },
	{ STR_INIT("limit_rate"),                  ANY_HTTP, .why = "limits of bandwidth" },
	{ STR_INIT("resolver_timeout"),            ANY_HTTP | IN(STREAM), .why = "limits of name resolution" },
	{ STR_INIT("ssl_verify_client"),           ANY_TLS, .why = "client certificates" },
	{ STR_INIT("ssl_client_certificate"),      ANY_TLS, .why = "client certificates" },
	{ STR_INIT("ssl_verify_depth"),            ANY_TLS, .why = "client certificates" },
	{ STR_INIT("ssl_stapling"),                ANY_TLS, .why = "OCSP stapling" },
};
/* clang-format on */

static const struct directive *directive_find(str name, enum directive_space space)
{
	for (size_t i = 0; i < COUNT(directives); i++) {
		if (str_eq(directives[i].name, name) && (directives[i].spaces & 1u << space))
			return &directives[i];
	}
	return NULL;
}

/* ---- running it -------------------------------------------------------------------------------------------- */

/* Cuts at the first ';' outside quotes; what is behind it goes to *ret_rest. */
static str cut_statement(str text, str *ret_rest)
{
	char quote = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.s[i];

		if (quote) {
			quote = c == quote ? 0 : quote;
		} else if (c == '\'' || c == '"') {
			quote = c;
		} else if (c == ';') {
			*ret_rest = str_trim(str_from(text, i + 1));
			return str_trim(str_part(text, 0, i));
		}
	}
	*ret_rest = STR("");
	return str_trim(text);
}

static void run(struct loading *l, const struct property *p, enum directive_space space, str name,
		str value)
{
	const struct directive *row = directive_find(name, space);
	struct use use = { l, row, space, value };

	if (!row) {
		loading_note(l,
			     STRF ": the nginx directive " STRF
				  " does not apply to Gibbon, it has no effect",
			     STRV(p->name), STRV(name));
	} else if (!row->take) {
		loading_note(l, STRF ": kept without effect, this version has no %s yet",
			     STRV(p->name), row->why);
	} else if (!row->take(&use)) {
		BAD(l, str_z(l->a, p->name), STRF " has an invalid value: '" STRF "' (%s)",
		    STRV(p->name), STRV(value), row->expects);
	}
}

/* A value may close its statement and bring others: "10m; keepalive_timeout 5s". */
static void run_statements(struct loading *l, const struct property *p, enum directive_space space,
			   str directive)
{
	str rest, value = cut_statement(p->text, &rest);

	run(l, p, space, directive, value);
	for (int i = 0; rest.n > 0 && i < 100; i++) {
		str statement = cut_statement(rest, &rest);
		ptrdiff_t at = str_find(statement, ' ', 0);

		if (statement.n)
			run(l, p, space, at < 0 ? statement : str_part(statement, 0, (size_t)at),
			    at < 0 ? STR("") : str_trim(str_from(statement, (size_t)at)));
	}
}

/* Settings of upstream connections that are properties of their own. */
static bool is_ignored(str name)
{
	return str_is(name, "nginx_http_upstream_keepalive") ||
	       str_is(name, "nginx_http_upstream_keepalive_timeout") ||
	       str_is(name, "nginx_http_upstream_keepalive_requests");
}

struct directive_list {
	struct setting_pair *v;
	size_t n, cap;
};

/* One pass over the properties of a namespace: lists and applies them. */
static void apply_space(struct loading *l, enum directive_space wanted)
{
	struct directive_list list = { 0 };

	for (size_t i = 0; i < l->all.n; i++) {
		const struct property *p = l->all.v[i];
		enum directive_space space;
		str directive;

		if (!p->text.s || str_is(p->text, "NONE") || is_ignored(p->name) ||
		    !directive_split(p->name, &space, &directive) || space != wanted)
			continue;
		*vec_add(l->a, &list) = (struct setting_pair){ directive, p->text };
		run_statements(l, p, space, directive);
	}
	l->s->directives[wanted] = (struct setting_pairs){ list.v, list.n };
}

static const struct http_tuning nginx_defaults = {
	.client_max_body = 1 << 20,
	.client_body_buffer = 16 << 10,
	.client_header_buffer = 1 << 10,
	.large_header_buffers = 4,
	.large_header_buffer = 8 << 10,
	.client_header_timeout = 60 * 1000,
	.client_body_timeout = 60 * 1000,
	.send_timeout = 60 * 1000,
	.keepalive_timeout = 75 * 1000,
	.keepalive_time = 3600 * 1000,
	.keepalive_requests = 1000,
	.http2_max_concurrent_streams = 128,
	.lingering_time = 30 * 1000,
	.lingering_timeout = 5 * 1000,
	.tcp_nodelay = true,
	.underscores_in_headers = true,
	.ignore_invalid_headers = true,
	.merge_slashes = true,
};

static const struct stream_tuning nginx_stream_defaults = {
	.preread_timeout = 30 * 1000,
	.handshake_timeout = 60 * 1000,
	.proxy_protocol_timeout = 30 * 1000,
	.responses = -1,
};

void apply_directives(struct loading *l)
{
	l->s->stream = nginx_stream_defaults;
	l->s->proxy_http = l->s->admin_http = l->s->status_http = nginx_defaults;
	apply_space(l, SPACE_HTTP);
	for (enum directive_space space = 0; space < SPACE_COUNT_; space++) {
		if (space != SPACE_HTTP)
			apply_space(l, space);
	}
}
