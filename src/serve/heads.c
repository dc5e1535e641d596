/* SPDX-License-Identifier: Apache-2.0 */
/* The heads that the gateway writes: to the upstream and to the
 * client.  Both are bytes in a block, made in one pass over the fields
 * that came. */
#include "http/h2.h"
#include "serve/req.h"
#include <assert.h>

#define INT_TEXT 20   /* of the longest number */
#define EXTRA    2048 /* room for what we add ourselves, beyond text that came */

/* ---- writing ------------------------------------------------------------------ */

/* Text in a block that is sized beforehand (HTTP/1.1), or a list of fields (HTTP/2). */
struct out {
	struct block *block;
	char *p;
	struct arena *arena;
	struct http_headers *fields; /* NULL: text */
};

static bool out_open(struct out *o, size_t size)
{
	if (size > BLOCK_LARGE)
		return false;
	o->block = block_get(size > BLOCK_SMALL ? BLOCK_LARGE : BLOCK_SMALL);
	o->p = o->block->data;
	return true;
}

static struct block *out_close(struct out *o, uint32_t *ret_n)
{
	*ret_n = (uint32_t)(o->p - o->block->data);
	assert(*ret_n <= o->block->size);
	return o->block;
}

static inline void add(struct out *o, str s)
{
	o->p = mempcpy(o->p, s.s, s.n);
}

static void add_int(struct out *o, int64_t x)
{
	char digits[INT_TEXT];
	size_t n = 0;
	uint64_t u = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;

	do
		digits[n++] = (char)('0' + u % 10);
	while (u /= 10);
	if (x < 0)
		*o->p++ = '-';
	while (n)
		*o->p++ = digits[--n];
}

#define ADD(o, literal) add((o), STR(literal))

static void add_field(struct out *o, str name, str value)
{
	if (unlikely(o->fields)) {
		http_add(o->arena, o->fields, name, value);
		return;
	}
	add(o, name);
	ADD(o, ": ");
	add(o, value);
	ADD(o, "\r\n");
}

/* Without printf, as all that each request writes. */
static void add_number(struct out *o, str name, int64_t x)
{
	if (unlikely(o->fields)) {
		char *text = arena_bytes(o->arena, INT_TEXT);
		struct out digits = { .p = text };

		add_int(&digits, x);
		http_add(o->arena, o->fields, name, str_at(text, (size_t)(digits.p - text)));
		return;
	}
	add(o, name);
	ADD(o, ": ");
	add_int(o, x);
	ADD(o, "\r\n");
}

static size_t size_of(const struct http_headers *h)
{
	size_t n = 0;

	for (unsigned i = 0; i < h->n; i++)
		n += h->v[i].name.n + h->v[i].value.n + 4;
	return n;
}

/* Names that a Connection header declares to be for this hop alone; RFC 9110 §7.6.1. */
static bool is_named_by(const struct http_headers *h, str name)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (h->v[i].id == HTTP_CONNECTION && http_list_has(h->v[i].value, name))
			return true;
	}
	return false;
}

/* Does any Connection header name more than the usual words? */
static bool names_fields(const struct http_headers *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		str rest = h->v[i].value, m;

		if (h->v[i].id != HTTP_CONNECTION || str_is_ci(rest, "keep-alive") ||
		    str_is_ci(rest, "close"))
			continue;
		while (http_list_next(&rest, &m)) {
			if (!str_is_ci(m, "keep-alive") && !str_is_ci(m, "close") &&
			    !str_is_ci(m, "upgrade"))
				return true;
		}
	}
	return false;
}

/* ---- to the upstream ------------------------------------------------------------ */

static bool is_upstream_default_port(const struct req *r, uint16_t port)
{
	return port == r->service->default_port;
}

