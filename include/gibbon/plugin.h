/* SPDX-License-Identifier: Apache-2.0 */
/* plugin - the door for plugins, ours and everybody's: nothing else may be included.
 *
 * A plugin is a constant `struct plugin`: its rows of configuration, its rank, and
 * a handler for each phase that it has something to say in.  Handlers are straight
 * lines on the request's own fiber: what is marked SUSPENDS waits and goes on below.
 * A handler lets the request go on (NEXT) or has answered it (DONE, by respond_*()).
 *
 *	(certificate ->) rewrite -> [route] -> access -> [upstream] -> response -> header_filter
 *	                                              -> body_filter -> log
 *
 * rewrite sees every request, and only plugins that are configured for everybody.
 * A TCP, TLS or UDP session (req_is_stream) goes
 *
 *	[route] -> preread -> [upstream] -> log
 *
 * and has neither a head nor a reply: an answer below 400 is sent as it is, others close it.
 *
 * In access each plugin is chosen by route, service and consumer, by descending
 * priority; once one has answered, no other access handler runs, but the later phases
 * of all of them do.  response means that the upstream's whole answer is there
 * before its head is sent.  body_filter sees it piece by piece.
 *
 * Configuration is validated, decoded, immutable, and lives as long as the request.
 * Text that a plugin hands over must live in req_arena().
 *
 * Versions of this door:
 *	1	2026-11	the first */
#pragma once

#define GIBBON_PLUGIN_API 1

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/outage.h"
#include "base/pattern.h"
#include "base/regex.h"
#include "base/shelf.h"
#include "base/tally.h"
#include "base/uri.h"
#include "base/vec.h"
#include "base/verified.h"
#include "clients/background.h"
#include "clients/http_client.h"
#include "clients/ldap.h"
#include "clients/peer.h"
#include "clients/queue.h"
#include "clients/redis.h"
#include "http/authorization.h"
#include "http/cookies.h"
#include "http/http.h"
#include "http/multipart.h"
#include "model/entity.h"
#include "model/model.h"
#include "model/rows.h"
#include "net/password.h"
#include "net/tls_crypto.h"
#include "observe/metrics.h"
#include "observe/syslog.h"
#include "observe/trace.h"
#include "protobuf/protobuf.h"
#include "script/script.h"
#include "usage/usage.h"

struct req;  /* a request on its way */
struct cidr; /* an IP network */

enum verdict { NEXT, DONE };

enum phase {
	PHASE_CERTIFICATE, /* of a TLS handshake: see req_sni() */
	PHASE_PREREAD,     /* of TCP, TLS and UDP sessions: what access is of requests */
	PHASE_REWRITE,
	PHASE_ACCESS,
	PHASE_RESPONSE,
	PHASE_HEADER_FILTER,
	PHASE_BODY_FILTER,
	PHASE_LOG,
	PHASES,
};

typedef enum verdict phase_fn(struct req *r, const void *conf) SUSPENDS;

enum plugin_protocols {
	PROTOCOLS_HTTP,        /* grpc, grpcs, http, https */
	PROTOCOLS_ALL,         /* and streams */
	PROTOCOLS_UNSPECIFIED, /* as all, without a row of its own */
};

/* Scopes in which a plugin may not be configured. */
enum { NO_CONSUMER = 1, NO_ROUTE = 2, NO_SERVICE = 4 };

/* What a plugin is told of the node when it starts; it lasts as long as the process. */
struct plugin_node {
	const char *version; /* of the gateway */
	str hostname, node_id;
	int64_t worker_pid;
	int loops;
};

/* A call of a page: what was asked, and what is answered, 204 without a word said. */
struct page_call {
	struct arena *a; /* as long as the call; what is answered must live there */
	enum http_method method;
	str captures[4]; /* of the path, decoded, in its order */
	size_t n_captures;
	const struct value *query, *args; /* of the body; objects */
	int status;
	str type, body;
};
typedef void page_fn(struct page_call *c) SUSPENDS;

void page_answer(struct page_call *c, int status); /* without a body */
void page_answer_value(struct page_call *c, int status, const struct value *v);
void page_answer_message(struct page_call *c, int status, const char *format, ...) PRINTF(3, 4);

