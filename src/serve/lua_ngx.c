/* SPDX-License-Identifier: Apache-2.0 */
/* ngx.* for chunks of Lua: what they read of a request, and functions that compute. */
#include "serve/lua.h"

#include "base/log.h"
#include "base/regex.h"
#include "control/plugin_table.h"
#include "net/tls.h"
#include "net/tls_crypto.h"
#include "observe/access_log.h"
#include <time.h>
#include <unistd.h>

/* ---- the request ----------------------------------------------------------------------------- */

/* Variables that nginx has not. */
static str own_variable(const struct req *r, str name)
{
	if (str_is(name, "upstream_uri"))
		return r->upstream_path;
	if (str_is(name, "upstream_host") && r->pick.host.n)
		return host_for_upstream(r);
	if (str_is(name, "upstream_x_forwarded_prefix"))
		return r->forwarded_prefix;
	return STR_NONE;
}

/* ngx.var: what a log format calls $name; what is empty is nil. */
static struct err *read_var(struct script_call *c)
{
	struct req *r = lua_req(c);
	struct access_record record = access_record_of(r);
	struct access_format *format;
	str name, value;

	PASS(script_text(c, 0, &name));
	value = own_variable(r, name);
	if (value.n)
		return lua_give(c, value);
	if (access_format_new(c->a, str_cat(c->a, STR("escape=none ${"), name, STR("}")), &format))
		return script_return(c, NULL);
	value = access_format_line(c->a, format, &record);
	return lua_give(c, value.n ? value : STR_NONE);
}

static struct value *balancer_value(struct arena *a, const struct req *r)
{
	struct req_tries tries = req_tries(r);
	const struct req_try *last = tries.n ? &tries.v[tries.n - 1] : NULL;
	struct value *v;

	if (!last)
		return NULL;
	v = value_object(a);
	value_set(a, v, STR("ip"), value_str(a, last->ip));
	value_set(a, v, STR("port"), value_int(a, last->port));
	value_set(a, v, STR("host"), value_str(a, r->pick.host));
	value_set(a, v, STR("try_count"), value_int(a, (int64_t)tries.n));
	return v;
}

static struct value *consumer_value(struct arena *a, const struct req *r)
{
	return req_consumer(r) ? entity_value(a, "consumers", req_consumer(r), STR_NONE) : NULL;
}

static struct value *route_value(struct arena *a, const struct req *r)
{
	return r->route ? entity_value(a, "routes", r->route->route, r->snap->config->workspace)
			: NULL;
}

static struct value *service_value(struct arena *a, const struct req *r)
{
	return r->service ? entity_value(a, "services", r->service->service,
					 r->snap->config->workspace)
			  : NULL;
}

static struct value *workspace_value(struct arena *a, const struct req *r)
{
	return value_str(a, req_workspace(r).id);
}

static struct err *read_ctx(struct script_call *c)
{
	static const struct {
		const char *name;
		struct value *(*value)(struct arena *a, const struct req *r);
	} members[] = {
		{ "authenticated_consumer", consumer_value },
		{ "balancer_data", balancer_value },
		{ "route", route_value },
		{ "service", service_value },
		{ "workspace", workspace_value },
	};
	str key;

	PASS(script_text(c, 0, &key));
	for (size_t i = 0; i < COUNT(members); i++) {
		if (str_is(key, members[i].name))
			return script_return(c, members[i].value(c->a, lua_req(c)));
	}
	return script_return(c, NULL);
}

/* Members of ngx itself. */
static struct err *read_ngx(struct script_call *c)
{
	str key;

	PASS(script_text(c, 0, &key));
	return script_return(c, str_is(key, "status") ? value_int(c->a, lua_req(c)->status) : NULL);
}

static struct err *read_header(struct script_call *c)
{
	str name;

	PASS(script_text(c, 0, &name));
	return script_return(c, lua_header(lua_req(c), &lua_req(c)->reply, name));
}

