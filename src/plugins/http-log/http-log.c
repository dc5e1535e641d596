/* SPDX-License-Identifier: Apache-2.0 */
/* http-log - sends the log entry of each request to an HTTP server, in batches.
 *
 * Entries wait in a queue that all loops share; nothing of a request waits for the server.
 * What cannot be sent is tried again, with longer and longer pauses. */
#include <gibbon/plugin.h>

#define SENDERS   8 /* requests to the server at once */
#define SAID_MOST 1024

struct conf {
	str http_endpoint, method, content_type;
	double timeout, keepalive;
	int64_t retry_count, queue_size;
	double flush_timeout;
	const struct value *headers, *custom_fields_by_lua;
	struct queue *queue;
};

const struct plugin plugin_http_log;

static const char *check_endpoint(struct arena *a, const struct value *v)
{
	struct uri u;

	if (str_starts(v->s, STR("{vault://")))
		return NULL;
	if (rule_url(a, v))
		return rule_url(a, v);
	return uri_parse(v->s, &u) && (str_is_ci(u.scheme, "http") || str_is_ci(u.scheme, "https"))
		       ? NULL
		       : "scheme must be http or https";
}

/* clang-format off */
static const struct pattern_rule no_own_headers[] = {
	{ "^[Hh][Oo][Ss][Tt]$", "cannot contain 'Host' header" },
	{ "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Ll][Ee][nn][Gg][Tt][Hh]$", "cannot contain 'Content-Length' header" },
	{ "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Tt][Yy][Pp][Ee]$", "cannot contain 'Content-Type' header" },
	{ 0 }
};

#define T struct conf
static const struct field conf_fields[] = {
	F_STR(T, http_endpoint,  .required = true, .is_referenceable = true, .is_encrypted = true, .check = check_endpoint, .help = "URL of the server, with a user and password if it wants them."),
	F_STR(T, method,         .def = J("POST"), .one_of = J(["POST", "PUT", "PATCH"]), .help = "Method of the requests to it."),
	F_STR(T, content_type,   .def = J("application/json"), .one_of = J(["application/json"]), .help = "What they say they carry."),
	F_NUM(T, timeout,        .def = J(10000), .help = "Milliseconds to connect, to send, and to wait for an answer."),
	F_NUM(T, keepalive,      .def = J(60000), .help = "Milliseconds that an idle connection is kept."),
	F_INT(T, retry_count,    .def = J(10), .help = "How often a batch is tried."),
	F_INT(T, queue_size,     .def = J(1), .help = "Entries that are sent together, at most."),
	F_NUM(T, flush_timeout,  .def = J(2), .help = "Seconds without a new entry after which a batch that is not full is sent."),
	F_MAP(T, headers,        .keys = FIELD(FIELD_STRING, .check = rule_header_name, .match_none = no_own_headers), .values = FIELD(FIELD_STRING, .is_referenceable = true), .help = "More headers for the server."),
	ROW_LOG_FIELDS(T),
	F_END
};
#undef T
/* clang-format on */

/* ---- configuration ---------------------------------------------------------------------- */

static const char *check_user(struct arena *a, const struct value *conf)
{
	const struct value *url = value_get(conf, "http_endpoint"), *h = value_get(conf, "headers");
	struct uri u;

	(void)a;
	if (!url || url->kind != VALUE_STRING || !uri_parse(url->s, &u) || !u.userinfo.s)
		return NULL;
	for (uint32_t i = 0; h && h->kind == VALUE_OBJECT && i < h->n; i++) {
		if (str_is_ci(h->members[i].key, "authorization"))
			return "specifying both an 'Authorization' header and user info in "
			       "'http_endpoint' is not allowed";
	}
	return NULL;
}

/* ---- sending ------------------------------------------------------------------------------ */

static struct http_headers headers_of(struct arena *a, const struct conf *c)
{
	struct http_headers h = { 0 };
	struct uri u;

	for (uint32_t i = 0; c->headers && c->headers->kind == VALUE_OBJECT && i < c->headers->n;
	     i++) {
		const struct member *m = &c->headers->members[i];

		if (m->value->kind == VALUE_STRING)
			http_add(a, &h, m->key, m->value->s);
	}
	http_add(a, &h, STR("Content-Type"), c->content_type);
	if (uri_parse(c->http_endpoint, &u) && u.userinfo.n) /* as it is written there */
		http_add(a, &h, STR("Authorization"),
			 str_cat(a, STR("Basic "), base64_encode(a, u.userinfo)));
	return h;
}

/* An entry alone, or a list of them. */
static str payload(struct arena *a, const struct conf *c, const str *entries, size_t n)
{
	str list;

	if (c->queue_size <= 1)
		return entries[0];
	list = plugin_entries(a, entries, n, STR(","));
	return str_cat(a, STR("["), str_part(list, 0, list.n - 1), STR("]"));
}

static struct err *send_entries(const void *conf, const str *entries, size_t n)
{
	struct arena *a CLEANUP(arena_drop) = arena_new();
	const struct conf *c = conf;
	int64_t timeout_ms = plugin_ms(c->timeout);
	struct http_answer answer;
	struct http_call call = {
		.method = c->method,
		.url = c->http_endpoint,
		.headers = headers_of(a, c),
		.body = payload(a, c, entries, n),
		.connect_ms = timeout_ms,
		.send_ms = timeout_ms,
		.read_ms = timeout_ms,
		.keep_ms = plugin_ms(c->keepalive),
		.body_max = SAID_MOST,
		.may_cut = true,
	};

	PASS(http_ask(a, &call, &answer));
	if (answer.status < 400)
		return NULL;
	return FAIL(ERR_REFUSED, "the server returned status code %d and body " STRF, answer.status,
		    STRV(answer.body));
}

static struct err *prepare(struct arena *a, void *conf)
{
	struct conf *c = conf;
	struct queue_options o =
		plugin_batches("http-log", c->queue_size, c->flush_timeout, c->retry_count);

	o.senders = SENDERS;
	o.send = send_entries;
	c->queue = plugin_queue(&plugin_http_log, a, c, &o);
	return NULL;
}

static enum verdict on_log(struct req *r, const void *conf)
{
	const struct conf *c = conf;

	queue_add(c->queue, log_text(r, c->custom_fields_by_lua));
	return NEXT;
}

const struct plugin plugin_http_log = {
	.name = "http-log",
	.help = "Sends log entries to an HTTP server.",
	.priority = 12,
	.conf_size = sizeof(struct conf),
	.conf = conf_fields,
	.conf_check = check_user,
	.protocols = PROTOCOLS_ALL,
	.prepare = prepare,
	.on = { [PHASE_LOG] = on_log },
};