/* A path of the Admin API; its handlers run on the control loop.  GET of a page with
 * write(), which is part of the Status API too, is answered with what that adds. */
struct plugin_page {
	const char *path; /* "/metrics", "/things/:id"; NULL ends the list */
	const char *content_type;
	void (*write)(struct buf *out) SUSPENDS;
	page_fn *on[HTTP_METHOD_OTHER]; /* by method; GET answers HEAD, OPTIONS needs nobody */
};

/* What other nodes say by node_tell() (and Kong's by its cluster events); on the control loop. */
struct plugin_channel {
	const char *name; /* without spaces; NULL ends the list */
	void (*heard)(str data) SUSPENDS;
};

struct plugin {
	const char *name;
	const char *version; /* NULL: the contract's, "3.2.2" */
	const char *help;
	int64_t priority; /* higher runs earlier; equal ones by name, descending */
	size_t conf_size;
	const struct field *conf;                /* rows that decode into conf_size bytes */
	const struct check *conf_checks;         /* of the configuration as a record, or NULL */
	const struct shorthand *conf_shorthands; /* of it, or NULL */
	field_check_fn *conf_check;              /* of it as one value: an object; or NULL */
	const struct check *checks;              /* of the whole entity: "config.policy", or NULL */
	unsigned refuses;                        /* NO_CONSUMER and the like */
	enum plugin_protocols protocols;
	bool traces;                           /* asks for req_trace() and times of phases */
	const struct entity *const *entities;  /* that it brings, up to NULL; or NULL */
	const struct plugin_page *pages;       /* or NULL */
	const struct plugin_channel *channels; /* or NULL */

	/* Once per process, before requests and after them. */
	void (*start)(const struct plugin_node *node);
	void (*stop)(void);

	/* Makes of a decoded configuration what rows cannot (patterns, addresses), in the
	 * snapshot's arena. */
	struct err *(*prepare)(struct arena *a, void *conf);

	phase_fn *on[PHASES];
};

/* What a shared object says of itself, so that one that was built for another door is
 * refused: PLUGIN_MODULE(plugin_mine); at the end of its source. */
struct plugin_module {
	unsigned api, size;
	const struct plugin *plugin;
};

#define PLUGIN_MODULE(p)                                                                           \
	extern const struct plugin_module gibbon_plugin_module;                                    \
	__attribute__((visibility("default")))                                                     \
	const struct plugin_module gibbon_plugin_module = { GIBBON_PLUGIN_API,                     \
							    sizeof(struct plugin), &(p) }

/* Every plugin that was built in, up to NULL. */
extern const struct plugin *const plugins_built_in[];

/* ---- the request ---------------------------------------------------------------------- */

struct arena *req_arena(const struct req *r);

/* The entity whose configuration runs, with its route, service and consumer. */
const struct plugin_config *req_plugin(const struct req *r);

/* Memory of a plugin for this request, zeroed when it is first asked for. */
#define req_ctx(r, T, plugin) ((T *)req_ctx_of((r), (plugin), sizeof(T)))
void *req_ctx_of(struct req *r, const struct plugin *p, size_t size);

/* An object that all plugins of the request share. */
struct value *req_shared(struct req *r);

const struct http_request *req_in(const struct req *r); /* as it was read */
str req_path(const struct req *r);                      /* normalised, without the query */
str req_host(const struct req *r);                      /* lower case, without port */
str req_client_ip(const struct req *r);                 /* after real-IP processing */
str req_scheme(const struct req *r);                    /* of the client's connection */
bool req_is_stream(const struct req *r);                /* a TCP, TLS or UDP session */
uint16_t req_port(const struct req *r);                 /* that it came to */
uint16_t req_client_port(const struct req *r);
bool req_client_is_in(const struct req *r, const struct cidr *network); /* of network_new */
bool req_client_is_local(const struct req *r); /* over a Unix socket, so without address */

/* In certificate, which sees every handshake and only plugins that are configured for everybody:
 * there is no request yet, but an address and the name that the client asks for (lower case,
 * or empty).  Once one says DONE, no other is asked. */
str req_sni(const struct req *r); /* in all phases; empty without TLS */
/* What the client is shown instead of the certificate that the configuration has for it. */
MUST_CHECK struct err *req_use_certificate(struct req *r, str cert_pem, str key_pem);