static struct err *request_headers(struct script_call *c)
{
	return script_return(c, lua_headers(lua_req(c), &lua_req(c)->in.headers));
}

static struct err *response_headers(struct script_call *c)
{
	return script_return(c, lua_headers(lua_req(c), &lua_req(c)->reply));
}

static struct err *request_args(struct script_call *c)
{
	struct uri_args args = req_args(lua_req(c));

	return script_return(c, args_value(c->a, &args));
}

static struct err *request_started(struct script_call *c)
{
	return script_return(c, value_real(c->a, (double)req_started_ms(lua_req(c)) / 1000));
}

static struct err *phase_name(struct script_call *c)
{
	return lua_give(c, STR("log"));
}

/* ---- the worker --------------------------------------------------------------------------------- */

static struct err *worker_pid(struct script_call *c)
{
	return script_return(c, value_int(c->a, plugin_node()->worker_pid));
}

static struct err *worker_count(struct script_call *c)
{
	return script_return(c, value_int(c->a, plugin_node()->loops));
}

static struct err *worker_id(struct script_call *c)
{
	return script_return(c, value_int(c->a, req_loop(lua_req(c))));
}

static struct err *write_log(struct script_call *c)
{
	double level;
	str line;

	PASS(script_number(c, 0, &level));
	if (!(level >= 0 && level <= LOG_DEBUG_ + 1))
		return FAIL(ERR_INVALID, "argument 1: no level of the log");
	level -= level > 0; /* ngx.STDERR stands before the levels */
	if ((enum log_level)level > log_get_level())
		return NULL;
	line = lua_line(c, 1);
	log_write((enum log_level)level, "[lua] " STRF, STRV(line));
	return NULL;
}

/* ---- time ---------------------------------------------------------------------------------------- */

static struct err *now(struct script_call *c)
{
	return script_return(c, value_real(c->a, (double)clock_wall_ms() / 1000));
}

static struct err *now_seconds(struct script_call *c)
{
	return script_return(c, value_int(c->a, clock_wall_s()));
}

/* "2026-11-24 06:46:30"; the first n bytes of it. */
static struct err *say_time(struct script_call *c, bool is_local, size_t n)
{
	time_t at = (time_t)clock_wall_s();
	char text[32];
	struct tm tm;

	if (is_local)
		localtime_r(&at, &tm);
	else
		gmtime_r(&at, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	return lua_give(c, str_copy(c->a, str_at(text, n)));
}

static struct err *today(struct script_call *c)
{
	return say_time(c, true, 10);
}

static struct err *local_time(struct script_call *c)
{
	return say_time(c, true, 19);
}

static struct err *utc_time(struct script_call *c)
{
	return say_time(c, false, 19);
}

static struct err *http_time(struct script_call *c)
{
	char text[30];
	double at;

	PASS(script_number(c, 0, &at));
	if (!(at >= 0 && at < 253402300800.0)) /* the year 10000 */
		return FAIL(ERR_INVALID, "argument 1: no time of this kind");
	return lua_give(c, str_copy(c->a, str_of(http_date((int64_t)at, text))));
}

static struct err *parse_http_time(struct script_call *c)
{
	int64_t at;
	str text;

	PASS(script_text(c, 0, &text));
	return script_return(c, http_date_parse(text, &at) ? value_int(c->a, at) : NULL);
}

static struct err *nothing(struct script_call *c)
{
	(void)c;
	return NULL;
}

/* ---- texts ----------------------------------------------------------------------------------------- */

static struct err *to_base64(struct script_call *c)
{
	const struct value *bare = script_arg(c, 1);
	str text;

	PASS(script_text(c, 0, &text));
	text = base64_encode(c->a, text);
	while (bare && bare->kind == VALUE_BOOL && bare->b && str_ends(text, STR("=")))
		text.n--;
	return lua_give(c, text);
}

static struct err *from_base64(struct script_call *c)
{
	str text, decoded;