/* Once per request, so not through printf. */
str host_with_port(struct arena *a, str host, uint16_t port)
{
	bool is_bare_v6 = str_find(host, ':', 0) >= 0 && host.s[0] != '[';
	char *text = arena_bytes(a, host.n + sizeof("[]:65535"));
	struct out o = { .p = text };

	if (is_bare_v6)
		ADD(&o, "[");
	add(&o, host);
	if (is_bare_v6)
		ADD(&o, "]");
	ADD(&o, ":");
	add_int(&o, port);
	return str_at(text, (size_t)(o.p - text));
}

str host_for_upstream(const struct req *r)
{
	const struct upstream *u = r->service->upstream;
	str host = r->pick.host;

	if (r->host_sent.n)
		return r->host_sent;
	if (r->route->route->preserve_host && r->in.host.n)
		return r->in.host;
	if (u && u->host_header.n)
		host = u->host_header;
	if (is_upstream_default_port(r, r->pick.port) || host.n == 0)
		return host;
	return host_with_port(r->arena, host, r->pick.port);
}

/* The listening port as clients know it: the PROXY header's when that is believed,
 * else the listener's, by port_maps. */
static int64_t outside_port(const struct req *r)
{
	const struct settings *s = r->proxy->shared->settings;
	const struct proxy_protocol *told = r->client->told;
	uint16_t port = r->client->listener->port;

	if (told && !told->is_local && r->client->is_trusted &&
	    str_is(s->client_ip_header, "proxy_protocol"))
		return address_port(&told->destination);

	return settings_outside_port(s, port);
}

/* A header of a trusted proxy, else our own value (may be none). */
static void add_forwarded(struct out *o, const struct req *r, enum http_name id, str own)
{
	const struct http_header *h = r->client->is_trusted ? http_get(&r->in.headers, id) : NULL;
	str value = h && h->value.n ? h->value : own;

	if (value.n)
		add_field(o, http_name_text(id), value);
}

/* What the client said, and who it is behind that. */
static void add_forwarded_for(struct out *o, const struct req *r)
{
	const struct http_headers *in = &r->in.headers;
	const struct http_header *h = http_get(in, HTTP_X_FORWARDED_FOR);

	for (unsigned i = 0; h && i < in->n; i++) {
		if (in->v[i].id != HTTP_X_FORWARDED_FOR || in->v[i].value.n == 0)
			continue;
		add(o, in->v[i].value);
		ADD(o, ", ");
	}
	add(o, h ? r->peer_ip : r->client_ip);
}

/* The same as text of its own. */
static str forwarded_for(const struct req *r)
{
	char *text = arena_bytes(r->arena, size_of(&r->in.headers) + r->peer_ip.n + r->client_ip.n);
	struct out o = { .p = text };

	add_forwarded_for(&o, r);
	return str_at(text, (size_t)(o.p - text));
}

static void add_forwarded_all(struct out *o, const struct req *r)
{
	const struct http_header *port =
		r->client->is_trusted ? http_get(&r->in.headers, HTTP_X_FORWARDED_PORT) : NULL;

	if (unlikely(o->fields)) {
		add_field(o, STR("X-Forwarded-For"), forwarded_for(r));
	} else {
		ADD(o, "X-Forwarded-For: ");
		add_forwarded_for(o, r);
		ADD(o, "\r\n");
	}
	add_forwarded(o, r, HTTP_X_FORWARDED_PROTO, r->client->is_tls ? STR("https") : STR("http"));
	add_forwarded(o, r, HTTP_X_FORWARDED_HOST, r->host);
	if (port && port->value.n)
		add_field(o, STR("X-Forwarded-Port"), port->value);
	else
		add_number(o, STR("X-Forwarded-Port"), outside_port(r));
	add_forwarded(o, r, HTTP_X_FORWARDED_PATH, r->in.path);
	add_forwarded(o, r, HTTP_X_FORWARDED_PREFIX, r->forwarded_prefix);
	add_field(o, STR("X-Real-IP"), r->client_ip);
}