str req_server_ip(const struct req *r);
int req_loop(const struct req *r);               /* 0 .. plugin_node()->loops - 1 */
uint64_t req_connection(const struct req *r);    /* its number, of the worker */
unsigned req_of_connection(const struct req *r); /* which request on it, from 1 */
bool req_is_grpc(const struct req *r);
int64_t req_started_ms(const struct req *r); /* wall clock */

/* Headers, as they came and as they go on; to be changed in rewrite and access.  Where there is
 * none of that name, "a_b" finds "a-b", as in Kong; what is set and removed has that very name. */
struct http_headers *req_headers(struct req *r);
str req_header(const struct req *r, str name);      /* the first, or STR_NONE */
str req_header_name(const struct req *r, str name); /* that this one has */
unsigned req_header_count(const struct req *r, str name);
/* set takes the place of all of that name; bytes that could end a line become %XX, and what
 * has no name is left out. */
void req_set_header(struct req *r, str name, str value);
void req_add_header(struct req *r, str name, str value);
void req_remove_header(struct req *r, str name);

str req_method(const struct req *r); /* that goes on */
void req_set_method(struct req *r, str method);
void req_set_host(struct req *r, str host); /* the Host that the upstream gets */

/* The path for the upstream (access), without its query. */
str req_upstream_path(const struct req *r);
void req_set_upstream_path(struct req *r, str path);

/* The query that goes on.  Arguments are decoded; setting them encodes them again. */
str req_query(const struct req *r); /* STR_NONE: there is none */
struct uri_args req_args(struct req *r);
void req_set_args(struct req *r, const struct uri_args *args);
/* An object of them: texts, arrays of what comes more than once, true without a value. */
struct value *args_value(struct arena *a, const struct uri_args *args);

/* The whole body; false when the request was answered (too large, broken), and then the
 * handler returns DONE. */
bool req_body(struct req *r, str *ret) SUSPENDS;
void req_set_body(struct req *r, str body);

/* A body as arguments: a JSON object, a form, or the parts of a multipart form (those with
 * a name).  Arguments that come more than once are arrays.  False: answered. */
enum body_kind { BODY_OTHER, BODY_JSON, BODY_FORM, BODY_MULTIPART };
struct body_args {
	enum body_kind kind;
	struct value *args;      /* an object, to be changed; empty for BODY_OTHER */
	struct multipart *parts; /* as they came */
};
bool req_body_args(struct req *r, struct body_args *ret) SUSPENDS;
void req_set_body_args(struct req *r, const struct body_args *args);

/* Refuses a body that is, or turns out to be, larger than that, with this status and message. */
enum verdict req_limit_body(struct req *r, uint64_t most, int status, const char *message);

const struct route *req_route(const struct req *r);     /* NULL: none */
const struct service *req_service(const struct req *r); /* NULL: none */
/* Groups of the route's regex: by name, or by number from 1 ("1"). STR_NONE: no such. */
str req_capture(const struct req *r, str name);

/* ---- who it is from -------------------------------------------------------------------- */

struct credential {
	str id;         /* shown in logs */
	str identifier; /* X-Credential-Identifier; may be empty */
	uuid consumer;
};

const struct consumer *req_consumer(const struct req *r);
const struct credential *req_credential(const struct req *r);
strs req_groups(const struct req *r); /* authenticated groups */
void req_set_groups(struct req *r, strs groups);

/* From now on the request is this consumer's (may be NULL) by that credential (NULL:
 * anonymous); sets the headers that tell the upstream. */
void req_authenticate(struct req *r, const struct consumer *consumer, const struct credential *by);

/* The same as the consumer of a credential with that id and identifier; false, and nothing is
 * set: the consumer is not there (any more). */
bool req_authenticate_by(struct req *r, uuid consumer, uuid credential, str identifier) SUSPENDS;

/* As the consumer called `anonymous`, by id or username; DONE (500) when there is none. */
enum verdict req_authenticate_anonymous(struct req *r, str anonymous) SUSPENDS;

/* These may have to ask a database.  When it cannot be asked they find nothing and the request
 * is answered with 500, whatever the handler that called them answers or returns then. */
const struct consumer *consumer_find(struct req *r, uuid id) SUSPENDS;

