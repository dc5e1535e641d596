/* SPDX-License-Identifier: Apache-2.0 */
/* cors - says to browsers which pages of other origins may call (Fetch standard, §3.2).
 *
 * Preflights are answered here, unless the upstream is to answer them; other replies get
 * their fields in header_filter.  Whether a call is made is not decided here: that is
 * the browser's part. */
#include <gibbon/plugin.h>

/* An entry of `origins`: a pattern, or an origin without its scheme's own port. */
struct origin {
	struct regex *regex;
	str domain;
	bool by_host; /* it has no ":", so hosts alone are compared */
};

struct conf {
	strs origins, headers, exposed_headers, methods;
	double max_age; /* NaN: unset */
	bool credentials, preflight_continue;
	struct origin *list; /* as many as origins */
};

struct state {
	bool is_preflight;
};

const struct plugin plugin_cors;

/* clang-format off */
#define METHODS J(["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"])

static field_check_fn check_origin;

#define T struct conf
static const struct field conf_fields[] = {
	F_STRS(T, origins,            .elements = FIELD(FIELD_STRING, .check = check_origin), .help = "Origins that may call: *, an origin, or a pattern; unset: all."),
	F_STRS(T, headers,            .elements = FIELD(FIELD_STRING), .help = "Headers that calls may have; unset: whatever is asked for."),
	F_STRS(T, exposed_headers,    .elements = FIELD(FIELD_STRING), .help = "Headers of replies that pages may read."),
	F_STRS(T, methods,            .def = METHODS, .elements = FIELD(FIELD_STRING, .one_of = METHODS), .help = "Methods that calls may have."),
	F_NUM(T,  max_age,            .help = "Seconds for which an answer to a preflight holds."),
	F_BOOL(T, credentials,        .required = true, .def = J(false), .help = "Whether calls may carry cookies and the like."),
	F_BOOL(T, preflight_continue, .required = true, .def = J(false), .help = "Whether preflights go to the upstream."),
	F_END
};
#undef T
/* clang-format on */

/* ---- origins --------------------------------------------------------------------------- */

static bool is_plain(str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_alnum(s.s[i]) && !strchr(".:/-", s.s[i]))
			return false;
	}
	return s.n > 0;
}

static const char *check_origin(struct arena *a, const struct value *v)
{
	struct arena *scratch CLEANUP(arena_drop) = arena_new();
	struct regex *re;

	if (str_is(v->s, "*") || !regex_new(scratch, v->s, REGEX_NO_JIT, &re))
		return NULL;
	err_forget();
	return rule_words(a, "'" STRF "' is not a valid regex", STRV(v->s));
}

/* scheme://host:port without the port that goes without saying; and the host. */
static str normalise(struct arena *a, str origin, str *ret_host)
{
	struct uri u;

	*ret_host = origin;
	if (!uri_parse(origin, &u) || !u.host.n || !u.scheme.n)
		return origin;
	*ret_host = u.host;
	if (u.port == 0 || u.port == uri_default_port(u.scheme))
		return str_fmt(a, STRF "://" STRF, STRV(u.scheme), STRV(u.host));
	return str_fmt(a, STRF "://" STRF ":%u", STRV(u.scheme), STRV(u.host), u.port);
}

/* Anchored at both ends, whether or not it says so. */
static struct err *compile(struct arena *a, str pattern, struct regex **ret)
{
	if (str_starts(pattern, STR("^")))
		pattern = str_from(pattern, 1);
	if (!str_ends(pattern, STR("$")))
		pattern = str_cat(a, pattern, STR("$"));
	return regex_new(a, pattern, REGEX_ANCHORED, ret);
}

static struct err *prepare(struct arena *a, void *conf_)
{
	struct conf *conf = conf_;

	conf->list = NEWS(a, struct origin, conf->origins.n);
	for (size_t i = 0; i < conf->origins.n; i++) {
		struct origin *o = &conf->list[i];
		str entry = conf->origins.v[i], host;

		if (str_is(entry, "*"))
			continue;
		o->by_host = str_find(entry, ':', 0) < 0;
		if (is_plain(entry))
			o->domain = normalise(a, entry, &host);
		else
			TRY(compile(a, entry, &o->regex), "origins: " STRF, STRV(entry));
	}
	return NULL;
}

static bool matches(const struct origin *o, str domain, str host)
{
	if (o->regex)
		return regex_match(o->regex, o->by_host ? host : domain, NULL, 0);
	return o->domain.n && str_eq(o->domain, domain);
}