/* Fields that are written anew, or end here. */
static bool is_own_for_upstream(enum http_name id)
{
	switch (id) {
	case HTTP_CONNECTION:
	case HTTP_CONTENT_LENGTH:
	case HTTP_EXPECT:
	case HTTP_HOST:
	case HTTP_KEEP_ALIVE:
	case HTTP_PROXY:
	case HTTP_PROXY_CONNECTION:
	case HTTP_TE:
	case HTTP_TRANSFER_ENCODING:
	case HTTP_UPGRADE:
	case HTTP_X_FORWARDED_FOR:
	case HTTP_X_FORWARDED_HOST:
	case HTTP_X_FORWARDED_PATH:
	case HTTP_X_FORWARDED_PORT:
	case HTTP_X_FORWARDED_PREFIX:
	case HTTP_X_FORWARDED_PROTO:
	case HTTP_X_REAL_IP:
		return true;
	default:
		return false;
	}
}

static void add_connection_for_upstream(struct out *o, const struct http_headers *in)
{
	const struct http_header *upgrade = http_get(in, HTTP_UPGRADE);

	if (upgrade && str_is_ci(upgrade->value, "websocket"))
		ADD(o, "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n");
	else
		ADD(o, "Connection: keep-alive\r\n");
}

static void add_client_fields(struct out *o, const struct http_headers *in)
{
	bool has_named = names_fields(in);

	for (unsigned i = 0; i < in->n; i++) {
		const struct http_header *h = &in->v[i];

		if (is_own_for_upstream(h->id) || (has_named && is_named_by(in, h->name)))
			continue;
		add_field(o, h->name, h->value);
	}
}

enum http_method method_for_upstream(const struct req *r)
{
	return r->method_sent.s ? http_method_of(r->method_sent) : r->in.method;
}

struct block *head_for_upstream(const struct req *r, int64_t length, uint32_t *ret_n)
{
	const struct http_headers *in = &r->in.headers;
	str host = host_for_upstream(r), method = req_method(r);
	struct out o = { 0 };

	if (!out_open(&o, method.n + r->upstream_path.n + host.n + r->host.n + r->in.path.n +
				  r->forwarded_prefix.n + size_of(in) + EXTRA))
		return NULL;
	add(&o, method);
	ADD(&o, " ");
	add(&o, r->upstream_path);
	ADD(&o, " HTTP/1.1\r\n");
	add_field(&o, STR("Host"), host);
	add_connection_for_upstream(&o, in);
	if (wants_trailers(r))
		ADD(&o, "TE: trailers\r\n");
	add_forwarded_all(&o, r);
	if (length >= 0)
		add_number(&o, STR("Content-Length"), length);
	else if (length == LENGTH_CHUNKED)
		ADD(&o, "Transfer-Encoding: chunked\r\n");
	add_client_fields(&o, in);
	ADD(&o, "\r\n");
	return out_close(&o, ret_n);
}

void fields_for_upstream(const struct req *r, int64_t length, struct http_headers *ret)
{
	struct out o = { .arena = r->arena, .fields = ret };

	add_field(&o, STR(":method"), req_method(r));
	add_field(&o, STR(":scheme"), r->service->tls ? STR("https") : STR("http"));
	add_field(&o, STR(":authority"), host_for_upstream(r));
	add_field(&o, STR(":path"), r->upstream_path);
	if (wants_trailers(r))
		add_field(&o, STR("te"), STR("trailers"));
	add_forwarded_all(&o, r);
	if (length >= 0)
		add_number(&o, STR("content-length"), length);
	add_client_fields(&o, &r->in.headers);
}

/* ---- to the client -------------------------------------------------------------- */

/* The media types that nginx's charset directive completes. */
static bool takes_charset(str type)
{
	static const str types[] = {
		STR_INIT("text/html"),
		STR_INIT("text/xml"),
		STR_INIT("text/plain"),
		STR_INIT("text/vnd.wap.wml"),
		STR_INIT("application/javascript"),
		STR_INIT("application/rss+xml"),
	};

	for (size_t i = 0; i < COUNT(types); i++) {
		if (str_eq_ci(type, types[i]))
			return true;
	}
	return false;
}