/* Of an entity that a plugin brings: by a unique field or "id", and all of a consumer's.  Each
 * is the entity's struct.  What has outlived its ttl is not there. */
const void *credential_find(struct req *r, const struct entity *e, const char *field, str value)
	SUSPENDS;
struct found {
	const void **v;
	size_t n;
};
struct found credentials_of(struct req *r, const struct entity *e, uuid consumer) SUSPENDS;

/* ---- answers ---------------------------------------------------------------------------- */

/* Error in the form that Accept asks for, JSON if in doubt; without a message in the words of
 * its status, and as 500 when that is none of an error's. */
enum verdict respond_error(struct req *r, int status, const char *format, ...) PRINTF(3, 4);
/* The status in a row of numbers, for it; 0 when it is none at all. */
int status_of_row(double number, int unset);
/* {"message":"..."} */
enum verdict respond_message(struct req *r, int status, const char *format, ...) PRINTF(3, 4);
enum verdict respond_json(struct req *r, int status, const struct value *v);
/* Any body; no Content-Type when type is empty. */
enum verdict respond(struct req *r, int status, str type, str body);

/* Fields of the reply.  Before header_filter: those that go into it, whoever makes it. */
struct http_headers *reply_headers(struct req *r);
str reply_header(const struct req *r, str name);
/* As of the request; and Content-Length and Transfer-Encoding stay what they are. */
void reply_set_header(struct req *r, str name, str value);
void reply_add_header(struct req *r, str name, str value);
void reply_remove_header(struct req *r, str name);
int reply_status(const struct req *r);
void reply_set_status(struct req *r, int status); /* up to header_filter */
bool reply_is_proxied(const struct req *r);       /* the upstream's, not the gateway's */

/* In header_filter: body_filter will change the body, so its length is not known. */
void reply_will_change(struct req *r);
/* In header_filter: no body follows, and body_filter does not run. */
void reply_drop_body(struct req *r);
/* In body_filter: the piece at hand (may be empty), and what takes its place. */
str reply_piece(const struct req *r, bool *ret_is_last);
void reply_set_piece(struct req *r, str piece);
/* In response: the whole body. */
str reply_body(const struct req *r);
void reply_set_body(struct req *r, str body);

/* ---- in log ------------------------------------------------------------------------------- */

/* An entity's struct ("routes", ...) as logs show it: without what is null, and with the id of
 * its workspace, where one is given. */
struct value *entity_value(struct arena *a, const char *name, const void *item, str workspace);

/* The entry that all logging plugins write, made once for all of them: not to be changed. */
const struct value *log_entry(struct req *r);

/* As JSON, with custom_fields_by_lua: "a.b" is b of a, nil takes a field away.  A chunk that
 * fails leaves its field as it is. */
str log_text(struct req *r, const struct value *fields);
field_check_fn rule_log_field;

/* clang-format off */
#define ROW_LOG_FIELDS(T) F_MAP(T, custom_fields_by_lua, .keys = FIELD(FIELD_STRING, .len_min = 1), \
                                .values = FIELD(FIELD_STRING, .len_min = 1, .check = rule_log_field), \
                                .help = "Fields of the entry to set or to take away, each with Lua that returns its value.")
/* clang-format on */

/* Severities ("debug" to "emerg") by their words, for prepare(), and which of the three a
 * reply has: as syslog's number, or -1 when it is less than `least`. */
struct log_severities {
	int least, good, client_error, server_error;
};
struct log_severities log_severities_of(str least, str good, str client_error, str server_error);
int log_severity(const struct req *r, const struct log_severities *s);

/* Rows of the four; what is behind T goes for each of them. */
/* clang-format off */
#define ROW_SEVERITY_(T, m, help_, ...) \
	F_STR(T, m, .def = J("info"), .help = help_, \
	      .one_of = J(["debug", "info", "notice", "warning", "err", "crit", "alert", "emerg"]), __VA_ARGS__)
#define ROWS_SEVERITY(T, ...) \
	ROW_SEVERITY_(T, log_level, "The least severity that is sent.", __VA_ARGS__), \
	ROW_SEVERITY_(T, successful_severity, "Severity of replies below 400.", __VA_ARGS__), \
	ROW_SEVERITY_(T, client_errors_severity, "Severity of those from 400 to 499.", __VA_ARGS__), \
	ROW_SEVERITY_(T, server_errors_severity, "Severity of those from 500 on.", __VA_ARGS__)