/* ---- fields of the reply ------------------------------------------------------------------ */

static void vary(struct req *r, bool is_reply)
{
	if (is_reply)
		reply_add_header(r, STR("Vary"), STR("Origin"));
	else
		reply_set_header(r, STR("Vary"), STR("Origin"));
}

/* Sets Access-Control-Allow-Origin; true when it says "*". */
static bool allow_origin(struct req *r, const struct conf *conf, bool is_reply)
{
	str origin = req_header(r, STR("Origin")), domain, host;

	if (conf->origins.n == 0 || (conf->origins.n == 1 && str_is(conf->origins.v[0], "*"))) {
		reply_set_header(r, STR("Access-Control-Allow-Origin"), STR("*"));
		return true;
	}
	vary(r, is_reply);
	if (conf->origins.n == 1 && is_plain(conf->origins.v[0])) {
		reply_set_header(r, STR("Access-Control-Allow-Origin"), conf->origins.v[0]);
		return false;
	}
	reply_remove_header(r, STR("Access-Control-Allow-Origin"));
	if (!origin.s)
		return false;
	domain = normalise(req_arena(r), origin, &host);
	for (size_t i = 0; i < conf->origins.n; i++) {
		if (!matches(&conf->list[i], domain, host))
			continue;
		reply_set_header(r, STR("Access-Control-Allow-Origin"), domain);
		break;
	}
	return false;
}

/* "*" and credentials do not go together: then the origin itself is named. */
static void allow_credentials(struct req *r, const struct conf *conf, bool is_all, bool is_reply)
{
	str origin = req_header(r, STR("Origin"));

	if (!conf->credentials || (is_all && !origin.s))
		return;
	if (is_all) {
		vary(r, is_reply);
		reply_set_header(r, STR("Access-Control-Allow-Origin"), origin);
	}
	reply_set_header(r, STR("Access-Control-Allow-Credentials"), STR("true"));
}

static str comma_list(struct req *r, strs list)
{
	return str_join(req_arena(r), list, STR(","));
}

static enum verdict answer_preflight(struct req *r, const struct conf *conf)
{
	str asked = req_header(r, STR("Access-Control-Request-Headers"));

	allow_credentials(r, conf, allow_origin(r, conf, false), false);
	if (conf->headers.n)
		reply_set_header(r, STR("Access-Control-Allow-Headers"),
				 comma_list(r, conf->headers));
	else if (asked.s)
		reply_set_header(r, STR("Access-Control-Allow-Headers"), asked);
	if (conf->methods.n)
		reply_set_header(r, STR("Access-Control-Allow-Methods"),
				 comma_list(r, conf->methods));
	else if (!conf->methods.v)
		reply_set_header(r, STR("Access-Control-Allow-Methods"),
				 STR("GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"));
	if (conf->max_age == conf->max_age)
		reply_set_header(r, STR("Access-Control-Max-Age"),
				 str_fmt(req_arena(r), "%.14g", conf->max_age));
	return respond(r, 200, STR_NONE, STR(""));
}

/* ---- phases ---------------------------------------------------------------------------------- */

static enum verdict on_access(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;

	if (!str_is(req_method(r), "OPTIONS") || !req_header(r, STR("Origin")).s ||
	    !req_header(r, STR("Access-Control-Request-Method")).s)
		return NEXT;
	req_ctx(r, struct state, &plugin_cors)->is_preflight = true;
	return conf->preflight_continue ? NEXT : answer_preflight(r, conf);
}

static enum verdict on_header_filter(struct req *r, const void *conf_)
{
	const struct conf *conf = conf_;

	if (req_ctx(r, struct state, &plugin_cors)->is_preflight)
		return NEXT;
	allow_credentials(r, conf, allow_origin(r, conf, true), true);
	if (conf->exposed_headers.n)
		reply_set_header(r, STR("Access-Control-Expose-Headers"),
				 comma_list(r, conf->exposed_headers));
	return NEXT;
}

const struct plugin plugin_cors = {
	.name = "cors",
	.help = "Lets pages of other origins call.",
	.priority = 2000,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.refuses = NO_CONSUMER,
	.protocols = PROTOCOLS_HTTP,
	.prepare = prepare,
	.on = { [PHASE_ACCESS] = on_access, [PHASE_HEADER_FILTER] = on_header_filter },
};