	PASS(script_text(c, 0, &text));
	return lua_give(c, base64_decode(c->a, text, &decoded) ? decoded : STR_NONE);
}

static struct err *md5_binary(struct script_call *c)
{
	uint8_t digest[16];
	str text;

	PASS(script_text(c, 0, &text));
	digest_md5(text, digest);
	return lua_give(c, str_copy(c->a, str_at((const char *)digest, sizeof(digest))));
}

static struct err *md5(struct script_call *c)
{
	PASS(md5_binary(c));
	c->results[0] = value_str(c->a, hex_encode(c->a, c->results[0]->s));
	return NULL;
}

static struct err *sha1_binary(struct script_call *c)
{
	uint8_t digest[20];
	str text;

	PASS(script_text(c, 0, &text));
	digest_sha1(text, digest);
	return lua_give(c, str_copy(c->a, str_at((const char *)digest, sizeof(digest))));
}

static struct err *hmac_sha1(struct script_call *c)
{
	str key, text;

	PASS(script_text(c, 0, &key));
	PASS(script_text(c, 1, &text));
	return lua_give(c, hmac(c->a, HASH_SHA1, key, text));
}

static struct err *escape_uri(struct script_call *c)
{
	str text;

	PASS(script_text(c, 0, &text));
	return lua_give(c, uri_escape_component(c->a, text));
}

static struct err *unescape_uri(struct script_call *c)
{
	str text;

	PASS(script_text(c, 0, &text));
	return lua_give(c, uri_unescape(c->a, text, true));
}

static struct err *decode_args(struct script_call *c)
{
	struct uri_args args;
	str text;

	PASS(script_text(c, 0, &text));
	args = uri_args(c->a, text, 100);
	return script_return(c, args_value(c->a, &args));
}

/* ---- regular expressions ------------------------------------------------------------------------------ */

/* OpenResty's options; o, j and U have no meaning here, or cost nothing. */
static struct err *regex_of(struct script_call *c, str *ret_subject, struct regex **ret)
{
	unsigned flags = REGEX_NO_JIT;
	str pattern, options = STR("");

	PASS(script_text(c, 0, ret_subject));
	PASS(script_text(c, 1, &pattern));
	if (script_arg(c, 2))
		PASS(script_text(c, 2, &options));
	for (size_t i = 0; i < options.n; i++) {
		switch (options.s[i]) {
		case 'a':
			flags |= REGEX_ANCHORED;
			break;
		case 'i':
			flags |= REGEX_CASELESS;
			break;
		case 'm':
			flags |= REGEX_MULTILINE;
			break;
		case 's':
			flags |= REGEX_DOT_ALL;
			break;
		case 'u':
			flags |= REGEX_UTF;
			break;
		case 'j':
		case 'o':
		case 'U':
			break;
		default:
			return FAIL(ERR_INVALID, "unknown option '%c' of a regular expression",
				    options.s[i]);
		}
	}
	return regex_new(c->a, pattern, flags, ret);
}

#define GROUPS_MAX 32

static struct value *group_value(struct arena *a, str subject, struct regex_span span)
{
	str part = regex_part(subject, span);

	return part.s ? value_str(a, part) : value_bool(a, false);
}

/* Groups by number from 0, and by name. */
static struct err *re_match(struct script_call *c)
{
	struct regex_span spans[GROUPS_MAX + 1];
	struct regex *re;
	struct value *v;
	size_t groups;
	str subject;

	PASS(regex_of(c, &subject, &re));
	if (!regex_match(re, subject, spans, COUNT(spans)))
		return script_return(c, NULL);
	v = value_object(c->a);
	groups = regex_groups(re) < GROUPS_MAX ? regex_groups(re) : GROUPS_MAX;
	for (size_t i = 0; i <= groups; i++) {
		struct value *group = group_value(c->a, subject, spans[i]);

		value_set(c->a, v, str_fmt(c->a, "%zu", i), group);
		if (i && regex_group_name(re, i).n)
			value_set(c->a, v, regex_group_name(re, i), group);
	}
	c->has_numbers = true;
	return script_return(c, v);
}

static struct err *re_find(struct script_call *c)
{
	struct regex_span span;
	struct regex *re;
	str subject;