/* clang-format on */

struct req_figures {
	int64_t request_ms, upstream_ms, kong_ms; /* upstream_ms: -1 when not proxied */
	uint64_t bytes_in, bytes_out;
};
/* The node, as plugins were told at the start. */
const struct plugin_node *plugin_node(void);

struct req_figures req_figures(const struct req *r);

/* The workspace that everything is in: "default". */
struct workspace {
	str id, name;
};
struct workspace req_workspace(const struct req *r);

/* ---- what else plugins need -------------------------------------------------------------- */

/* "10.0.0.0/8", "::1"; NULL when it is none. */
const struct cidr *network_new(struct arena *a, str text);

void digest_md5(str data, uint8_t ret[16]);
void digest_sha1(str data, uint8_t ret[20]);
void digest_sha256(str data, uint8_t ret[32]);
str base64_encode(struct arena *a, str data);
bool base64_decode(struct arena *a, str text, str *ret);
str hex_encode(struct arena *a, str data);

/* ---- what authentication needs, with net/tls_crypto.h and http/cookies.h ------------------- */

/* The first cookie of that name, ASCII case ignored as nginx does; or STR_NONE. */
str req_cookie(const struct req *r, str name);

/* Path and query as the client wrote them. */
str req_target(const struct req *r);

/* Whether the connection comes from one of trusted_ips, so that X-Forwarded-* may be believed. */
bool req_is_from_trusted(const struct req *r);

/* ---- pages: what they show of the node ---------------------------------------------------- */

struct node_figures {
	uint64_t connections_active, connections_reading, connections_writing, connections_waiting;
	uint64_t connections_accepted, connections_handled, requests;
	uint64_t worker_bytes; /* resident memory */
	int64_t timers_running, timers_pending;
	bool is_database_reachable;
};

/* Of this moment: for pages alone, for the database may be asked. */
struct node_figures node_figures(void) SUSPENDS;

/* {upstream's name: {target: {"health", "data": {"addresses": [{"ip", "port", "health"}]}}}},
 * in a; for pages alone. */
struct value *node_targets(struct arena *a);

/* Memory with a ceiling that all loops share, by the names that Kong has for it: what is known
 * of a database.  Any thread; how many there are. */
struct node_zone {
	const char *name;
	uint64_t used_bytes, size_bytes;
};
#define NODE_ZONES 8
size_t node_zones(struct node_zone ret[NODE_ZONES]);

/* Is a plugin of that name configured and enabled anywhere?  For pages alone. */
bool node_uses_plugin(const char *name);

/* All configurations of a plugin that serve, or would if they were enabled, in a:
 * [{"id", "config", "enabled"}]; for pages and channels alone. */
struct value *node_plugins(struct arena *a, const char *name);

/* To the other nodes of the database; without one there are none, and nothing is done. */
MUST_CHECK struct err *node_tell(const char *channel, str data) SUSPENDS;

/* ---- limits, and what they are counted in --------------------------------------------------

 * Commands to a Redis server: clients/redis.h.  Counting in this process, in the database
 * and in Redis: usage/usage.h.  What does not work is told once: base/outage.h. */

/* Rows of a Redis server, all but its database. */
struct redis_rows {
	str host, password, username, server_name;
	int64_t port;
	bool ssl, ssl_verify;
	double timeout;
};
/* clang-format off */
#define ROWS_REDIS(T, m) \
	F_STR(T,  m.host,        .name = "redis_host", .check = rule_host, .help = "Redis server, with policy redis."), \
	F_INT(T,  m.port,        .name = "redis_port", .between = J([0, 65535]), .def = J(6379), .help = "Its port."), \
	F_STR(T,  m.password,    .name = "redis_password", .len_min = LEN_ZERO, .is_referenceable = true, .help = "Password for it."), \
	F_STR(T,  m.username,    .name = "redis_username", .is_referenceable = true, .help = "User for it."), \
	F_BOOL(T, m.ssl,         .name = "redis_ssl", .required = true, .def = J(false), .help = "Whether it is spoken to over TLS."), \
	F_BOOL(T, m.ssl_verify,  .name = "redis_ssl_verify", .required = true, .def = J(false), .help = "Whether its certificate is verified."), \
	F_STR(T,  m.server_name, .name = "redis_server_name", .check = rule_sni, .help = "Name that its certificate must have."), \
	F_NUM(T,  m.timeout,     .name = "redis_timeout", .def = J(2000), .help = "Milliseconds to wait for it.")