static bool is_own_for_client(const struct req *r, enum http_name id, enum http_body framing)
{
	switch (id) {
	case HTTP_CONNECTION:
	case HTTP_KEEP_ALIVE:
	case HTTP_PROXY_CONNECTION:
	case HTTP_TRANSFER_ENCODING:
	case HTTP_X_ACCEL_REDIRECT:
		return true;
	case HTTP_CONTENT_LENGTH:
		return framing == HTTP_BODY_CHUNKED || framing == HTTP_BODY_TO_CLOSE;
	case HTTP_UPGRADE:
		return r->status != 101 && r->status != 426;
	default:
		return false;
	}
}

bool wants_trailers(const struct req *r)
{
	const struct http_header *te = http_get(&r->in.headers, HTTP_TE);

	return te && http_list_has(te->value, STR("trailers"));
}

/* Does the upstream's Connection end this field here?  Not what frames the message. */
static bool ends_here(const struct http_headers *reply, const struct http_header *h)
{
	return h->id != HTTP_UPGRADE && h->id != HTTP_CONTENT_LENGTH && is_named_by(reply, h->name);
}

static void add_reply_fields(struct out *o, const struct req *r, enum http_body framing)
{
	const struct http_headers *reply = &r->reply;
	str charset = r->proxy->shared->settings->proxy_http.charset;
	bool has_named = names_fields(reply);

	for (unsigned i = 0; i < reply->n; i++) {
		const struct http_header *h = &reply->v[i];

		if (is_own_for_client(r, h->id, framing) ||
		    (h->id == HTTP_TRAILER && !wants_trailers(r)) ||
		    (has_named && ends_here(reply, h)))
			continue;
		if (h->id == HTTP_CONTENT_TYPE && charset.n && takes_charset(h->value) &&
		    !http_get(reply, HTTP_CONTENT_ENCODING)) {
			add_field(o, h->name,
				  str_cat(r->arena, h->value, STR("; charset="), charset));
			continue;
		}
		add_field(o, h->name, h->value);
	}
}

static void add_tokens(struct out *o, const struct req *r)
{
	unsigned tokens = r->proxy->shared->settings->header_tokens;
	/* No target was chosen for a reply from a cache. */
	int64_t balanced_ms = r->balanced_ms ? r->balanced_ms : r->answered_ms;
	int64_t upstream_ms = r->answered_ms - balanced_ms;

	if (!r->is_proxied) {
		if (tokens & KONG_HEADER_RESPONSE_LATENCY)
			add_number(o, STR("X-Kong-Response-Latency"), r->answered_ms - r->start_ms);
		if (tokens & KONG_HEADER_SERVER)
			add_field(o, STR("Server"), r->proxy->shared->server);
		return;
	}
	if (tokens & KONG_HEADER_UPSTREAM_LATENCY)
		add_number(o, STR("X-Kong-Upstream-Latency"), upstream_ms);
	if (tokens & KONG_HEADER_PROXY_LATENCY)
		add_number(o, STR("X-Kong-Proxy-Latency"), balanced_ms - r->start_ms);
	if ((tokens & KONG_HEADER_UPSTREAM_STATUS) && r->tried_status)
		add_number(o, STR("X-Kong-Upstream-Status"), r->tried_status);
	if (tokens & KONG_HEADER_VIA)
		add_field(o, STR("Via"), r->proxy->shared->server);
}

/* Which route and service it was, for who may ask (allow_debug_header). */
static void add_debug(struct out *o, const struct req *r)
{
	const struct http_header *ask = http_get(&r->in.headers, HTTP_KONG_DEBUG);
	char id[36];

	if (!ask || !str_is(ask->value, "1") || !r->route ||
	    !r->proxy->shared->settings->allow_debug_header)
		return;
	uuid_write(r->route->route->id, id);
	add_field(o, STR("Kong-Route-Id"), str_at(id, sizeof(id)));
	if (r->route->route->name.n)
		add_field(o, STR("Kong-Route-Name"), r->route->route->name);
	if (!r->service)
		return;
	uuid_write(r->service->service->id, id);
	add_field(o, STR("Kong-Service-Id"), str_at(id, sizeof(id)));
	if (r->service->service->name.n)
		add_field(o, STR("Kong-Service-Name"), r->service->service->name);
}