	PASS(regex_of(c, &subject, &re));
	if (!regex_match(re, subject, &span, 1))
		return script_return(c, NULL);
	script_return(c, value_int(c->a, (int64_t)span.from + 1));
	return script_return(c, value_int(c->a, (int64_t)span.to));
}

/* "$1", "${1}", "$0" and "$$" in what takes a match's place. */
static void add_replacement(struct buf *out, str with, str subject, const struct regex_span *spans,
			    size_t groups)
{
	for (size_t i = 0; i < with.n; i++) {
		bool is_braced = str_starts(str_from(with, i), STR("${"));
		size_t digit = i + 1 + is_braced;
		str part;

		if (with.s[i] == '$' && digit < with.n && ascii_is_digit(with.s[digit])) {
			size_t group = (size_t)(with.s[digit] - '0');

			part = group <= groups ? regex_part(subject, spans[group]) : STR_NONE;
			buf_add_str(out, part);
			i = digit + (is_braced && digit + 1 < with.n && with.s[digit + 1] == '}');
			continue;
		}
		i += str_starts(str_from(with, i), STR("$$"));
		buf_add_char(out, with.s[i]);
	}
}

static struct err *replace(struct script_call *c, size_t most)
{
	struct script_call pattern = *c;
	const struct value *args[3] = { script_arg(c, 0), script_arg(c, 1), script_arg(c, 3) };
	struct regex_span spans[10];
	CLEANUP(buf_done) struct buf out;
	struct regex *re;
	size_t at = 0, n = 0, groups;
	str subject, with;