/* clang-format on */

/* A check of the whole entity: with policy redis that row is there. */
#define CHECK_OF_REDIS(field)                                                                      \
	{                                                                                          \
		CHECK_CONDITIONAL, .if_field = "config.policy",                                    \
				   .if_rule = FIELD_RULE(.eq = J("redis")), .then_field = (field), \
				   .then_rule = FIELD_RULE(.required = true)                       \
	}

/* In prepare(): where a configuration counts, by its row policy. */
struct usage_place limits_place(struct arena *a, str policy, const struct redis_rows *redis,
				int64_t redis_database);

/* Of rows second, minute, ... year a longer time has no lower limit; else a message that
 * begins with `the`. */
const char *limits_in_order(struct arena *a, const struct value *limits, const char *the);

/* Who has a count of its own in the scope of the configuration that runs: who is meant by
 * limit_by "consumer" (by credential when there is none) or "credential", else the client's
 * address. */
struct usage_subject limits_subject(struct req *r, str limit_by);

/* Nothing could be counted: tells so once, and lets the request pass or answers it with 500. */
enum verdict limits_failed(struct req *r, const struct usage_place *at, const struct err *e,
			   bool may_pass);

/* A check of the whole entity, with a row policy: "cluster" needs a database that counts can be
 * kept in, which is not there where each node has its configuration from a file. */
void plugins_check_policy(struct arena *a, const struct value *record, struct value *errors);

/* ---- outgoing clients: clients/http_client.h, peer.h, queue.h; timer_every() of background.h -- */

/* The queue of this configuration, for prepare(): it is open until `a` ends, and another
 * snapshot with the same configuration of this plugin gets the same one.  send() is given
 * a copy of the configuration, decoded anew and prepared by nobody. */
struct queue *plugin_queue(const struct plugin *p, struct arena *a, const void *conf,
			   const struct queue_options *o);

/* What rows say that several plugins have.  plugin_ms: of an F_NUM of milliseconds, 0 when it
 * is none or no time; plugin_peer: a server to be reached and told in that time;
 * plugin_batches: what queue_size, flush_timeout in seconds and retry_count make of a queue. */
int64_t plugin_ms(double ms);
struct peer plugin_peer(str host, int64_t port, double timeout_ms);
struct queue_options plugin_batches(const char *name, int64_t queue_size, double flush_timeout,
				    int64_t retry_count);

/* The entries of a queue in one text, `end` behind each. */
str plugin_entries(struct arena *a, const str *entries, size_t n, str end);

/* Text that ends no line: control characters as `_`. */
str plugin_on_a_line(struct arena *a, str s);

/* ---- tracing: for plugins that say so (observe/trace.h) ------------------------------------ */

/* The request's trace: its clock, its id, and in log the spans of the core.  Without
 * req_has_spans() there are none: the core makes none, or not of this request. */
struct trace *req_trace(struct req *r);
bool req_has_spans(const struct req *r);

/* Of a phase as a whole, in microseconds of the wall clock; 0: it did not. */
int64_t req_phase_began(const struct req *r, enum phase phase);
int64_t req_phase_ended(const struct req *r, enum phase phase);

/* Each target that was tried; times are of clock_mono_us(), 0 means that it did not. */
struct req_try {
	int64_t began_us, picked_us, connected_us;
	int64_t failed_us; /* it gave no answer */
	str ip;
	uint16_t port;
	int code; /* of a failure: what the client would get */
};
struct req_tries {
	const struct req_try *v;
	size_t n;
};
struct req_tries req_tries(const struct req *r);

/* A server that spans are posted to. */
struct collector {
	str url;
	int64_t connect_timeout, send_timeout, read_timeout;
};
/* clang-format off */
#define ROW_COLLECTOR_TIMEOUT_(T, m, name_, ms, help_) \
	F_INT(T, m, .name = name_, .def = ms, .between = J([0, 2147483646]), .unit = "ms", .help = help_)