static size_t debug_size(const struct req *r)
{
	size_t n = r->route ? r->route->route->name.n : 0;

	return n + (r->service ? r->service->service->name.n : 0) + 256;
}

static str connection_of(const struct req *r, const struct sent_head *sent)
{
	if (r->status == 101 || (r->status == 426 && sent->keeps_alive))
		return STR("Upgrade");
	return sent->keeps_alive ? STR("keep-alive") : STR("close");
}

static void add_length(struct out *o, const struct req *r, const struct sent_head *sent)
{
	if (sent->framing == HTTP_BODY_LENGTH && !http_get(&r->reply, HTTP_CONTENT_LENGTH))
		add_number(o, STR("Content-Length"), sent->length);
}

void fields_sent(const struct req *r, struct http_headers *ret)
{
	struct out o = { .arena = r->arena, .fields = ret };

	if (!r->sent.is_there)
		return;
	add_reply_fields(&o, r, r->sent.framing);
	add_length(&o, r, &r->sent);
	if (!r->in.is_h2) {
		if (r->sent.framing == HTTP_BODY_CHUNKED)
			add_field(&o, STR("Transfer-Encoding"), STR("chunked"));
		add_field(&o, STR("Connection"), connection_of(r, &r->sent));
	}
	add_tokens(&o, r);
	add_debug(&o, r);
}

/* The head goes to the stream at once. */
static struct block *head_for_stream(struct req *r, enum http_body framing, int64_t length,
				     uint32_t *ret_n)
{
	struct http_headers fields = { 0 };
	struct out o = { .arena = r->arena, .fields = &fields };
	bool is_end = framing == HTTP_BODY_NONE || r->in.method == HTTP_HEAD ||
		      (framing == HTTP_BODY_LENGTH && length == 0);

	add_number(&o, STR(":status"), r->status);
	add_reply_fields(&o, r, framing);
	if (!http_get(&r->reply, HTTP_DATE))
		add_field(&o, STR("date"), str_of(proxy_date(r->proxy)));
	add_length(&o, r, &r->sent);
	add_tokens(&o, r);
	add_debug(&o, r);
	h2_answer(&r->client->sock, &fields, is_end);
	r->bytes_sent = size_of(&fields);
	*ret_n = 0;
	return block_get(BLOCK_SMALL);
}

struct block *head_for_client(struct req *r, enum http_body framing, int64_t length,
			      uint32_t *ret_n)
{
	struct out o = { 0 };

	if (r->proxy->is_draining) /* since the request came: tell the client to go elsewhere */
		r->keep_alive = false;
	r->sent = (struct sent_head){ true, r->keep_alive, framing, length };
	if (r->in.is_h2)
		return head_for_stream(r, framing, length, ret_n);
	if (!out_open(&o, r->reason.n + size_of(&r->reply) + debug_size(r) + EXTRA))
		return NULL;
	ADD(&o, "HTTP/1.1 ");
	add_int(&o, r->status);
	ADD(&o, " ");
	add(&o, r->reason);
	ADD(&o, "\r\n");
	add_reply_fields(&o, r, framing);
	if (!http_get(&r->reply, HTTP_DATE))
		add_field(&o, STR("Date"), str_of(proxy_date(r->proxy)));
	if (framing == HTTP_BODY_CHUNKED)
		ADD(&o, "Transfer-Encoding: chunked\r\n");
	add_length(&o, r, &r->sent);
	add_field(&o, STR("Connection"), connection_of(r, &r->sent));
	add_tokens(&o, r);
	add_debug(&o, r);
	ADD(&o, "\r\n");
	return out_close(&o, ret_n);
}