	buf_init(&out, LIMIT_SCRIPT_BYTES);
	pattern.args = args;
	pattern.n_args = COUNT(args);
	PASS(script_text(c, 2, &with));
	PASS(regex_of(&pattern, &subject, &re));
	groups = regex_groups(re) < COUNT(spans) - 1 ? regex_groups(re) : COUNT(spans) - 1;
	while (n < most && at <= subject.n &&
	       regex_match_from(re, subject, at, spans, COUNT(spans))) {
		buf_add_str(&out, str_part(subject, at, spans[0].from));
		add_replacement(&out, with, subject, spans, groups);
		n++;
		at = spans[0].to;
		if (spans[0].to == spans[0].from) { /* an empty match: one byte on */
			buf_add_str(&out, str_part(subject, at, at + 1));
			at++;
		}
	}
	buf_add_str(&out, str_from(subject, at < subject.n ? at : subject.n));
	lua_give(c, str_copy(c->a, out.n ? buf_str(&out) : STR("")));
	return script_return(c, value_int(c->a, (int64_t)n));
}

static struct err *re_sub(struct script_call *c)
{
	return replace(c, 1);
}

static struct err *re_gsub(struct script_call *c)
{
	return replace(c, SIZE_MAX);
}

/* clang-format off */
const struct script_host lua_ngx[] = {
	{ .name = "ngx",                   .read = read_ngx },
	{ .name = "ngx.ctx",               .read = read_ctx },
	{ .name = "ngx.header",            .read = read_header },
	{ .name = "ngx.var",               .read = read_var },
	{ .name = "ngx.null",              .is_null = true },
	{ .name = "ngx.config.subsystem",  .call = lua_subsystem },
	{ .name = "ngx.cookie_time",       .call = http_time },
	{ .name = "ngx.decode_args",       .call = decode_args },
	{ .name = "ngx.decode_base64",     .call = from_base64 },
	{ .name = "ngx.encode_base64",     .call = to_base64 },
	{ .name = "ngx.escape_uri",        .call = escape_uri },
	{ .name = "ngx.get_phase",         .call = phase_name },
	{ .name = "ngx.hmac_sha1",         .call = hmac_sha1 },
	{ .name = "ngx.http_time",         .call = http_time },
	{ .name = "ngx.localtime",         .call = local_time },
	{ .name = "ngx.log",               .call = write_log },
	{ .name = "ngx.md5",               .call = md5 },
	{ .name = "ngx.md5_bin",           .call = md5_binary },
	{ .name = "ngx.now",               .call = now },
	{ .name = "ngx.parse_http_time",   .call = parse_http_time },
	{ .name = "ngx.re.find",           .call = re_find },
	{ .name = "ngx.re.gsub",           .call = re_gsub },
	{ .name = "ngx.re.match",          .call = re_match },
	{ .name = "ngx.re.sub",            .call = re_sub },
	{ .name = "ngx.req.get_headers",   .call = request_headers },
	{ .name = "ngx.req.get_method",    .call = lua_method },
	{ .name = "ngx.req.get_uri_args",  .call = request_args },
	{ .name = "ngx.req.http_version",  .call = lua_http_version },
	{ .name = "ngx.req.start_time",    .call = request_started },
	{ .name = "ngx.resp.get_headers",  .call = response_headers },
	{ .name = "ngx.sha1_bin",          .call = sha1_binary },
	{ .name = "ngx.time",              .call = now_seconds },
	{ .name = "ngx.today",             .call = today },
	{ .name = "ngx.unescape_uri",      .call = unescape_uri },
	{ .name = "ngx.update_time",       .call = nothing },
	{ .name = "ngx.utctime",           .call = utc_time },
	{ .name = "ngx.worker.count",      .call = worker_count },
	{ .name = "ngx.worker.id",         .call = worker_id },
	{ .name = "ngx.worker.pid",        .call = worker_pid },
	{ .name = "ngx.STDERR",            .number = 0 },
	{ .name = "ngx.EMERG",             .number = LOG_EMERG_ + 1 },
	{ .name = "ngx.ALERT",             .number = LOG_ALERT_ + 1 },
	{ .name = "ngx.CRIT",              .number = LOG_CRIT_ + 1 },
	{ .name = "ngx.ERR",               .number = LOG_ERROR_ + 1 },
	{ .name = "ngx.WARN",              .number = LOG_WARN_ + 1 },
	{ .name = "ngx.NOTICE",            .number = LOG_NOTICE_ + 1 },
	{ .name = "ngx.INFO",              .number = LOG_INFO_ + 1 },
	{ .name = "ngx.DEBUG",             .number = LOG_DEBUG_ + 1 },
	{ .name = "ngx.OK",                .number = 0 },
	{ .name = "ngx.ERROR",             .number = -1 },
	{ .name = "ngx.HTTP_OK",                    .number = 200 },
	{ .name = "ngx.HTTP_CREATED",               .number = 201 },
	{ .name = "ngx.HTTP_NO_CONTENT",            .number = 204 },
	{ .name = "ngx.HTTP_MOVED_PERMANENTLY",     .number = 301 },
	{ .name = "ngx.HTTP_MOVED_TEMPORARILY",     .number = 302 },
	{ .name = "ngx.HTTP_NOT_MODIFIED",          .number = 304 },
	{ .name = "ngx.HTTP_BAD_REQUEST",           .number = 400 },
	{ .name = "ngx.HTTP_UNAUTHORIZED",          .number = 401 },
	{ .name = "ngx.HTTP_FORBIDDEN",             .number = 403 },
	{ .name = "ngx.HTTP_NOT_FOUND",             .number = 404 },
	{ .name = "ngx.HTTP_TOO_MANY_REQUESTS",     .number = 429 },
	{ .name = "ngx.HTTP_INTERNAL_SERVER_ERROR", .number = 500 },
	{ .name = "ngx.HTTP_BAD_GATEWAY",           .number = 502 },
	{ .name = "ngx.HTTP_SERVICE_UNAVAILABLE",   .number = 503 },
	{ .name = "ngx.HTTP_GATEWAY_TIMEOUT",       .number = 504 },
	{ 0 },
};
/* clang-format on */