#define ROWS_COLLECTOR(T, m, connect_ms) \
	ROW_COLLECTOR_TIMEOUT_(T, m.connect_timeout, "connect_timeout", connect_ms, "Time to connect, in milliseconds."), \
	ROW_COLLECTOR_TIMEOUT_(T, m.send_timeout, "send_timeout", J(5000), "Time to send, in milliseconds."), \
	ROW_COLLECTOR_TIMEOUT_(T, m.read_timeout, "read_timeout", J(5000), "Time to wait for an answer, in milliseconds.")
/* clang-format on */

/* Posts to it, for a queue; its certificate is verified.  Statuses from 200 to last_good are good. */
MUST_CHECK struct err *collector_post(struct arena *a, const struct collector *c,
				      const struct http_headers *headers, str body, int last_good)
	SUSPENDS;

/* ---- what plugins keep --------------------------------------------------------------------

 * Documents of entities that plugins bring with .is_kept_apart, in the database: found
 * there, written there, seen by every node at once.  Each call says false when it could
 * not be done, without a database for one; the log has the reason then.  Foreign fields
 * are {"id": ...}. */

/* By a text field or "id"; NULL in *ret: there is none, or its ttl is over. */
bool stored_find(struct req *r, const struct entity *e, const char *field, str value,
		 struct value **ret) SUSPENDS;
/* Checked and completed by its rows; "ttl" may be a member.  *ret is the document then. */
bool stored_insert(struct req *r, const struct entity *e, struct value *doc, struct value **ret)
	SUSPENDS;
/* The members that are given; a ttl counts from now. */
bool stored_update(struct req *r, const struct entity *e, uuid id, struct value *change,
		   struct value **ret) SUSPENDS;
/* True also when there is none; *ret_was_there (may be NULL) tells: of several who remove it
 * at once, one is told so. */
bool stored_remove(struct req *r, const struct entity *e, uuid id, bool *ret_was_there) SUSPENDS;

/* key_stretch(), away from the loop, as it takes long. */
bool key_stretch_aside(enum hash_kind kind, str password, str salt, unsigned rounds, uint8_t *ret,
		       size_t n) SUSPENDS;

/* password_is(), away from the loop. */
bool password_is_aside(const struct password_hash *h, str password) SUSPENDS;

/* A turn at such things, for what strangers can ask for as often as they like: one request of
 * each loop has it at a time, others wait.  False, and there is no turn to end: too many wait
 * already, or it took too long. */
bool turn_take(struct req *r) SUSPENDS;
void turn_end(struct req *r);

/* ---- transformations: arguments, headers and parts, with http/http.h and http/multipart.h ---- */

/* All groups of the route's regex, by name and by number; "0" is the whole match. */
struct value *req_captures(struct req *r);

/* One more value under a name, as Lua's plugins do it: a list gets an element and a string
 * becomes a list; an object gets a member of the next number, and everything else gives
 * way to a list. */
void args_append(struct arena *a, struct value *args, str name, struct value *v);

/* ---- caches: base/shelf.h ---------------------------------------------------------------------- */

/* How large a zone of memory may be that one of Kong's dictionaries or of
 * nginx_http_lua_shared_dict names; 0: none has that name. */
size_t node_zone_bytes(str name);

/* Whoever answers, the answer shows what a service's does: Via, and an upstream that took no
 * time. */
void reply_as_proxied(struct req *r);

/* ---- gRPC --------------------------------------------------------------------------------- */

/* In prepare(): what a .proto file describes; NULL, and a line in the log, when it cannot be
 * read (or there is none). */
const struct proto_set *plugin_proto(struct arena *a, const struct plugin *p, str file);

/* The path that a service of HTTP would get, where strip_path and the service's path have had
 * their effect; one of gRPC gets the request's path, unless req_set_upstream_path() says more. */
str req_stripped_path(const struct req *r);

/* In body_filter, with the last piece: what follows the upstream's body, as lines "Name: value"
 * CRLF, or the value of one of them; STR_NONE: it is not there. */
str reply_trailers(const struct req *r);
str reply_trailer(const struct req *r, str name);
